//! Where each version of the launch descriptor (QMD) has what a launch needs.

use nvkernel_sys::bits::{Field, Table};
use nvkernel_sys::compute::{qmd_v03, qmd_v04, qmd_v05};

/// An element of a field.
pub(crate) type At = (Field, usize);

/// A number in two fields, divided by a power of two.
#[derive(Debug)]
pub(crate) struct Halves {
    pub(crate) lower: Field,
    pub(crate) upper: Field,
    pub(crate) shift: u32,
}

/// A number that is divided by a power of two.
#[derive(Debug)]
pub(crate) struct Scaled {
    pub(crate) field: Field,
    pub(crate) shift: u32,
}

/// Constant banks; each field has an element for each bank.
#[derive(Debug)]
pub(crate) struct BankFields {
    pub(crate) valid: Field,
    pub(crate) invalidate: Field,
    pub(crate) address: Halves,
    pub(crate) size: Scaled,
}

/// A semaphore that is released when the grid has ended.
#[derive(Debug)]
pub(crate) struct ReleaseFields {
    pub(crate) enable: At,
    /// Size of the record, and whether its payload has 64 bits.
    pub(crate) structure: At,
    pub(crate) wide: At,
    pub(crate) address: [At; 2],
    pub(crate) payload: [At; 2],
}

/// A version of the descriptor.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) table: &'static Table,
    /// Major and minor version: where, and what.
    pub(crate) version: [(Field, u32); 2],
    /// What the descriptor starts, and the values of a grid.
    pub(crate) kind: Option<(Field, &'static [u32])>,
    /// The group that descriptors have to be in.
    pub(crate) group: Option<(Field, u32)>,
    pub(crate) grid: [Field; 3],
    pub(crate) block: [Field; 3],
    pub(crate) program: Halves,
    pub(crate) registers: Field,
    pub(crate) barriers: Field,
    pub(crate) shared: Scaled,
    /// Least, wanted and greatest carve-out of shared memory.
    pub(crate) carve_out: [Field; 3],
    /// Local memory of a thread, low and high part.
    pub(crate) local: [Scaled; 2],
    pub(crate) banks: BankFields,
    pub(crate) releases: &'static [ReleaseFields],
    pub(crate) invalidate_instructions: Field,
    pub(crate) invalidate_constants: Field,
    /// What is refused when it is not zero: the model lacks it.
    pub(crate) lacking: &'static [Field],
}

/// Of Ampere and Ada.
pub(crate) static V03: Layout = {
    use qmd_v03::*;
    Layout {
        table: &TABLE,
        version: [(QMD_MAJOR_VERSION, 3), (QMD_VERSION, 0)],
        kind: None,
        group: None,
        grid: [CTA_RASTER_WIDTH, CTA_RASTER_HEIGHT, CTA_RASTER_DEPTH],
        block: [CTA_THREAD_DIMENSION0, CTA_THREAD_DIMENSION1, CTA_THREAD_DIMENSION2],
        program: Halves { lower: PROGRAM_ADDRESS_LOWER, upper: PROGRAM_ADDRESS_UPPER, shift: 0 },
        registers: REGISTER_COUNT_V,
        barriers: BARRIER_COUNT,
        shared: Scaled { field: SHARED_MEMORY_SIZE, shift: 0 },
        carve_out: [
            MIN_SM_CONFIG_SHARED_MEM_SIZE,
            TARGET_SM_CONFIG_SHARED_MEM_SIZE,
            MAX_SM_CONFIG_SHARED_MEM_SIZE,
        ],
        local: [
            Scaled { field: SHADER_LOCAL_MEMORY_LOW_SIZE, shift: 0 },
            Scaled { field: SHADER_LOCAL_MEMORY_HIGH_SIZE, shift: 0 },
        ],
        banks: BankFields {
            valid: CONSTANT_BUFFER_VALID,
            invalidate: CONSTANT_BUFFER_INVALIDATE,
            address: Halves {
                lower: CONSTANT_BUFFER_ADDR_LOWER,
                upper: CONSTANT_BUFFER_ADDR_UPPER,
                shift: 0,
            },
            size: Scaled { field: CONSTANT_BUFFER_SIZE_SHIFTED4, shift: 4 },
        },
        releases: &[],
        invalidate_instructions: INVALIDATE_INSTRUCTION_CACHE,
        invalidate_constants: INVALIDATE_SHADER_CONSTANT_CACHE,
        // Of the semaphores the table names no address.
        lacking: &[RELEASE0_ENABLE, RELEASE1_ENABLE, DEPENDENT_QMD0_POINTER],
    }
};

/// Of Hopper.
pub(crate) static V04: Layout = {
    use qmd_v04::*;
    const fn release(i: usize) -> ReleaseFields {
        ReleaseFields {
            enable: (RELEASE_ENABLE, i),
            structure: (RELEASE_STRUCTURE_SIZE, i),
            wide: (RELEASE_PAYLOAD64B, i),
            address: [(RELEASE_SEMAPHORE_ADDR_LOWER, i), (RELEASE_SEMAPHORE_ADDR_UPPER, i)],
            payload: [(RELEASE_SEMAPHORE_PAYLOAD_LOWER, i), (RELEASE_SEMAPHORE_PAYLOAD_UPPER, i)],
        }
    }
    static RELEASES: [ReleaseFields; 3] = [release(0), release(1), release(2)];
    Layout {
        table: &TABLE,
        version: [(QMD_MAJOR_VERSION, 4), (QMD_MINOR_VERSION, 0)],
        // Drivers that leave it zero were seen to work on this version.
        kind: Some((QMD_TYPE, &[QMD_TYPE_QUEUE, QMD_TYPE_GRID_CTA])),
        group: None,
        grid: [GRID_WIDTH, GRID_HEIGHT, GRID_DEPTH],
        block: [CTA_THREAD_DIMENSION0, CTA_THREAD_DIMENSION1, CTA_THREAD_DIMENSION2],
        program: Halves { lower: PROGRAM_ADDRESS_LOWER, upper: PROGRAM_ADDRESS_UPPER, shift: 0 },
        registers: REGISTER_COUNT,
        barriers: BARRIER_COUNT,
        shared: Scaled { field: SHARED_MEMORY_SIZE, shift: 0 },
        carve_out: [
            MIN_SM_CONFIG_SHARED_MEM_SIZE,
            TARGET_SM_CONFIG_SHARED_MEM_SIZE,
            MAX_SM_CONFIG_SHARED_MEM_SIZE,
        ],
        local: [
            Scaled { field: SHADER_LOCAL_MEMORY_LOW_SIZE, shift: 0 },
            Scaled { field: SHADER_LOCAL_MEMORY_HIGH_SIZE, shift: 0 },
        ],
        banks: BankFields {
            valid: CONSTANT_BUFFER_VALID,
            invalidate: CONSTANT_BUFFER_INVALIDATE,
            address: Halves {
                lower: CONSTANT_BUFFER_ADDR_LOWER_SHIFTED6,
                upper: CONSTANT_BUFFER_ADDR_UPPER_SHIFTED6,
                shift: 6,
            },
            size: Scaled { field: CONSTANT_BUFFER_SIZE_SHIFTED4, shift: 4 },
        },
        releases: &RELEASES,
        invalidate_instructions: INVALIDATE_INSTRUCTION_CACHE,
        invalidate_constants: INVALIDATE_SHADER_CONSTANT_CACHE,
        lacking: &[DEPENDENT_QMD_ENABLE],
    }
};

/// Of Blackwell.
pub(crate) static V05: Layout = {
    use qmd_v05::*;
    const fn release(i: usize, address: [Field; 2], payload: [Field; 2]) -> ReleaseFields {
        ReleaseFields {
            enable: (RELEASE_ENABLE, i),
            structure: (RELEASE_STRUCTURE_SIZE, i),
            wide: (RELEASE_PAYLOAD64B, i),
            address: [(address[0], 0), (address[1], 0)],
            payload: [(payload[0], 0), (payload[1], 0)],
        }
    }
    static RELEASES: [ReleaseFields; 3] = [
        release(
            0,
            [RELEASE_SEMAPHORE0_ADDR_LOWER, RELEASE_SEMAPHORE0_ADDR_UPPER],
            [RELEASE_SEMAPHORE0_PAYLOAD_LOWER, RELEASE_SEMAPHORE0_PAYLOAD_UPPER],
        ),
        release(
            1,
            [RELEASE_SEMAPHORE1_ADDR_LOWER, RELEASE_SEMAPHORE1_ADDR_UPPER],
            [RELEASE_SEMAPHORE1_PAYLOAD_LOWER, RELEASE_SEMAPHORE1_PAYLOAD_UPPER],
        ),
        release(
            2,
            [RELEASE_SEMAPHORE2_ADDR_LOWER, RELEASE_SEMAPHORE2_ADDR_UPPER],
            [RELEASE_SEMAPHORE2_PAYLOAD_LOWER, RELEASE_SEMAPHORE2_PAYLOAD_UPPER],
        ),
    ];
    Layout {
        table: &TABLE,
        version: [(QMD_MAJOR_VERSION, 5), (QMD_MINOR_VERSION, 0)],
        kind: Some((QMD_TYPE, &[QMD_TYPE_GRID_CTA])),
        group: Some((QMD_GROUP_ID, 0x1f)),
        grid: [GRID_WIDTH, GRID_HEIGHT, GRID_DEPTH],
        block: [CTA_THREAD_DIMENSION0, CTA_THREAD_DIMENSION1, CTA_THREAD_DIMENSION2],
        program: Halves {
            lower: PROGRAM_ADDRESS_LOWER_SHIFTED4,
            upper: PROGRAM_ADDRESS_UPPER_SHIFTED4,
            shift: 4,
        },
        registers: REGISTER_COUNT,
        barriers: BARRIER_COUNT,
        shared: Scaled { field: SHARED_MEMORY_SIZE_SHIFTED7, shift: 7 },
        carve_out: [
            MIN_SM_CONFIG_SHARED_MEM_SIZE,
            TARGET_SM_CONFIG_SHARED_MEM_SIZE,
            MAX_SM_CONFIG_SHARED_MEM_SIZE,
        ],
        local: [
            Scaled { field: SHADER_LOCAL_MEMORY_LOW_SIZE_SHIFTED4, shift: 4 },
            Scaled { field: SHADER_LOCAL_MEMORY_HIGH_SIZE_SHIFTED4, shift: 4 },
        ],
        banks: BankFields {
            valid: CONSTANT_BUFFER_VALID,
            invalidate: CONSTANT_BUFFER_INVALIDATE,
            address: Halves {
                lower: CONSTANT_BUFFER_ADDR_LOWER_SHIFTED6,
                upper: CONSTANT_BUFFER_ADDR_UPPER_SHIFTED6,
                shift: 6,
            },
            size: Scaled { field: CONSTANT_BUFFER_SIZE_SHIFTED4, shift: 4 },
        },
        releases: &RELEASES,
        invalidate_instructions: INVALIDATE_INSTRUCTION_CACHE,
        invalidate_constants: INVALIDATE_SHADER_CONSTANT_CACHE,
        lacking: &[DEPENDENT_QMD_ENABLE],
    }
};
