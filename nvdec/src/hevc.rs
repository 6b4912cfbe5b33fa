//! [`HevcDecoder`]: an HEVC byte stream in, frames in output order out.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrayvec::ArrayVec;
use bitstream::AnnexBReader;
use hcq::Input;
use hevc::dpb::{DecodedPictureBuffer, Output, RefEntry, ResolvedRps};
use hevc::nal::NalHeader;
use hevc::picture_hash::PictureHash;
use hevc::sei::SeiPayload;
use hevc::{Parser, Picture, Pps, SliceSegment, Sps, Unit};

use crate::context::{Context, Reservation};
use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::motion::{MAX_COLLOCATED, PLACES};
use crate::scheduler::EngineSet;
use crate::session::{Observer, Session, Statistics};
use crate::surface::Surface;

pub mod audit;
mod capability;
mod descriptor;
mod options;
mod scratch;
mod sequence;
mod slices;
mod submit;
mod table;
mod tables;
mod window;

pub use capability::{check, check_limits, check_pps};
use descriptor::DESCRIPTOR_BYTES;
pub use options::{DecoderOptions, Mode, Price};
use sequence::{Sequence, Shown, Stored};
use slices::{Place, SliceData};
use submit::{BITSTREAM_AT, Pending};
use window::Window;

/// Errors kept for a caller who does not take them.
const MAX_ERRORS: usize = 1024;

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
    /// The picture whose slices are being collected; `None` also while they are dropped, as those of a skipped RASL picture
    /// and of one that could not be started are.
    current: Option<Box<Decode>>,
    /// The share of the context's budget, and the parameter sets that it is for.
    reservation: Reservation,
    admitted: Option<Arc<Sps>>,
    /// Pictures that are not submitted yet.
    window: Window<Pending>,
    /// Pictures handed to the window so far, and the bytes of their slices.
    pictures: u64,
    slice_bytes: u64,
    /// A surface for the picture to come, taken before its slice header is parsed where no picture is held back.
    spare: Option<Surface>,
    output: VecDeque<Arc<Shown>>,
    errors: VecDeque<Error>,
    reader: AnnexBReader,
    /// A NAL unit from `reader` that waits for a surface.
    stalled: Option<Vec<u8>>,
    /// Bytes of NAL units taken so far.
    offset: u64,
}

/// A picture to be decoded. Boxed from the beginning: it is handed on several times.
#[derive(Debug)]
struct Decode {
    picture: Arc<Picture>,
    pts: Option<i64>,
    rps: ResolvedRps,
    /// The pictures that it names, in the order of initial list 0; `None` if missing. As many as there are places, of
    /// which the picture itself needs one, are too many.
    references: ArrayVec<Option<Arc<Stored>>, PLACES>,
    /// Which of these slices take motion from: one, in a stream that conforms. One more than can be decoded.
    collocated: ArrayVec<usize, { MAX_COLLOCATED + 1 }>,
    hash: Option<PictureHash>,
    slices: SliceData,
}

impl HevcDecoder {
    /// A decoder on `context`. Memory for pictures is allocated when the first picture tells their size.
    pub fn new(context: &Arc<Context>, options: DecoderOptions) -> Result<Self> {
        let session = Session::new(context, options.engines, options.mode.lane())?;
        Ok(HevcDecoder {
            context: context.clone(),
            options,
            window: Window::new(options.mode.window(session.engines().len(), 0)),
            pictures: 0,
            slice_bytes: 0,
            session,
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
        Sequence::price(sps, pps, self.context.class(), &self.options, self.session.engines().len())
    }

    /// What the present sequence costs, once its first picture told.
    pub fn price(&self) -> Option<Price> {
        self.sequence.as_ref().map(|sequence| sequence.price)
    }

    /// Surfaces that the present sequence has taken memory for so far.
    pub fn surfaces(&self) -> usize {
        self.sequence.as_ref().map_or(0, |sequence| sequence.pool.live())
    }

    /// The next error of a picture or NAL unit that did not end the stream.
    pub fn take_error(&mut self) -> Option<Error> {
        self.errors.pop_front().or_else(|| self.session.take_error())
    }

    /// The next frame in output order, if one is due. A frame that is due may still be held back with its picture.
    pub fn receive(&mut self) -> Option<Frame> {
        loop {
            self.output.front()?.frame.get()?;
            // Pictures that nothing refers to any more are handed on as they are.
            let frame = match Arc::try_unwrap(self.output.pop_front()?) {
                Ok(shown) => shown.frame.into_inner().flatten(),
                Err(shown) => shown.frame.get().cloned().flatten(),
            };
            // Without a frame it could not be submitted.
            if frame.is_some() {
                return frame;
            }
        }
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
            self.note(Error::Bitstream { offset: self.offset, source: source.into() });
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
        self.send_unit(nal, None, pts)
    }

    /// As [`send_nal`](Self::send_nal), for the NAL unit at `nal` of memory that [`Context::input`] gave: the engine reads
    /// its slice data there. It keeps the memory until it has.
    ///
    /// Copied all the same are slice segments without a start code in front, those of pictures that do not follow each
    /// other in one input, and pictures right behind another one of less than 256 bytes, since an engine begins to read at
    /// multiples of that.
    ///
    /// # Errors
    ///
    /// As [`send_nal`](Self::send_nal).
    ///
    /// # Panics
    ///
    /// If `nal` is not in `input`.
    pub fn send_nal_of(&mut self, input: &Input, nal: Range<usize>, pts: Option<i64>) -> Result<Sent> {
        let bytes = &input[nal.clone()];
        let place = self.context.device().owns(input.buffer()).then_some((input, nal));
        self.send_unit(bytes, place, pts)
    }

    fn send_unit(&mut self, nal: &[u8], place: Option<Place<'_>>, pts: Option<i64>) -> Result<Sent> {
        if begins_picture(nal) {
            self.end_access_unit()?;
            if !self.is_admitted(nal)? {
                return Ok(Sent::NoMemory);
            }
            let others = self.begins_other_format(nal);
            if others && !self.submit_all()? || !others && !self.make_room()? {
                return Ok(Sent::NoSurface);
            }
        }
        let offset = self.offset;
        self.offset += nal.len() as u64;
        match self.parser.parse(nal) {
            Ok(Unit::Slice(slice)) => self.slice(slice, place, pts)?,
            Ok(Unit::Sei { messages, suffix }) => {
                if !suffix {
                    self.end_access_unit()?;
                }
                let hash = messages.into_iter().find_map(|m| match m.payload {
                    SeiPayload::DecodedPictureHash(hash) => Some(hash),
                    _ => None,
                });
                if let (Some(new), Some(decode)) = (hash, &mut self.current) {
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
    /// one begins; unless pictures are held back ([`Mode`]).
    pub fn end_access_unit(&mut self) -> Result<()> {
        match self.current.take() {
            Some(decode) => self.hand_over(decode),
            None => Ok(()),
        }
    }

    /// Ends the stream: the last pictures are submitted and all frames become due. Another stream may follow.
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
        Ok(if self.submit_all()? { Sent::Accepted } else { Sent::NoSurface })
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
        self.output.extend(outputs.into_iter().map(|o| o.payload.shown.clone()));
    }

    /// Whether the budget has room for the sequence that a picture begins, if it begins one.
    ///
    /// # Errors
    ///
    /// [`Error::TooExpensive`] if it has none even for this sequence alone.
    fn is_admitted(&mut self, nal: &[u8]) -> Result<bool> {
        let Some(limit) = self.context.memory_limit() else { return Ok(true) };
        let Some((pps, sps)) = self.parser.parameter_sets_of(nal) else { return Ok(true) };
        let known = self.admitted.as_ref().is_some_and(|admitted| Arc::ptr_eq(admitted, sps));
        if known
            || self.sequence.as_ref().is_some_and(|s| s.fits(sps))
            || capability::check_picture(sps, pps, &self.context).is_err()
        {
            return Ok(true);
        }
        let price = self.price_of(sps, pps).total();
        if price > limit {
            return Err(Error::TooExpensive { price, limit });
        }
        let admitted = self.reservation.resize(price);
        self.admitted = admitted.then(|| sps.clone());
        Ok(admitted)
    }

    /// Whether a picture begins a sequence that needs other memory than the present one has.
    fn begins_other_format(&mut self, nal: &[u8]) -> bool {
        let Some(sequence) = &self.sequence else { return false };
        self.parser.parameter_sets_of(nal).is_some_and(|(_, sps)| !sequence.fits(sps))
    }

    fn slice(&mut self, slice: SliceSegment<'_>, place: Option<Place<'_>>, pts: Option<i64>) -> Result<()> {
        if let Some(picture) = slice.picture {
            self.end_access_unit()?;
            self.current = self.begin(picture, pts)?;
        }
        let Some(decode) = &mut self.current else { return Ok(()) };
        if let Some(collocated) = decode.rps.collocated(&slice.header)
            && !decode.collocated.contains(&collocated)
            && !decode.collocated.is_full()
        {
            decode.collocated.push(collocated);
        }
        let limit = self.sequence.as_ref().map_or(0, Sequence::picture_limit);
        let added = decode.slices.add(&mut self.session.upload, slice.nal.data, place, limit);
        if let Err(error) = added {
            if !error.is_picture_error() {
                return Err(error);
            }
            self.note(error);
            self.current = None;
        }
        Ok(())
    }

    /// Starts a picture: marking, output, references. `None` if its slices are to be dropped.
    fn begin(&mut self, picture: Arc<Picture>, pts: Option<i64>) -> Result<Option<Box<Decode>>> {
        if picture.skipped || self.is_refused(&picture)? {
            return Ok(None);
        }
        if self.sequence.as_ref().is_none_or(|s| !s.fits(&picture.sps)) {
            self.activate(&picture.sps, &picture.pps)?;
        }
        let begin = self.dpb.begin(&picture);
        self.bump(begin.output);
        if self.window.limits().pictures == 0 && self.spare.is_none() {
            // The first picture of the sequence, or one that was not seen to begin.
            self.spare = self.take_surface()?;
        }
        let stored = |entry: &RefEntry| {
            let found = entry.index.and_then(|index| self.dpb.get(index));
            found.map(|entry| entry.payload.clone())
        };
        let references = begin.rps.initial_list0().map(stored).take(PLACES).collect();
        self.session.upload.open(BITSTREAM_AT, DESCRIPTOR_BYTES)?;
        let rps = begin.rps;
        let (collocated, slices) = (ArrayVec::new(), SliceData::None);
        Ok(Some(Box::new(Decode { picture, pts, rps, references, collocated, hash: None, slices })))
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
            self.submit_all()?;
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
        // Only when the first slice was lost: the check in `send_nal` did not see a picture begin.
        self.submit_all_beyond_capacity()?;
        self.spare = None;
        // Its memory goes back first: the new one may use it, and its price is without it.
        self.sequence = None;
        let sequence = Sequence::new(&self.context, sps, price, &self.options, engines)?;
        self.window.set_limits(self.options.mode.window(engines, sequence.pool.capacity()));
        self.session.upload.set_enough(sequence.uploads);
        self.sequence = Some(sequence);
        Ok(())
    }
}

/// Whether a NAL unit is the first slice segment of a picture of the base layer.
fn begins_picture(nal: &[u8]) -> bool {
    // first_slice_segment_in_pic_flag is the first bit behind the NAL unit header.
    NalHeader::parse(nal).is_ok_and(|h| h.nal_unit_type.is_slice_segment() && h.nuh_layer_id == 0)
        && nal.get(NalHeader::SIZE).is_some_and(|b| b & 0x80 != 0)
}
