//! `Info` and `Tracks`, as matroska-demuxer understands them.

use std::io::Cursor;

use matroska_demuxer::{
    ContentCompAlgo, ContentEncodingValue, DemuxError, DisplayUnit, MatroskaFile, TrackEntry, TrackType,
    Video,
};

use super::ebml::{elements, find, float, unsigned};
use super::{Stripped, id};
use crate::configuration::Configuration;
use crate::error::{Error, Result};
use crate::notes::Notes;
use crate::track::{Codec, Colour, Framing, TimeBase, Track, TrackKind};

/// Most bytes that frames may have stripped: they are put back at each.
const MOST_STRIPPED: usize = 256;

/// An element that was read.
#[derive(Clone, Debug)]
pub(super) struct Read {
    pub(super) offset: u64,
    pub(super) data: Vec<u8>,
}

/// What is known of a track, and is not for others to know.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) stripped: Stripped,
    /// `DefaultDuration` in ticks, rounded; `None` if there is none, or it is less than half a tick.
    pub(super) default_duration: Option<i64>,
}

/// An element with a size of 8 bytes.
fn element(id: u32, data: &[u8]) -> Vec<u8> {
    let id = id.to_be_bytes();
    let id = &id[id.iter().take_while(|&&byte| byte == 0).count()..];
    [id, &((1 << 56) | data.len() as u64).to_be_bytes(), data].concat()
}

/// Has matroska-demuxer read a file that has these two elements and nothing else. It would follow `SeekHead` and read cues, tags
/// and chapters too, and refuse a file that is cut before them.
fn demux(info: &Read, tracks: &Read) -> std::result::Result<MatroskaFile<Cursor<Vec<u8>>>, DemuxError> {
    let ebml = [
        element(id::DOC_TYPE, b"matroska"),
        element(id::DOC_TYPE_VERSION, &[2]),
        element(id::DOC_TYPE_READ_VERSION, &[2]),
    ];
    let segment =
        [element(id::INFO, &info.data), element(id::TRACKS, &tracks.data), element(id::CLUSTER, &[])];
    let file = [element(id::EBML, &ebml.concat()), element(id::SEGMENT, &segment.concat())];
    MatroskaFile::open(Cursor::new(file.concat()))
}

/// The tracks of a file.
pub(super) fn tracks(info: &Read, tracks: &Read, notes: &mut Notes) -> Result<(Vec<Entry>, Vec<Track>)> {
    let file = demux(info, tracks).map_err(|error| {
        Error::damaged("Tracks or Info element", tracks.offset.min(info.offset), error.to_string())
    })?;
    let scale = file.info().timestamp_scale().get();
    let time_base = TimeBase::new(scale, 1_000_000_000).ok_or_else(|| {
        Error::damaged("TimestampScale element", info.offset, format!("{scale} ns is no tick"))
    })?;
    let duration = file.info().duration().map(|ticks| ticks.round() as i64).filter(|&ticks| ticks > 0);
    // matroska-demuxer goes by the same elements in the same order.
    let raw = elements(&tracks.data).filter(|&(found, _)| found == id::TRACK_ENTRY).map(|(_, data)| data);
    let all = file.tracks().iter().zip(raw.map(Some).chain(std::iter::repeat(None)));
    Ok(all
        .map(|(entry, raw)| {
            let track = track(entry, raw.unwrap_or_default(), tracks.offset, time_base, duration, notes);
            let ticks = |ns: u64| i64::try_from(ns / scale + u64::from(ns % scale >= scale.div_ceil(2))).ok();
            let default_duration =
                entry.default_duration().and_then(|ns| ticks(ns.get())).filter(|&ticks| ticks > 0);
            (Entry { stripped: stripped(entry), default_duration }, track)
        })
        .unzip())
}

fn codec(entry: &TrackEntry) -> Codec {
    let id = entry.codec_id();
    let is_encrypted = entry.content_encodings().unwrap_or_default().iter();
    let mut is_encrypted =
        is_encrypted.filter(|one| matches!(one.encoding(), ContentEncodingValue::Encryption(_)));
    if is_encrypted.next().is_some() {
        return Codec::Encrypted(id.to_owned());
    }
    match id {
        "V_MPEGH/ISO/HEVC" => Codec::Hevc,
        "V_MPEG4/ISO/AVC" => Codec::H264,
        "V_MPEGI/ISO/VVC" => Codec::Vvc,
        "V_AV1" => Codec::Av1,
        "V_VP8" => Codec::Vp8,
        "V_VP9" => Codec::Vp9,
        "V_MPEG1" | "V_MPEG2" => Codec::Mpeg2,
        _ => Codec::Other(id.to_owned()),
    }
}

/// What was done to the bytes of frames.
fn stripped(entry: &TrackEntry) -> Stripped {
    // Bit 0 of the scope: the contents of blocks.
    let all = entry.content_encodings().unwrap_or_default();
    let of_blocks: Vec<_> = all.iter().filter(|one| one.scope() & 1 != 0).map(|one| one.encoding()).collect();
    match of_blocks[..] {
        [] => Stripped::Bytes(Vec::new()),
        [ContentEncodingValue::Compression(compression)] => match compression.algo() {
            ContentCompAlgo::Stripping => {
                let bytes = compression.settings().unwrap_or_default();
                match bytes.len() <= MOST_STRIPPED {
                    true => Stripped::Bytes(bytes.to_vec()),
                    false => {
                        Stripped::Unsupported(format!("frames without their first {} bytes", bytes.len()))
                    }
                }
            }
            algorithm => Stripped::Unsupported(format!("frames compressed with {algorithm:?}")),
        },
        [ContentEncodingValue::Encryption(_)] => Stripped::Unsupported("encrypted frames".to_owned()),
        _ => Stripped::Unsupported(format!("frames with {} content encodings", of_blocks.len())),
    }
}

fn track(
    entry: &TrackEntry,
    raw: &[u8],
    offset: u64,
    time_base: TimeBase,
    duration: Option<i64>,
    notes: &mut Notes,
) -> Track {
    let kind = match entry.track_type() {
        TrackType::Video => TrackKind::Video,
        TrackType::Audio => TrackKind::Audio,
        _ => TrackKind::Other,
    };
    let number = entry.track_number().get();
    let mut track = Track::new(number, kind, codec(entry), time_base);
    track.enabled = entry.flag_enabled();
    track.preferred = entry.flag_default();
    track.duration = duration;
    let language = entry.language_bcp47().or(entry.language());
    track.language = language.filter(|&language| language != "und").map(str::to_owned);
    if matches!(track.codec, Codec::Hevc | Codec::H264) {
        match entry.codec_private() {
            Some(record) => {
                match Configuration::parse(&track.codec, record, "CodecPrivate element", offset) {
                    Ok(Some(Configuration { length_size, parameter_sets })) => {
                        track.framing = Framing::LengthPrefixed(length_size);
                        track.parameter_sets = parameter_sets;
                    }
                    Ok(None) => {}
                    Err(error) => {
                        notes.add(format!("track {number} is of no use: {error}"));
                        track.codec = Codec::Other(entry.codec_id().to_owned());
                    }
                }
            }
            None => notes.add(format!("track {number}: it has no CodecPrivate; a byte stream is assumed")),
        }
    }
    if let Some(video) = entry.video() {
        track.width = u32::try_from(video.pixel_width().get()).ok();
        track.height = u32::try_from(video.pixel_height().get()).ok();
        track.pixel_aspect = pixel_aspect(video);
        let video = find(raw, id::VIDEO).unwrap_or_default();
        track.colour = find(video, id::COLOUR).map(colour);
        // Counter-clockwise in degrees; a whole turn and more is allowed.
        let roll =
            find(video, id::PROJECTION).and_then(|data| find(data, id::PROJECTION_POSE_ROLL)).and_then(float);
        track.display_matrix = match roll {
            Some(roll) if roll % 90.0 == 0.0 && roll.abs() <= 360.0 => Track::turn(-(roll as i32)),
            Some(roll) => {
                notes.add(format!("track {number}: ProjectionPoseRoll of {roll} degrees is ignored"));
                None
            }
            None => None,
        };
    }
    track
}

/// The shape of a sample, from that of the picture; `None` if the file does not say.
fn pixel_aspect(video: &Video) -> Option<(u32, u32)> {
    if !matches!(video.display_unit(), None | Some(DisplayUnit::Pixels | DisplayUnit::DisplayAspectRatio)) {
        return None;
    }
    let (width, height) = (video.display_width()?.get(), video.display_height()?.get());
    let cropped = |size: u64, a: Option<u64>, b: Option<u64>| {
        size.checked_sub(a.unwrap_or(0))?.checked_sub(b.unwrap_or(0))
    };
    let across = cropped(video.pixel_width().get(), video.pixel_crop_left(), video.pixel_crop_right())?;
    let down = cropped(video.pixel_height().get(), video.pixel_crop_top(), video.pixel_crop_bottom())?;
    let ratio = TimeBase::new(width.checked_mul(down)?, height.checked_mul(across)?)?;
    Some((ratio.num, ratio.den))
}

/// A `Colour` element, whose numbers matroska-demuxer makes names of, and loses what has none.
fn colour(data: &[u8]) -> Colour {
    let number = |id| find(data, id).and_then(unsigned);
    let code = |id| number(id).and_then(|value| u16::try_from(value).ok()).unwrap_or(2);
    Colour {
        colour_primaries: code(id::PRIMARIES),
        transfer_characteristics: code(id::TRANSFER_CHARACTERISTICS),
        matrix_coefficients: code(id::MATRIX_COEFFICIENTS),
        full_range: match number(id::RANGE) {
            Some(1) => Some(false),
            Some(2) => Some(true),
            _ => None,
        },
    }
}
