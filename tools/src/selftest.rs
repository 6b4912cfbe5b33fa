//! `nvdec-probe --selftest`: embedded clips through every NVDEC engine.

use std::fmt;
use std::sync::Arc;

use hcq::{Device, KernelInterface};
use nvdec::Context;
use nvdec::class::{Chroma, Codec};
use serde::Serialize;

use crate::check::expected::Expected;
use crate::check::stream::{Verdict, check_stream};
use crate::decode::Settings;
use crate::engines::EngineChoice;
use crate::exit::Failure;

/// A stream that is part of the program.
struct Clip {
    name: &'static str,
    what: &'static str,
    /// Its chroma format, which emulated engines may lack.
    chroma: Chroma,
    stream: &'static [u8],
    sums: &'static str,
}

macro_rules! clip {
    ($name:literal, $chroma:ident, $what:literal) => {
        Clip {
            name: $name,
            what: $what,
            chroma: Chroma::$chroma,
            stream: include_bytes!(concat!("../clips/", $name, ".hevc")),
            sums: include_str!(concat!("../clips/", $name, ".hevc.framemd5")),
        }
    };
}

static CLIPS: [Clip; 4] = [
    clip!("x_size_202x150", C420, "8-bit 4:2:0, IPB, conformance window"),
    clip!("k_10b_tiles", C420, "10-bit 4:2:0, tiles"),
    clip!("x_wpp", C420, "8-bit 4:2:0, wavefronts"),
    clip!("x_444_cqp", C444, "8-bit 4:4:4"),
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
    let device = Device::open(kernel.clone(), index).map_err(nvdec::Error::from)?;
    let context = Context::new(device)?;
    let engines = match engine {
        EngineChoice::Set(set) => set.iter().collect(),
        EngineChoice::One => vec![context.engines()[0]],
        EngineChoice::Each | EngineChoice::All => context.engines().to_vec(),
    };
    let chroma = context.capability(Codec::Hevc).map_or(Chroma::empty(), |capability| capability.chroma);
    let mut results = Vec::new();
    for engine in engines {
        for clip in CLIPS.iter().filter(|clip| chroma.contains(clip.chroma)) {
            let expected = Expected::parse(clip.sums).expect("tested below");
            let settings = Settings { engines: engine.into(), ..Settings::default() };
            let result = check_stream(&context, clip.name, &mut &clip.stream[..], settings, &expected);
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
