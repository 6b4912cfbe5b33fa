//! Reference pictures: read from their surfaces for every picture that uses them, taken apart once.
//!
//! A surface is read anew whenever a picture refers to it. Only if its bytes are the ones that were taken apart
//! before, every one of them, are the samples used again: a cache of a conversion, not of memory.

use hcq::kernel::emulated::{AddressSpace, MmuFault};

use super::motion::BlockMotion;
use super::reconstruction::Samples;
use super::surface::{Layout, Surface};

/// Bytes of pictures that are kept, as long as no more are in use.
const LIMIT: usize = 256 << 20;

/// A picture as it lies in memory, and taken apart.
struct Entry {
    surface: Surface,
    layout: Layout,
    blocks: Vec<u8>,
    samples: Samples,
    /// Compared with memory for the current picture.
    fresh: bool,
}

impl Entry {
    fn bytes(&self) -> usize {
        // A sample takes 2 bytes in the planes.
        self.blocks.len() + self.layout.width * self.layout.height * 3
    }
}

/// See the [module](self). The entry used longest ago comes first.
#[derive(Default)]
pub(super) struct References {
    entries: Vec<Entry>,
}

impl References {
    /// Buffers for the picture that `target` will hold: its old ones, or new ones. From here on nothing is
    /// known of any surface.
    pub(super) fn buffers(&mut self, target: Surface, layout: &Layout, bit_depth: u8) -> (Samples, Vec<u8>) {
        self.entries.iter_mut().for_each(|entry| entry.fresh = false);
        let old = self.entries.iter().position(|e| e.surface == target);
        let (samples, blocks) = match old {
            Some(i) => {
                let entry = self.entries.remove(i);
                (Some(entry.samples), entry.blocks)
            }
            None => (None, Vec::new()),
        };
        let samples = samples.filter(|s| s.fits(layout.width, layout.height, bit_depth));
        (samples.unwrap_or_else(|| Samples::new(layout.width, layout.height, bit_depth)), blocks)
    }

    /// Keeps a picture that was just written.
    pub(super) fn keep(&mut self, surface: Surface, layout: Layout, samples: Samples, blocks: Vec<u8>) {
        self.entries.retain(|e| e.surface != surface);
        self.entries.push(Entry { surface, layout, blocks, samples, fresh: false });
        self.shrink();
    }

    fn shrink(&mut self) {
        let mut total: usize = self.entries.iter().map(Entry::bytes).sum();
        while total > LIMIT && self.entries.len() > 1 {
            total -= self.entries.remove(0).bytes();
        }
    }

    /// The picture that `surface` holds.
    pub(super) fn read(
        &mut self,
        memory: &AddressSpace,
        surface: Surface,
        layout: Layout,
        bit_depth: u8,
    ) -> Result<Samples, MmuFault> {
        let found = self.entries.iter().position(|e| e.surface == surface);
        let mut entry = match found.map(|i| self.entries.remove(i)) {
            Some(entry) if entry.layout == layout => entry,
            _ => {
                let samples = Samples::new(layout.width, layout.height, bit_depth);
                Entry { surface, layout, blocks: Vec::new(), samples, fresh: false }
            }
        };
        if !entry.fresh {
            if layout.refresh(memory, surface, &mut entry.blocks)? {
                let mut fresh = match entry.samples.planes_mut() {
                    Some(_) => entry.samples,
                    None => Samples::new(layout.width, layout.height, bit_depth),
                };
                layout.detile(&entry.blocks, fresh.planes_mut().expect("nobody else has them"));
                entry.samples = fresh;
            }
            entry.fresh = true;
        }
        let samples = entry.samples.clone();
        self.entries.push(entry);
        Ok(samples)
    }

    /// Gives the picture in `surface`, which was read for the current picture, the motion of its slot.
    pub(super) fn set_motion(&mut self, surface: Surface, poc: i32, blocks: &[BlockMotion]) {
        let entry = self.entries.iter_mut().find(|e| e.surface == surface);
        entry.expect("the picture was read").samples.set_motion(poc, blocks);
    }
}
