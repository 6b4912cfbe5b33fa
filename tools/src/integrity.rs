//! How the pictures of a stream came out, as the programs say it.

use std::collections::BTreeMap;
use std::fmt;

use nvdec::{Dropped, Integrity, Tally};
use serde::Serialize;

use crate::decode::Picture;

/// Most pictures and chains that are listed one by one.
const LISTED: usize = 10_000;
/// Most chains that are told in text.
const CHAINS_TOLD: usize = 20;

/// Collects what is said of the pictures that are put out.
#[derive(Clone, Debug, Default)]
pub struct Integrities {
    damaged: Vec<Damaged>,
    /// By the number of the picture that they began with.
    chains: BTreeMap<u64, Chain>,
    /// Pictures that contradict their hash and that nothing else was said of.
    contradicted: u64,
}

/// A picture with something wrong of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damaged {
    /// Position in output order.
    pub picture: u64,
    /// Picture order count.
    pub poc: i32,
    /// What is wrong.
    pub cause: String,
}

/// Pictures that are predicted from one that is not exact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Chain {
    /// Position in decoding order of the picture that it began with.
    pub number: u64,
    /// Its picture order count.
    pub poc: i32,
    /// What is wrong with that one.
    pub cause: String,
    /// How many pictures were put out that go back to it.
    pub pictures: u64,
}

/// How many pictures came out how. Field names are those of the JSON output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Pictures that are what their encoder made.
    pub exact: u64,
    /// Pictures with something wrong of their own.
    pub damaged: u64,
    /// Pictures predicted from such.
    pub tainted: u64,
    /// Pictures that are not refreshed yet.
    pub recovering: u64,
    /// Pictures that were not decoded, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Those damaged ones that were put out, the first ones of very many.
    pub damaged_pictures: Vec<Damaged>,
    /// What the tainted ones that were put out go back to.
    pub chains: Vec<Chain>,
}

impl Integrities {
    /// Takes note of a picture that is put out. `contradicted`: it does not have the hash that the stream says.
    pub fn note(&mut self, picture: &Picture, contradicted: bool) {
        self.note_one(picture.index, picture.poc, picture.integrity, contradicted);
    }

    /// Takes note of the picture at `picture` in output order.
    pub fn note_one(&mut self, picture: u64, poc: i32, integrity: Integrity, contradicted: bool) {
        let mut damaged = |cause: String| {
            if self.damaged.len() < LISTED {
                self.damaged.push(Damaged { picture, poc, cause });
            }
        };
        match integrity {
            Integrity::Damaged { cause } => damaged(cause.to_string()),
            Integrity::Tainted { by } => {
                let is_full = self.chains.len() >= LISTED;
                let chain =
                    || Chain { number: by.number, poc: by.poc, cause: by.cause.to_string(), pictures: 0 };
                if !is_full || self.chains.contains_key(&by.number) {
                    self.chains.entry(by.number).or_insert_with(chain).pictures += 1;
                }
            }
            Integrity::Exact if contradicted => {
                self.contradicted += 1;
                damaged(nvdec::PictureFault::HashMismatch.to_string());
            }
            _ => {}
        }
    }

    /// All of it, with what the decoder counted.
    pub fn report(self, tally: &Tally) -> Report {
        Report {
            exact: tally.exact - self.contradicted.min(tally.exact),
            damaged: tally.damaged + self.contradicted,
            tainted: tally.tainted,
            recovering: tally.recovering,
            dropped: reasons(&tally.dropped).into_iter().filter(|(_, count)| *count > 0).collect(),
            damaged_pictures: self.damaged,
            chains: self.chains.into_values().collect(),
        }
    }
}

fn reasons(dropped: &Dropped) -> [(&'static str, u64); 5] {
    [
        ("before the first picture to begin with", dropped.before_start),
        ("leading pictures of the first", dropped.leading),
        ("refused", dropped.refused),
        ("unfit", dropped.unfit),
        ("taken back", dropped.taken_back),
    ]
}

impl Report {
    /// Whether all pictures that the stream was seen to begin came out exact, but for those that no decoder puts out.
    pub fn is_sound(&self) -> bool {
        let lost = self.dropped.keys().any(|reason| *reason != "leading pictures of the first");
        self.damaged + self.tainted + self.recovering == 0 && !lost
    }

    /// What the pictures that are predicted from wrong ones go back to, a line each.
    pub fn told_chains(&self) -> impl Iterator<Item = String> {
        let told = self.chains.iter().take(CHAINS_TOLD).map(|chain| {
            let Chain { number, poc, cause, pictures } = chain;
            format!("{pictures} pictures go back to picture {number} (POC {poc}): {cause}")
        });
        let left = self.chains.len().saturating_sub(CHAINS_TOLD);
        told.chain((left > 0).then(|| format!("and {left} more such chains")))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { exact, damaged, tainted, recovering, dropped, .. } = self;
        write!(f, "exact {exact}, damaged {damaged}, tainted {tainted}, recovering {recovering}")?;
        write!(f, ", dropped {}", dropped.values().sum::<u64>())?;
        for (i, (reason, count)) in dropped.iter().enumerate() {
            write!(f, "{}{count} {reason}", if i == 0 { " (" } else { ", " })?;
        }
        if dropped.is_empty() { Ok(()) } else { f.write_str(")") }
    }
}

#[cfg(test)]
mod tests {
    use nvdec::PictureFault;

    use super::*;
    use crate::output::testing;

    fn picture(index: u64, integrity: Integrity) -> Picture {
        Picture { integrity, ..testing::picture(index) }
    }

    #[test]
    fn what_is_said_of_a_damaged_stream() {
        let cause = PictureFault::MissingReference { poc: 6 };
        let damaged = Integrity::Damaged { cause };
        let mut integrities = Integrities::default();
        integrities.note(&picture(0, Integrity::Exact), false);
        integrities.note(&picture(1, damaged), true);
        integrities.note(&picture(2, Integrity::Exact), true);
        let mut tally = Tally::default();
        (tally.exact, tally.damaged, tally.dropped.before_start) = (2, 1, 3);
        let report = integrities.report(&tally);
        assert_eq!((report.exact, report.damaged), (1, 2));
        assert!(!report.is_sound());
        assert_eq!(
            report.to_string(),
            "exact 1, damaged 2, tainted 0, recovering 0, dropped 3 (3 before the first picture to begin with)"
        );
        let causes: Vec<_> = report.damaged_pictures.iter().map(|damaged| damaged.cause.as_str()).collect();
        assert!(causes[0].contains("POC 6") && causes[1].contains("hash"), "{causes:?}");
    }

    #[test]
    fn a_sound_stream_has_nothing_to_tell() {
        let mut tally = Tally::default();
        (tally.exact, tally.dropped.leading) = (5, 2);
        let report = Integrities::default().report(&tally);
        assert!(report.is_sound() && report.told_chains().next().is_none());
        tally.dropped.refused = 1;
        assert!(!Integrities::default().report(&tally).is_sound());
    }
}
