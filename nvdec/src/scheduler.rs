//! Which engine decodes a picture.
//!
//! Pictures are dispatched in decoding order, each to the engine that is expected to finish it first: list
//! scheduling. What a picture has to wait for is not decided here but by the memory that it touches
//! ([`Uses`](crate::uses)), and engines wait for each other on the GPU; so an estimate that is wrong costs speed and
//! never correctness.
//!
//! Time is virtual, in cycles of the engines' clock. It is not tied to the host's: it moves on when pictures turn out to
//! be done, so that neither the clock's frequency nor a host that falls behind matters.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hcq::{EngineType, SyncPoint};

use crate::engines::EngineSet;
use crate::uses::Point;

pub(crate) mod cost;
mod parts;
pub(crate) mod share;

use cost::Time;

/// How long the host is busy with an engine that was never used, since its channel has to be opened first: 2.7 ms on an
/// H200 at 1,545 MHz, as long as four pictures of 1080p. So a stream with little to do beside the present picture stays
/// where it is.
const OPENING: Time = 4_200_000;

/// A picture's place in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Who decodes it.
    pub(crate) engine: EngineType,
    /// When it is expected to be done.
    pub(crate) finish: Time,
    cost: Time,
}

/// What the engines of a GPU have to do, as far as this process gave it to them.
#[derive(Debug)]
pub(crate) struct Scheduler<P = SyncPoint> {
    state: Mutex<State<P>>,
}

#[derive(Debug)]
struct State<P> {
    now: Time,
    /// When the host will have opened the engines that were used so far.
    opened: Time,
    /// In ascending order.
    engines: Vec<Engine<P>>,
}

#[derive(Debug)]
struct Engine<P> {
    engine: EngineType,
    /// The set with nothing but the engine in it.
    set: EngineSet,
    used: bool,
    /// When all that was given to it is expected to be done.
    free: Time,
    /// Cycles of the pictures that are not done.
    remaining: Time,
    inflight: Vec<Line<P>>,
}

/// What an engine has to do on one timeline.
#[derive(Debug)]
struct Line<P> {
    /// Some point of the timeline.
    point: P,
    /// In order of submission.
    works: VecDeque<Work>,
}

#[derive(Debug)]
struct Work {
    /// Of the point that completes it.
    value: u64,
    cost: Time,
    finish: Time,
}

/// What an engine has to do at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineLoad {
    /// Pictures given to the engine by this process that it has not finished.
    pub pictures: usize,
    /// Cycles that they are expected to take.
    pub cycles: u64,
}

impl<P: Point> Scheduler<P> {
    pub(crate) fn new(engines: impl IntoIterator<Item = EngineType>) -> Self {
        let engines: BTreeSet<EngineType> = engines.into_iter().collect();
        let engines = engines.into_iter().map(Engine::new).collect();
        Scheduler { state: Mutex::new(State { now: 0, opened: 0, engines }) }
    }

    fn lock(&self) -> MutexGuard<'_, State<P>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Plans a picture on one of `engines` that may start at `ready` and takes `cost`.
    pub(crate) fn plan(&self, engines: EngineSet, ready: Time, cost: Time) -> Plan {
        let mut state = self.lock();
        state.look();
        let now = state.now;
        let opening = state.opened.max(now) + OPENING;
        let best = state
            .allowed(engines)
            .map(|e| {
                let free = e.expected_free(now);
                let start = ready.max(if e.used { free } else { opening });
                // Of those that finish at the same time, the one that idles the least before.
                (start + cost, start - free, e.engine)
            })
            .min();
        let (finish, _, engine) = best.expect("a session has an engine");
        let chosen = state.engine(engine).expect("just found");
        chosen.free = finish;
        if !std::mem::replace(&mut chosen.used, true) {
            state.opened = opening;
        }
        Plan { engine, finish, cost }
    }

    /// Notes that `engine` need not be opened any more.
    pub(crate) fn opened(&self, engine: EngineType) {
        if let Some(engine) = self.lock().engine(engine) {
            engine.used = true;
        }
    }

    /// The planned picture was submitted and will be done at `point`.
    pub(crate) fn submitted(&self, plan: Plan, point: &P) {
        let mut state = self.lock();
        let Some(engine) = state.engine(plan.engine) else { return };
        engine.remaining += plan.cost;
        let work = Work { value: point.value(), cost: plan.cost, finish: plan.finish };
        match engine.inflight.iter_mut().find(|line| line.point.shares_timeline(point)) {
            Some(line) => line.works.push_back(work),
            None => engine.inflight.push(Line { point: point.clone(), works: VecDeque::from([work]) }),
        }
    }

    /// When the first of `engines` is expected to be free, by what was known when a picture was planned last.
    pub(crate) fn earliest(&self, engines: EngineSet) -> Time {
        let state = self.lock();
        let now = state.now;
        state.allowed(engines).map(|e| e.expected_free(now)).min().unwrap_or(0)
    }

    /// Whether one of `engines` has fewer than `depth` pictures to do.
    pub(crate) fn is_idle(&self, engines: EngineSet, depth: usize) -> bool {
        let mut state = self.lock();
        state.look();
        state.allowed(engines).any(|e| e.pictures() < depth)
    }

    /// What each engine has to do.
    pub(crate) fn load(&self) -> BTreeMap<EngineType, EngineLoad> {
        let mut state = self.lock();
        state.look();
        let load = |e: &Engine<P>| EngineLoad { pictures: e.pictures(), cycles: e.remaining };
        state.engines.iter().map(|e| (e.engine, load(e))).collect()
    }
}

impl<P> State<P> {
    fn engine(&mut self, engine: EngineType) -> Option<&mut Engine<P>> {
        self.engines.iter_mut().find(|e| e.engine == engine)
    }

    fn allowed(&self, engines: EngineSet) -> impl Iterator<Item = &Engine<P>> {
        self.engines.iter().filter(move |e| e.set.meets(engines))
    }
}

impl<P: Point> State<P> {
    /// Takes notice of what is done.
    fn look(&mut self) {
        for engine in &mut self.engines {
            let mut emptied = false;
            for Line { point, works } in &mut engine.inflight {
                let reached = point.reached();
                while let Some(work) = works.pop_front_if(|work| work.value <= reached) {
                    engine.remaining -= work.cost;
                    self.now = self.now.max(work.finish);
                }
                emptied |= works.is_empty();
            }
            if emptied {
                engine.inflight.retain(|line| !line.works.is_empty());
            }
        }
    }
}

impl<P> Engine<P> {
    fn new(engine: EngineType) -> Self {
        let set = EngineSet::default().with(engine);
        Engine { engine, set, used: false, free: 0, remaining: 0, inflight: Vec::new() }
    }

    /// How many it has to do.
    fn pictures(&self) -> usize {
        self.inflight.iter().map(|line| line.works.len()).sum()
    }

    /// When the engine is expected to be free: as planned, or later if it is behind the plan.
    fn expected_free(&self, now: Time) -> Time {
        self.free.max(now + self.remaining)
    }
}

#[cfg(test)]
mod tests;
