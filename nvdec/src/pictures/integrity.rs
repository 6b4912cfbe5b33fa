//! [`Integrity`]: how far a picture is what its encoder made.

use std::fmt;

use crate::status::PictureFault;

/// Where a picture stands in a sequence that is refreshed bit by bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refresh {
    /// It is refreshed since the picture with this number: what was wrong with those before it is gone.
    pub(crate) clean_since: u64,
    /// It is not refreshed since decoding began, and will be at this picture order count. What is missing is no damage.
    pub(crate) recovering_until: Option<i32>,
}

/// How far a picture is what its encoder made, as far as a decoder can tell. Values that a transmission changed and that
/// still decode are seen by no decoder: where the stream has hashes of its pictures, comparing them tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Integrity {
    /// All of it is there, and all that it is predicted from.
    Exact,
    /// Something of the picture itself is missing or wrong.
    Damaged {
        /// What.
        cause: PictureFault,
    },
    /// It is all there, but predicted, in however many steps, from a picture that is not exact.
    Tainted {
        /// The picture that it began with.
        by: Origin,
    },
    /// Decoding began in the midst of a sequence that refreshes pictures bit by bit, and this is one of those that are
    /// not refreshed yet.
    Recovering {
        /// Picture order count of the first one that is.
        until: i32,
    },
}

impl Integrity {
    /// Whether the picture is what its encoder made.
    pub fn is_exact(self) -> bool {
        self == Integrity::Exact
    }
}

impl fmt::Display for Integrity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Integrity::Exact => f.write_str("exact"),
            Integrity::Damaged { cause } => write!(f, "damaged: {cause}"),
            Integrity::Tainted { by: Origin { number, poc, cause } } => {
                write!(f, "predicted from picture {number} (POC {poc}), of which {cause}")
            }
            Integrity::Recovering { until } => write!(f, "not refreshed before POC {until}"),
        }
    }
}

/// The picture that a chain of pictures is not exact for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Origin {
    /// Its position in decoding order.
    pub number: u64,
    /// Its picture order count.
    pub poc: i32,
    /// What is wrong with it.
    pub cause: PictureFault,
}

impl Origin {
    /// The one of two that comes first.
    pub(crate) fn first(known: Option<Origin>, other: Origin) -> Option<Origin> {
        Some(known.filter(|known| known.number <= other.number).unwrap_or(other))
    }
}

/// How many pictures of a stream came out how, and what became of the others. All of them together are the pictures that
/// the stream was seen to begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// [`Integrity::Exact`].
    pub exact: u64,
    /// [`Integrity::Damaged`].
    pub damaged: u64,
    /// [`Integrity::Tainted`].
    pub tainted: u64,
    /// [`Integrity::Recovering`].
    pub recovering: u64,
    /// Not decoded.
    pub dropped: Dropped,
}

impl Tally {
    pub(crate) fn count(&mut self, integrity: Integrity) {
        *match integrity {
            Integrity::Exact => &mut self.exact,
            Integrity::Damaged { .. } => &mut self.damaged,
            Integrity::Tainted { .. } => &mut self.tainted,
            Integrity::Recovering { .. } => &mut self.recovering,
        } += 1;
    }

    /// Pictures that were decoded.
    pub fn decoded(&self) -> u64 {
        self.exact + self.damaged + self.tainted + self.recovering
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.decoded() + self.dropped.total()
    }
}

/// Pictures that are not decoded, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dropped {
    /// Before the first one with which decoding may begin.
    pub before_start: u64,
    /// Leading pictures that refer to what was before the picture with which decoding began; they are not to be shown.
    pub leading: u64,
    /// Those of sequences that the engine, or the caller's limits, do not allow.
    pub refused: u64,
    /// Those that cannot be submitted as they are: too much data, or too many references.
    pub unfit: u64,
    /// Those that were still to be decoded when the decoder was [reset](crate::Decoder::reset).
    pub taken_back: u64,
}

impl Dropped {
    /// All of them.
    pub fn total(&self) -> u64 {
        let Dropped { before_start, leading, refused, unfit, taken_back } = *self;
        before_start + leading + refused + unfit + taken_back
    }
}
