//! `ioctl` requests of `/dev/nvidiactl` and `/dev/nvidiaN`, from nv-ioctl-numbers.h and nv_escape.h.
//!
//! A request number is read and write (`_IOWR`) of the magic `'F'`; the kernel looks at its number and size only,
//! and the size must be exactly that of its own structure.

pub use crate::generated::ioctl::*;

/// The `ioctl` type of every request: `'F'` (NV_IOCTL_MAGIC).
pub const NV_IOCTL_MAGIC: u32 = b'F' as u32;

/// The full `ioctl` request of escape `nr` with a structure of `size` bytes.
///
/// # Panics
///
/// When `nr` does not fit in 8 bits or `size` in 14: such a structure needs [`NV_ESC_IOCTL_XFER_CMD`].
pub const fn request(nr: u32, size: usize) -> u32 {
    assert!(nr < 1 << 8, "the escape number has 8 bits");
    assert!(size < 1 << 14, "the size of an ioctl structure has 14 bits");
    0xC000_0000 | (size as u32) << 16 | NV_IOCTL_MAGIC << 8 | nr
}

/// Which device node takes a request; the wrong one answers `EINVAL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Node {
    /// `/dev/nvidiactl`.
    Control,
    /// `/dev/nvidiaN`, which must have been registered to a control descriptor.
    Device,
    /// Both.
    Either,
}

/// One escape number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Escape {
    /// The number in the low byte of the request.
    pub nr: u32,
    /// NVIDIA's name.
    pub name: &'static str,
    /// Where to send it.
    pub node: Node,
}

macro_rules! escapes {
    ($($(#[doc = $doc:literal])* $name:ident = $nr:literal, $node:ident;)*) => {
        $($(#[doc = $doc])* #[doc = concat!("\n\nNode: [`Node::", stringify!($node), "`].")]
        pub const $name: u32 = $nr;)*
        /// Every escape of this module.
        pub static ESCAPES: &[Escape] =
            &[$(Escape { nr: $nr, name: stringify!($name), node: Node::$node }),*];
    };
}

escapes! {
    /// Allocates memory from pages of the caller: [`crate::rm::nv_ioctl_nvos02_parameters_with_fd`].
    NV_ESC_RM_ALLOC_MEMORY = 0x27, Device;
    /// Frees an object: [`crate::rm::NVOS00_PARAMETERS`].
    NV_ESC_RM_FREE = 0x29, Control;
    /// Controls an object: [`crate::rm::NVOS54_PARAMETERS`].
    NV_ESC_RM_CONTROL = 0x2A, Control;
    /// Allocates an object: [`crate::rm::NVOS21_PARAMETERS`] or [`crate::rm::NVOS64_PARAMETERS`], told apart by size.
    /// Events ([`crate::class::NV01_EVENT_OS_EVENT`]) may be allocated on either node.
    NV_ESC_RM_ALLOC = 0x2B, Control;
    /// Duplicates an object of another client: [`crate::rm::NVOS55_PARAMETERS`].
    NV_ESC_RM_DUP_OBJECT = 0x34, Control;
    /// Sets the sharing policy of an object (NVOS57_PARAMETERS).
    NV_ESC_RM_SHARE = 0x35, Control;
    /// Legacy heap interface (NVOS32_PARAMETERS).
    NV_ESC_RM_VID_HEAP_CONTROL = 0x4A, Control;
    /// Prepares a mapping for the processor: [`crate::rm::nv_ioctl_nvos33_parameters_with_fd`]; the inner descriptor is
    /// then mapped.
    NV_ESC_RM_MAP_MEMORY = 0x4E, Control;
    /// Undoes it: [`crate::rm::NVOS34_PARAMETERS`].
    NV_ESC_RM_UNMAP_MEMORY = 0x4F, Control;
    /// Reads a queued event: [`crate::rm::NVOS41_PARAMETERS`]. Goes to the event's own descriptor.
    NV_ESC_RM_GET_EVENT_DATA = 0x52, Either;
    /// Maps memory into a GPU address space: [`crate::rm::NVOS46_PARAMETERS`].
    NV_ESC_RM_MAP_MEMORY_DMA = 0x57, Control;
    /// Undoes it: [`crate::rm::NVOS47_PARAMETERS`].
    NV_ESC_RM_UNMAP_MEMORY_DMA = 0x58, Control;
    /// Lists the GPUs: an array of [`nv_ioctl_card_info_t`], unused elements not `valid`.
    NV_ESC_CARD_INFO = 0xC8, Control;
    /// Ties a descriptor to a control descriptor, once for its life: [`nv_ioctl_register_fd_t`].
    NV_ESC_REGISTER_FD = 0xC9, Either;
    /// Makes a descriptor receive events: [`nv_ioctl_alloc_os_event_t`]. Goes to that descriptor.
    NV_ESC_ALLOC_OS_EVENT = 0xCE, Either;
    /// Undoes it: [`nv_ioctl_free_os_event_t`].
    NV_ESC_FREE_OS_EVENT = 0xCF, Either;
    /// Status of a PCI device (nv_ioctl_status_code_t).
    NV_ESC_STATUS_CODE = 0xD1, Either;
    /// Asks for the driver release: [`nv_ioctl_rm_api_version_t`], unchanged in every release.
    NV_ESC_CHECK_VERSION_STR = 0xD2, Control;
    /// Wraps a request too large for the 14-bit size: [`nv_ioctl_xfer_t`].
    NV_ESC_IOCTL_XFER_CMD = 0xD3, Either;
    /// Keeps GPUs initialised while the descriptor is open: an array of `u32` GPU ids.
    NV_ESC_ATTACH_GPUS_TO_FD = 0xD4, Control;
    /// Queries pending interrupts of a device.
    NV_ESC_QUERY_DEVICE_INTR = 0xD5, Device;
    /// Tells the size of a memory block: [`nv_ioctl_sys_params_t`].
    NV_ESC_SYS_PARAMS = 0xD6, Control;
    /// NUMA information of a device.
    NV_ESC_NUMA_INFO = 0xD7, Device;
    /// Sets the NUMA state of a device.
    NV_ESC_SET_NUMA_STATUS = 0xD8, Device;
    /// Exports memory as a dma-buf: [`nv_ioctl_export_to_dma_buf_fd_t`].
    NV_ESC_EXPORT_TO_DMABUF_FD = 0xD9, Device;
    /// Waits until the device is open: [`nv_ioctl_wait_open_complete_t`]. Since 550.40.07; only after `O_NONBLOCK`.
    NV_ESC_WAIT_OPEN_COMPLETE = 0xDA, Device;
}

/// `cmd` of [`nv_ioctl_rm_api_version_t`]: fails unless the strings are equal (NV_RM_API_VERSION_CMD_STRICT).
pub const NV_RM_API_VERSION_CMD_STRICT: u32 = 0;
/// `cmd` of [`nv_ioctl_rm_api_version_t`]: compares up to the first dot (NV_RM_API_VERSION_CMD_RELAXED).
pub const NV_RM_API_VERSION_CMD_RELAXED: u32 = b'1' as u32;
/// `cmd` of [`nv_ioctl_rm_api_version_t`]: returns the release and never fails (NV_RM_API_VERSION_CMD_QUERY).
pub const NV_RM_API_VERSION_CMD_QUERY: u32 = b'2' as u32;
/// `reply` of [`nv_ioctl_rm_api_version_t`]: the string was recognised (NV_RM_API_VERSION_REPLY_RECOGNIZED).
pub const NV_RM_API_VERSION_REPLY_RECOGNIZED: u32 = 1;
/// Elements in an array of [`nv_ioctl_card_info_t`] that is always enough (NV_MAX_DEVICES).
pub const NV_MAX_DEVICES: usize = 32;
/// Handles one [`nv_ioctl_export_to_dma_buf_fd_t`] carries (NV_DMABUF_EXPORT_MAX_HANDLES).
pub const NV_DMABUF_EXPORT_MAX_HANDLES: usize = 128;

/// The escape with number `nr`.
pub fn escape(nr: u32) -> Option<&'static Escape> {
    ESCAPES.iter().find(|e| e.nr == nr)
}

/// NVIDIA's name of escape `nr`, or `"NV_ESC_?"`.
pub fn name_of(nr: u32) -> &'static str {
    escape(nr).map_or("NV_ESC_?", |e| e.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rm::*;

    #[test]
    fn full_numbers_of_public_traces() {
        let size = size_of::<nv_ioctl_card_info_t>();
        let numbers = [
            (NV_ESC_CHECK_VERSION_STR, size_of::<nv_ioctl_rm_api_version_t>(), 0xC048_46D2),
            (NV_ESC_CARD_INFO, size * NV_MAX_DEVICES, 0xC900_46C8),
            (NV_ESC_REGISTER_FD, size_of::<nv_ioctl_register_fd_t>(), 0xC004_46C9),
            (NV_ESC_SYS_PARAMS, size_of::<nv_ioctl_sys_params_t>(), 0xC008_46D6),
            (NV_ESC_ALLOC_OS_EVENT, size_of::<nv_ioctl_alloc_os_event_t>(), 0xC010_46CE),
            (NV_ESC_FREE_OS_EVENT, size_of::<nv_ioctl_free_os_event_t>(), 0xC010_46CF),
            (NV_ESC_WAIT_OPEN_COMPLETE, size_of::<nv_ioctl_wait_open_complete_t>(), 0xC008_46DA),
            (NV_ESC_EXPORT_TO_DMABUF_FD, size_of::<nv_ioctl_export_to_dma_buf_fd_t>(), 0xCA30_46D9),
            (NV_ESC_EXPORT_TO_DMABUF_FD, 2600, 0xCA28_46D9),
            (NV_ESC_IOCTL_XFER_CMD, size_of::<nv_ioctl_xfer_t>(), 0xC010_46D3),
            (NV_ESC_RM_ALLOC_MEMORY, size_of::<nv_ioctl_nvos02_parameters_with_fd>(), 0xC038_4627),
            (NV_ESC_RM_FREE, size_of::<NVOS00_PARAMETERS>(), 0xC010_4629),
            (NV_ESC_RM_CONTROL, size_of::<NVOS54_PARAMETERS>(), 0xC020_462A),
            (NV_ESC_RM_ALLOC, size_of::<NVOS21_PARAMETERS>(), 0xC020_462B),
            (NV_ESC_RM_ALLOC, size_of::<NVOS64_PARAMETERS>(), 0xC030_462B),
            (NV_ESC_RM_DUP_OBJECT, size_of::<NVOS55_PARAMETERS>(), 0xC01C_4634),
            (NV_ESC_RM_SHARE, 24, 0xC018_4635),
            (NV_ESC_RM_VID_HEAP_CONTROL, 184, 0xC0B8_464A),
            (NV_ESC_RM_MAP_MEMORY, size_of::<nv_ioctl_nvos33_parameters_with_fd>(), 0xC038_464E),
            (NV_ESC_RM_UNMAP_MEMORY, size_of::<NVOS34_PARAMETERS>(), 0xC020_464F),
            (NV_ESC_RM_MAP_MEMORY_DMA, 56, 0xC038_4657),
            (NV_ESC_RM_MAP_MEMORY_DMA, size_of::<NVOS46_PARAMETERS>(), 0xC040_4657),
            (NV_ESC_RM_UNMAP_MEMORY_DMA, 40, 0xC028_4658),
            (NV_ESC_RM_UNMAP_MEMORY_DMA, size_of::<NVOS47_PARAMETERS>(), 0xC030_4658),
        ];
        for (nr, size, full) in numbers {
            assert_eq!(request(nr, size), full, "{} of {size} bytes", name_of(nr));
        }
    }

    #[test]
    fn numbers_are_unique() {
        for (i, a) in ESCAPES.iter().enumerate() {
            assert!(ESCAPES[i + 1..].iter().all(|b| a.nr != b.nr), "{}", a.name);
        }
        assert_eq!(escape(0x2A).unwrap().node, Node::Control);
        assert_eq!(name_of(0xFF), "NV_ESC_?");
    }
}
