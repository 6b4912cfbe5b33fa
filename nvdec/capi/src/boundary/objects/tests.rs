//! Calls that go wrong.

use std::ffi::CStr;

use super::*;
use crate::result::{NVDEC_BUSY, NVDEC_NULL_ARGUMENT};
use crate::types::nvdec_batch;

/// An object of this test.
struct probe {}

impl Handle for probe {
    type State = u32;
    const KIND: [u8; 8] = *b"nvdecTst";
    const NAME: &'static str = "probe";
}

fn made(state: u32) -> *mut probe {
    let mut place = ptr::null_mut();
    // SAFETY: the place is a variable of ours.
    assert_eq!(unsafe { construct(&raw mut place, || Ok(state)) }.unwrap(), NVDEC_OK);
    place
}

fn said(object: *const c_void) -> String {
    // SAFETY: NULL, or an object that lives; the text is read at once.
    unsafe { CStr::from_ptr(last_error(object)) }.to_str().unwrap().to_owned()
}

#[test]
fn a_panic_stays_here_and_closes_the_object() {
    let object = made(1);
    let silence = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    // SAFETY: the object lives, here and below.
    let result = unsafe { call(object, |_| panic!("number {}", 7)) };
    std::panic::set_hook(silence);
    assert_eq!(result, NVDEC_INTERNAL);
    assert_eq!(said(ptr::null()), "a fault of the library: number 7");
    // SAFETY: as above.
    assert_eq!(unsafe { call(object, |_| Ok(NVDEC_OK)) }, NVDEC_INTERNAL);
    assert!(said(ptr::null()).contains("release it"));
    // SAFETY: it is not used again.
    assert_eq!(unsafe { release(object) }, NVDEC_OK);
}

#[test]
fn a_call_within_a_call_is_told_so() {
    let object = made(1);
    // SAFETY: the object lives.
    let result = unsafe {
        call(object, |state| {
            *state += 1;
            assert_eq!(call(object, |_| Ok(NVDEC_OK)), NVDEC_BUSY);
            assert!(said(object.cast_const().cast()).contains("one thread at a time"));
            assert_eq!(release(object), NVDEC_BUSY);
            Ok(NVDEC_OK)
        })
    };
    assert_eq!(result, NVDEC_OK);
    // SAFETY: it is not used again.
    assert_eq!(unsafe { release(object) }, NVDEC_OK);
}

#[test]
fn pointers_to_nothing_and_to_other_objects_are_refused() {
    // SAFETY: NULL is allowed.
    unsafe {
        assert_eq!(call(ptr::null::<probe>(), |_| Ok(NVDEC_OK)), NVDEC_NULL_ARGUMENT);
        assert_eq!(said(ptr::null()), "the probe is NULL");
        assert_eq!(release(ptr::null_mut::<probe>()), NVDEC_OK);
    }
    let object = made(1);
    // SAFETY: it is an object, of another kind.
    unsafe {
        assert_eq!(call(object.cast::<nvdec_batch>(), |_| Ok(NVDEC_OK)), NVDEC_WRONG_OBJECT);
        assert_eq!(release(object.cast::<nvdec_batch>()), NVDEC_WRONG_OBJECT);
        assert_eq!(said(ptr::null()), "the pointer is no batch");
        assert_eq!(release(object), NVDEC_OK);
    }
}
