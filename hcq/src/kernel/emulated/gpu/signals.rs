//! [`Signals`]: what a GPU announces: its clock, interrupts, released semaphores, its loss, its log.
//!
//! Engines and channels hold the signals and not the GPU. [`Port`] is all that executing a channel reaches.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nvkernel_sys::engine::EngineType;
use nvkernel_sys::host;

use super::event::Events;
use super::wake::Wake;
use crate::kernel::emulated::memory::address_space::AddressSpace;
use crate::kernel::emulated::memory::physical::{Location, Memory, Pool};
use crate::kernel::emulated::memory::semaphore::{self, SemaphoreFault, SemaphoreRecord};
use crate::kernel::emulated::sync::lock;

const LOG_LINES: usize = 256;
/// How old the clock in the usermode registers may get while nothing else happens.
const TICK: Duration = Duration::from_millis(1);

/// The signals of one GPU.
#[derive(Debug)]
pub(crate) struct Signals {
    /// Position of the GPU in the machine.
    pub(crate) gpu: usize,
    pub(crate) events: Events,
    /// The usermode register window.
    registers: Arc<Memory>,
    ticking: AtomicBool,
    started: Instant,
    started_ns: u64,
    /// Threads of runlists, which may wait for a semaphore.
    runlists: RwLock<Vec<Arc<Wake>>>,
    lost: AtomicBool,
    log: Mutex<VecDeque<String>>,
}

impl Signals {
    pub(crate) fn new(gpu: usize) -> io::Result<Arc<Signals>> {
        let window = host::USERMODE_SIZE as u64;
        let registers = Pool::new(Location::Registers, window)?;
        let registers = registers.allocate(window, 4096).expect("the pool is as large as the window");
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let signals = Signals {
            gpu,
            events: Events::default(),
            registers,
            ticking: AtomicBool::new(false),
            started: Instant::now(),
            started_ns: since_epoch.as_nanos() as u64,
            runlists: RwLock::default(),
            lost: AtomicBool::new(false),
            log: Mutex::default(),
        };
        signals.timestamp();
        Ok(Arc::new(signals))
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
            let signals = Arc::downgrade(self);
            let tick = move || {
                while let Some(signals) = signals.upgrade() {
                    signals.timestamp();
                    drop(signals);
                    std::thread::sleep(TICK);
                }
            };
            let thread = std::thread::Builder::new().name(format!("gpu{}-ptimer", self.gpu)).spawn(tick);
            if let Err(error) = thread {
                log::warn!("the emulated clock stands still between calls: {error}");
            }
        }
        self.registers.clone()
    }

    /// Lets a runlist know of released semaphores from now on.
    pub(crate) fn add_runlist(&self, wake: Arc<Wake>) {
        self.runlists.write().unwrap_or_else(PoisonError::into_inner).push(wake);
    }

    /// Lets every channel that waits for a semaphore look again.
    fn semaphore_released(&self) {
        for wake in self.runlists.read().unwrap_or_else(PoisonError::into_inner).iter() {
            wake.semaphore_released();
        }
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
        let line = format!("emulated GPU {}: {line}", self.gpu);
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
}

/// A channel's leave to use its engine. It is taken away for good when the channel is freed, and for a moment by calls
/// that want the channel off its engine now.
#[derive(Debug, Default)]
pub(crate) struct Permit {
    cancelled: AtomicBool,
    evictions: AtomicU32,
}

impl Permit {
    /// Takes the leave away for good.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    /// Takes the leave away while `f` runs.
    pub(crate) fn suspend<R>(&self, f: impl FnOnce() -> R) -> R {
        self.evictions.fetch_add(1, Ordering::AcqRel);
        let result = f();
        self.evictions.fetch_sub(1, Ordering::AcqRel);
        result
    }

    fn is_taken_away(&self) -> bool {
        self.cancelled.load(Ordering::Acquire) || self.evictions.load(Ordering::Acquire) > 0
    }
}

/// What executing a channel reaches: memory through its address space, and the signals of the GPU in the name of the
/// engine that executes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Port<'a> {
    pub(crate) space: &'a AddressSpace,
    pub(crate) signals: &'a Signals,
    pub(crate) permit: &'a Permit,
    pub(crate) engine: EngineType,
}

impl Port<'_> {
    /// Whether what is being executed is of no use any more.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.permit.is_taken_away() || self.signals.is_lost()
    }

    pub(crate) fn raise_interrupt(&self) {
        if let Some(index) = self.engine.notifier() {
            self.signals.events.raise_nonstall(index);
        }
    }

    pub(crate) fn release(
        &self,
        address: u64,
        payload: u64,
        record: SemaphoreRecord,
    ) -> Result<(), SemaphoreFault> {
        semaphore::release(self.space, address, payload, record, || self.signals.timestamp())?;
        self.signals.semaphore_released();
        Ok(())
    }

    pub(crate) fn reduce(&self, address: u64, f: impl Fn(u32) -> u32) -> Result<(), SemaphoreFault> {
        semaphore::reduce(self.space, address, f)?;
        self.signals.semaphore_released();
        Ok(())
    }
}
