//! What is said of a picture that is shown, besides its samples.

use std::sync::Arc;

use super::side_data::SideData;
use crate::hevc::info::HevcPictureInfo;
use crate::surface::format::Rect;

/// How sample values are to be understood: code points of ITU-T H.273, 2 meaning unspecified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Colour {
    /// `ColourPrimaries`.
    pub primaries: u8,
    /// `TransferCharacteristics`.
    pub transfer: u8,
    /// `MatrixCoefficients`.
    pub matrix: u8,
    /// Whether luma goes from 0 to the largest value (`VideoFullRangeFlag`).
    pub full_range: bool,
    /// Where chroma samples lie between those of luma (`Chroma420SampleLocType`, 0 to 5), if the stream says so.
    pub chroma_location: Option<u8>,
}

impl Default for Colour {
    /// What a stream means that says nothing: unspecified, limited range.
    fn default() -> Self {
        Colour { primaries: 2, transfer: 2, matrix: 2, full_range: false, chroma_location: None }
    }
}

/// When a picture is shown, in the caller's unit: as it came with the [`Packet`](crate::Packet) in which the picture begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Times {
    /// Presentation time.
    pub pts: Option<i64>,
    /// Decoding time.
    pub dts: Option<i64>,
    /// How long it is shown.
    pub duration: Option<i64>,
    /// What the caller knows the picture by; nothing is done with it.
    pub opaque: Option<u64>,
}

/// What only one codec says of a picture.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CodecInfo {
    /// Of HEVC.
    Hevc(HevcPictureInfo),
    /// Nothing.
    None,
}

/// What a codec says of a picture that is shown.
#[derive(Clone, Debug)]
pub(crate) struct Shows {
    pub(crate) crop: Rect,
    pub(crate) times: Times,
    pub(crate) is_key: bool,
    pub(crate) colour: Colour,
    /// `None` for most pictures: it costs them a pointer.
    pub(crate) side_data: Option<Arc<SideData>>,
    pub(crate) codec: CodecInfo,
}
