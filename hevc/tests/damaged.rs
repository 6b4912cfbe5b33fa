//! Damaged streams: nothing panics, hangs or grows without bound. `HEVC_DAMAGED` names more folders with streams.

mod common;

use bitstream::{AnnexBReader, split_annex_b};
use hevc::{Parser, StartAt};
use proptest::prelude::*;

/// What is done to a stream.
#[derive(Debug, Clone)]
enum Damage {
    FlipBit(usize),
    SetByte(usize, u8),
    Remove(usize, usize),
    Duplicate(usize, usize),
    Truncate(usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        4 => any::<usize>().prop_map(Damage::FlipBit),
        4 => (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Damage::SetByte(at, byte)),
        1 => (any::<usize>(), 1usize..200).prop_map(|(at, size)| Damage::Remove(at, size)),
        1 => (any::<usize>(), 1usize..200).prop_map(|(at, size)| Damage::Duplicate(at, size)),
        1 => any::<usize>().prop_map(Damage::Truncate),
    ]
}

fn apply(stream: &mut Vec<u8>, damage: &Damage) {
    let size = stream.len();
    if size == 0 {
        return;
    }
    match *damage {
        Damage::FlipBit(at) => stream[at / 8 % size] ^= 1 << (at % 8),
        Damage::SetByte(at, byte) => stream[at % size] = byte,
        Damage::Remove(at, count) => {
            let start = at % size;
            stream.drain(start..(start + count).min(size));
        }
        Damage::Duplicate(at, count) => {
            let start = at % size;
            let piece = stream[start..(start + count).min(size)].to_vec();
            stream.splice(start..start, piece);
        }
        Damage::Truncate(at) => stream.truncate(at % size),
    }
}

/// Every invariant that holds for any input.
fn check(stream: &[u8]) {
    let run = common::run(stream);
    assert!(run.max_held <= 17, "{} pictures held", run.max_held);
    let decoded = run.pictures.iter().filter(|picture| !picture.skipped).count();
    assert!(run.output.len() <= decoded, "{} of {decoded} pictures output", run.output.len());
    for picture in &run.pictures {
        assert!(picture.rps.num_pic_total_curr() <= 16);
        assert!(picture.header.num_entry_point_offsets < picture.sps.pic_size_in_ctbs().max(1));
        let crop = picture.sps.crop();
        assert!(crop.width > 0 && crop.left + crop.width <= picture.sps.pic_width_in_luma_samples);
        let layout = picture.pps.tile_layout(&picture.sps);
        assert_eq!(layout.column_widths.iter().sum::<u32>(), picture.sps.pic_width_in_ctbs());
        assert_eq!(layout.row_heights.iter().sum::<u32>(), picture.sps.pic_height_in_ctbs());
    }
    // Decoding from anywhere must hold too.
    for start_at in [StartAt::Any, StartAt::RecoveryPoint] {
        let mut parser = Parser::new();
        parser.set_start_at(start_at);
        for nal in split_annex_b(stream) {
            let _ = parser.parse(nal);
        }
    }
}

/// As [`check`]; and that beginnings of NAL units do not mislead.
fn check_with_beginnings(stream: &[u8], length: usize) {
    check(stream);
    common::check_beginnings(stream, length);
}

fn fixtures() -> Vec<Vec<u8>> {
    common::streams().iter().map(|path| common::read(path)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_streams_never_panic(which in any::<prop::sample::Index>(), damages in prop::collection::vec(damage(), 1..20), length in 0usize..300) {
        static FIXTURES: std::sync::LazyLock<Vec<Vec<u8>>> = std::sync::LazyLock::new(fixtures);
        let mut stream = FIXTURES[which.index(FIXTURES.len())].clone();
        for damage in &damages {
            apply(&mut stream, damage);
        }
        check_with_beginnings(&stream, length);
    }

    /// Damage aimed at the parameter sets and the first slices, where it hurts most.
    #[test]
    fn mutated_parameter_sets_never_panic(which in any::<prop::sample::Index>(), bits in prop::collection::vec(0usize..4000, 1..6), length in 0usize..300) {
        static FIXTURES: std::sync::LazyLock<Vec<Vec<u8>>> = std::sync::LazyLock::new(fixtures);
        let mut stream = FIXTURES[which.index(FIXTURES.len())].clone();
        for &bit in &bits {
            apply(&mut stream, &Damage::FlipBit(bit));
        }
        check_with_beginnings(&stream, length);
    }

    #[test]
    fn random_nal_units_never_panic(kinds in prop::collection::vec((0u8..64, prop::collection::vec(any::<u8>(), 0..80)), 1..30)) {
        let mut stream = common::read(&common::data().join("h_ra_cra.hevc"));
        for (kind, payload) in kinds {
            stream.extend([0, 0, 1, kind << 1, 1]);
            stream.extend(payload);
        }
        check(&stream);
    }
}

#[test]
fn damaged_files_never_panic() {
    let folders = std::env::var("HEVC_DAMAGED").unwrap_or_default();
    for folder in folders.split(':').filter(|folder| !folder.is_empty()) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("readable folder").path();
            if path.extension().is_some_and(|extension| extension == "tsv") {
                continue;
            }
            let stream = common::read(&path);
            check(&stream);
            let run = common::run(&stream);
            let skipped = run.pictures.iter().filter(|picture| picture.skipped).count();
            println!(
                "{}: {} pictures, {skipped} skipped, {} output, {} missing references, {} errors: {}",
                path.file_name().expect("a file").to_string_lossy(),
                run.pictures.len(),
                run.output.len(),
                run.missing,
                run.errors.len(),
                run.errors.first().map(|(_, error)| error.to_string()).unwrap_or_default(),
            );
        }
    }
}

#[test]
fn a_start_code_that_never_comes_is_bounded() {
    let mut reader = AnnexBReader::with_limit(1000);
    reader.feed(&[0, 0, 1, 0x26, 1]).expect("small");
    let mut errors = 0;
    for _ in 0..100 {
        errors += usize::from(reader.feed(&[0x55; 100]).is_err());
        assert_eq!(reader.next_nal(), None);
        assert!(reader.buffered() <= 1000);
    }
    assert_eq!(errors, 1);
    // Reading goes on at the next start code.
    reader.feed(&[0, 0, 1, 0x46, 1, 0x50, 0, 0, 1]).expect("small");
    assert_eq!(reader.next_nal(), Some(&[0x46, 1, 0x50][..]));
}
