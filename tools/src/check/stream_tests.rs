use hevc::error::{Place, Structure};
use nvdec::{Integrity, PictureFault};

use super::super::expected::ExpectedError;
use super::*;
use crate::output::framemd5::md5_hex;

fn expected(pictures: &[&[u8]]) -> Expected {
    let line = |(i, p): (usize, &&[u8])| format!("0, {i}, {i}, 1, {}, {}\n", p.len(), md5_hex(p));
    Expected::parse(&pictures.iter().enumerate().map(line).collect::<String>()).unwrap()
}

fn job<'a>(expected: &'a Expected, decoded: &[&[u8]]) -> Job<'a> {
    let mut comparison = Comparison::new(expected);
    for (i, picture) in decoded.iter().enumerate() {
        comparison.picture(picture, 2 * i as i32, Integrity::Exact);
    }
    Job { comparison, buffer: Vec::new(), errors: 0, first: None, unsupported: None, comparable: None }
}

/// Of a damaged stream some pictures are right, and are to be said to be; of the others it is to be said that they are not.
#[test]
fn damaged_streams_are_held_to_what_is_said() {
    let mut wanted = expected(&[b"a", b"b", b"c"]);
    let damaged = Integrity::Damaged { cause: PictureFault::MissingReference { poc: 1 } };
    let check = |wanted: &Expected, decoded: [(&[u8], Integrity); 3]| {
        let mut comparison = Comparison::new(wanted);
        for (i, (picture, said)) in decoded.into_iter().enumerate() {
            comparison.picture(picture, i as i32, said);
        }
        comparison.finish()
    };
    let (a, c) = ((&b"a"[..], Integrity::Exact), (&b"c"[..], Integrity::Exact));
    let said = |difference: Option<Difference>| match difference {
        Some(Difference::Integrity { picture, .. }) => Some(picture),
        other => panic!("{other:?}"),
    };
    assert_eq!(said(check(&wanted, [a, (b"b", damaged), c])), Some(1), "it is whole");
    wanted.must_match = Some([0, 2].into());
    assert_eq!(check(&wanted, [a, (b"anything", damaged), c]), None);
    assert_eq!(said(check(&wanted, [a, (b"b", Integrity::Exact), c])), Some(1));
    assert_eq!(said(check(&wanted, [a, (b"b", damaged), (b"c", damaged)])), Some(2));
    assert!(matches!(
        check(&wanted, [a, (b"b", damaged), (b"d", Integrity::Exact)]),
        Some(Difference::Samples { picture: 2, .. })
    ));
    let read = |line: &str| Expected::parse(line).map(|expected| expected.must_match);
    assert_eq!(read("# of these must match: 0, 2\n").unwrap(), Some([0, 2].into()));
    assert_eq!(read("# none must match:\n").unwrap(), Some([].into()));
    assert_eq!(read("# say\n").unwrap(), None);
    assert!(matches!(read("\n# must match: x\n"), Err(ExpectedError::Line { line: 2 })));
}

#[test]
fn sums_are_read_in_both_forms() {
    let text = "#format: frame checksums\n#sar 0: 0/1\n\
                0,          0,          0,        1,   149760, 7DF2136A58771B25CA24FDF641EE0BEC\n\
                1,          0,          0,        1,        4, 00000000000000000000000000000000\n\n";
    let expected = Expected::parse(text).unwrap();
    assert_eq!(expected.pictures.len(), 1, "stream 1 is not ours");
    assert_eq!(expected.pictures[0].size, 149_760);
    assert_eq!(expected.pictures[0].md5, "7df2136a58771b25ca24fdf641ee0bec");
    for wrong in ["0, 0, 0, 1, 5", "0, 0, 0, 1, x, 00000000000000000000000000000000", "0, 0, 0, 1, 5, 00"] {
        let error = Expected::parse(&format!("#x\n{wrong}\n")).unwrap_err();
        assert!(matches!(error, ExpectedError::Line { line: 2 }), "{wrong}: {error}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[0-9a-f, #x\n]{0,200}") {
        if let Ok(expected) = Expected::parse(&text) {
            proptest::prop_assert!(expected.pictures.len() <= text.lines().count());
        }
    }
}

#[test]
fn verdicts_of_comparisons() {
    let sums = expected(&[b"one", b"two"]);
    assert_eq!(job(&sums, &[b"one", b"two"]).verdict(None), Verdict::BitExact);
    let Verdict::Differs { difference, .. } = job(&sums, &[b"one", b"TWO"]).verdict(None) else { panic!() };
    assert!(matches!(difference, Difference::Samples { picture: 1, poc: 2, .. }), "{difference}");
    let Verdict::Differs { difference, .. } = job(&sums, &[b"three", b"two"]).verdict(None) else { panic!() };
    assert_eq!(difference, Difference::Size { picture: 0, poc: 0, expected: 3, decoded: 5 });
    for decoded in [&[b"one".as_slice()][..], &[b"one", b"two", b"two"], &[]] {
        let Verdict::Differs { difference, .. } = job(&sums, decoded).verdict(None) else { panic!() };
        assert_eq!(difference, Difference::Count { expected: 2, decoded: decoded.len() as u64 });
    }
}

#[test]
fn what_ended_a_stream_decides_unless_a_picture_was_wrong() {
    let sums = expected(&[b"one", b"two"]);
    let refusal = || Some(Failure::Decode(nvdec::Error::Hardware("4:2:2".into())));
    let Verdict::Refused { reason } = job(&sums, &[]).verdict(refusal()) else { panic!() };
    assert_eq!(reason, "4:2:2");
    let Verdict::Refused { reason } = job(&sums, &[b"one"]).verdict(refusal()) else { panic!() };
    assert_eq!(reason, "after 1 pictures: 4:2:2");
    assert!(matches!(job(&sums, &[b"xxx"]).verdict(refusal()), Verdict::Differs { .. }));
    let lost = Some(Failure::Decode(hcq::Error::GpuLost.into()));
    assert!(matches!(job(&sums, &[b"one"]).verdict(lost), Verdict::Error { .. }));
}

#[test]
fn a_feature_that_is_refused_by_the_parser_is_a_refusal() {
    let sums = expected(&[b"one"]);
    let mut job = job(&sums, &[]);
    let (place, feature) = (Place::with_id(Structure::Sps, 0), "palette_mode_enabled_flag");
    job.warning(nvdec::Error::Bitstream {
        offset: 0,
        source: hevc::Error::Unsupported { place, feature }.into(),
    });
    let Verdict::Refused { reason } = job.verdict(None) else { panic!() };
    assert!(reason.contains("palette_mode_enabled_flag"), "{reason}");
}
