//! Packets of video files, with their times: MP4 and QuickTime with and without fragments, Matroska and WebM, MPEG transport
//! streams, HEVC byte streams (Annex B), and still pictures (HEIF) that are coded as a whole.
//!
//! A [`Container`] is opened from anything that reads and seeks. It has [tracks](Track), each with a list of
//! [packets](PacketInfo) in decoding order, which is made in one pass over the file's structure and holds no bytes of
//! pictures; [`Container::read`] gets those of one packet. No GPU is needed, and no codec is known but for its names
//! and, for HEVC in a byte stream, where access units begin.
//!
//! ```
//! # fn main() -> containers::Result<()> {
//! # let file: &[u8] = include_bytes!("../tests/data/plain.mp4");
//! use containers::{Codec, Container};
//!
//! // Or `Container::open(std::fs::File::open(path)?)`.
//! let mut container = Container::from_bytes(file)?;
//! let index = container.default_track().expect("a track with HEVC");
//! let track = &container.tracks()[index];
//! assert_eq!((&track.codec, track.width, track.height), (&Codec::Hevc, Some(128), Some(96)));
//! assert_eq!(track.parameter_sets.len(), 3);
//! let time_base = track.time_base;
//!
//! let packets = container.packets(index)?;
//! let first = packets[0];
//! assert_eq!((packets.len(), first.pts, first.dts), (24, Some(0), Some(-1024)));
//! assert_eq!(time_base.seconds(first.duration.unwrap_or(0)), 1.0 / 24.0);
//!
//! let mut bytes = Vec::new();
//! container.read(index, &first, &mut bytes)?;
//! assert_eq!(bytes.len() as u64, first.size);
//! # Ok(())
//! # }
//! ```
//!
//! # What is read, and what is not
//!
//! | format | read | refused by name, or said in [`Container::notes`] |
//! | --- | --- | --- |
//! | MP4, QuickTime | `moov` anywhere, fragments, both in one file; edit lists with empty edits and one segment; several tracks | encryption, compressed `moov`, sample entries with different parameter sets in a track; further segments and rates of edit lists |
//! | HEIF | the primary item, if it is coded as a whole | grids, overlays, derived pictures; mirroring and cropping |
//! | Matroska, WebM | clusters of any kind, `BlockGroup`, stripped headers | lacing, compression, encryption; a second segment |
//! | MPEG-TS | packets of 188, 192 and 204 bytes, times unwrapped, garbage between packets | scrambling; lost packets. Later changes of PAT and PMT are not followed |
//! | Annex B | access units of HEVC | other codecs |
//!
//! Times are those of ISO/IEC 14496-12: `media_time` of an edit is time 0 of its segment. FFmpeg moves the first picture behind
//! it there, which differs if an edit begins between two pictures.
//!
//! Files may be damaged or made to do harm. Nothing panics; memory and work are bounded by the size of the file, whatever
//! it claims; an [`Error`] names the box or element and its place. A file that ends too early gives what is there.
//! What a caller should know all the same is in [`Container::notes`].

#![forbid(unsafe_code)]

mod annex_b;
mod configuration;
mod container;
mod demux;
mod detect;
mod error;
mod matroska;
mod mp4;
mod notes;
mod packet;
mod source;
mod track;
mod transport;

pub use bitstream::LengthSize;
pub use container::Container;
pub use demux::Format;
pub use error::{Error, Result};
pub use packet::PacketInfo;
pub use track::{Codec, Colour, Edit, Framing, TimeBase, Track, TrackKind};
