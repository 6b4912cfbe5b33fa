//! [`UploadRing`]: host memory that carries descriptors, tables and slice data to the engine.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hcq::{DeviceBuffer, SyncPoint};

use super::store::{Lease, Purpose};
use super::{AtLimit, Memory};
use crate::error::{Error, Result};

/// Size to begin with.
const INITIAL_BYTES: u64 = 2 << 20;
/// Largest ring: beyond this, the ring is waited for instead of grown.
const MAX_BYTES: u64 = 256 << 20;
const ALIGNMENT: u64 = 256;
/// Bytes that are copied past the caches: the next thing that reads them is an engine, and the ring as a whole is larger than
/// the caches next to the processor.
const STREAMED: usize = 2048;

/// A ring in host memory. One chunk at a time is open and grows; closed chunks are freed in order, each when
/// the point that is named for it later is reached.
#[derive(Debug)]
pub(crate) struct UploadRing {
    /// Where it grows from.
    source: Arc<Memory>,
    memory: Lease,
    /// Bytes used since the beginning, counting what was skipped at the end of the ring.
    head: u64,
    closed: VecDeque<Closed>,
    /// Where the memory that is known to be free ends, counted like `head`.
    free: u64,
    /// Chunks closed so far.
    count: u64,
    open: Option<Open>,
    /// Chunks in use from which on a full ring is waited for rather than grown.
    enough: usize,
    /// Most chunks that are left in use when a full ring was waited for, and the longest sleep at a time.
    waits: (usize, Duration),
}

/// A chunk whose bytes are all there.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    /// Its memory, which it keeps alive.
    pub(crate) memory: DeviceBuffer,
    id: ChunkId,
}

/// Which of a ring's chunks it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkId(u64);

impl Chunk {
    pub(crate) fn id(&self) -> ChunkId {
        self.id
    }
}

#[derive(Debug)]
struct Closed {
    id: u64,
    start: u64,
    end: End,
}

/// When a closed chunk is out of use.
#[derive(Debug)]
enum End {
    /// It is not submitted yet.
    Unknown,
    At(SyncPoint),
    Now,
}

impl Closed {
    fn is_over(&self) -> bool {
        match &self.end {
            End::Unknown => false,
            End::At(point) => point.is_reached(),
            End::Now => true,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Open {
    start: u64,
    length: u64,
}

impl UploadRing {
    pub(crate) fn new(source: &Arc<Memory>) -> Result<Self> {
        Ok(UploadRing {
            source: source.clone(),
            memory: source.allocate(INITIAL_BYTES, Purpose::Upload, AtLimit::Wait)?,
            head: 0,
            free: 0,
            closed: VecDeque::new(),
            count: 0,
            open: None,
            enough: usize::MAX,
            waits: (usize::MAX, Duration::ZERO),
        })
    }

    /// Has the ring grow no further for more than so many chunks.
    pub(crate) fn set_enough(&mut self, chunks: usize) {
        self.enough = chunks;
    }

    /// Has a full ring be waited for until half of its chunks are left in use, or `left` if these are fewer, in sleeps of no
    /// more than `nap`.
    pub(crate) fn set_waits(&mut self, (left, nap): (usize, Duration)) {
        self.waits = (left, nap);
    }

    /// Opens a chunk of `length` bytes, dropping one that is still open. Its bytes are undefined; the first `soon` of them are
    /// to be written at the end.
    pub(crate) fn open(&mut self, length: u64, soon: usize) -> Result<()> {
        self.open = None;
        let start = self.reserve(self.head.next_multiple_of(ALIGNMENT), length)?;
        self.memory.view()?.prefetch_to_write((start % self.memory.size()) as usize, soon);
        self.open = Some(Open { start, length });
        Ok(())
    }

    /// Appends to the open chunk.
    pub(crate) fn append(&mut self, parts: &[&[u8]]) -> Result<()> {
        let open = self.open.expect("append follows open");
        let added: u64 = parts.iter().map(|p| p.len() as u64).sum();
        let start = self.reserve(open.start, open.length + added)?;
        let mut at = start % self.memory.size() + open.length;
        let view = self.memory.view()?;
        for part in parts {
            match part.len() < STREAMED {
                true => view.copy_in(at as usize, part),
                false => view.stream_in(at as usize, part),
            }
            at += part.len() as u64;
        }
        self.open = Some(Open { start, length: open.length + added });
        Ok(())
    }

    /// Length of the open chunk.
    pub(crate) fn length(&self) -> u64 {
        self.open.map_or(0, |o| o.length)
    }

    /// Closes the open chunk.
    pub(crate) fn close(&mut self) -> Chunk {
        let open = self.open.take().expect("close follows open");
        self.head = open.start + open.length;
        self.count += 1;
        let id = self.count;
        self.closed.push_back(Closed { id, start: open.start, end: End::Unknown });
        let memory = self.memory.slice(open.start % self.memory.size(), open.length);
        Chunk { memory, id: ChunkId(id) }
    }

    /// Frees a closed chunk once `point` is reached, or now.
    pub(crate) fn free(&mut self, chunk: ChunkId, point: Option<SyncPoint>) {
        // A chunk of memory that the ring has outgrown is not there any more.
        let first = self.closed.front().map_or(0, |closed| closed.id);
        let at = chunk.0.checked_sub(first).map(|at| at as usize);
        if let Some(closed) = at.and_then(|at| self.closed.get_mut(at)) {
            closed.end = point.map_or(End::Now, End::At);
        }
    }

    /// Makes room for `length` contiguous bytes that begin at `start`, or further on, or in a larger ring; an
    /// open chunk moves along. Returns where they begin.
    fn reserve(&mut self, start: u64, length: u64) -> Result<u64> {
        let size = self.memory.size();
        let at = start % size;
        let begin = if at + length > size { start + size - at } else { start };
        if length > size || begin + length > self.free {
            while self.closed.front().is_some_and(Closed::is_over) {
                self.closed.pop_front();
            }
            self.free = self.closed.front().map_or(begin, |closed| closed.start) + size;
        }
        if length <= size && begin + length <= self.free {
            if begin != start {
                self.move_open(self.memory.buffer(), at, begin % size)?;
            }
            self.memory.written_to(begin % size + length);
            return Ok(begin);
        }
        if length <= size && self.closed.len() >= self.enough && self.wait_for_room()? {
            return self.reserve(start, length);
        }
        if size < MAX_BYTES {
            let wanted = (2 * size).max((2 * length).next_power_of_two()).min(MAX_BYTES);
            if length > wanted {
                return Err(Error::PictureTooLarge { bytes: length, limit: MAX_BYTES });
            }
            // Pictures in flight keep the old memory as it is.
            let old = std::mem::replace(
                &mut self.memory,
                self.source.allocate(wanted, Purpose::Upload, AtLimit::Wait)?,
            );
            self.closed.clear();
            (self.head, self.free) = (0, 0);
            self.move_open(old.buffer(), at, 0)?;
            self.memory.written_to(length);
            return Ok(0);
        }
        if length > size {
            return Err(Error::PictureTooLarge { bytes: length, limit: MAX_BYTES });
        }
        match &self.closed.front().expect("an empty ring holds any chunk up to its size").end {
            End::At(point) => self.source.channels().wait_until_over(point)?,
            End::Now => {}
            // Those who hold pictures back keep to less than would bring this about.
            End::Unknown => return Err(Error::PictureTooLarge { bytes: length, limit: size / 2 }),
        }
        self.reserve(start, length)
    }

    /// Waits for half of the chunks or more, or nearly: waking up costs more than looking. `false`, and at once, if they are
    /// not all submitted.
    fn wait_for_room(&self) -> Result<bool> {
        let (most, nap) = self.waits;
        let left = (self.closed.len() / 2).min(most);
        let last = self.closed.len().saturating_sub(left + 1);
        let Some(Closed { end: End::At(point), .. }) = self.closed.get(last) else { return Ok(false) };
        self.source.channels().wait_until_nearly_over(point, left as u64 / 4, nap)?;
        // Of several engines another one may have the oldest.
        if let Some(Closed { end: End::At(point), .. }) = self.closed.front() {
            self.source.channels().wait_until_over(point)?;
        }
        Ok(self.closed.front().is_some_and(Closed::is_over))
    }

    /// Copies what the open chunk holds so far from `from` in `old` to `to` in the present memory.
    fn move_open(&self, old: &DeviceBuffer, from: u64, to: u64) -> Result<()> {
        let Some(open) = self.open else { return Ok(()) };
        let mut bytes = vec![0; open.length as usize];
        old.view()?.copy_out(from as usize, &mut bytes);
        self.memory.view()?.copy_in(to as usize, &bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
