//! Memory and waits shared between [`hcq`] and CUDA in one process, and tensors of [`nvdec`]'s frames made in CUDA's context.
//!
//! CUDA's driver library is loaded by [`Cuda::load`] and by nothing else: a program that never calls it needs none, and
//! nothing is linked against it. No other crate of this project depends on this one.
//!
//! | to | there is |
//! | --- | --- |
//! | use memory of ours in CUDA | [`Imported`]: one for a pool, [`Imported::pointer`] for each part |
//! | have a stream of CUDA wait for our queue | [`Promised`] and [`Imported::wait`] |
//! | have our queue wait for a stream | [`Imported::write`] and [`hcq::Outside`] |
//! | both, with words and queues made for it | [`Handover`] |
//! | make tensors of frames on a stream of CUDA | [`StreamConverter`], to a [`Target`] |
//! | use memory of CUDA, such as a tensor, on our queues | [`Borrowed`] |
//! | hand out a tensor without a copy | [`dlpack`] |
//! | run kernels in CUDA's context | [`PrimaryContext::load_module`] |
//!
//! What was measured, what goes wrong and what cannot be shared at all is in the project's `docs/interop.md`.
//!
//! ```
//! match nvdec_cuda::Cuda::load() {
//!     Ok(cuda) => println!("CUDA {:?}", cuda.version()),
//!     // It names the library and says what to do.
//!     Err(error) => println!("no CUDA tensors here: {error}"),
//! }
//! ```

#![deny(unsafe_code)]
#![warn(missing_docs)]

mod borrowed;
mod convert;
#[allow(unsafe_code)]
pub mod dlpack;
mod error;
mod handover;
mod imports;
mod shared;
#[allow(unsafe_code)]
mod sys;

pub use borrowed::{Borrowed, Lender, Piece};
pub use convert::StreamConverter;
pub use error::{Error, Result};
pub use handover::Handover;
pub use shared::{Imported, Promised};
pub use sys::{
    DeviceMemory, Event, ExternalMemory, Function, Module, OrdinalDevice, PrimaryContext, Stream, Target,
    VirtualMemory,
};

/// CUDA's driver library, loaded.
#[derive(Clone, Copy, Debug)]
pub struct Cuda(&'static sys::Api);

impl Cuda {
    /// Loads `libcuda.so.1`, the first time that it is asked for.
    ///
    /// # Errors
    ///
    /// [`Error::NotLoaded`] if there is none, which can be tried again; [`Error::Symbol`] if it is older than CUDA 12;
    /// [`Error::Cuda`] if it finds no GPU.
    pub fn load() -> Result<Cuda> {
        sys::Api::get().map(Cuda)
    }

    /// The release of CUDA that the driver is made for, as 1000 times major plus 10 times minor: 13000 is 13.0.
    ///
    /// # Errors
    ///
    /// [`Error::Cuda`].
    pub fn version(&self) -> Result<i32> {
        sys::driver_version(self.0)
    }

    /// The devices that CUDA lists, within `CUDA_VISIBLE_DEVICES`.
    ///
    /// # Errors
    ///
    /// [`Error::Cuda`].
    pub fn devices(&self) -> Result<Vec<OrdinalDevice>> {
        sys::devices(self.0)
    }

    /// The device that is the GPU of `device`, by its PCI address. Of the instances of a GPU that MIG divides, the first.
    ///
    /// # Errors
    ///
    /// [`Error::NoDevice`] if CUDA does not list it.
    pub fn device_of(&self, device: &hcq::Device) -> Result<OrdinalDevice> {
        let wanted = device.info().pci_address();
        let devices = self.devices()?;
        devices.iter().find(|device| same_address(&device.pci_address, &wanted)).cloned().ok_or_else(|| {
            let listed: Vec<_> = devices.into_iter().map(|device| device.pci_address).collect();
            Error::NoDevice { wanted, listed: listed.join(", ") }
        })
    }

    /// The primary context of a device: the one that the runtime interface, and so PyTorch, uses. It is made if it is not
    /// there, which takes a few hundred milliseconds and some hundred MiB of GPU memory.
    ///
    /// # Errors
    ///
    /// [`Error::Cuda`].
    pub fn context(&self, ordinal: i32) -> Result<PrimaryContext> {
        PrimaryContext::retain(self.0, ordinal)
    }

    /// The primary context on the GPU of `device`.
    ///
    /// # Errors
    ///
    /// Those of [`device_of`](Self::device_of) and [`context`](Self::context).
    pub fn context_of(&self, device: &hcq::Device) -> Result<PrimaryContext> {
        self.context(self.device_of(device)?.ordinal)
    }
}

/// Whether two PCI addresses are the same: domains are written with four digits, or with eight.
fn same_address(a: &str, b: &str) -> bool {
    let parts = |text: &str| -> Option<Vec<u32>> {
        text.split([':', '.']).map(|part| u32::from_str_radix(part, 16).ok()).collect()
    };
    let (a, b) = (parts(a), parts(b));
    a.is_some() && a == b
}

// The loop of the examples, on what stands in for CUDA in tests. It calls the crate by its name.
#[cfg(test)]
extern crate self as nvdec_cuda;
#[cfg(test)]
#[path = "../examples/converting/mod.rs"]
#[allow(dead_code, reason = "the programs use the rest")]
mod converting;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_cuda_the_error_says_what_to_do() {
        match Cuda::load() {
            // There may be a GPU here.
            Ok(cuda) => assert!(cuda.version().unwrap() >= 12000),
            Err(error @ (Error::NotLoaded { .. } | Error::Cuda { .. })) => {
                assert!(error.to_string().contains("cu"), "{error}");
                let again = Cuda::load().unwrap_err().to_string();
                assert_eq!(again, error.to_string(), "a failure is no end");
            }
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn addresses_are_compared_by_number() {
        assert!(same_address("00000000:0a:00.0", "0000:0A:00.0"));
        assert!(!same_address("0000:0a:00.0", "0000:0b:00.0"));
        assert!(!same_address("", "") && !same_address("0000:0a:00", "0000:0a:00.0"));
    }
}

/// The examples of the page are tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/interop.md")]
struct Page;
