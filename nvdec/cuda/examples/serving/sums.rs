//! A sum that tells pictures apart, and that both sides can compute.

/// Sum over a picture's elements, each taken as an integer and multiplied by its place modulo 65521, plus 1; in 64 bits,
/// which may run over. Elements of one byte have no sign, others do.
pub(crate) fn sum(picture: &[u8], element_bytes: usize) -> i64 {
    let weighed = |elements: &mut dyn Iterator<Item = i64>| {
        elements.zip((1..=65521i64).cycle()).fold(0i64, |sum, (e, w)| sum.wrapping_add(e.wrapping_mul(w)))
    };
    match element_bytes {
        1 => weighed(&mut picture.iter().map(|&byte| i64::from(byte))),
        2 => weighed(&mut picture.as_chunks().0.iter().map(|&half| i64::from(i16::from_le_bytes(half)))),
        _ => weighed(&mut picture.as_chunks().0.iter().map(|&word| i64::from(i32::from_le_bytes(word)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the consumer computes them.
    #[test]
    fn sums_weigh_places() {
        assert_eq!(sum(&[1, 2, 255], 1), 1 + 2 * 2 + 3 * 255);
        assert_eq!(sum(&[1, 0, 0xff, 0xff], 2), 1 - 2);
        assert_eq!(sum(&[1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], 4), 1 - 2);
        let mut long = vec![0; 65523];
        long[65520] = 1;
        assert_eq!(sum(&long, 1), 65521);
        long[65521] = 1;
        assert_eq!(sum(&long, 1), 65522);
        assert_ne!(sum(&[1, 2], 1), sum(&[2, 1], 1));
    }
}
