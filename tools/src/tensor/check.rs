//! `nvdec-decode --check-tensors`: what the GPU makes of pictures, against exact arithmetic.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nvdec::{Context, Mode, OpenOptions};
use serde::Serialize;
use serde_json::json;

use super::specs::CASES;
use super::stream::{Amount, StreamResult, Verdict, check_stream};
use crate::check::corpus::films;
use crate::console;
use crate::decode::{Settings, Whole};
use crate::device;
use crate::engines::EngineChoice;
use crate::exit::{Exit, Failure};
use crate::input::other::Reader;
use crate::message;
use crate::output::file::Sources;

/// What to check, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Streams, and folders that hold streams.
    pub paths: Vec<PathBuf>,
    /// Streams looked at, at a time.
    pub jobs: Option<usize>,
    /// Which device.
    pub device: OpenOptions,
    /// Which engine or engines.
    pub engine: EngineChoice,
    /// What decoders are to be good at.
    pub mode: Mode,
    /// Largest pictures, in luma samples.
    pub max_luma_samples: Option<u64>,
    /// How much of each stream is looked at.
    pub amount: Amount,
    /// Print JSON.
    pub json: bool,
}

/// How many streams, conversions and elements there were. Field names are those of the JSON output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Streams with all elements as near as they have to be.
    pub within: usize,
    /// Others.
    pub wrong: usize,
    /// Streams beyond the hardware or the library.
    pub refused: usize,
    /// Conversions that were looked at.
    pub conversions: usize,
    /// Conversions that there are not of such pictures.
    pub conversions_refused: usize,
    /// Elements that were looked at.
    pub elements: u64,
}

impl Totals {
    /// Counts results.
    pub fn of(results: &[StreamResult]) -> Totals {
        let mut totals = Totals::default();
        for result in results {
            *match result {
                result if result.is_wrong() => &mut totals.wrong,
                result if result.is_refused() => &mut totals.refused,
                _ => &mut totals.within,
            } += 1;
            for spec in &result.specs {
                *match spec.verdict {
                    Verdict::Refused { .. } => &mut totals.conversions_refused,
                    _ => &mut totals.conversions,
                } += 1;
                totals.elements += spec.elements;
            }
        }
        totals
    }

    /// How the program ends.
    pub fn exit(&self) -> Exit {
        if self.wrong > 0 {
            Exit::Fault
        } else if self.within == 0 && self.refused > 0 {
            Exit::Unavailable
        } else {
            Exit::Success
        }
    }
}

/// Checks everything, prints to standard output, and says how the program ends. What is printed depends on the streams and
/// the options alone, so that the output of two machines can be compared as text.
pub fn run(options: &Options) -> Result<Exit, Failure> {
    let streams = films(&options.paths)?;
    if streams.is_empty() {
        return Err(Failure::Usage("no stream was found".to_owned()));
    }
    Sources::of(streams.iter().map(|(_, path)| path.as_path())).check(&[])?;
    let context = device::open(options.device)?;
    let start = Instant::now();
    let jobs = options.jobs.unwrap_or_else(|| {
        // The exact values are the host's work.
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        processors.min(2 * context.engines().len())
    });
    let jobs = jobs.clamp(1, streams.len());
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} streams").expect("a fixed template");
    let target = ProgressDrawTarget::stderr_with_hz(10);
    let bar = ProgressBar::with_draw_target(Some(streams.len() as u64), target).with_style(style);
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    let results = thread::scope(|scope| {
        for _ in 0..jobs {
            let (sender, next, streams, context) = (sender.clone(), &next, &streams, &context);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some((name, path)) = streams.get(index) else { break };
                    let settings = Settings {
                        engines: options.engine.for_job(context, index),
                        mode: options.mode,
                        max_luma_samples: options.max_luma_samples,
                        ..Settings::default()
                    };
                    let result = match Whole::open(path, Reader::File) {
                        Ok(source) => check_stream(context, name, source, settings, options.amount, &CASES),
                        Err(failure) => StreamResult::error(name, failure.to_string()),
                    };
                    if sender.send((index, result)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let (mut waiting, mut results) = (BTreeMap::new(), Vec::new());
        for (index, result) in receiver {
            bar.inc(1);
            waiting.insert(index, result);
            while let Some(result) = waiting.remove(&results.len()) {
                bar.suspend(|| printed(&told(&result, options.json)))?;
                results.push(result);
            }
        }
        Ok(results)
    });
    bar.finish_and_clear();
    let results: Vec<StreamResult> = results.or_else(ended)?;
    let totals = Totals::of(&results);
    printed(&told_totals(&totals, options))?;
    say_on_what(&context, start, jobs);
    Ok(totals.exit())
}

/// A reader that has gone away ends it quietly.
fn ended(failure: Failure) -> Result<Vec<StreamResult>, Failure> {
    if failure.is_broken_pipe() { Ok(Vec::new()) } else { Err(failure) }
}

fn printed(text: &str) -> Result<(), Failure> {
    match console::print(&format!("{text}\n")) {
        Err(failure) if failure.is_broken_pipe() => Ok(()),
        printed => printed,
    }
}

/// A stream as text, or as a line for it and each conversion.
fn told(result: &StreamResult, as_json: bool) -> String {
    if !as_json {
        return result.to_string();
    }
    let line = |object: serde_json::Value| object.to_string();
    let StreamResult { stream, ended, pictures, damaged, specs } = result;
    if let Some(ended) = ended {
        let mut object = json!(ended);
        object["stream"] = json!(stream);
        return line(object);
    }
    let lines = specs.iter().map(|spec| {
        let mut object = json!(spec);
        object["stream"] = json!(stream);
        object["pictures"] = json!(pictures);
        object["damaged"] = json!(damaged);
        line(object)
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn told_totals(totals: &Totals, options: &Options) -> String {
    let Amount { pictures, pixels, seed } = options.amount;
    if options.json {
        let amount = json!({ "pictures": pictures, "pixels": pixels, "seed": seed });
        return json!({ "schema": 1, "totals": totals, "of_each": amount }).to_string();
    }
    let Totals { within, wrong, refused, conversions, conversions_refused, elements } = totals;
    format!(
        "{within} streams within bounds, {wrong} wrong, {refused} refused; {conversions} conversions, \
         {conversions_refused} refused; {elements} elements; seed {seed}"
    )
}

/// On standard error: what differs between machines.
fn say_on_what(context: &Context, start: Instant, jobs: usize) {
    let name = context.device().name().unwrap_or_else(|_| "NVIDIA GPU".to_owned());
    let emulated = if context.is_emulated() { " (emulated)" } else { "" };
    message!("{name}{emulated}, {:.1} s on {jobs} threads", start.elapsed().as_secs_f64());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_and_exit_codes() {
        let error = StreamResult::error("x.hevc", "lost".to_owned());
        let refused =
            StreamResult { ended: Some(Verdict::Refused { reason: "4:2:2".into() }), ..error.clone() };
        let within = StreamResult { ended: None, ..error.clone() };
        let of = |results: &[&StreamResult]| {
            Totals::of(&results.iter().map(|&result| result.clone()).collect::<Vec<_>>())
        };
        assert_eq!(of(&[&within, &refused]).exit(), Exit::Success);
        assert_eq!(of(&[&refused]).exit(), Exit::Unavailable);
        assert_eq!(of(&[&within, &error]).exit(), Exit::Fault);
        assert_eq!(told(&refused, false), "refused    x.hevc  4:2:2");
        assert_eq!(told(&refused, true), r#"{"reason":"4:2:2","stream":"x.hevc","verdict":"refused"}"#);
    }
}
