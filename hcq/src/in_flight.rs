//! Which memory submissions in flight use: noted with every submission, asked when the memory is to be freed.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::error::Result;

/// Most queues that a device has at a time: a fraction of the channels that a GPU has for all programs together.
pub(crate) const MAX_QUEUES: usize = 64;

/// What tells how far a queue has come.
pub(crate) trait Progress: Debug + Send + Sync {
    /// Submissions that are over.
    fn reached(&self) -> u64;
    /// Begins to count for how long nothing moves.
    fn observe(self: Arc<Self>);
    /// Waits until so many submissions are over, unless there is no progress for as long as `standing`.
    fn wait_for(self: Arc<Self>, value: u64, standing: Duration) -> Result<()>;
}

/// The last submission of each queue that uses an allocation, 0 for none.
///
/// Noting one is a plain store. To count references instead would take two instructions that wait for all stores before
/// them, for each buffer of each submission.
#[derive(Debug)]
pub(crate) struct LastUses([AtomicU64; MAX_QUEUES]);

impl Default for LastUses {
    fn default() -> Self {
        LastUses(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl LastUses {
    /// The submission number `value` from `slot` uses the memory. No later one was noted.
    pub(crate) fn note(&self, slot: &Slot, value: u64) {
        // The thread that frees the memory is behind this by the reference count.
        self.0[slot.number].store(slot.base + value, Ordering::Relaxed);
    }
}

/// A queue's place among those of its device.
#[derive(Debug)]
pub(crate) struct Slot {
    number: usize,
    /// Submissions of the queues that had it before.
    base: u64,
}

#[derive(Debug)]
struct Holder {
    /// Whether an engine may be at work for good in what its queue was given: its channel could not be freed.
    lost: bool,
    /// `None` if it is free.
    progress: Option<Weak<dyn Progress>>,
    /// Submissions of the queues that had it before.
    base: u64,
}

/// The queues of a device.
#[derive(Debug, Default)]
pub(crate) struct Slots(Mutex<Vec<Holder>>);

impl Slots {
    fn lock(&self) -> MutexGuard<'_, Vec<Holder>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot for a queue that tells its progress so; `None` while all are taken.
    pub(crate) fn take(&self, progress: Weak<dyn Progress>) -> Option<Slot> {
        let mut holders = self.lock();
        let number = holders.iter().position(|holder| holder.progress.is_none()).unwrap_or(holders.len());
        if number == MAX_QUEUES {
            return None;
        }
        if number == holders.len() {
            holders.push(Holder { lost: false, progress: None, base: 0 });
        }
        let holder = &mut holders[number];
        holder.progress = Some(progress);
        Some(Slot { number, base: holder.base })
    }

    /// Gives a slot back from which so much was submitted, all of which is over.
    pub(crate) fn leave(&self, slot: &Slot, submitted: u64) {
        self.lock()[slot.number] = Holder { lost: false, progress: None, base: slot.base + submitted };
    }

    /// Keeps a slot, and all memory that was used from it, from being used again.
    pub(crate) fn lose(&self, slot: &Slot) {
        self.lock()[slot.number].lost = true;
    }

    /// Has all queues with work in flight begin to count for how long they stand still.
    pub(crate) fn observe(&self) {
        // Not under the lock, as below.
        let queues: Vec<_> =
            self.lock().iter().filter_map(|holder| holder.progress.as_ref()?.upgrade()).collect();
        queues.into_iter().for_each(Progress::observe);
    }

    /// What `users` submitted last, of those that are still there: `None` for one whose work may never be over.
    pub(crate) fn work_of(&self, users: &LastUses) -> Vec<Option<(Arc<dyn Progress>, u64)>> {
        let working = |(holder, stamp): (&Holder, &AtomicU64)| {
            let value = stamp.load(Ordering::Relaxed).checked_sub(holder.base).filter(|&value| value > 0)?;
            Some(if holder.lost { None } else { Some((holder.progress.as_ref()?.upgrade()?, value)) })
        };
        self.lock().iter().zip(&users.0).filter_map(working).collect()
    }

    /// Whether all work of `users` is over.
    pub(crate) fn are_done_with(&self, users: &LastUses) -> bool {
        // Not asked under the lock: the last to let go of a timeline frees its memory.
        let is_over = |work: &Option<(Arc<dyn Progress>, u64)>| {
            work.as_ref().is_some_and(|(progress, value)| progress.reached() >= *value)
        };
        self.work_of(users).iter().all(is_over)
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
