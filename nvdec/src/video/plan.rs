//! [`plan`]: what has to be sent to a decoder so that certain pictures come out, and nothing else.

use std::collections::BTreeSet;

use super::survey::{Flags, Picture};

/// A picture to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Its position in decoding order.
    pub(super) position: u32,
    /// The decoder begins anew with it: nothing from here on needs anything that was sent before.
    pub(super) anew: bool,
}

/// Rounds in which single pictures are added for the sake of order counts. Streams whose references lie so far apart that
/// more are needed get all pictures between.
const ROUNDS: usize = 8;

/// The pictures to send for `wanted`, which are positions in decoding order: they, all that they are predicted from over any
/// number of steps, and what it takes for the decoder to begin and to count them.
pub(super) fn plan(
    pictures: &[Picture],
    places: &Places,
    wanted: impl IntoIterator<Item = u32>,
) -> Vec<Step> {
    let mut chosen = Chosen { pictures, places, positions: BTreeSet::new() };
    for position in wanted {
        chosen.add(position);
    }
    let mut round = 0;
    loop {
        if let Some(start) = chosen.missing_start() {
            chosen.add(start);
            continue;
        }
        let steps = chosen.steps();
        let gaps = chosen.gaps(&steps);
        // With all between there are none left.
        if gaps.is_empty() || round > ROUNDS {
            return steps;
        }
        for (before, at) in gaps {
            if round < ROUNDS {
                chosen.add(chosen.anchor(before, at).unwrap_or(before));
            } else {
                (before..at).for_each(|position| chosen.add(position));
            }
        }
        round += 1;
    }
}

/// Where a decoder can begin, by positions in decoding order, ascending: not to be looked for picture by picture, of which there
/// may be many without one.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    keys: Vec<u32>,
    starts: Vec<u32>,
}

impl Places {
    pub(super) fn of(pictures: &[Picture]) -> Places {
        let with = |flags: Flags| {
            let is_one = |&position: &u32| pictures[position as usize].surveyed.flags.intersects(flags);
            (0..pictures.len() as u32).filter(is_one).collect()
        };
        Places { keys: with(Flags::KEY), starts: with(Flags::START | Flags::KEY) }
    }
}

/// The last one of `places` before `position`.
fn last_before(places: &[u32], position: u32) -> Option<u32> {
    let at = places.partition_point(|&place| place < position).checked_sub(1)?;
    Some(places[at])
}

struct Chosen<'a> {
    pictures: &'a [Picture],
    places: &'a Places,
    positions: BTreeSet<u32>,
}

impl Chosen<'_> {
    fn flags(&self, position: u32) -> Flags {
        self.pictures[position as usize].surveyed.flags
    }

    /// Adds a picture and all that it needs.
    fn add(&mut self, position: u32) {
        let mut open = vec![position];
        while let Some(position) = open.pop() {
            if self.positions.insert(position) {
                open.extend(&self.pictures[position as usize].surveyed.needs);
            }
        }
    }

    /// A picture behind `before` that the order count of the one at `position` can be counted from: the first one that is near
    /// enough, so that few are added.
    fn anchor(&self, before: u32, position: u32) -> Option<u32> {
        let near = |&at: &u32| self.flags(at).contains(Flags::ANCHOR) && !self.is_far(at, position);
        (before + 1..position).find(near)
    }

    /// Whether the order count of the picture at `position` is lost if it is counted from the one at `anchor` (H.265 8.3.1).
    fn is_far(&self, anchor: u32, position: u32) -> bool {
        let surveyed = |position: u32| &self.pictures[position as usize].surveyed;
        let half = 1i64 << surveyed(position).order_count_bits.clamp(1, 31) >> 1;
        let distance = i64::from(surveyed(position).order_count) - i64::from(surveyed(anchor).order_count);
        distance > half || distance <= -half
    }

    /// A picture to begin with that is missing: before the first, or before a random access point that is not to be the
    /// beginning, since a picture behind it is passed over there.
    fn missing_start(&self) -> Option<u32> {
        let &first = self.positions.first()?;
        if !self.flags(first).intersects(Flags::START | Flags::KEY) {
            // Without one the decoder says so itself.
            return last_before(&self.places.starts, first);
        }
        let need = self.positions.iter().filter_map(|&position| self.need(position)).min()?;
        (need < first).then(|| last_before(&self.places.starts, first)).flatten()
    }

    /// The first picture that the one at `position` needs to have been sent before.
    fn need(&self, position: u32) -> Option<u32> {
        let surveyed = &self.pictures[position as usize].surveyed;
        // One that is passed over where decoding begins with the key picture before it needs something before that.
        let is_led = surveyed.flags.contains(Flags::LEADING) && !surveyed.flags.contains(Flags::DROPPED);
        let before_key = is_led.then(|| last_before(&self.places.keys, position)?.checked_sub(1)).flatten();
        surveyed.needs.first().copied().into_iter().chain(before_key).min()
    }

    fn steps(&self) -> Vec<Step> {
        let positions: Vec<u32> = self.positions.iter().copied().collect();
        // What is needed by each picture or one behind it.
        let mut needed = vec![u32::MAX; positions.len()];
        let mut lowest = u32::MAX;
        for (at, &position) in positions.iter().enumerate().rev() {
            lowest = lowest.min(self.need(position).unwrap_or(u32::MAX));
            needed[at] = lowest;
        }
        let (mut before, mut skipped) = (None, false);
        let step = |(position, needed): (u32, u32)| {
            skipped |= before.replace(position).is_some_and(|before: u32| before + 1 != position);
            let anew = skipped && self.flags(position).contains(Flags::KEY) && needed >= position;
            skipped &= !anew;
            Step { position, anew }
        };
        positions.into_iter().zip(needed).map(step).collect()
    }

    /// Pictures whose order count a decoder would get wrong, each with the one sent before it.
    fn gaps(&self, steps: &[Step]) -> Vec<(u32, u32)> {
        let mut gaps = Vec::new();
        let mut anchor = 0;
        let mut before = None;
        for &Step { position, anew } in steps {
            let flags = self.flags(position);
            match before.filter(|_| !anew && !flags.contains(Flags::BEGINS_SEQUENCE)) {
                // It has its own.
                None => anchor = position,
                Some(before) if self.is_far(anchor, position) => gaps.push((before, position)),
                Some(_) => {}
            }
            if flags.contains(Flags::ANCHOR) {
                anchor = position;
            }
            before = Some(position);
        }
        gaps
    }
}

#[cfg(test)]
mod tests {
    use super::super::survey::Surveyed;
    use super::*;

    /// A picture with an order count of four bits, which needs others.
    fn picture(flags: Flags, order_count: i32, needs: &[u32]) -> Picture {
        let needs = needs.iter().copied().collect();
        let surveyed = Surveyed { flags, temporal_layer: 0, order_count, order_count_bits: 4, needs };
        Picture { surveyed, packet: 0, offset: 0 }
    }

    fn key(order_count: i32) -> Picture {
        let flags = Flags::KEY | Flags::START | Flags::ANCHOR | Flags::BEGINS_SEQUENCE;
        picture(flags, order_count, &[])
    }

    fn steps(pictures: &[Picture], wanted: &[u32]) -> Vec<(u32, bool)> {
        let steps = plan(pictures, &Places::of(pictures), wanted.iter().copied());
        steps.into_iter().map(|step| (step.position, step.anew)).collect()
    }

    /// Two groups of a key picture, two references in a row, and a picture that nobody needs behind each.
    fn groups() -> Vec<Picture> {
        let anchor = Flags::ANCHOR;
        let mut pictures = Vec::new();
        for at in [0, 5] {
            pictures.push(key(0));
            pictures.push(picture(anchor, 2, &[at]));
            pictures.push(picture(Flags::empty(), 1, &[at, at + 1]));
            pictures.push(picture(anchor, 4, &[at + 1]));
            pictures.push(picture(Flags::empty(), 3, &[at + 1, at + 3]));
        }
        pictures
    }

    #[test]
    fn only_what_is_needed_is_sent() {
        assert_eq!(steps(&groups(), &[]), []);
        assert_eq!(steps(&groups(), &[0]), [(0, false)]);
        assert_eq!(steps(&groups(), &[9]), [5, 6, 8, 9].map(|position| (position, false)));
        assert_eq!(steps(&groups(), &[2, 1]), [0, 1, 2].map(|position| (position, false)));
    }

    #[test]
    fn what_is_skipped_makes_the_decoder_begin_anew_at_a_key_picture() {
        let chosen = [(0, false), (1, false), (5, true), (6, false), (7, false)];
        assert_eq!(steps(&groups(), &[1, 7]), chosen);
        let all: Vec<u32> = (0..10).collect();
        assert!(steps(&groups(), &all).iter().all(|&(_, anew)| !anew), "nothing is skipped");
    }

    #[test]
    fn order_counts_are_not_lost_on_the_way() {
        // A long row of anchors, of which the last needs the first alone.
        let mut pictures = vec![key(0)];
        pictures.extend((1..12).map(|count| picture(Flags::ANCHOR, count, &[])));
        pictures.push(picture(Flags::ANCHOR, 12, &[0]));
        let found = steps(&pictures, &[12]);
        // From 0 to 12 is more than half of 16.
        assert_eq!(found, [(0, false), (4, false), (12, false)]);
    }

    #[test]
    fn each_picture_is_near_the_one_that_it_is_counted_from() {
        let mut pictures = vec![key(0)];
        pictures.extend((1..400).map(|count| picture(Flags::ANCHOR, count, &[count as u32 - 1])));
        pictures.push(picture(Flags::ANCHOR, 400, &[0]));
        let found = steps(&pictures, &[400]);
        assert!(found.iter().zip(&found[1..]).all(|(a, b)| b.0 - a.0 <= 8), "{found:?}");
        assert_eq!((found[0], found[found.len() - 1]), ((0, false), (400, false)));
    }

    #[test]
    fn a_leading_picture_is_not_passed_over() {
        let leading = Flags::LEADING;
        let mut pictures = vec![key(0), picture(Flags::ANCHOR, 4, &[0])];
        pictures.push(picture(Flags::KEY | Flags::START | Flags::ANCHOR, 8, &[]));
        // It needs nothing before the key picture, and would be passed over all the same.
        pictures.push(picture(leading, 6, &[2]));
        assert_eq!(steps(&pictures, &[3]), [(0, false), (2, false), (3, false)]);
        assert_eq!(steps(&pictures, &[2]), [(2, false)]);
    }

    /// As in a stream that means harm: work grows with the number of pictures, and not with its square.
    #[test]
    fn many_leading_pictures_take_no_time() {
        let mut pictures = vec![key(0), picture(Flags::ANCHOR, 4, &[0])];
        pictures.push(picture(Flags::KEY | Flags::START | Flags::ANCHOR, 8, &[]));
        pictures.extend((0..300_000).map(|_| picture(Flags::LEADING, 6, &[2])));
        let all: Vec<u32> = (3..pictures.len() as u32).collect();
        assert_eq!(steps(&pictures, &all).len(), all.len() + 2);
    }

    #[test]
    fn a_picture_without_a_beginning_gets_one() {
        let pictures = [key(0), picture(Flags::ANCHOR, 1, &[0]), picture(Flags::INCOMPLETE, 2, &[])];
        assert_eq!(steps(&pictures, &[2]), [(0, false), (2, false)]);
        assert_eq!(steps(&pictures[2..], &[0]), [(0, false)], "the decoder says what is wrong");
    }
}
