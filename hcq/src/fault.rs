//! [`ChannelFault`]: why a channel is dead.

use std::fmt;

use nvkernel_sys::status::Xid;

/// Why a channel died, as its error notifier and the MMU tell.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelFault {
    /// Xid code.
    pub xid: Xid,
    /// Notifier status word, 0xffff for every robust-channel error.
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

impl fmt::Display for ChannelFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.xid)?;
        if let Some(mmu) = &self.mmu {
            write!(f, ", {} at GPU address {:#x}", mmu.kind, mmu.address)?;
        }
        Ok(())
    }
}
