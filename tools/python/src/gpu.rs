//! [`Gpu`]: one context for each device of this process.

use std::sync::atomic::{AtomicUsize, Ordering};
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
    /// `nv:N`, or `emulated`, or `emulated:N`.
    name: String,
    /// How many decode on it, and how many of them go ahead of whom they decode for.
    users: AtomicUsize,
    readers: AtomicUsize,
    context: Arc<Context>,
}

/// What was opened, with the process that did.
static OPEN: Mutex<Vec<(u32, String, Arc<Gpu>)>> = Mutex::new(Vec::new());
/// The GPUs of the driver's list, but for those that turned out not to decode; likewise.
static FOUND: Mutex<(u32, Vec<usize>)> = Mutex::new((0, Vec::new()));

/// A device as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Any of the real ones; the emulated one where there is none.
    Auto,
    Nv(usize),
    Cuda(i32),
    /// One of any number of them.
    Emulated(usize),
    /// Any of these.
    OneOf(Vec<Wanted>),
}

impl Wanted {
    pub(crate) fn parse(text: &str) -> Result<Wanted> {
        match text {
            "auto" => Wanted::from_env(),
            text => Wanted::one(text),
        }
    }

    fn one(text: &str) -> Result<Wanted> {
        let number =
            |prefix| text.strip_prefix(prefix).map(|digits: &str| digits.parse().map_err(|_| refused(text)));
        match text {
            "auto" => return Ok(Wanted::Auto),
            "cuda" => return Ok(Wanted::Cuda(0)),
            "emulated" => return Ok(Wanted::Emulated(0)),
            _ => {}
        }
        if let Some(ordinal) = number("cuda:") {
            let ordinal: usize = ordinal?;
            return Ok(Wanted::Cuda(i32::try_from(ordinal).map_err(|_| refused(text))?));
        }
        if let Some(number) = number("emulated:") {
            return Ok(Wanted::Emulated(number?));
        }
        number("nv:").unwrap_or_else(|| Err(refused(text))).map(Wanted::Nv)
    }

    /// What the environment has "auto" be: a device, or several with commas between.
    fn from_env() -> Result<Wanted> {
        let text = std::env::var(DeviceChoice::VARIABLE).unwrap_or_default();
        let named = text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(Wanted::one);
        let named: Vec<Wanted> = named.collect::<Result<_>>().map_err(|failure| {
            Failure::new(Kind::Option, format!("in the environment, {}: {failure}", DeviceChoice::VARIABLE))
        })?;
        match &named[..] {
            [] => Ok(Wanted::Auto),
            [one] => Ok(one.clone()),
            _ => Ok(Wanted::OneOf(named)),
        }
    }

    /// The devices among which it is a choice; none for the one that is found by opening it.
    fn choice(&self) -> Vec<Wanted> {
        match self {
            Wanted::Auto => {
                let process = std::process::id();
                let known = lock(&FOUND).clone();
                if known.0 == process {
                    return known.1.into_iter().map(Wanted::Nv).collect();
                }
                let found = hcq::enumerate(Arc::new(LinuxKernel::new())).unwrap_or_default();
                let found: Vec<usize> = found.iter().map(|gpu| gpu.index).collect();
                if !found.is_empty() {
                    *lock(&FOUND) = (process, found.clone());
                }
                found.into_iter().map(Wanted::Nv).collect()
            }
            Wanted::OneOf(named) => {
                let mut all = Vec::new();
                for wanted in named.iter().flat_map(|one| match one {
                    Wanted::Auto => one.choice(),
                    one => vec![one.clone()],
                }) {
                    if !all.contains(&wanted) {
                        all.push(wanted);
                    }
                }
                all
            }
            one => vec![one.clone()],
        }
    }

    /// Under which the device is known; that of CUDA's by the driver's number.
    fn resolved(&self) -> Result<Wanted> {
        match self {
            Wanted::Cuda(ordinal) => index_of(*ordinal).map(Wanted::Nv),
            other => Ok(other.clone()),
        }
    }

    fn name(&self) -> String {
        match self {
            Wanted::Auto | Wanted::OneOf(_) => "auto".to_owned(),
            Wanted::Nv(index) => format!("nv:{index}"),
            Wanted::Cuda(ordinal) => format!("cuda:{ordinal}"),
            Wanted::Emulated(0) => "emulated".to_owned(),
            Wanted::Emulated(number) => format!("emulated:{number}"),
        }
    }
}

/// Somebody who decodes on a device.
#[derive(Debug)]
pub(crate) struct User(Arc<Gpu>);

impl Drop for User {
    fn drop(&mut self) {
        self.0.users.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Somebody who decodes ahead on a device.
#[derive(Debug)]
pub(crate) struct Reader(Arc<Gpu>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

fn refused(text: &str) -> Failure {
    Failure::new(
        Kind::Option,
        format!("device: {text:?} is none of auto, nv:N, cuda:N, emulated and emulated:N"),
    )
}

impl Gpu {
    /// The device, opened if it is not yet. Of several the one on which the fewest decode.
    pub(crate) fn open(wanted: &Wanted) -> Result<Arc<Gpu>> {
        let mut choice = wanted.choice();
        if let [one] = &choice[..]
            && *wanted != Wanted::Auto
        {
            return Gpu::open_one(one);
        }
        let users = |one: &Wanted| {
            let known = one.resolved().ok().and_then(|one| Gpu::known(&one.name()));
            known.map_or(0, |gpu| gpu.users.load(Ordering::Relaxed))
        };
        choice.sort_by_cached_key(users);
        let mut first = None;
        for one in &choice {
            match Gpu::open_one(one) {
                // One that is there and that it could not be asked for.
                Err(failure) if *wanted == Wanted::Auto => Gpu::set_unusable(one, &failure),
                Err(failure) => first = first.or(Some(failure)),
                opened => return opened,
            }
        }
        match first {
            Some(failure) => Err(failure),
            // Says what is the matter, or takes the emulated one.
            None => Gpu::open_auto(),
        }
    }

    /// As [`open`](Self::open), but of several rather one that is open: to say something of it.
    pub(crate) fn look(wanted: &Wanted) -> Result<Arc<Gpu>> {
        let choice = wanted.choice();
        let known = choice.iter().filter_map(|one| Gpu::known(&one.resolved().ok()?.name()));
        let most_used = known.max_by_key(|gpu| gpu.users.load(Ordering::Relaxed));
        most_used.map_or_else(|| Gpu::open(wanted), Ok)
    }

    /// All devices among which it is a choice.
    pub(crate) fn open_all(wanted: &[Wanted]) -> Result<Vec<Arc<Gpu>>> {
        let mut opened: Vec<Arc<Gpu>> = Vec::new();
        for wanted in wanted {
            for one in wanted.choice() {
                match Gpu::open_one(&one) {
                    Ok(gpu) if opened.iter().any(|known| Arc::ptr_eq(known, &gpu)) => {}
                    Ok(gpu) => opened.push(gpu),
                    Err(failure) if *wanted == Wanted::Auto => Gpu::set_unusable(&one, &failure),
                    Err(failure) => return Err(failure),
                }
            }
        }
        if opened.is_empty() { Ok(vec![Gpu::open_auto()?]) } else { Ok(opened) }
    }

    fn set_unusable(wanted: &Wanted, failure: &Failure) {
        // That may be otherwise the next time.
        if failure.is_out_of_memory() {
            return;
        }
        if let Wanted::Nv(index) = wanted {
            log::warn!("nv:{index} is left out: {failure}");
            lock(&FOUND).1.retain(|found| found != index);
        }
    }

    fn open_auto() -> Result<Arc<Gpu>> {
        if let Some(gpu) = Gpu::known("auto") {
            return Ok(gpu);
        }
        let context = Context::open(DeviceChoice::Auto)?;
        let name = if context.is_emulated() {
            Wanted::Emulated(0).name()
        } else {
            Wanted::Nv(context.device().info().index).name()
        };
        let gpu = Gpu::register(&name, context);
        lock(&OPEN).push((std::process::id(), "auto".to_owned(), gpu.clone()));
        Ok(gpu)
    }

    fn open_one(wanted: &Wanted) -> Result<Arc<Gpu>> {
        let resolved = wanted.resolved()?;
        let name = resolved.name();
        let gpu = match Gpu::known(&name) {
            Some(gpu) => gpu,
            None => {
                let choice = match resolved {
                    Wanted::Nv(index) => DeviceChoice::Nv(index),
                    Wanted::Emulated(_) => DeviceChoice::Emulated,
                    _ => return Gpu::open_auto(),
                };
                // Without the lock: another process may be forked off while a device is opened.
                Gpu::register(&name, Context::open(choice)?)
            }
        };
        if let Wanted::Cuda(ordinal) = wanted {
            let _ = gpu.ordinal.set(*ordinal);
        }
        Ok(gpu)
    }

    /// Counts as one who decodes on it, as long as the value lives.
    pub(crate) fn used(self: &Arc<Gpu>) -> User {
        self.users.fetch_add(1, Ordering::Relaxed);
        User(self.clone())
    }

    /// Counts as one who decodes ahead, as long as the value lives.
    pub(crate) fn read(self: &Arc<Gpu>) -> Reader {
        self.readers.fetch_add(1, Ordering::Relaxed);
        Reader(self.clone())
    }

    /// By how many the memory for what is decoded ahead is divided.
    pub(crate) fn readers(&self) -> usize {
        self.readers.load(Ordering::Relaxed).max(1)
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
            name: name.to_owned(),
            users: AtomicUsize::new(0),
            readers: AtomicUsize::new(0),
            context,
        });
        let mut open = lock(&OPEN);
        if let Some((.., gpu)) = open.iter().find(|(of, known, _)| *of == process && known == name) {
            return gpu.clone();
        }
        open.push((process, name.to_owned(), made.clone()));
        made
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

    /// `nv:N`, `emulated` or `emulated:N`.
    pub(crate) fn name(&self) -> String {
        self.name.clone()
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
        let gpu = Gpu::look(&Wanted::parse(device)?)?;
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
