//! [`SurfacePool`]: the surfaces of one session, within a budget.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::context::Context;
use crate::error::Result;
use crate::recycle::Lease;
use crate::surface::{Surface, SurfaceGeometry, SurfaceInner};
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

pub(crate) struct PoolInner {
    context: Arc<Context>,
    geometry: SurfaceGeometry,
    capacity: usize,
    /// Whether it is [`Reuse::First`].
    reuse_first: AtomicBool,
    state: Mutex<State>,
}

struct State {
    live: usize,
    /// The GPU had no memory for another one.
    exhausted: bool,
    /// In the order of their return.
    free: Vec<(Lease, Uses)>,
}

impl fmt::Debug for PoolInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        write!(f, "{} of {} surfaces, {} free", state.live, self.capacity, state.free.len())
    }
}

impl SurfacePool {
    /// A pool of at most `capacity` surfaces.
    pub fn new(context: &Arc<Context>, geometry: SurfaceGeometry, capacity: usize, reuse: Reuse) -> Self {
        let inner = PoolInner {
            context: context.clone(),
            geometry,
            capacity: capacity.max(1),
            reuse_first: AtomicBool::new(reuse == Reuse::First),
            state: Mutex::new(State { live: 0, exhausted: false, free: Vec::new() }),
        };
        SurfacePool { inner: Arc::new(inner) }
    }

    /// Layout of the pool's surfaces.
    pub fn geometry(&self) -> &SurfaceGeometry {
        &self.inner.geometry
    }

    /// Most surfaces that exist at once.
    pub fn capacity(&self) -> usize {
        self.inner.capacity
    }

    /// Most bytes of GPU memory that the surfaces take.
    pub fn budget(&self) -> u64 {
        self.inner.geometry.bytes() * self.inner.capacity as u64
    }

    /// A surface to write to, or `None` while all are in use, be that all of the capacity or all that the GPU has memory
    /// for. What is still reading it, or still clearing it, is in its uses.
    pub fn take(&self) -> Result<Option<Surface>> {
        let reuse_first = self.inner.reuse_first.load(Ordering::Relaxed);
        let mut state = self.lock();
        let first = state.free.iter().enumerate().min_by_key(|(_, (_, uses))| uses.free_time());
        let first = first.map(|(at, (_, uses))| (at, reuse_first || uses.is_idle()));
        let may_grow = !state.exhausted && state.live < self.inner.capacity;
        if may_grow && !first.is_some_and(|(_, suits)| suits) {
            match self.grow(&mut state) {
                Ok(surface) => return Ok(Some(surface)),
                // What there is has to do.
                Err(error) if error.is_out_of_memory() && state.live > 0 => {
                    log::info!("{} surfaces are all that the GPU has memory for: {error}", state.live);
                    state.exhausted = true;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(first.map(|(at, _)| {
            let (memory, uses) = state.free.remove(at);
            self.surface(memory, uses)
        }))
    }

    /// Says how surfaces are handed out from now on.
    pub(crate) fn prefer(&self, reuse: Reuse) {
        self.inner.reuse_first.store(reuse == Reuse::First, Ordering::Relaxed);
    }

    /// A surface whatever the budget says. For streams that hold more pictures than they declared, which the
    /// standard's own limits still bound.
    pub(crate) fn take_beyond_capacity(&self) -> Result<Surface> {
        self.grow(&mut self.lock())
    }

    /// Surfaces that could be taken.
    pub(crate) fn spare(&self) -> usize {
        let state = self.lock();
        let growth = if state.exhausted { 0 } else { self.inner.capacity.saturating_sub(state.live) };
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

    fn grow(&self, state: &mut State) -> Result<Surface> {
        let geometry = &self.inner.geometry;
        let (memory, cleared) = self.inner.context.allocate_filled(geometry.bytes(), grey(geometry))?;
        state.live += 1;
        Ok(self.surface(memory, Uses::written_by(cleared)))
    }

    fn surface(&self, memory: Lease, uses: Uses) -> Surface {
        Surface::new(SurfaceInner {
            memory: Some(memory),
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
    pub(crate) fn put_back(&self, memory: Lease, geometry: SurfaceGeometry, uses: Uses) {
        debug_assert_eq!(geometry, self.geometry);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.free.push((memory, uses));
    }
}

impl Drop for PoolInner {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (memory, uses) in state.free.drain(..) {
            memory.give_back(uses.before_write());
        }
    }
}

#[cfg(test)]
mod tests;
