//! `nvdec-bench`: what decoding costs.

#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use bitstream::split_annex_b;
use clap::{Args, Parser, Subcommand, ValueEnum};
use nvdec::class::Chroma;
use nvdec::{ByteStream, Context, DeviceChoice, Mode, SurfaceFormat, TensorSpec, Units};
use nvdec_tools::bench::feed::{Means, Stream};
use nvdec_tools::bench::{
    self, Machine, Opened, bound, detile, many, reconfigure, schedule, start, stream, tensor,
};
use nvdec_tools::check::expected::Expected;
use nvdec_tools::device::{self, DeviceArgs};
use nvdec_tools::engines::{EngineChoice, ModeChoice};
use nvdec_tools::exit::{Exit, Failure};
use nvdec_tools::stats::Start;
use nvdec_tools::{console, logger, program};

/// Small streams of different size, where no file is named.
const CLIPS: [(&str, &[u8]); 2] = [
    ("x_wpp (built in)", include_bytes!("../../clips/x_wpp.hevc")),
    ("x_size_202x150 (built in)", include_bytes!("../../clips/x_size_202x150.hevc")),
];

/// Measures what decoding costs: speed by mode and engines, many streams at once, start-up, changes of resolution, copies;
/// and computes how fast a stream could be decoded at all.
///
/// Nothing is written but the result, on standard output. On a machine without GPU, everything runs on the emulated
/// one and says so.
#[derive(Debug, Parser)]
#[command(name = "nvdec-bench", version, after_long_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    what: What,

    #[command(flatten)]
    device: DeviceArgs,

    /// Have the driver raise the GPU's clocks while the program runs, for all programs on the GPU; never tried on
    /// hardware
    #[arg(long, global = true)]
    boost: bool,

    /// Print JSON; its fields are described in the README of the tools
    #[arg(long, global = true)]
    json: bool,

    /// Say what the driver is asked
    #[arg(short, long, global = true)]
    verbose: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// One stream: pictures a second, engine cycles, CPU time, memory, by mode and engines side by side
    Stream(StreamArgs),
    /// Many streams at once: together, the slowest beside the fastest, and bit by bit with --check
    Many(ManyArgs),
    /// From main to the first picture, step by step, in processes of their own
    Start(StartArgs),
    /// Making a decoder in a running process, and going on with another resolution
    Reconfigure(ReconfigureArgs),
    /// Tensors of a stream: speed, CPU time and memory beside decoding alone, and what a conversion costs by itself
    Tensor(TensorArgs),
    /// How fast the copy engine makes surfaces pitch-linear
    Detile(DetileArgs),
    /// How fast a stream could be decoded at all, by what its pictures cost and refer to
    Bound(BoundArgs),
    /// How a stream spreads over emulated engines that decode nothing and take as long as an H200's
    Schedule(ScheduleArgs),
}

#[derive(Clone, Copy, Debug, Args)]
struct MeansArgs {
    /// Have slice data copied rather than read by the engines where the stream lies
    #[arg(long)]
    copy: bool,
    /// Find the NAL units of the stream beforehand, as a program that reads a container has them
    #[arg(long)]
    indexed: bool,
}

impl From<MeansArgs> for Means {
    fn from(args: MeansArgs) -> Means {
        Means { copied: args.copy, indexed: args.indexed }
    }
}

#[derive(Debug, Args)]
struct StreamArgs {
    /// The file: a byte stream (Annex B), MP4, QuickTime, Matroska or MPEG-TS; - is a byte stream on standard input
    file: PathBuf,
    /// Timed repetitions of the stream in a round; one before them is not timed
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    loops: u32,
    /// Rounds; all settings take their turn in each
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Modes to try; by default all on all engines, and balanced on one
    #[arg(long, value_enum, value_name = "MODE", num_args = 1.., value_delimiter = ',')]
    mode: Vec<ModeChoice>,
    /// Engines to try: all, one, or NVDEC numbers such as 3 or 1,2,5; each value is a setting of its own
    #[arg(long, value_name = "ENGINES", num_args = 1..)]
    engines: Vec<EngineChoice>,
    /// Most pictures in GPU memory, whatever the mode says; never fewer than the stream needs
    #[arg(long, value_name = "N")]
    surfaces: Option<usize>,
    /// Clock of the engines, to tell what share of it they used (nvidia-smi --query-gpu=clocks.video)
    #[arg(long, value_name = "MHZ", value_parser = positive)]
    clock: Option<f64>,
    #[command(flatten)]
    means: MeansArgs,
}

#[derive(Debug, Args)]
struct ManyArgs {
    /// The file: a byte stream (Annex B), MP4, QuickTime, Matroska or MPEG-TS; - is a byte stream on standard input
    file: PathBuf,
    /// Streams at once
    #[arg(long, value_name = "N", default_value_t = 14, value_parser = clap::value_parser!(u16).range(1..))]
    streams: u16,
    /// How often each is repeated
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    loops: u32,
    /// Threads that feed them; by default as many as there are processors
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Mode of every decoder
    #[arg(long, value_enum, default_value_t = ModeChoice::Balanced)]
    mode: ModeChoice,
    /// Engines of every decoder: all, one (the least busy), each (one for each stream, in turn), or NVDEC numbers
    #[arg(long, value_name = "ENGINES", default_value = "all")]
    engines: EngineChoice,
    /// Most pictures in GPU memory for each stream
    #[arg(long, value_name = "N")]
    surfaces: Option<usize>,
    /// Most GPU memory for all together; streams beyond it wait for others to end
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..))]
    memory: Option<u32>,
    /// Compare every picture of every stream with FILE.framemd5
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    means: MeansArgs,
}

#[derive(Debug, Args)]
struct StartArgs {
    /// A file, likewise; by default a small one that is built in
    file: Option<PathBuf>,
    /// Processes to start, one after the other
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Go through the steps in this process, and print them as JSON
    #[arg(long, hide = true)]
    once: bool,
}

#[derive(Debug, Args)]
struct ReconfigureArgs {
    /// Two files, likewise, with pictures of different size; by default small ones that are built in
    #[arg(num_args = 2, value_names = ["FILE", "FILE"])]
    files: Vec<PathBuf>,
    /// Changes to and fro
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

#[derive(Debug, Args)]
struct DetileArgs {
    /// Size of the pictures
    #[arg(long, value_name = "WxH", default_value = "1920x1080", value_parser = size)]
    size: (u32, u32),
    /// Bits of a sample
    #[arg(long, value_name = "BITS", default_value_t = 8, value_parser = clap::value_parser!(u8).range(8..=16))]
    depth: u8,
    /// Chroma format
    #[arg(long, value_enum, default_value_t = ChromaChoice::C420)]
    chroma: ChromaChoice,
    /// Pictures in a round
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    pictures: u32,
    /// Rounds; one before them is not timed
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ChromaChoice {
    #[value(name = "420")]
    C420,
    #[value(name = "444")]
    C444,
}

#[derive(Debug, Args)]
struct TensorArgs {
    /// The file: a byte stream (Annex B), MP4, QuickTime, Matroska or MPEG-TS; - is a byte stream on standard input
    file: PathBuf,
    /// What tensors to make, as `nvdec-decode --tensor` has it; each is a setting of its own. By default 224x224 and the
    /// picture's own size, as float16
    #[arg(long, value_name = "SPEC", num_args = 1..)]
    spec: Vec<String>,
    /// Pictures of a tensor
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
    /// Tensors that memory is taken for
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    tensors: u16,
    /// Timed repetitions of the stream in a round; one before them is not timed
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    loops: u32,
    /// Rounds; all settings take their turn in each
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Mode of the decoder
    #[arg(long, value_enum, default_value_t = ModeChoice::Balanced)]
    mode: ModeChoice,
    /// Its engines: all, one, or NVDEC numbers such as 3 or 1,2,5
    #[arg(long, value_name = "ENGINES", default_value = "all")]
    engines: EngineChoice,
    /// Most pictures in GPU memory, whatever the mode says; never fewer than the stream needs
    #[arg(long, value_name = "N")]
    surfaces: Option<usize>,
    #[command(flatten)]
    means: MeansArgs,
}

#[derive(Debug, Args)]
struct BoundArgs {
    /// The file: a byte stream (Annex B), MP4, QuickTime, Matroska or MPEG-TS; - is a byte stream on standard input
    file: PathBuf,
    /// How often it is repeated without a pause
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    loops: u32,
    /// Numbers of engines; by default one, and all that the GPU has
    #[arg(long, value_name = "N", num_args = 1.., value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..))]
    engines: Vec<u16>,
    /// Numbers of surfaces
    #[arg(long, value_name = "N", num_args = 1.., value_delimiter = ',', default_values_t = [24, 64, 256],
          value_parser = clap::value_parser!(u16).range(1..))]
    surfaces: Vec<u16>,
    /// Clock of the engines, to tell pictures a second (nvidia-smi --query-gpu=clocks.video)
    #[arg(long, value_name = "MHZ", value_parser = positive)]
    clock: Option<f64>,
}

#[derive(Debug, Args)]
struct ScheduleArgs {
    /// The file: a byte stream (Annex B), MP4, QuickTime, Matroska or MPEG-TS; - is a byte stream on standard input
    file: PathBuf,
    /// How often it is repeated; once more before that is not timed
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    loops: u32,
    /// How much longer than an H200's the engines take; results are scaled back. This machine has to keep up with them
    #[arg(long, value_name = "X", default_value_t = 4.0, value_parser = positive)]
    scale: f64,
    /// The speed of each engine, 1 being an H200's; as many engines as there are speeds, 7 at most
    #[arg(long, value_name = "X", num_args = 1.., value_delimiter = ',', value_parser = positive,
          default_values_t = [1.0; 7])]
    speeds: Vec<f64>,
    /// Modes to try; by default low-latency with 24 surfaces, balanced with 64, throughput with 128 and with 256
    #[arg(long, value_enum, value_name = "MODE", num_args = 1.., value_delimiter = ',')]
    mode: Vec<ModeChoice>,
    /// Most surfaces, for all modes
    #[arg(long, value_name = "N")]
    surfaces: Option<usize>,
    #[command(flatten)]
    means: MeansArgs,
}

const AFTER_HELP: &str = "\
Examples:
  nvdec-bench stream film.hevc --loops 6 --clock 1545
                                           all modes on all engines, and one engine, with the share
                                           of what is possible that each reached
  nvdec-bench stream film.hevc --mode throughput --engines 1 --engines 1,2 --engines all
                                           one, two, all engines
  nvdec-bench many film.hevc --streams 256 --check
                                           256 at once: right, and fair?
  nvdec-bench start                        where does start-up time go?
  nvdec-bench reconfigure a.hevc b.hevc    what does a change of resolution cost?
  nvdec-bench tensor film.hevc --spec size=224x224,dtype=f16 --spec dtype=u8
                                           what do conversions cost?
  nvdec-bench detile --size 3840x2160      copies to host memory and GPU memory
  nvdec-bench bound film.hevc --engines 1,7,14
                                           is it the engines, the stream or the surfaces?
  nvdec-bench schedule film.hevc --scale 10 --speeds 1,1,0.5
                                           how it spreads, without a GPU

A figure of several rounds is given as its median, with the lowest and the highest. Other programs on the GPU
falsify the GPU memory that was taken; NVDEC's clock depends on whether the driver takes the GPU for idle.

Exit codes:
   0  measured; with --check every picture of every stream is right
   1  pictures differ, or the GPU failed
   2  the command line makes no sense
  65  the stream is damaged or has no picture: figures of it would say nothing
  66  the input cannot be read
  69  no GPU can be used (see --fallback), or it cannot decode this stream
  77  no permission to use the GPU";

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err("not a number above 0".to_owned()),
    }
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let sides = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    sides
        .filter(|(width, height)| {
            [width, height].iter().all(|side| (16..=8192).contains(*side) && *side % 2 == 0)
        })
        .ok_or_else(|| "not WIDTHxHEIGHT, both even and from 16 to 8192".to_owned())
}

fn main() -> ExitCode {
    let start = Start::now();
    program::run_at_once("nvdec-bench", |args: Arguments| {
        logger::install(args.verbose);
        run(&args, start)
    })
}

fn run(args: &Arguments, start: Start) -> Result<Exit, Failure> {
    let json = args.json;
    let open = || {
        let context = device::open(args.device.options()?)?;
        if args.boost {
            context.boost()?;
        }
        Ok::<_, Failure>(context)
    };
    match &args.what {
        What::Stream(what) => {
            let data = bench::read(&what.file)?;
            let context = open()?;
            let stream = Stream::new(&context, data, what.means.into())?;
            let options = stream::Options {
                loops: what.loops,
                rounds: what.rounds,
                settings: settings(what)?,
                clock: what.clock.map(|megahertz| megahertz * 1e6),
            };
            let result = stream::run(&context, &name(&what.file), &stream, &options, start)?;
            bench::print(&Machine::of(&context, "stream"), &result, json)
        }
        What::Many(what) => many(what, open, json),
        What::Tensor(what) => {
            let options = tensor_options(what)?;
            let data = bench::read(&what.file)?;
            let context = open()?;
            let stream = Stream::new(&context, data, what.means.into())?;
            let result = tensor::run(&context, &name(&what.file), &stream, &options, start)?;
            bench::print(&Machine::of(&context, "tensor"), &result, json)
        }
        What::Start(what) => started(args, what, start),
        What::Reconfigure(what) => {
            let files = what.files.iter().map(|file| Ok((name(file), bench::read(file)?)));
            let files = files.collect::<Result<Vec<_>, Failure>>()?;
            let streams = match &files[..] {
                [(first, a), (second, b)] => [(first.as_str(), &a[..]), (second.as_str(), &b[..])],
                _ => CLIPS,
            };
            let context = open()?;
            let result = reconfigure::run(&context, streams, what.rounds)?;
            bench::print(&Machine::of(&context, "reconfigure"), &result, json)
        }
        What::Detile(what) => {
            let context = open()?;
            let chroma = match what.chroma {
                ChromaChoice::C420 => Chroma::C420,
                ChromaChoice::C444 => Chroma::C444,
            };
            let format = SurfaceFormat::new(chroma, what.depth);
            let DetileArgs { size, pictures, rounds, .. } = *what;
            let result = detile::run(&context, &detile::Options { size, format, pictures, rounds })?;
            bench::print(&Machine::of(&context, "detile"), &result, json)
        }
        What::Bound(what) => {
            let data = bench::read(&what.file)?;
            let context = open()?;
            let counts = |counts: &[u16]| counts.iter().copied().map(usize::from).collect::<Vec<_>>();
            let engines = match &what.engines[..] {
                [] => vec![1, context.engines().len()],
                engines => counts(engines),
            };
            let clock = what.clock.map(|megahertz| megahertz * 1e6);
            let surfaces = counts(&what.surfaces);
            let result = bound::run(
                &context,
                &name(&what.file),
                &Stream::copied(&data),
                &engines,
                &surfaces,
                what.loops,
                clock,
            )?;
            bench::print(&Machine::of(&context, "bound"), &result, json)
        }
        What::Schedule(what) => {
            let data = bench::read(&what.file)?;
            let settings = match (&what.mode[..], what.surfaces) {
                ([], None) => vec![
                    (Mode::LowLatency, Some(24)),
                    (Mode::Balanced, Some(64)),
                    (Mode::Throughput, Some(128)),
                    (Mode::Throughput, Some(256)),
                ],
                (modes, surfaces) => modes_or_all(modes).map(|mode| (mode, surfaces)).collect(),
            };
            let options = schedule::Options {
                loops: what.loops,
                scale: what.scale,
                means: what.means.into(),
                speeds: what.speeds.clone(),
                settings,
            };
            let (machine, result) = schedule::run(&name(&what.file), &data, &options)?;
            bench::print(&machine, &result, json)
        }
    }
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

fn modes_or_all(modes: &[ModeChoice]) -> impl Iterator<Item = Mode> {
    let modes = if modes.is_empty() { ModeChoice::value_variants() } else { modes };
    modes.iter().map(|&mode| mode.into())
}

fn settings(what: &StreamArgs) -> Result<Vec<stream::Setting>, Failure> {
    if what.engines.contains(&EngineChoice::Each) {
        return Err(Failure::Usage("--engines each is for many streams".to_owned()));
    }
    let setting = |mode, engines| stream::Setting { mode, engines, surfaces: what.surfaces };
    if what.engines.is_empty() && what.mode.is_empty() {
        let on_all = modes_or_all(&[]).map(|mode| setting(mode, EngineChoice::All));
        return Ok([setting(Mode::Balanced, EngineChoice::One)].into_iter().chain(on_all).collect());
    }
    let engines = match &what.engines[..] {
        [] => &[EngineChoice::One, EngineChoice::All],
        engines => engines,
    };
    let modes: Vec<Mode> = modes_or_all(&what.mode).collect();
    Ok(engines.iter().flat_map(|&engines| modes.iter().map(move |&mode| setting(mode, engines))).collect())
}

fn tensor_options(what: &TensorArgs) -> Result<tensor::Options, Failure> {
    if what.engines == EngineChoice::Each {
        return Err(Failure::Usage("--engines each is for many streams".to_owned()));
    }
    let texts = match &what.spec[..] {
        [] => vec!["size=224x224,dtype=f16".to_owned(), "dtype=f16".to_owned()],
        texts => texts.to_vec(),
    };
    let parsed = |text: String| match text.parse::<TensorSpec>() {
        Ok(spec) => Ok((text, spec)),
        Err(error) => Err(Failure::Usage(format!("--spec {text}: {error}"))),
    };
    Ok(tensor::Options {
        loops: what.loops,
        rounds: what.rounds,
        mode: what.mode.into(),
        engines: what.engines,
        surfaces: what.surfaces,
        specs: texts.into_iter().map(parsed).collect::<Result<_, _>>()?,
        pictures: what.batch.into(),
        tensors: what.tensors.into(),
    })
}

fn many(
    what: &ManyArgs,
    open: impl Fn() -> Result<Arc<Context>, Failure>,
    json: bool,
) -> Result<Exit, Failure> {
    let data = bench::read(&what.file)?;
    let expected = what.check.then(|| {
        let mut sums = what.file.clone().into_os_string();
        sums.push(".framemd5");
        Expected::read(Path::new(&sums)).map_err(|error| Failure::Usage(format!("--check: {error}")))
    });
    let context = open()?;
    let stream = Stream::new(&context, data, what.means.into())?;
    let options = many::Options {
        streams: what.streams.into(),
        loops: what.loops,
        threads: what.threads.map(usize::from),
        mode: what.mode.into(),
        engines: what.engines,
        surfaces: what.surfaces,
        memory_limit: what.memory.map(|mib| u64::from(mib) << 20),
        expected: expected.transpose()?,
    };
    let result = many::run(&context, &name(&what.file), &stream, &options)?;
    let exit = bench::print(&Machine::of(&context, "many"), &result, json)?;
    Ok(if result.is_good() { exit } else { Exit::Fault })
}

fn started(args: &Arguments, what: &StartArgs, start: Start) -> Result<Exit, Failure> {
    let (built_in, clip) = CLIPS[0];
    let name = what.file.as_deref().map_or_else(|| built_in.to_owned(), name);
    let opened = what.file.as_deref().map(bench::open).transpose()?;
    let options = args.device.options()?;
    if what.once {
        let steps = match opened {
            Some(Opened::Stream(input)) => start::once(options.device, ByteStream::new(input), start)?,
            Some(Opened::Container(bytes)) => start::once(options.device, Units::new(&bytes), start)?,
            None => start::once(options.device, Units::new(clip), start)?,
        };
        let Some(steps) = steps else {
            let data = what.file.as_deref().map_or_else(|| Ok(clip.into()), bench::read)?;
            let nal_units = split_annex_b(&data).count() as u64;
            return Err(Failure::NoPicture { path: name, bytes: data.len() as u64, nal_units });
        };
        console::print(&serde_json::to_string(&steps).expect("steps are numbers"))?;
        return Ok(Exit::Success);
    }
    // Which one it is, so that all processes take the same.
    let context = device::open(options)?;
    let machine = Machine::of(&context, "start");
    let choice = match context.is_emulated() {
        true => DeviceChoice::Emulated,
        false => DeviceChoice::Nv(context.device().info().index),
    };
    drop(context);
    let failure = |what: std::io::Error| Failure::Child { what: what.to_string(), exit: Exit::Fault };
    let program = std::env::current_exe().map_err(failure)?;
    let result = start::run(&program, choice, what.file.as_deref(), &name, what.rounds)?;
    bench::print(&machine, &result, args.json)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(args: &[&str]) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from([&["nvdec-bench"], args].concat())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn settings_are_every_mode_on_every_engine() {
        let of = |args: &[&str]| {
            let What::Stream(what) = parse(args).unwrap().what else { panic!("no stream") };
            let settings = settings(&what)?;
            Ok::<_, Failure>(
                settings.iter().map(|s| (stream::mode_name(s.mode), s.engines)).collect::<Vec<_>>(),
            )
        };
        let (one, all) = (EngineChoice::One, EngineChoice::All);
        let (throughput, balanced, low) = ("throughput", "balanced", "low-latency");
        let expected = [(balanced, one), (throughput, all), (balanced, all), (low, all)];
        assert_eq!(of(&["stream", "x"]).unwrap(), expected);
        assert_eq!(of(&["stream", "x", "--mode", "balanced"]).unwrap(), [(balanced, one), (balanced, all)]);
        let two: EngineChoice = "1,2".parse().unwrap();
        let args =
            ["stream", "x", "--mode", "throughput,low-latency", "--engines", "1,2", "--engines", "all"];
        let expected = [(throughput, two), (low, two), (throughput, all), (low, all)];
        assert_eq!(of(&args).unwrap(), expected);
        assert!(of(&["stream", "x", "--engines", "each"]).is_err());
    }

    #[test]
    fn wrong_values_are_refused() {
        for wrong in [
            &["stream"][..],
            &["stream", "x", "--loops", "0"],
            &["stream", "x", "--clock", "-1"],
            &["stream", "x", "--clock", "nan"],
            &["many", "x", "--streams", "0"],
            &["reconfigure", "only-one.hevc"],
            &["tensor"],
            &["tensor", "x", "--batch", "0"],
            &["detile", "--size", "1920"],
            &["detile", "--size", "0x1080"],
            &["detile", "--size", "1921x1080"],
            &["detile", "--depth", "7"],
            &["bound", "x", "--engines", "0"],
            &["schedule", "x", "--speeds", "1,0"],
            &["schedule", "x", "--scale", "inf"],
            &[],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(
            parse(&["start", "--json", "--device", "emulated"]).unwrap().json,
            "options may stand behind"
        );
    }
}
