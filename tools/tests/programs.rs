//! The programs as a user runs them, on whatever machine this is.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const DECODE: &str = env!("CARGO_BIN_EXE_nvdec-decode");
const PROBE: &str = env!("CARGO_BIN_EXE_nvdec-probe");

fn clip(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clips").join(name)
}

fn run(program: &str, args: &[&str]) -> Output {
    Command::new(program).args(args).stdin(Stdio::null()).env_remove("NVDEC_DEVICE").output().unwrap()
}

fn run_on(device: &str, program: &str, args: &[&str]) -> Output {
    Command::new(program).args(args).stdin(Stdio::null()).env("NVDEC_DEVICE", device).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("not killed by a signal")
}

/// Whether the probe finds a GPU that can decode.
fn has_gpu() -> bool {
    code(&run(PROBE, &[])) == 0
}

#[test]
fn help_teaches() {
    for (program, words) in [
        (DECODE, ["Examples:", "Exit codes:", "--verify", "NVDEC_DEVICE"]),
        (PROBE, ["Examples:", "Exit codes:", "--selftest", "NVDEC_DEVICE"]),
    ] {
        let output = run(program, &["--help"]);
        assert_eq!(code(&output), 0);
        let text = stdout(&output);
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
        assert!(output.stderr.is_empty());
    }
}

#[test]
fn wrong_command_lines() {
    for args in [&[][..], &["--nonsense"], &["a.hevc", "--frames", "x"], &["a.hevc", "-o", "film.xyz"]] {
        let output = run(DECODE, args);
        assert_eq!(code(&output), 2, "{args:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn parsing_needs_no_gpu() {
    let path = clip("k_10b_tiles.hevc");
    let output = run(DECODE, &["--parse", path.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let text = stdout(&output);
    for part in ["12 pictures", "416x240 4:2:0 10-bit", "2x2 tiles", "IDR", "Main 10", "This machine: "] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let output = run(DECODE, &["--parse", path.to_str().unwrap(), "--json"]);
    let json: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(json["pictures"].as_array().unwrap().len(), 12);
    assert_eq!(json["pictures"][0]["references_before"].as_array().unwrap().len(), 0);
}

#[test]
fn parsing_reads_standard_input_and_survives_damage() {
    let mut stream = std::fs::read(clip("x_wpp.hevc")).unwrap();
    // Every 97th byte behind the parameter sets.
    for byte in stream.iter_mut().skip(2000).step_by(97) {
        *byte ^= 0x5a;
    }
    let mut child = Command::new(DECODE)
        .args(["--parse", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&stream).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!([0, 65].contains(&code(&output)), "{}", stderr(&output));
    assert!(stdout(&output).contains("SPS 0"));
}

#[test]
fn inputs_that_are_none() {
    let output = run(DECODE, &["--parse", "/nonexistent.hevc"]);
    assert_eq!(code(&output), 66);
    assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    let output = run(DECODE, &["/nonexistent.hevc"]);
    assert_eq!(code(&output), 66, "an input is missed before a GPU is: {}", stderr(&output));
    let output = run(DECODE, &["--check", "/nonexistent"]);
    assert_eq!(code(&output), 66);
    // A file without a picture.
    let output = run(DECODE, &["--parse", clip("README.md").to_str().unwrap()]);
    assert_eq!(code(&output), 65, "{}", stderr(&output));
}

#[test]
fn the_probe_has_one_verdict_in_both_forms() {
    let text = run(PROBE, &[]);
    let json = run(PROBE, &["--json"]);
    assert!([0, 69, 77].contains(&code(&text)), "{}", stdout(&text));
    assert_eq!(code(&text), code(&json));
    let report: serde_json::Value = serde_json::from_str(&stdout(&json)).unwrap();
    assert_eq!(report["verdict"]["exit_code"], code(&json));
    assert!(stdout(&text).contains(&format!("Verdict   {}\n", report["verdict"]["text"].as_str().unwrap())));
    if code(&text) != 0 {
        let explained =
            report["findings"].as_array().unwrap().iter().any(|f| !f["advice"].as_str().unwrap().is_empty());
        assert!(explained || !report["error"].is_null() || !report["gpus"][0]["error"].is_null(), "{report}");
    }
}

#[test]
fn without_a_gpu_decoding_says_so() {
    // With GPUs, usable or forbidden, there is nothing to see.
    if code(&run(PROBE, &[])) != 69 {
        return;
    }
    let path = clip("x_wpp.hevc");
    let path = path.to_str().unwrap();
    for args in [&["--device", "nv:0", path][..], &["--device", "nv:0", "--check", path]] {
        let output = run(DECODE, args);
        assert_eq!(code(&output), 69, "{}", stderr(&output));
        assert!(output.stdout.is_empty());
        assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    }
    for args in [&["-f", "framemd5", path][..], &["--check", path]] {
        let output = run(DECODE, args);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let line = stderr(&output).lines().next().unwrap_or_default().to_owned();
        assert!(line.ends_with("decoding on the emulated GPU, in software"), "{line}");
    }
}

#[test]
fn the_emulated_gpu_decodes() {
    let clips = ["x_size_202x150.hevc", "k_10b_tiles.hevc", "x_wpp.hevc"].map(clip);
    let mut arguments = vec!["--device", "emulated", "--check"];
    arguments.extend(clips.iter().map(|path| path.to_str().unwrap()));
    let output = run(DECODE, &arguments);
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("3 bit-exact, 0 differ"), "{}", stdout(&output));
    let output = run(DECODE, &[arguments[5], "--device", "emulated", "-f", "null", "--verify"]);
    assert!(stderr(&output).contains("bit-exact 16/16"), "{}", stderr(&output));
    // What the engine in software lacks is refused by name, and nobody takes it for the hardware's limit.
    let path = clip("x_444_cqp.hevc");
    let path = path.to_str().unwrap();
    let reason = "the emulated engine cannot decode this stream: chroma_format_idc = 3 (4:4:4)";
    let output = run(DECODE, &[path, "--device", "emulated", "-f", "null"]);
    assert_eq!(code(&output), 69, "{}", stderr(&output));
    assert!(stderr(&output).contains(reason), "{}", stderr(&output));
    assert_eq!(stderr(&output).lines().count(), 1, "no word of single pictures: {}", stderr(&output));
    let output = run(DECODE, &["--device", "emulated", "--check", path]);
    assert_eq!(code(&output), 69, "{}", stdout(&output));
    let line = stdout(&output).lines().next().unwrap_or_default().to_owned();
    assert!(line.starts_with("refused ") && line.contains(reason), "{line}");
    let output = run(PROBE, &["--device", "emulated", "--selftest"]);
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("7 NVDEC engines, self-test passed"), "{}", stdout(&output));
}

#[test]
fn a_preview_comes_beside_everything_else() {
    let directory = std::env::temp_dir().join(format!("nvdec-programs-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let preview = directory.join("x.png");
    let [path, png] = [clip("x_wpp.hevc"), preview.clone()].map(|path| path.to_str().unwrap().to_owned());
    let size = || {
        let reader = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(&preview).unwrap()));
        let mut reader = reader.read_info().unwrap();
        let mut samples = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut samples).unwrap();
        assert!(samples.windows(2).any(|pair| pair[0] != pair[1]), "one colour");
        (info.width, info.height)
    };
    // The same, with pictures on standard output and without.
    for format in ["framemd5", "null"] {
        let args = [&path, "--device", "emulated", "-f", format, "--verify", "--preview", &png];
        let output = run(DECODE, &args);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert_eq!(
            stdout(&output).lines().filter(|line| !line.starts_with('#')).count() == 16,
            format != "null"
        );
        let text = stderr(&output);
        assert!(text.contains("bit-exact 16/16"), "{text}");
        assert_eq!(text.lines().last(), Some(format!("{path}: picture 8 is in {png}").as_str()));
        assert_eq!(size(), (416, 240));
        std::fs::remove_file(&preview).unwrap();
    }
    // Alone: pictures are fetched for it.
    let output = run(DECODE, &[&path, "--device", "emulated", "-f", "null", "-n", "3", "--preview", &png]);
    assert_eq!((code(&output), size()), (0, (416, 240)), "{}", stderr(&output));
    for (wrong, exit) in [("x.jpg", 2), ("/nonexistent/x.png", 1)] {
        let output = run(DECODE, &[&path, "--device", "emulated", "--preview", wrong]);
        assert_eq!(code(&output), exit, "{}", stderr(&output));
        assert!(output.stdout.is_empty() && stderr(&output).contains(wrong));
    }
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn the_environment_gives_the_default_device() {
    let path = clip("x_size_202x150.hevc");
    let path = path.to_str().unwrap();
    let output = run_on("emulated", DECODE, &[path, "-f", "null", "--verify"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(stderr(&output).lines().count(), 1, "no word of a GPU: {}", stderr(&output));
    // The option is stronger.
    assert_eq!(code(&run_on("nv:31", DECODE, &["--device", "emulated", path])), 0);
    let output = run_on("emulated", DECODE, &["--device", "nv:31", path]);
    assert!([69, 77].contains(&code(&output)), "{}", stderr(&output));
    for (program, args) in [(DECODE, &[path][..]), (DECODE, &["--check", path]), (PROBE, &[])] {
        let output = run_on("cuda:0", program, args);
        assert_eq!(code(&output), 2, "{}", stderr(&output));
        assert!(stderr(&output).contains("NVDEC_DEVICE: \"cuda:0\" is none of auto"), "{}", stderr(&output));
    }
    // What needs no device does not look.
    assert_eq!(code(&run_on("cuda:0", DECODE, &["--parse", path])), 0);
}

/// Both forms of the report say that the GPU is none, however it was asked for.
#[test]
fn the_probe_shows_emulated_devices_as_such() {
    for output in [run(PROBE, &["--device", "emulated"]), run_on("emulated", PROBE, &[])] {
        let text = stdout(&output);
        assert_eq!(code(&output), 0, "{text}");
        for line in
            ["Driver    580.159.04 (emulated)", "GPU 0     NVIDIA H200 (emulated)  ", "Verdict   usable: "]
        {
            assert!(text.contains(line), "{line:?} is not in\n{text}");
        }
        let verdict = text.lines().last().unwrap();
        assert!(verdict.contains("NVIDIA H200 (emulated) with 7 NVDEC engines"), "{verdict}");
    }
    for output in [run(PROBE, &["--device", "emulated", "--json"]), run_on("emulated", PROBE, &["--json"])] {
        let report: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!((&report["emulated"], &report["gpus"][0]["emulated"]), (&true.into(), &true.into()));
        assert_eq!(report["gpus"][0]["name"], "NVIDIA H200", "the name is the driver's");
    }
    let output = run_on("emulated", PROBE, &["--gpu", "31"]);
    assert_ne!(code(&output), 0, "--gpu means a real one: {}", stdout(&output));
}

#[test]
fn with_a_gpu_the_clips_are_bit_exact() {
    if !has_gpu() {
        return;
    }
    let clips = clip("");
    let output = run(DECODE, &["--check", clips.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("4 bit-exact, 0 differ"));
    let path = clip("x_444_cqp.hevc");
    let output = run(DECODE, &[path.to_str().unwrap(), "-f", "null", "--verify"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stderr(&output).contains("bit-exact 10/10"), "{}", stderr(&output));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let path = clip("x_wpp.hevc");
    let mut child = Command::new(DECODE)
        .args(["--parse", path.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), stderr(&output)), (0, String::new()));
}
