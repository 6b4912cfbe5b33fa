//! Many streams at once: how fast together, how fair to each, and whether all are right.
//!
//! A decoder works while it is called, so all of them have to be called. Here a thread takes turns among its streams, a
//! picture at a time, which is what a server does; as many threads as the machine has processors unless it is said
//! otherwise. With one thread, a stream that held the thread up would hold up all others, and show as an unfair rate.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use nvdec::{Codec, Context, Decoder, DecoderOptions, Download, Downloader, Error, Mode};
use serde::Serialize;

use super::feed::{self, Feeder, Step};
use super::measure::{self, Memory, mib, ratio};
use crate::check::expected::{Comparison, Expected};
use crate::engines::EngineChoice;
use crate::exit::Failure;

/// Pictures of a stream on their way to host memory, where they are compared.
const IN_FLIGHT: usize = 4;
/// How long a thread waits when none of its streams can go on.
const NAP: Duration = Duration::from_micros(200);
/// After so long without any progress the streams count as stuck.
const STUCK: Duration = Duration::from_secs(60);

/// What to try.
#[derive(Clone, Debug)]
pub struct Options {
    /// Streams at once.
    pub streams: usize,
    /// How often each is repeated. Once more before that is not timed, unless memory is limited: streams that wait for
    /// others to end cannot begin with them.
    pub loops: u32,
    /// Threads that feed them; as many as there are processors if `None`.
    pub threads: Option<usize>,
    /// Mode of every decoder.
    pub mode: Mode,
    /// Engines of each.
    pub engines: EngineChoice,
    /// Most surfaces of each.
    pub surfaces: Option<usize>,
    /// Limit of the GPU memory of all together, in bytes.
    pub memory_limit: Option<u64>,
    /// What the pictures must be, to compare every one of every stream.
    pub expected: Option<Expected>,
}

/// What came of it. Field names are those of the JSON output.
#[derive(Clone, Debug, Serialize)]
pub struct Many {
    /// The stream.
    pub stream: String,
    /// How many at once.
    pub streams: usize,
    /// How often each was repeated.
    pub loops: u32,
    /// Threads that fed them.
    pub threads: usize,
    /// Pictures of all.
    pub pictures: u64,
    /// Seconds until the last had ended.
    pub seconds: f64,
    /// Pictures a second of all.
    pub pictures_per_second: f64,
    /// Pictures a second of the slowest and of the fastest stream, from its first NAL unit to its end.
    pub slowest: f64,
    /// See `slowest`.
    pub fastest: f64,
    /// The one divided by the other: 1 is fair.
    pub fairness: f64,
    /// Streams that, when the first one ended, had less than half of its pictures. Those that waited for memory are not
    /// among them.
    pub starved: usize,
    /// Streams that had to wait for memory of the limit.
    pub waited_for_memory: usize,
    /// Processor time of the process for each picture, in µs. On the emulated GPU the engines are in it.
    pub process_cpu_us_per_picture: f64,
    /// GPU memory in bytes, when the first stream ended.
    pub gpu_memory: GpuMemory,
    /// Most host memory of the process, in bytes.
    pub peak_rss: Option<u64>,
    /// Result of the comparison.
    pub check: Option<Check>,
}

/// GPU memory of all decoders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GpuMemory {
    /// The most that they take, as said before.
    pub priced: u64,
    /// What was taken, channels included, by the driver's account. Wrong if other programs use the GPU.
    pub measured: Option<u64>,
}

/// What comparing every picture gave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Streams that are as expected in every picture of every repetition.
    pub bit_exact: usize,
    /// Streams that are not.
    pub differ: usize,
    /// How the first of these is not.
    pub first_difference: Option<String>,
}

impl Many {
    /// Whether everything is as it should be.
    pub fn is_good(&self) -> bool {
        self.check.as_ref().is_none_or(|check| check.differ == 0)
    }
}

/// What the threads share.
struct Shared<'a> {
    context: &'a Arc<Context>,
    stream: &'a feed::Stream,
    options: &'a Options,
    progress: Vec<AtomicU64>,
    /// Pictures of each stream, and the memory, when the first stream had ended.
    first_end: OnceLock<(Vec<u64>, GpuMemory)>,
    before: Memory,
    failure: Mutex<Option<Failure>>,
}

impl Shared<'_> {
    fn fail(&self, failure: Failure) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
    }

    fn has_failed(&self) -> bool {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn ended(&self) {
        self.first_end.get_or_init(|| {
            let pictures = self.progress.iter().map(|n| n.load(Ordering::Relaxed)).collect();
            let memory = GpuMemory {
                priced: self.context.reserved_memory(),
                measured: self.before.taken(self.context.device()),
            };
            (pictures, memory)
        });
    }
}

/// One of the streams.
struct Stream<'a> {
    index: usize,
    feeder: Feeder<'a>,
    left: u32,
    begin: Option<Instant>,
    /// Frames before the time was taken.
    before: u64,
    waited_for_memory: bool,
    checker: Option<Checker<'a>>,
}

/// Compares the pictures of a stream.
struct Checker<'a> {
    downloader: Downloader,
    flight: VecDeque<Download>,
    expected: &'a Expected,
    comparison: Comparison<'a>,
    buffer: Vec<u8>,
    difference: Option<String>,
}

impl<'a> Checker<'a> {
    fn new(context: &Arc<Context>, expected: &'a Expected) -> Checker<'a> {
        Checker {
            // No more than `IN_FLIGHT` at a time.
            downloader: Downloader::new(context).with_limit(None),
            flight: VecDeque::new(),
            expected,
            comparison: Comparison::new(expected),
            buffer: Vec::new(),
            difference: None,
        }
    }

    /// Compares copies that are there; waits for the oldest if `wait`. Whether there was one.
    fn compare(&mut self, wait: bool) -> nvdec::Result<bool> {
        if !self.flight.front().is_some_and(|download| wait || download.is_finished()) {
            return Ok(false);
        }
        let Some(download) = self.flight.pop_front() else { return Ok(false) };
        let host = download.wait()?;
        self.buffer.clear();
        host.write_planar(&mut self.buffer);
        let frame = download.frame();
        self.comparison.picture(&self.buffer, frame.poc(), frame.integrity()?);
        Ok(true)
    }

    /// The stream has ended once.
    fn end(&mut self) -> nvdec::Result<()> {
        while self.compare(true)? {}
        let comparison = std::mem::replace(&mut self.comparison, Comparison::new(self.expected));
        if let Some(difference) = comparison.finish() {
            self.difference.get_or_insert(difference.to_string());
        }
        Ok(())
    }
}

/// How a stream went.
struct Outcome {
    rate: f64,
    pictures: u64,
    index: usize,
    waited_for_memory: bool,
    checked: Option<Result<(), String>>,
}

/// Decodes `stream` as often at once as `options` say.
///
/// # Errors
///
/// The first error of any of the decoders.
pub fn run(
    context: &Arc<Context>,
    name: &str,
    stream: &feed::Stream,
    options: &Options,
) -> Result<Many, Failure> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = options.threads.unwrap_or(processors).clamp(1, options.streams.max(1));
    measure::forget_peak_rss();
    let usual = context.memory_limit();
    context.set_memory_limit(options.memory_limit.or(usual));
    let shared = Shared {
        context,
        stream,
        options,
        progress: (0..options.streams).map(|_| AtomicU64::new(0)).collect(),
        first_end: OnceLock::new(),
        before: Memory::before(context),
        failure: Mutex::new(None),
    };
    let barrier = Barrier::new(threads + 1);
    let (mut begin, mut cpu) = (Instant::now(), measure::process_cpu());
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let (shared, barrier) = (&shared, &barrier);
                scope.spawn(move || work(shared, barrier, (thread..shared.options.streams).step_by(threads)))
            })
            .collect();
        barrier.wait();
        (begin, cpu) = (Instant::now(), measure::process_cpu());
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker does not panic")).collect()
    });
    let seconds = begin.elapsed().as_secs_f64();
    let cpu = measure::process_cpu() - cpu;
    context.set_memory_limit(usual);
    let (at_first_end, gpu_memory) = shared.first_end.into_inner().unwrap_or_default();
    if let Some(failure) = shared.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(failure);
    }
    let pictures: u64 = outcomes.iter().map(|outcome| outcome.pictures).sum();
    if pictures == 0 {
        let nal_units = bitstream::split_annex_b(stream).count() as u64;
        return Err(Failure::NoPicture { path: name.to_owned(), bytes: stream.len() as u64, nal_units });
    }
    let rates = || outcomes.iter().map(|outcome| outcome.rate);
    let (slowest, fastest) = (rates().fold(f64::INFINITY, f64::min), rates().fold(0.0, f64::max));
    let first = at_first_end.iter().max().copied().unwrap_or(0);
    let behind =
        |o: &&Outcome| !o.waited_for_memory && at_first_end.get(o.index).is_some_and(|&n| 2 * n < first);
    let check = options.expected.is_some().then(|| {
        let results = || outcomes.iter().filter_map(|outcome| outcome.checked.as_ref());
        Check {
            bit_exact: results().filter(|result| result.is_ok()).count(),
            differ: results().filter(|result| result.is_err()).count(),
            first_difference: results().find_map(|result| result.clone().err()),
        }
    });
    Ok(Many {
        stream: name.to_owned(),
        streams: options.streams,
        loops: options.loops,
        threads,
        pictures,
        seconds,
        pictures_per_second: ratio(pictures as f64, seconds),
        slowest,
        fastest,
        fairness: ratio(slowest, fastest),
        starved: outcomes.iter().filter(behind).count(),
        waited_for_memory: outcomes.iter().filter(|outcome| outcome.waited_for_memory).count(),
        process_cpu_us_per_picture: ratio(cpu.as_secs_f64() * 1e6, pictures as f64),
        gpu_memory,
        peak_rss: measure::peak_rss(),
        check,
    })
}

/// Feeds the streams `indices` in turn until all have ended.
fn work(shared: &Shared<'_>, barrier: &Barrier, indices: impl Iterator<Item = usize>) -> Vec<Outcome> {
    let streams: Result<Vec<Stream<'_>>, Error> = indices.map(|index| open(shared, index)).collect();
    let streams = streams.map_err(Failure::from).and_then(|mut streams| {
        warm(shared, &mut streams)?;
        Ok(streams)
    });
    barrier.wait();
    streams.and_then(|streams| feed(shared, streams)).unwrap_or_else(|failure| {
        shared.fail(failure);
        Vec::new()
    })
}

fn open<'a>(shared: &Shared<'a>, index: usize) -> Result<Stream<'a>, Error> {
    let Options { engines, mode, surfaces, loops, expected, .. } = shared.options;
    let options = DecoderOptions::default()
        .with_engines(engines.for_job(shared.context, index))
        .with_mode(*mode)
        .with_surfaces(*surfaces)
        .with_held_frames(expected.as_ref().map(|_| IN_FLIGHT + 2));
    Ok(Stream {
        index,
        feeder: Feeder::new(Decoder::new(shared.context, Codec::Hevc, options)?, shared.stream),
        left: *loops,
        begin: None,
        before: 0,
        waited_for_memory: false,
        checker: expected.as_ref().map(|expected| Checker::new(shared.context, expected)),
    })
}

/// Decodes each stream once, so that memory is there and channels are open.
fn warm(shared: &Shared<'_>, streams: &mut [Stream<'_>]) -> Result<(), Failure> {
    if shared.options.memory_limit.is_some() {
        return Ok(());
    }
    let mut last = Instant::now();
    let mut running = true;
    while running && !shared.has_failed() {
        running = false;
        let mut progress = false;
        for stream in streams.iter_mut().filter(|stream| stream.left == shared.options.loops) {
            progress |= turn(shared, stream)?;
            running = true;
        }
        if progress {
            last = Instant::now();
        } else if running && last.elapsed() > STUCK {
            return Err(Failure::Stuck(0));
        } else if running {
            std::thread::sleep(NAP);
        }
    }
    for stream in streams {
        stream.feeder.decoder().finish()?;
        stream.left = shared.options.loops;
        stream.begin = None;
        stream.before = stream.feeder.frames();
    }
    Ok(())
}

fn feed(shared: &Shared<'_>, mut streams: Vec<Stream<'_>>) -> Result<Vec<Outcome>, Failure> {
    let mut outcomes = Vec::with_capacity(streams.len());
    let mut last = Instant::now();
    while !streams.is_empty() && !shared.has_failed() {
        let mut progress = false;
        let mut at = 0;
        while at < streams.len() {
            progress |= turn(shared, &mut streams[at])?;
            match streams[at].left {
                // Dropped with its memory, which others may wait for.
                0 => outcomes.push(close(shared, streams.remove(at))?),
                _ => at += 1,
            }
        }
        if progress {
            last = Instant::now();
        } else if last.elapsed() > STUCK {
            return Err(Failure::Stuck(streams[0].feeder.frames()));
        } else {
            std::thread::sleep(NAP);
        }
    }
    Ok(outcomes)
}

/// Lets a stream do something. Whether it did.
fn turn(shared: &Shared<'_>, stream: &mut Stream<'_>) -> Result<bool, Failure> {
    let Stream { feeder, checker, begin, .. } = stream;
    let mut compared = false;
    if let Some(checker) = checker {
        // What waits for its copy stays on the GPU: a stream that has enough of that there takes no more.
        compared = checker.compare(checker.flight.len() >= IN_FLIGHT)?;
    }
    let step = feeder.step()?;
    let went_on = matches!(step, Step::Frame(_) | Step::End);
    match step {
        Step::Frame(frame) => {
            begin.get_or_insert_with(Instant::now);
            if let Some(checker) = checker {
                checker.flight.push_back(checker.downloader.start(frame)?);
            }
        }
        Step::End => {
            if let Some(checker) = checker {
                checker.end()?;
            }
            stream.left -= 1;
        }
        Step::NoMemory => {
            // What was taken so far were parameter sets.
            *begin = None;
            stream.waited_for_memory = true;
        }
        // A frame that waits for its comparison gives one back.
        Step::NoSurface => {
            if let Some(checker) = checker {
                compared |= checker.compare(true)?;
            }
        }
    }
    shared.progress[stream.index].store(stream.feeder.frames() - stream.before, Ordering::Relaxed);
    Ok(compared || went_on)
}

fn close(shared: &Shared<'_>, mut stream: Stream<'_>) -> Result<Outcome, Failure> {
    stream.feeder.decoder().finish()?;
    let elapsed = stream.begin.map_or(0.0, |begin| begin.elapsed().as_secs_f64());
    shared.ended();
    let pictures = stream.feeder.frames() - stream.before;
    Ok(Outcome {
        rate: ratio(pictures as f64, elapsed),
        pictures,
        index: stream.index,
        waited_for_memory: stream.waited_for_memory,
        checked: stream.checker.map(|checker| checker.difference.map_or(Ok(()), Err)),
    })
}

impl fmt::Display for Many {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Many { stream, streams, loops, threads, pictures, seconds, .. } = self;
        writeln!(f, "{streams} times {stream} at once, {loops} times over, on {threads} threads")?;
        writeln!(f, "pictures/s      {:.1} ({pictures} in {seconds:.3} s)", self.pictures_per_second)?;
        writeln!(
            f,
            "each stream     {:.1} to {:.1} pictures/s, {:.2} fair, {} starved",
            self.slowest, self.fastest, self.fairness, self.starved
        )?;
        if self.waited_for_memory > 0 {
            writeln!(f, "memory          {} streams waited for others to end", self.waited_for_memory)?;
        }
        writeln!(f, "process         {:.1} us of CPU a picture", self.process_cpu_us_per_picture)?;
        write!(f, "GPU memory      priced {:.1} MiB", mib(self.gpu_memory.priced))?;
        match self.gpu_memory.measured {
            Some(bytes) => writeln!(f, ", {:.1} MiB taken", mib(bytes))?,
            None => writeln!(f)?,
        }
        if let Some(bytes) = self.peak_rss {
            writeln!(f, "host memory     {:.1} MiB at most", mib(bytes))?;
        }
        if let Some(check) = &self.check {
            writeln!(f, "checked         {} bit-exact, {} differ", check.bit_exact, check.differ)?;
            if let Some(difference) = &check.first_difference {
                writeln!(f, "                {difference}")?;
            }
        }
        Ok(())
    }
}
