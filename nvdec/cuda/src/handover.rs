//! [`Handover`]: work that goes from our queues to a stream of CUDA and back, with the GPU waiting in both directions.

use std::collections::VecDeque;
use std::time::Duration;

use hcq::{CopyQueue, Device, Outside, Patience, Placement, SharedWord, SyncPoint};

use crate::error::{Error, Result};
use crate::shared::{Imported, Promised};
use crate::sys::{PrimaryContext, Stream};

/// Bytes of the words; CUDA maps no less.
const WORDS: u64 = 4096;
/// Bytes from one word to the next.
const STEP: u64 = 16;
/// Words by which streams say that they are done: all but the first.
const SLOTS: usize = (WORDS / STEP) as usize - 1;
/// How long a queue may stand still where the host has to wait for it: for as long as a stream may be at something else.
const STANDING: Patience = Patience::WithoutProgress(Duration::from_secs(10));

/// Has streams of CUDA wait for our queues, and our queues for streams, in the order in which nothing can stand still for
/// ever: what signals is submitted before anybody is told to wait for it.
///
/// It has two queues of its own on a copy engine, so that what waits for CUDA holds up nothing else of ours, and nothing of
/// it runs on the engine that kernels run on. Any stream of the context can be given to any call; what one of them is slow
/// with holds up what others were told later.
///
/// ```no_run
/// # fn f(context: &nvdec_cuda::PrimaryContext, tensor: &nvdec::tensor::Tensor, device: &hcq::Device) -> nvdec_cuda::Result<()> {
/// let mut handover = nvdec_cuda::Handover::new(context, device)?;
/// let stream = context.new_stream()?;
/// handover.begin(&stream, tensor.ready())?;
/// // Kernels that read the tensor, on the stream.
/// tensor.use_until(&handover.end(&stream)?)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Handover {
    // Field order is drop order: CUDA unmaps the words behind its work, so that our queue has what it waits for.
    words: Imported,
    ready: SharedWord,
    done: Vec<SharedWord>,
    device: Device,
    /// Signals to streams.
    ours: CopyQueue,
    /// Waits for streams.
    theirs: CopyQueue,
    /// The last value for streams, and for us.
    promised: u32,
    returned: u32,
    /// Those that are not known to be kept, in their order.
    open: VecDeque<Promised>,
    /// What waits for each word of `done`.
    waiting: Vec<Option<SyncPoint>>,
    /// The next one of them.
    slot: usize,
}

impl Handover {
    /// Between queues of `device` and streams of `context`, which is a context on the same GPU.
    ///
    /// # Errors
    ///
    /// [`Error::Hcq`] if there is no memory or no channel, [`Error::Cuda`] if CUDA cannot map the memory.
    pub fn new(context: &PrimaryContext, device: &Device) -> Result<Handover> {
        let memory = device.allocate(WORDS, Placement::Vidmem)?;
        memory.view()?.fill(0, WORDS as usize, 0);
        let mut all = (0..WORDS / STEP).map(|number| SharedWord::new(&memory, number * STEP));
        let ready = all.next().expect("there is more than one")?;
        let done = all.collect::<hcq::Result<_>>()?;
        Ok(Handover {
            words: Imported::new(context, &memory)?,
            ready,
            done,
            device: device.clone(),
            ours: CopyQueue::new(device, None)?,
            theirs: CopyQueue::new(device, None)?,
            promised: 0,
            returned: 0,
            open: VecDeque::new(),
            waiting: vec![None; SLOTS],
            slot: 0,
        })
    }

    /// Has `stream` wait for `points`, on the GPU: what it is told afterwards begins behind them. Points that are reached
    /// cost nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Capturing`] for a stream that records a graph; [`Error::Hcq`] if a point is of another device, or our queue
    /// cannot be told; [`Error::Cuda`].
    pub fn begin(&mut self, stream: &Stream, points: &[SyncPoint]) -> Result<()> {
        if stream.is_capturing()? {
            return Err(Error::Capturing);
        }
        self.forget_kept()?;
        let points = latest(points);
        if points.is_empty() {
            return Ok(());
        }
        let promised = self.promise(&points)?;
        self.open.push_back(promised.clone());
        self.words.wait(stream, &promised)
    }

    /// A point that is reached when `stream` has done what it was told so far. Until then memory that it works in is in use.
    ///
    /// # Errors
    ///
    /// [`Error::Capturing`] for a stream that records a graph. [`Error::Cuda`], or [`Error::Hcq`] if our queue cannot be
    /// told: then the host has waited for the stream, and nothing on it works any more.
    pub fn end(&mut self, stream: &Stream) -> Result<SyncPoint> {
        if stream.is_capturing()? {
            return Err(Error::Capturing);
        }
        self.release(stream).inspect_err(|_| {
            // Who gets no point thinks that the memory is free.
            if let Err(error) = stream.synchronize() {
                log::warn!("a stream could not be waited for: {error}");
            }
        })
    }

    fn release(&mut self, stream: &Stream) -> Result<SyncPoint> {
        let slot = self.slot;
        if let Some(before) = &self.waiting[slot] {
            // So far ahead of the GPU nobody has to be.
            match before.wait(STANDING) {
                Ok(()) | Err(hcq::Error::ChannelFault { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let value = self.returned.wrapping_add(1);
        let done = self.done[slot].at(value);
        // First the stream is told to write, then our queue to wait.
        self.words.write(stream, &done)?;
        (self.returned, self.slot) = (value, (slot + 1) % SLOTS);
        let waits = [done];
        let mut tries = 0;
        let point = loop {
            match self.theirs.queue().mark_with(&[], Outside { waits: &waits, signals: &[] }) {
                Err(hcq::Error::QueueFull { .. }) => self.theirs.queue().wait_for_room()?,
                // It died of something else; all that it waited for counts as over.
                Err(hcq::Error::ChannelFault { .. }) if tries == 0 => {
                    tries += 1;
                    self.theirs = CopyQueue::new(&self.device, None)?;
                }
                marked => break marked?,
            }
        };
        self.waiting[slot] = Some(point.clone());
        Ok(point)
    }

    /// Waits on the host for what streams were told to wait for. Should our queue have died, the words are written in its
    /// place, when what the streams wait for is there: they go on, and read what they were promised.
    ///
    /// Each call of [`begin`](Self::begin) looks after that as well. This is for those who are about to wait on the host for
    /// a stream, and would not come to the next call.
    ///
    /// # Errors
    ///
    /// Those of [`Promised::settle`], but for the loss of our queue, which has no consequence then.
    pub fn settle(&mut self, patience: impl Into<Patience>) -> Result<()> {
        let patience = patience.into();
        while let Some(promised) = self.open.front() {
            match promised.settle(patience) {
                Ok(()) => {}
                Err(Error::Hcq(error @ hcq::Error::ChannelFault { .. })) => {
                    log::warn!("{error}; a stream of CUDA was let go on by the host");
                }
                Err(error) => return Err(error),
            }
            self.open.pop_front();
        }
        Ok(())
    }

    /// The words, for the streams of a caller's own that wait for them.
    #[cfg(test)]
    pub(crate) fn ours(&self) -> &CopyQueue {
        &self.ours
    }

    /// Forgets promises that are kept. One that was lost is settled, and those behind it.
    fn forget_kept(&mut self) -> Result<()> {
        while let Some(promised) = self.open.front().filter(|promised| promised.point().is_reached()) {
            // Reached, it is not waited for: this says whether it was lost.
            match promised.point().wait(Duration::ZERO) {
                Ok(()) => drop(self.open.pop_front()),
                Err(_) => return self.settle(STANDING),
            }
        }
        Ok(())
    }

    /// Submits what a stream can be told to wait for.
    fn promise(&mut self, points: &[SyncPoint]) -> Result<Promised> {
        let value = self.promised.wrapping_add(1);
        let mut tries = 0;
        let promised = loop {
            match Promised::mark(self.ours.queue(), points, self.ready.at(value)) {
                Err(Error::Hcq(hcq::Error::QueueFull { .. })) => self.ours.queue().wait_for_room()?,
                Err(Error::Hcq(hcq::Error::ChannelFault { .. })) if tries == 0 => {
                    tries += 1;
                    // The word has one writer at a time: what the dead one owes is written before another one begins.
                    self.settle(STANDING)?;
                    self.ours = CopyQueue::new(&self.device, None)?;
                }
                promised => break promised?,
            }
        };
        self.promised = value;
        Ok(promised)
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        // Streams go on, and CUDA comes to unmap the words.
        if let Err(error) = self.settle(STANDING) {
            log::warn!("{error}");
        }
    }
}

/// Those that are not reached, the last one of each timeline.
fn latest(points: &[SyncPoint]) -> Vec<SyncPoint> {
    let mut latest: Vec<SyncPoint> = Vec::new();
    for point in points.iter().filter(|point| !point.is_reached()) {
        match latest.iter_mut().find(|known| known.timeline().id() == point.timeline().id()) {
            Some(known) if known.value() >= point.value() => {}
            Some(known) => known.clone_from(point),
            None => latest.push(point.clone()),
        }
    }
    latest
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hcq::CopyCommands;

    use super::*;
    use crate::sys::model::{self, Told};

    const LONG: Duration = Duration::from_secs(60);

    /// A stream that waits for a queue of ours which is no more goes on, and not before what it waits for is there.
    #[test]
    fn a_stream_goes_on_when_our_queue_is_lost() {
        let kernel = nvdec::emulated::h200().unwrap();
        let device = Device::open(Arc::new(kernel.clone()), 0).unwrap();
        let context = model::context(&kernel);
        let engines = device.engines_of(hcq::EngineKind::Copy).unwrap();
        let works = CopyQueue::new(&device, Some(engines[0])).unwrap();
        let mut handover = Handover::new(&context, &device).unwrap();
        let stream = context.new_stream().unwrap();
        model::hold(true);
        kernel.faults().stall(0, engines[0]);
        let work = works.submit(&[], CopyCommands::new()).unwrap();
        handover.begin(&stream, std::slice::from_ref(&work)).unwrap();
        let point = handover.end(&stream).unwrap();
        handover.ours().queue().reset().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(50));
                kernel.faults().resume(0, engines[0]);
            });
            // The next call finds it out, and has another queue.
            let other = CopyQueue::new(&device, Some(engines[1])).unwrap();
            kernel.faults().stall(0, engines[1]);
            let more = other.submit(&[], CopyCommands::new()).unwrap();
            handover.begin(&stream, &[more]).unwrap();
            assert!(work.is_reached() && !point.is_reached());
            assert_eq!(handover.ready.load().unwrap(), 1);
            kernel.faults().resume(0, engines[1]);
        });
        let last = handover.end(&stream).unwrap();
        handover.settle(LONG).unwrap();
        assert_eq!(handover.ready.load().unwrap(), 2);
        assert_eq!(model::told(), [Told::Wait(1), Told::Write(1), Told::Wait(2), Told::Write(2)]);
        model::hold(false);
        last.wait(LONG).unwrap();
        assert!(point.is_reached());
    }

    #[test]
    fn words_are_used_again() {
        let kernel = nvdec::emulated::h200().unwrap();
        let device = Device::open(Arc::new(kernel.clone()), 0).unwrap();
        let context = model::context(&kernel);
        let mut handover = Handover::new(&context, &device).unwrap();
        let stream = context.new_stream().unwrap();
        let mut last = None;
        for _ in 0..2 * SLOTS + 3 {
            last = Some(handover.end(&stream).unwrap());
        }
        last.unwrap().wait(LONG).unwrap();
        assert_eq!(handover.done[2].load().unwrap() as usize, 2 * SLOTS + 3);
        assert_eq!(handover.ready.load().unwrap(), 0);
    }
}
