//! [`Session`]: the codec-independent part of a decoder. Uploads, status, pictures in flight.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayVec;
use hcq::{EngineType, LINE, SyncPoint};

use crate::context::Context;
use crate::engines::{EngineSet, Engines, Priority};
use crate::error::{Error, Result};
use crate::job::PictureJob;
use crate::memory::status::{StatusMemory, StatusSlot};
use crate::memory::upload::UploadRing;
use crate::observe::{Observer, Submitted};
use crate::pictures::info::Shows;
use crate::pictures::integrity::{Refresh, Tally};
use crate::pictures::record::{Doubts, Identity, PictureRecord, Prospects};
use crate::queue::VideoQueue;
use crate::scheduler::Plan;
use crate::scheduler::cost::{CostModel, Time};
use crate::scheduler::share::{EngineStay, Member};
use crate::status::{self, PictureFault};
use crate::uses::Latest;

/// Errors kept for a caller who does not take them.
const MAX_ERRORS: usize = 1024;
/// How often the submission of a picture that finds its channel dead is tried on a new one.
const TRIES: u32 = 3;
/// How many channels a stream may kill before it is given up, since other streams lose pictures each time; and pictures that
/// come out until that is forgiven.
const MAX_STRIKES: u32 = 3;
const FORGIVEN: u32 = 10_000;
/// Pictures whose status is read at once. A read is a round trip over the bus, and these are under way together.
const BATCH: usize = 8;
/// Longest sleeps until pictures are done: where they may be done sooner than those before were, where not, and where it
/// matters at once.
const NAP: Duration = Duration::from_millis(25);
const LONG_NAP: Duration = Duration::from_millis(350);
const SHORT_NAP: Duration = Duration::from_millis(10);

/// One stream's use of the GPU: which engines, what is uploaded, what is in flight.
#[derive(Debug)]
pub(crate) struct Session {
    context: Arc<Context>,
    member: Member,
    engines: EngineSet,
    /// Most engines at a time.
    most: usize,
    _stay: Option<EngineStay>,
    priority: Priority,
    /// Opened when a picture is first planned on the engine.
    queues: Vec<Arc<VideoQueue>>,
    pub(crate) upload: UploadRing,
    status: StatusMemory,
    costs: CostModel,
    inflight: VecDeque<InFlight>,
    finished: Statistics,
    failed: VecDeque<Error>,
    /// Of pictures before this one no errors are kept.
    forgotten: u64,
    observer: Option<Box<dyn Observer>>,
    /// What the planned submission waits for; kept to be written into again.
    waits: Latest<SyncPoint>,
    /// How often a picture of the stream was what an engine died of, and pictures that came out since.
    strikes: u32,
    good: u32,
}

/// What bears on the integrity of a picture that is submitted.
pub(crate) struct Bearing<I> {
    /// What is known to be wrong with it.
    pub(crate) flaw: Option<PictureFault>,
    pub(crate) refresh: Refresh,
    /// What is to be thought of, if what it refers to is doubtful.
    pub(crate) doubts: Option<Box<Doubts>>,
    /// The records of the pictures that it is predicted from.
    pub(crate) predicted_from: I,
}

#[derive(Debug)]
struct InFlight {
    /// Number of its status memory.
    slot: u64,
    record: Arc<PictureRecord>,
    bytes: u64,
    /// Not one that is decoded to be compared with another.
    counts: bool,
}

/// How many pictures of a session are in flight before it waits for some of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InFlightLimit {
    /// While no other session's pictures stand behind them.
    pub(crate) alone: usize,
    /// While some may.
    pub(crate) crowded: usize,
    /// Pictures for each engine, and as many once more, that are left in flight when the host sleeps until the others are done,
    /// unless half of them are fewer.
    pub(crate) enough_left: usize,
}

/// Sums over the pictures of a session that are complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Pictures that the engine finished.
    pub pictures: u64,
    /// How they came out, and what became of the others.
    pub tally: Tally,
    /// Engine time in clock cycles.
    pub engine_cycles: u64,
    /// Bytes of slice data, start codes included.
    pub bitstream_bytes: u64,
}

impl Session {
    /// A session on `engines`.
    ///
    /// # Errors
    ///
    /// [`Error::Hardware`] if the GPU lacks one of the engines, [`Error::Gpu`] if it has no memory.
    pub(crate) fn new(context: &Arc<Context>, engines: Engines, priority: Priority) -> Result<Session> {
        let all: EngineSet = context.engines().iter().copied().collect();
        let (engines, stay) = match engines {
            Engines::All => (all, None),
            Engines::LeastBusy => {
                let (engine, stay) = context.share().settle(&context.load());
                (EngineSet::default().with(engine), Some(stay))
            }
            Engines::Set(set) => (context.check_engines(set)?, None),
        };
        // Which of several engines are needed is not known yet; a single one is, and what is wrong with it comes out now.
        let queues = match engines.iter().next() {
            Some(engine) if engines.len() == 1 => vec![context.video_queue(engine, priority)?],
            _ => Vec::new(),
        };
        Ok(Session {
            context: context.clone(),
            member: context.share().join(),
            most: usize::MAX,
            engines,
            _stay: stay,
            priority,
            queues,
            upload: UploadRing::new(context.memory())?,
            status: StatusMemory::new(context.memory())?,
            costs: CostModel::new(),
            inflight: VecDeque::new(),
            finished: Statistics::default(),
            failed: VecDeque::new(),
            forgotten: 0,
            observer: None,
            waits: Latest::default(),
            strikes: 0,
            good: 0,
        })
    }

    /// The engines that pictures may go to.
    pub(crate) fn engines(&self) -> EngineSet {
        self.engines
    }

    /// The engines that pictures go to at present: fewer, the more sessions have pictures in flight. And how many
    /// sessions these are.
    pub(crate) fn share(&mut self) -> (EngineSet, usize) {
        match self.engines.len() {
            1 => (self.engines, 1),
            _ => self.member.part(self.engines, self.most),
        }
    }

    /// Has pictures go to no more engines at a time: those that there is memory for.
    pub(crate) fn set_most(&mut self, engines: usize) {
        self.most = engines;
    }

    /// How many engines the session takes memory for: fewer, the more sessions there are.
    pub(crate) fn part_size(&self) -> usize {
        self.member.part_size(self.engines)
    }

    /// Which of the queues is that of `engine`, opened if need be.
    fn queue(&mut self, engine: EngineType) -> Result<usize> {
        let known = self.queues.iter().position(|queue| queue.engine() == engine);
        match known {
            Some(at) if self.queues[at].queue().check().is_ok() => Ok(at),
            // A dead one is replaced.
            Some(at) => {
                self.queues[at] = self.context.video_queue(engine, self.priority)?;
                Ok(at)
            }
            None => {
                self.queues.push(self.context.video_queue(engine, self.priority)?);
                Ok(self.queues.len() - 1)
            }
        }
    }

    /// Has all further submissions watched.
    pub(crate) fn observe(&mut self, observer: Box<dyn Observer>) {
        self.observer = Some(observer);
    }

    /// Sums over all complete pictures.
    pub(crate) fn statistics(&mut self) -> Statistics {
        self.retire();
        self.finished
    }

    /// The next picture that went wrong, in the order of submission.
    pub(crate) fn take_error(&mut self) -> Option<Error> {
        self.retire_batches();
        self.failed.pop_front()
    }

    /// Says nothing of pictures before `number` that went wrong, or will.
    pub(crate) fn forget_errors_before(&mut self, number: u64) {
        self.failed.clear();
        self.forgotten = number;
    }

    /// Status memory for a picture about to be submitted. Waits for older pictures if as many as `limit` are in flight.
    pub(crate) fn status_slot(&mut self, limit: InFlightLimit) -> Result<StatusSlot> {
        self.retire_batches();
        let engines = self.engines.len();
        let crowded = self.context.share().is_crowded(engines);
        let enough = limit.enough_left * (engines + 1);
        let limit = if crowded { limit.crowded } else { limit.alone };
        // On several engines, or shared ones, the pace of the last pictures says less of the next ones.
        let is_even = engines == 1 && !crowded && self.priority == Priority::Bulk;
        self.upload.set_waits(if is_even { (enough, LONG_NAP) } else { (usize::MAX, NAP) });
        if self.inflight.len() >= limit.max(1) {
            let channels = self.context.channels();
            // All but those that keep the engines busy meanwhile, or nearly, and for the last one first: waking up costs more
            // than looking.
            let left = (limit / 2).min(enough);
            let oldest = self.inflight.iter().take(1 + limit - left);
            // Of one engine the last picture says all.
            let last = if engines == 1 { 1 } else { usize::MAX };
            let (nap, slack) = match self.priority {
                Priority::Bulk if is_even => (LONG_NAP, left / 2),
                Priority::Bulk => (NAP, left / 4 / engines),
                // So few in flight leave no time to be late.
                Priority::Prompt => (SHORT_NAP, 0),
            };
            for picture in oldest.rev().take(last) {
                channels.wait_until_nearly_over(picture.record.point(), slack as u64, nap)?;
            }
            if let Some(picture) = self.inflight.front() {
                channels.wait_until_over(picture.record.point())?;
            }
            self.retire();
        }
        self.status.take(self.context.memory())
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
        let engines = self.share().0;
        self.context.scheduler().plan(engines, ready, cost)
    }

    /// Submits the picture that was planned last.
    pub(crate) fn submit<'a>(
        &mut self,
        job: &PictureJob<'_>,
        plan: Plan,
        slot: StatusSlot,
        picture: Identity,
        shows: Shows,
        bearing: Bearing<impl Iterator<Item = &'a Arc<PictureRecord>>>,
    ) -> Result<Arc<PictureRecord>> {
        self.waits.add_all(job.waits);
        let Bearing { flaw, refresh, doubts, predicted_from } = bearing;
        let prospects = Prospects::new(flaw, refresh, doubts, predicted_from, self.waits.as_slice());
        let (point, StatusSlot { memory, number: slot }) = self.enqueue(job, plan, slot)?;
        let bytes = picture.bytes;
        let record = PictureRecord::new(&picture, shows, memory, point, prospects);
        if let Some(observer) = &mut self.observer {
            observer.submitted(&Submitted { job, waits: self.waits.as_slice(), record: &record });
        }
        self.member.submitted(self.engines, plan.engine, record.point());
        self.inflight.push_back(InFlight { slot, record: record.clone(), bytes, counts: true });
        self.finished.bitstream_bytes += bytes;
        Ok(record)
    }

    /// Submits a picture once more, as `job` says, behind the one of `record` on the same engine. It counts for nothing, and nobody
    /// sees it.
    pub(crate) fn submit_twin(
        &mut self,
        job: &PictureJob<'_>,
        slot: StatusSlot,
        record: &PictureRecord,
        bytes: u64,
    ) -> Result<Arc<PictureRecord>> {
        self.waits.clear();
        job.add_uses(&mut self.waits);
        self.waits.add(record.point());
        let engine = record.point().timeline().engine();
        let cost = self.costs.estimate(record.blocks(), bytes);
        let plan = self.context.scheduler().plan(EngineSet::default().with(engine), 0, cost);
        let none = std::iter::empty();
        let prospects = Prospects::new(None, Refresh::default(), None, none, self.waits.as_slice());
        let (point, StatusSlot { memory, number: slot }) = self.enqueue(job, plan, slot)?;
        let twin = PictureRecord::twin(record, memory, point, prospects);
        self.member.submitted(self.engines, engine, twin.point());
        self.inflight.push_back(InFlight { slot, record: twin.clone(), bytes, counts: false });
        Ok(twin)
    }

    /// Hands a job to its queue; its status memory goes back if that fails.
    fn enqueue(
        &mut self,
        job: &PictureJob<'_>,
        plan: Plan,
        slot: StatusSlot,
    ) -> Result<(SyncPoint, StatusSlot)> {
        match self.try_enqueue(job, plan) {
            Ok(point) => Ok((point, slot)),
            Err(error) => {
                self.abandon(slot);
                Err(error)
            }
        }
    }

    fn try_enqueue(&mut self, job: &PictureJob<'_>, plan: Plan) -> Result<SyncPoint> {
        if self.strikes >= MAX_STRIKES {
            return Err(Error::GivenUp { strikes: self.strikes });
        }
        let mut tries = 0;
        loop {
            tries += 1;
            let queue = self.queue(plan.engine)?;
            match job.submit_planned(&self.queues[queue], plan.finish, &self.waits) {
                Ok(point) => {
                    self.context.scheduler().submitted(plan, &point);
                    return Ok(point);
                }
                // The channel is lost, the engine is not.
                Err(Error::Gpu(error)) if tries < TRIES && self.context.channels().can_be_mended(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives status memory back when its picture was not submitted after all.
    pub(crate) fn abandon(&mut self, slot: StatusSlot) {
        self.status.give_back([slot.number]);
    }

    /// Waits for all pictures in flight.
    pub(crate) fn finish(&mut self) -> Result<()> {
        for picture in self.inflight.iter().rev() {
            self.context.channels().wait_until_over(picture.record.point())?;
        }
        self.retire();
        Ok(())
    }

    /// Settles pictures that are done, once there are enough of them for a batch, or no more than that in flight.
    fn retire_batches(&mut self) {
        let last = self.inflight.len().min(BATCH).checked_sub(1);
        if last.is_some_and(|last| self.inflight[last].record.point().is_reached())
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
                .take_while(|picture| picture.record.point().is_reached())
                .count();
            if done == 0 {
                return;
            }
            let mut lines = [[0; LINE]; BATCH];
            // All of them were mapped when the memory was cleared.
            hcq::load_lines(
                self.inflight.iter().take(done).flat_map(|picture| picture.record.memory().view()),
                &mut lines,
            );
            let mut settled = ArrayVec::<InFlight, BATCH>::new();
            for line in &lines[..done] {
                let picture = self.inflight.pop_front().expect("so many are done");
                self.settle(&picture, line);
                settled.push(picture);
            }
            // At once: the instructions behind a counted reference wait for stores to GPU memory before them.
            for picture in &settled {
                if let Ok(view) = picture.record.memory().view() {
                    status::clear(view);
                }
            }
            self.status.give_back(settled.iter().map(|picture| picture.slot));
            if self.inflight.is_empty() {
                self.member.ended();
            }
        }
    }

    /// Takes note of what became of a picture.
    fn settle(&mut self, picture: &InFlight, line: &[u8; LINE]) {
        let InFlight { record, bytes, counts, .. } = picture;
        let outcome = record.settle(line);
        let cycles = 16 * u64::from(outcome.status.cycle_count);
        if *counts {
            self.finished.pictures += 1;
            self.finished.engine_cycles += cycles;
            self.finished.tally.count(outcome.integrity);
        }
        match outcome.fault() {
            None => {
                self.costs.learn(record.blocks(), *bytes, cycles);
                self.good = self.good.saturating_add(1);
                if self.good == FORGIVEN {
                    self.strikes = 0;
                }
            }
            Some(fault) => {
                // The engine was at work on this one when its channel died.
                if fault == PictureFault::ChannelLost
                    && record.point().timeline().ended_at() == Some(record.point().value() - 1)
                {
                    self.strikes += 1;
                    self.good = 0;
                }
                if record.number < self.forgotten || !counts {
                    return;
                }
                if self.failed.len() == MAX_ERRORS {
                    self.failed.pop_front();
                }
                self.failed.push_back(Error::Picture { number: record.number, poc: record.poc, fault });
            }
        }
    }
}

impl Drop for Session {
    /// The queues outlive the session; what it had on them does not.
    fn drop(&mut self) {
        self.context.device().reclaim();
    }
}

#[cfg(test)]
mod tests;
