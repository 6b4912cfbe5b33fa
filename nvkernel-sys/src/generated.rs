//! Bindings made by `nvkernel-abigen` from `abi/*.h`: the canonical (newest) layout of every structure.
//!
//! Padding is explicit, so every structure can be viewed as bytes; make a zeroed one with
//! [`zerocopy::FromZeros::new_zeroed`] and set the fields that matter. The names, and the upper and lower case in
//! them, are NVIDIA's.
#![allow(missing_docs, non_camel_case_types, non_snake_case, clippy::missing_safety_doc)]

pub(crate) mod alloc;
pub(crate) mod ctrl;
pub(crate) mod engine;
pub(crate) mod fields;
pub(crate) mod ioctl;
pub(crate) mod rm;

// The scalars of nvtypes.h.
pub(crate) type NvU8 = u8;
pub(crate) type NvU16 = u16;
pub(crate) type NvU32 = u32;
pub(crate) type NvU64 = u64;
pub(crate) type NvS32 = i32;
pub(crate) type NvBool = u8;
pub(crate) type NvHandle = u32;
pub(crate) type NvP64 = u64;
