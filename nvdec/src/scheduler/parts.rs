//! [`Parts`]: which engines each session has that has pictures in flight.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hcq::{EngineType, SyncPoint};

use crate::engines::EngineSet;
use crate::uses::{Latest, Point};

/// For so long, sessions that are gone count as if they would come back. A thread that decodes one clip after the other opens a file
/// between two of them; if its engines were given away for that time, pictures of others would stand in its way, which wait for
/// engines that they came from.
const LATELY: Duration = Duration::from_millis(50);

/// How many there were at a time, lately.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lately {
    most: usize,
    /// When there were so many for the last time.
    at: Option<Instant>,
}

impl Lately {
    /// Takes note of `count`, before and after it changes.
    pub(super) fn note(&mut self, count: usize, now: Instant) {
        let is_over = self.at.is_none_or(|at| now.saturating_duration_since(at) > LATELY);
        if count >= self.most || is_over {
            *self = Lately { most: count, at: Some(now) };
        }
    }

    /// The most, now that there are `count`.
    pub(super) fn most(&mut self, count: usize, now: impl FnOnce() -> Instant) -> usize {
        if count != self.most {
            self.note(count, now());
        }
        self.most
    }
}

/// The sessions that have pictures in flight, and their engines.
///
/// A picture that waits for a reference on another engine keeps all that stands behind it there waiting, the pictures of other
/// sessions too: seven streams that all use all engines were not two thirds as fast on an H200 as seven with one each. So each session
/// has engines of its own as long as there are enough. It keeps them when others come and go, but for those that newcomers are due:
/// whenever a session moves, its pictures wait on engines that others use as well. With parts that moved, eight threads that each
/// decoded short clips were slower than two.
#[derive(Debug)]
pub(super) struct Parts<P = SyncPoint> {
    sessions: Vec<Busy<P>>,
    lately: Lately,
    /// How often something of it changed.
    changes: u64,
}

#[derive(Debug)]
struct Busy<P> {
    number: u64,
    /// What it may use, and what it has.
    allowed: EngineSet,
    part: EngineSet,
    /// Whether it will submit nothing more.
    is_gone: bool,
    standing: Arc<Standing<P>>,
}

/// What a session says of itself without asking for the lock of all.
#[derive(Debug)]
pub(super) struct Standing<P = SyncPoint> {
    /// When its last picture is done: one point, if there was a picture.
    last: Mutex<Latest<P>>,
    /// Whether it is among those that have pictures in flight.
    is_in: AtomicBool,
}

impl<P: Point> Standing<P> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Standing { last: Mutex::default(), is_in: AtomicBool::new(false) })
    }

    /// A picture is in flight until `last`. Whether the session is known to have some.
    pub(super) fn submitted(&self, last: &P) -> bool {
        let mut known = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        known.clear();
        known.add(last);
        self.is_in.load(Ordering::Relaxed)
    }

    fn is_done(&self) -> bool {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).as_slice().iter().all(P::is_reached)
    }
}

/// How many of `allowed` a session may have where that many sessions share the engines: as many as each, and one more if there are
/// engines left over and not as many of the others have one more.
fn most(allowed: EngineSet, sessions: usize, others: impl Iterator<Item = EngineSet>) -> usize {
    let each = (allowed.len() / sessions).max(1);
    let extras = others.filter(|part| part.len() > each).count();
    each + usize::from(sessions <= allowed.len() && extras < allowed.len() % sessions)
}

/// Whether the one with `part` gives engines to the one with `to`.
fn is_richer(part: EngineSet, to: EngineSet) -> bool {
    part.len() > to.len() + 1
}

impl<P: Point> Parts<P> {
    pub(super) fn new() -> Self {
        Parts { sessions: Vec::new(), lately: Lately::default(), changes: 0 }
    }

    /// A number that is another one whenever some part is, or may be.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Whether time alone changes nothing.
    pub(super) fn is_settled(&self) -> bool {
        self.lately.most == self.sessions.len()
    }

    /// Whether there are some that are gone.
    pub(super) fn has_gone(&self) -> bool {
        self.sessions.iter().any(|busy| busy.is_gone)
    }

    /// How many sessions there are.
    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// How many there were at a time, lately.
    pub(super) fn lately(&mut self, now: impl FnOnce() -> Instant) -> usize {
        self.lately.most(self.sessions.len(), now)
    }

    /// The engines of session `number`, which may use `allowed`, `limit` at a time; and by how many sessions all are shared. Of one that
    /// has nothing in flight, those that it would have; where there are none left for it alone, all those that it may choose one of.
    pub(super) fn part(
        &mut self,
        number: u64,
        allowed: EngineSet,
        limit: usize,
        now: impl FnOnce() -> Instant,
    ) -> (EngineSet, usize) {
        let Some(at) = self.position(number) else {
            self.sweep(Some(number));
            let count = self.len() + 1;
            let sessions = self.lately(now).max(count);
            let mut parts: Vec<EngineSet> = self.sessions.iter().map(|busy| busy.part).collect();
            let own = self.due(&mut parts, EngineSet::default(), allowed, sessions);
            let part = if own.is_empty() { self.choice(&parts, allowed) } else { own.first(limit) };
            return (part, count);
        };
        let (count, sessions) = (self.len(), self.lately(now));
        let mine = self.sessions[at].part;
        let others = || self.sessions.iter().filter(|busy| busy.number != number).map(|busy| busy.part);
        let taken = others().fold(EngineSet::default(), EngineSet::union);
        let is_content = mine.len() >= most(allowed, sessions, others()) && !mine.meets(taken);
        let would_gain = !is_content && !allowed.minus(taken.union(mine)).is_empty();
        // One that shares its only engine is as poor as one that has none.
        let counted = if mine.len() == 1 { mine.minus(taken) } else { mine };
        if would_gain || others().any(|part| is_richer(part, counted) && part.meets(allowed)) {
            self.take(at, sessions);
        }
        (self.sessions[at].part.first(limit), count)
    }

    /// Session `number` has pictures in flight, the first one on `engine`.
    pub(super) fn begin(
        &mut self,
        number: u64,
        allowed: EngineSet,
        engine: EngineType,
        standing: &Arc<Standing<P>>,
        now: impl FnOnce() -> Instant,
    ) {
        if self.position(number).is_some() {
            return;
        }
        let now = now();
        self.lately.note(self.len(), now);
        self.sweep(Some(number));
        standing.is_in.store(true, Ordering::Relaxed);
        let (part, standing) = (EngineSet::default(), standing.clone());
        self.sessions.push(Busy { number, allowed, part, is_gone: false, standing });
        self.lately.note(self.len(), now);
        let sessions = self.lately(|| now);
        let at = self.len() - 1;
        self.take(at, sessions);
        let part = &mut self.sessions[at].part;
        // Of those that it may choose from, the one that it chose; another one may have begun since.
        if sessions > allowed.len() {
            let chosen = EngineSet::default().with(engine);
            *part = if part.meets(chosen) { chosen } else { part.first(1) };
        }
    }

    /// Session `number` has nothing in flight.
    pub(super) fn end(&mut self, number: u64, now: impl FnOnce() -> Instant) {
        if let Some(at) = self.position(number) {
            self.lately.note(self.len(), now());
            self.sessions.remove(at).standing.is_in.store(false, Ordering::Relaxed);
            self.changes += 1;
        }
    }

    /// Session `number` is gone. What it has in flight goes on, on the engines that it has until then.
    pub(super) fn leave(&mut self, number: u64, now: impl FnOnce() -> Instant) {
        let Some(at) = self.position(number) else { return };
        if self.sessions[at].standing.is_done() {
            self.end(number, now);
        } else {
            self.sessions[at].is_gone = true;
            self.changes += 1;
        }
    }

    fn position(&self, number: u64) -> Option<usize> {
        self.sessions.iter().position(|busy| busy.number == number)
    }

    /// Forgets sessions that have nothing in flight, but for one. One that nobody asks for anything, or that is gone, does not say when
    /// it is done.
    pub(super) fn sweep(&mut self, but: Option<u64>) {
        let before = self.len();
        self.sessions.retain(|busy| {
            let stays = but == Some(busy.number) || !busy.standing.is_done();
            if !stays {
                busy.standing.is_in.store(false, Ordering::Relaxed);
            }
            stays
        });
        self.changes += u64::from(self.len() != before);
    }

    /// Gives the session at `at` what it is due, of as many sessions as that.
    fn take(&mut self, at: usize, sessions: usize) {
        let Busy { allowed, part, .. } = self.sessions[at];
        let mut parts: Vec<EngineSet> = self.sessions.iter().map(|busy| busy.part).collect();
        // Its own engines are nobody else's.
        parts[at] = EngineSet::default();
        let own = self.due(&mut parts, part, allowed, sessions);
        parts[at] = if own.is_empty() { self.choice(&parts, allowed) } else { own };
        self.sessions.iter_mut().zip(parts).for_each(|(busy, part)| busy.part = part);
        self.changes += 1;
    }

    /// What a session is due that has `part` of `allowed`, where `parts` are those of all sessions; what others have to do without
    /// is taken out of these. Nothing, if all of them have one each.
    fn due(
        &self,
        parts: &mut [EngineSet],
        mut part: EngineSet,
        allowed: EngineSet,
        sessions: usize,
    ) -> EngineSet {
        let due = most(allowed, sessions, parts.iter().copied());
        let taken = parts.iter().copied().fold(EngineSet::default(), EngineSet::union);
        let free = allowed.minus(taken);
        // One that it has alone is better than one that it shares.
        let none = EngineSet::default();
        let has_rich = || parts.iter().any(|other| is_richer(*other, none) && other.meets(allowed));
        if part.len() == 1 && part.meets(taken) && (!free.is_empty() || has_rich()) {
            part = none;
        }
        part = part.union(free.minus(part).first(due.saturating_sub(part.len())));
        // What others have too much.
        loop {
            let rich = parts.iter_mut().filter(|other| is_richer(**other, part) && other.meets(allowed));
            let Some(other) = rich.max_by_key(|other| other.len()) else { break };
            let engine = other.iter().filter(|&engine| allowed.contains(engine)).last();
            let engine: EngineSet = engine.into_iter().collect();
            *other = other.minus(engine);
            part = part.union(engine);
        }
        part
    }

    /// The engines of which a session may choose one that it shares: where it is one of the fewest. Those that are gone will be in
    /// nobody's way for long.
    fn choice(&self, parts: &[EngineSet], allowed: EngineSet) -> EngineSet {
        let live =
            || parts.iter().zip(&self.sessions).filter(|(_, busy)| !busy.is_gone).map(|(part, _)| part);
        let users = |engine| live().filter(|part| part.contains(engine)).count();
        let fewest = allowed.iter().map(users).min();
        allowed.iter().filter(|&engine| Some(users(engine)) == fewest).collect()
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
