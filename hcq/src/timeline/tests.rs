use super::*;
use crate::kernel::emulated::{EmulatedKernel, GpuModel};
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

/// An event is made for those who sleep again and again, and never in the midst of a wait: what makes that long may be a driver that
/// recovers an engine, and its calls take as long.
#[test]
fn an_event_is_made_of_habit() {
    let kernel = Arc::new(EmulatedKernel::new(GpuModel::h200()).unwrap());
    let device = Device::open(kernel.clone(), 0).unwrap();
    let engine = device.engines_of(EngineKind::Copy).unwrap()[0];
    let queue = CopyQueue::new(&device, Some(engine)).unwrap();
    let objects = || kernel.usage().objects;
    let timeline = queue.timeline();
    let wait = || queue.submit(&[], CopyCommands::new()).unwrap().wait(LONG).unwrap();
    // What the first submission takes.
    wait();
    let before = objects();
    // Long enough to sleep in, many times.
    kernel.faults().slow_down(0, engine, Duration::from_millis(30));
    while timeline.slept.load(Ordering::Relaxed) < HABIT {
        let slept = timeline.slept.load(Ordering::Relaxed);
        wait();
        assert_eq!(timeline.slept.load(Ordering::Relaxed), slept + 1, "once for each wait");
        assert_eq!(objects(), before, "after {slept}");
    }
    wait();
    assert_eq!(objects(), before + 1);
    wait();
    assert_eq!(objects(), before + 1, "there is one already");
}
