//! [`FormatMemory`]: the memory that pictures of one format share.

use std::sync::Arc;

use super::coded::Format;
use super::doubt::Twins;
use crate::error::Result;
use crate::memory::Memory;
use crate::memory::motion::{MotionStore, PLACES};
use crate::memory::scratch::ScratchStore;
use crate::memory::status::StatusMemory;
use crate::options::{DecoderOptions, Mode, Price};
use crate::session::InFlightLimit;
use crate::surface::format::stream_limit;
use crate::surface::pool::{Reuse, Surface, SurfacePool};

/// Pictures that are in flight at least before the host waits for the engines, however few surfaces there are; and for a
/// session that shares them with none so many blocks of 16x16, which take one engine of an H200 a third of a second, within
/// limits. To go to sleep, wake up and find nothing of oneself in the caches costs the processor as much as twenty pictures.
/// Sessions that share engines lose more by pictures that stand behind others in order than the processor gains, and in low
/// latency nothing is to stand behind so many.
const BLOCKS_IN_FLIGHT: usize = 3 << 20;
const LIMITS_IN_FLIGHT: (usize, usize) = (64, 384);
/// Blocks for each engine, and as many once more, that keep the engines busy until a host that slept has submitted more: they take
/// one engine of an H200 23 ms, and seven 15; and pictures, if these are more.
const BLOCKS_LEFT: usize = 128 << 10;
const LEAST_LEFT: usize = 16;

/// What pictures of one format share.
#[derive(Debug)]
pub(crate) struct FormatMemory {
    memory: Arc<Memory>,
    format: Format,
    pub(super) price: Price,
    /// How many engines it is for, and was to be for when that changed last.
    pub(super) engines: usize,
    pub(super) wanted: usize,
    pub(super) pool: SurfacePool,
    /// Pictures in flight before the host waits for the engines.
    pub(super) in_flight: InFlightLimit,
    /// Pictures in flight for which memory is taken to upload them; further ones go with what there is.
    pub(super) uploads: usize,
    pub(super) motion: MotionStore,
    pub(super) scratch: ScratchStore,
    /// Stands in for missing references. Never written after it was cleared.
    grey: Option<Surface>,
    /// For pictures that are decoded twice.
    pub(super) twins: Twins,
}

impl FormatMemory {
    /// Memory for pictures of `format` on so many engines. Surfaces and scratch are taken when they are needed.
    pub(super) fn new(
        memory: &Arc<Memory>,
        format: &Format,
        options: &DecoderOptions,
        engines: usize,
    ) -> Result<Self> {
        let capacity = options.capacity(format.dpb, engines);
        let reuse = if engines > 1 { Reuse::Last } else { Reuse::First };
        Ok(FormatMemory {
            format: *format,
            price: price(format, options, engines),
            engines,
            wanted: engines,
            pool: SurfacePool::new(memory, format.geometry, capacity, reuse),
            in_flight: in_flight_limit(format, capacity, options.mode),
            uploads: least_in_flight(capacity),
            motion: MotionStore::new(memory, motion_slots(engines), format.motion)?,
            scratch: ScratchStore::new(memory, engines),
            grey: None,
            twins: Twins::new(memory, format, options.verify),
            memory: memory.clone(),
        })
    }

    /// The format.
    pub(super) fn format(&self) -> &Format {
        &self.format
    }

    /// Surfaces that the oldest picture held back, and those that it waits for, may need. Others leave them alone.
    pub(super) fn reserve(&self) -> usize {
        self.format.dpb
    }

    /// Changes for how many engines it is.
    ///
    /// # Errors
    ///
    /// If there is no memory for that; nothing has changed then.
    pub(super) fn refit(&mut self, options: &DecoderOptions, engines: usize) -> Result<()> {
        self.motion.resize(&self.memory, motion_slots(engines))?;
        let capacity = options.capacity(self.format.dpb, engines);
        self.pool.set_capacity(capacity);
        self.scratch.set_most(engines);
        self.in_flight = in_flight_limit(&self.format, capacity, options.mode);
        self.uploads = least_in_flight(capacity);
        self.price = price(&self.format, options, engines);
        self.engines = engines;
        Ok(())
    }

    /// Bytes that the slices of one picture may take: twice what the samples do, far above what any level
    /// allows (H.265 A.4.1), and no more than half of what the upload ring holds.
    pub(super) fn picture_limit(&self) -> u64 {
        stream_limit(&self.format.geometry)
    }

    /// A surface of mid-grey, which stands in for missing references (H.265 8.3.3).
    pub(super) fn grey(&mut self) -> Result<Surface> {
        if self.grey.is_none() {
            self.grey = Some(self.pool.take_beyond_capacity()?);
        }
        Ok(self.grey.clone().expect("just made"))
    }

    /// Whether there is such a surface.
    pub(super) fn has_grey(&self) -> bool {
        self.grey.is_some()
    }
}

/// What memory for pictures of `format` costs.
pub(super) fn price(format: &Format, options: &DecoderOptions, engines: usize) -> Price {
    let capacity = options.capacity(format.dpb, engines);
    let vidmem = |size| hcq::allocation_size(size, hcq::Placement::Vidmem);
    Price {
        surfaces: (capacity as u64 + 1) * vidmem(format.geometry.bytes()),
        motion: vidmem(MotionStore::bytes(motion_slots(engines), format.motion)),
        scratch: engines as u64 * vidmem(format.scratch),
        status: StatusMemory::bytes(in_flight_limit(format, capacity, options.mode).alone),
    }
}

/// Room for a full DPB, and for the groups of pictures that several engines work on side by side.
fn motion_slots(engines: usize) -> usize {
    PLACES * engines
}

fn in_flight_limit(format: &Format, surfaces: usize, mode: Mode) -> InFlightLimit {
    let (least, most) = LIMITS_IN_FLIGHT;
    let usual = match mode {
        Mode::LowLatency => least,
        _ => (BLOCKS_IN_FLIGHT / (format.blocks as usize).max(1)).clamp(least, most),
    };
    let crowded = least_in_flight(surfaces);
    let enough_left = (BLOCKS_LEFT / (format.blocks as usize).max(1)).max(LEAST_LEFT);
    InFlightLimit { alone: usual.max(crowded), crowded, enough_left }
}

fn least_in_flight(surfaces: usize) -> usize {
    LIMITS_IN_FLIGHT.0.max(2 * surfaces)
}
