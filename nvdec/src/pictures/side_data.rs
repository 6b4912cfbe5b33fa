//! [`SideData`]: what a stream says of its pictures besides samples and colour, whatever the codec.

use std::fmt;
use std::sync::Arc;

/// Bytes of messages that a picture keeps at most: 64 KiB, each message counted as its payload and 64 bytes more. Messages
/// beyond it are dropped and counted ([`SideData::dropped`]).
pub const MAX_BYTES: usize = 64 << 10;
/// What a message counts besides its payload.
const MESSAGE_BYTES: usize = 64;

/// A point of the CIE 1931 chromaticity diagram, x and y, in units of 0.00002.
pub type Chromaticity = (u16, u16);

/// What a stream says of a picture besides its samples and [`Colour`](crate::Colour): how it was made, how it is to be
/// shown, and what travels with it.
///
/// Of HEVC these are SEI messages and the NAL units of Dolby Vision; `docs/hevc.md` has a table of them and says how long
/// each holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SideData {
    /// The display on which it was mastered (SMPTE ST 2086).
    pub mastering_display: Option<MasteringDisplay>,
    /// How bright the content is (CTA-861).
    pub content_light_level: Option<ContentLightLevel>,
    /// The colours that the content has.
    pub content_colour_volume: Option<ContentColourVolume>,
    /// The surroundings that it was made for.
    pub ambient_viewing: Option<AmbientViewing>,
    /// The `TransferCharacteristics` that the stream prefers to those of [`Colour`](crate::Colour): 18 for HLG in a stream
    /// that older receivers show as BT.2020.
    pub alternative_transfer: Option<u8>,
    /// How the views of a stereoscopic video share pictures.
    pub frame_packing: Option<FramePacking>,
    /// How it is to be turned.
    pub display_orientation: Option<DisplayOrientation>,
    /// Film grain that is to be added.
    pub film_grain: Option<Arc<FilmGrain>>,
    /// Whether it is a frame or a field.
    pub structure: Option<PictureStructure>,
    /// When it was taken: one time for the frame, or up to three for its fields in output order.
    pub time_codes: Vec<TimeCode>,
    /// What is kept as bytes, in the order of the stream, HDR10+ first.
    pub payloads: Vec<Payload>,
    /// Messages that were dropped, since the picture had [`MAX_BYTES`] already.
    pub dropped: u32,
    /// Bytes counted so far.
    bytes: usize,
}

impl SideData {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        *self == SideData::default()
    }

    /// Captions of ATSC A/53: `cc_data()` constructs of three bytes each (CTA-708), a slice for each message.
    pub fn captions(&self) -> impl Iterator<Item = &[u8]> {
        self.of_kind(PayloadKind::Captions)
    }

    /// HDR10+ metadata (SMPTE ST 2094-40) as it stands in the stream, from the country code of ITU-T T.35 on. It is that of the last
    /// picture in decoding order that had some, within a coded video sequence; of several of one picture, the last.
    pub fn hdr10_plus(&self) -> Option<&[u8]> {
        self.of_kind(PayloadKind::Hdr10Plus).next()
    }

    /// The reference processing unit of Dolby Vision: the bytes behind the NAL unit header, emulation prevention left in.
    pub fn dolby_vision_rpu(&self) -> Option<&[u8]> {
        self.of_kind(PayloadKind::DolbyVisionRpu).next()
    }

    /// User data that nobody registered: UUID and bytes.
    pub fn user_data(&self) -> impl Iterator<Item = (&[u8; 16], &[u8])> {
        self.payloads.iter().filter_map(|payload| match &payload.kind {
            PayloadKind::Unregistered(uuid) => Some((uuid, payload.bytes.as_slice())),
            _ => None,
        })
    }

    fn of_kind(&self, kind: PayloadKind) -> impl Iterator<Item = &[u8]> {
        self.payloads
            .iter()
            .filter(move |payload| payload.kind == kind)
            .map(|payload| payload.bytes.as_slice())
    }

    /// Takes what only the picture's own messages say: its structure, and how many they are.
    pub(crate) fn take_own(&mut self, own: SideData) {
        let SideData { structure, dropped, bytes, .. } = own;
        (self.structure, self.dropped, self.bytes) = (structure, dropped, bytes);
    }

    /// Counts a message of so many bytes. `false`: it is to be dropped.
    pub(crate) fn admit(&mut self, bytes: usize) -> bool {
        let sum = self.bytes.saturating_add(bytes).saturating_add(MESSAGE_BYTES);
        if sum > MAX_BYTES {
            self.dropped = self.dropped.saturating_add(1);
            return false;
        }
        self.bytes = sum;
        true
    }
}

/// What is kept as bytes.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Payload {
    /// What it is.
    pub kind: PayloadKind,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Payload {
    pub(crate) fn new(kind: PayloadKind, bytes: Vec<u8>) -> Payload {
        Payload { kind, bytes }
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {} bytes", self.kind, self.bytes.len())
    }
}

/// What bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PayloadKind {
    /// [`SideData::captions`].
    Captions,
    /// [`SideData::hdr10_plus`].
    Hdr10Plus,
    /// [`SideData::dolby_vision_rpu`].
    DolbyVisionRpu,
    /// Other user data registered by ITU-T T.35, from the country code on.
    Registered,
    /// [`SideData::user_data`], with its UUID.
    Unregistered([u8; 16]),
}

/// The display on which a video was mastered (SMPTE ST 2086).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct MasteringDisplay {
    pub red: Chromaticity,
    pub green: Chromaticity,
    pub blue: Chromaticity,
    pub white: Chromaticity,
    /// In units of 0.0001 cd/m2.
    pub max_luminance: u32,
    /// In units of 0.0001 cd/m2.
    pub min_luminance: u32,
}

/// How bright content is (CTA-861), in cd/m2; 0 if unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentLightLevel {
    /// The brightest sample (MaxCLL).
    pub max_content: u16,
    /// The brightest average of a picture (MaxFALL).
    pub max_picture_average: u16,
}

/// The colours that content has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentColourVolume {
    /// Green, blue and red, in units of 0.00002; may lie outside of what is visible.
    pub primaries: Option<[(i32, i32); 3]>,
    /// In units of 0.0000001 cd/m2.
    pub min_luminance: Option<u32>,
    /// In units of 0.0000001 cd/m2.
    pub max_luminance: Option<u32>,
    /// In units of 0.0000001 cd/m2.
    pub average_luminance: Option<u32>,
}

/// The surroundings that a video was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AmbientViewing {
    /// In units of 0.0001 lux.
    pub illuminance: u32,
    /// Colour of the light.
    pub light: Chromaticity,
}

/// How two views share pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FramePacking {
    /// `frame_packing_arrangement_type`: 0 checkerboard, 1 columns, 2 rows, 3 side by side, 4 top and bottom, 5 pictures in
    /// turns. HEVC has 3 to 5 alone.
    pub arrangement: u8,
    /// Views are sampled in a quincunx pattern.
    pub is_quincunx: bool,
    /// `content_interpretation_type`: 1 the first view is the left one, 2 it is the right one, 0 unknown.
    pub interpretation: u8,
    /// One view is mirrored.
    pub is_one_flipped: bool,
    /// It is the first one.
    pub is_first_flipped: bool,
    /// The views are fields of the picture.
    pub are_fields: bool,
    /// This picture is the first view, of pictures in turns.
    pub is_first: bool,
    /// The sample aspect ratio is that of views after upsampling.
    pub is_aspect_upsampled: bool,
    /// x and y of the first and of the second view's samples, in sixteenths of a sample.
    pub grid: Option<[u8; 4]>,
}

/// How a picture is to be turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DisplayOrientation {
    /// First, left and right are exchanged.
    pub is_flipped_horizontally: bool,
    /// Top and bottom are exchanged as well.
    pub is_flipped_vertically: bool,
    /// Then it is turned anticlockwise, by so many 65536ths of a full turn.
    pub anticlockwise: u16,
}

impl DisplayOrientation {
    /// The anticlockwise turn in degrees, 0 to less than 360.
    pub fn degrees(&self) -> f64 {
        f64::from(self.anticlockwise) * 360.0 / 65536.0
    }
}

/// Film grain to be added to a picture (SMPTE RDD 5).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FilmGrain {
    /// 0 frequency filtering, 1 auto-regression.
    pub model: u8,
    /// Format of the grain, where it is not that of the picture.
    pub colour: Option<GrainColour>,
    /// 0 additive, 1 multiplicative.
    pub blending_mode: u8,
    /// `log2_scale_factor`.
    pub log2_scale_factor: u8,
    /// Intervals of Y, Cb and Cr; none for a component without grain.
    pub components: [Vec<GrainInterval>; 3],
}

/// Format of film grain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct GrainColour {
    pub bit_depth_luma: u8,
    pub bit_depth_chroma: u8,
    pub full_range: bool,
    pub primaries: u8,
    pub transfer: u8,
    pub matrix: u8,
}

/// Film grain on samples of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GrainInterval {
    /// From this sample value on.
    pub from: u8,
    /// Up to this one.
    pub to: u8,
    /// How many of `values` the stream has.
    pub count: u8,
    /// `comp_model_value`.
    pub values: [i32; 6],
}

/// Whether a picture is a frame or a field, and how it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PictureStructure {
    /// `pic_struct`: 0 frame, 1 top field, 2 bottom field, 3 to 6 frame of fields, 7 frame shown twice, 8 three times, 9 to 12
    /// fields that belong to a picture before or after.
    pub pic_struct: u8,
    /// Whether the source was progressive, if the stream says so.
    pub is_progressive: Option<bool>,
    /// The picture repeats the one before it.
    pub is_duplicate: bool,
}

/// When a picture was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeCode {
    /// 0 to 23; as the time code before if `None`, and so the next two.
    pub hours: Option<u8>,
    /// 0 to 59.
    pub minutes: Option<u8>,
    /// 0 to 59.
    pub seconds: Option<u8>,
    /// Within the second.
    pub frames: u16,
    /// `counting_type`: how values of `frames` are left out.
    pub counting_type: u8,
    /// Values of `frames` were left out right before.
    pub is_dropped: bool,
    /// The time code before says nothing about the distance.
    pub is_discontinuous: bool,
    /// `frames` counts half units.
    pub is_field_based: bool,
    /// To be added, in clock ticks.
    pub offset: i32,
}
