//! What each driver release changed, and which releases were compared with NVIDIA's headers.
//!
//! A change is entered at the first release that has it, in any branch, as measured over the tags of
//! open-gpu-kernel-modules; what 610 changed is known from other open programs only.

use std::ops::RangeInclusive;

use super::DriverVersion;

/// One edit that leads from the layout before to the layout after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// The whole structure is new.
    NewStructure,
    /// This field was added.
    Added(&'static str),
    /// This field had `before` bytes.
    Resized {
        /// The field.
        field: &'static str,
        /// Its size in the releases before.
        before: u16,
    },
}

/// What a release did to a structure.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// First release that has it.
    pub since: DriverVersion,
    /// NVIDIA's name of the structure.
    pub structure: &'static str,
    /// What changed.
    pub edits: &'static [Edit],
}

/// The oldest release that is supported.
pub const OLDEST_SUPPORTED: DriverVersion = DriverVersion::new(535, 86, 5);

/// The newest release whose layouts are known.
pub const NEWEST_KNOWN: DriverVersion = DriverVersion::new(610, 43, 2);

/// Releases whose layouts were compared with NVIDIA's headers, tag by tag (docs/abi.md).
pub const VERIFIED: &[RangeInclusive<DriverVersion>] = &[
    DriverVersion::new(535, 86, 5)..=DriverVersion::new(535, 288, 1),
    DriverVersion::new(545, 23, 6)..=DriverVersion::new(545, 29, 6),
    DriverVersion::new(550, 40, 7)..=DriverVersion::new(550, 163, 1),
    DriverVersion::new(555, 42, 2)..=DriverVersion::new(555, 58, 2),
    DriverVersion::new(560, 28, 3)..=DriverVersion::new(560, 35, 3),
    DriverVersion::new(565, 57, 1)..=DriverVersion::short(565, 77),
    DriverVersion::new(570, 86, 15)..=DriverVersion::new(570, 211, 1),
    DriverVersion::new(575, 51, 2)..=DriverVersion::new(575, 64, 5),
    DriverVersion::new(580, 65, 6)..=DriverVersion::short(580, 142),
    DriverVersion::new(590, 44, 1)..=DriverVersion::new(590, 48, 1),
    DriverVersion::new(595, 44, 2)..=DriverVersion::new(595, 45, 4),
];

const fn change(since: DriverVersion, structure: &'static str, edits: &'static [Edit]) -> Change {
    Change { since, structure, edits }
}

const fn v(major: u16, minor: u16, patch: u16) -> DriverVersion {
    DriverVersion::new(major, minor, patch)
}

const fn resized(field: &'static str, before: u16) -> Edit {
    Edit::Resized { field, before }
}

/// Every change since [`OLDEST_SUPPORTED`], oldest first.
pub static CHANGES: &[Change] = &[
    change(v(545, 23, 6), "NV_OFA_ALLOCATION_PARAMETERS", &[Edit::Added("engineInstance")]),
    change(v(545, 23, 6), "NV_MEMORY_ALLOCATION_PARAMS", &[Edit::Added("numaNode")]),
    change(
        v(545, 23, 6),
        "NV0000_CTRL_OS_UNIX_GET_EXPORT_OBJECT_INFO_PARAMS",
        &[Edit::Added("gpuInstanceId")],
    ),
    change(v(545, 23, 6), "NV2080_CTRL_GPU_GET_ENGINES_V2_PARAMS", &[resized("engineList", 248)]),
    change(v(550, 40, 7), "nv_ioctl_wait_open_complete_t", &[Edit::NewStructure]),
    change(v(550, 40, 7), "NV2080_CTRL_GPU_GET_ENGINES_V2_PARAMS", &[resized("engineList", 252)]),
    change(v(550, 40, 7), "NVOS47_PARAMETERS", &[Edit::Added("size")]),
    change(v(550, 40, 7), "NV906F_CTRL_CMD_RESET_CHANNEL_PARAMS", &[Edit::Added("bIsRcPending")]),
    change(v(550, 40, 7), "NV0080_CTRL_GPU_GET_CLASSLIST_V2_PARAMS", &[resized("classList", 640)]),
    change(v(555, 42, 2), "NV0080_CTRL_GPU_GET_CLASSLIST_V2_PARAMS", &[resized("classList", 696)]),
    change(v(560, 28, 3), "NV2080_CTRL_GPU_GET_ENGINES_V2_PARAMS", &[resized("engineList", 256)]),
    change(v(560, 28, 3), "NV0000_CTRL_SYSTEM_GET_BUILD_VERSION_V2_PARAMS", &[Edit::Added("driverBranch")]),
    change(v(570, 86, 15), "NV_CHANNEL_ALLOC_PARAMS", &[Edit::Added("tpcConfigID")]),
    change(v(570, 86, 15), "nv_ioctl_export_to_dma_buf_fd_t", &[Edit::Added("mappingType")]),
    change(v(575, 51, 2), "NVA06C_CTRL_GPFIFO_SCHEDULE_PARAMS", &[Edit::Added("bSkipEnable")]),
    change(v(575, 51, 2), "NVA06F_CTRL_GPFIFO_SCHEDULE_PARAMS", &[Edit::Added("bSkipEnable")]),
    change(v(580, 65, 6), "nv_ioctl_export_to_dma_buf_fd_t", &[Edit::Added("bAllowMmap")]),
    change(v(580, 65, 6), "NVOS46_PARAMETERS", &[Edit::Added("flags2"), Edit::Added("kindOverride")]),
    change(v(580, 65, 6), "NV_VASPACE_ALLOCATION_PARAMETERS", &[Edit::Added("pasid")]),
    change(v(580, 65, 6), "NV0080_CTRL_GPU_GET_CLASSLIST_V2_PARAMS", &[resized("classList", 400)]),
    change(v(580, 65, 6), "NV0000_CTRL_GPU_GET_PROBED_IDS_PARAMS", &[Edit::Added("gpuFlags")]),
    change(v(595, 44, 2), "NV2080_CTRL_GPU_GET_NAME_STRING_PARAMS", &[resized("gpuNameString", 128)]),
    change(v(610, 43, 2), "NV_CHANNEL_ALLOC_PARAMS", &[Edit::Added("hHandleVASpace")]),
];
