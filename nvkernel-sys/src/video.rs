//! Methods and structures of the NVDEC video decoders.
//!
//! From clc9b0.h and nvdec_drv.h of open-gpu-doc. The HEVC methods have the same addresses in every published header,
//! from NVC5B0 to NVC9B0. **Every buffer method takes a GPU address divided by 256 in 32 bits**: buffers are 256-byte
//! aligned and lie below 2^40.

mod hevc;
mod methods;

pub use crate::generated::engine::nvdec_status_hevc_s;
pub use hevc::*;
pub use methods::*;

/// Data of [`SET_APPLICATION_ID`]: MPEG-1 and MPEG-2.
pub const APPLICATION_ID_MPEG12: u32 = 1;
/// Data of [`SET_APPLICATION_ID`]: VC-1.
pub const APPLICATION_ID_VC1: u32 = 2;
/// Data of [`SET_APPLICATION_ID`]: H.264.
pub const APPLICATION_ID_H264: u32 = 3;
/// Data of [`SET_APPLICATION_ID`]: MPEG-4 part 2.
pub const APPLICATION_ID_MPEG4: u32 = 4;
/// Data of [`SET_APPLICATION_ID`]: VP8.
pub const APPLICATION_ID_VP8: u32 = 5;
/// Data of [`SET_APPLICATION_ID`]: HEVC.
pub const APPLICATION_ID_HEVC: u32 = 7;
/// Data of [`SET_APPLICATION_ID`]: H.264, second firmware. NVC7B0 and later.
pub const APPLICATION_ID_NEW_H264: u32 = 8;
/// Data of [`SET_APPLICATION_ID`]: VP9.
pub const APPLICATION_ID_VP9: u32 = 9;
/// Data of [`SET_APPLICATION_ID`]: HEVC, parser only.
pub const APPLICATION_ID_HEVC_PARSER: u32 = 12;
/// Data of [`SET_APPLICATION_ID`]: VP9 with the header parsed by the engine. NVC6B0 and later.
pub const APPLICATION_ID_VP9_WITH_PARSER: u32 = 17;
/// Data of [`SET_APPLICATION_ID`]: AV1. NVC7B0 and later.
pub const APPLICATION_ID_AV1: u32 = 18;

/// Places of the picture table: [`SET_PICTURE_LUMA_OFFSET`] and [`SET_PICTURE_CHROMA_OFFSET`].
pub const PICTURE_PLACES: usize = 17;

bits! {
    /// Data of [`SET_CONTROL_PARAMS`](SET_CONTROL_PARAMS).
    pub mod set_control_params (4 bytes) {
        /// The codec.
        CODEC_TYPE = 0x0 [3:0] {
            CODEC_TYPE_MPEG1 = 0,
            CODEC_TYPE_MPEG2 = 1,
            CODEC_TYPE_VC1 = 2,
            CODEC_TYPE_H264 = 3,
            CODEC_TYPE_MPEG4 = 4,
            CODEC_TYPE_DIVX3 = 4,
            CODEC_TYPE_VP8 = 5,
            CODEC_TYPE_HEVC = 7,
            CODEC_TYPE_VP9 = 9,
            CODEC_TYPE_AV1 = 0xa,
        };
        /// Give a picture up after `gptimer_timeout_value` cycles.
        GPTIMER_ON = 0x0 [4:4];
        /// Return on an error.
        RET_ERROR = 0x0 [5:5];
        /// Conceal damaged parts.
        ERR_CONCEAL_ON = 0x0 [6:6];
        /// Picture to conceal from; older codecs.
        ERROR_FRM_IDX = 0x0 [12:7];
        /// Limit the time of a block.
        MBTIMER_ON = 0x0 [13:13];
        /// Conceal intra pictures from their own slices.
        EC_INTRA_FRAME_USING_PSLC = 0x0 [14:14];
        /// Debugging. NVC6B0 and later.
        IGNORE_SOME_FIELDS_CRC_CHECK = 0x0 [15:15];
        /// Log events. NVC6B0 and later.
        EVENT_TRACE_LOGGING_ON = 0x0 [16:16];
        /// Hint: the picture is intra only.
        ALL_INTRA_FRAME = 0x0 [17:17];
        /// Environment. NVC7B0 and later.
        TESTRUN_ENV = 0x0 [19:18] {
            TESTRUN_ENV_TRACE3D_RUN = 0,
            TESTRUN_ENV_PROD_RUN = 1,
        };
        /// Dump hints. NVC9B0.
        HINT_DUMP_EN = 0x0 [20:20];
        /// Simulation only. NVC9B0.
        NVDECSIM_SKIP_SCP = 0x0 [26:26];
        /// Content protection. NVC7B0 and later.
        ENABLE_ENCRYPT = 0x0 [27:27];
        /// Content protection. NVC7B0 and later.
        ENCRYPTMODE = 0x0 [31:28];
    }

    /// Data of [`EXECUTE`](EXECUTE): starts the picture.
    pub mod execute (4 bytes) {
        /// Write a notification.
        NOTIFY = 0x0 [0:0] {
            NOTIFY_DISABLE = 0,
            NOTIFY_ENABLE = 1,
        };
        /// When.
        NOTIFY_ON = 0x0 [1:1] {
            NOTIFY_ON_END = 0,
            NOTIFY_ON_BEGIN = 1,
        };
        /// Run only when the word at SET_PREDICATION_OFFSET allows it. NVC6B0 and later.
        PREDICATION = 0x0 [2:2] {
            PREDICATION_DISABLE = 0,
            PREDICATION_ENABLE = 1,
        };
        /// What allows it.
        PREDICATION_OP = 0x0 [3:3] {
            PREDICATION_OP_EQUAL_ZERO = 0,
            PREDICATION_OP_NOT_EQUAL_ZERO = 1,
        };
        /// Raise an interrupt at the end.
        AWAKEN = 0x0 [8:8] {
            AWAKEN_DISABLE = 0,
            AWAKEN_ENABLE = 1,
        };
    }

    /// Data of [`SEMAPHORE_D`](SEMAPHORE_D). The Turing line (C4B0, C6B0, B8B0) has neither two-word structures nor 64-bit payloads.
    pub mod semaphore_d (4 bytes) {
        /// Words stored; four are the payload and, at byte 8, the time in nanoseconds.
        STRUCTURE_SIZE = 0x0 [1:0] {
            STRUCTURE_SIZE_ONE = 0,
            STRUCTURE_SIZE_FOUR = 1,
            STRUCTURE_SIZE_TWO = 2,
        };
        /// Raise a non-stalling interrupt.
        AWAKEN_ENABLE = 0x0 [8:8] {
            AWAKEN_ENABLE_FALSE = 0,
            AWAKEN_ENABLE_TRUE = 1,
        };
        /// Release, or only the interrupt.
        OPERATION = 0x0 [17:16] {
            OPERATION_RELEASE = 0,
            OPERATION_RESERVED_0 = 1,
            OPERATION_RESERVED_1 = 2,
            OPERATION_TRAP = 3,
        };
        /// Do not flush the picture before the release.
        FLUSH_DISABLE = 0x0 [21:21] {
            FLUSH_DISABLE_FALSE = 0,
            FLUSH_DISABLE_TRUE = 1,
        };
        /// Condition of a trap. NVC7B0 and later.
        TRAP_TYPE = 0x0 [23:22] {
            TRAP_TYPE_UNCONDITIONAL = 0,
            TRAP_TYPE_CONDITIONAL = 1,
            TRAP_TYPE_CONDITIONAL_EXT = 2,
        };
        /// Bits of the payload. NVC7B0 and later.
        PAYLOAD_SIZE = 0x0 [24:24] {
            PAYLOAD_SIZE_32BIT = 0,
            PAYLOAD_SIZE_64BIT = 1,
        };
    }

    /// `nvdec_status_s` with the statistics of HEVC (nvdec_drv.h): the verdict on a picture. A picture is good when
    /// `mbs_in_error`, `error_status` and `slice_header_error_code` are all zero.
    pub mod nvdec_status (56 bytes) {
        /// 16x16 blocks decoded.
        mbs_correctly_decoded = 0x0 [31:0];
        /// 16x16 blocks in error.
        mbs_in_error = 0x4 [31:0];
        /// Engine cycles; public drivers multiply by 16 to get clock cycles.
        cycle_count = 0x8 [31:0];
        /// Error code ([`error_name`](super::error_name)).
        error_status = 0xc [31:0];
        /// Intra blocks, in 8x8 units.
        frame_status_intra_cnt = 0x10 [31:0];
        /// Inter blocks, in 8x8 units.
        frame_status_inter_cnt = 0x14 [31:0];
        /// Skipped blocks, in 4x4 units.
        frame_status_skip_cnt = 0x18 [31:0];
        /// Sum of the absolute forward motion vectors, x.
        frame_status_fwd_mvx_cnt = 0x1c [31:0];
        /// Sum of the absolute forward motion vectors, y.
        frame_status_fwd_mvy_cnt = 0x20 [31:0];
        /// Sum of the absolute backward motion vectors, x.
        frame_status_bwd_mvx_cnt = 0x24 [31:0];
        /// Sum of the absolute backward motion vectors, y.
        frame_status_bwd_mvy_cnt = 0x28 [31:0];
        /// Row of the coding tree block in error.
        error_ctb_pos_y = 0x2c [15:0];
        /// Column of the coding tree block in error.
        error_ctb_pos_x = 0x2c [31:16];
        /// Row of the slice in error.
        error_slice_pos_y = 0x30 [15:0];
        /// Column of the slice in error.
        error_slice_pos_x = 0x30 [31:16];
        /// Error in a slice header.
        slice_header_error_code = 0x34 [31:0];
    }
}

/// What is published about an `error_status`: the operating system of the engine and the bitstream units. There is no
/// public list for HEVC.
pub fn error_name(code: u32) -> Option<&'static str> {
    Some(match code {
        0 => "none",
        1 => "OS_ERROR_EXECUTE_INSUFFICIENT_DATA",
        2 => "OS_ERROR_SEMAPHORE_INSUFFICIENT_DATA",
        3 => "OS_ERROR_INVALID_METHOD",
        4 => "OS_ERROR_INVALID_DMA_PAGE",
        5 => "OS_ERROR_UNHANDLED_INTERRUPT",
        6 => "OS_ERROR_EXCEPTION",
        7 => "OS_ERROR_INVALID_CTXSW_REQUEST",
        8 => "OS_ERROR_APPLICATION",
        9 => "OS_ERROR_SW_BREAKPT",
        0x100 => "OS_INTERRUPT_EXECUTE_AWAKEN",
        0x200 => "OS_INTERRUPT_BACKEND_SEMAPHORE_AWAKEN",
        0x300 => "OS_INTERRUPT_CTX_ERROR_FBIF",
        0x400 => "OS_INTERRUPT_LIMIT_VIOLATION",
        0x500 => "OS_INTERRUPT_LIMIT_AND_FBIF_CTX_ERROR",
        0x600 => "OS_INTERRUPT_HALT_ENGINE",
        0x700 => "OS_INTERRUPT_TRAP_NONSTALL",
        0x7101 => "CMN_VLD_ERR_PDEC_RETURNED_ERROR",
        0x7102 => "CMN_VLD_ERR_EDOB_FLUSH_TIME_OUT",
        0x7103 => "CMN_VLD_ERR_EDOB_REWIND_TIME_OUT",
        0x7104 => "CMN_VLD_ERR_VLD_WD_TIME_OUT",
        0x7105 => "CMN_VLD_ERR_NUM_SLICES_ZERO",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_word_of_a_published_trace() {
        use set_control_params::*;
        let word = CODEC_TYPE.of(CODEC_TYPE_HEVC)
            | GPTIMER_ON.of(1)
            | ERR_CONCEAL_ON.of(1)
            | MBTIMER_ON.of(1)
            | EVENT_TRACE_LOGGING_ON.of(1)
            | TESTRUN_ENV.of(TESTRUN_ENV_PROD_RUN);
        assert_eq!(word, 0x52057);
    }

    #[test]
    fn descriptor_offsets() {
        // From the measured offsets of the public header.
        let at = |f: crate::bits::Field| (f.bit(0) / 8, f.bit(0) % 8);
        assert_eq!(at(hevc_pic::stream_len), (0x30, 0));
        assert_eq!(at(hevc_pic::enable_histogram), (0x39, 7));
        assert_eq!(at(hevc_pic::tileformat), (0x40, 0));
        assert_eq!(at(hevc_pic::disp_output_mode), (0x42, 0));
        assert_eq!(at(hevc_pic::framestride), (0x44, 0));
        assert_eq!(at(hevc_pic::colMvBuffersize), (0x4c, 0));
        assert_eq!(at(hevc_pic::pic_height_in_luma_samples), (0x5a, 0));
        assert_eq!(at(hevc_pic::init_qp), (0x65, 7));
        assert_eq!(at(hevc_pic::pps_tc_offset), (0x6b, 0));
        assert_eq!(at(hevc_pic::longtermflag), (0x72, 0));
        assert_eq!(at(hevc_pic::initreflistidxl1), (0x84, 0));
        assert_eq!(hevc_pic::RefDiffPicOrderCnts.bit(15), (0x94 + 30) * 8);
        assert_eq!(at(hevc_pic::curr_pic_idx), (0xb6, 0));
        assert_eq!(at(hevc_pic::sw_hdr_skip_length), (0xb8, 0));
        assert_eq!(at(hevc_pic::num_delta_pocs_of_rps_idx), (0xd6, 3));
        assert_eq!(at(hevc_pic::log2MaxTransformSkipSize), (0xe0, 0));
        assert_eq!(at(hevc_pic::cr_qp_adjustment), (0xea, 0));
        assert_eq!(at(hevc_pic::HevcSliceEdgeOffset), (0x104, 0));
        assert_eq!(size_of::<nvdec_status_hevc_s>(), nvdec_status::SIZE);
    }
}
