//! [`Engine`]: what executes methods behind the host, and what it may do to the rest of the GPU.

use std::cell::Cell;
use std::sync::Arc;

use nvkernel_sys::class::{self, ClassKind};
use nvkernel_sys::engine::{EngineKind, EngineType};
use nvkernel_sys::status::Xid;

use super::copy::CopyEngine;
use super::video::VideoDecoder;
use crate::kernel::emulated::gpu::channel::Channel;
use crate::kernel::emulated::memory::address_space::{AddressSpace, MmuFault};

/// An engine object on a channel: the state behind one class on one channel.
///
/// The host decodes the push buffer and hands the engine its methods, those at 0x100 and above, in order. A
/// method may take as long as it likes; other engines run meanwhile, channels of the same engine do not.
/// Engines that work for long ask [`EngineContext::is_cancelled`] now and then.
pub trait Engine: Send {
    /// The class whose methods are understood.
    fn class(&self) -> u32;

    /// Executes one method.
    ///
    /// # Errors
    ///
    /// [`EngineFault`] stops the channel, as a fault of the engine does on hardware.
    fn method(&mut self, context: &EngineContext<'_>, address: u32, value: u32) -> Result<(), EngineFault>;

    /// Whether a method starts work, as opposed to setting state up. Injected stalls, delays and faults
    /// strike there.
    fn launches(&self, address: u32, value: u32) -> bool {
        let _ = (address, value);
        false
    }
}

/// Why an engine stopped its channel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineFault {
    /// The MMU refused an access.
    #[error("{0}")]
    Mmu(#[from] MmuFault),
    /// The class has no such method.
    #[error("class has no method {address:#06x} (data {value:#x})")]
    UnknownMethod {
        /// Byte address of the method.
        address: u32,
        /// Its data.
        value: u32,
    },
    /// The engine cannot do what its state asks for.
    #[error("{0}")]
    Exception(String),
    /// The work would take longer than the driver lets an engine run.
    #[error("context switch timeout: {0}")]
    Timeout(String),
}

/// How a semaphore release is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SemaphoreRecord {
    /// The low 32 bits of the payload.
    Word,
    /// 64 bits of payload.
    DoubleWord,
    /// 16 bytes: the low 32 bits of the payload, a zero word, the time in nanoseconds.
    Stamped,
    /// 16 bytes: 64 bits of payload, the time in nanoseconds.
    StampedDoubleWord,
}

/// The surroundings of an engine while it executes a method.
#[derive(Debug)]
pub struct EngineContext<'a> {
    pub(crate) channel: &'a Channel,
    pub(crate) error_status: Cell<Option<u32>>,
}

impl EngineContext<'_> {
    /// Memory, as the channel's address space shows it.
    pub fn memory(&self) -> &AddressSpace {
        self.channel.space()
    }

    /// The engine that executes.
    pub fn engine(&self) -> EngineType {
        self.channel.engine()
    }

    /// The GPU's clock in nanoseconds.
    pub fn timestamp(&self) -> u64 {
        self.channel.gpu().timestamp()
    }

    /// Whether the result is of no use any more: the channel is being freed, or the GPU is lost.
    pub fn is_cancelled(&self) -> bool {
        self.channel.is_cancelled()
    }

    /// The error that the engine is to report of the work that it launches, instead of doing it
    /// ([`LaunchFault::Status`](crate::kernel::emulated::LaunchFault::Status)). An engine with a status asks once for each launch.
    pub fn take_error_status(&self) -> Option<u32> {
        self.error_status.take()
    }

    /// Releases a semaphore, after everything written before, and lets waiting channels look at it.
    ///
    /// # Errors
    ///
    /// [`EngineFault::Mmu`] if it is not mapped, [`EngineFault::Exception`] if the address is not a multiple
    /// of the record's size.
    pub fn release(&self, address: u64, payload: u64, record: SemaphoreRecord) -> Result<(), EngineFault> {
        self.channel.release(address, payload, record)
    }

    /// Replaces a 32-bit semaphore by a function of its value, as one access.
    ///
    /// # Errors
    ///
    /// As [`release`](Self::release).
    pub(crate) fn reduce(&self, address: u64, f: impl Fn(u32) -> u32) -> Result<(), EngineFault> {
        self.channel.reduce(address, f)
    }

    /// Raises the engine's non-stalling interrupt.
    pub fn raise_interrupt(&self) {
        self.channel.raise_interrupt();
    }
}

/// Makes an engine of some class, for an engine type.
pub(crate) type Factory = Arc<dyn Fn(EngineType, u32) -> Box<dyn Engine> + Send + Sync>;

/// The engine behind an object of `class` on a channel of `engine`.
pub(crate) fn build(engine: EngineType, class: u32, attached: Option<&Factory>) -> Box<dyn Engine> {
    let attached = attached.map(|make| make(engine, class));
    match class::class(class).map(|c| c.kind) {
        Some(ClassKind::Copy) => attached.unwrap_or_else(|| Box::new(CopyEngine::new(class))),
        // Semaphores are the same whatever decodes.
        Some(ClassKind::VideoDecoder) => Box::new(VideoDecoder::new(class, attached)),
        _ => attached.unwrap_or_else(|| Box::new(Unattached { class })),
    }
}

/// A class that can be allocated but that nothing executes.
struct Unattached {
    class: u32,
}

impl Engine for Unattached {
    fn class(&self) -> u32 {
        self.class
    }

    fn method(&mut self, _: &EngineContext<'_>, address: u32, _: u32) -> Result<(), EngineFault> {
        let name = class::name_of(self.class);
        Err(EngineFault::Exception(format!("no engine is attached to {name} (method {address:#06x})")))
    }
}

/// The Xid of a fault in the engine itself.
pub(crate) fn engine_xid(engine: EngineType) -> Xid {
    const COPY: [u32; 10] = [39, 40, 41, 70, 71, 72, 75, 76, 77, 85];
    const NVJPG: [u32; 8] = [82, 99, 100, 101, 102, 103, 104, 105];
    let at = engine.instance() as usize;
    let number = match engine.kind() {
        EngineKind::Copy | EngineKind::DecompressingCopy => {
            COPY.get(at).copied().or((at < 20).then_some(116 + at as u32))
        }
        EngineKind::Nvdec => Xid::of_nvdec(engine.instance()).map(|xid| xid.0),
        EngineKind::Nvenc => [47, 65, 73, 142].get(at).copied(),
        EngineKind::Nvjpg => NVJPG.get(at).copied(),
        EngineKind::Ofa => [86, 139].get(at).copied(),
        _ => None,
    };
    Xid(number.unwrap_or(13))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xids_have_the_engines_names() {
        for instance in 0..20 {
            let xid = engine_xid(EngineType::of(EngineKind::Copy, instance).unwrap());
            assert_eq!(xid.name(), format!("ROBUST_CHANNEL_CE{instance}_ERROR"));
        }
        for (kind, name, count) in
            [(EngineKind::Nvdec, "NVDEC", 8), (EngineKind::Nvjpg, "NVJPG", 8), (EngineKind::Ofa, "OFA", 2)]
        {
            for instance in 0..count {
                let xid = engine_xid(EngineType::of(kind, instance).unwrap());
                assert_eq!(xid.name(), format!("ROBUST_CHANNEL_{name}{instance}_ERROR"));
            }
        }
        assert_eq!(engine_xid(EngineType::GR0).0, 13);
    }
}
