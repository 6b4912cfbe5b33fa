//! [`Held`]: a picture that a decoder holds, for other pictures to refer to or until it is shown.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::frame::Frame;
use crate::memory::motion::MotionSlot;

/// A picture of a decoded picture buffer.
#[derive(Debug)]
pub(crate) struct Held {
    /// Position in decoding order.
    pub(crate) number: u64,
    pub(crate) shown: Arc<Shown>,
    /// From its submission on, while it is a reference.
    motion: Mutex<Option<MotionSlot>>,
}

/// A picture as it comes out.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// Set when the picture is submitted, to `None` if it could not be.
    pub(crate) frame: OnceLock<Option<Frame>>,
}

impl Held {
    pub(super) fn new(number: u64) -> Self {
        Held { number, shown: Arc::default(), motion: Mutex::default() }
    }

    pub(super) fn motion(&self) -> MutexGuard<'_, Option<MotionSlot>> {
        self.motion.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the motion vectors of a picture back that stays in the decoded picture buffer for its output alone, once
    /// no picture that is not submitted refers to it.
    pub(crate) fn release_motion(held: &Arc<Held>) {
        if Arc::strong_count(held) == 1 {
            *held.motion() = None;
        }
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
