//! [`Module`]: a cubin in GPU memory. [`Kernel`]: one of its kernels, ready to be launched.

use std::fmt;
use std::sync::{Arc, Weak};

use nvkernel_sys::class;

use super::cubin::{self, Cubin, CubinError, KernelInfo, Part};
use super::descriptor::{self, Descriptor, Multiprocessor};
use super::refusal::LaunchError;
use crate::address_space::Placement;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::memory::DeviceBuffer;

/// Registers of a multiprocessor, of which a block cannot have more.
const REGISTERS: u32 = 65536;
/// Most threads of a block.
const MAX_THREADS: u32 = 1024;
/// Most threads of a block by dimension, and most blocks of a grid.
const MAX_BLOCK: [u32; 3] = [1024, 1024, 64];
const MAX_GRID: [u32; 3] = [0x7fff_ffff, 65535, 65535];
/// Registers are given to a warp in units of 256: 8 to a thread.
const REGISTER_UNIT: u32 = 8;
const WARP: u32 = 32;

/// A cubin that is loaded: its code and constants in GPU memory. Clones share it.
#[derive(Clone, Debug)]
pub struct Module {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    cubin: Cubin,
    memory: DeviceBuffer,
    layout: &'static descriptor::Layout,
    multiprocessor: &'static Multiprocessor,
}

impl Module {
    /// Loads a cubin.
    ///
    /// # Errors
    ///
    /// [`Error::Cubin`] if it is none, or is for another architecture than that of the GPU; [`Error::Unsupported`] if launches
    /// on GPUs of this kind are not known.
    pub fn load(device: &Device, bytes: &[u8]) -> Result<Module> {
        Module::load_any(device, [bytes])
    }

    /// The one of several cubins that is for the GPU: of its own compute capability, or of a lower one of the same generation
    /// (code for sm_80 runs on sm_86, not that for sm_90 on sm_100). For those who load it elsewhere: nothing is loaded.
    ///
    /// # Errors
    ///
    /// [`Error::Cubin`] if one is none; [`CubinError::NoneFits`] names those that there are.
    pub fn fitting<'a>(device: &Device, cubins: impl IntoIterator<Item = &'a [u8]>) -> Result<&'a [u8]> {
        let gpu = device.compute_capability()?;
        let mut fitting: Option<(u32, &[u8])> = None;
        let mut offered = Vec::new();
        for bytes in cubins {
            let architecture = cubin::architecture(bytes)?;
            offered.push(architecture);
            let fits = architecture / 10 == gpu / 10 && architecture <= gpu;
            if fits && fitting.is_none_or(|(best, _)| best < architecture) {
                fitting = Some((architecture, bytes));
            }
        }
        fitting.map(|(_, bytes)| bytes).ok_or_else(|| {
            Error::Cubin(match offered[..] {
                [cubin] => CubinError::Architecture { cubin, gpu },
                _ => {
                    let offered: Vec<_> = offered.iter().map(|sm| format!("sm_{sm}")).collect();
                    CubinError::NoneFits { gpu, offered: offered.join(", ") }
                }
            })
        })
    }

    /// Loads the one of several cubins that is [for the GPU](Self::fitting).
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load); [`CubinError::NoneFits`] names those that there are.
    pub fn load_any<'a>(device: &Device, cubins: impl IntoIterator<Item = &'a [u8]>) -> Result<Module> {
        let class = device.pick_class("compute", class::COMPUTE_CLASSES)?;
        let row = descriptor::compute_row(class);
        let layout = row.and_then(|row| row.layout).ok_or_else(|| {
            let name = class::name_of(class);
            Error::Unsupported(format!(
                "the launch descriptor of {name} is not known: no kernel can be launched"
            ))
        })?;
        let gpu = device.compute_capability()?;
        let multiprocessor = descriptor::multiprocessor(gpu)
            .ok_or_else(|| Error::Unsupported(format!("nothing is known of launches on sm_{gpu}")))?;
        let bytes = Module::fitting(device, cubins)?;
        let cubin = Cubin::parse(bytes)?;
        let memory = device.allocate_internal(cubin.image.len() as u64, Placement::Vidmem)?;
        let mut image = cubin.image.clone();
        for relocation in &cubin.relocations {
            let address = memory.gpu_address() + relocation.target;
            let at = relocation.at as usize;
            match relocation.part {
                Part::Whole => image[at..at + 8].copy_from_slice(&address.to_le_bytes()),
                Part::Low => image[at..at + 4].copy_from_slice(&(address as u32).to_le_bytes()),
                Part::High => image[at..at + 4].copy_from_slice(&((address >> 32) as u32).to_le_bytes()),
            }
        }
        memory.view()?.stream_in(0, &image);
        Ok(Module { inner: Arc::new(Inner { cubin, memory, layout, multiprocessor }) })
    }

    /// What the cubin says.
    pub fn cubin(&self) -> &Cubin {
        &self.inner.cubin
    }

    /// The kernel with entry symbol `name`.
    ///
    /// # Errors
    ///
    /// [`CubinError::NoKernel`]; [`Error::Launch`] if no launch of it is possible.
    pub fn kernel(&self, name: &str) -> Result<Kernel> {
        let info = self.inner.cubin.kernel(name)?.clone();
        let refused = |error| Error::Launch { kernel: name.to_owned(), error };
        if info.stack > 0 {
            return Err(refused(LaunchError::Stack { bytes: info.stack }));
        }
        let mut template = Descriptor::new(self.inner.layout);
        template.set_program(self.inner.memory.gpu_address() + info.code);
        template.set_resources(info.registers, info.barriers, 0);
        for &(number, at, bytes) in &info.constants {
            template.set_bank(number, self.inner.memory.gpu_address() + at, bytes);
        }
        Ok(Kernel { inner: Arc::new(KernelInner { info, template, module: self.clone() }) })
    }
}

/// A kernel that can be launched ([`ComputeCommands::launch`](super::ComputeCommands::launch)). Clones share it.
#[derive(Clone)]
pub struct Kernel {
    inner: Arc<KernelInner>,
}

/// Which kernel it is, whether it is still there or not.
pub(super) struct KernelId(Weak<KernelInner>);

impl fmt::Debug for KernelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kernel at {:?}", self.0.as_ptr())
    }
}

impl KernelId {
    /// No other kernel lies at its address, as long as this is there.
    pub(super) fn is_of(&self, kernel: &Kernel) -> bool {
        std::ptr::eq(self.0.as_ptr(), Arc::as_ptr(&kernel.inner))
    }
}

struct KernelInner {
    info: KernelInfo,
    template: Descriptor,
    module: Module,
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.info.fmt(f)
    }
}

impl Kernel {
    /// What its cubin says of it.
    pub fn info(&self) -> &KernelInfo {
        &self.inner.info
    }

    /// Its code and constants.
    pub(super) fn memory(&self) -> &DeviceBuffer {
        &self.inner.module.inner.memory
    }

    /// Whether both are the same one.
    pub(super) fn is(&self, other: &Kernel) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    pub(super) fn id(&self) -> KernelId {
        KernelId(Arc::downgrade(&self.inner))
    }

    pub(super) fn template(&self) -> &Descriptor {
        &self.inner.template
    }

    pub(super) fn multiprocessor(&self) -> &'static Multiprocessor {
        self.inner.module.inner.multiprocessor
    }

    /// Most threads that a block can have, by the kernel's registers and launch bounds.
    pub fn max_threads(&self) -> u32 {
        let info = self.info();
        let registers = info.registers.max(1).next_multiple_of(REGISTER_UNIT);
        let by_registers = REGISTERS / registers / WARP * WARP;
        by_registers.min(info.max_threads.unwrap_or(MAX_THREADS)).min(MAX_THREADS)
    }

    /// That a launch is possible.
    pub(super) fn check(
        &self,
        grid: [u32; 3],
        block: [u32; 3],
        shared: u32,
        parameters: usize,
    ) -> Result<(), LaunchError> {
        let info = self.info();
        let within = |what, sizes: [u32; 3], most: [u32; 3]| {
            let good = sizes.iter().zip(most).all(|(&size, most)| size > 0 && size <= most);
            if good { Ok(()) } else { Err(LaunchError::Size { what, sizes, most }) }
        };
        within("grid", grid, MAX_GRID)?;
        within("block", block, MAX_BLOCK)?;
        let threads = block.iter().product::<u32>();
        let most = self.max_threads();
        if threads > most {
            return Err(LaunchError::Threads { threads, most, registers: info.registers });
        }
        if let Some(wanted) = info.required_threads.filter(|&wanted| wanted != block) {
            return Err(LaunchError::Block { block, wanted });
        }
        let limit = self.multiprocessor().shared - self.multiprocessor().reserve;
        if info.shared.checked_add(shared).is_none_or(|bytes| bytes > limit) {
            return Err(LaunchError::Shared { own: info.shared, dynamic: shared, limit });
        }
        if parameters != info.parameters as usize {
            return Err(LaunchError::Parameters { given: parameters, wanted: info.parameters as usize });
        }
        Ok(())
    }
}
