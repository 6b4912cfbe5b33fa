//! Functions of the caller's.

use std::ffi::c_void;

/// Where the bytes of a video are, for those that are neither in a file nor in memory. Functions are called by the threads that
/// call the video, during those calls, one at a time. They do not call the
/// video, and return: no exception and no `longjmp` leaves them.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct nvdec_source {
    /// `sizeof` of the structure.
    pub size: usize,
    /// Passed to the functions.
    pub user: *mut c_void,
    /// Reads up to `length` bytes to `buffer`: how many, 0 at the end, a negative number if it fails.
    pub read: Option<unsafe extern "C" fn(user: *mut c_void, buffer: *mut u8, length: usize) -> i64>,
    /// Goes to `offset` bytes from the beginning (`whence` 0), from where it stands (1) or from the end (2), as `lseek` does:
    /// where it stands then, or a negative number if it fails.
    pub seek: Option<unsafe extern "C" fn(user: *mut c_void, offset: i64, whence: i32) -> i64>,
}
