use bitstream::split_annex_b;
use nvkernel_sys::video;
use proptest::prelude::*;

use super::*;
use crate::hevc::passes_over;
use crate::testing::{Execution, Machine, STREAMS};
use crate::{Codec, Decoder, DecoderOptions, Units};

const SLICES: Slices = Slices::StartCodes(passes_over);

/// Decodes the NAL units of an input, of which engines are shown what they can be.
fn decode(machine: &Machine, input: &Input) -> Vec<Execution> {
    let mut decoder =
        Decoder::new(&machine.context, Codec::Hevc, DecoderOptions::on(machine.context.engines()[0]))
            .unwrap();
    for frame in decoder.frames(Units::of(input)) {
        drop(frame.unwrap());
    }
    decoder.finish().unwrap();
    machine.recorder.executions()
}

/// The slice segments that an engine finds in what it was shown.
fn found(execution: &Execution) -> Vec<&[u8]> {
    let shown = &execution.bitstream[..execution.word(0x30) as usize];
    split_annex_b(shown).filter(|nal| nal[0] >> 1 < 32).collect()
}

fn input(machine: &Machine, data: &[u8]) -> Input {
    let mut input = machine.context.input(data.len()).unwrap();
    input.copy_from_slice(data);
    input.freeze()
}

fn is_in_place(execution: &Execution, input: &Input) -> bool {
    input.buffer().contains(execution.address(video::SET_IN_BUF_BASE_OFFSET).unwrap(), 1)
}

/// What stands between the slice segments of a stream, and makes no difference to their pictures.
#[derive(Clone, Debug)]
struct Between {
    zeros: usize,
    /// `nal_unit_type` and length of a NAL unit that nobody needs.
    other: Option<(u8, usize)>,
}

fn between() -> impl Strategy<Value = Between> {
    // Filler data, suffix SEI, reserved and unspecified types.
    let kind = prop::sample::select(&[38u8, 40, 41, 47, 48, 63][..]);
    (0usize..4, prop::option::weighted(0.3, (kind, 1usize..255)))
        .prop_map(|(zeros, other)| Between { zeros, other })
}

impl Between {
    fn write(&self, out: &mut Vec<u8>) {
        if let Some((kind, length)) = self.other {
            // To an SEI message, the type of a payload that nobody knows, and its length.
            out.extend([0, 0, 1, kind << 1, 1]);
            out.extend((kind == 40).then_some([250, length as u8]).into_iter().flatten());
            out.resize(out.len() + length, 0xff);
            out.push(0x80);
        }
        out.resize(out.len() + self.zeros, 0);
        out.extend(START_CODE);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// However slice segments lie, the engine finds those of each picture, all of them and no others.
    #[test]
    fn engines_find_the_slices_of_their_pictures(
        (name, data) in prop::sample::select(STREAMS),
        ahead in 0usize..600,
        gaps in prop::collection::vec(between(), 32),
    ) {
        let mut stream = vec![0xff; ahead];
        for (nal, gap) in split_annex_b(data).zip(gaps.iter().cycle()) {
            gap.write(&mut stream);
            stream.extend(nal);
        }
        let expected = Machine::h200().decode(&stream[ahead..]);
        let machine = Machine::h200();
        let executions = decode(&machine, &input(&machine, &stream));
        prop_assert_eq!(executions.len(), expected.len(), "{}", name);
        for (i, (shown, copied)) in executions.iter().zip(&expected).enumerate() {
            prop_assert_eq!(found(shown), found(copied), "{}: picture {}", name, i);
            let rest = |e: &Execution| [&e.descriptor[..0x30], &e.descriptor[0x34..]].concat();
            prop_assert_eq!(rest(shown), rest(copied), "{}: picture {}", name, i);
            prop_assert_eq!(shown.address(video::SET_IN_BUF_BASE_OFFSET).unwrap() % 256, 0);
        }
    }
}

/// Of pictures that are larger than what an engine's addresses count in, those are shown that have nothing unknown beside
/// or between their slice segments.
#[test]
fn what_can_be_shown_is() {
    let slice = |first: bool, bytes: usize| {
        let mut nal = vec![0x02, 1, if first { 0xd0 } else { 0x50 }];
        nal.resize(bytes, 0xff);
        nal
    };
    let machine = Machine::h200();
    let place = |parts: &[&[u8]]| {
        let mut data = Vec::new();
        let mut at = 0..0;
        for part in parts {
            at = data.len()..data.len() + part.len();
            data.extend_from_slice(part);
        }
        (input(&machine, &data), at)
    };
    let begin = |parts: &[&[u8]]| {
        let (input, at) = place(parts);
        Extent::begin(&(&input, at), SLICES).map(|extent| (extent.base(), extent.len()))
    };
    let (large, small) = (slice(true, 1000), slice(true, 20));
    assert_eq!(begin(&[&large]), None, "no start code");
    assert_eq!(begin(&[&START_CODE, &large]), Some((0, 1003)));
    assert_eq!(begin(&[&[0xff; 300], &START_CODE, &large]), Some((256, 1047)));
    // The one before began further back.
    assert_eq!(begin(&[&START_CODE, &large, &START_CODE, &large]), Some((768, 1238)));
    // It is among the bytes that the engine would see first.
    assert_eq!(begin(&[&START_CODE, &small, &START_CODE, &large]), None);
    // Parameter sets and the like are passed over, what nobody has tried is not.
    for (kind, passed) in
        [(32, true), (34, true), (35, true), (40, true), (41, false), (48, false), (63, false)]
    {
        assert_eq!(
            begin(&[&START_CODE, &[kind << 1, 1, 0x80], &START_CODE, &large]).is_some(),
            passed,
            "{kind}"
        );
    }
    // A NAL unit without a header.
    assert_eq!(begin(&[&START_CODE, &START_CODE, &large]), None);
    assert_eq!(begin(&[&START_CODE, &[0x46], &START_CODE, &large]), None);

    let extend = |between: &[u8]| {
        let second = slice(false, 500);
        let (input, at) = place(&[&START_CODE, &large, between, &second]);
        let mut extent = Extent::begin(&(&input, 3..1003), SLICES).unwrap();
        let extended = extent.extend(&(&input, at.clone()), SLICES);
        assert_eq!(extent.end, if extended { at.end } else { 1003 });
        extended
    };
    assert!(extend(&START_CODE) && extend(&[0, 0, 0, 0, 1]));
    assert!(extend(&[0, 0, 1, 80, 1, 0x80, 0, 0, 1]), "a suffix SEI message");
    assert!(
        !extend(&[]) && !extend(&[0, 0, 1, 2, 1, 0x50, 0xff, 0, 0, 1]),
        "a slice segment that was dropped"
    );
    let (input, other) = (place(&[&START_CODE, &large]).0, place(&[&START_CODE, &large]).0);
    let mut extent = Extent::begin(&(&input, 3..500), SLICES).unwrap();
    assert!(!extent.extend(&(&other, 503..1003), SLICES) && !extent.extend(&(&input, 3..500), SLICES));
}

/// Memory of another GPU's address space is of no use to an engine: what lies there is copied.
#[test]
fn inputs_of_others_are_copied() {
    let (machine, other) = (Machine::h200(), Machine::h200());
    let data = STREAMS.iter().find(|(name, _)| *name == "x_hdr10").unwrap().1;
    let foreign = input(&other, data);
    assert!(decode(&machine, &foreign).iter().all(|e| e.bitstream.starts_with(&ZERO_AND_START_CODE)));
    let machine = Machine::h200();
    let own = input(&machine, data);
    assert!(decode(&machine, &own).iter().any(|e| is_in_place(e, &own)));
    assert!(own.into_mut().is_ok(), "the decoder is gone, and its work is done");
}
