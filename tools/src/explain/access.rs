//! [`Access`]: where decoding of a film can begin, and what kinds of pictures it has.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::film::Film;
use crate::parse::ParsedStream;

/// Where decoding can begin. Field names are those of the JSON output.
#[derive(Clone, Debug, Serialize)]
pub struct Access {
    /// Random access points: pictures with which decoding can begin.
    pub points: usize,
    /// Pictures from one to the next: the least, the most, and on average.
    pub distance: Option<Distance>,
    /// Seconds from one to the next on average.
    pub seconds: Option<f64>,
    /// Those behind which everything can be decoded without what is before.
    pub closed: usize,
    /// Those with leading pictures that need what is before (RASL).
    pub open: usize,
    /// Pictures by the name of their NAL unit type.
    pub nal_unit_types: BTreeMap<&'static str, usize>,
    /// Pictures by their slices: I, P, B.
    pub slice_types: BTreeMap<char, usize>,
    /// Pictures by `TemporalId`.
    pub temporal_layers: BTreeMap<u8, usize>,
}

/// Pictures in decoding order from one random access point to the next.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Distance {
    /// The least.
    pub least: usize,
    /// The most.
    pub most: usize,
    /// On average.
    pub mean: f64,
}

impl Access {
    /// Of a film.
    pub(super) fn of(parsed: &ParsedStream, film: &Film) -> Access {
        let pictures = &parsed.pictures;
        let is_point = |name: &str| ["IDR", "CRA", "BLA"].iter().any(|kind| name.starts_with(kind));
        let at: Vec<usize> = (0..pictures.len()).filter(|&at| is_point(pictures[at].nal_unit_type)).collect();
        // Those that lead a point stand behind it, up to the next one.
        let is_open = |(number, &start): (usize, &usize)| {
            let end = at.get(number + 1).copied().unwrap_or(pictures.len());
            pictures[start..end].iter().any(|picture| picture.nal_unit_type.starts_with("RASL"))
        };
        let open = at.iter().enumerate().filter(|&point| is_open(point)).count();
        let steps: Vec<usize> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = steps.iter().sum::<usize>() as f64 / steps.len() as f64;
        let distance = steps.iter().min().zip(steps.iter().max());
        let distance = distance.map(|(&least, &most)| Distance { least, most, mean });
        let rate = film.video().index().frame_rate();
        let mut access = Access {
            points: at.len(),
            distance,
            seconds: distance
                .zip(rate)
                .map(|(distance, (rate, per))| distance.mean * f64::from(per) / f64::from(rate)),
            closed: at.len() - open,
            open,
            nal_unit_types: BTreeMap::new(),
            slice_types: BTreeMap::new(),
            temporal_layers: BTreeMap::new(),
        };
        for picture in pictures {
            *access.nal_unit_types.entry(picture.nal_unit_type).or_default() += 1;
            *access.slice_types.entry(picture.kind()).or_default() += 1;
            *access.temporal_layers.entry(picture.temporal_id).or_default() += 1;
        }
        access
    }
}
