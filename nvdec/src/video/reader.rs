//! [`Reader`]: the bytes of a picture, wherever the container has them; and [`find`], which looks at all of them once.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bitstream::{LengthSize, split_annex_b, split_length_prefixed};
use containers::{Container, Framing, PacketInfo, Track};

use super::index::Index;
use super::survey::{Pictures, Survey, Surveyor};
use crate::error::Result;

/// A container, the track of it that is decoded, and what is in that.
#[derive(Debug)]
pub(super) struct VideoInner {
    pub(super) container: Mutex<Container>,
    pub(super) track: usize,
    pub(super) description: Track,
    pub(super) index: Index,
}

impl VideoInner {
    pub(super) fn container(&self) -> MutexGuard<'_, Container> {
        self.container.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has a survey look at all packets of a track: where units have lengths, at their beginnings.
pub(super) fn find(
    container: &mut Container,
    track: usize,
    packets: &[PacketInfo],
    survey: Box<dyn Survey>,
) -> Result<Pictures> {
    let description = &container.tracks()[track];
    let framing = description.framing;
    let mut surveyor = Surveyor::new(survey, &description.parameter_sets);
    let mut bytes = Vec::new();
    for (number, packet) in packets.iter().enumerate() {
        let number = number as u32;
        if let Framing::LengthPrefixed(size) = framing
            && look(container, track, packet, size, number, &mut surveyor)?
        {
            continue;
        }
        container.read(track, packet, &mut bytes)?;
        let mut is_first = true;
        let mut unit = |unit: &[u8], before: usize| {
            let start = unit.as_ptr().addr() - bytes.as_ptr().addr();
            // With what tells it apart from the one before it.
            let from = if std::mem::take(&mut is_first) { 0 } else { start - before };
            surveyor.unit(unit, true, number, from as u32);
        };
        match framing {
            Framing::ByteStream => split_annex_b(&bytes).for_each(|nal| unit(nal, 3)),
            Framing::LengthPrefixed(size) => {
                // What a broken length leaves is lost.
                let units = split_length_prefixed(&bytes, size).map_while(Result::ok);
                units.for_each(|nal| unit(nal, size.bytes()));
            }
        }
    }
    surveyor.finish()
}

/// Bytes of a unit that are looked at: with most streams they hold the header of a slice.
const BEGINNING: usize = 256;

/// Has a survey look at the beginnings of the units of a packet, and at all of those of which it wants more. `false`, and nothing was
/// taken, if the packet does not lie in the file as it is.
fn look(
    container: &mut Container,
    track: usize,
    packet: &PacketInfo,
    length_size: LengthSize,
    number: u32,
    surveyor: &mut Surveyor,
) -> Result<bool> {
    let mut at = 0;
    let mut is_first = true;
    loop {
        let Some(bytes) = container.part(track, packet, at, length_size.bytes() + BEGINNING)? else {
            return Ok(false);
        };
        let Some((field, unit)) = bytes.split_at_checked(length_size.bytes()) else { return Ok(true) };
        let length = field.iter().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
        let begin = at + length_size.bytes() as u64;
        let end = begin + length;
        if end > packet.size {
            // What a broken length leaves is lost.
            return Ok(true);
        }
        if length > 0 {
            let from = if std::mem::take(&mut is_first) { 0 } else { at as u32 };
            let unit = &unit[..unit.len().min(length as usize)];
            if !surveyor.unit(unit, unit.len() as u64 == length, number, from)
                && let Some(whole) = container.part(track, packet, begin, length as usize)?
            {
                surveyor.unit(whole, true, number, from);
            }
        }
        at = end;
    }
}

/// Reads pictures.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// The bytes of the picture that was read last.
    pub(super) picture: Vec<u8>,
    packet: Vec<u8>,
    /// The packet that is there.
    loaded: Option<u32>,
}

impl Reader {
    /// Reads the picture at `position` in decoding order.
    pub(super) fn load(&mut self, video: &VideoInner, position: u32) -> io::Result<()> {
        let Index { pictures, packets, .. } = &video.index;
        let place = |position: usize| {
            let picture = pictures.pictures.get(position);
            picture.map_or((packets.len() as u32, 0), |picture| (picture.packet, picture.offset))
        };
        let (from, to) = (place(position as usize), place(position as usize + 1));
        self.picture.clear();
        if from.1 == 0 && to == (from.0 + 1, 0) {
            return read(video, from.0, &mut self.picture);
        }
        for packet in from.0..=to.0 {
            if packet == to.0 && to.1 == 0 {
                break;
            }
            if self.loaded != Some(packet) {
                self.loaded = None;
                read(video, packet, &mut self.packet)?;
                self.loaded = Some(packet);
            }
            let start = if packet == from.0 { from.1 as usize } else { 0 };
            let end = if packet == to.0 { to.1 as usize } else { self.packet.len() };
            // The source may have changed since it was surveyed.
            self.picture.extend_from_slice(self.packet.get(start..end).unwrap_or_default());
        }
        Ok(())
    }
}

fn read(video: &VideoInner, packet: u32, bytes: &mut Vec<u8>) -> io::Result<()> {
    let Some(&(offset, size)) = video.index.packets.get(packet as usize) else {
        bytes.clear();
        return Ok(());
    };
    let info = PacketInfo { offset, size, pts: None, dts: None, duration: None, key: false, shown: true };
    video.container().read(video.track, &info, bytes).map_err(io::Error::other)
}
