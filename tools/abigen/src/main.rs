//! `nvkernel-abigen`: generates the committed bindings of `nvkernel-sys`, and proves its layout table
//! against NVIDIA's own headers.
//!
//! `libclang` is loaded at run time: `LIBCLANG_PATH` names the directory of `libclang.so` when it is not in a
//! place the loader searches.

mod check;
mod classes;
mod error;
mod generate;
mod probe;
mod record;
mod source;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::error::Error;

/// Generates the bindings of nvkernel-sys and checks its layouts against NVIDIA's headers.
#[derive(Parser)]
#[command(version, about)]
struct Args {
    /// Root of the project's checkout.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// Write the bindings into nvkernel-sys/src/generated.
    #[arg(long)]
    write: bool,
    /// Regenerate and compare with the committed bindings; exit status 1 when they differ.
    #[arg(long)]
    verify: bool,
    /// Compare every structure and number with the headers of a checkout (or git directory) of
    /// open-gpu-kernel-modules, or methods and bit tables with those of a checkout of open-gpu-doc.
    #[arg(long, value_name = "PATH")]
    check: Option<PathBuf>,
    /// Releases to check, as tags of that repository; `all` for every tag from the oldest supported release on.
    #[arg(long, value_name = "TAG", requires = "check", num_args = 1..)]
    tag: Vec<String>,
}

fn run(args: &Args) -> Result<bool, Error> {
    if !args.write && !args.verify && args.check.is_none() {
        return Err(Error::NothingToDo);
    }
    let mut clean = true;
    if args.write || args.verify {
        let files = generate::generate(&args.root)?;
        if args.write {
            generate::write(&args.root, &files)?;
        }
        if args.verify {
            clean &= generate::verify(&args.root, &files)?;
        }
    }
    if let Some(path) = &args.check {
        clean &= check::check(path, &args.tag)?;
    }
    Ok(clean)
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("nvkernel-abigen: {error}");
            ExitCode::from(2)
        }
    }
}
