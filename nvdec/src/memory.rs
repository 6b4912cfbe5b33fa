//! [`Memory`]: the memory of a context.

use std::sync::Arc;

use hcq::{ComputeQueue, CopyCommands, Device, DeviceBuffer, InputMut, Placement, Quota, SyncPoint};

use crate::channels::{Channels, Lane};
use crate::error::{Error, Result};

pub(crate) mod motion;
pub(crate) mod scratch;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod upload;

use store::{Lease, Purpose, Store};

/// Zero bytes behind slice data: how far an engine reads ahead is not documented.
pub(crate) const BITSTREAM_SLACK: usize = 256;

/// How often memory is filled that has to be filled.
const TRIES: usize = 3;

/// What becomes of an allocation that the limit does not allow now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtLimit {
    /// It waits until engines are done with memory that has no owner any more. Not for those who hold a lock.
    Wait,
    /// It fails: the caller can do without.
    Fail,
}

/// Where the sessions of a context get memory from, and give it back to.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Declared first: memory goes before the queues do.
    store: Arc<Store>,
    channels: Arc<Channels>,
}

/// A session's share of the budget.
#[derive(Debug)]
pub(crate) struct Reservation {
    memory: Arc<Memory>,
    bytes: u64,
}

impl Reservation {
    /// Its size in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes it `bytes` large. `false` and unchanged if the budget does not allow that.
    pub(crate) fn resize(&mut self, bytes: u64) -> bool {
        let resized = self.memory.store.reserve(self.bytes, bytes);
        if resized {
            self.bytes = bytes;
        }
        resized
    }

    /// Makes it `bytes` larger, likewise.
    pub(crate) fn grow(&mut self, bytes: u64) -> bool {
        self.resize(self.bytes.saturating_add(bytes))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.memory.store.reserve(self.bytes, 0);
    }
}

impl Memory {
    pub(crate) fn new(channels: &Arc<Channels>) -> Arc<Memory> {
        Arc::new(Memory { store: Arc::default(), channels: channels.clone() })
    }

    /// The GPU.
    pub(crate) fn device(&self) -> &Device {
        self.channels.device()
    }

    /// The queues.
    pub(crate) fn channels(&self) -> &Channels {
        &self.channels
    }

    /// What sessions have given back, and the budget.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Submits copies behind `waits`.
    pub(crate) fn submit_copies(&self, waits: &[SyncPoint], commands: &CopyCommands) -> Result<SyncPoint> {
        self.retried(|| self.channels.submit_copies(waits, commands))
    }

    /// Has launches submitted on the queue of `lane`.
    pub(crate) fn submit_launch(
        &self,
        lane: Lane,
        submit: impl Fn(&ComputeQueue) -> hcq::Result<SyncPoint>,
    ) -> Result<SyncPoint> {
        self.retried(|| self.channels.submit_launch(lane, &submit))
    }

    /// GPU memory that is the caller's for good, within the limit.
    ///
    /// # Errors
    ///
    /// [`Error::MemoryLimit`] if the limit does not allow it.
    pub(crate) fn allocate_own(&self, size: u64) -> Result<DeviceBuffer> {
        self.within_limit(size, AtLimit::Wait)
    }

    /// Memory that sessions have given back, or fresh memory. What it holds is said with [`Purpose`].
    ///
    /// # Errors
    ///
    /// [`Error::MemoryLimit`] if the limit does not allow it.
    pub(crate) fn allocate(&self, size: u64, purpose: Purpose, at_limit: AtLimit) -> Result<Lease> {
        let bytes = hcq::allocation_size(size, purpose.placement());
        let memory = match (self.store.take(bytes, purpose)?, purpose.placement()) {
            (Some(memory), _) => memory,
            (None, Placement::Vidmem) => self.within_limit(size, at_limit)?,
            (None, Placement::Sysmem) => {
                self.retried(|| Ok(self.device().allocate(size, Placement::Sysmem)?))?
            }
        };
        Ok(Lease::new(&self.store, memory, purpose))
    }

    /// GPU memory filled with a repeated word, with the point at which it is. It may hold what another session, or
    /// another program, left there until then.
    pub(crate) fn allocate_filled(
        &self,
        size: u64,
        word: u32,
        at_limit: AtLimit,
    ) -> Result<(Lease, SyncPoint)> {
        let memory = self.allocate(size.next_multiple_of(4), Purpose::Filled, at_limit)?;
        let filled = self.fill(&memory, word)?;
        Ok((memory, filled))
    }

    /// Fresh GPU memory. At the limit, what is kept is given back for it, the oldest first; then, if that is wanted, what
    /// engines are still at work in is waited for.
    fn within_limit(&self, size: u64, at_limit: AtLimit) -> Result<DeviceBuffer> {
        let mut is_last = false;
        loop {
            let allocate =
                || Ok(self.device().allocate_charged(size, Placement::Vidmem, self.store.quota())?);
            let (bytes, taken, limit) = match self.retried(allocate) {
                Err(Error::Gpu(hcq::Error::QuotaExceeded { size, charged, limit })) => (size, charged, limit),
                outcome => return outcome,
            };
            if is_last || bytes > limit {
                return Err(Error::MemoryLimit { bytes, taken, limit });
            }
            if !self.store.give_back_oldest(Placement::Vidmem) {
                // Once more in any case: another thread may just have freed what it waited for.
                is_last = at_limit == AtLimit::Fail || !self.channels.wait_to_reclaim()?;
            }
        }
    }

    /// Whether the limit allows `bytes` more bytes of GPU memory, now that what is out of use is freed.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        let quota = self.store.quota();
        quota.has_room(bytes) || {
            self.device().reclaim();
            quota.has_room(bytes)
        }
    }

    /// Fills memory that no engine works in with a repeated word.
    pub(crate) fn fill(&self, memory: &DeviceBuffer, word: u32) -> Result<SyncPoint> {
        let mut commands = CopyCommands::new();
        commands.fill(memory, word)?;
        self.retried(|| self.channels.submit_clearing(&commands))
    }

    /// As [`fill`](Self::fill), waiting until it is filled: again if that is lost with the channel of the copy engine.
    pub(crate) fn filled(&self, memory: &DeviceBuffer, word: u32) -> Result<()> {
        let mut filled = self.channels.wait(&self.fill(memory, word)?);
        for _ in 1..TRIES {
            match filled {
                Err(hcq::Error::ChannelFault { .. }) => {
                    filled = self.channels.wait(&self.fill(memory, word)?)
                }
                _ => break,
            }
        }
        Ok(filled?)
    }

    /// Host memory for copies from the GPU.
    pub(crate) fn staging(&self, size: u64, quota: &Arc<Quota>) -> Result<DeviceBuffer> {
        self.retried(|| Ok(self.device().allocate_charged(size, Placement::Sysmem, quota)?))
    }

    /// Host memory for `bytes` bytes of a stream, to be filled.
    pub(crate) fn input(&self, bytes: usize) -> Result<InputMut> {
        self.retried(|| Ok(self.device().allocate_input(bytes, BITSTREAM_SLACK as u64)?))
    }

    /// What `make` makes. If there is no memory for it, what is kept is given back, and it is called once more.
    pub(crate) fn retried<T>(&self, make: impl Fn() -> Result<T>) -> Result<T> {
        match make() {
            Err(error) if error.is_out_of_memory() && !self.store.is_empty() => {
                log::info!("gives back what it keeps, since there is no memory: {error}");
                self.release();
                make()
            }
            made => made,
        }
    }

    /// Gives all kept memory back to the driver, and what dead channels have.
    pub(crate) fn release(&self) {
        self.channels.bury();
        self.store.clear();
        self.device().reclaim();
    }

    pub(crate) fn reserve(self: &Arc<Self>) -> Reservation {
        Reservation { memory: self.clone(), bytes: 0 }
    }
}
