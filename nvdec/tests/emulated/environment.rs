//! Switches of the library behind the samples, in the environment of a process of their own.

use std::process::{Command, Output};

use hcq::kernel::emulated::{EmulatedKernel, GpuModel};
use nvdec::{Context, DeviceChoice};

use crate::support::{decode, stream, sums};

/// Runs `child` with a variable set.
fn with(name: &str, value: &str) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "environment::child", "--ignored", "--nocapture"]);
    command.env(name, value).output().unwrap()
}

#[test]
#[ignore = "the process that the other tests start"]
fn child() {
    if let Err(error) = Context::open(DeviceChoice::Emulated) {
        println!("open: {error}");
    }
    let kernel = nvdec::emulated::attach(EmulatedKernel::builder().gpu(GpuModel::h200())).build().unwrap();
    let decoded = decode(&kernel, &stream("h_ld_b"), None);
    println!("exact: {}; log: {:?}", decoded.sums == sums("h_ld_b"), kernel.log());
}

#[test]
fn switches_that_could_spoil_pictures_are_refused() {
    for (name, value) in [("RH265_ISA", "scalar"), ("RH265_NO_LF", "1"), ("RH265_ABLATE_MC", "1")] {
        let output = with(name, value);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{name}: {text}{}", String::from_utf8_lossy(&output.stderr));
        let named = format!("the environment has {name}={value}");
        let lines =
            |start: &str| text.lines().find(|line| line.contains(start)).unwrap_or_default().to_owned();
        assert!(lines("open: ").contains(&named), "{name}: {text}");
        assert!(lines("exact: false").contains(&named), "{name}: {text}");
        assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{name}");
    }
}

#[test]
fn narrower_instruction_sets_make_the_same_pictures() {
    for value in ["baseline", "sse41"] {
        let output = with("RH265_ISA", value);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("exact: true; log: []"), "{value}: {text}");
        assert!(!text.contains("open: "), "{value}: {text}");
    }
}
