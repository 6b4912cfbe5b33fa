//! [`Feeder`]: a decoder that is fed a stream from memory, a NAL unit at a time.

use std::ops::{Deref, Range};
use std::sync::Arc;

use bitstream::{AnnexB, split_annex_b};
use nvdec::{Context, Frame, HevcDecoder, Input, Sent};

use crate::exit::Failure;

/// A whole stream in memory.
#[derive(Clone, Debug)]
pub struct Stream {
    memory: Memory,
    /// Where its NAL units are, if that is known.
    index: Option<Arc<[Range<usize>]>>,
}

/// How a stream is given to a decoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Means {
    /// From ordinary memory, from which slice data are copied, rather than from memory where engines read them.
    pub copied: bool,
    /// With its NAL units found beforehand, as those who read containers have them.
    pub indexed: bool,
}

#[derive(Clone, Debug)]
enum Memory {
    Copied(Arc<[u8]>),
    InPlace(Input),
}

impl Stream {
    /// `bytes`, to be given to decoders on `context`.
    ///
    /// # Errors
    ///
    /// [`Failure::Decode`] if there is no memory.
    pub fn new(context: &Context, bytes: Arc<[u8]>, means: Means) -> Result<Stream, Failure> {
        let index = means.indexed.then(|| {
            let nals = split_annex_b(&bytes);
            let at = |nal: &[u8]| nals.offset_of(nal)..nals.offset_of(nal) + nal.len();
            nals.clone().map(at).collect()
        });
        if means.copied {
            return Ok(Stream { memory: Memory::Copied(bytes), index });
        }
        let mut input = context.input(bytes.len())?;
        input.copy_from_slice(&bytes);
        Ok(Stream { memory: Memory::InPlace(input.freeze()), index })
    }

    /// A stream in ordinary memory.
    pub fn copied(bytes: &[u8]) -> Stream {
        Stream { memory: Memory::Copied(bytes.into()), index: None }
    }
}

impl Deref for Stream {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.memory {
            Memory::Copied(bytes) => bytes,
            Memory::InPlace(input) => input,
        }
    }
}

/// The NAL units of a stream, from its beginning.
#[derive(Debug)]
enum Nals<'a> {
    /// To be found.
    Search(AnnexB<'a>),
    Index(std::slice::Iter<'a, Range<usize>>),
}

impl<'a> Nals<'a> {
    fn of(stream: &'a Stream) -> Nals<'a> {
        match &stream.index {
            None => Nals::Search(split_annex_b(stream).with_ahead(hcq::prefetch)),
            Some(index) => Nals::Index(index.iter()),
        }
    }
}

impl Iterator for Nals<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        match self {
            Nals::Search(nals) => {
                let nal = nals.next()?;
                let at = nals.offset_of(nal);
                Some(at..at + nal.len())
            }
            Nals::Index(index) => index.next().cloned(),
        }
    }
}

/// A decoder with the stream that it is given.
#[derive(Debug)]
pub struct Feeder<'a> {
    decoder: HevcDecoder,
    stream: &'a Stream,
    nals: Nals<'a>,
    /// A NAL unit that was not taken.
    waiting: Option<Range<usize>>,
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
        Feeder { decoder, stream, nals: Nals::of(stream), waiting: None, frames: 0 }
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
        let sent = match (&nal, &self.stream.memory) {
            (Some(nal), Memory::InPlace(input)) => self.decoder.send_nal_of(input, nal.clone(), None)?,
            (Some(nal), Memory::Copied(bytes)) => self.decoder.send_nal(&bytes[nal.clone()], None)?,
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
                self.nals = Nals::of(self.stream);
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
