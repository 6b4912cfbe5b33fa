//! A video, as C opens it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Cursor;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use nvdec::tensor::{Converter, TensorShape};
use nvdec::video::containers::{Container, Track};
use nvdec::video::{Identity, Stamp};
use nvdec::{Decoder, DecoderOptions, TensorSpec, Video};

use crate::batch::Batch;
use crate::boundary::CallerSource;
use crate::context::{Shared, letters};
use crate::decoder::{decoder_options, priced};
use crate::result::{Failure, NVDEC_NO_PICTURE, NVDEC_OUT_OF_MEMORY, Result};
use crate::types::*;

/// No GPU has as much memory.
const LARGEST: u64 = 1 << 46;

/// Where a video is.
pub(crate) enum Place<'a> {
    /// In the file at a path.
    File(&'a [u8]),
    /// In memory, which is copied.
    Memory(&'a [u8]),
    /// Where the caller reads it.
    Caller(CallerSource),
}

/// What the bytes of a video are, for its index to be known again.
#[derive(Debug)]
enum Known {
    File(Arc<File>, Stamp),
    Memory(Arc<[u8]>),
    /// Of what the caller reads it is found out at once.
    Identity(Identity),
}

impl Known {
    fn identity(&self) -> nvdec::Result<Identity> {
        match self {
            Known::File(file, stamp) => Identity::of_unchanged(file, stamp),
            Known::Memory(bytes) => Identity::of(&mut Cursor::new(bytes)),
            Known::Identity(identity) => Ok(identity.clone()),
        }
    }
}

/// A video, and what decodes it. Decoder and converter are made when they are first needed.
#[derive(Debug)]
pub(crate) struct Opened {
    shared: Arc<Shared>,
    video: Video,
    known: Known,
    options: DecoderOptions,
    decoder: Option<Decoder>,
    converter: Option<Converter>,
}

impl Opened {
    pub(crate) fn open(
        shared: Arc<Shared>,
        place: Place<'_>,
        options: &nvdec_video_options,
        decoder: &nvdec_decoder_options,
        index: &[u8],
    ) -> Result<Opened> {
        let io = |source| Failure::from(nvdec::Error::Source { source });
        // The policy is that all pictures come out: each has its place.
        let decoder = nvdec_decoder_options { policy: 0, start: 0, ..*decoder };
        let decoder_options = decoder_options(&decoder)?.with_tensors(true);
        let track = (options.has_track != 0).then_some(options.track as usize);
        let (container, known) = match place {
            Place::File(path) => {
                let path = Path::new(OsStr::from_bytes(path));
                let file = Arc::new(File::open(path).map_err(io)?);
                let known = Known::File(file.clone(), Stamp::of(&file)?);
                (Container::open_file(file), known)
            }
            Place::Memory(bytes) => {
                let bytes: Arc<[u8]> = bytes.into();
                (Container::from_bytes(bytes.clone()), Known::Memory(bytes))
            }
            Place::Caller(mut source) => {
                let identity = Identity::of(&mut source)?;
                (Container::open(source), Known::Identity(identity))
            }
        };
        let container = container.map_err(nvdec::Error::from)?;
        let video = match index {
            [] => Video::from_container(container, track)?,
            index => Video::with_index(container, track, index, &known.identity()?)?,
        };
        Ok(Opened { shared, video, known, options: decoder_options, decoder: None, converter: None })
    }

    /// What the header has of it.
    pub(crate) fn info(&self) -> nvdec_video_info {
        let index = self.video.index();
        let (window, coded, format, colour) =
            (index.window(), index.coded_size(), index.format(), index.colour());
        let (start, end) = index.time_range().unwrap_or((f64::NAN, f64::NAN));
        let rate = index.frame_rate().unwrap_or_default();
        let base = index.time_base().map_or((0, 0), |base| (base.num, base.den));
        let (rotation, mirrored) = turn(self.video.track());
        nvdec_video_info {
            size: 0,
            pictures: self.video.len() as u64,
            duration: end - start,
            start,
            frame_rate_num: rate.0,
            frame_rate_den: rate.1,
            time_base_num: base.0,
            time_base_den: base.1,
            width: window.width,
            height: window.height,
            coded_width: coded.0,
            coded_height: coded.1,
            codec: nvdec_codec::NVDEC_CODEC_HEVC as u32,
            rotation,
            mirrored: mirrored.into(),
            chroma_format_idc: format.chroma.chroma_format_idc().into(),
            bit_depth: format.bit_depth.into(),
            chroma_bit_depth: format.chroma_bit_depth.into(),
            colour_primaries: colour.primaries.into(),
            transfer_characteristics: colour.transfer.into(),
            matrix_coefficients: colour.matrix.into(),
            full_range: colour.full_range.into(),
            container: letters(self.video.container_format().name()),
        }
    }

    /// What the header has of picture `number`.
    pub(crate) fn picture(&self, number: usize) -> Result<nvdec_picture_info> {
        let index = self.video.index();
        let pictures = index.len();
        let picture = index.picture(number).ok_or(nvdec::Error::NoPicture { number, pictures })?;
        Ok(nvdec_picture_info {
            size: 0,
            pts: picture.pts.unwrap_or(NVDEC_NO_TIME),
            duration: picture.duration.unwrap_or(NVDEC_NO_TIME),
            seconds: index.seconds(number).unwrap_or(f64::NAN),
            decoding_order: picture.decoding_order as u64,
            key: picture.key.into(),
            reference: picture.reference.into(),
            incomplete: picture.incomplete.into(),
            temporal_layer: picture.temporal_layer.into(),
        })
    }

    pub(crate) fn at(&self, seconds: f64) -> Result<usize> {
        let none = || match self.video.index().time_range() {
            Some((start, end)) => {
                format!("no picture is shown at {seconds} s: they go from {start} s to {end} s")
            }
            None => "nothing says when pictures are shown".to_owned(),
        };
        self.video.index().at(seconds).ok_or_else(|| Failure::new(NVDEC_NO_PICTURE, none()))
    }

    pub(crate) fn between(&self, start: f64, stop: f64, rate: f64) -> Result<Vec<usize>> {
        let is_possible = rate == 0.0 || rate.is_finite() && rate > 0.0;
        if start.is_nan() || stop.is_nan() || !is_possible {
            return Err(Failure::invalid(format!("from {start} s to {stop} s at {rate} pictures a second")));
        }
        Ok(self.video.index().between(start, stop, (rate > 0.0).then_some(rate)))
    }

    pub(crate) fn store_index(&self) -> Result<Vec<u8>> {
        Ok(self.video.store_index(&self.known.identity()?))
    }

    /// What `count` pictures become by `spec`, and bytes of it.
    pub(crate) fn price(&self, spec: &TensorSpec, count: usize) -> Result<(TensorShape, u64)> {
        let window = self.video.index().window();
        let shape = TensorShape::for_picture(spec, window.width, window.height)?;
        match shape.bytes().checked_mul(count as u64) {
            Some(bytes) if bytes <= LARGEST => Ok((shape, bytes)),
            _ => {
                Err(Failure::new(NVDEC_OUT_OF_MEMORY, format!("{count} pictures of {shape} fit into no GPU")))
            }
        }
    }

    /// What the decoder takes at most, once it has decoded a picture.
    pub(crate) fn decoder_price(&self) -> Option<nvdec_decoder_memory> {
        self.decoder.as_ref().and_then(Decoder::price).map(priced)
    }

    /// Decodes pictures and has them converted side by side.
    pub(crate) fn read(&mut self, spec: &TensorSpec, numbers: &[usize]) -> Result<Batch> {
        if numbers.is_empty() {
            return Err(Failure::invalid("a batch has a picture at least"));
        }
        // Before memory is taken.
        self.video.select(numbers.iter().copied())?;
        let (_, bytes) = self.price(spec, numbers.len())?;
        let Opened { shared, video, options, decoder, converter, .. } = self;
        let context = &shared.context;
        let decoder = match decoder {
            Some(decoder) => decoder,
            None => decoder.insert(Decoder::new(context, video.codec(), *options)?),
        };
        let converter = match converter {
            Some(converter) if converter.spec() == spec => converter,
            _ => converter.insert(Converter::new(context, spec)?),
        };
        let read = Batch::read(shared, video, decoder, converter, numbers, bytes);
        if read.is_err() {
            // What was begun belongs to no further batch.
            decoder.reset();
        }
        read
    }
}

/// By how many degrees a track is turned clockwise, and whether it is mirrored before that. What is neither counts as no turn.
fn turn(track: &Track) -> (u32, bool) {
    match track.rotation() {
        Some(degrees) => (degrees.into(), false),
        None => track.display_matrix.and_then(mirrored).map_or((0, false), |degrees| (degrees, true)),
    }
}

/// The turn, clockwise, that a matrix of ISO/IEC 14496-12 has behind an exchange of left and right.
fn mirrored([a, b, _, c, d, ..]: [i32; 9]) -> Option<u32> {
    match (a.signum(), b.signum(), c.signum(), d.signum()) {
        (-1, 0, 0, 1) => Some(0),
        (0, -1, -1, 0) => Some(90),
        (1, 0, 0, -1) => Some(180),
        (0, 1, 1, 0) => Some(270),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "emulated")]
    #[test]
    fn a_container_says_how_pictures_are_turned() {
        let context = nvdec::Context::open(nvdec::DeviceChoice::Emulated).unwrap();
        let downloader = nvdec::Downloader::new(&context);
        let shared = Arc::new(Shared { context, downloader });
        let decoder = nvdec_decoder_options {
            size: 0,
            engines: 0,
            least_busy: 0,
            mode: 0,
            policy: 0,
            start: 0,
            held_frames: 0,
            max_luma_samples: 0,
        };
        let open = |name: &str, track: Option<u32>| {
            let path = format!("{}/../containers/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
            let options = nvdec_video_options {
                size: 0,
                has_track: track.is_some().into(),
                track: track.unwrap_or(0),
                index: std::ptr::null(),
                index_size: 0,
                decoder: std::ptr::null(),
            };
            Opened::open(shared.clone(), Place::File(path.as_bytes()), &options, &decoder, &[])
        };
        let turned = open("rotated.mp4", None).unwrap();
        assert_eq!(Some(turned.info().rotation), turned.video.track().rotation().map(u32::from));
        assert_eq!((turned.info().rotation, turned.info().mirrored), (270, 0));
        assert_eq!(open("plain.mp4", None).unwrap().info().rotation, 0);
        // Sound comes first, or behind.
        let failure = [0, 1].map(|track| open("two_tracks.mp4", Some(track)).err());
        assert_eq!(failure.iter().flatten().count(), 1, "one of the tracks has pictures");
        let missing = open("plain.mp4", Some(7)).unwrap_err();
        assert_eq!(missing.result, crate::result::NVDEC_NO_VIDEO);
    }

    #[test]
    fn a_matrix_mirrors() {
        const ONE: i32 = 1 << 16;
        let of = |a, b, c, d| mirrored([a, b, 0, c, d, 0, 0, 0, 1 << 30]);
        // (x, y) becomes (-x, y); turned by 90 degrees after that, (-y, -x); and so on.
        assert_eq!(of(-ONE, 0, 0, ONE), Some(0));
        assert_eq!(of(0, -ONE, -ONE, 0), Some(90));
        assert_eq!(of(ONE, 0, 0, -ONE), Some(180));
        assert_eq!(of(0, ONE, ONE, 0), Some(270));
        assert_eq!(of(ONE, ONE, 0, ONE), None);
    }
}
