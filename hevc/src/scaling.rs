//! `scaling_list_data()` (7.3.4, 7.4.5).

use crate::BitReader;
use crate::error::Error;

/// Table 7-6, intra (matrixId 0 to 2), in the order of the coefficient index i, that is in up-right diagonal order.
const DEFAULT_INTRA: [u8; 64] = [
    16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 17, 16, 17, 16, 17, 18, 17, 18, 18, 17, 18, 21, 19, 20, 21, 20,
    19, 21, 24, 22, 22, 24, 24, 22, 22, 24, 25, 25, 27, 30, 27, 25, 25, 29, 31, 35, 35, 31, 29, 36, 41, 44,
    41, 36, 47, 54, 54, 47, 65, 70, 65, 88, 88, 115,
];

/// Table 7-6, inter (matrixId 3 to 5).
const DEFAULT_INTER: [u8; 64] = [
    16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 17, 17, 17, 17, 17, 18, 18, 18, 18, 18, 18, 20, 20, 20, 20, 20,
    20, 20, 24, 24, 24, 24, 24, 24, 24, 24, 25, 25, 25, 25, 25, 25, 25, 28, 28, 28, 28, 28, 28, 33, 33, 33,
    33, 33, 41, 41, 41, 41, 54, 54, 54, 71, 71, 91,
];

/// The scaling lists of an SPS or a PPS, completely derived: defaults filled in and predictions resolved.
///
/// Lists are in coding order (`ScalingList[sizeId][matrixId][i]`, up-right diagonal); use [`diagonal_scan`] or
/// [`ScalingList::matrix`] to place them. matrixId is 0 to 2 for intra Y, Cb, Cr and 3 to 5 for inter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ScalingList {
    /// sizeId 0: 4x4.
    pub lists_4x4: [[u8; 16]; 6],
    /// sizeId 1: 8x8.
    pub lists_8x8: [[u8; 64]; 6],
    /// sizeId 2: 16x16, each value for a 2x2 block of coefficients.
    pub lists_16x16: [[u8; 64]; 6],
    /// sizeId 3: 32x32, each value for a 4x4 block of coefficients. matrixId 1, 2, 4 and 5 are used with 4:4:4 only and
    /// are then derived from the 16x16 lists (7.4.5, `ChromaArrayType` equal to 3).
    pub lists_32x32: [[u8; 64]; 6],
    /// `scaling_list_dc_coef_minus8[0][matrixId] + 8`.
    pub dc_16x16: [u8; 6],
    /// `scaling_list_dc_coef_minus8[1][matrixId] + 8`; 1, 2, 4 and 5 as for the lists.
    pub dc_32x32: [u8; 6],
}

fn default_8x8() -> [[u8; 64]; 6] {
    std::array::from_fn(|matrix_id| if matrix_id < 3 { DEFAULT_INTRA } else { DEFAULT_INTER })
}

impl Default for ScalingList {
    /// The default lists: flat 16 for 4x4 (Table 7-5), Table 7-6 for the others.
    fn default() -> Self {
        Self {
            lists_4x4: [[16; 16]; 6],
            lists_8x8: default_8x8(),
            lists_16x16: default_8x8(),
            lists_32x32: default_8x8(),
            dc_16x16: [16; 6],
            dc_32x32: [16; 6],
        }
    }
}

impl ScalingList {
    /// All entries 16: no weighting, as without `scaling_list_enabled_flag`.
    pub fn flat() -> Self {
        Self {
            lists_4x4: [[16; 16]; 6],
            lists_8x8: [[16; 64]; 6],
            lists_16x16: [[16; 64]; 6],
            lists_32x32: [[16; 64]; 6],
            dc_16x16: [16; 6],
            dc_32x32: [16; 6],
        }
    }

    /// `ScalingList[sizeId][matrixId]` in coding order: 16 values for sizeId 0, else 64.
    ///
    /// # Panics
    /// If `size_id` exceeds 3 or `matrix_id` exceeds 5.
    pub fn list(&self, size_id: usize, matrix_id: usize) -> &[u8] {
        match size_id {
            0 => &self.lists_4x4[matrix_id],
            1 => &self.lists_8x8[matrix_id],
            2 => &self.lists_16x16[matrix_id],
            3 => &self.lists_32x32[matrix_id],
            _ => panic!("sizeId {size_id}: 0 to 3"),
        }
    }

    fn list_mut(&mut self, size_id: usize, matrix_id: usize) -> &mut [u8] {
        match size_id {
            0 => &mut self.lists_4x4[matrix_id],
            1 => &mut self.lists_8x8[matrix_id],
            2 => &mut self.lists_16x16[matrix_id],
            _ => &mut self.lists_32x32[matrix_id],
        }
    }

    /// DC coefficient of sizeId 2 and 3, 16 for the smaller sizes when all are default.
    fn dc_mut(&mut self, size_id: usize) -> Option<&mut [u8; 6]> {
        match size_id {
            2 => Some(&mut self.dc_16x16),
            3 => Some(&mut self.dc_32x32),
            _ => None,
        }
    }

    /// The list as a matrix in raster order (`y * size + x`), size 4 for sizeId 0 and 8 otherwise, before the
    /// repetition of values and the DC coefficient of the larger sizes.
    pub fn matrix(&self, size_id: usize, matrix_id: usize) -> Vec<u8> {
        let list = self.list(size_id, matrix_id);
        let size = if size_id == 0 { 4 } else { 8 };
        let mut matrix = vec![0; list.len()];
        for (&value, (x, y)) in list.iter().zip(diagonal_scan(size)) {
            matrix[y * size + x] = value;
        }
        matrix
    }

    /// `ScalingFactor[sizeId][matrixId][x][y]` as a matrix in raster order (`y * size + x`) of the size of the transform
    /// block, 4, 8, 16 or 32 (7.4.5).
    pub fn factors(&self, size_id: usize, matrix_id: usize) -> Vec<u8> {
        let base = self.matrix(size_id, matrix_id);
        let base_size = if size_id == 0 { 4 } else { 8 };
        let size = 4usize << size_id;
        let step = size / base_size;
        let mut factors: Vec<u8> =
            (0..size * size).map(|i| base[i / size / step * base_size + i % size / step]).collect();
        match size_id {
            2 => factors[0] = self.dc_16x16[matrix_id],
            3 => factors[0] = self.dc_32x32[matrix_id],
            _ => {}
        }
        factors
    }

    /// Reads `scaling_list_data()`.
    pub(crate) fn parse(r: &mut BitReader<'_>) -> Result<Self, Error> {
        let defaults = Self::default();
        let mut lists = Self::default();
        for size_id in 0..4 {
            let step = if size_id == 3 { 3 } else { 1 };
            for matrix_id in (0..6).step_by(step) {
                if r.flag("scaling_list_pred_mode_flag")? {
                    lists.parse_explicit(r, size_id, matrix_id)?;
                    continue;
                }
                // For 32x32 the delta counts the matrices that are coded (7-42 with the factor 3).
                let delta =
                    r.ue_max((matrix_id / step) as u32, "scaling_list_pred_matrix_id_delta")? as usize;
                let (source, ref_matrix_id) =
                    if delta == 0 { (&defaults, matrix_id) } else { (&lists, matrix_id - delta * step) };
                match size_id {
                    0 => lists.lists_4x4[matrix_id] = source.lists_4x4[ref_matrix_id],
                    1 => lists.lists_8x8[matrix_id] = source.lists_8x8[ref_matrix_id],
                    2 => {
                        let (list, dc) = (source.lists_16x16[ref_matrix_id], source.dc_16x16[ref_matrix_id]);
                        lists.lists_16x16[matrix_id] = list;
                        lists.dc_16x16[matrix_id] = dc;
                    }
                    _ => {
                        let (list, dc) = (source.lists_32x32[ref_matrix_id], source.dc_32x32[ref_matrix_id]);
                        lists.lists_32x32[matrix_id] = list;
                        lists.dc_32x32[matrix_id] = dc;
                    }
                }
            }
        }
        for matrix_id in [1, 2, 4, 5] {
            lists.lists_32x32[matrix_id] = lists.lists_16x16[matrix_id];
            lists.dc_32x32[matrix_id] = lists.dc_16x16[matrix_id];
        }
        Ok(lists)
    }

    fn parse_explicit(
        &mut self,
        r: &mut BitReader<'_>,
        size_id: usize,
        matrix_id: usize,
    ) -> Result<(), Error> {
        let mut next_coef = 8i32;
        if let Some(dc) = self.dc_mut(size_id) {
            next_coef = r.se_range(-7, 247, "scaling_list_dc_coef_minus8")? + 8;
            dc[matrix_id] = next_coef as u8;
        }
        for value in self.list_mut(size_id, matrix_id) {
            let delta = r.se_range(-128, 127, "scaling_list_delta_coef")?;
            next_coef = (next_coef + delta + 256) % 256;
            r.check("ScalingList", i64::from(next_coef), 1, 255)?;
            *value = next_coef as u8;
        }
        Ok(())
    }
}

/// The up-right diagonal scan (6.5.3) of a square block: (x, y) for each position, in scan order.
pub fn diagonal_scan(size: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..2 * size).flat_map(move |sum| {
        // Each diagonal goes from bottom left to top right.
        (0..size).filter_map(move |x| sum.checked_sub(x).filter(|&y| y < size).map(|y| (x, y)))
    })
}

#[cfg(test)]
mod tests {
    use bitstream::SyntaxError;

    use super::*;
    use crate::error::{Place, Structure};

    /// `scaling_list_data()` from (bits, value) pairs.
    fn parse(codes: &[(u32, u64)]) -> Result<ScalingList, Error> {
        let mut bits: Vec<u8> = Vec::new();
        for &(count, value) in codes {
            bits.extend((0..count).rev().map(|bit| (value >> bit & 1) as u8));
        }
        bits.resize(bits.len().next_multiple_of(8) + 64, 0);
        let bytes: Vec<u8> =
            bits.chunks(8).map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | bit)).collect();
        ScalingList::parse(&mut BitReader::new(&bytes, Place::new(Structure::Sps)))
    }

    const ZERO: (u32, u64) = (1, 1);
    const ONE: (u32, u64) = (3, 0b010);
    const TWO: (u32, u64) = (3, 0b011);
    /// `scaling_list_pred_mode_flag`
    const PREDICT: (u32, u64) = (1, 0);
    const EXPLICIT: (u32, u64) = (1, 1);

    /// Explicit: the first value differs from the start by `first`, the others are the same.
    fn explicit(codes: &mut Vec<(u32, u64)>, dc: Option<(u32, u64)>, first: (u32, u64), size: usize) {
        codes.push(EXPLICIT);
        codes.extend(dc);
        codes.push(first);
        codes.extend(std::iter::repeat_n(ZERO, size - 1));
    }

    #[test]
    fn delta_zero_gives_the_default_lists() {
        let codes: Vec<_> = std::iter::repeat_n([PREDICT, ZERO], 20).flatten().collect();
        assert_eq!(parse(&codes), Ok(ScalingList::default()));
    }

    #[test]
    fn lists_and_dc_are_copied_from_the_reference_matrix() {
        let mut codes =
            vec![PREDICT, ZERO, PREDICT, ZERO, PREDICT, ZERO, PREDICT, ZERO, PREDICT, ZERO, PREDICT, ZERO];
        codes.extend(std::iter::repeat_n([PREDICT, ZERO], 6).flatten());
        // 16x16: matrix 0 explicit with DC 8 + 1 and values 9 - 1 = 8 (se(v): 010 is 1, 011 is -1).
        explicit(&mut codes, Some(ONE), TWO, 64);
        // Matrix 1 copies 0, 2 copies 0 (delta 2), 3 is default, 4 copies 3, 5 copies 3.
        codes.extend([PREDICT, ONE, PREDICT, TWO, PREDICT, ZERO, PREDICT, ONE, PREDICT, TWO]);
        // 32x32: matrix 0 explicit with DC 8 - 1 and values 7 + 1 = 8, matrix 3 copies it with delta 1.
        explicit(&mut codes, Some(TWO), ONE, 64);
        codes.extend([PREDICT, ONE]);
        let lists = parse(&codes).expect("valid");
        for matrix_id in 0..3 {
            assert_eq!((lists.lists_16x16[matrix_id], lists.dc_16x16[matrix_id]), ([8; 64], 9));
        }
        for matrix_id in 3..6 {
            assert_eq!((lists.lists_16x16[matrix_id], lists.dc_16x16[matrix_id]), (DEFAULT_INTER, 16));
        }
        for matrix_id in [0, 3] {
            assert_eq!((lists.lists_32x32[matrix_id], lists.dc_32x32[matrix_id]), ([8; 64], 7));
        }
        // Chroma 32x32 (4:4:4) comes from 16x16.
        for matrix_id in [1, 2, 4, 5] {
            assert_eq!(lists.lists_32x32[matrix_id], lists.lists_16x16[matrix_id]);
            assert_eq!(lists.dc_32x32[matrix_id], lists.dc_16x16[matrix_id]);
        }
        assert_eq!(lists.factors(2, 0)[..3], [9, 8, 8]);
    }

    #[test]
    fn a_reference_before_the_first_matrix_is_an_error() {
        let error = parse(&[PREDICT, ONE]).expect_err("matrix 0 has no predecessor");
        assert_eq!(error.to_string(), "SPS: scaling_list_pred_matrix_id_delta is 1, allowed is 0..=0");
        // A value of 0 cannot divide: 8 - 8.
        let minus_eight = (9, 0b000010001);
        assert!(matches!(
            parse(&[EXPLICIT, minus_eight]),
            Err(Error::Syntax(SyntaxError::OutOfRange { element: "ScalingList", value: 0, .. }))
        ));
    }

    #[test]
    fn the_scan_goes_up_and_right() {
        let start: Vec<_> = diagonal_scan(4).take(7).collect();
        assert_eq!(start, [(0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0), (0, 3)]);
        for size in [4, 8] {
            let mut seen = vec![false; size * size];
            diagonal_scan(size).for_each(|(x, y)| seen[y * size + x] = true);
            assert_eq!((diagonal_scan(size).count(), seen.iter().all(|&seen| seen)), (size * size, true));
        }
    }

    #[test]
    fn matrices_and_factors_are_placed_in_raster_order() {
        let mut lists = ScalingList::flat();
        lists.lists_4x4[2] = std::array::from_fn(|i| i as u8 + 1);
        // Position 1 of the scan is below the first coefficient, position 2 to its right.
        assert_eq!(lists.matrix(0, 2)[..5], [1, 3, 6, 10, 2]);
        let defaults = ScalingList::default();
        let factors = defaults.factors(3, 0);
        assert_eq!((factors.len(), factors[0], factors[1023]), (1024, 16, 115));
        assert_eq!(factors[31 * 32 + 28..], [115; 4]);
        // Table 7-6 is symmetric.
        for matrix_id in [0, 3] {
            let matrix = defaults.matrix(1, matrix_id);
            assert!((0..64).all(|i| matrix[i] == matrix[i % 8 * 8 + i / 8]));
        }
    }
}
