//! [`Gpu`]: one context for each device of this process.

use std::sync::{Arc, Mutex, OnceLock};

use hcq::{EngineKind, LinuxKernel};
use nvdec::{Context, DeviceChoice};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::cuda::Cuda;
use crate::door::{away, lock};
use crate::error::{Failure, Kind, Result};
use crate::idle::Idle;

/// A device of this process.
#[derive(Debug)]
pub(crate) struct Gpu {
    /// Before the context: it is memory of that.
    idle: Idle,
    cuda: OnceLock<Cuda>,
    /// Of those who make the side of CUDA, one does.
    making: Mutex<()>,
    ordinal: OnceLock<i32>,
    context: Arc<Context>,
}

/// What was opened, with the process that did.
static OPEN: Mutex<Vec<(u32, String, Arc<Gpu>)>> = Mutex::new(Vec::new());

/// A device as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Choice(DeviceChoice),
    Cuda(i32),
}

impl Wanted {
    pub(crate) fn parse(text: &str) -> Result<Wanted> {
        if let Some(digits) = text.strip_prefix("cuda:") {
            let ordinal = digits.parse().ok().filter(|&ordinal: &i32| ordinal >= 0);
            return ordinal.map(Wanted::Cuda).ok_or_else(|| refused(text));
        }
        match text {
            "cuda" => Ok(Wanted::Cuda(0)),
            "auto" => Ok(Wanted::Choice(DeviceChoice::from_env()?)),
            text => text.parse().map(Wanted::Choice).map_err(|_| refused(text)),
        }
    }
}

fn refused(text: &str) -> Failure {
    Failure::new(Kind::Option, format!("device: {text:?} is none of auto, emulated, nv:N and cuda:N"))
}

impl Gpu {
    /// The device, opened if it is not yet.
    pub(crate) fn open(wanted: Wanted) -> Result<Arc<Gpu>> {
        let choice = match wanted {
            Wanted::Choice(choice) => choice,
            Wanted::Cuda(ordinal) => DeviceChoice::Nv(index_of(ordinal)?),
        };
        let gpu = match Gpu::known(&choice.to_string()) {
            Some(gpu) => gpu,
            None => {
                // Without the lock: another process may be forked off while a device is opened.
                let context = Context::open(choice)?;
                let name = if context.is_emulated() {
                    DeviceChoice::Emulated.to_string()
                } else {
                    DeviceChoice::Nv(context.device().info().index).to_string()
                };
                let gpu = Gpu::register(&name, context);
                if choice == DeviceChoice::Auto {
                    Gpu::alias("auto", &gpu);
                }
                gpu
            }
        };
        if let Wanted::Cuda(ordinal) = wanted {
            let _ = gpu.ordinal.set(ordinal);
        }
        Ok(gpu)
    }

    fn known(name: &str) -> Option<Arc<Gpu>> {
        let process = std::process::id();
        let open = lock(&OPEN);
        let found = open.iter().find(|(of, known, _)| *of == process && known == name);
        found.map(|(.., gpu)| gpu.clone())
    }

    /// The device of that name: this one, unless another thread was first.
    fn register(name: &str, context: Arc<Context>) -> Arc<Gpu> {
        let process = std::process::id();
        let made = Arc::new(Gpu {
            idle: Idle::default(),
            cuda: OnceLock::new(),
            making: Mutex::default(),
            ordinal: OnceLock::new(),
            context,
        });
        let mut open = lock(&OPEN);
        if let Some((.., gpu)) = open.iter().find(|(of, known, _)| *of == process && known == name) {
            return gpu.clone();
        }
        open.push((process, name.to_owned(), made.clone()));
        made
    }

    fn alias(name: &str, gpu: &Arc<Gpu>) {
        lock(&OPEN).push((std::process::id(), name.to_owned(), gpu.clone()));
    }

    /// Has the next one who opens the device open it anew: it is lost.
    pub(crate) fn forget(self: &Arc<Gpu>) {
        let process = std::process::id();
        let mut gone = Vec::new();
        let mut open = lock(&OPEN);
        let mut at = 0;
        while at < open.len() {
            if open[at].0 == process && Arc::ptr_eq(&open[at].2, self) {
                gone.push(open.remove(at));
            } else {
                at += 1;
            }
        }
        drop(open);
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    pub(crate) fn idle(&self) -> &Idle {
        &self.idle
    }

    /// `nv:N`, or `emulated`.
    pub(crate) fn name(&self) -> String {
        if self.context.is_emulated() {
            "emulated".to_owned()
        } else {
            format!("nv:{}", self.context.device().info().index)
        }
    }

    /// The side of CUDA, which loads its library.
    pub(crate) fn cuda(&self) -> Result<&Cuda> {
        if let Some(cuda) = self.cuda.get() {
            return Ok(cuda);
        }
        let _making = lock(&self.making);
        if let Some(cuda) = self.cuda.get() {
            return Ok(cuda);
        }
        let cuda = Cuda::new(self.context().device(), self.ordinal.get().copied())?;
        Ok(self.cuda.get_or_init(|| cuda))
    }
}

/// Which GPU of the driver's list CUDA is taken to call by that number: by PCI address, within `CUDA_VISIBLE_DEVICES`. That it is the
/// one is looked at when CUDA is there, before anything is handed to it.
fn index_of(ordinal: i32) -> Result<usize> {
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    let mut gpus = hcq::enumerate(Arc::new(LinuxKernel::new()))?;
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

/// What the device of this machine is.
#[pyfunction]
pub(crate) fn probe<'py>(py: Python<'py>, device: &str) -> PyResult<Bound<'py, PyDict>> {
    let (gpu, name, engines) = away(py, || {
        let gpu = Gpu::open(Wanted::parse(device)?)?;
        let device = gpu.context().device();
        let (name, engines) = (device.name()?, device.engines_of(EngineKind::Nvdec)?);
        Ok((gpu.clone(), name, engines))
    })?;
    let context = gpu.context();
    let found = PyDict::new(py);
    found.set_item("device", gpu.name())?;
    found.set_item("name", name)?;
    found.set_item("generation", context.class().generation)?;
    found.set_item("engines", engines.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    found.set_item("driver", context.device().driver_version().to_string())?;
    found.set_item("emulated", context.is_emulated())?;
    found.set_item("pci", context.device().info().pci_address())?;
    found.set_item("memory_limit", context.memory_limit())?;
    found.set_item("memory_allocated", context.allocated_memory())?;
    Ok(found)
}
