//! Semaphores.

use std::os::fd::IntoRawFd;

use crate::boundary::{call, construct, give, out, release, share};
use crate::result::{NVDEC_OK, nvdec_result};
use crate::semaphore::Semaphore;
use crate::types::{nvdec_context, nvdec_exported, nvdec_semaphore};

/// Makes a semaphore, with the value 0. One does for all batches of a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_semaphore_create(
    context: *const nvdec_context,
    semaphore: *mut *mut nvdec_semaphore,
) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe { share(context, |shared| construct(semaphore, || Semaphore::new(&shared))) }
}

/// The value of a semaphore, as the host sees it. A `value` of `nvdec_batch_signal` is reached when `(int32_t)(this - value) >= 0`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_semaphore_value(
    semaphore: *const nvdec_semaphore,
    value: *mut u32,
) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe {
        call(semaphore, |semaphore| {
            out(value, "value")?.write(semaphore.value()?);
            Ok(NVDEC_OK)
        })
    }
}

/// A descriptor of the memory that the record of a semaphore is in; nothing else is. It is imported once (`cuImportExternalMemory`
/// with an opaque descriptor), and `cuStreamWaitValue32` with `CU_STREAM_WAIT_VALUE_GEQ` then waits for values at `offset`. Who has
/// it can write the record as well, and so let those go on who wait: the library itself waits for no semaphore.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_semaphore_export_fd(
    semaphore: *const nvdec_semaphore,
    exported: *mut nvdec_exported,
) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe {
        call(semaphore, |semaphore| {
            let (made, descriptor) = semaphore.export()?;
            give(exported, &made)?;
            // The caller knows of it now.
            let _ = descriptor.into_raw_fd();
            Ok(NVDEC_OK)
        })
    }
}

/// Releases a semaphore; NULL is nothing. What was signalled is written all the same, and waited for here if the batches are
/// released already. The memory goes when all descriptors and imports of it are gone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_semaphore_release(semaphore: *mut nvdec_semaphore) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe { release(semaphore) }
}
