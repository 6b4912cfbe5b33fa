//! What pictures cost: virtual [`Time`], and the [`CostModel`] that estimates it.

/// Virtual time in cycles of the engines' clock.
pub(crate) type Time = u64;

/// What pictures of a stream cost an engine, learnt from those it finished: so many cycles a block, so many a byte.
///
/// A least-squares line through the pictures so far, older ones counting less and less. To begin with it has two
/// made-up pictures, with estimates for an H200.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CostModel {
    /// Weighted sums over pictures, of 1, x, y, xx, xy: x bytes a block, y cycles a block.
    sums: [f64; 5],
}

impl CostModel {
    const FORGET: f64 = 0.98;
    const CYCLES_PER_BLOCK: f64 = 113.0;
    const CYCLES_PER_BYTE: f64 = 12.0;

    pub(crate) fn new() -> Self {
        let mut model = CostModel { sums: [0.0; 5] };
        for x in [0.0, 8.0] {
            model.add(x, Self::CYCLES_PER_BLOCK + Self::CYCLES_PER_BYTE * x);
        }
        model
    }

    fn add(&mut self, x: f64, y: f64) {
        let new = [1.0, x, y, x * x, x * y];
        self.sums.iter_mut().zip(new).for_each(|(sum, new)| *sum = *sum * Self::FORGET + new);
    }

    /// Learns from a picture of `blocks` blocks of 16x16 and `bytes` bytes that took `cycles`.
    pub(crate) fn learn(&mut self, blocks: u32, bytes: u64, cycles: u64) {
        if blocks > 0 && cycles > 0 {
            let blocks = f64::from(blocks);
            self.add(bytes as f64 / blocks, cycles as f64 / blocks);
        }
    }

    /// What such a picture is expected to take.
    pub(crate) fn estimate(&self, blocks: u32, bytes: u64) -> Time {
        let [n, x, y, xx, xy] = self.sums;
        let spread = n * xx - x * x;
        // Pictures of one size say nothing about the price of a byte.
        let slope = if spread > 1e-3 * n * xx { ((n * xy - x * y) / spread).max(0.0) } else { 0.0 };
        let base = ((y - slope * x) / n).max(1.0);
        ((base * f64::from(blocks) + slope * bytes as f64) as Time).max(1)
    }
}
