//! [`EmulatedKernel`]: NVIDIA's kernel driver and GPUs behind it, modelled in this process.
//!
//! The model answers the same ioctl bytes as the driver, with the driver's sizes, handles, parents and status
//! codes, for any driver release and for the GPUs of [`GpuModel`]. Channels execute: a doorbell wakes the
//! thread of an engine, which fetches ring entries and push buffers through the channel's address space, obeys
//! semaphores, copies memory and raises interrupts. What nobody mapped is a fault that stops the channel, with
//! an Xid in its error notifier.
//!
//! | here | in the machine |
//! | --- | --- |
//! | `descriptors`, `ioctls` | device nodes and the escape handler |
//! | `objects`, `alloc`, `control`, `maps` | the resource manager |
//! | `memory`, `address_space` | memory and MMU |
//! | `gpu`, `runlist`, `channel`, `host` | the host: doorbell, runlists, PBDMA |
//! | `engine`, `copy`, `video` | engines; pictures are decoded by whatever is attached |
//! | `event` | interrupts and OS events |
//! | `faults` | bad luck |
//!
//! Strictness is the point. Where hardware would misbehave silently (a method on a subchannel without an
//! object, a misaligned semaphore), the model stops the channel and says why in its [log](EmulatedKernel::log).
//!
//! # What is not modelled
//!
//! Caches (host memory mapped without snooping works here and not there), page kinds, compression, MIG,
//! confidential computing, UVM, event queues with data, timing. Compute, JPEG and optical flow objects can be
//! allocated and fault at their first method unless an engine is attached.

use std::any::Any;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use memmap2::MmapRaw;
use nvkernel_sys::engine::{EngineKind, EngineType};
use nvkernel_sys::layout::{Abi, DriverVersion};

use super::{EventWait, KernelInterface, Node, UsermodeRegisters};

mod address_space;
mod alloc;
mod channel;
mod control;
mod copy;
mod descriptors;
mod engine;
mod event;
mod faults;
mod gpu;
mod host;
mod ioctls;
mod maps;
mod memory;
mod model;
mod objects;
mod runlist;
mod user;
mod video;

pub use address_space::{Access, AddressSpace, FaultKind, MmuFault, Tlb};
pub use engine::{Engine, EngineContext, EngineFault, SemaphoreRecord};
pub use faults::{Call, Failure, Faults, LaunchFault};
pub use model::GpuModel;

use descriptors::Descriptors;
use gpu::{Attached, Attachment, Gpu, Limits};
use memory::{Location, Pool};
use objects::Objects;

/// The release that is posed as unless another one is asked for.
const DEFAULT_VERSION: DriverVersion = DriverVersion::new(580, 159, 4);
const DEFAULT_SYSMEM: u64 = 64 << 30;

/// Locks a mutex; a panic elsewhere leaves state that is still consistent enough to be looked at.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the machine is made of; see [`EmulatedKernel::builder`].
pub struct Builder {
    version: DriverVersion,
    gpus: Vec<GpuModel>,
    factories: Vec<Attachment>,
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
    /// Whoever drives them reads it with [`KernelInterface::engine_limits`], so that work beyond it is refused by
    /// name instead of failing in the engine.
    pub fn with_limited_engine_factory<F, L>(mut self, kind: EngineKind, limits: L, make: F) -> Self
    where
        F: Fn(EngineType, u32) -> Box<dyn Engine> + Send + Sync + 'static,
        L: Any + Send + Sync,
    {
        let limits: Limits = Box::new(limits);
        self.factories.push(Attachment { kind, make: Arc::new(make), limits: Some(limits) });
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
        let plan = Arc::new(faults::Plan::default());
        let attached = Attached(Arc::new(self.factories));
        let gpus = self.gpus.into_iter().enumerate();
        let gpus = gpus.map(|(i, model)| Gpu::new(i, model, plan.clone(), attached.clone()));
        Ok(EmulatedKernel {
            shared: Arc::new(Shared {
                version: self.version,
                abi: Abi::for_version(self.version),
                gpus: gpus.collect::<io::Result<_>>()?,
                attached,
                sysmem: Pool::new(Location::Sysmem, self.sysmem)?,
                descriptors: Descriptors::new()?,
                objects: Mutex::default(),
                usermode_maps: Mutex::default(),
                plan,
            }),
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
    /// Bytes of GPU memory allocated.
    pub vidmem: u64,
    /// Bytes of host memory allocated.
    pub sysmem: u64,
}

/// The state behind the calls.
#[derive(Debug)]
struct Shared {
    version: DriverVersion,
    abi: Abi,
    gpus: Vec<Arc<Gpu>>,
    attached: Attached,
    sysmem: Arc<Pool>,
    descriptors: Descriptors,
    objects: Mutex<Objects>,
    /// Where usermode registers were mapped, and of which GPU. A mapping that is gone leaves its entry until
    /// another one takes the address.
    usermode_maps: Mutex<Vec<(usize, usize)>>,
    plan: Arc<faults::Plan>,
}

impl Shared {
    /// Frees what hung on descriptors that were closed.
    fn reap(&self) {
        let closed = self.descriptors.reap();
        if !closed.is_empty() {
            let mut objects = lock(&self.objects);
            for descriptor in &closed {
                objects.free_session(descriptor.id());
            }
        }
    }

    fn lose_gpu(&self, index: usize) {
        if let Some(gpu) = self.gpus.get(index) {
            gpu.lose();
            self.descriptors.hang_up_events(index);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        for gpu in &self.gpus {
            gpu.shut_down();
        }
        lock(&self.objects).clear();
    }
}

/// NVIDIA's kernel driver with its GPUs, as a model. Clones are the same machine.
///
/// Everything a client allocated goes when its control descriptor is closed, however that happens.
#[derive(Clone, Debug)]
pub struct EmulatedKernel {
    shared: Arc<Shared>,
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
        Builder { version: DEFAULT_VERSION, gpus: Vec::new(), factories: Vec::new(), sysmem: DEFAULT_SYSMEM }
    }

    /// Things to go wrong.
    pub fn faults(&self) -> Faults {
        Faults { plan: self.shared.plan.clone(), kernel: Arc::downgrade(&self.shared) }
    }

    /// What clients hold. All zero once everything is dropped.
    pub fn usage(&self) -> Usage {
        self.shared.reap();
        let objects = lock(&self.shared.objects);
        Usage {
            descriptors: self.shared.descriptors.count(),
            clients: objects.client_count(),
            objects: objects.object_count(),
            channels: self.shared.gpus.iter().map(|gpu| gpu.channel_count()).sum(),
            mappings: objects.mapping_count(),
            vidmem: self.shared.gpus.iter().map(|gpu| gpu.vidmem.used()).sum(),
            sysmem: self.shared.sysmem.used(),
        }
    }

    /// Objects of all clients.
    pub fn objects(&self) -> usize {
        self.usage().objects
    }

    /// What the driver would have written to the kernel log, the last lines per GPU: channels that stopped, and
    /// why.
    pub fn log(&self) -> Vec<String> {
        self.shared.gpus.iter().flat_map(|gpu| gpu.log_lines()).collect()
    }
}

// SAFETY: mappings are of memory files that never shrink, shared, for reading and writing.
unsafe impl KernelInterface for EmulatedKernel {
    fn is_emulated(&self) -> bool {
        true
    }

    fn engine_limits(&self, kind: EngineKind) -> Option<&(dyn Any + Send + Sync)> {
        self.shared.attached.limits(kind)
    }

    fn open(&self, node: Node) -> io::Result<OwnedFd> {
        self.shared.reap();
        self.shared.plan.fail_plain(Call::Open)?;
        if let Node::Gpu(minor) = node {
            let gpu = self.shared.gpus.get(minor as usize);
            let gpu = gpu.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))?;
            if gpu.is_lost() {
                return Err(io::Error::from_raw_os_error(libc::ENODEV));
            }
        }
        self.shared.descriptors.open(node)
    }

    unsafe fn ioctl(&self, fd: BorrowedFd<'_>, request: u32, arg: &mut [u8]) -> io::Result<()> {
        self.shared.ioctl(fd, request, arg)
    }

    fn map(&self, fd: BorrowedFd<'_>, length: usize) -> io::Result<MmapRaw> {
        self.shared.reap();
        self.shared.plan.fail_plain(Call::Mmap)?;
        let descriptor = self.shared.descriptors.get(fd.as_raw_fd());
        let descriptor = descriptor.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))?;
        let context = self.shared.mapping_of(&descriptor, length);
        let context = context.ok_or_else(|| io::Error::from_raw_os_error(libc::ENXIO))?;
        let map = context.memory.map(context.offset, length)?;
        if let Some(gpu) = context.registers_of {
            let address = map.as_ptr() as usize;
            let mut maps = lock(&self.shared.usermode_maps);
            maps.retain(|&(at, _)| at != address);
            maps.push((address, gpu));
        }
        Ok(map)
    }

    fn ring_doorbell(&self, usermode: &UsermodeRegisters, token: u32) {
        fence(Ordering::SeqCst);
        let address = usermode.address();
        let gpu = lock(&self.shared.usermode_maps).iter().find(|(at, _)| *at == address).map(|&(_, gpu)| gpu);
        if let Some(gpu) = gpu {
            self.shared.gpus[gpu].doorbell(token);
        }
    }

    fn wait_event(&self, fd: BorrowedFd<'_>, timeout: Duration) -> io::Result<EventWait> {
        self.shared.descriptors.wait(fd, timeout)
    }
}
