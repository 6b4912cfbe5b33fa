//! [`Cache`]: what was read once and is not read again until it is invalidated.
//!
//! Hardware keeps instructions, constants and launch descriptors in caches that writes do not reach. A driver that
//! writes new ones to an old address and invalidates nothing gets the old bytes, or the new ones, as it happens. The
//! model always gives the old ones, so that the mistake shows.
//!
//! An entry is the whole range that was read, found by its first address. Reads of other ranges that overlap it are not
//! stale here, and entries are dropped only when there are very many of them.

use std::collections::VecDeque;

use crate::kernel::emulated::memory::address_space::{AddressSpace, MmuFault};

/// Ranges that are kept; the oldest goes first.
const ENTRIES: usize = 256;

/// A cache of one kind of bytes, of one channel.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    entries: VecDeque<(u64, Vec<u8>)>,
}

impl Cache {
    /// The `length` bytes at `address`, as they were when they were last read afresh.
    pub(crate) fn read(
        &mut self,
        memory: &AddressSpace,
        address: u64,
        length: usize,
    ) -> Result<Vec<u8>, MmuFault> {
        let mut bytes = vec![0; length];
        // Memory is looked at in any case: what is not mapped faults, cached or not.
        memory.read(address, &mut bytes)?;
        self.remember(address, &mut bytes);
        Ok(bytes)
    }

    /// The same, but what lies behind the last mapped byte is left out.
    ///
    /// # Errors
    ///
    /// [`MmuFault`] if not a single byte is mapped.
    pub(crate) fn read_mapped(
        &mut self,
        memory: &AddressSpace,
        address: u64,
        length: usize,
    ) -> Result<Vec<u8>, MmuFault> {
        let mut bytes = vec![0; length];
        match memory.read(address, &mut bytes) {
            Err(fault) if fault.address <= address => return Err(fault),
            Err(fault) => bytes.truncate((fault.address - address) as usize),
            Ok(()) => {}
        }
        self.remember(address, &mut bytes);
        Ok(bytes)
    }

    /// Replaces what is cached of `bytes`, and keeps them.
    fn remember(&mut self, address: u64, bytes: &mut [u8]) {
        if let Some((_, old)) = self.entries.iter_mut().find(|(at, _)| *at == address) {
            let common = old.len().min(bytes.len());
            if bytes[..common] != old[..common] {
                log::warn!(
                    "stale bytes at GPU address {address:#x}: memory has changed and no cache was invalidated"
                );
                bytes[..common].copy_from_slice(&old[..common]);
            }
            if bytes.len() > old.len() {
                *old = bytes.to_vec();
            }
            return;
        }
        if self.entries.len() == ENTRIES {
            self.entries.pop_front();
        }
        self.entries.push_back((address, bytes.to_vec()));
    }

    /// Forgets everything.
    pub(crate) fn invalidate(&mut self) {
        self.entries.clear();
    }

    /// Forgets what begins at `address`.
    pub(crate) fn invalidate_at(&mut self, address: u64) {
        self.entries.retain(|(at, _)| *at != address);
    }
}
