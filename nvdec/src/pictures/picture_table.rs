//! The engine's picture table: where the target and its references stand, for one picture.

use arrayvec::ArrayVec;

use crate::memory::motion::PLACES;
use crate::surface::pool::Surface;

/// The place of a reference that has none yet.
const NOWHERE: u8 = u8::MAX;

/// A picture table, and where in it the references stand.
#[derive(Debug)]
pub(crate) struct PictureTable<'a> {
    /// Places in use with what stands there, the target first.
    pub(crate) pictures: ArrayVec<(u8, &'a Surface), PLACES>,
    /// The places of the references, in their order.
    pub(crate) references: ArrayVec<u8, PLACES>,
}

impl<'a> PictureTable<'a> {
    /// Gives places to `count` references beside the target. `same` tells whether two of them are one picture that exists,
    /// `surface` what stands for each. `fixed` are references whose place is settled by where their motion vectors lie.
    ///
    /// `None` if there are more pictures than places.
    pub(crate) fn new(
        target: (&'a Surface, u8),
        count: usize,
        same: impl Fn(usize, usize) -> bool,
        surface: impl Fn(usize) -> &'a Surface,
        fixed: &[(usize, u8)],
    ) -> Option<PictureTable<'a>> {
        if count > PLACES {
            return None;
        }
        let mut places = [NOWHERE; PLACES];
        let mut pictures = ArrayVec::new();
        pictures.push((target.1, target.0));
        let mut taken = 1u32 << target.1;
        // Settled places come first, so that none of them is given away.
        let order = fixed.iter().map(|&(at, place)| (at, Some(place)));
        for (at, settled) in order.chain((0..count).map(|at| (at, None))) {
            if places[at] != NOWHERE {
                continue;
            }
            // A picture that is named twice stands in one place.
            let known = (0..count).find(|&other| places[other] != NOWHERE && same(other, at));
            if let Some(known) = known {
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
        Some(PictureTable { pictures, references: places[..count].iter().copied().collect() })
    }
}

#[cfg(test)]
mod tests;
