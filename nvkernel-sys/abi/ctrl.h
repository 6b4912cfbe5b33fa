// Compact declarations of parameters of NV_ESC_RM_CONTROL,
// in the layout of the newest known driver release. Names, order and sizes are NVIDIA's.
#pragma once
#include "types.h"

/// From ctrl/ctrl0000/ctrl0000gpu.h.
typedef struct NV0000_CTRL_GPU_GET_ID_INFO_V2_PARAMS {
    NvU32 gpuId;
    NvU32 gpuFlags;
    NvU32 deviceInstance;
    NvU32 subDeviceInstance;
    NvU32 sliStatus;
    NvU32 boardId;
    NvU32 gpuInstance;
    NvS32 numaId;
} NV0000_CTRL_GPU_GET_ID_INFO_V2_PARAMS;

/// From ctrl/ctrl0000/ctrl0000gpu.h.
typedef struct NV0000_CTRL_GPU_ATTACH_IDS_PARAMS {
    NvU32 gpuIds[32];
    NvU32 failedId;
} NV0000_CTRL_GPU_ATTACH_IDS_PARAMS;

/// From ctrl/ctrl0000/ctrl0000gpu.h.
typedef struct NV0000_CTRL_GPU_GET_ATTACHED_IDS_PARAMS {
    NvU32 gpuIds[32];
} NV0000_CTRL_GPU_GET_ATTACHED_IDS_PARAMS;

/// From ctrl/ctrl0000/ctrl0000gpu.h.
typedef struct NV0000_CTRL_GPU_GET_PROBED_IDS_PARAMS {
    NvU32 gpuIds[32];
    NvU32 excludedGpuIds[32];
    NvU32 gpuFlags[32];
} NV0000_CTRL_GPU_GET_PROBED_IDS_PARAMS;

/// From ctrl/ctrl0000/ctrl0000system.h.
typedef struct NV0000_CTRL_SYSTEM_GET_BUILD_VERSION_PARAMS {
    NvU32 sizeOfStrings;
    NvP64 pDriverVersionBuffer;
    NvP64 pVersionBuffer;
    NvP64 pTitleBuffer;
    NvU32 changelistNumber;
    NvU32 officialChangelistNumber;
} NV0000_CTRL_SYSTEM_GET_BUILD_VERSION_PARAMS;

/// From ctrl/ctrl0000/ctrl0000system.h.
typedef struct NV0000_CTRL_SYSTEM_GET_BUILD_VERSION_V2_PARAMS {
    NvU8 driverVersionBuffer[256];
    NvU8 versionBuffer[256];
    NvU8 driverBranch[256];
    NvU8 titleBuffer[256];
    NvU32 changelistNumber;
    NvU32 officialChangelistNumber;
} NV0000_CTRL_SYSTEM_GET_BUILD_VERSION_V2_PARAMS;

/// An object to export or import; NVIDIA nests the handles in the union `data.rmObject`. From ctrl/ctrl0000/ctrl0000unix.h.
typedef struct NV0000_CTRL_OS_UNIX_EXPORT_OBJECT {
    NvU32 type;
    NvHandle hDevice;
    NvHandle hParent;
    NvHandle hObject;
} NV0000_CTRL_OS_UNIX_EXPORT_OBJECT;

/// From ctrl/ctrl0000/ctrl0000unix.h.
typedef struct NV0000_CTRL_OS_UNIX_EXPORT_OBJECT_TO_FD_PARAMS {
    NV0000_CTRL_OS_UNIX_EXPORT_OBJECT object;
    NvS32 fd;
    NvU32 flags;
} NV0000_CTRL_OS_UNIX_EXPORT_OBJECT_TO_FD_PARAMS;

/// From ctrl/ctrl0000/ctrl0000unix.h.
typedef struct NV0000_CTRL_OS_UNIX_IMPORT_OBJECT_FROM_FD_PARAMS {
    NvS32 fd;
    NV0000_CTRL_OS_UNIX_EXPORT_OBJECT object;
} NV0000_CTRL_OS_UNIX_IMPORT_OBJECT_FROM_FD_PARAMS;

/// From ctrl/ctrl0000/ctrl0000unix.h.
typedef struct NV0000_CTRL_OS_UNIX_GET_EXPORT_OBJECT_INFO_PARAMS {
    NvS32 fd;
    NvU32 deviceInstance;
    NvU32 gpuInstanceId;
    NvU16 maxObjects;
    NvU8 metadata[64];
} NV0000_CTRL_OS_UNIX_GET_EXPORT_OBJECT_INFO_PARAMS;

/// Element of the list of NV0041_CTRL_GET_SURFACE_INFO_PARAMS. From ctrl/ctrl0041.h.
typedef struct NV0041_CTRL_SURFACE_INFO {
    NvU32 index;
    NvU32 data;
} NV0041_CTRL_SURFACE_INFO;

/// From ctrl/ctrl0041.h.
typedef struct NV0041_CTRL_GET_SURFACE_INFO_PARAMS {
    NvU32 surfaceInfoListSize;
    NvP64 surfaceInfoList;
} NV0041_CTRL_GET_SURFACE_INFO_PARAMS;

/// From ctrl/ctrl0080/ctrl0080gpu.h.
typedef struct NV0080_CTRL_GPU_GET_CLASSLIST_PARAMS {
    NvU32 numClasses;
    NvP64 classList;
} NV0080_CTRL_GPU_GET_CLASSLIST_PARAMS;

/// From ctrl/ctrl0080/ctrl0080gpu.h.
typedef struct NV0080_CTRL_GPU_GET_CLASSLIST_V2_PARAMS {
    NvU32 numClasses;
    NvU32 classList[200];
} NV0080_CTRL_GPU_GET_CLASSLIST_V2_PARAMS;

/// From ctrl/ctrl0080/ctrl0080bsp.h.
typedef struct NV0080_CTRL_BSP_GET_CAPS_PARAMS_V2 {
    NvU8 capsTbl[8];
    NvU32 instanceId;
} NV0080_CTRL_BSP_GET_CAPS_PARAMS_V2;

/// Only the ASCII form of the name. From ctrl/ctrl2080/ctrl2080gpu.h.
typedef struct NV2080_CTRL_GPU_GET_NAME_STRING_PARAMS {
    NvU32 gpuNameStringFlags;
    NvU8 gpuNameString[64];
} NV2080_CTRL_GPU_GET_NAME_STRING_PARAMS;

/// From ctrl/ctrl2080/ctrl2080gpu.h.
typedef struct NV2080_CTRL_GPU_GET_ENGINES_PARAMS {
    NvU32 engineCount;
    NvP64 engineList;
} NV2080_CTRL_GPU_GET_ENGINES_PARAMS;

/// From ctrl/ctrl2080/ctrl2080gpu.h.
typedef struct NV2080_CTRL_GPU_GET_ENGINES_V2_PARAMS {
    NvU32 engineCount;
    NvU32 engineList[84];
} NV2080_CTRL_GPU_GET_ENGINES_V2_PARAMS;

/// From ctrl/ctrl2080/ctrl2080gpu.h.
typedef struct NV2080_CTRL_GPU_GET_ENGINE_CLASSLIST_PARAMS {
    NvU32 engineType;
    NvU32 numClasses;
    NvP64 classList;
} NV2080_CTRL_GPU_GET_ENGINE_CLASSLIST_PARAMS;

/// From ctrl/ctrl2080/ctrl2080gpu.h.
typedef struct NV2080_CTRL_GPU_GET_GID_INFO_PARAMS {
    NvU32 index;
    NvU32 flags;
    NvU32 length;
    NvU8 data[256];
} NV2080_CTRL_GPU_GET_GID_INFO_PARAMS;

/// From ctrl/ctrl2080/ctrl2080event.h.
typedef struct NV2080_CTRL_EVENT_SET_NOTIFICATION_PARAMS {
    NvU32 event;
    NvU32 action;
    NvBool bNotifyState;
    NvU32 info32;
    NvU16 info16;
} NV2080_CTRL_EVENT_SET_NOTIFICATION_PARAMS;

/// From ctrl/ctrl2080/ctrl2080tmr.h.
typedef struct NV2080_CTRL_TIMER_GET_TIME_PARAMS {
    NvU64 time_nsec;
} NV2080_CTRL_TIMER_GET_TIME_PARAMS;

/// Element of the list of NV2080_CTRL_GR_GET_INFO_PARAMS. From ctrl/ctrl2080/ctrl2080gr.h.
typedef struct NV2080_CTRL_GR_INFO {
    NvU32 index;
    NvU32 data;
} NV2080_CTRL_GR_INFO;

/// Which graphics engine is asked. From ctrl/ctrl2080/ctrl2080gr.h.
typedef struct NV2080_CTRL_GR_ROUTE_INFO {
    NvU32 flags;
    NvU64 route;
} NV2080_CTRL_GR_ROUTE_INFO;

/// From ctrl/ctrl2080/ctrl2080gr.h.
typedef struct NV2080_CTRL_GR_GET_INFO_PARAMS {
    NvU32 grInfoListSize;
    NvP64 grInfoList;
    NV2080_CTRL_GR_ROUTE_INFO grRouteInfo;
} NV2080_CTRL_GR_GET_INFO_PARAMS;

/// Element of the list of NV2080_CTRL_FB_GET_INFO_PARAMS. From ctrl/ctrl2080/ctrl2080fb.h.
typedef struct NV2080_CTRL_FB_INFO {
    NvU32 index;
    NvU32 data;
} NV2080_CTRL_FB_INFO;

/// From ctrl/ctrl2080/ctrl2080fb.h.
typedef struct NV2080_CTRL_FB_GET_INFO_PARAMS {
    NvU32 fbInfoListSize;
    NvP64 fbInfoList;
} NV2080_CTRL_FB_GET_INFO_PARAMS;

/// From ctrl/ctrl2080/ctrl2080mc.h.
typedef struct NV2080_CTRL_MC_GET_ARCH_INFO_PARAMS {
    NvU32 architecture;
    NvU32 implementation;
    NvU32 revision;
    NvU8 subRevision;
} NV2080_CTRL_MC_GET_ARCH_INFO_PARAMS;

/// From ctrl/ctrl2080/ctrl2080perf.h.
typedef struct NV2080_CTRL_PERF_BOOST_PARAMS {
    NvU32 flags;
    NvU32 duration;
} NV2080_CTRL_PERF_BOOST_PARAMS;

/// From ctrl/ctrl906f.h.
typedef struct NV906F_CTRL_GET_MMU_FAULT_INFO_PARAMS {
    NvU32 addrHi;
    NvU32 addrLo;
    NvU32 faultType;
    NvU8 faultString[32];
    NvU64 shaderProgramVA[7];
} NV906F_CTRL_GET_MMU_FAULT_INFO_PARAMS;

/// From ctrl/ctrl906f.h.
typedef struct NV906F_CTRL_CMD_RESET_CHANNEL_PARAMS {
    NvU32 engineID;
    NvU32 subdeviceInstance;
    NvU32 resetReason;
    NvBool bIsRcPending;
} NV906F_CTRL_CMD_RESET_CHANNEL_PARAMS;

/// From ctrl/ctrla06c.h.
typedef struct NVA06C_CTRL_GPFIFO_SCHEDULE_PARAMS {
    NvBool bEnable;
    NvBool bSkipSubmit;
    NvBool bSkipEnable;
} NVA06C_CTRL_GPFIFO_SCHEDULE_PARAMS;

/// Microseconds. From ctrl/ctrla06c.h.
typedef struct NVA06C_CTRL_TIMESLICE_PARAMS {
    NvU64 timesliceUs;
} NVA06C_CTRL_TIMESLICE_PARAMS;

/// From ctrl/ctrla06c.h.
typedef struct NVA06C_CTRL_PREEMPT_PARAMS {
    NvBool bWait;
    NvBool bManualTimeout;
    NvU32 timeoutUs;
} NVA06C_CTRL_PREEMPT_PARAMS;

/// From ctrl/ctrla06f/ctrla06fgpfifo.h.
typedef struct NVA06F_CTRL_GPFIFO_SCHEDULE_PARAMS {
    NvBool bEnable;
    NvBool bSkipSubmit;
    NvBool bSkipEnable;
} NVA06F_CTRL_GPFIFO_SCHEDULE_PARAMS;

/// From ctrl/ctrla06f/ctrla06fgpfifo.h.
typedef struct NVA06F_CTRL_BIND_PARAMS {
    NvU32 engineType;
} NVA06F_CTRL_BIND_PARAMS;

/// From ctrl/ctrla06f/ctrla06fgpfifo.h.
typedef struct NVA06F_CTRL_STOP_CHANNEL_PARAMS {
    NvBool bImmediate;
} NVA06F_CTRL_STOP_CHANNEL_PARAMS;

/// From ctrl/ctrlc36f.h.
typedef struct NVC36F_CTRL_CMD_GPFIFO_GET_WORK_SUBMIT_TOKEN_PARAMS {
    NvU32 workSubmitToken;
} NVC36F_CTRL_CMD_GPFIFO_GET_WORK_SUBMIT_TOKEN_PARAMS;

/// From ctrl/ctrlc36f.h.
typedef struct NVC36F_CTRL_GPFIFO_SET_WORK_SUBMIT_TOKEN_NOTIF_INDEX_PARAMS {
    NvU32 index;
} NVC36F_CTRL_GPFIFO_SET_WORK_SUBMIT_TOKEN_NOTIF_INDEX_PARAMS;
