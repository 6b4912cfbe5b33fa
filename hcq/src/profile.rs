//! [`Profiler`]: when engines worked on what was submitted, by the GPU's own clock.
//!
//! A queue that is profiled ([`Queue::profile`](crate::Queue::profile)) writes a time stamp before the commands of each
//! submission, behind its acquires, and another one behind them. Both are semaphore releases of the engine's class,
//! which costs an NVDEC engine two releases of about 3 µs each: for looking, not for every day.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::address_space::Placement;
use crate::device::Device;
use crate::error::Result;
use crate::memory::DeviceBuffer;
use crate::timeline::{SEMAPHORE_BYTES, SyncPoint};

/// Bytes of the stamps of one submission.
const STAMPS_BYTES: u64 = 2 * SEMAPHORE_BYTES;
/// Submissions that memory is allocated for at once.
const CHUNK: u64 = 128;
/// Offset of the time in a record.
const TIME: usize = 8;

/// Collects the times of what runs on one queue or several.
pub struct Profiler {
    device: Device,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    free: Vec<DeviceBuffer>,
    pending: Vec<(SyncPoint, DeviceBuffer)>,
    done: Vec<Span>,
}

/// When an engine worked on a submission, in nanoseconds of [`Device::timestamp`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Span {
    /// The submission, by the point that completes it.
    pub point: SyncPoint,
    /// When the engine came to its commands, with all acquires behind it.
    pub begin: u64,
    /// When it had executed them, their writes visible.
    pub end: u64,
}

impl Profiler {
    /// A profiler for queues of `device`. Memory is allocated with the submissions.
    pub fn new(device: &Device) -> Arc<Profiler> {
        Arc::new(Profiler { device: device.clone(), state: Mutex::default() })
    }

    /// What was completed since the last call, in the order of submission on each queue.
    ///
    /// Submissions of a channel that died before them are missing. What nobody takes is kept.
    pub fn take(&self) -> Vec<Span> {
        let mut state = self.lock();
        state.collect();
        std::mem::take(&mut state.done)
    }

    /// The device whose queues may be profiled.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// Memory for the stamps of a submission: the first, and [`SEMAPHORE_BYTES`] behind it the second.
    pub(crate) fn stamps(self: &Arc<Self>) -> Result<Stamps> {
        let mut state = self.lock();
        if state.free.is_empty() {
            state.collect();
        }
        if state.free.is_empty() {
            let memory = self.device.allocate_internal(CHUNK * STAMPS_BYTES, Placement::Sysmem)?;
            state.free.extend((0..CHUNK).rev().map(|at| memory.slice(at * STAMPS_BYTES, STAMPS_BYTES)));
        }
        let stamps = state.free.pop().expect("just filled");
        stamps.view()?.fill(0, STAMPS_BYTES as usize, 0);
        Ok(Stamps { profiler: self.clone(), memory: Some(stamps) })
    }

    /// Places for stamps that no submission uses.
    #[cfg(all(test, feature = "emulated"))]
    pub(crate) fn unused(&self) -> usize {
        self.lock().free.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Memory for the stamps of a submission, which goes back if there is no submission.
pub(crate) struct Stamps {
    profiler: Arc<Profiler>,
    memory: Option<DeviceBuffer>,
}

impl Stamps {
    pub(crate) fn memory(&self) -> &DeviceBuffer {
        self.memory.as_ref().expect("taken with the submission alone")
    }

    /// Notes whose stamps they are.
    pub(crate) fn submitted(mut self, point: SyncPoint) {
        let memory = self.memory.take().expect("taken here alone");
        self.profiler.lock().pending.push((point, memory));
    }
}

impl Drop for Stamps {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            self.profiler.lock().free.push(memory);
        }
    }
}

impl State {
    fn collect(&mut self) {
        let State { free, pending, done } = self;
        pending.retain(|(point, stamps)| {
            if !point.is_reached() {
                return true;
            }
            if let Ok(view) = stamps.view() {
                let time = |record: u64| view.load_u64(record as usize + TIME);
                let (begin, end) = (time(0), time(SEMAPHORE_BYTES));
                // A dead timeline counts as having reached what never ran.
                if begin != 0 && end >= begin {
                    done.push(Span { point: point.clone(), begin, end });
                }
            }
            free.push(stamps.clone());
            false
        });
    }
}

impl fmt::Debug for Profiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        write!(f, "{} submissions under way, {} to be taken", state.pending.len(), state.done.len())
    }
}
