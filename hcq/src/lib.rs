//! Hardware command queues on NVIDIA GPUs, by ioctl alone.
//!
//! A [`Device`] owns memory ([`DeviceBuffer`]) and queues ([`Queue`]). A queue takes push buffers
//! ([`PushBuffer`]) and moves a [`Timeline`]; whoever needs the result waits for a [`SyncPoint`], on the GPU
//! by an acquire in front of its own work, or on the host. The design is the one that tinygrad calls HCQ.
//!
//! No NVIDIA userspace library is loaded and `/dev/nvidia-uvm` is never opened: the resource manager owns the
//! one address space, in which everything lies below 2^40.
//!
//! What this crate asks of the operating system passes through [`kernel::KernelInterface`], which a model of
//! a GPU implements as well ([`kernel::emulated`]).

#![deny(unsafe_code)]
#![warn(missing_docs)]

mod address_space;
mod boost;
mod channel;
#[allow(unsafe_code)]
pub mod compute;
#[allow(unsafe_code)]
pub mod copy;
mod device;
mod engine;
mod error;
mod event;
mod fault;
mod gpu;
mod in_flight;
#[allow(unsafe_code)]
pub mod kernel;
pub mod load;
#[allow(unsafe_code)]
mod mapping;
pub mod memory;
pub mod profile;
pub mod pushbuf;
#[allow(unsafe_code)]
pub mod queue;
mod quota;
#[allow(unsafe_code)]
mod rm;
pub mod timeline;
mod va;

pub use address_space::Placement;
pub use boost::Boost;
pub use compute::{
    Arguments, ComputeCommands, ComputeFault, ComputeQueue, Cubin, CubinError, Kernel, Launch, LaunchError,
    Module,
};
pub use copy::{BlockLinearPlane, CopyCommands, CopyQueue, PitchPlane};
pub use device::Device;
pub use error::{Error, Result, descriptor_advice};
pub use fault::{ChannelFault, MmuFault};
pub use gpu::{Chip, GpuInfo, enumerate};
pub use kernel::{KernelInterface, LinuxKernel, Node};
pub use mapping::{LINE, prefetch};
pub use memory::{DeviceBuffer, Input, InputMut, View, allocation_size, load_lines};
pub use memory::{Exported, Outside, SharedWord, WordPoint};
pub use nvkernel_sys::engine::{EngineKind, EngineType};
pub use nvkernel_sys::layout::DriverVersion;
pub use profile::{Profiler, Span};
pub use pushbuf::{Method, PushBuffer};
pub use queue::Queue;
pub use quota::Quota;
pub use rm::RmClient;
pub use timeline::{AwaitedWord, Patience, SyncPoint, Timeline};
