//! [`Store`]: memory that sessions gave back, for those to come, and the budget that it shares with them.
//!
//! Memory costs several calls of the driver: an object, a mapping for the GPU, often one for the CPU, and as many to
//! undo them. A decoder that begins, or goes on with another resolution, takes what another one, or its own former
//! sequence, has left, if the sizes are the same to the byte.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use hcq::{DeviceBuffer, Placement, Quota, SyncPoint};

use crate::error::Result;

/// Most bytes of GPU memory that are kept: enough to begin with in two resolutions. A sequence of 1920x1080 on seven
/// engines takes some 210 MiB at most, one of 3840x2160 with a DPB of six pictures on one engine some 180 MiB, and
/// neither begins with all of its surfaces.
const KEPT_VIDMEM: u64 = 256 << 20;
/// Most bytes of host memory that are kept: the upload rings of eight sessions as they begin, and as much for rings that
/// grew.
const KEPT_SYSMEM: u64 = 32 << 20;
/// Memory of one size is this part of what may be kept, at most: the surfaces of a large pool are not to push out the one
/// buffer for motion vectors, the status memory, and the resolution before.
const LARGEST_SHARE: u64 = 2;

/// What memory is for, and what whoever gets it may find there. It is used again for the same purpose only: what a GPU
/// fills is not mapped for the CPU, and nobody clears status memory beyond the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// GPU memory that the copy engine fills first, for it may hold what is another's.
    Filled,
    /// GPU memory that the host sees: the engines' verdicts. Each is cleared by whoever uses it.
    Status,
    /// Host memory for uploads: zero.
    Upload,
}

impl Purpose {
    pub(crate) fn placement(self) -> Placement {
        match self {
            Purpose::Filled | Purpose::Status => Placement::Vidmem,
            Purpose::Upload => Placement::Sysmem,
        }
    }
}

/// Memory that was given back.
#[derive(Debug)]
struct Kept {
    memory: DeviceBuffer,
    purpose: Purpose,
    /// What is to be reached before it is used again, besides what queues hold it for.
    busy: Vec<SyncPoint>,
    /// Bytes from its beginning that the host has written.
    written: u64,
}

impl Kept {
    fn suits(&self, bytes: u64, purpose: Purpose) -> bool {
        self.memory.size() == bytes && self.purpose == purpose
    }

    /// Whether it can be used again: queues may be at work in it, and pictures keep their status. Whoever kept a handle of it may
    /// have shared it since.
    fn is_free(&mut self) -> bool {
        self.memory.is_unused() && !self.memory.is_shared() && self.busy.iter().all(SyncPoint::is_reached)
    }
}

/// Memory between sessions, oldest first, and the bytes that sessions may take.
#[derive(Debug, Default)]
pub(crate) struct Store {
    state: Mutex<State>,
    /// What all GPU memory of the context is charged to.
    quota: Arc<Quota>,
}

#[derive(Debug, Default)]
struct State {
    kept: VecDeque<Kept>,
    /// GPU memory promised to sessions.
    reserved: u64,
}

impl State {
    fn bytes(&self, chosen: impl Fn(&Kept) -> bool) -> u64 {
        self.kept.iter().filter(|kept| chosen(kept)).map(|kept| kept.memory.size()).sum()
    }

    /// Most bytes that may be kept.
    fn most(&self, placement: Placement, limit: Option<u64>) -> u64 {
        match placement {
            Placement::Vidmem => {
                let room = limit.map_or(u64::MAX, |limit| limit.saturating_sub(self.reserved));
                room.min(KEPT_VIDMEM)
            }
            Placement::Sysmem => KEPT_SYSMEM,
        }
    }

    /// Takes out the oldest of the chosen until they are no more than `most` bytes.
    fn shrink(&mut self, most: u64, chosen: impl Fn(&Kept) -> bool, out: &mut Vec<Kept>) {
        let mut bytes = self.bytes(&chosen);
        while bytes > most {
            let oldest = self.kept.iter().position(&chosen);
            let oldest = oldest.and_then(|at| self.kept.remove(at)).expect("bytes are those of the chosen");
            bytes -= oldest.memory.size();
            out.push(oldest);
        }
    }

    /// What is beyond the limit.
    fn beyond(&mut self, limit: Option<u64>) -> Vec<Kept> {
        let mut out = Vec::new();
        let most = self.most(Placement::Vidmem, limit);
        self.shrink(most, |kept| kept.memory.placement() == Placement::Vidmem, &mut out);
        out
    }
}

// What leaves the store is freed, by several calls of the driver, when its lock is released.
impl Store {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Memory of exactly `bytes` that nobody uses. Of several, the one that came last: what is needed less ages.
    pub(crate) fn take(&self, bytes: u64, purpose: Purpose) -> Result<Option<DeviceBuffer>> {
        let found = {
            let mut state = self.lock();
            let at = state.kept.iter_mut().rposition(|kept| kept.suits(bytes, purpose) && kept.is_free());
            at.and_then(|at| state.kept.remove(at))
        };
        let Some(kept) = found else { return Ok(None) };
        if kept.written > 0 {
            kept.memory.view()?.fill(0, kept.written as usize, 0);
        }
        Ok(Some(kept.memory))
    }

    fn put(&self, kept: Kept) {
        // What others can see, or write to, is not for the next session.
        if kept.memory.is_shared() {
            return;
        }
        let (bytes, purpose) = (kept.memory.size(), kept.purpose);
        let placement = purpose.placement();
        // Declared before the lock, to be dropped behind it, as `kept` is.
        let mut out = Vec::new();
        let mut state = self.lock();
        let most = state.most(placement, self.quota.limit());
        let share = most / LARGEST_SHARE;
        if bytes > share {
            return;
        }
        state.kept.push_back(kept);
        state.shrink(share, |kept| kept.suits(bytes, purpose), &mut out);
        state.shrink(most, |kept| kept.memory.placement() == placement, &mut out);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().kept.is_empty()
    }

    pub(crate) fn kept(&self, placement: Placement) -> u64 {
        self.lock().bytes(|kept| kept.memory.placement() == placement)
    }

    /// Keeps nothing of what there is.
    pub(crate) fn clear(&self) {
        let _out = std::mem::take(&mut self.lock().kept);
    }

    /// Keeps what is oldest of `placement` no longer. `false` if nothing is kept there.
    pub(crate) fn give_back_oldest(&self, placement: Placement) -> bool {
        let mut state = self.lock();
        let oldest = state.kept.iter().position(|kept| kept.memory.placement() == placement);
        let oldest = oldest.and_then(|at| state.kept.remove(at));
        drop(state);
        oldest.is_some()
    }

    /// The limit, and what is allocated.
    pub(crate) fn quota(&self) -> &Arc<Quota> {
        &self.quota
    }

    pub(crate) fn set_limit(&self, limit: Option<u64>) {
        let mut state = self.lock();
        self.quota.set_limit(limit);
        let _out = state.beyond(limit);
        drop(state);
    }

    pub(crate) fn reserved(&self) -> u64 {
        self.lock().reserved
    }

    /// Turns a reservation of `old` bytes into one of `new`. `false` and unchanged if the limit does not allow that.
    pub(crate) fn reserve(&self, old: u64, new: u64) -> bool {
        let mut state = self.lock();
        let reserved = (state.reserved - old).saturating_add(new);
        let limit = self.quota.limit();
        if new > old && limit.is_some_and(|limit| reserved > limit) {
            return false;
        }
        state.reserved = reserved;
        let _out = state.beyond(limit);
        drop(state);
        true
    }
}

/// A session's memory. It returns to the store of its context, if that is still there, when it is dropped: engines may be
/// at work in it then.
#[derive(Debug)]
pub(crate) struct Lease {
    /// Taken by `Drop` alone.
    kept: Option<Kept>,
    store: Weak<Store>,
}

impl Lease {
    pub(crate) fn new(store: &Arc<Store>, memory: DeviceBuffer, purpose: Purpose) -> Self {
        let kept = Kept { memory, purpose, busy: Vec::new(), written: 0 };
        Lease { kept: Some(kept), store: Arc::downgrade(store) }
    }

    pub(crate) fn buffer(&self) -> &DeviceBuffer {
        &self.kept.as_ref().expect("taken only by Drop").memory
    }

    /// Says that the host writes no further than `end`, in bytes from the beginning.
    pub(crate) fn written_to(&mut self, end: u64) {
        let kept = self.kept.as_mut().expect("taken only by Drop");
        kept.written = kept.written.max(end);
    }

    /// Drops it, to be used again when `busy` are reached.
    pub(crate) fn give_back<'a>(mut self, busy: impl Iterator<Item = &'a SyncPoint>) {
        let kept = self.kept.as_mut().expect("taken only by Drop");
        kept.busy.extend(busy.cloned());
    }
}

impl Deref for Lease {
    type Target = DeviceBuffer;

    fn deref(&self) -> &DeviceBuffer {
        self.buffer()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let (Some(kept), Some(store)) = (self.kept.take(), self.store.upgrade()) {
            store.put(kept);
        }
    }
}

#[cfg(test)]
mod tests;
