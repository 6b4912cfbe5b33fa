//! [`Lookahead`]: pictures that are parsed and not submitted yet.
//!
//! An engine executes what it is given in order. A picture that waits for its references holds up all that was given to
//! the engine behind it, even where nothing keeps those from being decoded. So pictures are held back until some later
//! ones are known, and submitted in the order in which they can start; which is never before those that they refer to.

use std::collections::VecDeque;

use crate::scheduler::cost::Time;

/// Pictures in decoding order, each with what it still waits for.
#[derive(Debug)]
pub(crate) struct Lookahead<T> {
    entries: VecDeque<Entry<T>>,
    limits: Limits,
}

/// How much a window holds before pictures have to leave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Pictures.
    pub(crate) pictures: usize,
    /// Pictures from the oldest one to the newest that was there.
    pub(crate) span: u64,
    /// Bytes of slice data in that span.
    pub(crate) bytes: u64,
}

#[derive(Debug)]
struct Entry<T> {
    number: u64,
    /// Bytes of slice data of all pictures before this one.
    position: u64,
    /// How many of its references are not submitted.
    missing: usize,
    /// When the others are expected to be there.
    ready: Time,
    /// Pictures in the window that refer to this one.
    followers: Vec<u64>,
    picture: T,
}

/// Pictures in the window that wait for one that has left it.
#[derive(Debug)]
#[must_use]
pub(crate) struct Followers(Vec<u64>);

impl<T> Lookahead<T> {
    pub(crate) fn new(limits: Limits) -> Self {
        Lookahead { entries: VecDeque::new(), limits }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Changes how much it holds from now on.
    pub(crate) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// The pictures, oldest first.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|entry| &entry.picture)
    }

    /// Adds the next picture in decoding order. `missing` are the numbers of its references that were not submitted,
    /// which may repeat; `ready` is when the others are expected to be decoded; `position` counts the bytes of slice
    /// data before it.
    pub(crate) fn push(&mut self, number: u64, position: u64, missing: &[u64], ready: Time, picture: T) {
        debug_assert!(self.entries.back().is_none_or(|last| last.number < number));
        let mut entry = Entry { number, position, missing: 0, ready, followers: Vec::new(), picture };
        for &reference in missing {
            let at = self.find(reference).expect("what is not submitted is in the window");
            let followers = &mut self.entries[at].followers;
            if followers.last() != Some(&number) {
                followers.push(number);
                entry.missing += 1;
            }
        }
        self.entries.push_back(entry);
    }

    fn find(&self, number: u64) -> Option<usize> {
        self.entries.binary_search_by_key(&number, |entry| entry.number).ok()
    }

    /// Whether a picture has to leave before picture `number` comes, with `position` bytes before it. Of several windows
    /// that the engines are fed from, each is so much smaller: what a good order is for is done by the other streams.
    pub(crate) fn is_full(&self, number: u64, position: u64, windows: usize) -> bool {
        self.entries.len() > self.limits.pictures / windows.max(1) || self.is_stretched(number, position)
    }

    fn is_stretched(&self, number: u64, position: u64) -> bool {
        self.entries.front().is_some_and(|oldest| {
            number - oldest.number > self.limits.span || position - oldest.position > self.limits.bytes
        })
    }

    /// The picture that can start first on engines of which one is free at `free`; of several, the oldest. It is the
    /// oldest in any case if `in_order`, or if that has been passed by too often.
    pub(crate) fn choose(&self, free: Time, in_order: bool) -> Option<usize> {
        let newest = self.entries.back()?;
        if in_order || self.is_stretched(newest.number, newest.position) {
            return Some(0);
        }
        let complete = self.entries.iter().enumerate().filter(|(_, entry)| entry.missing == 0);
        complete.min_by_key(|(_, entry)| entry.ready.max(free)).map(|(index, _)| index)
    }

    /// Takes a picture that was chosen.
    pub(crate) fn take(&mut self, index: usize) -> (T, Followers) {
        let entry = self.entries.remove(index).expect("it was chosen");
        debug_assert!(entry.missing == 0, "nothing is submitted before its references");
        (entry.picture, Followers(entry.followers))
    }

    /// Takes all pictures, oldest first, none of which is to be submitted.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.entries.drain(..).map(|entry| entry.picture)
    }

    /// Notes that the picture that these follow was submitted and is expected to be decoded at `finish`.
    pub(crate) fn submitted(&mut self, followers: Followers, finish: Time) {
        for number in followers.0 {
            let at = self.find(number).expect("no picture leaves before its references are submitted");
            let entry = &mut self.entries[at];
            entry.missing -= 1;
            entry.ready = entry.ready.max(finish);
        }
    }
}

#[cfg(test)]
mod tests;
