//! `--device` and `--engine`: which GPU, real or emulated, and which of its engines.

use std::str::FromStr;
use std::sync::Arc;

use hcq::{Device, EngineKind, EngineType, KernelInterface, LinuxKernel};
use nvdec::Context;

use crate::exit::{Exit, Failure};
use crate::probe::{collect, permissions};

/// What `--device` names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first GPU that can decode; the emulated one where there is none.
    #[default]
    Auto,
    /// A GPU by its position in the driver's list.
    Nv(usize),
    /// The emulated GPU.
    Emulated,
}

/// A device or engine that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// Not a device.
    #[error("{0:?} is none of auto, nv:N (N a GPU's number, from 0) and emulated")]
    Device(String),
    /// Not an engine.
    #[error("{0:?} is neither an NVDEC number (0 to 7) nor \"all\"")]
    Engine(String),
}

impl FromStr for DeviceChoice {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        match text {
            "auto" => Ok(DeviceChoice::Auto),
            "emulated" => Ok(DeviceChoice::Emulated),
            _ => text
                .strip_prefix("nv:")
                .and_then(|n| n.parse().ok())
                .map(DeviceChoice::Nv)
                .ok_or_else(|| ChoiceError::Device(text.to_owned())),
        }
    }
}

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
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        let error = || ChoiceError::Engine(text.to_owned());
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

/// The way to the GPUs that a choice means.
pub fn kernel(choice: DeviceChoice) -> Result<Arc<dyn KernelInterface>, Failure> {
    match choice {
        DeviceChoice::Auto | DeviceChoice::Nv(_) => Ok(Arc::new(LinuxKernel::new())),
        DeviceChoice::Emulated => emulated_kernel(),
    }
}

/// The emulated GPU, an H200 with video engines that decode.
fn emulated_kernel() -> Result<Arc<dyn KernelInterface>, Failure> {
    let kernel = nvdec::emulated::h200().map_err(|error| Failure::Device {
        message: format!("cannot set up the emulated GPU: {error}"),
        exit: Exit::Fault,
    })?;
    Ok(Arc::new(kernel))
}

/// Opens the GPU that `choice` means for decoding. Errors say what is wrong on this machine and what to do.
///
/// Where there is no usable GPU, `auto` says so on standard error and takes the emulated one. A GPU that is
/// there but forbidden is an error all the same: that is for its user to mend, not to work around.
pub fn open(choice: DeviceChoice) -> Result<Arc<Context>, Failure> {
    let kernel = kernel(choice)?;
    let opened = match choice {
        DeviceChoice::Nv(index) => open_index(&kernel, index),
        DeviceChoice::Auto | DeviceChoice::Emulated => first_usable(&kernel),
    };
    match opened.map_err(|error| explain(&error)) {
        Err(Failure::Device { message, exit: Exit::Unavailable }) if choice == DeviceChoice::Auto => {
            eprintln!("{message}; decoding on the emulated GPU, in software");
            open(DeviceChoice::Emulated)
        }
        opened => opened,
    }
}

fn open_index(kernel: &Arc<dyn KernelInterface>, index: usize) -> nvdec::Result<Arc<Context>> {
    Context::new(Device::open(kernel.clone(), index)?)
}

/// The first GPU that can decode; if there is none, the error of the first one.
fn first_usable(kernel: &Arc<dyn KernelInterface>) -> nvdec::Result<Arc<Context>> {
    let count = hcq::enumerate(kernel.clone())?.len();
    let mut first_error = None;
    for index in 0..count {
        match open_index(kernel, index) {
            Ok(context) => return Ok(context),
            Err(error) => {
                log::info!("GPU {index} is not usable: {error}");
                first_error.get_or_insert(error);
            }
        }
    }
    Err(first_error.unwrap_or_else(|| hcq::Error::NoGpu("the driver lists none".to_owned()).into()))
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
    fn devices_and_engines_parse() {
        assert_eq!("auto".parse(), Ok(DeviceChoice::Auto));
        assert_eq!("nv:3".parse(), Ok(DeviceChoice::Nv(3)));
        assert_eq!("emulated".parse(), Ok(DeviceChoice::Emulated));
        for wrong in ["", "nv", "nv:", "nv:-1", "cuda:0", "AUTO"] {
            assert_eq!(wrong.parse::<DeviceChoice>(), Err(ChoiceError::Device(wrong.into())));
        }
        assert_eq!("4".parse(), Ok(EngineChoice::Number(4)));
        assert_eq!("NVDEC7".parse(), Ok(EngineChoice::Number(7)));
        assert_eq!("all".parse(), Ok(EngineChoice::All));
        for wrong in ["8", "x", "-1", ""] {
            assert_eq!(wrong.parse::<EngineChoice>(), Err(ChoiceError::Engine(wrong.into())));
        }
    }

    #[test]
    fn the_emulated_gpu_opens() {
        assert_eq!(open(DeviceChoice::Emulated).unwrap().class().generation, "Hopper");
    }
}
