//! Method addresses of the NVDEC classes, from clc9b0.h. `since` is the first of the published headers (NVC5B0, NVC6B0,
//! NVC7B0, NVC9B0) that has a method, where that is not NVC5B0's.

methods! {
    /// Binds the class to the subchannel.
    SET_OBJECT = 0x0;
    /// Does nothing.
    NOP = 0x100;
    /// Starts a performance measurement.
    PM_TRIGGER = 0x140, since NVC6B0_VIDEO_DECODER;
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
    /// Low half of a 64-bit payload.
    SET_SEMAPHORE_PAYLOAD_LOWER = 0x254, since NVC7B0_VIDEO_DECODER;
    /// High half of a 64-bit payload.
    SET_SEMAPHORE_PAYLOAD_UPPER = 0x258, since NVC7B0_VIDEO_DECODER;
    /// Monitored fence.
    SET_MONITORED_FENCE_SIGNAL_ADDRESS_BASE_A = 0x25c, since NVC7B0_VIDEO_DECODER;
    /// Monitored fence.
    SET_MONITORED_FENCE_SIGNAL_ADDRESS_BASE_B = 0x260, since NVC7B0_VIDEO_DECODER;
    /// Starts the picture ([`execute`](super::execute)).
    EXECUTE = 0x300;
    /// Runs the semaphore operation after what went before ([`semaphore_d`](super::semaphore_d)).
    SEMAPHORE_D = 0x304;
    /// Address of a condition, upper half.
    SET_PREDICATION_OFFSET_UPPER = 0x308, since NVC6B0_VIDEO_DECODER;
    /// Address of a condition, lower half.
    SET_PREDICATION_OFFSET_LOWER = 0x30c, since NVC6B0_VIDEO_DECODER;
    /// Auxiliary data.
    SET_AUXILIARY_DATA_BUFFER = 0x310, since NVC7B0_VIDEO_DECODER;
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
    /// Content protection.
    SET_SUB_SAMPLE_MAP_OFFSET = 0x4c0, since NVC7B0_VIDEO_DECODER;
    /// Content protection.
    SET_SUB_SAMPLE_MAP_IV_OFFSET = 0x4c4, since NVC7B0_VIDEO_DECODER;
    /// Line buffer of intra prediction.
    SET_INTRA_TOP_BUF_OFFSET = 0x4c8, since NVC7B0_VIDEO_DECODER;
    /// Tile sizes, any codec.
    SET_TILE_SIZE_BUF_OFFSET = 0x4cc, since NVC7B0_VIDEO_DECODER;
    /// Filter buffer, any codec.
    SET_FILTER_BUFFER_OFFSET = 0x4d0, since NVC7B0_VIDEO_DECODER;
    /// Golden checksums.
    SET_CRC_STRUCT_OFFSET = 0x4d4, since NVC7B0_VIDEO_DECODER;
    /// Content protection.
    SET_PR_SSM_CONTENT_INFO_BUF_OFFSET = 0x4d8, since NVC7B0_VIDEO_DECODER;
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
    /// VP9 with parser.
    VP9_PARSER_SET_PIC_SETUP_OFFSET = 0x5e0, since NVC6B0_VIDEO_DECODER;
    /// VP9 with parser.
    VP9_PARSER_SET_PREV_PIC_SETUP_OFFSET = 0x5e4, since NVC6B0_VIDEO_DECODER;
    /// VP9 with parser.
    VP9_PARSER_SET_PROB_TAB_BUF_OFFSET = 0x5e8, since NVC6B0_VIDEO_DECODER;
    /// VP9 hints.
    VP9_SET_HINT_DUMP_BUF_OFFSET = 0x5ec, since NVC9B0_VIDEO_DECODER;
    /// Content protection.
    PASS1_SET_CLEAR_HEADER_OFFSET = 0x600, since NVC7B0_VIDEO_DECODER;
    /// Content protection.
    PASS1_SET_RE_ENCRYPT_OFFSET = 0x604, since NVC7B0_VIDEO_DECODER;
    /// Content protection.
    PASS1_SET_VP8_TOKEN_OFFSET = 0x608, since NVC7B0_VIDEO_DECODER;
    /// Content protection.
    PASS1_SET_INPUT_DATA_OFFSET = 0x60c, since NVC7B0_VIDEO_DECODER;
    /// Content protection.
    PASS1_SET_OUTPUT_DATA_SIZE_OFFSET = 0x610, since NVC7B0_VIDEO_DECODER;
    /// AV1.
    AV1_SET_PROB_TAB_READ_BUF_OFFSET = 0x640, since NVC7B0_VIDEO_DECODER;
    /// AV1.
    AV1_SET_PROB_TAB_WRITE_BUF_OFFSET = 0x644, since NVC7B0_VIDEO_DECODER;
    /// AV1.
    AV1_SET_SEGMENT_READ_BUF_OFFSET = 0x648, since NVC7B0_VIDEO_DECODER;
    /// AV1.
    AV1_SET_SEGMENT_WRITE_BUF_OFFSET = 0x64c, since NVC7B0_VIDEO_DECODER;
    /// AV1.
    AV1_SET_COL_MV0_READ_BUF_OFFSET = 0x650, since NVC7B0_VIDEO_DECODER;
    /// AV1.
    AV1_SET_COL_MV1_READ_BUF_OFFSET = 0x654, since NVC7B0_VIDEO_DECODER;
    /// AV1.
    AV1_SET_COL_MV2_READ_BUF_OFFSET = 0x658, since NVC7B0_VIDEO_DECODER;
    /// AV1.
    AV1_SET_COL_MVWRITE_BUF_OFFSET = 0x65c, since NVC7B0_VIDEO_DECODER;
    /// AV1.
    AV1_SET_GLOBAL_MODEL_BUF_OFFSET = 0x660, since NVC7B0_VIDEO_DECODER;
    /// AV1.
    AV1_SET_FILM_GRAIN_BUF_OFFSET = 0x664, since NVC7B0_VIDEO_DECODER;
    /// AV1.
    AV1_SET_TILE_STREAM_INFO_BUF_OFFSET = 0x668, since NVC7B0_VIDEO_DECODER;
    /// AV1.
    AV1_SET_SUB_STREAM_ENTRY_BUF_OFFSET = 0x66c, since NVC7B0_VIDEO_DECODER;
    /// AV1 hints.
    AV1_SET_HINT_DUMP_BUF_OFFSET = 0x670, since NVC9B0_VIDEO_DECODER;
    /// Second H.264 firmware.
    H264_SET_SCALING_LIST_OFFSET = 0x680, since NVC7B0_VIDEO_DECODER;
    /// Second H.264 firmware.
    H264_SET_VLDHIST_BUF_OFFSET = 0x684, since NVC7B0_VIDEO_DECODER;
    /// Second H.264 firmware.
    H264_SET_EDOBOFFSET0 = 0x688, since NVC7B0_VIDEO_DECODER;
    /// Second H.264 firmware.
    H264_SET_EDOBOFFSET1 = 0x68c, since NVC7B0_VIDEO_DECODER;
    /// Second H.264 firmware.
    H264_SET_EDOBOFFSET2 = 0x690, since NVC7B0_VIDEO_DECODER;
    /// Second H.264 firmware.
    H264_SET_EDOBOFFSET3 = 0x694, since NVC7B0_VIDEO_DECODER;
    /// Ends a performance measurement.
    PM_TRIGGER_END = 0x1114, since NVC6B0_VIDEO_DECODER;
}

/// A method that public drivers send to NVCFB0 and no published header names: a further scratch buffer of 2 MiB.
pub const UNNAMED_SCRATCH_OFFSET_4DC: u32 = 0x4dc;
