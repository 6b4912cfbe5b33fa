//! Bits, NAL units and byte streams: what all codecs that are built of NAL units have in common.
//!
//! | Module | What it reads |
//! | --- | --- |
//! | [`annex_b`] | NAL units of a byte stream with start codes, whole or in pieces |
//! | [`length_prefixed`] | NAL units of a sample in which a length precedes each, as in MP4 and Matroska |
//! | [`rbsp`] | the payload of a NAL unit without its emulation prevention bytes, and the way back |
//! | [`reader`] | syntax elements of such a payload: fixed numbers of bits and Exp-Golomb codes |
//!
//! The header of a NAL unit is the codec's: its size, its fields and its types. A codec takes the header off and hands the
//! rest to [`Rbsp`]. Nothing here allocates by what a stream says: all NAL units are slices of what was given, and
//! [`AnnexBReader`] holds no more than its limit.
//!
//! ```
//! use bitstream::{BitReader, Rbsp, SyntaxError, split_annex_b};
//!
//! // A NAL unit with a header of one byte, two syntax elements, and a byte of emulation prevention between them.
//! let stream = [0, 0, 0, 1, 0x67, 0x00, 0x00, 0x03, 0x01, 0xa6, 0x68];
//! let nal = split_annex_b(&stream).next().expect("one NAL unit");
//! let rbsp = Rbsp::new(&nal[1..]);
//! let mut reader = BitReader::new(rbsp.bytes(), "SPS");
//! assert_eq!(reader.u(24, "frame_num")?, 1);
//! assert_eq!(reader.u(1, "flag")?, 1);
//! assert_eq!(reader.ue("width")?, 1); // 010
//! assert_eq!(reader.se("offset")?, -1); // 011
//! assert!(reader.more_rbsp_data());
//! let error = reader.ue_max(3, "height").unwrap_err();
//! assert_eq!(error.to_string(), "SPS: height is 5, allowed is 0..=3");
//! # Ok::<(), SyntaxError<&str>>(())
//! ```
//!
//! Clause numbers are those of ITU-T H.264; later standards say the same elsewhere.

#![forbid(unsafe_code)]

pub mod annex_b;
pub mod error;
pub mod length_prefixed;
pub mod rbsp;
pub mod reader;

pub use annex_b::{AnnexB, AnnexBReader, find_start_code, split_annex_b};
pub use error::{FramingError, SyntaxError};
pub use length_prefixed::{LengthPrefixed, LengthSize, split_length_prefixed};
pub use rbsp::{Rbsp, escape};
pub use reader::{BitReader, ceil_log2};
