//! [`Failure`]: what went wrong, as an exception of `nvdec._errors`.

use std::{fmt, io};

use nvdec::video::containers;
use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::prelude::*;

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// The classes of `nvdec._errors`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Open,
    Unsupported,
    Corrupt,
    Option,
    OutOfMemory,
    Device,
    DeviceLost,
    Index,
    Busy,
    Fork,
    Closed,
}

impl Kind {
    fn class(self) -> &'static str {
        match self {
            Kind::Open => "OpenError",
            Kind::Unsupported => "UnsupportedError",
            Kind::Corrupt => "CorruptError",
            Kind::Option => "OptionError",
            Kind::OutOfMemory => "OutOfMemory",
            Kind::Device => "DeviceError",
            Kind::DeviceLost => "DeviceLost",
            Kind::Index => "PictureIndexError",
            Kind::Busy => "BusyError",
            Kind::Fork => "ForkError",
            Kind::Closed => "ClosedError",
        }
    }
}

#[derive(Debug)]
pub(crate) enum Failure {
    /// Said here.
    Told(Kind, String),
    Decoder(nvdec::Error),
    Cuda(nvdec_cuda::Error),
    /// A file could not be read.
    Io {
        path: Option<String>,
        error: io::Error,
    },
    /// Python code that was called failed: a file-like object, a handler of signals.
    Python(PyErr),
}

impl Failure {
    pub(crate) fn new(kind: Kind, text: impl Into<String>) -> Failure {
        Failure::Told(kind, text.into())
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Failure::Told(kind, _) => *kind,
            Failure::Decoder(error) => of_decoder(error),
            Failure::Cuda(error) => of_cuda(error),
            Failure::Io { .. } | Failure::Python(_) => Kind::Open,
        }
    }

    /// Whether it concerns one file, and not the device.
    pub(crate) fn is_of_a_file(&self) -> bool {
        // A process that may open no more files would lose one after the other.
        !self.is_out_of_descriptors()
            && matches!(self.kind(), Kind::Open | Kind::Unsupported | Kind::Corrupt | Kind::Index)
    }

    /// Whether the process, or the system, has no file descriptors left.
    pub(crate) fn is_out_of_descriptors(&self) -> bool {
        match self {
            Failure::Decoder(error) => error.is_out_of_descriptors(),
            Failure::Io { error, .. } => !hcq::descriptor_advice(error).is_empty(),
            _ => false,
        }
    }

    /// Whether the user wants to stop: Ctrl-C, or the end of the program.
    pub(crate) fn is_interrupt(&self) -> bool {
        match self {
            Failure::Python(error) => Python::attach(|py| !error.is_instance_of::<PyException>(py)),
            _ => false,
        }
    }

    pub(crate) fn is_out_of_memory(&self) -> bool {
        self.kind() == Kind::OutOfMemory
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Told(_, text) => f.write_str(text),
            Failure::Decoder(error) => error.fmt(f),
            Failure::Cuda(error) => error.fmt(f),
            Failure::Io { error, .. } => error.fmt(f),
            Failure::Python(error) => error.fmt(f),
        }
    }
}

impl From<nvdec::Error> for Failure {
    fn from(error: nvdec::Error) -> Failure {
        match error {
            nvdec::Error::Source { source } => of_source(source),
            nvdec::Error::Container(containers::Error::Io { error, .. }) => of_source(error),
            error => Failure::Decoder(error),
        }
    }
}

/// What a source said: the exception of a file-like object as it was raised.
fn of_source(error: io::Error) -> Failure {
    // The container wraps the error of a read once more.
    let error = match error.downcast::<containers::Error>() {
        Ok(containers::Error::Io { error, .. }) => error,
        Ok(other) => return Failure::Decoder(nvdec::Error::Container(other)),
        Err(error) => error,
    };
    match error.downcast::<PyErr>() {
        Ok(raised) => Failure::Python(raised),
        Err(error) => Failure::Io { path: None, error },
    }
}

impl From<nvdec_cuda::Error> for Failure {
    fn from(error: nvdec_cuda::Error) -> Failure {
        Failure::Cuda(error)
    }
}

impl From<hcq::Error> for Failure {
    fn from(error: hcq::Error) -> Failure {
        Failure::Decoder(nvdec::Error::Gpu(error))
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Failure {
        Failure::Python(error)
    }
}

fn of_gpu(error: &hcq::Error) -> Kind {
    use hcq::Error::{ChannelFault, GpuLost, QuotaExceeded, Stalled, Timeout};
    match error {
        GpuLost | ChannelFault { .. } | Stalled { .. } | Timeout { .. } => Kind::DeviceLost,
        QuotaExceeded { .. } => Kind::OutOfMemory,
        _ => Kind::Device,
    }
}

fn of_cuda(error: &nvdec_cuda::Error) -> Kind {
    match error {
        nvdec_cuda::Error::Hcq(error) => of_gpu(error),
        _ => Kind::Device,
    }
}

fn of_decoder(error: &nvdec::Error) -> Kind {
    use nvdec::Error::{
        CannotDecode, Container, FramesHeld, Gpu, Index, MemoryLimit, NoMemoryNow, NoPicture, NoVideo,
        Source, TensorMemory, TensorPicture, TensorSpec, TensorsHeld, TooExpensive, TooManySamples, Unusable,
    };
    match error {
        error if error.is_out_of_memory() => Kind::OutOfMemory,
        Gpu(error) => of_gpu(error),
        NoMemoryNow { .. }
        | FramesHeld { .. }
        | MemoryLimit { .. }
        | TensorsHeld { .. }
        | TooExpensive { .. } => Kind::OutOfMemory,
        CannotDecode { .. } | NoVideo { .. } | TooManySamples { .. } | TensorPicture { .. } => {
            Kind::Unsupported
        }
        TensorSpec { .. } | TensorMemory { .. } => Kind::Option,
        NoPicture { .. } => Kind::Index,
        Index { .. } | Source { .. } => Kind::Open,
        Container(containers::Error::NoTrack { .. }) => Kind::Option,
        Container(containers::Error::Unsupported { .. }) => Kind::Unsupported,
        Container(containers::Error::Damaged { .. }) => Kind::Corrupt,
        Container(_) => Kind::Open,
        nvdec::Error::Bitstream { source, .. } if source.is_unsupported => Kind::Unsupported,
        nvdec::Error::ShortVideo { .. } | nvdec::Error::OtherShape { .. } => Kind::Unsupported,
        nvdec::Error::Missing { .. } => Kind::Corrupt,
        nvdec::Error::NoPictures { .. } | nvdec::Error::NotExact { .. } | nvdec::Error::GivenUp { .. } => {
            Kind::Corrupt
        }
        error if error.is_picture_error() => Kind::Corrupt,
        Unusable { .. } => Kind::Device,
        _ => Kind::Device,
    }
}

fn class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import("nvdec._errors")?.getattr(name)
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> PyErr {
        let kind = failure.kind();
        Python::attach(|py| {
            let made = match failure {
                Failure::Python(error) => return error,
                Failure::Told(_, text) => class(py, kind.class()).and_then(|class| class.call1((text,))),
                Failure::Decoder(error) => {
                    class(py, kind.class()).and_then(|class| class.call1((error.to_string(),)))
                }
                Failure::Cuda(error) => {
                    class(py, kind.class()).and_then(|class| class.call1((error.to_string(),)))
                }
                Failure::Io { path, error } => {
                    let name = match error.kind() {
                        io::ErrorKind::NotFound => "NotFoundError",
                        io::ErrorKind::PermissionDenied => "NoPermissionError",
                        _ => "OpenError",
                    };
                    class(py, name).and_then(|class| match error.raw_os_error() {
                        // Python looks up what the number means.
                        Some(number) => {
                            let text = py.import("os")?.call_method1("strerror", (number,))?;
                            class.call1((number, text, path))
                        }
                        None => class.call1((error.to_string(),)),
                    })
                }
            };
            match made {
                Ok(value) => PyErr::from_value(value),
                Err(error) => PyRuntimeError::new_err(format!("nvdec is not whole: {error}")),
            }
        })
    }
}
