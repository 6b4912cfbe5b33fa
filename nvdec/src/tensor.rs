//! [`TensorSpec`]: what a decoded picture is to become as a tensor, and how that is computed.

mod axis;
mod colour;
mod conversions;
#[allow(unsafe_code)]
mod convert;
mod frames;
pub(crate) mod kernels;
#[cfg(feature = "emulated")]
pub(crate) mod model;
mod numbers;
pub(crate) mod params;
mod parse;
pub(crate) mod plan;
mod pool;
mod recipe;
mod shape;
mod spec;
mod uses;

pub use conversions::Conversions;
pub use convert::Converter;
pub use frames::Tensors;
pub use kernels::cubin;
pub use pool::{Tensor, TensorBuilder, TensorPool};
pub use recipe::{Places, Recipe};
pub use shape::{TensorPicture, TensorShape};
pub use spec::{
    Channels, ChromaFilter, Dtype, Fit, Layout, Matrix, Orientation, Resize, Rotation, SampleRange,
    TensorSpec,
};
