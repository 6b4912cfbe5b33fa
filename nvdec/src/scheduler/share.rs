//! [`Share`]: how the sessions of a context divide the engines.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hcq::EngineType;

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
    alive: AtomicUsize,
    /// Those with pictures in flight, in the order in which they began to have some.
    busy: Mutex<Vec<u64>>,
    /// How many these are, for those who ask for each picture.
    busy_count: AtomicUsize,
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

/// A session's part in it.
#[derive(Debug)]
pub(crate) struct Member {
    share: Arc<Share>,
    number: u64,
}

impl Member {
    /// The session begins to have pictures in flight, or ceases to.
    pub(crate) fn set_busy(&self, busy: bool) {
        self.share.set_busy(self.number, busy);
    }

    /// Those of `engines` that the session uses, and by how many sessions all are shared.
    pub(crate) fn part(&self, engines: EngineSet) -> (EngineSet, usize) {
        self.share.part(self.number, engines)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.share.set_busy(self.number, false);
        self.share.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Share {
    /// For sessions on `engines`, one at least.
    pub(crate) fn new(engines: Vec<EngineType>) -> Arc<Share> {
        Arc::new(Share {
            engines,
            stays: Mutex::default(),
            sessions: AtomicU64::new(0),
            alive: AtomicUsize::new(0),
            busy: Mutex::default(),
            busy_count: AtomicUsize::new(0),
        })
    }

    /// The engines, in ascending order.
    pub(crate) fn engines(&self) -> &[EngineType] {
        &self.engines
    }

    fn stays(&self) -> MutexGuard<'_, BTreeMap<EngineType, usize>> {
        self.stays.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn busy(&self) -> MutexGuard<'_, Vec<u64>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a session take part for as long as the value lives.
    pub(crate) fn join(self: &Arc<Self>) -> Member {
        self.alive.fetch_add(1, Ordering::Relaxed);
        Member { share: self.clone(), number: self.sessions.fetch_add(1, Ordering::Relaxed) }
    }

    /// How many of `engines` a session has when all sessions that are there have pictures in flight; at most, if the
    /// parts are not equal. What a session takes memory for, so that many of them take no more than they use.
    pub(crate) fn part_size(&self, engines: EngineSet) -> usize {
        engines.len().div_ceil(self.alive.load(Ordering::Relaxed).max(1)).max(1)
    }

    /// Session `number` begins to have pictures in flight, or ceases to.
    fn set_busy(&self, number: u64, busy: bool) {
        let mut sessions = self.busy();
        sessions.retain(|&known| known != number);
        if busy {
            sessions.push(number);
        }
        self.busy_count.store(sessions.len(), Ordering::Relaxed);
    }

    /// Whether more sessions have pictures in flight than there are engines.
    pub(crate) fn is_crowded(&self) -> bool {
        self.busy_count.load(Ordering::Relaxed) > self.engines.len()
    }

    /// Those of `engines` that session `number` uses, and by how many sessions all are shared: its part of them, of as
    /// many as there are sessions with pictures in flight. A picture that waits for a reference on another engine keeps
    /// all that stands behind it there waiting, the pictures of other sessions too: seven streams that all use all
    /// engines were not two thirds as fast on an H200 as seven with one each.
    fn part(&self, number: u64, engines: EngineSet) -> (EngineSet, usize) {
        let sessions = self.busy();
        let rank = sessions.iter().position(|&known| known == number);
        let (rank, count) = rank.map_or((sessions.len(), sessions.len() + 1), |rank| (rank, sessions.len()));
        drop(sessions);
        (engines.part(rank, count), count)
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
