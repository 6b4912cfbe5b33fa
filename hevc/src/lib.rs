//! HEVC (ITU-T H.265) from bytes to pictures: everything a decoder does before and after the samples.
//!
//! The crate takes NAL units, which [`bitstream`] finds, parses parameter sets, SEI messages and slice segment headers, derives picture order
//! counts and reference picture sets, and keeps the decoded picture buffer in output order. It reconstructs no samples and
//! knows nothing of the hardware that does. Version 1 of the standard and the range extensions are covered; enhancement
//! layers are ignored, screen content coding is refused by name.
//!
//! ```
//! use hevc::{DecodedPictureBuffer, Parser, Unit};
//!
//! /// Picture order counts in output order.
//! fn output_order(stream: &[u8]) -> Vec<i32> {
//!     let mut parser = Parser::new();
//!     let mut dpb = DecodedPictureBuffer::new();
//!     let mut output = Vec::new();
//!     for nal in bitstream::split_annex_b(stream) {
//!         // An error concerns this NAL unit only.
//!         let Ok(Unit::Slice(slice)) = parser.parse(nal) else { continue };
//!         let Some(picture) = slice.picture.filter(|picture| !picture.skipped) else { continue };
//!         let rps = dpb.begin(&picture, &mut output);
//!         // Here a decoder would decode the slices with the references in `rps`.
//!         dpb.insert(&picture, (), &mut output);
//!     }
//!     dpb.flush(&mut output);
//!     output.iter().map(|output| output.poc).collect()
//! }
//! # let stream = include_bytes!("../tests/data/h_ra_cra.hevc");
//! # let order = output_order(stream);
//! # assert!(order.len() > 10 && order.is_sorted());
//! ```
//!
//! Names are those of the standard, and clause numbers in the documentation are its clauses.

#![forbid(unsafe_code)]

pub mod access_unit;
pub mod dpb;
pub mod error;
pub mod hrd;
mod layers;
mod lists;
pub mod nal;
pub mod parser;
pub mod picture_hash;
pub mod poc;
pub mod pps;
pub mod ptl;
pub mod rps;
pub mod scaling;
pub mod sei;
pub mod slice;
pub mod sps;
pub mod st_ref_pic_set;
pub mod vps;
pub mod vui;

pub use dpb::{DecodedPictureBuffer, DpbIndex, Entry, Marking, Output, RefEntry, ResolvedRps};
pub use error::Error;
pub use lists::MAX_REFERENCES;
pub use nal::{NalHeader, NalUnit, NalUnitType};
pub use parser::{Ignored, Parser, Picture, SliceSegment, StartAt, Unit};
pub use pps::Pps;
pub use rps::ReferencePictureSet;
pub use slice::{SliceHeader, SliceType};
pub use sps::{Crop, Sps};
pub use vps::Vps;

/// Reads syntax elements; its errors say in which syntax structure they are.
type BitReader<'a> = bitstream::BitReader<'a, error::Place>;
