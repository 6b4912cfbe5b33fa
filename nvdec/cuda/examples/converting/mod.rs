//! A clip that is decoded over and over and becomes tensors in memory of CUDA, in either of two ways: what the examples
//! `stepconvert` and `inprocess` have in common.

pub(crate) mod check;
pub(crate) mod meter;
pub(crate) mod options;
pub(crate) mod work;

pub(crate) type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;
