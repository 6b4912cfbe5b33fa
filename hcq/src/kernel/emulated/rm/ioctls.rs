//! The ioctls: sizes, nodes and statuses, as the driver's escape handler checks them.
//!
//! A wrong size, a wrong node or an unknown number fails the system call with `EINVAL`; everything after that
//! is answered with a status in the argument.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd};
use std::sync::Arc;

use nvkernel_sys::class::NV01_EVENT_OS_EVENT;
use nvkernel_sys::ioctl::{self, *};
use nvkernel_sys::layout::{DriverVersion, RmStruct};
use nvkernel_sys::rm::*;
use nvkernel_sys::status::RmStatus;
use zerocopy::{FromBytes, IntoBytes};

use super::Driver;
use super::alloc::AllocRequest;
use super::control::ControlRequest;
use super::descriptors::{Descriptor, OsEvent};
use super::objects::RmResult;
use crate::kernel::emulated::gpu::fault_plan::{Call, Failure};
use crate::kernel::emulated::sync::lock;

/// PCI vendor id of NVIDIA.
const VENDOR: u16 = 0x10de;

pub(crate) fn einval<T>() -> io::Result<T> {
    Err(io::Error::from_raw_os_error(libc::EINVAL))
}

/// The status that a result stands for.
fn status(result: RmResult<()>) -> u32 {
    result.err().unwrap_or(RmStatus::NV_OK).0
}

/// Events may be allocated on any node, all other objects on the control node.
fn check_node(is_control: bool, class: u32) -> io::Result<()> {
    if is_control || class == NV01_EVENT_OS_EVENT { Ok(()) } else { einval() }
}

impl Driver {
    /// One ioctl. `request` is the full number, `arg` the argument.
    pub(crate) fn ioctl(&self, fd: BorrowedFd<'_>, request: u32, arg: &mut [u8]) -> io::Result<()> {
        self.reap();
        let Some(descriptor) = self.descriptors.get(fd.as_raw_fd()) else {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        };
        if lock(&descriptor.state).dma_buf.is_some() {
            return Err(io::Error::from_raw_os_error(libc::ENOTTY));
        }
        let nr = request & 0xff;
        // The kernel copies the size coded in the request.
        let coded = (request >> 16 & 0x3fff) as usize;
        if request >> 8 & 0xff != NV_IOCTL_MAGIC || coded > arg.len() {
            return einval();
        }
        let arg = &mut arg[..coded];
        let Some(escape) = ioctl::escape(nr) else { return einval() };
        let is_control = descriptor.node() == crate::kernel::Node::Control;
        match escape.node {
            // That depends on the class.
            Node::Control if !is_control && nr != NV_ESC_RM_ALLOC => return einval(),
            Node::Device if is_control => return einval(),
            _ => {}
        }
        for gpu in &self.gpus {
            gpu.signals.timestamp();
        }
        match nr {
            NV_ESC_CHECK_VERSION_STR => self.with(arg, nr, |args| self.check_version(args)),
            NV_ESC_CARD_INFO => self.card_info(arg),
            NV_ESC_REGISTER_FD => self.with(arg, nr, |args| self.register_fd(&descriptor, args)),
            NV_ESC_ALLOC_OS_EVENT => self.with(arg, nr, |args: &mut nv_ioctl_alloc_os_event_t| {
                args.Status = status(
                    self.fault(&[Call::Ioctl(nr)])?.and_then(|()| self.alloc_os_event(&descriptor, args)),
                );
                Ok(())
            }),
            NV_ESC_FREE_OS_EVENT => self.with(arg, nr, |args: &mut nv_ioctl_free_os_event_t| {
                args.Status = status(
                    self.fault(&[Call::Ioctl(nr)])?.and_then(|()| self.free_os_event(&descriptor, args)),
                );
                Ok(())
            }),
            NV_ESC_SYS_PARAMS => self.with(arg, nr, |_: &mut nv_ioctl_sys_params_t| Ok(())),
            NV_ESC_WAIT_OPEN_COMPLETE if self.abi.has(nv_ioctl_wait_open_complete_t::ID) => {
                self.with(arg, nr, |args: &mut nv_ioctl_wait_open_complete_t| {
                    (args.rc, args.adapterStatus) = (0, 0);
                    Ok(())
                })
            }
            NV_ESC_RM_ALLOC if arg.len() == self.abi.size_of::<NVOS64_PARAMETERS>() => {
                self.with(arg, nr, |args: &mut NVOS64_PARAMETERS| {
                    let request = AllocRequest {
                        root: args.hRoot,
                        parent: args.hObjectParent,
                        handle: args.hObjectNew,
                        class: args.hClass,
                        params: args.pAllocParms,
                    };
                    check_node(is_control, request.class)?;
                    let fault = self.fault(&[Call::Ioctl(nr), Call::Alloc(request.class)])?;
                    let result = fault.and_then(|()| self.alloc(&descriptor, request));
                    args.status = status(result.map(|handle| args.hObjectNew = handle));
                    Ok(())
                })
            }
            NV_ESC_RM_ALLOC => self.with(arg, nr, |args: &mut NVOS21_PARAMETERS| {
                let request = AllocRequest {
                    root: args.hRoot,
                    parent: args.hObjectParent,
                    handle: args.hObjectNew,
                    class: args.hClass,
                    params: args.pAllocParms,
                };
                check_node(is_control, request.class)?;
                let fault = self.fault(&[Call::Ioctl(nr), Call::Alloc(request.class)])?;
                let result = fault.and_then(|()| self.alloc(&descriptor, request));
                args.status = status(result.map(|handle| args.hObjectNew = handle));
                Ok(())
            }),
            NV_ESC_RM_FREE => self.with(arg, nr, |args: &mut NVOS00_PARAMETERS| {
                args.status =
                    status(self.fault(&[Call::Ioctl(nr)])?.and_then(|()| self.free(&descriptor, args)));
                Ok(())
            }),
            NV_ESC_RM_CONTROL => self.with(arg, nr, |args: &mut NVOS54_PARAMETERS| {
                let request = ControlRequest {
                    client: args.hClient,
                    object: args.hObject,
                    cmd: args.cmd,
                    params: args.params,
                    size: args.paramsSize as usize,
                };
                let fault = self.fault(&[Call::Ioctl(nr), Call::Control(request.cmd)])?;
                args.status = status(fault.and_then(|()| self.control(&descriptor, request)));
                Ok(())
            }),
            NV_ESC_RM_MAP_MEMORY => self.with(arg, nr, |args: &mut nv_ioctl_nvos33_parameters_with_fd| {
                args.params.status =
                    status(self.fault(&[Call::Ioctl(nr)])?.and_then(|()| self.map_memory(&descriptor, args)));
                Ok(())
            }),
            NV_ESC_RM_UNMAP_MEMORY => self.with(arg, nr, |args: &mut NVOS34_PARAMETERS| {
                args.status = status(
                    self.fault(&[Call::Ioctl(nr)])?.and_then(|()| self.unmap_memory(&descriptor, args)),
                );
                Ok(())
            }),
            NV_ESC_RM_MAP_MEMORY_DMA => self.with(arg, nr, |args: &mut NVOS46_PARAMETERS| {
                args.status =
                    status(self.fault(&[Call::Ioctl(nr)])?.and_then(|()| self.map_dma(&descriptor, args)));
                Ok(())
            }),
            NV_ESC_RM_UNMAP_MEMORY_DMA => self.with(arg, nr, |args: &mut NVOS47_PARAMETERS| {
                args.status =
                    status(self.fault(&[Call::Ioctl(nr)])?.and_then(|()| self.unmap_dma(&descriptor, args)));
                Ok(())
            }),
            NV_ESC_RM_DUP_OBJECT => self.with(arg, nr, |args: &mut NVOS55_PARAMETERS| {
                args.status =
                    status(self.fault(&[Call::Ioctl(nr)])?.and_then(|()| self.dup_object(&descriptor, args)));
                Ok(())
            }),
            NV_ESC_EXPORT_TO_DMABUF_FD => self.with(arg, nr, |args: &mut nv_ioctl_export_to_dma_buf_fd_t| {
                args.status = status(
                    self.fault(&[Call::Ioctl(nr)])?.and_then(|()| self.export_dma_buf(&descriptor, args)),
                );
                Ok(())
            }),
            NV_ESC_RM_ALLOC_MEMORY => self.with(arg, nr, |args: &mut nv_ioctl_nvos02_parameters_with_fd| {
                // Pinning the caller's pages is not modelled.
                args.params.status = RmStatus::NV_ERR_NOT_SUPPORTED.0;
                Ok(())
            }),
            _ => einval(),
        }
    }

    /// Runs `f` on a struct in the layout of the release that is posed as, if the size is exactly that.
    fn with<T: RmStruct>(
        &self,
        arg: &mut [u8],
        nr: u32,
        f: impl FnOnce(&mut T) -> io::Result<()>,
    ) -> io::Result<()> {
        if arg.len() != self.abi.size_of::<T>() {
            log::debug!("{} of {} bytes, not {}", ioctl::name_of(nr), arg.len(), self.abi.size_of::<T>());
            return einval();
        }
        let mut value = T::new_zeroed();
        self.abi.decode(&mut value, arg);
        f(&mut value)?;
        self.abi.encode(&value, arg);
        Ok(())
    }

    /// What the plan has for a call: a failure of the system call, or a status.
    fn fault(&self, names: &[Call]) -> io::Result<RmResult<()>> {
        match self.plan.due(names) {
            None => Ok(Ok(())),
            Some(Failure::Status(status)) => Ok(Err(status)),
            Some(Failure::Errno(errno)) => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    fn check_version(&self, args: &mut nv_ioctl_rm_api_version_t) -> io::Result<()> {
        self.plan.fail_plain(Call::Ioctl(NV_ESC_CHECK_VERSION_STR))?;
        let asked = DriverVersion::from_c_bytes(&args.versionString).ok();
        let fits = match args.cmd {
            NV_RM_API_VERSION_CMD_QUERY => true,
            NV_RM_API_VERSION_CMD_STRICT => asked == Some(self.version),
            NV_RM_API_VERSION_CMD_RELAXED => asked.is_some_and(|v| v.major() == self.version.major()),
            _ => return einval(),
        };
        let text = self.version.to_string();
        args.versionString = [0; 64];
        args.versionString[..text.len()].copy_from_slice(text.as_bytes());
        args.reply = if fits { NV_RM_API_VERSION_REPLY_RECOGNIZED } else { 0 };
        // The driver copies its own release back even when it refuses; this seam copies on success only.
        if fits { Ok(()) } else { einval() }
    }

    fn card_info(&self, arg: &mut [u8]) -> io::Result<()> {
        let size = size_of::<nv_ioctl_card_info_t>();
        if !arg.len().is_multiple_of(size) || arg.len() / size < self.gpus.len() {
            return einval();
        }
        self.plan.fail_plain(Call::Ioctl(NV_ESC_CARD_INFO))?;
        arg.fill(0);
        for (gpu, bytes) in self.gpus.iter().zip(arg.chunks_exact_mut(size)) {
            let mut card = nv_ioctl_card_info_t::read_from_bytes(bytes).expect("the chunk has its size");
            card.valid = 1;
            card.pci_info.bus = gpu.bus();
            card.pci_info.vendor_id = VENDOR;
            card.pci_info.device_id = gpu.model.pci_device_id;
            card.gpu_id = gpu.id();
            card.reg_size = 16 << 20;
            card.fb_size = gpu.model.bar1_mib << 20;
            card.minor_number = gpu.index() as u32;
            bytes.copy_from_slice(card.as_bytes());
        }
        Ok(())
    }

    fn register_fd(&self, descriptor: &Arc<Descriptor>, args: &mut nv_ioctl_register_fd_t) -> io::Result<()> {
        self.plan.fail_plain(Call::Ioctl(NV_ESC_REGISTER_FD))?;
        let Some(control) = self.descriptors.get(args.ctl_fd) else { return einval() };
        let is_control = control.node() == crate::kernel::Node::Control;
        if !is_control || control.id() == descriptor.id() || lock(&control.state).linked.is_some() {
            return einval();
        }
        let mut state = lock(&descriptor.state);
        // A second time is NV_ERR_INVALID_STATE inside the driver, for which the struct has no room.
        if state.linked.is_some() {
            return einval();
        }
        state.linked = Some(control.id());
        Ok(())
    }

    fn alloc_os_event(&self, descriptor: &Arc<Descriptor>, args: &nv_ioctl_alloc_os_event_t) -> RmResult<()> {
        // The number in the argument names the descriptor that the call is made on.
        let named = self.descriptors.get(args.fd as i32).ok_or(RmStatus::NV_ERR_INVALID_ARGUMENT)?;
        if named.id() != descriptor.id() {
            return Err(RmStatus::NV_ERR_INVALID_ARGUMENT);
        }
        let gpu = lock(&self.objects).any_client(args.hClient)?.gpu_of(args.hDevice).map(|gpu| gpu.index());
        let mut state = lock(&descriptor.state);
        if state.has_event_of(args.hClient) {
            return Err(RmStatus::NV_ERR_INVALID_ARGUMENT);
        }
        state.os_events.push(OsEvent { client: args.hClient, gpu });
        Ok(())
    }

    fn free_os_event(&self, descriptor: &Arc<Descriptor>, args: &nv_ioctl_free_os_event_t) -> RmResult<()> {
        let mut state = lock(&descriptor.state);
        let at = state.os_events.iter().position(|event| event.client == args.hClient);
        state.os_events.remove(at.ok_or(RmStatus::NV_ERR_INVALID_EVENT)?);
        Ok(())
    }

    /// A dma-buf of one whole object. What the driver does beyond that, several objects and calls that add to a dma-buf,
    /// is not modelled.
    fn export_dma_buf(
        &self,
        descriptor: &Descriptor,
        args: &mut nv_ioctl_export_to_dma_buf_fd_t,
    ) -> RmResult<()> {
        let mut objects = lock(&self.objects);
        let client = objects.client(args.hClient, descriptor.session())?;
        if args.fd != -1 || (args.totalObjects, args.numObjects, args.index) != (1, 1, 0) {
            return Err(RmStatus::NV_ERR_NOT_SUPPORTED);
        }
        let memory = client.memory(args.handles[0])?.clone();
        let whole = args.offsets[0] == 0 && args.sizes[0] == memory.size() && args.totalSize == memory.size();
        if !whole {
            return Err(RmStatus::NV_ERR_INVALID_ARGUMENT);
        }
        let fd = self.descriptors.open(descriptor.node()).map_err(|_| RmStatus::NV_ERR_OPERATING_SYSTEM)?;
        let made = self.descriptors.get(fd.as_raw_fd()).ok_or(RmStatus::NV_ERR_OPERATING_SYSTEM)?;
        lock(&made.state).dma_buf = Some(memory);
        args.fd = fd.into_raw_fd();
        Ok(())
    }

    fn free(&self, descriptor: &Descriptor, args: &NVOS00_PARAMETERS) -> RmResult<()> {
        let mut objects = lock(&self.objects);
        let client = objects.client(args.hRoot, descriptor.session())?;
        if args.hObjectOld == args.hRoot {
            objects.free_client(args.hRoot);
            return Ok(());
        }
        client.free(args.hObjectOld)
    }
}
