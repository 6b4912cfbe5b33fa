//! [`CopyQueue`]: the copy engine. Linear copies, fills, and block-linear planes made pitch-linear.

use std::borrow::Borrow;
use std::sync::Arc;

use nvkernel_sys::class;
use nvkernel_sys::copy::{self, launch_dma as l};
use nvkernel_sys::engine::{EngineKind, EngineType};

use crate::device::Device;
use crate::error::{Error, Result};
use crate::memory::{DeviceBuffer, Outside};
use crate::pushbuf::{PushBuffer, SUBCHANNEL_ENGINE};
use crate::queue::Queue;
use crate::timeline::{SyncPoint, Timeline};

/// Bytes of a line of a GOB ("group of bytes").
pub const GOB_WIDTH: u32 = 64;
/// Lines of a GOB.
pub const GOB_HEIGHT: u32 = 8;
/// Blocks of 32 GOBs are the highest that there are (`NVC7B5_SET_SRC_BLOCK_SIZE_HEIGHT_THIRTYTWO_GOBS`).
const MAX_LOG2_GOBS: u32 = 5;

/// A plane in block-linear layout: GOBs of 64 bytes by 8 lines, stacked into blocks one GOB wide.
#[derive(Clone, Debug)]
pub struct BlockLinearPlane {
    /// The plane's memory, exactly.
    pub buffer: DeviceBuffer,
    /// Bytes from one line to the next, a multiple of 64.
    pub pitch: u32,
    /// Lines, a multiple of the block height.
    pub lines: u32,
    /// Binary logarithm of the GOBs in a block (1: blocks of 16 lines).
    pub log2_gobs: u32,
}

/// A plane in pitch-linear layout.
#[derive(Clone, Debug)]
pub struct PitchPlane {
    /// The plane's memory.
    pub buffer: DeviceBuffer,
    /// Bytes from one line to the next.
    pub pitch: u32,
}

/// Commands for a [`CopyQueue`], checked against the buffers as they are added.
#[derive(Clone, Debug, Default)]
pub struct CopyCommands {
    words: PushBuffer,
    buffers: Vec<DeviceBuffer>,
}

impl CopyCommands {
    /// No commands.
    pub fn new() -> Self {
        CopyCommands::default()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    fn engine(&mut self, method: u32, values: &[u32]) {
        self.words.methods(SUBCHANNEL_ENGINE, method, values);
    }

    fn addresses(&mut self, source: u64, destination: u64) {
        let words = [(source >> 32) as u32, source as u32, (destination >> 32) as u32, destination as u32];
        self.engine(copy::OFFSET_IN_UPPER, &words);
    }

    /// The first transfer waits for whatever ran before; those after it in one batch do not depend on it.
    fn transfer(&self) -> u32 {
        l::DATA_TRANSFER_TYPE.of(if self.buffers.is_empty() {
            l::DATA_TRANSFER_TYPE_NON_PIPELINED
        } else {
            l::DATA_TRANSFER_TYPE_PIPELINED
        })
    }

    /// That engines may write to `target`, or [`Error::ReadOnly`]: the MMU would end the channel of all that share it.
    fn check_target(what: &'static str, target: &DeviceBuffer) -> Result<()> {
        if target.is_writable() {
            return Ok(());
        }
        Err(Error::ReadOnly { what, target: format!("{target:?}") })
    }

    /// Copies the whole of `source` to the start of `destination`. Transfers of one batch run in any order.
    pub fn copy(&mut self, source: &DeviceBuffer, destination: &DeviceBuffer) -> Result<&mut Self> {
        Self::check_target("copy", destination)?;
        let size = source.size();
        let length =
            u32::try_from(size).ok().filter(|_| size <= destination.size()).ok_or(Error::TooLarge {
                what: "copy",
                size,
                limit: destination.size().min(u64::from(u32::MAX)),
            })?;
        self.addresses(source.gpu_address(), destination.gpu_address());
        self.engine(copy::LINE_LENGTH_IN, &[length, 1]);
        let launch = self.transfer()
            | l::SRC_MEMORY_LAYOUT.of(l::SRC_MEMORY_LAYOUT_PITCH)
            | l::DST_MEMORY_LAYOUT.of(l::DST_MEMORY_LAYOUT_PITCH);
        self.engine(copy::LAUNCH_DMA, &[launch]);
        self.buffers.extend([source.clone(), destination.clone()]);
        Ok(self)
    }

    /// Fills `destination` with a repeated 32-bit word; its size must be a multiple of 4.
    pub fn fill(&mut self, destination: &DeviceBuffer, word: u32) -> Result<&mut Self> {
        use copy::set_remap_components as r;
        Self::check_target("fill", destination)?;
        let size = destination.size();
        let elements =
            u32::try_from(size / 4).ok().filter(|_| size.is_multiple_of(4)).ok_or(Error::TooLarge {
                what: "fill (a multiple of 4)",
                size,
                limit: 4 * u64::from(u32::MAX),
            })?;
        self.engine(copy::SET_REMAP_CONST_A, &[word]);
        self.engine(
            copy::SET_REMAP_COMPONENTS,
            &[r::DST_X.of(r::DST_X_CONST_A)
                | r::COMPONENT_SIZE.of(r::COMPONENT_SIZE_FOUR)
                | r::NUM_SRC_COMPONENTS.of(r::NUM_SRC_COMPONENTS_ONE)
                | r::NUM_DST_COMPONENTS.of(r::NUM_DST_COMPONENTS_ONE)],
        );
        self.addresses(destination.gpu_address(), destination.gpu_address());
        self.engine(copy::LINE_LENGTH_IN, &[elements, 1]);
        let launch = self.transfer()
            | l::SRC_MEMORY_LAYOUT.of(l::SRC_MEMORY_LAYOUT_PITCH)
            | l::DST_MEMORY_LAYOUT.of(l::DST_MEMORY_LAYOUT_PITCH)
            | l::REMAP_ENABLE.of(1);
        self.engine(copy::LAUNCH_DMA, &[launch]);
        self.buffers.push(destination.clone());
        Ok(self)
    }

    /// Copies the upper left `bytes` by `lines` of a block-linear plane to a pitch-linear one.
    pub fn detile(
        &mut self,
        source: &BlockLinearPlane,
        destination: &PitchPlane,
        bytes: u32,
        lines: u32,
    ) -> Result<&mut Self> {
        use copy::block_size as b;
        Self::check_target("detiling", &destination.buffer)?;
        // The engine works in whole blocks, so that a plane of parts of some would reach beyond its end.
        if source.log2_gobs > MAX_LOG2_GOBS
            || !source.pitch.is_multiple_of(GOB_WIDTH)
            || !source.lines.is_multiple_of(GOB_HEIGHT << source.log2_gobs)
        {
            return Err(Error::Unsupported(format!(
                "a block-linear plane of {} bytes by {} lines has no whole blocks of 64 bytes by 8 << {} lines",
                source.pitch, source.lines, source.log2_gobs
            )));
        }
        let plane = u64::from(source.pitch) * u64::from(source.lines);
        let target = (u64::from(lines) * u64::from(destination.pitch))
            .saturating_sub(u64::from(destination.pitch.saturating_sub(bytes)));
        if plane > source.buffer.size() || bytes > source.pitch || lines > source.lines {
            return Err(Error::TooLarge {
                what: "block-linear plane",
                size: plane,
                limit: source.buffer.size(),
            });
        }
        if target > destination.buffer.size() || bytes > destination.pitch {
            return Err(Error::TooLarge {
                what: "pitch plane",
                size: target,
                limit: destination.buffer.size(),
            });
        }
        self.engine(
            copy::SET_SRC_BLOCK_SIZE,
            &[
                b::WIDTH.of(b::WIDTH_ONE_GOB)
                    | b::HEIGHT.of(source.log2_gobs)
                    | b::DEPTH.of(b::DEPTH_ONE_GOB)
                    | b::GOB_HEIGHT.of(b::GOB_HEIGHT_GOB_HEIGHT_FERMI_8),
                source.pitch,
                source.lines,
                1, // depth
                0, // layer
            ],
        );
        self.engine(copy::SRC_ORIGIN_X, &[0, 0]);
        self.addresses(source.buffer.gpu_address(), destination.buffer.gpu_address());
        self.engine(copy::PITCH_IN, &[source.pitch, destination.pitch, bytes, lines]);
        let launch = self.transfer()
            | l::SRC_MEMORY_LAYOUT.of(l::SRC_MEMORY_LAYOUT_BLOCKLINEAR)
            | l::DST_MEMORY_LAYOUT.of(l::DST_MEMORY_LAYOUT_PITCH)
            | l::MULTI_LINE_ENABLE.of(1);
        self.engine(copy::LAUNCH_DMA, &[launch]);
        self.buffers.extend([source.buffer.clone(), destination.buffer.clone()]);
        Ok(self)
    }
}

/// A queue on a copy engine.
#[derive(Clone, Debug)]
pub struct CopyQueue {
    queue: Arc<Queue>,
}

impl CopyQueue {
    /// A queue on `engine`, or on the last copy engine of the GPU: the first ones share their work with
    /// graphics.
    pub fn new(device: &Device, engine: Option<EngineType>) -> Result<CopyQueue> {
        let queue = CopyQueue::unarmed(device, engine)?;
        queue.arm();
        Ok(queue)
    }

    /// As [`new`](Self::new), for work that hardly anybody waits for: host waits sleep by the timeline's pace, and not until the
    /// engine's interrupt, before [`arm`](Self::arm) is called. That saves calls of the driver, a quarter of a millisecond on an
    /// H200.
    pub fn unarmed(device: &Device, engine: Option<EngineType>) -> Result<CopyQueue> {
        let engines = device.engines_of(EngineKind::Copy)?;
        let engine = match engine {
            Some(engine) if engines.contains(&engine) => engine,
            Some(engine) => return Err(Error::Unsupported(format!("the GPU has no {engine}"))),
            None => *engines.last().ok_or_else(|| Error::Unsupported("the GPU has no copy engine".into()))?,
        };
        let class = device.pick_class("copy engine", class::COPY_CLASSES)?;
        Ok(CopyQueue { queue: Queue::unarmed(device, engine, class)? })
    }

    /// Has the engine's interrupt wake host waits from now on. Only the first time it asks the driver for something.
    pub fn arm(&self) {
        self.queue.arm();
    }

    /// The queue below.
    pub fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// The timeline that the queue moves.
    pub fn timeline(&self) -> &Arc<Timeline> {
        self.queue.timeline()
    }

    /// Submits a batch behind `waits`. The transfers of the batch may overlap each other. While the queue is full, it
    /// waits for the engine, with no lock held.
    ///
    /// # Errors
    ///
    /// [`Error::OtherDevice`] if a buffer or a wait is of another device, and those of [`Queue::submit`] and
    /// [`Queue::wait_for_room`].
    pub fn submit(&self, waits: &[SyncPoint], commands: impl Borrow<CopyCommands>) -> Result<SyncPoint> {
        self.submit_with(waits, Outside::default(), commands)
    }

    /// As [`submit`](Self::submit), and behind words in shared memory or with signals in such: see [`Outside`].
    ///
    /// # Errors
    ///
    /// Those of [`submit`](Self::submit) and [`Queue::submit_with`].
    pub fn submit_with(
        &self,
        waits: &[SyncPoint],
        outside: Outside<'_>,
        commands: impl Borrow<CopyCommands>,
    ) -> Result<SyncPoint> {
        let commands = commands.borrow();
        loop {
            // SAFETY: every address and extent in the commands was checked against a buffer when it was added,
            // and all those buffers are passed along.
            match unsafe { self.queue.submit_with(waits, outside, &commands.words, &commands.buffers) } {
                Err(Error::QueueFull { .. }) => self.queue.wait_for_room()?,
                outcome => return outcome,
            }
        }
    }
}
