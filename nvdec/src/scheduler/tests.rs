use std::cell::RefCell;
use std::rc::Rc;

use hcq::EngineKind;
use proptest::prelude::*;

use super::*;
use crate::scheduler::cost::CostModel;

/// Values that engines have reached, by number.
type Progress = Rc<RefCell<Vec<u64>>>;

#[derive(Clone, Debug)]
struct Fake {
    engine: usize,
    value: u64,
    progress: Progress,
}

impl Point for Fake {
    fn shares_timeline(&self, other: &Self) -> bool {
        self.engine == other.engine
    }

    fn value(&self) -> u64 {
        self.value
    }

    fn reached(&self) -> u64 {
        self.progress.borrow()[self.engine]
    }
}

fn nvdec(number: usize) -> EngineType {
    EngineType::of(EngineKind::Nvdec, number as u32).unwrap()
}

/// Engines 0 to `count - 1` with a scheduler.
struct Bench {
    scheduler: Scheduler<Fake>,
    progress: Progress,
    submitted: Vec<u64>,
    all: EngineSet,
}

impl Bench {
    fn new(count: usize) -> Bench {
        let all: EngineSet = (0..count).map(nvdec).collect();
        let progress = Rc::new(RefCell::new(vec![0; count]));
        Bench { scheduler: Scheduler::new(all.iter()), progress, submitted: vec![0; count], all }
    }

    fn submit(&mut self, ready: Time, cost: Time) -> Plan {
        let plan = self.scheduler.plan(self.all, ready, cost);
        let engine = plan.engine.instance() as usize;
        self.submitted[engine] += 1;
        let point = Fake { engine, value: self.submitted[engine], progress: self.progress.clone() };
        self.scheduler.submitted(plan, &point);
        plan
    }

    fn finish(&mut self, engine: usize, count: u64) {
        let mut progress = self.progress.borrow_mut();
        progress[engine] = (progress[engine] + count).min(self.submitted[engine]);
    }
}

#[test]
fn costs_are_learnt() {
    let mut model = CostModel::new();
    let close = |estimate: Time, truth: f64| (estimate as f64 / truth - 1.0).abs() < 0.02;
    assert!(close(model.estimate(8160, 0), 8160.0 * 113.0), "an H200 to begin with");
    let truth = |blocks: u32, bytes: u64| 70.0 * f64::from(blocks) + 30.0 * bytes as f64;
    for i in 0..400u64 {
        let bytes = 1000 + i * 7919 % 60_000;
        model.learn(8160, bytes, truth(8160, bytes) as u64);
    }
    for (blocks, bytes) in [(8160, 500), (8160, 50_000), (32_400, 100_000)] {
        let estimate = model.estimate(blocks, bytes);
        assert!(close(estimate, truth(blocks, bytes)), "{blocks} blocks, {bytes} bytes: {estimate}");
    }
}

#[test]
fn pictures_of_one_size_say_nothing_of_bytes() {
    let mut model = CostModel::new();
    for _ in 0..2000 {
        model.learn(100, 400, 50_000);
    }
    assert_eq!(model.estimate(100, 400).abs_diff(50_000) / 100, 0);
    assert!(model.estimate(100, 4_000_000) < 1 << 40);
    assert!(CostModel::new().estimate(0, 0) > 0);
}

#[test]
fn independent_pictures_spread_and_chains_stay() {
    let mut bench = Bench::new(4);
    // Long pictures: opening a channel pays.
    let cost = 10 * OPENING;
    let engines: Vec<_> = (0..4).map(|_| bench.submit(0, cost).engine).collect();
    assert_eq!(engines, (0..4).map(nvdec).collect::<Vec<_>>());
    let mut bench = Bench::new(4);
    let mut ready = 0;
    for _ in 0..20 {
        let plan = bench.submit(ready, cost);
        assert_eq!(plan.engine, nvdec(0), "nothing is gained elsewhere");
        ready = plan.finish;
    }
}

#[test]
fn engines_are_opened_when_that_pays() {
    let mut bench = Bench::new(2);
    let cost = OPENING / 4;
    let engines: Vec<_> = (0..8).map(|_| bench.submit(0, cost).engine.instance()).collect();
    // Four pictures take as long as opening the second engine, and that one has to do the fifth as well.
    assert_eq!(engines[..5], [0; 5]);
    assert!(engines[5..].contains(&1), "{engines:?}");
}

#[test]
fn an_engine_that_is_behind_gets_less() {
    let mut bench = Bench::new(2);
    let cost = OPENING;
    let mut counts = [0u32; 2];
    for _ in 0..400 {
        counts[bench.submit(0, cost).engine.instance() as usize] += 1;
        // Engine 1 takes four times as long as anybody thinks.
        let step = counts[0] + counts[1];
        bench.finish(0, u64::from(step % 2 == 0));
        bench.finish(1, u64::from(step % 8 == 0));
    }
    // What is not done is shared evenly: 200 and 50 are done.
    assert!(counts[0].abs_diff(275) < 15 && counts[1].abs_diff(125) < 15, "{counts:?}");
}

#[test]
fn load_is_what_is_not_done() {
    let mut bench = Bench::new(2);
    for _ in 0..6 {
        bench.submit(0, 10 * OPENING);
    }
    let loads = |bench: &Bench| bench.scheduler.load().into_values().collect::<Vec<_>>();
    assert_eq!(loads(&bench), [EngineLoad { pictures: 3, cycles: 30 * OPENING }; 2]);
    bench.finish(1, 2);
    assert_eq!(loads(&bench)[1], EngineLoad { pictures: 1, cycles: 10 * OPENING });
    bench.finish(0, 3);
    assert_eq!(loads(&bench)[0], EngineLoad::default());
}

#[test]
fn sets_hold_engines() {
    let set: EngineSet = [3, 1].map(nvdec).into_iter().collect();
    assert_eq!(
        (set.len(), set.is_empty(), set.contains(nvdec(1)), set.contains(nvdec(2))),
        (2, false, true, false)
    );
    assert_eq!(set.iter().collect::<Vec<_>>(), [1, 3].map(nvdec));
    assert_eq!(format!("{set:?}"), r#"{"NVDEC1", "NVDEC3"}"#);
    assert_eq!(set.with(EngineType::GR0), set);
}

proptest! {
    /// If costs are right, pictures are done no later than planned, whatever depends on what.
    #[test]
    fn plans_come_true(
        engines in 1usize..8,
        pictures in prop::collection::vec((1u64..5_000_000, prop::collection::vec(1usize..6, 0..3)), 1..80),
    ) {
        let mut bench = Bench::new(engines);
        let mut planned: Vec<Time> = Vec::new();
        let mut real: Vec<Time> = Vec::new();
        let mut free = vec![0; engines];
        for (i, (cost, back)) in pictures.iter().enumerate() {
            let needs: Vec<usize> = back.iter().filter_map(|b| i.checked_sub(*b)).collect();
            let latest = |of: &[Time]| needs.iter().map(|&n| of[n]).max().unwrap_or(0);
            let plan = bench.submit(latest(&planned), *cost);
            let engine = plan.engine.instance() as usize;
            free[engine] = latest(&real).max(free[engine]) + cost;
            real.push(free[engine]);
            planned.push(plan.finish);
            prop_assert!(real[i] <= planned[i]);
        }
        // A greedy list schedule is never worse than doing one after the other, but for the opening of engines.
        let serial: Time = pictures.iter().map(|(cost, _)| cost).sum();
        prop_assert!(real.iter().max().unwrap() <= &(serial + engines as u64 * OPENING));
    }
}

#[test]
fn other_sessions_crowd_one_on_several_engines() {
    let share = super::share::Share::new((1..8).map(nvdec).collect());
    let first = share.join();
    assert!(!share.is_crowded(7) && !share.is_crowded(1));
    let second = share.join();
    assert!(share.is_crowded(7) && share.is_crowded(2));
    // As long as there are engines enough, none of two with one engine each stands in the other one's way.
    assert!(!share.is_crowded(1));
    drop((first, second));
}
