//! The loop: a clip becomes tensors, again and again, and nobody waits for the GPU on the host.

use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hcq::Patience;
use nvdec::tensor::{TensorPool, Tensors};
use nvdec::{ByteStream, Codec, Context, Decoder, DecoderOptions, Frame, Frames, Next};
use nvdec_cuda::{DeviceMemory, Handover, Imported, PrimaryContext, Stream, StreamConverter};

use super::Result;
use super::meter::Counts;
use super::options::{Options, Place};

type Clip = ByteStream<Cursor<Arc<[u8]>>>;

/// How long a GPU may be at other things.
pub(crate) const STANDING: Duration = Duration::from_secs(60);

/// A clip from its beginning.
pub(crate) fn stream(clip: &Arc<[u8]>) -> Clip {
    ByteStream::new(Cursor::new(clip.clone()))
}

/// The frames of a clip, on all engines.
pub(crate) fn frames(context: &Arc<Context>, clip: &Arc<[u8]>, held: usize) -> Result<Frames<Decoder, Clip>> {
    let options = DecoderOptions::default().with_tensors(true).with_held_frames(held);
    Ok(Decoder::new(context, Codec::Hevc, options)?.into_frames(stream(clip)))
}

/// A clip that is being decoded.
pub(crate) struct Work {
    way: Way,
    stream: Stream,
    clip: Arc<[u8]>,
    counts: Arc<Counts>,
}

enum Way {
    Queue {
        tensors: Tensors<Decoder, Clip>,
        pool: TensorPool,
        /// Once there is a tensor.
        imported: Option<Imported>,
        handover: Handover,
    },
    Cuda {
        frames: Frames<Decoder, Clip>,
        converter: StreamConverter,
        cuda: PrimaryContext,
        /// Of all tensors; there once a frame says how large.
        memory: Option<(DeviceMemory, u64)>,
        /// The place of the next picture, of how many that there are.
        next: usize,
        places: usize,
        group: usize,
    },
    Nowhere(Frames<Decoder, Clip>),
}

impl Work {
    /// Nothing is decoded yet.
    pub(crate) fn new(options: &Options, context: &Arc<Context>, cuda: &PrimaryContext) -> Result<Work> {
        context.set_stall_timeout(STANDING);
        let clip = options.read_clip()?;
        let frames = frames(context, &clip, options.group)?;
        let way = match options.place {
            Place::Queue => {
                let pool = TensorPool::new(context, &options.spec, options.batch, options.tensors)?;
                let handover = Handover::new(cuda, context.device())?;
                Way::Queue { tensors: frames.into_tensors(&pool), pool, imported: None, handover }
            }
            Place::Cuda => Way::Cuda {
                frames,
                converter: StreamConverter::new(context, cuda, &options.spec)?,
                cuda: cuda.clone(),
                memory: None,
                next: 0,
                places: options.batch * options.tensors,
                group: options.group,
            },
            Place::Nowhere => Way::Nowhere(frames),
        };
        Ok(Work { way, stream: cuda.new_stream()?, clip, counts: Arc::default() })
    }

    pub(crate) fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// Submits what comes next: a tensor, or a group of pictures.
    pub(crate) fn step(&mut self) -> Result<()> {
        let Work { way, stream, clip, counts } = self;
        let pictures = match way {
            Way::Queue { tensors, pool, imported, handover } => {
                let tensor = match tensors.next() {
                    Some(tensor) => tensor?,
                    None => {
                        tensors.frames().go_on_with(self::stream(clip));
                        tensors.next().ok_or("the clip has no picture")??
                    }
                };
                if imported.is_none() {
                    let memory = pool.memory().ok_or("a tensor without memory")?;
                    *imported = Some(Imported::new(stream.context(), &memory)?);
                }
                // As for a tensor that the stream reads.
                handover.begin(stream, tensor.ready())?;
                tensor.use_until(&handover.end(stream)?)?;
                tensor.pictures().len()
            }
            Way::Cuda { frames, converter, cuda, memory, next, places, group } => {
                let pictures = some(frames, clip, (*group).min(*places - *next))?;
                let (memory, bytes) = match memory {
                    Some(memory) => memory,
                    None => {
                        let bytes = converter.shape_of(&pictures[0])?.bytes();
                        memory.insert((cuda.allocate(bytes * *places as u64)?, bytes))
                    }
                };
                let mut targets = Vec::with_capacity(pictures.len());
                for (at, frame) in pictures.iter().enumerate() {
                    let target = memory.target().part((*next + at) as u64 * *bytes, *bytes)?;
                    targets.push((frame, target));
                }
                converter.convert_all(&targets, stream)?;
                *next = (*next + pictures.len()) % *places;
                counts.mapped.store(converter.mapped_surfaces() as u64, Ordering::Relaxed);
                pictures.len()
            }
            Way::Nowhere(frames) => some(frames, clip, 8)?.len(),
        };
        counts.pictures.fetch_add(pictures as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Waits on the host until all is over, for word whether pictures were damaged.
    pub(crate) fn finish(&mut self) -> Result<()> {
        let patience = Patience::WithoutProgress(STANDING);
        let frames = match &mut self.way {
            Way::Queue { tensors, handover, .. } => {
                handover.settle(patience)?;
                tensors.frames()
            }
            Way::Cuda { frames, converter, .. } => {
                converter.settle(patience)?;
                frames
            }
            Way::Nowhere(frames) => frames,
        };
        frames.decoder().finish()?;
        let error = frames.take_error();
        self.stream.synchronize()?;
        error.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// The next frames, `count` or fewer, and one at least: behind the last one of the clip comes the first one. Fewer where the
/// decoder has no surface to go on with.
pub(crate) fn some(frames: &mut Frames<Decoder, Clip>, clip: &Arc<[u8]>, count: usize) -> Result<Vec<Frame>> {
    let mut some = Vec::with_capacity(count);
    let mut ends = 0;
    while some.len() < count {
        match frames.try_next()? {
            Next::Frame(frame) => some.push(frame),
            Next::Full if !some.is_empty() => break,
            // It takes more memory for it.
            Next::Full => some.extend(frames.next().transpose()?),
            Next::End => {
                ends += 1;
                if ends == 2 && some.is_empty() {
                    return Err("the clip has no picture".into());
                }
                frames.go_on_with(stream(clip));
            }
        }
    }
    Ok(some)
}
