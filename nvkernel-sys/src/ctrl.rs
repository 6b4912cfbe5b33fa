//! Control commands (NV_ESC_RM_CONTROL) with the structure that each one takes.

use std::marker::PhantomData;

pub use crate::generated::ctrl::*;

/// A control command whose parameters are a `P`, in the canonical layout.
#[derive(Debug)]
pub struct ControlCmd<P> {
    /// The number in `cmd` of [`NVOS54_PARAMETERS`](crate::rm::NVOS54_PARAMETERS).
    pub id: u32,
    /// NVIDIA's name.
    pub name: &'static str,
    params: PhantomData<fn(P) -> P>,
}

impl<P> ControlCmd<P> {
    /// A command that this module does not list.
    pub const fn new(id: u32, name: &'static str) -> Self {
        Self { id, name, params: PhantomData }
    }
}

impl<P> Clone for ControlCmd<P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for ControlCmd<P> {}

macro_rules! commands {
    ($($(#[doc = $doc:literal])* $name:ident = $id:literal, $params:ty;)*) => {
        $(
            $(#[doc = $doc])*
            #[doc = concat!("\n\nTakes [`", stringify!($params), "`].")]
            pub const $name: ControlCmd<$params> = ControlCmd::new($id, stringify!($name));
        )*
        /// Number and name of every command of this module.
        pub static COMMANDS: &[(u32, &str)] = &[$(($id, stringify!($name))),*];
    };
}

commands! {
    /// On the client: instance numbers of a GPU, from its id.
    NV0000_CTRL_CMD_GPU_GET_ID_INFO_V2 = 0x205, NV0000_CTRL_GPU_GET_ID_INFO_V2_PARAMS;
    /// On the client: ids of the GPUs that are attached; the rest of the array is 0xffffffff.
    NV0000_CTRL_CMD_GPU_GET_ATTACHED_IDS = 0x201, NV0000_CTRL_GPU_GET_ATTACHED_IDS_PARAMS;
    /// On the client: ids of the GPUs that were found; the rest of the array is 0xffffffff.
    NV0000_CTRL_CMD_GPU_GET_PROBED_IDS = 0x214, NV0000_CTRL_GPU_GET_PROBED_IDS_PARAMS;
    /// On the client: attaches GPUs.
    NV0000_CTRL_CMD_GPU_ATTACH_IDS = 0x215, NV0000_CTRL_GPU_ATTACH_IDS_PARAMS;
    /// On the client: driver release, into the caller's buffers.
    NV0000_CTRL_CMD_SYSTEM_GET_BUILD_VERSION = 0x101, NV0000_CTRL_SYSTEM_GET_BUILD_VERSION_PARAMS;
    /// On the client: driver release. Prefer [`NV_ESC_CHECK_VERSION_STR`](crate::ioctl::NV_ESC_CHECK_VERSION_STR),
    /// whose layout does not depend on the answer.
    NV0000_CTRL_CMD_SYSTEM_GET_BUILD_VERSION_V2 = 0x13e, NV0000_CTRL_SYSTEM_GET_BUILD_VERSION_V2_PARAMS;
    /// On the client: puts an object into a fresh control descriptor.
    NV0000_CTRL_CMD_OS_UNIX_EXPORT_OBJECT_TO_FD = 0x3d05, NV0000_CTRL_OS_UNIX_EXPORT_OBJECT_TO_FD_PARAMS;
    /// On the client: makes an object from such a descriptor.
    NV0000_CTRL_CMD_OS_UNIX_IMPORT_OBJECT_FROM_FD = 0x3d06, NV0000_CTRL_OS_UNIX_IMPORT_OBJECT_FROM_FD_PARAMS;
    /// On the client: what is in such a descriptor.
    NV0000_CTRL_CMD_OS_UNIX_GET_EXPORT_OBJECT_INFO = 0x3d08, NV0000_CTRL_OS_UNIX_GET_EXPORT_OBJECT_INFO_PARAMS;
    /// On memory: its attributes, as a list of [`NV0041_CTRL_SURFACE_INFO`].
    NV0041_CTRL_CMD_GET_SURFACE_INFO = 0x410110, NV0041_CTRL_GET_SURFACE_INFO_PARAMS;
    /// On a device: its classes. Call once for the count and once for the list.
    NV0080_CTRL_CMD_GPU_GET_CLASSLIST = 0x800201, NV0080_CTRL_GPU_GET_CLASSLIST_PARAMS;
    /// On a device: its classes, inline; the size changes from release to release.
    NV0080_CTRL_CMD_GPU_GET_CLASSLIST_V2 = 0x800292, NV0080_CTRL_GPU_GET_CLASSLIST_V2_PARAMS;
    /// On a device: capabilities of a video decoder, in undocumented bits.
    NV0080_CTRL_CMD_BSP_GET_CAPS_V2 = 0x801c02, NV0080_CTRL_BSP_GET_CAPS_PARAMS_V2;
    /// On a subdevice: marketing name.
    NV2080_CTRL_CMD_GPU_GET_NAME_STRING = 0x20800110, NV2080_CTRL_GPU_GET_NAME_STRING_PARAMS;
    /// On a subdevice: its engines. Call once for the count and once for the list.
    NV2080_CTRL_CMD_GPU_GET_ENGINES = 0x20800123, NV2080_CTRL_GPU_GET_ENGINES_PARAMS;
    /// On a subdevice: its engines, inline; the size changes from release to release.
    NV2080_CTRL_CMD_GPU_GET_ENGINES_V2 = 0x20800170, NV2080_CTRL_GPU_GET_ENGINES_V2_PARAMS;
    /// On a subdevice: classes of one engine. Call once for the count and once for the list.
    NV2080_CTRL_CMD_GPU_GET_ENGINE_CLASSLIST = 0x20800124, NV2080_CTRL_GPU_GET_ENGINE_CLASSLIST_PARAMS;
    /// On a subdevice: its UUID.
    NV2080_CTRL_CMD_GPU_GET_GID_INFO = 0x2080014a, NV2080_CTRL_GPU_GET_GID_INFO_PARAMS;
    /// On a subdevice: turns an ordinary (not a non-stalling) event on or off.
    NV2080_CTRL_CMD_EVENT_SET_NOTIFICATION = 0x20800301, NV2080_CTRL_EVENT_SET_NOTIFICATION_PARAMS;
    /// On a subdevice: the GPU's time in nanoseconds.
    NV2080_CTRL_CMD_TIMER_GET_TIME = 0x20800403, NV2080_CTRL_TIMER_GET_TIME_PARAMS;
    /// On a subdevice: graphics engine properties, as a list of [`NV2080_CTRL_GR_INFO`].
    NV2080_CTRL_CMD_GR_GET_INFO = 0x20801201, NV2080_CTRL_GR_GET_INFO_PARAMS;
    /// On a subdevice: memory properties, as a list of [`NV2080_CTRL_FB_INFO`].
    NV2080_CTRL_CMD_FB_GET_INFO = 0x20801301, NV2080_CTRL_FB_GET_INFO_PARAMS;
    /// On a subdevice: which chip it is ([`chip_name`](crate::class::chip_name)).
    NV2080_CTRL_CMD_MC_GET_ARCH_INFO = 0x20801701, NV2080_CTRL_MC_GET_ARCH_INFO_PARAMS;
    /// On a subdevice: asks for high clocks for some seconds.
    NV2080_CTRL_CMD_PERF_BOOST = 0x2080200a, NV2080_CTRL_PERF_BOOST_PARAMS;
    /// On a channel: resets it.
    NV906F_CTRL_CMD_RESET_CHANNEL = 0x906f0102, NV906F_CTRL_CMD_RESET_CHANNEL_PARAMS;
    /// On a channel: what its last MMU fault was.
    NV906F_CTRL_CMD_GET_MMU_FAULT_INFO = 0x906f0106, NV906F_CTRL_GET_MMU_FAULT_INFO_PARAMS;
    /// On a channel group: puts it on its runlist.
    NVA06C_CTRL_CMD_GPFIFO_SCHEDULE = 0xa06c0101, NVA06C_CTRL_GPFIFO_SCHEDULE_PARAMS;
    /// On a channel group: sets its timeslice.
    NVA06C_CTRL_CMD_SET_TIMESLICE = 0xa06c0103, NVA06C_CTRL_TIMESLICE_PARAMS;
    /// On a channel group: takes it off its engine.
    NVA06C_CTRL_CMD_PREEMPT = 0xa06c0105, NVA06C_CTRL_PREEMPT_PARAMS;
    /// On a channel: puts it on its runlist.
    NVA06F_CTRL_CMD_GPFIFO_SCHEDULE = 0xa06f0103, NVA06F_CTRL_GPFIFO_SCHEDULE_PARAMS;
    /// On a channel: binds it to an engine.
    NVA06F_CTRL_CMD_BIND = 0xa06f0104, NVA06F_CTRL_BIND_PARAMS;
    /// On a channel: stops it.
    NVA06F_CTRL_CMD_STOP_CHANNEL = 0xa06f0112, NVA06F_CTRL_STOP_CHANNEL_PARAMS;
    /// On a channel: the value for the doorbell. After the engine object was allocated and the channel bound.
    NVC36F_CTRL_CMD_GPFIFO_GET_WORK_SUBMIT_TOKEN = 0xc36f0108, NVC36F_CTRL_CMD_GPFIFO_GET_WORK_SUBMIT_TOKEN_PARAMS;
    /// On a channel: which slot of the error notifier receives that value.
    NVC36F_CTRL_CMD_GPFIFO_SET_WORK_SUBMIT_TOKEN_NOTIF_INDEX = 0xc36f010a,
        NVC36F_CTRL_GPFIFO_SET_WORK_SUBMIT_TOKEN_NOTIF_INDEX_PARAMS;
}

bits! {
    /// `flags` of [`NV2080_CTRL_PERF_BOOST_PARAMS`](NV2080_CTRL_PERF_BOOST_PARAMS). From ctrl2080perf.h
    /// (NV2080_CTRL_PERF_BOOST_FLAGS).
    pub mod perf_boost_flags (4 bytes) {
        /// What to do with the performance state. Other limits of the GPU go before it.
        CMD = 0x0 [1:0] {
            /// Takes back what this client asked for.
            CMD_CLEAR = 0,
            /// One state higher.
            CMD_BOOST_1LEVEL = 1,
            /// The highest state.
            CMD_BOOST_TO_MAX = 2,
        };
        /// The request is one of a compute program.
        CUDA = 0x0 [4:4] { CUDA_NO = 0, CUDA_YES = 1 };
        /// Return before the clocks have changed.
        ASYNC = 0x0 [5:5] { ASYNC_NO = 0, ASYNC_YES = 1 };
        /// How urgent a request of a compute program is.
        CUDA_PRIORITY = 0x0 [6:6] { CUDA_PRIORITY_DEFAULT = 0, CUDA_PRIORITY_HIGH = 1 };
    }
}

/// `duration` of [`NV2080_CTRL_PERF_BOOST_PARAMS`]: the longest in seconds (ctrl2080perf.h).
pub const NV2080_CTRL_PERF_BOOST_DURATION_MAX: u32 = 3600;
/// `duration` of [`NV2080_CTRL_PERF_BOOST_PARAMS`]: until it is cleared (ctrl2080perf.h).
pub const NV2080_CTRL_PERF_BOOST_DURATION_INFINITE: u32 = 0xffff_ffff;
/// `type` of [`NV0000_CTRL_OS_UNIX_EXPORT_OBJECT`]: an object of the resource manager.
pub const NV0000_CTRL_OS_UNIX_EXPORT_OBJECT_TYPE_RM: u32 = 1;
/// `index` of [`NV0041_CTRL_SURFACE_INFO`]: the physical size in units of 4 KiB (ctrl0041.h).
pub const SURFACE_INFO_PHYS_SIZE: u32 = 7;
/// `index` of [`NV0041_CTRL_SURFACE_INFO`]: the attributes that it was allocated with (ctrl0041.h).
pub const SURFACE_INFO_PHYS_ATTR: u32 = 8;
/// `index` of [`NV0041_CTRL_SURFACE_INFO`]: the kind of memory (ctrl0041.h).
pub const SURFACE_INFO_ADDR_SPACE_TYPE: u32 = 9;
/// Data of [`SURFACE_INFO_ADDR_SPACE_TYPE`]: host memory (NV0000_CTRL_CMD_CLIENT_GET_ADDR_SPACE_TYPE_SYSMEM, ctrl0000client.h).
pub const ADDR_SPACE_TYPE_SYSMEM: u32 = 1;
/// Data of [`SURFACE_INFO_ADDR_SPACE_TYPE`]: memory of the GPU (NV0000_CTRL_CMD_CLIENT_GET_ADDR_SPACE_TYPE_VIDMEM).
pub const ADDR_SPACE_TYPE_VIDMEM: u32 = 2;
/// `index` of [`NV2080_CTRL_FB_INFO`]: free memory of the GPU, in KiB (ctrl2080fb.h).
pub const NV2080_CTRL_FB_INFO_INDEX_HEAP_FREE: u32 = 0x16;
/// `flags` of [`NV2080_CTRL_GPU_GET_GID_INFO_PARAMS`]: SHA-1 of the UUID as 16 bytes instead of text.
pub const NV2080_GPU_CMD_GPU_GET_GID_FLAGS_FORMAT_BINARY: u32 = 2;

/// NVIDIA's name of control command `id`, or `"NV_CTRL_?"`.
pub fn name_of(id: u32) -> &'static str {
    COMMANDS.iter().find(|c| c.0 == id).map_or("NV_CTRL_?", |c| c.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_named() {
        for (i, a) in COMMANDS.iter().enumerate() {
            assert!(COMMANDS[i + 1..].iter().all(|b| a.0 != b.0), "{}", a.1);
        }
        assert_eq!(name_of(NVA06F_CTRL_CMD_BIND.id), "NVA06F_CTRL_CMD_BIND");
        assert_eq!(name_of(0xa06f_0104), "NVA06F_CTRL_CMD_BIND");
        assert_eq!(name_of(0), "NV_CTRL_?");
    }

    #[test]
    fn boost_flags() {
        use perf_boost_flags::*;
        let flags = CMD.of(CMD_BOOST_TO_MAX) | CUDA.of(CUDA_YES) | CUDA_PRIORITY.of(CUDA_PRIORITY_HIGH);
        assert_eq!(flags, 0x52);
        assert_eq!(ASYNC.of(ASYNC_YES), 0x20);
        assert_eq!(CMD.of(CMD_CLEAR), 0);
    }
}
