//! What executes methods behind the host.

pub(crate) mod compute;
pub(crate) mod copy;
pub(crate) mod engine;
pub(crate) mod fault;
pub(crate) mod registry;
pub(crate) mod video;
