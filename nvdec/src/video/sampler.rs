//! [`Sampling`]: which clips are taken from many videos, and in which order. It is a function of its fields alone: the same on
//! each machine, in each release.

use crate::error::{Error, Result};

/// What a clip has where its video has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PastEnd {
    /// The last picture of it that there is, again.
    #[default]
    RepeatLast,
    /// Its pictures from the first one on, again.
    Wrap,
    /// Nothing: the video is too short, which is an error.
    Error,
}

/// Which clips to take. With `shuffle` they come in a random order, and begin anywhere where they fit; without it, in the order of
/// the videos, and evenly spread over each.
///
/// ```
/// use nvdec::video::Sampling;
///
/// let sampling = Sampling { frames: 8, stride: 4, seed: 7, ..Sampling::default() };
/// // Of three videos, which all have 100 pictures.
/// for clip in sampling.clips(3) {
///     println!("{:?}", sampling.numbers(clip, 100)?);
/// }
/// # Ok::<(), nvdec::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sampling {
    /// Pictures of a clip.
    pub frames: usize,
    /// From one picture of a clip to the next: 1 for all, 2 for every second.
    pub stride: usize,
    /// Clips of each video in an epoch.
    pub per_video: usize,
    /// What a clip has where its video has ended.
    pub past_end: PastEnd,
    /// Whether order and beginnings are random.
    pub shuffle: bool,
    /// What randomness begins with.
    pub seed: u64,
    /// Which time all clips are taken: others are drawn each time.
    pub epoch: u64,
    /// Which of [`world`](Self::world) processes this is, from 0. Each gets other clips, as many as the others: what is left over
    /// when they are shared out evenly is left out.
    pub rank: usize,
    /// Processes that share the clips.
    pub world: usize,
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling {
            frames: 16,
            stride: 1,
            per_video: 1,
            past_end: PastEnd::default(),
            shuffle: true,
            seed: 0,
            epoch: 0,
            rank: 0,
            world: 1,
        }
    }
}

/// A clip that is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Clip {
    /// Which video, from 0.
    pub video: usize,
    /// Which of its clips, from 0.
    pub number: usize,
}

impl Sampling {
    /// The clips of this epoch and rank, in their order, of so many videos.
    pub fn clips(&self, videos: usize) -> Vec<Clip> {
        let all = (0..videos).flat_map(|video| (0..self.per_video).map(move |number| Clip { video, number }));
        let mut all: Vec<Clip> = all.collect();
        if self.shuffle {
            let mut random = Random::new([self.seed, self.epoch, 0, 0]);
            for at in (1..all.len()).rev() {
                all.swap(at, random.below(at as u64 + 1) as usize);
            }
        }
        let world = self.world.max(1);
        let each = all.len() / world;
        all.into_iter()
            .skip(self.rank)
            .step_by(world)
            .take(if self.rank < world { each } else { 0 })
            .collect()
    }

    /// The pictures of a clip of a video that has `pictures`.
    ///
    /// # Errors
    ///
    /// [`Error::ShortVideo`] if it has too few and [`PastEnd::Error`] is asked for, or none.
    pub fn numbers(&self, clip: Clip, pictures: usize) -> Result<Vec<usize>> {
        let stride = self.stride.max(1);
        let span = self.frames.saturating_sub(1).saturating_mul(stride).saturating_add(1);
        if pictures == 0 || pictures < span && self.past_end == PastEnd::Error {
            return Err(Error::ShortVideo { pictures, span });
        }
        // Places where a clip can begin, besides the first.
        let room = pictures.saturating_sub(span);
        let start = if self.shuffle {
            let mut random = Random::new([self.seed, self.epoch, clip.video as u64 + 1, clip.number as u64]);
            random.below(room as u64 + 1) as usize
        } else {
            let last = self.per_video.saturating_sub(1).max(1);
            (room as u128 * clip.number.min(last) as u128 / last as u128) as usize
        };
        let there = (pictures - start).div_ceil(stride).min(self.frames);
        let number = |at: usize| match self.past_end {
            _ if at < there => at,
            PastEnd::Wrap => at % there,
            PastEnd::RepeatLast | PastEnd::Error => there - 1,
        };
        Ok((0..self.frames).map(|at| start + number(at) * stride).collect())
    }
}

/// SplitMix64, which is short enough to be the same for ever.
struct Random(u64);

impl Random {
    fn new(seed: [u64; 4]) -> Random {
        let mut random = Random(0);
        for part in seed {
            random.0 = random.next() ^ part;
        }
        random
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `end`, which is not 0. Off by less than one in 2^32 for what there are videos and pictures.
    fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const FIRST: Clip = Clip { video: 0, number: 0 };

    #[test]
    fn each_clip_comes_once_in_an_epoch_whoever_takes_it() {
        let sampling = Sampling { per_video: 3, world: 4, ..Sampling::default() };
        let ranks: Vec<Vec<Clip>> = (0..4).map(|rank| Sampling { rank, ..sampling }.clips(7)).collect();
        // 21 clips, of which one is left out.
        assert!(ranks.iter().all(|clips| clips.len() == 5));
        let all: BTreeSet<Clip> = ranks.iter().flatten().copied().collect();
        assert_eq!(all.len(), 20);
        assert_eq!(Sampling { rank: 4, ..sampling }.clips(7), []);
        assert_eq!(sampling.clips(0), []);
    }

    #[test]
    fn epochs_and_seeds_differ_and_are_the_same_again() {
        let sampling = Sampling::default();
        let order = |seed, epoch| Sampling { seed, epoch, ..sampling }.clips(50);
        assert_eq!(order(1, 2), order(1, 2));
        assert_ne!(order(1, 2), order(1, 3));
        assert_ne!(order(1, 2), order(2, 2));
        // What is drawn is part of the interface: results are compared between releases.
        let numbers = Sampling { frames: 2, seed: 5, ..sampling }.numbers(FIRST, 1000).unwrap();
        assert_eq!(numbers, [913, 914]);
    }

    #[test]
    fn clips_lie_within_their_video() {
        for pictures in [8, 29, 30, 240] {
            for number in 0..200 {
                let sampling = Sampling { frames: 8, stride: 4, ..Sampling::default() };
                let numbers = sampling.numbers(Clip { number, ..FIRST }, pictures).unwrap();
                assert_eq!(numbers.len(), 8);
                assert!(numbers.iter().all(|&number| number < pictures));
            }
        }
    }

    #[test]
    fn starts_are_spread_over_all_that_there_are() {
        let sampling = Sampling { frames: 4, ..Sampling::default() };
        let start = |number| sampling.numbers(Clip { number, ..FIRST }, 10).unwrap()[0];
        let starts: BTreeSet<usize> = (0..200).map(start).collect();
        assert_eq!(starts, (0..=6).collect());
        let even = Sampling { shuffle: false, per_video: 3, ..sampling };
        let start = |number| even.numbers(Clip { number, ..FIRST }, 10).unwrap()[0];
        assert_eq!([start(0), start(1), start(2)], [0, 3, 6]);
    }

    #[test]
    fn behind_the_end() {
        let of = |past_end| Sampling { frames: 5, stride: 2, past_end, ..Sampling::default() };
        assert_eq!(of(PastEnd::RepeatLast).numbers(FIRST, 5).unwrap(), [0, 2, 4, 4, 4]);
        assert_eq!(of(PastEnd::Wrap).numbers(FIRST, 5).unwrap(), [0, 2, 4, 0, 2]);
        let error = of(PastEnd::Error).numbers(FIRST, 5).unwrap_err().to_string();
        assert!(error.contains('9') && error.contains('5'), "{error}");
        assert!(of(PastEnd::RepeatLast).numbers(FIRST, 0).is_err());
    }
}
