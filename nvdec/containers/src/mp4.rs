//! MP4 and QuickTime (ISO/IEC 14496-12), with and without fragments, and still pictures (HEIF).

mod boxes;
mod edits;
mod entry;
mod fragment;
mod movie;
mod still;
mod table;

use boxes::Header;
use edits::Timeline;
use fragment::{Fragment, Progress};
use movie::Movie;
use still::Still;
use table::{Sample, Tables};

use crate::demux::{Demuxer, Format};
use crate::error::{Error, Result};
use crate::notes::Notes;
use crate::packet::PacketInfo;
use crate::source::Source;
use crate::track::Track;

/// Most bytes of a `moov` box; a day of video at 60 pictures a second has some 80 MB.
const MAX_MOOV: u64 = 256 << 20;
/// Most bytes of a `moof` box.
const MAX_MOOF: u64 = 32 << 20;

/// How often the samples of a track may have the bytes of the whole file: samples may share bytes, but hardly do.
const MOST_READ: u64 = 4;

/// Types of boxes that a file may begin with.
const FIRST: [&[u8; 4]; 15] = [
    b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"pnot", b"uuid", b"sidx",
    b"emsg", b"prft", b"pdin", b"meta",
];

/// Whether a file that begins with `head` is one of boxes.
pub(crate) fn is_mp4(head: &[u8]) -> bool {
    let Some(&[a, b, c, d, ref kind @ ..]) = head.first_chunk::<8>() else { return false };
    FIRST.contains(&kind) && !(2..8).contains(&u32::from_be_bytes([a, b, c, d]))
}

/// A file of boxes.
pub(crate) struct Mp4 {
    movie: Movie,
    /// Where the `moov` box begins.
    moov: u64,
    /// Where each `moof` box begins.
    fragments: Vec<u64>,
}

impl Mp4 {
    /// Passes over the boxes of the file and reads `moov`, or `meta` if there is none.
    pub(crate) fn open(
        source: &mut Source,
        notes: &mut Notes,
    ) -> Result<(Box<dyn Demuxer>, Format, Vec<Track>)> {
        let mut movie = None;
        let mut fragments = Vec::new();
        let mut still = None;
        let mut offset = 0;
        while offset < source.size() {
            let header = match Header::at(source, offset) {
                Ok(Some(header)) => header,
                Ok(None) => break,
                // What is there can be played.
                Err(error @ Error::Damaged { .. }) if movie.is_some() => {
                    notes.add(format!("the file is read up to its byte {offset}: {error}"));
                    break;
                }
                Err(error) => return Err(error),
            };
            match &header.kind.0 {
                b"moov" if movie.is_none() => {
                    let bytes = header.read(source, MAX_MOOV)?;
                    movie = Some((Movie::new(bytes, header.body, notes)?, header.offset));
                }
                b"moov" => notes.add(format!("a second moov box at byte {offset} is ignored")),
                b"moof" => fragments.push(offset),
                b"meta" => still = Some(header),
                _ => {}
            }
            if header.end > source.size() {
                notes.add(format!(
                    "{} box at byte {offset}: the file ends {} bytes before it does",
                    header.kind,
                    header.end - source.size()
                ));
            }
            offset = header.end;
        }
        let Some(((movie, tracks), moov)) = movie else {
            let Some(meta) = still.filter(|_| fragments.is_empty()) else {
                return Err(no_movie(source.size(), &fragments));
            };
            let (still, format, tracks) = Still::open(source, meta, notes)?;
            return Ok((Box::new(still), format, tracks));
        };
        let format = if movie.is_open || !fragments.is_empty() { Format::FragmentedMp4 } else { Format::Mp4 };
        Ok((Box::new(Mp4 { movie, moov, fragments }), format, tracks))
    }
}

/// What a file without `moov` is.
fn no_movie(size: u64, fragments: &[u64]) -> Error {
    if let Some(&moof) = fragments.first() {
        return Error::unsupported(
            "moof box",
            moof,
            "a fragment without the moov box that says how to decode it",
            "put the initialization segment in front: `cat init.mp4 FILE > NEW`",
        );
    }
    Error::damaged(
        "file",
        0,
        format!("it has no moov box within its {size} bytes: it is cut, or was never finished"),
    )
}

/// Collects the packets of a track.
struct Collector<'a> {
    packets: Vec<PacketInfo>,
    line: Timeline,
    available: u64,
    /// Bytes of all samples so far.
    bytes: u64,
    /// Samples without bytes.
    empty: u64,
    /// The smallest composition offset, if that is below 0.
    earliest: i64,
    is_like_first: &'a dyn Fn(u32) -> bool,
    /// The last `sample_description_index` that was looked at.
    entry: u32,
}

impl Collector<'_> {
    /// Whether samples end here, since the file does.
    fn take(&mut self, sample: Sample) -> Result<bool> {
        if sample.size == 0 {
            self.empty += 1;
            return Ok(false);
        }
        if sample.offset.saturating_add(sample.size.into()) > self.available {
            return Ok(true);
        }
        if sample.entry != self.entry {
            if !(self.is_like_first)(sample.entry) {
                let what = format!(
                    "a change to sample entry {} at sample {}, which has other parameter sets,",
                    sample.entry,
                    self.packets.len() + 1
                );
                let advice = "have the parameter sets in the samples: `ffmpeg -i FILE -c copy -bsf:v hevc_mp4toannexb NEW.ts`";
                return Err(Error::unsupported("stsc or tfhd box", sample.offset, what, advice));
            }
            self.entry = sample.entry;
        }
        self.bytes = self.bytes.saturating_add(sample.size.into());
        let (count, bytes, available) = (self.packets.len() as u64, self.bytes, self.available);
        if count >= available || bytes > available.saturating_mul(MOST_READ) {
            let what = match count >= available {
                true => format!("the track has more samples than the file has bytes ({available})"),
                false => format!(
                    "its samples lie over each other: they have {bytes} bytes in a file of {available}"
                ),
            };
            return Err(Error::damaged("stsz or trun box", sample.offset, what));
        }
        let composition = sample.dts.saturating_add(sample.composition);
        self.earliest = self.earliest.min(sample.composition);
        self.packets.push(PacketInfo {
            offset: sample.offset,
            size: sample.size.into(),
            pts: Some(composition.saturating_add(self.line.shift)),
            dts: Some(sample.dts.saturating_add(self.line.shift)),
            duration: Some(sample.delta.into()),
            key: sample.sync,
            shown: self.line.shows(composition),
        });
        Ok(false)
    }
}

impl Demuxer for Mp4 {
    fn packets(
        &mut self,
        source: &mut Source,
        index: usize,
        track: &Track,
        notes: &mut Notes,
    ) -> Result<Vec<PacketInfo>> {
        let Some(trak) = self.movie.traks.get(index) else { return Ok(Vec::new()) };
        if let Some(error) = trak.refusal(track, self.moov) {
            return Err(error);
        }
        let id = track.id;
        let is_open = self.movie.is_open && !self.fragments.is_empty();
        let mut collector = Collector {
            packets: Vec::new(),
            line: Timeline::new(&track.edits, is_open, id, notes),
            available: source.size(),
            bytes: 0,
            empty: 0,
            earliest: 0,
            is_like_first: &|entry| trak.is_like_first(entry),
            entry: 1,
        };
        let tables = Tables::new(self.movie.stbl(trak), source.size())?;
        let mut progress = Progress::default();
        let mut is_cut = false;
        let mut seen = 0;
        for sample in tables.samples() {
            seen += 1;
            progress.dts = sample.dts.saturating_add(sample.delta.into());
            is_cut = collector.take(sample)?;
            if is_cut {
                break;
            }
        }
        let count = tables.sizes.count();
        if !is_cut && seen < count {
            notes.add(format!("track {id}: its chunks hold {seen} of the {count} samples that stsz claims"));
        }
        let (times, compositions) = tables.uncovered();
        if times > 0 {
            notes.add(format!("track {id}: stts has no duration for its last {times} samples"));
        }
        if compositions > 0 {
            notes.add(format!("track {id}: ctts has no offset for its last {compositions} samples"));
        }
        for &offset in &self.fragments {
            if is_cut {
                break;
            }
            let Some(header) = Header::at(source, offset)? else { break };
            if header.end > source.size() {
                is_cut = true;
                break;
            }
            let content = header.read(source, MAX_MOOF)?;
            let fragment = Fragment { body: &content, offset, content: header.body };
            is_cut =
                fragment.samples(id, trak.trex.as_ref(), &mut progress, |sample| collector.take(sample))?;
        }
        if is_cut {
            let got = collector.packets.len();
            notes.add(format!("track {id}: the file ends in or before sample {}; {got} are given", got + 1));
        }
        let empty = collector.empty + progress.empty;
        if empty > 0 {
            notes.add(format!("track {id}: {empty} samples without bytes are left out"));
        }
        let Collector { mut packets, earliest, .. } = collector;
        if earliest < 0 {
            // Nothing can be shown before it is decoded: such files count from the other end.
            for packet in &mut packets {
                packet.dts = packet.dts.map(|dts| dts.saturating_add(earliest));
            }
        }
        Ok(packets)
    }
}
