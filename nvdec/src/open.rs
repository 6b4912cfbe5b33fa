//! [`DeviceChoice`]: which GPU to decode on, real or emulated. [`OpenOptions`]: when the emulated one may stand in for a
//! real one, and how a context is opened.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, Once};

use hcq::{Device, KernelInterface, LinuxKernel};

use crate::context::Context;
use crate::error::{Error, ParseDeviceError, ParseFallbackError, Result};

/// Which GPU to decode on. The text form is that of `--device` and of the variable
/// [`NVDEC_DEVICE`](Self::VARIABLE).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DeviceChoice {
    /// `auto`: the first GPU that can decode; what takes its place, and when, [`Fallback`] says.
    #[default]
    Auto,
    /// `nv:N`: a GPU by its position in the driver's list, from 0.
    Nv(usize),
    /// `emulated`: the emulated GPU, an H200 ([`emulated`](mod@crate::emulated)).
    Emulated,
}

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
                .ok_or_else(|| ParseDeviceError::new(text)),
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

/// When the emulated GPU takes the place of a real one, for [`DeviceChoice::Auto`]. The text form is that of
/// `--fallback`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fallback {
    /// `never`: without a usable GPU, opening fails.
    Never,
    /// `if-absent`: where there is neither a device node of NVIDIA's nor its driver. A GPU that is there and cannot be
    /// used is an error.
    #[default]
    IfAbsent,
    /// `emulated`: also where a GPU is there and cannot be used, for whatever reason.
    IfUnusable,
}

impl Fallback {
    const NAMES: [(Fallback, &str); 3] =
        [(Fallback::Never, "never"), (Fallback::IfAbsent, "if-absent"), (Fallback::IfUnusable, "emulated")];
}

impl FromStr for Fallback {
    type Err = ParseFallbackError;

    fn from_str(text: &str) -> std::result::Result<Self, ParseFallbackError> {
        let known = Fallback::NAMES.iter().find(|(_, name)| *name == text);
        known.map(|(fallback, _)| *fallback).ok_or_else(|| ParseFallbackError::new(text))
    }
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Fallback::NAMES.iter().find(|(fallback, _)| fallback == self);
        f.write_str(name.expect("each has a name").1)
    }
}

/// How to open a GPU for decoding.
///
/// ```
/// use nvdec::{DeviceChoice, Fallback, OpenOptions};
///
/// let options = OpenOptions::new(DeviceChoice::Auto).fallback(Fallback::Never);
/// assert_eq!(options.device.to_string(), "auto");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenOptions {
    /// Which GPU.
    pub device: DeviceChoice,
    /// When the emulated one takes its place.
    pub fallback: Fallback,
}

impl OpenOptions {
    /// To open `device`; the emulated GPU stands in as [`Fallback::IfAbsent`] says.
    pub fn new(device: DeviceChoice) -> OpenOptions {
        OpenOptions { device, ..OpenOptions::default() }
    }

    /// With another rule for the emulated GPU.
    pub fn fallback(self, fallback: Fallback) -> OpenOptions {
        OpenOptions { fallback, ..self }
    }
}

impl From<DeviceChoice> for OpenOptions {
    fn from(device: DeviceChoice) -> OpenOptions {
        OpenOptions::new(device)
    }
}

impl DeviceChoice {
    /// The environment variable that gives the default.
    pub const VARIABLE: &str = "NVDEC_DEVICE";

    /// What the environment says: [`DeviceChoice::Auto`] where [`NVDEC_DEVICE`](Self::VARIABLE) is unset or empty.
    /// The variable names the device alone, as `--device` does, and not what stands in for it: `auto` in it is the
    /// same as no variable.
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
    /// the emulated one on a machine without GPU and driver. See [`open`](Self::open).
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and [`Error::Variable`] if the variable names no device.
    pub fn open_default() -> Result<Arc<Context>> {
        Context::open(DeviceChoice::from_env()?)
    }

    /// Opens a GPU: a [`DeviceChoice`], or with [`OpenOptions`] one and when the emulated GPU takes its place.
    ///
    /// Where it does, one line on standard error says so, once in the life of the process: decoding a hundred times
    /// slower must not go unnoticed in a program that has no logger. [`open_or`](Self::open_or) leaves that to the
    /// caller, and [`is_emulated`](Self::is_emulated) tells the two apart.
    ///
    /// # Errors
    ///
    /// What keeps the GPU from being used. [`Error::Unusable`] if that is one that [`DeviceChoice::Auto`] found and
    /// that [`Fallback::IfAbsent`] does not replace.
    pub fn open(options: impl Into<OpenOptions>) -> Result<Arc<Context>> {
        Context::open_or(options, say_once)
    }

    /// As [`open`](Self::open), for programs with kernels of their own: machine code runs on GPUs alone, and
    /// should the emulated one be taken, `models` stand for the code of those kernels there.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    #[cfg(feature = "emulated")]
    pub fn open_with_kernels(
        options: impl Into<OpenOptions>,
        models: impl IntoIterator<Item = hcq::kernel::emulated::KernelModel>,
    ) -> Result<Arc<Context>> {
        open_among(options.into(), say_once, || {
            let kernel = crate::emulated::h200_with(models).map_err(|source| Error::Emulation { source })?;
            Ok(Arc::new(kernel))
        })
    }

    /// As [`open`](Self::open), but in place of the line on standard error `missing` is called: with the reason for
    /// which no GPU can be used, before the emulated one is taken. It may refuse that with an error of its own.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and what `missing` says.
    pub fn open_or<E: From<Error>>(
        options: impl Into<OpenOptions>,
        missing: impl FnOnce(Error) -> std::result::Result<(), E>,
    ) -> std::result::Result<Arc<Context>, E> {
        open_among(options.into(), missing, emulated_kernel)
    }
}

/// See [`Context::open_or`]; `emulated` makes the machine whose GPU is the emulated one.
fn open_among<E: From<Error>>(
    options: OpenOptions,
    missing: impl FnOnce(Error) -> std::result::Result<(), E>,
    emulated: impl FnOnce() -> Result<Arc<dyn KernelInterface>>,
) -> std::result::Result<Arc<Context>, E> {
    let real = || Arc::new(LinuxKernel::new()) as Arc<dyn KernelInterface>;
    let opened = match options.device {
        DeviceChoice::Nv(index) => return Ok(open_index(&real(), index)?),
        DeviceChoice::Emulated => return Ok(first_usable(&emulated()?)?),
        DeviceChoice::Auto => first_usable(&real()),
    };
    let error = match opened {
        Ok(context) => return Ok(context),
        Err(error) => error,
    };
    missing(instead(error, options.fallback, traces_of_a_driver(Path::new("/")))?)?;
    Ok(first_usable(&emulated()?)?)
}

/// Says on standard error, once in the life of the process, why the emulated GPU is taken.
fn say_once(error: Error) -> Result<()> {
    static SAID: Once = Once::new();
    // Standard error may be full or closed, which is no reason not to decode.
    SAID.call_once(|| {
        let line = format!("nvdec: {error}; decoding on the emulated GPU, in software\n");
        let _ = io::stderr().write_all(line.as_bytes());
    });
    Ok(())
}

/// The reason for which the emulated GPU takes the place of a real one that failed with `error`; if it must not, the
/// error that the caller gets. `present` is what there is of a GPU on this machine.
fn instead(error: Error, fallback: Fallback, present: Option<String>) -> Result<Error> {
    // The emulated GPU needs more descriptors and memory than a real one, and it is not the GPU that is at fault.
    if error.is_out_of_descriptors() || !cfg!(feature = "emulated") {
        return Err(error);
    }
    match (fallback, present) {
        (Fallback::IfUnusable, _) | (Fallback::IfAbsent, None) => Ok(error),
        (Fallback::IfAbsent, Some(present)) => Err(Error::Unusable { present, source: Box::new(error) }),
        (Fallback::Never, _) => Err(error),
    }
}

/// What there is of NVIDIA GPUs and their driver below `root`: a device node, or what the loaded driver shows.
fn traces_of_a_driver(root: &Path) -> Option<String> {
    let is_node = |name: &str| {
        let digits = name.strip_prefix("nvidia")?;
        (digits == "ctl" || (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))).then_some(())
    };
    let nodes = fs::read_dir(root.join("dev")).into_iter().flatten().flatten();
    let nodes = nodes.filter_map(|entry| entry.file_name().into_string().ok());
    let nodes = nodes.filter(|name| is_node(name).is_some()).map(|name| format!("/dev/{name}"));
    let driver = "proc/driver/nvidia/version";
    nodes.min().or_else(|| root.join(driver).exists().then(|| format!("/{driver}")))
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
                if worst.as_ref().is_none_or(|worst| says_little(worst) && !says_little(&error)) {
                    worst = Some(error);
                }
            }
        }
    }
    Err(worst.unwrap_or_else(|| hcq::Error::NoGpu("the driver lists none".to_owned()).into()))
}

/// Whether an error of opening a GPU only says that it is not there, or that it has no decoder. Of several GPUs,
/// the one that is forbidden or has failed is more worth telling.
fn says_little(error: &Error) -> bool {
    matches!(error, Error::Hardware(_) | Error::Gpu(hcq::Error::NoGpu(_) | hcq::Error::Unsupported(_)))
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
    fn fallbacks_have_a_text_form() {
        for (fallback, name) in Fallback::NAMES {
            assert_eq!((fallback.to_string().as_str(), name.parse()), (name, Ok(fallback)));
        }
        let error = "yes".parse::<Fallback>().unwrap_err();
        assert_eq!(error.to_string(), "\"yes\" is none of never, if-absent and emulated");
    }

    fn open(errno: i32) -> Error {
        let source = io::Error::from_raw_os_error(errno);
        hcq::Error::Open { node: "/dev/nvidia0".into(), source }.into()
    }

    /// Everything that may keep a GPU from being opened.
    fn failures() -> Vec<Error> {
        const ERRNOS: [i32; 7] = [1, 2, 5, 6, 13, 16, 19];
        let too_old = hcq::Error::DriverTooOld { version: "450.1".into(), floor: "515".into() };
        let more = [
            Error::Hardware("the GPU has no NVDEC engine".into()),
            hcq::Error::NoGpu("none".into()).into(),
            hcq::Error::Unsupported("no NVDEC class".into()).into(),
            too_old.into(),
            hcq::Error::GpuLost.into(),
        ];
        ERRNOS.into_iter().map(open).chain(more).collect()
    }

    #[cfg(feature = "emulated")]
    #[test]
    fn a_gpu_that_is_there_is_not_replaced_unasked() {
        let present = || Some("/dev/nvidia0".to_owned());
        for error in failures() {
            let cause = error.to_string();
            let error = instead(error, Fallback::IfAbsent, present()).unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, Error::Unusable { .. }), "{text}");
            for part in [cause.as_str(), "/dev/nvidia0", "NVDEC_DEVICE=emulated", "--fallback emulated"] {
                assert!(text.contains(part), "{part} is not in {text}");
            }
        }
        for error in failures() {
            let cause = error.to_string();
            assert_eq!(instead(error, Fallback::IfUnusable, present()).unwrap().to_string(), cause);
        }
    }

    #[cfg(feature = "emulated")]
    #[test]
    fn a_gpu_that_is_absent_is_replaced_unless_that_is_forbidden() {
        assert!(instead(open(2), Fallback::IfAbsent, None).is_ok());
        assert!(instead(open(2), Fallback::IfUnusable, None).is_ok());
        let error = instead(open(2), Fallback::Never, None).unwrap_err();
        assert!(matches!(error, Error::Gpu(_)), "{error}");
    }

    /// It would fail for want of descriptors itself, and say nothing of the cause.
    #[test]
    fn want_of_descriptors_is_no_want_of_a_gpu() {
        for (errno, advice) in [(23, "fs.file-max"), (24, "ulimit -n")] {
            for fallback in Fallback::NAMES.map(|(fallback, _)| fallback) {
                let error = instead(open(errno), fallback, None).unwrap_err();
                assert!(error.is_out_of_descriptors(), "{error}");
                assert!(error.to_string().contains(advice), "{error}");
            }
        }
    }

    #[test]
    fn traces_of_gpus_are_seen() {
        let root = std::env::temp_dir().join(format!("nvdec-traces-{}", std::process::id()));
        let traces = || traces_of_a_driver(&root);
        assert_eq!(traces(), None);
        for folder in ["dev/nvidia-caps", "proc/driver/nvidia"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for other in ["nvidia-modeset", "nvidiafb", "nvram"] {
            fs::write(root.join("dev").join(other), "").unwrap();
        }
        assert_eq!(traces(), None, "none of them is a GPU");
        fs::write(root.join("proc/driver/nvidia/version"), "NVRM").unwrap();
        assert_eq!(traces().as_deref(), Some("/proc/driver/nvidia/version"));
        for (node, first) in [("nvidiactl", "nvidiactl"), ("nvidia12", "nvidia12")] {
            fs::write(root.join("dev").join(node), "").unwrap();
            assert_eq!(traces(), Some(format!("/dev/{first}")));
        }
        fs::remove_dir_all(root).unwrap();
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
            assert!(!says_little(&error), "{error}");
            assert!(error.to_string().contains("NV_ERR_INSUFFICIENT_PERMISSIONS"), "{error}");
        }
    }
}
