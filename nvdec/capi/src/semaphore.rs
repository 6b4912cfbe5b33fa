//! A semaphore that other programs have as well, as C has it.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nvdec::hcq::{self, CopyQueue, Outside, Patience, SharedWord, WordPoint};
use nvdec::{Context, Placement, SyncPoint};

use crate::context::{Shared, export};
use crate::result::Result;
use crate::types::nvdec_exported;

/// How long an engine may stand still before a signal.
const TIMEOUT: Patience = Patience::WithoutProgress(Duration::from_secs(10));
/// The driver hands out no less.
const PAGE: u64 = 4096;

/// A word in memory of its own, which counts the batches that are there. Others can write to it, so that nothing here relies on
/// it.
#[derive(Debug)]
pub(crate) struct Semaphore {
    context: Arc<Context>,
    word: SharedWord,
    /// One queue writes all values, so that they come in order; what waits for a batch on it holds up nobody else.
    line: Arc<Mutex<Line>>,
}

/// What was signalled. Whoever has the lock is the only one to submit.
#[derive(Debug)]
struct Line {
    queue: CopyQueue,
    /// The largest value, and the point at which it is written.
    value: u32,
    last: Option<SyncPoint>,
    /// Behind which points it is written: those of its batch, and of the batches before it that were not there yet.
    ready: Vec<SyncPoint>,
}

/// A value that the GPU was told to write.
#[derive(Debug)]
pub(crate) struct Signal {
    value: WordPoint,
    point: SyncPoint,
    /// Behind which points it is written. A value stands for all smaller ones, so that these are not those of its batch alone.
    ready: Vec<SyncPoint>,
    line: Arc<Mutex<Line>>,
}

fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Semaphore {
    pub(crate) fn new(shared: &Shared) -> Result<Semaphore> {
        let context = shared.context.clone();
        // Nobody who writes a tensor writes it by accident, and nobody who waits for it sees anything else.
        let memory = context.allocate(PAGE, Placement::Sysmem)?;
        memory.view()?.fill(0, memory.size() as usize, 0);
        let word = SharedWord::new(&memory, 0)?;
        word.store(0)?;
        let queue = CopyQueue::new(context.device(), None)?;
        let line = Line { queue, value: 0, last: None, ready: Vec::new() };
        Ok(Semaphore { context, word, line: Arc::new(Mutex::new(line)) })
    }

    /// Its value, as the host sees it.
    pub(crate) fn value(&self) -> Result<u32> {
        Ok(self.word.load()?)
    }

    /// What the header has of a descriptor of the memory, and the descriptor.
    pub(crate) fn export(&self) -> Result<(nvdec_exported, OwnedFd)> {
        export(self.word.buffer())
    }

    /// Has the GPU write the next value when all of `ready` are reached, and all values before it are written.
    pub(crate) fn signal(&self, ready: &[SyncPoint]) -> Result<(u32, Signal)> {
        let mut line = lock(&self.line);
        let value = line.value.wrapping_add(1);
        let signal = self.word.at(value);
        // A queue that takes the place of a dead one has nothing in front of it that waits for the batches before this one.
        let mut behind: Vec<SyncPoint> =
            line.ready.iter().filter(|point| !point.is_reached()).cloned().collect();
        for point in ready {
            match behind.iter_mut().find(|known| Arc::ptr_eq(known.timeline(), point.timeline())) {
                Some(known) if known.value() >= point.value() => {}
                Some(known) => *known = point.clone(),
                None => behind.push(point.clone()),
            }
        }
        let mut is_new = false;
        let point = loop {
            let signals = std::slice::from_ref(&signal);
            match line.queue.queue().mark_with(&behind, Outside { waits: &[], signals }) {
                Err(hcq::Error::QueueFull { .. }) => line.queue.queue().wait_for_room()?,
                // What the dead one did not write, the value of this one stands for.
                Err(hcq::Error::ChannelFault { .. }) if !is_new => {
                    line.queue = CopyQueue::new(self.context.device(), None)?;
                    is_new = true;
                }
                submitted => break submitted?,
            }
        };
        line.value = value;
        line.last = Some(point.clone());
        line.ready.clone_from(&behind);
        Ok((value, Signal { value: signal, point, ready: behind, line: self.line.clone() }))
    }
}

impl Signal {
    /// Waits until the value is written. A queue that died writes none: then the host does, so that nobody waits for ever; no larger
    /// one, whose batch may not be there, and not before the batches of the smaller ones.
    pub(crate) fn settle(&self) -> Result<()> {
        let is_lost = |outcome: hcq::Result<()>| match outcome {
            Err(hcq::Error::ChannelFault { .. }) => Ok(true),
            outcome => outcome.map(|()| false),
        };
        if !is_lost(self.point.wait(TIMEOUT))? {
            return Ok(());
        }
        for point in &self.ready {
            is_lost(point.wait(TIMEOUT))?;
        }
        let line = lock(&self.line);
        // Whether the queue is dead comes to light when somebody asks, and what it was to write counts as written from then on.
        line.queue.queue().fault();
        // A larger value that is still to come stands for this one as well, and must not be overwritten.
        if line.last.as_ref().is_none_or(SyncPoint::is_reached) && !self.value.is_reached()? {
            self.value.word().store(self.value.value())?;
        }
        Ok(())
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
