use std::time::Duration;

use hcq::Device;
use hcq::kernel::emulated::EmulatedKernel;
use nvdec::tensor::TensorPool;
use nvdec::{Codec, Decoder, DecoderOptions, Units};

use super::*;
use crate::error::Error;
use crate::sys::model::{self, Told};

const LONG: Duration = Duration::from_secs(120);

fn clip(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data");
    std::fs::read(format!("{folder}/{name}.hevc")).unwrap()
}

fn open() -> (EmulatedKernel, Arc<Context>, PrimaryContext) {
    let kernel = nvdec::emulated::h200().unwrap();
    let context = Context::new(Device::open(Arc::new(kernel.clone()), 0).unwrap()).unwrap();
    let cuda = model::context(&kernel);
    (kernel, context, cuda)
}

fn frames(context: &Arc<Context>, clip: &[u8]) -> Vec<Frame> {
    let options = DecoderOptions::default().with_held_frames(64);
    let decoder = Decoder::new(context, Codec::Hevc, options).unwrap();
    decoder.into_frames(Units::new(clip)).map(Result::unwrap).collect()
}

/// The frames by our own queue.
fn ours(context: &Arc<Context>, spec: &TensorSpec, frames: &[Frame]) -> Vec<u8> {
    let pool = TensorPool::new(context, spec, frames.len(), 1).unwrap();
    let mut tensor = pool.begin(&frames[0]).unwrap();
    assert!(frames.iter().all(|frame| tensor.push(frame).unwrap()));
    tensor.finish().unwrap().to_host().unwrap()
}

/// All that streams were told but for what the end of something tells.
fn told() -> Vec<Told> {
    model::told().into_iter().filter(|told| *told != Told::Free).collect()
}

#[test]
fn the_elements_are_those_of_our_own_queue() {
    let (_kernel, context, cuda) = open();
    for (name, spec) in [
        ("h_ld_b", "size=40x30,dtype=f16"),
        ("h_ld_b", "layout=nhwc,resize=bicubic,size=32x32"),
        ("h_10b_ra", "size=48x32,dtype=f32,crop=8:8:64:64"),
    ] {
        let (clip, spec) = (clip(name), spec.parse().unwrap());
        let frames = frames(&context, &clip);
        let wanted = ours(&context, &spec, &frames);
        let stream = cuda.new_stream().unwrap();
        let mut converter = StreamConverter::new(&context, &cuda, &spec).unwrap();
        let bytes = converter.shape_of(&frames[0]).unwrap().bytes();
        let memory = cuda.allocate(bytes * frames.len() as u64).unwrap();
        for (number, group) in frames.chunks(4).enumerate() {
            let place = |at: usize| memory.target().part((4 * number + at) as u64 * bytes, bytes).unwrap();
            let pictures: Vec<_> = group.iter().enumerate().map(|(at, frame)| (frame, place(at))).collect();
            converter.convert_all(&pictures, &stream).unwrap();
        }
        let mut seen = vec![0; wanted.len()];
        model::read(memory.pointer(), &mut seen);
        assert!(seen == wanted, "{name}: {}", spec);
        let surfaces = frames.iter().enumerate();
        let different =
            surfaces.filter(|(at, a)| frames[..*at].iter().all(|b| !a.surface().same(b.surface())));
        assert_eq!(converter.mapped_surfaces(), different.count(), "each is mapped once");
    }
}

#[test]
fn strides_are_those_of_the_target() {
    let (_kernel, context, cuda) = open();
    let (clip, spec) = (clip("h_ld_b"), "size=16x8,dtype=u8".parse().unwrap());
    let frames = frames(&context, &clip);
    let dense = ours(&context, &spec, &frames[..1]);
    let mut converter = StreamConverter::new(&context, &cuda, &spec).unwrap();
    let (stream, memory) = (cuda.new_stream().unwrap(), cuda.allocate(4096).unwrap());
    let target = memory.target().with_strides([1024, 64, 2]);
    converter.convert(&frames[0], target, &stream).unwrap();
    let mut seen = vec![0; 4096];
    model::read(memory.pointer(), &mut seen);
    for (at, &wanted) in dense.iter().enumerate() {
        let (channel, line, column) = (at / 128, at / 16 % 8, at % 16);
        assert_eq!(seen[1024 * channel + 64 * line + 2 * column], wanted);
    }
}

/// One wait and one release for a group, and its surfaces are in use until the stream is done.
#[test]
fn surfaces_are_kept_until_the_stream_says_so() {
    let (kernel, context, cuda) = open();
    let (clip, spec) = (clip("h_ld_b"), "size=16x8".parse().unwrap());
    let engine = context.engines()[0];
    let decoder = Decoder::new(&context, Codec::Hevc, DecoderOptions::on(engine)).unwrap();
    // Nothing is decoded yet when it is converted.
    kernel.faults().stall(0, engine);
    let frames: Vec<_> = decoder.into_frames(Units::new(&clip)).take(3).map(Result::unwrap).collect();
    let mut converter = StreamConverter::new(&context, &cuda, &spec).unwrap();
    let (stream, memory) = (cuda.new_stream().unwrap(), cuda.allocate(4096).unwrap());
    let target = |at: u64| memory.target().part(at * 384, 384).unwrap();
    model::hold(true);
    let pictures = [(&frames[0], target(0)), (&frames[1], target(1)), (&frames[2], target(2))];
    let point = converter.convert_all(&pictures, &stream).unwrap();
    assert_eq!(told(), [Told::Wait(1), Told::Launch(0), Told::Launch(0), Told::Launch(0), Told::Write(1)]);
    kernel.faults().resume(0, engine);
    frames.iter().for_each(|frame| frame.ready().wait(LONG).unwrap());
    converter.settle(LONG).unwrap();
    let waits = |frame: &Frame| frame.surface().pending().iter().any(|other| same(other, &point));
    assert!(!point.is_reached() && frames.iter().all(waits));
    model::hold(false);
    point.wait(LONG).unwrap();
    assert!(!frames.iter().any(waits));

    // What is decoded is not waited for.
    let again = converter.convert(&frames[0], target(0), &stream).unwrap();
    assert_eq!(told(), [Told::Launch(0), Told::Write(2)]);
    again.wait(LONG).unwrap();
    let mut seen = vec![0; 3 * 384];
    model::read(memory.pointer(), &mut seen);
    assert!(seen == ours(&context, &spec, &frames));
}

fn same(a: &SyncPoint, b: &SyncPoint) -> bool {
    a.timeline().id() == b.timeline().id() && a.value() == b.value()
}

#[test]
fn what_cannot_be_is_refused_before_anybody_is_told() {
    let (_kernel, context, cuda) = open();
    let (clip, spec) = (clip("h_ld_b"), "size=16x8,dtype=f16".parse().unwrap());
    let frame = frames(&context, &clip).remove(0);
    let mut converter = StreamConverter::new(&context, &cuda, &spec).unwrap();
    let (stream, memory) = (cuda.new_stream().unwrap(), cuda.allocate(1 << 16).unwrap());
    let whole = memory.target();
    let mut refused = |frame: &Frame, target| {
        // The first one is good, and is not converted either.
        let error = converter.convert_all(&[(&frame.clone(), whole), (frame, target)], &stream).unwrap_err();
        assert_eq!(told(), [], "{error}");
        error
    };
    assert!(matches!(refused(&frame, whole.part(0, 767).unwrap()), Error::Outside { .. }));
    let odd = whole.part(1, 800).unwrap();
    let is_unwritable = |error: Error| matches!(error, Error::Nvdec(nvdec::Error::TensorMemory { .. }));
    assert!(is_unwritable(refused(&frame, odd)));
    assert!(is_unwritable(refused(&frame, whole.with_strides([0, 0, 0]))));
    assert!(matches!(whole.part(1 << 16, 1), Err(Error::Outside { .. })));

    let other = Context::open(nvdec::DeviceChoice::Emulated).unwrap();
    let theirs = frames(&other, &clip).remove(0);
    let error = refused(&theirs, whole);
    assert!(matches!(error, Error::Nvdec(nvdec::Error::OtherContext { .. })), "{error}");

    model::capture(true);
    assert!(matches!(refused(&frame, whole), Error::Capturing));
    model::capture(false);
    converter.convert(&frame, whole, &stream).unwrap();
}

/// A surface is in use or it is not, whatever CUDA refuses.
#[test]
fn what_cuda_refuses_leaves_no_surface_behind() {
    let (_kernel, context, cuda) = open();
    let (clip, spec) = (clip("h_ld_b"), "size=16x8".parse().unwrap());
    let frames = frames(&context, &clip);
    frames.iter().for_each(|frame| frame.ready().wait(LONG).unwrap());
    let mut converter = StreamConverter::new(&context, &cuda, &spec).unwrap();
    let (stream, memory) = (cuda.new_stream().unwrap(), cuda.allocate(4096).unwrap());
    let pictures = [(&frames[0], memory.target()), (&frames[1], memory.target())];
    let is_refused = |outcome: Result<SyncPoint>| matches!(outcome, Err(Error::Cuda { status: 801, .. }));

    model::fail(("launch", 0));
    assert!(is_refused(converter.convert_all(&pictures, &stream)));
    assert_eq!(told(), []);
    model::fail(("launch", 1));
    assert!(is_refused(converter.convert_all(&pictures, &stream)));
    assert_eq!(told(), [Told::Launch(0), Told::Write(1)]);
    model::fail(("write", 0));
    model::hold(true);
    assert!(is_refused(converter.convert_all(&pictures, &stream)));
    assert_eq!(told(), [Told::Launch(0), Told::Launch(0), Told::Synchronize], "the host has waited");
    model::hold(false);
    model::fail(None);
    converter.convert_all(&pictures, &stream).unwrap().wait(LONG).unwrap();
    assert!(frames.iter().all(|frame| frame.surface().pending().is_empty()));
}

/// Mapped surfaces are not kept by the context, and stay allocated until they are unmapped.
#[test]
fn surfaces_go_with_their_decoder() {
    let (_kernel, context, cuda) = open();
    let (clip, spec) = (clip("h_ld_b"), "size=16x8".parse().unwrap());
    let mut converter = StreamConverter::new(&context, &cuda, &spec).unwrap();
    let (stream, memory) = (cuda.new_stream().unwrap(), cuda.allocate(4096).unwrap());
    let mut mapped = 0;
    for _ in 0..3 {
        let frames = frames(&context, &clip);
        for frame in &frames {
            converter.convert(frame, memory.target(), &stream).unwrap().wait(LONG).unwrap();
        }
        mapped = converter.mapped_surfaces();
        assert!((1..=frames.len()).contains(&mapped), "those of one decoder: {mapped}");
    }
    assert_eq!(converter.forget_unused(), mapped);
    assert_eq!(converter.mapped_surfaces(), 0);
    assert_eq!(model::told().iter().filter(|told| **told == Told::Free).count(), 3 * mapped);
}

/// The examples do what they say, and go on behind the end of the clip.
#[test]
fn the_examples_make_tensors_either_way() {
    use std::sync::atomic::Ordering;

    use crate::converting::check::check;
    use crate::converting::options::Options;
    use crate::converting::work::Work;

    let clip = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/h_ld_b.hevc");
    let options = |rest: &str| {
        let text = format!("--clip {clip} --spec size=32x16,dtype=f16 --batch 3 --tensors 2 {rest}");
        Options::parse(text.split_whitespace().map(str::to_owned)).unwrap()
    };
    for (place, waits) in [("queue", true), ("cuda", true), ("nothing", false)] {
        let (_kernel, context, cuda) = open();
        let mut work = Work::new(&options(&format!("--in {place}")), &context, &cuda).unwrap();
        while work.counts().pictures.load(Ordering::Relaxed) < 40 {
            work.step().unwrap();
        }
        work.finish().unwrap();
        let told = told();
        assert_eq!(told.iter().any(|told| matches!(told, Told::Write(_))), waits, "{place}");
        assert_eq!(told.iter().any(|told| matches!(told, Told::Launch(_))), place == "cuda", "{place}");
    }
    let (_kernel, context, cuda) = open();
    let (report, is_same) = check(&options("--check --pictures 30"), &context, &cuda).unwrap();
    assert!(is_same && report["pictures"] == 30 && report["elements"] == 30 * 3 * 32 * 16, "{report}");
}
