//! The driver against the emulated engine: `Context`, `HevcDecoder` and `Downloader` on an emulated H200.

#![cfg(feature = "emulated")]

mod answers;
mod contract;
mod environment;
mod mutations;
mod profile;
mod recycle;
mod spread;
mod streams;
mod support;
