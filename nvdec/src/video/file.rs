//! An [`Index`] as bytes: small, checked, and bound to the file that it is of.
//!
//! Magic, version, then what the file was (size, time of change, MD5 of its first and last MiB), then the index, then a CRC of all
//! that. Numbers that mostly grow are stored as what they grow by; all are variable in length.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use arrayvec::ArrayVec;
use bitstream::LengthSize;
use containers::{Framing, TimeBase};
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

use super::index::{Index, Shown};
use super::survey::{Described, Flags, Parameter, ParameterKey, Picture, Pictures, Surveyed};
use crate::class::Chroma;
use crate::error::{Error, Result};
use crate::pictures::info::Colour;
use crate::surface::format::{Rect, SurfaceFormat};

const MAGIC: &[u8; 6] = b"nvidx\n";
/// Counted up with each change of what follows.
const VERSION: u8 = 1;
/// So many bytes from both ends tell files apart.
const ENDS: u64 = 1 << 20;

/// What a file was when its index was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    size: u64,
    /// Nanoseconds since 1970, if the source has such a time.
    changed: Option<u64>,
    ends: [u8; 16],
}

impl Identity {
    /// That of whatever `source` reads.
    ///
    /// # Errors
    ///
    /// [`Error::Source`].
    pub fn of(source: &mut (impl Read + Seek)) -> Result<Identity> {
        let mut of = || {
            let size = source.seek(SeekFrom::End(0))?;
            let ends = ends(size, |offset, buffer| {
                source.seek(SeekFrom::Start(offset))?;
                source.read_exact(buffer)
            })?;
            Ok(Identity { size, changed: None, ends })
        };
        of().map_err(|source: io::Error| Error::Source { source })
    }

    /// That of the file at `path`, with the time of its last change.
    ///
    /// # Errors
    ///
    /// [`Error::Source`].
    pub fn of_file(path: impl AsRef<Path>) -> Result<Identity> {
        let mut file = File::open(path).map_err(|source| Error::Source { source })?;
        let Stamp { changed, .. } = Stamp::of(&file)?;
        Ok(Identity { changed, ..Identity::of(&mut file)? })
    }

    /// As [`of_file`](Self::of_file), of the file that `stamp` was taken of, wherever its position is.
    ///
    /// # Errors
    ///
    /// [`Error::Source`], and [`Error::Index`] if it has changed since, or is no file of a file system, such as a pipe.
    pub fn of_unchanged(file: &File, stamp: &Stamp) -> Result<Identity> {
        let wrong = |what: &str| Err(Error::Index { what: what.to_owned() });
        if !stamp.is_file {
            return wrong("what it is of is no file, and cannot be known again");
        }
        let ends = ends(stamp.size, |offset, buffer| file.read_exact_at(buffer, offset));
        // It may have become shorter.
        if Stamp::of(file)? != *stamp {
            return wrong("the file has changed since it was opened");
        }
        let ends = ends.map_err(|source| Error::Source { source })?;
        Ok(Identity { size: stamp.size, changed: stamp.changed, ends })
    }

    /// That `now` is the same.
    fn check(&self, now: &Identity) -> Result<()> {
        let differs = |what: &'static str| {
            Err(Error::Index { what: format!("the file has another {what} than when the index was made") })
        };
        if self.size != now.size {
            return differs("size");
        }
        if let (Some(then), Some(now)) = (self.changed, now.changed)
            && then != now
        {
            return differs("time of change");
        }
        if self.ends != now.ends { differs("beginning or end") } else { Ok(()) }
    }
}

/// What tells at no cost that an open file has changed: an [`Identity`] is read from it, which takes milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    size: u64,
    changed: Option<u64>,
    is_file: bool,
}

impl Stamp {
    /// That of a file.
    ///
    /// # Errors
    ///
    /// [`Error::Source`].
    pub fn of(file: &File) -> Result<Stamp> {
        let metadata = file.metadata().map_err(|source| Error::Source { source })?;
        let changed = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let changed = changed.and_then(|time| u64::try_from(time.as_nanos()).ok());
        Ok(Stamp { size: metadata.len(), changed, is_file: metadata.is_file() })
    }
}

/// MD5 of both ends of `size` bytes.
fn ends(size: u64, mut read: impl FnMut(u64, &mut [u8]) -> io::Result<()>) -> io::Result<[u8; 16]> {
    let mut hash = Md5::new();
    let mut bytes = vec![0; size.min(ENDS) as usize];
    for start in [0, size.saturating_sub(ENDS)] {
        read(start, &mut bytes)?;
        hash.update(&bytes);
    }
    Ok(hash.finalize().into())
}

#[derive(Serialize, Deserialize)]
struct Stored {
    of: Identity,
    /// 0 for start codes, else bytes of a length.
    framing: u8,
    time_base: Option<(u32, u32)>,
    described: StoredDescribed,
    /// Gap to the end of the one before, and size.
    packets: Vec<(i64, u64)>,
    pictures: Vec<StoredPicture>,
    contents: Vec<Vec<u8>>,
    /// Pictures since the change before, kind, id, content.
    changes: Vec<(u32, u8, u8, u32)>,
    /// Difference of the position to the one before, of the time to the end of the one before, duration.
    shown: Vec<(i64, i64, i64)>,
}

#[derive(Serialize, Deserialize)]
struct StoredDescribed {
    chroma_format_idc: u8,
    bit_depths: (u8, u8),
    coded: (u32, u32),
    window: (u32, u32, u32, u32),
    colour: (u8, u8, u8, bool, Option<u8>),
    rate: Option<(u32, u32)>,
}

#[derive(Serialize, Deserialize)]
struct StoredPicture {
    /// Packets since that of the one before, and the offset in its own.
    place: (u32, u32),
    flags: u8,
    temporal_layer: u8,
    /// Difference to the one before.
    order_count: i64,
    order_count_bits: u8,
    /// How far before it the pictures are that it needs, the last one first.
    needs: Vec<u32>,
}

/// `index`, of what `of` is, as bytes.
pub(super) fn store(index: &Index, of: &Identity) -> Vec<u8> {
    let Pictures { described, pictures, contents, changes, .. } = &index.pictures;
    let mut end = 0i64;
    let packets = index.packets.iter().map(|&(offset, size)| {
        let gap = (offset as i64).wrapping_sub(end);
        end = (offset as i64).wrapping_add(size as i64);
        (gap, size)
    });
    let (mut packet, mut count) = (0, 0);
    let stored = pictures.iter().enumerate().map(|(position, picture)| {
        let surveyed = &picture.surveyed;
        let order_count =
            i64::from(surveyed.order_count) - std::mem::replace(&mut count, i64::from(surveyed.order_count));
        StoredPicture {
            place: (picture.packet - std::mem::replace(&mut packet, picture.packet), picture.offset),
            flags: surveyed.flags.bits(),
            temporal_layer: surveyed.temporal_layer,
            order_count,
            order_count_bits: surveyed.order_count_bits,
            needs: surveyed.needs.iter().rev().map(|&needed| position as u32 - needed).collect(),
        }
    });
    let (mut last, mut end) = (0i64, 0i64);
    let shown = index.shown.iter().map(|shown| {
        let position = i64::from(shown.position) - std::mem::replace(&mut last, i64::from(shown.position));
        let pts = shown.pts.wrapping_sub(std::mem::replace(&mut end, shown.pts.wrapping_add(shown.duration)));
        (position, pts, shown.duration)
    });
    let mut changed = 0;
    let changes = changes.iter().map(|change| {
        let since = change.position - std::mem::replace(&mut changed, change.position);
        (since, change.key.kind, change.key.id, change.content)
    });
    let Rect { left, top, width, height } = described.shown;
    let colour = described.colour;
    let stored = Stored {
        of: of.clone(),
        framing: index.length_size().map_or(0, |size| size.bytes() as u8),
        time_base: index.time_base.map(|base| (base.num, base.den)),
        described: StoredDescribed {
            chroma_format_idc: described.format.chroma.chroma_format_idc(),
            bit_depths: (described.format.bit_depth, described.format.chroma_bit_depth),
            coded: described.coded,
            window: (left, top, width, height),
            colour: (
                colour.primaries,
                colour.transfer,
                colour.matrix,
                colour.full_range,
                colour.chroma_location,
            ),
            rate: described.rate,
        },
        packets: packets.collect(),
        pictures: stored.collect(),
        contents: contents.clone(),
        changes: changes.collect(),
        shown: shown.collect(),
    };
    let mut bytes = MAGIC.to_vec();
    bytes.push(VERSION);
    let mut bytes =
        postcard::to_extend(&stored, bytes).expect("what has lengths known in advance can be stored");
    let sum = crc32fast::hash(&bytes);
    bytes.extend(sum.to_le_bytes());
    bytes
}

/// The index that `bytes` hold, which must be of what `now` is.
pub(super) fn restore(bytes: &[u8], now: &Identity) -> Result<Index> {
    let wrong = |what: &str| Error::Index { what: what.to_owned() };
    let body = bytes.strip_prefix(MAGIC).ok_or_else(|| wrong("it is no index"))?;
    let (&version, body) = body.split_first().ok_or_else(|| wrong("it is cut off"))?;
    if version != VERSION {
        return Err(wrong(&format!("it has version {version}, this library reads version {VERSION}")));
    }
    let (body, sum) = body.split_last_chunk::<4>().ok_or_else(|| wrong("it is cut off"))?;
    if crc32fast::hash(&bytes[..bytes.len() - sum.len()]).to_le_bytes() != *sum {
        return Err(wrong("its checksum is wrong: it is damaged or cut off"));
    }
    let stored: Stored =
        postcard::from_bytes(body).map_err(|error| wrong(&format!("it is damaged: {error}")))?;
    stored.of.check(now)?;
    // A sum is no proof against those who mean harm: what is used as a position is looked at.
    stored.into_index().ok_or_else(|| wrong("it contradicts itself"))
}

impl Stored {
    fn into_index(self) -> Option<Index> {
        let framing = match self.framing {
            0 => Framing::ByteStream,
            size => Framing::LengthPrefixed(LengthSize::new(size).ok()?),
        };
        let time_base = match self.time_base {
            Some((num, den)) if num > 0 && den > 0 => Some(TimeBase { num, den }),
            Some(_) => return None,
            None => None,
        };
        let described = self.described;
        let (left, top, width, height) = described.window;
        let (primaries, transfer, matrix, full_range, chroma_location) = described.colour;
        let described = Described {
            format: SurfaceFormat {
                chroma: Chroma::from_chroma_format_idc(described.chroma_format_idc)?,
                bit_depth: described.bit_depths.0,
                chroma_bit_depth: described.bit_depths.1,
            },
            coded: described.coded,
            shown: Rect { left, top, width, height },
            colour: Colour { primaries, transfer, matrix, full_range, chroma_location },
            rate: described.rate.filter(|&(num, den)| num > 0 && den > 0),
        };
        let mut end = 0i64;
        let packets: Vec<(u64, u64)> = self
            .packets
            .into_iter()
            .map(|(gap, size)| {
                let offset = end.wrapping_add(gap);
                end = offset.wrapping_add(size as i64);
                (offset as u64, size)
            })
            .collect();
        let (mut packet, mut count) = (0u32, 0i64);
        let mut pictures = Vec::with_capacity(self.pictures.len());
        for (position, stored) in self.pictures.into_iter().enumerate() {
            packet =
                packet.checked_add(stored.place.0).filter(|&packet| (packet as usize) < packets.len())?;
            count = count.checked_add(stored.order_count)?;
            let mut needs = ArrayVec::new();
            for &back in stored.needs.iter().rev() {
                let needed = (position as u32).checked_sub(back).filter(|_| back > 0)?;
                if needs.last().is_some_and(|&last| last >= needed) {
                    return None;
                }
                needs.try_push(needed).ok()?;
            }
            let surveyed = Surveyed {
                flags: Flags::from_bits_truncate(stored.flags),
                temporal_layer: stored.temporal_layer,
                order_count: i32::try_from(count).ok()?,
                order_count_bits: stored.order_count_bits,
                needs,
            };
            pictures.push(Picture { surveyed, packet, offset: stored.place.1 });
        }
        let (mut last, mut end) = (0i64, 0i64);
        let mut shown = Vec::with_capacity(self.shown.len());
        for (position, pts, duration) in self.shown {
            last = last.checked_add(position)?;
            let pts = end.wrapping_add(pts);
            end = pts.wrapping_add(duration);
            let position =
                u32::try_from(last).ok().filter(|&position| (position as usize) < pictures.len())?;
            shown.push(Shown { position, pts, duration });
        }
        let mut changed = 0u32;
        let mut changes = Vec::with_capacity(self.changes.len());
        for (since, kind, id, content) in self.changes {
            changed = changed.checked_add(since)?;
            if content as usize >= self.contents.len() {
                return None;
            }
            changes.push(Parameter { position: changed, key: ParameterKey { kind, id }, content });
        }
        let order = shown.iter().map(|shown| shown.position).collect();
        let pictures = Pictures { described, pictures, shown: order, contents: self.contents, changes };
        Some(Index::with(framing, time_base, packets, pictures, shown))
    }
}
