//! `--trace`: when each engine worked on which picture, what it waited for, and what that says of the bottleneck.
//!
//! Times are the GPU's: stamps that the engines leave before and behind each submission ([`hcq::profile`]). What the
//! host did is put beside them by reading both clocks at the start.

mod chrome;
pub mod submissions;
mod summary;

pub use summary::{Bottleneck, Idle, Summary};

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use hcq::{Device, EngineKind, EngineType, Profiler, SyncPoint, Timeline};
use nvdec::{Context, Download, Observer};

use crate::exit::Failure;
use crate::output::file::{OutputFile, Sources};
use submissions::{Submissions, SubmittedPicture};

/// How often both clocks are read; the closest pair counts.
const CLOCK_READINGS: usize = 8;

/// A trace under way.
#[derive(Debug)]
pub struct Tracer {
    file: OutputFile,
    title: String,
    /// Engines of the GPU.
    engines: usize,
    clock: Clock,
    profiler: Arc<Profiler>,
    submissions: Submissions,
    /// Copies of pictures to host memory, with the picture's position in decoding order.
    copies: Vec<(SyncPoint, u64)>,
    /// Pictures that are converted, by position in decoding order, in the order of submission.
    conversions: Vec<Vec<u64>>,
    /// When the host waited for a surface to come back, in nanoseconds of the GPU's clock.
    stalls: Vec<(u64, u64)>,
}

/// The host's clock in terms of the GPU's.
#[derive(Clone, Copy, Debug)]
struct Clock {
    host: Instant,
    gpu: u64,
}

impl Clock {
    fn read(device: &Device) -> Result<Clock, nvdec::Error> {
        let mut best: Option<(std::time::Duration, Clock)> = None;
        for _ in 0..CLOCK_READINGS {
            let before = Instant::now();
            let gpu = device.timestamp()?;
            let took = before.elapsed();
            if best.is_none_or(|(least, _)| took < least) {
                best = Some((took, Clock { host: before + took / 2, gpu }));
            }
        }
        Ok(best.expect("read at least once").1)
    }

    fn of(&self, at: Instant) -> u64 {
        let nanoseconds =
            |duration: std::time::Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        match at.checked_duration_since(self.host) {
            Some(later) => self.gpu.saturating_add(nanoseconds(later)),
            None => self.gpu.saturating_sub(nanoseconds(self.host.duration_since(at))),
        }
    }
}

/// What was recorded, on one clock, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// What decoded.
    pub title: String,
    /// How many NVDEC engines the GPU has.
    pub engines: usize,
    /// Pictures, in the order of submission.
    pub pictures: Vec<Slice>,
    /// What else was copied or cleared, in the order of submission.
    pub copies: Vec<CopySlice>,
    /// What was converted to tensors, in the order of submission.
    pub conversions: Vec<CopySlice>,
    /// When the host waited for a surface to come back, in order.
    pub stalls: Vec<(u64, u64)>,
}

/// A picture on its engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Position in decoding order.
    pub number: u64,
    /// Picture order count.
    pub poc: i32,
    /// The engine.
    pub engine: EngineType,
    /// When the engine came to it, with everything that it waits for done.
    pub begin: u64,
    /// When it was decoded.
    pub end: u64,
    /// When the host had submitted it.
    pub submitted: u64,
    /// Bytes of slice data.
    pub bytes: u64,
    /// Clock cycles by the engine's own count.
    pub cycles: Option<u64>,
    /// Pictures that it reads.
    pub references: Vec<u64>,
    /// What it had to wait for when it was submitted, on other queues.
    pub waits: Vec<Wait>,
}

/// The work of a copy engine, or of the one that runs kernels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopySlice {
    /// The engine.
    pub engine: EngineType,
    /// The queue, by the number of its timeline: one engine works for several.
    pub queue: u64,
    /// When it began and ended.
    pub begin: u64,
    /// When it ended.
    pub end: u64,
    /// The picture that goes to host memory, or those that become tensors together, if that is known.
    pub pictures: Vec<u64>,
}

/// What a picture waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The reason.
    pub on: WaitFor,
    /// When it was over.
    pub end: u64,
}

/// Why a picture waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// A picture that it refers to.
    Reference(u64),
    /// A picture that uses its surface, or the place of its motion vectors, until then.
    Reuse(u64),
    /// A copy engine that reads its surface, or clears it.
    Copy,
    /// A conversion that reads its surface.
    Conversion,
}

impl Tracer {
    /// Begins to trace what is decoded on `context`. The file is begun at once, so that a name that cannot be written
    /// ends the program before the work and not after it.
    ///
    /// # Errors
    ///
    /// As [`OutputFile::create`], errors of the GPU's clock.
    pub fn begin(path: &Path, sources: &Sources, context: &Context) -> Result<Tracer, Failure> {
        let file = OutputFile::create(path, sources)?;
        let device = context.device();
        let name = device.name().unwrap_or_else(|_| "NVIDIA GPU".to_owned());
        let title = if context.is_emulated() { format!("{name} (emulated)") } else { name };
        Ok(Tracer {
            file,
            title,
            engines: context.engines().len(),
            clock: Clock::read(device)?,
            profiler: context.profile().clone(),
            submissions: Submissions::default(),
            copies: Vec::new(),
            conversions: Vec::new(),
            stalls: Vec::new(),
        })
    }

    /// Watches the decoder.
    pub fn observer(&self) -> Box<dyn Observer> {
        self.submissions.observer()
    }

    /// A picture is being copied to host memory.
    pub fn copying(&mut self, download: &Download) {
        self.copies.push((download.point().clone(), download.frame().number()));
    }

    /// Pictures with these numbers are being converted, in one submission.
    pub fn converting(&mut self, numbers: &[u64]) {
        self.conversions.push(numbers.to_vec());
    }

    /// The host waited from `since` until now for a surface to come back.
    pub fn stalled(&mut self, since: Instant) {
        self.stalls.push((self.clock.of(since), self.clock.of(Instant::now())));
    }

    /// Ends the trace: writes the file and sums it up.
    ///
    /// # Errors
    ///
    /// [`Failure::Output`] if the file cannot be written.
    pub fn finish(self) -> Result<Summary, Failure> {
        let Tracer { mut file, title, engines, clock, profiler, submissions, copies, conversions, stalls } =
            self;
        let (pictures, copies, conversions) =
            slices(clock, &submissions.take(), &profiler, &copies, &conversions);
        let recording = Recording { title, engines, pictures, copies, conversions, stalls };
        let written =
            serde_json::to_writer(&mut file, &chrome::document(&recording)).map_err(io::Error::from);
        if let Err(source) = written.and_then(|()| file.write_all(b"\n")) {
            return Err(Failure::Output { path: file.name().to_owned(), source });
        }
        file.commit()?;
        Ok(Summary::of(&recording))
    }
}

/// A point, to look things up by.
fn key(point: &SyncPoint) -> (*const Timeline, u64) {
    (Arc::as_ptr(point.timeline()), point.value())
}

/// Pictures, copies and conversions that were completed.
fn slices(
    clock: Clock,
    jobs: &[SubmittedPicture],
    profiler: &Profiler,
    copies: &[(SyncPoint, u64)],
    conversions: &[Vec<u64>],
) -> (Vec<Slice>, Vec<CopySlice>, Vec<CopySlice>) {
    // The points keep their timelines alive, so that none has the address of another.
    let spans = profiler.take();
    let times: HashMap<_, _> = spans.iter().map(|span| (key(&span.point), (span.begin, span.end))).collect();
    let numbers: HashMap<_, _> = jobs.iter().map(|job| (key(&job.point), job.number)).collect();
    let copied: HashMap<_, _> = copies.iter().map(|(point, number)| (key(point), *number)).collect();
    let pictures = jobs.iter().filter_map(|job| {
        let &(begin, end) = times.get(&key(&job.point))?;
        let waits = job.waits.iter().filter(|wait| !Arc::ptr_eq(wait.timeline(), job.point.timeline()));
        let waits = waits.filter_map(|wait| {
            let &(_, end) = times.get(&key(wait))?;
            let on = match numbers.get(&key(wait)) {
                Some(number) if job.references.contains(number) => WaitFor::Reference(*number),
                Some(number) => WaitFor::Reuse(*number),
                None if runs_kernels(wait) => WaitFor::Conversion,
                None => WaitFor::Copy,
            };
            Some(Wait { on, end })
        });
        Some(Slice {
            number: job.number,
            poc: job.poc,
            engine: job.engine(),
            begin,
            end,
            submitted: clock.of(job.at),
            bytes: job.bytes,
            cycles: job.cycles(),
            references: job.references.clone(),
            waits: waits.collect(),
        })
    });
    let others = spans.iter().filter(|span| !numbers.contains_key(&key(&span.point)));
    let (kernels, others): (Vec<_>, Vec<_>) = others.partition(|span| runs_kernels(&span.point));
    let slice = |span: &hcq::profile::Span, pictures| CopySlice {
        engine: span.point.timeline().engine(),
        queue: span.point.timeline().id(),
        begin: span.begin,
        end: span.end,
        pictures,
    };
    let copies = others
        .into_iter()
        .map(|span| slice(span, copied.get(&key(&span.point)).copied().into_iter().collect()));
    // A submission for each, in this order. Which one is missing, should a channel have died, is not known.
    let is_whole = kernels.len() == conversions.len();
    let kernels = kernels.into_iter().enumerate();
    let converted = kernels
        .map(|(at, span)| slice(span, conversions.get(at).filter(|_| is_whole).cloned().unwrap_or_default()));
    (pictures.collect(), copies.collect(), converted.collect())
}

fn runs_kernels(point: &SyncPoint) -> bool {
    point.timeline().engine().kind() == EngineKind::Graphics
}

#[cfg(test)]
mod tests;
