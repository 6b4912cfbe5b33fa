//! What `nvdec-probe`, `nvdec-decode`, `nvdec-bench` and `nvdec-replay` are made of: probing, decoding to files,
//! checking against known hashes, measuring, captures.
//!
//! The programs themselves parse their command line and call one function of this crate. All output that is
//! meant for another program goes to standard output; messages, warnings and progress go to standard error.

#![forbid(unsafe_code)]

pub mod bench;
pub mod check;
pub mod decode;
pub mod device;
pub mod exit;
pub mod logger;
pub mod output;
pub mod parse;
pub mod probe;
pub mod recorder;
pub mod replay;
pub mod selftest;
pub mod stats;
pub mod trace;
pub mod verify;

pub use exit::{Exit, Failure};
