//! What can go wrong between this crate and CUDA.

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error that names the call and CUDA's own name of what went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// CUDA's driver library is not there. Nothing but this crate needs it.
    #[error(
        "cannot load {library}: {why}. CUDA tensors need it: install the user part of NVIDIA's driver, or give the \
         container the capability \"compute\" (NVIDIA_DRIVER_CAPABILITIES); without it use host memory or descriptors"
    )]
    NotLoaded {
        /// Name of the library.
        library: String,
        /// What the loader said.
        why: String,
    },
    /// The library lacks a function: it is older than CUDA 12, or something else of the same name.
    #[error("{library} has no {symbol}: a driver for CUDA 12 or later is needed")]
    Symbol {
        /// Name of the library.
        library: String,
        /// The function.
        symbol: &'static str,
    },
    /// A call of CUDA failed. Some say what an earlier one did.
    #[error("{name} ({status}) from {call}")]
    Cuda {
        /// The function.
        call: &'static str,
        /// CUDA's name (`cuGetErrorName`).
        name: String,
        /// Its number.
        status: u32,
    },
    /// No device of CUDA in this process is that GPU: it may be hidden by `CUDA_VISIBLE_DEVICES`.
    #[error("CUDA lists no device {wanted} (it has: {listed}); CUDA_VISIBLE_DEVICES may hide it")]
    NoDevice {
        /// PCI address, or ordinal, of the GPU.
        wanted: String,
        /// Those that it lists.
        listed: String,
    },
    /// Memory of CUDA that cannot be shared: it was made by `cudaMalloc` or `cudaMallocAsync`, or with no handle type.
    #[error(
        "the memory at {address:#x} has no exportable handle: allocate it with PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True, \
         in a pool over memory of ours, or copy"
    )]
    NotExportable {
        /// Address of CUDA.
        address: u64,
    },
    /// Memory was named that lies outside of what was imported.
    #[error("{what} lies outside of what was imported")]
    Outside {
        /// What was named.
        what: String,
    },
    /// Something of another context of CUDA than that which is to work with it.
    #[error("{what} of another context of CUDA")]
    OtherContext {
        /// What was given.
        what: &'static str,
    },
    /// A stream that records a graph: the GPU would wait for a word that nobody writes before the graph runs.
    #[error(
        "the stream records a graph: conversions, and waits between it and our queues, cannot be part of one"
    )]
    Capturing,
    /// A tensor that cannot be described so.
    #[error("tensor: {0}")]
    Tensor(String),
    /// An error of the layer below.
    #[error(transparent)]
    Hcq(#[from] hcq::Error),
    /// An error of the decoder, or of what makes tensors.
    #[error(transparent)]
    Nvdec(#[from] nvdec::Error),
}

impl Error {
    /// Whether CUDA refused with that number.
    pub(crate) fn is_status(&self, wanted: u32) -> bool {
        matches!(self, Error::Cuda { status, .. } if *status == wanted)
    }
}
