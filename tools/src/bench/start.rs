//! From the start of the program to the first picture, step by step, in processes of their own.

use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use hcq::Device;
use nvdec::tensor::{Dtype, TensorPool};
use nvdec::{Codec, Context, Decoder, DecoderOptions, DeviceChoice, Source, TensorSpec};
use serde::{Deserialize, Serialize};

use super::measure::{Spread, ms};
use crate::device;
use crate::exit::{Exit, Failure};
use crate::stats::Start;

/// The steps of one process, in ms, each from the end of the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Steps {
    /// From the start of `main` until the command line is read and the stream is opened.
    pub main: f64,
    /// The driver's device nodes, client and address space; on the emulated GPU, the GPU itself.
    pub device: f64,
    /// Engines and classes.
    pub context: f64,
    /// A decoder without memory for pictures.
    pub decoder: f64,
    /// The first picture submitted: as much of the stream read as that takes, channels opened, memory allocated.
    pub submit: f64,
    /// The first picture decoded.
    pub picture: f64,
    /// All of it.
    pub total: f64,
    /// Behind that, a tensor of the picture, 224x224 of float16: kernels loaded, the compute channel opened.
    pub tensor: f64,
}

/// What came of it. Field names are those of the JSON output.
#[derive(Clone, Debug, Serialize)]
pub struct Started {
    /// The stream.
    pub stream: String,
    /// Processes started, one after the other.
    pub rounds: u32,
    /// From the start of the process to its end, as the one that started it sees it, in ms.
    pub process_ms: Spread,
    /// See [`Steps`].
    pub main: Spread,
    /// See [`Steps`].
    pub device: Spread,
    /// See [`Steps`].
    pub context: Spread,
    /// See [`Steps`].
    pub decoder: Spread,
    /// See [`Steps`].
    pub submit: Spread,
    /// See [`Steps`].
    pub picture: Spread,
    /// See [`Steps`].
    pub total: Spread,
    /// See [`Steps`].
    pub tensor: Spread,
    /// `total` and `tensor`.
    pub total_with_tensor: Spread,
}

/// Goes through the steps in this process; `None` if `source` has no picture. `start` is that of `main`.
///
/// # Errors
///
/// Those of the device and the decoder. `auto` means the first GPU here, and no other.
pub fn once(choice: DeviceChoice, source: impl Source, start: Start) -> Result<Option<Steps>, Failure> {
    let mut last = 0.0;
    let mut step = || {
        let now = ms(start.elapsed());
        now - std::mem::replace(&mut last, now)
    };
    let main = step();
    let index = if let DeviceChoice::Nv(index) = choice { index } else { 0 };
    let opened = choice.kernel().and_then(|kernel| Ok(Device::open(kernel, index)?));
    let opened = opened.map_err(|error| device::explain(&error))?;
    let device = step();
    let context: Arc<Context> = Context::new(opened).map_err(|error| device::explain(&error))?;
    let in_context = step();
    let mut decoder = Decoder::new(&context, Codec::Hevc, DecoderOptions::default())?;
    let in_decoder = step();
    let Some(frame) = decoder.frames(source).next().transpose()? else { return Ok(None) };
    let submit = step();
    frame.status()?;
    let picture = step();
    let total = main + device + in_context + in_decoder + submit + picture;
    let spec = TensorSpec::new().size(224, 224).dtype(Dtype::F16);
    let mut tensor = TensorPool::new(&context, &spec, 1, 1)?.begin(&frame)?;
    tensor.push(&frame)?;
    tensor.finish()?.wait()?;
    let tensor = step();
    Ok(Some(Steps { main, device, context: in_context, decoder: in_decoder, submit, picture, total, tensor }))
}

/// Has `program` do it `rounds` times, each in a process of its own.
///
/// # Errors
///
/// [`Failure::Child`] if a process cannot be started, or says that it failed.
pub fn run(
    program: &Path,
    choice: DeviceChoice,
    input: Option<&Path>,
    name: &str,
    rounds: u32,
) -> Result<Started, Failure> {
    let mut steps: Vec<Steps> = Vec::new();
    let mut processes = Vec::new();
    for _ in 0..rounds {
        let mut command = Command::new(program);
        command.args(["start", "--once", "--json", "--device", &choice.to_string()]).args(input);
        let failure = |what: String| Failure::Child { what, exit: Exit::Fault };
        let begin = Instant::now();
        let output = command.stdin(Stdio::null()).output().map_err(|error| failure(error.to_string()))?;
        processes.push(ms(begin.elapsed()));
        if !output.status.success() {
            let what = String::from_utf8_lossy(&output.stderr);
            let what = what.trim().trim_start_matches("nvdec-bench: ").to_owned();
            return Err(Failure::Child { what, exit: Exit::of_code(output.status.code()) });
        }
        steps.push(serde_json::from_slice(&output.stdout).map_err(|error| failure(error.to_string()))?);
    }
    let spread = |value: fn(&Steps) -> f64| Spread::of(steps.iter().map(value));
    Ok(Started {
        stream: name.to_owned(),
        rounds,
        process_ms: Spread::of(processes),
        main: spread(|s| s.main),
        device: spread(|s| s.device),
        context: spread(|s| s.context),
        decoder: spread(|s| s.decoder),
        submit: spread(|s| s.submit),
        picture: spread(|s| s.picture),
        total: spread(|s| s.total),
        tensor: spread(|s| s.tensor),
        total_with_tensor: spread(|s| s.total + s.tensor),
    })
}

impl fmt::Display for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, {} processes; ms, median (lowest to highest)", self.stream, self.rounds)?;
        for (what, time) in [
            ("main, stream opened", self.main),
            ("device", self.device),
            ("context", self.context),
            ("decoder", self.decoder),
            ("first picture submitted", self.submit),
            ("first picture decoded", self.picture),
            ("main to first picture", self.total),
            ("first tensor", self.tensor),
            ("main to first tensor", self.total_with_tensor),
            ("process, start to end", self.process_ms),
        ] {
            writeln!(f, "{what:24} {time:.3}")?;
        }
        Ok(())
    }
}
