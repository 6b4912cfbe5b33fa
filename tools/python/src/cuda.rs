//! [`Cuda`]: the side of CUDA of a GPU, made when the first tensor goes there.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hcq::{CopyQueue, Device, Patience, Placement, SharedWord, SyncPoint};
use nvdec_cuda::{Event, Imported, PrimaryContext, Promised, Stream};

use crate::capsule;
use crate::door::lock;
use crate::error::{Failure, Kind, Result};

/// The primary context, and a word by which its streams wait for our queues.
#[derive(Debug)]
pub(crate) struct Cuda {
    context: PrimaryContext,
    signals: Mutex<Signals>,
}

/// A queue that only signals: conversions do not stand behind what a tensor waits for. Its word counts tensors that are there.
#[derive(Debug)]
struct Signals {
    queue: CopyQueue,
    word: SharedWord,
    imported: Arc<Imported>,
    last: u32,
    /// Of tensors that are not there yet: one point for each queue that works on them.
    pending: Vec<SyncPoint>,
}

/// How long an engine may stand still before tensors that streams wait for.
const PATIENCE: Patience = Patience::WithoutProgress(Duration::from_secs(60));
/// Far ahead on a circle, and less than half of it.
const FAR: u32 = 1 << 30;

impl Signals {
    fn new(device: &Device, context: &PrimaryContext) -> Result<Signals> {
        // Nobody who has a tensor has this memory.
        let words = device.allocate(4096, Placement::Sysmem)?;
        let word = SharedWord::new(&words, 0)?;
        word.store(0)?;
        let imported = Arc::new(Imported::new(context, &words)?);
        Ok(Signals { queue: CopyQueue::new(device, None)?, word, imported, last: 0, pending: Vec::new() })
    }

    /// Has `stream` wait for `ready`. What it waits for was submitted before: `Promised` sees to that.
    fn wait(&mut self, stream: &Stream, ready: &[SyncPoint]) -> Result<()> {
        let value = self.last.wrapping_add(1);
        let queue = self.queue.queue();
        let promised = loop {
            match Promised::mark(queue, ready, self.word.at(value)) {
                Err(nvdec_cuda::Error::Hcq(hcq::Error::QueueFull { .. })) => queue.wait_for_room()?,
                promised => break promised?,
            }
        };
        self.last = value;
        self.pending.retain(|known| !known.is_reached());
        for point in ready {
            match self.pending.iter_mut().find(|known| Arc::ptr_eq(known.timeline(), point.timeline())) {
                Some(known) if known.value() >= point.value() => {}
                Some(known) => known.clone_from(point),
                None => self.pending.push(point.clone()),
            }
        }
        self.imported.wait(stream, &promised)?;
        Ok(())
    }

    /// Has the streams go on that wait for a queue that died. It is the queue of the signals alone: tensors may still be on their way,
    /// and streams that went on before would read what lies there.
    fn release(&self) -> Result<()> {
        for point in &self.pending {
            match point.wait(PATIENCE) {
                // Whoever asks for the pictures is told.
                Ok(()) | Err(hcq::Error::ChannelFault { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.word.store(self.last.wrapping_add(FAR))?)
    }
}

impl Cuda {
    /// `ordinal` is the number that the device was asked for by.
    pub(crate) fn new(device: &Device, ordinal: Option<i32>) -> Result<Cuda> {
        let cuda = nvdec_cuda::Cuda::load()?;
        let found = cuda.device_of(device)?;
        if let Some(ordinal) = ordinal.filter(|&ordinal| ordinal != found.ordinal) {
            let text = format!(
                "cuda:{ordinal} was taken for the GPU at {}, which CUDA calls cuda:{}; open that, or nv:{}, or set \
                 CUDA_DEVICE_ORDER=PCI_BUS_ID",
                found.pci_address,
                found.ordinal,
                device.info().index
            );
            return Err(Failure::new(Kind::Device, text));
        }
        let context = cuda.context(found.ordinal)?;
        let signals = Mutex::new(Signals::new(device, &context)?);
        Ok(Cuda { context, signals })
    }

    pub(crate) fn context(&self) -> &PrimaryContext {
        &self.context
    }

    /// Has the stream of that handle wait on the GPU until all of `ready` are reached.
    pub(crate) fn wait_on(&self, device: &Device, stream: u64, ready: &[SyncPoint]) -> Result<()> {
        let waits: Vec<SyncPoint> = ready.iter().filter(|point| !point.is_reached()).cloned().collect();
        if waits.is_empty() {
            return Ok(());
        }
        let stream = capsule::stream(&self.context, stream);
        let mut signals = lock(&self.signals);
        if signals.queue.queue().fault().is_some() {
            signals.release()?;
            *signals = Signals::new(device, &self.context)?;
        }
        signals.wait(&stream, &waits)
    }

    /// An event behind all that the stream of that handle has to do now: `spare`, which nobody needs as it is, or a new one.
    pub(crate) fn event_on(&self, stream: u64, spare: Option<Event>) -> Result<Event> {
        let event = spare.map_or_else(|| self.context.new_event(), Ok)?;
        event.record(&capsule::stream(&self.context, stream))?;
        Ok(event)
    }
}
