//! What runs when a kernel is launched: a function for the code of a cubin.

use std::fmt;
use std::sync::Arc;

use super::cubin::{CubinError, Entry};
use crate::kernel::emulated::engines::engine::EngineContext;
use crate::kernel::emulated::engines::fault::EngineFault;
use crate::kernel::emulated::memory::address_space::AddressSpace;

type Run = dyn Fn(&Grid<'_>) -> Result<(), EngineFault> + Send + Sync;

/// A kernel as a function: what the model runs when it finds the kernel's code where a launch points.
///
/// Machine code is not executed. The code at the address of a launch is compared with that of the cubins of all models
/// ([`Builder::with_kernels`](crate::kernel::emulated::Builder::with_kernels)), so a launch has to have brought the code
/// of the right entry, for the right SM version, to where it says. Each cubin of a kernel is a model of its own.
#[derive(Clone)]
pub struct KernelModel {
    pub(crate) entry: Entry,
    pub(crate) run: Arc<Run>,
}

impl KernelModel {
    /// A model of kernel `entry` of the cubin `image`. `run` does for a whole grid what the code does; where it reads or
    /// writes what is not mapped, it passes the fault on.
    ///
    /// # Errors
    ///
    /// [`CubinError`] if the cubin is damaged, of another kind than is understood, or has no such entry.
    pub fn new<F>(image: &[u8], entry: &str, run: F) -> Result<KernelModel, CubinError>
    where
        F: Fn(&Grid<'_>) -> Result<(), EngineFault> + Send + Sync + 'static,
    {
        Ok(KernelModel { entry: Entry::read(image, entry)?, run: Arc::new(run) })
    }

    /// Name of the kernel.
    pub fn entry(&self) -> &str {
        &self.entry.name
    }

    /// SM version of the code: 90 is compute capability 9.0.
    pub fn sm(&self) -> u32 {
        self.entry.sm
    }
}

impl fmt::Debug for KernelModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kernel {} for sm_{}", self.entry.name, self.entry.sm)
    }
}

/// The models of a machine.
#[derive(Debug, Default)]
pub(crate) struct Kernels(Vec<KernelModel>);

impl Kernels {
    pub(crate) fn new(models: Vec<KernelModel>) -> Kernels {
        Kernels(models)
    }

    /// Bytes of the longest code.
    pub(crate) fn longest(&self) -> usize {
        self.0.iter().map(|model| model.entry.code.len()).max().unwrap_or(0)
    }

    /// The model whose code `memory` begins with: of several the longest, and rather one for one of `sms`.
    pub(crate) fn find(&self, memory: &[u8], sms: &[u32]) -> Option<&KernelModel> {
        let matching = self.0.iter().filter(|model| memory.starts_with(&model.entry.code));
        matching.max_by_key(|model| (sms.contains(&model.entry.sm), model.entry.code.len()))
    }
}

/// A launch, as a [`KernelModel`] sees it.
#[derive(Debug)]
pub struct Grid<'a> {
    pub(crate) context: &'a EngineContext<'a>,
    pub(crate) entry: &'a Entry,
    pub(crate) grid_dim: [u32; 3],
    pub(crate) block_dim: [u32; 3],
    pub(crate) dynamic_shared: u32,
    pub(crate) params: &'a [u8],
}

impl Grid<'_> {
    /// Name of the kernel.
    pub fn entry(&self) -> &str {
        &self.entry.name
    }

    /// Blocks in x, y and z.
    pub fn grid_dim(&self) -> [u32; 3] {
        self.grid_dim
    }

    /// Threads of a block in x, y and z.
    pub fn block_dim(&self) -> [u32; 3] {
        self.block_dim
    }

    /// Bytes of shared memory of a block beyond what the kernel itself declares. Launches give it in steps, so it may
    /// be more than was asked for.
    pub fn dynamic_shared_memory(&self) -> u32 {
        self.dynamic_shared
    }

    /// The parameters: the bytes of constant bank 0 where the cubin says that they lie. They are those of the last time
    /// that the bank was invalidated.
    pub fn params(&self) -> &[u8] {
        self.params
    }

    /// Memory, as the channel's address space shows it. There is no cache in front of it.
    pub fn memory(&self) -> &AddressSpace {
        self.context.memory()
    }

    /// Whether the result is of no use any more ([`EngineContext::is_cancelled`]). A model that works for long asks now
    /// and then, and returns.
    pub fn is_cancelled(&self) -> bool {
        self.context.is_cancelled()
    }
}
