//! What is tested, whatever it runs on. A body panics when it does not hold.

pub mod compute;
pub mod copy;
pub mod decode;
pub mod device;
pub mod memory;
pub mod timeline;

use std::time::Duration;

use hcq::{CopyQueue, Device, DeviceBuffer, Placement};

/// A limit that is only there to end a hang.
pub const LONG: Duration = Duration::from_secs(60);

/// Bytes that differ from place to place and from seed to seed.
pub fn pattern(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as u8
    };
    (0..length).map(step).collect()
}

/// What a buffer holds.
///
/// # Panics
///
/// If it cannot be mapped.
pub fn bytes(buffer: &DeviceBuffer) -> Vec<u8> {
    let mut out = vec![0; buffer.size() as usize];
    buffer.view().unwrap_or_else(|e| panic!("{e}")).copy_out(0, &mut out);
    out
}

/// A buffer of exactly `data`.
///
/// # Panics
///
/// If there is no memory.
pub fn holding(device: &Device, data: &[u8], placement: Placement) -> DeviceBuffer {
    let buffer = device.allocate(data.len() as u64, placement).unwrap_or_else(|e| panic!("{e}"));
    buffer.view().unwrap_or_else(|e| panic!("{e}")).copy_in(0, data);
    buffer.slice(0, data.len() as u64)
}

/// A copy queue on the GPU's last copy engine.
///
/// # Panics
///
/// If there is none.
pub fn copy_queue(device: &Device) -> CopyQueue {
    CopyQueue::new(device, None).unwrap_or_else(|e| panic!("{e}"))
}
