//! NAL units: headers, emulation prevention, byte streams (Annex B) and length-prefixed samples.

mod byte_stream;
mod unit_type;

pub use byte_stream::{
    AnnexB, AnnexBReader, LengthPrefixed, find_start_code, split_annex_b, split_length_prefixed,
};
pub use unit_type::NalUnitType;

use memchr::memchr_iter;

use crate::error::{Error, Place, Structure};

/// `nal_unit_header()` (7.3.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NalHeader {
    /// `nal_unit_type`.
    pub nal_unit_type: NalUnitType,
    /// `nuh_layer_id`; 0 is the base layer, the only one this crate decodes.
    pub nuh_layer_id: u8,
    /// `TemporalId`: `nuh_temporal_id_plus1 - 1`.
    pub temporal_id: u8,
}

impl NalHeader {
    /// Bytes of the header.
    pub const SIZE: usize = 2;

    /// Reads the header from the first two bytes of a NAL unit.
    ///
    /// # Errors
    /// [`Error::NalUnitTooShort`], or [`Error::OutOfRange`] for `forbidden_zero_bit` and `nuh_temporal_id_plus1`.
    pub fn parse(nal: &[u8]) -> Result<Self, Error> {
        let &[first, second, ..] = nal else {
            return Err(Error::NalUnitTooShort { length: nal.len() });
        };
        let place = Place::new(Structure::NalUnitHeader);
        if first & 0x80 != 0 {
            return Err(Error::OutOfRange { place, element: "forbidden_zero_bit", value: 1, min: 0, max: 0 });
        }
        let temporal_id_plus1 = second & 7;
        if temporal_id_plus1 == 0 {
            let element = "nuh_temporal_id_plus1";
            return Err(Error::OutOfRange { place, element, value: 0, min: 1, max: 7 });
        }
        Ok(Self {
            nal_unit_type: NalUnitType(first >> 1),
            nuh_layer_id: (first & 1) << 5 | second >> 3,
            temporal_id: temporal_id_plus1 - 1,
        })
    }
}

/// A NAL unit as it stands in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NalUnit<'a> {
    /// The parsed header.
    pub header: NalHeader,
    /// The whole unit: two-byte header included, emulation prevention left in, no start code, no
    /// `trailing_zero_8bits`.
    pub data: &'a [u8],
}

/// The payload of a NAL unit with emulation prevention removed, remembering where it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rbsp {
    bytes: Vec<u8>,
    /// For each byte removed: the index in `bytes` of the byte that followed it.
    removed: Vec<usize>,
}

impl Rbsp {
    /// Un-escapes `payload`, the bytes after the NAL unit header.
    pub fn new(payload: &[u8]) -> Self {
        let mut rbsp = Self::default();
        rbsp.assign(payload, usize::MAX);
        rbsp
    }

    /// Un-escapes at most about `limit` bytes of `payload` into this buffer, reusing its memory.
    pub(crate) fn assign(&mut self, payload: &[u8], limit: usize) {
        self.bytes.clear();
        self.removed.clear();
        let payload = &payload[..payload.len().min(limit)];
        // Copy whole runs between emulation prevention bytes. A search for the three alone needs no preparation, which
        // would take longer than to search a slice segment header; zeros before an earlier one do not count.
        let mut copied = 0;
        for three in memchr_iter(3, payload) {
            let run = &payload[copied..three];
            if run.ends_with(&[0, 0]) {
                self.bytes.extend_from_slice(run);
                self.removed.push(self.bytes.len());
                copied = three + 1;
            }
        }
        self.bytes.extend_from_slice(&payload[copied..]);
    }

    /// The bytes of the RBSP.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// For each `emulation_prevention_three_byte`, the RBSP offset of the byte that followed it.
    pub fn emulation_prevention_positions(&self) -> &[usize] {
        &self.removed
    }

    /// Offset in the escaped payload (bytes after the NAL unit header) of the RBSP byte at `offset`.
    pub fn escaped_offset(&self, offset: usize) -> usize {
        offset + self.removed.partition_point(|&position| position <= offset)
    }

    /// Whether an `emulation_prevention_three_byte` stood between two bits of the RBSP bit range `start..end`.
    pub fn has_emulation_prevention_within(&self, start: usize, end: usize) -> bool {
        let first = self.removed.partition_point(|&position| position * 8 <= start);
        self.removed.get(first).is_some_and(|&position| position * 8 < end)
    }
}

/// Inserts `emulation_prevention_three_byte` into an RBSP (7.4.2): the inverse of [`Rbsp::new`].
///
/// An RBSP ends with `rbsp_trailing_bits()` and hence not with a zero byte; for one that does, the three-byte
/// `0x000003` the standard asks for (`cabac_zero_words`) is appended.
pub fn escape(rbsp: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(rbsp.len() + rbsp.len() / 64);
    let mut zeros = 0;
    for &byte in rbsp {
        if zeros == 2 && byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        out.push(byte);
        zeros = if byte == 0 { zeros + 1 } else { 0 };
    }
    if rbsp.last() == Some(&0) {
        out.push(3);
    }
    out
}
