//! [`ComputeQueue`]: kernels on the GPU, from cubins as compilers make them.
//!
//! A [`Module`] is a cubin in GPU memory, a [`Kernel`] one of its entries. [`ComputeCommands`] are launches, and a
//! `ComputeQueue` takes them behind waits, as every queue does.
//!
//! A launch is a descriptor (QMD) of the GPU's generation and constant bank 0, which holds the parameters. Both are written to
//! GPU memory of the queue with each launch, from a template that the kernel has, as far as they do not lie there already; the GPU
//! is told the descriptor's address.
//!
//! ```no_run
//! use hcq::{Arguments, ComputeCommands, ComputeQueue, Device, LinuxKernel, Module, Placement};
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! let device = Device::open(Arc::new(LinuxKernel::new()), 0)?;
//! let module = Module::load(&device, &std::fs::read("fill.sm_90.cubin")?)?;
//! let fill = module.kernel("fill")?;
//! let buffer = device.allocate(4096, Placement::Sysmem)?;
//! let mut commands = ComputeCommands::new();
//! let arguments = Arguments::new().buffer(&buffer).u32(1024).u32(7);
//! // SAFETY: the kernel writes 1024 words from its pointer on, and nothing else.
//! unsafe { commands.launch(&fill, [4, 1, 1], [256, 1, 1], 0, arguments) }?;
//! ComputeQueue::new(&device)?.submit(&[], &commands)?.wait(Duration::from_secs(1))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub(crate) mod cubin;
mod descriptor;
mod launch;
mod module;
pub(crate) mod refusal;
mod written;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use nvkernel_sys::class;
use nvkernel_sys::compute::{self, send_signaling_pcas2_b as pcas};
use nvkernel_sys::engine::{EngineKind, EngineType};

pub use self::cubin::{Cubin, CubinError, KernelInfo};
use self::descriptor::{ALIGNMENT, MAX_SIZE};
pub use self::launch::{Arguments, ComputeCommands, Launch};
use self::launch::{Step, View};
pub use self::module::{Kernel, Module};
pub use self::refusal::LaunchError;
use self::written::{LOCAL_WINDOW, Lying, SHARED_WINDOW, Written};
use crate::address_space::Placement;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::fault::ChannelFault;
use crate::memory::{DeviceBuffer, Outside};
use crate::pushbuf::{PushBuffer, SUBCHANNEL_COMPUTE};
use crate::queue::Queue;
use crate::timeline::{SyncPoint, Timeline};

/// GPU memory for descriptors and constant banks of launches in flight. From host memory the GPU takes 6.6 µs for a launch,
/// from its own 2.3, and the processor writes to it as fast.
const LAUNCH_BYTES: u64 = 128 << 10;
/// A descriptor and the bank behind it.
const DESCRIPTOR_BYTES: u64 = (MAX_SIZE as u64).next_multiple_of(ALIGNMENT);

/// What is known of launches on a compute class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Support {
    /// Kernels were seen to run on hardware of the class.
    Proven,
    /// The launch descriptor is known from public headers.
    Documented,
    /// The launch descriptor is not known: kernels cannot be launched.
    Unknown,
}

/// What is known of launches on `class`.
pub fn support(class: u32) -> Support {
    match descriptor::compute_row(class) {
        Some(row) if row.proven => Support::Proven,
        Some(row) if row.layout.is_some() => Support::Documented,
        _ => Support::Unknown,
    }
}

/// Why a compute queue is dead, and what ran on it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ComputeFault {
    /// The cause, and the address if it was one.
    pub fault: ChannelFault,
    /// Kernels of the submissions that were not over, the oldest first: one of the first submission's is the culprit. Of
    /// several launches of a kernel, one behind the other in a submission, it is named once.
    pub kernels: Vec<String>,
}

impl std::fmt::Display for ComputeFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.kernels[..] {
            [] => write!(f, "{}", self.fault),
            kernels => write!(f, "{}, in or behind kernel {}", self.fault, kernels.join(", ")),
        }
    }
}

/// A queue for kernels, on the graphics engine.
#[derive(Debug)]
pub struct ComputeQueue {
    queue: Arc<Queue>,
    memory: DeviceBuffer,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether the engine was told its windows.
    is_set_up: bool,
    /// Bytes of the memory that were taken since the beginning, including what was skipped at its end.
    head: u64,
    in_flight: VecDeque<InFlight>,
    /// Kept to be written into again.
    words: PushBuffer,
    written: Option<Written>,
    lying: Lying,
}

#[derive(Debug)]
struct InFlight {
    /// Value of the timeline that completes it.
    value: u64,
    /// Where in the memory the submission starts, counted like `State::head`.
    start: u64,
    kernels: Kernels,
}

/// The kernels of a submission, each once for launches in a row. Most submissions launch one alone, and none is allocated for
/// then.
#[derive(Debug, Default)]
struct Kernels {
    first: Option<Kernel>,
    others: Vec<Kernel>,
}

impl Kernels {
    fn add(&mut self, kernel: &Kernel) {
        match self.others.last().or(self.first.as_ref()) {
            Some(last) if last.is(kernel) => {}
            Some(_) => self.others.push(kernel.clone()),
            None => self.first = Some(kernel.clone()),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Kernel> + Clone {
        self.first.iter().chain(&self.others)
    }
}

impl State {
    /// Where `bytes` bytes in a row can be, counted as `head`, when all up to `reached` is over; `None` if there is no room.
    fn place(&mut self, bytes: u64, reached: u64) -> Option<u64> {
        while self.in_flight.pop_front_if(|launch| launch.value <= reached).is_some() {}
        let at = self.head % LAUNCH_BYTES;
        let start = if at + bytes > LAUNCH_BYTES { self.head + LAUNCH_BYTES - at } else { self.head };
        match self.in_flight.front() {
            Some(oldest) if start + bytes > oldest.start + LAUNCH_BYTES => None,
            _ => Some(start),
        }
    }
}

impl ComputeQueue {
    /// A queue on the first graphics engine of the GPU.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] if the GPU has no such engine, or none of a class that is known.
    pub fn new(device: &Device) -> Result<ComputeQueue> {
        let engines = device.engines_of(EngineKind::Graphics)?;
        let engine =
            *engines.first().ok_or_else(|| Error::Unsupported("the GPU has no engine for compute".into()))?;
        let class = device.pick_class("compute", class::COMPUTE_CLASSES)?;
        let memory = device.allocate_internal(LAUNCH_BYTES, Placement::Vidmem)?;
        memory.view()?;
        Ok(ComputeQueue { queue: Queue::new(device, engine, class)?, memory, state: Mutex::default() })
    }

    /// The queue below.
    pub fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// The timeline that the queue moves.
    pub fn timeline(&self) -> &Arc<Timeline> {
        self.queue.timeline()
    }

    /// The engine that executes the queue.
    pub fn engine(&self) -> EngineType {
        self.queue.engine()
    }

    /// Why the queue is dead, if it is, with the kernels that were on it.
    pub fn fault(&self) -> Option<ComputeFault> {
        let fault = self.queue.fault()?;
        let over = self.timeline().ended_at().unwrap_or_else(|| self.timeline().reached());
        let state = self.lock();
        let left = state.in_flight.iter().filter(|launch| launch.value > over);
        let kernels = left.flat_map(|launch| launch.kernels.iter());
        let kernels = kernels.map(|kernel| kernel.info().name.clone()).collect();
        Some(ComputeFault { fault, kernels })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Submits a batch behind `waits`. While the queue is full, it waits for the engine, with no lock held.
    ///
    /// # Errors
    ///
    /// [`Error::OtherDevice`] if a buffer, a kernel or a wait is of another device, [`Error::Launch`] for a batch that is too
    /// large, and those of [`Queue::submit`] and [`Queue::wait_for_room`].
    pub fn submit(&self, waits: &[SyncPoint], commands: &ComputeCommands) -> Result<SyncPoint> {
        self.submit_with(waits, Outside::default(), commands)
    }

    /// As [`submit`](Self::submit), with words in shared memory that others write, or wait for.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit).
    pub fn submit_with(
        &self,
        waits: &[SyncPoint],
        outside: Outside<'_>,
        commands: &ComputeCommands,
    ) -> Result<SyncPoint> {
        self.submit_steps(waits, outside, commands.steps(), commands.buffers())
    }

    /// Submits one launch, as [`submit_with`](Self::submit_with) does a batch.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit), and those of [`ComputeCommands::launch`].
    ///
    /// # Safety
    ///
    /// As [`ComputeCommands::launch`]: the kernel reads and writes nothing beyond the buffers of the launch.
    pub unsafe fn launch(
        &self,
        waits: &[SyncPoint],
        outside: Outside<'_>,
        launch: &Launch<'_>,
    ) -> Result<SyncPoint> {
        // SAFETY: the caller's promise.
        unsafe { self.launch_all(waits, outside, std::slice::from_ref(launch)) }
    }

    /// Submits several launches at once, as [`launch`](Self::launch) does one: they cost a single submission, and are over at
    /// its point together. They may run in any order, and beside each other.
    ///
    /// # Errors
    ///
    /// As [`launch`](Self::launch). Where there is an error, none is submitted.
    ///
    /// # Safety
    ///
    /// As [`ComputeCommands::launch`], where the buffers of all these launches count for each of them: what several work in
    /// need stand in one of them alone.
    pub unsafe fn launch_all(
        &self,
        waits: &[SyncPoint],
        outside: Outside<'_>,
        launches: &[Launch<'_>],
    ) -> Result<SyncPoint> {
        let mut before = None;
        for launch in launches {
            // What is possible is so again.
            if !before.is_some_and(|before| launch.is_like(before)) {
                launch.check()?;
            }
            before = Some(launch);
        }
        let steps = launches.iter().map(|launch| Step::Launch(View::lent(launch)));
        let buffers = launches.iter().flat_map(|launch| launch.buffers.iter().copied());
        self.submit_steps(waits, outside, steps, buffers)
    }

    fn submit_steps<'a>(
        &'a self,
        waits: &[SyncPoint],
        outside: Outside<'_>,
        steps: impl Iterator<Item = Step<'a>> + Clone,
        // All memory that the kernels work in besides their own.
        buffers: impl Iterator<Item = &'a DeviceBuffer> + Clone,
    ) -> Result<SyncPoint> {
        let (mut bytes, mut kernels) = (0, Kernels::default());
        for View { kernel, .. } in launches(steps.clone()) {
            bytes += bytes_of(kernel);
            kernels.add(kernel);
        }
        if bytes > LAUNCH_BYTES / 2 {
            let first = launches(steps).next();
            let kernel = first.map_or_else(String::new, |launch| launch.kernel.info().name.clone());
            return Err(Error::Launch {
                kernel,
                error: LaunchError::Batch { bytes, limit: LAUNCH_BYTES / 2 },
            });
        }
        loop {
            let mut state = self.lock();
            if let Some(start) = state.place(bytes, self.timeline().reached()) {
                let what = (steps.clone(), buffers.clone());
                match self.submit_at(&mut state, (start, bytes), (waits, outside), what, &mut kernels) {
                    Err(Error::QueueFull { .. }) => {}
                    outcome => return outcome,
                }
            }
            drop(state);
            self.queue.wait_for_room()?;
        }
    }

    fn submit_at<'a>(
        &'a self,
        state: &mut State,
        (start, bytes): (u64, u64),
        (waits, outside): (&[SyncPoint], Outside<'_>),
        (steps, buffers): (impl Iterator<Item = Step<'a>>, impl Iterator<Item = &'a DeviceBuffer> + Clone),
        // They are counted before anything is written: what counts references waits for all writes before it.
        kernels: &mut Kernels,
    ) -> Result<SyncPoint> {
        let State { is_set_up, words, written, lying, .. } = state;
        words.clear();
        if !*is_set_up {
            set_up(words);
        }
        let (view, base) = (self.memory.view()?, self.memory.gpu_address());
        let mut at = start % LAUNCH_BYTES;
        for step in steps {
            let Step::Launch(launch) = step else {
                words.method(SUBCHANNEL_COMPUTE, compute::WAIT_FOR_IDLE, 0);
                continue;
            };
            let written = match written {
                Some(before) if before.is_like(&launch) => before,
                _ => written.insert(Written::new(&launch, lying)),
            };
            written.write(&launch, (view, base), at, lying);
            let address = base + at;
            words.method(SUBCHANNEL_COMPUTE, compute::SEND_PCAS_A, (address >> 8) as u32);
            words.method(
                SUBCHANNEL_COMPUTE,
                compute::SEND_SIGNALING_PCAS2_B,
                pcas::PCAS_ACTION.of(pcas::PCAS_ACTION_INVALIDATE_COPY_SCHEDULE),
            );
            at += bytes_of(launch.kernel);
        }
        let code = kernels.iter().map(Kernel::memory);
        // Lent again, for no longer than the kernels.
        let buffers = buffers.map(|buffer| -> &DeviceBuffer { buffer });
        let buffers = buffers.chain(code).chain([&self.memory]);
        // SAFETY: the descriptors and banks were just written to memory of the queue that nothing in flight uses; what the
        // kernels do with their arguments is the promise of those who asked for the launches; and all memory is passed along.
        let point = unsafe { self.queue.submit_with(waits, outside, words, buffers) }?;
        *is_set_up = true;
        state.head = start + bytes;
        let kernels = std::mem::take(kernels);
        state.in_flight.push_back(InFlight { value: point.value(), start, kernels });
        Ok(point)
    }
}

/// Bytes of the queue's memory that a launch takes.
fn bytes_of(kernel: &Kernel) -> u64 {
    DESCRIPTOR_BYTES + u64::from(kernel.info().bank).next_multiple_of(ALIGNMENT)
}

fn launches<'a>(steps: impl Iterator<Item = Step<'a>> + Clone) -> impl Iterator<Item = View<'a>> + Clone {
    steps.filter_map(|step| match step {
        Step::Launch(launch) => Some(launch),
        Step::Barrier => None,
    })
}

/// What the engine has to know before the first launch.
fn set_up(words: &mut PushBuffer) {
    let split = |address: u64| [(address >> 32) as u32, address as u32];
    let subchannel = SUBCHANNEL_COMPUTE;
    words.method(subchannel, compute::INVALIDATE_SKED_CACHES, 0);
    words.method(subchannel, compute::INVALIDATE_SAMPLER_CACHE_NO_WFI, 0);
    words.method(subchannel, compute::INVALIDATE_TEXTURE_HEADER_CACHE_NO_WFI, 0);
    words.methods(subchannel, compute::SET_SHADER_SHARED_MEMORY_WINDOW_A, &split(SHARED_WINDOW));
    words.methods(subchannel, compute::SET_SHADER_LOCAL_MEMORY_WINDOW_A, &split(LOCAL_WINDOW));
    use compute::invalidate_shader_caches as caches;
    words.method(
        subchannel,
        compute::INVALIDATE_SHADER_CACHES_NO_WFI,
        caches::INSTRUCTION.of(1) | caches::GLOBAL_DATA.of(1) | caches::CONSTANT.of(1),
    );
}
