//! The HEVC picture descriptor, `nvdec_hevc_pic_s` of nvdec_drv.h (open-gpu-doc).

bits! {
    /// `nvdec_hevc_pic_s`: what SET_DRV_PIC_SETUP_OFFSET points at for HEVC. 256-byte aligned; older firmware reads
    /// less of it, newer firmware reads past it, so upload at least [`HEVC_PIC_UPLOAD_SIZE`](HEVC_PIC_UPLOAD_SIZE)
    /// zero-padded bytes.
    pub mod hevc_pic (276 bytes) {
        /// Content protection; 0.
        wrapped_session_key[4; 32] = 0x0 [31:0];
        /// Content protection; 0.
        wrapped_content_key[4; 32] = 0x10 [31:0];
        /// Content protection; 0.
        initialization_vector[4; 32] = 0x20 [31:0];
        /// Bytes of the bitstream of this picture, start codes included.
        stream_len = 0x30 [31:0];
        /// Content protection; 0.
        enable_encryption = 0x34 [31:0];
        /// Content protection; 0.
        key_increment = 0x38 [5:0];
        /// Content protection; 0.
        encryption_mode = 0x38 [9:6];
        /// Content protection; 0.
        key_slot_index = 0x38 [13:10];
        /// Content protection; 0.
        ssm_en = 0x38 [14:14];
        /// Write a luma histogram to SET_HISTOGRAM_OFFSET.
        enable_histogram = 0x38 [15:15];
        /// Decode substreams. NVDEC 5.0 and later.
        enable_substream_decoding = 0x38 [16:16];
        /// Engine cycles until the picture is given up; 0 is the firmware's default of 2^27.
        gptimer_timeout_value = 0x3c [31:0];
        /// Tiling of the surfaces.
        tileformat = 0x40 [1:0] { tileformat_TBL = 0, tileformat_KBL = 1, tileformat_16x16 = 2 };
        /// GOBs of a block, as a power of two, minus 1.
        gob_height = 0x40 [4:2];
        /// The bitstream holds start codes.
        sw_start_code_e = 0x40 [15:8];
        /// Depth of the samples written.
        disp_output_mode = 0x40 [23:16] { disp_output_mode_8BIT = 0, disp_output_mode_16BIT = 1, disp_output_mode_10_TO_8_BT709 = 2, disp_output_mode_10_TO_8_BT2020 = 3 };
        /// Samples, not bytes, from line to line of luma and of chroma.
        framestride[2; 32] = 0x44 [31:0];
        /// Bytes of one slot of the collocated motion vectors, divided by 256.
        colMvBuffersize = 0x4c [31:0];
        /// Start of the SAO area in the filter buffer, divided by 256.
        HevcSaoBufferOffset = 0x50 [31:0];
        /// Start of the bitstream decoder's area in the filter buffer, divided by 256.
        HevcBsdCtrlOffset = 0x54 [31:0];
        /// SPS.
        pic_width_in_luma_samples = 0x58 [15:0];
        /// SPS.
        pic_height_in_luma_samples = 0x58 [31:16];
        /// SPS.
        chroma_format_idc = 0x5c [3:0];
        /// SPS, the depth itself. Must equal that of chroma.
        bit_depth_luma = 0x5c [7:4];
        /// SPS, the depth itself.
        bit_depth_chroma = 0x5c [11:8];
        /// SPS, the logarithm itself.
        log2_min_luma_coding_block_size = 0x5c [15:12];
        /// SPS, the logarithm itself: CtbLog2SizeY.
        log2_max_luma_coding_block_size = 0x5c [19:16];
        /// SPS, the logarithm itself.
        log2_min_transform_block_size = 0x5c [23:20];
        /// SPS, the logarithm itself.
        log2_max_transform_block_size = 0x5c [27:24];
        /// SPS.
        max_transform_hierarchy_depth_inter = 0x60 [2:0];
        /// SPS.
        max_transform_hierarchy_depth_intra = 0x60 [5:3];
        /// SPS, scaling_list_enabled_flag.
        scalingListEnable = 0x60 [6:6];
        /// SPS, amp_enabled_flag.
        amp_enable_flag = 0x60 [7:7];
        /// SPS.
        sample_adaptive_offset_enabled_flag = 0x60 [8:8];
        /// SPS.
        pcm_enabled_flag = 0x60 [9:9];
        /// SPS, the depth itself; 0 without PCM.
        pcm_sample_bit_depth_luma = 0x60 [13:10];
        /// SPS, the depth itself; 0 without PCM.
        pcm_sample_bit_depth_chroma = 0x60 [17:14];
        /// SPS, the logarithm itself; 0 without PCM.
        log2_min_pcm_luma_coding_block_size = 0x60 [21:18];
        /// SPS, the logarithm itself; 0 without PCM.
        log2_max_pcm_luma_coding_block_size = 0x60 [25:22];
        /// SPS.
        pcm_loop_filter_disabled_flag = 0x60 [26:26];
        /// SPS.
        sps_temporal_mvp_enabled_flag = 0x60 [27:27];
        /// SPS.
        strong_intra_smoothing_enabled_flag = 0x60 [28:28];
        /// PPS.
        dependent_slice_segments_enabled_flag = 0x64 [0:0];
        /// PPS.
        output_flag_present_flag = 0x64 [1:1];
        /// PPS.
        num_extra_slice_header_bits = 0x64 [4:2];
        /// PPS.
        sign_data_hiding_enabled_flag = 0x64 [5:5];
        /// PPS.
        cabac_init_present_flag = 0x64 [6:6];
        /// PPS, minus1 + 1.
        num_ref_idx_l0_default_active = 0x64 [10:7];
        /// PPS, minus1 + 1.
        num_ref_idx_l1_default_active = 0x64 [14:11];
        /// PPS: 26 + init_qp_minus26 + 6 * (bit_depth_luma - 8).
        init_qp = 0x64 [21:15];
        /// PPS.
        constrained_intra_pred_flag = 0x64 [22:22];
        /// PPS.
        transform_skip_enabled_flag = 0x64 [23:23];
        /// PPS.
        cu_qp_delta_enabled_flag = 0x64 [24:24];
        /// PPS.
        diff_cu_qp_delta_depth = 0x64 [26:25];
        /// PPS.
        pps_cb_qp_offset: signed = 0x68 [7:0];
        /// PPS.
        pps_cr_qp_offset: signed = 0x68 [15:8];
        /// PPS, pps_beta_offset_div2 times 2.
        pps_beta_offset: signed = 0x68 [23:16];
        /// PPS, pps_tc_offset_div2 times 2.
        pps_tc_offset: signed = 0x68 [31:24];
        /// PPS.
        pps_slice_chroma_qp_offsets_present_flag = 0x6c [0:0];
        /// PPS.
        weighted_pred_flag = 0x6c [1:1];
        /// PPS.
        weighted_bipred_flag = 0x6c [2:2];
        /// PPS.
        transquant_bypass_enabled_flag = 0x6c [3:3];
        /// PPS.
        tiles_enabled_flag = 0x6c [4:4];
        /// PPS.
        entropy_coding_sync_enabled_flag = 0x6c [5:5];
        /// PPS, the count itself; 0 without tiles.
        num_tile_columns = 0x6c [10:6];
        /// PPS, the count itself; 0 without tiles.
        num_tile_rows = 0x6c [15:11];
        /// PPS.
        loop_filter_across_tiles_enabled_flag = 0x6c [16:16];
        /// PPS.
        loop_filter_across_slices_enabled_flag = 0x6c [17:17];
        /// PPS.
        deblocking_filter_control_present_flag = 0x6c [18:18];
        /// PPS.
        deblocking_filter_override_enabled_flag = 0x6c [19:19];
        /// PPS.
        pps_deblocking_filter_disabled_flag = 0x6c [20:20];
        /// PPS.
        lists_modification_present_flag = 0x6c [21:21];
        /// PPS, the logarithm itself.
        log2_parallel_merge_level = 0x6c [24:22];
        /// PPS.
        slice_segment_header_extension_present_flag = 0x6c [25:25];
        /// NumPicTotalCurr (7-55), not the fullness of the picture buffer.
        num_ref_frames = 0x70 [7:0];
        /// Bit 15 - i is set when picture place i holds a long-term reference.
        longtermflag = 0x70 [31:16];
        /// Initial reference list 0 (8.3.4) as picture places, repeated to 16 entries.
        initreflistidxl0[16; 8] = 0x74 [7:0];
        /// Initial reference list 1 (8.3.4) as picture places, repeated to 16 entries.
        initreflistidxl1[16; 8] = 0x84 [7:0];
        /// Order count of the current picture minus that of the picture in place i, clipped to -128..=127.
        RefDiffPicOrderCnts[16; 16]: signed = 0x94 [15:0];
        /// The picture is an IDR picture.
        IDR_picture_flag = 0xb4 [7:0];
        /// The picture is an IRAP picture.
        RAP_picture_flag = 0xb4 [15:8];
        /// Place of the current picture, which also selects its slot of motion vectors.
        curr_pic_idx = 0xb4 [23:16];
        /// Dither pattern; 2 is none.
        pattern_id = 0xb4 [31:24];
        /// Bits of the slice header from after slice_type up to slice_temporal_mvp_enabled_flag, without emulation prevention.
        sw_hdr_skip_length = 0xb8 [15:0];
        /// Words of nvdec_ecdma_config_s, debugging; 0.
        ecdma_cfg[6; 32] = 0xbc [31:0];
        /// SPS.
        separate_colour_plane_flag = 0xd4 [0:0];
        /// SPS.
        log2_max_pic_order_cnt_lsb_minus4 = 0xd4 [4:1];
        /// SPS.
        num_short_term_ref_pic_sets = 0xd4 [11:5];
        /// SPS.
        num_long_term_ref_pics_sps = 0xd4 [17:12];
        /// Do not parse the slice header's reference sets.
        bBitParsingDisable = 0xd4 [18:18];
        /// NumDeltaPocs of the set that the slice's own set is predicted from.
        num_delta_pocs_of_rps_idx = 0xd4 [26:19];
        /// SPS.
        long_term_ref_pics_present_flag = 0xd4 [27:27];
        /// Bits of st_ref_pic_set() in the slice header; 0 when the SPS has the set.
        num_bits_short_term_ref_pics_in_slice = 0xd8 [31:0];
        /// SPS range extension.
        transformSkipRotationEnableFlag = 0xdc [0:0];
        /// SPS range extension.
        transformSkipContextEnableFlag = 0xdc [1:1];
        /// 0.
        intraBlockCopyEnableFlag = 0xdc [2:2];
        /// SPS range extension.
        implicitRdpcmEnableFlag = 0xdc [3:3];
        /// SPS range extension.
        explicitRdpcmEnableFlag = 0xdc [4:4];
        /// SPS range extension; 0.
        extendedPrecisionProcessingFlag = 0xdc [5:5];
        /// SPS range extension.
        intraSmoothingDisabledFlag = 0xdc [6:6];
        /// SPS range extension.
        highPrecisionOffsetsEnableFlag = 0xdc [7:7];
        /// SPS range extension, persistent_rice_adaptation_enabled_flag.
        fastRiceAdaptationEnableFlag = 0xdc [8:8];
        /// SPS range extension; 0.
        cabacBypassAlignmentEnableFlag = 0xdc [9:9];
        /// PPS range extension, the logarithm itself; 2 without the extension.
        log2MaxTransformSkipSize = 0xe0 [3:0];
        /// PPS range extension.
        crossComponentPredictionEnableFlag = 0xe0 [4:4];
        /// PPS range extension.
        chromaQpAdjustmentEnableFlag = 0xe0 [5:5];
        /// PPS range extension.
        diffCuChromaQpAdjustmentDepth = 0xe0 [7:6];
        /// PPS range extension: chroma_qp_offset_list_len_minus1 + 1; 0 when disabled.
        chromaQpAdjustmentTableSize = 0xe0 [10:8];
        /// PPS range extension.
        log2SaoOffsetScaleLuma = 0xe0 [13:11];
        /// PPS range extension.
        log2SaoOffsetScaleChroma = 0xe0 [16:14];
        /// PPS range extension, cb_qp_offset_list.
        cb_qp_adjustment[6; 8]: signed = 0xe4 [7:0];
        /// PPS range extension, cr_qp_offset_list.
        cr_qp_adjustment[6; 8]: signed = 0xe8 [23:16];
        /// Start of the area for filtering across rows in the filter buffer, divided by 256.
        HevcFltAboveOffset = 0xf0 [31:0];
        /// Start of the area for SAO across rows in the filter buffer, divided by 256.
        HevcSaoAboveOffset = 0xf4 [31:0];
        /// Content protection; 0.
        sw_skip_start_length = 0xf8 [13:0];
        /// 0.
        external_ref_mem_dis = 0xf8 [14:14];
        /// Where concealment starts.
        error_recovery_start_pos = 0xf8 [16:15] { error_recovery_start_pos_FRAME = 0, error_recovery_start_pos_SLICE_SEGMENT = 1, error_recovery_start_pos_CTB = 2 };
        /// Conceal with the motion vectors at SET_EXTERNAL_MVBUFFER_OFFSET.
        error_external_mv_en = 0xf8 [17:17];
        /// Multiview; 0.
        mv_hevc_enable = 0xfc [0:0];
        /// Multiview; 0.
        nuh_layer_id = 0xfc [6:1];
        /// Multiview; 0.
        default_ref_layers_active_flag = 0xfc [7:7];
        /// Multiview; 0.
        NumDirectRefLayers = 0xfc [13:8];
        /// Multiview; 0.
        max_one_active_ref_layer_flag = 0xfc [14:14];
        /// Multiview; 0.
        NumActiveRefLayerPics = 0xfc [20:15];
        /// Multiview; 0.
        poc_lsb_not_present_flag = 0xfc [21:21];
        /// Decode slice by slice.
        slice_decoding_enable = 0x100 [0:0];
        /// Conceal slice by slice.
        slice_ec_enable = 0x100 [1:1];
        /// Motion vectors used for concealment.
        slice_ec_mv_type = 0x100 [3:2] { slice_ec_mv_type_ZERO = 0, slice_ec_mv_type_COLLOCATED = 1, slice_ec_mv_type_EXTERNAL = 2 };
        /// The driver knows the picture to be damaged.
        err_detected_sw = 0x100 [4:4];
        /// Slice type used for concealment.
        slice_ec_slice_type = 0x100 [6:5] { slice_ec_slice_type_B = 0, slice_ec_slice_type_P = 1 };
        /// The bitstream buffer is given anew for each slice.
        slice_strm_recfg_en = 0x100 [7:7];
        /// Start of the slice-edge area in the filter buffer, divided by 256.
        HevcSliceEdgeOffset = 0x104 [31:0];
        /// Words of nvdec_pass2_otf_ext_s, content protection; 0.
        ssm[3; 32] = 0x108 [31:0];
    }
}

/// Bytes to upload: the descriptor and what newer firmware reads past it.
pub const HEVC_PIC_UPLOAD_SIZE: usize = 0x200;
/// Byte offset of a word past the public structure that Blackwell needs.
pub const HEVC_PIC_BLACKWELL_WORD: usize = 0x11c;
/// Value of the word at [`HEVC_PIC_BLACKWELL_WORD`], as published for GB20x.
pub const HEVC_PIC_BLACKWELL_VALUE: u32 = 0x10;
/// Places of the picture table that lists and order counts can name.
pub const HEVC_PIC_PLACES: usize = 16;
