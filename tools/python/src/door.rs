//! [`away`]: work without Python's lock. [`enter`]: one thread at a time. [`Owned`]: what a process that was forked off leaves alone.

use std::mem::ManuallyDrop;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use pyo3::prelude::*;

use crate::error::{Failure, Kind, Result};

/// Runs `work` while other threads of Python go on. Nothing else here lets go of the lock.
pub(crate) fn away<T: Send>(py: Python<'_>, work: impl Send + FnOnce() -> Result<T>) -> PyResult<T> {
    Ok(py.detach(work)?)
}

/// What a mutex holds, whatever became of who held it last.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The lock of what one thread uses at a time: a second one is told, and does not wait.
pub(crate) fn enter(busy: &Mutex<()>) -> Result<MutexGuard<'_, ()>> {
    match busy.try_lock() {
        Ok(guard) => Ok(guard),
        Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => Err(Failure::new(
            Kind::Busy,
            "another thread is decoding with this object; make one for each thread: they share the device",
        )),
    }
}

/// Something that belongs to the process that made it: a connection to the driver, whose objects a child of that process would
/// free if it dropped its copy.
#[derive(Debug)]
pub(crate) struct Owned<T: Send> {
    process: u32,
    value: Option<T>,
}

impl<T: Send> Owned<T> {
    pub(crate) fn new(value: T) -> Owned<T> {
        Owned { process: std::process::id(), value: Some(value) }
    }

    /// The value, in the process that made it.
    pub(crate) fn get(&self) -> Result<&T> {
        if self.process != std::process::id() {
            return Err(Failure::new(
                Kind::Fork,
                "it was opened before fork(), by the parent of this process; open it here, or start processes with \
                 multiprocessing's \"spawn\" or \"forkserver\"",
            ));
        }
        self.value.as_ref().ok_or_else(|| Failure::new(Kind::Closed, "it is closed"))
    }
}

impl<T: Send> Drop for Owned<T> {
    fn drop(&mut self) {
        let Some(value) = self.value.take() else { return };
        if self.process != std::process::id() {
            let _ = ManuallyDrop::new(value);
            return;
        }
        // Decoders wait for their engines. Where there is no interpreter any more, nobody is kept waiting.
        let mut value = Some(value);
        Python::try_attach(|py| {
            let value = value.take();
            py.detach(move || drop(value));
        });
    }
}
