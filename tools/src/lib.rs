//! What `nvdec-probe`, `nvdec-decode`, `nvdec-bench` and `nvdec-replay` are made of: probing, decoding to files,
//! checking against known hashes, measuring, captures.
//!
//! The programs themselves parse their command line and call one function of this crate. All output that is
//! meant for another program goes to standard output; messages, warnings and progress go to standard error.

#![forbid(unsafe_code)]
// Both panic where standard output or standard error is full; `console` does not.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod bench;
pub mod check;
pub mod clock;
pub mod console;
pub mod damage;
pub mod decode;
pub mod device;
pub mod engines;
pub mod exit;
pub mod explain;
pub mod film;
pub mod input;
pub mod integrity;
mod interrupt;
pub mod logger;
pub mod output;
pub mod parse;
pub mod probe;
pub mod program;
pub mod replay;
pub mod selftest;
pub mod stats;
pub mod tensor;
pub mod trace;
pub mod verify;

pub use exit::{Exit, Failure};
