//! Surfaces: decoded pictures in GPU memory.

pub mod format;
pub(crate) mod host;
pub(crate) mod pitch;
pub mod pool;

pub use format::{LOG2_GOBS, SurfaceFormat, SurfaceGeometry, block_linear_offset};
pub use pool::Surface;
