// Compact declarations of resource manager calls of nvos.h and nv-unix-nvos-params-wrappers.h,
// in the layout of the newest known driver release. Names, order and sizes are NVIDIA's.
#pragma once
#include "types.h"

/// NV_ESC_RM_FREE: frees an object and everything under it. From nvos.h.
typedef struct NVOS00_PARAMETERS {
    NvHandle hRoot;
    NvHandle hObjectParent;
    NvHandle hObjectOld;
    NvU32 status;
} NVOS00_PARAMETERS;

/// NV_ESC_RM_ALLOC_MEMORY without its descriptor. From nvos.h.
typedef struct NVOS02_PARAMETERS {
    NvHandle hRoot;
    NvHandle hObjectParent;
    NvHandle hObjectNew;
    NvU32 hClass;
    NvU32 flags;
    NvP64 pMemory;
    NvU64 limit;
    NvU32 status;
} NVOS02_PARAMETERS;

/// NV_ESC_RM_ALLOC_MEMORY. From nv-unix-nvos-params-wrappers.h.
typedef struct nv_ioctl_nvos02_parameters_with_fd {
    NVOS02_PARAMETERS params;
    NvS32 fd;
} nv_ioctl_nvos02_parameters_with_fd;

/// NV_ESC_RM_ALLOC, short form. From nvos.h.
typedef struct NVOS21_PARAMETERS {
    NvHandle hRoot;
    NvHandle hObjectParent;
    NvHandle hObjectNew;
    NvU32 hClass;
    NvP64 pAllocParms;
    NvU32 paramsSize;
    NvU32 status;
} NVOS21_PARAMETERS;

/// NV_ESC_RM_MAP_MEMORY without its descriptor. From nvos.h.
typedef struct NVOS33_PARAMETERS {
    NvHandle hClient;
    NvHandle hDevice;
    NvHandle hMemory;
    NvU64 offset;
    NvU64 length;
    NvP64 pLinearAddress;
    NvU32 status;
    NvU32 flags;
} NVOS33_PARAMETERS;

/// NV_ESC_RM_MAP_MEMORY: `fd` is a fresh descriptor to be mmapped afterwards. From nv-unix-nvos-params-wrappers.h.
typedef struct nv_ioctl_nvos33_parameters_with_fd {
    NVOS33_PARAMETERS params;
    NvS32 fd;
} nv_ioctl_nvos33_parameters_with_fd;

/// NV_ESC_RM_UNMAP_MEMORY. From nvos.h.
typedef struct NVOS34_PARAMETERS {
    NvHandle hClient;
    NvHandle hDevice;
    NvHandle hMemory;
    NvP64 pLinearAddress;
    NvU32 status;
    NvU32 flags;
} NVOS34_PARAMETERS;

/// NV_ESC_RM_GET_EVENT_DATA: `pEvent` points at a NvUnixEvent. From nvos.h.
typedef struct NVOS41_PARAMETERS {
    NvP64 pEvent;
    NvU32 MoreEvents;
    NvU32 status;
} NVOS41_PARAMETERS;

/// NV_ESC_RM_MAP_MEMORY_DMA: maps memory into a GPU address space. From nvos.h.
typedef struct NVOS46_PARAMETERS {
    NvHandle hClient;
    NvHandle hDevice;
    NvHandle hDma;
    NvHandle hMemory;
    NvU64 offset;
    NvU64 length;
    NvU32 flags;
    NvU32 flags2;
    NvU32 kindOverride;
    NvU64 dmaOffset;
    NvU32 status;
} NVOS46_PARAMETERS;

/// NV_ESC_RM_UNMAP_MEMORY_DMA. From nvos.h.
typedef struct NVOS47_PARAMETERS {
    NvHandle hClient;
    NvHandle hDevice;
    NvHandle hDma;
    NvHandle hMemory;
    NvU32 flags;
    NvU64 dmaOffset;
    NvU64 size;
    NvU32 status;
} NVOS47_PARAMETERS;

/// NV_ESC_RM_CONTROL. `paramsSize` must equal the kernel's own size. From nvos.h.
typedef struct NVOS54_PARAMETERS {
    NvHandle hClient;
    NvHandle hObject;
    NvU32 cmd;
    NvU32 flags;
    NvP64 params;
    NvU32 paramsSize;
    NvU32 status;
} NVOS54_PARAMETERS;

/// NV_ESC_RM_DUP_OBJECT. From nvos.h.
typedef struct NVOS55_PARAMETERS {
    NvHandle hClient;
    NvHandle hParent;
    NvHandle hObject;
    NvHandle hClientSrc;
    NvHandle hObjectSrc;
    NvU32 flags;
    NvU32 status;
} NVOS55_PARAMETERS;

/// NV_ESC_RM_ALLOC, long form with requested rights. From nvos.h.
typedef struct NVOS64_PARAMETERS {
    NvHandle hRoot;
    NvHandle hObjectParent;
    NvHandle hObjectNew;
    NvU32 hClass;
    NvP64 pAllocParms;
    NvP64 pRightsRequested;
    NvU32 paramsSize;
    NvU32 flags;
    NvU32 status;
} NVOS64_PARAMETERS;

/// One event read with NV_ESC_RM_GET_EVENT_DATA. From nvos.h.
typedef struct NvUnixEvent {
    NvHandle hObject;
    NvU32 NotifyIndex;
    NvU32 info32;
    NvU16 info16;
} NvUnixEvent;

/// One slot of a channel's error notifier array. From nvgputypes.h.
typedef struct NvNotification {
    NvU32 nanoseconds[2];
    NvU32 info32;
    NvU16 info16;
    NvU16 status;
} NvNotification;
