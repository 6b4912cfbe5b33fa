//! Tensors held against exact arithmetic: what `--check-tensors` and the self-test of `nvdec-probe` are made of.

pub mod check;
mod compare;
mod reference;
pub(crate) mod specs;
pub mod stream;

pub use compare::{Comparison, Outside};
pub use reference::{Reference, ReferenceError};
