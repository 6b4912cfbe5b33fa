//! How fast a stream can be decoded at all, from what its pictures cost and refer to.
//!
//! No order of pictures on any number of engines takes less time than the largest of
//!
//! - the work of all pictures, divided by the engines (by the sum of their speeds);
//! - the longest chain of pictures of which each refers to the one before, on the fastest engine;
//! - the time for which surfaces are taken, divided by the surfaces. A surface is taken from the start of its picture until
//!   the last picture that reads it is decoded; whatever the order, that is no less than the longest chain of references
//!   from the one to the other. (A frame that the caller does not hold may be written to again before it would have been
//!   shown.)

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use nvdec::{Codec, Context, Decoder, DecoderOptions};
use serde::Serialize;

use super::feed::{Feeder, Stream};
use super::measure::ratio;
use crate::exit::Failure;
use crate::trace::submissions::{Submissions, SubmittedPicture};

/// Pictures behind one, in decoding order, among which those are looked for that read it. Leaving out those further
/// away makes the bound lower, never wrong.
const REACH: usize = 256;

/// The pictures of a stream, in decoding order.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    pictures: Vec<Node>,
}

/// A picture.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// Engine time in cycles.
    pub cycles: u64,
    /// Pictures that it reads, by index.
    pub references: Vec<usize>,
}

/// What engines there are, and how often the stream is decoded.
#[derive(Clone, Debug)]
pub struct Means<'a> {
    /// The speed of each engine.
    pub speeds: &'a [f64],
    /// Most surfaces.
    pub surfaces: usize,
    /// How often the stream is repeated without a pause; its beginnings depend on nothing.
    pub loops: u32,
}

/// The least time for a stream, in cycles of an engine of speed 1. Field names are those of the JSON output.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bound {
    /// Work divided by engines.
    pub work: f64,
    /// The longest chain of references.
    pub critical_path: f64,
    /// Time for which surfaces are taken, divided by surfaces.
    pub surfaces: f64,
}

impl Bound {
    /// The largest of them.
    pub fn cycles(&self) -> f64 {
        self.work.max(self.critical_path).max(self.surfaces)
    }

    /// Which one that is.
    pub fn by(&self) -> &'static str {
        match self.cycles() {
            most if most == self.work => "work",
            most if most == self.critical_path => "critical path",
            _ => "surfaces",
        }
    }
}

impl Graph {
    /// From pictures in decoding order.
    ///
    /// # Panics
    ///
    /// If one refers to itself or a later one.
    pub fn new(pictures: Vec<Node>) -> Graph {
        assert!(pictures.iter().enumerate().all(|(at, node)| node.references.iter().all(|&r| r < at)));
        Graph { pictures }
    }

    /// From what was submitted. `cycles` says what a picture costs.
    pub fn of(jobs: &[SubmittedPicture], cycles: impl Fn(&SubmittedPicture) -> u64) -> Graph {
        let mut jobs: Vec<&SubmittedPicture> = jobs.iter().collect();
        jobs.sort_by_key(|job| job.number);
        let index: HashMap<u64, usize> = jobs.iter().enumerate().map(|(at, job)| (job.number, at)).collect();
        let pictures = jobs.iter().enumerate().map(|(at, job)| {
            let references = job.references.iter().filter_map(|r| index.get(r).copied());
            Node { cycles: cycles(job), references: references.filter(|&r| r < at).collect() }
        });
        Graph::new(pictures.collect())
    }

    /// Pictures.
    pub fn len(&self) -> usize {
        self.pictures.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pictures.is_empty()
    }

    /// Cycles of all pictures.
    pub fn work(&self) -> u64 {
        self.pictures.iter().map(|node| node.cycles).sum()
    }

    /// Cycles of the longest chain of references.
    pub fn critical_path(&self) -> u64 {
        let mut finish: Vec<u64> = Vec::with_capacity(self.pictures.len());
        for node in &self.pictures {
            let ready = node.references.iter().map(|&r| finish[r]).max().unwrap_or(0);
            finish.push(ready + node.cycles);
        }
        finish.into_iter().max().unwrap_or(0)
    }

    /// Cycles for which the surfaces of all pictures together are taken at least.
    pub fn residence(&self) -> u64 {
        (0..self.pictures.len()).map(|at| self.residence_of(at)).sum()
    }

    fn residence_of(&self, at: usize) -> u64 {
        let picture = &self.pictures[at];
        let mut longest = picture.cycles;
        // From the start of the picture to the end of those behind it that depend on it, `None` for those that do not.
        let mut ends: Vec<Option<u64>> = vec![Some(picture.cycles)];
        for later in self.pictures.iter().skip(at + 1).take(REACH) {
            let chain = |&r: &usize| r.checked_sub(at).and_then(|distance| *ends.get(distance)?);
            let end = later.references.iter().filter_map(chain).max().map(|ready| ready + later.cycles);
            ends.push(end);
            if later.references.contains(&at) {
                longest = longest.max(end.unwrap_or(0));
            }
        }
        longest
    }

    /// The least time with such means.
    pub fn bound(&self, means: &Means<'_>) -> Bound {
        let loops = f64::from(means.loops);
        let fastest = means.speeds.iter().copied().fold(0.0, f64::max);
        let chain = |cycles: u64| ratio(cycles as f64, fastest);
        Bound {
            work: ratio(loops * self.work() as f64, means.speeds.iter().sum()),
            critical_path: chain(self.critical_path()),
            surfaces: ratio(loops * chain(self.residence()), means.surfaces as f64),
        }
    }
}

/// A stream as it is decoded: its pictures, and what the engine said that they took.
///
/// # Errors
///
/// Those of the decoder; [`Failure::NoPicture`] for a stream without any.
pub fn record(context: &Arc<Context>, name: &str, stream: &Stream) -> Result<Vec<SubmittedPicture>, Failure> {
    let mut decoder = Decoder::new(context, Codec::Hevc, DecoderOptions::default())?;
    let submissions = Submissions::default();
    decoder.observe(submissions.observer());
    let mut feeder = Feeder::new(decoder, stream);
    feeder.run(1, &mut |_| Ok(()))?;
    feeder.decoder().finish()?;
    // Looks at each picture's status while it is there.
    feeder.decoder().statistics();
    let jobs = submissions.take();
    if jobs.is_empty() {
        let nal_units = bitstream::split_annex_b(stream).count() as u64;
        return Err(Failure::NoPicture { path: name.to_owned(), bytes: stream.len() as u64, nal_units });
    }
    Ok(jobs)
}

/// What was computed. Field names are those of the JSON output.
#[derive(Clone, Debug, Serialize)]
pub struct Bounds {
    /// The stream.
    pub stream: String,
    /// How often it is repeated.
    pub loops: u32,
    /// Its pictures.
    pub pictures: usize,
    /// Cycles of all of them, by the engine's count: a model's figures on the emulated GPU.
    pub work: u64,
    /// Cycles of the longest chain of references.
    pub critical_path: u64,
    /// Cycles for which their surfaces are taken.
    pub residence: u64,
    /// For so many engines and surfaces.
    pub rows: Vec<Row>,
}

/// The bound for some means.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Engines.
    pub engines: usize,
    /// Surfaces.
    pub surfaces: usize,
    /// The least time.
    #[serde(flatten)]
    pub bound: Bound,
    /// The cycles of the largest of them.
    pub cycles: f64,
    /// Which one it is: work, critical path or surfaces.
    pub by: &'static str,
    /// Most times as fast as one engine.
    pub speedup: f64,
    /// Most pictures a second, if the clock is known.
    pub pictures_per_second: Option<f64>,
}

/// The bounds of `stream` for every combination of engines and surfaces, at `clock` cycles a second.
///
/// # Errors
///
/// As [`record`].
pub fn run(
    context: &Arc<Context>,
    name: &str,
    stream: &Stream,
    engines: &[usize],
    surfaces: &[usize],
    loops: u32,
    clock: Option<f64>,
) -> Result<Bounds, Failure> {
    let jobs = record(context, name, stream)?;
    let graph = Graph::of(&jobs, |job| job.cycles().unwrap_or(0));
    let mut rows = Vec::new();
    for &engines in engines {
        for &surfaces in surfaces {
            let speeds = vec![1.0; engines];
            let bound = graph.bound(&Means { speeds: &speeds, surfaces, loops });
            let work = f64::from(loops) * graph.work() as f64;
            let pictures = f64::from(loops) * graph.len() as f64;
            rows.push(Row {
                engines,
                surfaces,
                bound,
                cycles: bound.cycles(),
                by: bound.by(),
                speedup: ratio(work, bound.cycles()),
                pictures_per_second: clock.map(|clock| ratio(pictures * clock, bound.cycles())),
            });
        }
    }
    Ok(Bounds {
        stream: name.to_owned(),
        loops,
        pictures: graph.len(),
        work: graph.work(),
        critical_path: graph.critical_path(),
        residence: graph.residence(),
        rows,
    })
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, {} times: {} pictures each", self.stream, self.loops, self.pictures)?;
        let mega = |cycles: u64| cycles as f64 / 1e6;
        writeln!(
            f,
            "work {:.2} million cycles, critical path {:.2}, surfaces taken for {:.2}",
            mega(self.work),
            mega(self.critical_path),
            mega(self.residence)
        )?;
        writeln!(
            f,
            "{:>8} {:>9} {:>10}  {:14} {:>11}",
            "engines", "surfaces", "times one", "bound by", "pictures/s"
        )?;
        for row in &self.rows {
            let rate = row.pictures_per_second.map_or("clock?".to_owned(), |rate| format!("{rate:.0}"));
            writeln!(
                f,
                "{:>8} {:>9} {:>10.2}  {:14} {rate:>11}",
                row.engines, row.surfaces, row.speedup, row.by
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
