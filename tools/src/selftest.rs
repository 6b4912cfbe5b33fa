//! `nvdec-probe --selftest`: embedded clips through every NVDEC engine.

use std::fmt;
use std::sync::Arc;

use hcq::{Device, EngineType, KernelInterface};
use nvdec::Context;
use nvdec::class::{Chroma, Codec};
use serde::Serialize;

use crate::check::expected::Expected;
use crate::check::stream::{Verdict, check_stream};
use crate::decode::{Settings, Whole};
use crate::engines::EngineChoice;
use crate::exit::Failure;
use crate::tensor::specs;
use crate::tensor::stream::SEED;
use crate::tensor::stream::{self, Amount, SpecResult};

/// What is looked at of the tensors of a clip.
const TENSOR_AMOUNT: Amount = Amount { pictures: 1, pixels: 100, seed: SEED };

/// A stream that is part of the program.
struct Clip {
    name: &'static str,
    what: &'static str,
    /// Its chroma format, which emulated engines may lack.
    chroma: Chroma,
    /// It is the one of its chroma format and depth that tensors are made of.
    converts: bool,
    stream: &'static [u8],
    sums: &'static str,
}

macro_rules! clip {
    ($name:literal, $chroma:ident, $converts:literal, $what:literal) => {
        Clip {
            name: $name,
            what: $what,
            chroma: Chroma::$chroma,
            converts: $converts,
            stream: include_bytes!(concat!("../clips/", $name, ".hevc")),
            sums: include_str!(concat!("../clips/", $name, ".hevc.framemd5")),
        }
    };
}

static CLIPS: [Clip; 4] = [
    clip!("x_size_202x150", C420, true, "8-bit 4:2:0, IPB, conformance window"),
    clip!("k_10b_tiles", C420, true, "10-bit 4:2:0, tiles"),
    clip!("x_wpp", C420, false, "8-bit 4:2:0, wavefronts"),
    clip!("x_444_cqp", C444, true, "8-bit 4:4:4"),
];

/// One clip on one engine. Field names are those of the JSON output.
#[derive(Clone, Debug, Serialize)]
pub struct ClipResult {
    /// The engine, such as `NVDEC1`.
    pub engine: String,
    /// The clip.
    pub clip: &'static str,
    /// What it exercises.
    pub what: &'static str,
    /// Whether every picture is bit-exact.
    pub passed: bool,
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Pictures decoded.
    pub pictures: u64,
    /// Wall time in milliseconds, the decoder's setup included.
    pub milliseconds: f64,
}

impl fmt::Display for ClipResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match &self.verdict {
            Verdict::BitExact => "bit-exact".to_owned(),
            Verdict::Differs { difference, error } => match error {
                Some(error) => format!("DIFFERS {difference}; {error}"),
                None => format!("DIFFERS {difference}"),
            },
            Verdict::Refused { reason } => format!("REFUSED: {reason}"),
            Verdict::Error { reason } | Verdict::Skipped { reason } => format!("ERROR: {reason}"),
        };
        write!(
            f,
            "{:7} {:15} {:37} {:2} pictures {:7.1} ms  {verdict}",
            self.engine, self.clip, self.what, self.pictures, self.milliseconds
        )
    }
}

/// Decodes every clip whose chroma format the engines have on every engine of GPU `index`, or on one of them.
/// `progress` gets a line for each result.
pub fn run(
    kernel: &Arc<dyn KernelInterface>,
    index: usize,
    engine: EngineChoice,
    mut progress: impl FnMut(String),
) -> Result<Vec<ClipResult>, Failure> {
    let context = open(kernel, index)?;
    let mut results = Vec::new();
    for engine in engines(&context, engine) {
        for clip in clips(&context) {
            let expected = Expected::parse(clip.sums).expect("tested below");
            let settings = Settings { engines: engine.into(), ..Settings::default() };
            let result = check_stream(&context, clip.name, Whole::bytes(clip.stream), settings, &expected);
            let result = ClipResult {
                engine: engine.to_string(),
                clip: clip.name,
                what: clip.what,
                passed: result.verdict == Verdict::BitExact,
                verdict: result.verdict,
                pictures: result.pictures,
                milliseconds: result.seconds * 1e3,
            };
            progress(result.to_string());
            results.push(result);
        }
    }
    Ok(results)
}

fn open(kernel: &Arc<dyn KernelInterface>, index: usize) -> Result<Arc<Context>, Failure> {
    let device = Device::open(kernel.clone(), index).map_err(nvdec::Error::from)?;
    Ok(Context::new(device)?)
}

fn engines(context: &Context, engine: EngineChoice) -> Vec<EngineType> {
    match engine {
        EngineChoice::Set(set) => set.iter().collect(),
        EngineChoice::One => vec![context.engines()[0]],
        EngineChoice::Each | EngineChoice::All => context.engines().to_vec(),
    }
}

/// The clips whose chroma format the engines have.
fn clips(context: &Context) -> impl Iterator<Item = &'static Clip> + use<> {
    let chroma = context.capability(Codec::Hevc).map_or(Chroma::empty(), |capability| capability.chroma);
    CLIPS.iter().filter(move |clip| chroma.contains(clip.chroma))
}

/// A tensor of the first picture of a clip. Field names are those of the JSON output.
#[derive(Clone, Debug, Serialize)]
pub struct TensorResult {
    /// The clip.
    pub clip: &'static str,
    /// Whether its elements are as near to the exact ones as they have to be.
    pub passed: bool,
    /// What came of it.
    #[serde(flatten)]
    pub result: SpecResult,
}

impl fmt::Display for TensorResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tensor  {:15} {}", self.clip, self.result)
    }
}

/// Makes tensors of a picture of each chroma format and depth, decoded on the first of the engines, and compares them with
/// exact arithmetic. `progress` gets a line for each result.
///
/// # Errors
///
/// Errors of opening the GPU.
pub fn tensors(
    kernel: &Arc<dyn KernelInterface>,
    index: usize,
    engine: EngineChoice,
    mut progress: impl FnMut(String),
) -> Result<Vec<TensorResult>, Failure> {
    let context = open(kernel, index)?;
    let engine = engines(&context, engine)[0];
    let mut results = Vec::new();
    for clip in clips(&context).filter(|clip| clip.converts) {
        let settings = Settings { engines: engine.into(), ..Settings::default() };
        let of = stream::check_stream(
            &context,
            clip.name,
            Whole::bytes(clip.stream),
            settings,
            TENSOR_AMOUNT,
            specs::for_self_test(),
        );
        // What was not decoded is wrong too.
        let ended = of.ended.map(SpecResult::of_none);
        for result in ended.into_iter().chain(of.specs) {
            let passed = matches!(result.verdict, stream::Verdict::Within);
            let result = TensorResult { clip: clip.name, passed, result };
            progress(result.to_string());
            results.push(result);
        }
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    #[test]
    fn sums_and_streams_belong_together() {
        for clip in &CLIPS {
            let expected = Expected::parse(clip.sums).unwrap();
            let parsed = parse::parse(&mut &clip.stream[..], clip.name).unwrap();
            assert_eq!(parsed.pictures.len(), expected.pictures.len(), "{}", clip.name);
            assert!(parsed.errors.is_empty(), "{}: {:?}", clip.name, parsed.errors);
            assert!(clip.stream.len() < 40_000);
        }
    }
}
