//! One stream from its bytes to pictures in host memory, or to tensors, with copies and conversions in flight while the engine
//! works.

mod flight;
pub(crate) mod info;
mod material;
mod out;
pub mod run;
mod supply;
mod whole;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hcq::EngineType;
use hevc::picture_hash::PictureHash;
use nvdec::tensor::TensorPool;
use nvdec::{
    Codec, CodecInfo, Colour, Context, Decoder, DecoderOptions, Download, Downloader, Engines, Frame, Frames,
    HostFrame, Integrity, Mode, Next, Observer, Policy, Rect, Sent, SideData, Start, Statistics, Taint,
    Times,
};

use crate::exit::Failure;
use crate::film::Film;
use crate::input::Feed;
pub use flight::{Batch, TENSORS};
use flight::{Conversions, Flying};
pub use info::StreamInfo;
use supply::{Nals, Supply};
pub use whole::Whole;

/// Pictures on their way to host memory: enough to hide a copy behind the decoding of its successors.
const IN_FLIGHT: usize = 8;
/// How long a picture that is not there is waited for before the source is looked at again.
const GLANCE: Duration = Duration::from_millis(2);
/// How long a picture may take before its engine counts as stuck.
const PICTURE_TIMEOUT: Duration = Duration::from_secs(10);

/// A decoded picture in host memory.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Position among those that are put out, from 0.
    pub index: u64,
    /// Picture order count.
    pub poc: i32,
    /// When it is shown, and its number (`opaque`), if it is of a film.
    pub times: Times,
    /// What the sample values mean.
    pub colour: Colour,
    /// How far it is what its encoder made, by what the decoder says.
    pub integrity: Integrity,
    /// What the stream says of it besides.
    pub side_data: Option<Arc<SideData>>,
    /// The encoder's hash of it.
    pub hash: Option<PictureHash>,
    /// The whole picture; its window is the conformance window.
    pub host: HostFrame,
    /// Width and height without the window.
    pub coded_size: (u32, u32),
    /// What the stream says of itself.
    pub stream: Arc<StreamInfo>,
}

impl Picture {
    /// Colour components: 1 for monochrome.
    pub fn planes(&self) -> usize {
        if self.host.format.chroma == nvdec::class::Chroma::C400 { 1 } else { 3 }
    }

    /// Appends the window as planes, as FFmpeg's rawvideo.
    pub fn write_planar(&self, out: &mut Vec<u8>) {
        for plane in 0..self.planes() {
            self.host.write_plane(plane, out);
        }
    }
}

/// How to decode.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// Engines.
    pub engines: Engines,
    /// What the decoder is to be good at.
    pub mode: Mode,
    /// Most surfaces; as the mode says if `None`.
    pub surfaces: Option<usize>,
    /// Largest pictures, in luma samples; as the library says if `None`.
    pub max_luma_samples: Option<u64>,
    /// Where decoding begins.
    pub start: Start,
    /// What is done with pictures that are not exact.
    pub policy: Policy,
    /// How it is found out which pictures are tainted.
    pub taint: Taint,
    /// Have the decoder compare each picture with its hash.
    pub verify: bool,
    /// Stop after so many pictures.
    pub frames: Option<u64>,
    /// Leave the pictures on the GPU: nothing is given to the consumer.
    pub discard: bool,
}

/// Takes what a stream yields.
pub trait Consumer {
    /// A picture in output order.
    fn picture(&mut self, picture: &mut Picture) -> Result<(), Failure>;

    /// An error that concerns one picture or NAL unit.
    fn warning(&mut self, error: nvdec::Error);

    /// The hardware refuses a part of the stream that begins behind `pictures` pictures.
    fn refused(&mut self, _pictures: u64) {}

    /// Bytes of a stream that were read so far, or pictures of a film.
    fn progress(&mut self, _done: u64) {}

    /// Nothing is there to be read for now: what was put out is to be seen.
    fn pause(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// What is to watch the decoder.
    fn observer(&mut self) -> Option<Box<dyn Observer>> {
        None
    }

    /// Memory of [`TENSORS`] tensors, if frames are to become tensors. They are not copied to host memory then.
    fn pool(&mut self) -> Option<TensorPool> {
        None
    }

    /// Pictures as a tensor, in output order.
    fn tensor(&mut self, _batch: &Batch) -> Result<(), Failure> {
        Ok(())
    }

    /// A frame is due, and nothing was made of it yet.
    fn frame(&mut self, _frame: &Frame) {}

    /// Frames of pictures with these numbers are on their way to a tensor, in one submission.
    fn converting(&mut self, _numbers: &[u64]) {}

    /// A picture is on its way to host memory.
    fn copying(&mut self, _download: &Download) {}

    /// The decoder had no surface since then, until now.
    fn stalled(&mut self, _since: Instant) {}
}

/// What came of a stream.
#[derive(Debug, Default)]
pub struct Summary {
    /// Pictures put out.
    pub pictures: u64,
    /// Bytes read.
    pub bytes: u64,
    /// NAL units found.
    pub nal_units: u64,
    /// Pictures that the decoder was sent, of a film.
    pub sent: Option<u64>,
    /// The engine's sums.
    pub statistics: Statistics,
    /// Pictures put out, by the engine that decoded them.
    pub engines: BTreeMap<EngineType, u64>,
    /// Bytes of GPU memory for surfaces and motion vectors.
    pub budget: Option<u64>,
    /// Bytes of memory for tensors.
    pub tensor_memory: Option<u64>,
    /// From the start of decoding to the end of the first picture.
    pub first_picture: Option<Duration>,
    /// From the start of decoding to its end.
    pub elapsed: Duration,
    /// What ended the stream before its end, or what the hardware refused of it. The pictures before were put
    /// out, and so were those of later sequences that the hardware can decode.
    pub stopped: Option<nvdec::Error>,
}

/// Decodes a byte stream.
///
/// # Errors
///
/// Errors of the input, the consumer, and of making the decoder. An error of the decoder within the stream is
/// [`Summary::stopped`] instead.
pub fn decode(
    context: &Arc<Context>,
    name: &str,
    source: &mut dyn Feed,
    settings: Settings,
    consumer: &mut dyn Consumer,
) -> Result<Summary, Failure> {
    decode_from(context, Supply::Stream(Nals::new(name, source)), settings, consumer)
}

/// Decodes pictures of a film, by their numbers in the order in which they are shown, and what they need.
///
/// # Errors
///
/// As [`decode`].
pub fn decode_film(
    context: &Arc<Context>,
    film: &Film,
    numbers: &[usize],
    settings: Settings,
    consumer: &mut dyn Consumer,
) -> Result<Summary, Failure> {
    decode_from(context, Supply::film(film, numbers)?, settings, consumer)
}

fn decode_from(
    context: &Arc<Context>,
    supply: Supply<'_>,
    settings: Settings,
    consumer: &mut dyn Consumer,
) -> Result<Summary, Failure> {
    let pool = consumer.pool();
    let mut options = DecoderOptions::default()
        .with_engines(settings.engines)
        .with_mode(settings.mode)
        .with_surfaces(settings.surfaces)
        .with_start(settings.start)
        .with_policy(settings.policy)
        .with_taint(settings.taint)
        .with_verification(settings.verify)
        .with_tensors(pool.is_some())
        .with_held_frames(IN_FLIGHT + 2);
    if let Some(samples) = settings.max_luma_samples {
        options = options.with_max_luma_samples(samples);
    }
    let mut decoder = Decoder::new(context, Codec::Hevc, options)?;
    if let Some(observer) = consumer.observer() {
        decoder.observe(observer);
    }
    let mut pipeline = Pipeline {
        frames: decoder.into_frames(supply),
        // No more than `IN_FLIGHT` at a time.
        downloader: Downloader::new(context).with_limit(None),
        due: VecDeque::new(),
        flight: VecDeque::new(),
        conversions: pool.map(Conversions::new),
        settings,
        received: 0,
        stream: None,
        start: Instant::now(),
        summary: Summary::default(),
        consumer,
    };
    match pipeline.run() {
        Ok(()) => {}
        Err(Failure::Decode(error)) => {
            pipeline.summary.stopped = Some(error);
            match pipeline.drain() {
                Ok(()) | Err(Failure::Decode(_)) => {}
                Err(failure) => return Err(failure),
            }
        }
        Err(failure) => return Err(failure),
    }
    pipeline.look_at_source();
    let mut summary = pipeline.summary;
    let tensors = pipeline.conversions.and_then(|conversions| conversions.pool.memory());
    summary.tensor_memory = tensors.map(|memory| memory.size());
    let decoder = pipeline.frames.decoder();
    summary.statistics = decoder.statistics();
    summary.budget = decoder.price().map(|price| price.total());
    summary.elapsed = pipeline.start.elapsed();
    Ok(summary)
}

struct Pipeline<'a, 's> {
    frames: Frames<Decoder, Supply<'s>>,
    downloader: Downloader,
    /// Frames to be copied.
    due: VecDeque<Frame>,
    flight: VecDeque<Flying>,
    /// Frames become tensors, and none of them is due.
    conversions: Option<Conversions>,
    settings: Settings,
    /// Frames taken from the decoder.
    received: u64,
    stream: Option<Arc<StreamInfo>>,
    start: Instant,
    summary: Summary,
    consumer: &'a mut dyn Consumer,
}

impl Pipeline<'_, '_> {
    /// Takes frames as they are due. Those that are not copied yet wait on the GPU, so that the decoder can look ahead
    /// as far as its surfaces reach.
    fn run(&mut self) -> Result<(), Failure> {
        while !self.is_satisfied() {
            let next = self.frames.try_next();
            self.look_at_source();
            match next {
                Ok(Next::Frame(frame)) => {
                    self.receive(frame)?;
                    self.deliver_finished()?;
                }
                Ok(Next::Full) if self.submit_conversions()? => {}
                Ok(Next::Full) => {
                    self.wait_for_oldest();
                    if !self.deliver_oldest()? {
                        return Err(Failure::Stuck(self.received));
                    }
                }
                Ok(Next::End) => break,
                // What is decoded does not wait for what is to come.
                Err(nvdec::Error::Source { source }) if source.kind() == io::ErrorKind::WouldBlock => {
                    self.catch_up()?;
                }
                // Later sequences of the stream may be within the limits of the hardware.
                Err(error @ nvdec::Error::CannotDecode { .. }) => {
                    if self.summary.stopped.is_none() {
                        self.take_due()?;
                        self.consumer.refused(self.received);
                        self.summary.stopped = Some(error);
                    }
                }
                Err(error) => return Err(self.frames.source().failure(error)),
            }
        }
        self.drain()?;
        self.frames.decoder().finish()?;
        Ok(())
    }

    /// Gives the consumer all pictures that can be shown by now, with those that are held back for a better order, as long as
    /// the source has nothing: a writer that is only a little behind finds engines at work.
    fn catch_up(&mut self) -> Result<(), Failure> {
        loop {
            while let Some(oldest) = self.flight.front() {
                if !oldest.is_finished() {
                    oldest.wait(GLANCE);
                    if !self.frames.source().would_wait() {
                        return Ok(());
                    }
                }
                self.deliver_oldest()?;
            }
            let before = self.received;
            let sent = self.frames.decoder().submit_held_back()?;
            self.take_due()?;
            let has_gone_on = self.submit_conversions()? || self.received > before;
            // With the surfaces of those that were delivered, or are converted, it goes on.
            if self.flight.is_empty() && (sent == Sent::Accepted || !has_gone_on) {
                break;
            }
        }
        self.look_at_source();
        self.consumer.pause()
    }

    /// Passes on what the source and the decoder found by now.
    fn look_at_source(&mut self) {
        let source = self.frames.source();
        (self.summary.bytes, self.summary.nal_units) = source.read();
        self.summary.sent = source.sent();
        source.take_errors().into_iter().for_each(|error| self.consumer.warning(error));
        self.consumer.progress(self.summary.sent.unwrap_or(self.summary.bytes));
        while let Some(error) = self.frames.take_error() {
            self.consumer.warning(error);
        }
    }

    fn is_satisfied(&self) -> bool {
        self.settings.frames.is_some_and(|limit| self.received >= limit)
    }

    fn receive(&mut self, frame: Frame) -> Result<(), Failure> {
        if self.stream.is_none()
            && let CodecInfo::Hevc(info) = frame.codec()
        {
            self.stream = Some(Arc::new(self.frames.source().describe(&info.sps)));
        }
        self.received += 1;
        *self.summary.engines.entry(frame.engine()).or_insert(0) += 1;
        self.consumer.frame(&frame);
        if self.conversions.is_some() {
            return self.convert(&frame);
        }
        if self.settings.discard {
            return self.discard(&frame);
        }
        self.due.push_back(frame);
        self.copy()
    }

    /// Takes the frames that are due without sending any more.
    fn take_due(&mut self) -> Result<(), Failure> {
        while !self.is_satisfied()
            && let Some(frame) = self.frames.decoder().receive()
        {
            self.receive(frame)?;
        }
        Ok(())
    }

    fn copy(&mut self) -> Result<(), Failure> {
        while self.flight.len() < IN_FLIGHT
            && let Some(frame) = self.due.pop_front()
        {
            // The whole picture is fetched: hashes are over samples that the window hides.
            let coded = frame.coded();
            let download = self.downloader.start_window(frame, coded)?;
            self.consumer.copying(&download);
            self.flight.push_back(Flying::Picture(Box::new(download)));
        }
        Ok(())
    }

    /// Waits for the oldest copy, since its surface is needed.
    fn wait_for_oldest(&mut self) {
        if let Some(oldest) = self.flight.front()
            && !oldest.is_finished()
        {
            let since = Instant::now();
            oldest.wait(PICTURE_TIMEOUT);
            self.consumer.stalled(since);
        }
    }

    /// Gives the consumer what is there already.
    fn deliver_finished(&mut self) -> Result<(), Failure> {
        while self.flight.front().is_some_and(Flying::is_finished) {
            self.deliver_oldest()?;
        }
        Ok(())
    }

    /// Waits for the oldest copy or tensor and gives it to the consumer; `false` if there is none.
    fn deliver_oldest(&mut self) -> Result<bool, Failure> {
        let download = match self.flight.pop_front() {
            Some(Flying::Picture(download)) => download,
            Some(Flying::Tensor(tensor)) => return self.deliver_tensor(tensor).map(|()| true),
            None => return Ok(false),
        };
        let mut host = download.wait()?;
        let frame = download.frame();
        let coded_size = (host.width, host.height);
        let Rect { left, top, width, height } = frame.crop();
        (host.left, host.top, host.width, host.height) = (left, top, width, height);
        let hash = match frame.codec() {
            CodecInfo::Hevc(info) => info.hash.clone(),
            _ => None,
        };
        let mut picture = Picture {
            index: self.summary.pictures,
            poc: frame.poc(),
            times: frame.times(),
            colour: frame.colour(),
            integrity: frame.integrity()?,
            side_data: frame.side_data().cloned(),
            hash,
            host,
            coded_size,
            stream: self.stream.clone().unwrap_or_default(),
        };
        // The surface goes back before the consumer's work.
        drop(download);
        self.summary.first_picture.get_or_insert(self.start.elapsed());
        self.summary.pictures += 1;
        self.consumer.picture(&mut picture)?;
        self.copy()?;
        Ok(true)
    }

    fn drain(&mut self) -> Result<(), Failure> {
        self.take_due()?;
        self.close_tensor()?;
        while self.deliver_oldest()? {}
        Ok(())
    }
}

/// Whether an error means that a picture is missing or wrong. SEI messages only describe pictures.
pub fn costs_pictures(error: &nvdec::Error) -> bool {
    use hevc::error::Structure;
    let nvdec::Error::Bitstream { source, .. } = error else { return true };
    let place = source.source.downcast_ref().and_then(hevc::Error::place);
    place.is_none_or(|place| place.structure != Structure::Sei)
}

#[cfg(test)]
mod tests;
