//! Parameter set activation, random access and loss: what the parser does from picture to picture.

mod common;

use std::ops::AddAssign;

use bitstream::{Rbsp, escape, split_annex_b};
use hevc::access_unit::BoundaryDetector;
use hevc::{DecodedPictureBuffer, Error, Ignored, NalHeader, NalUnitType, Parser, StartAt, Unit};

fn fixture(name: &str) -> Vec<u8> {
    common::read(&common::data().join(name))
}

fn kind(nal: &[u8]) -> NalUnitType {
    NalHeader::parse(nal).expect("a valid header").nal_unit_type
}

/// The first NAL unit of a type.
fn first(stream: &[u8], wanted: NalUnitType) -> Vec<u8> {
    split_annex_b(stream).find(|nal| kind(nal) == wanted).expect("present").to_vec()
}

/// Pictures of NAL units as (POC, skipped, first slice missing), and errors.
fn pictures<'a>(
    parser: &mut Parser,
    nals: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<(i32, bool, bool)>, Vec<Error>) {
    let (mut pictures, mut errors) = (Vec::new(), Vec::new());
    for nal in nals {
        match parser.parse(nal) {
            Ok(Unit::Slice(slice)) => pictures.extend(
                slice
                    .picture
                    .map(|picture| (picture.pic_order_cnt_val, picture.skipped, picture.first_slice_missing)),
            ),
            Ok(_) => {}
            Err(error) => errors.push(error),
        }
    }
    (pictures, errors)
}

#[test]
fn a_pps_may_arrive_before_its_sps() {
    let stream = fixture("h_confwin.hevc");
    let mut nals: Vec<&[u8]> = split_annex_b(&stream).collect();
    let pps = nals.iter().position(|nal| kind(nal) == NalUnitType::PPS_NUT).expect("a PPS");
    let pps = nals.remove(pps);
    nals.insert(0, pps);
    let (seen, errors) = pictures(&mut Parser::new(), nals);
    assert_eq!(errors, []);
    assert_eq!(seen.len(), 4);
}

#[test]
fn a_missing_vps_is_no_error_and_a_missing_pps_is_named() {
    let stream = fixture("h_confwin.hevc");
    let without = |unwanted| split_annex_b(&stream).filter(move |nal| kind(nal) != unwanted);
    let (seen, errors) = pictures(&mut Parser::new(), without(NalUnitType::VPS_NUT));
    assert_eq!((seen.len(), errors.len()), (4, 0));
    let (seen, errors) = pictures(&mut Parser::new(), without(NalUnitType::PPS_NUT));
    assert_eq!((seen.len(), errors.len()), (0, 4));
    let message = "slice segment header (PPS 0): refers to PPS 0, which was not received";
    assert_eq!(errors[0].to_string(), message);
    let (_, errors) = pictures(&mut Parser::new(), without(NalUnitType::SPS_NUT));
    assert_eq!(errors[0].to_string(), "PPS 0: refers to SPS 0, which was not received");
}

#[test]
fn a_new_sps_takes_effect_at_the_next_sequence_only() {
    let stream = fixture("h_confwin.hevc");
    let other = fixture("h_pcm10.hevc");
    let (other_sps, other_pps) = (first(&other, NalUnitType::SPS_NUT), first(&other, NalUnitType::PPS_NUT));
    let mut parser = Parser::new();
    let mut widths = Vec::new();
    let mut play = |parser: &mut Parser, stream: &[u8], inserted: &[&[u8]]| {
        for nal in split_annex_b(stream) {
            if let Ok(Unit::Slice(slice)) = parser.parse(nal)
                && let Some(picture) = slice.picture
            {
                widths.push(picture.sps.pic_width_in_luma_samples);
                for nal in inserted {
                    parser.parse(nal).expect("valid");
                }
            }
        }
    };
    // The other SPS arrives after each picture: a picture that has started and the rest of its sequence keep theirs.
    play(&mut parser, &stream, &[&other_sps]);
    let pictures_before = 4;
    play(&mut parser, &other, &[]);
    let (width, other_width) = (widths[0], *widths.last().expect("pictures"));
    assert_ne!(width, other_width);
    assert_eq!(widths[..pictures_before], [width; 4]);
    assert!(widths[pictures_before..].iter().all(|&w| w == other_width));
    parser.parse(&other_pps).expect("valid");
}

#[test]
fn a_cra_picture_with_another_sps_starts_a_sequence() {
    let (stream, other) = (fixture("h_confwin.hevc"), fixture("h_ra_cra.hevc"));
    let mut parser = Parser::new();
    pictures(&mut parser, split_annex_b(&stream));
    // The other stream from its CRA picture on, with nothing in between.
    let nals: Vec<&[u8]> = split_annex_b(&other).collect();
    let cra = nals.iter().position(|nal| kind(nal) == NalUnitType::CRA_NUT).expect("a CRA picture");
    let sets = nals.iter().filter(|nal| (32..=34).contains(&kind(nal).0));
    for nal in sets {
        parser.parse(nal).expect("valid");
    }
    let Ok(Unit::Slice(slice)) = parser.parse(nals[cra]) else { panic!("a slice segment") };
    let picture = slice.picture.expect("a new picture");
    assert!(picture.no_rasl_output_flag && !picture.no_output_of_prior_pics_flag);
    assert_eq!(picture.sequence, 1);
    let (seen, errors) = pictures(&mut parser, nals[cra + 1..].iter().copied());
    assert_eq!(errors, []);
    // Its leading pictures are skipped, those of later CRA pictures are not.
    let kinds = nals[cra + 1..].iter().map(|nal| kind(nal)).filter(|kind| kind.is_slice_segment());
    let mut later_cra = false;
    for (&(_, skipped, _), kind) in seen.iter().zip(kinds) {
        later_cra |= kind.is_cra();
        assert_eq!(skipped, kind.is_rasl() && !later_cra, "{kind}");
    }
    assert!(seen.iter().any(|&(_, skipped, _)| skipped));
}

#[test]
fn an_unchanged_parameter_set_stays_the_same_object() {
    let stream = fixture("h_confwin.hevc");
    let sps = first(&stream, NalUnitType::SPS_NUT);
    let mut parser = Parser::new();
    parser.parse(&sps).expect("valid");
    let before = parser.sps(0).expect("stored").clone();
    parser.parse(&sps).expect("valid");
    assert!(std::sync::Arc::ptr_eq(&before, parser.sps(0).expect("stored")));
    // A damaged one does not replace it.
    assert!(parser.parse(&sps[..sps.len() / 2]).is_err());
    assert!(std::sync::Arc::ptr_eq(&before, parser.sps(0).expect("stored")));
}

#[test]
fn pictures_before_the_first_irap_are_skipped_unless_asked_for() {
    let stream = fixture("s_eos_cra.hevc");
    let nals: Vec<&[u8]> = split_annex_b(&stream).collect();
    let irap = |nal: &&&[u8]| kind(nal).is_irap();
    // Without the first IRAP picture: everything up to the next one, a CRA picture, is skipped, and so are its RASL
    // pictures.
    let first_irap = nals.iter().find(irap).expect("an IRAP picture");
    let rest: Vec<&[u8]> = nals.iter().filter(|nal| nal.as_ptr() != first_irap.as_ptr()).copied().collect();
    let (seen, errors) = pictures(&mut Parser::new(), rest.iter().copied());
    assert_eq!(errors, []);
    let decoded = seen.iter().position(|&(_, skipped, _)| !skipped).expect("a picture");
    assert!(decoded > 0);
    let mut slices = rest.iter().filter(|nal| kind(nal).is_slice_segment());
    assert_eq!(slices.clone().nth(decoded).map(|nal| kind(nal)), Some(NalUnitType::CRA_NUT));
    let kinds: Vec<NalUnitType> = slices.by_ref().map(|nal| kind(nal)).collect();
    for (&(_, skipped, _), kind) in seen[decoded..].iter().zip(&kinds[decoded..]).take(8) {
        assert_eq!(skipped, kind.is_rasl(), "{kind}");
    }
    let mut parser = Parser::new();
    parser.set_start_at(StartAt::Any);
    let (seen, _) = pictures(&mut parser, rest);
    assert!(seen[..decoded].iter().all(|&(_, skipped, _)| !skipped));
}

#[test]
fn cra_handled_as_bla_skips_its_rasl_pictures() {
    let stream = fixture("h_ra_cra.hevc");
    let count = |handle: bool| {
        let mut parser = Parser::new();
        parser.set_handle_cra_as_bla(handle);
        pictures(&mut parser, split_annex_b(&stream)).0.iter().filter(|picture| picture.1).count()
    };
    let rasl = split_annex_b(&stream).filter(|nal| kind(nal).is_rasl()).count();
    assert!(rasl > 0);
    assert_eq!((count(false), count(true)), (0, rasl));
}

#[test]
fn a_lost_first_slice_segment_starts_the_picture_late() {
    let stream = fixture("h_tiles_non.hevc");
    let nals: Vec<&[u8]> = split_annex_b(&stream).collect();
    let (whole, _) = pictures(&mut Parser::new(), nals.iter().copied());
    // One slice per picture here: take a stream with several.
    let stream = fixture("h_tiles_slices.hevc");
    let nals: Vec<&[u8]> = split_annex_b(&stream).collect();
    let (all, errors) = pictures(&mut Parser::new(), nals.iter().copied());
    assert!(errors.is_empty() && !whole.is_empty());
    let is_first = |nal: &[u8]| kind(nal).is_slice_segment() && nal[2] & 0x80 != 0;
    let mut slices = 0;
    let damaged = nals.iter().copied().filter(|nal| {
        slices += usize::from(is_first(nal));
        !(is_first(nal) && slices > 1)
    });
    let (late, _) = pictures(&mut Parser::new(), damaged.collect::<Vec<_>>());
    assert_eq!(late.len(), all.len());
    assert_eq!(
        late.iter().map(|picture| picture.0).collect::<Vec<_>>(),
        all.iter().map(|picture| picture.0).collect::<Vec<_>>()
    );
    assert!(!late[0].2 && late[1..].iter().all(|&(_, _, missing)| missing));
}

#[test]
fn repeated_and_backward_slice_segments_are_errors() {
    let stream = fixture("h_tiles_slices.hevc");
    let nals: Vec<&[u8]> = split_annex_b(&stream).collect();
    let second = nals
        .iter()
        .position(|nal| kind(nal).is_slice_segment() && nal[2] & 0x80 == 0)
        .expect("a second slice");
    let mut parser = Parser::new();
    for nal in &nals[..=second] {
        parser.parse(nal).expect("valid");
    }
    assert!(matches!(parser.parse(nals[second]), Err(Error::SliceSegmentOrder { .. })));
    let picture = parser.current_picture().expect("a picture").clone();
    // The picture goes on with the segment after.
    let Ok(Unit::Slice(slice)) = parser.parse(nals[second + 1]) else { panic!("a slice segment") };
    assert!(
        slice.picture.is_none()
            && std::sync::Arc::ptr_eq(&picture, parser.current_picture().expect("a picture"))
    );
}

/// Puts `bits` in the place of `sps_extension_present_flag` or `pps_extension_present_flag`, which is 0, the last bit of a
/// parameter set.
fn with_extension(nal: &[u8], bits: &str) -> Vec<u8> {
    let rbsp = Rbsp::new(&nal[2..]);
    let mut all: Vec<u8> =
        rbsp.bytes().iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let stop = all.iter().rposition(|&bit| bit == 1).expect("a stop bit");
    assert_eq!(all[stop - 1], 0);
    all.truncate(stop - 1);
    all.extend(bits.bytes().filter(|&b| b != b' ').map(|b| b - b'0').chain([1]));
    all.resize(all.len().next_multiple_of(8), 0);
    let bytes: Vec<u8> = all.chunks(8).map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | bit)).collect();
    [&nal[..2], &escape(&bytes)].concat()
}

#[test]
fn a_refused_sps_is_refused_for_its_pictures_too() {
    let stream = fixture("h_confwin.hevc");
    let mut parser = Parser::new();
    let (seen, _) = pictures(&mut parser, split_annex_b(&stream));
    assert_eq!(seen.len(), 4);
    // The same SPS with palette_mode_enabled_flag.
    let refused = with_extension(&first(&stream, NalUnitType::SPS_NUT), "1 0001 0000 01");
    let error = parser.parse(&refused).expect_err("screen content coding is refused");
    assert_eq!(
        error.to_string(),
        "SPS 0: palette_mode_enabled_flag (screen content coding) is not supported"
    );
    let slices = split_annex_b(&stream).filter(|nal| kind(nal).is_slice_segment());
    let (seen, errors) = pictures(&mut parser, slices);
    assert_eq!((seen.len(), errors.len()), (0, 4));
    assert!(errors.iter().all(|found| *found == error));
}

/// Extensions for the layers above are passed over in parameter sets of the base layer, and screen content coding behind
/// them is found, or not taken for granted.
#[test]
fn extensions_for_other_layers_are_passed_over() {
    let stream = fixture("h_confwin.hevc");
    let sets = [NalUnitType::SPS_NUT, NalUnitType::PPS_NUT].map(|kind| first(&stream, kind));
    let mut parser = Parser::new();
    for (bits, refusal) in [
        // Multilayer with nothing in it, 3D without depth lookup tables, and SCC that enables nothing.
        ("1 0111 0000  0 0 1 0  0  000", None),
        // Offsets and phases of a reference layer; SCC with residual_adaptive_colour_transform_enabled_flag.
        (
            "1 0101 0000  0 0 010 000001 1 1111 1 1111 1 1111 0  01",
            Some("residual_adaptive_colour_transform_enabled_flag (screen content coding)"),
        ),
        // A colour mapping table; depth lookup tables; an extension that is cut off.
        ("1 0100 0000  0 0 1 1 01101", None),
        ("1 0010 0000  1 01101", None),
        ("1 0100 0000  0 0 00000111110", None),
        (
            "1 0101 0000  0 0 1 1 01101",
            Some("pps_scc_extension_flag behind an extension for other layers that is not read"),
        ),
    ] {
        let pps = with_extension(&sets[1], bits);
        match (parser.parse(&pps), refusal) {
            (Ok(Unit::Pps(pps)), None) => {
                let flags = [pps.pps_multilayer_extension_flag, pps.pps_3d_extension_flag];
                assert_eq!(flags, [&bits[3..4] == "1", &bits[4..5] == "1"], "{bits}");
            }
            (Err(Error::Unsupported { feature, .. }), Some(refusal)) => assert_eq!(feature, refusal),
            (result, _) => panic!("{bits}: {result:?}"),
        }
    }
    for (bits, is_refused) in [
        // Multilayer, and 3D with all of its elements, then SCC that enables nothing.
        ("1 0111 0000  0  11 1 1111 111 1 11111  00000", false),
        ("1 0010 0000  11", false),
        ("1 0011 0000  11", true),
    ] {
        match parser.parse(&with_extension(&sets[0], bits)) {
            Ok(Unit::Sps(sps)) if !is_refused => assert!(sps.sps_3d_extension_flag, "{bits}"),
            Err(Error::Unsupported { .. }) if is_refused => {}
            result => panic!("{bits}: {result:?}"),
        }
    }
}

/// A PPS with the identifier of that of the picture may come between its slice segments, and is for pictures behind it.
#[test]
fn parameter_sets_within_a_picture_are_for_those_behind_it() {
    let (stream, other) = (fixture("h_tiles_slices.hevc"), fixture("h_confwin.hevc"));
    let sets =
        [NalUnitType::VPS_NUT, NalUnitType::SPS_NUT, NalUnitType::PPS_NUT].map(|kind| first(&other, kind));
    let mut parser = Parser::new();
    let mut picture = None;
    for nal in split_annex_b(&stream).take(8) {
        let Unit::Slice(slice) = parser.parse(nal).expect("valid") else { continue };
        picture = slice.picture.or(picture);
        let picture = picture.as_ref().expect("the first slice segment starts one");
        let current = parser.current_picture().expect("one is being received").clone();
        assert!(std::sync::Arc::ptr_eq(picture, &current));
        for set in &sets {
            parser.parse(set).expect("valid");
        }
        assert!(!std::sync::Arc::ptr_eq(parser.pps(0).expect("stored"), &current.pps));
        assert!(!std::sync::Arc::ptr_eq(parser.sps(0).expect("stored"), &current.sps));
    }
    assert!(picture.is_some());
}

#[test]
fn a_recovery_point_within_a_picture_is_not_that_of_the_next() {
    let stream = fixture("h_tiles_slices.hevc");
    let is_slice = |nal: &[u8]| kind(nal).is_slice_segment();
    let is_first = |nal: &[u8]| nal[2] & 0x80 != 0;
    let mut nals: Vec<&[u8]> = split_annex_b(&stream).collect();
    // Without the first picture, an IRAP picture.
    let second = nals.iter().enumerate().filter(|(_, nal)| is_slice(nal) && is_first(nal)).nth(1);
    let second = second.expect("two pictures").0;
    let first = nals.iter().position(|nal| is_slice(nal)).expect("a slice segment");
    nals.drain(first..second);
    // recovery_point() with recovery_poc_cnt 0 and exact_match_flag 1.
    let sei: &[u8] = &[0x4e, 0x01, 6, 1, 0xd0, 0x80];
    let started = |in_front_of: &dyn Fn(&[u8]) -> bool| {
        let mut parser = Parser::new();
        parser.set_start_at(StartAt::RecoveryPoint);
        let with_sei = nals.iter().flat_map(|&nal| {
            let sei = (is_slice(nal) && in_front_of(nal)).then_some(sei);
            sei.into_iter().chain([nal])
        });
        let (seen, errors) = pictures(&mut parser, with_sei);
        assert_eq!(errors, []);
        seen.iter().filter(|&&(_, skipped, _)| !skipped).count()
    };
    assert_eq!(started(&|nal| !is_first(nal)), 0);
    assert!(started(&is_first) > 0);
}

#[test]
fn other_layers_and_reserved_types_are_ignored_by_name() {
    let stream = fixture("s_resv_layer1.hevc");
    let mut parser = Parser::new();
    let (mut layers, mut reserved, mut unspecified) = (0, 0, 0);
    for nal in split_annex_b(&stream) {
        match parser.parse(nal) {
            Ok(Unit::Ignored(Ignored::Layer(header))) => {
                assert_eq!(header.nuh_layer_id, 1);
                layers += 1;
            }
            Ok(Unit::Ignored(Ignored::Reserved(_))) => reserved += 1,
            Ok(Unit::Ignored(Ignored::Unspecified(_))) => unspecified += 1,
            Ok(_) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(layers > 0 && reserved > 0 && unspecified > 0, "{layers} {reserved} {unspecified}");
}

#[test]
fn seeking_keeps_parameter_sets() {
    let stream = fixture("h_ra_cra.hevc");
    let mut parser = Parser::new();
    let (all, _) = pictures(&mut parser, split_annex_b(&stream));
    parser.reset();
    let slices = split_annex_b(&stream).filter(|nal| kind(nal).is_slice_segment());
    let (again, errors) = pictures(&mut parser, slices);
    assert_eq!((errors.len(), again), (0, all));
}

#[test]
fn access_units_are_as_many_as_pictures() {
    for path in common::streams() {
        let stream = common::read(&path);
        let mut detector = BoundaryDetector::new();
        let units = split_annex_b(&stream).filter(|nal| detector.push(nal)).count();
        let run = common::run(&stream);
        // An end of sequence or bitstream at the very end belongs to the last access unit.
        assert_eq!(units, run.pictures.len(), "{}", path.display());
    }
}

#[test]
fn dropping_pictures_leaves_missing_references_to_generate() {
    let stream = fixture("h_ra_cra.hevc");
    let mut parser = Parser::new();
    let mut dpb = DecodedPictureBuffer::new();
    let (mut decoded, mut missing, mut output) = (0, 0, Vec::new());
    for nal in split_annex_b(&stream) {
        let Ok(Unit::Slice(slice)) = parser.parse(nal) else { continue };
        let Some(picture) = slice.picture else { continue };
        decoded += 1;
        if decoded % 3 == 0 {
            continue;
        }
        let mut rps = dpb.begin(&picture, &mut output);
        for entry in rps.missing_mut() {
            missing += 1;
            dpb.insert_generated(&picture, entry, (), &mut output);
            assert!(entry.index.is_some());
        }
        assert_eq!(rps.num_pic_total_curr(), usize::from(picture.header.num_pic_total_curr));
        dpb.insert(&picture, (), &mut output);
    }
    dpb.flush(&mut output);
    assert!(missing > 0);
    // Generated pictures are never output.
    assert_eq!(output.len(), decoded - decoded / 3);
}

/// Reference picture list X by the loops of 8.3.4, as order counts.
fn reference_list(rps: &hevc::dpb::ResolvedRps, header: &hevc::slice::SliceHeader, x: usize) -> Vec<i32> {
    let pocs = |list: &[hevc::dpb::RefEntry]| list.iter().map(|entry| entry.poc).collect::<Vec<_>>();
    let (before, after) = (pocs(rps.st_curr_before()), pocs(rps.st_curr_after()));
    let parts = if x == 0 { [before, after] } else { [after, before] };
    let active = usize::from([header.num_ref_idx_l0_active, header.num_ref_idx_l1_active][x]);
    let mut temp: Vec<i32> = Vec::new();
    while temp.len() < active.max(rps.num_pic_total_curr()) {
        temp.extend(parts.iter().flatten().copied().chain(pocs(rps.lt_curr())));
    }
    let modification = &header.ref_pic_lists_modification;
    let entries = [&modification.list_entry_l0, &modification.list_entry_l1][x];
    (0..active).map(|i| temp[entries.as_ref().map_or(i, |entries| usize::from(entries[i]))]).collect()
}

#[test]
fn the_collocated_picture_is_that_of_the_reference_list() {
    let (mut from_l0, mut from_l1, mut modified, mut none) = (0, 0, 0, 0);
    for name in
        ["h_ra_cra", "h_wp_ra", "s_lt_msb", "s_lt_sps", "s_rplm_perm", "x_radl", "h_tiles_slices", "x_hdr10"]
    {
        let stream = fixture(&format!("{name}.hevc"));
        let mut parser = Parser::new();
        let mut dpb = DecodedPictureBuffer::new();
        let mut rps = None;
        for nal in split_annex_b(&stream) {
            let Ok(Unit::Slice(slice)) = parser.parse(nal) else { continue };
            if let Some(picture) = slice.picture.filter(|picture| !picture.skipped) {
                let mut output = Vec::new();
                rps = Some(dpb.begin(&picture, &mut output));
                dpb.insert(&picture, (), &mut output);
            }
            let (Some(rps), header) = (&rps, &slice.header) else { continue };
            let Some(at) = rps.collocated(header) else {
                assert!(!header.slice_temporal_mvp_enabled_flag || header.num_ref_idx_l0_active == 0);
                none += 1;
                continue;
            };
            let x = usize::from(!header.collocated_from_l0_flag);
            let expected = reference_list(rps, header, x)[usize::from(header.collocated_ref_idx)];
            let entry = rps.initial_list0().nth(at).expect("a position in list 0");
            assert_eq!(entry.poc, expected, "{name}");
            [&mut from_l0, &mut from_l1][x].add_assign(1);
            modified += usize::from(header.ref_pic_lists_modification != Default::default());
        }
    }
    assert!(from_l0 > 20 && from_l1 > 5 && modified > 3 && none > 5, "{from_l0} {from_l1} {modified} {none}");
}

#[test]
fn parameter_sets_are_found_without_taking_notice() {
    let stream = fixture("h_confwin.hevc");
    let mut parser = Parser::new();
    let nals: Vec<&[u8]> = split_annex_b(&stream).collect();
    let slice = *nals.iter().find(|nal| kind(nal).is_slice_segment()).expect("a slice");
    assert!(parser.parameter_sets_of(slice).is_none(), "none were received");
    for nal in nals.iter().take_while(|nal| !kind(nal).is_slice_segment()) {
        assert!(parser.parameter_sets_of(nal).is_none(), "no slice");
        parser.parse(nal).expect("a parameter set");
    }
    let (pps, sps) = parser.parameter_sets_of(slice).expect("all are there");
    let (pps, sps) = (pps.clone(), sps.clone());
    assert!(parser.current_picture().is_none());
    let Ok(Unit::Slice(parsed)) = parser.parse(slice) else { panic!("a slice") };
    let picture = parsed.picture.expect("the first slice segment");
    assert!(std::sync::Arc::ptr_eq(&picture.sps, &sps) && std::sync::Arc::ptr_eq(&picture.pps, &pps));
    for cut in 0..6 {
        let _ = parser.parameter_sets_of(&slice[..cut]);
    }
}

#[test]
fn entry_points_are_read_from_their_nal_unit() {
    let stream = fixture("h_depslice_wpp.hevc");
    let (mut parser, mut seen) = (Parser::new(), 0);
    for nal in split_annex_b(&stream) {
        let Ok(Unit::Slice(slice)) = parser.parse(nal) else { continue };
        let header = &slice.header;
        let offsets = header.entry_point_offset_minus1(nal).unwrap();
        assert_eq!(offsets.len(), header.num_entry_point_offsets as usize);
        if offsets.is_empty() {
            continue;
        }
        seen += 1;
        for other in
            [&nal[..0], &nal[..4], &nal[..nal.len().min(header.positions.header_size_rbsp as usize - 2)]]
        {
            let read = header.entry_point_offset_minus1(other);
            assert!(matches!(read, Err(Error::Syntax(_))), "{read:?}");
        }
    }
    assert!(seen > 0);
}
