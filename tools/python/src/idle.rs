//! [`Idle`]: memory of batches that were, for those to come.

use std::sync::{Arc, Mutex};

use hcq::{DeviceBuffer, SyncPoint};
use nvdec_cuda::{Event, Imported};

use crate::door::lock;

/// So much is kept for batches to come, and two more batches: what a loop over batches has ahead, with the one that comes next and the
/// one that the caller has. Less, and the next loop would have memory allocated, exported and mapped again.
const KEPT: u64 = 1 << 30;

/// An allocation.
#[derive(Debug)]
pub(crate) struct Slab {
    pub(crate) memory: DeviceBuffer,
    /// Our own queues write or read it until all of these are reached.
    pub(crate) points: Vec<SyncPoint>,
    /// CUDA's mapping of it, made once.
    pub(crate) imported: Option<Arc<Imported>>,
    /// Behind what streams of CUDA had to do when the last tensor in it was let go of.
    pub(crate) readers: Vec<Event>,
    /// Events of readers that are done, to be recorded again.
    pub(crate) spare: Vec<Event>,
}

impl Slab {
    /// Whether no stream of CUDA reads it any more.
    fn is_read(&self) -> bool {
        // An event that says nothing for an error is never taken for one that was reached.
        self.readers.iter().all(|event| event.is_reached().unwrap_or(false))
    }
}

/// Memory that nobody has a batch in. The one out of use the longest is the first.
#[derive(Debug, Default)]
pub(crate) struct Idle(Mutex<Vec<Slab>>);

impl Idle {
    /// Memory of that size, which nobody reads.
    pub(crate) fn take(&self, bytes: u64) -> Option<Slab> {
        let mut idle = lock(&self.0);
        let at = idle.iter().position(|slab| slab.memory.size() == bytes && slab.is_read())?;
        let mut slab = idle.remove(at);
        slab.spare.append(&mut slab.readers);
        Some(slab)
    }

    /// What is more than should be kept beside a batch of so many bytes. To be dropped without a lock: CUDA may have to be waited for.
    pub(crate) fn surplus(&self, bytes: u64) -> Vec<Slab> {
        let kept = KEPT.saturating_add(bytes.saturating_mul(2));
        let mut idle = lock(&self.0);
        let mut all: u64 = idle.iter().map(|slab| slab.memory.size()).sum();
        let mut surplus = Vec::new();
        while all > kept
            && let Some(at) = idle.iter().position(Slab::is_read)
        {
            all -= idle[at].memory.size();
            surplus.push(idle.remove(at));
        }
        surplus
    }

    /// Keeps memory for batches to come.
    pub(crate) fn keep(&self, slab: Slab) {
        lock(&self.0).push(slab);
    }

    /// Gives all of it back, waiting for those who read it; whether there was any.
    pub(crate) fn clear(&self) -> bool {
        let all = std::mem::take(&mut *lock(&self.0));
        let any = !all.is_empty();
        for slab in all {
            for event in &slab.readers {
                // CUDA says it again to the program.
                let _ = event.wait();
            }
        }
        any
    }
}
