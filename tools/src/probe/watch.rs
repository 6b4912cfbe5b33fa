//! `--watch`: how busy each NVDEC engine is, for all programs together, again and again, by sampling ([`hcq::load`]).

use std::fmt::Write;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hcq::load::{Arrivals, EngineSampler, Idle, Load, MOST_SAMPLES, Samples};
use hcq::{Device, EngineType};
use nvdec::{Context, DeviceChoice};
use serde::Serialize;

use crate::device;
use crate::exit::{Exit, Failure};

/// Version of the JSON format.
const SCHEMA: u32 = 1;
/// Characters of a bar.
const BAR: usize = 20;
/// Chance leads an interval to more samples than it has on average: never twice as many, where the average is
/// this.
const MOST_EXPECTED: f64 = MOST_SAMPLES as f64 / 2.0;

/// What to watch, and how.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Which device; `auto` means every GPU.
    pub device: DeviceChoice,
    /// How long samples are collected for a figure.
    pub interval: Duration,
    /// Ends after so many intervals.
    pub count: Option<u64>,
    /// Samples of each engine a second, on average.
    pub rate: f64,
    /// Print JSON, an object a line for each interval.
    pub json: bool,
}

/// One interval. Field names are those of the JSON output.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Version of the format.
    pub schema: u32,
    /// When the interval ended, in seconds since 1970.
    pub time: f64,
    /// When it ended, in seconds since the watch began.
    pub seconds: f64,
    /// How long it was, in seconds.
    pub interval: f64,
    /// The GPUs that are watched.
    pub gpus: Vec<GpuRow>,
}

/// One GPU.
#[derive(Clone, Debug, Serialize)]
pub struct GpuRow {
    /// N of `--device nv:N`.
    pub index: usize,
    /// Marketing name.
    pub name: Option<String>,
    /// It is a model in this process, which no other process can use.
    pub emulated: bool,
    /// The shortest wait for an answer, in µs, of about the last minute.
    pub idle_us: Option<f64>,
    /// Answers that take longer, in µs, are of a busy engine.
    pub limit_us: f64,
    /// Its NVDEC engines.
    pub engines: Vec<EngineRow>,
}

/// One engine.
#[derive(Clone, Debug, Serialize)]
pub struct EngineRow {
    /// Its name.
    pub engine: String,
    /// Share of the interval in which it was busy, 0 to 1; `None` without a sample.
    pub busy: Option<f64>,
    /// The least that the share can be, at 95 %.
    pub busy_low: Option<f64>,
    /// The most that the share can be, at 95 %.
    pub busy_high: Option<f64>,
    /// Samples that count.
    pub samples: u32,
    /// Those that were answered late, or not yet.
    pub late: u32,
    /// Samples that say nothing, since this program was interrupted.
    pub unclear: u32,
    /// Those of the late that were not answered by the end of the interval.
    pub unanswered: u32,
    /// The wait in the middle, in µs.
    pub median_us: Option<f64>,
    /// The longest wait, in µs; with unanswered samples it lasts on.
    pub longest_us: Option<f64>,
    /// Why the engine cannot be watched, or not any more.
    pub error: Option<String>,
}

/// Watches, prints to standard output, and says how the program ends.
///
/// # Errors
///
/// [`Failure::Usage`] for more samples in an interval than are kept; [`Failure::Device`] if there is no
/// engine to watch.
pub fn run(options: &Options) -> Result<Exit, Failure> {
    let expected = options.rate * options.interval.as_secs_f64();
    if expected > MOST_EXPECTED {
        let message = format!(
            "--rate times --interval gives {expected:.0} samples, {MOST_EXPECTED:.0} is the most: lower either"
        );
        return Err(Failure::Usage(message));
    }
    let gpus = open(options.device)?;
    if gpus.iter().all(|(_, context)| context.is_emulated()) {
        crate::message!("an emulated GPU is its process's own: no other program can be seen on it");
    }
    let mut watch = Watch::new(&gpus, options.rate).map_err(|error| device::explain(&error))?;
    let mut screen = Screen::new(options.json);
    let mut done = 0;
    let exit = loop {
        let report = watch.interval(options.interval);
        for error in watch.errors.drain(..) {
            screen.scroll();
            crate::message!("{error}");
        }
        screen.show(&report)?;
        done += 1;
        if watch.is_over() || options.count.is_some_and(|count| done >= count) {
            break if watch.failed { Exit::Fault } else { Exit::Success };
        }
    };
    Ok(exit)
}

/// The GPUs that `choice` means and that have a decoder. Where it means all, those that cannot be used are
/// named and left out.
fn open(choice: DeviceChoice) -> Result<Vec<(usize, Arc<Context>)>, Failure> {
    let kernel = choice.kernel()?;
    let open = |index| -> nvdec::Result<Arc<Context>> { Context::new(Device::open(kernel.clone(), index)?) };
    if let DeviceChoice::Nv(index) = choice {
        return Ok(vec![(index, open(index).map_err(|error| device::explain(&error))?)]);
    }
    let list = hcq::enumerate(kernel.clone()).map_err(|error| device::explain(&error.into()))?;
    let mut gpus = Vec::new();
    let mut errors = Vec::new();
    for info in &list {
        match open(info.index) {
            Ok(context) => gpus.push((info.index, context)),
            Err(error) => errors.push((info.index, error)),
        }
    }
    if gpus.is_empty() {
        let none = || hcq::Error::NoGpu("the driver lists none".into()).into();
        let error = errors.into_iter().next().map_or_else(none, |(_, error)| error);
        return Err(device::explain(&error));
    }
    for (index, error) in errors {
        crate::message!("nv:{index} is not watched: {error}");
    }
    Ok(gpus)
}

/// Samplers of the engines of some GPUs, each with random times of its own.
#[derive(Debug)]
pub struct Watch {
    gpus: Vec<WatchedGpu>,
    start: Instant,
    /// When the latest interval ended.
    end: Instant,
    /// What went wrong and was not told yet.
    errors: Vec<String>,
    failed: bool,
}

#[derive(Debug)]
struct WatchedGpu {
    index: usize,
    name: Option<String>,
    emulated: bool,
    idle: Idle,
    engines: Vec<WatchedEngine>,
}

#[derive(Debug)]
struct WatchedEngine {
    engine: EngineType,
    /// Or why there is none any more.
    sampler: Result<EngineSampler, String>,
    arrivals: Arrivals,
    due: Instant,
}

impl Watch {
    /// Of all engines of `gpus`, each with its index, at `rate` samples a second.
    ///
    /// # Errors
    ///
    /// The first one, if no engine can be sampled.
    pub fn new(gpus: &[(usize, Arc<Context>)], rate: f64) -> nvdec::Result<Watch> {
        let mut causes = Vec::new();
        let mut engine = |context: &Context, engine| {
            let class = context.class().class;
            let sampler = EngineSampler::new(context.device(), engine, class).map_err(|error| {
                let text = error.to_string();
                causes.push(error);
                text
            });
            WatchedEngine { engine, sampler, arrivals: Arrivals::new(rate), due: Instant::now() }
        };
        let gpus = gpus.iter().map(|(index, context)| WatchedGpu {
            index: *index,
            name: context.device().name().ok(),
            emulated: context.is_emulated(),
            idle: Idle::default(),
            engines: context.engines().iter().map(|&e| engine(context, e)).collect(),
        });
        let mut gpus: Vec<_> = gpus.collect();
        let failed = !causes.is_empty();
        if gpus.iter().flat_map(|gpu| &gpu.engines).all(|engine| engine.sampler.is_err())
            && let Some(cause) = causes.into_iter().next()
        {
            return Err(cause.into());
        }
        let mut errors = Vec::new();
        let start = Instant::now();
        for gpu in &mut gpus {
            for engine in &mut gpu.engines {
                errors.extend(
                    engine.sampler.as_ref().err().map(|error| gpu_error(gpu.index, engine.engine, error)),
                );
                engine.schedule(start);
            }
        }
        Ok(Watch { gpus, start, end: start, errors, failed })
    }

    /// Whether no engine is left to be watched.
    pub fn is_over(&self) -> bool {
        self.gpus.iter().flat_map(|gpu| &gpu.engines).all(|engine| engine.sampler.is_err())
    }

    /// Takes samples for `length`, and says what they gave. Sleeps between them.
    pub fn interval(&mut self, length: Duration) -> Report {
        let begin = self.end;
        let now = Instant::now();
        // A program that was stopped for long does not make up for it.
        let end = if now < begin + length { begin + length } else { now + length };
        loop {
            let engines = self.gpus.iter().flat_map(|gpu| &gpu.engines);
            let due = engines.filter(|engine| engine.sampler.is_ok()).map(|engine| engine.due).min();
            let next = due.map_or(end, |due| due.min(end));
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            let now = Instant::now();
            if now >= end {
                break;
            }
            for gpu in &mut self.gpus {
                for engine in gpu.engines.iter_mut().filter(|engine| engine.due <= now) {
                    if let Some(error) = engine.sample() {
                        self.errors.push(gpu_error(gpu.index, engine.engine, &error));
                    }
                }
            }
        }
        self.end = end;
        let gpus = self.gpus.iter_mut().map(|gpu| gpu.report(&mut self.errors)).collect();
        self.failed |= !self.errors.is_empty();
        Report {
            schema: SCHEMA,
            time: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
            seconds: (end - self.start).as_secs_f64(),
            interval: (end - begin).as_secs_f64(),
            gpus,
        }
    }
}

fn gpu_error(index: usize, engine: EngineType, error: &str) -> String {
    format!("nv:{index} {engine} cannot be watched: {error}")
}

impl WatchedEngine {
    fn schedule(&mut self, now: Instant) {
        // Never, if that is beyond what the clock can say.
        let gap = self.arrivals.next().unwrap_or(Duration::MAX);
        self.due = now.checked_add(gap).unwrap_or(now + Duration::from_secs(u32::MAX.into()));
    }

    /// Takes the sample that is due. The error, if that is the end.
    fn sample(&mut self) -> Option<String> {
        let sampled = self.sampler.as_mut().ok()?.sample();
        // From now on, however late this one was: the process has no memory.
        self.schedule(Instant::now());
        self.end_with(sampled).err()
    }

    fn end_with<T>(&mut self, outcome: hcq::Result<T>) -> Result<T, String> {
        outcome.map_err(|error| {
            let text = error.to_string();
            self.sampler = Err(text.clone());
            text
        })
    }

    /// The samples of the interval; none of an engine that is not watched any more.
    fn take(&mut self) -> Result<Samples, String> {
        match &mut self.sampler {
            Ok(sampler) => {
                let samples = sampler.take();
                self.end_with(samples)
            }
            Err(_) => Ok(Samples::default()),
        }
    }
}

impl WatchedGpu {
    fn report(&mut self, errors: &mut Vec<String>) -> GpuRow {
        let now = Instant::now();
        let mut taken = Vec::new();
        for engine in &mut self.engines {
            let samples = engine.take().unwrap_or_else(|error| {
                errors.push(gpu_error(self.index, engine.engine, &error));
                Samples::default()
            });
            if let Some(wait) = samples.shortest {
                self.idle.learn(now, wait);
            }
            taken.push(samples);
        }
        // Only now, with what all of them have learnt.
        let limit = self.idle.limit();
        let row = |(engine, samples): (&WatchedEngine, Samples)| {
            EngineRow::of(engine.engine, &Load::of(&samples.waits, limit), engine.sampler.as_ref().err())
        };
        GpuRow {
            index: self.index,
            name: self.name.clone(),
            emulated: self.emulated,
            idle_us: self.idle.shortest().map(micros),
            limit_us: micros(limit),
            engines: self.engines.iter().zip(taken).map(row).collect(),
        }
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

impl EngineRow {
    fn of(engine: EngineType, load: &Load, error: Option<&String>) -> EngineRow {
        let known = load.busy().map(|_| load.confidence());
        EngineRow {
            engine: engine.to_string(),
            busy: load.busy(),
            busy_low: known.map(|(low, _)| low),
            busy_high: known.map(|(_, high)| high),
            samples: load.samples,
            late: load.late,
            unclear: load.unclear,
            unanswered: load.unanswered,
            median_us: load.median.map(micros),
            longest_us: load.longest.map(micros),
            error: error.cloned(),
        }
    }
}

/// Where reports go: line after line, or over the one before on a terminal.
#[derive(Debug)]
struct Screen {
    json: bool,
    terminal: bool,
    /// Lines of the report that the next one replaces.
    lines: usize,
    first: bool,
}

impl Screen {
    fn new(json: bool) -> Screen {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        Screen { json, terminal: !json && !dumb && std::io::stdout().is_terminal(), lines: 0, first: true }
    }

    /// Leaves what is there: something else is about to be written below it.
    fn scroll(&mut self) {
        self.lines = 0;
    }

    fn show(&mut self, report: &Report) -> Result<(), Failure> {
        let text = match self.json {
            true => serde_json::to_string(report).expect("a report has string keys only") + "\n",
            false => render(report),
        };
        crate::console::print(&self.place(&text))
    }

    /// `text` with what puts it into its place.
    fn place(&mut self, text: &str) -> String {
        let first = std::mem::take(&mut self.first);
        if self.json {
            return text.to_owned();
        }
        if !self.terminal {
            return if first { text.to_owned() } else { format!("\n{text}") };
        }
        // ECMA-48: CPL, so many lines up; EL, the rest of a line; ED, the rest of the screen. A line that
        // were wrapped would be two: DECAWM is off meanwhile.
        let mut out = String::from("\x1b[?7l");
        if self.lines > 0 {
            let _ = write!(out, "\x1b[{}F", self.lines);
        }
        text.lines().for_each(|line| {
            let _ = writeln!(out, "{line}\x1b[K");
        });
        out.push_str("\x1b[J\x1b[?7h");
        self.lines = text.lines().count();
        out
    }
}

/// The report as text, for 80 columns.
fn render(report: &Report) -> String {
    let mut out = String::new();
    for gpu in &report.gpus {
        let name = gpu.name.as_deref().unwrap_or("NVIDIA GPU");
        let model = if gpu.emulated { " (emulated)" } else { "" };
        let _ = writeln!(out, "GPU {}  {name}{model}", gpu.index);
        let _ = writeln!(
            out,
            "  {:8}{:BAR$} {:>6} {:>9} {:>8} {:>9} {:>9}",
            "engine", "busy", "", "95 % sure", "wait", "longest", "late"
        );
        for row in &gpu.engines {
            let _ = writeln!(out, "  {:8}{}", row.engine, figures(row));
        }
        let _ = writeln!(
            out,
            "  {:.1} s; an idle engine answers in {}, late is more than {}",
            report.seconds,
            gpu.idle_us.map_or("?".to_owned(), time),
            time(gpu.limit_us),
        );
    }
    out
}

fn figures(row: &EngineRow) -> String {
    if row.error.is_some() {
        return "cannot be watched".to_owned();
    }
    let (Some(busy), Some(low), Some(high)) = (row.busy, row.busy_low, row.busy_high) else {
        return "no sample".to_owned();
    };
    format!(
        "{} {:>4.0} % {:>9} {:>8} {:>9} {:>9}",
        bar(busy),
        100.0 * busy,
        format!("{:.0} to {:.0}", 100.0 * low, 100.0 * high),
        row.median_us.map_or(String::new(), time),
        // What has not ended yet is longer than it is known to be.
        row.longest_us.map_or(String::new(), time) + if row.unanswered > 0 { "+" } else { "" },
        format!("{}/{}", row.late, row.samples),
    )
}

/// A share as a bar.
fn bar(share: f64) -> String {
    let full = ((share * BAR as f64).round() as usize).min(BAR);
    "#".repeat(full) + &".".repeat(BAR - full)
}

/// A time in µs, in its unit.
fn time(micros: f64) -> String {
    match micros {
        us if us < 999.5 => format!("{us:.0} us"),
        us if us < 99_950.0 => format!("{:.1} ms", us / 1e3),
        us if us < 999_500.0 => format!("{:.0} ms", us / 1e3),
        us => format!("{:.1} s", us / 1e6),
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
