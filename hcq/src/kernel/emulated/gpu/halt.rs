//! [`Halt`]: why a channel stops, and the Xid that says so.

use nvkernel_sys::engine::{EngineKind, EngineType};
use nvkernel_sys::status::Xid;

use crate::kernel::emulated::engines::fault::EngineFault;
use crate::kernel::emulated::memory::address_space::MmuFault;
use crate::kernel::emulated::memory::semaphore::SemaphoreFault;

/// Why a channel stops.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Halt {
    #[error("PBDMA error: {0}")]
    Pbdma(String),
    #[error("{0}")]
    Engine(#[from] EngineFault),
}

impl From<MmuFault> for Halt {
    fn from(fault: MmuFault) -> Self {
        Halt::Engine(fault.into())
    }
}

impl From<SemaphoreFault> for Halt {
    fn from(fault: SemaphoreFault) -> Self {
        Halt::Engine(fault.into())
    }
}

impl Halt {
    /// The access that the MMU refused, if that is the reason.
    pub(crate) fn mmu_fault(&self) -> Option<MmuFault> {
        match self {
            Halt::Engine(EngineFault::Mmu(fault)) => Some(*fault),
            _ => None,
        }
    }

    /// The Xid of the fault on `engine`.
    pub(crate) fn xid(&self, engine: EngineType) -> Xid {
        match self {
            Halt::Pbdma(_) => Xid(32),
            Halt::Engine(EngineFault::Mmu(_)) => Xid(31),
            Halt::Engine(EngineFault::Timeout(_)) => Xid(109),
            Halt::Engine(_) => engine_xid(engine),
        }
    }
}

/// The Xid of a fault in the engine itself.
fn engine_xid(engine: EngineType) -> Xid {
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
