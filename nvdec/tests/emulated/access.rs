//! Random access: each picture is what it is when all are decoded one after the other.

use std::path::PathBuf;
use std::sync::Arc;

use hcq::Device;
use nvdec::video::containers::Container;
use nvdec::video::{Identity, Stamp};
use nvdec::{Codec, Context, Decoder, DecoderOptions, Downloader, Error, Units, Video};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::support::{stream, sum, sums};

fn context() -> Arc<Context> {
    Context::new(Device::open(Arc::new(nvdec::emulated::h200().unwrap()), 0).unwrap()).unwrap()
}

/// Files in containers.
const FILES: &[&str] = &[
    "plain.mp4",
    "quicktime.mov",
    "hev1.mp4",
    "negative.mp4",
    "fragmented.mp4",
    "mixed.mp4",
    "trimmed.mp4",
    "vfr.mp4",
    "two_tracks.mkv",
    "matroska.mkv",
    "transport.ts",
    "transport.m2ts",
];

/// Byte streams, with what makes random access hard: leading pictures, long-term references, pictures that were lost, a
/// stream that is joined in the midst, end of sequence, sub-layers.
const STREAMS: &[&str] = &[
    "h_ra_cra",
    "h_wp_ra",
    "h_ld_b",
    "s_lt_rplm",
    "k_lp_temporal",
    "x_wpp",
    "f_refresh_join",
    "f_intra_join",
    "f_lost_ref_b",
    "f_eos_padded",
    "f_splice_reorder",
    "f_pps_same_id",
    "f_aud_in_picture",
    "f_tid_above_sublayers",
];

fn file(name: &str) -> Vec<u8> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "containers/tests/data", name].iter().collect();
    std::fs::read(path).unwrap()
}

/// Numbers and MD5s of what comes out.
fn decoded(
    decoder: &mut Decoder,
    downloader: &Downloader,
    source: impl nvdec::Source,
) -> nvdec::Result<Vec<(Option<u64>, String)>> {
    decoder.frames(source).map(|frame| frame.and_then(|f| Ok((f.opaque(), sum(downloader, f)?)))).collect()
}

/// Eighty times some pictures of a video, and each of them is what `expected` says.
fn check(name: &str, video: &Video, expected: &[String]) {
    let context = context();
    let downloader = Downloader::new(&context);
    let mut decoder = Decoder::new(&context, Codec::Hevc, DecoderOptions::default()).unwrap();
    let all = decoded(&mut decoder, &downloader, video.all()).unwrap();
    assert!(all.iter().map(|(_, sum)| sum).eq(expected), "{name}: one after the other");
    assert!(all.iter().map(|(number, _)| *number).eq((0..expected.len() as u64).map(Some)), "{name}");
    let config = Config { cases: 80, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let decoder = std::cell::RefCell::new(decoder);
    let some = prop::collection::btree_set(0..expected.len(), 1..=3.min(expected.len()));
    let outcome = runner.run(&some, |numbers| {
        let found = decoded(&mut decoder.borrow_mut(), &downloader, video.select(numbers.clone()).unwrap());
        let wanted = numbers.iter().map(|&number| (Some(number as u64), expected[number].clone()));
        prop_assert_eq!(found.unwrap(), wanted.collect::<Vec<_>>());
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
}

#[test]
fn pictures_of_files_are_those_of_a_whole_decode() {
    for name in FILES {
        let video = Video::from_bytes(file(name)).unwrap();
        let context = context();
        let mut decoder = Decoder::new(&context, Codec::Hevc, DecoderOptions::default()).unwrap();
        let all = decoded(&mut decoder, &Downloader::new(&context), video.all()).unwrap();
        let expected: Vec<String> = all.into_iter().map(|(_, sum)| sum).collect();
        assert_eq!(expected.len(), video.len(), "{name}");
        check(name, &video, &expected);
    }
}

#[test]
fn pictures_of_streams_are_those_of_a_whole_decode() {
    for name in STREAMS {
        let data = stream(name);
        let context = context();
        let mut decoder = Decoder::new(&context, Codec::Hevc, DecoderOptions::default()).unwrap();
        // Without an index.
        let all = decoded(&mut decoder, &Downloader::new(&context), Units::new(&data)).unwrap();
        let expected: Vec<String> = all.into_iter().map(|(_, sum)| sum).collect();
        if !name.starts_with("f_") {
            assert_eq!(expected, sums(name));
        }
        check(name, &Video::from_bytes(data).unwrap(), &expected);
    }
}

/// The same pictures are in all of these files, at the same times.
#[test]
fn containers_make_no_difference() {
    let context = context();
    let downloader = Downloader::new(&context);
    let all = |name: &str| {
        let video = Video::from_bytes(file(name)).unwrap();
        let mut decoder = Decoder::new(&context, Codec::Hevc, DecoderOptions::default()).unwrap();
        let sums = decoded(&mut decoder, &downloader, video.all()).unwrap();
        let times: Vec<f64> = (0..video.len()).map(|number| video.index().seconds(number).unwrap()).collect();
        (sums, times)
    };
    let (pictures, times) = all("plain.mp4");
    assert!(times.iter().enumerate().all(|(number, time)| (time - number as f64 / 24.0).abs() < 1e-9));
    for name in
        ["faststart.mp4", "quicktime.mov", "hev1.mp4", "negative.mp4", "fragmented.mp4", "matroska.mkv"]
    {
        let (same, at) = all(name);
        assert_eq!(same, pictures, "{name}");
        // FFmpeg writes no edit list into such a file, and everything is two pictures late.
        let late = if name == "fragmented.mp4" { 2.0 / 24.0 } else { 0.0 };
        // Matroska counts milliseconds.
        assert!(at.iter().zip(&times).all(|(a, b)| (a - b - late).abs() < 0.001), "{name}: {at:?}");
    }
}

/// A decoder that was left in the midst of a file gives nothing of that for a picture of another one.
#[test]
fn what_was_left_is_not_taken_for_another_file() {
    let (plain, other) =
        (Video::from_bytes(file("plain.mp4")).unwrap(), Video::from_bytes(file("vfr.mp4")).unwrap());
    let context = context();
    let downloader = Downloader::new(&context);
    let fresh = || Decoder::new(&context, Codec::Hevc, DecoderOptions::default()).unwrap();
    let wanted = decoded(&mut fresh(), &downloader, other.select([3, 9]).unwrap()).unwrap();
    let mut decoder = fresh();
    assert_ne!(decoded(&mut decoder, &downloader, plain.select([3, 9]).unwrap()).unwrap(), wanted);
    for taken in [0, 1, 5] {
        decoder.frames(plain.all()).take(taken).for_each(drop);
        assert_eq!(decoded(&mut decoder, &downloader, other.select([3, 9]).unwrap()).unwrap(), wanted);
        let mut frames = decoder.frames(plain.all());
        frames.by_ref().take(taken).for_each(drop);
        frames.go_on_with(other.select([3, 9]).unwrap());
        let sums: Vec<_> = frames.map(|frame| sum(&downloader, frame.unwrap()).unwrap()).collect();
        assert!(sums.iter().eq(wanted.iter().map(|(_, sum)| sum)));
    }
}

#[test]
fn what_nobody_needs_is_not_sent() {
    let video = Video::from_bytes(file("plain.mp4")).unwrap();
    let keys: Vec<usize> = video.index().keys().collect();
    assert_eq!(keys, [0, 12]);
    assert_eq!(video.select([12]).unwrap().coded_pictures_left(), 1);
    assert!(video.select([23]).unwrap().coded_pictures_left() < 12);
    assert!(matches!(video.select([24]), Err(Error::NoPicture { number: 24, pictures: 24 })));
    assert!(video.select([]).unwrap().is_empty());
}

#[test]
fn an_index_is_kept() {
    for name in ["plain.mp4", "transport.ts", "two_tracks.mkv"] {
        let bytes = file(name);
        let video = Video::from_bytes(bytes.clone()).unwrap();
        let of = Identity::of(&mut std::io::Cursor::new(&bytes)).unwrap();
        let stored = video.store_index(&of);
        assert!(stored.len() < 80 * video.len() + 400, "{name}: {} bytes", stored.len());
        let open = |stored: &[u8], of: &Identity| {
            Video::with_index(Container::from_bytes(bytes.clone()).unwrap(), None, stored, of)
        };
        let again = open(&stored, &of).unwrap();
        assert_eq!(again.store_index(&of), stored);
        let pictures = |video: &Video| (0..video.len()).map(|n| video.index().picture(n)).collect::<Vec<_>>();
        assert_eq!(pictures(&again), pictures(&video));
        let context = context();
        let mut decoder = Decoder::new(&context, Codec::Hevc, DecoderOptions::default()).unwrap();
        let downloader = Downloader::new(&context);
        let picture = |decoder: &mut Decoder, video: &Video| {
            decoded(decoder, &downloader, video.select([7, 13]).unwrap()).unwrap()
        };
        assert_eq!(picture(&mut decoder, &again), picture(&mut decoder, &video));
        let other = Identity::of(&mut std::io::Cursor::new(file("vfr.mp4"))).unwrap();
        let error = open(&stored, &other).unwrap_err().to_string();
        assert!(error.contains("another size"), "{error}");
        for length in 0..stored.len() {
            assert!(matches!(open(&stored[..length], &of), Err(Error::Index { .. })));
        }
    }
}

/// Whatever stands at its path later.
#[test]
fn an_index_is_of_the_file_that_was_opened() {
    let path = std::env::temp_dir().join(format!("nvdec-index-{}.mp4", std::process::id()));
    let other = path.with_extension("other");
    std::fs::write(&path, file("plain.mp4")).unwrap();
    let opened = std::fs::File::open(&path).unwrap();
    let stamp = Stamp::of(&opened).unwrap();
    let of = Identity::of_file(&path).unwrap();
    std::fs::write(&other, file("vfr.mp4")).unwrap();
    std::fs::rename(&other, &path).unwrap();
    assert_eq!(Identity::of_unchanged(&opened, &stamp).unwrap(), of);
    assert_ne!(Identity::of_file(&path).unwrap(), of);
    let opened = std::fs::File::open(&path).unwrap();
    let stamp = Stamp::of(&opened).unwrap();
    std::fs::write(&path, b"shorter").unwrap();
    let error = Identity::of_unchanged(&opened, &stamp).unwrap_err().to_string();
    assert!(error.contains("changed since it was opened"), "{error}");
    std::fs::remove_file(&path).unwrap();
    let (pipe, _end) = std::io::pipe().unwrap();
    let pipe = std::fs::File::from(std::os::fd::OwnedFd::from(pipe));
    let stamp = Stamp::of(&pipe).unwrap();
    let error = Identity::of_unchanged(&pipe, &stamp).unwrap_err().to_string();
    assert!(error.contains("no file"), "{error}");
}

/// An index whose sum is right, and whose content means harm, does none.
#[test]
fn a_hostile_index_is_refused_or_harmless() {
    let bytes = file("plain.mp4");
    let video = Video::from_bytes(bytes.clone()).unwrap();
    let of = Identity::of(&mut std::io::Cursor::new(&bytes)).unwrap();
    let stored = video.store_index(&of);
    let context = context();
    let config = Config { cases: 400, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let changes = prop::collection::vec((7..stored.len() - 4, any::<u8>()), 1..4);
    let outcome = runner.run(&changes, |changes| {
        let mut changed = stored.clone();
        for (at, byte) in changes {
            changed[at] = byte;
        }
        let end = changed.len() - 4;
        let sum = crc32fast::hash(&changed[..end]);
        changed[end..].copy_from_slice(&sum.to_le_bytes());
        let container = Container::from_bytes(bytes.clone()).unwrap();
        if let Ok(video) = Video::with_index(container, None, &changed, &of) {
            let mut decoder = Decoder::new(&context, Codec::Hevc, DecoderOptions::default()).unwrap();
            let some = (0..video.len()).step_by(5);
            decoder.frames(video.select(some).unwrap()).take(30).for_each(drop);
        }
        Ok(())
    });
    outcome.unwrap();
}
