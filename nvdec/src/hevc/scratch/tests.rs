use super::*;
use bitstream::split_annex_b;
use hevc::pps::Tiles;
use hevc::{Parser, Unit};
use proptest::prelude::*;

use crate::class::VIDEO_CLASSES;
use crate::testing::stream;

/// A picture format.
#[derive(Clone, Copy, Debug)]
struct Format {
    size: (u32, u32),
    ctb_log2: u8,
    chroma_format_idc: u8,
    depth: u8,
}

fn format(width: u32, height: u32, ctb: u32, chroma_format_idc: u8, depth: u8) -> Format {
    Format { size: (width, height), ctb_log2: ctb.ilog2() as u8, chroma_format_idc, depth }
}

fn sets(f: Format, columns: u32) -> (Sps, Pps) {
    let mut parser = Parser::new();
    let (mut sps, mut pps) = (None, None);
    for nal in split_annex_b(stream("h_ra_cra")) {
        match parser.parse(nal) {
            Ok(Unit::Sps(unit)) => sps = Some((*unit).clone()),
            Ok(Unit::Pps(unit)) => pps = Some((*unit).clone()),
            _ => {}
        }
    }
    let (mut sps, mut pps) = (sps.unwrap(), pps.unwrap());
    (sps.pic_width_in_luma_samples, sps.pic_height_in_luma_samples) = f.size;
    (sps.log2_min_luma_coding_block_size, sps.log2_diff_max_min_luma_coding_block_size) = (3, f.ctb_log2 - 3);
    (sps.bit_depth_luma, sps.bit_depth_chroma) = (f.depth, f.depth);
    sps.chroma_format_idc = f.chroma_format_idc;
    if columns > 0 {
        pps.tiles = Some(Tiles {
            num_tile_columns: columns,
            num_tile_rows: 1,
            explicit_sizes: None,
            loop_filter_across_tiles_enabled_flag: true,
        });
    }
    (sps, pps)
}

fn class(generation: &str) -> &'static VideoClass {
    VIDEO_CLASSES.iter().find(|row| row.generation == generation).unwrap()
}

/// Sizes of the areas: deblocking left, SAO left, bitstream decoder, deblocking above, SAO above, intra top,
/// method 0x4dc.
fn areas(s: &Scratch) -> [u64; 7] {
    let edges = [
        0,
        s.sao,
        s.bsd_ctrl,
        s.filter_above,
        s.sao_above,
        s.intra_top,
        s.unnamed_4dc,
        s.size.max(s.unnamed_4dc),
    ];
    std::array::from_fn(|i| edges[i + 1].checked_sub(edges[i]).expect("areas lie one behind the other"))
}

fn on_hopper(f: Format, columns: u32) -> [u64; 7] {
    let (sps, pps) = sets(f, columns);
    areas(&Scratch::new(&sps, &pps, class("Hopper")))
}

/// How far an H200's engine wrote into the areas above, for many streams of each format (deblocking, SAO).
const ABOVE: &[(u32, u32, u32, u8, u8, u64, u64)] = &[
    (1920, 1080, 64, 1, 8, 349_184, 92_160),
    (3840, 2160, 32, 1, 8, 3_113_088, 0),
    (640, 368, 16, 1, 8, 173_184, 112_640),
    (640, 368, 16, 1, 10, 230_912, 0),
    (640, 368, 16, 3, 8, 230_912, 0),
    (640, 368, 16, 3, 12, 346_368, 112_640),
    (640, 368, 32, 1, 8, 88_704, 28_160),
    (640, 368, 32, 1, 10, 118_272, 42_240),
    (640, 368, 32, 3, 8, 118_272, 42_240),
    (640, 368, 32, 3, 12, 162_624, 56_320),
    (640, 368, 64, 1, 8, 38_720, 9_600),
    (640, 368, 64, 1, 10, 52_800, 12_800),
    (640, 368, 64, 3, 8, 52_800, 12_800),
    (640, 368, 64, 3, 12, 73_920, 19_200),
    (1920, 1088, 16, 3, 12, 3_113_088, 1_029_120),
];

/// How far it wrote into the areas at left edges of tiles (deblocking, SAO, bitstream decoder): width, height, coding
/// tree block, depth, columns.
const LEFT: &[([u32; 5], [u64; 3])] = &[
    ([1920, 1080, 64, 8, 5], [70_656, 114_816, 22_080]),
    ([1920, 1080, 64, 8, 4], [53_248, 86_528, 16_640]),
    ([560, 144, 32, 8, 2], [3_072, 6_144, 1_152]),
    ([416, 240, 64, 10, 2], [5_120, 8_320, 1_600]),
];

#[test]
fn what_the_engine_was_seen_to_write_fits() {
    for &(width, height, ctb, chroma, depth, filter, sao) in ABOVE {
        let f = format(width, height, ctb, chroma, depth);
        let found = on_hopper(f, 0);
        assert!(found[3] >= filter, "{f:?}: {} bytes above for {filter}", found[3]);
        assert!(found[4] >= sao, "{f:?}: {} bytes of SAO above for {sao}", found[4]);
        assert_eq!(found[..3], [0; 3], "{f:?}: no tiles, nothing at their left edges");
    }
    for &([width, height, ctb, depth, columns], written) in LEFT {
        let f = format(width, height, ctb, 1, depth as u8);
        let found = on_hopper(f, columns);
        for (i, &bytes) in written.iter().enumerate() {
            assert!(found[i] >= bytes, "{f:?}, {columns} columns: area {i} has {} for {bytes}", found[i]);
        }
    }
}

#[test]
fn the_traced_sizes_are_nvidias_own() {
    // 1920x1080, 8 bits, CTB 64, as NVIDIA's driver wrote it on Ada: offsets divided by 256, and the address of
    // the intra line buffer behind the filter buffer.
    let (sps, pps) = sets(format(1920, 1080, 64, 1, 8), 0);
    let s = Scratch::new(&sps, &pps, class("Ada"));
    let pages = [s.sao, s.bsd_ctrl, s.filter_above, s.sao_above].map(|offset| offset / 256);
    assert_eq!((pages, s.intra_top), ([2584, 23_256, 23_902, 32_130], 0x8d_7200));
    assert_eq!(s.size, 0x8d_7200 + (64 << 10));
}

#[test]
fn classes_differ_behind_the_filter_buffer() {
    let (sps, pps) = sets(format(1920, 1080, 64, 1, 8), 0);
    for row in VIDEO_CLASSES {
        let found = areas(&Scratch::new(&sps, &pps, row));
        let intra_top = if row.hevc.intra_top { 64 << 10 } else { 0 };
        assert_eq!(found[5..], [intra_top, row.hevc.scratch_4dc], "{}", row.generation);
    }
}

#[test]
fn slots_and_blocks() {
    let (sps, _) = sets(format(1920, 1080, 64, 1, 8), 0);
    assert_eq!((collocated_slot_bytes(&sps), blocks(&sps)), (130_560, 120 * 68));
    let (sps, _) = sets(format(8192, 8192, 64, 1, 8), 0);
    assert_eq!((collocated_slot_bytes(&sps), blocks(&sps)), (4 << 20, 262_144));
    let (sps, _) = sets(format(72, 24, 16, 1, 8), 0);
    assert_eq!((collocated_slot_bytes(&sps), blocks(&sps)), (128 * 64 / 16, 10));
}

proptest! {
    /// Areas lie behind one another at multiples of 256, on every class, and the offsets fit the descriptor.
    #[test]
    fn areas_are_disjoint_and_aligned(
        width in 9u32..=1024,
        height in 3u32..=1024,
        ctb_log2 in 4u8..=6,
        deep in 0u8..=2,
        chroma in prop::sample::select(vec![1u8, 2, 3]),
        columns in 0u32..=20,
    ) {
        let f = Format { size: (8 * width, 8 * height), ctb_log2, chroma_format_idc: chroma, depth: 8 + 2 * deep };
        let (sps, pps) = sets(f, columns);
        for row in VIDEO_CLASSES {
            let s = Scratch::new(&sps, &pps, row);
            for offset in [s.sao, s.bsd_ctrl, s.filter_above, s.sao_above, s.intra_top, s.unnamed_4dc] {
                prop_assert!(offset.is_multiple_of(256) && offset <= s.size && offset / 256 <= u64::from(u32::MAX));
            }
            let found = areas(&s);
            prop_assert!(s.size >= 256 && found.iter().sum::<u64>() <= s.size);
            // A row of coding tree blocks above needs a line of every sample at the least.
            let line = u64::from(sps.pic_width_in_luma_samples) * if deep > 0 { 2 } else { 1 };
            prop_assert!(found[3] >= line && found[4] > 0);
            prop_assert!(collocated_slot_bytes(&sps).is_multiple_of(256));
            prop_assert!(collocated_slot_bytes(&sps) >= 16 * u64::from(blocks(&sps)));
        }
    }

    /// More picture never needs less scratch.
    #[test]
    fn scratch_grows_with_the_picture(width in 9u32..=1000, height in 3u32..=1000, more in 0u32..24) {
        let small = on_hopper(format(8 * width, 8 * height, 32, 1, 8), 3);
        let large = on_hopper(format(8 * (width + more), 8 * (height + more), 32, 1, 8), 3);
        prop_assert!(small.iter().zip(&large).all(|(s, l)| s <= l));
    }
}
