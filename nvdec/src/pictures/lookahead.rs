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
    slots: Vec<Slot<T>>,
    vacant: Vec<u32>,
    /// Pictures that wait for none in here, in no order: only these are looked at for one that leaves.
    complete: Vec<Complete>,
    /// Slots of the pictures from number `oldest` on, [`GONE`] for one that has left. The first and the last are there.
    order: VecDeque<u32>,
    oldest: u64,
    /// Empty lists of followers, to be written into again.
    lists: Vec<Vec<u32>>,
    limits: Limits,
}

/// In the place of a slot.
const GONE: u32 = u32::MAX;

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

/// A picture, in the same slot for as long as it is there.
#[derive(Debug)]
struct Slot<T> {
    number: u64,
    /// Bytes of slice data of all pictures before this one.
    position: u64,
    /// When those of its references that are submitted are expected to be there.
    ready: Time,
    /// How many are not.
    missing: u32,
    /// Slots of pictures that refer to this one.
    followers: Vec<u32>,
    /// `None` if the slot is vacant.
    picture: Option<T>,
}

/// A picture all of whose references were submitted.
#[derive(Clone, Copy, Debug)]
struct Complete {
    /// When they are expected to be there.
    ready: Time,
    number: u64,
    slot: u32,
}

/// Which of the pictures that wait for none in the window is to leave it.
#[derive(Debug)]
#[must_use]
pub(crate) struct Choice(usize);

/// Pictures in the window that wait for one that has left it.
#[derive(Debug)]
#[must_use]
pub(crate) struct Followers(Vec<u32>);

impl<T> Lookahead<T> {
    pub(crate) fn new(limits: Limits) -> Self {
        let (slots, vacant, complete, order, lists) = Default::default();
        Lookahead { slots, vacant, complete, order, oldest: 0, lists, limits }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.vacant.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
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
        let slots = self.order.iter().filter_map(|&slot| self.slots.get(slot as usize));
        slots.filter_map(|slot| slot.picture.as_ref())
    }

    /// Adds the next picture in decoding order. `missing` are the numbers of its references that were not submitted,
    /// which may repeat; `ready` is when the others are expected to be decoded; `position` counts the bytes of slice
    /// data before it.
    pub(crate) fn push(&mut self, number: u64, position: u64, missing: &[u64], ready: Time, picture: T) {
        let at = self.vacant.pop().unwrap_or_else(|| {
            let (followers, picture) = Default::default();
            self.slots.push(Slot { number, position, ready, missing: 0, followers, picture });
            self.slots.len() as u32 - 1
        });
        let mut unsubmitted = 0;
        for &reference in missing {
            let reference = self.slot_of(reference).expect("what is not submitted is in the window");
            let followers = &mut self.slots[reference as usize].followers;
            if followers.last() != Some(&at) {
                if followers.capacity() == 0 {
                    *followers = self.lists.pop().unwrap_or_default();
                }
                followers.push(at);
                unsubmitted += 1;
            }
        }
        let slot = &mut self.slots[at as usize];
        (slot.number, slot.position, slot.ready, slot.missing) = (number, position, ready, unsubmitted);
        slot.picture = Some(picture);
        if unsubmitted == 0 {
            self.complete.push(Complete { ready, number, slot: at });
        }
        if self.order.is_empty() {
            self.oldest = number;
        }
        let place = number.checked_sub(self.oldest).expect("the next picture") as usize;
        debug_assert!(place >= self.order.len(), "decoding order");
        // Those between the last one and this one have left.
        self.order.resize(place, GONE);
        self.order.push_back(at);
    }

    fn slot_of(&self, number: u64) -> Option<u32> {
        let place = number.checked_sub(self.oldest)?;
        self.order.get(place as usize).copied().filter(|&slot| slot != GONE)
    }

    /// Whether a picture has to leave before picture `number` comes, with `position` bytes before it. Of several windows
    /// that the engines are fed from, each is so much smaller: what a good order is for is done by the other streams.
    pub(crate) fn is_full(&self, number: u64, position: u64, windows: usize) -> bool {
        self.len() > self.limits.pictures / windows.max(1) || self.is_stretched(number, position)
    }

    fn is_stretched(&self, number: u64, position: u64) -> bool {
        self.order.front().is_some_and(|&oldest| {
            number - self.oldest > self.limits.span
                || position - self.slots[oldest as usize].position > self.limits.bytes
        })
    }

    /// The picture that can start first on engines of which one is free at `free`; of several, the oldest. It is the
    /// oldest in any case if `in_order`, or if that has been passed by too often.
    pub(crate) fn choose(&self, free: Time, in_order: bool) -> Option<Choice> {
        let newest = &self.slots[*self.order.back()? as usize];
        let at = if in_order || self.is_stretched(newest.number, newest.position) {
            // Nothing is before the oldest that it could wait for.
            self.complete.iter().position(|complete| complete.number == self.oldest)
        } else {
            let complete = self.complete.iter().enumerate();
            complete.min_by_key(|(_, picture)| (picture.ready.max(free), picture.number)).map(|(at, _)| at)
        };
        at.map(Choice)
    }

    /// Takes the picture that was chosen last.
    pub(crate) fn take(&mut self, Choice(chosen): Choice) -> (T, Followers) {
        let Complete { number, slot: at, .. } = self.complete.swap_remove(chosen);
        let slot = &mut self.slots[at as usize];
        let picture = slot.picture.take().expect("a slot that is not vacant has a picture");
        let followers = std::mem::take(&mut slot.followers);
        self.vacant.push(at);
        self.order[(number - self.oldest) as usize] = GONE;
        while self.order.pop_front_if(|&mut slot| slot == GONE).is_some() {
            self.oldest += 1;
        }
        while self.order.pop_back_if(|&mut slot| slot == GONE).is_some() {}
        (picture, Followers(followers))
    }

    /// Takes all pictures, oldest first, none of which is to be submitted.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> {
        let (order, mut slots) = (std::mem::take(&mut self.order), std::mem::take(&mut self.slots));
        self.vacant.clear();
        self.complete.clear();
        order.into_iter().filter_map(move |slot| slots.get_mut(slot as usize)?.picture.take())
    }

    /// Notes that the picture that these follow was submitted and is expected to be decoded at `finish`.
    pub(crate) fn submitted(&mut self, followers: Followers, finish: Time) {
        let Followers(mut followers) = followers;
        for at in followers.drain(..) {
            // None of them leaves before it is complete.
            let slot = &mut self.slots[at as usize];
            slot.missing -= 1;
            slot.ready = slot.ready.max(finish);
            if slot.missing == 0 {
                self.complete.push(Complete { ready: slot.ready, number: slot.number, slot: at });
            }
        }
        if followers.capacity() > 0 {
            self.lists.push(followers);
        }
    }
}

#[cfg(test)]
mod tests;
