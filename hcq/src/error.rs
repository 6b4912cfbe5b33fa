//! What can go wrong between a call into this crate and the GPU.

use std::io;
use std::time::Duration;

use nvkernel_sys::status::RmStatus;

use crate::channel::ChannelFault;

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
