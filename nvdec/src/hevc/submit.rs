//! From parsed pictures to jobs: which picture next, on which surface, at which places, with which descriptor.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrayvec::ArrayVec;
use hevc::dpb::Marking;
use nvkernel_sys::video;

use super::descriptor::DESCRIPTOR_BYTES;
use super::sequence::{SHARED_SCALING_LIST_AT, SHARED_TILE_TABLE_AT, Stored};
use super::slices::{BITSTREAM_SLACK, SliceData};
use super::table::PictureTable;
use super::tables::{SCALING_LIST_BYTES, TILE_TABLE_BYTES};
use super::{Decode, HevcDecoder, scratch};
use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::job::{Operand, PictureJob};
use crate::motion::{MAX_COLLOCATED, MotionSlot, PLACES};
use crate::pool::Reuse;
use crate::scheduler::Time;
use crate::session::{Identity, PictureRecord};
use crate::surface::Surface;
use crate::upload::Chunk;

/// Offsets within a picture's chunk of the upload ring. The tables are there for the first pictures of their
/// parameter sets alone.
const SCALING_LIST_AT: u64 = DESCRIPTOR_BYTES as u64;
const TILE_TABLE_AT: u64 = (SCALING_LIST_AT + SCALING_LIST_BYTES as u64).next_multiple_of(256);
pub(super) const BITSTREAM_AT: u64 = TILE_TABLE_AT + TILE_TABLE_BYTES as u64;
/// Most methods with addresses besides those of the picture table.
const MAX_OPERANDS: usize = 9;
/// An engine with fewer pictures to do is given one rather than wait for a better order.
const IDLE_DEPTH: usize = 2;

/// What NVIDIA's own driver sends for HEVC, less EVENT_TRACE_LOGGING_ON: the trace lands behind the status, says
/// nothing that the status does not, and costs 20 µs a picture.
const CONTROL_PARAMS: u32 = {
    use video::set_control_params as c;
    c::CODEC_TYPE.of(c::CODEC_TYPE_HEVC)
        | c::GPTIMER_ON.of(1)
        | c::ERR_CONCEAL_ON.of(1)
        | c::MBTIMER_ON.of(1)
        | c::TESTRUN_ENV.of(c::TESTRUN_ENV_PROD_RUN)
};

/// A picture whose slices are uploaded, to be submitted.
#[derive(Debug)]
pub(super) struct Pending {
    decode: Box<Decode>,
    chunk: Chunk,
    stream_len: u64,
    stored: Arc<Stored>,
}

/// A picture that was submitted.
struct Submitted {
    record: Arc<PictureRecord>,
    /// Where it leaves its motion vectors.
    motion: MotionSlot,
    /// When the scheduler expects it to be decoded.
    finish: Time,
}

impl HevcDecoder {
    /// Hands a picture whose slices are all uploaded to the window, and to the DPB.
    pub(super) fn hand_over(&mut self, decode: Box<Decode>) -> Result<()> {
        let Decode { picture, references, collocated, .. } = &*decode;
        let poc = picture.pic_order_cnt_val;
        if collocated.len() > MAX_COLLOCATED {
            self.note(Error::TooManyCollocated { poc });
            return Ok(());
        }
        if references.len() >= PLACES {
            self.note(Error::TooManyReferences { poc });
            return Ok(());
        }
        let stream_len = match &decode.slices {
            SliceData::InPlace(extent) => extent.len() as u64,
            _ => {
                let stream_len = self.session.upload.length() - BITSTREAM_AT;
                if let Err(error) = self.session.upload.append(&[&[0; BITSTREAM_SLACK]]) {
                    if !error.is_picture_error() {
                        return Err(error);
                    }
                    self.note(error);
                    return Ok(());
                }
                stream_len
            }
        };
        let chunk = self.session.upload.close();
        let number = self.pictures;
        let stored = Arc::new(Stored::new(number));
        let mut missing = [0; PLACES];
        let unsettled = references.iter().flatten().filter(|r| !r.is_settled());
        let count = missing.iter_mut().zip(unsettled).map(|(missing, r)| *missing = r.number).count();
        let held_back = self.window.limits().pictures > 0;
        let frames = references.iter().flatten().filter(|_| held_back).filter_map(|r| r.frame());
        let ready = frames.map(|frame| frame.finish).max().unwrap_or(0);
        let outputs = self.dpb.insert(picture, stored.clone());
        let pending = Pending { decode, chunk, stream_len, stored };
        self.window.push(number, self.slice_bytes, &missing[..count], ready, pending);
        self.bump(outputs);
        self.pictures += 1;
        self.slice_bytes += stream_len;
        if !held_back {
            // The surface was taken when the picture began, unless its first slice was lost.
            return self.submit_all_beyond_capacity();
        }
        // Without a surface it waits for the next call.
        let _ = self.make_room()?;
        Ok(())
    }

    /// Submits pictures until there is room for the next one. `false`: there is none, for want of a surface.
    pub(super) fn make_room(&mut self) -> Result<bool> {
        let (engines, sessions) = self.session.share();
        // In front of a single engine no order is better than that of decoding.
        let windows = if engines.len() > 1 { sessions } else { usize::MAX };
        while self.window.is_full(self.pictures, self.slice_bytes, windows) {
            if !self.submit_next()? {
                return Ok(false);
            }
        }
        while !self.window.is_empty() && self.context.scheduler().is_idle(engines, IDLE_DEPTH) {
            if !self.submit_next()? {
                return Ok(true);
            }
        }
        if self.window.limits().pictures == 0 && self.sequence.is_some() && self.spare.is_none() {
            self.spare = self.take_surface()?;
            return Ok(self.spare.is_some());
        }
        Ok(true)
    }

    /// Submits all pictures that are held back. `false`: some are left, for want of a surface.
    pub(super) fn submit_all(&mut self) -> Result<bool> {
        while !self.window.is_empty() {
            if !self.submit_next()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Submits all pictures that are held back, whatever surfaces that takes.
    pub(super) fn submit_all_beyond_capacity(&mut self) -> Result<()> {
        while !self.submit_all()? {
            if let Some(sequence) = &self.sequence {
                self.spare = Some(sequence.pool.take_beyond_capacity()?);
            }
        }
        Ok(())
    }

    /// Submits the picture that can start first. `false`: there is no surface for it.
    fn submit_next(&mut self) -> Result<bool> {
        let Some(sequence) = &self.sequence else { return Ok(true) };
        // What stands alone has no choice.
        let index = match self.window.len() {
            0 | 1 => self.window.choose(0, true),
            _ => {
                let in_order = sequence.pool.spare() <= sequence.reserve();
                self.window.choose(self.context.scheduler().earliest(self.session.share().0), in_order)
            }
        };
        let Some(index) = index else { return Ok(true) };
        let Some(surface) = self.take_surface()? else { return Ok(false) };
        let (pending, followers) = self.window.take(index);
        let Pending { decode, chunk, stream_len, stored } = pending;
        let submitted = self.submit(decode, &chunk, stream_len, &stored, surface);
        if !stored.is_settled() {
            // Pictures that refer to it do without.
            self.session.upload.free(&chunk, None);
            let _ = stored.shown.frame.set(None);
        }
        let finish = stored.frame().map_or(0, |frame| frame.finish);
        self.window.submitted(followers, finish);
        submitted?;
        Ok(true)
    }

    /// A surface to decode to, if there is one.
    pub(super) fn take_surface(&mut self) -> Result<Option<Surface>> {
        if let Some(surface) = self.spare.take() {
            return Ok(Some(surface));
        }
        let Some(sequence) = &self.sequence else { return Ok(None) };
        let several = self.session.share().0.len() > 1;
        sequence.pool.prefer(if several { Reuse::Last } else { Reuse::First });
        if let Some(surface) = sequence.pool.take()? {
            return Ok(Some(surface));
        }
        let due = self.output.iter().map_while(|shown| shown.frame.get()).flatten().next().is_some();
        if due || sequence.pool.in_use() > self.surfaces_held() {
            return Ok(None);
        }
        // Nobody could free a surface: the stream holds more pictures than it declared.
        Ok(Some(sequence.pool.take_beyond_capacity()?))
    }

    /// Surfaces that nobody but this decoder holds on to.
    fn surfaces_held(&self) -> usize {
        let stored = self.dpb.iter().map(|(_, entry)| &entry.payload);
        let referred = self.window.iter().flat_map(|pending| pending.decode.references.iter().flatten());
        let current = self.current.iter().flat_map(|decode| decode.references.iter().flatten());
        let stored = stored.chain(referred).chain(current).map(|stored| &stored.shown);
        let frames = stored.chain(&self.output).filter_map(|shown| shown.frame.get()?.as_ref());
        let addresses: BTreeSet<u64> = frames.map(|frame| frame.surface.luma_address()).collect();
        let grey = self.sequence.as_ref().is_some_and(|sequence| sequence.grey.is_some());
        addresses.len() + usize::from(grey)
    }

    /// Submits a picture whose references were all submitted before.
    fn submit(
        &mut self,
        mut decode: Box<Decode>,
        chunk: &Chunk,
        stream_len: u64,
        stored: &Stored,
        surface: Surface,
    ) -> Result<()> {
        let hash = decode.hash.take();
        let submitted = self.submit_job(&decode, chunk, stream_len, stored.number, &surface)?;
        let Some(Submitted { record, motion, finish }) = submitted else {
            self.note(Error::TooManyReferences { poc: decode.picture.pic_order_cnt_val });
            return Ok(());
        };
        self.session.upload.free(chunk, Some(record.point().clone()));
        let sps = &decode.picture.sps;
        let frame = Frame {
            surface,
            ready: record.point().clone(),
            crop: sps.crop(),
            pts: decode.pts,
            poc: record.poc,
            colour: sps.colour(),
            sps: sps.clone(),
            hash,
            record,
            finish,
        };
        *stored.motion() = Some(motion);
        stored.shown.frame.set(Some(frame)).expect("a picture is submitted once");
        Ok(())
    }

    /// Submits picture `number`, to be decoded to `surface`. `None` if its references, or their motion vectors, do not fit.
    fn submit_job(
        &mut self,
        decode: &Decode,
        chunk: &Chunk,
        stream_len: u64,
        number: u64,
        surface: &Surface,
    ) -> Result<Option<Submitted>> {
        let Decode { picture, rps, references, collocated, slices, .. } = decode;
        let sequence = self.sequence.as_mut().expect("a picture was begun in it");
        let session = &mut self.session;
        let class = self.context.class();

        let mut sources = [const { None }; MAX_COLLOCATED];
        for (source, &at) in sources.iter_mut().zip(collocated) {
            *source = references[at].as_ref().and_then(|stored| stored.motion().clone());
        }
        let sources = &sources[..collocated.len()];
        // No picture to come takes motion from those that nothing else than the DPB holds, for output.
        for (_, entry) in self.dpb.iter().filter(|(_, entry)| entry.marking == Marking::Unused) {
            if Arc::strong_count(&entry.payload) == 1 {
                *entry.payload.motion() = None;
            }
        }
        // No later picture refers to one before an IRAP picture, but for those that lead it in output order.
        let placed = sequence.motion.place(&self.context, sources, picture.is_irap())?;
        let Some(motion) = placed else { return Ok(None) };
        let mut fixed = [(0, 0); MAX_COLLOCATED];
        for (fixed, (&at, &(_, place))) in fixed.iter_mut().zip(collocated.iter().zip(&motion.sources)) {
            *fixed = (at, place);
        }
        let fixed = &fixed[..collocated.len()];
        let frames = || references.iter().flatten().filter_map(|stored| stored.frame());
        let is_missing = |stored: &Option<Arc<Stored>>| stored.as_ref().is_none_or(|s| s.frame().is_none());
        let grey = references.iter().any(is_missing).then(|| sequence.grey()).transpose()?;
        let reference = |at: usize| {
            let frame = references[at].as_ref().and_then(|stored| stored.frame());
            frame.map(|frame| &frame.surface).or(grey.as_ref()).expect("there is one if any is missing")
        };
        let table = PictureTable::new((surface, motion.target.1), rps, reference, fixed);
        let Some(table) = table else { return Ok(None) };
        let slots: ArrayVec<&MotionSlot, MAX_COLLOCATED> =
            motion.sources.iter().map(|(slot, _)| slot).collect();
        let job = PictureJob {
            application_id: video::APPLICATION_ID_HEVC,
            control_params: CONTROL_PARAMS,
            buffers: &[],
            target: surface,
            pictures: &table.pictures,
            motion: Some(&motion.target.0),
            collocated: &slots,
            waits: &[],
        };

        let blocks = scratch::blocks(&picture.sps);
        let plan =
            session.plan(&job, frames().map(|frame| (&frame.ready, frame.finish)), (blocks, stream_len));
        let prepared = sequence.prepared(&picture.sps, &picture.pps, class);
        let template = &prepared.template;
        let descriptor = template.picture(picture, motion.target.1, &table.references, stream_len as u32);
        let scratch = *template.scratch();
        let view = chunk.memory.view()?;
        view.copy_in(0, &descriptor);
        let (tables, scaling_lists_at, tiles_at) = match prepared.tables(&self.context)? {
            Some(memory) => (memory.clone(), SHARED_SCALING_LIST_AT, SHARED_TILE_TABLE_AT),
            None => {
                prepared.template.tables().write(&view, SCALING_LIST_AT, TILE_TABLE_AT);
                (chunk.memory.clone(), SCALING_LIST_AT, TILE_TABLE_AT)
            }
        };

        let slot = session.status_slot(sequence.in_flight)?;
        let scratch_memory = match sequence.scratch(&self.context, plan.engine, scratch.size) {
            Ok(memory) => memory.clone(),
            Err(error) => {
                session.abandon(slot);
                return Err(error);
            }
        };
        let status = slot.memory.clone();
        let part = |method, offset| Operand::new(method, &scratch_memory).at(offset);
        let bitstream = match slices {
            SliceData::InPlace(extent) => extent.operand(video::SET_IN_BUF_BASE_OFFSET),
            _ => Operand::new(video::SET_IN_BUF_BASE_OFFSET, &chunk.memory).at(BITSTREAM_AT),
        };
        let mut buffers: ArrayVec<Operand<'_>, MAX_OPERANDS> = ArrayVec::new();
        buffers.extend([
            Operand::new(video::SET_DRV_PIC_SETUP_OFFSET, &chunk.memory),
            bitstream,
            Operand::new(video::SET_COLOC_DATA_OFFSET, &motion.window),
            Operand::new(video::SET_NVDEC_STATUS_OFFSET, &status),
            Operand::new(video::HEVC_SET_TILE_SIZES_OFFSET, &tables).at(tiles_at),
            part(video::HEVC_SET_FILTER_BUFFER_OFFSET, 0),
        ]);
        if picture.sps.scaling_list_enabled_flag {
            buffers.push(Operand::new(video::HEVC_SET_SCALING_LIST_OFFSET, &tables).at(scaling_lists_at));
        }
        if class.hevc.intra_top {
            buffers.push(part(video::SET_INTRA_TOP_BUF_OFFSET, scratch.intra_top));
        }
        if class.hevc.scratch_4dc > 0 {
            buffers.push(part(video::UNNAMED_SCRATCH_OFFSET_4DC, scratch.unnamed_4dc));
        }
        let mut waits = sequence.cleared.clone();
        if let Some(grey) = &grey {
            waits.extend(grey.uses().before_read().cloned());
        }
        let job = PictureJob { buffers: &buffers, waits: &waits, ..job };
        let identity = Identity { number, poc: picture.pic_order_cnt_val, blocks, bytes: stream_len };
        let record = session.submit(&job, plan, slot, identity, frames().map(|frame| &frame.record))?;
        Ok(Some(Submitted { record, motion: motion.target.0.clone(), finish: plan.finish }))
    }
}
