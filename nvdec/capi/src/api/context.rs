//! Contexts.

use crate::boundary::{construct, give, options, plain, release, share, text};
use crate::context;
use crate::result::{NVDEC_OK, nvdec_result};
use crate::types::{nvdec_context, nvdec_context_info, nvdec_context_options};

/// Opens a GPU for decoding; `options` may be NULL. Where the emulated one takes the place of a GPU that is not there, a line on
/// standard error says so, once in the life of the process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_context_open(
    options: *const nvdec_context_options,
    context: *mut *mut nvdec_context,
) -> nvdec_result {
    // SAFETY: the rules of the header.
    plain(|| unsafe {
        construct(context, || {
            let options = self::options(options)?;
            context::open(&options, text(options.device, "device")?)
        })
    })
}

/// Closes a context; NULL is nothing. Decoders, frames, videos and batches of it stay good, and with them the GPU stays open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_context_close(context: *mut nvdec_context) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe { release(context) }
}

/// What the context is, and how much memory it has allocated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_context_describe(
    context: *const nvdec_context,
    info: *mut nvdec_context_info,
) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe {
        share(context, |shared| {
            give(info, &shared.info())?;
            Ok(NVDEC_OK)
        })
    }
}

/// Gives memory that decoders have given back, and that is kept for those to come, back to the driver.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_context_release_memory(context: *const nvdec_context) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe {
        share(context, |shared| {
            shared.context.release_memory();
            Ok(NVDEC_OK)
        })
    }
}
