//! Clips of many files as batches of tensors.

use std::path::PathBuf;
use std::sync::Arc;

use hcq::{Device, Placement};
use nvdec::tensor::{Converter, TensorPool};
use nvdec::video::{ClipBatch, Clips, ClipsOptions, PastEnd, Sampling};
use nvdec::{Codec, Context, Decoder, DecoderOptions, Error, TensorSpec, Video};

const FILES: [&str; 4] = ["plain.mp4", "vfr.mp4", "matroska.mkv", "transport.ts"];

fn context() -> Arc<Context> {
    Context::new(Device::open(Arc::new(nvdec::emulated::h200().unwrap()), 0).unwrap()).unwrap()
}

fn video(name: &str) -> nvdec::Result<Video> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "containers/tests/data", name].iter().collect();
    Video::open(path)
}

fn spec() -> TensorSpec {
    "size=20x12,dtype=f32".parse().unwrap()
}

/// What the first picture of each clip becomes, one by one and in no hurry.
fn expected(context: &Arc<Context>, name: &str, numbers: &[usize]) -> Vec<u8> {
    let video = video(name).unwrap();
    let converter = Converter::new(context, &spec()).unwrap();
    let mut all = Vec::new();
    for &number in numbers {
        let mut decoder = Decoder::new(context, Codec::Hevc, DecoderOptions::default()).unwrap();
        let frame = decoder.frames(video.all()).nth(number).unwrap().unwrap();
        let bytes = converter.shape_of(&frame).unwrap().bytes();
        let memory = context.allocate(bytes, Placement::Sysmem).unwrap();
        let point = converter.convert(&frame, &memory, None, &[]).unwrap();
        point.wait(std::time::Duration::from_secs(60)).unwrap();
        let mut copy = vec![0; bytes as usize];
        memory.view().unwrap().copy_out(0, &mut copy);
        all.extend(copy);
    }
    all
}

fn check(context: &Arc<Context>, batch: &ClipBatch) {
    let expected =
        batch.clips.iter().flat_map(|taken| expected(context, FILES[taken.clip.video], &taken.numbers));
    assert_eq!(batch.tensor.to_host().unwrap(), expected.collect::<Vec<_>>());
}

#[test]
fn clips_are_what_their_pictures_are() {
    let context = context();
    let sampling = Sampling { frames: 3, stride: 4, per_video: 2, seed: 3, ..Sampling::default() };
    let options = ClipsOptions { batch: 3, ..ClipsOptions::default() };
    let open = |number: usize| video(FILES[number]);
    let clips = Clips::new(&context, &spec(), FILES.len(), open, sampling, options).unwrap();
    let order = clips.clips().to_vec();
    let batches: Vec<ClipBatch> =
        clips.map(Result::unwrap).inspect(|batch| check(&context, batch)).take(2).collect();
    let taken: Vec<_> = batches.iter().flat_map(|batch| &batch.clips).map(|taken| taken.clip).collect();
    assert_eq!(taken, order[..6]);
    assert_eq!(batches[0].tensor.shape(), [9, 3, 12, 20]);
    // The two that are left over make a smaller batch, or none.
    for (last, count) in [(true, 3), (false, 2)] {
        let options = ClipsOptions { last, ..options };
        let clips = Clips::new(&context, &spec(), FILES.len(), open, sampling, options).unwrap();
        assert_eq!(clips.map(Result::unwrap).count(), count);
    }
}

#[test]
fn an_epoch_is_taken_up_where_it_was_left() {
    let context = context();
    let sampling = Sampling { frames: 2, per_video: 3, ..Sampling::default() };
    let options = ClipsOptions { batch: 2, ..ClipsOptions::default() };
    let clips = |options| {
        Clips::new(&context, &spec(), FILES.len(), |number| video(FILES[number]), sampling, options).unwrap()
    };
    let mut whole = clips(options);
    let before: Vec<ClipBatch> = whole.by_ref().take(2).map(Result::unwrap).collect();
    assert_eq!(whole.position(), 4);
    drop(before);
    let rest: Vec<_> = whole.map(|batch| batch.unwrap().clips).collect();
    let again = clips(ClipsOptions { position: 4, ..options });
    assert_eq!(again.map(|batch| batch.unwrap().clips).collect::<Vec<_>>(), rest);
}

#[test]
fn a_file_that_fails_is_named_and_the_others_go_on() {
    let context = context();
    let sampling = Sampling { frames: 2, shuffle: false, ..Sampling::default() };
    let options = ClipsOptions { batch: 2, ..ClipsOptions::default() };
    let names = ["plain.mp4", "no.mp4", "h264.mp4", "matroska.mkv"];
    let open = move |number: usize| video(names[number]);
    let mut clips = Clips::new(&context, &spec(), names.len(), open, sampling, options).unwrap();
    let batch = clips.next().unwrap().unwrap();
    assert_eq!(batch.clips.iter().map(|taken| taken.clip.video).collect::<Vec<_>>(), [0, 3]);
    assert!(
        matches!(&batch.failures[..], [(a, Error::Source { .. }), (b, Error::NoVideo { .. })] if (a.video, b.video) == (1, 2))
    );
    assert!(clips.next().is_none());
    // Two pictures, of which the second has another size; nothing of the first is left in its place.
    let sampling = Sampling { frames: 40, past_end: PastEnd::Error, shuffle: false, ..Sampling::default() };
    let mut clips = Clips::new(&context, &spec(), 1, |_| video("plain.mp4"), sampling, options).unwrap();
    assert!(matches!(clips.next(), Some(Err(Error::ShortVideo { pictures: 24, span: 40 }))));
    assert!(clips.next().is_none());
}

#[test]
fn a_caller_who_keeps_too_much_is_told_and_may_go_on() {
    let context = context();
    let sampling = Sampling { frames: 1, per_video: 4, ..Sampling::default() };
    let options = ClipsOptions { ahead: 1, held: 1, ..ClipsOptions::default() };
    let mut clips =
        Clips::new(&context, &spec(), FILES.len(), |number| video(FILES[number]), sampling, options).unwrap();
    let mut kept: Vec<ClipBatch> = (0..2).map(|_| clips.next().unwrap().unwrap()).collect();
    assert!(matches!(clips.next(), Some(Err(Error::TensorsHeld { tensors: 2, .. }))));
    kept.remove(0);
    let left: usize = clips.map(Result::unwrap).count();
    assert_eq!(left, 14);
}

/// What a clip that failed had put into a tensor is replaced, and waited for.
#[test]
fn places_are_taken_back() {
    let context = context();
    let pool = TensorPool::new(&context, &spec(), 6, 1).unwrap();
    let video = video("plain.mp4").unwrap();
    let mut decoder = Decoder::new(&context, Codec::Hevc, DecoderOptions::default()).unwrap();
    let frames: Vec<_> = decoder.frames(video.select(0..6).unwrap()).map(Result::unwrap).collect();
    let mut tensor = pool.begin(&frames[0]).unwrap();
    for place in [0, 5, 4, 3, 2] {
        assert!(tensor.put(place, &frames[0]).unwrap());
    }
    assert!(!tensor.put(5, &frames[1]).unwrap() && !tensor.put(6, &frames[1]).unwrap());
    tensor.truncate(1);
    assert_eq!(tensor.len(), 1);
    for (place, frame) in frames.iter().enumerate().skip(1).rev() {
        assert!(tensor.put(place, frame).unwrap());
    }
    let tensor = tensor.finish().unwrap();
    assert_eq!(tensor.to_host().unwrap(), expected(&context, "plain.mp4", &[0, 1, 2, 3, 4, 5]));
    drop(tensor);
    let mut tensor = pool.begin(&frames[0]).unwrap();
    assert!(tensor.put(1, &frames[1]).unwrap());
    assert!(matches!(tensor.finish(), Err(Error::TensorGap { place: 0 })));
    let converter = Converter::new(&context, &spec()).unwrap();
    let memory = context.allocate(3 * 3 * 20 * 12 * 4, Placement::Sysmem).unwrap();
    let made = video.convert(&mut decoder, &converter, &[7, 3, 7], &memory, &[]).unwrap();
    made.ready.iter().for_each(|point| point.wait(std::time::Duration::from_secs(60)).unwrap());
    let mut bytes = vec![0; memory.size() as usize];
    memory.view().unwrap().copy_out(0, &mut bytes);
    let wanted = expected(&context, "plain.mp4", &[7, 3, 7]);
    assert_eq!(bytes[..wanted.len()], wanted);
    assert!(made.sent < 12);
    let error = video.convert(&mut decoder, &converter, &[1, 2, 3, 4], &memory, &[]).unwrap_err();
    assert!(matches!(error, Error::Gpu(hcq::Error::TooLarge { .. })), "{error}");
}
