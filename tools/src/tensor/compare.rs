//! Elements of a tensor against exact values.

use exact::{BigRational, Deviation, Exact, UlpDeviation, ratio};
use nvdec::tensor::Dtype;

use super::reference::Reference;

/// An element that is too far from its exact value.
#[derive(Clone, Debug, PartialEq)]
pub struct Outside {
    /// Channel, column and line.
    pub at: [usize; 3],
    /// What it is.
    pub given: f64,
    /// What it should be, nearly.
    pub exact: f64,
}

/// What came of the elements that were looked at.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// Bytes, in 0 to 255.
    pub bytes: Deviation,
    /// Numbers, in units in the last place.
    pub numbers: UlpDeviation,
    /// The largest distance of numbers, as a float32 has it before the division by `std`, in parts of 2^-26.
    largest: f64,
    /// Elements that are too far off, and the first of them.
    pub outside: u64,
    /// The first of them.
    pub first: Option<Outside>,
}

impl Comparison {
    /// Elements that were looked at.
    pub fn elements(&self) -> u64 {
        self.bytes.count() + self.numbers.count()
    }

    /// Share of the elements that are the nearest ones that there are.
    pub fn share_nearest(&self) -> f64 {
        (self.bytes.rounded().equal() + self.numbers.within_half()) as f64 / self.elements().max(1) as f64
    }

    /// The largest distance: of bytes in parts of 255, of numbers in units in the last place, of float32 in parts of 2^-26
    /// before the division by `std`.
    pub fn largest(&self, dtype: Dtype) -> f64 {
        match dtype {
            Dtype::U8 => float(self.bytes.largest()),
            Dtype::F32 => self.largest,
            _ => float(self.numbers.largest()),
        }
    }

    /// Looks at `pixels` pixels of a tensor's picture: the corners, and others of the sequence that `seed` begins.
    ///
    /// # Panics
    ///
    /// If there are fewer elements than the picture has.
    pub fn add(
        &mut self,
        elements: &[u8],
        reference: &Reference,
        pixels: usize,
        seed: u64,
    ) -> Result<(), exact::Error> {
        let exact = Exact::new(&reference.picture, &reference.conversion)?;
        let (width, height, channels) = exact.size();
        let taps = reference.taps();
        for (x, y) in positions(width, height, pixels, seed) {
            for (channel, value) in exact.pixel(x, y).into_iter().enumerate().take(channels) {
                let at = reference.position(channel, x, y);
                let bits = element(elements, at, reference.dtype);
                let is_within = if reference.dtype == Dtype::U8 {
                    self.bytes.add(bits as u8, &value);
                    exact::round_u8_half_up(&value).abs_diff(bits as u8) <= 1
                } else {
                    let std = reference.conversion.std.get(channel).cloned().unwrap_or_else(|| ratio(1, 1));
                    self.number(bits, reference.dtype, &exact.normalize(channel, &value), &std, taps)
                };
                if !is_within {
                    self.outside += 1;
                    self.first.get_or_insert_with(|| {
                        let (given, right) = match reference.dtype {
                            Dtype::U8 => (f64::from(bits), 255.0 * float(&value)),
                            dtype => (number(bits, dtype), float(&exact.normalize(channel, &value))),
                        };
                        Outside { at: [channel, x, y], given, exact: right }
                    });
                }
            }
        }
        Ok(())
    }

    /// Whether a number is as near as it has to be: by a unit in its last place, and near 0, and as a float32, by what integer
    /// arithmetic loses before the division by `std` (see `TensorSpec`).
    fn number(&mut self, bits: u32, dtype: Dtype, exact: &BigRational, std: &BigRational, taps: u32) -> bool {
        let ulps = match dtype {
            Dtype::F16 => exact::ulps_f16(bits as u16, exact),
            Dtype::Bf16 => exact::ulps_bf16(bits as u16, exact),
            _ => exact::ulps_f32(bits, exact),
        };
        self.numbers.add(ulps.clone());
        let Some(ulps) = ulps else { return false };
        let given = BigRational::from_float(number(bits, dtype)).expect("it is finite");
        let distance = given - exact;
        let distance = if distance < ratio(0, 1) { -distance } else { distance };
        let lost = distance * std;
        if dtype == Dtype::F32 {
            self.largest = self.largest.max(float(&lost) * f64::from(1 << 26));
        }
        ulps <= ratio(1, 1) || lost <= ratio(i64::from(taps) + 1, 1 << 25)
    }
}

fn float(value: &BigRational) -> f64 {
    use num_traits::ToPrimitive;
    value.to_f64().unwrap_or(f64::NAN)
}

/// Columns and lines: the corners, then others.
fn positions(
    width: usize,
    height: usize,
    count: usize,
    mut seed: u64,
) -> impl Iterator<Item = (usize, usize)> {
    let (right, bottom) = (width - 1, height - 1);
    let corners = [(0, 0), (right, bottom), (right, 0), (0, bottom)];
    let mut next = move |below: usize| {
        // Steele, Lea, Flood: SplitMix64.
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % below as u64) as usize
    };
    let others = std::iter::repeat_with(move || (next(width), next(height)));
    corners.into_iter().chain(others).take(count)
}

/// The bits of the element at a position.
fn element(elements: &[u8], at: usize, dtype: Dtype) -> u32 {
    let size = dtype.bytes();
    let bytes = &elements[at * size..][..size];
    bytes.iter().rev().fold(0, |bits, byte| bits << 8 | u32::from(*byte))
}

/// The number that bits stand for, which is exact.
fn number(bits: u32, dtype: Dtype) -> f64 {
    match dtype {
        Dtype::F16 => {
            let (sign, exponent, fraction) = (bits >> 15, bits >> 10 & 0x1f, f64::from(bits & 0x3ff));
            let magnitude = match exponent {
                0 => fraction * 2f64.powi(-24),
                0x1f if fraction == 0.0 => f64::INFINITY,
                0x1f => f64::NAN,
                _ => (1024.0 + fraction) * 2f64.powi(exponent as i32 - 25),
            };
            if sign == 0 { magnitude } else { -magnitude }
        }
        Dtype::Bf16 => f64::from(f32::from_bits(bits << 16)),
        Dtype::F32 => f64::from(f32::from_bits(bits)),
        _ => f64::from(bits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_numbers() {
        for (bits, value) in [(0, 0.0), (1, 2f64.powi(-24)), (0x3c00, 1.0), (0xc000, -2.0), (0x7bff, 65504.0)]
        {
            assert_eq!(number(bits, Dtype::F16), value);
        }
        assert!(number(0x7c00, Dtype::F16).is_infinite() && number(0x7e00, Dtype::F16).is_nan());
        assert_eq!(number(0x3f80, Dtype::Bf16), 1.0);
    }

    #[test]
    fn the_corners_come_first_and_the_rest_is_always_the_same() {
        let of = |seed| positions(7, 5, 50, seed).collect::<Vec<_>>();
        assert_eq!(&of(1)[..4], [(0, 0), (6, 4), (6, 0), (0, 4)]);
        assert!(of(1) == of(1) && of(1) != of(2) && of(1).iter().all(|&(x, y)| x < 7 && y < 5));
    }

    #[test]
    fn bounds() {
        let mut comparison = Comparison::default();
        let one = ratio(1, 1);
        let mut is_within = |bits: u32, dtype, exact: (i64, i64), std: &BigRational| {
            comparison.number(bits, dtype, &ratio(exact.0, exact.1), std, 2)
        };
        // 1 is 2 units from what is a little less than 1 + 1/512.
        assert!(is_within(0x3c00, Dtype::F16, (1025, 1024), &one));
        assert!(!is_within(0x3c00, Dtype::F16, (1027, 1024), &one));
        assert!(is_within(0x3f80, Dtype::Bf16, (129, 128), &one));
        assert!(!is_within(0x3f80, Dtype::Bf16, (131, 128), &one));
        // Near 0 a part of what was divided by `std` counts.
        assert!(is_within(0, Dtype::F32, (1, 1 << 26), &one));
        assert!(!is_within(0, Dtype::F32, (1, 1 << 20), &one));
        assert!(is_within(0, Dtype::F32, (1, 1 << 20), &ratio(1, 64)));
        assert!(!is_within(0x7f80_0000, Dtype::F32, (1, 1), &one));
    }
}
