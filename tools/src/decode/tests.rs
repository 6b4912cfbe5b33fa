use std::sync::Mutex;

use hcq::kernel::emulated::{EmulatedKernel, Engine, EngineContext, EngineFault};
use hcq::{Device, EngineKind};

use super::*;
use crate::check::expected::Expected;
use crate::check::stream::{Verdict, check_stream};
use crate::parse;

const IPB: &[u8] = include_bytes!("../../clips/x_size_202x150.hevc");
const TILES: &[u8] = include_bytes!("../../clips/k_10b_tiles.hevc");
const TILES_SUMS: &str = include_str!("../../clips/k_10b_tiles.hevc.framemd5");

/// An engine that takes pictures and leaves their surfaces as they are: enough to see what happens around it.
struct Idle(u32);

impl Engine for Idle {
    fn class(&self) -> u32 {
        self.0
    }

    fn method(&mut self, _: &EngineContext<'_>, _: u32, _: u32) -> Result<(), EngineFault> {
        Ok(())
    }
}

fn context() -> Arc<Context> {
    let kernel =
        EmulatedKernel::builder().with_engine_factory(EngineKind::Nvdec, |_, class| Box::new(Idle(class)));
    let device = Device::open(Arc::new(kernel.build().unwrap()), 0).unwrap();
    Context::new(device).unwrap()
}

#[derive(Default)]
struct Collector {
    pocs: Vec<i32>,
    sizes: Vec<usize>,
    errors: Mutex<Vec<String>>,
    bytes: u64,
}

impl Consumer for Collector {
    fn picture(&mut self, picture: &mut Picture) -> Result<(), Failure> {
        assert_eq!(picture.index as usize, self.pocs.len());
        self.pocs.push(picture.poc);
        let mut planes = Vec::new();
        picture.write_planar(&mut planes);
        self.sizes.push(planes.len());
        Ok(())
    }

    fn warning(&mut self, error: nvdec::Error) {
        self.errors.lock().unwrap().push(error.to_string());
    }

    fn progress(&mut self, bytes: u64) {
        self.bytes = bytes;
    }
}

fn collect(stream: &[u8], settings: Settings) -> (Collector, Summary) {
    let mut collector = Collector::default();
    let summary = decode(&context(), "clip", &mut &stream[..], settings, &mut collector).unwrap();
    (collector, summary)
}

#[test]
fn pictures_come_in_output_order_whatever_the_engine_does() {
    for (stream, bytes) in [(IPB, 202 * 150 + 2 * 101 * 75), (TILES, 416 * 240 * 3)] {
        let parsed = parse::parse(&mut &stream[..], "clip").unwrap();
        let mut shown: Vec<_> = parsed.pictures.iter().filter_map(|p| Some((p.output?, p.poc))).collect();
        shown.sort_unstable();
        let (collector, summary) = collect(stream, Settings::default());
        assert_eq!(collector.pocs, shown.iter().map(|p| p.1).collect::<Vec<_>>());
        assert!(collector.sizes.iter().all(|&size| size == bytes), "{:?}", collector.sizes);
        assert_eq!((summary.pictures, summary.nal_units), (shown.len() as u64, parsed.nal_units));
        assert_eq!((summary.bytes, collector.bytes), (parsed.bytes, parsed.bytes));
        assert!(summary.first_picture.unwrap() <= summary.elapsed && summary.stopped.is_none());
        // The engine wrote no status, and each picture says so once.
        assert_eq!(collector.errors.lock().unwrap().len(), shown.len());
        assert_eq!(summary.statistics.tally.damaged, shown.len() as u64);
    }
}

#[test]
fn frames_limits_the_output() {
    for limit in [0, 1, 7] {
        let (collector, summary) = collect(TILES, Settings { frames: Some(limit), ..Settings::default() });
        assert_eq!((collector.pocs.len() as u64, summary.pictures), (limit, limit));
    }
}

#[test]
fn discarded_pictures_are_counted() {
    let (collector, summary) = collect(TILES, Settings { discard: true, ..Settings::default() });
    assert_eq!((collector.pocs.len(), summary.pictures), (0, 12));
    assert!(summary.first_picture.is_some());
}

#[test]
fn a_stream_longer_than_every_ring() {
    // The stream begins with an IDR picture, so it may follow itself.
    let stream = TILES.repeat(12);
    let (collector, _) = collect(&stream, Settings::default());
    assert_eq!(collector.pocs.len(), 144);
}

#[test]
fn wrong_samples_do_not_pass() {
    let expected = Expected::parse(TILES_SUMS).unwrap();
    let result = check_stream(&context(), "clip", Whole::bytes(TILES), Settings::default(), &expected);
    let Verdict::Differs { difference, error } = &result.verdict else { panic!("{result}") };
    assert!(difference.to_string().starts_with("from picture 0 (POC 0): MD5 "), "{difference}");
    assert!(error.as_ref().unwrap().contains("no status"), "{result}");
    assert_eq!(result.errors, 12);
}

#[test]
fn an_empty_stream_has_no_pictures() {
    let mut collector = Collector::default();
    let summary = decode(&context(), "empty", &mut &b""[..], Settings::default(), &mut collector).unwrap();
    assert_eq!((summary.pictures, summary.nal_units), (0, 0));
}

#[test]
fn a_consumer_that_fails_ends_it() {
    struct Full;
    impl Consumer for Full {
        fn picture(&mut self, picture: &mut Picture) -> Result<(), Failure> {
            Err(Failure::Format { picture: picture.index, reason: "full".into() })
        }
        fn warning(&mut self, _: nvdec::Error) {}
    }
    let failure = decode(&context(), "clip", &mut &IPB[..], Settings::default(), &mut Full).unwrap_err();
    assert!(matches!(failure, Failure::Format { picture: 0, .. }), "{failure}");
}

#[test]
fn sei_errors_cost_no_picture() {
    use bitstream::SyntaxError;
    use hevc::error::{Place, Structure};
    let truncated = |structure| {
        let place = Place::new(structure);
        let source = SyntaxError::Truncated { place, element: "x", position: 0, size: 8 };
        nvdec::Error::Bitstream { offset: 0, source: hevc::Error::from(source).into() }
    };
    assert!(!costs_pictures(&truncated(Structure::Sei)));
    assert!(costs_pictures(&truncated(Structure::SliceSegmentHeader)));
    assert!(costs_pictures(&nvdec::Error::TooManyReferences { poc: 0 }));
}
