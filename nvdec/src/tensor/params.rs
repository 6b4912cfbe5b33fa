//! [`Params`]: the argument of the kernels `nvdec_convert_8` and `nvdec_convert_16`, as `kernels/convert.cu` has it.

use std::mem::offset_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The kernel for samples of one byte.
pub(crate) const ENTRY_8: &str = "nvdec_convert_8";
/// The kernel for samples of two bytes.
pub(crate) const ENTRY_16: &str = "nvdec_convert_16";

/// Bits behind the point of weights.
pub(crate) const WEIGHT_BITS: u32 = 28;
/// Bits behind the point of samples and channels; 1 is the largest value that a byte or word could have, and one more.
pub(crate) const SAMPLE_BITS: u32 = 30;
/// Bits behind the point of coefficients of colours.
pub(crate) const COLOUR_BITS: u32 = 29;

/// The samples of one axis of a plane, and their weights, for each of `length` pixels.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Taps {
    /// Address of `length` words: the first sample of each pixel.
    pub(crate) starts: u64,
    /// Address of `count * length` words: the weight of sample `start + tap` of pixel `i` is number `tap * length + i`.
    pub(crate) weights: u64,
    pub(crate) count: u32,
    pub(crate) length: u32,
}

/// A channel: `clamp(y * Y + cb * Cb + cr * Cr + offset)`, and what makes a number of it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Channel {
    /// Y, Cb and Cr, [`COLOUR_BITS`] behind the point.
    pub(crate) mix: [i32; 3],
    /// A floating-point number is `(value * scale + bias) / 2^exponent`.
    pub(crate) scale: i32,
    /// [`COLOUR_BITS`] and [`SAMPLE_BITS`] behind the point.
    pub(crate) offset: i64,
    pub(crate) bias: i64,
    pub(crate) exponent: i32,
    /// Value of the channel around the picture, [`SAMPLE_BITS`] behind the point.
    pub(crate) fill: i32,
}

/// All that a kernel is told.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Params {
    pub(crate) luma: u64,
    pub(crate) chroma: u64,
    pub(crate) output: u64,
    /// Bytes from one channel, line and column of the output to the next.
    pub(crate) strides: [i64; 3],
    pub(crate) luma_columns: Taps,
    pub(crate) luma_lines: Taps,
    pub(crate) chroma_columns: Taps,
    pub(crate) chroma_lines: Taps,
    /// Bytes of a line.
    pub(crate) luma_pitch: u32,
    pub(crate) chroma_pitch: u32,
    /// Pixels of the output.
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Where the picture lies in the output.
    pub(crate) left: u32,
    pub(crate) top: u32,
    pub(crate) picture_width: u32,
    pub(crate) picture_height: u32,
    /// 1: columns of the output are lines of the surface.
    pub(crate) is_transposed: u32,
    /// 1: chroma is read at all.
    pub(crate) has_chroma: u32,
    /// 1 or 3.
    pub(crate) channels: u32,
    /// 0 bytes, 1 float16, 2 bfloat16, 3 float32.
    pub(crate) dtype: u32,
    pub(crate) channel: [Channel; 3],
}

// convert.cu asserts the same.
const _: () = {
    assert!(size_of::<Taps>() == 24 && size_of::<Channel>() == 40 && size_of::<Params>() == 312);
    assert!(offset_of!(Channel, offset) == 16 && offset_of!(Channel, fill) == 36);
    assert!(offset_of!(Params, strides) == 24);
    assert!(offset_of!(Params, luma_columns) == 48);
    assert!(offset_of!(Params, luma_pitch) == 144);
    assert!(offset_of!(Params, is_transposed) == 176);
    assert!(offset_of!(Params, channel) == 192);
};
