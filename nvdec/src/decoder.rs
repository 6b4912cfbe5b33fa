//! [`Decoder`]: a stream in, frames in output order out.

use std::borrow::BorrowMut;
use std::io;
use std::sync::Arc;

use bitstream::AnnexBReader;

use crate::class::Codec;
use crate::context::Context;
use crate::engines::EngineSet;
use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::frontend::{Frontend, Unit};
use crate::hevc;
use crate::observe::Observer;
use crate::options::{DecoderOptions, Price};
use crate::packet::{Bytes, Framing, Packet, Sent, Source};
use crate::pictures::Pictures;
use crate::pictures::coded::Application;
use crate::pictures::info::Times;
use crate::session::Statistics;
use crate::surface::format::SurfaceGeometry;
use crate::video::survey::Survey;

/// Ends the unit before it.
const START_CODE: [u8; 3] = [0, 0, 1];

/// The front end of a codec, and how the engine is told of it. Here is where front ends are chosen.
fn frontend(codec: Codec, options: &DecoderOptions) -> Option<(Box<dyn Frontend>, Application)> {
    match codec {
        Codec::Hevc => Some((Box::new(hevc::Hevc::new(options.start)), hevc::APPLICATION)),
        _ => None,
    }
}

/// What finds pictures of `codec` without decoding them.
pub(crate) fn survey(codec: Codec) -> Option<Box<dyn Survey>> {
    match codec {
        Codec::Hevc => Some(Box::new(hevc::survey::HevcSurvey::new())),
        _ => None,
    }
}

/// A decoder for one stream. It starts no thread: it works while it is called, and waits for the GPU only while more
/// pictures are in flight than its rings hold.
#[derive(Debug)]
pub struct Decoder {
    frontend: Box<dyn Frontend>,
    pictures: Pictures,
    reader: AnnexBReader,
    /// Bytes that the reader was given.
    fed: u64,
    /// A unit of the byte stream that waits for a surface, or for memory.
    stalled: Option<Vec<u8>>,
    /// Times of the pictures that begin in what the reader holds.
    times: Times,
    /// The picture is complete once the reader is empty.
    whole: bool,
    /// The reader may have more, which was left there since enough frames were due.
    unread: bool,
}

impl Decoder {
    /// A decoder of `codec` on `context`. Memory for pictures is allocated when the first picture tells their size.
    ///
    /// # Errors
    ///
    /// [`Error::Hardware`] if the engines, or this library, do not decode the codec, or an engine of `options` does not exist;
    /// [`Error::Gpu`] if there is no memory.
    pub fn new(context: &Arc<Context>, codec: Codec, options: DecoderOptions) -> Result<Decoder> {
        let found = context.capability(codec).and_then(|_| frontend(codec, &options));
        let (frontend, application) = found.ok_or_else(|| {
            Error::Hardware(format!(
                "{} is not decoded on {} engines",
                codec.name(),
                context.class().generation
            ))
        })?;
        Decoder::with(frontend, application, context, options)
    }

    /// A decoder with a front end of its own.
    pub(crate) fn with(
        frontend: Box<dyn Frontend>,
        application: Application,
        context: &Arc<Context>,
        options: DecoderOptions,
    ) -> Result<Decoder> {
        Ok(Decoder {
            frontend,
            pictures: Pictures::new(context, application, options)?,
            reader: AnnexBReader::new(),
            fed: 0,
            stalled: None,
            times: Times::default(),
            whole: false,
            unread: false,
        })
    }

    /// The engines that decode.
    pub fn engines(&self) -> EngineSet {
        self.pictures.engines()
    }

    /// Pictures that a picture may have to wait for after it is decoded, since they come before it in output order: the
    /// delay that the stream itself asks for. `None` before its first picture.
    pub fn reorder(&self) -> Option<usize> {
        self.frontend.reorder()
    }

    /// Sums over all pictures that the engine finished.
    pub fn statistics(&mut self) -> Statistics {
        self.pictures.statistics()
    }

    /// What the present sequence costs at most, once its first picture told: less, the more decoders of the context
    /// there are, and changed by the first picture behind one that comes or goes. Single pictures with more tiles than
    /// the first may make scratch memory grow beyond it.
    pub fn price(&self) -> Option<Price> {
        self.pictures.price()
    }

    /// What pictures cost at most that may follow with the parameter sets that were sent, whatever other decoders there are. Nothing
    /// is decoded or allocated for it. `None` if there is no picture parameter set whose sequence parameter set is there.
    ///
    /// # Errors
    ///
    /// [`Error::CannotDecode`] or [`Error::TooManySamples`] if none of them can be decoded.
    pub fn highest_price(&self) -> Result<Option<Price>> {
        self.frontend.price(&self.pictures)
    }

    /// How the pictures of the present sequence lie in memory, once its first one told.
    pub fn geometry(&self) -> Option<SurfaceGeometry> {
        self.pictures.geometry()
    }

    /// Surfaces that the present sequence has taken memory for so far.
    pub fn surfaces(&self) -> usize {
        self.pictures.surfaces()
    }

    /// The next error of a picture or unit that did not end the stream.
    pub fn take_error(&mut self) -> Option<Error> {
        self.pictures.take_error()
    }

    /// The next frame in output order, if one is due. A frame that is due may still be held back with its picture.
    pub fn receive(&mut self) -> Option<Frame> {
        self.pictures.receive()
    }

    /// The frames of `source`, in output order, to its end. The loop of [`send`](Self::send) and [`receive`](Self::receive) is in
    /// here: the next packet is sent when no frame is due.
    ///
    /// Frames may be kept. While they leave too few surfaces to go on with, more are taken, as long as the
    /// [limit](Context::set_memory_limit) allows it; beyond that there is an [`Error::FramesHeld`], and iteration goes on when
    /// frames have been dropped.
    ///
    /// After an error of one sequence iteration goes on with what comes after it; after one of the GPU or of `source` it ends,
    /// except for [`WouldBlock`](io::ErrorKind::WouldBlock), with which a source says that it has nothing for now.
    /// What is wrong with single pictures is said by [`take_error`](Self::take_error), of this decoder or of the iterator.
    pub fn frames<S: Source>(&mut self, source: S) -> Frames<&mut Decoder, S> {
        self.begin(&source);
        Frames { decoder: self, source, state: State::Reading, ahead: 0 }
    }

    /// As [`frames`](Self::frames), with the decoder in the iterator.
    pub fn into_frames<S: Source>(mut self, source: S) -> Frames<Decoder, S> {
        self.begin(&source);
        Frames { decoder: self, source, state: State::Reading, ahead: 0 }
    }

    fn begin(&mut self, source: &impl Source) {
        if source.begins_anew() {
            self.reset();
        }
    }

    /// Sends a packet and gives `take` the frames that are due then: the push form of [`frames`](Self::frames), which says when more
    /// memory is taken, for callers that are called when there is something to decode.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and those of `take`, after which the packet may have been taken or not.
    /// [`Error::FramesHeld`] if the frames that the caller keeps leave no memory to go on with, and
    /// [`Error::NoMemoryNow`] if other decoders leave none for a sequence: nothing of the packet was taken then.
    pub fn push<E: From<Error>>(
        &mut self,
        packet: Packet<'_>,
        mut take: impl FnMut(Frame) -> Result<(), E>,
    ) -> Result<(), E> {
        self.until_accepted(|decoder| decoder.send(packet.clone()), &mut take)
    }

    /// Ends the stream as [`flush`](Self::flush) does, and gives `take` all frames that are left.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
    pub fn end<E: From<Error>>(&mut self, mut take: impl FnMut(Frame) -> Result<(), E>) -> Result<(), E> {
        self.until_accepted(Decoder::flush, &mut take)
    }

    fn until_accepted<E: From<Error>>(
        &mut self,
        mut call: impl FnMut(&mut Decoder) -> Result<Sent>,
        take: &mut impl FnMut(Frame) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            let sent = call(self);
            let mut received = false;
            while let Some(frame) = self.receive() {
                received = true;
                take(frame)?;
            }
            match sent? {
                Sent::Accepted => return Ok(()),
                // They may have had what is missing.
                Sent::NoSurface | Sent::NoMemory if received => {}
                Sent::NoSurface => self.pictures.grow()?,
                Sent::NoMemory => return Err(self.pictures.lacks_memory().into()),
            }
        }
    }

    /// Sends a packet: all of it is taken, or nothing.
    ///
    /// # Errors
    ///
    /// Errors of the GPU. What is wrong with one unit or picture goes to [`take_error`](Self::take_error) instead, and
    /// decoding goes on.
    ///
    /// [`Error::CannotDecode`] when parameter sets come into force that the hardware cannot decode,
    /// [`Error::TooManySamples`] when their pictures are larger than [`DecoderOptions::max_luma_samples`]. It is given
    /// once for them; a caller that sends on gets the pictures of later sequences that it can. The packet was taken.
    pub fn send(&mut self, packet: Packet<'_>) -> Result<Sent> {
        self.send_until(packet, usize::MAX)
    }

    /// As [`send`](Self::send). Once `enough` frames are due, what is left of a piece of a byte stream stays in the reader.
    fn send_until(&mut self, packet: Packet<'_>, enough: usize) -> Result<Sent> {
        if let Some(error) = self.pictures.stopped() {
            return Err(error);
        }
        let before = match self.pump(usize::MAX) {
            Ok(Sent::Accepted) => Ok(()),
            Ok(refusal) => return Ok(refusal),
            Err(error) => Err(error),
        };
        match packet.framing {
            Framing::Unit => {
                before?;
                self.send_unit(&packet)
            }
            Framing::Beginning => {
                before?;
                if self.frontend.ends_picture(packet.data()) {
                    self.frontend.end_picture(&mut self.pictures)?;
                }
                Ok(Sent::Accepted)
            }
            Framing::Splice => {
                before?;
                self.reader.finish();
                match self.pump(usize::MAX)? {
                    Sent::Accepted => self.frontend.finish(&mut self.pictures)?,
                    refusal => return Ok(refusal),
                }
                Ok(Sent::Accepted)
            }
            Framing::ByteStream | Framing::AccessUnit => {
                self.feed(packet.data());
                (self.times, self.whole) = (Times::default(), packet.framing == Framing::AccessUnit);
                if self.whole {
                    self.times = packet.times;
                    self.feed(&START_CODE);
                }
                self.fed += packet.data().len() as u64;
                // Only now, since a packet that ends in an error was taken as well.
                before?;
                // What does not fit now waits inside; the next call says so.
                let _ = self.pump(enough)?;
                Ok(Sent::Accepted)
            }
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        if let Err(source) = self.reader.feed(bytes) {
            self.pictures.note(Error::Bitstream { offset: self.fed, source: source.into() });
        }
    }

    fn send_unit(&mut self, packet: &Packet<'_>) -> Result<Sent> {
        let place = match &packet.bytes {
            Bytes::Of(input, range) if self.pictures.context().device().owns(input.buffer()) => {
                Some((*input, range.clone()))
            }
            _ => None,
        };
        let unit = Unit { bytes: packet.data(), place, times: packet.times };
        self.frontend.send(unit, &mut self.pictures)
    }

    /// Has the front end take what is left of the byte stream, until `enough` frames are due.
    fn pump(&mut self, enough: usize) -> Result<Sent> {
        self.unread = false;
        if let Some(bytes) = self.stalled.take() {
            let sent = self.frontend.send(Unit::copied(&bytes, self.times), &mut self.pictures)?;
            if sent != Sent::Accepted {
                self.stalled = Some(bytes);
                return Ok(sent);
            }
        }
        loop {
            if self.pictures.has_due(enough) {
                self.unread = true;
                return Ok(Sent::Accepted);
            }
            let Some(bytes) = self.reader.next_nal() else { break };
            let sent = self.frontend.send(Unit::copied(bytes, self.times), &mut self.pictures)?;
            if sent != Sent::Accepted {
                self.stalled = Some(bytes.to_vec());
                return Ok(sent);
            }
        }
        // What comes next may be long in coming.
        if std::mem::take(&mut self.whole) || self.frontend.ends_picture(self.reader.unfinished()) {
            self.frontend.end_picture(&mut self.pictures)?;
        }
        Ok(Sent::Accepted)
    }

    /// Says that the picture whose units were sent is complete, so that it is submitted now rather than when the next
    /// one begins; unless pictures are held back ([`Mode`](crate::Mode)). For a caller that knows where an access unit ends, as
    /// from a container or a marker of RTP: an access unit delimiter does not say it, since some streams have it within
    /// pictures. What comes of the picture later is dropped.
    ///
    /// # Errors
    ///
    /// Those of the GPU.
    pub fn end_picture(&mut self) -> Result<()> {
        self.frontend.end_picture(&mut self.pictures)
    }

    /// Submits the pictures that are held back ([`Mode`](crate::Mode)), for a caller that has no more of the stream for a while.
    /// [`Sent::NoSurface`] if one of them finds no surface: receive and drop frames, then call it again.
    ///
    /// # Errors
    ///
    /// Those of the GPU.
    pub fn submit_held_back(&mut self) -> Result<Sent> {
        Ok(if self.pictures.submit_all()? { Sent::Accepted } else { Sent::NoSurface })
    }

    /// Ends the stream: the last pictures are submitted and all frames become due. Another stream may follow; its
    /// pictures are counted on from those before.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn flush(&mut self) -> Result<Sent> {
        match self.send(Packet::splice())? {
            Sent::Accepted => self.submit_held_back(),
            refusal => Ok(refusal),
        }
    }

    /// Forgets everything that was sent and has not come out, errors among it, and keeps memory and parameter sets:
    /// the stream goes on elsewhere, as after a seek. Frames that came out stay valid. Pictures are counted on
    /// ([`Frame::number`]).
    pub fn reset(&mut self) {
        self.reader = AnnexBReader::new();
        self.stalled = None;
        (self.whole, self.unread) = (false, false);
        self.frontend.reset();
        self.pictures.reset();
    }

    /// Has all further submissions watched.
    pub fn observe(&mut self, observer: Box<dyn Observer>) {
        self.pictures.observe(observer);
    }

    /// Waits until the engines have finished every picture submitted.
    ///
    /// # Errors
    ///
    /// [`Error::Gpu`] if an engine does not.
    pub fn finish(&mut self) -> Result<()> {
        self.pictures.finish()
    }
}

/// See [`Decoder::frames`].
#[derive(Debug)]
pub struct Frames<D, S> {
    decoder: D,
    source: S,
    state: State,
    ahead: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading,
    /// The source has ended; the decoder has pictures left.
    Flushing,
    Ended,
}

/// What [`Frames::try_next`] found.
#[derive(Debug)]
#[must_use]
pub enum Next {
    /// The next frame.
    Frame(Frame),
    /// No frame is due, and the frames that the caller holds leave no surface to go on with.
    Full,
    /// The stream has ended.
    End,
}

impl<D: BorrowMut<Decoder>, S: Source> Frames<D, S> {
    /// Has `frames` frames due before one is given, as far as there are surfaces: for a caller that waits for each frame on the
    /// host, as for a copy, so that the engines have work meanwhile. Not for a source that is no faster than the pictures are
    /// shown: they would be late by as many.
    #[must_use]
    pub fn with_ahead(self, frames: usize) -> Self {
        Frames { ahead: frames, ..self }
    }

    /// The decoder.
    pub fn decoder(&mut self) -> &mut Decoder {
        self.decoder.borrow_mut()
    }

    /// The source.
    pub fn source(&mut self) -> &mut S {
        &mut self.source
    }

    /// Goes on with another source, behind the end of the one before.
    pub fn go_on_with(&mut self, source: S) {
        self.decoder.borrow_mut().begin(&source);
        self.source = source;
        self.state = State::Reading;
    }

    /// The next error of a picture or unit that did not end the stream.
    pub fn take_error(&mut self) -> Option<Error> {
        self.decoder().take_error()
    }

    /// As [`next`](Iterator::next), without taking more memory than the decoder's options say: a caller that holds frames for
    /// a time gives one back when there is no surface left.
    ///
    /// # Errors
    ///
    /// As [`Decoder::send`]; [`Error::NoMemoryNow`] if a sequence begins for which other decoders leave no memory, and
    /// [`Error::Source`].
    pub fn try_next(&mut self) -> Result<Next> {
        loop {
            let pictures = &mut self.decoder.borrow_mut().pictures;
            let wanted = if self.state == State::Ended { 1 } else { self.ahead.saturating_add(1) };
            if pictures.has_due(wanted)
                && let Some(frame) = pictures.receive()
            {
                if self.source.wants(&frame) {
                    return Ok(Next::Frame(frame));
                }
                continue;
            }
            if let Some(error) = pictures.stopped() {
                self.state = State::Ended;
                return Err(error);
            }
            if self.state == State::Ended {
                return Ok(Next::End);
            }
            let sent = self.step(wanted).inspect_err(|error| {
                // Nothing comes behind these; a caller that passes errors over would ask for ever.
                let ends = match error {
                    Error::Source { source } => source.kind() != io::ErrorKind::WouldBlock,
                    error => matches!(error, Error::Gpu(_)),
                };
                if ends {
                    self.state = State::Ended;
                }
            })?;
            match sent {
                Sent::Accepted => {}
                // What was kept back for a caller that is ahead comes first.
                refusal => {
                    let pictures = &mut self.decoder.borrow_mut().pictures;
                    return match (pictures.receive(), refusal) {
                        (Some(frame), _) if self.source.wants(&frame) => Ok(Next::Frame(frame)),
                        // Its surface is free now.
                        (Some(_), _) => continue,
                        (None, Sent::NoMemory) => Err(pictures.lacks_memory()),
                        (None, _) => Ok(Next::Full),
                    };
                }
            }
        }
    }

    /// Takes memory for another surface.
    pub(crate) fn grow(&mut self) -> Result<()> {
        self.decoder().pictures.grow()
    }

    /// Sends the next packet, or the rest of the last one, or ends the stream. `wanted` frames are not due yet.
    fn step(&mut self, wanted: usize) -> Result<Sent> {
        let decoder = self.decoder.borrow_mut();
        if decoder.unread {
            return decoder.pump(wanted);
        }
        if self.state == State::Reading {
            match self.source.packet().map_err(|source| Error::Source { source })? {
                None => self.state = State::Flushing,
                Some(packet) => {
                    let sent = decoder.send_until(packet, wanted);
                    // What ends in an error was taken as well.
                    if !matches!(sent, Ok(Sent::NoSurface | Sent::NoMemory)) {
                        self.source.advance();
                    }
                    return sent;
                }
            }
        }
        let sent = decoder.flush()?;
        if sent == Sent::Accepted {
            self.state = State::Ended;
        }
        Ok(sent)
    }
}

impl<D: BorrowMut<Decoder>, S: Source> Iterator for Frames<D, S> {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Result<Frame>> {
        loop {
            match self.try_next() {
                Ok(Next::Frame(frame)) => return Some(Ok(frame)),
                Ok(Next::End) => return None,
                Ok(Next::Full) => {
                    if let Err(error) = self.grow() {
                        return Some(Err(error));
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests;
