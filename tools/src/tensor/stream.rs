//! Tensors of one stream against exact arithmetic.

use std::fmt;
use std::sync::Arc;

use md5::{Digest, Md5};
use nvdec::tensor::{Dtype, TensorPool, TensorSpec};
use nvdec::{Context, Downloader, Frame, HostFrame, Rect};
use serde::Serialize;

use super::compare::{Comparison, Outside};
use super::reference::{Reference, ReferenceError};
use super::specs::Case;
use crate::decode::{Consumer, Picture, Settings, Whole};
use crate::exit::{Exit, Failure};
use crate::output::framemd5::hex;

/// Pictures of a stream that are decoded, of which some are looked at.
const DECODED: u64 = 30;

/// Where the sequence of pixels begins, if nothing else is said.
pub const SEED: u64 = 1;

/// How much is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// Pictures of a stream: the first and the last of the first 30, and some between.
    pub pictures: usize,
    /// Pixels of each, by each spec.
    pub pixels: usize,
    /// Which ones.
    pub seed: u64,
}

/// What became of a conversion. Field names are those of the JSON output.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// All elements that were looked at are as near as they have to be.
    Within,
    /// Some are not.
    OutOfBounds {
        /// How many, and the first of them.
        what: String,
    },
    /// The pictures have no such tensor.
    Refused {
        /// Why.
        reason: String,
    },
    /// It failed.
    Error {
        /// Why.
        reason: String,
    },
}

/// A conversion of the pictures of a stream. Field names are those of the JSON output.
#[derive(Clone, Debug, Serialize)]
pub struct SpecResult {
    /// Name of the spec.
    pub spec: &'static str,
    /// Its text, for the first of the pictures.
    pub text: String,
    /// What became of it.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Of all elements of all pictures.
    pub md5: String,
    /// Elements that were looked at.
    pub elements: u64,
    /// Share of them that are the nearest ones that there are, halves up for bytes.
    pub nearest: f64,
    /// The largest distance: of bytes in parts of 255, of others in units in the last place, of float32 in parts of 2^-26 before
    /// the division by `std`.
    pub largest: f64,
    /// Unit of `largest`.
    #[serde(skip)]
    unit: &'static str,
}

/// What became of a stream. Field names are those of the JSON output.
#[derive(Clone, Debug)]
pub struct StreamResult {
    /// Its name.
    pub stream: String,
    /// Why there is nothing to tell of its pictures.
    pub ended: Option<Verdict>,
    /// Positions in output order of the pictures that were looked at.
    pub pictures: Vec<u64>,
    /// How many of these are not exact: engines may differ in them.
    pub damaged: usize,
    /// Conversions.
    pub specs: Vec<SpecResult>,
}

impl StreamResult {
    fn ended(stream: &str, ended: Verdict) -> StreamResult {
        let stream = stream.to_owned();
        StreamResult { stream, ended: Some(ended), pictures: Vec::new(), damaged: 0, specs: Vec::new() }
    }

    /// A stream that could not be tried.
    pub(crate) fn error(stream: &str, reason: String) -> StreamResult {
        StreamResult::ended(stream, Verdict::Error { reason })
    }

    /// Whether something is out of bounds, or failed.
    pub fn is_wrong(&self) -> bool {
        let is_wrong =
            |verdict: &Verdict| matches!(verdict, Verdict::OutOfBounds { .. } | Verdict::Error { .. });
        self.ended.iter().chain(self.specs.iter().map(|spec| &spec.verdict)).any(is_wrong)
    }

    /// Whether it was refused as a whole.
    pub fn is_refused(&self) -> bool {
        matches!(self.ended, Some(Verdict::Refused { .. }))
    }
}

impl fmt::Display for StreamResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.ended {
            Some(Verdict::Refused { reason }) => return write!(f, "refused    {}  {reason}", self.stream),
            Some(Verdict::Error { reason }) => return write!(f, "ERROR      {}  {reason}", self.stream),
            _ => {}
        }
        let word = if self.is_wrong() { "WRONG     " } else { "within    " };
        let pictures: Vec<_> = self.pictures.iter().map(u64::to_string).collect();
        write!(f, "{word} {}  pictures {}", self.stream, pictures.join(", "))?;
        if self.damaged > 0 {
            write!(f, " ({} of them not exact)", self.damaged)?;
        }
        self.specs.iter().try_for_each(|spec| write!(f, "\n  {spec}"))
    }
}

impl SpecResult {
    /// Of a stream without pictures.
    pub(crate) fn of_none(verdict: Verdict) -> SpecResult {
        let (text, md5) = (String::new(), String::new());
        SpecResult { spec: "", text, verdict, md5, elements: 0, nearest: 0.0, largest: 0.0, unit: "" }
    }
}

impl fmt::Display for SpecResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:16} ", self.spec)?;
        match &self.verdict {
            Verdict::Within | Verdict::OutOfBounds { .. } => {
                let SpecResult { md5, nearest, largest, unit, .. } = self;
                write!(f, "{md5}  {:7.3} % nearest, largest {largest:.4}{unit}", 100.0 * nearest)?;
            }
            Verdict::Refused { reason } => write!(f, "refused: {reason}")?,
            Verdict::Error { reason } => write!(f, "ERROR: {reason}")?,
        }
        match &self.verdict {
            Verdict::OutOfBounds { what } => write!(f, "  OUT OF BOUNDS: {what}"),
            _ => Ok(()),
        }
    }
}

/// A picture, on the GPU and on the host.
struct Kept {
    index: u64,
    frame: Frame,
    host: HostFrame,
    coded: (u32, u32),
}

/// Decodes a stream and looks at what `cases` make of its pictures.
pub(crate) fn check_stream<'a>(
    context: &Arc<Context>,
    name: &str,
    source: Whole<'_>,
    settings: Settings,
    amount: Amount,
    cases: impl IntoIterator<Item = &'a Case>,
) -> StreamResult {
    check_twisted(context, name, source, settings, amount, cases, &str::to_owned)
}

/// As [`check_stream`]; `twist` gives the spec that the reference takes in the place of one: what a check has to find.
fn check_twisted<'a>(
    context: &Arc<Context>,
    name: &str,
    source: Whole<'_>,
    settings: Settings,
    amount: Amount,
    cases: impl IntoIterator<Item = &'a Case>,
    twist: &dyn Fn(&str) -> String,
) -> StreamResult {
    let settings = Settings { frames: Some(DECODED), discard: true, ..settings };
    let mut keeper = Keeper::new(amount.pictures);
    let failure = match source.decode(context, name, settings, &mut keeper) {
        Ok(summary) => summary.stopped.map(Failure::Decode),
        Err(failure) => Some(failure),
    };
    if let Some(failure) = failure {
        let reason = failure.to_string();
        return StreamResult::ended(
            name,
            match failure.exit() {
                Exit::Unavailable => Verdict::Refused { reason },
                _ => Verdict::Error { reason },
            },
        );
    }
    let unsupported = keeper.unsupported.take();
    let frames = keeper.frames();
    if frames.is_empty() {
        return StreamResult::ended(
            name,
            match unsupported {
                Some(reason) => Verdict::Refused { reason },
                None => Verdict::Error { reason: "no picture".to_owned() },
            },
        );
    }
    let kept: Result<Vec<Kept>, nvdec::Error> =
        frames.into_iter().map(|(index, frame)| fetch(context, index, frame)).collect();
    let kept = match kept {
        Ok(kept) => kept,
        Err(error) => return StreamResult::error(name, error.to_string()),
    };
    let damaged = kept.iter().filter(|kept| !kept.frame.integrity().is_ok_and(|i| i.is_exact())).count();
    let specs = cases.into_iter().zip(0..).map(|(case, number)| {
        let amount = Amount { seed: amount.seed ^ (number << 32), ..amount };
        check_case(context, &kept, case, amount, twist)
    });
    StreamResult {
        stream: name.to_owned(),
        ended: None,
        pictures: kept.iter().map(|kept| kept.index).collect(),
        damaged,
        specs: specs.collect(),
    }
}

fn fetch(context: &Arc<Context>, index: u64, frame: Frame) -> nvdec::Result<Kept> {
    let download = Downloader::new(context).with_limit(None).start_window(frame.clone(), frame.coded())?;
    let mut host = download.wait()?;
    let coded = (host.width, host.height);
    let Rect { left, top, width, height } = frame.crop();
    (host.left, host.top, host.width, host.height) = (left, top, width, height);
    Ok(Kept { index, frame, host, coded })
}

/// Why a conversion cannot be judged.
enum Unjudged {
    Refused(String),
    Failed(String),
}

impl From<nvdec::Error> for Unjudged {
    fn from(error: nvdec::Error) -> Unjudged {
        match error {
            nvdec::Error::TensorPicture { .. } | nvdec::Error::TensorSpec { .. } => {
                Unjudged::Refused(error.to_string())
            }
            error => Unjudged::Failed(error.to_string()),
        }
    }
}

impl From<ReferenceError> for Unjudged {
    fn from(error: ReferenceError) -> Unjudged {
        Unjudged::Failed(error.to_string())
    }
}

fn check_case(
    context: &Arc<Context>,
    kept: &[Kept],
    case: &Case,
    amount: Amount,
    twist: &dyn Fn(&str) -> String,
) -> SpecResult {
    let mut md5 = Md5::new();
    let mut comparison = Comparison::default();
    let mut dtype = None;
    let mut made: Option<(String, TensorPool)> = None;
    let mut judge = |kept: &Kept| -> Result<(), Unjudged> {
        let text = case.text(kept.host.width, kept.host.height);
        let pool = match &made {
            Some((before, pool)) if *before == text => pool.clone(),
            _ => TensorPool::new(context, &text.parse()?, 1, 1)?,
        };
        made = Some((text.clone(), pool.clone()));
        let mut tensor = pool.begin(&kept.frame)?;
        tensor.push(&kept.frame)?;
        let tensor = tensor.finish()?;
        let elements = tensor.to_host()?;
        md5.update(&elements);
        let turned = kept.frame.side_data().and_then(|said| said.display_orientation);
        let spec: TensorSpec = twist(&text).parse()?;
        let reference = Reference::new(&spec, &kept.host, kept.coded, kept.frame.colour(), turned)?;
        dtype = Some(reference.dtype);
        let [_, a, b, c] = tensor.shape();
        let is_alike = [a, b, c] == reference.dims() && tensor.dtype() == reference.dtype;
        if !is_alike {
            let (shape, dims) = ([a, b, c], reference.dims());
            return Err(Unjudged::Failed(format!("the tensor is {shape:?}, and should be {dims:?}")));
        }
        let seed = amount.seed ^ kept.index;
        let compared = comparison.add(&elements, &reference, amount.pixels, seed);
        compared.map_err(|error| Unjudged::Failed(format!("the definition has no such tensor: {error}")))
    };
    let unjudged = kept.iter().try_for_each(&mut judge).err();
    let verdict = match unjudged {
        Some(Unjudged::Refused(reason)) => Verdict::Refused { reason },
        Some(Unjudged::Failed(reason)) => Verdict::Error { reason },
        None => match &comparison.first {
            Some(Outside { at: [channel, x, y], given, exact }) => Verdict::OutOfBounds {
                what: format!(
                    "{} elements, the first in channel {channel}, column {x}, line {y}: {given} for {exact:.6}",
                    comparison.outside
                ),
            },
            None => Verdict::Within,
        },
    };
    SpecResult {
        spec: case.name,
        text: kept.first().map(|kept| case.text(kept.host.width, kept.host.height)).unwrap_or_default(),
        verdict,
        md5: hex(&md5.finalize()),
        elements: comparison.elements(),
        nearest: comparison.share_nearest(),
        largest: comparison.largest(dtype.unwrap_or(Dtype::U8)),
        unit: match dtype {
            Some(Dtype::F32) => " x 2^-26",
            Some(Dtype::F16 | Dtype::Bf16) => " ulp",
            _ => "",
        },
    }
}

/// Keeps the first frame, the last one, and some between, at equal distances.
struct Keeper {
    most: usize,
    seen: u64,
    /// Positions of the frames kept are multiples of this.
    stride: u64,
    kept: Vec<(u64, Frame)>,
    last: Option<(u64, Frame)>,
    unsupported: Option<String>,
}

impl Keeper {
    fn new(most: usize) -> Keeper {
        Keeper { most, seen: 0, stride: 1, kept: Vec::new(), last: None, unsupported: None }
    }

    fn frames(self) -> Vec<(u64, Frame)> {
        let mut frames = self.kept;
        let is_new = |last: &(u64, Frame)| frames.iter().all(|(index, _)| *index != last.0);
        if let Some(last) = self.last.filter(is_new) {
            frames.push(last);
        }
        if frames.len() > self.most && self.most > 1 {
            frames.remove(1);
        }
        frames.truncate(self.most.max(1));
        frames
    }
}

impl Consumer for Keeper {
    fn picture(&mut self, _: &mut Picture) -> Result<(), Failure> {
        Ok(())
    }

    fn frame(&mut self, frame: &Frame) {
        let index = self.seen;
        self.seen += 1;
        self.last = Some((index, frame.clone()));
        if index.is_multiple_of(self.stride) {
            self.kept.push((index, frame.clone()));
            while self.kept.len() > self.most.max(1) {
                self.stride *= 2;
                self.kept.retain(|(index, _)| index.is_multiple_of(self.stride));
            }
        }
    }

    fn warning(&mut self, error: nvdec::Error) {
        if let nvdec::Error::Bitstream { source, .. } = &error
            && source.is_unsupported
        {
            self.unsupported.get_or_insert_with(|| source.to_string());
        }
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
