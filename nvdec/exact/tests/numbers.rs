//! Rounding, distances and what is collected of them.

use exact::{
    BigInt, BigRational, Deviation, Histogram, UlpDeviation, ratio, round_u8_half_up, ulps_bf16, ulps_f16,
    ulps_f32,
};
use proptest::prelude::*;

fn power(exponent: u32) -> BigRational {
    BigRational::new(1.into(), BigInt::from(1) << exponent)
}

#[test]
fn bytes_are_rounded_half_up() {
    assert_eq!(round_u8_half_up(&ratio(0, 1)), 0);
    assert_eq!(round_u8_half_up(&ratio(1, 1)), 255);
    // 1/510 is half a step.
    assert_eq!(round_u8_half_up(&ratio(1, 510)), 1);
    assert_eq!(round_u8_half_up(&(ratio(1, 510) - power(200))), 0);
    assert_eq!(round_u8_half_up(&ratio(509, 510)), 255);
    assert_eq!(round_u8_half_up(&ratio(1, 2)), 128);
}

#[test]
fn units_in_the_last_place() {
    let one = ratio(1, 1);
    // 1.0 and its neighbours: 2^-10 above; below, where the binade is that of the exact value, 1, half a unit.
    assert_eq!(ulps_f16(0x3c00, &one), Some(ratio(0, 1)));
    assert_eq!(ulps_f16(0x3c01, &one), Some(one.clone()));
    assert_eq!(ulps_f16(0x3bff, &one), Some(ratio(1, 2)));
    assert_eq!(ulps_f16(0x3bff, &(&one - power(20))), Some(ratio(511, 512)));
    assert_eq!(ulps_f16(0xbc00, &ratio(-1, 1)), Some(ratio(0, 1)));
    // From -1 to 1, in units of 2^-10.
    assert_eq!(ulps_f16(0xbc00, &one), Some(ratio(2048, 1)));
    // Subnormal numbers and 0: 2^-24.
    assert_eq!(ulps_f16(0x0001, &ratio(0, 1)), Some(one.clone()));
    assert_eq!(ulps_f16(0x8000, &ratio(0, 1)), Some(ratio(0, 1)));
    assert_eq!(ulps_f16(0x0000, &power(25)), Some(ratio(1, 2)));
    assert_eq!(ulps_f16(0x0400, &power(14)), Some(ratio(0, 1)));
    assert_eq!(ulps_f16(0x03ff, &power(14)), Some(one.clone()));
    // The largest, 65504, where a unit is 32.
    assert_eq!(ulps_f16(0x7bff, &ratio(65_520, 1)), Some(ratio(1, 2)));
    assert_eq!(ulps_f16(0x7c00, &one), None);
    assert_eq!(ulps_f16(0x7e00, &one), None);
    // 1/3 is 0.01010101 b: 2^-2 times 1.01010101..., a unit is 2^-12.
    assert_eq!(ulps_f16(0x3555, &ratio(1, 3)), Some(ratio(1, 3)));

    assert_eq!(ulps_bf16(0x3f81, &one), Some(one.clone()));
    assert_eq!(ulps_bf16(0x0001, &ratio(0, 1)), Some(one.clone()));
    assert_eq!(ulps_bf16(0x0001, &power(133)), Some(ratio(0, 1)));
    assert_eq!(ulps_f32(0x3f80_0001, &one), Some(one.clone()));
    assert_eq!(ulps_f32(0x0000_0001, &power(149)), Some(ratio(0, 1)));
    assert_eq!(ulps_f32(f32::NEG_INFINITY.to_bits(), &one), None);
}

#[test]
fn deviations() {
    let mut deviation = Deviation::default();
    // 100.75 of 255, rounded 101: exact, one too small, two too large.
    let exact = ratio(403, 4) / ratio(255, 1);
    for given in [101, 100, 103] {
        deviation.add(given, &exact);
    }
    assert_eq!((deviation.count(), deviation.rounded().equal(), deviation.rounded().within(1)), (3, 1, 2));
    assert_eq!(deviation.rounded().largest(), 2);
    assert_eq!(deviation.rounded().bias(), 1.0 / 3.0);
    assert_eq!(deviation.rounded().differences().collect::<Vec<_>>(), [(-1, 1), (0, 1), (2, 1)]);
    assert_eq!(*deviation.largest(), ratio(9, 4));
    // 0.25 - 0.75 + 2.25 and 0.25 + 0.75 + 2.25.
    assert_eq!((deviation.bias(), deviation.mean()), (1.75 / 3.0, 3.25 / 3.0));
    let mut twice = Deviation::default();
    twice.merge(&deviation);
    twice.merge(&deviation);
    assert_eq!((twice.count(), twice.bias(), twice.largest()), (6, deviation.bias(), deviation.largest()));
    assert_eq!(
        deviation.to_string(),
        "3 elements: largest 2.2500, mean 1.0833, bias +0.5833; of the rounded value 33.333 % equal, 66.667 % within 1, \
         largest 2"
    );
    // Nothing is counted yet.
    let (none, histogram) = (Deviation::default(), Histogram::default());
    assert_eq!((none.mean(), none.share_equal(), histogram.bias(), histogram.largest()), (0.0, 0.0, 0.0, 0));

    let mut floats = UlpDeviation::default();
    for distance in [Some(ratio(1, 2)), Some(ratio(3, 4)), None] {
        floats.add(distance);
    }
    assert_eq!((floats.count(), floats.within_half(), floats.not_finite()), (3, 1, 1));
    assert_eq!(*floats.largest(), ratio(3, 4));
}

proptest! {
    /// What the processor rounds to nearest is within half a unit, and what is next to it is not nearer.
    #[test]
    fn rounding_to_nearest_is_within_half_a_unit(bits in any::<u64>()) {
        let wide = f64::from_bits(bits);
        let narrow = wide as f32;
        prop_assume!(wide.is_finite() && narrow.is_finite());
        let exact = BigRational::from_float(wide).expect("finite");
        let distance = |bits: u32| ulps_f32(bits, &exact);
        let here = distance(narrow.to_bits()).expect("finite");
        prop_assert!(here <= ratio(1, 2));
        for next in [narrow.next_up(), narrow.next_down()] {
            prop_assert!(distance(next.to_bits()).is_none_or(|next| next >= here));
        }
    }
}
