//! Decoder configuration records (ISO/IEC 14496-15, 5.3.3 and 8.3.2), which MP4 and Matroska have in common.

use bitstream::LengthSize;
use mp4_atom::{Atom, Avcc, Hvcc};

use crate::error::{Error, REMUX, Result};
use crate::track::Codec;

/// What a record says that a decoder needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Configuration {
    pub(crate) length_size: LengthSize,
    /// Video, sequence and picture parameter sets, then what else is there.
    pub(crate) parameter_sets: Vec<Vec<u8>>,
}

impl Configuration {
    /// The record of `codec` in `bytes`, which is the content of `place` at `offset`; `None` if its records are not known here.
    pub(crate) fn parse(
        codec: &Codec,
        bytes: &[u8],
        place: &str,
        offset: u64,
    ) -> Result<Option<Configuration>> {
        let damaged = |error: mp4_atom::Error| {
            Error::damaged(place, offset, format!("decoder configuration record: {error}"))
        };
        let (length_size, units): (_, Vec<Vec<u8>>) = match codec {
            Codec::Hevc => {
                let record = Hvcc::decode_body(&mut &*bytes).map_err(damaged)?;
                let mut arrays = record.arrays;
                // VPS_NUT, SPS_NUT, PPS_NUT; each may refer to those before it.
                arrays.sort_by_key(|array| match array.nal_unit_type {
                    kind @ 32..=34 => kind,
                    _ => u8::MAX,
                });
                (record.length_size_minus_one + 1, arrays.into_iter().flat_map(|array| array.nalus).collect())
            }
            Codec::H264 => {
                let record = Avcc::decode_body(&mut &*bytes).map_err(damaged)?;
                (record.length_size, [record.sequence_parameter_sets, record.picture_parameter_sets].concat())
            }
            _ => return Ok(None),
        };
        let length_size = LengthSize::new(length_size)
            .map_err(|error| Error::unsupported(place, offset, error.to_string(), REMUX))?;
        let parameter_sets = units.into_iter().filter(|unit| !unit.is_empty()).collect();
        Ok(Some(Configuration { length_size, parameter_sets }))
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
        let found = Configuration::parse(&Codec::Hevc, &record(2, arrays), "hvcC box", 5).unwrap().unwrap();
        assert_eq!(found.length_size, LengthSize::Two);
        assert_eq!(found.parameter_sets, [&b"V"[..], b"SS", b"P", b"E"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let say =
            |bytes: &[u8]| Configuration::parse(&Codec::Hevc, bytes, "hvcC box", 5).unwrap_err().to_string();
        assert!(say(&record(3, &[0])).starts_with("hvcC box at byte 5: NAL unit length field of 3 bytes"));
        assert!(say(&record(4, &[1, 0x20, 0, 9])).starts_with("hvcC box at byte 5: decoder configuration"));
        assert!(say(&[]).starts_with("hvcC box at byte 5: decoder configuration"));
    }

    #[test]
    fn h264_has_records_too() {
        let record = b"\x01\x64\0\x0a\xff\xe1\0\x02SS\x01\0\x01P\xfd\xf8\xf8\0";
        let found = Configuration::parse(&Codec::H264, record, "avcC box", 5).unwrap().unwrap();
        assert_eq!(
            (found.length_size, found.parameter_sets),
            (LengthSize::Four, vec![b"SS".to_vec(), b"P".to_vec()])
        );
        assert_eq!(Configuration::parse(&Codec::Av1, record, "av1C box", 5).unwrap(), None);
    }
}
