//! Decodes an Annex B file several times over without looking at the pictures, and prints what it cost.
//!
//! ```text
//! cargo run --release --example throughput -- clip.hevc 10
//! ```

use std::sync::Arc;
use std::time::Instant;

use nvdec::{Context, DecoderOptions, HevcDecoder, Sent};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let start = Instant::now();
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("usage: throughput FILE [LOOPS]")?;
    let loops: u32 = args.next().map_or(Ok(1), |n| n.parse())?;
    let data = std::fs::read(path)?;

    let device = hcq::Device::open(Arc::new(hcq::LinuxKernel::new()), 0)?;
    let opened = start.elapsed();
    let context = Context::new(device)?;
    let mut decoder = HevcDecoder::new(&context, DecoderOptions::default())?;
    let created = start.elapsed();
    let mut first = None;
    let mut pictures = 0u64;
    let begin = Instant::now();
    for _ in 0..loops {
        for nal in hevc::nal::split_annex_b(&data) {
            while decoder.send_nal(nal, None)? == Sent::NoSurface {
                // Dropping a frame frees its surface for the picture to come; the engine orders the two.
                pictures += u64::from(decoder.receive().is_some());
            }
            while let Some(frame) = decoder.receive() {
                pictures += 1;
                if first.is_none() {
                    frame.status()?;
                    first = Some(start.elapsed());
                }
            }
        }
        while decoder.flush()? == Sent::NoSurface {}
        while decoder.receive().is_some() {
            pictures += 1;
        }
    }
    decoder.finish()?;
    let seconds = begin.elapsed().as_secs_f64();
    let statistics = decoder.statistics();
    println!(
        "{pictures} pictures, {:.0}/s on {}; opened {opened:?}, created {created:?}, first picture {:?}; {} in error; {} engine cycles a picture; budget {} KiB",
        pictures as f64 / seconds,
        decoder.engine(),
        first.unwrap_or_default(),
        statistics.pictures_in_error,
        statistics.engine_cycles / statistics.pictures.max(1),
        decoder.budget().unwrap_or(0) / 1024,
    );
    Ok(())
}
