use std::io;

use nvkernel_sys::status::RmStatus;

use super::*;

fn stat(mode: u32, gid: u32, group: Option<&str>, open: Result<(), i32>) -> NodeStat {
    NodeStat { mode, uid: 0, owner: Some("root".into()), gid, group: group.map(str::to_owned), open }
}

fn machine(control: Option<NodeStat>) -> Seen {
    Seen {
        process: Process { uid: 1000, groups: vec![1000], ..Process::default() },
        module: Some("NVRM version: 580.159.04".into()),
        pci: vec!["0000:c1:00.0".into()],
        gpus: control
            .iter()
            .map(|_| Node { path: "/dev/nvidia0".into(), stat: Some(stat(0o666, 0, Some("root"), Ok(()))) })
            .collect(),
        control: Node { path: "/dev/nvidiactl".into(), stat: control },
    }
}

fn first(seen: &Seen) -> Finding {
    explain(seen).into_iter().next().expect("a finding")
}

#[test]
fn nothing_stands_in_the_way() {
    assert_eq!(explain(&machine(Some(stat(0o666, 0, Some("root"), Ok(()))))), []);
}

#[test]
fn a_group_to_join_is_named() {
    let found = first(&machine(Some(stat(0o660, 44, Some("video"), Err(EACCES)))));
    assert_eq!((found.code, found.exit), ("permission", Some(Exit::Permission)));
    assert_eq!(found.what, "/dev/nvidiactl is rw-rw---- root:video and may not be opened by user 1000");
    assert!(found.advice.contains("usermod -aG video"), "{}", found.advice);
    // A group of a host that the container does not know by name.
    let found = first(&machine(Some(stat(0o660, 44, None, Err(EACCES)))));
    assert!(found.advice.contains("--group-add 44"), "{}", found.advice);
    // Joining root's group is no advice, nor is a group without rights.
    for stat in [stat(0o660, 0, Some("root"), Err(EACCES)), stat(0o600, 44, Some("video"), Err(EACCES))] {
        let found = first(&machine(Some(stat)));
        assert!(found.advice.contains("NVreg_DeviceFileMode"), "{}", found.advice);
    }
}

#[test]
fn a_mode_that_allows_points_elsewhere() {
    let mut seen = machine(Some(stat(0o660, 44, Some("video"), Err(EACCES))));
    seen.process.groups.push(44);
    assert_eq!(first(&seen).code, "access-denied");
    let seen = machine(Some(stat(0o666, 0, Some("root"), Err(EACCES))));
    assert_eq!(first(&seen).code, "access-denied");
}

#[test]
fn the_owner_class_decides_before_the_group() {
    let process = Process { uid: 7, groups: vec![44], ..Process::default() };
    let stat = NodeStat { uid: 7, ..stat(0o060, 44, Some("video"), Ok(())) };
    assert!(!allowed_by_mode(&stat, &process));
    assert!(allowed_by_mode(&stat, &Process { uid: 8, ..process.clone() }));
    assert!(allowed_by_mode(&stat, &Process { uid: 0, ..process }));
}

#[test]
fn missing_nodes_are_told_apart() {
    let bare = machine(None);
    assert_eq!(first(&bare).code, "node-missing");
    assert!(first(&bare).advice.contains("nvidia-modprobe"));
    let unloaded = Seen { module: None, ..bare.clone() };
    assert_eq!(first(&unloaded).code, "no-driver");
    assert!(first(&unloaded).what.contains("0000:c1:00.0"));
    let no_gpu = Seen { pci: Vec::new(), ..unloaded.clone() };
    assert_eq!((first(&no_gpu).code, first(&no_gpu).exit), ("no-gpu", Some(Exit::Unavailable)));

    let contained = Process { container: Some("docker".into()), ..bare.process.clone() };
    let container = Seen { process: contained.clone(), ..bare.clone() };
    assert_eq!(first(&container).code, "container-device-missing");
    assert!(first(&container).advice.contains("--gpus all"));
    let hidden = Seen { process: Process { visible_devices: Some("void".into()), ..contained }, ..bare };
    assert!(first(&hidden).advice.contains("NVIDIA_VISIBLE_DEVICES=all"));
}

#[test]
fn control_without_gpu_nodes() {
    let mut seen = machine(Some(stat(0o666, 0, Some("root"), Ok(()))));
    seen.gpus.clear();
    assert_eq!(first(&seen).code, "node-missing");
    seen.process.container = Some("podman".into());
    assert_eq!(first(&seen).code, "container-device-missing");
}

#[test]
fn error_numbers_of_open() {
    for (errno, code, exit) in [
        (EPERM, "device-cgroup", Exit::Permission),
        (ENXIO, "no-driver", Exit::Unavailable),
        (ENODEV, "no-driver", Exit::Unavailable),
        (EIO, "gpu-not-initialised", Exit::Unavailable),
        (EBUSY, "gpu-busy", Exit::Unavailable),
        (ENOENT, "node-missing", Exit::Unavailable),
        (99, "open-failed", Exit::Fault),
    ] {
        let found = first(&machine(Some(stat(0o666, 0, Some("root"), Err(errno)))));
        assert_eq!((found.code, found.exit), (code, Some(exit)), "errno {errno}");
    }
}

#[test]
fn an_error_of_open_is_looked_up_by_its_node() {
    let error =
        |node: &str, code| hcq::Error::Open { node: node.into(), source: io::Error::from_raw_os_error(code) };
    let seen = machine(Some(stat(0o660, 44, Some("video"), Ok(()))));
    let found = explain_error(&seen, &error("/dev/nvidiactl", EACCES)).unwrap();
    assert_eq!(found.code, "permission");
    assert_eq!(explain_error(&seen, &error("/dev/nvidia7", ENOENT)).unwrap().code, "node-missing");
    let seen = machine(None);
    assert_eq!(explain_error(&seen, &error("/dev/nvidiactl", ENOENT)).unwrap().code, "node-missing");
    assert_eq!(explain_error(&seen, &hcq::Error::GpuLost), None);
}

#[test]
fn a_sandbox_without_video_is_named() {
    let mut seen = machine(Some(stat(0o666, 0, Some("root"), Ok(()))));
    let refused = hcq::Error::Rm {
        operation: "RM_ALLOC of NV01_MEMORY_VIRTUAL under 0x1".into(),
        status: RmStatus::NV_ERR_INVALID_CLASS,
    };
    // Outside a container the driver itself refused, and the error speaks for itself.
    assert_eq!(explain_error(&seen, &refused), None);
    seen.process.container = Some("gVisor".into());
    seen.process.gvisor = true;
    seen.process.driver_capabilities = Some("compute,utility".into());
    let found = explain_error(&seen, &refused).unwrap();
    assert_eq!((found.code, found.exit), ("capability-video", Some(Exit::Permission)));
    assert!(found.what.contains("compute,utility") && found.advice.contains("video"));
    // The remark comes without an error as well, and does not by itself end the program.
    assert_eq!(
        explain(&seen).iter().map(|f| (f.code, f.exit)).collect::<Vec<_>>(),
        [("capability-video", None)]
    );
    for set in ["all", "compute, video"] {
        seen.process.driver_capabilities = Some(set.into());
        assert_eq!(explain(&seen), []);
        assert_eq!(explain_error(&seen, &refused), None);
    }
}
