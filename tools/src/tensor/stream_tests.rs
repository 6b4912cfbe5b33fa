use super::super::specs::CASES;
use super::*;
use crate::device;

const CLIP: &[u8] = include_bytes!("../../clips/x_size_202x150.hevc");
const DEEP: &[u8] = include_bytes!("../../clips/k_10b_tiles.hevc");
const FULL_COLOUR: &[u8] = include_bytes!("../../clips/x_444_cqp.hevc");
const FEW: Amount = Amount { pictures: 2, pixels: 8, seed: 1 };

fn check(stream: &[u8], twist: &dyn Fn(&str) -> String) -> StreamResult {
    let context = device::open(nvdec::DeviceChoice::Emulated).unwrap();
    check_twisted(&context, "clip", Whole::bytes(stream), Settings::default(), FEW, &CASES, twist)
}

#[test]
fn the_emulated_gpu_is_within_bounds() {
    for (stream, pictures) in [(CLIP, 2), (DEEP, 2)] {
        let result = check(stream, &str::to_owned);
        assert!(!result.is_wrong() && result.ended.is_none(), "{result}");
        assert_eq!((result.pictures.len(), result.damaged, result.specs.len()), (pictures, 0, 20));
        for spec in &result.specs {
            assert!(matches!(spec.verdict, Verdict::Within), "{result}");
            let channels = if spec.text.contains("grey") { 1 } else { 3 };
            assert_eq!(spec.elements, 2 * 8 * channels, "{spec}");
        }
        // No two are the same, and what is equal is equal each time.
        let sums: std::collections::BTreeSet<_> = result.specs.iter().map(|spec| &spec.md5).collect();
        assert_eq!(sums.len(), 20);
    }
}

#[test]
fn what_the_engine_refuses_is_named() {
    let result = check(FULL_COLOUR, &str::to_owned);
    assert!(result.is_refused() && !result.is_wrong(), "{result}");
    assert!(result.to_string().contains("chroma_format_idc"), "{result}");
}

/// A check that could not fail would be none: each of these is another tensor than the GPU makes.
#[test]
fn another_spec_is_out_of_bounds() {
    let twists: [(&str, &str, &str); 8] = [
        ("own", "", "matrix=bt709"),
        ("own-imagenet", "mean=0.485", "mean=0.475"),
        ("own-yuv", "channels=yuv", "channels=rgb"),
        ("own-bgr", "siting=1", "siting=4"),
        ("own-planes", "orientation=90", "orientation=mirror:270"),
        ("smaller-bilinear", "range=full", "range=limited"),
        ("larger-bicubic", "resize=bicubic", "resize=bilinear"),
        ("crop-turned", "siting=3", "siting=5"),
    ];
    let result = check(CLIP, &|text| {
        let of = |case: &str| CASES.iter().find(|known| known.name == case).unwrap().text(202, 150);
        let twisted = twists.iter().find(|(case, ..)| of(case) == text);
        twisted.map_or(text.to_owned(), |(_, from, to)| match *from {
            "" => (*to).to_owned(),
            from => text.replace(from, to),
        })
    });
    assert!(result.is_wrong() && result.to_string().starts_with("WRONG"), "{result}");
    for spec in &result.specs {
        let is_twisted = twists.iter().any(|(case, ..)| *case == spec.spec);
        assert_eq!(matches!(spec.verdict, Verdict::OutOfBounds { .. }), is_twisted, "{result}");
    }
    assert!(result.to_string().contains("OUT OF BOUNDS"), "{result}");
}

#[test]
fn the_first_the_last_and_some_between() {
    let context = device::open(nvdec::DeviceChoice::Emulated).unwrap();
    for (most, expected) in [(1, &[0][..]), (2, &[0, 11]), (3, &[0, 8, 11]), (8, &[0, 2, 4, 6, 8, 10, 11])] {
        let mut keeper = Keeper::new(most);
        let settings = Settings { discard: true, ..Settings::default() };
        Whole::bytes(DEEP).decode(&context, "clip", settings, &mut keeper).unwrap();
        let indices: Vec<_> = keeper.frames().iter().map(|(index, _)| *index).collect();
        assert_eq!(indices, expected, "{most}");
    }
}
