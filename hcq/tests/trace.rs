//! The trace of a run names every call, and two runs give the same one.

use std::sync::Arc;

use hcq::kernel::TracingKernel;
use hcq::kernel::emulated::{EmulatedKernel, GpuModel};
use hcq::{CopyCommands, CopyQueue, Device, Placement};

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
    // Every object that was allocated is freed again.
    let count = |what: &str| lines.iter().filter(|l| l.contains(what)).count();
    assert_eq!(count("NV_ESC_RM_ALLOC "), count("NV_ESC_RM_FREE "));
}

#[test]
fn two_runs_give_the_same_trace() {
    let (first, second) = (run(), run());
    for (a, b) in first.iter().zip(&second) {
        assert_eq!(a, b);
    }
    assert_eq!(first.len(), second.len());
}
