// Compact declarations of structures that engines read or write in memory; the kernel never sees them.
#pragma once
#include "types.h"

/// The USERD block of a channel, volta to Blackwell. From class/clc36f.h (Nvc36fControl), unchanged in
/// class/clca6f.h. Only `GPGet` and `GPPut` are used by GPFIFO channels.
typedef struct Nvc36fControl {
    NvU32 Ignored00[16];
    NvU32 Put;
    NvU32 Get;
    NvU32 Reference;
    NvU32 PutHi;
    NvU32 Ignored01[2];
    NvU32 TopLevelGet;
    NvU32 TopLevelGetHi;
    NvU32 GetHi;
    NvU32 Ignored02[7];
    NvU32 Ignored03;
    NvU32 Ignored04[1];
    NvU32 GPGet;
    NvU32 GPPut;
    NvU32 Ignored05[92];
} Nvc36fControl;

/// What NVDEC writes to SET_NVDEC_STATUS_OFFSET after an HEVC picture. From nvdec_drv.h of open-gpu-doc;
/// the statistics are the `hevc` member of the union there.
typedef struct nvdec_status_hevc_s {
    NvU32 mbs_correctly_decoded;
    NvU32 mbs_in_error;
    NvU32 cycle_count;
    NvU32 error_status;
    NvU32 frame_status_intra_cnt;
    NvU32 frame_status_inter_cnt;
    NvU32 frame_status_skip_cnt;
    NvU32 frame_status_fwd_mvx_cnt;
    NvU32 frame_status_fwd_mvy_cnt;
    NvU32 frame_status_bwd_mvx_cnt;
    NvU32 frame_status_bwd_mvy_cnt;
    NvU32 error_ctb_pos;
    NvU32 error_slice_pos;
    NvU32 slice_header_error_code;
} nvdec_status_hevc_s;
