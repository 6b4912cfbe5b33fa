//! How fast a clip becomes tensors in memory of CUDA, by our compute queue or on a stream of CUDA, and whether both make the same.
//!
//! ```sh
//! cargo run --release -p nvdec-cuda --example stepconvert -- --clip clip.hevc --in cuda --seconds 8
//! cargo run --release -p nvdec-cuda --example stepconvert -- --clip clip.hevc --check
//! ```
//!
//! Decodes the clip over and over on all engines, to tensors of 224x224 in float16, eight pictures each, which nobody reads.
//! Prints a line of JSON: pictures a second, and what the one thread takes of a processor for a picture. With `--check` the
//! first pictures are converted both ways and each element is compared; it ends with 1 if one differs.
//!
//! What either way costs a program that trains meanwhile shows in that program's own process: the example `inprocess` has the
//! same loop for `tools/interop/beside.py`.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use nvdec::Context;
use nvdec_cuda::Cuda;

mod converting;

use converting::Result;
use converting::check::check;
use converting::meter::{Meter, this_thread};
use converting::options::Options;
use converting::work::Work;

fn run() -> Result<ExitCode> {
    let options = Options::parse(std::env::args().skip(1)).inspect_err(|_| {
        eprintln!("usage: stepconvert {}", Options::USAGE);
    })?;
    let context = Context::open(options.device)?;
    let cuda = Cuda::load()?.context_of(context.device())?;
    if options.check {
        let (report, is_same) = check(&options, &context, &cuda)?;
        println!("{report}");
        return Ok(if is_same { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let mut work = Work::new(&options, &context, &cuda)?;
    let mut meter = Meter::new(work.counts(), this_thread());
    for seconds in [options.warmup, options.seconds] {
        meter.read();
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        while Instant::now() < end {
            work.step()?;
        }
    }
    let mut report = meter.read();
    work.finish()?;
    report["in"] = options.place.name().into();
    report["spec"] = options.spec.to_string().into();
    println!("{report}");
    Ok(ExitCode::SUCCESS)
}

fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        eprintln!("stepconvert: {error}");
        ExitCode::FAILURE
    })
}
