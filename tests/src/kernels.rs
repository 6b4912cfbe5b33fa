//! The kernels of `hcq/tests/kernels`: their code, and what they do on a model.

use hcq::kernel::emulated::{EngineFault, Grid, KernelModel};

/// Threads of their blocks.
pub const THREADS: u32 = 256;

/// `kernels.cu`, compiled.
pub static CUBINS: [&[u8]; 6] = [
    include_bytes!("../../hcq/tests/kernels/cubin/kernels.sm_80.cubin"),
    include_bytes!("../../hcq/tests/kernels/cubin/kernels.sm_86.cubin"),
    include_bytes!("../../hcq/tests/kernels/cubin/kernels.sm_89.cubin"),
    include_bytes!("../../hcq/tests/kernels/cubin/kernels.sm_90.cubin"),
    include_bytes!("../../hcq/tests/kernels/cubin/kernels.sm_100.cubin"),
    include_bytes!("../../hcq/tests/kernels/cubin/kernels.sm_120.cubin"),
];

type Run = fn(&Grid<'_>) -> Result<(), EngineFault>;

/// What stands for the kernels on a model.
///
/// # Panics
///
/// If a cubin cannot be read.
pub fn models() -> Vec<KernelModel> {
    let all: [(&str, Run); 5] =
        [("fill", fill), ("sum", sum), ("reverse", reverse), ("constants", constants), ("slow", slow)];
    CUBINS
        .iter()
        .flat_map(|cubin| all.map(|(entry, run)| KernelModel::new(cubin, entry, run)))
        .map(|model| model.unwrap_or_else(|e| panic!("{e}")))
        .collect()
}

fn pointer(grid: &Grid<'_>, at: usize) -> u64 {
    u64::from_le_bytes(grid.params()[at..at + 8].try_into().expect("8 bytes"))
}

fn number(grid: &Grid<'_>, at: usize) -> u32 {
    u32::from_le_bytes(grid.params()[at..at + 4].try_into().expect("4 bytes"))
}

fn read(grid: &Grid<'_>, address: u64, count: u32) -> Result<Vec<u32>, EngineFault> {
    let mut bytes = vec![0; 4 * count as usize];
    grid.memory().read(address, &mut bytes)?;
    Ok(bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
}

fn write(grid: &Grid<'_>, address: u64, words: impl IntoIterator<Item = u32>) -> Result<(), EngineFault> {
    let bytes: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
    Ok(grid.memory().write(address, &bytes)?)
}

fn fill(grid: &Grid<'_>) -> Result<(), EngineFault> {
    let (to, count, value) = (pointer(grid, 0), number(grid, 8), number(grid, 12));
    let threads = grid.grid_dim()[0] * THREADS;
    write(grid, to, (0..count.min(threads)).map(|i| value.wrapping_add(i)))
}

fn sum(grid: &Grid<'_>) -> Result<(), EngineFault> {
    let (from, to, blocks) = (pointer(grid, 0), pointer(grid, 8), grid.grid_dim()[0]);
    let words = read(grid, from, blocks * THREADS)?;
    let sums =
        words.chunks(THREADS as usize).map(|part| part.iter().fold(0u32, |sum, &w| sum.wrapping_add(w)));
    write(grid, to, sums)
}

fn reverse(grid: &Grid<'_>) -> Result<(), EngineFault> {
    let (from, to, count) = (pointer(grid, 0), pointer(grid, 8), number(grid, 16));
    if grid.dynamic_shared_memory() < 4 * count {
        return Err(EngineFault::Exception(format!("{count} words do not fit into shared memory")));
    }
    write(grid, to, read(grid, from, count)?.into_iter().rev())
}

fn constants(grid: &Grid<'_>) -> Result<(), EngineFault> {
    let (to, count) = (pointer(grid, 0), number(grid, 8));
    write(grid, to, [2, 3, 5, 7].into_iter().cycle().take(count as usize))
}

fn slow(grid: &Grid<'_>) -> Result<(), EngineFault> {
    let (to, rounds, value) = (pointer(grid, 0), number(grid, 8), number(grid, 12));
    let step = |x: u32| x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    let x = (0..rounds).fold(value, |x, _| step(x));
    write(grid, to, (0..grid.grid_dim()[0] * THREADS).map(|_| x))
}
