//! [`Session`]: the codec-independent part of a decoder. Uploads, status, pictures in flight.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arrayvec::ArrayVec;
use hcq::{DeviceBuffer, EngineType, LINE, SyncPoint, allocation_size};

use crate::context::{Context, Lane, Settled};
use crate::error::{Error, Result};
use crate::job::PictureJob;
use crate::motion::PLACES;
use crate::queue::{Submission, VideoQueue};
use crate::recycle::{Lease, Purpose};
use crate::scheduler::{CostModel, EngineSet, Plan};
use crate::status::{self, DecodeStatus, PictureFault, STATUS_BYTES};
use crate::upload::UploadRing;
use crate::uses::Latest;

/// Errors kept for a caller who does not take them.
const MAX_ERRORS: usize = 1024;
/// Pictures that status memory is allocated for at once.
const STATUS_SLOTS: u64 = 64;
/// Pictures whose status is read at once. A read is a round trip over the bus, and these are under way together.
const BATCH: usize = 8;
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
    slot: DeviceBuffer,
    record: Arc<PictureRecord>,
    bytes: u64,
}

/// Where engines leave their verdicts. In GPU memory: an engine reads and writes it several times a picture, the host
/// once.
#[derive(Debug)]
pub(crate) struct StatusMemory {
    chunks: Vec<Lease>,
    free: Vec<DeviceBuffer>,
}

/// Watches what a session submits, for tools that record it.
pub trait Observer: std::fmt::Debug + Send {
    /// A picture was submitted.
    ///
    /// The host memory among the job's buffers keeps what the engine reads from it until this returns, and the
    /// surfaces stay what they are for as long as the observer holds them and says until when it reads them
    /// ([`Surface::use_until`](crate::Surface::use_until)).
    fn submitted(&mut self, job: &PictureJob, submission: &Submission, record: &Arc<PictureRecord>);
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
    point: OnceLock<SyncPoint>,
    lost: Mutex<Lost>,
    /// Whether it goes down with its own engine or not at all.
    is_alone: bool,
    /// Whether it is known that it did not.
    is_safe: AtomicBool,
    outcome: OnceLock<(DecodeStatus, Result<(), PictureFault>)>,
}

impl PictureRecord {
    /// The engine's status and verdict, or `None` while the engine is at work.
    pub fn outcome(&self) -> Option<(DecodeStatus, Result<(), PictureFault>)> {
        if let Some(outcome) = self.outcome.get() {
            return Some(*outcome);
        }
        let memory = self.memory.view().ok().filter(|_| self.is_done())?;
        // The session reads through the same cell before it gives the memory to another picture.
        Some(*self.outcome.get_or_init(|| {
            let mut line = [[0; LINE]];
            hcq::load_lines([memory], &mut line);
            self.judge(&line[0])
        }))
    }

    /// Whether the engine has come to the end of the picture.
    fn is_done(&self) -> bool {
        self.point.get().is_some_and(SyncPoint::is_reached)
    }

    /// The outcome of a picture that is done, by its status.
    fn judge(&self, line: &[u8; LINE]) -> (DecodeStatus, Result<(), PictureFault>) {
        let (status, verdict) = status::read(line, self.blocks);
        let lost = verdict.is_ok() && self.is_lost();
        (status, if lost { Err(PictureFault::ReferenceLost) } else { verdict })
    }

    /// Whether the picture, or one that it depends on, went down with its engine. An engine that was not concerned
    /// decodes from whatever lies where the reference should be, and finds no fault with it. For pictures whose point
    /// is reached.
    fn is_lost(&self) -> bool {
        if self.is_safe.load(Ordering::Acquire) {
            return false;
        }
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let is_lost = match &*lost {
            Lost::Known(is_lost) => return *is_lost,
            // A reached point has to be waited for no longer, but tells when its timeline is dead.
            Lost::IfAnyOf(references) => {
                self.point.get().is_some_and(|point| point.wait(Duration::ZERO).is_err())
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

    /// A record with status memory for a picture about to be submitted to `engine`. Waits for older pictures if `limit`
    /// are in flight.
    pub(crate) fn record<'a>(
        &mut self,
        engine: EngineType,
        number: u64,
        poc: i32,
        blocks: u32,
        references: impl Iterator<Item = &'a Arc<PictureRecord>>,
        limit: usize,
    ) -> Result<Arc<PictureRecord>> {
        let queue = self.queue(engine)?;
        self.retire_batches();
        if self.inflight.len() >= limit.max(1) {
            // Half of them at once, or nearly, and for the last one first: waking up costs more than looking.
            let oldest = self.inflight.iter().take(1 + limit / 2);
            // So few in flight leave no time to be late.
            let slack = match self.lane {
                Lane::Bulk => limit as u64 / 8 / self.engines.len() as u64,
                Lane::Prompt => 0,
            };
            for point in oldest.rev().filter_map(|picture| picture.record.point.get()) {
                point.wait_near(slack, PICTURE_TIMEOUT)?;
            }
            if let Some(point) = self.inflight.front().and_then(|picture| picture.record.point.get()) {
                point.wait(PICTURE_TIMEOUT)?;
            }
            self.retire();
        }
        let memory = self.status.take(&self.context)?;
        status::clear(memory.view()?);
        // Of those on its own timeline it need not know: what kills them kills what comes behind them.
        let timeline = self.queues[queue].queue().timeline();
        let elsewhere = |record: &&Arc<PictureRecord>| {
            let point = record.point.get().filter(|point| Arc::ptr_eq(point.timeline(), timeline));
            !record.is_alone || point.is_none()
        };
        let references: References = references.filter(elsewhere).cloned().collect();
        Ok(Arc::new(PictureRecord {
            number,
            poc,
            blocks,
            memory,
            point: OnceLock::new(),
            is_alone: references.is_empty(),
            lost: Mutex::new(Lost::IfAnyOf(references)),
            is_safe: AtomicBool::new(false),
            outcome: OnceLock::new(),
        }))
    }

    /// GPU memory of a record's status.
    pub(crate) fn status_buffer(record: &PictureRecord) -> DeviceBuffer {
        record.memory.clone()
    }

    /// Chooses the engine for a job whose surfaces and motion vectors are filled in, to be submitted next.
    pub(crate) fn plan(&mut self, job: &PictureJob, blocks: u32, bytes: u64) -> Plan {
        let cost = self.costs.estimate(blocks, bytes);
        self.waits.clear();
        let ready = job.add_uses(&mut self.waits);
        self.context.scheduler().plan(self.share().0, ready, cost)
    }

    /// Submits the picture that was planned last. Its job has no buffers any more.
    pub(crate) fn submit(
        &mut self,
        job: &mut PictureJob,
        plan: Plan,
        record: &Arc<PictureRecord>,
        bytes: u64,
    ) -> Result<SyncPoint> {
        // What is lost with one engine is lost to the pictures on all others.
        for queue in &self.queues {
            queue.queue().check()?;
        }
        let queue = self.queue(plan.engine)?;
        // Without observers nobody asks for the buffers again.
        let buffers = match self.observer {
            None => std::mem::take(&mut job.buffers),
            Some(_) => job.buffers.clone(),
        };
        let (point, buffers) =
            self.queues[queue].submit_planned(job, buffers, plan.finish, &mut self.waits)?;
        self.context.scheduler().submitted(plan, point.clone());
        // Observers may ask for the outcome at once.
        record.point.set(point.clone()).expect("a record is submitted once");
        match &mut self.observer {
            None => job.buffers = buffers,
            Some(observer) => {
                let waits = self.waits.as_slice().to_vec();
                observer.submitted(job, &Submission { point: point.clone(), waits }, record);
            }
        }
        if self.inflight.is_empty() {
            self.context.set_busy(self.number, true);
        }
        self.inflight.push_back(InFlight { slot: record.memory.clone(), record: record.clone(), bytes });
        self.finished.bitstream_bytes += bytes;
        Ok(point)
    }

    /// Gives a record's status memory back when its picture was not submitted after all.
    pub(crate) fn abandon(&mut self, record: &PictureRecord) {
        self.status.free.push(record.memory.clone());
    }

    /// Waits for all pictures in flight.
    pub fn finish(&mut self) -> Result<()> {
        for point in self.inflight.iter().rev().filter_map(|picture| picture.record.point.get()) {
            point.wait(PICTURE_TIMEOUT)?;
        }
        self.retire();
        Ok(())
    }

    /// Settles pictures that are done, once there are enough of them for a batch, or no more than that in flight.
    fn retire_batches(&mut self) {
        let last = self.inflight.len().min(BATCH).checked_sub(1);
        if last.is_some_and(|last| self.inflight[last].record.is_done()) || self.inflight.len() < BATCH {
            self.retire();
        }
    }

    /// Settles all pictures that are done, up to the first in order of submission that is not.
    fn retire(&mut self) {
        loop {
            let done =
                self.inflight.iter().take(BATCH).take_while(|picture| picture.record.is_done()).count();
            if done == 0 {
                return;
            }
            let mut lines = [[0; LINE]; BATCH];
            // All of them were mapped when they were cleared.
            hcq::load_lines(
                self.inflight.iter().take(done).flat_map(|picture| picture.slot.view()),
                &mut lines,
            );
            for line in &lines[..done] {
                let InFlight { record, bytes, slot } = self.inflight.pop_front().expect("so many are done");
                self.settle(&record, line, bytes);
                self.status.free.push(slot);
            }
            if self.inflight.is_empty() {
                self.context.set_busy(self.number, false);
            }
        }
    }

    /// Takes note of what became of a picture.
    fn settle(&mut self, record: &PictureRecord, line: &[u8; LINE], bytes: u64) {
        let (status, verdict) = *record.outcome.get_or_init(|| record.judge(line));
        // Settles it, and lets go of the pictures before.
        record.is_lost();
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
        let mut status = StatusMemory { chunks: Vec::new(), free: Vec::new() };
        status.grow(context)?;
        Ok(status)
    }

    fn grow(&mut self, context: &Context) -> Result<()> {
        let memory = context.allocate(STATUS_SLOTS * STATUS_BYTES, Purpose::Status)?;
        self.free.extend((0..STATUS_SLOTS).rev().map(|slot| memory.slice(slot * STATUS_BYTES, STATUS_BYTES)));
        self.chunks.push(memory);
        Ok(())
    }

    fn take(&mut self, context: &Context) -> Result<DeviceBuffer> {
        if self.free.is_empty() {
            self.grow(context)?;
        }
        Ok(self.free.pop().expect("just filled"))
    }
}

impl Drop for Session {
    /// The queues outlive the session; what it had on them does not.
    fn drop(&mut self) {
        for queue in &self.queues {
            queue.queue().trim();
        }
        self.context.trim();
        if !self.inflight.is_empty() {
            self.context.set_busy(self.number, false);
        }
    }
}

#[cfg(test)]
mod tests;
