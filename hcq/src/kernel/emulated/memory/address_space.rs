//! GPU address spaces: what an MMU does, without page tables.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::physical::Memory;

/// What an engine wanted to do with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Read,
    /// Writing.
    Write,
}

/// Why the MMU refused (`NV_PFAULT_FAULT_TYPE`, as the resource manager names it).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Nothing is mapped anywhere near.
    Pde,
    /// The page itself is not mapped.
    Pte,
    /// The address is wider than the MMU's.
    VaLimit,
    /// The page is mapped for reading only.
    ReadOnly,
    /// The page is mapped for writing only.
    WriteOnly,
}

impl FaultKind {
    /// Number of the fault type (dev_fault.h).
    pub fn number(self) -> u32 {
        match self {
            FaultKind::Pde => 0,
            FaultKind::Pte => 2,
            FaultKind::VaLimit => 3,
            FaultKind::ReadOnly => 6,
            FaultKind::WriteOnly => 7,
        }
    }

    /// Its name in logs and in `NV906F_CTRL_CMD_GET_MMU_FAULT_INFO`.
    pub fn name(self) -> &'static str {
        match self {
            FaultKind::Pde => "FAULT_PDE",
            FaultKind::Pte => "FAULT_PTE",
            FaultKind::VaLimit => "FAULT_VA_LIMIT_VIOLATION",
            FaultKind::ReadOnly => "FAULT_RO_VIOLATION",
            FaultKind::WriteOnly => "FAULT_WO_VIOLATION",
        }
    }
}

/// A refused access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct MmuFault {
    /// First GPU address that could not be accessed.
    pub address: u64,
    /// What was wanted.
    pub access: Access,
    /// Why it was refused.
    pub kind: FaultKind,
}

impl fmt::Display for MmuFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = match self.access {
            Access::Read => "read",
            Access::Write => "write",
        };
        write!(f, "{} on a {access} of GPU address {:#x}", self.kind.name(), self.address)
    }
}

/// Who made a mapping: memory and window handles of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) client: u32,
    pub(crate) window: u32,
    pub(crate) memory: u32,
}

#[derive(Clone, Debug)]
struct Mapping {
    length: u64,
    memory: Arc<Memory>,
    /// Offset of the first byte within the memory.
    offset: u64,
    readable: bool,
    writable: bool,
    owner: Owner,
}

/// What is to be mapped, and how.
#[derive(Clone, Debug)]
pub(crate) struct MapRequest {
    pub(crate) memory: Arc<Memory>,
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) owner: Owner,
}

/// A GPU address space. Engines read and write memory through it; what is not mapped faults.
#[derive(Debug)]
pub struct AddressSpace {
    /// By first address; never overlapping.
    mappings: RwLock<BTreeMap<u64, Mapping>>,
    /// Grows with every change, so that cached translations notice.
    generation: AtomicU64,
    /// One past the highest address.
    limit: u64,
}

impl AddressSpace {
    pub(crate) fn new(limit: u64) -> Arc<AddressSpace> {
        Arc::new(AddressSpace { mappings: RwLock::default(), generation: AtomicU64::new(0), limit })
    }

    fn edit<R>(&self, f: impl FnOnce(&mut BTreeMap<u64, Mapping>) -> R) -> R {
        let mut mappings = self.mappings.write().unwrap_or_else(PoisonError::into_inner);
        let result = f(&mut mappings);
        self.generation.fetch_add(1, Ordering::Release);
        result
    }

    /// Maps at `address`; `false` if something is mapped there or the space ends before.
    pub(crate) fn map_at(&self, address: u64, request: MapRequest) -> bool {
        let Some(end) = address.checked_add(request.length).filter(|&end| end <= self.limit) else {
            return false;
        };
        self.edit(|mappings| {
            let taken =
                mappings.range(..end).next_back().is_some_and(|(&start, m)| start + m.length > address);
            if !taken {
                mappings.insert(address, request.into());
            }
            !taken
        })
    }

    /// Maps at the lowest free address in `base..=last` that is aligned to `alignment`.
    pub(crate) fn map_anywhere(
        &self,
        base: u64,
        last: u64,
        alignment: u64,
        request: MapRequest,
    ) -> Option<u64> {
        self.edit(|mappings| {
            let mut at = base.checked_next_multiple_of(alignment)?;
            if let Some((&start, m)) = mappings.range(..=at).next_back() {
                at = at.max(start + m.length).checked_next_multiple_of(alignment)?;
            }
            let fits = |at: u64, before: u64| at.checked_add(request.length).is_some_and(|end| end <= before);
            for (&start, m) in mappings.range(at..) {
                if fits(at, start) {
                    break;
                }
                at = (start + m.length).checked_next_multiple_of(alignment)?;
            }
            if !fits(at, self.limit.min(last.saturating_add(1))) {
                return None;
            }
            mappings.insert(at, request.into());
            Some(at)
        })
    }

    /// Undoes the mapping that starts at `address` and was made for `owner`.
    pub(crate) fn unmap(&self, address: u64, owner: Owner) -> bool {
        self.edit(|mappings| {
            let found = mappings.get(&address).is_some_and(|m| m.owner == owner);
            if found {
                mappings.remove(&address);
            }
            found
        })
    }

    /// Undoes every mapping whose owner is chosen.
    pub(crate) fn unmap_where(&self, chosen: impl Fn(Owner) -> bool) {
        self.edit(|mappings| mappings.retain(|_, m| !chosen(m.owner)));
    }

    /// Whether anything is mapped in `start..end`.
    pub(crate) fn maps_any_of(&self, start: u64, end: u64) -> bool {
        let mappings = self.mappings.read().unwrap_or_else(PoisonError::into_inner);
        mappings.range(..end).next_back().is_some_and(|(&at, m)| at + m.length > start)
    }

    pub(crate) fn mapping_count(&self) -> usize {
        self.mappings.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// A cache of the last translation, for those who access many neighbouring addresses.
    pub fn tlb(&self) -> Tlb<'_> {
        Tlb { space: self, entry: None }
    }

    /// Reads bytes at a GPU address.
    ///
    /// # Errors
    ///
    /// [`MmuFault`] at the first address that is not mapped; bytes before it were read.
    pub fn read(&self, address: u64, into: &mut [u8]) -> Result<(), MmuFault> {
        self.tlb().read(address, into)
    }

    /// Writes bytes at a GPU address.
    ///
    /// # Errors
    ///
    /// [`MmuFault`] at the first address that is not mapped; bytes before it were written.
    pub fn write(&self, address: u64, bytes: &[u8]) -> Result<(), MmuFault> {
        self.tlb().write(address, bytes)
    }

    /// Reads the word at `address`, a multiple of 4, as one access.
    ///
    /// # Errors
    ///
    /// [`MmuFault`] if it is not mapped.
    pub fn load_u32(&self, address: u64) -> Result<u32, MmuFault> {
        let entry = self.translate(address & !3, Access::Read)?;
        Ok(entry.memory.load_u32(entry.offset_of(address & !3)))
    }

    /// Reads the double word at `address`, a multiple of 8, as one access.
    ///
    /// # Errors
    ///
    /// [`MmuFault`] if it is not mapped.
    pub fn load_u64(&self, address: u64) -> Result<u64, MmuFault> {
        let entry = self.translate(address & !7, Access::Read)?;
        Ok(entry.memory.load_u64(entry.offset_of(address & !7)))
    }

    /// Writes the word at `address`, a multiple of 4, as one access, after everything written before.
    ///
    /// # Errors
    ///
    /// [`MmuFault`] if it is not mapped for writing.
    pub fn store_u32(&self, address: u64, value: u32) -> Result<(), MmuFault> {
        let entry = self.translate(address & !3, Access::Write)?;
        entry.memory.store_u32(entry.offset_of(address & !3), value);
        Ok(())
    }

    /// Writes the double word at `address`, a multiple of 8, as one access, after everything written before.
    ///
    /// # Errors
    ///
    /// [`MmuFault`] if it is not mapped for writing.
    pub fn store_u64(&self, address: u64, value: u64) -> Result<(), MmuFault> {
        let entry = self.translate(address & !7, Access::Write)?;
        entry.memory.store_u64(entry.offset_of(address & !7), value);
        Ok(())
    }

    /// Replaces the word at `address`, a multiple of 4, by a function of it, atomically.
    pub(crate) fn update_u32(&self, address: u64, f: impl Fn(u32) -> u32) -> Result<(), MmuFault> {
        let entry = self.translate(address & !3, Access::Write)?;
        entry.memory.update_u32(entry.offset_of(address & !3), f);
        Ok(())
    }

    fn translate(&self, address: u64, access: Access) -> Result<Entry, MmuFault> {
        let fault = |kind| MmuFault { address, access, kind };
        if address >= self.limit {
            return Err(fault(FaultKind::VaLimit));
        }
        let mappings = self.mappings.read().unwrap_or_else(PoisonError::into_inner);
        let found = mappings.range(..=address).next_back().filter(|(start, m)| address - **start < m.length);
        let Some((&start, mapping)) = found else {
            // A page directory entry covers 2 MiB.
            let region = address & !0x1f_ffff;
            let near = mappings.range(..region + 0x20_0000).next_back();
            let near = near.is_some_and(|(start, m)| start + m.length > region);
            return Err(fault(if near { FaultKind::Pte } else { FaultKind::Pde }));
        };
        match access {
            Access::Read if !mapping.readable => return Err(fault(FaultKind::WriteOnly)),
            Access::Write if !mapping.writable => return Err(fault(FaultKind::ReadOnly)),
            _ => {}
        }
        Ok(Entry {
            generation: self.generation.load(Ordering::Acquire),
            start,
            end: start + mapping.length,
            memory: mapping.memory.clone(),
            offset: mapping.offset,
            access,
        })
    }
}

impl From<MapRequest> for Mapping {
    fn from(request: MapRequest) -> Self {
        let MapRequest { memory, offset, length, readable, writable, owner } = request;
        Mapping { length, memory, offset, readable, writable, owner }
    }
}

/// A translation of a whole mapping.
#[derive(Clone, Debug)]
struct Entry {
    generation: u64,
    start: u64,
    end: u64,
    memory: Arc<Memory>,
    offset: u64,
    access: Access,
}

impl Entry {
    fn offset_of(&self, address: u64) -> u64 {
        address - self.start + self.offset
    }
}

/// See [`AddressSpace::tlb`]. An unmap is noticed at the next access.
#[derive(Debug)]
pub struct Tlb<'a> {
    space: &'a AddressSpace,
    entry: Option<Entry>,
}

impl Tlb<'_> {
    fn entry(&mut self, address: u64, access: Access) -> Result<&Entry, MmuFault> {
        let generation = self.space.generation.load(Ordering::Acquire);
        let hit = self.entry.as_ref().is_some_and(|e| {
            e.generation == generation && e.access == access && (e.start..e.end).contains(&address)
        });
        if !hit {
            self.entry = Some(self.space.translate(address, access)?);
        }
        Ok(self.entry.as_ref().expect("filled above"))
    }

    /// Reads bytes at a GPU address, across mappings that touch.
    ///
    /// # Errors
    ///
    /// [`MmuFault`] at the first address that is not mapped; bytes before it were read.
    pub fn read(&mut self, address: u64, into: &mut [u8]) -> Result<(), MmuFault> {
        let mut done = 0;
        while done < into.len() {
            let at = address.wrapping_add(done as u64);
            let entry = self.entry(at, Access::Read)?;
            let length = (entry.end - at).min((into.len() - done) as u64) as usize;
            entry.memory.read(entry.offset_of(at), &mut into[done..done + length]);
            done += length;
        }
        Ok(())
    }

    /// Writes bytes at a GPU address, across mappings that touch.
    ///
    /// # Errors
    ///
    /// [`MmuFault`] at the first address that is not mapped; bytes before it were written.
    pub fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), MmuFault> {
        let mut done = 0;
        while done < bytes.len() {
            let at = address.wrapping_add(done as u64);
            let entry = self.entry(at, Access::Write)?;
            let length = (entry.end - at).min((bytes.len() - done) as u64) as usize;
            entry.memory.write(entry.offset_of(at), &bytes[done..done + length]);
            done += length;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::physical::{Location, Pool};
    use super::*;

    fn request(pool: &Arc<Pool>, length: u64, handle: u32) -> MapRequest {
        MapRequest {
            memory: pool.allocate(length, 4096).unwrap(),
            offset: 0,
            length,
            readable: true,
            writable: true,
            owner: Owner { client: 1, window: 2, memory: handle },
        }
    }

    #[test]
    fn accesses_cross_neighbours_and_fault_in_holes() {
        let pool = Pool::new(Location::Vidmem, 1 << 24).unwrap();
        let space = AddressSpace::new(1 << 40);
        assert!(space.map_at(0x10_0000, request(&pool, 4096, 1)));
        assert!(space.map_at(0x10_1000, request(&pool, 4096, 2)));
        assert!(!space.map_at(0x10_0800, request(&pool, 4096, 3)), "overlap");
        assert!(space.maps_any_of(0x10_1fff, 0x10_3000) && space.maps_any_of(0, 0x10_0001));
        assert!(!space.maps_any_of(0x10_2000, 0x10_3000) && !space.maps_any_of(0, 0x10_0000));
        assert!(!space.map_at((1 << 40) - 4096, request(&pool, 8192, 3)), "beyond the end");
        let data: Vec<u8> = (0..=255).collect();
        space.write(0x10_0f80, &data).unwrap();
        let mut back = vec![0; 256];
        space.read(0x10_0f80, &mut back).unwrap();
        assert_eq!(back, data);
        let fault = space.write(0x10_1fff, &[0, 0]).unwrap_err();
        assert_eq!((fault.address, fault.kind), (0x10_2000, FaultKind::Pte));
        assert_eq!(space.load_u32(0x8000_0000).unwrap_err().kind, FaultKind::Pde);
        assert_eq!(space.load_u32(1 << 50).unwrap_err().kind, FaultKind::VaLimit);
        assert_eq!(space.read(u64::MAX - 1, &mut back).unwrap_err().kind, FaultKind::VaLimit);
    }

    #[test]
    fn rights_are_kept() {
        let pool = Pool::new(Location::Vidmem, 1 << 24).unwrap();
        let space = AddressSpace::new(1 << 40);
        space.map_at(0x1000, MapRequest { writable: false, ..request(&pool, 4096, 1) });
        assert_eq!(space.load_u32(0x1000), Ok(0));
        assert_eq!(space.store_u32(0x1000, 1).unwrap_err().kind, FaultKind::ReadOnly);
        let mut tlb = space.tlb();
        tlb.read(0x1000, &mut [0; 4]).unwrap();
        assert!(tlb.write(0x1000, &[0; 4]).is_err(), "the cached translation is for reading");
    }

    #[test]
    fn an_unmap_is_seen_at_once() {
        let pool = Pool::new(Location::Vidmem, 1 << 24).unwrap();
        let space = AddressSpace::new(1 << 40);
        space.map_at(0x1000, request(&pool, 4096, 1));
        let mut tlb = space.tlb();
        tlb.read(0x1000, &mut [0; 4]).unwrap();
        assert!(!space.unmap(0x1000, Owner { client: 1, window: 2, memory: 9 }), "not the owner");
        assert!(space.unmap(0x1000, Owner { client: 1, window: 2, memory: 1 }));
        assert!(tlb.read(0x1000, &mut [0; 4]).is_err());
        drop(tlb);
        assert_eq!((space.mapping_count(), pool.used()), (0, 0));
    }

    #[test]
    fn free_addresses_are_found_lowest_first() {
        let pool = Pool::new(Location::Vidmem, 1 << 24).unwrap();
        let space = AddressSpace::new(1 << 40);
        let any = |length, handle| space.map_anywhere(0x1000, 0xffff, 4096, request(&pool, length, handle));
        assert_eq!(any(0x2000, 1), Some(0x1000));
        assert_eq!(any(0x4000, 2), Some(0x3000));
        assert!(space.unmap(0x1000, Owner { client: 1, window: 2, memory: 1 }));
        assert_eq!(any(0x3000, 3), Some(0x7000));
        assert_eq!(any(0x2000, 4), Some(0x1000));
        assert_eq!(any(0x8000, 5), None);
    }
}
