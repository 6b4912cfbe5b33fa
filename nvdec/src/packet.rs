//! [`Packet`]: a piece of a stream with its times, and [`Source`]: where packets come from.

use std::io::{self, Read};
use std::ops::Range;

use bitstream::{AnnexB, split_annex_b};
use hcq::Input;

use crate::frame::Frame;
use crate::pictures::info::Times;

/// What became of a packet that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a packet that was not accepted has to be sent again"]
pub enum Sent {
    /// It was taken.
    Accepted,
    /// Nothing of it was: no surface is free for the picture that comes next. Receive and drop frames, then send it again.
    NoSurface,
    /// Nothing of it was: a sequence begins for which the [limit](crate::Context::set_memory_limit) leaves no memory now. Send
    /// it again when another decoder has ended.
    NoMemory,
}

/// How the units of a stream are told apart within a [`Packet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Framing {
    /// By start codes (Annex B of H.264 and H.265). The packet may begin and end anywhere in the stream; its bytes
    /// are copied, and its pictures have no times. All packets of a stream are framed so then, to its end or a
    /// [reset](crate::Decoder::reset).
    ByteStream,
    /// As [`ByteStream`](Self::ByteStream), and the packet ends where an access unit ends: its last picture is complete.
    AccessUnit,
    /// The packet is what is there of the unit that comes next, [three bytes](Packet::beginning) at least. It is sent again with
    /// the unit.
    Beginning,
    /// The packet is one unit, without start code or length in front.
    Unit,
    /// No bytes: the stream goes on elsewhere.
    Splice,
}

/// Where the bytes of a packet are.
#[derive(Clone, Debug)]
pub(crate) enum Bytes<'a> {
    /// In the caller's memory.
    Borrowed(&'a [u8]),
    /// In memory that engines read.
    Of(&'a Input, Range<usize>),
}

/// A piece of a stream.
#[derive(Clone, Debug)]
pub struct Packet<'a> {
    pub(crate) bytes: Bytes<'a>,
    pub(crate) framing: Framing,
    pub(crate) times: Times,
}

impl<'a> Packet<'a> {
    /// One unit of the stream (a NAL unit) without its start code.
    pub fn unit(bytes: &'a [u8]) -> Packet<'a> {
        Packet { bytes: Bytes::Borrowed(bytes), framing: Framing::Unit, times: Times::default() }
    }

    /// The unit at `range` of memory that [`Context::input`](crate::Context::input) gave: the engine reads its slice data
    /// there. The decoder keeps the memory until it has.
    ///
    /// Copied all the same are slice segments without a start code in front, those of pictures that do not follow each
    /// other in one input, and pictures right behind another one of less than 256 bytes, since an engine begins to read at
    /// multiples of that.
    ///
    /// # Panics
    ///
    /// If `range` does not lie in `input`.
    pub fn unit_of(input: &'a Input, range: Range<usize>) -> Packet<'a> {
        assert!(
            range.start <= range.end && range.end <= input.len(),
            "{range:?} does not lie in an input of {} bytes",
            input.len()
        );
        Packet { bytes: Bytes::Of(input, range), framing: Framing::Unit, times: Times::default() }
    }

    /// Bytes of a stream whose units have start codes, cut anywhere.
    pub fn byte_stream(bytes: &'a [u8]) -> Packet<'a> {
        Packet { bytes: Bytes::Borrowed(bytes), framing: Framing::ByteStream, times: Times::default() }
    }

    /// Bytes of a stream whose units have start codes, which end where an access unit ends: one or more whole access units,
    /// or what was left of one. The last picture in them is complete then, where that of [`byte_stream`](Self::byte_stream) waits for
    /// what comes behind it; without bytes, the picture that was sent so far is. Pictures may still be held back
    /// ([`Mode`](crate::Mode)).
    pub fn access_unit(bytes: &'a [u8]) -> Packet<'a> {
        Packet { bytes: Bytes::Borrowed(bytes), framing: Framing::AccessUnit, times: Times::default() }
    }

    /// What is there of the unit that comes next, which is sent again when it is whole: if that is enough to see that it is not
    /// part of the picture before it, that picture is complete, and waits no longer. Three bytes always are.
    pub fn beginning(bytes: &'a [u8]) -> Packet<'a> {
        Packet { bytes: Bytes::Borrowed(bytes), framing: Framing::Beginning, times: Times::default() }
    }

    /// The stream goes on elsewhere with what comes next, as after a seek: pictures sent so far come out, and the next one begins
    /// anew. It is as the end of the stream ([`Decoder::flush`](crate::Decoder::flush)), but pictures that are held back
    /// ([`Mode`](crate::Mode)) go on waiting for those behind the splice, so that engines work on both sides of it.
    pub fn splice() -> Packet<'a> {
        Packet { bytes: Bytes::Borrowed(&[]), framing: Framing::Splice, times: Times::default() }
    }

    /// The packet with times, which belong to the picture that begins in it; to each of them, if there are several. Without
    /// effect on a piece of a byte stream.
    #[must_use]
    pub fn with_times(self, times: Times) -> Packet<'a> {
        Packet { times, ..self }
    }

    /// The packet with a presentation time, likewise.
    #[must_use]
    pub fn with_pts(mut self, pts: i64) -> Packet<'a> {
        self.times.pts = Some(pts);
        self
    }

    /// Its bytes.
    pub fn data(&self) -> &'a [u8] {
        match &self.bytes {
            Bytes::Borrowed(bytes) => bytes,
            Bytes::Of(input, range) => &input[range.clone()],
        }
    }

    /// How its units are told apart.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Its times.
    pub fn times(&self) -> Times {
        self.times
    }
}

/// Gives a decoder its packets one by one ([`Decoder::frames`](crate::Decoder::frames)).
///
/// A packet that the decoder cannot take yet is asked for again, so that it need not be copied.
pub trait Source {
    /// The packet to be sent next, the same until [`advance`](Self::advance) is called; `None` at the end of the stream.
    ///
    /// # Errors
    ///
    /// What reading the stream says. [`WouldBlock`](io::ErrorKind::WouldBlock) if nothing is there for now, after which it is asked
    /// again; any other error ends the stream.
    fn packet(&mut self) -> io::Result<Option<Packet<'_>>>;

    /// Goes on to the next packet: this one was taken.
    fn advance(&mut self);

    /// Whether nothing of it goes on with what the decoder was sent before. What of that has not come out is forgotten then
    /// ([`Decoder::reset`](crate::Decoder::reset)), so that nobody takes it for a frame of this source.
    fn begins_anew(&self) -> bool {
        false
    }

    /// Whether the caller is to have a frame, or it was only decoded for others.
    fn wants(&self, frame: &Frame) -> bool {
        let _ = frame;
        true
    }
}

impl<S: Source + ?Sized> Source for &mut S {
    fn packet(&mut self) -> io::Result<Option<Packet<'_>>> {
        (**self).packet()
    }

    fn advance(&mut self) {
        (**self).advance();
    }

    fn begins_anew(&self) -> bool {
        (**self).begins_anew()
    }

    fn wants(&self, frame: &Frame) -> bool {
        (**self).wants(frame)
    }
}

/// The units of a stream with start codes that is in memory as a whole.
#[derive(Clone, Debug)]
pub struct Units<'a> {
    units: AnnexB<'a>,
    input: Option<&'a Input>,
    next: Option<&'a [u8]>,
}

impl<'a> Units<'a> {
    /// The units of `stream`, whose slice data are copied.
    pub fn new(stream: &'a [u8]) -> Units<'a> {
        let mut units = split_annex_b(stream).with_ahead(hcq::prefetch);
        let next = units.next();
        Units { units, input: None, next }
    }

    /// The units of `stream`, whose slice data the engine reads where they are.
    pub fn of(stream: &'a Input) -> Units<'a> {
        Units { input: Some(stream), ..Units::new(stream) }
    }
}

impl Source for Units<'_> {
    fn packet(&mut self) -> io::Result<Option<Packet<'_>>> {
        Ok(self.next.map(|unit| match self.input {
            None => Packet::unit(unit),
            Some(input) => {
                let at = self.units.offset_of(unit);
                Packet::unit_of(input, at..at + unit.len())
            }
        }))
    }

    fn advance(&mut self) {
        self.next = self.units.next();
    }
}

/// A stream with start codes that is read piece by piece.
#[derive(Debug)]
pub struct ByteStream<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Bytes of the buffer that are to be sent.
    filled: usize,
}

impl<R: Read> ByteStream<R> {
    /// Bytes read at a time.
    const CHUNK: usize = 1 << 18;

    /// The stream that `reader` gives.
    pub fn new(reader: R) -> ByteStream<R> {
        ByteStream { reader, buffer: vec![0; Self::CHUNK], filled: 0 }
    }
}

impl<R: Read> Source for ByteStream<R> {
    fn packet(&mut self) -> io::Result<Option<Packet<'_>>> {
        while self.filled == 0 {
            match self.reader.read(&mut self.buffer) {
                Ok(0) => return Ok(None),
                Ok(filled) => self.filled = filled,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some(Packet::byte_stream(&self.buffer[..self.filled])))
    }

    fn advance(&mut self) {
        self.filled = 0;
    }
}
