//! Batches of tensors.

use std::ffi::c_void;
use std::os::fd::IntoRawFd;
use std::ptr;

use crate::boundary::{call, give, out, release, room, with};
use crate::result::{NVDEC_OK, nvdec_result};
use crate::types::{
    DLManagedTensorVersioned, nvdec_batch, nvdec_batch_info, nvdec_batch_picture, nvdec_exported,
    nvdec_integrity, nvdec_semaphore,
};

/// What a batch is. It waits for nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_batch_describe(
    batch: *const nvdec_batch,
    info: *mut nvdec_batch_info,
) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe {
        call(batch, |batch| {
            give(info, &batch.info())?;
            Ok(NVDEC_OK)
        })
    }
}

/// Which picture is at `place` of a batch. It waits for nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_batch_picture_at(
    batch: *const nvdec_batch,
    place: usize,
    picture: *mut nvdec_batch_picture,
) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe {
        call(batch, |batch| {
            give(picture, &batch.picture(place)?)?;
            Ok(NVDEC_OK)
        })
    }
}

/// How far the picture at `place` is what its encoder made, waiting until it is decoded.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_batch_integrity(
    batch: *const nvdec_batch,
    place: usize,
    integrity: *mut nvdec_integrity,
) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe {
        call(batch, |batch| {
            give(integrity, &batch.integrity(place)?)?;
            Ok(NVDEC_OK)
        })
    }
}

/// Waits until the tensors are there. `NVDEC_LOST` if a picture was lost with the channel of its engine, so that its elements may
/// be anything.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_batch_wait(batch: *const nvdec_batch) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe {
        call(batch, |batch| {
            batch.wait()?;
            Ok(NVDEC_OK)
        })
    }
}

/// Copies all elements to host memory, waiting for them. `data`, `capacity` and `needed` as in `nvdec_frame_download`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_batch_download(
    batch: *const nvdec_batch,
    data: *mut c_void,
    capacity: usize,
    needed: *mut usize,
) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe {
        call(batch, |batch| {
            if let Some(room) = room(data.cast(), capacity, needed, batch.bytes())? {
                batch.download(room)?;
            }
            Ok(NVDEC_OK)
        })
    }
}

/// Has the GPU count a semaphore one on when the tensors are there, and gives the value that it has then: what a stream of CUDA
/// waits for before it reads the memory of `nvdec_batch_export_fd`. It waits for nothing. Values are written in the order of these
/// calls, 1 first; a batch that is ready early has its value written behind those before it. One that is lost has as well: call
/// `nvdec_batch_wait` before the results are trusted, or when a value does not come. A value that the GPU lost is written by that
/// call alone: a batch that was released before may never have one, until a later one comes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_batch_signal(
    batch: *const nvdec_batch,
    semaphore: *const nvdec_semaphore,
    value: *mut u32,
) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe {
        call(batch, |batch| {
            let value = out(value, "value")?;
            value.write(with(semaphore, |semaphore| batch.signal(semaphore))?);
            Ok(NVDEC_OK)
        })
    }
}

/// A descriptor of the memory that the tensors are in, for other processes and for CUDA (`cuImportExternalMemory` with an opaque
/// descriptor). Who has it reads and writes all of the allocation, which is this batch's alone. Before the elements are read, call
/// `nvdec_batch_wait`, or have a stream wait for what `nvdec_batch_signal` gives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_batch_export_fd(
    batch: *const nvdec_batch,
    exported: *mut nvdec_exported,
) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe {
        call(batch, |batch| {
            let (made, descriptor) = batch.export()?;
            give(exported, &made)?;
            // The caller knows of it now.
            let _ = descriptor.into_raw_fd();
            Ok(NVDEC_OK)
        })
    }
}

/// The batch as a tensor of DLPack 1, whose deleter the consumer calls once, on whatever thread. `kind` is an
/// `nvdec_stream_kind`: with `NVDEC_STREAM_NONE` the tensor is a copy in host memory, which this call waits for, `stream` is 0,
/// and the batch is no longer needed for it. With `NVDEC_STREAM_CUDA` it is `NVDEC_UNSUPPORTED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_batch_to_dlpack(
    batch: *const nvdec_batch,
    stream: u64,
    kind: u32,
    tensor: *mut *mut DLManagedTensorVersioned,
) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe {
        call(batch, |batch| {
            let tensor = out(tensor, "tensor")?;
            tensor.write(ptr::null_mut());
            tensor.write(batch.to_dlpack(stream, kind)?);
            Ok(NVDEC_OK)
        })
    }
}

/// Releases a batch; NULL is nothing. Its memory goes when the GPU is done with it, and when all descriptors of it are closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_batch_release(batch: *mut nvdec_batch) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe { release(batch) }
}
