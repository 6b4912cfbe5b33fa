//! `moov` (ISO/IEC 14496-12, 8.2 and 8.3): the tracks of a file.

use std::ops::Range;

use mp4_atom::{Elst, Mdhd, Mvhd, Tkhd, Trex};

use super::boxes::{Inner, Kind, children};
use super::edits::rescale;
use super::entry::{Entry, entries};
use crate::error::{Error, Result};
use crate::notes::Notes;
use crate::track::{Codec, Edit, Framing, TimeBase, Track, TrackKind};

/// Tracks of a file at most.
const MOST_TRACKS: usize = 1024;

/// A `moov` box.
pub(super) struct Movie {
    bytes: Vec<u8>,
    /// Where it lies in the source.
    offset: u64,
    /// For each track.
    pub(super) traks: Vec<Trak>,
    /// Whether fragments may follow (`mvex`).
    pub(super) is_open: bool,
}

/// What is known of a track, and is not for others to know.
#[derive(Debug)]
pub(super) struct Trak {
    pub(super) entries: Vec<Entry>,
    /// Where the content of its `stbl` lies in that of `moov`.
    stbl: Range<usize>,
    pub(super) trex: Option<Trex>,
}

/// What an `mvhd` box says.
struct Header {
    timescale: u32,
    matrix: [i32; 9],
    /// Whether fragments may follow.
    is_open: bool,
}

const IDENTITY: [i32; 9] = [1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30];

fn matrix(m: &mp4_atom::Matrix) -> [i32; 9] {
    [m.a, m.b, m.u, m.c, m.d, m.v, m.x, m.y, m.w]
}

/// A point goes through `first` and then through `second`.
fn product(first: &[i32; 9], second: &[i32; 9]) -> [i32; 9] {
    // Bits behind the point, by column of the first and row of the second.
    const BITS: [u32; 3] = [16, 16, 30];
    std::array::from_fn(|i| {
        let (row, column) = (i / 3, i % 3);
        let term = |k: usize| (i64::from(first[row * 3 + k]) * i64::from(second[k * 3 + column])) >> BITS[k];
        (term(0) + term(1) + term(2)).clamp(i32::MIN.into(), i32::MAX.into()) as i32
    })
}

impl Movie {
    /// The tracks of a `moov` box with content `bytes` at `offset`. A track that cannot be understood is left out, with a
    /// note, unless there is no other.
    pub(super) fn new(bytes: Vec<u8>, offset: u64, notes: &mut Notes) -> Result<(Movie, Vec<Track>)> {
        let mut header = Header { timescale: 1, matrix: IDENTITY, is_open: false };
        let mut boxes = Vec::new();
        let mut trexes: Vec<Trex> = Vec::new();
        for child in children(&bytes, offset) {
            let child = child?;
            match &child.kind.0 {
                b"mvhd" => {
                    let mvhd: Mvhd = child.decode()?;
                    header.timescale = mvhd.timescale;
                    header.matrix = matrix(&mvhd.matrix);
                }
                b"trak" if boxes.len() >= MOST_TRACKS => {
                    return Err(child.damaged(format!("it is one of more than {MOST_TRACKS} tracks")));
                }
                b"trak" => boxes.push(child),
                b"mvex" => {
                    header.is_open = true;
                    for trex in child.children() {
                        let trex = trex?;
                        if trex.kind.0 == *b"trex" && trexes.len() < MOST_TRACKS {
                            trexes.push(trex.decode()?);
                        }
                    }
                }
                b"cmov" => {
                    let advice = crate::error::REMUX;
                    return Err(Error::unsupported(
                        "cmov box",
                        child.offset,
                        "a compressed moov box",
                        advice,
                    ));
                }
                _ => {}
            }
        }
        // Searched once for each track.
        trexes.sort_by_key(|trex| trex.track_id);
        let (mut traks, mut tracks) = (Vec::new(), Vec::new());
        let mut first_error = None;
        for child in boxes {
            match read_trak(child, offset, &header, notes) {
                Ok((mut trak, track)) => {
                    let trex = trexes.binary_search_by_key(&track.id, |trex| trex.track_id.into());
                    trak.trex = trex.ok().and_then(|at| trexes.get(at)).cloned();
                    traks.push(trak);
                    tracks.push(track);
                }
                Err(error) => {
                    notes.add(format!("a track is left out: {error}"));
                    first_error.get_or_insert(error);
                }
            }
        }
        match first_error {
            Some(error) if tracks.is_empty() => Err(error),
            _ => Ok((Movie { bytes, offset, traks, is_open: header.is_open }, tracks)),
        }
    }

    /// The `stbl` box of a track.
    pub(super) fn stbl(&self, trak: &Trak) -> Inner<'_> {
        let body = self.bytes.get(trak.stbl.clone()).unwrap_or_default();
        Inner { kind: Kind(*b"stbl"), body, offset: self.offset + trak.stbl.start as u64 }
    }
}

/// A track, from the `trak` box of a `moov` box whose content begins at `moov`.
fn read_trak(trak: Inner<'_>, moov: u64, movie: &Header, notes: &mut Notes) -> Result<(Trak, Track)> {
    let (mut tkhd, mut mdia, mut elst) = (None, None, None);
    for child in trak.children() {
        let child = child?;
        match &child.kind.0 {
            b"tkhd" => tkhd = Some(child.decode::<Tkhd>()?),
            b"mdia" => mdia = Some(child),
            b"edts" => {
                let mut found = child.children().filter_map(Result::ok);
                elst = found.find(|child| child.kind.0 == *b"elst").or(elst);
            }
            _ => {}
        }
    }
    let tkhd = tkhd.ok_or_else(|| trak.damaged("it has no tkhd box"))?;
    let mdia = mdia.ok_or_else(|| trak.damaged("it has no mdia box"))?;
    let id = u64::from(tkhd.track_id);
    let (mut mdhd, mut kind, mut stbl) = (None, TrackKind::Other, None);
    for child in mdia.children() {
        let child = child?;
        match &child.kind.0 {
            b"mdhd" => mdhd = Some((child, child.decode::<Mdhd>()?)),
            b"hdlr" => {
                kind = match &child.array(8)? {
                    b"vide" | b"auxv" => TrackKind::Video,
                    b"soun" => TrackKind::Audio,
                    _ => TrackKind::Other,
                }
            }
            b"minf" => {
                for inner in child.children() {
                    let inner = inner?;
                    stbl = if inner.kind.0 == *b"stbl" { Some(inner) } else { stbl };
                }
            }
            _ => {}
        }
    }
    let (place, mdhd) = mdhd.ok_or_else(|| mdia.damaged("it has no mdhd box"))?;
    let time_base =
        TimeBase::new(1, mdhd.timescale.into()).ok_or_else(|| place.damaged("its timescale is 0"))?;
    let stbl = stbl.ok_or_else(|| mdia.damaged("it has no stbl box"))?;
    let stsd = stbl.children().filter_map(Result::ok).find(|child| child.kind.0 == *b"stsd");
    let stsd = stsd.ok_or_else(|| stbl.damaged("it has no stsd box"))?;
    let entries = entries(stsd, kind, id, notes)?;
    let first = entries.first().ok_or_else(|| stsd.damaged("it has no sample entry"))?;

    let mut track = Track::new(id, kind, first.codec.clone(), time_base);
    if let Some(configuration) = &first.configuration {
        track.framing = Framing::LengthPrefixed(configuration.length_size);
        track.parameter_sets = configuration.parameter_sets.clone();
    }
    if kind == TrackKind::Video {
        (track.width, track.height) = first.size.unzip();
        let whole = product(&matrix(&tkhd.matrix), &movie.matrix);
        track.display_matrix = Some(whole).filter(|whole| *whole != IDENTITY);
    }
    track.colour = first.colour;
    track.pixel_aspect = first.pixel_aspect;
    // All ones: unknown. What fragments add is not in it.
    let known = !movie.is_open && ![0, u32::MAX.into(), u64::MAX].contains(&mdhd.duration);
    track.duration = i64::try_from(mdhd.duration).ok().filter(|_| known);
    let is_code = mdhd.language.bytes().all(|byte| byte.is_ascii_lowercase());
    track.language = Some(mdhd.language).filter(|language| is_code && language != "und");
    track.enabled = tkhd.enabled;
    if let Some(elst) = elst {
        match elst.decode::<Elst>() {
            Ok(list) => track.edits = edits(&list, movie.timescale, mdhd.timescale),
            Err(error) => notes.add(format!("the edit list of track {id} is ignored: {error}")),
        }
    }
    let start = usize::try_from(stbl.offset - moov).unwrap_or(usize::MAX);
    let stbl = start..start.saturating_add(stbl.body.len());
    Ok((Trak { entries, stbl, trex: None }, track))
}

fn edits(elst: &Elst, movie: u32, media: u32) -> Vec<Edit> {
    let edit = |entry: &mp4_atom::ElstEntry| Edit {
        duration: rescale(entry.segment_duration, movie, media),
        media_time: entry.media_time.map(|time| i64::try_from(time).unwrap_or(i64::MAX)),
        ordinary_rate: entry.media_rate.integer() == 1 && entry.media_rate.decimal() == 0,
    };
    elst.entries.iter().map(edit).collect()
}

impl Trak {
    /// Why packets of the track cannot be given.
    pub(super) fn refusal(&self, track: &Track, moov: u64) -> Option<Error> {
        let Codec::Encrypted(code) = &track.codec else { return None };
        let what = format!("an encrypted track ({code})");
        Some(Error::unsupported("stsd box", moov, what, "decrypt it first"))
    }

    /// Whether samples of entry `index` (from 1) need what the track's [`Track::parameter_sets`] say, and nothing else.
    pub(super) fn is_like_first(&self, index: u32) -> bool {
        let Some(first) = self.entries.first() else { return true };
        let entry = (index as usize).checked_sub(1).and_then(|index| self.entries.get(index));
        // A wrong index is common in files with one entry.
        entry.is_none_or(|entry| entry.codec == first.codec && entry.configuration == first.configuration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_are_applied_one_after_the_other() {
        let quarter = Track::turn(90).unwrap();
        assert_eq!(product(&quarter, &IDENTITY), quarter);
        assert_eq!(product(&quarter, &quarter), Track::turn(180).unwrap());
        assert_eq!(product(&[i32::MIN; 9], &[i32::MIN; 9])[0], i32::MAX);
    }
}
