//! [`Runlist`]: the channels of one engine and the thread that executes them in turn.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nvkernel_sys::engine::EngineType;

use super::channel::{Channel, Outcome};
use crate::kernel::emulated::lock;

/// How long a channel may run while others wait for the engine.
const SLICE: Duration = Duration::from_millis(2);
/// How soon a semaphore is looked at again that the CPU may have written: engines tell, the CPU does not.
const FIRST_RECHECK: Duration = Duration::from_micros(200);
const LAST_RECHECK: Duration = Duration::from_millis(2);

/// The channels that one engine executes. Its thread sleeps unless a doorbell rings or a wait may have ended.
#[derive(Debug)]
pub(crate) struct Runlist {
    state: Mutex<State>,
    changed: Condvar,
    /// A channel waits for a semaphore.
    waiting: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct State {
    channels: Vec<Arc<Channel>>,
    /// Something happened since the channels were last looked at.
    pending: bool,
    stop: bool,
}

impl Runlist {
    pub(crate) fn start(gpu: usize, engine: EngineType) -> io::Result<Arc<Runlist>> {
        let runlist = Arc::new(Runlist {
            state: Mutex::default(),
            changed: Condvar::new(),
            waiting: AtomicBool::new(false),
            thread: Mutex::default(),
        });
        let worker = runlist.clone();
        let name = format!("gpu{gpu}-{engine}");
        *lock(&runlist.thread) = Some(std::thread::Builder::new().name(name).spawn(move || worker.work())?);
        Ok(runlist)
    }

    pub(crate) fn add(&self, channel: &Arc<Channel>) {
        let mut state = lock(&self.state);
        if !state.channels.iter().any(|c| Arc::ptr_eq(c, channel)) {
            state.channels.push(channel.clone());
        }
        drop(state);
        self.wake();
    }

    pub(crate) fn remove(&self, channel: &Arc<Channel>) {
        lock(&self.state).channels.retain(|c| !Arc::ptr_eq(c, channel));
        self.wake();
    }

    pub(crate) fn wake(&self) {
        lock(&self.state).pending = true;
        self.changed.notify_one();
    }

    pub(crate) fn semaphore_released(&self) {
        if self.waiting.load(Ordering::SeqCst) {
            self.wake();
        }
    }

    /// Ends the thread and forgets the channels.
    pub(crate) fn stop(&self) {
        let channels = {
            let mut state = lock(&self.state);
            state.stop = true;
            std::mem::take(&mut state.channels)
        };
        for channel in &channels {
            channel.cancel();
        }
        self.changed.notify_one();
        if let Some(thread) = lock(&self.thread).take()
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic in there was already printed.
            let _ = thread.join();
        }
    }

    /// Sleeps until something happened; the channels to look at, or `None` at the end.
    fn next(&self) -> Option<Vec<Arc<Channel>>> {
        let mut state = lock(&self.state);
        loop {
            if state.stop {
                return None;
            }
            if std::mem::take(&mut state.pending) {
                return Some(state.channels.clone());
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Sleeps for `time` at most; whether something happened.
    fn nap(&self, time: Duration) -> bool {
        let state = lock(&self.state);
        if state.pending || state.stop {
            return true;
        }
        let state = self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0;
        state.pending || state.stop
    }

    fn something_happened(&self) -> bool {
        let state = lock(&self.state);
        state.pending || state.stop
    }

    fn work(&self) {
        while let Some(channels) = self.next() {
            let mut recheck = FIRST_RECHECK;
            loop {
                let (mut busy, mut waiting) = (false, false);
                for channel in &channels {
                    match channel.run(SLICE) {
                        Outcome::Idle => {}
                        Outcome::Busy => busy = true,
                        Outcome::Waiting => waiting = true,
                    }
                }
                let announced = self.waiting.swap(waiting, Ordering::SeqCst);
                if self.something_happened() || !(busy || waiting) {
                    break;
                }
                // A release between the look and the announcement told nobody: look once more.
                if busy || !announced {
                    recheck = FIRST_RECHECK;
                    continue;
                }
                if self.nap(recheck) {
                    break;
                }
                recheck = LAST_RECHECK.min(recheck * 2);
            }
        }
    }
}
