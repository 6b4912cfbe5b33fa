use std::fs;

use super::expected::Difference;
use super::*;

#[test]
fn totals_and_exit_codes() {
    let result = |verdict| StreamResult {
        stream: "x.hevc".into(),
        verdict,
        pictures: 2,
        errors: 0,
        engines: vec!["NVDEC1".into()],
        seconds: 0.0,
    };
    let good = result(Verdict::BitExact);
    let refused = result(Verdict::Refused { reason: "4:2:2".into() });
    let skipped = result(Verdict::Skipped { reason: "not Annex B".into() });
    let error = result(Verdict::Error { reason: "lost".into() });
    let difference = Difference::Count { expected: 2, decoded: 1 };
    let differs = result(Verdict::Differs { difference, error: None });
    assert_eq!(Totals::of([&good, &refused, &skipped]).exit(), Exit::Success);
    assert_eq!(Totals::of([&refused]).exit(), Exit::Unavailable);
    assert_eq!(Totals::of([&good, &error]).exit(), Exit::Fault);
    let totals = Totals::of([&good, &differs]);
    assert_eq!(totals.exit(), Exit::Fault);
    assert_eq!(totals.to_string(), "1 bit-exact, 1 differ, 0 errors, 0 refused, 0 skipped; 4 pictures");
    assert_eq!(differs.to_string(), "DIFFERS    x.hevc  1 pictures, expected 2");
    let json = serde_json::to_value(&differs).unwrap();
    assert_eq!((&json["verdict"], &json["difference"]), (&"differs".into(), &"count".into()));
    assert_eq!(json["expected"], 2);
}

#[test]
fn a_corpus_is_walked_in_order() {
    let root = std::env::temp_dir().join(format!("nvdec-corpus-{}", std::process::id()));
    let sub = root.join("b");
    fs::create_dir_all(&sub).unwrap();
    for name in ["c.hevc", "c.hevc.framemd5", "a.bin", "a.bin.framemd5", "alone.hevc", "README.md"] {
        fs::write(root.join(name), "").unwrap();
    }
    fs::write(sub.join("x.hevc"), "").unwrap();
    fs::write(sub.join("x.hevc.framemd5"), "").unwrap();
    std::os::unix::fs::symlink(&root, sub.join("circle")).unwrap();
    let found = corpus(std::slice::from_ref(&root)).unwrap();
    let names: Vec<_> = found
        .iter()
        .map(|e| (e.stream.strip_prefix(&root).unwrap().to_str().unwrap(), e.sums.is_ok()))
        .collect();
    assert_eq!(names, [("a.bin", true), ("b/x.hevc", true), ("c.hevc", true)]);
    let alone = corpus(&[root.join("alone.hevc")]).unwrap();
    assert!(alone[0].sums.as_ref().unwrap_err().contains("no .framemd5"));
    assert!(matches!(corpus(&[root.join("missing")]), Err(Failure::Input { .. })));
    fs::remove_dir_all(root).unwrap();
}
