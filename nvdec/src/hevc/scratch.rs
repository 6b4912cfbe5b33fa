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

/// What of a picture the sizes depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Width and height in luma samples.
    pub(crate) size: (u32, u32),
    /// Side of a coding tree block.
    pub(crate) ctb: u32,
    /// Columns of tiles, 0 without tiles.
    pub(crate) tile_columns: u32,
    /// More chroma than 4:2:0 has.
    pub(crate) full_chroma: bool,
    /// Samples of more than 8 bits.
    pub(crate) deep: bool,
}

impl Shape {
    pub(crate) fn of(sps: &Sps, pps: &Pps) -> Shape {
        Shape {
            size: (sps.pic_width_in_luma_samples, sps.pic_height_in_luma_samples),
            ctb: sps.ctb_size(),
            tile_columns: pps.tiles.as_ref().map_or(0, |t| t.num_tile_columns),
            full_chroma: sps.chroma_array_type() > 1,
            deep: sps.bit_depth_luma.max(sps.bit_depth_chroma) > 8,
        }
    }

    /// Width and height in luma samples, rounded up to the largest coding tree block.
    fn aligned(&self) -> (u64, u64) {
        (u64::from(self.size.0).next_multiple_of(64), u64::from(self.size.1).next_multiple_of(64))
    }
}

/// Bytes of the filter buffer's areas: deblocking at left edges, SAO at left edges, bitstream decoder, deblocking
/// above, SAO above.
pub(crate) fn areas(shape: &Shape, class: &VideoClass) -> [u64; 5] {
    match class.hevc.scratch {
        ScratchSizes::Traced => traced(shape),
        ScratchSizes::Measured => measured(shape),
    }
}

impl Scratch {
    pub(crate) fn new(sps: &Sps, pps: &Pps, class: &VideoClass) -> Scratch {
        Scratch::of(&Shape::of(sps, pps), class)
    }

    pub(crate) fn of(shape: &Shape, class: &VideoClass) -> Scratch {
        let sizes = areas(shape, class);
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
            intra_top: area(if class.hevc.intra_top { INTRA_TOP_BYTES } else { 0 }),
            unnamed_4dc: area(class.hevc.scratch_4dc),
            size: area(0).max(256),
        }
    }
}

/// What NVIDIA's own driver reserves on Ada for 8-bit 4:2:0, or what was measured on Hopper where that is more:
/// in 4:4:4 above 8 bits it is.
fn traced(shape: &Shape) -> [u64; 5] {
    let (width, height) = shape.aligned();
    let traced = [608 * height, 4864 * height, 152 * height, (width + 16) * height, width * height / 2];
    let measured = measured(shape);
    std::array::from_fn(|i| traced[i].max(measured[i]))
}

/// Bounds on what the engine was seen to write, by coding tree block size, chroma format and depth.
///
/// The areas at left edges are touched by tiles alone; they are the traced ones, by the columns in use. The
/// areas above hold, for every row of coding tree blocks, a line of 12, 16 or 24 bytes a sample and a line of
/// up to 8.
fn measured(shape: &Shape) -> [u64; 5] {
    let columns = u64::from(shape.tile_columns);
    let left = |bytes: u64| (bytes * shape.aligned().1 * columns).div_ceil(MAX_TILE_COLUMNS);
    let ctb = u64::from(shape.ctb);
    let rows = u64::from(shape.size.1).div_ceil(ctb);
    let width = u64::from(shape.size.0).next_multiple_of(ctb);
    let bytes = match (shape.full_chroma, shape.deep) {
        (false, false) => 12,
        (false, true) | (true, false) => 16,
        (true, true) => 24,
    };
    [left(608), left(4864), left(152), rows * (width + ctb) * bytes, rows * width * 8]
}

/// Bytes of one slot of collocated motion vectors: 16 for each block of 16x16 (`colMvBuffersize`).
pub(crate) fn collocated_slot_bytes(sps: &Sps) -> u64 {
    slot_bytes((sps.pic_width_in_luma_samples, sps.pic_height_in_luma_samples))
}

/// As [`collocated_slot_bytes`], by width and height in luma samples.
pub(crate) fn slot_bytes(size: (u32, u32)) -> u64 {
    let aligned = |length: u32| u64::from(length).next_multiple_of(64);
    aligned(size.0) * aligned(size.1) / 16
}

/// Blocks of 16x16 that the engine counts in a picture.
pub(crate) fn blocks(sps: &Sps) -> u32 {
    sps.pic_width_in_luma_samples.div_ceil(16) * sps.pic_height_in_luma_samples.div_ceil(16)
}

#[cfg(test)]
mod tests;
