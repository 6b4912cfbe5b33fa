//! [`Driver`]: what the driver knows. The room holds its calls: device nodes, ioctls, and the objects that handles
//! name.

use std::io;
use std::sync::{Arc, Mutex};

use nvkernel_sys::layout::{Abi, DriverVersion};

use super::engines::registry::Attached;
use super::gpu::Gpu;
use super::gpu::fault_plan::FaultPlan;
use super::memory::physical::Pool;
use super::sync::lock;
use descriptors::Descriptors;
use objects::Objects;

pub(crate) mod alloc;
pub(crate) mod control;
pub(crate) mod descriptors;
pub(crate) mod ioctls;
pub(crate) mod maps;
pub(crate) mod objects;
pub(crate) mod user;

/// The state behind the calls.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) version: DriverVersion,
    pub(crate) abi: Abi,
    pub(crate) gpus: Vec<Arc<Gpu>>,
    /// Engine models that a program attached.
    pub(crate) attached: Attached,
    pub(crate) sysmem: Arc<Pool>,
    pub(crate) descriptors: Descriptors,
    pub(crate) objects: Mutex<Objects>,
    pub(crate) plan: Arc<FaultPlan>,
}

impl Driver {
    pub(crate) fn new(
        version: DriverVersion,
        gpus: Vec<Arc<Gpu>>,
        attached: Attached,
        sysmem: Arc<Pool>,
        plan: Arc<FaultPlan>,
    ) -> io::Result<Driver> {
        Ok(Driver {
            version,
            abi: Abi::for_version(version),
            gpus,
            attached,
            sysmem,
            descriptors: Descriptors::new()?,
            objects: Mutex::default(),
            plan,
        })
    }

    /// Frees what hung on descriptors that were closed.
    pub(crate) fn reap(&self) {
        let closed = self.descriptors.reap();
        if !closed.is_empty() {
            let mut objects = lock(&self.objects);
            for descriptor in &closed {
                objects.free_session(descriptor.id());
            }
        }
    }

    pub(crate) fn lose_gpu(&self, index: usize) {
        if let Some(gpu) = self.gpus.get(index) {
            gpu.signals.lose();
            self.descriptors.hang_up_events(index);
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        for gpu in &self.gpus {
            gpu.shut_down();
        }
        lock(&self.objects).clear();
    }
}
