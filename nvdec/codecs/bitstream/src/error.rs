//! What can be wrong with syntax elements and with the framing of NAL units.

use thiserror::Error;

/// What can be wrong with a syntax element. `P` says where: in which syntax structure, and of which parameter set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum SyntaxError<P> {
    /// The RBSP ends inside a syntax element.
    #[error("{place}: data ends inside {element} (bit {position} of {size})")]
    Truncated {
        /// Where.
        place: P,
        /// Name of the syntax element.
        element: &'static str,
        /// Bit position at which the element starts.
        position: usize,
        /// Size of the RBSP in bits.
        size: usize,
    },

    /// An Exp-Golomb code longer than 32 bits can hold (9.1).
    #[error("{place}: {element} at bit {position} has more than 31 leading zero bits")]
    GolombTooLong {
        /// Where.
        place: P,
        /// Name of the syntax element.
        element: &'static str,
        /// Bit position at which the element starts.
        position: usize,
    },

    /// A value outside the range that the standard allows.
    #[error("{place}: {element} is {value}, allowed is {min}..={max}")]
    OutOfRange {
        /// Where.
        place: P,
        /// Name of the syntax element or variable of the standard.
        element: &'static str,
        /// The value found.
        value: i64,
        /// Smallest value allowed.
        min: i64,
        /// Largest value allowed.
        max: i64,
    },
}

impl<P: Copy> SyntaxError<P> {
    /// Where.
    pub fn place(&self) -> P {
        match *self {
            Self::Truncated { place, .. }
            | Self::GolombTooLong { place, .. }
            | Self::OutOfRange { place, .. } => place,
        }
    }

    /// Whether more data might make it right: the RBSP ends too early, or a code runs into what comes next.
    pub fn may_be_cut(&self) -> bool {
        matches!(self, Self::Truncated { .. } | Self::GolombTooLong { .. })
    }
}

/// What can be wrong with how NAL units are joined to a stream or a sample. Offsets and lengths are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum FramingError {
    /// A size of the length field other than 1, 2 or 4 bytes.
    #[error("NAL unit length field of {length_size} bytes, allowed are 1, 2 and 4")]
    LengthSize {
        /// The size asked for.
        length_size: u8,
    },

    /// A length-prefixed sample ends inside a length field.
    #[error(
        "sample ends inside the length field at byte {offset}: {available} of its {length_size} bytes are there"
    )]
    LengthField {
        /// Offset of the length field in the sample.
        offset: usize,
        /// Bytes of a length field.
        length_size: u8,
        /// Bytes of it that are there.
        available: usize,
    },

    /// A NAL unit in a length-prefixed sample reaches beyond the sample.
    #[error(
        "length-prefixed NAL unit at byte {offset} has length {length}, but only {available} bytes are left"
    )]
    Length {
        /// Offset of the length field in the sample.
        offset: usize,
        /// Value of the length field.
        length: usize,
        /// Bytes behind the length field.
        available: usize,
    },

    /// More bytes without a start code than [`AnnexBReader`](crate::AnnexBReader) may hold.
    #[error("byte stream: {buffered} bytes would be held for unfinished NAL units, the limit is {limit}")]
    BufferLimit {
        /// Bytes that would have been held.
        buffered: usize,
        /// The configured limit.
        limit: usize,
    },
}
