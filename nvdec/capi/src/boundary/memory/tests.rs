//! Structures of other sizes than ours.

use super::*;
use crate::result::{NVDEC_NULL_ARGUMENT, nvdec_result};

/// A structure as a later version might have it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Later {
    now: nvdec_decoder_options,
    more: u64,
    even_more: u64,
}

fn later(more: u64) -> Later {
    let now = nvdec_decoder_options {
        size: size_of::<Later>(),
        engines: 3,
        least_busy: 0,
        mode: 2,
        policy: 1,
        start: 3,
        held_frames: 4,
        max_luma_samples: 5,
    };
    Later { now, more: 0, even_more: more }
}

fn read(value: &Later) -> Result<nvdec_decoder_options, (nvdec_result, String)> {
    // SAFETY: no test sets a size that is larger than the structure, but for those that are refused.
    unsafe { options(&raw const value.now) }.map_err(|failure| (failure.result, failure.text))
}

#[test]
fn an_older_caller_gets_defaults() {
    let mut value = later(0);
    for (size, expected) in
        [(8, [0, 0, 0, 0]), (16, [3, 0, 0, 0]), (24, [3, 2, 0, 0]), (32, [3, 2, 4, 0]), (40, [3, 2, 4, 5])]
    {
        value.now.size = size;
        let found = read(&value).unwrap();
        let found =
            [found.engines.into(), found.mode.into(), found.held_frames.into(), found.max_luma_samples];
        assert_eq!(found, expected, "{size}");
    }
    // SAFETY: NULL is allowed.
    let found = unsafe { options(ptr::null::<nvdec_decoder_options>()) }.unwrap();
    assert_eq!((found.size, found.engines, found.max_luma_samples), (0, 0, 0));
}

#[test]
fn a_newer_caller_may_use_what_is_known_here() {
    assert_eq!(read(&later(0)).unwrap().max_luma_samples, 5);
    let (result, text) = read(&later(1)).unwrap_err();
    assert_eq!(result, NVDEC_INVALID_SIZE);
    assert_eq!(text, "nvdec_decoder_options sets fields behind the 40 bytes that this library knows");
}

#[test]
fn sizes_that_are_none_are_refused() {
    let mut value = later(0);
    for size in [0, 4, 12, 39, 41, LARGEST + STEP, usize::MAX, usize::MAX - 7] {
        value.now.size = size;
        let (result, text) = read(&value).unwrap_err();
        assert_eq!(result, NVDEC_INVALID_SIZE);
        assert!(text.contains("set it to sizeof(nvdec_decoder_options), 40"), "{text}");
    }
}

#[test]
fn results_are_written_as_far_as_they_are_known() {
    #[repr(C)]
    struct Room {
        info: nvdec_batch_picture,
        behind: [u64; 2],
    }
    let value = nvdec_batch_picture { size: 99, number: 1, pts: 2, duration: 3, key: 1, reserved: 0 };
    let give_to = |size: usize| {
        let info = nvdec_batch_picture { size, number: 7, pts: 7, duration: 7, key: 7, reserved: 7 };
        let mut room = Room { info, behind: [7; 2] };
        // SAFETY: so much is there.
        let given = unsafe { give((&raw mut room).cast::<nvdec_batch_picture>(), &value) };
        given.map(|()| (room.info.size, room.info.number, room.info.pts, room.info.key, room.behind))
    };
    assert_eq!(give_to(40).unwrap(), (40, 1, 2, 1, [7, 7]));
    assert_eq!(give_to(16).unwrap(), (16, 1, 7, 7, [7, 7]));
    assert_eq!(give_to(48).unwrap(), (48, 1, 2, 1, [0, 7]));
    assert_eq!(give_to(5).unwrap_err().result, NVDEC_INVALID_SIZE);
    // SAFETY: NULL is allowed.
    assert_eq!(unsafe { give(ptr::null_mut(), &value) }.unwrap_err().result, NVDEC_NULL_ARGUMENT);
}

#[test]
fn buffers_say_what_they_need() {
    let (mut data, mut needed) = ([9u8; 4], 0);
    let bytes = [1, 2, 3];
    // SAFETY: the buffer has as many bytes as is said, and NULL is allowed.
    unsafe {
        fill(ptr::null_mut(), 0, &raw mut needed, &bytes).unwrap();
        assert_eq!(needed, 3);
        let failure = fill(data.as_mut_ptr(), 2, &raw mut needed, &bytes).unwrap_err();
        assert_eq!((failure.result, needed, data), (NVDEC_BUFFER_TOO_SMALL, 3, [9; 4]));
        fill(data.as_mut_ptr(), 4, ptr::null_mut(), &bytes).unwrap();
        assert_eq!(data, [1, 2, 3, 9]);
    }
}

#[test]
fn lists_are_looked_at_before_they_are_read() {
    let numbers = [1usize, 2];
    // SAFETY: what is not there is refused, and not read.
    unsafe {
        assert_eq!(elements(numbers.as_ptr(), 2, "numbers").unwrap(), [1, 2]);
        assert!(elements::<usize>(ptr::null(), 0, "numbers").unwrap().is_empty());
        assert_eq!(elements::<usize>(ptr::null(), 1, "numbers").unwrap_err().text, "numbers is NULL");
        assert!(elements(numbers.as_ptr(), usize::MAX, "numbers").is_err());
        assert!(elements(numbers.as_ptr().cast::<u8>().add(1).cast::<usize>(), 1, "numbers").is_err());
    }
}

/// There is no padding, and sizes are for ever: fields come at the end.
#[test]
fn structures_have_their_sizes() {
    let sizes = [
        (size_of::<nvdec_context_options>(), 8 + 8 + 8 + 4 + 4),
        (size_of::<nvdec_context_info>(), 8 + 2 * 8 + 2 * 4 + 96 + 3 * 32),
        (size_of::<nvdec_decoder_options>(), 8 + 6 * 4 + 8),
        (size_of::<nvdec_decoder_memory>(), 8 + 5 * 8),
        (size_of::<nvdec_packet>(), 8 + 6 * 8 + 2 * 4),
        (size_of::<nvdec_frame_info>(), 8 + 16 * 4 + 5 * 8),
        (size_of::<nvdec_integrity>(), 8 + 2 * 4 + 240),
        (size_of::<nvdec_video_options>(), 8 + 2 * 4 + 3 * 8),
        (size_of::<nvdec_source>(), 8 + 3 * 8),
        (size_of::<nvdec_video_info>(), 8 + 3 * 8 + 18 * 4 + 32),
        (size_of::<nvdec_picture_info>(), 8 + 4 * 8 + 4 * 4),
        (size_of::<nvdec_tensor_options>(), 8 + 8),
        (size_of::<nvdec_batch_info>(), 8 + 4 * 8 + 2 * 8 + 2 * 4),
        (size_of::<nvdec_batch_picture>(), 8 + 3 * 8 + 2 * 4),
        (size_of::<nvdec_exported>(), 8 + 3 * 8 + 2 * 4),
    ];
    for (is, sum) in sizes {
        assert_eq!(is, sum);
    }
}
