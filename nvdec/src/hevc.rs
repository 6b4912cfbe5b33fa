//! [`HevcDecoder`]: an HEVC byte stream in, frames in output order out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hcq::{DeviceBuffer, EngineType, Placement, SyncPoint, allocation_size};
use hevc::dpb::{DecodedPictureBuffer, Marking, Output, RefEntry, ResolvedRps};
use hevc::nal::{AnnexBReader, NalHeader};
use hevc::picture_hash::PictureHash;
use hevc::sei::SeiPayload;
use hevc::{Parser, Picture, Pps, SliceSegment, Sps, Unit};
use nvkernel_sys::video;

use crate::class::Chroma;
use crate::context::{Context, Lane, Reservation};
use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::job::PictureJob;
use crate::motion::{MotionSlot, MotionStore, PLACES};
use crate::pool::{Reuse, SurfacePool};
use crate::scheduler::EngineSet;
use crate::session::{Engines, Observer, Session, Statistics, StatusMemory};
use crate::surface::{Surface, SurfaceFormat, SurfaceGeometry};

mod capability;
mod descriptor;
mod scratch;
mod table;
mod tables;

pub use capability::{check, check_limits, check_pps};
use descriptor::{DESCRIPTOR_BYTES, Template};
use scratch::{Scratch, collocated_slot_bytes};
use table::PictureTable;
use tables::{SCALING_LIST_BYTES, TILE_TABLE_BYTES};

/// Zero bytes behind the slice data: how far the engine reads ahead is not documented.
const BITSTREAM_SLACK: [u8; 256] = [0; 256];
/// Errors kept for a caller who does not take them.
const MAX_ERRORS: usize = 1024;
/// Most bytes of slice data that any picture may have.
const MAX_PICTURE_BYTES: u64 = 128 << 20;
/// Most pictures whose motion the slices of one picture may take; the standard allows one (7.4.7.1,
/// `collocated_ref_idx`), and decoders in software do not look.
const MAX_COLLOCATED: usize = 4;
/// Pictures that are in flight at least before the host waits for the engines, however few surfaces there are.
const MIN_IN_FLIGHT: usize = 64;
/// Start code put in front of every slice segment.
const START_CODE: [u8; 4] = [0, 0, 0, 1];
/// Offsets within a picture's chunk of the upload ring.
const SCALING_LIST_AT: u64 = DESCRIPTOR_BYTES as u64;
const TILE_TABLE_AT: u64 = (SCALING_LIST_AT + SCALING_LIST_BYTES as u64).next_multiple_of(256);
const BITSTREAM_AT: u64 = TILE_TABLE_AT + TILE_TABLE_BYTES as u64;

/// What a decoder is to be good at, where that contradicts itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Pictures a second, whatever memory that takes: looks as far ahead as 256 surfaces reach.
    Throughput,
    /// Looks ahead as far as 64 surfaces reach.
    #[default]
    Balanced,
    /// Each picture as soon as can be, and little memory: no more than 24 surfaces, and a queue of the engines that
    /// those who look ahead do not use.
    LowLatency,
}

impl Mode {
    /// Surfaces of a decoder that spreads over several engines.
    fn surfaces(self) -> usize {
        match self {
            Mode::Throughput => 256,
            Mode::Balanced => 64,
            Mode::LowLatency => 24,
        }
    }

    fn lane(self) -> Lane {
        match self {
            Mode::Throughput | Mode::Balanced => Lane::Bulk,
            Mode::LowLatency => Lane::Prompt,
        }
    }
}

/// How a decoder works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecoderOptions {
    /// Engines to spread the stream over.
    pub engines: Engines,
    /// What to be good at.
    pub mode: Mode,
    /// Most surfaces to use, but never fewer than the stream itself needs to go on. By default, as [`Mode`] says for
    /// several engines; for one, what the stream needs and `held_frames` more, since looking ahead gains nothing there.
    pub surfaces: Option<usize>,
    /// Frames that the caller may hold while decoding goes on, beyond what the stream itself needs.
    /// [`DecoderOptions::DEFAULT_HELD_FRAMES`] if `None`.
    pub held_frames: Option<usize>,
}

impl DecoderOptions {
    /// Enough to keep one engine busy while a consumer works on the frames before.
    pub const DEFAULT_HELD_FRAMES: usize = 6;

    /// The defaults, on one engine alone.
    pub fn on(engine: EngineType) -> Self {
        DecoderOptions { engines: engine.into(), ..DecoderOptions::default() }
    }

    /// Most surfaces for a stream whose DPB holds `dpb` pictures with the current one.
    fn capacity(&self, dpb: usize, engines: usize) -> usize {
        // The DPB with the current picture, and the one to come.
        let needed = dpb + 1;
        let held = needed + self.held_frames.unwrap_or(Self::DEFAULT_HELD_FRAMES);
        let usual = if engines > 1 { held.max(self.mode.surfaces()) } else { held };
        self.surfaces.unwrap_or(usual).max(needed)
    }
}

/// What became of a NAL unit that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Sent {
    /// It was taken.
    Accepted,
    /// It was not: it begins a picture and no surface is free. Receive and drop frames, then send it again.
    NoSurface,
    /// It was not: it begins a sequence for which the limit of [`Context::set_memory_limit`] leaves no memory now. Send it
    /// again when another decoder has ended.
    NoMemory,
}

/// Most GPU memory that a stream takes, in bytes, known before any of it is allocated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// Surfaces, and one more to stand in for missing references.
    pub surfaces: u64,
    /// Motion vectors.
    pub motion: u64,
    /// What the engines work in.
    pub scratch: u64,
    /// Status memory.
    pub status: u64,
}

impl Price {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.surfaces + self.motion + self.scratch + self.status
    }
}

/// A decoder for one stream. It has no threads: it works while it is called, and never waits for the GPU
/// unless more pictures are in flight than its rings hold.
#[derive(Debug)]
pub struct HevcDecoder {
    context: Arc<Context>,
    options: DecoderOptions,
    session: Session,
    parser: Parser,
    dpb: DecodedPictureBuffer<Arc<Stored>>,
    sequence: Option<Sequence>,
    /// Parameter sets that the hardware cannot decode: reported once, their pictures are dropped.
    refused: Option<(Arc<Sps>, Arc<Pps>)>,
    current: Option<Current>,
    /// The share of the context's budget, and the parameter sets that it is for.
    reservation: Reservation,
    admitted: Option<Arc<Sps>>,
    /// A surface for the picture to come, taken before its slice header is parsed.
    spare: Option<Surface>,
    output: VecDeque<Frame>,
    errors: VecDeque<Error>,
    reader: AnnexBReader,
    /// A NAL unit from `reader` that waits for a surface.
    stalled: Option<Vec<u8>>,
    /// Bytes of NAL units taken so far.
    offset: u64,
}

/// A picture in the DPB.
#[derive(Debug)]
struct Stored {
    frame: Frame,
    /// While it is a reference.
    motion: Mutex<Option<MotionSlot>>,
}

impl Stored {
    fn motion(&self) -> MutexGuard<'_, Option<MotionSlot>> {
        self.motion.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What pictures of one format share.
#[derive(Debug)]
struct Sequence {
    sps: Arc<Sps>,
    price: Price,
    pool: SurfacePool,
    motion: MotionStore,
    /// What each engine works in for the length of a picture. Not shared with other sessions: a damaged stream may make
    /// an engine read what it did not write.
    scratch: BTreeMap<EngineType, DeviceBuffer>,
    /// When the scratch memory is cleared.
    cleared: Vec<SyncPoint>,
    template: Option<Template>,
    /// Stands in for missing references (8.3.3). Never written after it was cleared.
    grey: Option<Surface>,
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Template")
    }
}

/// The picture whose slices are being collected.
#[derive(Debug)]
struct Current {
    picture: Arc<Picture>,
    pts: Option<i64>,
    work: Work,
}

#[derive(Debug)]
enum Work {
    /// Its slices are dropped: a skipped RASL picture, or one that could not be started.
    Drop,
    Decode(Decode),
}

#[derive(Debug)]
struct Decode {
    surface: Surface,
    rps: ResolvedRps,
    /// The pictures that it names, in the order of initial list 0; `None` if missing.
    references: Vec<Option<Arc<Stored>>>,
    /// Which of these slices take motion from: one, in a stream that conforms.
    collocated: Vec<usize>,
    hash: Option<PictureHash>,
}

impl HevcDecoder {
    /// A decoder on `context`. Memory for pictures is allocated when the first picture tells their size.
    pub fn new(context: &Arc<Context>, options: DecoderOptions) -> Result<Self> {
        Ok(HevcDecoder {
            context: context.clone(),
            options,
            session: Session::new(context, options.engines, options.mode.lane())?,
            parser: Parser::new(),
            dpb: DecodedPictureBuffer::new(),
            sequence: None,
            refused: None,
            reservation: context.reserve(),
            admitted: None,
            current: None,
            spare: None,
            output: VecDeque::new(),
            errors: VecDeque::new(),
            reader: AnnexBReader::new(),
            stalled: None,
            offset: 0,
        })
    }

    /// The engines that decode.
    pub fn engines(&self) -> EngineSet {
        self.session.engines()
    }

    /// Pictures that a picture may have to wait for after it is decoded, since they come before it in output order
    /// (`sps_max_num_reorder_pics` of the highest sub-layer): the delay that the stream itself asks for.
    pub fn reorder(&self) -> Option<usize> {
        let sequence = self.sequence.as_ref()?;
        Some(usize::from(sequence.sps.highest_sub_layer_ordering().max_num_reorder_pics))
    }

    /// The parameter sets of the picture started last.
    pub fn sps(&self) -> Option<&Arc<Sps>> {
        self.sequence.as_ref().map(|s| &s.sps)
    }

    /// Sums over all pictures that the engine finished.
    pub fn statistics(&mut self) -> Statistics {
        self.session.statistics()
    }

    /// What pictures with these parameter sets will cost. Other picture parameter sets with more tiles may make scratch
    /// memory grow beyond it.
    pub fn price_of(&self, sps: &Sps, pps: &Pps) -> Price {
        let engines = self.session.engines().len();
        let capacity = self.options.capacity(sps.max_dec_pic_buffering(), engines);
        let surface = allocation_size(geometry(sps).bytes(), Placement::Vidmem);
        let motion = MotionStore::bytes(motion_slots(engines), collocated_slot_bytes(sps));
        let scratch = Scratch::new(sps, pps, self.context.class()).size;
        Price {
            surfaces: (capacity as u64 + 1) * surface,
            motion: allocation_size(motion, Placement::Vidmem),
            scratch: engines as u64 * allocation_size(scratch, Placement::Vidmem),
            status: StatusMemory::bytes(in_flight_limit(capacity)),
        }
    }

    /// What the present sequence costs, once its first picture told.
    pub fn price(&self) -> Option<Price> {
        self.sequence.as_ref().map(|sequence| sequence.price)
    }

    /// The next error of a picture or NAL unit that did not end the stream.
    pub fn take_error(&mut self) -> Option<Error> {
        self.errors.pop_front().or_else(|| self.session.take_error())
    }

    /// The next frame in output order, if one is due.
    pub fn receive(&mut self) -> Option<Frame> {
        self.output.pop_front()
    }

    /// Sends bytes of an Annex B stream, cut anywhere.
    ///
    /// [`Sent::NoSurface`] and [`Sent::NoMemory`] mean that nothing of `data` was taken.
    ///
    /// # Errors
    ///
    /// As [`send_nal`](Self::send_nal).
    pub fn send(&mut self, data: &[u8]) -> Result<Sent> {
        match self.pump()? {
            Sent::Accepted => {}
            refusal => return Ok(refusal),
        }
        self.feed(data);
        // What does not fit now waits inside; the next call says so.
        let _ = self.pump()?;
        Ok(Sent::Accepted)
    }

    fn feed(&mut self, data: &[u8]) {
        if let Err(source) = self.reader.feed(data) {
            self.note(Error::Bitstream { offset: self.offset, source });
        }
    }

    /// Keeps an error for the caller; of many that nobody takes, the latest.
    fn note(&mut self, error: Error) {
        if self.errors.len() == MAX_ERRORS {
            self.errors.pop_front();
        }
        self.errors.push_back(error);
    }

    fn pump(&mut self) -> Result<Sent> {
        if let Some(nal) = self.stalled.take() {
            let sent = self.send_nal(&nal, None)?;
            if sent != Sent::Accepted {
                self.stalled = Some(nal);
                return Ok(sent);
            }
        }
        let mut reader = std::mem::take(&mut self.reader);
        let mut result = Ok(Sent::Accepted);
        while let Some(nal) = reader.next_nal() {
            match self.send_nal(nal, None) {
                Ok(Sent::Accepted) => {}
                Ok(refusal) => {
                    self.stalled = Some(nal.to_vec());
                    result = Ok(refusal);
                    break;
                }
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        self.reader = reader;
        result
    }

    /// Sends one NAL unit without its start code. `pts` belongs to the picture that it begins, if it does.
    ///
    /// # Errors
    ///
    /// Errors of the GPU. What is wrong with one NAL unit or picture goes to
    /// [`take_error`](Self::take_error) instead, and decoding goes on.
    ///
    /// [`Error::CannotDecode`] when parameter sets come into force that the hardware cannot decode. It is given
    /// once for them; a caller who sends on gets the pictures of later sequences that it can.
    pub fn send_nal(&mut self, nal: &[u8], pts: Option<i64>) -> Result<Sent> {
        if begins_picture(nal) {
            if !self.is_admitted(nal)? {
                return Ok(Sent::NoMemory);
            }
            if !self.have_spare()? {
                return Ok(Sent::NoSurface);
            }
        }
        let offset = self.offset;
        self.offset += nal.len() as u64;
        match self.parser.parse(nal) {
            Ok(Unit::Slice(slice)) => self.slice(&slice, pts)?,
            Ok(Unit::Sei { messages, suffix }) => {
                if !suffix {
                    self.end_access_unit()?;
                }
                let hash = messages.into_iter().find_map(|m| match m.payload {
                    SeiPayload::DecodedPictureHash(hash) => Some(hash),
                    _ => None,
                });
                if let (Some(new), Some(Current { work: Work::Decode(decode), .. })) =
                    (hash, &mut self.current)
                {
                    // Where sub-layers were removed, hashes of theirs may follow the picture's own.
                    decode.hash.get_or_insert(new);
                }
            }
            // All of these begin an access unit or end a sequence (7.4.2.4.4).
            Ok(Unit::Vps(_) | Unit::Sps(_) | Unit::Pps(_) | Unit::AccessUnitDelimiter) => {
                self.end_access_unit()?
            }
            Ok(Unit::EndOfSequence | Unit::EndOfBitstream) => self.end_access_unit()?,
            Ok(_) => {}
            Err(source) => self.note(Error::Bitstream { offset, source }),
        }
        Ok(Sent::Accepted)
    }

    /// Says that the access unit is complete, so that its picture is submitted now rather than when the next
    /// one begins.
    pub fn end_access_unit(&mut self) -> Result<()> {
        let Some(current) = self.current.take() else { return Ok(()) };
        let Work::Decode(decode) = current.work else { return Ok(()) };
        self.decode(&current.picture, current.pts, decode)
    }

    /// Ends the stream: the last picture is submitted and all frames become due. Another stream may follow.
    pub fn flush(&mut self) -> Result<Sent> {
        self.reader.finish();
        match self.pump()? {
            Sent::Accepted => {}
            refusal => return Ok(refusal),
        }
        self.end_access_unit()?;
        let outputs = self.dpb.flush();
        self.bump(outputs);
        self.parser.reset();
        Ok(Sent::Accepted)
    }

    /// Has all further submissions watched.
    pub fn observe(&mut self, observer: Box<dyn Observer>) {
        self.session.observe(observer);
    }

    /// Waits until the engine has finished every picture submitted.
    pub fn finish(&mut self) -> Result<()> {
        self.session.finish()
    }

    fn bump(&mut self, outputs: Vec<Output<Arc<Stored>>>) {
        self.output.extend(outputs.into_iter().map(|o| o.payload.frame.clone()));
    }

    /// Whether the budget has room for the sequence that a picture begins, if it begins one.
    ///
    /// # Errors
    ///
    /// [`Error::TooExpensive`] if it has none even for this sequence alone.
    fn is_admitted(&mut self, nal: &[u8]) -> Result<bool> {
        let Some(limit) = self.context.memory_limit() else { return Ok(true) };
        let Some((pps, sps)) = self.parser.parameter_sets_of(nal) else { return Ok(true) };
        let known = self.admitted.as_ref().is_some_and(|admitted| Arc::ptr_eq(admitted, &sps));
        if known
            || self.sequence.as_ref().is_some_and(|s| s.fits(&sps))
            || capability::check_picture(&sps, &pps, &self.context).is_err()
        {
            return Ok(true);
        }
        let price = self.price_of(&sps, &pps).total();
        if price > limit {
            return Err(Error::TooExpensive { price, limit });
        }
        let admitted = self.reservation.resize(price);
        self.admitted = admitted.then_some(sps);
        Ok(admitted)
    }

    /// Whether a surface is at hand for a picture of the present format.
    fn have_spare(&mut self) -> Result<bool> {
        if self.spare.is_none()
            && let Some(sequence) = &self.sequence
        {
            self.spare = sequence.pool.take()?;
            let ours = self.dpb.len() + 1 + usize::from(sequence.grey.is_some());
            if self.spare.is_none() && self.output.is_empty() && sequence.pool.in_use() <= ours {
                // Nobody could free a surface: the stream holds more pictures than it declared.
                self.spare = Some(sequence.pool.take_beyond_capacity()?);
            }
            return Ok(self.spare.is_some());
        }
        Ok(true)
    }

    fn slice(&mut self, slice: &SliceSegment<'_>, pts: Option<i64>) -> Result<()> {
        if let Some(picture) = &slice.picture {
            self.end_access_unit()?;
            let work = self.begin(picture)?;
            self.current = Some(Current { picture: picture.clone(), pts, work });
        }
        let Some(Current { work: Work::Decode(decode), .. }) = &mut self.current else { return Ok(()) };
        if let Some(collocated) = decode.rps.collocated(&slice.header)
            && !decode.collocated.contains(&collocated)
        {
            decode.collocated.push(collocated);
        }
        let limit = self.sequence.as_ref().map_or(0, Sequence::picture_limit);
        let bytes = self.session.upload.length() + slice.nal.data.len() as u64;
        let appended = match bytes > limit {
            true => Err(Error::PictureTooLarge { bytes, limit }),
            false => self.session.upload.append(&[&START_CODE, slice.nal.data]),
        };
        if let Err(error) = appended {
            if !error.is_picture_error() {
                return Err(error);
            }
            self.note(error);
            if let Some(current) = &mut self.current {
                current.work = Work::Drop;
            }
        }
        Ok(())
    }

    /// Starts a picture: marking, output, a surface, a place in the table, references.
    fn begin(&mut self, picture: &Arc<Picture>) -> Result<Work> {
        if picture.skipped {
            return Ok(Work::Drop);
        }
        if self.is_refused(picture)? {
            return Ok(Work::Drop);
        }
        if self.sequence.as_ref().is_none_or(|s| !s.fits(&picture.sps)) {
            self.activate(&picture.sps, &picture.pps)?;
        }
        let begin = self.dpb.begin(picture);
        self.bump(begin.output);
        if !self.have_spare()? {
            // Only when the first slice was lost: the check in `send_nal` did not see a picture begin.
            let sequence = self.sequence.as_ref().expect("activated above");
            self.spare = Some(sequence.pool.take_beyond_capacity()?);
        }
        let sequence = self.sequence.as_mut().expect("activated above");
        let surface = match self.spare.take() {
            Some(surface) => surface,
            None => sequence.pool.take()?.expect("a new pool has a surface"),
        };
        let stored = |entry: &RefEntry| {
            let found = entry.index.and_then(|index| self.dpb.get(index));
            found.map(|entry| entry.payload.clone())
        };
        let references = begin.rps.initial_list0().map(stored).collect();
        self.session.upload.open(BITSTREAM_AT)?;
        Ok(Work::Decode(Decode { surface, rps: begin.rps, references, collocated: Vec::new(), hash: None }))
    }

    /// Whether the hardware cannot decode the picture: an error the first time that its parameter sets are seen.
    fn is_refused(&mut self, picture: &Picture) -> Result<bool> {
        let (sps, pps) = (&picture.sps, &picture.pps);
        if self.refused.as_ref().is_some_and(|(s, p)| Arc::ptr_eq(s, sps) && Arc::ptr_eq(p, pps)) {
            return Ok(true);
        }
        let verdict = capability::check_picture(sps, pps, &self.context);
        self.refused = None;
        if let Err(error) = verdict {
            // What came before is not held back by a sequence that does not come.
            let outputs = self.dpb.flush();
            self.bump(outputs);
            self.refused = Some((sps.clone(), pps.clone()));
            return Err(error);
        }
        Ok(false)
    }

    /// Prepares for pictures of another format. Frames of the old one stay valid.
    fn activate(&mut self, sps: &Arc<Sps>, pps: &Pps) -> Result<()> {
        let engines = self.session.engines().len();
        let price = self.price_of(sps, pps);
        if !self.reservation.resize(price.total()) {
            // Its first picture was not seen to begin, or there was no limit yet.
            log::debug!("a sequence that takes {} bytes exceeds the memory limit", price.total());
        }
        self.admitted = None;
        let capacity = self.options.capacity(sps.max_dec_pic_buffering(), engines);
        let reuse = if engines > 1 { Reuse::Last } else { Reuse::First };
        let slots = motion_slots(engines);
        self.spare = None;
        self.sequence = Some(Sequence {
            sps: sps.clone(),
            price,
            pool: SurfacePool::new(&self.context, geometry(sps), capacity, reuse),
            motion: MotionStore::new(&self.context, slots, collocated_slot_bytes(sps))?,
            scratch: BTreeMap::new(),
            cleared: Vec::new(),
            template: None,
            grey: None,
        });
        Ok(())
    }

    /// Submits a picture whose slices are all uploaded, and puts it into the DPB.
    fn decode(&mut self, picture: &Arc<Picture>, pts: Option<i64>, decode: Decode) -> Result<()> {
        let sequence = self.sequence.as_mut().expect("a picture was begun in it");
        let session = &mut self.session;
        let class = self.context.class();
        let poc = picture.pic_order_cnt_val;
        let Decode { surface, rps, references, collocated, hash } = decode;

        if collocated.len() > MAX_COLLOCATED {
            self.note(Error::TooManyCollocated { poc });
            return Ok(());
        }
        let sources =
            collocated.iter().map(|&at| references[at].as_ref().and_then(|stored| stored.motion().clone()));
        let sources: Vec<_> = sources.collect();
        for (_, entry) in self.dpb.iter().filter(|(_, entry)| entry.marking == Marking::Unused) {
            *entry.payload.motion() = None;
        }
        // No later picture refers to one before an IRAP picture, but for those that lead it in output order.
        let placed = sequence.motion.place(&self.context, &sources, picture.is_irap())?;
        let Some(motion) = placed else {
            self.note(Error::TooManyReferences { poc });
            return Ok(());
        };
        let fixed = collocated.iter().copied().zip(motion.sources.iter().map(|&(_, place)| place));
        let fixed: Vec<_> = fixed.collect();
        let surfaces: Vec<_> =
            references.iter().map(|stored| stored.as_ref().map(|s| s.frame.surface.clone())).collect();
        let target = (&surface, motion.target.1);
        let Some(table) = PictureTable::new(target, &rps, &surfaces, &fixed, || sequence.grey())? else {
            self.note(Error::TooManyReferences { poc });
            return Ok(());
        };
        let mut job = PictureJob {
            application_id: video::APPLICATION_ID_HEVC,
            control_params: CONTROL_PARAMS,
            buffers: Vec::new(),
            target: surface.clone(),
            pictures: table.pictures,
            motion: Some(motion.target.0.clone()),
            collocated: motion.sources.into_iter().map(|(slot, _)| slot).collect(),
            waits: Vec::new(),
        };

        let stream_len = session.upload.length() - BITSTREAM_AT;
        let blocks = scratch::blocks(&picture.sps);
        let plan = session.plan(&job, blocks, stream_len);
        let template = match sequence.template.take() {
            Some(template) if template.is_for(&picture.sps, &picture.pps) => template,
            _ => Template::new(&picture.sps, &picture.pps, class, surface.geometry()),
        };
        let descriptor = template.picture(picture, motion.target.1, &table.references, stream_len as u32);
        let scratch = *template.scratch();
        sequence.template = Some(template);
        session.upload.append(&[&BITSTREAM_SLACK])?;
        session.upload.write(0, &descriptor)?;
        if let Some(lists) = picture.pps.scaling_list(&picture.sps) {
            session.upload.write(SCALING_LIST_AT, &tables::scaling_lists(&lists))?;
        }
        let mut tiles = [0; TILE_TABLE_BYTES];
        tables::tile_table(&picture.pps.tile_layout(&picture.sps), &picture.sps, &mut tiles);
        session.upload.write(TILE_TABLE_AT, &tiles)?;

        let records = references.iter().flatten().map(|stored| stored.frame.record.clone()).collect();
        let limit = in_flight_limit(sequence.pool.capacity());
        let record = session.record(poc, blocks, records, limit)?;
        let chunk = session.upload.chunk();
        let scratch_memory = sequence.scratch(&self.context, plan.engine, scratch.size)?;
        let part = |offset: u64| scratch_memory.slice(offset, scratch_memory.size() - offset);
        let at = |offset: u64| chunk.slice(offset, chunk.size() - offset);
        job.buffers = vec![
            (video::SET_DRV_PIC_SETUP_OFFSET, at(0)),
            (video::SET_IN_BUF_BASE_OFFSET, at(BITSTREAM_AT)),
            (video::SET_COLOC_DATA_OFFSET, motion.window),
            (video::SET_NVDEC_STATUS_OFFSET, Session::status_buffer(&record)),
            (video::HEVC_SET_TILE_SIZES_OFFSET, at(TILE_TABLE_AT)),
            (video::HEVC_SET_FILTER_BUFFER_OFFSET, part(0)),
        ];
        if picture.sps.scaling_list_enabled_flag {
            job.buffers.push((video::HEVC_SET_SCALING_LIST_OFFSET, at(SCALING_LIST_AT)));
        }
        if class.intra_top {
            job.buffers.push((video::SET_INTRA_TOP_BUF_OFFSET, part(scratch.intra_top)));
        }
        if class.scratch_4dc > 0 {
            job.buffers.push((video::UNNAMED_SCRATCH_OFFSET_4DC, part(scratch.unnamed_4dc)));
        }
        job.waits = sequence.cleared.clone();
        let ready = match session.submit(&job, plan, &record, stream_len) {
            Ok(point) => point,
            Err(error) => {
                session.abandon(&record);
                return Err(error);
            }
        };
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
        let stored = Arc::new(Stored { frame, motion: Mutex::new(Some(motion.target.0)) });
        let outputs = self.dpb.insert(picture, stored);
        self.bump(outputs);
        Ok(())
    }
}

impl Sequence {
    /// Whether pictures of `sps` can use what was allocated.
    fn fits(&self, sps: &Arc<Sps>) -> bool {
        Arc::ptr_eq(&self.sps, sps)
            || (self.sps.same_picture_format(sps)
                && sps.max_dec_pic_buffering() <= self.sps.max_dec_pic_buffering())
    }

    /// Scratch of at least `size` bytes for `engine`. Pictures in flight keep an older, smaller one alive.
    fn scratch(&mut self, context: &Context, engine: EngineType, size: u64) -> Result<DeviceBuffer> {
        self.cleared.retain(|point| !point.is_reached());
        match self.scratch.get(&engine) {
            Some(scratch) if scratch.size() >= size => Ok(scratch.clone()),
            _ => {
                let (scratch, cleared) = context.allocate_filled(size, 0)?;
                self.cleared.push(cleared);
                self.scratch.insert(engine, scratch.clone());
                Ok(scratch)
            }
        }
    }

    /// Bytes that the slices of one picture may take: twice what the samples do, far above what any level
    /// allows (A.4.1), and no more than half of what the upload ring holds.
    fn picture_limit(&self) -> u64 {
        (2 * self.pool.geometry().bytes() + (1 << 20)).min(MAX_PICTURE_BYTES)
    }

    fn grey(&mut self) -> Result<Surface> {
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

/// Room for a full DPB, and for the groups of pictures that engines work on side by side.
fn motion_slots(engines: usize) -> usize {
    PLACES * engines
}

/// Pictures in flight before the host waits for the engines.
fn in_flight_limit(surfaces: usize) -> usize {
    MIN_IN_FLIGHT.max(surfaces)
}

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

/// Whether a NAL unit is the first slice segment of a picture of the base layer.
fn begins_picture(nal: &[u8]) -> bool {
    // first_slice_segment_in_pic_flag is the first bit behind the NAL unit header.
    NalHeader::parse(nal).is_ok_and(|h| h.nal_unit_type.is_slice_segment() && h.nuh_layer_id == 0)
        && nal.get(NalHeader::SIZE).is_some_and(|b| b & 0x80 != 0)
}
