//! Methods that the host executes itself, on every channel: semaphores, interrupts, barriers.

use nvkernel_sys::engine::notifiers;
use nvkernel_sys::host::{self, sem_execute};

use super::channel::{Channel, Halt, Step};
use crate::kernel::emulated::engines::engine::SemaphoreRecord;

/// Fields of SEMAPHORED, the operation of the 32-bit semaphore methods (cl906f.h).
mod semaphored {
    pub(crate) const ACQUIRE: u32 = 1;
    pub(crate) const RELEASE: u32 = 2;
    pub(crate) const ACQ_GEQ: u32 = 4;
    pub(crate) const ACQ_AND: u32 = 8;
    pub(crate) const REDUCTION: u32 = 16;
    pub(crate) const ACQUIRE_SWITCH: u32 = 1 << 12;
    pub(crate) const RELEASE_SIZE_4BYTE: u32 = 1 << 24;
}

/// When an acquire is satisfied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Equal,
    StrictGreaterEqual,
    CircularGreaterEqual,
    And,
    Nor,
}

impl Condition {
    fn holds(self, value: u64, payload: u64, wide: bool) -> bool {
        let (shift, value, payload) = if wide {
            (0, value, payload)
        } else {
            // Compared in the upper half, so that one signed comparison serves both widths.
            (32, value << 32, payload << 32)
        };
        match self {
            Condition::Equal => value == payload,
            Condition::StrictGreaterEqual => value >= payload,
            Condition::CircularGreaterEqual => value.wrapping_sub(payload) as i64 >= 0,
            Condition::And => value & payload != 0,
            Condition::Nor => !(value | payload) >> shift << shift != 0,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Acquire {
    address: u64,
    payload: u64,
    condition: Condition,
    wide: bool,
    switch: bool,
}

/// State that host methods set.
#[derive(Debug, Default)]
pub(crate) struct HostState {
    address_low: u32,
    address_high: u32,
    payload_low: u32,
    payload_high: u32,
    /// SEMAPHOREA to C.
    legacy: [u32; 3],
    waiting: Option<Acquire>,
}

impl HostState {
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Looks at the semaphore of a pending acquire again.
    pub(crate) fn retry(&mut self, channel: &Channel) -> Result<Step, Halt> {
        match self.waiting {
            None => Ok(Step::Done),
            Some(acquire) => self.acquire(channel, acquire),
        }
    }

    fn acquire(&mut self, channel: &Channel, acquire: Acquire) -> Result<Step, Halt> {
        let Acquire { address, payload, condition, wide, switch } = acquire;
        let value = if wide {
            channel.space().load_u64(address)?
        } else {
            u64::from(channel.space().load_u32(address)?)
        };
        if condition.holds(value, payload, wide) || channel.skips_acquires() {
            self.waiting = None;
            return Ok(Step::Done);
        }
        self.waiting = Some(acquire);
        Ok(Step::Blocked { switch })
    }

    pub(crate) fn method(&mut self, channel: &Channel, address: u32, value: u32) -> Result<Step, Halt> {
        match address {
            host::NOP
            | host::FB_FLUSH
            | host::MEM_OP_A
            | host::MEM_OP_B
            | host::MEM_OP_C
            // Memory of the model is coherent and engines execute in order: nothing to wait for.
            | host::MEM_OP_D
            | host::WFI => {}
            host::SEMAPHOREA => self.legacy[0] = value,
            host::SEMAPHOREB => self.legacy[1] = value,
            host::SEMAPHOREC => self.legacy[2] = value,
            host::SEMAPHORED => return self.legacy_semaphore(channel, value),
            host::NON_STALL_INTERRUPT => {
                channel.raise_interrupt();
                channel.gpu().events.raise_nonstall(notifiers::FIFO_EVENT_MTHD);
            }
            host::SET_REFERENCE => {
                channel.store_userd(std::mem::offset_of!(host::Nvc36fControl, Reference), value);
            }
            host::SEM_ADDR_LO => self.address_low = value,
            host::SEM_ADDR_HI => self.address_high = value,
            host::SEM_PAYLOAD_LO => self.payload_low = value,
            host::SEM_PAYLOAD_HI => self.payload_high = value,
            host::SEM_EXECUTE => return self.semaphore(channel, value),
            host::YIELD => return Ok(Step::Yield),
            _ => {
                let name = host::method_name(address);
                return Err(Halt::Pbdma(format!("host method {name} (data {value:#x}) is not allowed")));
            }
        }
        Ok(Step::Done)
    }

    fn semaphore(&mut self, channel: &Channel, execute: u32) -> Result<Step, Halt> {
        use sem_execute::*;
        let high = self.address_high & if channel.has_wide_addresses() { 0x1ff_ffff } else { 0xff };
        let address = u64::from(high) << 32 | u64::from(self.address_low);
        let wide = PAYLOAD_SIZE.get(execute) == PAYLOAD_SIZE_64BIT;
        let payload = match wide {
            true => u64::from(self.payload_high) << 32 | u64::from(self.payload_low),
            false => u64::from(self.payload_low),
        };
        if !address.is_multiple_of(if wide { 8 } else { 4 }) {
            return Err(Halt::Pbdma(format!("semaphore address {address:#x} is not aligned")));
        }
        let condition = match OPERATION.get(execute) {
            OPERATION_ACQUIRE => Condition::Equal,
            OPERATION_ACQ_STRICT_GEQ => Condition::StrictGreaterEqual,
            OPERATION_ACQ_CIRC_GEQ => Condition::CircularGreaterEqual,
            OPERATION_ACQ_AND => Condition::And,
            OPERATION_ACQ_NOR => Condition::Nor,
            OPERATION_RELEASE => {
                let record = match (RELEASE_TIMESTAMP.get(execute) == RELEASE_TIMESTAMP_EN, wide) {
                    (false, false) => SemaphoreRecord::Word,
                    (false, true) => SemaphoreRecord::DoubleWord,
                    (true, false) => SemaphoreRecord::Stamped,
                    (true, true) => SemaphoreRecord::StampedDoubleWord,
                };
                channel.release(address, payload, record)?;
                return Ok(Step::Done);
            }
            OPERATION_REDUCTION if !wide => {
                let signed = REDUCTION_FORMAT.get(execute) == REDUCTION_FORMAT_SIGNED;
                let reduction = reduction(REDUCTION.get(execute), signed)
                    .ok_or_else(|| Halt::Pbdma(format!("SEM_EXECUTE {execute:#x} has no known reduction")))?;
                channel.reduce(address, |old| reduction(old, payload as u32))?;
                return Ok(Step::Done);
            }
            _ => return Err(Halt::Pbdma(format!("SEM_EXECUTE {execute:#x} has no known operation"))),
        };
        let switch = ACQUIRE_SWITCH_TSG.get(execute) == ACQUIRE_SWITCH_TSG_EN;
        self.acquire(channel, Acquire { address, payload, condition, wide, switch })
    }

    fn legacy_semaphore(&mut self, channel: &Channel, execute: u32) -> Result<Step, Halt> {
        let [high, low, payload] = self.legacy;
        let address = u64::from(high & 0xff) << 32 | u64::from(low & !3);
        let condition = match execute & 0x1f {
            semaphored::ACQUIRE => Condition::Equal,
            semaphored::ACQ_GEQ => Condition::CircularGreaterEqual,
            semaphored::ACQ_AND => Condition::And,
            semaphored::RELEASE => {
                let record = match execute & semaphored::RELEASE_SIZE_4BYTE {
                    0 => SemaphoreRecord::Stamped,
                    _ => SemaphoreRecord::Word,
                };
                channel.release(address, payload.into(), record)?;
                return Ok(Step::Done);
            }
            semaphored::REDUCTION => {
                let reduction = reduction(execute >> 27 & 0xf, execute >> 31 == 0)
                    .ok_or_else(|| Halt::Pbdma(format!("SEMAPHORED {execute:#x} has no known reduction")))?;
                channel.reduce(address, |old| reduction(old, payload))?;
                return Ok(Step::Done);
            }
            _ => return Err(Halt::Pbdma(format!("SEMAPHORED {execute:#x} has no known operation"))),
        };
        let switch = execute & semaphored::ACQUIRE_SWITCH != 0;
        self.acquire(channel, Acquire { address, payload: payload.into(), condition, wide: false, switch })
    }
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn conditions() {
        use Condition::*;
        let rows = [
            (Equal, 5, 5, true),
            (Equal, 6, 5, false),
            (StrictGreaterEqual, 6, 5, true),
            (StrictGreaterEqual, 1, 0xffff_ffff, false),
            (CircularGreaterEqual, 1, 0xffff_ffff, true),
            (CircularGreaterEqual, 0xffff_ffff, 1, false),
            (CircularGreaterEqual, 7, 7, true),
            (And, 0b110, 0b010, true),
            (And, 0b100, 0b010, false),
            (Nor, 0xffff_fff0, 0xf, false),
            (Nor, 0xffff_fff0, 0x7, true),
        ];
        for (condition, value, payload, holds) in rows {
            assert_eq!(
                condition.holds(value, payload, false),
                holds,
                "{condition:?} {value:#x} {payload:#x}"
            );
        }
        assert!(CircularGreaterEqual.holds(1 << 32, u64::from(u32::MAX), true));
        assert!(!Nor.holds(u64::MAX - 1, 1, true));
    }

    proptest! {
        #[test]
        fn a_narrow_acquire_ignores_upper_bits(value: u32, payload: u32, step in 0u32..1 << 31) {
            let geq = |v: u32, p: u32| Condition::CircularGreaterEqual.holds(v.into(), p.into(), false);
            prop_assert!(geq(payload.wrapping_add(step), payload));
            prop_assert_eq!(Condition::Equal.holds(value.into(), payload.into(), false), value == payload);
        }
    }

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
