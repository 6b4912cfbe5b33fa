//! A tensor in host memory in the form of DLPack 1: numbers and layouts are those of `dlpack.h`.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ffi::c_void;
use std::ptr::{self, NonNull};

use crate::result::{Failure, NVDEC_OUT_OF_MEMORY, Result};
use crate::types::DLManagedTensorVersioned;

/// Consumers may want elements to begin at multiples of this.
const ALIGNMENT: usize = 256;
const VERSION: [u32; 2] = [1, 0];
/// `kDLCPU`.
const CPU: i32 = 1;

#[repr(C)]
struct DataType {
    code: u8,
    bits: u8,
    lanes: u16,
}

#[repr(C)]
struct Tensor {
    data: *mut c_void,
    device_type: i32,
    device_id: i32,
    dimensions: i32,
    dtype: DataType,
    shape: *mut i64,
    strides: *mut i64,
    byte_offset: u64,
}

#[repr(C)]
struct Managed {
    version: [u32; 2],
    context: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut Managed)>,
    flags: u64,
    tensor: Tensor,
}

/// What an element is, as DLPack says it.
#[derive(Clone, Copy)]
pub(crate) enum Element {
    /// A byte.
    U8,
    /// Halves and singles, of so many bits.
    Float(u8),
    /// The upper half of a float32.
    Bf16,
}

/// Host memory for elements.
struct Memory {
    start: NonNull<u8>,
    layout: Layout,
}

impl Memory {
    fn new(bytes: usize) -> Result<Memory> {
        let none =
            || Failure::new(NVDEC_OUT_OF_MEMORY, format!("no host memory for a tensor of {bytes} bytes"));
        let layout = Layout::from_size_align(bytes.max(1), ALIGNMENT).map_err(|_| none())?;
        // SAFETY: the size is not zero.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or_else(none)?;
        Ok(Memory { start, layout })
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: so many bytes were allocated and zeroed, and are borrowed with their owner.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.layout.size()) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: it was allocated with this layout.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

/// What the tensor points to. It goes with the tensor.
struct Owner {
    managed: Managed,
    shape: [i64; 4],
    strides: [i64; 4],
    _memory: Memory,
}

/// A tensor of the elements that `write` puts into host memory. Whoever has it calls the deleter in it once.
pub(crate) fn host_tensor(
    shape: [usize; 4],
    element: Element,
    bytes: usize,
    write: impl FnOnce(&mut [u8]) -> Result<()>,
) -> Result<*mut DLManagedTensorVersioned> {
    let mut memory = Memory::new(bytes)?;
    write(&mut memory.bytes()[..bytes])?;
    let [_, a, b, c] = shape;
    let numbers = |values: [usize; 4]| values.map(|value| value as i64);
    let (code, bits) = match element {
        Element::U8 => (1, 8),
        Element::Float(bits) => (2, bits),
        Element::Bf16 => (4, 16),
    };
    let tensor = Tensor {
        data: memory.start.as_ptr().cast(),
        device_type: CPU,
        device_id: 0,
        dimensions: 4,
        dtype: DataType { code, bits, lanes: 1 },
        shape: ptr::null_mut(),
        strides: ptr::null_mut(),
        byte_offset: 0,
    };
    let managed =
        Managed { version: VERSION, context: ptr::null_mut(), deleter: Some(delete), flags: 0, tensor };
    let (shape, strides) = (numbers(shape), numbers([a * b * c, b * c, c, 1]));
    let owner = Box::into_raw(Box::new(Owner { managed, shape, strides, _memory: memory }));
    // SAFETY: it was just made, and stays where it is until it is deleted.
    unsafe {
        (*owner).managed.context = owner.cast();
        (*owner).managed.tensor.shape = (&raw mut (*owner).shape).cast();
        (*owner).managed.tensor.strides = (&raw mut (*owner).strides).cast();
        Ok((&raw mut (*owner).managed).cast())
    }
}

/// The deleter of [`host_tensor`]'s tensors.
unsafe extern "C" fn delete(managed: *mut Managed) {
    if !managed.is_null() {
        // SAFETY: DLPack has it called once, with the tensor that it stands in; its context is the box it is part of.
        drop(unsafe { Box::from_raw((*managed).context.cast::<Owner>()) });
    }
}
