//! [`Wanted`]: devices as they are asked for. [`Name`]: one of the names of a device, which is kept for whom it was asked for by.

use std::fmt;
use std::sync::{Arc, Mutex};

use hcq::{GpuInfo, LinuxKernel};
use nvdec::DeviceChoice;

use crate::door::lock;
use crate::error::{Failure, Kind, Result};

/// The variable that has `cuda:N` be the emulated GPU `emulated:N`, for tests with a library that stands in for CUDA's.
const EMULATED_CUDA: &str = "NVDEC_EMULATED_CUDA";

/// The GPUs of the driver's list, but for those that turned out not to decode, and the process that asked for it.
static FOUND: Mutex<(u32, Vec<usize>)> = Mutex::new((0, Vec::new()));

/// A device, whatever it was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Device {
    /// A GPU of the driver's list.
    Nv(usize),
    /// One of any number of emulated ones.
    Emulated(usize),
}

/// What a device is called. `nv:0` and `cuda:0` may be the same one; only what was named the second way is handed to CUDA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Nv(usize),
    Cuda(i32),
    Emulated(usize),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Nv(index) => write!(f, "nv:{index}"),
            Name::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
            Name::Emulated(0) => f.write_str("emulated"),
            Name::Emulated(number) => write!(f, "emulated:{number}"),
        }
    }
}

impl From<Device> for Name {
    fn from(device: Device) -> Name {
        match device {
            Device::Nv(index) => Name::Nv(index),
            Device::Emulated(number) => Name::Emulated(number),
        }
    }
}

/// A device that can be chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) device: Device,
    /// By which it was asked for.
    pub(crate) name: Name,
    /// Whether it is there and could not be asked for by any name: it is left out if it does not decode.
    pub(crate) is_found: bool,
}

/// Devices as they are asked for, the first one first. `None` is any of the real ones; the emulated one where there is none.
#[derive(Clone, Debug)]
pub(crate) struct Wanted(Vec<Option<Name>>);

impl Wanted {
    /// Each text is a device, or several with commas between; "auto" is what the environment says.
    pub(crate) fn parse(texts: &[String]) -> Result<Wanted> {
        let mut all = Vec::new();
        for text in texts {
            let named = split(text)?;
            if named.is_empty() {
                return Err(refused(text));
            }
            for name in named {
                match name {
                    Some(_) => all.push(name),
                    None => all.extend(of_environment()?),
                }
            }
        }
        if all.is_empty() {
            return Err(Failure::new(Kind::Option, "device: none is named"));
        }
        Ok(Wanted(all))
    }

    /// The devices among which it is a choice, each once, by the first of its names; and what is wrong with the first name that is of
    /// none. Neither, where nothing was named and no GPU is found.
    pub(crate) fn candidates(&self) -> (Vec<Candidate>, Option<Failure>) {
        let (mut candidates, mut first) = (Vec::<Candidate>::new(), None);
        let mut add = |device, name, is_found| {
            if candidates.iter().all(|known| known.device != device) {
                candidates.push(Candidate { device, name, is_found });
            }
        };
        let mut listed = None;
        for name in &self.0 {
            match name {
                None => found().into_iter().for_each(|index| add(Device::Nv(index), Name::Nv(index), true)),
                Some(name) => match device_of(*name, &mut listed) {
                    Ok(device) => add(device, *name, false),
                    Err(failure) => first = first.or(Some(failure)),
                },
            }
        }
        (candidates, first)
    }
}

/// Devices with commas between.
fn split(text: &str) -> Result<Vec<Option<Name>>> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(one).collect()
}

fn one(text: &str) -> Result<Option<Name>> {
    let number =
        |prefix| text.strip_prefix(prefix).map(|digits: &str| digits.parse().map_err(|_| refused(text)));
    match text {
        "auto" => return Ok(None),
        "cuda" => return Ok(Some(Name::Cuda(0))),
        "emulated" => return Ok(Some(Name::Emulated(0))),
        _ => {}
    }
    if let Some(ordinal) = number("cuda:") {
        let ordinal: usize = ordinal?;
        return Ok(Some(Name::Cuda(i32::try_from(ordinal).map_err(|_| refused(text))?)));
    }
    if let Some(number) = number("emulated:") {
        return Ok(Some(Name::Emulated(number?)));
    }
    number("nv:").unwrap_or_else(|| Err(refused(text))).map(|index| Some(Name::Nv(index)))
}

fn refused(text: &str) -> Failure {
    Failure::new(
        Kind::Option,
        format!("device: {text:?} is none of auto, nv:N, cuda:N, emulated and emulated:N"),
    )
}

/// What the environment has "auto" be.
fn of_environment() -> Result<Vec<Option<Name>>> {
    let text = std::env::var(DeviceChoice::VARIABLE).unwrap_or_default();
    let named = split(&text).map_err(|failure| {
        Failure::new(Kind::Option, format!("in the environment, {}: {failure}", DeviceChoice::VARIABLE))
    })?;
    Ok(if named.is_empty() { vec![None] } else { named })
}

/// The GPUs that can be taken unasked.
fn found() -> Vec<usize> {
    let process = std::process::id();
    let known = lock(&FOUND).clone();
    if known.0 == process {
        return known.1;
    }
    let found = hcq::enumerate(Arc::new(LinuxKernel::new())).unwrap_or_default();
    let found: Vec<usize> = found.iter().map(|gpu| gpu.index).collect();
    if !found.is_empty() {
        *lock(&FOUND) = (process, found.clone());
    }
    found
}

/// Has a GPU that was found not be found again, for it does not decode.
pub(crate) fn set_unusable(device: Device, failure: &Failure) {
    // That may be otherwise the next time.
    if failure.is_out_of_memory() {
        return;
    }
    if let Device::Nv(index) = device {
        log::warn!("nv:{index} is left out: {failure}");
        lock(&FOUND).1.retain(|&found| found != index);
    }
}

/// The device of a name. `listed` is the driver's list, for which it is asked once.
fn device_of(name: Name, listed: &mut Option<Vec<GpuInfo>>) -> Result<Device> {
    match name {
        Name::Nv(index) => Ok(Device::Nv(index)),
        Name::Emulated(number) => Ok(Device::Emulated(number)),
        Name::Cuda(ordinal) if std::env::var_os(EMULATED_CUDA).is_some_and(|value| !value.is_empty()) => {
            Ok(Device::Emulated(ordinal as usize))
        }
        Name::Cuda(ordinal) => {
            let gpus = match listed {
                Some(gpus) => gpus,
                None => listed.insert(hcq::enumerate(Arc::new(LinuxKernel::new()))?),
            };
            index_of(ordinal, gpus).map(Device::Nv)
        }
    }
}

/// Which GPU of the driver's list CUDA is taken to call by that number: by PCI address, within `CUDA_VISIBLE_DEVICES`. That it is the
/// one is looked at when CUDA is there, before anything is handed to it.
fn index_of(ordinal: i32, gpus: &mut [GpuInfo]) -> Result<usize> {
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    gpus.sort_by_key(|gpu| gpu.pci);
    let missing = |listed: usize| {
        let text = format!("device: there is no cuda:{ordinal}, of {listed} GPUs that CUDA would list");
        Failure::new(Kind::Device, text)
    };
    let Some(visible) = visible else {
        return gpus.get(ordinal as usize).map(|gpu| gpu.index).ok_or_else(|| missing(gpus.len()));
    };
    let numbers: Option<Vec<usize>> =
        visible.split(',').filter(|part| !part.is_empty()).map(|part| part.trim().parse().ok()).collect();
    if let Some(numbers) = numbers {
        let chosen = numbers.get(ordinal as usize).and_then(|&number| gpus.get(number));
        return chosen.map(|gpu| gpu.index).ok_or_else(|| missing(numbers.len()));
    }
    // Names that only CUDA knows: its library says which GPU that is.
    let devices = nvdec_cuda::Cuda::load()?.devices()?;
    let device = devices.get(ordinal as usize).ok_or_else(|| missing(devices.len()))?;
    let found =
        gpus.iter().find(|gpu| device.pci_address.ends_with(gpu.pci_address().trim_start_matches('0')));
    found.map(|gpu| gpu.index).ok_or_else(|| missing(devices.len()))
}
