//! Decoders of elementary streams, and their frames.

use std::ptr;

use crate::boundary::{bytes, call, construct, give, options, out, release, room, share};
use crate::decoder::Decoding;
use crate::result::{Failure, NVDEC_AGAIN, NVDEC_OK, nvdec_result};
use crate::types::{
    nvdec_context, nvdec_decoder, nvdec_decoder_memory, nvdec_decoder_options, nvdec_frame, nvdec_frame_info,
    nvdec_integrity, nvdec_packet,
};

/// Makes a decoder for a stream of `codec`, an `nvdec_codec`; `options` may be NULL. Memory for pictures is allocated when the
/// first one tells their size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_decoder_open(
    context: *const nvdec_context,
    codec: u32,
    options: *const nvdec_decoder_options,
    decoder: *mut *mut nvdec_decoder,
) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe {
        share(context, |shared| {
            construct(decoder, || Decoding::open(shared, codec, &self::options(options)?))
        })
    }
}

/// Releases a decoder; NULL is nothing. Its frames stay good.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_decoder_release(decoder: *mut nvdec_decoder) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe { release(decoder) }
}

/// Sends a piece of the stream: `NVDEC_OK` if it was taken, `NVDEC_AGAIN` if nothing of it was, since frames are to be received
/// and released first. What is wrong with single units or pictures is for `nvdec_decoder_take_error` to say.
/// `NVDEC_UNSUPPORTED` if a sequence begins that the GPU cannot decode: the packet was taken, and a later sequence may be one that
/// it can.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_decoder_send(
    decoder: *mut nvdec_decoder,
    packet: *const nvdec_packet,
) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe {
        call(decoder, |decoder| {
            if packet.is_null() {
                return Err(Failure::null("packet"));
            }
            let packet = options(packet)?;
            decoder.send(&packet, bytes(packet.data, packet.length, "nvdec_packet.data")?)
        })
    }
}

/// The next frame in the order of showing: `NVDEC_AGAIN` if none is due, `NVDEC_END` after the last one behind
/// `nvdec_decoder_flush`. The frame may still be decoded; nothing waits for that here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_decoder_receive(
    decoder: *mut nvdec_decoder,
    frame: *mut *mut nvdec_frame,
) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe {
        call(decoder, |decoder| {
            out(frame, "frame")?.write(ptr::null_mut());
            match decoder.receive() {
                Ok(received) => construct(frame, || Ok(received)),
                Err(result) => Ok(result),
            }
        })
    }
}

/// Ends the stream: all frames become due. `NVDEC_AGAIN` as in `nvdec_decoder_send`. Another stream may be sent afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_decoder_flush(decoder: *mut nvdec_decoder) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe { call(decoder, Decoding::flush) }
}

/// Most GPU memory that the decoder takes for the present sequence, which includes what it has: `NVDEC_AGAIN` before the first
/// picture of a stream told. It becomes less when further decoders share the GPU.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_decoder_price(
    decoder: *const nvdec_decoder,
    memory: *mut nvdec_decoder_memory,
) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe {
        call(decoder, |decoder| match decoder.price() {
            // Also where there is nothing to write yet.
            _ if memory.is_null() => Err(Failure::null("memory")),
            Some(price) => give(memory, &price).map(|()| NVDEC_OK),
            None => Ok(NVDEC_AGAIN),
        })
    }
}

/// Forgets everything that was sent and has not come out, as for a seek.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_decoder_reset(decoder: *mut nvdec_decoder) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe {
        call(decoder, |decoder| {
            decoder.reset();
            Ok(NVDEC_OK)
        })
    }
}

/// The next fault of a unit or a picture that did not end the stream: its number, and its text by `nvdec_last_error`.
/// `NVDEC_OK` if there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_decoder_take_error(decoder: *mut nvdec_decoder) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe { call(decoder, Decoding::take_error) }
}

/// What a frame is. It waits for nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_frame_describe(
    frame: *const nvdec_frame,
    info: *mut nvdec_frame_info,
) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe {
        call(frame, |frame| {
            give(info, &frame.info())?;
            Ok(NVDEC_OK)
        })
    }
}

/// How far a frame is what its encoder made, waiting until it is decoded.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_frame_integrity(
    frame: *const nvdec_frame,
    integrity: *mut nvdec_integrity,
) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe {
        call(frame, |frame| {
            give(integrity, &frame.integrity()?)?;
            Ok(NVDEC_OK)
        })
    }
}

/// Copies the part of a frame that is to be shown to host memory, waiting for it: planes Y, Cb and Cr, without gaps. Samples of
/// more than 8 bits are 16-bit words, little-endian, with the sample in the lower bits.
///
/// Bytes that are needed are written to `needed`, if that is not NULL; with `data` NULL nothing else is done.
/// `NVDEC_BUFFER_TOO_SMALL` if `capacity` is less.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_frame_download(
    frame: *const nvdec_frame,
    data: *mut u8,
    capacity: usize,
    needed: *mut usize,
) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe {
        call(frame, |frame| {
            if let Some(room) = room(data, capacity, needed, frame.planar_bytes())? {
                frame.download(room)?;
            }
            Ok(NVDEC_OK)
        })
    }
}

/// Releases a frame; NULL is nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvdec_frame_release(frame: *mut nvdec_frame) -> nvdec_result {
    // SAFETY: the rules of the header.
    unsafe { release(frame) }
}
