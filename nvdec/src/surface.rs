//! Surfaces: decoded pictures in GPU memory, and the block-linear layout that the engine writes.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use hcq::{BlockLinearPlane, DeviceBuffer, SyncPoint};

use crate::class::Chroma;
use crate::pool::PoolInner;
use crate::recycle::Lease;
use crate::uses::Uses;

/// GOBs in a block, as a binary logarithm: blocks of 2 GOBs, 16 lines. This is descriptor `gob_height` 0.
pub const LOG2_GOBS: u32 = 1;
const PITCH_ALIGNMENT: u32 = 64;
/// Plane addresses are given to the engine shifted right by 8.
const PLANE_ALIGNMENT: u64 = 256;

/// What a surface holds: semi-planar samples, luma first, then Cb and Cr interleaved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SurfaceFormat {
    /// [`Chroma::C420`] or [`Chroma::C444`]; `C422` on classes that decode it.
    pub chroma: Chroma,
    /// Bits that a sample has, 8..=16. Above 8, samples are 16-bit little-endian words with the sample in the
    /// upper bits, as in P010 and P016.
    pub bit_depth: u8,
}

impl SurfaceFormat {
    /// Bytes of one sample in memory.
    pub fn bytes_per_sample(self) -> u32 {
        if self.bit_depth > 8 { 2 } else { 1 }
    }

    /// Luma samples per chroma sample, horizontally and vertically (`SubWidthC`, `SubHeightC`).
    pub fn subsampling(self) -> (u32, u32) {
        match self.chroma {
            Chroma::C420 => (2, 2),
            Chroma::C422 => (2, 1),
            _ => (1, 1),
        }
    }

    /// The usual name: NV12, P010, NV24, …
    pub fn name(self) -> &'static str {
        match (self.chroma, self.bit_depth) {
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

/// A decoded picture in GPU memory. Clones share it; when the last is dropped the memory returns to its pool, or, if that
/// is gone, to the context.
#[derive(Clone)]
pub struct Surface {
    inner: Arc<SurfaceInner>,
}

pub(crate) struct SurfaceInner {
    pub(crate) memory: Option<Lease>,
    pub(crate) geometry: SurfaceGeometry,
    pub(crate) pool: Weak<PoolInner>,
    pub(crate) uses: Mutex<Uses>,
}

impl Surface {
    pub(crate) fn new(inner: SurfaceInner) -> Self {
        Surface { inner: Arc::new(inner) }
    }

    /// The whole memory of the surface.
    pub fn buffer(&self) -> &DeviceBuffer {
        self.inner.memory.as_ref().expect("memory is taken only by Drop")
    }

    /// Layout of the planes.
    pub fn geometry(&self) -> &SurfaceGeometry {
        &self.inner.geometry
    }

    /// GPU address of the luma plane.
    pub fn luma_address(&self) -> u64 {
        self.buffer().gpu_address()
    }

    /// GPU address of the chroma plane.
    pub fn chroma_address(&self) -> u64 {
        self.buffer().gpu_address() + self.inner.geometry.chroma_offset()
    }

    /// The luma plane, for a copy engine.
    pub fn luma(&self) -> BlockLinearPlane {
        let g = self.geometry();
        let buffer = self.buffer().slice(0, g.luma_bytes());
        BlockLinearPlane { buffer, pitch: g.luma_pitch, lines: g.luma_lines, log2_gobs: LOG2_GOBS }
    }

    /// The plane of interleaved Cb and Cr, for a copy engine.
    pub fn chroma(&self) -> BlockLinearPlane {
        let g = self.geometry();
        let buffer = self.buffer().slice(g.chroma_offset(), g.chroma_bytes());
        BlockLinearPlane { buffer, pitch: g.chroma_pitch, lines: g.chroma_lines, log2_gobs: LOG2_GOBS }
    }

    /// Says that the surface is being read until `point`. Whoever reads a surface from a queue must say so
    /// before dropping it; the memory is written again only behind that point.
    pub fn use_until(&self, point: SyncPoint) {
        let mut uses = self.uses();
        let expected = uses.free_time();
        uses.read_until(&point, expected);
    }

    /// What still writes or reads the memory.
    pub(crate) fn uses(&self) -> MutexGuard<'_, Uses> {
        self.inner.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether two handles are the same surface.
    pub fn same(&self, other: &Surface) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl fmt::Debug for Surface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let g = self.geometry();
        write!(f, "{} {}x{} at {:?}", g.format, g.width, g.height, self.buffer())
    }
}

impl Drop for SurfaceInner {
    fn drop(&mut self) {
        let Some(memory) = self.memory.take() else { return };
        let uses = std::mem::take(self.uses.get_mut().unwrap_or_else(PoisonError::into_inner));
        match self.pool.upgrade() {
            Some(pool) => pool.put_back(memory, self.geometry, uses),
            None => memory.give_back(uses.before_write()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const NV12: SurfaceFormat = SurfaceFormat { chroma: Chroma::C420, bit_depth: 8 };

    #[test]
    fn plane_sizes() {
        let g = SurfaceGeometry::new(NV12, 1920, 1080);
        assert_eq!((g.luma_pitch, g.luma_lines, g.chroma_pitch, g.chroma_lines), (1920, 1088, 1920, 544));
        assert_eq!(g.bytes(), 3_133_440);
        let g = SurfaceGeometry::new(SurfaceFormat { chroma: Chroma::C444, bit_depth: 10 }, 416, 240);
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
