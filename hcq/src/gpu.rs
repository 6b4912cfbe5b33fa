//! The GPUs of a machine, and what identifies them.

use std::fmt;
use std::sync::Arc;

use nvkernel_sys::class;

use crate::error::Result;
use crate::kernel::KernelInterface;
use crate::rm::RmClient;

/// A GPU as the driver lists it, before it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GpuInfo {
    /// Position in the driver's list.
    pub index: usize,
    /// The driver's own identifier.
    pub gpu_id: u32,
    /// Minor number of `/dev/nvidiaN`.
    pub minor: u32,
    /// PCI address: domain, bus, device, function.
    pub pci: (u32, u8, u8, u8),
    /// PCI vendor and device id.
    pub pci_id: (u16, u16),
}

impl GpuInfo {
    /// PCI address in the usual form, `0000:c1:00.0`.
    pub fn pci_address(&self) -> String {
        let (domain, bus, slot, function) = self.pci;
        format!("{domain:04x}:{bus:02x}:{slot:02x}.{function:x}")
    }
}

/// Chip architecture, implementation and revision (`NV2080_CTRL_CMD_MC_GET_ARCH_INFO`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Chip {
    /// Architecture number.
    pub architecture: u32,
    /// Implementation within the architecture.
    pub implementation: u32,
    /// Mask revision.
    pub revision: u32,
}

impl fmt::Display for Chip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&class::chip_name(self.architecture, self.implementation))
    }
}

/// Lists the GPUs that `kernel`'s driver knows.
pub fn enumerate(kernel: Arc<dyn KernelInterface>) -> Result<Vec<GpuInfo>> {
    gpus(&*RmClient::connect(kernel)?)
}

pub(crate) fn gpus(client: &RmClient) -> Result<Vec<GpuInfo>> {
    let cards = client.card_info()?;
    Ok(cards
        .iter()
        .enumerate()
        .map(|(index, card)| GpuInfo {
            index,
            gpu_id: card.gpu_id,
            minor: card.minor_number,
            pci: (card.pci_info.domain, card.pci_info.bus, card.pci_info.slot, card.pci_info.function),
            pci_id: (card.pci_info.vendor_id, card.pci_info.device_id),
        })
        .collect())
}
