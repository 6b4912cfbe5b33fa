//! `nvdec-decode --check-access`: pictures of files that are asked for at random, against those of a whole decode.

pub mod film;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nvdec::{Context, Mode, OpenOptions};
use serde::Serialize;

use super::corpus::films;
use super::parallel;
use crate::console;
use crate::device;
use crate::engines::EngineChoice;
use crate::exit::{Exit, Failure};
use crate::output::file::Sources;
use film::{FilmResult, Verdict, check_film};

/// How often pictures are asked for, and which.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// Times that one to three pictures of a file are asked for.
    pub accesses: u32,
    /// Which ones: the same in every run with the same seed.
    pub seed: u64,
}

/// What to check, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Files, and folders that hold files.
    pub paths: Vec<PathBuf>,
    /// Files looked at, at a time; twice the number of engines if `None`.
    pub jobs: Option<usize>,
    /// Which device.
    pub device: OpenOptions,
    /// Which engine or engines.
    pub engine: EngineChoice,
    /// What decoders are to be good at.
    pub mode: Mode,
    /// Largest pictures, in luma samples.
    pub max_luma_samples: Option<u64>,
    /// How much is asked for.
    pub amount: Amount,
    /// Print JSON.
    pub json: bool,
}

/// How many files had each verdict. Field names are those of the JSON output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// All pictures are the same.
    pub same: usize,
    /// Some are not.
    pub differs: usize,
    /// Beyond the hardware or the library.
    pub refused: usize,
    /// Failed.
    pub error: usize,
    /// Not tried: there is nothing in them that could be decoded.
    pub skipped: usize,
    /// Times that pictures were asked for.
    pub accesses: u64,
    /// Pictures that were asked for and compared.
    pub compared: u64,
    /// Pictures that were asked for and are not exact.
    pub inexact: u64,
}

impl Totals {
    /// Counts results.
    pub fn of<'a>(results: impl IntoIterator<Item = &'a FilmResult>) -> Totals {
        let mut totals = Totals::default();
        for result in results {
            totals.accesses += result.accesses;
            totals.compared += result.compared;
            totals.inexact += result.inexact;
            *match result.verdict {
                Verdict::Same => &mut totals.same,
                Verdict::Differs(_) => &mut totals.differs,
                Verdict::Refused { .. } => &mut totals.refused,
                Verdict::Error { .. } => &mut totals.error,
                Verdict::Skipped { .. } => &mut totals.skipped,
            } += 1;
        }
        totals
    }

    /// How the program ends: as with `--check`, refusals are no failures unless nothing was decoded at all.
    pub fn exit(&self) -> Exit {
        if self.differs + self.error > 0 {
            Exit::Fault
        } else if self.same == 0 && self.refused > 0 {
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
            "{} the same, {} differ, {} errors, {} refused, {} skipped; {} accesses, {} pictures compared, {} not exact",
            self.same,
            self.differs,
            self.error,
            self.refused,
            self.skipped,
            self.accesses,
            self.compared,
            self.inexact
        )
    }
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    device: String,
    emulated: bool,
    accesses: u32,
    seed: u64,
    files: &'a [FilmResult],
    totals: &'a Totals,
    seconds: f64,
}

/// Checks everything, prints to standard output, and says how the program ends.
pub fn run(options: &Options) -> Result<Exit, Failure> {
    let films = films(&options.paths)?;
    if films.is_empty() {
        return Err(Failure::Usage("no stream and no container was found".to_owned()));
    }
    Sources::of(films.iter().map(|(_, path)| path.as_path())).check(&[])?;
    let context = device::open(options.device)?;
    let start = Instant::now();
    let jobs = options.jobs.unwrap_or(2 * context.engines().len()).clamp(1, films.len());
    let target = ProgressDrawTarget::stderr_with_hz(10);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} files").expect("a fixed template");
    let bar = ProgressBar::with_draw_target(Some(films.len() as u64), target).with_style(style);
    let mut results = Vec::new();
    let check =
        |index: usize, (name, path): &(String, PathBuf)| check_one(&context, name, path, options, index);
    parallel::in_order(&films, jobs, check, |result| {
        bar.inc(1);
        if !options.json {
            // A reader that has gone away does not change the exit code.
            let _ = bar.suspend(|| console::print(&format!("{result}\n")));
        }
        results.push(result);
    });
    bar.finish_and_clear();
    let totals = Totals::of(&results);
    let seconds = start.elapsed().as_secs_f64();
    let Amount { accesses, seed } = options.amount;
    let text = if options.json {
        let device = context.device().name().unwrap_or_else(|_| "NVIDIA GPU".to_owned());
        let emulated = context.is_emulated();
        let document = Document {
            schema: 1,
            device,
            emulated,
            accesses,
            seed,
            files: &results,
            totals: &totals,
            seconds,
        };
        serde_json::to_string_pretty(&document).expect("results have string keys only")
    } else {
        format!("{totals}; seed {seed}; {seconds:.1} s on {jobs} threads")
    };
    match console::print(&format!("{text}\n")) {
        Err(failure) if !failure.is_broken_pipe() => Err(failure),
        _ => Ok(totals.exit()),
    }
}

fn check_one(context: &Arc<Context>, name: &str, path: &Path, options: &Options, index: usize) -> FilmResult {
    let engines = options.engine.for_job(context, index);
    let settings = film::Settings {
        engines,
        mode: options.mode,
        max_luma_samples: options.max_luma_samples,
        amount: options.amount,
    };
    check_film(context, name, path, settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_and_exit_codes() {
        let of = |verdicts: &[Verdict]| {
            let results = verdicts.iter().map(|verdict| FilmResult::bare("x", verdict.clone()));
            Totals::of(&results.collect::<Vec<_>>()).exit()
        };
        let reason = || "no".to_owned();
        let (refused, skipped) =
            (Verdict::Refused { reason: reason() }, Verdict::Skipped { reason: reason() });
        assert_eq!(of(&[Verdict::Same, refused.clone(), skipped.clone()]), Exit::Success);
        assert_eq!(of(&[refused, skipped.clone()]), Exit::Unavailable);
        assert_eq!(of(&[skipped]), Exit::Success);
        assert_eq!(of(&[Verdict::Same, Verdict::Error { reason: reason() }]), Exit::Fault);
    }
}
