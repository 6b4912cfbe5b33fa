//! What is asked for, with everything resolved.

use num_traits::{One, Signed, Zero};

use crate::matrix;
use crate::{BigRational, Error, Window};

/// The part of the window that is shown, in luma samples from the upper left corner of the window and in the orientation
/// of the coded picture. May begin and end within a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crop {
    /// Left edge.
    pub x: BigRational,
    /// Upper edge.
    pub y: BigRational,
    /// Width.
    pub width: BigRational,
    /// Height.
    pub height: BigRational,
}

/// The filter of the resize.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// The sample in which the centre of the result's sample lies.
    Nearest,
    /// Triangle, stretched over what a sample of the result covers when the picture becomes smaller.
    Bilinear,
    /// Keys' cubic with a = -1/2, stretched likewise.
    Bicubic,
}

/// What happens if the result has another aspect ratio than what is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    /// It is stretched.
    Stretch,
    /// It keeps its aspect ratio and is centred; the rest has this value in each channel of the result (0 to 1, before
    /// mean and standard deviation).
    Letterbox(Vec<BigRational>),
}

/// The channels of the result, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channels {
    /// R, G, B.
    Rgb,
    /// B, G, R.
    Bgr,
    /// Y' alone, with its range expanded.
    Grey,
    /// Code values of Y, Cb and Cr as parts of the largest.
    Yuv,
}

impl Channels {
    /// How many.
    pub fn count(self) -> usize {
        if self == Self::Grey { 1 } else { 3 }
    }
}

/// Chroma at luma positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chroma {
    /// Linear interpolation between the samples on both sides, in each direction.
    Interpolated,
    /// The chroma sample that covers the luma sample, wherever it is sited.
    Nearest,
}

/// Clockwise rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// None.
    None,
    /// A quarter turn clockwise.
    Clockwise90,
    /// A half turn.
    Half,
    /// Three quarters of a turn clockwise, one against it.
    Clockwise270,
}

/// How the coded picture is turned upright: mirrored first, then rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orientation {
    /// Left and right are exchanged.
    pub mirror: bool,
    /// Rotation after that.
    pub rotation: Rotation,
}

impl Orientation {
    /// The picture as it is coded.
    pub const UPRIGHT: Self = Self { mirror: false, rotation: Rotation::None };

    /// Whether width and height are exchanged.
    pub fn is_sideways(self) -> bool {
        matches!(self.rotation, Rotation::Clockwise90 | Rotation::Clockwise270)
    }

    /// The column and row, in the picture as it is coded, of what is at `x`, `y` of the upright one, which has `width`
    /// by `height` samples.
    pub fn source(self, x: usize, y: usize, width: usize, height: usize) -> (usize, usize) {
        let (u, v) = match self.rotation {
            Rotation::None => (x, y),
            // The first row of the coded picture becomes the last column.
            Rotation::Clockwise90 => (y, width - 1 - x),
            Rotation::Half => (width - 1 - x, height - 1 - y),
            // The first row becomes the first column, from below.
            Rotation::Clockwise270 => (height - 1 - y, x),
        };
        let columns = if self.is_sideways() { height } else { width };
        (if self.mirror { columns - 1 - u } else { u }, v)
    }
}

/// What is asked for. Nothing here means "as the stream says": that is resolved before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversion {
    /// Columns of the (upright) result.
    pub width: usize,
    /// Rows of the (upright) result.
    pub height: usize,
    /// What is shown, or all of the window.
    pub crop: Option<Crop>,
    /// Filter of the resize.
    pub filter: Filter,
    /// What happens if the aspect ratio differs.
    pub fit: Fit,
    /// Channels.
    pub channels: Channels,
    /// `MatrixCoefficients` of H.273. Not looked at for [`Channels::Grey`] and [`Channels::Yuv`].
    pub matrix: u8,
    /// `VideoFullRangeFlag` of H.273.
    pub full_range: bool,
    /// `Chroma420SampleLocType` of H.273, 0 to 5.
    pub siting: u8,
    /// Chroma at luma positions.
    pub chroma: Chroma,
    /// How the picture is turned upright.
    pub orientation: Orientation,
    /// What is subtracted of each channel of the result, in its order; none if empty.
    pub mean: Vec<BigRational>,
    /// What each channel is divided by after that; 1 if empty.
    pub std: Vec<BigRational>,
}

impl Conversion {
    /// The whole window at another size: bilinear, stretched, R, G, B, limited range, chroma sited at the left and
    /// interpolated, upright, without mean and standard deviation.
    pub fn new(width: usize, height: usize, matrix: u8) -> Self {
        Self {
            width,
            height,
            crop: None,
            filter: Filter::Bilinear,
            fit: Fit::Stretch,
            channels: Channels::Rgb,
            matrix,
            full_range: false,
            siting: 0,
            chroma: Chroma::Interpolated,
            orientation: Orientation::UPRIGHT,
            mean: Vec::new(),
            std: Vec::new(),
        }
    }

    /// What is shown of a window.
    pub(crate) fn region(&self, window: Window) -> Result<Crop, Error> {
        let whole = |size: usize| BigRational::from_integer(size.into());
        let crop = self.crop.clone().unwrap_or_else(|| Crop {
            x: BigRational::zero(),
            y: BigRational::zero(),
            width: whole(window.width),
            height: whole(window.height),
        });
        let within = |start: &BigRational, size: &BigRational, limit: usize| {
            !start.is_negative() && size.is_positive() && start + size <= whole(limit)
        };
        if within(&crop.x, &crop.width, window.width) && within(&crop.y, &crop.height, window.height) {
            Ok(crop)
        } else {
            Err(Error::Crop)
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.width == 0 || self.height == 0 {
            return Err(Error::Size);
        }
        if self.siting > 5 {
            return Err(Error::Siting(self.siting));
        }
        if matches!(self.channels, Channels::Rgb | Channels::Bgr) {
            matrix::Matrix::new(self.matrix)?;
        }
        let channels = self.channels.count();
        let of_each = |list, given: usize, may_be_empty: bool| {
            let fits = given == channels || given == 0 && may_be_empty;
            if fits { Ok(()) } else { Err(Error::Channels { list, channels, given }) }
        };
        of_each("mean", self.mean.len(), true)?;
        of_each("std", self.std.len(), true)?;
        if self.std.iter().any(Zero::is_zero) {
            return Err(Error::Deviation);
        }
        if let Fit::Letterbox(fill) = &self.fit {
            of_each("fill", fill.len(), false)?;
            if fill.iter().any(|value| value.is_negative() || *value > BigRational::one()) {
                return Err(Error::Fill);
            }
        }
        Ok(())
    }
}

/// The matrix coefficients (H.273 code point) of a picture that does not say which: BT.709 (1) for a window of at least
/// 1280 columns or more than 576 rows, else BT.601 (6), as players do.
pub fn auto_matrix(width: usize, height: usize) -> u8 {
    if width >= 1280 || height > 576 { 1 } else { 6 }
}
