//! The engine's picture table: where the target and its references stand, for one picture.

use arrayvec::ArrayVec;
use hevc::dpb::{RefEntry, ResolvedRps};

use super::descriptor::{LIST_ENTRIES, PlacedReference, References};
use crate::motion::PLACES;
use crate::surface::Surface;

/// The place of an entry that has none yet.
const NOWHERE: u8 = u8::MAX;

/// A picture table, and the reference picture set in terms of its places.
#[derive(Debug)]
pub(crate) struct PictureTable<'a> {
    /// Places in use with what stands there, the target first.
    pub(crate) pictures: ArrayVec<(u8, &'a Surface), PLACES>,
    /// The references.
    pub(crate) references: References,
}

impl<'a> PictureTable<'a> {
    /// Gives places to all that `rps` names beside the target. `surface` gives those pictures by their position in
    /// initial list 0. `fixed` are positions in that list whose place is settled by where their motion vectors lie.
    ///
    /// `None` if there are more pictures than places.
    pub(crate) fn new(
        target: (&'a Surface, u8),
        rps: &ResolvedRps,
        surface: impl Fn(usize) -> &'a Surface,
        fixed: &[(usize, u8)],
    ) -> Option<PictureTable<'a>> {
        let total = rps.num_pic_total_curr();
        if total > LIST_ENTRIES {
            return None;
        }
        let entries: ArrayVec<&RefEntry, LIST_ENTRIES> = rps.initial_list0().collect();
        let mut places = [NOWHERE; LIST_ENTRIES];
        let mut pictures = ArrayVec::new();
        pictures.push((target.1, target.0));
        let mut taken = 1u32 << target.1;
        // Settled places come first, so that none of them is given away.
        let order = fixed.iter().map(|&(at, place)| (at, Some(place)));
        for (at, settled) in order.chain((0..total).map(|at| (at, None))) {
            if places[at] != NOWHERE {
                continue;
            }
            // A picture that is named twice stands in one place.
            let same = |&other: &usize| places[other] != NOWHERE && entries[other].index == entries[at].index;
            if let Some(known) = entries[at].index.and_then(|_| (0..total).find(same)) {
                places[at] = places[known];
                continue;
            }
            let place = settled.unwrap_or((!taken).trailing_zeros() as u8);
            if usize::from(place) >= PLACES {
                return None;
            }
            taken |= 1 << place;
            places[at] = place;
            pictures.try_push((place, surface(at))).ok()?;
        }
        let placed = entries.iter().zip(places).map(|(entry, place)| PlacedReference {
            place,
            poc: entry.poc,
            long_term: entry.long_term,
        });
        let counts = [rps.st_curr_before().len(), rps.st_curr_after().len(), rps.lt_curr().len()];
        Some(PictureTable { pictures, references: References::new(counts, placed) })
    }
}

#[cfg(test)]
mod tests;
