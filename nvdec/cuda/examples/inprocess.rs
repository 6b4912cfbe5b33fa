//! A library for a process that has CUDA: decodes a clip and gives its pictures as tensors, without a copy and without a wait
//! by a CPU. `tools/interop/inprocess.py` loads it into the process of PyTorch.
//!
//! The functions are C's. Those that fail return a negative number or null, and [`interop_error`] says why. A session is used
//! by one thread at a time.
//!
//! ```sh
//! cargo build --release -p nvdec-cuda --example inprocess
//! python3 tools/interop/inprocess.py --library target/release/examples/libinprocess.so --clip clip.hevc
//! ```

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int};
use std::os::fd::{BorrowedFd, IntoRawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

#[allow(dead_code, reason = "the program uses the rest")]
mod serving;

use serving::error::{Error, Result};
use serving::message::Given;
use serving::options::Options;
use serving::producer::Producer;

/// A clip that is being decoded.
pub struct Session {
    producer: Producer,
    description: CString,
}

thread_local! {
    static ERROR: RefCell<CString> = RefCell::default();
}

fn keep(text: String) {
    let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
    ERROR.with(|error| *error.borrow_mut() = text);
}

/// What `work` gives; `None`, and the reason kept, if it fails in whatever way.
fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Some(value),
        Ok(Err(error)) => {
            keep(error.to_string());
            None
        }
        Err(_) => {
            keep("a panic, which is on standard error".into());
            None
        }
    }
}

fn open(text: &str) -> Result<Session> {
    let options = Options::parse(text.lines().map(str::to_owned))?;
    let context = options.open()?;
    let producer = Producer::new(&context, options.read_clip()?, &options)?;
    let description = serde_json::to_string(&producer.describe()?.0)?;
    let description = CString::new(description).map_err(|error| Error::Options(error.to_string()))?;
    Ok(Session { producer, description })
}

/// Why the last call of this thread failed. It is good until the next call.
#[unsafe(no_mangle)]
pub extern "C" fn interop_error() -> *const c_char {
    ERROR.with(|error| error.borrow().as_ptr())
}

/// Opens a GPU and decodes the clip once. `options` are those of the example `serve`, a line each.
///
/// # Safety
///
/// `options` is a string that ends with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn interop_open(options: *const c_char) -> *mut Session {
    let session = guarded(|| {
        if options.is_null() {
            return Err(Error::Options("no options".into()));
        }
        // SAFETY: the caller's promise.
        let text = unsafe { CStr::from_ptr(options) };
        open(text.to_str().map_err(|error| Error::Options(error.to_string()))?)
    });
    session.map_or(std::ptr::null_mut(), |session| Box::into_raw(Box::new(session)))
}

/// The first message of the protocol, good until the session is closed.
///
/// # Safety
///
/// `session` is one that was opened and not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn interop_description(session: *const Session) -> *const c_char {
    // SAFETY: the caller's promise.
    unsafe { &*session }.description.as_ptr()
}

/// Gives the descriptors of the words and, if the session has them, of the tensors; how many. They are the caller's.
///
/// # Safety
///
/// As [`interop_description`]; `descriptors` has room for two.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn interop_descriptors(session: *const Session, descriptors: *mut c_int) -> c_int {
    // SAFETY: the caller's promise.
    let session = unsafe { &*session };
    let exported = guarded(|| Ok(session.producer.describe()?.1));
    exported.map_or(-1, |exported| {
        let count = exported.len() as c_int;
        for (at, descriptor) in exported.into_iter().enumerate() {
            // SAFETY: there are two at most, for which there is room.
            unsafe { descriptors.add(at).write(descriptor.into_raw_fd()) };
        }
        count
    })
}

/// Has tensors written to memory of the caller's: an allocation of `size` bytes, at `offset`. The descriptor stays the
/// caller's.
///
/// # Safety
///
/// As [`interop_description`], and no other thread uses the session; `descriptor` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn interop_give(
    session: *mut Session,
    descriptor: c_int,
    size: u64,
    offset: u64,
) -> c_int {
    // SAFETY: the caller's promise.
    let session = unsafe { &mut *session };
    let given = guarded(|| {
        if descriptor < 0 {
            return Err(Error::Options("no descriptor".into()));
        }
        // SAFETY: the caller's promise.
        let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
        let owned = descriptor.try_clone_to_owned().map_err(Error::io("the descriptor"))?;
        session.producer.take(&owned, Given { size, offset })
    });
    if given.is_some() { 0 } else { -1 }
}

/// Submits the next tensor: its number, from 1 on, and at `offset` where it begins. Streams may be told to wait for it now, and
/// are to be told to write `done` behind their work in it before this is called again.
///
/// # Safety
///
/// As [`interop_give`]; `offset` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn interop_next(session: *mut Session, offset: *mut u64) -> i64 {
    // SAFETY: the caller's promise.
    let session = unsafe { &mut *session };
    guarded(|| session.producer.submit()).map_or(-1, |submitted| {
        // SAFETY: the caller's promise.
        unsafe { offset.write(submitted.offset) };
        i64::from(submitted.number)
    })
}

/// Waits for what was submitted, and frees all that is ours. What was imported elsewhere stays there.
///
/// # Safety
///
/// As [`interop_give`]; afterwards there is no session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn interop_close(session: *mut Session) -> c_int {
    // SAFETY: the caller's promise; it was made by `Box::into_raw`.
    let mut session = unsafe { Box::from_raw(session) };
    let finished = guarded(|| session.producer.finish());
    let dropped = guarded(move || {
        drop(session);
        Ok(())
    });
    if finished.and(dropped).is_some() { 0 } else { -1 }
}
