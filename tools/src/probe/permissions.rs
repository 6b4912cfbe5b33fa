//! Why a GPU cannot be used: explanations derived from what was seen of device nodes, process and container.
//!
//! Everything here is a function of [`Seen`], which [`collect`](super::collect) fills; nothing looks at the machine.

use std::fmt;

use serde::Serialize;

use crate::exit::Exit;

const EPERM: i32 = 1;
const ENOENT: i32 = 2;
const EIO: i32 = 5;
const ENXIO: i32 = 6;
const EACCES: i32 = 13;
const EBUSY: i32 = 16;
const ENODEV: i32 = 19;
const EINVAL: i32 = 22;
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

/// A device node that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStat {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Owner's name, if there is one.
    pub owner: Option<String>,
    /// Group.
    pub gid: u32,
    /// Group's name, if there is one.
    pub group: Option<String>,
    /// What `open` for reading and writing gave: nothing, or its error number.
    pub open: Result<(), i32>,
}

impl fmt::Display for NodeStat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, letter) in [6, 3, 0].into_iter().flat_map(|s| [(s + 2, 'r'), (s + 1, 'w'), (s, 'x')]) {
            write!(f, "{}", if self.mode >> shift & 1 != 0 { letter } else { '-' })?;
        }
        let name = |name: &Option<String>, id: u32| name.clone().unwrap_or_else(|| id.to_string());
        write!(f, " {}:{}", name(&self.owner, self.uid), name(&self.group, self.gid))
    }
}

/// A device node that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its path.
    pub path: String,
    /// `None` if it does not exist.
    pub stat: Option<NodeStat>,
}

/// Whose process this is and where it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Effective user.
    pub uid: u32,
    /// Effective and supplementary groups.
    pub groups: Vec<u32>,
    /// What says that this is a container, if anything does.
    pub container: Option<String>,
    /// The system calls are answered by gVisor.
    pub gvisor: bool,
    /// `NVIDIA_VISIBLE_DEVICES`.
    pub visible_devices: Option<String>,
    /// `NVIDIA_DRIVER_CAPABILITIES`.
    pub driver_capabilities: Option<String>,
}

/// What there is to see without asking the driver anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// This process.
    pub process: Process,
    /// `/proc/driver/nvidia/version`: the kernel module is loaded.
    pub module: Option<String>,
    /// PCI addresses of NVIDIA display controllers.
    pub pci: Vec<String>,
    /// `/dev/nvidiactl`.
    pub control: Node,
    /// `/dev/nvidia0` and so on: those that exist.
    pub gpus: Vec<Node>,
}

/// Something that stands in the way, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable identifier.
    pub code: &'static str,
    /// What is the case.
    pub what: String,
    /// What to do.
    pub advice: String,
    /// The exit code that it calls for; `None` for a remark that need not stand in the way.
    #[serde(skip)]
    pub exit: Option<Exit>,
}

fn finding(code: &'static str, exit: Exit, what: impl Into<String>, advice: impl Into<String>) -> Finding {
    Finding { code, what: what.into(), advice: advice.into(), exit: Some(exit) }
}

/// Everything that keeps this process from the GPUs, the first cause first.
pub fn explain(seen: &Seen) -> Vec<Finding> {
    let mut findings = Vec::new();
    match &seen.control.stat {
        None => findings.push(control_missing(seen)),
        Some(stat) => findings.extend(node(seen, &seen.control.path, stat)),
    }
    if seen.control.stat.is_some() && seen.gpus.is_empty() {
        findings.push(gpu_missing(seen));
    }
    for gpu in &seen.gpus {
        findings.extend(gpu.stat.as_ref().and_then(|stat| node(seen, &gpu.path, stat)));
    }
    findings.extend(capabilities(&seen.process));
    findings
}

/// What an error of the driver layer means on this machine.
pub fn explain_error(seen: &Seen, error: &hcq::Error) -> Option<Finding> {
    match error {
        // Whatever could be seen of this machine would be seen without descriptors.
        error if error.is_out_of_descriptors() => None,
        hcq::Error::Open { node: path, source } => {
            let code = source.raw_os_error().unwrap_or(0);
            let known = std::iter::once(&seen.control).chain(&seen.gpus).find(|n| n.path == *path);
            match known.and_then(|n| n.stat.clone()) {
                // The node may have changed since: the error is the truth.
                Some(stat) => node(seen, path, &NodeStat { open: Err(code), ..stat }),
                None if *path == seen.control.path => Some(control_missing(seen)),
                None => Some(gpu_missing(seen)),
            }
        }
        hcq::Error::NoGpu(_) => explain(seen).into_iter().find(|f| f.exit.is_some()),
        hcq::Error::Rm { operation, .. } => refused_operation(&seen.process, operation),
        hcq::Error::Ioctl { operation, source } if source.raw_os_error() == Some(EINVAL) => {
            refused_operation(&seen.process, operation)
        }
        _ => None,
    }
}

/// Calls that gVisor passes on for containers with the `video` capability only.
const VIDEO_ONLY: [&str; 4] = ["NV01_MEMORY_VIRTUAL", "VIDEO_DECODER", "MAP_MEMORY_DMA", "BIND"];

fn refused_operation(process: &Process, operation: &str) -> Option<Finding> {
    let sandboxed = process.gvisor || process.container.is_some();
    if !sandboxed || !VIDEO_ONLY.iter().any(|name| operation.contains(name)) || has_video(process) {
        return None;
    }
    let set = process.driver_capabilities.as_deref().unwrap_or("unset");
    Some(finding(
        "capability-video",
        Exit::Permission,
        format!("the sandbox refused {operation}: NVIDIA_DRIVER_CAPABILITIES is {set}"),
        "start the container with NVIDIA_DRIVER_CAPABILITIES=compute,utility,video (or all)",
    ))
}

fn has_video(process: &Process) -> bool {
    let Some(set) = &process.driver_capabilities else { return false };
    set.split(',').any(|c| matches!(c.trim(), "video" | "all"))
}

/// Under gVisor the variable decides which calls are passed on; elsewhere only which libraries are mounted.
fn capabilities(process: &Process) -> Option<Finding> {
    if !process.gvisor || has_video(process) {
        return None;
    }
    let set = process.driver_capabilities.as_deref().unwrap_or("unset");
    Some(Finding {
        code: "capability-video",
        what: format!(
            "gVisor passes on video calls only with NVIDIA_DRIVER_CAPABILITIES including video; it is {set}"
        ),
        advice: "start the container with NVIDIA_DRIVER_CAPABILITIES=compute,utility,video (or all)"
            .to_owned(),
        exit: None,
    })
}

const PASS_DEVICES: &str = "start the container with `--gpus all` (NVIDIA container toolkit), or with \
                            `--device /dev/nvidiactl --device /dev/nvidia0`; no NVIDIA library is needed";

fn control_missing(seen: &Seen) -> Finding {
    let path = &seen.control.path;
    let absent = format!("{path} does not exist");
    let (module, container) = (seen.module.is_some(), &seen.process.container);
    match (module, container) {
        (_, Some(container)) if hidden(&seen.process) => finding(
            "container-device-missing",
            Exit::Unavailable,
            format!(
                "{absent}: this is a container ({container}) with NVIDIA_VISIBLE_DEVICES={}",
                visible(seen)
            ),
            "set NVIDIA_VISIBLE_DEVICES=all, or to the GPUs that it may use",
        ),
        (true, Some(container)) => finding(
            "container-device-missing",
            Exit::Unavailable,
            format!("{absent} in this container ({container}), although the driver is loaded on the host"),
            PASS_DEVICES,
        ),
        (true, None) => finding(
            "node-missing",
            Exit::Unavailable,
            format!("{absent}, although the driver is loaded"),
            "create the nodes: run `nvidia-modprobe -c 0`, or `nvidia-smi` once, as root",
        ),
        (false, Some(container)) if !seen.pci.is_empty() => finding(
            "container-device-missing",
            Exit::Unavailable,
            format!("{absent} in this container ({container}); the machine has {}", gpus_on_bus(&seen.pci)),
            PASS_DEVICES,
        ),
        (false, _) if !seen.pci.is_empty() => finding(
            "no-driver",
            Exit::Unavailable,
            format!("{absent}: NVIDIA's driver is not loaded; the machine has {}", gpus_on_bus(&seen.pci)),
            "load it: `modprobe nvidia` as root (nouveau must not hold the GPU)",
        ),
        (false, _) => finding(
            "no-gpu",
            Exit::Unavailable,
            format!("{absent}, no NVIDIA driver is loaded and the PCI bus shows no NVIDIA GPU"),
            "decode on a machine with an NVIDIA GPU of the Turing generation or later; \
             `nvdec-decode --parse FILE` needs none",
        ),
    }
}

fn gpus_on_bus(pci: &[String]) -> String {
    match pci {
        [one] => format!("an NVIDIA GPU at {one}"),
        more => format!("{} NVIDIA GPUs, the first at {}", more.len(), more[0]),
    }
}

fn visible(seen: &Seen) -> &str {
    seen.process.visible_devices.as_deref().unwrap_or("")
}

/// Values of `NVIDIA_VISIBLE_DEVICES` that give a container no GPU.
fn hidden(process: &Process) -> bool {
    matches!(process.visible_devices.as_deref(), Some("none" | "void" | ""))
}

fn gpu_missing(seen: &Seen) -> Finding {
    let what = format!("{} exists but no /dev/nvidiaN does", seen.control.path);
    if seen.process.container.is_some() {
        return finding("container-device-missing", Exit::Unavailable, what, PASS_DEVICES);
    }
    finding(
        "node-missing",
        Exit::Unavailable,
        what,
        "create the nodes: run `nvidia-modprobe -c 0`, or `nvidia-smi` once, as root",
    )
}

/// Why a node that exists cannot be opened.
fn node(seen: &Seen, path: &str, stat: &NodeStat) -> Option<Finding> {
    let Err(code) = stat.open else { return None };
    let process = &seen.process;
    Some(match code {
        EACCES if allowed_by_mode(stat, process) => finding(
            "access-denied",
            Exit::Permission,
            format!("{path} ({stat}) may not be opened although its mode allows it"),
            "look for a security module (SELinux, AppArmor) or an access control list that forbids it",
        ),
        EACCES => finding(
            "permission",
            Exit::Permission,
            format!("{path} is {stat} and may not be opened by user {}", process.uid),
            group_advice(stat),
        ),
        EPERM => finding(
            "device-cgroup",
            Exit::Permission,
            format!(
                "{path} exists but its use is forbidden (EPERM): the device controller of the container refuses it"
            ),
            PASS_DEVICES,
        ),
        ENXIO | ENODEV => finding(
            "no-driver",
            Exit::Unavailable,
            format!("{path} exists but no driver answers on it"),
            "load the driver on the host: `modprobe nvidia` as root",
        ),
        EIO => finding(
            "gpu-not-initialised",
            Exit::Unavailable,
            format!("{path}: the driver could not initialise the GPU (EIO)"),
            "read the kernel log: `dmesg | grep -i nvrm`",
        ),
        EBUSY => finding(
            "gpu-busy",
            Exit::Unavailable,
            format!("{path} is in exclusive use by another process (EBUSY)"),
            "end that process, or set the compute mode to default with `nvidia-smi -c 0`",
        ),
        ENOENT => {
            finding("node-missing", Exit::Unavailable, format!("{path} has vanished"), "run this again")
        }
        EMFILE | ENFILE => finding(
            "no-descriptors",
            Exit::Fault,
            format!("{path} cannot be opened: there are no file descriptors left"),
            "raise the limit of this process (`ulimit -n`), or of the system (fs.file-max)",
        ),
        code => finding(
            "open-failed",
            Exit::Fault,
            format!("{path} cannot be opened: error {code}"),
            "read the kernel log: `dmesg | grep -i nvrm`",
        ),
    })
}

/// Whether the permission bits let this process read and write; root may always.
fn allowed_by_mode(stat: &NodeStat, process: &Process) -> bool {
    let shift = if process.uid == 0 {
        return true;
    } else if process.uid == stat.uid {
        6
    } else if process.groups.contains(&stat.gid) {
        3
    } else {
        0
    };
    stat.mode >> shift & 0o6 == 0o6
}

fn group_advice(stat: &NodeStat) -> String {
    if stat.mode >> 3 & 0o6 != 0o6 || stat.gid == 0 {
        return "ask the administrator: the driver's options NVreg_DeviceFileMode=0666, or \
                NVreg_DeviceFileGID=<gid> with mode 0660, give the nodes to users"
            .to_owned();
    }
    match &stat.group {
        Some(group) => format!("join group {group}: `sudo usermod -aG {group} $USER`, then log in anew"),
        None => format!("join group {gid} (in a container: `--group-add {gid}`)", gid = stat.gid),
    }
}

#[cfg(test)]
#[path = "permissions_tests.rs"]
mod tests;
