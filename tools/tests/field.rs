//! Situations out of reports of people who decode HEVC. What is right stands in `data/field`, beside each stream.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Streams that are not whole, or that are something else, and the exit code that says so.
const NOT_WHOLE: &[(&str, i32)] = &[
    ("f_lost_p.hevc", 65),
    ("f_lost_ref_b.hevc", 65),
    ("f_lost_slice_first.hevc", 65),
    ("f_pictures_twice.hevc", 65),
    ("f_program_stream.ps", 65),
    ("f_is_h264.h264", 65),
];

fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "data", "field"].iter().collect()
}

fn decode(path: &Path, options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nvdec-decode"))
        .arg(path)
        .args(["--device", "emulated", "-f", "framemd5", "-o", "-"])
        .args(options)
        .stdin(Stdio::null())
        .env_remove("NVDEC_DEVICE")
        .output()
        .unwrap()
}

fn sums(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| line.rsplit(',').next().unwrap().trim().to_owned()).collect()
}

/// What a stream has to give: the MD5s, and which pictures are exact.
fn expected(path: &Path) -> Option<(Vec<String>, BTreeSet<usize>)> {
    let text = std::fs::read_to_string(format!("{}.framemd5", path.display())).ok()?;
    let sums = sums(&text);
    let listed = text.lines().find_map(|line| line.split_once("must match: "));
    let exact = match listed {
        Some((_, numbers)) => numbers.split(',').map(|number| number.trim().parse().unwrap()).collect(),
        None if text.contains("no picture must match:") => BTreeSet::new(),
        None => (0..sums.len()).collect(),
    };
    Some((sums, exact))
}

/// The number behind `word` in the remark that closes the output.
fn count(text: &str, word: &str) -> usize {
    let remark =
        text.lines().rfind(|line| line.starts_with("#integrity:")).unwrap_or_else(|| panic!("{text}"));
    let rest = remark.split_once(&format!("{word} ")).unwrap_or_else(|| panic!("{remark}")).1;
    rest.split([',', ' ', ')']).next().unwrap().parse().unwrap()
}

#[test]
fn every_situation_gives_its_right_answer() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.ends_with(".framemd5") || name.ends_with(".md") {
            continue;
        }
        seen += 1;
        let output = decode(&path, &[]);
        let (text, messages) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        let code = NOT_WHOLE.iter().find(|(known, _)| *known == name).map_or(0, |(_, code)| *code);
        let mut check = |good: bool, what: String| {
            if !good {
                wrong.push(format!("{name}: {what}\n{messages}"));
            }
        };
        check(output.status.code() == Some(code), format!("ends with {:?}", output.status));
        let Some((expected, exact)) = expected(&path).filter(|_| name.ends_with(".hevc")) else {
            check(sums(&text).is_empty(), "it is something else".to_owned());
            continue;
        };
        let decoded = sums(&text);
        check(decoded.len() == expected.len(), format!("{} pictures, not {}", decoded.len(), expected.len()));
        if decoded.len() == expected.len() {
            let differ: Vec<_> = exact.iter().filter(|&&at| decoded[at] != expected[at]).collect();
            check(differ.is_empty(), format!("pictures {differ:?} differ"));
            check(count(&text, "exact") == exact.len(), format!("not {} exact: {text}", exact.len()));
        }
    }
    assert!(seen > 25, "{seen} streams");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong is named, by picture and cause.
#[test]
fn damage_is_named() {
    for (name, words) in [
        (
            "f_lost_p.hevc",
            &["picture 6 (POC 7): the picture with POC 6", "pictures go back to picture 6 (POC 7)"][..],
        ),
        ("f_lost_slice_first.hevc", &["picture 5 (POC 5): only 104 of 130 blocks", "picture 17 (POC 5)"]),
        ("f_is_h264.h264", &["H.264"]),
        ("f_program_stream.ps", &["MPEG program stream"]),
    ] {
        let messages = String::from_utf8(decode(&folder().join(name), &[]).stderr).unwrap();
        for word in words {
            assert!(messages.contains(word), "{name}: {word} is not in\n{messages}");
        }
    }
}

#[test]
fn what_is_done_with_damage_can_be_chosen() {
    let path = folder().join("f_lost_p.hevc");
    let (expected, exact) = expected(&path).unwrap();
    for (policy, pictures) in [
        ("deliver", expected.len()),
        ("skip", exact.len()),
        ("stop", exact.len()),
        ("freeze", expected.len()),
    ] {
        let output = decode(&path, &["--on-damage", policy]);
        let decoded = sums(&String::from_utf8(output.stdout).unwrap());
        assert_eq!(decoded.len(), pictures, "{policy}");
        assert_eq!(decoded[..exact.len()], expected[..exact.len()], "{policy}");
        assert_eq!(output.status.code(), Some(65), "{policy}");
        if policy == "freeze" {
            assert!(decoded[exact.len()..].iter().all(|sum| *sum == expected[exact.len() - 1]));
        }
    }
}

#[test]
fn nothing_to_begin_with_is_said() {
    let output = decode(&folder().join("f_intra_join.hevc"), &["--begin", "recovery-point"]);
    let messages = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(65), "{messages}");
    assert!(
        messages.contains("20 pictures were passed over") && messages.contains("--begin any"),
        "{messages}"
    );
}
