//! HEVC byte streams (Annex B of H.265): where access units begin.

use bitstream::find_start_code;

use crate::demux::Demuxer;
use crate::error::{Error, REMUX, Result};
use crate::notes::Notes;
use crate::packet::PacketInfo;
use crate::source::Source;
use crate::track::{Codec, TimeBase, Track, TrackKind};

/// Bytes that are searched at a time.
const CHUNK: usize = 1 << 18;
/// Bytes of a start code and behind it that tell whether an access unit begins.
const NEEDED: usize = 6;

/// A byte stream.
#[derive(Debug)]
pub(crate) struct AnnexB;

impl AnnexB {
    /// Its only track.
    pub(crate) fn track(codec: Codec) -> Track {
        Track::new(0, TrackKind::Video, codec, TimeBase { num: 1, den: 1 })
    }
}

/// What a NAL unit of the base layer does to access units (7.4.2.4.4), by its first three bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unit {
    /// Begins one, if a slice segment was there.
    opens: bool,
    /// Is a slice segment.
    is_slice: bool,
    /// Is one of an IRAP picture.
    is_key: bool,
    /// Ends a sequence or the stream.
    closes: bool,
}

impl Unit {
    /// `None` for other layers and broken headers, which begin nothing.
    fn new(start: &[u8]) -> Option<Unit> {
        let &[first, second, ..] = start else { return None };
        if first & 0x81 != 0 || second & 0xf8 != 0 || second & 7 == 0 {
            return None;
        }
        let kind = first >> 1;
        let is_slice = matches!(kind, 0..=9 | 16..=21);
        let is_first_slice = is_slice && start.get(2).is_some_and(|byte| byte & 0x80 != 0);
        Some(Unit {
            // VPS, SPS, PPS, AUD, prefix SEI, and the reserved and unspecified types that may only come there.
            opens: is_first_slice || matches!(kind, 32..=35 | 39 | 41..=44 | 48..=55),
            is_slice,
            is_key: is_slice && kind >= 16,
            closes: matches!(kind, 36 | 37),
        })
    }
}

/// The access unit that is going on.
#[derive(Clone, Copy, Debug, Default)]
struct Current {
    start: u64,
    has_slice: bool,
    is_key: bool,
    has_ended: bool,
}

/// The access units of a stream.
#[derive(Debug, Default)]
struct Units {
    packets: Vec<PacketInfo>,
    current: Option<Current>,
}

impl Units {
    /// A NAL unit whose start code begins at `offset`.
    fn push(&mut self, offset: u64, start: &[u8]) {
        let Some(unit) = Unit::new(start) else { return };
        let begins = match &self.current {
            None => true,
            Some(current) => (unit.opens && current.has_slice) || (current.has_ended && !unit.closes),
        };
        if begins {
            self.end(offset);
        }
        let current = self.current.get_or_insert(Current { start: offset, ..Current::default() });
        current.has_slice |= unit.is_slice;
        current.is_key |= unit.is_key;
        current.has_ended = unit.closes;
    }

    fn end(&mut self, offset: u64) {
        let Some(Current { start, is_key, .. }) = self.current.take() else { return };
        let size = offset.saturating_sub(start);
        let times = (None, None, None);
        let (pts, dts, duration) = times;
        self.packets.push(PacketInfo { offset: start, size, pts, dts, duration, key: is_key, shown: true });
    }
}

impl Demuxer for AnnexB {
    fn packets(
        &mut self,
        source: &mut Source,
        _index: usize,
        track: &Track,
        _notes: &mut Notes,
    ) -> Result<Vec<PacketInfo>> {
        if track.codec != Codec::Hevc {
            let what = format!("dividing a byte stream of {:?} into access units", track.codec);
            return Err(Error::unsupported("byte stream", 0, what, REMUX));
        }
        let mut units = Units::default();
        let mut at = 0;
        loop {
            let bytes = source.peek(at, CHUNK)?;
            let is_last = bytes.len() < CHUNK;
            let mut from = 0;
            // What is looked at again: a start code that may go on, with the zero in front of it.
            let mut next = bytes.len().saturating_sub(3);
            while let Some(found) = find_start_code(&bytes[from..]) {
                let code = from + found;
                if code + NEEDED > bytes.len() && !is_last {
                    next = code.saturating_sub(1);
                    break;
                }
                let is_long = code.checked_sub(1).is_some_and(|zero| bytes[zero] == 0);
                let start = &bytes[code + 3..(code + NEEDED).min(bytes.len())];
                units.push(at + code as u64 - u64::from(is_long), start);
                from = code + 3;
            }
            if is_last {
                break;
            }
            // A start code that was seen is not to be found again.
            at += next.max(from) as u64;
        }
        units.end(source.size());
        Ok(units.packets)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn packets(stream: Vec<u8>) -> Vec<(u64, u64, bool)> {
        let mut source = Source::new(Cursor::new(stream)).unwrap();
        let track = AnnexB::track(Codec::Hevc);
        let found = AnnexB.packets(&mut source, 0, &track, &mut Notes::default()).unwrap();
        found.iter().map(|packet| (packet.offset, packet.size, packet.key)).collect()
    }

    const AUD: &[u8] = &[0, 0, 0, 1, 0x46, 1, 0x50];
    const IDR: &[u8] = &[0, 0, 1, 0x26, 1, 0xaf];
    const FIRST: &[u8] = &[0, 0, 1, 2, 1, 0xd0];
    const SECOND: &[u8] = &[0, 0, 1, 2, 1, 0x50];
    const SUFFIX_SEI: &[u8] = &[0, 0, 1, 0x50, 1, 0x80];
    const OTHER_LAYER: &[u8] = &[0, 0, 1, 2, 9, 0xd0];
    const EOS: &[u8] = &[0, 0, 1, 0x48, 1];

    #[test]
    fn access_units_begin_where_the_standard_says() {
        let stream = [AUD, IDR, SECOND, SUFFIX_SEI, FIRST, OTHER_LAYER, EOS, SECOND, AUD, FIRST].concat();
        assert_eq!(packets(stream), [(0, 25, true), (25, 17, false), (42, 6, false), (48, 13, false)]);
        assert_eq!(packets(b"\0\0\0".to_vec()), []);
        assert_eq!(packets(b"\0\0\x01\x26".to_vec()), []);
    }

    #[test]
    fn the_borders_of_chunks_are_not_seen() {
        for shift in 0..12 {
            let filler = vec![0xff; CHUNK - shift - IDR.len()];
            let stream = [IDR, &filler, AUD, FIRST, IDR].concat();
            let second = (CHUNK - shift) as u64;
            assert_eq!(packets(stream), [(0, second, true), (second, 13, false), (second + 13, 6, true)]);
        }
    }
}
