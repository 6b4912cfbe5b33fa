//! What engines differ in when they decode HEVC.

/// How much scratch an engine is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScratchSizes {
    /// As NVIDIA's own driver was seen to reserve on Ada.
    Traced,
    /// What the engine was seen to touch on hardware, a tenth of that.
    Measured,
}

/// What a class needs to decode HEVC, and which pictures it decodes right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HevcClass {
    /// How large the filter buffer is.
    pub scratch: ScratchSizes,
    /// Whether the class needs `SET_INTRA_TOP_BUF_OFFSET`.
    pub intra_top: bool,
    /// Bytes of the further scratch that method 0x4dc points at, 0 where the class has none.
    pub scratch_4dc: u64,
    /// Value of the descriptor word 0x11c, behind the public struct.
    pub word_11c: u32,
    /// Which sizes and divisions of pictures it decodes right.
    pub shapes: Shapes,
    /// Bits of luma and of chroma, where they differ, that it was seen to decode in 4:2:0. Public reports say that no
    /// engine does.
    pub unequal_depths: &'static [(u8, u8)],
}

impl HevcClass {
    /// Whether it was seen to decode these depths together, of each of which it is capable.
    pub fn decodes_depths(&self, chroma_format_idc: u8, luma: u8, chroma: u8) -> bool {
        luma == chroma || (chroma_format_idc == 1 && self.unequal_depths.contains(&(luma, chroma)))
    }
}

/// What an engine that is not the hardware of its class can do with HEVC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HevcLimits {
    /// Whether it has the tools of `sps_range_extension()` and `pps_range_extension()`.
    pub range_extensions: bool,
    /// Sizes and divisions of pictures that it decodes right: all, if it goes by the standard.
    pub shapes: Shapes,
    /// Whether it decodes luma and chroma of different depths, if its class does.
    pub unequal_depths: bool,
}

/// Sizes of pictures, of their coding tree blocks and tiles. Beyond what it can do an engine writes wrong samples and
/// reports success, so that a limit here is all that keeps them from the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shapes {
    /// NVIDIA's library draws the line at the capability's `min`. Smaller pictures were never tried.
    Documented,
    /// As measured on hardware: columns, of the picture or of its tiles, are wider than 64 samples, unless one
    /// 64x64 coding tree block is the whole picture; and a picture of smaller coding tree blocks has two rows
    /// of them.
    Measured,
    /// All, down to 8x8, and tiles with wavefronts, which no profile of version 1 or 2 has (A.3.2 to A.3.5). No hardware.
    All,
}

impl Shapes {
    /// Columns up to this many luma samples come out wrong with [`Measured`](Self::Measured).
    pub(crate) const NARROW: u32 = 64;
}
