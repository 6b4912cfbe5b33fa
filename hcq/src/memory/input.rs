//! [`Input`]: bytes in host memory that engines read where they lie.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::DeviceBuffer;
use crate::address_space::{DeviceInner, Placement};
use crate::error::Result;
use crate::mapping::Access;

/// Host memory to be filled, of which no engine knows yet.
///
/// [`Device::allocate_input`](crate::Device::allocate_input) makes it. It is an ordinary slice of bytes to the host,
/// zero to begin with: files are read straight into it.
pub struct InputMut(Input);

/// Host memory that engines read and nobody writes: to the host a slice of bytes, which clones share.
///
/// The GPU has no right to write to it, so what an engine does to it by mistake is a fault of its channel.
#[derive(Clone)]
pub struct Input {
    buffer: DeviceBuffer,
    length: usize,
}

impl InputMut {
    /// See [`Device::allocate_input`](crate::Device::allocate_input).
    pub(crate) fn allocate(device: &Arc<DeviceInner>, length: usize, slack: u64) -> Result<InputMut> {
        let size = (length as u64).saturating_add(slack);
        let buffer = DeviceBuffer::allocate(device, size, Placement::Sysmem, Access::ReadOnly, None)?;
        buffer.mapping()?;
        Ok(InputMut(Input { buffer, length }))
    }

    /// Ends the filling: from now on engines may read it.
    pub fn freeze(self) -> Input {
        self.0
    }
}

impl Input {
    /// The memory as engines see it, slack included. What the host does through it to write to the memory panics.
    pub fn buffer(&self) -> &DeviceBuffer {
        &self.buffer
    }

    /// The memory to be filled anew, if nobody else has it and no engine is at work in it.
    ///
    /// # Errors
    ///
    /// The input as it was, if somebody has.
    pub fn into_mut(mut self) -> Result<InputMut, Input> {
        if self.buffer.is_unused() { Ok(InputMut(self)) } else { Err(self) }
    }
}

impl Deref for Input {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let mapping = self.buffer.mapping().expect("mapped when it was made");
        // SAFETY: nobody writes to it. The GPU may not, the views of its buffers refuse to, and `InputMut`, which has
        // no clone and gives out no buffer, borrows itself mutably for that.
        unsafe { mapping.bytes(0, self.length) }
    }
}

impl Deref for InputMut {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for InputMut {
    fn deref_mut(&mut self) -> &mut [u8] {
        let mapping = self.0.buffer.mapping().expect("mapped when it was made");
        // SAFETY: as above; and nobody reads it but through `self`, which is borrowed mutably.
        unsafe { mapping.bytes_mut(0, self.0.length) }
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes in {:?}", self.length, self.buffer)
    }
}

impl fmt::Debug for InputMut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
