//! [`VideoQueue`]: one NVDEC engine. Turns a [`PictureJob`] into methods and submits it.

use std::sync::{Arc, Mutex, PoisonError};

use hcq::pushbuf::SUBCHANNEL_ENGINE;
use hcq::{Device, EngineType, PushBuffer, Queue, SyncPoint};
use nvkernel_sys::video;

use crate::class::VideoClass;
use crate::error::{Error, Result};
use crate::job::PictureJob;
use crate::scheduler::cost::Time;
use crate::surface::pool::Surface;
use crate::uses::Latest;

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

    /// Submits one picture behind everything that it depends on; the uses of its memory are extended by it.
    pub(crate) fn submit(&self, job: &PictureJob<'_>) -> Result<SyncPoint> {
        let mut waits = Latest::default();
        job.add_uses(&mut waits);
        waits.add_all(job.waits);
        self.submit_planned(job, 0, &waits)
    }

    /// As [`submit`](Self::submit), where a scheduler expects the picture to be done at `finish`, and `waits` has what uses
    /// the job's surfaces and motion vectors, and the job's own waits.
    pub(crate) fn submit_planned(
        &self,
        job: &PictureJob<'_>,
        finish: Time,
        waits: &Latest<SyncPoint>,
    ) -> Result<SyncPoint> {
        let point = loop {
            match self.try_submit(job, waits) {
                // Not under the lock: others may still have to look at the queue.
                Err(Error::Gpu(hcq::Error::QueueFull { .. })) => self.queue.wait_for_room()?,
                outcome => break outcome?,
            }
        };
        job.runs_until(&point, finish);
        Ok(point)
    }

    /// Writes the methods and submits them behind `waits`, unless the queue is full.
    fn try_submit(&self, job: &PictureJob<'_>, waits: &Latest<SyncPoint>) -> Result<SyncPoint> {
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let words = &mut *words;
        words.buffer.clear();
        let control = (job.application_id, job.control_params);
        if words.control != Some(control) {
            words.buffer.method(SUBCHANNEL_ENGINE, video::SET_APPLICATION_ID, control.0);
            words.buffer.method(SUBCHANNEL_ENGINE, video::SET_CONTROL_PARAMS, control.1);
        }
        write_methods(&mut words.buffer, job);
        let surfaces = std::iter::once(job.target).chain(job.references()).map(Surface::buffer);
        let buffers = job.buffers.iter().map(|operand| operand.buffer).chain(surfaces);
        // SAFETY: every address written by `write_methods` lies in one of the buffers, whose sizes the
        // codec module computed for the picture that the descriptor states; the engine's accesses follow from
        // the descriptor alone, and damaged slice data cannot make it leave the picture or the tables. Should
        // it do so after all, the MMU ends the channel at the edge of what this process has mapped.
        let point = unsafe { self.queue.submit(waits.as_slice(), &words.buffer, buffers)? };
        words.control = self.class.keeps_control.then_some(control);
        Ok(point)
    }
}

/// The methods of one picture. The engine forgets every address with `EXECUTE`.
fn write_methods(words: &mut PushBuffer, job: &PictureJob<'_>) {
    let mut method = |address: u32, value: u32| {
        words.method(SUBCHANNEL_ENGINE, address, value);
    };
    let page = |address: u64| {
        debug_assert!(address.is_multiple_of(256) && address >> 40 == 0);
        (address >> 8) as u32
    };
    for operand in job.buffers {
        method(operand.method, page(operand.gpu_address()));
    }
    for &(place, surface) in job.pictures {
        method(video::SET_PICTURE_LUMA_OFFSET + 4 * u32::from(place), page(surface.luma_address()));
    }
    for &(place, surface) in job.pictures {
        method(video::SET_PICTURE_CHROMA_OFFSET + 4 * u32::from(place), page(surface.chroma_address()));
    }
    method(video::EXECUTE, 0);
}

#[cfg(test)]
mod tests;
