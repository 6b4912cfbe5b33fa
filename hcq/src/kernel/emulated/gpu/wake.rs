//! [`Wake`]: what the thread of a runlist sleeps on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::kernel::emulated::sync::lock;

/// Tells one thread that something happened: a doorbell, a change of its channels, a semaphore.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    state: Mutex<State>,
    changed: Condvar,
    /// The thread waits for a semaphore.
    waiting: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// Something happened since the thread last looked.
    pending: bool,
    stop: bool,
}

impl Wake {
    pub(crate) fn wake(&self) {
        lock(&self.state).pending = true;
        self.changed.notify_one();
    }

    /// An engine or the host wrote a semaphore.
    pub(crate) fn semaphore_released(&self) {
        if self.waiting.load(Ordering::SeqCst) {
            self.wake();
        }
    }

    /// Tells the thread to end.
    pub(crate) fn stop(&self) {
        lock(&self.state).stop = true;
        self.changed.notify_one();
    }

    /// Says whether the thread waits for a semaphore from now on; whether it did before.
    pub(crate) fn announce(&self, waiting: bool) -> bool {
        self.waiting.swap(waiting, Ordering::SeqCst)
    }

    /// Sleeps until something happened; `false` at the end.
    pub(crate) fn next(&self) -> bool {
        let mut state = lock(&self.state);
        loop {
            if state.stop {
                return false;
            }
            if std::mem::take(&mut state.pending) {
                return true;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Sleeps for `time` at most; whether something happened.
    pub(crate) fn nap(&self, time: Duration) -> bool {
        let state = lock(&self.state);
        if state.pending || state.stop {
            return true;
        }
        let state = self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0;
        state.pending || state.stop
    }

    /// Whether something happened since the thread last looked.
    pub(crate) fn something_happened(&self) -> bool {
        let state = lock(&self.state);
        state.pending || state.stop
    }
}
