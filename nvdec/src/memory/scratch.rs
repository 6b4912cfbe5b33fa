//! [`ScratchStore`]: what engines work in for the length of a picture.

use std::sync::Arc;

use hcq::{DeviceBuffer, EngineType, SyncPoint};

use super::store::Lease;
use super::{AtLimit, Memory};
use crate::channels::is_lost;
use crate::error::Result;
use crate::scheduler::cost::Time;
use crate::uses::Uses;

/// The scratch memory of one session, one buffer an engine, as long as there may be so many. Then a buffer goes from
/// one engine to the next behind the work that it was used for. Not shared with other sessions: a damaged stream may
/// make an engine read what it did not write.
#[derive(Debug)]
pub(crate) struct ScratchStore {
    source: Arc<Memory>,
    /// Most buffers.
    most: usize,
    buffers: Vec<Scratch>,
}

#[derive(Debug)]
struct Scratch {
    memory: Lease,
    /// The engine that it was used on last.
    engine: EngineType,
    uses: Uses,
    /// When it is clear, unless that is known to be over.
    cleared: Option<SyncPoint>,
}

impl Scratch {
    fn new(source: &Memory, engine: EngineType, size: u64, at_limit: AtLimit) -> Result<Scratch> {
        let (memory, cleared) = source.allocate_filled(size, 0, at_limit)?;
        Ok(Scratch { memory, engine, uses: Uses::written_by(cleared.clone()), cleared: Some(cleared) })
    }

    /// Whether it is to be replaced, for a picture that needs `size` bytes.
    fn is_unfit(&mut self, size: u64) -> bool {
        let over = self.cleared.take_if(|cleared| cleared.is_reached());
        // The copy engine's channel died before it was clear: what lies there may be another's.
        self.memory.size() < size || over.as_ref().is_some_and(is_lost)
    }
}

impl ScratchStore {
    /// For `most` engines at a time, one at least.
    pub(crate) fn new(source: &Arc<Memory>, most: usize) -> Self {
        ScratchStore { source: source.clone(), most: most.max(1), buffers: Vec::new() }
    }

    /// Sets how many buffers there are at most, one at least. The ones that are out of use first are given back.
    pub(crate) fn set_most(&mut self, most: usize) {
        self.most = most.max(1);
        self.buffers.sort_by_key(|scratch| std::cmp::Reverse(scratch.uses.free_time()));
        self.buffers.truncate(self.most);
    }

    /// The number of a buffer of at least `size` bytes for a picture on `engine`, which has to wait for `waits` as
    /// well.
    pub(crate) fn take(
        &mut self,
        engine: EngineType,
        size: u64,
        waits: &mut Vec<SyncPoint>,
    ) -> Result<usize> {
        let at = match self.buffers.iter().position(|scratch| scratch.engine == engine) {
            Some(at) => at,
            None => self.another(engine, size)?,
        };
        let scratch = &mut self.buffers[at];
        if scratch.is_unfit(size) {
            // Pictures in flight keep the old one as it is.
            *scratch = Scratch::new(&self.source, engine, size, AtLimit::Wait)?;
        }
        // The engine itself works in order.
        if scratch.engine != engine || scratch.cleared.is_some() {
            waits.extend(scratch.uses.before_write().cloned());
            scratch.engine = engine;
        }
        Ok(at)
    }

    /// A buffer for an engine that has none: a new one, or else the one that is out of use first.
    fn another(&mut self, engine: EngineType, size: u64) -> Result<usize> {
        let first = (0..self.buffers.len()).min_by_key(|&at| self.buffers[at].uses.free_time());
        if let Some(first) = first.filter(|_| self.buffers.len() >= self.most) {
            return Ok(first);
        }
        let at_limit = if first.is_some() { AtLimit::Fail } else { AtLimit::Wait };
        match (Scratch::new(&self.source, engine, size, at_limit), first) {
            (Ok(scratch), _) => {
                self.buffers.push(scratch);
                Ok(self.buffers.len() - 1)
            }
            (Err(error), Some(first)) if error.is_out_of_memory() => Ok(first),
            (Err(error), _) => Err(error),
        }
    }

    /// The memory of a buffer.
    pub(crate) fn memory(&self, number: usize) -> &DeviceBuffer {
        self.buffers[number].memory.buffer()
    }

    /// Notes that a picture works in a buffer until `point`, expected at `finish`.
    pub(crate) fn used_until(&mut self, number: usize, point: &SyncPoint, finish: Time) {
        let scratch = &mut self.buffers[number];
        // The clear lies on another timeline: only a picture that waited for it may take its place.
        scratch.uses.written_at(point, finish);
    }
}

#[cfg(test)]
mod tests;
