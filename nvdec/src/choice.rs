//! [`DeviceChoice`]: which GPU to decode on, real or emulated, and how a context is opened on it.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::{Arc, Once};

use hcq::{Device, KernelInterface, LinuxKernel};

use crate::context::Context;
use crate::error::{Error, Result};

/// Which GPU to decode on. The text form is that of `--device` and of the variable
/// [`NVDEC_DEVICE`](Self::VARIABLE).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DeviceChoice {
    /// `auto`: the first GPU that can decode; the emulated one where there is none.
    #[default]
    Auto,
    /// `nv:N`: a GPU by its position in the driver's list, from 0.
    Nv(usize),
    /// `emulated`: the emulated GPU, an H200 ([`emulated`](mod@crate::emulated)).
    Emulated,
}

/// A text that names no device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of auto, nv:N (N a GPU's number, from 0) and emulated")]
pub struct ParseDeviceError(String);

impl FromStr for DeviceChoice {
    type Err = ParseDeviceError;

    fn from_str(text: &str) -> std::result::Result<Self, ParseDeviceError> {
        match text {
            "auto" => Ok(DeviceChoice::Auto),
            "emulated" => Ok(DeviceChoice::Emulated),
            _ => text
                .strip_prefix("nv:")
                .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
                .and_then(|digits| digits.parse().ok())
                .map(DeviceChoice::Nv)
                .ok_or_else(|| ParseDeviceError(text.to_owned())),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceChoice::Auto => f.write_str("auto"),
            DeviceChoice::Nv(index) => write!(f, "nv:{index}"),
            DeviceChoice::Emulated => f.write_str("emulated"),
        }
    }
}

impl DeviceChoice {
    /// The environment variable that gives the default.
    pub const VARIABLE: &str = "NVDEC_DEVICE";

    /// What the environment says: [`DeviceChoice::Auto`] where [`NVDEC_DEVICE`](Self::VARIABLE) is unset or empty.
    ///
    /// # Errors
    ///
    /// [`Error::Variable`] if it holds something else than a device.
    pub fn from_env() -> Result<DeviceChoice> {
        match std::env::var_os(Self::VARIABLE) {
            Some(value) if !value.is_empty() => {
                value.to_string_lossy().parse().map_err(|source| Error::Variable { source })
            }
            _ => Ok(DeviceChoice::Auto),
        }
    }

    /// The way to the GPUs among which the choice is made: of `auto` to the real ones.
    ///
    /// # Errors
    ///
    /// As [`emulated::h200`](crate::emulated::h200) for the emulated GPU; [`Error::NoEmulation`] in a build
    /// without it.
    pub fn kernel(self) -> Result<Arc<dyn KernelInterface>> {
        match self {
            DeviceChoice::Auto | DeviceChoice::Nv(_) => Ok(Arc::new(LinuxKernel::new())),
            DeviceChoice::Emulated => emulated_kernel(),
        }
    }
}

#[cfg(feature = "emulated")]
fn emulated_kernel() -> Result<Arc<dyn KernelInterface>> {
    crate::emulated::h200()
        .map(|kernel| Arc::new(kernel) as Arc<dyn KernelInterface>)
        .map_err(|source| Error::Emulation { source })
}

#[cfg(not(feature = "emulated"))]
fn emulated_kernel() -> Result<Arc<dyn KernelInterface>> {
    Err(Error::NoEmulation)
}

impl Context {
    /// Opens the GPU that [`NVDEC_DEVICE`](DeviceChoice::VARIABLE) names; without it the first that can decode, or
    /// the emulated one where there is none. See [`open`](Self::open).
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and [`Error::Variable`] if the variable names no device.
    pub fn open_default() -> Result<Arc<Context>> {
        Context::open(DeviceChoice::from_env()?)
    }

    /// Opens the GPU that `choice` means.
    ///
    /// Where [`DeviceChoice::Auto`] finds no GPU that could be used, it takes the emulated one and says so with one
    /// line on standard error, once in the life of the process: decoding a hundred times slower must not go
    /// unnoticed in a program that has no logger. [`open_or`](Self::open_or) leaves that to the caller, and
    /// [`is_emulated`](Self::is_emulated) tells the two apart. In a build without the feature `emulated` it is an
    /// error instead.
    ///
    /// # Errors
    ///
    /// What keeps the GPU from being used. A GPU that is there but forbidden is an error and never replaced: that is
    /// for its user to mend.
    pub fn open(choice: DeviceChoice) -> Result<Arc<Context>> {
        static SAID: Once = Once::new();
        Context::open_or(choice, |error| {
            SAID.call_once(|| eprintln!("nvdec: {error}; decoding on the emulated GPU, in software"));
            Ok(())
        })
    }

    /// As [`open`](Self::open), but in place of the line on standard error `missing` is called: with the reason for
    /// which no GPU can be used, before the emulated one is taken. It may refuse that with an error of its own.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and what `missing` says.
    pub fn open_or<E: From<Error>>(
        choice: DeviceChoice,
        missing: impl FnOnce(Error) -> std::result::Result<(), E>,
    ) -> std::result::Result<Arc<Context>, E> {
        let opened = choice.kernel().and_then(|kernel| match choice {
            DeviceChoice::Nv(index) => open_index(&kernel, index),
            DeviceChoice::Auto | DeviceChoice::Emulated => first_usable(&kernel),
        });
        match opened {
            Err(error)
                if choice == DeviceChoice::Auto && cfg!(feature = "emulated") && is_missing_gpu(&error) =>
            {
                missing(error)?;
                Ok(first_usable(&emulated_kernel()?)?)
            }
            opened => Ok(opened?),
        }
    }
}

fn open_index(kernel: &Arc<dyn KernelInterface>, index: usize) -> Result<Arc<Context>> {
    Context::new(Device::open(kernel.clone(), index)?)
}

/// The first GPU that can decode. If there is none, the first error that says more than that a GPU is not there.
fn first_usable(kernel: &Arc<dyn KernelInterface>) -> Result<Arc<Context>> {
    let count = hcq::enumerate(kernel.clone())?.len();
    let mut worst: Option<Error> = None;
    for index in 0..count {
        match open_index(kernel, index) {
            Ok(context) => return Ok(context),
            Err(error) => {
                log::info!("GPU {index} is not usable: {error}");
                if worst.as_ref().is_none_or(|worst| is_missing_gpu(worst) && !is_missing_gpu(&error)) {
                    worst = Some(error);
                }
            }
        }
    }
    Err(worst.unwrap_or_else(|| hcq::Error::NoGpu("the driver lists none".to_owned()).into()))
}

/// Whether an error of opening a GPU says that there is none that could decode, rather than that one is forbidden
/// or has failed.
fn is_missing_gpu(error: &Error) -> bool {
    /// Errors of opening a device node behind which there is no driver, or no GPU that it could start or share.
    const ABSENT: [i32; 5] = [ENOENT, EIO, ENXIO, EBUSY, ENODEV];
    const ENOENT: i32 = 2;
    const EIO: i32 = 5;
    const ENXIO: i32 = 6;
    const EBUSY: i32 = 16;
    const ENODEV: i32 = 19;
    match error {
        Error::Hardware(_) => true,
        Error::Gpu(hcq::Error::Open { source, .. }) => {
            source.raw_os_error().map_or(source.kind() == io::ErrorKind::NotFound, |e| ABSENT.contains(&e))
        }
        Error::Gpu(error) => matches!(
            error,
            hcq::Error::NoGpu(_) | hcq::Error::Unsupported(_) | hcq::Error::DriverTooOld { .. }
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_have_a_text_form() {
        for choice in [DeviceChoice::Auto, DeviceChoice::Nv(0), DeviceChoice::Nv(17), DeviceChoice::Emulated]
        {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        for wrong in ["", "nv", "nv:", "nv:-1", "nv:+1", "nv:99999999999999999999", "cuda:0", "AUTO"] {
            let error = wrong.parse::<DeviceChoice>().unwrap_err();
            assert!(error.to_string().starts_with(&format!("{wrong:?} is none of auto, nv:N")), "{error}");
        }
    }

    #[test]
    fn a_gpu_that_is_forbidden_is_not_missing() {
        let open = |errno| {
            let source = io::Error::from_raw_os_error(errno);
            Error::from(hcq::Error::Open { node: "/dev/nvidia0".into(), source })
        };
        for (errno, missing) in [(2, true), (6, true), (19, true), (1, false), (13, false), (24, false)] {
            assert_eq!(is_missing_gpu(&open(errno)), missing, "errno {errno}");
        }
        assert!(is_missing_gpu(&hcq::Error::NoGpu("none".into()).into()));
        assert!(is_missing_gpu(&Error::Hardware("the GPU has no NVDEC engine".into())));
        assert!(!is_missing_gpu(&hcq::Error::GpuLost.into()));
    }

    #[cfg(feature = "emulated")]
    mod emulated {
        use hcq::EngineKind;
        use hcq::kernel::emulated::{Call, EmulatedKernel, Failure, GpuModel};
        use nvkernel_sys::class;
        use nvkernel_sys::status::RmStatus;

        use super::*;

        #[test]
        fn the_emulated_gpu_opens() {
            let context = Context::open(DeviceChoice::Emulated).unwrap();
            assert!(context.is_emulated() && context.class().generation == "Hopper");
        }

        /// Of several GPUs, the one that is forbidden tells more than the one that cannot decode.
        #[test]
        fn the_first_gpu_that_can_decode_is_taken() {
            let machine = || {
                let mut blind = GpuModel::h200();
                blind.engines.retain(|engine| engine.kind() != EngineKind::Nvdec);
                EmulatedKernel::builder().gpu(blind.clone()).gpu(GpuModel::h200()).gpu(blind).build().unwrap()
            };
            let kernel = machine();
            let context = first_usable(&(Arc::new(kernel) as _)).unwrap();
            assert_eq!(context.device().info().index, 1);
            let kernel = machine();
            let refused = Failure::Status(RmStatus::NV_ERR_INSUFFICIENT_PERMISSIONS);
            kernel.faults().fail_call(Call::Alloc(class::NV01_DEVICE_0), 1, refused);
            let error = first_usable(&(Arc::new(kernel) as _)).unwrap_err();
            assert!(!is_missing_gpu(&error), "{error}");
            assert!(error.to_string().contains("NV_ERR_INSUFFICIENT_PERMISSIONS"), "{error}");
        }
    }
}
