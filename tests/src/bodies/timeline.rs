//! Timelines: order on one queue, between queues, and with the host.

use hcq::{CopyCommands, CopyQueue, EngineKind, Placement};

use super::{LONG, bytes, copy_queue, holding};
use crate::Backend;

/// Points count submissions; a point that is reached stays reached.
pub fn values_grow_by_one(on: &Backend) {
    let device = on.device();
    let queue = copy_queue(&device);
    let start = queue.queue().last_point();
    assert!(start.value() == 0 && start.is_reached());
    start.wait(LONG).unwrap();
    let points: Vec<_> = (0..20).map(|_| queue.submit(&[], CopyCommands::new()).unwrap()).collect();
    points[19].wait(LONG).unwrap();
    for (i, point) in points.iter().enumerate() {
        assert_eq!(point.value(), i as u64 + 1);
        assert!(point.is_reached());
        point.wait(LONG).unwrap();
    }
    assert_eq!(queue.queue().depth(), 0);
    assert_eq!(queue.queue().last_point().value(), 20);
    assert!(queue.timeline().last_timestamp().unwrap() > 0);
}

/// Several times as many submissions as the ring has entries, and more words than the push memory holds.
pub fn a_ring_and_its_memory_wrap(on: &Backend) {
    let device = on.device();
    let queue = copy_queue(&device);
    let words = 1500u32;
    let target = holding(&device, &vec![0; 4 * words as usize], Placement::Sysmem);
    for i in 0..words {
        let mut commands = CopyCommands::new();
        commands.fill(&target.slice(4 * u64::from(i), 4), i + 1).unwrap();
        queue.submit(&[], commands).unwrap();
    }
    queue.queue().last_point().wait(LONG).unwrap();
    let found = bytes(&target);
    for (i, word) in found.chunks(4).enumerate() {
        assert_eq!(word, (i as u32 + 1).to_le_bytes());
    }
}

/// Two queues in turn add to one buffer; without the acquires they would overtake each other.
pub fn queues_wait_for_each_other(on: &Backend) {
    let device = on.device();
    let engines = device.engines_of(EngineKind::Copy).unwrap();
    let ends = [engines[0], *engines.last().unwrap()];
    let queues = ends.map(|engine| CopyQueue::new(&device, Some(engine)).unwrap());
    let cells = 64u64;
    let buffer = holding(&device, &vec![0; 4 * cells as usize], Placement::Vidmem);
    buffer.view().unwrap().store(0, 0x600d_600d);
    let mut last = None;
    for i in 1..cells {
        let mut commands = CopyCommands::new();
        commands.copy(&buffer.slice(4 * (i - 1), 4), &buffer.slice(4 * i, 4)).unwrap();
        last = Some(queues[i as usize % 2].submit(last.as_slice(), commands).unwrap());
    }
    last.unwrap().wait(LONG).unwrap();
    assert!(bytes(&buffer).chunks(4).all(|word| word == 0x600d_600du32.to_le_bytes()));
}

/// Threads share a queue; each finds its own work done when its point is reached.
pub fn many_threads_submit_and_wait(on: &Backend) {
    let device = on.device();
    let queue = copy_queue(&device);
    let target = holding(&device, &[0; 4 * 400], Placement::Sysmem);
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let (queue, target) = (&queue, &target);
            scope.spawn(move || {
                for i in 0..100 {
                    let cell = target.slice(4 * (100 * thread + i), 4);
                    let mut commands = CopyCommands::new();
                    commands.fill(&cell, (1000 * thread + i) as u32 + 1).unwrap();
                    queue.submit(&[], commands).unwrap().wait(LONG).unwrap();
                    assert_eq!(u64::from(cell.view().unwrap().load(0)), 1000 * thread + i + 1);
                }
            });
        }
    });
    assert_eq!(queue.queue().last_point().value(), 400);
}

/// A queue that is dropped finishes first; its points can be asked and waited for afterwards.
pub fn points_outlive_their_queue(on: &Backend) {
    let device = on.device();
    let queue = copy_queue(&device);
    let target = holding(&device, &[0; 4], Placement::Sysmem);
    let mut commands = CopyCommands::new();
    commands.fill(&target, 77).unwrap();
    let point = queue.submit(&[], commands).unwrap();
    drop((queue, device));
    assert!(point.is_reached());
    point.wait(LONG).unwrap();
    assert_eq!(target.view().unwrap().load(0), 77);
}
