//! [`CodedPicture`]: what a codec knows of a picture that is to be decoded, and [`Format`]: what pictures of its sequence need.

use std::fmt;
use std::sync::Arc;

use arrayvec::ArrayVec;
use hcq::DeviceBuffer;

use super::held::Held;
use super::info::Shows;
use super::integrity::Refresh;
use crate::class::VideoClass;
use crate::error::Result;
use crate::job::Operand;
use crate::memory::Memory;
use crate::status::PictureFault;
use crate::surface::format::SurfaceGeometry;
use crate::surface::host::HostFrame;

/// Most methods with addresses that a codec adds to those that all have.
pub(crate) const MAX_OPERANDS: usize = 8;
/// Methods with addresses that every codec needs, besides those of the picture table: descriptor, slice data, motion vectors, status.
const COMMON_OPERANDS: usize = 4;

/// The methods with addresses of one picture: those that every codec needs, and behind them those that are its codec's alone.
pub(crate) type Operands<'a> = ArrayVec<Operand<'a>, { COMMON_OPERANDS + MAX_OPERANDS }>;

/// How the engine is told which codec it is to decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Application {
    /// Value of `SET_APPLICATION_ID`.
    pub(crate) id: u32,
    /// Value of `SET_CONTROL_PARAMS`.
    pub(crate) control_params: u32,
}

/// What the pictures of a sequence need, whatever the codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    /// Layout of the surfaces.
    pub(crate) geometry: SurfaceGeometry,
    /// Pictures that the decoded picture buffer holds, the current one among them.
    pub(crate) dpb: usize,
    /// 16x16 blocks that the engine counts in a picture.
    pub(crate) blocks: u32,
    /// Bytes of the motion vectors that a picture leaves, a multiple of 256; 0 for a codec without any.
    pub(crate) motion: u64,
    /// Bytes that an engine works in for the length of a picture. Single pictures may need more.
    pub(crate) scratch: u64,
    /// Bytes at the beginning of a picture's chunk of host memory that are written for every picture.
    pub(crate) descriptor: usize,
}

impl Format {
    /// Whether pictures of `other` can use what was allocated for this format.
    pub(crate) fn fits(&self, other: &Format) -> bool {
        let Format { geometry, dpb, blocks, motion, scratch: _, descriptor } = *self;
        (geometry, blocks, motion, descriptor)
            == (other.geometry, other.blocks, other.motion, other.descriptor)
            && other.dpb <= dpb
    }
}

/// A picture between its front end and the engine.
///
/// A front end makes it when the picture begins, and hands it over when its slices are complete. Everything is asked once a
/// picture or twice, so that a call by table costs nothing that could be measured.
pub(crate) trait CodedPicture: fmt::Debug + Send {
    /// Picture order count, or what else messages call it by.
    fn poc(&self) -> i32;

    /// The pictures that it refers to, in an order of the codec's own; `None` for one that does not exist. One that is
    /// named twice stands there twice. All are of the picture's own [`Format`].
    fn references(&self) -> &[Option<Arc<Held>>];

    /// Which of these its slices may predict from, samples or motion vectors: a bit for each, by position. Others are only
    /// to stay for pictures to come.
    fn used(&self) -> u32;

    /// What is known to be wrong with it before it is decoded.
    fn flaw(&self) -> Option<PictureFault>;

    /// What is said when the reference at this position does not exist.
    fn missing(&self, at: usize) -> PictureFault;

    /// What gradual refresh means for it.
    fn refresh(&self) -> Refresh;

    /// What the stream says of its samples, if it does.
    fn fingerprint(&self) -> Option<Box<dyn Fingerprint>> {
        None
    }

    /// Which of these it takes motion vectors from: each once.
    fn collocated(&self) -> &[usize];

    /// Whether pictures that follow this one in decoding and output order take no motion from pictures before it.
    fn is_random_access(&self) -> bool;

    /// Bytes of scratch.
    fn scratch(&self) -> u64;

    /// Writes what the engine is told of the picture to its chunk of host memory, and adds the methods that point there and at
    /// scratch.
    fn describe<'a>(&'a self, placed: &Placed<'a>, operands: &mut Operands<'a>) -> Result<()>;

    /// What is said of the picture when it is shown. Called once.
    fn shows(&self) -> Shows;
}

/// What tells the samples of a picture from others, such as a hash.
pub(crate) trait Fingerprint: fmt::Debug + Send {
    /// Whether it is that of a picture, all of which is given.
    fn is_of(&self, picture: &HostFrame) -> bool;
}

/// Where a picture, its references and its memory have their places.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed<'a> {
    /// Row of the engine's class.
    pub(crate) class: &'a VideoClass,
    /// For tables that are to stay.
    pub(crate) memory: &'a Memory,
    /// The picture's place in the engine's picture table.
    pub(crate) target: u8,
    /// Those of its references, in their order.
    pub(crate) references: &'a [u8],
    /// Bytes of slice data.
    pub(crate) stream_len: u64,
    /// The picture's chunk of host memory. As many bytes of it are the codec's as it was opened with.
    pub(crate) chunk: &'a DeviceBuffer,
    /// Scratch of as many bytes as the picture needs, at least.
    pub(crate) scratch: &'a DeviceBuffer,
}
