//! Finds the cuts of a clip: pictures whose histogram of luma is far from that of the picture before.
//!
//! This is a runtime of its own on this library's compute queue, without CUDA: it loads a kernel, has it wait on the GPU for
//! each decoded picture, and looks at the results in batches. On a machine without GPU and driver it runs on the emulated
//! one, where `model.rs` stands for the kernel's machine code.
//!
//! ```text
//! cargo run --release -p nvdec --example scene_cuts -- [--threshold 0.25] [FILE...]
//! ```

mod histogram;
mod model;

use std::fs::File;
use std::io::Read;
use std::time::Instant;

use histogram::{Histogram, Histograms, Result};
use nvdec::{ByteStream, Codec, Context, Decoder, DecoderOptions, DeviceChoice};

const CLIP: &str = "tools/clips/x_wpp.hevc";
/// From 0, the same histogram, to 1, not a sample of the same brightness.
const THRESHOLD: f64 = 0.25;

fn main() -> Result<()> {
    let (mut threshold, mut files) = (THRESHOLD, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--threshold" => threshold = arguments.next().ok_or("--threshold wants a number")?.parse()?,
            _ => files.push(argument),
        }
    }
    if files.is_empty() {
        files.push(CLIP.to_owned());
    }
    // Several files are one clip, one behind the other.
    let mut stream: Box<dyn Read> = Box::new(std::io::empty());
    for file in &files {
        let opened = File::open(file).map_err(|error| format!("{file}: {error}"))?;
        stream = Box::new(stream.chain(opened));
    }

    let context = Context::open_with_kernels(DeviceChoice::from_env()?, model::models())?;
    let mut decoder = Decoder::new(&context, Codec::Hevc, DecoderOptions::default())?;
    let mut histograms = Histograms::new(&context)?;
    let mut cuts = Cuts { threshold, ..Cuts::default() };
    let begin = Instant::now();
    for frame in decoder.frames(ByteStream::new(stream)) {
        histograms.push(&frame?, |histogram| cuts.add(histogram))?;
    }
    histograms.finish(|histogram| cuts.add(histogram))?;
    let took = begin.elapsed().as_secs_f64();

    while let Some(error) = decoder.take_error() {
        eprintln!("{error}");
    }
    let Cuts { pictures, found, largest, .. } = cuts;
    println!("{pictures} pictures, {found} cuts, largest distance {largest:.3}");
    let kind = if context.is_emulated() { "emulated " } else { "" };
    eprintln!("{took:.3} s on the {kind}{}", context.device().name()?);
    Ok(())
}

/// Compares each histogram with the one before.
#[derive(Default)]
struct Cuts {
    threshold: f64,
    before: Option<Histogram>,
    pictures: usize,
    found: usize,
    largest: f64,
}

impl Cuts {
    fn add(&mut self, histogram: Histogram) {
        if let Some(before) = &self.before {
            let distance = before.distance(&histogram);
            self.largest = self.largest.max(distance);
            if distance > self.threshold {
                self.found += 1;
                println!("cut at picture {}, distance {distance:.3}", self.pictures);
            }
        }
        self.before = Some(histogram);
        self.pictures += 1;
    }
}
