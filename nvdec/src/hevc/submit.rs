//! From parsed pictures to jobs: which picture next, on which surface, at which places, with which descriptor.

use std::collections::BTreeSet;
use std::sync::Arc;

use hcq::{DeviceBuffer, SyncPoint};
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
use crate::job::PictureJob;
use crate::motion::{MAX_COLLOCATED, MotionSlot, PLACES};
use crate::pool::Reuse;
use crate::session::Session;
use crate::surface::Surface;
use crate::upload::Chunk;

/// Offsets within a picture's chunk of the upload ring. The tables are there for the first pictures of their
/// parameter sets alone.
const SCALING_LIST_AT: u64 = DESCRIPTOR_BYTES as u64;
const TILE_TABLE_AT: u64 = (SCALING_LIST_AT + SCALING_LIST_BYTES as u64).next_multiple_of(256);
pub(super) const BITSTREAM_AT: u64 = TILE_TABLE_AT + TILE_TABLE_BYTES as u64;
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

/// The lists of a job, empty: kept from one to the next.
#[derive(Debug, Default)]
pub(super) struct Lists {
    buffers: Vec<(u32, DeviceBuffer)>,
    pictures: Vec<(u8, Surface)>,
    collocated: Vec<MotionSlot>,
    waits: Vec<SyncPoint>,
}

impl Lists {
    fn of(job: PictureJob) -> Lists {
        let PictureJob { mut buffers, mut pictures, mut collocated, mut waits, .. } = job;
        buffers.clear();
        pictures.clear();
        collocated.clear();
        waits.clear();
        Lists { buffers, pictures, collocated, waits }
    }
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
        let ready = frames.map(|frame| frame.surface.uses().written_time()).max().unwrap_or(0);
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
        let finish = stored.frame().map_or(0, |frame| frame.surface.uses().written_time());
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
        let (pts, hash) = (decode.pts, decode.hash.take());
        // Used where it lies: it is several hundred bytes.
        let Decode { picture, rps, references, collocated, slices, .. } = &*decode;
        let sequence = self.sequence.as_mut().expect("a picture was begun in it");
        let session = &mut self.session;
        let class = self.context.class();
        let poc = picture.pic_order_cnt_val;

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
        let Some(motion) = placed else {
            self.note(Error::TooManyReferences { poc });
            return Ok(());
        };
        let mut fixed = [(0, 0); MAX_COLLOCATED];
        for (fixed, (&at, &(_, place))) in fixed.iter_mut().zip(collocated.iter().zip(&motion.sources)) {
            *fixed = (at, place);
        }
        let target = (&surface, motion.target.1);
        let reference = |at: usize| Some(references[at].as_ref()?.frame()?.surface.clone());
        let Lists { buffers, pictures, collocated: mut slots, waits } = std::mem::take(&mut self.lists);
        let fixed = &fixed[..collocated.len()];
        let table = PictureTable::new(target, rps, reference, fixed, || sequence.grey(), pictures)?;
        let Some(table) = table else {
            self.note(Error::TooManyReferences { poc });
            return Ok(());
        };
        slots.extend(motion.sources.into_iter().map(|(slot, _)| slot));
        let mut job = PictureJob {
            application_id: video::APPLICATION_ID_HEVC,
            control_params: CONTROL_PARAMS,
            buffers,
            target: surface.clone(),
            pictures: table.pictures,
            motion: Some(motion.target.0.clone()),
            collocated: slots,
            waits,
        };

        let blocks = scratch::blocks(&picture.sps);
        let plan = session.plan(&job, blocks, stream_len);
        let prepared = sequence.prepared(&picture.sps, &picture.pps, class);
        let template = &prepared.template;
        let descriptor = template.picture(picture, motion.target.1, &table.references, stream_len as u32);
        let scratch = *template.scratch();
        let view = chunk.memory.view()?;
        view.copy_in(0, &descriptor);
        let slice = |memory: &DeviceBuffer, at: u64| memory.slice(at, memory.size() - at);
        let (scaling_lists, tiles) = match prepared.tables(&self.context)? {
            Some(memory) => (slice(memory, SHARED_SCALING_LIST_AT), slice(memory, SHARED_TILE_TABLE_AT)),
            None => {
                prepared.template.tables().write(&view, SCALING_LIST_AT, TILE_TABLE_AT);
                (slice(&chunk.memory, SCALING_LIST_AT), slice(&chunk.memory, TILE_TABLE_AT))
            }
        };

        let frames = references.iter().flatten().filter_map(|stored| stored.frame());
        let records = frames.map(|frame| &frame.record);
        let limit = sequence.in_flight_limit;
        let record = session.record(plan.engine, stored.number, poc, blocks, records, limit)?;
        let scratch_memory = sequence.scratch(&self.context, plan.engine, scratch.size);
        let scratch_memory = scratch_memory.inspect_err(|_| session.abandon(&record))?;
        let part = |offset: u64| slice(scratch_memory, offset);
        let bitstream = match slices {
            SliceData::InPlace(extent) => extent.buffer(),
            _ => slice(&chunk.memory, BITSTREAM_AT),
        };
        job.buffers.extend([
            (video::SET_DRV_PIC_SETUP_OFFSET, chunk.memory.clone()),
            (video::SET_IN_BUF_BASE_OFFSET, bitstream),
            (video::SET_COLOC_DATA_OFFSET, motion.window),
            (video::SET_NVDEC_STATUS_OFFSET, Session::status_buffer(&record)),
            (video::HEVC_SET_TILE_SIZES_OFFSET, tiles),
            (video::HEVC_SET_FILTER_BUFFER_OFFSET, part(0)),
        ]);
        if picture.sps.scaling_list_enabled_flag {
            job.buffers.push((video::HEVC_SET_SCALING_LIST_OFFSET, scaling_lists));
        }
        if class.intra_top {
            job.buffers.push((video::SET_INTRA_TOP_BUF_OFFSET, part(scratch.intra_top)));
        }
        if class.scratch_4dc > 0 {
            job.buffers.push((video::UNNAMED_SCRATCH_OFFSET_4DC, part(scratch.unnamed_4dc)));
        }
        job.waits.extend(sequence.cleared.iter().cloned());
        let submitted = session.submit(&mut job, plan, &record, stream_len);
        let ready = submitted.inspect_err(|_| session.abandon(&record))?;
        session.upload.free(chunk, Some(ready.clone()));
        self.lists = Lists::of(job);
        let frame = Frame {
            surface,
            ready,
            crop: picture.sps.crop(),
            pts,
            poc,
            colour: picture.sps.colour(),
            sps: picture.sps.clone(),
            hash,
            record,
        };
        *stored.motion() = Some(motion.target.0);
        stored.shown.frame.set(Some(frame)).expect("a picture is submitted once");
        Ok(())
    }
}
