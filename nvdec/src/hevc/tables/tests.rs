use super::*;
use bitstream::split_annex_b;
use hevc::{Parser, Unit};
use proptest::prelude::*;

use crate::testing::stream;

/// Position in coding order of the coefficient at column `x` and line `y` of an 8x8 list: up-right diagonals.
fn diagonal_index(x: usize, y: usize) -> usize {
    let before = |d: usize| d * (d + 1) / 2;
    if x + y < 8 { before(x + y) + x } else { 63 - (before(14 - x - y) + 7 - x) }
}

#[test]
fn asymmetric_lists_go_columns_first() {
    let mut lists = ScalingList::flat();
    for m in 0..6 {
        lists.dc_16x16[m] = 100 + m as u8;
        lists.dc_32x32[m] = 110 + m as u8;
        for i in 0..16 {
            lists.lists_4x4[m][i] = (16 * m + i) as u8;
        }
        for i in 0..64 {
            lists.lists_8x8[m][i] = (i + 3 * m) as u8;
            lists.lists_16x16[m][i] = (i + 64 + 3 * m) as u8;
            lists.lists_32x32[m][i] = (i + 128 + 3 * m) as u8;
        }
    }
    let table = scaling_lists(&lists);
    assert_eq!(table[..16], [100, 101, 102, 103, 104, 105, 110, 113, 0, 0, 0, 0, 0, 0, 0, 0]);
    // The 4x4 scan: 0; 1 2; 3 4 5; 6 7 8 9; …, from lower left to upper right.
    let columns = [0, 1, 3, 6, 2, 4, 7, 10, 5, 8, 11, 13, 9, 12, 14, 15];
    for m in 0..6u8 {
        let at = 0x10 + 16 * usize::from(m);
        assert_eq!(table[at..at + 16], columns.map(|i| 16 * m + i), "4x4 matrix {m}");
    }
    let check = |start: usize, base: usize, matrix: usize| {
        for x in 0..8 {
            for y in 0..8 {
                let expected = (diagonal_index(x, y) + base + 3 * matrix) as u8;
                assert_eq!(table[start + 8 * x + y], expected, "list at {start:#x}, column {x}, line {y}");
            }
        }
    };
    for m in 0..6 {
        check(0x70 + 64 * m, 0, m);
        check(0x1f0 + 64 * m, 64, m);
    }
    check(0x370, 128, 0);
    check(0x3b0, 128, 3);
    assert_eq!(table.len(), 0x3f0);
}

#[test]
fn flat_lists_are_what_the_driver_writes() {
    // NVIDIA's own driver fills the table so when scaling is off.
    let table = scaling_lists(&ScalingList::flat());
    assert!(table.iter().enumerate().all(|(i, &v)| v == if (8..16).contains(&i) { 0 } else { 16 }));
}

/// An SPS of `log2` coding tree blocks.
fn sps(log2: u8) -> Sps {
    let mut parser = Parser::new();
    let sps = split_annex_b(stream("h_ra_cra")).find_map(|nal| match parser.parse(nal) {
        Ok(Unit::Sps(sps)) => Some(sps),
        _ => None,
    });
    let mut sps = (*sps.unwrap()).clone();
    (sps.log2_min_luma_coding_block_size, sps.log2_diff_max_min_luma_coding_block_size) = (3, log2 - 3);
    sps
}

fn table(columns: &[u32], rows: &[u32], log2: u8) -> [u8; TILE_TABLE_BYTES] {
    let mut out = [0xee; TILE_TABLE_BYTES];
    let layout = TileLayout { column_widths: columns.to_vec(), row_heights: rows.to_vec() };
    tile_table(&layout, &sps(log2), &mut out);
    out
}

fn words(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect()
}

#[test]
fn tiles_in_raster_order_and_edges_in_16_samples() {
    let t = table(&[3, 4, 1], &[2, 5], 6);
    assert_eq!(words(&t[..28]), [3, 2, 4, 2, 1, 2, 3, 5, 4, 5, 1, 5, 0, 0]);
    assert_eq!(words(&t[0x700..0x70c]), [12, 28, 32, 8, 28, 0]);
    assert!(t[24..0x700].iter().chain(&t[0x70a..]).all(|&b| b == 0));
    // Coding tree blocks of 8 have edges at half units, rounded down.
    assert_eq!(words(&table(&[3, 2], &[5], 3)[0x700..0x706]), [1, 2, 2]);
}

proptest! {
    /// The largest grids that any level allows keep clear of the edges, and edges add up to the picture.
    #[test]
    fn any_grid_fits(
        columns in prop::collection::vec(1u32..25, 1..=20),
        rows in prop::collection::vec(1u32..23, 1..=22),
        log2 in 4u8..=6,
    ) {
        let t = table(&columns, &rows, log2);
        let tiles = words(&t[..4 * columns.len() * rows.len()]);
        for (i, tile) in tiles.chunks(2).enumerate() {
            prop_assert_eq!(u32::from(tile[0]), columns[i % columns.len()]);
            prop_assert_eq!(u32::from(tile[1]), rows[i / columns.len()]);
        }
        prop_assert!(t[4 * columns.len() * rows.len()..0x700].iter().all(|&b| b == 0));
        let edges = words(&t[0x700..0x700 + 2 * (columns.len() + rows.len())]);
        let scale = 1 << (log2 - 4);
        prop_assert_eq!(u32::from(edges[columns.len() - 1]), columns.iter().sum::<u32>() * scale);
        prop_assert_eq!(u32::from(*edges.last().unwrap()), rows.iter().sum::<u32>() * scale);
    }
}
