//! The error type of the crate and the names of the syntax structures it refers to.

use std::fmt;

use bitstream::{FramingError, SyntaxError};
use thiserror::Error;

/// Which syntax structure was being read when an error was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Structure {
    /// `nal_unit_header()`, 7.3.1.2.
    NalUnitHeader,
    /// `video_parameter_set_rbsp()`, 7.3.2.1.
    Vps,
    /// `seq_parameter_set_rbsp()`, 7.3.2.2.
    Sps,
    /// `pic_parameter_set_rbsp()`, 7.3.2.3.
    Pps,
    /// `sei_rbsp()`, 7.3.2.4.
    Sei,
    /// `slice_segment_header()`, 7.3.6.1; the identifier is that of the PPS it refers to.
    SliceSegmentHeader,
}

/// A syntax structure together with the identifier of the parameter set, as soon as that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// The syntax structure.
    pub structure: Structure,
    /// The VPS, SPS or PPS identifier; for a slice segment header that of the PPS it refers to.
    pub id: Option<u8>,
}

impl Place {
    /// A structure whose identifier is not known (yet).
    pub const fn new(structure: Structure) -> Self {
        Self { structure, id: None }
    }

    /// A structure with its parameter set identifier.
    pub const fn with_id(structure: Structure, id: u8) -> Self {
        Self { structure, id: Some(id) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, id) = match self.structure {
            Structure::NalUnitHeader => ("NAL unit header", None),
            Structure::Vps => ("VPS", self.id),
            Structure::Sps => ("SPS", self.id),
            Structure::Pps => ("PPS", self.id),
            Structure::Sei => ("SEI", None),
            Structure::SliceSegmentHeader => {
                return match self.id {
                    Some(id) => write!(f, "slice segment header (PPS {id})"),
                    None => f.write_str("slice segment header"),
                };
            }
        };
        match id {
            Some(id) => write!(f, "{name} {id}"),
            None => f.write_str(name),
        }
    }
}

/// What can be wrong with a NAL unit.
///
/// An error concerns the NAL unit that was being parsed and nothing else: the [`Parser`](crate::Parser) stays
/// usable and keeps the parameter sets it already has.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum Error {
    /// A NAL unit shorter than its two-byte header.
    #[error("NAL unit of {length} bytes is shorter than its 2-byte header")]
    NalUnitTooShort {
        /// Bytes in the NAL unit.
        length: usize,
    },

    /// A syntax element is cut off, or its value is outside the range that the standard allows.
    #[error(transparent)]
    Syntax(#[from] SyntaxError<Place>),

    /// A size that must be a multiple of another is not.
    #[error("{place}: {element} is {value}, not a multiple of {unit_name} {unit}")]
    NotMultiple {
        /// Where.
        place: Place,
        /// Name of the syntax element.
        element: &'static str,
        /// The value found.
        value: u32,
        /// Name of the unit.
        unit_name: &'static str,
        /// Value of the unit.
        unit: u32,
    },

    /// A feature of the standard (or a later edition) that this crate does not decode.
    #[error("{place}: {feature} is not supported")]
    Unsupported {
        /// Where.
        place: Place,
        /// The feature, by the name of its syntax element.
        feature: &'static str,
    },

    /// A slice refers to a PPS, or a PPS to an SPS, that was not received.
    #[error("{place}: refers to {missing}, which was not received")]
    MissingParameterSet {
        /// Where.
        place: Place,
        /// The parameter set that is absent.
        missing: Place,
    },

    /// A picture that does not start a coded video sequence refers to an SPS other than the active one (7.4.2.4.2).
    #[error("{place}: refers to SPS {referenced} while SPS {active} is active for the coded video sequence")]
    SpsNotActive {
        /// Where.
        place: Place,
        /// The SPS identifier that the PPS names.
        referenced: u8,
        /// The identifier of the active SPS.
        active: u8,
    },

    /// A dependent slice segment whose preceding independent slice segment was lost.
    #[error(
        "{place}: dependent slice segment at address {address} without a preceding independent slice segment"
    )]
    MissingIndependentSliceSegment {
        /// Where.
        place: Place,
        /// `slice_segment_address`.
        address: u32,
    },

    /// Slice segments of a picture out of order or repeated.
    #[error(
        "{place}: slice_segment_address {address} does not follow {previous} of the same picture (POC {poc})"
    )]
    SliceSegmentOrder {
        /// Where.
        place: Place,
        /// `slice_segment_address` of this slice segment.
        address: u32,
        /// `slice_segment_address` of the slice segment before it.
        previous: u32,
        /// `PicOrderCntVal` of the picture.
        poc: i32,
    },

    /// NAL units could not be told apart.
    #[error(transparent)]
    Framing(#[from] FramingError),
}

impl Error {
    /// In which syntax structure the error is, where it is in one.
    pub fn place(&self) -> Option<Place> {
        match *self {
            Self::Syntax(error) => Some(error.place()),
            Self::NotMultiple { place, .. }
            | Self::Unsupported { place, .. }
            | Self::MissingParameterSet { place, .. }
            | Self::SpsNotActive { place, .. }
            | Self::MissingIndependentSliceSegment { place, .. }
            | Self::SliceSegmentOrder { place, .. } => Some(place),
            Self::NalUnitTooShort { .. } | Self::Framing(_) => None,
        }
    }
}
