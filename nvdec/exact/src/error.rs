//! What is refused.

use std::fmt;

/// Why a picture or a conversion is refused. Nothing is guessed: what is not resolved is refused too.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Fewer samples than width, height and stride of a plane need, or a stride that is less than the width.
    Samples {
        /// Samples that there have to be.
        needed: usize,
        /// Samples that there are.
        given: usize,
    },
    /// A depth other than 8 to 16 bits.
    Depth(u32),
    /// The window is empty or reaches beyond a plane.
    Window(&'static str),
    /// A code value that does not fit into the depth of its plane, as when words with the sample in their upper bits
    /// were not shifted down.
    Code {
        /// The plane.
        plane: &'static str,
        /// The code value.
        code: u16,
        /// Depth of the plane in bits.
        depth: u32,
    },
    /// A size of 0 in either direction.
    Size,
    /// A crop that is empty or reaches beyond the window.
    Crop,
    /// A chroma sample location type above 5.
    Siting(u8),
    /// Matrix coefficients (H.273 code point) that give no R, G, B by themselves, with their name.
    Matrix(u8, &'static str),
    /// A list that needs an entry for each channel has another length.
    Channels {
        /// The list.
        list: &'static str,
        /// Channels of the result.
        channels: usize,
        /// Entries of the list.
        given: usize,
    },
    /// A standard deviation of 0.
    Deviation,
    /// A fill value outside 0 to 1.
    Fill,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Samples { needed, given } => write!(f, "plane: {given} samples, {needed} are needed"),
            Self::Depth(depth) => write!(f, "depth is {depth} bits, allowed is 8..=16"),
            Self::Window(plane) => write!(f, "window is empty or reaches beyond the {plane} plane"),
            Self::Code { plane, code, depth } => {
                write!(f, "{plane}: code value {code} has more than {depth} bits")
            }
            Self::Size => write!(f, "size of the result is 0"),
            Self::Crop => write!(f, "crop is empty or reaches beyond the window"),
            Self::Siting(siting) => write!(f, "chroma sample location type is {siting}, allowed is 0..=5"),
            Self::Matrix(code, name) => write!(f, "matrix coefficients {code} ({name}) give no R, G, B"),
            Self::Channels { list, channels, given } => {
                write!(f, "{list}: {given} entries for {channels} channels")
            }
            Self::Deviation => write!(f, "standard deviation is 0"),
            Self::Fill => write!(f, "fill is not within 0 to 1"),
        }
    }
}

impl std::error::Error for Error {}
