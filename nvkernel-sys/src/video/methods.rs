//! Method addresses of the NVDEC classes, from clc9b0.h; methods of a later class than NVC5B0 say so.

methods! {
    /// Binds the class to the subchannel.
    SET_OBJECT = 0x0;
    /// Does nothing.
    NOP = 0x100;
    /// Starts a performance measurement.
    PM_TRIGGER = 0x140;
    /// Selects the codec's firmware.
    SET_APPLICATION_ID = 0x200;
    /// Limit of a picture's time.
    SET_WATCHDOG_TIMER = 0x204;
    /// Bits 39:32 of the semaphore's address.
    SEMAPHORE_A = 0x240;
    /// Bits 31:0 of the semaphore's address.
    SEMAPHORE_B = 0x244;
    /// Payload of the semaphore.
    SEMAPHORE_C = 0x248;
    /// Context switching.
    CTX_SAVE_AREA = 0x24c;
    /// Context switching.
    CTX_SWITCH = 0x250;
    /// Low half of a 64-bit payload. NVC7B0 and later.
    SET_SEMAPHORE_PAYLOAD_LOWER = 0x254;
    /// High half of a 64-bit payload. NVC7B0 and later.
    SET_SEMAPHORE_PAYLOAD_UPPER = 0x258;
    /// Monitored fence. NVC7B0 and later.
    SET_MONITORED_FENCE_SIGNAL_ADDRESS_BASE_A = 0x25c;
    /// Monitored fence. NVC7B0 and later.
    SET_MONITORED_FENCE_SIGNAL_ADDRESS_BASE_B = 0x260;
    /// Starts the picture ([`execute`](super::execute)).
    EXECUTE = 0x300;
    /// Runs the semaphore operation after what went before ([`semaphore_d`](super::semaphore_d)).
    SEMAPHORE_D = 0x304;
    /// Address of a condition, upper half. NVC6B0 and later.
    SET_PREDICATION_OFFSET_UPPER = 0x308;
    /// Address of a condition, lower half. NVC6B0 and later.
    SET_PREDICATION_OFFSET_LOWER = 0x30c;
    /// Auxiliary data. NVC7B0 and later.
    SET_AUXILIARY_DATA_BUFFER = 0x310;
    /// Codec and timers ([`set_control_params`](super::set_control_params)).
    SET_CONTROL_PARAMS = 0x400;
    /// The picture descriptor.
    SET_DRV_PIC_SETUP_OFFSET = 0x404;
    /// The bitstream.
    SET_IN_BUF_BASE_OFFSET = 0x408;
    /// Running number of the picture.
    SET_PICTURE_INDEX = 0x40c;
    /// Slice offsets; not HEVC.
    SET_SLICE_OFFSETS_BUF_OFFSET = 0x410;
    /// Collocated motion vectors, base of all slots.
    SET_COLOC_DATA_OFFSET = 0x414;
    /// History buffer; not HEVC.
    SET_HISTORY_OFFSET = 0x418;
    /// Second output, size.
    SET_DISPLAY_BUF_SIZE = 0x41c;
    /// Luma histogram.
    SET_HISTOGRAM_OFFSET = 0x420;
    /// Where the status is written.
    SET_NVDEC_STATUS_OFFSET = 0x424;
    /// Second output, luma.
    SET_DISPLAY_BUF_LUMA_OFFSET = 0x428;
    /// Second output, chroma.
    SET_DISPLAY_BUF_CHROMA_OFFSET = 0x42c;
    /// Luma plane of each place of the picture table.
    SET_PICTURE_LUMA_OFFSET[17; 4] = 0x430;
    /// Chroma plane of each place of the picture table.
    SET_PICTURE_CHROMA_OFFSET[17; 4] = 0x474;
    /// Scratch; not HEVC.
    SET_PIC_SCRATCH_BUF_OFFSET = 0x4b8;
    /// Motion vectors for concealment.
    SET_EXTERNAL_MVBUFFER_OFFSET = 0x4bc;
    /// Content protection. NVC7B0 and later.
    SET_SUB_SAMPLE_MAP_OFFSET = 0x4c0;
    /// Content protection. NVC7B0 and later.
    SET_SUB_SAMPLE_MAP_IV_OFFSET = 0x4c4;
    /// Line buffer of intra prediction. NVC7B0 and later.
    SET_INTRA_TOP_BUF_OFFSET = 0x4c8;
    /// Tile sizes, any codec. NVC7B0 and later.
    SET_TILE_SIZE_BUF_OFFSET = 0x4cc;
    /// Filter buffer, any codec. NVC7B0 and later.
    SET_FILTER_BUFFER_OFFSET = 0x4d0;
    /// Golden checksums. NVC7B0 and later.
    SET_CRC_STRUCT_OFFSET = 0x4d4;
    /// Content protection. NVC7B0 and later.
    SET_PR_SSM_CONTENT_INFO_BUF_OFFSET = 0x4d8;
    /// H.264 macroblock history.
    H264_SET_MBHIST_BUF_OFFSET = 0x500;
    /// VP8 probabilities.
    VP8_SET_PROB_DATA_OFFSET = 0x540;
    /// VP8 header partition.
    VP8_SET_HEADER_PARTITION_BUF_BASE_OFFSET = 0x544;
    /// HEVC scaling lists.
    HEVC_SET_SCALING_LIST_OFFSET = 0x580;
    /// HEVC tile sizes, also for one tile.
    HEVC_SET_TILE_SIZES_OFFSET = 0x584;
    /// HEVC filter buffer; the descriptor holds the offsets of its areas.
    HEVC_SET_FILTER_BUFFER_OFFSET = 0x588;
    /// HEVC SAO buffer; not used by public drivers.
    HEVC_SET_SAO_BUFFER_OFFSET = 0x58c;
    /// HEVC slice-level decoding.
    HEVC_SET_SLICE_INFO_BUFFER_OFFSET = 0x590;
    /// HEVC slice-level decoding.
    HEVC_SET_SLICE_GROUP_INDEX = 0x594;
    /// VP9 probabilities.
    VP9_SET_PROB_TAB_BUF_OFFSET = 0x5c0;
    /// VP9 counters.
    VP9_SET_CTX_COUNTER_BUF_OFFSET = 0x5c4;
    /// VP9 segment map read.
    VP9_SET_SEGMENT_READ_BUF_OFFSET = 0x5c8;
    /// VP9 segment map written.
    VP9_SET_SEGMENT_WRITE_BUF_OFFSET = 0x5cc;
    /// VP9 tile sizes.
    VP9_SET_TILE_SIZE_BUF_OFFSET = 0x5d0;
    /// VP9 motion vectors written.
    VP9_SET_COL_MVWRITE_BUF_OFFSET = 0x5d4;
    /// VP9 motion vectors read.
    VP9_SET_COL_MVREAD_BUF_OFFSET = 0x5d8;
    /// VP9 filter buffer.
    VP9_SET_FILTER_BUFFER_OFFSET = 0x5dc;
    /// VP9 with parser. NVC6B0 and later.
    VP9_PARSER_SET_PIC_SETUP_OFFSET = 0x5e0;
    /// VP9 with parser. NVC6B0 and later.
    VP9_PARSER_SET_PREV_PIC_SETUP_OFFSET = 0x5e4;
    /// VP9 with parser. NVC6B0 and later.
    VP9_PARSER_SET_PROB_TAB_BUF_OFFSET = 0x5e8;
    /// VP9 hints. NVC9B0.
    VP9_SET_HINT_DUMP_BUF_OFFSET = 0x5ec;
    /// Content protection.
    PASS1_SET_CLEAR_HEADER_OFFSET = 0x600;
    /// Content protection.
    PASS1_SET_RE_ENCRYPT_OFFSET = 0x604;
    /// Content protection.
    PASS1_SET_VP8_TOKEN_OFFSET = 0x608;
    /// Content protection.
    PASS1_SET_INPUT_DATA_OFFSET = 0x60c;
    /// Content protection.
    PASS1_SET_OUTPUT_DATA_SIZE_OFFSET = 0x610;
    /// AV1. NVC7B0 and later.
    AV1_SET_PROB_TAB_READ_BUF_OFFSET = 0x640;
    /// AV1. NVC7B0 and later.
    AV1_SET_PROB_TAB_WRITE_BUF_OFFSET = 0x644;
    /// AV1. NVC7B0 and later.
    AV1_SET_SEGMENT_READ_BUF_OFFSET = 0x648;
    /// AV1. NVC7B0 and later.
    AV1_SET_SEGMENT_WRITE_BUF_OFFSET = 0x64c;
    /// AV1. NVC7B0 and later.
    AV1_SET_COL_MV0_READ_BUF_OFFSET = 0x650;
    /// AV1. NVC7B0 and later.
    AV1_SET_COL_MV1_READ_BUF_OFFSET = 0x654;
    /// AV1. NVC7B0 and later.
    AV1_SET_COL_MV2_READ_BUF_OFFSET = 0x658;
    /// AV1. NVC7B0 and later.
    AV1_SET_COL_MVWRITE_BUF_OFFSET = 0x65c;
    /// AV1. NVC7B0 and later.
    AV1_SET_GLOBAL_MODEL_BUF_OFFSET = 0x660;
    /// AV1. NVC7B0 and later.
    AV1_SET_FILM_GRAIN_BUF_OFFSET = 0x664;
    /// AV1. NVC7B0 and later.
    AV1_SET_TILE_STREAM_INFO_BUF_OFFSET = 0x668;
    /// AV1. NVC7B0 and later.
    AV1_SET_SUB_STREAM_ENTRY_BUF_OFFSET = 0x66c;
    /// AV1 hints. NVC9B0.
    AV1_SET_HINT_DUMP_BUF_OFFSET = 0x670;
    /// Second H.264 firmware. NVC7B0 and later.
    H264_SET_SCALING_LIST_OFFSET = 0x680;
    /// Second H.264 firmware. NVC7B0 and later.
    H264_SET_VLDHIST_BUF_OFFSET = 0x684;
    /// Second H.264 firmware. NVC7B0 and later.
    H264_SET_EDOBOFFSET0 = 0x688;
    /// Second H.264 firmware. NVC7B0 and later.
    H264_SET_EDOBOFFSET1 = 0x68c;
    /// Second H.264 firmware. NVC7B0 and later.
    H264_SET_EDOBOFFSET2 = 0x690;
    /// Second H.264 firmware. NVC7B0 and later.
    H264_SET_EDOBOFFSET3 = 0x694;
    /// Ends a performance measurement.
    PM_TRIGGER_END = 0x1114;
}

/// A method that public drivers send to NVCFB0 and no published header names: a further scratch buffer of 2 MiB.
pub const UNNAMED_SCRATCH_OFFSET_4DC: u32 = 0x4dc;
