//! The PBDMA: fetches ring entries and push buffers of a channel and executes their methods.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use nvkernel_sys::host::{self, gp_entry, method_header};

use super::channel::Channel;
use super::execution::{Execution, Increment, Run, Segment};
use super::halt::Halt;
use super::host_methods::{HostState, Step};
use super::signals::Port;
use crate::kernel::emulated::engines::engine::EngineContext;
use crate::kernel::emulated::engines::fault::EngineFault;

/// Words fetched at a time: push buffers can be megabytes long.
const FETCH_WORDS: u32 = 1024;
/// Methods below are the host's.
const FIRST_ENGINE_METHOD: u32 = 0x100;
/// How often an acquire is looked at that does not let other channels run.
const SPIN: Duration = Duration::from_micros(20);

/// What came of giving a channel the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It has nothing to do.
    Idle,
    /// Its time ran out.
    Busy,
    /// It waits for a semaphore.
    Waiting,
}

/// Executes a channel for `slice` at most (a single method may take longer).
pub(crate) fn run(channel: &Channel, slice: Duration) -> Outcome {
    let mut execution = channel.execution();
    let start = Instant::now();
    while channel.runnable() {
        let port = channel.port();
        match (Pbdma { channel, port, execution: &mut execution }).step() {
            Ok(Step::Done) if start.elapsed() < slice => {}
            Ok(Step::Done | Step::Yield) => return Outcome::Busy,
            Ok(Step::Empty) => return Outcome::Idle,
            Ok(Step::Blocked { switch }) => {
                if switch || start.elapsed() >= slice {
                    return Outcome::Waiting;
                }
                std::thread::sleep(SPIN);
            }
            Err(halt) => channel.fail(&halt),
        }
    }
    Outcome::Idle
}

/// The PBDMA at one step of a channel.
struct Pbdma<'a> {
    channel: &'a Channel,
    port: Port<'a>,
    execution: &'a mut Execution,
}

impl Pbdma<'_> {
    /// Evaluates a pending acquire, or executes the next word.
    fn step(&mut self) -> Result<Step, Halt> {
        if self.execution.host.is_waiting() {
            return self.on_host(|host, port| host.retry(port));
        }
        let Some(word) = self.next_word()? else {
            return Ok(if self.next_entry()? { Step::Done } else { Step::Empty });
        };
        if let Some(run) = &mut self.execution.run {
            let (subchannel, address) = (run.subchannel, run.address);
            match run.step {
                Increment::Every => run.address += 4,
                Increment::Never => {}
                Increment::Once => (run.address, run.step) = (run.address + 4, Increment::Never),
            }
            run.left -= 1;
            if run.left == 0 {
                self.execution.run = None;
            }
            return self.method(subchannel, address, word);
        }
        use method_header::*;
        let subchannel = METHOD_SUBCHANNEL.get(word) as usize;
        let address = METHOD_ADDRESS.get(word) << 2;
        let step = match SEC_OP.get(word) {
            SEC_OP_INC_METHOD => Increment::Every,
            SEC_OP_NON_INC_METHOD => Increment::Never,
            SEC_OP_ONE_INC => Increment::Once,
            SEC_OP_IMMD_DATA_METHOD => return self.method(subchannel, address, IMMD_DATA.get(word)),
            SEC_OP_END_PB_SEGMENT => {
                self.execution.segment = None;
                return Ok(Step::Done);
            }
            _ => return Err(Halt::Pbdma(format!("method header {word:#010x} has no known opcode"))),
        };
        let left = METHOD_COUNT.get(word);
        self.execution.run = (left > 0).then_some(Run { subchannel, address, left, step });
        Ok(Step::Done)
    }

    /// Lets the host execute something that may have to wait for a semaphore, which a planned fault can forbid.
    fn on_host(
        &mut self,
        execute: impl FnOnce(&mut HostState, Port<'_>) -> Result<Step, Halt>,
    ) -> Result<Step, Halt> {
        let step = execute(&mut self.execution.host, self.port)?;
        if matches!(step, Step::Blocked { .. }) && self.channel.skips_acquires() {
            self.execution.host.pass();
            return Ok(Step::Done);
        }
        Ok(step)
    }

    /// The next word of the current segment; `None` at its end.
    fn next_word(&mut self) -> Result<Option<u32>, Halt> {
        let Some(segment) = &mut self.execution.segment else { return Ok(None) };
        if segment.at == segment.words.len() {
            let count = segment.left.min(FETCH_WORDS);
            if count == 0 {
                self.execution.segment = None;
                return match self.execution.run.take() {
                    None => Ok(None),
                    Some(run) => {
                        Err(Halt::Pbdma(format!("the push buffer ends {} words before its method", run.left)))
                    }
                };
            }
            segment.words.resize(count as usize, 0);
            self.port.space.read(segment.next, zerocopy::IntoBytes::as_mut_bytes(&mut segment.words[..]))?;
            segment.next += u64::from(count) * 4;
            segment.left -= count;
            segment.at = 0;
        }
        segment.at += 1;
        Ok(Some(segment.words[segment.at - 1]))
    }

    /// Takes the next ring entry; `false` if there is none.
    fn next_entry(&mut self) -> Result<bool, Halt> {
        let (ring, entries) = self.channel.ring_buffer();
        if self.execution.get == self.execution.put {
            // The host looks at GPPut when the doorbell rings, and not otherwise.
            if !self.channel.take_doorbell() {
                return Ok(false);
            }
            self.execution.put = self.channel.load_userd(host::USERD_GP_PUT);
            if self.execution.put >= entries {
                let put = self.execution.put;
                return Err(Halt::Pbdma(format!("GPPut is {put} in a ring of {entries} entries")));
            }
            if self.execution.get == self.execution.put {
                return Ok(false);
            }
        }
        let entry = self.port.space.load_u64(ring + 8 * u64::from(self.execution.get))?;
        self.execution.get = (self.execution.get + 1) % entries;
        self.channel.store_userd(host::USERD_GP_GET, self.execution.get);
        let (low, high) = (entry as u32, (entry >> 32) as u32);
        let length = gp_entry::LENGTH.get(high);
        if length > 0 {
            let address =
                self.execution.base | u64::from(gp_entry::GET_HI.get(high)) << 32 | u64::from(low & !3);
            self.execution.segment = Some(Segment { next: address, left: length, words: Vec::new(), at: 0 });
            return Ok(true);
        }
        match gp_entry::OPCODE.get(high) {
            gp_entry::OPCODE_NOP | gp_entry::OPCODE_GP_CRC | gp_entry::OPCODE_PB_CRC => Ok(true),
            gp_entry::OPCODE_SET_PB_SEGMENT_EXTENDED_BASE if self.channel.has_wide_addresses() => {
                self.execution.base = u64::from(low >> 8 & 0x1_ffff) << 40;
                Ok(true)
            }
            opcode => Err(Halt::Pbdma(format!("ring entry {entry:#018x} has control opcode {opcode}"))),
        }
    }

    /// Executes a method: on the host, or on the engine object of its subchannel.
    fn method(&mut self, subchannel: usize, address: u32, value: u32) -> Result<Step, Halt> {
        if address == host::SET_OBJECT {
            let class = value & 0xffff;
            let object = self.execution.objects.iter().find(|o| o.engine.class() == class);
            let object = object.ok_or_else(|| {
                Halt::Pbdma(format!("SET_OBJECT of class {class:#06x}, of which the channel has no object"))
            })?;
            self.execution.subchannels[subchannel] = Some(object.handle);
            return Ok(Step::Done);
        }
        if address == host::SET_REFERENCE {
            self.channel.store_userd(std::mem::offset_of!(host::Nvc36fControl, Reference), value);
            return Ok(Step::Done);
        }
        if address < FIRST_ENGINE_METHOD {
            return self.on_host(|host, port| host.method(port, address, value));
        }
        let bound = self.execution.subchannels[subchannel];
        let object = bound.and_then(|handle| self.execution.objects.iter_mut().find(|o| o.handle == handle));
        let object = object.ok_or_else(|| {
            Halt::Pbdma(format!("method {address:#06x} on subchannel {subchannel}, which has no object"))
        })?;
        let mut error_status = None;
        let launches = object.engine.launches(address, value);
        if launches {
            error_status = self.channel.before_launch()?;
            self.execution.abandoned = self.port.is_cancelled();
            if self.execution.abandoned {
                return Ok(Step::Done);
            }
        }
        let context = EngineContext::new(self.port, error_status);
        // A model that panics must not take the other channels of its engine along.
        catch_unwind(AssertUnwindSafe(|| object.engine.method(&context, address, value)))
            .unwrap_or_else(|_| Err(EngineFault::Exception("the engine model panicked".into())))?;
        if launches {
            self.execution.abandoned = self.port.is_cancelled();
        }
        match context.take_error_status() {
            // The engine has no status to report the error in: the channel stops, so that the fault is seen.
            Some(status) => Err(EngineFault::Exception(format!("injected error {status:#x}")).into()),
            None => Ok(Step::Done),
        }
    }
}
