//! [`LaunchError`]: why a launch is not made.

/// Why a kernel cannot be launched so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// Nothing to do, or more than a GPU takes at once.
    #[error("a {what} of {sizes:?}, where each is 1 to {most:?}")]
    Size {
        /// Grid or block.
        what: &'static str,
        /// Sizes given.
        sizes: [u32; 3],
        /// Largest sizes.
        most: [u32; 3],
    },
    /// A block with more threads than there are registers for, or than the kernel was compiled for.
    #[error("blocks of {threads} threads, and of {registers} registers each there can be {most}")]
    Threads {
        /// Threads of a block.
        threads: u32,
        /// Most that it can have.
        most: u32,
        /// Registers of a thread.
        registers: u32,
    },
    /// The kernel was compiled for blocks of one size.
    #[error("blocks of {block:?}, and the kernel was compiled for {wanted:?}")]
    Block {
        /// Threads given.
        block: [u32; 3],
        /// Threads wanted.
        wanted: [u32; 3],
    },
    /// More shared memory than a block can have.
    #[error("{own} bytes of shared memory of its own and {dynamic} of the launch exceed {limit}")]
    Shared {
        /// What the kernel has by itself.
        own: u32,
        /// What the launch adds.
        dynamic: u32,
        /// Most of both.
        limit: u32,
    },
    /// The arguments are not those that the kernel takes.
    #[error("{given} bytes of arguments, and the kernel takes {wanted}")]
    Parameters {
        /// Bytes given.
        given: usize,
        /// Bytes wanted.
        wanted: usize,
    },
    /// More arguments and launches in one batch than the queue has memory for.
    #[error("a batch of launches takes {bytes} bytes, and the queue has {limit}")]
    Batch {
        /// Bytes that it takes.
        bytes: u64,
        /// Most bytes.
        limit: u64,
    },
    /// A kernel with a stack, for which launches have no memory.
    #[error(
        "each thread needs {bytes} bytes of stack, and launches have none: have the compiler keep arrays in registers or shared memory"
    )]
    Stack {
        /// Bytes of a thread.
        bytes: u32,
    },
}
