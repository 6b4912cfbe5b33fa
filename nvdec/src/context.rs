//! [`Context`]: one GPU opened for decoding, with what its sessions share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use hcq::{
    CopyCommands, CopyQueue, Device, EngineKind, EngineType, InputMut, Placement, Profiler, SyncPoint,
};

use crate::class::{Capability, Chroma, Codec, EngineLimits, Shapes, VIDEO_CLASSES, VideoClass};
use crate::error::{Error, Result};
use crate::hevc::audit::BITSTREAM_SLACK;
use crate::queue::VideoQueue;
use crate::recycle::{Lease, Purpose, Store};
use crate::scheduler::{EngineLoad, EngineSet, Scheduler};

/// Which of an engine's two queues a session submits to. The engine takes turns between them, so that nobody who
/// wants a picture soon stands behind hundreds that were submitted ahead of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// For sessions that look far ahead.
    #[default]
    Bulk,
    /// For sessions that do not.
    Prompt,
}

/// A GPU with its video class, up to two queues per engine in use, and a copy queue. Sessions share all of them;
/// each is made when first needed.
#[derive(Debug)]
pub struct Context {
    /// Declared first: memory goes before the queues do.
    store: Arc<Store>,
    device: Device,
    class: VideoClass,
    limits: Option<EngineLimits>,
    engines: Vec<EngineType>,
    copy: OnceLock<CopyQueue>,
    queues: Mutex<BTreeMap<(EngineType, Lane), Arc<VideoQueue>>>,
    scheduler: Scheduler,
    /// Sessions that chose a single engine, by engine.
    settled: Mutex<BTreeMap<EngineType, usize>>,
    /// Sessions made so far.
    sessions: AtomicU64,
    /// Those with pictures in flight, in the order in which they began to have some.
    busy: Mutex<Vec<u64>>,
    /// How many these are, for those who ask for each picture.
    busy_count: AtomicUsize,
    profiler: OnceLock<Arc<Profiler>>,
}

/// A session's share of the budget.
#[derive(Debug)]
pub(crate) struct Reservation {
    context: Arc<Context>,
    bytes: u64,
}

impl Reservation {
    /// Makes it `bytes` large. `false` and unchanged if the budget does not allow that.
    pub(crate) fn resize(&mut self, bytes: u64) -> bool {
        let resized = self.context.store.reserve(self.bytes, bytes);
        if resized {
            self.bytes = bytes;
        }
        resized
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.context.store.reserve(self.bytes, 0);
    }
}

/// A session's stay on the engine that it chose.
#[derive(Debug)]
pub(crate) struct Settled {
    context: Arc<Context>,
    engine: EngineType,
}

impl Drop for Settled {
    fn drop(&mut self) {
        let mut settled = self.context.settled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = settled.get_mut(&self.engine) {
            *count -= 1;
        }
    }
}

impl Context {
    /// Looks at the engines and classes of `device`; allocates nothing yet.
    ///
    /// # Errors
    ///
    /// [`Error::Hardware`] if the GPU has no NVDEC, or one of a class that is not known.
    pub fn new(device: Device) -> Result<Arc<Context>> {
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
        Ok(Arc::new(Context {
            store: Arc::default(),
            device,
            class,
            limits,
            scheduler: Scheduler::new(engines.iter().copied()),
            engines,
            copy: OnceLock::new(),
            queues: Mutex::default(),
            settled: Mutex::default(),
            sessions: AtomicU64::new(0),
            busy: Mutex::default(),
            busy_count: AtomicUsize::new(0),
            profiler: OnceLock::new(),
        }))
    }

    /// The GPU.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Whether the GPU is a model in this process, which decodes in software.
    pub fn is_emulated(&self) -> bool {
        self.device.is_emulated()
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
        let min = if self.class.hevc.shapes == Shapes::All { (8, 8) } else { capability.min };
        (!chroma.is_empty()).then_some(Capability { chroma, min, ..capability })
    }

    /// The NVDEC engines that exist, in ascending order. Numbers may start above 0 and have holes.
    pub fn engines(&self) -> &[EngineType] {
        &self.engines
    }

    /// The copy queue that clears and detiles surfaces.
    pub fn copy_queue(&self) -> Result<&CopyQueue> {
        if let Some(copy) = self.copy.get() {
            return Ok(copy);
        }
        let copy = self.retried(|| Ok(CopyQueue::new(&self.device, None)?))?;
        let copy = self.copy.get_or_init(|| copy);
        copy.queue().profile(self.profiler.get().cloned())?;
        Ok(copy)
    }

    /// Has the times collected at which the engines work on what sessions submit from now on, and at which the copy engine
    /// does. A picture takes its engine longer then, by two releases ([`hcq::profile`]). There is no way back, and all
    /// callers get the same profiler.
    pub fn profile(&self) -> &Arc<Profiler> {
        let profiler = self.profiler.get_or_init(|| Profiler::new(&self.device));
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let video = queues.values().map(|queue| queue.queue());
        for queue in video.chain(self.copy.get().map(|copy| copy.queue())) {
            queue.profile(Some(profiler.clone())).expect("profiler and queues are of one device");
        }
        profiler
    }

    /// Memory that sessions have given back, or fresh memory. What it holds is said with [`Purpose`].
    pub(crate) fn allocate(&self, size: u64, purpose: Purpose) -> Result<Lease> {
        let bytes = hcq::allocation_size(size, purpose.placement());
        let memory = match self.store.take(bytes, purpose)? {
            Some(memory) => memory,
            None => self.retried(|| Ok(self.device.allocate(size, purpose.placement())?))?,
        };
        Ok(Lease::new(&self.store, memory, purpose))
    }

    /// Host memory for `bytes` bytes of a stream, which engines read where they lie: to be filled, frozen, and sent with
    /// [`HevcDecoder::send_nal_of`](crate::HevcDecoder::send_nal_of), to any number of decoders.
    ///
    /// # Errors
    ///
    /// [`Error::Gpu`] if there is no memory.
    pub fn input(&self, bytes: usize) -> Result<InputMut> {
        self.retried(|| Ok(self.device.allocate_input(bytes, BITSTREAM_SLACK as u64)?))
    }

    /// What `make` makes. If there is no memory for it, what is kept is given back, and it is called once more.
    pub(crate) fn retried<T>(&self, make: impl Fn() -> Result<T>) -> Result<T> {
        match make() {
            Err(error) if error.is_out_of_memory() && !self.store.is_empty() => {
                log::info!("gives back what it keeps, since there is no memory: {error}");
                self.release_memory();
                make()
            }
            made => made,
        }
    }

    /// GPU memory filled with a repeated word, with the point at which it is. It may hold what another session, or
    /// another program, left there until then.
    pub(crate) fn allocate_filled(&self, size: u64, word: u32) -> Result<(Lease, SyncPoint)> {
        let memory = self.allocate(size.next_multiple_of(4), Purpose::Filled)?;
        let mut commands = CopyCommands::new();
        commands.fill(&memory, word)?;
        let filled = self.copy_queue()?.submit(&[], commands)?;
        Ok((memory, filled))
    }

    /// A number for a session, which no other one has.
    pub(crate) fn number_session(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::Relaxed)
    }

    fn busy(&self) -> MutexGuard<'_, Vec<u64>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Session `number` begins to have pictures in flight, or ceases to.
    pub(crate) fn set_busy(&self, number: u64, busy: bool) {
        let mut sessions = self.busy();
        sessions.retain(|&known| known != number);
        if busy {
            sessions.push(number);
        }
        self.busy_count.store(sessions.len(), Ordering::Relaxed);
    }

    /// Whether more sessions have pictures in flight than there are engines.
    pub(crate) fn is_crowded(&self) -> bool {
        self.busy_count.load(Ordering::Relaxed) > self.engines.len()
    }

    /// Those of `engines` that session `number` uses, and by how many sessions all are shared: its part of them, of as
    /// many as there are sessions with pictures in flight. A picture that waits for a reference on another engine keeps
    /// all that stands behind it there waiting, whosesoever it is: seven streams that all use all engines were not two
    /// thirds as fast on an H200 as seven with one each.
    pub(crate) fn share(&self, number: u64, engines: EngineSet) -> (EngineSet, usize) {
        let sessions = self.busy();
        let rank = sessions.iter().position(|&known| known == number);
        let (rank, count) = rank.map_or((sessions.len(), sessions.len() + 1), |rank| (rank, sessions.len()));
        drop(sessions);
        (engines.part(rank, count), count)
    }

    /// Limits the GPU memory, in bytes, of all decoders together; none to begin with. A sequence that would exceed it
    /// is not begun: its decoder answers [`Sent::NoMemory`](crate::Sent::NoMemory) until others have ended. What was
    /// begun goes on. [Kept memory](Self::kept_memory) makes room. The channels of the engines, a few MiB each, do not
    /// count.
    pub fn set_memory_limit(&self, bytes: Option<u64>) {
        self.store.set_limit(bytes);
    }

    /// The limit, if one is set.
    pub fn memory_limit(&self) -> Option<u64> {
        self.store.limit()
    }

    /// Bytes of GPU memory that decoders may take by their [`Price`](crate::Price)s.
    pub fn reserved_memory(&self) -> u64 {
        self.store.reserved()
    }

    /// Bytes that decoders have given back and that are kept for those to come, so that they need not ask the driver. At
    /// most 256 MiB of GPU memory and 32 MiB of host memory; the longest unused goes first. Of GPU memory no more than
    /// the [limit](Self::set_memory_limit), if one is set, has beyond what is [reserved](Self::reserved_memory).
    pub fn kept_memory(&self, placement: Placement) -> u64 {
        self.store.kept(placement)
    }

    /// Gives all [kept memory](Self::kept_memory) back to the driver. That happens by itself when an allocation of this
    /// context finds no memory left; for other programs on the GPU, and before a long rest, it is the caller's to do.
    /// What engines are still at work in goes when they are done and something else is allocated.
    pub fn release_memory(&self) {
        self.store.clear();
        self.device.reclaim();
    }

    pub(crate) fn reserve(self: &Arc<Self>) -> Reservation {
        Reservation { context: self.clone(), bytes: 0 }
    }

    /// What each engine has to do for the sessions of this context.
    pub fn load(&self) -> BTreeMap<EngineType, EngineLoad> {
        self.scheduler.load()
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
        let missing = wanted.iter().find(|engine| !self.engines.contains(engine));
        let present = || self.engines.iter().map(|e| e.to_string()).collect::<Vec<_>>().join(", ");
        match missing {
            Some(engine) => Err(Error::Hardware(format!("the GPU has no {engine}; it has {}", present()))),
            None if wanted.is_empty() => {
                Err(Error::Hardware(format!("no engine to decode on was named; the GPU has {}", present())))
            }
            None => Ok(wanted),
        }
    }

    /// The engine with the least to do for this process, for as long as the second value lives.
    pub(crate) fn settle(self: &Arc<Self>) -> (EngineType, Settled) {
        let load = self.load();
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        let sessions = |engine: &EngineType| settled.get(engine).copied().unwrap_or(0);
        let best = self.engines.iter().min_by_key(|e| (sessions(e), load.get(e).map_or(0, |l| l.cycles)));
        let engine = *best.expect("a context has at least one engine");
        *settled.entry(engine).or_insert(0) += 1;
        (engine, Settled { context: self.clone(), engine })
    }

    /// A queue of `engine`, opened if it is not yet. Sessions open those that they need; who does it beforehand spares
    /// them the milliseconds, and has them use the engine sooner.
    ///
    /// # Errors
    ///
    /// [`Error::Hardware`] if the GPU has no such engine, [`Error::Gpu`] if the channel cannot be made.
    pub fn video_queue(&self, engine: EngineType, lane: Lane) -> Result<Arc<VideoQueue>> {
        self.check_engines(EngineSet::default().with(engine))?;
        self.retried(|| self.open_queue(engine, lane))
    }

    fn open_queue(&self, engine: EngineType, lane: Lane) -> Result<Arc<VideoQueue>> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        // A dead queue is replaced: the channel is lost, the engine is not.
        if let Some(queue) = queues.get(&(engine, lane)).filter(|queue| queue.queue().fault().is_none()) {
            return Ok(queue.clone());
        }
        let queue = Arc::new(VideoQueue::new(&self.device, engine, self.class)?);
        self.scheduler.opened(engine);
        queue.queue().profile(self.profiler.get().cloned())?;
        queues.insert((engine, lane), queue.clone());
        Ok(queue)
    }
}
