//! One file: all of it in order, then some pictures of it at a time.

use std::collections::VecDeque;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use md5::{Digest, Md5};
use nvdec::video::Selection;
use nvdec::{Codec, Context, Decoder, DecoderOptions, Download, Downloader, Engines, Integrity, Mode, Next};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use serde::Serialize;

use super::Amount;
use crate::exit::{Exit, Failure};
use crate::film::Film;
use crate::input::{self, Given, other::Reader};
use crate::output::framemd5::hex;

/// Pictures on their way to host memory.
const IN_FLIGHT: usize = 8;
/// Most pictures that are asked for at a time.
const AT_A_TIME: usize = 3;

/// How to decode a file, and what of it.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Engines.
    pub engines: Engines,
    /// What decoders are to be good at.
    pub mode: Mode,
    /// Largest pictures, in luma samples.
    pub max_luma_samples: Option<u64>,
    /// What is asked for.
    pub amount: Amount,
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// Every picture that was asked for is the same.
    Same,
    /// One is not.
    Differs(Difference),
    /// The hardware or this library cannot decode it.
    Refused {
        /// The reason.
        reason: String,
    },
    /// It could not be decoded for another reason.
    Error {
        /// The reason.
        reason: String,
    },
    /// There is nothing in it that could be decoded.
    Skipped {
        /// The reason.
        reason: String,
    },
}

/// The first difference. Field names are those of the JSON output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Which access, from 0; `None` if it is in the whole decode.
    pub access: Option<u32>,
    /// The pictures that were asked for.
    pub asked: Vec<usize>,
    /// The pictures that came out.
    pub given: Vec<usize>,
    /// The picture that is another, if it is not that others came out than were asked for.
    pub picture: Option<usize>,
    /// Its MD5 in the whole decode.
    pub expected: Option<String>,
    /// Its MD5 when it was asked for.
    pub found: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.access {
            Some(access) => write!(f, "access {access} of pictures {:?}: ", self.asked)?,
            None => write!(f, "all in order: ")?,
        }
        match (self.picture, &self.expected, &self.found) {
            (Some(picture), Some(expected), Some(found)) => {
                write!(f, "picture {picture} is {found}, in order it is {expected}")
            }
            _ if self.access.is_none() => write!(f, "{} of {} came out", self.given.len(), self.asked.len()),
            _ => write!(f, "{:?} came out", self.given),
        }
    }
}

/// The result of one file. Field names are those of the JSON output.
#[derive(Clone, Debug, Serialize)]
pub struct FilmResult {
    /// The file.
    pub file: String,
    /// What became of it.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Pictures that it has.
    pub pictures: usize,
    /// Times that pictures were asked for.
    pub accesses: u64,
    /// Pictures that were asked for and compared.
    pub compared: u64,
    /// Pictures that were sent to the decoder for them.
    pub sent: u64,
    /// Pictures that were asked for and are not exact, by what the decoder says: of those nothing is promised.
    pub inexact: u64,
    /// Wall time in seconds.
    pub seconds: f64,
}

impl FilmResult {
    pub(super) fn bare(name: &str, verdict: Verdict) -> FilmResult {
        let file = name.to_owned();
        FilmResult { file, verdict, pictures: 0, accesses: 0, compared: 0, sent: 0, inexact: 0, seconds: 0.0 }
    }
}

impl fmt::Display for FilmResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FilmResult { file, pictures, accesses, compared, sent, inexact, .. } = self;
        match &self.verdict {
            Verdict::Same => {
                write!(
                    f,
                    "same       {file}  {pictures} pictures; {accesses} accesses, {compared} compared, {sent} sent"
                )?;
                if *inexact > 0 {
                    write!(f, ", {inexact} not exact")?;
                }
                Ok(())
            }
            Verdict::Differs(difference) => write!(f, "DIFFERS    {file}  {difference}"),
            Verdict::Refused { reason } => write!(f, "refused    {file}  {reason}"),
            Verdict::Error { reason } => write!(f, "ERROR      {file}  {reason}"),
            Verdict::Skipped { reason } => write!(f, "skipped    {file}  {reason}"),
        }
    }
}

/// A picture that came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    number: usize,
    md5: [u8; 16],
    is_exact: bool,
}

/// Checks one file.
pub fn check_film(context: &Arc<Context>, name: &str, path: &Path, settings: Settings) -> FilmResult {
    let start = Instant::now();
    let mut result = FilmResult::bare(name, Verdict::Same);
    result.verdict = match open(path) {
        Ok(film) => match check(context, &film, settings, &mut result) {
            Ok(None) => Verdict::Same,
            Ok(Some(difference)) => Verdict::Differs(difference),
            Err(failure) => verdict(failure),
        },
        Err(failure) => verdict(failure),
    };
    result.seconds = start.elapsed().as_secs_f64();
    result
}

fn open(path: &Path) -> Result<Film, Failure> {
    let (name, file) = match input::open_any(path, Reader::Decode, false)? {
        Given::Container(name, file) => (name, file),
        Given::Stream(input) => input
            .into_file()
            .map_err(|input| Failure::Usage(format!("{} is no regular file", input.name())))?,
    };
    Film::open(&name, file, None)
}

fn verdict(failure: Failure) -> Verdict {
    let reason = failure.to_string();
    match failure {
        Failure::NotAnnexB { found, .. } => Verdict::Skipped { reason: found },
        Failure::Container { what, .. } => Verdict::Skipped { reason: what },
        failure if failure.exit() == Exit::Unavailable => Verdict::Refused { reason },
        _ => Verdict::Error { reason },
    }
}

fn decoder(context: &Arc<Context>, settings: Settings) -> Result<Decoder, Failure> {
    let mut options = DecoderOptions::default()
        .with_engines(settings.engines)
        .with_mode(settings.mode)
        .with_held_frames(IN_FLIGHT + 2);
    if let Some(samples) = settings.max_luma_samples {
        options = options.with_max_luma_samples(samples);
    }
    Ok(Decoder::new(context, Codec::Hevc, options)?)
}

/// The first difference.
fn check(
    context: &Arc<Context>,
    film: &Film,
    settings: Settings,
    result: &mut FilmResult,
) -> Result<Option<Difference>, Failure> {
    let Amount { accesses, seed } = settings.amount;
    let video = film.video();
    result.pictures = video.len();
    let downloader = Downloader::new(context).with_limit(None);
    let whole = decoded(&mut decoder(context, settings)?, &downloader, video.all())?;
    let numbers = |found: &[Found]| found.iter().map(|found| found.number).collect::<Vec<_>>();
    if !numbers(&whole).iter().copied().eq(0..video.len()) {
        let (asked, given) = ((0..video.len()).collect(), numbers(&whole));
        return Ok(Some(Difference {
            access: None,
            asked,
            given,
            picture: None,
            expected: None,
            found: None,
        }));
    }
    // One decoder for all of them, as a program has it that reads a file here and there.
    let mut other = decoder(context, settings)?;
    let mut random =
        Xoshiro256PlusPlus::seed_from_u64(seed ^ u64::from(crc32fast::hash(result.file.as_bytes())));
    for access in 0..accesses {
        let count = random.random_range(1..=AT_A_TIME).min(video.len());
        let mut asked: Vec<usize> = Vec::new();
        while asked.len() < count {
            let number = random.random_range(0..video.len());
            if !asked.contains(&number) {
                asked.push(number);
            }
        }
        asked.sort_unstable();
        let selection = video.select(asked.iter().copied())?;
        result.sent += selection.coded_pictures_left() as u64;
        result.accesses += 1;
        let found = decoded(&mut other, &downloader, selection)?;
        let given = numbers(&found);
        let differs = |picture, expected, found| {
            let given = given.clone();
            Some(Difference { access: Some(access), asked: asked.clone(), given, picture, expected, found })
        };
        if given != asked {
            return Ok(differs(None, None, None));
        }
        for found in found {
            let expected = whole[found.number];
            if !(found.is_exact && expected.is_exact) {
                result.inexact += 1;
                continue;
            }
            result.compared += 1;
            if found.md5 != expected.md5 {
                return Ok(differs(Some(found.number), Some(hex(&expected.md5)), Some(hex(&found.md5))));
            }
        }
    }
    Ok(None)
}

/// The pictures of a selection, with some copies under way while the engines work.
fn decoded(
    decoder: &mut Decoder,
    downloader: &Downloader,
    selection: Selection,
) -> nvdec::Result<Vec<Found>> {
    let mut found = Vec::new();
    let mut flight = VecDeque::new();
    let mut unsupported = None;
    let mut frames = decoder.frames(selection);
    loop {
        let next = frames.try_next()?;
        while let Some(error) = frames.take_error() {
            if let nvdec::Error::Bitstream { source, .. } = &error
                && source.is_unsupported
            {
                unsupported = Some(error);
            }
        }
        let is_end = matches!(next, Next::End);
        let room = match next {
            Next::Frame(frame) => {
                flight.push_back(downloader.start(frame)?);
                IN_FLIGHT
            }
            // The oldest one gives its surface back.
            Next::Full => flight.len().saturating_sub(1),
            Next::End => 0,
        };
        while flight.len() > room
            && let Some(download) = flight.pop_front()
        {
            found.push(fetch(&download)?);
        }
        if is_end {
            break;
        }
    }
    match unsupported {
        Some(error) if found.is_empty() => Err(error),
        _ => Ok(found),
    }
}

fn fetch(download: &Download) -> nvdec::Result<Found> {
    let host = download.wait()?;
    let frame = download.frame();
    let mut planes = Vec::new();
    host.write_planar(&mut planes);
    Ok(Found {
        number: frame.opaque().map_or(usize::MAX, |number| number as usize),
        md5: Md5::digest(&planes).into(),
        is_exact: frame.integrity()? == Integrity::Exact,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_say_what_was_asked_for() {
        let same = Difference {
            access: Some(3),
            asked: vec![5, 9],
            given: vec![5, 9],
            picture: Some(9),
            expected: Some("aa".to_owned()),
            found: Some("bb".to_owned()),
        };
        let of = |difference: &Difference| {
            FilmResult::bare("x.mp4", Verdict::Differs(difference.clone())).to_string()
        };
        assert_eq!(
            of(&same),
            "DIFFERS    x.mp4  access 3 of pictures [5, 9]: picture 9 is bb, in order it is aa"
        );
        let fewer = Difference { given: vec![5], picture: None, expected: None, found: None, ..same };
        assert_eq!(of(&fewer), "DIFFERS    x.mp4  access 3 of pictures [5, 9]: [5] came out");
        let whole = Difference { access: None, ..fewer };
        assert_eq!(of(&whole), "DIFFERS    x.mp4  all in order: 1 of 2 came out");
    }

    #[test]
    fn what_is_not_decoded_is_told_apart() {
        let container =
            Failure::Container { path: "x".to_owned(), what: "it is MP4 without video".to_owned() };
        assert_eq!(verdict(container), Verdict::Skipped { reason: "it is MP4 without video".to_owned() });
        let hardware = nvdec::Error::Hardware("no".to_owned());
        assert!(matches!(verdict(hardware.into()), Verdict::Refused { .. }));
        let source = std::io::ErrorKind::NotFound.into();
        let lost = Failure::Input { path: "x".to_owned(), source };
        assert!(matches!(verdict(lost), Verdict::Error { .. }));
    }
}
