use hevc::dpb::{DpbIndex, RefEntry};
use proptest::prelude::*;

use super::*;

use crate::class::Chroma;
use crate::pool::{Reuse, SurfacePool};
use crate::surface::{SurfaceFormat, SurfaceGeometry};
use crate::testing::Machine;

fn surfaces(machine: &Machine, count: usize) -> Vec<Surface> {
    let format = SurfaceFormat { chroma: Chroma::C420, bit_depth: 8 };
    let geometry = SurfaceGeometry::new(format, 128, 128);
    let pool = SurfacePool::new(&machine.context, geometry, count, Reuse::First);
    (0..count).map(|_| pool.take().unwrap().unwrap()).collect()
}

/// An entry of a reference picture set: the picture at a place of the DPB, or one that is missing.
fn entry(index: Option<u8>, poc: i32) -> RefEntry {
    RefEntry { poc, long_term: false, index: index.map(DpbIndex) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a reference picture set names: each picture in one place, no two pictures in the same, those with
    /// settled places there, and the lists in terms of them.
    #[test]
    fn every_picture_has_its_place(
        before in prop::collection::vec(prop::option::weighted(0.8, 0u8..12), 0..6),
        after in prop::collection::vec(prop::option::weighted(0.8, 0u8..12), 0..6),
        long in prop::collection::vec(prop::option::weighted(0.8, 0u8..12), 0..6),
        target in 0u8..16,
        settled in prop::option::of((any::<prop::sample::Index>(), 0u8..16)),
    ) {
        let machine = Machine::h200();
        let all = surfaces(&machine, 14);
        let (grey, own) = (&all[12], &all[13]);
        let mut poc = 0;
        let mut entries = |list: &[Option<u8>]| -> Vec<RefEntry> {
            list.iter().map(|&index| { poc += 1; entry(index, poc) }).collect()
        };
        let rps = ResolvedRps::of_current(&entries(&before), &entries(&after), &entries(&long));
        let named: Vec<RefEntry> = rps.initial_list0().copied().collect();
        let found: Vec<Option<Surface>> =
            named.iter().map(|e| e.index.map(|index| all[usize::from(index.0)].clone())).collect();
        let settled = settled.filter(|(_, place)| !named.is_empty() && *place != target);
        let fixed: Vec<(usize, u8)> =
            settled.iter().map(|(at, place)| (at.index(named.len()), *place)).collect();
        let surface = |at: usize| found[at].as_ref().unwrap_or(grey);
        let table = PictureTable::new((own, target), &rps, surface, &fixed);
        let distinct: std::collections::BTreeSet<_> = named.iter().filter_map(|e| e.index).collect();
        let missing = named.iter().filter(|e| e.index.is_none()).count();
        let Some(table) = table else {
            prop_assert!(distinct.len() + missing + 1 > PLACES || named.len() > LIST_ENTRIES);
            return Ok(());
        };
        prop_assert_eq!(table.pictures.len(), distinct.len() + missing + 1);
        let at = |place: u8| {
            let there: Vec<_> = table.pictures.iter().filter(|(known, _)| *known == place).collect();
            assert_eq!(there.len(), 1, "place {place}");
            &there[0].1
        };
        prop_assert!(at(target).same(own));
        let references = table.references.all();
        prop_assert_eq!(references.len(), named.len());
        for ((reference, entry), surface) in references.iter().zip(&named).zip(&found) {
            prop_assert_eq!(reference.poc, entry.poc);
            prop_assert!(usize::from(reference.place) < PLACES);
            prop_assert!(at(reference.place).same(surface.as_ref().unwrap_or(grey)));
        }
        for (position, place) in fixed {
            prop_assert_eq!(references[position].place, place);
        }
    }
}
