//! Objects: made, called, released.

use std::any::Any;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError, RwLock, TryLockError};

use super::memory::out;
use crate::batch::Batch;
use crate::context::Shared;
use crate::decoder::{Decoding, HeldFrame};
use crate::result::{Failure, NVDEC_INTERNAL, NVDEC_OK, NVDEC_WRONG_OBJECT, Result, nvdec_result};
use crate::semaphore::Semaphore;
use crate::types::{nvdec_batch, nvdec_context, nvdec_decoder, nvdec_frame, nvdec_semaphore, nvdec_video};
use crate::video::Opened;

/// What a pointer of C stands for. The pointee's type is for the header; behind the pointer is an [`Object`].
pub(crate) trait Handle {
    /// What it holds.
    type State: Send;
    /// Eight letters, in the object's first bytes.
    const KIND: [u8; 8];
    /// What messages call it.
    const NAME: &'static str;
}

macro_rules! handles {
    ($($handle:ident is $name:literal $kind:literal of $state:ty;)*) => {
        $(impl Handle for $handle {
            type State = $state;
            const KIND: [u8; 8] = *$kind;
            const NAME: &'static str = $name;
        })*
        const KINDS: &[[u8; 8]] = &[$(*$kind),*];
    };
}

handles! {
    nvdec_context is "context" b"nvdecCtx" of Arc<Shared>;
    nvdec_decoder is "decoder" b"nvdecDec" of Decoding;
    nvdec_frame is "frame" b"nvdecFrm" of HeldFrame;
    nvdec_video is "video" b"nvdecVid" of Opened;
    nvdec_batch is "batch" b"nvdecBat" of Batch;
    nvdec_semaphore is "semaphore" b"nvdecSem" of Semaphore;
}

/// What all objects begin with.
#[repr(C)]
struct Head {
    kind: [u8; 8],
    /// Why the last call that failed did.
    failure: Mutex<String>,
}

#[repr(C)]
struct Object<T> {
    head: Head,
    /// Written by whoever calls the object; read by those who share a context.
    state: RwLock<T>,
}

/// The last failure in a thread.
#[derive(Default)]
struct Last {
    /// Of the object at this address; 0 of none.
    object: usize,
    text: String,
    /// What the caller was shown.
    shown: CString,
}

thread_local! {
    static LAST: RefCell<Last> = RefCell::default();
}

/// Keeps the text of a failure for this thread, and gives its number.
fn note(object: usize, failure: Failure) -> nvdec_result {
    let Failure { result, text } = failure;
    // A thread that is ending has nobody to tell.
    let _ = LAST.try_with(|last| {
        let mut last = last.borrow_mut();
        (last.object, last.text) = (object, text);
    });
    result
}

/// What `work` gives, or that it panicked.
fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| Err(panicked(&*payload)))
}

fn panicked(payload: &(dyn Any + Send)) -> Failure {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
    Failure::new(NVDEC_INTERNAL, format!("a fault of the library: {text}"))
}

/// A call that concerns no object.
pub(crate) fn plain(work: impl FnOnce() -> Result<nvdec_result>) -> nvdec_result {
    caught(work).unwrap_or_else(|failure| note(0, failure))
}

/// The object behind `handle`.
///
/// # Safety
///
/// `handle` is NULL or points to an object of this library, of whatever kind, that lives as long as `'a`.
unsafe fn object<'a, H: Handle>(handle: *const H) -> Result<&'a Object<H::State>> {
    if handle.is_null() {
        return Err(Failure::null(&format!("the {}", H::NAME)));
    }
    // SAFETY: all objects begin with a head.
    let head = unsafe { &*handle.cast::<Head>() };
    if head.kind != H::KIND {
        return Err(Failure::new(NVDEC_WRONG_OBJECT, format!("the pointer is no {}", H::NAME)));
    }
    // SAFETY: an object of this kind holds such a state.
    Ok(unsafe { &*handle.cast::<Object<H::State>>() })
}

impl<T> Object<T> {
    /// Keeps the text of a failure, and gives its number.
    fn settle(&self, outcome: Result<nvdec_result>) -> nvdec_result {
        outcome.unwrap_or_else(|failure| {
            // The text of a busy object belongs to the thread that is busy with it.
            if failure.result != crate::result::NVDEC_BUSY {
                self.head.failure.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&failure.text);
            }
            note(ptr::from_ref(self).addr(), failure)
        })
    }
}

/// Calls the object behind `handle`, which nobody else does meanwhile.
///
/// # Safety
///
/// As the rules of the header say of `handle`.
pub(crate) unsafe fn call<H: Handle>(
    handle: *const H,
    work: impl FnOnce(&mut H::State) -> Result<nvdec_result>,
) -> nvdec_result {
    // SAFETY: the caller's promise; nobody releases an object during a call of it.
    let object = match unsafe { object(handle) } {
        Ok(object) => object,
        Err(failure) => return note(handle.addr(), failure),
    };
    object.settle(caught(|| work(&mut *entered(object.state.try_write())?)))
}

/// Uses the object behind `handle` during a call of another one, whose failure it is if that cannot be.
///
/// # Safety
///
/// As [`call`].
pub(crate) unsafe fn with<H: Handle, T>(
    handle: *const H,
    work: impl FnOnce(&mut H::State) -> Result<T>,
) -> Result<T> {
    // SAFETY: the caller's promise.
    let object = unsafe { object(handle) }?;
    work(&mut *entered(object.state.try_write())?)
}

/// What a lock gives that is never waited for.
fn entered<G>(lock: Result<G, TryLockError<G>>) -> Result<G> {
    lock.map_err(|error| match error {
        TryLockError::WouldBlock => Failure::busy(),
        TryLockError::Poisoned(_) => {
            Failure::new(NVDEC_INTERNAL, "the object is unusable since a fault of the library: release it")
        }
    })
}

/// Calls a context, which any number of threads may do at a time. None of them closes it meanwhile.
///
/// # Safety
///
/// As [`call`].
pub(crate) unsafe fn share(
    handle: *const nvdec_context,
    work: impl FnOnce(Arc<Shared>) -> Result<nvdec_result>,
) -> nvdec_result {
    // SAFETY: the caller's promise.
    let object = match unsafe { object(handle) } {
        Ok(object) => object,
        Err(failure) => return note(handle.addr(), failure),
    };
    object.settle(caught(|| {
        let shared = entered(object.state.try_read())?;
        work(shared.clone())
    }))
}

/// Makes an object and writes the pointer to it to `place`; NULL if that fails.
///
/// # Safety
///
/// As the rules of the header say of `place`.
pub(crate) unsafe fn construct<H: Handle>(
    place: *mut *mut H,
    work: impl FnOnce() -> Result<H::State>,
) -> Result<nvdec_result> {
    // SAFETY: the caller's promise.
    let place = unsafe { out(place, "the place for the object") }?;
    place.write(ptr::null_mut());
    let state = RwLock::new(work()?);
    let object = Object { head: Head { kind: H::KIND, failure: Mutex::default() }, state };
    place.write(Box::into_raw(Box::new(object)).cast());
    Ok(NVDEC_OK)
}

/// Releases the object behind `handle`, unless another thread is in a call of it.
///
/// # Safety
///
/// As [`call`]; unless the result is `NVDEC_BUSY` or `NVDEC_WRONG_OBJECT`, the pointer is not used again.
pub(crate) unsafe fn release<H: Handle>(handle: *mut H) -> nvdec_result {
    if handle.is_null() {
        return NVDEC_OK;
    }
    // SAFETY: the caller's promise.
    let object = match unsafe { object::<H>(handle) } {
        Ok(object) => object,
        Err(failure) => return note(handle.addr(), failure),
    };
    if let Err(TryLockError::WouldBlock) = object.state.try_write() {
        return object.settle(Err(Failure::busy()));
    }
    plain(|| {
        // SAFETY: `construct` made it of a box of this type, and the caller gives it up.
        drop(unsafe { Box::from_raw(handle.cast::<Object<H::State>>()) });
        Ok(NVDEC_OK)
    })
}

/// The text of the last failure of `object`, or with NULL of this thread.
///
/// # Safety
///
/// `object` is NULL, or any object of this library that is not released.
pub(crate) unsafe fn last_error(object: *const c_void) -> *const c_char {
    let text = |last: &Last| {
        if object.is_null() || last.object == object.addr() {
            return last.text.clone();
        }
        // SAFETY: the caller's promise: all objects begin with a head.
        let head = unsafe { &*object.cast::<Head>() };
        if !KINDS.contains(&head.kind) {
            return "the pointer is no object of this library".to_owned();
        }
        head.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    };
    let shown = LAST.try_with(|last| {
        let mut last = last.borrow_mut();
        let text = text(&last).replace('\0', " ");
        last.shown = CString::new(text).unwrap_or_default();
        last.shown.as_ptr()
    });
    shown.unwrap_or(const { CStr::as_ptr(c"the thread is ending") })
}

#[cfg(test)]
mod tests;
