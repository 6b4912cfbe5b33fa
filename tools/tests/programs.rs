//! The programs as a user runs them, on whatever machine this is.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const DECODE: &str = env!("CARGO_BIN_EXE_nvdec-decode");
const PROBE: &str = env!("CARGO_BIN_EXE_nvdec-probe");
const BENCH: &str = env!("CARGO_BIN_EXE_nvdec-bench");
const REPLAY: &str = env!("CARGO_BIN_EXE_nvdec-replay");

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
        (BENCH, ["Examples:", "Exit codes:", "schedule", "NVDEC_DEVICE"]),
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

/// In files and in pipes, and before a device is looked for.
#[test]
fn input_that_is_something_else_is_named() {
    let folder = std::env::temp_dir().join(format!("nvdec-programs-{}-other", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("a film.mkv");
    let bytes = b"\x1a\x45\xdf\xa3\x86\x90V_MPEGH/ISO/HEVC";
    std::fs::write(&path, bytes).unwrap();
    let name = path.to_str().unwrap();
    let capture = folder.join("x.nvcap").display().to_string();
    for (program, before, behind, reader) in [
        (DECODE, &[][..], &[][..], "| nvdec-decode -`"),
        (DECODE, &["--parse"], &[], "| nvdec-decode --parse -`"),
        (BENCH, &["stream"], &[], "> stream.hevc`"),
        (REPLAY, &["record"], &["-o", &capture], "| nvdec-replay record - -o stream.nvcap`"),
    ] {
        // These read containers that are files; in this one nothing is whole.
        let reads_files = program != REPLAY;
        for (input, argument) in [(name, format!("'{name}'")), ("-", "-".to_owned())] {
            let mut command = Command::new(program);
            command.args([before, &[input], behind].concat()).env("NVDEC_DEVICE", "emulated");
            let mut child =
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            // A program that is given a file does not look there.
            let _ = child.stdin.take().unwrap().write_all(bytes);
            let output = child.wait_with_output().unwrap();
            assert_eq!(code(&output), 65, "{command:?}: {}", stderr(&output));
            let text = stderr(&output);
            assert!(text.lines().count() == 1 && output.stdout.is_empty(), "{text}");
            if reads_files && input == name {
                let program = Path::new(program).file_name().unwrap().to_str().unwrap();
                assert!(text.starts_with(&format!("{program}: {name}: ")), "{text}");
                continue;
            }
            assert!(text.contains("it is Matroska or WebM with HEVC (V_MPEGH/ISO/HEVC) in it"), "{text}");
            assert_eq!(text.contains("it has to be a file"), reads_files, "{text}");
            assert!(text.contains(&format!("`ffmpeg -i {argument} ")), "{text}");
            assert!(text.ends_with(&format!("{reader}\n")), "{text}");
        }
    }
    // What no program reads is skipped; what is damaged is not.
    std::fs::write(folder.join("b.flv"), b"FLV\x01\x05\0\0\0\x09").unwrap();
    for name in ["a film.mkv.framemd5", "b.flv.framemd5"] {
        std::fs::write(folder.join(name), "").unwrap();
    }
    let output = run_on("emulated", DECODE, &["--check", folder.to_str().unwrap(), "--json"]);
    let json: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    let totals = &json["totals"];
    assert_eq!((code(&output), &totals["error"], &totals["skipped"]), (1, &1.into(), &1.into()), "{json}");
    let reason = json["streams"][1]["reason"].as_str().unwrap();
    assert!(reason.starts_with("it is FLV") && reason.ends_with("> stream.hevc`"), "{reason}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 4, "nothing was written");
    std::fs::remove_dir_all(folder).unwrap();
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

/// Whether this machine shows anything of an NVIDIA GPU or its driver.
fn shows_a_gpu() -> bool {
    let nodes = std::fs::read_dir("/dev").unwrap().map(|entry| entry.unwrap().file_name());
    let is_node =
        |name: &str| name.strip_prefix("nvidia").is_some_and(|n| n == "ctl" || n.parse::<u32>().is_ok());
    Path::new("/proc/driver/nvidia/version").exists()
        || nodes.filter_map(|name| name.into_string().ok()).any(|name| is_node(&name))
}

/// A GPU that is there and cannot be used is an error; only where it is allowed is there software in its place.
#[test]
fn a_gpu_that_cannot_be_used_is_no_reason_to_decode_in_software() {
    let path = clip("x_size_202x150.hevc");
    let path = path.to_str().unwrap();
    if has_gpu() || !shows_a_gpu() {
        return;
    }
    let output = run(DECODE, &[path, "-f", "null"]);
    assert!([1, 69, 77].contains(&code(&output)), "{}", stderr(&output));
    assert!(stderr(&output).contains("--fallback emulated"), "{}", stderr(&output));
    let output = run(DECODE, &[path, "-f", "null", "--fallback", "emulated"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stderr(&output).contains("decoding on the emulated GPU, in software"), "{}", stderr(&output));
}

#[test]
fn every_program_that_takes_a_device_takes_a_fallback() {
    let path = clip("x_size_202x150.hevc");
    let path = path.to_str().unwrap();
    for (program, args) in [
        (DECODE, &[path, "-f", "null"][..]),
        (DECODE, &["--check", path]),
        (BENCH, &["stream", path, "--rounds", "1", "--mode", "balanced"]),
        (REPLAY, &["record", path, "-n", "1", "-o", "-"]),
    ] {
        let output = run(program, &[args, &["--fallback", "sometimes"]].concat());
        assert_eq!(code(&output), 2, "{}", stderr(&output));
        assert!(stderr(&output).contains("never, if-absent and emulated"), "{}", stderr(&output));
        if !has_gpu() {
            let output = run(program, &[args, &["--fallback", "never"]].concat());
            assert!([1, 69, 77].contains(&code(&output)), "{}", stderr(&output));
            assert!(output.stdout.is_empty());
            let output = run(program, &[args, &["--fallback", "emulated"]].concat());
            assert_eq!(code(&output), 0, "{}", stderr(&output));
            assert!(stderr(&output).contains("in software"), "{}", stderr(&output));
        }
    }
}

/// Too few descriptors for the emulated GPU, and for a real one: neither is called a missing driver.
#[test]
fn want_of_descriptors_is_called_that() {
    let path = clip("x_size_202x150.hevc");
    let mut seen = 0;
    for limit in 5..40 {
        for device in ["emulated", "auto"] {
            let script =
                format!("ulimit -n {limit}; exec {DECODE} --device {device} {} -f null", path.display());
            let output = run("sh", &["-c", &script]);
            if code(&output) == 0 {
                continue;
            }
            let text = stderr(&output);
            assert!([1, 66].contains(&code(&output)), "{limit}: {text}");
            assert!(text.contains("ulimit -n"), "{limit}: {text}");
            seen += 1;
        }
    }
    assert!(seen > 0, "there were always enough");
}

#[test]
fn without_a_gpu_decoding_says_so() {
    // With GPUs, usable or not, there is nothing to see.
    if shows_a_gpu() {
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

/// The emulated GPU maps all of its memory, for which there is no room everywhere.
#[test]
fn the_emulated_gpu_has_as_much_memory_as_it_is_told() {
    let clip = clip("x_wpp.hevc");
    let limited = |mib: &str| {
        let script =
            format!("ulimit -v 4000000; exec '{DECODE}' --device emulated -f null '{}'", clip.display());
        let mut command = Command::new("sh");
        command.args(["-c", &script]).env("NVDEC_EMULATED_MEMORY", mib).stdin(Stdio::null()).output().unwrap()
    };
    let all = limited("");
    assert_eq!(code(&all), 1, "{}", stderr(&all));
    assert!(
        stderr(&all).contains("cannot set up the emulated GPU: Cannot allocate memory"),
        "{}",
        stderr(&all)
    );
    let some = limited("512");
    assert_eq!(code(&some), 0, "{}", stderr(&some));
    let wrong = limited("1G");
    assert_eq!(code(&wrong), 1, "{}", stderr(&wrong));
    assert!(stderr(&wrong).contains("NVDEC_EMULATED_MEMORY=1G: it has to be MiB"), "{}", stderr(&wrong));
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
    // What the engine in software lacks is refused by name, and not as the hardware's limit.
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
fn a_trace_comes_beside_everything_else() {
    let trace = std::env::temp_dir().join(format!("nvdec-programs-{}-trace.json", std::process::id()));
    let [path, file] = [clip("x_wpp.hevc"), trace.clone()].map(|path| path.to_str().unwrap().to_owned());
    // Pictures that stay on the GPU, and pictures that are fetched.
    for args in [&["-f", "null"][..], &["-f", "framemd5", "--verify"]] {
        let output = run(DECODE, &[&[&path, "--device", "emulated", "--trace", &file], args].concat());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let text = stderr(&output);
        for part in ["16 pictures on ", " of 7 engines: NVDEC", "% busy of ", "bottleneck  ", file.as_str()] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&trace).unwrap()).unwrap();
        let events = json["traceEvents"].as_array().unwrap();
        assert_eq!(events.iter().filter(|event| event["cat"] == "decode" && event["ph"] == "X").count(), 16);
        std::fs::remove_file(&trace).unwrap();
    }
    let output = run(DECODE, &[&path, "--device", "emulated", "--trace", "/nonexistent/t.json"]);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    assert!(output.stdout.is_empty());
}

#[test]
fn benchmarks_run_on_the_emulated_gpu_and_say_so() {
    let [path, small] =
        [clip("x_wpp.hevc"), clip("x_size_202x150.hevc")].map(|p| p.to_str().unwrap().to_owned());
    for (args, field) in [
        (&["stream", &path, "--rounds", "1", "--mode", "balanced"][..], "/rows/1/pictures_per_second/median"),
        (&["many", &path, "--streams", "5", "--check"], "/fairness"),
        (&["start", "--rounds", "2"], "/total/median"),
        (&["start", &small, "--rounds", "1"], "/process_ms/max"),
        (&["reconfigure", &path, &small, "--rounds", "2"], "/reconfigure_ms/median"),
        (&["reconfigure", "--rounds", "1"], "/create_ms/min"),
        (&["detile", "--size", "96x64", "--pictures", "3", "--rounds", "1"], "/rows/1/gb_per_second/median"),
        (&["bound", &path, "--clock", "1545"], "/rows/0/pictures_per_second"),
        (&["schedule", &path, "--scale", "0.1", "--mode", "throughput"], "/rows/1/of_bound"),
    ] {
        let output = run(BENCH, &[args, &["--device", "emulated", "--json"]].concat());
        assert_eq!(code(&output), 0, "{args:?}: {}", stderr(&output));
        let json: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!((&json["emulated"], &json["benchmark"]), (&true.into(), &args[0].into()));
        assert!(json.pointer(field).is_some_and(serde_json::Value::is_number), "{field} of {args:?}: {json}");
        let output = run_on("emulated", BENCH, args);
        assert_eq!(code(&output), 0, "{args:?}: {}", stderr(&output));
        assert!(stdout(&output).starts_with("NVIDIA H200 (emulated"), "{}", stdout(&output));
    }
}

#[test]
fn benchmarks_end_as_the_other_programs_do() {
    let path = clip("x_wpp.hevc");
    let [path, other] = [path, clip("x_444_cqp.hevc")].map(|path| path.to_str().unwrap().to_owned());
    let text = clip("README.md").to_str().unwrap().to_owned();
    for (args, exit) in [
        (&[][..], 2),
        (&["stream", &path, "--engines", "each"], 2),
        (&["stream", "/nonexistent.hevc"], 66),
        (&["stream", &text, "--rounds", "1"], 65),
        (&["many", &text], 65),
        (&["bound", &other], 69),
        (&["many", &other, "--streams", "2"], 69),
        (&["start", &other, "--rounds", "1"], 69),
        (&["reconfigure", &path, &path], 2),
        (&["schedule", &path, "--speeds", "1,1,1,1,1,1,1,1"], 2),
    ] {
        let output = run_on("emulated", BENCH, args);
        assert_eq!(code(&output), exit, "{args:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
    // Sums that belong to another stream.
    let folder = std::env::temp_dir().join(format!("nvdec-programs-{}-bench", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let copy = folder.join("x.hevc");
    std::fs::copy(clip("x_wpp.hevc"), &copy).unwrap();
    let copy = copy.to_str().unwrap();
    let args = ["many", copy, "--streams", "2", "--check"];
    assert_eq!(code(&run_on("emulated", BENCH, &args)), 2, "there are no sums");
    std::fs::copy(clip("k_10b_tiles.hevc.framemd5"), folder.join("x.hevc.framemd5")).unwrap();
    let output = run_on("emulated", BENCH, &args);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    assert!(stdout(&output).contains("0 bit-exact, 2 differ"), "{}", stdout(&output));
    std::fs::remove_dir_all(folder).unwrap();
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
fn verbose_programs_say_what_the_driver_is_asked() {
    let path = clip("x_size_202x150.hevc");
    let path = path.to_str().unwrap();
    for (program, args) in
        [(PROBE, &[][..]), (DECODE, &[path, "-f", "null"]), (REPLAY, &["record", path, "-o", "-"])]
    {
        let output = run_on("emulated", program, &[args, &["-v"]].concat());
        let text = stderr(&output);
        assert_eq!(code(&output), 0, "{text}");
        for line in [
            "debug: driver: open /dev/nvidiactl\n",
            "RM_ALLOC of NV01_ROOT_CLIENT",
            "FERMI_VASPACE_A",
            ": NV_OK",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(!stderr(&run_on("emulated", program, args)).contains("driver: "));
    }
}

#[test]
fn the_probe_watches_engines() {
    let output = run_on("emulated", PROBE, &["--watch", "--count", "2", "--interval", "1", "--json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let lines: Vec<serde_json::Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "an object a line for each interval");
    for line in &lines {
        assert_eq!((&line["schema"], &line["gpus"][0]["emulated"]), (&1.into(), &true.into()));
        let engines = line["gpus"][0]["engines"].as_array().unwrap();
        assert_eq!((engines.len(), &engines[0]["engine"]), (7, &"NVDEC1".into()));
        assert!(engines.iter().all(|engine| engine["error"].is_null()), "{line}");
    }
    let sampled = |line: &serde_json::Value| line["gpus"][0]["engines"][0]["samples"].as_u64().unwrap() > 0;
    assert!(lines.iter().any(sampled), "{lines:?}");
    assert!(lines[1]["seconds"].as_f64() > lines[0]["seconds"].as_f64());

    let output = run(PROBE, &["--watch", "--count", "2", "--interval", "0.1", "--device", "emulated"]);
    let text = stdout(&output);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(text.matches("GPU 0  NVIDIA H200 (emulated)\n").count(), 2, "{text}");
    assert!(!text.contains('\x1b'), "no control sequences in a pipe: {text}");
    assert!(stderr(&output).contains("no other program can be seen"), "{}", stderr(&output));

    for wrong in
        [&["--watch", "--selftest"][..], &["--rate", "9"], &["--watch", "--interval", "3600", "--rate", "99"]]
    {
        assert_eq!(code(&run_on("emulated", PROBE, wrong)), 2, "{wrong:?}");
    }
    let output = run(PROBE, &["--watch", "--device", "nv:31", "--count", "1"]);
    assert!([69, 77].contains(&code(&output)), "{}", stderr(&output));
    if !has_gpu() {
        let output = run(PROBE, &["--watch", "--count", "1"]);
        assert!([69, 77].contains(&code(&output)), "not the emulated one: {}", stderr(&output));
    }
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
