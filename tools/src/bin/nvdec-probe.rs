//! `nvdec-probe`: can this machine decode, and if not, why not?

#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use nvdec::DeviceChoice;
use nvdec_tools::device;
use nvdec_tools::engines::EngineChoice;
use nvdec_tools::exit::{Exit, Failure};
use nvdec_tools::probe::{self, watch};
use nvdec_tools::{explain, logger, program};

/// Says which NVIDIA GPUs there are, which video engines they have, what those decode, and what stands in the
/// way of using them.
///
/// Nothing but the kernel driver's device nodes is needed: no CUDA, no NVIDIA library, no root.
#[derive(Debug, Parser)]
#[command(name = "nvdec-probe", version, after_long_help = AFTER_HELP)]
struct Args {
    /// Explain this file instead, without a GPU: its container and tracks, the stream, where decoding can begin, which GPU
    /// generations decode it or the syntax element that they fail at, how much memory and how many engines it takes
    #[arg(value_name = "FILE", conflicts_with_all = ["gpu", "device", "selftest", "watch"])]
    file: Option<PathBuf>,

    /// Which track of FILE, by its number from 0; by default the first one with HEVC
    #[arg(long, value_name = "N", requires = "file")]
    track: Option<usize>,

    /// Print JSON; its fields are described in the README of the tools
    #[arg(long)]
    json: bool,

    /// Look at one GPU only, by its number (the same as --device nv:N)
    #[arg(long, value_name = "N", conflicts_with = "device")]
    gpu: Option<usize>,

    /// auto (every GPU), nv:N, or emulated (an H200 in software); by default what the environment variable
    /// NVDEC_DEVICE says, auto without it
    #[arg(long, value_name = "DEVICE")]
    device: Option<DeviceChoice>,

    /// Decode small built-in clips on every NVDEC engine and compare each picture, then make tensors of one picture of
    /// each chroma format and depth and compare them with exact arithmetic
    #[arg(long)]
    selftest: bool,

    /// Engine of the self-test, by its NVDEC number, or all
    #[arg(long, value_name = "N", default_value = "all", requires = "selftest")]
    engine: EngineChoice,

    /// Show how busy each NVDEC engine is, for all programs together, until Ctrl-C
    ///
    /// At random times each engine gets an empty submission. If it answers late, it was at work:
    /// the share of late answers is the share of time in which it was busy, and "95 % sure" is what that may
    /// be after so few samples. The wait is about what the next picture of any program would wait: the one in the
    /// middle, and the longest.
    ///
    /// No privilege is needed. Others who use the GPU pay with a switch of channels for each sample of an
    /// engine, and with the memory of two channels on each engine, a few MiB apiece. Work that is
    /// shorter than a late answer takes is not seen.
    ///
    /// On a terminal the figures stay in their place; in a pipe they follow each other, with --json as one
    /// object a line.
    #[arg(long, conflicts_with = "selftest")]
    watch: bool,

    /// How long --watch collects samples for a figure, 0.1 to 3600
    #[arg(long, value_name = "SECONDS", default_value = "1", requires = "watch", value_parser = interval)]
    interval: Duration,

    /// End --watch after N intervals
    #[arg(long, value_name = "N", requires = "watch", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Samples that --watch takes of each engine a second, on average, 1 to 1000. More are more exact, and
    /// disturb more
    #[arg(long, value_name = "PER_SECOND", default_value = "50", requires = "watch", value_parser = rate)]
    rate: f64,

    /// Say what the driver is asked
    #[arg(short, long)]
    verbose: bool,
}

const AFTER_HELP: &str = "\
Examples:
  nvdec-probe                      what is here, in a screenful
  nvdec-probe film.mp4             what is it, which GPUs decode it, what does that take? (no GPU needed)
  nvdec-probe --json | jq '.gpus[].engines[] | select(.kind == \"NVDEC\").name'
  nvdec-probe --selftest           prove it: bit-exact on every engine?
  nvdec-probe --selftest --gpu 1 --engine 4
  nvdec-probe --watch              who decodes how much? A line for each engine, every second
  nvdec-probe --watch --json --count 1 --interval 10 | jq '.gpus[].engines[] | {engine, busy}'

Exit codes:
   0  a GPU is usable (and the self-test, if asked for, passed); --watch: all intervals are done;
      FILE: a GPU generation decodes it
   1  a self-test failed, or the driver failed; --watch: an engine could not be watched to the end
   2  the command line makes no sense
  65  FILE is damaged, holds no picture, or is something else
  66  FILE cannot be read
  69  no usable engine: no GPU, no driver, no NVDEC, driver too old; FILE: no generation decodes it
  77  no permission: device nodes or a sandbox refuse this user or container";

/// Seconds of `--interval`.
fn interval(text: &str) -> Result<Duration, String> {
    number(text, 0.1, 3600.0).map(Duration::from_secs_f64)
}

/// Samples a second of `--rate`.
fn rate(text: &str) -> Result<f64, String> {
    number(text, 1.0, 1000.0)
}

fn number(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("a number from {least} to {most} is wanted"))
}

fn main() -> ExitCode {
    program::run("nvdec-probe", |args: Args| {
        logger::install(args.verbose);
        run(&args)
    })
}

fn run(args: &Args) -> Result<Exit, Failure> {
    if let Some(file) = &args.file {
        return explain::run(file, args.track, args.json);
    }
    let device = device::choose(args.gpu.map(DeviceChoice::Nv).or(args.device))?;
    if args.watch {
        let Args { interval, count, rate, json, .. } = *args;
        return watch::run(&watch::Options { device, interval, count, rate, json });
    }
    probe::run(&probe::Options { device, json: args.json, selftest: args.selftest, engine: args.engine })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn options_are_understood() {
        let args =
            Args::try_parse_from(["nvdec-probe", "--selftest", "--engine", "4", "--gpu", "1"]).unwrap();
        assert_eq!((args.engine, args.gpu), ("4".parse().unwrap(), Some(1)));
        let watch =
            ["nvdec-probe", "--watch", "--interval", "0.5", "--count", "3", "--rate", "200", "--json"];
        let args = Args::try_parse_from(watch).unwrap();
        assert_eq!((args.interval, args.count, args.rate), (Duration::from_millis(500), Some(3), 200.0));
        for wrong in [
            &["--gpu", "0", "--device", "nv:1"][..],
            &["--engine", "1"],
            &["--device", "cuda"],
            &["--watch", "--selftest"],
            &["film.mp4", "--selftest"],
            &["film.mp4", "--watch"],
            &["--track", "1"],
            &["--interval", "2"],
            &["--count", "2"],
            &["--rate", "20"],
            &["--watch", "--interval", "0"],
            &["--watch", "--interval", "1e300"],
            &["--watch", "--interval", "nan"],
            &["--watch", "--count", "0"],
            &["--watch", "--rate", "0.5"],
            &["--watch", "--rate", "inf"],
        ] {
            assert!(Args::try_parse_from([&["nvdec-probe"], wrong].concat()).is_err(), "{wrong:?}");
        }
    }
}
