//! [`Session`]: the codec-independent part of a decoder. Uploads, status, pictures in flight.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrayvec::ArrayVec;
use hcq::{DeviceBuffer, EngineType, LINE, SyncPoint, Timeline, allocation_size};

use crate::context::{Context, Lane, Settled};
use crate::error::{Error, Result};
use crate::job::PictureJob;
use crate::motion::PLACES;
use crate::queue::{Submission, VideoQueue};
use crate::recycle::{Lease, Purpose};
use crate::scheduler::{CostModel, EngineSet, Plan, Time};
use crate::status::{self, DecodeStatus, PictureFault, STATUS_BYTES};
use crate::upload::UploadRing;
use crate::uses::Latest;

/// Errors kept for a caller who does not take them.
const MAX_ERRORS: usize = 1024;
/// Pictures that status memory is allocated for at once.
const STATUS_SLOTS: u64 = 128;
/// Pictures whose status is read at once. A read is a round trip over the bus, and these are under way together.
const BATCH: usize = 8;
/// Pictures for each engine that are left in flight when the host sleeps until the others are done, unless half of them are
/// fewer: so many take one of an H200 45 ms at 1080p.
const ENOUGH_LEFT: usize = 64;
/// Longest sleeps until pictures are done: where they may be done sooner than those before were, where not, and where it
/// matters at once.
const NAP: Duration = Duration::from_millis(25);
const LONG_NAP: Duration = Duration::from_millis(250);
const SHORT_NAP: Duration = Duration::from_millis(10);
/// How long a picture may take before its engine counts as stuck. The engine's own timer ends a picture long
/// before.
pub(crate) const PICTURE_TIMEOUT: Duration = Duration::from_secs(10);

/// Which engines decode a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engines {
    /// All that the GPU has; while other sessions decode as well, an equal part of them.
    #[default]
    All,
    /// The one with the least to do when the session begins.
    LeastBusy,
    /// These.
    Set(EngineSet),
}

impl From<EngineType> for Engines {
    fn from(engine: EngineType) -> Self {
        Engines::Set(EngineSet::default().with(engine))
    }
}

/// One stream's use of the GPU: which engines, what is uploaded, what is in flight.
#[derive(Debug)]
pub struct Session {
    context: Arc<Context>,
    number: u64,
    engines: EngineSet,
    _settled: Option<Settled>,
    lane: Lane,
    /// Opened when a picture is first planned on the engine.
    queues: Vec<Arc<VideoQueue>>,
    pub(crate) upload: UploadRing,
    status: StatusMemory,
    costs: CostModel,
    inflight: VecDeque<InFlight>,
    finished: Statistics,
    failed: VecDeque<Error>,
    observer: Option<Box<dyn Observer>>,
    /// What the planned submission waits for; kept to be written into again.
    waits: Latest<SyncPoint>,
}

#[derive(Debug)]
struct InFlight {
    /// Number of its status memory.
    slot: u64,
    record: Arc<PictureRecord>,
    bytes: u64,
}

/// How many pictures of a session are in flight before it waits for some of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InFlightLimit {
    /// While no other session's pictures stand behind them.
    pub(crate) alone: usize,
    /// While some may.
    pub(crate) crowded: usize,
}

/// Where engines leave their verdicts. In GPU memory: an engine reads and writes it several times a picture, the host
/// once.
#[derive(Debug)]
pub(crate) struct StatusMemory {
    chunks: Vec<Lease>,
    /// How many of them were cleared, which maps them.
    cleared: usize,
    /// Numbers of the free ones, each so many slots behind the beginning of the first chunk. They are clear. The one that was
    /// given back first is taken first, so that slots of pictures that follow each other do so as well.
    free: VecDeque<u64>,
}

/// Status memory of one picture.
#[derive(Debug)]
pub(crate) struct StatusSlot {
    pub(crate) memory: DeviceBuffer,
    number: u64,
}

/// What is known of a picture before it is submitted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    /// Position in decoding order.
    pub(crate) number: u64,
    pub(crate) poc: i32,
    /// 16x16 blocks that the engine counts in it.
    pub(crate) blocks: u32,
    /// Bytes of slice data.
    pub(crate) bytes: u64,
}

/// Watches what a session submits, for tools that record it.
pub trait Observer: std::fmt::Debug + Send {
    /// A picture was submitted.
    ///
    /// The host memory among the job's buffers keeps what the engine reads from it until this returns, and the
    /// surfaces stay what they are for as long as the observer holds them and says until when it reads them
    /// ([`Surface::use_until`](crate::Surface::use_until)).
    fn submitted(&mut self, job: &PictureJob<'_>, submission: &Submission, record: &Arc<PictureRecord>);
}

/// Sums over the pictures of a session that are complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Pictures that the engine finished.
    pub pictures: u64,
    /// Of these, pictures with an error.
    pub pictures_in_error: u64,
    /// Engine time in clock cycles.
    pub engine_cycles: u64,
    /// Bytes of slice data, start codes included.
    pub bitstream_bytes: u64,
}

/// What is known of one picture: who it is, when it is done, how it went.
#[derive(Debug)]
pub struct PictureRecord {
    /// Position in decoding order.
    pub number: u64,
    /// Picture order count.
    pub poc: i32,
    blocks: u32,
    memory: DeviceBuffer,
    point: SyncPoint,
    /// Whether it goes down with its own engine or not at all.
    is_alone: bool,
    /// Whether it is known that it did not.
    is_safe: AtomicBool,
    state: Mutex<Verdict>,
}

/// What became of a picture, as far as somebody has looked.
#[derive(Debug)]
struct Verdict {
    lost: Lost,
    outcome: Option<Outcome>,
}

/// The engine's status and what follows from it.
type Outcome = (DecodeStatus, Result<(), PictureFault>);

impl PictureRecord {
    /// When the engine comes to the end of the picture.
    pub(crate) fn point(&self) -> &SyncPoint {
        &self.point
    }

    fn lock(&self) -> MutexGuard<'_, Verdict> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine's status and verdict, or `None` while the engine is at work.
    pub fn outcome(&self) -> Option<(DecodeStatus, Result<(), PictureFault>)> {
        if !self.point.is_reached() {
            return None;
        }
        // The session asks as well, before it gives the memory to another picture.
        let mut state = self.lock();
        if state.outcome.is_some() {
            return state.outcome;
        }
        let mut line = [[0; LINE]];
        hcq::load_lines([self.memory.view().ok()?], &mut line);
        Some(self.judge(&mut state, &line[0]))
    }

    /// What became of a picture that is done, by its status unless that was read before.
    fn judge(&self, state: &mut Verdict, line: &[u8; LINE]) -> Outcome {
        if let Some(outcome) = state.outcome {
            return outcome;
        }
        let (status, verdict) = status::read(line, self.blocks);
        let lost = self.find_out(&mut state.lost);
        let outcome = (status, verdict.and(if lost { Err(PictureFault::ReferenceLost) } else { Ok(()) }));
        state.outcome = Some(outcome);
        outcome
    }

    /// Whether the picture, or one that it depends on, went down with its engine. An engine that was not concerned
    /// decodes from whatever lies where the reference should be, and finds no fault with it. For pictures whose point
    /// is reached.
    fn is_lost(&self) -> bool {
        !self.is_safe.load(Ordering::Acquire) && self.find_out(&mut self.lock().lost)
    }

    fn find_out(&self, lost: &mut Lost) -> bool {
        let is_lost = match &*lost {
            Lost::Known(is_lost) => return *is_lost,
            // A reached point has to be waited for no longer, but tells when its timeline is dead.
            Lost::IfAnyOf(references) => {
                self.point.wait(Duration::ZERO).is_err()
                    || references.iter().any(|reference| reference.is_lost())
            }
        };
        *lost = Lost::Known(is_lost);
        self.is_safe.store(!is_lost, Ordering::Release);
        is_lost
    }
}

/// Records of the pictures that a picture refers to.
type References = ArrayVec<Arc<PictureRecord>, PLACES>;

/// Whether a picture went down with an engine.
#[derive(Debug)]
enum Lost {
    /// Not known yet: if one of these did, or its own engine before it was done.
    IfAnyOf(References),
    Known(bool),
}

impl Session {
    /// A session on `engines`.
    ///
    /// # Errors
    ///
    /// [`Error::Hardware`] if the GPU lacks one of the engines, [`Error::Gpu`] if it has no memory.
    pub fn new(context: &Arc<Context>, engines: Engines, lane: Lane) -> Result<Session> {
        let all: EngineSet = context.engines().iter().copied().collect();
        let (engines, settled) = match engines {
            Engines::All => (all, None),
            Engines::LeastBusy => {
                let (engine, settled) = context.settle();
                (EngineSet::default().with(engine), Some(settled))
            }
            Engines::Set(set) => (context.check_engines(set)?, None),
        };
        // Which of several engines are needed is not known yet; a single one is, and what is wrong with it comes out now.
        let queues = match engines.iter().next() {
            Some(engine) if engines.len() == 1 => vec![context.video_queue(engine, lane)?],
            _ => Vec::new(),
        };
        Ok(Session {
            context: context.clone(),
            number: context.number_session(),
            engines,
            _settled: settled,
            lane,
            queues,
            upload: UploadRing::new(context)?,
            status: StatusMemory::new(context)?,
            costs: CostModel::new(),
            inflight: VecDeque::new(),
            finished: Statistics::default(),
            failed: VecDeque::new(),
            observer: None,
            waits: Latest::default(),
        })
    }

    /// The GPU and what is shared on it.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// The engines that pictures may go to.
    pub fn engines(&self) -> EngineSet {
        self.engines
    }

    /// The engines that pictures go to at present: fewer, the more sessions have pictures in flight. And how many
    /// sessions these are.
    pub(crate) fn share(&self) -> (EngineSet, usize) {
        match self.engines.len() {
            1 => (self.engines, 1),
            _ => self.context.share(self.number, self.engines),
        }
    }

    /// Which of the queues is that of `engine`, opened if need be.
    fn queue(&mut self, engine: EngineType) -> Result<usize> {
        if let Some(at) = self.queues.iter().position(|queue| queue.engine() == engine) {
            return Ok(at);
        }
        self.queues.push(self.context.video_queue(engine, self.lane)?);
        Ok(self.queues.len() - 1)
    }

    /// Has all further submissions watched.
    pub fn observe(&mut self, observer: Box<dyn Observer>) {
        self.observer = Some(observer);
    }

    /// Sums over all complete pictures.
    pub fn statistics(&mut self) -> Statistics {
        self.retire();
        self.finished
    }

    /// The next picture that went wrong, in the order of submission.
    pub fn take_error(&mut self) -> Option<Error> {
        self.retire_batches();
        self.failed.pop_front()
    }

    /// Status memory for a picture about to be submitted. Waits for older pictures if as many as `limit` are in flight.
    pub(crate) fn status_slot(&mut self, limit: InFlightLimit) -> Result<StatusSlot> {
        self.retire_batches();
        let crowded = self.context.is_crowded();
        let limit = if crowded { limit.crowded } else { limit.alone };
        if self.inflight.len() >= limit.max(1) {
            // All but those that keep the engines busy meanwhile, or nearly, and for the last one first: waking up costs more
            // than looking.
            let engines = self.engines.len();
            let left = (limit / 2).min(ENOUGH_LEFT * engines);
            let oldest = self.inflight.iter().take(1 + limit - left);
            // Of one engine the last picture says all.
            let last = if engines == 1 { 1 } else { usize::MAX };
            // On several engines, or shared ones, the pace of the last pictures says less of the next ones.
            let (nap, slack) = match self.lane {
                Lane::Bulk if engines == 1 && !crowded => (LONG_NAP, left / 4),
                Lane::Bulk => (NAP, left / 4 / engines),
                // So few in flight leave no time to be late.
                Lane::Prompt => (SHORT_NAP, 0),
            };
            for picture in oldest.rev().take(last) {
                picture.record.point.wait_near(slack as u64, nap, PICTURE_TIMEOUT)?;
            }
            if let Some(picture) = self.inflight.front() {
                picture.record.point.wait(PICTURE_TIMEOUT)?;
            }
            self.retire();
        }
        self.status.take(&self.context)
    }

    /// Which of the pictures that it refers to a picture on `timeline` may go down with.
    fn depends_on<'a>(
        timeline: &Arc<Timeline>,
        references: impl Iterator<Item = &'a Arc<PictureRecord>>,
    ) -> References {
        // Of those on its own timeline it need not know: what kills them kills what comes behind them.
        let elsewhere = |record: &&Arc<PictureRecord>| {
            !record.is_alone || !Arc::ptr_eq(record.point.timeline(), timeline)
        };
        references.filter(elsewhere).cloned().collect()
    }

    /// Chooses the engine for a job of `blocks` blocks and `bytes` bytes of slice data, to be submitted next. Its surfaces and
    /// motion vectors are filled in; `references` say when those that it reads are written, on the timelines and as the
    /// scheduler expects.
    pub(crate) fn plan<'a>(
        &mut self,
        job: &PictureJob<'_>,
        references: impl Iterator<Item = (&'a SyncPoint, Time)>,
        (blocks, bytes): (u32, u64),
    ) -> Plan {
        let cost = self.costs.estimate(blocks, bytes);
        self.waits.clear();
        let mut ready = job.add_uses_but_references(&mut self.waits);
        for (written, time) in references {
            ready = ready.max(time);
            if !written.is_reached() {
                self.waits.add(written);
            }
        }
        self.context.scheduler().plan(self.share().0, ready, cost)
    }

    /// Submits the picture that was planned last.
    pub(crate) fn submit<'a>(
        &mut self,
        job: &PictureJob<'_>,
        plan: Plan,
        slot: StatusSlot,
        picture: Identity,
        references: impl Iterator<Item = &'a Arc<PictureRecord>>,
    ) -> Result<Arc<PictureRecord>> {
        let point = match self.enqueue(job, plan) {
            Ok(point) => point,
            Err(error) => {
                self.abandon(slot);
                return Err(error);
            }
        };
        let references = Self::depends_on(point.timeline(), references);
        let StatusSlot { memory, number: slot } = slot;
        let Identity { number, poc, blocks, bytes } = picture;
        let record = Arc::new(PictureRecord {
            number,
            poc,
            blocks,
            memory,
            point,
            is_alone: references.is_empty(),
            is_safe: AtomicBool::new(false),
            state: Mutex::new(Verdict { lost: Lost::IfAnyOf(references), outcome: None }),
        });
        if let Some(observer) = &mut self.observer {
            let waits = self.waits.as_slice().to_vec();
            observer.submitted(job, &Submission { point: record.point.clone(), waits }, &record);
        }
        if self.inflight.is_empty() {
            self.context.set_busy(self.number, true);
        }
        self.inflight.push_back(InFlight { slot, record: record.clone(), bytes });
        self.finished.bitstream_bytes += bytes;
        Ok(record)
    }

    /// Hands a job to its queue.
    fn enqueue(&mut self, job: &PictureJob<'_>, plan: Plan) -> Result<SyncPoint> {
        // What is lost with one engine is lost to the pictures on all others.
        for queue in &self.queues {
            queue.queue().check()?;
        }
        let queue = self.queue(plan.engine)?;
        let point = self.queues[queue].submit_planned(job, plan.finish, &mut self.waits)?;
        self.context.scheduler().submitted(plan, &point);
        Ok(point)
    }

    /// Gives status memory back when its picture was not submitted after all.
    pub(crate) fn abandon(&mut self, slot: StatusSlot) {
        self.status.free.push_back(slot.number);
    }

    /// Waits for all pictures in flight.
    pub fn finish(&mut self) -> Result<()> {
        for picture in self.inflight.iter().rev() {
            picture.record.point.wait(PICTURE_TIMEOUT)?;
        }
        self.retire();
        Ok(())
    }

    /// Settles pictures that are done, once there are enough of them for a batch, or no more than that in flight.
    fn retire_batches(&mut self) {
        let last = self.inflight.len().min(BATCH).checked_sub(1);
        if last.is_some_and(|last| self.inflight[last].record.point.is_reached())
            || self.inflight.len() < BATCH
        {
            self.retire();
        }
    }

    /// Settles all pictures that are done, up to the first in order of submission that is not.
    fn retire(&mut self) {
        loop {
            let done = self
                .inflight
                .iter()
                .take(BATCH)
                .take_while(|picture| picture.record.point.is_reached())
                .count();
            if done == 0 {
                return;
            }
            let mut lines = [[0; LINE]; BATCH];
            // All of them were mapped when the memory was cleared.
            hcq::load_lines(
                self.inflight.iter().take(done).flat_map(|picture| picture.record.memory.view()),
                &mut lines,
            );
            let mut settled = ArrayVec::<InFlight, BATCH>::new();
            for line in &lines[..done] {
                let picture = self.inflight.pop_front().expect("so many are done");
                self.settle(&picture.record, line, picture.bytes);
                settled.push(picture);
            }
            // At once: the instructions behind a counted reference wait for stores to GPU memory before them.
            for picture in &settled {
                if let Ok(view) = picture.record.memory.view() {
                    status::clear(view);
                }
            }
            self.status.free.extend(settled.iter().map(|picture| picture.slot));
            if self.inflight.is_empty() {
                self.context.set_busy(self.number, false);
            }
        }
    }

    /// Takes note of what became of a picture.
    fn settle(&mut self, record: &PictureRecord, line: &[u8; LINE], bytes: u64) {
        // Lets go of the pictures before.
        let (status, verdict) = record.judge(&mut record.lock(), line);
        let cycles = 16 * u64::from(status.cycle_count);
        self.finished.pictures += 1;
        self.finished.engine_cycles += cycles;
        match verdict {
            Ok(()) => self.costs.learn(record.blocks, bytes, cycles),
            Err(fault) => {
                self.finished.pictures_in_error += 1;
                if self.failed.len() == MAX_ERRORS {
                    self.failed.pop_front();
                }
                self.failed.push_back(Error::Picture { number: record.number, poc: record.poc, fault });
            }
        }
    }
}

impl StatusMemory {
    /// Bytes of GPU memory for `pictures` in flight.
    pub(crate) fn bytes(pictures: usize) -> u64 {
        let chunk = allocation_size(STATUS_SLOTS * STATUS_BYTES, Purpose::Status.placement());
        (pictures as u64).div_ceil(STATUS_SLOTS) * chunk
    }

    fn new(context: &Context) -> Result<Self> {
        let mut status = StatusMemory { chunks: Vec::new(), cleared: 0, free: VecDeque::new() };
        status.grow(context)?;
        Ok(status)
    }

    fn grow(&mut self, context: &Context) -> Result<()> {
        let memory = context.allocate(STATUS_SLOTS * STATUS_BYTES, Purpose::Status)?;
        let first = self.chunks.len() as u64 * STATUS_SLOTS;
        self.free.extend(first..first + STATUS_SLOTS);
        self.chunks.push(memory);
        Ok(())
    }

    fn take(&mut self, context: &Context) -> Result<StatusSlot> {
        if self.free.is_empty() {
            self.grow(context)?;
        }
        let number = self.free.pop_front().expect("just filled");
        let at = (number / STATUS_SLOTS) as usize;
        let chunk = &self.chunks[at];
        if self.cleared <= at {
            chunk.view()?.fill(0, chunk.size() as usize, 0);
            self.cleared = at + 1;
        }
        let memory = chunk.slice(number % STATUS_SLOTS * STATUS_BYTES, STATUS_BYTES);
        Ok(StatusSlot { memory, number })
    }
}

impl Drop for Session {
    /// The queues outlive the session; what it had on them does not.
    fn drop(&mut self) {
        self.context.device().reclaim();
        if !self.inflight.is_empty() {
            self.context.set_busy(self.number, false);
        }
    }
}

#[cfg(test)]
mod tests;
