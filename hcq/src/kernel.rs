//! The seam between this crate and the machine.
//!
//! Everything the crate asks of an operating system passes through [`KernelInterface`]: five calls, all in
//! terms of file descriptors and ioctl bytes, and two questions about what is behind them. [`LinuxKernel`] is
//! NVIDIA's kernel module; [`EmulatedKernel`](emulated::EmulatedKernel) answers the same bytes without a GPU
//! (feature `emulated`, on by default). Nothing above knows which one runs.

use std::any::Any;
use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::time::Duration;

use memmap2::MmapRaw;
use nvkernel_sys::engine::EngineKind;
use nvkernel_sys::host::{USERMODE_NOTIFY_CHANNEL_PENDING, USERMODE_SIZE};

#[cfg(feature = "emulated")]
pub mod emulated;
mod linux;
mod trace;

pub use linux::LinuxKernel;
pub use trace::TracingKernel;

/// A device node of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Node {
    /// `/dev/nvidiactl`: clients, objects, control calls.
    Control,
    /// `/dev/nvidiaN`, by minor number: mapping of GPU memory.
    Gpu(u32),
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Control => f.write_str("/dev/nvidiactl"),
            Node::Gpu(minor) => write!(f, "/dev/nvidia{minor}"),
        }
    }
}

/// What ended a wait on an event file descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventWait {
    /// The event was signalled since the last wait; the flag is now clear.
    Signalled,
    /// The time ran out.
    TimedOut,
    /// The GPU is gone (`POLLHUP`).
    Lost,
}

/// The registers of a usermode object (`NVC361_*` and later), mapped: doorbell and clock.
///
/// Code that can write the doorbell has the GPU look at the ring of a channel, so only what maps the registers can make
/// one.
#[derive(Debug)]
pub struct UsermodeRegisters(MmapRaw);

impl UsermodeRegisters {
    /// The registers in `map`. Panics if it is too short for them.
    ///
    /// # Safety
    ///
    /// `map` is what [`KernelInterface::map`] returned for a usermode object.
    pub unsafe fn new(map: MmapRaw) -> UsermodeRegisters {
        assert!(map.len() >= USERMODE_SIZE, "{} bytes are too few for usermode registers", map.len());
        UsermodeRegisters(map)
    }

    /// Where the mapping begins in this process.
    pub fn address(&self) -> usize {
        self.0.as_ptr() as usize
    }

    /// Reads the 32-bit register at `offset`. Panics if there is none.
    pub(crate) fn load(&self, offset: usize) -> u32 {
        self.register(offset).load(Ordering::Acquire)
    }

    fn register(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset + 4 <= USERMODE_SIZE, "no register at {offset:#x}");
        // SAFETY: mapped for as long as `self`, and long enough (`new`); aligned, since mappings start on a page.
        unsafe { AtomicU32::from_ptr(self.0.as_mut_ptr().add(offset).cast()) }
    }

    /// Writes `token` to the doorbell, behind all earlier writes of this thread.
    fn ring(&self, token: u32) {
        // The ring entry and GPPut may sit in write-combined memory: a full barrier drains those buffers.
        fence(Ordering::SeqCst);
        self.register(USERMODE_NOTIFY_CHANNEL_PENDING).store(token, Ordering::Release);
    }
}

/// The calls that this crate makes to the machine.
///
/// Implementations are shared between threads and hold no state that a caller could corrupt; all state of
/// a client hangs on the file descriptors that [`open`](Self::open) returned, and goes with them.
///
/// # Safety
///
/// What [`map`](Self::map) returns for a descriptor that the driver attached memory to has the length that was asked
/// for, and can be read and written, by the host and by devices at any time, for as long as it lives.
pub unsafe trait KernelInterface: fmt::Debug + Send + Sync {
    /// Whether the GPUs behind this interface are a model.
    fn is_emulated(&self) -> bool;

    /// What the engines of a kind lack of what their class has, in the terms of whoever drives them. A real driver
    /// says nothing: there the class is the whole truth. Nothing here depends on it; interfaces that pass calls on
    /// pass this on as well.
    fn engine_limits(&self, kind: EngineKind) -> Option<&(dyn Any + Send + Sync)> {
        let _ = kind;
        None
    }

    /// Opens a device node for reading and writing, close-on-exec, blocking.
    fn open(&self, node: Node) -> io::Result<OwnedFd>;

    /// Issues one ioctl; `arg` is the argument struct and is written back.
    ///
    /// # Safety
    ///
    /// Every pointer stored in `arg` must be valid, for as many bytes as the driver will read or write
    /// through it, for the length of the call.
    unsafe fn ioctl(&self, fd: BorrowedFd<'_>, request: u32, arg: &mut [u8]) -> io::Result<()>;

    /// Maps `length` bytes of what the driver has attached to `fd` (offset 0, shared, read and write).
    fn map(&self, fd: BorrowedFd<'_>, length: usize) -> io::Result<MmapRaw>;

    /// Writes a work-submit token to the doorbell register, after making all earlier writes of this thread visible to
    /// the device.
    fn ring_doorbell(&self, usermode: &UsermodeRegisters, token: u32);

    /// Waits until the event attached to `fd` fires. The flag is sticky: an event that fired before the
    /// call ends it at once, and ends only that one call.
    fn wait_event(&self, fd: BorrowedFd<'_>, timeout: Duration) -> io::Result<EventWait>;
}
