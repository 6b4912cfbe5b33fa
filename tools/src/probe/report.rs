//! The report of a probe. Its field names are those of the JSON output and stay as they are; new ones may come.

use nvkernel_sys::class;
use nvkernel_sys::layout::{self, DriverVersion, Match};
use serde::Serialize;

use super::permissions::Finding;
use crate::clock::EngineClock;
use crate::exit::Exit;
use crate::selftest::{ClipResult, TensorResult};

/// Version of the JSON format; raised when a field changes its meaning.
pub const SCHEMA: u32 = 1;

/// Everything that a probe found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The driver and its GPUs are a model in this process.
    pub emulated: bool,
    /// The kernel driver, if it answers.
    pub driver: Option<DriverReport>,
    /// The GPUs that the driver lists.
    pub gpus: Vec<GpuReport>,
    /// What stands in the way of using them.
    pub findings: Vec<Finding>,
    /// The conclusion.
    pub verdict: Verdict,
    /// Why the driver does not answer, though its node opens or should.
    pub error: Option<String>,
    #[serde(skip)]
    pub(crate) error_exit: Option<Exit>,
}

/// The conclusion of a probe.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// Exit code of the program.
    pub exit_code: u8,
    /// In words.
    pub text: String,
    #[serde(skip)]
    exit: Option<Exit>,
}

/// The kernel driver and how well its interface is known.
#[derive(Clone, Debug, Serialize)]
pub struct DriverReport {
    /// Release, such as `580.159.04`.
    pub version: String,
    /// `exact`, `nearest`, `newer-than-known` or `too-old`.
    pub abi: &'static str,
    /// Releases `[first, last]` whose structure layouts are used.
    pub abi_releases: Option<[String; 2]>,
}

/// One GPU.
#[derive(Debug, Serialize)]
pub struct GpuReport {
    /// Position in the driver's list: N of `--device nv:N`.
    pub index: usize,
    /// It is a model in this process.
    pub emulated: bool,
    /// Marketing name.
    pub name: Option<String>,
    /// PCI address.
    pub pci_address: String,
    /// PCI vendor and device id, hexadecimal.
    pub pci_id: String,
    /// N of `/dev/nvidiaN`.
    pub minor: u32,
    /// Whether it can decode.
    pub usable: bool,
    /// Why not.
    pub error: Option<String>,
    /// The chip.
    pub chip: Option<ChipReport>,
    /// The newest class of each kind that the GPU offers.
    pub classes: Classes,
    /// Engines that exist.
    pub engines: Vec<EngineReport>,
    /// What the video decoder class decodes.
    pub video: Option<VideoReport>,
    /// Whether kernels make tensors of what it decodes.
    pub compute: Option<ComputeReport>,
    /// Clock of its first NVDEC engine; `None` if the GPU is not usable, or emulated.
    pub engine_clock: Option<EngineClock>,
    /// Results of `--selftest`.
    pub selftest: Option<Vec<ClipResult>>,
    /// Tensors of `--selftest`.
    pub selftest_tensors: Option<Vec<TensorResult>>,
    #[serde(skip)]
    pub(crate) error_exit: Option<Exit>,
    #[serde(skip)]
    pub(crate) cause: Option<hcq::Error>,
}

/// A chip (`NV2080_CTRL_CMD_MC_GET_ARCH_INFO`).
#[derive(Clone, Debug, Serialize)]
pub struct ChipReport {
    /// Name, such as `GH100`.
    pub name: String,
    /// Architecture number.
    pub architecture: u32,
    /// Implementation within the architecture.
    pub implementation: u32,
    /// Mask revision.
    pub revision: u32,
}

/// A class by number and name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClassReport {
    /// Hexadecimal number, such as `0xb8b0`.
    pub number: String,
    /// NVIDIA's name.
    pub name: &'static str,
}

/// The newest class of each kind.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Classes {
    /// Video decoder.
    pub video: Option<ClassReport>,
    /// Channel.
    pub channel: Option<ClassReport>,
    /// Doorbell window.
    pub usermode: Option<ClassReport>,
    /// Copy engine.
    pub copy: Option<ClassReport>,
    /// Compute.
    pub compute: Option<ClassReport>,
    /// JPEG decoder.
    pub jpeg: Option<ClassReport>,
    /// Optical flow.
    pub optical_flow: Option<ClassReport>,
}

/// One engine.
#[derive(Clone, Debug, Serialize)]
pub struct EngineReport {
    /// Name with number, such as `NVDEC1`.
    pub name: String,
    /// Kind: `NVDEC`, `NVJPG`, `OFA`, `NVENC`, `COPY`, `GR`, …
    pub kind: &'static str,
    /// Number within its kind: N of `--engine N`.
    pub number: u32,
    /// `NV2080_ENGINE_TYPE`.
    pub engine_type: u32,
}

/// What is known of kernels on a GPU.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ComputeReport {
    /// `proven` if kernels of its class were seen to run on hardware, `documented` if it is known from headers how they are
    /// launched, else `unknown`.
    pub launches: &'static str,
    /// Compute capability, such as 90.
    pub capability: Option<u32>,
    /// The kernels that make tensors were compiled for it, and are loaded.
    pub tensors: bool,
    /// Why not.
    pub reason: Option<String>,
}

/// The video decoder.
#[derive(Clone, Debug, Serialize)]
pub struct VideoReport {
    /// GPU generation of the class.
    pub generation: &'static str,
    /// Whether pictures were decoded with this class on hardware, and compared.
    pub proven: bool,
    /// What it decodes, by codec.
    pub codecs: Vec<CodecReport>,
}

/// What a class decodes of one codec.
#[derive(Clone, Debug, Serialize)]
pub struct CodecReport {
    /// Name.
    pub codec: &'static str,
    /// Chroma formats.
    pub chroma: Vec<&'static str>,
    /// Smallest and largest sample depth in bits.
    pub bit_depth: [u8; 2],
    /// Smallest width and height.
    pub min_size: [u32; 2],
    /// Largest width and height.
    pub max_size: [u32; 2],
    /// Most 16x16 blocks in a picture.
    pub max_blocks: u32,
    /// Whether `nvdec-decode` decodes it.
    pub supported: bool,
}

impl ClassReport {
    /// The newest class of `table` that is `offered`.
    pub fn newest(table: &[u32], offered: &[u32]) -> Option<ClassReport> {
        let number = class::newest(table, offered)?;
        Some(ClassReport { number: format!("{number:#06x}"), name: class::name_of(number) })
    }
}

impl Classes {
    /// From the class list of a GPU.
    pub fn of(offered: &[u32]) -> Classes {
        let newest = |table| ClassReport::newest(table, offered);
        Classes {
            video: newest(class::VIDEO_DECODER_CLASSES),
            channel: newest(class::CHANNEL_CLASSES),
            usermode: newest(class::USERMODE_CLASSES),
            copy: newest(class::COPY_CLASSES),
            compute: newest(class::COMPUTE_CLASSES),
            jpeg: newest(class::NVJPG_CLASSES),
            optical_flow: newest(class::OFA_CLASSES),
        }
    }
}

impl DriverReport {
    /// What is known of release `version`.
    pub fn of(version: DriverVersion) -> DriverReport {
        let matching = layout::Abi::for_version(version).matching();
        let row = match matching {
            Match::TooOld => None,
            // The layouts of a release between two ranges are those of the range before it.
            _ => layout::VERIFIED.iter().rev().find(|range| *range.start() <= version),
        };
        DriverReport {
            version: version.to_string(),
            abi: match matching {
                Match::Exact => "exact",
                Match::Nearest => "nearest",
                Match::NewerThanKnown => "newer-than-known",
                Match::TooOld => "too-old",
            },
            abi_releases: row.map(|range| [range.start().to_string(), range.end().to_string()]),
        }
    }
}

impl Verdict {
    /// The conclusion from what `report` holds.
    pub fn of(report: &Report) -> Verdict {
        let (exit, text) = conclude(report);
        Verdict { exit_code: exit.code(), text, exit: Some(exit) }
    }

    pub(crate) fn pending() -> Verdict {
        Verdict { exit_code: 0, text: String::new(), exit: None }
    }
}

impl GpuReport {
    /// The name by which people are told of it.
    pub fn title(&self) -> String {
        let name = self.name.as_deref().unwrap_or("NVIDIA GPU");
        if self.emulated { format!("{name} (emulated)") } else { name.to_owned() }
    }
}

impl Report {
    /// How the program ends.
    pub fn exit(&self) -> Exit {
        self.verdict.exit.unwrap_or(Exit::Fault)
    }
}

fn conclude(report: &Report) -> (Exit, String) {
    let results = || report.gpus.iter().flat_map(|gpu| gpu.selftest.iter().flatten());
    let wrong = results().filter(|r| !r.passed).count();
    let tensors = || report.gpus.iter().flat_map(|gpu| gpu.selftest_tensors.iter().flatten());
    let wrong_tensors = tensors().filter(|r| !r.passed).count();
    if wrong_tensors > 0 && wrong == 0 {
        return (
            Exit::Fault,
            format!("self-test failed: {wrong_tensors} of {} tensors are wrong", tensors().count()),
        );
    }
    if wrong > 0 {
        return (
            Exit::Fault,
            format!("self-test failed: {wrong} of {} decodes are wrong", results().count()),
        );
    }
    let usable: Vec<_> = report.gpus.iter().filter(|gpu| gpu.usable).collect();
    if let Some(first) = usable.first() {
        let count = |gpu: &GpuReport| gpu.engines.iter().filter(|e| e.kind == "NVDEC").count();
        let engines: usize = usable.iter().map(|gpu| count(gpu)).sum();
        let name = first.title();
        let tested = if results().count() > 0 { ", self-test passed" } else { "" };
        let unproven = usable.iter().any(|gpu| gpu.video.as_ref().is_some_and(|v| !v.proven));
        let remark = if unproven && tested.is_empty() {
            "; not proven on this generation: run --selftest"
        } else {
            ""
        };
        let text = match usable.len() {
            1 => format!("usable: {name} with {}{tested}{remark}", plural(engines, "NVDEC engine")),
            n => format!("usable: {n} GPUs, {} in all{tested}{remark}", plural(engines, "NVDEC engine")),
        };
        return (Exit::Success, text);
    }
    if let Some((finding, exit)) = report.findings.iter().find_map(|f| Some((f, f.exit?))) {
        return (exit, format!("not usable: {}", finding.what));
    }
    let gpu = report.gpus.iter().find_map(|gpu| Some((gpu.error.as_ref()?, gpu.error_exit?)));
    let error = report.error.as_ref().zip(report.error_exit).or(gpu);
    match error {
        Some((error, exit)) => (exit, format!("not usable: {error}")),
        None => (Exit::Unavailable, "not usable: the driver lists no such GPU".to_owned()),
    }
}

/// `1 engine`, `2 engines`.
pub fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(text: &str) -> DriverReport {
        DriverReport::of(text.parse().unwrap())
    }

    #[test]
    fn driver_releases_are_judged() {
        let exact = release("570.124.04");
        assert_eq!(exact.abi, "exact");
        assert_eq!(exact.abi_releases.unwrap()[0], "570.86.15");
        let old = release("470.57.02");
        assert_eq!((old.abi, old.abi_releases), ("too-old", None));
        let new = release("999.1");
        assert_eq!(new.abi, "newer-than-known");
        // Beyond the last known release its layouts are used.
        assert_eq!(new.abi_releases.unwrap()[1], layout::VERIFIED.last().unwrap().end().to_string());
    }

    #[test]
    fn classes_of_a_hopper() {
        let offered = [0xc86f, 0xc661, 0xc8b5, 0xcbc0, 0xb8b0, 0xb8d1, 0xb8fa, 0xc5c0];
        let classes = Classes::of(&offered);
        assert_eq!(classes.video.unwrap().name, "NVB8B0_VIDEO_DECODER");
        assert_eq!(classes.compute.unwrap().number, "0xcbc0");
        assert_eq!(Classes::of(&[]).video, None);
    }
}
