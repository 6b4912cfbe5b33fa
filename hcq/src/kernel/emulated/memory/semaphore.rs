//! Semaphores: how a release is written to memory, and the reductions of semaphores.

use nvkernel_sys::host::sem_execute;

use super::address_space::{AddressSpace, MmuFault};

/// How a semaphore release is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SemaphoreRecord {
    /// The low 32 bits of the payload.
    Word,
    /// 64 bits of payload.
    DoubleWord,
    /// 16 bytes: the low 32 bits of the payload, a zero word, the time in nanoseconds.
    Stamped,
    /// 16 bytes: 64 bits of payload, the time in nanoseconds.
    StampedDoubleWord,
}

impl SemaphoreRecord {
    /// Bytes of the record, of which its address is a multiple.
    fn size(self) -> u64 {
        match self {
            SemaphoreRecord::Word => 4,
            SemaphoreRecord::DoubleWord => 8,
            SemaphoreRecord::Stamped | SemaphoreRecord::StampedDoubleWord => 16,
        }
    }
}

/// Why a semaphore was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SemaphoreFault {
    #[error("{0}")]
    Mmu(#[from] MmuFault),
    #[error("semaphore address {address:#x} is not a multiple of {size}")]
    Misaligned { address: u64, size: u64 },
}

fn aligned(address: u64, size: u64) -> Result<(), SemaphoreFault> {
    if address.is_multiple_of(size) { Ok(()) } else { Err(SemaphoreFault::Misaligned { address, size }) }
}

/// Writes a release; `clock` is read if the record has a time stamp.
pub(crate) fn release(
    space: &AddressSpace,
    address: u64,
    payload: u64,
    record: SemaphoreRecord,
    clock: impl FnOnce() -> u64,
) -> Result<(), SemaphoreFault> {
    aligned(address, record.size())?;
    match record {
        SemaphoreRecord::Word => space.store_u32(address, payload as u32)?,
        SemaphoreRecord::DoubleWord => space.store_u64(address, payload)?,
        SemaphoreRecord::Stamped => {
            space.store_u64(address + 8, clock())?;
            space.store_u64(address, payload & 0xffff_ffff)?;
        }
        SemaphoreRecord::StampedDoubleWord => {
            space.store_u64(address + 8, clock())?;
            space.store_u64(address, payload)?;
        }
    }
    Ok(())
}

/// Replaces a 32-bit semaphore by a function of its value, as one access.
pub(crate) fn reduce(
    space: &AddressSpace,
    address: u64,
    f: impl Fn(u32) -> u32,
) -> Result<(), SemaphoreFault> {
    aligned(address, 4)?;
    Ok(space.update_u32(address, f)?)
}

/// A reduction by its number, the same in host and copy classes: old value and payload to new value.
pub(crate) fn reduction(number: u32, signed: bool) -> Option<fn(u32, u32) -> u32> {
    use sem_execute::*;
    Some(match (number, signed) {
        (REDUCTION_IMIN, true) => |old, new| (old as i32).min(new as i32) as u32,
        (REDUCTION_IMIN, false) => |old, new| old.min(new),
        (REDUCTION_IMAX, true) => |old, new| (old as i32).max(new as i32) as u32,
        (REDUCTION_IMAX, false) => |old, new| old.max(new),
        (REDUCTION_IXOR, _) => |old, new| old ^ new,
        (REDUCTION_IAND, _) => |old, new| old & new,
        (REDUCTION_IOR, _) => |old, new| old | new,
        (REDUCTION_IADD, _) => |old, new| old.wrapping_add(new),
        // Counting up to the payload and from there to zero, and back.
        (REDUCTION_INC, _) => |old, new| if old >= new { 0 } else { old + 1 },
        (REDUCTION_DEC, _) => |old, new| if old == 0 || old > new { new } else { old - 1 },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reductions() {
        let run = |number, signed, old, new| reduction(number, signed).unwrap()(old, new);
        assert_eq!(run(sem_execute::REDUCTION_IMIN, true, 1, u32::MAX), u32::MAX);
        assert_eq!(run(sem_execute::REDUCTION_IMIN, false, 1, u32::MAX), 1);
        assert_eq!(run(sem_execute::REDUCTION_IADD, true, u32::MAX, 2), 1);
        assert_eq!(run(sem_execute::REDUCTION_INC, true, 4, 4), 0);
        assert_eq!(run(sem_execute::REDUCTION_DEC, true, 0, 4), 4);
        assert!(reduction(9, false).is_none());
    }
}
