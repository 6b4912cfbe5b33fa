//! MPEG transport streams (ISO/IEC 13818-1).

mod layout;
mod pes;
mod psi;

use std::ops::ControlFlow;

use mpeg2ts_reader::packet::Packet;

pub(crate) use layout::Layout;
use layout::Walker;
use pes::Pes;
use psi::Programs;

use crate::demux::Demuxer;
use crate::error::{Error, Result};
use crate::notes::Notes;
use crate::packet::PacketInfo;
use crate::source::Source;
use crate::track::Track;

/// Bytes of a stream within which its programs have to be described.
const MAX_TABLES: u64 = 64 << 20;

/// A transport stream.
#[derive(Debug)]
pub(crate) struct Transport {
    layout: Layout,
}

impl Transport {
    /// Reads the stream up to where all its programs are described.
    pub(crate) fn open(
        source: &mut Source,
        layout: Layout,
        notes: &mut Notes,
    ) -> Result<(Transport, Vec<Track>)> {
        let mut walker = Walker::new(layout, layout.first, source.size());
        let mut programs = Programs::default();
        while let Some((at, bytes)) = walker.next(source)?
            && at < MAX_TABLES
        {
            let packet = packet(&bytes);
            if let ControlFlow::Break(()) = programs.push(&packet) {
                break;
            }
        }
        let tracks = programs.tracks(notes);
        if tracks.is_empty() {
            let what = "no program association and map tables (PAT, PMT) name a stream";
            return Err(Error::damaged("transport stream", layout.first, what));
        }
        Ok((Transport { layout }, tracks))
    }
}

/// A packet that begins with its sync byte, which [`Walker`] sees to.
fn packet(bytes: &[u8; Packet::SIZE]) -> Packet<'_> {
    Packet::new(bytes)
}

/// Sees which packets of a PID were lost or sent twice, by their continuity counters.
#[derive(Clone, Copy, Debug, Default)]
struct Continuity {
    last: Option<u8>,
    errors: u64,
}

impl Continuity {
    /// Whether the packet, which has a payload, is new.
    fn is_new(&mut self, packet: &Packet<'_>) -> bool {
        let count = packet.continuity_counter().count();
        let last = self.last.replace(count);
        let is_announced = packet.adaptation_field().is_some_and(|field| field.discontinuity_indicator());
        if is_announced || last.is_none_or(|last| count == (last + 1) & 15) {
            return true;
        }
        let is_again = last == Some(count);
        self.errors += u64::from(!is_again);
        !is_again
    }
}

/// Unwraps times of 33 bits: the one nearest to the last.
#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    last: Option<i64>,
}

impl Clock {
    const BITS: u32 = 33;

    fn near(value: u64, other: i64) -> i64 {
        let difference = (value as i64).wrapping_sub(other) << (64 - Self::BITS) >> (64 - Self::BITS);
        other.saturating_add(difference)
    }

    /// Presentation and decoding time of the next packet.
    fn unwrap(&mut self, pts: u64, dts: Option<u64>) -> (i64, i64) {
        let value = dts.unwrap_or(pts);
        let dts = self.last.map_or(value as i64, |last| Self::near(value, last));
        self.last = Some(dts);
        (Self::near(pts, dts), dts)
    }
}

/// The PES packet that is going on.
#[derive(Debug)]
struct Current {
    offset: u64,
    end: u64,
    head: Vec<u8>,
    key: bool,
}

impl Demuxer for Transport {
    fn packets(
        &mut self,
        source: &mut Source,
        _index: usize,
        track: &Track,
        notes: &mut Notes,
    ) -> Result<Vec<PacketInfo>> {
        let mut walker = Walker::new(self.layout, self.layout.first, source.size());
        let mut continuity = Continuity::default();
        let mut clock = Clock::default();
        let mut current: Option<Current> = None;
        let mut packets = Vec::new();
        let (mut broken, mut damaged) = (0u64, 0u64);
        let mut end = |current: Option<Current>, packets: &mut Vec<PacketInfo>| {
            let Some(Current { offset, end, head, key }) = current else { return };
            let Some(pes) = Pes::parse(&head) else {
                broken += 1;
                return;
            };
            let times = pes.pts.map(|pts| clock.unwrap(pts, pes.dts)).unzip();
            let (pts, dts) = times;
            packets.push(PacketInfo {
                offset,
                size: end - offset,
                pts,
                dts,
                duration: None,
                key,
                shown: true,
            });
        };
        while let Some((at, bytes)) = walker.next(source)? {
            let packet = packet(&bytes);
            if u64::from(u16::from(packet.pid())) != track.id {
                continue;
            }
            let Some(payload) = packet.payload() else { continue };
            if packet.transport_scrambling_control().is_scrambled() {
                let what = format!("a scrambled packet of PID {}", track.id);
                return Err(Error::unsupported("transport packet", at, what, "descramble the stream first"));
            }
            if !continuity.is_new(&packet) {
                continue;
            }
            damaged += u64::from(packet.transport_error_indicator());
            if packet.payload_unit_start_indicator() {
                end(current.take(), &mut packets);
                let field = packet.adaptation_field();
                let key = field.is_some_and(|field| field.random_access_indicator());
                current = Some(Current { offset: at, end: at, head: Vec::new(), key });
            }
            if let Some(current) = &mut current {
                current.end = walker.at().min(source.size());
                let wanted = Pes::LONGEST_HEAD.saturating_sub(current.head.len());
                current.head.extend_from_slice(&payload[..payload.len().min(wanted)]);
            }
        }
        end(current, &mut packets);
        let id = track.id;
        for (count, what) in [
            (continuity.errors, "breaks of the continuity counter: packets were lost"),
            (damaged, "packets that were received with errors"),
            (broken, "PES packets without a header that can be read are left out"),
        ] {
            if count > 0 {
                notes.add(format!("PID {id}: {count} {what}"));
            }
        }
        if walker.skipped() > 0 {
            notes.add(format!("{} bytes of the file are no transport packets", walker.skipped()));
        }
        Ok(packets)
    }

    fn is_plain(&self, _index: usize) -> bool {
        false
    }

    fn read(
        &mut self,
        source: &mut Source,
        _index: usize,
        track: &Track,
        packet: &PacketInfo,
        buffer: &mut Vec<u8>,
    ) -> Result<()> {
        let &PacketInfo { offset, size, .. } = packet;
        let end = offset.checked_add(size).filter(|&end| end <= source.size());
        let missing = Error::NoPacket { offset, size, available: source.size() };
        let Some(end) = end else { return Err(missing) };
        let mut walker = Walker::new(self.layout, offset, end);
        let mut continuity = Continuity::default();
        while let Some((_, bytes)) = walker.next(source)? {
            let packet = self::packet(&bytes);
            if u64::from(u16::from(packet.pid())) != track.id {
                continue;
            }
            let Some(payload) = packet.payload() else { continue };
            if !continuity.is_new(&packet) {
                continue;
            }
            if buffer.is_empty() && !packet.payload_unit_start_indicator() {
                break;
            }
            buffer.extend_from_slice(payload);
        }
        let Some(pes) = Pes::parse(buffer) else {
            return Err(Error::damaged("PES packet", offset, "there is no header that can be read"));
        };
        let from = pes.payload.min(buffer.len());
        let to = pes.end.unwrap_or(buffer.len()).clamp(from, buffer.len());
        buffer.truncate(to);
        buffer.drain(..from);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_go_on_where_they_wrap() {
        let mut clock = Clock::default();
        let top = 1 << 33;
        assert_eq!(clock.unwrap(top - 10, Some(top - 20)), (top as i64 - 10, top as i64 - 20));
        assert_eq!(clock.unwrap(5, Some(top - 5)), (top as i64 + 5, top as i64 - 5));
        assert_eq!(clock.unwrap(10, None), (top as i64 + 10, top as i64 + 10));
        assert_eq!(clock.unwrap(top - 1, None), (top as i64 - 1, top as i64 - 1));
    }
}
