//! [`Index`]: which pictures a track has, when they are shown, and what each of them needs.

use bitstream::LengthSize;
use containers::{Framing, PacketInfo, TimeBase};

use super::plan::Places;
use super::survey::{Flags, Pictures, Surveyed};
use crate::pictures::info::Colour;
use crate::surface::format::{Rect, SurfaceFormat};

/// When a picture is shown, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) position: u32,
    pub(super) pts: i64,
    /// 0 if it is not known.
    pub(super) duration: i64,
}

/// The pictures of a track: built in one pass over the slice headers, without decoding anything.
///
/// Pictures are counted in the order in which they are shown, as a decoder puts them out. A picture that does not come out
/// (`pic_output_flag`, a leading picture at the beginning of the stream, one that an edit list cuts out) has no number.
#[derive(Clone, Debug)]
pub struct Index {
    pub(super) framing: Framing,
    /// `None` if nothing says when pictures are shown.
    pub(super) time_base: Option<TimeBase>,
    /// What is in the packets of the track: offset and bytes in the source.
    pub(super) packets: Vec<(u64, u64)>,
    pub(super) pictures: Pictures,
    pub(super) shown: Vec<Shown>,
    pub(super) places: Places,
    /// Numbers of pictures by their times, where that is another order.
    by_time: Option<Vec<u32>>,
}

/// A picture of an [`Index`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct IndexedPicture {
    /// When it is shown, in ticks of [`Index::time_base`]; `None` if nothing says so.
    pub pts: Option<i64>,
    /// How long it is shown, likewise.
    pub duration: Option<i64>,
    /// Whether decoding can begin with it: a random access point by its NAL unit type, whatever the container says.
    pub key: bool,
    /// Whether others are predicted from it.
    pub reference: bool,
    /// `TemporalId`.
    pub temporal_layer: u8,
    /// Its position in decoding order, those included that are not shown.
    pub decoding_order: usize,
    /// Whether something that it is predicted from is not in the stream.
    pub incomplete: bool,
}

impl Index {
    /// The index of what was found in `packets`.
    pub(super) fn new(
        framing: Framing,
        time_base: Option<TimeBase>,
        packets: &[PacketInfo],
        pictures: Pictures,
    ) -> Index {
        // Of several pictures in a packet its times are those of the first.
        let mut before = None;
        let times: Vec<Option<&PacketInfo>> = pictures
            .pictures
            .iter()
            .map(|picture| {
                let is_first = before.replace(picture.packet) != Some(picture.packet);
                packets.get(picture.packet as usize).filter(|_| is_first)
            })
            .collect();
        let is_shown = |position: &u32| {
            let packet = packets.get(pictures.pictures[*position as usize].packet as usize);
            packet.is_none_or(|packet| packet.shown)
        };
        let order: Vec<u32> = pictures.shown.iter().copied().filter(is_shown).collect();
        let rate = pictures.described.rate;
        let has_times =
            time_base.is_some() && times.iter().any(|packet| packet.is_some_and(|p| p.pts.is_some()));
        // A stream without times that says how fast it is shown.
        let time_base = match (has_times, rate) {
            (true, _) => time_base,
            (false, Some((num, den))) => Some(TimeBase { num: den, den: num }),
            (false, None) => None,
        };
        let step = match (time_base, rate) {
            (Some(base), Some((num, den))) if has_times => {
                let (ticks, of) =
                    (u128::from(base.den) * u128::from(den), u128::from(base.num) * u128::from(num));
                ((ticks + of / 2) / of) as i64
            }
            _ => 1,
        };
        let mut shown: Vec<Shown> = Vec::with_capacity(order.len());
        for position in order {
            let packet = times[position as usize];
            let next = shown.last().map_or(0, |last: &Shown| last.pts.saturating_add(step));
            let pts = packet.and_then(|packet| packet.pts).filter(|_| has_times).unwrap_or(next);
            let duration = packet.and_then(|packet| packet.duration).filter(|_| has_times).unwrap_or(0);
            shown.push(Shown { position, pts, duration });
        }
        let packets = packets.iter().map(|packet| (packet.offset, packet.size)).collect();
        Index::with(framing, time_base, packets, pictures, shown)
    }

    /// The index with durations filled in.
    pub(super) fn with(
        framing: Framing,
        time_base: Option<TimeBase>,
        packets: Vec<(u64, u64)>,
        pictures: Pictures,
        mut shown: Vec<Shown>,
    ) -> Index {
        let by_time = (!shown.is_sorted_by_key(|shown| shown.pts)).then(|| {
            let mut by_time: Vec<u32> = (0..shown.len() as u32).collect();
            by_time.sort_by_key(|&number| shown[number as usize].pts);
            by_time
        });
        for at in 0..shown.len() {
            if shown[at].duration <= 0 {
                let before = at.checked_sub(1).map_or(1, |before| shown[before].duration);
                let next = shown.get(at + 1).map(|next| next.pts.saturating_sub(shown[at].pts));
                shown[at].duration = next.filter(|&next| next > 0).unwrap_or(before);
            }
        }
        let places = Places::of(&pictures.pictures);
        Index { framing, time_base, packets, pictures, shown, places, by_time }
    }

    /// Pictures that are shown.
    pub fn len(&self) -> usize {
        self.shown.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    /// Pictures that the stream has, those included that are not shown.
    pub fn coded_pictures(&self) -> usize {
        self.pictures.pictures.len()
    }

    /// The unit of times; `None` if neither container nor stream says when pictures are shown.
    pub fn time_base(&self) -> Option<TimeBase> {
        self.time_base
    }

    /// How NAL units are told apart in packets.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Bytes of the lengths in front of NAL units, if there are any.
    pub fn length_size(&self) -> Option<LengthSize> {
        match self.framing {
            Framing::ByteStream => None,
            Framing::LengthPrefixed(size) => Some(size),
        }
    }

    /// Format of the samples of the first picture.
    pub fn format(&self) -> SurfaceFormat {
        self.pictures.described.format
    }

    /// Width and height of the first picture as it is coded.
    pub fn coded_size(&self) -> (u32, u32) {
        self.pictures.described.coded
    }

    /// The part of the first picture to show.
    pub fn window(&self) -> Rect {
        self.pictures.described.shown
    }

    /// What its samples mean.
    pub fn colour(&self) -> Colour {
        self.pictures.described.colour
    }

    /// Pictures a second as a fraction: what the stream says, else what the times come to on average.
    pub fn frame_rate(&self) -> Option<(u32, u32)> {
        let (base, first, last) = (self.time_base?, self.shown.first()?, self.shown.last()?);
        if let Some(rate) = self.pictures.described.rate {
            return Some(rate);
        }
        let ticks = u128::try_from(last.pts.checked_sub(first.pts)?.checked_add(last.duration)?).ok()?;
        let (mut num, mut den) =
            (self.shown.len() as u128 * u128::from(base.den), ticks * u128::from(base.num));
        let (mut a, mut b) = (num, den);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        (num, den) = (num.checked_div(a)?, den.checked_div(a)?);
        Some((u32::try_from(num).ok()?, u32::try_from(den).ok()?)).filter(|&(num, den)| num > 0 && den > 0)
    }

    /// Picture `number`, counted as they are shown; `None` if there are fewer.
    pub fn picture(&self, number: usize) -> Option<IndexedPicture> {
        let shown = self.shown.get(number)?;
        let Surveyed { flags, temporal_layer, .. } = self.pictures.pictures[shown.position as usize].surveyed;
        let timed = |ticks: i64| self.time_base.map(|_| ticks);
        Some(IndexedPicture {
            pts: timed(shown.pts),
            duration: timed(shown.duration),
            key: flags.contains(Flags::KEY),
            reference: flags.contains(Flags::REFERENCE),
            temporal_layer,
            decoding_order: shown.position as usize,
            incomplete: flags.contains(Flags::INCOMPLETE),
        })
    }

    /// When picture `number` is shown, in seconds.
    pub fn seconds(&self, number: usize) -> Option<f64> {
        Some(self.time_base?.seconds(self.shown.get(number)?.pts))
    }

    /// For how long picture `number` is shown, in seconds.
    pub fn duration_seconds(&self, number: usize) -> Option<f64> {
        Some(self.time_base?.seconds(self.shown.get(number)?.duration))
    }

    /// From when until when pictures are shown, in seconds: the end is that of the last one.
    pub fn time_range(&self) -> Option<(f64, f64)> {
        let base = self.time_base?;
        let first = self.shown.iter().map(|shown| shown.pts).min()?;
        let end = self.shown.iter().map(|shown| shown.pts.saturating_add(shown.duration)).max()?;
        Some((base.seconds(first), base.seconds(end)))
    }

    /// The picture that is shown at a time: the last one whose time is not behind it. `None` before the first picture, behind the
    /// end of the last, and where there are no times.
    pub fn at(&self, seconds: f64) -> Option<usize> {
        let (_, end) = self.time_range()?;
        self.not_behind(seconds).filter(|_| seconds < end)
    }

    /// The last picture in output order whose time is at `seconds` or before.
    fn not_behind(&self, seconds: f64) -> Option<usize> {
        let base = self.time_base?;
        let is_there = |shown: &Shown| base.seconds(shown.pts) <= seconds;
        let Some(by_time) = &self.by_time else {
            return self.shown.partition_point(is_there).checked_sub(1);
        };
        let at = by_time.partition_point(|&number| is_there(&self.shown[number as usize]));
        Some(by_time[at.checked_sub(1)?] as usize)
    }

    /// The pictures that are shown in a half-open range of time, in seconds: the one that is shown at `start`, unless that lies
    /// before the first, and all whose time lies before `stop`. With `rate`, pictures a second, the pictures that are shown at
    /// `start`, `start` and one step, and so on: some more than once if `rate` is higher than the stream's.
    ///
    /// Empty if the range is, and where there are no times.
    pub fn between(&self, start: f64, stop: f64, rate: Option<f64>) -> Vec<usize> {
        let Some((first, end)) = self.time_range() else { return Vec::new() };
        if start.is_nan() || stop.is_nan() {
            return Vec::new();
        }
        let (start, stop) = (start.max(first), stop.min(end));
        if start >= stop {
            return Vec::new();
        }
        match rate {
            None => {
                let from = self.not_behind(start).unwrap_or(0);
                let is_before = |number: &usize| self.seconds(*number).is_some_and(|time| time < stop);
                (from..self.len()).take_while(is_before).collect()
            }
            Some(rate) if rate.is_finite() && rate > 0.0 => {
                // No more than a file of a thousand pictures a second has in a day.
                const MOST: usize = 86_400_000;
                let times = (0..MOST).map(|step| start + step as f64 / rate).take_while(|&time| time < stop);
                times.filter_map(|time| self.not_behind(time)).collect()
            }
            Some(_) => Vec::new(),
        }
    }

    /// Pictures with which decoding can begin, counted as they are shown.
    pub fn keys(&self) -> impl Iterator<Item = usize> + '_ {
        let is_key = |shown: &Shown| {
            self.pictures.pictures[shown.position as usize].surveyed.flags.contains(Flags::KEY)
        };
        self.shown.iter().enumerate().filter(move |(_, shown)| is_key(shown)).map(|(number, _)| number)
    }
}

#[cfg(test)]
mod tests {
    use super::super::survey::Picture;
    use super::*;
    use crate::class::Chroma;
    use crate::video::survey::Described;

    /// An index of pictures that are shown at these times, in thousandths of a second, in that order.
    fn index(times: &[i64], rate: Option<(u32, u32)>) -> Index {
        let format = SurfaceFormat { chroma: Chroma::C420, bit_depth: 8, chroma_bit_depth: 8 };
        let shown = Rect { left: 0, top: 0, width: 16, height: 16 };
        let described = Described { format, coded: (16, 16), shown, colour: Colour::default(), rate };
        let surveyed = |order_count| Surveyed {
            flags: Flags::KEY,
            temporal_layer: 0,
            order_count,
            order_count_bits: 8,
            needs: arrayvec::ArrayVec::new(),
        };
        let count = times.len() as u32;
        let picture = |number| Picture { surveyed: surveyed(number as i32), packet: number, offset: 0 };
        let pictures = Pictures {
            described,
            pictures: (0..count).map(picture).collect(),
            shown: (0..count).collect(),
            contents: Vec::new(),
            changes: Vec::new(),
        };
        let packet = |&pts| PacketInfo {
            offset: 0,
            size: 0,
            pts: Some(pts).filter(|&pts| pts >= 0),
            dts: None,
            duration: None,
            key: false,
            shown: true,
        };
        let packets: Vec<PacketInfo> = times.iter().map(packet).collect();
        Index::new(Framing::ByteStream, Some(TimeBase { num: 1, den: 1000 }), &packets, pictures)
    }

    #[test]
    fn a_picture_is_shown_until_the_next_one_is() {
        let index = index(&[500, 540, 700], None);
        assert_eq!(index.at(0.499), None);
        assert_eq!(index.at(0.5), Some(0));
        assert_eq!(index.at(0.539), Some(0));
        assert_eq!(index.at(0.54), Some(1));
        assert_eq!(index.at(0.699), Some(1));
        // The last one is shown for as long as the one before it.
        assert_eq!((index.at(0.859), index.at(0.86)), (Some(2), None));
        assert_eq!(index.time_range(), Some((0.5, 0.86)));
        assert_eq!(index.at(f64::NAN), None);
    }

    #[test]
    fn each_time_is_found_again() {
        let times: Vec<i64> = (0..300).map(|number| number * 1001 / 30).collect();
        let index = index(&times, None);
        for number in 0..index.len() {
            assert_eq!(index.at(index.seconds(number).unwrap()), Some(number));
        }
    }

    #[test]
    fn ranges_are_half_open() {
        let index = index(&[0, 100, 200, 300, 400], None);
        assert_eq!(index.between(0.1, 0.3, None), [1, 2]);
        assert_eq!(index.between(0.15, 0.31, None), [1, 2, 3]);
        assert_eq!(index.between(-5.0, 99.0, None), [0, 1, 2, 3, 4]);
        assert_eq!(index.between(0.3, 0.3, None), [0usize; 0]);
        assert_eq!(index.between(f64::NAN, 1.0, None), [0usize; 0]);
        assert_eq!(index.between(0.0, 0.5, Some(5.0)), [0, 2, 4]);
        assert_eq!(index.between(0.0, 0.2, Some(20.0)), [0, 0, 1, 1]);
        assert_eq!(index.between(0.0, 0.5, Some(0.0)), [0usize; 0]);
    }

    #[test]
    fn a_stream_without_times_has_those_of_its_rate() {
        let index = index(&[-1, -1, -1], Some((30000, 1001)));
        assert_eq!(index.time_base(), Some(TimeBase { num: 1001, den: 30000 }));
        assert_eq!(index.picture(2).unwrap().pts, Some(2));
        assert_eq!(index.frame_rate(), Some((30000, 1001)));
        let index = super::tests::index(&[-1, -1], None);
        assert_eq!((index.time_base(), index.picture(1).unwrap().pts, index.at(0.0)), (None, None, None));
        assert_eq!(index.between(0.0, 1.0, None), [0usize; 0]);
    }

    #[test]
    fn the_rate_of_a_stream_that_has_none_is_that_of_its_times() {
        assert_eq!(index(&[0, 40, 80, 120], None).frame_rate(), Some((25, 1)));
        assert_eq!(index(&[], None).frame_rate(), None);
    }

    #[test]
    fn times_may_go_back() {
        let index = index(&[100, 50, 200], None);
        assert_eq!(index.at(0.12), Some(0));
        assert_eq!(index.at(0.06), Some(1));
    }
}
