//! [`TensorSpec`] and its parts.

use crate::error::{Error, Result};

/// Most columns and lines of a tensor, and of the picture that it is made of.
pub(crate) const LARGEST: u32 = 16384;
/// Parts of a luma sample in which crops are counted.
pub(crate) const CROP_UNIT: f64 = 65536.0;
/// Means and standard deviations are of no larger size, and standard deviations of no smaller one than its inverse.
const LARGEST_NUMBER: f64 = 1048576.0;

/// What a decoded picture is to become: a tensor of `[C, H, W]` or `[H, W, C]` elements.
///
/// Without any option it is the picture in its own size as RGB bytes, channel after channel.
///
/// ```
/// use nvdec::tensor::{Dtype, TensorSpec};
///
/// let spec = TensorSpec::new().size(224, 224).dtype(Dtype::F16).mean([0.485, 0.456, 0.406]).std([0.229, 0.224, 0.225]);
/// assert_eq!("size=224x224,dtype=f16,mean=0.485:0.456:0.406,std=0.229:0.224:0.225".parse::<TensorSpec>()?, spec);
/// # Ok::<(), nvdec::Error>(())
/// ```
///
/// # What is computed
///
/// Every GPU, and the emulated one, gives the same bits, since all but the last step is integer arithmetic. In this order:
///
/// 1. Samples are those of the frame's window ([`Frame::crop`](crate::Frame::crop)); nothing outside of it is read. One of
///    `d` bits counts as its code divided by `2^d`, which is exact.
/// 2. Chroma is brought to the positions of luma ([`chroma`](Self::chroma), [`siting`](Self::siting)), with its samples at
///    the window's edges repeated. The weights are halves and quarters, and are not rounded: step 3 takes them in.
/// 3. Columns, then lines of the part to be shown ([`crop`](Self::crop)) are resized ([`size`](Self::size),
///    [`resize`](Self::resize)). The weights of a pixel are computed exactly, divided by their sum, and rounded to multiples
///    of 2^-28 that sum to 1. A line's sum is rounded to a multiple of 2^-30, and so is the sum over lines; both round halves up.
/// 4. R, G and B are sums of Y, Cb and Cr and a constant ([`matrix`](Self::matrix), [`range`](Self::range)). The exact
///    coefficients are rounded to multiples of 2^-29, the constant to one of 2^-59, and the sum to one of 2^-30, halves up.
/// 5. The sum is clamped to 0 to 1.
/// 6. The picture is turned ([`orientation`](Self::orientation)), and what is around it is filled ([`fit`](Self::fit)).
/// 7. Bytes are `255 * v`, rounded, halves up. Floating-point numbers are `(v - mean) / std`, as `v * a + b` with `a` and `b`
///    rounded to the same place: the 30th bit of `a` or the 60th of `b`, whichever comes first. The result is rounded to 24 bits,
///    halves to even, and for [`Dtype::F16`] and [`Dtype::Bf16`] to theirs, halves to even. What exceeds 65504 is infinite as
///    `F16`.
///
/// Before step 7 a result differs from that of exact arithmetic by less than `(n + 1) * 2^-25`, where `n` is the number of samples
/// that a pixel takes along an axis, 2 or so without resizing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TensorSpec {
    pub(super) size: Option<(u32, u32)>,
    pub(super) crop: Option<[f64; 4]>,
    pub(super) resize: Resize,
    pub(super) fit: Fit,
    pub(super) channels: Channels,
    pub(super) matrix: Matrix,
    pub(super) range: SampleRange,
    pub(super) chroma: ChromaFilter,
    pub(super) siting: Option<u8>,
    pub(super) dtype: Dtype,
    pub(super) layout: Layout,
    pub(super) mean: Option<[f64; 3]>,
    pub(super) std: Option<[f64; 3]>,
    pub(super) orientation: Orientation,
}

impl TensorSpec {
    /// RGB bytes in the picture's own size, channel after channel.
    pub fn new() -> TensorSpec {
        TensorSpec::default()
    }

    /// Columns and lines of the tensor, 1 to 16384 each; of the picture as it is shown, after it was turned. Without it, those
    /// of the part to be shown, rounded.
    pub fn size(self, width: u32, height: u32) -> TensorSpec {
        TensorSpec { size: Some((width, height)), ..self }
    }

    /// The part to be shown, in luma samples from the upper left corner of the frame's window, before the picture is turned.
    /// Numbers are rounded to multiples of 2^-16. Weights of step 3 take samples that the part touches, and no others.
    pub fn crop(self, x: f64, y: f64, width: f64, height: f64) -> TensorSpec {
        TensorSpec { crop: Some([x, y, width, height]), ..self }
    }

    /// How samples become pixels of another size.
    pub fn resize(self, resize: Resize) -> TensorSpec {
        TensorSpec { resize, ..self }
    }

    /// What is done where the size has another aspect ratio than the picture.
    pub fn fit(self, fit: Fit) -> TensorSpec {
        TensorSpec { fit, ..self }
    }

    /// Which channels there are, in which order.
    pub fn channels(self, channels: Channels) -> TensorSpec {
        TensorSpec { channels, ..self }
    }

    /// What Y, Cb and Cr mean.
    pub fn matrix(self, matrix: Matrix) -> TensorSpec {
        TensorSpec { matrix, ..self }
    }

    /// Which codes are black and white.
    pub fn range(self, range: SampleRange) -> TensorSpec {
        TensorSpec { range, ..self }
    }

    /// How chroma comes to the positions of luma.
    pub fn chroma(self, chroma: ChromaFilter) -> TensorSpec {
        TensorSpec { chroma, ..self }
    }

    /// Where chroma samples lie between those of luma, whatever the stream says: a `Chroma420SampleLocType` of ITU-T H.273,
    /// 0 to 5. Without it, and if the stream says nothing, 0: at the left, between two lines.
    pub fn siting(self, location: u8) -> TensorSpec {
        TensorSpec { siting: Some(location), ..self }
    }

    /// What an element is.
    pub fn dtype(self, dtype: Dtype) -> TensorSpec {
        TensorSpec { dtype, ..self }
    }

    /// Which of channels, lines and columns lie next to each other.
    pub fn layout(self, layout: Layout) -> TensorSpec {
        TensorSpec { layout, ..self }
    }

    /// What is subtracted from each channel, in the order of the tensor; of [`Channels::Grey`] the first one. Not for bytes.
    pub fn mean(self, mean: [f64; 3]) -> TensorSpec {
        TensorSpec { mean: Some(mean), ..self }
    }

    /// What each channel is divided by after that, in the order of the tensor; of [`Channels::Grey`] the first one.
    /// 2^-20 to 2^20. Not for bytes.
    pub fn std(self, std: [f64; 3]) -> TensorSpec {
        TensorSpec { std: Some(std), ..self }
    }

    /// How the picture is turned.
    pub fn orientation(self, orientation: Orientation) -> TensorSpec {
        TensorSpec { orientation, ..self }
    }

    /// Looks for what makes no sense, whatever the picture.
    ///
    /// # Errors
    ///
    /// [`Error::TensorSpec`], which names the option.
    pub fn check(&self) -> Result<()> {
        if let Some((width, height)) = self.size
            && ![width, height].iter().all(|side| (1..=LARGEST).contains(side))
        {
            return Err(refused("size", format!("{width}x{height}"), "1x1 to 16384x16384 are possible"));
        }
        self.crop_units()?;
        if let Fit::Letterbox { fill } = self.fit
            && !fill.iter().all(|v| (0.0..=1.0).contains(v))
        {
            return Err(refused("fit", listed(&fill), "a fill colour has three numbers of 0 to 1"));
        }
        if let Some(location) = self.siting.filter(|location| *location > 5) {
            return Err(refused("siting", location.to_string(), "0 to 5 are possible"));
        }
        for (option, given) in [("mean", self.mean), ("std", self.std)] {
            let Some(given) = given else { continue };
            if self.dtype == Dtype::U8 {
                return Err(refused(option, listed(&given), "bytes take none: ask for f16, bf16 or f32"));
            }
            if !given.iter().all(|v| v.abs() <= LARGEST_NUMBER) {
                return Err(refused(option, listed(&given), "numbers of -1048576 to 1048576 are possible"));
            }
        }
        if let Some(std) = self.std
            && !std.iter().all(|v| *v >= 1.0 / LARGEST_NUMBER)
        {
            return Err(refused("std", listed(&std), "numbers of 2^-20 to 2^20 are possible"));
        }
        Ok(())
    }

    /// The crop in units of 2^-16 samples: x, y, width, height.
    pub(super) fn crop_units(&self) -> Result<Option<[i64; 4]>> {
        let Some(crop) = self.crop else { return Ok(None) };
        // Exact: what is below 2^14 has 37 bits to spare.
        let units = crop.map(|v| (v * CROP_UNIT + 0.5).floor());
        let limit = f64::from(LARGEST) * CROP_UNIT;
        let [x, y, width, height] = units;
        let is_possible = x >= 0.0 && y >= 0.0 && width >= 1.0 && height >= 1.0;
        if !is_possible || !units.iter().all(|v| *v <= limit) {
            let possible = "x and y are 0 or more, width and height more than 0, all at most 16384";
            return Err(refused("crop", listed(&crop), possible));
        }
        Ok(Some(units.map(|v| v as i64)))
    }
}

pub(super) fn refused(option: &str, given: String, possible: impl Into<String>) -> Error {
    Error::TensorSpec { option: option.to_owned(), given, possible: possible.into() }
}

pub(super) fn listed(numbers: &[f64]) -> String {
    numbers.iter().map(f64::to_string).collect::<Vec<_>>().join(":")
}

/// How samples become pixels of another size, along columns and lines alike. A picture that keeps its size is not changed by
/// any of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Resize {
    /// The sample at the centre of the pixel.
    Nearest,
    /// A triangle of one sample, or one pixel, to each side, whichever is wider: nothing is skipped where the picture becomes
    /// smaller. This is `antialias=True` of torchvision, and Pillow's `BILINEAR`.
    #[default]
    Bilinear,
    /// A cubic of Keys with a = -1/2, of two samples, or two pixels, to each side.
    Bicubic,
}

/// What is done where the size has another aspect ratio than the picture. Samples count as square.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Fit {
    /// Columns and lines are resized each by its own factor.
    #[default]
    Stretch,
    /// The largest size with the picture's aspect ratio, in the middle.
    Letterbox {
        /// Value of each channel around it, 0 to 1, before mean and std. Where the rest is odd, more of it is at the right and
        /// at the bottom.
        fill: [f64; 3],
    },
}

/// Which channels a tensor has, in which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Channels {
    /// Red, green, blue, as the stream's primaries and transfer characteristics have them.
    #[default]
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// One channel: Y with its range expanded, whatever the matrix is.
    Grey,
    /// Y, Cb, Cr, all in the size of luma, as codes divided by the largest one, without a matrix or a range.
    Yuv,
}

impl Channels {
    /// How many.
    pub fn count(self) -> usize {
        if self == Channels::Grey { 1 } else { 3 }
    }
}

/// What Y, Cb and Cr mean: `MatrixCoefficients` of ITU-T H.273.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Matrix {
    /// What the stream says. If it says nothing, [`Bt709`](Matrix::Bt709) for pictures of 1280 or more columns or more than 576
    /// lines, else [`Bt601`](Matrix::Bt601), as players do.
    #[default]
    Auto,
    /// BT.601, code points 5 and 6.
    Bt601,
    /// BT.709, 1.
    Bt709,
    /// BT.2020 with non-constant luminance, 9.
    Bt2020,
    /// FCC, 4.
    Fcc,
    /// SMPTE ST 240, 7.
    Smpte240m,
    /// The planes are G, B and R, 0.
    Identity,
    /// YCgCo, 8.
    YCgCo,
}

/// Which codes are black and white.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SampleRange {
    /// What the stream says, and limited if it says nothing.
    #[default]
    Auto,
    /// 16 and 235 of 8 bits.
    Limited,
    /// 0 and the largest code.
    Full,
}

/// How chroma comes to the positions of luma.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChromaFilter {
    /// Linear interpolation between the two nearest samples in each axis, where the stream says that they lie.
    #[default]
    Interpolated,
    /// The sample of the same block, as swscale does by default; less exact.
    Nearest,
}

/// What an element is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dtype {
    /// A byte, 0 to 255.
    #[default]
    U8,
    /// An IEEE 754 half.
    F16,
    /// The upper half of a float32.
    Bf16,
    /// An IEEE 754 single.
    F32,
}

impl Dtype {
    /// Bytes of an element.
    pub fn bytes(self) -> usize {
        match self {
            Dtype::U8 => 1,
            Dtype::F16 | Dtype::Bf16 => 2,
            Dtype::F32 => 4,
        }
    }
}

/// Which of channels, lines and columns lie next to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layout {
    /// Channel after channel: `[C, H, W]`.
    #[default]
    Nchw,
    /// Pixel after pixel: `[H, W, C]`.
    Nhwc,
}

/// How a picture is turned before it is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Orientation {
    /// As it is coded.
    #[default]
    None,
    /// As the stream says ([`SideData::display_orientation`](crate::SideData::display_orientation)).
    Auto,
    /// As said here, whatever the stream says.
    Fixed {
        /// First, left and right are exchanged.
        is_mirrored: bool,
        /// Then it is turned.
        turn: Rotation,
    },
}

/// A turn, clockwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rotation {
    /// None.
    #[default]
    None,
    /// By 90 degrees.
    By90,
    /// By 180 degrees.
    By180,
    /// By 270 degrees.
    By270,
}
