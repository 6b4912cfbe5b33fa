use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::kernel::emulated::{EmulatedKernel, GpuModel};
use crate::{CopyCommands, CopyQueue, Device, EngineKind, Placement};

fn device() -> (Arc<EmulatedKernel>, Device) {
    let kernel = Arc::new(EmulatedKernel::new(GpuModel::h200()).unwrap());
    (kernel.clone(), Device::open(kernel, 0).unwrap())
}

/// Memory that everybody has let go of is freed when the engine is done with it, and not before.
#[test]
fn memory_outlives_the_work_in_it() {
    let (kernel, device) = device();
    let copy = CopyQueue::new(&device, None).unwrap();
    let mut kept = device.allocate(1 << 20, Placement::Vidmem).unwrap();
    let free = device.free_memory().unwrap();
    let gone = device.allocate(8 << 20, Placement::Vidmem).unwrap();
    let taken = free - device.free_memory().unwrap();
    assert!(taken >= 8 << 20);
    kernel.faults().slow_down(0, copy.queue().engine(), Duration::from_millis(100));
    let mut commands = CopyCommands::new();
    commands.fill(&gone, 1).unwrap();
    commands.fill(&kept, 2).unwrap();
    let point = copy.submit(&[], commands).unwrap();
    drop(gone);
    device.reclaim();
    let (busy, left) = (!kept.is_unused(), free - device.free_memory().unwrap());
    // Unless this thread was held up for so long that the engine came to the end.
    assert!(point.is_reached() || busy && left == taken, "{busy} {left}");
    point.wait(Duration::from_secs(60)).unwrap();
    assert!(kept.is_unused());
    device.reclaim();
    assert_eq!(device.free_memory().unwrap(), free);
}

/// A slot is taken again, and what was noted from it before means nothing to its next queue.
#[test]
fn slots_are_taken_again() {
    let (_, device) = device();
    let engine = device.engines_of(EngineKind::Copy).unwrap()[0];
    let mut buffer = device.allocate(4096, Placement::Sysmem).unwrap();
    for round in 0..3 {
        let copy = CopyQueue::new(&device, Some(engine)).unwrap();
        assert!(buffer.is_unused(), "round {round}");
        for _ in 0..5 - round {
            let mut commands = CopyCommands::new();
            commands.fill(&buffer, round).unwrap();
            copy.submit(&[], commands).unwrap();
        }
    }
    assert!(buffer.is_unused());
    assert_eq!(device.inner().slots.lock().len(), 1);
}

#[test]
fn so_many_queues_and_no_more() {
    let slots = Slots::default();
    let (_, device) = device();
    let copy = CopyQueue::new(&device, None).unwrap();
    let progress = || -> Weak<dyn Progress> { Arc::downgrade(copy.timeline()) as _ };
    let mut taken: Vec<Slot> = (0..MAX_QUEUES).map(|_| slots.take(progress()).unwrap()).collect();
    assert!(slots.take(progress()).is_none());
    slots.leave(&taken.swap_remove(7), 3);
    let again = slots.take(progress()).unwrap();
    assert_eq!((again.number, again.base), (7, 3));
}
