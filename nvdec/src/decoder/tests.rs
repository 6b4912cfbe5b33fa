//! What all codecs share, with [a codec](crate::testing::codec) that has nothing in common with HEVC.

use std::collections::{BTreeMap, BTreeSet};

use nvkernel_sys::video;

use super::*;
use crate::testing::Machine;
use crate::testing::codec::{self, AT_ONCE, DPB, LATER, NEVER, Numbered, TOO_WIDE, WITHOUT_MOTION, picture};
use crate::{Engines, Integrity, Mode, PictureFault};

mod pull;

const SIZE: (u8, u8) = (8, 4);

/// Groups of pictures as encoders write them: one that begins anew, then pairs of one that is shown later and one
/// between.
fn groups(size: (u8, u8), groups: usize) -> Vec<Vec<u8>> {
    let mut units = Vec::new();
    for _ in 0..groups {
        units.push(picture(size, LATER, &[]));
        for pair in 0..4 {
            units.push(picture(size, LATER, if pair == 0 { &[1] } else { &[2, 1] }));
            units.push(picture(size, AT_ONCE, &[1, 2, 1]));
        }
        units.push(picture(size, NEVER, &[4, 1]));
    }
    units
}

/// Numbers of their pictures in the order in which they come out.
fn order(units: &[Vec<u8>]) -> Vec<u32> {
    let (mut order, mut later) = (Vec::new(), None);
    for (number, unit) in units.iter().enumerate() {
        match unit[2] {
            AT_ONCE => order.push(number as u32),
            LATER => order.extend(later.replace(number as u32)),
            _ => {}
        }
    }
    order.extend(later);
    order
}

/// Decodes a whole stream, and gives the numbers that the surfaces hold.
fn decode(machine: &Machine, options: DecoderOptions, units: &[Vec<u8>]) -> Vec<u32> {
    let (marks, integrities, errors) = decode_all(machine, options, units);
    assert!(integrities.iter().all(|integrity| integrity.is_exact()), "{integrities:?}");
    assert!(errors.is_empty(), "{errors:?}");
    marks
}

/// As above, and what is said of the pictures and of the stream.
fn decode_all(
    machine: &Machine,
    options: DecoderOptions,
    units: &[Vec<u8>],
) -> (Vec<u32>, Vec<Integrity>, Vec<Error>) {
    let mut decoder = codec::decoder(machine, options);
    let (mut marks, mut integrities) = (Vec::new(), Vec::new());
    for frame in decoder.frames(Numbered::new(units)).with_ahead(20) {
        let frame = frame.unwrap();
        frame.status().unwrap();
        marks.push(codec::mark(frame.surface()));
        integrities.push(frame.integrity().unwrap());
        assert_eq!((frame.poc(), frame.pts()), (marks[marks.len() - 1] as i32, Some(frame.number() as i64)));
    }
    decoder.finish().unwrap();
    assert_eq!(machine.kernel.log(), [""; 0]);
    let errors: Vec<Error> = std::iter::from_fn(|| decoder.take_error()).collect();
    let statistics = decoder.statistics();
    assert_eq!(statistics.pictures, units.len() as u64);
    assert_eq!(
        (statistics.tally.decoded(), statistics.tally.total()),
        (statistics.pictures, statistics.pictures)
    );
    (marks, integrities, errors)
}

/// The engine looks at the numbers in surfaces and motion vectors: they are those of the references, however many
/// engines work on them and in whatever order.
#[test]
fn a_codec_is_a_front_end_and_a_description() {
    let units = groups(SIZE, 12);
    let engine = Machine::h200().context.engines()[1];
    for options in [
        DecoderOptions::default(),
        DecoderOptions { mode: Mode::Throughput, ..DecoderOptions::default() },
        DecoderOptions { mode: Mode::LowLatency, ..DecoderOptions::default() },
        DecoderOptions { engines: Engines::LeastBusy, ..DecoderOptions::default() },
        DecoderOptions { surfaces: Some(1), ..DecoderOptions::on(engine) },
    ] {
        let machine = Machine::h200();
        if options.engines == Engines::All {
            // So short a stream would not repay opening them, and engines that decode nothing are never busy.
            for &engine in machine.context.engines() {
                machine.kernel.faults().slow_down(0, engine, std::time::Duration::from_millis(2));
                machine.context.video_queue(engine, options.mode.priority()).unwrap();
            }
        }
        assert_eq!(decode(&machine, options, &units), order(&units), "{options:?}");
        let executions = machine.recorder.executions();
        let engines: BTreeSet<_> = executions.iter().map(|execution| execution.engine).collect();
        assert_eq!(engines.len() > 1, options.engines == Engines::All, "{options:?}: {engines:?}");
        let by_number: BTreeMap<_, _> = executions.iter().map(|e| (codec::number(e), e)).collect();
        assert_eq!((executions.len(), by_number.len()), (units.len(), units.len()));
        for (number, execution) in by_number {
            assert_eq!(
                execution.status, [0; 56],
                "picture {number}: the engine skips pictures with an old status"
            );
            // No start code: those are HEVC's.
            let (data, slack) = execution.bitstream.split_at(execution.word(0) as usize);
            assert_eq!(data, units[number as usize], "picture {number}");
            assert!(slack.iter().all(|&byte| byte == 0), "picture {number}");
            let base = execution.address(video::SET_IN_BUF_BASE_OFFSET).unwrap();
            assert_eq!(base % 256, 0, "picture {number}");
        }
    }
}

/// The application is sent once, and again when the engine has had another codec's pictures.
#[test]
fn codecs_share_an_engine() {
    let machine = Machine::h200();
    let options = DecoderOptions::on(machine.context.engines()[0]);
    let units = groups(SIZE, 1);
    for _ in 0..2 {
        machine.decode(crate::testing::stream("h_ra_cra"));
        assert_eq!(decode(&machine, options, &units).len(), order(&units).len());
    }
    let executions = machine.recorder.executions();
    let told = |e: &crate::testing::Execution| {
        e.methods.iter().find(|(m, _)| *m == video::SET_APPLICATION_ID).map(|m| m.1)
    };
    let applications: Vec<_> = executions.iter().filter_map(told).collect();
    let hevc = video::APPLICATION_ID_HEVC;
    assert!(executions.len() > 80 && applications.len() < 8, "{applications:?}");
    assert_eq!(applications.iter().collect::<BTreeSet<_>>().len(), 2);
    assert_eq!(applications[0], hevc);
}

/// Slice data in an input that lies where the engine can begin to read are not copied.
#[test]
fn data_without_start_codes_stay_in_place() {
    let machine = Machine::h200();
    let mut decoder = codec::decoder(&machine, DecoderOptions::on(machine.context.engines()[0]));
    let unit = picture(SIZE, AT_ONCE, &[]);
    let mut input = machine.context.input(1024).unwrap();
    for at in [0, 256, 700] {
        input[at..at + unit.len()].copy_from_slice(&unit);
    }
    let input = input.freeze();
    for at in [0, 256, 700] {
        assert_eq!(decoder.send(Packet::unit_of(&input, at..at + unit.len())).unwrap(), Sent::Accepted);
        while decoder.receive().is_some() {}
    }
    assert_eq!(decoder.flush().unwrap(), Sent::Accepted);
    decoder.finish().unwrap();
    let executions = machine.recorder.executions();
    assert!(executions.iter().all(|e| e.bitstream.starts_with(&unit)));
    let in_place = |e: &crate::testing::Execution| {
        input.buffer().contains(e.address(video::SET_IN_BUF_BASE_OFFSET).unwrap(), 1)
    };
    assert_eq!(executions.iter().map(in_place).collect::<Vec<_>>(), [true, true, false]);
}

/// Frames of one size stay what they are while the next is decoded, whether it has motion vectors or not.
#[test]
fn sizes_change() {
    let machine = Machine::h200();
    let sizes = [SIZE, (WITHOUT_MOTION, 4), (20, 12), SIZE, (WITHOUT_MOTION, 9)];
    let units: Vec<_> = sizes.iter().flat_map(|&size| groups(size, 2)).collect();
    let mut decoder = codec::decoder(&machine, DecoderOptions::default());
    let frames: Vec<_> = decoder.frames(Numbered::new(&units)).map(Result::unwrap).collect();
    decoder.finish().unwrap();
    assert_eq!(machine.kernel.log(), [""; 0]);
    let expected = order(&units);
    assert_eq!(frames.iter().map(|frame| codec::mark(frame.surface())).collect::<Vec<_>>(), expected);
    for (frame, &number) in frames.iter().zip(&expected) {
        let (columns, lines) = sizes[number as usize / groups(SIZE, 2).len()];
        let size = (16 * u32::from(columns), 16 * u32::from(lines));
        assert_eq!((frame.coded().width, frame.coded().height), size, "picture {number}");
    }
}

/// In place of a reference that does not exist the engine finds grey, and no motion; which this one checks.
#[test]
fn missing_references_are_grey() {
    let machine = Machine::h200();
    let mut units = vec![picture(SIZE, AT_ONCE, &[1]), picture(SIZE, AT_ONCE, &[2, 1, 4])];
    units.extend((0..20).map(|i| picture(SIZE, AT_ONCE, &[DPB as u8 + i % 2, 1])));
    let expected: Vec<_> = (0..22).collect();
    let (marks, integrities, errors) = decode_all(&machine, DecoderOptions::default(), &units);
    assert_eq!(marks, expected);
    // Those that refer further back than there are pictures, or than the buffer holds, say so; the others are predicted
    // from them.
    let lacks_one = |number: usize| match number {
        0 | 1 => true,
        _ => (DPB + number % 2) > number.min(DPB),
    };
    for (number, integrity) in integrities.iter().enumerate() {
        let fits = match integrity {
            Integrity::Damaged { cause: PictureFault::MissingReference { .. } } => lacks_one(number),
            Integrity::Tainted { by } => !lacks_one(number) && by.number < number as u64,
            _ => false,
        };
        assert!(fits, "picture {number}: {integrity:?}");
    }
    assert_eq!(errors.len(), (0..22).filter(|&number| lacks_one(number)).count(), "{errors:?}");
    let first = &machine.recorder.executions()[0];
    let luma =
        |place: usize| first.address(video::SET_PICTURE_LUMA_OFFSET + 4 * first.word(4 * place)).unwrap();
    assert_ne!(luma(3), luma(7), "a surface of its own");
}

/// What cannot be decoded ends nothing, and what came before it comes out.
#[test]
fn refused_units_leave_the_rest() {
    let machine = Machine::h200();
    let mut decoder = codec::decoder(&machine, DecoderOptions::default());
    let sixteen = picture(SIZE, AT_ONCE, &[1; 16]);
    let units = [
        picture(SIZE, LATER, &[]),
        picture(SIZE, 9, &[]),
        picture((TOO_WIDE, 4), LATER, &[]),
        sixteen,
        picture(SIZE, LATER, &[1]),
    ];
    let mut frames = decoder.frames(Numbered::new(&units));
    let (mut marks, mut errors) = (Vec::new(), Vec::new());
    for frame in &mut frames {
        match frame {
            Ok(frame) => {
                frame.status().unwrap();
                marks.push(codec::mark(frame.surface()));
            }
            Err(error) => errors.push(error),
        }
    }
    // The one with too many references has number 1.
    assert_eq!(marks, [0, 2]);
    assert!(matches!(&errors[..], [Error::CannotDecode { element: "width", .. }]), "{errors:?}");
    assert!(matches!(frames.take_error(), Some(Error::Bitstream { offset: 4, .. })));
    assert!(matches!(frames.take_error(), Some(Error::TooManyReferences { poc: 1 })));
    assert!(frames.take_error().is_none());
    assert_eq!(frames.decoder().reorder(), Some(1));
}

/// Nothing is taken of a unit for whose picture there is no surface.
#[test]
fn no_surface() {
    let machine = Machine::h200();
    let options = DecoderOptions { held_frames: Some(2), ..DecoderOptions::on(machine.context.engines()[0]) };
    let mut decoder = codec::decoder(&machine, options);
    let mut held = Vec::new();
    let mut sent = 0;
    while held.len() < 40 {
        let unit = picture(SIZE, AT_ONCE, &[1]);
        match decoder.send(Packet::unit(&unit).with_pts(sent)).unwrap() {
            Sent::Accepted => sent += 1,
            refusal => {
                assert_eq!(refusal, Sent::NoSurface);
                // Asking again changes nothing.
                assert_eq!(decoder.send(Packet::unit(&unit).with_pts(-1)).unwrap(), Sent::NoSurface);
                let Some(dropped) = held.len().checked_sub(1) else { panic!("no frame is held") };
                held.remove(dropped % 3);
                assert_eq!(decoder.surfaces(), DPB + 1 + 1 + 2);
            }
        }
        while let Some(frame) = decoder.receive() {
            assert_eq!((frame.pts(), frame.poc()), (Some(frame.number() as i64), frame.number() as i32));
            held.push(frame);
        }
        if sent == 100 {
            break;
        }
    }
    assert_eq!(sent, 100);
    decoder.finish().unwrap();
    assert!(held.iter().all(|frame| codec::mark(frame.surface()) == frame.number() as u32));
}

/// A fault of the engine is the picture's own, and said with its number.
#[test]
fn statuses_reach_their_pictures() {
    let machine = Machine::h200();
    let blocks = u32::from(SIZE.0) * u32::from(SIZE.1);
    let mut status = [0; 14];
    (status[0], status[2]) = (blocks, 100);
    machine.recorder.answer(status);
    status[0] = blocks - 1;
    machine.recorder.answer(status);
    let units = vec![picture(SIZE, AT_ONCE, &[]); 3];
    let mut decoder = codec::decoder(&machine, DecoderOptions::on(machine.context.engines()[0]));
    let frames: Vec<_> = decoder.frames(Numbered::new(&units)).map(Result::unwrap).collect();
    decoder.finish().unwrap();
    let fault = PictureFault::Incomplete { decoded: blocks - 1, expected: blocks };
    assert!(frames[0].status().is_ok() && frames[2].status().is_ok());
    assert!(
        matches!(frames[1].status(), Err(Error::Picture { number: 1, fault: found, .. }) if found == fault)
    );
    assert!(matches!(decoder.take_error(), Some(Error::Picture { number: 1, .. })));
    assert!(decoder.take_error().is_none());
}
