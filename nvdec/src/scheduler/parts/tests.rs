use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use hcq::{EngineKind, EngineType};
use proptest::prelude::*;

use super::*;

/// A point that is reached when somebody says so.
#[derive(Clone, Debug)]
struct Fake(Rc<Cell<bool>>);

impl Point for Fake {
    fn shares_timeline(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    fn value(&self) -> u64 {
        1
    }

    fn reached(&self) -> u64 {
        u64::from(self.0.get())
    }
}

fn set(numbers: impl IntoIterator<Item = usize>) -> EngineSet {
    numbers.into_iter().filter_map(|number| EngineType::of(EngineKind::Nvdec, number as u32)).collect()
}

/// Seven engines, and a clock.
struct Bench {
    parts: Parts<Fake>,
    standings: BTreeMap<u64, Arc<Standing<Fake>>>,
    now: Instant,
    all: EngineSet,
}

impl Bench {
    fn new() -> Self {
        Bench { parts: Parts::new(), standings: BTreeMap::new(), now: Instant::now(), all: set(1..8) }
    }

    fn wait(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    fn begin(&mut self, number: u64) -> Rc<Cell<bool>> {
        self.begin_on(number, self.all)
    }

    fn begin_on(&mut self, number: u64, allowed: EngineSet) -> Rc<Cell<bool>> {
        let last = Rc::new(Cell::new(false));
        let standing = self.standings.entry(number).or_insert_with(Standing::new);
        if !standing.submitted(&Fake(last.clone())) {
            let now = self.now;
            let (part, _) = self.parts.part(number, allowed, 7, || now);
            let engine = part.iter().last().expect("it has some");
            self.parts.begin(number, allowed, engine, standing, || now);
        }
        last
    }

    fn end(&mut self, number: u64) {
        let now = self.now;
        self.parts.end(number, || now);
    }

    fn part(&mut self, number: u64) -> EngineSet {
        let now = self.now;
        self.parts.part(number, self.all, 7, || now).0
    }
}

#[test]
fn the_only_session_has_all_engines() {
    let mut bench = Bench::new();
    assert_eq!(bench.part(0), bench.all);
    bench.begin(0);
    assert_eq!(bench.part(0), bench.all);
}

#[test]
fn a_newcomer_gets_its_due_and_others_keep_the_rest() {
    let mut bench = Bench::new();
    bench.begin(0);
    bench.begin(1);
    assert_eq!((bench.part(0), bench.part(1)), (set(1..5), set(5..8)));
    bench.begin(2);
    let parts = [0, 1, 2].map(|number| bench.part(number));
    assert_eq!(parts.map(EngineSet::len), [3, 2, 2]);
    assert!(parts[0].minus(set(1..5)).is_empty() && parts[1].minus(set(5..8)).is_empty());
}

#[test]
fn who_goes_and_comes_back_moves_nobody() {
    let mut bench = Bench::new();
    (0..3).for_each(|number| drop(bench.begin(number)));
    let before = [0, 1].map(|number| bench.part(number));
    let third = bench.part(2);
    for number in 3..20 {
        bench.end(number - 1);
        bench.wait(10);
        assert_eq!([0, 1].map(|number| bench.part(number)), before);
        bench.begin(number);
        assert_eq!(bench.part(number), third);
    }
}

#[test]
fn engines_of_those_who_stay_away_are_taken_over() {
    let mut bench = Bench::new();
    bench.begin(0);
    bench.begin(1);
    bench.end(1);
    bench.wait(20);
    assert_eq!(bench.part(0).len(), 4);
    bench.wait(40);
    assert_eq!(bench.part(0), bench.all);
}

#[test]
fn of_more_sessions_than_engines_several_share_one() {
    let mut bench = Bench::new();
    (0..10).for_each(|number| drop(bench.begin(number)));
    let parts: Vec<EngineSet> = (0..10).map(|number| bench.part(number)).collect();
    assert!(parts.iter().all(|part| part.len() == 1));
    assert_eq!(parts.iter().fold(EngineSet::default(), |all, &part| all.union(part)), bench.all);
    // One of those that share moves to the engine that nobody has any more, and only one.
    let alone = |&number: &usize| (0..10).all(|other| other == number || !parts[other].meets(parts[number]));
    let gone = (0..10).find(alone).expect("three engines are shared, four are not");
    bench.end(gone as u64);
    let others = (0..10).filter(|&number| number != gone);
    assert_eq!(others.filter(|&number| bench.part(number as u64) != parts[number]).count(), 1);
}

#[test]
fn who_shares_an_engine_gets_one_of_a_session_that_has_two() {
    let mut bench = Bench::new();
    (0..8).for_each(|number| drop(bench.begin(number)));
    // Two share one engine when a newcomer finds three free and is due two of them.
    let sharing = bench.part(7);
    let alone: Vec<u64> = (0..7).filter(|&number| !bench.part(number).meets(sharing)).collect();
    bench.end(alone[0]);
    bench.end(alone[1]);
    bench.wait(51);
    bench.end(alone[2]);
    bench.begin(8);
    assert_eq!(bench.part(8).len(), 2);
    bench.begin(9);
    let present: Vec<u64> = (0..10).filter(|number| !alone[..3].contains(number)).collect();
    let parts: Vec<EngineSet> = present.iter().map(|&number| bench.part(number)).collect();
    assert!(parts.iter().all(|part| part.len() == 1), "{parts:?}");
    assert_eq!(parts.iter().fold(EngineSet::default(), |all, &part| all.union(part)), bench.all);
}

#[test]
fn a_session_that_does_not_say_that_it_is_done_is_found_out() {
    let mut bench = Bench::new();
    let last = bench.begin(0);
    bench.begin(1);
    last.set(true);
    bench.wait(100);
    bench.parts.sweep(Some(1));
    assert!(!bench.standings[&0].submitted(&Fake(last.clone())), "it is to begin anew");
    bench.wait(100);
    assert_eq!(bench.part(1), bench.all);
}

#[test]
fn a_session_that_is_gone_has_engines_until_its_pictures_are_done() {
    let mut bench = Bench::new();
    let last = bench.begin(0);
    let now = bench.now;
    bench.parts.leave(0, || now);
    assert_eq!((bench.part(1).len(), bench.parts.len()), (3, 1));
    bench.begin(1);
    assert_eq!(bench.part(1).len(), 3);
    last.set(true);
    bench.begin(2);
    assert_eq!(bench.parts.len(), 2);
    let last = bench.begin(3);
    last.set(true);
    bench.parts.leave(3, || now);
    assert_eq!(bench.parts.len(), 2);
}

#[test]
fn of_those_who_are_gone_a_newcomer_may_choose_any_engine() {
    let mut bench = Bench::new();
    (0..10).for_each(|number| drop(bench.begin(number)));
    let (now, all) = (bench.now, bench.all);
    (0..10).for_each(|number| bench.parts.leave(number, || now));
    assert_eq!(bench.parts.part(10, all, 1, || now).0, all);
    bench.begin(10);
    assert_eq!(bench.part(10), set([7]), "that of its first picture");
    // The next one keeps away from it.
    assert_eq!(bench.parts.part(11, all, 1, || now).0, set(1..7));
}

#[test]
fn engines_that_a_session_may_not_use_are_not_its() {
    let mut bench = Bench::new();
    bench.begin(0);
    bench.begin_on(1, set([7]));
    assert_eq!(bench.parts.part(1, set([7]), 7, || bench.now).0, set([7]));
    // It keeps half, and the other one has what is due to it of one engine.
    assert!(!bench.part(0).contains(set([7]).iter().next().unwrap()));
    assert_eq!(bench.part(0).len(), 6);
}

#[derive(Clone, Debug)]
enum Step {
    Begin(u64, usize),
    End(u64),
    Ask(u64),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u64..12, 1usize..8).prop_map(|(number, allowed)| Step::Begin(number, allowed)),
        (0u64..12).prop_map(Step::End),
        (0u64..12).prop_map(Step::Ask),
        (0u64..80).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Whoever comes and goes: each has an engine of those that it may use, nobody has more than its due while others wait, and no
    /// engine is unused that somebody is due.
    #[test]
    fn engines_are_shared_fairly(steps in prop::collection::vec(step(), 1..80), is_equal in any::<bool>()) {
        let mut bench = Bench::new();
        let allowed = |number: u64, size: usize| match is_equal {
            true => set(1..8),
            false => set((0..size).map(|at| 1 + (number as usize + at) % 7)),
        };
        let mut present: BTreeMap<u64, EngineSet> = Default::default();
        for step in steps {
            match step {
                Step::Begin(number, size) => {
                    let allowed = *present.entry(number).or_insert_with(|| allowed(number, size));
                    bench.begin_on(number, allowed);
                }
                Step::End(number) => {
                    present.remove(&number);
                    bench.end(number);
                }
                Step::Ask(number) => {
                    let asked = present.get(&number).copied().unwrap_or(bench.all);
                    let now = bench.now;
                    let (part, count) = bench.parts.part(number, asked, 7, || now);
                    prop_assert!(!part.is_empty() && part.minus(asked).is_empty());
                    prop_assert_eq!(count, present.len().max(1) + usize::from(!present.is_empty() && !present.contains_key(&number)));
                }
                Step::Wait(ms) => bench.wait(ms),
            }
            prop_assert_eq!(bench.parts.len(), present.len());
        }
        // When things have come to rest.
        bench.wait(200);
        for _ in 0..3 {
            for (&number, &allowed) in &present {
                let now = bench.now;
                bench.parts.part(number, allowed, 7, || now);
            }
        }
        let parts: Vec<(EngineSet, EngineSet)> = bench.parts.sessions.iter().map(|busy| (busy.allowed, busy.part)).collect();
        for &(allowed, part) in &parts {
            prop_assert!(!part.is_empty() && part.minus(allowed).is_empty());
        }
        if is_equal && !parts.is_empty() {
            let sizes: Vec<usize> = parts.iter().map(|(_, part)| part.len()).collect();
            let (least, due) = ((bench.all.len() / parts.len()).max(1), bench.all.len().div_ceil(parts.len()));
            prop_assert!(sizes.iter().all(|size| (least..=due).contains(size)), "{:?}", sizes);
            let used = parts.iter().fold(EngineSet::default(), |all, (_, part)| all.union(*part));
            prop_assert_eq!(used.len(), bench.all.len().min(sizes.iter().sum()));
            if parts.len() <= bench.all.len() {
                prop_assert_eq!(used, bench.all);
                prop_assert_eq!(sizes.iter().sum::<usize>(), bench.all.len());
            }
        }
    }
}
