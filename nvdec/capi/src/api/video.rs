//! Videos.

use std::ffi::{CStr, c_char};

use nvdec::TensorSpec;

use super::nvdec_source;
use crate::boundary::{
    CallerSource, bytes, call, construct, elements, fill, give, measure, options, out, release, share, text,
};
use crate::result::{Failure, NVDEC_AGAIN, NVDEC_BUFFER_TOO_SMALL, NVDEC_OK, Result, nvdec_result};
use crate::types::{
    nvdec_batch, nvdec_context, nvdec_decoder_memory, nvdec_picture_info, nvdec_tensor_options, nvdec_video,
    nvdec_video_info, nvdec_video_options,
};
use crate::video::{Opened, Place};

/// Opens what is at `place`.
///
/// # Safety
///
/// The rules of the header.
unsafe fn open<'a>(
    context: *const nvdec_context,
    place: impl FnOnce() -> Result<Place<'a>>,
    options: *const nvdec_video_options,
    video: *mut *mut nvdec_video,
) -> nvdec_result {
    // SAFETY: the caller's promise.
    unsafe {
        share(context, |shared| {
            construct(video, || {
                let options = self::options(options)?;
                let decoder = self::options(options.decoder)?;
                let index = bytes(options.index, options.index_size, "nvdec_video_options.index")?;
                Opened::open(shared, place()?, &options, &decoder, index)
            })
        })
    }
}

/// What the options ask for.
///
/// # Safety
///
/// The rules of the header.
unsafe fn spec(options: *const nvdec_tensor_options) -> Result<TensorSpec> {
    // SAFETY: the caller's promise.
    let options = unsafe { self::options(options) }?;
    // SAFETY: likewise.
    match unsafe { text(options.spec, "nvdec_tensor_options.spec") }? {
        None | Some("") => Ok(TensorSpec::new()),
        Some(text) => Ok(text.parse::<TensorSpec>()?),
    }
}

/// Opens a video in a file: MP4 and QuickTime, Matroska and WebM, MPEG transport streams, HEVC with start codes, HEIF.
/// `options` may be NULL. Without a stored index all pictures are looked at once: of MP4 and
/// Matroska their headers are read, of other formats all bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_video_open(
    context: *const nvdec_context,
    path: *const c_char,
    options: *const nvdec_video_options,
    video: *mut *mut nvdec_video,
) -> nvdec_result {
    let place = || {
        if path.is_null() {
            return Err(Failure::null("path"));
        }
        // SAFETY: the rules of the header.
        Ok(Place::File(unsafe { CStr::from_ptr(path) }.to_bytes()))
    };
    // SAFETY: the rules of the header.
    unsafe { open(context, place, options, video) }
}

/// Opens a video in memory, which is copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_video_open_memory(
    context: *const nvdec_context,
    data: *const u8,
    length: usize,
    options: *const nvdec_video_options,
    video: *mut *mut nvdec_video,
) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe { open(context, || Ok(Place::Memory(bytes(data, length, "data")?)), options, video) }
}

/// Opens a video that functions of the caller's read. They, and what `user` points to, have to be good until the video is
/// released; the structure itself only during this call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_video_open_source(
    context: *const nvdec_context,
    source: *const nvdec_source,
    options: *const nvdec_video_options,
    video: *mut *mut nvdec_video,
) -> nvdec_result {
    let place = || {
        if source.is_null() {
            return Err(Failure::null("source"));
        }
        // SAFETY: the rules of the header.
        Ok(Place::Caller(CallerSource::new(&unsafe { self::options(source) }?)?))
    };
    // SAFETY: the rules of the header.
    unsafe { open(context, place, options, video) }
}

/// Releases a video; NULL is nothing. Its batches stay good.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_video_release(video: *mut nvdec_video) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe { release(video) }
}

/// What a video is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_video_describe(
    video: *const nvdec_video,
    info: *mut nvdec_video_info,
) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe {
        call(video, |video| {
            give(info, &video.info())?;
            Ok(NVDEC_OK)
        })
    }
}

/// What is known of picture `number`, counted from 0 in the order of showing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_video_picture(
    video: *const nvdec_video,
    number: usize,
    info: *mut nvdec_picture_info,
) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe {
        call(video, |video| {
            give(info, &video.picture(number)?)?;
            Ok(NVDEC_OK)
        })
    }
}

/// The number of the picture that is shown at a time. `NVDEC_NO_PICTURE` before the first, behind the end of the last, and where
/// nothing says when pictures are shown.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_video_at(
    video: *const nvdec_video,
    seconds: f64,
    number: *mut usize,
) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe {
        call(video, |video| {
            let number = out(number, "number")?;
            number.write(video.at(seconds)?);
            Ok(NVDEC_OK)
        })
    }
}

/// The pictures that are shown from `start` on and before `stop`, in seconds; with `rate` not 0, those that are shown at `start`
/// and at each step of 1/`rate` seconds. How many there are is written to `count`. With `numbers` NULL nothing else is;
/// `NVDEC_BUFFER_TOO_SMALL` if `capacity` is less than that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_video_between(
    video: *const nvdec_video,
    start: f64,
    stop: f64,
    rate: f64,
    numbers: *mut usize,
    capacity: usize,
    count: *mut usize,
) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe {
        call(video, |video| {
            let found = video.between(start, stop, rate)?;
            measure(count, found.len());
            if numbers.is_null() {
                return Ok(NVDEC_OK);
            }
            if capacity < found.len() {
                let text = format!("there are {} pictures, and room for {capacity}", found.len());
                return Err(Failure::new(NVDEC_BUFFER_TOO_SMALL, text));
            }
            for (at, &number) in found.iter().enumerate() {
                numbers.add(at).write(number);
            }
            Ok(NVDEC_OK)
        })
    }
}

/// The index of a video as bytes, about ten for each picture, for `nvdec_video_options.index` when it is opened again. `data`,
/// `capacity` and `needed` as in `nvdec_frame_download`. `NVDEC_STALE_INDEX` for a file that has changed since it was opened, or is a
/// pipe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_video_store_index(
    video: *const nvdec_video,
    data: *mut u8,
    capacity: usize,
    needed: *mut usize,
) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe {
        call(video, |video| {
            fill(data, capacity, needed, &video.store_index()?)?;
            Ok(NVDEC_OK)
        })
    }
}

/// Most GPU memory that the decoder of a video takes besides batches. It is made with the first batch, and stays: `NVDEC_AGAIN`
/// before that. See `nvdec_decoder_price`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_video_decoder_price(
    video: *const nvdec_video,
    memory: *mut nvdec_decoder_memory,
) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe {
        call(video, |video| match video.decoder_price() {
            // Also where there is nothing to write yet.
            _ if memory.is_null() => Err(Failure::null("memory")),
            Some(price) => give(memory, &price).map(|()| NVDEC_OK),
            None => Ok(NVDEC_AGAIN),
        })
    }
}

/// What a batch of `count` pictures will be: its four sizes, and bytes of GPU memory for it. Both places may be NULL. What the
/// decoder takes comes to that: `nvdec_video_decoder_price`. Nothing is decoded or allocated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_video_price(
    video: *const nvdec_video,
    options: *const nvdec_tensor_options,
    count: usize,
    shape: *mut u64,
    bytes: *mut u64,
) -> nvdec_result {
    // SAFETY: the rules of the header; `shape` has room for four numbers.
    unsafe {
        call(video, |video| {
            let (of_one, all) = video.price(&spec(options)?, count)?;
            if !shape.is_null() {
                let [a, b, c] = of_one.dims();
                for (at, size) in [count, a, b, c].into_iter().enumerate() {
                    shape.add(at).write(size as u64);
                }
            }
            if !bytes.is_null() {
                bytes.write(all);
            }
            Ok(NVDEC_OK)
        })
    }
}

/// Decodes pictures and makes tensors of them, side by side in GPU memory: picture `numbers[n]` at place `n`. Numbers may come in
/// any order, and more than once. `options` may be NULL. The tensors need not be complete when this returns:
/// `nvdec_batch_wait` waits for them, and downloads do.
///
/// Pictures that are damaged are in the batch as well; `nvdec_batch_integrity` says which. `NVDEC_UNSUPPORTED` if pictures have
/// different sizes and the options name none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_video_read(
    video: *mut nvdec_video,
    options: *const nvdec_tensor_options,
    numbers: *const usize,
    count: usize,
    batch: *mut *mut nvdec_batch,
) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe {
        call(video, |video| {
            construct(batch, || video.read(&spec(options)?, elements(numbers, count, "numbers")?))
        })
    }
}
