//! Decoded video in GPU memory, straight from the NVDEC engines.
//!
//! A [`Context`] is one GPU opened for decoding, real or emulated ([`Context::open_default`]). An [`HevcDecoder`] takes a byte stream and gives [`Frame`]s in
//! output order; a frame is a [`Surface`] in GPU memory and the [`SyncPoint`](hcq::SyncPoint) at which its
//! samples are final. Nothing here waits for the GPU on the data path: copy and compute queues do, by acquire.
//!
//! Neither libcuda nor libnvcuvid is used; see [`hcq`] for how the GPU is reached.

#![deny(unsafe_code)]

pub mod class;
mod context;
mod download;
#[cfg(feature = "emulated")]
pub mod emulated;
mod error;
mod frame;
pub mod hevc;
pub mod job;
mod motion;
mod open;
pub mod pool;
#[allow(unsafe_code)]
pub mod queue;
mod recycle;
mod scheduler;
pub mod session;
pub mod status;
pub mod surface;
#[cfg(test)]
mod testing;
mod upload;
mod uses;

pub use context::{Context, Lane};
pub use download::{Download, Downloader, HostFrame};
pub use error::{Error, ParseDeviceError, ParseFallbackError, Result};
pub use frame::Frame;
pub use hcq::{Input, InputMut};
pub use hevc::{DecoderOptions, HevcDecoder, Mode, Price, Sent};
pub use motion::MotionSlot;
pub use open::{DeviceChoice, Fallback, OpenOptions};
pub use scheduler::{EngineLoad, EngineSet};
pub use session::Engines;
pub use status::{DecodeStatus, PictureFault};
pub use surface::{Surface, SurfaceFormat, SurfaceGeometry};
