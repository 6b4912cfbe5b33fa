//! The engine's picture table: where the target and its references stand, for one picture.

use arrayvec::ArrayVec;
use hevc::dpb::{RefEntry, ResolvedRps};

use super::descriptor::{LIST_ENTRIES, PlacedReference, References};
use crate::error::Result;
use crate::motion::PLACES;
use crate::surface::Surface;

/// The place of an entry that has none yet.
const NOWHERE: u8 = u8::MAX;

/// A picture table, and the reference picture set in terms of its places.
#[derive(Debug)]
pub(crate) struct PictureTable {
    /// Places in use with what stands there, the target first.
    pub(crate) pictures: Vec<(u8, Surface)>,
    /// The references.
    pub(crate) references: References,
}

impl PictureTable {
    /// Gives places to all that `rps` names beside the target. `surface` gives those pictures by their position in
    /// initial list 0, `None` for a missing one, for which `missing` makes a stand-in. `fixed` are positions in that
    /// list whose place is settled by where their motion vectors lie. `pictures` is an empty list to be filled.
    ///
    /// `None` if there are more pictures than places.
    pub(crate) fn new(
        target: (&Surface, u8),
        rps: &ResolvedRps,
        surface: impl Fn(usize) -> Option<Surface>,
        fixed: &[(usize, u8)],
        mut missing: impl FnMut() -> Result<Surface>,
        mut pictures: Vec<(u8, Surface)>,
    ) -> Result<Option<PictureTable>> {
        let total = rps.num_pic_total_curr();
        if total > LIST_ENTRIES {
            return Ok(None);
        }
        let entries: ArrayVec<&RefEntry, LIST_ENTRIES> = rps.initial_list0().collect();
        let mut places = [NOWHERE; LIST_ENTRIES];
        pictures.push((target.1, target.0.clone()));
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
                return Ok(None);
            }
            taken |= 1 << place;
            places[at] = place;
            let surface = match surface(at) {
                Some(surface) => surface,
                None => missing()?,
            };
            pictures.push((place, surface));
        }
        let placed = entries.iter().zip(places).map(|(entry, place)| PlacedReference {
            place,
            poc: entry.poc,
            long_term: entry.long_term,
        });
        let counts = [rps.st_curr_before().len(), rps.st_curr_after().len(), rps.lt_curr().len()];
        Ok(Some(PictureTable { pictures, references: References::new(counts, placed) }))
    }
}

#[cfg(test)]
mod tests;
