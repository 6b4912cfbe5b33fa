//! The driver against the emulated engine: `Context`, `Decoder` and `Downloader` on an emulated H200.

#![cfg(feature = "emulated")]

mod answers;
mod contract;
mod environment;
mod limits;
mod live;
mod mutations;
mod profile;
mod pull;
mod spread;
mod store;
mod streams;
mod support;
