//! A source of bytes whose functions are the caller's.

use std::ffi::c_void;
use std::io::{self, Read, Seek, SeekFrom};

use crate::api::nvdec_source;
use crate::result::{Failure, Result};

/// What [`nvdec_source`] says.
#[derive(Clone, Copy)]
pub(crate) struct CallerSource {
    user: *mut c_void,
    read: unsafe extern "C" fn(*mut c_void, *mut u8, usize) -> i64,
    seek: unsafe extern "C" fn(*mut c_void, i64, i32) -> i64,
}

// SAFETY: the header says that functions are called by whatever thread calls the video, one at a time; the pointer is not
// followed here.
unsafe impl Send for CallerSource {}

impl CallerSource {
    /// The source of these functions, of which none may be missing.
    pub(crate) fn new(source: &nvdec_source) -> Result<CallerSource> {
        let read = source.read.ok_or_else(|| Failure::null("nvdec_source.read"))?;
        let seek = source.seek.ok_or_else(|| Failure::null("nvdec_source.seek"))?;
        Ok(CallerSource { user: source.user, read, seek })
    }
}

fn failed(name: &str, result: i64) -> io::Error {
    io::Error::other(format!("the caller's {name} function said {result}"))
}

impl Read for CallerSource {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // SAFETY: the header's promise for the function; the buffer has so many bytes.
        let result = unsafe { (self.read)(self.user, buffer.as_mut_ptr(), buffer.len()) };
        usize::try_from(result)
            .ok()
            .filter(|&read| read <= buffer.len())
            .ok_or_else(|| failed("read", result))
    }
}

impl Seek for CallerSource {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        let (offset, whence) = match position {
            SeekFrom::Start(offset) => (i64::try_from(offset).map_err(io::Error::other)?, 0),
            SeekFrom::Current(offset) => (offset, 1),
            SeekFrom::End(offset) => (offset, 2),
        };
        // SAFETY: the header's promise for the function.
        let result = unsafe { (self.seek)(self.user, offset, whence) };
        u64::try_from(result).map_err(|_| failed("seek", result))
    }
}
