//! What a runtime for tensors needs of a decoder and of memory, as traits: [`VideoDecoder`] and [`GpuMemory`].
//!
//! [`Decoder`] and [`Context`] are all that there is behind them here, and a program that uses this library alone calls
//! these. The traits are for a runtime with several backends, which holds whichever it has as a trait object, and for its
//! tests, which put something simple in place of a GPU. Memory and order need no traits: a [`DeviceBuffer`] is an address in
//! GPU memory that stays good for as long as somebody has it, and a [`SyncPoint`] says when work is done, be it a picture's,
//! a copy's or a kernel's.
//!
//! ```
//! use nvdec::backend::VideoDecoder;
//! use nvdec::{Codec, Context, Decoder, DecoderOptions, DeviceChoice, Frame, Packet, Result, Sent};
//!
//! /// The loop of a runtime, whatever decodes. `take` submits kernels behind `frame.ready()` and waits for nothing.
//! fn decode(decoder: &mut dyn VideoDecoder, units: &[&[u8]], mut take: impl FnMut(Frame)) -> Result<()> {
//!     for unit in units {
//!         while decoder.send(Packet::unit(unit))? != Sent::Accepted {
//!             take(decoder.receive().expect("a decoder without a surface has given some away"));
//!         }
//!         std::iter::from_fn(|| decoder.receive()).for_each(&mut take);
//!     }
//!     while decoder.flush()? != Sent::Accepted {
//!         take(decoder.receive().expect("likewise"));
//!     }
//!     std::iter::from_fn(|| decoder.receive()).for_each(take);
//!     Ok(())
//! }
//!
//! let context = Context::open(DeviceChoice::Emulated)?;
//! let mut decoder = Decoder::new(&context, Codec::Hevc, DecoderOptions::default())?;
//! decode(&mut decoder, &[], |frame| println!("{}", frame.poc()))?;
//! # Ok::<(), nvdec::Error>(())
//! ```

use std::os::fd::{BorrowedFd, OwnedFd};

pub use hcq::{DeviceBuffer, Exported, Placement, SyncPoint};

use crate::context::Context;
use crate::decoder::Decoder;
use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::packet::{Packet, Sent};
use crate::surface::format::SurfaceGeometry;

/// A stream goes in, frames come out, each with the point at which its samples are there. Nothing waits for the GPU but
/// [`send`](Self::send) and [`flush`](Self::flush) in front of a full queue.
pub trait VideoDecoder: Send {
    /// Sends a packet: all of it is taken, or nothing ([`Sent`]).
    ///
    /// # Errors
    ///
    /// What ends the stream, or a sequence of it that cannot be decoded. What is wrong with single pictures goes to
    /// [`take_error`](Self::take_error).
    fn send(&mut self, packet: Packet<'_>) -> Result<Sent>;

    /// Ends the stream: all frames become due. To be called again, after frames were received and dropped, until it is
    /// [`Sent::Accepted`].
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    fn flush(&mut self) -> Result<Sent>;

    /// The next frame in output order, if one is due.
    fn receive(&mut self) -> Option<Frame>;

    /// How the frames of the present sequence lie in memory, once its first picture told. Each frame says it as well.
    fn format(&self) -> Option<SurfaceGeometry>;

    /// The next error of a picture or unit that did not end the stream.
    fn take_error(&mut self) -> Option<Error>;
}

impl VideoDecoder for Decoder {
    fn send(&mut self, packet: Packet<'_>) -> Result<Sent> {
        Decoder::send(self, packet)
    }

    fn flush(&mut self) -> Result<Sent> {
        Decoder::flush(self)
    }

    fn receive(&mut self) -> Option<Frame> {
        Decoder::receive(self)
    }

    fn format(&self) -> Option<SurfaceGeometry> {
        self.geometry()
    }

    fn take_error(&mut self) -> Option<Error> {
        Decoder::take_error(self)
    }
}

/// Memory of one GPU: taken, given to other programs, and taken from them.
pub trait GpuMemory: Send + Sync {
    /// Memory for the caller's kernels and copies, not cleared. It goes when the last handle is dropped and no queue works
    /// in it any more.
    ///
    /// # Errors
    ///
    /// If there is no memory, or a limit does not allow it.
    fn allocate(&self, bytes: u64, placement: Placement) -> Result<DeviceBuffer>;

    /// A descriptor of the whole allocation that `buffer` is a part of ([`DeviceBuffer::export`]).
    ///
    /// # Errors
    ///
    /// If the memory cannot be shared.
    fn export(&self, buffer: &DeviceBuffer) -> Result<Exported>;

    /// The same as a dma-buf, for drivers of other hardware ([`DeviceBuffer::export_dma_buf`]).
    ///
    /// # Errors
    ///
    /// If the memory cannot be shared, or kernel or driver have no dma-bufs.
    fn export_dma_buf(&self, buffer: &DeviceBuffer) -> Result<OwnedFd>;

    /// Memory that another program exported, or CUDA did: all of it, or its first `bytes` bytes. Dma-bufs are not taken in,
    /// since NVIDIA's driver has no call for that.
    ///
    /// # Errors
    ///
    /// If there is no memory of this GPU, or of the host, in the descriptor.
    fn import(&self, fd: BorrowedFd<'_>, bytes: Option<u64>) -> Result<DeviceBuffer>;
}

impl GpuMemory for Context {
    fn allocate(&self, bytes: u64, placement: Placement) -> Result<DeviceBuffer> {
        Context::allocate(self, bytes, placement)
    }

    fn export(&self, buffer: &DeviceBuffer) -> Result<Exported> {
        Ok(buffer.export()?)
    }

    fn export_dma_buf(&self, buffer: &DeviceBuffer) -> Result<OwnedFd> {
        Ok(buffer.export_dma_buf()?)
    }

    fn import(&self, fd: BorrowedFd<'_>, bytes: Option<u64>) -> Result<DeviceBuffer> {
        Ok(self.device().import(fd, bytes)?)
    }
}
