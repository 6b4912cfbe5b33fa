//! Where packets lie: 188 bytes each, with 4 bytes in front (M2TS) or 16 behind (204, with error correction) or neither.

use mpeg2ts_reader::packet::Packet;

use crate::error::Result;
use crate::source::Source;

const SYNC: u8 = Packet::SYNC_BYTE;
/// Packets that have to follow each other to be some.
const ENOUGH: usize = 5;

/// How packets lie in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Bytes from one to the next.
    stride: usize,
    /// Bytes of each in front of its sync byte.
    lead: usize,
    /// Where the first one begins.
    pub(super) first: u64,
}

impl Layout {
    /// How packets lie in a file of `size` bytes that begins with `head`; `None` if there are none.
    pub(crate) fn find(head: &[u8], size: u64) -> Option<Layout> {
        let kinds = [(188, 0), (192, 4), (204, 0)];
        let mut places = (0..head.len()).filter(|&at| head[at] == SYNC);
        places.find_map(|at| {
            kinds.into_iter().find_map(|(stride, lead)| {
                let first = at.checked_sub(lead)?;
                // Short files have fewer.
                let whole = usize::try_from((size - at as u64) / stride as u64).unwrap_or(ENOUGH).min(ENOUGH);
                let is_sync = |index: usize| head.get(at + index * stride) == Some(&SYNC);
                let holds = (whole == ENOUGH || (whole >= 2 && first == 0)) && (0..whole).all(is_sync);
                holds.then_some(Layout { stride, lead, first: first as u64 })
            })
        })
    }
}

/// Goes from packet to packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walker {
    layout: Layout,
    at: u64,
    end: u64,
    /// Bytes that were no packets.
    skipped: u64,
}

impl Walker {
    pub(super) fn new(layout: Layout, at: u64, end: u64) -> Walker {
        Walker { layout, at, end, skipped: 0 }
    }

    /// Where the packet behind the last one begins.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Bytes that were no packets so far.
    pub(super) fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The next packet from its sync byte on, and where it begins.
    pub(super) fn next(&mut self, source: &mut Source) -> Result<Option<(u64, [u8; Packet::SIZE])>> {
        let Layout { stride, lead, .. } = self.layout;
        loop {
            if self.at >= self.end {
                return Ok(None);
            }
            let at = self.at;
            let bytes = source.peek(at, lead + Packet::SIZE)?;
            let Some(&packet) = bytes.get(lead..).and_then(|rest| rest.first_chunk::<{ Packet::SIZE }>())
            else {
                self.skipped += bytes.len() as u64;
                self.at = self.end;
                return Ok(None);
            };
            if packet[0] == SYNC {
                self.at = at + stride as u64;
                return Ok(Some((at, packet)));
            }
            self.search(source)?;
        }
    }

    /// Goes on to where two packets follow each other, or the last one is.
    fn search(&mut self, source: &mut Source) -> Result<()> {
        const STEP: usize = 4096;
        let Layout { stride, lead, .. } = self.layout;
        let from = self.at + 1;
        let mut at = from;
        while at < self.end {
            let bytes = source.peek(at, STEP + lead + stride)?;
            let is_sync = |at: usize| bytes.get(at).is_none_or(|&byte| byte == SYNC);
            let mut places =
                (0..STEP.min(bytes.len())).filter(|&place| bytes.get(place + lead) == Some(&SYNC));
            if let Some(found) = places.find(|&place| is_sync(place + lead + stride)) {
                at += found as u64;
                break;
            }
            at += STEP as u64;
        }
        self.skipped += at.min(self.end) - self.at;
        self.at = at;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn packet(number: u8) -> Vec<u8> {
        let mut bytes = vec![number; Packet::SIZE];
        bytes[0] = SYNC;
        bytes
    }

    #[test]
    fn packets_have_three_lengths() {
        for (before, behind, stride, lead) in [(0, 0, 188, 0), (4, 0, 192, 4), (0, 16, 204, 0)] {
            let file: Vec<u8> =
                (1..7).flat_map(|i| [vec![0; before], packet(i), vec![0; behind]].concat()).collect();
            let layout = Layout::find(&file, file.len() as u64).unwrap();
            assert_eq!(layout, Layout { stride, lead, first: 0 });
        }
        assert_eq!(Layout::find(&packet(1), 188), None);
        assert_eq!(
            Layout::find(&[packet(1), packet(2)].concat(), 376).map(|layout| layout.stride),
            Some(188)
        );
    }

    #[test]
    fn goes_on_behind_garbage() {
        let garbage = [vec![9; 50], vec![SYNC], vec![9; 5000]].concat();
        let file: Vec<u8> = [
            vec![8; 77],
            (1..6).flat_map(packet).collect(),
            garbage,
            (6..9).flat_map(packet).collect(),
            vec![SYNC; 100],
        ]
        .concat();
        let layout = Layout::find(&file, file.len() as u64).unwrap();
        assert_eq!(layout.first, 77);
        let size = file.len() as u64;
        let mut source = Source::new(Cursor::new(file)).unwrap();
        let mut walker = Walker::new(layout, 77, size);
        let mut numbers = Vec::new();
        while let Some((_, packet)) = walker.next(&mut source).unwrap() {
            numbers.push(packet[1]);
        }
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(walker.skipped(), 5051 + 100);
    }
}
