//! The engine's picture table: where the target and its references stand, for one picture.

use hevc::dpb::{RefEntry, ResolvedRps};

use super::descriptor::{PlacedReference, References};
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
    /// Gives places to all that `rps` names beside the target. `surfaces` are those pictures in the order of initial
    /// list 0, `None` for a missing one, for which `missing` makes a stand-in. `fixed` are positions in that list whose
    /// place is settled by where their motion vectors lie.
    ///
    /// `None` if there are more pictures than places.
    pub(crate) fn new(
        target: (&Surface, u8),
        rps: &ResolvedRps,
        surfaces: &[Option<Surface>],
        fixed: &[(usize, u8)],
        mut missing: impl FnMut() -> Result<Surface>,
    ) -> Result<Option<PictureTable>> {
        let entries: Vec<&RefEntry> = rps.initial_list0().collect();
        let mut places: Vec<Option<u8>> = vec![None; entries.len()];
        let mut pictures = vec![(target.1, target.0.clone())];
        let mut taken = 1u32 << target.1;
        let order = fixed.iter().map(|&(at, place)| (at, Some(place)));
        for (at, settled) in order.chain((0..entries.len()).map(|at| (at, None))) {
            if places[at].is_some() {
                continue;
            }
            // Settled places come first, so that none of them is given away.
            let place = settled.unwrap_or((!taken).trailing_zeros() as u8);
            if usize::from(place) >= PLACES {
                return Ok(None);
            }
            taken |= 1 << place;
            let surface = match &surfaces[at] {
                Some(surface) => surface.clone(),
                None => missing()?,
            };
            pictures.push((place, surface));
            // A picture that is named twice stands in one place.
            let index = entries[at].index;
            for (other, known) in entries.iter().zip(&mut places) {
                if index.is_some() && other.index == index {
                    *known = Some(place);
                }
            }
            places[at] = Some(place);
        }
        let mut placed = entries.iter().zip(&places).map(|(entry, place)| PlacedReference {
            place: place.expect("every entry has one"),
            poc: entry.poc,
            long_term: entry.long_term,
        });
        let mut take = |count: usize| placed.by_ref().take(count).collect::<Vec<_>>();
        let references = References {
            st_curr_before: take(rps.st_curr_before.len()),
            st_curr_after: take(rps.st_curr_after.len()),
            lt_curr: take(rps.lt_curr.len()),
        };
        Ok(Some(PictureTable { pictures, references }))
    }
}

#[cfg(test)]
mod tests;
