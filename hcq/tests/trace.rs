//! The trace of a run names every call, and two runs give the same one.

use std::sync::Arc;

use hcq::kernel::TracingKernel;
use hcq::kernel::emulated::{EmulatedKernel, Engine, EngineContext, EngineFault, GpuModel};
use hcq::{CopyCommands, CopyQueue, Device, EngineKind, KernelInterface, LinuxKernel, Placement};

fn run() -> Vec<String> {
    let kernel = TracingKernel::new(Arc::new(EmulatedKernel::new(GpuModel::h200()).unwrap()));
    let device = Device::open(kernel.clone(), 0).unwrap();
    device.classes().unwrap();
    let copy = CopyQueue::new(&device, None).unwrap();
    let buffer = device.allocate(1 << 20, Placement::Vidmem).unwrap();
    let mut commands = CopyCommands::new();
    commands.fill(&buffer, 7).unwrap();
    let point = copy.submit(&[], commands).unwrap();
    // A sleeping wait would allocate an event, or not, as luck has it.
    while !point.is_reached() {
        std::thread::yield_now();
    }
    drop((point, buffer, copy, device));
    kernel.lines()
}

#[test]
fn a_run_is_recorded_whole() {
    let lines = run();
    assert_eq!(lines[0], "open d0 /dev/nvidiactl = ok");
    let version = lines.iter().find(|l| l.contains("NV_ESC_CHECK_VERSION_STR")).unwrap();
    assert!(version.contains("3538302e3135392e3034"), "580.159.04 in the answer: {version}");
    let classes = lines.iter().filter(|l| l.contains("GPU_GET_CLASSLIST"));
    let list = classes.collect::<Vec<_>>().pop().unwrap().rsplit(" list ").next().unwrap();
    assert!(list.contains("b0b80000"), "NVB8B0_VIDEO_DECODER among the classes: {list}");
    let channel = lines.iter().find(|l| l.contains("HOPPER_CHANNEL_GPFIFO_A")).unwrap();
    assert!(channel.contains(" params "), "{channel}");
    assert!(lines.iter().any(|l| l.starts_with("doorbell ")));
    assert!(lines.iter().any(|l| l.starts_with("map d")));
    // Every object that was allocated is freed again; that of the engine goes with its channel.
    let count = |what: &str| lines.iter().filter(|l| l.contains(what)).count();
    assert_eq!(count("NV_ESC_RM_ALLOC "), count("NV_ESC_RM_FREE ") + 1);
}

#[test]
fn two_runs_give_the_same_trace() {
    let (first, second) = (run(), run());
    for (a, b) in first.iter().zip(&second) {
        assert_eq!(a, b);
    }
    assert_eq!(first.len(), second.len());
}

struct Idle(u32);

impl Engine for Idle {
    fn class(&self) -> u32 {
        self.0
    }

    fn method(&mut self, _: &EngineContext<'_>, _: u32, _: u32) -> Result<(), EngineFault> {
        Ok(())
    }
}

/// What attached engines lack is said by whatever stands for the kernel; of several, the last one counts.
#[test]
fn limits_are_those_of_the_engines_attached_last() {
    let limits = |kernel: &dyn KernelInterface, kind| {
        kernel.engine_limits(kind).map(|limits| *limits.downcast_ref::<&str>().unwrap())
    };
    let limited = EmulatedKernel::builder()
        .with_engine_factory(EngineKind::Nvdec, |_, class| Box::new(Idle(class)))
        .with_limited_engine_factory(EngineKind::Nvdec, "no 4:4:4", |_, class| Box::new(Idle(class)));
    let kernel = TracingKernel::new(Arc::new(limited.build().unwrap()));
    assert_eq!(limits(&*kernel, EngineKind::Nvdec), Some("no 4:4:4"));
    assert_eq!(limits(&*kernel, EngineKind::Nvjpg), None);
    assert!(kernel.lines().is_empty(), "no call was made for it");
    let whole = EmulatedKernel::builder()
        .with_limited_engine_factory(EngineKind::Nvdec, "no 4:4:4", |_, class| Box::new(Idle(class)))
        .with_engine_factory(EngineKind::Nvdec, |_, class| Box::new(Idle(class)));
    assert_eq!(limits(&whole.build().unwrap(), EngineKind::Nvdec), None);
    assert_eq!(limits(&LinuxKernel::new(), EngineKind::Nvdec), None);
}
