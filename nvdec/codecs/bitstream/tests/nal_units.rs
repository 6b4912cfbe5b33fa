//! Properties of splitting streams and samples into NAL units, and of emulation prevention.

mod common;

use std::cell::Cell;

use bitstream::{AnnexBReader, FramingError, LengthSize, Rbsp, escape, split_annex_b, split_length_prefixed};
use common::zeros_and_others;
use proptest::prelude::*;

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

/// NAL units as a sample with a length of `size` bytes before each.
fn length_prefixed(nals: &[Vec<u8>], size: LengthSize) -> Vec<u8> {
    let mut sample = Vec::new();
    for nal in nals {
        sample.extend(&(nal.len() as u32).to_be_bytes()[4 - size.bytes()..]);
        sample.extend(nal);
    }
    sample
}

fn length_sizes() -> impl Strategy<Value = LengthSize> {
    prop::sample::select(vec![LengthSize::One, LengthSize::Two, LengthSize::Four])
}

fn bytes(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), length)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn escaping_is_undone(rbsp in zeros_and_others()) {
        let escaped = escape(&rbsp);
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
        let escaped = escape(&rbsp);
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
        let split: Vec<Vec<u8>> = split_annex_b(&data).map(<[u8]>::to_vec).collect();
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
        for nal in split_annex_b(&data).with_ahead(announced) {
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
        // What was there of a NAL unit, by its number.
        let mut unfinished: Vec<(usize, Vec<u8>)> = Vec::new();
        let mut rest = &data[..];
        for cut in cuts.iter().cycle() {
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            reader.feed(piece)?;
            while let Some(nal) = reader.next_nal() {
                nals.push(nal.to_vec());
            }
            let end = reader.unfinished().iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            unfinished.push((nals.len(), reader.unfinished()[..end].to_vec()));
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        reader.finish();
        while let Some(nal) = reader.next_nal() {
            nals.push(nal.to_vec());
        }
        prop_assert_eq!(reader.unfinished(), &[]);
        for (number, begin) in unfinished.iter().filter(|(_, begin)| !begin.is_empty()) {
            prop_assert!(nals[*number].starts_with(begin));
        }
        prop_assert_eq!(nals, split_naively(&data));
    }

    #[test]
    fn length_prefixes_are_followed(
        nals in prop::collection::vec(bytes(0..200), 0..20),
        size in length_sizes(),
        cut in 0usize..4000,
    ) {
        let sample = length_prefixed(&nals, size);
        let split: Vec<&[u8]> = split_length_prefixed(&sample, size).collect::<Result<_, _>>()?;
        let expected: Vec<&[u8]> = nals.iter().map(Vec::as_slice).filter(|nal| !nal.is_empty()).collect();
        prop_assert_eq!(&split, &expected);

        // A cut sample gives the NAL units before the cut, then the error that says where it is cut, then nothing.
        let cut = cut.min(sample.len());
        let mut expected = Vec::new();
        let mut offset = 0;
        for nal in &nals {
            let (begin, end) = (offset + size.bytes(), offset + size.bytes() + nal.len());
            if cut <= offset {
                break;
            } else if cut < begin {
                let (length_size, available) = (size as u8, cut - offset);
                expected.push(Err(FramingError::LengthField { offset, length_size, available }));
                break;
            } else if cut < end {
                expected.push(Err(FramingError::Length { offset, length: nal.len(), available: cut - begin }));
                break;
            } else if !nal.is_empty() {
                expected.push(Ok(&nal[..]));
            }
            offset = end;
        }
        let units: Vec<_> = split_length_prefixed(&sample[..cut], size).collect();
        prop_assert_eq!(units, expected);
    }

    /// NAL units of any bytes lie in the sample, one behind the other, and one error ends it.
    #[test]
    fn any_bytes_are_a_sample_or_an_error(sample in bytes(0..300), size in length_sizes()) {
        let mut units = split_length_prefixed(&sample, size);
        let mut end = 0;
        let failed = loop {
            match units.next() {
                Some(Ok(nal)) => {
                    let begin = nal.as_ptr() as usize - sample.as_ptr() as usize;
                    prop_assert!(begin >= end + size.bytes());
                    prop_assert!(!nal.is_empty());
                    end = begin + nal.len();
                    prop_assert!(end <= sample.len());
                }
                Some(Err(error)) => {
                    let (FramingError::Length { offset, .. } | FramingError::LengthField { offset, .. }) = error else {
                        panic!("{error}");
                    };
                    prop_assert!(offset >= end && offset < sample.len());
                    break true;
                }
                None => break false,
            }
        };
        prop_assert_eq!(units.next(), None);
        // Without an error only empty NAL units may follow the last one that was returned.
        prop_assert!(failed || sample[end..].iter().all(|&byte| byte == 0));
    }

    /// NAL units with headers of one, two and four bytes come back by either framing.
    #[test]
    fn nal_units_of_any_header_come_back(
        payloads in prop::collection::vec(zeros_and_others(), 1..10),
        header in prop::sample::select(vec![1usize, 2, 4]),
    ) {
        let header = &[0x67, 0x42, 0x40, 0x09][..header];
        // As rbsp_trailing_bits() does, so that no payload ends with a zero.
        let payloads: Vec<Vec<u8>> = payloads.into_iter().map(|payload| [&payload[..], &[0x80]].concat()).collect();
        let nals: Vec<Vec<u8>> = payloads.iter().map(|payload| [header, &escape(payload)].concat()).collect();
        let stream: Vec<u8> = nals.iter().flat_map(|nal| [&[0, 0, 0, 1][..], nal].concat()).collect();
        let sample = length_prefixed(&nals, LengthSize::Four);
        let from_sample: Vec<&[u8]> =
            split_length_prefixed(&sample, LengthSize::Four).collect::<Result<_, _>>()?;
        let from_stream: Vec<&[u8]> = split_annex_b(&stream).collect();
        prop_assert_eq!(&from_stream, &from_sample);
        for (nal, payload) in from_stream.iter().zip(&payloads) {
            let rbsp = Rbsp::new(&nal[header.len()..]);
            prop_assert_eq!(rbsp.bytes(), &payload[..]);
        }
        prop_assert_eq!(from_stream.len(), payloads.len());
    }
}

#[test]
fn length_sizes_are_one_two_and_four() {
    for bytes in 0..=u8::MAX {
        match LengthSize::new(bytes) {
            Ok(size) => assert!(size.bytes() == usize::from(bytes) && [1, 2, 4].contains(&bytes)),
            Err(error) => {
                assert!(![1, 2, 4].contains(&bytes));
                assert_eq!(error, FramingError::LengthSize { length_size: bytes });
            }
        }
    }
}

#[test]
fn framing_errors_name_offset_and_length() {
    let error = |sample: &[u8]| {
        let error = split_length_prefixed(sample, LengthSize::Four).find_map(Result::err);
        error.expect("a sample that is cut").to_string()
    };
    assert_eq!(
        error(&[0, 0, 0, 1, 0x65, 0xff, 0xff, 0xff, 0xff, 1, 2]),
        "length-prefixed NAL unit at byte 5 has length 4294967295, but only 2 bytes are left"
    );
    assert_eq!(
        error(&[0, 0, 0, 1, 0x65, 0, 0]),
        "sample ends inside the length field at byte 5: 2 of its 4 bytes are there"
    );
}

/// The limit holds for what is fed at once as well, and reading goes on at the next start code.
#[test]
fn no_more_is_held_than_the_limit() {
    let mut reader = AnnexBReader::with_limit(100);
    reader.feed(&[0, 0, 1, 0x65]).expect("small");
    assert_eq!(reader.next_nal(), None);
    assert_eq!(reader.feed(&[0x55; 100]), Err(FramingError::BufferLimit { buffered: 101, limit: 100 }));
    assert_eq!(reader.buffered(), 0);
    reader.feed(&[0x55, 0, 0, 1, 0x41, 0, 0, 1]).expect("small");
    assert_eq!(reader.next_nal(), Some(&[0x41][..]));
    assert_eq!(reader.next_nal(), None);
}
