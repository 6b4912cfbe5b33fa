//! [`Device`]: one GPU of this machine, its identity, engines and classes, and its one address space.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use nvkernel_sys::class;
use nvkernel_sys::ctrl::{self, *};
use nvkernel_sys::engine::{EngineKind, EngineType};
use nvkernel_sys::host;
use nvkernel_sys::layout::DriverVersion;
use nvkernel_sys::rm::*;
use zerocopy::FromZeros;

use crate::error::{Error, Result};
use crate::kernel::{EventWait, KernelInterface, UsermodeRegisters};
use crate::mapping::{Access, Mapping};
use crate::memory::{DeviceBuffer, InputMut, Placement, Remains, Seats};
use crate::rm::{RmClient, RmObject, text_of};
use crate::va::{VA_LIMIT, VaAllocator};

/// Bytes of addresses behind each allocation that nothing is mapped at, so that an engine which reaches too far faults
/// instead of reading or writing what comes next: as far as a row of 64x64 blocks reaches in the widest picture, 8192 samples
/// of two bytes.
const GUARD: u64 = 1 << 20;

/// A GPU as the driver lists it, before it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GpuInfo {
    /// Position in the driver's list.
    pub index: usize,
    /// The driver's own identifier.
    pub gpu_id: u32,
    /// Minor number of `/dev/nvidiaN`.
    pub minor: u32,
    /// PCI address: domain, bus, device, function.
    pub pci: (u32, u8, u8, u8),
    /// PCI vendor and device id.
    pub pci_id: (u16, u16),
}

impl GpuInfo {
    /// PCI address in the usual form, `0000:c1:00.0`.
    pub fn pci_address(&self) -> String {
        let (domain, bus, slot, function) = self.pci;
        format!("{domain:04x}:{bus:02x}:{slot:02x}.{function:x}")
    }
}

/// Chip architecture, implementation and revision (`NV2080_CTRL_CMD_MC_GET_ARCH_INFO`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Chip {
    /// Architecture number.
    pub architecture: u32,
    /// Implementation within the architecture.
    pub implementation: u32,
    /// Mask revision.
    pub revision: u32,
}

impl fmt::Display for Chip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&class::chip_name(self.architecture, self.implementation))
    }
}

/// Lists the GPUs that `kernel`'s driver knows.
pub fn enumerate(kernel: Arc<dyn KernelInterface>) -> Result<Vec<GpuInfo>> {
    gpus(&*RmClient::connect(kernel)?)
}

fn gpus(client: &RmClient) -> Result<Vec<GpuInfo>> {
    let cards = client.card_info()?;
    Ok(cards
        .iter()
        .enumerate()
        .map(|(index, card)| GpuInfo {
            index,
            gpu_id: card.gpu_id,
            minor: card.minor_number,
            pci: (card.pci_info.domain, card.pci_info.bus, card.pci_info.slot, card.pci_info.function),
            pci_id: (card.pci_info.vendor_id, card.pci_info.device_id),
        })
        .collect())
}

/// A GPU opened for use. Clones share it; it closes with the last clone, buffer or queue.
#[derive(Clone, Debug)]
pub struct Device {
    inner: Arc<DeviceInner>,
}

#[derive(Debug)]
pub(crate) struct DeviceInner {
    // Field order is drop order: children of the device first.
    usermode: OnceLock<(UsermodeRegisters, Arc<RmObject>)>,
    pub(crate) window: Arc<RmObject>,
    pub(crate) vaspace: Arc<RmObject>,
    pub(crate) subdevice: Arc<RmObject>,
    pub(crate) device: Arc<RmObject>,
    /// Keeps the GPU initialised, and hangs up when it is lost.
    node: OwnedFd,
    pub(crate) client: Arc<RmClient>,
    pub(crate) info: GpuInfo,
    va: Mutex<VaAllocator>,
    pub(crate) seats: Seats,
    /// Memory that nobody has any more and some queue still works with.
    parked: Mutex<Vec<Remains>>,
    classes: OnceLock<Vec<u32>>,
    engines: OnceLock<Vec<EngineType>>,
}

impl Device {
    /// Opens the `index`th GPU of `kernel`: a client, the device objects and one address space managed by
    /// the resource manager. Queues and memory follow on demand.
    pub fn open(kernel: Arc<dyn KernelInterface>, index: usize) -> Result<Device> {
        let client = RmClient::connect(kernel)?;
        let gpus = gpus(&client)?;
        let Some(&info) = gpus.get(index) else {
            return Err(Error::NoGpu(format!("GPU {index} was asked for, the driver lists {}", gpus.len())));
        };
        let node = client.open_gpu(info.minor)?;

        let mut id = NV0000_CTRL_GPU_GET_ID_INFO_V2_PARAMS::new_zeroed();
        id.gpuId = info.gpu_id;
        client.control(client.root(), &ctrl::NV0000_CTRL_CMD_GPU_GET_ID_INFO_V2, &mut id)?;

        let mut params = NV0080_ALLOC_PARAMETERS::new_zeroed();
        params.deviceId = id.deviceInstance;
        params.hClientShare = client.root();
        let device = client.alloc(None, class::NV01_DEVICE_0, &mut params)?;
        let mut params = NV2080_ALLOC_PARAMETERS::new_zeroed();
        params.subDeviceId = id.subDeviceInstance;
        let subdevice = client.alloc(Some(&device), class::NV20_SUBDEVICE_0, &mut params)?;

        // An address space that RM owns needs no /dev/nvidia-uvm: RM maps its own context buffers into it.
        let mut params = NV_VASPACE_ALLOCATION_PARAMETERS::new_zeroed();
        params.flags = NV_VASPACE_ALLOCATION_FLAGS_RETRY_PTE_ALLOC_IN_SYS;
        let vaspace = client.alloc(Some(&device), class::FERMI_VASPACE_A, &mut params)?;
        let mut params = NV_MEMORY_VIRTUAL_ALLOCATION_PARAMS::new_zeroed();
        params.limit = VA_LIMIT - 1;
        params.hVASpace = vaspace.handle();
        let window = client.alloc(Some(&device), class::NV01_MEMORY_VIRTUAL, &mut params)?;

        let inner = DeviceInner {
            usermode: OnceLock::new(),
            window,
            vaspace,
            subdevice,
            device,
            node,
            client,
            info,
            va: Mutex::new(VaAllocator::default()),
            seats: Seats::default(),
            parked: Mutex::default(),
            classes: OnceLock::new(),
            engines: OnceLock::new(),
        };
        Ok(Device { inner: Arc::new(inner) })
    }

    /// Identity of the GPU.
    pub fn info(&self) -> GpuInfo {
        self.inner.info
    }

    /// Whether the GPU is a model.
    pub fn is_emulated(&self) -> bool {
        self.inner.client.kernel().is_emulated()
    }

    /// The driver release.
    pub fn driver_version(&self) -> DriverVersion {
        self.inner.client.version()
    }

    /// The connection to the driver.
    pub fn client(&self) -> &Arc<RmClient> {
        &self.inner.client
    }

    /// The chip.
    pub fn chip(&self) -> Result<Chip> {
        let mut params = NV2080_CTRL_MC_GET_ARCH_INFO_PARAMS::new_zeroed();
        self.inner.subdevice.control(&ctrl::NV2080_CTRL_CMD_MC_GET_ARCH_INFO, &mut params)?;
        Ok(Chip {
            architecture: params.architecture,
            implementation: params.implementation,
            revision: params.revision,
        })
    }

    /// Marketing name of the GPU.
    pub fn name(&self) -> Result<String> {
        let mut params = NV2080_CTRL_GPU_GET_NAME_STRING_PARAMS::new_zeroed();
        self.inner.subdevice.control(&ctrl::NV2080_CTRL_CMD_GPU_GET_NAME_STRING, &mut params)?;
        Ok(text_of(&params.gpuNameString))
    }

    /// Classes that the GPU offers, in the driver's order.
    pub fn classes(&self) -> Result<&[u32]> {
        self.inner.classes()
    }

    /// Engines that the GPU has (within the MIG instance, if there is one).
    pub fn engines(&self) -> Result<&[EngineType]> {
        if let Some(engines) = self.inner.engines.get() {
            return Ok(engines);
        }
        let list = self.inner.client.engine_list(self.inner.subdevice.handle())?;
        Ok(self.inner.engines.get_or_init(|| list.into_iter().map(EngineType).collect()))
    }

    /// Engines of one kind, in ascending order.
    pub fn engines_of(&self, kind: EngineKind) -> Result<Vec<EngineType>> {
        let mut engines: Vec<_> = self.engines()?.iter().copied().filter(|e| e.kind() == kind).collect();
        engines.sort_unstable();
        Ok(engines)
    }

    /// Classes of one engine. Sandboxes are known to refuse this query.
    pub fn engine_classes(&self, engine: EngineType) -> Result<Vec<u32>> {
        self.inner.client.engine_class_list(self.inner.subdevice.handle(), engine.0)
    }

    /// The first class of `table` (newest first) that the GPU offers.
    pub fn pick_class(&self, what: &str, table: &[u32]) -> Result<u32> {
        self.inner.pick_class(what, table)
    }

    /// Allocates `size` bytes, mapped for the GPU. Fresh GPU memory is not cleared.
    pub fn allocate(&self, size: u64, placement: Placement) -> Result<DeviceBuffer> {
        DeviceBuffer::allocate(&self.inner, size, placement, Access::ReadWrite)
    }

    /// Host memory for `length` bytes that engines read where they lie. Behind them are `slack` zero bytes, at least, which
    /// are the device's alone.
    ///
    /// # Errors
    ///
    /// [`Error::Rm`] if there is no memory or the driver refuses to map it.
    pub fn allocate_input(&self, length: usize, slack: u64) -> Result<InputMut> {
        InputMut::allocate(&self.inner, length, slack)
    }

    /// Whether `buffer` lies in the address space of this device.
    pub fn owns(&self, buffer: &DeviceBuffer) -> bool {
        Arc::ptr_eq(buffer.device(), &self.inner)
    }

    /// Frees memory that nobody has any more and that no queue works with by now. Happens by itself when memory is
    /// allocated, and when a queue ends.
    pub fn reclaim(&self) {
        self.inner.reclaim();
    }

    /// Bytes of GPU memory that nobody uses, by the driver's account; all programs on the GPU take of them.
    pub fn free_memory(&self) -> Result<u64> {
        Ok(u64::from(self.inner.client.free_memory(self.inner.subdevice.handle())?) << 10)
    }

    /// The GPU's clock in nanoseconds (PTIMER), the one that semaphore time stamps are taken from.
    pub fn timestamp(&self) -> Result<u64> {
        let map = self.inner.usermode()?;
        loop {
            let high = map.load(host::USERMODE_TIME_1);
            let low = map.load(host::USERMODE_TIME_0);
            if map.load(host::USERMODE_TIME_1) == high {
                return Ok(u64::from(high) << 32 | u64::from(low));
            }
        }
    }

    pub(crate) fn inner(&self) -> &Arc<DeviceInner> {
        &self.inner
    }
}

impl Drop for DeviceInner {
    /// The queues are gone: they hold the device.
    fn drop(&mut self) {
        let parked = std::mem::take(&mut *self.parked());
        parked.into_iter().for_each(|memory| memory.free(self));
    }
}

impl fmt::Display for DeviceInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A GPU may be opened several times, with an address space each.
        write!(f, "GPU {} opened as client {:#x}", self.info.pci_address(), self.client.root())
    }
}

impl DeviceInner {
    /// That `what` of this device cannot go to a queue of `wanted`.
    #[cold]
    pub(crate) fn is_other_than(&self, wanted: &DeviceInner, what: &'static str) -> Error {
        Error::OtherDevice { what, given: self.to_string(), wanted: wanted.to_string() }
    }

    pub(crate) fn classes(&self) -> Result<&[u32]> {
        if let Some(classes) = self.classes.get() {
            return Ok(classes);
        }
        let list = self.client.class_list(self.device.handle())?;
        Ok(self.classes.get_or_init(|| list))
    }

    pub(crate) fn pick_class(&self, what: &str, table: &[u32]) -> Result<u32> {
        let offered = self.classes()?;
        table.iter().copied().find(|c| offered.contains(c)).ok_or_else(|| {
            let known: Vec<_> = table.iter().map(|&c| class::name_of(c)).collect();
            Error::Unsupported(format!("the GPU offers no {what} class that is known ({})", known.join(", ")))
        })
    }

    /// Frees memory, or has that done when the queues that work with it are done.
    pub(crate) fn free(&self, memory: Remains) {
        if memory.are_idle(&self.seats) {
            memory.free(self);
        } else {
            self.parked().push(memory);
        }
    }

    /// Frees what is not in use any more of the memory that could not be freed before.
    pub(crate) fn reclaim(&self) {
        // Not under the lock: what is freed, or asked, may free more.
        let parked = std::mem::take(&mut *self.parked());
        for memory in parked {
            self.free(memory);
        }
    }

    fn parked(&self) -> MutexGuard<'_, Vec<Remains>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn take_address(&self, size: u64, alignment: u64) -> Result<u64> {
        let mut va = self.va.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = size.checked_add(GUARD).and_then(|taken| va.allocate(taken, alignment));
        taken.ok_or(Error::AddressSpaceFull { size })
    }

    pub(crate) fn release_address(&self, address: u64, size: u64) {
        self.va.lock().unwrap_or_else(PoisonError::into_inner).release(address, size + GUARD);
    }

    pub(crate) fn map_for_cpu(
        &self,
        object: &RmObject,
        minor: Option<u32>,
        length: usize,
        what: &'static str,
    ) -> Result<Mapping> {
        let fd = self.client.mapping_fd(minor)?;
        self.client.map_memory(self.device.handle(), object.handle(), fd.as_fd(), length, what)
    }

    pub(crate) fn unmap_for_cpu(&self, object: &RmObject, mapping: Mapping) {
        if let Err(error) = self.client.unmap_memory(self.device.handle(), object.handle(), &mapping) {
            log::warn!("{error}");
        }
    }

    /// The usermode object's registers: doorbell and clock.
    pub(crate) fn usermode(&self) -> Result<&UsermodeRegisters> {
        if let Some((map, _)) = self.usermode.get() {
            return Ok(map);
        }
        let class = self.pick_class("usermode", class::USERMODE_CLASSES)?;
        let object = self.client.alloc_plain(&self.subdevice, class)?;
        let fd = self.client.mapping_fd(Some(self.info.minor))?;
        let map = self.client.map_usermode(self.device.handle(), &object, fd.as_fd())?;
        Ok(&self.usermode.get_or_init(|| (map, object)).0)
    }

    /// Whether the driver has given the GPU up.
    pub(crate) fn is_lost(&self) -> bool {
        let state = self.client.kernel().wait_event(self.node.as_fd(), Duration::ZERO);
        matches!(state, Ok(EventWait::Lost))
    }

    pub(crate) fn ring_doorbell(&self, usermode: &UsermodeRegisters, token: u32) {
        self.client.kernel().ring_doorbell(usermode, token);
    }
}
