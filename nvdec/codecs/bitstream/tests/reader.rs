//! Properties of the bit reader.

mod common;

use bitstream::{BitReader, SyntaxError};
use common::zeros_and_others;
use proptest::prelude::*;

/// Where all that is read here stands.
const PLACE: &str = "RBSP";

type Error = SyntaxError<&'static str>;

/// Writes syntax elements, the inverse of [`BitReader`].
#[derive(Default)]
struct BitWriter(Vec<bool>);

impl BitWriter {
    fn u(&mut self, bits: u32, value: u64) {
        self.0.extend((0..bits).rev().map(|bit| value >> bit & 1 != 0));
    }

    fn ue(&mut self, value: u32) {
        let code = u64::from(value) + 1;
        let length = 64 - code.leading_zeros();
        self.u(length - 1, 0);
        self.u(length, code);
    }

    fn se(&mut self, value: i32) {
        let magnitude = value.unsigned_abs();
        self.ue(if value > 0 { 2 * magnitude - 1 } else { 2 * magnitude });
    }

    fn bytes(&self) -> Vec<u8> {
        let byte = |bits: &[bool]| {
            bits.iter().enumerate().fold(0, |byte, (i, &bit)| byte | u8::from(bit) << (7 - i))
        };
        self.0.chunks(8).map(byte).collect()
    }
}

#[derive(Debug, Clone, Copy)]
enum Element {
    U(u32, u32),
    Ue(u32),
    Se(i32),
}

fn element() -> impl Strategy<Value = Element> {
    prop_oneof![
        (0u32..=32, any::<u32>())
            .prop_map(|(bits, value)| Element::U(bits, if bits == 0 { 0 } else { value >> (32 - bits) })),
        (0u32..32, any::<u32>()).prop_map(|(shift, value)| Element::Ue((value >> shift).min(u32::MAX - 1))),
        (0u32..31, any::<i32>()).prop_map(|(shift, value)| Element::Se((value >> shift).max(-i32::MAX))),
    ]
}

/// Reads as the standard describes it, bit by bit. The same errors as those of [`BitReader`], which leave the position.
struct NaiveReader<'a> {
    data: &'a [u8],
    position: usize,
}

impl NaiveReader<'_> {
    fn bit(&self, at: usize) -> Option<u32> {
        Some(u32::from(self.data.get(at / 8)? >> (7 - at % 8) & 1))
    }

    fn truncated(&self) -> Error {
        let size = self.data.len() * 8;
        Error::Truncated { place: PLACE, element: "e", position: self.position, size }
    }

    fn u(&mut self, bits: u32) -> Result<u32, Error> {
        let value = (0..bits as usize)
            .try_fold(0u64, |value, i| Some(value << 1 | u64::from(self.bit(self.position + i)?)));
        let value = value.ok_or_else(|| self.truncated())?;
        self.position += bits as usize;
        Ok(value as u32)
    }

    fn ue(&mut self) -> Result<u32, Error> {
        let zeros = (0..).take_while(|&i| self.bit(self.position + i) == Some(0)).count();
        if self.bit(self.position + zeros).is_none() && zeros <= 32 {
            return Err(self.truncated());
        }
        if zeros >= 32 {
            return Err(Error::GolombTooLong { place: PLACE, element: "e", position: self.position });
        }
        let error = self.truncated();
        let start = self.position;
        self.position += zeros;
        self.u(zeros as u32 + 1).map(|code| code - 1).map_err(|_| {
            self.position = start;
            error
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn elements_are_read_as_written(elements in prop::collection::vec(element(), 1..50)) {
        let mut writer = BitWriter::default();
        for &element in &elements {
            match element {
                Element::U(bits, value) => writer.u(bits, u64::from(value)),
                Element::Ue(value) => writer.ue(value),
                Element::Se(value) => writer.se(value),
            }
        }
        let size = writer.0.len();
        writer.u(1, 1);
        let bytes = writer.bytes();
        let mut reader = BitReader::new(&bytes, PLACE);
        for &element in &elements {
            match element {
                Element::U(bits, value) => prop_assert_eq!(reader.u(bits, "u")?, value),
                Element::Ue(value) => prop_assert_eq!(reader.ue("ue")?, value),
                Element::Se(value) => prop_assert_eq!(reader.se("se")?, value),
            }
        }
        prop_assert_eq!(reader.position(), size);
        prop_assert!(!reader.more_rbsp_data());
        reader.one_then_zeros("stop", "alignment")?;
        prop_assert_eq!(reader.remaining(), 0);
    }

    #[test]
    fn reading_beyond_the_end_is_an_error(bytes in prop::collection::vec(any::<u8>(), 0..12), kinds in prop::collection::vec(0u8..4, 1..80)) {
        let mut reader = BitReader::new(&bytes, PLACE);
        for kind in kinds {
            let before = reader.position();
            let result = match kind {
                0 => reader.u(7, "e"),
                1 => reader.ue("e"),
                2 => reader.u64(50, "e").map(|_| 0),
                _ => reader.se("e").map(|_| 0),
            };
            prop_assert!(reader.position() <= reader.size());
            if result.is_err() {
                prop_assert_eq!(reader.position(), before);
            }
        }
    }

    #[test]
    fn words_are_read_as_bit_by_bit(
        bytes in zeros_and_others(),
        steps in prop::collection::vec((0u8..4, 0u32..=32), 1..200),
    ) {
        let mut reader = BitReader::new(&bytes, PLACE);
        let mut naive = NaiveReader { data: &bytes, position: 0 };
        for (kind, bits) in steps {
            let (read, expected) = match kind {
                0 => (reader.u(bits, "e"), naive.u(bits)),
                // From a part of a byte to more than the reader looks ahead.
                1 => {
                    let bits = bits as usize * 5;
                    let fits = naive.position + bits <= bytes.len() * 8;
                    let expected = if fits { Ok(0) } else { Err(naive.truncated()) };
                    naive.position += if fits { bits } else { 0 };
                    (reader.skip(bits, "e").map(|()| 0), expected)
                }
                _ => (reader.ue("e"), naive.ue()),
            };
            prop_assert_eq!(read, expected);
            prop_assert_eq!(reader.position(), naive.position);
            prop_assert_eq!(reader.remaining(), bytes.len() * 8 - naive.position);
            prop_assert_eq!(reader.byte_aligned(), naive.position.is_multiple_of(8));
        }
    }
}

#[test]
fn golomb_codes_at_the_limits() {
    // 31 zeros, a one, 31 ones: 2^32 - 2.
    let largest = [0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(BitReader::new(&largest, PLACE).ue("e"), Ok(u32::MAX - 1));
    assert_eq!(BitReader::new(&largest, PLACE).se("e"), Ok(-i32::MAX));
    let too_long = [0, 0, 0, 0, 0x80, 0, 0, 0, 0];
    let error = BitReader::new(&too_long, PLACE).ue("e");
    assert_eq!(error, Err(Error::GolombTooLong { place: PLACE, element: "e", position: 0 }));
    assert!(matches!(BitReader::new(&[0, 0], PLACE).ue("e"), Err(Error::Truncated { .. })));
}

#[test]
fn errors_name_place_element_value_and_limit() {
    let mut reader = BitReader::new(&[0b0000_1000, 0x80], "PPS");
    *reader.place_mut() = "PPS 5";
    let error = reader.ue_max(3, "num_ref_frames").expect_err("15 + suffix is too large");
    assert_eq!(error.to_string(), "PPS 5: num_ref_frames is 16, allowed is 0..=3");
    assert_eq!(error.place(), "PPS 5");
    assert!(!error.may_be_cut());
    let error = reader.u(32, "offset").expect_err("7 bits are left");
    assert_eq!(error.to_string(), "PPS 5: data ends inside offset (bit 9 of 16)");
    assert!(error.may_be_cut());
}

#[test]
fn long_and_signed_numbers() {
    let bytes = [0xa5, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0];
    let mut reader = BitReader::new(&bytes, PLACE);
    assert_eq!(reader.i(4, "minus six"), Ok(-6));
    assert_eq!(reader.i(4, "five"), Ok(5));
    assert_eq!(reader.u64(64, "long"), Ok(0x1234_5678_9abc_def0));
    assert_eq!(BitReader::new(&bytes, PLACE).u64(20, "short"), Ok(0xa5123));
}

#[test]
fn alignment_is_a_one_and_zeros() {
    let aligned = |byte: u8, read: u32| {
        let bytes = [byte];
        let mut reader = BitReader::new(&bytes, PLACE);
        reader.u(read, "before").expect("in the byte");
        reader.one_then_zeros("one", "zero").map(|()| reader.remaining())
    };
    assert_eq!(aligned(0b1010_0000, 2), Ok(0));
    assert_eq!(aligned(0b1010_0001, 7), Ok(0));
    let wrong = |element, value| {
        let limit = i64::from(element == "one");
        Err(Error::OutOfRange { place: PLACE, element, value, min: limit, max: limit })
    };
    assert_eq!(aligned(0b1000_0000, 2), wrong("one", 0));
    assert_eq!(aligned(0b1010_0001, 2), wrong("zero", 1));
    assert!(matches!(aligned(0, 8), Err(Error::Truncated { element: "one", .. })));
}

/// `more_rbsp_data()` where `cabac_zero_words` follow the trailing bits, and where there are no trailing bits.
#[test]
fn data_ends_before_the_last_one_bit() {
    let more = |bytes: &[u8], read: u32| {
        let mut reader = BitReader::new(bytes, PLACE);
        reader.u(read, "before").expect("enough bits");
        reader.more_rbsp_data()
    };
    assert!(more(&[0b1010_1000, 0, 0], 3));
    assert!(!more(&[0b1010_1000, 0, 0], 4));
    assert!(!more(&[0b1010_1000, 0, 0], 5));
    assert!(!more(&[0, 0], 0));
    assert!(!more(&[], 0));
}
