//! [`Channel`]: a ring of push buffers and what the host (PBDMA) does with it.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError, Weak};
use std::time::{Duration, Instant};

use nvkernel_sys::engine::{EngineType, notifiers};
use nvkernel_sys::host::{self, gp_entry, method_header};
use nvkernel_sys::status::Xid;

use super::host_methods::HostState;
use crate::kernel::emulated::engines::engine::{
    Engine, EngineContext, EngineFault, SemaphoreRecord, engine_xid,
};
use crate::kernel::emulated::gpu::Gpu;
use crate::kernel::emulated::lock;
use crate::kernel::emulated::memory::address_space::{AddressSpace, MmuFault};
use crate::kernel::emulated::memory::physical::Memory;

/// Words fetched at a time: push buffers can be megabytes long.
const FETCH_WORDS: u32 = 1024;
/// Methods below are the host's.
const FIRST_ENGINE_METHOD: u32 = 0x100;
/// How often an acquire is looked at that does not let other channels run.
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
    /// What USERD lies in, and where.
    pub(crate) userd: (Arc<Memory>, u64),
    pub(crate) notifier: Option<Notifier>,
}

/// What a channel is made of.
#[derive(Debug)]
pub(crate) struct ChannelSetup {
    pub(crate) gpu: Arc<Gpu>,
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
    cancelled: AtomicBool,
    /// Calls that want the channel off its engine now, whatever it is doing.
    evictions: AtomicU32,
    dead: AtomicBool,
    scheduled: AtomicBool,
    mmu_fault: Mutex<Option<MmuFault>>,
    exec: Mutex<Exec>,
}

/// What came of giving a channel the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It has nothing to do.
    Idle,
    /// Its time ran out.
    Busy,
    /// It waits for a semaphore.
    Waiting,
}

/// What came of one step of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Done,
    Empty,
    Yield,
    /// An acquire is not satisfied; whether others may run meanwhile.
    Blocked {
        switch: bool,
    },
}

/// Why a channel stops.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Halt {
    #[error("PBDMA error: {0}")]
    Pbdma(String),
    #[error("{0}")]
    Engine(#[from] EngineFault),
}

impl From<MmuFault> for Halt {
    fn from(fault: MmuFault) -> Self {
        Halt::Engine(fault.into())
    }
}

/// A run of data words that one method header announced.
#[derive(Clone, Copy, Debug)]
struct Run {
    subchannel: usize,
    address: u32,
    left: u32,
    step: Increment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Increment {
    Every,
    Never,
    Once,
}

/// A piece of a push buffer that is being executed.
#[derive(Debug)]
struct Segment {
    next: u64,
    left: u32,
    words: Vec<u32>,
    at: usize,
}

struct EngineObject {
    handle: u32,
    engine: Box<dyn Engine>,
}

/// Everything that executing changes. Whoever holds it has the engine.
#[derive(Default)]
struct Exec {
    get: u32,
    put: u32,
    /// Bits 56:40 of push buffer addresses.
    base: u64,
    segment: Option<Segment>,
    run: Option<Run>,
    host: HostState,
    objects: Vec<EngineObject>,
    /// Handle of the object bound to each subchannel.
    subchannels: [Option<u32>; host::NUMBER_OF_SUBCHANNELS as usize],
}

impl std::fmt::Debug for Exec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "get {} put {}", self.get, self.put)
    }
}

impl Channel {
    pub(crate) fn new(setup: ChannelSetup, memory: ChannelMemory, routing: Routing) -> Arc<Channel> {
        let group = setup.group.clone();
        let channel = Arc::new(Channel {
            engine: AtomicU32::new(setup.engine.0),
            setup,
            memory: Mutex::new(Some(memory)),
            routing: Mutex::new(routing),
            doorbell: AtomicBool::new(false),
            cancelled: AtomicBool::new(false),
            evictions: AtomicU32::new(0),
            dead: AtomicBool::new(false),
            scheduled: AtomicBool::new(false),
            mmu_fault: Mutex::default(),
            exec: Mutex::default(),
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

    pub(crate) fn gpu(&self) -> &Arc<Gpu> {
        &self.setup.gpu
    }

    pub(crate) fn space(&self) -> &Arc<AddressSpace> {
        &self.setup.space
    }

    pub(crate) fn group(&self) -> Option<&Arc<Group>> {
        self.setup.group.as_ref()
    }

    pub(crate) fn notifier(&self) -> Option<Notifier> {
        lock(&self.memory).as_ref().and_then(|memory| memory.notifier.clone())
    }

    /// Reads a word of USERD; 0 once the channel is freed.
    fn load_userd(&self, at: usize) -> u32 {
        lock(&self.memory).as_ref().map_or(0, |m| m.userd.0.load_u32(m.userd.1 + at as u64))
    }

    /// Writes a word of USERD.
    pub(crate) fn store_userd(&self, at: usize, value: u32) {
        if let Some(memory) = &*lock(&self.memory) {
            memory.userd.0.store_u32(memory.userd.1 + at as u64, value);
        }
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

    pub(crate) fn add_object(&self, handle: u32, engine: Box<dyn Engine>) {
        lock(&self.exec).objects.push(EngineObject { handle, engine });
    }

    /// Removes an engine object. What the engine is doing for the channel is abandoned.
    pub(crate) fn remove_object(&self, handle: u32) {
        let mut exec = self.evict();
        exec.objects.retain(|o| o.handle != handle);
        for bound in &mut exec.subchannels {
            *bound = bound.filter(|&h| h != handle);
        }
    }

    fn evict(&self) -> MutexGuard<'_, Exec> {
        self.evictions.fetch_add(1, Ordering::AcqRel);
        let exec = lock(&self.exec);
        self.evictions.fetch_sub(1, Ordering::AcqRel);
        exec
    }

    /// Puts the channel on or off its runlist.
    pub(crate) fn set_scheduled(&self, scheduled: bool) {
        self.scheduled.store(scheduled, Ordering::Release);
    }

    pub(crate) fn ring(&self) {
        self.doorbell.store(true, Ordering::Release);
    }

    /// The channel is going away: whatever it does ends soon.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    /// Whether a planned fault keeps it from waiting for semaphores.
    pub(crate) fn skips_acquires(&self) -> bool {
        let gpu = &self.setup.gpu;
        gpu.plan.skips_acquires(gpu.index, self.engine())
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
            || self.evictions.load(Ordering::Acquire) > 0
            || self.setup.gpu.is_lost()
    }

    /// Takes the channel off its engine; what it was doing is abandoned.
    pub(crate) fn leave_engine(&self) {
        drop(self.evict());
    }

    /// Waits until the engine is between two methods of the channel; `false` after `timeout`.
    pub(crate) fn preempt(&self, timeout: Duration) -> bool {
        let start = Instant::now();
        while matches!(self.exec.try_lock(), Err(TryLockError::WouldBlock)) {
            if start.elapsed() >= timeout {
                return false;
            }
            std::thread::sleep(SPIN);
        }
        true
    }

    /// Lets go of everything that others could miss.
    pub(crate) fn retire(&self) {
        lock(&self.exec).objects.clear();
        lock(&self.memory).take();
    }

    /// Stops the channel without a fault, as `NVA06F_CTRL_CMD_STOP_CHANNEL` and RESET_CHANNEL do.
    pub(crate) fn halt(&self, xid: Xid) {
        self.die(xid, "stopped by its owner");
    }

    pub(crate) fn raise_interrupt(&self) {
        if let Some(index) = self.engine().notifier() {
            self.setup.gpu.events.raise_nonstall(index);
        }
    }

    pub(crate) fn release(
        &self,
        address: u64,
        payload: u64,
        record: SemaphoreRecord,
    ) -> Result<(), EngineFault> {
        let size = match record {
            SemaphoreRecord::Word => 4,
            SemaphoreRecord::DoubleWord => 8,
            SemaphoreRecord::Stamped | SemaphoreRecord::StampedDoubleWord => 16,
        };
        aligned(address, size)?;
        let space = self.space();
        match record {
            SemaphoreRecord::Word => space.store_u32(address, payload as u32)?,
            SemaphoreRecord::DoubleWord => space.store_u64(address, payload)?,
            SemaphoreRecord::Stamped => {
                space.store_u64(address + 8, self.setup.gpu.timestamp())?;
                space.store_u64(address, payload & 0xffff_ffff)?;
            }
            SemaphoreRecord::StampedDoubleWord => {
                space.store_u64(address + 8, self.setup.gpu.timestamp())?;
                space.store_u64(address, payload)?;
            }
        }
        self.setup.gpu.semaphore_released();
        Ok(())
    }

    pub(crate) fn reduce(&self, address: u64, f: impl Fn(u32) -> u32) -> Result<(), EngineFault> {
        aligned(address, 4)?;
        self.space().update_u32(address, f)?;
        self.setup.gpu.semaphore_released();
        Ok(())
    }

    fn runnable(&self) -> bool {
        self.scheduled.load(Ordering::Acquire) && !self.dead.load(Ordering::Acquire) && !self.is_cancelled()
    }

    /// Executes the channel for `slice` at most (a single method may take longer).
    pub(crate) fn run(&self, slice: Duration) -> Outcome {
        let mut exec = lock(&self.exec);
        let start = Instant::now();
        while self.runnable() {
            match self.step(&mut exec) {
                Ok(Step::Done) if start.elapsed() < slice => {}
                Ok(Step::Done | Step::Yield) => return Outcome::Busy,
                Ok(Step::Empty) => return Outcome::Idle,
                Ok(Step::Blocked { switch }) => {
                    if switch || start.elapsed() >= slice {
                        return Outcome::Waiting;
                    }
                    std::thread::sleep(SPIN);
                }
                Err(halt) => self.fail(&halt),
            }
        }
        Outcome::Idle
    }

    /// Evaluates a pending acquire, or executes the next word.
    fn step(&self, exec: &mut Exec) -> Result<Step, Halt> {
        if exec.host.is_waiting() {
            return exec.host.retry(self);
        }
        let Some(word) = self.next_word(exec)? else {
            return Ok(if self.next_entry(exec)? { Step::Done } else { Step::Empty });
        };
        if let Some(run) = &mut exec.run {
            let (subchannel, address) = (run.subchannel, run.address);
            match run.step {
                Increment::Every => run.address += 4,
                Increment::Never => {}
                Increment::Once => (run.address, run.step) = (run.address + 4, Increment::Never),
            }
            run.left -= 1;
            if run.left == 0 {
                exec.run = None;
            }
            return self.method(exec, subchannel, address, word);
        }
        use method_header::*;
        let subchannel = METHOD_SUBCHANNEL.get(word) as usize;
        let address = METHOD_ADDRESS.get(word) << 2;
        let step = match SEC_OP.get(word) {
            SEC_OP_INC_METHOD => Increment::Every,
            SEC_OP_NON_INC_METHOD => Increment::Never,
            SEC_OP_ONE_INC => Increment::Once,
            SEC_OP_IMMD_DATA_METHOD => return self.method(exec, subchannel, address, IMMD_DATA.get(word)),
            SEC_OP_END_PB_SEGMENT => {
                exec.segment = None;
                return Ok(Step::Done);
            }
            _ => return Err(Halt::Pbdma(format!("method header {word:#010x} has no known opcode"))),
        };
        let left = METHOD_COUNT.get(word);
        exec.run = (left > 0).then_some(Run { subchannel, address, left, step });
        Ok(Step::Done)
    }

    /// The next word of the current segment; `None` at its end.
    fn next_word(&self, exec: &mut Exec) -> Result<Option<u32>, Halt> {
        let Some(segment) = &mut exec.segment else { return Ok(None) };
        if segment.at == segment.words.len() {
            let count = segment.left.min(FETCH_WORDS);
            if count == 0 {
                exec.segment = None;
                return match exec.run.take() {
                    None => Ok(None),
                    Some(run) => {
                        Err(Halt::Pbdma(format!("the push buffer ends {} words before its method", run.left)))
                    }
                };
            }
            segment.words.resize(count as usize, 0);
            self.space().read(segment.next, zerocopy::IntoBytes::as_mut_bytes(&mut segment.words[..]))?;
            segment.next += u64::from(count) * 4;
            segment.left -= count;
            segment.at = 0;
        }
        segment.at += 1;
        Ok(Some(segment.words[segment.at - 1]))
    }

    /// Takes the next ring entry; `false` if there is none.
    fn next_entry(&self, exec: &mut Exec) -> Result<bool, Halt> {
        if exec.get == exec.put {
            // The host looks at GPPut when the doorbell rings, and not otherwise.
            if !self.doorbell.swap(false, Ordering::AcqRel) {
                return Ok(false);
            }
            exec.put = self.load_userd(host::USERD_GP_PUT);
            if exec.put >= self.setup.entries {
                let entries = self.setup.entries;
                return Err(Halt::Pbdma(format!("GPPut is {} in a ring of {entries} entries", exec.put)));
            }
            if exec.get == exec.put {
                return Ok(false);
            }
        }
        let entry = self.space().load_u64(self.setup.ring + 8 * u64::from(exec.get))?;
        exec.get = (exec.get + 1) % self.setup.entries;
        self.store_userd(host::USERD_GP_GET, exec.get);
        let (low, high) = (entry as u32, (entry >> 32) as u32);
        let length = gp_entry::LENGTH.get(high);
        if length > 0 {
            let address = exec.base | u64::from(gp_entry::GET_HI.get(high)) << 32 | u64::from(low & !3);
            exec.segment = Some(Segment { next: address, left: length, words: Vec::new(), at: 0 });
            return Ok(true);
        }
        match gp_entry::OPCODE.get(high) {
            gp_entry::OPCODE_NOP | gp_entry::OPCODE_GP_CRC | gp_entry::OPCODE_PB_CRC => Ok(true),
            gp_entry::OPCODE_SET_PB_SEGMENT_EXTENDED_BASE if self.has_wide_addresses() => {
                exec.base = u64::from(low >> 8 & 0x1_ffff) << 40;
                Ok(true)
            }
            opcode => Err(Halt::Pbdma(format!("ring entry {entry:#018x} has control opcode {opcode}"))),
        }
    }

    /// Whether semaphores and push buffers may lie above 2^40 (Hopper and later channel classes).
    pub(crate) fn has_wide_addresses(&self) -> bool {
        self.setup.class >= nvkernel_sys::class::HOPPER_CHANNEL_GPFIFO_A
    }

    fn method(&self, exec: &mut Exec, subchannel: usize, address: u32, value: u32) -> Result<Step, Halt> {
        if address == host::SET_OBJECT {
            let class = value & 0xffff;
            let object = exec.objects.iter().find(|o| o.engine.class() == class);
            let object = object.ok_or_else(|| {
                Halt::Pbdma(format!("SET_OBJECT of class {class:#06x}, of which the channel has no object"))
            })?;
            exec.subchannels[subchannel] = Some(object.handle);
            return Ok(Step::Done);
        }
        if address < FIRST_ENGINE_METHOD {
            return exec.host.method(self, address, value);
        }
        let bound = exec.subchannels[subchannel];
        let object = bound.and_then(|handle| exec.objects.iter_mut().find(|o| o.handle == handle));
        let object = object.ok_or_else(|| {
            Halt::Pbdma(format!("method {address:#06x} on subchannel {subchannel}, which has no object"))
        })?;
        let mut error_status = None;
        if object.engine.launches(address, value) {
            let (plan, gpu) = (&self.setup.gpu.plan, self.setup.gpu.index);
            error_status = plan.before_launch(gpu, self.engine(), || self.is_cancelled())?;
            if self.is_cancelled() {
                return Ok(Step::Done);
            }
        }
        let context = EngineContext { channel: self, error_status: Cell::new(error_status) };
        // A model that panics must not take the other channels of its engine along.
        catch_unwind(AssertUnwindSafe(|| object.engine.method(&context, address, value)))
            .unwrap_or_else(|_| Err(EngineFault::Exception("the engine model panicked".into())))?;
        match context.take_error_status() {
            // A fault that nobody could see would be none.
            Some(status) => Err(EngineFault::Exception(format!("injected error {status:#x}")).into()),
            None => Ok(Step::Done),
        }
    }

    fn fail(&self, halt: &Halt) {
        let xid = match halt {
            Halt::Pbdma(_) => Xid(32),
            Halt::Engine(EngineFault::Mmu(fault)) => {
                *lock(&self.mmu_fault) = Some(*fault);
                Xid(31)
            }
            Halt::Engine(EngineFault::Timeout(_)) => Xid(109),
            Halt::Engine(_) => engine_xid(self.engine()),
        };
        self.die(xid, &halt.to_string());
        if let Some(group) = self.group() {
            let siblings: Vec<_> = lock(&group.channels).iter().filter_map(Weak::upgrade).collect();
            for sibling in siblings.iter().filter(|s| s.id() != self.id()) {
                sibling.die(xid, "a channel of its group failed");
            }
        }
        self.setup.gpu.events.raise(notifiers::RC_ERROR);
    }

    /// Stops the channel for good and says so in its error notifier.
    fn die(&self, xid: Xid, why: &str) {
        if self.dead.swap(true, Ordering::AcqRel) {
            return;
        }
        let engine = self.engine();
        self.setup.gpu.log(format!("Xid {}: channel {} on {engine}: {why}", xid.0, self.id()));
        if let Some(Notifier { memory, offset, source }) = self.notifier() {
            memory.store_u64(offset, self.setup.gpu.timestamp());
            memory.store_u32(offset + 8, xid.0);
            // The status is what others look at, so it comes last.
            memory.store_u32(offset + 12, 0xffff << 16 | engine.0 & 0xffff);
            self.setup.gpu.events.raise_source(source.0, source.1);
        }
    }
}

fn aligned(address: u64, size: u64) -> Result<(), EngineFault> {
    if address.is_multiple_of(size) {
        return Ok(());
    }
    Err(EngineFault::Exception(format!("semaphore address {address:#x} is not a multiple of {size}")))
}
