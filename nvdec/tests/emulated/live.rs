//! Pictures that come out without waiting for what follows them in the stream.

use std::io;
use std::sync::Arc;

use bitstream::split_annex_b;
use hcq::Device;
use hevc::nal::{NalHeader, NalUnitType};
use hevc::{DecodedPictureBuffer, Parser, Picture, Unit};
use nvdec::{
    Codec, Context, Decoder, DecoderOptions, Downloader, Error, Frame, Framing, Mode, Packet, Sent, Source,
    Times, Units,
};
use proptest::prelude::*;

use crate::support::{stream, sum, sums};

const STREAMS: [&str; 6] =
    ["h_ld_b", "h_ra_cra", "h_slice_ctu", "k_lp_temporal", "h_depslice_wpp", "h_tiles_slices"];

fn context() -> Arc<Context> {
    Context::new(Device::open(Arc::new(nvdec::emulated::h200().unwrap()), 0).unwrap()).unwrap()
}

/// A stream cut in front of the NAL units that begin an access unit, and how many pictures are shown once each is there.
fn access_units(stream: &[u8]) -> (Vec<Vec<u8>>, Vec<usize>) {
    let (mut units, mut shown) = (Vec::<Vec<u8>>::new(), Vec::new());
    let (mut parser, mut dpb, mut output) = (Parser::default(), DecodedPictureBuffer::default(), Vec::new());
    let (mut current, mut has_slice) = (None::<Arc<Picture>>, true);
    for nal in split_annex_b(stream) {
        let kind = NalHeader::parse(nal).unwrap().nal_unit_type;
        let begins = match kind.is_slice_segment() {
            true => nal[2] & 0x80 != 0,
            false => kind < NalUnitType::SUFFIX_SEI_NUT,
        };
        if begins && has_slice {
            if let Some(picture) = current.take() {
                dpb.insert(&picture, (), &mut output);
            }
            if !units.is_empty() {
                shown.push(output.len());
            }
            units.push(Vec::new());
            has_slice = false;
        }
        has_slice |= kind.is_slice_segment();
        if let Ok(Unit::Slice(slice)) = parser.parse(nal)
            && let Some(picture) = slice.picture
            && !picture.skipped
        {
            dpb.begin(&picture, &mut output);
            current = Some(picture);
        }
        let unit = units.last_mut().unwrap();
        unit.extend([0, 0, 1]);
        unit.extend_from_slice(nal);
    }
    if let Some(picture) = current {
        dpb.insert(&picture, (), &mut output);
    }
    shown.push(output.len());
    (units, shown)
}

fn prompt() -> DecoderOptions {
    DecoderOptions::default().with_mode(Mode::LowLatency).with_held_frames(64)
}

/// Keeps the frames that are pushed.
fn keep_in(frames: &mut Vec<Frame>) -> impl FnMut(Frame) -> Result<(), Error> {
    |frame| {
        frames.push(frame);
        Ok(())
    }
}

fn sums_of(context: &Arc<Context>, frames: Vec<Frame>) -> Vec<String> {
    let downloader = Downloader::new(context);
    frames.into_iter().map(|frame| sum(&downloader, frame).unwrap()).collect()
}

#[test]
fn pictures_of_whole_access_units_wait_for_nothing() {
    for name in STREAMS {
        let context = context();
        let mut decoder = Decoder::new(&context, Codec::Hevc, prompt()).unwrap();
        let (units, shown) = access_units(&stream(name));
        let mut frames = Vec::new();
        for (at, (unit, due)) in units.iter().zip(&shown).enumerate() {
            let packet = Packet::access_unit(unit).with_pts(at as i64);
            assert_eq!(packet.framing(), Framing::AccessUnit);
            decoder.push(packet, keep_in(&mut frames)).unwrap();
            assert_eq!(frames.len(), *due, "{name}: {at}");
        }
        assert!(name != "h_ld_b" || shown[0] == 1, "there is no delay without reordering");
        decoder.end(keep_in(&mut frames)).unwrap();
        assert!(decoder.take_error().is_none());
        // The times are those of the access unit.
        let by_number = |frame: &Frame| (frame.number(), frame.pts().unwrap());
        let mut times: Vec<_> = frames.iter().map(by_number).collect();
        times.sort_unstable();
        assert!(
            times.is_sorted_by_key(|(_, pts)| *pts) && times.len() == sums(name).len(),
            "{name}: {times:?}"
        );
        assert_eq!(sums_of(&context, frames), sums(name), "{name}");
    }
}

/// A byte stream ends a picture as soon as the next unit says by its first bytes that it is not part of it.
#[test]
fn the_next_unit_ends_a_picture_by_its_header() {
    for name in STREAMS {
        let (units, shown) = access_units(&stream(name));
        for end in [&[0, 0, 1, 0x48, 1][..], &[0, 0, 0, 1, 0x02, 1, 0x80]] {
            for count in [1, 2, units.len() / 2] {
                let context = context();
                let mut decoder = Decoder::new(&context, Codec::Hevc, prompt()).unwrap();
                let mut frames = Vec::new();
                let all = units[..count].concat();
                decoder.push(Packet::byte_stream(&all), keep_in(&mut frames)).unwrap();
                let before = if count > 1 { shown[count - 2] } else { 0 };
                // The last picture is not known to be complete.
                assert!(frames.len() <= shown[count - 1] && frames.len() >= before, "{name}");
                let short = &end[..end.len() - 1];
                decoder.push(Packet::byte_stream(short), keep_in(&mut frames)).unwrap();
                assert!(frames.len() >= before && frames.len() <= shown[count - 1], "{name}");
                decoder.push(Packet::byte_stream(&end[end.len() - 1..]), keep_in(&mut frames)).unwrap();
                assert_eq!(frames.len(), shown[count - 1], "{name}: {end:02x?} behind {count}");
            }
        }
    }
}

/// Delimiters end pictures where they have been seen to stand between them.
#[test]
fn delimiters_end_pictures_once_they_are_known_to() {
    let (units, shown) = access_units(&stream("h_ld_b"));
    let context = context();
    let mut decoder = Decoder::new(&context, Codec::Hevc, prompt()).unwrap();
    let mut frames = Vec::new();
    for (at, unit) in units.iter().enumerate() {
        decoder.push(Packet::byte_stream(&[0, 0, 0, 1, 0x46, 1, 0x50]), keep_in(&mut frames)).unwrap();
        match at {
            // The first one stands in front of everything; of the second one the next unit tells what it is.
            0 | 1 => assert_eq!(frames.len(), 0),
            _ => assert_eq!(frames.len(), shown[at - 1], "in front of {at}"),
        }
        decoder.push(Packet::byte_stream(unit), keep_in(&mut frames)).unwrap();
    }
    decoder.end(keep_in(&mut frames)).unwrap();
    assert!(decoder.take_error().is_none());
    assert_eq!(sums_of(&context, frames), sums("h_ld_b"));
}

/// What begins is enough to end the picture before it, if it is none of its slice segments.
#[test]
fn the_beginning_of_a_unit_ends_the_picture() {
    let (units, shown) = access_units(&stream("h_slice_ctu"));
    for (beginning, ends) in [
        (&[][..], false),
        (&[0x46], false),
        (&[0x48, 1], true),
        (&[0x4a, 1], true),
        (&[0x26, 1], false),
        (&[0x26, 1, 0x80], true),
        (&[0x26, 9, 0x80], false),
        (&[0x02, 1, 0x7f], false),
        (&[0x46, 1, 0x50], false),
        (&[0x50, 1, 0x80], false),
        (&[0xc6, 1, 0x80], false),
    ] {
        let context = context();
        let mut decoder = Decoder::new(&context, Codec::Hevc, prompt()).unwrap();
        let mut frames = Vec::new();
        split_annex_b(&units[0]).for_each(|nal| {
            decoder.push(Packet::unit(nal), keep_in(&mut frames)).unwrap();
        });
        decoder.push(Packet::beginning(beginning), keep_in(&mut frames)).unwrap();
        assert_eq!(frames.len(), if ends { shown[0] } else { 0 }, "{beginning:02x?}");
    }
}

/// Without bytes, an access unit ends what was sent as units.
#[test]
fn an_access_unit_without_bytes_ends_the_picture() {
    let context = context();
    let mut decoder = Decoder::new(&context, Codec::Hevc, prompt()).unwrap();
    let (units, shown) = access_units(&stream("h_slice_ctu"));
    let mut frames = Vec::new();
    for (unit, due) in units.iter().zip(&shown) {
        for nal in split_annex_b(unit) {
            decoder.push(Packet::unit(nal), keep_in(&mut frames)).unwrap();
        }
        for _ in 0..2 {
            decoder.push(Packet::access_unit(&[]), keep_in(&mut frames)).unwrap();
            assert_eq!(frames.len(), *due);
        }
    }
    decoder.end(keep_in(&mut frames)).unwrap();
    assert!(decoder.take_error().is_none());
    assert_eq!(sums_of(&context, frames), sums("h_slice_ctu"));
}

/// In the modes that hold pictures back, they come when there is no more for a while.
#[test]
fn pictures_that_are_held_back_come_when_asked_for() {
    let (units, shown) = access_units(&stream("h_ra_cra"));
    let context = context();
    let options = DecoderOptions::default().with_mode(Mode::Throughput).with_held_frames(64);
    let mut decoder = Decoder::new(&context, Codec::Hevc, options).unwrap();
    let mut frames = Vec::new();
    for (unit, due) in units.iter().zip(&shown) {
        decoder.push(Packet::access_unit(unit), keep_in(&mut frames)).unwrap();
        assert_eq!(decoder.submit_held_back().unwrap(), Sent::Accepted);
        frames.extend(std::iter::from_fn(|| decoder.receive()));
        assert_eq!(frames.len(), *due);
    }
    decoder.end(keep_in(&mut frames)).unwrap();
    assert_eq!(sums_of(&context, frames), sums("h_ra_cra"));
}

/// A source that has nothing before each packet.
struct Hesitant<'a> {
    units: Units<'a>,
    ready: bool,
}

impl Source for Hesitant<'_> {
    fn packet(&mut self) -> io::Result<Option<Packet<'_>>> {
        self.ready = !self.ready;
        if self.ready { self.units.packet() } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    fn advance(&mut self) {
        self.units.advance();
    }
}

#[test]
fn a_source_that_has_nothing_for_now_is_asked_again() {
    let context = context();
    let data = stream("h_ld_b");
    let mut decoder = Decoder::new(&context, Codec::Hevc, DecoderOptions::default()).unwrap();
    let (mut frames, mut waits) = (Vec::new(), 0);
    for frame in decoder.frames(Hesitant { units: Units::new(&data), ready: true }) {
        match frame {
            Ok(frame) => frames.push(frame),
            Err(Error::Source { source }) if source.kind() == io::ErrorKind::WouldBlock => waits += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(waits > split_annex_b(&data).count());
    assert_eq!(sums_of(&context, frames), sums("h_ld_b"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// However a stream is cut into pieces and access units, with few surfaces as well, the pictures are the same.
    #[test]
    fn cuts_change_nothing(
        name in prop::sample::select(&STREAMS[..]),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..40),
        few in any::<bool>(),
    ) {
        let (units, _) = access_units(&stream(name));
        let context = context();
        let options = if few { DecoderOptions::default().with_surfaces(Some(1)) } else { prompt() };
        let mut decoder = Decoder::new(&context, Codec::Hevc, options).unwrap();
        let (mut sums_found, downloader) = (Vec::new(), Downloader::new(&context));
        let mut take = |frame: Frame| {
            sums_found.push(sum(&downloader, frame)?);
            Ok::<_, Error>(())
        };
        for (at, unit) in units.iter().enumerate() {
            let cut = cuts.get(at);
            let (first, rest) = unit.split_at(cut.map_or(0, |(at, _)| at.index(unit.len())));
            decoder.push(Packet::byte_stream(first), &mut take).unwrap();
            let packet = match cut {
                Some((_, false)) => Packet::byte_stream(rest),
                _ => Packet::access_unit(rest).with_times(Times::default()),
            };
            decoder.push(packet, &mut take).unwrap();
        }
        decoder.end(&mut take).unwrap();
        prop_assert!(decoder.take_error().is_none());
        prop_assert_eq!(sums_found, sums(name));
    }
}
