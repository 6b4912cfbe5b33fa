//! [`Uses`]: what still reads the memory of a tensor, or writes to it, so that the conversions of the next one wait for that.

use hcq::{SyncPoint, WordPoint};

use crate::channels;
use crate::uses::{Latest, Point};

/// The point at which a conversion is over.
pub(super) trait Conversion: Point {
    /// Whether it counts as over because its channel is gone. For points that are reached.
    fn is_lost(&self) -> bool;
}

impl Conversion for SyncPoint {
    fn is_lost(&self) -> bool {
        channels::is_lost(self)
    }
}

/// A value of a word that another program writes.
pub(super) trait Word: Clone {
    /// Whether it is known to be written. This may read GPU memory.
    fn is_written(&self) -> bool;
    /// Whether it is a value of the same word, and none that comes before `other`'s.
    fn includes(&self, other: &Self) -> bool;
}

impl Word for WordPoint {
    fn is_written(&self) -> bool {
        self.is_reached().unwrap_or(false)
    }

    fn includes(&self, other: &Self) -> bool {
        let address = |point: &Self| point.word().buffer().gpu_address();
        address(self) == address(other) && self.value().wrapping_sub(other.value()) < 1 << 31
    }
}

/// Until when the memory of a tensor is in use.
///
/// All conversions of a tensor wait for what used the memory before, so who waits for them waits for that as well. But one that is
/// lost with its channel counts as over, and what it waited for may still go on. So that is remembered until one is known to have
/// been made: it had waited for everything before it.
#[derive(Debug)]
pub(super) struct Uses<P = SyncPoint, W = WordPoint> {
    /// Conversions of the last tensor, and its readers.
    points: Latest<P>,
    /// Words that other programs write when they have read it.
    words: Vec<W>,
    /// What those waited for that are not known to be made, the oldest first.
    before: Vec<Before<P, W>>,
}

/// What the conversions of one tensor wait for, besides what those of the tensors before it do.
#[derive(Debug)]
struct Before<P, W> {
    /// The first of the conversions. It tells of all that they wait for.
    conversion: P,
    points: Latest<P>,
    words: Vec<W>,
}

impl<P, W> Default for Uses<P, W> {
    fn default() -> Self {
        Uses { points: Latest::default(), words: Vec::new(), before: Vec::new() }
    }
}

impl<P: Conversion, W: Word> Uses<P, W> {
    /// Conversions of the last tensor, and its readers.
    pub(super) fn points(&self) -> &[P] {
        self.points.as_slice()
    }

    /// Notes a read that ends at `point`.
    pub(super) fn read_until(&mut self, point: &P) {
        self.points.add(point);
    }

    /// Notes a read by another program.
    pub(super) fn read_until_word(&mut self, word: W) {
        self.words.push(word);
    }

    /// What conversions to the memory have to wait for.
    pub(super) fn before_conversion(&mut self) -> (Vec<P>, Vec<W>) {
        self.forget_what_is_over();
        let (mut points, mut words) = (Latest::default(), self.words.clone());
        let before = self.before.iter().flat_map(|before| before.points.as_slice());
        points.add_all(self.points.as_slice().iter().chain(before));
        // Of each timeline, one is looked at.
        points.forget_reached();
        // Readers often count in one word: the last value will do.
        for word in self.before.iter().rev().flat_map(|before| &before.words) {
            if !words.iter().any(|known| known.includes(word)) {
                words.push(word.clone());
            }
        }
        (points.into_vec(), words)
    }

    /// Notes a conversion that ends at `point`. It waits for what [`before_conversion`](Self::before_conversion) gave before the
    /// first one of its tensor.
    pub(super) fn converted(&mut self, point: &P, is_first: bool) {
        if is_first {
            // What is on its own timeline is lost with it.
            self.points.retain(|before| !before.shares_timeline(point) && !before.is_reached());
            let is_behind_none = self.points.is_empty() && self.words.is_empty();
            // Behind nothing new, it still tells whether what the others waited for is over.
            if !(is_behind_none && self.before.is_empty()) {
                let (points, words) = (std::mem::take(&mut self.points), std::mem::take(&mut self.words));
                self.before.push(Before { conversion: point.clone(), points, words });
            }
        }
        self.points.add(point);
    }

    fn forget_what_is_over(&mut self) {
        for at in (0..self.before.len()).rev() {
            let before = &mut self.before[at];
            if !before.conversion.is_reached() {
                continue;
            }
            if !before.conversion.is_lost() {
                self.before.drain(..=at);
                return;
            }
            // Only of conversions that are lost: the others will tell of what they wait for.
            before.points.forget_reached();
            before.words.retain(|word| !word.is_written());
            if before.points.is_empty() && before.words.is_empty() {
                self.before.remove(at);
            }
        }
    }
}

#[cfg(test)]
mod tests;
