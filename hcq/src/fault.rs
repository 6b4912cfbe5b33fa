//! [`ChannelFault`]: why a channel is dead.

use std::fmt;

use nvkernel_sys::status::Xid;

/// Why a channel died, as its error notifier and the MMU tell.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelFault {
    /// Xid code; 0 if there was no error but a [reset](crate::Queue::reset).
    pub xid: Xid,
    /// Notifier status word: 0xffff for every robust-channel error, 0 after a reset.
    pub status: u16,
    /// The access that the GPU's MMU refused, when that was the cause and the driver tells.
    pub mmu: Option<MmuFault>,
}

/// A refused memory access (`NV906F_CTRL_CMD_GET_MMU_FAULT_INFO`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MmuFault {
    /// GPU address of the access.
    pub address: u64,
    /// The driver's name for the kind of fault.
    pub kind: String,
}

impl ChannelFault {
    /// That of a channel that this process took down.
    pub(crate) fn reset() -> ChannelFault {
        ChannelFault { xid: Xid(0), status: 0, mmu: None }
    }

    /// Whether this process took the channel down, because it had stalled, say, and no error did.
    pub fn is_reset(&self) -> bool {
        self.status == 0
    }
}

impl fmt::Display for ChannelFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_reset() {
            return f.write_str("reset by this process with work in flight");
        }
        write!(f, "{}", self.xid)?;
        if let Some(mmu) = &self.mmu {
            write!(f, ", {} at GPU address {:#x}", mmu.kind, mmu.address)?;
        }
        Ok(())
    }
}
