//! [`VaAllocator`]: which GPU addresses are taken.

use std::collections::BTreeMap;

/// Lowest address handed out. The resource manager places its own buffers from the bottom of the same
/// address space; nothing of it was seen above this line.
pub(crate) const VA_BASE: u64 = 0x10_0000_0000;
/// One past the highest address handed out. NVDEC methods carry `VA >> 8` in 32 bits, GP entries and class
/// semaphores carry 8 upper bits: all of them end at 2^40.
pub(crate) const VA_LIMIT: u64 = 1 << 40;

/// A first-fit allocator of address ranges with coalescing, best at few hundred live ranges.
#[derive(Debug)]
pub(crate) struct VaAllocator {
    /// Free ranges, start to end, disjoint and never adjacent.
    free: BTreeMap<u64, u64>,
}

impl Default for VaAllocator {
    fn default() -> Self {
        VaAllocator::new(VA_BASE, VA_LIMIT)
    }
}

impl VaAllocator {
    /// An allocator over `base..limit`.
    pub(crate) fn new(base: u64, limit: u64) -> Self {
        VaAllocator { free: BTreeMap::from([(base, limit)]) }
    }

    /// Takes `size` bytes aligned to `alignment` (a power of two). `None` when no range is large enough.
    pub(crate) fn allocate(&mut self, size: u64, alignment: u64) -> Option<u64> {
        debug_assert!(alignment.is_power_of_two());
        if size == 0 {
            return None;
        }
        let (start, end, at) = self.free.iter().find_map(|(&start, &end)| {
            let at = start.checked_next_multiple_of(alignment)?;
            (at.checked_add(size)? <= end).then_some((start, end, at))
        })?;
        self.free.remove(&start);
        if start < at {
            self.free.insert(start, at);
        }
        if at + size < end {
            self.free.insert(at + size, end);
        }
        Some(at)
    }

    /// Gives a range back. It must be one that [`allocate`](Self::allocate) returned.
    pub(crate) fn release(&mut self, at: u64, size: u64) {
        let (mut start, mut end) = (at, at + size);
        if let Some((&before, &before_end)) = self.free.range(..at).next_back() {
            assert!(before_end <= at, "address range {at:#x} released twice");
            if before_end == start {
                self.free.remove(&before);
                start = before;
            }
        }
        if let Some(after_end) = self.free.remove(&end) {
            end = after_end;
        }
        self.free.insert(start, end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn everything_returns_to_one_range() {
        let mut va = VaAllocator::new(0x1000, 0x10_0000);
        let a = va.allocate(0x1000, 0x1000).unwrap();
        let b = va.allocate(0x3000, 0x4000).unwrap();
        let c = va.allocate(0x800, 0x100).unwrap();
        assert_eq!(b % 0x4000, 0);
        for (at, size) in [(b, 0x3000), (a, 0x1000), (c, 0x800)] {
            va.release(at, size);
        }
        assert_eq!(va.free, BTreeMap::from([(0x1000, 0x10_0000)]));
        assert_eq!(va.allocate(0x10_0000, 1), None);
    }

    proptest! {
        #[test]
        fn ranges_never_overlap(steps in prop::collection::vec((1u64..0x5000, 0u32..14, any::<bool>()), 1..200)) {
            let mut va = VaAllocator::new(0x1000, 0x20_0000);
            let mut live: Vec<(u64, u64)> = Vec::new();
            for (size, align, release) in steps {
                if release && !live.is_empty() {
                    let (at, size) = live.swap_remove(size as usize % live.len());
                    va.release(at, size);
                } else if let Some(at) = va.allocate(size, 1 << align) {
                    prop_assert_eq!(at % (1 << align), 0);
                    prop_assert!(live.iter().all(|&(o, n)| at + size <= o || o + n <= at));
                    live.push((at, size));
                }
            }
            for (at, size) in live {
                va.release(at, size);
            }
            prop_assert_eq!(va.free, BTreeMap::from([(0x1000, 0x20_0000)]));
        }
    }
}
