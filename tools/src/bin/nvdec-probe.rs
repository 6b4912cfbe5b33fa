//! `nvdec-probe`: can this machine decode, and if not, why not?

use std::process::ExitCode;

use clap::Parser;
use nvdec::DeviceChoice;
use nvdec_tools::device::{self, EngineChoice};
use nvdec_tools::exit::{Exit, Failure};
use nvdec_tools::{logger, probe};

/// Says which NVIDIA GPUs there are, which video engines they have, what those decode, and what stands in the way of
/// using them.
///
/// Nothing but the kernel driver's device nodes is needed: no CUDA, no NVIDIA library, no root.
#[derive(Debug, Parser)]
#[command(name = "nvdec-probe", version, after_long_help = AFTER_HELP)]
struct Args {
    /// Print JSON; its fields are described in the README of the tools
    #[arg(long)]
    json: bool,

    /// Look at one GPU only, by its number (the same as --device nv:N)
    #[arg(long, value_name = "N", conflicts_with = "device")]
    gpu: Option<usize>,

    /// auto (every GPU), nv:N, or emulated (an H200 in software); by default what the environment variable NVDEC_DEVICE
    /// says, auto without it
    #[arg(long, value_name = "DEVICE")]
    device: Option<DeviceChoice>,

    /// Decode small built-in clips on every NVDEC engine and compare each picture
    #[arg(long)]
    selftest: bool,

    /// Engine of the self-test, by its NVDEC number, or all
    #[arg(long, value_name = "N", default_value = "all", requires = "selftest")]
    engine: EngineChoice,

    /// Say what the driver is asked
    #[arg(short, long)]
    verbose: bool,
}

const AFTER_HELP: &str = "\
Examples:
  nvdec-probe                      what is here, in a screenful
  nvdec-probe --json | jq '.gpus[].engines[] | select(.kind == \"NVDEC\").name'
  nvdec-probe --selftest           prove it: bit-exact on every engine?
  nvdec-probe --selftest --gpu 1 --engine 4

Exit codes:
   0  a GPU is usable (and the self-test, if asked for, passed)
   1  a self-test failed, or the driver failed
   2  the command line makes no sense
  69  no usable engine: no GPU, no driver, no NVDEC, driver too old
  77  no permission: device nodes or a sandbox refuse this user or container";

fn main() -> ExitCode {
    let args = Args::parse();
    logger::install(args.verbose);
    run(&args).unwrap_or_else(|failure| failure.report("nvdec-probe")).into()
}

fn run(args: &Args) -> Result<Exit, Failure> {
    let device = device::choose(args.gpu.map(DeviceChoice::Nv).or(args.device))?;
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
        for wrong in [&["--gpu", "0", "--device", "nv:1"][..], &["--engine", "1"], &["--device", "cuda"]] {
            assert!(Args::try_parse_from([&["nvdec-probe"], wrong].concat()).is_err(), "{wrong:?}");
        }
    }
}
