// Compact declarations of ioctl request structures of nv-ioctl.h,
// in the layout of the newest known driver release. Names, order and sizes are NVIDIA's.
#pragma once
#include "types.h"

/// NV_ESC_CHECK_VERSION_STR: asks for, or compares with, the driver release. From nv-ioctl.h.
typedef struct nv_ioctl_rm_api_version_t {
    NvU32 cmd;
    NvU32 reply;
    NvU8 versionString[64];
} nv_ioctl_rm_api_version_t;

/// PCI location and identity of one GPU. From nv-ioctl.h.
typedef struct nv_pci_info_t {
    NvU32 domain;
    NvU8 bus;
    NvU8 slot;
    NvU8 function;
    NvU16 vendor_id;
    NvU16 device_id;
} nv_pci_info_t;

/// One entry of the NV_ESC_CARD_INFO array. From nv-ioctl.h.
typedef struct nv_ioctl_card_info_t {
    NvBool valid;
    nv_pci_info_t pci_info;
    NvU32 gpu_id;
    NvU16 interrupt_line;
    NvU64 reg_address;
    NvU64 reg_size;
    NvU64 fb_address;
    NvU64 fb_size;
    NvU32 minor_number;
    NvU8 dev_name[10];
} nv_ioctl_card_info_t;

/// NV_ESC_REGISTER_FD: ties a device descriptor to a control descriptor. From nv-ioctl.h.
typedef struct nv_ioctl_register_fd_t {
    NvS32 ctl_fd;
} nv_ioctl_register_fd_t;

/// NV_ESC_SYS_PARAMS. From nv-ioctl.h.
typedef struct nv_ioctl_sys_params_t {
    NvU64 memblock_size;
} nv_ioctl_sys_params_t;

/// NV_ESC_ALLOC_OS_EVENT: makes a descriptor able to receive events. From nv-ioctl.h.
typedef struct nv_ioctl_alloc_os_event_t {
    NvHandle hClient;
    NvHandle hDevice;
    NvU32 fd;
    NvU32 Status;
} nv_ioctl_alloc_os_event_t;

/// NV_ESC_FREE_OS_EVENT. From nv-ioctl.h.
typedef struct nv_ioctl_free_os_event_t {
    NvHandle hClient;
    NvHandle hDevice;
    NvU32 fd;
    NvU32 Status;
} nv_ioctl_free_os_event_t;

/// NV_ESC_WAIT_OPEN_COMPLETE, for descriptors opened with O_NONBLOCK. From nv-ioctl.h (since 550.40.07).
typedef struct nv_ioctl_wait_open_complete_t {
    NvS32 rc;
    NvU32 adapterStatus;
} nv_ioctl_wait_open_complete_t;

/// NV_ESC_IOCTL_XFER_CMD: carries a request whose size does not fit the ioctl number. From nv-ioctl.h.
typedef struct nv_ioctl_xfer_t {
    NvU32 cmd;
    NvU32 size;
    NvP64 ptr;
} nv_ioctl_xfer_t;

/// NV_ESC_EXPORT_TO_DMABUF_FD. From nv-ioctl.h.
typedef struct nv_ioctl_export_to_dma_buf_fd_t {
    NvS32 fd;
    NvHandle hClient;
    NvU32 totalObjects;
    NvU32 numObjects;
    NvU32 index;
    NvU64 totalSize;
    NvU8 mappingType;
    NvBool bAllowMmap;
    NvU32 handles[128];
    NvU64 offsets[128];
    NvU64 sizes[128];
    NvU32 status;
} nv_ioctl_export_to_dma_buf_fd_t;
