//! What stands for the kernels of `kernels/composite.cu` on the emulated GPU, which runs no machine code.

use nvdec::hcq::kernel::emulated::{EngineFault, Grid, KernelModel};
use nvdec::surface::{LOG2_GOBS, block_linear_offset};

use super::pipeline::{BLUR, COMPOSITE, CUBINS};

type Run = fn(&Grid<'_>) -> Result<(), EngineFault>;

/// A model for the code of each kernel and architecture.
pub(crate) fn models() -> Vec<KernelModel> {
    let all: [(&str, Run); 2] = [(BLUR, blur), (COMPOSITE, composite)];
    let of = |cubin: &[u8], entry, run| KernelModel::new(cubin, entry, run).expect("a cubin of ours");
    CUBINS.iter().flat_map(|cubin| all.map(|(entry, run)| of(cubin, entry, run))).collect()
}

/// A word of the parameters, by its number.
fn word(grid: &Grid<'_>, number: usize) -> u32 {
    u32::from_le_bytes(grid.params()[4 * number..][..4].try_into().expect("four bytes"))
}

fn pointer(grid: &Grid<'_>, number: usize) -> u64 {
    u64::from(word(grid, number)) | u64::from(word(grid, number + 1)) << 32
}

/// `lines` lines of a block-linear plane.
struct Plane {
    address: u64,
    pitch: u32,
    bytes: Vec<u8>,
}

impl Plane {
    fn read(grid: &Grid<'_>, address: u64, pitch: u32, lines: u32) -> Result<Plane, EngineFault> {
        let mut bytes = vec![0; (pitch * lines.next_multiple_of(8 << LOG2_GOBS)) as usize];
        grid.memory().read(address, &mut bytes)?;
        Ok(Plane { address, pitch, bytes })
    }

    fn write(self, grid: &Grid<'_>) -> Result<(), EngineFault> {
        Ok(grid.memory().write(self.address, &self.bytes)?)
    }

    fn at(&self, x: u32, y: u32) -> u32 {
        self.bytes[block_linear_offset(self.pitch, x, y) as usize].into()
    }

    fn put(&mut self, x: u32, y: u32, value: u32) {
        self.bytes[block_linear_offset(self.pitch, x, y) as usize] = value as u8;
    }
}

fn blur(grid: &Grid<'_>) -> Result<(), EngineFault> {
    let [pitch, width, height, radius, is_vertical] = [4, 5, 6, 7, 8].map(|number| word(grid, number));
    let from = Plane::read(grid, pointer(grid, 0), pitch, height)?;
    let mut to = Plane::read(grid, pointer(grid, 2), pitch, height)?;
    let count = 2 * radius + 1;
    for (y, x) in (0..grid.grid_dim()[0]).flat_map(|y| (0..width).map(move |x| (y, x))) {
        let sample = |i: u32| match is_vertical {
            0 => from.at((x + i).saturating_sub(radius).min(width - 1), y),
            _ => from.at(x, (y + i).saturating_sub(radius).min(height - 1)),
        };
        to.put(x, y, ((0..count).map(sample).sum::<u32>() + radius) / count);
    }
    to.write(grid)
}

fn composite(grid: &Grid<'_>) -> Result<(), EngineFault> {
    let [chroma, pitch, width] = [8, 9, 10].map(|number| word(grid, number));
    let lines = grid.grid_dim()[0];
    let mask = Plane::read(grid, pointer(grid, 6), pitch, lines)?;
    // Of chroma, a line has the bytes of one of luma, and the mask those of every second sample and line.
    for (offset, step) in [(0, 1), (u64::from(chroma), 2)] {
        let lines = lines.div_ceil(step);
        let plane = |number| Plane::read(grid, pointer(grid, number) + offset, pitch, lines);
        let (over, under, mut to) = (plane(0)?, plane(2)?, plane(4)?);
        for (y, x) in (0..lines).flat_map(|y| (0..width).map(move |x| (y, x))) {
            let alpha = mask.at(x - x % step, y * step);
            to.put(x, y, (over.at(x, y) * alpha + under.at(x, y) * (255 - alpha) + 127) / 255);
        }
        to.write(grid)?;
    }
    Ok(())
}
