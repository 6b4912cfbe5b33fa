//! How fast clips of many files come as tensors, by how many are on their way: eight pictures each, every fourth one, from files
//! that are opened and indexed for each, to 224x224 float16, by one thread.
//!
//! usage: clips CLIPS FILE...
//!
//! One line for each number of clips ahead. With none, each clip is waited for, and the line has how long that takes. Then one line
//! for each number of threads that decode clips beside each other and wait for each.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nvdec::tensor::{Converter, TensorShape, TensorSpec};
use nvdec::video::{Clip, ClipBatch, Clips, ClipsOptions, Sampling};
use nvdec::{Context, Decoder, DecoderOptions, Placement, Video};

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
        say(&format!("{ahead} ahead"), start.elapsed(), times, &context);
    }
    let spec: TensorSpec = "size=224x224,dtype=f16".parse()?;
    for threads in [1, 2, 4, 8, 16] {
        let sampling =
            Sampling { frames: 8, stride: 4, per_video, epoch: threads as u64, ..Sampling::default() };
        let mut clips = sampling.clips(paths.len());
        clips.truncate(count);
        let job = Job { context: &context, spec: &spec, paths: &paths, sampling: &sampling };
        let next = AtomicUsize::new(0);
        let start = Instant::now();
        let times = std::thread::scope(|scope| {
            let work = || -> nvdec::Result<Vec<Duration>> {
                let mut times = Vec::new();
                while let Some(&clip) = clips.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let begin = Instant::now();
                    job.decode(clip)?;
                    times.push(begin.elapsed());
                }
                Ok(times)
            };
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let joined =
                workers.into_iter().map(|worker| worker.join().expect("a worker panics with its message"));
            joined.collect::<nvdec::Result<Vec<_>>>()
        })?;
        say(&format!("{threads} threads"), start.elapsed(), times.concat(), &context);
    }
    Ok(ExitCode::SUCCESS)
}

/// What each thread needs for a clip.
struct Job<'a> {
    context: &'a Arc<Context>,
    spec: &'a TensorSpec,
    paths: &'a [String],
    sampling: &'a Sampling,
}

impl Job<'_> {
    /// Decodes a clip with a decoder of its own, and waits for it.
    fn decode(&self, clip: Clip) -> nvdec::Result<()> {
        let video = Video::open(&self.paths[clip.video])?;
        let numbers = self.sampling.numbers(clip, video.len())?;
        let window = video.index().window();
        let shape = TensorShape::for_picture(self.spec, window.width, window.height)?;
        let target = self.context.allocate(shape.bytes() * numbers.len() as u64, Placement::Vidmem)?;
        let converter = Converter::new(self.context, self.spec)?;
        let mut decoder =
            Decoder::new(self.context, video.codec(), DecoderOptions::default().with_tensors(true))?;
        let converted = video.convert(&mut decoder, &converter, &numbers, &target, &[])?;
        converted.ready.iter().try_for_each(|point| Ok(point.wait(PATIENCE)?))
    }
}

fn say(what: &str, took: Duration, mut times: Vec<Duration>, context: &Context) {
    let speed = times.len() as f64 / took.as_secs_f64();
    times.sort();
    let at =
        |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default().as_secs_f64() * 1e3;
    println!(
        "{what}: {speed:.1} clips/s; ms for one: {:.1} in the middle, {:.1} of 90 %, {:.1} of 99 %; {} MiB",
        at(50),
        at(90),
        at(99),
        context.allocated_memory() >> 20
    );
}
