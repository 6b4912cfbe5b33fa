//! Decoded video in GPU memory, straight from the NVDEC engines.
//!
//! A [`Context`] is one GPU opened for decoding, real or emulated ([`Context::open_default`]). A [`Decoder`] takes a
//! stream and gives [`Frame`]s in output order; a frame is a [`Surface`] in GPU memory and the [`SyncPoint`] at which its
//! samples are final. Nothing here waits for the GPU on the data path: copy and compute queues do, by acquire.
//!
//! ```no_run
//! use std::fs::File;
//!
//! use nvdec::{ByteStream, Codec, Context, Decoder, DecoderOptions};
//!
//! let context = Context::open_default()?;
//! let mut decoder = Decoder::new(&context, Codec::Hevc, DecoderOptions::default())?;
//! for frame in decoder.frames(ByteStream::new(File::open("clip.hevc")?)) {
//!     let frame = frame?;
//!     println!("{:?}, final at {:?}", frame.surface(), frame.ready());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Neither libcuda nor libnvcuvid is used; see [`hcq`] for how the GPU is reached. That crate is re-exported, since its
//! types appear in this one's API; the parser of HEVC is [`hevc::parser`].

#![deny(unsafe_code)]

pub mod backend;
mod channels;
pub mod class;
mod context;
mod decoder;
mod download;
#[cfg(feature = "emulated")]
pub mod emulated;
mod engines;
mod error;
mod frame;
mod frontend;
pub mod hevc;
#[allow(unsafe_code)]
mod job;
mod memory;
mod observe;
mod open;
mod options;
mod packet;
mod pictures;
#[allow(unsafe_code)]
mod queue;
pub mod replay;
mod scheduler;
mod session;
mod status;
pub mod surface;
pub mod tensor;
#[cfg(test)]
mod testing;
mod uses;
pub mod video;

pub use ::hcq;
pub use class::Codec;
pub use context::Context;
pub use decoder::{Decoder, Frames, Next};
pub use download::{Download, Downloader};
pub use engines::{EngineSet, Engines, Priority};
pub use error::{Error, ParseDeviceError, ParseFallbackError, Result, SyntaxError};
pub use frame::Frame;
pub use hcq::{
    Device, DeviceBuffer, EngineKind, EngineType, Input, InputMut, KernelInterface, Placement, SyncPoint,
};
pub use hevc::info::{HevcPictureInfo, first_wrong_plane};
pub use observe::{EngineMemory, Observer, Submitted};
pub use open::{DeviceChoice, Fallback, OpenOptions};
pub use options::{ContextOptions, DecoderOptions, MemoryLimit, Mode, Policy, Price, Start, Taint};
pub use packet::{ByteStream, Framing, Packet, Sent, Source, Units};
pub use pictures::info::{CodecInfo, Colour, Times};
pub use pictures::integrity::{Dropped, Integrity, Origin, Tally};
pub use pictures::record::{Outcome, PictureRecord};
pub use pictures::side_data::{self, SideData};
pub use queue::VideoQueue;
pub use scheduler::EngineLoad;
pub use session::Statistics;
pub use status::{DecodeStatus, PictureFault};
pub use surface::format::Rect;
pub use surface::host::HostFrame;
pub use surface::{Surface, SurfaceFormat, SurfaceGeometry};
pub use tensor::TensorSpec;
pub use video::{Index, Video};
