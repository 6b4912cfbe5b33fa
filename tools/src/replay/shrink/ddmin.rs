//! ddmin (Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input").

use std::collections::HashSet;

use crate::exit::Failure;

/// Makes of a part of what is kept a set that can be tried.
type Close<'a> = &'a dyn Fn(&[usize], &[usize]) -> Vec<usize>;

/// The smallest set found that passes `test`; `items` does.
///
/// `only` gives the least set that holds a chunk, `without` the largest that does not, both within what is
/// kept.
pub(super) fn minimise(
    items: Vec<usize>,
    only: Close<'_>,
    without: Close<'_>,
    test: &mut dyn FnMut(&[usize]) -> Result<bool, Failure>,
) -> Result<Vec<usize>, Failure> {
    let mut kept = items;
    let mut tried: HashSet<Vec<usize>> = HashSet::new();
    let mut parts = 2;
    while kept.len() > 1 {
        let length = kept.len().div_ceil(parts);
        let mut smaller = None;
        'search: for close in [only, without] {
            // From the end: what comes later is referred to by less.
            for chunk in kept.rchunks(length) {
                let candidate = close(&kept, chunk);
                if candidate.is_empty() || candidate.len() >= kept.len() || !tried.insert(candidate.clone()) {
                    continue;
                }
                if test(&candidate)? {
                    smaller = Some(candidate);
                    break 'search;
                }
            }
        }
        match smaller {
            Some(candidate) => {
                kept = candidate;
                parts = parts.saturating_sub(1).max(2);
            }
            None if length == 1 => break,
            None => parts = (2 * parts).min(kept.len()),
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn subset(_: &[usize], chunk: &[usize]) -> Vec<usize> {
        chunk.to_vec()
    }

    fn rest(kept: &[usize], chunk: &[usize]) -> Vec<usize> {
        kept.iter().copied().filter(|i| !chunk.contains(i)).collect()
    }

    proptest! {
        /// What is needed is left, and nothing else.
        #[test]
        fn the_needed_are_found(count in 1usize..60, needed in prop::collection::btree_set(0usize..60, 1..5)) {
            let needed: Vec<usize> = needed.into_iter().map(|i| i % count).collect();
            let mut tries = 0;
            let kept = minimise((0..count).collect(), &subset, &rest, &mut |candidate| {
                tries += 1;
                Ok(needed.iter().all(|i| candidate.contains(i)))
            }).unwrap();
            let mut expected = needed.clone();
            expected.sort_unstable();
            expected.dedup();
            prop_assert_eq!(kept, expected);
            prop_assert!(tries < 4 * count * count + 16);
        }
    }
}
