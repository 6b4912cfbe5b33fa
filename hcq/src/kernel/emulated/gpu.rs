//! [`Gpu`]: the parts of one modelled GPU that objects, channels and engines share.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nvkernel_sys::engine::{EngineKind, EngineType};
use nvkernel_sys::host;
use nvkernel_sys::status::RmStatus;

use super::engines::engine::Factory;
use super::lock;
use super::memory::physical::{Location, Memory, Pool};
use super::model::GpuModel;
use channel::Channel;
use event::Events;
use fault_plan::Plan;
use runlist::Runlist;

pub(crate) mod channel;
pub(crate) mod event;
pub(crate) mod fault_plan;
pub(crate) mod host_methods;
pub(crate) mod runlist;

const MIB: u64 = 1 << 20;
/// Channels of a GPU: the token has 12 bits for them.
const MAX_CHANNELS: u32 = 2048;
const LOG_LINES: usize = 256;
/// How old the clock in the usermode registers may get while nothing else happens.
const TICK: Duration = Duration::from_millis(1);

/// What engines lack, as whoever attached them put it.
pub(crate) type Limits = Box<dyn Any + Send + Sync>;

/// Engines attached to all engines of a kind.
pub(crate) struct Attachment {
    pub(crate) kind: EngineKind,
    pub(crate) make: Factory,
    pub(crate) limits: Option<Limits>,
}

/// Everything attached to a machine; of two for the same kind, the later.
#[derive(Clone)]
pub(crate) struct Attached(pub(crate) Arc<Vec<Attachment>>);

impl Attached {
    fn of(&self, kind: EngineKind) -> Option<&Attachment> {
        self.0.iter().rev().find(|attachment| attachment.kind == kind)
    }

    pub(crate) fn limits(&self, kind: EngineKind) -> Option<&(dyn Any + Send + Sync)> {
        self.of(kind)?.limits.as_deref()
    }
}

impl std::fmt::Debug for Attached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|attachment| attachment.kind)).finish()
    }
}

#[derive(Debug)]
pub(crate) struct Gpu {
    pub(crate) index: usize,
    pub(crate) model: GpuModel,
    pub(crate) vidmem: Arc<Pool>,
    pub(crate) events: Events,
    pub(crate) plan: Arc<Plan>,
    attached: Attached,
    /// The usermode register window.
    registers: Arc<Memory>,
    ticking: AtomicBool,
    started: Instant,
    started_ns: u64,
    runlists: RwLock<BTreeMap<EngineType, Arc<Runlist>>>,
    doorbells: Mutex<HashMap<u32, Weak<Channel>>>,
    channel_ids: Mutex<BTreeSet<u32>>,
    bar1_used: AtomicU64,
    lost: AtomicBool,
    log: Mutex<VecDeque<String>>,
}

impl Gpu {
    pub(crate) fn new(
        index: usize,
        model: GpuModel,
        plan: Arc<Plan>,
        attached: Attached,
    ) -> io::Result<Arc<Gpu>> {
        let vidmem = Pool::new(Location::Vidmem, model.vidmem_mib * MIB)?;
        let window = host::USERMODE_SIZE as u64;
        let registers = Pool::new(Location::Registers, window)?;
        let registers = registers.allocate(window, 4096).expect("the pool is as large as the window");
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let gpu = Gpu {
            index,
            model,
            vidmem,
            events: Events::default(),
            plan,
            attached,
            registers,
            ticking: AtomicBool::new(false),
            started: Instant::now(),
            started_ns: since_epoch.as_nanos() as u64,
            runlists: RwLock::default(),
            doorbells: Mutex::default(),
            channel_ids: Mutex::default(),
            bar1_used: AtomicU64::new(0),
            lost: AtomicBool::new(false),
            log: Mutex::default(),
        };
        gpu.timestamp();
        Ok(Arc::new(gpu))
    }

    /// The driver's identifier: the PCI address as one number.
    pub(crate) fn id(&self) -> u32 {
        u32::from(self.bus()) << 8
    }

    /// PCI bus number.
    pub(crate) fn bus(&self) -> u8 {
        0x40 + self.index as u8
    }

    pub(crate) fn factory(&self, kind: EngineKind) -> Option<&Factory> {
        self.attached.of(kind).map(|attachment| &attachment.make)
    }

    /// The clock (PTIMER) in nanoseconds; every look refreshes the registers that user space reads.
    pub(crate) fn timestamp(&self) -> u64 {
        // PTIMER counts in steps of 32 ns.
        let now = (self.started_ns + self.started.elapsed().as_nanos() as u64) & !31;
        self.registers.store_u64(host::USERMODE_TIME_0 as u64, now);
        now
    }

    /// The usermode registers, for a mapping. From now on a thread keeps the clock in them going: reads of a
    /// memory page cannot be trapped as reads of a register are.
    pub(crate) fn usermode_registers(self: &Arc<Self>) -> Arc<Memory> {
        if !self.ticking.swap(true, Ordering::Relaxed) {
            let gpu = Arc::downgrade(self);
            let tick = move || {
                while let Some(gpu) = gpu.upgrade() {
                    gpu.timestamp();
                    drop(gpu);
                    std::thread::sleep(TICK);
                }
            };
            let thread = std::thread::Builder::new().name(format!("gpu{}-ptimer", self.index)).spawn(tick);
            if let Err(error) = thread {
                log::warn!("the emulated clock stands still between calls: {error}");
            }
        }
        self.registers.clone()
    }

    /// The runlist of an engine, with its thread, made on first use.
    pub(crate) fn runlist(&self, engine: EngineType) -> Result<Arc<Runlist>, RmStatus> {
        let mut runlists = self.runlists.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(runlist) = runlists.get(&engine) {
            return Ok(runlist.clone());
        }
        let runlist = Runlist::start(self.index, engine).map_err(|error| {
            log::warn!("no thread for emulated {engine}: {error}");
            RmStatus::NV_ERR_INSUFFICIENT_RESOURCES
        })?;
        runlists.insert(engine, runlist.clone());
        Ok(runlist)
    }

    fn existing_runlist(&self, engine: EngineType) -> Option<Arc<Runlist>> {
        self.runlists.read().unwrap_or_else(PoisonError::into_inner).get(&engine).cloned()
    }

    /// Lets every channel that waits for a semaphore look again.
    pub(crate) fn semaphore_released(&self) {
        for runlist in self.runlists.read().unwrap_or_else(PoisonError::into_inner).values() {
            runlist.semaphore_released();
        }
    }

    /// A work-submit token arrived at the doorbell. Tokens of no channel are dropped, as hardware does.
    pub(crate) fn doorbell(&self, token: u32) {
        if self.plan.loses_doorbell() {
            return;
        }
        self.timestamp();
        let channel = lock(&self.doorbells).get(&token).and_then(Weak::upgrade);
        if let Some(channel) = channel {
            channel.ring();
            if let Some(runlist) = self.existing_runlist(channel.engine()) {
                runlist.wake();
            }
        }
    }

    pub(crate) fn listen(&self, token: u32, channel: &Arc<Channel>) {
        lock(&self.doorbells).insert(token, Arc::downgrade(channel));
    }

    /// Takes a channel off its engine. Returns when the engine has let go of it.
    pub(crate) fn remove_channel(&self, channel: &Arc<Channel>) {
        channel.cancel();
        lock(&self.doorbells).retain(|_, c| !std::ptr::eq(c.as_ptr(), Arc::as_ptr(channel)));
        if let Some(runlist) = self.existing_runlist(channel.engine()) {
            runlist.remove(channel);
        }
        channel.leave_engine();
        channel.retire();
        lock(&self.channel_ids).remove(&channel.id());
    }

    pub(crate) fn take_channel_id(&self) -> Option<u32> {
        let mut ids = lock(&self.channel_ids);
        let id = (0..MAX_CHANNELS).find(|id| !ids.contains(id))?;
        ids.insert(id);
        Some(id)
    }

    pub(crate) fn channel_count(&self) -> usize {
        lock(&self.channel_ids).len()
    }

    /// Takes `length` bytes of BAR1; `false` if it has not that much left.
    pub(crate) fn take_bar1(&self, length: u64) -> bool {
        let limit = self.model.bar1_mib * MIB;
        let take = |used: u64| used.checked_add(length).filter(|&used| used <= limit);
        self.bar1_used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    pub(crate) fn release_bar1(&self, length: u64) {
        self.bar1_used.fetch_sub(length, Ordering::Relaxed);
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    pub(crate) fn lose(&self) {
        self.lost.store(true, Ordering::Release);
        self.log("Xid 79: GPU has fallen off the bus".into());
    }

    /// Adds a line to the kernel log.
    pub(crate) fn log(&self, line: String) {
        let line = format!("emulated GPU {}: {line}", self.index);
        log::debug!("{line}");
        let mut lines = lock(&self.log);
        if lines.len() == LOG_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    pub(crate) fn log_lines(&self) -> Vec<String> {
        lock(&self.log).iter().cloned().collect()
    }

    /// Ends every thread; channels are forgotten.
    pub(crate) fn shut_down(&self) {
        let runlists = std::mem::take(&mut *self.runlists.write().unwrap_or_else(PoisonError::into_inner));
        for runlist in runlists.values() {
            runlist.stop();
        }
    }
}
