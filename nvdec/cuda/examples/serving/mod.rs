//! Tensors of a clip for another program: what the examples `serve` and `inprocess` have in common.
//!
//! Nothing here knows of CUDA. The other side imports one allocation with all tensors and one with two words, by their
//! descriptors. `ready` counts the tensors that are there, and is written by our compute queue; `done` counts those that the
//! other side has read, and our compute queue waits for it before it writes a tensor's memory again. Neither word is read by
//! a CPU.

pub(crate) mod error;
pub(crate) mod link;
pub(crate) mod message;
pub(crate) mod options;
pub(crate) mod producer;
pub(crate) mod session;
pub(crate) mod sums;
