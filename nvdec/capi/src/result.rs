//! [`nvdec_result`]: what became of a call. `Failure`: the same with a text.

use nvdec::hcq;
use nvdec::video::containers;
use nvdec::{Error, PictureFault};

/// What became of a call. Numbers are for ever: new ones come at the end of their group, and a program treats those that it
/// does not know as errors.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum nvdec_result {
    /// It did what it was asked to.
    NVDEC_OK = 0,
    /// Nothing for now. From `receive`: send more. From `send` and `flush`: nothing was taken; receive and release frames first.
    NVDEC_AGAIN = 1,
    /// The stream has ended, and all its frames were received.
    NVDEC_END = 2,

    /// A pointer is NULL that must not be.
    NVDEC_NULL_ARGUMENT = 16,
    /// An argument, or a field of an option structure, has a value that it cannot have.
    NVDEC_INVALID_ARGUMENT = 17,
    /// The `size` of a structure is wrong, or the structure uses fields that this library does not have.
    NVDEC_INVALID_SIZE = 18,
    /// The caller's buffer is too small; how large it has to be was written where the call was told to.
    NVDEC_BUFFER_TOO_SMALL = 19,
    /// Another thread, or a callback of this one, is in a call with the same object. Nothing was done.
    NVDEC_BUSY = 20,
    /// The pointer is no object of the kind that the call wants.
    NVDEC_WRONG_OBJECT = 21,
    /// A fault of this library. The object can only be released.
    NVDEC_INTERNAL = 22,

    /// There is no GPU that can be used.
    NVDEC_NO_DEVICE = 32,
    /// The GPU, or its driver, failed.
    NVDEC_DEVICE_FAILED = 33,
    /// The GPU, or this library, cannot do what was asked for.
    NVDEC_UNSUPPORTED = 34,
    /// There is no memory, or the context's limit allows no more.
    NVDEC_OUT_OF_MEMORY = 35,
    /// The frames that the caller holds leave no memory to go on with: release some.
    NVDEC_FRAMES_HELD = 36,
    /// A picture was lost with the channel of its engine: its samples may be anything.
    NVDEC_LOST = 37,

    /// A file could not be read or written.
    NVDEC_IO = 48,
    /// The stream or the file is damaged.
    NVDEC_DAMAGED = 49,
    /// There is no track with pictures that can be decoded.
    NVDEC_NO_VIDEO = 50,
    /// There is no picture with that number, or at that time.
    NVDEC_NO_PICTURE = 51,
    /// The stored index is not of this file, or of another version: open the file without it.
    NVDEC_STALE_INDEX = 52,
    /// A picture is not exact, and the policy says that this ends the stream.
    NVDEC_NOT_EXACT = 53,
}

pub use nvdec_result::*;

impl nvdec_result {
    /// What it says in a line, for those that have no text of their own.
    pub(crate) fn text(number: u32) -> &'static std::ffi::CStr {
        let is = |result: nvdec_result| result as u32 == number;
        let texts = [
            (NVDEC_OK, c"done"),
            (NVDEC_AGAIN, c"nothing for now"),
            (NVDEC_END, c"the stream has ended"),
            (NVDEC_NULL_ARGUMENT, c"a pointer is NULL"),
            (NVDEC_INVALID_ARGUMENT, c"an argument has a value that it cannot have"),
            (NVDEC_INVALID_SIZE, c"the size of a structure is wrong"),
            (NVDEC_BUFFER_TOO_SMALL, c"the buffer is too small"),
            (NVDEC_BUSY, c"another call is using the object"),
            (NVDEC_WRONG_OBJECT, c"the object is of another kind"),
            (NVDEC_INTERNAL, c"a fault of the library"),
            (NVDEC_NO_DEVICE, c"there is no GPU that can be used"),
            (NVDEC_DEVICE_FAILED, c"the GPU or its driver failed"),
            (NVDEC_UNSUPPORTED, c"not supported"),
            (NVDEC_OUT_OF_MEMORY, c"no memory"),
            (NVDEC_FRAMES_HELD, c"the frames that are held leave no memory"),
            (NVDEC_LOST, c"a picture was lost"),
            (NVDEC_IO, c"a file could not be read or written"),
            (NVDEC_DAMAGED, c"the stream or the file is damaged"),
            (NVDEC_NO_VIDEO, c"there is nothing that can be decoded"),
            (NVDEC_NO_PICTURE, c"there is no such picture"),
            (NVDEC_STALE_INDEX, c"the index is not of this file"),
            (NVDEC_NOT_EXACT, c"a picture is not exact"),
        ];
        texts.into_iter().find(|(result, _)| is(*result)).map_or(c"an unknown result", |(_, text)| text)
    }
}

/// Why a call did not do what it was asked to.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) result: nvdec_result,
    pub(crate) text: String,
}

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub(crate) fn new(result: nvdec_result, text: impl Into<String>) -> Failure {
        Failure { result, text: text.into() }
    }

    pub(crate) fn null(name: &str) -> Failure {
        Failure::new(NVDEC_NULL_ARGUMENT, format!("{name} is NULL"))
    }

    pub(crate) fn invalid(text: impl Into<String>) -> Failure {
        Failure::new(NVDEC_INVALID_ARGUMENT, text)
    }

    pub(crate) fn busy() -> Failure {
        Failure::new(
            NVDEC_BUSY,
            "another call is using the object: it is for one thread at a time, and not for its own callbacks",
        )
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::new(of(&error), error.to_string())
    }
}

impl From<hcq::Error> for Failure {
    fn from(error: hcq::Error) -> Failure {
        Failure::from(Error::Gpu(error))
    }
}

fn of(error: &Error) -> nvdec_result {
    match error {
        error if error.is_out_of_memory() => NVDEC_OUT_OF_MEMORY,
        Error::Gpu(error) => of_gpu(error),
        Error::Hardware(_) | Error::NoEmulation | Error::CannotDecode { .. } => NVDEC_UNSUPPORTED,
        Error::TooManySamples { .. } | Error::TensorPicture { .. } | Error::OtherShape { .. } => {
            NVDEC_UNSUPPORTED
        }
        Error::Unusable { .. } | Error::Emulation { .. } => NVDEC_NO_DEVICE,
        Error::Variable { .. } | Error::TensorSpec { .. } => NVDEC_INVALID_ARGUMENT,
        Error::TooExpensive { .. } | Error::NoMemoryNow { .. } => NVDEC_OUT_OF_MEMORY,
        Error::TensorsHeld { .. } | Error::DownloadsHeld { .. } => NVDEC_OUT_OF_MEMORY,
        Error::FramesHeld { .. } => NVDEC_FRAMES_HELD,
        Error::NotExact { .. } => NVDEC_NOT_EXACT,
        Error::Source { .. } => NVDEC_IO,
        Error::Container(error) => match error {
            containers::Error::Io { .. } => NVDEC_IO,
            containers::Error::Unsupported { .. } => NVDEC_UNSUPPORTED,
            containers::Error::Unknown { .. } | containers::Error::NoTrack { .. } => NVDEC_NO_VIDEO,
            _ => NVDEC_DAMAGED,
        },
        Error::NoVideo { .. } | Error::NoPictures { .. } => NVDEC_NO_VIDEO,
        Error::NoPicture { .. } => NVDEC_NO_PICTURE,
        Error::Index { .. } => NVDEC_STALE_INDEX,
        Error::Bitstream { source, .. } if source.is_unsupported => NVDEC_UNSUPPORTED,
        Error::Picture { fault: PictureFault::ChannelLost | PictureFault::ReferenceLost, .. } => NVDEC_LOST,
        error if error.is_picture_error() => NVDEC_DAMAGED,
        Error::Missing { .. } => NVDEC_DAMAGED,
        Error::GivenUp { .. } => NVDEC_DEVICE_FAILED,
        // What no call of this interface can bring about.
        _ => NVDEC_INTERNAL,
    }
}

fn of_gpu(error: &hcq::Error) -> nvdec_result {
    match error {
        hcq::Error::NoGpu(_) | hcq::Error::Open { .. } => NVDEC_NO_DEVICE,
        hcq::Error::Unsupported(_) | hcq::Error::DriverTooOld { .. } | hcq::Error::DriverVersion(_) => {
            NVDEC_UNSUPPORTED
        }
        hcq::Error::QuotaExceeded { .. } | hcq::Error::AddressSpaceFull { .. } => NVDEC_OUT_OF_MEMORY,
        _ => NVDEC_DEVICE_FAILED,
    }
}
