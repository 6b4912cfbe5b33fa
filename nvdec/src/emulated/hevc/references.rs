//! Reference pictures: read from their surfaces for every picture that uses them, taken apart once for all engines.
//!
//! A surface is read anew whenever a picture refers to it. Only if its bytes are the ones that were taken apart
//! before, every one of them, are the samples used again: a cache of a conversion, not of memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hcq::kernel::emulated::{AddressSpace, MmuFault};

use super::motion::BlockMotion;
use super::reconstruction::Samples;
use crate::emulated::surface::{Layout, Surface};

/// Bytes of pictures that are kept, as long as no more are in use.
const LIMIT: usize = 384 << 20;

/// Pictures whose memory waits to be used again.
const SPARE: usize = 8;

/// A picture as it lies in memory, and taken apart.
struct Entry {
    surface: Surface,
    layout: Layout,
    blocks: Vec<u8>,
    samples: Samples,
}

impl Entry {
    fn bytes(&self) -> usize {
        // A sample takes 2 bytes in the planes.
        self.blocks.len() + self.layout.width * self.layout.height * 3
    }
}

/// Pictures that engines have taken apart.
#[derive(Default)]
pub(super) struct Conversions(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// The one used longest ago comes first.
    entries: Vec<Arc<Entry>>,
    /// Memory of pictures that are not kept any more: fresh memory costs as much as taking a picture apart.
    spare: Vec<Entry>,
}

impl Conversions {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is thought to lie in `surface`.
    fn get(&self, surface: Surface, layout: &Layout) -> Option<Arc<Entry>> {
        let entries = &mut self.lock().entries;
        let found = entries.iter().position(|e| e.surface == surface && e.layout == *layout)?;
        let entry = entries.remove(found);
        entries.push(entry.clone());
        Some(entry)
    }

    fn put(&self, entry: Entry) {
        let Kept { entries, spare } = &mut *self.lock();
        entries.retain(|e| e.surface != entry.surface);
        entries.push(Arc::new(entry));
        let mut total: usize = entries.iter().map(|entry| entry.bytes()).sum();
        while total > LIMIT && entries.len() > 1 {
            let oldest = entries.remove(0);
            total -= oldest.bytes();
            spare.extend(Arc::into_inner(oldest).filter(|_| spare.len() < SPARE));
        }
    }

    /// Memory for a picture: that of the one in `surface`, which is about to be overwritten, unless it is in use.
    fn take(&self, surface: Surface) -> Option<Entry> {
        let Kept { entries, spare } = &mut *self.lock();
        let found = entries.iter().position(|e| e.surface == surface);
        let old = found.and_then(|found| Arc::into_inner(entries.remove(found)));
        old.or_else(|| spare.pop())
    }
}

/// See the [module](self).
pub(super) struct References {
    conversions: Arc<Conversions>,
    /// The references of the current picture, compared with memory.
    current: Vec<(Surface, Samples)>,
}

impl References {
    pub(super) fn new(conversions: Arc<Conversions>) -> Self {
        References { conversions, current: Vec::new() }
    }

    /// Buffers for the picture that `target` will hold: its old ones, or new ones. From here on nothing is
    /// known of any surface.
    pub(super) fn buffers(&mut self, target: Surface, layout: &Layout, bit_depth: u8) -> (Samples, Vec<u8>) {
        self.current.clear();
        let (samples, blocks) = match self.conversions.take(target) {
            Some(entry) => (Some(entry.samples), entry.blocks),
            None => (None, Vec::new()),
        };
        let samples = samples.filter(|s| s.fits(layout.width, layout.height, bit_depth));
        (samples.unwrap_or_else(|| Samples::new(layout.width, layout.height, bit_depth)), blocks)
    }

    /// Keeps a picture that was just written.
    pub(super) fn keep(&mut self, surface: Surface, layout: Layout, samples: Samples, blocks: Vec<u8>) {
        self.conversions.put(Entry { surface, layout, blocks, samples });
    }

    /// The picture that `surface` holds.
    pub(super) fn read(
        &mut self,
        memory: &AddressSpace,
        surface: Surface,
        layout: Layout,
        bit_depth: u8,
    ) -> Result<Samples, MmuFault> {
        if let Some((_, samples)) = self.current.iter().find(|(known, _)| *known == surface) {
            return Ok(samples.clone());
        }
        let samples = match self.conversions.get(surface, &layout) {
            Some(entry)
                if entry.samples.fits(layout.width, layout.height, bit_depth)
                    && layout.matches(memory, surface, &entry.blocks)? =>
            {
                entry.samples.clone()
            }
            _ => {
                let blocks = layout.read(memory, surface)?;
                let mut samples = Samples::new(layout.width, layout.height, bit_depth);
                layout.detile(&blocks, samples.planes_mut().expect("not shared yet"));
                self.conversions.put(Entry { surface, layout, blocks, samples: samples.clone() });
                samples
            }
        };
        self.current.push((surface, samples.clone()));
        Ok(samples)
    }

    /// Gives the picture in `surface`, which was read for the current picture, the motion of its slot.
    pub(super) fn set_motion(&mut self, surface: Surface, poc: i32, blocks: &[BlockMotion]) {
        let found = self.current.iter_mut().find(|(known, _)| *known == surface);
        found.expect("the picture was read").1.set_motion(poc, blocks);
    }
}
