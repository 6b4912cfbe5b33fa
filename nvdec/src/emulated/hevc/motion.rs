//! A slot of collocated motion vectors.
//!
//! What the hardware stores is not known; that it takes 16 bytes for each block of 16x16 is, and that the
//! driver tells order count differences clipped to 8 bits. The model's block, little-endian:
//!
//! | bytes | |
//! | --- | --- |
//! | 0..4, 4..8 | motion vector of list 0 and of list 1: x, y in quarter samples |
//! | 8, 9 | order count of the picture minus that of the reference of list 0 and of list 1, clipped |
//! | 10 | bits 0, 1: the lists in use; bits 2, 3: their references were long-term ones |
//! | 11..16 | zero |
//!
//! Blocks are in raster order of the picture rounded up to 64 samples. An intra block is all zero.

/// Bytes of a block.
pub(super) const BLOCK_BYTES: usize = 16;

/// Motion of the block of 16x16 as later pictures see it (8.5.3.2.9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct BlockMotion {
    /// Per list: x and y.
    pub(super) mv: [[i16; 2]; 2],
    /// Per list: order count difference to the reference.
    pub(super) poc_difference: [i8; 2],
    /// Bit per list.
    pub(super) used: u8,
    /// Bit per list.
    pub(super) long_term: u8,
}

impl BlockMotion {
    fn to_bytes(self) -> [u8; BLOCK_BYTES] {
        let mut bytes = [0; BLOCK_BYTES];
        let vectors = self.mv.as_flattened();
        for (to, v) in bytes.chunks_exact_mut(2).zip(vectors) {
            to.copy_from_slice(&v.to_le_bytes());
        }
        bytes[8] = self.poc_difference[0] as u8;
        bytes[9] = self.poc_difference[1] as u8;
        bytes[10] = self.used | self.long_term << 2;
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> BlockMotion {
        let v = |i: usize| i16::from_le_bytes([bytes[2 * i], bytes[2 * i + 1]]);
        BlockMotion {
            mv: [[v(0), v(1)], [v(2), v(3)]],
            poc_difference: [bytes[8] as i8, bytes[9] as i8],
            used: bytes[10] & 3,
            long_term: bytes[10] >> 2 & 3,
        }
    }
}

/// Blocks per line and lines of blocks in a slot of a picture.
fn slot_size(width: u32, height: u32) -> (usize, usize) {
    (width.next_multiple_of(64) as usize / 16, height.next_multiple_of(64) as usize / 16)
}

/// Bytes of a slot.
pub(super) fn slot_bytes(width: u32, height: u32) -> usize {
    let (columns, rows) = slot_size(width, height);
    columns * rows * BLOCK_BYTES
}

/// Fills a slot with the blocks of a picture, given in raster order of the picture itself.
pub(super) fn encode(width: u32, height: u32, blocks: &[BlockMotion]) -> Vec<u8> {
    let (columns, _) = slot_size(width, height);
    let mut slot = vec![0; slot_bytes(width, height)];
    let lines = slot.chunks_exact_mut(columns * BLOCK_BYTES);
    for (line, blocks) in lines.zip(blocks.chunks(width.div_ceil(16) as usize)) {
        for (to, block) in line.chunks_exact_mut(BLOCK_BYTES).zip(blocks) {
            to.copy_from_slice(&block.to_bytes());
        }
    }
    slot
}

/// The blocks of a picture from its slot, in raster order of the picture itself.
pub(super) fn decode(width: u32, height: u32, slot: &[u8]) -> Vec<BlockMotion> {
    let (columns, _) = slot_size(width, height);
    let lines = slot.chunks_exact(columns * BLOCK_BYTES).take(height.div_ceil(16) as usize);
    lines
        .flat_map(|line| line.chunks_exact(BLOCK_BYTES).take(width.div_ceil(16) as usize))
        .map(BlockMotion::from_bytes)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn slots_keep_what_is_put_in(
            columns in 1u32..20,
            rows in 1u32..20,
            seed in proptest::collection::vec(any::<([[i16; 2]; 2], [i8; 2], u8)>(), 1..40),
        ) {
            let (width, height) = (columns * 8, rows * 8);
            let blocks: Vec<_> = seed
                .iter()
                .cycle()
                .take((width.div_ceil(16) * height.div_ceil(16)) as usize)
                .map(|&(mv, poc_difference, bits)| BlockMotion {
                    mv,
                    poc_difference,
                    used: bits & 3,
                    long_term: bits >> 2 & 3,
                })
                .collect();
            let slot = encode(width, height, &blocks);
            prop_assert_eq!(slot.len(), (width.next_multiple_of(64) * height.next_multiple_of(64) / 16) as usize);
            prop_assert_eq!(decode(width, height, &slot), blocks);
        }
    }
}
