//! How R, G and B, or what else a tensor has, are made of Y, Cb and Cr: exact, then rounded once.

use super::numbers::Ratio;
use super::params::{COLOUR_BITS, SAMPLE_BITS};
use super::spec::{Channels, Matrix, SampleRange, TensorSpec};
use crate::class::Chroma;
use crate::error::{Error, Result};
use crate::pictures::info::Colour;
use crate::surface::format::{Rect, SurfaceFormat};

/// A channel: the sum of Y, Cb and Cr, as parts of `2^depth`, times `mix`, and of `offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mix {
    /// [`COLOUR_BITS`] behind the point.
    pub(super) mix: [i32; 3],
    /// [`COLOUR_BITS`] and [`SAMPLE_BITS`] behind the point.
    pub(super) offset: i64,
}

/// A plane as the matrix wants it: `code / 2^depth * gain - black`.
#[derive(Clone, Copy)]
struct Scale {
    gain: Ratio,
    black: Ratio,
}

impl Scale {
    /// Luma, from black 0 to white 1.
    fn luma(depth: u8, is_full: bool) -> Scale {
        let (black, range) =
            if is_full { (0, (1 << depth) - 1) } else { (16 << (depth - 8), 219 << (depth - 8)) };
        Scale { gain: Ratio::new(1 << depth, range), black: Ratio::new(black, range) }
    }

    /// A colour difference, from -1/2 to 1/2. Of limited range it has so many steps for 8 bits.
    fn chroma(depth: u8, is_full: bool, steps: i128) -> Scale {
        let range = if is_full { (1 << depth) - 1 } else { steps << (depth - 8) };
        Scale { gain: Ratio::new(1 << depth, range), black: Ratio::new(1 << (depth - 1), range) }
    }
}

/// What each of a tensor's channels is made of.
///
/// # Errors
///
/// [`Error::TensorPicture`] if the picture has not what the channels need.
pub(super) fn mixes(
    spec: &TensorSpec,
    format: SurfaceFormat,
    colour: Colour,
    window: Rect,
) -> Result<Vec<Mix>> {
    let is_full = match spec.range {
        SampleRange::Auto => colour.full_range,
        range => range == SampleRange::Full,
    };
    let (luma, chroma) = (format.bit_depth, format.chroma_bit_depth);
    let y = Scale::luma(luma, is_full);
    if spec.channels == Channels::Grey {
        return Ok(vec![mix([Ratio::ONE, Ratio::ZERO, Ratio::ZERO], [y; 3])]);
    }
    if format.chroma == Chroma::C400 {
        return Err(Error::TensorPicture {
            element: "chroma format",
            value: "4:0:0".to_owned(),
            possible: "which has no colours: channels=grey is possible".to_owned(),
        });
    }
    let planes = [[1, 0, 0], [0, 1, 0], [0, 0, 1]].map(|row| row.map(|v| Ratio::new(v, 1)));
    let (rows, scales) = match spec.channels {
        Channels::Yuv => (planes, [luma, chroma, chroma].map(|depth| Scale::luma(depth, true))),
        _ => match matrix(spec.matrix, colour, window)? {
            // G, B and R, all of them as luma.
            Matrix::Identity => {
                let of_chroma = Scale::luma(chroma, is_full);
                ([planes[2], planes[0], planes[1]], [y, of_chroma, of_chroma])
            }
            matrix => {
                // Cg and Co are made of R, G and B that have 219 steps (ITU-T H.273), and keep them.
                let steps = if matrix == Matrix::YCgCo { 219 } else { 224 };
                let difference = Scale::chroma(chroma, is_full, steps);
                (rows(matrix), [y, difference, difference])
            }
        },
    };
    let mut mixes = rows.map(|row| mix(row, scales));
    if spec.channels == Channels::Bgr {
        mixes.reverse();
    }
    Ok(mixes.to_vec())
}

/// A row of the matrix, on samples as they are. Coefficients are at most 1.93 * 256 / 224, that is, they have 32 bits.
fn mix(row: [Ratio; 3], scales: [Scale; 3]) -> Mix {
    let of = |plane: usize| row[plane].times(scales[plane].gain).fixed(COLOUR_BITS);
    let black = (0..3).fold(Ratio::ZERO, |sum, plane| sum.plus(row[plane].times(scales[plane].black)));
    Mix {
        mix: [of(0), of(1), of(2)].map(|coefficient| coefficient as i32),
        offset: black.negative().fixed(COLOUR_BITS + SAMPLE_BITS) as i64,
    }
}

/// The matrix to be used, not `Auto`.
fn matrix(asked: Matrix, colour: Colour, window: Rect) -> Result<Matrix> {
    if asked != Matrix::Auto {
        return Ok(asked);
    }
    let name = match colour.matrix {
        0 => return Ok(Matrix::Identity),
        1 => return Ok(Matrix::Bt709),
        2 if window.width >= 1280 || window.height > 576 => return Ok(Matrix::Bt709),
        2 | 5 | 6 => return Ok(Matrix::Bt601),
        4 => return Ok(Matrix::Fcc),
        7 => return Ok(Matrix::Smpte240m),
        8 => return Ok(Matrix::YCgCo),
        9 => return Ok(Matrix::Bt2020),
        10 => "BT.2020 with constant luminance",
        11 => "Y'D'zD'x",
        12 => "derived from primaries",
        13 => "derived from primaries, with constant luminance",
        14 => "ICtCp",
        15 => "IPT-C2",
        16 => "YCgCo-Re",
        17 => "YCgCo-Ro",
        _ => "reserved",
    };
    Err(Error::TensorPicture {
        element: "matrix",
        value: format!("{} ({name})", colour.matrix),
        possible: "which is not computed; channels=grey, channels=yuv or a matrix by name are possible"
            .to_owned(),
    })
}

/// R, G and B of Y', Pb and Pr.
fn rows(matrix: Matrix) -> [[Ratio; 3]; 3] {
    // Of red and blue, in parts of 10000 (ITU-T H.273, table 4).
    let (red, blue) = match matrix {
        Matrix::Bt709 => (2126, 722),
        Matrix::Bt2020 => (2627, 593),
        Matrix::Fcc => (3000, 1100),
        Matrix::Smpte240m => (2120, 870),
        Matrix::YCgCo => {
            // Cg stands in the place of Cb, Co in that of Cr.
            return [[1, -1, 1], [1, 1, 0], [1, -1, -1]].map(|row| row.map(|v| Ratio::new(v, 1)));
        }
        _ => (2990, 1140),
    };
    let green = 10000 - red - blue;
    let of = |n: i128| Ratio::new(n, 10000);
    let of_green = |n: i128| Ratio::new(-2 * n * (10000 - n), 10000 * green);
    [
        [Ratio::ONE, Ratio::ZERO, of(2 * (10000 - red))],
        [Ratio::ONE, of_green(blue), of_green(red)],
        [Ratio::ONE, of(2 * (10000 - blue)), Ratio::ZERO],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const NV12: SurfaceFormat = SurfaceFormat::new(Chroma::C420, 8);
    const SMALL: Rect = Rect { left: 0, top: 0, width: 720, height: 576 };

    fn of(spec: &TensorSpec, matrix: u8, window: Rect) -> Result<Vec<Mix>> {
        mixes(spec, NV12, Colour { matrix, ..Colour::default() }, window)
    }

    /// Channels of codes, as numbers.
    fn values(mixes: &[Mix], codes: [i32; 3], depth: u32) -> Vec<f64> {
        let one = 2f64.powi(59);
        let of = |mix: &Mix| {
            let sum: f64 = (0..3)
                .map(|p| f64::from(mix.mix[p]) * f64::from(codes[p]) * 2f64.powi(30 - depth as i32))
                .sum();
            (sum + mix.offset as f64) / one
        };
        mixes.iter().map(of).collect()
    }

    #[track_caller]
    fn assert_near(is_so: &[f64], expected: &[f64]) {
        assert!(
            is_so.len() == expected.len() && is_so.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-8),
            "{is_so:?} {expected:?}"
        );
    }

    #[test]
    fn black_grey_and_white_have_no_colour() {
        for matrix in [1, 4, 5, 6, 7, 8, 9] {
            let mixes = of(&TensorSpec::new(), matrix, SMALL).unwrap();
            assert_near(&values(&mixes, [16, 128, 128], 8), &[0.0; 3]);
            assert_near(&values(&mixes, [235, 128, 128], 8), &[1.0; 3]);
        }
        let full = TensorSpec::new().range(SampleRange::Full);
        let mixes = mixes(&full, SurfaceFormat::new(Chroma::C420, 10), Colour::default(), SMALL).unwrap();
        assert_near(&values(&mixes, [0, 512, 512], 10), &[0.0; 3]);
        assert_near(&values(&mixes, [1023, 512, 512], 10), &[1.0; 3]);
    }

    #[test]
    fn primaries_come_out() {
        // Red of BT.709 at full scale: Y' = Kr, Pr = 1/2, Pb = -Kr / (2 (1 - Kb)).
        let mixes = of(&TensorSpec::new(), 1, SMALL).unwrap();
        let codes = |y: f64, pb: f64, pr: f64| [16.0 + 219.0 * y, 128.0 + 224.0 * pb, 128.0 + 224.0 * pr];
        let red = codes(0.2126, -0.2126 / (2.0 * (1.0 - 0.0722)), 0.5);
        // Codes are no integers, so that ten more bits are taken.
        let mut scaled = red.map(|code| (code * 1048576.0).round() as i32);
        scaled.iter_mut().for_each(|code| *code = (*code + 4) / 8);
        let is_so = values(&mixes, scaled, 25);
        assert!(is_so.iter().zip([1.0, 0.0, 0.0]).all(|(a, b)| (a - b).abs() < 1e-6), "{is_so:?}");
        // YCgCo: Cg is green, Co is red.
        let mixes = of(&TensorSpec::new(), 8, SMALL).unwrap();
        let is_so = values(&mixes, [126, 240, 128], 8);
        assert!(is_so[1] > 1.0 && (is_so[0] - is_so[2]).abs() < 1e-9 && is_so[0] < 0.1, "{is_so:?}");
    }

    #[test]
    fn identity_planes_and_orders() {
        let mixes = of(&TensorSpec::new(), 0, SMALL).unwrap();
        // G, B and R as the planes have them.
        assert_near(&values(&mixes, [16, 235, 16], 8), &[0.0, 0.0, 1.0]);
        assert_near(&values(&mixes, [235, 16, 16], 8), &[0.0, 1.0, 0.0]);
        let bgr = of(&TensorSpec::new().channels(Channels::Bgr), 0, SMALL).unwrap();
        assert_near(&values(&bgr, [16, 235, 16], 8), &[1.0, 0.0, 0.0]);
        let yuv = of(&TensorSpec::new().channels(Channels::Yuv), 14, SMALL).unwrap();
        assert_near(&values(&yuv, [255, 0, 51], 8), &[1.0, 0.0, 0.2]);
        let grey = of(&TensorSpec::new().channels(Channels::Grey), 14, SMALL).unwrap();
        assert_near(&values(&grey, [235, 1, 2], 8), &[1.0]);
        assert!(grey[0].mix[1] == 0 && grey[0].mix[2] == 0);
    }

    #[test]
    fn luma_and_chroma_have_their_own_depth() {
        let format = SurfaceFormat { chroma: Chroma::C420, bit_depth: 8, chroma_bit_depth: 10 };
        let of = |format| mixes(&TensorSpec::new(), format, Colour::default(), SMALL).unwrap();
        // As parts of 2^depth, limited range is the same at every depth; full range is not.
        assert_eq!(of(format), of(NV12));
        let full = TensorSpec::new().range(SampleRange::Full);
        let other = mixes(&full, format, Colour::default(), SMALL).unwrap();
        let eight = mixes(&full, NV12, Colour::default(), SMALL).unwrap();
        assert!(other[0].mix[0] == eight[0].mix[0] && other[0].mix[2] != eight[0].mix[2]);
    }

    #[test]
    fn what_is_not_said_is_guessed_by_size_and_what_is_not_known_is_refused() {
        let large = Rect { width: 1280, height: 536, ..SMALL };
        let spec = TensorSpec::new();
        assert_eq!(of(&spec, 2, SMALL).unwrap(), of(&spec, 6, SMALL).unwrap());
        assert_eq!(of(&spec, 2, large).unwrap(), of(&spec, 1, SMALL).unwrap());
        assert_ne!(of(&spec, 2, large).unwrap(), of(&spec, 6, SMALL).unwrap());
        for matrix in [3, 10, 12, 13, 14, 15, 16, 17, 255] {
            let said = of(&spec, matrix, SMALL).unwrap_err().to_string();
            assert!(said.contains(&format!("matrix is {matrix} (")), "{said}");
            assert!(of(&spec.clone().matrix(Matrix::Bt709), matrix, SMALL).is_ok());
        }
    }
}
