//! Code values to R, G and B (H.273, 8.3).

use num_traits::One;

use crate::{BigRational, Error, ratio};

/// A way from Y, Cb and Cr to R, G and B.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Matrix {
    /// The planes are G, B and R (code point 0).
    Identity,
    /// Y, Cg and Co (code point 8).
    YCgCo,
    /// Luma is `Kr R + Kg G + Kb B`, chroma B and R less luma.
    Luma {
        /// Share of R in luma.
        kr: BigRational,
        /// Share of B in luma.
        kb: BigRational,
    },
}

impl Matrix {
    /// What a code point of H.273 (`MatrixCoefficients`, table 4) stands for.
    ///
    /// # Errors
    ///
    /// [`Error::Matrix`] for those that no such matrix stands for (most need transfer functions or primaries), for reserved ones,
    /// and for 2 (unspecified), which is to be resolved before.
    pub fn new(code: u8) -> Result<Self, Error> {
        let luma = |kr, kb| Ok(Self::Luma { kr: ratio(kr, 10_000), kb: ratio(kb, 10_000) });
        let refused = |name| Err(Error::Matrix(code, name));
        match code {
            0 => Ok(Self::Identity),
            1 => luma(2126, 722),
            2 => refused("unspecified"),
            4 => luma(3000, 1100),
            5 | 6 => luma(2990, 1140),
            7 => luma(2120, 870),
            8 => Ok(Self::YCgCo),
            9 => luma(2627, 593),
            10 => refused("BT.2020 constant luminance"),
            11 => refused("SMPTE ST 2085"),
            12 => refused("chromaticity-derived non-constant luminance"),
            13 => refused("chromaticity-derived constant luminance"),
            14 => refused("ICtCp"),
            15 => refused("IPT-PQ-C2"),
            16 => refused("YCgCo-Re"),
            17 => refused("YCgCo-Ro"),
            _ => refused("reserved"),
        }
    }

    /// R, G and B of code values of luma, Cb and Cr, not clamped. Code values may lie between whole numbers, as after a
    /// resize.
    pub fn rgb(&self, codes: &[BigRational; 3], depths: [u32; 2], full_range: bool) -> [BigRational; 3] {
        let [y, cb, cr] = codes;
        let as_luma = |code, depth| luma(code, depth, full_range);
        let as_chroma = |code, excursion| chroma(code, depths[1], full_range, excursion);
        match self {
            Self::Identity => [as_luma(cr, depths[1]), as_luma(y, depths[0]), as_luma(cb, depths[1])],
            Self::YCgCo => {
                // H.273 computes these from R, G and B that are quantized already, 219 steps in limited range, so Cg and
                // Co have 219 steps as well, not the 224 of other chroma.
                let y = as_luma(y, depths[0]);
                let (cg, co) = (as_chroma(cb, 219), as_chroma(cr, 219));
                let t = &y - &cg;
                [&t + &co, y + cg, t - co]
            }
            Self::Luma { kr, kb } => {
                let y = as_luma(y, depths[0]);
                let (pb, pr) = (as_chroma(cb, 224), as_chroma(cr, 224));
                let kg = BigRational::one() - kr - kb;
                let red = &y + ratio(2, 1) * (BigRational::one() - kr) * pr;
                let blue = &y + ratio(2, 1) * (BigRational::one() - kb) * pb;
                // Of luma as the sum of its shares, rather than of the usual coefficients that follow from it.
                let green = (&y - kr * &red - kb * &blue) / kg;
                [red, green, blue]
            }
        }
    }
}

/// E'Y of a code value of luma.
pub fn luma(code: &BigRational, depth: u32, full_range: bool) -> BigRational {
    if full_range {
        return part_of_largest(code, depth);
    }
    let step = 1_i64 << (depth - 8);
    (code - ratio(16 * step, 1)) / ratio(219 * step, 1)
}

/// E'PB or E'PR of a code value of chroma; `excursion` is what they span of 256 in limited range.
fn chroma(code: &BigRational, depth: u32, full_range: bool, excursion: i64) -> BigRational {
    let difference = code - ratio(1 << (depth - 1), 1);
    let range = if full_range { (1 << depth) - 1 } else { excursion << (depth - 8) };
    difference / ratio(range, 1)
}

/// A code value as a part of the largest.
pub fn part_of_largest(code: &BigRational, depth: u32) -> BigRational {
    code / ratio((1 << depth) - 1, 1)
}
