//! [`Video`]: a file with pictures, of which any can be had.
//!
//! An [`Index`] is built in one pass over the slice headers of a track; nothing is decoded for it. It says which pictures there
//! are, when they are shown, and which others each of them is predicted from. A [`Selection`] of pictures then has the decoder
//! sent those and what they need, and nothing else: parts of the file that do not depend on each other go to all engines at
//! once.
//!
//! ```no_run
//! use nvdec::{Codec, Context, Decoder, DecoderOptions, Video};
//!
//! let context = Context::open_default()?;
//! let video = Video::open("clip.mp4")?;
//! let mut decoder = Decoder::new(&context, Codec::Hevc, DecoderOptions::default())?;
//! for frame in decoder.frames(video.select([10, 20, 30])?) {
//!     let frame = frame?;
//!     println!("picture {:?} at {:?}", frame.opaque(), frame.pts());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod clips;
mod convert;
mod file;
mod files;
mod index;
mod plan;
mod price;
mod reader;
mod sampler;
mod selection;
pub(crate) mod survey;

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex};

pub use containers;
use containers::{Container, Format, Track};

pub use clips::{ClipBatch, Clips, ClipsOptions, TakenClip};
pub use convert::Converted;
pub use file::{Identity, Stamp};
pub use files::Files;
pub use index::{Index, IndexedPicture};
use reader::VideoInner;
pub use sampler::{Clip, PastEnd, Sampling};
pub use selection::Selection;

use crate::class::Codec;
use crate::decoder;
use crate::error::{Error, Result};

/// A track of pictures in a file, or wherever its bytes are, with an index of it. Clones share them.
#[derive(Clone, Debug)]
pub struct Video {
    inner: Arc<VideoInner>,
}

impl Video {
    /// The first track of the file at `path` that can be decoded.
    ///
    /// # Errors
    ///
    /// [`Error::Source`] if it cannot be read, and those of [`from_container`](Self::from_container).
    pub fn open(path: impl AsRef<Path>) -> Result<Video> {
        let file = File::open(path).map_err(|source| Error::Source { source })?;
        let container = Container::open_file(file).map_err(|error| match error {
            containers::Error::Io { error: source, .. } => Error::Source { source },
            error => error.into(),
        })?;
        Video::from_container(container, None)
    }

    /// What is in `bytes`, as [`open`](Self::open) finds it.
    ///
    /// # Errors
    ///
    /// Those of [`from_container`](Self::from_container).
    pub fn from_bytes(bytes: impl AsRef<[u8]> + Send + 'static) -> Result<Video> {
        Video::from_container(Container::from_bytes(bytes)?, None)
    }

    /// A track of a container, by default the first one that can be decoded. All headers of slices are read once: of MP4 and Matroska
    /// these alone, of other formats all bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Container`] if the container cannot be read, [`Error::NoVideo`] if nothing in it can be decoded,
    /// [`Error::NoPictures`] if there is no picture in the track.
    pub fn from_container(mut container: Container, track: Option<usize>) -> Result<Video> {
        let (track, codec) = choose(&container, track)?;
        let packets = container.packets(track)?;
        let survey = decoder::survey(codec).ok_or_else(|| no_video(&container))?;
        let pictures = reader::find(&mut container, track, &packets, survey)?;
        let description = container.tracks()[track].clone();
        let has_times = container.format() != Format::AnnexB;
        let time_base = has_times.then_some(description.time_base);
        let index = Index::new(description.framing, time_base, &packets, pictures);
        Ok(Video {
            inner: Arc::new(VideoInner { container: Mutex::new(container), track, description, index }),
        })
    }

    /// As [`from_container`](Self::from_container), with an index that was [stored](Self::store_index) before in the place of
    /// reading all of it. `now` is what the source is at present.
    ///
    /// # Errors
    ///
    /// Those of `from_container`, and [`Error::Index`] if the index is damaged, of another version, or of another source.
    pub fn with_index(
        container: Container,
        track: Option<usize>,
        index: &[u8],
        now: &Identity,
    ) -> Result<Video> {
        let (track, _) = choose(&container, track)?;
        let index = file::restore(index, now)?;
        let description = container.tracks()[track].clone();
        if index.framing() != description.framing {
            return Err(Error::Index { what: "it is of another track".to_owned() });
        }
        Ok(Video {
            inner: Arc::new(VideoInner { container: Mutex::new(container), track, description, index }),
        })
    }

    /// The index as bytes, about ten for each picture, for [`with_index`](Self::with_index). `of` is what the source is.
    pub fn store_index(&self, of: &Identity) -> Vec<u8> {
        file::store(self.index(), of)
    }

    /// Its pictures.
    pub fn index(&self) -> &Index {
        &self.inner.index
    }

    /// Pictures that are shown.
    pub fn len(&self) -> usize {
        self.index().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.index().is_empty()
    }

    /// What the container says of the track.
    pub fn track(&self) -> &Track {
        &self.inner.description
    }

    /// Format of the container.
    pub fn container_format(&self) -> Format {
        self.inner.container().format()
    }

    /// What the container did otherwise than it should, and was read all the same.
    pub fn notes(&self) -> Vec<String> {
        self.inner.container().notes().to_vec()
    }

    /// Codec of the track.
    pub fn codec(&self) -> Codec {
        Codec::Hevc
    }

    /// Certain pictures, by their numbers in the order in which they are shown; that is the order in which they come out, each
    /// once, whatever the order of `numbers`.
    ///
    /// # Errors
    ///
    /// [`Error::NoPicture`] for a number that there is not.
    pub fn select(&self, numbers: impl IntoIterator<Item = usize>) -> Result<Selection> {
        let numbers: Vec<usize> = numbers.into_iter().collect();
        let pictures = self.len();
        match numbers.iter().find(|&&number| number >= pictures) {
            Some(&number) => Err(Error::NoPicture { number, pictures }),
            None => Ok(Selection::new(&self.inner, numbers)),
        }
    }

    /// All pictures.
    pub fn all(&self) -> Selection {
        Selection::new(&self.inner, 0..self.len())
    }
}

/// The track to decode.
fn choose(container: &Container, track: Option<usize>) -> Result<(usize, Codec)> {
    let found = track.or_else(|| container.default_track());
    let found = found.and_then(|track| Some((track, container.tracks().get(track)?)));
    match found {
        Some((track, Track { codec: containers::Codec::Hevc, .. })) => Ok((track, Codec::Hevc)),
        _ => Err(no_video(container)),
    }
}

/// Why nothing can be decoded.
fn no_video(container: &Container) -> Error {
    let tracks: Vec<String> = container.tracks().iter().map(|track| format!("{:?}", track.codec)).collect();
    Error::NoVideo { format: container.format().name(), tracks }
}
