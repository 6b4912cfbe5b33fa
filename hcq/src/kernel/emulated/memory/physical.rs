//! Physical memory of the model: what CPU mappings, engines and page tables all refer to.
//!
//! A [`Pool`] is one memory file as large as the memory that it stands for, mapped whole. Pages that were
//! never touched take no memory of the host, so a pool of 140 GiB costs nothing. An allocation is a range of the
//! file; a CPU mapping of it is an ordinary shared `mmap` of that range, so both sides see the same bytes.
//! Freed ranges are punched out of the file: the host gets its pages back and the next owner reads zeros, as
//! it does from a driver that scrubs memory.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use memmap2::{MmapOptions, MmapRaw};
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::kernel::emulated::sync::lock;
use crate::va::VaAllocator;

/// Where memory of the model lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// The GPU's own memory.
    Vidmem,
    /// Host memory.
    Sysmem,
    /// Registers of the GPU.
    Registers,
}

/// All memory of one kind.
#[derive(Debug)]
pub(crate) struct Pool {
    file: File,
    map: MmapRaw,
    location: Location,
    capacity: u64,
    free: Mutex<VaAllocator>,
    used: AtomicU64,
    /// What the driver has of `used` for itself.
    own: AtomicU64,
}

impl Pool {
    pub(crate) fn new(location: Location, capacity: u64) -> io::Result<Arc<Pool>> {
        let fd: OwnedFd = memfd_create("emulated-gpu-memory", MFdFlags::MFD_CLOEXEC)?;
        let file = File::from(fd);
        file.set_len(capacity)?;
        let map = MmapOptions::new().len(capacity as usize).map_raw(&file)?;
        Ok(Arc::new(Pool {
            file,
            map,
            location,
            capacity,
            free: Mutex::new(VaAllocator::new(0, capacity)),
            used: AtomicU64::new(0),
            own: AtomicU64::new(0),
        }))
    }

    /// Takes `size` bytes in pages of `page` bytes. `None` when no free range is that large.
    pub(crate) fn allocate(self: &Arc<Self>, size: u64, page: u64) -> Option<Arc<Memory>> {
        let size = size.checked_next_multiple_of(page).filter(|&size| size > 0 && size <= self.capacity)?;
        let offset = lock(&self.free).allocate(size, page)?;
        self.used.fetch_add(size, Ordering::Relaxed);
        Some(Arc::new(Memory { pool: self.clone(), offset, size, page, own: false }))
    }

    /// The same, for the driver itself: memory that no object of a client stands for.
    pub(crate) fn allocate_own(self: &Arc<Self>, size: u64, page: u64) -> Option<Arc<Memory>> {
        let mut memory = self.allocate(size, page)?;
        Arc::get_mut(&mut memory).expect("it was just made").own = true;
        self.own.fetch_add(memory.size, Ordering::Relaxed);
        Some(memory)
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Bytes that are allocated.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Bytes of them that the driver has for itself.
    pub(crate) fn own(&self) -> u64 {
        self.own.load(Ordering::Relaxed)
    }
}

/// One allocation, freed when its last owner (handle, mapping, export) lets go.
#[derive(Debug)]
pub(crate) struct Memory {
    pool: Arc<Pool>,
    offset: u64,
    size: u64,
    page: u64,
    /// The driver has it for itself.
    own: bool,
}

impl Memory {
    /// Bytes, a multiple of the page size.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of a page.
    pub(crate) fn page_size(&self) -> u64 {
        self.page
    }

    /// Where the memory lies.
    pub(crate) fn location(&self) -> Location {
        self.pool.location
    }

    /// Physical address within its pool.
    pub(crate) fn physical(&self) -> u64 {
        self.offset
    }

    /// Maps `length` bytes at `offset` for the CPU, as `mmap` of a device file does.
    pub(crate) fn map(&self, offset: u64, length: usize) -> io::Result<MmapRaw> {
        if offset.checked_add(length as u64).is_none_or(|end| end > self.size) {
            return Err(io::Error::from_raw_os_error(libc::ENXIO));
        }
        MmapOptions::new().offset(self.offset + offset).len(length).map_raw(&self.pool.file)
    }

    /// The bytes at `offset..offset + length`. Callers have checked the range: this is the model's own
    /// arithmetic, so a range outside is a bug of it.
    fn at(&self, offset: u64, length: usize) -> *mut u8 {
        let inside = offset.checked_add(length as u64).is_some_and(|end| end <= self.size);
        assert!(inside, "{length} bytes at {offset:#x} of memory of {:#x} bytes", self.size);
        self.pool.map.as_mut_ptr().wrapping_add((self.offset + offset) as usize)
    }

    /// Copies bytes out.
    pub(crate) fn read(&self, offset: u64, into: &mut [u8]) {
        let from = self.at(offset, into.len());
        // SAFETY: `from` is inside the pool's mapping (checked by `at`), which no Rust reference covers; other
        // writers make bytes stale, which every value of `u8` can be.
        unsafe { from.copy_to_nonoverlapping(into.as_mut_ptr(), into.len()) }
    }

    /// Copies bytes in.
    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) {
        let to = self.at(offset, bytes.len());
        // SAFETY: as in `read`; `bytes` is ordinary memory and never part of a pool.
        unsafe { to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) }
    }

    fn word(&self, offset: u64) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4), "word at unaligned offset {offset:#x}");
        // SAFETY: inside the mapping (checked by `at`), aligned (pools start on a page), accessed by others
        // atomically or by byte copies only; the reference does not outlive `self`, which keeps the pool.
        unsafe { AtomicU32::from_ptr(self.at(offset, 4).cast()) }
    }

    fn double_word(&self, offset: u64) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8), "double word at unaligned offset {offset:#x}");
        // SAFETY: as in `word`.
        unsafe { AtomicU64::from_ptr(self.at(offset, 8).cast()) }
    }

    /// Reads the word at `offset`, a multiple of 4, in acquire order.
    pub(crate) fn load_u32(&self, offset: u64) -> u32 {
        self.word(offset).load(Ordering::Acquire)
    }

    /// Writes the word at `offset`, a multiple of 4, in release order.
    pub(crate) fn store_u32(&self, offset: u64, value: u32) {
        self.word(offset).store(value, Ordering::Release);
    }

    /// Reads the double word at `offset`, a multiple of 8, in acquire order.
    pub(crate) fn load_u64(&self, offset: u64) -> u64 {
        self.double_word(offset).load(Ordering::Acquire)
    }

    /// Writes the double word at `offset`, a multiple of 8, in release order.
    pub(crate) fn store_u64(&self, offset: u64, value: u64) {
        self.double_word(offset).store(value, Ordering::Release);
    }

    /// Replaces the word at `offset`, a multiple of 4, by a function of it, atomically.
    pub(crate) fn update_u32(&self, offset: u64, f: impl Fn(u32) -> u32) {
        let _ = self.word(offset).fetch_update(Ordering::AcqRel, Ordering::Acquire, |old| Some(f(old)));
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        // Without holes the next owner sees old bytes, as it may on hardware.
        if let Err(error) = fallocate(&self.pool.file, flags, self.offset as i64, self.size as i64) {
            log::debug!("emulated memory is not cleared: {error}");
        }
        self.pool.used.fetch_sub(self.size, Ordering::Relaxed);
        if self.own {
            self.pool.own.fetch_sub(self.size, Ordering::Relaxed);
        }
        lock(&self.pool.free).release(self.offset, self.size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounting_and_reuse() {
        let pool = Pool::new(Location::Vidmem, 1 << 20).unwrap();
        let a = pool.allocate(5000, 4096).unwrap();
        assert_eq!((a.size(), pool.used()), (8192, 8192));
        a.write(4, &[1, 2, 3, 4]);
        assert_eq!(a.load_u32(4), 0x0403_0201);
        assert!(pool.allocate(1 << 20, 4096).is_none());
        drop(a);
        assert_eq!(pool.used(), 0);
        let b = pool.allocate(1 << 20, 65536).unwrap();
        assert_eq!(b.load_u32(4), 0, "freed memory is cleared");
        assert!(pool.allocate(u64::MAX, 4096).is_none());
        drop(b);
        let (own, other) = (pool.allocate_own(4096, 4096).unwrap(), pool.allocate(8192, 4096).unwrap());
        assert_eq!((pool.used(), pool.own()), (12288, 4096));
        drop(own);
        assert_eq!((pool.used(), pool.own()), (8192, 0));
        drop(other);
    }

    #[test]
    fn a_cpu_mapping_shows_the_same_bytes() {
        let pool = Pool::new(Location::Sysmem, 1 << 40).unwrap();
        let _first = pool.allocate(4096, 4096).unwrap();
        let memory = pool.allocate(8192, 4096).unwrap();
        let map = memory.map(4096, 4096).unwrap();
        memory.store_u64(4096, 0x1122_3344_5566_7788);
        // SAFETY: the mapping is 4096 bytes and page-aligned.
        let seen = unsafe { map.as_ptr().cast::<u64>().read_volatile() };
        assert_eq!(seen, 0x1122_3344_5566_7788);
        assert!(memory.map(4096, 8192).is_err());
    }
}
