//! What the engine holds the driver to, as seen on an H200.

use std::sync::{Arc, Mutex};

use hcq::kernel::emulated::LaunchFault;
use hcq::{EngineKind, EngineType};
use nvdec::{Error, PictureFault};
use nvkernel_sys::bits::Field;
use nvkernel_sys::video::{self, hevc_pic as pic};

use crate::support::{Decoded, Execution, decode, h200_with, stream, sums};

/// Statuses of a stream's pictures, in decoding order, and what came out.
fn statuses(
    data: &[u8],
    before: impl Fn(&mut Execution<'_>) + Send + Sync + 'static,
) -> (Vec<[u32; 14]>, Decoded) {
    let seen: Arc<Mutex<Vec<[u32; 14]>>> = Arc::default();
    let after = {
        let seen = seen.clone();
        move |e: &mut Execution<'_>| seen.lock().unwrap().push(e.status())
    };
    let decoded = decode(&h200_with(before, after), data, None);
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    (seen, decoded)
}

const CORRECT: usize = 0;
const IN_ERROR: usize = 1;
const CYCLES: usize = 2;
const ERROR_STATUS: usize = 3;
const INTRA: usize = 4;
const INTER: usize = 5;
const SKIPPED: usize = 6;
const ERROR_CTB: usize = 11;
const SLICE_HEADER: usize = 13;

#[test]
fn good_pictures_count_their_blocks() {
    let (seen, decoded) = statuses(&stream("h_ra_cra"), |_| ());
    assert_eq!(decoded.sums, sums("h_ra_cra"));
    assert_eq!(seen.len(), 33);
    for status in &seen {
        assert_eq!(status[CORRECT], 13 * 8, "208x120 in blocks of 16x16");
        assert_eq!([status[IN_ERROR], status[ERROR_STATUS], status[SLICE_HEADER]], [0; 3]);
        assert!(status[CYCLES] > 100, "{status:?}");
        assert_eq!(status[INTRA] + status[INTER], 26 * 15, "in blocks of 8x8");
        assert!(status[SKIPPED] <= 4 * status[INTER]);
    }
    assert_eq!(seen[0][INTER], 0, "the first picture is intra");
    assert!(seen.iter().any(|status| status[SKIPPED] > 0));
}

#[test]
fn a_status_that_is_not_clear_stops_the_engine() {
    for word in [0, 3, 9] {
        let (seen, decoded) = statuses(&stream("h_ld_b"), move |e| {
            if e.number == 2 {
                let at = e.address(video::SET_NVDEC_STATUS_OFFSET) + 4 * word;
                e.memory.store_u32(at, 1).unwrap();
            }
        });
        let mut expected = [0; 14];
        expected[word as usize] = 1;
        expected[CYCLES] = 3;
        assert_eq!(seen[2], expected);
        assert_eq!(decoded.errors.len(), 1, "{:?}", decoded.errors);
        assert_eq!(decoded.sums[..2], sums("h_ld_b")[..2]);
        assert_ne!(decoded.sums[2], sums("h_ld_b")[2], "its surface was left alone");
    }
}

#[test]
fn what_makes_no_difference() {
    let fields: [(Field, i64); 14] = [
        (pic::separate_colour_plane_flag, 1),
        (pic::log2_max_pic_order_cnt_lsb_minus4, 15),
        (pic::num_short_term_ref_pic_sets, 99),
        (pic::num_long_term_ref_pics_sps, 33),
        (pic::bBitParsingDisable, 1),
        (pic::num_delta_pocs_of_rps_idx, 77),
        (pic::long_term_ref_pics_present_flag, 1),
        (pic::num_bits_short_term_ref_pics_in_slice, 12345),
        (pic::pattern_id, 2),
        (pic::slice_ec_enable, 1),
        (pic::slice_ec_mv_type, 0),
        (pic::slice_ec_slice_type, 1),
        (pic::HevcSliceEdgeOffset, 0x1234_5678),
        (pic::output_flag_present_flag, 1),
    ];
    for name in ["h_ra_cra", "s_lt_rplm"] {
        let (_, decoded) = statuses(&stream(name), move |e| {
            for (field, value) in fields {
                e.set(field, 0, value);
            }
        });
        assert_eq!((decoded.sums, decoded.errors.len()), (sums(name), 0), "{name}");
    }
}

#[test]
fn methods_of_other_classes_stop_the_channel() {
    for (method, known) in [
        (video::SET_HISTOGRAM_OFFSET, true),
        (video::SET_INTRA_TOP_BUF_OFFSET, false),
        (video::SET_PREDICATION_OFFSET_LOWER, false),
        (video::UNNAMED_SCRATCH_OFFSET_4DC, false),
    ] {
        let kernel = h200_with(move |e| e.methods.push((method, 1)), |_| ());
        let decoded = decode(&kernel, &stream("h_ld_b"), None);
        let log = kernel.log().join("; ");
        assert_eq!(decoded.sums == sums("h_ld_b"), known, "{method:#x}: {log}");
        assert_eq!(log.contains(&format!("has no method {method:#06x}")), !known, "{method:#x}: {log}");
    }
}

#[test]
fn damaged_slice_data_is_an_error_of_its_picture() {
    let (seen, decoded) = statuses(&stream("h_ra_cra"), |e| {
        if [0, 2, 3].contains(&e.number) {
            let length = e.get(pic::stream_len, 0) as usize;
            // Behind the slice header, so that nothing but zeros follows.
            e.patch(video::SET_IN_BUF_BASE_OFFSET, length, |data| data[length.min(20)..].fill(0x55));
        }
    });
    for (i, status) in seen.iter().enumerate() {
        match i {
            0 => assert_eq!(status[ERROR_STATUS], 0x5, "an I slice"),
            2 | 3 => assert_eq!(status[ERROR_STATUS], 0xd, "a B slice"),
            _ => assert_eq!([status[IN_ERROR], status[ERROR_STATUS]], [0; 2], "picture {i}"),
        }
        assert_eq!(status[CORRECT] + status[IN_ERROR], 13 * 8);
        assert_eq!(status[SLICE_HEADER], 0);
    }
    assert_eq!(decoded.errors.len(), 3, "{:?}", decoded.errors);
    assert_eq!(decoded.sums.len(), 33);
    assert!(decoded.fatal.is_none());
}

#[test]
fn a_missing_slice_is_counted_and_concealed() {
    // The second of the slices of the fifth picture.
    let data = stream("h_slice_ctu");
    let mut slices = 0;
    let mut pictures = 0;
    let mut cut = Vec::new();
    for nal in bitstream::split_annex_b(&data) {
        if nal[0] >> 1 & 0x3f < 32 {
            let first = nal[2] & 0x80 != 0;
            (pictures, slices) = if first { (pictures + 1, 1) } else { (pictures, slices + 1) };
            if pictures == 5 && slices == 2 {
                continue;
            }
        }
        cut.extend_from_slice(&[0, 0, 1]);
        cut.extend_from_slice(nal);
    }
    let (seen, decoded) = statuses(&cut, |_| ());
    let status = seen[4];
    assert_eq!([status[IN_ERROR], status[ERROR_STATUS], status[SLICE_HEADER]], [0; 3]);
    assert!(status[CORRECT] < 13 * 8);
    let fault = decoded.errors.iter().find_map(|e| match e {
        Error::Picture { number, fault, .. } => Some((*number, *fault)),
        _ => None,
    });
    assert_eq!(fault, Some((4, PictureFault::Incomplete { decoded: status[CORRECT], expected: 104 })));
}

#[test]
fn slice_headers_that_make_no_sense_have_their_own_code() {
    let (seen, decoded) = statuses(&stream("h_ld_b"), |e| {
        if e.number == 1 {
            e.set(pic::sw_hdr_skip_length, 0, 0xffff);
        }
    });
    assert_ne!(seen[1][SLICE_HEADER], 0);
    assert_eq!(seen[1][CORRECT], 0);
    assert!(
        matches!(decoded.errors[0], Error::Picture { fault: PictureFault::SliceHeader { .. }, .. }),
        "{:?}",
        decoded.errors
    );
}

#[test]
fn what_the_model_cannot_do_is_an_error_status() {
    let refusals: [(&str, Field, i64, u32); 9] = [
        ("h_ld_b", pic::chroma_format_idc, 0, 8),
        ("h_ld_b", pic::chroma_format_idc, 2, 8),
        ("h_ld_b", pic::chroma_format_idc, 3, 8),
        ("h_ld_b", pic::crossComponentPredictionEnableFlag, 1, 8),
        ("h_ld_b", pic::fastRiceAdaptationEnableFlag, 1, 8),
        ("h_ld_b", pic::bit_depth_chroma, 10, 8),
        ("h_ld_b", pic::pic_width_in_luma_samples, 64, 8),
        ("h_ld_b", pic::log2_max_luma_coding_block_size, 3, 8),
        ("h_tiles_non", pic::entropy_coding_sync_enabled_flag, 1, 5),
    ];
    for (name, field, value, code) in refusals {
        let (seen, decoded) = statuses(&stream(name), move |e| {
            if e.number == 0 {
                e.set(field, 0, value);
            }
        });
        assert_eq!(seen[0][ERROR_STATUS], code, "{} = {value}", field.name);
        assert_eq!(seen[0][CORRECT], 0);
        assert!(seen[0][IN_ERROR] > 0 && !decoded.errors.is_empty());
        assert_eq!(seen[1][ERROR_STATUS], 0, "the engine goes on");
    }
}

#[test]
fn the_timer_ends_a_picture() {
    let (seen, _) = statuses(&stream("h_ld_b"), |e| {
        if e.number == 1 {
            e.set(pic::gptimer_timeout_value, 0, 1000);
        }
    });
    assert_eq!([seen[0][ERROR_STATUS], seen[1][ERROR_STATUS], seen[2][ERROR_STATUS]], [0, 0x7104, 0]);
}

#[test]
fn an_error_names_its_place() {
    // The last slice of the first picture is damaged: rows above are not.
    let (seen, _) = statuses(&stream("h_slice_ctu"), |e| {
        if e.number == 0 {
            let length = e.get(pic::stream_len, 0) as usize;
            e.patch(video::SET_IN_BUF_BASE_OFFSET, length, |data| data[length - 20..].fill(0x55));
        }
    });
    let status = seen[0];
    assert_eq!(status[ERROR_STATUS], 0x5);
    assert!(status[CORRECT] > 0 && status[ERROR_CTB] & 0xffff > 0, "{status:x?}");
}

/// Whatever descriptor and slice data say, the engine answers or faults.
#[test]
fn nothing_hangs_it() {
    let names = ["h_confwin", "h_tiles_slices", "h_pcm10", "h_wp_ra"];
    for seed in 0..48u64 {
        let data = stream(names[seed as usize % names.len()]);
        let (_, decoded) = statuses(&data, move |e| {
            let mut state = (seed << 8 | e.number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut next = |limit: usize| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as usize % limit
            };
            if seed % 2 == 0 {
                let length = e.get(pic::stream_len, 0) as usize;
                e.patch(video::SET_IN_BUF_BASE_OFFSET, length, |data| {
                    (0..3).for_each(|_| data[6 + next(length - 6)] ^= 1 << next(8));
                });
            } else {
                // From the picture size on: addresses and lengths are other tests' business.
                e.patch(video::SET_DRV_PIC_SETUP_OFFSET, pic::SIZE, |d| {
                    (0..3).for_each(|_| d[0x58 + next(0xf0 - 0x58)] ^= 1 << next(8));
                });
            }
        });
        // Pictures come out damaged or not at all; the driver ends in either case.
        assert!(decoded.fatal.is_some() || !decoded.sums.is_empty(), "seed {seed}");
    }
}

/// A picture that the engine gives up leaves its surface as it was; what does not depend on it is bit-exact, and so
/// is everything behind the next IDR picture.
#[test]
fn an_injected_error_status_is_the_pictures_own() {
    let (data, expected) = (stream("h_ld_b"), sums("h_ld_b"));
    let kernel = nvdec::emulated::h200().unwrap();
    let engine = EngineType::of(EngineKind::Nvdec, 3).unwrap();
    kernel.faults().fault_launch(0, engine, 2, LaunchFault::Status(0xd));
    let twice = decode(&kernel, &data.repeat(2), Some(engine));
    assert!(twice.fatal.is_none(), "{:?}", twice.fatal);
    let [
        Error::Picture {
            number: 2, fault: PictureFault::SliceData { error_status, mbs_in_error, .. }, ..
        },
    ] = twice.errors[..]
    else {
        panic!("{:?}", twice.errors)
    };
    assert_eq!((error_status, mbs_in_error), (0xd, 13 * 8));
    assert_eq!(twice.sums.len(), 2 * expected.len());
    assert_eq!(twice.sums[..2], expected[..2]);
    assert_ne!(twice.sums[2], expected[2]);
    assert_eq!(twice.sums[expected.len()..], expected);
}

/// One that no engine looks at stops the channel, so that no test takes it for granted. The copy queue comes back.
#[test]
fn an_error_status_needs_an_engine_that_reports_it() {
    let kernel = nvdec::emulated::h200().unwrap();
    let copy = EngineType::of(EngineKind::Copy, 4).unwrap();
    kernel.faults().fault_next_launch(0, copy, LaunchFault::Status(0xd));
    let decoded = decode(&kernel, &stream("h_ld_b"), None);
    assert!(kernel.log().iter().any(|line| line.contains("Xid 71")), "{:?}", kernel.log());
    assert!(decoded.fatal.is_some() || decoded.sums.len() == sums("h_ld_b").len(), "{decoded:?}");
}
