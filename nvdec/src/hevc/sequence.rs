//! [`Sequence`]: the memory that pictures of one format share, and [`Stored`]: what is kept of each of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use hcq::{DeviceBuffer, EngineType, SyncPoint};
use hevc::{Pps, Sps};

use super::descriptor::Template;
use super::options::{DecoderOptions, Mode, Price};
use super::scratch::{self, Scratch, collocated_slot_bytes};
use super::tables::{SCALING_LIST_BYTES, TILE_TABLE_BYTES};
use crate::class::{Chroma, VideoClass};
use crate::context::Context;
use crate::error::Result;
use crate::frame::Frame;
use crate::motion::{MotionSlot, MotionStore, PLACES};
use crate::pool::{Reuse, SurfacePool};
use crate::recycle::{Lease, Purpose};
use crate::session::{InFlightLimit, StatusMemory};
use crate::surface::{Surface, SurfaceFormat, SurfaceGeometry};

/// Most bytes of slice data that any picture may have.
const MAX_PICTURE_BYTES: u64 = 128 << 20;
/// Pictures that are in flight at least before the host waits for the engines, however few surfaces there are; and on a single
/// engine so many blocks of 16x16, which take one of an H200 a third of a second, within limits. To go to sleep, wake up and
/// find nothing of oneself in the caches costs the processor as much as twenty pictures. Several engines, and several sessions
/// that share them, lose more by pictures that stand behind others in order than the processor gains.
const BLOCKS_IN_FLIGHT: usize = 3 << 20;
const LIMITS_IN_FLIGHT: (usize, usize) = (64, 256);

/// Parameter sets whose tables are kept: some encoders change between a few picture parameter sets all the time.
const MAX_TEMPLATES: usize = 8;
/// Pictures that bring their tables along, 4 KiB to be copied each, before these are given memory of their own. That takes
/// several calls of the driver, which a short stream does not repay, nor one that never comes back to its parameter sets.
const COPIED_TABLES: u32 = 100;
/// Offsets within the memory that holds the tables of a pair of parameter sets.
pub(super) const SHARED_SCALING_LIST_AT: u64 = 0;
pub(super) const SHARED_TILE_TABLE_AT: u64 = (SCALING_LIST_BYTES as u64).next_multiple_of(256);
const SHARED_TABLES_BYTES: u64 = SHARED_TILE_TABLE_AT + TILE_TABLE_BYTES as u64;

/// A picture of the DPB.
#[derive(Debug)]
pub(super) struct Stored {
    /// Position in decoding order.
    pub(super) number: u64,
    pub(super) shown: Arc<Shown>,
    /// From its submission on, while it is a reference.
    motion: Mutex<Option<MotionSlot>>,
}

/// A picture as it comes out.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// Set when the picture is submitted, to `None` if it could not be.
    pub(super) frame: OnceLock<Option<Frame>>,
}

impl Stored {
    pub(super) fn new(number: u64) -> Self {
        Stored { number, shown: Arc::default(), motion: Mutex::default() }
    }

    pub(super) fn motion(&self) -> MutexGuard<'_, Option<MotionSlot>> {
        self.motion.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The frame, if the picture was submitted.
    pub(super) fn frame(&self) -> Option<&Frame> {
        self.shown.frame.get()?.as_ref()
    }

    /// Whether it is decided what becomes of the picture.
    pub(super) fn is_settled(&self) -> bool {
        self.shown.frame.get().is_some()
    }
}

/// What the pictures of a pair of parameter sets share.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) template: Template,
    /// The tables in memory of their own.
    memory: Option<Lease>,
    /// Pictures until there is some.
    pictures_left: u32,
}

impl Prepared {
    /// Memory with the tables, at [`SHARED_SCALING_LIST_AT`] and [`SHARED_TILE_TABLE_AT`]. `None` for the first pictures,
    /// which bring them along.
    pub(super) fn tables(&mut self, context: &Context) -> Result<Option<&DeviceBuffer>> {
        if let Some(left) = self.pictures_left.checked_sub(1) {
            self.pictures_left = left;
        } else if self.memory.is_none() {
            let mut memory = context.allocate(SHARED_TABLES_BYTES, Purpose::Upload)?;
            memory.written_to(SHARED_TABLES_BYTES);
            let tables = self.template.tables();
            tables.write(&memory.view()?, SHARED_SCALING_LIST_AT, SHARED_TILE_TABLE_AT);
            self.memory = Some(memory);
        }
        Ok(self.memory.as_ref().map(Lease::buffer))
    }
}

/// What pictures of one format share.
#[derive(Debug)]
pub(super) struct Sequence {
    pub(super) sps: Arc<Sps>,
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
    /// When the scratch memory is cleared.
    pub(super) cleared: Vec<SyncPoint>,
    /// Used last, first.
    templates: Vec<Prepared>,
    /// Stands in for missing references (8.3.3). Never written after it was cleared.
    pub(super) grey: Option<Surface>,
}

impl Sequence {
    /// Memory for pictures of `sps` on so many engines. Surfaces and scratch are taken when they are needed.
    pub(super) fn new(
        context: &Arc<Context>,
        sps: &Arc<Sps>,
        price: Price,
        options: &DecoderOptions,
        engines: usize,
    ) -> Result<Self> {
        let capacity = options.capacity(sps.max_dec_pic_buffering(), engines);
        let reuse = if engines > 1 { Reuse::Last } else { Reuse::First };
        Ok(Sequence {
            sps: sps.clone(),
            price,
            pool: SurfacePool::new(context, geometry(sps), capacity, reuse),
            in_flight: in_flight_limit(sps, capacity, options.mode, engines),
            uploads: least_in_flight(capacity),
            motion: MotionStore::new(context, motion_slots(engines), collocated_slot_bytes(sps))?,
            scratch: BTreeMap::new(),
            cleared: Vec::new(),
            templates: Vec::new(),
            grey: None,
        })
    }

    /// What that costs.
    pub(super) fn price(
        sps: &Sps,
        pps: &Pps,
        class: &VideoClass,
        options: &DecoderOptions,
        engines: usize,
    ) -> Price {
        let capacity = options.capacity(sps.max_dec_pic_buffering(), engines);
        let vidmem = |size| hcq::allocation_size(size, hcq::Placement::Vidmem);
        let motion = MotionStore::bytes(motion_slots(engines), collocated_slot_bytes(sps));
        Price {
            surfaces: (capacity as u64 + 1) * vidmem(geometry(sps).bytes()),
            motion: vidmem(motion),
            scratch: engines as u64 * vidmem(Scratch::new(sps, pps, class).size),
            status: StatusMemory::bytes(in_flight_limit(sps, capacity, options.mode, engines).alone),
        }
    }

    /// Surfaces that the oldest picture held back, and those that it waits for, may need. Others leave them alone.
    pub(super) fn reserve(&self) -> usize {
        self.sps.max_dec_pic_buffering()
    }

    /// Whether pictures of `sps` can use what was allocated.
    pub(super) fn fits(&self, sps: &Arc<Sps>) -> bool {
        Arc::ptr_eq(&self.sps, sps)
            || (self.sps.same_picture_format(sps)
                && sps.max_dec_pic_buffering() <= self.sps.max_dec_pic_buffering())
    }

    /// What is the same for all pictures with these parameter sets.
    pub(super) fn prepared(&mut self, sps: &Arc<Sps>, pps: &Arc<Pps>, class: &VideoClass) -> &mut Prepared {
        match self.templates.iter().position(|known| known.template.is_for(sps, pps)) {
            Some(at) => self.templates[..=at].rotate_right(1),
            None => {
                self.templates.truncate(MAX_TEMPLATES - 1);
                let template = Template::new(sps, pps, class, self.pool.geometry());
                self.templates.insert(0, Prepared { template, memory: None, pictures_left: COPIED_TABLES });
            }
        }
        &mut self.templates[0]
    }

    /// Scratch of at least `size` bytes for `engine`. Pictures in flight keep an older, smaller one alive.
    pub(super) fn scratch(
        &mut self,
        context: &Context,
        engine: EngineType,
        size: u64,
    ) -> Result<&DeviceBuffer> {
        self.cleared.retain(|point| !point.is_reached());
        if self.scratch.get(&engine).is_none_or(|scratch| scratch.size() < size) {
            let (scratch, cleared) = context.allocate_filled(size, 0)?;
            self.cleared.push(cleared);
            self.scratch.insert(engine, scratch);
        }
        Ok(self.scratch[&engine].buffer())
    }

    /// Bytes that the slices of one picture may take: twice what the samples do, far above what any level
    /// allows (A.4.1), and no more than half of what the upload ring holds.
    pub(super) fn picture_limit(&self) -> u64 {
        stream_limit(self.pool.geometry())
    }

    pub(super) fn grey(&mut self) -> Result<Surface> {
        if self.grey.is_none() {
            self.grey = Some(self.pool.take_beyond_capacity()?);
        }
        Ok(self.grey.clone().expect("just made"))
    }
}

/// Layout of the surfaces of a sequence.
fn geometry(sps: &Sps) -> SurfaceGeometry {
    let chroma = Chroma::from_chroma_format_idc(sps.chroma_format_idc).expect("checked by the parser");
    let format = SurfaceFormat { chroma, bit_depth: sps.bit_depth_luma };
    SurfaceGeometry::new(format, sps.pic_width_in_luma_samples, sps.pic_height_in_luma_samples)
}

/// Room for a full DPB, and for the groups of pictures that several engines work on side by side.
fn motion_slots(engines: usize) -> usize {
    PLACES * engines
}

fn in_flight_limit(sps: &Sps, surfaces: usize, mode: Mode, engines: usize) -> InFlightLimit {
    let (least, most) = LIMITS_IN_FLIGHT;
    let usual = match mode {
        _ if engines > 1 => least,
        Mode::LowLatency => least,
        _ => (BLOCKS_IN_FLIGHT / (scratch::blocks(sps) as usize).max(1)).clamp(least, most),
    };
    let crowded = least_in_flight(surfaces);
    InFlightLimit { alone: usual.max(crowded), crowded }
}

fn least_in_flight(surfaces: usize) -> usize {
    LIMITS_IN_FLIGHT.0.max(2 * surfaces)
}

/// Bytes that the slices of a picture of this geometry may take.
pub(super) fn stream_limit(geometry: &SurfaceGeometry) -> u64 {
    (2 * geometry.bytes() + (1 << 20)).min(MAX_PICTURE_BYTES)
}
