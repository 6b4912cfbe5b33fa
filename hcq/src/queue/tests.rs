use super::*;
use crate::kernel::emulated::{EmulatedKernel, GpuModel};
use crate::{CopyCommands, CopyQueue};

const LONG: Duration = Duration::from_secs(60);

/// Fills memory, and gives the words of the submission, from the memory that the engine reads.
fn fill(copy: &CopyQueue, target: &DeviceBuffer) -> (SyncPoint, Vec<u32>) {
    let mut commands = CopyCommands::new();
    commands.fill(target, 7).unwrap();
    let queue = copy.queue();
    let point = copy.submit(&[], commands).unwrap();
    point.wait(LONG).unwrap();
    let state = queue.lock();
    let view = queue.push.view().unwrap();
    let start = state.inflight.back().unwrap().start;
    let words = (start..state.head).step_by(4).map(|at| view.load((at % PUSH_BYTES) as usize)).collect();
    (point, words)
}

fn setup() -> (Device, CopyQueue, DeviceBuffer) {
    let (_, device, copy, target) = setup_with_kernel();
    (device, copy, target)
}

fn setup_with_kernel() -> (EmulatedKernel, Device, CopyQueue, DeviceBuffer) {
    let kernel = EmulatedKernel::new(GpuModel::h200()).unwrap();
    let device = Device::open(Arc::new(kernel.clone()), 0).unwrap();
    let copy = CopyQueue::new(&device, None).unwrap();
    let target = device.allocate(1 << 16, Placement::Vidmem).unwrap();
    (kernel, device, copy, target)
}

/// A pair of stamps around the commands is all that profiling adds; off again, nothing is left of it.
#[test]
fn what_profiling_adds() {
    let (device, copy, target) = setup();
    fill(&copy, &target); // binds the class
    let (_, plain) = fill(&copy, &target);
    let profiler = Profiler::new(&device);
    copy.queue().profile(Some(profiler.clone())).unwrap();
    let (point, profiled) = fill(&copy, &target);
    copy.queue().profile(None).unwrap();
    let (_, after) = fill(&copy, &target);

    let timeline = copy.timeline().gpu_address();
    // With an interrupt at the end of a submission, and with none in a stamp.
    let release = |address: u64, value, launch| {
        [0x2003_8090, (address >> 32) as u32, address as u32, value, 0x2001_80c0, launch]
    };
    let commands = &plain[..plain.len() - 6];
    assert_eq!(plain, [commands, &release(timeline, 2, 0x54)].concat());
    assert_eq!(after, [commands, &release(timeline, 4, 0x54)].concat());
    let stamps = u64::from(profiled[1]) << 32 | u64::from(profiled[2]);
    let expected = [
        &release(stamps, 3, 0x14)[..],
        commands,
        &release(stamps + SEMAPHORE_BYTES, 3, 0x14),
        &release(timeline, 3, 0x54),
    ];
    assert_eq!(profiled, expected.concat());

    let spans = profiler.take();
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].point.value(), point.value());
    assert!(spans[0].begin > 0 && spans[0].begin <= spans[0].end);
    assert!(profiler.take().is_empty(), "it was taken");
}

/// A value that was never submitted completes nothing, wherever it comes from.
#[test]
fn a_semaphore_cannot_run_ahead_of_the_submissions() {
    let (_device, copy, target) = setup();
    let timeline = copy.timeline();
    let set = |value| timeline.buffer().view().unwrap().store(0, value);
    for forged in [1, 390, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
        set(forged);
        assert_eq!(timeline.reached(), 0, "{forged:#x}");
    }
    set(0);
    let (point, _) = fill(&copy, &target);
    set(390);
    assert_eq!(timeline.reached(), point.value());
    assert!(!SyncPoint::new(timeline, 2).is_reached());
}

#[test]
fn stamps_use_their_memory_again() {
    let (kernel, device, copy, target) = setup_with_kernel();
    let profiler = Profiler::new(&device);
    copy.queue().profile(Some(profiler.clone())).unwrap();
    for _ in 0..300 {
        fill(&copy, &target);
    }
    assert_eq!(profiler.take().len(), 300);
    assert!(profiler.unused() <= 128, "{} places for one submission at a time", profiler.unused());
    // Those of submissions that a full queue did not take are not lost.
    kernel.faults().stall(0, copy.queue().engine());
    while copy.queue().mark().is_ok() {}
    let unused = profiler.unused();
    for _ in 0..200 {
        assert!(matches!(copy.queue().mark(), Err(Error::QueueFull { .. })));
    }
    assert_eq!(profiler.unused(), unused);
    kernel.faults().resume(0, copy.queue().engine());
}
