//! [`DeviceBuffer`]: memory that the GPU addresses, in its own memory or in the host's.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use nvkernel_sys::class;
use nvkernel_sys::rm::{
    self, NV_MEMORY_ALLOCATION_PARAMS, memory_attr as attr, memory_attr2 as attr2, nvos46_flags,
};
use zerocopy::FromZeros;

use crate::address_space::{DeviceInner, Parked, Placement};
use crate::error::{Error, Result};
use crate::in_flight::{LastUses, Slot};
use crate::mapping::{self, Access, LINE, Mapping};
use crate::quota::{Charge, Quota};
use crate::rm::RmObject;

#[allow(unsafe_code)]
mod input;
mod share;
mod word;

pub use input::{Input, InputMut};
pub use share::Exported;
pub use word::{Outside, SharedWord, WordPoint};

const KIB4: u64 = 4 << 10;
const KIB64: u64 = 64 << 10;
const MIB2: u64 = 2 << 20;

/// The pages that an allocation is made of.
fn page_size(size: u64, placement: Placement) -> u64 {
    let huge = size.checked_next_multiple_of(MIB2).is_some_and(|rounded| rounded - size <= size / 8);
    match placement {
        // Huge pages only where little is lost to rounding: a 1080p surface of 3 MiB would take 4.
        Placement::Vidmem if huge => MIB2,
        Placement::Vidmem => KIB64,
        Placement::Sysmem => KIB4,
    }
}

/// Bytes that a buffer of `size` bytes really takes: whole pages.
pub fn allocation_size(size: u64, placement: Placement) -> u64 {
    size.max(1).checked_next_multiple_of(page_size(size, placement)).unwrap_or(u64::MAX)
}

/// Whose memory an allocation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The crate's own: rings, push buffers, semaphores, inputs. Whoever could write there could have engines do
    /// anything, so no one else is ever given it.
    Internal,
    /// That of a caller, who may give it to others.
    Caller,
    /// Somebody else's, who gave it to us.
    Imported,
}

/// One allocation: an RM memory object, mapped into the device's address space for as long as it lives, and for as long
/// as queues work with it.
#[derive(Debug)]
struct Allocation {
    mapping: OnceLock<Mapping>,
    memory: Arc<RmObject>,
    device: Arc<DeviceInner>,
    placement: Placement,
    access: Access,
    purpose: Purpose,
    /// Whether others may have it, or had it.
    exported: AtomicBool,
    address: u64,
    size: u64,
    users: LastUses,
    /// Declared behind the memory, to end when the driver has that back.
    charge: Option<Arc<Charge>>,
}

/// How an object is mapped.
#[derive(Clone, Copy, Debug)]
struct Mapped {
    placement: Placement,
    access: Access,
    purpose: Purpose,
    size: u64,
    /// Of its address.
    alignment: u64,
}

/// A range of an allocation. Clones share the allocation, which is freed behind the last of them, and behind the work
/// of all queues that were given it.
#[derive(Clone)]
pub struct DeviceBuffer {
    allocation: Arc<Allocation>,
    offset: u64,
    size: u64,
}

impl fmt::Debug for DeviceBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}+{:#x} in {}", self.gpu_address(), self.size, self.placement())
    }
}

impl DeviceBuffer {
    /// Memory for the crate itself.
    pub(crate) fn allocate(
        device: &Arc<DeviceInner>,
        size: u64,
        placement: Placement,
        access: Access,
        quota: Option<&Arc<Quota>>,
    ) -> Result<Self> {
        Self::allocate_for(device, size, placement, access, quota, Purpose::Internal)
    }

    /// Memory for a caller, who may share it.
    pub(crate) fn allocate_for_caller(
        device: &Arc<DeviceInner>,
        size: u64,
        placement: Placement,
        quota: Option<&Arc<Quota>>,
    ) -> Result<Self> {
        Self::allocate_for(device, size, placement, Access::ReadWrite, quota, Purpose::Caller)
    }

    fn allocate_for(
        device: &Arc<DeviceInner>,
        size: u64,
        placement: Placement,
        access: Access,
        quota: Option<&Arc<Quota>>,
        purpose: Purpose,
    ) -> Result<Self> {
        device.reclaim();
        let page = page_size(size, placement);
        let size = size.max(1).checked_next_multiple_of(page).ok_or(Error::AddressSpaceFull { size })?;
        // Dropped behind the memory if something fails.
        let charge = quota.map(|quota| quota.charge(size)).transpose()?.map(Arc::new);
        let mut params = NV_MEMORY_ALLOCATION_PARAMS::new_zeroed();
        params.owner = device.client.root();
        params.flags = rm::NVOS32_ALLOC_FLAGS_IGNORE_BANK_PLACEMENT
            | rm::NVOS32_ALLOC_FLAGS_ALIGNMENT_FORCE
            | rm::NVOS32_ALLOC_FLAGS_MAP_NOT_REQUIRED;
        params.attr = attr::PHYSICALITY.of(attr::PHYSICALITY_ALLOW_NONCONTIGUOUS);
        params.attr2 = attr2::ZBC.of(attr2::ZBC_PREFER_NO_ZBC);
        params.size = size;
        params.alignment = page;
        params.limit = size - 1;
        let class = match placement {
            Placement::Vidmem => {
                params.type_ = rm::NVOS32_TYPE_IMAGE;
                params.flags |= rm::NVOS32_ALLOC_FLAGS_PERSISTENT_VIDMEM;
                params.attr2 |= attr2::GPU_CACHEABLE.of(attr2::GPU_CACHEABLE_YES);
                if page == MIB2 {
                    params.attr |= attr::PAGE_SIZE.of(attr::PAGE_SIZE_HUGE);
                    params.attr2 |= attr2::PAGE_SIZE_HUGE.of(attr2::PAGE_SIZE_HUGE_2MB);
                } else {
                    params.attr |= attr::PAGE_SIZE.of(attr::PAGE_SIZE_BIG);
                }
                class::NV01_MEMORY_LOCAL_USER
            }
            Placement::Sysmem => {
                params.type_ = rm::NVOS32_TYPE_NOTIFIER;
                params.attr |= attr::LOCATION.of(attr::LOCATION_PCI);
                params.attr |= attr::COHERENCY.of(attr::COHERENCY_WRITE_BACK);
                params.attr2 |= attr2::GPU_CACHEABLE.of(attr2::GPU_CACHEABLE_NO);
                class::NV01_MEMORY_SYSTEM
            }
        };
        let memory = device.client.alloc(Some(&device.device), class, &mut params)?;
        let what = Mapped { placement, access, purpose, size, alignment: page };
        Self::map_object(device, memory, what, charge)
    }

    /// A buffer that is the whole of `memory`, mapped for the GPU.
    fn map_object(
        device: &Arc<DeviceInner>,
        memory: Arc<RmObject>,
        what: Mapped,
        charge: Option<Arc<Charge>>,
    ) -> Result<Self> {
        let Mapped { placement, access, purpose, size, alignment } = what;
        let address = device.take_address(size, alignment)?;
        // Without snooping, what the CPU wrote may still sit in its cache when the GPU reads, and vice versa.
        let flags = nvos46_flags::CACHE_SNOOP.of(u32::from(placement == Placement::Sysmem))
            | nvos46_flags::DMA_OFFSET_FIXED.of(1)
            | nvos46_flags::ACCESS.of(match access {
                Access::ReadWrite => nvos46_flags::ACCESS_READ_WRITE,
                Access::ReadOnly => nvos46_flags::ACCESS_READ_ONLY,
            });
        let window = device.window.handle();
        if let Err(error) =
            device.client.map_dma(device.device.handle(), window, memory.handle(), size, flags, address)
        {
            device.release_address(address, size);
            return Err(error);
        }
        let (mapping, device) = (OnceLock::new(), device.clone());
        let allocation = Allocation {
            mapping,
            memory,
            device,
            placement,
            access,
            purpose,
            exported: AtomicBool::new(false),
            address,
            size,
            users: LastUses::default(),
            charge,
        };
        Ok(DeviceBuffer { allocation: Arc::new(allocation), offset: 0, size })
    }

    /// First GPU address of the buffer; always below 2^40.
    #[inline]
    pub fn gpu_address(&self) -> u64 {
        self.allocation.address + self.offset
    }

    /// Length in bytes.
    #[inline]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Where the memory lies.
    pub fn placement(&self) -> Placement {
        self.allocation.placement
    }

    /// The part of `size` bytes at `offset`. Panics if it is not inside.
    #[inline]
    pub fn slice(&self, offset: u64, size: u64) -> DeviceBuffer {
        assert!(
            offset.checked_add(size).is_some_and(|end| end <= self.size),
            "slice {offset:#x}+{size:#x} of a buffer of {:#x}",
            self.size
        );
        DeviceBuffer { allocation: self.allocation.clone(), offset: self.offset + offset, size }
    }

    /// Whether both are parts of what was allocated at once.
    pub fn same_allocation(&self, other: &DeviceBuffer) -> bool {
        Arc::ptr_eq(&self.allocation, &other.allocation)
    }

    /// Where the buffer begins within what was allocated at once, in bytes.
    pub fn offset_in_allocation(&self) -> u64 {
        self.offset
    }

    /// Whether engines may write to the memory.
    pub fn is_writable(&self) -> bool {
        self.allocation.access == Access::ReadWrite
    }

    /// Whether nobody else has any part of the allocation, and no queue works with it.
    pub fn is_unused(&mut self) -> bool {
        // Unlike a look at the count, this is ordered behind what the other owners did.
        let allocation = Arc::get_mut(&mut self.allocation);
        allocation.is_some_and(|a| a.device.slots.are_done_with(&a.users))
    }

    /// Notes that the submission from `slot` that its timeline completes at `value` works with the memory.
    #[inline]
    pub(crate) fn used_until(&self, slot: &Slot, value: u64) {
        self.allocation.users.note(slot, value);
    }

    /// The device in whose address space the memory is.
    #[inline]
    pub(crate) fn device(&self) -> &Arc<DeviceInner> {
        &self.allocation.device
    }

    /// Whether `address..address + length` lies inside.
    pub fn contains(&self, address: u64, length: u64) -> bool {
        let start = self.gpu_address();
        address >= start && address.checked_add(length).is_some_and(|end| end <= start + self.size)
    }

    /// Handle of the RM memory object.
    pub(crate) fn memory_handle(&self) -> u32 {
        self.allocation.memory.handle()
    }

    /// The CPU's view of the *whole allocation*, made on first use. GPU memory is write-combined: fast to
    /// write in order, slow to read.
    #[inline]
    fn mapping(&self) -> Result<&Mapping> {
        match self.allocation.mapping.get() {
            Some(mapping) => Ok(mapping),
            None => self.map(),
        }
    }

    #[cold]
    fn map(&self) -> Result<&Mapping> {
        let a = &*self.allocation;
        let (minor, what) = match a.placement {
            Placement::Vidmem => (Some(a.device.info.minor), "GPU memory"),
            Placement::Sysmem => (None, "host memory"),
        };
        let mapping = a.device.map_for_cpu(&a.memory, minor, a.size as usize, what)?;
        Ok(a.mapping.get_or_init(|| mapping.with_access(a.access)))
    }

    /// Its first 32-bit word, in acquire order; `None` unless it is mapped.
    #[inline]
    pub(crate) fn first_word(&self) -> Option<u32> {
        self.allocation.mapping.get().map(|mapping| mapping.load(self.offset as usize))
    }

    /// This buffer as the CPU sees it, mapped on first use.
    #[inline]
    pub fn view(&self) -> Result<View<'_>> {
        Ok(View { mapping: self.mapping()?, offset: self.offset as usize, size: self.size as usize })
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        self.device.free(Parked {
            mapping: self.mapping.take(),
            memory: self.memory.clone(),
            address: self.address,
            size: self.size,
            users: std::mem::take(&mut self.users),
            charge: self.charge.clone(),
        });
    }
}

/// A [`DeviceBuffer`] in this process: offsets count from the buffer's start, every access is checked.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    mapping: &'a Mapping,
    offset: usize,
    size: usize,
}

impl View<'_> {
    #[inline]
    fn at(&self, offset: usize, length: usize) -> usize {
        assert!(
            offset.checked_add(length).is_some_and(|end| end <= self.size),
            "{length} bytes at {offset} lie outside a buffer of {}",
            self.size
        );
        self.offset + offset
    }

    /// As [`at`](Self::at), for bytes to be written.
    #[inline]
    fn at_mut(&self, offset: usize, length: usize) -> usize {
        assert!(self.mapping.access() == Access::ReadWrite, "an input is only read");
        self.at(offset, length)
    }

    /// Copies `data` to `offset`.
    #[inline]
    pub fn copy_in(&self, offset: usize, data: &[u8]) {
        self.mapping.copy_in(self.at_mut(offset, data.len()), data);
    }

    /// Has the processor fetch `length` bytes at `offset` of host memory that will be written soon: where a device read
    /// them last they are not in its caches, and whatever waits for stores waits for that.
    pub fn prefetch_to_write(&self, offset: usize, length: usize) {
        self.mapping.prefetch_to_write(self.at_mut(offset, length), length);
    }

    /// Copies much `data` to `offset`, past the caches of the processor.
    pub fn stream_in(&self, offset: usize, data: &[u8]) {
        self.mapping.stream_in(self.at_mut(offset, data.len()), data);
    }

    /// Copies bytes from `offset` to `data`.
    pub fn copy_out(&self, offset: usize, data: &mut [u8]) {
        self.mapping.copy_out(self.at(offset, data.len()), data);
    }

    /// Sets `length` bytes at `offset` to `value`.
    pub fn fill(&self, offset: usize, length: usize, value: u8) {
        self.mapping.fill(self.at_mut(offset, length), length, value);
    }

    /// Reads the 32-bit word at `offset`, acquire order.
    #[inline]
    pub fn load(&self, offset: usize) -> u32 {
        self.mapping.load(self.at(offset, 4))
    }

    /// Writes the 32-bit word at `offset`, release order.
    #[inline]
    pub fn store(&self, offset: usize, value: u32) {
        self.mapping.store(self.at_mut(offset, 4), value);
    }

    /// Reads the 64-bit word at `offset`, a multiple of 8, in one load, acquire order.
    pub fn load_u64(&self, offset: usize) -> u64 {
        self.mapping.load_u64(self.at(offset, 8))
    }
}

/// Reads the first 64 bytes of each buffer, which lie on a line of 64, after everything that was loaded before. A read
/// of GPU memory is a round trip over the bus; those of eight buffers take about as long as one, where the processor
/// has instructions for that.
pub fn load_lines<'a>(from: impl IntoIterator<Item = View<'a>>, to: &mut [[u8; LINE]]) {
    mapping::load_lines(from.into_iter().map(|view| (view.mapping, view.at(0, LINE))), to);
}
