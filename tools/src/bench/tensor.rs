//! Tensors of a stream: what conversions cost beside decoding alone, side by side in one run.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hcq::{Placement, SyncPoint};
use nvdec::tensor::{Converter, Tensor, TensorBuilder, TensorPool, TensorSpec};
use nvdec::{Codec, Context, Decoder, DecoderOptions, Frame, Mode};
use serde::Serialize;

use super::detile;
use super::feed::{Feeder, Stream};
use super::measure::{self, Memory, Spread, mib, ms, ratio};
use super::stream::mode_name;
use crate::engines::EngineChoice;
use crate::exit::Failure;
use crate::stats::Start;

/// How long the GPU may take for what was submitted before it counts as stuck.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Launches, and conversions, that their cost is measured by.
const LAUNCHES: u32 = 2000;
/// Of these so many are under way at a time.
const IN_FLIGHT: usize = 64;

/// What to try.
#[derive(Clone, Debug)]
pub struct Options {
    /// Timed repetitions of the stream in a round; one before them is not timed.
    pub loops: u32,
    /// Rounds; all settings take their turn in each.
    pub rounds: u32,
    /// Mode of the decoder.
    pub mode: Mode,
    /// Its engines.
    pub engines: EngineChoice,
    /// Most surfaces; as the mode says if `None`.
    pub surfaces: Option<usize>,
    /// What tensors to make, as text and as what it means.
    pub specs: Vec<(String, TensorSpec)>,
    /// Pictures of a tensor.
    pub pictures: usize,
    /// Tensors of a pool.
    pub tensors: usize,
}

/// What came of it. Field names are those of the JSON output.
#[derive(Clone, Debug, Serialize)]
pub struct Tensors {
    /// The stream.
    pub stream: String,
    /// Timed repetitions in a round.
    pub loops: u32,
    /// Rounds.
    pub rounds: u32,
    /// Mode of the decoder.
    pub mode: &'static str,
    /// Its engines.
    pub engines: usize,
    /// Pictures of a tensor.
    pub pictures_per_tensor: usize,
    /// Decoding alone, then each specification.
    pub rows: Vec<Row>,
    /// The copy engine on pictures of the same kind, for comparison.
    pub detile: detile::Detiled,
}

/// Decoding alone, or with conversions by one specification.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The specification; `None` is decoding alone.
    pub spec: Option<String>,
    /// Pictures a second.
    pub pictures_per_second: Spread,
    /// The same divided by that of decoding alone in the same round.
    pub of_decode_alone: Spread,
    /// Processor time of the thread that decodes and converts, for each picture, in µs.
    pub cpu_us_per_picture: Spread,
    /// Processor time of the whole process, for each picture, in µs.
    pub process_cpu_us_per_picture: Spread,
    /// From the making of the decoder to the first tensor on the GPU, in ms.
    pub first_ms: Spread,
    /// From the start of `main` to that, everything opened on the way; of the first row of the first round alone.
    pub main_to_first_ms: Option<f64>,
    /// GPU memory that was taken by the driver's account, channels included where they were opened, in bytes.
    pub gpu_memory: Option<u64>,
    /// Of that, the memory of tensors.
    pub tensor_memory: u64,
    /// Conversions of one picture that is there already.
    pub conversion: Option<Conversion>,
}

/// What a conversion costs by itself.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Conversion {
    /// Processor time of submitting one, in µs.
    pub submit_us: f64,
    /// Time of one on the GPU when many come one after the other, in µs.
    pub gpu_us: f64,
    /// Bytes of the tensor of a picture.
    pub bytes: u64,
}

#[derive(Clone, Debug, Default)]
struct Round {
    pictures_per_second: f64,
    of_decode_alone: f64,
    thread_us: f64,
    process_us: f64,
    first_ms: f64,
    main_to_first_ms: f64,
    gpu_memory: Option<u64>,
    tensor_memory: u64,
    engines: usize,
}

/// Decodes the stream alone and with each specification, `start` being that of `main`.
///
/// # Errors
///
/// Those of the decoder and of conversions.
pub fn run(
    context: &Arc<Context>,
    name: &str,
    stream: &Stream,
    options: &Options,
    start: Start,
) -> Result<Tensors, Failure> {
    let specs: Vec<Option<&(String, TensorSpec)>> =
        [None].into_iter().chain(options.specs.iter().map(Some)).collect();
    let mut rounds: Vec<Vec<Round>> = vec![Vec::new(); specs.len()];
    for _ in 0..options.rounds {
        let mut alone = 0.0;
        for (spec, rounds) in specs.iter().zip(&mut rounds) {
            let mut round = round(context, name, stream, options, spec.map(|(_, spec)| spec), start)?;
            if spec.is_none() {
                alone = round.pictures_per_second;
            }
            round.of_decode_alone = ratio(round.pictures_per_second, alone);
            rounds.push(round);
        }
    }
    let frame = first_frame(context, name, stream)?;
    let mut rows = Vec::new();
    for (at, (spec, rounds)) in specs.iter().zip(&rounds).enumerate() {
        let conversion = spec.map(|(_, spec)| conversion(context, &frame, spec)).transpose()?;
        rows.push(row(spec.map(|(text, _)| text.clone()), rounds, at == 0, conversion));
    }
    let geometry = *frame.surface().geometry();
    let detile = detile::Options {
        size: (geometry.width, geometry.height),
        format: geometry.format,
        pictures: 200,
        rounds: 1,
    };
    Ok(Tensors {
        stream: name.to_owned(),
        loops: options.loops,
        rounds: options.rounds,
        mode: mode_name(options.mode),
        engines: rounds[0].last().map_or(0, |round| round.engines),
        pictures_per_tensor: options.pictures,
        rows,
        detile: detile::run(context, &detile)?,
    })
}

/// Makes tensors of frames as they come, and lets go of each when it is full: a consumer that takes no time.
struct Sink {
    pool: TensorPool,
    open: Option<TensorBuilder>,
    last: Vec<SyncPoint>,
}

impl Sink {
    fn take(&mut self, frame: &Frame) -> Result<(), Failure> {
        if self.open.is_none() {
            self.open = Some(self.pool.begin(frame)?);
        }
        let is_full =
            self.open.as_mut().map(|open| Ok::<_, nvdec::Error>(open.push(frame)? && open.is_full()));
        if is_full.transpose()? == Some(true)
            && let Some(open) = self.open.take()
        {
            self.note(&open.finish()?);
        }
        Ok(())
    }

    /// Takes a frame, or gives surfaces back if there is none to go on with. `false` if it has none.
    fn keep(&mut self, frame: Option<&Frame>) -> Result<bool, Failure> {
        match (frame, &mut self.open) {
            (Some(frame), _) => self.take(frame).map(|()| true),
            (None, Some(open)) => Ok(open.submit()?),
            (None, None) => Ok(false),
        }
    }

    /// Keeps the last point of each queue.
    fn note(&mut self, tensor: &Tensor) {
        for point in tensor.ready() {
            match self.last.iter_mut().find(|last| Arc::ptr_eq(last.timeline(), point.timeline())) {
                Some(last) => last.clone_from(point),
                None => self.last.push(point.clone()),
            }
        }
    }

    /// Waits for all that was submitted.
    fn finish(&mut self) -> Result<(), Failure> {
        if let Some(open) = self.open.take().filter(|open| !open.is_empty()) {
            self.note(&open.finish()?);
        }
        Ok(self.last.iter().try_for_each(|point| point.wait(TIMEOUT)).map_err(nvdec::Error::from)?)
    }
}

fn round(
    context: &Arc<Context>,
    name: &str,
    stream: &Stream,
    options: &Options,
    spec: Option<&TensorSpec>,
    start: Start,
) -> Result<Round, Failure> {
    let memory = Memory::before(context);
    let decoder_options = DecoderOptions::default()
        .with_engines(options.engines.for_job(context, 0))
        .with_mode(options.mode)
        .with_surfaces(options.surfaces)
        .with_tensors(spec.is_some());
    let made = Instant::now();
    let mut feeder = Feeder::new(Decoder::new(context, Codec::Hevc, decoder_options)?, stream);
    let pool =
        spec.map(|spec| TensorPool::new(context, spec, options.pictures, options.tensors)).transpose()?;
    let mut sink = pool.map(|pool| Sink { pool, open: None, last: Vec::new() });
    let mut first = None;
    let mut main_to_first = 0.0;
    let mut warm_up = |frame: Option<Frame>| -> Result<bool, Failure> {
        let mut goes_on = frame.is_some();
        if let Some(sink) = &mut sink {
            goes_on = sink.keep(frame.as_ref())?;
            // One picture is a tensor too.
            if first.is_none() {
                sink.finish()?;
            }
        }
        if let Some(frame) = frame
            && first.is_none()
        {
            frame.status()?;
            first = Some(made.elapsed());
            main_to_first = ms(start.elapsed());
        }
        Ok(goes_on)
    };
    feeder.run_keeping(1, &mut warm_up)?;
    feeder.decoder().finish()?;
    let Some(first) = first else {
        let nal_units = bitstream::split_annex_b(stream).count() as u64;
        return Err(Failure::NoPicture { path: name.to_owned(), bytes: stream.len() as u64, nal_units });
    };
    if let Some(sink) = &mut sink {
        sink.finish()?;
    }
    let before = feeder.frames();
    let (begin, thread, process) = (Instant::now(), measure::thread_cpu(), measure::process_cpu());
    match &mut sink {
        Some(sink) => feeder.run_keeping(options.loops, &mut |frame| sink.keep(frame.as_ref()))?,
        None => feeder.run(options.loops, &mut |_| Ok(()))?,
    }
    feeder.decoder().finish()?;
    if let Some(sink) = &mut sink {
        sink.finish()?;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let (thread, process) = (measure::thread_cpu() - thread, measure::process_cpu() - process);
    let pictures = (feeder.frames() - before) as f64;
    let each = |time: Duration| ratio(time.as_secs_f64() * 1e6, pictures);
    let tensor_memory = sink
        .as_ref()
        .and_then(|sink| sink.pool.memory())
        .map_or(0, |memory| hcq::allocation_size(memory.size(), Placement::Vidmem));
    Ok(Round {
        pictures_per_second: ratio(pictures, seconds),
        of_decode_alone: 0.0,
        thread_us: each(thread),
        process_us: each(process),
        first_ms: ms(first),
        main_to_first_ms: main_to_first,
        gpu_memory: memory.taken(context.device()),
        tensor_memory,
        engines: feeder.decoder().engines().len(),
    })
}

/// A picture of the stream, decoded.
fn first_frame(context: &Arc<Context>, name: &str, stream: &Stream) -> Result<Frame, Failure> {
    let decoder = Decoder::new(context, Codec::Hevc, DecoderOptions::default())?;
    let mut feeder = Feeder::new(decoder, stream);
    match feeder.step()? {
        super::feed::Step::Frame(frame) => {
            frame.status()?;
            Ok(frame)
        }
        _ => Err(Failure::NoPicture { path: name.to_owned(), bytes: stream.len() as u64, nal_units: 0 }),
    }
}

/// Converts one picture again and again.
fn conversion(context: &Arc<Context>, frame: &Frame, spec: &TensorSpec) -> Result<Conversion, Failure> {
    let launches = if context.is_emulated() { 4 } else { LAUNCHES };
    let converter = Converter::new(context, spec)?;
    let bytes = converter.shape_of(frame)?.bytes();
    let target = context.device().allocate(bytes, Placement::Vidmem).map_err(nvdec::Error::from)?;
    let wait = |point: &SyncPoint| point.wait(TIMEOUT).map_err(nvdec::Error::from);
    wait(&converter.convert(frame, &target, None, &[])?)?;
    // With few under way, the queue is never full, and no call waits for the GPU.
    let mut submitting = Duration::ZERO;
    let begin = Instant::now();
    let mut points: Vec<SyncPoint> = Vec::with_capacity(launches as usize);
    for at in 0..launches as usize {
        if at >= IN_FLIGHT {
            wait(&points[at - IN_FLIGHT])?;
        }
        let cpu = measure::thread_cpu();
        points.push(converter.convert(frame, &target, None, &[])?);
        submitting += measure::thread_cpu() - cpu;
    }
    points.last().map_or(Ok(()), wait)?;
    let each = |time: Duration| ratio(time.as_secs_f64() * 1e6, f64::from(launches));
    Ok(Conversion { submit_us: each(submitting), gpu_us: each(begin.elapsed()), bytes })
}

fn row(spec: Option<String>, rounds: &[Round], is_first: bool, conversion: Option<Conversion>) -> Row {
    let spread = |value: &dyn Fn(&Round) -> f64| Spread::of(rounds.iter().map(value));
    Row {
        spec,
        pictures_per_second: spread(&|round| round.pictures_per_second),
        of_decode_alone: spread(&|round| round.of_decode_alone),
        cpu_us_per_picture: spread(&|round| round.thread_us),
        process_cpu_us_per_picture: spread(&|round| round.process_us),
        first_ms: spread(&|round| round.first_ms),
        main_to_first_ms: rounds.first().filter(|_| is_first).map(|round| round.main_to_first_ms),
        gpu_memory: rounds.iter().filter_map(|round| round.gpu_memory).max(),
        tensor_memory: rounds.last().map_or(0, |round| round.tensor_memory),
        conversion,
    }
}

impl fmt::Display for Tensors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tensors { stream, loops, rounds, mode, engines, pictures_per_tensor, rows, detile } = self;
        writeln!(
            f,
            "{stream}: {loops} times, {rounds} rounds, {mode}, {engines} engines, {pictures_per_tensor} pictures a tensor; \
             median (lowest to highest)"
        )?;
        for row in rows {
            match &row.spec {
                None => writeln!(f, "\ndecoding alone")?,
                Some(spec) if spec.is_empty() => writeln!(f, "\nthe picture's own size, RGB bytes")?,
                Some(spec) => writeln!(f, "\n{spec}")?,
            }
            writeln!(f, "  pictures/s          {}", row.pictures_per_second)?;
            if row.spec.is_some() {
                writeln!(f, "  of decoding alone   {:.3}", row.of_decode_alone)?;
            }
            writeln!(f, "  CPU a picture       {} us", row.cpu_us_per_picture)?;
            writeln!(f, "  process, a picture  {} us", row.process_cpu_us_per_picture)?;
            writeln!(f, "  first               {} ms after the decoder was made", row.first_ms)?;
            if let Some(first) = row.main_to_first_ms {
                writeln!(f, "  main to first       {first:.1} ms, everything opened")?;
            }
            if let Some(bytes) = row.gpu_memory {
                write!(f, "  GPU memory          {:.1} MiB taken", mib(bytes))?;
                match row.tensor_memory {
                    0 => writeln!(f)?,
                    tensors => writeln!(f, ", {:.1} MiB of it tensors", mib(tensors))?,
                }
            }
            if let Some(Conversion { submit_us, gpu_us, bytes }) = row.conversion {
                writeln!(
                    f,
                    "  a conversion        {submit_us:.2} us of CPU, {gpu_us:.1} us on the GPU, {bytes} bytes"
                )?;
            }
        }
        write!(f, "\nfor comparison, the copy engine: {detile}")
    }
}
