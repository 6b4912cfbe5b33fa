//! `--device` and `--engine`: which GPU, real or emulated, and which of its engines.

use std::str::FromStr;
use std::sync::Arc;

use hcq::{EngineKind, EngineType};
use nvdec::{Context, DeviceChoice, EngineSet, Engines};

use crate::exit::{Exit, Failure};
use crate::probe::{collect, permissions};

/// A text that names no engines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of all, one, each, and NVDEC numbers (0 to 7) such as 3 or 1,2,5")]
pub struct ParseEngineError(String);

/// What `--engine` names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// All engines for every stream.
    #[default]
    All,
    /// The engine with the least to do.
    One,
    /// An engine for each of several streams, in turn.
    Each,
    /// NVDECs by their numbers.
    Set(EngineSet),
}

impl FromStr for EngineChoice {
    type Err = ParseEngineError;

    fn from_str(text: &str) -> Result<Self, ParseEngineError> {
        let engine = |text: &str| {
            let digits = text.strip_prefix("NVDEC").unwrap_or(text);
            digits.parse().ok().and_then(|number| EngineType::of(EngineKind::Nvdec, number))
        };
        match text {
            "all" => Ok(EngineChoice::All),
            "one" => Ok(EngineChoice::One),
            "each" => Ok(EngineChoice::Each),
            _ => {
                let set: Option<EngineSet> = text.split(',').map(engine).collect();
                set.map(EngineChoice::Set).ok_or_else(|| ParseEngineError(text.to_owned()))
            }
        }
    }
}

impl EngineChoice {
    /// The engines for the `job`th of several streams on `context`.
    pub fn for_job(self, context: &Context, job: usize) -> Engines {
        match self {
            EngineChoice::All => Engines::All,
            EngineChoice::One => Engines::LeastBusy,
            EngineChoice::Each => context.engines()[job % context.engines().len()].into(),
            EngineChoice::Set(set) => Engines::Set(set),
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
        let set = |numbers: &[u32]| {
            let engines = numbers.iter().filter_map(|&n| EngineType::of(EngineKind::Nvdec, n));
            Ok(EngineChoice::Set(engines.collect()))
        };
        assert_eq!("4".parse(), set(&[4]));
        assert_eq!("NVDEC7".parse(), set(&[7]));
        assert_eq!("1,NVDEC2,5".parse(), set(&[5, 2, 1]));
        assert_eq!("all".parse(), Ok(EngineChoice::All));
        assert_eq!("one".parse(), Ok(EngineChoice::One));
        assert_eq!("each".parse(), Ok(EngineChoice::Each));
        for wrong in ["8", "x", "-1", "", "1,", ",", "1,all", "1-3"] {
            assert_eq!(wrong.parse::<EngineChoice>(), Err(ParseEngineError(wrong.into())));
        }
    }

    #[test]
    fn the_emulated_gpu_opens() {
        assert_eq!(open(DeviceChoice::Emulated).unwrap().class().generation, "Hopper");
    }
}
