//! Weights of the samples of one axis.

use num_traits::{One, Signed, Zero};

use crate::{BigInt, BigRational, Filter, ratio};

/// The samples that one sample of the result is made of, along one axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taps {
    /// The first sample, from the edge of the window.
    pub first: usize,
    /// Numerators of the weights of it and those after it.
    pub weights: Vec<BigInt>,
    /// The denominator of all, which is the sum of the numerators.
    pub sum: BigInt,
}

impl Taps {
    /// The weights as such.
    pub fn rational(&self) -> Vec<BigRational> {
        self.weights.iter().map(|weight| BigRational::new(weight.clone(), self.sum.clone())).collect()
    }
}

/// The filter's kernel at distance `x` from its centre.
fn kernel(filter: Filter, x: &BigRational) -> BigRational {
    let x = x.abs();
    let one = BigRational::one();
    match filter {
        Filter::Nearest => unreachable!("has no kernel"),
        Filter::Bilinear => (one - x).max(BigRational::zero()),
        Filter::Bicubic => {
            let a = ratio(-1, 2);
            let (squared, cubed) = (&x * &x, &x * &x * &x);
            if x < one {
                (&a + ratio(2, 1)) * cubed - (&a + ratio(3, 1)) * squared + one
            } else if x < ratio(2, 1) {
                // a (x^3 - 5 x^2 + 8 x - 4)
                a * (cubed - ratio(5, 1) * squared + ratio(8, 1) * x - ratio(4, 1))
            } else {
                BigRational::zero()
            }
        }
    }
}

/// The taps of each of `size` samples that show what is between `start` and `start + extent`.
///
/// Sample i covers i to i + 1. Only samples that the region touches are used, also where it begins within one.
///
/// # Panics
///
/// If the region is empty or begins below 0.
pub fn axis(start: &BigRational, extent: &BigRational, size: usize, filter: Filter) -> Vec<Taps> {
    assert!(!start.is_negative() && extent.is_positive(), "region {start} + {extent}");
    let half = ratio(1, 2);
    let scale = extent / BigRational::from_integer(size.into());
    let lowest = start.floor();
    let end = (start + extent).ceil();
    let index = |position: &BigRational| {
        usize::try_from(position.to_integer()).expect("samples of the region have indices")
    };

    (0..size)
        .map(|position| {
            let centre = start + (BigRational::from_integer(position.into()) + &half) * &scale;
            let radius = match filter {
                Filter::Nearest => {
                    // Clamping only matters if the region ends where a sample does, and never for a centre within it;
                    // it is part of the definition all the same.
                    let sample = centre.floor().max(lowest.clone()).min(&end - BigRational::one());
                    return Taps { first: index(&sample), weights: vec![BigInt::one()], sum: BigInt::one() };
                }
                Filter::Bilinear => 1,
                Filter::Bicubic => 2,
            };
            // A smaller result has a wider kernel, so that each sample of the source counts: antialiasing.
            let stretch = scale.clone().max(BigRational::one());
            let support = ratio(radius, 1) * &stretch;
            let first = (&centre - &support + &half).floor().max(lowest.clone());
            let behind = (&centre + &support + &half).floor().min(end.clone());
            let (first, behind) = (index(&first), index(&behind));
            let weights: Vec<BigRational> = (first..behind)
                .map(|sample| {
                    let middle = BigRational::from_integer(sample.into()) + &half;
                    kernel(filter, &((middle - &centre) / &stretch))
                })
                .collect();
            over_common_denominator(first, &weights)
        })
        .collect()
}

/// Weights divided by their sum, as whole numbers over a common denominator, without the zeros at both ends.
fn over_common_denominator(first: usize, weights: &[BigRational]) -> Taps {
    let used = |weight: &BigRational| !weight.is_zero();
    let skipped = weights.iter().position(used).expect("a filter has a weight that is not 0");
    let last = weights.iter().rposition(used).expect("as above");
    let total: BigRational = weights.iter().sum();
    let shares: Vec<BigRational> = weights[skipped..=last].iter().map(|weight| weight / &total).collect();
    let (weights, sum) = whole_numbers(&shares);
    Taps { first: first + skipped, weights, sum }
}

/// Numerators of rational numbers over their least common denominator, and that denominator.
pub(crate) fn whole_numbers(values: &[BigRational]) -> (Vec<BigInt>, BigInt) {
    let denominator = values.iter().fold(BigInt::one(), |common, value| {
        // In lowest terms the numerator is what the common denominator lacks of this one.
        let lacking = BigRational::new(value.denom().clone(), common.clone()).numer().clone();
        common * lacking
    });
    let numerators = values.iter().map(|value| value.numer() * (&denominator / value.denom())).collect();
    (numerators, denominator)
}
