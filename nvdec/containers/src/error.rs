//! What can go wrong with a container.

use std::io;

use thiserror::Error;

/// What can be wrong with a source, with what is in it, or with a question about it. All offsets are in bytes from the
/// beginning of the source.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The source did not give its bytes.
    #[error("reading at byte {offset} failed: {error}")]
    Io {
        /// Where was read.
        offset: u64,
        /// What the source said.
        #[source]
        error: io::Error,
    },

    /// No format that this crate reads.
    #[error("{what}; {advice}")]
    Unknown {
        /// What it seems to be.
        what: &'static str,
        /// What to do.
        advice: &'static str,
    },

    /// The structure of the container contradicts itself or ends too early.
    #[error(
        "{place} at byte {offset}: {what}; get the file again, or repair it with `ffmpeg -i FILE -c copy NEW`"
    )]
    Damaged {
        /// Box, element or table, by the name that the format's standard has for it.
        place: String,
        /// Where it begins.
        offset: u64,
        /// What is wrong.
        what: String,
    },

    /// Something that this crate does not read.
    #[error("{place} at byte {offset}: {what} is not supported; {advice}")]
    Unsupported {
        /// Box, element or table, by the name that the format's standard has for it.
        place: String,
        /// Where it begins.
        offset: u64,
        /// What is not supported.
        what: String,
        /// What to do.
        advice: &'static str,
    },

    /// A track that is not there.
    #[error("there is no track {track}: the file has {tracks}, counted from 0")]
    NoTrack {
        /// The one asked for.
        track: usize,
        /// Tracks that there are.
        tracks: usize,
    },

    /// A packet that does not lie in the source.
    #[error(
        "a packet of {size} bytes at byte {offset} does not lie in a source of {available} bytes; \
         take packets from the list of the same container"
    )]
    NoPacket {
        /// Where it would begin.
        offset: u64,
        /// Bytes that it would have.
        size: u64,
        /// Bytes of the source.
        available: u64,
    },
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Advice for what a remuxer writes in another way.
pub(crate) const REMUX: &str = "write the file anew with `ffmpeg -i FILE -c copy NEW`";

impl Error {
    pub(crate) fn damaged(place: impl Into<String>, offset: u64, what: impl Into<String>) -> Error {
        Error::Damaged { place: place.into(), offset, what: what.into() }
    }

    pub(crate) fn unsupported(
        place: impl Into<String>,
        offset: u64,
        what: impl Into<String>,
        advice: &'static str,
    ) -> Error {
        Error::Unsupported { place: place.into(), offset, what: what.into(), advice }
    }
}
