//! [`Replay`]: pictures that were described elsewhere, given to engines again.
//!
//! What a descriptor says decides how far an engine reaches beyond the addresses that it is given. So nothing is submitted here but an
//! [`AuditedPicture`], which is made of a descriptor that was looked at, and memory of the sizes that follow from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use hcq::{CopyCommands, DeviceBuffer, EngineType, LINE, Placement, SyncPoint};
use nvkernel_sys::video::{self, set_control_params as control};

use crate::class::VideoClass;
use crate::context::Context;
use crate::engines::Priority;
use crate::error::{Error, Result};
use crate::hevc::audit::{self, Finding, PictureNeeds, ScratchPlan};
use crate::job::{Operand, PictureJob};
use crate::status::{self, DecodeStatus, STATUS_BYTES};
use crate::surface::pool::Surface;

/// The control word as every driver sends it: timers on, so that no slice data keep an engine for ever.
const CONTROL: u32 = control::CODEC_TYPE.of(control::CODEC_TYPE_HEVC)
    | control::GPTIMER_ON.of(1)
    | control::MBTIMER_ON.of(1)
    | control::TESTRUN_ENV.of(control::TESTRUN_ENV_PROD_RUN);
/// Bits that may be set or not: what becomes of errors, and the trace behind the status, for which there is room.
const CONTROL_FREE: u32 =
    control::RET_ERROR.of(1) | control::ERR_CONCEAL_ON.of(1) | control::EVENT_TRACE_LOGGING_ON.of(1);

/// What addresses are multiples of.
const ALIGNMENT: u64 = 256;
/// Where scaling lists, tile table and slice data lie behind the descriptor.
const LISTS_AT: u64 = audit::DESCRIPTOR_BYTES as u64;
const TILES_AT: u64 = (LISTS_AT + audit::SCALING_LIST_BYTES as u64).next_multiple_of(ALIGNMENT);
const STREAM_AT: u64 = TILES_AT + audit::TILE_SIZES_BYTES as u64;
/// Uploads that are kept to be used again.
const MAX_FREE: usize = 32;

/// A picture whose descriptor and tables were looked at.
#[derive(Clone, Debug)]
pub struct AuditedPicture {
    control_params: u32,
    descriptor: Vec<u8>,
    tiles: Vec<u8>,
    class: u32,
    needs: PictureNeeds,
    scratch: ScratchPlan,
    rebased: bool,
}

impl AuditedPicture {
    /// A picture of HEVC, for engines of `class`. If it was described for another class (`is_foreign`), its scratch is laid out anew
    /// where that is needed.
    ///
    /// # Errors
    ///
    /// A [`Finding`]: what contradicts itself, or is beyond the class.
    pub fn hevc(
        control_params: u32,
        descriptor: &[u8],
        tiles: &[u8],
        class: &VideoClass,
        is_foreign: bool,
    ) -> Result<AuditedPicture, Finding> {
        if control_params & !CONTROL_FREE != CONTROL {
            return Err(Finding::of(
                "SET_CONTROL_PARAMS",
                control_params,
                format!("{control_params:#x} is not what HEVC is decoded with"),
            ));
        }
        let mut descriptor = descriptor.to_vec();
        // Areas for the filters belong to a class as addresses belong to a run.
        let rebased = is_foreign
            && (audit::audit(&descriptor, tiles, class).is_err()
                || audit::scratch(&descriptor, class).is_err());
        if rebased {
            audit::rebase(&mut descriptor, class)?;
        }
        let needs = audit::audit(&descriptor, tiles, class)?;
        let scratch = audit::scratch(&descriptor, class)?;
        let (tiles, class) = (tiles.to_vec(), class.class);
        Ok(AuditedPicture { control_params, descriptor, tiles, class, needs, scratch, rebased })
    }

    /// What it needs.
    pub fn needs(&self) -> &PictureNeeds {
        &self.needs
    }

    /// Bytes that an engine works in for it.
    pub fn scratch_bytes(&self) -> u64 {
        self.scratch.size
    }

    /// Whether its scratch was laid out anew.
    pub fn is_rebased(&self) -> bool {
        self.rebased
    }
}

/// Memory for motion vectors, zero to begin with.
#[derive(Clone, Debug)]
pub struct MotionMemory {
    memory: DeviceBuffer,
    cleared: SyncPoint,
}

/// What a picture reads and writes besides its descriptor and tables.
#[derive(Clone, Copy, Debug)]
pub struct Buffers<'a> {
    /// Its scaling lists, if it has some.
    pub scaling_lists: Option<&'a [u8]>,
    /// Its slice data, with [`BITSTREAM_SLACK`](audit::BITSTREAM_SLACK) bytes behind them.
    pub slices: &'a [u8],
    /// The surface to write.
    pub target: &'a Surface,
    /// The picture table: places and what stands there, the target among them. Neither more nor less than the descriptor names.
    pub places: &'a [(u8, &'a Surface)],
    /// The motion vectors, and where in them the slots begin.
    pub motion: (&'a MotionMemory, u64),
}

/// A picture that was submitted again.
#[derive(Debug)]
pub struct Resubmitted {
    point: SyncPoint,
    status: DeviceBuffer,
    upload: DeviceBuffer,
}

impl Resubmitted {
    /// Completes the picture.
    pub fn point(&self) -> &SyncPoint {
        &self.point
    }

    /// Bytes of host memory that it takes.
    pub fn bytes(&self) -> u64 {
        self.upload.size()
    }

    /// What the engine says of the picture; `None` while it is at work.
    ///
    /// # Errors
    ///
    /// [`Error::Gpu`] if the engine did not finish it.
    pub fn status(&self) -> Result<Option<DecodeStatus>> {
        if !self.point.is_reached() {
            return Ok(None);
        }
        self.point.wait(std::time::Duration::ZERO)?;
        let mut line = [[0; LINE]];
        hcq::load_lines([self.status.view()?], &mut line);
        Ok(Some(status::read(&line[0], 0).0))
    }
}

/// Submits pictures again.
#[derive(Debug)]
pub struct Replay {
    context: Arc<Context>,
    /// Scratch of each engine, and when it is clear: pictures of one engine never overlap.
    scratch: BTreeMap<EngineType, (DeviceBuffer, SyncPoint)>,
    /// Host memory that no picture uses any more.
    free: Vec<DeviceBuffer>,
    /// Status memory that no picture uses any more.
    statuses: Vec<DeviceBuffer>,
}

impl Replay {
    /// On `context`.
    pub fn new(context: &Arc<Context>) -> Replay {
        Replay { context: context.clone(), scratch: BTreeMap::new(), free: Vec::new(), statuses: Vec::new() }
    }

    /// Memory filled with zeros, and when it is.
    fn zeroed(&self, size: u64) -> Result<(DeviceBuffer, SyncPoint)> {
        let memory = self.context.device().allocate(size.next_multiple_of(ALIGNMENT), Placement::Vidmem)?;
        let cleared = self.context.memory().fill(&memory, 0)?;
        Ok((memory, cleared))
    }

    /// Memory for motion vectors.
    ///
    /// # Errors
    ///
    /// [`Error::Gpu`] if there is none.
    pub fn motion_memory(&self, bytes: u64) -> Result<MotionMemory> {
        let (memory, cleared) = self.zeroed(bytes)?;
        Ok(MotionMemory { memory, cleared })
    }

    /// Copies slots of `slot` bytes from one offset to another, or clears them, one after the other, behind `waits`. The point at
    /// which that is done.
    ///
    /// # Errors
    ///
    /// [`Error::NotSound`] for a slot outside of the memory, and [`Error::Gpu`].
    pub fn move_motion(
        &self,
        motion: &MotionMemory,
        slot: u64,
        moves: impl IntoIterator<Item = (Option<u64>, u64)>,
        waits: &[SyncPoint],
    ) -> Result<Option<SyncPoint>> {
        let part = |at: u64| match at.checked_add(slot) {
            Some(end) if end <= motion.memory.size() => Ok(motion.memory.slice(at, slot)),
            _ => Err(unsound("a slot of motion vectors", at, "outside of their memory")),
        };
        let mut waits = waits.to_vec();
        waits.push(motion.cleared.clone());
        let mut done = None;
        // One submission each: copies of one batch run in any order.
        for (from, to) in moves {
            let mut commands = CopyCommands::new();
            match from {
                Some(from) => commands.copy(&part(from)?, &part(to)?)?,
                None => commands.fill(&part(to)?, 0)?,
            };
            let point = self.context.memory().submit_copies(&waits, &commands)?;
            waits.push(point.clone());
            done = Some(point);
        }
        Ok(done)
    }

    /// Submits a picture to `engine` behind `waits`, which are to say what else writes the motion vectors that it reads.
    ///
    /// # Errors
    ///
    /// [`Error::NotSound`] if memory and descriptor do not go together, and [`Error::Gpu`].
    pub fn submit(
        &mut self,
        engine: EngineType,
        picture: &AuditedPicture,
        buffers: &Buffers<'_>,
        waits: &[SyncPoint],
    ) -> Result<Resubmitted> {
        let class = *self.context.class();
        check(picture, buffers, &class)?;
        let &Buffers { target, places, motion: (motion, offset), .. } = buffers;
        let upload = self.upload(picture, buffers)?;
        let status = match self.statuses.pop() {
            Some(status) => status,
            None => self.context.device().allocate(STATUS_BYTES, Placement::Vidmem)?,
        };
        status.view()?.fill(0, STATUS_BYTES as usize, 0);
        let mut waits = waits.to_vec();
        waits.push(motion.cleared.clone());
        if self.scratch.get(&engine).is_none_or(|(memory, _)| memory.size() < picture.scratch.size) {
            let made = self.zeroed(picture.scratch.size)?;
            self.scratch.insert(engine, made);
        }
        let (scratch, cleared) = &self.scratch[&engine];
        waits.push(cleared.clone());
        let mut operands = vec![
            Operand::new(video::SET_DRV_PIC_SETUP_OFFSET, &upload),
            Operand::new(video::SET_IN_BUF_BASE_OFFSET, &upload).at(STREAM_AT),
            Operand::new(video::SET_COLOC_DATA_OFFSET, &motion.memory).at(offset),
            Operand::new(video::SET_NVDEC_STATUS_OFFSET, &status),
            Operand::new(video::HEVC_SET_TILE_SIZES_OFFSET, &upload).at(TILES_AT),
            Operand::new(video::HEVC_SET_FILTER_BUFFER_OFFSET, scratch),
        ];
        if picture.needs.scaling_lists {
            operands.push(Operand::new(video::HEVC_SET_SCALING_LIST_OFFSET, &upload).at(LISTS_AT));
        }
        if class.hevc.intra_top {
            let at = picture.scratch.intra_top;
            operands.push(Operand::new(video::SET_INTRA_TOP_BUF_OFFSET, scratch).at(at));
        }
        if class.hevc.scratch_4dc > 0 {
            let at = picture.scratch.unnamed_4dc;
            operands.push(Operand::new(video::UNNAMED_SCRATCH_OFFSET_4DC, scratch).at(at));
        }
        let job = PictureJob {
            application_id: video::APPLICATION_ID_HEVC,
            control_params: picture.control_params,
            buffers: &operands,
            target,
            pictures: places,
            // The caller knows what reads and writes which slot.
            motion: None,
            collocated: &[],
            waits: &waits,
        };
        let queue = self.context.video_queue(engine, Priority::Bulk)?;
        let point = job.submit(&queue)?;
        Ok(Resubmitted { point, status, upload })
    }

    /// Takes back what a picture used that is done and has been looked at.
    pub fn take_back(&mut self, picture: Resubmitted) {
        // What an engine may still be at work in is not used again.
        if picture.point.wait(std::time::Duration::ZERO).is_ok() && self.free.len() < MAX_FREE {
            self.free.push(picture.upload);
            self.statuses.push(picture.status);
        }
    }

    /// Descriptor, tables and slice data in host memory.
    fn upload(&mut self, picture: &AuditedPicture, buffers: &Buffers<'_>) -> Result<DeviceBuffer> {
        let size = STREAM_AT + buffers.slices.len() as u64;
        // What is much too large is kept from larger pictures to come.
        let fits = |buffer: &DeviceBuffer| buffer.size() >= size && buffer.size() / 4 <= size.max(1 << 20);
        let upload = match self.free.iter().position(fits) {
            Some(at) => self.free.swap_remove(at),
            None => {
                // Rounded up, so that the next picture fits as well.
                let size = size.next_power_of_two().max(1 << 18);
                self.free.clear();
                self.context.device().allocate(size, Placement::Sysmem)?
            }
        };
        let view = upload.view()?;
        view.copy_in(0, &picture.descriptor);
        if let Some(lists) = buffers.scaling_lists {
            view.copy_in(LISTS_AT as usize, lists);
        }
        view.copy_in(TILES_AT as usize, &picture.tiles);
        view.copy_in(STREAM_AT as usize, buffers.slices);
        Ok(upload)
    }
}

fn unsound(field: &'static str, value: impl Into<i128>, reason: &str) -> Error {
    let value = i64::try_from(value.into()).unwrap_or(i64::MAX);
    Error::NotSound { source: Finding::of(field, value, reason) }
}

/// That an engine which is told of `picture` stays within `buffers`.
fn check(picture: &AuditedPicture, buffers: &Buffers<'_>, class: &VideoClass) -> Result<()> {
    let needs = &picture.needs;
    if picture.class != class.class {
        return Err(unsound("class", picture.class, "the picture was looked at for another class"));
    }
    let length = needs.stream_len as usize + audit::BITSTREAM_SLACK;
    if buffers.slices.len() != length {
        return Err(unsound("stream_len", needs.stream_len, "not what the slice data take"));
    }
    let lists = buffers.scaling_lists.map(<[u8]>::len);
    if lists != needs.scaling_lists.then_some(audit::SCALING_LIST_BYTES) {
        return Err(unsound("scalingListEnable", i32::from(needs.scaling_lists), "not what lists there are"));
    }
    let sent = buffers
        .places
        .iter()
        .fold(0u32, |bits, (place, _)| bits | 1u32.checked_shl((*place).into()).unwrap_or(0));
    if sent != u32::from(needs.listed) | 1 << needs.place
        || buffers.places.len() != sent.count_ones() as usize
    {
        return Err(unsound("picture table", sent, "the places are not those that the descriptor names"));
    }
    let own = buffers.places.iter().find(|(place, _)| *place == needs.place);
    if own.is_none_or(|(_, surface)| !surface.same(buffers.target)) {
        return Err(unsound("curr_pic_idx", needs.place, "another surface than the target stands there"));
    }
    if buffers.places.iter().any(|(_, surface)| *surface.geometry() != needs.geometry) {
        return Err(unsound("picture table", sent, "a surface is not of the descriptor's format and size"));
    }
    let (motion, offset) = buffers.motion;
    let end = offset.checked_add(needs.collocated);
    if !offset.is_multiple_of(ALIGNMENT) || end.is_none_or(|end| end > motion.memory.size()) {
        return Err(unsound(
            "SET_COLOC_DATA_OFFSET",
            offset,
            "the motion vectors do not lie in their memory",
        ));
    }
    Ok(())
}
