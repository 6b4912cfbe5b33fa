//! Elements of EBML (RFC 8794): an id, a size, and data.

use crate::error::Result;
use crate::source::Source;

/// An element of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element {
    /// With its marker bits, as documents write it.
    pub(super) id: u32,
    /// Where it begins.
    pub(super) offset: u64,
    /// Where its data begins.
    pub(super) body: u64,
    /// Bytes of its data; `None` if it does not say.
    pub(super) size: Option<u64>,
}

/// The variable-length number at the beginning of `bytes`, and its bytes. `None` if it has more than `longest` or is cut.
pub(super) fn number(bytes: &[u8], longest: u32, keep_marker: bool) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let length = first.leading_zeros() + 1;
    if length > longest {
        return None;
    }
    let bytes = bytes.get(..length as usize)?;
    let value = bytes.iter().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
    let mask = if keep_marker { u64::MAX } else { u64::MAX >> (64 - 7 * length) };
    Some((value & mask, bytes.len()))
}

impl Element {
    /// The element that `bytes`, which lie at `offset`, begin with; `None` if they cannot be one.
    pub(super) fn parse(bytes: &[u8], offset: u64) -> Option<Element> {
        let (id, id_length) = number(bytes, 4, true)?;
        let (size, size_length) = number(&bytes[id_length..], 8, false)?;
        let is_unknown = size == u64::MAX >> (64 - 7 * size_length);
        let body = offset.checked_add((id_length + size_length) as u64)?;
        Some(Element {
            id: u32::try_from(id).ok()?,
            offset,
            body,
            size: (!is_unknown && body.checked_add(size).is_some()).then_some(size),
        })
    }

    /// The element at `offset`; `None` if there is none, or it does not begin in front of `end`.
    pub(super) fn at(source: &mut Source, offset: u64, end: u64) -> Result<Option<Element>> {
        if offset >= end {
            return Ok(None);
        }
        Ok(Element::parse(source.peek(offset, 12)?, offset))
    }

    /// Where it ends, if it says.
    pub(super) fn end(&self) -> Option<u64> {
        Some(self.body + self.size?)
    }
}

/// The elements in `bytes`, with their data; ends where there is none.
pub(super) fn elements(bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let element = Element::parse(rest, 0)?;
        let body = usize::try_from(element.body).ok()?;
        let data = rest.get(body..body.checked_add(usize::try_from(element.size?).ok()?)?)?;
        rest = &rest[body + data.len()..];
        Some((element.id, data))
    })
}

/// The data of the first element with this id in `bytes`.
pub(super) fn find(bytes: &[u8], id: u32) -> Option<&[u8]> {
    elements(bytes).find(|&(found, _)| found == id).map(|(_, data)| data)
}

/// An unsigned integer.
pub(super) fn unsigned(data: &[u8]) -> Option<u64> {
    (data.len() <= 8).then(|| data.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
}

/// A floating-point number.
pub(super) fn float(data: &[u8]) -> Option<f64> {
    match *data {
        [] => Some(0.0),
        [a, b, c, d] => Some(f32::from_be_bytes([a, b, c, d]).into()),
        _ => Some(f64::from_be_bytes(data.try_into().ok()?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_1_to_8_bytes() {
        assert_eq!(number(&[0x81], 8, false), Some((1, 1)));
        assert_eq!(number(&[0x40, 0x02, 9], 8, false), Some((2, 2)));
        assert_eq!(number(&[0x1a, 0x45, 0xdf, 0xa3], 4, true), Some((0x1a45_dfa3, 4)));
        assert_eq!(number(&[1, 0, 0, 0, 0, 0, 0, 7], 8, false), Some((7, 8)));
        assert_eq!(number(&[0, 0xff], 8, false), None);
        assert_eq!(number(&[8, 0, 0, 0, 1], 4, true), None);
        assert_eq!(number(&[0x40], 8, false), None);
        assert_eq!(number(&[], 8, false), None);
    }

    #[test]
    fn a_size_may_be_unknown() {
        let element = Element::parse(&[0xec, 0xff], 7).unwrap();
        assert_eq!(element, Element { id: 0xec, offset: 7, body: 9, size: None });
        let element = Element::parse(&[0xec, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 0).unwrap();
        assert_eq!(element.end(), None);
        assert_eq!(Element::parse(&[0xec, 0x42, 3], 1).unwrap().end(), Some(4 + 0x203));
        assert_eq!(Element::parse(&[0xec, 0x82], u64::MAX), None);
    }

    #[test]
    fn elements_in_memory_end_where_data_is_cut() {
        let bytes = [0xec, 0x81, 7, 0x42, 0x86, 0x82, 1, 2, 0xec, 0x83, 0];
        assert_eq!(elements(&bytes).collect::<Vec<_>>(), [(0xec, &[7][..]), (0x4286, &[1, 2])]);
        assert_eq!(find(&bytes, 0x4286).and_then(unsigned), Some(0x102));
        assert_eq!(unsigned(&[0; 9]), None);
        assert_eq!(float(&[0x3f, 0x80, 0, 0]), Some(1.0));
        assert_eq!(float(&[0; 3]), None);
    }
}
