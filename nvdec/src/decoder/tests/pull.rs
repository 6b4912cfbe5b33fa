//! [`Frames`] and what it is made of: [`Decoder::push`], [`Decoder::end`], [`Decoder::reset`].

use std::io::{self, Read};
use std::ops::Range;

use bitstream::split_annex_b;
use proptest::prelude::*;

use super::*;
use crate::testing::{STREAMS, stream};
use crate::{ByteStream, Times, Units};

fn on_one(machine: &Machine) -> DecoderOptions {
    DecoderOptions::on(machine.context.engines()[0])
}

/// Pictures that come out as they are sent.
fn plain(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|i| picture(SIZE, AT_ONCE, if i == 0 { &[] } else { &[1] })).collect()
}

fn numbers(frames: &[Frame]) -> Vec<u64> {
    frames.iter().map(Frame::number).collect()
}

/// Takes frames that are pushed.
fn keep_in(frames: &mut Vec<Frame>) -> impl FnMut(Frame) -> Result<()> {
    |frame| {
        frames.push(frame);
        Ok(())
    }
}

/// What surfaces hold, once engines are done with them.
fn marks(frames: &[Frame]) -> Vec<u32> {
    frames
        .iter()
        .map(|frame| {
            frame.status().unwrap();
            codec::mark(frame.surface())
        })
        .collect()
}

/// The price of what [`plain`] streams take on one engine, and the bytes of one more surface.
fn price(machine: &Machine) -> (u64, u64) {
    let mut decoder = codec::decoder(machine, on_one(machine));
    let units = plain(1);
    decoder.push(Packet::unit(&units[0]), |_| Ok::<_, Error>(())).unwrap();
    let surface = decoder.pictures.price_of(&codec::format(SIZE.0, SIZE.1)).surfaces;
    (decoder.price().unwrap().total(), surface / (decoder_capacity() as u64 + 1))
}

fn decoder_capacity() -> usize {
    DPB + 1 + 1 + DecoderOptions::DEFAULT_HELD_FRAMES
}

#[test]
fn a_caller_that_keeps_all_frames_gets_more_surfaces() {
    let machine = Machine::h200();
    let units = plain(120);
    for options in [on_one(&machine), DecoderOptions::default()] {
        let mut decoder = codec::decoder(&machine, options);
        let frames: Vec<_> = decoder.frames(Numbered::new(&units)).map(Result::unwrap).collect();
        assert!(decoder.surfaces() >= 120);
        assert_eq!(marks(&frames), (0..120).collect::<Vec<_>>());
    }
}

#[test]
fn kept_frames_end_at_the_memory_limit_and_go_on_when_some_are_dropped() {
    let machine = Machine::h200();
    let (price, surface) = price(&machine);
    let more = 3;
    let limit = price + more * surface + surface / 2;
    machine.context.set_memory_limit(Some(limit));
    let units = plain(100);
    let mut frames = codec::decoder(&machine, on_one(&machine)).into_frames(Numbered::new(&units));
    let (mut kept, mut seen, mut errors) = (Vec::new(), 0, 0);
    while let Some(next) = frames.next() {
        match next {
            Ok(frame) => {
                assert_eq!(frame.number(), seen);
                seen += 1;
                kept.push(frame);
            }
            Err(Error::FramesHeld { held, surfaces, bytes, limit: said }) => {
                errors += 1;
                assert_eq!((surfaces, bytes, said), (decoder_capacity() + more as usize, surface, limit));
                // Those that the decoder refers to itself are not the caller's alone.
                assert_eq!(held, kept.len() - DPB);
                assert!(machine.context.reserved_memory() <= limit);
                // Asking again changes nothing.
                assert!(
                    matches!(frames.next(), Some(Err(Error::FramesHeld { held: again, .. })) if again == held)
                );
                assert!(matches!(frames.try_next(), Ok(Next::Full)));
                kept.drain(..5);
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((seen, errors > 10), (100, true));
    let last: Vec<u32> = (0..100).skip(100 - kept.len()).collect();
    assert_eq!(marks(&kept), last);
    drop((frames, kept));
    assert_eq!(machine.context.reserved_memory(), 0);
}

/// Without the limit as well, [`Frames::try_next`] takes no more memory than the options say.
#[test]
fn try_next_keeps_to_the_options() {
    let machine = Machine::h200();
    let units = plain(50);
    let mut decoder = codec::decoder(&machine, on_one(&machine));
    let mut frames = decoder.frames(Numbered::new(&units));
    let mut kept = Vec::new();
    loop {
        match frames.try_next().unwrap() {
            Next::Frame(frame) => kept.push(frame),
            Next::Full => break,
            Next::End => panic!("no end was reached with {} frames held", kept.len()),
        }
    }
    assert_eq!(frames.decoder().surfaces(), decoder_capacity());
    assert!(kept.len() >= DecoderOptions::DEFAULT_HELD_FRAMES);
    // The iterator takes more where this does not.
    kept.push(frames.next().unwrap().unwrap());
    assert_eq!(frames.decoder().surfaces(), decoder_capacity() + 1);
    assert_eq!(marks(&kept), (0..kept.len() as u32).collect::<Vec<_>>());
}

#[test]
fn a_sequence_waits_for_the_memory_of_others() {
    let machine = Machine::h200();
    let (price, surface) = price(&machine);
    let limit = price + surface;
    machine.context.set_memory_limit(Some(limit));
    let units = plain(10);
    let mut first = codec::decoder(&machine, on_one(&machine)).into_frames(Numbered::new(&units));
    first.next().unwrap().unwrap();
    let mut second = codec::decoder(&machine, on_one(&machine));
    let push = |decoder: &mut Decoder| decoder.push(Packet::unit(&units[0]), |_| Ok::<_, Error>(()));
    let is_no_memory = |error: &Error| match error {
        Error::NoMemoryNow { reserved, limit: said, .. } => (*reserved, *said) == (price, limit),
        _ => false,
    };
    assert!(is_no_memory(&push(&mut second).unwrap_err()));
    let mut second = second.into_frames(Numbered::new(&units));
    for _ in 0..3 {
        assert!(is_no_memory(&second.next().unwrap().unwrap_err()));
    }
    drop(first);
    let frames: Vec<_> = second.map(Result::unwrap).collect();
    assert_eq!(numbers(&frames), (0..10).collect::<Vec<_>>());
    // One that never fits is another error, and takes nothing.
    machine.context.set_memory_limit(Some(price - 1));
    let mut third = codec::decoder(&machine, on_one(&machine));
    let error = push(&mut third).unwrap_err();
    assert!(
        matches!(error, Error::TooExpensive { price: p, limit } if (p, limit) == (price, price - 1)),
        "{error}"
    );
}

/// What is due comes out before a sequence has to wait, however far ahead the caller wants to be.
#[test]
fn frames_that_are_due_come_before_a_refusal() {
    let machine = Machine::h200();
    let (price, surface) = price(&machine);
    let mut units = plain(3);
    units.push(picture((20, 20), AT_ONCE, &[]));
    let large = codec::format(20, 20);
    machine.context.set_memory_limit(Some(price + surface));
    let other = codec::decoder(&machine, on_one(&machine));
    let large = other.pictures.price_of(&large).total();
    assert!(large > price + surface, "another decoder leaves no memory for it");
    machine.context.set_memory_limit(Some(large + 1));
    let mut other = other.into_frames(Numbered::new(&units));
    other.next().unwrap().unwrap();
    machine.context.set_memory_limit(Some(large.max(2 * price)));
    let mut frames =
        codec::decoder(&machine, on_one(&machine)).into_frames(Numbered::new(&units)).with_ahead(5);
    let found: Vec<_> = frames.by_ref().take(3).map(|frame| frame.unwrap().number()).collect();
    assert_eq!(found, [0, 1, 2]);
    assert!(matches!(frames.next(), Some(Err(Error::NoMemoryNow { .. }))));
    drop(other);
    assert_eq!(frames.next().unwrap().unwrap().number(), 3);
    assert!(frames.next().is_none());
}

/// A source that gives some packets and then an error.
#[derive(Debug)]
struct Failing<'a>(Numbered<'a>);

impl Source for Failing<'_> {
    fn packet(&mut self) -> io::Result<Option<Packet<'_>>> {
        match self.0.next {
            at if at == self.0.units.len() => Err(io::Error::other("the disk is gone")),
            _ => self.0.packet(),
        }
    }

    fn advance(&mut self) {
        self.0.advance();
    }
}

#[test]
fn a_source_that_fails_ends_the_iteration() {
    let machine = Machine::h200();
    let units = plain(4);
    let mut decoder = codec::decoder(&machine, on_one(&machine));
    let mut frames = decoder.frames(Failing(Numbered::new(&units))).with_ahead(2);
    // Two are kept back, and come out behind the error.
    assert!(frames.next().unwrap().is_ok() && frames.next().unwrap().is_ok());
    let error = frames.next().unwrap().unwrap_err();
    assert!(
        matches!(&error, Error::Source { source } if source.to_string() == "the disk is gone"),
        "{error}"
    );
    assert_eq!(numbers(&frames.by_ref().map(Result::unwrap).collect::<Vec<_>>()), [2, 3]);
    assert!(frames.next().is_none());
    // The source is of one's own, and may go on.
    frames.source().0.next = 0;
    frames.go_on_with(Failing(Numbered::new(&units)));
    assert_eq!(frames.next().unwrap().unwrap().number(), 4);
}

/// Gives one byte at a time, and is interrupted before each.
struct Slow<'a> {
    bytes: &'a [u8],
    interrupted: bool,
}

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.interrupted = !self.interrupted;
        if self.interrupted {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let Some((&first, rest)) = self.bytes.split_first() else { return Ok(0) };
        buffer[0] = first;
        self.bytes = rest;
        Ok(1)
    }
}

#[test]
fn a_stream_comes_byte_by_byte() {
    let data = stream("x_radl");
    let machine = Machine::h200();
    let expected = machine.decode(data);
    let machine = Machine::h200();
    let mut decoder = Decoder::new(&machine.context, Codec::Hevc, on_one(&machine)).unwrap();
    let source = ByteStream::new(Slow { bytes: data, interrupted: false });
    let frames: Vec<_> = decoder.frames(source).map(Result::unwrap).collect();
    assert!(decoder.take_error().is_none());
    decoder.finish().unwrap();
    let bitstreams = |executions: &[crate::testing::Execution]| -> Vec<Vec<u8>> {
        executions.iter().map(|execution| execution.bitstream.clone()).collect()
    };
    assert_eq!(bitstreams(&machine.recorder.executions()), bitstreams(&expected));
    assert_eq!(frames.len(), expected.len());
}

/// A sequence that cannot be decoded is one error; what is behind it comes out, in a byte stream as well.
#[test]
fn a_frame_that_is_due_does_not_wait_for_the_rest_of_a_piece() {
    let machine = Machine::h200();
    let stream = byte_stream(&plain(20));
    for ahead in [0, 3] {
        let decoder = codec::decoder(&machine, on_one(&machine));
        let mut frames = decoder.into_frames(ByteStream::new(&stream[..])).with_ahead(ahead);
        let first = frames.next().unwrap().unwrap();
        assert_eq!((first.number(), frames.decoder().pictures.next_number()), (0, ahead as u64 + 1));
        // Who sends more has all of the piece taken before: but for its last unit, which may go on.
        frames.decoder().push(Packet::unit(&plain(1)[0]), |_| Ok::<_, Error>(())).unwrap();
        assert_eq!(frames.decoder().pictures.next_number(), 20);
        let rest: Vec<_> = frames.map(Result::unwrap).collect();
        assert!(numbers(&rest).is_sorted() && rest.last().unwrap().number() == 20);
    }
}

#[test]
fn errors_of_sequences_do_not_end_the_iteration() {
    let machine = Machine::h200();
    let units: Vec<_> = [plain(20), vec![picture((TOO_WIDE, 1), AT_ONCE, &[])], plain(20)].concat();
    let stream = byte_stream(&units);
    for piece in [1, 7, 50, stream.len()] {
        let source = Pieces { pieces: stream.chunks(piece).collect(), next: 0 };
        let mut decoder = codec::decoder(&machine, on_one(&machine));
        let (frames, errors): (Vec<_>, Vec<_>) = decoder.frames(source).partition(Result::is_ok);
        assert!(matches!(&errors[..], [Err(Error::CannotDecode { .. })]), "{errors:?}");
        let frames: Vec<Frame> = frames.into_iter().map(Result::unwrap).collect();
        assert_eq!(marks(&frames), (0..40).collect::<Vec<_>>(), "in pieces of {piece} bytes");
    }
}

#[test]
fn errors_of_the_gpu_end_the_iteration() {
    let machine = Machine::h200();
    let units = plain(400);
    let mut decoder = codec::decoder(&machine, on_one(&machine));
    let mut frames = decoder.frames(Numbered::new(&units)).with_ahead(2);
    frames.next().unwrap().unwrap();
    machine.kernel.faults().lose_gpu(0);
    let (mut errors, mut due) = (Vec::new(), 0);
    // A caller that passes errors over comes to an end.
    for frame in &mut frames {
        match frame {
            Ok(_) => due += 1,
            Err(error) => errors.push(error),
        }
    }
    assert!(matches!(&errors[..], [Error::Gpu(_)]), "{errors:?}");
    assert!(due < 400 && frames.source().next < 400);
    assert!(frames.next().is_none());
}

/// Keeps all engines from working, or lets them.
fn stall(machine: &Machine, stalled: bool) {
    let faults = machine.kernel.faults();
    for &engine in machine.context.engines() {
        if stalled { faults.stall(0, engine) } else { faults.resume(0, engine) }
    }
}

/// Two engines that are open, so that pictures are held back once both have enough to do.
fn on_two(machine: &Machine) -> DecoderOptions {
    let engines: crate::EngineSet = machine.context.engines()[..2].iter().copied().collect();
    for engine in engines.iter() {
        machine.context.video_queue(engine, Mode::default().priority()).unwrap();
    }
    DecoderOptions { engines: Engines::Set(engines), ..DecoderOptions::default() }
}

/// After a reset nothing of what was sent before comes out, neither frames nor errors, and what follows is as it
/// would be on a new decoder, whatever was held back.
#[test]
fn a_reset_forgets_what_did_not_come_out() {
    let units = groups(SIZE, 6);
    for sent in [1, 2, 3, 10, 33, 60] {
        for several in [false, true] {
            let machine = Machine::h200();
            let options = if several { on_two(&machine) } else { on_one(&machine) };
            // All that is submitted before the reset is in error, and known to be only after it.
            stall(&machine, true);
            (0..60).for_each(|_| machine.recorder.answer([1; 14]));
            let mut decoder = codec::decoder(&machine, options);
            let mut before = Vec::new();
            for unit in &units[..sent] {
                decoder.push(Packet::unit(unit).with_pts(-1), keep_in(&mut before)).unwrap();
            }
            decoder.reset();
            stall(&machine, false);
            decoder.finish().unwrap();
            assert!(decoder.receive().is_none() && decoder.take_error().is_none());
            let submitted = machine.recorder.executions().len();
            assert!(submitted > 0 && submitted <= sent);
            assert_eq!(decoder.statistics().tally.damaged, submitted as u64);
            if sent > 30 && several {
                assert!(submitted < sent, "some are held back");
            }
            let mut frames = decoder.frames(Numbered::new(&units));
            let after: Vec<_> = frames.by_ref().map(Result::unwrap).collect();
            decoder.finish().unwrap();
            assert_eq!(machine.kernel.log(), [""; 0]);
            let expected: Vec<_> = order(&units).iter().map(|n| i64::from(*n)).collect();
            assert_eq!(after.iter().map(|frame| frame.pts().unwrap()).collect::<Vec<_>>(), expected);
            // Numbers go on from those before.
            assert!(after.iter().all(|frame| frame.number() >= sent as u64));
            assert_eq!(machine.recorder.executions().len(), submitted + units.len());
            let of_old =
                |error: &Error| matches!(error, Error::Picture { number, .. } if *number < sent as u64);
            let errors: Vec<_> = std::iter::from_fn(|| decoder.take_error()).collect();
            assert!(!errors.iter().any(of_old), "{errors:?}");
            // Frames that came out before stay what they are.
            assert!(before.iter().all(|frame| codec::mark(frame.surface()) == frame.number() as u32));
        }
    }
}

/// Pictures that were held back leave their part of the upload ring, which holds 256 MiB.
#[test]
fn resets_do_not_fill_the_upload_ring() {
    let machine = Machine::h200();
    let options = on_two(&machine);
    let mut decoder = codec::decoder(&machine, options);
    let large = (200, 200);
    let mut unit = picture(large, LATER, &[]);
    unit.resize(1 << 20, 1);
    // It grows to that, each time to twice as much.
    let (rounds, each) = (16, 40);
    let mut pushed = 0;
    for _ in 0..rounds {
        stall(&machine, true);
        for _ in 0..each {
            decoder.push(Packet::unit(&unit), |_| Ok::<_, Error>(())).unwrap();
            pushed += unit.len();
        }
        assert!(decoder.take_error().is_none());
        decoder.reset();
        stall(&machine, false);
        decoder.finish().unwrap();
    }
    assert!(pushed > 512 << 20);
    assert!(machine.recorder.executions().len() < rounds * each, "some were held back");
    assert!(decoder.take_error().is_none());
    let units = groups(large, 1);
    let frames: Vec<_> = decoder.frames(Numbered::new(&units)).map(Result::unwrap).collect();
    assert_eq!(frames.len(), order(&units).len());
    assert!(frames.iter().all(|frame| frame.status().is_ok()));
    assert_eq!(machine.kernel.log(), [""; 0]);
}

/// A sequence that has its memory, and that a reset keeps from coming, leaves it to the one that comes instead.
#[test]
fn a_reset_leaves_the_account_right() {
    let machine = Machine::h200();
    machine.context.set_memory_limit(Some(1 << 30));
    let options = DecoderOptions { surfaces: Some(1), ..on_one(&machine) };
    let mut decoder = codec::decoder(&machine, options);
    let units = plain(100);
    let mut held = Vec::new();
    for unit in &units {
        while let Some(frame) = decoder.receive() {
            held.push(frame);
        }
        if decoder.send(Packet::unit(unit)).unwrap() != Sent::Accepted {
            break;
        }
    }
    let price = decoder.price().unwrap().total();
    let large = codec::format(40, 40);
    assert_eq!(machine.context.reserved_memory(), price);
    let unit = picture((40, 40), AT_ONCE, &[]);
    assert_eq!(decoder.pictures.make_room_for(Some(&large)).unwrap(), Sent::Accepted);
    let price_of_large = machine.context.reserved_memory();
    assert!(price_of_large > price);
    decoder.reset();
    assert_eq!(machine.context.reserved_memory(), price_of_large, "the memory is still there");
    let frames: Vec<_> = decoder.frames(Numbered::new(&units[..3])).map(Result::unwrap).collect();
    assert_eq!(machine.context.reserved_memory(), price);
    assert!(frames.iter().all(|frame| frame.status().is_ok()));
    decoder.push(Packet::unit(&unit), |_| Ok::<_, Error>(())).unwrap();
    assert_eq!(machine.context.reserved_memory(), decoder.pictures.price_of(&large).total());
}

/// Times are the picture's, in whatever order pictures come out and however often a unit had to be sent again.
#[test]
fn times_stay_with_their_pictures() {
    let machine = Machine::h200();
    let units = groups(SIZE, 5);
    let options = DecoderOptions { surfaces: Some(1), ..on_one(&machine) };
    let mut decoder = codec::decoder(&machine, options);
    let times = |at: i64| Times {
        pts: Some(40 * at),
        dts: Some(at - 1),
        duration: Some(2 * at),
        opaque: Some(at as u64),
    };
    let mut found = Vec::new();
    let mut take = |frame: Frame| {
        assert_eq!(frame.times(), times(frame.number() as i64));
        assert_eq!(frame.pts(), frame.times().pts);
        found.push(frame.number() as u32);
        Ok::<_, Error>(())
    };
    for (at, unit) in units.iter().enumerate() {
        decoder.push(Packet::unit(unit).with_times(times(at as i64)), &mut take).unwrap();
    }
    decoder.end(&mut take).unwrap();
    assert_eq!(found, order(&units));

    // A slice that does not begin a picture changes nothing.
    let nals: Vec<Vec<u8>> = split_annex_b(stream("h_tiles_slices")).map(<[u8]>::to_vec).collect();
    let begins = |nal: &Vec<u8>| nal[0] >> 1 < 32 && nal[2] & 0x80 != 0;
    let first: Vec<_> = (0..nals.len()).filter(|&at| begins(&nals[at])).collect();
    assert!(first.len() < nals.iter().filter(|nal| nal[0] >> 1 < 32).count());
    let mut decoder = Decoder::new(&machine.context, Codec::Hevc, on_one(&machine)).unwrap();
    let frames: Vec<_> = decoder.frames(Numbered::new(&nals)).map(Result::unwrap).collect();
    assert_eq!(frames.len(), first.len());
    for frame in frames {
        assert_eq!(frame.pts(), Some(first[frame.number() as usize] as i64));
    }
}

/// An error of the caller's own ends the call and nothing else.
#[test]
fn errors_of_the_caller_pass_through() {
    #[derive(Debug)]
    enum Own {
        Decoder(Error),
        Full(u64),
    }
    impl From<Error> for Own {
        fn from(error: Error) -> Self {
            Own::Decoder(error)
        }
    }
    let machine = Machine::h200();
    let units = plain(4);
    let mut decoder = codec::decoder(&machine, on_one(&machine));
    let refused = decoder.push(Packet::unit(&units[0]), |frame| Err(Own::Full(frame.number())));
    assert!(matches!(refused, Err(Own::Full(0))), "{refused:?}");
    let wide = picture((TOO_WIDE, 1), AT_ONCE, &[]);
    let refused = decoder.push(Packet::unit(&wide), |_| Ok::<_, Own>(()));
    assert!(matches!(refused, Err(Own::Decoder(Error::CannotDecode { .. }))), "{refused:?}");
    let mut rest = Vec::new();
    let mut take = |frame: Frame| {
        rest.push(frame.number());
        Ok::<_, Own>(())
    };
    decoder.push(Packet::unit(&units[1]), &mut take).unwrap();
    decoder.end(&mut take).unwrap();
    assert_eq!(rest, [1]);
}

#[test]
fn several_sources_follow_each_other() {
    let machine = Machine::h200();
    let units = groups(SIZE, 2);
    let mut decoder = codec::decoder(&machine, DecoderOptions::default());
    let mut frames = decoder.frames(Numbered::new(&units));
    for round in 0..3 {
        let numbers: Vec<_> = frames.by_ref().map(|frame| frame.unwrap().number() as u32).collect();
        let expected: Vec<_> = order(&units).iter().map(|n| n + round * units.len() as u32).collect();
        assert_eq!(numbers, expected);
        assert!(frames.next().is_none());
        frames.go_on_with(Numbered::new(&units));
    }
}

/// A caller that is ahead has the next frames submitted before it is given one.
#[test]
fn frames_ahead_are_submitted() {
    let machine = Machine::h200();
    let units = plain(30);
    for ahead in [0, 1, 4] {
        let mut decoder = codec::decoder(&machine, on_one(&machine));
        let mut frames = decoder.frames(Numbered::new(&units)).with_ahead(ahead);
        for number in 0..30 {
            let frame = frames.next().unwrap().unwrap();
            assert_eq!(frame.number(), number);
            let pictures = &frames.decoder().pictures;
            assert!(pictures.has_due(ahead.min(29 - number as usize)));
            assert!(!pictures.has_due(ahead + 1));
        }
        assert!(frames.next().is_none());
    }
    // More than there are surfaces for is as many as there are.
    let mut decoder = codec::decoder(&machine, on_one(&machine));
    let frames = decoder.frames(Numbered::new(&units)).with_ahead(usize::MAX);
    assert_eq!(frames.map(|frame| frame.unwrap().number()).collect::<Vec<_>>(), (0..30).collect::<Vec<_>>());
    assert_eq!(decoder.surfaces(), decoder_capacity());
}

#[test]
fn units_outside_of_their_input() {
    let machine = Machine::h200();
    let input = machine.context.input(100).unwrap().freeze();
    assert_eq!(Packet::unit_of(&input, 0..100).data().len(), 100);
    assert_eq!(Packet::unit_of(&input, 100..100).data().len(), 0);
    for range in [0..101, 101..101, 50..usize::MAX, Range { start: 60, end: 50 }] {
        let input = std::panic::AssertUnwindSafe(&input);
        let outside = range.clone();
        let panic =
            std::panic::catch_unwind(move || Packet::unit_of(&input, outside).data().len()).unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap();
        assert_eq!(*message, format!("{range:?} does not lie in an input of 100 bytes"));
    }
}

/// A stream in pieces.
struct Pieces<'a> {
    pieces: Vec<&'a [u8]>,
    next: usize,
}

impl Source for Pieces<'_> {
    fn packet(&mut self) -> io::Result<Option<Packet<'_>>> {
        Ok(self.pieces.get(self.next).map(|piece| Packet::byte_stream(piece)))
    }

    fn advance(&mut self) {
        self.next += 1;
    }
}

fn byte_stream(units: &[Vec<u8>]) -> Vec<u8> {
    units.iter().flat_map(|unit| [&[0, 0, 1], &unit[..]].concat()).collect()
}

/// What comes out, and what the engine was given.
type Decoded = (Vec<(i32, u64)>, Vec<Vec<u8>>);

fn decode_hevc(source: impl Source, held: usize) -> Decoded {
    let machine = Machine::h200();
    let options = DecoderOptions { held_frames: Some(held), ..on_one(&machine) };
    let mut decoder = Decoder::new(&machine.context, Codec::Hevc, options).unwrap();
    let frames = decoder.frames(source).map(|frame| frame.unwrap());
    let shown = frames.map(|frame| (frame.poc(), frame.number())).collect();
    assert!(decoder.take_error().is_none());
    decoder.finish().unwrap();
    let executions = machine.recorder.executions();
    (shown, executions.into_iter().map(|execution| execution.bitstream).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// However a byte stream is cut into packets, empty ones among them, what comes out is what its units give.
    #[test]
    fn any_cut_of_a_byte_stream_gives_the_same_frames(
        (name, data) in prop::sample::select(STREAMS),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
        held in 0usize..3,
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(data.len() + 1)).collect();
        cuts.extend([0, data.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|cut| &data[cut[0]..cut[1]]).collect();
        let cut = decode_hevc(Pieces { pieces, next: 0 }, held);
        prop_assert_eq!(cut, decode_hevc(Units::new(data), held), "{}", name);
    }
}
