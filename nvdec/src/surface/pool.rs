//! [`Surface`]: a decoded picture in GPU memory. [`SurfacePool`]: the surfaces of one session, within a budget.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use hcq::{BlockLinearPlane, DeviceBuffer, SyncPoint};

use crate::channels::is_lost;
use crate::error::{Error, Result};
use crate::memory::store::Lease;
use crate::memory::{AtLimit, Memory};
use crate::scheduler::cost::Time;
use crate::surface::format::{LOG2_GOBS, SurfaceGeometry};
use crate::uses::Uses;

/// Hands out surfaces of one geometry and takes them back when they are dropped.
///
/// Memory is taken from the context on demand, up to the budget, and cleared to mid-grey before its first use, so that
/// no surface ever shows what another session or program left behind. It returns to the context with the pool, or with
/// a surface that outlives it. A surface that comes back while an engine or a consumer still uses it is handed out again
/// behind those uses, never beside them.
#[derive(Debug)]
pub struct SurfacePool {
    inner: Arc<PoolInner>,
}

/// Whether a pool hands out memory that is returned but still in use rather than allocate more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// Yes. For a single engine, on which the next picture starts behind the present one anyway.
    First,
    /// Only when the capacity is reached: a picture that waits for nobody keeps another engine busy.
    Last,
}

struct PoolInner {
    memory: Arc<Memory>,
    geometry: SurfaceGeometry,
    capacity: AtomicUsize,
    /// Whether it is [`Reuse::First`].
    reuse_first: AtomicBool,
    /// The memory limit left no room for another surface when one was wanted last.
    is_limited: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    live: usize,
    /// So many are given back when they are free, since the capacity has become smaller.
    surplus: usize,
    /// The GPU had no memory for another one.
    exhausted: bool,
    /// Those that nothing holds, the one first that is out of use first.
    free: BinaryHeap<Reverse<Turn>>,
    /// By [`Turn::slot`]; `None` where none is.
    slots: Vec<Option<Free>>,
    vacant: Vec<usize>,
    returns: u64,
}

/// When a surface that nothing holds is used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    /// When it is expected to be out of use.
    time: Time,
    /// Number of its return: of those that are out of use at the same time, the one that came back first.
    number: u64,
    slot: usize,
}

/// A surface that nothing holds.
struct Free {
    memory: Lease,
    uses: Uses,
    /// When it is cleared, unless that is known to be over.
    cleared: Option<SyncPoint>,
}

impl State {
    fn put(&mut self, free: Free) {
        self.returns += 1;
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.free.push(Reverse(Turn { time: free.uses.free_time(), number: self.returns, slot }));
        self.slots[slot] = Some(free);
    }

    /// Of the surfaces that nothing holds, the one that is out of use first.
    fn first(&self) -> Option<&Free> {
        self.slots[self.free.peek()?.0.slot].as_ref()
    }

    /// Takes that one out.
    fn take_first(&mut self) -> Option<Free> {
        let Reverse(Turn { slot, .. }) = self.free.pop()?;
        self.vacant.push(slot);
        self.slots[slot].take()
    }
}

impl fmt::Debug for PoolInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let capacity = self.capacity.load(Ordering::Relaxed);
        write!(f, "{} of {capacity} surfaces, {} free", state.live, state.free.len())
    }
}

impl SurfacePool {
    /// A pool of at most `capacity` surfaces.
    pub(crate) fn new(
        memory: &Arc<Memory>,
        geometry: SurfaceGeometry,
        capacity: usize,
        reuse: Reuse,
    ) -> Self {
        let inner = PoolInner {
            memory: memory.clone(),
            geometry,
            capacity: AtomicUsize::new(capacity.max(1)),
            reuse_first: AtomicBool::new(reuse == Reuse::First),
            is_limited: AtomicBool::new(false),
            state: Mutex::default(),
        };
        SurfacePool { inner: Arc::new(inner) }
    }

    /// Layout of the pool's surfaces.
    pub fn geometry(&self) -> &SurfaceGeometry {
        &self.inner.geometry
    }

    /// Most surfaces that exist at once.
    pub fn capacity(&self) -> usize {
        self.inner.capacity.load(Ordering::Relaxed)
    }

    /// Changes that. What there is beyond it goes back to the context, once nothing holds it.
    pub(crate) fn set_capacity(&self, capacity: usize) {
        let capacity = capacity.max(1);
        self.inner.capacity.store(capacity, Ordering::Relaxed);
        let mut out = Vec::new();
        let mut state = self.lock();
        state.surplus = state.live.saturating_sub(capacity);
        while state.surplus > 0
            && let Some(free) = state.take_first()
        {
            state.surplus -= 1;
            state.live -= 1;
            out.push(free);
        }
        drop(state);
        out.into_iter().for_each(Free::give_back);
    }

    /// Bytes of GPU memory that one surface takes.
    pub(crate) fn surface_bytes(&self) -> u64 {
        hcq::allocation_size(self.inner.geometry.bytes(), hcq::Placement::Vidmem)
    }

    /// Most bytes of GPU memory that the surfaces take.
    pub fn budget(&self) -> u64 {
        self.inner.geometry.bytes() * self.capacity() as u64
    }

    /// A surface to write to, or `None` while all are in use, be that all of the capacity or all that the GPU has memory
    /// for. What is still reading it, or still clearing it, is in its uses.
    pub fn take(&self) -> Result<Option<Surface>> {
        let reuse_first = self.inner.reuse_first.load(Ordering::Relaxed);
        let is_limited = self.is_limited();
        let mut state = self.lock();
        let suits = |free: &Free| reuse_first || free.uses.is_idle();
        let may_grow = !state.exhausted && !is_limited && state.live < self.capacity();
        if may_grow && !state.first().is_some_and(suits) {
            let others = state.live;
            // Without any the stream cannot go on.
            let at_limit = if others == 0 { AtLimit::Wait } else { AtLimit::Fail };
            match self.grow(state, at_limit) {
                Ok(surface) => return Ok(Some(surface)),
                // What there is has to do.
                Err(error) if error.is_out_of_memory() && others > 0 => {
                    log::info!("{others} surfaces are all that there is memory for: {error}");
                    // That of the GPU, all programs on it take. Of the limit there may be more at any time.
                    let is_limited = matches!(error, Error::MemoryLimit { .. });
                    self.inner.is_limited.store(is_limited, Ordering::Relaxed);
                    state = self.lock();
                    state.exhausted |= !is_limited;
                }
                Err(error) => return Err(error),
            }
        }
        let Some(Free { memory, mut uses, mut cleared }) = state.take_first() else { return Ok(None) };
        drop(state);
        if cleared.as_ref().is_some_and(SyncPoint::is_reached) {
            // The copy engine's channel died before it was: what lies there may be another's.
            if cleared.take().as_ref().is_some_and(is_lost) {
                let again = self.inner.memory.fill(memory.buffer(), grey(&self.inner.geometry))?;
                uses.written_at(&again, uses.free_time());
                cleared = Some(again);
            }
        }
        Ok(Some(self.surface(memory, uses, cleared)))
    }

    /// Says how surfaces are handed out from now on.
    pub(crate) fn prefer(&self, reuse: Reuse) {
        self.inner.reuse_first.store(reuse == Reuse::First, Ordering::Relaxed);
    }

    /// A surface whatever the budget says. For streams that hold more pictures than they declared, which the
    /// standard's own limits still bound.
    pub(crate) fn take_beyond_capacity(&self) -> Result<Surface> {
        self.grow(self.lock(), AtLimit::Wait)
    }

    /// Surfaces that could be taken.
    pub(crate) fn spare(&self) -> usize {
        let state = self.lock();
        let ends = state.exhausted || self.inner.is_limited.load(Ordering::Relaxed);
        let growth = if ends { 0 } else { self.capacity().saturating_sub(state.live) };
        state.free.len() + growth
    }

    /// Surfaces that exist, in use or free.
    pub fn live(&self) -> usize {
        self.lock().live
    }

    /// Surfaces that are not free.
    pub(crate) fn in_use(&self) -> usize {
        let state = self.lock();
        state.live - state.free.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there still was no room for another surface within the memory limit.
    fn is_limited(&self) -> bool {
        let is_limited = &self.inner.is_limited;
        if is_limited.load(Ordering::Relaxed) && self.inner.memory.has_room(self.surface_bytes()) {
            is_limited.store(false, Ordering::Relaxed);
        }
        is_limited.load(Ordering::Relaxed)
    }

    /// One surface more. Its memory is taken without the lock, since that may wait for engines.
    fn grow(&self, mut state: MutexGuard<'_, State>, at_limit: AtLimit) -> Result<Surface> {
        state.live += 1;
        drop(state);
        let geometry = &self.inner.geometry;
        let allocated = self.inner.memory.allocate_filled(geometry.bytes(), grey(geometry), at_limit);
        let (memory, cleared) = allocated.inspect_err(|_| self.lock().live -= 1)?;
        Ok(self.surface(memory, Uses::written_by(cleared.clone()), Some(cleared)))
    }

    fn surface(&self, memory: Lease, uses: Uses, cleared: Option<SyncPoint>) -> Surface {
        Surface::new(SurfaceInner {
            memory: Some(memory),
            cleared,
            geometry: self.inner.geometry,
            pool: Arc::downgrade(&self.inner),
            uses: Mutex::new(uses),
        })
    }
}

/// A word of samples of `1 << (bit_depth - 1)`, the value of a generated picture (H.265 8.3.3.2).
fn grey(geometry: &SurfaceGeometry) -> u32 {
    match geometry.format.bytes_per_sample() {
        1 => 0x8080_8080,
        _ => 0x8000_8000, // samples sit in the upper bits
    }
}

impl PoolInner {
    fn put_back(&self, free: Free) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.surplus == 0 {
            state.put(free);
            return;
        }
        state.surplus -= 1;
        state.live -= 1;
        drop(state);
        free.give_back();
    }
}

impl Free {
    fn give_back(self) {
        self.memory.give_back(self.uses.before_write());
    }
}

impl Drop for PoolInner {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.slots.drain(..).flatten().for_each(Free::give_back);
    }
}

/// A decoded picture in GPU memory. Clones share it; when the last is dropped the memory returns to its pool, or, if that
/// is gone, to the context.
#[derive(Clone)]
pub struct Surface {
    inner: Arc<SurfaceInner>,
}

struct SurfaceInner {
    memory: Option<Lease>,
    /// When it is cleared, unless that is known to be over.
    cleared: Option<SyncPoint>,
    geometry: SurfaceGeometry,
    pool: Weak<PoolInner>,
    uses: Mutex<Uses>,
}

impl Surface {
    fn new(inner: SurfaceInner) -> Self {
        Surface { inner: Arc::new(inner) }
    }

    /// The whole memory of the surface.
    pub fn buffer(&self) -> &DeviceBuffer {
        self.inner.memory.as_ref().expect("memory is taken only by Drop")
    }

    /// Layout of the planes.
    pub fn geometry(&self) -> &SurfaceGeometry {
        &self.inner.geometry
    }

    /// GPU address of the luma plane.
    pub fn luma_address(&self) -> u64 {
        self.buffer().gpu_address()
    }

    /// GPU address of the chroma plane.
    pub fn chroma_address(&self) -> u64 {
        self.buffer().gpu_address() + self.inner.geometry.chroma_offset()
    }

    /// The luma plane, for a copy engine.
    pub fn luma(&self) -> BlockLinearPlane {
        let g = self.geometry();
        let buffer = self.buffer().slice(0, g.luma_bytes());
        BlockLinearPlane { buffer, pitch: g.luma_pitch, lines: g.luma_lines, log2_gobs: LOG2_GOBS }
    }

    /// The plane of interleaved Cb and Cr, for a copy engine.
    pub fn chroma(&self) -> BlockLinearPlane {
        let g = self.geometry();
        let buffer = self.buffer().slice(g.chroma_offset(), g.chroma_bytes());
        BlockLinearPlane { buffer, pitch: g.chroma_pitch, lines: g.chroma_lines, log2_gobs: LOG2_GOBS }
    }

    /// Says that the surface is being read until `point`. Whoever reads a surface from a queue must say so
    /// before dropping it; the memory is written again only behind that point.
    pub fn use_until(&self, point: SyncPoint) {
        self.read_until(&point);
    }

    /// As [`use_until`](Self::use_until).
    pub(crate) fn read_until(&self, point: &SyncPoint) {
        let mut uses = self.uses();
        let expected = uses.free_time();
        uses.read_until(point, expected);
    }

    /// What still writes or reads the surface: who writes to it, as to one of [`Context::surface`](crate::Context::surface),
    /// waits for all of these points on the GPU, and says with [`use_until`](Self::use_until) until when. The surface of
    /// a frame is not to be written at all, since other pictures are predicted from it.
    pub fn pending(&self) -> Vec<SyncPoint> {
        self.uses().before_write().cloned().collect()
    }

    /// When its memory is cleared, if that is not over yet. Who reads a picture for a caller waits for this as well: one whose channel
    /// died counts as decoded, and what it had waited for may still go on.
    pub(crate) fn cleared(&self) -> Option<&SyncPoint> {
        self.inner.cleared.as_ref().filter(|cleared| !cleared.is_reached())
    }

    /// The memory of the context that it belongs to, while its decoder is there.
    pub(crate) fn memory(&self) -> Option<Arc<Memory>> {
        self.inner.pool.upgrade().map(|pool| pool.memory.clone())
    }

    /// What still writes or reads the memory.
    pub(crate) fn uses(&self) -> MutexGuard<'_, Uses> {
        self.inner.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether two handles are the same surface.
    pub fn same(&self, other: &Surface) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl fmt::Debug for Surface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let g = self.geometry();
        write!(f, "{} {}x{} at {:?}", g.format, g.width, g.height, self.buffer())
    }
}

impl Drop for SurfaceInner {
    fn drop(&mut self) {
        let Some(memory) = self.memory.take() else { return };
        let uses = std::mem::take(self.uses.get_mut().unwrap_or_else(PoisonError::into_inner));
        match self.pool.upgrade() {
            Some(pool) => pool.put_back(Free { memory, uses, cleared: self.cleared.take() }),
            None => memory.give_back(uses.before_write()),
        }
    }
}

#[cfg(test)]
mod tests;
