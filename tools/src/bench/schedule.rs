//! How a stream spreads over emulated engines that take their time and decode nothing: no GPU is needed, and the order
//! of pictures, the waits and the surfaces are those of hardware.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use nvdec::{Codec, Decoder, DecoderOptions, EngineSet, Engines, Mode};
use serde::Serialize;

use super::Machine;
use super::bound::{self, Graph, Means};
use super::engines::{self, CLOCK};
use super::feed::{self, Feeder, Stream};
use super::measure::{self, ratio};
use crate::exit::Failure;

/// What to try.
#[derive(Clone, Debug)]
pub struct Options {
    /// How often the stream is repeated; once more before that is not timed.
    pub loops: u32,
    /// How much longer than those of an H200 the engines take, so that this machine can keep up with them.
    pub scale: f64,
    /// The speed of each engine.
    pub speeds: Vec<f64>,
    /// Modes, each with the most surfaces.
    pub settings: Vec<(Mode, Option<usize>)>,
    /// How the stream is given to decoders.
    pub means: feed::Means,
}

/// What came of it. Field names are those of the JSON output.
#[derive(Clone, Debug, Serialize)]
pub struct Schedules {
    /// The stream.
    pub stream: String,
    /// How often it was repeated.
    pub loops: u32,
    /// How much longer than those of an H200 the engines took.
    pub scale: f64,
    /// The speed of each engine.
    pub speeds: Vec<f64>,
    /// One engine of speed 1 first, then the settings.
    pub rows: Vec<Row>,
}

/// One setting. Times are scaled back to those of an H200.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Engines.
    pub engines: usize,
    /// Mode.
    pub mode: String,
    /// Most surfaces, if the setting says.
    pub surfaces: Option<usize>,
    /// Surfaces that were used.
    pub surfaces_used: usize,
    /// Pictures a second.
    pub pictures_per_second: f64,
    /// The same, of what one engine does.
    pub speedup: f64,
    /// Share of the time in which the engines were busy.
    pub busy: f64,
    /// Share of what the bound allows.
    pub of_bound: f64,
    /// What the bound is by.
    pub bound_by: &'static str,
    /// Processor time of the thread that decodes, for each picture, in µs, not scaled. The doorbell is the model's,
    /// which wakes a thread, and status memory is the host's, which is faster to read than a GPU's.
    pub cpu_us_per_picture: f64,
}

/// Decodes the stream once for each setting.
///
/// # Errors
///
/// Those of the decoder; [`Failure::Usage`] for more engines than there are.
pub fn run(name: &str, stream: &Arc<[u8]>, options: &Options) -> Result<(Machine, Schedules), Failure> {
    // Engines in no hurry would make recording as slow as decoding.
    let (context, _) = engines::timed(0.0, &options.speeds)?;
    let machine = Machine::of(&context, "schedule");
    let jobs = bound::record(&context, name, &Stream::copied(stream))?;
    let graph = Graph::of(&jobs, |job| engines::cycles(job.blocks, job.bytes));
    drop(context);
    let mut rows = vec![schedule(stream, &graph, options, &[1.0], (Mode::Balanced, None))?];
    for &setting in &options.settings {
        rows.push(schedule(stream, &graph, options, &options.speeds, setting)?);
    }
    let one = rows[0].pictures_per_second;
    for row in &mut rows {
        row.speedup = ratio(row.pictures_per_second, one);
    }
    let Options { loops, scale, speeds, .. } = options.clone();
    Ok((machine, Schedules { stream: name.to_owned(), loops, scale, speeds, rows }))
}

fn schedule(
    stream: &Arc<[u8]>,
    graph: &Graph,
    options: &Options,
    speeds: &[f64],
    (mode, surfaces): (Mode, Option<usize>),
) -> Result<Row, Failure> {
    let (context, set): (_, EngineSet) = engines::timed(options.scale, speeds)?;
    let settings =
        DecoderOptions::default().with_engines(Engines::Set(set)).with_mode(mode).with_surfaces(surfaces);
    let stream = Stream::new(&context, stream.clone(), options.means)?;
    let mut feeder = Feeder::new(Decoder::new(&context, Codec::Hevc, settings)?, &stream);
    // The model clears surfaces at its own pace, which is not that of hardware.
    feeder.run(1, &mut |_| Ok(()))?;
    feeder.decoder().finish()?;
    let (pictures, cycles) = (feeder.frames(), feeder.decoder().statistics().engine_cycles);
    let (start, thread) = (Instant::now(), measure::thread_cpu());
    feeder.run(options.loops, &mut |_| Ok(()))?;
    feeder.decoder().finish()?;
    let seconds = start.elapsed().as_secs_f64() / options.scale;
    let thread = measure::thread_cpu() - thread;
    let pictures = (feeder.frames() - pictures) as f64;
    let cycles = (feeder.decoder().statistics().engine_cycles - cycles) as f64;
    let used = feeder.decoder().surfaces();
    let bound = graph.bound(&Means { speeds, surfaces: surfaces.unwrap_or(used), loops: options.loops });
    Ok(Row {
        engines: speeds.len(),
        mode: super::stream::mode_name(mode).to_owned(),
        surfaces,
        surfaces_used: used,
        pictures_per_second: ratio(pictures, seconds),
        speedup: 0.0,
        busy: ratio(cycles, seconds * CLOCK * speeds.iter().sum::<f64>()),
        of_bound: ratio(bound.cycles(), seconds * CLOCK),
        bound_by: bound.by(),
        cpu_us_per_picture: ratio(1e6 * thread.as_secs_f64(), pictures),
    })
}

impl fmt::Display for Schedules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}, {} times, engines {} times as slow as an H200's",
            self.stream, self.loops, self.scale
        )?;
        writeln!(
            f,
            "{:>7}  {:12} {:>9} {:>5} {:>11} {:>10} {:>6} {:>9} {:>9}  bound by",
            "engines", "mode", "surfaces", "used", "pictures/s", "times one", "busy", "of bound", "CPU us"
        )?;
        for row in &self.rows {
            let surfaces = row.surfaces.map_or("auto".to_owned(), |n| n.to_string());
            writeln!(
                f,
                "{:>7}  {:12} {surfaces:>9} {:>5} {:>11.0} {:>10.2} {:>4.0} % {:>7.0} % {:>9.1}  {}",
                row.engines,
                row.mode,
                row.surfaces_used,
                row.pictures_per_second,
                row.speedup,
                100.0 * row.busy,
                100.0 * row.of_bound,
                row.cpu_us_per_picture,
                row.bound_by
            )?;
        }
        Ok(())
    }
}
