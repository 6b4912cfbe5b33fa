//! Memory of ours in CUDA, and waits in both directions by words in it.

use std::borrow::Borrow;

use hcq::{CopyCommands, CopyQueue, DeviceBuffer, Outside, Patience, Queue, SyncPoint, WordPoint};

use crate::error::{Error, Result};
use crate::sys::{ExternalMemory, PrimaryContext, Stream};

/// An allocation of ours that CUDA has mapped: the same pages at another address, at the same speed.
///
/// To be made once for a pool of buffers, since an export takes up to a millisecond; what is handed out is a part of it.
/// Dropping it waits until the context is done with what it was given before: when a stream waits for a word that is never
/// written, that is for ever.
#[derive(Debug)]
pub struct Imported {
    // CUDA's mapping before our memory.
    memory: ExternalMemory,
    pool: DeviceBuffer,
}

impl Imported {
    /// Has CUDA map the whole allocation that `pool` is a part of.
    ///
    /// # Errors
    ///
    /// [`Error::Hcq`] if it cannot be exported ([`hcq::DeviceBuffer::export`]), [`Error::Cuda`] if CUDA refuses, as it
    /// does with memory of another GPU.
    pub fn new(context: &PrimaryContext, pool: &DeviceBuffer) -> Result<Imported> {
        let exported = pool.export()?;
        let memory = ExternalMemory::import(context, exported.fd, exported.size)?;
        Ok(Imported { memory, pool: pool.clone() })
    }

    /// The mapping.
    pub fn memory(&self) -> &ExternalMemory {
        &self.memory
    }

    /// Where `buffer` begins in the allocation, if it is a part of it.
    ///
    /// # Errors
    ///
    /// [`Error::Outside`] if it is a part of another one.
    pub fn offset(&self, buffer: &DeviceBuffer) -> Result<u64> {
        if buffer.same_allocation(&self.pool) {
            return Ok(buffer.offset_in_allocation());
        }
        Err(Error::Outside { what: format!("{buffer:?}") })
    }

    /// CUDA's address of `buffer`.
    ///
    /// # Errors
    ///
    /// As [`offset`](Self::offset).
    pub fn pointer(&self, buffer: &DeviceBuffer) -> Result<u64> {
        self.memory.at(self.offset(buffer)?, buffer.size())
    }

    /// Has `stream` wait, on the GPU, for work of ours. Nothing that it is told afterwards begins before that.
    ///
    /// The work was submitted before, so that this ends by itself. Until then calls that wait for the whole context wait
    /// as well: `cuMemFree`, the first launch of a kernel, see `docs/interop.md`.
    ///
    /// # Errors
    ///
    /// [`Error::Outside`] if the word lies in another allocation; [`Error::Cuda`].
    pub fn wait(&self, stream: &Stream, promised: &Promised) -> Result<()> {
        let signal = promised.signal();
        stream.wait_word(&self.memory, self.offset(signal.word().buffer())?, signal.value())
    }

    /// Has `stream` write a word, behind all that it was told before: a queue of ours that
    /// [waits](hcq::Outside::waits) for `point` then goes on. Call this before that is submitted.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn write(&self, stream: &Stream, point: &WordPoint) -> Result<()> {
        stream.write_word(&self.memory, self.offset(point.word().buffer())?, point.value())
    }
}

/// A word that will be written by work that *was submitted*: the only thing that a stream of CUDA can be told to wait for
/// here. A stream that waits for what is submitted later can stop the very thread that would submit it, in a call of CUDA
/// that waits for the context.
#[derive(Clone, Debug)]
pub struct Promised {
    point: SyncPoint,
    /// What it comes behind.
    waits: Vec<SyncPoint>,
    signal: WordPoint,
}

impl Promised {
    /// Has a queue write `signal` when all `waits` are reached, and what was submitted to it before is over. For work of
    /// whatever queues of the device, which need not know of it.
    ///
    /// # Errors
    ///
    /// Those of [`hcq::Queue::mark_with`], of which [`hcq::Error::QueueFull`] can be tried again.
    pub fn mark(queue: &Queue, waits: &[SyncPoint], signal: WordPoint) -> Result<Promised> {
        let signals = std::slice::from_ref(&signal);
        let point = queue.mark_with(waits, Outside { waits: &[], signals })?;
        Ok(Promised { point, waits: waits.to_vec(), signal })
    }

    /// Submits copies behind `waits` and words that others write, with `signal` at their end.
    ///
    /// # Errors
    ///
    /// Those of [`hcq::CopyQueue::submit_with`].
    pub fn copy(
        queue: &CopyQueue,
        waits: &[SyncPoint],
        words: &[WordPoint],
        commands: impl Borrow<CopyCommands>,
        signal: WordPoint,
    ) -> Result<Promised> {
        let signals = std::slice::from_ref(&signal);
        let point = queue.submit_with(waits, Outside { waits: words, signals }, commands)?;
        Ok(Promised { point, waits: waits.to_vec(), signal })
    }

    /// Our own point of the work.
    pub fn point(&self) -> &SyncPoint {
        &self.point
    }

    /// The word and its value.
    pub fn signal(&self) -> &WordPoint {
        &self.signal
    }

    /// Waits on the host for the work; should it be lost with its queue, writes the word in its place, so that streams
    /// that wait for it go on, and says so: what they read then is not what was promised. What the work was to come behind is waited
    /// for first, since it may be what the streams read. Of several promises of one word, settle them in their order.
    ///
    /// # Errors
    ///
    /// Those of [`hcq::SyncPoint::wait`]. After [`hcq::Error::Stalled`] nothing was written: the work may still come to
    /// its end, or the queue has to be [reset](hcq::Queue::reset) first.
    pub fn settle(&self, patience: impl Into<Patience>) -> Result<()> {
        let patience = patience.into();
        let outcome = self.point.wait(patience);
        if let Err(hcq::Error::ChannelFault { .. }) = &outcome {
            for point in &self.waits {
                match point.wait(patience) {
                    // It comes to nothing more.
                    Ok(()) | Err(hcq::Error::ChannelFault { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            self.signal.word().store(self.signal.value())?;
        }
        Ok(outcome?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use hcq::kernel::emulated::{EmulatedKernel, GpuModel, LaunchFault};
    use hcq::{Device, Placement, SharedWord};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_promise_is_kept_or_settled() {
        let kernel = EmulatedKernel::new(GpuModel::h200()).unwrap();
        let device = Device::open(Arc::new(kernel.clone()), 0).unwrap();
        let queue = CopyQueue::new(&device, None).unwrap();
        let buffer = device.allocate(4096, Placement::Sysmem).unwrap();
        let word = SharedWord::new(&buffer, 0).unwrap();
        word.store(0).unwrap();
        let promised = Promised::mark(queue.queue(), &[], word.at(1)).unwrap();
        promised.settle(LONG).unwrap();
        assert_eq!((word.load().unwrap(), promised.point().value()), (1, 1));

        kernel.faults().fault_next_launch(0, queue.queue().engine(), LaunchFault::Engine);
        let mut commands = CopyCommands::new();
        commands.fill(&buffer.slice(64, 64), 7).unwrap();
        let lost = Promised::copy(&queue, &[], &[word.at(1)], commands, word.at(2)).unwrap();
        assert!(matches!(lost.settle(LONG), Err(Error::Hcq(hcq::Error::ChannelFault { .. }))));
        assert_eq!(word.load().unwrap(), 2, "who waits for it goes on");
    }

    /// A queue that dies says nothing of what others do, which may be what is read.
    #[test]
    fn what_comes_before_a_lost_promise_is_waited_for() {
        let kernel = EmulatedKernel::new(GpuModel::h200()).unwrap();
        let device = Device::open(Arc::new(kernel.clone()), 0).unwrap();
        let engines = device.engines_of(hcq::EngineKind::Copy).unwrap();
        let (works, signals) =
            (CopyQueue::new(&device, Some(engines[0])), CopyQueue::new(&device, Some(engines[1])));
        let (works, signals) = (works.unwrap(), signals.unwrap());
        let buffer = device.allocate(4096, Placement::Sysmem).unwrap();
        let word = SharedWord::new(&buffer, 0).unwrap();
        word.store(0).unwrap();
        kernel.faults().stall(0, engines[0]);
        let work = works.submit(&[], CopyCommands::new()).unwrap();
        kernel.faults().fault_next_launch(0, engines[1], LaunchFault::Engine);
        let mut commands = CopyCommands::new();
        commands.fill(&buffer.slice(64, 64), 7).unwrap();
        let dead = signals.submit(&[], commands).unwrap();
        assert!(matches!(dead.wait(LONG), Err(hcq::Error::ChannelFault { .. })));
        let point = dead.clone();
        let lost = Promised { point, waits: vec![work.clone()], signal: word.at(1) };
        std::thread::scope(|scope| {
            let settled = scope.spawn(|| lost.settle(LONG));
            std::thread::sleep(Duration::from_millis(50));
            assert_eq!(word.load().unwrap(), 0, "what it comes behind is not there");
            kernel.faults().resume(0, engines[0]);
            assert!(matches!(settled.join().unwrap(), Err(Error::Hcq(hcq::Error::ChannelFault { .. }))));
        });
        assert!(work.is_reached() && word.load().unwrap() == 1);
    }
}
