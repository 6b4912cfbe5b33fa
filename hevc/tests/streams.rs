//! Real streams against what FFmpeg reads and outputs. `HEVC_STREAMS` names more folders with streams.

mod common;

use std::collections::BTreeSet;

use bitstream::{Rbsp, split_annex_b};
use hevc::nal::NalHeader;
use hevc::{Parser, Unit};

/// Elements that only say whether others follow, or that are kept in another form.
const NOT_KEPT: [&str; 21] = [
    "vps_sub_layer_ordering_info_present_flag",
    "sps_sub_layer_ordering_info_present_flag",
    "aspect_ratio_info_present_flag",
    "aspect_ratio_idc",
    "video_signal_type_present_flag",
    "colour_description_present_flag",
    "sps_extension_present_flag",
    "sps_range_extension_flag",
    "sps_scc_extension_flag",
    "sps_curr_pic_ref_enabled_flag",
    "palette_mode_enabled_flag",
    "motion_vector_resolution_control_idc",
    "intra_boundary_filtering_disable_flag",
    "pps_extension_present_flag",
    "pps_range_extension_flag",
    "pps_scc_extension_flag",
    "pps_curr_pic_ref_enabled_flag",
    "residual_adaptive_colour_transform_enabled_flag",
    "pps_palette_predictor_initializer_present_flag",
    "cprms_present_flag[0]",
    "cprms_present_flag[1]",
];

#[test]
fn syntax_elements_equal_those_of_ffmpeg() {
    let (mut compared, mut names) = (0, BTreeSet::new());
    let mut differences = Vec::new();
    for path in common::streams() {
        let Ok(expected) = std::fs::read_to_string(path.with_extension("expected")) else { continue };
        let units = common::elements_of(&common::read(&path));
        let lines: Vec<&str> = expected.lines().collect();
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        if units.len() < lines.len() {
            differences.push(format!("{name}: {} NAL units, expected {}", units.len(), lines.len()));
        }
        for (index, (line, (kind, elements))) in lines.iter().zip(&units).enumerate() {
            let mut words = line.split(' ');
            if words.next() != Some(kind) {
                differences.push(format!("{name}: NAL unit {index} is {kind}, expected {line}"));
                break;
            }
            for (element, value) in words.map(|word| word.split_once('=').expect("name=value")) {
                if NOT_KEPT.contains(&element) {
                    continue;
                }
                compared += 1;
                names.insert(element.split('[').next().expect("a name").to_string());
                if elements.get(element).is_none_or(|found| found != value) {
                    let found = elements.get(element);
                    differences.push(format!(
                        "{name}: NAL unit {index} {kind}: {element} is {found:?}, expected {value}"
                    ));
                }
            }
        }
    }
    println!("{compared} elements of {} names compared", names.len());
    differences.truncate(40);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(compared > 6_000 && names.len() > 200, "{compared} elements of {} names", names.len());
}

#[test]
fn output_order_equals_that_of_ffmpeg() {
    let mut compared = 0;
    let mut differences = Vec::new();
    for path in common::streams() {
        let Ok(expected) = std::fs::read_to_string(path.with_extension("order")) else { continue };
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let expected: Vec<usize> =
            expected.split_whitespace().map(|word| word.parse().expect("a number")).collect();
        let run = common::run(&common::read(&path));
        let order: Vec<usize> = run.output.iter().map(|&(_, _, access_unit)| access_unit).collect();
        if order != expected {
            let first = order.iter().zip(&expected).position(|(a, b)| a != b);
            differences.push(format!(
                "{name}: {} pictures output, expected {}; first difference at {first:?}; errors {:?}",
                order.len(),
                expected.len(),
                run.errors
                    .iter()
                    .map(|(position, error)| format!("{position}: {error}"))
                    .take(3)
                    .collect::<Vec<_>>(),
            ));
        }
        compared += order.len();
        if !run.output.is_sorted_by_key(|&(sequence, poc, _)| (sequence, poc)) {
            differences.push(format!("{name}: order counts do not grow"));
        }
        // These streams keep the limits of their SPS.
        if run.max_held > 16 || run.max_place > 15 {
            differences.push(format!("{name}: {} pictures held", run.max_held));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(compared > 100);
}

#[test]
fn good_streams_have_no_errors_and_no_missing_references() {
    let mut failures = Vec::new();
    for path in common::streams() {
        let run = common::run(&common::read(&path));
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        for (position, error) in run.errors.iter().take(3) {
            failures.push(format!("{name}: byte {position}: {error}"));
        }
        if run.missing > 0 {
            failures.push(format!("{name}: {} references missing", run.missing));
        }
        let md5 = std::path::PathBuf::from(format!("{}.framemd5", path.display()));
        if let Ok(text) = std::fs::read_to_string(md5) {
            let frames = text.lines().filter(|line| !line.starts_with('#')).count();
            if frames != run.output.len() {
                failures.push(format!("{name}: {} pictures output, {frames} hashes", run.output.len()));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn slice_data_offsets_point_behind_the_header() {
    let mut slices = 0;
    for path in common::streams() {
        let stream = common::read(&path);
        let mut parser = Parser::new();
        for nal in split_annex_b(&stream) {
            let Ok(Unit::Slice(slice)) = parser.parse(nal) else { continue };
            let positions = slice.header.positions;
            let data = Rbsp::new(&nal[positions.data_offset_in_nal as usize..]);
            let whole = Rbsp::new(&nal[NalHeader::SIZE..]);
            let rest = &whole.bytes()[positions.header_size_rbsp as usize..];
            // The last byte of a header is not zero, so no escape spans it and the data.
            assert_eq!(data.bytes().len(), rest.len(), "{}", path.display());
            assert_eq!(data.bytes(), rest, "{}", path.display());
            slices += 1;
        }
    }
    assert!(slices > 50);
}

#[test]
fn the_beginning_of_a_slice_says_what_all_of_it_does() {
    for path in common::streams() {
        let stream = common::read(&path);
        let slices = common::check_beginnings(&stream, usize::MAX);
        assert!(slices > 0, "{path:?}");
        for length in [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144] {
            common::check_beginnings(&stream, length);
        }
        // With many slices and entry points headers are long, but not that long.
        assert!(common::check_beginnings(&stream, 256) * 10 > slices * 9, "{path:?}");
    }
}
