//! [`Runlist`]: the channels of one engine and the thread that executes them in turn.

use std::io;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nvkernel_sys::engine::EngineType;

use super::channel::Channel;
use super::pbdma::{self, Outcome};
use super::wake::Wake;
use crate::kernel::emulated::sync::lock;

/// How long a channel may run while others wait for the engine.
const SLICE: Duration = Duration::from_millis(2);
/// How soon a semaphore is looked at again that the CPU may have written: engines tell, the CPU does not.
const FIRST_RECHECK: Duration = Duration::from_micros(200);
const LAST_RECHECK: Duration = Duration::from_millis(2);

/// The channels that one engine executes. Its thread sleeps unless a doorbell rings or a wait may have ended.
#[derive(Debug)]
pub(crate) struct Runlist {
    channels: Mutex<Vec<Arc<Channel>>>,
    wake: Arc<Wake>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Runlist {
    pub(crate) fn start(gpu: usize, engine: EngineType) -> io::Result<Arc<Runlist>> {
        let runlist =
            Arc::new(Runlist { channels: Mutex::default(), wake: Arc::default(), thread: Mutex::default() });
        let worker = runlist.clone();
        let name = format!("gpu{gpu}-{engine}");
        *lock(&runlist.thread) = Some(std::thread::Builder::new().name(name).spawn(move || worker.work())?);
        Ok(runlist)
    }

    /// What the thread sleeps on.
    pub(crate) fn wake(&self) -> &Arc<Wake> {
        &self.wake
    }

    pub(crate) fn add(&self, channel: &Arc<Channel>) {
        let mut channels = lock(&self.channels);
        if !channels.iter().any(|c| Arc::ptr_eq(c, channel)) {
            channels.push(channel.clone());
        }
        drop(channels);
        self.wake.wake();
    }

    pub(crate) fn remove(&self, channel: &Arc<Channel>) {
        lock(&self.channels).retain(|c| !Arc::ptr_eq(c, channel));
        self.wake.wake();
    }

    /// Ends the thread and forgets the channels.
    pub(crate) fn stop(&self) {
        self.wake.stop();
        for channel in &std::mem::take(&mut *lock(&self.channels)) {
            channel.cancel();
        }
        if let Some(thread) = lock(&self.thread).take()
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic in there was already printed.
            let _ = thread.join();
        }
    }

    fn work(&self) {
        while self.wake.next() {
            let channels = lock(&self.channels).clone();
            let mut recheck = FIRST_RECHECK;
            loop {
                let (mut busy, mut waiting) = (false, false);
                for channel in &channels {
                    match pbdma::run(channel, SLICE) {
                        Outcome::Idle => {}
                        Outcome::Busy => busy = true,
                        Outcome::Waiting => waiting = true,
                    }
                }
                let announced = self.wake.announce(waiting);
                if self.wake.something_happened() || !(busy || waiting) {
                    break;
                }
                // A release between the look and the announcement woke no thread: look once more.
                if busy || !announced {
                    recheck = FIRST_RECHECK;
                    continue;
                }
                if self.wake.nap(recheck) {
                    break;
                }
                recheck = LAST_RECHECK.min(recheck * 2);
            }
        }
    }
}
