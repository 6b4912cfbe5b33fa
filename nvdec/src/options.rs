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

/// More surfaces than this make nothing faster.
const MOST_SURFACES: usize = 256;

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

/// At which pictures decoding may begin, and go on after [`Decoder::reset`](crate::Decoder::reset). Each allows what those
/// before it allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Start {
    /// At random access points alone (IRAP pictures in HEVC): every picture that comes out can be exact.
    RandomAccess,
    /// Also where a recovery point message announces that pictures are refreshed bit by bit from here on. They are
    /// [`Integrity::Recovering`](crate::Integrity::Recovering) until they are.
    RecoveryPoint,
    /// Also at a picture that refers to no other, as cameras send that know no random access points.
    #[default]
    Intra,
    /// At any picture. What it refers to is missing, and so is part of the pictures after it, perhaps for ever.
    Any,
}

/// What is done with pictures that are not [exact](crate::Integrity).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// They come out like the others, and [`Frame::integrity`](crate::Frame::integrity) says what they are.
    #[default]
    Deliver,
    /// They do not come out. With this and the policies below a frame comes out only when it is decoded:
    /// [`Decoder::receive`](crate::Decoder::receive) waits for it.
    Skip,
    /// The first of them ends the stream with [`Error::NotExact`](crate::Error::NotExact).
    Stop,
    /// In the place of each the last exact one comes out again, with its times. Before there is one, nothing does.
    Freeze,
}

/// By what a picture is taken for tainted that refers to one which is missing or not exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Taint {
    /// By its reference lists: a picture that may be predicted from such a one counts as if it were. Costs nothing.
    ByLists,
    /// By its samples. It is decoded a second time, with other samples in the place of those that are missing or not exact, and is
    /// exact if that makes no difference, or if the stream has a hash of it that is right. Streams without damage pay nothing. In
    /// others such pictures take twice the time of an engine and a copy of both to the host, and there are as many surfaces more
    /// as the decoded picture buffer holds and two, if the budget has room for them; if not, lists and hashes decide.
    #[default]
    BySamples,
}

/// How a decoder works.
///
/// ```
/// use nvdec::{DecoderOptions, Mode};
///
/// let options = DecoderOptions::default().with_mode(Mode::LowLatency).with_held_frames(2);
/// assert_eq!(options.held_frames, Some(2));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
    /// Frames become tensors. A conversion holds the surface until it is done, which is behind the picture and those before it:
    /// on several engines there are 40 surfaces more than the mode says, up to 256, and on one engine 4 more.
    pub for_tensors: bool,
    /// Largest pictures, in luma samples: a stream of a few bytes may say that its pictures are as large as the engine
    /// decodes, and that takes gigabytes. [`DecoderOptions::DEFAULT_MAX_LUMA_SAMPLES`] to begin with; with `None`,
    /// whatever the engine decodes. Beyond it there is an [`Error::TooManySamples`](crate::Error::TooManySamples).
    pub max_luma_samples: Option<u64>,
    /// Where decoding begins.
    pub start: Start,
    /// What is done with pictures that are not exact.
    pub policy: Policy,
    /// How it is found out which ones are tainted.
    pub taint: Taint,
    /// Whether each picture is compared with the hash that the stream has of it (decoded picture hash SEI): one that contradicts it is
    /// damaged ([`PictureFault::HashMismatch`](crate::PictureFault::HashMismatch)), though the engine has nothing to say against it. A bit
    /// that is turned over in slice data may break no rule, and nothing else tells. Where units were lost the hash may be that of another
    /// picture, and a right one is called damaged. A picture is not compared, and the log says so, if there is no host memory for the copy or
    /// the channel dies that makes it. It takes a copy of each picture to host memory, room
    /// for 12 pictures there, and the time of the hash: about 5 ms of a processor for the MD5 of one of 1080p, by whoever asks first what
    /// became of the picture, most often the thread that decodes.
    pub verify: bool,
}

impl Default for DecoderOptions {
    fn default() -> Self {
        DecoderOptions {
            engines: Engines::default(),
            mode: Mode::default(),
            surfaces: None,
            held_frames: None,
            for_tensors: false,
            max_luma_samples: Some(Self::DEFAULT_MAX_LUMA_SAMPLES),
            start: Start::default(),
            policy: Policy::default(),
            taint: Taint::default(),
            verify: false,
        }
    }
}

impl DecoderOptions {
    /// Enough to keep one engine busy while a consumer works on the frames before.
    pub const DEFAULT_HELD_FRAMES: usize = 6;
    /// `MaxLumaPs` of level 6.2 (H.265 table A.8): 8192x4352.
    pub const DEFAULT_MAX_LUMA_SAMPLES: u64 = 35_651_584;

    /// The defaults, on one engine alone.
    pub fn on(engine: EngineType) -> Self {
        DecoderOptions { engines: engine.into(), ..DecoderOptions::default() }
    }

    /// With other engines.
    #[must_use]
    pub fn with_engines(self, engines: impl Into<Engines>) -> Self {
        DecoderOptions { engines: engines.into(), ..self }
    }

    /// With another mode.
    #[must_use]
    pub fn with_mode(self, mode: Mode) -> Self {
        DecoderOptions { mode, ..self }
    }

    /// With another number of surfaces; `None` for that of the mode.
    #[must_use]
    pub fn with_surfaces(self, surfaces: impl Into<Option<usize>>) -> Self {
        DecoderOptions { surfaces: surfaces.into(), ..self }
    }

    /// With another number of frames that the caller may hold; `None` for the usual one.
    #[must_use]
    pub fn with_held_frames(self, frames: impl Into<Option<usize>>) -> Self {
        DecoderOptions { held_frames: frames.into(), ..self }
    }

    /// For a stream whose frames become tensors ([`Frames::into_tensors`](crate::Frames::into_tensors)) if `yes`: there are more
    /// surfaces than the mode says, see [`for_tensors`](Self::for_tensors).
    #[must_use]
    pub fn with_tensors(self, yes: bool) -> Self {
        DecoderOptions { for_tensors: yes, ..self }
    }

    /// With another limit on the size of pictures; `None` for that of the engine alone.
    #[must_use]
    pub fn with_max_luma_samples(self, samples: impl Into<Option<u64>>) -> Self {
        DecoderOptions { max_luma_samples: samples.into(), ..self }
    }

    /// With another place to begin.
    #[must_use]
    pub fn with_start(self, start: Start) -> Self {
        DecoderOptions { start, ..self }
    }

    /// With another policy for pictures that are not exact.
    #[must_use]
    pub fn with_policy(self, policy: Policy) -> Self {
        DecoderOptions { policy, ..self }
    }

    /// With another way to find out which pictures are tainted.
    #[must_use]
    pub fn with_taint(self, taint: Taint) -> Self {
        DecoderOptions { taint, ..self }
    }

    /// With each picture compared with its hash if `yes`, see [`verify`](Self::verify).
    #[must_use]
    pub fn with_verification(self, yes: bool) -> Self {
        DecoderOptions { verify: yes, ..self }
    }

    /// Surfaces more where frames become tensors, on several engines and on one.
    const TENSORS: usize = 40;
    const TENSORS_ON_ONE: usize = 4;

    /// Most surfaces for a stream whose DPB holds `dpb` pictures with the current one.
    pub(crate) fn capacity(&self, dpb: usize, engines: usize) -> usize {
        // The DPB with the current picture, and the one to come.
        let needed = dpb + 1;
        // The one that is shown again.
        let kept = usize::from(self.policy == Policy::Freeze);
        let held = needed + kept + self.held_frames.unwrap_or(Self::DEFAULT_HELD_FRAMES);
        let usual = match engines {
            0 | 1 => held + if self.for_tensors { Self::TENSORS_ON_ONE } else { 0 },
            _ if self.for_tensors => {
                held.max(self.mode.surfaces() + Self::TENSORS).min(MOST_SURFACES.max(held))
            }
            _ => held.max(self.mode.surfaces()),
        };
        self.surfaces.unwrap_or(usual).max(needed)
    }
}

/// How a context is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ContextOptions {
    /// Most GPU memory that all decoders of the context take together.
    pub memory_limit: MemoryLimit,
}

/// Most GPU memory that all decoders of a context take together
/// ([`Context::set_memory_limit`](crate::Context::set_memory_limit)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemoryLimit {
    /// Three quarters of the GPU memory that is free when the context is made, so that something is left for others on
    /// the GPU. None where the driver does not say how much that is, as in some sandboxes.
    #[default]
    MostOfFree,
    /// None: as much as there is.
    Unlimited,
    /// So many bytes.
    Bytes(u64),
}

impl MemoryLimit {
    /// The limit in bytes on a GPU of which `free` asks how many bytes are free.
    pub(crate) fn bytes<E: std::fmt::Display>(self, free: impl FnOnce() -> Result<u64, E>) -> Option<u64> {
        match self {
            MemoryLimit::MostOfFree => match free() {
                Ok(free) => Some(free / 4 * 3),
                Err(error) => {
                    log::info!(
                        "no limit for GPU memory, since the driver does not say how much is free: {error}"
                    );
                    None
                }
            },
            MemoryLimit::Unlimited => None,
            MemoryLimit::Bytes(bytes) => Some(bytes),
        }
    }
}

impl ContextOptions {
    /// With another limit for GPU memory.
    #[must_use]
    pub fn with_memory_limit(self, memory_limit: MemoryLimit) -> Self {
        ContextOptions { memory_limit }
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
