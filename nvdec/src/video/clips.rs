//! [`Clips`]: clips of many videos as batches of tensors, decoded ahead of the caller.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use super::Video;
use super::sampler::{Clip, Sampling};
use crate::context::Context;
use crate::decoder::Decoder;
use crate::error::{Error, Result};
use crate::options::DecoderOptions;
use crate::tensor::{Tensor, TensorBuilder, TensorPool, TensorSpec};

/// Opens a video by its number: a file, or whatever [`Video`] takes.
type Open = dyn FnMut(usize) -> Result<Video> + Send;

/// How [`Clips`] are handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClipsOptions {
    /// Clips of a batch.
    pub batch: usize,
    /// Batches that are decoded ahead of the caller.
    pub ahead: usize,
    /// Batches that the caller may keep.
    pub held: usize,
    /// Clips that were handed out before: to go on with an epoch that was left in the midst ([`Clips::position`]).
    pub position: usize,
    /// Whether a last batch comes that has fewer clips.
    pub last: bool,
    /// How the videos are decoded.
    pub decoder: DecoderOptions,
}

impl Default for ClipsOptions {
    fn default() -> Self {
        let decoder = DecoderOptions::default().with_tensors(true);
        ClipsOptions { batch: 1, ahead: 2, held: 2, position: 0, last: true, decoder }
    }
}

/// A clip of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TakenClip {
    /// Which of which video.
    pub clip: Clip,
    /// The pictures that it has, by their numbers in the video.
    pub numbers: Vec<usize>,
}

/// Clips, one after the other in one tensor `[clips × frames, …]`.
#[derive(Debug)]
#[non_exhaustive]
pub struct ClipBatch {
    /// The pictures. They are there when its points are reached; nothing was waited for.
    pub tensor: Tensor,
    /// The clips, in their order.
    pub clips: Vec<TakenClip>,
    /// Videos that could not be opened or decoded, and why. The clips that follow stand in the places of theirs.
    pub failures: Vec<(Clip, Error)>,
}

/// An iterator over the clips that a [`Sampling`] says, of many videos. Batches are decoded ahead on all engines, by one thread, which
/// works while the iterator is asked; nothing waits for an engine as long as there is memory.
///
/// ```no_run
/// use nvdec::Context;
/// use nvdec::video::{Clips, ClipsOptions, Files, Sampling};
///
/// let context = Context::open_default()?;
/// let paths = ["a.mp4", "b.mkv", "c.hevc"];
/// let sampling = Sampling { frames: 8, stride: 4, per_video: 10, ..Sampling::default() };
/// let options = ClipsOptions { batch: 4, ..ClipsOptions::default() };
/// let mut files = Files::new(paths);
/// let open = move |video: usize| files.get(video, []);
/// for batch in Clips::new(&context, &"size=224x224,dtype=f16".parse()?, 3, open, sampling, options)? {
///     let batch = batch?;
///     println!("{:?}, there at {:?}", batch.tensor.shape(), batch.tensor.ready());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Clips {
    context: Arc<Context>,
    pool: TensorPool,
    open: Box<Open>,
    sampling: Sampling,
    options: ClipsOptions,
    clips: Vec<Clip>,
    /// Clips that were begun, and that were handed out.
    begun: usize,
    position: usize,
    /// Batches that are on their way, each with the clips behind its last one.
    ahead: VecDeque<(ClipBatch, usize)>,
    /// Nothing comes any more.
    ended: bool,
}

impl fmt::Debug for Clips {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} clips, {} batches ahead", self.position, self.clips.len(), self.ahead.len())
    }
}

/// A batch that is being filled.
#[derive(Default)]
struct Filling {
    tensor: Option<TensorBuilder>,
    clips: Vec<TakenClip>,
    failures: Vec<(Clip, Error)>,
}

impl Clips {
    /// Clips of so many `videos`, each of which `open` opens when it is needed.
    ///
    /// # Errors
    ///
    /// As [`TensorPool::new`].
    pub fn new(
        context: &Arc<Context>,
        spec: &TensorSpec,
        videos: usize,
        open: impl FnMut(usize) -> Result<Video> + Send + 'static,
        sampling: Sampling,
        options: ClipsOptions,
    ) -> Result<Clips> {
        let batch = options.batch.max(1);
        let pictures = batch.saturating_mul(sampling.frames.max(1));
        let tensors = options.ahead.saturating_add(options.held).max(1);
        let clips = sampling.clips(videos);
        let position = options.position.min(clips.len());
        Ok(Clips {
            context: context.clone(),
            pool: TensorPool::new(context, spec, pictures, tensors)?,
            open: Box::new(open),
            sampling,
            options: ClipsOptions { batch, ..options },
            clips,
            begun: position,
            position,
            ahead: VecDeque::new(),
            ended: false,
        })
    }

    /// The clips of this epoch and rank, in their order.
    pub fn clips(&self) -> &[Clip] {
        &self.clips
    }

    /// Clips that were handed out so far: [`ClipsOptions::position`] of one that goes on from here.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Memory of the tensors, which one export shares.
    pub fn pool(&self) -> &TensorPool {
        &self.pool
    }

    /// Begins the next batch; `None` if there are no clips left for one.
    fn fill(&mut self) -> Result<Option<ClipBatch>> {
        let mut filling = Filling::default();
        while filling.clips.len() < self.options.batch {
            let Some(&clip) = self.clips.get(self.begun) else { break };
            match self.take(clip, &mut filling) {
                Ok(()) => {}
                // What concerns all of them. The clip is begun again.
                Err(
                    error @ (Error::TensorsHeld { .. }
                    | Error::Gpu(_)
                    | Error::MemoryLimit { .. }
                    | Error::NoMemoryNow { .. }
                    | Error::FramesHeld { .. }),
                ) => {
                    // Those before it too: their batch is dropped.
                    self.begun -= filling.clips.len() + filling.failures.len();
                    return Err(error);
                }
                Err(error) => {
                    let whole = filling.clips.len() * self.sampling.frames;
                    filling.tensor.iter_mut().for_each(|tensor| tensor.truncate(whole));
                    filling.failures.push((clip, error));
                }
            }
            self.begun += 1;
        }
        let Filling { tensor, clips, failures } = filling;
        let is_whole = clips.len() == self.options.batch || self.options.last;
        match tensor {
            Some(_) if !clips.is_empty() && !is_whole => Ok(None),
            Some(tensor) if !clips.is_empty() => {
                Ok(Some(ClipBatch { tensor: tensor.finish()?, clips, failures }))
            }
            // Without a batch to say it.
            _ => failures.into_iter().next().map_or(Ok(None), |(_, error)| Err(error)),
        }
    }

    /// Decodes a clip to the next places of a batch.
    fn take(&mut self, clip: Clip, filling: &mut Filling) -> Result<()> {
        let video = (self.open)(clip.video)?;
        let numbers = self.sampling.numbers(clip, video.len())?;
        let first = filling.clips.len() * self.sampling.frames;
        let mut decoder = Decoder::new(&self.context, video.codec(), self.options.decoder)?;
        let mut missing = numbers.len();
        for frame in decoder.frames(video.select(numbers.iter().copied())?) {
            let frame = frame?;
            if filling.tensor.is_none() {
                filling.tensor = Some(self.pool.begin(&frame)?);
            }
            let tensor = filling.tensor.as_mut().expect("it was begun");
            let places =
                numbers.iter().enumerate().filter(|&(_, &number)| frame.opaque() == Some(number as u64));
            for (place, _) in places {
                if !tensor.put(first + place, &frame)? {
                    let (given, wanted) = (self.pool.converter().shape_of(&frame)?, tensor.shape());
                    return Err(Error::OtherShape { given: given.to_string(), wanted: wanted.to_string() });
                }
                missing -= 1;
            }
        }
        if missing > 0 {
            return Err(Error::Missing { number: numbers[0] });
        }
        filling.clips.push(TakenClip { clip, numbers });
        Ok(())
    }
}

impl Iterator for Clips {
    type Item = Result<ClipBatch>;

    fn next(&mut self) -> Option<Result<ClipBatch>> {
        while !self.ended && self.ahead.len() <= self.options.ahead {
            // The caller keeps more than was agreed: what is there comes first.
            if self.pool.is_exhausted() && !self.ahead.is_empty() {
                break;
            }
            match self.fill() {
                Ok(Some(batch)) => self.ahead.push_back((batch, self.begun)),
                Ok(None) => self.ended = true,
                Err(error) => {
                    // Nothing comes behind it; a caller that passes errors over would ask for ever.
                    self.ended |= matches!(error, Error::Gpu(_));
                    return Some(Err(error));
                }
            }
        }
        let (batch, position) = self.ahead.pop_front()?;
        self.position = position;
        Some(Ok(batch))
    }
}
