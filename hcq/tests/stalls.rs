//! Engines that stand still: who is blamed, what goes on without them, and what is left of them.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hcq::kernel::emulated::{Call, EmulatedKernel, Failure, GpuModel, LaunchFault, Usage};
use hcq::{
    CopyCommands, CopyQueue, Device, DeviceBuffer, EngineKind, EngineType, Error, Patience, Placement,
};
use nvkernel_sys::ioctl;
use nvkernel_sys::status::RmStatus;

const LONG: Duration = Duration::from_secs(60);
/// More than the model takes for anything that is not held up, were the machine busy with other things.
const STILL: Patience = Patience::WithoutProgress(Duration::from_secs(2));
/// For engines that are known to be held up.
const SHORT: Patience = Patience::WithoutProgress(Duration::from_millis(20));

fn machine() -> (EmulatedKernel, Device) {
    let kernel = EmulatedKernel::new(GpuModel::h200()).unwrap();
    let device = Device::open(Arc::new(kernel.clone()), 0).unwrap();
    (kernel, device)
}

fn engines(device: &Device) -> Vec<EngineType> {
    device.engines_of(EngineKind::Copy).unwrap()
}

fn fill(buffer: &DeviceBuffer, word: u32) -> CopyCommands {
    let mut commands = CopyCommands::new();
    commands.fill(buffer, word).unwrap();
    commands
}

fn word(buffer: &DeviceBuffer) -> u32 {
    buffer.view().unwrap().load(0)
}

/// The fault, of a wait or a submission that ended with one.
fn is_reset<T: std::fmt::Debug>(outcome: Result<T, Error>) -> bool {
    match outcome {
        Err(Error::ChannelFault { fault, .. }) => fault.is_reset() && fault.to_string().contains("reset"),
        other => panic!("{other:?}"),
    }
}

/// Three queues in a row: the first stands still, the last is waited for. The first is blamed and reset, the others go
/// on.
#[test]
fn the_stalled_engine_is_blamed_and_the_others_go_on() {
    let (kernel, device) = machine();
    let engines = engines(&device);
    let [a, b, c] = [0, 1, 2].map(|i| CopyQueue::new(&device, Some(engines[i])).unwrap());
    let buffers = [0, 1, 2].map(|_| device.allocate(65536, Placement::Vidmem).unwrap());
    a.submit(&[], fill(&buffers[0], 1)).unwrap().wait(LONG).unwrap();
    kernel.faults().stall(0, engines[0]);
    let free = device.free_memory().unwrap();
    let only_a = device.allocate(8 << 20, Placement::Vidmem).unwrap();
    let of_a = a.submit(&[], fill(&only_a, 2)).unwrap();
    let of_b = b.submit(std::slice::from_ref(&of_a), fill(&buffers[1], 3)).unwrap();
    let of_c = c.submit(std::slice::from_ref(&of_b), fill(&buffers[2], 4)).unwrap();
    drop(only_a);
    for outcome in [of_c.wait(SHORT), of_b.spin(SHORT), of_a.wait_near(0, Duration::from_millis(5), SHORT)] {
        let Err(Error::Stalled { engine, timeline, reached, .. }) = outcome else { panic!("{outcome:?}") };
        assert_eq!((engine, timeline, reached), (engines[0], a.timeline().id(), 1));
    }
    assert_ne!(a.timeline().id(), b.timeline().id());
    device.reclaim();
    assert!(device.free_memory().unwrap() < free, "the engine may still write to it");

    a.queue().reset().unwrap();
    assert!(device.free_memory().unwrap() >= free, "it is freed now, and so is the channel");
    of_c.wait(LONG).unwrap();
    of_b.wait(LONG).unwrap();
    assert_eq!((word(&buffers[1]), word(&buffers[2])), (3, 4));
    assert!(of_a.is_reached() && is_reset(of_a.wait(LONG)));
    assert!(is_reset(a.submit(&[], CopyCommands::new())) && is_reset(a.queue().check()));
    assert_eq!(a.queue().last_point().value(), 2, "nothing was submitted since");
    a.queue().reset().unwrap();

    // The engine is there for a new queue.
    kernel.faults().resume(0, engines[0]);
    drop(a);
    let again = CopyQueue::new(&device, Some(engines[0])).unwrap();
    again.submit(&[of_c], fill(&buffers[0], 5)).unwrap().wait(LONG).unwrap();
    assert_eq!(word(&buffers[0]), 5);
}

/// Work that takes longer than the patience lasts, all of it together, is waited for: by its own timeline, by one
/// behind it, and when its queue ends.
#[test]
fn what_makes_progress_is_waited_for() {
    let (kernel, device) = machine();
    let engines = engines(&device);
    let [slow, behind] = [0, 1].map(|i| CopyQueue::new(&device, Some(engines[i])).unwrap());
    kernel.faults().slow_down(0, engines[0], Duration::from_millis(250));
    let buffers: Vec<_> = (0..12).map(|_| device.allocate(4096, Placement::Vidmem).unwrap()).collect();
    let points: Vec<_> = buffers.iter().map(|buffer| slow.submit(&[], fill(buffer, 9)).unwrap()).collect();
    let after = behind.submit(&points[5..6], CopyCommands::new()).unwrap();
    after.wait(STILL).unwrap();
    assert!(!points[11].is_reached(), "not all of it is over");
    points[7].spin(STILL).unwrap();
    drop(slow);
    assert!(points[11].is_reached() && points[11].wait(LONG).is_ok());
    assert!(buffers.iter().all(|buffer| word(buffer) == 9));
}

/// A queue that died of an error says so, although it was reset before anything looked.
#[test]
fn a_reset_hides_no_error() {
    let (kernel, device) = machine();
    let copy = CopyQueue::new(&device, None).unwrap();
    kernel.faults().fault_next_launch(0, copy.queue().engine(), LaunchFault::Engine);
    let point = copy.submit(&[], CopyCommands::new()).unwrap();
    let start = Instant::now();
    while kernel.log().is_empty() {
        assert!(start.elapsed() < LONG);
        std::thread::yield_now();
    }
    copy.queue().reset().unwrap();
    let Err(Error::ChannelFault { fault, .. }) = point.wait(LONG) else { panic!("no fault") };
    assert!(!fault.is_reset() && fault.xid.0 == 71, "{fault}");
}

#[test]
fn a_lost_doorbell_is_a_stall() {
    let (kernel, device) = machine();
    let copy = CopyQueue::new(&device, None).unwrap();
    copy.submit(&[], CopyCommands::new()).unwrap().wait(LONG).unwrap();
    kernel.faults().lose_doorbells(1);
    let point = copy.submit(&[], CopyCommands::new()).unwrap();
    let outcome = point.wait(SHORT);
    assert!(matches!(outcome, Err(Error::Stalled { reached: 1, .. })), "{outcome:?}");
    copy.queue().reset().unwrap();
    assert!(is_reset(point.wait(LONG)));
}

/// As many queues as a context has for seven engines, all of which stand still, are dead, or wait for one that is. Each
/// would be waited for, for ten seconds, if it was not known.
#[test]
fn a_device_full_of_stalled_queues_ends() {
    let (kernel, device) = machine();
    let engines = engines(&device);
    let queues: Vec<_> = (0..14).map(|i| CopyQueue::new(&device, Some(engines[i % 4])).unwrap()).collect();
    let target = device.allocate(1 << 20, Placement::Vidmem).unwrap();
    for (i, queue) in queues.iter().enumerate() {
        if i % 7 == 6 {
            kernel.faults().fault_next_launch(0, engines[i % 4], LaunchFault::Engine);
            assert!(queue.submit(&[], fill(&target, 1)).unwrap().wait(LONG).is_err());
        }
    }
    engines[..4].iter().for_each(|&engine| kernel.faults().stall(0, engine));
    let alive = || queues.iter().filter(|queue| queue.queue().fault().is_none());
    let points: Vec<_> = alive().map(|queue| queue.submit(&[], fill(&target, 2)).unwrap()).collect();
    let last = CopyQueue::new(&device, Some(engines[4])).unwrap();
    let behind = last.submit(&points, CopyCommands::new()).unwrap();
    for point in points.iter().chain([&behind]) {
        assert!(matches!(point.wait(SHORT), Err(Error::Stalled { .. })));
    }
    drop((points, behind, target));
    // They are known to stand still: were each one waited for, this would take minutes.
    drop(last);
    drop(queues);
    drop(device);
    assert_eq!(kernel.usage(), Usage::default());
}

/// Resets by several threads at once, while others submit to the queue, wait for it, and use what it works with.
#[test]
fn any_thread_may_reset_at_any_time() {
    let (kernel, device) = machine();
    let engines = engines(&device);
    let survivor = CopyQueue::new(&device, Some(engines[1])).unwrap();
    for round in 0..20u64 {
        let copy = CopyQueue::new(&device, Some(engines[0])).unwrap();
        let submitted = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let target = device.allocate(4096, Placement::Vidmem).unwrap();
                    loop {
                        let point = match copy.submit(&[], fill(&target, 1)) {
                            Ok(point) => point,
                            outcome => break assert!(is_reset(outcome)),
                        };
                        submitted.fetch_add(1, Ordering::Relaxed);
                        let after = survivor.submit(std::slice::from_ref(&point), CopyCommands::new());
                        after.unwrap().wait(LONG).unwrap();
                        assert!(point.wait(LONG).is_ok() || is_reset(point.wait(LONG)));
                    }
                });
            }
            for _ in 0..2 {
                scope.spawn(|| {
                    while submitted.load(Ordering::Relaxed) < 10 {
                        std::thread::yield_now();
                    }
                    if round % 2 == 0 {
                        kernel.faults().stall(0, engines[0]);
                    }
                    copy.queue().reset().unwrap();
                    assert!(copy.queue().last_point().is_reached());
                });
            }
        });
        kernel.faults().resume(0, engines[0]);
    }
    drop(survivor);
    device.reclaim();
    assert_eq!((kernel.usage().channels, kernel.usage().vidmem), (0, 0));
}

/// While the driver does not say that the channel is gone, the engine may write: nothing counts as done, and nothing is
/// freed, not even when the queue has ended.
#[test]
fn a_reset_that_fails_gives_nothing_away() {
    for succeeds_later in [true, false] {
        let (kernel, device) = machine();
        let copy = CopyQueue::new(&device, None).unwrap();
        kernel.faults().stall(0, copy.queue().engine());
        let buffer = device.allocate(8 << 20, Placement::Vidmem).unwrap();
        let point = copy.submit(&[], fill(&buffer, 1)).unwrap();
        drop(buffer);
        let taken = kernel.usage().vidmem;
        // Each time the channel does not go.
        let fail = |times| {
            for _ in 0..times {
                let busy = Failure::Status(RmStatus::NV_ERR_STATE_IN_USE);
                kernel.faults().fail_call(Call::Ioctl(ioctl::NV_ESC_RM_FREE), 0, busy);
            }
        };
        fail(1);
        let error = copy.queue().reset().unwrap_err();
        assert_eq!(error.rm_status(), Some(RmStatus::NV_ERR_STATE_IN_USE));
        assert!(!point.is_reached());
        assert!(is_reset(copy.submit(&[], CopyCommands::new())));
        // A wait has given it up, so that the end waits for nothing.
        assert!(matches!(point.wait(SHORT), Err(Error::Stalled { .. })));
        if succeeds_later {
            copy.queue().reset().unwrap();
            assert!(is_reset(point.wait(LONG)));
        } else {
            fail(2);
        }
        drop((copy, point));
        device.reclaim();
        let left = if succeeds_later { 0 } else { taken };
        assert_eq!(kernel.usage().vidmem, left);
        drop(CopyQueue::new(&device, Some(engines(&device)[0])).unwrap());
        assert_eq!(kernel.usage().vidmem, left);
        drop(device);
        assert_eq!(kernel.usage(), Usage::default(), "with the client everything goes");
    }
}
