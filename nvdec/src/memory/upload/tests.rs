use std::time::Duration;

use hcq::kernel::emulated::EmulatedKernel;
use hcq::{CopyCommands, CopyQueue, EngineType};
use proptest::prelude::*;

use super::*;
use crate::testing::Machine;

/// Points that are reached when the test says so: those of a queue whose engine is stalled, and let on by single launches.
struct Clock {
    kernel: EmulatedKernel,
    queue: CopyQueue,
    engine: EngineType,
    points: VecDeque<SyncPoint>,
    context: Arc<crate::Context>,
}

impl Clock {
    fn new() -> Clock {
        let machine = Machine::h200();
        let queue = CopyQueue::new(machine.context.device(), None).unwrap();
        let engine = queue.queue().engine();
        machine.kernel.faults().stall(0, engine);
        Clock { kernel: machine.kernel, queue, engine, points: VecDeque::new(), context: machine.context }
    }

    fn point(&mut self) -> SyncPoint {
        let point = self.queue.submit(&[], CopyCommands::new()).unwrap();
        self.points.push_back(point.clone());
        point
    }

    /// Reaches the oldest point that is not.
    fn tick(&mut self) {
        if let Some(point) = self.points.pop_front() {
            self.kernel.faults().let_launch(0, self.engine, 1);
            point.wait(Duration::from_secs(60)).unwrap();
        }
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.kernel.faults().resume(0, self.engine);
    }
}

/// A chunk in flight: its memory, what must be in it, when it ends.
struct InFlight {
    memory: DeviceBuffer,
    bytes: Vec<u8>,
    point: SyncPoint,
}

/// The open chunk's memory.
fn opened(ring: &UploadRing) -> DeviceBuffer {
    let open = ring.open.unwrap();
    ring.memory.slice(open.start % ring.memory.size(), open.length)
}

/// Closes the open chunk, which is over at `point`.
fn close(ring: &mut UploadRing, point: SyncPoint) -> DeviceBuffer {
    let chunk = ring.close();
    ring.free(chunk.id(), Some(point));
    chunk.memory
}

fn read(memory: &DeviceBuffer) -> Vec<u8> {
    let mut bytes = vec![0; memory.size() as usize];
    memory.view().unwrap().copy_out(0, &mut bytes);
    bytes
}

fn check(ring: &UploadRing, open: Option<&Vec<u8>>, flying: &[InFlight]) {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    if let Some(bytes) = open {
        assert_eq!(ring.length(), bytes.len() as u64);
        if !bytes.is_empty() {
            let chunk = opened(ring);
            assert_eq!(chunk.gpu_address() % ALIGNMENT, 0);
            assert!(read(&chunk) == *bytes, "the open chunk was damaged");
            ranges.push((chunk.gpu_address(), chunk.size()));
        }
    }
    for chunk in flying.iter().filter(|f| !f.point.is_reached()) {
        assert!(read(&chunk.memory) == chunk.bytes, "a chunk in flight was overwritten");
        ranges.push((chunk.memory.gpu_address(), chunk.memory.size()));
    }
    ranges.sort_unstable();
    for pair in ranges.windows(2) {
        assert!(pair[0].0 + pair[0].1 <= pair[1].0, "chunks overlap: {pair:#x?}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Open(usize),
    Append(Vec<usize>),
    Write(prop::sample::Index, usize),
    Close,
    Reach,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Sizes that make a ring of 2 MiB wrap and grow within a few dozen steps.
    let size = || prop_oneof![4 => 0usize..5000, 3 => 5000usize..200_000, 1 => 200_000usize..1_500_000];
    let step = prop_oneof![
        1 => (0usize..10_000).prop_map(Step::Open),
        4 => prop::collection::vec(size(), 1..4).prop_map(Step::Append),
        1 => (any::<prop::sample::Index>(), 1usize..600).prop_map(|(at, length)| Step::Write(at, length)),
        3 => Just(Step::Close),
        3 => Just(Step::Reach),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn chunks_stay_whole_and_apart(steps in steps()) {
        let mut clock = Clock::new();
        let mut ring = UploadRing::new(clock.context.memory()).unwrap();
        let mut open: Option<Vec<u8>> = None;
        let mut flying: Vec<InFlight> = Vec::new();
        let mut seed = 0u8;
        let mut pattern = |length: usize| -> Vec<u8> {
            seed = seed.wrapping_add(41);
            (0..length).map(|i| (i as u8).wrapping_mul(3).wrapping_add((i >> 8) as u8 ^ seed)).collect()
        };
        for step in steps {
            match step {
                Step::Open(length) => {
                    ring.open(length as u64, 0).unwrap();
                    let bytes = pattern(length);
                    if length > 0 {
                        opened(&ring).view().unwrap().copy_in(0, &bytes);
                    }
                    open = Some(bytes);
                }
                Step::Append(parts) => if let Some(bytes) = &mut open {
                    let parts: Vec<Vec<u8>> = parts.into_iter().map(&mut pattern).collect();
                    let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
                    ring.append(&slices).unwrap();
                    bytes.extend(parts.concat());
                },
                Step::Write(at, length) => if let Some(bytes) = open.as_mut().filter(|b| b.len() >= length) {
                    let at = at.index(bytes.len() - length + 1);
                    let new = pattern(length);
                    opened(&ring).view().unwrap().copy_in(at, &new);
                    bytes[at..at + length].copy_from_slice(&new);
                },
                Step::Close => if let Some(bytes) = open.take() {
                    let point = clock.point();
                    let memory = close(&mut ring, point.clone());
                    flying.push(InFlight { memory, bytes, point });
                },
                Step::Reach => {
                    clock.tick();
                    flying.retain(|f| !f.point.is_reached());
                }
            }
            check(&ring, open.as_ref(), &flying);
        }
    }
}

#[test]
fn memory_is_used_again_rather_than_grown() {
    let mut clock = Clock::new();
    let mut ring = UploadRing::new(clock.context.memory()).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for i in 0..100u8 {
        ring.open(0, 0).unwrap();
        ring.append(&[&vec![i; 700_000]]).unwrap();
        seen.insert(opened(&ring).gpu_address());
        close(&mut ring, clock.point());
        clock.tick();
    }
    assert_eq!(ring.memory.size(), INITIAL_BYTES);
    assert!(seen.len() < 10, "{seen:x?}");
}

#[test]
fn an_abandoned_chunk_takes_no_room() {
    let clock = Clock::new();
    let mut ring = UploadRing::new(clock.context.memory()).unwrap();
    for _ in 0..20 {
        ring.open(1 << 20, 0).unwrap();
    }
    assert_eq!((ring.memory.size(), opened(&ring).gpu_address()), (INITIAL_BYTES, ring.memory.gpu_address()));
}

#[test]
fn chunks_in_flight_keep_the_old_ring_alive() {
    let mut clock = Clock::new();
    let mut ring = UploadRing::new(clock.context.memory()).unwrap();
    ring.open(0, 0).unwrap();
    ring.append(&[&[7; 1000]]).unwrap();
    let old = close(&mut ring, clock.point());
    ring.open(0, 0).unwrap();
    ring.append(&[b"head"]).unwrap();
    ring.append(&[&vec![9; 3 << 20]]).unwrap();
    assert!(ring.memory.size() > INITIAL_BYTES);
    assert_eq!(read(&old), [7; 1000]);
    let chunk = read(&opened(&ring));
    assert!(chunk.starts_with(b"head") && chunk[4..].iter().all(|&b| b == 9) && chunk.len() == (3 << 20) + 4);
}

#[test]
fn too_large_a_picture_is_refused_and_the_ring_goes_on() {
    let clock = Clock::new();
    let mut ring = UploadRing::new(clock.context.memory()).unwrap();
    let error = ring.open(MAX_BYTES + 1, 0).unwrap_err();
    assert!(matches!(error, Error::PictureTooLarge { bytes, limit: MAX_BYTES } if bytes == MAX_BYTES + 1));
    assert!(error.is_picture_error());
    ring.open(0, 0).unwrap();
    ring.append(&[b"small"]).unwrap();
    assert_eq!(read(&opened(&ring)), b"small");
    ring.open(MAX_BYTES, 0).unwrap();
    let error = ring.append(&[b"x"]).unwrap_err();
    assert!(matches!(error, Error::PictureTooLarge { .. }));
    ring.open(10, 0).unwrap();
}

/// At its largest, the ring is waited for.
#[test]
fn a_full_ring_waits_for_its_oldest_chunk() {
    let mut clock = Clock::new();
    let mut ring = UploadRing::new(clock.context.memory()).unwrap();
    ring.open(MAX_BYTES / 2, 0).unwrap();
    let first = clock.point();
    close(&mut ring, first.clone());
    ring.open(MAX_BYTES / 2, 0).unwrap();
    close(&mut ring, clock.point());
    assert_eq!(ring.memory.size(), MAX_BYTES);
    assert!(!first.is_reached());
    let (faults, engine) = (clock.kernel.faults(), clock.engine);
    let helper = std::thread::spawn(move || faults.resume(0, engine));
    // Two halves are in flight: the third finds room only behind the older of them.
    ring.open(MAX_BYTES / 2 - 1000, 0).unwrap();
    assert!(first.is_reached());
    helper.join().unwrap();
}

/// Chunks may get their points in any order, and one that is not needed after all is free at once.
#[test]
fn chunks_are_freed_in_order_whenever_their_points_are_known() {
    let mut clock = Clock::new();
    let mut ring = UploadRing::new(clock.context.memory()).unwrap();
    let chunks: Vec<Chunk> = (0..3)
        .map(|_| {
            ring.open(500_000, 0).unwrap();
            ring.close()
        })
        .collect();
    for chunk in [&chunks[2], &chunks[1]] {
        let point = clock.point();
        ring.free(chunk.id(), Some(point));
        clock.tick();
    }
    // The oldest is still in use: there is no room at the start of the ring.
    ring.open(600_000, 0).unwrap();
    assert!(ring.memory.size() > INITIAL_BYTES);
    let mut ring = UploadRing::new(clock.context.memory()).unwrap();
    ring.open(1_900_000, 0).unwrap();
    let first = ring.close();
    ring.free(first.id(), None);
    ring.open(1_900_000, 0).unwrap();
    assert_eq!(
        (ring.memory.size(), opened(&ring).gpu_address()),
        (INITIAL_BYTES, first.memory.gpu_address())
    );
}

/// Whatever a ring held, and however it wrapped and grew: nothing of it is in the next one.
#[test]
fn a_ring_that_is_given_back_is_empty() {
    let mut clock = Clock::new();
    let mut ring = UploadRing::new(clock.context.memory()).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for size in [10, 700_000, 700_000, 600_000, 500_000, 3_000_000, 4_000_000, 2_000_000] {
        ring.open(100, 0).unwrap();
        opened(&ring).view().unwrap().fill(0, 100, 0x5a);
        ring.append(&[&vec![0x5a; size]]).unwrap();
        seen.insert((ring.memory.gpu_address(), ring.memory.size()));
        close(&mut ring, clock.point());
        clock.tick();
    }
    drop(ring);
    assert_eq!(seen.len(), 2, "it grew once");
    let mut ring = UploadRing::new(clock.context.memory()).unwrap();
    for (address, size) in &seen {
        assert_eq!((ring.memory.gpu_address(), ring.memory.size()), (*address, *size));
        assert!(read(&ring.memory).iter().all(|&byte| byte == 0));
        if *size == INITIAL_BYTES {
            ring.open(3_000_100, 0).unwrap();
        }
    }
}

#[test]
fn a_ring_with_enough_chunks_is_waited_for() {
    let machine = Machine::h200();
    let queue = CopyQueue::new(machine.context.device(), None).unwrap();
    let engine = queue.queue().engine();
    machine.kernel.faults().slow_down(0, engine, Duration::from_micros(200));
    let bytes = vec![7; 100_000];
    let fill = |ring: &mut UploadRing, chunks: usize| {
        for _ in 0..chunks {
            ring.open(0, 0).unwrap();
            ring.append(&[&bytes]).unwrap();
            close(ring, queue.submit(&[], CopyCommands::new()).unwrap());
        }
        ring.memory.size()
    };
    let mut ring = UploadRing::new(machine.context.memory()).unwrap();
    ring.set_enough(10);
    assert_eq!(fill(&mut ring, 100), INITIAL_BYTES);
    // Chunks that are not submitted cannot be waited for.
    for _ in 0..30 {
        ring.open(0, 0).unwrap();
        ring.append(&[&bytes]).unwrap();
        ring.close();
    }
    assert!(ring.memory.size() > INITIAL_BYTES);
    let mut eager = UploadRing::new(machine.context.memory()).unwrap();
    eager.set_enough(90);
    machine.kernel.faults().stall(0, engine);
    assert!(fill(&mut eager, 40) > INITIAL_BYTES);
    machine.kernel.faults().resume(0, engine);
}

#[test]
fn few_chunks_are_left_when_a_full_ring_was_waited_for() {
    let machine = Machine::h200();
    let queue = CopyQueue::new(machine.context.device(), None).unwrap();
    machine.kernel.faults().slow_down(0, queue.queue().engine(), Duration::from_millis(1));
    let left = |most: usize| {
        let mut ring = UploadRing::new(machine.context.memory()).unwrap();
        ring.set_waits((most, Duration::from_millis(100)));
        for _ in 0..20 {
            ring.open(100, 0).unwrap();
            close(&mut ring, queue.submit(&[], CopyCommands::new()).unwrap());
        }
        assert!(ring.wait_for_room().unwrap());
        ring.closed.iter().filter(|closed| !closed.is_over()).count()
    };
    assert!(left(3) <= 3);
    assert!(left(0) == 0);
    assert!(left(usize::MAX) <= 12, "half of them, or nearly");
}
