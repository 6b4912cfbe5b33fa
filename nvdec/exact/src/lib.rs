//! What the numbers of a converted picture are, in exact arithmetic.
//!
//! A conversion takes a decoded picture (luma and chroma code values) to the numbers of a tensor: chroma at luma positions,
//! cropping, resizing, colour matrix, clamping, orientation, mean and standard deviation. `docs/colour.md` defines each step. This
//! crate computes them literally and in rational numbers, so that it has no rounding of its own, and measures how far a
//! real conversion is from that. It is an oracle: it shares no code and no coefficients with any conversion, and it is
//! slow.
//!
//! | Module | What it holds |
//! | --- | --- |
//! | [`picture`] | code values in host memory, with depth, subsampling and window |
//! | [`conversion`] | what is asked for, with everything resolved |
//! | [`resize`] | weights of the samples of one axis |
//! | [`chroma`] | where chroma samples sit, and their weights at a luma position |
//! | [`matrix`] | code values to R, G and B |
//! | [`value`] | the value of one element of the result |
//! | [`number`] | distances in units in the last place, rounding to bytes |
//! | [`deviation`] | what is collected over many elements |
//!
//! ```
//! use exact::{Conversion, Deviation, Exact, Picture, Plane, Subsampling, round_u8_half_up};
//!
//! // White in limited range: Y 235, Cb and Cr 128.
//! let picture = Picture::whole(
//!     Plane::filled(4, 4, 235),
//!     Plane::filled(2, 2, 128),
//!     Plane::filled(2, 2, 128),
//!     Subsampling::Both,
//!     8,
//! )?;
//! let exact = Exact::new(&picture, &Conversion::new(2, 2, exact::auto_matrix(4, 4)))?;
//! let value = exact.value(0, 1, 1);
//! assert_eq!(round_u8_half_up(&value), 255);
//! let mut deviation = Deviation::default();
//! deviation.add(254, &value);
//! assert_eq!(deviation.bias(), -1.0);
//! # Ok::<(), exact::Error>(())
//! ```

#![forbid(unsafe_code)]

pub mod chroma;
pub mod conversion;
pub mod deviation;
pub mod error;
pub mod matrix;
pub mod number;
pub mod picture;
pub mod resize;
pub mod value;

pub use conversion::{Channels, Chroma, Conversion, Crop, Filter, Fit, Orientation, Rotation, auto_matrix};
pub use deviation::{Deviation, Histogram, UlpDeviation};
pub use error::Error;
pub use num_bigint::BigInt;
pub use num_rational::BigRational;
pub use number::{round_u8_half_up, ulps_bf16, ulps_f16, ulps_f32};
pub use picture::{Packing, Picture, Plane, Subsampling, Window};
pub use value::{Area, Exact};

/// The rational number `numerator / denominator`.
///
/// # Panics
///
/// If the denominator is 0.
pub fn ratio(numerator: i64, denominator: i64) -> BigRational {
    BigRational::new(numerator.into(), denominator.into())
}
