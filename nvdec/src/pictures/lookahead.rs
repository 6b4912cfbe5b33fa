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
    /// Oldest first. All of them are looked at for each picture that leaves, so what is large lies elsewhere.
    entries: VecDeque<Entry>,
    /// By the number that entries call their slot.
    slots: Vec<Slot<T>>,
    vacant: Vec<usize>,
    /// Empty lists of followers, to be written into again.
    lists: Vec<Vec<u64>>,
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

#[derive(Clone, Copy, Debug)]
struct Entry {
    number: u64,
    /// Bytes of slice data of all pictures before this one.
    position: u64,
    /// When those of its references that are submitted are expected to be there.
    ready: Time,
    /// How many are not.
    missing: u32,
    slot: u32,
}

/// What nobody looks at before the picture leaves.
#[derive(Debug)]
struct Slot<T> {
    /// Pictures in the window that refer to this one.
    followers: Vec<u64>,
    /// `None` if the slot is vacant.
    picture: Option<T>,
}

/// Pictures in the window that wait for one that has left it.
#[derive(Debug)]
#[must_use]
pub(crate) struct Followers(Vec<u64>);

impl<T> Lookahead<T> {
    pub(crate) fn new(limits: Limits) -> Self {
        let (entries, slots, vacant, lists) = Default::default();
        Lookahead { entries, slots, vacant, lists, limits }
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
        self.entries.iter().filter_map(|entry| self.slots[entry.slot as usize].picture.as_ref())
    }

    /// Adds the next picture in decoding order. `missing` are the numbers of its references that were not submitted,
    /// which may repeat; `ready` is when the others are expected to be decoded; `position` counts the bytes of slice
    /// data before it.
    pub(crate) fn push(&mut self, number: u64, position: u64, missing: &[u64], ready: Time, picture: T) {
        debug_assert!(self.entries.back().is_none_or(|last| last.number < number));
        let mut unsubmitted = 0;
        for &reference in missing {
            let at = self.find(reference).expect("what is not submitted is in the window");
            let followers = &mut self.slots[self.entries[at].slot as usize].followers;
            if followers.last() != Some(&number) {
                if followers.capacity() == 0 {
                    *followers = self.lists.pop().unwrap_or_default();
                }
                followers.push(number);
                unsubmitted += 1;
            }
        }
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(Slot { followers: Vec::new(), picture: None });
            self.slots.len() - 1
        });
        self.slots[slot].picture = Some(picture);
        self.entries.push_back(Entry { number, position, ready, missing: unsubmitted, slot: slot as u32 });
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
        let slot = &mut self.slots[entry.slot as usize];
        let picture = slot.picture.take().expect("an entry has a picture");
        self.vacant.push(entry.slot as usize);
        (picture, Followers(std::mem::take(&mut slot.followers)))
    }

    /// Takes all pictures, oldest first, none of which is to be submitted.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> {
        let (entries, mut slots) = (std::mem::take(&mut self.entries), std::mem::take(&mut self.slots));
        self.vacant.clear();
        entries.into_iter().filter_map(move |entry| slots[entry.slot as usize].picture.take())
    }

    /// Notes that the picture that these follow was submitted and is expected to be decoded at `finish`.
    pub(crate) fn submitted(&mut self, followers: Followers, finish: Time) {
        let Followers(mut followers) = followers;
        for number in followers.drain(..) {
            let at = self.find(number).expect("no picture leaves before its references are submitted");
            let entry = &mut self.entries[at];
            entry.missing -= 1;
            entry.ready = entry.ready.max(finish);
        }
        if followers.capacity() > 0 {
            self.lists.push(followers);
        }
    }
}

#[cfg(test)]
mod tests;
