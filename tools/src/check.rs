//! `nvdec-decode --check`: every stream of a corpus against the MD5 of each of its pictures.

pub mod access;
pub mod corpus;
pub mod expected;
pub mod parallel;
pub mod stream;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nvdec::{Context, Mode, OpenOptions};
use serde::Serialize;

use crate::console;
use crate::decode::{Settings, Whole};
use crate::device;
use crate::engines::EngineChoice;
use crate::exit::{Exit, Failure};
use crate::input::other::Reader;
use crate::output::file::Sources;
use corpus::{Entry, corpus};
use expected::Expected;
use stream::{StreamResult, Verdict, check_stream};

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
    /// Largest pictures, in luma samples.
    pub max_luma_samples: Option<u64>,
    /// Have the clocks raised.
    pub boost: bool,
    /// Print JSON.
    pub json: bool,
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
    if options.boost {
        context.boost()?;
    }
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

/// Prints a line. A reader that has gone away does not change the exit code.
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
    let source = match Whole::open(&entry.stream, Reader::File) {
        Ok(source) => source,
        Err(Failure::NotAnnexB { found, .. }) => return bare(Verdict::Skipped { reason: found }),
        Err(failure) => return bare(Verdict::Error { reason: failure.to_string() }),
    };
    let expected = match Expected::read(sums) {
        Ok(expected) => expected,
        Err(error) => return bare(Verdict::Error { reason: error.to_string() }),
    };
    let engines = options.engine.for_job(context, index);
    let settings = Settings {
        engines,
        mode: options.mode,
        max_luma_samples: options.max_luma_samples,
        ..Settings::default()
    };
    check_stream(context, &name, source, settings, &expected)
}

#[cfg(test)]
#[path = "check/tests.rs"]
mod tests;
