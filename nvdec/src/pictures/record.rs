//! [`PictureRecord`]: what is known of a picture that was submitted: which one it is, when it is done, how it went.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrayvec::ArrayVec;
use hcq::{DeviceBuffer, EngineKind, LINE, SyncPoint};

use super::integrity::{Integrity, Origin, Refresh};
use crate::channels::is_lost;
use crate::memory::motion::{MAX_COLLOCATED, PLACES};
use crate::pictures::info::Shows;
use crate::status::{self, DecodeStatus, PictureFault};

/// What is known of a picture before it is submitted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    /// Position in decoding order.
    pub(crate) number: u64,
    pub(crate) poc: i32,
    /// 16x16 blocks that the engine counts in it.
    pub(crate) blocks: u32,
    /// Bytes of slice data.
    pub(crate) bytes: u64,
}

/// What is known of one picture: who it is, when it is done, how it went.
#[derive(Debug)]
pub struct PictureRecord {
    /// Position in decoding order.
    pub number: u64,
    /// Picture order count.
    pub poc: i32,
    /// What is said of it when it is shown.
    pub(crate) shows: Shows,
    blocks: u32,
    memory: DeviceBuffer,
    point: SyncPoint,
    /// Whether it is known to be exact, and its motion vectors as well.
    is_exact: AtomicBool,
    state: Mutex<State>,
}

/// What became of a picture, as far as was looked.
#[derive(Debug)]
enum State {
    Open(Prospects),
    Settled {
        outcome: Outcome,
        /// See [`PictureRecord::is_covered`].
        is_covered: bool,
        /// See [`Judgement::unsuspected`].
        unsuspected: Option<Origin>,
    },
}

/// The engine's status, and what follows from it and from the pictures before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// What the engine says.
    pub status: DecodeStatus,
    /// How far the picture is what its encoder made.
    pub integrity: Integrity,
}

impl Outcome {
    /// What is wrong with the picture itself, or with one that goes back to a picture that was lost with its channel,
    /// since its samples may be anything.
    pub fn fault(&self) -> Option<PictureFault> {
        match self.integrity {
            Integrity::Damaged { cause } => Some(cause),
            Integrity::Tainted { by } if by.cause.is_loss() => Some(PictureFault::ReferenceLost),
            _ => None,
        }
    }
}

/// What bears on the integrity of a picture before it is decoded. References are counted in here, which takes instructions
/// that wait for all stores before them: so this is made before the picture is submitted.
#[derive(Debug, Default)]
pub(crate) struct Prospects {
    /// What is known to be wrong with it.
    flaw: Option<PictureFault>,
    refresh: Refresh,
    /// The pictures that it is predicted from, less those that are known to be exact.
    predicted_from: ArrayVec<Arc<PictureRecord>, PLACES>,
    /// Copies that clear memory for it, and move motion vectors.
    copies: Vec<SyncPoint>,
    /// What is to be thought of, if what it refers to is doubtful: few pictures have it.
    doubts: Option<Box<Doubts>>,
}

/// What is to be thought of where references of a picture are doubtful. A picture's samples may be right, by its hash or by chance, and
/// its motion vectors not.
#[derive(Debug, Default)]
pub(crate) struct Doubts {
    /// Whether there were some when the picture was submitted.
    pub(crate) is_suspected: bool,
    /// Where it goes back to if it took motion vectors that are known to be doubtful.
    pub(crate) moved_by: Option<Origin>,
    /// Pictures that it took motion vectors from which are right if nothing is wrong with them but what was known.
    pub(crate) movers: ArrayVec<Mover, MAX_COLLOCATED>,
    /// What there is to be said for it.
    pub(crate) defence: Option<Box<dyn Defence>>,
}

/// A doubtful picture that motion vectors are taken from.
#[derive(Clone, Debug)]
pub(crate) struct Mover {
    pub(crate) record: Arc<PictureRecord>,
    /// Where it goes back to.
    pub(crate) origin: Origin,
}

/// What may show that a picture is right although it refers to some that are not.
pub(crate) trait Defence: fmt::Debug + Send {
    /// Whether it is for what is wrong with `reference`; `None` stands for what is missing.
    fn covers(&self, reference: Option<&PictureRecord>) -> bool;

    /// Whether it does show that, for pictures that are done. `is_covered`: it is for all that is wrong. May wait.
    fn holds(&self, is_covered: bool) -> bool;

    /// Whether it shows the opposite, of a picture that nothing else is wrong with. May wait.
    fn contradicts(&self) -> bool;
}

/// What prospects come to.
struct Judgement {
    integrity: Integrity,
    /// Whether the defence, if there is one, is for all that may be wrong.
    is_covered: bool,
    /// Where a picture goes back to that is exact by its hash alone, while nobody knew of a doubt when it was submitted. Its motion vectors
    /// may be wrong then, and those that take them were submitted as if they could not: they have to show that they are right themselves.
    unsuspected: Option<Origin>,
}

impl Judgement {
    fn damaged(cause: PictureFault) -> Judgement {
        Judgement { integrity: Integrity::Damaged { cause }, is_covered: false, unsuspected: None }
    }
}

impl Prospects {
    /// Those of a picture with a `flaw`, predicted from `references`, that waits for `waits`.
    pub(crate) fn new<'a>(
        flaw: Option<PictureFault>,
        refresh: Refresh,
        doubts: Option<Box<Doubts>>,
        references: impl Iterator<Item = &'a Arc<PictureRecord>>,
        waits: &[SyncPoint],
    ) -> Prospects {
        let copies = waits.iter().filter(|wait| wait.timeline().engine().kind() == EngineKind::Copy);
        Prospects {
            flaw,
            refresh,
            predicted_from: references
                .filter(|record| !record.is_exact.load(Ordering::Acquire))
                .take(PLACES)
                .cloned()
                .collect(),
            copies: copies.cloned().collect(),
            doubts,
        }
    }

    /// What they come to, once the engine is done with the picture and `verdict` is what it says.
    fn judge(&self, verdict: Result<(), PictureFault>) -> Judgement {
        if let Err(cause) = verdict {
            return Judgement::damaged(cause);
        }
        if self.copies.iter().any(is_lost) {
            return Judgement::damaged(PictureFault::ReferenceLost);
        }
        // A loss stays one: what lies there may be another's.
        let counts = |origin: &Origin| origin.number >= self.refresh.clean_since || origin.cause.is_loss();
        let doubts = self.doubts.as_deref();
        let mut by = doubts.and_then(|doubts| doubts.moved_by).filter(counts);
        for Mover { record, origin } in doubts.iter().flat_map(|doubts| &doubts.movers) {
            if counts(origin) && !record.is_covered() {
                by = Origin::first(by, *origin);
            }
        }
        let defence = doubts.and_then(|doubts| doubts.defence.as_ref());
        let covers = |reference| defence.is_some_and(|defence| defence.covers(reference));
        let mut is_covered = by.is_none() && (self.flaw.is_none() || covers(None));
        for reference in &self.predicted_from {
            if let Some(origin) = reference.origin().filter(counts) {
                is_covered &= covers(Some(reference));
                by = Origin::first(by, origin);
            }
        }
        let is_doubtful = self.flaw.is_some() || by.is_some();
        let is_right = is_doubtful && defence.is_some_and(|defence| defence.holds(is_covered));
        let is_mistaken =
            || (!is_doubtful || is_right) && defence.is_some_and(|defence| defence.contradicts());
        let integrity = match (self.flaw, by, self.refresh.recovering_until) {
            (Some(cause), ..) if !is_right => Integrity::Damaged { cause },
            (_, Some(by), _) if !is_right => Integrity::Tainted { by },
            (.., Some(until)) => Integrity::Recovering { until },
            _ if is_mistaken() => return Judgement::damaged(PictureFault::HashMismatch),
            _ => Integrity::Exact,
        };
        let is_suspected = doubts.is_some_and(|doubts| doubts.is_suspected);
        Judgement { integrity, is_covered, unsuspected: by.filter(|_| is_right && !is_suspected) }
    }
}

impl PictureRecord {
    /// The record of a picture that is done at `point` and leaves its status in `memory`.
    pub(crate) fn new(
        picture: &Identity,
        shows: Shows,
        memory: DeviceBuffer,
        point: SyncPoint,
        prospects: Prospects,
    ) -> Arc<PictureRecord> {
        Arc::new(PictureRecord {
            number: picture.number,
            poc: picture.poc,
            shows,
            blocks: picture.blocks,
            memory,
            point,
            is_exact: AtomicBool::new(false),
            state: Mutex::new(State::Open(prospects)),
        })
    }

    /// That of the picture of `other` once more.
    pub(crate) fn twin(
        other: &PictureRecord,
        memory: DeviceBuffer,
        point: SyncPoint,
        prospects: Prospects,
    ) -> Arc<PictureRecord> {
        let PictureRecord { number, poc, blocks, .. } = *other;
        let identity = Identity { number, poc, blocks, bytes: 0 };
        PictureRecord::new(&identity, other.shows.clone(), memory, point, prospects)
    }

    /// Blocks of 16x16.
    pub(crate) fn blocks(&self) -> u32 {
        self.blocks
    }

    /// The memory that its status is left in.
    pub(crate) fn memory(&self) -> &DeviceBuffer {
        &self.memory
    }

    /// When the engine comes to the end of the picture.
    pub(crate) fn point(&self) -> &SyncPoint {
        &self.point
    }

    /// Says what there is to be said for the picture, before anybody asks what became of it.
    pub(super) fn defend(&self, defence: Box<dyn Defence>) {
        if let State::Open(prospects) = &mut *self.lock() {
            prospects.doubts.get_or_insert_default().defence = Some(defence);
        }
    }

    /// Whether it is known that the picture is exact.
    pub(super) fn is_known_exact(&self) -> bool {
        self.is_exact.load(Ordering::Acquire)
    }

    /// Whether nobody has looked what became of it.
    pub(super) fn is_open(&self) -> bool {
        matches!(*self.lock(), State::Open(_))
    }

    /// Whether its defence is for all that is wrong with it. For pictures that are done.
    pub(super) fn is_covered(&self) -> bool {
        self.outcome();
        matches!(*self.lock(), State::Settled { is_covered: true, .. })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What became of it, or `None` while the engine is at work.
    pub fn outcome(&self) -> Option<Outcome> {
        if !self.point.is_reached() {
            return None;
        }
        // The session asks as well, before it gives the memory to another picture.
        let mut state = self.lock();
        if let State::Settled { outcome, .. } = *state {
            return Some(outcome);
        }
        let mut line = [[0; LINE]];
        hcq::load_lines([self.memory.view().ok()?], &mut line);
        Some(self.judge(&mut state, &line[0]))
    }

    /// What became of a picture that is done, by the first bytes of its status memory. Lets go of the pictures before.
    pub(crate) fn settle(&self, line: &[u8; LINE]) -> Outcome {
        self.judge(&mut self.lock(), line)
    }

    /// As [`settle`](Self::settle), unless the status was read before.
    fn judge(&self, state: &mut State, line: &[u8; LINE]) -> Outcome {
        let prospects = match state {
            State::Settled { outcome, .. } => return *outcome,
            State::Open(prospects) => prospects,
        };
        let (status, verdict) = status::read(line, self.blocks);
        let verdict = if is_lost(&self.point) { Err(PictureFault::ChannelLost) } else { verdict };
        let Judgement { integrity, is_covered, unsuspected } = prospects.judge(verdict);
        let outcome = Outcome { status, integrity };
        self.is_exact.store(integrity.is_exact() && unsuspected.is_none(), Ordering::Release);
        *state = State::Settled { outcome, is_covered, unsuspected };
        outcome
    }

    /// The picture that those predicted from this one are not exact for, if there is one.
    fn origin(&self) -> Option<Origin> {
        if self.is_exact.load(Ordering::Acquire) {
            return None;
        }
        // What a picture is predicted from was decoded before it.
        let integrity = self
            .outcome()
            .map_or(Integrity::Damaged { cause: PictureFault::NoStatus }, |outcome| outcome.integrity);
        match integrity {
            Integrity::Exact | Integrity::Recovering { .. } => match *self.lock() {
                State::Settled { unsuspected, .. } => unsuspected,
                State::Open(_) => None,
            },
            Integrity::Damaged { cause } => Some(Origin { number: self.number, poc: self.poc, cause }),
            Integrity::Tainted { by } => Some(by),
        }
    }
}
