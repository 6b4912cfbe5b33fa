//! Short lists of pictures that need no memory of their own.

use std::hash::{Hash, Hasher};
use std::ops::Range;

/// Most pictures that one reference picture set may name: the DPB holds 16 pictures at most (A.4.2).
pub const MAX_REFERENCES: usize = 16;

/// Some lists of pictures one behind the other, [`MAX_REFERENCES`] together at most: small enough to be copied, and no
/// memory to be allocated for each picture.
#[derive(Clone, Copy)]
pub(crate) struct Lists<T, const LISTS: usize> {
    elements: [T; MAX_REFERENCES],
    /// Where each list ends in `elements`.
    ends: [u8; LISTS],
}

impl<T: Copy, const LISTS: usize> Lists<T, LISTS> {
    /// Empty lists; `unused` stands where no element is.
    pub(crate) const fn new(unused: T) -> Self {
        Self { elements: [unused; MAX_REFERENCES], ends: [0; LISTS] }
    }

    /// Gives empty lists these lengths; their elements are still to be filled in.
    pub(crate) fn set_lengths(&mut self, lengths: [usize; LISTS]) {
        let mut end = 0;
        for (place, length) in self.ends.iter_mut().zip(lengths) {
            end += length as u8;
            *place = end;
        }
    }

    /// Appends to a list. Those behind it must be empty, and there must be room.
    pub(crate) fn push(&mut self, list: usize, element: T) {
        let end = self.ends[list];
        self.elements[usize::from(end)] = element;
        self.ends[list..].fill(end + 1);
    }

    fn range(&self, list: usize) -> Range<usize> {
        let start = if list == 0 { 0 } else { self.ends[list - 1] };
        usize::from(start)..usize::from(self.ends[list])
    }

    /// One of the lists.
    pub(crate) fn list(&self, list: usize) -> &[T] {
        &self.elements[self.range(list)]
    }

    /// One of the lists.
    pub(crate) fn list_mut(&mut self, list: usize) -> &mut [T] {
        let range = self.range(list);
        &mut self.elements[range]
    }

    /// The lists up to the one given, it included.
    pub(crate) fn up_to(&self, list: usize) -> &[T] {
        &self.elements[..usize::from(self.ends[list])]
    }

    /// As [`up_to`](Self::up_to).
    pub(crate) fn up_to_mut(&mut self, list: usize) -> &mut [T] {
        &mut self.elements[..usize::from(self.ends[list])]
    }

    /// The elements of all lists.
    pub(crate) fn all(&self) -> &[T] {
        self.up_to(LISTS - 1)
    }

    /// The elements of all lists.
    pub(crate) fn all_mut(&mut self) -> &mut [T] {
        self.up_to_mut(LISTS - 1)
    }
}

impl<T: Copy + Default, const LISTS: usize> Default for Lists<T, LISTS> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: Copy + PartialEq, const LISTS: usize> PartialEq for Lists<T, LISTS> {
    fn eq(&self, other: &Self) -> bool {
        self.ends == other.ends && self.all() == other.all()
    }
}

impl<T: Copy + Eq, const LISTS: usize> Eq for Lists<T, LISTS> {}

impl<T: Copy + Hash, const LISTS: usize> Hash for Lists<T, LISTS> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.ends.hash(state);
        self.all().hash(state);
    }
}
