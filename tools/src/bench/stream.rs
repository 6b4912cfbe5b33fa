//! One stream: how fast, at what cost, by mode and engines, side by side in one run.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use nvdec::{Codec, Context, Decoder, DecoderOptions, Mode};
use serde::Serialize;

use super::bound::{self, Graph, Means};
use super::feed::{Feeder, Stream};
use super::measure::{self, Memory, Spread, mib, ms, ratio};
use crate::engines::EngineChoice;
use crate::exit::Failure;
use crate::stats::Start;

/// What to try.
#[derive(Clone, Debug)]
pub struct Options {
    /// Timed repetitions of the stream in a round; one before them is not timed.
    pub loops: u32,
    /// Rounds; all settings take their turn in each.
    pub rounds: u32,
    /// The settings.
    pub settings: Vec<Setting>,
    /// Clock of the engines in cycles a second, if it is known. That of emulated engines is not: what they count has
    /// nothing to do with the time that they take.
    pub clock: Option<f64>,
}

/// How to decode.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Mode.
    pub mode: Mode,
    /// Engines.
    pub engines: EngineChoice,
    /// Most surfaces; as the mode says if `None`.
    pub surfaces: Option<usize>,
}

/// The name of a mode on command lines.
pub fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Throughput => "throughput",
        Mode::Balanced => "balanced",
        Mode::LowLatency => "low-latency",
    }
}

/// What came of it. Field names are those of the JSON output.
#[derive(Clone, Debug, Serialize)]
pub struct Streams {
    /// The stream.
    pub stream: String,
    /// Its bytes, all of which are in memory.
    pub bytes: usize,
    /// Its pictures.
    pub pictures: usize,
    /// Timed repetitions in a round.
    pub loops: u32,
    /// Rounds.
    pub rounds: u32,
    /// From the start of `main` to the first picture of the first setting, everything opened on the way, in ms.
    pub main_to_first_picture_ms: f64,
    /// The settings.
    pub rows: Vec<Row>,
}

/// One setting.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Mode.
    pub mode: &'static str,
    /// Engines that pictures may go to.
    pub engines: usize,
    /// Pictures a second.
    pub pictures_per_second: Spread,
    /// Cycles a second that each engine counted, on average over the engines.
    pub cycles_per_second: Spread,
    /// Share of the engines' cycles, if their clock is known.
    pub busy: Option<Spread>,
    /// Processor time of the thread that decodes, for each picture, in µs.
    pub cpu_us_per_picture: Spread,
    /// Processor time of the whole process, for each picture, in µs. On the emulated GPU the engines are in it.
    pub process_cpu_us_per_picture: Spread,
    /// From the making of the decoder to the first picture, in ms.
    pub first_picture_ms: Spread,
    /// Surfaces allowed and used.
    pub surfaces: Surfaces,
    /// GPU memory in bytes.
    pub gpu_memory: GpuMemory,
    /// Most host memory of the process while it ran, the stream included, in bytes.
    pub peak_rss: Option<u64>,
    /// How much of what is possible was reached.
    pub bound: Option<Reached>,
}

/// Surfaces of a decoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Surfaces {
    /// Most that it may take.
    pub allowed: usize,
    /// Those that it took.
    pub used: usize,
}

/// GPU memory of a decoder in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GpuMemory {
    /// The most that it takes, as said before.
    pub priced: u64,
    /// Of that, surfaces.
    pub surfaces: u64,
    /// Motion vectors.
    pub motion: u64,
    /// Scratch of the engines.
    pub scratch: u64,
    /// Status.
    pub status: u64,
    /// What was taken by the driver's account, channels included where they were opened. Wrong if other programs use
    /// the GPU.
    pub measured: Option<u64>,
}

/// What was reached of a bound.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Reached {
    /// What the bound is by: work, critical path or surfaces.
    pub by: &'static str,
    /// Most times as fast as one engine that never rests.
    pub speedup: f64,
    /// The share of it that was reached: by the clock of the engines if it is known, else beside the fastest setting on
    /// one engine. `None` without either, and of emulated engines.
    pub reached: Option<f64>,
}

/// One round of one setting.
#[derive(Clone, Debug, Default)]
struct Round {
    pictures: u64,
    seconds: f64,
    cycles: u64,
    thread_us: f64,
    process_us: f64,
    first_picture_ms: f64,
    main_to_first_picture_ms: f64,
    engines: usize,
    surfaces: Surfaces,
    memory: GpuMemory,
    peak_rss: Option<u64>,
}

/// Decodes the stream by all settings, `start` being that of `main`.
///
/// # Errors
///
/// Those of the decoder.
pub fn run(
    context: &Arc<Context>,
    name: &str,
    stream: &Stream,
    options: &Options,
    start: Start,
) -> Result<Streams, Failure> {
    let options = &Options { clock: options.clock.filter(|_| !context.is_emulated()), ..options.clone() };
    let mut rounds: Vec<Vec<Round>> = vec![Vec::new(); options.settings.len()];
    for _ in 0..options.rounds {
        for (setting, rounds) in options.settings.iter().zip(&mut rounds) {
            rounds.push(round(context, name, stream, options.loops, *setting, start)?);
        }
    }
    let jobs = bound::record(context, name, stream)?;
    let graph = Graph::of(&jobs, |job| job.cycles().unwrap_or(0));
    let mut rows: Vec<Row> =
        options.settings.iter().zip(&rounds).map(|(s, rounds)| row(s, rounds, options)).collect();
    let one = rows.iter().filter(|row| row.engines == 1).map(|row| row.pictures_per_second.median);
    let one = one.max_by(f64::total_cmp).filter(|_| !context.is_emulated());
    for row in &mut rows {
        row.bound = Some(reached(row, &graph, options, one));
    }
    let first = rounds.first().and_then(|rounds| rounds.first());
    Ok(Streams {
        stream: name.to_owned(),
        bytes: stream.len(),
        pictures: graph.len(),
        loops: options.loops,
        rounds: options.rounds,
        main_to_first_picture_ms: first.map_or(0.0, |round| round.main_to_first_picture_ms),
        rows,
    })
}

fn round(
    context: &Arc<Context>,
    name: &str,
    stream: &Stream,
    loops: u32,
    setting: Setting,
    start: Start,
) -> Result<Round, Failure> {
    measure::forget_peak_rss();
    let memory = Memory::before(context);
    let options = DecoderOptions::default()
        .with_engines(setting.engines.for_job(context, 0))
        .with_mode(setting.mode)
        .with_surfaces(setting.surfaces);
    let made = Instant::now();
    let mut feeder = Feeder::new(Decoder::new(context, Codec::Hevc, options)?, stream);
    let mut first = None;
    let mut main_to_first = 0.0;
    let mut surface = 0;
    feeder.run(1, &mut |frame| {
        if first.is_none() {
            frame.status()?;
            first = Some(made.elapsed());
            main_to_first = ms(start.elapsed());
            surface = hcq::allocation_size(frame.surface().geometry().bytes(), hcq::Placement::Vidmem);
        }
        Ok(())
    })?;
    feeder.decoder().finish()?;
    let Some(first) = first else {
        let nal_units = bitstream::split_annex_b(stream).count() as u64;
        return Err(Failure::NoPicture { path: name.to_owned(), bytes: stream.len() as u64, nal_units });
    };
    let before = (feeder.frames(), feeder.decoder().statistics().engine_cycles);
    let (begin, thread, process) = (Instant::now(), measure::thread_cpu(), measure::process_cpu());
    feeder.run(loops, &mut |_| Ok(()))?;
    feeder.decoder().finish()?;
    let seconds = begin.elapsed().as_secs_f64();
    let (thread, process) = (measure::thread_cpu() - thread, measure::process_cpu() - process);
    let pictures = feeder.frames() - before.0;
    let decoder = feeder.decoder();
    let price = decoder.price().unwrap_or_default();
    // One of the surfaces in the price stands in for missing references.
    let allowed = price.surfaces.checked_div(surface).unwrap_or(0).saturating_sub(1) as usize;
    let each = |time: std::time::Duration| ratio(time.as_secs_f64() * 1e6, pictures as f64);
    Ok(Round {
        pictures,
        seconds,
        cycles: decoder.statistics().engine_cycles - before.1,
        thread_us: each(thread),
        process_us: each(process),
        first_picture_ms: ms(first),
        main_to_first_picture_ms: main_to_first,
        engines: decoder.engines().len(),
        surfaces: Surfaces { allowed, used: decoder.surfaces() },
        memory: GpuMemory {
            priced: price.total(),
            surfaces: price.surfaces,
            motion: price.motion,
            scratch: price.scratch,
            status: price.status,
            measured: memory.taken(context.device()),
        },
        peak_rss: measure::peak_rss(),
    })
}

fn row(setting: &Setting, rounds: &[Round], options: &Options) -> Row {
    let spread = |value: &dyn Fn(&Round) -> f64| Spread::of(rounds.iter().map(value));
    let last = rounds.last().cloned().unwrap_or_default();
    let each = |round: &Round| ratio(round.cycles as f64, round.seconds * round.engines as f64);
    Row {
        mode: mode_name(setting.mode),
        engines: last.engines,
        pictures_per_second: spread(&|round| ratio(round.pictures as f64, round.seconds)),
        cycles_per_second: spread(&each),
        busy: options.clock.map(|clock| spread(&|round| each(round) / clock)),
        cpu_us_per_picture: spread(&|round| round.thread_us),
        process_cpu_us_per_picture: spread(&|round| round.process_us),
        first_picture_ms: spread(&|round| round.first_picture_ms),
        surfaces: Surfaces {
            allowed: last.surfaces.allowed,
            used: rounds.iter().map(|round| round.surfaces.used).max().unwrap_or(0),
        },
        // Channels are opened in the first round.
        gpu_memory: GpuMemory {
            measured: rounds.iter().filter_map(|round| round.memory.measured).max(),
            ..last.memory
        },
        peak_rss: rounds.iter().filter_map(|round| round.peak_rss).max(),
        bound: None,
    }
}

fn reached(row: &Row, graph: &Graph, options: &Options, one: Option<f64>) -> Reached {
    let speeds = vec![1.0; row.engines];
    let means = Means { speeds: &speeds, surfaces: row.surfaces.allowed, loops: options.loops };
    let bound = graph.bound(&means);
    let speedup = ratio(f64::from(options.loops) * graph.work() as f64, bound.cycles());
    let rate = row.pictures_per_second.median;
    // Pictures a second of one engine that never rests.
    let ideal = options.clock.map(|clock| ratio(graph.len() as f64 * clock, graph.work() as f64));
    let reached = ideal.or(one).map(|one| ratio(rate, one * speedup));
    Reached { by: bound.by(), speedup, reached }
}

impl fmt::Display for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Streams { stream, pictures, loops, rounds, .. } = self;
        writeln!(
            f,
            "{stream}: {pictures} pictures, {loops} times, {rounds} rounds; median (lowest to highest)"
        )?;
        writeln!(f, "main to first picture {:.1} ms, everything opened", self.main_to_first_picture_ms)?;
        for row in &self.rows {
            let engines =
                if row.engines == 1 { "1 engine".to_owned() } else { format!("{} engines", row.engines) };
            writeln!(f, "\n{}, {engines}", row.mode)?;
            writeln!(f, "  pictures/s          {}", row.pictures_per_second)?;
            let Spread { median, min, max } = row.cycles_per_second;
            let mega = Spread { median: median / 1e6, min: min / 1e6, max: max / 1e6 };
            write!(f, "  engine cycles       {mega:.0} million a second and engine")?;
            match row.busy {
                Some(busy) => writeln!(f, ", {:.1} % busy", 100.0 * busy.median)?,
                None => writeln!(f)?,
            }
            writeln!(f, "  CPU a picture       {} us", row.cpu_us_per_picture)?;
            writeln!(f, "  process, a picture  {} us", row.process_cpu_us_per_picture)?;
            writeln!(f, "  first picture       {} ms after the decoder was made", row.first_picture_ms)?;
            writeln!(f, "  surfaces            {} of {}", row.surfaces.used, row.surfaces.allowed)?;
            let memory = &row.gpu_memory;
            write!(
                f,
                "  GPU memory          priced {:.1} MiB (surfaces {:.1}, motion {:.1}, scratch {:.1}, status {:.1})",
                mib(memory.priced),
                mib(memory.surfaces),
                mib(memory.motion),
                mib(memory.scratch),
                mib(memory.status)
            )?;
            match memory.measured {
                Some(bytes) => writeln!(f, ", {:.1} MiB taken", mib(bytes))?,
                None => writeln!(f)?,
            }
            if let Some(bytes) = row.peak_rss {
                writeln!(f, "  peak host memory    {:.1} MiB", mib(bytes))?;
            }
            if let Some(Reached { by, speedup, reached }) = row.bound {
                write!(f, "  bound               {speedup:.2} times one engine, by {by}")?;
                match reached {
                    Some(reached) => writeln!(f, "; {:.0} % of it reached", 100.0 * reached)?,
                    None => {
                        writeln!(f, "; what was reached takes a GPU, and --clock or a setting on one engine")?
                    }
                }
            }
        }
        Ok(())
    }
}
