//! The value of one element of the result.

use std::ops::{AddAssign, Mul};

use num_traits::{One, Signed, ToPrimitive, Zero};

use crate::chroma::{self, Pair, QUARTERS};
use crate::matrix::{self, Matrix};
use crate::resize::{self, Taps};
use crate::{BigInt, BigRational, Channels, Conversion, Error, Fit, Picture, Window, ratio};

/// A rectangle of the result, in its samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    /// First column.
    pub left: usize,
    /// First row.
    pub top: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// One axis of the picture and of what it becomes.
struct Axis {
    /// For each position of the result, before it is turned upright.
    taps: Vec<Taps>,
    /// `taps` in machine words, if all sums fit.
    words: Vec<Vec<i128>>,
    /// For each luma sample of the window.
    chroma: Vec<Pair>,
    /// Luma sample of the picture at which the window starts.
    start: usize,
}

/// One channel as an affine function of code values, over a common denominator.
struct Channel {
    /// Of Y, Cb and Cr.
    factors: [BigInt; 3],
    offset: BigInt,
    denominator: BigInt,
}

/// The result of a conversion of a picture, of which every element can be asked for.
///
/// Chroma at luma positions, the sums over samples and the matrix are computed for each element anew, from the code
/// values: luma and interpolated chroma of every luma sample that the resize looks at.
pub struct Exact<'a> {
    picture: &'a Picture,
    conversion: Conversion,
    area: Area,
    horizontal: Axis,
    vertical: Axis,
    channels: Vec<Channel>,
    /// Whether no sum can leave 128 bits.
    in_words: bool,
}

impl<'a> Exact<'a> {
    /// Prepares the weights of both axes.
    ///
    /// # Errors
    ///
    /// What is not defined is refused: see [`Error`].
    pub fn new(picture: &'a Picture, conversion: &Conversion) -> Result<Self, Error> {
        conversion.check()?;
        let window = picture.window;
        let region = conversion.region(window)?;
        let sideways = conversion.orientation.is_sideways();
        let area = match conversion.fit {
            Fit::Stretch => Area { left: 0, top: 0, width: conversion.width, height: conversion.height },
            Fit::Letterbox(_) if sideways => {
                fitted(&region.height, &region.width, conversion.width, conversion.height)
            }
            Fit::Letterbox(_) => fitted(&region.width, &region.height, conversion.width, conversion.height),
        };
        // What is resized is not turned yet.
        let (columns, rows) = if sideways { (area.height, area.width) } else { (area.width, area.height) };
        let factors = picture.subsampling.factors();
        let offsets = chroma::offsets(conversion.siting);
        let axis = |start: usize, size: usize, factor: usize, offset: i64, taps: Vec<Taps>| {
            let limits = Window::chroma(start, size, factor);
            let chroma = (start..start + size)
                .map(|luma| chroma::at_luma(luma, factor, offset, limits, conversion.chroma))
                .collect();
            Axis { taps, words: Vec::new(), chroma, start }
        };
        let filter = conversion.filter;
        let mut horizontal = axis(
            window.left,
            window.width,
            factors.0,
            offsets.0,
            resize::axis(&region.x, &region.width, columns, filter),
        );
        let mut vertical = axis(
            window.top,
            window.height,
            factors.1,
            offsets.1,
            resize::axis(&region.y, &region.height, rows, filter),
        );
        // The largest sum is that of chroma, of code values of at most 16 bits in sixteenths (4 bits). No partial sum is
        // larger than the sum of absolute values.
        let bits = horizontal.bits() + vertical.bits() + 16 + 4;
        let in_words = bits < 127;
        if in_words {
            horizontal.make_words();
            vertical.make_words();
        }
        Ok(Self {
            picture,
            conversion: conversion.clone(),
            area,
            horizontal,
            vertical,
            channels: channels(picture, conversion)?,
            in_words,
        })
    }

    /// Columns, rows and channels of the result.
    pub fn size(&self) -> (usize, usize, usize) {
        (self.conversion.width, self.conversion.height, self.channels.len())
    }

    /// The part of the result that shows the picture; all of it, but for [`Fit::Letterbox`].
    pub fn area(&self) -> Area {
        self.area
    }

    /// The values of all channels in column `x` of row `y`, 0 to 1, before mean and standard deviation.
    ///
    /// # Panics
    ///
    /// If there is no such element.
    pub fn pixel(&self, x: usize, y: usize) -> Vec<BigRational> {
        let Conversion { width, height, .. } = self.conversion;
        assert!(x < width && y < height, "element ({x}, {y}) of {width}x{height}");
        let Area { left, top, width, height } = self.area;
        if !(left..left + width).contains(&x) || !(top..top + height).contains(&y) {
            let Fit::Letterbox(fill) = &self.conversion.fit else { unreachable!("the area is everything") };
            return fill.clone();
        }
        let (u, v) = self.conversion.orientation.source(x - left, y - top, width, height);
        let sums = if self.in_words {
            self.sums(u, v, &self.horizontal.words[u], &self.vertical.words[v]).map(BigInt::from)
        } else {
            self.sums(u, v, &self.horizontal.taps[u].weights, &self.vertical.taps[v].weights)
        };
        let weight = &self.horizontal.taps[u].sum * &self.vertical.taps[v].sum * QUARTERS * QUARTERS;
        self.channels.iter().map(|channel| channel.value(&sums, &weight)).collect()
    }

    /// The value of channel `c` in column `x` of row `y`, 0 to 1, before mean and standard deviation.
    ///
    /// # Panics
    ///
    /// If there is no such element.
    pub fn value(&self, c: usize, x: usize, y: usize) -> BigRational {
        self.pixel(x, y).swap_remove(c)
    }

    /// The value of channel `c` in column `x` of row `y`, after mean and standard deviation.
    ///
    /// # Panics
    ///
    /// If there is no such element.
    pub fn normalized(&self, c: usize, x: usize, y: usize) -> BigRational {
        self.normalize(c, &self.value(c, x, y))
    }

    /// A value of channel `c` after mean and standard deviation.
    pub fn normalize(&self, c: usize, value: &BigRational) -> BigRational {
        let Conversion { mean, std, .. } = &self.conversion;
        let centred = mean.get(c).map_or_else(|| value.clone(), |mean| value - mean);
        std.get(c).map_or_else(|| centred.clone(), |std| &centred / std)
    }

    /// Weighted sums of the code values of Y, Cb and Cr at luma positions, in sixteenths.
    fn sums<T>(&self, u: usize, v: usize, across: &[T], down: &[T]) -> [T; 3]
    where
        T: Zero + AddAssign + From<u32>,
        for<'t> &'t T: Mul<T, Output = T>,
    {
        let [luma, cb, cr] = &self.picture.planes;
        let (columns, rows) = (&self.horizontal, &self.vertical);
        let mut sums = [T::zero(), T::zero(), T::zero()];
        for (row, weight) in (rows.taps[v].first..).zip(down) {
            let mut line = [T::zero(), T::zero(), T::zero()];
            for (column, weight) in (columns.taps[u].first..).zip(across) {
                let code = luma.code(columns.start + column, rows.start + row);
                let codes = [
                    u32::from(code) * QUARTERS * QUARTERS,
                    interpolated(cb, &columns.chroma[column], &rows.chroma[row]),
                    interpolated(cr, &columns.chroma[column], &rows.chroma[row]),
                ];
                for (sum, code) in line.iter_mut().zip(codes) {
                    *sum += weight * T::from(code);
                }
            }
            for (sum, line) in sums.iter_mut().zip(line) {
                *sum += weight * line;
            }
        }
        sums
    }
}

/// The chroma of one luma sample in sixteenths: at most 65,535 times 16, which 32 bits hold.
fn interpolated(plane: &crate::Plane, column: &Pair, row: &Pair) -> u32 {
    let mut sum = 0;
    for (y, down) in row.samples.into_iter().zip(row.weights) {
        for (x, across) in column.samples.into_iter().zip(column.weights) {
            sum += u32::from(plane.code(x, y)) * across * down;
        }
    }
    sum
}

impl Axis {
    /// Bits of the largest sum of absolute weights.
    fn bits(&self) -> u64 {
        let sum = |taps: &Taps| taps.weights.iter().map(Signed::abs).sum::<BigInt>().bits();
        self.taps.iter().map(sum).max().unwrap_or(0)
    }

    fn make_words(&mut self) {
        let word = |weight: &BigInt| weight.to_i128().expect("less than 127 bits, as was looked at");
        self.words = self.taps.iter().map(|taps| taps.weights.iter().map(word).collect()).collect();
    }
}

impl Channel {
    /// The channel's value, clamped, of sums of code values that are to be divided by `weight`.
    fn value(&self, sums: &[BigInt; 3], weight: &BigInt) -> BigRational {
        let mut numerator = &self.offset * weight;
        for (factor, sum) in self.factors.iter().zip(sums) {
            numerator += factor * sum;
        }
        let denominator = &self.denominator * weight;
        if numerator.is_negative() {
            BigRational::zero()
        } else if numerator > denominator {
            BigRational::one()
        } else {
            BigRational::new(numerator, denominator)
        }
    }
}

/// The channels' values, not clamped, of code values that may lie between whole numbers: step 6 of the
/// definition as it is written there.
///
/// # Errors
///
/// [`Error::Matrix`].
pub fn convert(
    codes: &[BigRational; 3],
    depths: [u32; 2],
    conversion: &Conversion,
) -> Result<Vec<BigRational>, Error> {
    let full_range = conversion.full_range;
    let rgb = || Ok(Matrix::new(conversion.matrix)?.rgb(codes, depths, full_range));
    Ok(match conversion.channels {
        Channels::Rgb => rgb()?.to_vec(),
        Channels::Bgr => rgb()?.into_iter().rev().collect(),
        Channels::Grey => vec![matrix::luma(&codes[0], depths[0], full_range)],
        Channels::Yuv => {
            let depth_of = [depths[0], depths[1], depths[1]];
            codes.iter().zip(depth_of).map(|(code, depth)| matrix::part_of_largest(code, depth)).collect()
        }
    })
}

/// [`convert`] as factors and an offset, found by asking it: it is affine.
fn channels(picture: &Picture, conversion: &Conversion) -> Result<Vec<Channel>, Error> {
    let of = |codes: [i64; 3]| convert(&codes.map(|code| ratio(code, 1)), picture.depths, conversion);
    let offsets = of([0, 0, 0])?;
    let units = [of([1, 0, 0])?, of([0, 1, 0])?, of([0, 0, 1])?];
    let channel = |(index, offset): (usize, &BigRational)| {
        let [y, cb, cr] = units.each_ref().map(|unit| &unit[index] - offset);
        let (numerators, denominator) = resize::whole_numbers(&[y, cb, cr, offset.clone()]);
        let [y, cb, cr, offset] = numerators.try_into().expect("as many as were given");
        Channel { factors: [y, cb, cr], offset, denominator }
    };
    Ok(offsets.iter().enumerate().map(channel).collect())
}

/// Where a picture of `width` by `height` lies in a result of `columns` by `rows`, if it keeps its aspect ratio.
fn fitted(width: &BigRational, height: &BigRational, columns: usize, rows: usize) -> Area {
    let whole = |size: usize| BigRational::from_integer(size.into());
    let scale = (whole(columns) / width).min(whole(rows) / height);
    let rounded = |size: &BigRational| {
        let half_up = (size * &scale + ratio(1, 2)).floor().to_integer();
        half_up.to_usize().expect("no larger than the result").max(1)
    };
    let (width, height) = (rounded(width), rounded(height));
    Area { left: (columns - width) / 2, top: (rows - height) / 2, width, height }
}
