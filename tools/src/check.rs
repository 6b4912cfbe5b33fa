//! `nvdec-decode --check`: every stream of a corpus against the MD5 of each of its pictures.

mod corpus;
mod expected;

pub use corpus::{Entry, corpus};
pub use expected::{Comparison, Difference, Expected, ExpectedError};

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nvdec::{Context, Mode, OpenOptions};
use serde::Serialize;

use crate::console;
use crate::decode::{Consumer, Picture, Settings, costs_pictures, decode};
use crate::device::{self, EngineChoice};
use crate::exit::{Exit, Failure};
use crate::output::file::Sources;

/// What to check, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Streams, and folders that hold streams.
    pub paths: Vec<PathBuf>,
    /// Streams decoded at a time; twice the number of engines if `None`.
    pub jobs: Option<usize>,
    /// Which device.
    pub device: OpenOptions,
    /// Which engine or engines.
    pub engine: EngineChoice,
    /// What decoders are to be good at.
    pub mode: Mode,
    /// Print JSON.
    pub json: bool,
}

/// What became of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// Every picture is as expected.
    BitExact,
    /// A picture, or their number, is not as expected.
    Differs {
        /// Where and how.
        #[serde(flatten)]
        difference: Difference,
        /// First error that the decoder reported, if any.
        error: Option<String>,
    },
    /// The hardware or this library cannot decode it.
    Refused {
        /// The reason.
        reason: String,
    },
    /// It could not be decoded for another reason.
    Error {
        /// The reason.
        reason: String,
    },
    /// It was not tried.
    Skipped {
        /// The reason.
        reason: String,
    },
}

/// The result of one stream. Field names are those of the JSON output.
#[derive(Clone, Debug, Serialize)]
pub struct StreamResult {
    /// The file.
    pub stream: String,
    /// What became of it.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Pictures put out.
    pub pictures: u64,
    /// Errors that the decoder reported of pictures and NAL units.
    pub errors: u64,
    /// Engine that decoded it.
    pub engines: Vec<String>,
    /// Wall time in seconds.
    pub seconds: f64,
}

impl fmt::Display for StreamResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verdict {
            Verdict::BitExact => write!(f, "bit-exact  {}  {} pictures", self.stream, self.pictures)?,
            Verdict::Differs { difference, error } => {
                write!(f, "DIFFERS    {}  {difference}", self.stream)?;
                if let Some(error) = error {
                    write!(f, "; {error}")?;
                }
            }
            Verdict::Refused { reason } => write!(f, "refused    {}  {reason}", self.stream)?,
            Verdict::Error { reason } => write!(f, "ERROR      {}  {reason}", self.stream)?,
            Verdict::Skipped { reason } => write!(f, "skipped    {}  {reason}", self.stream)?,
        }
        match (&self.verdict, self.errors) {
            (Verdict::BitExact, n) if n > 0 => write!(f, " ({n} errors reported)"),
            _ => Ok(()),
        }
    }
}

/// How many streams had each verdict. Field names are those of the JSON output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// As expected.
    pub bit_exact: usize,
    /// Not as expected.
    pub differs: usize,
    /// Beyond the hardware or the library.
    pub refused: usize,
    /// Failed.
    pub error: usize,
    /// Not tried.
    pub skipped: usize,
    /// Pictures compared.
    pub pictures: u64,
}

impl Totals {
    /// Counts results.
    pub fn of<'a>(results: impl IntoIterator<Item = &'a StreamResult>) -> Totals {
        let mut totals = Totals::default();
        for result in results {
            totals.pictures += result.pictures;
            *match result.verdict {
                Verdict::BitExact => &mut totals.bit_exact,
                Verdict::Differs { .. } => &mut totals.differs,
                Verdict::Refused { .. } => &mut totals.refused,
                Verdict::Error { .. } => &mut totals.error,
                Verdict::Skipped { .. } => &mut totals.skipped,
            } += 1;
        }
        totals
    }

    /// How the program ends: refusals are limits of the hardware, not failures, unless nothing was decoded at all.
    pub fn exit(&self) -> Exit {
        if self.differs + self.error > 0 {
            Exit::Fault
        } else if self.bit_exact == 0 && self.refused > 0 {
            Exit::Unavailable
        } else {
            Exit::Success
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} bit-exact, {} differ, {} errors, {} refused, {} skipped; {} pictures",
            self.bit_exact, self.differs, self.error, self.refused, self.skipped, self.pictures
        )
    }
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    device: String,
    emulated: bool,
    streams: &'a [StreamResult],
    totals: &'a Totals,
    seconds: f64,
}

/// Checks everything, prints to standard output, and says how the program ends.
pub fn run(options: &Options) -> Result<Exit, Failure> {
    let entries = corpus(&options.paths)?;
    if entries.is_empty() {
        return Err(Failure::Usage("no stream with a .framemd5 beside it was found".to_owned()));
    }
    let streams = entries.iter().map(|entry| entry.stream.as_path());
    let sums = entries.iter().filter_map(|entry| entry.sums.as_deref().ok());
    Sources::of(streams.chain(sums)).check(&[])?;
    let context = device::open(options.device)?;
    let start = Instant::now();
    let jobs = options.jobs.unwrap_or(2 * context.engines().len()).clamp(1, entries.len());
    let mut sinks =
        Printer { json: options.json, bar: bar(entries.len()), waiting: BTreeMap::new(), printed: 0 };
    let mut results = check_all(&context, &entries, options, jobs, |index, result| sinks.take(index, result));
    results.sort_by_key(|(index, _)| *index);
    let results: Vec<StreamResult> = results.into_iter().map(|(_, result)| result).collect();
    sinks.bar.finish_and_clear();
    let totals = Totals::of(&results);
    let seconds = start.elapsed().as_secs_f64();
    if options.json {
        let device = context.device().name().unwrap_or_else(|_| "NVIDIA GPU".to_owned());
        let emulated = context.is_emulated();
        let document = Document { schema: 1, device, emulated, streams: &results, totals: &totals, seconds };
        printed(&serde_json::to_string_pretty(&document).expect("results have string keys only"))?;
    } else {
        printed(&format!("{totals} in {seconds:.1} s on {jobs} threads"))?;
    }
    Ok(totals.exit())
}

/// Prints a line. That nobody reads it does not change what is said with the exit code.
fn printed(line: &str) -> Result<(), Failure> {
    match console::print(&format!("{line}\n")) {
        Err(failure) if failure.is_broken_pipe() => Ok(()),
        result => result,
    }
}

fn bar(entries: usize) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(entries as u64), ProgressDrawTarget::stderr_with_hz(10));
    bar.with_style(ProgressStyle::with_template("{bar:30} {pos}/{len} streams").expect("a fixed template"))
}

/// Prints results in the order of the streams, each as soon as those before it are there.
struct Printer {
    json: bool,
    bar: ProgressBar,
    waiting: BTreeMap<usize, String>,
    printed: usize,
}

impl Printer {
    fn take(&mut self, index: usize, result: &StreamResult) {
        self.waiting.insert(index, result.to_string());
        while let Some(line) = self.waiting.remove(&self.printed) {
            self.printed += 1;
            if !self.json {
                let _ = self.bar.suspend(|| printed(&line));
            }
        }
        self.bar.inc(1);
    }
}

/// Decodes all streams on `jobs` threads, each with a decoder of its own for each stream.
fn check_all(
    context: &Arc<Context>,
    entries: &[Entry],
    options: &Options,
    jobs: usize,
    mut done: impl FnMut(usize, &StreamResult),
) -> Vec<(usize, StreamResult)> {
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(entry) = entries.get(index) else { break };
                    let result = check_entry(context, entry, options, index);
                    if sender.send((index, result)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        receiver.iter().inspect(|(index, result)| done(*index, result)).collect()
    })
}

fn check_entry(context: &Arc<Context>, entry: &Entry, options: &Options, index: usize) -> StreamResult {
    let name = entry.stream.display().to_string();
    let start = Instant::now();
    let bare = |verdict| StreamResult {
        stream: name.clone(),
        verdict,
        pictures: 0,
        errors: 0,
        engines: Vec::new(),
        seconds: start.elapsed().as_secs_f64(),
    };
    let sums = match &entry.sums {
        Ok(sums) => sums,
        Err(reason) => return bare(Verdict::Skipped { reason: (*reason).to_owned() }),
    };
    let expected = match Expected::read(sums) {
        Ok(expected) => expected,
        Err(error) => return bare(Verdict::Error { reason: error.to_string() }),
    };
    let mut file = match File::open(&entry.stream) {
        Ok(file) => file,
        Err(error) => return bare(Verdict::Error { reason: format!("cannot read it: {error}") }),
    };
    let engines = options.engine.for_job(context, index);
    let settings = Settings { engines, mode: options.mode, ..Settings::default() };
    check_stream(context, &name, &mut file, settings, &expected)
}

/// Decodes one stream and compares it.
pub fn check_stream(
    context: &Arc<Context>,
    name: &str,
    source: &mut dyn std::io::Read,
    settings: Settings,
    expected: &Expected,
) -> StreamResult {
    let start = Instant::now();
    let mut job = Job {
        comparison: Comparison::new(expected),
        buffer: Vec::new(),
        errors: 0,
        first: None,
        unsupported: None,
        comparable: None,
    };
    let outcome = decode(context, name, source, settings, &mut job);
    let (pictures, engines, stopped) = match outcome {
        Ok(summary) => (summary.pictures, summary.engines, summary.stopped.map(Failure::Decode)),
        Err(failure) => (job.comparison.compared(), BTreeMap::new(), Some(failure)),
    };
    let errors = job.errors;
    StreamResult {
        stream: name.to_owned(),
        verdict: job.verdict(stopped),
        pictures,
        errors,
        engines: engines.keys().map(|engine| engine.to_string()).collect(),
        seconds: start.elapsed().as_secs_f64(),
    }
}

struct Job<'a> {
    comparison: Comparison<'a>,
    buffer: Vec<u8>,
    errors: u64,
    first: Option<String>,
    unsupported: Option<String>,
    /// Pictures before a part that the hardware refuses: those behind it cannot be told apart.
    comparable: Option<u64>,
}

impl Job<'_> {
    fn verdict(self, stopped: Option<Failure>) -> Verdict {
        let compared = self.comparison.compared();
        // A wrong picture weighs more than what ended the stream behind it.
        if let Some(difference) = self.comparison.difference() {
            return Verdict::Differs { difference: difference.clone(), error: self.first };
        }
        if let Some(failure) = stopped {
            let reason = match compared {
                0 => failure.to_string(),
                n => format!("after {n} pictures: {failure}"),
            };
            return match failure.exit() {
                Exit::Unavailable => Verdict::Refused { reason },
                _ => Verdict::Error { reason },
            };
        }
        match self.comparison.finish() {
            None => Verdict::BitExact,
            Some(_) if compared == 0 && self.unsupported.is_some() => {
                Verdict::Refused { reason: self.unsupported.unwrap_or_default() }
            }
            Some(difference) => Verdict::Differs { difference, error: self.first },
        }
    }
}

impl Consumer for Job<'_> {
    fn picture(&mut self, picture: &mut Picture) -> Result<(), Failure> {
        if self.comparable.is_some_and(|limit| picture.index >= limit) {
            return Ok(());
        }
        self.buffer.clear();
        picture.write_planar(&mut self.buffer);
        self.comparison.picture(&self.buffer, picture.poc);
        Ok(())
    }

    fn refused(&mut self, pictures: u64) {
        self.comparable = Some(pictures);
    }

    fn warning(&mut self, error: nvdec::Error) {
        self.errors += u64::from(costs_pictures(&error));
        if let nvdec::Error::Bitstream { source: source @ hevc::Error::Unsupported { .. }, .. } = &error {
            self.unsupported.get_or_insert_with(|| source.to_string());
        }
        self.first.get_or_insert_with(|| error.to_string());
    }
}

#[cfg(test)]
#[path = "check/tests.rs"]
mod tests;
