//! [`ComputeCommands`]: launches for a [`ComputeQueue`](super::ComputeQueue), checked as they are added.

use super::module::Kernel;
use crate::error::{Error, Result};
use crate::memory::DeviceBuffer;

/// The parameters of a launch, one after the other, each aligned to its own size as a compiler lays them out.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    bytes: Vec<u8>,
    buffers: Vec<DeviceBuffer>,
}

impl Arguments {
    /// No parameters.
    pub fn new() -> Self {
        Arguments::default()
    }

    fn align(&mut self, alignment: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(alignment), 0);
    }

    /// A pointer to the first byte of `buffer`.
    #[must_use]
    pub fn buffer(mut self, buffer: &DeviceBuffer) -> Self {
        self.align(8);
        self.bytes.extend(buffer.gpu_address().to_le_bytes());
        self.buffers.push(buffer.clone());
        self
    }

    /// A 32-bit integer.
    #[must_use]
    pub fn u32(mut self, value: u32) -> Self {
        self.align(4);
        self.bytes.extend(value.to_le_bytes());
        self
    }

    /// A 64-bit integer.
    #[must_use]
    pub fn u64(mut self, value: u64) -> Self {
        self.align(8);
        self.bytes.extend(value.to_le_bytes());
        self
    }

    /// A 32-bit floating-point number.
    #[must_use]
    pub fn f32(self, value: f32) -> Self {
        self.u32(value.to_bits())
    }

    /// A structure by value.
    ///
    /// # Panics
    ///
    /// If `alignment` is no power of two.
    #[must_use]
    pub fn structure(mut self, bytes: &[u8], alignment: usize) -> Self {
        assert!(alignment.is_power_of_two(), "alignments are powers of two");
        self.align(alignment);
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Memory that the kernel finds otherwise than by a pointer of its own, such as one within a structure.
    #[must_use]
    pub fn and(mut self, buffer: &DeviceBuffer) -> Self {
        self.buffers.push(buffer.clone());
        self
    }
}

/// A launch, with parts that the caller keeps: for those who launch one kernel after the other, and want nothing allocated for
/// it ([`ComputeQueue::launch`](super::ComputeQueue::launch), [`launch_all`](super::ComputeQueue::launch_all)).
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// What is launched.
    pub kernel: &'a Kernel,
    /// Blocks by x, y and z.
    pub grid: [u32; 3],
    /// Threads of a block by x, y and z.
    pub block: [u32; 3],
    /// Bytes of shared memory beyond those that the kernel has by itself.
    pub shared: u32,
    /// The kernel's parameters as it finds them.
    pub parameters: &'a [u8],
    /// All memory that it works in.
    pub buffers: &'a [&'a DeviceBuffer],
}

impl Launch<'_> {
    /// Whether it is possible if `other` is: it differs by nothing that is looked at.
    #[inline]
    pub(super) fn is_like(&self, other: &Launch<'_>) -> bool {
        self.kernel.is(other.kernel)
            && (self.grid, self.block, self.shared) == (other.grid, other.block, other.shared)
            && self.parameters.len() == other.parameters.len()
    }

    /// That it is possible.
    pub(super) fn check(&self) -> Result<()> {
        let Launch { kernel, grid, block, shared, parameters, .. } = *self;
        kernel
            .check(grid, block, shared, parameters.len())
            .map_err(|error| Error::Launch { kernel: kernel.info().name.clone(), error })
    }
}

/// A launch that is kept.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    kernel: Kernel,
    grid: [u32; 3],
    block: [u32; 3],
    shared: u32,
    arguments: Arguments,
}

#[derive(Clone, Debug)]
pub(super) enum Command {
    Launch(Kept),
    Barrier,
}

/// What a queue is to do, one after the other.
#[derive(Clone, Copy)]
pub(super) enum Step<'a> {
    Launch(View<'a>),
    Barrier,
}

/// A launch, whoever keeps its parts. It was checked.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) kernel: &'a Kernel,
    pub(super) grid: [u32; 3],
    pub(super) block: [u32; 3],
    pub(super) shared: u32,
    pub(super) parameters: &'a [u8],
}

impl<'a> View<'a> {
    pub(super) fn lent(launch: &Launch<'a>) -> View<'a> {
        let Launch { kernel, grid, block, shared, parameters, .. } = *launch;
        View { kernel, grid, block, shared, parameters }
    }
}

/// Launches for a [`ComputeQueue`](super::ComputeQueue).
#[derive(Clone, Debug, Default)]
pub struct ComputeCommands {
    pub(super) commands: Vec<Command>,
}

impl ComputeCommands {
    /// No commands.
    pub fn new() -> Self {
        ComputeCommands::default()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Launches `kernel` with `grid` blocks of `block` threads, each by x, y and z, and `shared` bytes of shared memory
    /// beyond those that the kernel has by itself. Launches of one batch may run in any order, and beside each other,
    /// unless there is a [barrier](Self::barrier) between them.
    ///
    /// # Errors
    ///
    /// [`Error::Launch`]: nothing was added.
    ///
    /// # Safety
    ///
    /// With these arguments the kernel reads and writes nothing beyond the buffers among the arguments, and its own code
    /// and constants. Nothing but the GPU's MMU checks what it does with an address, and that knows of pages alone.
    pub unsafe fn launch(
        &mut self,
        kernel: &Kernel,
        grid: [u32; 3],
        block: [u32; 3],
        shared: u32,
        arguments: Arguments,
    ) -> Result<&mut Self> {
        let parameters = &arguments.bytes;
        Launch { kernel, grid, block, shared, parameters, buffers: &[] }.check()?;
        let kernel = kernel.clone();
        self.commands.push(Command::Launch(Kept { kernel, grid, block, shared, arguments }));
        Ok(self)
    }

    /// Has the launches that follow wait for those before, and see what they wrote.
    pub fn barrier(&mut self) -> &mut Self {
        self.commands.push(Command::Barrier);
        self
    }

    pub(super) fn steps(&self) -> impl Iterator<Item = Step<'_>> + Clone {
        self.commands.iter().map(|command| match command {
            Command::Launch(Kept { kernel, grid, block, shared, arguments }) => Step::Launch(View {
                kernel,
                grid: *grid,
                block: *block,
                shared: *shared,
                parameters: &arguments.bytes,
            }),
            Command::Barrier => Step::Barrier,
        })
    }

    /// All memory that the launches work in besides the kernels' own.
    pub(super) fn buffers(&self) -> impl Iterator<Item = &DeviceBuffer> + Clone {
        self.commands.iter().flat_map(|command| match command {
            Command::Launch(launch) => &launch.arguments.buffers[..],
            Command::Barrier => &[],
        })
    }
}
