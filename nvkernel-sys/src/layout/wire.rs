//! From a structure's changes to spans of bytes.

use super::{CHANGES, DriverVersion, Edit, StructInfo};

/// Bytes that move as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Offset in the canonical structure.
    pub canonical: usize,
    /// Offset in the structure of the release.
    pub wire: usize,
    /// Bytes that both have.
    pub len: usize,
}

/// A field of the structure of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireField {
    /// NVIDIA's name.
    pub name: &'static str,
    /// Bytes from the start.
    pub offset: usize,
    /// Bytes.
    pub size: usize,
}

/// The layout of a structure in a release where it is not the canonical one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireLayout {
    size: usize,
    fields: Vec<WireField>,
    spans: Vec<Span>,
}

impl WireLayout {
    /// Undoes every change to `info` that came after `version`; `None` when there is none.
    pub(super) fn of(info: &StructInfo, version: DriverVersion) -> Option<Self> {
        let later: Vec<&Edit> = CHANGES
            .iter()
            .filter(|c| c.structure == info.name && c.since > version)
            .flat_map(|c| c.edits)
            .filter(|e| **e != Edit::NewStructure)
            .collect();
        if later.is_empty() {
            return None;
        }
        let (mut fields, mut spans) = (Vec::new(), Vec::new());
        let (mut end, mut align) = (0_usize, 1_usize);
        for field in info.fields {
            if later.contains(&&Edit::Added(field.name)) {
                continue;
            }
            // CHANGES runs from old to new, so the first later change tells the size before all of them.
            let before = later.iter().find_map(|e| match e {
                Edit::Resized { field: name, before } if *name == field.name => Some(usize::from(*before)),
                _ => None,
            });
            let size = before.unwrap_or(usize::from(field.size));
            let field_align = usize::from(field.align);
            let offset = end.next_multiple_of(field_align);
            fields.push(WireField { name: field.name, offset, size });
            spans.push(Span {
                canonical: usize::from(field.offset),
                wire: offset,
                len: size.min(usize::from(field.size)),
            });
            end = offset + size;
            align = align.max(field_align);
        }
        Some(Self { size: end.next_multiple_of(align), fields, spans: merged(spans) })
    }

    /// Bytes on the wire.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The fields of the release.
    pub fn fields(&self) -> &[WireField] {
        &self.fields
    }

    /// What moves where, in order.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// `wire` has this layout's size, `canonical` the structure's own.
    pub(super) fn encode(&self, canonical: &[u8], wire: &mut [u8]) {
        wire.fill(0);
        for s in &self.spans {
            wire[s.wire..s.wire + s.len].copy_from_slice(&canonical[s.canonical..s.canonical + s.len]);
        }
    }

    pub(super) fn decode(&self, canonical: &mut [u8], wire: &[u8]) {
        for s in &self.spans {
            canonical[s.canonical..s.canonical + s.len].copy_from_slice(&wire[s.wire..s.wire + s.len]);
        }
    }
}

/// Joins spans that touch in both structures.
fn merged(spans: Vec<Span>) -> Vec<Span> {
    let mut out: Vec<Span> = Vec::new();
    for span in spans {
        match out.last_mut() {
            Some(last)
                if last.canonical + last.len == span.canonical && last.wire + last.len == span.wire =>
            {
                last.len += span.len;
            }
            _ => out.push(span),
        }
    }
    out
}
