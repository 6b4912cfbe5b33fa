//! What streams say of their pictures besides samples, from their bytes to frames.

use std::sync::Arc;

use bitstream::split_annex_b;
use hcq::Device;
use hevc::nal::{NalHeader, NalUnitType};
use nvdec::side_data::{ContentLightLevel, MasteringDisplay};
use nvdec::{Codec, Context, Decoder, DecoderOptions, SideData, Units};

use crate::support::stream;

/// What is seen of a frame: its position in decoding order, and what the stream says of it.
type Seen = (u64, Option<Arc<SideData>>);

fn decode(stream: &[u8]) -> (Vec<Seen>, Vec<nvdec::Colour>) {
    let context = Context::new(Device::open(Arc::new(nvdec::emulated::h200().unwrap()), 0).unwrap()).unwrap();
    let mut decoder = Decoder::new(&context, Codec::Hevc, DecoderOptions::default()).unwrap();
    let mut colours = Vec::new();
    let seen = decoder.frames(Units::new(stream)).map(|frame| {
        let frame = frame.unwrap();
        colours.push(frame.colour());
        (frame.number(), frame.side_data().cloned())
    });
    (seen.collect(), colours)
}

fn is_sei(nal: &[u8]) -> bool {
    NalHeader::parse(nal).is_ok_and(|header| header.nal_unit_type == NalUnitType::PREFIX_SEI_NUT)
}

#[test]
fn a_stream_that_says_nothing_has_none() {
    // Its pictures carry hashes, which are not meant here.
    let (seen, _) = decode(&stream("h_ra_cra"));
    assert!(seen.len() > 10 && seen.iter().all(|(_, data)| data.is_none()));
}

#[test]
fn high_dynamic_range_holds_for_the_sequence() {
    let bytes = stream("x_hdr_sei");
    let (seen, colours) = decode(&bytes);
    let data: Vec<_> = seen.into_iter().map(|(_, data)| data.unwrap()).collect();
    assert_eq!(data.len(), 8);
    // As ffprobe prints it, and as the encoder was told.
    let display = MasteringDisplay {
        red: (35400, 14600),
        green: (8500, 39850),
        blue: (6550, 2300),
        white: (15635, 16450),
        max_luminance: 10_000_000,
        min_luminance: 50,
    };
    for data in &data {
        assert_eq!(data.mastering_display, Some(display));
        let level = ContentLightLevel { max_content: 1000, max_picture_average: 400 };
        assert_eq!(data.content_light_level, Some(level));
        assert_eq!(data.alternative_transfer, Some(18));
        assert!(data.payloads.is_empty() && data.dropped == 0);
    }
    for sequence in data.chunks(4) {
        assert!(sequence.iter().all(|data| Arc::ptr_eq(data, &sequence[0])), "shared by its frames");
    }
    for colour in colours {
        assert_eq!((colour.primaries, colour.transfer, colour.matrix), (9, 16, 9));
        assert_eq!(colour.chroma_location, Some(2));
    }
    // Without the messages of the second sequence.
    let mut slices = 0;
    let mut cut = Vec::new();
    for nal in split_annex_b(&bytes) {
        slices += u32::from(NalHeader::parse(nal).unwrap().nal_unit_type.is_slice_segment());
        if slices < 4 || !is_sei(nal) {
            cut.extend_from_slice(&[0, 0, 1]);
            cut.extend_from_slice(nal);
        }
    }
    let (seen, _) = decode(&cut);
    assert!(seen[..4].iter().all(|(_, data)| data.is_some()));
    assert!(seen[4..].iter().all(|(_, data)| data.is_none()) && seen.len() == 8);
}

#[test]
fn dolby_vision_of_a_telephone() {
    let (mut seen, _) = decode(&stream("f_dovi_iphone"));
    seen.sort_by_key(|(number, _)| *number);
    // The NAL units of type 62, by hand: 420 bytes each, with these at their ends.
    let ends = [0xd030_6f80u32, 0xd3c9_0980, 0xd030_6f80, 0xd030_6f80, 0xd3c9_0980];
    assert_eq!(seen.len(), ends.len());
    for ((number, data), end) in seen.iter().zip(ends) {
        let data = data.as_ref().unwrap();
        let rpu = data.dolby_vision_rpu().unwrap();
        assert_eq!((rpu.len(), &rpu[..4]), (420, &[0x19, 0x08, 0x09, 0x08][..]), "picture {number}");
        assert_eq!(rpu[416..], end.to_be_bytes(), "picture {number}");
        // SEI 148 of the first picture: 0x002fe9a0, 0x3d13, 0x4042.
        let viewing = data.ambient_viewing.unwrap();
        assert_eq!((viewing.illuminance, viewing.light), (3_140_000, (15635, 16450)));
        assert_eq!(data.user_data().count(), usize::from(*number == 0));
    }
    let first = seen[0].1.as_ref().unwrap();
    let (uuid, bytes) = first.user_data().next().unwrap();
    assert_eq!((uuid[..4].to_vec(), bytes.len()), (vec![0x47, 0x56, 0x4a, 0xdc], 19));
}

#[test]
fn captions_of_a_film() {
    let (mut seen, _) = decode(&stream("f_fmp4_captions"));
    seen.sort_by_key(|(number, _)| *number);
    let captions: Vec<(u64, Vec<Vec<u8>>)> = seen
        .iter()
        .filter_map(|(number, data)| data.as_ref().map(|data| (*number, data)))
        .map(|(number, data)| (number, data.captions().map(<[u8]>::to_vec).collect::<Vec<_>>()))
        .filter(|(_, captions)| !captions.is_empty())
        .collect();
    assert_eq!(captions.len(), 2, "ffprobe finds them at two frames");
    let (number, first) = &captions[0];
    assert_eq!((*number, first.len(), first[0].len()), (0, 1, 36));
    // Pairs of characters with parity behind a byte of flags (CTA-608); control codes before, a note on both sides.
    let text: Vec<u8> = first[0][24..33].chunks(3).flat_map(|c| [c[1] & 0x7f, c[2] & 0x7f]).collect();
    assert_eq!(text, b"MUSIC\0");
    assert_eq!(captions[1].1, [[0xfc, 0x94, 0x20, 0xfc, 0x94, 0x2c, 0xfc, 0x94, 0x2f]]);
    // x265 writes its options into the first picture.
    let encoder = seen[0].1.as_ref().unwrap().user_data().next().unwrap().1;
    assert!(encoder.starts_with(b"x265 (build 199)"));
    let without = seen.iter().filter(|(_, data)| data.is_none()).count();
    assert_eq!((seen.len(), without), (61, 59));
}

/// An SEI NAL unit of these messages, whose payloads have no two zero bytes in a row.
fn sei(messages: &[(u8, &[u8])]) -> Vec<u8> {
    let mut nal = vec![0, 0, 1, 0x4e, 1];
    for (payload_type, payload) in messages {
        nal.push(*payload_type);
        nal.extend(std::iter::repeat_n(255, payload.len() / 255));
        nal.push((payload.len() % 255) as u8);
        nal.extend_from_slice(payload);
    }
    nal.push(0x80);
    nal
}

#[test]
fn messages_that_were_put_in() {
    let hdr10_plus = [0xb5, 0, 0x3c, 0, 1, 4, 1, 0x40];
    // A quarter turn that persists; 9:08:07, frame 12.
    let orientation = [0x08, 0, 0x18];
    let time_code = [0x60, 0x40, 0x60, 0xe4, 0x24, 0x10];
    let large = vec![0x55; 40_000];
    let mut bytes = Vec::new();
    let mut pictures = 0;
    for nal in split_annex_b(&stream("k_lp_temporal")) {
        if NalHeader::parse(nal).unwrap().nal_unit_type.is_slice_segment() && nal[2] & 0x80 != 0 {
            if pictures == 3 {
                bytes.extend(sei(&[(5, &large), (5, &large), (47, &orientation)]));
                bytes.extend(sei(&[(4, &hdr10_plus), (136, &time_code)]));
            }
            pictures += 1;
        }
        bytes.extend_from_slice(&[0, 0, 1]);
        bytes.extend_from_slice(nal);
    }
    let (seen, _) = decode(&bytes);
    assert_eq!((seen.len(), pictures), (8, 8));
    // The encoder names itself at the first picture.
    assert!(seen[0].1.is_some() && seen[1..3].iter().all(|(_, data)| data.is_none()));
    let fourth = seen[3].1.as_ref().unwrap();
    assert_eq!(fourth.hdr10_plus(), Some(&hdr10_plus[..]));
    assert_eq!((fourth.user_data().count(), fourth.dropped), (1, 1));
    let time = fourth.time_codes[0];
    assert_eq!((time.hours, time.minutes, time.seconds, time.frames), (Some(9), Some(8), Some(7), 12));
    let fifth = seen[4].1.as_ref().unwrap();
    for (number, data) in &seen[3..] {
        let data = data.as_ref().unwrap();
        assert_eq!(data.display_orientation.unwrap().degrees(), 90.0, "picture {number}");
        assert!(*number == 3 || Arc::ptr_eq(data, fifth), "picture {number} has no news");
    }
    assert_eq!((fifth.hdr10_plus(), fifth.payloads.len()), (Some(&hdr10_plus[..]), 1));
    assert!(fifth.time_codes.is_empty() && fifth.dropped == 0);
}
