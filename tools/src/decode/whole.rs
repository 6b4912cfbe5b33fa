//! [`Whole`]: a file that is decoded from its beginning to its end, whatever it is.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use nvdec::Context;

use super::{Consumer, Settings, Summary, decode, decode_film};
use crate::exit::Failure;
use crate::film::{self, Film};
use crate::input::other::Reader;
use crate::input::{self, Feed, Given};

/// What is decoded from its beginning to its end.
pub enum Whole<'a> {
    /// A byte stream.
    Stream(Box<dyn Feed + 'a>),
    /// All pictures of a container that are shown.
    Film(Box<Film>),
}

impl fmt::Debug for Whole<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Whole::Stream(_) => "a byte stream",
            Whole::Film(_) => "a film",
        })
    }
}

impl<'a> Whole<'a> {
    /// A byte stream in memory.
    pub fn bytes(bytes: &'a [u8]) -> Whole<'a> {
        Whole::Stream(Box::new(bytes))
    }

    /// A byte stream, or the track of a container that it prefers.
    ///
    /// # Errors
    ///
    /// Those of [`input::open_any`] and [`Film::open`]; [`Failure::NotAnnexB`] of a container without HEVC too.
    pub fn open(path: &Path, reader: Reader) -> Result<Whole<'static>, Failure> {
        let (name, file) = match input::open_any(path, reader, false)? {
            Given::Stream(input) => return Ok(Whole::Stream(Box::new(input))),
            Given::Container(name, file) => (name, file),
        };
        let container = film::open(&name, file)?;
        let track = film::choose(&name, &container, None).map_err(|failure| match failure {
            Failure::Container { path, what } => Failure::NotAnnexB { path, found: what },
            failure => failure,
        })?;
        Ok(Whole::Film(Box::new(Film::of(&name, container, track)?)))
    }

    /// Decodes it. `name` stands for a byte stream in messages.
    ///
    /// # Errors
    ///
    /// As [`decode`].
    pub fn decode(
        self,
        context: &Arc<Context>,
        name: &str,
        settings: Settings,
        consumer: &mut dyn Consumer,
    ) -> Result<Summary, Failure> {
        match self {
            Whole::Stream(mut source) => decode(context, name, &mut *source, settings, consumer),
            Whole::Film(film) => {
                // No more is read than is put out.
                let shown = film.video().len();
                let count = settings.frames.and_then(|frames| usize::try_from(frames).ok()).unwrap_or(shown);
                let numbers: Vec<usize> = (0..count.min(shown)).collect();
                decode_film(context, &film, &numbers, settings, consumer)
            }
        }
    }
}
