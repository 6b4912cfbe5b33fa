use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { pictures: 8, span: 100, bytes: 1 << 20 };

fn window(limits: Limits) -> Lookahead<u64> {
    Lookahead::new(limits)
}

/// Takes what is chosen and says that it is done at `finish`.
fn submit(window: &mut Lookahead<u64>, free: Time, finish: Time) -> u64 {
    let index = window.choose(free, false).expect("a picture");
    let (number, followers) = window.take(index);
    window.submitted(followers, finish);
    number
}

#[test]
fn what_can_start_first_goes_first() {
    let mut window = window(LIMITS);
    // 1 waits for 0, which takes until 100; 2 is of another group.
    window.push(0, 0, &[], 0, 0);
    window.push(1, 10, &[0], 0, 1);
    window.push(2, 20, &[], 0, 2);
    assert_eq!(submit(&mut window, 0, 100), 0);
    assert_eq!(submit(&mut window, 10, 60), 2);
    assert_eq!(submit(&mut window, 60, 160), 1);
    assert!(window.is_empty() && window.choose(0, false).is_none());
}

#[test]
fn the_oldest_of_those_that_wait_for_engines_goes_first() {
    let mut window = window(LIMITS);
    for number in 0..4 {
        window.push(number, 0, &[], 10 - number, number);
    }
    assert_eq!(submit(&mut window, 50, 60), 0);
    assert_eq!(submit(&mut window, 8, 60), 2, "the engine is free before the reference is there");
}

#[test]
fn windows_share_what_they_hold() {
    let mut window = window(LIMITS);
    for number in 0..5 {
        window.push(number, 0, &[], 0, number);
    }
    assert!(!window.is_full(5, 0, 0) && !window.is_full(5, 0, 1));
    assert!(window.is_full(5, 0, 2) && window.is_full(5, 0, 100));
}

#[test]
fn in_order_means_the_oldest() {
    let mut window = window(LIMITS);
    window.push(5, 0, &[], 1000, 5);
    window.push(6, 0, &[], 0, 6);
    let chosen = |in_order| window.choose(0, in_order).map(|Choice(at)| window.complete[at].number);
    assert_eq!(chosen(true), Some(5));
    assert_eq!(chosen(false), Some(6));
}

#[test]
fn the_oldest_is_not_passed_by_for_ever() {
    let mut window = window(Limits { pictures: 2, span: 10, bytes: 1000 });
    window.push(0, 0, &[], 1_000_000, 0);
    let mut number = 1;
    while window.iter().any(|&picture| picture == 0) {
        window.push(number, number, &[], 0, number);
        submit(&mut window, 0, 1);
        number += 1;
        assert!(number < 20, "it is passed by again and again");
    }
    while !window.is_empty() {
        submit(&mut window, 0, 1);
    }
    window.push(50, 5000, &[], 1_000_000, 50);
    window.push(51, 6500, &[], 0, 51);
    assert!(window.is_full(52, 6600, 1), "more bytes than the span may have");
    assert_eq!(submit(&mut window, 0, 1), 50);
}

proptest! {
    /// Whatever refers to what: no picture before its references, none left behind, none held beyond the limits.
    #[test]
    fn references_go_first(
        pictures in prop::collection::vec((prop::collection::vec(1u64..12, 0..4), 0u64..5000, 1u64..300), 1..200),
        limit in 0usize..20,
        span in 20u64..60,
    ) {
        let mut window = window(Limits { pictures: limit, span, bytes: 100_000 });
        let mut finish: Vec<Option<Time>> = vec![None; pictures.len()];
        let mut position = 0;
        let mut free: Time = 0;
        let mut out = |window: &mut Lookahead<u64>, finish: &mut Vec<Option<Time>>| {
            let index = window.choose(free, false).unwrap();
            let (number, followers) = window.take(index);
            let (back, _, cost) = &pictures[number as usize];
            for reference in back.iter().filter_map(|b| number.checked_sub(*b)) {
                assert!(finish[reference as usize].is_some(), "{number} before {reference}");
            }
            free += cost;
            finish[number as usize] = Some(free);
            window.submitted(followers, free);
        };
        for (number, (back, bytes, _)) in pictures.iter().enumerate() {
            let number = number as u64;
            let references = || back.iter().filter_map(|b| number.checked_sub(*b));
            let missing: Vec<u64> = references().filter(|&r| finish[r as usize].is_none()).collect();
            let ready = references().filter_map(|r| finish[r as usize]).max().unwrap_or(0);
            window.push(number, position, &missing, ready, number);
            position += bytes;
            while window.is_full(number + 1, position, 1) {
                out(&mut window, &mut finish);
            }
            let held: Vec<u64> = window.iter().copied().collect();
            prop_assert!(held.len() <= limit && held.iter().all(|h| number - h <= span));
        }
        while !window.is_empty() {
            out(&mut window, &mut finish);
        }
        prop_assert!(finish.iter().all(Option::is_some));
    }
}
