//! The compute engine: launch descriptors, report semaphores, and kernels as functions.
//!
//! Machine code is not executed: a launch runs the [`KernelModel`](kernels::KernelModel) whose code lies where its
//! descriptor points. What the driver makes is held to the public tables of methods and descriptors, and to what the
//! cubin itself says, all of it before the kernel runs. Caches of instructions, constants and descriptors are there to
//! show what was not invalidated.

use std::collections::HashMap;
use std::sync::Arc;

use nvkernel_sys::compute::{self as methods, invalidate_shader_caches, set_report_semaphore_d};
use nvkernel_sys::compute::{method_name, send_signaling_pcas2_b as pcas};

use super::engine::{Engine, EngineContext};
use super::fault::EngineFault;
use crate::kernel::emulated::memory::semaphore::SemaphoreRecord;
use cache::Cache;
use class::ComputeClass;
use kernels::Kernels;
use launch::Windows;

pub(crate) mod cache;
pub(crate) mod class;
pub(crate) mod cubin;
pub(crate) mod kernels;
pub(crate) mod launch;
pub(crate) mod layout;
pub(crate) mod qmd;

/// Bit of SET_INLINE_QMD_ADDRESS_A: the descriptor has 384 bytes.
const INLINE_QMD_LONG: u32 = 1 << 30;
/// Bits of the address in SET_INLINE_QMD_ADDRESS_A, which is divided by 256.
const INLINE_QMD_UPPER: u32 = (1 << 17) - 1;

fn exception<T>(message: String) -> Result<T, EngineFault> {
    Err(EngineFault::Exception(message))
}

/// An object of a compute class.
pub(crate) struct ComputeEngine {
    class: &'static ComputeClass,
    kernels: Arc<Kernels>,
    /// State methods, by address: what was set.
    registers: HashMap<u32, u32>,
    descriptors: Cache,
    instructions: Cache,
    constants: Cache,
}

impl ComputeEngine {
    pub(crate) fn new(class: &'static ComputeClass, kernels: Arc<Kernels>) -> ComputeEngine {
        ComputeEngine {
            class,
            kernels,
            registers: HashMap::new(),
            descriptors: Cache::default(),
            instructions: Cache::default(),
            constants: Cache::default(),
        }
    }

    /// The number in a pair of registers, upper half first; `None` until both are set.
    fn pair(&self, upper: u32) -> Option<u64> {
        let [upper, lower] = [upper, upper + 4].map(|at| self.registers.get(&at).copied().map(u64::from));
        Some(upper? << 32 | lower?)
    }

    fn windows(&self) -> Result<Windows, String> {
        let window =
            |upper, name| self.pair(upper).ok_or_else(|| format!("the {name} memory window is not set"));
        Ok(Windows {
            shared: window(methods::SET_SHADER_SHARED_MEMORY_WINDOW_A, "shared")?,
            local: window(methods::SET_SHADER_LOCAL_MEMORY_WINDOW_A, "local")?,
        })
    }

    /// Whether there is memory for the local memory of threads.
    fn has_local_memory(&self) -> bool {
        let set = |upper| self.pair(upper).is_some_and(|value| value != 0);
        set(methods::SET_SHADER_LOCAL_MEMORY_A)
            && set(methods::SET_SHADER_LOCAL_MEMORY_NON_THROTTLED_A)
            && self.registers.contains_key(&methods::SET_SHADER_LOCAL_MEMORY_NON_THROTTLED_C)
    }

    /// SEND_SIGNALING_PCAS2_B.
    fn schedule(&mut self, context: &EngineContext<'_>, value: u32) -> Result<(), EngineFault> {
        let Some(address) = self.registers.get(&methods::SEND_PCAS_A).map(|&shifted| u64::from(shifted) << 8)
        else {
            return exception("SEND_SIGNALING_PCAS2_B before SEND_PCAS_A".into());
        };
        let action = pcas::PCAS_ACTION.get(value);
        if pcas::PCAS_ACTION.of(action) != value {
            return exception(format!("SEND_SIGNALING_PCAS2_B {value:#x} with unknown bits"));
        }
        let invalidates = [
            pcas::PCAS_ACTION_INVALIDATE,
            pcas::PCAS_ACTION_INVALIDATE_COPY_SCHEDULE,
            pcas::PCAS_ACTION_INVALIDATE_PREFETCH_COPY_SCHEDULE,
        ];
        if invalidates.contains(&action) {
            self.descriptors.invalidate_at(address);
        }
        match action {
            pcas::PCAS_ACTION_INVALIDATE => Ok(()),
            _ if schedules(value) => self.launch(context, address),
            _ => exception(format!("SEND_SIGNALING_PCAS2_B with action {action}, which schedules nothing")),
        }
    }

    /// SET_REPORT_SEMAPHORE_D.
    fn report(&self, context: &EngineContext<'_>, value: u32) -> Result<(), EngineFault> {
        use set_report_semaphore_d::*;
        if FIELDS.iter().fold(value, |rest, field| field.set(rest, 0)) != 0 {
            return exception(format!("SET_REPORT_SEMAPHORE_D {value:#x} with unknown bits"));
        }
        if REDUCTION_ENABLE.get(value) != 0 {
            return exception(format!(
                "SET_REPORT_SEMAPHORE_D {value:#x} with a reduction, which is not modelled"
            ));
        }
        match OPERATION.get(value) {
            OPERATION_RELEASE => {
                let payload = self.registers.get(&methods::SET_REPORT_SEMAPHORE_C);
                let operands = self.pair(methods::SET_REPORT_SEMAPHORE_A).zip(payload.copied());
                let Some((address, payload)) = operands else {
                    return exception("SET_REPORT_SEMAPHORE_D before A, B and C".into());
                };
                let record = match STRUCTURE_SIZE.get(value) {
                    STRUCTURE_SIZE_FOUR_WORDS => SemaphoreRecord::Stamped,
                    _ => SemaphoreRecord::Word,
                };
                context.release(address, payload.into(), record)?;
            }
            OPERATION_TRAP => {}
            operation => return exception(format!("SET_REPORT_SEMAPHORE_D with operation {operation}")),
        }
        if AWAKEN_ENABLE.get(value) != 0 || OPERATION.get(value) == OPERATION_TRAP {
            context.raise_interrupt();
        }
        Ok(())
    }

    /// A word of LOAD_INLINE_QMD_DATA is stored in memory. A launch takes SEND_PCAS_A and SEND_SIGNALING_PCAS2_B, as of
    /// any other descriptor: that the last word of one launches by itself is not modelled.
    fn inline_word(&mut self, context: &EngineContext<'_>, index: u32, word: u32) -> Result<(), EngineFault> {
        let operands = [methods::SET_INLINE_QMD_ADDRESS_A, methods::SET_INLINE_QMD_ADDRESS_B]
            .map(|at| self.registers.get(&at));
        let [Some(&upper), Some(&lower)] = operands else {
            return exception("LOAD_INLINE_QMD_DATA before SET_INLINE_QMD_ADDRESS".into());
        };
        let size = if upper & INLINE_QMD_LONG != 0 { 384 } else { 256 };
        if index * 4 >= size {
            return exception(format!("LOAD_INLINE_QMD_DATA({index}) of a descriptor of {size} bytes"));
        }
        let address = (u64::from(upper & INLINE_QMD_UPPER) << 32 | u64::from(lower)) << 8;
        Ok(context.memory().store_u32(address + u64::from(index) * 4, word)?)
    }

    fn invalidate(&mut self, value: u32) -> Result<(), EngineFault> {
        use invalidate_shader_caches::*;
        if FIELDS.iter().fold(value, |rest, field| field.set(rest, 0)) != 0 {
            return exception(format!("INVALIDATE_SHADER_CACHES {value:#x} with unknown bits"));
        }
        if INSTRUCTION.get(value) != 0 {
            self.instructions.invalidate();
        }
        if CONSTANT.get(value) != 0 {
            self.constants.invalidate();
        }
        Ok(())
    }

    /// Keeps the data of a state method.
    fn set(&mut self, address: u32, value: u32, unknown: u32) -> Result<(), EngineFault> {
        if value & unknown != 0 {
            return exception(format!("{} {value:#x} with unknown bits", method_name(address)));
        }
        self.registers.insert(address, value);
        Ok(())
    }
}

/// Whether the action of SEND_SIGNALING_PCAS2_B starts a grid.
fn schedules(value: u32) -> bool {
    use pcas::*;
    let scheduling = [
        PCAS_ACTION_SCHEDULE,
        PCAS_ACTION_INVALIDATE_COPY_SCHEDULE,
        PCAS_ACTION_PREFETCH_SCHEDULE,
        PCAS_ACTION_INVALIDATE_PREFETCH_COPY_SCHEDULE,
    ];
    scheduling.contains(&PCAS_ACTION.get(value))
}

impl Engine for ComputeEngine {
    fn class(&self) -> u32 {
        self.class.id
    }

    fn launches(&self, address: u32, value: u32) -> bool {
        address == methods::SEND_SIGNALING_PCAS2_B && schedules(value)
    }

    fn method(&mut self, context: &EngineContext<'_>, address: u32, value: u32) -> Result<(), EngineFault> {
        use methods::*;
        let upper = u32::MAX << self.class.upper_bits;
        match address {
            NO_OPERATION
            // Launches end before the next method.
            | WAIT_FOR_IDLE
            // Textures and samplers are not modelled.
            | INVALIDATE_TEXTURE_HEADER_CACHE_NO_WFI
            | INVALIDATE_SAMPLER_CACHE_NO_WFI => Ok(()),
            INVALIDATE_SHADER_CACHES | INVALIDATE_SHADER_CACHES_NO_WFI => self.invalidate(value),
            INVALIDATE_SKED_CACHES => {
                self.descriptors.invalidate();
                Ok(())
            }
            SEND_SIGNALING_PCAS2_B => self.schedule(context, value),
            SET_REPORT_SEMAPHORE_D => self.report(context, value),
            SET_SHADER_SHARED_MEMORY_WINDOW_A
            | SET_SHADER_LOCAL_MEMORY_WINDOW_A
            | SET_SHADER_LOCAL_MEMORY_A
            | SET_REPORT_SEMAPHORE_A => self.set(address, value, upper),
            SET_INLINE_QMD_ADDRESS_A => self.set(address, value, !(INLINE_QMD_LONG | INLINE_QMD_UPPER)),
            SET_SHADER_SHARED_MEMORY_WINDOW_B
            | SET_SHADER_LOCAL_MEMORY_WINDOW_B
            | SET_SHADER_LOCAL_MEMORY_B
            | SET_SHADER_LOCAL_MEMORY_NON_THROTTLED_A
            | SET_SHADER_LOCAL_MEMORY_NON_THROTTLED_B
            | SET_SHADER_LOCAL_MEMORY_NON_THROTTLED_C
            | SET_INLINE_QMD_ADDRESS_B
            | SEND_PCAS_A
            | SET_REPORT_SEMAPHORE_B
            | SET_REPORT_SEMAPHORE_C => self.set(address, value, 0),
            _ => match method_name(address).method() {
                Some((method, index)) if method.address == LOAD_INLINE_QMD_DATA => {
                    self.inline_word(context, index, value)
                }
                _ => exception(format!(
                    "{} has no method {} that is modelled (data {value:#x})",
                    self.class.name(),
                    method_name(address)
                )),
            },
        }
    }
}
