//! [`TensorPool`]: memory for tensors of several pictures each. [`Tensor`]: one of them.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrayvec::ArrayVec;
use hcq::{CopyCommands, DeviceBuffer, Outside, Placement, SyncPoint, WordPoint};

use super::convert::{Converter, GROUP, Prepared};
use super::shape::{TensorPicture, TensorShape};
use super::spec::{Dtype, Layout, TensorSpec};
use super::uses::Uses;
use crate::channels::{Channels, Lane};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::surface::pool::Surface;
use crate::uses::Latest;

/// Memory of a pool is a multiple of this, so that CUDA can map it as it maps its own.
const UNIT: u64 = 2 << 20;
/// Pictures begin at multiples of this within a tensor's memory, and tensors within that of their pool.
const ALIGNMENT: u64 = 256;
/// For so many pictures of a tensor there is room from the beginning.
const MANY: usize = 64;
/// So much is cleared by one command.
const CLEARED: u64 = 1 << 30;

/// Memory for a number of tensors, each of a number of pictures, and what makes them of frames.
///
/// The memory is one allocation, taken within the context's limit when the first picture says how large it is. A tensor's part
/// of it is used again when the last handle is dropped, behind all points that its users have named
/// ([`Tensor::use_until`]): nobody waits for that on the host.
///
/// When pictures of another size come, and the spec names none, tensors get memory of that size; the memory before goes when
/// its last tensor does.
#[derive(Clone, Debug)]
pub struct TensorPool {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    converter: Converter,
    pictures: usize,
    tensors: usize,
    placement: Placement,
    state: Mutex<Option<Arc<Slab>>>,
}

/// The memory of tensors of one shape.
struct Slab {
    shape: TensorShape,
    memory: DeviceBuffer,
    /// Bytes from one picture to the next, and from one tensor to the next.
    picture_bytes: u64,
    tensor_bytes: u64,
    free: Mutex<Vec<Free>>,
}

/// A tensor's memory that nobody has a handle of.
struct Free {
    number: usize,
    uses: Uses,
    /// Of [`Part`].
    behind: Latest<SyncPoint>,
}

impl fmt::Debug for Slab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tensors of {} in {:?}, {} free", self.shape, self.memory, self.free().len())
    }
}

impl Slab {
    fn free(&self) -> MutexGuard<'_, Vec<Free>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TensorPool {
    /// A pool of `tensors` tensors, each of `pictures` pictures. No memory is taken yet.
    ///
    /// # Errors
    ///
    /// As [`Converter::new`].
    pub fn new(
        context: &Arc<Context>,
        spec: &TensorSpec,
        pictures: usize,
        tensors: usize,
    ) -> Result<TensorPool> {
        TensorPool::within(context, spec, pictures, tensors, Placement::Vidmem)
    }

    /// As [`new`](Self::new), with tensors in host memory, which the GPU writes over the bus: for those who only read them on
    /// the host.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn in_host_memory(
        context: &Arc<Context>,
        spec: &TensorSpec,
        pictures: usize,
        tensors: usize,
    ) -> Result<TensorPool> {
        TensorPool::within(context, spec, pictures, tensors, Placement::Sysmem)
    }

    fn within(
        context: &Arc<Context>,
        spec: &TensorSpec,
        pictures: usize,
        tensors: usize,
        placement: Placement,
    ) -> Result<TensorPool> {
        let converter = Converter::new(context, spec)?;
        let (pictures, tensors) = (pictures.max(1), tensors.max(1));
        let state = Mutex::default();
        Ok(TensorPool { inner: Arc::new(Inner { converter, pictures, tensors, placement, state }) })
    }

    /// Bytes that such a pool takes for pictures whose window has `width` by `height` luma samples. Tables of weights come to
    /// that, some KiB for each kind of picture.
    ///
    /// # Errors
    ///
    /// [`Error::TensorSpec`].
    pub fn price(
        spec: &TensorSpec,
        (width, height): (u32, u32),
        pictures: usize,
        tensors: usize,
    ) -> Result<u64> {
        let shape = TensorShape::for_picture(spec, width, height)?;
        Ok(bytes(&shape, pictures.max(1), tensors.max(1)).2)
    }

    /// What makes the tensors.
    pub fn converter(&self) -> &Converter {
        &self.inner.converter
    }

    /// Pictures of a tensor, at most.
    pub fn pictures(&self) -> usize {
        self.inner.pictures
    }

    /// The memory that all tensors are parts of, once a picture said how large: what is exported once for all of them.
    pub fn memory(&self) -> Option<DeviceBuffer> {
        self.state().as_ref().map(|slab| slab.memory.clone())
    }

    /// Whether the memory is there, and all tensors have handles.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.state().as_ref().is_some_and(|slab| slab.free().is_empty())
    }

    /// The queue of conversions that wait for `waits`, of which none was reached a moment ago.
    fn lane(&self, waits: &[SyncPoint]) -> Lane {
        match self.pictures() {
            1 => Lane::of(waits),
            _ => self.inner.converter.lane(waits),
        }
    }

    fn state(&self) -> MutexGuard<'_, Option<Arc<Slab>>> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A tensor to be filled with pictures such as `frame`.
    ///
    /// # Errors
    ///
    /// [`Error::TensorsHeld`] if all have handles; [`Error::MemoryLimit`]; those of [`Converter::shape_of`].
    pub fn begin(&self, frame: &Frame) -> Result<TensorBuilder> {
        let prepared = self.inner.converter.prepared(frame)?;
        let slab = self.slab(prepared.shape())?;
        let held = || Error::TensorsHeld { tensors: self.inner.tensors, bytes: slab.tensor_bytes };
        // What is out of use the longest.
        let Free { number, mut uses, behind } = {
            let mut free = slab.free();
            if free.is_empty() {
                return Err(held());
            }
            free.remove(0)
        };
        let memory = slab.memory.slice(number as u64 * slab.tensor_bytes, slab.tensor_bytes);
        let (waits, words) = uses.before_conversion();
        // The part keeps them until a conversion stands behind them: a builder may be dropped before there is one.
        let part = Part { slab, number, memory, uses: Mutex::new(uses), behind };
        let (pictures, open) = (Vec::with_capacity(self.pictures().min(MANY)), ArrayVec::new());
        let (pool, is_begun) = (self.clone(), false);
        Ok(TensorBuilder { pool, part, waits, words, pictures, prepared, open, is_begun })
    }

    /// The memory of tensors of `shape`.
    fn slab(&self, shape: &TensorShape) -> Result<Arc<Slab>> {
        // What was there before may go first. It is let go of, and memory is waited for, without the lock.
        let before = match &mut *self.state() {
            Some(slab) if slab.shape == *shape => return Ok(slab.clone()),
            state => state.take(),
        };
        drop(before);
        let made = self.make_slab(shape)?;
        let mut state = self.state();
        match &*state {
            // Another thread was first.
            Some(slab) if slab.shape == *shape => Ok(slab.clone()),
            _ => Ok(state.insert(made).clone()),
        }
    }

    /// Memory for all tensors, which is zero: what lay there before is nobody's business who reads a tensor, or what is beside
    /// it. It is waited for, once for a pool: a conversion that is lost counts as made, so who reads its tensor has nothing else that
    /// keeps the memory before from him.
    fn make_slab(&self, shape: &TensorShape) -> Result<Arc<Slab>> {
        let Inner { converter, pictures, tensors, placement, .. } = &*self.inner;
        let (picture_bytes, tensor_bytes, all) = bytes(shape, *pictures, *tensors);
        let of_context = converter.context().memory();
        let memory = match placement {
            Placement::Vidmem => of_context.allocate_own(all)?,
            Placement::Sysmem => of_context.staging(all, &Arc::default())?,
        };
        for at in (0..all).step_by(CLEARED as usize) {
            of_context.filled(&memory.slice(at, CLEARED.min(all - at)), 0)?;
        }
        let free = |number| Free { number, uses: Uses::default(), behind: Latest::default() };
        let free = Mutex::new((0..*tensors).map(free).collect());
        Ok(Arc::new(Slab { shape: shape.clone(), memory, picture_bytes, tensor_bytes, free }))
    }
}

/// Bytes of a picture, of a tensor and of all.
fn bytes(shape: &TensorShape, pictures: usize, tensors: usize) -> (u64, u64, u64) {
    // One picture after the other with nothing between, as a batch of arrays is.
    let picture = shape.bytes();
    let tensor =
        picture.saturating_mul(pictures as u64).checked_next_multiple_of(ALIGNMENT).unwrap_or(u64::MAX);
    let all = tensor.saturating_mul(tensors as u64).checked_next_multiple_of(UNIT).unwrap_or(u64::MAX);
    (picture, tensor, all)
}

/// A tensor that is being filled.
///
/// Conversions are submitted four at a time, which costs the processor less than one by one: when a fourth frame was added, when
/// the tensor is full, and at the latest by [`finish`](Self::finish). Until then the builder keeps the surfaces of up to three
/// frames, as a caller does who holds frames. [`submit`](Self::submit) is for those who will add nothing for a time, or want the
/// surfaces back. A tensor of one picture is submitted at once.
///
/// A builder that is dropped converts nothing more. What was submitted goes on, and its memory is used again behind that.
#[derive(Debug)]
pub struct TensorBuilder {
    pool: TensorPool,
    part: Part,
    /// What still uses the memory.
    waits: Vec<SyncPoint>,
    words: Vec<WordPoint>,
    /// All that were added, by their places.
    pictures: Vec<Option<TensorPicture>>,
    /// How those that are not submitted are converted.
    prepared: Arc<Prepared>,
    /// Their places and surfaces.
    open: ArrayVec<(usize, Surface), GROUP>,
    /// Something was submitted.
    is_begun: bool,
}

impl TensorBuilder {
    /// Pictures so far, places before them included that have none yet.
    pub fn len(&self) -> usize {
        self.pictures.len()
    }

    /// Whether there is no picture yet.
    pub fn is_empty(&self) -> bool {
        self.pictures.is_empty()
    }

    /// Pictures whose conversion is not submitted yet: those that were added last.
    pub fn pending(&self) -> usize {
        self.open.len()
    }

    /// Whether no further picture has a place.
    pub fn is_full(&self) -> bool {
        self.len() == self.pool.inner.pictures
    }

    /// What a picture becomes.
    pub fn shape(&self) -> &TensorShape {
        &self.part.slab.shape
    }

    /// Takes back the pictures from place `len` on. What of them was submitted goes on, and what is put there later waits for it.
    pub fn truncate(&mut self, len: usize) {
        self.open.retain(|(place, _)| *place < len);
        self.pictures.truncate(len);
        let uses = self.part.uses.get_mut().unwrap_or_else(PoisonError::into_inner);
        if self.is_begun {
            self.waits.extend(uses.points().iter().cloned());
        }
    }

    /// Adds `frame`, behind those before. `false` if it has another shape, or the tensor is full: it belongs into another
    /// tensor.
    ///
    /// # Errors
    ///
    /// [`Error::Gpu`] if conversions cannot be submitted, [`Error::OtherContext`] for a frame of another device, and those of
    /// [`Converter::shape_of`]. `frame` was not added then. Those before it are still there: what of them is not submitted yet
    /// is tried again with the next frame, or by [`submit`](Self::submit) or [`finish`](Self::finish).
    pub fn push(&mut self, frame: &Frame) -> Result<bool> {
        self.put(self.len(), frame)
    }

    /// As [`push`](Self::push), to a place of its own, counted from 0: for pictures that come in another order. `false` also if the
    /// place has a picture already. All places before the last one that is used have to be filled.
    ///
    /// # Errors
    ///
    /// Those of `push`.
    pub fn put(&mut self, place: usize, frame: &Frame) -> Result<bool> {
        if place >= self.pool.inner.pictures || self.pictures.get(place).is_some_and(Option::is_some) {
            return Ok(false);
        }
        let converter = &self.pool.inner.converter;
        // Here, where it fails for this frame alone and not for all of its group.
        let device = converter.context().device();
        if !device.owns_point(frame.ready()) || !device.owns(frame.surface().buffer()) {
            return Err(Error::OtherContext { what: "a frame" });
        }
        if !self.prepared.is_for(frame) {
            let prepared = converter.prepared(frame)?;
            if *prepared.shape() != self.part.slab.shape {
                return Ok(false);
            }
            // A group is of one kind.
            self.submit()?;
            self.prepared = prepared;
        }
        let before = self.len();
        self.pictures.resize_with(before.max(place + 1), || None);
        self.pictures[place] = Some(TensorPicture::new(frame));
        self.open.push((place, frame.surface().clone()));
        if (self.open.is_full() || self.is_full())
            && let Err(error) = self.submit()
        {
            self.open.pop();
            self.pictures[place] = None;
            self.pictures.truncate(before);
            return Err(error);
        }
        Ok(true)
    }

    /// Submits the conversions of those frames that were added and are not submitted yet, and lets go of their surfaces. `false`
    /// if there are none.
    ///
    /// # Errors
    ///
    /// [`Error::Gpu`] if they cannot be submitted. They are still there then, and can be tried again.
    pub fn submit(&mut self) -> Result<bool> {
        let TensorBuilder { pool, part, waits, words, pictures, prepared, open, is_begun } = self;
        if open.is_empty() {
            return Ok(false);
        }
        let Part { memory, uses, behind, .. } = part;
        behind.clear();
        // Groups of one tensor may be converted by different queues: all of them wait for those who read the memory.
        let decoded = open.iter().filter_map(|&(place, _)| pictures[place].as_ref());
        behind.add_all(decoded.map(TensorPicture::decoded).chain(&*waits));
        behind.add_all(open.iter().filter_map(|(_, samples)| samples.cleared()));
        behind.forget_reached();
        let points = behind.as_slice();
        let behind = (points, Outside { waits: words, signals: &[] });
        let converter = &pool.inner.converter;
        let point = converter.submit_group(prepared, open, memory, pool.lane(points), behind)?;
        let uses = uses.get_mut().unwrap_or_else(PoisonError::into_inner);
        uses.converted(&point, !std::mem::replace(is_begun, true));
        open.clear();
        Ok(true)
    }

    /// The tensor, of as many pictures as were added. What is not submitted yet is submitted by this.
    ///
    /// # Errors
    ///
    /// [`Error::Gpu`] if it cannot be, [`Error::TensorGap`] if a place has no picture. There is no tensor then: none has a picture
    /// that was not converted.
    pub fn finish(mut self) -> Result<Tensor> {
        self.submit()?;
        if let Some(place) = self.pictures.iter().position(Option::is_none) {
            return Err(Error::TensorGap { place });
        }
        let TensorBuilder { pool, mut part, pictures, .. } = self;
        part.behind.clear();
        // In the memory where they are: an iterator that may leave some out takes other memory.
        let pictures = pictures.into_iter().map(|picture| picture.expect("none is missing"));
        let pictures: Vec<TensorPicture> = pictures.collect();
        let context = pool.inner.converter.context().clone();
        let uses = part.uses.get_mut().unwrap_or_else(PoisonError::into_inner);
        // So far only conversions use it, if there are any.
        let ready = if pictures.is_empty() { Vec::new() } else { uses.points().to_vec() };
        Ok(Tensor { inner: Arc::new(TensorInner { part, pictures, ready, context }) })
    }
}

/// A tensor's part of the memory, which goes back to it.
#[derive(Debug)]
struct Part {
    slab: Arc<Slab>,
    number: usize,
    memory: DeviceBuffer,
    /// When it may be written again.
    uses: Mutex<Uses>,
    /// What a group of conversions is submitted behind; kept to be written into again, by the next tensor as well.
    behind: Latest<SyncPoint>,
}

impl Part {
    fn uses(&self) -> MutexGuard<'_, Uses> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let uses = std::mem::take(&mut *self.uses());
        let mut behind = std::mem::take(&mut self.behind);
        behind.clear();
        self.slab.free().push(Free { number: self.number, uses, behind });
    }
}

/// Pictures as elements in GPU memory. Clones share it.
///
/// Its elements are there once all of [`ready`](Self::ready) are reached; queues wait for that on the GPU. Whoever reads them
/// from a queue says until when ([`use_until`](Self::use_until)) before the last handle goes.
#[derive(Clone, Debug)]
pub struct Tensor {
    inner: Arc<TensorInner>,
}

#[derive(Debug)]
struct TensorInner {
    part: Part,
    pictures: Vec<TensorPicture>,
    ready: Vec<SyncPoint>,
    context: Arc<Context>,
}

impl Tensor {
    /// The elements, one picture after the other.
    pub fn buffer(&self) -> DeviceBuffer {
        let bytes = self.inner.pictures.len() as u64 * self.inner.part.slab.picture_bytes;
        self.inner.part.memory.slice(0, bytes)
    }

    /// The memory that the tensors of the pool are parts of, and where in it this one begins, in bytes.
    pub fn memory(&self) -> (&DeviceBuffer, u64) {
        let Part { slab, number, .. } = &self.inner.part;
        (&slab.memory, *number as u64 * slab.tensor_bytes)
    }

    /// Pictures, and the three dimensions of one: `[N, C, H, W]` or `[N, H, W, C]`.
    pub fn shape(&self) -> [usize; 4] {
        let [a, b, c] = self.inner.part.slab.shape.dims();
        [self.inner.pictures.len(), a, b, c]
    }

    /// Elements from one to the next in each dimension of [`shape`](Self::shape); all lie side by side.
    pub fn strides(&self) -> [usize; 4] {
        let [_, a, b, c] = self.shape();
        [a * b * c, b * c, c, 1]
    }

    /// What an element is.
    pub fn dtype(&self) -> Dtype {
        self.inner.part.slab.shape.dtype()
    }

    /// Which of channels, lines and columns lie next to each other.
    pub fn layout(&self) -> Layout {
        self.inner.part.slab.shape.layout()
    }

    /// The pictures, in order.
    pub fn pictures(&self) -> &[TensorPicture] {
        &self.inner.pictures
    }

    /// When the elements are there: when all of these are reached.
    pub fn ready(&self) -> &[SyncPoint] {
        &self.inner.ready
    }

    /// Says that the elements are being read until `point`. The memory is written again only behind it.
    ///
    /// # Errors
    ///
    /// [`Error::OtherContext`] for a point of another device, which the tensor's cannot wait for.
    pub fn use_until(&self, point: &SyncPoint) -> Result<()> {
        if !self.inner.context.device().owns_point(point) {
            return Err(Error::OtherContext { what: "a sync point" });
        }
        self.inner.part.uses().read_until(point);
        Ok(())
    }

    /// Says that another program reads the elements until it writes the value of `word`, or one behind it. The memory is
    /// written again only behind that; should the word never be written, conversions stand still and count as stalled. It is not
    /// to go back: conversions of several tensors may wait for it.
    ///
    /// # Errors
    ///
    /// [`Error::OtherContext`] for a word in memory of another device.
    pub fn use_until_word(&self, word: &WordPoint) -> Result<()> {
        if !self.inner.context.device().owns(word.word().buffer()) {
            return Err(Error::OtherContext { what: "a shared word" });
        }
        self.inner.part.uses().read_until_word(word.clone());
        Ok(())
    }

    fn channels(&self) -> &Channels {
        self.inner.context.channels()
    }

    /// Waits on the host until the elements are there, and for word whether they are those of the pictures: queues that waited
    /// for [`ready`](Self::ready) go on also behind a channel that died. Damage is told by [`TensorPicture::integrity`].
    ///
    /// # Errors
    ///
    /// [`Error::Gpu`] if a conversion was lost with the channel of its queue, [`Error::Picture`] if a picture, or what it
    /// depends on, was with that of its engine.
    pub fn wait(&self) -> Result<()> {
        self.inner.ready.iter().try_for_each(|point| Ok::<_, Error>(self.channels().wait(point)?))?;
        self.inner.pictures.iter().try_for_each(TensorPicture::check_loss)
    }

    /// The elements in host memory, waiting for them.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait), and [`Error::Gpu`] if they cannot be copied.
    pub fn to_host(&self) -> Result<Vec<u8>> {
        let buffer = self.buffer();
        let mut bytes = vec![0; buffer.size() as usize];
        if buffer.placement() == Placement::Sysmem {
            self.wait()?;
            buffer.view()?.copy_out(0, &mut bytes);
            return Ok(bytes);
        }
        let memory = self.inner.context.memory();
        let staging = memory.staging(buffer.size(), &Arc::default())?;
        let mut commands = CopyCommands::new();
        commands.copy(&buffer, &staging)?;
        let point = memory.submit_copies(&self.inner.ready, &commands)?;
        self.use_until(&point)?;
        self.wait()?;
        self.channels().wait(&point)?;
        staging.view()?.copy_out(0, &mut bytes);
        Ok(bytes)
    }
}
