//! GPU models as data: what a GPU says about itself, and which engines and classes it has.
//!
//! Classes per chip are those of the class tables of open-gpu-kernel-modules; engine counts are those of
//! products. The H200's row was compared with hardware, the others were not.

use nvkernel_sys::class::*;
use nvkernel_sys::engine::{EngineKind, EngineType};

use super::engines::registry;

/// A GPU to be posed as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuModel {
    /// Marketing name.
    pub name: String,
    /// PCI device id (the vendor is NVIDIA).
    pub pci_device_id: u16,
    /// `architecture` of `NV2080_CTRL_MC_GET_ARCH_INFO_PARAMS`.
    pub architecture: u32,
    /// `implementation` of it.
    pub implementation: u32,
    /// `revision` of it.
    pub revision: u32,
    /// `subRevision` of it.
    pub sub_revision: u8,
    /// GPU memory in MiB.
    pub vidmem_mib: u64,
    /// What the CPU can map of it at a time, in MiB (BAR1).
    pub bar1_mib: u64,
    /// Engines, in ascending order.
    pub engines: Vec<EngineType>,
    /// The class list, with the classes of older chips that it repeats.
    pub classes: Vec<u32>,
    /// Bits of a GPU address.
    pub address_bits: u32,
    /// A channel or channel group must name its engine when it is allocated (Ampere and later).
    pub needs_engine_type: bool,
    /// Channels belong to their engine's runlist from the start, and engine objects follow the channel
    /// (Blackwell).
    pub per_runlist_channels: bool,
    /// The row was compared with hardware.
    pub proven: bool,
}

/// Classes of every GPU.
const COMMON: &[u32] = &[
    NV01_CONTEXT_DMA,
    NV01_MEMORY_SYSTEM,
    NV01_MEMORY_LOCAL_USER,
    NV01_ROOT_CLIENT,
    NV01_MEMORY_VIRTUAL,
    NV01_EVENT_OS_EVENT,
    NV01_DEVICE_0,
    NV20_SUBDEVICE_0,
    FERMI_CONTEXT_SHARE_A,
    FERMI_VASPACE_A,
    KEPLER_CHANNEL_GROUP_A,
];

fn engines(counts: &[(EngineKind, std::ops::Range<u32>)]) -> Vec<EngineType> {
    let all = counts.iter().flat_map(|(kind, range)| range.clone().map(|i| EngineType::of(*kind, i)));
    let mut all: Vec<_> = all.map(|e| e.expect("rows name engine types that exist")).collect();
    all.sort_unstable();
    all
}

fn classes(own: &[u32]) -> Vec<u32> {
    own.iter().chain(COMMON).copied().collect()
}

use EngineKind::{Copy, Graphics, Nvdec, Nvenc, Nvjpg, Ofa};

impl GpuModel {
    /// NVIDIA H200 (GH100). NVDEC0 does not exist on it.
    pub fn h200() -> GpuModel {
        GpuModel {
            name: "NVIDIA H200".into(),
            pci_device_id: 0x2335,
            architecture: 0x180,
            implementation: 0,
            revision: 0xa1,
            sub_revision: 3,
            vidmem_mib: 143_771,
            bar1_mib: 262_144,
            // As read from one board; which engines are missing differs from board to board.
            engines: engines(&[
                (Graphics, 0..1),
                (Copy, 0..5),
                (Nvdec, 1..8),
                (Nvjpg, 0..1),
                (Nvjpg, 2..8),
                (Ofa, 0..1),
            ]),
            classes: classes(&[
                HOPPER_CHANNEL_GPFIFO_A,
                AMPERE_CHANNEL_GPFIFO_A,
                HOPPER_USERMODE_A,
                AMPERE_USERMODE_A,
                TURING_USERMODE_A,
                HOPPER_DMA_COPY_A,
                HOPPER_COMPUTE_A,
                NVB8B0_VIDEO_DECODER,
                NVB8D1_VIDEO_NVJPG,
                NVB8FA_VIDEO_OFA,
                AMPERE_SMC_PARTITION_REF,
            ]),
            address_bits: 57,
            needs_engine_type: true,
            per_runlist_channels: false,
            proven: true,
        }
    }

    /// Tesla T4 (TU104).
    pub fn t4() -> GpuModel {
        GpuModel {
            name: "Tesla T4".into(),
            pci_device_id: 0x1eb8,
            architecture: 0x160,
            implementation: 4,
            revision: 0xa1,
            sub_revision: 0,
            vidmem_mib: 15_360,
            bar1_mib: 256,
            engines: engines(&[(Graphics, 0..1), (Copy, 0..9), (Nvdec, 0..2), (Nvenc, 0..1)]),
            classes: classes(&[
                TURING_CHANNEL_GPFIFO_A,
                TURING_USERMODE_A,
                TURING_DMA_COPY_A,
                TURING_COMPUTE_A,
                NVC4B0_VIDEO_DECODER,
            ]),
            address_bits: 49,
            needs_engine_type: false,
            per_runlist_channels: false,
            proven: false,
        }
    }

    /// NVIDIA A100-SXM4-80GB (GA100).
    pub fn a100() -> GpuModel {
        GpuModel {
            name: "NVIDIA A100-SXM4-80GB".into(),
            pci_device_id: 0x20b2,
            architecture: 0x170,
            implementation: 0,
            revision: 0xa1,
            sub_revision: 0,
            vidmem_mib: 81_920,
            bar1_mib: 131_072,
            engines: engines(&[(Graphics, 0..1), (Copy, 0..10), (Nvdec, 0..5), (Nvjpg, 0..1), (Ofa, 0..1)]),
            classes: classes(&[
                AMPERE_CHANNEL_GPFIFO_A,
                AMPERE_USERMODE_A,
                TURING_USERMODE_A,
                AMPERE_DMA_COPY_A,
                AMPERE_COMPUTE_A,
                NVC6B0_VIDEO_DECODER,
                NVC4D1_VIDEO_NVJPG,
                NVC6FA_VIDEO_OFA,
                AMPERE_SMC_PARTITION_REF,
            ]),
            address_bits: 49,
            needs_engine_type: true,
            per_runlist_channels: false,
            proven: false,
        }
    }

    fn ada(
        name: &str,
        pci: u16,
        implementation: u32,
        memory: u64,
        bar1: u64,
        nvdec: u32,
        jpeg: u32,
    ) -> GpuModel {
        GpuModel {
            name: name.into(),
            pci_device_id: pci,
            architecture: 0x190,
            implementation,
            revision: 0xa1,
            sub_revision: 0,
            vidmem_mib: memory,
            bar1_mib: bar1,
            engines: engines(&[
                (Graphics, 0..1),
                (Copy, 0..5),
                (Nvdec, 0..nvdec),
                (Nvenc, 0..2),
                (Nvjpg, 0..jpeg),
                (Ofa, 0..1),
            ]),
            classes: classes(&[
                AMPERE_CHANNEL_GPFIFO_A,
                AMPERE_USERMODE_A,
                TURING_USERMODE_A,
                AMPERE_DMA_COPY_B,
                ADA_COMPUTE_A,
                NVC9B0_VIDEO_DECODER,
                NVC9D1_VIDEO_NVJPG,
                NVC9FA_VIDEO_OFA,
            ]),
            address_bits: 49,
            needs_engine_type: true,
            per_runlist_channels: false,
            proven: false,
        }
    }

    /// NVIDIA L4 (AD104).
    pub fn l4() -> GpuModel {
        GpuModel::ada("NVIDIA L4", 0x27b8, 4, 23_034, 32_768, 4, 4)
    }

    /// NVIDIA GeForce RTX 4090 (AD102), without resizable BAR.
    pub fn rtx_4090() -> GpuModel {
        GpuModel::ada("NVIDIA GeForce RTX 4090", 0x2684, 2, 24_564, 256, 1, 4)
    }

    /// NVIDIA B200 (GB100).
    pub fn b200() -> GpuModel {
        GpuModel {
            name: "NVIDIA B200".into(),
            pci_device_id: 0x2901,
            architecture: 0x1a0,
            implementation: 0,
            revision: 0xa1,
            sub_revision: 0,
            vidmem_mib: 183_359,
            bar1_mib: 262_144,
            engines: engines(&[(Graphics, 0..1), (Copy, 0..20), (Nvdec, 0..7), (Nvjpg, 0..7), (Ofa, 0..1)]),
            classes: classes(&[
                BLACKWELL_CHANNEL_GPFIFO_A,
                HOPPER_CHANNEL_GPFIFO_A,
                AMPERE_CHANNEL_GPFIFO_A,
                HOPPER_USERMODE_A,
                AMPERE_USERMODE_A,
                TURING_USERMODE_A,
                BLACKWELL_DMA_COPY_A,
                BLACKWELL_COMPUTE_A,
                NVCDB0_VIDEO_DECODER,
                NVCDD1_VIDEO_NVJPG,
                NVCDFA_VIDEO_OFA,
                AMPERE_SMC_PARTITION_REF,
            ]),
            address_bits: 57,
            needs_engine_type: true,
            per_runlist_channels: true,
            proven: false,
        }
    }

    /// NVIDIA GeForce RTX 5090 (GB202).
    pub fn rtx_5090() -> GpuModel {
        GpuModel {
            name: "NVIDIA GeForce RTX 5090".into(),
            pci_device_id: 0x2b85,
            architecture: 0x1b0,
            implementation: 2,
            revision: 0xa1,
            sub_revision: 0,
            vidmem_mib: 32_607,
            bar1_mib: 32_768,
            engines: engines(&[
                (Graphics, 0..1),
                (Copy, 0..4),
                (Nvdec, 0..2),
                (Nvenc, 0..3),
                (Nvjpg, 0..2),
                (Ofa, 0..1),
            ]),
            classes: classes(&[
                BLACKWELL_CHANNEL_GPFIFO_B,
                BLACKWELL_CHANNEL_GPFIFO_A,
                HOPPER_CHANNEL_GPFIFO_A,
                AMPERE_CHANNEL_GPFIFO_A,
                BLACKWELL_USERMODE_A,
                HOPPER_USERMODE_A,
                AMPERE_USERMODE_A,
                TURING_USERMODE_A,
                BLACKWELL_DMA_COPY_B,
                BLACKWELL_COMPUTE_B,
                NVCFB0_VIDEO_DECODER,
                NVCFD1_VIDEO_NVJPG,
                NVCFFA_VIDEO_OFA,
            ]),
            address_bits: 57,
            needs_engine_type: true,
            per_runlist_channels: true,
            proven: false,
        }
    }

    /// Every row.
    pub fn all() -> Vec<GpuModel> {
        vec![
            GpuModel::h200(),
            GpuModel::t4(),
            GpuModel::a100(),
            GpuModel::l4(),
            GpuModel::rtx_4090(),
            GpuModel::b200(),
            GpuModel::rtx_5090(),
        ]
    }

    /// Classes of one engine, in the order of the class list.
    pub fn engine_classes(&self, engine: EngineType) -> Vec<u32> {
        self.classes.iter().copied().filter(|&id| registry::executes(engine.kind(), id)).collect()
    }

    /// The first engine of a kind.
    pub(super) fn first_engine(&self, kind: EngineKind) -> Option<EngineType> {
        self.engines.iter().copied().find(|e| e.kind() == kind)
    }
}

impl Default for GpuModel {
    fn default() -> Self {
        GpuModel::h200()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h200_is_what_was_seen() {
        let model = GpuModel::h200();
        let nvdec: Vec<u32> = model.engines.iter().filter(|e| e.kind() == Nvdec).map(|e| e.0).collect();
        assert_eq!(nvdec, (0x14..=0x1a).collect::<Vec<_>>());
        for class in [0xb8b0, 0xc86f, 0xc661, 0xc8b5, 0xcbc0, 0xb8d1, 0xb8fa, 0xc56f, 0xc461] {
            assert!(model.classes.contains(&class), "{class:#x}");
        }
        assert_eq!(chip_name(model.architecture, model.implementation), "GH100");
    }

    #[test]
    fn every_row_is_complete_and_only_one_is_proven() {
        let models = GpuModel::all();
        assert_eq!(models.iter().filter(|m| m.proven).count(), 1);
        for model in &models {
            for table in
                [CHANNEL_CLASSES, USERMODE_CLASSES, COPY_CLASSES, COMPUTE_CLASSES, VIDEO_DECODER_CLASSES]
            {
                assert!(newest(table, &model.classes).is_some(), "{}", model.name);
            }
            assert!(model.first_engine(Nvdec).is_some() && model.first_engine(Copy).is_some());
            assert!(model.engines.windows(2).all(|w| w[0] < w[1]), "{}", model.name);
            assert!(!chip_name(model.architecture, model.implementation).contains('.'), "{}", model.name);
        }
    }
}
