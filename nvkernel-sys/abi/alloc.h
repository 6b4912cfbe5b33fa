// Compact declarations of parameters of NV_ESC_RM_ALLOC, by class,
// in the layout of the newest known driver release. Names, order and sizes are NVIDIA's.
#pragma once
#include "types.h"

/// NV01_EVENT_OS_EVENT. From class/cl0005.h.
typedef struct NV0005_ALLOC_PARAMETERS {
    NvHandle hParentClient;
    NvHandle hSrcResource;
    NvU32 hClass;
    NvU32 notifyIndex;
    NvP64 data;
} NV0005_ALLOC_PARAMETERS;

/// NV01_DEVICE_0. From class/cl0080.h.
typedef struct NV0080_ALLOC_PARAMETERS {
    NvU32 deviceId;
    NvHandle hClientShare;
    NvHandle hTargetClient;
    NvHandle hTargetDevice;
    NvU32 flags;
    NvU64 vaSpaceSize;
    NvU64 vaStartInternal;
    NvU64 vaLimitInternal;
    NvU32 vaMode;
} NV0080_ALLOC_PARAMETERS;

/// NV20_SUBDEVICE_0. From class/cl2080.h.
typedef struct NV2080_ALLOC_PARAMETERS {
    NvU32 subDeviceId;
} NV2080_ALLOC_PARAMETERS;

/// NV01_MEMORY_SYSTEM, NV01_MEMORY_LOCAL_USER, NV50_MEMORY_VIRTUAL. From nvos.h.
typedef struct NV_MEMORY_ALLOCATION_PARAMS {
    NvU32 owner;
    NvU32 type;
    NvU32 flags;
    NvU32 width;
    NvU32 height;
    NvS32 pitch;
    NvU32 attr;
    NvU32 attr2;
    NvU32 format;
    NvU32 comprCovg;
    NvU32 zcullCovg;
    NvU64 rangeLo;
    NvU64 rangeHi;
    NvU64 size;
    NvU64 alignment;
    NvU64 offset;
    NvU64 limit;
    NvP64 address;
    NvU32 ctagOffset;
    NvHandle hVASpace;
    NvU32 internalflags;
    NvU32 tag;
    NvS32 numaNode;
} NV_MEMORY_ALLOCATION_PARAMS;

/// NV01_MEMORY_VIRTUAL. From class/cl0070.h.
typedef struct NV_MEMORY_VIRTUAL_ALLOCATION_PARAMS {
    NvU64 offset;
    NvU64 limit;
    NvHandle hVASpace;
} NV_MEMORY_VIRTUAL_ALLOCATION_PARAMS;

/// NV01_CONTEXT_DMA. From nvos.h.
typedef struct NV_CONTEXT_DMA_ALLOCATION_PARAMS {
    NvHandle hSubDevice;
    NvU32 flags;
    NvHandle hMemory;
    NvU64 offset;
    NvU64 limit;
} NV_CONTEXT_DMA_ALLOCATION_PARAMS;

/// FERMI_VASPACE_A. From nvos.h.
typedef struct NV_VASPACE_ALLOCATION_PARAMETERS {
    NvU32 index;
    NvU32 flags;
    NvU64 vaSize;
    NvU64 vaStartInternal;
    NvU64 vaLimitInternal;
    NvU32 bigPageSize;
    NvU64 vaBase;
    NvU32 pasid;
} NV_VASPACE_ALLOCATION_PARAMETERS;

/// A piece of memory inside NV_CHANNEL_ALLOC_PARAMS. From alloc/alloc_channel.h.
typedef struct NV_MEMORY_DESC_PARAMS {
    NvU64 base;
    NvU64 size;
    NvU32 addressSpace;
    NvU32 cacheAttrib;
} NV_MEMORY_DESC_PARAMS;

/// Every *_CHANNEL_GPFIFO_* class. From alloc/alloc_channel.h; `hHandleVASpace` since 610.43.02.
typedef struct NV_CHANNEL_ALLOC_PARAMS {
    NvHandle hObjectError;
    NvHandle hObjectBuffer;
    NvU64 gpFifoOffset;
    NvU32 gpFifoEntries;
    NvU32 flags;
    NvHandle hContextShare;
    NvHandle hVASpace;
    NvHandle hHandleVASpace;
    NvU32 hUserdMemory[8];
    NvU64 userdOffset[8];
    NvU32 engineType;
    NvU32 cid;
    NvU32 subDeviceId;
    NvHandle hObjectEccError;
    NV_MEMORY_DESC_PARAMS instanceMem;
    NV_MEMORY_DESC_PARAMS userdMem;
    NV_MEMORY_DESC_PARAMS ramfcMem;
    NV_MEMORY_DESC_PARAMS mthdbufMem;
    NvHandle hPhysChannelGroup;
    NvU32 internalFlags;
    NV_MEMORY_DESC_PARAMS errorNotifierMem;
    NV_MEMORY_DESC_PARAMS eccErrorNotifierMem;
    NvU32 ProcessID;
    NvU32 SubProcessID;
    NvU32 encryptIv[3];
    NvU32 decryptIv[3];
    NvU32 hmacNonce[8];
    NvU32 tpcConfigID;
} NV_CHANNEL_ALLOC_PARAMS;

/// KEPLER_CHANNEL_GROUP_A. From nvos.h.
typedef struct NV_CHANNEL_GROUP_ALLOCATION_PARAMETERS {
    NvHandle hObjectError;
    NvHandle hObjectEccError;
    NvHandle hVASpace;
    NvU32 engineType;
    NvBool bIsCallingContextVgpuPlugin;
} NV_CHANNEL_GROUP_ALLOCATION_PARAMETERS;

/// FERMI_CONTEXT_SHARE_A. From nvos.h.
typedef struct NV_CTXSHARE_ALLOCATION_PARAMETERS {
    NvHandle hVASpace;
    NvU32 flags;
    NvU32 subctxId;
} NV_CTXSHARE_ALLOCATION_PARAMETERS;

/// Every *_VIDEO_DECODER class; `size` is the size of this structure. From nvos.h (NV_NVDEC_ALLOCATION_PARAMETERS since 610).
typedef struct NV_BSP_ALLOCATION_PARAMETERS {
    NvU32 size;
    NvU32 prohibitMultipleInstances;
    NvU32 engineInstance;
} NV_BSP_ALLOCATION_PARAMETERS;

/// Every *_NVJPG class. From nvos.h.
typedef struct NV_NVJPG_ALLOCATION_PARAMETERS {
    NvU32 size;
    NvU32 prohibitMultipleInstances;
    NvU32 engineInstance;
} NV_NVJPG_ALLOCATION_PARAMETERS;

/// Every *_OFA class. From nvos.h.
typedef struct NV_OFA_ALLOCATION_PARAMETERS {
    NvU32 size;
    NvU32 prohibitMultipleInstances;
    NvU32 engineInstance;
} NV_OFA_ALLOCATION_PARAMETERS;

/// Every *_DMA_COPY_* class; version 1 makes `engineType` an NV2080_ENGINE_TYPE. From class/clb0b5sw.h.
typedef struct NVB0B5_ALLOCATION_PARAMETERS {
    NvU32 version;
    NvU32 engineType;
} NVB0B5_ALLOCATION_PARAMETERS;

/// Compute and graphics classes. From nvos.h.
typedef struct NV_GR_ALLOCATION_PARAMETERS {
    NvU32 version;
    NvU32 flags;
    NvU32 size;
    NvU32 caps;
} NV_GR_ALLOCATION_PARAMETERS;

/// HOPPER_USERMODE_A and later. From class/clc661.h.
typedef struct NV_HOPPER_USERMODE_A_PARAMS {
    NvBool bBar1Mapping;
    NvBool bPriv;
} NV_HOPPER_USERMODE_A_PARAMS;
