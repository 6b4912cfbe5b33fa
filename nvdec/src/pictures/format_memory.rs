//! [`FormatMemory`]: the memory that pictures of one format share.

use std::collections::BTreeMap;
use std::sync::Arc;

use hcq::{DeviceBuffer, EngineType, SyncPoint};

use super::coded::Format;
use crate::channels::is_lost;
use crate::error::Result;
use crate::memory::motion::{MotionStore, PLACES};
use crate::memory::status::StatusMemory;
use crate::memory::store::Lease;
use crate::memory::{AtLimit, Memory};
use crate::options::{DecoderOptions, Mode, Price};
use crate::session::InFlightLimit;
use crate::surface::format::stream_limit;
use crate::surface::pool::{Reuse, Surface, SurfacePool};

/// Pictures that are in flight at least before the host waits for the engines, however few surfaces there are; and on a single
/// engine so many blocks of 16x16, which take one of an H200 a third of a second, within limits. To go to sleep, wake up and
/// find nothing of oneself in the caches costs the processor as much as twenty pictures. Several engines, and several sessions
/// that share them, lose more by pictures that stand behind others in order than the processor gains.
const BLOCKS_IN_FLIGHT: usize = 3 << 20;
const LIMITS_IN_FLIGHT: (usize, usize) = (64, 256);

/// What pictures of one format share.
#[derive(Debug)]
pub(crate) struct FormatMemory {
    memory: Arc<Memory>,
    format: Format,
    pub(super) price: Price,
    pub(super) pool: SurfacePool,
    /// Pictures in flight before the host waits for the engines.
    pub(super) in_flight: InFlightLimit,
    /// Pictures in flight for which memory is taken to upload them; further ones go with what there is.
    pub(super) uploads: usize,
    pub(super) motion: MotionStore,
    /// What each engine works in for the length of a picture. Not shared with other sessions: a damaged stream may make
    /// an engine read what it did not write.
    scratch: BTreeMap<EngineType, Lease>,
    /// When the scratch memory is cleared, of engines for which that is not known to be over.
    cleared: Vec<(EngineType, SyncPoint)>,
    /// Stands in for missing references. Never written after it was cleared.
    grey: Option<Surface>,
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
            pool: SurfacePool::new(memory, format.geometry, capacity, reuse),
            in_flight: in_flight_limit(format, capacity, options.mode, engines),
            uploads: least_in_flight(capacity),
            motion: MotionStore::new(memory, motion_slots(engines), format.motion)?,
            scratch: BTreeMap::new(),
            cleared: Vec::new(),
            grey: None,
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

    /// Scratch of at least `size` bytes for `engine`. Pictures in flight keep an older, smaller one alive.
    pub(super) fn scratch(&mut self, engine: EngineType, size: u64) -> Result<&DeviceBuffer> {
        let scratch = &mut self.scratch;
        self.cleared.retain(|(engine, point)| {
            let is_over = point.is_reached();
            // The copy engine's channel died before: what lies there may be another's.
            if is_over && is_lost(point) {
                scratch.remove(engine);
            }
            !is_over
        });
        if self.scratch.get(&engine).is_none_or(|scratch| scratch.size() < size) {
            let (scratch, cleared) = self.memory.allocate_filled(size, 0, AtLimit::Wait)?;
            self.cleared.push((engine, cleared));
            self.scratch.insert(engine, scratch);
        }
        Ok(self.scratch[&engine].buffer())
    }

    /// Points at which scratch is clear, of those that are not reached.
    pub(super) fn cleared(&self) -> impl Iterator<Item = &SyncPoint> {
        self.cleared.iter().map(|(_, point)| point)
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
        status: StatusMemory::bytes(in_flight_limit(format, capacity, options.mode, engines).alone),
    }
}

/// Room for a full DPB, and for the groups of pictures that several engines work on side by side.
fn motion_slots(engines: usize) -> usize {
    PLACES * engines
}

fn in_flight_limit(format: &Format, surfaces: usize, mode: Mode, engines: usize) -> InFlightLimit {
    let (least, most) = LIMITS_IN_FLIGHT;
    let usual = match mode {
        _ if engines > 1 => least,
        Mode::LowLatency => least,
        _ => (BLOCKS_IN_FLIGHT / (format.blocks as usize).max(1)).clamp(least, most),
    };
    let crowded = least_in_flight(surfaces);
    InFlightLimit { alone: usual.max(crowded), crowded }
}

fn least_in_flight(surfaces: usize) -> usize {
    LIMITS_IN_FLIGHT.0.max(2 * surfaces)
}
