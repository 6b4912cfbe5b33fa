//! Surfaces as the engine reads and writes them: block-linear, semi-planar.

use hcq::kernel::emulated::{AddressSpace, MmuFault};

/// Lines of a block: 2 GOBs.
const BLOCK_LINES: usize = 16;
/// Bytes of a block: 64 wide.
const BLOCK_BYTES: usize = 64 * BLOCK_LINES;

/// Where a picture lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Surface {
    pub(super) luma: u64,
    pub(super) chroma: u64,
}

/// Pictures as a codec sees them: 4:2:0, a depth for luma and chroma.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pictures {
    /// Samples.
    pub(super) width: u32,
    /// Samples.
    pub(super) height: u32,
    /// Lines of luma that the engine writes: those of whole coding blocks.
    pub(super) lines: u32,
    /// Bits of a sample.
    pub(super) bit_depth: u8,
    /// Bytes per line of luma and chroma.
    pub(super) pitches: [u64; 2],
}

/// How pictures of a kind lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Bits that samples move up in a 16-bit word; 8-bit samples are bytes.
    shift: Option<u32>,
    /// Bytes per line of luma and chroma.
    pitches: [u64; 2],
    /// Bytes of a line that the engine writes: the picture's, rounded to GOBs. The same for both planes.
    row: usize,
    /// Block rows of luma and chroma that the engine writes.
    block_rows: [usize; 2],
}

impl Layout {
    pub(super) fn new(pictures: &Pictures) -> Layout {
        let &Pictures { width, height, lines, bit_depth, pitches } = pictures;
        let (width, height, lines) = (width as usize, height as usize, lines as usize);
        let deep = bit_depth > 8;
        Layout {
            width,
            height,
            shift: deep.then(|| 16 - u32::from(bit_depth)),
            pitches,
            row: (width * if deep { 2 } else { 1 }).next_multiple_of(64),
            block_rows: [lines.div_ceil(BLOCK_LINES), (lines / 2).div_ceil(BLOCK_LINES)],
        }
    }

    /// Bytes of a block row.
    fn block_row(&self) -> usize {
        self.row / 64 * BLOCK_BYTES
    }

    /// Bytes of both planes, without what the pitch adds.
    fn bytes(&self) -> usize {
        (self.block_rows[0] + self.block_rows[1]) * self.block_row()
    }

    /// Addresses of all block rows, chroma first: a luma plane too long for its memory shows in the chroma.
    fn addresses(self, surface: Surface) -> impl Iterator<Item = u64> {
        let plane = move |start: u64, i: usize| {
            (0..self.block_rows[i] as u64).map(move |row| start + row * BLOCK_LINES as u64 * self.pitches[i])
        };
        plane(surface.chroma, 1).chain(plane(surface.luma, 0))
    }

    /// Writes block rows as [`tile`](Self::tile) makes them.
    pub(super) fn write(
        &self,
        memory: &AddressSpace,
        surface: Surface,
        blocks: &[u8],
    ) -> Result<(), MmuFault> {
        let mut tlb = memory.tlb();
        for (at, blocks) in self.addresses(surface).zip(blocks.chunks_exact(self.block_row())) {
            tlb.write(at, blocks)?;
        }
        Ok(())
    }

    /// Block rows as they lie in memory.
    pub(super) fn read(&self, memory: &AddressSpace, surface: Surface) -> Result<Vec<u8>, MmuFault> {
        let mut blocks = vec![0; self.bytes()];
        let mut tlb = memory.tlb();
        for (at, blocks) in self.addresses(surface).zip(blocks.chunks_exact_mut(self.block_row())) {
            tlb.read(at, blocks)?;
        }
        Ok(blocks)
    }

    /// Whether memory holds these block rows.
    pub(super) fn matches(
        &self,
        memory: &AddressSpace,
        surface: Surface,
        blocks: &[u8],
    ) -> Result<bool, MmuFault> {
        if blocks.len() != self.bytes() {
            return Ok(false);
        }
        let mut tlb = memory.tlb();
        let mut fresh = vec![0; self.block_row()];
        for (at, blocks) in self.addresses(surface).zip(blocks.chunks_exact(self.block_row())) {
            tlb.read(at, &mut fresh)?;
            if fresh != blocks {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Makes block rows of planes Y, Cb and Cr, which have a sample of 16 bits each and as many samples a line
    /// as are visible. What lies outside the picture is zero.
    pub(super) fn tile(&self, planes: [&[u16]; 3], blocks: &mut Vec<u8>) {
        blocks.resize(self.bytes(), 0);
        let mut lines = vec![0; self.row * BLOCK_LINES];
        let (chroma, luma) = blocks.split_at_mut(self.block_rows[1] * self.block_row());
        let half = self.width / 2;
        for (i, block) in chroma.chunks_exact_mut(self.block_row()).enumerate() {
            lines.fill(0);
            let rows = planes[1].chunks_exact(half).zip(planes[2].chunks_exact(half)).skip(i * BLOCK_LINES);
            for (line, (cb, cr)) in lines.chunks_exact_mut(self.row).zip(rows) {
                match self.shift {
                    None => {
                        for ((to, b), r) in line.chunks_exact_mut(2).zip(cb).zip(cr) {
                            to.copy_from_slice(&[*b as u8, *r as u8]);
                        }
                    }
                    Some(shift) => {
                        for ((to, b), r) in line.chunks_exact_mut(4).zip(cb).zip(cr) {
                            let word = u32::from(*b) << shift | u32::from(*r) << shift << 16;
                            to.copy_from_slice(&word.to_le_bytes());
                        }
                    }
                }
            }
            to_blocks(&lines, self.row, block);
        }
        for (i, block) in luma.chunks_exact_mut(self.block_row()).enumerate() {
            lines.fill(0);
            let rows = planes[0].chunks_exact(self.width).skip(i * BLOCK_LINES);
            for (line, row) in lines.chunks_exact_mut(self.row).zip(rows) {
                match self.shift {
                    None => line.iter_mut().zip(row).for_each(|(to, v)| *to = *v as u8),
                    Some(shift) => {
                        for (to, v) in line.chunks_exact_mut(2).zip(row) {
                            to.copy_from_slice(&(v << shift).to_le_bytes());
                        }
                    }
                }
            }
            to_blocks(&lines, self.row, block);
        }
    }

    /// Undoes [`tile`](Self::tile).
    pub(super) fn detile(&self, blocks: &[u8], planes: [&mut [u16]; 3]) {
        let mut lines = vec![0; self.row * BLOCK_LINES];
        let (chroma, luma) = blocks.split_at(self.block_rows[1] * self.block_row());
        let half = self.width / 2;
        let [y, cb, cr] = planes;
        let pairs = cb.chunks_mut(half * BLOCK_LINES).zip(cr.chunks_mut(half * BLOCK_LINES));
        for (block, (cb, cr)) in chroma.chunks_exact(self.block_row()).zip(pairs) {
            from_blocks(block, self.row, &mut lines);
            let rows = cb.chunks_exact_mut(half).zip(cr.chunks_exact_mut(half));
            for (line, (cb, cr)) in lines.chunks_exact(self.row).zip(rows) {
                match self.shift {
                    None => {
                        for ((from, b), r) in line.chunks_exact(2).zip(cb).zip(cr) {
                            (*b, *r) = (u16::from(from[0]), u16::from(from[1]));
                        }
                    }
                    Some(shift) => {
                        for ((from, b), r) in line.chunks_exact(4).zip(cb).zip(cr) {
                            *b = u16::from_le_bytes([from[0], from[1]]) >> shift;
                            *r = u16::from_le_bytes([from[2], from[3]]) >> shift;
                        }
                    }
                }
            }
        }
        let bands = y.chunks_mut(self.width * BLOCK_LINES);
        for (block, band) in luma.chunks_exact(self.block_row()).zip(bands) {
            from_blocks(block, self.row, &mut lines);
            for (line, row) in lines.chunks_exact(self.row).zip(band.chunks_exact_mut(self.width)) {
                match self.shift {
                    None => row.iter_mut().zip(line).for_each(|(to, v)| *to = u16::from(*v)),
                    Some(shift) => {
                        for (to, from) in row.iter_mut().zip(line.chunks_exact(2)) {
                            *to = u16::from_le_bytes([from[0], from[1]]) >> shift;
                        }
                    }
                }
            }
        }
    }
}

/// Offset within a block of the first 16 bytes of line `y`. The other three runs of the line follow at 64, 256
/// and 320 bytes from it: inside a GOB the address bits are x0 x1 x2 x3 y0 y1 x4 y2 x5.
fn run(y: usize) -> usize {
    (y / 8) * 512 + (y & 3) * 16 + (y >> 2 & 1) * 128
}

/// 16 lines of `row` bytes become blocks side by side.
fn to_blocks(lines: &[u8], row: usize, blocks: &mut [u8]) {
    for (y, line) in lines.chunks_exact(row).enumerate() {
        let at = run(y);
        for (block, from) in blocks.chunks_exact_mut(BLOCK_BYTES).zip(line.chunks_exact(64)) {
            block[at..at + 16].copy_from_slice(&from[..16]);
            block[at + 64..at + 80].copy_from_slice(&from[16..32]);
            block[at + 256..at + 272].copy_from_slice(&from[32..48]);
            block[at + 320..at + 336].copy_from_slice(&from[48..]);
        }
    }
}

fn from_blocks(blocks: &[u8], row: usize, lines: &mut [u8]) {
    for (y, line) in lines.chunks_exact_mut(row).enumerate() {
        let at = run(y);
        for (block, to) in blocks.chunks_exact(BLOCK_BYTES).zip(line.chunks_exact_mut(64)) {
            to[..16].copy_from_slice(&block[at..at + 16]);
            to[16..32].copy_from_slice(&block[at + 64..at + 80]);
            to[32..48].copy_from_slice(&block[at + 256..at + 272]);
            to[48..].copy_from_slice(&block[at + 320..at + 336]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::surface::block_linear_offset;

    fn layout(width: usize, height: usize, shift: Option<u32>) -> Layout {
        let pitch = (width * if shift.is_some() { 2 } else { 1 }).next_multiple_of(64) as u64;
        Layout::new(&Pictures {
            width: width as u32,
            height: height as u32,
            lines: height.next_multiple_of(64) as u32,
            bit_depth: shift.map_or(8, |shift| 16 - shift as u8),
            pitches: [pitch; 2],
        })
    }

    fn samples(count: usize, depth: u32) -> Vec<u16> {
        (0..count as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> (32 - depth)) as u16).collect()
    }

    #[test]
    fn blocks_are_where_the_driver_looks() {
        let layout = layout(136, 40, None);
        let planes = [samples(136 * 40, 8), samples(68 * 20, 8), samples(68 * 20, 8)];
        let mut blocks = Vec::new();
        layout.tile([&planes[0], &planes[1], &planes[2]], &mut blocks);
        let (chroma, luma) = blocks.split_at(layout.block_rows[1] * layout.block_row());
        let pitch = layout.row as u32;
        for y in 0..40 {
            for x in 0..136 {
                let at = block_linear_offset(pitch, x, y) as usize;
                assert_eq!(u16::from(luma[at]), planes[0][(y * 136 + x) as usize]);
            }
        }
        for y in 0..20 {
            for x in 0..136 {
                let at = block_linear_offset(pitch, x, y) as usize;
                let plane = &planes[1 + x as usize % 2];
                assert_eq!(u16::from(chroma[at]), plane[(y * 68 + x / 2) as usize]);
            }
        }
    }

    #[test]
    fn samples_come_back() {
        for (width, height, depth) in [(8, 8, 8), (136, 40, 8), (200, 120, 10), (72, 56, 12)] {
            let layout = layout(width, height, (depth > 8).then_some(16 - depth));
            let sizes = [width * height, width * height / 4, width * height / 4];
            let planes = sizes.map(|n| samples(n, depth));
            let mut blocks = Vec::new();
            layout.tile([&planes[0], &planes[1], &planes[2]], &mut blocks);
            let mut back = sizes.map(|n| vec![0; n]);
            let [y, cb, cr] = &mut back;
            layout.detile(&blocks, [y, cb, cr]);
            assert_eq!(back, planes);
        }
    }
}
