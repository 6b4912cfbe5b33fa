//! [`Track`]: what a container says of one of its tracks.

use bitstream::LengthSize;

/// What is in a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TrackKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
    /// Anything else: subtitles, time codes, metadata.
    Other,
}

/// The coding of a track.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// H.265.
    Hevc,
    /// H.264.
    H264,
    /// H.266.
    Vvc,
    /// AV1.
    Av1,
    /// VP8.
    Vp8,
    /// VP9.
    Vp9,
    /// MPEG-1 or MPEG-2 video.
    Mpeg2,
    /// Any that is encrypted, by the code of its sample entry or its codec id.
    Encrypted(String),
    /// Another one, by the code of its sample entry (MP4), its codec id (Matroska) or its stream type (MPEG-TS).
    Other(String),
}

/// How the NAL units of a packet are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Framing {
    /// By start codes (Annex B). Tracks of other codecs than HEVC and H.264 have this one too, without meaning.
    ByteStream,
    /// By a length in front of each.
    LengthPrefixed(LengthSize),
}

/// How long a tick is: `num / den` seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeBase {
    /// Never 0.
    pub num: u32,
    /// Never 0.
    pub den: u32,
}

impl TimeBase {
    /// `num / den` seconds in lowest terms; `None` if one of them is 0 or does not fit then.
    pub(crate) fn new(num: u64, den: u64) -> Option<TimeBase> {
        let (mut a, mut b) = (num, den);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        let part = |x: u64| u32::try_from(x.checked_div(a)?).ok().filter(|&x| x > 0);
        Some(TimeBase { num: part(num)?, den: part(den)? })
    }

    /// `ticks` in seconds, rounded.
    pub fn seconds(self, ticks: i64) -> f64 {
        ticks as f64 * f64::from(self.num) / f64::from(self.den)
    }
}

/// What the container says of colours, in the numbers of ITU-T H.273. What the stream says itself may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Colour {
    /// `colour_primaries`; 2 if unknown.
    pub colour_primaries: u16,
    /// `transfer_characteristics`; 2 if unknown.
    pub transfer_characteristics: u16,
    /// `matrix_coefficients`; 2 if unknown.
    pub matrix_coefficients: u16,
    /// Whether samples use all values; `None` if the container does not say.
    pub full_range: Option<bool>,
}

/// An entry of an edit list (`elst` of MP4), in ticks of the track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Edit {
    /// How long it lasts; 0 to the end of the track.
    pub duration: i64,
    /// Composition time in the media at which it begins; `None` for an empty edit, in which nothing is shown.
    pub media_time: Option<i64>,
    /// Whether it is played at the ordinary rate.
    pub ordinary_rate: bool,
}

/// What a container says of one of its tracks.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Track {
    /// `track_ID` (MP4), `TrackNumber` (Matroska), PID (MPEG-TS) or 0 (Annex B).
    pub id: u64,
    /// What is in it.
    pub kind: TrackKind,
    /// How that is coded.
    pub codec: Codec,
    /// How NAL units are told apart in its packets.
    pub framing: Framing,
    /// NAL units that the container holds outside of packets, whole with their headers: video, sequence and picture parameter
    /// sets, then what else is there. Empty if all are in the packets.
    pub parameter_sets: Vec<Vec<u8>>,
    /// The unit of its times. Without meaning for an Annex B stream, which has none.
    pub time_base: TimeBase,
    /// Luma samples in a row, as the container says.
    pub width: Option<u32>,
    /// Rows of luma samples, as the container says.
    pub height: Option<u32>,
    /// The matrix that maps a picture to the screen (ISO/IEC 14496-12, `tkhd`): a, b, u, c, d, v, x, y, w, of which u, v and w have
    /// 30 bits behind the point and the others 16. `None` if pictures are shown as they are.
    pub display_matrix: Option<[i32; 9]>,
    /// What is said of colours.
    pub colour: Option<Colour>,
    /// Width and height of a sample, in relation to each other.
    pub pixel_aspect: Option<(u32, u32)>,
    /// How long the track lasts, in ticks, before edits are applied; `None` if the container does not say, as when fragments
    /// follow. In Matroska, how long the file does.
    pub duration: Option<i64>,
    /// Its language: ISO 639-2 or BCP 47.
    pub language: Option<String>,
    /// Whether the container wants it used (`track_enabled`, `FlagEnabled`).
    pub enabled: bool,
    /// Whether the container prefers it among those of its kind (`FlagDefault`); true where a format has no such flag.
    pub preferred: bool,
    /// Its edit list, empty if there is none. Times of packets have it applied.
    pub edits: Vec<Edit>,
}

impl Track {
    pub(crate) fn new(id: u64, kind: TrackKind, codec: Codec, time_base: TimeBase) -> Track {
        Track {
            id,
            kind,
            codec,
            framing: Framing::ByteStream,
            parameter_sets: Vec::new(),
            time_base,
            width: None,
            height: None,
            display_matrix: None,
            colour: None,
            pixel_aspect: None,
            duration: None,
            language: None,
            enabled: true,
            preferred: true,
            edits: Vec::new(),
        }
    }

    /// By how many degrees a picture is turned clockwise to be shown: 0, 90, 180 or 270. `None` if the display matrix does
    /// something else, such as mirroring.
    pub fn rotation(&self) -> Option<u16> {
        let Some([a, b, _, c, d, ..]) = self.display_matrix else { return Some(0) };
        match (a.signum(), b.signum(), c.signum(), d.signum()) {
            (1, 0, 0, 1) => Some(0),
            (0, 1, -1, 0) => Some(90),
            (-1, 0, 0, -1) => Some(180),
            (0, -1, 1, 0) => Some(270),
            _ => None,
        }
    }

    /// The matrix of a turn by `degrees` clockwise, a multiple of 90; `None` for none.
    pub(crate) fn turn(degrees: i32) -> Option<[i32; 9]> {
        const ONE: i32 = 1 << 16;
        let (a, b) = match degrees.rem_euclid(360) {
            90 => (0, ONE),
            180 => (-ONE, 0),
            270 => (0, -ONE),
            _ => return None,
        };
        Some([a, b, 0, -b, a, 0, 0, 0, 1 << 30])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_bases_are_in_lowest_terms() {
        assert_eq!(TimeBase::new(1_000_000, 1_000_000_000), Some(TimeBase { num: 1, den: 1000 }));
        assert_eq!(TimeBase::new(0, 5), None);
        assert_eq!(TimeBase::new(5, 0), None);
        assert_eq!(TimeBase::new(0, 0), None);
        assert_eq!(TimeBase::new(u64::MAX, 1_000_000_000), None);
        assert_eq!(TimeBase { num: 1, den: 1000 }.seconds(1500), 1.5);
    }

    #[test]
    fn a_turn_is_found_again() {
        let mut track = Track::new(1, TrackKind::Video, Codec::Hevc, TimeBase { num: 1, den: 1 });
        for degrees in [0, 90, 180, 270] {
            track.display_matrix = Track::turn(degrees);
            assert_eq!(track.rotation(), Some(degrees as u16));
        }
        track.display_matrix = Some([-65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30]);
        assert_eq!(track.rotation(), None);
    }
}
