use std::sync::Arc;

use hevc::{Parser, Unit};

use super::*;
use crate::testing::stream;

/// A picture with this order count, which is an IRAP picture or not, and has pictures before it or not.
fn picture(poc: i32, is_irap: bool, has_prior_pictures: bool) -> Picture {
    let data = stream("h_ra_cra");
    let mut parser = Parser::new();
    let mut pictures = bitstream::split_annex_b(data).filter_map(|nal| match parser.parse(nal) {
        Ok(Unit::Slice(slice)) => slice.picture,
        _ => None,
    });
    let found = pictures.find(|picture| picture.is_irap() == is_irap).unwrap();
    let mut picture = Arc::unwrap_or_clone(found);
    (picture.pic_order_cnt_val, picture.has_prior_pictures) = (poc, has_prior_pictures);
    picture
}

fn refresh(clean_since: u64, recovering_until: Option<i32>) -> Refresh {
    Refresh { clean_since, recovering_until }
}

#[test]
fn a_stream_that_is_joined_recovers_at_its_recovery_point() {
    let mut refreshes = Refreshes::default();
    refreshes.announce(3, true);
    assert_eq!(refreshes.of(&picture(10, false, false), 0), refresh(0, Some(13)));
    assert_eq!(refreshes.of(&picture(12, false, true), 1), refresh(0, Some(13)));
    assert_eq!(refreshes.of(&picture(13, false, true), 2), refresh(0, None));
    // Decoded later, shown before.
    assert_eq!(refreshes.of(&picture(11, false, true), 3), refresh(0, Some(13)));
    assert_eq!(refreshes.of(&picture(14, false, true), 4), refresh(0, None));
}

#[test]
fn each_refresh_cleans_what_was_before_it() {
    let mut refreshes = Refreshes::default();
    assert_eq!(refreshes.of(&picture(0, true, false), 0), refresh(0, None));
    refreshes.announce(4, true);
    assert_eq!(refreshes.of(&picture(10, false, true), 10), refresh(0, None));
    assert_eq!(refreshes.of(&picture(14, false, true), 14), refresh(10, None));
    refreshes.announce(4, true);
    assert_eq!(refreshes.of(&picture(20, false, true), 20), refresh(10, None));
    assert_eq!(refreshes.of(&picture(23, false, true), 23), refresh(10, None));
    assert_eq!(refreshes.of(&picture(24, false, true), 24), refresh(20, None));
    // One that is announced before the last one is complete cleans nothing of it.
    refreshes.announce(5, true);
    refreshes.of(&picture(25, false, true), 25);
    refreshes.announce(5, true);
    assert_eq!(refreshes.of(&picture(27, false, true), 27), refresh(20, None));
    assert_eq!(refreshes.of(&picture(31, false, true), 31), refresh(20, None));
    assert_eq!(refreshes.of(&picture(32, false, true), 32), refresh(27, None));
}

#[test]
fn without_an_exact_match_only_a_random_access_point_ends_it() {
    let mut refreshes = Refreshes::default();
    refreshes.announce(2, false);
    refreshes.of(&picture(0, false, false), 0);
    assert_eq!(refreshes.of(&picture(5, false, true), 5), refresh(0, Some(2)));
    assert_eq!(refreshes.of(&picture(8, true, true), 6), refresh(0, None));
    assert_eq!(refreshes.of(&picture(9, false, true), 7), refresh(0, None));
}

#[test]
fn order_counts_do_not_overflow() {
    let mut refreshes = Refreshes::default();
    refreshes.announce(0x7fff, true);
    let last = picture(i32::MAX, false, false);
    assert_eq!(refreshes.of(&last, 0), refresh(0, None));
}
