//! How fast clips of many files come as tensors, by how many are on their way: eight pictures each, every fourth one, from files
//! that are opened and indexed for each, to 224x224 float16, by one thread.
//!
//! usage: clips CLIPS FILE...
//!
//! One line for each number of clips ahead. With none, each clip is waited for, and the line has how long that takes.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use nvdec::video::{ClipBatch, Clips, ClipsOptions, Sampling};
use nvdec::{Context, Video};

const PATIENCE: Duration = Duration::from_secs(30);

fn wait(batch: &ClipBatch) -> nvdec::Result<()> {
    batch.failures.iter().for_each(|(clip, error)| eprintln!("file {}: {error}", clip.video));
    batch.tensor.ready().iter().try_for_each(|point| Ok(point.wait(PATIENCE)?))
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let count: Option<usize> = arguments.next().and_then(|text| text.parse().ok());
    let paths: Vec<String> = arguments.collect();
    let (Some(count), false) = (count.filter(|&count| count > 0), paths.is_empty()) else {
        eprintln!("usage: clips CLIPS FILE...");
        return Ok(ExitCode::from(2));
    };
    let context = Context::open_default()?;
    let per_video = (count + 1).div_ceil(paths.len());
    for ahead in [0, 1, 3, 7, 15, 31] {
        let (files, videos) = (paths.clone(), paths.len());
        let sampling =
            Sampling { frames: 8, stride: 4, per_video, epoch: ahead as u64, ..Sampling::default() };
        let options = ClipsOptions { ahead, ..ClipsOptions::default() };
        let open = move |video: usize| Video::open(&files[video]);
        let spec = "size=224x224,dtype=f16".parse()?;
        let mut clips = Clips::new(&context, &spec, videos, open, sampling, options)?;
        // The first one makes channels and memory.
        wait(&clips.next().ok_or("there is no clip")??)?;
        let (start, mut times) = (Instant::now(), Vec::new());
        for _ in 0..count {
            let begin = Instant::now();
            let Some(batch) = clips.next() else { break };
            wait(&batch?)?;
            times.push(begin.elapsed());
        }
        let speed = times.len() as f64 / start.elapsed().as_secs_f64();
        times.sort();
        let at = |share: usize| {
            times.get(times.len() * share / 100).copied().unwrap_or_default().as_secs_f64() * 1e3
        };
        println!(
            "{ahead} ahead: {speed:.1} clips/s; ms for one: {:.1} in the middle, {:.1} of 90 %, {:.1} of 99 %; {} MiB",
            at(50),
            at(90),
            at(99),
            context.allocated_memory() >> 20
        );
    }
    Ok(ExitCode::SUCCESS)
}
