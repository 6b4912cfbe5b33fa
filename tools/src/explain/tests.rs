use std::fs::File;
use std::path::PathBuf;

use super::*;

fn explained(path: &str) -> Explanation {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), path].iter().collect();
    let container = film::open("x", File::open(path).unwrap()).unwrap();
    let track = film::choose("x", &container, None).unwrap();
    let (parsed, film) = parse_container("x", container, track).unwrap();
    explain("x", parsed, &film.unwrap())
}

#[test]
fn a_film_is_explained() {
    let found = explained("../nvdec/containers/tests/data/plain.mp4");
    let sequence = &found.sequences[0];
    assert_eq!((sequence.profile.as_str(), sequence.chroma, sequence.bit_depth), ("Main", "4:2:0", 8));
    assert_eq!((sequence.size, sequence.temporal_layers), ((128, 96), 1));
    let Access { points, distance, closed, open, .. } = &found.access;
    assert_eq!((*points, *closed, *open), (2, 2, 0));
    assert_eq!(*distance, Some(access::Distance { least: 12, most: 12, mean: 12.0 }));
    assert_eq!(found.access.seconds, Some(0.5));
    assert_eq!(found.access.slice_types.values().sum::<usize>(), 24);
    // 128 samples are fewer than others document.
    let decodes =
        |generation: &str| found.classes.iter().any(|class| class.generation == generation && class.decodes);
    assert!(decodes("Hopper") && !decodes("Ada"), "{:?}", found.classes);
    assert!(found.memory.balanced < found.memory.throughput, "{:?}", found.memory);
    let Structure { non_reference, longest_chain, engines } = &found.structure;
    assert!((0.3..0.9).contains(non_reference) && (2..12).contains(longest_chain), "{:?}", found.structure);
    // Two groups of pictures at once, at the least.
    assert!(engines.iter().all(|parallel| parallel.engines >= 2.0), "{engines:?}");
    let text = text::render(&found);
    for line in [
        "track 0*    video HEVC 128x96",
        "stream      Main, Main tier",
        "12 pictures apart (0.5 s)",
        "0xb8b0",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn open_groups_are_told_from_closed_ones() {
    let found = explained("../nvdec/tests/data/h_ra_cra.hevc");
    assert!(found.access.open > 0 && found.access.points > found.access.open, "{:?}", found.access);
}

#[test]
fn a_class_that_cannot_names_the_syntax_element() {
    let found = explained("clips/x_444_cqp.hevc");
    let of = |generation: &str| found.classes.iter().find(|class| class.generation == generation).unwrap();
    assert!(of("Hopper").decodes);
    assert!(found.memory.unknown.is_some(), "the emulated GPU lacks 4:4:4: {:?}", found.memory);
    let mut sps = (*parse_sps()).clone();
    sps.bit_depth_luma = 16;
    let pps = explained_pair().1;
    let verdict = verdict(&[(Arc::new(sps), pps)], VideoClass::find(0xb8b0).unwrap());
    assert!(!verdict.decodes && verdict.reason.unwrap().contains("bit_depth_luma_minus8"));
}

fn explained_pair() -> (Arc<Sps>, Arc<Pps>) {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "clips/x_wpp.hevc"].iter().collect();
    let container = film::open("x", File::open(path).unwrap()).unwrap();
    parse_container("x", container, 0).unwrap().0.used[0].clone()
}

fn parse_sps() -> Arc<Sps> {
    explained_pair().0
}
