//! [`Container`]: a file of any format.

use std::fmt;
use std::fs::File;
use std::io::{Cursor, Read, Seek};
use std::sync::Arc;

use crate::annex_b::AnnexB;
use crate::demux::{Demuxer, Format};
use crate::detect::{Kind, detect};
use crate::error::{Error, Result};
use crate::matroska::Matroska;
use crate::mp4::Mp4;
use crate::notes::Notes;
use crate::packet::PacketInfo;
use crate::source::Source;
use crate::track::{Codec, Track, TrackKind};
use crate::transport::Transport;

/// A file with tracks.
pub struct Container {
    source: Source,
    format: Format,
    tracks: Vec<Track>,
    notes: Notes,
    demuxer: Box<dyn Demuxer>,
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What a demuxer holds may be as long as the file.
        let mut of = f.debug_struct("Container");
        of.field("format", &self.format).field("source", &self.source).field("tracks", &self.tracks);
        of.field("notes", &self.notes).finish_non_exhaustive()
    }
}

impl Container {
    /// Opens what `source` holds from its beginning: looks what it is and reads what it says of its tracks.
    ///
    /// # Errors
    /// [`Error::Unknown`] if it is none of the formats; [`Error::Damaged`] or [`Error::Unsupported`] if its tracks cannot be
    /// understood; [`Error::Io`] if the source cannot be read.
    pub fn open(source: impl Read + Seek + Send + 'static) -> Result<Container> {
        Container::of(Source::new(source)?)
    }

    /// Opens a file from its beginning, wherever its position is, as [`open`](Self::open) does. It is read by place, so that
    /// processes that were forked off do not disturb each other, and the kernel reads ahead. What is no file of a file system,
    /// such as a pipe, or does not say its size, is read as a whole.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_file(file: impl Into<Arc<File>>) -> Result<Container> {
        let file = file.into();
        let failed = |error| Error::Io { offset: 0, error };
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_file() && metadata.len() > 0 {
            return Container::of(Source::of_file(file)?);
        }
        let mut bytes = Vec::new();
        (&*file).read_to_end(&mut bytes).map_err(failed)?;
        Container::from_bytes(bytes)
    }

    fn of(mut source: Source) -> Result<Container> {
        let mut notes = Notes::default();
        let (demuxer, format, tracks): (Box<dyn Demuxer>, _, _) = match detect(&mut source)? {
            Kind::Mp4 => Mp4::open(&mut source, &mut notes)?,
            Kind::Matroska => {
                let (demuxer, tracks) = Matroska::open(&mut source, &mut notes)?;
                (Box::new(demuxer), Format::Matroska, tracks)
            }
            Kind::MpegTs(layout) => {
                let (demuxer, tracks) = Transport::open(&mut source, layout, &mut notes)?;
                (Box::new(demuxer), Format::MpegTs, tracks)
            }
            Kind::AnnexB(codec) => (Box::new(AnnexB), Format::AnnexB, vec![AnnexB::track(codec)]),
        };
        Ok(Container { source, format, tracks, notes, demuxer })
    }

    /// Opens a file that is in memory.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_bytes(bytes: impl AsRef<[u8]> + Send + 'static) -> Result<Container> {
        Container::open(Cursor::new(bytes))
    }

    /// Its format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Its tracks, in the order of the file: those that could be understood, of all kinds.
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// The index of the HEVC video track that is to be played if nobody chooses: the first one that is enabled and preferred,
    /// else the first one that is enabled, else the first one.
    pub fn default_track(&self) -> Option<usize> {
        let rank = |track: &Track| (track.enabled, track.enabled && track.preferred);
        let all = self.tracks.iter().enumerate();
        let hevc = all.filter(|(_, track)| track.kind == TrackKind::Video && track.codec == Codec::Hevc);
        // The last one of those that are equal is the maximum.
        hevc.rev().max_by_key(|(_, track)| rank(track)).map(|(index, _)| index)
    }

    /// All packets of a track in decoding order, without their bytes. Made anew at each call, in one pass over the structure of
    /// the file (over all of it, for a transport or byte stream); there are no more than the file has bytes.
    ///
    /// # Errors
    /// [`Error::NoTrack`]; [`Error::Damaged`] or [`Error::Unsupported`] if the list cannot be made, such as for an encrypted track;
    /// [`Error::Io`]. A file that ends too early is no error: the list ends there, with a [note](Self::notes).
    pub fn packets(&mut self, track: usize) -> Result<Vec<PacketInfo>> {
        let Container { source, tracks, notes, demuxer, .. } = self;
        let of = tracks.get(track).ok_or(Error::NoTrack { track, tracks: tracks.len() })?;
        demuxer.packets(source, track, of, notes)
    }

    /// The bytes of a packet of a track, in `buffer`, which is cleared first. They are NAL units, framed as
    /// [`Track::framing`] says, if the codec has such.
    ///
    /// # Errors
    /// [`Error::NoTrack`]; [`Error::NoPacket`] if the packet does not lie in the source; [`Error::Damaged`] or
    /// [`Error::Unsupported`] if there is no such packet; [`Error::Io`]. What `buffer` holds then has no meaning.
    pub fn read(&mut self, track: usize, packet: &PacketInfo, buffer: &mut Vec<u8>) -> Result<()> {
        let Container { source, tracks, demuxer, .. } = self;
        let of = tracks.get(track).ok_or(Error::NoTrack { track, tracks: tracks.len() })?;
        buffer.clear();
        demuxer.read(source, track, of, packet, buffer)
    }

    /// Up to `length` bytes of a packet, `from` bytes behind its beginning; fewer only at its end. `None` for a track whose packets do
    /// not lie in the source as [`read`](Self::read) gives them.
    ///
    /// # Errors
    /// [`Error::NoTrack`]; [`Error::NoPacket`]; [`Error::Io`].
    pub fn part(
        &mut self,
        track: usize,
        packet: &PacketInfo,
        from: u64,
        length: usize,
    ) -> Result<Option<&[u8]>> {
        if track >= self.tracks.len() {
            return Err(Error::NoTrack { track, tracks: self.tracks.len() });
        }
        if !self.demuxer.is_plain(track) {
            return Ok(None);
        }
        self.source.part(packet.offset, packet.size, from, length).map(Some)
    }

    /// Bytes of the source.
    pub fn size(&self) -> u64 {
        self.source.size()
    }

    /// Bytes read from the source so far, those read twice counted twice: what opening, lists and packets cost.
    pub fn bytes_read(&self) -> u64 {
        self.source.bytes_read()
    }

    /// What was found so far that is no error, each a sentence: where the file ends too early, what of an edit list is not
    /// applied, what was lost. A call of [`packets`](Self::packets) may add to it.
    pub fn notes(&self) -> &[String] {
        self.notes.list()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_may_go_to_another_thread() {
        fn is_send<T: Send>() {}
        is_send::<Container>();
    }
}
