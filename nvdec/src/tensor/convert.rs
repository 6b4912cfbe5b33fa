//! [`Converter`]: makes tensors of frames, on the GPU.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrayvec::ArrayVec;
use hcq::{ComputeQueue, DeviceBuffer, Launch, Outside, SyncPoint};
use zerocopy::IntoBytes;

use super::plan::PictureShape;
use super::recipe::{Places, Recipe};
use super::shape::TensorShape;
use super::spec::TensorSpec;
use crate::channels::{Lane, Turns};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::surface::pool::Surface;

/// So many kinds of pictures have their tables kept.
const KEPT: usize = 8;
/// Most conversions of one submission. Most of what a conversion costs the processor is its submission; but a group keeps the
/// surfaces of all its pictures until the last of them is decoded.
pub(super) const GROUP: usize = 4;

/// Makes tensors of frames by one [`TensorSpec`].
///
/// A conversion runs on the GPU behind the decoding of its picture. Whoever calls it waits for nothing, and may drop the frame
/// at once: its surface is written again only when the conversion is over.
///
/// [`TensorPool`](super::TensorPool) brings memory of its own. This is for those who have theirs.
#[derive(Debug)]
pub struct Converter {
    context: Arc<Context>,
    spec: TensorSpec,
    /// The last one used is the last.
    kept: Mutex<Vec<Arc<Prepared>>>,
    /// Which queues groups of conversions take.
    turns: Mutex<Turns>,
}

/// What conversions of pictures of one kind share.
#[derive(Debug)]
pub(super) struct Prepared {
    recipe: Recipe,
    tables: DeviceBuffer,
}

impl Prepared {
    /// What comes out.
    pub(super) fn shape(&self) -> &TensorShape {
        self.recipe.shape()
    }

    /// Whether it is for pictures such as `frame`.
    pub(super) fn is_for(&self, frame: &Frame) -> bool {
        self.recipe.is_for(frame)
    }
}

impl Converter {
    /// A converter for frames of decoders of `context`.
    ///
    /// # Errors
    ///
    /// [`Error::TensorSpec`] for what makes no sense; [`Error::Gpu`] if the GPU cannot be told to run kernels, or there are
    /// none for it.
    pub fn new(context: &Arc<Context>, spec: &TensorSpec) -> Result<Converter> {
        spec.check()?;
        context.kernels()?;
        Ok(Converter {
            context: context.clone(),
            spec: spec.clone(),
            kept: Mutex::default(),
            turns: Mutex::default(),
        })
    }

    /// What tensors are made.
    pub fn spec(&self) -> &TensorSpec {
        &self.spec
    }

    /// The context whose frames are converted.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// What `frame` becomes.
    ///
    /// # Errors
    ///
    /// [`Error::TensorSpec`] if the spec does not fit the picture: a crop outside of it, a matrix that is not known.
    pub fn shape_of(&self, frame: &Frame) -> Result<TensorShape> {
        Ok(self.prepared(frame)?.shape().clone())
    }

    /// Converts `frame` to the start of `target`, behind `waits`; `strides` are bytes from one channel, line and column to the
    /// next, without them all elements lie side by side in the spec's layout. The tensor is there when the point that is
    /// returned is reached. Conversions are not ordered among each other: each waits for what it is given.
    ///
    /// Whether the picture is right is for [`Frame::integrity`] to say: one that was lost with the channel of its engine is
    /// converted as well, whatever lies in its surface: grey, or what its stream had there before.
    ///
    /// # Errors
    ///
    /// Those of [`shape_of`](Self::shape_of); [`Error::Gpu`] if `target` is too small, may not be written, or is another
    /// device's; [`Error::TensorMemory`] if the strides make elements overlap.
    pub fn convert(
        &self,
        frame: &Frame,
        target: &DeviceBuffer,
        strides: Option<[i64; 3]>,
        waits: &[SyncPoint],
    ) -> Result<SyncPoint> {
        let prepared = self.prepared(frame)?;
        self.submit(
            &prepared,
            frame,
            frame.surface(),
            Target::new(target, strides),
            (waits, Outside::default()),
        )
    }

    /// As [`convert`](Self::convert), behind words in shared memory that another program writes, and with words that it waits
    /// for ([`Outside`]).
    ///
    /// # Errors
    ///
    /// As [`convert`](Self::convert).
    pub fn convert_with(
        &self,
        frame: &Frame,
        target: &DeviceBuffer,
        strides: Option<[i64; 3]>,
        waits: &[SyncPoint],
        outside: Outside<'_>,
    ) -> Result<SyncPoint> {
        let prepared = self.prepared(frame)?;
        self.submit(&prepared, frame, frame.surface(), Target::new(target, strides), (waits, outside))
    }

    /// As [`convert`](Self::convert), with the samples of `surface` in the place of those of `frame`: what a kernel made of
    /// them, say. `waits` has the point at which they are there.
    ///
    /// # Errors
    ///
    /// As [`convert`](Self::convert); [`Error::OtherGeometry`] if the surface is of another kind than the frame's.
    pub fn convert_surface(
        &self,
        frame: &Frame,
        surface: &Surface,
        target: &DeviceBuffer,
        strides: Option<[i64; 3]>,
        waits: &[SyncPoint],
    ) -> Result<SyncPoint> {
        if surface.geometry() != frame.surface().geometry() {
            let (given, wanted) = (format!("{surface:?}"), format!("{:?}", frame.surface()));
            return Err(Error::OtherGeometry { given, wanted });
        }
        let prepared = self.prepared(frame)?;
        self.submit(&prepared, frame, surface, Target::new(target, strides), (waits, Outside::default()))
    }

    /// What conversions of pictures like `frame` need.
    pub(super) fn prepared(&self, frame: &Frame) -> Result<Arc<Prepared>> {
        let of = PictureShape::of(frame);
        if let Some(known) = find(&mut self.kept(), &of) {
            return Ok(known);
        }
        // Memory is waited for without the lock.
        let recipe = Recipe::of(&self.spec, of)?;
        let tables = self.context.memory().allocate_own(recipe.tables().len() as u64)?;
        // No engine knows of it yet.
        tables.view()?.stream_in(0, recipe.tables());
        let mut kept = self.kept();
        if let Some(known) = find(&mut kept, &of) {
            return Ok(known);
        }
        let prepared = Arc::new(Prepared { recipe, tables });
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push(prepared.clone());
        Ok(prepared)
    }

    /// The queue of a group that waits for `waits`, of which none was reached a moment ago.
    pub(super) fn lane(&self, waits: &[SyncPoint]) -> Lane {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).next(waits)
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Arc<Prepared>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// See [`convert`](Self::convert). `samples` stand in the place of the frame's.
    pub(super) fn submit(
        &self,
        prepared: &Prepared,
        frame: &Frame,
        samples: &Surface,
        target: Target<'_>,
        (waits, outside): (&[SyncPoint], Outside<'_>),
    ) -> Result<SyncPoint> {
        let Prepared { recipe, tables } = prepared;
        let plan = recipe.plan();
        let Target { buffer, offset, strides } = target;
        target.check(plan.extent(strides)?)?;
        let places = Places {
            surface: samples.luma_address(),
            tables: tables.gpu_address(),
            output: buffer.gpu_address() + offset,
        };
        let parameter = recipe.parameter(places, strides)?;
        let launch = Launch {
            kernel: self.context.kernels()?.of(plan.entry()),
            grid: plan.grid(),
            block: plan.block(),
            shared: 0,
            parameters: &parameter,
            buffers: &[samples.buffer(), tables, buffer],
        };
        let memory = self.context.memory();
        let all: Vec<SyncPoint>;
        let waits = match (waits, samples.cleared()) {
            ([], None) => std::slice::from_ref(frame.ready()),
            (waits, cleared) => {
                all = waits.iter().chain([frame.ready()]).chain(cleared).cloned().collect();
                &all
            }
        };
        // SAFETY: the kernel reads samples of the picture's window, which lies in the surface, by tables whose every start and
        // count stays in it, and the tables; it writes the elements of the shape at the strides, which were just seen to end
        // within the target and to begin at its offset.
        let submit = |queue: &ComputeQueue| unsafe { queue.launch(waits, outside, &launch) };
        let point = memory.submit_launch(Lane::of(waits), submit)?;
        samples.read_until(&point);
        Ok(point)
    }

    /// Converts the samples of up to [`GROUP`] pictures, all of `prepared`'s kind, in one submission on the queue of `lane`, behind
    /// `waits`, which have the points at which they are decoded. Each goes to its place in `buffer`, where nothing lies between one
    /// and the next. Where there is an error, nothing was submitted.
    pub(super) fn submit_group(
        &self,
        prepared: &Prepared,
        samples: &[(usize, Surface)],
        buffer: &DeviceBuffer,
        lane: Lane,
        (waits, outside): (&[SyncPoint], Outside<'_>),
    ) -> Result<SyncPoint> {
        let Prepared { recipe, tables } = prepared;
        let plan = recipe.plan();
        let step = plan.bytes();
        let end = samples.iter().map(|&(place, _)| place as u64 + 1).max().unwrap_or(0);
        Target::new(buffer, None).check(end.saturating_mul(step))?;
        let template = plan.params(0, 0, tables.gpu_address(), buffer.gpu_address(), None)?;
        let mut parameters = [template; GROUP];
        // All launches name their memory together.
        let mut buffers = ArrayVec::<&DeviceBuffer, { GROUP + 2 }>::from_iter([tables, buffer]);
        for (parameters, (place, samples)) in parameters.iter_mut().zip(samples) {
            parameters.luma = samples.luma_address();
            parameters.chroma = samples.chroma_address();
            parameters.output = buffer.gpu_address() + *place as u64 * step;
            buffers.push(samples.buffer());
        }
        let first = Launch {
            kernel: self.context.kernels()?.of(plan.entry()),
            grid: plan.grid(),
            block: plan.block(),
            shared: 0,
            parameters: &[],
            buffers: &buffers,
        };
        let mut launches = ArrayVec::<Launch<'_>, GROUP>::new();
        for parameters in &parameters[..samples.len()] {
            let buffers = if launches.is_empty() { first.buffers } else { &[] };
            launches.push(Launch { parameters: parameters.as_bytes(), buffers, ..first });
        }
        // SAFETY: as in `submit`, for each of them: the last place was just seen to end within the target. The first one names
        // the memory of all.
        let submit = |queue: &ComputeQueue| unsafe { queue.launch_all(waits, outside, &launches) };
        let point = self.context.memory().submit_launch(lane, submit)?;
        samples.iter().for_each(|(_, samples)| samples.read_until(&point));
        Ok(point)
    }
}

/// What is kept for pictures like `of`, which becomes the last one used.
fn find(kept: &mut [Arc<Prepared>], of: &PictureShape) -> Option<Arc<Prepared>> {
    let at = kept.iter().rposition(|prepared| prepared.recipe.picture() == of)?;
    kept[at..].rotate_left(1);
    kept.last().cloned()
}

/// Where a tensor goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    pub(super) buffer: &'a DeviceBuffer,
    /// Bytes from its start.
    pub(super) offset: u64,
    pub(super) strides: Option<[i64; 3]>,
}

impl<'a> Target<'a> {
    fn new(buffer: &'a DeviceBuffer, strides: Option<[i64; 3]>) -> Self {
        Target { buffer, offset: 0, strides }
    }

    /// That `extent` bytes can be written there.
    fn check(&self, extent: u64) -> Result<()> {
        let Target { buffer, offset, .. } = *self;
        let room = buffer.size().saturating_sub(offset);
        if extent > room {
            return Err(Error::Gpu(hcq::Error::TooLarge { what: "tensor", size: extent, limit: room }));
        }
        if !buffer.is_writable() {
            let target = format!("{buffer:?}");
            return Err(Error::Gpu(hcq::Error::ReadOnly { what: "a conversion", target }));
        }
        Ok(())
    }
}
