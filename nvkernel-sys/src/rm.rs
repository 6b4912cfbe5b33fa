//! Structures of the resource manager's calls and of object allocation, with the flag values they take.
//!
//! All are in the canonical layout; pass them through [`crate::layout::Abi::encode`] before the kernel sees them.

pub use crate::generated::alloc::*;
pub use crate::generated::rm::*;

bits! {
    /// `flags` of [`NVOS46_PARAMETERS`](NVOS46_PARAMETERS), a mapping into a GPU address space. From nvos.h (NVOS46_FLAGS).
    pub mod nvos46_flags (4 bytes) {
        /// What the GPU may do with the memory.
        ACCESS = 0x0 [1:0] {
            ACCESS_READ_WRITE = 0,
            ACCESS_READ_ONLY = 1,
            ACCESS_WRITE_ONLY = 2,
        };
        /// Take the kind from the physical or the virtual object.
        PAGE_KIND = 0x0 [3:3] {
            PAGE_KIND_PHYSICAL = 0,
            PAGE_KIND_VIRTUAL = 1,
        };
        /// Snoop the processor's caches; set it for system memory, else the processor may read stale lines.
        CACHE_SNOOP = 0x0 [4:4] {
            CACHE_SNOOP_DISABLE = 0,
            CACHE_SNOOP_ENABLE = 1,
        };
        /// Rights of shaders.
        SHADER_ACCESS = 0x0 [7:6] {
            SHADER_ACCESS_DEFAULT = 0,
            SHADER_ACCESS_READ_ONLY = 1,
            SHADER_ACCESS_WRITE_ONLY = 2,
            SHADER_ACCESS_READ_WRITE = 3,
        };
        /// Size of the pages; the default follows the memory.
        PAGE_SIZE = 0x0 [11:8] {
            PAGE_SIZE_DEFAULT = 0,
            PAGE_SIZE_4KB = 1,
            PAGE_SIZE_BIG = 2,
            PAGE_SIZE_BOTH = 3,
            PAGE_SIZE_HUGE = 4,
            PAGE_SIZE_512M = 5,
        };
        /// Where the search for a free range starts.
        DMA_OFFSET_GROWS = 0x0 [14:14] {
            DMA_OFFSET_GROWS_UP = 0,
            DMA_OFFSET_GROWS_DOWN = 1,
        };
        /// Map at `dmaOffset` instead of returning an address there.
        DMA_OFFSET_FIXED = 0x0 [15:15] {
            DMA_OFFSET_FIXED_FALSE = 0,
            DMA_OFFSET_FIXED_TRUE = 1,
        };
        /// Whether the GPU caches it.
        GPU_CACHEABLE = 0x0 [18:17] {
            GPU_CACHEABLE_DEFAULT = 0,
            GPU_CACHEABLE_YES = 1,
            GPU_CACHEABLE_NO = 2,
            GPU_CACHEABLE_INVALID = 3,
        };
        /// Take `kindOverride`. Since 580.65.06.
        PAGE_KIND_OVERRIDE = 0x0 [19:19] {
            PAGE_KIND_OVERRIDE_NO = 0,
            PAGE_KIND_OVERRIDE_YES = 1,
        };
        /// Keep the translation.
        TLB_LOCK = 0x0 [28:28] {
            TLB_LOCK_DISABLE = 0,
            TLB_LOCK_ENABLE = 1,
        };
        /// Leave the translation caches as they are for now.
        DEFER_TLB_INVALIDATION = 0x0 [31:31] {
            DEFER_TLB_INVALIDATION_FALSE = 0,
            DEFER_TLB_INVALIDATION_TRUE = 1,
        };
    }

    /// `flags` of [`NVOS02_PARAMETERS`](NVOS02_PARAMETERS), memory made of pages of the caller. From nvos.h (NVOS02_FLAGS).
    pub mod nvos02_flags (4 bytes) {
        /// Whether the pages are contiguous.
        PHYSICALITY = 0x0 [7:4] {
            PHYSICALITY_CONTIGUOUS = 0,
            PHYSICALITY_NONCONTIGUOUS = 1,
        };
        /// Where they are.
        LOCATION = 0x0 [11:8] {
            LOCATION_PCI = 0,
            LOCATION_VIDMEM = 2,
        };
        /// How the processor caches them.
        COHERENCY = 0x0 [15:12] {
            COHERENCY_UNCACHED = 0,
            COHERENCY_CACHED = 1,
            COHERENCY_WRITE_COMBINE = 2,
            COHERENCY_WRITE_THROUGH = 3,
            COHERENCY_WRITE_PROTECT = 4,
            COHERENCY_WRITE_BACK = 5,
        };
        /// Whether the GPU caches them.
        GPU_CACHEABLE = 0x0 [18:18] {
            GPU_CACHEABLE_NO = 0,
            GPU_CACHEABLE_YES = 1,
        };
        /// Map them into the kernel too.
        KERNEL_MAPPING = 0x0 [19:19] {
            KERNEL_MAPPING_NO_MAP = 0,
            KERNEL_MAPPING_MAP = 1,
        };
        /// The processor only reads.
        ALLOC_USER_READ_ONLY = 0x0 [21:21] {
            ALLOC_USER_READ_ONLY_NO = 0,
            ALLOC_USER_READ_ONLY_YES = 1,
        };
        /// The GPU only reads.
        ALLOC_DEVICE_READ_ONLY = 0x0 [22:22] {
            ALLOC_DEVICE_READ_ONLY_NO = 0,
            ALLOC_DEVICE_READ_ONLY_YES = 1,
        };
        /// Must be NO_MAP for pages that the caller has mapped already.
        MAPPING = 0x0 [31:30] {
            MAPPING_DEFAULT = 0,
            MAPPING_NO_MAP = 1,
            MAPPING_NEVER_MAP = 2,
        };
    }

    /// `flags` of [`NVOS33_PARAMETERS`](NVOS33_PARAMETERS), a mapping for the processor. From nvos.h (NVOS33_FLAGS).
    pub mod nvos33_flags (4 bytes) {
        /// What the processor may do.
        ACCESS = 0x0 [1:0] {
            ACCESS_READ_WRITE = 0,
            ACCESS_READ_ONLY = 1,
            ACCESS_WRITE_ONLY = 2,
        };
        /// Keep it over a power cycle.
        PERSISTENT = 0x0 [4:4] {
            PERSISTENT_DISABLE = 0,
            PERSISTENT_ENABLE = 1,
        };
        /// Do not compare with the size of the memory.
        SKIP_SIZE_CHECK = 0x0 [8:8] {
            SKIP_SIZE_CHECK_DISABLE = 0,
            SKIP_SIZE_CHECK_ENABLE = 1,
        };
        /// Address space of the mapping.
        MEM_SPACE = 0x0 [14:14] {
            MEM_SPACE_CLIENT = 0,
            MEM_SPACE_USER = 1,
        };
        /// Through BAR1 directly or reflected.
        MAPPING = 0x0 [16:15] {
            MAPPING_DEFAULT = 0,
            MAPPING_DIRECT = 1,
            MAPPING_REFLECTED = 2,
        };
        /// A channel's control area.
        FIFO_MAPPING = 0x0 [17:17] {
            FIFO_MAPPING_DEFAULT = 0,
            FIFO_MAPPING_ENABLE = 1,
        };
        /// At a given address.
        MAP_FIXED = 0x0 [18:18] {
            MAP_FIXED_DISABLE = 0,
            MAP_FIXED_ENABLE = 1,
        };
        /// Caching; the kernel replaces what a user gives by DEFAULT.
        CACHING_TYPE = 0x0 [25:23] {
            CACHING_TYPE_CACHED = 0,
            CACHING_TYPE_UNCACHED = 1,
            CACHING_TYPE_WRITECOMBINED = 2,
            CACHING_TYPE_WRITEBACK = 5,
            CACHING_TYPE_DEFAULT = 6,
            CACHING_TYPE_UNCACHED_WEAK = 7,
        };
    }

    /// `attr` of [`NV_MEMORY_ALLOCATION_PARAMS`](NV_MEMORY_ALLOCATION_PARAMS). From nvos.h (NVOS32_ATTR).
    pub mod memory_attr (4 bytes) {
        /// Compression.
        COMPR = 0x0 [13:12] {
            COMPR_NONE = 0,
            COMPR_REQUIRED = 1,
            COMPR_ANY = 2,
            COMPR_DISABLE_PLC_ANY = 3,
        };
        /// Layout of the surface; block linear gives page kind 6 on Turing and later.
        FORMAT = 0x0 [17:16] {
            FORMAT_PITCH = 0,
            FORMAT_SWIZZLED = 1,
            FORMAT_BLOCK_LINEAR = 2,
        };
        /// Size of the pages.
        PAGE_SIZE = 0x0 [24:23] {
            PAGE_SIZE_DEFAULT = 0,
            PAGE_SIZE_4KB = 1,
            PAGE_SIZE_BIG = 2,
            PAGE_SIZE_HUGE = 3,
        };
        /// Video memory or system memory.
        LOCATION = 0x0 [26:25] {
            LOCATION_VIDMEM = 0,
            LOCATION_PCI = 1,
            LOCATION_ANY = 3,
        };
        /// Whether the pages must be contiguous.
        PHYSICALITY = 0x0 [28:27] {
            PHYSICALITY_DEFAULT = 0,
            PHYSICALITY_NONCONTIGUOUS = 1,
            PHYSICALITY_CONTIGUOUS = 2,
            PHYSICALITY_ALLOW_NONCONTIGUOUS = 3,
        };
        /// How the processor caches them.
        COHERENCY = 0x0 [31:29] {
            COHERENCY_UNCACHED = 0,
            COHERENCY_CACHED = 1,
            COHERENCY_WRITE_COMBINE = 2,
            COHERENCY_WRITE_THROUGH = 3,
            COHERENCY_WRITE_PROTECT = 4,
            COHERENCY_WRITE_BACK = 5,
        };
    }

    /// `attr2` of [`NV_MEMORY_ALLOCATION_PARAMS`](NV_MEMORY_ALLOCATION_PARAMS). From nvos.h (NVOS32_ATTR2).
    pub mod memory_attr2 (4 bytes) {
        /// Zero-bandwidth clears.
        ZBC = 0x0 [1:0] {
            ZBC_DEFAULT = 0,
            ZBC_PREFER_NO_ZBC = 1,
            ZBC_PREFER_ZBC = 2,
            ZBC_REQUIRE_ONLY_ZBC = 3,
            ZBC_INVALID = 3,
        };
        /// Whether the GPU caches the memory.
        GPU_CACHEABLE = 0x0 [3:2] {
            GPU_CACHEABLE_DEFAULT = 0,
            GPU_CACHEABLE_YES = 1,
            GPU_CACHEABLE_NO = 2,
            GPU_CACHEABLE_INVALID = 3,
        };
        /// Which huge page, when `attr` asks for huge ones.
        PAGE_SIZE_HUGE = 0x0 [21:20] {
            PAGE_SIZE_HUGE_DEFAULT = 0,
            PAGE_SIZE_HUGE_2MB = 1,
            PAGE_SIZE_HUGE_512MB = 2,
            PAGE_SIZE_HUGE_256GB = 3,
        };
        /// Rights of the processor.
        PROTECTION_USER = 0x0 [22:22] {
            PROTECTION_USER_READ_WRITE = 0,
            PROTECTION_USER_READ_ONLY = 1,
        };
        /// Rights of the GPU.
        PROTECTION_DEVICE = 0x0 [23:23] {
            PROTECTION_DEVICE_READ_WRITE = 0,
            PROTECTION_DEVICE_READ_ONLY = 1,
        };
    }
}

/// `flags` of [`NV_MEMORY_ALLOCATION_PARAMS`], nvos.h: any bank.
pub const NVOS32_ALLOC_FLAGS_IGNORE_BANK_PLACEMENT: u32 = 1;
/// `flags` of [`NV_MEMORY_ALLOCATION_PARAMS`], nvos.h: at `offset`.
pub const NVOS32_ALLOC_FLAGS_FIXED_ADDRESS_ALLOCATE: u32 = 0x10;
/// `flags` of [`NV_MEMORY_ALLOCATION_PARAMS`], nvos.h: `alignment` must be met.
pub const NVOS32_ALLOC_FLAGS_ALIGNMENT_FORCE: u32 = 0x100;
/// `flags` of [`NV_MEMORY_ALLOCATION_PARAMS`], nvos.h: the caller chose the handle.
pub const NVOS32_ALLOC_FLAGS_MEMORY_HANDLE_PROVIDED: u32 = 0x4000;
/// `flags` of [`NV_MEMORY_ALLOCATION_PARAMS`], nvos.h: no mapping for the processor is needed.
pub const NVOS32_ALLOC_FLAGS_MAP_NOT_REQUIRED: u32 = 0x8000;
/// `flags` of [`NV_MEMORY_ALLOCATION_PARAMS`], nvos.h: keep the contents over a suspend.
pub const NVOS32_ALLOC_FLAGS_PERSISTENT_VIDMEM: u32 = 0x10000;
/// `flags` of [`NV_MEMORY_ALLOCATION_PARAMS`], nvos.h: a range of addresses, not memory.
pub const NVOS32_ALLOC_FLAGS_VIRTUAL: u32 = 0x80000;
/// `type` of [`NV_MEMORY_ALLOCATION_PARAMS`], nvos.h: an image, or plain data.
pub const NVOS32_TYPE_IMAGE: u32 = 0;
/// `type` of [`NV_MEMORY_ALLOCATION_PARAMS`], nvos.h: a video surface.
pub const NVOS32_TYPE_VIDEO: u32 = 3;
/// `type` of [`NV_MEMORY_ALLOCATION_PARAMS`], nvos.h: a notifier.
pub const NVOS32_TYPE_NOTIFIER: u32 = 0xd;
/// `flags` of [`NV_VASPACE_ALLOCATION_PARAMETERS`], nvos.h: small page tables.
pub const NV_VASPACE_ALLOCATION_FLAGS_MINIMIZE_PTETABLE_SIZE: u32 = 1;
/// `flags` of [`NV_VASPACE_ALLOCATION_PARAMETERS`], nvos.h: page tables may go to system memory.
pub const NV_VASPACE_ALLOCATION_FLAGS_RETRY_PTE_ALLOC_IN_SYS: u32 = 2;
/// `flags` of [`NV_VASPACE_ALLOCATION_PARAMETERS`], nvos.h: page tables shared with another manager.
pub const NV_VASPACE_ALLOCATION_FLAGS_SHARED_MANAGEMENT: u32 = 4;
/// `flags` of [`NV_VASPACE_ALLOCATION_PARAMETERS`], nvos.h: nvidia-uvm manages it.
pub const NV_VASPACE_ALLOCATION_FLAGS_IS_EXTERNALLY_OWNED: u32 = 8;
/// `flags` of [`NV_VASPACE_ALLOCATION_PARAMETERS`], nvos.h: replayable page faults.
pub const NV_VASPACE_ALLOCATION_FLAGS_ENABLE_PAGE_FAULTING: u32 = 0x40;
/// `flags` of [`NV_VASPACE_ALLOCATION_PARAMETERS`], nvos.h: address 0 is valid.
pub const NV_VASPACE_ALLOCATION_FLAGS_ALLOW_ZERO_ADDRESS: u32 = 0x100;
/// `flags` of [`NV_VASPACE_ALLOCATION_PARAMETERS`], nvos.h: every mapping gives its address.
pub const NV_VASPACE_ALLOCATION_FLAGS_REQUIRE_FIXED_OFFSET: u32 = 0x1000;
/// `flags` of [`NV_CTXSHARE_ALLOCATION_PARAMETERS`], nvos.h: the synchronous subcontext.
pub const NV_CTXSHARE_ALLOCATION_FLAGS_SUBCONTEXT_SYNC: u32 = 0;
/// `flags` of [`NV_CTXSHARE_ALLOCATION_PARAMETERS`], nvos.h: an asynchronous subcontext.
pub const NV_CTXSHARE_ALLOCATION_FLAGS_SUBCONTEXT_ASYNC: u32 = 1;
/// `vaMode` of [`NV0080_ALLOC_PARAMETERS`], nvos.h: address spaces are made on demand.
pub const NV_DEVICE_ALLOCATION_VAMODE_OPTIONAL_MULTIPLE_VASPACES: u32 = 0;
/// `notifyIndex` of [`NV0005_ALLOC_PARAMETERS`], cl0005.h: only this subdevice.
pub const NV01_EVENT_SUBDEVICE_SPECIFIC: u32 = 0x20000000;
/// `notifyIndex` of [`NV0005_ALLOC_PARAMETERS`], cl0005.h: one sticky flag instead of a queue.
pub const NV01_EVENT_WITHOUT_EVENT_DATA: u32 = 0x10000000;
/// `notifyIndex` of [`NV0005_ALLOC_PARAMETERS`], cl0005.h: a non-stalling interrupt of an engine.
pub const NV01_EVENT_NONSTALL_INTR: u32 = 0x8000000;
/// `version` of [`NVB0B5_ALLOCATION_PARAMETERS`], clb0b5sw.h: `engineType` is an [`crate::engine::EngineType`].
pub const NVB0B5_ALLOCATION_PARAMETERS_VERSION_1: u32 = 1;
