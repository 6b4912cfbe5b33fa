//! The tables beside the descriptor: tile sizes and scaling lists.

use hcq::View;
use hevc::pps::TileLayout;
use hevc::scaling::ScalingList;
use hevc::{Pps, Sps};

/// Bytes of the tile table.
pub(crate) const TILE_TABLE_BYTES: usize = 0x1000;
/// Where the edges of columns and rows follow.
const TILE_EDGES: usize = 0x700;
/// Bytes of the scaling lists as the engine reads them.
pub(crate) const SCALING_LIST_BYTES: usize = 1008;

/// The tables of a pair of parameter sets.
#[derive(Clone)]
pub(crate) struct Tables {
    /// If `scaling_list_enabled_flag` is set.
    pub(crate) scaling_lists: Option<[u8; SCALING_LIST_BYTES]>,
    /// Always needed, also without tiles.
    pub(crate) tiles: [u8; TILE_TABLE_BYTES],
}

impl Tables {
    pub(crate) fn new(sps: &Sps, pps: &Pps) -> Box<Tables> {
        let scaling_lists = pps.scaling_list(sps).map(|lists| scaling_lists(&lists));
        let mut tables = Box::new(Tables { scaling_lists, tiles: [0; TILE_TABLE_BYTES] });
        tile_table(&pps.tile_layout(sps), sps, &mut tables.tiles);
        tables
    }

    /// Writes them where the engine is to find them.
    pub(crate) fn write(&self, view: &View<'_>, scaling_lists_at: u64, tiles_at: u64) {
        if let Some(lists) = &self.scaling_lists {
            view.copy_in(scaling_lists_at as usize, lists);
        }
        view.copy_in(tiles_at as usize, &self.tiles);
    }
}

/// The tile table: width and height in CTBs of every tile in raster order, then the right edges of the columns
/// and the bottom edges of the rows in units of 16 samples.
pub(crate) fn tile_table(layout: &TileLayout, sps: &Sps, table: &mut [u8; TILE_TABLE_BYTES]) {
    fill_tile_table([&layout.column_widths, &layout.row_heights], sps.ctb_log2_size().into(), table);
}

/// As [`tile_table`], from widths and heights in CTBs.
pub(crate) fn fill_tile_table(
    [columns, rows]: [&[u32]; 2],
    ctb_log2: u32,
    table: &mut [u8; TILE_TABLE_BYTES],
) {
    table.fill(0);
    let mut put = |at: usize, value: u32| table[at..at + 2].copy_from_slice(&(value as u16).to_le_bytes());
    let mut at = 0;
    for height in rows {
        for width in columns {
            put(at, *width);
            put(at + 2, *height);
            at += 4;
        }
    }
    let mut at = TILE_EDGES;
    for sizes in [columns, rows] {
        let mut edge = 0;
        for size in sizes {
            edge += size;
            put(at, (edge << ctb_log2) >> 4);
            at += 2;
        }
    }
}

/// Scaling lists as the engine reads them: the DC values, then each size's matrices, columns first.
///
/// The matrices for 32x32 chroma of 4:4:4 have no place: the engine takes them from the 16x16 lists, as the
/// standard derives them (7.3.4, `chroma_format_idc == 3`).
pub(crate) fn scaling_lists(lists: &ScalingList) -> [u8; SCALING_LIST_BYTES] {
    let mut out = [0; SCALING_LIST_BYTES];
    out[..6].copy_from_slice(&lists.dc_16x16);
    out[6] = lists.dc_32x32[0];
    out[7] = lists.dc_32x32[3];
    let mut at = 16;
    for (size_id, matrices) in
        [(0, &[0, 1, 2, 3, 4, 5][..]), (1, &[0, 1, 2, 3, 4, 5]), (2, &[0, 1, 2, 3, 4, 5]), (3, &[0, 3])]
    {
        for &matrix_id in matrices {
            let matrix = lists.matrix(size_id, matrix_id);
            let side = if size_id == 0 { 4 } else { 8 };
            for x in 0..side {
                for y in 0..side {
                    out[at] = matrix[y * side + x];
                    at += 1;
                }
            }
        }
    }
    debug_assert_eq!(at, SCALING_LIST_BYTES);
    out
}

#[cfg(test)]
mod tests;
