//! The compiled half of the Python package `nvdec`; the other half is `python/nvdec`, which people import.
//!
//! | | |
//! | --- | --- |
//! | [`source`] | a file and its index: what can be known without a GPU |
//! | [`wanted`] | devices as they are asked for, and their names |
//! | [`gpu`] | one context for each device of the process, and its memory for batches |
//! | [`decode`] | pictures by number, converted to where they are wanted |
//! | [`price`] | what that takes, before anything is decoded |
//! | [`clips`] | clips of many files, decoded ahead |
//! | [`tensor`] | a batch: in GPU memory, on the host, or handed out by DLPack |
//! | [`door`] | the one place where Python's lock is let go of |
//!
//! Classes and functions of here are for the other half alone: they check little of what it has checked.

#![deny(unsafe_code)]

#[allow(unsafe_code)]
mod capsule;
mod clips;
mod cuda;
mod decode;
mod door;
mod error;
mod gpu;
mod idle;
mod memory;
mod price;
mod reader;
mod source;
mod tensor;
mod wanted;

use pyo3::prelude::*;

#[pymodule]
mod _core {
    #[pymodule_export]
    use super::clips::ClipLoader;
    #[pymodule_export]
    use super::decode::{Decoding, Stream};
    #[pymodule_export]
    use super::gpu::probe;
    #[pymodule_export]
    use super::price::price;
    #[pymodule_export]
    use super::source::File;
    #[pymodule_export]
    use super::tensor::Tensor;

    /// Version of the package.
    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
