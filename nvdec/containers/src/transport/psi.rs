//! Program association and map tables (ISO/IEC 13818-1, 2.4.4): which streams there are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use mpeg2ts_reader::mpegts_crc::sum32;
use mpeg2ts_reader::packet::Packet;
use mpeg2ts_reader::psi::pat::{PatSection, ProgramDescriptor};

use crate::notes::Notes;
use crate::track::{Codec, TimeBase, Track, TrackKind};

/// Bytes of the longest section.
const LONGEST: usize = 3 + 1021;
/// Bytes in front of the data of a section with a version, and of the checksum behind.
const HEADER: usize = 8;
const CRC: usize = 4;
/// `table_id` of the tables.
const PAT: u8 = 0;
const PMT: u8 = 2;

/// Puts the sections of a PID together.
#[derive(Clone, Debug, Default)]
struct Sections {
    bytes: Vec<u8>,
    /// Whether a section has begun.
    is_in_one: bool,
}

impl Sections {
    /// Gives each section that is complete with this payload to `take`.
    fn push(&mut self, payload: &[u8], is_start: bool, mut take: impl FnMut(&[u8])) {
        if !is_start {
            if self.is_in_one {
                self.bytes.extend_from_slice(payload);
                self.complete(&mut take);
            }
            return;
        }
        let Some((&pointer, rest)) = payload.split_first() else { return };
        let Some((before, behind)) = rest.split_at_checked(pointer.into()) else { return };
        if self.is_in_one {
            self.bytes.extend_from_slice(before);
            self.complete(&mut take);
        }
        self.is_in_one = true;
        self.bytes.clear();
        self.bytes.extend_from_slice(behind);
        self.complete(&mut take);
    }

    fn complete(&mut self, take: &mut impl FnMut(&[u8])) {
        let mut rest = &self.bytes[..];
        // Stuffing.
        while let &[table, high, low, ..] = rest
            && table != 0xff
        {
            let length = 3 + (usize::from(high & 15) << 8 | usize::from(low));
            if length > LONGEST {
                rest = &[];
                self.is_in_one = false;
                break;
            }
            let Some((section, behind)) = rest.split_at_checked(length) else { break };
            take(section);
            rest = behind;
        }
        self.is_in_one &= rest.first().is_none_or(|&table| table != 0xff) && !rest.is_empty();
        let done = self.bytes.len() - rest.len();
        self.bytes.drain(..done);
    }
}

/// The data of a section of `table`, if it is whole and in force.
fn data(section: &[u8], table: u8) -> Option<&[u8]> {
    let is_current = *section.first()? == table && section.get(5)? & 1 == 1;
    let data = section.get(HEADER..section.len().checked_sub(CRC)?)?;
    (is_current && sum32(section) == 0).then_some(data)
}

/// A stream of a program.
#[derive(Clone, Debug)]
struct Stream {
    pid: u16,
    stream_type: u8,
    registration: Option<[u8; 4]>,
    language: Option<String>,
}

/// The programs of a stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Programs {
    pat: Sections,
    /// By the PID of the map table, with whether one was found.
    maps: BTreeMap<u16, (Sections, bool)>,
    /// In the order in which they were found, each PID once.
    streams: Vec<Stream>,
    known: BTreeSet<u16>,
}

impl Programs {
    /// Takes a packet of the stream; breaks when all programs are known.
    pub(super) fn push(&mut self, packet: &Packet<'_>) -> ControlFlow<()> {
        let pid = u16::from(packet.pid());
        let is_start = packet.payload_unit_start_indicator();
        let Some(payload) = packet.payload() else { return ControlFlow::Continue(()) };
        if pid == 0 {
            let maps = &mut self.maps;
            self.pat.push(payload, is_start, |section| {
                for program in PatSection::new(data(section, PAT).unwrap_or_default()).programs() {
                    if let ProgramDescriptor::Program { pid, .. } = program {
                        maps.entry(pid.into()).or_default();
                    }
                }
            });
        } else if let Some((sections, is_found)) = self.maps.get_mut(&pid) {
            sections.push(payload, is_start, |section| {
                if let Some(pmt) = data(section, PMT) {
                    *is_found = true;
                    self.streams
                        .extend(streams(pmt).into_iter().filter(|stream| self.known.insert(stream.pid)));
                }
            });
            if self.maps.values().all(|&(_, is_found)| is_found) {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    /// A track for each stream.
    pub(super) fn tracks(self, notes: &mut Notes) -> Vec<Track> {
        let missing = self.maps.values().filter(|(_, is_found)| !is_found).count();
        if missing > 0 {
            notes.add(format!("{missing} of {} programs have no map table (PMT)", self.maps.len()));
        }
        let track = |stream: Stream| {
            let (kind, codec) = coding(&stream);
            let mut track = Track::new(stream.pid.into(), kind, codec, TimeBase { num: 1, den: 90_000 });
            track.language = stream.language;
            track
        };
        self.streams.into_iter().map(track).collect()
    }
}

/// The streams of a map table, whose data behind `last_section_number` are `pmt`. A table that is cut gives those in front.
fn streams(pmt: &[u8]) -> Vec<Stream> {
    let of = |high: u8, low: u8, mask: u8| usize::from(high & mask) << 8 | usize::from(low);
    let Some(&[_, _, high, low]) = pmt.first_chunk() else { return Vec::new() };
    let mut rest = pmt.get(4 + of(high, low, 15)..).unwrap_or_default();
    let mut found = Vec::new();
    while let &[stream_type, pid_high, pid_low, high, low, ref behind @ ..] = rest {
        let Some((mut descriptors, next)) = behind.split_at_checked(of(high, low, 15)) else { break };
        let pid = of(pid_high, pid_low, 31) as u16;
        let mut stream = Stream { pid, stream_type, registration: None, language: None };
        while let &[tag, length, ref behind @ ..] = descriptors {
            let Some((descriptor, next)) = behind.split_at_checked(length.into()) else { break };
            match (tag, descriptor.first_chunk()) {
                (5, Some(format)) => stream.registration = Some(*format),
                // ISO_639_language_descriptor.
                (10, _) => {
                    let code = descriptor.get(..3).filter(|code| code.iter().all(u8::is_ascii_alphabetic));
                    stream.language = code.map(|code| String::from_utf8_lossy(code).into_owned());
                }
                _ => {}
            }
            descriptors = next;
        }
        found.push(stream);
        rest = next;
    }
    found
}

fn coding(stream: &Stream) -> (TrackKind, Codec) {
    let other = || Codec::Other(format!("stream_type {:#04x}", stream.stream_type));
    match (stream.stream_type, stream.registration.as_ref()) {
        (0x24, _) | (6, Some(b"HEVC")) => (TrackKind::Video, Codec::Hevc),
        (0x1b, _) => (TrackKind::Video, Codec::H264),
        (0x33, _) => (TrackKind::Video, Codec::Vvc),
        (6, Some(b"AV01")) => (TrackKind::Video, Codec::Av1),
        (1 | 2, _) => (TrackKind::Video, Codec::Mpeg2),
        (0x10 | 0x1e | 0x20 | 0x21 | 0x25 | 0xea, _) => (TrackKind::Video, other()),
        (3 | 4 | 0x0f | 0x11 | 0x1c | 0x80..=0x87, _) => (TrackKind::Audio, other()),
        _ => (TrackKind::Other, other()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sections(payloads: &[(&[u8], bool)]) -> Vec<Vec<u8>> {
        let mut sections = Sections::default();
        let mut found = Vec::new();
        for &(payload, is_start) in payloads {
            sections.push(payload, is_start, |section| found.push(section.to_vec()));
        }
        found
    }

    #[test]
    fn sections_lie_across_packets_and_behind_each_other() {
        let found = sections(&[
            (b"lost", false),
            (b"\x00\x02\xb0\x05abc", true),
            (b"d", false),
            (b"\x01e\x02\xb0\x01f\x02\xb0\x02gh\xff\xff\xff\xff", true),
            (b"\xff\xff\xff", false),
        ]);
        assert_eq!(found, [&b"\x02\xb0\x05abcde"[..], b"\x02\xb0\x01f", b"\x02\xb0\x02gh"]);
        // Longer than a section may be; a pointer behind the end.
        assert_eq!(
            sections(&[(b"\x00\x02\xbf\xff", true), (&[0; 2000], false), (b"\x09\x02", true)]),
            [[]; 0]
        );
    }

    #[test]
    fn streams_have_types_and_descriptors() {
        let pmt = b"\xe1\x00\xf0\x02\x63\x00\x24\xe1\x00\xf0\x00\x06\xe1\x01\xf0\x06\x05\x04HEVC\x0f\xe1\x02\xf0\x06\x0a\x04deu\x00\x1b\xe1";
        let found: Vec<_> =
            streams(pmt).iter().map(|stream| (stream.pid, coding(stream), stream.language.clone())).collect();
        let aac = Codec::Other("stream_type 0x0f".to_owned());
        assert_eq!(
            found,
            [
                (0x100, (TrackKind::Video, Codec::Hevc), None),
                (0x101, (TrackKind::Video, Codec::Hevc), None),
                (0x102, (TrackKind::Audio, aac), Some("deu".to_owned())),
            ]
        );
    }

    #[test]
    fn tables_with_a_wrong_checksum_are_not_used() {
        let mut section = b"\x02\xb0\x0d\x00\x01\xc1\x00\x00data".to_vec();
        section.extend(sum32(&section).to_be_bytes());
        assert_eq!(data(&section, PMT), Some(&b"data"[..]));
        assert_eq!(data(&section, PAT), None);
        section[9] ^= 1;
        assert_eq!(data(&section, PMT), None);
        assert_eq!(data(&[2, 0, 0], PMT), None);
    }
}
