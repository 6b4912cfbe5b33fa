//! Memory of the caller's: option structures, results, buffers, texts.

use std::ffi::{CStr, c_char};
use std::mem::MaybeUninit;
use std::ptr;

use crate::api::nvdec_source;
use crate::result::{Failure, NVDEC_BUFFER_TOO_SMALL, NVDEC_INVALID_SIZE, Result};
use crate::types::*;

/// No structure of this interface will ever be larger: a size beyond is memory that was not set.
const LARGEST: usize = 4096;
/// Structures grow by so many bytes at least, so that none is cut off within a field.
const STEP: usize = 8;

/// A structure of the header.
///
/// # Safety
///
/// It is `repr(C)`, has no padding, begins with its size as a `usize`, its own size is a multiple of [`STEP`], and any bytes are
/// a value of it, zeros as well.
pub(crate) unsafe trait Plain: Copy {
    /// Its name in the header.
    const NAME: &'static str;
}

macro_rules! plain {
    ($($name:ident),* $(,)?) => {
        $(
            // SAFETY: it consists of numbers, pointers, functions that may be NULL, and arrays of such, with nothing between
            // them (the test holds its size to the sum of its fields), and `size` is the first.
            unsafe impl Plain for $name {
                const NAME: &'static str = stringify!($name);
            }
            const _: () = assert!(size_of::<$name>() % STEP == 0 && size_of::<$name>() <= LARGEST);
        )*
    };
}

plain! {
    nvdec_context_options, nvdec_context_info, nvdec_decoder_options, nvdec_decoder_memory, nvdec_packet, nvdec_frame_info, nvdec_integrity,
    nvdec_video_options, nvdec_source, nvdec_video_info, nvdec_picture_info, nvdec_tensor_options, nvdec_batch_info,
    nvdec_batch_picture, nvdec_exported,
}

/// The size that a structure says it has.
///
/// # Safety
///
/// `pointer` points to a size at least.
unsafe fn size_of_given<T: Plain>(pointer: *const T) -> Result<usize> {
    // SAFETY: the caller's promise.
    let size = unsafe { pointer.cast::<usize>().read_unaligned() };
    if !(STEP..=LARGEST).contains(&size) || !size.is_multiple_of(STEP) {
        let text = format!("{}.size is {size}: set it to sizeof({0}), {}", T::NAME, size_of::<T>());
        return Err(Failure::new(NVDEC_INVALID_SIZE, text));
    }
    Ok(size)
}

/// The options at `pointer`. Fields that an older caller does not know are zero, which is their default; those that a newer one
/// knows and this library does not have to be zero. NULL for all defaults.
///
/// # Safety
///
/// `pointer` is NULL or points to as many bytes as the size at its beginning says.
pub(crate) unsafe fn options<T: Plain>(pointer: *const T) -> Result<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    if !pointer.is_null() {
        // SAFETY: the caller's promise.
        let given = unsafe { size_of_given(pointer) }?;
        let known = given.min(size_of::<T>());
        // SAFETY: so much is there on both sides, which are not the same memory.
        unsafe { ptr::copy_nonoverlapping(pointer.cast::<u8>(), value.as_mut_ptr().cast::<u8>(), known) };
        for at in known..given {
            // SAFETY: within the size.
            if unsafe { pointer.cast::<u8>().add(at).read() } != 0 {
                let text =
                    format!("{} sets fields behind the {known} bytes that this library knows", T::NAME);
                return Err(Failure::new(NVDEC_INVALID_SIZE, text));
            }
        }
    }
    // SAFETY: any bytes are a value of it.
    Ok(unsafe { value.assume_init() })
}

/// Writes `value` to the structure at `pointer`, as far as the caller knows it. What the caller knows and this library does not
/// becomes zero; `size` stays.
///
/// # Safety
///
/// As [`options`].
pub(crate) unsafe fn give<T: Plain>(pointer: *mut T, value: &T) -> Result<()> {
    if pointer.is_null() {
        return Err(Failure::null(T::NAME));
    }
    // SAFETY: the caller's promise.
    let given = unsafe { size_of_given(pointer) }?;
    let (known, target) = (given.min(size_of::<T>()), pointer.cast::<u8>());
    // SAFETY: within the size, behind the field of that name; the value has no padding.
    unsafe {
        let source = ptr::from_ref(value).cast::<u8>();
        ptr::copy_nonoverlapping(source.add(STEP), target.add(STEP), known - STEP);
        ptr::write_bytes(target.add(known), 0, given - known);
    }
    Ok(())
}

/// A place for a result.
///
/// # Safety
///
/// `pointer` is NULL or points to room for a `T` that nothing else uses during `'a`.
pub(crate) unsafe fn out<'a, T>(pointer: *mut T, name: &str) -> Result<&'a mut MaybeUninit<T>> {
    if pointer.is_null() {
        return Err(Failure::null(name));
    }
    // SAFETY: the caller's promise; nothing is said of what is there.
    Ok(unsafe { &mut *pointer.cast::<MaybeUninit<T>>() })
}

/// `length` bytes at `data`.
///
/// # Safety
///
/// `data` is NULL or points to so many bytes that nobody writes to during `'a`.
pub(crate) unsafe fn bytes<'a>(data: *const u8, length: usize, name: &str) -> Result<&'a [u8]> {
    // SAFETY: the caller's promise, and any bytes are a value of u8.
    unsafe { elements(data, length, name) }
}

/// `count` numbers at `data`.
///
/// # Safety
///
/// `data` is NULL or points to so many values that nobody writes to during `'a`.
pub(crate) unsafe fn elements<'a, T>(data: *const T, count: usize, name: &str) -> Result<&'a [T]> {
    if count == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(Failure::null(name));
    }
    if count.checked_mul(size_of::<T>()).is_none_or(|bytes| bytes > isize::MAX as usize) || !data.is_aligned()
    {
        return Err(Failure::invalid(format!("{name}: there is no memory with {count} elements there")));
    }
    // SAFETY: the caller's promise; not NULL, aligned, and not too large.
    Ok(unsafe { std::slice::from_raw_parts(data, count) })
}

/// The text at `pointer`, if there is one.
///
/// # Safety
///
/// `pointer` is NULL or points to a text that ends with a zero, which nobody writes to during `'a`.
pub(crate) unsafe fn text<'a>(pointer: *const c_char, name: &str) -> Result<Option<&'a str>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str().map(Some).map_err(|_| Failure::invalid(format!("{name} is no UTF-8")))
}

/// Writes `size` to `needed`, unless that is NULL.
///
/// # Safety
///
/// As [`out`].
pub(crate) unsafe fn measure(needed: *mut usize, size: usize) {
    // SAFETY: the caller's promise.
    if let Ok(needed) = unsafe { out(needed, "") } {
        needed.write(size);
    }
}

/// Room for `size` bytes at `data`, which become zero: `None` if `data` is NULL, which asks for the size alone. What was needed
/// is written to `needed` in any case.
///
/// # Safety
///
/// As [`out`], for `capacity` bytes and for `needed`.
pub(crate) unsafe fn room<'a>(
    data: *mut u8,
    capacity: usize,
    needed: *mut usize,
    size: usize,
) -> Result<Option<&'a mut [u8]>> {
    // SAFETY: the caller's promise.
    unsafe { measure(needed, size) };
    if data.is_null() {
        return Ok(None);
    }
    if capacity < size {
        let text = format!("{size} bytes are needed, the buffer has {capacity}");
        return Err(Failure::new(NVDEC_BUFFER_TOO_SMALL, text));
    }
    // SAFETY: so many bytes are there by the caller's promise; they are written before there is a reference to them.
    Ok(Some(unsafe {
        ptr::write_bytes(data, 0, size);
        std::slice::from_raw_parts_mut(data, size)
    }))
}

/// Copies `bytes` to `data`, as [`room`] has it.
///
/// # Safety
///
/// As [`room`].
pub(crate) unsafe fn fill(data: *mut u8, capacity: usize, needed: *mut usize, bytes: &[u8]) -> Result<()> {
    // SAFETY: the caller's promise.
    if let Some(room) = unsafe { room(data, capacity, needed, bytes.len()) }? {
        room.copy_from_slice(bytes);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
