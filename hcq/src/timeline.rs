//! Timelines: a counter in memory that only grows. Engines release and acquire its values; the host looks.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use nvkernel_sys::engine::EngineType;

use crate::address_space::DeviceInner;
use crate::channel::Channel;
use crate::engine::EngineRow;
use crate::error::{Error, Result};
use crate::event::OsEvent;
use crate::fault::ChannelFault;
use crate::in_flight::{MAX_QUEUES, Progress};
use crate::kernel::EventWait;
use crate::memory::{DeviceBuffer, WordPoint};

/// Bytes of a semaphore record: payload at 0, time stamp in nanoseconds at 8.
pub const SEMAPHORE_BYTES: u64 = 16;
/// How long a host wait polls memory before it sleeps, unless the timeline's pace says that it will take longer: a
/// processor that polls does nothing else, and going to sleep costs about as much.
const SPIN: Duration = Duration::from_micros(20);
/// How long a wait goes on before it asks whether the GPU is still there.
const LOSS: Duration = Duration::from_millis(20);
/// Shortest and longest sleep before memory and the error notifier are looked at again. An event ends a sleep
/// early; where there is none, sleeps are as long as the timeline's pace lets expect, or double.
const SLICES: (Duration, Duration) = (Duration::from_micros(50), Duration::from_millis(10));
/// Steps of a timeline that a wait need not be on time for.
const MANY: u64 = 8;

/// A timeline semaphore: 32 bits in device-visible memory, 64 bits to the host.
///
/// NVDEC classes of the Turing line release 32-bit payloads only, so memory holds the low half. Values grow
/// by one per submission and at most a ring's worth is outstanding, hence the upper half is never in doubt,
/// and engines compare circularly.
#[derive(Debug)]
pub struct Timeline {
    id: u64,
    semaphore: DeviceBuffer,
    engine: EngineType,
    /// Highest value seen in memory.
    reached: AtomicU64,
    /// Whether the engine's interrupt reaches a process.
    interrupts: bool,
    /// What a release raises then, once [armed](Self::arm); `Some(None)` if it could not be made. Where there is none, waits nap: who
    /// waits asks the driver for nothing, which may be recovering an engine and answer when that is over.
    event: OnceLock<Option<OsEvent>>,
    sleepers: Mutex<Sleepers>,
    awake: Condvar,
    channel: OnceLock<Weak<Channel>>,
    /// Highest value that some submission will release.
    submitted: AtomicU64,
    /// Nanoseconds that a step took when a wait last looked, 0 before that.
    pace: AtomicU64,
    waits: Mutex<Waits>,
    /// The value at which it was seen to stand still.
    standing: Mutex<Option<Standing>>,
    dead: OnceLock<Death>,
    device: Arc<DeviceInner>,
}

/// The end of a timeline whose channel died.
#[derive(Debug)]
struct Death {
    /// The last value that the engine released.
    reached: u64,
    fault: ChannelFault,
}

/// What the submissions in flight wait for.
#[derive(Debug, Default)]
struct Waits {
    timelines: Vec<Weak<Timeline>>,
    /// In order of submission. Timelines are numbers of those above: to count references for each submission would take
    /// instructions that wait for all stores before them.
    acquires: VecDeque<Acquire>,
    /// Of words that are no timeline's: submission, and the word. In order as well.
    words: VecDeque<(u64, AwaitedWord)>,
}

/// A [`SharedWord`](crate::SharedWord) that a queue waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AwaitedWord {
    /// Its GPU address, by which to find it: that of its [`buffer`](crate::SharedWord::buffer).
    pub address: u64,
    /// The value that it has to reach.
    pub value: u32,
}

impl From<&WordPoint> for AwaitedWord {
    fn from(point: &WordPoint) -> AwaitedWord {
        AwaitedWord { address: point.word().buffer().gpu_address(), value: point.value() }
    }
}

/// A submission's wait for another timeline.
#[derive(Clone, Copy, Debug)]
struct Acquire {
    submission: u64,
    timeline: usize,
    value: u64,
}

impl Waits {
    /// The number of a timeline.
    fn number(&mut self, timeline: &Arc<Timeline>) -> usize {
        let known = |known: &Weak<Timeline>| std::ptr::eq(known.as_ptr(), Arc::as_ptr(timeline));
        if let Some(number) = self.timelines.iter().position(known) {
            return number;
        }
        // Of timelines that are gone all is over; their numbers are free once no submission waits for them.
        let is_free = |number: &usize| {
            self.timelines[*number].strong_count() == 0 && self.acquires.iter().all(|a| a.timeline != *number)
        };
        let number = (0..self.timelines.len()).find(is_free).unwrap_or(self.timelines.len());
        if number == self.timelines.len() {
            self.timelines.push(Weak::new());
        }
        self.timelines[number] = Arc::downgrade(timeline);
        number
    }

    /// What `submission` still waits for.
    fn of(&self, submission: u64) -> Option<Arc<Timeline>> {
        let acquires = self.acquires.iter().skip_while(|acquire| acquire.submission < submission);
        let acquires = acquires.take_while(|acquire| acquire.submission == submission);
        let waits = acquires.filter_map(|a| Some((self.timelines[a.timeline].upgrade()?, a.value)));
        waits.into_iter().find(|(timeline, value)| timeline.reached() < *value).map(|(timeline, _)| timeline)
    }
}

/// How long nothing has moved.
#[derive(Clone, Copy, Debug)]
struct Standing {
    reached: u64,
    since: Instant,
    /// Whether somebody waited for it for as long as they would.
    stalled: bool,
}

/// How long a wait goes on. A plain duration is one in [`Total`](Self::Total).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Patience {
    /// For so long, whatever happens: then it ends with [`Error::Timeout`].
    Total(Duration),
    /// As long as the work goes on, however much of it there is. When the engine that holds it up, which may be another
    /// one than that which is waited for, has made no progress for so long, it ends with [`Error::Stalled`], which
    /// names that engine. To be longer than the longest submission takes.
    WithoutProgress(Duration),
}

impl From<Duration> for Patience {
    fn from(total: Duration) -> Patience {
        Patience::Total(total)
    }
}

/// A [`Patience`], and whether what stalled another wait ends this one at once.
#[derive(Clone, Copy, Debug)]
struct Limit {
    patience: Patience,
    trusts_others: bool,
}

impl From<Patience> for Limit {
    fn from(patience: Patience) -> Limit {
        Limit { patience, trusts_others: false }
    }
}

#[derive(Debug, Default)]
struct Sleepers {
    /// One thread polls the event for all: a poll consumes the flag that the others wait for.
    polling: bool,
}

impl Timeline {
    pub(crate) fn new(
        device: &Arc<DeviceInner>,
        engine: EngineType,
        row: &EngineRow,
        semaphore: DeviceBuffer,
    ) -> Result<Arc<Self>> {
        semaphore.view()?.fill(0, SEMAPHORE_BYTES as usize, 0);
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Ok(Arc::new(Timeline {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            semaphore,
            engine,
            reached: AtomicU64::new(0),
            interrupts: row.interrupts,
            event: OnceLock::new(),
            sleepers: Mutex::default(),
            awake: Condvar::new(),
            channel: OnceLock::new(),
            submitted: AtomicU64::new(0),
            pace: AtomicU64::new(0),
            waits: Mutex::default(),
            standing: Mutex::default(),
            dead: OnceLock::new(),
            device: device.clone(),
        }))
    }

    /// Has waits that sleep woken by the engine's interrupt, if it reaches a process. The driver is asked once, also if it refuses.
    pub(crate) fn arm(&self) {
        if self.interrupts {
            self.event.get_or_init(|| {
                let event = OsEvent::new(&self.device, self.engine);
                event.inspect_err(|error| log::debug!("waits for {} nap: {error}", self.engine)).ok()
            });
        }
    }

    /// Names the channel whose error notifier a wait looks at.
    pub(crate) fn watch(&self, channel: &Arc<Channel>) {
        // Set once by the queue that owns both.
        let _ = self.channel.set(Arc::downgrade(channel));
    }

    /// Notes that a submission is about to release `value` behind acquires of points of other timelines, and of words
    /// that are none's.
    pub(crate) fn submitting<'a>(
        &self,
        value: u64,
        acquires: impl Iterator<Item = &'a SyncPoint>,
        words: &[WordPoint],
    ) {
        let mut acquires = acquires.peekable();
        if !words.is_empty() {
            let mut waits = self.waits();
            let reached = self.reached.load(Ordering::Relaxed);
            while waits.words.pop_front_if(|(submission, _)| *submission <= reached).is_some() {}
            waits.words.extend(words.iter().map(|point| (value, AwaitedWord::from(point))));
        }
        if acquires.peek().is_some() {
            let mut waits = self.waits();
            let reached = self.reached.load(Ordering::Relaxed);
            while waits.acquires.pop_front_if(|acquire| acquire.submission <= reached).is_some() {}
            for point in acquires {
                let timeline = waits.number(&point.timeline);
                waits.acquires.push_back(Acquire { submission: value, timeline, value: point.value });
            }
        }
        // Last: a submission that is known has its waits noted.
        self.submitted.store(value, Ordering::Release);
    }

    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The words outside that the submission waits for which comes next on the timeline, whether they were written
    /// meanwhile or not; none if it waits for none, or if there is none. For a queue that has
    /// [stalled](Error::Stalled): then it stands at one of them, or in its work behind them.
    pub fn waits_outside(&self) -> Vec<AwaitedWord> {
        let next = self.reached() + 1;
        let waits = self.waits();
        waits.words.iter().filter(|(submission, _)| *submission == next).map(|(_, word)| *word).collect()
    }

    /// A number that no other timeline of this process has.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// GPU address of the semaphore.
    pub(crate) fn gpu_address(&self) -> u64 {
        self.semaphore.gpu_address()
    }

    /// The memory behind the semaphore, to be kept alive by those who acquire it.
    pub(crate) fn buffer(&self) -> &DeviceBuffer {
        &self.semaphore
    }

    /// The device that the timeline belongs to.
    #[inline]
    pub(crate) fn device(&self) -> &Arc<DeviceInner> {
        &self.device
    }

    /// The engine that releases the timeline.
    pub fn engine(&self) -> EngineType {
        self.engine
    }

    /// The highest value that was released so far, never more than was submitted. A dead timeline counts as having
    /// reached all it ever will, so that nothing waits for it; only [`SyncPoint::wait`] tells the difference.
    #[inline]
    pub fn reached(&self) -> u64 {
        let seen = self.reached.load(Ordering::Relaxed);
        // It is asked some thirty times for each picture: what can fail is over since the semaphore was cleared.
        let Some(word) = self.semaphore.first_word() else { return seen };
        let ahead = word.wrapping_sub(seen as u32);
        // A stale read of memory after another thread's newer one looks like a huge step: it is none.
        if ahead == 0 || ahead >= 1 << 31 {
            return seen;
        }
        let now = seen + u64::from(ahead);
        // A value that no submission will release was written by something that went astray: it completes nothing.
        if now > self.submitted.load(Ordering::Acquire) {
            return seen;
        }
        self.reached.fetch_max(now, Ordering::Release).max(now)
    }

    /// The last value that the engine released, if the channel is known to be dead.
    pub fn ended_at(&self) -> Option<u64> {
        self.dead.get().map(|death| death.reached)
    }

    /// Time stamp of the last release in nanoseconds of the GPU's clock, if the engine writes them.
    pub fn last_timestamp(&self) -> Result<u64> {
        Ok(self.semaphore.view()?.load_u64(8))
    }

    /// Whether it was found to stand still for good.
    #[inline]
    pub(crate) fn is_dead(&self) -> bool {
        self.dead.get().is_some()
    }

    /// Why the timeline stands still for good, if it does. The first to find out releases everything that was
    /// submitted, so that other queues do not wait for what will never come.
    pub fn fault(&self) -> Option<ChannelFault> {
        let fault = match self.dead.get() {
            Some(death) => death.fault.clone(),
            None => self.channel.get()?.upgrade()?.fault()?,
        };
        self.end(fault);
        self.dead.get().map(|death| death.fault.clone())
    }

    /// Ends the timeline, unless it has ended before, and releases everything that was submitted. The engine writes no
    /// more.
    pub(crate) fn end(&self, fault: ChannelFault) {
        self.dead.get_or_init(|| Death { reached: self.reached(), fault });
        // Each time, since a submission may have slipped in between.
        if let Ok(view) = self.semaphore.view() {
            view.store(0, self.submitted.load(Ordering::Acquire) as u32);
        }
    }

    /// The timeline that holds this one up: itself, unless its next submission waits for another one, and so on. Looks
    /// on the way whether any of them is dead, which releases what waits for it.
    ///
    /// A wait is for what was submitted before, so the way leads to ever earlier submissions and to no timeline twice.
    fn culprit(self: &Arc<Self>) -> Arc<Timeline> {
        let mut at = self.clone();
        for _ in 0..MAX_QUEUES {
            if at.fault().is_some() {
                break;
            }
            let next = at.reached() + 1;
            let waits_for = at.waits().of(next);
            match waits_for {
                Some(timeline) => at = timeline,
                None => break,
            }
        }
        at
    }

    /// For how long the timeline is known to stand at the value where it is, from the first call that finds it there;
    /// and whether somebody gave it up there. For timelines that have work to do.
    fn standing(&self) -> Standing {
        let reached = self.reached();
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let known = standing.filter(|standing| standing.reached == reached);
        *standing.insert(known.unwrap_or_else(|| Standing { reached, since: Instant::now(), stalled: false }))
    }

    /// How much longer a wait for `value` may go on that began `waited` ago.
    fn left(&self, value: u64, culprit: &Timeline, limit: Limit, waited: Duration) -> Result<Duration> {
        let standing = culprit.standing();
        let left = match limit.patience {
            Patience::Total(timeout) => timeout.checked_sub(waited),
            Patience::WithoutProgress(_) if limit.trusts_others && standing.stalled => None,
            Patience::WithoutProgress(bound) => bound.checked_sub(standing.since.elapsed()),
        };
        if let Some(left) = left.filter(|left| !left.is_zero()) {
            return Ok(left);
        }
        if let Patience::Total(_) = limit.patience {
            let (engine, reached) = (self.engine.to_string(), self.reached());
            return Err(Error::Timeout { engine, point: value, reached, waited });
        }
        let mut known = culprit.standing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_mut().filter(|known| known.reached == standing.reached) {
            known.stalled = true;
        }
        Err(Error::Stalled {
            engine: culprit.engine,
            timeline: culprit.id,
            reached: standing.reached,
            standing: standing.since.elapsed(),
        })
    }

    /// What became of `value` on a dead timeline.
    fn verdict(&self, value: u64) -> Option<Result<()>> {
        let death = self.dead.get()?;
        Some(if value <= death.reached {
            Ok(())
        } else {
            Err(Error::ChannelFault { engine: self.engine.to_string(), fault: death.fault.clone() })
        })
    }

    /// Waits until `value` is reached, or no more than `slack` steps are missing, and sleeps for `nap` at a time at
    /// most. Returns at once with the fault if the channel is dead.
    fn wait(self: &Arc<Self>, value: u64, slack: u64, nap: Duration, limit: Limit) -> Result<()> {
        if let Some(verdict) = self.verdict(value) {
            return verdict;
        }
        let near = value.saturating_sub(slack);
        let first = self.reached();
        if first >= near {
            return self.verdict(value).unwrap_or(Ok(()));
        }
        let start = Instant::now();
        let stamp = self.released_at(first);
        let soon = self.expect(first, value).is_none_or(|time| time < SPIN);
        let (Patience::Total(longest) | Patience::WithoutProgress(longest)) = limit.patience;
        if soon && self.poll(near, SPIN.min(longest)) {
            return self.verdict(value).unwrap_or(Ok(()));
        }
        let mut slice = SLICES.0;
        loop {
            let culprit = self.culprit();
            // What was submitted to a dead channel counts as reached now.
            let reached = self.reached();
            if reached >= near {
                return self.verdict(value).unwrap_or(Ok(()));
            }
            let waited = start.elapsed();
            let left = self.left(value, &culprit, limit, waited)?;
            // It may be the last one's to free memory: not to be held while asleep.
            drop(culprit);
            if waited > LOSS && self.device.is_lost() {
                return Err(Error::GpuLost);
            }
            let expected = self.expect(reached, value);
            let time = expected.map_or(slice.min(SLICES.1), |time| time.min(nap)).max(SLICES.0);
            self.sleep(near, left.min(time))?;
            slice = 2 * time;
            let reached = self.reached();
            // The engine was done before the host looked, if it overslept, and may have begun long after the step before.
            let waited = start.elapsed().as_nanos() as u64;
            let worked = stamp.zip(self.released_at(reached)).map(|(from, to)| to.saturating_sub(from));
            let took = worked.filter(|&time| time > 0).map_or(waited, |time| time.min(waited));
            if let Some(pace) = took.checked_div(reached - first) {
                self.pace.store(pace, Ordering::Relaxed);
            }
        }
    }

    /// When the engine released `value`, in nanoseconds of its clock, if it writes that and released nothing since.
    fn released_at(&self, value: u64) -> Option<u64> {
        let stamp = self.last_timestamp().ok()?;
        (stamp > 0 && self.reached() == value).then_some(stamp)
    }

    /// Waits until `value` is reached, for a queue that ends: while there is progress, but not for what another wait
    /// has given up.
    pub(crate) fn drain(self: &Arc<Self>, value: u64, stall: Duration) -> Result<()> {
        let limit = Limit { patience: Patience::WithoutProgress(stall), trusts_others: true };
        self.wait(value, 0, SLICES.1, limit)
    }

    /// As [`wait`](Self::wait), without sleeping.
    fn spin(self: &Arc<Self>, value: u64, limit: Limit) -> Result<()> {
        let start = Instant::now();
        let (Patience::Total(mut left) | Patience::WithoutProgress(mut left)) = limit.patience;
        loop {
            if self.poll(value, left.min(LOSS)) {
                return self.verdict(value).unwrap_or(Ok(()));
            }
            let culprit = self.culprit();
            if self.reached() >= value {
                continue; // the channel is dead
            }
            if self.device.is_lost() {
                return Err(Error::GpuLost);
            }
            left = self.left(value, &culprit, limit, start.elapsed())?;
        }
    }

    /// Polls memory until `value` is reached or `time` is over. Whether it was.
    fn poll(&self, value: u64, time: Duration) -> bool {
        let start = Instant::now();
        loop {
            // A clock takes longer to read than memory does.
            for _ in 0..16 {
                if self.reached() >= value {
                    return true;
                }
                std::hint::spin_loop();
            }
            if start.elapsed() >= time {
                return false;
            }
        }
    }

    /// How long to sleep until `value` is reached, as long as its steps should take by those before. A little less if
    /// there are few: whoever waits for the next step wants to know of it at once, whoever waits for many is served by
    /// waking up once, which may take as much of the processor as all the rest of a submission.
    fn expect(&self, reached: u64, value: u64) -> Option<Duration> {
        let pace = self.pace.load(Ordering::Relaxed);
        let steps = value - reached;
        let nanos = pace.saturating_mul(steps);
        (pace > 0).then(|| Duration::from_nanos(if steps < MANY { nanos / 8 * 7 } else { nanos }))
    }

    /// Sleeps for at most `slice`, or until something happened on the engine, if there is an event that tells. Not if `value` is
    /// reached.
    fn sleep(&self, value: u64, slice: Duration) -> Result<()> {
        let mut sleepers = self.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
        if sleepers.polling {
            let _ = self.awake.wait_timeout(sleepers, slice).unwrap_or_else(PoisonError::into_inner);
            return Ok(());
        }
        sleepers.polling = true;
        drop(sleepers);
        let outcome = match self.event.get().and_then(Option::as_ref) {
            // Another thread may have taken the flag that the release raised: look once more.
            Some(_) if self.reached() >= value => Ok(EventWait::Signalled),
            Some(event) => event.wait(slice),
            None => {
                std::thread::sleep(slice);
                Ok(EventWait::TimedOut)
            }
        };
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner).polling = false;
        self.awake.notify_all();
        match outcome {
            Ok(EventWait::Lost) => Err(Error::GpuLost),
            Ok(_) => Ok(()),
            Err(source) => Err(Error::Ioctl { operation: "poll of the engine's event".to_owned(), source }),
        }
    }
}

impl Progress for Timeline {
    fn reached(&self) -> u64 {
        self.reached()
    }

    /// Counts for what holds the timeline up, if it has work to do.
    fn observe(self: Arc<Self>) {
        if self.reached() < self.submitted.load(Ordering::Acquire) {
            self.culprit().standing();
        }
    }

    fn wait_for(self: Arc<Self>, value: u64, standing: Duration) -> Result<()> {
        self.wait(value, 0, SLICES.1, Limit::from(Patience::WithoutProgress(standing)))
    }
}

/// A point on a timeline: work up to it is done once the timeline reaches or passes it.
pub struct SyncPoint {
    timeline: Arc<Timeline>,
    value: u64,
}

impl Clone for SyncPoint {
    fn clone(&self) -> Self {
        SyncPoint { timeline: self.timeline.clone(), value: self.value }
    }

    /// A later point of the same timeline costs nothing but its value.
    fn clone_from(&mut self, source: &Self) {
        if !Arc::ptr_eq(&self.timeline, &source.timeline) {
            self.timeline = source.timeline.clone();
        }
        self.value = source.value;
    }
}

impl SyncPoint {
    pub(crate) fn new(timeline: &Arc<Timeline>, value: u64) -> Self {
        SyncPoint { timeline: timeline.clone(), value }
    }

    /// The timeline that the point lies on.
    pub fn timeline(&self) -> &Arc<Timeline> {
        &self.timeline
    }

    /// The value that completes the point.
    pub fn value(&self) -> u64 {
        self.value
    }

    /// Whether the point is reached, without waiting.
    #[inline]
    pub fn is_reached(&self) -> bool {
        // What was seen before, by whichever thread, need not be looked at again.
        self.timeline.reached.load(Ordering::Acquire) >= self.value || self.timeline.reached() >= self.value
    }

    /// Waits on the host: polls for some microseconds if it cannot take longer, else sleeps, on the engine's interrupt
    /// where it raises one. [`spin`](Self::spin) for those who rather give a processor than be late.
    ///
    /// # Errors
    ///
    /// [`Error::ChannelFault`] as soon as the channel's error notifier is set or the queue was reset,
    /// [`Error::Timeout`] or [`Error::Stalled`] when the `patience` is over, [`Error::GpuLost`] when the driver gives the
    /// GPU up.
    pub fn wait(&self, patience: impl Into<Patience>) -> Result<()> {
        self.timeline.wait(self.value, 0, SLICES.1, Limit::from(patience.into()))
    }

    /// As [`wait`](Self::wait), for those who want to have most of what leads here behind them: sleeps as long as all
    /// of it should take, for `nap` at most, and not once more for the last `slack` points of the timeline. A long nap
    /// is for those who know that work comes to its end as evenly as before: whoever sleeps does not give more.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_near(&self, slack: u64, nap: Duration, patience: impl Into<Patience>) -> Result<()> {
        self.timeline.wait(self.value, slack, nap, Limit::from(patience.into()))
    }

    /// Waits without ever sleeping: the processor does nothing else, and the caller goes on the moment that the point
    /// is reached.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn spin(&self, patience: impl Into<Patience>) -> Result<()> {
        self.timeline.spin(self.value, Limit::from(patience.into()))
    }
}

impl fmt::Debug for SyncPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.timeline.engine, self.value)
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
