//! [`Context`]: one GPU opened for decoding, with what its sessions share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use hcq::{CopyCommands, CopyQueue, Device, DeviceBuffer, EngineKind, EngineType, Placement, SyncPoint};

use crate::class::{VIDEO_CLASSES, VideoClass};
use crate::error::{Error, Result};
use crate::queue::VideoQueue;

/// A GPU with its video class, one queue per engine in use, and a copy queue. Sessions share all of them;
/// each is made when first needed.
#[derive(Debug)]
pub struct Context {
    device: Device,
    class: &'static VideoClass,
    engines: Vec<EngineType>,
    copy: OnceLock<CopyQueue>,
    queues: Mutex<BTreeMap<EngineType, Arc<VideoQueue>>>,
}

impl Context {
    /// Looks at the engines and classes of `device`; allocates nothing yet.
    ///
    /// # Errors
    ///
    /// [`Error::Hardware`] if the GPU has no NVDEC, or one of a class that is not known.
    pub fn new(device: Device) -> Result<Arc<Context>> {
        let engines = device.engines_of(EngineKind::Nvdec)?;
        if engines.is_empty() {
            return Err(Error::Hardware("the GPU has no NVDEC engine".into()));
        }
        let offered = device.classes()?;
        let class = VIDEO_CLASSES.iter().find(|row| offered.contains(&row.class)).ok_or_else(|| {
            Error::Hardware(format!(
                "none of the GPU's {} classes is a video decoder class that is known",
                offered.len()
            ))
        })?;
        Ok(Arc::new(Context { device, class, engines, copy: OnceLock::new(), queues: Mutex::default() }))
    }

    /// The GPU.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Row of the GPU's video class.
    pub fn class(&self) -> &'static VideoClass {
        self.class
    }

    /// The NVDEC engines that exist, in ascending order. Numbers may start above 0 and have holes.
    pub fn engines(&self) -> &[EngineType] {
        &self.engines
    }

    /// The copy queue that clears and detiles surfaces.
    pub fn copy_queue(&self) -> Result<&CopyQueue> {
        if let Some(copy) = self.copy.get() {
            return Ok(copy);
        }
        let copy = CopyQueue::new(&self.device, None)?;
        Ok(self.copy.get_or_init(|| copy))
    }

    /// Lets go of what finished copies held.
    pub(crate) fn trim(&self) {
        if let Some(copy) = self.copy.get() {
            copy.queue().trim();
        }
    }

    /// GPU memory filled with a repeated word, with the point at which it is. Fresh memory may hold what another
    /// program left there.
    pub(crate) fn allocate_filled(&self, size: u64, word: u32) -> Result<(DeviceBuffer, SyncPoint)> {
        let memory = self.device.allocate(size.next_multiple_of(4), Placement::Vidmem)?;
        let mut commands = CopyCommands::new();
        commands.fill(&memory, word)?;
        let filled = self.copy_queue()?.submit(&[], commands)?;
        Ok((memory, filled))
    }

    /// The queue of `engine`, or of the engine with the least work if none is named.
    pub fn video_queue(&self, engine: Option<EngineType>) -> Result<Arc<VideoQueue>> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let engine = match engine {
            Some(engine) if self.engines.contains(&engine) => engine,
            Some(engine) => {
                let present: Vec<_> = self.engines.iter().map(|e| e.to_string()).collect();
                return Err(Error::Hardware(format!(
                    "the GPU has no {engine}; it has {}",
                    present.join(", ")
                )));
            }
            None => *self
                .engines
                .iter()
                .min_by_key(|e| {
                    queues.get(e).map_or((0, 0), |q| (Arc::strong_count(q), q.queue().depth() as usize))
                })
                .expect("a context has at least one engine"),
        };
        // A dead queue is replaced: the channel is lost, the engine is not.
        if let Some(queue) = queues.get(&engine).filter(|queue| queue.queue().fault().is_none()) {
            return Ok(queue.clone());
        }
        let queue = Arc::new(VideoQueue::new(&self.device, engine, self.class)?);
        queues.insert(engine, queue.clone());
        Ok(queue)
    }
}
