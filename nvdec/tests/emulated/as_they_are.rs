//! Streams as they are found, against the rules of H.265 in small things.

use std::sync::Arc;

use bitstream::{Rbsp, escape, split_annex_b};
use hevc::NalUnitType;
use hevc::nal::NalHeader;
use nvdec::{
    ByteStream, Codec, CodecInfo, Context, Decoder, DecoderOptions, DeviceChoice, Downloader, Frame, Mode,
    Packet, Sent, Source, Units,
};

use crate::support::{stream, sum, sums};

const DELIMITER: &[u8] = &[0x46, 0x01, 0x50];
/// user_data_unregistered() of 17 bytes.
const PREFIX_SEI: &[u8] =
    &[0x4e, 0x01, 5, 17, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 0x80];
const FILLER: &[u8] = &[0x4c, 0x01, 0xff, 0xff, 0x80];
const RESERVED_VCL: &[u8] = &[0x2c, 0x01, 0x80, 0x55];
const RESERVED: &[u8] = &[0x52, 0x01, 0x55];
const UNSPECIFIED: &[u8] = &[0x60, 0x01, 0x55];
/// A delimiter and a slice segment of layer 1.
const LAYER_1: [&[u8]; 2] = [&[0x46, 0x09, 0x50], &[0x02, 0x09, 0x80, 0x55]];

fn kind(unit: &[u8]) -> NalUnitType {
    NalHeader::parse(unit).unwrap().nal_unit_type
}

fn is_first_slice(unit: &[u8]) -> bool {
    kind(unit).is_slice_segment() && unit[2] & 0x80 != 0
}

fn units(name: &str) -> Vec<Vec<u8>> {
    split_annex_b(&stream(name)).map(<[u8]>::to_vec).collect()
}

fn bytes<U: AsRef<[u8]>>(units: &[U]) -> Vec<u8> {
    units.iter().flat_map(|unit| [&[0, 0, 0, 1], unit.as_ref()].concat()).collect()
}

fn context() -> Arc<Context> {
    Context::open(DeviceChoice::Emulated).unwrap()
}

/// All frames that a source gives, and nothing reported.
fn frames(context: &Arc<Context>, source: impl Source, what: &str) -> Vec<Frame> {
    let mut decoder = Decoder::new(context, Codec::Hevc, DecoderOptions::default()).unwrap();
    let frames =
        decoder.frames(source).map(|frame| frame.unwrap_or_else(|e| panic!("{what}: {e}"))).collect();
    decoder.finish().unwrap();
    let errors: Vec<_> = std::iter::from_fn(|| decoder.take_error()).collect();
    assert!(errors.is_empty(), "{what}: {errors:?}");
    frames
}

/// Whether a stream gives the pictures of `name`, however it is sent.
fn gives_the_pictures_of(name: &str, stream: &[u8], what: &str) {
    let context = context();
    let downloader = Downloader::new(&context);
    let what = format!("{name} with {what}");
    let expect = |frames: Vec<Frame>, how| {
        let found: Vec<_> = frames.into_iter().map(|frame| sum(&downloader, frame).unwrap()).collect();
        assert_eq!(found, sums(name), "{what}, {how}");
    };
    expect(frames(&context, Units::new(stream), &what), "copied");
    expect(frames(&context, ByteStream::new(stream), &what), "as bytes");
    let mut input = context.input(stream.len()).unwrap();
    input.copy_from_slice(stream);
    expect(frames(&context, Units::of(&input.freeze()), &what), "in place");
}

/// Puts units in front of all slice segments but the first of each picture, and others in front of those.
fn between_slices(name: &str, within: &[&[u8]], before: &[&[u8]]) -> Vec<u8> {
    let mut out: Vec<Vec<u8>> = Vec::new();
    for unit in units(name) {
        if kind(&unit).is_slice_segment() {
            let put = if is_first_slice(&unit) { before } else { within };
            out.extend(put.iter().map(|unit| unit.to_vec()));
        }
        out.push(unit);
    }
    bytes(&out)
}

#[test]
fn units_between_the_slices_of_a_picture_do_not_end_it() {
    for name in ["h_slice_ctu", "h_depslice_ctu", "h_depslice_wpp"] {
        let all = units(name);
        let of_type = |wanted| all.iter().find(|unit| kind(unit) == wanted).unwrap().as_slice();
        let [vps, sps, pps] = [NalUnitType::VPS_NUT, NalUnitType::SPS_NUT, NalUnitType::PPS_NUT].map(of_type);
        let mut every =
            vec![DELIMITER, vps, sps, pps, PREFIX_SEI, FILLER, RESERVED_VCL, RESERVED, UNSPECIFIED];
        every.extend(LAYER_1);
        for (what, within) in [
            ("delimiters", &[DELIMITER][..]),
            ("SEI", &[PREFIX_SEI]),
            ("parameter sets", &[vps, sps, pps]),
            ("everything", &every),
        ] {
            gives_the_pictures_of(name, &between_slices(name, within, &[]), what);
        }
    }
}

/// A parameter set that comes within a picture is for those behind it, whatever its identifier.
#[test]
fn a_picture_keeps_its_parameter_sets() {
    let of = |name: &str| units(name).into_iter().find(|unit| kind(unit) == NalUnitType::PPS_NUT).unwrap();
    let (name, others) = ("h_slice_ctu", of("x_wpp"));
    let own = of(name);
    assert!(own != others && own[2] & others[2] & 0x80 != 0, "both are PPS 0");
    gives_the_pictures_of(name, &between_slices(name, &[&others], &[&own]), "another PPS 0");
}

fn hash(frame: &Frame) -> bool {
    match frame.codec() {
        CodecInfo::Hevc(info) => info.hash.is_some(),
        CodecInfo::None => false,
        _ => unreachable!("HEVC was decoded"),
    }
}

/// A hash belongs to the slice segments in front of it, not to a picture before a delimiter.
#[test]
fn the_hash_of_a_lost_picture_is_not_that_of_the_one_before() {
    let context = context();
    let all = units("h_ld_b");
    let with = frames(&context, Units::new(&bytes(&all)), "whole");
    assert!(with.iter().all(hash));
    // Picture 2 loses its hash, and picture 3 its slice.
    let is_hash = |unit: &Vec<u8>| kind(unit) == NalUnitType::SUFFIX_SEI_NUT;
    let first = all.iter().position(|unit| is_first_slice(unit)).unwrap();
    let at = first + 4;
    assert!(is_first_slice(&all[at]) && is_hash(&all[at + 1]) && is_first_slice(&all[at + 2]));
    for (between, expected) in [(&[][..], true), (&[DELIMITER], false), (&[PREFIX_SEI], false)] {
        let before = all[..=at].iter().map(Vec::as_slice);
        let cut: Vec<&[u8]> = before.chain(between.iter().copied()).chain([all[at + 3].as_slice()]).collect();
        let found: Vec<bool> =
            frames(&context, Units::new(&bytes(&cut)), "a lost picture").iter().map(hash).collect();
        assert_eq!(found, [true, true, expected], "{between:?}");
    }
}

/// From a byte stream a picture is known to be complete as soon as the next one begins, and not before.
#[test]
fn a_picture_ends_with_the_first_bytes_of_the_next() {
    let context = context();
    let options = DecoderOptions::default().with_mode(Mode::LowLatency);
    let pictures: Vec<Vec<u8>> = units("h_ld_b");
    let mut decoder = Decoder::new(&context, Codec::Hevc, options).unwrap();
    let mut due = 0;
    let mut send = |bytes: &[u8]| {
        assert_eq!(decoder.send(Packet::byte_stream(bytes)).unwrap(), Sent::Accepted);
        due += std::iter::from_fn(|| decoder.receive()).count();
        due
    };
    let mut begun = 0;
    for unit in &pictures {
        if !is_first_slice(unit) {
            send(&bytes(&[unit]));
            continue;
        }
        // The delimiter in front tells nothing before there was one between pictures: it may stand between slices.
        let known = if begun < 2 { usize::saturating_sub(begun, 1) } else { begun };
        assert_eq!(send(&bytes(&[DELIMITER, PREFIX_SEI])), known);
        // Nor do start code and NAL unit header: the next slice segment may be another of the picture.
        assert_eq!(send(&[&[0, 0, 0, 1], &unit[..2]].concat()), known);
        assert_eq!(send(&unit[2..3]), begun);
        send(&unit[3..]);
        begun += 1;
    }
    assert_eq!(begun, sums("h_ld_b").len());
}

/// Replaces the end of a parameter set that has no extension by `bits`.
fn with_extension(unit: &[u8], bits: &[u8]) -> Vec<u8> {
    let rbsp = Rbsp::new(&unit[2..]);
    let mut all: Vec<u8> =
        rbsp.bytes().iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    // pps_extension_present_flag stands before the stop bit.
    let stop = all.iter().rposition(|&bit| bit == 1).unwrap();
    assert_eq!(all[stop - 1], 0);
    all.truncate(stop - 1);
    all.extend(bits.iter().chain(&[1]));
    all.resize(all.len().next_multiple_of(8), 0);
    let rbsp: Vec<u8> = all.chunks(8).map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | bit)).collect();
    [&unit[..2], &escape(&rbsp)].concat()
}

/// The base layer of a stream whose parameter sets speak of layers above.
#[test]
fn extensions_for_other_layers_are_no_obstacle() {
    let name = "h_ra_cra";
    // Extension flags: multilayer and 3D; then colour_mapping_enabled_flag, and what is not read.
    let pps = [1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 1, 0];
    let sps = [1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 1, 0];
    let mut out = Vec::new();
    for unit in units(name) {
        match kind(&unit) {
            NalUnitType::SPS_NUT => out.push(with_extension(&unit, &sps)),
            NalUnitType::PPS_NUT => out.push(with_extension(&unit, &pps)),
            _ => out.push(unit),
        }
        out.extend(LAYER_1.map(<[u8]>::to_vec));
    }
    gives_the_pictures_of(name, &bytes(&out), "extensions for other layers");
}
