//! Boxes (ISO/IEC 14496-12, 4.2): their headers in a source, and those within a box that was read.

use std::fmt;

use mp4_atom::Atom;

use crate::error::{Error, Result};
use crate::source::Source;

/// The type of a box.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Kind(pub(crate) [u8; 4]);

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A box of the source that was not read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) kind: Kind,
    /// Where it begins.
    pub(super) offset: u64,
    /// Where its content begins.
    pub(super) body: u64,
    /// Where it ends, which may be behind the end of the source.
    pub(super) end: u64,
}

impl Header {
    /// The box at `offset`; `None` if the source ends before its header does.
    pub(super) fn at(source: &mut Source, offset: u64) -> Result<Option<Header>> {
        let Some([a, b, c, d, kind @ ..]) = source.array::<8>(offset)? else { return Ok(None) };
        let kind = Kind(kind);
        let (body, end) = match u32::from_be_bytes([a, b, c, d]) {
            // It is the last one.
            0 => (offset + 8, Some(source.size())),
            1 => {
                let Some(size) = source.array(offset + 8)? else { return Ok(None) };
                (offset + 16, offset.checked_add(u64::from_be_bytes(size)))
            }
            size => (offset + 8, offset.checked_add(u64::from(size))),
        };
        match end.filter(|&end| end >= body) {
            Some(end) => Ok(Some(Header { kind, offset, body, end })),
            None => Err(bad_size(kind, offset)),
        }
    }

    /// Its content.
    pub(super) fn read(&self, source: &mut Source, limit: u64) -> Result<Vec<u8>> {
        let size = self.end - self.body;
        if self.end > source.size() {
            let what = format!("{} of its {size} bytes are there", source.size() - self.body);
            return Err(Error::damaged(format!("{} box", self.kind), self.offset, what));
        }
        if size > limit {
            let what = format!("a size of {size} bytes, more than {limit},");
            let advice = "write the file in shorter fragments, or without what is not needed";
            return Err(Error::unsupported(format!("{} box", self.kind), self.offset, what, advice));
        }
        let mut content = Vec::new();
        source.read(self.body, size, &mut content)?;
        Ok(content)
    }
}

fn bad_size(kind: Kind, offset: u64) -> Error {
    Error::damaged(
        format!("{kind} box"),
        offset,
        "its size does not hold its header, or leads out of its parent",
    )
}

/// A box whose content is in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inner<'a> {
    pub(super) kind: Kind,
    /// Its content.
    pub(super) body: &'a [u8],
    /// Where its content begins in the source.
    pub(super) offset: u64,
}

impl<'a> Inner<'a> {
    /// The boxes in it.
    pub(super) fn children(self) -> Children<'a> {
        children(self.body, self.offset)
    }

    /// Its content as `mp4-atom` understands it. Bytes behind that are ignored: writers pad.
    pub(super) fn decode<T: Atom>(self) -> Result<T> {
        T::decode_body(&mut &*self.body).map_err(|error| self.damaged(error.to_string()))
    }

    pub(super) fn damaged(self, what: impl Into<String>) -> Error {
        Error::damaged(format!("{} box", self.kind), self.offset.saturating_sub(8), what)
    }

    /// `N` bytes at `at` of its content.
    pub(super) fn array<const N: usize>(self, at: usize) -> Result<[u8; N]> {
        let bytes = self.body.get(at..).and_then(|rest| rest.first_chunk());
        bytes.copied().ok_or_else(|| self.damaged(format!("it ends before its byte {}", at + N)))
    }
}

/// The boxes in `body`, which lies at `offset` of the source.
pub(super) fn children(body: &[u8], offset: u64) -> Children<'_> {
    Children { rest: body, offset }
}

/// The boxes in a box. Ends after the first error.
#[derive(Clone, Debug)]
pub(super) struct Children<'a> {
    rest: &'a [u8],
    offset: u64,
}

impl<'a> Iterator for Children<'a> {
    type Item = Result<Inner<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let (&[a, b, c, d, ref kind @ ..], _) = self.rest.split_first_chunk::<8>()?;
        let kind = Kind(*kind);
        let (header, size) = match u32::from_be_bytes([a, b, c, d]) {
            // QuickTime ends some lists so.
            0 if kind.0 == [0; 4] => return None,
            0 => (8, self.rest.len()),
            1 => match self.rest.get(8..16).and_then(|size| size.try_into().ok()) {
                Some(size) => (16, usize::try_from(u64::from_be_bytes(size)).unwrap_or(usize::MAX)),
                None => (16, 0),
            },
            size => (8, size as usize),
        };
        let offset = self.offset;
        let Some(body) = self.rest.get(header..size) else {
            self.rest = &[];
            return Some(Err(bad_size(kind, offset)));
        };
        self.rest = &self.rest[size..];
        self.offset += size as u64;
        Some(Ok(Inner { kind, body, offset: offset + header as u64 }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn sizes_are_of_32_and_of_64_bits_and_to_the_end() {
        let bytes = b"\0\0\0\x09freeA\0\0\0\x01mdat\0\0\0\0\0\0\0\x12BC\0\0\0\0lastD".to_vec();
        let found: Vec<_> = children(&bytes, 100).map(|child| child.unwrap()).collect();
        let seen: Vec<_> = found.iter().map(|child| (child.kind.0, child.body, child.offset)).collect();
        assert_eq!(seen, [(*b"free", &b"A"[..], 108), (*b"mdat", b"BC", 125), (*b"last", b"D", 135)]);

        let mut source = Source::new(Cursor::new(bytes)).unwrap();
        let mut ends = Vec::new();
        while let Some(header) = Header::at(&mut source, ends.last().copied().unwrap_or(0)).unwrap() {
            ends.push(header.end);
        }
        assert_eq!(ends, [9, 27, 36]);
    }

    #[test]
    fn a_size_that_cannot_be_names_the_box() {
        for bytes in [
            &b"\0\0\0\x07moov"[..],
            b"\0\0\0\x09moov",
            b"\0\0\0\x01moov\0\0\0\0\0\0\0\x0f",
            b"\0\0\0\x01moov",
        ] {
            let mut found = children(bytes, 30);
            let error = found.next().unwrap().unwrap_err().to_string();
            assert!(error.starts_with("moov box at byte 30: its size"), "{error}");
            assert!(found.next().is_none());
        }
    }
}
