//! [`SurfaceFormat`] and [`SurfaceGeometry`]: what a surface holds, and the block-linear layout that engines write.

use std::fmt;

use crate::class::Chroma;

/// GOBs in a block, as a binary logarithm: blocks of 2 GOBs, 16 lines. This is descriptor `gob_height` 0.
pub const LOG2_GOBS: u32 = 1;
const PITCH_ALIGNMENT: u32 = 64;
/// Plane addresses are given to the engine shifted right by 8.
const PLANE_ALIGNMENT: u64 = 256;

/// Most bytes of slice data that any picture may have.
const MAX_PICTURE_BYTES: u64 = 128 << 20;
/// A rectangle of a picture, in luma samples from its upper left corner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rect {
    /// First column.
    pub left: u32,
    /// First line.
    pub top: u32,
    /// Columns.
    pub width: u32,
    /// Lines.
    pub height: u32,
}

impl Rect {
    /// Whether all of it lies in `other`.
    pub fn lies_in(&self, other: Rect) -> bool {
        let inside = |start: u32, length: u32, from: u32, size: u32| {
            start >= from && u64::from(start) + u64::from(length) <= u64::from(from) + u64::from(size)
        };
        inside(self.left, self.width, other.left, other.width)
            && inside(self.top, self.height, other.top, other.height)
    }
}

/// What a surface holds: semi-planar samples, luma first, then Cb and Cr interleaved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SurfaceFormat {
    /// [`Chroma::C420`] or [`Chroma::C444`]; `C422` on classes that decode it.
    pub chroma: Chroma,
    /// Bits that a sample of luma has, 8..=16. If luma or chroma has more than 8, samples of both are 16-bit
    /// little-endian words with the sample in the upper bits, as in P010 and P016.
    pub bit_depth: u8,
    /// Bits that a sample of chroma has, nearly always as many.
    pub chroma_bit_depth: u8,
}

impl SurfaceFormat {
    /// A format of one depth.
    pub const fn new(chroma: Chroma, bit_depth: u8) -> SurfaceFormat {
        SurfaceFormat { chroma, bit_depth, chroma_bit_depth: bit_depth }
    }

    /// Bits that a sample of a plane has: 0 is Y, 1 Cb, 2 Cr.
    pub fn depth_of(self, plane: usize) -> u8 {
        if plane == 0 { self.bit_depth } else { self.chroma_bit_depth }
    }

    /// The depth, if luma and chroma have the same.
    pub fn one_depth(self) -> Option<u8> {
        (self.bit_depth == self.chroma_bit_depth).then_some(self.bit_depth)
    }

    /// Bytes of one sample in memory.
    pub fn bytes_per_sample(self) -> u32 {
        if self.bit_depth.max(self.chroma_bit_depth) > 8 { 2 } else { 1 }
    }

    /// Luma samples per chroma sample, horizontally and vertically (`SubWidthC`, `SubHeightC`).
    pub fn subsampling(self) -> (u32, u32) {
        match self.chroma {
            Chroma::C420 => (2, 2),
            Chroma::C422 => (2, 1),
            _ => (1, 1),
        }
    }

    /// The usual name: NV12, P010, NV24, …; of 16-bit words where luma and chroma have different depths.
    pub fn name(self) -> &'static str {
        match (self.chroma, self.one_depth().unwrap_or(16)) {
            (Chroma::C420, 8) => "NV12",
            (Chroma::C420, 10) => "P010",
            (Chroma::C420, _) => "P016",
            (Chroma::C422, 8) => "NV16",
            (Chroma::C422, 10) => "P210",
            (Chroma::C422, _) => "P216",
            (_, 8) => "NV24",
            (_, 10) => "P410",
            _ => "P416",
        }
    }
}

impl fmt::Display for SurfaceFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Sizes of a surface's planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SurfaceGeometry {
    /// Format of the samples.
    pub format: SurfaceFormat,
    /// Coded width in luma samples.
    pub width: u32,
    /// Coded height in luma samples.
    pub height: u32,
    /// Bytes per line of the luma plane.
    pub luma_pitch: u32,
    /// Lines of the luma plane in memory.
    pub luma_lines: u32,
    /// Bytes per line of the chroma plane.
    pub chroma_pitch: u32,
    /// Lines of the chroma plane in memory.
    pub chroma_lines: u32,
}

impl SurfaceGeometry {
    /// The layout of pictures of `width` by `height` luma samples.
    ///
    /// Lines are rounded to the largest coding tree block, 64, since the engine writes whole blocks.
    pub fn new(format: SurfaceFormat, width: u32, height: u32) -> Self {
        let (sub_width, sub_height) = format.subsampling();
        let luma_pitch = (width * format.bytes_per_sample()).next_multiple_of(PITCH_ALIGNMENT);
        let luma_lines = height.next_multiple_of(64);
        // Two interleaved components: as wide as luma for 4:2:0, twice as wide for 4:4:4.
        let chroma_pitch = luma_pitch * 2 / sub_width;
        let chroma_lines = (luma_lines / sub_height).next_multiple_of(16);
        SurfaceGeometry { format, width, height, luma_pitch, luma_lines, chroma_pitch, chroma_lines }
    }

    /// Bytes of the luma plane.
    pub fn luma_bytes(&self) -> u64 {
        u64::from(self.luma_pitch) * u64::from(self.luma_lines)
    }

    /// Bytes of the chroma plane.
    pub fn chroma_bytes(&self) -> u64 {
        u64::from(self.chroma_pitch) * u64::from(self.chroma_lines)
    }

    /// Offset of the chroma plane within the surface.
    pub fn chroma_offset(&self) -> u64 {
        self.luma_bytes().next_multiple_of(PLANE_ALIGNMENT)
    }

    /// Bytes of the surface.
    pub fn bytes(&self) -> u64 {
        self.chroma_offset() + self.chroma_bytes()
    }
}

/// Bytes that the slices of a picture of this geometry may take.
pub(crate) fn stream_limit(geometry: &SurfaceGeometry) -> u64 {
    (2 * geometry.bytes() + (1 << 20)).min(MAX_PICTURE_BYTES)
}

/// Byte offset of column `x` (bytes) and line `y` in a block-linear plane of `pitch` bytes per line.
///
/// Inside a GOB the address bits are, from the lowest: x0 x1 x2 x3 y0 y1 x4 y2 x5 (sector layout 1).
pub fn block_linear_offset(pitch: u32, x: u32, y: u32) -> u64 {
    let gobs = 1 << LOG2_GOBS;
    let block_row = u64::from(y / (8 * gobs));
    let gob =
        (block_row * u64::from(pitch / 64) + u64::from(x / 64)) * u64::from(gobs) + u64::from(y / 8 % gobs);
    let inside = (x & 15) | (y & 3) << 4 | (x >> 4 & 1) << 6 | (y >> 2 & 1) << 7 | (x >> 5 & 1) << 8;
    gob * 512 + u64::from(inside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const NV12: SurfaceFormat = SurfaceFormat::new(Chroma::C420, 8);

    #[test]
    fn plane_sizes() {
        let g = SurfaceGeometry::new(NV12, 1920, 1080);
        assert_eq!((g.luma_pitch, g.luma_lines, g.chroma_pitch, g.chroma_lines), (1920, 1088, 1920, 544));
        assert_eq!(g.bytes(), 3_133_440);
        let g = SurfaceGeometry::new(SurfaceFormat::new(Chroma::C444, 10), 416, 240);
        assert_eq!((g.luma_pitch, g.chroma_pitch, g.chroma_lines), (832, 1664, 256));
    }

    #[test]
    fn block_linear_is_a_bijection() {
        let (pitch, lines) = (192, 48);
        let offsets: HashSet<u64> =
            (0..lines).flat_map(|y| (0..pitch).map(move |x| block_linear_offset(pitch, x, y))).collect();
        assert_eq!(offsets.len() as u32, pitch * lines);
        assert!(offsets.iter().all(|&o| o < u64::from(pitch * lines)));
        // 16-byte runs are contiguous, then four lines of them.
        assert_eq!(block_linear_offset(pitch, 15, 0), 15);
        assert_eq!(block_linear_offset(pitch, 0, 1), 16);
        assert_eq!(block_linear_offset(pitch, 16, 0), 64);
        assert_eq!(block_linear_offset(pitch, 0, 4), 128);
        assert_eq!(block_linear_offset(pitch, 32, 0), 256);
        assert_eq!(block_linear_offset(pitch, 0, 8), 512);
        assert_eq!(block_linear_offset(pitch, 64, 0), 1024);
    }
}
