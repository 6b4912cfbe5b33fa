//! [`MotionTracker`]: which picture's motion vectors lie in which slot.
//!
//! The decoder moves motion vectors, by the copy engine, to where a picture can reach them. No submission
//! tells so. But a job names the slots that it takes motion from, and the picture that a surface holds is
//! known: where another picture's motion lies in such a slot than that of the surface in its place, it was
//! moved there.

use std::collections::HashMap;

use super::capture::MotionCopy;

/// See the [module](self). Pictures are numbered as in the capture.
#[derive(Debug, Default)]
pub(super) struct MotionTracker {
    memory: u32,
    /// The picture whose motion lies at an offset; zeros where there is none.
    slots: HashMap<u64, u32>,
    /// The picture that a surface holds; grey where there is none.
    surfaces: HashMap<u32, u32>,
}

/// What a picture says of motion vectors.
pub(super) struct Motion<'a> {
    /// The memory, and where in it the places begin.
    pub(super) window: (u32, u64),
    /// Bytes of a slot.
    pub(super) slot: u64,
    /// The picture's own place.
    pub(super) place: u8,
    /// The surface written to.
    pub(super) target: u32,
    /// The picture table.
    pub(super) places: &'a [(u8, u32)],
    /// Offsets of the slots that it takes motion from.
    pub(super) sources: &'a [u64],
}

impl MotionTracker {
    /// Takes note of picture `index`: the places that it takes motion from, and what was moved for it.
    pub(super) fn picture(&mut self, index: u32, motion: &Motion<'_>) -> (Vec<u8>, Vec<MotionCopy>) {
        let (memory, window) = motion.window;
        if self.memory != memory {
            self.memory = memory;
            self.slots.clear();
        }
        let (mut collocated, mut copies) = (Vec::new(), Vec::new());
        for &to in motion.sources {
            let place = to.checked_sub(window).and_then(|distance| distance.checked_div(motion.slot));
            let Some(&(place, surface)) =
                motion.places.iter().find(|(known, _)| Some(u64::from(*known)) == place)
            else {
                continue;
            };
            collocated.push(place);
            let wanted = self.surfaces.get(&surface).copied();
            if self.slots.get(&to).copied() == wanted {
                continue;
            }
            let found = self.slots.iter().filter(|(_, picture)| Some(**picture) == wanted);
            let from = found.map(|(offset, _)| *offset).min();
            match wanted {
                Some(picture) if from.is_some() => self.slots.insert(to, picture),
                // A picture that was never decoded has no motion.
                _ => self.slots.remove(&to),
            };
            copies.push(MotionCopy { from, to });
        }
        self.slots.insert(window + u64::from(motion.place) * motion.slot, index);
        self.surfaces.insert(motion.target, index);
        (collocated, copies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn motion<'a>(
        window: u64,
        place: u8,
        target: u32,
        places: &'a [(u8, u32)],
        sources: &'a [u64],
    ) -> Motion<'a> {
        Motion { window: (3, window), slot: 256, place, target, places, sources }
    }

    #[test]
    fn what_was_moved_is_found_out() {
        let mut tracker = MotionTracker::default();
        assert_eq!(tracker.picture(0, &motion(0, 0, 10, &[(0, 10)], &[])), (vec![], vec![]));
        // In its own slot, as it was written.
        let places = [(1, 11), (0, 10)];
        assert_eq!(tracker.picture(1, &motion(0, 1, 11, &places, &[0])), (vec![0], vec![]));
        // A window further on, in which picture 1 comes first.
        let places = [(0, 11), (5, 12)];
        assert_eq!(tracker.picture(2, &motion(256, 5, 12, &places, &[256])), (vec![0], vec![]));
        // Out of reach of slot 0, which holds the motion of picture 0: it was copied.
        let places = [(2, 10), (3, 13)];
        let copy = MotionCopy { from: Some(0), to: 20 * 256 + 512 };
        assert_eq!(tracker.picture(3, &motion(20 * 256, 3, 13, &places, &[copy.to])), (vec![2], vec![copy]));
        // There it still is; and a surface that was never written has no motion.
        let places = [(2, 10), (4, 99), (1, 14)];
        let sources = [copy.to, 23 * 256 + 256];
        let (found, copies) = tracker.picture(4, &motion(20 * 256, 1, 14, &places, &sources));
        assert_eq!((found, copies), (vec![2, 4], vec![]), "nothing was ever written there");
        let places = [(4, 99), (6, 15), (3, 13)];
        tracker.picture(5, &motion(20 * 256, 6, 15, &places, &[]));
        let (_, copies) = tracker.picture(6, &motion(20 * 256, 7, 16, &[(3, 99), (7, 16)], &[23 * 256]));
        assert_eq!(copies, [MotionCopy { from: None, to: 23 * 256 }]);
    }
}
