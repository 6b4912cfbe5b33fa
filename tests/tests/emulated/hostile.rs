//! Streams made to hurt: whatever the bytes, the engine is asked for nothing out of range and nothing is left behind.

use bitstream::split_annex_b;
use nvdec::{DecoderOptions, Engines, Error, Mode, Packet, Priority};
use nvdec_tests::bodies::pattern;
use nvdec_tests::player::Player;
use nvdec_tests::streams::{CUT, DAMAGED, WHOLE};
use proptest::prelude::*;

use super::machine;

#[derive(Clone, Debug)]
enum Damage {
    Flip(usize),
    Set(usize, u8),
    Remove(usize, usize),
    Insert(usize, Vec<u8>),
    /// Swaps two NAL units.
    Swap(usize, usize),
    /// Repeats a NAL unit elsewhere.
    Repeat(usize, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<usize>;
    prop_oneof![
        4 => at().prop_map(Damage::Flip),
        2 => (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        1 => (at(), 1usize..100).prop_map(|(at, n)| Damage::Remove(at, n)),
        1 => (at(), prop::collection::vec(any::<u8>(), 1..50)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        2 => (at(), at()).prop_map(|(a, b)| Damage::Swap(a, b)),
        2 => (at(), at()).prop_map(|(a, b)| Damage::Repeat(a, b)),
    ]
}

fn apply(nals: &mut Vec<Vec<u8>>, damage: &Damage) {
    let count = nals.len();
    let place = |at: usize| (at % count, at / count);
    match damage {
        Damage::Flip(at) => {
            let (nal, bit) = place(*at);
            let bit = bit % (8 * nals[nal].len());
            nals[nal][bit / 8] ^= 1 << (bit % 8);
        }
        Damage::Set(at, byte) => {
            let (nal, index) = place(*at);
            let index = index % nals[nal].len();
            nals[nal][index] = *byte;
        }
        Damage::Remove(at, n) => {
            let (nal, start) = place(*at);
            let start = start % nals[nal].len();
            let end = (start + n).min(nals[nal].len());
            nals[nal].drain(start..end);
            if nals[nal].is_empty() {
                nals[nal].push(0);
            }
        }
        Damage::Insert(at, bytes) => {
            let (nal, start) = place(*at);
            let start = start % nals[nal].len();
            nals[nal].splice(start..start, bytes.iter().copied());
        }
        Damage::Swap(a, b) => nals.swap(a % count, b % count),
        Damage::Repeat(a, b) => {
            let nal = nals[a % count].clone();
            nals.insert(b % count, nal);
        }
    }
}

proptest! {
    #[test]
    fn any_damage_ends_in_errors_and_frames(
        which in any::<prop::sample::Index>(),
        damages in prop::collection::vec(damage(), 1..12),
        largest in 1usize..5000,
        seed in any::<u32>(),
        engines in 1usize..=7,
        mode in prop::sample::select(vec![Mode::Balanced, Mode::Throughput, Mode::LowLatency]),
        surfaces in prop::option::of(1usize..30),
    ) {
        let streams: Vec<_> = CUT.iter().chain(WHOLE).chain(DAMAGED).filter(|s| s.data.len() < 8000).collect();
        let stream = which.get(&streams);
        let mut nals: Vec<Vec<u8>> = split_annex_b(stream.data).map(<[u8]>::to_vec).collect();
        if nals.is_empty() {
            nals.push(vec![0x40]);
        }
        for damage in &damages {
            apply(&mut nals, damage);
        }
        let bytes: Vec<u8> = nals.iter().flat_map(|nal| [&[0, 0, 0, 1], nal.as_slice()].concat()).collect();
        let machine = machine();
        let context = machine.context();
        // Engines that are open are used, however small pictures are.
        let engines = &context.engines()[..engines];
        for &engine in engines {
            context.video_queue(engine, Priority::Bulk).unwrap();
        }
        let engines = Engines::Set(engines.iter().copied().collect());
        let options = DecoderOptions::default()
            .with_engines(engines)
            .with_mode(mode)
            .with_surfaces(surfaces)
            .with_held_frames(1);
        let mut player = Player::new(&context, options).unwrap();
        let mut rest = bytes.as_slice();
        let sizes = pattern(64, seed);
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let size = (usize::from(*size) * largest / 256 + 1).min(rest.len());
            match player.send(Packet::byte_stream(&rest[..size])) {
                Ok(()) | Err(Error::CannotDecode { .. } | Error::TooManySamples { .. }) => {}
                Err(error) => return Err(TestCaseError::fail(format!("{}: {error}", stream.name))),
            }
            rest = &rest[size..];
        }
        while let Err(error) = player.end() {
            prop_assert!(matches!(error, Error::CannotDecode { .. } | Error::TooManySamples { .. }), "{error}");
        }
        drop((player, context));
        machine.assert_content(stream.name);
        machine.assert_empty(stream.name);
    }
}
