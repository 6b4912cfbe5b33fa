//! [`Context`]: one GPU opened for decoding, with what its sessions share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use hcq::{
    Boost, ComputeQueue, CopyQueue, Device, DeviceBuffer, EngineKind, EngineType, InputMut, Placement,
    Profiler,
};

use crate::channels::{Channels, Lane};
use crate::class::{Capability, Chroma, Codec, EngineLimits, Shapes, VIDEO_CLASSES, VideoClass};
use crate::engines::{EngineSet, Priority};
use crate::error::{Error, Result};
use crate::memory::Memory;
use crate::options::ContextOptions;
use crate::queue::VideoQueue;
use crate::scheduler::share::Share;
use crate::scheduler::{EngineLoad, Scheduler};
use crate::surface::format::SurfaceGeometry;
use crate::surface::pool::{Reuse, Surface, SurfacePool};
use crate::tensor::kernels::Kernels;

/// A GPU with its video class, up to two queues per engine in use, and copy queues: one for copies that wait for no
/// engine, and one behind each engine. Sessions share all of them; each is made when first needed.
#[derive(Debug)]
pub struct Context {
    /// Declared first: memory goes before the queues do.
    memory: Arc<Memory>,
    channels: Arc<Channels>,
    class: VideoClass,
    limits: Option<EngineLimits>,
    scheduler: Scheduler,
    share: Arc<Share>,
    /// Loaded when first needed.
    kernels: OnceLock<Kernels>,
    /// Lasts as long as the context.
    boost: Mutex<Option<Boost>>,
}

impl Context {
    /// Looks at the engines and classes of `device`; allocates nothing yet.
    ///
    /// # Errors
    ///
    /// [`Error::Hardware`] if the GPU has no NVDEC, or one of a class that is not known.
    pub fn new(device: Device) -> Result<Arc<Context>> {
        Context::with_options(device, ContextOptions::default())
    }

    /// As [`new`](Self::new), with options.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_options(device: Device, options: ContextOptions) -> Result<Arc<Context>> {
        let engines = device.engines_of(EngineKind::Nvdec)?;
        if engines.is_empty() {
            return Err(Error::Hardware("the GPU has no NVDEC engine".into()));
        }
        let offered = device.classes()?;
        let class = VIDEO_CLASSES.iter().find(|row| offered.contains(&row.class)).ok_or_else(|| {
            Error::Hardware(format!(
                "none of the GPU's {} classes is a video decoder class that is known",
                offered.len()
            ))
        })?;
        let limits = device.client().kernel().engine_limits(EngineKind::Nvdec);
        let limits = limits.and_then(|limits| limits.downcast_ref::<EngineLimits>()).copied();
        let class = limits.map_or(*class, |limits| limits.shaped(class));
        let channels = Channels::new(device, class, &engines)?;
        let memory = Memory::new(&channels);
        memory.store().set_limit(options.memory_limit.bytes(|| channels.device().free_memory()));
        Ok(Arc::new(Context {
            memory,
            channels,
            class,
            limits,
            scheduler: Scheduler::new(engines.iter().copied()),
            share: Share::new(engines),
            kernels: OnceLock::new(),
            boost: Mutex::default(),
        }))
    }

    /// The GPU.
    pub fn device(&self) -> &Device {
        self.memory.device()
    }

    /// Whether the GPU is a model in this process, which decodes in software.
    pub fn is_emulated(&self) -> bool {
        self.device().is_emulated()
    }

    /// Row of the GPU's video class; with the sizes that its engines decode, should they not be hardware.
    pub fn class(&self) -> &VideoClass {
        &self.class
    }

    /// What the engines lack of their class; `None` on hardware.
    pub fn limits(&self) -> Option<&EngineLimits> {
        self.limits.as_ref()
    }

    /// What the engines decode of `codec`: what the class does, within their [limits](Self::limits).
    pub fn capability(&self, codec: Codec) -> Option<Capability> {
        let capability = *self.class.capability(codec)?;
        let chroma = self.limits.map_or(Chroma::all(), |limits| limits.chroma(codec)) & capability.chroma;
        let any_shape = codec == Codec::Hevc && self.class.hevc.shapes == Shapes::All;
        let min = if any_shape { (8, 8) } else { capability.min };
        (!chroma.is_empty()).then_some(Capability { chroma, min, ..capability })
    }

    /// The NVDEC engines that exist, in ascending order. Numbers may start above 0 and have holes.
    pub fn engines(&self) -> &[EngineType] {
        self.share.engines()
    }

    /// A copy queue, for copies that wait for no engine. One whose channel died is replaced by the next call.
    ///
    /// # Errors
    ///
    /// [`Error::Gpu`] if the channel cannot be made.
    pub fn copy_queue(&self) -> Result<CopyQueue> {
        self.memory.retried(|| self.channels.copy_queue(Lane::Free))
    }

    /// The copy queue for copies of what `engine` decodes, which may stand behind what it has not decoded yet.
    ///
    /// # Errors
    ///
    /// [`Error::Gpu`] if the channel cannot be made.
    pub fn copy_queue_behind(&self, engine: EngineType) -> Result<CopyQueue> {
        self.memory.retried(|| self.channels.copy_queue(Lane::Behind(engine)))
    }

    /// The queue for kernels, on which tensors are made: what is submitted to it by others comes in between. One whose channel
    /// died is replaced by the next call.
    ///
    /// # Errors
    ///
    /// [`Error::Gpu`] if the channel cannot be made.
    pub fn compute_queue(&self) -> Result<Arc<ComputeQueue>> {
        self.memory.retried(|| self.channels.compute_queue(Lane::Free))
    }

    /// Has the times collected at which the engines work on what sessions submit from now on, and at which the copy engine
    /// does. A picture takes its engine longer then, by two releases ([`hcq::profile`]). There is no way back, and all
    /// callers get the same profiler.
    pub fn profile(&self) -> &Arc<Profiler> {
        self.channels.profile()
    }

    /// GPU memory, or host memory that the GPU sees, for the caller's own kernels and copies. GPU memory counts towards
    /// the [limit](Self::set_memory_limit). It is not cleared, and goes when the last handle is dropped and all queues
    /// are done with it.
    ///
    /// # Errors
    ///
    /// [`Error::MemoryLimit`] if the limit does not allow it, [`Error::Gpu`] if there is no memory.
    pub fn allocate(&self, bytes: u64, placement: Placement) -> Result<DeviceBuffer> {
        let memory = match placement {
            Placement::Vidmem => self.memory.allocate_own(bytes),
            Placement::Sysmem => self.memory.staging(bytes, &Arc::default()),
        };
        // Whole pages were taken.
        Ok(memory?.slice(0, bytes))
    }

    /// A surface of the caller's own: mid-grey when its [pending](Surface::pending) uses are over, and given back when it
    /// is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Gpu`] if there is no memory.
    pub fn surface(&self, geometry: SurfaceGeometry) -> Result<Surface> {
        let pool = SurfacePool::new(&self.memory, geometry, 1, Reuse::First);
        Ok(pool.take()?.expect("a new pool has a surface"))
    }

    /// Host memory for `bytes` bytes of a stream, which engines read where they lie: to be filled, frozen, and sent with
    /// [`Packet::unit_of`](crate::Packet::unit_of), to any number of decoders.
    ///
    /// # Errors
    ///
    /// [`Error::Gpu`] if there is no memory.
    pub fn input(&self, bytes: usize) -> Result<InputMut> {
        self.memory.input(bytes)
    }

    /// Sets for how long an engine may make no progress before its channel is taken down as stalled, and what was in flight on it
    /// is lost: `time`, and 40 µs more for each block of 16x16 of the largest picture that was decoded so far. A second to
    /// begin with; eight times as much of both on an emulated GPU.
    pub fn set_stall_timeout(&self, time: Duration) {
        self.channels.set_stall_timeout(time);
    }

    /// Limits the GPU memory, in bytes, of all decoders and surfaces of the context together; none with `None`. To
    /// begin with it is what [`MemoryLimit`](crate::MemoryLimit) says. It bounds what is allocated at every moment,
    /// memory included that has no owner any more and that engines are still at work in.
    ///
    /// A sequence that would exceed it by its [`Price`](crate::Price) is not begun: its decoder answers
    /// [`Sent::NoMemory`](crate::Sent::NoMemory) until others have ended. What was begun goes on.
    /// [Kept memory](Self::kept_memory) makes room, then what engines are done with, which is waited for where a decoder cannot
    /// go on without. The channels of the engines, a few MiB each, do not count.
    pub fn set_memory_limit(&self, bytes: Option<u64>) {
        self.memory.store().set_limit(bytes);
    }

    /// The limit, if one is set.
    pub fn memory_limit(&self) -> Option<u64> {
        self.memory.store().quota().limit()
    }

    /// Bytes of GPU memory that are allocated: of decoders, of frames, of what is [kept](Self::kept_memory), and of what engines
    /// are still at work in. Never more than the [limit](Self::set_memory_limit), but for what was allocated before it was set.
    pub fn allocated_memory(&self) -> u64 {
        self.memory.store().quota().charged()
    }

    /// Bytes of GPU memory that decoders may take by their [`Price`](crate::Price)s.
    pub fn reserved_memory(&self) -> u64 {
        self.memory.store().reserved()
    }

    /// Bytes that decoders have given back and that are kept for those to come, so that they need not ask the driver. At
    /// most 256 MiB of GPU memory and 32 MiB of host memory; the longest unused goes first. Of GPU memory no more than
    /// the [limit](Self::set_memory_limit), if one is set, has beyond what is [reserved](Self::reserved_memory).
    pub fn kept_memory(&self, placement: Placement) -> u64 {
        self.memory.store().kept(placement)
    }

    /// Gives all [kept memory](Self::kept_memory) back to the driver. That happens by itself when an allocation of this
    /// context finds no memory left; for other programs on the GPU, and before a long rest, it is the caller's to do.
    /// What engines are still at work in goes when they are done and something else is allocated.
    pub fn release_memory(&self) {
        self.memory.release();
    }

    /// Asks the driver to raise the clocks of the GPU until the context ends, which it never does by itself. It
    /// concerns all programs on the GPU, which share its clocks and its power. Never run on hardware.
    ///
    /// # Errors
    ///
    /// [`Error::Gpu`] if the driver refuses.
    pub fn boost(&self) -> Result<()> {
        let mut boost = self.boost.lock().unwrap_or_else(PoisonError::into_inner);
        if boost.is_none() {
            *boost = Some(self.device().boost()?);
        }
        Ok(())
    }

    /// What each engine has to do for the sessions of this context.
    pub fn load(&self) -> BTreeMap<EngineType, EngineLoad> {
        self.scheduler.load()
    }

    pub(crate) fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    pub(crate) fn share(&self) -> &Arc<Share> {
        &self.share
    }

    pub(crate) fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }

    /// All engines of `wanted`.
    ///
    /// # Errors
    ///
    /// [`Error::Hardware`] if one of them does not exist, or there is none.
    pub(crate) fn check_engines(&self, wanted: EngineSet) -> Result<EngineSet> {
        let missing = wanted.iter().find(|engine| !self.engines().contains(engine));
        let present = || self.engines().iter().map(|e| e.to_string()).collect::<Vec<_>>().join(", ");
        match missing {
            Some(engine) => Err(Error::Hardware(format!("the GPU has no {engine}; it has {}", present()))),
            None if wanted.is_empty() => {
                Err(Error::Hardware(format!("no engine to decode on was named; the GPU has {}", present())))
            }
            None => Ok(wanted),
        }
    }

    /// A queue of `engine`, opened if it is not yet. Sessions open those that they need; doing it beforehand spares
    /// them the milliseconds, and they use the engine sooner.
    ///
    /// # Errors
    ///
    /// [`Error::Hardware`] if the GPU has no such engine, [`Error::Gpu`] if the channel cannot be made.
    pub fn video_queue(&self, engine: EngineType, priority: Priority) -> Result<Arc<VideoQueue>> {
        self.check_engines(EngineSet::default().with(engine))?;
        let (queue, is_new) = self.memory.retried(|| self.channels.video_queue(engine, priority))?;
        if is_new {
            self.scheduler.opened(engine);
        }
        Ok(queue)
    }

    /// The kernels that make tensors.
    pub(crate) fn kernels(&self) -> Result<&Kernels> {
        if let Some(kernels) = self.kernels.get() {
            return Ok(kernels);
        }
        let kernels = self.memory.retried(|| Kernels::load(self.device()))?;
        Ok(self.kernels.get_or_init(|| kernels))
    }

    /// The queues.
    pub(crate) fn channels(&self) -> &Arc<Channels> {
        &self.channels
    }
}
