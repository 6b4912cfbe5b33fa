//! The C interface of [`nvdec`]: what `include/nvdec.h` declares.
//!
//! | where | what |
//! | --- | --- |
//! | [`api`] | the functions, with the text that the header has of each |
//! | [`types`], [`result`] | the structures and numbers of the header |
//! | `boundary` | the way from pointers to objects and back, panics, threads: the room with unsafe code |
//! | the rest | what the functions do, in safe Rust |
//!
//! How it is used from C is in the project's `docs/c.md`.

#![deny(unsafe_code)]
#![allow(non_camel_case_types, reason = "the names are those of C")]

#[allow(unsafe_code)]
pub mod api;
mod batch;
#[allow(unsafe_code)]
mod boundary;
mod context;
mod decoder;
mod probe;
pub mod result;
mod semaphore;
pub mod types;
mod video;
