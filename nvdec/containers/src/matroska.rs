//! Matroska and WebM (RFC 9559).

mod ebml;
mod head;

use ebml::{Element, find, number, unsigned};
use head::{Entry, Read};

use crate::demux::Demuxer;
use crate::error::{Error, REMUX, Result};
use crate::notes::Notes;
use crate::packet::PacketInfo;
use crate::source::Source;
use crate::track::{Codec, Track};

/// Ids of elements.
mod id {
    pub(super) const EBML: u32 = 0x1a45_dfa3;
    pub(super) const DOC_TYPE: u32 = 0x4282;
    pub(super) const DOC_TYPE_VERSION: u32 = 0x4287;
    pub(super) const DOC_TYPE_READ_VERSION: u32 = 0x4285;
    pub(super) const SEGMENT: u32 = 0x1853_8067;
    pub(super) const SEEK_HEAD: u32 = 0x114d_9b74;
    pub(super) const INFO: u32 = 0x1549_a966;
    pub(super) const TRACKS: u32 = 0x1654_ae6b;
    pub(super) const CLUSTER: u32 = 0x1f43_b675;
    pub(super) const CUES: u32 = 0x1c53_bb6b;
    pub(super) const ATTACHMENTS: u32 = 0x1941_a469;
    pub(super) const CHAPTERS: u32 = 0x1043_a770;
    pub(super) const TAGS: u32 = 0x1254_c367;
    pub(super) const TIMESTAMP: u32 = 0xe7;
    pub(super) const SIMPLE_BLOCK: u32 = 0xa3;
    pub(super) const BLOCK_GROUP: u32 = 0xa0;
    pub(super) const BLOCK: u32 = 0xa1;
    pub(super) const BLOCK_DURATION: u32 = 0x9b;
    pub(super) const REFERENCE_BLOCK: u32 = 0xfb;
    pub(super) const TRACK_ENTRY: u32 = 0xae;
    pub(super) const VIDEO: u32 = 0xe0;
    pub(super) const COLOUR: u32 = 0x55b0;
    pub(super) const MATRIX_COEFFICIENTS: u32 = 0x55b1;
    pub(super) const RANGE: u32 = 0x55b9;
    pub(super) const TRANSFER_CHARACTERISTICS: u32 = 0x55ba;
    pub(super) const PRIMARIES: u32 = 0x55bb;
    pub(super) const PROJECTION: u32 = 0x7670;
    pub(super) const PROJECTION_POSE_ROLL: u32 = 0x7675;

    /// What may follow a `Cluster` that does not say how long it is.
    pub(super) const TOP: [u32; 10] =
        [EBML, SEGMENT, SEEK_HEAD, INFO, TRACKS, CLUSTER, CUES, ATTACHMENTS, CHAPTERS, TAGS];
}

/// Most bytes of an `EBML`, `Info` or `Tracks` element.
const MAX_HEAD: u64 = 4 << 20;

/// What was taken off the frames of a track.
#[derive(Clone, Debug)]
enum Stripped {
    /// These bytes at the beginning of each.
    Bytes(Vec<u8>),
    /// Something that cannot be undone here.
    Unsupported(String),
}

/// A Matroska file.
#[derive(Debug)]
pub(crate) struct Matroska {
    /// Where the data of `Segment` begins.
    segment: u64,
    /// Where it ends, at the latest where the source does.
    end: u64,
    entries: Vec<Entry>,
}

/// A block, without its frame.
#[derive(Clone, Copy, Debug)]
struct Block {
    track: u64,
    time: i16,
    flags: u8,
    /// Where its frame begins.
    frame: u64,
    end: u64,
}

impl Block {
    /// `None` if the element cannot be one.
    fn at(source: &mut Source, element: Element) -> Result<Option<Block>> {
        let Some(end) = element.end() else { return Ok(None) };
        let head = source.peek(element.body, 11)?;
        let Some((track, length)) = number(head, 8, false) else { return Ok(None) };
        let Some(&[high, low, flags]) = head.get(length..).and_then(|rest| rest.first_chunk()) else {
            return Ok(None);
        };
        let frame = element.body + length as u64 + 3;
        Ok((frame <= end).then_some(Block {
            track,
            time: i16::from_be_bytes([high, low]),
            flags,
            frame,
            end,
        }))
    }
}

/// Collects the packets of a track.
struct Collector<'a> {
    track: &'a Track,
    packets: Vec<PacketInfo>,
    /// `Timestamp` of the cluster.
    time: i64,
    default_duration: Option<i64>,
}

impl Collector<'_> {
    fn take(&mut self, block: Block, key: bool, duration: Option<i64>) -> Result<()> {
        if block.track != self.track.id || block.frame == block.end {
            return Ok(());
        }
        if block.flags & 6 != 0 {
            let what = format!("lacing (several frames in a block, flags {:#04x})", block.flags);
            return Err(Error::unsupported("Block or SimpleBlock element", block.frame, what, REMUX));
        }
        self.packets.push(PacketInfo {
            offset: block.frame,
            size: block.end - block.frame,
            pts: Some(self.time.saturating_add(block.time.into())),
            dts: None,
            duration: duration.or(self.default_duration),
            key,
            shown: true,
        });
        Ok(())
    }

    /// Gives packets that have no duration the time until the next one is shown.
    fn fill_durations(&mut self) {
        let mut order: Vec<usize> = (0..self.packets.len()).collect();
        order.sort_by_key(|&index| self.packets[index].pts);
        for pair in order.windows(2) {
            let (this, next) = (self.packets[pair[0]], self.packets[pair[1]]);
            let until = next.pts.zip(this.pts).map(|(next, this)| next.saturating_sub(this));
            self.packets[pair[0]].duration = this.duration.or(until);
        }
    }
}

impl Matroska {
    /// Looks for `Info` and `Tracks`, and reads them.
    pub(crate) fn open(source: &mut Source, notes: &mut Notes) -> Result<(Matroska, Vec<Track>)> {
        let size = source.size();
        let cut = |place: &str, offset| Error::damaged(place, offset, "it is cut or is none");
        let ebml = Element::at(source, 0, size)?.ok_or_else(|| cut("EBML element", 0))?;
        let data = read(source, ebml, "EBML element")?.data;
        let doc_type = find(&data, id::DOC_TYPE).unwrap_or(b"matroska").trim_ascii_end();
        if !matches!(doc_type.split(|&byte| byte == 0).next(), Some(b"matroska" | b"webm")) {
            let what = format!("DocType {:?}", String::from_utf8_lossy(doc_type));
            return Err(Error::unsupported("EBML element", 0, what, REMUX));
        }
        // Void elements may be between them.
        let mut at = ebml.end().unwrap_or(size);
        let segment = loop {
            let element = Element::at(source, at, size)?.ok_or_else(|| cut("Segment element", at))?;
            match element.end() {
                _ if element.id == id::SEGMENT => break element,
                Some(end) => at = end,
                None => return Err(cut("Segment element", at)),
            }
        };
        let mut matroska = Matroska { segment: segment.body, end: size, entries: Vec::new() };
        match segment.end() {
            Some(end) if end > size => notes.add(format!(
                "Segment element at byte {}: the file ends {} bytes before it does",
                segment.offset,
                end - size
            )),
            Some(end) => matroska.end = end,
            None => {}
        }
        let (mut info, mut tracks) = (None, None);
        let mut at = matroska.segment;
        while (info.is_none() || tracks.is_none())
            && let Some(element) = matroska.top(source, at, notes)?
        {
            match element.id {
                id::INFO if info.is_none() => info = Some(read(source, element, "Info element")?),
                id::TRACKS if tracks.is_none() => tracks = Some(read(source, element, "Tracks element")?),
                _ => {}
            }
            at = matroska.behind(source, element)?;
        }
        let missing = |name: &str| {
            let what = format!("it has no {name} element: it is cut, or was never finished");
            Error::damaged("Segment element", segment.offset, what)
        };
        let info = info.ok_or_else(|| missing("Info"))?;
        let tracks = tracks.ok_or_else(|| missing("Tracks"))?;
        let (entries, tracks) = head::tracks(&info, &tracks, notes)?;
        matroska.entries = entries;
        Ok((matroska, tracks))
    }

    /// The element of the segment at `at`, or the next cluster if there is none: bytes were damaged.
    fn top(&self, source: &mut Source, at: u64, notes: &mut Notes) -> Result<Option<Element>> {
        if at >= self.end {
            return Ok(None);
        }
        let found = Element::at(source, at, self.end)?;
        let is_whole = found.is_some_and(|element| element.size.is_some() || id::TOP.contains(&element.id));
        if let Some(element) = found.filter(|_| is_whole) {
            return Ok(Some(element));
        }
        let next = next_cluster(source, at + 1, self.end)?;
        notes.add(format!(
            "there is no element at byte {at}; reading goes on at byte {}",
            next.unwrap_or(self.end)
        ));
        next.map_or(Ok(None), |next| Element::at(source, next, self.end))
    }

    /// Where what follows an element of the segment begins.
    fn behind(&self, source: &mut Source, element: Element) -> Result<u64> {
        let Some(end) = element.end() else {
            // Only elements of the segment end it.
            let mut at = element.body;
            while let Some(child) = Element::at(source, at, self.end)?
                && !id::TOP.contains(&child.id)
                && let Some(end) = child.end()
            {
                at = end;
            }
            return Ok(at);
        };
        Ok(end)
    }

    /// Gives the blocks of a cluster to `collector`. Returns where it ends, and whether the file does before.
    fn cluster(
        &self,
        source: &mut Source,
        cluster: Element,
        collector: &mut Collector<'_>,
        notes: &mut Notes,
    ) -> Result<(u64, bool)> {
        let end = cluster.end().unwrap_or(self.end).min(self.end);
        let mut at = cluster.body;
        while let Some(child) = Element::at(source, at, end)? {
            if cluster.size.is_none() && id::TOP.contains(&child.id) {
                return Ok((at, false));
            }
            let Some(child_end) = child.end().filter(|&child_end| child_end <= end) else {
                if end == self.end {
                    return Ok((end, true));
                }
                notes.add(format!(
                    "the element at byte {at} does not fit in its cluster, whose rest is left out"
                ));
                return Ok((end, false));
            };
            match child.id {
                id::TIMESTAMP => collector.time = timestamp(source, child)?.unwrap_or(collector.time),
                id::SIMPLE_BLOCK => {
                    if let Some(block) = Block::at(source, child)? {
                        collector.take(block, block.flags & 0x80 != 0, None)?;
                    }
                }
                id::BLOCK_GROUP => group(source, child, child_end, collector)?,
                _ => {}
            }
            at = child_end;
        }
        // Bytes that are no element.
        if at < end {
            if cluster.size.is_none() {
                return Ok((at, false));
            }
            notes.add(format!("there is no element at byte {at}; the rest of its cluster is left out"));
        }
        let is_cut = cluster.end().is_some_and(|end| end > self.end) || (at < end && end == self.end);
        Ok((end, is_cut))
    }
}

/// An unsigned integer, of which more than 63 bits have no meaning here.
fn timestamp(source: &mut Source, element: Element) -> Result<Option<i64>> {
    let length = element.size.map_or(0, |size| size.min(9)) as usize;
    let value = unsigned(source.peek(element.body, length)?);
    Ok(value.map(|value| i64::try_from(value).unwrap_or(i64::MAX)))
}

/// A `BlockGroup` that ends at `end`.
fn group(source: &mut Source, group: Element, end: u64, collector: &mut Collector<'_>) -> Result<()> {
    let (mut block, mut duration, mut key) = (None, None, true);
    let mut at = group.body;
    while let Some(child) = Element::at(source, at, end)?
        && let Some(child_end) = child.end().filter(|&child_end| child_end <= end)
    {
        match child.id {
            id::BLOCK => block = Block::at(source, child)?,
            id::BLOCK_DURATION => duration = timestamp(source, child)?,
            id::REFERENCE_BLOCK => key = false,
            _ => {}
        }
        at = child_end;
    }
    block.map_or(Ok(()), |block| collector.take(block, key, duration))
}

/// The content of an element that is read as a whole.
fn read(source: &mut Source, element: Element, place: &str) -> Result<Read> {
    let offset = element.offset;
    let Some(size) = element.size.filter(|_| element.end().is_some_and(|end| end <= source.size())) else {
        return Err(Error::damaged(place, offset, "it does not end within the file"));
    };
    if size > MAX_HEAD {
        let what = format!("a size of {size} bytes, more than {MAX_HEAD},");
        return Err(Error::unsupported(place, offset, what, REMUX));
    }
    let mut data = Vec::new();
    source.read(element.body, size, &mut data)?;
    Ok(Read { offset, data })
}

/// Where the next `Cluster` begins.
fn next_cluster(source: &mut Source, from: u64, end: u64) -> Result<Option<u64>> {
    const STEP: usize = 4096;
    let id = id::CLUSTER.to_be_bytes();
    let mut at = from;
    while at < end {
        let bytes = source.peek(at, STEP + id.len() - 1)?;
        if let Some(found) = bytes.windows(id.len()).position(|window| window == id) {
            return Ok(Some(at + found as u64).filter(|&found| found < end));
        }
        at += STEP as u64;
    }
    Ok(None)
}

impl Demuxer for Matroska {
    fn packets(
        &mut self,
        source: &mut Source,
        index: usize,
        track: &Track,
        notes: &mut Notes,
    ) -> Result<Vec<PacketInfo>> {
        let Some(entry) = self.entries.get(index) else { return Ok(Vec::new()) };
        if let Codec::Encrypted(id) = &track.codec {
            let what = format!("an encrypted track ({id})");
            return Err(Error::unsupported(
                "ContentEncryption element",
                self.segment,
                what,
                "decrypt it first",
            ));
        }
        if let Stripped::Unsupported(what) = &entry.stripped {
            return Err(Error::unsupported("ContentEncodings element", self.segment, what, REMUX));
        }
        let default_duration = entry.default_duration;
        let mut collector = Collector { track, packets: Vec::new(), time: 0, default_duration };
        let mut at = self.segment;
        while let Some(element) = self.top(source, at, notes)? {
            if matches!(element.id, id::SEGMENT | id::EBML) {
                notes.add(format!("a second segment at byte {} is ignored", element.offset));
                break;
            }
            if element.id != id::CLUSTER {
                at = self.behind(source, element)?.max(element.body);
                continue;
            }
            let (end, is_cut) = self.cluster(source, element, &mut collector, notes)?;
            if is_cut {
                let got = collector.packets.len();
                notes.add(format!(
                    "track {}: the file ends within the cluster at byte {}; {got} frames are given",
                    track.id, element.offset
                ));
            }
            at = end.max(element.body);
        }
        collector.fill_durations();
        Ok(collector.packets)
    }

    fn read(
        &mut self,
        source: &mut Source,
        index: usize,
        _track: &Track,
        packet: &PacketInfo,
        buffer: &mut Vec<u8>,
    ) -> Result<()> {
        source.read(packet.offset, packet.size, buffer)?;
        if let Some(Entry { stripped: Stripped::Bytes(bytes), .. }) = self.entries.get(index)
            && !bytes.is_empty()
        {
            buffer.splice(..0, bytes.iter().copied());
        }
        Ok(())
    }

    fn is_plain(&self, index: usize) -> bool {
        let entry = self.entries.get(index);
        entry.is_none_or(|entry| matches!(&entry.stripped, Stripped::Bytes(bytes) if bytes.is_empty()))
    }
}
