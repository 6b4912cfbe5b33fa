//! [`Session`]: the codec-independent part of a decoder. Uploads, status, pictures in flight.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hcq::{DeviceBuffer, EngineType, Placement, SyncPoint};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::job::PictureJob;
use crate::queue::{Submission, VideoQueue};
use crate::status::{self, DecodeStatus, PictureFault, STATUS_BYTES};
use crate::upload::UploadRing;

/// Errors kept for a caller who does not take them.
const MAX_ERRORS: usize = 1024;
/// Pictures whose status memory exists at once.
const STATUS_SLOTS: u64 = 64;
/// How long a picture may take before its engine counts as stuck. The engine's own timer ends a picture long
/// before.
pub(crate) const PICTURE_TIMEOUT: Duration = Duration::from_secs(10);

/// One stream's use of the GPU: which engine, what is uploaded, what is in flight.
#[derive(Debug)]
pub struct Session {
    context: Arc<Context>,
    queue: Arc<VideoQueue>,
    pub(crate) upload: UploadRing,
    status: DeviceBuffer,
    free_slots: Vec<u64>,
    inflight: VecDeque<(u64, Arc<PictureRecord>)>,
    submitted: u64,
    finished: Statistics,
    failed: VecDeque<Error>,
    observer: Option<Box<dyn Observer>>,
}

/// Watches what a session submits, for tools that record it.
pub trait Observer: std::fmt::Debug + Send {
    /// A picture was submitted.
    ///
    /// The host memory among the job's buffers keeps what the engine reads from it until this returns, and the
    /// surfaces stay what they are for as long as the observer holds them and says until when it reads them
    /// ([`Surface::use_until`](crate::Surface::use_until)).
    fn submitted(&mut self, job: &PictureJob, submission: &Submission, record: &Arc<PictureRecord>);
}

/// Sums over the pictures of a session that are complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Pictures that the engine finished.
    pub pictures: u64,
    /// Of these, pictures with an error.
    pub pictures_in_error: u64,
    /// Engine time in clock cycles.
    pub engine_cycles: u64,
    /// Bytes of slice data, start codes included.
    pub bitstream_bytes: u64,
}

/// What is known of one picture: who it is, when it is done, how it went.
#[derive(Debug)]
pub struct PictureRecord {
    /// Position in decoding order.
    pub number: u64,
    /// Picture order count.
    pub poc: i32,
    blocks: u32,
    memory: DeviceBuffer,
    point: OnceLock<SyncPoint>,
    outcome: OnceLock<(DecodeStatus, Result<(), PictureFault>)>,
}

impl PictureRecord {
    /// The engine's status and verdict, or `None` while the engine is at work.
    pub fn outcome(&self) -> Option<(DecodeStatus, Result<(), PictureFault>)> {
        if let Some(outcome) = self.outcome.get() {
            return Some(*outcome);
        }
        self.point.get().filter(|point| point.is_reached())?;
        let view = self.memory.view().ok()?;
        // The session reads through the same cell before it gives the memory to another picture.
        Some(*self.outcome.get_or_init(|| status::read(view, self.blocks)))
    }
}

impl Session {
    /// A session on `engine`, or on the engine with the least work.
    pub fn new(context: &Arc<Context>, engine: Option<EngineType>) -> Result<Session> {
        let queue = context.video_queue(engine)?;
        let upload = UploadRing::new(context.device())?;
        // In GPU memory: the engine reads and writes it several times a picture, the host once.
        let status = context.device().allocate(STATUS_SLOTS * STATUS_BYTES, Placement::Vidmem)?;
        Ok(Session {
            context: context.clone(),
            queue,
            upload,
            status,
            free_slots: (0..STATUS_SLOTS).rev().collect(),
            inflight: VecDeque::new(),
            submitted: 0,
            finished: Statistics::default(),
            failed: VecDeque::new(),
            observer: None,
        })
    }

    /// The GPU and what is shared on it.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// The engine's queue.
    pub fn queue(&self) -> &Arc<VideoQueue> {
        &self.queue
    }

    /// Has all further submissions watched.
    pub fn observe(&mut self, observer: Box<dyn Observer>) {
        self.observer = Some(observer);
    }

    /// Sums over all complete pictures.
    pub fn statistics(&mut self) -> Statistics {
        self.retire();
        self.finished
    }

    /// The next picture that went wrong, in decoding order.
    pub fn take_error(&mut self) -> Option<Error> {
        self.retire();
        self.failed.pop_front()
    }

    /// Status memory for a picture about to be submitted. Waits for older pictures if all is in use.
    pub(crate) fn record(&mut self, poc: i32, blocks: u32) -> Result<(u64, Arc<PictureRecord>)> {
        self.retire();
        if self.free_slots.is_empty() {
            // A quarter at once: waking up costs more than looking.
            let (_, record) = &self.inflight[self.inflight.len() / 4];
            if let Some(point) = record.point.get() {
                point.wait(PICTURE_TIMEOUT)?;
            }
            self.retire();
        }
        let slot = self.free_slots.pop().expect("a slot was freed");
        let memory = self.status.slice(slot * STATUS_BYTES, STATUS_BYTES);
        status::clear(memory.view()?);
        let record = PictureRecord {
            number: self.submitted,
            poc,
            blocks,
            memory,
            point: OnceLock::new(),
            outcome: OnceLock::new(),
        };
        Ok((slot, Arc::new(record)))
    }

    /// GPU memory of a record's status.
    pub(crate) fn status_buffer(record: &PictureRecord) -> DeviceBuffer {
        record.memory.clone()
    }

    /// Submits a picture whose slice data is the open chunk of the upload ring.
    pub(crate) fn submit(
        &mut self,
        job: &PictureJob,
        slot: u64,
        record: &Arc<PictureRecord>,
        bytes: u64,
    ) -> Result<SyncPoint> {
        let submission = self.queue.submit(job)?;
        if let Some(observer) = &mut self.observer {
            observer.submitted(job, &submission, record);
        }
        let point = submission.point;
        self.upload.close(point.clone());
        record.point.set(point.clone()).expect("a record is submitted once");
        self.inflight.push_back((slot, record.clone()));
        self.submitted += 1;
        self.finished.bitstream_bytes += bytes;
        Ok(point)
    }

    /// Gives a record's status memory back when its picture was not submitted after all.
    pub(crate) fn abandon(&mut self, slot: u64) {
        self.free_slots.push(slot);
    }

    /// Waits for all pictures in flight.
    pub fn finish(&mut self) -> Result<()> {
        if let Some(point) = self.inflight.back().and_then(|(_, last)| last.point.get()) {
            point.wait(PICTURE_TIMEOUT)?;
        }
        self.retire();
        Ok(())
    }

    fn retire(&mut self) {
        while let Some((slot, record)) = self.inflight.front() {
            let Some((status, verdict)) = record.outcome() else { break };
            self.finished.pictures += 1;
            self.finished.engine_cycles += 16 * u64::from(status.cycle_count);
            if let Err(fault) = verdict {
                self.finished.pictures_in_error += 1;
                if self.failed.len() == MAX_ERRORS {
                    self.failed.pop_front();
                }
                self.failed.push_back(Error::Picture { number: record.number, poc: record.poc, fault });
            }
            self.free_slots.push(*slot);
            self.inflight.pop_front();
        }
    }
}

impl Drop for Session {
    /// The queues outlive the session; what it had on them does not.
    fn drop(&mut self) {
        self.queue.queue().trim();
        self.context.trim();
    }
}

#[cfg(test)]
mod tests;
