//! Recording and playing on the emulated GPU.

use nvdec::class::ScratchSizes;
use nvdec::{EngineSet, Priority};
use nvkernel_sys::video::hevc_pic as pic;

use super::*;
use crate::exit::Exit;

/// One engine for all pictures.
fn one(number: u32) -> Assignment {
    Assignment::Set(EngineSet::default().with(engine(number)))
}

/// Streams with wavefronts, tiles, slices, scaling lists, weights, long-term references, PCM, ten bits, open
/// GOPs.
const STREAMS: &[&str] = &[
    "x_wpp",
    "k_10b_tiles",
    "x_size_202x150",
    "h_ra_cra",
    "h_tmvp2_o",
    "h_wp_ra",
    "s_lt_rplm",
    "h_sl_file",
    "h_pcm10",
    "h_tiles_slices",
    "h_depslice_ctu",
    "h_slice_ctu",
    "h_ld_b",
    "s_hdr_ext_wpp",
    "x_fmt_yuv420p12le",
    "h_10b_ra",
];

#[test]
fn what_was_recorded_comes_out_on_every_engine() {
    for name in STREAMS {
        let (bytes, recorded) = record_with(&stream(name), Some(engine(2)), None);
        assert_eq!((recorded.in_error, recorded.warning_count), (0, 0), "{name}: {:?}", recorded.warnings);
        let capture = open(bytes);
        assert_eq!(capture.pictures().len() as u64, recorded.pictures);
        assert!(capture.pictures().iter().all(|p| p.engine == "NVDEC2" && p.hashes.is_some()), "{name}");
        for assignment in [Assignment::Captured, one(6), Assignment::All] {
            let Replay { outcome, .. } = play(&capture, assignment).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(outcome.is_identical(), "{name}: {}", outcome.verdict(capture.pictures().len()));
            assert_eq!(outcome.identical, capture.pictures().len(), "{name}");
            let engines = match assignment {
                Assignment::Captured => 1,
                Assignment::Set(_) => 1,
                Assignment::All => capture.pictures().len().min(7),
            };
            assert_eq!(outcome.engines.len(), engines, "{name}");
        }
    }
}

#[test]
fn planes_have_the_hashes_that_the_encoder_sent() {
    // MD5s of a decoded picture hash are over the same bytes as those of a capture.
    use hevc::picture_hash::PlaneHash;
    use hevc::sei::SeiPayload;
    for name in ["x_wpp", "k_10b_tiles"] {
        let stream = stream(name);
        let mut parser = hevc::Parser::new();
        let mut sums: Vec<Vec<String>> = Vec::new();
        for nal in bitstream::split_annex_b(&stream) {
            let Ok(hevc::Unit::Sei { messages, suffix: true }) = parser.parse(nal) else { continue };
            for message in messages {
                let SeiPayload::DecodedPictureHash(hash) = message.payload else { continue };
                let sum = |plane: &PlaneHash| match plane {
                    PlaneHash::Md5(sum) => crate::replay::format::hex(sum),
                    other => panic!("{other:?}"),
                };
                sums.push(hash.planes.iter().map(sum).collect());
            }
        }
        let capture = open(record_with(&stream, None, None).0);
        let recorded: Vec<_> = capture.pictures().iter().map(|p| p.hashes.clone().unwrap().md5).collect();
        assert_eq!(recorded, sums, "{name}");
    }
}

#[test]
fn other_engines_stand_in_for_those_that_are_missing() {
    // A recording of three engines, one of which this GPU does not have.
    let capture = recording("x_wpp");
    let names = ["NVDEC0", "NVDEC3", "NVDEC7", "NVDEC0"];
    let several = open(change(&capture, |i, draft| draft.picture.engine = names[i % 4].to_owned()));
    let outcome = play(&several, Assignment::Captured).unwrap().outcome;
    assert_eq!(outcome.identical, capture.pictures().len(), "{}", outcome.verdict(capture.pictures().len()));
    assert_eq!(outcome.engines, ["NVDEC1", "NVDEC3", "NVDEC7"]);
}

#[test]
fn motion_vectors_may_lie_anywhere_in_their_memory() {
    use crate::replay::capture::Pointee;
    let capture = recording("h_tmvp2_o");
    let moved = open(change(&capture, |_, draft| {
        let record = draft.picture.methods.iter_mut().find(|m| m.method == video::SET_COLOC_DATA_OFFSET);
        let Pointee::Memory { offset, .. } = &mut record.unwrap().to else { panic!("no memory") };
        *offset += 0x12_3400;
    }));
    assert_eq!(play(&moved, Assignment::All).unwrap().outcome.identical, capture.pictures().len());
}

#[test]
fn motion_vectors_are_moved_where_a_picture_looks_for_them() {
    use crate::replay::capture::{MotionCopy, Pointee};
    let capture = recording("h_tmvp2_o");
    let total = capture.pictures().len();
    // Every picture has its slots elsewhere: all that it may read are moved from where the picture before had them.
    let moved = |with_copies: bool| {
        open(change(&capture, |index, draft| {
            let size = draft.get(pic::colMvBuffersize, 0) as u64 * 256;
            let base = |index: usize| (index % 5) as u64 * 40 * size;
            let record = draft.picture.methods.iter_mut().find(|m| m.method == video::SET_COLOC_DATA_OFFSET);
            let Pointee::Memory { offset, .. } = &mut record.unwrap().to else { panic!("no memory") };
            *offset += base(index);
            if index > 0 && with_copies {
                let slot = |slot: u64| MotionCopy {
                    from: Some(base(index - 1) + slot * size),
                    to: base(index) + slot * size,
                };
                draft.picture.motion = (0..33).map(slot).collect();
            }
        }))
    };
    for assignment in [Assignment::Captured, Assignment::All] {
        let outcome = play(&moved(true), assignment).unwrap().outcome;
        assert_eq!(outcome.identical, total, "{}", outcome.verdict(total));
        let outcome = play(&moved(false), assignment).unwrap().outcome;
        assert!(outcome.different > 0, "the stream takes motion from other pictures");
    }
}

#[test]
fn a_recording_of_all_engines_is_replayed_on_all_and_on_one() {
    for name in STREAMS {
        let (bytes, recorded) = record_with(&stream(name), None, None);
        assert_eq!((recorded.in_error, recorded.warning_count), (0, 0), "{name}: {:?}", recorded.warnings);
        let capture = open(bytes);
        let total = capture.pictures().len();
        for assignment in [Assignment::Captured, one(4), Assignment::All] {
            let outcome = play(&capture, assignment).unwrap_or_else(|e| panic!("{name}: {e}")).outcome;
            assert_eq!(outcome.identical, total, "{name}, {assignment:?}: {}", outcome.verdict(total));
        }
    }
}

#[test]
fn pictures_whose_references_are_lost_are_replayed() {
    // Motion is taken from pictures that do not exist: slots are cleared for it, where they hold that of others.
    let mut cleared = 0;
    for name in ["h_tmvp2_o", "h_ra_cra", "s_lt_rplm", "x_wpp", "h_ld_b"] {
        for (drop, engines) in [(3, None), (4, Some(engine(3))), (5, None)] {
            let whole = stream(name);
            let mut pictures = 0;
            let kept = bitstream::split_annex_b(&whole).filter(|nal| {
                let first = nal[0] >> 1 < 32 && nal[2] & 0x80 != 0;
                pictures += usize::from(first);
                // All slice segments of the picture go, but never those of the first one.
                nal[0] >> 1 >= 32 || pictures % drop != 0 || pictures == 0
            });
            let holes: Vec<u8> = kept.flat_map(|nal| [&[0, 0, 0, 1], nal].concat()).collect();
            let capture = open(record_with(&holes, engines, None).0);
            let total = capture.pictures().len();
            cleared += capture.pictures().iter().filter(|p| !p.motion.is_empty()).count();
            for assignment in [Assignment::Captured, Assignment::All] {
                let outcome = play(&capture, assignment).unwrap_or_else(|e| panic!("{name}: {e}")).outcome;
                assert_eq!(outcome.identical, total, "{name} without {drop}: {}", outcome.verdict(total));
            }
        }
    }
    assert!(cleared > 0, "no picture took motion from one that is lost");
}

#[test]
fn frames_limit_a_recording() {
    let (bytes, recorded) = record_with(&stream("x_wpp"), None, Some(5));
    assert_eq!(recorded.pictures, 5);
    let capture = open(bytes);
    assert_eq!(play(&capture, Assignment::Captured).unwrap().outcome.identical, 5);
    assert_eq!(capture.head().source, "stream.hevc");
}

#[test]
fn damaged_pictures_are_replayed_as_they_were() {
    for name in ["flip_data_wp", "flip_data_depslice", "trunc_tiles", "flip_slicehdr_tiles"] {
        let (bytes, recorded) = record_with(&stream(name), None, None);
        let capture = open(bytes);
        let Replay { outcome, .. } = play(&capture, Assignment::Captured).unwrap();
        assert!(outcome.is_identical(), "{name}: {}", outcome.verdict(capture.pictures().len()));
        assert_eq!(outcome.identical, capture.pictures().len(), "{name}");
        assert!(recorded.in_error + recorded.warning_count > 0, "{name} is damaged");
    }
}

#[test]
fn hardware_and_model_need_not_agree_on_damage() {
    let name = "flip_data_wp";
    let good = recording(name);
    let damaged: Vec<usize> = (0..good.pictures().len())
        .filter(|&i| good.pictures()[i].status.unwrap().error_status != 0)
        .collect();
    assert!(!damaged.is_empty(), "{name} is damaged");
    // As if hardware had recorded it, which conceals otherwise and stops counting earlier.
    let elsewhere = |index: usize, draft: &mut Draft<'_>| {
        if damaged.contains(&index) {
            draft.picture.hashes.as_mut().unwrap().md5[0] = "0".repeat(32);
            draft.picture.status.as_mut().unwrap().mbs_in_error += 3;
        }
    };
    let mut head = good.head().clone();
    let capture = open(change(&good, elsewhere));
    let outcome = play(&capture, Assignment::Captured).unwrap().outcome;
    assert_eq!(outcome.different, damaged.len(), "on the same kind of device it counts");
    head.emulated = false;
    let capture = with_head(&capture, &head);
    let Replay { outcome, notes } = play(&capture, Assignment::Captured).unwrap();
    assert!(outcome.is_identical(), "{}", outcome.verdict(capture.pictures().len()));
    assert!(outcome.not_compared >= damaged.len());
    assert_eq!(outcome.not_compared + outcome.identical, capture.pictures().len());
    assert!(notes.iter().any(|note| note.contains("conceal damage differently")), "{notes:?}");
}

/// The same capture, recorded elsewhere.
fn with_head(capture: &Capture, head: &crate::replay::capture::Head) -> Capture {
    let bytes = change(capture, |_, _| ());
    let from = serde_json::to_vec(capture.head()).unwrap();
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    // Head and end carry checksums: write them anew.
    let mut chunks = crate::replay::format::ChunkWriter::new(Vec::new()).unwrap();
    let mut source = Cursor::new(bytes.clone());
    let mut reader = crate::replay::format::ChunkReader::new(&mut source).unwrap();
    let mut list = Vec::new();
    while let Some((chunk, _)) = reader.next_chunk().unwrap() {
        list.push(chunk);
    }
    assert_eq!(list[0].at, at as u64);
    chunks.chunk(crate::replay::format::HEAD, &serde_json::to_vec(head).unwrap()).unwrap();
    for chunk in &list[1..list.len() - 1] {
        chunks.chunk(chunk.kind, &bytes[chunk.at as usize..][..chunk.length as usize]).unwrap();
    }
    let done = crate::replay::capture::Done { md5: chunks.md5(), ..capture.done().clone() };
    let blobs = list.iter().filter(|chunk| chunk.kind == crate::replay::format::BLOB).count() as u32;
    let done = crate::replay::capture::Done { blobs, ..done };
    chunks.chunk(crate::replay::format::DONE, &serde_json::to_vec(&done).unwrap()).unwrap();
    open(chunks.finish().unwrap())
}

#[test]
fn a_capture_of_another_class_has_its_scratch_laid_out_anew() {
    let capture = recording("x_size_202x150");
    let head =
        crate::replay::capture::Head { class: 0xc9b0, generation: "Ada".into(), ..capture.head().clone() };
    // Areas as one class wants them are too close for another.
    let close = change(&capture, |_, draft| draft.set(pic::HevcSaoAboveOffset, 0, 1));
    let failure = play(&open(close.clone()), Assignment::Captured).unwrap_err();
    assert!(failure.to_string().contains("HevcSaoAboveOffset is 1"), "{failure}");
    let Replay { outcome, notes } = play(&with_head(&open(close), &head), Assignment::Captured).unwrap();
    assert!(outcome.is_identical());
    assert!(notes.iter().any(|note| note.contains("recorded on Ada")), "{notes:?}");
}

#[test]
fn every_generation_replays_what_another_recorded() {
    let gpus = [GpuModel::h200, GpuModel::t4, GpuModel::rtx_4090, GpuModel::rtx_5090];
    let stream = stream("x_size_202x150");
    for from in gpus {
        let (_, there) = machine_with(from());
        let (bytes, recorded) = record_on(&there, &stream, None, None);
        assert_eq!((recorded.pictures, recorded.in_error), (10, 0));
        let capture = open(bytes);
        for to in gpus {
            let (kernel, here) = machine_with(to());
            let Replay { outcome, notes } = replay(&here, &capture, Assignment::All, false, &mut |_| ())
                .unwrap_or_else(|e| panic!("{e}"));
            let (there, here) = (there.class(), here.class());
            let what = format!("from {} to {}", there.generation, here.generation);
            assert_eq!(outcome.identical, 10, "{what}: {}", outcome.verdict(10));
            assert!(kernel.log().is_empty(), "{what}: {:?}", kernel.log());
            // Hopper makes do with less scratch, and some classes have a word of their own.
            let anew = there.class != here.class
                && (there.hevc.word_11c != here.hevc.word_11c
                    || (there.hevc.scratch != here.hevc.scratch
                        && here.hevc.scratch == ScratchSizes::Traced));
            assert_eq!(notes.iter().any(|note| note.starts_with("recorded on ")), anew, "{what}: {notes:?}");
        }
    }
}

#[test]
fn a_flipped_reference_shows_where_it_is_used() {
    let capture = recording("h_tmvp2_o");
    // A picture with several references: the first entry names the second picture instead.
    let index = (0..capture.pictures().len())
        .find(|&index| {
            let mut lists = [0, 0];
            let picture = &capture.pictures()[index];
            let descriptor = capture.data(picture, video::SET_DRV_PIC_SETUP_OFFSET).unwrap().unwrap();
            for (i, entry) in lists.iter_mut().enumerate() {
                *entry = pic::initreflistidxl0.read(&descriptor, i).unwrap();
            }
            index > 4 && lists[0] != lists[1]
        })
        .unwrap();
    let changed = open(change(&capture, |i, draft| {
        if i == index {
            let second = draft.get(pic::initreflistidxl0, 1);
            draft.set(pic::initreflistidxl0, 0, second);
            // All places have to be named by some list.
            let first = draft.get(pic::initreflistidxl0, 2);
            draft.set(pic::initreflistidxl0, 15, first);
        }
    }));
    let outcome = match play(&changed, Assignment::Captured) {
        Ok(replay) => replay.outcome,
        Err(failure) => panic!("{failure}"),
    };
    let first = outcome.first_divergence.unwrap();
    assert_eq!((first.picture, first.poc), (index, capture.pictures()[index].poc));
    assert!(first.samples.is_some(), "{first}");
    assert_eq!(outcome.identical + outcome.different, capture.pictures().len());
}

#[test]
fn a_changed_byte_shows_in_picture_plane_and_block() {
    let capture = recording("h_slice_ctu");
    // The last byte of the last slice segment of picture 2: the blocks before its slice stay as they are.
    let index = 2;
    let changed = open(change(&capture, |i, draft| {
        if i == index {
            let stream = draft.data(video::SET_IN_BUF_BASE_OFFSET);
            let at = stream.len() - nvdec::hevc::audit::BITSTREAM_SLACK - 4;
            stream[at] ^= 0x55;
        }
    }));
    let outcome = play(&changed, Assignment::Captured).unwrap().outcome;
    let first = outcome.first_divergence.unwrap();
    assert_eq!((first.picture, first.poc), (index, capture.pictures()[index].poc));
    let text = first.to_string();
    assert!(text.starts_with(&format!("picture 2 (POC {}) on NVDEC1, ", first.poc)), "{text}");
    // Where the samples differ, worked out from both sets of checksums.
    let samples = first.samples.expect("other slice data, other samples");
    let truth = open_block_sums(&changed, index);
    let sums = capture.block_sums(&capture.pictures()[index]).unwrap().unwrap();
    let (columns, rows) = capture.pictures()[index].surface.blocks();
    let at = truth.iter().zip(&sums).position(|(a, b)| a != b).unwrap() as u32;
    let plane = ["luma", "Cb", "Cr"][(at / (columns * rows)) as usize];
    let block = (at % (columns * rows) % columns, at % (columns * rows) / columns);
    assert_eq!((samples.plane, samples.block), (plane, block));
    assert!(block.1 >= rows / 2, "damage at the end of a picture stays there: {block:?}");
}

/// Checksums of a picture as it comes out of a replay.
fn open_block_sums(capture: &Capture, index: usize) -> Vec<u32> {
    let (_, context) = machine();
    let player = crate::replay::player::Player::new(&context, capture, false, &mut |_| ()).unwrap();
    let mut found = None;
    player
        .run(Assignment::Captured, &mut |replayed| {
            if replayed.index == index {
                found = Some(replayed.hashes.clone().unwrap().blocks);
            }
            Ok(true)
        })
        .unwrap();
    found.unwrap()
}

#[test]
fn a_status_that_is_another_one_is_named() {
    let capture = recording("x_size_202x150");
    let changed = open(change(&capture, |i, draft| {
        if i == 4 {
            let status = draft.picture.status.as_mut().unwrap();
            (status.mbs_in_error, status.cycle_count) = (12, 1);
        }
    }));
    let outcome = play(&changed, Assignment::Captured).unwrap().outcome;
    let total = changed.pictures().len();
    let poc = capture.pictures()[4].poc;
    assert_eq!(
        outcome.verdict(total),
        format!(
            "replayed {total}/{total} pictures on NVDEC1: 1 differ, first picture 4 (POC {poc}) on NVDEC1: \
             the samples are the same; status: mbs_in_error 12 -> 0"
        )
    );
    let nothing = open(change(&capture, |_, draft| draft.picture.expect_nothing()));
    let outcome = play(&nothing, Assignment::Captured).unwrap().outcome;
    assert_eq!((outcome.identical, outcome.without_expectation), (0, total));
    assert!(outcome.verdict(total).contains("nothing to compare"), "{}", outcome.verdict(total));
}

#[test]
fn pictures_beyond_the_model_are_not_blamed_on_the_driver() {
    // As if hardware had decoded it.
    let as_hardware = open(change(&recording("x_wpp"), |_, draft| {
        draft.set(pic::transformSkipRotationEnableFlag, 0, 1);
    }));
    let (_, context) = machine();
    let failure = replay(&context, &as_hardware, Assignment::Captured, false, &mut |_| ()).unwrap_err();
    assert_eq!(failure.exit(), Exit::Unavailable, "{failure}");
    assert!(failure.to_string().contains("has no tools for such pictures"), "{failure}");
}

#[test]
fn engines_wait_for_each_other() {
    // References and motion vectors come from engines that take their time: who does not wait gets others,
    // and who writes too early spoils what a slower one still reads.
    for name in ["h_tmvp2_o", "h_ra_cra", "x_wpp"] {
        // Waits that were recorded do not count: a capture need not have any.
        let capture = open(change(&recording(name), |_, draft| draft.picture.waits.clear()));
        for slow in 0..7 {
            let (kernel, context) = machine();
            let engine = context.engines()[slow];
            kernel.faults().slow_down(0, engine, std::time::Duration::from_millis(15));
            let outcome = replay(&context, &capture, Assignment::All, false, &mut |_| ()).unwrap().outcome;
            let total = capture.pictures().len();
            assert_eq!(outcome.identical, total, "{name}, {engine} is slow: {}", outcome.verdict(total));
            assert!(kernel.log().is_empty());
        }
    }
}

/// Gives a part of a stream, then calls a function, then gives the rest.
struct Parts<'a, F> {
    stream: &'a [u8],
    given: usize,
    first: usize,
    between: F,
}

impl<F: FnMut()> std::io::Read for Parts<'_, F> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        if self.given == self.first {
            (self.between)();
        }
        let end = if self.given < self.first { self.first } else { self.stream.len() };
        let count = (end - self.given).min(to.len());
        to[..count].copy_from_slice(&self.stream[self.given..][..count]);
        self.given += count;
        Ok(count)
    }
}

#[test]
fn a_recording_of_a_fault_is_a_capture_of_it() {
    use hcq::kernel::emulated::LaunchFault;
    let stream = stream("h_ra_cra");
    let (kernel, context) = machine();
    let recorder = CaptureRecorder::new(&context, Vec::new(), "x.hevc").unwrap();
    let between = || {
        // The pictures so far come out.
        let queue = context.video_queue(engine(1), Priority::Bulk).unwrap();
        queue.queue().last_point().wait(std::time::Duration::from_secs(60)).unwrap();
        kernel.faults().fault_next_launch(0, engine(1), LaunchFault::Mmu { address: 0x1000 });
    };
    let mut source = Parts { stream: &stream, given: 0, first: stream.len() / 2, between };
    let options = DecoderOptions::on(engine(1));
    let (recorded, bytes) =
        record(&context, options, &recorder, "x.hevc", &mut source, None, &mut |_, _| ()).unwrap();
    assert!(recorded.stopped.is_none() && recorded.pictures > 2, "{recorded:?}");
    let capture = open(bytes);
    assert_eq!(capture.done().ended_by, None, "the decoder goes on");
    let failed: Vec<usize> =
        (0..capture.pictures().len()).filter(|&i| capture.pictures()[i].error.is_some()).collect();
    let first = *failed.first().expect("a picture was not finished");
    assert!(first > 0 && capture.pictures()[first].status.is_none());
    // On a sound machine it comes out, which is not what was recorded.
    let outcome = play(&capture, Assignment::Captured).unwrap().outcome;
    let divergence = outcome.first_divergence.clone().unwrap();
    // So do those that are predicted from it.
    assert_eq!(divergence.picture, first);
    assert!(
        (failed.len()..=recorded.damage as usize).contains(&outcome.different),
        "{outcome:?} {recorded:?}"
    );
    assert!(
        divergence.to_string().contains("it is finished, where recording it ended with: "),
        "{divergence}"
    );
    // On one that fails in another place that differs; a new channel decodes what follows.
    let (kernel, context) = machine();
    kernel.faults().slow_down(0, engine(1), std::time::Duration::from_millis(2));
    let player = crate::replay::player::Player::new(&context, &capture, false, &mut |_| ()).unwrap();
    let mut comparison = crate::replay::compare::Comparison::new(&capture, true);
    let mut seen = 0;
    kernel.faults().fault_next_launch(0, engine(1), LaunchFault::Mmu { address: 0x1000 });
    player
        .run(Assignment::Captured, &mut |replayed| {
            assert!(seen > 0 || replayed.hashes.is_err());
            seen += 1;
            comparison.take(&replayed, 104).map(|()| true)
        })
        .unwrap();
    assert!(seen >= 1);
    let outcome = comparison.result;
    assert_eq!(outcome.first_divergence.unwrap().picture, 0, "the first picture had been fine");
}
