use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::testing::Machine;

const LONG: Duration = Duration::from_secs(60);
const SLOT: u64 = 256;

/// A store whose slots hold the number of the picture that they belong to, as an engine would leave them.
struct Bench {
    machine: Machine,
    store: MotionStore,
    pictures: u32,
}

impl Bench {
    fn new(slots: usize) -> Bench {
        let machine = Machine::h200();
        let store = MotionStore::new(machine.context.memory(), slots, SLOT).unwrap();
        Bench { machine, store, pictures: 0 }
    }

    fn settle(slot: &MotionSlot) {
        let points: Vec<SyncPoint> = slot.uses().before_write().cloned().collect();
        points.iter().for_each(|point| point.wait(LONG).unwrap());
    }

    fn content(&self, slot: &MotionSlot) -> u32 {
        Self::settle(slot);
        slot.memory().view().unwrap().load(0)
    }

    /// Places a picture, checks what the engine would see, and "decodes" it.
    fn place(&mut self, sources: &[Option<MotionSlot>], anywhere: bool) -> MotionSlot {
        let wanted: Vec<u32> =
            sources.iter().map(|s| s.as_ref().map_or(0, |slot| self.content(slot))).collect();
        let placed = self
            .store
            .place(self.machine.context.memory(), &mut sources.to_vec(), anywhere)
            .unwrap()
            .expect("there is room");
        let (target, place) = placed.target;
        assert!(usize::from(place) < PLACES);
        assert_eq!(placed.window.size(), 17 * SLOT, "what the engine may look at");
        let at = |place: u8| placed.window.slice(u64::from(place) * SLOT, SLOT);
        assert_eq!(at(place).gpu_address(), target.memory().gpu_address());
        for ((slot, source_place), wanted) in placed.sources.iter().zip(wanted) {
            assert!(usize::from(*source_place) < PLACES && *source_place != place);
            assert_eq!(self.content(slot), wanted);
            assert_eq!(at(*source_place).view().unwrap().load(0), wanted);
        }
        Self::settle(&target);
        self.pictures += 1;
        at(place).view().unwrap().store(0, self.pictures);
        target
    }
}

#[test]
fn the_first_pictures_take_neighbouring_slots() {
    let mut bench = Bench::new(32);
    let first = bench.place(&[], true);
    let second = bench.place(&[Some(first.clone())], false);
    assert!(first.index().abs_diff(second.index()) < PLACES);
    assert!(!first.same(&second));
}

#[test]
fn what_is_out_of_reach_is_copied() {
    let mut bench = Bench::new(48);
    let held: Vec<MotionSlot> = (0..48).map(|i| bench.store.slots[i].clone()).collect();
    for (i, slot) in held.iter().enumerate() {
        Bench::settle(slot);
        slot.memory().view().unwrap().store(0, 1000 + i as u32);
    }
    // Only slots at the other end are free.
    let (near, far) = held.split_at(32);
    let near = near.to_vec();
    let _kept = far[..4].to_vec();
    drop(held);
    let target = bench.place(&[Some(near[0].clone())], false);
    assert!(target.index() >= 32);
    let target = bench.place(&[Some(near[0].clone()), Some(near[20].clone()), None], false);
    assert!(target.index() >= 32);
    // The originals are what they were.
    assert_eq!((bench.content(&near[0]), bench.content(&near[20])), (1000, 1020));
}

#[test]
fn motion_of_pictures_that_do_not_exist_is_none() {
    let mut bench = Bench::new(32);
    for _ in 0..40 {
        drop(bench.place(&[], false));
    }
    // `place` expects zero there.
    bench.place(&[None], false);
    bench.place(&[None, None], false);
}

#[test]
fn a_full_store_says_so() {
    let mut bench = Bench::new(32);
    let held: Vec<_> = bench.store.slots.clone();
    assert!(bench.store.place(bench.machine.context.memory(), &mut [], true).unwrap().is_none());
    assert!(
        bench
            .store
            .place(bench.machine.context.memory(), &mut [Some(held[3].clone())], false)
            .unwrap()
            .is_none()
    );
    let other = MotionStore::new(bench.machine.context.memory(), 32, SLOT).unwrap();
    assert!(!other.slots[0].same(&held[0]));
}

/// Motion of another sequence, of another size, is none.
#[test]
fn slots_of_another_size_are_none() {
    let mut bench = Bench::new(32);
    let mut other = MotionStore::new(bench.machine.context.memory(), 32, 2 * SLOT).unwrap();
    let foreign = other.place(bench.machine.context.memory(), &mut [], true).unwrap().unwrap().target.0;
    let placed =
        bench.store.place(bench.machine.context.memory(), &mut [Some(foreign)], false).unwrap().unwrap();
    assert_eq!(bench.content(&placed.sources[0].0), 0);
    assert!(bench.store.owns(&placed.sources[0].0));
}

/// A store that cannot grow within the limit is what it was.
#[test]
fn a_store_that_cannot_grow_stays() {
    let mut bench = Bench::new(32);
    let held = bench.place(&[], true);
    bench.machine.context.set_memory_limit(Some(bench.machine.context.allocated_memory()));
    let error = bench.store.resize(bench.machine.context.memory(), 112).unwrap_err();
    assert!(error.is_out_of_memory(), "{error}");
    assert!(bench.store.owns(&held));
    bench.place(&[Some(held)], false);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A decoder's use of a store: a picture buffer of up to 16 pictures, each picture taking motion from any of them,
    /// or from several in a stream that does not conform; on a store that grows and shrinks meanwhile.
    #[test]
    fn pictures_find_the_motion_they_ask_for(
        slots in prop::sample::select(vec![32usize, 48, 112]),
        steps in prop::collection::vec(
            (
                prop::collection::vec(any::<Option<prop::sample::Index>>(), 0..4),
                any::<bool>(),
                any::<prop::sample::Index>(),
                prop::option::weighted(0.1, prop::sample::select(vec![32usize, 48, 112])),
            ),
            1..80,
        ),
    ) {
        let mut bench = Bench::new(slots);
        let mut buffer: Vec<MotionSlot> = Vec::new();
        for (sources, anywhere, leaves, resize) in steps {
            if let Some(slots) = resize {
                bench.store.resize(bench.machine.context.memory(), slots).unwrap();
            }
            let mut wanted: Vec<Option<MotionSlot>> = Vec::new();
            for source in sources {
                let source = source.filter(|_| !buffer.is_empty()).map(|at| at.get(&buffer).clone());
                let known = |w: &Option<MotionSlot>| matches!((w, &source), (Some(a), Some(b)) if a.same(b));
                if !wanted.iter().any(known) {
                    wanted.push(source);
                }
            }
            if buffer.len() == PLACES {
                let leaving = leaves.index(buffer.len());
                if !wanted.iter().flatten().any(|w| w.same(&buffer[leaving])) {
                    buffer.remove(leaving);
                } else {
                    continue;
                }
            }
            let target = bench.place(&wanted, anywhere);
            buffer.push(target);
        }
    }
}
