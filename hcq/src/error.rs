//! What can go wrong between a call into this crate and the GPU.

use std::io;
use std::time::Duration;

use nvkernel_sys::engine::EngineType;
use nvkernel_sys::status::RmStatus;

use crate::compute::cubin::CubinError;
use crate::compute::refusal::LaunchError;
use crate::fault::ChannelFault;

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error that names the operation, the object and the number.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A device node could not be opened.
    #[error("cannot open {node}: {source}{}", descriptor_advice(source))]
    Open {
        /// Path of the node.
        node: String,
        /// What `open` said.
        source: io::Error,
    },
    /// An ioctl failed before the resource manager looked at it: wrong size, wrong node, or gone.
    #[error("{operation}: ioctl failed: {source}{}", descriptor_advice(source))]
    Ioctl {
        /// The call and what it was made for.
        operation: String,
        /// What `ioctl` said.
        source: io::Error,
    },
    /// The resource manager refused.
    #[error("{status} from {operation}")]
    Rm {
        /// The call, the class or control command, and the object.
        operation: String,
        /// Its status.
        status: RmStatus,
    },
    /// Memory could not be mapped into this process.
    #[error("cannot map {length} bytes of {what} for the CPU: {source}")]
    Map {
        /// What was to be mapped.
        what: &'static str,
        /// Length in bytes.
        length: usize,
        /// What `mmap` said.
        source: io::Error,
    },
    /// The address window below 2^40 has no free range of that size.
    #[error("no free GPU address range of {size} bytes below 2^40")]
    AddressSpaceFull {
        /// Size asked for, in bytes.
        size: u64,
    },
    /// No GPU answers on this machine.
    #[error("no NVIDIA GPU found: {0}")]
    NoGpu(String),
    /// The GPU lacks what was asked for.
    #[error("{0}")]
    Unsupported(String),
    /// The driver is older than the oldest release whose layouts are known.
    #[error("driver {version} is older than {floor}, the oldest release that is supported")]
    DriverTooOld {
        /// Release that runs.
        version: String,
        /// Oldest supported release.
        floor: String,
    },
    /// The driver gave its release in a form that is not understood.
    #[error("driver release {0:?} is not of the form MAJOR.MINOR[.PATCH]")]
    DriverVersion(String),
    /// A channel died; it and everything queued on it is lost.
    #[error("channel on {engine} is dead: {fault}")]
    ChannelFault {
        /// Engine the channel belonged to.
        engine: String,
        /// What its error notifier says.
        fault: ChannelFault,
    },
    /// An engine made no progress, although what its next submission waits for is done. It need not be the engine that
    /// was waited for: that one may wait for the stalled one. The queue that moves the timeline may be
    /// [reset](crate::Queue::reset), so that what waits for it goes on.
    #[error("{engine} stalled: no progress beyond timeline point {reached} within {standing:?}")]
    Stalled {
        /// Engine that stands still.
        engine: EngineType,
        /// Its timeline, by [`Timeline::id`](crate::Timeline::id): an engine may have several queues.
        timeline: u64,
        /// The last submission that it finished.
        reached: u64,
        /// For how long it is known to stand still.
        standing: Duration,
    },
    /// A timeline did not reach its point in time and its channel reports no fault.
    #[error("{engine} did not reach timeline point {point} within {waited:?} (it stands at {reached})")]
    Timeout {
        /// Engine waited for.
        engine: String,
        /// Point waited for.
        point: u64,
        /// Where the timeline stood at the end.
        reached: u64,
        /// How long was waited.
        waited: Duration,
    },
    /// The GPU has fallen off the bus or needs a reset; every handle of this process is useless.
    #[error("the GPU is lost (driver closed its event file)")]
    GpuLost,
    /// A push buffer holds something that the validator does not accept.
    #[error("push buffer: {0}")]
    PushBuffer(String),
    /// Memory or a sync point of one device was given to a queue of another one, whose engines know other addresses.
    #[error("{what} of {given} was given to a queue of {wanted}")]
    OtherDevice {
        /// What was given: a buffer, a sync point, a profiler.
        what: &'static str,
        /// The device that it belongs to.
        given: String,
        /// The device of the queue.
        wanted: String,
    },
    /// Memory that was not allocated by [`Device::allocate`](crate::Device::allocate) was to be given to others.
    #[error("{what} cannot be exported: {why}")]
    NotShareable {
        /// The memory.
        what: String,
        /// What to do instead.
        why: &'static str,
    },
    /// A descriptor to be imported is none of memory that the driver exported: a pipe, a file, a socket, a dma-buf, or
    /// a node of the driver that carries nothing.
    #[error("the descriptor holds no memory that an NVIDIA driver exported ({status})")]
    NoSharedMemory {
        /// What the driver said to it.
        status: RmStatus,
    },
    /// Memory to be imported lies on another GPU of the machine.
    #[error("the memory was exported from device {given}, this one is device {wanted}")]
    OtherGpu {
        /// Device instance that it was exported from, as the driver counts them.
        given: u32,
        /// Device instance that was to import it.
        wanted: u32,
    },
    /// No [`SharedWord`](crate::SharedWord) can lie there: it takes 16 bytes of a buffer at a multiple of 16.
    #[error(
        "no room for a semaphore record of 16 bytes, aligned to 16, at {offset} of a buffer of {size} bytes"
    )]
    NoWord {
        /// Where it was to lie.
        offset: u64,
        /// Size of the buffer.
        size: u64,
    },
    /// A command that writes to an [`Input`](crate::Input), which engines may only read.
    #[error("{what} would write to {target}, which engines may only read")]
    ReadOnly {
        /// The command.
        what: &'static str,
        /// The memory.
        target: String,
    },
    /// The queue has no room for another submission until the engine has finished one. A value rather than a wait, so
    /// that the caller waits with no lock held ([`Queue::wait_for_room`](crate::Queue::wait_for_room)) and submits
    /// again.
    #[error("the queue on {engine} is full; there is room when its timeline has reached {oldest}")]
    QueueFull {
        /// Engine of the queue.
        engine: EngineType,
        /// Value of the oldest submission that is not finished.
        oldest: u64,
    },
    /// A cubin that cannot be loaded.
    #[error("{0}")]
    Cubin(#[from] CubinError),
    /// A kernel that cannot be launched so.
    #[error("kernel {kernel}: {error}")]
    Launch {
        /// Its entry symbol.
        kernel: String,
        /// Why.
        error: LaunchError,
    },
    /// An allocation would exceed the [`Quota`](crate::Quota) that it is charged to.
    #[error("{size} bytes exceed a quota of {limit}, of which {charged} are taken")]
    QuotaExceeded {
        /// Bytes that the allocation takes.
        size: u64,
        /// Bytes that are allocated.
        charged: u64,
        /// Most bytes.
        limit: u64,
    },
    /// A request that is larger than the queue can ever hold.
    #[error("{what} of {size} exceeds the limit of {limit}")]
    TooLarge {
        /// What was too large.
        what: &'static str,
        /// Size asked for.
        size: u64,
        /// Largest size possible.
        limit: u64,
    },
}

/// What to do about a call that failed for want of file descriptors, to stand behind its message; empty for all other
/// failures.
pub fn descriptor_advice(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EMFILE) => "; this process may open no more files: raise the limit (`ulimit -n`)",
        Some(libc::ENFILE) => "; the system may open no more files: end other programs, or raise fs.file-max",
        _ => "",
    }
}

impl Error {
    /// Whether the process, or the system, had no file descriptors left (`EMFILE`, `ENFILE`).
    pub fn is_out_of_descriptors(&self) -> bool {
        match self {
            Error::Open { source, .. } | Error::Ioctl { source, .. } | Error::Map { source, .. } => {
                !descriptor_advice(source).is_empty()
            }
            _ => false,
        }
    }

    /// The status of the resource manager, if it was the one to refuse.
    pub fn rm_status(&self) -> Option<RmStatus> {
        match self {
            Error::Rm { status, .. } => Some(*status),
            _ => None,
        }
    }
}
