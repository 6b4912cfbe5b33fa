//! [`Frame`]: a picture in output order, still on the GPU.

use std::sync::Arc;
use std::time::Duration;

use hcq::{EngineType, Patience, SyncPoint};

use crate::error::{Error, Result};
use crate::pictures::info::{CodecInfo, Colour, Times};
use crate::pictures::integrity::Integrity;
use crate::pictures::record::PictureRecord;
use crate::pictures::side_data::SideData;
use crate::scheduler::cost::Time;
use crate::status::{DecodeStatus, PictureFault};
use crate::surface::format::{Rect, SurfaceFormat};
use crate::surface::pool::Surface;

/// How long an engine may stand still before a picture whose decoder is gone.
const PICTURE_TIMEOUT: Patience = Patience::WithoutProgress(Duration::from_secs(10));

/// A decoded picture. Its samples are final once [`ready`](Self::ready) is reached: queues wait for that point
/// on the GPU, and tell the surface until when they use it ([`Surface::use_until`]).
#[derive(Clone, Debug)]
pub struct Frame {
    surface: Surface,
    record: Arc<PictureRecord>,
    /// When the scheduler expects it to be decoded.
    pub(crate) finish: Time,
    /// The times at which it is shown once more, in the place of another.
    again: Option<Times>,
}

impl Frame {
    pub(crate) fn new(surface: Surface, record: Arc<PictureRecord>, finish: Time) -> Frame {
        Frame { surface, record, finish, again: None }
    }

    /// The same frame in the place of one that is shown at `times`.
    pub(crate) fn again_at(&self, times: Times) -> Frame {
        Frame { again: Some(times), ..self.clone() }
    }

    /// Whether it stands in the place of a picture that is not exact ([`Policy::Freeze`](crate::Policy::Freeze)).
    pub fn is_repeated(&self) -> bool {
        self.again.is_some()
    }

    /// The samples.
    #[inline]
    pub fn surface(&self) -> &Surface {
        &self.surface
    }

    /// Format of the samples.
    pub fn format(&self) -> SurfaceFormat {
        self.surface.geometry().format
    }

    /// When the samples are final.
    #[inline]
    pub fn ready(&self) -> &SyncPoint {
        self.record.point()
    }

    /// What a queue, or another program, waits for before it reads the samples: [`ready`](Self::ready), and the clearing of fresh
    /// memory where that is not over yet. A picture that was lost with the channel of its engine counts as decoded, and without
    /// the latter a reader might see what another session has left in the memory.
    pub fn before_read(&self) -> impl Iterator<Item = &SyncPoint> {
        [self.ready()].into_iter().chain(self.surface.cleared())
    }

    /// The part of the picture to show (HEVC's conformance window). It lies within the surface.
    pub fn crop(&self) -> Rect {
        self.record.shows.crop
    }

    /// The whole picture as it is coded.
    pub fn coded(&self) -> Rect {
        let geometry = self.surface.geometry();
        Rect { left: 0, top: 0, width: geometry.width, height: geometry.height }
    }

    /// When it is shown.
    pub fn times(&self) -> Times {
        self.again.unwrap_or(self.record.shows.times)
    }

    /// Presentation time.
    pub fn pts(&self) -> Option<i64> {
        self.times().pts
    }

    /// What the caller knows the picture by ([`Times::opaque`]).
    pub fn opaque(&self) -> Option<u64> {
        self.times().opaque
    }

    /// Whether decoding can begin with this picture.
    pub fn is_key(&self) -> bool {
        self.record.shows.is_key
    }

    /// Position of the picture in decoding order, from 0.
    pub fn number(&self) -> u64 {
        self.record.number
    }

    /// Picture order count: the order within a coded video sequence in which pictures are shown.
    pub fn poc(&self) -> i32 {
        self.record.poc
    }

    /// What sample values mean.
    pub fn colour(&self) -> Colour {
        self.record.shows.colour
    }

    /// What the stream says of it besides: light levels, captions, orientation and the like. `None` if it says nothing.
    ///
    /// What holds for a whole sequence is shared by its frames. A picture keeps 64 KiB of messages at most
    /// ([`side_data::MAX_BYTES`](crate::side_data::MAX_BYTES)); what is beyond is dropped and counted.
    pub fn side_data(&self) -> Option<&Arc<SideData>> {
        self.record.shows.side_data.as_ref()
    }

    /// What only its codec says of it.
    pub fn codec(&self) -> &CodecInfo {
        &self.record.shows.codec
    }

    /// The engine that decodes it.
    pub fn engine(&self) -> EngineType {
        self.ready().timeline().engine()
    }

    pub(crate) fn record(&self) -> &Arc<PictureRecord> {
        &self.record
    }

    /// Waits for the picture, as long as its engine makes progress.
    fn wait(&self) -> Result<()> {
        match self.surface.memory() {
            Some(memory) => Ok(memory.channels().wait(self.ready())?),
            // The decoder is gone, and with it the knowledge of how long a picture may take.
            None => Ok(self.ready().wait(PICTURE_TIMEOUT)?),
        }
    }

    /// Waits for the picture and for word whether it, and what it depends on, came out.
    pub(crate) fn wait_for_samples(&self) -> Result<()> {
        self.wait()?;
        match self.record.outcome().and_then(|outcome| outcome.fault()) {
            Some(fault) if fault.is_loss() => Err(self.error(fault)),
            _ => Ok(()),
        }
    }

    fn error(&self, fault: PictureFault) -> Error {
        Error::Picture { number: self.record.number, poc: self.record.poc, fault }
    }

    /// How far it is what its encoder made, waiting for the picture on the host. Once [`ready`](Self::ready) is reached it
    /// does not wait, unless the picture refers to one that is missing: then for the time that another decoding takes, and its
    /// comparison ([`Taint::BySamples`](crate::Taint::BySamples)).
    ///
    /// # Errors
    ///
    /// [`Error::Gpu`] if the engine did not finish.
    pub fn integrity(&self) -> Result<Integrity> {
        self.over()?;
        Ok(self.record.outcome().expect("a reached point has an outcome").integrity)
    }

    /// Waits until the engine is done with the picture, or has lost it.
    fn over(&self) -> Result<()> {
        match self.wait() {
            Err(Error::Gpu(hcq::Error::ChannelFault { .. })) => Ok(()),
            waited => waited,
        }
    }

    /// The engine's status, waiting for the picture on the host.
    ///
    /// # Errors
    ///
    /// [`Error::Picture`] if the engine found an error in the picture, [`Error::Gpu`] if it did not finish.
    pub fn status(&self) -> Result<DecodeStatus> {
        self.wait()?;
        let outcome = self.record.outcome().expect("a reached point has an outcome");
        match outcome.fault() {
            // The engine did as it was told.
            None | Some(PictureFault::MissingReference { .. }) => Ok(outcome.status),
            Some(fault) => Err(self.error(fault)),
        }
    }
}
