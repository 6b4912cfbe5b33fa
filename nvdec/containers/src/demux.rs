//! [`Format`], and [`Demuxer`]: what is written for each.

use std::fmt;

use crate::error::Result;
use crate::notes::Notes;
use crate::packet::PacketInfo;
use crate::source::Source;
use crate::track::Track;

/// The format of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// ISO/IEC 14496-12 or QuickTime, with all samples in one list.
    Mp4,
    /// The same, with samples in fragments.
    FragmentedMp4,
    /// A still picture (ISO/IEC 23008-12: HEIF, HEIC, AVIF), as a track with one packet.
    Heif,
    /// Matroska or WebM.
    Matroska,
    /// An MPEG transport stream (ISO/IEC 13818-1), in packets of 188, 192 or 204 bytes.
    MpegTs,
    /// A byte stream of NAL units (Annex B of H.264 and H.265).
    AnnexB,
}

impl Format {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Format::Mp4 => "MP4",
            Format::FragmentedMp4 => "fragmented MP4",
            Format::Heif => "HEIF",
            Format::Matroska => "Matroska",
            Format::MpegTs => "MPEG-TS",
            Format::AnnexB => "Annex B",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a format does.
pub(crate) trait Demuxer: Send {
    /// The packets of the track with this index.
    fn packets(
        &mut self,
        source: &mut Source,
        index: usize,
        track: &Track,
        notes: &mut Notes,
    ) -> Result<Vec<PacketInfo>>;

    /// The bytes of a packet of that track.
    fn read(
        &mut self,
        source: &mut Source,
        _index: usize,
        _track: &Track,
        packet: &PacketInfo,
        buffer: &mut Vec<u8>,
    ) -> Result<()> {
        source.read(packet.offset, packet.size, buffer)
    }

    /// Whether what [`read`](Self::read) gives of that track lies in the source as it is.
    fn is_plain(&self, _index: usize) -> bool {
        true
    }
}
