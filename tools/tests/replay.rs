//! `nvdec-replay` as a user runs it, on the emulated GPU.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const REPLAY: &str = env!("CARGO_BIN_EXE_nvdec-replay");

fn clip(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clips").join(name).display().to_string()
}

fn run(args: &[&str]) -> Output {
    Command::new(REPLAY).args(args).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs the program, holds it to an exit code, and gives standard output.
#[track_caller]
fn expect(code: i32, args: &[&str]) -> String {
    let output = run(args);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}{err}");
    if code > 1 {
        assert!(out.is_empty() && err.lines().count() >= 1, "{args:?}: {out}{err}");
    }
    out
}

/// A folder that goes when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("nvdec-replay-test-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// The emulated GPU's recording of a clip.
    fn record(&self, stream: &str, name: &str, more: &[&str]) -> String {
        let (input, output) = (clip(stream), self.file(name));
        expect(0, &[&["record", &input, "--device", "emulated", "-o", &output], more].concat());
        output
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is left to the system.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn help_teaches() {
    let help = expect(0, &["--help"]);
    for word in ["record", "run", "print", "diff", "shrink", "Examples:", "Exit codes:", "docs/nvcap.md"] {
        assert!(help.contains(word), "{word} is not in\n{help}");
    }
    for command in ["record", "run", "diff", "shrink"] {
        assert!(expect(0, &[command, "--help"]).contains("Exit codes: "), "{command}");
    }
}

#[test]
fn wrong_command_lines() {
    for args in [
        &[][..],
        &["nonsense"],
        &["record", "a.hevc"],
        &["run"],
        &["run", "x.nvcap", "--engine", "9"],
        &["print", "x.nvcap", "--picture", "-1"],
        &["shrink", "x.nvcap"],
        &["shrink", "x.nvcap", "--while", "true", "--timeout", "0"],
        &["record", "a.hevc", "-o", "a.nvcap", "--engine", "many"],
    ] {
        expect(2, args);
    }
}

#[test]
fn a_stream_is_recorded_and_replayed() {
    let folder = Folder::new("run");
    let capture = folder.record("x_size_202x150.hevc", "a.nvcap", &["--engine", "3"]);
    for engine in [&[][..], &["--engine", "NVDEC5"], &["--engine", "all"]] {
        let out = expect(0, &[&["run", &capture, "--device", "emulated"], engine].concat());
        assert!(out.starts_with("replayed 10/10 pictures on ") && out.ends_with(": identical\n"), "{out}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&expect(0, &["run", &capture, "--device", "emulated", "--json"])).unwrap();
    assert_eq!((&json["identical"], &json["outcome"]["engines"][0]), (&true.into(), &"NVDEC3".into()));
    // Only whole files have the name that was asked for.
    let names: Vec<_> = std::fs::read_dir(&folder.0).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(names, ["a.nvcap"]);
}

#[test]
fn inputs_that_are_none() {
    let folder = Folder::new("inputs");
    let capture = folder.record("x_size_202x150.hevc", "a.nvcap", &["-n", "2"]);
    let bytes = std::fs::read(&capture).unwrap();
    let damaged = folder.file("damaged.nvcap");
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 4;
    std::fs::write(&damaged, flipped).unwrap();
    let cut = folder.file("cut.nvcap");
    std::fs::write(&cut, &bytes[..bytes.len() - 10]).unwrap();
    for (code, file) in
        [(65, damaged.as_str()), (65, &cut), (65, &clip("x_wpp.hevc")), (66, "/nonexistent"), (66, "/")]
    {
        expect(code, &["run", file, "--device", "emulated"]);
        expect(code, &["print", file]);
        expect(code, &["diff", file, &capture]);
        expect(code, &["shrink", file, "--while", "true"]);
    }
    let out = folder.file("b.nvcap");
    expect(66, &["record", "/nonexistent.hevc", "--device", "emulated", "-o", &out]);
    expect(65, &["record", &clip("README.md"), "--device", "emulated", "-o", &out]);
    expect(1, &["record", &clip("x_wpp.hevc"), "--device", "emulated", "-o", "/nonexistent/a.nvcap"]);
    expect(2, &["print", &capture, "--picture", "2"]);
    expect(69, &["run", &capture, "--device", "emulated", "--engine", "0"]);
}

#[test]
fn captures_are_printed_and_compared() {
    let folder = Folder::new("print");
    let a = folder.record("x_wpp.hevc", "a.nvcap", &["-n", "6"]);
    let b = folder.record("x_wpp.hevc", "b.nvcap", &["-n", "6", "--engine", "4"]);
    let text = expect(0, &["print", &a]);
    assert_eq!(text.matches("\npicture ").count(), 6);
    assert!(text.contains("pic_width_in_luma_samples = 416") && text.contains("slice_type = "), "{text}");
    let one = expect(0, &["print", &a, "--picture", "3"]);
    assert_eq!(one.matches("\npicture ").count(), 1);
    assert!(text.contains(one.split_once("\n\n").unwrap().1));
    let json: serde_json::Value = serde_json::from_str(&expect(0, &["print", &a, "--json"])).unwrap();
    let pictures = json["pictures"].as_array().unwrap();
    assert_eq!(pictures.len(), 6);
    assert_eq!(pictures[2]["nvdec_hevc_pic_s"]["framestride"], serde_json::json!([448, 448]));
    assert_eq!(expect(0, &["diff", &a, &b]), "6 pictures, nothing differs\n");
    let c = folder.record("x_size_202x150.hevc", "c.nvcap", &[]);
    let text = expect(1, &["diff", &a, &c]);
    assert!(text.contains("nvdec_hevc_pic_s.pic_width_in_luma_samples: 416 -> "), "{text}");
    assert!(text.contains("6 pictures -> 10 pictures"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&expect(1, &["diff", &a, &c, "--json"])).unwrap();
    assert_eq!((&json["identical"], &json["report"]["picture"]), (&false.into(), &0.into()));
}

#[test]
fn the_least_that_still_succeeds_is_found() {
    let folder = Folder::new("shrink");
    let capture = folder.record("x_wpp.hevc", "a.nvcap", &[]);
    // An order count, which only one picture has.
    let print = expect(0, &["print", &capture]);
    let line = print.lines().filter(|line| line.starts_with("picture ")).nth(4).unwrap();
    let poc = line.split("POC ").nth(1).unwrap().split(')').next().unwrap();
    let command = format!("'{REPLAY}' print {{}} | grep -q 'POC {poc})'");
    let out = expect(0, &["shrink", &capture, "--while", &command]);
    assert!(out.contains("of 16 pictures"), "{out}");
    let least = folder.file("a.min.nvcap");
    let replayed = expect(0, &["run", &least, "--device", "emulated"]);
    assert!(replayed.starts_with("replayed "), "{replayed}");
    let print = expect(0, &["print", &least]);
    let pictures = print.lines().filter(|line| line.starts_with("picture ")).count();
    assert!((1..=5).contains(&pictures), "{print}");
    assert!(
        print.lines().rfind(|line| line.starts_with("picture ")).unwrap().contains(&format!("POC {poc})"))
    );
    // Named by -o, and with JSON.
    let named = folder.file("named.nvcap");
    let json = expect(0, &["shrink", &least, "--while", &command, "-o", &named, "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["pictures"].as_array().unwrap().len(), pictures);
    assert!(Path::new(&named).is_file());
    // A command that fails on the whole, and one that takes too long.
    expect(2, &["shrink", &capture, "--while", "false"]);
    expect(2, &["shrink", &capture, "--while", "sleep 1000;", "--timeout", "1"]);
}

#[test]
fn a_folder_is_recorded_and_replayed_and_carried_on() {
    let folder = Folder::new("folder");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("replay.sh");
    let streams = folder.0.join("streams");
    std::fs::create_dir(&streams).unwrap();
    for name in ["x_size_202x150.hevc", "k_10b_tiles.hevc"] {
        std::fs::copy(clip(name), streams.join(name)).unwrap();
    }
    let script = |from: &Path, to: &Path| {
        let mut command = Command::new(&script);
        let output = command
            .arg(Path::new(REPLAY).parent().unwrap())
            .args([from, to])
            .env("DEVICE", "emulated")
            .output()
            .unwrap();
        (output.status.code(), text(&output.stdout))
    };
    let (recorded, carried) = (folder.0.join("recorded"), folder.0.join("carried"));
    let (code, out) = script(&streams, &recorded);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("same 0 0 0 k_10b_tiles replayed 12/12 pictures on "), "{out}");
    assert!(out.ends_with("2 as recorded, 0 not for this hardware, 0 failed\n"), "{out}");
    let (code, out) = script(&recorded, &carried);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("same - 0 0 x_size_202x150 replayed 10/10"), "{out}");
    std::fs::write(recorded.join("x_size_202x150.nvcap"), "no capture").unwrap();
    let (code, out) = script(&recorded, &carried);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("failed - 65 65 x_size_202x150 "), "{out}");
}
