//! `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 8.3.2), which MP4 and Matroska have in common.

use bitstream::LengthSize;
use mp4_atom::{Atom, Hvcc};

use crate::error::{Error, REMUX, Result};

/// What a record says that a decoder needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Configuration {
    pub(crate) length_size: LengthSize,
    /// Video, sequence and picture parameter sets, then what else is there.
    pub(crate) parameter_sets: Vec<Vec<u8>>,
}

impl Configuration {
    /// The record in `bytes`, which is the content of `place` at `offset`.
    pub(crate) fn parse(bytes: &[u8], place: &str, offset: u64) -> Result<Configuration> {
        let record = Hvcc::decode_body(&mut &*bytes).map_err(|error| {
            Error::damaged(place, offset, format!("HEVCDecoderConfigurationRecord: {error}"))
        })?;
        let length_size = LengthSize::new(record.length_size_minus_one + 1)
            .map_err(|error| Error::unsupported(place, offset, error.to_string(), REMUX))?;
        let mut arrays = record.arrays;
        // VPS_NUT, SPS_NUT, PPS_NUT; each may refer to those before it.
        arrays.sort_by_key(|array| match array.nal_unit_type {
            kind @ 32..=34 => kind,
            _ => u8::MAX,
        });
        let units = arrays.into_iter().flat_map(|array| array.nalus);
        Ok(Configuration { length_size, parameter_sets: units.filter(|unit| !unit.is_empty()).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(length_size: u8, arrays: &[u8]) -> Vec<u8> {
        let mut bytes = vec![1; 21];
        bytes.push(0xfc | (length_size - 1));
        bytes.extend_from_slice(arrays);
        bytes
    }

    #[test]
    fn parameter_sets_come_in_order() {
        let arrays = b"\x04\xa2\0\x01\0\x01P\xa7\0\x01\0\x01E\xa0\0\x02\0\x01V\0\0\xa1\0\x01\0\x02SS";
        let found = Configuration::parse(&record(2, arrays), "hvcC box", 5).unwrap();
        assert_eq!(found.length_size, LengthSize::Two);
        assert_eq!(found.parameter_sets, [&b"V"[..], b"SS", b"P", b"E"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let say = |bytes: &[u8]| Configuration::parse(bytes, "hvcC box", 5).unwrap_err().to_string();
        assert!(say(&record(3, &[0])).starts_with("hvcC box at byte 5: NAL unit length field of 3 bytes"));
        assert!(say(&record(4, &[1, 0x20, 0, 9])).starts_with("hvcC box at byte 5: HEVCDecoder"));
        assert!(say(&[]).starts_with("hvcC box at byte 5: HEVCDecoder"));
    }
}
