//! [`Frame`]: a picture in output order, still on the GPU.

use std::sync::Arc;

use hcq::{EngineType, SyncPoint};
use hevc::Sps;
use hevc::picture_hash::PictureHash;
use hevc::sps::Crop;
use hevc::vui::ColourDescription;

use crate::error::{Error, Result};
use crate::scheduler::Time;
use crate::session::{PICTURE_TIMEOUT, PictureRecord};
use crate::status::{DecodeStatus, PictureFault};
use crate::surface::Surface;

/// A decoded picture. Its samples are final once [`ready`](Self::ready) is reached: queues wait for that point
/// on the GPU, and tell the surface until when they use it ([`Surface::use_until`]).
#[derive(Clone, Debug)]
pub struct Frame {
    /// The samples.
    pub surface: Surface,
    /// When the samples are final.
    pub ready: SyncPoint,
    /// The part of the surface to show, in luma samples (the conformance window).
    pub crop: Crop,
    /// Presentation time that came with the access unit, in the caller's unit.
    pub pts: Option<i64>,
    /// Picture order count.
    pub poc: i32,
    /// Colour primaries, transfer, matrix and range.
    pub colour: ColourDescription,
    /// The sequence parameter set in force.
    pub sps: Arc<Sps>,
    /// Hash of the samples by the encoder, if the stream carries one.
    pub hash: Option<PictureHash>,
    pub(crate) record: Arc<PictureRecord>,
    /// When the scheduler expects that.
    pub(crate) finish: Time,
}

impl Frame {
    /// Position of the picture in decoding order.
    pub fn number(&self) -> u64 {
        self.record.number
    }

    /// The engine that decodes it.
    pub fn engine(&self) -> EngineType {
        self.ready.timeline().engine()
    }

    /// Whether the pictures that it depends on came out, once its own point is reached.
    pub(crate) fn check_references(&self) -> Result<()> {
        match self.record.outcome() {
            Some((_, Err(fault @ PictureFault::ReferenceLost))) => {
                Err(Error::Picture { number: self.record.number, poc: self.poc, fault })
            }
            _ => Ok(()),
        }
    }

    /// The engine's status, waiting for the picture on the host.
    ///
    /// # Errors
    ///
    /// [`Error::Picture`] if the engine found an error in the picture, [`Error::Gpu`] if it did not finish.
    pub fn status(&self) -> Result<DecodeStatus> {
        self.ready.wait(PICTURE_TIMEOUT)?;
        let (status, verdict) = self.record.outcome().expect("a reached point has an outcome");
        verdict.map_err(|fault| Error::Picture { number: self.record.number, poc: self.poc, fault })?;
        Ok(status)
    }
}
