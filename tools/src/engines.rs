//! `--engine` and `--mode`: which of a GPU's engines decode, and what decoders are to be good at.

use std::str::FromStr;

use clap::ValueEnum;
use hcq::{EngineKind, EngineType};
use nvdec::{Context, EngineSet, Engines, Mode, Policy, Start, Taint};

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

/// What `--begin` names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum BeginChoice {
    /// At random access points alone
    RandomAccess,
    /// Also where pictures begin to be refreshed bit by bit (recovery point SEI)
    RecoveryPoint,
    /// Also at a picture that is all intra
    #[default]
    Intra,
    /// At any picture, whatever it refers to
    Any,
}

impl From<BeginChoice> for Start {
    fn from(choice: BeginChoice) -> Start {
        match choice {
            BeginChoice::RandomAccess => Start::RandomAccess,
            BeginChoice::RecoveryPoint => Start::RecoveryPoint,
            BeginChoice::Intra => Start::Intra,
            BeginChoice::Any => Start::Any,
        }
    }
}

/// What `--on-damage` names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PolicyChoice {
    /// Put them out, and say which they are
    #[default]
    Deliver,
    /// Leave them out
    Skip,
    /// End with the first of them
    Stop,
    /// Put out the last exact picture again in their place
    Freeze,
}

impl From<PolicyChoice> for Policy {
    fn from(choice: PolicyChoice) -> Policy {
        match choice {
            PolicyChoice::Deliver => Policy::Deliver,
            PolicyChoice::Skip => Policy::Skip,
            PolicyChoice::Stop => Policy::Stop,
            PolicyChoice::Freeze => Policy::Freeze,
        }
    }
}

/// What `--taint` names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TaintChoice {
    /// Whatever has it in a reference list
    Lists,
    /// What comes out differently with other samples in its place: such pictures are decoded twice
    #[default]
    Samples,
}

impl From<TaintChoice> for Taint {
    fn from(choice: TaintChoice) -> Taint {
        match choice {
            TaintChoice::Lists => Taint::ByLists,
            TaintChoice::Samples => Taint::BySamples,
        }
    }
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
        for wrong in ["8", "NVDEC4294967295", "x", "-1", "", "1,", ",", "1,all", "1-3"] {
            assert_eq!(wrong.parse::<EngineChoice>(), Err(ParseEngineError(wrong.into())));
        }
    }
}
