//! Until when queues use memory: noted with every submission, asked when the memory is to be freed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::timeline::Timeline;

/// Most queues that a device has at a time: a fraction of the channels that a GPU has for all programs together.
pub const MAX_QUEUES: usize = 64;

/// The last submission of each queue that uses an allocation, 0 for none.
///
/// Noting one is a plain store. To count references instead would take two instructions that wait for all stores before
/// them, for each buffer of each submission.
#[derive(Debug)]
pub(super) struct Users([AtomicU64; MAX_QUEUES]);

impl Default for Users {
    fn default() -> Self {
        Users(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Users {
    /// The submission from `seat` that its timeline completes at `value` uses the memory. No later one was noted.
    pub(super) fn note(&self, seat: &Seat, value: u64) {
        // Whoever frees the memory is behind this by the reference count.
        self.0[seat.number].store(seat.base + value, Ordering::Relaxed);
    }
}

/// A queue's place among those of its device.
#[derive(Debug)]
pub(crate) struct Seat {
    number: usize,
    /// Submissions of those who had it before.
    base: u64,
}

#[derive(Debug)]
struct Place {
    /// Whether an engine may be at work for good in what its queue was given: its channel could not be freed.
    lost: bool,
    /// `None` if it is free.
    timeline: Option<Weak<Timeline>>,
    /// Submissions of those who had it before.
    base: u64,
}

/// The queues of a device.
#[derive(Debug, Default)]
pub(crate) struct Seats(Mutex<Vec<Place>>);

impl Seats {
    fn lock(&self) -> MutexGuard<'_, Vec<Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A seat for the queue that moves `timeline`; `None` while all are taken.
    pub(crate) fn take(&self, timeline: &Arc<Timeline>) -> Option<Seat> {
        let mut places = self.lock();
        let number = places.iter().position(|place| place.timeline.is_none()).unwrap_or(places.len());
        if number == MAX_QUEUES {
            return None;
        }
        if number == places.len() {
            places.push(Place { lost: false, timeline: None, base: 0 });
        }
        let place = &mut places[number];
        place.timeline = Some(Arc::downgrade(timeline));
        Some(Seat { number, base: place.base })
    }

    /// Gives a seat back from which so much was submitted, all of which is over.
    pub(crate) fn leave(&self, seat: &Seat, submitted: u64) {
        self.lock()[seat.number] = Place { lost: false, timeline: None, base: seat.base + submitted };
    }

    /// Keeps a seat, and all memory that was used from it, from being used again.
    pub(crate) fn lose(&self, seat: &Seat) {
        self.lock()[seat.number].lost = true;
    }

    /// Has all queues with work in flight begin to count for how long they stand still.
    pub(crate) fn observe(&self) {
        // Not under the lock, as below.
        let timelines: Vec<_> =
            self.lock().iter().filter_map(|place| place.timeline.as_ref()?.upgrade()).collect();
        timelines.iter().for_each(|timeline| timeline.observe());
    }

    /// Whether all work of `users` is over.
    pub(super) fn are_done_with(&self, users: &Users) -> bool {
        let working = |(place, stamp): (&Place, &AtomicU64)| {
            let value = stamp.load(Ordering::Relaxed).checked_sub(place.base).filter(|&value| value > 0)?;
            Some((if place.lost { None } else { Some(place.timeline.as_ref()?.upgrade()?) }, value))
        };
        // Not asked under the lock: the last to let go of a timeline frees its memory.
        let working: Vec<_> = self.lock().iter().zip(&users.0).filter_map(working).collect();
        working.iter().all(|(timeline, value)| timeline.as_ref().is_some_and(|t| t.reached() >= *value))
    }
}

#[cfg(test)]
mod tests;
