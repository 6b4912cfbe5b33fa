//! [`Film`]: a file of which any picture can be had. It is a container (MP4, QuickTime, Matroska, MPEG-TS) or a byte stream.

pub mod report;
pub mod wanted;

use std::fs::File;

use nvdec::video::containers::{self, Codec, Container, Format, Track, TrackKind};
use nvdec::{Source, Video};

use crate::decode::info::StreamInfo;
use crate::exit::{Exit, Failure, of_decoder};

/// Stands in front of each NAL unit of a byte stream; with four bytes, which parameter sets have to have.
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// A file whose pictures are known, with one of its tracks.
#[derive(Clone, Debug)]
pub struct Film {
    name: String,
    /// Size of the file.
    bytes: u64,
    video: Video,
}

/// Opens a container, or a byte stream as one.
///
/// # Errors
///
/// [`Failure::Input`] if it cannot be read, [`Failure::Container`] if it is damaged or none.
pub fn open(name: &str, file: File) -> Result<Container, Failure> {
    Container::open_file(file).map_err(|error| of_container(name, error))
}

/// What is wrong with a container.
pub fn of_container(name: &str, error: containers::Error) -> Failure {
    match error {
        containers::Error::Io { error: source, .. } => Failure::Input { path: name.to_owned(), source },
        error => Failure::Container { path: name.to_owned(), what: error.to_string() },
    }
}

/// The track of `container` to decode: number `track` of all, or else the first one with HEVC that the container prefers.
///
/// # Errors
///
/// [`Failure::Usage`], which lists the tracks, for one that is not there or has no HEVC; [`Failure::Container`] if none has any.
pub fn choose(name: &str, container: &Container, track: Option<usize>) -> Result<usize, Failure> {
    let tracks = container.tracks();
    let Some(track) = track else {
        return container.default_track().ok_or_else(|| {
            let what = match tracks.iter().find(|track| track.kind == TrackKind::Video) {
                Some(video) => format!("with {} in it", codec_name(&video.codec)),
                None => "without video".to_owned(),
            };
            let what = format!("it is {} {what}; this program decodes HEVC only", container.format());
            Failure::Container { path: name.to_owned(), what }
        });
    };
    if container.format() == Format::AnnexB {
        return Err(no_tracks(name));
    }
    match tracks.get(track) {
        Some(Track { codec: Codec::Hevc, .. }) => Ok(track),
        found => {
            let what = if found.is_some() { "has no HEVC in track" } else { "has no track" };
            let list: Vec<String> =
                tracks.iter().enumerate().map(|(at, track)| in_short(at, track)).collect();
            Err(Failure::Usage(format!("{name} {what} {track}; its tracks are {}", list.join(", "))))
        }
    }
}

/// A track was asked for of a byte stream.
pub fn no_tracks(name: &str) -> Failure {
    Failure::Usage(format!("{name} is a byte stream, which has no tracks; leave out --track"))
}

/// A track in a few words.
fn in_short(number: usize, track: &Track) -> String {
    let size = track.width.zip(track.height);
    let size = size.filter(|_| track.kind == TrackKind::Video);
    let size = size.map_or_else(String::new, |(width, height)| format!(" {width}x{height}"));
    let language = track.language.as_ref().map_or_else(String::new, |language| format!(" {language}"));
    format!("{number}: {} {}{size}{language}", kind_name(track.kind), codec_name(&track.codec))
}

/// What is in a track.
pub fn kind_name(kind: TrackKind) -> &'static str {
    match kind {
        TrackKind::Video => "video",
        TrackKind::Audio => "sound",
        _ => "other",
    }
}

/// What a codec is called.
pub fn codec_name(codec: &Codec) -> String {
    match codec {
        Codec::Hevc => "HEVC",
        Codec::H264 => "H.264",
        Codec::Vvc => "VVC",
        Codec::Av1 => "AV1",
        Codec::Vp8 => "VP8",
        Codec::Vp9 => "VP9",
        Codec::Mpeg2 => "MPEG-2",
        Codec::Encrypted(id) => return format!("encrypted {id}"),
        Codec::Other(id) => id,
        _ => "another codec",
    }
    .to_owned()
}

impl Film {
    /// The film in `file`: its track `track` or the one that the container prefers. All of it is read once.
    ///
    /// # Errors
    ///
    /// As [`open`] and [`choose`]; [`Failure::Container`] if there is no picture in it.
    pub fn open(name: &str, file: File, track: Option<usize>) -> Result<Film, Failure> {
        let container = open(name, file)?;
        let track = choose(name, &container, track)?;
        Film::of(name, container, track)
    }

    /// The film in a track of a container.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn of(name: &str, container: Container, track: usize) -> Result<Film, Failure> {
        let bytes = container.size();
        match Video::from_container(container, Some(track)) {
            Ok(video) => Ok(Film { name: name.to_owned(), bytes, video }),
            Err(nvdec::Error::Container(error)) => Err(of_container(name, error)),
            Err(error @ nvdec::Error::NoPictures { source: Some(_) })
                if of_decoder(&error) == Exit::Unavailable =>
            {
                Err(error.into())
            }
            Err(error) => Err(Failure::Container { path: name.to_owned(), what: error.to_string() }),
        }
    }

    /// Name for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its pictures.
    pub fn video(&self) -> &Video {
        &self.video
    }

    /// When it begins, in seconds on the time line of its pictures. That of a transport stream begins anywhere, and is counted
    /// from the first picture; other containers begin at 0, whenever their first picture is shown.
    pub fn origin(&self) -> f64 {
        match self.video.container_format() {
            Format::MpegTs => self.video.index().time_range().map_or(0.0, |(start, _)| start),
            _ => 0.0,
        }
    }

    /// What a decoder is sent of all its pictures that are shown, with start codes.
    ///
    /// # Errors
    ///
    /// [`Failure::Input`] if it cannot be read, [`Failure::Container`] if it is damaged.
    pub fn byte_stream(&self) -> Result<Vec<u8>, Failure> {
        let mut source = self.video.select(0..self.video.len())?;
        let mut stream = Vec::new();
        loop {
            let packet =
                source.packet().map_err(|source| Failure::Input { path: self.name.clone(), source })?;
            let Some(packet) = packet else { return Ok(stream) };
            // Samples may lie anywhere, all of them in the same place.
            let most = self.bytes.saturating_mul(2).saturating_add(4 << 10);
            if (stream.len() + packet.data().len()) as u64 > most {
                let what =
                    "it is damaged: its samples overlap, and have more bytes than twice the file".to_owned();
                return Err(Failure::Container { path: self.name.clone(), what });
            }
            // A splice has no bytes.
            if !packet.data().is_empty() {
                stream.extend_from_slice(&START_CODE);
                stream.extend_from_slice(packet.data());
            }
            source.advance();
        }
    }

    /// Adds what the container says to what the stream says of itself. As in FFmpeg, the shape of samples is what the container
    /// says.
    pub(crate) fn complete(&self, info: &mut StreamInfo) {
        let index = self.video.index();
        info.time_base = index.time_base().map(|base| (base.num, base.den));
        info.frame_rate = index.frame_rate().or(info.frame_rate);
        let aspect = self.video.track().pixel_aspect;
        let aspect = aspect
            .and_then(|(width, height)| Some((u16::try_from(width).ok()?, u16::try_from(height).ok()?)));
        info.sample_aspect_ratio = aspect.or(info.sample_aspect_ratio);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that has fewer bytes than its samples stands for one whose samples overlap.
    #[test]
    fn samples_that_overlap_are_bounded_by_the_file() {
        let name = "plain.mp4";
        let path = format!("{}/../nvdec/containers/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
        let mut film = Film::open(name, File::open(path).unwrap(), None).unwrap();
        let stream = film.byte_stream().unwrap();
        assert!(stream.len() as u64 <= film.bytes && stream.len() > 4 << 10);
        film.bytes = 0;
        let error = film.byte_stream().unwrap_err();
        assert!(matches!(&error, Failure::Container { what, .. } if what.contains("overlap")), "{error:?}");
    }
}
