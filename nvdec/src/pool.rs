//! [`SurfacePool`]: the surfaces of one session, within a budget.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hcq::DeviceBuffer;

use crate::context::Context;
use crate::error::Result;
use crate::surface::{Surface, SurfaceGeometry, SurfaceInner, SurfaceUses};

/// Hands out surfaces of one geometry and takes them back when they are dropped.
///
/// Memory is allocated on demand, up to the budget, and cleared to mid-grey before its first use, so that no
/// surface ever shows what another session or program left behind. A surface that comes back while an engine
/// or a consumer still uses it is handed out again behind those uses, never beside them.
#[derive(Debug)]
pub struct SurfacePool {
    inner: Arc<PoolInner>,
}

pub(crate) struct PoolInner {
    context: Arc<Context>,
    geometry: SurfaceGeometry,
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    live: usize,
    /// Oldest first: the longest returned is the likeliest to be out of use.
    free: VecDeque<(DeviceBuffer, SurfaceUses)>,
}

impl fmt::Debug for PoolInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        write!(f, "{} of {} surfaces, {} free", state.live, self.capacity, state.free.len())
    }
}

impl SurfacePool {
    /// A pool of at most `capacity` surfaces.
    pub fn new(context: &Arc<Context>, geometry: SurfaceGeometry, capacity: usize) -> Self {
        let inner = PoolInner {
            context: context.clone(),
            geometry,
            capacity: capacity.max(1),
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
        self.inner.capacity
    }

    /// Most bytes of GPU memory that the surfaces take.
    pub fn budget(&self) -> u64 {
        self.inner.geometry.bytes() * self.inner.capacity as u64
    }

    /// A surface to write to, or `None` while all are in use. What is still reading it, or still clearing it,
    /// is in its uses.
    pub fn take(&self) -> Result<Option<Surface>> {
        let mut state = self.lock();
        if let Some((memory, uses)) = state.free.pop_front() {
            return Ok(Some(self.surface(memory, uses)));
        }
        if state.live >= self.inner.capacity {
            return Ok(None);
        }
        self.grow(&mut state).map(Some)
    }

    /// A surface whatever the budget says. For streams that hold more pictures than they declared, which the
    /// standard's own limits still bound.
    pub(crate) fn take_beyond_capacity(&self) -> Result<Surface> {
        self.grow(&mut self.lock())
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
        Ok(self.surface(memory, SurfaceUses::written_by(cleared)))
    }

    fn surface(&self, memory: DeviceBuffer, uses: SurfaceUses) -> Surface {
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
    pub(crate) fn put_back(&self, memory: DeviceBuffer, geometry: SurfaceGeometry, uses: SurfaceUses) {
        debug_assert_eq!(geometry, self.geometry);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.free.push_back((memory, uses));
    }
}

#[cfg(test)]
mod tests;
