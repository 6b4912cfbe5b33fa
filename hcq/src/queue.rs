//! [`Queue`]: a channel, the memory its push buffers lie in, and the timeline that it moves.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use nvkernel_sys::engine::EngineType;
use zerocopy::IntoBytes;

use crate::address_space::{DeviceInner, Placement};
use crate::channel::{Channel, ChannelMemory, NOTIFIER_BYTES};
use crate::device::Device;
use crate::engine::{self, EngineRow, Wake};
use crate::error::{Error, Result};
use crate::fault::ChannelFault;
use crate::in_flight::{MAX_QUEUES, Progress, Slot};
use crate::memory::{DeviceBuffer, Outside};
use crate::profile::Profiler;
use crate::pushbuf::{PushBuffer, SET_OBJECT};
use crate::timeline::{Patience, SEMAPHORE_BYTES, SyncPoint, Timeline};

const RING_ENTRIES: u64 = 512;
const PUSH_BYTES: u64 = 128 << 10;
const PAGE: u64 = 4096;
/// Bytes of push memory that are fetched ahead of the next submission: as many as that of a picture takes.
const PREFETCHED: usize = 512;
/// How long an engine may stand still, with work before it, until it counts as stalled to a queue that has to wait:
/// longer than any engine takes for a submission.
const STALL: Duration = Duration::from_secs(10);

/// A hardware command queue on one engine.
///
/// Work is executed in order of submission. Every submission moves the queue's [`Timeline`] by one, when it
/// is complete and its writes are visible.
#[derive(Debug)]
pub struct Queue {
    row: &'static EngineRow,
    // Field order is drop order: the channel before what it works with.
    channel: Arc<Channel>,
    timeline: Arc<Timeline>,
    push: DeviceBuffer,
    state: Mutex<State>,
    /// Held by the one who takes the channel down.
    resetting: Mutex<()>,
    ending: Ending,
}

#[derive(Debug, Default)]
struct State {
    submitted: u64,
    /// Ring entry to write next, not yet reduced modulo the ring.
    put: u32,
    /// Bytes written to the push memory since the beginning, including what was skipped at its end.
    head: u64,
    inflight: VecDeque<Submitted>,
    /// Whether the engine class was bound to its subchannel.
    bound: bool,
    /// Whether the channel was taken down, or is about to be.
    ended: bool,
    /// Kept to be written into again: what goes before and behind the caller's commands.
    before: PushBuffer,
    behind: PushBuffer,
    /// Which waits of the submission are acquires.
    acquired: Vec<usize>,
    profiler: Option<Arc<Profiler>>,
}

#[derive(Debug)]
struct Submitted {
    value: u64,
    /// Where in the push memory the submission starts, counted like `State::head`.
    start: u64,
}

impl State {
    /// Forgets submissions up to `reached`.
    fn retire(&mut self, reached: u64) {
        while self.inflight.pop_front_if(|f| f.value <= reached).is_some() {}
    }
}

impl Queue {
    /// A queue on `engine` for an object of `class`.
    pub fn new(device: &Device, engine: EngineType, class: u32) -> Result<Arc<Queue>> {
        let queue = Queue::unarmed(device, engine, class)?;
        queue.arm();
        Ok(queue)
    }

    /// As [`new`](Self::new), and the engine's interrupt wakes nobody who waits, before [`arm`](Self::arm) is called. Where hardly
    /// anybody waits, that saves a quarter of a millisecond.
    pub(crate) fn unarmed(device: &Device, engine: EngineType, class: u32) -> Result<Arc<Queue>> {
        // One host-memory allocation carries everything that the CPU writes or polls: notifier, USERD,
        // semaphore, ring and push buffers.
        let total = NOTIFIER_BYTES + PAGE + RING_ENTRIES * 8 + PUSH_BYTES;
        let row = EngineRow::of(engine)?;
        let block = device.allocate_internal(total, Placement::Sysmem)?;
        let mut at = 0;
        let mut carve = |size: u64| {
            let part = block.slice(at, size);
            at += size;
            part
        };
        let notifier = carve(NOTIFIER_BYTES);
        let page = carve(PAGE);
        let ring = carve(RING_ENTRIES * 8);
        let push = carve(PUSH_BYTES);
        let userd = page.slice(0, 512);
        let semaphore = page.slice(PAGE / 2, SEMAPHORE_BYTES);

        let timeline = Timeline::new(device.inner(), engine, row, semaphore)?;
        let channel = Arc::new(Channel::new(
            device.inner(),
            row,
            engine,
            class,
            ChannelMemory { notifier, userd, ring },
        )?);
        timeline.watch(&channel);
        let progress: Weak<dyn Progress> = Arc::downgrade(&timeline) as _;
        let slot = device.inner().slots.take(progress).ok_or_else(|| {
            Error::Unsupported(format!("a device has no more than {MAX_QUEUES} queues at a time"))
        })?;
        let ending = Ending { device: device.inner().clone(), slot, submitted: Some(0) };
        let state = Mutex::default();
        let resetting = Mutex::default();
        Ok(Arc::new(Queue { row, channel, timeline, push, state, resetting, ending }))
    }

    /// Has the engine's interrupt wake those who wait for the queue, where there is one that arrives. Only the first time it asks the
    /// driver for something.
    pub(crate) fn arm(&self) {
        self.timeline.arm();
    }

    /// The engine that executes the queue.
    pub fn engine(&self) -> EngineType {
        self.channel.engine()
    }

    /// The timeline that the queue moves.
    pub fn timeline(&self) -> &Arc<Timeline> {
        &self.timeline
    }

    /// Class of the engine's object.
    pub fn class(&self) -> u32 {
        self.channel.engine_class()
    }

    /// The last point submitted (value 0, which is always reached, before the first).
    pub fn last_point(&self) -> SyncPoint {
        SyncPoint::new(&self.timeline, self.lock().submitted)
    }

    /// Submissions that the engine has not finished.
    pub fn depth(&self) -> u64 {
        let submitted = self.lock().submitted;
        submitted.saturating_sub(self.timeline.reached())
    }

    /// Why the queue is dead, if it is: everything on it is lost, and a new queue must take its place.
    pub fn fault(&self) -> Option<ChannelFault> {
        self.timeline.fault()
    }

    /// As [`fault`](Self::fault), for those about to submit: a dead channel would take the work and do nothing.
    ///
    /// # Errors
    ///
    /// [`Error::ChannelFault`] once the channel is dead.
    pub fn check(&self) -> Result<()> {
        if self.channel.is_alive() && !self.timeline.is_dead() {
            return Ok(());
        }
        match self.fault() {
            None => Ok(()),
            Some(fault) => Err(self.dead(fault)),
        }
    }

    #[cold]
    fn dead(&self, fault: ChannelFault) -> Error {
        Error::ChannelFault { engine: self.engine().to_string(), fault }
    }

    /// Takes the channel down, whatever the engine is doing in it: for a queue that has [stalled](Error::Stalled) or is
    /// dead. Once the engine can write no more, all that was submitted counts as reached, so that other queues go on,
    /// and memory that only this queue used is freed. What was not finished is lost: waits for it, and further
    /// submissions, give [`Error::ChannelFault`]. Any thread may call it, at any time, and several may; all return when
    /// it is done.
    ///
    /// # Errors
    ///
    /// That of the resource manager, should it not free the channel. Nothing counts as reached then, and no memory is
    /// freed, for the engine may still write to it.
    pub fn reset(&self) -> Result<()> {
        let _resetting = self.resetting.lock().unwrap_or_else(PoisonError::into_inner);
        // Submissions are made under this lock, so none comes after this.
        self.lock().ended = true;
        // Should it have died of an error, that is the cause, and can be asked for only while the channel is there.
        self.fault();
        match self.channel.close() {
            // A GPU that is gone writes nothing.
            Err(error) if !self.ending.device.is_lost() => return Err(error),
            _ => self.timeline.end(ChannelFault::reset()),
        }
        self.ending.device.reclaim();
        Ok(())
    }

    /// Has the times of all further submissions collected, or no longer.
    ///
    /// # Errors
    ///
    /// [`Error::OtherDevice`] if the profiler is of another device.
    pub fn profile(&self, profiler: Option<Arc<Profiler>>) -> Result<()> {
        if let Some(profiler) = &profiler {
            self.check_device("a profiler", profiler.device().inner())?;
        }
        self.lock().profiler = profiler;
        Ok(())
    }

    /// That what is given to the queue is of its own device: addresses, and values of semaphores, mean something else
    /// on others.
    #[inline]
    fn check_device(&self, what: &'static str, given: &Arc<DeviceInner>) -> Result<()> {
        let own = &self.ending.device;
        if Arc::ptr_eq(given, own) { Ok(()) } else { Err(given.is_other_than(own, what)) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Submits `commands` behind acquires of all `waits`, and returns the point that completes them. It never waits: a
    /// full queue is [`Error::QueueFull`], after which the caller waits ([`wait_for_room`](Self::wait_for_room)) and
    /// submits again. Where there is an error, nothing was submitted and nothing noted.
    ///
    /// # Errors
    ///
    /// [`Error::ChannelFault`] if the channel is dead, [`Error::OtherDevice`] if a buffer or a wait is of another
    /// device, [`Error::TooLarge`] for more commands than half of the push memory holds.
    ///
    /// # Safety
    ///
    /// Every GPU address in `commands` lies in one of `buffers`, or in memory that the caller keeps alive
    /// until the returned point is reached; and what the engine is told to do with those buffers does not
    /// reach beyond them. The memory of `buffers` is not freed before that, whoever lets go of it. Debug builds check
    /// the push buffer's form.
    pub unsafe fn submit<'a>(
        &self,
        waits: &[SyncPoint],
        commands: &PushBuffer,
        buffers: impl IntoIterator<Item = &'a DeviceBuffer, IntoIter: Clone>,
    ) -> Result<SyncPoint> {
        // SAFETY: the caller's promise.
        unsafe { self.submit_with(waits, Outside::default(), commands, buffers) }
    }

    /// As [`submit`](Self::submit), and behind words in shared memory or with signals in such: see [`Outside`].
    ///
    /// # Errors
    ///
    /// Those of [`submit`](Self::submit); [`Error::OtherDevice`] if a word is in memory of another device,
    /// [`Error::ReadOnly`] if one to be written is in memory that engines only read.
    ///
    /// # Safety
    ///
    /// That of [`submit`](Self::submit). Words are kept alive as `buffers` are.
    pub unsafe fn submit_with<'a>(
        &self,
        waits: &[SyncPoint],
        outside: Outside<'_>,
        commands: &PushBuffer,
        buffers: impl IntoIterator<Item = &'a DeviceBuffer, IntoIter: Clone>,
    ) -> Result<SyncPoint> {
        if cfg!(debug_assertions) {
            for method in commands.decode() {
                method?;
            }
        }
        let buffers = buffers.into_iter();
        // Of several iterators in a row, this goes through each with a loop of its own.
        buffers.clone().try_for_each(|buffer| self.check_device("a buffer", buffer.device()))?;
        for wait in waits {
            self.check_device("a sync point", wait.timeline().device())?;
        }
        let words = outside.waits.iter().chain(outside.signals).map(|point| point.word().buffer());
        for word in words.clone() {
            self.check_device("a shared word", word.device())?;
        }
        outside.signals.iter().try_for_each(|point| point.word().check_writable())?;
        self.check()?;
        let mut state = self.lock();
        let state = &mut *state;
        if state.ended {
            return Err(self.dead(self.fault().unwrap_or_else(ChannelFault::reset)));
        }
        let value = state.submitted + 1;
        state.before.clear();
        if !state.bound {
            state.before.method(self.row.subchannel, SET_OBJECT, self.channel.engine_class());
        }
        state.acquired.clear();
        for (index, wait) in waits.iter().enumerate() {
            // Work of the same queue is in order anyway.
            if !Arc::ptr_eq(wait.timeline(), &self.timeline) && !wait.is_reached() {
                engine::acquire(&mut state.before, wait.timeline().gpu_address(), wait.value() as u32);
                state.acquired.push(index);
            }
        }
        for wait in outside.waits {
            engine::acquire(&mut state.before, wait.word().buffer().gpu_address(), wait.value());
        }
        state.behind.clear();
        let row = self.row;
        let stamps = state.profiler.as_ref().map(|profiler| profiler.stamps()).transpose()?;
        if let Some(stamps) = &stamps {
            let address = stamps.memory().gpu_address();
            row.release(&mut state.before, address, value as u32, Wake::Nothing);
            row.release(&mut state.behind, address + SEMAPHORE_BYTES, value as u32, Wake::Nothing);
        }
        // Before the timeline's: nothing is written behind that, when the memory may be gone.
        for signal in outside.signals {
            let address = signal.word().buffer().gpu_address();
            row.release(&mut state.behind, address, signal.value(), Wake::Nothing);
        }
        row.release(&mut state.behind, self.timeline.gpu_address(), value as u32, Wake::Sleepers);
        let count = state.before.words().len() + commands.words().len() + state.behind.words().len();
        let length = 4 * count as u64;
        if length > PUSH_BYTES / 2 {
            return Err(Error::TooLarge { what: "push buffer", size: length, limit: PUSH_BYTES / 2 });
        }
        // The words of one submission are contiguous: skip the end of the memory if it is too short.
        let at = state.head % PUSH_BYTES;
        let start = if at + length > PUSH_BYTES { state.head + PUSH_BYTES - at } else { state.head };
        let end = start + length;
        state.retire(self.timeline.reached());
        if let Some(oldest) = state.inflight.front()
            && (end > oldest.start + PUSH_BYTES || state.inflight.len() as u32 + 1 >= self.channel.entries())
        {
            return Err(Error::QueueFull { engine: self.engine(), oldest: oldest.value });
        }
        let offset = start % PUSH_BYTES;
        let view = self.push.view()?;
        let doorbell = self.ending.device.usermode()?;
        // From here on nothing fails.
        let mut to = offset as usize;
        for part in [state.before.words(), commands.words(), state.behind.words()] {
            let bytes = part.as_bytes();
            view.copy_in(to, bytes);
            to += bytes.len();
        }
        let use_of = |buffer: &DeviceBuffer| buffer.used_until(&self.ending.slot, value);
        buffers.for_each(use_of);
        state.acquired.iter().for_each(|&index| use_of(waits[index].timeline().buffer()));
        words.for_each(use_of);
        stamps.iter().for_each(|stamps| use_of(stamps.memory()));
        let acquired = state.acquired.iter().map(|&index| &waits[index]);
        self.timeline.submitting(value, acquired, outside.waits);
        self.channel.push(state.put, self.push.gpu_address() + offset, length as usize / 4, doorbell);
        state.bound = true;
        state.put = state.put.wrapping_add(1);
        state.head = end;
        state.submitted = value;
        state.inflight.push_back(Submitted { value, start });
        let next = (end % PUSH_BYTES) as usize;
        view.prefetch_to_write(next, PREFETCHED.min(PUSH_BYTES as usize - next));
        let point = SyncPoint::new(&self.timeline, value);
        if let Some(stamps) = stamps {
            stamps.submitted(point.clone());
        }
        Ok(point)
    }

    /// Waits until the engine has finished the oldest submission of those in flight, if there is one: a full queue has
    /// room then.
    ///
    /// # Errors
    ///
    /// [`Error::Stalled`] if nothing moves for ten seconds, and the others of [`SyncPoint::wait`].
    pub fn wait_for_room(&self) -> Result<()> {
        let oldest = self.lock().inflight.front().map(|oldest| oldest.value);
        match oldest {
            Some(oldest) => SyncPoint::new(&self.timeline, oldest).wait(Patience::WithoutProgress(STALL)),
            None => Ok(()),
        }
    }

    /// Submits nothing but the release: its point is reached, and its time stamp taken, when the engine comes
    /// to it.
    ///
    /// # Errors
    ///
    /// Those of [`submit`](Self::submit).
    pub fn mark(&self) -> Result<SyncPoint> {
        self.mark_with(&[], Outside::default())
    }

    /// Submits no work, but waits and signals: so a word is written when points of whatever queues of the device are
    /// reached, and work for other queues waits for a word.
    ///
    /// # Errors
    ///
    /// Those of [`submit_with`](Self::submit_with).
    pub fn mark_with(&self, waits: &[SyncPoint], outside: Outside<'_>) -> Result<SyncPoint> {
        // SAFETY: no command, hence no address.
        unsafe { self.submit_with(waits, outside, &PushBuffer::new(), []) }
    }
}

impl Drop for Queue {
    /// Waits for what was submitted, since others may want it, for as long as the engine makes progress; what has
    /// stalled is taken down. Either way no engine writes to memory that is freed after this.
    fn drop(&mut self) {
        let last = self.last_point();
        if !last.is_reached() {
            // Queues that end one after the other stand still at the same time.
            self.ending.device.slots.observe();
            match self.timeline.drain(last.value(), STALL) {
                Ok(()) | Err(Error::ChannelFault { .. }) => {}
                Err(error) => {
                    log::warn!("{error}");
                    if let Err(error) = self.reset() {
                        log::warn!("{error}");
                    }
                }
            }
        }
        let closed = match self.channel.close() {
            Err(error) => {
                log::warn!("{error}");
                self.ending.device.is_lost()
            }
            Ok(()) => last.is_reached(),
        };
        self.ending.submitted = closed.then_some(last.value());
    }
}

/// Lets the next queue have the slot, once the channel is gone, and frees what the queue worked with.
#[derive(Debug)]
struct Ending {
    device: Arc<DeviceInner>,
    slot: Slot,
    /// `None` if the channel could not be freed: then its slot and the memory that it uses are the engine's until the
    /// device is closed.
    submitted: Option<u64>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        match self.submitted {
            Some(submitted) => self.device.slots.leave(&self.slot, submitted),
            None => self.device.slots.lose(&self.slot),
        }
        self.device.reclaim();
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
