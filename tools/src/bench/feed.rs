//! [`Feeder`]: a decoder with a stream from memory.

use std::io;
use std::ops::{Deref, Range};
use std::sync::Arc;

use bitstream::{AnnexB, split_annex_b};
use nvdec::{Context, Decoder, Frame, Frames, Input, Next, Packet, Source};

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

/// A stream's packets, from its beginning.
#[derive(Debug)]
struct Packets<'a> {
    stream: &'a Stream,
    nals: Nals<'a>,
    next: Option<Range<usize>>,
}

impl<'a> Packets<'a> {
    fn of(stream: &'a Stream) -> Packets<'a> {
        let mut nals = Nals::of(stream);
        let next = nals.next();
        Packets { stream, nals, next }
    }
}

impl Source for Packets<'_> {
    fn packet(&mut self) -> io::Result<Option<Packet<'_>>> {
        Ok(self.next.clone().map(|nal| match &self.stream.memory {
            Memory::InPlace(input) => Packet::unit_of(input, nal),
            Memory::Copied(bytes) => Packet::unit(&bytes[nal]),
        }))
    }

    fn advance(&mut self) {
        self.next = self.nals.next();
    }
}

/// A decoder with the stream that it is given.
#[derive(Debug)]
pub struct Feeder<'a> {
    stream: &'a Stream,
    frames: Frames<Decoder, Packets<'a>>,
    count: u64,
}

/// What came of a step.
#[derive(Debug)]
pub enum Step {
    /// A frame came out.
    Frame(Frame),
    /// There is no surface, and no frame is due that could give one back.
    NoSurface,
    /// There is no memory for the stream until another one ends.
    NoMemory,
    /// The stream has ended; the next step begins it anew.
    End,
}

impl<'a> Feeder<'a> {
    /// A feeder of `stream`.
    pub fn new(decoder: Decoder, stream: &'a Stream) -> Feeder<'a> {
        Feeder { stream, frames: decoder.into_frames(Packets::of(stream)), count: 0 }
    }

    /// The decoder.
    pub fn decoder(&mut self) -> &mut Decoder {
        self.frames.decoder()
    }

    /// Frames that came out so far.
    pub fn frames(&self) -> u64 {
        self.count
    }

    /// Goes on until a frame is due, or the stream has ended.
    ///
    /// # Errors
    ///
    /// Those of the decoder. A picture in error counts as an error: figures of a damaged stream say nothing.
    pub fn step(&mut self) -> Result<Step, Failure> {
        let next = self.frames.try_next();
        if let Some(error) = self.frames.take_error() {
            return Err(error.into());
        }
        Ok(match next {
            Ok(Next::Frame(frame)) => {
                self.count += 1;
                Step::Frame(frame)
            }
            Ok(Next::Full) => Step::NoSurface,
            Ok(Next::End) => {
                self.frames.go_on_with(Packets::of(self.stream));
                Step::End
            }
            Err(nvdec::Error::NoMemoryNow { .. }) => Step::NoMemory,
            Err(error) => return Err(error.into()),
        })
    }

    /// Decodes the whole stream `loops` times over and gives `take` all frames, which holds none.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step), and those of `take`; [`Failure::Stuck`] if the decoder cannot go on although no frame is held.
    pub fn run(
        &mut self,
        loops: u32,
        take: &mut dyn FnMut(Frame) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.run_keeping(loops, &mut |frame| match frame {
            Some(frame) => take(frame).map(|()| true),
            None => Ok(false),
        })
    }

    /// As [`run`](Self::run), for one who keeps surfaces for a time: `take` gets `None` when there is none to go on with, and says
    /// whether it has given some back.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_keeping(
        &mut self,
        loops: u32,
        take: &mut dyn FnMut(Option<Frame>) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let mut left = loops;
        while left > 0 {
            let goes_on = match self.step()? {
                Step::Frame(frame) => take(Some(frame)).map(|_| true)?,
                Step::NoSurface => take(None)?,
                Step::NoMemory => false,
                Step::End => {
                    left -= 1;
                    true
                }
            };
            if !goes_on {
                return Err(Failure::Stuck(self.count));
            }
        }
        Ok(())
    }
}
