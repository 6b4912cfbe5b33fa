//! [`Channel`]: what a channel is made of, whether it may run, and how it dies.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError, Weak};
use std::time::{Duration, Instant};

use nvkernel_sys::engine::{EngineType, notifiers};
use nvkernel_sys::status::Xid;

use super::execution::{EngineObject, Execution};
use super::fault_plan::FaultPlan;
use super::halt::Halt;
use super::signals::{Permit, Port, Signals};
use crate::kernel::emulated::engines::engine::Engine;
use crate::kernel::emulated::engines::fault::EngineFault;
use crate::kernel::emulated::memory::address_space::{AddressSpace, MmuFault};
use crate::kernel::emulated::memory::physical::Memory;
use crate::kernel::emulated::sync::lock;

/// How often a preemption looks whether the engine has let go.
const SPIN: Duration = Duration::from_micros(20);

/// Where a channel's error notifier lies.
#[derive(Clone, Debug)]
pub(crate) struct Notifier {
    pub(crate) memory: Arc<Memory>,
    pub(crate) offset: u64,
    /// Client and handle of the notifier object, which events may hang on.
    pub(crate) source: (u32, u32),
}

/// Memory that a channel itself reads and writes.
#[derive(Clone, Debug)]
pub(crate) struct ChannelMemory {
    /// The instance block. The model keeps what lies in it in `Channel` and [`Execution`].
    pub(crate) _instance: Arc<Memory>,
    /// What USERD lies in, and where.
    pub(crate) userd: (Arc<Memory>, u64),
    pub(crate) notifier: Option<Notifier>,
}

/// What a channel is made of.
#[derive(Debug)]
pub(crate) struct ChannelSetup {
    pub(crate) signals: Arc<Signals>,
    pub(crate) plan: Arc<FaultPlan>,
    pub(crate) id: u32,
    pub(crate) class: u32,
    pub(crate) space: Arc<AddressSpace>,
    pub(crate) ring: u64,
    pub(crate) entries: u32,
    pub(crate) engine: EngineType,
    pub(crate) group: Option<Arc<Group>>,
}

/// Channels that fail together.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) engine: EngineType,
    pub(crate) space: Option<Arc<AddressSpace>>,
    pub(crate) channels: Mutex<Vec<Weak<Channel>>>,
}

/// What the resource manager decided about a channel so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Routing {
    /// Runlist that an engine object or BIND fixed.
    pub(crate) locked: Option<EngineType>,
    pub(crate) has_object: bool,
    pub(crate) bound: bool,
    pub(crate) scheduled: bool,
    /// Slot of the error notifier that receives the work-submit token.
    pub(crate) token_slot: u32,
}

/// A channel.
#[derive(Debug)]
pub(crate) struct Channel {
    setup: ChannelSetup,
    /// Given up when the channel is freed: its engine's thread may hold on to the channel a little longer.
    memory: Mutex<Option<ChannelMemory>>,
    /// Engine type in force: the one asked for, until an object on another engine replaces it.
    engine: AtomicU32,
    pub(crate) routing: Mutex<Routing>,
    doorbell: AtomicBool,
    permit: Permit,
    dead: AtomicBool,
    scheduled: AtomicBool,
    mmu_fault: Mutex<Option<MmuFault>>,
    execution: Mutex<Execution>,
}

impl Channel {
    pub(crate) fn new(setup: ChannelSetup, memory: ChannelMemory, routing: Routing) -> Arc<Channel> {
        let group = setup.group.clone();
        let wide_addresses = has_wide_addresses(setup.class);
        let channel = Arc::new(Channel {
            engine: AtomicU32::new(setup.engine.0),
            setup,
            memory: Mutex::new(Some(memory)),
            routing: Mutex::new(routing),
            doorbell: AtomicBool::new(false),
            permit: Permit::default(),
            dead: AtomicBool::new(false),
            scheduled: AtomicBool::new(false),
            mmu_fault: Mutex::default(),
            execution: Mutex::new(Execution::new(wide_addresses)),
        });
        if let Some(group) = group {
            let mut channels = lock(&group.channels);
            channels.retain(|c| c.strong_count() > 0);
            channels.push(Arc::downgrade(&channel));
        }
        channel
    }

    pub(crate) fn id(&self) -> u32 {
        self.setup.id
    }

    /// GPU address of the ring, and its entries.
    pub(crate) fn ring_buffer(&self) -> (u64, u32) {
        (self.setup.ring, self.setup.entries)
    }

    /// What executing the channel reaches.
    pub(crate) fn port(&self) -> Port<'_> {
        Port {
            space: &self.setup.space,
            signals: &self.setup.signals,
            permit: &self.permit,
            engine: self.engine(),
        }
    }

    pub(crate) fn notifier(&self) -> Option<Notifier> {
        lock(&self.memory).as_ref().and_then(|memory| memory.notifier.clone())
    }

    /// Reads a word of USERD; 0 once the channel is freed.
    pub(crate) fn load_userd(&self, at: usize) -> u32 {
        lock(&self.memory).as_ref().map_or(0, |m| m.userd.0.load_u32(m.userd.1 + at as u64))
    }

    /// Writes a word of USERD.
    pub(crate) fn store_userd(&self, at: usize, value: u32) {
        if let Some(memory) = &*lock(&self.memory) {
            memory.userd.0.store_u32(memory.userd.1 + at as u64, value);
        }
    }

    /// Whether semaphores and push buffers may lie above 2^40.
    pub(crate) fn has_wide_addresses(&self) -> bool {
        has_wide_addresses(self.setup.class)
    }

    /// The engine that executes the channel.
    pub(crate) fn engine(&self) -> EngineType {
        EngineType(self.engine.load(Ordering::Relaxed))
    }

    pub(crate) fn set_engine(&self, engine: EngineType) {
        self.engine.store(engine.0, Ordering::Relaxed);
    }

    pub(crate) fn mmu_fault(&self) -> Option<MmuFault> {
        *lock(&self.mmu_fault)
    }

    /// Adds an engine object, whose state is switched in and out through `context`.
    pub(crate) fn add_object(&self, handle: u32, engine: Box<dyn Engine>, context: Arc<Memory>) {
        self.execution().objects.push(EngineObject { handle, engine, _context: context });
    }

    /// Removes an engine object. What the engine is doing for the channel is abandoned; a channel that has not executed
    /// all that was submitted then is off its runlist, as the driver isolates it, so that it does not go on
    /// without the object.
    pub(crate) fn remove_object(&self, handle: u32) {
        let mut execution = self.evict();
        execution.remove_object(handle);
        if execution.is_unfinished() {
            self.set_scheduled(false);
        }
    }

    /// The engine, for this channel; waits until no other thread has it.
    pub(crate) fn execution(&self) -> MutexGuard<'_, Execution> {
        lock(&self.execution)
    }

    /// The same, but what the engine is doing for the channel is abandoned.
    fn evict(&self) -> MutexGuard<'_, Execution> {
        self.permit.suspend(|| self.execution())
    }

    /// Puts the channel on or off its runlist.
    pub(crate) fn set_scheduled(&self, scheduled: bool) {
        self.scheduled.store(scheduled, Ordering::Release);
    }

    pub(crate) fn ring(&self) {
        self.doorbell.store(true, Ordering::Release);
    }

    /// Whether the doorbell rang since the last call.
    pub(crate) fn take_doorbell(&self) -> bool {
        self.doorbell.swap(false, Ordering::AcqRel)
    }

    /// The channel is going away: what it does ends soon.
    pub(crate) fn cancel(&self) {
        self.permit.cancel();
    }

    /// Whether a planned fault keeps it from waiting for semaphores.
    pub(crate) fn skips_acquires(&self) -> bool {
        self.setup.plan.skips_acquires(self.setup.signals.gpu, self.engine())
    }

    /// Lets planned faults strike a launch, which may hold it up; the error that the engine is to report, if one is
    /// due.
    pub(crate) fn before_launch(&self) -> Result<Option<u32>, EngineFault> {
        let port = self.port();
        self.setup.plan.before_launch(port.signals.gpu, port.engine, || port.is_cancelled())
    }

    /// Takes the channel off its engine; what it was doing is abandoned.
    pub(crate) fn leave_engine(&self) {
        drop(self.evict());
    }

    /// Waits until the engine is between two methods of the channel; `false` after `timeout`.
    pub(crate) fn preempt(&self, timeout: Duration) -> bool {
        let start = Instant::now();
        while matches!(self.execution.try_lock(), Err(TryLockError::WouldBlock)) {
            if start.elapsed() >= timeout {
                return false;
            }
            std::thread::sleep(SPIN);
        }
        true
    }

    /// Lets go of everything that others could miss.
    pub(crate) fn retire(&self) {
        self.execution().objects.clear();
        lock(&self.memory).take();
    }

    /// Stops the channel without a fault of its own and resets its engine, as `NV906F_CTRL_CMD_RESET_CHANNEL` does.
    pub(crate) fn reset(&self) {
        self.die(Xid(43), "stopped by its owner");
        self.leave_engine();
    }

    /// Whether the host may take the next step.
    pub(crate) fn runnable(&self) -> bool {
        self.scheduled.load(Ordering::Acquire)
            && !self.dead.load(Ordering::Acquire)
            && !self.port().is_cancelled()
    }

    /// Stops the channel, and the others of its group, for a fault.
    pub(crate) fn fail(&self, halt: &Halt) {
        if let Some(fault) = halt.mmu_fault() {
            *lock(&self.mmu_fault) = Some(fault);
        }
        let xid = halt.xid(self.engine());
        self.die(xid, &halt.to_string());
        if let Some(group) = &self.setup.group {
            let siblings: Vec<_> = lock(&group.channels).iter().filter_map(Weak::upgrade).collect();
            for sibling in siblings.iter().filter(|s| s.id() != self.id()) {
                sibling.die(xid, "a channel of its group failed");
            }
        }
        self.setup.signals.events.raise(notifiers::RC_ERROR);
    }

    /// Stops the channel for good and says so in its error notifier.
    fn die(&self, xid: Xid, why: &str) {
        if self.dead.swap(true, Ordering::AcqRel) {
            return;
        }
        let engine = self.engine();
        self.setup.signals.log(format!("Xid {}: channel {} on {engine}: {why}", xid.0, self.id()));
        if let Some(Notifier { memory, offset, source }) = self.notifier() {
            memory.store_u64(offset, self.setup.signals.timestamp());
            memory.store_u32(offset + 8, xid.0);
            // The status is what others look at, so it comes last.
            memory.store_u32(offset + 12, 0xffff << 16 | engine.0 & 0xffff);
            self.setup.signals.events.raise_source(source.0, source.1);
        }
    }
}

/// Whether semaphores and push buffers of a channel class may lie above 2^40 (Hopper and later).
fn has_wide_addresses(class: u32) -> bool {
    class >= nvkernel_sys::class::HOPPER_CHANNEL_GPFIFO_A
}
