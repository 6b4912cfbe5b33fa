//! Captures that were made to do harm: refused by name, or harmless.

use std::sync::OnceLock;

use nvdec::hevc::audit::BITSTREAM_SLACK;
use nvkernel_sys::video::hevc_pic as pic;
use proptest::prelude::*;

use super::*;
use crate::exit::Exit;
use crate::replay::capture::{MethodRecord, Pointee};
use crate::replay::player::Player;

/// What is said of a capture whose picture 1 was changed. Nothing is submitted.
#[track_caller]
fn refusal(name: &str, edit: impl Fn(&mut Draft<'_>)) -> Failure {
    let capture = few(name);
    let changed = open(change(&capture, |index, draft| {
        if index == 1 {
            edit(draft);
        }
    }));
    let (kernel, context) = machine();
    let failure = Player::new(&context, &changed, false, &mut |_| ()).unwrap_err();
    assert!(kernel.log().is_empty());
    failure
}

#[track_caller]
fn refused(what: &str, name: &str, edit: impl Fn(&mut Draft<'_>)) {
    let failure = refusal(name, edit);
    let message = failure.to_string();
    assert_eq!(failure.exit(), Exit::Data, "{message}");
    assert!(message.contains("picture 1 (POC ") && message.contains(what), "{what}: {message}");
}

/// The first pictures of a stream.
fn few(name: &str) -> Capture {
    open(record_with(&stream(name), None, Some(5)).0)
}

fn pointee(draft: &mut Draft<'_>, method: u32, to: Pointee) {
    draft.data.retain(|(known, _)| *known != method);
    let record = draft.picture.methods.iter_mut().find(|m| m.method == method).unwrap();
    record.to = to;
}

#[test]
fn what_makes_an_engine_leave_its_memory_is_refused_by_name() {
    let name = "x_wpp";
    let memory = |bytes| Pointee::Memory { id: 0, offset: 0, bytes };
    refused("framestride is 4096", name, |d| d.set(pic::framestride, 0, 4096));
    refused("framestride is 0", name, |d| d.set(pic::framestride, 1, 0));
    refused("tile table is 14", name, |d| d.set(pic::pic_width_in_luma_samples, 0, 424));
    refused("pic_height_in_luma_samples is 8191", name, |d| d.set(pic::pic_height_in_luma_samples, 0, 8191));
    refused("tile table", name, |d| d.set(pic::pic_height_in_luma_samples, 0, 8192));
    refused("colMvBuffersize is 29", name, |d| d.set(pic::colMvBuffersize, 0, 29));
    refused("curr_pic_idx is 16", name, |d| d.set(pic::curr_pic_idx, 0, 16));
    refused("place 1, which no list names", name, |d| d.set(pic::curr_pic_idx, 0, 9));
    refused("place 11, where no surface stands", name, |d| d.set(pic::initreflistidxl0, 7, 11));
    refused("HevcSaoAboveOffset is 1", name, |d| d.set(pic::HevcSaoAboveOffset, 0, 1));
    refused("HevcFltAboveOffset is 16777215", name, |d| d.set(pic::HevcFltAboveOffset, 0, 0xff_ffff));
    refused("stream_len is ", name, |d| {
        let length = d.get(pic::stream_len, 0);
        d.set(pic::stream_len, 0, length + 1);
    });
    refused("stream_len is 4294967295", name, |d| d.set(pic::stream_len, 0, 0xffff_ffff));
    refused("enable_histogram is 1", name, |d| d.set(pic::enable_histogram, 0, 1));
    refused("tile table", name, |d| d.data(video::HEVC_SET_TILE_SIZES_OFFSET)[0] += 1);
    refused("its codec is \"av1\"; known are hevc", name, |d| d.picture.codec = "av1".to_owned());
    refused("SET_APPLICATION_ID is 9", name, |d| d.picture.application_id = 9);
    refused("0x10042057 is not what HEVC is decoded with", name, |d| d.picture.control_params |= 1 << 28);
    refused("0x42047 is not what HEVC is decoded with", name, |d| d.picture.control_params ^= 1 << 4);
    refused("method SET_HISTOGRAM_OFFSET is none", name, |d| {
        let record = MethodRecord { method: video::SET_HISTOGRAM_OFFSET, to: memory(4096) };
        d.picture.methods.push(record);
    });
    refused("method 0x1234 is none", name, |d| {
        d.picture.methods.push(MethodRecord { method: 0x1234, to: memory(4096) });
    });
    refused("SET_DRV_PIC_SETUP_OFFSET does not point at 512 bytes", name, |d| {
        d.data(video::SET_DRV_PIC_SETUP_OFFSET).truncate(276);
    });
    refused("SET_COLOC_DATA_OFFSET does not point at", name, |d| {
        pointee(d, video::SET_COLOC_DATA_OFFSET, memory(4096));
    });
    for offset in [1, 1 << 50, u64::MAX - 255] {
        refused("SET_COLOC_DATA_OFFSET does not point at", name, |d| {
            pointee(d, video::SET_COLOC_DATA_OFFSET, Pointee::Memory { id: 0, offset, bytes: u64::MAX });
        });
    }
    refused("bytes are in use at once", name, |d| {
        let far = Pointee::Memory { id: 9, offset: 20 << 30, bytes: 1 << 30 };
        pointee(d, video::SET_COLOC_DATA_OFFSET, far);
    });
    for (from, to) in [(Some(1), 0), (None, 1 << 60), (Some(u64::MAX), 256)] {
        refused("motion vectors are moved from or to", name, |d| {
            d.picture.motion = vec![crate::replay::capture::MotionCopy { from, to }];
        });
    }
    refused("SET_NVDEC_STATUS_OFFSET is missing", name, |d| {
        d.picture.methods.retain(|m| m.method != video::SET_NVDEC_STATUS_OFFSET);
    });
    refused("HEVC_SET_TILE_SIZES_OFFSET does not point at 4096 bytes", name, |d| {
        pointee(d, video::HEVC_SET_TILE_SIZES_OFFSET, memory(1 << 20));
    });
    refused("scalingListEnable is true", name, |d| d.set(pic::scalingListEnable, 0, 1));
    refused("the target stands", name, |d| d.picture.target = 77);
    refused("not of the descriptor's format and size", name, |d| {
        d.picture.expect_nothing();
        d.picture.surface.width = 4096;
    });
    for engine in ["GR0", "NVDEC8", "NVDEC4294967295"] {
        refused(&format!("{engine:?} is no engine"), name, |d| d.picture.engine = engine.to_owned());
    }
    refused("a surface stands in place 16", name, |d| d.picture.places.push((16, 0)));
    refused("surface 0 had another format or size before", "x_size_202x150", |d| {
        // A picture of its own, only smaller: its tables are right.
        d.picture.expect_nothing();
        let place = d.get(pic::curr_pic_idx, 0);
        d.picture.target = 0;
        for (at, surface) in &mut d.picture.places {
            if i64::from(*at) == place {
                *surface = 0;
            }
        }
        for index in 0..16 {
            d.set(pic::initreflistidxl0, index, place);
            d.set(pic::initreflistidxl1, index, place);
        }
        d.picture.places.retain(|(at, _)| i64::from(*at) == place);
        d.set(pic::pic_height_in_luma_samples, 0, 128);
        d.set(pic::colMvBuffersize, 0, 256 * 128 / 16 / 256);
        d.picture.surface.height = 128;
        let ctb = 1 << d.get(pic::log2_max_luma_coding_block_size, 0);
        let rows = 128 / ctb;
        let table = d.data(video::HEVC_SET_TILE_SIZES_OFFSET);
        table[2..4].copy_from_slice(&(rows as u16).to_le_bytes());
        table[0x702..0x704].copy_from_slice(&(128u16 / 16).to_le_bytes());
    });
}

#[test]
fn what_the_class_cannot_do_is_no_damage() {
    let failure = refusal("x_wpp", |d| d.set(pic::chroma_format_idc, 0, 2));
    assert_eq!(failure.exit(), Exit::Unavailable, "{failure}");
}

#[test]
fn a_capture_that_wants_all_memory_is_refused() {
    // Each picture of the largest size uses surfaces of its own, which the last one uses again.
    let capture = few("x_wpp");
    let picture = &capture.pictures()[0];
    let mut writer = CaptureWriter::new(Vec::new(), capture.head()).unwrap();
    let mut descriptor = capture.data(picture, video::SET_DRV_PIC_SETUP_OFFSET).unwrap().unwrap();
    let mut tiles = vec![0; 4096];
    let blocks = 8192u16 / 32;
    for (at, value) in [(0, blocks), (2, blocks), (0x700, 512), (0x702, 512)] {
        tiles[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    let slot: i64 = 8192 * 8192 / 16 / 256;
    let sao_above = 256 * (8192 + 32) * 12 / 256;
    for (field, value) in [
        (pic::pic_width_in_luma_samples, 8192),
        (pic::pic_height_in_luma_samples, 8192),
        (pic::colMvBuffersize, slot),
        (pic::HevcSaoAboveOffset, sao_above),
        (pic::HevcSliceEdgeOffset, sao_above),
    ] {
        field.write(&mut descriptor, 0, value).unwrap();
    }
    for index in 0..2 {
        pic::framestride.write(&mut descriptor, index, 8192).unwrap();
    }
    let mut huge = picture.clone();
    huge.expect_nothing();
    (huge.surface.width, huge.surface.height, huge.nal_units) = (8192, 8192, 0);
    for record in &mut huge.methods {
        record.to = match record.method {
            video::SET_DRV_PIC_SETUP_OFFSET => writer.data(&descriptor).unwrap(),
            video::HEVC_SET_TILE_SIZES_OFFSET => writer.data(&tiles).unwrap(),
            video::SET_IN_BUF_BASE_OFFSET => {
                let stream = capture.data(picture, record.method).unwrap().unwrap();
                assert_eq!(
                    stream.len() - BITSTREAM_SLACK,
                    pic::stream_len.read(&descriptor, 0).unwrap() as usize
                );
                writer.data(&stream).unwrap()
            }
            video::SET_COLOC_DATA_OFFSET => {
                Pointee::Memory { id: 0, offset: 0, bytes: 17 * slot as u64 * 256 }
            }
            _ => record.to.clone(),
        };
    }
    for round in 0..2 {
        for surface in 0..100 {
            let place = huge.places[0].0;
            (huge.target, huge.places) = (surface, vec![(place, surface)]);
            huge.number = round * 100 + u64::from(surface);
            writer.picture(&huge).unwrap();
        }
    }
    let bytes = writer.finish(None).unwrap();
    assert!(bytes.len() < 200 << 10, "{} bytes", bytes.len());
    let capture = open(bytes);
    let refused =
        |trusted| Player::new(&machine().1, &capture, trusted, &mut |_| ()).unwrap_err().to_string();
    // 67 million samples each: the fifth is too much for a file as small as this.
    let message = refused(false);
    assert!(message.contains("picture 4 (") || message.contains("picture 5 ("), "{message}");
    assert!(
        message.contains("samples and bytes are to be gone through, the limit for a capture of"),
        "{message}"
    );
    let message = refused(true);
    assert!(message.contains("bytes are in use at once, the limit for a capture of"), "{message}");
    assert!(message.contains(" is 4294967296; --trusted"), "what the emulated GPU has room for: {message}");
}

/// An offset is a number, and the memory below it is made and cleared.
#[test]
fn small_captures_get_little_memory() {
    let capture = few("x_wpp");
    let far = |offset| {
        open(change(&capture, |_, draft| {
            pointee(draft, video::SET_COLOC_DATA_OFFSET, Pointee::Memory { id: 0, offset, bytes: 1 << 20 });
        }))
    };
    let (capture, near) = (far(1 << 30), far(64 << 20));
    let context = machine().1;
    let failure = Player::new(&context, &capture, false, &mut |_| ()).unwrap_err();
    assert_eq!(failure.exit(), Exit::Data);
    let size = format!("the limit for a capture of {} bytes is ", capture.size());
    assert!(failure.to_string().contains(&size), "{failure}");
    Player::new(&context, &capture, true, &mut |_| ()).unwrap();
    Player::new(&context, &near, false, &mut |_| ()).unwrap();
}

/// Zeros behind a blob take no room in the file, and are made each time that a picture is looked at.
#[test]
fn small_captures_point_at_little() {
    let capture = few("x_wpp");
    let with = |bytes| {
        change(&capture, |_, draft| {
            pointee(draft, video::SET_IN_BUF_BASE_OFFSET, Pointee::Data { blob: 0, bytes });
        })
    };
    open(with(10 << 20));
    let failure = try_open(with(40 << 20)).unwrap_err();
    assert_eq!(failure.exit(), Exit::Data);
    assert!(failure.to_string().contains("bytes are pointed at"), "{failure}");
}

/// Captures of few pictures with all kinds of tools.
fn captures() -> &'static [Capture] {
    static CAPTURES: OnceLock<Vec<Capture>> = OnceLock::new();
    CAPTURES.get_or_init(|| {
        ["x_wpp", "h_tiles_slices", "h_pcm10", "h_sl_file", "s_lt_rplm", "h_wp_ra", "h_depslice_ctu"]
            .map(few)
            .into()
    })
}

/// A change of a descriptor: a field by its position in the table, an element, and a value that fits.
fn field_change() -> impl Strategy<Value = (usize, usize, u32)> {
    // Flags and small numbers: most of the others are given by the rest of the descriptor.
    let narrow: Vec<usize> = (0..pic::FIELDS.len()).filter(|&i| pic::FIELDS[i].width() <= 4).collect();
    let field = prop_oneof![1 => 0..pic::FIELDS.len(), 3 => prop::sample::select(narrow)];
    (field, 0usize..16, prop_oneof![3 => 0u32..20, 1 => any::<u32>()])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever a descriptor says, it is refused or the engine stays in its memory: the channel never faults.
    #[test]
    fn changed_descriptors_do_no_harm(
        which in any::<prop::sample::Index>(),
        victim in 0usize..5,
        fields in prop::collection::vec(field_change(), 1..3),
        bytes in prop::option::weighted(0.1, (0usize..512, any::<u8>())),
    ) {
        let capture = which.get(captures());
        let changed = open(change(capture, |index, draft| {
            if index != victim {
                return;
            }
            for &(field, element, value) in &fields {
                let field = pic::FIELDS[field];
                let range = (field.max() - field.min() + 1) as u64;
                let value = field.min() + (u64::from(value) % range) as i64;
                draft.set(field, element % usize::from(field.count), value);
            }
            if let Some((at, value)) = bytes {
                draft.data(video::SET_DRV_PIC_SETUP_OFFSET)[at] = value;
            }
        }));
        match play(&changed, Assignment::All) {
            Ok(Replay { outcome, .. }) => prop_assert_eq!(outcome.pictures, changed.pictures().len()),
            Err(failure) => prop_assert!(
                [Exit::Data, Exit::Unavailable].contains(&failure.exit()), "{}", failure
            ),
        }
    }

    /// The same of slice data, tables, places, surfaces and waits.
    #[test]
    fn changed_submissions_do_no_harm(
        which in any::<prop::sample::Index>(),
        victim in 0usize..5,
        method in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
        what in 0u8..6,
        number in 0u32..20,
    ) {
        let capture = which.get(captures());
        let changed = change(capture, |index, draft| {
            if index != victim {
                return;
            }
            let count = draft.picture.places.len();
            match what {
                0 | 1 => {
                    let index = method.index(draft.data.len());
                    let (_, bytes) = &mut draft.data[index];
                    let at = at.index(bytes.len());
                    bytes[at] = value;
                }
                2 => draft.picture.places[at.index(count)].1 = number,
                3 => draft.picture.places[at.index(count)].0 = value & 31,
                4 => draft.picture.target = number,
                _ => {
                    let methods = &mut draft.picture.methods;
                    let index = method.index(methods.len());
                    match number {
                        0 => drop(methods.remove(index)),
                        1 => methods[index].method = 0x400 + 4 * u32::from(value),
                        _ => methods[index].to =
                            Pointee::Memory { id: number, offset: u64::from(value), bytes: u64::from(value) << number },
                    }
                }
            }
        });
        let Ok(changed) = try_open(changed) else { return Ok(()) };
        if let Err(failure) = play(&changed, Assignment::All) {
            prop_assert!([Exit::Data, Exit::Unavailable].contains(&failure.exit()), "{}", failure);
        }
    }
}
