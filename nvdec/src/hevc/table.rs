//! The engine's picture table: where the target and its references stand, for one picture.

use hevc::dpb::{DpbIndex, ResolvedRps};

use super::descriptor::{LIST_ENTRIES, PlacedReference, References};
use crate::error::Result;
use crate::motion::PLACES;
use crate::surface::Surface;

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
        let mut indices: [Option<DpbIndex>; LIST_ENTRIES] = [None; LIST_ENTRIES];
        indices.iter_mut().zip(rps.initial_list0()).for_each(|(index, entry)| *index = entry.index);
        let mut places: [Option<u8>; LIST_ENTRIES] = [None; LIST_ENTRIES];
        pictures.push((target.1, target.0.clone()));
        let mut taken = 1u32 << target.1;
        let order = fixed.iter().map(|&(at, place)| (at, Some(place)));
        for (at, settled) in order.chain((0..total).map(|at| (at, None))) {
            if places[at].is_some() {
                continue;
            }
            // Settled places come first, so that none of them is given away.
            let place = settled.unwrap_or((!taken).trailing_zeros() as u8);
            if usize::from(place) >= PLACES {
                return Ok(None);
            }
            taken |= 1 << place;
            let surface = match surface(at) {
                Some(surface) => surface,
                None => missing()?,
            };
            pictures.push((place, surface));
            // A picture that is named twice stands in one place.
            let index = indices[at];
            for (other, known) in indices[..total].iter().zip(&mut places) {
                if index.is_some() && *other == index {
                    *known = Some(place);
                }
            }
            places[at] = Some(place);
        }
        let placed = rps.initial_list0().zip(places).map(|(entry, place)| PlacedReference {
            place: place.expect("every entry has one"),
            poc: entry.poc,
            long_term: entry.long_term,
        });
        let counts = [rps.st_curr_before.len(), rps.st_curr_after.len(), rps.lt_curr.len()];
        Ok(Some(PictureTable { pictures, references: References::new(counts, placed) }))
    }
}

#[cfg(test)]
mod tests;
