//! [`Axis`]: which samples of a line, or of a column, make up each pixel, and with which weights.
//!
//! All positions are fractions, and all weights are computed as quotients of integers. They are rounded once, at the end.

use super::params::WEIGHT_BITS;
use super::spec::{LARGEST, Resize};
use crate::error::{Error, Result};

const ONE: i128 = 1 << WEIGHT_BITS;
/// Parts of a luma sample in which a region is given.
pub(super) const UNIT: i64 = 1 << 16;

/// How chroma samples lie along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chroma {
    /// One for each luma sample.
    Same,
    /// One for two luma samples; the first one is so many halves of a luma sample behind the first of luma.
    Between { halves: u8 },
    /// One for two luma samples, which both are taken to have it.
    Repeated,
}

/// One axis of a picture, and what is shown of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    /// First luma sample that may be read, and how many: at most [`LARGEST`].
    pub(super) window: (u32, u32),
    /// First sample that is shown, from the window's start, and how many; in [`UNIT`]s. They lie in the window.
    pub(super) region: (i64, i64),
    /// Pixels, 1 to [`LARGEST`].
    pub(super) pixels: u32,
    pub(super) resize: Resize,
    /// The last pixel comes first.
    pub(super) is_flipped: bool,
}

/// The samples of each pixel, and their weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// Samples of each pixel.
    pub(super) count: u32,
    /// First sample of each pixel.
    pub(super) starts: Vec<u32>,
    /// The first weight of each pixel, then the second one of each and so on; each pixel's sum is 1 with [`WEIGHT_BITS`].
    pub(super) weights: Vec<i32>,
    /// The largest sum of a pixel's weights, all taken as positive.
    pub(super) gain: i64,
}

impl Axis {
    /// The samples of luma.
    pub(super) fn luma(&self) -> Result<Table> {
        let (first, length) = self.window;
        self.table(first..first + length, |luma| luma)
    }

    /// The samples of chroma.
    pub(super) fn chroma(&self, chroma: Chroma) -> Result<Table> {
        if chroma == Chroma::Same {
            return self.luma();
        }
        let (first, length) = self.window;
        let samples = first / 2..(first + length).div_ceil(2);
        let (lowest, highest) = (i64::from(samples.start), i64::from(samples.end) - 1);
        self.table(samples, |luma| {
            // A quarter of the distance of two chroma samples is half a luma sample. Sample j lies at 4 * j + halves.
            let at = |sample: i64| {
                let at =
                    2 * sample - if let Chroma::Between { halves } = chroma { i64::from(halves) } else { 0 };
                (at.div_euclid(4), if chroma == Chroma::Repeated { 0 } else { at.rem_euclid(4) as i128 })
            };
            let inside = |sample: i64| sample.clamp(lowest, highest);
            let base = inside(at(luma.first).0);
            let end = inside(at(luma.first + luma.weights.len() as i64 - 1).0 + 1);
            let mut weights = vec![0; (end - base + 1) as usize];
            for (sample, weight) in (luma.first..).zip(&luma.weights) {
                let (left, quarters) = at(sample);
                weights[(inside(left) - base) as usize] += weight * (4 - quarters);
                weights[(inside(left + 1) - base) as usize] += weight * quarters;
            }
            Exact { first: base, weights }
        })
    }

    /// A table whose samples all lie in `samples`, of what `plane` makes of luma samples and weights.
    fn table(&self, samples: std::ops::Range<u32>, plane: impl Fn(Exact) -> Exact) -> Result<Table> {
        let filter = Filter::new(self);
        let pixels = self.pixels as usize;
        let mut rows = Vec::with_capacity(pixels);
        for pixel in 0..i64::from(self.pixels) {
            let mut luma = filter.pixel(pixel);
            luma.first += i64::from(self.window.0);
            rows.push(plane(luma).rounded().ok_or_else(|| self.refused())?);
        }
        if self.is_flipped {
            rows.reverse();
        }
        let count = rows.iter().map(|row| row.weights.len()).max().unwrap_or(1);
        let gain = rows.iter().map(Rounded::gain).max().unwrap_or(0);
        let mut weights = vec![0; count * pixels];
        let starts = (0..).zip(&rows).map(|(pixel, row): (usize, _)| {
            // Rows with fewer samples than others are filled with zeros, at the front where the window ends.
            let start = row.first.min(i64::from(samples.end) - count as i64);
            for (tap, weight) in ((row.first - start) as usize..).zip(&row.weights) {
                weights[tap * pixels + pixel] = *weight;
            }
            start as u32
        });
        Ok(Table { count: count as u32, starts: starts.collect(), weights, gain })
    }

    /// No axis within the limits is known to come here; a sum of weights that is not positive would.
    fn refused(&self) -> Error {
        Error::TensorPicture {
            element: "resized part",
            value: format!("{} to {} pixels", self.region.1 as f64 / UNIT as f64, self.pixels),
            possible: "no weights make it up; choose another size or filter".to_owned(),
        }
    }
}

/// Samples and weights of a pixel, before they are divided by their sum.
struct Exact {
    first: i64,
    weights: Vec<i128>,
}

/// The same with [`WEIGHT_BITS`].
struct Rounded {
    first: i64,
    weights: Vec<i32>,
}

impl Rounded {
    fn gain(&self) -> i64 {
        self.weights.iter().map(|weight| i64::from(weight.unsigned_abs())).sum()
    }
}

impl Exact {
    /// `None` if the weights' sum is not positive, or one of them is 8 times the sum.
    ///
    /// Nothing overflows: weights are at most 2^94 ([`Filter`]), or 8 times that where chroma is interpolated, and 2^29 times as
    /// much is computed. Their sum is below 2^111, since there are at most 2^15 of them that count.
    fn rounded(&self) -> Option<Rounded> {
        let sum: i128 = self.weights.iter().sum();
        if sum <= 0 || self.weights.iter().any(|weight| weight.abs() / 8 >= sum) {
            return None;
        }
        // Common factors of two take nothing away, and division is quicker without them.
        let shift = self.weights.iter().fold(sum, |all, weight| all | weight).trailing_zeros();
        let sum = sum >> shift;
        let mut weights: Vec<i32> =
            self.weights.iter().map(|weight| rounded_quotient((weight >> shift) * ONE, sum) as i32).collect();
        let rest = ONE as i64 - weights.iter().map(|weight| i64::from(*weight)).sum::<i64>();
        let (largest, _) =
            weights.iter().enumerate().max_by_key(|(at, weight)| (**weight, std::cmp::Reverse(*at)))?;
        weights[largest] += i32::try_from(rest).ok()?;
        let zeros = weights.iter().take_while(|weight| **weight == 0).count();
        let length = weights.iter().rposition(|weight| *weight != 0)? + 1 - zeros;
        weights.drain(..zeros);
        weights.truncate(length);
        Some(Rounded { first: self.first + zeros as i64, weights })
    }
}

/// `n / d` to the nearest integer, halves up; `d` is positive.
pub(super) fn rounded_quotient(n: i128, d: i128) -> i128 {
    // Most numbers here are short, and long division is slow.
    match (i64::try_from(n), i64::try_from(d)) {
        (Ok(n), Ok(d)) if n.unsigned_abs() < 1 << 61 && d < 1 << 61 => {
            i128::from((2 * n + d).div_euclid(2 * d))
        }
        _ => (2 * n + d).div_euclid(2 * d),
    }
}

/// Where the pixels of an axis lie, in fractions of a common denominator.
///
/// With a region of `w` samples from `x` on, pixel `X` of `W` has its centre at `x + (X + 1/2) * w / W`. All of it is multiplied by
/// `denominator`, which makes integers of it. It and `scale` are at most 2^31, so that the weights of a cubic, at most
/// `2 * scale^3`, take 94 bits, and 97 on the way.
struct Filter {
    resize: Resize,
    /// What a sample's width is.
    denominator: i64,
    /// Twice the region's start, and the region's length by pixel.
    start: i64,
    step: i64,
    /// What the filter's unit is: a sample, or a pixel if that is wider.
    scale: i64,
    /// The samples that the region touches.
    lowest: i64,
    highest: i64,
}

impl Filter {
    fn new(axis: &Axis) -> Filter {
        let (start, length) = axis.region;
        debug_assert!(axis.window.1 <= LARGEST && (1..=LARGEST).contains(&axis.pixels));
        debug_assert!(start >= 0 && length > 0 && start + length <= i64::from(axis.window.1) * UNIT);
        let pixels = i64::from(axis.pixels);
        let common = gcd(gcd(pixels * UNIT, length), 2 * pixels * start);
        let denominator = 2 * (pixels * UNIT / common);
        let step = length / common;
        Filter {
            resize: axis.resize,
            denominator,
            start: 2 * pixels * start / common,
            step,
            scale: denominator.max(2 * step),
            lowest: start.div_euclid(UNIT),
            highest: (start + length - 1).div_euclid(UNIT),
        }
    }

    /// Luma samples and weights of a pixel, from the window's start.
    fn pixel(&self, pixel: i64) -> Exact {
        // In units of 1 / denominator.
        let centre = self.start + (2 * pixel + 1) * self.step;
        let support = match self.resize {
            Resize::Nearest => {
                let first = centre.div_euclid(self.denominator).clamp(self.lowest, self.highest);
                return Exact { first, weights: vec![1] };
            }
            Resize::Bilinear => self.scale,
            Resize::Bicubic => 2 * self.scale,
        };
        let half = self.denominator / 2;
        let first = (centre - support + half).div_euclid(self.denominator).max(self.lowest);
        let end = (centre + support + half).div_euclid(self.denominator).min(self.highest + 1);
        let distance = |sample: i64| ((2 * sample + 1) * half - centre).abs();
        let weight = |sample: i64| match self.resize {
            Resize::Bicubic => cubic(distance(sample).into(), self.scale.into()),
            _ => i128::from((self.scale - distance(sample)).max(0)),
        };
        Exact { first, weights: (first..end).map(weight).collect() }
    }
}

/// Keys' cubic with a = -1/2 at `n / d`, times `2 * d^3`.
fn cubic(n: i128, d: i128) -> i128 {
    if n < d {
        (3 * n - 5 * d) * n * n + 2 * d * d * d
    } else if n < 2 * d {
        ((5 * d - n) * n - 8 * d * d) * n + 4 * d * d * d
    } else {
        0
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILTERS: [Resize; 3] = [Resize::Nearest, Resize::Bilinear, Resize::Bicubic];
    const CHROMA: [Chroma; 5] = [
        Chroma::Same,
        Chroma::Between { halves: 0 },
        Chroma::Between { halves: 1 },
        Chroma::Between { halves: 2 },
        Chroma::Repeated,
    ];

    fn whole(length: u32, pixels: u32, resize: Resize) -> Axis {
        let region = (0, i64::from(length) * UNIT);
        Axis { window: (0, length), region, pixels, resize, is_flipped: false }
    }

    /// Samples with weights other than 0, in quarters.
    fn quarters(table: &Table, pixel: usize) -> Vec<(u32, i32)> {
        (0..table.count)
            .map(|tap| (table.starts[pixel] + tap, table.weights[tap as usize * table.starts.len() + pixel]))
            .filter(|(_, weight)| *weight != 0)
            .map(|(sample, weight)| (sample, weight >> (WEIGHT_BITS - 2)))
            .collect()
    }

    #[test]
    fn without_resizing_luma_is_as_it_is() {
        for resize in FILTERS {
            let table = whole(37, 37, resize).luma().unwrap();
            assert_eq!((table.count, table.starts), (1, (0..37).collect()));
            assert!(table.weights.iter().all(|weight| i128::from(*weight) == ONE));
            // And so is a whole part of it, turned round.
            let axis =
                Axis { window: (4, 37), region: (3 * UNIT, 5 * UNIT), pixels: 5, resize, is_flipped: true };
            let table = axis.luma().unwrap();
            assert_eq!((table.count, table.starts), (1, vec![11, 10, 9, 8, 7]));
        }
    }

    #[test]
    fn chroma_lies_where_its_siting_says() {
        let of = |halves, pixel| {
            quarters(&whole(8, 8, Resize::Bilinear).chroma(Chroma::Between { halves }).unwrap(), pixel)
        };
        // At every other luma sample; the last sample has no right neighbour.
        assert_eq!([of(0, 0), of(0, 1), of(0, 7)], [vec![(0, 4)], vec![(0, 2), (1, 2)], vec![(3, 4)]]);
        // In the middle of two.
        assert_eq!(
            [of(1, 0), of(1, 1), of(1, 2)],
            [vec![(0, 4)], vec![(0, 3), (1, 1)], vec![(0, 1), (1, 3)]]
        );
        assert_eq!(of(1, 7), [(3, 4)]);
        // At the odd ones.
        assert_eq!([of(2, 0), of(2, 1), of(2, 2)], [vec![(0, 4)], vec![(0, 4)], vec![(0, 2), (1, 2)]]);
        let table = whole(8, 8, Resize::Bilinear).chroma(Chroma::Repeated).unwrap();
        assert_eq!((table.count, table.starts), (1, vec![0, 0, 1, 1, 2, 2, 3, 3]));
        // Counted from the picture's start, whatever the window; nothing beyond the window is read.
        let axis = Axis { window: (3, 3), region: (0, 3 * UNIT), ..whole(3, 3, Resize::Bilinear) };
        let table = axis.chroma(Chroma::Between { halves: 0 }).unwrap();
        assert_eq!(
            [0, 1, 2].map(|pixel| quarters(&table, pixel)),
            [vec![(1, 2), (2, 2)], vec![(2, 4)], vec![(2, 4)]]
        );
    }

    #[test]
    fn weights_are_those_of_the_filter() {
        // Half the size: triangles of two samples to each side, 1/8 3/8 3/8 1/8; cut off, 3/7 3/7 1/7.
        let table = whole(8, 4, Resize::Bilinear).luma().unwrap();
        let weight = |tap: usize, pixel: usize| f64::from(table.weights[tap * 4 + pixel]) / ONE as f64;
        assert_eq!((table.count, table.starts[1]), (4, 1));
        assert_eq!([0, 1, 2, 3].map(|tap| weight(tap, 1)), [0.125, 0.375, 0.375, 0.125]);
        assert!((weight(0, 0) - 3.0 / 7.0).abs() < 1e-8 && (weight(2, 0) - 1.0 / 7.0).abs() < 1e-8);
        // Twice the size: a quarter and three quarters.
        let table = whole(4, 8, Resize::Bilinear).luma().unwrap();
        assert_eq!([quarters(&table, 2), quarters(&table, 0)], [vec![(0, 1), (1, 3)], vec![(0, 4)]]);
        // A cubic between four samples: -1/16 9/16 9/16 -1/16.
        let axis = Axis { region: (2 * UNIT + UNIT / 2, UNIT), ..whole(8, 1, Resize::Bicubic) };
        let table = axis.luma().unwrap();
        // The part touches samples 2 and 3 alone.
        assert_eq!((table.count, table.starts[0], table.weights[0]), (2, 2, 1 << 27));
        assert_eq!([cubic(1, 2), cubic(3, 2)], [9, -1], "over 16");
        // The sample at the centre.
        assert_eq!(whole(9, 3, Resize::Nearest).luma().unwrap().starts, [1, 4, 7]);
        assert_eq!(whole(4, 2, Resize::Nearest).luma().unwrap().starts, [1, 3]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn weights_sum_to_one_and_stay_in_the_window(
            first in 0u32..50,
            length in prop_oneof![1u32..100, 1u32..=LARGEST],
            pixels in prop_oneof![1u32..20, 1u32..300],
            (from, to) in (0u32..=u32::MAX, 0u32..=u32::MAX),
            is_whole: bool,
            is_flipped: bool,
            filter in 0usize..3,
            chroma in 0usize..5,
        ) {
            let end = i64::from(length) * UNIT;
            let of = |part: u32| ((i128::from(part) * i128::from(end)) >> 32) as i64;
            let (from, to) = if is_whole { (0, end) } else { (of(from.min(to)), of(from.max(to)) + 1) };
            let axis = Axis {
                window: (first, length), region: (from, to - from), pixels, resize: FILTERS[filter], is_flipped,
            };
            let table = axis.chroma(CHROMA[chroma]).unwrap();
            let n = pixels as usize;
            prop_assert_eq!((table.starts.len(), table.weights.len()), (n, n * table.count as usize));
            let (lowest, highest) =
                if chroma == 0 { (first, first + length) } else { (first / 2, (first + length).div_ceil(2)) };
            for pixel in 0..n {
                prop_assert!(table.starts[pixel] >= lowest && table.starts[pixel] + table.count <= highest);
                let sum: i64 = table.weights.iter().skip(pixel).step_by(n).map(|weight| i64::from(*weight)).sum();
                prop_assert_eq!(sum, 1 << WEIGHT_BITS);
            }
            // What the kernel's 32 bits can take, along both axes.
            prop_assert!(table.gain * table.gain < 1 << 57, "{}", table.gain);
        }
    }
}
