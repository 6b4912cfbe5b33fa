//! [`Device`]: one GPU of this machine, opened: its identity, engines and classes, and memory on it.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use nvkernel_sys::class;
use nvkernel_sys::ctrl::{self, *};
use nvkernel_sys::engine::{EngineKind, EngineType};
use nvkernel_sys::host;
use nvkernel_sys::layout::DriverVersion;
use zerocopy::FromZeros;

use crate::address_space::{DeviceInner, Placement};
use crate::boost::Boost;
use crate::error::{Error, Result};
use crate::gpu::{Chip, GpuInfo};
use crate::kernel::KernelInterface;
use crate::mapping::Access;
use crate::memory::{DeviceBuffer, InputMut};
use crate::quota::Quota;
use crate::rm::{RmClient, text_of};
use crate::timeline::SyncPoint;

/// A GPU opened for use. Clones share it; it closes with the last clone, buffer or queue.
#[derive(Clone, Debug)]
pub struct Device {
    inner: Arc<DeviceInner>,
}

impl Device {
    /// Opens the `index`th GPU of `kernel`: a client, the device objects and one address space managed by
    /// the resource manager. Queues and memory follow on demand.
    pub fn open(kernel: Arc<dyn KernelInterface>, index: usize) -> Result<Device> {
        Ok(Device { inner: Arc::new(DeviceInner::open(kernel, index)?) })
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

    /// The compute capability of the chip as compilers write it: 90 for `sm_90`.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`](crate::Error::Unsupported) for a chip that is not known.
    pub fn compute_capability(&self) -> Result<u32> {
        let chip = self.chip()?.to_string();
        class::compute_capability(&chip)
            .ok_or_else(|| Error::Unsupported(format!("the compute capability of {chip} is not known")))
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
        DeviceBuffer::allocate_for_caller(&self.inner, size, placement, None)
    }

    /// As [`allocate`](Self::allocate), charged to `quota` until the driver has the memory back.
    ///
    /// # Errors
    ///
    /// [`Error::QuotaExceeded`](crate::Error::QuotaExceeded), and the driver was not asked;
    /// [`Error::Rm`](crate::Error::Rm) if there is no memory.
    pub fn allocate_charged(
        &self,
        size: u64,
        placement: Placement,
        quota: &Arc<Quota>,
    ) -> Result<DeviceBuffer> {
        DeviceBuffer::allocate_for_caller(&self.inner, size, placement, Some(quota))
    }

    /// Host memory for `length` bytes that engines read where they lie. Behind them are `slack` zero bytes, at least,
    /// which are the device's alone.
    ///
    /// # Errors
    ///
    /// [`Error::Rm`](crate::Error::Rm) if there is no memory or the driver refuses to map it.
    pub fn allocate_input(&self, length: usize, slack: u64) -> Result<InputMut> {
        InputMut::allocate(&self.inner, length, slack)
    }

    /// Memory for the crate's own records, which is never shared.
    pub(crate) fn allocate_internal(&self, size: u64, placement: Placement) -> Result<DeviceBuffer> {
        DeviceBuffer::allocate(&self.inner, size, placement, Access::ReadWrite, None)
    }

    /// Memory that somebody else exported, in this address space: another process or library with
    /// [`DeviceBuffer::export`], or CUDA with `cuMemExportToShareableHandle`. The whole of what was allocated there at
    /// once, or its first `size` bytes. The descriptor stays the caller's and may be closed.
    ///
    /// Where to find what in it, and whether work of others with it is over, is for the parties to tell each other; the
    /// driver says nothing of that. Whoever has the memory may write to it at any time.
    ///
    /// # Errors
    ///
    /// [`Error::NoSharedMemory`](crate::Error::NoSharedMemory) if the descriptor is something else,
    /// [`Error::OtherGpu`](crate::Error::OtherGpu) for memory of another GPU,
    /// [`Error::TooLarge`](crate::Error::TooLarge) for a `size` that is more than was allocated,
    /// [`Error::Rm`](crate::Error::Rm) if the driver refuses for another reason.
    pub fn import(&self, fd: impl AsFd, size: Option<u64>) -> Result<DeviceBuffer> {
        DeviceBuffer::import(&self.inner, fd.as_fd(), size)
    }

    /// Whether `point` lies on the timeline of a queue of this device.
    pub fn owns_point(&self, point: &SyncPoint) -> bool {
        Arc::ptr_eq(point.timeline().device(), &self.inner)
    }

    /// Whether `buffer` lies in the address space of this device.
    pub fn owns(&self, buffer: &DeviceBuffer) -> bool {
        Arc::ptr_eq(buffer.device(), &self.inner)
    }

    /// Frees memory that has no owner any more and that no queue works with by now. Happens by itself when memory is
    /// allocated, and when a queue ends.
    pub fn reclaim(&self) {
        self.inner.reclaim();
    }

    /// Waits until the queues are done with some memory that has no owner any more, and frees what can be freed. `false`, and at
    /// once, if there is no such memory.
    ///
    /// # Errors
    ///
    /// Those of [`SyncPoint::wait`](crate::SyncPoint::wait), with patience for as long as there is progress within `standing`.
    pub fn wait_to_reclaim(&self, standing: Duration) -> Result<bool> {
        self.inner.wait_to_reclaim(standing)
    }

    /// Bytes of GPU memory that are free, by the driver's account; all programs on the GPU take of them.
    pub fn free_memory(&self) -> Result<u64> {
        Ok(u64::from(self.inner.client.free_memory(self.inner.subdevice.handle())?) << 10)
    }

    /// Asks the driver to raise the clocks until the value is dropped, which nothing here does by itself. It concerns
    /// all programs on the GPU. Never run on hardware.
    ///
    /// # Errors
    ///
    /// [`Error::Rm`](crate::Error::Rm) if the driver refuses.
    pub fn boost(&self) -> Result<Boost> {
        Boost::new(&self.inner)
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
