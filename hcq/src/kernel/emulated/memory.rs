//! Memory of the model, and the MMU in front of it.

pub(crate) mod address_space;
pub(crate) mod physical;
