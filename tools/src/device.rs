//! `--device` and `--engine`: which GPU, real or emulated, and which of its engines.

use std::str::FromStr;
use std::sync::Arc;

use hcq::{EngineKind, EngineType};
use nvdec::{Context, DeviceChoice};

use crate::exit::{Exit, Failure};
use crate::probe::{collect, permissions};

/// An engine that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an NVDEC number (0 to 7) nor \"all\"")]
pub struct ParseEngineError(String);

/// What `--engine` names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// The engine with the least work.
    #[default]
    LeastBusy,
    /// NVDEC by its number.
    Number(u32),
    /// Every engine in turn.
    All,
}

impl FromStr for EngineChoice {
    type Err = ParseEngineError;

    fn from_str(text: &str) -> Result<Self, ParseEngineError> {
        let error = || ParseEngineError(text.to_owned());
        match text {
            "all" => Ok(EngineChoice::All),
            _ => {
                let digits = text.strip_prefix("NVDEC").unwrap_or(text);
                let number = digits.parse().map_err(|_| error())?;
                EngineType::of(EngineKind::Nvdec, number).ok_or_else(error)?;
                Ok(EngineChoice::Number(number))
            }
        }
    }
}

impl EngineChoice {
    /// The engine for the `job`th of several streams on `context`; `None` leaves it to the context.
    pub fn for_job(self, context: &Context, job: usize) -> Option<EngineType> {
        match self {
            EngineChoice::LeastBusy => None,
            EngineChoice::Number(number) => EngineType::of(EngineKind::Nvdec, number),
            EngineChoice::All => {
                let engines = context.engines();
                Some(engines[job % engines.len()])
            }
        }
    }
}

/// What `--device` says; without it the variable `NVDEC_DEVICE`, without that `auto`.
///
/// # Errors
///
/// [`Failure::Usage`] if the variable names no device.
pub fn choose(option: Option<DeviceChoice>) -> Result<DeviceChoice, Failure> {
    match option {
        Some(choice) => Ok(choice),
        None => DeviceChoice::from_env().map_err(|error| Failure::Usage(error.to_string())),
    }
}

/// Opens the GPU that `choice` means for decoding. Errors say what is wrong on this machine and what to do.
///
/// Where there is no usable GPU, `auto` says why on standard error and takes the emulated one. A GPU that is there
/// but forbidden is an error all the same: that is for its user to mend, not to work around.
pub fn open(choice: DeviceChoice) -> Result<Arc<Context>, Failure> {
    let opened = Context::open_or(choice, |error| match explain(&error) {
        Failure::Device { message, exit: Exit::Unavailable } => {
            eprintln!("{message}; decoding on the emulated GPU, in software");
            Ok(())
        }
        // This machine says more of the error than the error itself.
        failure => Err(failure),
    });
    opened.map_err(|failure| match failure {
        Failure::Decode(error) => explain(&error),
        failure => failure,
    })
}

fn explain(error: &nvdec::Error) -> Failure {
    let seen = collect::see();
    let finding = match error {
        nvdec::Error::Gpu(gpu) => permissions::explain_error(&seen, gpu),
        _ => None,
    };
    Failure::device(error, finding.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_parse() {
        assert_eq!("4".parse(), Ok(EngineChoice::Number(4)));
        assert_eq!("NVDEC7".parse(), Ok(EngineChoice::Number(7)));
        assert_eq!("all".parse(), Ok(EngineChoice::All));
        for wrong in ["8", "x", "-1", ""] {
            assert_eq!(wrong.parse::<EngineChoice>(), Err(ParseEngineError(wrong.into())));
        }
    }

    #[test]
    fn the_emulated_gpu_opens() {
        assert_eq!(open(DeviceChoice::Emulated).unwrap().class().generation, "Hopper");
    }
}
