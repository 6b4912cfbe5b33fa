//! An NVDEC engine in software, for the emulated GPU of [`hcq::kernel::emulated`].
//!
//! It decodes as the hardware does: on `EXECUTE` it reads descriptor, tables, slice data, reference surfaces and
//! collocated motion vectors from the emulated GPU's memory, at the addresses that the methods gave, and writes
//! a block-linear surface, motion vectors and a status there. It knows nothing of the driver above it, so that a
//! wrong reference, order, offset, stride or length shows on a machine without a GPU.
//!
//! What it holds the driver to, all of it seen on an H200:
//!
//! - Addresses are forgotten with `EXECUTE`; one that is missing is address 0, which faults. Application and
//!   control word stay on classes that keep them.
//! - Of a slice segment header, `sw_hdr_skip_length` bits behind `slice_type` are skipped unseen. Reference
//!   lists, order count differences and long-term marks come from the descriptor.
//! - A status that is not clear keeps the engine from decoding.
//! - Damaged slice data end with `error_status` 0x5 or 0xd and a concealed picture.
//!
//! Where it is stricter than hardware, so that mistakes show:
//!
//! - Scratch areas are written in the sizes that hardware was seen to touch, and must stay as they are until the
//!   picture is done: areas that overlap anything stop the channel.
//! - Every picture of a reference list in use is read, and must be mapped, whether or not a block refers to it.
//! - Tile tables that do not fit the picture are refused.
//!
//! Where it knows less:
//!
//! - It decodes 4:2:0 of 8 to 12 bits without the tools of the range extensions, and says so ([`LIMITS`]). What
//!   it is told to decode beyond that ends with `error_status` 8, and the log names the field.
//! - `cycle_count` is a function of the picture's blocks and bytes. Codes of slice header errors, the order of
//!   bytes in the collocated motion vectors and what concealment shows are its own.
//! - Where slice data go wrong before they stop making sense is not known to it: the whole segment is lost.
//! - References with the same order count difference count as one picture, unless the difference is clipped.
//! - The event trace, histograms and slice-level decoding are missing.
//!
//! What is in here, and what a codec adds:
//!
//! | | |
//! | --- | --- |
//! | `engine` | methods, `EXECUTE`, the choice of the codec by application id, the status around each picture |
//! | `application` | the seam: a row of the engine's table, and the trait behind it |
//! | `methods`, `surface`, `status`, `environment` | what every codec takes from the engine and gives back |
//! | `hevc` | the HEVC part |
//! | `kernels` | what the GPU programs of this crate do, for the emulated compute engine |
//!
//! A codec adds a folder beside `hevc` with an `Application` and its `PictureDecoder`, which reads the descriptor,
//! tables and slice data of its pictures, and writes surfaces; a row in the table of `engine`, and its chroma formats
//! and limits in [`LIMITS`]. Its bit tables come from [`nvkernel_sys::video`]. From the driver above it takes nothing
//! but tables: what is known twice is what the two are held against.
//!
//! ```
//! use std::sync::Arc;
//! let kernel = Arc::new(nvdec::emulated::h200()?);
//! let context = nvdec::Context::new(hcq::Device::open(kernel, 0)?)?;
//! let decoder = nvdec::Decoder::new(&context, nvdec::Codec::Hevc, nvdec::DecoderOptions::default())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::io;

use hcq::EngineKind;
use hcq::kernel::emulated::{Builder, EmulatedKernel, GpuModel, KernelModel};

mod application;
mod engine;
mod environment;
mod hevc;
mod kernels;
mod methods;
mod status;
mod surface;

pub use engine::{LIMITS, NvdecEngine};
#[cfg(test)]
pub(crate) use hevc::{ABSENT_TOOLS, refuses};

/// A machine with one emulated H200 whose video engines decode.
///
/// The machine maps all memory of the GPU. Where there is no room for that, as under valgrind or a limit of addresses, the
/// environment variable `NVDEC_EMULATED_MEMORY` says how many MiB the GPU has, and the driver hands out no more of the
/// host's.
///
/// # Errors
///
/// As [`Builder::build`]; [`io::ErrorKind::InvalidInput`] if the environment has a variable whose name begins with
/// `RH265_` and that could make pictures wrong, or an amount of memory that is none.
pub fn h200() -> io::Result<EmulatedKernel> {
    h200_with([])
}

/// As [`h200`], with kernels of the caller's own beside those of this crate. [`Context::open_with_kernels`] does so
/// where there is no GPU.
///
/// # Errors
///
/// As [`h200`].
///
/// [`Context::open_with_kernels`]: crate::Context::open_with_kernels
pub fn h200_with(kernels: impl IntoIterator<Item = KernelModel>) -> io::Result<EmulatedKernel> {
    let refused = |refusal| io::Error::new(io::ErrorKind::InvalidInput, refusal);
    environment::check(std::env::vars_os()).map_err(refused)?;
    let machine = match environment::memory(std::env::var_os(environment::MEMORY)).map_err(refused)? {
        Some(mib) => {
            let gpu = GpuModel { vidmem_mib: mib, ..GpuModel::h200() };
            EmulatedKernel::builder().gpu(gpu).sysmem(mib << 20)
        }
        None => EmulatedKernel::builder().gpu(GpuModel::h200()),
    };
    attach(machine).with_kernels(kernels).build()
}

/// Gives the video engines of all GPUs of a machine a [`NvdecEngine`] each, and states their [`LIMITS`].
///
/// Beside a variable of the environment for which [`h200`] is an error these engines decode nothing: a channel that
/// executes on one stops, and the log of the machine says why.
///
/// The kernels that make tensors run as well ([`crate::tensor`]).
pub fn attach(builder: Builder) -> Builder {
    let machine = engine::Machine::new();
    let builder = builder.with_kernels(kernels::models());
    builder.with_limited_engine_factory(EngineKind::Nvdec, LIMITS, move |engine, class| {
        Box::new(machine.engine(engine, class))
    })
}
