//! [`Pictures`]: from coded pictures to frames, whatever the codec: which picture next, on which surface, at which places.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Weak};

use arrayvec::ArrayVec;
use hcq::SyncPoint;
use nvkernel_sys::video;

pub(crate) mod coded;
mod doubt;
mod format_memory;
pub(crate) mod held;
pub(crate) mod info;
pub(crate) mod integrity;
pub(crate) mod lookahead;
mod picture_table;
pub(crate) mod record;
pub mod side_data;
pub(crate) mod slice_data;

use crate::context::Context;
use crate::engines::EngineSet;
use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::job::{Operand, PictureJob};
use crate::memory::motion::{MAX_COLLOCATED, MotionSlot, PLACES};
use crate::memory::upload::Chunk;
use crate::memory::{BITSTREAM_SLACK, Reservation};
use crate::observe::Observer;
use crate::options::{DecoderOptions, Policy, Price, Start, Taint};
use crate::packet::Sent;
use crate::scheduler::cost::Time;
use crate::session::{Bearing, Session, Statistics};
use crate::surface::format::SurfaceGeometry;
use crate::surface::pool::{Reuse, Surface};
use coded::{Application, CodedPicture, Format, Operands, Placed};
use doubt::{Once, Suspicion};
use format_memory::FormatMemory;
use held::{Doubtful, Held, Shown};
use integrity::Dropped;
use lookahead::Lookahead;
use picture_table::PictureTable;
use record::{Identity, PictureRecord};
use slice_data::{Bitstream, Place, Slices};

/// Errors kept for a caller who does not take them.
const MAX_ERRORS: usize = 1024;
/// An engine with fewer pictures to do is given one rather than wait for a better order.
const IDLE_DEPTH: usize = 2;

/// The codec-independent middle of a decoder: it takes coded pictures from a front end and gives frames.
#[derive(Debug)]
pub(crate) struct Pictures {
    context: Arc<Context>,
    options: DecoderOptions,
    application: Application,
    session: Session,
    memory: Option<FormatMemory>,
    /// The format that the reservation has room for while that is not begun, on so many engines.
    admitted: Option<(Format, usize)>,
    /// Pictures that are not submitted yet.
    lookahead: Lookahead<Waiting>,
    /// Pictures handed over so far, and the bytes of their slices.
    count: u64,
    slice_bytes: u64,
    /// The slice data of the picture that is being collected.
    bitstream: Bitstream,
    /// A surface for the picture to come, taken before its slice header is parsed where no picture is held back.
    spare: Option<Surface>,
    /// Pictures that the decoder may still hold, oldest first.
    held: VecDeque<Weak<Held>>,
    output: VecDeque<Arc<Shown>>,
    /// The last exact frame, for a caller who wants it again in the place of others.
    exact: Option<Frame>,
    stopped: Option<Error>,
    dropped: Dropped,
    errors: VecDeque<Error>,
    /// A picture was doubtful.
    has_doubts: bool,
    /// Pictures handed over when all engines were last seen to have enough to do.
    fed: Option<u64>,
    /// The share of the context's budget. Declared last: it is others' when the memory is.
    reservation: Reservation,
}

/// A picture whose slices are complete, to be submitted.
#[derive(Debug)]
struct Waiting {
    coded: Box<dyn CodedPicture>,
    bitstream: Bitstream,
    chunk: Chunk,
    stream_len: u64,
    held: Arc<Held>,
}

/// A picture that was submitted.
struct Submitted {
    record: Arc<PictureRecord>,
    /// Where it leaves its motion vectors.
    motion: MotionSlot,
    /// When the scheduler expects it to be decoded.
    finish: Time,
    /// When its slice data is out of use.
    until: SyncPoint,
    doubtful: Option<Box<Doubtful>>,
}

impl Pictures {
    pub(crate) fn new(
        context: &Arc<Context>,
        application: Application,
        options: DecoderOptions,
    ) -> Result<Self> {
        let session = Session::new(context, options.engines, options.mode.priority())?;
        // None is held back before a format is known.
        let limits = options.mode.lookahead(session.engines().len(), 0);
        Ok(Pictures {
            context: context.clone(),
            options,
            application,
            lookahead: Lookahead::new(limits),
            session,
            memory: None,
            admitted: None,
            count: 0,
            slice_bytes: 0,
            bitstream: Bitstream::None,
            spare: None,
            held: VecDeque::new(),
            output: VecDeque::new(),
            exact: None,
            stopped: None,
            dropped: Dropped::default(),
            errors: VecDeque::new(),
            has_doubts: false,
            fed: None,
            reservation: context.memory().reserve(),
        })
    }

    /// The GPU and what is shared on it.
    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// The engines that decode.
    pub(crate) fn engines(&self) -> EngineSet {
        self.session.engines()
    }

    /// Sums over all pictures that the engines finished.
    pub(crate) fn statistics(&mut self) -> Statistics {
        let mut statistics = self.session.statistics();
        statistics.tally.dropped = self.dropped;
        statistics
    }

    /// Whether pictures may be so large, by what the caller said.
    ///
    /// # Errors
    ///
    /// [`Error::TooManySamples`]
    pub(crate) fn check_size(&self, (width, height): (u32, u32)) -> Result<()> {
        match self.options.max_luma_samples {
            Some(limit) if u64::from(width) * u64::from(height) > limit => {
                Err(Error::TooManySamples { width, height, limit })
            }
            _ => Ok(()),
        }
    }

    /// What pictures of `format` will cost.
    pub(crate) fn price_of(&self, format: &Format) -> Price {
        format_memory::price(format, &self.options, self.affordable(format))
    }

    /// What pictures of `format` cost at most, by however many sessions the engines are shared.
    pub(crate) fn highest_price_of(&self, format: &Format) -> Price {
        let price = |engines| format_memory::price(format, &self.options, engines);
        let all = self.engines().len();
        let limit = self.context.memory_limit();
        // As for `affordable`, with whatever part of the engines. Parts that are too expensive make way for one engine alone, so that
        // of those that are shared by more sessions the memory may be more.
        let parts = (1..=all).map(|sessions| price(all.div_ceil(sessions)));
        let affordable = parts.filter(|price| limit.is_none_or(|limit| price.total() <= limit));
        affordable.max_by_key(Price::total).unwrap_or_else(|| price(1))
    }

    /// What those of the present format cost.
    pub(crate) fn price(&self) -> Option<Price> {
        self.memory.as_ref().map(|memory| memory.price)
    }

    /// How pictures of the present format lie in memory.
    pub(crate) fn geometry(&self) -> Option<SurfaceGeometry> {
        self.memory.as_ref().map(|memory| *memory.pool.geometry())
    }

    /// Surfaces that memory was taken for so far.
    pub(crate) fn surfaces(&self) -> usize {
        self.memory.as_ref().map_or(0, |memory| memory.pool.live())
    }

    /// Has all further submissions watched.
    pub(crate) fn observe(&mut self, observer: Box<dyn Observer>) {
        self.session.observe(observer);
    }

    /// Waits until the engines have finished every picture submitted.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.session.finish()
    }

    /// Keeps an error for the caller; of many that are not taken, the latest.
    pub(crate) fn note(&mut self, error: Error) {
        if self.errors.len() == MAX_ERRORS {
            self.errors.pop_front();
        }
        self.errors.push_back(error);
    }

    /// The next error of a picture or of a part of the stream that did not end it.
    pub(crate) fn take_error(&mut self) -> Option<Error> {
        self.errors.pop_front().or_else(|| self.session.take_error())
    }

    /// The next frame in output order, if one is due. A frame that is due may still be held back with its picture.
    pub(crate) fn receive(&mut self) -> Option<Frame> {
        loop {
            self.output.front()?.frame.get()?;
            // Pictures that nothing refers to any more are handed on as they are.
            let frame = match Arc::try_unwrap(self.output.pop_front()?) {
                Ok(shown) => shown.frame.into_inner().flatten(),
                Err(shown) => shown.frame.get().cloned().flatten(),
            };
            // Without a frame it could not be submitted.
            if let Some(frame) = frame
                && let Some(frame) = self.judged(frame)
            {
                return Some(frame);
            }
        }
    }

    /// What comes out in the place of a frame, by the caller's policy.
    fn judged(&mut self, frame: Frame) -> Option<Frame> {
        if self.options.policy == Policy::Deliver {
            return Some(frame);
        }
        let integrity = match frame.integrity() {
            Ok(integrity) => integrity,
            // What is wrong with the engine is wrong with the stream.
            Err(error) => {
                self.stopped.get_or_insert(error);
                return None;
            }
        };
        match self.options.policy {
            Policy::Freeze if integrity.is_exact() => {
                self.exact = Some(frame.clone());
                Some(frame)
            }
            Policy::Freeze => Some(self.exact.as_ref()?.again_at(frame.times())),
            _ if integrity.is_exact() => Some(frame),
            Policy::Stop => {
                let (number, poc) = (frame.number(), frame.poc());
                self.stopped.get_or_insert(Error::NotExact { number, poc, integrity });
                self.output.clear();
                None
            }
            _ => None,
        }
    }

    /// Why no frame comes out any more, if that is so: once.
    pub(crate) fn stopped(&mut self) -> Option<Error> {
        self.stopped.take()
    }

    /// Number of the picture that is handed over next.
    pub(crate) fn next_number(&self) -> u64 {
        self.count
    }

    /// Where the caller wants decoding to begin.
    pub(crate) fn start(&self) -> Start {
        self.options.start
    }

    /// Counts a picture that is not decoded.
    pub(crate) fn drop_picture(&mut self, reason: impl Fn(&mut Dropped) -> &mut u64) {
        *reason(&mut self.dropped) += 1;
    }

    /// Whether `count` frames are due.
    #[inline]
    pub(crate) fn has_due(&self, count: usize) -> bool {
        let submitted = |shown: &&Arc<Shown>| shown.frame.get().is_some();
        self.output.len() >= count && self.output.iter().take(count).all(|shown| submitted(&shown))
    }

    /// Has pictures come out, in this order.
    pub(crate) fn show(&mut self, pictures: impl IntoIterator<Item = Arc<Held>>) {
        self.output.extend(pictures.into_iter().map(|held| held.shown.clone()));
    }

    /// Whether a picture can begin: of `format`, if that is known and the engine decodes it.
    ///
    /// # Errors
    ///
    /// [`Error::TooExpensive`] if the budget has no room even for this format alone, and those of the GPU.
    pub(crate) fn make_room_for(&mut self, format: Option<&Format>) -> Result<Sent> {
        if !self.follow_share()? {
            return Ok(Sent::NoSurface);
        }
        let others = match (format, &self.memory) {
            (Some(format), Some(memory)) => !memory.format().fits(format),
            _ => false,
        };
        if let Some(format) = format
            && (others || self.memory.is_none())
            && !self.is_admitted(format)?
        {
            return Ok(Sent::NoMemory);
        }
        if others && !self.submit_all()? {
            return Ok(Sent::NoSurface);
        }
        // Here, where a picture is not begun yet, lack of memory costs none.
        if let Some(format) = format
            && (others || self.memory.is_none())
        {
            match self.activate(format) {
                Err(Error::MemoryLimit { .. }) => return Ok(Sent::NoMemory),
                outcome => outcome?,
            }
        }
        Ok(if self.make_room()? { Sent::Accepted } else { Sent::NoSurface })
    }

    /// Whether the budget has room for pictures of a format that is not the present one.
    fn is_admitted(&mut self, format: &Format) -> Result<bool> {
        let Some(limit) = self.context.memory_limit() else { return Ok(true) };
        if self.admitted.is_some_and(|(admitted, _)| admitted == *format) {
            return Ok(true);
        }
        let (engines, price) = (self.affordable(format), self.price_of(format).total());
        if price > limit {
            return Err(Error::TooExpensive { price, limit });
        }
        // What the present one has stays promised until it is given back.
        let admitted = price <= self.reservation.bytes() || self.reservation.resize(price);
        self.admitted = admitted.then_some((*format, engines));
        Ok(admitted)
    }

    /// For how many engines pictures of `format` get memory: for the session's part of them, or for a single one where
    /// the limit has no room for more even if all of it is free.
    fn affordable(&self, format: &Format) -> usize {
        let engines = self.session.part_size();
        let is_too_much = |limit| format_memory::price(format, &self.options, engines).total() > limit;
        if self.context.memory_limit().is_some_and(is_too_much) { 1 } else { engines }
    }

    /// Has the memory be for as many engines as the session has a part of, now that sessions came or went. `false`:
    /// pictures are to be submitted before, and there is no surface.
    #[inline]
    fn follow_share(&mut self) -> Result<bool> {
        let engines = self.session.part_size();
        match &self.memory {
            Some(memory) if memory.wanted != engines => self.refit(engines),
            _ => Ok(true),
        }
    }

    #[cold]
    fn refit(&mut self, engines: usize) -> Result<bool> {
        let Some(memory) = &mut self.memory else { return Ok(true) };
        let fewer = engines < memory.engines;
        // What was to overtake others finds no place for its motion vectors any more.
        if fewer && !self.submit_all()? {
            return Ok(false);
        }
        let Some(memory) = &mut self.memory else { return Ok(true) };
        memory.wanted = engines;
        let (before, format) = (memory.price.total(), *memory.format());
        let after = format_memory::price(&format, &self.options, engines).total();
        // Without what was taken for frames that the caller keeps.
        let promised = self.reservation.bytes();
        let resized = promised.saturating_sub(before).saturating_add(after);
        if !fewer && !self.reservation.resize(resized) {
            return Ok(true);
        }
        match memory.refit(&self.options, engines) {
            Ok(()) => {}
            Err(error) if error.is_out_of_memory() => {
                log::info!("goes on with memory for {} engines and not {engines}: {error}", memory.engines);
                self.reservation.resize(promised);
                return Ok(true);
            }
            Err(error) => return Err(error),
        }
        self.lookahead.set_limits(self.options.mode.lookahead(engines, memory.pool.capacity()));
        self.session.upload.set_enough(memory.uploads);
        self.session.set_most(engines);
        self.reservation.resize(resized);
        Ok(true)
    }

    /// Prepares for pictures of `format`. Frames of another one before it stay valid.
    pub(crate) fn activate(&mut self, format: &Format) -> Result<()> {
        if self.memory.as_ref().is_some_and(|memory| memory.format().fits(format)) {
            return Ok(());
        }
        let admitted = self.admitted.filter(|(admitted, _)| admitted == format);
        let engines = admitted.map_or_else(|| self.affordable(format), |(_, engines)| engines);
        // Only when the first slice was lost: `make_room_for` did not see a picture begin.
        self.submit_all_beyond_capacity()?;
        self.spare = None;
        // Its memory goes back first: the new one may use it, and its price is without it.
        self.memory = None;
        let price = format_memory::price(format, &self.options, engines).total();
        if !self.reservation.resize(price) {
            // Its first picture was not seen to begin, or there was no limit yet.
            log::debug!("a sequence that takes {price} bytes exceeds the memory limit");
        }
        let mut memory = FormatMemory::new(self.context.memory(), format, &self.options, engines)?;
        self.lookahead.set_limits(self.options.mode.lookahead(engines, memory.pool.capacity()));
        memory.wanted = self.session.part_size();
        self.session.set_most(engines);
        self.session.upload.set_enough(memory.uploads);
        self.context.channels().note_picture(format.blocks);
        self.memory = Some(memory);
        self.admitted = None;
        Ok(())
    }

    /// Begins to collect the slice data of a picture of the present format. The first `own` bytes of its chunk of host memory,
    /// a multiple of 256, are the codec's: descriptor and tables.
    pub(crate) fn open(&mut self, own: u64) -> Result<()> {
        if self.lookahead.limits().pictures == 0 && self.spare.is_none() {
            // The first picture of the sequence, or one that was not seen to begin.
            self.spare = self.take_surface()?;
        }
        let memory = self.memory.as_ref().expect("a format was activated");
        self.bitstream = Bitstream::None;
        self.session.upload.open(own, memory.format().descriptor)
    }

    /// Adds the slice segment `unit`, which lies at `place` if engines can read it there. `false`: it cannot be added, which was
    /// noted, and the picture is to be dropped.
    pub(crate) fn add(&mut self, unit: &[u8], place: Option<Place<'_>>, slices: Slices) -> Result<bool> {
        let limit = self.memory.as_ref().map_or(0, FormatMemory::picture_limit);
        match self.bitstream.add(&mut self.session.upload, unit, place, limit, slices) {
            Ok(()) => Ok(true),
            Err(error) if error.is_picture_error() => {
                self.note(error);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes a picture whose slices are complete. The front end puts it into its decoded picture buffer, has shown what that
    /// puts out, and then calls [`go_on`](Self::go_on). `None`: it cannot be decoded, which was noted.
    pub(crate) fn hand_over(&mut self, coded: Box<dyn CodedPicture>) -> Result<Option<Arc<Held>>> {
        let poc = coded.poc();
        if coded.collocated().len() > MAX_COLLOCATED {
            self.dropped.unfit += 1;
            self.note(Error::TooManyCollocated { poc });
            return Ok(None);
        }
        if coded.references().len() >= PLACES {
            self.dropped.unfit += 1;
            self.note(Error::TooManyReferences { poc });
            return Ok(None);
        }
        let bitstream = std::mem::take(&mut self.bitstream);
        let stream_len = match &bitstream {
            Bitstream::None => 0,
            Bitstream::InPlace(extent) => extent.len() as u64,
            Bitstream::Copied { at } => {
                let stream_len = self.session.upload.length() - at;
                if let Err(error) = self.session.upload.append(&[&[0; BITSTREAM_SLACK]]) {
                    if !error.is_picture_error() {
                        return Err(error);
                    }
                    self.dropped.unfit += 1;
                    self.note(error);
                    return Ok(None);
                }
                stream_len
            }
        };
        let chunk = self.session.upload.close();
        let number = self.count;
        let held = Arc::new(Held::new(number));
        let references = coded.references();
        let mut missing = [0; PLACES];
        let unsettled = references.iter().flatten().filter(|r| !r.is_settled());
        let count = missing.iter_mut().zip(unsettled).map(|(missing, r)| *missing = r.number).count();
        let held_back = self.lookahead.limits().pictures > 0;
        let frames = references.iter().flatten().filter(|_| held_back).filter_map(|r| r.frame());
        let ready = frames.map(|frame| frame.finish).max().unwrap_or(0);
        let waiting = Waiting { coded, bitstream, chunk, stream_len, held: held.clone() };
        self.lookahead.push(number, self.slice_bytes, &missing[..count], ready, waiting);
        self.count += 1;
        self.slice_bytes += stream_len;
        // At once: so long as they are in here, their memory is taken.
        while self.held.pop_front_if(|held| held.strong_count() == 0).is_some() {}
        if self.held.len() == self.held.capacity() {
            self.held.retain(|held| held.strong_count() > 0);
            self.held.reserve(self.held.len() + PLACES);
        }
        self.held.push_back(Arc::downgrade(&held));
        Ok(Some(held))
    }

    /// Submits what is to be submitted now that another picture was handed over.
    pub(crate) fn go_on(&mut self) -> Result<()> {
        if self.lookahead.limits().pictures == 0 {
            // The surface was taken when the picture began, unless its first slice was lost.
            return self.submit_all_beyond_capacity();
        }
        // Without a surface it waits for the next call.
        let _ = self.make_room()?;
        Ok(())
    }

    /// Submits pictures until there is room for the next one. `false`: there is none, for want of a surface.
    fn make_room(&mut self) -> Result<bool> {
        let (engines, sessions) = self.session.share();
        // In front of a single engine no order is better than that of decoding.
        let windows = if engines.len() > 1 { sessions } else { usize::MAX };
        while self.lookahead.is_full(self.count, self.slice_bytes, windows) {
            if !self.submit_next()? {
                return Ok(false);
            }
        }
        // Once for a picture: this is called behind each of them, and once more before the next begins.
        while self.fed != Some(self.count) && !self.lookahead.is_empty() {
            if !self.context.scheduler().is_idle(engines, IDLE_DEPTH) {
                self.fed = Some(self.count);
            } else if !self.submit_next()? {
                return Ok(true);
            }
        }
        if self.lookahead.limits().pictures == 0 && self.memory.is_some() && self.spare.is_none() {
            self.spare = self.take_surface()?;
            return Ok(self.spare.is_some());
        }
        Ok(true)
    }

    /// Submits all pictures that are held back. `false`: some are left, for want of a surface.
    pub(crate) fn submit_all(&mut self) -> Result<bool> {
        while !self.lookahead.is_empty() {
            if !self.submit_next()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Submits all pictures that are held back, whatever surfaces that takes.
    fn submit_all_beyond_capacity(&mut self) -> Result<()> {
        while !self.submit_all()? {
            if let Some(memory) = &self.memory {
                self.spare = Some(memory.pool.take_beyond_capacity()?);
            }
        }
        Ok(())
    }

    /// Has one surface more, whatever the capacity, within the budget: the caller keeps frames.
    ///
    /// # Errors
    ///
    /// [`Error::FramesHeld`] if the budget does not allow it, and those of the GPU.
    pub(crate) fn grow(&mut self) -> Result<()> {
        let Some(memory) = &self.memory else { return Ok(()) };
        let (surfaces, bytes) = (memory.pool.live(), memory.pool.surface_bytes());
        if !self.reservation.grow(bytes) {
            let held = memory.pool.in_use().saturating_sub(self.surfaces_held());
            let limit = self.context.memory_limit().unwrap_or(u64::MAX);
            return Err(Error::FramesHeld { held, surfaces, bytes, limit });
        }
        self.spare = Some(memory.pool.take_beyond_capacity()?);
        Ok(())
    }

    /// Why a format was not admitted.
    pub(crate) fn lacks_memory(&self) -> Error {
        let (reserved, taken) = (self.context.reserved_memory(), self.context.allocated_memory());
        let limit = self.context.memory_limit().unwrap_or(u64::MAX);
        Error::NoMemoryNow { taken, reserved, limit }
    }

    /// Forgets all pictures that did not come out, and their errors. Those in flight end by themselves.
    pub(crate) fn reset(&mut self) {
        for waiting in self.lookahead.drain() {
            self.dropped.taken_back += 1;
            self.session.upload.free(waiting.chunk.id(), None);
            let _ = waiting.held.shown.frame.set(None);
        }
        if self.admitted.take().is_some() {
            // A sequence that does not come now. What memory there is was for the one before it.
            (self.memory, self.spare) = (None, None);
            self.reservation.resize(0);
        }
        self.bitstream = Bitstream::None;
        self.output.clear();
        (self.exact, self.stopped) = (None, None);
        self.errors.clear();
        self.session.forget_errors_before(self.count);
    }

    /// Submits the picture that can start first. `false`: there is no surface for it.
    fn submit_next(&mut self) -> Result<bool> {
        let Some(memory) = &self.memory else { return Ok(true) };
        // What stands alone has no choice.
        let choice = match self.lookahead.len() {
            0 | 1 => self.lookahead.choose(0, true),
            _ => {
                let in_order = memory.pool.spare() <= memory.reserve();
                let (engines, _) = self.session.share();
                let earliest = self.context.scheduler().earliest(engines);
                self.lookahead.choose(earliest, in_order)
            }
        };
        let Some(choice) = choice else { return Ok(true) };
        let Some(surface) = self.take_surface()? else { return Ok(false) };
        let (waiting, followers) = self.lookahead.take(choice);
        let (held, chunk) = (waiting.held.clone(), waiting.chunk.id());
        let submitted = self.submit(waiting, surface);
        if !held.is_settled() {
            // Pictures that refer to it do without.
            self.dropped.unfit += 1;
            self.session.upload.free(chunk, None);
            let _ = held.shown.frame.set(None);
        }
        let finish = held.frame().map_or(0, |frame| frame.finish);
        self.lookahead.submitted(followers, finish);
        submitted?;
        Ok(true)
    }

    /// A surface to decode to, if there is one.
    fn take_surface(&mut self) -> Result<Option<Surface>> {
        if let Some(surface) = self.spare.take() {
            return Ok(Some(surface));
        }
        let Some(memory) = &self.memory else { return Ok(None) };
        let several = self.session.share().0.len() > 1;
        memory.pool.prefer(if several { Reuse::Last } else { Reuse::First });
        if let Some(surface) = memory.pool.take()? {
            return Ok(Some(surface));
        }
        let due = self.output.iter().map_while(|shown| shown.frame.get()).flatten().next().is_some();
        if due || memory.pool.in_use() > self.surfaces_held() {
            return Ok(None);
        }
        // Nothing could free a surface: the stream holds more pictures than it declared, or the memory limit leaves no more.
        match memory.pool.take_beyond_capacity() {
            Err(Error::MemoryLimit { .. }) => Ok(None),
            taken => taken.map(Some),
        }
    }

    /// Surfaces that only this decoder holds on to.
    fn surfaces_held(&self) -> usize {
        let held: Vec<_> = self.held.iter().filter_map(Weak::upgrade).collect();
        let shown = held.iter().map(|held| &held.shown).chain(&self.output);
        let frames = shown.filter_map(|shown| shown.frame.get()?.as_ref());
        let addresses: BTreeSet<u64> = frames.map(|frame| frame.surface().luma_address()).collect();
        let grey = self.memory.as_ref().is_some_and(FormatMemory::has_grey);
        addresses.len() + usize::from(grey)
    }

    /// Submits a picture whose references were all submitted before.
    fn submit(&mut self, waiting: Waiting, surface: Surface) -> Result<()> {
        let submitted = self.submit_job(&waiting, &surface)?;
        let Waiting { coded, chunk, held, .. } = &waiting;
        let Some(Submitted { record, motion, finish, until, doubtful }) = submitted else {
            self.note(Error::TooManyReferences { poc: coded.poc() });
            return Ok(());
        };
        self.session.upload.free(chunk.id(), Some(until));
        let frame = Frame::new(surface, record, finish);
        *held.motion() = Some(motion);
        if let Some(doubtful) = doubtful {
            held.set_doubtful(doubtful);
        }
        held.shown.frame.set(Some(frame)).expect("a picture is submitted once");
        Ok(())
    }

    /// Submits a picture, to be decoded to `surface`. `None` if its references, or their motion vectors, do not fit.
    fn submit_job(&mut self, waiting: &Waiting, surface: &Surface) -> Result<Option<Submitted>> {
        let Waiting { coded, bitstream, chunk, stream_len, held } = waiting;
        let (references, collocated) = (coded.references(), coded.collocated());
        let memory = self.memory.as_mut().expect("a picture was begun in it");
        let session = &mut self.session;

        let mut sources = [const { None }; MAX_COLLOCATED];
        for (source, &at) in sources.iter_mut().zip(collocated) {
            *source = references[at].as_ref().and_then(|held| held.motion().clone());
        }
        let sources = &mut sources[..collocated.len()];
        let placed = memory.motion.place(self.context.memory(), sources, coded.is_random_access())?;
        let Some(motion) = placed else { return Ok(None) };
        let mut fixed = [(0, 0); MAX_COLLOCATED];
        for (fixed, (&at, &(_, place))) in fixed.iter_mut().zip(collocated.iter().zip(&motion.sources)) {
            *fixed = (at, place);
        }
        let fixed = &fixed[..collocated.len()];
        let frames = || references.iter().flatten().filter_map(|held| held.frame());
        let is_missing = |held: &Option<Arc<Held>>| held.as_ref().is_none_or(|held| held.frame().is_none());
        let grey = references.iter().any(is_missing).then(|| memory.grey()).transpose()?;
        let used = coded.used();
        let is_used = move |at: usize| used >> at & 1 != 0;
        let refresh = coded.refresh();
        let missing = || match (&grey, refresh.recovering_until) {
            (Some(_), None) => (0..references.len()).find(|&at| is_used(at) && is_missing(&references[at])),
            _ => None,
        };
        let flaw = coded.flaw().or_else(|| missing().map(|at| coded.missing(at)));
        let mut suspicion = None;
        // Nearly no stream has anything to look for.
        if flaw.is_some() || self.has_doubts {
            suspicion = Suspicion::of(&**coded, held.number, flaw, coded.flaw().is_none());
            self.has_doubts = true;
        }
        let predicted_from = references.iter().enumerate().filter(|(at, _)| is_used(*at));
        let predicted_from = predicted_from.filter_map(|(_, held)| Some(held.as_ref()?.frame()?.record()));
        let same = |a: usize, b: usize| match (&references[a], &references[b]) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        let reference = |at: usize| {
            let frame = references[at].as_ref().and_then(|held| held.frame());
            frame.map(Frame::surface).or(grey.as_ref()).expect("there is one if any is missing")
        };
        let table = PictureTable::new((surface, motion.target.1), references.len(), same, reference, fixed);
        let Some(table) = table else { return Ok(None) };
        let slots: ArrayVec<&MotionSlot, MAX_COLLOCATED> =
            motion.sources.iter().map(|(slot, _)| slot).collect();
        let job = PictureJob {
            application_id: self.application.id,
            control_params: self.application.control_params,
            buffers: &[],
            target: surface,
            pictures: &table.pictures,
            motion: Some(&motion.target.0),
            collocated: &slots,
            waits: &[],
        };

        let blocks = memory.format().blocks;
        let plan =
            session.plan(&job, frames().map(|frame| (frame.ready(), frame.finish)), (blocks, *stream_len));
        let slot = session.status_slot(memory.in_flight)?;
        let mut waits = Vec::new();
        let scratch = match memory.scratch.take(plan.engine, coded.scratch(), &mut waits) {
            Ok(scratch) => scratch,
            Err(error) => {
                session.abandon(slot);
                return Err(error);
            }
        };
        let status = slot.memory.clone();
        let bitstream = match bitstream {
            Bitstream::InPlace(extent) => extent.operand(video::SET_IN_BUF_BASE_OFFSET),
            Bitstream::Copied { at } => Operand::new(video::SET_IN_BUF_BASE_OFFSET, &chunk.memory).at(*at),
            Bitstream::None => Operand::new(video::SET_IN_BUF_BASE_OFFSET, &chunk.memory),
        };
        let mut operands = Operands::new();
        operands.push(Operand::new(video::SET_DRV_PIC_SETUP_OFFSET, &chunk.memory));
        operands.push(bitstream);
        operands.push(Operand::new(video::SET_COLOC_DATA_OFFSET, &motion.window));
        operands.push(Operand::new(video::SET_NVDEC_STATUS_OFFSET, &status));
        let described = coded.describe(
            &Placed {
                class: self.context.class(),
                memory: self.context.memory(),
                target: motion.target.1,
                references: &table.references,
                stream_len: *stream_len,
                chunk: &chunk.memory,
                scratch: memory.scratch.memory(scratch),
            },
            &mut operands,
        );
        if let Err(error) = described {
            session.abandon(slot);
            return Err(error);
        }
        if let Some(grey) = &grey {
            waits.extend(grey.uses().before_read().cloned());
        }
        let job = PictureJob { buffers: &operands, waits: &waits, ..job };
        let identity = Identity { number: held.number, poc: coded.poc(), blocks, bytes: *stream_len };
        let doubts = suspicion.as_ref().map(|suspicion| suspicion.doubts());
        let mut doubtful = suspicion.as_ref().map(|suspicion| suspicion.doubtful());
        let bearing = Bearing { flaw, refresh, doubts, predicted_from };
        let suspicion = suspicion.filter(|_| self.options.taint == Taint::BySamples);
        let place = match &suspicion {
            Some(suspicion) => {
                memory.twins.place(suspicion, session, memory.in_flight, &mut self.reservation)
            }
            None => None,
        };
        let record = match session.submit(&job, plan, slot, identity, coded.shows(), bearing) {
            Ok(record) => record,
            Err(error) => {
                place.into_iter().for_each(|(_, slot)| session.abandon(slot));
                return Err(error);
            }
        };
        let mut until = record.point().clone();
        let (places, bytes) = (&table.references, *stream_len);
        let once = Once { job: &job, record: &record, references, places, bytes };
        match (&suspicion, &mut doubtful) {
            (Some(suspicion), Some(doubtful)) => {
                doubtful.twin = memory.twins.follow(&once, suspicion, place, session, coded.fingerprint());
                if let Some(twin) = &doubtful.twin {
                    until = twin.record.point().clone();
                }
            }
            _ => memory.twins.verify(&once, || coded.fingerprint()),
        }
        // They name the scratch.
        drop(operands);
        memory.scratch.used_until(scratch, &until, plan.finish);
        Ok(Some(Submitted { record, motion: motion.target.0, finish: plan.finish, until, doubtful }))
    }
}
