//! `nvdec_status_s`, which the engine writes for every picture.

use hcq::kernel::emulated::{AddressSpace, MmuFault};
use nvkernel_sys::bits::Field;
use nvkernel_sys::video::nvdec_status as field;

/// What the engine says of a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) correct: u32,
    pub(super) in_error: u32,
    pub(super) cycles: u64,
    pub(super) error_status: u32,
    /// Column and row of the coding tree block of the first error.
    pub(super) error_ctb: (u32, u32),
    /// Column and row of the first coding tree block of the slice with the first error.
    pub(super) error_slice: (u32, u32),
    pub(super) slice_header_error: u32,
    /// 8x8 blocks.
    pub(super) intra: u32,
    /// 8x8 blocks.
    pub(super) inter: u32,
    /// 4x4 blocks.
    pub(super) skipped: u32,
}

/// Clock cycles of a block of 16x16, from 725 µs for a 1080p picture at the H200's clock.
const CYCLES_PER_BLOCK: u64 = 105;
/// Clock cycles of a byte of slice data.
const CYCLES_PER_BYTE: u64 = 7;
/// What `cycle_count` says of a picture that was not looked at.
const CYCLE_COUNT_IDLE: u32 = 3;
/// Clock cycles in a unit of `cycle_count`.
const CYCLES_PER_COUNT: u64 = 16;

/// Clock cycles that a picture takes: the model's clock, not the host's.
pub(super) fn cycles(blocks: u64, bytes: u64) -> u64 {
    CYCLES_PER_COUNT * u64::from(CYCLE_COUNT_IDLE) + CYCLES_PER_BLOCK * blocks + CYCLES_PER_BYTE * bytes
}

impl Status {
    /// Writes the struct.
    pub(super) fn write(&self, memory: &AddressSpace, address: u64) -> Result<(), MmuFault> {
        let mut bytes = [0; field::SIZE];
        let mut put = |field: Field, value: u32| {
            field.write(&mut bytes, 0, value.into()).expect("32-bit values in 32-bit fields");
        };
        put(field::mbs_correctly_decoded, self.correct);
        put(field::mbs_in_error, self.in_error);
        put(field::cycle_count, u32::try_from(self.cycles / CYCLES_PER_COUNT).unwrap_or(u32::MAX));
        put(field::error_status, self.error_status);
        put(field::error_ctb_pos_x, self.error_ctb.0);
        put(field::error_ctb_pos_y, self.error_ctb.1);
        put(field::error_slice_pos_x, self.error_slice.0);
        put(field::error_slice_pos_y, self.error_slice.1);
        put(field::slice_header_error_code, self.slice_header_error);
        put(field::frame_status_intra_cnt, self.intra);
        put(field::frame_status_inter_cnt, self.inter);
        put(field::frame_status_skip_cnt, self.skipped);
        memory.write(address, &bytes)
    }
}

/// Whether the struct in memory is clear. If it is not, the engine does no more than count a few cycles, and
/// this was done.
pub(super) fn is_clear(memory: &AddressSpace, address: u64) -> Result<bool, MmuFault> {
    let mut bytes = [0; field::SIZE];
    memory.read(address, &mut bytes)?;
    if bytes.iter().all(|&b| b == 0) {
        return Ok(true);
    }
    memory.store_u32(address + u64::from(field::cycle_count.offset), CYCLE_COUNT_IDLE)?;
    Ok(false)
}
