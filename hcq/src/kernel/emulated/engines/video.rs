//! The frame of a video decoder: its semaphores and interrupts. Pictures are decoded by an attached engine.

use nvkernel_sys::class::*;
use nvkernel_sys::video::{self, execute, semaphore_d};

use super::engine::{Engine, EngineContext};
use super::fault::EngineFault;
use crate::kernel::emulated::memory::semaphore::SemaphoreRecord;

/// Classes of the Turing line: no two-word semaphores, no 64-bit payloads.
const NARROW_SEMAPHORES: &[u32] = &[NVB8B0_VIDEO_DECODER, NVC6B0_VIDEO_DECODER, NVC4B0_VIDEO_DECODER];

/// An object of a video decoder class.
pub(crate) struct VideoDecoder {
    class: u32,
    /// What decodes pictures. Without one, state methods are accepted and EXECUTE faults.
    attached: Option<Box<dyn Engine>>,
    /// SEMAPHORE_A to C.
    semaphore: [u32; 3],
    /// 64-bit payload, low half first.
    payload: [u32; 2],
}

impl VideoDecoder {
    pub(crate) fn new(class: u32, attached: Option<Box<dyn Engine>>) -> VideoDecoder {
        VideoDecoder { class, attached, semaphore: [0; 3], payload: [0; 2] }
    }

    fn semaphore(&self, context: &EngineContext<'_>, operation: u32) -> Result<(), EngineFault> {
        use semaphore_d::*;
        let narrow = NARROW_SEMAPHORES.contains(&self.class);
        let wide = PAYLOAD_SIZE.get(operation) == PAYLOAD_SIZE_64BIT;
        let size = STRUCTURE_SIZE.get(operation);
        if narrow && (wide || size == STRUCTURE_SIZE_TWO) {
            let name = name_of(self.class);
            return Err(EngineFault::Exception(format!(
                "SEMAPHORE_D {operation:#x} on {name}, 32-bit payloads only"
            )));
        }
        match OPERATION.get(operation) {
            OPERATION_RELEASE => {
                let address = u64::from(self.semaphore[0] & 0xff) << 32 | u64::from(self.semaphore[1]);
                let payload = match wide {
                    true => u64::from(self.payload[1]) << 32 | u64::from(self.payload[0]),
                    false => self.semaphore[2].into(),
                };
                let record = match (size, wide) {
                    (STRUCTURE_SIZE_ONE, false) => SemaphoreRecord::Word,
                    (STRUCTURE_SIZE_ONE | STRUCTURE_SIZE_TWO, _) => SemaphoreRecord::DoubleWord,
                    (STRUCTURE_SIZE_FOUR, false) => SemaphoreRecord::Stamped,
                    (STRUCTURE_SIZE_FOUR, true) => SemaphoreRecord::StampedDoubleWord,
                    _ => return self.unknown(operation),
                };
                context.release(address, payload, record)?;
            }
            OPERATION_TRAP => {}
            _ => return self.unknown(operation),
        }
        if AWAKEN_ENABLE.get(operation) == AWAKEN_ENABLE_TRUE || OPERATION.get(operation) == OPERATION_TRAP {
            context.raise_interrupt();
        }
        Ok(())
    }

    fn unknown(&self, operation: u32) -> Result<(), EngineFault> {
        Err(EngineFault::Exception(format!("SEMAPHORE_D {operation:#x} has no known operation")))
    }
}

impl Engine for VideoDecoder {
    fn class(&self) -> u32 {
        self.class
    }

    fn launches(&self, address: u32, value: u32) -> bool {
        address == video::EXECUTE || self.attached.as_ref().is_some_and(|e| e.launches(address, value))
    }

    fn method(&mut self, context: &EngineContext<'_>, address: u32, value: u32) -> Result<(), EngineFault> {
        match address {
            video::SEMAPHORE_A => self.semaphore[0] = value,
            video::SEMAPHORE_B => self.semaphore[1] = value,
            video::SEMAPHORE_C => self.semaphore[2] = value,
            video::SET_SEMAPHORE_PAYLOAD_LOWER => self.payload[0] = value,
            video::SET_SEMAPHORE_PAYLOAD_UPPER => self.payload[1] = value,
            video::SEMAPHORE_D => return self.semaphore(context, value),
            video::NOP => {}
            video::EXECUTE => {
                let Some(decoder) = &mut self.attached else {
                    let name = name_of(self.class);
                    return Err(EngineFault::Exception(format!("EXECUTE on {name}: no decoder attached")));
                };
                decoder.method(context, address, value)?;
                if execute::AWAKEN.get(value) == execute::AWAKEN_ENABLE {
                    context.raise_interrupt();
                }
            }
            _ => match &mut self.attached {
                Some(decoder) => return decoder.method(context, address, value),
                None if video::method_name(address).method().is_some() => {}
                None if address == video::UNNAMED_SCRATCH_OFFSET_4DC => {}
                None => return Err(EngineFault::UnknownMethod { address, value }),
            },
        }
        Ok(())
    }
}
