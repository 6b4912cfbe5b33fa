//! `nvdec-damage`: streams damaged on purpose, and what is said of their pictures.

#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use nvdec_tools::damage;
use nvdec_tools::device::DeviceArgs;
use nvdec_tools::exit::{Exit, Failure};
use nvdec_tools::{logger, program};

/// Damages streams in many ways, decodes them, and compares what the decoder says of each picture with what it is.
///
/// The sources are whole, put out all of their pictures, and have hashes of them (decoded picture hash SEI), which decide
/// whether a picture is wrong; whether it is right is decided by the pictures of the whole stream with the same order count.
#[derive(Debug, Parser)]
#[command(name = "nvdec-damage", version, after_long_help = AFTER_HELP)]
struct Args {
    /// Streams to damage, Annex B
    #[arg(required = true)]
    sources: Vec<PathBuf>,

    /// Damaged streams to make, in turn of each source and each kind of damage
    #[arg(long, value_name = "N", default_value_t = 700)]
    streams: usize,

    /// The same seed makes the same streams
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Have the decoder compare each picture with its hash, as programs may ask it to
    #[arg(long)]
    verify: bool,

    /// Leave the streams with a wrong picture that is said to be exact in this folder
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,

    #[command(flatten)]
    device: DeviceArgs,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Say what the driver is asked
    #[arg(short, long)]
    verbose: bool,
}

const AFTER_HELP: &str = "\
Columns: pictures said to be exact that are right, that are in no hash's way but no picture of the whole stream either, and
that contradict their hash; then pictures said to be damaged, predicted from damaged ones, or not refreshed yet, that are
wrong, and that are right after all.

A bit that is turned over in slice data may give other samples and break no rule: only the hash tells. Such pictures are in
the column WRONG of the last three kinds, unless --verify has the decoder compare them.

Exit codes: 0 no wrong picture was said to be exact where NAL units are whole; 1 some were; 65, 66, 69, 77 as nvdec-decode";

fn main() -> ExitCode {
    program::run("nvdec-damage", |args: Args| {
        logger::install(args.verbose);
        run(args)
    })
}

fn run(args: Args) -> Result<Exit, Failure> {
    damage::run(&damage::Options {
        sources: args.sources,
        streams: args.streams,
        seed: args.seed,
        device: args.device.options()?,
        verify: args.verify,
        save: args.save,
        json: args.json,
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
