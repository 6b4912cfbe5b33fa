//! Memory of the model, the MMU in front of it, and semaphores in it.

pub(crate) mod address_space;
pub(crate) mod physical;
pub(crate) mod semaphore;
