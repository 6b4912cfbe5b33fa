use proptest::prelude::*;

use super::*;

use crate::class::Chroma;
use crate::surface::pool::{Reuse, SurfacePool};
use crate::surface::{SurfaceFormat, SurfaceGeometry};
use crate::testing::Machine;

fn surfaces(machine: &Machine, count: usize) -> Vec<Surface> {
    let format = SurfaceFormat::new(Chroma::C420, 8);
    let geometry = SurfaceGeometry::new(format, 128, 128);
    let pool = SurfacePool::new(machine.context.memory(), geometry, count, Reuse::First);
    (0..count).map(|_| pool.take().unwrap().unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is named: each picture in one place, no two pictures in the same, those with
    /// settled places there.
    #[test]
    fn every_picture_has_its_place(
        named in prop::collection::vec(prop::option::weighted(0.8, 0u8..12), 0..18),
        target in 0u8..16,
        settled in prop::option::of((any::<prop::sample::Index>(), 0u8..16)),
    ) {
        let machine = Machine::h200();
        let all = surfaces(&machine, 14);
        let (grey, own) = (&all[12], &all[13]);
        let named: Vec<Option<u8>> = named;
        let found: Vec<Option<Surface>> =
            named.iter().map(|n| n.map(|index| all[usize::from(index)].clone())).collect();
        let settled = settled.filter(|(_, place)| !named.is_empty() && *place != target);
        let fixed: Vec<(usize, u8)> =
            settled.iter().map(|(at, place)| (at.index(named.len()), *place)).collect();
        let same = |a: usize, b: usize| named[a].is_some() && named[a] == named[b];
        let surface = |at: usize| found[at].as_ref().unwrap_or(grey);
        let table = PictureTable::new((own, target), named.len(), same, surface, &fixed);
        let distinct: std::collections::BTreeSet<_> = named.iter().flatten().collect();
        let missing = named.iter().filter(|n| n.is_none()).count();
        let Some(table) = table else {
            prop_assert!(distinct.len() + missing + 1 > PLACES || named.len() > PLACES);
            return Ok(());
        };
        prop_assert_eq!(table.pictures.len(), distinct.len() + missing + 1);
        let at = |place: u8| {
            let there: Vec<_> = table.pictures.iter().filter(|(known, _)| *known == place).collect();
            assert_eq!(there.len(), 1, "place {place}");
            &there[0].1
        };
        prop_assert!(at(target).same(own));
        let references = &table.references;
        prop_assert_eq!(references.len(), named.len());
        for (&place, surface) in references.iter().zip(&found) {
            prop_assert!(usize::from(place) < PLACES);
            prop_assert!(at(place).same(surface.as_ref().unwrap_or(grey)));
        }
        for (position, place) in fixed {
            prop_assert_eq!(references[position], place);
        }
    }
}
