//! `nvdec-probe`: what GPUs there are, what their video engines decode, and what stands in the way.

pub mod collect;
pub mod permissions;
pub mod report;
pub mod text;
pub mod watch;

use std::sync::Arc;

use hcq::{Device, KernelInterface};
use nvdec::{Context, DeviceChoice};

use crate::clock::{self, EngineClock};
use crate::engines::EngineChoice;
use crate::exit::{Exit, Failure};
use crate::selftest;
use report::Verdict;

/// What to probe.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Which device.
    pub device: DeviceChoice,
    /// Print JSON.
    pub json: bool,
    /// Decode the embedded clips on every engine, and make tensors of a picture of each kind.
    pub selftest: bool,
    /// Engine of the self-test; all of them unless a number.
    pub engine: EngineChoice,
}

/// Probes, prints to standard output, and says how the program ends.
pub fn run(options: &Options) -> Result<Exit, Failure> {
    let kernel = options.device.kernel()?;
    let only = match options.device {
        DeviceChoice::Nv(index) => Some(index),
        DeviceChoice::Auto | DeviceChoice::Emulated => None,
    };
    let mut report = collect::probe(kernel.clone(), only);
    for gpu in report.gpus.iter_mut().filter(|gpu| gpu.usable && !gpu.emulated) {
        gpu.engine_clock = engine_clock(&kernel, gpu.index);
    }
    if options.selftest {
        for gpu in report.gpus.iter_mut().filter(|gpu| gpu.usable) {
            gpu.selftest =
                Some(selftest::run(&kernel, gpu.index, options.engine, |line| crate::message!("{line}"))?);
            if gpu.compute.as_ref().is_some_and(|compute| compute.tensors) {
                gpu.selftest_tensors = Some(selftest::tensors(&kernel, gpu.index, options.engine, |line| {
                    crate::message!("{line}")
                })?);
            }
        }
        report.verdict = Verdict::of(&report);
    }
    let text = if options.json {
        serde_json::to_string_pretty(&report).expect("a report has string keys only") + "\n"
    } else {
        text::render(&report)
    };
    crate::console::print(&text)?;
    Ok(report.exit())
}

/// The clock of GPU `index`, which is known to be usable; `None` if it is not any more.
fn engine_clock(kernel: &Arc<dyn KernelInterface>, index: usize) -> Option<EngineClock> {
    let context = Device::open(kernel.clone(), index).map_err(nvdec::Error::from).and_then(Context::new);
    clock::measure(&context.inspect_err(|error| log::info!("GPU {index}: {error}")).ok()?)
}

/// One line on whether this machine can decode, for programs that only want to mention it.
pub fn verdict() -> String {
    match DeviceChoice::Auto.kernel() {
        Ok(kernel) => collect::probe(kernel, None).verdict.text,
        Err(failure) => failure.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_emulated_gpu_is_probed_like_any_other() {
        let report = collect::probe(DeviceChoice::Emulated.kernel().unwrap(), None);
        assert!(report.emulated && report.gpus[0].usable, "{report:?}");
        assert_eq!(report.driver.as_ref().unwrap().version, "580.159.04");
        let gpu = &report.gpus[0];
        assert_eq!(gpu.classes.video.as_ref().unwrap().number, "0xb8b0");
        // NVDEC0 does not exist on this GPU.
        let nvdec: Vec<_> = gpu.engines.iter().filter(|e| e.kind == "NVDEC").map(|e| e.number).collect();
        assert_eq!(nvdec, [1, 2, 3, 4, 5, 6, 7]);
        // The class decodes more; the engine in software does not.
        let codecs: Vec<_> =
            gpu.video.as_ref().unwrap().codecs.iter().map(|c| (c.codec, c.chroma.clone())).collect();
        assert_eq!(codecs, [("HEVC", vec!["4:2:0"])]);
        assert_eq!(report.exit(), Exit::Success);
        assert!(text::render(&report).contains("(emulated)"));
    }

    #[test]
    fn probing_never_fails_for_want_of_a_gpu() {
        let kernel = DeviceChoice::Auto.kernel().unwrap();
        let report = collect::probe(kernel, None);
        let found_reason = report.findings.iter().any(|f| f.exit.is_some());
        assert!(report.exit() == Exit::Success || found_reason || !report.gpus.is_empty(), "{report:?}");
    }
}
