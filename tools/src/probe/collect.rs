//! Looking at the machine: device nodes, process, driver and GPUs.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use hcq::compute::Support;
use hcq::{Device, EngineKind, GpuInfo, KernelInterface, RmClient};
use nvdec::Context;
use nvdec::class::Codec;
use nvdec::tensor::{Converter, TensorSpec};
use nvkernel_sys::class;

use super::permissions::{self, Node, NodeStat, Process, Seen};
use super::report::*;
use crate::exit;

/// Most GPUs that the driver lists.
const MAX_GPUS: u32 = 32;

/// What there is to see without the driver's help.
pub fn see() -> Seen {
    let gpu_nodes = (0..MAX_GPUS).map(|minor| node(format!("/dev/nvidia{minor}")));
    Seen {
        process: process(),
        module: fs::read_to_string("/proc/driver/nvidia/version").ok(),
        pci: pci_gpus(Path::new("/sys/bus/pci/devices")),
        control: node("/dev/nvidiactl".to_owned()),
        gpus: gpu_nodes.filter(|node| node.stat.is_some()).collect(),
    }
}

fn node(path: String) -> Node {
    let stat = fs::metadata(&path).ok().map(|meta| NodeStat {
        mode: meta.permissions().mode() & 0o777,
        uid: meta.uid(),
        owner: name_of(meta.uid(), "/etc/passwd"),
        gid: meta.gid(),
        group: name_of(meta.gid(), "/etc/group"),
        open: match fs::OpenOptions::new().read(true).write(true).open(&path) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.raw_os_error().unwrap_or(0)),
        },
    });
    Node { path, stat }
}

/// The name of user or group `id` in a file of the form `name:password:id:…`.
fn name_of(id: u32, file: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    })
}

fn process() -> Process {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let version = fs::read_to_string("/proc/version").unwrap_or_default();
    let gvisor = is_gvisor(&version);
    let variable = |name| std::env::var(name).ok();
    let cgroup = fs::read_to_string("/proc/1/cgroup").unwrap_or_default();
    Process {
        uid: effective(&status, "Uid:").unwrap_or(u32::MAX),
        groups: groups(&status),
        container: container(gvisor, &|path| Path::new(path).exists(), &variable, &cgroup),
        gvisor,
        visible_devices: variable("NVIDIA_VISIBLE_DEVICES"),
        driver_capabilities: variable("NVIDIA_DRIVER_CAPABILITIES"),
    }
}

/// gVisor's kernel gives one constant version text.
fn is_gvisor(proc_version: &str) -> bool {
    proc_version.contains("4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016")
}

/// The effective id (second number) of a line of `/proc/self/status`.
fn effective(status: &str, key: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn groups(status: &str) -> Vec<u32> {
    let supplementary = status.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap_or("");
    let mut groups: Vec<u32> = supplementary.split_whitespace().filter_map(|id| id.parse().ok()).collect();
    groups.extend(effective(status, "Gid:"));
    groups
}

/// What says that this is a container: the marker files of the engines, variables, or the first process's cgroup.
fn container(
    gvisor: bool,
    exists: &dyn Fn(&str) -> bool,
    variable: &dyn Fn(&'static str) -> Option<String>,
    cgroup: &str,
) -> Option<String> {
    if gvisor {
        return Some("gVisor".to_owned());
    }
    if exists("/.dockerenv") {
        return Some("Docker".to_owned());
    }
    if exists("/run/.containerenv") {
        return Some("Podman".to_owned());
    }
    if variable("KUBERNETES_SERVICE_HOST").is_some() {
        return Some("Kubernetes".to_owned());
    }
    if let Some(name) = variable("container").filter(|name| !name.is_empty()) {
        return Some(name);
    }
    let engines = ["docker", "kubepods", "containerd", "libpod", "lxc"];
    engines.into_iter().find(|name| cgroup.contains(name)).map(str::to_owned)
}

/// PCI addresses of NVIDIA's display controllers (class 0x03) under `root`.
fn pci_gpus(root: &Path) -> Vec<String> {
    let attribute = |path: &Path, name| fs::read_to_string(path.join(name)).unwrap_or_default();
    let mut found: Vec<String> = fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            let path = entry.path();
            attribute(&path, "vendor").trim() == "0x10de" && attribute(&path, "class").starts_with("0x03")
        })
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    found
}

/// Asks the driver for its release and its GPUs, and each GPU for what it has. `only` limits it to one GPU.
pub fn probe(kernel: Arc<dyn KernelInterface>, only: Option<usize>) -> Report {
    let emulated = kernel.is_emulated();
    let seen = (!emulated).then(see);
    let mut report = Report {
        schema: SCHEMA,
        emulated,
        driver: None,
        gpus: Vec::new(),
        findings: seen.as_ref().map(permissions::explain).unwrap_or_default(),
        verdict: Verdict::pending(),
        error: None,
        error_exit: None,
    };
    let listed = RmClient::connect(kernel.clone()).and_then(|client| {
        report.driver = Some(DriverReport::of(client.version()));
        drop(client);
        hcq::enumerate(kernel.clone())
    });
    match listed {
        Ok(list) => {
            let wanted = list.into_iter().filter(|info| only.is_none_or(|index| index == info.index));
            report.gpus = wanted.map(|info| gpu(&kernel, info)).collect();
        }
        Err(error) => {
            if let hcq::Error::DriverTooOld { version, .. } = &error {
                report.driver = version.parse().ok().map(DriverReport::of);
            }
            let finding = seen.as_ref().and_then(|seen| permissions::explain_error(seen, &error));
            add_finding(&mut report, finding);
            report.error = Some(error.to_string());
            report.error_exit = Some(exit::of_decoder(&error.into()));
        }
    }
    if let Some(seen) = &seen
        && report.gpus.iter().all(|gpu| !gpu.usable)
    {
        let errors: Vec<_> = report.gpus.iter_mut().filter_map(|gpu| gpu.cause.take()).collect();
        for error in errors {
            add_finding(&mut report, permissions::explain_error(seen, &error));
        }
    }
    report.verdict = Verdict::of(&report);
    report
}

fn add_finding(report: &mut Report, finding: Option<permissions::Finding>) {
    if let Some(finding) = finding
        && !report.findings.iter().any(|f| f.code == finding.code && f.exit == finding.exit)
    {
        report.findings.push(finding);
    }
}

fn gpu(kernel: &Arc<dyn KernelInterface>, info: GpuInfo) -> GpuReport {
    let mut report = GpuReport {
        index: info.index,
        emulated: kernel.is_emulated(),
        name: None,
        pci_address: info.pci_address(),
        pci_id: format!("{:04x}:{:04x}", info.pci_id.0, info.pci_id.1),
        minor: info.minor,
        usable: false,
        error: None,
        chip: None,
        classes: Classes::default(),
        engines: Vec::new(),
        video: None,
        compute: None,
        engine_clock: None,
        selftest: None,
        selftest_tensors: None,
        error_exit: None,
        cause: None,
    };
    if let Err(error) = describe(kernel, &mut report) {
        report.error = Some(error.to_string());
        report.error_exit = Some(exit::of_decoder(&error));
        if let nvdec::Error::Gpu(error) = error {
            report.cause = Some(error);
        }
    }
    report
}

fn describe(kernel: &Arc<dyn KernelInterface>, report: &mut GpuReport) -> nvdec::Result<()> {
    let device = Device::open(kernel.clone(), report.index)?;
    // Sandboxes refuse some of the queries; what is left is still worth showing.
    report.name = device.name().inspect_err(|error| log::info!("name: {error}")).ok();
    report.chip =
        device.chip().inspect_err(|error| log::info!("chip: {error}")).ok().map(|chip| ChipReport {
            name: chip.to_string(),
            architecture: chip.architecture,
            implementation: chip.implementation,
            revision: chip.revision,
        });
    report.classes = Classes::of(device.classes()?);
    let mut engines = device.engines()?.to_vec();
    engines.sort_unstable_by_key(|engine| (engine.kind(), engine.instance()));
    report.engines = engines
        .iter()
        .filter(|engine| !matches!(engine.kind(), EngineKind::Software | EngineKind::Other))
        .map(|engine| EngineReport {
            name: engine.to_string(),
            kind: engine.kind().name(),
            number: engine.instance(),
            engine_type: engine.0,
        })
        .collect();
    let context = Context::new(device)?;
    report.video = Some(video(&context));
    report.compute = Some(compute(&context));
    // An engine that a decoder can be made on is one that can be used.
    nvdec::Decoder::new(&context, Codec::Hevc, nvdec::DecoderOptions::default())?;
    report.usable = true;
    Ok(())
}

fn compute(context: &Arc<Context>) -> ComputeReport {
    let device = context.device();
    let class = device.pick_class("compute", class::COMPUTE_CLASSES).ok();
    let loaded = Converter::new(context, &TensorSpec::new());
    ComputeReport {
        launches: match class.map(hcq::compute::support) {
            Some(Support::Proven) => "proven",
            Some(Support::Documented) => "documented",
            _ => "unknown",
        },
        capability: device.compute_capability().ok(),
        tensors: loaded.is_ok(),
        reason: loaded.err().map(|error| error.to_string()),
    }
}

fn video(context: &Context) -> VideoReport {
    let class = context.class();
    let capabilities = class.capabilities.iter().filter_map(|cap| context.capability(cap.codec));
    let codecs = capabilities.map(|cap| CodecReport {
        codec: cap.codec.name(),
        chroma: cap.chroma.names(),
        bit_depth: [cap.depth.0, cap.depth.1],
        min_size: [cap.min.0, cap.min.1],
        max_size: [cap.max.0, cap.max.1],
        max_blocks: cap.max_blocks,
        supported: cap.codec == Codec::Hevc,
    });
    VideoReport { generation: class.generation, proven: class.proven, codecs: codecs.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str =
        "Name:\tx\nUid:\t1000\t1001\t1000\t1000\nGid:\t100\t101\t100\t100\nGroups:\t4 24 44 \n";

    #[test]
    fn ids_of_proc_status() {
        assert_eq!(effective(STATUS, "Uid:"), Some(1001));
        assert_eq!(groups(STATUS), [4, 24, 44, 101]);
        assert_eq!(effective("", "Uid:"), None);
        assert!(groups("").is_empty());
    }

    #[test]
    fn containers_are_recognised() {
        let none = |_: &'static str| None;
        let file = |wanted: &'static str| move |path: &str| path == wanted;
        assert_eq!(container(true, &file(""), &none, "").as_deref(), Some("gVisor"));
        assert_eq!(container(false, &file("/.dockerenv"), &none, "").as_deref(), Some("Docker"));
        assert_eq!(container(false, &file("/run/.containerenv"), &none, "").as_deref(), Some("Podman"));
        let variable = |name: &'static str| (name == "container").then(|| "systemd-nspawn".to_owned());
        assert_eq!(container(false, &file(""), &variable, "").as_deref(), Some("systemd-nspawn"));
        let cgroup = "0::/kubepods/besteffort/pod1";
        assert_eq!(container(false, &file(""), &none, cgroup).as_deref(), Some("kubepods"));
        assert_eq!(container(false, &file(""), &none, "0::/init.scope"), None);
        assert!(is_gvisor("Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016"));
        assert!(!is_gvisor("Linux version 6.1.0 (x@y) #1 SMP"));
    }

    #[test]
    fn this_process_is_seen() {
        let seen = see();
        assert_ne!(seen.process.uid, u32::MAX);
        assert_eq!(name_of(0, "/etc/passwd").as_deref(), Some("root"));
        assert_eq!(seen.control.stat.is_some(), Path::new("/dev/nvidiactl").exists());
    }
}
