//! [`Held`]: a picture that a decoder holds, for other pictures to refer to or until it is shown.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::frame::Frame;
use crate::memory::motion::MotionSlot;
use crate::pictures::integrity::Origin;
use crate::pictures::record::PictureRecord;
use crate::surface::pool::Surface;

/// A picture of a decoded picture buffer.
#[derive(Debug)]
pub(crate) struct Held {
    /// Position in decoding order.
    pub(crate) number: u64,
    pub(crate) shown: Arc<Shown>,
    /// From its submission on, while it is a reference.
    motion: Mutex<Option<MotionSlot>>,
    /// Whether there is a doubt, for those who ask of every reference of every picture.
    is_doubtful: AtomicBool,
    doubtful: Mutex<Option<Box<Doubtful>>>,
}

/// What was doubtful about a picture when it was submitted.
#[derive(Clone, Debug)]
pub(super) struct Doubtful {
    /// The first picture that something is wrong with.
    pub(super) origin: Origin,
    /// The same picture once more, decoded from other samples wherever these are doubtful.
    pub(super) twin: Option<Twin>,
    /// Its motion vectors are beyond doubt: they depend on no samples, and those that it took from other pictures were right.
    pub(super) moves_rightly: bool,
    /// Its samples are known to be right by now.
    pub(super) is_exact: bool,
}

/// A picture that was submitted a second time.
#[derive(Clone, Debug)]
pub(super) struct Twin {
    pub(super) surface: Surface,
    pub(super) record: Arc<PictureRecord>,
}

/// A picture as it comes out.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// Set when the picture is submitted, to `None` if it could not be.
    pub(crate) frame: OnceLock<Option<Frame>>,
}

impl Held {
    pub(super) fn new(number: u64) -> Self {
        let (shown, motion) = Default::default();
        let (is_doubtful, doubtful) = Default::default();
        Held { number, shown, motion, is_doubtful, doubtful }
    }

    pub(super) fn motion(&self) -> MutexGuard<'_, Option<MotionSlot>> {
        self.motion.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the motion vectors of a picture back that stays in the decoded picture buffer for its output alone, once
    /// no picture that is not submitted refers to it.
    pub(crate) fn release_motion(held: &Arc<Held>) {
        if Arc::strong_count(held) == 1 {
            *held.motion() = None;
            if held.is_doubtful.load(Ordering::Relaxed) {
                *held.lock_doubtful() = None;
            }
        }
    }

    fn lock_doubtful(&self) -> MutexGuard<'_, Option<Box<Doubtful>>> {
        self.doubtful.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_doubtful(&self, doubtful: Box<Doubtful>) {
        *self.lock_doubtful() = Some(doubtful);
        self.is_doubtful.store(true, Ordering::Release);
    }

    /// What is doubtful about the picture, as far as that is not settled.
    pub(super) fn doubtful(&self) -> Option<Doubtful> {
        if !self.is_doubtful.load(Ordering::Acquire) {
            return None;
        }
        let mut doubtful = self.lock_doubtful();
        if let Some(record) = self.frame().map(Frame::record).filter(|record| record.is_known_exact()) {
            // Exact by its hash, while more is wrong than was known, it may be by chance.
            match doubtful.take().filter(|doubtful| !doubtful.moves_rightly || !record.is_covered()) {
                Some(still) => {
                    *doubtful = Some(Box::new(Doubtful { is_exact: true, moves_rightly: false, ..*still }))
                }
                None => self.is_doubtful.store(false, Ordering::Release),
            }
        }
        doubtful.as_deref().cloned()
    }

    /// The frame, if the picture was submitted.
    pub(crate) fn frame(&self) -> Option<&Frame> {
        self.shown.frame.get()?.as_ref()
    }

    /// Whether it is decided what becomes of the picture.
    pub(crate) fn is_settled(&self) -> bool {
        self.shown.frame.get().is_some()
    }
}
