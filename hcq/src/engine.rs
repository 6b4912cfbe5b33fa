//! What differs between the kinds of engines that queues are built for: a row of a table for each.

use std::sync::Arc;

use nvkernel_sys::compute::{self, set_report_semaphore_d};
use nvkernel_sys::copy::{self, launch_dma};
use nvkernel_sys::engine::{EngineKind, EngineType};
use nvkernel_sys::rm::{NV_BSP_ALLOCATION_PARAMETERS, NVB0B5_ALLOCATION_PARAMETERS};
use nvkernel_sys::video::{self, semaphore_d};
use nvkernel_sys::{host, host::sem_execute};
use zerocopy::FromZeros;

use crate::error::{Error, Result};
use crate::pushbuf::{PushBuffer, SUBCHANNEL_COMPUTE, SUBCHANNEL_ENGINE, SUBCHANNEL_HOST};
use crate::rm::RmObject;

/// A kind of engine.
#[derive(Debug)]
pub(crate) struct EngineRow {
    kind: EngineKind,
    /// Allocates an object of a class on a channel, for one engine. Without parameters that name it RM takes the first
    /// engine of the class, and the channel cannot be bound to any other.
    pub(crate) object: fn(&Arc<RmObject>, EngineType, u32) -> Result<Arc<RmObject>>,
    /// Subchannel of the class.
    pub(crate) subchannel: u8,
    release: Release,
    /// Whether its interrupt at the end of work reaches a process.
    pub(crate) interrupts: bool,
}

/// How a class releases a semaphore of four words, with a time stamp, behind the engine's writes. Words rather than
/// code, since they are written with every submission.
#[derive(Debug)]
struct Release {
    /// A method that waits until the work before is done, for engines whose release does not.
    idle: Option<u32>,
    /// The first of three methods: upper and lower part of the address, and the payload.
    operands: u32,
    /// The method that releases.
    execute: u32,
    /// What it is given where no one waits,
    quiet: u32,
    /// and where a host may sleep until then.
    waking: u32,
}

static ENGINES: [EngineRow; 3] = [
    EngineRow {
        kind: EngineKind::Nvdec,
        object: |channel, engine, class| {
            let mut params = NV_BSP_ALLOCATION_PARAMETERS::new_zeroed();
            params.size = size_of::<NV_BSP_ALLOCATION_PARAMETERS>() as u32;
            params.engineInstance = engine.instance();
            channel.client().alloc(Some(channel), class, &mut params)
        },
        subchannel: SUBCHANNEL_ENGINE,
        // No AWAKEN: it costs the engine a seventh of its speed, and its interrupt arrives nowhere.
        release: Release {
            idle: None,
            operands: video::SEMAPHORE_A,
            execute: video::SEMAPHORE_D,
            quiet: NVDEC_RELEASE,
            waking: NVDEC_RELEASE,
        },
        interrupts: false,
    },
    EngineRow {
        kind: EngineKind::Copy,
        object: |channel, engine, class| {
            let mut params = NVB0B5_ALLOCATION_PARAMETERS::new_zeroed();
            params.version = 1; // engineType holds an engine type, not a copy engine number
            params.engineType = engine.0;
            channel.client().alloc(Some(channel), class, &mut params)
        },
        subchannel: SUBCHANNEL_ENGINE,
        release: Release {
            idle: None,
            operands: copy::SET_SEMAPHORE_A,
            execute: copy::LAUNCH_DMA,
            quiet: COPY_RELEASE | launch_dma::INTERRUPT_TYPE.of(launch_dma::INTERRUPT_TYPE_NONE),
            waking: COPY_RELEASE | launch_dma::INTERRUPT_TYPE.of(launch_dma::INTERRUPT_TYPE_NON_BLOCKING),
        },
        interrupts: true,
    },
    EngineRow {
        kind: EngineKind::Graphics,
        object: |channel, _, class| channel.client().alloc_plain(channel, class),
        subchannel: SUBCHANNEL_COMPUTE,
        release: Release {
            // Without it the release was seen while grids before it were still at work.
            idle: Some(compute::WAIT_FOR_IDLE),
            operands: compute::SET_REPORT_SEMAPHORE_A,
            execute: compute::SET_REPORT_SEMAPHORE_D,
            quiet: COMPUTE_RELEASE,
            waking: COMPUTE_RELEASE,
        },
        // No AWAKEN: with it the engine needs 70 µs for a submission, else 2.
        interrupts: false,
    },
];

const NVDEC_RELEASE: u32 = semaphore_d::STRUCTURE_SIZE.of(semaphore_d::STRUCTURE_SIZE_FOUR)
    | semaphore_d::OPERATION.of(semaphore_d::OPERATION_RELEASE);
const COPY_RELEASE: u32 = launch_dma::FLUSH_ENABLE.of(1)
    | launch_dma::SEMAPHORE_TYPE.of(launch_dma::SEMAPHORE_TYPE_RELEASE_FOUR_WORD_SEMAPHORE);

/// Without FLUSH_DISABLE: what was written before can be seen with it.
const COMPUTE_RELEASE: u32 = set_report_semaphore_d::OPERATION.of(set_report_semaphore_d::OPERATION_RELEASE)
    | set_report_semaphore_d::STRUCTURE_SIZE.of(set_report_semaphore_d::STRUCTURE_SIZE_FOUR_WORDS);

/// Who is told of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// No one: it is looked at later.
    Nothing,
    /// Hosts that sleep until then, by an interrupt, where the engine raises one that arrives.
    Sleepers,
}

impl EngineRow {
    /// The row of `engine`.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] if no queues are built for its kind.
    pub(crate) fn of(engine: EngineType) -> Result<&'static EngineRow> {
        ENGINES
            .iter()
            .find(|row| row.kind == engine.kind())
            .ok_or_else(|| Error::Unsupported(format!("no channels are built for engines like {engine}")))
    }

    /// Writes a release by the engine's own class.
    #[inline]
    pub(crate) fn release(&self, pb: &mut PushBuffer, address: u64, payload: u32, wake: Wake) {
        let Release { idle, operands, execute, quiet, waking } = self.release;
        if let Some(idle) = idle {
            pb.method(self.subchannel, idle, 0);
        }
        pb.methods(self.subchannel, operands, &[(address >> 32) as u32, address as u32, payload]);
        pb.method(self.subchannel, execute, if wake == Wake::Sleepers { waking } else { quiet });
    }
}

/// Writes an acquire by the host: the channel waits until the semaphore at `address` has reached `payload`, and lets
/// other channels run meanwhile.
pub(crate) fn acquire(pb: &mut PushBuffer, address: u64, payload: u32) {
    let execute = sem_execute::OPERATION.of(sem_execute::OPERATION_ACQ_CIRC_GEQ)
        | sem_execute::ACQUIRE_SWITCH_TSG.of(1);
    // SEM_ADDR_LO to SEM_EXECUTE, one behind the other.
    let words = [address as u32, (address >> 32) as u32, payload, 0, execute];
    pb.methods(SUBCHANNEL_HOST, host::SEM_ADDR_LO, &words);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_releases() {
        let words = |kind, wake| {
            let mut pb = PushBuffer::new();
            let row = EngineRow::of(EngineType::of(kind, 0).unwrap()).unwrap();
            row.release(&mut pb, 0x12_3456_7890, 7, wake);
            pb.words().to_vec()
        };
        // Incrementing, count 3, subchannel 4, SEMAPHORE_A to C; SEMAPHORE_D: release, four words, no AWAKEN.
        let nvdec = [0x2003_8090, 0x12, 0x3456_7890, 7, 0x2001_80c1, 1];
        assert_eq!(words(EngineKind::Nvdec, Wake::Nothing), nvdec);
        assert_eq!(words(EngineKind::Nvdec, Wake::Sleepers), nvdec);
        // SET_SEMAPHORE_A, B and payload; LAUNCH_DMA: no transfer, flush, four words, and an interrupt for sleepers.
        assert_eq!(
            words(EngineKind::Copy, Wake::Nothing),
            [0x2003_8090, 0x12, 0x3456_7890, 7, 0x2001_80c0, 0x14]
        );
        assert_eq!(
            words(EngineKind::Copy, Wake::Sleepers),
            [0x2003_8090, 0x12, 0x3456_7890, 7, 0x2001_80c0, 0x54]
        );
        // WAIT_FOR_IDLE; SET_REPORT_SEMAPHORE_A to D: release, four words.
        let compute = [0x2001_2044, 0, 0x2004_26c0, 0x12, 0x3456_7890, 7, 0];
        assert_eq!(words(EngineKind::Graphics, Wake::Nothing), compute);
        assert_eq!(words(EngineKind::Graphics, Wake::Sleepers), compute);
    }

    #[test]
    fn words_of_an_acquire() {
        let mut pb = PushBuffer::new();
        acquire(&mut pb, 0x12_3456_7890, 7);
        // Host: SEM_ADDR_LO to SEM_EXECUTE, which follows them: ACQ_CIRC_GEQ, switch to others meanwhile.
        assert_eq!(pb.words(), [0x2005_0017, 0x3456_7890, 0x12, 7, 0, 0x1003]);
    }

    #[test]
    fn other_engines_are_refused_by_name() {
        let engine = EngineType::of(EngineKind::Ofa, 0).unwrap();
        let error = EngineRow::of(engine).unwrap_err().to_string();
        assert!(error.contains(&engine.to_string()), "{error}");
    }
}
