//! `--device` and `--fallback`: which GPU, real or emulated, and what is said where it cannot be used.

use std::sync::Arc;

use nvdec::{Context, DeviceChoice, Fallback, OpenOptions};

use crate::exit::{self, Failure};
use crate::probe::{collect, permissions};

/// Which GPU a program decodes on.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct DeviceArgs {
    /// auto (the first GPU that can decode; see --fallback), nv:N, or emulated (an H200 in software); by default what
    /// the environment variable NVDEC_DEVICE says, auto without it
    #[arg(long, value_name = "DEVICE", global = true)]
    device: Option<DeviceChoice>,

    /// When auto takes the emulated GPU, which is a hundred times slower, in place of a real one: never; if-absent,
    /// where there is neither an NVIDIA device nor its driver; or emulated, whenever no GPU can be used
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
    fn the_emulated_gpu_opens() {
        assert_eq!(open(DeviceChoice::Emulated).unwrap().class().generation, "Hopper");
    }
}
