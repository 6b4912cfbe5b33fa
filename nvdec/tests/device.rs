//! The choice of a device as a program meets it: by `NVDEC_DEVICE`, and on a machine without a GPU.
//!
//! The environment belongs to the process, so that each case is a run of [`program`] in a process of its own.

use std::process::{Command, Output};

use nvdec::{Context, DeviceChoice};

/// What a program does that leaves the device to the library. Run by the tests below, not by itself.
#[test]
#[ignore = "the program that the other tests run"]
fn program() {
    let contexts = [Context::open_default(), Context::open_default()];
    for context in contexts {
        match context {
            Ok(context) => println!("<opened emulated={}>", context.is_emulated()),
            Err(error) => println!("<failed {error}>"),
        }
    }
}

fn run(device: Option<&str>) -> (String, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "program", "--nocapture"]).env_remove(DeviceChoice::VARIABLE);
    if let Some(device) = device {
        command.env(DeviceChoice::VARIABLE, device);
    }
    let Output { stdout, stderr, .. } = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert!(stdout.contains("1 passed"), "{stdout}{stderr}");
    (stdout, stderr)
}

#[test]
#[cfg(feature = "emulated")]
fn the_variable_chooses_the_emulated_gpu() {
    let (stdout, stderr) = run(Some("emulated"));
    assert_eq!(stdout.matches("<opened emulated=true>").count(), 2, "{stdout}");
    assert_eq!(stderr, "", "who asked for it knows");
}

#[test]
fn a_wrong_value_names_the_variable() {
    for wrong in ["gpu", "nv:x", "Emulated"] {
        let (stdout, _) = run(Some(wrong));
        let expected =
            format!("<failed the environment variable NVDEC_DEVICE: {wrong:?} is none of auto, nv:N");
        assert_eq!(stdout.matches(&expected).count(), 2, "{stdout}");
    }
}

#[test]
fn a_gpu_that_is_not_there_is_an_error() {
    let (stdout, stderr) = run(Some("nv:31"));
    assert_eq!(stdout.matches("<failed ").count(), 2, "{stdout}");
    assert_eq!(stderr, "");
}

#[test]
#[cfg(feature = "emulated")]
fn without_a_gpu_the_emulated_one_is_taken_and_said_once() {
    if std::path::Path::new("/dev/nvidiactl").exists() {
        println!("skipped: this machine has NVIDIA's driver");
        return;
    }
    for variable in [None, Some(""), Some("auto")] {
        let (stdout, stderr) = run(variable);
        assert_eq!(stdout.matches("<opened emulated=true>").count(), 2, "{stdout}");
        let lines: Vec<_> = stderr.lines().collect();
        let [line] = lines[..] else { panic!("not one line: {stderr:?}") };
        assert!(line.starts_with("nvdec: ") && line.contains("/dev/nvidiactl"), "{line}");
        assert!(line.ends_with("; decoding on the emulated GPU, in software"), "{line}");
    }
}

#[test]
#[cfg(not(feature = "emulated"))]
fn a_build_without_the_emulated_gpu_says_so() {
    let (stdout, _) = run(Some("emulated"));
    assert_eq!(stdout.matches("its feature `emulated` is off").count(), 2, "{stdout}");
    if !std::path::Path::new("/dev/nvidiactl").exists() {
        let (stdout, stderr) = run(None);
        assert!(stdout.contains("<failed ") && stdout.contains("/dev/nvidiactl"), "{stdout}");
        assert_eq!(stderr, "");
    }
}
