//! [`Engine`]: what executes methods behind the host, and what it may do to the rest of the GPU.

use std::cell::Cell;

use nvkernel_sys::engine::EngineType;

use super::fault::EngineFault;
use crate::kernel::emulated::gpu::signals::Port;
use crate::kernel::emulated::memory::address_space::AddressSpace;
use crate::kernel::emulated::memory::semaphore::SemaphoreRecord;

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

/// The surroundings of an engine while it executes a method.
#[derive(Debug)]
pub struct EngineContext<'a> {
    port: Port<'a>,
    error_status: Cell<Option<u32>>,
}

impl<'a> EngineContext<'a> {
    /// The surroundings of one method; `error_status` is what the engine is to report of a launch.
    pub(crate) fn new(port: Port<'a>, error_status: Option<u32>) -> EngineContext<'a> {
        EngineContext { port, error_status: Cell::new(error_status) }
    }

    /// Memory, as the channel's address space shows it.
    pub fn memory(&self) -> &AddressSpace {
        self.port.space
    }

    /// The engine that executes.
    pub fn engine(&self) -> EngineType {
        self.port.engine
    }

    /// The GPU's clock in nanoseconds.
    pub fn timestamp(&self) -> u64 {
        self.port.signals.timestamp()
    }

    /// Whether the result is of no use any more: the channel is being freed, or the GPU is lost.
    pub fn is_cancelled(&self) -> bool {
        self.port.is_cancelled()
    }

    /// The error that the engine is to report of the work that it launches, instead of doing it
    /// ([`LaunchFault::Status`](crate::kernel::emulated::LaunchFault::Status)). An engine with a status asks once for
    /// each launch.
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
        Ok(self.port.release(address, payload, record)?)
    }

    /// Replaces a 32-bit semaphore by a function of its value, as one access.
    ///
    /// # Errors
    ///
    /// As [`release`](Self::release).
    pub(crate) fn reduce(&self, address: u64, f: impl Fn(u32) -> u32) -> Result<(), EngineFault> {
        Ok(self.port.reduce(address, f)?)
    }

    /// Raises the engine's non-stalling interrupt.
    pub fn raise_interrupt(&self) {
        self.port.raise_interrupt();
    }
}
