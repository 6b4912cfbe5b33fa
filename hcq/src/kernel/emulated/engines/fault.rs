//! [`EngineFault`]: why an engine stops its channel.

use crate::kernel::emulated::memory::address_space::MmuFault;
use crate::kernel::emulated::memory::semaphore::SemaphoreFault;

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

impl From<SemaphoreFault> for EngineFault {
    fn from(fault: SemaphoreFault) -> Self {
        match fault {
            SemaphoreFault::Mmu(fault) => EngineFault::Mmu(fault),
            misaligned => EngineFault::Exception(misaligned.to_string()),
        }
    }
}
