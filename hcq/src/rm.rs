//! [`RmClient`]: calls to the resource manager (RM), NVIDIA's kernel-side object tree.
//!
//! The one place where structs of the canonical release are re-laid for the driver that runs, where user
//! pointers are put into arguments, and where a status becomes an [`Error`].

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use memmap2::MmapRaw;
use nvkernel_sys::ctrl::{self, ControlCmd};
use nvkernel_sys::host::USERMODE_SIZE;
use nvkernel_sys::ioctl::*;
use nvkernel_sys::layout::{Abi, DriverVersion, Match, RmStruct};
use nvkernel_sys::rm::*;
use nvkernel_sys::status::RmStatus;
use nvkernel_sys::{class, ioctl};
use zerocopy::FromZeros;

use crate::error::{Error, Result};
use crate::kernel::{KernelInterface, Node, UsermodeRegisters};
use crate::mapping::Mapping;

mod share;

/// RM copies its own size of the parameter struct in and out of RM_ALLOC whatever the caller declares, so
/// the buffer is larger than any of them.
const ALLOC_PARAMS_BYTES: usize = 4096;
/// Handles are ours to choose, away from those that RM gives its own objects inside a client (0xcaf00000 and
/// on): it answers a collision with NV_ERR_INSERT_DUPLICATE_NAME.
const FIRST_HANDLE: u32 = 0x1000_0000;

/// A parameter buffer with the alignment that 64-bit members need.
#[repr(C, align(16))]
struct Scratch([u8; ALLOC_PARAMS_BYTES]);

impl Scratch {
    fn new() -> Self {
        Scratch([0; ALLOC_PARAMS_BYTES])
    }

    fn pointer(&mut self) -> u64 {
        self.0.as_mut_ptr() as u64
    }
}

/// One connection to the driver: a control file descriptor and the root object behind it.
///
/// Everything that the client allocates is freed by the kernel when the last clone is dropped or the process
/// ends, however it ends.
#[derive(Debug)]
pub struct RmClient {
    kernel: Arc<dyn KernelInterface>,
    control: OwnedFd,
    version: DriverVersion,
    abi: Abi,
    root: u32,
    next_handle: AtomicU32,
}

/// Asks which driver release runs. Needs no client and cannot be refused: the request is the one that never
/// changed its layout.
fn query_version(kernel: &dyn KernelInterface, control: BorrowedFd<'_>) -> Result<DriverVersion> {
    let mut args = nv_ioctl_rm_api_version_t::new_zeroed();
    args.cmd = ioctl::NV_RM_API_VERSION_CMD_QUERY;
    call(kernel, control, ioctl::NV_ESC_CHECK_VERSION_STR, "CHECK_VERSION_STR", &mut args)?;
    let text = text_of(&args.versionString);
    text.parse().map_err(|_| Error::DriverVersion(text))
}

/// When a call began, if that is to be logged.
struct Started(Option<Instant>);

impl Started {
    fn now() -> Started {
        Started(log::log_enabled!(log::Level::Debug).then(Instant::now))
    }
}

/// Issues an ioctl whose argument holds no pointers, or pointers that the caller vouches for.
fn call<T: RmStruct>(
    kernel: &dyn KernelInterface,
    fd: BorrowedFd<'_>,
    nr: u32,
    operation: &str,
    args: &mut T,
) -> Result<Started> {
    let bytes = args.as_mut_bytes();
    let request = ioctl::request(nr, bytes.len());
    let started = Started::now();
    // SAFETY: this function is private to the module; callers either pass structs without pointers or point
    // them at live buffers of the size that the driver is told or is known to use.
    unsafe { kernel.ioctl(fd, request, bytes) }
        .map_err(|source| Error::Ioctl { operation: operation.to_owned(), source })?;
    Ok(started)
}

/// Text up to the first zero byte.
pub(crate) fn text_of(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn check(started: Started, status: u32, operation: impl FnOnce() -> String) -> Result<()> {
    let status = RmStatus(status);
    let good = status == RmStatus::NV_OK;
    if good && started.0.is_none() {
        return Ok(());
    }
    let operation = operation();
    if let Started(Some(began)) = started {
        log::debug!("driver: {operation}: {status}, {} us", began.elapsed().as_micros());
    }
    if good { Ok(()) } else { Err(Error::Rm { operation, status }) }
}

impl RmClient {
    /// Opens the control node, asks for the driver release and allocates a root object.
    pub fn connect(kernel: Arc<dyn KernelInterface>) -> Result<Arc<Self>> {
        let control = open(&*kernel, Node::Control)?;
        let version = query_version(&*kernel, control.as_fd())?;
        let abi = Abi::for_version(version);
        match abi.matching() {
            Match::TooOld => {
                return Err(Error::DriverTooOld {
                    version: version.to_string(),
                    floor: nvkernel_sys::layout::OLDEST_SUPPORTED.to_string(),
                });
            }
            Match::NewerThanKnown => {
                log::warn!(
                    "driver {version} is newer than any known release; its newest known layouts are used"
                );
            }
            _ => {}
        }
        let mut client =
            RmClient { kernel, control, version, abi, root: 0, next_handle: AtomicU32::new(FIRST_HANDLE) };
        client.root = client.alloc_raw::<nv_ioctl_register_fd_t>(0, 0, class::NV01_ROOT_CLIENT, None)?;
        Ok(Arc::new(client))
    }

    /// The release of the driver.
    pub fn version(&self) -> DriverVersion {
        self.version
    }

    /// The kernel interface that the client talks through.
    pub fn kernel(&self) -> &Arc<dyn KernelInterface> {
        &self.kernel
    }

    /// Handle of the client's root object.
    pub(crate) fn root(&self) -> u32 {
        self.root
    }

    /// The GPUs that the driver lists, present ones only.
    pub(crate) fn card_info(&self) -> Result<Vec<nv_ioctl_card_info_t>> {
        let mut cards: [nv_ioctl_card_info_t; ioctl::NV_MAX_DEVICES] = FromZeros::new_zeroed();
        let request = ioctl::request(ioctl::NV_ESC_CARD_INFO, size_of_val(&cards));
        // SAFETY: the array holds no pointers.
        unsafe {
            self.kernel.ioctl(
                self.control.as_fd(),
                request,
                zerocopy::IntoBytes::as_mut_bytes(&mut cards[..]),
            )
        }
        .map_err(|source| Error::Ioctl { operation: "CARD_INFO".to_owned(), source })?;
        Ok(cards.into_iter().filter(|card| card.valid != 0).collect())
    }

    /// Opens a GPU's node for this client. Opening it keeps the GPU initialised.
    pub(crate) fn open_gpu(&self, minor: u32) -> Result<OwnedFd> {
        let fd = open(&*self.kernel, Node::Gpu(minor))?;
        let mut args = nv_ioctl_register_fd_t::new_zeroed();
        args.ctl_fd = self.control.as_raw_fd();
        call(&*self.kernel, fd.as_fd(), ioctl::NV_ESC_REGISTER_FD, "REGISTER_FD", &mut args)?;
        Ok(fd)
    }

    fn new_handle(&self) -> u32 {
        self.next_handle.fetch_add(1, Ordering::Relaxed)
    }

    fn alloc_raw<P: RmStruct>(
        &self,
        parent: u32,
        handle: u32,
        class: u32,
        params: Option<&mut P>,
    ) -> Result<u32> {
        let mut scratch = Scratch::new();
        let mut args = NVOS21_PARAMETERS::new_zeroed();
        args.hRoot = self.root;
        args.hObjectParent = parent;
        args.hObjectNew = handle;
        args.hClass = class;
        if let Some(params) = &params {
            args.paramsSize = self.abi.encode(&**params, &mut scratch.0) as u32;
            args.pAllocParms = scratch.pointer();
        }
        let operation = || format!("RM_ALLOC of {} under {parent:#x}", class::name_of(class));
        let started =
            call(&*self.kernel, self.control.as_fd(), ioctl::NV_ESC_RM_ALLOC, "RM_ALLOC", &mut args)?;
        check(started, args.status, operation)?;
        if let Some(params) = params {
            self.abi.decode(params, &scratch.0);
        }
        Ok(args.hObjectNew)
    }

    /// Allocates an object of `class` under `parent` (the root, if `None`). `params` is written back.
    pub(crate) fn alloc<P: RmStruct>(
        self: &Arc<Self>,
        parent: Option<&Arc<RmObject>>,
        class: u32,
        params: &mut P,
    ) -> Result<Arc<RmObject>> {
        self.object(parent, class, Some(params))
    }

    /// Allocates an object of a class that takes no parameters.
    pub(crate) fn alloc_plain(self: &Arc<Self>, parent: &Arc<RmObject>, class: u32) -> Result<Arc<RmObject>> {
        self.object::<nv_ioctl_register_fd_t>(Some(parent), class, None)
    }

    fn object<P: RmStruct>(
        self: &Arc<Self>,
        parent: Option<&Arc<RmObject>>,
        class: u32,
        params: Option<&mut P>,
    ) -> Result<Arc<RmObject>> {
        let parent_handle = parent.map_or(self.root, |p| p.handle);
        let handle = self.alloc_raw(parent_handle, self.new_handle(), class, params)?;
        Ok(Arc::new(RmObject {
            client: self.clone(),
            _parent: parent.cloned(),
            parent_handle,
            handle,
            class,
            is_freed: AtomicBool::new(false),
        }))
    }

    /// Issues a control command whose parameters hold no pointers. `params` is written back.
    pub(crate) fn control<P: RmStruct>(
        &self,
        object: u32,
        cmd: &ControlCmd<P>,
        params: &mut P,
    ) -> Result<()> {
        let mut scratch = Scratch::new();
        let size = self.abi.encode(&*params, &mut scratch.0);
        self.control_raw(object, cmd.id, cmd.name, scratch.pointer(), size)?;
        self.abi.decode(params, &scratch.0);
        Ok(())
    }

    fn control_raw(&self, object: u32, cmd: u32, name: &str, params: u64, size: usize) -> Result<()> {
        let mut args = NVOS54_PARAMETERS::new_zeroed();
        args.hClient = self.root;
        args.hObject = object;
        args.cmd = cmd;
        args.params = params;
        args.paramsSize = size as u32;
        let started = call(&*self.kernel, self.control.as_fd(), ioctl::NV_ESC_RM_CONTROL, name, &mut args)?;
        check(started, args.status, || format!("{name} on {object:#x}"))
    }

    /// Reads a list by one of the "count and pointer" commands: once for the count, once for the words.
    ///
    /// Their parameter structs are 16 bytes: the count, in the second word if a `selector` takes the first,
    /// then the pointer.
    fn list(&self, object: u32, id: u32, name: &str, selector: Option<u32>) -> Result<Vec<u32>> {
        let shift = if selector.is_some() { 32 } else { 0 };
        let ask = |list: &mut [u32]| -> Result<usize> {
            let pointer = if list.is_empty() { 0 } else { list.as_mut_ptr() as u64 };
            let mut words = [u64::from(selector.unwrap_or(0)) | (list.len() as u64) << shift, pointer];
            self.control_raw(object, id, name, words.as_mut_ptr() as u64, size_of_val(&words))?;
            Ok((words[0] >> shift) as u32 as usize)
        };
        let mut list = vec![0u32; ask(&mut [])?.min(4096)];
        if !list.is_empty() {
            let count = ask(&mut list)?;
            list.truncate(count);
        }
        Ok(list)
    }

    /// The classes that a device offers (`NV0080_CTRL_CMD_GPU_GET_CLASSLIST`).
    pub(crate) fn class_list(&self, device: u32) -> Result<Vec<u32>> {
        let cmd = &ctrl::NV0080_CTRL_CMD_GPU_GET_CLASSLIST;
        self.list(device, cmd.id, cmd.name, None)
    }

    /// The engine types that a subdevice has (`NV2080_CTRL_CMD_GPU_GET_ENGINES`).
    pub(crate) fn engine_list(&self, subdevice: u32) -> Result<Vec<u32>> {
        let cmd = &ctrl::NV2080_CTRL_CMD_GPU_GET_ENGINES;
        self.list(subdevice, cmd.id, cmd.name, None)
    }

    /// The classes of one engine (`NV2080_CTRL_CMD_GPU_GET_ENGINE_CLASSLIST`).
    pub(crate) fn engine_class_list(&self, subdevice: u32, engine: u32) -> Result<Vec<u32>> {
        let cmd = &ctrl::NV2080_CTRL_CMD_GPU_GET_ENGINE_CLASSLIST;
        self.list(subdevice, cmd.id, cmd.name, Some(engine))
    }

    /// Free memory of the GPU behind a subdevice, in KiB (`NV2080_CTRL_CMD_FB_GET_INFO`).
    pub(crate) fn free_memory(&self, subdevice: u32) -> Result<u32> {
        let cmd = &ctrl::NV2080_CTRL_CMD_FB_GET_INFO;
        let mut info = [ctrl::NV2080_CTRL_FB_INFO_INDEX_HEAP_FREE, 0];
        // The count, padding, and the pointer to as many pairs of index and data.
        let mut words = [1u64, info.as_mut_ptr() as u64];
        self.control_raw(subdevice, cmd.id, cmd.name, words.as_mut_ptr() as u64, size_of_val(&words))?;
        Ok(info[1])
    }

    /// Maps `memory` into the address space behind `window` at `address`.
    pub(crate) fn map_dma(
        &self,
        device: u32,
        window: u32,
        memory: u32,
        length: u64,
        flags: u32,
        address: u64,
    ) -> Result<u64> {
        let mut canonical = NVOS46_PARAMETERS::new_zeroed();
        canonical.hClient = self.root;
        canonical.hDevice = device;
        canonical.hDma = window;
        canonical.hMemory = memory;
        canonical.length = length;
        canonical.flags = flags;
        canonical.dmaOffset = address;
        let started = self.versioned(ioctl::NV_ESC_RM_MAP_MEMORY_DMA, "RM_MAP_MEMORY_DMA", &mut canonical)?;
        check(started, canonical.status, || {
            format!(
                "RM_MAP_MEMORY_DMA of {length:#x} bytes of object {memory:#x} at GPU address {address:#x}"
            )
        })?;
        Ok(canonical.dmaOffset)
    }

    /// Undoes [`map_dma`](Self::map_dma).
    pub(crate) fn unmap_dma(&self, device: u32, window: u32, memory: u32, address: u64) -> Result<()> {
        let mut canonical = NVOS47_PARAMETERS::new_zeroed();
        canonical.hClient = self.root;
        canonical.hDevice = device;
        canonical.hDma = window;
        canonical.hMemory = memory;
        canonical.dmaOffset = address;
        let started =
            self.versioned(ioctl::NV_ESC_RM_UNMAP_MEMORY_DMA, "RM_UNMAP_MEMORY_DMA", &mut canonical)?;
        check(started, canonical.status, || format!("RM_UNMAP_MEMORY_DMA of GPU address {address:#x}"))
    }

    /// An ioctl whose own argument struct differs between releases.
    fn versioned<T: RmStruct>(&self, nr: u32, operation: &str, canonical: &mut T) -> Result<Started> {
        let mut scratch = Scratch::new();
        let size = self.abi.encode(&*canonical, &mut scratch.0);
        let request = ioctl::request(nr, size);
        let started = Started::now();
        // SAFETY: the structs of these two calls hold no pointers.
        unsafe { self.kernel.ioctl(self.control.as_fd(), request, &mut scratch.0[..size]) }
            .map_err(|source| Error::Ioctl { operation: operation.to_owned(), source })?;
        self.abi.decode(canonical, &scratch.0);
        Ok(started)
    }

    /// Maps an object into this process through `fd`, which must be fresh: one mapping per descriptor.
    pub(crate) fn map_memory(
        &self,
        device: u32,
        memory: u32,
        fd: BorrowedFd<'_>,
        length: usize,
        what: &'static str,
    ) -> Result<Mapping> {
        let (map, linear) = self.map_raw(device, memory, fd, length, what)?;
        Ok(Mapping::new(map, linear))
    }

    /// A mapping, and what the resource manager calls it.
    fn map_raw(
        &self,
        device: u32,
        memory: u32,
        fd: BorrowedFd<'_>,
        length: usize,
        what: &'static str,
    ) -> Result<(MmapRaw, u64)> {
        let mut args = nv_ioctl_nvos33_parameters_with_fd::new_zeroed();
        args.params.hClient = self.root;
        args.params.hDevice = device;
        args.params.hMemory = memory;
        args.params.length = length as u64;
        args.fd = fd.as_raw_fd();
        let started = call(
            &*self.kernel,
            self.control.as_fd(),
            ioctl::NV_ESC_RM_MAP_MEMORY,
            "RM_MAP_MEMORY",
            &mut args,
        )?;
        check(started, args.params.status, || format!("RM_MAP_MEMORY of {what}, object {memory:#x}"))?;
        let map = self.kernel.map(fd, length).map_err(|source| Error::Map { what, length, source })?;
        Ok((map, args.params.pLinearAddress))
    }

    /// Maps the registers of a usermode object, as [`map_memory`](Self::map_memory) does memory.
    pub(crate) fn map_usermode(
        &self,
        device: u32,
        object: &RmObject,
        fd: BorrowedFd<'_>,
    ) -> Result<UsermodeRegisters> {
        assert!(class::USERMODE_CLASSES.contains(&object.class), "not a usermode object");
        let (length, what) = (USERMODE_SIZE, "the usermode registers");
        let (map, _) = self.map_raw(device, object.handle, fd, length, what)?;
        // SAFETY: it is the mapping of a usermode object, by its class.
        Ok(unsafe { UsermodeRegisters::new(map) })
    }

    /// Tells the resource manager that a CPU mapping is about to go.
    pub(crate) fn unmap_memory(&self, device: u32, memory: u32, mapping: &Mapping) -> Result<()> {
        let mut args = NVOS34_PARAMETERS::new_zeroed();
        args.hClient = self.root;
        args.hDevice = device;
        args.hMemory = memory;
        args.pLinearAddress = mapping.linear();
        let started = call(
            &*self.kernel,
            self.control.as_fd(),
            ioctl::NV_ESC_RM_UNMAP_MEMORY,
            "RM_UNMAP_MEMORY",
            &mut args,
        )?;
        check(started, args.status, || format!("RM_UNMAP_MEMORY of object {memory:#x}"))
    }

    /// Opens a descriptor for one CPU mapping: the GPU's node for its memory, the control node for system
    /// memory.
    pub(crate) fn mapping_fd(&self, minor: Option<u32>) -> Result<OwnedFd> {
        match minor {
            Some(minor) => self.open_gpu(minor),
            None => open(&*self.kernel, Node::Control),
        }
    }

    /// Opens a descriptor and attaches an OS event to it, to be armed by an `NV01_EVENT_OS_EVENT` object.
    pub(crate) fn event_fd(&self, device: u32) -> Result<OwnedFd> {
        let fd = open(&*self.kernel, Node::Control)?;
        let mut args = nv_ioctl_alloc_os_event_t::new_zeroed();
        args.hClient = self.root;
        args.hDevice = device;
        args.fd = fd.as_raw_fd() as u32;
        let started =
            call(&*self.kernel, fd.as_fd(), ioctl::NV_ESC_ALLOC_OS_EVENT, "ALLOC_OS_EVENT", &mut args)?;
        check(started, args.Status, || "ALLOC_OS_EVENT".to_owned())?;
        Ok(fd)
    }

    fn free(&self, parent: u32, object: u32) -> Result<()> {
        let mut args = NVOS00_PARAMETERS::new_zeroed();
        args.hRoot = self.root;
        args.hObjectParent = parent;
        args.hObjectOld = object;
        let started = call(&*self.kernel, self.control.as_fd(), ioctl::NV_ESC_RM_FREE, "RM_FREE", &mut args)?;
        check(started, args.status, || format!("RM_FREE of {object:#x}"))
    }
}

fn open(kernel: &dyn KernelInterface, node: Node) -> Result<OwnedFd> {
    log::debug!("driver: open {node}");
    kernel.open(node).map_err(|source| Error::Open { node: node.to_string(), source })
}

impl Drop for RmClient {
    fn drop(&mut self) {
        if self.root != 0
            && let Err(error) = self.free(self.root, self.root)
        {
            log::warn!("{error}");
        }
    }
}

/// An object of the resource manager, freed when dropped. It keeps its parent alive, so children go first.
#[derive(Debug)]
pub(crate) struct RmObject {
    client: Arc<RmClient>,
    _parent: Option<Arc<RmObject>>,
    parent_handle: u32,
    handle: u32,
    class: u32,
    is_freed: AtomicBool,
}

impl RmObject {
    /// The object's handle within its client.
    pub(crate) fn handle(&self) -> u32 {
        self.handle
    }

    /// The client that owns the object.
    pub(crate) fn client(&self) -> &Arc<RmClient> {
        &self.client
    }

    /// Frees the object now, with all below it, unless that was done. It can be tried again if the resource manager
    /// refuses.
    pub(crate) fn free(&self) -> Result<()> {
        if !self.is_freed.load(Ordering::Acquire) {
            self.client.free(self.parent_handle, self.handle)?;
            self.is_freed.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Notes that the object went with the one above.
    pub(crate) fn went_with_parent(&self) {
        self.is_freed.store(true, Ordering::Release);
    }

    pub(crate) fn control<P: RmStruct>(&self, cmd: &ControlCmd<P>, params: &mut P) -> Result<()> {
        self.client.control(self.handle, cmd, params)
    }
}

impl Drop for RmObject {
    fn drop(&mut self) {
        if let Err(error) = self.free() {
            log::warn!("{}: {error}", class::name_of(self.class));
        }
    }
}
