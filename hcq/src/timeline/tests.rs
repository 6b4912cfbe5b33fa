use nvkernel_sys::class;
use nvkernel_sys::status::RmStatus;

use super::*;
use crate::kernel::emulated::{Call, EmulatedKernel, Failure, GpuModel};
use crate::{CopyCommands, CopyQueue, Device, EngineKind};

const LONG: Duration = Duration::from_secs(60);

/// What is noted of waits is as much as is in flight: numbers of timelines that are gone are taken again, and those of
/// timelines that something still waits for are not.
#[test]
fn noted_waits_do_not_pile_up() {
    let kernel = Arc::new(EmulatedKernel::new(GpuModel::h200()).unwrap());
    let device = Device::open(kernel.clone(), 0).unwrap();
    let engines = device.engines_of(EngineKind::Copy).unwrap();
    let queue = CopyQueue::new(&device, Some(engines[0])).unwrap();
    let submit = |queue: &CopyQueue, waits: &[SyncPoint]| queue.submit(waits, CopyCommands::new()).unwrap();
    let noted = || {
        let waits = queue.timeline().waits();
        (waits.timelines.len(), waits.acquires.len())
    };
    kernel.faults().stall(0, engines[1]);
    for _ in 0..20 {
        let [first, second] = [0, 1].map(|_| CopyQueue::new(&device, Some(engines[1])).unwrap());
        let points = [&first, &second].map(|upstream| submit(upstream, &[]));
        let (one, both) = (submit(&queue, &points[1..]), submit(&queue, &points));
        assert_eq!(noted().1, 3);
        let blocker =
            |point: &SyncPoint| queue.timeline().waits().of(point.value).map(|timeline| timeline.id());
        assert_eq!(blocker(&one), Some(second.timeline().id()));
        second.queue().reset().unwrap();
        one.wait(LONG).unwrap();
        assert_eq!(blocker(&both), Some(first.timeline().id()));
        // Not over yet: its number must not become another's.
        drop(second);
        let third = CopyQueue::new(&device, Some(engines[1])).unwrap();
        let point = submit(&third, &[]);
        let last = submit(&queue, &[point]);
        assert_eq!(blocker(&both), Some(first.timeline().id()));
        assert_eq!(blocker(&last), Some(third.timeline().id()));
        assert_eq!(queue.timeline().culprit().id(), first.timeline().id());
        [first, third].iter().for_each(|upstream| upstream.queue().reset().unwrap());
        last.wait(LONG).unwrap();
        assert_eq!(blocker(&last), None);
        // A point that is reached is not noted, and lets those before it be forgotten.
        assert!(noted().0 <= 3, "{:?}", noted());
        queue.timeline().reached();
    }
    assert!(noted().0 <= 4 && noted().1 <= 4, "{:?}", noted());
}

/// Waits ask the driver for nothing: it may be recovering an engine, and its calls take as long. Nor do they need an event.
#[test]
fn waits_make_no_objects() {
    let kernel = Arc::new(EmulatedKernel::new(GpuModel::h200()).unwrap());
    let device = Device::open(kernel.clone(), 0).unwrap();
    let engine = device.engines_of(EngineKind::Copy).unwrap()[0];
    // Long enough to sleep in.
    kernel.faults().slow_down(0, engine, Duration::from_millis(30));
    let refused = Failure::Status(RmStatus::NV_ERR_INSUFFICIENT_RESOURCES);
    for has_event in [true, false] {
        if !has_event {
            kernel.faults().fail_call(Call::Alloc(class::NV01_EVENT_OS_EVENT), 0, refused);
        }
        let queue = CopyQueue::new(&device, Some(engine)).unwrap();
        assert_eq!(matches!(queue.timeline().event.get(), Some(Some(_))), has_event);
        let wait = || queue.submit(&[], CopyCommands::new()).unwrap().wait(LONG).unwrap();
        // What the first submission takes.
        wait();
        let before = kernel.usage().objects;
        for _ in 0..10 {
            wait();
            assert_eq!(kernel.usage().objects, before);
        }
    }
}

/// A host that oversleeps does not take that for the engine's pace, or it would sleep as long for the next steps.
#[test]
fn the_pace_is_the_engines() {
    let kernel = Arc::new(EmulatedKernel::new(GpuModel::h200()).unwrap());
    let device = Device::open(kernel.clone(), 0).unwrap();
    let engine = device.engines_of(EngineKind::Copy).unwrap()[0];
    // Without an event, as for the engines whose interrupt arrives nowhere.
    let refused = Failure::Status(RmStatus::NV_ERR_INSUFFICIENT_RESOURCES);
    kernel.faults().fail_call(Call::Alloc(class::NV01_EVENT_OS_EVENT), 0, refused);
    let queue = CopyQueue::new(&device, Some(engine)).unwrap();
    let timeline = queue.timeline();
    let submit = || queue.submit(&[], CopyCommands::new()).unwrap();
    submit().wait(LONG).unwrap();
    kernel.faults().slow_down(0, engine, Duration::from_millis(1));
    let before = timeline.last_timestamp().unwrap();
    (0..15).for_each(|_| drop(submit()));
    let last = submit();
    // What it learnt of steps that took long.
    timeline.pace.store(100_000_000, Ordering::Relaxed);
    last.wait_near(0, Duration::from_millis(300), LONG).unwrap();
    let took = timeline.last_timestamp().unwrap() - before;
    let pace = timeline.pace.load(Ordering::Relaxed);
    assert!(pace > 0 && 16 * pace <= took, "{pace} ns, but 16 steps took {took}");
}
