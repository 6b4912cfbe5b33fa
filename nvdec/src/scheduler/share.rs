//! [`Share`]: how the sessions of a context divide the engines.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use hcq::{EngineType, SyncPoint};

use super::parts::{Lately, Parts, Standing};
use crate::engines::EngineSet;
use crate::scheduler::EngineLoad;

/// The sessions of a context: how many there are, which of them have pictures in flight, which chose an engine.
#[derive(Debug)]
pub(crate) struct Share {
    engines: Vec<EngineType>,
    /// Sessions that chose a single engine, by engine.
    stays: Mutex<BTreeMap<EngineType, usize>>,
    /// Sessions made so far.
    sessions: AtomicU64,
    /// Those of them that are there.
    alive: Mutex<Alive>,
    /// Those with pictures in flight.
    parts: Mutex<Parts>,
    /// How many these are, for those who ask for each picture.
    busy: AtomicUsize,
    /// What [`Parts::changes`] says, likewise, and whether time alone changes no part.
    changes: AtomicU64,
    is_settled: AtomicBool,
    /// By how many the memory is divided, likewise, and whether that is to be looked at again: there are fewer than lately.
    divisor: AtomicUsize,
    is_fading: AtomicBool,
}

#[derive(Debug, Default)]
struct Alive {
    count: usize,
    lately: Lately,
}

/// A session's stay on the engine that it chose.
#[derive(Debug)]
pub(crate) struct EngineStay {
    share: Arc<Share>,
    engine: EngineType,
}

impl Drop for EngineStay {
    fn drop(&mut self) {
        if let Some(count) = self.share.stays().get_mut(&self.engine) {
            *count -= 1;
        }
    }
}

/// After so many questions for its part a session looks who has nothing in flight any more and did not say so.
const SWEEP: u32 = 32;
/// After so many for the size of its part it looks whether that is another one, where time may have changed it.
const LOOK: u32 = 16;

/// A session's part in it.
#[derive(Debug)]
pub(crate) struct Member {
    share: Arc<Share>,
    number: u64,
    standing: Arc<Standing>,
    /// What it was told last.
    told: Told,
    /// How often it asked how large its part is. Only its session counts.
    sizes: AtomicU32,
}

/// What a session was told of its part.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    engines: EngineSet,
    limit: usize,
    part: EngineSet,
    sessions: usize,
    /// The number of [`Parts::changes`] then, from 1.
    changes: u64,
    questions: u32,
}

impl Member {
    /// A picture on `engine`, one of `engines`, is in flight until `last`.
    pub(crate) fn submitted(&self, engines: EngineSet, engine: EngineType, last: &SyncPoint) {
        if !self.standing.submitted(last) {
            let begin =
                |parts: &mut Parts| parts.begin(self.number, engines, engine, &self.standing, Instant::now);
            self.share.change_parts(begin);
        }
    }

    /// Nothing of the session is in flight any more.
    pub(crate) fn ended(&self) {
        self.share.change_parts(|parts| parts.end(self.number, Instant::now));
    }

    /// How many of `engines` a session has when all sessions that are there have pictures in flight, and those that are gone and
    /// still have some; at most, if the parts are not equal. What a session takes memory for, so that many of them take no more
    /// than they use.
    pub(crate) fn part_size(&self, engines: EngineSet) -> usize {
        let asked = self.sizes.load(Ordering::Relaxed);
        self.sizes.store(asked.wrapping_add(1), Ordering::Relaxed);
        let looks = asked.is_multiple_of(LOOK);
        let divisor = match looks && self.share.is_fading.load(Ordering::Relaxed) {
            true => self.share.divide(),
            false => self.share.divisor.load(Ordering::Relaxed),
        };
        engines.len().div_ceil(divisor).max(1)
    }

    /// Those of `engines` that the session uses, `limit` at a time, and by how many sessions all are shared. Before its first picture it
    /// may be more: those that it may choose one of.
    pub(crate) fn part(&mut self, engines: EngineSet, limit: usize) -> (EngineSet, usize) {
        // It is asked several times for each picture, by all sessions at the same time.
        let told = &mut self.told;
        told.questions += 1;
        let is_known = self.share.is_settled.load(Ordering::Relaxed)
            && told.changes == self.share.changes.load(Ordering::Relaxed) + 1
            && (told.engines, told.limit) == (engines, limit)
            && told.questions < SWEEP;
        if !is_known {
            let sweeps = told.questions >= SWEEP;
            *told = self.share.change_parts(|parts| {
                if sweeps && parts.len() > 1 {
                    parts.sweep(Some(self.number));
                }
                let (part, sessions) = parts.part(self.number, engines, limit, Instant::now);
                let questions = if sweeps { 0 } else { told.questions };
                Told { engines, limit, part, sessions, changes: parts.changes() + 1, questions }
            });
        }
        (told.part, told.sessions)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.share.change_parts(|parts| parts.leave(self.number, Instant::now));
        self.share.change_alive(|count| count - 1);
    }
}

impl Share {
    /// For sessions on `engines`, one at least.
    pub(crate) fn new(engines: Vec<EngineType>) -> Arc<Share> {
        Arc::new(Share {
            engines,
            stays: Mutex::default(),
            sessions: AtomicU64::new(0),
            alive: Mutex::default(),
            parts: Mutex::new(Parts::new()),
            busy: AtomicUsize::new(0),
            changes: AtomicU64::new(0),
            is_settled: AtomicBool::new(false),
            divisor: AtomicUsize::new(1),
            is_fading: AtomicBool::new(false),
        })
    }

    /// The engines, in ascending order.
    pub(crate) fn engines(&self) -> &[EngineType] {
        &self.engines
    }

    fn stays(&self) -> MutexGuard<'_, BTreeMap<EngineType, usize>> {
        self.stays.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alive(&self) -> MutexGuard<'_, Alive> {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a session take part for as long as the value lives.
    pub(crate) fn join(self: &Arc<Self>) -> Member {
        self.change_alive(|count| count + 1);
        let number = self.sessions.fetch_add(1, Ordering::Relaxed);
        Member {
            share: self.clone(),
            number,
            standing: Standing::new(),
            told: Told::default(),
            sizes: AtomicU32::new(0),
        }
    }

    fn change_alive(&self, change: impl FnOnce(usize) -> usize) {
        let now = Instant::now();
        let mut alive = self.alive();
        let (before, after) = (alive.count, change(alive.count));
        alive.count = after;
        alive.lately.note(before, now);
        alive.lately.note(after, now);
        drop(alive);
        self.divide();
    }

    fn change_parts<T>(&self, change: impl FnOnce(&mut Parts) -> T) -> T {
        let mut parts = self.parts();
        let before = parts.len();
        let outcome = change(&mut parts);
        let after = parts.len();
        self.tell(&parts);
        drop(parts);
        if before != after {
            self.divide();
        }
        outcome
    }

    /// Stores what is asked for without the lock. With the lock, as all that is stored below: else the older of two numbers could be
    /// the one that stays.
    fn tell(&self, parts: &Parts) {
        self.busy.store(parts.len(), Ordering::Relaxed);
        self.changes.store(parts.changes(), Ordering::Relaxed);
        self.is_settled.store(parts.is_settled(), Ordering::Relaxed);
    }

    /// Finds out by how many the memory is divided.
    fn divide(&self) -> usize {
        let now = Instant::now();
        let mut alive = self.alive();
        let count = alive.count;
        let most = alive.lately.most(count, || now);
        let mut parts = self.parts();
        parts.sweep(None);
        let (busy, most_busy) = (parts.len(), parts.lately(|| now));
        self.tell(&parts);
        let divisor = most.max(most_busy).max(1);
        self.is_fading.store(divisor > count.max(busy) || parts.has_gone(), Ordering::Relaxed);
        self.divisor.store(divisor, Ordering::Relaxed);
        divisor
    }

    /// Whether pictures of other sessions are, or will be, where those of a session are that may use so many `engines`: for one
    /// engine, if more sessions have pictures in flight than there are engines; for several, if there are other sessions,
    /// or were lately.
    pub(crate) fn is_crowded(&self, engines: usize) -> bool {
        match engines {
            1 => self.busy.load(Ordering::Relaxed) > self.engines.len(),
            _ => self.divisor.load(Ordering::Relaxed) > 1,
        }
    }

    /// The engine with the least to do for this process, for as long as the second value lives.
    pub(crate) fn settle(
        self: &Arc<Self>,
        load: &BTreeMap<EngineType, EngineLoad>,
    ) -> (EngineType, EngineStay) {
        let mut stays = self.stays();
        let sessions = |engine: &EngineType| stays.get(engine).copied().unwrap_or(0);
        let best = self.engines.iter().min_by_key(|e| (sessions(e), load.get(e).map_or(0, |l| l.cycles)));
        let engine = *best.expect("a context has at least one engine");
        *stays.entry(engine).or_insert(0) += 1;
        (engine, EngineStay { share: self.clone(), engine })
    }
}
