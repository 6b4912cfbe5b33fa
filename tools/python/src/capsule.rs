//! What needs a promise that no compiler checks: capsules of DLPack, addresses of host memory, handles of streams. All that is
//! unsafe in this crate is here.

use std::ffi::{CStr, c_void};
use std::ptr::NonNull;

use nvdec_cuda::dlpack::{Layout, Legacy, Place, Tensor, Versioned};
use nvdec_cuda::{PrimaryContext, Stream};
use pyo3::ffi::{PyCapsule_GetPointer, PyCapsule_IsValid, PyObject};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyCapsule, PyMemoryView};

use crate::error::Result;

/// What consumers ask for, and rename when they take it.
const VERSIONED: &CStr = c"dltensor_versioned";
const LEGACY: &CStr = c"dltensor";

/// A capsule of the form that the consumer knows.
pub(crate) fn capsule(py: Python<'_>, tensor: Tensor, is_versioned: bool) -> PyResult<Bound<'_, PyCapsule>> {
    let (raw, name) = if is_versioned {
        (tensor.into_versioned().map_err(crate::error::Failure::from)?.into_raw(), VERSIONED)
    } else {
        (tensor.into_legacy().map_err(crate::error::Failure::from)?.into_raw(), LEGACY)
    };
    let pointer = NonNull::new(raw).expect("a tensor has an address");
    // SAFETY: the pointer is that of a managed tensor which nobody else has; as long as the capsule has the name, it owns it,
    // and the destructor takes it back by that name.
    let made = unsafe { PyCapsule::new_with_pointer_and_destructor(py, pointer, name, Some(let_go)) };
    if made.is_err() {
        take_back(raw, is_versioned);
    }
    made
}

/// Drops what a consumer has not taken.
fn take_back(raw: *mut c_void, is_versioned: bool) {
    // SAFETY: made by `into_raw` in `capsule`, of the form that is said, and nobody took it.
    unsafe {
        if is_versioned {
            drop(Versioned::from_raw(raw));
        } else {
            drop(Legacy::from_raw(raw));
        }
    }
}

/// The destructor of capsules.
///
/// # Safety
///
/// Python calls it, with a capsule.
unsafe extern "C" fn let_go(capsule: *mut PyObject) {
    for (name, is_versioned) in [(VERSIONED, true), (LEGACY, false)] {
        // SAFETY: it is a capsule; one that has the name still is one that nobody took.
        let raw = unsafe {
            if PyCapsule_IsValid(capsule, name.as_ptr()) == 0 {
                continue;
            }
            PyCapsule_GetPointer(capsule, name.as_ptr())
        };
        take_back(raw, is_versioned);
    }
}

/// A tensor in the bytes of a bytearray that nobody resizes, since `view` is of it.
pub(crate) fn in_bytearray(
    bytes: &Bound<'_, PyByteArray>,
    view: &Bound<'_, PyMemoryView>,
    layout: Layout,
) -> Result<Tensor> {
    if layout.bytes() > bytes.len() as u64 {
        return Err(nvdec_cuda::Error::Tensor("more than the bytes that there are".into()).into());
    }
    let owner = Box::new((bytes.clone().unbind(), view.clone().unbind()));
    // SAFETY: as many bytes as the layout has are there, at an address that stays as long as a view of the bytearray lives, which
    // the owner holds. Those who write to them are users of the same array, as with any array that is shared.
    Ok(unsafe { Tensor::new(bytes.data() as u64, Place::Host, layout, owner) })
}

/// The stream of a handle that a consumer gave.
pub(crate) fn stream(context: &PrimaryContext, handle: u64) -> Stream {
    // SAFETY: DLPack has consumers give handles of streams of this device that are there, and `record_stream` asks for the same; the
    // documentation says that such a stream is not to be destroyed before the tensors that it was named for.
    unsafe { context.stream_from_raw(handle) }
}
