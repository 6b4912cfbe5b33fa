//! [`MotionStore`]: motion vectors that pictures leave for those that predict theirs from them (8.5.3.2.8).
//!
//! The engine finds the motion of a picture by its place in the picture table: place times the size of a slot, behind
//! one address for all. Places are given anew to every picture, and that address as well; so any 16 consecutive slots of
//! a larger buffer do, as long as the picture and the one that it takes motion from are both among them. This lets far
//! more pictures be under way than the table has places.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrayvec::ArrayVec;
use hcq::{CopyCommands, DeviceBuffer, SyncPoint};

use super::store::Lease;
use super::{AtLimit, Memory};
use crate::error::Result;
use crate::scheduler::cost::Time;
use crate::uses::{Latest, Uses};

/// Places of the picture table that reference lists can name.
pub(crate) const PLACES: usize = 16;
/// Slots that the engine may look at behind the address that it is given: one more than lists can name.
const WINDOW: usize = PLACES + 1;

/// Most pictures whose motion the slices of one picture may take; the standard allows one (7.4.7.1,
/// `collocated_ref_idx`), and decoders in software do not look.
pub(crate) const MAX_COLLOCATED: usize = 4;

/// The motion of one picture. Clones share it; the slot is free when only the store has it.
#[derive(Clone, Debug)]
pub(crate) struct MotionSlot {
    inner: Arc<Slot>,
}

#[derive(Debug)]
#[repr(C)]
struct Slot {
    /// That of `uses`, for whoever compares many slots: taking the lock of each costs more than the comparison. Comes first,
    /// beside the count of references, which they look at as well.
    free_time: AtomicU64,
    index: usize,
    memory: DeviceBuffer,
    uses: Mutex<Uses>,
}

impl MotionSlot {
    fn new(index: usize, memory: DeviceBuffer, uses: Uses) -> Self {
        let free_time = AtomicU64::new(uses.free_time());
        MotionSlot { inner: Arc::new(Slot { free_time, index, memory, uses: Mutex::new(uses) }) }
    }

    /// What still writes or reads it. To be extended by the methods below alone.
    pub(crate) fn uses(&self) -> MutexGuard<'_, Uses> {
        self.inner.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Uses::read_until`].
    pub(crate) fn read_until(&self, point: &SyncPoint, time: Time) {
        let mut uses = self.uses();
        uses.read_until(point, time);
        self.inner.free_time.store(uses.free_time(), Ordering::Relaxed);
    }

    /// As [`Uses::written_at`].
    pub(crate) fn written_at(&self, point: &SyncPoint, time: Time) {
        let mut uses = self.uses();
        uses.written_at(point, time);
        self.inner.free_time.store(uses.free_time(), Ordering::Relaxed);
    }

    /// Which slot of the store it is: it lies so many times the size of a slot behind the store's beginning.
    pub(crate) fn index(&self) -> usize {
        self.inner.index
    }

    /// Where it lies.
    fn memory(&self) -> &DeviceBuffer {
        &self.inner.memory
    }

    fn is_free(&self) -> bool {
        Arc::strong_count(&self.inner) == 1
    }

    fn free_time(&self) -> Time {
        self.inner.free_time.load(Ordering::Relaxed)
    }

    /// Whether two handles are the same slot.
    pub(crate) fn same(&self, other: &MotionSlot) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

/// Slots for the pictures of one format.
#[derive(Debug)]
pub(crate) struct MotionStore {
    memory: Lease,
    slot_bytes: u64,
    slots: Vec<MotionSlot>,
    /// Where the last picture's motion went.
    last: usize,
}

/// What a picture is told of motion vectors.
#[derive(Clone, Debug)]
pub(crate) struct Placement {
    /// The window of slots that its places count from.
    pub(crate) window: DeviceBuffer,
    /// Where its own motion goes, and at which place that is.
    pub(crate) target: (MotionSlot, u8),
    /// Where it finds that of the collocated pictures, in the order in which they were asked for.
    pub(crate) sources: ArrayVec<(MotionSlot, u8), MAX_COLLOCATED>,
}

impl MotionStore {
    /// Bytes of GPU memory that `slots` slots take.
    pub(crate) fn bytes(slots: usize, slot_bytes: u64) -> u64 {
        (slots as u64 + 1) * slot_bytes
    }

    /// A store of `slots` slots, [`PLACES`] at least.
    pub(crate) fn new(memory: &Memory, slots: usize, slot_bytes: u64) -> Result<Self> {
        Self::make(memory, slots, slot_bytes, AtLimit::Wait)
    }

    /// Has as many slots as that from now on. Those that pictures hold stay for as long as they do, out of reach.
    ///
    /// # Errors
    ///
    /// If there is no memory for them beside the present ones; nothing has changed then.
    pub(crate) fn resize(&mut self, memory: &Memory, slots: usize) -> Result<()> {
        if slots != self.slots.len() {
            *self = Self::make(memory, slots, self.slot_bytes, AtLimit::Fail)?;
        }
        Ok(())
    }

    fn make(memory: &Memory, slots: usize, slot_bytes: u64, at_limit: AtLimit) -> Result<Self> {
        assert!(slots >= PLACES, "a store of {slots} slots");
        let (memory, cleared) = memory.allocate_filled(Self::bytes(slots, slot_bytes), 0, at_limit)?;
        let slots = (0..slots).map(|index| {
            let part = memory.slice(index as u64 * slot_bytes, slot_bytes);
            MotionSlot::new(index, part, Uses::written_by(cleared.clone()))
        });
        let slots = slots.collect();
        Ok(MotionStore { memory, slot_bytes, slots, last: 0 })
    }

    /// Whether a slot is one of the present ones, and not of a store before.
    fn owns(&self, slot: &MotionSlot) -> bool {
        slot.memory().same_allocation(&self.memory)
    }

    /// Whether a slot is among those from `first` on that a picture sees.
    fn sees(&self, first: usize, slot: &MotionSlot) -> bool {
        self.owns(slot) && (first..first + PLACES).contains(&slot.index())
    }

    /// A slot for the motion of a picture that takes motion from `sources`, at most [`MAX_COLLOCATED`]; `None` among them stands for a picture
    /// that does not exist, whose motion is none. `anywhere`: no picture to come depends on those before.
    ///
    /// Of the slots within reach, the one that is expected to be free first. If there is none, or a source is `None`,
    /// what is missing is copied, or cleared, to where it is within reach. `None` if there is no room for that. Takes
    /// the sources.
    pub(crate) fn place(
        &mut self,
        memory: &Memory,
        sources: &mut [Option<MotionSlot>],
        anywhere: bool,
    ) -> Result<Option<Placement>> {
        if sources.iter().all(Option::is_some)
            && let Some(target) = self.within_reach(sources, anywhere)
        {
            let sources = sources.iter_mut().filter_map(Option::take).collect();
            return Ok(Some(self.placement(target, sources)));
        }
        // Motion of pictures of another size means nothing to this one.
        let suits = |slot: &&MotionSlot| slot.memory().size() == self.slot_bytes;
        let sources: ArrayVec<Option<MotionSlot>, MAX_COLLOCATED> =
            sources.iter().map(|source| source.as_ref().filter(suits).cloned()).collect();
        let sources = &sources[..];
        let Some(first) = self.best_window(sources) else { return Ok(None) };
        let mut free = self.free_in(first, sources);
        free.sort_by_key(MotionSlot::free_time);
        let mut free = free.into_iter();
        let mut moved = ArrayVec::<MotionSlot, MAX_COLLOCATED>::new();
        let mut commands = CopyCommands::new();
        let mut waits = Latest::default();
        for source in sources {
            match source {
                Some(slot) if self.sees(first, slot) => moved.push(slot.clone()),
                _ => {
                    let copy = free.next().expect("a window with room was chosen");
                    match source {
                        Some(slot) => {
                            commands.copy(slot.memory(), copy.memory())?;
                            waits.add_all(slot.uses().before_read());
                        }
                        None => drop(commands.fill(copy.memory(), 0)?),
                    }
                    waits.add_all(copy.uses().before_write());
                    moved.push(copy);
                }
            }
        }
        let target = free.next().expect("a window with room was chosen");
        if !commands.is_empty() {
            let done = memory.submit_copies(&waits.into_vec(), &commands)?;
            for (source, moved) in sources.iter().zip(&moved) {
                Self::moved(source.as_ref(), moved, &done);
            }
        }
        Ok(Some(self.placement(target, moved)))
    }

    fn moved(source: Option<&MotionSlot>, to: &MotionSlot, done: &SyncPoint) {
        if source.is_some_and(|source| source.same(to)) {
            return;
        }
        let mut time = 0;
        if let Some(source) = source {
            time = source.uses().written_time();
            source.read_until(done, time);
        }
        to.written_at(done, time.max(to.free_time()));
    }

    /// The free slot within reach of all of `sources` that is out of use first.
    fn within_reach(&self, sources: &[Option<MotionSlot>], anywhere: bool) -> Option<MotionSlot> {
        if !sources.iter().flatten().all(|slot| self.owns(slot)) {
            return None;
        }
        let count = self.slots.len();
        let indices = || sources.iter().flatten().map(MotionSlot::index);
        let reach = match (indices().min(), indices().max()) {
            (Some(low), Some(high)) if high - low >= PLACES => return None,
            (Some(low), Some(high)) => (high + 1).saturating_sub(PLACES)..(low + PLACES).min(count),
            _ if anywhere => 0..count,
            // Near the last picture, which those to come are likely to take motion from.
            _ => (self.last + 1).saturating_sub(PLACES)..(self.last + PLACES).min(count),
        };
        self.slots[reach].iter().filter(|slot| slot.is_free()).min_by_key(|slot| slot.free_time()).cloned()
    }

    /// The first slot of the window in which the least has to be copied, if one has room for it.
    fn best_window(&self, sources: &[Option<MotionSlot>]) -> Option<usize> {
        let windows = 0..=self.slots.len() - PLACES;
        let copies = |first: usize| {
            let inside = |slot: &MotionSlot| self.sees(first, slot);
            sources.iter().filter(|source| !source.as_ref().is_some_and(inside)).count()
        };
        let fits = windows.filter(|&first| self.free_in(first, sources).len() > copies(first));
        fits.min_by_key(|&first| copies(first))
    }

    fn free_in(&self, first: usize, sources: &[Option<MotionSlot>]) -> Vec<MotionSlot> {
        let window = &self.slots[first..first + PLACES];
        let wanted = |slot: &MotionSlot| sources.iter().flatten().any(|source| source.same(slot));
        window.iter().filter(|slot| slot.is_free() && !wanted(slot)).cloned().collect()
    }

    fn placement(&mut self, target: MotionSlot, sources: ArrayVec<MotionSlot, MAX_COLLOCATED>) -> Placement {
        self.last = target.index();
        let lowest = sources.iter().map(MotionSlot::index).fold(target.index(), usize::min);
        let first = lowest.min(self.slots.len() - PLACES);
        let place = |slot: MotionSlot| {
            let place = (slot.index() - first) as u8;
            (slot, place)
        };
        Placement {
            window: self.memory.slice(first as u64 * self.slot_bytes, WINDOW as u64 * self.slot_bytes),
            target: place(target),
            sources: sources.into_iter().map(place).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
