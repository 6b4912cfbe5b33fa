//! The resource manager: device nodes, ioctls, and the objects that handles name.

pub(crate) mod alloc;
pub(crate) mod control;
pub(crate) mod descriptors;
pub(crate) mod ioctls;
pub(crate) mod maps;
pub(crate) mod objects;
pub(crate) mod user;
