//! What stands for the kernel of `kernels/histogram.cu` on the emulated GPU, which runs no machine code.

use nvdec::hcq::kernel::emulated::{EngineFault, Grid, KernelModel};
use nvdec::surface::{LOG2_GOBS, block_linear_offset};

use super::histogram::{BINS, CUBINS, ENTRY};

/// A model for the code of each architecture.
pub(crate) fn models() -> Vec<KernelModel> {
    let model = |cubin: &&[u8]| KernelModel::new(cubin, ENTRY, luma_histogram).expect("a cubin of ours");
    CUBINS.iter().map(model).collect()
}

fn luma_histogram(grid: &Grid<'_>) -> Result<(), EngineFault> {
    let word = |at: usize| u32::from_le_bytes(grid.params()[at..at + 4].try_into().expect("four bytes"));
    let pointer = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
    let (luma, counts, pitch, width, height) =
        (pointer(0), pointer(8), word(16), word(20), grid.grid_dim()[0]);
    let mut plane = vec![0; (pitch * height.next_multiple_of(8 << LOG2_GOBS)) as usize];
    grid.memory().read(luma, &mut plane)?;
    let mut bytes = [0; 4 * BINS as usize];
    grid.memory().read(counts, &mut bytes)?;
    let mut bins = [0u32; BINS as usize];
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        bins[usize::from(plane[block_linear_offset(pitch, x, y) as usize])] += 1;
    }
    for (bytes, bin) in bytes.chunks_exact_mut(4).zip(bins) {
        let before = u32::from_le_bytes(bytes.try_into().expect("four bytes"));
        bytes.copy_from_slice(&before.wrapping_add(bin).to_le_bytes());
    }
    Ok(grid.memory().write(counts, &bytes)?)
}
