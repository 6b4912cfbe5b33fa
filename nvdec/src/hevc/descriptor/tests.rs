use std::collections::BTreeMap;
use std::sync::Arc;

use bitstream::split_annex_b;
use hcq::kernel::emulated::GpuModel;
use hevc::{Parser, Unit};
use proptest::prelude::*;

use super::*;
use crate::class::{Chroma, VIDEO_CLASSES};
use crate::surface::SurfaceFormat;
use crate::testing::{Execution, Machine, stream};

/// What golden.py worked out, apart from this crate and from the table of fields.
const GOLDEN: &str = include_str!("golden.txt");

fn gpu(class: &str) -> GpuModel {
    match class {
        "B8B0" => GpuModel::h200(),
        "C4B0" => GpuModel::t4(),
        "C9B0" => GpuModel::rtx_4090(),
        "CFB0" => GpuModel::rtx_5090(),
        _ => panic!("no GPU of class {class}"),
    }
}

/// Lines of golden.txt: kind, stream, class, picture, then values by offset.
fn golden(kind: &str) -> impl Iterator<Item = (&'static str, &'static str, usize, BTreeMap<usize, u32>)> {
    let lines = GOLDEN.lines().filter(move |line| line.split(' ').next() == Some(kind));
    lines.map(|line| {
        let parts: Vec<&str> = line.split(' ').collect();
        let hex = |text: &str| u32::from_str_radix(text, 16).unwrap();
        let values = parts[4..].iter().map(|pair| {
            let (offset, value) = pair.split_once('=').unwrap();
            (hex(offset) as usize, hex(value))
        });
        (parts[1], parts[2], parts[3].parse().unwrap(), values.collect())
    })
}

/// Calls `check` with each picture of golden.txt and what the engine was told of it.
fn each_golden(kind: &str, mut check: impl FnMut(&str, &Execution, &BTreeMap<usize, u32>)) -> usize {
    let mut decoded: BTreeMap<(&str, &str), Vec<Execution>> = BTreeMap::new();
    let mut count = 0;
    for (name, class, number, values) in golden(kind) {
        let executions =
            decoded.entry((name, class)).or_insert_with(|| Machine::new(gpu(class)).decode(stream(name)));
        check(&format!("{name} on {class}, picture {number}"), &executions[number], &values);
        count += 1;
    }
    count
}

/// A descriptor with its places numbered as lists 0 and 1 first name them, and the picture's own last. Which places are
/// taken is the driver's choice, and golden.py makes another one.
fn canonical(mut descriptor: Vec<u8>) -> Vec<u8> {
    const LISTS: std::ops::Range<usize> = 0x74..0x94;
    const DIFFERENCES: usize = 0x94;
    const LONG_TERM: std::ops::Range<usize> = 0x72..0x74;
    const CURRENT: usize = 0xb6;
    let mut order: Vec<u8> = Vec::new();
    for at in LISTS.chain([CURRENT]) {
        if !order.contains(&descriptor[at]) {
            order.push(descriptor[at]);
        }
    }
    // Places that nobody names stay what they are, in order, behind the others.
    order.extend((0..16).filter(|place| !order.contains(place)).collect::<Vec<_>>());
    let old = descriptor.clone();
    let long_term = u16::from_le_bytes([old[LONG_TERM.start], old[LONG_TERM.start + 1]]);
    let mut marks = 0u16;
    for (new, &place) in order.iter().enumerate().take(16) {
        let place = usize::from(place);
        descriptor[DIFFERENCES + 2 * new..][..2].copy_from_slice(&old[DIFFERENCES + 2 * place..][..2]);
        marks |= (long_term >> (15 - place) & 1) << (15 - new);
    }
    descriptor[LONG_TERM].copy_from_slice(&marks.to_le_bytes());
    for at in LISTS.chain([CURRENT]) {
        descriptor[at] = order.iter().position(|&place| place == old[at]).unwrap() as u8;
    }
    descriptor
}

#[test]
fn every_word_is_as_worked_out_from_the_headers() {
    let count = each_golden("picture", |what, execution, words| {
        let mut differences = Vec::new();
        let mut golden = vec![0; DESCRIPTOR_BYTES];
        for (&offset, word) in words {
            golden[offset..offset + 4].copy_from_slice(&word.to_le_bytes());
        }
        let (descriptor, golden) = (canonical(execution.descriptor.clone()), canonical(golden));
        for offset in (0..DESCRIPTOR_BYTES).step_by(4) {
            let (found, expected) = (word(&descriptor, offset), word(&golden, offset));
            if found != expected {
                differences.push(format!("{offset:#x}: {found:#x} instead of {expected:#x}"));
            }
        }
        assert!(differences.is_empty(), "{what}: {}", differences.join(", "));
    });
    assert!(count >= 30, "{count} pictures in golden.txt");
}

#[test]
fn tile_tables_are_as_worked_out_from_the_headers() {
    each_golden("tiles", |what, execution, entries| {
        for (i, entry) in execution.tiles.chunks(2).enumerate() {
            let expected = entries.get(&(2 * i)).copied().unwrap_or(0);
            let found = u32::from(u16::from_le_bytes([entry[0], entry[1]]));
            assert_eq!(found, expected, "{what}: tile table at {:#x}", 2 * i);
        }
    });
}

/// The parameter sets of a stream and its first picture.
fn first_picture(name: &str) -> Arc<Picture> {
    let mut parser = Parser::new();
    let picture = split_annex_b(stream(name)).find_map(|nal| match parser.parse(nal) {
        Ok(Unit::Slice(slice)) => slice.picture,
        _ => None,
    });
    picture.unwrap_or_else(|| panic!("{name} has no picture"))
}

/// The descriptor of a picture at place 5 with the given references and parameter sets.
fn describe(picture: &Picture, references: &References) -> [u8; DESCRIPTOR_BYTES] {
    let class = VIDEO_CLASSES.iter().find(|row| row.generation == "Hopper").unwrap();
    let (sps, pps) = (&picture.sps, &picture.pps);
    let format = SurfaceFormat {
        chroma: Chroma::from_chroma_format_idc(sps.chroma_format_idc).unwrap(),
        bit_depth: sps.bit_depth_luma,
        chroma_bit_depth: sps.bit_depth_chroma,
    };
    let geometry =
        SurfaceGeometry::new(format, sps.pic_width_in_luma_samples, sps.pic_height_in_luma_samples);
    Template::new(sps, pps, class, &geometry).picture(picture, 5, references, 1000)
}

fn word(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..offset + 4].try_into().unwrap())
}

fn reference(place: u8, poc: i32, long_term: bool) -> PlacedReference {
    PlacedReference { place, poc, long_term }
}

#[test]
fn lists_repeat_and_marks_count_from_the_top() {
    let mut picture = (*first_picture("h_ra_cra")).clone();
    picture.pic_order_cnt_val = 1000;
    let entries = [
        reference(3, 999, false),
        reference(0, 900, false),
        reference(7, 1004, false),
        reference(15, 2000, true),
        reference(1, 100, true),
    ];
    let references = References::new([2, 1, 2], entries.into_iter());
    let d = describe(&picture, &references);
    assert_eq!(d[0x70], 5, "num_ref_frames");
    assert_eq!(u16::from_le_bytes([d[0x72], d[0x73]]), 1 << 0 | 1 << 14, "longtermflag, bit 15 - place");
    assert_eq!(d[0x74..0x84], [3, 0, 7, 15, 1, 3, 0, 7, 15, 1, 3, 0, 7, 15, 1, 3], "list 0");
    assert_eq!(d[0x84..0x94], [7, 3, 0, 15, 1, 7, 3, 0, 15, 1, 7, 3, 0, 15, 1, 7], "list 1");
    let differences: Vec<i16> = d[0x94..0xb4].chunks(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
    // Clipped to 8 bits; places without a reference have the first one's.
    assert_eq!(differences, [100, 127, 1, 1, 1, 1, 1, -4, 1, 1, 1, 1, 1, 1, 1, -128]);
    assert_eq!(d[0xb6], 5, "curr_pic_idx");
}

#[test]
fn a_picture_without_references_names_itself() {
    let picture = first_picture("h_ra_cra");
    let d = describe(&picture, &References::default());
    assert_eq!((d[0x70], word(&d, 0x70)), (0, 0));
    assert_eq!(d[0x74..0x94], [5; 32]);
    assert_eq!(d[0x94..0xb4], [0; 32]);
    assert_eq!((d[0xb4], d[0xb5]), (1, 1), "IDR_picture_flag, RAP_picture_flag");
    assert_eq!(word(&d, 0x30), 1000, "stream_len");
}

/// As [`describe`], with changed parameter sets.
fn with_sets(name: &str, change: impl FnOnce(&mut Sps, &mut Pps)) -> [u8; DESCRIPTOR_BYTES] {
    let mut picture = (*first_picture(name)).clone();
    let (mut sps, mut pps) = ((*picture.sps).clone(), (*picture.pps).clone());
    change(&mut sps, &mut pps);
    (picture.sps, picture.pps) = (Arc::new(sps), Arc::new(pps));
    describe(&picture, &References::default())
}

#[test]
fn pcm_and_depth() {
    let d = with_sets("h_pcm10", |sps, pps| {
        (sps.bit_depth_luma, sps.bit_depth_chroma) = (12, 12);
        pps.init_qp_minus26 = -50;
        sps.pcm = Some(hevc::sps::Pcm {
            bit_depth_luma: 12,
            bit_depth_chroma: 7,
            log2_min_cb_size: 3,
            log2_max_cb_size: 5,
            loop_filter_disabled_flag: true,
        });
    });
    // Bits 9, 13:10, 17:14, 21:18, 25:22, 26.
    assert_eq!(word(&d, 0x60) >> 9 & 0x3_ffff, 1 | 12 << 1 | 7 << 5 | 3 << 9 | 5 << 13 | 1 << 17);
    assert_eq!(word(&d, 0x64) >> 15 & 0x7f, 26 + 24 - 50, "init_qp counts from -QpBdOffset");
    assert_eq!(word(&d, 0x5c) >> 4 & 0xff, 0xcc);
    assert_eq!(word(&d, 0x40) >> 16 & 0xff, 1, "disp_output_mode");
    assert_eq!((word(&d, 0x44), word(&d, 0x48)), (128, 128), "strides in samples of two bytes");
}

#[test]
fn range_extensions() {
    let d = with_sets("hx_tools_a", |sps, pps| {
        let e = &mut sps.range_extension;
        e.transform_skip_rotation_enabled_flag = true;
        e.transform_skip_context_enabled_flag = false;
        e.implicit_rdpcm_enabled_flag = true;
        e.explicit_rdpcm_enabled_flag = false;
        e.extended_precision_processing_flag = false;
        e.intra_smoothing_disabled_flag = true;
        e.high_precision_offsets_enabled_flag = true;
        e.persistent_rice_adaptation_enabled_flag = false;
        e.cabac_bypass_alignment_enabled_flag = false;
        let e = &mut pps.range_extension;
        e.log2_max_transform_skip_size = 5;
        e.cross_component_prediction_enabled_flag = true;
        e.chroma_qp_offset_list_enabled_flag = true;
        e.diff_cu_chroma_qp_offset_depth = 2;
        e.chroma_qp_offset_list = vec![(-12, 12), (1, -1), (2, -2), (3, -3), (4, -4), (5, -5)];
        e.log2_sao_offset_scale_luma = 2;
        e.log2_sao_offset_scale_chroma = 1;
    });
    assert_eq!(word(&d, 0xdc), 0b00_1100_1001);
    assert_eq!(word(&d, 0xe0), 5 | 1 << 4 | 1 << 5 | 2 << 6 | 6 << 8 | 2 << 11 | 1 << 14);
    assert_eq!(d[0xe4..0xf0], [0xf4, 1, 2, 3, 4, 5, 12, 0xff, 0xfe, 0xfd, 0xfc, 0xfb]);
    // A list that is off leaves nothing behind.
    let d = with_sets("hx_tools_a", |_, pps| {
        let e = &mut pps.range_extension;
        (e.chroma_qp_offset_list_enabled_flag, e.diff_cu_chroma_qp_offset_depth) = (false, 3);
        e.chroma_qp_offset_list = vec![(1, 1)];
    });
    assert_eq!((word(&d, 0xe0) & 0x7e0, word(&d, 0xe4), word(&d, 0xe8)), (0, 0, 0));
}

#[test]
fn offsets_are_doubled_and_signed() {
    let d = with_sets("h_dbk_slice", |_, pps| {
        (pps.pps_cb_qp_offset, pps.pps_cr_qp_offset) = (-12, 12);
        (pps.pps_beta_offset_div2, pps.pps_tc_offset_div2) = (-6, 6);
    });
    assert_eq!(d[0x68..0x6c], [0xf4, 12, 0xf4, 12]);
}

#[test]
fn a_word_behind_the_struct_is_blackwells() {
    let picture = first_picture("x_hdr10");
    let format = SurfaceFormat::new(Chroma::C420, 10);
    let geometry = SurfaceGeometry::new(format, 416, 240);
    for class in VIDEO_CLASSES {
        let template = Template::new(&picture.sps, &picture.pps, class, &geometry);
        let d = template.picture(&picture, 0, &References::default(), 1);
        let expected = if class.generation.starts_with("Blackwell") { 0x10 } else { 0 };
        assert_eq!(word(&d, 0x11c), expected, "{}", class.generation);
        assert!(d[0x114..0x11c].iter().chain(&d[0x120..]).all(|&b| b == 0), "{}", class.generation);
    }
}

proptest! {
    /// Whatever the references are, no field overflows and the lists name nothing but places in use.
    #[test]
    fn any_references_fit(
        poc in any::<i32>(),
        sets in prop::collection::vec((0u8..16, any::<i32>(), 0usize..3), 0..16),
    ) {
        let mut picture = (*first_picture("h_ra_cra")).clone();
        picture.pic_order_cnt_val = poc;
        let of = |wanted: usize| sets.iter().filter(move |&&(_, _, set)| set == wanted);
        let entries = [0, 1, 2].into_iter().flat_map(of).map(|&(place, poc, set)| reference(place, poc, set == 2));
        let references = References::new([0, 1, 2].map(|set| of(set).count()), entries);
        let d = describe(&picture, &references);
        prop_assert_eq!(usize::from(d[0x70]), sets.len());
        let named = |place: u8| if sets.is_empty() { place == 5 } else { sets.iter().any(|s| s.0 == place) };
        prop_assert!(d[0x74..0x94].iter().all(|&place| named(place)));
        for difference in d[0x94..0xb4].chunks(2).map(|b| i16::from_le_bytes([b[0], b[1]])) {
            prop_assert!((-128..=127).contains(&difference));
        }
        let marked = u16::from_le_bytes([d[0x72], d[0x73]]);
        for place in 0..16 {
            let long_term = sets.iter().any(|s| s.0 == place && s.2 == 2);
            prop_assert_eq!(marked >> (15 - place) & 1 == 1, long_term);
        }
    }
}

#[test]
fn scaling_lists_are_as_worked_out_from_the_headers() {
    let count = each_golden("scaling", |what, execution, words| {
        let found = execution.scaling_lists.as_ref().unwrap_or_else(|| panic!("{what}: no scaling lists"));
        for (i, bytes) in found.chunks(4).enumerate() {
            let value = u32::from_le_bytes(bytes.try_into().unwrap());
            assert_eq!(value, words.get(&(4 * i)).copied().unwrap_or(0), "{what}: at {:#x}", 4 * i);
        }
    });
    assert_eq!(count, 2);
    for execution in Machine::h200().decode(stream("h_ra_cra")) {
        assert!(execution.scaling_lists.is_none(), "scaling_list_enabled_flag is 0");
    }
}
