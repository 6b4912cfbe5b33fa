//! `nvdec-bench`: what decoding costs, measured so that it can be repeated.
//!
//! Every benchmark is a function from options to a result, which is text for people and JSON for programs. On the
//! emulated GPU all of them run and say so; what they then measure is this machine's processor.

pub mod bound;
pub mod detile;
pub mod engines;
pub mod feed;
pub mod many;
pub mod measure;
pub mod reconfigure;
pub mod schedule;
pub mod start;
pub mod stream;
pub mod tensor;

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use nvdec::Context;
use serde::Serialize;

use crate::console;
use crate::exit::{Exit, Failure};
use crate::film::Film;
use crate::input::{self, Given, Input, other::Reader};

/// Stands before every result. Field names are those of the JSON output.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Raised when a field changes its meaning.
    pub schema: u32,
    /// The benchmark.
    pub benchmark: &'static str,
    /// Name of the GPU.
    pub device: String,
    /// Whether it is a model in this process.
    pub emulated: bool,
    /// The driver's release.
    pub driver: String,
    /// Its NVDEC engines.
    pub engines: Vec<String>,
}

impl Machine {
    /// The machine behind `context`, for a result of `benchmark`.
    pub fn of(context: &Context, benchmark: &'static str) -> Machine {
        let device = context.device();
        Machine {
            schema: 2,
            benchmark,
            device: device.name().unwrap_or_else(|_| "NVIDIA GPU".to_owned()),
            emulated: context.is_emulated(),
            driver: device.driver_version().to_string(),
            engines: context.engines().iter().map(|engine| engine.to_string()).collect(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.device)?;
        if self.emulated {
            f.write_str(" (emulated: times are those of this processor)")?;
        }
        write!(f, ", {} engines, driver {}", self.engines.len(), self.driver)
    }
}

#[derive(Serialize)]
struct Document<'a, T> {
    #[serde(flatten)]
    machine: &'a Machine,
    #[serde(flatten)]
    result: &'a T,
}

/// Prints a result to standard output.
pub fn print<T: Serialize + fmt::Display>(
    machine: &Machine,
    result: &T,
    json: bool,
) -> Result<Exit, Failure> {
    let text = match json {
        true => {
            let document = Document { machine, result };
            let mut text = serde_json::to_string_pretty(&document).expect("results have string keys only");
            text.push('\n');
            text
        }
        false => format!("{machine}\n{result}"),
    };
    console::print(&text)?;
    Ok(Exit::Success)
}

/// A stream that can be read piece by piece, or what [`read`] makes of a container.
#[derive(Debug)]
pub enum Opened {
    /// A byte stream.
    Stream(Input),
    /// What a decoder is sent of the track that it prefers, with start codes.
    Container(Vec<u8>),
}

/// Opens a stream; `-` is standard input.
///
/// # Errors
///
/// As [`input::open_any`], [`Film::open`] and [`Film::byte_stream`].
pub fn open(path: &Path) -> Result<Opened, Failure> {
    Ok(match input::open_any(path, Reader::File, false)? {
        Given::Stream(input) => Opened::Stream(input),
        Given::Container(name, file) => Opened::Container(Film::open(&name, file, None)?.byte_stream()?),
    })
}

/// A whole stream in memory; `-` is standard input. Of a container it is what a decoder is sent of the track that it prefers, with
/// start codes.
///
/// # Errors
///
/// As [`open`], and those of reading.
pub fn read(path: &Path) -> Result<Arc<[u8]>, Failure> {
    let mut input = match open(path)? {
        Opened::Stream(input) => input,
        Opened::Container(bytes) => return Ok(bytes.into()),
    };
    let mut data = Vec::with_capacity(input.size().and_then(|size| size.try_into().ok()).unwrap_or(0));
    match input.read_to_end(&mut data) {
        Ok(_) => Ok(data.into()),
        Err(source) => Err(Failure::Input { path: input.name().to_owned(), source }),
    }
}

#[cfg(test)]
mod tests;
