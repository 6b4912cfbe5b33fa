//! Rounding to bytes, and distances in units in the last place of floating-point numbers.

use num_traits::{Signed, ToPrimitive, Zero};

use crate::{BigInt, BigRational, ratio};

/// `value`, 0 to 1, as a byte: `floor(255 value + 1/2)`.
///
/// # Panics
///
/// If the value is outside 0 to 1.
pub fn round_u8_half_up(value: &BigRational) -> u8 {
    let rounded = (value * ratio(255, 1) + ratio(1, 2)).floor().to_integer();
    rounded.to_u8().expect("a value from 0 to 1")
}

/// A binary format of IEEE 754's kind.
struct Format {
    /// Bits of the significand that are stored.
    fraction: u32,
    /// Bits of the exponent.
    exponent: u32,
}

const F16: Format = Format { fraction: 10, exponent: 5 };
const BF16: Format = Format { fraction: 7, exponent: 8 };
const F32: Format = Format { fraction: 23, exponent: 8 };

/// Distance of an IEEE 754 binary16 number from `exact`, in units in the last place at `exact`: 2^(e - 10) for
/// 2^e <= |`exact`| < 2^(e + 1), and at least 2^-24. `None` for infinities and NaNs.
pub fn ulps_f16(bits: u16, exact: &BigRational) -> Option<BigRational> {
    F16.distance(bits.into(), exact)
}

/// Distance of a bfloat16 number from `exact`, in units in the last place at `exact`: 2^(e - 7), and at least 2^-133.
/// `None` for infinities and NaNs.
pub fn ulps_bf16(bits: u16, exact: &BigRational) -> Option<BigRational> {
    BF16.distance(bits.into(), exact)
}

/// Distance of an IEEE 754 binary32 number from `exact`, in units in the last place at `exact`: 2^(e - 23), and at least
/// 2^-149. `None` for infinities and NaNs.
pub fn ulps_f32(bits: u32, exact: &BigRational) -> Option<BigRational> {
    F32.distance(bits, exact)
}

impl Format {
    /// Exponent of a unit in the last place of the least normal numbers, and of subnormal ones.
    fn least(&self) -> i64 {
        let bias = (1 << (self.exponent - 1)) - 1;
        1 - bias - i64::from(self.fraction)
    }

    fn distance(&self, bits: u32, exact: &BigRational) -> Option<BigRational> {
        let unit = if exact.is_zero() {
            self.least()
        } else {
            (binade(exact) - i64::from(self.fraction)).max(self.least())
        };
        Some((self.value(bits)? - exact).abs() / power_of_two(unit))
    }

    /// The number that `bits` stand for.
    fn value(&self, bits: u32) -> Option<BigRational> {
        let fraction = bits & ((1 << self.fraction) - 1);
        let exponent = bits >> self.fraction & ((1 << self.exponent) - 1);
        if exponent == (1 << self.exponent) - 1 {
            return None;
        }
        // Subnormal numbers have the exponent of the least normal ones, without the hidden bit.
        let significand = if exponent == 0 { fraction } else { fraction | 1 << self.fraction };
        let power = self.least() + i64::from(exponent.max(1)) - 1;
        let magnitude = BigRational::from_integer(significand.into()) * power_of_two(power);
        let negative = bits >> (self.fraction + self.exponent) & 1 != 0;
        Some(if negative { -magnitude } else { magnitude })
    }
}

/// e of 2^e <= |`value`| < 2^(e + 1).
fn binade(value: &BigRational) -> i64 {
    let bits = |part: &BigInt| i64::try_from(part.bits()).expect("numbers that fit into memory");
    // Between 2^(guess - 1) and 2^(guess + 1), both excluded.
    let guess = bits(value.numer()) - bits(value.denom());
    if value.abs() < power_of_two(guess) { guess - 1 } else { guess }
}

fn power_of_two(exponent: i64) -> BigRational {
    let power = BigInt::from(1) << exponent.unsigned_abs();
    if exponent < 0 { BigRational::new_raw(1.into(), power) } else { BigRational::from_integer(power) }
}
