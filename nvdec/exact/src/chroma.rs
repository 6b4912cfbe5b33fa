//! Where chroma samples sit, and their weights at a luma position.

use crate::Chroma;

/// Weights are multiples of one over this: a luma sample lies a quarter, a half or three quarters of the way from one
/// chroma sample to the next, or on one.
pub const QUARTERS: u32 = 4;

/// Two chroma samples of one axis and their weights in [`QUARTERS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// Columns or rows of chroma, from the picture's origin.
    pub samples: [usize; 2],
    /// Their weights, which sum to [`QUARTERS`].
    pub weights: [u32; 2],
}

/// How far the first chroma sample is right of and below the first luma sample, in half luma samples, by
/// `Chroma420SampleLocType` (H.273): 0 left, 1 centre, 2 top left, 3 top, 4 bottom left, 5 bottom.
pub fn offsets(siting: u8) -> (i64, i64) {
    let horizontal = if siting.is_multiple_of(2) { 0 } else { 1 };
    let vertical = match siting {
        0 | 1 => 1,
        2 | 3 => 0,
        _ => 2,
    };
    (horizontal, vertical)
}

/// The chroma samples at the luma sample `luma` of one axis.
///
/// `factor` is the subsampling, `offset` that of [`offsets`], which counts only where there is subsampling; `window` is the
/// first chroma sample and the first behind the last, and its edges are repeated outwards. Positions count from the
/// picture's origin, not from the window.
pub fn at_luma(luma: usize, factor: usize, offset: i64, window: (usize, usize), chroma: Chroma) -> Pair {
    let inside = |sample: i64| (sample.max(window.0 as i64) as usize).min(window.1 - 1);
    if factor == 1 || chroma == Chroma::Nearest {
        let sample = inside((luma / factor) as i64);
        return Pair { samples: [sample; 2], weights: [QUARTERS, 0] };
    }
    // Chroma sample j sits at 2 j + offset / 2, so that luma sample i is at (i - offset / 2) / 2 in chroma samples, which
    // is (2 i - offset) / 4.
    let quarters = 2 * luma as i64 - offset;
    let first = quarters.div_euclid(4);
    let beyond = quarters.rem_euclid(4) as u32;
    Pair { samples: [inside(first), inside(first + 1)], weights: [QUARTERS - beyond, beyond] }
}
