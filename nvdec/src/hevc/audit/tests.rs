use std::sync::OnceLock;

use hcq::kernel::emulated::GpuModel;
use proptest::prelude::*;

use super::*;
use crate::class::VIDEO_CLASSES;
use crate::testing::{Execution, Machine, STREAMS};

/// Everything that the decoder says of the test streams to a Hopper engine.
fn executions() -> &'static [Execution] {
    static EXECUTIONS: OnceLock<Vec<Execution>> = OnceLock::new();
    EXECUTIONS.get_or_init(|| {
        STREAMS.iter().flat_map(|(_, stream)| Machine::h200().decode(stream)).collect::<Vec<_>>()
    })
}

fn class(generation: &str) -> &'static VideoClass {
    VIDEO_CLASSES.iter().find(|row| row.generation == generation).unwrap()
}

fn hopper() -> &'static VideoClass {
    class("Hopper")
}

/// The first picture for which `is` holds.
fn find(is: impl Fn(&Words<'_>) -> bool) -> &'static Execution {
    let found = executions().iter().find(|e| is(&Words(&e.descriptor)));
    found.expect("some test stream has such a picture")
}

/// The finding about a picture after a change.
fn changed(execution: &Execution, field: Field, index: usize, value: i64) -> Finding {
    let mut descriptor = execution.descriptor.clone();
    field.write(&mut descriptor, index, value).unwrap();
    audit(&descriptor, &execution.tiles, hopper()).unwrap_err()
}

#[test]
fn what_the_decoder_writes_passes() {
    for e in executions() {
        let needs = audit(&e.descriptor, &e.tiles, hopper()).unwrap_or_else(|finding| panic!("{finding}"));
        assert_eq!(needs.stream_len as usize, e.bitstream.len() - BITSTREAM_SLACK);
        let plan = scratch(&e.descriptor, hopper()).unwrap();
        let mut rebased = e.descriptor.clone();
        assert_eq!(rebase(&mut rebased, hopper()).unwrap(), plan);
        assert_eq!(rebased, e.descriptor, "laid out anew for the same class, nothing changes");
        // The surfaces sent are those that lists name, and the picture itself.
        let sent: u16 = (0..PLACES as u32)
            .filter(|place| e.address(nvkernel_sys::video::SET_PICTURE_LUMA_OFFSET + 4 * place).is_some())
            .fold(0, |bits, place| bits | 1 << place);
        assert_eq!(sent, needs.listed | 1 << needs.place);
    }
    assert!(executions().len() > 200);
}

#[test]
fn pictures_of_other_classes_pass_there_and_after_rebasing_here() {
    let gpus = [
        ("Turing", GpuModel::t4()),
        ("Ada", GpuModel::rtx_4090()),
        ("Blackwell (GB20x)", GpuModel::rtx_5090()),
    ];
    let (_, stream) = STREAMS.iter().find(|(name, _)| *name == "x_radl").unwrap();
    for (generation, gpu) in gpus {
        let there = class(generation);
        let executions = Machine::new(gpu).decode(stream);
        assert!(!executions.is_empty());
        for e in executions {
            audit(&e.descriptor, &e.tiles, there).unwrap_or_else(|finding| panic!("{generation}: {finding}"));
            let size = scratch(&e.descriptor, there).unwrap().size;
            let mut rebased = e.descriptor.clone();
            let plan = rebase(&mut rebased, hopper()).unwrap();
            assert!(plan.size < size, "Hopper needs less than {generation}");
            audit(&rebased, &e.tiles, hopper()).unwrap();
            assert_eq!(scratch(&rebased, hopper()).unwrap(), plan);
            // Hopper's areas are too small for the others.
            let finding = scratch(&rebased, there).unwrap_err();
            assert_eq!(finding.field, "HevcSaoBufferOffset", "{generation}: {finding}");
        }
    }
}

#[test]
fn every_field_is_looked_at_or_free() {
    // No address, size or length among those that may hold anything.
    let free = [
        "gptimer_timeout_value",
        "amp_enable_flag",
        "sample_adaptive_offset_enabled_flag",
        "pcm_loop_filter_disabled_flag",
        "sps_temporal_mvp_enabled_flag",
        "strong_intra_smoothing_enabled_flag",
        "dependent_slice_segments_enabled_flag",
        "output_flag_present_flag",
        "num_extra_slice_header_bits",
        "sign_data_hiding_enabled_flag",
        "cabac_init_present_flag",
        "constrained_intra_pred_flag",
        "transform_skip_enabled_flag",
        "cu_qp_delta_enabled_flag",
        "pps_slice_chroma_qp_offsets_present_flag",
        "weighted_pred_flag",
        "weighted_bipred_flag",
        "transquant_bypass_enabled_flag",
        "loop_filter_across_tiles_enabled_flag",
        "loop_filter_across_slices_enabled_flag",
        "deblocking_filter_control_present_flag",
        "deblocking_filter_override_enabled_flag",
        "pps_deblocking_filter_disabled_flag",
        "lists_modification_present_flag",
        "slice_segment_header_extension_present_flag",
        "longtermflag",
        "sw_hdr_skip_length",
        "bBitParsingDisable",
        "num_delta_pocs_of_rps_idx",
        "long_term_ref_pics_present_flag",
        "num_bits_short_term_ref_pics_in_slice",
        "transformSkipRotationEnableFlag",
        "transformSkipContextEnableFlag",
        "implicitRdpcmEnableFlag",
        "explicitRdpcmEnableFlag",
        "intraSmoothingDisabledFlag",
        "highPrecisionOffsetsEnableFlag",
        "fastRiceAdaptationEnableFlag",
        "crossComponentPredictionEnableFlag",
        "chromaQpAdjustmentEnableFlag",
    ];
    // Each of these has a case below or depends on others.
    let related = [
        "stream_len",
        "disp_output_mode",
        "framestride",
        "colMvBuffersize",
        "HevcSaoBufferOffset",
        "HevcBsdCtrlOffset",
        "pic_width_in_luma_samples",
        "pic_height_in_luma_samples",
        "bit_depth_luma",
        "bit_depth_chroma",
        "log2_min_luma_coding_block_size",
        "log2_min_transform_block_size",
        "log2_max_transform_block_size",
        "max_transform_hierarchy_depth_inter",
        "max_transform_hierarchy_depth_intra",
        "scalingListEnable",
        "pcm_enabled_flag",
        "pcm_sample_bit_depth_luma",
        "pcm_sample_bit_depth_chroma",
        "log2_min_pcm_luma_coding_block_size",
        "log2_max_pcm_luma_coding_block_size",
        "init_qp",
        "diff_cu_qp_delta_depth",
        "tiles_enabled_flag",
        "entropy_coding_sync_enabled_flag",
        "num_tile_columns",
        "num_tile_rows",
        "log2_parallel_merge_level",
        "diffCuChromaQpAdjustmentDepth",
        "HevcFltAboveOffset",
        "HevcSaoAboveOffset",
        "HevcSliceEdgeOffset",
    ];
    for field in pic::FIELDS {
        let places = usize::from(free.contains(&field.name))
            + usize::from(related.contains(&field.name))
            + usize::from(ZERO.iter().any(|f| f.name == field.name))
            + usize::from(RANGES.iter().any(|(f, ..)| f.name == field.name));
        assert_eq!(places, 1, "{}", field.name);
    }
}

#[test]
fn contradictions_are_named() {
    let plain = find(|w| w.get(pic::tiles_enabled_flag) == 0 && w.get(pic::bit_depth_luma) == 8);
    let w = Words(&plain.descriptor);
    let (width, stride) = (w.get(pic::pic_width_in_luma_samples), w.get(pic::framestride));
    for (field, index, value) in [
        (pic::framestride, 0, stride + 64),
        (pic::framestride, 1, stride - 64),
        (pic::framestride, 0, 0xffff_ffff),
        (pic::colMvBuffersize, 0, w.get(pic::colMvBuffersize) + 1),
        (pic::curr_pic_idx, 0, 16),
        (pic::initreflistidxl0, 15, 16),
        (pic::initreflistidxl1, 3, 255),
        (pic::stream_len, 0, 0),
        (pic::stream_len, 0, 0xffff_ffff),
        (pic::gob_height, 0, 1),
        (pic::tileformat, 0, 0),
        (pic::disp_output_mode, 0, 1),
        (pic::num_tile_columns, 0, 1),
        (pic::enable_histogram, 0, 1),
        (pic::slice_ec_mv_type, 0, 2),
        (pic::wrapped_session_key, 2, 1),
        (pic::bit_depth_chroma, 0, 7),
        (pic::log2_min_luma_coding_block_size, 0, 7),
        (pic::log2_max_luma_coding_block_size, 0, 7),
        (pic::log2_min_transform_block_size, 0, 6),
        (pic::log2_max_transform_block_size, 0, 6),
        (pic::max_transform_hierarchy_depth_intra, 0, 7),
        (pic::init_qp, 0, 52),
        (pic::pcm_sample_bit_depth_luma, 0, 9),
        (pic::log2_parallel_merge_level, 0, 7),
        (pic::num_ref_frames, 0, 17),
        (pic::RefDiffPicOrderCnts, 15, 128),
    ] {
        let finding = changed(plain, field, index, value);
        assert_eq!((finding.field, finding.beyond_class), (field.name, false), "{finding}");
    }
    // A wider picture is one whose strides and slots are wrong, or its tile table.
    assert_ne!(changed(plain, pic::pic_width_in_luma_samples, 0, width + 512).field, "");
    assert_eq!(
        changed(plain, pic::pic_width_in_luma_samples, 0, width + 1).field,
        "pic_width_in_luma_samples"
    );
    assert_eq!(changed(plain, pic::pic_width_in_luma_samples, 0, 0).field, "pic_width_in_luma_samples");
    let mut behind = plain.descriptor.clone();
    behind[0x1f0] = 1;
    assert_eq!(audit(&behind, &plain.tiles, hopper()).unwrap_err().field, "nvdec_hevc_pic_s");
    behind[0x1f0] = 0;
    behind[WORD_11C] = 1;
    assert_eq!(audit(&behind, &plain.tiles, hopper()).unwrap_err().field, "word 0x11c");
    assert_eq!(
        audit(&plain.descriptor[..276], &plain.tiles, hopper()).unwrap_err().field,
        "nvdec_hevc_pic_s"
    );
    assert_eq!(audit(&plain.descriptor, &plain.tiles[..4], hopper()).unwrap_err().field, "tile table");
}

#[test]
fn what_the_class_cannot_do_is_said_so() {
    let plain = find(|w| w.get(pic::tiles_enabled_flag) == 0 && w.get(pic::bit_depth_luma) == 8);
    for (field, value) in [(pic::chroma_format_idc, 2), (pic::chroma_format_idc, 0)] {
        let finding = changed(plain, field, 0, value);
        assert!(finding.beyond_class && finding.field == field.name, "{finding}");
    }
    let small = find(|w| w.get(pic::pic_height_in_luma_samples) < 144);
    let finding = audit(&small.descriptor, &small.tiles, class("Turing")).unwrap_err();
    assert!(finding.beyond_class, "{finding}");
}

#[test]
fn tile_tables_have_to_be_whole() {
    let tiled = find(|w| w.get(pic::tiles_enabled_flag) == 1);
    for at in [0, 2, 4, 0x700, 0x702, 0xffe] {
        let mut tiles = tiled.tiles.clone();
        tiles[at] ^= 1;
        let finding = audit(&tiled.descriptor, &tiles, hopper()).unwrap_err();
        assert_eq!(finding.field, "tile table", "byte {at:#x}: {finding}");
    }
    let finding = changed(tiled, pic::entropy_coding_sync_enabled_flag, 0, 1);
    assert!(finding.beyond_class, "{finding}");
    assert_eq!(changed(tiled, pic::num_tile_columns, 0, 21).field, "num_tile_columns");
}

#[test]
fn scratch_areas_keep_their_distance() {
    let tiled = find(|w| w.get(pic::tiles_enabled_flag) == 1);
    let w = Words(&tiled.descriptor);
    for field in [
        pic::HevcSaoBufferOffset,
        pic::HevcBsdCtrlOffset,
        pic::HevcFltAboveOffset,
        pic::HevcSaoAboveOffset,
        pic::HevcSliceEdgeOffset,
    ] {
        for value in [w.get(field) - 1, 0xffff_ffff, 0] {
            let mut descriptor = tiled.descriptor.clone();
            field.write(&mut descriptor, 0, value).unwrap();
            assert_eq!(scratch(&descriptor, hopper()).unwrap_err().field, field.name, "{value}");
        }
    }
}

proptest! {
    /// Whatever passes has its surfaces, slots and scratch where the descriptor says they are.
    #[test]
    fn any_bytes_are_refused_or_understood(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((0usize..DESCRIPTOR_BYTES, any::<u8>()), 0..4),
        tile in prop::option::of((0usize..64, any::<u8>())),
    ) {
        let e = which.get(executions());
        let (mut descriptor, mut tiles) = (e.descriptor.clone(), e.tiles.clone());
        for (at, value) in changes {
            descriptor[at] = value;
        }
        if let Some((at, value)) = tile {
            tiles[at] = value;
        }
        let _ = rebase(&mut descriptor.clone(), hopper());
        let Ok(needs) = audit(&descriptor, &tiles, hopper()) else { return Ok(()) };
        let w = Words(&descriptor);
        let bytes = needs.geometry.format.bytes_per_sample();
        prop_assert_eq!(w.get(pic::framestride) as u32 * bytes, needs.geometry.luma_pitch);
        prop_assert!(needs.geometry.luma_pitch >= needs.geometry.width * bytes);
        prop_assert_eq!(w.get(pic::colMvBuffersize) as u64 * 256, needs.collocated_slot);
        prop_assert!(needs.collocated >= (u64::from(needs.place) + 1) * needs.collocated_slot);
        let Ok(plan) = scratch(&descriptor, hopper()) else { return Ok(()) };
        let own = Scratch::of(&w.shape(), hopper());
        prop_assert!(plan.size >= own.size && plan.size <= 8 * own.size + (256 << 20));
        prop_assert!(w.get(pic::HevcSaoAboveOffset) as u64 * 256 < plan.size);
    }
}
