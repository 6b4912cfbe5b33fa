//! Lays each picture of a clip over a background by a soft mask, makes a tensor of the result, and prints its MD5: decoding, four
//! launches and a copy wait for each other on the GPU, and the host waits for the copy alone.
//!
//! `--trace` prints when each queue worked on what, by the GPU's clock, and what that shows: no step began before the one in front
//! of it was over, and how many pictures had all their steps submitted before they were decoded. On a machine without GPU and
//! driver the emulated one is taken, where `model.rs` stands for the kernels' machine code.
//!
//! ```text
//! cargo run --release -p nvdec --example composite -- [--trace] [FILE [SPEC]]
//! ```

mod model;
mod pipeline;

use std::collections::HashMap;
use std::fs::File;

use md5::{Digest, Md5};
use nvdec::hcq::Span;
use nvdec::{ByteStream, Codec, Context, Decoder, DecoderOptions, DeviceChoice, SyncPoint};
use pipeline::{Made, Pipeline, Result, Steps};

const CLIP: &str = "tools/clips/x_wpp.hevc";
const SPEC: &str = "size=224x224,dtype=f16,mean=0.485:0.456:0.406,std=0.229:0.224:0.225";

fn main() -> Result<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let count = arguments.len();
    arguments.retain(|argument| argument != "--trace");
    let is_traced = arguments.len() < count;
    let file = arguments.first().map_or(CLIP, String::as_str);
    let spec = arguments.get(1).map_or(SPEC, String::as_str).parse()?;
    let stream = File::open(file).map_err(|error| format!("{file}: {error}"))?;

    let context = Context::open_with_kernels(DeviceChoice::from_env()?, model::models())?;
    let profiler = is_traced.then(|| context.profile().clone());
    let mut decoder = Decoder::new(&context, Codec::Hevc, DecoderOptions::default())?;
    let mut pipeline: Option<Pipeline> = None;
    let mut all: Vec<Steps> = Vec::new();
    // When all of a picture had been submitted, by the GPU's clock.
    let mut submitted: Vec<u64> = Vec::new();
    let mut take = |Made { tensor, steps }: Made| {
        let digest: String = Md5::digest(&tensor).iter().map(|b| format!("{b:02x}")).collect();
        println!("{:6} {digest}", all.len());
        all.push(steps);
    };
    for frame in decoder.frames(ByteStream::new(stream)) {
        let frame = frame?;
        if pipeline.is_none() {
            pipeline = Some(Pipeline::new(&context, &frame, &spec)?);
        }
        if let Some(pipeline) = &mut pipeline {
            pipeline.push(&frame, &mut take)?;
        }
        if is_traced {
            submitted.push(context.device().timestamp()?);
        }
    }
    if let Some(mut pipeline) = pipeline {
        pipeline.finish(&mut take)?;
    }
    while let Some(error) = decoder.take_error() {
        eprintln!("{error}");
    }
    match profiler {
        Some(profiler) => show(&profiler.take(), &all, &submitted),
        None => Ok(()),
    }
}

/// Prints when each step ran, and fails if one began too early.
fn show(spans: &[Span], all: &[Steps], submitted: &[u64]) -> Result<()> {
    let key = |point: &SyncPoint| (point.timeline().id(), point.value());
    let times: HashMap<_, _> = spans.iter().map(|span| (key(&span.point), (span.begin, span.end))).collect();
    let first = times.values().map(|(begin, _)| *begin).min().unwrap_or(0);
    let ms = |time: u64| time as f64 / 1e6 - first as f64 / 1e6;
    let (mut early, mut ahead) = (0, 0);
    for (number, (steps, &submitted)) in all.iter().zip(submitted).enumerate() {
        let named = [
            ("decode", &steps.decoded),
            ("composite", &steps.composed),
            ("convert", &steps.converted),
            ("copy", &steps.copied),
        ];
        let mut before = 0;
        for (what, point) in named {
            let (begin, end) = *times.get(&key(point)).ok_or("a submission without times")?;
            let engine = point.timeline().engine().to_string();
            println!("{engine:<8} {:10.3} to {:10.3} ms  picture {number} {what}", ms(begin), ms(end));
            early += usize::from(begin < before);
            before = end;
            ahead += usize::from(what == "decode" && submitted < end);
        }
        println!(
            "{:<8} {:10.3} ms                picture {number} had been submitted",
            "host",
            ms(submitted)
        );
    }
    let count = all.len();
    println!("{early} of {} steps began before the one in front of it was over", 3 * count);
    println!("{ahead} of {count} pictures were submitted to the last step before they were decoded");
    if early > 0 { Err("a step began too early".into()) } else { Ok(()) }
}
