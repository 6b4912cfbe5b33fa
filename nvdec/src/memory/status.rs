//! [`StatusMemory`]: where engines leave their verdicts.

use std::collections::VecDeque;

use hcq::{DeviceBuffer, allocation_size};

use super::store::{Lease, Purpose};
use super::{AtLimit, Memory};
use crate::error::{Error, Result};
use crate::status::STATUS_BYTES;

/// Pictures that memory is allocated for at once.
const SLOTS: u64 = 128;

/// Where engines leave their verdicts. In GPU memory: an engine reads and writes it several times a picture, the host
/// once.
#[derive(Debug)]
pub(crate) struct StatusMemory {
    chunks: Vec<Lease>,
    /// How many of them were cleared, which maps them.
    cleared: usize,
    /// Numbers of the free ones, each so many slots behind the beginning of the first chunk. They are clear. The one that was
    /// given back first is taken first, so that slots of pictures that follow each other do so as well.
    free: VecDeque<u64>,
}

/// Status memory of one picture.
#[derive(Debug)]
pub(crate) struct StatusSlot {
    pub(crate) memory: DeviceBuffer,
    pub(crate) number: u64,
}

impl StatusMemory {
    /// Bytes of GPU memory for `pictures` in flight.
    pub(crate) fn bytes(pictures: usize) -> u64 {
        let chunk = allocation_size(SLOTS * STATUS_BYTES, Purpose::Status.placement());
        (pictures as u64).div_ceil(SLOTS) * chunk
    }

    /// Memory for the first pictures; or none yet, if the memory limit leaves no room before a sequence is admitted.
    pub(crate) fn new(memory: &Memory) -> Result<Self> {
        let mut status = StatusMemory { chunks: Vec::new(), cleared: 0, free: VecDeque::new() };
        match status.grow(memory, AtLimit::Fail) {
            Ok(()) | Err(Error::MemoryLimit { .. }) => Ok(status),
            Err(error) => Err(error),
        }
    }

    fn grow(&mut self, memory: &Memory, at_limit: AtLimit) -> Result<()> {
        let chunk = memory.allocate(SLOTS * STATUS_BYTES, Purpose::Status, at_limit)?;
        let first = self.chunks.len() as u64 * SLOTS;
        self.free.extend(first..first + SLOTS);
        self.chunks.push(chunk);
        Ok(())
    }

    pub(crate) fn take(&mut self, memory: &Memory) -> Result<StatusSlot> {
        if self.free.is_empty() {
            self.grow(memory, AtLimit::Wait)?;
        }
        let number = self.free.pop_front().expect("just filled");
        let at = (number / SLOTS) as usize;
        let chunk = &self.chunks[at];
        if self.cleared <= at {
            chunk.view()?.fill(0, chunk.size() as usize, 0);
            self.cleared = at + 1;
        }
        let memory = chunk.slice(number % SLOTS * STATUS_BYTES, STATUS_BYTES);
        Ok(StatusSlot { memory, number })
    }

    /// Takes slots back, by number. They are clear.
    pub(crate) fn give_back(&mut self, slots: impl IntoIterator<Item = u64>) {
        self.free.extend(slots);
    }
}
