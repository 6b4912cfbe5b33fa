//! Edit lists (ISO/IEC 14496-12, 8.6.6): from the time line of a media to that of the presentation.

use crate::notes::Notes;
use crate::track::Edit;

/// `value` in ticks of `from` a second, in ticks of `to` a second, to the nearest.
pub(super) fn rescale(value: u64, from: u32, to: u32) -> i64 {
    let from = u128::from(from.max(1));
    let ticks = (u128::from(value) * u128::from(to) + from / 2) / from;
    i64::try_from(ticks).unwrap_or(i64::MAX)
}

/// How composition times become times of the presentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timeline {
    /// What is added to a time of the media.
    pub(super) shift: i64,
    /// First composition time that is shown.
    from: i64,
    /// The first one behind.
    to: i64,
}

impl Timeline {
    /// That of `edits`: what is empty in front, and the first segment of the media. `is_open` is true if the media goes on in
    /// fragments, which the last segment's duration may not know of.
    pub(super) fn new(edits: &[Edit], is_open: bool, track: u64, notes: &mut Notes) -> Timeline {
        let all = Timeline { shift: 0, from: i64::MIN, to: i64::MAX };
        let Some(first) = edits.iter().position(|edit| edit.media_time.is_some()) else {
            if !edits.is_empty() {
                notes
                    .add(format!("elst box of track {track}: it shows nothing of the track, and is ignored"));
            }
            return all;
        };
        let (empty, rest) = edits.split_at(first);
        let &[Edit { mut duration, media_time: Some(start), ordinary_rate }, ref behind @ ..] = rest else {
            return all;
        };
        // A segment that goes on where the one before ends is part of it.
        let mut behind = behind;
        while let &[Edit { duration: more, media_time: Some(next), ordinary_rate: true }, ref others @ ..] =
            behind
            && ordinary_rate
            && duration > 0
            && next == start.saturating_add(duration)
        {
            duration = if more == 0 { 0 } else { duration.saturating_add(more) };
            behind = others;
        }
        if behind.iter().any(|edit| edit.media_time.is_some()) {
            notes.add(format!(
                "elst box of track {track}: it has {} entries; the first segment of the media, at its time {start}, is \
                 applied, and what lies in no other is not shown",
                edits.len()
            ));
        }
        if !ordinary_rate {
            notes.add(format!("elst box of track {track}: a media_rate other than 1 is ignored"));
        }
        let empty = empty.iter().fold(0i64, |sum, edit| sum.saturating_add(edit.duration));
        let is_endless = duration == 0 || (is_open && behind.is_empty());
        Timeline {
            shift: empty.saturating_sub(start),
            from: start,
            to: if is_endless { i64::MAX } else { start.saturating_add(duration) },
        }
    }

    /// Whether a picture with composition time `time` is shown.
    pub(super) fn shows(&self, time: i64) -> bool {
        self.from <= time && time < self.to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(duration: i64, media_time: Option<i64>) -> Edit {
        Edit { duration, media_time, ordinary_rate: true }
    }

    #[test]
    fn empty_edits_delay_and_a_segment_cuts() {
        let mut notes = Notes::default();
        let line = Timeline::new(&[edit(6144, None), edit(512, Some(1024))], false, 1, &mut notes);
        assert_eq!(line.shift, 6144 - 1024);
        assert_eq!([1023, 1024, 1535, 1536].map(|time| line.shows(time)), [false, true, true, false]);
        assert!(notes.list().is_empty());
    }

    #[test]
    fn what_is_not_applied_is_said() {
        let mut notes = Notes::default();
        let line = Timeline::new(&[edit(5, Some(7)), edit(5, Some(0))], false, 3, &mut notes);
        assert_eq!((line.shift, line.shows(12)), (-7, false));
        let line = Timeline::new(&[edit(5, None)], false, 3, &mut notes);
        assert_eq!((line.shift, line.shows(i64::MIN)), (0, true));
        let half = Edit { ordinary_rate: false, ..edit(5, Some(7)) };
        Timeline::new(&[half], false, 3, &mut notes);
        assert_eq!(notes.list().len(), 3);
    }

    #[test]
    fn segments_that_follow_each_other_are_one() {
        let mut notes = Notes::default();
        let line =
            Timeline::new(&[edit(5, Some(7)), edit(3, Some(12)), edit(2, Some(15))], false, 1, &mut notes);
        assert_eq!([6, 7, 16, 17].map(|time| line.shows(time)), [false, true, true, false]);
        assert!(notes.list().is_empty());
        assert!(Timeline::new(&[edit(5, Some(7)), edit(0, Some(12))], false, 1, &mut notes).shows(100));
    }

    #[test]
    fn without_an_end_all_is_shown() {
        let mut notes = Notes::default();
        assert!(Timeline::new(&[edit(0, Some(7))], false, 1, &mut notes).shows(i64::MAX - 1));
        assert!(Timeline::new(&[edit(5, Some(7))], true, 1, &mut notes).shows(i64::MAX - 1));
        assert!(Timeline::new(&[], false, 1, &mut notes).shows(i64::MIN));
    }

    #[test]
    fn ticks_are_rescaled_to_the_nearest() {
        assert_eq!(rescale(500, 1000, 12288), 6144);
        assert_eq!(rescale(667, 1000, 30), 20);
        assert_eq!(rescale(u64::MAX, 1, u32::MAX), i64::MAX);
        assert_eq!(rescale(5, 0, 7), 35);
    }
}
