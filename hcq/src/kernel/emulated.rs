//! [`EmulatedKernel`]: NVIDIA's kernel driver and GPUs behind it, modelled in this process.
//!
//! The model answers the same ioctl bytes as the driver, with the driver's sizes, handles, parents and status
//! codes, for any driver release and for the GPUs of [`GpuModel`]. Channels execute: a doorbell wakes the
//! thread of an engine, which fetches ring entries and push buffers through the channel's address space, obeys
//! semaphores, copies memory and raises interrupts. An access to an address that is not mapped is a fault that
//! stops the channel, with an Xid in its error notifier.
//!
//! | room | in the machine |
//! | --- | --- |
//! | `rm` | the driver: device nodes, the escape handler, the resource manager |
//! | `gpu` | the host: doorbell, runlists, PBDMA; interrupts and OS events; what goes wrong |
//! | `engines` | engines; pictures are decoded by what is attached |
//! | `memory` | memory and MMU |
//!
//! Strictness is the point. Where hardware would misbehave silently (a method on a subchannel without an
//! object, a misaligned semaphore), the model stops the channel and says why in its [log](EmulatedKernel::log).
//!
//! # What is not modelled
//!
//! Caches but those of compute launches (host memory mapped without snooping works here and not there), page kinds, compression, MIG,
//! confidential computing, UVM, event queues with data, timing. Machine code of compute kernels is not executed: a
//! [`KernelModel`] stands for it ([`Builder::with_kernels`]). JPEG and optical flow objects can be allocated and fault
//! at their first method unless an engine is attached.

use std::any::Any;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use memmap2::MmapRaw;
use nvkernel_sys::engine::{EngineKind, EngineType};
use nvkernel_sys::layout::DriverVersion;

use super::{EventWait, KernelInterface, Node, UsermodeRegisters};

mod engines;
mod faults;
mod gpu;
mod memory;
mod model;
mod rm;
mod sync;

pub use engines::compute::cubin::CubinError;
pub use engines::compute::kernels::{Grid, KernelModel};
pub use engines::engine::{Engine, EngineContext};
pub use engines::fault::EngineFault;
pub use faults::Faults;
pub use gpu::fault_plan::{Call, Failure, LaunchFault};
pub use memory::address_space::{Access, AddressSpace, FaultKind, MmuFault, Tlb};
pub use memory::semaphore::SemaphoreRecord;
pub use model::GpuModel;

use engines::compute::kernels::Kernels;
use engines::registry::{Attached, Attachment, Limits};
use gpu::Gpu;
use gpu::fault_plan::FaultPlan;
use memory::physical::{Location, Pool};
use rm::Driver;
use sync::lock;

/// The release that is posed as unless another one is asked for.
const DEFAULT_VERSION: DriverVersion = DriverVersion::new(580, 159, 4);
const DEFAULT_SYSMEM: u64 = 64 << 30;

/// What the machine is made of; see [`EmulatedKernel::builder`].
pub struct Builder {
    version: DriverVersion,
    gpus: Vec<GpuModel>,
    factories: Vec<Attachment>,
    kernels: Vec<KernelModel>,
    sysmem: u64,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "driver {} with {} GPUs", self.version, self.gpus.len())
    }
}

impl Builder {
    /// Poses as driver release `version`.
    pub fn driver_version(mut self, version: DriverVersion) -> Self {
        self.version = version;
        self
    }

    /// Adds a GPU. Without any, the machine has one H200.
    pub fn gpu(mut self, model: GpuModel) -> Self {
        self.gpus.push(model);
        self
    }

    /// Limits the host memory that the driver hands out, in bytes (64 GiB unless given).
    pub fn sysmem(mut self, bytes: u64) -> Self {
        self.sysmem = bytes;
        self
    }

    /// Attaches an engine model to all engines of a kind. `make` is called for every engine object that is
    /// allocated, with the engine that will execute it and the class.
    ///
    /// Video decoders keep their own semaphores and interrupts: what is attached sees state methods and
    /// EXECUTE. Every other kind sees all methods of its class.
    pub fn with_engine_factory<F>(mut self, kind: EngineKind, make: F) -> Self
    where
        F: Fn(EngineType, u32) -> Box<dyn Engine> + Send + Sync + 'static,
    {
        self.factories.push(Attachment { kind, make: Arc::new(make), limits: None });
        self
    }

    /// As [`with_engine_factory`](Self::with_engine_factory), for engines that lack something of their class.
    /// A driver of these engines reads the limits with [`KernelInterface::engine_limits`] and refuses work beyond
    /// them by name, before it fails in the engine.
    pub fn with_limited_engine_factory<F, L>(mut self, kind: EngineKind, limits: L, make: F) -> Self
    where
        F: Fn(EngineType, u32) -> Box<dyn Engine> + Send + Sync + 'static,
        L: Any + Send + Sync,
    {
        let limits: Limits = Box::new(limits);
        self.factories.push(Attachment { kind, make: Arc::new(make), limits: Some(limits) });
        self
    }

    /// Adds models of compute kernels. A launch runs the one whose code lies where the launch says; one of other code
    /// stops the channel.
    pub fn with_kernels(mut self, models: impl IntoIterator<Item = KernelModel>) -> Self {
        self.kernels.extend(models);
        self
    }

    /// Builds the machine.
    ///
    /// # Errors
    ///
    /// What the operating system says when it has no memory files or descriptors left.
    pub fn build(mut self) -> io::Result<EmulatedKernel> {
        if self.gpus.is_empty() {
            self.gpus.push(GpuModel::h200());
        }
        let plan = Arc::new(FaultPlan::default());
        let attached = Attached::new(self.factories, Kernels::new(self.kernels));
        let gpus = self.gpus.into_iter().enumerate();
        let gpus = gpus.map(|(i, model)| Gpu::new(i, model, plan.clone(), attached.clone()));
        let gpus = gpus.collect::<io::Result<_>>()?;
        let sysmem = Pool::new(Location::Sysmem, self.sysmem)?;
        Ok(EmulatedKernel {
            driver: Arc::new(Driver::new(self.version, gpus, attached, sysmem, plan)?),
            usermode_maps: Arc::default(),
        })
    }
}

/// What clients hold of the machine at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Open descriptors.
    pub descriptors: usize,
    /// Root clients.
    pub clients: usize,
    /// Objects below them.
    pub objects: usize,
    /// Channels.
    pub channels: usize,
    /// Mappings in GPU address spaces.
    pub mappings: usize,
    /// Bytes of GPU memory in memory objects.
    pub vidmem: u64,
    /// Bytes of GPU memory that the driver takes for channels and their engine objects.
    pub channel_memory: u64,
    /// Bytes of host memory allocated.
    pub sysmem: u64,
    /// Clients that have asked for higher clocks.
    pub boosts: usize,
}

/// NVIDIA's kernel driver with its GPUs, as a model. Clones are the same machine.
///
/// Everything a client allocated goes when its control descriptor is closed, however that happens.
#[derive(Clone, Debug)]
pub struct EmulatedKernel {
    driver: Arc<Driver>,
    /// Where usermode registers were mapped, and of which GPU. A mapping that is gone leaves its entry until
    /// another one takes the address.
    usermode_maps: Arc<Mutex<Vec<(usize, usize)>>>,
}

impl EmulatedKernel {
    /// A machine with driver 580.159.04 and one GPU.
    ///
    /// # Errors
    ///
    /// As [`Builder::build`].
    pub fn new(gpu: GpuModel) -> io::Result<EmulatedKernel> {
        EmulatedKernel::builder().gpu(gpu).build()
    }

    /// A machine to be put together.
    pub fn builder() -> Builder {
        Builder {
            version: DEFAULT_VERSION,
            gpus: Vec::new(),
            factories: Vec::new(),
            kernels: Vec::new(),
            sysmem: DEFAULT_SYSMEM,
        }
    }

    /// Things to go wrong.
    pub fn faults(&self) -> Faults {
        Faults::new(self.driver.plan.clone(), Arc::downgrade(&self.driver))
    }

    /// What clients hold. All zero once everything is dropped.
    pub fn usage(&self) -> Usage {
        self.driver.reap();
        let objects = lock(&self.driver.objects);
        Usage {
            descriptors: self.driver.descriptors.count(),
            clients: objects.client_count(),
            objects: objects.object_count(),
            channels: self.driver.gpus.iter().map(|gpu| gpu.channel_count()).sum(),
            mappings: objects.mapping_count(),
            vidmem: self.driver.gpus.iter().map(|gpu| gpu.vidmem.used() - gpu.vidmem.own()).sum(),
            channel_memory: self.driver.gpus.iter().map(|gpu| gpu.vidmem.own()).sum(),
            sysmem: self.driver.sysmem.used(),
            boosts: self.driver.gpus.iter().map(|gpu| gpu.boosts(|client| objects.has_client(client))).sum(),
        }
    }

    /// Objects of all clients.
    pub fn objects(&self) -> usize {
        self.usage().objects
    }

    /// What the driver would have written to the kernel log, the last lines per GPU: channels that stopped, and
    /// why.
    pub fn log(&self) -> Vec<String> {
        self.driver.gpus.iter().flat_map(|gpu| gpu.signals.log_lines()).collect()
    }
}

// SAFETY: mappings are of memory files that never shrink, shared, for reading and writing.
unsafe impl KernelInterface for EmulatedKernel {
    fn is_emulated(&self) -> bool {
        true
    }

    fn engine_limits(&self, kind: EngineKind) -> Option<&(dyn Any + Send + Sync)> {
        self.driver.attached.limits(kind)
    }

    fn open(&self, node: Node) -> io::Result<OwnedFd> {
        self.driver.reap();
        self.driver.plan.fail_plain(Call::Open)?;
        if let Node::Gpu(minor) = node {
            let gpu = self.driver.gpus.get(minor as usize);
            let gpu = gpu.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))?;
            if gpu.signals.is_lost() {
                return Err(io::Error::from_raw_os_error(libc::ENODEV));
            }
        }
        self.driver.descriptors.open(node)
    }

    unsafe fn ioctl(&self, fd: BorrowedFd<'_>, request: u32, arg: &mut [u8]) -> io::Result<()> {
        self.driver.ioctl(fd, request, arg)
    }

    fn map(&self, fd: BorrowedFd<'_>, length: usize) -> io::Result<MmapRaw> {
        self.driver.reap();
        self.driver.plan.fail_plain(Call::Mmap)?;
        let descriptor = self.driver.descriptors.get(fd.as_raw_fd());
        let descriptor = descriptor.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))?;
        let context = self.driver.mapping_of(&descriptor, length);
        let context = context.ok_or_else(|| io::Error::from_raw_os_error(libc::ENXIO))?;
        let map = context.memory.map(context.offset, length)?;
        if let Some(gpu) = context.registers_of {
            let address = map.as_ptr() as usize;
            let mut maps = lock(&self.usermode_maps);
            maps.retain(|&(at, _)| at != address);
            maps.push((address, gpu));
        }
        Ok(map)
    }

    fn ring_doorbell(&self, usermode: &UsermodeRegisters, token: u32) {
        fence(Ordering::SeqCst);
        let address = usermode.address();
        let gpu = lock(&self.usermode_maps).iter().find(|(at, _)| *at == address).map(|&(_, gpu)| gpu);
        if let Some(gpu) = gpu {
            self.driver.gpus[gpu].doorbell(token);
        }
    }

    fn wait_event(&self, fd: BorrowedFd<'_>, timeout: Duration) -> io::Result<EventWait> {
        self.driver.descriptors.wait(fd, timeout)
    }
}
