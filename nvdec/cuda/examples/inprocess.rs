//! A library for a process that has CUDA: decodes a clip and gives its pictures as tensors, without a copy and without a wait
//! by a CPU. `tools/interop/inprocess.py` loads it into the process of PyTorch.
//!
//! It can also do so over and over on a thread of its own, in either of two ways, while the process has other work
//! (`interop_convert_open`): for `tools/interop/beside.py`, which measures what that costs a training step.
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
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;

use nvdec::Context;
use nvdec_cuda::Cuda;

#[allow(dead_code, reason = "another program uses the rest")]
mod converting;
#[allow(dead_code, reason = "the program uses the rest")]
mod serving;

use converting::meter::{Meter, this_thread};
use converting::work::Work;
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

/// A clip that becomes tensors on a thread of its own.
pub struct Converting {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<converting::Result<()>>>,
    meter: Meter,
    report: CString,
}

impl Converting {
    /// Returns when the first tensor is submitted.
    fn begin(options: converting::options::Options) -> converting::Result<Converting> {
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = stop.clone();
        let (begun, first) = channel();
        let thread = std::thread::spawn(move || {
            let context = Context::open(options.device)?;
            // The context of the process, that of PyTorch.
            let cuda = Cuda::load()?.context_of(context.device())?;
            let mut work = Work::new(&options, &context, &cuda)?;
            work.step()?;
            // Nobody listens who does not want to know.
            let _ = begun.send(Meter::new(work.counts(), this_thread()));
            while !is_over.load(Ordering::Relaxed) {
                work.step()?;
            }
            work.finish()
        });
        match first.recv() {
            Ok(meter) => Ok(Converting { stop, thread: Some(thread), meter, report: CString::default() }),
            Err(_) => Err(joined(thread).err().unwrap_or_else(|| "the thread ended".into())),
        }
    }

    fn read(&mut self) -> converting::Result<&CStr> {
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
            return Err(self.end().err().unwrap_or_else(|| "the thread ended".into()));
        }
        self.report = CString::new(self.meter.read().to_string())?;
        Ok(&self.report)
    }

    fn end(&mut self) -> converting::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map_or(Ok(()), joined)
    }
}

fn joined(thread: JoinHandle<converting::Result<()>>) -> converting::Result<()> {
    thread.join().unwrap_or_else(|_| Err("a panic, which is on standard error".into()))
}

/// As [`guarded`], for what has errors of several kinds.
fn guarded_too<T>(work: impl FnOnce() -> converting::Result<T>) -> Option<T> {
    guarded(|| work().map_err(|error| Error::Options(error.to_string())))
}

/// A text of C.
///
/// # Safety
///
/// `text` is null or a string that ends with a zero, which lives for as long as the result.
unsafe fn text_of<'a>(text: *const c_char) -> Result<&'a str> {
    if text.is_null() {
        return Err(Error::Options("no options".into()));
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|error| Error::Options(error.to_string()))
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
    // SAFETY: the caller's promise.
    let session = guarded(|| open(unsafe { text_of(options) }?));
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

/// Opens a GPU and begins to convert a clip on a thread of its own, until it is closed; returns when the first tensor is
/// submitted. `options` are those of the example `stepconvert`, a line each; times and `--check` mean nothing here.
///
/// # Safety
///
/// As [`interop_open`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn interop_convert_open(options: *const c_char) -> *mut Converting {
    let session = guarded_too(|| {
        // SAFETY: the caller's promise.
        let text = unsafe { text_of(options) }?;
        Converting::begin(converting::options::Options::parse(text.lines().map(str::to_owned))?)
    });
    session.map_or(std::ptr::null_mut(), |session| Box::into_raw(Box::new(session)))
}

/// JSON of what was done since the last call, good until the next one, or null if the thread has ended.
///
/// # Safety
///
/// `session` is one that was opened and not closed, and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn interop_convert_read(session: *mut Converting) -> *const c_char {
    // SAFETY: the caller's promise.
    let session = unsafe { &mut *session };
    guarded_too(|| session.read().map(CStr::as_ptr)).unwrap_or(std::ptr::null())
}

/// Waits for what was submitted, and frees all.
///
/// # Safety
///
/// As [`interop_convert_read`]; afterwards there is no session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn interop_convert_close(session: *mut Converting) -> c_int {
    // SAFETY: the caller's promise; it was made by `Box::into_raw`.
    let mut session = unsafe { Box::from_raw(session) };
    if guarded_too(|| session.end()).is_some() { 0 } else { -1 }
}
