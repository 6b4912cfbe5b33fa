use std::time::Duration;

use hcq::{CopyCommands, CopyQueue, EngineKind};

use super::*;
use crate::testing::Machine;

const LONG: Duration = Duration::from_secs(60);
const SIZE: u64 = 1 << 20;

fn nvdec(number: u32) -> EngineType {
    EngineType::of(EngineKind::Nvdec, number).unwrap()
}

/// Scratch of a store whose engines are copy queues here, which is as good for their order.
struct Bench {
    machine: Machine,
    store: ScratchStore,
    queues: Vec<CopyQueue>,
}

impl Bench {
    fn new(most: usize) -> Bench {
        let machine = Machine::h200();
        let store = ScratchStore::new(machine.context.memory(), most);
        let queue = |number: u32| {
            let engine = EngineType::of(EngineKind::Copy, number).unwrap();
            CopyQueue::new(machine.context.device(), Some(engine)).unwrap()
        };
        let queues = (0..4).map(queue).collect();
        Bench { machine, store, queues }
    }

    /// A picture on an engine: which buffer it has, and what it waits for.
    fn picture(&mut self, engine: u32, finish: Time) -> (u64, Vec<SyncPoint>, SyncPoint) {
        let mut waits = Vec::new();
        let number = self.store.take(nvdec(engine), SIZE, &mut waits).unwrap();
        let address = self.store.memory(number).gpu_address();
        let point = self.queues[engine as usize].submit(&waits, CopyCommands::new()).unwrap();
        self.store.used_until(number, &point, finish);
        (address, waits, point)
    }

    fn settle(&self) {
        self.machine.context.copy_queue().unwrap().queue().last_point().wait(LONG).unwrap();
        self.queues.iter().for_each(|queue| queue.queue().last_point().wait(LONG).unwrap());
    }

    fn stall(&self, engine: u32) {
        self.machine.kernel.faults().stall(0, self.queues[engine as usize].queue().engine());
    }

    fn resume(&self, engine: u32) {
        self.machine.kernel.faults().resume(0, self.queues[engine as usize].queue().engine());
    }
}

#[test]
fn each_engine_has_its_own_as_long_as_there_may_be_so_many() {
    let mut bench = Bench::new(2);
    let (first, ..) = bench.picture(0, 10);
    let (second, ..) = bench.picture(1, 20);
    assert_ne!(first, second);
    bench.settle();
    bench.stall(0);
    let (again, waits, busy) = bench.picture(0, 30);
    assert_eq!((again, waits.len()), (first, 0), "the engine works in order");
    // The one of engine 1 is out of use first.
    let (third, waits, _) = bench.picture(2, 40);
    assert_eq!((third, waits.len()), (second, 0));
    let (fourth, waits, _) = bench.picture(3, 50);
    assert_eq!(fourth, first);
    assert_eq!(waits.iter().map(SyncPoint::value).collect::<Vec<_>>(), [busy.value()]);
    assert_eq!(
        bench.machine.context.allocated_memory(),
        2 * hcq::allocation_size(SIZE, hcq::Placement::Vidmem)
    );
    bench.resume(0);
    bench.settle();
}

/// All who come while it is under way wait for it.
#[test]
fn a_clear_is_waited_for() {
    let mut bench = Bench::new(1);
    let copy = bench.machine.context.copy_queue().unwrap().queue().engine();
    bench.machine.kernel.faults().stall(0, copy);
    let (_, first, _) = bench.picture(0, 10);
    let (_, second, _) = bench.picture(0, 20);
    let engines = |waits: &[SyncPoint]| waits.iter().any(|wait| wait.timeline().engine() == copy);
    assert!(engines(&first) && second.iter().all(|wait| !wait.is_reached()));
    bench.machine.kernel.faults().resume(0, copy);
    bench.settle();
    let (_, third, _) = bench.picture(0, 30);
    assert!(third.is_empty());
}

#[test]
fn fewer_and_larger_ones() {
    let mut bench = Bench::new(3);
    let addresses: Vec<u64> = (0..3).map(|engine| bench.picture(engine, 10 + u64::from(engine)).0).collect();
    bench.settle();
    bench.store.set_most(1);
    bench.machine.context.release_memory();
    let one = hcq::allocation_size(SIZE, hcq::Placement::Vidmem);
    assert_eq!(bench.machine.context.allocated_memory(), one);
    assert_eq!(bench.picture(0, 20).0, addresses[2], "the one that was used last is left");
    let number = bench.store.take(nvdec(0), 3 * SIZE, &mut Vec::new()).unwrap();
    assert!(bench.store.memory(number).size() >= 3 * SIZE);
}

/// A session that may take no more works with what it has.
#[test]
fn at_the_limit_buffers_are_shared() {
    let mut bench = Bench::new(3);
    let one = hcq::allocation_size(SIZE, hcq::Placement::Vidmem);
    bench.machine.context.set_memory_limit(Some(one + one / 2));
    let (first, cleared, _) = bench.picture(0, 10);
    // Until it is over, that is waited for as well: the picture may be lost.
    cleared.iter().for_each(|point| point.wait(LONG).unwrap());
    let (second, waits, _) = bench.picture(1, 20);
    assert_eq!(first, second);
    assert!(waits.len() <= 1);
    assert_eq!(bench.machine.context.allocated_memory(), one);
}
