//! One fact of the driver changed at a time, between driver and engine: each has to show.

use std::sync::Arc;
use std::time::Duration;

use hcq::Device;
use nvdec::{Context, DecoderOptions, Priority, emulated};
use nvkernel_sys::bits::Field;
use nvkernel_sys::video::{self, hevc_pic as pic};

use crate::support::{Execution, decode, decode_on, h200_with, stream, sums};

/// How a wrong fact shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caught {
    /// The channel stops.
    Fault,
    /// The engine reports an error.
    Error,
    /// Samples are not those of the stream.
    Samples,
}

#[track_caller]
fn caught(name: &str, change: impl Fn(&mut Execution<'_>) + Send + Sync + 'static) -> Caught {
    let kernel = h200_with(change, |_| ());
    let decoded = decode(&kernel, &stream(name), None);
    if decoded.fatal.is_some() {
        assert!(!kernel.log().is_empty(), "{:?}", decoded.fatal);
        return Caught::Fault;
    }
    if !decoded.errors.is_empty() {
        return Caught::Error;
    }
    assert_ne!(decoded.sums, sums(name), "{name}: nobody noticed");
    Caught::Samples
}

/// A field set to a value in every picture that does not have it.
#[track_caller]
fn field(name: &str, field: Field, value: i64) -> Caught {
    caught(name, move |e| (0..usize::from(field.count)).for_each(|i| e.set(field, i, value)))
}

#[test]
fn without_a_change_nothing_is_caught() {
    for name in ["h_ra_cra", "h_tiles_non", "s_lt_rplm"] {
        let decoded = decode(&h200_with(|_| (), |_| ()), &stream(name), None);
        assert_eq!((decoded.sums, decoded.errors.len()), (sums(name), 0), "{name}");
    }
}

#[test]
fn reference_lists() {
    let second_first = caught("h_ra_cra", |e| {
        let second = e.get(pic::initreflistidxl0, 1);
        e.set(pic::initreflistidxl0, 0, second);
    });
    assert_eq!(second_first, Caught::Samples);
    let swapped = caught("h_ra_cra", |e| {
        for i in 0..16 {
            let (l0, l1) = (e.get(pic::initreflistidxl0, i), e.get(pic::initreflistidxl1, i));
            e.set(pic::initreflistidxl0, i, l1);
            e.set(pic::initreflistidxl1, i, l0);
        }
    });
    assert_eq!(swapped, Caught::Samples);
    let one_further = caught("h_ld_b", |e| {
        let first = e.get(pic::initreflistidxl0, 0);
        for i in 0..16 {
            let next = if i < 15 { e.get(pic::initreflistidxl0, i + 1) } else { first };
            e.set(pic::initreflistidxl0, i, next);
        }
    });
    assert_eq!(one_further, Caught::Samples);
    // The number of references tells the length of list entries.
    assert_eq!(field("s_lt_rplm", pic::num_ref_frames, 1), Caught::Error);
}

#[test]
fn reference_marks_and_distances() {
    let longer = caught("h_ra_cra", |e| {
        for i in 0..16 {
            let difference = e.get(pic::RefDiffPicOrderCnts, i);
            e.set(pic::RefDiffPicOrderCnts, i, difference + 3);
        }
    });
    assert_eq!(longer, Caught::Samples);
    // All of them negated scale the same; only low-delay pictures look at the sign (NoBackwardPredFlag).
    let backwards = caught("h_ld_b", |e| {
        for i in 0..16 {
            let difference = e.get(pic::RefDiffPicOrderCnts, i);
            e.set(pic::RefDiffPicOrderCnts, i, -difference);
        }
    });
    assert_eq!(backwards, Caught::Samples);
    assert_eq!(field("s_lt_rplm", pic::longtermflag, 0), Caught::Samples);
    assert_eq!(field("h_ra_cra", pic::longtermflag, 0x8000), Caught::Samples);
}

#[test]
fn picture_table() {
    let luma = |place: i64| video::SET_PICTURE_LUMA_OFFSET + 4 * place as u32;
    let chroma = |place: i64| video::SET_PICTURE_CHROMA_OFFSET + 4 * place as u32;
    let other_chroma = caught("h_ra_cra", move |e| {
        let (a, b) = (e.get(pic::initreflistidxl0, 0), e.get(pic::initreflistidxl0, 1));
        if a != b {
            let value = *e.method(chroma(b));
            *e.method(chroma(a)) = value;
        }
    });
    assert_eq!(other_chroma, Caught::Samples);
    let missing = caught("k_lp_temporal", move |e| {
        let place = e.get(pic::initreflistidxl0, 0);
        if place != e.get(pic::curr_pic_idx, 0) {
            e.methods.retain(|(method, _)| *method != luma(place));
        }
    });
    assert_eq!(missing, Caught::Fault);
    let target = caught("k_lp_temporal", move |e| {
        let place = e.get(pic::curr_pic_idx, 0);
        *e.method(luma(place)) += 1;
    });
    assert_eq!(target, Caught::Samples);
}

#[test]
fn collocated_motion() {
    let moving = caught("h_tmvp2_o", |e| {
        // Pictures do not agree on where the slots are.
        let slot = e.get(pic::colMvBuffersize, 0) as u32;
        *e.method(video::SET_COLOC_DATA_OFFSET) += slot * (e.number as u32 % 2);
    });
    assert_eq!(moving, Caught::Samples);
    let overlapping = caught("h_ra_cra", |e| {
        let slot = e.get(pic::colMvBuffersize, 0);
        e.set(pic::colMvBuffersize, 0, slot / 4);
    });
    assert_eq!(overlapping, Caught::Samples);
    assert_eq!(field("h_ra_cra", pic::colMvBuffersize, 1 << 20), Caught::Fault);
}

#[test]
fn surface_layout() {
    for (stream, field_index) in [("k_lp_temporal", 0), ("k_lp_temporal", 1), ("h_10b_ra", 0)] {
        let wider = caught(stream, move |e| {
            let stride = e.get(pic::framestride, field_index);
            e.set(pic::framestride, field_index, stride + 64);
        });
        assert_eq!(wider, Caught::Samples);
    }
    // Bytes where samples are asked for.
    let bytes = caught("h_10b_ra", |e| {
        let stride = e.get(pic::framestride, 0);
        e.set(pic::framestride, 0, 2 * stride);
    });
    assert_eq!(bytes, Caught::Samples);
    assert_eq!(field("h_10b_ra", pic::disp_output_mode, 0), Caught::Error);
    assert_eq!(field("h_ld_b", pic::tileformat, 0), Caught::Error);
    assert_eq!(field("h_ld_b", pic::gob_height, 1), Caught::Error);
    assert_eq!(field("h_ld_b", pic::sw_start_code_e, 0), Caught::Error);
}

#[test]
fn slice_headers() {
    for delta in [-1, 1, 8] {
        let shifted = caught("h_ra_cra", move |e| {
            let length = e.get(pic::sw_hdr_skip_length, 0);
            e.set(pic::sw_hdr_skip_length, 0, (length + delta).max(0));
        });
        assert_eq!(shifted, Caught::Error, "{delta}");
    }
    assert_eq!(field("h_ra_cra", pic::IDR_picture_flag, 1), Caught::Error);
    assert_eq!(field("h_ra_cra", pic::RAP_picture_flag, 0), Caught::Error);
    assert_eq!(field("h_depslice_ctu", pic::dependent_slice_segments_enabled_flag, 0), Caught::Error);
    assert_eq!(field("s_hdr_ext_wpp", pic::slice_segment_header_extension_present_flag, 0), Caught::Error);
    assert_eq!(field("h_wpp", pic::entropy_coding_sync_enabled_flag, 0), Caught::Error);
    assert_eq!(field("s_lt_rplm", pic::lists_modification_present_flag, 0), Caught::Error);
    assert_eq!(field("h_wp_p", pic::weighted_pred_flag, 0), Caught::Error);
    assert_eq!(field("h_wp_ra", pic::weighted_bipred_flag, 0), Caught::Error);
    assert_eq!(field("h_slice_cqp_o", pic::pps_slice_chroma_qp_offsets_present_flag, 0), Caught::Error);
}

#[test]
fn parameter_sets() {
    let wrong = |name, f, value| {
        let how = field(name, f, value);
        assert_ne!(how, Caught::Fault, "{} in {name}", f.name);
    };
    wrong("h_ra_cra", pic::amp_enable_flag, 0);
    wrong("h_ra_cra", pic::max_transform_hierarchy_depth_inter, 0);
    wrong("h_ra_cra", pic::max_transform_hierarchy_depth_intra, 0);
    wrong("h_ra_cra", pic::log2_min_luma_coding_block_size, 4);
    wrong("h_ra_cra", pic::log2_max_transform_block_size, 4);
    wrong("h_ra_cra", pic::sample_adaptive_offset_enabled_flag, 0);
    wrong("h_ra_cra", pic::strong_intra_smoothing_enabled_flag, 0);
    wrong("h_ra_cra", pic::sps_temporal_mvp_enabled_flag, 0);
    wrong("h_ra_cra", pic::sign_data_hiding_enabled_flag, 0);
    wrong("h_ra_cra", pic::log2_parallel_merge_level, 3);
    wrong("h_10b_ra", pic::init_qp, 26);
    wrong("h_cip", pic::constrained_intra_pred_flag, 0);
    wrong("h_sl_file", pic::scalingListEnable, 0);
    wrong("h_sl_file", pic::transform_skip_enabled_flag, 0);
    wrong("h_sl_file", pic::log2MaxTransformSkipSize, 0);
    wrong("h_dqp", pic::cu_qp_delta_enabled_flag, 0);
    wrong("h_dqp", pic::diff_cu_qp_delta_depth, 0);
    wrong("h_lossless", pic::transquant_bypass_enabled_flag, 0);
    wrong("h_pcm10", pic::pcm_sample_bit_depth_luma, 10);
    wrong("h_pcm10", pic::log2_max_pcm_luma_coding_block_size, 4);
    wrong("h_tiles_non", pic::loop_filter_across_tiles_enabled_flag, 1);
    wrong("h_tiles_non", pic::tiles_enabled_flag, 0);
    wrong("h_slice_ctu", pic::loop_filter_across_slices_enabled_flag, 0);
    wrong("k_lp_temporal", pic::pps_cb_qp_offset, 3);
    wrong("k_lp_temporal", pic::pps_beta_offset, -6);
    wrong("k_lp_temporal", pic::pps_deblocking_filter_disabled_flag, 1);
}

#[test]
fn tile_table() {
    let columns_first = caught("h_tiles_non", |e| {
        // Width and height, as if the table held heights first.
        e.patch(video::HEVC_SET_TILE_SIZES_OFFSET, 24, |table| {
            table.chunks_exact_mut(4).for_each(|tile| tile.rotate_left(2));
        });
    });
    assert_eq!(columns_first, Caught::Error);
    let swapped = caught("h_tiles_non", |e| {
        e.patch(video::HEVC_SET_TILE_SIZES_OFFSET, 24, |table| {
            // The first two columns.
            for row in table.chunks_exact_mut(12) {
                let (a, b) = row.split_at_mut(4);
                a.swap_with_slice(&mut b[..4]);
            }
        });
    });
    assert_eq!(swapped, Caught::Error);
    let down_first = caught("h_tiles_non", |e| {
        e.patch(video::HEVC_SET_TILE_SIZES_OFFSET, 24, |table| {
            let old = table.to_vec();
            for (i, tile) in table.chunks_exact_mut(4).enumerate() {
                let from = (i % 2 * 3 + i / 2) * 4;
                tile.copy_from_slice(&old[from..from + 4]);
            }
        });
    });
    assert_eq!(down_first, Caught::Error);
}

#[test]
fn scaling_lists() {
    for stream in ["h_sl_file", "x_slist_file"] {
        let rows_first = caught(stream, |e| {
            e.patch(video::HEVC_SET_SCALING_LIST_OFFSET, 1008, |lists| {
                let (small, large) = lists[16..].split_at_mut(96);
                small.chunks_exact_mut(16).for_each(|m| transpose(m, 4));
                large.chunks_exact_mut(64).for_each(|m| transpose(m, 8));
            });
        });
        assert_eq!(rows_first, Caught::Samples);
    }
    let dc = caught("h_sl_file", |e| {
        e.patch(video::HEVC_SET_SCALING_LIST_OFFSET, 8, |dc| dc.fill(16));
    });
    assert_eq!(dc, Caught::Samples);
}

fn transpose(matrix: &mut [u8], side: usize) {
    for y in 0..side {
        for x in 0..y {
            matrix.swap(y * side + x, x * side + y);
        }
    }
}

#[test]
fn scratch_areas() {
    // The H of the areas above is taken for a single row: they overlap.
    let overlapping = caught("h_ra_cra", |e| {
        let above = e.get(pic::HevcFltAboveOffset, 0);
        e.set(pic::HevcSaoAboveOffset, 0, above + 1);
    });
    assert_eq!(overlapping, Caught::Fault);
    for offset in [pic::HevcSaoBufferOffset, pic::HevcBsdCtrlOffset] {
        assert_eq!(field("h_tiles_non", offset, 0), Caught::Fault, "{}", offset.name);
    }
    // The buffer ends in the middle of an area.
    let small = caught("h_ra_cra", |e| {
        let mut end = e.address(video::HEVC_SET_FILTER_BUFFER_OFFSET);
        while e.memory.read(end, &mut [0]).is_ok() {
            end += 4096;
        }
        *e.method(video::HEVC_SET_FILTER_BUFFER_OFFSET) = (end >> 8) as u32 - 8;
    });
    assert_eq!(small, Caught::Fault);
    // Scratch where the picture is.
    let on_target = caught("h_ra_cra", |e| {
        let place = e.get(pic::curr_pic_idx, 0) as u32;
        let target = *e.method(video::SET_PICTURE_LUMA_OFFSET + 4 * place);
        *e.method(video::HEVC_SET_FILTER_BUFFER_OFFSET) = target;
    });
    assert_eq!(on_target, Caught::Fault);
}

#[test]
fn missing_addresses() {
    for method in [
        video::SET_DRV_PIC_SETUP_OFFSET,
        video::SET_IN_BUF_BASE_OFFSET,
        video::SET_NVDEC_STATUS_OFFSET,
        video::SET_COLOC_DATA_OFFSET,
        video::HEVC_SET_TILE_SIZES_OFFSET,
        video::HEVC_SET_FILTER_BUFFER_OFFSET,
        video::HEVC_SET_SCALING_LIST_OFFSET,
    ] {
        // The second picture: what the first one was told is forgotten.
        let how = caught("h_sl_file", move |e| {
            if e.number == 1 {
                e.methods.retain(|(known, _)| *known != method);
            }
        });
        assert_eq!(how, Caught::Fault, "{method:#x}");
    }
}

#[test]
fn slice_data() {
    let short = caught("h_ra_cra", |e| {
        let length = e.get(pic::stream_len, 0);
        e.set(pic::stream_len, 0, length / 2);
    });
    assert_eq!(short, Caught::Error);
    assert_eq!(field("h_ra_cra", pic::stream_len, 0), Caught::Error);
    assert_eq!(field("h_ra_cra", pic::stream_len, 0xffff_ffff), Caught::Fault);
    let elsewhere = caught("h_ra_cra", |e| *e.method(video::SET_IN_BUF_BASE_OFFSET) += 1);
    assert_eq!(elsewhere, Caught::Error);
}

/// Every engine but one is slow, and that one does not wait for the others.
#[test]
fn semaphore_waits() {
    let is_caught = |hasty: bool| {
        let kernel = emulated::h200().unwrap();
        let context = Context::new(Device::open(Arc::new(kernel.clone()), 0).unwrap()).unwrap();
        for &engine in context.engines() {
            context.video_queue(engine, Priority::Bulk).unwrap();
            kernel.faults().slow_down(0, engine, Duration::from_millis(20));
        }
        let quick = context.engines()[0];
        kernel.faults().slow_down(0, quick, Duration::ZERO);
        if hasty {
            kernel.faults().skip_acquires(0, quick);
        }
        let data = stream("h_ra_cra").repeat(3);
        let decoded = decode_on(&context, &data, DecoderOptions::default(), 2);
        let expected = sums("h_ra_cra");
        // It reads references that are not there, and scratch memory that is still being cleared.
        decoded.fatal.is_some()
            || !decoded.errors.is_empty()
            || decoded.sums.iter().zip(expected.iter().cycle()).any(|(a, b)| a != b)
    };
    assert!(!is_caught(false));
    assert!(is_caught(true), "nobody noticed");
}
