//! The examples that have kernels of their own, held against what the host computes of the same pictures.

use std::sync::Arc;

use nvdec::backend::{GpuMemory, VideoDecoder};
use nvdec::{
    ByteStream, Codec, Context, Decoder, DecoderOptions, DeviceChoice, Downloader, Frame, Packet, Placement,
    Sent, TensorSpec,
};

use crate::support::{stream, sum, sums};

#[path = "../../examples/scene_cuts"]
mod scene_cuts {
    pub(super) mod histogram;
    pub(super) mod model;
}

#[path = "../../examples/composite"]
mod composite {
    pub(super) mod model;
    pub(super) mod pipeline;
}

/// Calls `each` with the frames of clips, one behind the other.
fn decode(context: &Arc<Context>, names: &[&str], mut each: impl FnMut(Frame)) {
    let stream: Vec<u8> = names.iter().flat_map(|name| stream(name)).collect();
    let mut decoder = Decoder::new(context, Codec::Hevc, DecoderOptions::default()).unwrap();
    decoder.frames(ByteStream::new(&stream[..])).for_each(|frame| each(frame.unwrap()));
}

/// Luma, Cb and Cr of a whole coded picture of 8 bits and 4:2:0, each plane line by line.
fn planes(downloader: &Downloader, frame: Frame) -> [Vec<u8>; 3] {
    let window = frame.coded();
    let picture = downloader.start_window(frame, window).unwrap().wait().unwrap();
    let mut all = Vec::new();
    picture.write_planar(&mut all);
    let luma = (window.width * window.height) as usize;
    let cr = all.split_off(luma + luma / 4);
    let cb = all.split_off(luma);
    [all, cb, cr]
}

#[test]
fn histograms_are_those_of_the_pictures() {
    use scene_cuts::histogram::{Histogram, Histograms};

    let context = Context::open_with_kernels(DeviceChoice::Emulated, scene_cuts::model::models()).unwrap();
    let downloader = Downloader::new(&context);
    let mut histograms = Histograms::new(&context).unwrap();
    let (mut found, mut expected) = (Vec::new(), Vec::new());
    // More pictures than a batch has, of several sizes.
    let clips = ["h_ld_b", "x_wpp", "h_confwin", "h_ra_cra", "h_ld_b"];
    decode(&context, &clips, |frame| {
        histograms.push(&frame, |histogram| found.push(histogram)).unwrap();
        let mut counts = vec![0; 256];
        let [luma, ..] = planes(&downloader, frame);
        luma.iter().for_each(|&sample| counts[usize::from(sample)] += 1);
        expected.push(Histogram(counts));
    });
    histograms.finish(|histogram| found.push(histogram)).unwrap();
    assert!(expected.len() > 4 * 16, "more than are under way at a time");
    assert!(found == expected);

    assert_eq!(expected[0].distance(&expected[0]), 0.0);
    let (black, white) = ([[100].as_slice(), &[0; 255]].concat(), [[0; 255].as_slice(), &[7]].concat());
    assert_eq!(Histogram(black).distance(&Histogram(white)), 1.0);
    decode(&context, &["h_10b_ra"], |frame| {
        let error = histograms.push(&frame, |_| ()).unwrap_err().to_string();
        assert!(error.contains("P010") && error.contains("NV12"), "{error}");
    });
}

/// Y, Cb and Cr of what the example makes of a picture, with chroma in the size of luma.
fn composed([y, cb, cr]: &[Vec<u8>; 3], (width, height): (u32, u32)) -> Vec<u8> {
    use composite::pipeline::{RADIUS, chroma, luma, mask};

    let at = |x: u32, y: u32| (y * width + x) as usize;
    let pixels = || (0..height).flat_map(move |y| (0..width).map(move |x| (x, y)));
    let hard: Vec<u8> = pixels().map(|pixel| mask(pixel, (width, height))).collect();
    let blurred = |from: &[u8], step: (u32, u32)| -> Vec<u8> {
        let mean = |(x, y): (u32, u32)| {
            let sample = |i: i64| {
                let along = |at: u32, step: u32, size: u32| {
                    (i64::from(at) + i * i64::from(step)).clamp(0, i64::from(size) - 1) as u32
                };
                u32::from(from[at(along(x, step.0, width), along(y, step.1, height))])
            };
            let radius = i64::from(RADIUS);
            let (sum, count) = ((-radius..=radius).map(sample).sum::<u32>(), 2 * RADIUS + 1);
            (f64::from(sum) / f64::from(count)).round() as u8
        };
        pixels().map(mean).collect()
    };
    let soft = blurred(&blurred(&hard, (1, 0)), (0, 1));
    let mixed = |over: u8, under: u8, alpha: u8| {
        let alpha = f64::from(alpha) / 255.0;
        (f64::from(over) * alpha + f64::from(under) * (1.0 - alpha)).round() as u8
    };
    let whole = pixels().map(|(x, line)| mixed(y[at(x, line)], luma(x, width), soft[at(x, line)]));
    let half = |plane: &[u8], component: usize| -> Vec<u8> {
        let sample = |(x, y): (u32, u32)| {
            let over = plane[((y / 2) * (width / 2) + x / 2) as usize];
            mixed(over, chroma(y / 2, height / 2)[component], soft[at(x & !1, y & !1)])
        };
        pixels().map(sample).collect()
    };
    whole.chain(half(cb, 0)).chain(half(cr, 1)).collect()
}

#[test]
fn composites_are_what_the_host_computes() {
    use composite::pipeline::Pipeline;

    let context = Context::open_with_kernels(DeviceChoice::Emulated, composite::model::models()).unwrap();
    let profiler = context.profile().clone();
    let downloader = Downloader::new(&context);
    // Codes as they are, and each sample of chroma four times.
    let spec: TensorSpec = "channels=yuv,range=full,chroma=nearest".parse().unwrap();
    let mut pipeline: Option<Pipeline> = None;
    let (mut found, mut expected) = (Vec::new(), Vec::new());
    decode(&context, &["h_ld_b"], |frame| {
        let pipeline = pipeline.get_or_insert_with(|| Pipeline::new(&context, &frame, &spec).unwrap());
        pipeline.push(&frame, |made| found.push(made)).unwrap();
        let size = (frame.coded().width, frame.coded().height);
        expected.push(composed(&planes(&downloader, frame), size));
    });
    pipeline.unwrap().finish(|made| found.push(made)).unwrap();
    assert_eq!(found.len(), expected.len());
    assert!(found.iter().zip(&expected).all(|(made, expected)| made.tensor == *expected));

    // Each step began when the one before it was over.
    let spans = profiler.take();
    let times = |point: &nvdec::SyncPoint| {
        let is_it = |span: &&nvdec::hcq::Span| {
            Arc::ptr_eq(span.point.timeline(), point.timeline()) && span.point.value() == point.value()
        };
        spans.iter().find(is_it).map(|span| (span.begin, span.end)).expect("every submission has its times")
    };
    for made in &found {
        let steps = [&made.steps.decoded, &made.steps.composed, &made.steps.converted, &made.steps.copied];
        let times = steps.map(times);
        assert!(times.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{times:?}");
    }
}

/// Nothing of a picture is waited for on the host: with an engine that stands still, all of its steps can be submitted.
#[test]
fn steps_are_submitted_before_their_picture_is_decoded() {
    use composite::pipeline::Pipeline;

    let kernel = nvdec::emulated::h200_with(composite::model::models()).unwrap();
    let context = Context::new(hcq::Device::open(Arc::new(kernel.clone()), 0).unwrap()).unwrap();
    let stream = stream("h_ld_b");
    let options = DecoderOptions::on(context.engines()[0]);
    let mut decoder = Decoder::new(&context, Codec::Hevc, options).unwrap();
    let engine = context.engines()[0];
    kernel.faults().stall(0, engine);
    let frames = decoder.frames(ByteStream::new(&stream[..]));
    let held: Vec<Frame> = frames.take(4).map(Result::unwrap).collect();
    let mut pipeline = Pipeline::new(&context, &held[0], &"size=32x32".parse().unwrap()).unwrap();
    for frame in &held {
        pipeline.push(frame, |_| panic!("none was waited for")).unwrap();
    }
    assert!(held.iter().all(|frame| !frame.ready().is_reached()), "the engine stands still");
    kernel.faults().resume(0, engine);
    drop(held);
    let mut made = 0;
    pipeline.finish(|_| made += 1).unwrap();
    assert_eq!(made, 4);
}

/// A runtime that knows no more than the traits.
#[test]
fn a_decoder_and_memory_behind_traits() {
    fn frames(decoder: &mut dyn VideoDecoder, stream: &[u8], mut take: impl FnMut(Frame)) {
        for piece in stream.chunks(1000) {
            while decoder.send(Packet::byte_stream(piece)).unwrap() != Sent::Accepted {
                take(decoder.receive().expect("a decoder without a surface has given some away"));
            }
            std::iter::from_fn(|| decoder.receive()).for_each(&mut take);
        }
        while decoder.flush().unwrap() != Sent::Accepted {
            take(decoder.receive().expect("likewise"));
        }
        std::iter::from_fn(|| decoder.receive()).for_each(take);
        assert!(decoder.take_error().is_none());
    }

    let context = Context::open(DeviceChoice::Emulated).unwrap();
    let downloader = Downloader::new(&context);
    let mut decoder: Box<dyn VideoDecoder> =
        Box::new(Decoder::new(&context, Codec::Hevc, DecoderOptions::default()).unwrap());
    assert!(decoder.format().is_none());
    let mut found = Vec::new();
    frames(&mut *decoder, &stream("h_ld_b"), |frame| found.push(sum(&downloader, frame).unwrap()));
    assert_eq!(found, sums("h_ld_b"));
    let format = decoder.format().unwrap();
    assert_eq!((format.width, format.height, format.format.name()), (208, 120, "NV12"));

    let memory: Arc<dyn GpuMemory> = context.clone();
    let before = context.allocated_memory();
    let buffer = memory.allocate(100_000, Placement::Vidmem).unwrap();
    assert!(buffer.size() == 100_000 && context.allocated_memory() > before);
    let exported = memory.export(&buffer.slice(4096, 256)).unwrap();
    let imported = memory.import(std::os::fd::AsFd::as_fd(&exported.fd), Some(8192)).unwrap();
    buffer.view().unwrap().store(4096, 42);
    assert_eq!(imported.view().unwrap().load(exported.offset as usize), 42);
    memory.export_dma_buf(&buffer).unwrap();
    context.set_memory_limit(Some(context.allocated_memory()));
    assert!(matches!(memory.allocate(1 << 20, Placement::Vidmem), Err(nvdec::Error::MemoryLimit { .. })));
    assert!(memory.allocate(1 << 20, Placement::Sysmem).is_ok(), "host memory does not count");
}
