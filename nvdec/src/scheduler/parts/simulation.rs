//! Short clips on seven engines that are only reckoned with: each a chain of pictures that need each other, from a session of its own
//! that is gone when they are submitted.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use hcq::EngineKind;

use super::*;
use crate::scheduler::Scheduler;

const ENGINES: usize = 7;
/// Nanoseconds of the host for a picture and for a clip, and of an engine for a picture; the scheduler counts its time as well.
const SUBMIT: u64 = 15_000;
const OPEN: u64 = 500_000;
const DECODE: u64 = 700_000;

/// When each picture given to an engine is done, and how many of them are.
#[derive(Debug, Default)]
struct Line {
    finishes: VecDeque<u64>,
    given: u64,
    done: u64,
    /// When the last of them is.
    free: u64,
}

type World = Rc<RefCell<Vec<Line>>>;

#[derive(Clone, Debug)]
struct Reckoned {
    engine: usize,
    value: u64,
    world: World,
}

impl Point for Reckoned {
    fn shares_timeline(&self, other: &Self) -> bool {
        self.engine == other.engine
    }

    fn value(&self) -> u64 {
        self.value
    }

    fn reached(&self) -> u64 {
        self.world.borrow()[self.engine].done
    }
}

fn pass(world: &World, to: u64) {
    for line in world.borrow_mut().iter_mut() {
        while line.finishes.pop_front_if(|finish| *finish <= to).is_some() {
            line.done += 1;
        }
    }
}

/// One thread that has so many clips ahead of the one that it waits for, each with memory for `limit` engines. The share of the
/// engines' time in which they decode.
fn one_thread(lengths: &[u64], ahead: usize, limit: usize) -> f64 {
    let all: EngineSet =
        (0..ENGINES).filter_map(|number| EngineType::of(EngineKind::Nvdec, number as u32)).collect();
    let world: World = Rc::new(RefCell::new((0..ENGINES).map(|_| Line::default()).collect()));
    let scheduler = Scheduler::new(all.iter());
    all.iter().for_each(|engine| scheduler.opened(engine));
    let (start, mut now) = (Instant::now(), 0);
    let mut parts: Parts<Reckoned> = Parts::new();
    let mut ends: VecDeque<u64> = VecDeque::new();
    for (number, &length) in (0..).zip(lengths) {
        if ends.len() > ahead {
            now = now.max(ends.pop_front().unwrap());
        }
        now += OPEN;
        let standing = Standing::new();
        let (mut ready, mut finish) = (0, now);
        for _ in 0..length {
            now += SUBMIT;
            pass(&world, now);
            let at = || start + Duration::from_nanos(now);
            let (part, _) = parts.part(number, all, limit, at);
            let plan = scheduler.plan(part, ready, DECODE);
            ready = plan.finish;
            let engine = plan.engine.instance() as usize;
            let mut lines = world.borrow_mut();
            let line = &mut lines[engine];
            // It begins when the engine is free and the picture before is done.
            finish = finish.max(line.free).max(now) + DECODE;
            line.free = finish;
            line.finishes.push_back(finish);
            line.given += 1;
            let point = Reckoned { engine, value: line.given, world: world.clone() };
            drop(lines);
            scheduler.submitted(plan, &point);
            if !standing.submitted(&point) {
                parts.begin(number, all, plan.engine, &standing, at);
            }
        }
        parts.leave(number, || start + Duration::from_nanos(now));
        ends.push_back(finish);
    }
    let end = ends.into_iter().max().unwrap();
    (lengths.iter().sum::<u64>() * DECODE) as f64 / (end * ENGINES as u64) as f64
}

#[test]
fn one_thread_keeps_engines_busy_with_clips() {
    // Between 8 and 130 pictures, as clips have whose key pictures are far apart, in no order.
    let lengths: Vec<u64> = (0..400u64).map(|clip| 8 + clip * 7919 % 123).collect();
    // With memory for one engine a session, or for all.
    for limit in [1, ENGINES] {
        for (ahead, least) in [(0, 0.13), (1, 0.2), (3, 0.4), (7, 0.65), (15, 0.95), (31, 0.95), (63, 0.95)] {
            let busy = one_thread(&lengths, ahead, limit);
            assert!(busy > least, "{ahead} ahead, {limit} engines: {busy}");
        }
    }
}
