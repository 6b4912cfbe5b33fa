//! Parsed structures as named syntax elements, so that they can be compared with what another parser read.

use std::collections::HashMap;
use std::fmt::Display;

use hevc::hrd::HrdParameters;
use hevc::ptl::ProfileTierLevel;
use hevc::scaling::ScalingList;
use hevc::st_ref_pic_set::StRefPicSet;
use hevc::vps::SubLayerOrdering;
use hevc::vui::{TimingInfo, Vui};
use hevc::{Picture, Pps, SliceSegment, SliceType, Sps, Vps};

type Elements = HashMap<String, String>;

/// Collects elements; flags are shown as 0 and 1.
#[derive(Default)]
struct Writer(Elements);

impl Writer {
    fn put(&mut self, name: impl Into<String>, value: impl Display) {
        self.0.insert(name.into(), value.to_string());
    }

    fn flag(&mut self, name: impl Into<String>, value: bool) {
        self.put(name, u8::from(value));
    }

    /// An element that occurs several times under one name: the values in order.
    fn repeat(&mut self, name: impl Into<String>, value: impl Display) {
        let entry = self.0.entry(name.into()).or_default();
        if !entry.is_empty() {
            entry.push('/');
        }
        *entry += &value.to_string();
    }
}

fn set(set: &StRefPicSet) -> String {
    let pics = set.pics().iter();
    let shown: Vec<String> =
        pics.map(|pic| format!("{}{}", pic.delta_poc, if pic.used_by_curr_pic { "u" } else { "" })).collect();
    if shown.is_empty() { "-".into() } else { shown.join(",") }
}

fn profile_tier_level(w: &mut Writer, ptl: &ProfileTierLevel) {
    let general = &ptl.general;
    w.put("general_profile_space", general.profile_space);
    w.flag("general_tier_flag", general.tier_flag);
    w.put("general_profile_idc", general.profile_idc);
    w.put("general_profile_compatibility_flags", general.compatibility_flags);
    w.flag("general_progressive_source_flag", general.progressive_source_flag);
    w.flag("general_interlaced_source_flag", general.interlaced_source_flag);
    w.flag("general_non_packed_constraint_flag", general.non_packed_constraint_flag);
    w.flag("general_frame_only_constraint_flag", general.frame_only_constraint_flag);
    w.flag("general_max_12bit_constraint_flag", general.max_12bit());
    w.flag("general_max_10bit_constraint_flag", general.max_10bit());
    w.flag("general_max_8bit_constraint_flag", general.max_8bit());
    w.flag("general_max_422chroma_constraint_flag", general.max_422chroma());
    w.flag("general_max_420chroma_constraint_flag", general.max_420chroma());
    w.flag("general_max_monochrome_constraint_flag", general.max_monochrome());
    w.flag("general_intra_constraint_flag", general.intra());
    w.flag("general_one_picture_only_constraint_flag", general.one_picture_only());
    w.flag("general_lower_bit_rate_constraint_flag", general.lower_bit_rate());
    w.put("general_level_idc", ptl.general_level_idc);
    for (i, sub_layer) in ptl.sub_layers.iter().enumerate() {
        w.flag(format!("sub_layer_profile_present_flag[{i}]"), sub_layer.profile.is_some());
        w.flag(format!("sub_layer_level_present_flag[{i}]"), sub_layer.level_idc.is_some());
    }
}

fn ordering(w: &mut Writer, prefix: &str, ordering: &[SubLayerOrdering]) {
    // Whether all are coded is not kept; where only the highest is, only that one is expected.
    for (i, entry) in ordering.iter().enumerate() {
        w.put(format!("{prefix}_max_dec_pic_buffering_minus1[{i}]"), entry.max_dec_pic_buffering_minus1);
        w.put(format!("{prefix}_max_num_reorder_pics[{i}]"), entry.max_num_reorder_pics);
        w.put(format!("{prefix}_max_latency_increase_plus1[{i}]"), entry.max_latency_increase_plus1);
    }
}

fn timing(w: &mut Writer, prefix: &str, timing: Option<&TimingInfo>) {
    w.flag(format!("{prefix}_timing_info_present_flag"), timing.is_some());
    let Some(timing) = timing else { return };
    w.put(format!("{prefix}_num_units_in_tick"), timing.num_units_in_tick);
    w.put(format!("{prefix}_time_scale"), timing.time_scale);
    let proportional = timing.num_ticks_poc_diff_one_minus1;
    w.flag(format!("{prefix}_poc_proportional_to_timing_flag"), proportional.is_some());
    w.put(format!("{prefix}_num_ticks_poc_diff_one_minus1"), proportional.unwrap_or(0));
}

fn hrd(w: &mut Writer, hrd: &HrdParameters) {
    let common = &hrd.common;
    w.repeat("nal_hrd_parameters_present_flag", u8::from(common.nal_hrd_parameters_present_flag));
    w.repeat("vcl_hrd_parameters_present_flag", u8::from(common.vcl_hrd_parameters_present_flag));
    w.repeat("sub_pic_hrd_params_present_flag", u8::from(common.sub_pic.is_some()));
    w.repeat("bit_rate_scale", common.bit_rate_scale);
    w.repeat("cpb_size_scale", common.cpb_size_scale);
    w.repeat("initial_cpb_removal_delay_length_minus1", common.initial_cpb_removal_delay_length_minus1);
    w.repeat("au_cpb_removal_delay_length_minus1", common.au_cpb_removal_delay_length_minus1);
    w.repeat("dpb_output_delay_length_minus1", common.dpb_output_delay_length_minus1);
    for (i, sub_layer) in hrd.sub_layers.iter().enumerate() {
        w.repeat(
            format!("fixed_pic_rate_general_flag[{i}]"),
            u8::from(sub_layer.fixed_pic_rate_general_flag),
        );
        let within = u8::from(sub_layer.fixed_pic_rate_within_cvs_flag);
        w.repeat(format!("fixed_pic_rate_within_cvs_flag[{i}]"), within);
        if let Some(duration) = sub_layer.elemental_duration_in_tc_minus1 {
            w.repeat(format!("elemental_duration_in_tc_minus1[{i}]"), duration);
        }
        w.repeat(format!("low_delay_hrd_flag[{i}]"), u8::from(sub_layer.low_delay_hrd_flag));
        let cpbs = sub_layer.nal.len().max(sub_layer.vcl.len());
        w.repeat(format!("cpb_cnt_minus1[{i}]"), cpbs as i64 - 1);
        for list in [&sub_layer.nal, &sub_layer.vcl] {
            for (j, cpb) in list.iter().enumerate() {
                w.repeat(format!("bit_rate_value_minus1[{j}]"), cpb.bit_rate_value_minus1);
                w.repeat(format!("cpb_size_value_minus1[{j}]"), cpb.cpb_size_value_minus1);
                w.repeat(format!("cbr_flag[{j}]"), u8::from(cpb.cbr_flag));
            }
        }
    }
}

fn scaling(w: &mut Writer, lists: &ScalingList) {
    for size_id in 0..4 {
        for matrix_id in (0..6).step_by(if size_id == 3 { 3 } else { 1 }) {
            let dc = match size_id {
                2 => lists.dc_16x16[matrix_id],
                3 => lists.dc_32x32[matrix_id],
                _ => 16,
            };
            let hash = lists
                .list(size_id, matrix_id)
                .iter()
                .fold(0u32, |hash, &value| hash.wrapping_mul(31).wrapping_add(u32::from(value)));
            w.put(format!("scaling_list[{size_id}][{matrix_id}]"), format!("{dc}:{hash}"));
        }
    }
}

/// The elements of a VPS.
pub fn vps(vps: &Vps) -> Elements {
    let w = &mut Writer::default();
    w.put("vps_video_parameter_set_id", vps.vps_video_parameter_set_id);
    w.flag("vps_base_layer_internal_flag", vps.vps_base_layer_internal_flag);
    w.flag("vps_base_layer_available_flag", vps.vps_base_layer_available_flag);
    w.put("vps_max_layers_minus1", vps.vps_max_layers_minus1);
    w.put("vps_max_sub_layers_minus1", vps.vps_max_sub_layers_minus1);
    w.flag("vps_temporal_id_nesting_flag", vps.vps_temporal_id_nesting_flag);
    profile_tier_level(w, &vps.profile_tier_level);
    ordering(w, "vps", &vps.sub_layer_ordering);
    w.put("vps_max_layer_id", vps.vps_max_layer_id);
    w.put("vps_num_layer_sets_minus1", vps.layer_sets.len() - 1);
    timing(w, "vps", vps.timing_info.as_ref());
    w.put("vps_num_hrd_parameters", vps.hrd.len());
    for (i, entry) in vps.hrd.iter().enumerate() {
        w.put(format!("hrd_layer_set_idx[{i}]"), entry.hrd_layer_set_idx);
        hrd(w, &entry.parameters);
    }
    w.flag("vps_extension_flag", vps.vps_extension_flag);
    std::mem::take(&mut w.0)
}

fn vui(w: &mut Writer, vui: &Vui) {
    w.flag("overscan_info_present_flag", vui.overscan_appropriate_flag.is_some());
    w.flag("overscan_appropriate_flag", vui.overscan_appropriate_flag == Some(true));
    let (sar_width, sar_height) = vui.sample_aspect_ratio.unwrap_or((0, 0));
    w.put("sar_width", sar_width);
    w.put("sar_height", sar_height);
    w.put("video_format", vui.video_format);
    w.flag("video_full_range_flag", vui.colour.video_full_range_flag);
    w.put("colour_primaries", vui.colour.colour_primaries);
    w.put("transfer_characteristics", vui.colour.transfer_characteristics);
    w.put("matrix_coefficients", vui.colour.matrix_coeffs);
    w.flag("chroma_loc_info_present_flag", vui.chroma_sample_loc_type.is_some());
    let (top, bottom) = vui.chroma_sample_loc_type.unwrap_or_default();
    w.put("chroma_sample_loc_type_top_field", top);
    w.put("chroma_sample_loc_type_bottom_field", bottom);
    w.flag("neutral_chroma_indication_flag", vui.neutral_chroma_indication_flag);
    w.flag("field_seq_flag", vui.field_seq_flag);
    w.flag("frame_field_info_present_flag", vui.frame_field_info_present_flag);
    w.flag("default_display_window_flag", vui.default_display_window.is_some());
    let window = vui.default_display_window.unwrap_or_default();
    w.put("def_disp_win_left_offset", window.left);
    w.put("def_disp_win_right_offset", window.right);
    w.put("def_disp_win_top_offset", window.top);
    w.put("def_disp_win_bottom_offset", window.bottom);
    timing(w, "vui", vui.timing_info.as_ref());
    w.flag("vui_hrd_parameters_present_flag", vui.hrd_parameters.is_some());
    if let Some(parameters) = &vui.hrd_parameters {
        hrd(w, parameters);
    }
    w.flag("bitstream_restriction_flag", vui.bitstream_restriction.is_some());
    let restriction = vui.bitstream_restriction.unwrap_or_default();
    w.flag("tiles_fixed_structure_flag", restriction.tiles_fixed_structure_flag);
    w.flag("motion_vectors_over_pic_boundaries_flag", restriction.motion_vectors_over_pic_boundaries_flag);
    w.flag("restricted_ref_pic_lists_flag", restriction.restricted_ref_pic_lists_flag);
    w.put("min_spatial_segmentation_idc", restriction.min_spatial_segmentation_idc);
    w.put("max_bytes_per_pic_denom", restriction.max_bytes_per_pic_denom);
    w.put("max_bits_per_min_cu_denom", restriction.max_bits_per_min_cu_denom);
    w.put("log2_max_mv_length_horizontal", restriction.log2_max_mv_length_horizontal);
    w.put("log2_max_mv_length_vertical", restriction.log2_max_mv_length_vertical);
}

/// The elements of an SPS.
pub fn sps(sps: &Sps) -> Elements {
    let w = &mut Writer::default();
    w.put("sps_video_parameter_set_id", sps.sps_video_parameter_set_id);
    w.put("sps_max_sub_layers_minus1", sps.sps_max_sub_layers_minus1);
    w.flag("sps_temporal_id_nesting_flag", sps.sps_temporal_id_nesting_flag);
    profile_tier_level(w, &sps.profile_tier_level);
    w.put("sps_seq_parameter_set_id", sps.sps_seq_parameter_set_id);
    w.put("chroma_format_idc", sps.chroma_format_idc);
    w.flag("separate_colour_plane_flag", sps.separate_colour_plane_flag);
    w.put("pic_width_in_luma_samples", sps.pic_width_in_luma_samples);
    w.put("pic_height_in_luma_samples", sps.pic_height_in_luma_samples);
    for (name, value) in ["left", "right", "top", "bottom"].iter().zip(sps.conformance_window) {
        w.put(format!("conf_win_{name}_offset"), value);
    }
    w.put("bit_depth_luma_minus8", sps.bit_depth_luma - 8);
    w.put("bit_depth_chroma_minus8", sps.bit_depth_chroma - 8);
    w.put("log2_max_pic_order_cnt_lsb_minus4", sps.log2_max_pic_order_cnt_lsb - 4);
    ordering(w, "sps", &sps.sub_layer_ordering);
    w.put("log2_min_luma_coding_block_size_minus3", sps.log2_min_luma_coding_block_size - 3);
    w.put("log2_diff_max_min_luma_coding_block_size", sps.log2_diff_max_min_luma_coding_block_size);
    w.put("log2_min_luma_transform_block_size_minus2", sps.log2_min_luma_transform_block_size - 2);
    w.put("log2_diff_max_min_luma_transform_block_size", sps.log2_diff_max_min_luma_transform_block_size);
    w.put("max_transform_hierarchy_depth_inter", sps.max_transform_hierarchy_depth_inter);
    w.put("max_transform_hierarchy_depth_intra", sps.max_transform_hierarchy_depth_intra);
    w.flag("scaling_list_enabled_flag", sps.scaling_list_enabled_flag);
    w.flag("sps_scaling_list_data_present_flag", sps.scaling_list_data.is_some());
    if let Some(lists) = &sps.scaling_list_data {
        scaling(w, lists);
    }
    w.flag("amp_enabled_flag", sps.amp_enabled_flag);
    w.flag("sample_adaptive_offset_enabled_flag", sps.sample_adaptive_offset_enabled_flag);
    w.flag("pcm_enabled_flag", sps.pcm.is_some());
    if let Some(pcm) = sps.pcm {
        w.put("pcm_sample_bit_depth_luma_minus1", pcm.bit_depth_luma - 1);
        w.put("pcm_sample_bit_depth_chroma_minus1", pcm.bit_depth_chroma - 1);
        w.put("log2_min_pcm_luma_coding_block_size_minus3", pcm.log2_min_cb_size - 3);
        w.put("log2_diff_max_min_pcm_luma_coding_block_size", pcm.log2_max_cb_size - pcm.log2_min_cb_size);
        w.flag("pcm_loop_filter_disabled_flag", pcm.loop_filter_disabled_flag);
    }
    w.put("num_short_term_ref_pic_sets", sps.short_term_ref_pic_sets.len());
    for (i, st_ref_pic_set) in sps.short_term_ref_pic_sets.iter().enumerate() {
        w.put(format!("st_ref_pic_set[{i}]"), set(st_ref_pic_set));
    }
    w.flag("long_term_ref_pics_present_flag", sps.long_term_ref_pics_present_flag);
    w.put("num_long_term_ref_pics_sps", sps.long_term_ref_pics.len());
    for (i, pic) in sps.long_term_ref_pics.iter().enumerate() {
        w.put(format!("lt_ref_pic_poc_lsb_sps[{i}]"), pic.poc_lsb);
        w.flag(format!("used_by_curr_pic_lt_sps_flag[{i}]"), pic.used_by_curr_pic);
    }
    w.flag("sps_temporal_mvp_enabled_flag", sps.sps_temporal_mvp_enabled_flag);
    w.flag("strong_intra_smoothing_enabled_flag", sps.strong_intra_smoothing_enabled_flag);
    assert_eq!(sps.vui_error, None);
    w.flag("vui_parameters_present_flag", sps.vui.is_some());
    if let Some(parameters) = &sps.vui {
        vui(w, parameters);
    }
    let range = &sps.range_extension;
    w.flag("sps_multilayer_extension_flag", sps.sps_multilayer_extension_flag);
    w.flag("sps_3d_extension_flag", sps.sps_3d_extension_flag);
    w.flag("transform_skip_rotation_enabled_flag", range.transform_skip_rotation_enabled_flag);
    w.flag("transform_skip_context_enabled_flag", range.transform_skip_context_enabled_flag);
    w.flag("implicit_rdpcm_enabled_flag", range.implicit_rdpcm_enabled_flag);
    w.flag("explicit_rdpcm_enabled_flag", range.explicit_rdpcm_enabled_flag);
    w.flag("extended_precision_processing_flag", range.extended_precision_processing_flag);
    w.flag("intra_smoothing_disabled_flag", range.intra_smoothing_disabled_flag);
    w.flag("high_precision_offsets_enabled_flag", range.high_precision_offsets_enabled_flag);
    w.flag("persistent_rice_adaptation_enabled_flag", range.persistent_rice_adaptation_enabled_flag);
    w.flag("cabac_bypass_alignment_enabled_flag", range.cabac_bypass_alignment_enabled_flag);
    std::mem::take(&mut w.0)
}

/// The elements of a PPS.
pub fn pps(pps: &Pps) -> Elements {
    let w = &mut Writer::default();
    w.put("pps_pic_parameter_set_id", pps.pps_pic_parameter_set_id);
    w.put("pps_seq_parameter_set_id", pps.pps_seq_parameter_set_id);
    w.flag("dependent_slice_segments_enabled_flag", pps.dependent_slice_segments_enabled_flag);
    w.flag("output_flag_present_flag", pps.output_flag_present_flag);
    w.put("num_extra_slice_header_bits", pps.num_extra_slice_header_bits);
    w.flag("sign_data_hiding_enabled_flag", pps.sign_data_hiding_enabled_flag);
    w.flag("cabac_init_present_flag", pps.cabac_init_present_flag);
    w.put("num_ref_idx_l0_default_active_minus1", pps.num_ref_idx_l0_default_active - 1);
    w.put("num_ref_idx_l1_default_active_minus1", pps.num_ref_idx_l1_default_active - 1);
    w.put("init_qp_minus26", pps.init_qp_minus26);
    w.flag("constrained_intra_pred_flag", pps.constrained_intra_pred_flag);
    w.flag("transform_skip_enabled_flag", pps.transform_skip_enabled_flag);
    w.flag("cu_qp_delta_enabled_flag", pps.cu_qp_delta_enabled_flag);
    w.put("diff_cu_qp_delta_depth", pps.diff_cu_qp_delta_depth);
    w.put("pps_cb_qp_offset", pps.pps_cb_qp_offset);
    w.put("pps_cr_qp_offset", pps.pps_cr_qp_offset);
    w.flag("pps_slice_chroma_qp_offsets_present_flag", pps.pps_slice_chroma_qp_offsets_present_flag);
    w.flag("weighted_pred_flag", pps.weighted_pred_flag);
    w.flag("weighted_bipred_flag", pps.weighted_bipred_flag);
    w.flag("transquant_bypass_enabled_flag", pps.transquant_bypass_enabled_flag);
    w.flag("tiles_enabled_flag", pps.tiles.is_some());
    w.flag("entropy_coding_sync_enabled_flag", pps.entropy_coding_sync_enabled_flag);
    if let Some(tiles) = &pps.tiles {
        w.put("num_tile_columns_minus1", tiles.num_tile_columns - 1);
        w.put("num_tile_rows_minus1", tiles.num_tile_rows - 1);
        w.flag("uniform_spacing_flag", tiles.explicit_sizes.is_none());
        if let Some((columns, rows)) = &tiles.explicit_sizes {
            for (name, sizes) in [("column_width_minus1", columns), ("row_height_minus1", rows)] {
                for (i, size) in sizes.iter().enumerate() {
                    w.put(format!("{name}[{i}]"), size - 1);
                }
            }
        }
        w.flag("loop_filter_across_tiles_enabled_flag", tiles.loop_filter_across_tiles_enabled_flag);
    }
    w.flag("pps_loop_filter_across_slices_enabled_flag", pps.pps_loop_filter_across_slices_enabled_flag);
    w.flag("deblocking_filter_control_present_flag", pps.deblocking_filter_control_present_flag);
    w.flag("deblocking_filter_override_enabled_flag", pps.deblocking_filter_override_enabled_flag);
    w.flag("pps_deblocking_filter_disabled_flag", pps.pps_deblocking_filter_disabled_flag);
    w.put("pps_beta_offset_div2", pps.pps_beta_offset_div2);
    w.put("pps_tc_offset_div2", pps.pps_tc_offset_div2);
    w.flag("pps_scaling_list_data_present_flag", pps.scaling_list_data.is_some());
    if let Some(lists) = &pps.scaling_list_data {
        scaling(w, lists);
    }
    w.flag("lists_modification_present_flag", pps.lists_modification_present_flag);
    w.put("log2_parallel_merge_level_minus2", pps.log2_parallel_merge_level - 2);
    w.flag("slice_segment_header_extension_present_flag", pps.slice_segment_header_extension_present_flag);
    w.flag("pps_multilayer_extension_flag", pps.pps_multilayer_extension_flag);
    w.flag("pps_3d_extension_flag", pps.pps_3d_extension_flag);
    let range = &pps.range_extension;
    w.put("log2_max_transform_skip_block_size_minus2", range.log2_max_transform_skip_size - 2);
    w.flag("cross_component_prediction_enabled_flag", range.cross_component_prediction_enabled_flag);
    w.flag("chroma_qp_offset_list_enabled_flag", range.chroma_qp_offset_list_enabled_flag);
    w.put("diff_cu_chroma_qp_offset_depth", range.diff_cu_chroma_qp_offset_depth);
    w.put("chroma_qp_offset_list_len_minus1", range.chroma_qp_offset_list.len() as i64 - 1);
    for (i, (cb, cr)) in range.chroma_qp_offset_list.iter().enumerate() {
        w.put(format!("cb_qp_offset_list[{i}]"), cb);
        w.put(format!("cr_qp_offset_list[{i}]"), cr);
    }
    w.put("log2_sao_offset_scale_luma", range.log2_sao_offset_scale_luma);
    w.put("log2_sao_offset_scale_chroma", range.log2_sao_offset_scale_chroma);
    std::mem::take(&mut w.0)
}

/// The elements of a slice segment header.
pub fn slice(slice: &SliceSegment<'_>, picture: &Picture) -> Elements {
    let header = &slice.header;
    let w = &mut Writer::default();
    w.flag("first_slice_segment_in_pic_flag", header.first_slice_segment_in_pic_flag);
    w.flag("no_output_of_prior_pics_flag", header.no_output_of_prior_pics_flag);
    w.put("slice_pic_parameter_set_id", header.slice_pic_parameter_set_id);
    w.flag("dependent_slice_segment_flag", header.dependent_slice_segment_flag);
    w.put("slice_segment_address", header.slice_segment_address);
    for i in 0..picture.pps.num_extra_slice_header_bits {
        w.put(format!("slice_reserved_flag[{i}]"), header.slice_reserved_flags >> i & 1);
    }
    let slice_type = match header.slice_type {
        SliceType::B => 0,
        SliceType::P => 1,
        SliceType::I => 2,
    };
    w.put("slice_type", slice_type);
    w.flag("pic_output_flag", header.pic_output_flag);
    w.put("colour_plane_id", header.colour_plane_id);
    w.put("slice_pic_order_cnt_lsb", header.slice_pic_order_cnt_lsb);
    w.flag("short_term_ref_pic_set_sps_flag", header.short_term_ref_pic_set_sps_flag);
    w.put("short_term_ref_pic_set_idx", header.short_term_ref_pic_set_idx);
    if let Some(st_ref_pic_set) = &header.st_ref_pic_set {
        w.put("st_ref_pic_set", set(st_ref_pic_set));
        w.put("st_ref_pic_set_bits", header.positions.short_term_ref_pic_set_size);
    }
    w.put("num_long_term_sps", header.num_long_term_sps);
    w.put("num_long_term_pics", header.long_term_ref_pics.len() - usize::from(header.num_long_term_sps));
    for (i, pic) in header.long_term_ref_pics.iter().enumerate() {
        match pic.lt_idx_sps {
            Some(idx) => w.put(format!("lt_idx_sps[{i}]"), idx),
            None => {
                w.put(format!("poc_lsb_lt[{i}]"), pic.poc_lsb_lt);
                w.flag(format!("used_by_curr_pic_lt_flag[{i}]"), pic.used_by_curr_pic_lt);
            }
        }
        let cycle = pic.delta_poc_msb_cycle_lt.map_or("-".to_string(), |cycle| cycle.to_string());
        w.put(format!("DeltaPocMsbCycleLt[{i}]"), cycle);
    }
    w.flag("slice_temporal_mvp_enabled_flag", header.slice_temporal_mvp_enabled_flag);
    w.flag("slice_sao_luma_flag", header.slice_sao_luma_flag);
    w.flag("slice_sao_chroma_flag", header.slice_sao_chroma_flag);
    w.flag("num_ref_idx_active_override_flag", header.num_ref_idx_active_override_flag);
    w.put("num_ref_idx_l0_active_minus1", i16::from(header.num_ref_idx_l0_active) - 1);
    w.put("num_ref_idx_l1_active_minus1", i16::from(header.num_ref_idx_l1_active) - 1);
    let modification = &header.ref_pic_lists_modification;
    for (x, list) in [&modification.list_entry_l0, &modification.list_entry_l1].into_iter().enumerate() {
        w.flag(format!("ref_pic_list_modification_flag_l{x}"), list.is_some());
        for (i, entry) in list.iter().flatten().enumerate() {
            w.put(format!("list_entry_l{x}[{i}]"), entry);
        }
    }
    w.flag("mvd_l1_zero_flag", header.mvd_l1_zero_flag);
    w.flag("cabac_init_flag", header.cabac_init_flag);
    w.flag("collocated_from_l0_flag", header.collocated_from_l0_flag);
    w.put("collocated_ref_idx", header.collocated_ref_idx);
    if let Some(table) = &header.pred_weight_table {
        let (luma, chroma) = (table.luma_log2_weight_denom, table.chroma_log2_weight_denom);
        w.put("luma_log2_weight_denom", luma);
        w.put("delta_chroma_log2_weight_denom", i16::from(chroma) - i16::from(luma));
        for (x, list) in [&table.l0, &table.l1].into_iter().enumerate() {
            for (i, weight) in list.iter().enumerate() {
                w.flag(format!("luma_weight_l{x}_flag[{i}]"), weight.luma_weight_flag);
                w.flag(format!("chroma_weight_l{x}_flag[{i}]"), weight.chroma_weight_flag);
                w.put(format!("delta_luma_weight_l{x}[{i}]"), weight.delta_luma_weight);
                w.put(format!("luma_offset_l{x}[{i}]"), weight.luma_offset);
                for j in 0..2 {
                    w.put(format!("delta_chroma_weight_l{x}[{i}][{j}]"), weight.delta_chroma_weight[j]);
                    // FFmpeg shows delta_chroma_offset under this name.
                    w.put(format!("chroma_offset_l{x}[{i}][{j}]"), weight.delta_chroma_offset[j]);
                }
            }
        }
    }
    w.put("five_minus_max_num_merge_cand", 5 - i16::from(header.max_num_merge_cand));
    w.put("slice_qp_delta", header.slice_qp_delta);
    w.put("slice_cb_qp_offset", header.slice_cb_qp_offset);
    w.put("slice_cr_qp_offset", header.slice_cr_qp_offset);
    w.flag("cu_chroma_qp_offset_enabled_flag", header.cu_chroma_qp_offset_enabled_flag);
    w.flag("deblocking_filter_override_flag", header.deblocking_filter_override_flag);
    w.flag("slice_deblocking_filter_disabled_flag", header.slice_deblocking_filter_disabled_flag);
    w.put("slice_beta_offset_div2", header.slice_beta_offset_div2);
    w.put("slice_tc_offset_div2", header.slice_tc_offset_div2);
    w.flag(
        "slice_loop_filter_across_slices_enabled_flag",
        header.slice_loop_filter_across_slices_enabled_flag,
    );
    w.put("num_entry_point_offsets", header.num_entry_point_offsets);
    w.put("offset_len_minus1", i16::from(header.offset_len) - 1);
    let offsets = header.entry_point_offset_minus1(slice.nal.data).expect("they were passed over");
    let offsets: Vec<String> = offsets.iter().map(u32::to_string).collect();
    w.put("entry_point_offset_minus1", offsets.join(","));
    w.put("slice_segment_header_extension_length", header.slice_segment_header_extension_length);
    w.put("hw_header_skip_bits", header.hw_header_skip_bits());
    w.put("header_size_rbsp", header.positions.header_size_rbsp);
    std::mem::take(&mut w.0)
}
