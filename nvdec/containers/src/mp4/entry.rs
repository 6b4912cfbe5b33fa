//! Sample entries (ISO/IEC 14496-12, 8.5.2 and 12.1.3): how a track is coded.

use mp4_atom::{Colr, Pasp};

use super::boxes::{Inner, Kind, children};
use crate::configuration::Configuration;
use crate::error::Result;
use crate::notes::Notes;
use crate::track::{Codec, Colour, TrackKind};

/// Bytes of a visual sample entry in front of its boxes.
const VISUAL: usize = 78;
/// Sample entries of a track at most; files that were joined of many have some tens.
const MOST_ENTRIES: usize = 4096;

/// What a sample entry says.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) codec: Codec,
    pub(super) configuration: Option<Configuration>,
    pub(super) size: Option<(u32, u32)>,
    pub(super) colour: Option<Colour>,
    pub(super) pixel_aspect: Option<(u32, u32)>,
}

/// Codecs by the codes of the MP4 registration authority.
pub(super) fn codec(kind: Kind) -> Codec {
    match &kind.0 {
        b"hvc1" | b"hev1" | b"dvh1" | b"dvhe" => Codec::Hevc,
        b"avc1" | b"avc2" | b"avc3" | b"avc4" | b"dva1" | b"dvav" => Codec::H264,
        b"vvc1" | b"vvi1" => Codec::Vvc,
        b"av01" | b"dav1" => Codec::Av1,
        b"vp08" => Codec::Vp8,
        b"vp09" => Codec::Vp9,
        b"mpg2" | b"m2v1" | b"mpg1" => Codec::Mpeg2,
        b"encv" | b"enca" | b"enct" | b"encs" => Codec::Encrypted(kind.to_string()),
        _ => Codec::Other(kind.to_string()),
    }
}

impl Entry {
    fn new(entry: Inner<'_>, kind: TrackKind, track: u64, notes: &mut Notes) -> Result<Entry> {
        let codec = codec(entry.kind);
        let mut found = Entry { codec, configuration: None, size: None, colour: None, pixel_aspect: None };
        if kind != TrackKind::Video {
            return Ok(found);
        }
        let [a, b, c, d] = entry.array(24)?;
        found.size = Some((u16::from_be_bytes([a, b]).into(), u16::from_be_bytes([c, d]).into()));
        for child in children(entry.body.get(VISUAL..).unwrap_or_default(), entry.offset + VISUAL as u64) {
            let child = child?;
            match &child.kind.0 {
                b"hvcC" | b"avcC" => {
                    let place = format!("{} box", child.kind);
                    let record = Configuration::parse(&found.codec, child.body, &place, child.offset - 8)?;
                    found.configuration = record.or(found.configuration);
                }
                // Files may have one for the numbers and one with a profile.
                b"colr" => match child.decode() {
                    Ok(colr) => found.colour = colour(&colr).or(found.colour),
                    Err(error) => notes.add(format!("track {track}: {error}")),
                },
                b"pasp" => {
                    let Pasp { h_spacing, v_spacing } = child.decode()?;
                    found.pixel_aspect = Some((h_spacing, v_spacing)).filter(|&(h, v)| h > 0 && v > 0);
                }
                _ => {}
            }
        }
        if matches!(found.codec, Codec::Hevc | Codec::H264) && found.configuration.is_none() {
            return Err(entry.damaged("it has no hvcC or avcC box, which says how NAL units are framed"));
        }
        Ok(found)
    }
}

pub(super) fn colour(colr: &Colr) -> Option<Colour> {
    let (colour_primaries, transfer_characteristics, matrix_coefficients, full_range) = match *colr {
        Colr::Nclx { colour_primaries, transfer_characteristics, matrix_coefficients, full_range_flag } => {
            (colour_primaries, transfer_characteristics, matrix_coefficients, Some(full_range_flag))
        }
        Colr::Nclc { colour_primaries, transfer_characteristics, matrix_coefficients } => {
            (colour_primaries, transfer_characteristics, matrix_coefficients, None)
        }
        _ => return None,
    };
    Some(Colour { colour_primaries, transfer_characteristics, matrix_coefficients, full_range })
}

/// The entries of an `stsd` box.
pub(super) fn entries(stsd: Inner<'_>, kind: TrackKind, track: u64, notes: &mut Notes) -> Result<Vec<Entry>> {
    // Version, flags and entry_count, which the boxes tell as well.
    let boxes = children(stsd.body.get(8..).unwrap_or_default(), stsd.offset + 8);
    if boxes.clone().nth(MOST_ENTRIES).is_some() {
        return Err(stsd.damaged(format!("it has more than {MOST_ENTRIES} sample entries")));
    }
    boxes.map(|entry| Entry::new(entry?, kind, track, notes)).collect()
}
