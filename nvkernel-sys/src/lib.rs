//! The ABI of NVIDIA's kernel resource manager (RM) and of the engine classes behind it, as data.
//!
//! This crate does no input or output and holds no `unsafe` code. It answers four questions:
//!
//! * **What does a call look like?** [`ioctl`] has the request numbers, [`rm`] the call and allocation
//!   structures, [`ctrl`] the control commands with their parameter types, all in the *canonical* layout, which is
//!   that of the newest known driver release.
//! * **How does the running driver want it?** [`layout`] re-lays a canonical structure for a given
//!   [`DriverVersion`](layout::DriverVersion): fields that came later are left out, fields that moved are moved.
//! * **What is there?** [`class`] names object classes and chips, [`engine`] engine types and their event notifiers,
//!   [`status`] status codes and Xids.
//! * **What does an engine read?** [`host`], [`copy`], [`compute`] and [`video`] hold method addresses and bit tables
//!   in NVIDIA's names and `hi:lo` order, built with [`bits!`].
//!
//! ```
//! use nvkernel_sys::layout::{Abi, DriverVersion};
//! use nvkernel_sys::rm::NVOS46_PARAMETERS;
//! use zerocopy::FromZeros;
//!
//! let mut map = NVOS46_PARAMETERS::new_zeroed();
//! map.dmaOffset = 0x10_0000;
//!
//! // Before 580.65.06 the structure was eight bytes shorter, and `dmaOffset` came earlier.
//! let abi = Abi::for_version("570.124.04".parse::<DriverVersion>().unwrap());
//! let mut wire = [0; 64];
//! let size = abi.encode(&map, &mut wire);
//! assert_eq!(size, 56);
//! assert_eq!(wire[40..48], 0x10_0000_u64.to_le_bytes());
//! ```
//!
//! Numbers and names come from NVIDIA's published headers: open-gpu-kernel-modules for the kernel's side and
//! open-gpu-doc for the engines'. Each item says which one.
#![deny(unsafe_code)]
#![cfg(target_endian = "little")]

#[macro_use]
pub mod bits;
#[macro_use]
pub mod method;

pub mod class;
pub mod compute;
pub mod copy;
pub mod ctrl;
pub mod engine;
#[rustfmt::skip]
mod generated;
pub mod host;
pub mod ioctl;
pub mod layout;
pub mod rm;
pub mod status;
pub mod video;
