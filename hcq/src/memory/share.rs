//! Memory that others work with as well: other processes, other address spaces of this one, other libraries.
//!
//! What is shared is an *allocation*, never a part of one: the driver knows no smaller thing. It lives for as long as
//! somebody has a descriptor or an import of it, whoever allocated it and whatever became of them. The driver tells an
//! importer its size and where it lies; what is in it and when it may be touched, the parties tell each other:
//! [`SharedWord`](crate::SharedWord) is for the latter.

use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nvkernel_sys::ioctl::NV_MAX_DEVICES;
use nvkernel_sys::status::RmStatus;

use super::{DeviceBuffer, MIB2, Mapped, Purpose};
use crate::address_space::{DeviceInner, Placement};
use crate::error::{Error, Result};
use crate::mapping::Access;

/// Memory in a descriptor, and what a receiver has to be told beside it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Exported {
    /// The descriptor. It holds the memory: what is in it stays allocated until all duplicates are closed, wherever they
    /// are, and all imports gone. It goes to other processes by `SCM_RIGHTS`, or with a child that inherits it; whoever
    /// has it can read and write *all* of the allocation.
    pub fd: OwnedFd,
    /// Bytes of the whole allocation. CUDA wants to be told (`cuImportExternalMemory`).
    pub size: u64,
    /// Where the buffer that was exported begins in it.
    pub offset: u64,
    /// Bytes of that buffer.
    pub length: u64,
    /// Where the memory lies.
    pub placement: Placement,
}

impl fmt::Display for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Exported { size, offset, length, placement, .. } = self;
        write!(f, "{length:#x} bytes at {offset:#x} of {size:#x} in {placement}")
    }
}

impl DeviceBuffer {
    /// A descriptor of the *whole allocation* that the buffer is a part of, for [`Device::import`](crate::Device::import)
    /// elsewhere or for CUDA. Each call opens one, which takes the driver up to a millisecond: export a pool once and
    /// speak of offsets in it.
    ///
    /// Work in the memory, here or there, is ordered by nothing but what the parties agree on; and it is not given back
    /// to the driver while somebody else has it. Buffers that are used again for something else stay visible to those
    /// who have the descriptor.
    ///
    /// # Errors
    ///
    /// [`Error::NotShareable`] unless [`Device::allocate`](crate::Device::allocate) or
    /// [`allocate_charged`](crate::Device::allocate_charged) made it: inputs, which nobody may write to, and imports,
    /// whose own descriptor can be passed on. [`Error::Open`] without descriptors, [`Error::Rm`] if the driver refuses.
    pub fn export(&self) -> Result<Exported> {
        self.check_shareable()?;
        let a = &*self.allocation;
        // Before anybody can have it.
        a.exported.store(true, Ordering::Release);
        let fd = a.device.client.export_object(a.device.device.handle(), a.memory.handle())?;
        Ok(Exported { fd, size: a.size, offset: self.offset, length: self.size, placement: a.placement })
    }

    /// As [`export`](Self::export), as a dma-buf: for drivers of other hardware, such as network cards, and not for CUDA
    /// or [`Device::import`](crate::Device::import), since NVIDIA's driver takes no dma-bufs in. It cannot be mapped by
    /// the CPU on a GPU with memory of its own. Never run on hardware.
    ///
    /// # Errors
    ///
    /// As [`export`](Self::export), and [`Error::Rm`] with `NV_ERR_NOT_SUPPORTED` where kernel, machine or sandbox have
    /// no dma-bufs.
    pub fn export_dma_buf(&self) -> Result<OwnedFd> {
        self.check_shareable()?;
        let a = &*self.allocation;
        a.exported.store(true, Ordering::Release);
        a.device.client.export_dma_buf(a.device.node(), a.memory.handle(), a.size)
    }

    /// Whether others may have the memory: it was exported at some time, or imported. Then what is written to it is
    /// seen there, also when nobody here has a handle to it any more.
    pub fn is_shared(&self) -> bool {
        let a = &*self.allocation;
        a.purpose == Purpose::Imported || a.exported.load(Ordering::Acquire)
    }

    fn check_shareable(&self) -> Result<()> {
        let why = match (self.allocation.purpose, self.allocation.access) {
            (Purpose::Caller, Access::ReadWrite) => return Ok(()),
            (Purpose::Imported, _) => "it was imported; pass on the descriptor that it came from",
            _ => "only memory that Device::allocate made can be",
        };
        Err(Error::NotShareable { what: format!("{self:?}"), why })
    }

    /// See [`Device::import`](crate::Device::import).
    pub(crate) fn import(
        device: &Arc<DeviceInner>,
        fd: BorrowedFd<'_>,
        size: Option<u64>,
    ) -> Result<DeviceBuffer> {
        device.reclaim();
        match device.client.exported_from(fd) {
            // Host memory may come from nowhere.
            Ok(given) if given < NV_MAX_DEVICES as u32 && given != device.instance => {
                return Err(Error::OtherGpu { given, wanted: device.instance });
            }
            Ok(_) => {}
            // Sandboxes may know the import and not this.
            Err(error) if error.rm_status() == Some(RmStatus::NV_ERR_NOT_SUPPORTED) => {}
            Err(error) => return Err(no_memory_in(error)),
        }
        let memory = device.client.import_object(&device.device, fd).map_err(no_memory_in)?;
        let info = device.client.surface_info(memory.handle())?;
        let placement = info.placement.filter(|_| info.size > 0).ok_or_else(|| {
            Error::Unsupported("what was exported is neither memory of a GPU nor of the host".into())
        })?;
        let wanted = size.unwrap_or(info.size);
        if wanted > info.size {
            return Err(Error::TooLarge { what: "import", size: wanted, limit: info.size });
        }
        let (access, purpose) = (Access::ReadWrite, Purpose::Imported);
        // Its pages may be as large as that, and the driver does not say.
        let what = Mapped { placement, access, purpose, size: info.size, alignment: MIB2 };
        Ok(DeviceBuffer::map_object(device, memory, what, None)?.slice(0, wanted))
    }
}

/// Tells a descriptor that is none of exported memory from a driver that cannot go on.
fn no_memory_in(error: Error) -> Error {
    match error.rm_status() {
        Some(
            status @ (RmStatus::NV_ERR_INVALID_ARGUMENT
            | RmStatus::NV_ERR_INVALID_PARAMETER
            | RmStatus::NV_ERR_INVALID_OBJECT
            | RmStatus::NV_ERR_INVALID_OBJECT_HANDLE
            | RmStatus::NV_ERR_OBJECT_NOT_FOUND
            | RmStatus::NV_ERR_OBJECT_TYPE_MISMATCH),
        ) => Error::NoSharedMemory { status },
        _ => error,
    }
}
