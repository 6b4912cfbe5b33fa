//! Printing, comparing and shrinking.

use std::collections::BTreeSet;

use nvkernel_sys::video::hevc_pic as pic;

use super::*;
use crate::replay::diff;
use crate::replay::print::picture_text;
use crate::replay::shrink::{References, Selection, shrink, write};
use crate::replay::syntax::SyntaxReader;

#[test]
fn pictures_are_printed_by_name() {
    let capture = recording("h_wp_ra");
    let mut syntax = SyntaxReader::new(&capture);
    let texts: Vec<String> = (0..capture.pictures().len())
        .map(|index| picture_text(&capture, index, &syntax.picture(index).unwrap(), false).unwrap())
        .collect();
    for part in [
        "VPS_NUT",
        "SPS_NUT",
        "PPS_NUT",
        "IDR_W_RADL",
        "slice_type = I",
        "SET_DRV_PIC_SETUP_OFFSET -> 512 bytes",
        "SET_CONTROL_PARAMS = 0x42057: CODEC_TYPE = 7 (HEVC)",
        "HEVC_SET_FILTER_BUFFER_OFFSET -> memory",
        "tileformat = 1 (KBL)",
        "log2_max_luma_coding_block_size = ",
        "the target",
        "mbs_correctly_decoded",
        "MD5 of Y, Cb, Cr",
        "IDR_picture_flag = 1",
    ] {
        assert!(texts[0].contains(part), "{part} is not in\n{}", texts[0]);
    }
    // Slice headers say what the descriptor says, each in its own words.
    let mut with_weights = 0;
    for (text, picture) in texts.iter().zip(capture.pictures()).skip(1) {
        let descriptor = capture.data(picture, video::SET_DRV_PIC_SETUP_OFFSET).unwrap().unwrap();
        let skip = pic::sw_hdr_skip_length.read(&descriptor, 0).unwrap();
        assert!(text.contains(&format!("sw_hdr_skip_length by the header = {skip}\n")), "{text}");
        let total = pic::num_ref_frames.read(&descriptor, 0).unwrap();
        assert!(total == 0 || text.contains(&format!("NumPicTotalCurr = {total}\n")), "{text}");
        assert!(!text.contains("VPS_NUT"), "parameter sets stand where they came");
        with_weights += usize::from(text.contains("pred_weight_table = {"));
    }
    assert!(with_weights > 0);
}

#[test]
fn parameter_sets_that_change_are_those_of_their_pictures() {
    // The header of every picture can be parsed with the sets before it, and gives the length that the
    // decoder found.
    for name in ["s_hdr_ext_wpp", "s_lt_rplm", "h_ra_cra", "h_depslice_wpp"] {
        let capture = recording(name);
        let mut syntax = SyntaxReader::new(&capture);
        for index in 0..capture.pictures().len() {
            for nal in syntax.picture(index).unwrap() {
                assert_eq!(nal.error, None, "{name}, picture {index}: {}", nal.kind);
            }
        }
    }
}

#[test]
fn the_first_difference_is_named_field_by_field() {
    let capture = recording("h_tiles_slices");
    assert_eq!(diff::compare(&capture, &capture).unwrap(), None);
    // Another engine, other waits, other cycles: the same submission.
    let elsewhere = open(change(&capture, |_, draft| {
        draft.picture.engine = "NVDEC6".to_owned();
        draft.picture.point += 5;
        draft.picture.waits.clear();
        draft.picture.status.as_mut().unwrap().cycle_count += 9;
    }));
    assert_eq!(diff::compare(&capture, &elsewhere).unwrap(), None);
    let changed = open(change(&capture, |index, draft| {
        if index == 3 {
            draft.set(pic::pps_cb_qp_offset, 0, -7);
            draft.set(pic::initreflistidxl1, 2, 15);
            draft.data(video::HEVC_SET_TILE_SIZES_OFFSET)[0x700] = 99;
            let stream = draft.data(video::SET_IN_BUF_BASE_OFFSET);
            stream[30] ^= 1;
            draft.picture.hashes.as_mut().unwrap().md5[2] = "other".to_owned();
            draft.picture.methods.retain(|m| m.method != video::HEVC_SET_FILTER_BUFFER_OFFSET);
        }
        if index == 4 {
            draft.picture.poc += 1;
        }
    }));
    let report = diff::compare(&capture, &changed).unwrap().unwrap();
    assert_eq!((report.picture, report.pictures_differing), (Some(3), 2));
    let found: Vec<&str> = report.differences.iter().map(|d| d.what.as_str()).collect();
    for what in [
        "nvdec_hevc_pic_s.pps_cb_qp_offset",
        "nvdec_hevc_pic_s.initreflistidxl1[2]",
        "tile table at 0x700",
        "HEVC_SET_FILTER_BUFFER_OFFSET",
        "MD5 of the planes",
    ] {
        assert!(found.contains(&what), "{what}: {found:?}");
    }
    let slice =
        found.iter().find(|what| what.starts_with("slice data at byte 0x1e, byte 0x2 of NAL unit 2 ("));
    assert!(slice.is_some(), "{found:?}");
    let text = report.to_string();
    assert!(text.starts_with(&format!(
        "picture 3 (POC {}) is the first that differs; 1 more do\n",
        report.poc.unwrap()
    )));
    assert!(text.contains("nvdec_hevc_pic_s.pps_cb_qp_offset: 0 -> -7\n"), "{text}");
    // One that is shorter.
    let (bytes, _) = record_with(&stream("h_tiles_slices"), None, Some(4));
    let report = diff::compare(&capture, &open(bytes)).unwrap().unwrap();
    assert_eq!((report.picture, report.pictures.1), (None, 4));
}

#[test]
fn where_things_lie_is_no_difference() {
    // Over all engines, surfaces and places go by which engine is done first.
    for name in ["x_wpp", "h_ra_cra", "s_lt_rplm", "h_tmvp2_o"] {
        let (one, all) = (recording(name), open(record_with(&stream(name), None, None).0));
        let report = diff::compare(&one, &all).unwrap();
        assert_eq!(report, None, "{name}: {}", report.as_ref().unwrap());
    }
}

#[test]
fn references_are_compared_by_their_pictures() {
    let capture = recording("x_wpp");
    let changed = open(change(&capture, |index, draft| {
        if index == 3 {
            let (first, second) = (draft.get(pic::initreflistidxl0, 0), draft.get(pic::initreflistidxl0, 1));
            draft.set(pic::initreflistidxl0, 0, second);
            draft.set(pic::longtermflag, 0, 1 << (15 - first));
        }
    }));
    let report = diff::compare(&capture, &changed).unwrap().unwrap();
    assert_eq!((report.picture, report.pictures_differing), (Some(3), 1));
    let text = report.to_string();
    assert!(text.contains("nvdec_hevc_pic_s.initreflistidxl0[0]: picture 0 -> picture 2"), "{text}");
    assert!(text.contains("nvdec_hevc_pic_s.longtermflag of picture 0: 0 -> 1"), "{text}");
}

#[test]
fn slice_header_elements_are_compared() {
    let capture = recording("h_slice_ctu");
    let changed = open(change(&capture, |index, draft| {
        if index == 0 {
            // slice_qp_delta of an IDR picture stands within the first bytes behind the NAL unit header.
            let stream = draft.data(video::SET_IN_BUF_BASE_OFFSET);
            stream[7] ^= 0x10;
        }
    }));
    let report = diff::compare(&capture, &changed).unwrap().unwrap();
    assert!(report.differences.iter().any(|d| d.what.starts_with("NAL unit 0: ")), "{report}");
}

#[test]
fn the_smallest_set_of_pictures_and_segments_is_found() {
    let capture = recording("h_slice_ctu");
    let references = References::of(&capture).unwrap();
    let total = capture.pictures().len();
    // What is looked for needs one picture and one of its slice segments.
    let wanted = total - 2;
    let closure = references.closure(&[wanted]);
    assert!(closure.len() > 1, "the picture refers to others");
    let count = segments(&capture, wanted);
    assert!(count > 2);
    let number = capture.pictures()[wanted].number;
    let mut tries = 0;
    let mut test = |selection: &Selection| {
        tries += 1;
        let bytes = write(&capture, &references, selection, Vec::new())?;
        let candidate = try_open(bytes)?;
        // Every candidate can be replayed, and those with all their slice segments come out as recorded.
        let (_, context) = machine();
        let outcome = replay(&context, &candidate, Assignment::Captured, false, &mut |_| ())?.outcome;
        assert!(outcome.is_identical(), "{selection:?}: {}", outcome.verdict(candidate.pictures().len()));
        let dropped = selection.dropped.get(&wanted);
        Ok(candidate.pictures().iter().any(|p| p.number == number) && dropped.is_none_or(|d| !d.contains(&1)))
    };
    let shrunk = shrink(&capture, &references, &mut test).unwrap().unwrap();
    assert_eq!(shrunk.selection.pictures, closure);
    assert_eq!(shrunk.selection.dropped[&wanted], (0..count).filter(|&i| i != 1).collect::<BTreeSet<_>>());
    assert_eq!(shrunk.tries, tries);
    let least = open(write(&capture, &references, &shrunk.selection, Vec::new()).unwrap());
    let last = least.pictures().last().unwrap();
    assert_eq!((last.number, last.hashes.is_none()), (number, true), "changed pictures expect nothing");
    assert_eq!(segments(&least, least.pictures().len() - 1), 1);
    // Nothing to keep where the whole does not show it.
    assert_eq!(shrink(&capture, &references, &mut |_| Ok(false)).unwrap(), None);
}

/// Slice segments of a picture.
fn segments(capture: &Capture, index: usize) -> usize {
    let data = capture.data(&capture.pictures()[index], video::SET_IN_BUF_BASE_OFFSET).unwrap().unwrap();
    bitstream::split_annex_b(&data).count()
}

#[test]
fn parts_of_a_capture_are_closed() {
    for name in ["h_ra_cra", "s_lt_rplm", "h_tmvp2_o"] {
        let capture = recording(name);
        let references = References::of(&capture).unwrap();
        let all: Vec<usize> = (0..capture.pictures().len()).collect();
        assert_eq!(references.closure(&all), all);
        for index in (0..all.len()).step_by(3) {
            let pictures = references.closure(&[index]);
            let selection = Selection { pictures: pictures.clone(), ..Selection::default() };
            let part = open(write(&capture, &references, &selection, Vec::new()).unwrap());
            let outcome = play(&part, Assignment::All).unwrap().outcome;
            assert_eq!(
                outcome.identical,
                pictures.len(),
                "{name}, {pictures:?}: {}",
                outcome.verdict(pictures.len())
            );
            let mut syntax = SyntaxReader::new(&part);
            for index in 0..pictures.len() {
                assert!(syntax.picture(index).unwrap().iter().all(|nal| nal.error.is_none()), "{name}");
            }
            // Without it, everything that needs it is gone.
            let rest = references.without(&all, &[index]);
            assert!(!rest.contains(&index) && references.closure(&rest) == rest);
        }
    }
}
