//! Of the library itself, and texts of failures.

use std::ffi::{CString, c_char, c_void};
use std::ptr;

use crate::boundary::{last_error, out, plain};
use crate::probe;
use crate::result::{Failure, NVDEC_INTERNAL, NVDEC_OK, nvdec_result};
use crate::types::NVDEC_ABI_VERSION;

/// The version of the binary interface that the library has. A program that was compiled for another one than
/// `NVDEC_ABI_VERSION` says does not go on.
#[unsafe(no_mangle)]
pub extern "C" fn nvdec_abi_version() -> u32 {
    NVDEC_ABI_VERSION
}

/// The version of the library, as "0.1.0".
#[unsafe(no_mangle)]
pub extern "C" fn nvdec_version() -> *const c_char {
    const VERSION: &std::ffi::CStr =
        match std::ffi::CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => c"",
        };
    VERSION.as_ptr()
}

/// A few words for a result, also for one that is unknown.
#[unsafe(no_mangle)]
pub extern "C" fn nvdec_result_text(result: u32) -> *const c_char {
    nvdec_result::text(result).as_ptr()
}

/// Why a call failed. Of an object, its last call that did; if the last failure in this thread was of that object, that one. With
/// NULL, the last failure in this thread, also of a call that was to make an object. Empty if nothing failed. The text is good
/// until the thread asks again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_last_error(object: *const c_void) -> *const c_char {
    // SAFETY: the rules of the header.
    unsafe { last_error(object) }
}

/// The GPUs of this machine as JSON: what each is and decodes, or what keeps it from that. Nothing stays open. The text is
/// released with `nvdec_string_release`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_probe_json(json: *mut *mut c_char) -> nvdec_result {
    plain(|| {
        // SAFETY: the rules of the header.
        let json = unsafe { out(json, "json") }?;
        json.write(ptr::null_mut());
        let text =
            CString::new(probe::json()).map_err(|error| Failure::new(NVDEC_INTERNAL, error.to_string()))?;
        json.write(text.into_raw());
        Ok(NVDEC_OK)
    })
}

/// Releases a text that is the caller's; NULL is nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_string_release(text: *mut c_char) {
    if !text.is_null() {
        // SAFETY: the rules of the header: it came from `nvdec_probe_json`, which made it of such a string.
        drop(unsafe { CString::from_raw(text) });
    }
}
