//! Launch descriptors (QMD) of each GPU generation, as rows of tables: where a field lies, by how much it is shifted, and
//! what never changes.

use std::ops::Range;

use nvkernel_sys::bits::Field;
use nvkernel_sys::class;
use nvkernel_sys::compute::{qmd_v03, qmd_v04, qmd_v05};

use super::cubin::BANKS;

/// A version of the descriptor.
#[derive(Debug)]
pub(super) struct Layout {
    /// Bytes.
    pub(super) size: usize,
    /// What is the same in all launches: of every version, and of this one.
    common: [(Field, u32); 6],
    fixed: &'static [(Field, u32)],
    grid: [Field; 3],
    block: [Field; 3],
    registers: Field,
    barriers: Field,
    /// Lower and upper half, of the address without so many bits.
    program: ([Field; 2], u32),
    /// Bytes, without so many bits.
    shared: (Field, u32),
    /// Least, greatest and wanted carve-out for shared memory, in units of 4 KiB and one more.
    carve_out: [Field; 3],
    /// Local memory of a thread in bytes, without so many bits.
    local: (Field, u32),
    bank_valid: Field,
    bank_invalidate: Field,
    bank_address: ([Field; 2], u32),
    bank_size: Field,
}

/// A version: what is the same in all of them, and what is not.
macro_rules! layout {
    ($version:ident, $fixed:expr, $grid:expr, $registers:ident, $program:expr, $shared:expr, $local:expr, $bank:expr $(,)?) => {{
        use $version::*;
        Layout {
            size: SIZE,
            common: [
                (API_VISIBLE_CALL_LIMIT, API_VISIBLE_CALL_LIMIT_NO_CHECK),
                (INVALIDATE_TEXTURE_HEADER_CACHE, 1),
                (INVALIDATE_TEXTURE_SAMPLER_CACHE, 1),
                (INVALIDATE_TEXTURE_DATA_CACHE, 1),
                (INVALIDATE_SHADER_DATA_CACHE, 1),
                (INVALIDATE_SHADER_CONSTANT_CACHE, 1),
            ],
            fixed: $fixed,
            grid: $grid,
            block: [CTA_THREAD_DIMENSION0, CTA_THREAD_DIMENSION1, CTA_THREAD_DIMENSION2],
            registers: $registers,
            barriers: BARRIER_COUNT,
            program: $program,
            shared: $shared,
            carve_out: [
                MIN_SM_CONFIG_SHARED_MEM_SIZE,
                MAX_SM_CONFIG_SHARED_MEM_SIZE,
                TARGET_SM_CONFIG_SHARED_MEM_SIZE,
            ],
            local: $local,
            bank_valid: CONSTANT_BUFFER_VALID,
            bank_invalidate: CONSTANT_BUFFER_INVALIDATE,
            bank_address: $bank,
            bank_size: CONSTANT_BUFFER_SIZE_SHIFTED4,
        }
    }};
}

static V03: Layout = layout!(
    qmd_v03,
    &[(QMD_MAJOR_VERSION, 3), (SM_GLOBAL_CACHING_ENABLE, 1)],
    [CTA_RASTER_WIDTH, CTA_RASTER_HEIGHT, CTA_RASTER_DEPTH],
    REGISTER_COUNT_V,
    ([PROGRAM_ADDRESS_LOWER, PROGRAM_ADDRESS_UPPER], 0),
    (SHARED_MEMORY_SIZE, 0),
    (SHADER_LOCAL_MEMORY_HIGH_SIZE, 0),
    ([CONSTANT_BUFFER_ADDR_LOWER, CONSTANT_BUFFER_ADDR_UPPER], 0),
);

static V04: Layout = layout!(
    qmd_v04,
    &[(QMD_MAJOR_VERSION, 4), (QMD_TYPE, QMD_TYPE_GRID_CTA)],
    [GRID_WIDTH, GRID_HEIGHT, GRID_DEPTH],
    REGISTER_COUNT,
    ([PROGRAM_ADDRESS_LOWER, PROGRAM_ADDRESS_UPPER], 0),
    (SHARED_MEMORY_SIZE, 0),
    (SHADER_LOCAL_MEMORY_HIGH_SIZE, 0),
    ([CONSTANT_BUFFER_ADDR_LOWER_SHIFTED6, CONSTANT_BUFFER_ADDR_UPPER_SHIFTED6], 6),
);

static V05: Layout = layout!(
    qmd_v05,
    // The group as NVK has it.
    &[(QMD_MAJOR_VERSION, 5), (QMD_TYPE, QMD_TYPE_GRID_CTA), (QMD_GROUP_ID, 0x1f)],
    [GRID_WIDTH, GRID_HEIGHT, GRID_DEPTH],
    REGISTER_COUNT,
    ([PROGRAM_ADDRESS_LOWER_SHIFTED4, PROGRAM_ADDRESS_UPPER_SHIFTED4], 4),
    (SHARED_MEMORY_SIZE_SHIFTED7, 7),
    (SHADER_LOCAL_MEMORY_HIGH_SIZE_SHIFTED4, 4),
    ([CONSTANT_BUFFER_ADDR_LOWER_SHIFTED6, CONSTANT_BUFFER_ADDR_UPPER_SHIFTED6], 6),
);

/// A compute class.
#[derive(Debug)]
pub(super) struct ComputeRow {
    pub(super) class: u32,
    /// `None`: no public header describes it.
    pub(super) layout: Option<&'static Layout>,
    /// Whether kernels were seen to run on hardware of the class.
    pub(super) proven: bool,
}

/// The compute classes, newest first.
static CLASSES: &[ComputeRow] = &[
    ComputeRow { class: class::BLACKWELL_COMPUTE_B, layout: Some(&V05), proven: false },
    ComputeRow { class: class::BLACKWELL_COMPUTE_A, layout: Some(&V05), proven: false },
    ComputeRow { class: class::HOPPER_COMPUTE_A, layout: Some(&V04), proven: true },
    ComputeRow { class: class::ADA_COMPUTE_A, layout: Some(&V03), proven: false },
    ComputeRow { class: class::AMPERE_COMPUTE_B, layout: Some(&V03), proven: false },
    ComputeRow { class: class::AMPERE_COMPUTE_A, layout: Some(&V03), proven: false },
    ComputeRow { class: class::TURING_COMPUTE_A, layout: None, proven: false },
];

/// The row of `class`.
pub(super) fn compute_row(class: u32) -> Option<&'static ComputeRow> {
    CLASSES.iter().find(|row| row.class == class)
}

/// What differs between the streaming multiprocessors of two architectures.
#[derive(Debug)]
pub(super) struct Multiprocessor {
    /// Lowest compute capability, as in `sm_80`; the row holds until that of the next one.
    from: u32,
    /// Carve-outs for shared memory that there are, in KiB, ascending.
    carve_outs: &'static [u32],
    /// Most bytes of shared memory of a block, with what the hardware keeps for itself.
    pub(super) shared: u32,
    /// Bytes that it keeps for itself and that cubins do not count; those from sm_90 on do.
    pub(super) reserve: u32,
    /// Where constant bank 0 has what code expects there.
    pub(super) bank: BankLayout,
}

/// Offsets in constant bank 0, in bytes.
#[derive(Debug)]
pub(super) struct BankLayout {
    /// Threads of a block and blocks of the grid, three words each, if it is known where.
    pub(super) dimensions: Option<usize>,
    /// Base of the shared window, and behind it that of the local one.
    pub(super) windows: usize,
    /// Where a thread's stack ends.
    pub(super) stack_top: usize,
    /// What no code reads: it holds nothing, and is not written.
    unread: Range<usize>,
}

impl BankLayout {
    /// What is to be written of a bank of `bytes`.
    pub(super) fn parts_read(&self, bytes: usize) -> [Range<usize>; 2] {
        [0..self.unread.start.min(bytes), self.unread.end.min(bytes)..bytes]
    }
}

const BANK: BankLayout = BankLayout { dimensions: Some(0), windows: 0x18, stack_top: 0x28, unread: 0..0 };
const BANK_HOPPER: BankLayout = BankLayout { unread: 0x40..0x200, ..BANK };
// As tinygrad fills it. Where a kernel finds the dimensions is not known: it must not ask for them.
const BANK_BLACKWELL: BankLayout =
    BankLayout { dimensions: None, windows: 4 * 188, stack_top: 4 * 223, unread: 0..0 };

/// What a block has before its own shared memory, on sm_80 to sm_89.
const RESERVE: u32 = 1 << 10;

/// Ascending.
static MULTIPROCESSORS: &[Multiprocessor] = &[
    Multiprocessor { from: 75, carve_outs: &[32, 64], shared: 64 << 10, reserve: 0, bank: BANK },
    Multiprocessor {
        from: 80,
        carve_outs: &[8, 16, 32, 64, 100, 132, 164],
        shared: 164 << 10,
        reserve: RESERVE,
        bank: BANK,
    },
    Multiprocessor {
        from: 86,
        carve_outs: &[8, 16, 32, 64, 100],
        shared: 100 << 10,
        reserve: RESERVE,
        bank: BANK,
    },
    Multiprocessor {
        from: 87,
        carve_outs: &[8, 16, 32, 64, 100, 132, 164],
        shared: 164 << 10,
        reserve: RESERVE,
        bank: BANK,
    },
    Multiprocessor {
        from: 89,
        carve_outs: &[8, 16, 32, 64, 100],
        shared: 100 << 10,
        reserve: RESERVE,
        bank: BANK,
    },
    Multiprocessor {
        from: 90,
        carve_outs: &[8, 16, 32, 64, 100, 132, 164, 196, 228],
        shared: 228 << 10,
        reserve: 0,
        bank: BANK_HOPPER,
    },
    Multiprocessor {
        from: 100,
        carve_outs: &[8, 16, 32, 64, 100, 132, 164, 196, 228],
        shared: 228 << 10,
        reserve: 0,
        bank: BANK_BLACKWELL,
    },
    Multiprocessor {
        from: 120,
        carve_outs: &[8, 16, 32, 64, 100],
        shared: 100 << 10,
        reserve: 0,
        bank: BANK_BLACKWELL,
    },
];

/// The row of an architecture, such as 90.
pub(super) fn multiprocessor(architecture: u32) -> Option<&'static Multiprocessor> {
    MULTIPROCESSORS.iter().rev().find(|row| row.from <= architecture)
}

/// Bytes of a descriptor, of whatever version.
pub(super) const MAX_SIZE: usize = 384;
/// Its address is a multiple of this.
pub(super) const ALIGNMENT: u64 = 256;

/// A descriptor under construction. Every value was checked before, so none fails to fit.
#[derive(Clone, Debug)]
pub(super) struct Descriptor {
    layout: &'static Layout,
    bytes: [u8; MAX_SIZE],
}

impl Descriptor {
    pub(super) fn new(layout: &'static Layout) -> Descriptor {
        let mut descriptor = Descriptor { layout, bytes: [0; MAX_SIZE] };
        for &(field, value) in layout.common.iter().chain(layout.fixed) {
            descriptor.set(field, 0, value.into());
        }
        descriptor
    }

    #[inline]
    fn set(&mut self, field: Field, index: usize, value: u64) {
        field.write(&mut self.bytes, index, value as i64).expect("checked before");
    }

    #[inline]
    fn set_address(&mut self, (halves, shift): ([Field; 2], u32), index: usize, address: u64) {
        debug_assert!(address.trailing_zeros() >= shift, "an address that is not aligned");
        let address = address >> shift;
        self.set(halves[0], index, address & 0xffff_ffff);
        self.set(halves[1], index, address >> 32);
    }

    pub(super) fn set_program(&mut self, address: u64) {
        self.set_address(self.layout.program, 0, address);
    }

    pub(super) fn set_resources(&mut self, registers: u32, barriers: u32, local: u32) {
        self.set(self.layout.registers, 0, registers.into());
        self.set(self.layout.barriers, 0, barriers.into());
        let (field, shift) = self.layout.local;
        self.set(field, 0, u64::from(local >> shift));
    }

    #[inline]
    pub(super) fn set_grid(&mut self, grid: [u32; 3], block: [u32; 3]) {
        for at in 0..3 {
            self.set(self.layout.grid[at], 0, grid[at].into());
            self.set(self.layout.block[at], 0, block[at].into());
        }
    }

    /// Shared memory of a block, in bytes, and the carve-outs that it fits.
    #[inline]
    pub(super) fn set_shared(&mut self, bytes: u32, multiprocessor: &Multiprocessor) {
        let (field, shift) = self.layout.shared;
        let unit = (1u32 << shift).max(256);
        self.set(field, 0, u64::from(bytes.next_multiple_of(unit) >> shift));
        let all = multiprocessor.carve_outs;
        let largest = all[all.len() - 1];
        let least = all.iter().copied().find(|&kib| kib << 10 >= bytes).unwrap_or(largest);
        for (field, kib) in self.layout.carve_out.into_iter().zip([least, largest, least]) {
            self.set(field, 0, u64::from(kib / 4 + 1));
        }
    }

    #[inline]
    pub(super) fn set_bank(&mut self, number: usize, address: u64, bytes: u32) {
        debug_assert!(number < BANKS);
        self.set(self.layout.bank_valid, number, 1);
        self.set(self.layout.bank_invalidate, number, 1);
        self.set_address(self.layout.bank_address, number, address);
        self.set(self.layout.bank_size, number, u64::from(bytes.div_ceil(16)));
    }

    /// Sets nothing but the address of a bank that is set to another one.
    #[inline]
    pub(super) fn move_bank(&mut self, number: usize, from: u64, to: u64) {
        let (halves, shift) = self.layout.bank_address;
        match (from >> shift) ^ (to >> shift) {
            changed if changed >> 32 == 0 => self.set(halves[0], number, (to >> shift) & 0xffff_ffff),
            _ => self.set_address(self.layout.bank_address, number, to),
        }
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.layout.size]
    }
}

#[cfg(test)]
mod tests;
