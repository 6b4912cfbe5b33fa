//! How a decoder works, and what that costs.

use hcq::EngineType;

use crate::engines::{Engines, Priority};
use crate::pictures::lookahead::Limits;

/// Most pictures that are held back.
const MAX_WINDOW: usize = 192;
/// Slice data of the pictures that are held back; much less than the upload ring holds.
const WINDOW_BYTES: u64 = 48 << 20;

/// What a decoder is to be good at, where that contradicts itself.
///
/// Several engines are kept busy by submitting pictures in another order than that of decoding, which takes holding some
/// of them back. While an engine has nothing to do, none is.
///
/// The numbers of surfaces are for several engines, and are exceeded only by what the stream's own DPB and
/// [`DecoderOptions::held_frames`] need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Pictures a second: up to 256 surfaces, and half as many more pictures held back, 192 at most.
    Throughput,
    /// Up to 64 surfaces, and half as many more pictures held back.
    #[default]
    Balanced,
    /// Each picture as soon as can be: none is held back, up to 24 surfaces, and a queue of the engines that those who
    /// look ahead do not use.
    LowLatency,
}

impl Mode {
    /// Surfaces of a decoder that spreads over several engines.
    fn surfaces(self) -> usize {
        match self {
            Mode::Throughput => 256,
            Mode::Balanced => 64,
            Mode::LowLatency => 24,
        }
    }

    /// How many pictures are held back to be submitted in a better order, with so many surfaces: half as many again,
    /// since further ones would find none.
    pub(crate) fn lookahead(self, engines: usize, surfaces: usize) -> Limits {
        let pictures = match self {
            Mode::Throughput | Mode::Balanced if engines > 1 => (surfaces * 3 / 2).min(MAX_WINDOW),
            _ => 0,
        };
        Limits { pictures, span: 2 * pictures as u64, bytes: WINDOW_BYTES }
    }

    pub(crate) fn priority(self) -> Priority {
        match self {
            Mode::Throughput | Mode::Balanced => Priority::Bulk,
            Mode::LowLatency => Priority::Prompt,
        }
    }
}

/// How a decoder works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecoderOptions {
    /// Engines to spread the stream over.
    pub engines: Engines,
    /// What to be good at.
    pub mode: Mode,
    /// Most surfaces to use, but never fewer than the stream itself needs to go on. By default, as [`Mode`] says for
    /// several engines; for one, what the stream needs and `held_frames` more, since looking ahead gains nothing there.
    pub surfaces: Option<usize>,
    /// Frames that the caller may hold while decoding goes on, beyond what the stream itself needs.
    /// [`DecoderOptions::DEFAULT_HELD_FRAMES`] if `None`.
    pub held_frames: Option<usize>,
}

impl DecoderOptions {
    /// Enough to keep one engine busy while a consumer works on the frames before.
    pub const DEFAULT_HELD_FRAMES: usize = 6;

    /// The defaults, on one engine alone.
    pub fn on(engine: EngineType) -> Self {
        DecoderOptions { engines: engine.into(), ..DecoderOptions::default() }
    }

    /// Most surfaces for a stream whose DPB holds `dpb` pictures with the current one.
    pub(crate) fn capacity(&self, dpb: usize, engines: usize) -> usize {
        // The DPB with the current picture, and the one to come.
        let needed = dpb + 1;
        let held = needed + self.held_frames.unwrap_or(Self::DEFAULT_HELD_FRAMES);
        let usual = if engines > 1 { held.max(self.mode.surfaces()) } else { held };
        self.surfaces.unwrap_or(usual).max(needed)
    }
}

/// Most GPU memory that a stream takes, in bytes, known before any of it is allocated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// Surfaces, and one more to stand in for missing references.
    pub surfaces: u64,
    /// Motion vectors.
    pub motion: u64,
    /// What the engines work in.
    pub scratch: u64,
    /// Status memory.
    pub status: u64,
}

impl Price {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.surfaces + self.motion + self.scratch + self.status
    }
}
