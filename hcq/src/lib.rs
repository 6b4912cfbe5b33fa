//! Hardware command queues on NVIDIA GPUs, by ioctl alone.
//!
//! A [`Device`] owns memory ([`DeviceBuffer`]) and queues ([`Queue`]). A queue takes push buffers
//! ([`PushBuffer`]) and moves a [`Timeline`]; whoever needs the result waits for a [`SyncPoint`], on the GPU
//! by an acquire in front of its own work, or on the host. The design is the one that tinygrad calls HCQ.
//!
//! No NVIDIA userspace library is loaded and `/dev/nvidia-uvm` is never opened: the resource manager owns the
//! one address space, in which everything lies below 2^40 ([`va`]).
//!
//! What this crate asks of the operating system passes through [`kernel::KernelInterface`], which a model of
//! a GPU implements as well ([`kernel::emulated`]).

#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod channel;
#[allow(unsafe_code)]
pub mod copy;
pub mod device;
mod error;
#[allow(unsafe_code)]
pub mod kernel;
pub mod load;
pub mod memory;
pub mod profile;
pub mod pushbuf;
#[allow(unsafe_code)]
pub mod queue;
#[allow(unsafe_code)]
pub mod rm;
pub mod timeline;
pub mod va;

pub use channel::{Channel, ChannelFault, MmuFault};
pub use copy::{BlockLinearPlane, CopyCommands, CopyQueue, PitchPlane};
pub use device::{Chip, Device, GpuInfo, enumerate};
pub use error::{Error, Result, descriptor_advice};
pub use kernel::{KernelInterface, LinuxKernel, Node};
pub use memory::{
    DeviceBuffer, Input, InputMut, LINE, Placement, View, allocation_size, load_lines, prefetch,
};
pub use nvkernel_sys::engine::{EngineKind, EngineType};
pub use nvkernel_sys::layout::DriverVersion;
pub use profile::{Profiler, Span};
pub use pushbuf::{Method, PushBuffer};
pub use queue::Queue;
pub use rm::{RmClient, RmObject};
pub use timeline::{SyncPoint, Timeline};
