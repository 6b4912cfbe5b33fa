//! Exit codes, and the one error type of the programs, which knows its exit code.
//!
//! Codes above 2 are those of `sysexits.h`, which conformance suites and shell scripts know.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use hcq::descriptor_advice;
use nvkernel_sys::status::RmStatus;

/// How a program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: everything was done, and right.
    Success,
    /// 1: pictures differ, or something failed that no other code describes.
    Fault,
    /// 2: the command line makes no sense.
    Usage,
    /// 65, `EX_DATAERR`: the stream is damaged or is no HEVC byte stream; the capture is damaged or hostile.
    Data,
    /// 66, `EX_NOINPUT`: the input cannot be read.
    NoInput,
    /// 69, `EX_UNAVAILABLE`: there is no GPU to use, or it cannot decode this stream.
    Unavailable,
    /// 77, `EX_NOPERM`: this user or container may not use the GPU.
    Permission,
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Exit::Success => 0,
            Exit::Fault => 1,
            Exit::Usage => 2,
            Exit::Data => 65,
            Exit::NoInput => 66,
            Exit::Unavailable => 69,
            Exit::Permission => 77,
        }
    }

    /// How a program ended that ended with `code`; whatever no code stands for is a fault.
    pub fn of_code(code: Option<i32>) -> Exit {
        const ALL: [Exit; 7] = [
            Exit::Success,
            Exit::Fault,
            Exit::Usage,
            Exit::Data,
            Exit::NoInput,
            Exit::Unavailable,
            Exit::Permission,
        ];
        let known = |exit: &Exit| code == Some(exit.code().into());
        ALL.into_iter().find(known).unwrap_or(Exit::Fault)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// Why a program could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// Options that contradict each other, or an input that they do not fit.
    #[error("{0}")]
    Usage(String),
    /// The input cannot be opened or read.
    #[error("cannot read {path}: {source}{}", descriptor_advice(source))]
    Input {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The output cannot be written.
    #[error("cannot write {path}: {source}{}", descriptor_advice(source))]
    Output {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The input is something else than an Annex B byte stream.
    #[error("{path} is no HEVC byte stream (Annex B): {found}")]
    NotAnnexB {
        /// The file.
        path: String,
        /// What it looks like, and what to do about it.
        found: String,
    },
    /// The input is a container in which there is nothing to decode, or that is damaged.
    #[error("{path}: {what}")]
    Container {
        /// The file.
        path: String,
        /// What is wrong with it, and what to do about it.
        what: String,
    },
    /// The input is no capture, or one that is damaged or asks for what no decoder would.
    #[error("{path}: {what}")]
    Capture {
        /// The file.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// The stream ended and no picture came of it.
    #[error("{path}: no picture in {bytes} bytes, {nal_units} NAL units")]
    NoPicture {
        /// The file.
        path: String,
        /// Bytes read.
        bytes: u64,
        /// NAL units found.
        nal_units: u64,
    },
    /// The stream has pictures, and none was put out.
    #[error("{path}: no picture put out: {why}")]
    NothingShown {
        /// The file.
        path: String,
        /// Why, and what would show some.
        why: String,
    },
    /// The pictures cannot be written in the format asked for.
    #[error("picture {picture}: {reason}")]
    Format {
        /// Position in output order.
        picture: u64,
        /// What does not fit.
        reason: String,
    },
    /// A PNG file cannot be encoded.
    #[error("cannot write {path}: {source}")]
    Png {
        /// The file.
        path: PathBuf,
        /// What the encoder said.
        source: png::EncodingError,
    },
    /// No device can be used.
    #[error("{message}")]
    Device {
        /// What is wrong, with the first piece of advice.
        message: String,
        /// [`Exit::Unavailable`] or [`Exit::Permission`].
        exit: Exit,
    },
    /// The GPU or the decoder failed.
    #[error(transparent)]
    Decode(#[from] nvdec::Error),
    /// A process that was to do the work could not be started, or said why it failed.
    #[error("{what}")]
    Child {
        /// What it, or the system, said.
        what: String,
        /// How it ended.
        exit: Exit,
    },
    /// The decoder wants a surface back, and no frame holds one.
    #[error("the decoder has no free surface although no frame is held (picture {0})")]
    Stuck(u64),
}

impl Failure {
    /// The exit code that says so.
    pub fn exit(&self) -> Exit {
        match self {
            Failure::Usage(_) | Failure::Format { .. } => Exit::Usage,
            Failure::Input { .. } => Exit::NoInput,
            Failure::NotAnnexB { .. }
            | Failure::Container { .. }
            | Failure::Capture { .. }
            | Failure::NoPicture { .. }
            | Failure::NothingShown { .. } => Exit::Data,
            Failure::Device { exit, .. } | Failure::Child { exit, .. } => *exit,
            Failure::Decode(error) => of_decoder(error),
            Failure::Output { .. } | Failure::Png { .. } | Failure::Stuck(_) => Exit::Fault,
        }
    }

    /// Whether the reader of the output has gone away, which is no error of ours.
    pub fn is_broken_pipe(&self) -> bool {
        let is = |e: &io::Error| e.kind() == io::ErrorKind::BrokenPipe;
        match self {
            Failure::Output { source, .. } => is(source),
            Failure::Png { source: png::EncodingError::IoError(source), .. } => is(source),
            _ => false,
        }
    }

    /// Prints the message, unless the reader of the output has gone away, and gives the exit code.
    pub fn report(&self, program: &str) -> Exit {
        if self.is_broken_pipe() {
            return Exit::Success;
        }
        crate::message!("{program}: {self}");
        self.exit()
    }
}

/// The exit code of an error of the decoder that ended a stream.
pub fn of_decoder(error: &nvdec::Error) -> Exit {
    if error.is_unsupported() {
        return Exit::Unavailable;
    }
    match error {
        nvdec::Error::Gpu(error) => of_gpu(error),
        nvdec::Error::Unusable { source, .. } => of_decoder(source),
        nvdec::Error::Bitstream { source, .. } if source.is_unsupported => Exit::Unavailable,
        nvdec::Error::NoPictures { source: Some(source) } if source.is_unsupported => Exit::Unavailable,
        nvdec::Error::NotSound { .. } | nvdec::Error::NotExact { .. } => Exit::Data,
        error if error.is_picture_error() => Exit::Data,
        _ => Exit::Fault,
    }
}

fn of_gpu(error: &hcq::Error) -> Exit {
    match error {
        hcq::Error::Open { source, .. } | hcq::Error::Ioctl { source, .. }
            if source.kind() == io::ErrorKind::PermissionDenied =>
        {
            Exit::Permission
        }
        error if error.is_out_of_descriptors() => Exit::Fault,
        // A node that is missing, or that no driver answers on.
        hcq::Error::Open { .. } => Exit::Unavailable,
        hcq::Error::Rm { status: RmStatus::NV_ERR_INSUFFICIENT_PERMISSIONS, .. } => Exit::Permission,
        _ => Exit::Fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(code: i32) -> nvdec::Error {
        hcq::Error::Open { node: "/dev/nvidiactl".into(), source: io::Error::from_raw_os_error(code) }.into()
    }

    #[test]
    fn errors_have_their_exit_codes() {
        const ENOENT: i32 = 2;
        const EACCES: i32 = 13;
        assert_eq!(of_decoder(&open(ENOENT)), Exit::Unavailable);
        assert_eq!(of_decoder(&open(EACCES)), Exit::Permission);
        assert_eq!(of_decoder(&nvdec::Error::Hardware("no NVDEC".into())), Exit::Unavailable);
        assert_eq!(of_decoder(&hcq::Error::GpuLost.into()), Exit::Fault);
        let refused = hcq::Error::Rm {
            operation: "RM_ALLOC".into(),
            status: RmStatus::NV_ERR_INSUFFICIENT_PERMISSIONS,
        };
        assert_eq!(of_decoder(&refused.into()), Exit::Permission);
        assert_eq!(Failure::NoPicture { path: "x".into(), bytes: 0, nal_units: 0 }.exit().code(), 65);
    }

    #[test]
    fn codes_have_their_exits() {
        for exit in [Exit::Success, Exit::Usage, Exit::NoInput, Exit::Permission] {
            assert_eq!(Exit::of_code(Some(exit.code().into())), exit);
        }
        assert_eq!([Exit::of_code(None), Exit::of_code(Some(101))], [Exit::Fault; 2]);
    }

    #[test]
    fn a_closed_pipe_is_no_error() {
        let source = io::Error::from(io::ErrorKind::BrokenPipe);
        let failure = Failure::Output { path: "-".into(), source };
        assert_eq!(failure.report("test"), Exit::Success);
        let source = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(Failure::Output { path: "x.yuv".into(), source }.exit(), Exit::Fault);
    }
}
