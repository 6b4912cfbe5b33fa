//! The driver against the emulated engine: `Context`, `Decoder` and `Downloader` on an emulated H200.

#![cfg(feature = "emulated")]

mod access;
mod answers;
mod as_they_are;
mod clips;
mod contract;
mod environment;
mod examples;
mod integrity;
mod limits;
mod live;
mod mutations;
mod price;
mod profile;
mod pull;
mod side_data;
mod spread;
mod store;
mod streams;
mod support;
mod tensors;
mod tensors_faults;
mod tensors_groups;
