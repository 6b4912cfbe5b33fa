//! [`Ratio`], and what brings exact numbers to the kernel's integers.

use super::axis::rounded_quotient;
use super::params::SAMPLE_BITS;

/// An exact fraction; its denominator is positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ratio {
    n: i128,
    d: i128,
}

impl Ratio {
    pub(super) const ZERO: Ratio = Ratio { n: 0, d: 1 };
    pub(super) const ONE: Ratio = Ratio { n: 1, d: 1 };

    /// `d` is not 0.
    pub(super) fn new(n: i128, d: i128) -> Ratio {
        let gcd = gcd(n.abs(), d.abs()) * d.signum();
        Ratio { n: n / gcd, d: d / gcd }
    }

    pub(super) fn plus(self, other: Ratio) -> Ratio {
        Ratio::new(self.n * other.d + other.n * self.d, self.d * other.d)
    }

    pub(super) fn times(self, other: Ratio) -> Ratio {
        Ratio::new(self.n * other.n, self.d * other.d)
    }

    pub(super) fn negative(self) -> Ratio {
        Ratio { n: -self.n, ..self }
    }

    /// With so many bits behind the point, rounded, halves up.
    pub(super) fn fixed(self, bits: u32) -> i128 {
        rounded_quotient(self.n << bits, self.d)
    }
}

fn gcd(a: i128, b: i128) -> i128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// How a channel becomes a floating-point number: `(value * scale + bias) / 2^exponent` is `(v - mean) / std`, where `value` is `v`
/// with [`SAMPLE_BITS`] behind the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Affine {
    pub(super) scale: i32,
    pub(super) bias: i64,
    pub(super) exponent: i32,
}

impl Affine {
    /// The finest one that 32 bits of scale, and 62 of everything, have room for. `std` is of 2^-20 to 2^20, `mean` of at most
    /// 2^20: the exponent is 20 or more, and at most 81, so that nothing becomes a subnormal number.
    pub(super) fn new(mean: f64, std: f64) -> Affine {
        let (std, std_exponent) = parts(std);
        let (mean, mean_exponent) = parts(mean);
        let of = |exponent: i32| {
            let scale = shifted_quotient(1, std, exponent - SAMPLE_BITS as i32 - std_exponent)?;
            let bias = shifted_quotient(-mean, std, exponent + mean_exponent - std_exponent)?;
            let is_small = bias.unsigned_abs() < 1 << 61;
            Some(Affine { scale: i32::try_from(scale).ok()?, bias: i64::try_from(bias).ok()?, exponent })
                .filter(|_| is_small)
        };
        (0..=82).rev().find_map(of).unwrap_or(Affine { scale: 0, bias: 0, exponent: 0 })
    }
}

/// A finite number as `m * 2^e`.
fn parts(number: f64) -> (i128, i32) {
    let bits = number.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i32;
    let fraction = i128::from(bits & ((1 << 52) - 1));
    let size = if exponent == 0 { fraction } else { fraction | 1 << 52 };
    (if number < 0.0 { -size } else { size }, exponent.max(1) - 1075)
}

/// `n / d * 2^shift`, rounded, halves up. `None` if it takes more than 63 bits. `n` and `d` have 53 bits.
fn shifted_quotient(n: i128, d: i128, shift: i32) -> Option<i128> {
    let quotient = match shift {
        _ if n == 0 => 0,
        // `d` is 2^53 at most.
        117.. => return None,
        // The numerator takes 116 + 53 bits at most, unless the quotient is too large anyway.
        0.. if n.unsigned_abs().leading_zeros() < shift as u32 + 3 => return None,
        0.. => rounded_quotient(n << shift, d),
        // Less than a quarter.
        ..-55 => 0,
        _ => rounded_quotient(n, d << -shift),
    };
    (quotient.unsigned_abs() < 1 << 63).then_some(quotient)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn without_mean_and_std_numbers_are_exact() {
        assert_eq!(Affine::new(0.0, 1.0), Affine { scale: 1 << 30, bias: 0, exponent: 60 });
        assert_eq!(Affine::new(0.5, 0.5), Affine { scale: 1 << 30, bias: -(1 << 59), exponent: 59 });
    }

    #[test]
    fn fractions() {
        assert_eq!(Ratio::new(3, -6), Ratio { n: -1, d: 2 });
        assert_eq!(Ratio::new(1, 3).plus(Ratio::new(1, 6)), Ratio::new(1, 2));
        assert_eq!(Ratio::new(2, 3).times(Ratio::new(3, 4)), Ratio::new(1, 2));
        assert_eq!(
            [Ratio::new(1, 2).fixed(0), Ratio::new(-1, 2).fixed(0), Ratio::new(1, 3).fixed(2)],
            [1, 0, 1]
        );
    }

    proptest! {
        #[test]
        fn scale_and_bias_are_as_fine_as_there_is_room(
            mean in prop_oneof![-2.0..2.0, -1048576.0..1048576.0, Just(1e-300), Just(0.0), Just(5e-324)],
            std in prop_oneof![0.01..2.0, 0.00000095367431640625..1048576.0],
        ) {
            let Affine { scale, bias, exponent } = Affine::new(mean, std);
            prop_assert!((20..=81).contains(&exponent));
            prop_assert!(bias.unsigned_abs() < 1 << 61);
            // Either is at its limit, or the scale has all its bits.
            prop_assert!(scale >= 1 << 30 || bias.unsigned_abs() >= 1 << 60, "{scale} {bias} {exponent}");
            let of = |v: f64| v * f64::from(scale) * 2f64.powi(30 - exponent) + bias as f64 * 2f64.powi(-exponent);
            for v in [0.0, 0.3, 1.0] {
                let (is_so, exact) = (of(v), (v - mean) / std);
                // Far finer than a float32, of which the larger of both parts has 24 bits.
                prop_assert!((is_so - exact).abs() <= 2e-9 * (1.0 + mean.abs()) / std, "{is_so} {exact}");
            }
        }
    }
}
