//! Decodes streams on an emulated GPU with little memory, and compares their pictures where sums lie beside them.
//!
//! `tools/memcheck.sh` runs it under valgrind, which has no room for the memory of the GPUs that are modelled: the
//! model maps all of it. A stream that the engine refuses is no failure.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use hcq::Device;
use hcq::kernel::emulated::{EmulatedKernel, GpuModel};
use nvdec::{Context, Engines, Mode};
use nvdec_tools::check::Totals;
use nvdec_tools::check::corpus::corpus;
use nvdec_tools::check::expected::Expected;
use nvdec_tools::check::stream::check_stream;
use nvdec_tools::decode::{Consumer, Picture, Settings, Whole, decode};
use nvdec_tools::input::{self, other::Reader};
use nvdec_tools::{Exit, Failure};

/// GPU memory in MiB: enough for 4096x2304 with few surfaces.
const GPU_MEMORY: u64 = 1536;
/// Host memory in bytes.
const HOST_MEMORY: u64 = 512 << 20;

/// Copies pictures to the host and looks at none.
struct Unseen(Vec<u8>);

impl Consumer for Unseen {
    fn picture(&mut self, picture: &mut Picture) -> Result<(), Failure> {
        self.0.clear();
        picture.write_planar(&mut self.0);
        Ok(())
    }

    fn warning(&mut self, error: nvdec::Error) {
        println!("warning: {error}");
    }
}

fn context() -> Result<Arc<Context>, Box<dyn std::error::Error>> {
    let gpu = GpuModel { vidmem_mib: GPU_MEMORY, ..GpuModel::h200() };
    let kernel = nvdec::emulated::attach(EmulatedKernel::builder().gpu(gpu).sysmem(HOST_MEMORY)).build()?;
    Ok(Context::new(Device::open(Arc::new(kernel), 0)?)?)
}

fn run(paths: &[PathBuf]) -> Result<Exit, Box<dyn std::error::Error>> {
    let context = context()?;
    let settings = || Settings { engines: Engines::LeastBusy, mode: Mode::LowLatency, ..Settings::default() };
    let mut results = Vec::new();
    let mut worst = Exit::Success;
    for entry in corpus(paths)? {
        let name = entry.stream.display().to_string();
        let mut file = match input::open(&entry.stream, Reader::File, false) {
            Ok(file) => file,
            Err(failure @ Failure::NotAnnexB { .. }) => {
                println!("refused    {name}  {failure}");
                continue;
            }
            Err(failure) => return Err(failure.into()),
        };
        match &entry.sums {
            Ok(sums) => {
                let result = check_stream(
                    &context,
                    &name,
                    Whole::Stream(Box::new(file)),
                    settings(),
                    &Expected::read(sums)?,
                );
                println!("{result}");
                results.push(result);
            }
            Err(_) => match decode(&context, &name, &mut file, settings(), &mut Unseen(Vec::new())) {
                Ok(summary) => {
                    println!("decoded    {name}  {} pictures, nothing to compare", summary.pictures)
                }
                Err(failure) if matches!(failure.exit(), Exit::Unavailable | Exit::Data) => {
                    println!("refused    {name}  {failure}");
                }
                Err(failure) => {
                    println!("ERROR      {name}  {failure}");
                    worst = Exit::Fault;
                }
            },
        }
    }
    // A stream that is refused has nothing decoded, which is the exit code of a program that was to decode it.
    Ok(match Totals::of(&results).exit() {
        Exit::Success | Exit::Unavailable => worst,
        other => other,
    })
}

fn main() -> ExitCode {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if paths.is_empty() {
        eprintln!("usage: small_gpu STREAM...");
        return ExitCode::from(Exit::Usage.code());
    }
    let exit = run(&paths).unwrap_or_else(|error| {
        eprintln!("small_gpu: {error}");
        Exit::Fault
    });
    ExitCode::from(exit.code())
}
