//! [`PictureRecord`]: what is known of a picture that was submitted: which one it is, when it is done, how it went.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrayvec::ArrayVec;
use hcq::{DeviceBuffer, EngineKind, LINE, SyncPoint, Timeline};

use crate::channels::is_lost;
use crate::memory::motion::PLACES;
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
    /// Whether it may go down with something else than its own engine, as far as was looked.
    is_tied: AtomicBool,
    /// Whether it is known that it did not go down.
    is_safe: AtomicBool,
    state: Mutex<Verdict>,
}

/// What became of a picture, as far as was looked.
#[derive(Debug)]
struct Verdict {
    fate: Fate,
    outcome: Option<Outcome>,
}

/// The engine's status and what follows from it.
pub(crate) type Outcome = (DecodeStatus, Result<(), PictureFault>);

impl PictureRecord {
    /// The record of a picture that is done at `point` and leaves its status in `memory`.
    pub(crate) fn new(
        picture: &Identity,
        shows: Shows,
        memory: DeviceBuffer,
        point: SyncPoint,
        ties: Ties,
    ) -> Arc<PictureRecord> {
        Arc::new(PictureRecord {
            number: picture.number,
            poc: picture.poc,
            shows,
            blocks: picture.blocks,
            memory,
            point,
            is_tied: AtomicBool::new(!ties.is_empty()),
            is_safe: AtomicBool::new(false),
            state: Mutex::new(Verdict { fate: Fate::Open(ties), outcome: None }),
        })
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

    fn lock(&self) -> MutexGuard<'_, Verdict> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine's status and verdict, or `None` while the engine is at work.
    pub fn outcome(&self) -> Option<(DecodeStatus, Result<(), PictureFault>)> {
        if !self.point.is_reached() {
            return None;
        }
        // The session asks as well, before it gives the memory to another picture.
        let mut state = self.lock();
        if state.outcome.is_some() {
            return state.outcome;
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
    fn judge(&self, state: &mut Verdict, line: &[u8; LINE]) -> Outcome {
        if let Some(outcome) = state.outcome {
            return outcome;
        }
        let (status, verdict) = status::read(line, self.blocks);
        let verdict = match self.find_out(&mut state.fate) {
            None => verdict,
            Some(PictureFault::ChannelLost) => Err(PictureFault::ChannelLost),
            Some(elsewhere) => verdict.and(Err(elsewhere)),
        };
        let outcome = (status, verdict);
        state.outcome = Some(outcome);
        outcome
    }

    /// Whether the picture, or one that it depends on, went down with a channel. An engine that was not concerned
    /// decodes from whatever lies where the reference should be, and finds no fault with it. For pictures whose point
    /// is reached.
    fn is_lost(&self) -> bool {
        !self.is_safe.load(Ordering::Acquire) && self.find_out(&mut self.lock().fate).is_some()
    }

    fn find_out(&self, fate: &mut Fate) -> Option<PictureFault> {
        let fault = match &*fate {
            Fate::Known(fault) => return *fault,
            Fate::Open(_) if is_lost(&self.point) => Some(PictureFault::ChannelLost),
            Fate::Open(ties) => ties.are_lost().then_some(PictureFault::ReferenceLost),
        };
        *fate = Fate::Known(fault);
        self.is_safe.store(fault.is_none(), Ordering::Release);
        fault
    }

    /// Whether a picture on `timeline` that refers to this one may go down with it, and not with the timeline as well.
    fn ties(&self, timeline: &Arc<Timeline>) -> bool {
        if self.is_safe.load(Ordering::Acquire) {
            return false;
        }
        // Of those on its own timeline it need not know: what kills them kills what comes behind them.
        !Arc::ptr_eq(self.point.timeline(), timeline) || self.is_tied()
    }

    /// Whether it may go down with something else than its own engine.
    fn is_tied(&self) -> bool {
        if !self.is_tied.load(Ordering::Acquire) {
            return false;
        }
        let tied = match &mut self.lock().fate {
            Fate::Open(ties) => {
                ties.forget_what_is_over(self.point.timeline());
                !ties.is_empty()
            }
            Fate::Known(fault) => fault.is_some(),
        };
        self.is_tied.store(tied, Ordering::Release);
        tied
    }
}

/// Whether a picture went down with a channel.
#[derive(Debug)]
enum Fate {
    /// Not known yet: if its own channel died before it was done, or by these.
    Open(Ties),
    /// How it was lost, if it was.
    Known(Option<PictureFault>),
}

/// What a picture may go down with, apart from its own channel. To count references takes instructions that wait for all
/// stores before them, so this is found out before a picture is submitted, and for as few pictures as can be.
#[derive(Debug, Default)]
pub(crate) struct Ties {
    /// Pictures that it refers to.
    references: ArrayVec<Arc<PictureRecord>, PLACES>,
    /// Copies that clear memory for it, and move motion vectors.
    copies: Vec<SyncPoint>,
}

impl Ties {
    /// Those of a picture on `timeline` that refers to the pictures `references` and for which the engine waits for `waits`.
    pub(crate) fn new<'a>(
        timeline: &Arc<Timeline>,
        references: impl Iterator<Item = &'a Arc<PictureRecord>>,
        waits: &[SyncPoint],
    ) -> Ties {
        let copies = waits.iter().filter(|wait| wait.timeline().engine().kind() == EngineKind::Copy);
        Ties {
            references: references.filter(|record| record.ties(timeline)).cloned().collect(),
            copies: copies.cloned().collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.references.is_empty() && self.copies.is_empty()
    }

    /// Whether one of them went down, once all of them are over.
    fn are_lost(&self) -> bool {
        self.references.iter().any(|reference| reference.is_lost()) || self.copies.iter().any(is_lost)
    }

    /// Lets go of what is known to be good, for a picture on `timeline`. Does not look beyond what was found out before.
    fn forget_what_is_over(&mut self, timeline: &Arc<Timeline>) {
        self.copies.retain(|copy| !copy.is_reached() || is_lost(copy));
        self.references.retain(|reference| {
            let is_alone = || !reference.is_tied.load(Ordering::Acquire);
            let goes_along = Arc::ptr_eq(reference.point.timeline(), timeline) && is_alone();
            !reference.is_safe.load(Ordering::Acquire) && !goes_along
        });
    }
}
