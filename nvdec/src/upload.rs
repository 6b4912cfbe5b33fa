//! [`UploadRing`]: host memory that carries descriptors, tables and slice data to the engine.

use std::collections::VecDeque;
use std::time::Duration;

use hcq::{Device, DeviceBuffer, Placement, SyncPoint};

use crate::error::{Error, Result};

/// Size to begin with.
const INITIAL_BYTES: u64 = 2 << 20;
/// Largest ring: beyond this, the ring is waited for instead of grown.
const MAX_BYTES: u64 = 256 << 20;
const ALIGNMENT: u64 = 256;
const TIMEOUT: Duration = Duration::from_secs(10);

/// A ring in host memory. One chunk at a time is open and grows; closed chunks are freed in order, each when
/// its point is reached.
#[derive(Debug)]
pub(crate) struct UploadRing {
    device: Device,
    memory: DeviceBuffer,
    /// Bytes used since the beginning, counting what was skipped at the end of the ring.
    head: u64,
    closed: VecDeque<(u64, SyncPoint)>,
    open: Option<Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    start: u64,
    length: u64,
}

impl UploadRing {
    pub(crate) fn new(device: &Device) -> Result<Self> {
        Ok(UploadRing {
            device: device.clone(),
            memory: device.allocate(INITIAL_BYTES, Placement::Sysmem)?,
            head: 0,
            closed: VecDeque::new(),
            open: None,
        })
    }

    /// Opens a chunk of `length` bytes, dropping one that is still open. Its bytes are undefined.
    pub(crate) fn open(&mut self, length: u64) -> Result<()> {
        self.open = None;
        let start = self.reserve(self.head.next_multiple_of(ALIGNMENT), length)?;
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
            view.copy_in(at as usize, part);
            at += part.len() as u64;
        }
        self.open = Some(Open { start, length: open.length + added });
        Ok(())
    }

    /// Overwrites bytes of the open chunk at `offset`.
    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let open = self.open.expect("write follows open");
        assert!(offset + bytes.len() as u64 <= open.length, "write beyond the open chunk");
        self.memory.view()?.copy_in((open.start % self.memory.size() + offset) as usize, bytes);
        Ok(())
    }

    /// Length of the open chunk.
    pub(crate) fn length(&self) -> u64 {
        self.open.map_or(0, |o| o.length)
    }

    /// The open chunk's memory.
    pub(crate) fn chunk(&self) -> DeviceBuffer {
        let open = self.open.expect("chunk follows open");
        self.memory.slice(open.start % self.memory.size(), open.length)
    }

    /// Closes the chunk: its memory is free again once `point` is reached.
    pub(crate) fn close(&mut self, point: SyncPoint) {
        let open = self.open.take().expect("close follows open");
        self.head = open.start + open.length;
        self.closed.push_back((open.start, point));
    }

    /// Makes room for `length` contiguous bytes that begin at `start`, or further on, or in a larger ring; an
    /// open chunk moves along. Returns where they begin.
    fn reserve(&mut self, start: u64, length: u64) -> Result<u64> {
        let size = self.memory.size();
        let at = start % size;
        let begin = if at + length > size { start + size - at } else { start };
        while self.closed.front().is_some_and(|(_, point)| point.is_reached()) {
            self.closed.pop_front();
        }
        let oldest = self.closed.front().map_or(begin, |&(start, _)| start);
        if length <= size && begin + length <= oldest + size {
            if begin != start {
                self.move_open(&self.memory.clone(), at, begin % size)?;
            }
            return Ok(begin);
        }
        if size < MAX_BYTES {
            let wanted = (2 * size).max((2 * length).next_power_of_two()).min(MAX_BYTES);
            if length > wanted {
                return Err(Error::PictureTooLarge { bytes: length, limit: MAX_BYTES });
            }
            // Pictures in flight keep the old memory alive.
            let old = std::mem::replace(&mut self.memory, self.device.allocate(wanted, Placement::Sysmem)?);
            self.closed.clear();
            self.head = 0;
            self.move_open(&old, at, 0)?;
            return Ok(0);
        }
        if length > size {
            return Err(Error::PictureTooLarge { bytes: length, limit: MAX_BYTES });
        }
        let (_, point) = self.closed.front().expect("an empty ring holds any chunk up to its size").clone();
        point.wait(TIMEOUT)?;
        self.reserve(start, length)
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
