//! `--device`, `--engine` and `--mode`: which GPU, real or emulated, which of its engines, and how.

use std::str::FromStr;
use std::sync::Arc;

use clap::ValueEnum;
use hcq::{EngineKind, EngineType};
use nvdec::{Context, DeviceChoice, EngineSet, Engines, Fallback, Mode, OpenOptions};

use crate::exit::{self, Failure};
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

/// What `--mode` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModeChoice {
    /// Pictures a second: looks as far ahead as 256 pictures in GPU memory reach
    Throughput,
    /// Looks ahead as far as 64 reach
    Balanced,
    /// Each picture as soon as can be, with 24 in GPU memory
    LowLatency,
}

impl From<ModeChoice> for Mode {
    fn from(choice: ModeChoice) -> Mode {
        match choice {
            ModeChoice::Throughput => Mode::Throughput,
            ModeChoice::Balanced => Mode::Balanced,
            ModeChoice::LowLatency => Mode::LowLatency,
        }
    }
}

/// Which GPU a program decodes on.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct DeviceArgs {
    /// auto (the first GPU that can decode; see --fallback), nv:N, or emulated (an H200 in software); by default what
    /// the environment variable NVDEC_DEVICE says, auto without it
    #[arg(long, value_name = "DEVICE", global = true)]
    device: Option<DeviceChoice>,

    /// When auto takes the emulated GPU, which is a hundred times slower, in place of a real one: never; if-absent, where
    /// there is neither an NVIDIA device nor its driver; or emulated, whenever no GPU can be used
    #[arg(long, value_name = "WHEN", default_value_t, global = true)]
    fallback: Fallback,
}

impl DeviceArgs {
    /// What they name; without `--device`, what the variable `NVDEC_DEVICE` does, and without that `auto`.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] if the variable names no device.
    pub fn options(self) -> Result<OpenOptions, Failure> {
        Ok(OpenOptions::new(choose(self.device)?).fallback(self.fallback))
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

/// Opens a GPU for decoding. Errors say what is wrong on this machine and what to do. Where the emulated GPU takes the
/// place of a real one, standard error says why.
pub fn open(options: impl Into<OpenOptions>) -> Result<Arc<Context>, Failure> {
    let opened = Context::open_or(options, |error| {
        let reason = explain(&error);
        crate::message!("{reason}; decoding on the emulated GPU, in software");
        Ok(())
    });
    opened.map_err(|failure| match failure {
        Failure::Decode(error) => explain(&error),
        failure => failure,
    })
}

/// What is wrong on this machine, and what to do about it.
pub(crate) fn explain(error: &nvdec::Error) -> Failure {
    let (cause, hint) = match error {
        nvdec::Error::Unusable { present, source } => (
            &**source,
            format!("; {present} is there, so the emulated GPU stands in only with --fallback emulated"),
        ),
        error => (error, String::new()),
    };
    let finding = match cause {
        nvdec::Error::Gpu(gpu) => permissions::explain_error(&collect::see(), gpu),
        _ => None,
    };
    let exit = finding.as_ref().and_then(|finding| finding.exit).unwrap_or_else(|| exit::of_decoder(cause));
    let message = match finding {
        Some(finding) => format!("{}; {}{hint}", finding.what, finding.advice),
        None => format!("{cause}{hint}"),
    };
    Failure::Device { message, exit }
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
