//! Properties of the bit reader and of NAL unit splitting.

use std::cell::Cell;

use hevc::bits::BitReader;
use hevc::error::{Error, Place, Structure};
use hevc::nal::{self, AnnexBReader, Rbsp};
use proptest::prelude::*;

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
        let (place, size) = (Place::new(Structure::Rbsp), self.data.len() * 8);
        Error::Truncated { place, element: "e", position: self.position, size }
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
            let place = Place::new(Structure::Rbsp);
            return Err(Error::GolombTooLong { place, element: "e", position: self.position });
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

/// Bytes in which zeros, ones and threes are common.
fn zeros_and_others() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(
        prop_oneof![5 => Just(0u8), 2 => Just(1u8), 1 => Just(2u8), 2 => Just(3u8), 2 => any::<u8>()],
        0..300,
    )
}

thread_local! {
    /// Address of a stream, and how many of its bytes were announced.
    static ANNOUNCED: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// Takes note of bytes that come next.
fn announced(bytes: &[u8]) {
    let (stream, length) = ANNOUNCED.get();
    assert!(bytes.is_empty() || bytes.as_ptr() as usize == stream + length, "each byte once, in order");
    ANNOUNCED.set((stream, length + bytes.len()));
}

/// B.2 as a loop over bytes.
fn split_naively(data: &[u8]) -> Vec<Vec<u8>> {
    let mut starts: Vec<usize> = Vec::new();
    let mut at = 0;
    while at + 3 <= data.len() {
        if data[at..at + 3] == [0, 0, 1] {
            starts.push(at);
            at += 3;
        } else {
            at += 1;
        }
    }
    let mut nals = Vec::new();
    for (index, &start) in starts.iter().enumerate() {
        let end = starts.get(index + 1).copied().unwrap_or(data.len());
        let mut nal = data[start + 3..end].to_vec();
        while nal.last() == Some(&0) {
            nal.pop();
        }
        if !nal.is_empty() {
            nals.push(nal);
        }
    }
    nals
}

/// 7.3.1.1 as a loop over bytes.
fn unescape_naively(payload: &[u8]) -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut removed, mut zeros) = (Vec::new(), Vec::new(), 0);
    for &byte in payload {
        if zeros >= 2 && byte == 3 {
            removed.push(bytes.len());
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        bytes.push(byte);
    }
    (bytes, removed)
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
        let mut reader = BitReader::new(&bytes, Place::new(Structure::Rbsp));
        for &element in &elements {
            match element {
                Element::U(bits, value) => prop_assert_eq!(reader.u(bits, "u")?, value),
                Element::Ue(value) => prop_assert_eq!(reader.ue("ue")?, value),
                Element::Se(value) => prop_assert_eq!(reader.se("se")?, value),
            }
        }
        prop_assert_eq!(reader.position(), size);
        prop_assert!(!reader.more_rbsp_data());
        reader.byte_alignment()?;
        prop_assert_eq!(reader.remaining(), 0);
    }

    #[test]
    fn reading_beyond_the_end_is_an_error(bytes in prop::collection::vec(any::<u8>(), 0..12), kinds in prop::collection::vec(0u8..3, 1..80)) {
        let mut reader = BitReader::new(&bytes, Place::new(Structure::Rbsp));
        for kind in kinds {
            let before = reader.position();
            let result = match kind {
                0 => reader.u(7, "e"),
                1 => reader.ue("e"),
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
        let mut reader = BitReader::new(&bytes, Place::new(Structure::Rbsp));
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

    #[test]
    fn escaping_is_undone(rbsp in zeros_and_others()) {
        let escaped = nal::escape(&rbsp);
        for window in escaped.windows(3) {
            prop_assert!(!(window[0] == 0 && window[1] == 0 && window[2] < 3), "start code or reserved pattern");
        }
        let mut expected = rbsp.clone();
        let read = Rbsp::new(&escaped);
        // The byte appended after a final zero is removed as emulation prevention if two zeros precede it.
        if rbsp.last() == Some(&0) && !rbsp.ends_with(&[0, 0]) {
            expected.push(3);
        }
        if rbsp.ends_with(&[0, 0]) && read.bytes().len() == rbsp.len() + 1 {
            expected.push(3);
        }
        prop_assert_eq!(read.bytes(), &expected[..]);
    }

    #[test]
    fn unescaping_equals_the_loop_of_the_standard(rbsp in zeros_and_others()) {
        let escaped = nal::escape(&rbsp);
        let read = Rbsp::new(&escaped);
        let (bytes, removed) = unescape_naively(&escaped);
        prop_assert_eq!(read.bytes(), &bytes[..]);
        prop_assert_eq!(read.emulation_prevention_positions(), &removed[..]);
        for (offset, &byte) in bytes.iter().enumerate() {
            prop_assert_eq!(escaped[read.escaped_offset(offset)], byte);
        }
    }

    #[test]
    fn splitting_equals_the_loop_of_the_standard(data in zeros_and_others()) {
        let split: Vec<Vec<u8>> = nal::split_annex_b(&data).map(<[u8]>::to_vec).collect();
        prop_assert_eq!(split, split_naively(&data));
    }

    /// Start codes lie anywhere, across the borders of pages as well, and NAL units are longer than a page.
    #[test]
    fn long_streams_are_announced_and_split(
        parts in prop::collection::vec((zeros_and_others(), 0usize..10_000), 1..6)
    ) {
        let filled = |(part, length): &(Vec<u8>, usize)| [part.as_slice(), &vec![0x55; *length]].concat();
        let data: Vec<u8> = parts.iter().flat_map(filled).collect();
        ANNOUNCED.set((data.as_ptr() as usize, 0));
        let mut split: Vec<Vec<u8>> = Vec::new();
        for nal in nal::split_annex_b(&data).with_ahead(announced) {
            let end = nal.as_ptr() as usize + nal.len() - data.as_ptr() as usize;
            prop_assert!(end <= ANNOUNCED.get().1, "searched up to {end}");
            split.push(nal.to_vec());
        }
        prop_assert_eq!(ANNOUNCED.get().1, data.len());
        prop_assert_eq!(split, split_naively(&data));
    }

    #[test]
    fn pieces_split_like_the_whole(data in zeros_and_others(), cuts in prop::collection::vec(1usize..20, 1..200)) {
        let mut reader = AnnexBReader::new();
        let mut nals: Vec<Vec<u8>> = Vec::new();
        let mut rest = &data[..];
        for cut in cuts.iter().cycle() {
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            reader.feed(piece)?;
            while let Some(nal) = reader.next_nal() {
                nals.push(nal.to_vec());
            }
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        reader.finish();
        while let Some(nal) = reader.next_nal() {
            nals.push(nal.to_vec());
        }
        prop_assert_eq!(nals, split_naively(&data));
    }

    #[test]
    fn length_prefixes_are_followed(nals in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 0..20), size in prop::sample::select(vec![1u8, 2, 4]), cut in 0usize..4000) {
        let mut data = Vec::new();
        for nal in &nals {
            data.extend(&(nal.len() as u32).to_be_bytes()[4 - usize::from(size)..]);
            data.extend(nal);
        }
        let split: Vec<&[u8]> = nal::split_length_prefixed(&data, size).collect::<Result<_, _>>()?;
        prop_assert_eq!(&split, &nals.iter().map(Vec::as_slice).collect::<Vec<_>>());
        // A cut sample gives the NAL units before the cut, then an error or nothing.
        let cut = cut.min(data.len());
        let units: Vec<_> = nal::split_length_prefixed(&data[..cut], size).collect();
        let good = units.iter().take_while(|unit| unit.is_ok()).count();
        prop_assert!(units.len() - good <= 1);
        for (unit, nal) in units[..good].iter().zip(&nals) {
            prop_assert_eq!(unit.as_ref().ok(), Some(&&nal[..]));
        }
    }
}

#[test]
fn golomb_codes_at_the_limits() {
    let place = Place::new(Structure::Rbsp);
    // 31 zeros, a one, 31 ones: 2^32 - 2.
    let largest = [0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(BitReader::new(&largest, place).ue("e"), Ok(u32::MAX - 1));
    assert_eq!(BitReader::new(&largest, place).se("e"), Ok(-i32::MAX));
    let too_long = [0, 0, 0, 0, 0x80, 0, 0, 0, 0];
    let error = BitReader::new(&too_long, place).ue("e");
    assert_eq!(error, Err(Error::GolombTooLong { place, element: "e", position: 0 }));
    assert!(matches!(BitReader::new(&[0, 0], place).ue("e"), Err(Error::Truncated { .. })));
}

#[test]
fn errors_name_element_value_and_limit() {
    let mut reader = BitReader::new(&[0b0000_1000, 0x80], Place::with_id(Structure::Pps, 5));
    let error = reader.ue_max(3, "diff_cu_qp_delta_depth").expect_err("15 + suffix is too large");
    assert_eq!(error.to_string(), "PPS 5: diff_cu_qp_delta_depth is 16, allowed is 0..=3");
}

#[test]
fn length_size_three_is_refused() {
    let units: Vec<_> = nal::split_length_prefixed(&[0, 0, 1, 5], 3).collect();
    assert_eq!(units, [Err(Error::LengthSize { length_size: 3 })]);
}
