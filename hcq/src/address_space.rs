//! What buffers, channels and timelines have of a device: its connection to the driver and its one address space.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use nvkernel_sys::class;
use nvkernel_sys::ctrl::{self, *};
use nvkernel_sys::engine::EngineType;
use nvkernel_sys::rm::*;
use zerocopy::FromZeros;

use crate::error::{Error, Result};
use crate::gpu::{self, GpuInfo};
use crate::in_flight::{LastUses, Slots};
use crate::kernel::{EventWait, KernelInterface, UsermodeRegisters};
use crate::mapping::Mapping;
use crate::quota::Charge;
use crate::rm::{RmClient, RmObject};
use crate::va::{VA_LIMIT, VaAllocator};

/// Bytes of addresses behind each allocation that nothing is mapped at, so that an engine which reaches too far faults
/// instead of reading or writing what comes next: as far as a row of 64x64 blocks reaches in the widest picture, 8192
/// samples of two bytes.
const GUARD: u64 = 1 << 20;

/// Where memory lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Placement {
    /// The GPU's own memory.
    Vidmem,
    /// Host memory, cached by the CPU and snooped by the GPU.
    Sysmem,
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Placement::Vidmem => "GPU memory",
            Placement::Sysmem => "host memory",
        })
    }
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
    /// The driver's number of the device, by which exported memory names it.
    pub(crate) instance: u32,
    va: Mutex<VaAllocator>,
    pub(crate) slots: Slots,
    /// Memory that has no owner any more, and that some queue still works with.
    parked: Mutex<Vec<Parked>>,
    /// Held by those who take memory out of `parked` to see what can be freed, so that none of it is missed meanwhile.
    reclaiming: Mutex<()>,
    /// Boosts that last.
    boosts: Mutex<usize>,
    classes: OnceLock<Vec<u32>>,
    pub(crate) engines: OnceLock<Vec<EngineType>>,
}

/// What is left of an allocation that has no owner any more: it stays until no queue works with it.
#[derive(Debug)]
pub(crate) struct Parked {
    pub(crate) mapping: Option<Mapping>,
    pub(crate) memory: Arc<RmObject>,
    pub(crate) address: u64,
    pub(crate) size: u64,
    pub(crate) users: LastUses,
    /// Declared behind the memory, to end when the driver has that back.
    pub(crate) charge: Option<Arc<Charge>>,
}

impl Parked {
    /// Whether no queue works with the memory any more.
    pub(crate) fn is_idle(&self, slots: &Slots) -> bool {
        slots.are_done_with(&self.users)
    }

    /// Gives the memory back to the driver.
    pub(crate) fn free(self, device: &DeviceInner) {
        // In the order in which they are dropped, from the last: the memory goes before what it is charged to.
        let Parked { charge: _charge, memory, mapping, address, size, .. } = self;
        if let Some(mapping) = mapping {
            device.unmap_for_cpu(&memory, mapping);
        }
        let window = device.window.handle();
        match device.client.unmap_dma(device.device.handle(), window, memory.handle(), address) {
            Ok(()) => device.release_address(address, size),
            // The range is lost rather than handed out while the GPU may still reach the old memory.
            Err(error) => log::warn!("{error}"),
        }
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
    /// See [`Device::open`](crate::Device::open).
    pub(crate) fn open(kernel: Arc<dyn KernelInterface>, index: usize) -> Result<DeviceInner> {
        let client = RmClient::connect(kernel)?;
        let gpus = gpu::gpus(&client)?;
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

        Ok(DeviceInner {
            usermode: OnceLock::new(),
            window,
            vaspace,
            subdevice,
            device,
            node,
            client,
            info,
            instance: id.deviceInstance,
            va: Mutex::new(VaAllocator::default()),
            slots: Slots::default(),
            parked: Mutex::default(),
            reclaiming: Mutex::default(),
            boosts: Mutex::default(),
            classes: OnceLock::new(),
            engines: OnceLock::new(),
        })
    }

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
    pub(crate) fn free(&self, memory: Parked) {
        if memory.is_idle(&self.slots) {
            memory.free(self);
        } else {
            self.parked().push(memory);
        }
    }

    /// Frees what is not in use any more of the memory that could not be freed before.
    pub(crate) fn reclaim(&self) {
        let _one = self.reclaiming.lock().unwrap_or_else(PoisonError::into_inner);
        // Not under its own lock: what is freed, or asked, may free more.
        let parked = std::mem::take(&mut *self.parked());
        for memory in parked {
            self.free(memory);
        }
    }

    /// See [`Device::wait_to_reclaim`](crate::Device::wait_to_reclaim).
    pub(crate) fn wait_to_reclaim(&self, standing: Duration) -> Result<bool> {
        let reclaiming = self.reclaiming.lock().unwrap_or_else(PoisonError::into_inner);
        // All of it is dropped when the locks are released: the last to let go of a timeline frees its memory.
        let works: Vec<_> = self.parked().iter().map(|memory| self.slots.work_of(&memory.users)).collect();
        drop(reclaiming);
        // What an engine may be at work in for good is not waited for.
        let Some(work) = works.iter().find_map(|work| work.iter().cloned().collect::<Option<Vec<_>>>())
        else {
            return Ok(false);
        };
        drop(works);
        for (progress, value) in work {
            progress.wait_for(value, standing)?;
        }
        self.reclaim();
        Ok(true)
    }

    fn parked(&self) -> MutexGuard<'_, Vec<Parked>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn boosts(&self) -> MutexGuard<'_, usize> {
        self.boosts.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// The node of the GPU, opened for this client.
    pub(crate) fn node(&self) -> BorrowedFd<'_> {
        self.node.as_fd()
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
