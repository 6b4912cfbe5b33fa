//! Sizes of the buffers that the engine works in. How they were found: `docs/nvdec.md`.

use hevc::{Pps, Sps};

use crate::class::{ScratchSizes, VideoClass};

const INTRA_TOP_BYTES: u64 = 64 << 10;
/// Columns of tiles that [`ScratchSizes::Traced`] has room for (table A.8, level 6.2).
const MAX_TILE_COLUMNS: u64 = 20;

/// The filter buffer's areas as byte offsets, each a multiple of 256, and what lies behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scratch {
    /// `HevcSaoBufferOffset`. The area before it is for the deblocking filter at the left edges of tiles.
    pub(crate) sao: u64,
    /// `HevcBsdCtrlOffset`.
    pub(crate) bsd_ctrl: u64,
    /// `HevcFltAboveOffset`.
    pub(crate) filter_above: u64,
    /// `HevcSaoAboveOffset`, and `HevcSliceEdgeOffset`.
    pub(crate) sao_above: u64,
    /// Address of `SET_INTRA_TOP_BUF_OFFSET`, behind the filter buffer.
    pub(crate) intra_top: u64,
    /// Address of method 0x4dc on classes that have it.
    pub(crate) unnamed_4dc: u64,
    /// Bytes of all of it.
    pub(crate) size: u64,
}

/// Width and height in luma samples, rounded up to the largest coding tree block.
fn aligned(sps: &Sps) -> (u64, u64) {
    (
        u64::from(sps.pic_width_in_luma_samples).next_multiple_of(64),
        u64::from(sps.pic_height_in_luma_samples).next_multiple_of(64),
    )
}

impl Scratch {
    pub(crate) fn new(sps: &Sps, pps: &Pps, class: &VideoClass) -> Scratch {
        let sizes = match class.scratch {
            ScratchSizes::Traced => traced(sps, pps),
            ScratchSizes::Measured => measured(sps, pps),
        };
        let mut at = 0;
        let mut area = |size: u64| {
            let start = at;
            at += size.next_multiple_of(256);
            start
        };
        let [filter_left, sao_left, bsd, above, sao] = sizes;
        area(filter_left);
        Scratch {
            sao: area(sao_left),
            bsd_ctrl: area(bsd),
            filter_above: area(above),
            sao_above: area(sao),
            intra_top: area(if class.intra_top { INTRA_TOP_BYTES } else { 0 }),
            unnamed_4dc: area(class.scratch_4dc),
            size: area(0).max(256),
        }
    }
}

/// What NVIDIA's own driver reserves on Ada for 8-bit 4:2:0, or what was measured on Hopper where that is more:
/// in 4:4:4 above 8 bits it is.
fn traced(sps: &Sps, pps: &Pps) -> [u64; 5] {
    let (width, height) = aligned(sps);
    let traced = [608 * height, 4864 * height, 152 * height, (width + 16) * height, width * height / 2];
    let measured = measured(sps, pps);
    std::array::from_fn(|i| traced[i].max(measured[i]))
}

/// Bounds on what the engine was seen to write, by coding tree block size, chroma format and depth.
///
/// The areas at left edges are touched by tiles alone; they are the traced ones, by the columns in use. The
/// areas above hold, for every row of coding tree blocks, a line of 12, 16 or 24 bytes a sample and a line of
/// up to 8.
fn measured(sps: &Sps, pps: &Pps) -> [u64; 5] {
    let columns = pps.tiles.as_ref().map_or(0, |t| u64::from(t.num_tile_columns));
    let left = |bytes: u64| (bytes * aligned(sps).1 * columns).div_ceil(MAX_TILE_COLUMNS);
    let rows = u64::from(sps.pic_height_in_ctbs());
    let width = u64::from(sps.pic_width_in_ctbs() * sps.ctb_size());
    let deep = sps.bit_depth_luma > 8;
    let bytes = match (sps.chroma_array_type() > 1, deep) {
        (false, false) => 12,
        (false, true) | (true, false) => 16,
        (true, true) => 24,
    };
    [left(608), left(4864), left(152), rows * (width + u64::from(sps.ctb_size())) * bytes, rows * width * 8]
}

/// Bytes of one slot of collocated motion vectors: 16 for each block of 16x16 (`colMvBuffersize`).
pub(crate) fn collocated_slot_bytes(sps: &Sps) -> u64 {
    let (width, height) = aligned(sps);
    width * height / 16
}

/// Blocks of 16x16 that the engine counts in a picture.
pub(crate) fn blocks(sps: &Sps) -> u32 {
    sps.pic_width_in_luma_samples.div_ceil(16) * sps.pic_height_in_luma_samples.div_ceil(16)
}

#[cfg(test)]
mod tests;
