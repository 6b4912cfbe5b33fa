//! What is collected over many elements.

use std::fmt;

use num_traits::{Signed, ToPrimitive, Zero};

use crate::{BigRational, ratio, round_u8_half_up};

/// How often each difference of two bytes occurred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    /// For the differences -255 to 255.
    counts: Vec<u64>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; 511] }
    }
}

impl Histogram {
    /// Counts one element: what a conversion gave, and what would have been right.
    pub fn add(&mut self, given: u8, right: u8) {
        self.counts[255 + usize::from(given) - usize::from(right)] += 1;
    }

    /// Adds what another one has counted.
    pub fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, other)| *count += other);
    }

    /// Differences that occurred, given less right, with their counts.
    pub fn differences(&self) -> impl Iterator<Item = (i32, u64)> + '_ {
        (-255..)
            .zip(&self.counts)
            .filter(|(_, count)| **count != 0)
            .map(|(difference, count)| (difference, *count))
    }

    /// Elements.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Elements that differ by no more than `limit`.
    pub fn within(&self, limit: u32) -> u64 {
        self.differences()
            .filter(|(difference, _)| difference.unsigned_abs() <= limit)
            .map(|(_, count)| count)
            .sum()
    }

    /// Elements that are right.
    pub fn equal(&self) -> u64 {
        self.within(0)
    }

    /// The largest difference in either direction.
    pub fn largest(&self) -> u32 {
        self.differences().map(|(difference, _)| difference.unsigned_abs()).max().unwrap_or(0)
    }

    /// Mean of the differences, given less right; 0 of no elements.
    pub fn bias(&self) -> f64 {
        let sum: i128 =
            self.differences().map(|(difference, count)| i128::from(difference) * i128::from(count)).sum();
        sum as f64 / self.count().max(1) as f64
    }
}

/// How far bytes are from exact values: from the values themselves, in 0 to 255, and from these rounded half up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deviation {
    rounded: Histogram,
    largest: BigRational,
    // In steps of 2^-64, rounded towards 0. The sum of exact differences would have an ever longer denominator; 2^55
    // elements fit.
    sum: i128,
    sum_of_magnitudes: i128,
}

impl Default for Deviation {
    fn default() -> Self {
        Self { rounded: Histogram::default(), largest: BigRational::zero(), sum: 0, sum_of_magnitudes: 0 }
    }
}

impl Deviation {
    /// Counts one element: what a conversion gave, and the exact value, 0 to 1.
    ///
    /// # Panics
    ///
    /// If the exact value is outside 0 to 1.
    pub fn add(&mut self, given: u8, exact: &BigRational) {
        self.rounded.add(given, round_u8_half_up(exact));
        let difference = ratio(given.into(), 1) - exact * ratio(255, 1);
        let steps = ((difference.numer() << 64_u32) / difference.denom()).to_i128().expect("at most 255");
        self.sum += steps;
        self.sum_of_magnitudes += steps.abs();
        let magnitude = difference.abs();
        if magnitude > self.largest {
            self.largest = magnitude;
        }
    }

    /// Adds what another one has counted.
    pub fn merge(&mut self, other: &Self) {
        self.rounded.merge(&other.rounded);
        self.sum += other.sum;
        self.sum_of_magnitudes += other.sum_of_magnitudes;
        if other.largest > self.largest {
            self.largest = other.largest.clone();
        }
    }

    /// Differences from the exact value rounded half up.
    pub fn rounded(&self) -> &Histogram {
        &self.rounded
    }

    /// Elements.
    pub fn count(&self) -> u64 {
        self.rounded.count()
    }

    /// Share of the elements that are the exact value rounded half up; 0 of no elements.
    pub fn share_equal(&self) -> f64 {
        self.rounded.equal() as f64 / self.count().max(1) as f64
    }

    /// The largest distance from the exact value. It is at most 1/2 where every element is rounded to nearest.
    pub fn largest(&self) -> &BigRational {
        &self.largest
    }

    /// Mean distance from the exact value; 0 of no elements.
    pub fn mean(&self) -> f64 {
        self.mean_of(self.sum_of_magnitudes)
    }

    /// Mean of the differences from the exact value, given less exact; 0 of no elements.
    pub fn bias(&self) -> f64 {
        self.mean_of(self.sum)
    }

    fn mean_of(&self, steps: i128) -> f64 {
        steps as f64 / 2_f64.powi(64) / self.count().max(1) as f64
    }
}

/// In one line: against the exact value, then against the rounded one.
impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} elements: largest {:.4}, mean {:.4}, bias {:+.4}; of the rounded value {:.3} % equal, {:.3} % within 1, \
             largest {}",
            self.count(),
            self.largest.to_f64().unwrap_or(f64::NAN),
            self.mean(),
            self.bias(),
            100.0 * self.share_equal(),
            100.0 * self.rounded.within(1) as f64 / self.count().max(1) as f64,
            self.rounded.largest(),
        )
    }
}

/// How far floating-point numbers are from exact values, in units in the last place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UlpDeviation {
    count: u64,
    within_half: u64,
    not_finite: u64,
    largest: BigRational,
}

impl Default for UlpDeviation {
    fn default() -> Self {
        Self { count: 0, within_half: 0, not_finite: 0, largest: BigRational::zero() }
    }
}

impl UlpDeviation {
    /// Counts one element: what [`ulps_f16`](crate::ulps_f16) and its like said.
    pub fn add(&mut self, distance: Option<BigRational>) {
        self.count += 1;
        let Some(distance) = distance else {
            self.not_finite += 1;
            return;
        };
        self.within_half += u64::from(distance <= ratio(1, 2));
        if distance > self.largest {
            self.largest = distance;
        }
    }

    /// Adds what another one has counted.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.within_half += other.within_half;
        self.not_finite += other.not_finite;
        if other.largest > self.largest {
            self.largest = other.largest.clone();
        }
    }

    /// Elements.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Elements that are as near to the exact value as the format allows (or lie in the middle of two).
    pub fn within_half(&self) -> u64 {
        self.within_half
    }

    /// Infinities and NaNs, which have no distance.
    pub fn not_finite(&self) -> u64 {
        self.not_finite
    }

    /// The largest distance of the others.
    pub fn largest(&self) -> &BigRational {
        &self.largest
    }
}

/// In one line.
impl fmt::Display for UlpDeviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} elements: largest {:.4} ulp, {:.3} % within 1/2 ulp, {} not finite",
            self.count,
            self.largest.to_f64().unwrap_or(f64::NAN),
            100.0 * self.within_half as f64 / self.count.max(1) as f64,
            self.not_finite,
        )
    }
}
