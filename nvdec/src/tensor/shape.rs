//! [`TensorShape`]: dimensions of a picture as a tensor. [`TensorPicture`]: what is known of the picture.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hcq::{Patience, SyncPoint};

use super::plan::{PictureShape, Plan};
use super::spec::{Dtype, Layout, TensorSpec};
use crate::class::Chroma;
use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::pictures::info::{Colour, Times};
use crate::pictures::integrity::Integrity;
use crate::pictures::record::{Outcome, PictureRecord};
use crate::surface::format::{Rect, SurfaceFormat, SurfaceGeometry};

/// How long an engine may stand still before a picture.
const PICTURE_TIMEOUT: Patience = Patience::WithoutProgress(Duration::from_secs(10));

/// What one picture becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorShape {
    dims: [usize; 3],
    dtype: Dtype,
    layout: Layout,
}

impl TensorShape {
    pub(super) fn of(plan: &Plan) -> TensorShape {
        TensorShape { dims: plan.shape(), dtype: plan.dtype(), layout: plan.layout() }
    }

    /// What pictures of 8 bits become whose window has `width` by `height` luma samples; those of other depths become the same.
    ///
    /// # Errors
    ///
    /// [`Error::TensorSpec`] if the spec makes no sense, or not for such pictures.
    pub fn for_picture(spec: &TensorSpec, width: u32, height: u32) -> Result<TensorShape> {
        let geometry = SurfaceGeometry::new(SurfaceFormat::new(Chroma::C420, 8), width, height);
        let window = Rect { left: 0, top: 0, width, height };
        let picture = PictureShape { geometry, window, colour: Colour::default(), orientation: None };
        Ok(TensorShape::of(&Plan::new(spec, &picture)?))
    }

    /// `[C, H, W]`, or `[H, W, C]`, as the layout is.
    pub fn dims(&self) -> [usize; 3] {
        self.dims
    }

    /// What an element is.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Which of channels, lines and columns lie next to each other.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Bytes without gaps.
    pub fn bytes(&self) -> u64 {
        self.dims.iter().map(|&size| size as u64).product::<u64>() * self.dtype.bytes() as u64
    }
}

impl fmt::Display for TensorShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c] = self.dims;
        write!(f, "{a}x{b}x{c} of {:?}", self.dtype)
    }
}

/// What is known of a picture of a tensor, without its surface.
#[derive(Clone, Debug)]
pub struct TensorPicture {
    record: Arc<PictureRecord>,
    times: Times,
}

impl TensorPicture {
    /// What is known of `frame`, without its samples: it may be kept when the surface is long another's.
    pub fn new(frame: &Frame) -> TensorPicture {
        TensorPicture { record: frame.record().clone(), times: frame.times() }
    }

    /// When it is decoded.
    pub(super) fn decoded(&self) -> &SyncPoint {
        self.record.point()
    }

    /// Position of the picture in decoding order, from 0.
    pub fn number(&self) -> u64 {
        self.record.number
    }

    /// Picture order count.
    pub fn poc(&self) -> i32 {
        self.record.poc
    }

    /// When it is shown.
    pub fn times(&self) -> Times {
        self.times
    }

    /// Presentation time.
    pub fn pts(&self) -> Option<i64> {
        self.times.pts
    }

    /// Whether decoding can begin with it.
    pub fn is_key(&self) -> bool {
        self.record.shows.is_key
    }

    /// What its sample values meant.
    pub fn colour(&self) -> Colour {
        self.record.shows.colour
    }

    /// How far it is what its encoder made, waiting for its decoding on the host. Once its tensor is ready it does not wait.
    ///
    /// # Errors
    ///
    /// [`Error::Gpu`] if the engine did not finish.
    pub fn integrity(&self) -> Result<Integrity> {
        Ok(self.outcome()?.integrity)
    }

    /// Waits on the host until all of `pictures` are decoded, with a sleep or two for all of them: it begins with the picture that was
    /// sent last, and most others are there when that is. What became of them, [`integrity`](Self::integrity) says then without
    /// waiting.
    ///
    /// # Errors
    ///
    /// [`Error::Gpu`] if an engine did not finish.
    pub fn wait_all<'a>(pictures: impl IntoIterator<Item = &'a TensorPicture>) -> Result<()> {
        let mut pictures: Vec<&TensorPicture> = pictures.into_iter().collect();
        pictures.sort_unstable_by_key(|picture| Reverse(picture.number()));
        pictures.into_iter().try_for_each(TensorPicture::wait)
    }

    /// Refuses a picture that was lost with the channel of its engine, or goes back to one: its samples may be anything.
    pub(super) fn check_loss(&self) -> Result<()> {
        match self.outcome()?.fault() {
            Some(fault) if fault.is_loss() => {
                Err(Error::Picture { number: self.number(), poc: self.poc(), fault })
            }
            _ => Ok(()),
        }
    }

    fn wait(&self) -> Result<()> {
        match self.record.point().wait(PICTURE_TIMEOUT) {
            Ok(()) | Err(hcq::Error::ChannelFault { .. }) => Ok(()),
            Err(error) => Err(Error::Gpu(error)),
        }
    }

    fn outcome(&self) -> Result<Outcome> {
        self.wait()?;
        Ok(self.record.outcome().expect("a reached point has an outcome"))
    }
}
