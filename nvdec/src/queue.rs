//! [`VideoQueue`]: one NVDEC engine.

use std::sync::{Arc, Mutex, PoisonError};

use hcq::pushbuf::SUBCHANNEL_ENGINE;
use hcq::{Device, DeviceBuffer, EngineType, PushBuffer, Queue, SyncPoint};
use nvkernel_sys::video;

use crate::class::VideoClass;
use crate::error::Result;

/// A queue on an NVDEC engine, shared by all sessions that use the engine.
#[derive(Debug)]
pub struct VideoQueue {
    queue: Arc<Queue>,
    class: VideoClass,
    words: Mutex<Words>,
}

#[derive(Debug, Default)]
struct Words {
    buffer: PushBuffer,
    /// Application and control word that the engine has, on classes that keep them.
    control: Option<(u32, u32)>,
}

impl VideoQueue {
    pub(crate) fn new(device: &Device, engine: EngineType, class: VideoClass) -> Result<Self> {
        Ok(VideoQueue { queue: Queue::new(device, engine, class.class)?, class, words: Mutex::default() })
    }

    /// The queue below.
    pub fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// The engine.
    pub fn engine(&self) -> EngineType {
        self.queue.engine()
    }

    /// Row of the engine's class.
    pub fn class(&self) -> &VideoClass {
        &self.class
    }

    /// Submits what `write` writes behind `waits`, with the application and control word before it where the engine has
    /// others. Waits while the queue is full.
    ///
    /// # Safety
    ///
    /// That of [`Queue::submit`], for what `write` writes.
    pub(crate) unsafe fn submit<'a>(
        &self,
        control: (u32, u32),
        waits: &[SyncPoint],
        buffers: impl Iterator<Item = &'a DeviceBuffer> + Clone,
        write: impl Fn(&mut PushBuffer),
    ) -> Result<SyncPoint> {
        loop {
            let mut guard = self.words.lock().unwrap_or_else(PoisonError::into_inner);
            let words = &mut *guard;
            words.buffer.clear();
            if words.control != Some(control) {
                words.buffer.method(SUBCHANNEL_ENGINE, video::SET_APPLICATION_ID, control.0);
                words.buffer.method(SUBCHANNEL_ENGINE, video::SET_CONTROL_PARAMS, control.1);
            }
            write(&mut words.buffer);
            // SAFETY: passed on with the caller's own promise; the two methods above hold no address.
            match unsafe { self.queue.submit(waits, &words.buffer, buffers.clone()) } {
                Err(hcq::Error::QueueFull { .. }) => {}
                outcome => {
                    let point = outcome?;
                    words.control = self.class.keeps_control.then_some(control);
                    return Ok(point);
                }
            }
            // Others may still have to look at the queue.
            drop(guard);
            self.queue.wait_for_room()?;
        }
    }
}
