//! `nvdec-replay`: what an engine was told, recorded, submitted again, printed, compared and made smaller.

#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use nvdec_tools::device::DeviceArgs;
use nvdec_tools::engines::EngineChoice;
use nvdec_tools::exit::{Exit, Failure};
use nvdec_tools::replay::{diff, print, record, run, shrink};
use nvdec_tools::{logger, program};

/// Records what an NVDEC engine is told to decode a stream, and submits it again: elsewhere, later, or
/// without a GPU.
///
/// A capture (.nvcap) holds every submission with all that the engine reads, what it reported, and hashes of
/// what it wrote. Surfaces, motion vectors and scratch are not in it: they are made anew, so that a capture
/// from hardware can be replayed on the emulated GPU and the reverse.
#[derive(Debug, Parser)]
#[command(name = "nvdec-replay", version, after_long_help = AFTER_HELP)]
struct Args {
    #[command(subcommand)]
    command: Command,

    /// Say what the driver is asked; with shrink, show what the command prints
    #[arg(short, long, global = true)]
    verbose: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Decode a stream and write down every submission
    ///
    /// The file holds, for each picture: class and driver release, methods, descriptor, tables, slice data,
    /// surfaces by number, what the engine waited for, its status, and an MD5 of each plane with a checksum
    /// for each block of 64x64. If the GPU or the decoder fails, what came before is a whole capture, which
    /// says what ended it.
    #[command(
        after_long_help = "Exit codes: 0 recorded; 65 the stream is damaged (what could be decoded is recorded); \
                                 66, 69, 77 as nvdec-decode"
    )]
    Record {
        /// The stream, Annex B; - is standard input
        input: PathBuf,
        /// The capture to write
        #[arg(short, long, value_name = "X.nvcap")]
        output: PathBuf,
        #[command(flatten)]
        device: DeviceArgs,
        /// all (spread the stream over them), one (the least busy), or NVDEC numbers such as 3 or 1,2,5; all by default
        #[arg(long, value_name = "N")]
        engine: Option<EngineChoice>,
        /// Stop after N pictures
        #[arg(short = 'n', long, value_name = "N")]
        frames: Option<u64>,
        #[command(flatten)]
        json: Json,
    },
    /// Submit a capture again and compare status and samples of every picture
    ///
    /// Prints one line: that all is identical, or the first picture that is not, with plane and block. The
    /// whole capture is looked at first: one that would make the engine write outside of what is made for it
    /// is refused.
    #[command(
        after_long_help = "Exit codes: 0 identical; 1 something differs; 65 the capture is damaged or hostile; \
                                 69 this hardware cannot decode such pictures; 66, 77 as nvdec-decode"
    )]
    Run {
        /// The capture
        #[arg(value_name = "X.nvcap")]
        input: PathBuf,
        #[command(flatten)]
        device: DeviceArgs,
        /// NVDEC numbers such as 3 or 1,2,5, or all: pictures in turn; by default the engines of the recording
        #[arg(long, value_name = "N|all")]
        engine: Option<EngineChoice>,
        /// The capture is your own: do not limit memory and work by the size of its file
        #[arg(long)]
        trusted: bool,
        #[command(flatten)]
        json: Json,
    },
    /// Show methods and descriptor by name, NAL units and slice segment headers beside them
    Print {
        /// The capture
        #[arg(value_name = "X.nvcap")]
        input: PathBuf,
        /// One picture only, counted from 0
        #[arg(short, long, value_name = "N")]
        picture: Option<usize>,
        /// Show fields of the descriptor that are 0, too
        #[arg(long)]
        zeros: bool,
        #[command(flatten)]
        json: Json,
    },
    /// Show the first picture that two captures have different, field by field
    ///
    /// Engines, points, waits, cycle counts, scratch, and where surfaces and motion vectors lie belong to a run and do
    /// not count: what is compared is which picture an engine is told to refer to.
    #[command(
        after_long_help = "Exit codes: 0 nothing differs; 1 something does; 65, 66 a capture cannot be read"
    )]
    Diff {
        /// One capture
        a: PathBuf,
        /// The other
        b: PathBuf,
        #[command(flatten)]
        json: Json,
    },
    /// Find the smallest capture for which a command still succeeds
    ///
    /// Leaves out pictures, always together with those that refer to them, then slice segments. The output
    /// file holds the smallest capture found so far at every moment. A picture that loses slice segments
    /// loses what is expected of it.
    #[command(after_long_help = "Example: the least that still differs on the emulated GPU\n  \
        nvdec-replay shrink bad.nvcap --while 'nvdec-replay run --device emulated {}; test $? = 1'\n\n\
        Exit codes: 0 done; 2 the command fails on the whole capture; 65, 66 the capture cannot be read")]
    Shrink {
        /// The capture
        #[arg(value_name = "X.nvcap")]
        input: PathBuf,
        /// Where to write; by default X.min.nvcap
        #[arg(short, long, value_name = "OUT")]
        output: Option<PathBuf>,
        /// Shell command; {} stands for the candidate, which comes last without it. Succeeds by ending with 0
        #[arg(long = "while", value_name = "CMD")]
        command: String,
        /// Seconds that the command may take; one that takes longer fails
        #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = clap::value_parser!(u32).range(1..))]
        timeout: u32,
        #[command(flatten)]
        json: Json,
    },
}

#[derive(Debug, clap::Args)]
struct Json {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
Examples:
  nvdec-replay record film.hevc -o film.nvcap           what was this engine told?
  nvdec-replay run film.nvcap --engine all              is every engine of one mind?
  nvdec-replay run film.nvcap --device emulated         does the emulated GPU agree with the hardware?
  nvdec-replay print film.nvcap --picture 7             methods, descriptor, slice headers
  nvdec-replay diff before.nvcap after.nvcap            what does another version tell the engine?
  nvdec-replay shrink film.nvcap --while 'nvdec-replay run {}; test $? = 1'

Exit codes:
   0  done; run: identical; diff: nothing differs
   1  run, diff: something differs; or writing or the GPU failed
   2  the command line makes no sense
  65  the capture is damaged or hostile; record: the stream is damaged
  66  the input cannot be read
  69  this hardware cannot: no usable GPU, or pictures that its class does not decode
  77  no permission to use the GPU

docs/nvcap.md describes the file.";

fn main() -> ExitCode {
    program::run("nvdec-replay", |args: Args| {
        logger::install(args.verbose);
        dispatch(args)
    })
}

fn dispatch(args: Args) -> Result<Exit, Failure> {
    match args.command {
        Command::Record { input, output, device, engine, frames, json } => record::run(&record::Options {
            input,
            output,
            device: device.options()?,
            engine: engine.unwrap_or_default(),
            frames,
            json: json.json,
        }),
        Command::Run { input, device, engine, trusted, json } => {
            run::run(&run::Options { input, device: device.options()?, engine, trusted, json: json.json })
        }
        Command::Print { input, picture, zeros, json } => {
            print::run(&print::Options { input, picture, zeros, json: json.json })
        }
        Command::Diff { a, b, json } => diff::run(&diff::Options { a, b, json: json.json }),
        Command::Shrink { input, output, command, timeout, json } => shrink::run(&shrink::Options {
            input,
            output,
            command,
            timeout: Duration::from_secs(timeout.into()),
            verbose: args.verbose,
            json: json.json,
        }),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
        let parse = |args: &[&str]| Args::try_parse_from([&["nvdec-replay"], args].concat());
        assert!(parse(&[]).is_err());
        assert!(parse(&["record", "a.hevc"]).is_err(), "a capture needs a name");
        assert!(parse(&["shrink", "a.nvcap"]).is_err(), "a command is needed");
        assert!(parse(&["run", "a.nvcap", "--engine", "all"]).is_ok());
        assert!(parse(&["run", "a.nvcap", "--engine", "9"]).is_err());
    }
}
