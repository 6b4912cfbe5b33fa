//! [`HevcDecoder`]: an HEVC byte stream in, frames in output order out.

use std::collections::VecDeque;
use std::sync::Arc;

use hcq::{DeviceBuffer, EngineType, SyncPoint};
use hevc::dpb::{DecodedPictureBuffer, Marking, Output, RefEntry};
use hevc::nal::{AnnexBReader, NalHeader};
use hevc::picture_hash::PictureHash;
use hevc::sei::SeiPayload;
use hevc::{Parser, Picture, Pps, SliceSegment, Sps, Unit};
use nvkernel_sys::video;

use crate::class::Chroma;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::job::PictureJob;
use crate::pool::SurfacePool;
use crate::session::{Observer, PictureRecord, Session, Statistics};
use crate::surface::{Surface, SurfaceFormat, SurfaceGeometry};

pub mod audit;
mod capability;
mod descriptor;
mod scratch;
mod tables;

pub use capability::{check, check_pps};
use descriptor::{DESCRIPTOR_BYTES, LIST_ENTRIES, PlacedReference, References, Template};
use scratch::{COLLOCATED_SLOTS, collocated_slot_bytes};
use tables::{SCALING_LIST_BYTES, TILE_TABLE_BYTES};

/// Zero bytes behind the slice data: how far the engine reads ahead is not documented.
const BITSTREAM_SLACK: [u8; 256] = [0; 256];
/// Errors kept for a caller who does not take them.
const MAX_ERRORS: usize = 1024;
/// Most bytes of slice data that any picture may have.
const MAX_PICTURE_BYTES: u64 = 128 << 20;
/// Start code put in front of every slice segment.
const START_CODE: [u8; 4] = [0, 0, 0, 1];
/// Offsets within a picture's chunk of the upload ring.
const SCALING_LIST_AT: u64 = DESCRIPTOR_BYTES as u64;
const TILE_TABLE_AT: u64 = (SCALING_LIST_AT + SCALING_LIST_BYTES as u64).next_multiple_of(256);
const BITSTREAM_AT: u64 = TILE_TABLE_AT + TILE_TABLE_BYTES as u64;

/// How a decoder works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecoderOptions {
    /// Engine to use; the one with the least work if `None`.
    pub engine: Option<EngineType>,
    /// Frames that the caller may hold while decoding goes on, beyond what the stream itself needs.
    /// [`DecoderOptions::DEFAULT_HELD_FRAMES`] if `None`.
    pub held_frames: Option<usize>,
}

impl DecoderOptions {
    /// Enough to keep one engine busy while a consumer works on the frames before.
    pub const DEFAULT_HELD_FRAMES: usize = 6;
}

/// What became of a NAL unit that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Sent {
    /// It was taken.
    Accepted,
    /// It was not: it begins a picture and no surface is free. Receive and drop frames, then send it again.
    NoSurface,
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
    /// Its place in the engine's picture table, which also names its collocated motion vectors.
    place: u8,
}

/// What pictures of one format share.
#[derive(Debug)]
struct Sequence {
    sps: Arc<Sps>,
    pool: SurfacePool,
    collocated: DeviceBuffer,
    /// What the engine works in for the length of a picture. Not shared with other sessions: a damaged stream
    /// may make the engine read what it did not write.
    scratch: Option<DeviceBuffer>,
    /// When the memory above is cleared.
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
    Decode {
        surface: Surface,
        place: u8,
        references: References,
        table: Vec<(u8, Surface)>,
        hash: Option<PictureHash>,
    },
}

impl HevcDecoder {
    /// A decoder on `context`. Memory for pictures is allocated when the first picture tells their size.
    pub fn new(context: &Arc<Context>, options: DecoderOptions) -> Result<Self> {
        Ok(HevcDecoder {
            context: context.clone(),
            options,
            session: Session::new(context, options.engine)?,
            parser: Parser::new(),
            dpb: DecodedPictureBuffer::new(),
            sequence: None,
            refused: None,
            current: None,
            spare: None,
            output: VecDeque::new(),
            errors: VecDeque::new(),
            reader: AnnexBReader::new(),
            stalled: None,
            offset: 0,
        })
    }

    /// The engine that decodes.
    pub fn engine(&self) -> EngineType {
        self.session.queue().engine()
    }

    /// The parameter sets of the picture started last.
    pub fn sps(&self) -> Option<&Arc<Sps>> {
        self.sequence.as_ref().map(|s| &s.sps)
    }

    /// Sums over all pictures that the engine finished.
    pub fn statistics(&mut self) -> Statistics {
        self.session.statistics()
    }

    /// Most bytes of GPU memory that the stream's surfaces, motion vectors and scratch take, once the first
    /// picture told their size.
    pub fn budget(&self) -> Option<u64> {
        self.sequence
            .as_ref()
            .map(|s| s.pool.budget() + s.collocated.size() + s.scratch.as_ref().map_or(0, DeviceBuffer::size))
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
    /// [`Sent::NoSurface`] means that nothing of `data` was taken.
    ///
    /// # Errors
    ///
    /// As [`send_nal`](Self::send_nal).
    pub fn send(&mut self, data: &[u8]) -> Result<Sent> {
        if self.pump()? == Sent::NoSurface {
            return Ok(Sent::NoSurface);
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
        if let Some(nal) = self.stalled.take()
            && self.send_nal(&nal, None)? == Sent::NoSurface
        {
            self.stalled = Some(nal);
            return Ok(Sent::NoSurface);
        }
        let mut reader = std::mem::take(&mut self.reader);
        let mut result = Ok(Sent::Accepted);
        while let Some(nal) = reader.next_nal() {
            match self.send_nal(nal, None) {
                Ok(Sent::Accepted) => {}
                Ok(Sent::NoSurface) => {
                    self.stalled = Some(nal.to_vec());
                    result = Ok(Sent::NoSurface);
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
        if begins_picture(nal) && !self.have_spare()? {
            return Ok(Sent::NoSurface);
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
                if let (Some(new), Some(Current { work: Work::Decode { hash, .. }, .. })) =
                    (hash, &mut self.current)
                {
                    // Where sub-layers were removed, hashes of theirs may follow the picture's own.
                    hash.get_or_insert(new);
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
        let Work::Decode { surface, place, references, table, hash } = current.work else { return Ok(()) };
        self.decode(&current.picture, current.pts, surface, place, &references, table, hash)
    }

    /// Ends the stream: the last picture is submitted and all frames become due. Another stream may follow.
    pub fn flush(&mut self) -> Result<Sent> {
        self.reader.finish();
        if self.pump()? == Sent::NoSurface {
            return Ok(Sent::NoSurface);
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
        let Some(Current { work: Work::Decode { .. }, .. }) = &self.current else { return Ok(()) };
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
            self.activate(&picture.sps)?;
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
        let references = self.dpb.iter().filter(|(_, e)| e.marking != Marking::Unused);
        let used = references.fold(0u32, |used, (_, e)| used | 1 << e.payload.place);
        let place = (!used).trailing_zeros() as u8;
        if usize::from(place) >= LIST_ENTRIES {
            self.note(Error::TooManyReferences { poc: picture.pic_order_cnt_val });
            return Ok(Work::Drop);
        }
        let mut table = vec![(place, surface.clone())];
        let mut taken = used | 1 << place;
        let mut placed = |entries: &[RefEntry]| -> Result<Vec<PlacedReference>> {
            let mut list = Vec::with_capacity(entries.len());
            for entry in entries {
                let found = entry.index.and_then(|index| self.dpb.get(index));
                let (place, surface) = match found {
                    Some(stored) => (stored.payload.place, stored.payload.frame.surface.clone()),
                    None => {
                        // 8.3.3: a generated picture, mid-grey everywhere, in a place of its own.
                        let free = ((!taken).trailing_zeros() as u8).min(LIST_ENTRIES as u8 - 1);
                        taken |= 1 << free;
                        (free, sequence.grey()?)
                    }
                };
                if table.iter().all(|(known, _)| *known != place) {
                    table.push((place, surface));
                }
                list.push(PlacedReference { place, poc: entry.poc, long_term: entry.long_term });
            }
            Ok(list)
        };
        let references = References {
            st_curr_before: placed(&begin.rps.st_curr_before)?,
            st_curr_after: placed(&begin.rps.st_curr_after)?,
            lt_curr: placed(&begin.rps.lt_curr)?,
        };
        self.session.upload.open(BITSTREAM_AT)?;
        Ok(Work::Decode { surface, place, references, table, hash: None })
    }

    /// Whether the hardware cannot decode the picture: an error the first time that its parameter sets are seen.
    fn is_refused(&mut self, picture: &Picture) -> Result<bool> {
        let (sps, pps) = (&picture.sps, &picture.pps);
        if self.refused.as_ref().is_some_and(|(s, p)| Arc::ptr_eq(s, sps) && Arc::ptr_eq(p, pps)) {
            return Ok(true);
        }
        let class = self.context.class();
        let verdict = check(sps, class).and_then(|()| check_pps(pps, sps, class));
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
    fn activate(&mut self, sps: &Arc<Sps>) -> Result<()> {
        let chroma = Chroma::from_chroma_format_idc(sps.chroma_format_idc).expect("checked by the parser");
        let format = SurfaceFormat { chroma, bit_depth: sps.bit_depth_luma };
        let geometry =
            SurfaceGeometry::new(format, sps.pic_width_in_luma_samples, sps.pic_height_in_luma_samples);
        let held = self.options.held_frames.unwrap_or(DecoderOptions::DEFAULT_HELD_FRAMES);
        // The DPB with the current picture, the one to come, and what the caller holds.
        let capacity = sps.max_dec_pic_buffering() + 1 + held;
        let slots = collocated_slot_bytes(sps) * COLLOCATED_SLOTS;
        let (collocated, cleared) = self.context.allocate_filled(slots, 0)?;
        self.spare = None;
        self.sequence = Some(Sequence {
            sps: sps.clone(),
            pool: SurfacePool::new(&self.context, geometry, capacity),
            collocated,
            scratch: None,
            cleared: vec![cleared],
            template: None,
            grey: None,
        });
        Ok(())
    }

    /// Submits a picture whose slices are all uploaded, and puts it into the DPB.
    #[expect(clippy::too_many_arguments, reason = "the parts of one `Current`, taken apart")]
    fn decode(
        &mut self,
        picture: &Arc<Picture>,
        pts: Option<i64>,
        surface: Surface,
        place: u8,
        references: &References,
        table: Vec<(u8, Surface)>,
        hash: Option<PictureHash>,
    ) -> Result<()> {
        let sequence = self.sequence.as_mut().expect("a picture was begun in it");
        let session = &mut self.session;
        let stream_len = session.upload.length() - BITSTREAM_AT;
        session.upload.append(&[&BITSTREAM_SLACK])?;

        let class = self.context.class();
        let template = match sequence.template.take() {
            Some(template) if template.is_for(&picture.sps, &picture.pps) => template,
            _ => Template::new(&picture.sps, &picture.pps, class, surface.geometry()),
        };
        let descriptor = template.picture(picture, place, references, stream_len as u32);
        let scratch = *template.scratch();
        sequence.template = Some(template);
        session.upload.write(0, &descriptor)?;
        if let Some(lists) = picture.pps.scaling_list(&picture.sps) {
            session.upload.write(SCALING_LIST_AT, &tables::scaling_lists(&lists))?;
        }
        let mut tiles = [0; TILE_TABLE_BYTES];
        tables::tile_table(&picture.pps.tile_layout(&picture.sps), &picture.sps, &mut tiles);
        session.upload.write(TILE_TABLE_AT, &tiles)?;

        let (slot, record) = session.record(picture.pic_order_cnt_val, scratch::blocks(&picture.sps))?;
        let chunk = session.upload.chunk();
        let scratch_memory = sequence.scratch(&self.context, scratch.size)?;
        let part = |offset: u64| scratch_memory.slice(offset, scratch_memory.size() - offset);
        let at = |offset: u64| chunk.slice(offset, chunk.size() - offset);
        let mut buffers = vec![
            (video::SET_DRV_PIC_SETUP_OFFSET, at(0)),
            (video::SET_IN_BUF_BASE_OFFSET, at(BITSTREAM_AT)),
            (video::SET_COLOC_DATA_OFFSET, sequence.collocated.clone()),
            (video::SET_NVDEC_STATUS_OFFSET, Session::status_buffer(&record)),
            (video::HEVC_SET_TILE_SIZES_OFFSET, at(TILE_TABLE_AT)),
            (video::HEVC_SET_FILTER_BUFFER_OFFSET, part(0)),
        ];
        if picture.sps.scaling_list_enabled_flag {
            buffers.push((video::HEVC_SET_SCALING_LIST_OFFSET, at(SCALING_LIST_AT)));
        }
        if class.intra_top {
            buffers.push((video::SET_INTRA_TOP_BUF_OFFSET, part(scratch.intra_top)));
        }
        if class.scratch_4dc > 0 {
            buffers.push((video::UNNAMED_SCRATCH_OFFSET_4DC, part(scratch.unnamed_4dc)));
        }
        let job = PictureJob {
            application_id: video::APPLICATION_ID_HEVC,
            control_params: CONTROL_PARAMS,
            buffers,
            target: surface.clone(),
            pictures: table,
            waits: sequence.cleared.clone(),
        };
        let ready = match session.submit(&job, slot, &record, stream_len) {
            Ok(point) => point,
            Err(error) => {
                session.abandon(slot);
                return Err(error);
            }
        };
        self.store(picture, pts, surface, place, ready, record, hash);
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a frame")]
    fn store(
        &mut self,
        picture: &Arc<Picture>,
        pts: Option<i64>,
        surface: Surface,
        place: u8,
        ready: hcq::SyncPoint,
        record: Arc<PictureRecord>,
        hash: Option<PictureHash>,
    ) {
        let frame = Frame {
            surface,
            ready,
            crop: picture.sps.crop(),
            pts,
            poc: picture.pic_order_cnt_val,
            colour: picture.sps.colour(),
            sps: picture.sps.clone(),
            hash,
            record,
        };
        let outputs = self.dpb.insert(picture, Arc::new(Stored { frame, place }));
        self.bump(outputs);
    }
}

impl Sequence {
    /// Whether pictures of `sps` can use what was allocated.
    fn fits(&self, sps: &Arc<Sps>) -> bool {
        Arc::ptr_eq(&self.sps, sps)
            || (self.sps.same_picture_format(sps)
                && sps.max_dec_pic_buffering() <= self.sps.max_dec_pic_buffering())
    }

    /// Scratch of at least `size` bytes. Pictures in flight keep an older, smaller one alive.
    fn scratch(&mut self, context: &Context, size: u64) -> Result<DeviceBuffer> {
        self.cleared.retain(|point| !point.is_reached());
        match &self.scratch {
            Some(scratch) if scratch.size() >= size => Ok(scratch.clone()),
            _ => {
                let (scratch, cleared) = context.allocate_filled(size, 0)?;
                self.cleared.push(cleared);
                Ok(self.scratch.insert(scratch).clone())
            }
        }
    }

    /// Bytes that the slices of one picture may take.
    fn picture_limit(&self) -> u64 {
        stream_limit(self.pool.geometry())
    }

    fn grey(&mut self) -> Result<Surface> {
        if self.grey.is_none() {
            self.grey = Some(self.pool.take_beyond_capacity()?);
        }
        Ok(self.grey.clone().expect("just made"))
    }
}

/// Bytes that the slices of one picture may take: twice what the samples do, far above what any level allows (A.4.1),
/// and no more than half of what the upload ring holds.
fn stream_limit(geometry: &SurfaceGeometry) -> u64 {
    (2 * geometry.bytes() + (1 << 20)).min(MAX_PICTURE_BYTES)
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
