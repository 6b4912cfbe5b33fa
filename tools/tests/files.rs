//! What the programs leave of files: their users' own, those that they write, and what a signal or a full disk leaves.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const DECODE: &str = env!("CARGO_BIN_EXE_nvdec-decode");
const PROBE: &str = env!("CARGO_BIN_EXE_nvdec-probe");
const BENCH: &str = env!("CARGO_BIN_EXE_nvdec-bench");
const REPLAY: &str = env!("CARGO_BIN_EXE_nvdec-replay");

/// How long something that comes at once may take on a busy machine.
const LONG: Duration = Duration::from_secs(60);

fn clip(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clips").join(name)
}

fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).env("NVDEC_DEVICE", "emulated").stdin(Stdio::null());
    command
}

fn run(program: &str, args: &[&str]) -> Output {
    command(program, args).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A folder that goes when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("nvdec-files-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// A copy of a clip, a hard link and a symbolic link to it.
    fn names_of(&self, stream: &[u8], name: &str) -> [String; 3] {
        let names =
            [name.to_owned(), format!("hard-{name}"), format!("soft-{name}")].map(|name| self.file(&name));
        fs::write(&names[0], stream).unwrap();
        fs::hard_link(&names[0], &names[1]).unwrap();
        symlink(name, &names[2]).unwrap();
        names
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(&self.0).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is left to the system.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs a program that has to refuse, before it has written anything.
#[track_caller]
fn refuses(folder: &Folder, input: &str, mut command: Command) {
    let (bytes, names) = (fs::read(input).unwrap(), folder.names());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{command:?}: {}", stderr(&output));
    assert!(stderr(&output).contains("same file as the input"), "{command:?}: {}", stderr(&output));
    assert!(fs::read(input).unwrap() == bytes, "{command:?} changed its input");
    assert_eq!(folder.names(), names, "{command:?}");
}

#[test]
fn outputs_that_are_inputs_are_refused() {
    let folder = Folder::new("refused");
    let stream = fs::read(clip("x_size_202x150.hevc")).unwrap();
    let names = folder.names_of(&stream, "x.png");
    let input = &names[0];
    for output in &names {
        let other = folder.file("other");
        for args in [
            &[input, "-f", "yuv", "-o", output][..],
            &[input, "-f", "framemd5", "-o", output],
            &[input, "-f", "png", "-n", "1", "-o", output],
            &[input, "-f", "null", "--trace", output],
            &[input, "-f", "yuv", "-o", &other, "--preview", output],
            &[input, "-f", "yuv", "-o", &other, "--trace", output],
        ] {
            refuses(&folder, input, command(DECODE, args));
        }
        refuses(&folder, input, command(REPLAY, &["record", input, "-o", output]));
        // By way of standard input.
        let mut piped = command(DECODE, &["-", "-f", "y4m", "-o", output]);
        piped.stdin(File::open(input).unwrap());
        refuses(&folder, input, piped);
    }
    // What is printed goes to a file that is read.
    let text: [(&str, &[&str]); 6] = [
        (DECODE, &[input, "-f", "yuv"]),
        (DECODE, &[input, "-f", "null", "--json"]),
        (DECODE, &["--parse", input]),
        (BENCH, &["stream", input, "--json"]),
        (BENCH, &["bound", input]),
        (REPLAY, &["record", input, "-o", "-"]),
    ];
    for (program, args) in text {
        let mut appending = command(program, args);
        appending.stdout(File::options().append(true).open(&names[1]).unwrap());
        refuses(&folder, input, appending);
    }
}

#[test]
fn captures_are_not_written_over_themselves() {
    let folder = Folder::new("captures");
    let capture = folder.file("a.nvcap");
    let input = clip("x_size_202x150.hevc").display().to_string();
    let output = run(REPLAY, &["record", &input, "-n", "2", "-o", &capture]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let bytes = fs::read(&capture).unwrap();
    fs::remove_file(&capture).unwrap();
    let names = folder.names_of(&bytes, "a.nvcap");
    for output in &names {
        refuses(&folder, &capture, command(REPLAY, &["shrink", &capture, "-o", output, "--while", "true"]));
    }
    for args in [
        &["print", &capture][..],
        &["run", &capture],
        &["diff", &names[2], clip("x_wpp.hevc").to_str().unwrap()],
    ] {
        let mut appending = command(REPLAY, args);
        appending.stdout(File::options().append(true).open(&names[1]).unwrap());
        refuses(&folder, &capture, appending);
    }
    // The candidates replace each other, which they cannot in a pipe.
    let output = run(REPLAY, &["shrink", &capture, "-o", "-", "--while", "true"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{}", stderr(&output));
    // A capture can go to standard output; what is said of it does not.
    let output = run(REPLAY, &["record", &input, "-n", "2", "-o", "-"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    // Which engines decoded, and so a few bytes, may differ from one recording to the next.
    assert_eq!(output.stdout.get(..8), bytes.get(..8));
    assert!(output.stdout.len() > bytes.len() / 2, "{} bytes", output.stdout.len());
}

#[test]
fn a_picture_of_a_series_is_not_written_over_the_stream() {
    let folder = Folder::new("series");
    let input = folder.file("000002.png");
    fs::copy(clip("x_size_202x150.hevc"), &input).unwrap();
    let bytes = fs::read(&input).unwrap();
    let output = run(DECODE, &[&input, "-f", "png", "-o", &folder.0.display().to_string()]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(fs::read(&input).unwrap() == bytes);
    assert_eq!(folder.names(), ["000000.png", "000001.png", "000002.png"], "what was complete stays");
}

#[test]
fn outputs_have_names_of_their_own() {
    let folder = Folder::new("two");
    let input = clip("x_size_202x150.hevc").display().to_string();
    let [a, b] = ["a.png", "b.png"].map(|name| folder.file(name));
    symlink("a.png", &b).unwrap();
    let args = [&input, "-f", "yuv", "-o", &a, "--preview", &b];
    let output = run(DECODE, &args);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("are the same output"), "{}", stderr(&output));
    assert_eq!(folder.names(), ["b.png"]);
}

#[test]
fn what_fails_leaves_the_file_that_was_there() {
    let folder = Folder::new("failing");
    let [yuv, nothing] = ["x.yuv", "nothing.hevc"].map(|name| folder.file(name));
    fs::write(&yuv, "before").unwrap();
    fs::write(&nothing, "no picture").unwrap();
    let wide = clip("k_10b_tiles.hevc").display().to_string();
    // 10 bits do not fit nv12, and no picture is no output.
    for args in [&[&wide, "-f", "nv12", "-o", &yuv][..], &[&nothing, "-o", &yuv]] {
        let output = run(DECODE, args);
        assert!([Some(2), Some(65)].contains(&output.status.code()), "{}", stderr(&output));
        assert_eq!((fs::read(&yuv).unwrap(), folder.names().len()), (b"before".to_vec(), 2), "{args:?}");
    }
}

/// A program that is in the midst of its work, with an output that it has begun.
fn begun(folder: &Folder, args: &[&str]) -> (Child, Vec<u8>) {
    let stream = fs::read(clip("x_wpp.hevc")).unwrap();
    let mut command = command(args[0], &args[1..]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // The stream does not end.
    child.stdin.as_mut().unwrap().write_all(&stream[..stream.len() / 2]).unwrap();
    let start = Instant::now();
    while !folder.names().iter().any(|name| name.ends_with(".part")) {
        assert!(start.elapsed() < LONG && child.try_wait().unwrap().is_none(), "{:?}", folder.names());
        std::thread::sleep(Duration::from_millis(5));
    }
    (child, stream)
}

/// Whether this process ignores a signal.
fn is_ignored(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() >> (signal as i32 - 1) & 1 != 0
}

#[test]
fn a_signal_leaves_no_half_of_a_file() {
    let folder = Folder::new("signals");
    let [yuv, png, trace, capture] = ["x.yuv", "x.png", "x.json", "x.nvcap"].map(|name| folder.file(name));
    fs::write(&yuv, "before").unwrap();
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143), (Signal::SIGHUP, 129)] {
        // A shell ignores some for what runs in the background, and the programs of the test would, too.
        if is_ignored(signal) {
            continue;
        }
        for args in [
            &[DECODE, "-", "-o", &yuv, "--preview", &png, "--trace", &trace][..],
            &[REPLAY, "record", "-", "-o", &capture],
        ] {
            let (mut child, _) = begun(&folder, args);
            kill(Pid::from_raw(child.id() as i32), signal).unwrap();
            // To wait closes it, and the end of the stream may come before the signal.
            let stdin = child.stdin.take();
            assert_eq!(child.wait().unwrap().code(), Some(code), "{args:?}");
            drop(stdin);
            assert_eq!(
                (fs::read(&yuv).unwrap(), folder.names()),
                (b"before".to_vec(), vec!["x.yuv".to_owned()])
            );
        }
    }
}

/// As `nohup` does it.
#[test]
fn an_ignored_signal_stays_ignored() {
    let folder = Folder::new("nohup");
    let yuv = folder.file("x.yuv");
    let script = format!("trap '' HUP; exec '{DECODE}' - -o '{yuv}'");
    let (mut child, stream) = begun(&folder, &["sh", "-c", &script]);
    kill(Pid::from_raw(child.id() as i32), Signal::SIGHUP).unwrap();
    child.stdin.take().unwrap().write_all(&stream[stream.len() / 2..]).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(folder.names(), ["x.yuv"]);
}

#[test]
fn what_shrink_started_ends_with_it() {
    // As for what a shell runs in the background: there would be no end to wait for.
    if is_ignored(Signal::SIGINT) {
        return;
    }
    let folder = Folder::new("shrink");
    let [capture, small, pid] = ["a.nvcap", "small.nvcap", "pid"].map(|name| folder.file(name));
    let input = clip("x_size_202x150.hevc").display().to_string();
    assert!(run(REPLAY, &["record", &input, "-n", "3", "-o", &capture]).status.success());
    // Succeeds on the whole, and hangs on what comes next.
    let test =
        format!("if test -e {pid}; then echo $$ >{pid}; echo {{}} >>{pid}; sleep 6000; else :>{pid}; fi");
    let args = ["shrink", &capture, "-o", &small, "--timeout", "6000", "--while", &test];
    let mut child = command(REPLAY, &args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    let text = loop {
        match fs::read_to_string(&pid) {
            Ok(text) if text.lines().count() == 2 => break text,
            _ => assert!(start.elapsed() < LONG),
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let candidate = Path::new(text.lines().nth(1).unwrap());
    assert!(candidate.exists() && Path::new(&small).exists());
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!candidate.parent().unwrap().exists(), "its folder is gone");
    assert_eq!(folder.names(), ["a.nvcap", "pid", "small.nvcap"], "what was found stays");
    let stat = format!("/proc/{}/stat", text.lines().next().unwrap());
    let alive = || fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z"));
    while alive() {
        assert!(start.elapsed() < LONG, "the shell goes on");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let folder = Folder::new("twice");
    let (mut child, _) = begun(&folder, &[DECODE, "-", "-o", &folder.file("x.yuv")]);
    // Both are there when it goes on, so that the second one comes while the first is being dealt with.
    for signal in [Signal::SIGSTOP, Signal::SIGINT, Signal::SIGTERM, Signal::SIGCONT] {
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
    }
    assert_eq!(child.wait().unwrap().signal(), Some(Signal::SIGTERM as i32));
}

/// Everything that a program prints, on a device that takes nothing.
#[test]
fn full_streams_are_no_panic() {
    let folder = Folder::new("full");
    let input = clip("x_size_202x150.hevc").display().to_string();
    let damaged = folder.file("damaged.hevc");
    let mut bytes = fs::read(&input).unwrap();
    bytes.iter_mut().skip(500).step_by(97).for_each(|byte| *byte ^= 0x5a);
    fs::write(&damaged, bytes).unwrap();
    let capture = folder.file("a.nvcap");
    assert!(run(REPLAY, &["record", &input, "-n", "2", "-o", &capture]).status.success());
    let [png, json] = ["x.png", "x.json"].map(|name| folder.file(name));
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let cases: [(&str, &[&str]); 17] = [
        (DECODE, &["--help"]),
        (DECODE, &["--version"]),
        (DECODE, &["--nonsense"]),
        (DECODE, &["/nonexistent.hevc"]),
        (DECODE, &[&input]),
        (DECODE, &[&input, "-f", "null", "--verify", "--stats", "--preview", &png, "--trace", &json, "-v"]),
        (DECODE, &[&input, "-f", "null", "--json"]),
        (DECODE, &[&input, "--json"]),
        (DECODE, &[&damaged, "-f", "null"]),
        (DECODE, &["--parse", &damaged]),
        (DECODE, &["--check", &input]),
        (PROBE, &["--selftest"]),
        (PROBE, &["--watch", "--count", "1", "--interval", "0.1"]),
        (BENCH, &["stream", &input, "--rounds", "1", "--mode", "balanced"]),
        (REPLAY, &["print", &capture]),
        (REPLAY, &["run", &capture]),
        (REPLAY, &["record", &damaged, "-o", &json]),
    ];
    for (program, args) in cases {
        let expected = run(program, args).status.code();
        // What is only said changes nothing; what was asked for and cannot be written is a failure.
        let mut mute = command(program, args);
        let output = mute.stderr(full()).output().unwrap();
        let asked_for = args == [&*input, "--json"];
        let code = if asked_for { Some(1) } else { expected };
        assert_eq!(output.status.code(), code, "{program} {args:?} with standard error full");
        let output = command(program, args).stdout(full()).output().unwrap();
        let text = stderr(&output);
        assert!(!text.contains("panicked"), "{text}");
        let prints = !run(program, args).stdout.is_empty();
        let code = if prints { Some(1) } else { expected };
        assert_eq!(output.status.code(), code, "{program} {args:?} with standard output full: {text}");
        // Closed from the beginning, as `>&- 2>&-` does it.
        let quoted = args.iter().map(|arg| format!("'{arg}'")).collect::<Vec<_>>().join(" ");
        let status = command("sh", &["-c", &format!("exec {program} {quoted} >&- 2>&-")]).status().unwrap();
        assert_eq!(status.code(), expected, "{program} {args:?} with both closed");
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_program_in_order() {
    let folder = Folder::new("reader");
    let input = clip("x_wpp.hevc").display().to_string();
    let preview = folder.file("x.png");
    let mut child = command(DECODE, &[&input, "-f", "yuv", "-o", "-", "--preview", &preview])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 100]).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
    assert!(folder.names().is_empty(), "{:?}", folder.names());
}
