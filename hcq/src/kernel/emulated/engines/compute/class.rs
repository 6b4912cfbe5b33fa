//! What differs between compute classes: a row of a table for each.

use nvkernel_sys::class::*;

use super::layout::{self, Layout};

/// A compute class.
#[derive(Debug)]
pub(crate) struct ComputeClass {
    pub(crate) id: u32,
    /// The launch descriptors that it takes; `None` for a version without a table.
    pub(crate) layout: Option<&'static Layout>,
    /// The SM versions of its GPUs, and those whose code these run.
    pub(crate) sms: &'static [u32],
    /// How much of the L1 memory of an SM can be shared memory, in KiB. Descriptors name one of these.
    pub(crate) carve_outs: &'static [u32],
    /// Bytes of shared memory of a block that hardware keeps and that cubins of these SMs do not count.
    pub(crate) reserved_shared: u32,
    /// Where code expects the base of the shared window in constant bank 0; that of the local window follows.
    pub(crate) windows_at: usize,
    /// Bits of the upper half of an address in a method.
    pub(crate) upper_bits: u32,
}

const GA100_SHARED: &[u32] = &[0, 8, 16, 32, 64, 100, 132, 164];
const GA10X_SHARED: &[u32] = &[0, 8, 16, 32, 64, 100];
const GH100_SHARED: &[u32] = &[0, 8, 16, 32, 64, 100, 132, 164, 196, 228];

static CLASSES: [ComputeClass; 7] = [
    ComputeClass {
        id: BLACKWELL_COMPUTE_B,
        layout: Some(&layout::V05),
        sms: &[120, 121],
        carve_outs: GA10X_SHARED,
        reserved_shared: 0,
        windows_at: 0x2f0,
        upper_bits: 25,
    },
    ComputeClass {
        id: BLACKWELL_COMPUTE_A,
        layout: Some(&layout::V05),
        sms: &[100, 103],
        carve_outs: GH100_SHARED,
        reserved_shared: 0,
        windows_at: 0x2f0,
        upper_bits: 25,
    },
    ComputeClass {
        id: HOPPER_COMPUTE_A,
        layout: Some(&layout::V04),
        sms: &[90],
        carve_outs: GH100_SHARED,
        reserved_shared: 0,
        windows_at: 0x18,
        upper_bits: 25,
    },
    ComputeClass {
        id: ADA_COMPUTE_A,
        layout: Some(&layout::V03),
        sms: &[80, 86, 89],
        carve_outs: GA10X_SHARED,
        reserved_shared: 1 << 10,
        windows_at: 0x18,
        upper_bits: 17,
    },
    ComputeClass {
        id: AMPERE_COMPUTE_B,
        layout: Some(&layout::V03),
        sms: &[80, 86, 87],
        carve_outs: GA10X_SHARED,
        reserved_shared: 1 << 10,
        windows_at: 0x18,
        upper_bits: 17,
    },
    ComputeClass {
        id: AMPERE_COMPUTE_A,
        layout: Some(&layout::V03),
        sms: &[80],
        carve_outs: GA100_SHARED,
        reserved_shared: 1 << 10,
        windows_at: 0x18,
        upper_bits: 17,
    },
    ComputeClass {
        id: TURING_COMPUTE_A,
        layout: None,
        sms: &[75],
        carve_outs: &[32, 64],
        reserved_shared: 0,
        windows_at: 0x18,
        upper_bits: 17,
    },
];

impl ComputeClass {
    /// The row of class `id`.
    pub(crate) fn of(id: u32) -> Option<&'static ComputeClass> {
        CLASSES.iter().find(|row| row.id == id)
    }

    pub(crate) fn name(&self) -> &'static str {
        name_of(self.id)
    }

    /// Shared memory of a block at most, in bytes: the largest carve-out, with what hardware keeps of it.
    pub(crate) fn most_shared(&self) -> u32 {
        self.carve_outs.iter().max().map_or(0, |kib| kib << 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_compute_class_has_a_row() {
        assert!(COMPUTE_CLASSES.iter().copied().eq(CLASSES.iter().map(|row| row.id)));
        for row in &CLASSES {
            // A carve-out is six bits of KiB / 4 + 1.
            assert!(row.carve_outs.iter().all(|kib| kib % 4 == 0 && kib / 4 + 1 < 64), "{}", row.name());
        }
        assert_eq!(ComputeClass::of(HOPPER_COMPUTE_A).unwrap().most_shared(), 228 << 10);
        assert!(ComputeClass::of(HOPPER_DMA_COPY_A).is_none());
    }
}
