//! Calls of the resource manager by which memory goes from one client to another: in this process, or in another one.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nvkernel_sys::ctrl::{self, *};
use nvkernel_sys::ioctl::{self, *};
use nvkernel_sys::status::RmStatus;
use zerocopy::FromZeros;

use super::{RmClient, RmObject, Scratch, Started, check, open};
use crate::address_space::Placement;
use crate::error::{Error, Result};
use crate::kernel::Node;

/// Units of a memory object's size (`NV0041_CTRL_SURFACE_INFO_PHYS_SIZE_SCALE_FACTOR`).
const SIZE_UNIT: u64 = 0x1000;

/// What the resource manager says of a memory object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SurfaceInfo {
    /// Bytes that were allocated.
    pub(crate) size: u64,
    /// `None` for memory of other kinds: registers, memory of another GPU's fabric.
    pub(crate) placement: Option<Placement>,
}

/// What an object is to `NV0000_CTRL_OS_UNIX_*`: one of the resource manager, below a device.
fn object(device: u32, handle: u32) -> NV0000_CTRL_OS_UNIX_EXPORT_OBJECT {
    let mut object = NV0000_CTRL_OS_UNIX_EXPORT_OBJECT::new_zeroed();
    object.type_ = NV0000_CTRL_OS_UNIX_EXPORT_OBJECT_TYPE_RM;
    (object.hDevice, object.hParent, object.hObject) = (device, device, handle);
    object
}

impl RmClient {
    /// A descriptor that holds `memory`, which lives on while one of its duplicates is open.
    pub(crate) fn export_object(&self, device: u32, memory: u32) -> Result<OwnedFd> {
        // Fresh: a descriptor carries one object, and nothing else.
        let fd = open(&*self.kernel, Node::Control)?;
        let mut params = NV0000_CTRL_OS_UNIX_EXPORT_OBJECT_TO_FD_PARAMS::new_zeroed();
        params.object = object(device, memory);
        params.fd = fd.as_raw_fd();
        self.control(self.root, &ctrl::NV0000_CTRL_CMD_OS_UNIX_EXPORT_OBJECT_TO_FD, &mut params)?;
        Ok(fd)
    }

    /// The device instance that memory in a descriptor was exported from; `NV_MAX_DEVICES` and above for none.
    pub(crate) fn exported_from(&self, fd: BorrowedFd<'_>) -> Result<u32> {
        let mut params = NV0000_CTRL_OS_UNIX_GET_EXPORT_OBJECT_INFO_PARAMS::new_zeroed();
        params.fd = fd.as_raw_fd();
        self.control(self.root, &ctrl::NV0000_CTRL_CMD_OS_UNIX_GET_EXPORT_OBJECT_INFO, &mut params)?;
        Ok(params.deviceInstance)
    }

    /// The memory that a descriptor holds, as an object below `device`.
    pub(crate) fn import_object(
        self: &Arc<Self>,
        device: &Arc<RmObject>,
        fd: BorrowedFd<'_>,
    ) -> Result<Arc<RmObject>> {
        let mut params = NV0000_CTRL_OS_UNIX_IMPORT_OBJECT_FROM_FD_PARAMS::new_zeroed();
        params.fd = fd.as_raw_fd();
        params.object = object(device.handle, self.new_handle());
        self.control(self.root, &ctrl::NV0000_CTRL_CMD_OS_UNIX_IMPORT_OBJECT_FROM_FD, &mut params)?;
        Ok(Arc::new(RmObject {
            client: self.clone(),
            _parent: Some(device.clone()),
            parent_handle: device.handle,
            handle: params.object.hObject,
            // For messages alone. Host memory has another class, which the call does not tell.
            class: nvkernel_sys::class::NV01_MEMORY_LOCAL_USER,
            is_freed: AtomicBool::new(false),
        }))
    }

    /// Size and kind of a memory object (`NV0041_CTRL_CMD_GET_SURFACE_INFO`).
    pub(crate) fn surface_info(&self, memory: u32) -> Result<SurfaceInfo> {
        let cmd = &ctrl::NV0041_CTRL_CMD_GET_SURFACE_INFO;
        let mut info = [SURFACE_INFO_PHYS_SIZE, 0, SURFACE_INFO_ADDR_SPACE_TYPE, 0];
        // The count, padding, and the pointer to as many pairs of index and data.
        let mut words = [info.len() as u64 / 2, info.as_mut_ptr() as u64];
        self.control_raw(memory, cmd.id, cmd.name, words.as_mut_ptr() as u64, size_of_val(&words))?;
        let placement = match info[3] {
            ADDR_SPACE_TYPE_SYSMEM => Some(Placement::Sysmem),
            ADDR_SPACE_TYPE_VIDMEM => Some(Placement::Vidmem),
            _ => None,
        };
        Ok(SurfaceInfo { size: u64::from(info[1]) * SIZE_UNIT, placement })
    }

    /// A dma-buf of all `size` bytes of `memory`. `node` is that of its GPU.
    pub(crate) fn export_dma_buf(&self, node: BorrowedFd<'_>, memory: u32, size: u64) -> Result<OwnedFd> {
        let mut canonical = nv_ioctl_export_to_dma_buf_fd_t::new_zeroed();
        canonical.fd = -1;
        canonical.hClient = self.root;
        (canonical.totalObjects, canonical.numObjects, canonical.totalSize) = (1, 1, size);
        (canonical.handles[0], canonical.offsets[0], canonical.sizes[0]) = (memory, 0, size);
        let mut scratch = Scratch::new();
        let length = self.abi.encode(&canonical, &mut scratch.0);
        let request = ioctl::request(ioctl::NV_ESC_EXPORT_TO_DMABUF_FD, length);
        let started = Started::now();
        // SAFETY: the structure holds no pointers.
        unsafe { self.kernel.ioctl(node.as_fd(), request, &mut scratch.0[..length]) }
            .map_err(|source| Error::Ioctl { operation: "EXPORT_TO_DMABUF_FD".to_owned(), source })?;
        self.abi.decode(&mut canonical, &scratch.0);
        check(started, canonical.status, || format!("EXPORT_TO_DMABUF_FD of object {memory:#x}"))?;
        if canonical.fd < 0 {
            let status = RmStatus::NV_ERR_INVALID_STATE;
            return Err(Error::Rm { operation: "EXPORT_TO_DMABUF_FD, without a descriptor".into(), status });
        }
        // SAFETY: the driver opened it for this call and said so; nobody else knows the number.
        Ok(unsafe { OwnedFd::from_raw_fd(canonical.fd) })
    }
}
