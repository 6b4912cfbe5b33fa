//! Methods that the host executes itself, on every channel: semaphores, interrupts, barriers.

use nvkernel_sys::engine::notifiers;
use nvkernel_sys::host::{self, sem_execute};

use super::halt::Halt;
use super::signals::Port;
use crate::kernel::emulated::memory::semaphore::{SemaphoreRecord, reduction};

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

/// What came of one step of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Done,
    Empty,
    Yield,
    /// An acquire is not satisfied; whether others may run meanwhile.
    Blocked {
        switch: bool,
    },
}

/// State that host methods set.
#[derive(Debug)]
pub(crate) struct HostState {
    /// Semaphores may lie above 2^40.
    wide_addresses: bool,
    address_low: u32,
    address_high: u32,
    payload_low: u32,
    payload_high: u32,
    /// SEMAPHOREA to C.
    legacy: [u32; 3],
    waiting: Option<Acquire>,
}

impl HostState {
    /// The state of a new channel; `wide_addresses` says whether its semaphores may lie above 2^40.
    pub(crate) fn new(wide_addresses: bool) -> HostState {
        HostState {
            wide_addresses,
            address_low: 0,
            address_high: 0,
            payload_low: 0,
            payload_high: 0,
            legacy: [0; 3],
            waiting: None,
        }
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Gives up a pending acquire, as if it were satisfied.
    pub(crate) fn pass(&mut self) {
        self.waiting = None;
    }

    /// Looks at the semaphore of a pending acquire again.
    pub(crate) fn retry(&mut self, port: Port<'_>) -> Result<Step, Halt> {
        match self.waiting {
            None => Ok(Step::Done),
            Some(acquire) => self.acquire(port, acquire),
        }
    }

    fn acquire(&mut self, port: Port<'_>, acquire: Acquire) -> Result<Step, Halt> {
        let Acquire { address, payload, condition, wide, switch } = acquire;
        let value =
            if wide { port.space.load_u64(address)? } else { u64::from(port.space.load_u32(address)?) };
        if condition.holds(value, payload, wide) {
            self.waiting = None;
            return Ok(Step::Done);
        }
        self.waiting = Some(acquire);
        Ok(Step::Blocked { switch })
    }

    pub(crate) fn method(&mut self, port: Port<'_>, address: u32, value: u32) -> Result<Step, Halt> {
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
            host::SEMAPHORED => return self.legacy_semaphore(port, value),
            host::NON_STALL_INTERRUPT => {
                port.raise_interrupt();
                port.signals.events.raise_nonstall(notifiers::FIFO_EVENT_MTHD);
            }
            host::SEM_ADDR_LO => self.address_low = value,
            host::SEM_ADDR_HI => self.address_high = value,
            host::SEM_PAYLOAD_LO => self.payload_low = value,
            host::SEM_PAYLOAD_HI => self.payload_high = value,
            host::SEM_EXECUTE => return self.semaphore(port, value),
            host::YIELD => return Ok(Step::Yield),
            _ => {
                let name = host::method_name(address);
                return Err(Halt::Pbdma(format!("host method {name} (data {value:#x}) is not allowed")));
            }
        }
        Ok(Step::Done)
    }

    fn semaphore(&mut self, port: Port<'_>, execute: u32) -> Result<Step, Halt> {
        use sem_execute::*;
        let high = self.address_high & if self.wide_addresses { 0x1ff_ffff } else { 0xff };
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
                port.release(address, payload, record)?;
                return Ok(Step::Done);
            }
            OPERATION_REDUCTION if !wide => {
                let signed = REDUCTION_FORMAT.get(execute) == REDUCTION_FORMAT_SIGNED;
                let reduction = reduction(REDUCTION.get(execute), signed)
                    .ok_or_else(|| Halt::Pbdma(format!("SEM_EXECUTE {execute:#x} has no known reduction")))?;
                port.reduce(address, |old| reduction(old, payload as u32))?;
                return Ok(Step::Done);
            }
            _ => return Err(Halt::Pbdma(format!("SEM_EXECUTE {execute:#x} has no known operation"))),
        };
        let switch = ACQUIRE_SWITCH_TSG.get(execute) == ACQUIRE_SWITCH_TSG_EN;
        self.acquire(port, Acquire { address, payload, condition, wide, switch })
    }

    fn legacy_semaphore(&mut self, port: Port<'_>, execute: u32) -> Result<Step, Halt> {
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
                port.release(address, payload.into(), record)?;
                return Ok(Step::Done);
            }
            semaphored::REDUCTION => {
                let reduction = reduction(execute >> 27 & 0xf, execute >> 31 == 0)
                    .ok_or_else(|| Halt::Pbdma(format!("SEMAPHORED {execute:#x} has no known reduction")))?;
                port.reduce(address, |old| reduction(old, payload))?;
                return Ok(Step::Done);
            }
            _ => return Err(Halt::Pbdma(format!("SEMAPHORED {execute:#x} has no known operation"))),
        };
        let switch = execute & semaphored::ACQUIRE_SWITCH != 0;
        self.acquire(port, Acquire { address, payload: payload.into(), condition, wide: false, switch })
    }
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
}
