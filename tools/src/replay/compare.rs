//! [`Comparison`]: what came of a replay against what the capture says.

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;

use super::capture::{Capture, Picture, Status};
use super::hash::PLANES;
use super::player::Replayed;
use crate::exit::Failure;

/// `error_status` of a picture that the emulated engine has no tools for (`OS_ERROR_APPLICATION`).
pub(super) const BEYOND_THE_MODEL: u32 = 8;

/// A field of the status that is another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StatusDifference {
    /// The field of `nvdec_status_s`.
    pub field: &'static str,
    /// What the capture says.
    pub captured: u32,
    /// What the engine said now.
    pub replayed: u32,
}

/// Where samples begin to differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SampleDifference {
    /// `luma`, `Cb` or `Cr`.
    pub plane: &'static str,
    /// Column and row of the block of 64x64 luma samples.
    pub block: (u32, u32),
    /// Blocks that differ, over all planes.
    pub blocks_differing: usize,
    /// Blocks that there are.
    pub blocks: usize,
}

/// A picture that came out otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Divergence {
    /// Position in the capture.
    pub picture: usize,
    /// Picture order count.
    pub poc: i32,
    /// The engine.
    pub engine: String,
    /// The samples, if they differ.
    pub samples: Option<SampleDifference>,
    /// The fields of the status that differ.
    pub status: Vec<StatusDifference>,
    /// It was not finished, here or when it was recorded.
    pub error: Option<String>,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "picture {} (POC {}) on {}", self.picture, self.poc, self.engine)?;
        match &self.samples {
            Some(SampleDifference { plane, block: (x, y), blocks_differing, blocks }) => {
                write!(f, ", {plane} block ({x}, {y}): differs, {blocks_differing} of {blocks} blocks do")?;
            }
            None if self.error.is_none() => write!(f, ": the samples are the same")?,
            None => {}
        }
        for (i, StatusDifference { field, captured, replayed }) in self.status.iter().enumerate() {
            write!(f, "{} {field} {captured} -> {replayed}", if i == 0 { "; status:" } else { "," })?;
        }
        match &self.error {
            Some(error) => write!(f, ": {error}"),
            None => Ok(()),
        }
    }
}

/// Compares picture by picture.
#[derive(Debug)]
pub struct Comparison<'a> {
    capture: &'a Capture,
    /// One is hardware and one the model: they agree on what is right, not on what they make of damage.
    other_kind: bool,
    /// Surfaces that hold what was made of damage, where that is not comparable.
    concealed: HashSet<u32>,
    /// The result so far.
    pub result: Outcome,
}

/// What came of a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Pictures submitted.
    pub pictures: usize,
    /// Those that came out as the capture says.
    pub identical: usize,
    /// Those that came out otherwise.
    pub different: usize,
    /// Those of which the capture expects nothing.
    pub without_expectation: usize,
    /// Damaged ones and those that refer to them, where hardware and model do not agree on concealment.
    pub not_compared: usize,
    /// Engines that took part.
    pub engines: Vec<String>,
    /// The first picture that came out otherwise.
    pub first_divergence: Option<Divergence>,
}

impl<'a> Comparison<'a> {
    /// Against `capture`, on a device that is or is not the emulated one.
    pub fn new(capture: &'a Capture, emulated: bool) -> Comparison<'a> {
        let other_kind = capture.head().emulated != emulated;
        Comparison { capture, other_kind, concealed: HashSet::new(), result: Outcome::default() }
    }

    /// Takes a picture. `blocks` is the number of its blocks of 16x16.
    ///
    /// # Errors
    ///
    /// Of reading the capture.
    pub fn take(&mut self, replayed: &Replayed, blocks: u32) -> Result<(), Failure> {
        let picture = &self.capture.pictures()[replayed.index];
        let engine = replayed.engine.to_string();
        if !self.result.engines.contains(&engine) {
            self.result.engines.push(engine);
            self.result.engines.sort();
        }
        self.result.pictures += 1;
        if self.is_concealed(picture, replayed, blocks) {
            self.result.not_compared += 1;
            return Ok(());
        }
        if self.expects_nothing(picture) {
            self.result.without_expectation += 1;
            return Ok(());
        }
        match self.difference(picture, replayed)? {
            None => self.result.identical += 1,
            Some(divergence) => {
                self.result.different += 1;
                self.result.first_divergence.get_or_insert(divergence);
            }
        }
        Ok(())
    }

    /// Whether nothing is known of how the picture comes out: it was changed, or recorded on the emulated
    /// GPU, which had no tools for it.
    fn expects_nothing(&self, picture: &Picture) -> bool {
        let beyond = picture.status.is_some_and(|status| status.error_status == BEYOND_THE_MODEL);
        (picture.hashes.is_none() && picture.status.is_none() && picture.error.is_none())
            || (beyond && self.capture.head().emulated && self.other_kind)
    }

    /// Whether the picture, or one that it refers to, is a damaged one that hardware and model conceal
    /// differently.
    fn is_concealed(&mut self, picture: &Picture, replayed: &Replayed, blocks: u32) -> bool {
        if !self.other_kind {
            return false;
        }
        let bad = |status: Option<Status>| status.is_some_and(|status| !status.is_good(blocks));
        let damaged = bad(picture.status) && bad(replayed.status);
        let refers =
            picture.places.iter().any(|(_, id)| *id != picture.target && self.concealed.contains(id));
        match damaged || refers {
            true => self.concealed.insert(picture.target),
            false => self.concealed.remove(&picture.target),
        };
        damaged || refers
    }

    fn difference(&self, picture: &Picture, replayed: &Replayed) -> Result<Option<Divergence>, Failure> {
        let mut divergence = Divergence {
            picture: replayed.index,
            poc: picture.poc,
            engine: replayed.engine.to_string(),
            samples: None,
            status: Vec::new(),
            error: None,
        };
        let hashes = match (&replayed.hashes, &picture.error) {
            // It failed then and it fails now.
            (Err(_), Some(_)) => return Ok(None),
            (Err(error), None) => {
                divergence.error = Some(error.clone());
                return Ok(Some(divergence));
            }
            (Ok(_), Some(error)) => {
                divergence.error = Some(format!("it is finished, where recording it ended with: {error}"));
                return Ok(Some(divergence));
            }
            (Ok(hashes), None) => hashes,
        };
        if let (Some(captured), Some(replayed)) = (&picture.status, &replayed.status) {
            let pairs = captured.compared().into_iter().zip(replayed.compared());
            divergence.status = pairs
                .filter(|((_, captured), (_, replayed))| captured != replayed)
                .map(|((field, captured), (_, replayed))| StatusDifference { field, captured, replayed })
                .collect();
        }
        if let Some(captured) = &picture.hashes
            && captured.md5 != hashes.md5
        {
            let sums = self.capture.block_sums(picture)?.unwrap_or_default();
            let first = hashes.first_difference(&sums, &picture.surface);
            // Two CRCs of different blocks may be the same; the MD5 of the plane says that it differs.
            let whole = hashes.md5.iter().zip(&captured.md5).position(|(a, b)| a != b).unwrap_or(0);
            let (plane, block) = first.unwrap_or((whole, (0, 0)));
            let differing = hashes.blocks.iter().zip(&sums).filter(|(a, b)| a != b).count();
            divergence.samples = Some(SampleDifference {
                plane: PLANES[plane],
                block,
                blocks_differing: differing.max(1),
                blocks: hashes.blocks.len(),
            });
        }
        let same = divergence.samples.is_none() && divergence.status.is_empty();
        Ok((!same).then_some(divergence))
    }
}

impl Outcome {
    /// Whether nothing that can be compared differs, and everything was replayed.
    pub fn is_identical(&self) -> bool {
        self.different == 0
    }

    /// One line: `replayed 16/16 pictures on NVDEC1: identical`, or the first picture that differs.
    pub fn verdict(&self, total: usize) -> String {
        let on = match &self.engines[..] {
            [] => "no engine".to_owned(),
            [one] => one.clone(),
            [first, .., last] => format!("{} engines ({first} to {last})", self.engines.len()),
        };
        let mut text = format!("replayed {}/{total} pictures on {on}: ", self.pictures);
        match &self.first_divergence {
            Some(divergence) => text += &format!("{} differ, first {divergence}", self.different),
            None if self.identical == 0 => text += "nothing to compare",
            None => text += "identical",
        }
        if self.without_expectation > 0 {
            text += &format!("; {} with nothing to expect", self.without_expectation);
        }
        text
    }
}
