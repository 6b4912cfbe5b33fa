//! What can go wrong between a stream and its pictures.

use std::io;

use nvkernel_sys::status::RmStatus;

use crate::hevc::audit::finding::Finding;
use crate::pictures::integrity::Integrity;
use crate::status::PictureFault;
use crate::surface::format::Rect;

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A text that names no device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of auto, nv:N (N a GPU's number, from 0) and emulated")]
pub struct ParseDeviceError(String);

impl ParseDeviceError {
    pub(crate) fn new(text: &str) -> ParseDeviceError {
        ParseDeviceError(text.to_owned())
    }
}

/// A text that names no [`Fallback`](crate::Fallback).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of never, if-absent and emulated")]
pub struct ParseFallbackError(String);

impl ParseFallbackError {
    pub(crate) fn new(text: &str) -> ParseFallbackError {
        ParseFallbackError(text.to_owned())
    }
}

/// An error of the decoder. Those that concern one picture leave the session usable
/// ([`is_picture_error`](Error::is_picture_error)).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The GPU, its driver or its queues failed.
    #[error(transparent)]
    Gpu(#[from] hcq::Error),
    /// The hardware lacks what was asked for, whatever the stream.
    #[error("{0}")]
    Hardware(String),
    /// The environment names no device.
    #[error("the environment variable NVDEC_DEVICE: {source}")]
    Variable {
        /// What is wrong with its value.
        source: ParseDeviceError,
    },
    /// A GPU, or its driver, is there and cannot be used, and the emulated GPU may not take its place unasked.
    #[error(
        "{source}; {present} is there, so the emulated GPU does not stand in for it unasked: \
         Fallback::IfUnusable, --fallback emulated or NVDEC_DEVICE=emulated allow that"
    )]
    Unusable {
        /// What there is: a device node, or a file of the driver.
        present: String,
        /// What keeps it from being used.
        source: Box<Error>,
    },
    /// The emulated GPU is not part of this build.
    #[error("this build of nvdec has no emulated GPU: its feature `emulated` is off")]
    NoEmulation,
    /// The operating system has not what the emulated GPU needs.
    #[error("cannot set up the emulated GPU: {source}{}", hcq::descriptor_advice(source))]
    Emulation {
        /// What it said.
        source: io::Error,
    },
    /// The stream needs what the engine, or this library on it, cannot do.
    #[error("the {class} engine cannot decode this stream: {element} = {value}, {limit}")]
    CannotDecode {
        /// Generation of the engine's class.
        class: &'static str,
        /// The syntax element that asks for it.
        element: &'static str,
        /// Its value.
        value: String,
        /// What the engine can do instead.
        limit: String,
    },
    /// A stream takes more GPU memory than all decoders together may.
    #[error("the stream takes up to {price} bytes of GPU memory, the limit for all decoders is {limit}")]
    TooExpensive {
        /// Bytes that it takes at most.
        price: u64,
        /// [`Context::memory_limit`](crate::Context::memory_limit).
        limit: u64,
    },
    /// A surface was given in the place of one of another size or format.
    #[error("{given} cannot stand in the place of {wanted}: size and format differ")]
    OtherGeometry {
        /// The surface given.
        given: String,
        /// That of the frame.
        wanted: String,
    },
    /// Something of another device, whose engines know other addresses.
    #[error("{what} of another device: the engines that would have to wait for it cannot see it")]
    OtherContext {
        /// What was given.
        what: &'static str,
    },
    /// All tensors of a pool have handles.
    #[error(
        "all {tensors} tensors of the pool, of {bytes} bytes each, are held by the caller; drop one and go on, or make a larger pool"
    )]
    TensorsHeld {
        /// Tensors of the pool.
        tensors: usize,
        /// Bytes of one.
        bytes: u64,
    },
    /// A sequence begins for which other decoders, or frames that are held, leave no memory at present.
    #[error(
        "no GPU memory for the stream at present: of {limit} bytes decoders are promised {reserved}, and {taken} are allocated, also for frames that are held; go on when one has ended or frames are dropped, or raise the limit"
    )]
    NoMemoryNow {
        /// [`Context::allocated_memory`](crate::Context::allocated_memory).
        taken: u64,
        /// [`Context::reserved_memory`](crate::Context::reserved_memory).
        reserved: u64,
        /// [`Context::memory_limit`](crate::Context::memory_limit).
        limit: u64,
    },
    /// The caller keeps so many frames that no surface is left to decode to, and the memory limit allows no further one.
    #[error(
        "{held} frames are held by the caller, of {surfaces} surfaces: none is free to decode to, and {bytes} bytes for another one exceed the memory limit of {limit}; drop frames and go on, or raise the limit"
    )]
    FramesHeld {
        /// Surfaces that only the caller holds on to.
        held: usize,
        /// Surfaces that there are.
        surfaces: usize,
        /// Bytes of one surface.
        bytes: u64,
        /// [`Context::memory_limit`](crate::Context::memory_limit).
        limit: u64,
    },
    /// An allocation would exceed the limit, although no decoder was promised more than there is: frames that are held, or
    /// memory of sequences before, take the rest.
    #[error(
        "{bytes} more bytes of GPU memory exceed the limit of {limit}, of which {taken} are allocated, also for frames that are held; drop frames or decoders, or raise the limit"
    )]
    MemoryLimit {
        /// Bytes of the allocation.
        bytes: u64,
        /// [`Context::allocated_memory`](crate::Context::allocated_memory).
        taken: u64,
        /// [`Context::memory_limit`](crate::Context::memory_limit).
        limit: u64,
    },
    /// The pictures of a sequence are larger than the decoder may take.
    #[error(
        "pictures of {width}x{height} are {} luma samples, the limit is {limit}; DecoderOptions::max_luma_samples raises it",
        u64::from(*width) * u64::from(*height)
    )]
    TooManySamples {
        /// Width in luma samples.
        width: u32,
        /// Height in luma samples.
        height: u32,
        /// [`DecoderOptions::max_luma_samples`](crate::DecoderOptions::max_luma_samples).
        limit: u64,
    },
    /// A picture is not exact, and the caller wants no such picture ([`Policy::Stop`](crate::Policy::Stop)).
    #[error("picture {number} (POC {poc}) is not exact: {integrity}; another policy than `stop` goes on")]
    NotExact {
        /// Its position in decoding order.
        number: u64,
        /// Its picture order count.
        poc: i32,
        /// What is wrong.
        integrity: Integrity,
    },
    /// A container cannot be read.
    #[error(transparent)]
    Container(#[from] containers::Error),
    /// There is nothing in a container that can be decoded.
    #[error(
        "no pictures that can be decoded in this {format} file: {}; only HEVC is decoded",
        if tracks.is_empty() { "it has no track".to_owned() } else { format!("its tracks are {}", tracks.join(", ")) }
    )]
    NoVideo {
        /// Format of the container.
        format: &'static str,
        /// What is in its tracks.
        tracks: Vec<String>,
    },
    /// There is no picture in a track.
    #[error(
        "there is no picture in the track{}",
        source.as_ref().map_or_else(|| "; is it cut off?".to_owned(), |source| format!(": {source}"))
    )]
    NoPictures {
        /// The first of its units that could not be read.
        source: Option<SyntaxError>,
    },
    /// An index that was stored cannot be used.
    #[error("the index cannot be used: {what}; make it anew")]
    Index {
        /// What is wrong with it.
        what: String,
    },
    /// A picture was asked for that there is not.
    #[error("there is no picture {number}: the video has {pictures}, counted from 0")]
    NoPicture {
        /// Its number.
        number: usize,
        /// Pictures that there are.
        pictures: usize,
    },
    /// A file was asked for that is not in the list.
    #[error("there is no file {file}: the list has {files}, counted from 0")]
    NoFile {
        /// Its number.
        file: usize,
        /// Files that there are.
        files: usize,
    },
    /// A picture of a video that was asked for did not come out.
    #[error("picture {number} did not come out: the decoder passed over it")]
    Missing {
        /// Its number.
        number: usize,
    },
    /// A clip does not fit into its video.
    #[error(
        "the clip spans {span} pictures, the video has {pictures}; PastEnd::RepeatLast or Wrap fills it up"
    )]
    ShortVideo {
        /// Pictures of the video.
        pictures: usize,
        /// From the first picture of the clip to its last, both included.
        span: usize,
    },
    /// A tensor was finished that has a place without a picture.
    #[error("place {place} of the tensor has no picture: put one there before the tensor is finished")]
    TensorGap {
        /// The first such place.
        place: usize,
    },
    /// Pictures that are to lie side by side become tensors of different shapes.
    #[error(
        "a picture becomes {given}, those before it {wanted}: give the spec a size, or ask for them one by one"
    )]
    OtherShape {
        /// What it becomes.
        given: String,
        /// What those before it became.
        wanted: String,
    },
    /// The downloads of a downloader hold as much host memory as it may take.
    #[error(
        "{downloads} downloads hold {held} bytes of host memory, {bytes} more exceed the limit of {limit}; drop some, or raise it with Downloader::with_limit"
    )]
    DownloadsHeld {
        /// Downloads that were started and are not dropped.
        downloads: usize,
        /// Bytes that are allocated.
        held: u64,
        /// Bytes of the frame.
        bytes: u64,
        /// Most bytes.
        limit: u64,
    },
    /// A part of a picture was asked for that it does not have.
    #[error("{window:?} does not lie in a picture of {}x{}", size.0, size.1)]
    OutsidePicture {
        /// The part, in luma samples.
        window: Rect,
        /// Width and height of the picture.
        size: (u32, u32),
    },
    /// A tensor was asked for that makes no sense, whatever the picture.
    #[error("tensor option `{option}`: {given:?} is not possible, {possible}")]
    TensorSpec {
        /// The option, as it is named in the text of a [`TensorSpec`](crate::tensor::TensorSpec).
        option: String,
        /// What was given.
        given: String,
        /// What can be given instead.
        possible: String,
    },
    /// A picture cannot become the tensor that was asked for.
    #[error("this picture cannot become such a tensor: its {element} is {value}, {possible}")]
    TensorPicture {
        /// What of the picture does not go with the options.
        element: &'static str,
        /// Its value.
        value: String,
        /// What is possible instead.
        possible: String,
    },
    /// The memory for a tensor is laid out so that the tensor cannot be written to it.
    #[error("cannot write a tensor of {shape}: {fault}")]
    TensorMemory {
        /// Channels, lines, columns and type.
        shape: String,
        /// What is wrong with the memory, and what is possible.
        fault: String,
    },
    /// Pictures of the stream were what the channels of engines died of, and other streams lose pictures each time.
    #[error("the stream is given up: {strikes} times the channel of an engine died of one of its pictures")]
    GivenUp {
        /// How often.
        strikes: u32,
    },
    /// A picture that was described elsewhere is not given to an engine.
    #[error("a picture is not given to an engine: {source}")]
    NotSound {
        /// What is wrong with its descriptor, or with the memory for it.
        source: Finding,
    },
    /// The source of a stream could not be read.
    #[error("cannot read the stream: {source}")]
    Source {
        /// What reading it said.
        source: io::Error,
    },
    /// A unit of the stream could not be parsed; the stream goes on without it.
    #[error("unit at byte {offset}: {source}")]
    Bitstream {
        /// Bytes of the stream's units before it.
        offset: u64,
        /// What is wrong with it.
        source: SyntaxError,
    },
    /// The slice data of one picture exceeds any plausible size.
    #[error("a picture of {bytes} bytes exceeds the limit of {limit}")]
    PictureTooLarge {
        /// Bytes of the picture so far.
        bytes: u64,
        /// Most bytes of a picture.
        limit: u64,
    },
    /// A picture needs more reference pictures than the engine's table, or the standard, has room for.
    #[error("picture with POC {poc}: more than 16 reference pictures are kept")]
    TooManyReferences {
        /// Picture order count.
        poc: i32,
    },
    /// The slices of a picture take motion vectors from several pictures, where the standard allows one (7.4.7.1).
    #[error("picture with POC {poc}: collocated_ref_idx names more than 4 pictures, the standard allows one")]
    TooManyCollocated {
        /// Picture order count.
        poc: i32,
    },
    /// A picture was decoded, but not to what its encoder meant.
    #[error("picture {number} (POC {poc}): {fault}")]
    Picture {
        /// Position in decoding order, from 0.
        number: u64,
        /// Picture order count.
        poc: i32,
        /// The engine's finding.
        fault: PictureFault,
    },
}

/// What is wrong with a unit of a stream, in the words of its codec's parser.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
#[non_exhaustive]
pub struct SyntaxError {
    /// The stream is sound, but uses what this library does not parse.
    pub is_unsupported: bool,
    /// What the parser says: the error type of its crate, such as `hevc::Error`.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl SyntaxError {
    pub(crate) fn new(source: impl std::error::Error + Send + Sync + 'static, is_unsupported: bool) -> Self {
        SyntaxError { is_unsupported, source: Box::new(source) }
    }
}

impl From<bitstream::FramingError> for SyntaxError {
    fn from(source: bitstream::FramingError) -> Self {
        SyntaxError::new(source, false)
    }
}

impl Error {
    /// Whether only one picture or NAL unit is concerned and decoding goes on.
    pub fn is_picture_error(&self) -> bool {
        matches!(
            self,
            Error::Bitstream { .. }
                | Error::PictureTooLarge { .. }
                | Error::TooManyReferences { .. }
                | Error::TooManyCollocated { .. }
                | Error::Picture { .. }
        )
    }

    /// Whether the process, or the system, has no file descriptors left (`EMFILE`, `ENFILE`).
    pub fn is_out_of_descriptors(&self) -> bool {
        match self {
            Error::Gpu(error) => error.is_out_of_descriptors(),
            Error::Emulation { source } | Error::Source { source } => {
                !hcq::descriptor_advice(source).is_empty()
            }
            Error::Unusable { source, .. } => source.is_out_of_descriptors(),
            _ => false,
        }
    }

    /// Whether the GPU, or the host, has no memory left, or the context may take none.
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            Error::Gpu(error) => error.rm_status() == Some(RmStatus::NV_ERR_NO_MEMORY),
            Error::MemoryLimit { .. } => true,
            _ => false,
        }
    }

    /// Whether the hardware is at its limit, rather than the stream or the program at fault.
    pub fn is_unsupported(&self) -> bool {
        match self {
            Error::Hardware(_) | Error::NoEmulation | Error::CannotDecode { .. } => true,
            Error::Unusable { source, .. } => source.is_unsupported(),
            Error::Gpu(error) => {
                matches!(
                    error,
                    hcq::Error::Unsupported(_) | hcq::Error::NoGpu(_) | hcq::Error::DriverTooOld { .. }
                )
            }
            _ => false,
        }
    }
}
