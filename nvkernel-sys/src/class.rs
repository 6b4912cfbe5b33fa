//! Object classes by family, newest first, and the names of chips.
//!
//! The first class of a table that is in a GPU's class list is the one to use: every chip also lists classes of older
//! ones.

mod chip;

pub use chip::{ChipArchitecture, architecture, chip_name, compute_capability};

/// GPU families in order of age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Family {
    /// Every family.
    Any,
    /// GM20x and its kind.
    Maxwell,
    /// GP100, GP10x.
    Pascal,
    /// GV100.
    Volta,
    /// TU10x, TU11x.
    Turing,
    /// GA100.
    AmpereA100,
    /// GA10x.
    Ampere,
    /// AD10x.
    Ada,
    /// GH100.
    Hopper,
    /// GB10x, GB11x.
    BlackwellGb10x,
    /// GB20x.
    BlackwellGb20x,
}

/// What objects of a class are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClassKind {
    /// Clients, devices, memory, events and the like.
    Resource,
    /// A channel with a ring.
    Channel,
    /// The doorbell register window.
    Usermode,
    /// Copy engine.
    Copy,
    /// Compute.
    Compute,
    /// Video decoder.
    VideoDecoder,
    /// JPEG decoder.
    Nvjpg,
    /// Optical flow.
    Ofa,
}

/// A row of the class table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Class {
    /// The class id.
    pub id: u32,
    /// NVIDIA's name.
    pub name: &'static str,
    /// What it is for.
    pub kind: ClassKind,
    /// First family that has it.
    pub family: Family,
}

macro_rules! classes {
    ($($(#[doc = $doc:literal])* $name:ident = $id:literal, $kind:ident, $family:ident;)*) => {
        $($(#[doc = $doc])* pub const $name: u32 = $id;)*
        /// Every class of this module.
        pub static CLASSES: &[Class] = &[$(Class {
            id: $id,
            name: stringify!($name),
            kind: ClassKind::$kind,
            family: Family::$family,
        }),*];
    };
}

classes! {
    /// The root client in its older forms; all become [`NV01_ROOT_CLIENT`]. cl0000.h.
    NV01_ROOT = 0x0, Resource, Any;
    /// A context DMA, here for error notifiers that wake a waiter. cl0002.h.
    NV01_CONTEXT_DMA = 0x2, Resource, Any;
    /// An event. cl0005.h.
    NV01_EVENT = 0x5, Resource, Any;
    /// Memory in system memory, allocated by the kernel. cl003e.h.
    NV01_MEMORY_SYSTEM = 0x3e, Resource, Any;
    /// Memory in video memory. cl0040.h.
    NV01_MEMORY_LOCAL_USER = 0x40, Resource, Any;
    /// The root client. cl0000.h.
    NV01_ROOT_CLIENT = 0x41, Resource, Any;
    /// A range of addresses of an address space. cl0070.h.
    NV01_MEMORY_VIRTUAL = 0x70, Resource, Any;
    /// System memory made of the caller's pages. cl0071.h.
    NV01_MEMORY_SYSTEM_OS_DESCRIPTOR = 0x71, Resource, Any;
    /// An event that makes a descriptor readable. cl0005.h, nvos.h.
    NV01_EVENT_OS_EVENT = 0x79, Resource, Any;
    /// A device, one or more GPUs. cl0080.h.
    NV01_DEVICE_0 = 0x80, Resource, Any;
    /// A GPU of a device. cl2080.h.
    NV20_SUBDEVICE_0 = 0x2080, Resource, Any;
    /// A reserved range of addresses. cl50a0.h.
    NV50_MEMORY_VIRTUAL = 0x50a0, Resource, Any;
    /// A debugger session, which also reports faults. cl83de.h.
    GT200_DEBUGGER = 0x83de, Resource, Any;
    /// A subcontext of a channel group. cl9067.h.
    FERMI_CONTEXT_SHARE_A = 0x9067, Resource, Any;
    /// A GPU address space. cl90f1.h.
    FERMI_VASPACE_A = 0x90f1, Resource, Any;
    /// A channel group (TSG). cla06c.h.
    KEPLER_CHANNEL_GROUP_A = 0xa06c, Resource, Any;
    /// Access to a MIG instance. clc637.h.
    AMPERE_SMC_PARTITION_REF = 0xc637, Resource, AmpereA100;

    /// Channel of Blackwell, GB20x. clca6f.h.
    BLACKWELL_CHANNEL_GPFIFO_B = 0xca6f, Channel, BlackwellGb20x;
    /// Channel of Blackwell. clc96f.h.
    BLACKWELL_CHANNEL_GPFIFO_A = 0xc96f, Channel, BlackwellGb10x;
    /// Channel of Hopper. clc86f.h.
    HOPPER_CHANNEL_GPFIFO_A = 0xc86f, Channel, Hopper;
    /// Channel of Ampere and Ada. clc56f.h.
    AMPERE_CHANNEL_GPFIFO_A = 0xc56f, Channel, AmpereA100;
    /// Channel of Turing. clc46f.h.
    TURING_CHANNEL_GPFIFO_A = 0xc46f, Channel, Turing;

    /// Doorbell window of Blackwell, GB20x. clc761.h.
    BLACKWELL_USERMODE_A = 0xc761, Usermode, BlackwellGb20x;
    /// Doorbell window of Hopper and GB10x. clc661.h.
    HOPPER_USERMODE_A = 0xc661, Usermode, Hopper;
    /// Doorbell window of Ampere and Ada. clc561.h.
    AMPERE_USERMODE_A = 0xc561, Usermode, AmpereA100;
    /// Doorbell window of Turing; every later chip has it too. clc461.h.
    TURING_USERMODE_A = 0xc461, Usermode, Turing;

    /// Copy engine of GB20x. clcab5.h.
    BLACKWELL_DMA_COPY_B = 0xcab5, Copy, BlackwellGb20x;
    /// Copy engine of GB10x. clc9b5.h.
    BLACKWELL_DMA_COPY_A = 0xc9b5, Copy, BlackwellGb10x;
    /// Copy engine of Hopper. clc8b5.h.
    HOPPER_DMA_COPY_A = 0xc8b5, Copy, Hopper;
    /// Copy engine of GA10x and Ada. clc7b5.h.
    AMPERE_DMA_COPY_B = 0xc7b5, Copy, Ampere;
    /// Copy engine of GA100. clc6b5.h.
    AMPERE_DMA_COPY_A = 0xc6b5, Copy, AmpereA100;
    /// Copy engine of Turing. clc5b5.h.
    TURING_DMA_COPY_A = 0xc5b5, Copy, Turing;

    /// Compute of GB20x, QMD V05. clcec0.h.
    BLACKWELL_COMPUTE_B = 0xcec0, Compute, BlackwellGb20x;
    /// Compute of GB10x, QMD V05. clcdc0.h.
    BLACKWELL_COMPUTE_A = 0xcdc0, Compute, BlackwellGb10x;
    /// Compute of Hopper, QMD V04. clcbc0.h.
    HOPPER_COMPUTE_A = 0xcbc0, Compute, Hopper;
    /// Compute of Ada, QMD V03. clc9c0.h.
    ADA_COMPUTE_A = 0xc9c0, Compute, Ada;
    /// Compute of GA10x, QMD V03. clc7c0.h.
    AMPERE_COMPUTE_B = 0xc7c0, Compute, Ampere;
    /// Compute of GA100, QMD V03. clc6c0.h.
    AMPERE_COMPUTE_A = 0xc6c0, Compute, AmpereA100;
    /// Compute of Turing, QMD V02. clc5c0.h.
    TURING_COMPUTE_A = 0xc5c0, Compute, Turing;

    /// Video decoder of GB20B and GB20C. cld1b0.h.
    NVD1B0_VIDEO_DECODER = 0xd1b0, VideoDecoder, BlackwellGb20x;
    /// Video decoder of GB202 to GB207. clcfb0.h.
    NVCFB0_VIDEO_DECODER = 0xcfb0, VideoDecoder, BlackwellGb20x;
    /// Video decoder of GB10B. clceb0.h.
    NVCEB0_VIDEO_DECODER = 0xceb0, VideoDecoder, BlackwellGb10x;
    /// Video decoder of GB100, GB102, GB110 and GB112. clcdb0.h.
    NVCDB0_VIDEO_DECODER = 0xcdb0, VideoDecoder, BlackwellGb10x;
    /// Video decoder of GH100, of the Turing line. clb8b0.h.
    NVB8B0_VIDEO_DECODER = 0xb8b0, VideoDecoder, Hopper;
    /// Video decoder of Ada. clc9b0.h.
    NVC9B0_VIDEO_DECODER = 0xc9b0, VideoDecoder, Ada;
    /// Video decoder of GA10x. clc7b0.h.
    NVC7B0_VIDEO_DECODER = 0xc7b0, VideoDecoder, Ampere;
    /// Video decoder of GA100. clc6b0.h.
    NVC6B0_VIDEO_DECODER = 0xc6b0, VideoDecoder, AmpereA100;
    /// Video decoder of Turing. clc4b0.h.
    NVC4B0_VIDEO_DECODER = 0xc4b0, VideoDecoder, Turing;
    /// Video decoder of Volta. clc3b0.h.
    NVC3B0_VIDEO_DECODER = 0xc3b0, VideoDecoder, Volta;
    /// Video decoder of GP10x. clc2b0.h.
    NVC2B0_VIDEO_DECODER = 0xc2b0, VideoDecoder, Pascal;
    /// Video decoder of GP100. clc1b0.h.
    NVC1B0_VIDEO_DECODER = 0xc1b0, VideoDecoder, Pascal;
    /// Video decoder of the second Maxwells. clb6b0.h.
    NVB6B0_VIDEO_DECODER = 0xb6b0, VideoDecoder, Maxwell;

    /// JPEG decoder of GB20x. clcfd1.h.
    NVCFD1_VIDEO_NVJPG = 0xcfd1, Nvjpg, BlackwellGb20x;
    /// JPEG decoder of GB10B. clced0.h.
    NVCED0_VIDEO_NVJPG = 0xced0, Nvjpg, BlackwellGb10x;
    /// JPEG decoder of GB10x. clcdd1.h.
    NVCDD1_VIDEO_NVJPG = 0xcdd1, Nvjpg, BlackwellGb10x;
    /// JPEG decoder of GH100. clb8d1.h.
    NVB8D1_VIDEO_NVJPG = 0xb8d1, Nvjpg, Hopper;
    /// JPEG decoder of Ada. clc9d1.h.
    NVC9D1_VIDEO_NVJPG = 0xc9d1, Nvjpg, Ada;
    /// JPEG decoder of GA100. clc4d1.h.
    NVC4D1_VIDEO_NVJPG = 0xc4d1, Nvjpg, AmpereA100;

    /// Optical flow of GB20B and GB20C. cld1fa.h.
    NVD1FA_VIDEO_OFA = 0xd1fa, Ofa, BlackwellGb20x;
    /// Optical flow of GB20x. clcffa.h.
    NVCFFA_VIDEO_OFA = 0xcffa, Ofa, BlackwellGb20x;
    /// Optical flow of GB10B. clcefa.h.
    NVCEFA_VIDEO_OFA = 0xcefa, Ofa, BlackwellGb10x;
    /// Optical flow of GB10x. clcdfa.h.
    NVCDFA_VIDEO_OFA = 0xcdfa, Ofa, BlackwellGb10x;
    /// Optical flow of GH100. clb8fa.h.
    NVB8FA_VIDEO_OFA = 0xb8fa, Ofa, Hopper;
    /// Optical flow of Ada. clc9fa.h.
    NVC9FA_VIDEO_OFA = 0xc9fa, Ofa, Ada;
    /// Optical flow of GA10x. clc7fa.h.
    NVC7FA_VIDEO_OFA = 0xc7fa, Ofa, Ampere;
    /// Optical flow of GA100. clc6fa.h.
    NVC6FA_VIDEO_OFA = 0xc6fa, Ofa, AmpereA100;
}

/// Channel classes, newest first.
pub const CHANNEL_CLASSES: &[u32] = &[
    BLACKWELL_CHANNEL_GPFIFO_B,
    BLACKWELL_CHANNEL_GPFIFO_A,
    HOPPER_CHANNEL_GPFIFO_A,
    AMPERE_CHANNEL_GPFIFO_A,
    TURING_CHANNEL_GPFIFO_A,
];

/// Doorbell window classes, newest first.
pub const USERMODE_CLASSES: &[u32] =
    &[BLACKWELL_USERMODE_A, HOPPER_USERMODE_A, AMPERE_USERMODE_A, TURING_USERMODE_A];

/// Copy engine classes, newest first.
pub const COPY_CLASSES: &[u32] = &[
    BLACKWELL_DMA_COPY_B,
    BLACKWELL_DMA_COPY_A,
    HOPPER_DMA_COPY_A,
    AMPERE_DMA_COPY_B,
    AMPERE_DMA_COPY_A,
    TURING_DMA_COPY_A,
];

/// Compute classes, newest first.
pub const COMPUTE_CLASSES: &[u32] = &[
    BLACKWELL_COMPUTE_B,
    BLACKWELL_COMPUTE_A,
    HOPPER_COMPUTE_A,
    ADA_COMPUTE_A,
    AMPERE_COMPUTE_B,
    AMPERE_COMPUTE_A,
    TURING_COMPUTE_A,
];

/// Video decoder classes from Turing on, newest first.
pub const VIDEO_DECODER_CLASSES: &[u32] = &[
    NVD1B0_VIDEO_DECODER,
    NVCFB0_VIDEO_DECODER,
    NVCEB0_VIDEO_DECODER,
    NVCDB0_VIDEO_DECODER,
    NVB8B0_VIDEO_DECODER,
    NVC9B0_VIDEO_DECODER,
    NVC7B0_VIDEO_DECODER,
    NVC6B0_VIDEO_DECODER,
    NVC4B0_VIDEO_DECODER,
];

/// JPEG decoder classes, newest first.
pub const NVJPG_CLASSES: &[u32] = &[
    NVCFD1_VIDEO_NVJPG,
    NVCED0_VIDEO_NVJPG,
    NVCDD1_VIDEO_NVJPG,
    NVB8D1_VIDEO_NVJPG,
    NVC9D1_VIDEO_NVJPG,
    NVC4D1_VIDEO_NVJPG,
];

/// Optical flow classes, newest first.
pub const OFA_CLASSES: &[u32] = &[
    NVD1FA_VIDEO_OFA,
    NVCFFA_VIDEO_OFA,
    NVCEFA_VIDEO_OFA,
    NVCDFA_VIDEO_OFA,
    NVB8FA_VIDEO_OFA,
    NVC9FA_VIDEO_OFA,
    NVC7FA_VIDEO_OFA,
    NVC6FA_VIDEO_OFA,
];

/// The row of class `id`.
pub fn class(id: u32) -> Option<&'static Class> {
    CLASSES.iter().find(|c| c.id == id)
}

/// NVIDIA's name of class `id`, or `"class ?"`.
pub fn name_of(id: u32) -> &'static str {
    class(id).map_or("class ?", |c| c.name)
}

/// The first class of `table` that is in the class list `listed` of a GPU.
pub fn newest(table: &[u32], listed: &[u32]) -> Option<u32> {
    table.iter().copied().find(|id| listed.contains(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_hold_one_kind_newest_first() {
        let tables: [(&[u32], ClassKind); 7] = [
            (CHANNEL_CLASSES, ClassKind::Channel),
            (USERMODE_CLASSES, ClassKind::Usermode),
            (COPY_CLASSES, ClassKind::Copy),
            (COMPUTE_CLASSES, ClassKind::Compute),
            (VIDEO_DECODER_CLASSES, ClassKind::VideoDecoder),
            (NVJPG_CLASSES, ClassKind::Nvjpg),
            (OFA_CLASSES, ClassKind::Ofa),
        ];
        for (table, kind) in tables {
            let rows: Vec<_> = table.iter().map(|&id| class(id).unwrap()).collect();
            assert!(rows.iter().all(|r| r.kind == kind), "{kind:?}");
            assert!(rows.windows(2).all(|w| w[0].family >= w[1].family), "{kind:?}");
            let known = CLASSES.iter().filter(|c| c.kind == kind && c.family >= Family::Turing).count();
            assert_eq!(known, table.len(), "{kind:?}");
        }
        for (i, a) in CLASSES.iter().enumerate() {
            assert!(CLASSES[i + 1..].iter().all(|b| a.id != b.id), "{}", a.name);
        }
    }

    #[test]
    fn picks_the_newest_listed_class() {
        let listed = [TURING_USERMODE_A, AMPERE_CHANNEL_GPFIFO_A, HOPPER_CHANNEL_GPFIFO_A];
        assert_eq!(newest(CHANNEL_CLASSES, &listed), Some(HOPPER_CHANNEL_GPFIFO_A));
        assert_eq!(newest(COPY_CLASSES, &listed), None);
        assert_eq!(name_of(0xb8b0), "NVB8B0_VIDEO_DECODER");
        assert_eq!(name_of(0xffff), "class ?");
    }
}
