//! A process without CUDA that decodes a clip and gives another one its pictures as tensors, without a copy and without a
//! wait by a CPU. `tools/interop/consume.py` is the other one, with PyTorch.
//!
//! ```sh
//! cargo run --release -p nvdec-cuda --example serve -- --clip clip.hevc --socket /tmp/tensors
//! python3 tools/interop/consume.py --socket /tmp/tensors
//! ```
//!
//! With `--into` the tensors are written to memory that the other one allocated. Decodes the clip once before, for what its
//! pictures should be, and once more should the other one be gone before the end. Prints JSON; ends with 1 if a picture was
//! wrong then.
#![forbid(unsafe_code)]

use std::os::unix::net::UnixListener;
use std::process::ExitCode;

mod serving;

use serving::error::{Error, Result};
use serving::options::Options;
use serving::producer::Producer;
use serving::session::serve;

fn run() -> Result<ExitCode> {
    let options = Options::parse(std::env::args().skip(1))?;
    let path = options.socket.clone().ok_or_else(|| Error::Options("--socket: no path".into()))?;
    let listener = UnixListener::bind(&path).map_err(Error::io(path.display().to_string()))?;
    let context = options.open()?;
    let mut producer = Producer::new(&context, options.read_clip()?, &options)?;
    let (stream, _) = listener.accept().map_err(Error::io(path.display().to_string()))?;
    let _ = std::fs::remove_file(&path);
    let served = serve(&mut producer, stream)?;

    // Whoever is gone took nothing with him: the same pictures come again.
    let again = if served.is_finished { None } else { Some(producer.again()?) };
    let maps = std::fs::read_to_string("/proc/self/maps").map_err(Error::io("/proc/self/maps"))?;
    let pictures = u64::from(served.submitted) * options.batch as u64;
    let report = serde_json::json!({
        "consumer": if served.is_finished { "finished" } else { "gone" },
        "pictures": pictures,
        "seconds": (served.seconds * 1e3).round() / 1e3,
        "pictures_per_second": (pictures as f64 / served.seconds).round(),
        "into": options.into,
        "ignored_done": options.ignore_done,
        "cuda_in_process": maps.contains("libcuda"),
        "again": again.map(|(pictures, wrong)| serde_json::json!({ "pictures": pictures, "wrong": wrong })),
    });
    println!("{report}");
    Ok(if again.is_some_and(|(_, wrong)| wrong > 0) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        eprintln!("serve: {error}");
        if matches!(error, Error::Options(_)) {
            eprintln!("usage: serve {}", Options::USAGE);
        }
        ExitCode::FAILURE
    })
}
