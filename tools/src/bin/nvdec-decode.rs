//! `nvdec-decode`: HEVC to pictures, on an NVDEC engine.

#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgGroup, Parser};
use nvdec::TensorSpec;
use nvdec_tools::device::DeviceArgs;
use nvdec_tools::engines::{BeginChoice, EngineChoice, ModeChoice, PolicyChoice, TaintChoice};
use nvdec_tools::exit::{Exit, Failure};
use nvdec_tools::film::wanted::{Every, Grid, Numbers, Seconds, Wanted};
use nvdec_tools::output::{self, Format};
use nvdec_tools::stats::Start;
use nvdec_tools::tensor::stream::Amount;
use nvdec_tools::tensor::stream::SEED;
use nvdec_tools::{check, decode, logger, parse, program, tensor};

/// Decodes HEVC on an NVDEC engine and writes its pictures, cropped, in the order in which they are shown.
///
/// INPUT is an MP4, QuickTime, Matroska or MPEG-TS file, or a byte stream (Annex B), which may come from a pipe.
///
/// Without -o and --format, the MD5 of each picture goes to standard output. --check decodes a whole corpus against
/// known MD5s, --parse shows what a stream holds and needs no GPU.
#[derive(Debug, Parser)]
#[command(name = "nvdec-decode", version, after_long_help = AFTER_HELP)]
#[command(group(ArgGroup::new("what").required(true).multiple(false).args(["input", "check", "check_tensors", "check_access", "parse"])))]
struct Args {
    /// The stream, or a file of MP4, QuickTime, Matroska or MPEG-TS with HEVC in it; - is standard input
    #[arg(value_name = "INPUT")]
    input: Option<PathBuf>,

    /// Where to write; - is standard output. For png a directory, a pattern such as out-%04d.png, or with --frames 1 a
    /// file
    #[arg(short, long, value_name = "OUT", conflicts_with_all = ["check", "check_tensors", "check_access", "parse"])]
    output: Option<PathBuf>,

    /// What to write; by default what the extension of OUT says, framemd5 without one
    #[arg(short, long, value_enum, conflicts_with_all = ["check", "check_tensors", "check_access", "parse"])]
    format: Option<Format>,

    #[command(flatten)]
    device: DeviceArgs,

    /// all (spread the stream over them), one (the least busy), or NVDEC numbers such as 3 or 1,2,5. With --check the
    /// default is each: every stream on one engine, in turn
    #[arg(long, value_name = "N", conflicts_with = "parse")]
    engine: Option<EngineChoice>,

    /// What to be good at
    #[arg(long, value_enum, default_value_t = ModeChoice::Balanced, conflicts_with = "parse")]
    mode: ModeChoice,

    /// Most pictures in GPU memory, whatever the mode says; never fewer than the stream needs
    #[arg(long, value_name = "N", conflicts_with_all = ["check", "check_tensors", "check_access", "parse"])]
    surfaces: Option<usize>,

    /// Which track of INPUT, by its number from 0; by default the first one with HEVC. A wrong number lists them
    #[arg(long, value_name = "N", conflicts_with_all = ["check", "check_tensors", "check_access"])]
    track: Option<usize>,

    /// From the picture that is shown at TIME: seconds, MM:SS or HH:MM:SS, with a fraction
    ///
    /// Times are those of the container, in a transport stream from its first picture. This and the options below need a file; no
    /// more of it is decoded than the pictures need. They come out in the order in which they are shown, each once.
    #[arg(long, value_name = "TIME", help_heading = CHOICE, conflicts_with_all = ["check", "check_tensors", "check_access", "parse"])]
    start: Option<Seconds>,

    /// Up to the last picture before TIME
    #[arg(long, value_name = "TIME", help_heading = CHOICE, conflicts_with_all = ["check", "check_tensors", "check_access", "parse"])]
    end: Option<Seconds>,

    /// Of those, the pictures that are Ns seconds apart, such as 2s, or each Nth, such as 10
    #[arg(long, value_name = "Ns|N", help_heading = CHOICE, conflicts_with_all = ["check", "check_tensors", "check_access", "parse"])]
    every: Option<Every>,

    /// The pictures that are shown at these times
    #[arg(long, value_name = "TIME,…", value_delimiter = ',', help_heading = CHOICE, conflicts_with_all = ["start", "end", "every", "check", "check_tensors", "check_access", "parse"])]
    at: Vec<Seconds>,

    /// Pictures by their numbers from 0, such as 0,5,10-20,100-
    #[arg(long, value_name = "N,…", value_delimiter = ',', help_heading = CHOICE, conflicts_with_all = ["start", "end", "every", "check", "check_tensors", "check_access", "parse"])]
    numbers: Vec<Numbers>,

    /// Write a contact sheet of so many columns and rows to -o SHEET.png: pictures spread evenly over the film, or from --start
    /// to --end, about 1600 pixels wide together
    #[arg(long, value_name = "CxR", help_heading = CHOICE, requires = "output", conflicts_with_all = ["tensor", "preview", "verify", "format", "frames", "check", "check_tensors", "check_access", "parse"])]
    thumbnails: Option<Grid>,

    /// With which pictures decoding may begin; each choice allows what those before it allow
    #[arg(long, value_enum, default_value_t, conflicts_with_all = ["check", "check_tensors", "check_access", "parse"])]
    begin: BeginChoice,

    /// What to do with pictures that are not exact: damaged, predicted from damaged ones, or not refreshed yet
    #[arg(long, value_enum, default_value_t, conflicts_with_all = ["check", "check_tensors", "check_access", "parse"])]
    on_damage: PolicyChoice,

    /// What a missing or damaged picture taints
    #[arg(long, value_enum, default_value_t, conflicts_with_all = ["check", "check_tensors", "check_access", "parse"])]
    taint: TaintChoice,

    /// INPUT is a pipe, and each write to it is one or more whole access units: each picture comes out as soon as it is
    /// there, without waiting for the beginning of the next one
    #[arg(long, conflicts_with_all = ["check", "check_tensors", "check_access", "parse"])]
    whole_access_units: bool,

    /// Stop after N pictures
    #[arg(short = 'n', long, value_name = "N", conflicts_with_all = ["check", "check_tensors", "check_access", "parse"])]
    frames: Option<u64>,

    /// Write one picture from about the middle to FILE.png as well, to look at
    #[arg(long, value_name = "FILE.png", conflicts_with_all = ["check", "check_tensors", "check_access", "parse"])]
    preview: Option<PathBuf>,

    /// Largest pictures to decode, in luma samples; by default those of level 6.2, 35651584
    #[arg(long, value_name = "N", conflicts_with = "parse")]
    max_luma_samples: Option<u64>,

    /// Have the driver raise the GPU's clocks while the program runs, for all programs on the GPU; never tried on
    /// hardware
    #[arg(long, conflicts_with = "parse")]
    boost: bool,

    /// Write when each engine worked on which picture, and what it waited for, to FILE in the Chrome trace event format
    /// (`ui.perfetto.dev` shows it), and say on standard error what bounds the speed
    #[arg(long, value_name = "FILE.json", conflicts_with_all = ["check", "check_tensors", "check_access", "parse"])]
    trace: Option<PathBuf>,

    /// Check each picture against the hash that its encoder sent with it (decoded picture hash SEI)
    #[arg(long, conflicts_with_all = ["check", "check_tensors", "check_access", "parse"])]
    verify: bool,

    /// Print pictures per second, engine cycles, CPU time, GPU memory and time to the first picture on standard error
    #[arg(long, conflicts_with_all = ["check", "check_tensors", "check_access", "parse"])]
    stats: bool,

    /// Print JSON: with --check and --parse the result, else the figures of --stats (on standard output, or standard
    /// error where pictures go to standard output)
    #[arg(long)]
    json: bool,

    /// Make tensors of the pictures on the GPU and write those: a NumPy array of all (-o OUT.npy), an array for each
    /// batch (-o out-%04d.npy), or else the MD5 of each
    ///
    /// SPEC is comma-separated key=value, and may be empty, for RGB bytes in the picture's own size:
    ///
    ///   size=WxH  crop=X:Y:W:H  resize=nearest|bilinear|bicubic  fit=stretch|letterbox or letterbox:FILL
    ///   dtype=u8|f16|bf16|f32  layout=nchw|nhwc  channels=rgb|bgr|grey|yuv  mean=M:M:M  std=S:S:S
    ///   matrix=auto|bt601|bt709|bt2020|fcc|smpte240m|identity|ycgco  range=auto|limited|full
    ///   chroma=interpolated|nearest  siting=0..5  orientation=none|auto|0|90|180|270|mirror|mirror:90|…
    ///
    /// NumPy has no bfloat16: an array of bf16 has the bits as uint16.
    #[arg(long, value_name = "SPEC", verbatim_doc_comment, conflicts_with_all = ["check", "check_tensors", "check_access", "parse", "verify", "preview"])]
    tensor: Option<TensorSpec>,

    /// Pictures of a tensor, and of a file of -o out-%04d.npy
    #[arg(long, value_name = "N", default_value_t = 1, requires = "tensor", value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,

    /// Decode every stream or container that has a .framemd5 file beside it, in these folders or files, and compare each picture
    #[arg(long, value_name = "DIR|FILE", num_args = 1..)]
    check: Vec<PathBuf>,

    /// Make tensors of some pictures of every stream or container in these folders or files, by twenty specs, and compare a part of
    /// their elements with exact arithmetic. What is printed is the same on every GPU: diff the output of two
    #[arg(long, value_name = "DIR|FILE", num_args = 1.., conflicts_with = "boost")]
    check_tensors: Vec<PathBuf>,

    /// Decode every file and stream in these folders or files in order, then a few pictures of it at a time, chosen at random, and
    /// compare them
    #[arg(long, value_name = "DIR|FILE", num_args = 1.., conflicts_with = "boost")]
    check_access: Vec<PathBuf>,

    /// How often --check-access asks for one to three pictures
    #[arg(long, value_name = "N", default_value_t = 20, conflicts_with_all = ["input", "check", "check_tensors", "parse"], value_parser = clap::value_parser!(u32).range(1..))]
    accesses: u32,

    /// Pictures of a stream that --check-tensors looks at: the first, the last of 30, and some between
    #[arg(long, value_name = "N", default_value_t = 3, conflicts_with_all = ["input", "check", "check_access", "parse"], value_parser = clap::value_parser!(u8).range(1..=8))]
    pictures: u8,

    /// Pixels that --check-tensors looks at, of each picture and spec; the corners are among them
    #[arg(long, value_name = "N", default_value_t = 200, conflicts_with_all = ["input", "check", "check_access", "parse"], value_parser = clap::value_parser!(u32).range(1..))]
    pixels: u32,

    /// Which pixels --check-tensors looks at, and which pictures --check-access asks for
    #[arg(long, value_name = "N", default_value_t = SEED, conflicts_with_all = ["input", "check", "parse"])]
    seed: u64,

    /// Streams that --check, --check-tensors and --check-access look at, at a time; by default twice the number of engines, and of
    /// --check-tensors no more than there are processors
    #[arg(short, long, value_name = "N", conflicts_with_all = ["input", "parse"], value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,

    /// Show the tracks of a container, and parameter sets and pictures of a stream; needs no GPU
    #[arg(long, value_name = "FILE", conflicts_with_all = ["device", "fallback"])]
    parse: Option<PathBuf>,

    /// Say what the driver is asked
    #[arg(short, long)]
    verbose: bool,
}

/// The options by which pictures are chosen.
const CHOICE: &str = "Which pictures";

const AFTER_HELP: &str = "\
Examples:
  nvdec-decode film.hevc                        MD5 of each picture, as ffmpeg -f framemd5
  nvdec-decode film.hevc -o film.yuv            raw planar samples
  nvdec-decode film.hevc -f y4m -o - | mpv -    watch it
  nvdec-decode film.hevc -n 1 -o first.png      the first picture
  nvdec-decode film.mp4 --at 1:30 -n 1 -o a.png the picture that is shown after one and a half minutes
  nvdec-decode film.mkv --start 60 --end 70 -o film.y4m
                                                ten seconds; no more is decoded than they need
  nvdec-decode film.mp4 --numbers 0,100,200-220 -o shots/
  nvdec-decode film.mp4 --every 2s --tensor size=224x224 -o film.npy
                                                a picture every two seconds as an array
  nvdec-decode film.mp4 --thumbnails 4x4 -o sheet.png
                                                sixteen pictures of it side by side
  nvdec-decode film.hevc -f null --verify --preview film.png
                                                checked, and one picture to look at
  nvdec-decode film.hevc -f null --verify       bit-exact by the stream's own hashes?
  nvdec-decode film.hevc -f null --stats        how fast?
  nvdec-decode film.hevc -f null --trace t.json why not faster? t.json opens in https://ui.perfetto.dev
  nvdec-decode film.hevc --tensor size=224x224,dtype=f16,mean=0.485:0.456:0.406,std=0.229:0.224:0.225 -o film.npy
                                                all pictures as one array [N, 3, 224, 224]
  nvdec-decode film.hevc --tensor size=640x640,fit=letterbox:0.5 --batch 16 -o batch-%04d.npy
                                                files of 16 pictures each
  nvdec-decode film.hevc --tensor size=224x224 --batch 16 -f null --stats
                                                how fast, with tensors on the GPU?
  nvdec-decode --check conformance/ --jobs 14   a whole corpus, over all engines
  nvdec-decode --check-tensors conformance/     tensors of a whole corpus against exact arithmetic
  nvdec-decode --check-access films/            pictures at random against those in order
  nvdec-decode --parse film.hevc                what is in it? (no GPU needed)
  camera | nvdec-decode - --whole-access-units --mode low-latency -f y4m -o - | mpv -
                                                live, if each write of camera is a whole access unit

Output is the same as FFmpeg's: yuv as -f rawvideo, framemd5 as -f framemd5 (all lines but #software),
y4m as -strict -1 -f yuv4mpegpipe. FFmpeg needs `-flags unaligned` before -i, or it moves the left edge
of the conformance window, and `-autoscale 0` after it, or it scales pictures to the first one's size.
A reader that closes the pipe ends the program quietly, with exit code 0.

Exit codes:
   0  done; with --verify no picture contradicts its hash; with --check no stream differs, with
      --check-tensors no element is too far off
   1  pictures differ, tensors are out of bounds, or writing or the GPU failed
   2  the command line makes no sense, or the pictures do not fit the format
  65  the stream is damaged or has no picture; each error is a warning on standard error, and what
      could be decoded is written
  66  the input cannot be read
  69  no GPU can be used (see --fallback), or it cannot decode this stream (the syntax element and the limit
      are named)
  77  no permission to use the GPU";

fn main() -> ExitCode {
    let start = Start::now();
    program::run("nvdec-decode", |args: Args| {
        logger::install(args.verbose);
        run(args, start)
    })
}

fn run(args: Args, start: Start) -> Result<Exit, Failure> {
    if let Some(input) = &args.parse {
        return parse::run(input, args.track, args.json);
    }
    let device = args.device.options()?;
    if !args.check_tensors.is_empty() {
        return tensor::check::run(&tensor::check::Options {
            paths: args.check_tensors,
            jobs: args.jobs.map(usize::from),
            device,
            engine: args.engine.unwrap_or(EngineChoice::Each),
            mode: args.mode.into(),
            max_luma_samples: args.max_luma_samples,
            amount: Amount { pictures: args.pictures.into(), pixels: args.pixels as usize, seed: args.seed },
            json: args.json,
        });
    }
    if !args.check_access.is_empty() {
        return check::access::run(&check::access::Options {
            paths: args.check_access,
            jobs: args.jobs.map(usize::from),
            device,
            engine: args.engine.unwrap_or(EngineChoice::Each),
            mode: args.mode.into(),
            max_luma_samples: args.max_luma_samples,
            amount: check::access::Amount { accesses: args.accesses, seed: args.seed },
            json: args.json,
        });
    }
    let Some(input) = args.input else {
        return check::run(&check::Options {
            paths: args.check,
            jobs: args.jobs.map(usize::from),
            device,
            engine: args.engine.unwrap_or(EngineChoice::Each),
            mode: args.mode.into(),
            max_luma_samples: args.max_luma_samples,
            boost: args.boost,
            json: args.json,
        });
    };
    let format = match args.tensor {
        _ if args.thumbnails.is_some() => Format::Png,
        Some(_) => output::tensors::choose(args.format, args.output.as_ref())?,
        None => output::choose(args.format, args.output.as_ref())?,
    };
    let wanted = Wanted {
        numbers: args.numbers,
        at: args.at,
        start: args.start,
        end: args.end,
        every: args.every,
        spread: args.thumbnails,
        frames: args.frames,
    };
    decode::run::run(&decode::run::Options {
        input,
        track: args.track,
        wanted,
        output: args.output,
        format,
        tensor: args.tensor.map(|spec| (spec, args.batch.into())),
        device,
        engine: args.engine.unwrap_or_default(),
        mode: args.mode.into(),
        surfaces: args.surfaces,
        max_luma_samples: args.max_luma_samples,
        boost: args.boost,
        begin_at: args.begin.into(),
        policy: args.on_damage.into(),
        taint: args.taint.into(),
        whole_access_units: args.whole_access_units,
        preview: args.preview,
        trace: args.trace,
        verify: args.verify,
        start,
        stats: args.stats,
        json: args.json,
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(args: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from([&["nvdec-decode"], args].concat())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn one_thing_at_a_time() {
        assert!(parse(&[]).is_err());
        assert!(parse(&["a.hevc", "--parse", "b.hevc"]).is_err());
        assert!(parse(&["--parse", "a.hevc", "--device", "nv:0"]).is_err());
        assert!(parse(&["--check", "a", "--verify"]).is_err());
        assert!(parse(&["a.hevc", "--jobs", "2"]).is_err());
        assert!(parse(&["--check", "a", "--jobs", "0"]).is_err());
        assert_eq!(parse(&["--check", "a", "b", "--engine", "all"]).unwrap().check.len(), 2);
    }

    #[test]
    fn clocks_are_raised_if_asked_for_alone() {
        assert!(!parse(&["a.hevc"]).unwrap().boost);
        assert!(parse(&["a.hevc", "--boost"]).unwrap().boost);
        assert!(parse(&["--check", "a", "--boost", "--max-luma-samples", "67108864"]).unwrap().boost);
        assert!(parse(&["--parse", "a.hevc", "--boost"]).is_err());
    }

    #[test]
    fn tensors() {
        let args = parse(&["a.hevc", "--tensor", "", "-o", "a.npy", "--batch", "4"]).unwrap();
        assert_eq!((args.tensor, args.batch), (Some(TensorSpec::new()), 4));
        let error = parse(&["a.hevc", "--tensor", "size=0x1"]).unwrap_err().to_string();
        assert!(error.contains("1x1 to 16384x16384"), "{error}");
        assert!(parse(&["a.hevc", "--batch", "4"]).is_err());
        assert!(parse(&["a.hevc", "--tensor", "", "--verify"]).is_err());
        assert!(parse(&["--check-tensors", "a", "--check", "b"]).is_err());
        assert!(parse(&["--check", "b", "--pixels", "5"]).is_err());
        let args = parse(&["--check-tensors", "a", "b", "--pictures", "2", "--jobs", "1"]).unwrap();
        assert_eq!((args.check_tensors.len(), args.pictures, args.pixels), (2, 2, 200));
    }

    #[test]
    fn output_options() {
        let args = parse(&["-", "-f", "p010", "-o", "-", "-n", "5", "--engine", "NVDEC3"]).unwrap();
        assert_eq!(args.input, Some("-".into()));
        assert_eq!((args.format, args.frames), (Some(Format::P010), Some(5)));
        assert_eq!(args.engine, Some("3".parse().unwrap()));
    }
}
