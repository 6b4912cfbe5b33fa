//! [`Gpu`]: one context for each device of this process. [`User`]: who decodes on it, so that the next one takes another.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use hcq::EngineKind;
use nvdec::{Context, DeviceChoice};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::cuda::Cuda;
use crate::door::{away, lock};
use crate::error::Result;
use crate::idle::Idle;
use crate::wanted::{Candidate, Device, Name, Wanted, set_unusable};

/// A device of this process.
#[derive(Debug)]
pub(crate) struct Gpu {
    /// Before the context: it is memory of that.
    idle: Idle,
    cuda: OnceLock<Cuda>,
    /// Of those who make the side of CUDA, one does.
    making: Mutex<()>,
    ordinal: OnceLock<i32>,
    device: Device,
    /// How many go ahead of whom they decode for.
    readers: AtomicUsize,
    context: Arc<Context>,
}

/// The process that opened it, and which one it is; no device for the one that was opened because none was found.
type Opened = (u32, Option<Device>, Arc<Gpu>);

static OPEN: Mutex<Vec<Opened>> = Mutex::new(Vec::new());
/// Who decodes, each with its process: a child that is forked off has none of its parent's.
static USERS: Mutex<Vec<(u32, Device)>> = Mutex::new(Vec::new());

/// A device that was chosen for somebody.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) gpu: Arc<Gpu>,
    /// By which it was asked for.
    pub(crate) name: Name,
    pub(crate) user: User,
}

/// Somebody who decodes on a device, as long as the value lives.
#[derive(Debug)]
pub(crate) struct User {
    process: u32,
    device: Device,
}

impl User {
    fn of(device: Device) -> User {
        let process = std::process::id();
        lock(&USERS).push((process, device));
        User { process, device }
    }

    /// Of several devices the one on which the fewest decode, and of those alike the first; with its place. It is counted before it
    /// is opened, and in the same step in which it is chosen: of two threads that open a video at the same moment the second one sees
    /// the first.
    fn of_fewest(candidates: &[Candidate]) -> Option<(usize, User)> {
        let process = std::process::id();
        let users = &mut *lock(&USERS);
        let count =
            |&at: &usize| users.iter().filter(|user| **user == (process, candidates[at].device)).count();
        let at = (0..candidates.len()).min_by_key(count)?;
        let device = candidates[at].device;
        users.push((process, device));
        Some((at, User { process, device }))
    }

    fn count(device: Device) -> usize {
        let process = std::process::id();
        lock(&USERS).iter().filter(|user| **user == (process, device)).count()
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let users = &mut *lock(&USERS);
        if let Some(at) = users.iter().position(|user| *user == (self.process, self.device)) {
            users.swap_remove(at);
        }
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

impl Gpu {
    /// The device, opened if it is not yet. Of several the one on which the fewest decode; one that cannot be opened is passed over as
    /// long as there are others.
    pub(crate) fn open(wanted: &Wanted) -> Result<Chosen> {
        let (mut candidates, mut first) = wanted.candidates();
        while let Some((at, user)) = User::of_fewest(&candidates) {
            let one = candidates.remove(at);
            match Gpu::open_one(&one) {
                Ok(gpu) => {
                    if let Some(failure) = first {
                        log::warn!("{} is taken, for another one cannot be: {failure}", one.name);
                    }
                    return Ok(Chosen { gpu, name: one.name, user });
                }
                Err(failure) if one.is_found => set_unusable(one.device, &failure),
                Err(failure) => first = first.or(Some(failure)),
            }
        }
        match first {
            Some(failure) => Err(failure),
            // Says what is the matter, or takes the emulated one.
            None => Gpu::open_auto(),
        }
    }

    /// As [`open`](Self::open), but of several rather one that is open: to say something of it.
    pub(crate) fn look(wanted: &Wanted) -> Result<(Arc<Gpu>, Name)> {
        let (candidates, _) = wanted.candidates();
        let open = candidates.iter().filter_map(|one| Some((Gpu::known(Some(one.device))?, one.name)));
        let open: Vec<(Arc<Gpu>, Name)> = open.collect();
        // Of those alike the first, and that is the last one to be looked at.
        match open.into_iter().rev().max_by_key(|(gpu, _)| User::count(gpu.device)) {
            Some(most_used) => Ok(most_used),
            None => Gpu::open(wanted).map(|chosen| (chosen.gpu, chosen.name)),
        }
    }

    /// All devices among which it is a choice.
    pub(crate) fn open_all(wanted: &Wanted) -> Result<Vec<Chosen>> {
        let (candidates, failure) = wanted.candidates();
        if let Some(failure) = failure {
            return Err(failure);
        }
        let mut opened = Vec::new();
        for one in &candidates {
            let user = User::of(one.device);
            match Gpu::open_one(one) {
                Ok(gpu) => opened.push(Chosen { gpu, name: one.name, user }),
                Err(failure) if one.is_found => set_unusable(one.device, &failure),
                Err(failure) => return Err(failure),
            }
        }
        if opened.is_empty() { Ok(vec![Gpu::open_auto()?]) } else { Ok(opened) }
    }

    fn open_auto() -> Result<Chosen> {
        let gpu = match Gpu::known(None) {
            Some(gpu) => gpu,
            None => {
                let context = Context::open(DeviceChoice::Auto)?;
                let device = match context.is_emulated() {
                    true => Device::Emulated(0),
                    false => Device::Nv(context.device().info().index),
                };
                let gpu = Gpu::register(device, context);
                lock(&OPEN).push((std::process::id(), None, gpu.clone()));
                gpu
            }
        };
        Ok(Chosen { name: gpu.device.into(), user: User::of(gpu.device), gpu })
    }

    fn open_one(one: &Candidate) -> Result<Arc<Gpu>> {
        let gpu = match Gpu::known(Some(one.device)) {
            Some(gpu) => gpu,
            None => {
                let choice = match one.device {
                    Device::Nv(index) => DeviceChoice::Nv(index),
                    Device::Emulated(_) => DeviceChoice::Emulated,
                };
                // Without the lock: another process may be forked off while a device is opened.
                Gpu::register(one.device, Context::open(choice)?)
            }
        };
        if let Name::Cuda(ordinal) = one.name {
            let _ = gpu.ordinal.set(ordinal);
        }
        Ok(gpu)
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

    fn known(device: Option<Device>) -> Option<Arc<Gpu>> {
        let process = std::process::id();
        let open = lock(&OPEN);
        let found = open.iter().find(|(of, known, _)| *of == process && *known == device);
        found.map(|(.., gpu)| gpu.clone())
    }

    /// The device: this one, unless another thread was first.
    fn register(device: Device, context: Arc<Context>) -> Arc<Gpu> {
        let process = std::process::id();
        let made = Arc::new(Gpu {
            idle: Idle::default(),
            cuda: OnceLock::new(),
            making: Mutex::default(),
            ordinal: OnceLock::new(),
            device,
            readers: AtomicUsize::new(0),
            context,
        });
        let mut open = lock(&OPEN);
        if let Some((.., gpu)) = open.iter().find(|(of, known, _)| *of == process && *known == Some(device)) {
            return gpu.clone();
        }
        open.push((process, Some(device), made.clone()));
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

/// What a device is.
#[pyfunction]
pub(crate) fn probe<'py>(py: Python<'py>, devices: Vec<String>) -> PyResult<Bound<'py, PyDict>> {
    let (gpu, called, name, engines) = away(py, || {
        let (gpu, called) = Gpu::look(&Wanted::parse(&devices)?)?;
        let device = gpu.context().device();
        let (name, engines) = (device.name()?, device.engines_of(EngineKind::Nvdec)?);
        Ok((gpu.clone(), called, name, engines))
    })?;
    let context = gpu.context();
    let found = PyDict::new(py);
    found.set_item("device", called.to_string())?;
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
