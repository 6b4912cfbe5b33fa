//! Decodes an Annex B file several times over without looking at the pictures, and prints what it cost.
//!
//! ```text
//! cargo run --release --example throughput -- clip.hevc 10
//! ```

use std::time::Instant;

use nvdec::{Context, DecoderOptions, HevcDecoder, Sent};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let start = Instant::now();
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("usage: throughput FILE [LOOPS]")?;
    let loops: u32 = args.next().map_or(Ok(1), |n| n.parse())?;
    let data = std::fs::read(path)?;

    let context = Context::open_default()?;
    let opened = start.elapsed();
    let mut decoder = HevcDecoder::new(&context, DecoderOptions::default())?;
    let created = start.elapsed();
    let mut first = None;
    let mut pictures = 0u64;
    let (begin, cpu) = (Instant::now(), cpu_nanoseconds());
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
        while decoder.flush()? == Sent::NoSurface {
            pictures += u64::from(decoder.receive().is_some());
        }
        while decoder.receive().is_some() {
            pictures += 1;
        }
    }
    decoder.finish()?;
    let seconds = begin.elapsed().as_secs_f64();
    let cpu = cpu_nanoseconds() - cpu;
    let statistics = decoder.statistics();
    let busy = statistics.engine_cycles as f64 / seconds / 1e6;
    println!("{pictures} pictures on {:?}, {} in error", decoder.engines(), statistics.pictures_in_error);
    println!("{:.0} pictures/s, {busy:.0} million engine cycles/s", pictures as f64 / seconds);
    println!("device {opened:.1?}, decoder {created:.1?}, first picture {:.1?}", first.unwrap_or_default());
    println!("CPU {:.1} us a picture, {}", cpu as f64 / 1e3 / pictures as f64, peak_memory());
    Ok(())
}

/// Time that this thread, the only one, spent on a processor.
fn cpu_nanoseconds() -> u64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn peak_memory() -> String {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    text.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default().replace('\t', " ")
}
