//! [`Feeder`]: a decoder that is fed a stream from memory, a NAL unit at a time.

use std::ops::Deref;
use std::sync::Arc;

use hevc::nal::{AnnexB, split_annex_b};
use nvdec::{Context, Frame, HevcDecoder, Input, Sent};

use crate::exit::Failure;

/// A whole stream in memory.
#[derive(Clone, Debug)]
pub enum Stream {
    /// Ordinary memory, from which slice data are copied.
    Copied(Arc<[u8]>),
    /// Memory where engines read them.
    InPlace(Input),
}

impl Stream {
    /// `bytes`, where the engines of `context` read them unless they are to be `copied`.
    ///
    /// # Errors
    ///
    /// [`Failure::Decode`] if there is no memory.
    pub fn new(context: &Context, bytes: Arc<[u8]>, copied: bool) -> Result<Stream, Failure> {
        if copied {
            return Ok(Stream::Copied(bytes));
        }
        let mut input = context.input(bytes.len())?;
        input.copy_from_slice(&bytes);
        Ok(Stream::InPlace(input.freeze()))
    }
}

impl Deref for Stream {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Stream::Copied(bytes) => bytes,
            Stream::InPlace(input) => input,
        }
    }
}

/// A decoder with the stream that it is given.
#[derive(Debug)]
pub struct Feeder<'a> {
    decoder: HevcDecoder,
    stream: &'a Stream,
    nals: AnnexB<'a>,
    /// A NAL unit that was not taken.
    waiting: Option<&'a [u8]>,
    frames: u64,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Something was taken or came out.
    Progress,
    /// There is no surface, and no frame came out that could give one back.
    NoSurface,
    /// There is no memory for the stream until another one ends.
    NoMemory,
    /// The stream has ended; the next step begins it anew.
    End,
}

impl<'a> Feeder<'a> {
    /// A feeder of `stream`.
    pub fn new(decoder: HevcDecoder, stream: &'a Stream) -> Feeder<'a> {
        Feeder { decoder, stream, nals: split(stream), waiting: None, frames: 0 }
    }

    /// The decoder.
    pub fn decoder(&mut self) -> &mut HevcDecoder {
        &mut self.decoder
    }

    /// Frames that came out so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Sends the next NAL unit, or ends the stream, and gives `take` the frames that are due.
    ///
    /// # Errors
    ///
    /// Those of the decoder and of `take`. A picture in error counts as an error: figures of a damaged stream say
    /// nothing.
    pub fn step(&mut self, take: &mut dyn FnMut(Frame) -> Result<(), Failure>) -> Result<Step, Failure> {
        let nal = self.waiting.take().or_else(|| self.nals.next());
        let sent = match (nal, self.stream) {
            (Some(nal), Stream::InPlace(input)) => {
                let at = self.nals.offset_of(nal);
                self.decoder.send_nal_of(input, at..at + nal.len(), None)?
            }
            (Some(nal), Stream::Copied(_)) => self.decoder.send_nal(nal, None)?,
            (None, _) => self.decoder.flush()?,
        };
        let mut received = 0;
        while let Some(frame) = self.decoder.receive() {
            received += 1;
            take(frame)?;
        }
        self.frames += received;
        if let Some(error) = self.decoder.take_error() {
            return Err(error.into());
        }
        Ok(match (sent, nal) {
            (Sent::Accepted, Some(_)) => Step::Progress,
            (Sent::Accepted, None) => {
                self.nals = split(self.stream);
                Step::End
            }
            (refusal, nal) => {
                self.waiting = nal;
                match refusal {
                    _ if received > 0 => Step::Progress,
                    Sent::NoMemory => Step::NoMemory,
                    _ => Step::NoSurface,
                }
            }
        })
    }

    /// Sends the whole stream `loops` times over and gives `take` all frames; whoever takes them holds none.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step); [`Failure::Stuck`] if the decoder goes on neither with frames given back nor without.
    pub fn run(
        &mut self,
        loops: u32,
        take: &mut dyn FnMut(Frame) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut left = loops;
        while left > 0 {
            match self.step(take)? {
                Step::Progress => {}
                Step::End => left -= 1,
                Step::NoSurface | Step::NoMemory => return Err(Failure::Stuck(self.frames)),
            }
        }
        Ok(())
    }
}

fn split(stream: &[u8]) -> AnnexB<'_> {
    split_annex_b(stream).with_ahead(hcq::prefetch)
}
