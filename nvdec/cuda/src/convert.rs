//! [`StreamConverter`]: makes tensors of frames on a stream of CUDA.

use std::sync::Arc;

use hcq::{DeviceBuffer, Patience, SyncPoint};
use nvdec::tensor::{Recipe, TensorShape, TensorSpec};
use nvdec::{Context, Frame};

use crate::error::Result;
use crate::handover::Handover;
use crate::imports::Imports;
use crate::sys::{Conversion, ExternalMemory, Kernels, PrimaryContext, Stream, Target};

/// So many kinds of pictures have their tables kept.
const KINDS: usize = 8;
/// So many surfaces are kept imported at most: those of four decoders that have as many as make anything faster.
const SURFACES: usize = 1024;

/// Makes tensors of frames by one [`TensorSpec`], as [`nvdec::tensor::Converter`] does, but in CUDA's own context and on a
/// stream of the caller's. The elements are the same to the bit: it is the same kernel.
///
/// The GPU runs one context at a time, so conversions on our own queues and kernels of CUDA take turns. These are kernels of
/// CUDA among others, and run beside them.
///
/// ```no_run
/// # fn f(context: &std::sync::Arc<nvdec::Context>, frames: [nvdec::Frame; 4]) -> Result<(), Box<dyn std::error::Error>> {
/// use nvdec_cuda::{Cuda, StreamConverter};
///
/// let cuda = Cuda::load()?.context_of(context.device())?;
/// let stream = cuda.new_stream()?;
/// let mut converter = StreamConverter::new(context, &cuda, &"size=224x224,dtype=f16".parse()?)?;
/// let bytes = converter.shape_of(&frames[0])?.bytes();
/// let memory = cuda.allocate(4 * bytes)?;
/// let target = |at: u64| memory.target().part(at * bytes, bytes);
/// let pictures = [(&frames[0], target(0)?), (&frames[1], target(1)?), (&frames[2], target(2)?), (&frames[3], target(3)?)];
/// converter.convert_all(&pictures, &stream)?;
/// // Kernels that read them, on the stream. The frames may be dropped.
/// # Ok(())
/// # }
/// ```
///
/// # Order
///
/// The stream waits, on the GPU, until the pictures are decoded. What it is told afterwards finds the elements there; other
/// streams wait for an [`Event`](crate::Event). Surfaces are decoded into again when the stream is done with them, and the
/// decoder waits for that on the GPU: a stream that stands still stands in the way of decoding, and counts as an engine that
/// does. Where it may have other work for longer than a second, [`Context::set_stall_timeout`] is to be longer.
///
/// Each call has a signal of ours and one of the stream's, whatever the number of pictures: with several in one call they
/// cost the processor less, and wait for the last of them. Four are what [`nvdec::tensor::TensorPool`] takes together.
///
/// # Memory
///
/// CUDA maps each surface the first time that it is converted, which takes the host about a millisecond, and keeps it as long
/// as its decoder does; a surface that a decoder uses again is known. Such a surface is exported for that, and so it is for
/// [the decoder's stream alone](nvdec::hcq::DeviceBuffer::is_shared): the context does not keep it for the next decoder, whose
/// surfaces are mapped anew. For many short clips conversions on our own queue are cheaper.
///
/// Surfaces that their decoder gave back stay allocated, within the context's memory limit, until the next one is mapped, or
/// until [`forget_unused`](Self::forget_unused). CUDA waits for all work of its context to unmap one.
///
/// # Loss
///
/// A picture that is damaged, or lost, is converted as it is: [`Frame::integrity`] says so. Should the queue of ours die that waits for
/// the streams, what it waited for counts as over, and a surface may be decoded into while a stream still reads it: the points that
/// were returned say so, by an error of [`SyncPoint::wait`]. A CUDA context that has failed
/// (`CUDA_ERROR_ILLEGAL_ADDRESS` and the like) ends all work in it; the error comes from the next call.
#[derive(Debug)]
pub struct StreamConverter {
    // Field order is drop order: what unmaps waits for the work of the context, which may need the words to go on.
    handover: Handover,
    surfaces: Imports<ExternalMemory>,
    /// The last one used is the last.
    kinds: Vec<Arc<Conversion>>,
    kernels: Kernels,
    context: Arc<Context>,
    cuda: PrimaryContext,
    spec: TensorSpec,
}

impl StreamConverter {
    /// For frames of decoders of `context`, on streams of `cuda`, a context on the same GPU ([`Cuda::context_of`](crate::Cuda)).
    ///
    /// # Errors
    ///
    /// [`Error::Nvdec`](crate::Error::Nvdec) if there is no kernel for the GPU, [`Error::Hcq`](crate::Error::Hcq) if there is no
    /// memory or no channel, [`Error::Cuda`](crate::Error::Cuda) if CUDA refuses kernel or memory, as on another GPU.
    pub fn new(context: &Arc<Context>, cuda: &PrimaryContext, spec: &TensorSpec) -> Result<StreamConverter> {
        Ok(StreamConverter {
            handover: Handover::new(cuda, context.device())?,
            surfaces: Imports::new(SURFACES),
            kinds: Vec::new(),
            kernels: Kernels::load(cuda, context.device())?,
            context: context.clone(),
            cuda: cuda.clone(),
            spec: spec.clone(),
        })
    }

    /// What tensors are made.
    pub fn spec(&self) -> &TensorSpec {
        &self.spec
    }

    /// What `frame` becomes.
    ///
    /// # Errors
    ///
    /// Those of [`nvdec::tensor::Recipe::new`], and of CUDA if it is the first of its kind.
    pub fn shape_of(&mut self, frame: &Frame) -> Result<TensorShape> {
        Ok(self.kind_of(frame)?.recipe().shape().clone())
    }

    /// Converts `frame` to `target`, at its strides, on `stream`. The frame may be dropped. The point that is returned is
    /// reached when the stream has come so far; nobody needs to wait for it.
    ///
    /// # Errors
    ///
    /// As [`convert_all`](Self::convert_all).
    pub fn convert(&mut self, frame: &Frame, target: Target<'_>, stream: &Stream) -> Result<SyncPoint> {
        self.convert_all(&[(frame, target)], stream)
    }

    /// Converts several frames, each to a place of its own, with one wait for all and one release.
    ///
    /// # Errors
    ///
    /// [`Error::Nvdec`](crate::Error::Nvdec) for a frame of another device, one that cannot be converted, or strides that
    /// make elements overlap; [`Error::Outside`](crate::Error::Outside) for a target that is too small;
    /// [`Error::OtherContext`](crate::Error::OtherContext); [`Error::Capturing`](crate::Error::Capturing);
    /// [`Error::Hcq`](crate::Error::Hcq) or [`Error::Cuda`](crate::Error::Cuda) if a surface cannot be mapped: nothing was
    /// converted then. Both also if our queue, or the stream, cannot be told something: then some pictures may have been
    /// converted, and what the others' places hold is not known.
    pub fn convert_all(&mut self, pictures: &[(&Frame, Target<'_>)], stream: &Stream) -> Result<SyncPoint> {
        // All that can be looked at before anybody is told anything.
        let mut launches = Vec::with_capacity(pictures.len());
        let mut points = Vec::with_capacity(pictures.len());
        for (frame, target) in pictures {
            let device = self.context.device();
            let buffer = frame.surface().buffer();
            if !device.owns_point(frame.ready()) || !device.owns(buffer) {
                return Err(nvdec::Error::OtherContext { what: "a frame" }.into());
            }
            let kind = self.kind_of(frame)?;
            let surface = self.surface(buffer)?;
            launches.push(kind.launch_of((&surface, buffer.offset_in_allocation()), target)?);
            points.extend(frame.before_read().cloned());
        }
        self.handover.begin(stream, &points)?;
        let mut is_begun = false;
        let launched = launches.iter().try_for_each(|launch| {
            launch.on(stream)?;
            is_begun = true;
            Ok(())
        });
        if !is_begun && let Err(error) = launched {
            return Err(error);
        }
        // Also where not all were launched.
        let point = self.handover.end(stream)?;
        pictures.iter().for_each(|(frame, _)| frame.surface().use_until(point.clone()));
        launched.map(|()| point)
    }

    /// Waits on the host until our side is done with all that streams wait for here, and lets them go on should our queue
    /// have died: before the host waits for a stream, by whatever call of CUDA, see [`Handover::settle`].
    ///
    /// # Errors
    ///
    /// Those of [`Handover::settle`].
    pub fn settle(&mut self, patience: impl Into<Patience>) -> Result<()> {
        self.handover.settle(patience)
    }

    /// Unmaps surfaces that their decoders have given back, so that their memory is free again; how many. CUDA waits for
    /// the work of its context to do so. To be called when a decoder has ended, if memory is short or another one is not to
    /// begin soon.
    pub fn forget_unused(&mut self) -> usize {
        self.surfaces.forget_unused()
    }

    /// Surfaces that CUDA has mapped now.
    pub fn mapped_surfaces(&self) -> usize {
        self.surfaces.len()
    }

    /// What conversions of frames such as `frame` share.
    fn kind_of(&mut self, frame: &Frame) -> Result<Arc<Conversion>> {
        if let Some(at) = self.kinds.iter().rposition(|kind| kind.recipe().is_for(frame)) {
            self.kinds[at..].rotate_left(1);
        } else {
            let recipe = Recipe::new(&self.spec, frame)?;
            let kind = Conversion::new(&self.kernels, &self.context, recipe)?;
            if self.kinds.len() == KINDS {
                self.kinds.remove(0);
            }
            self.kinds.push(Arc::new(kind));
        }
        Ok(self.kinds.last().expect("there is one at least").clone())
    }

    fn surface(&mut self, buffer: &DeviceBuffer) -> Result<Arc<ExternalMemory>> {
        let cuda = &self.cuda;
        self.surfaces.get(buffer, || {
            let exported = buffer.export()?;
            ExternalMemory::import(cuda, exported.fd, exported.size)
        })
    }
}

#[cfg(test)]
mod tests;
