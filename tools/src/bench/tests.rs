//! Every benchmark on the emulated GPU: that it measures what it says, not how fast that is.

use nvdec::class::Chroma;
use nvdec::{DeviceChoice, Mode, SurfaceFormat, Units};
use serde_json::Value;

use super::feed::{Means, Stream};
use super::*;
use crate::check::expected::Expected;
use crate::device;
use crate::engines::EngineChoice;
use crate::stats::Start;

const STREAM: &[u8] = include_bytes!("../../clips/x_wpp.hevc");
const SUMS: &str = include_str!("../../clips/x_wpp.hevc.framemd5");
const SMALL: &[u8] = include_bytes!("../../clips/x_size_202x150.hevc");
const PICTURES: u64 = 16;

fn context() -> Arc<Context> {
    device::open(DeviceChoice::Emulated).unwrap()
}

fn json<T: Serialize>(context: &Context, benchmark: &'static str, result: &T) -> Value {
    let machine = &Machine::of(context, benchmark);
    let value = serde_json::to_value(Document { machine, result }).unwrap();
    assert_eq!((&value["schema"], &value["emulated"]), (&2.into(), &true.into()));
    assert_eq!((&value["benchmark"], &value["device"]), (&benchmark.into(), &"NVIDIA H200".into()));
    assert_eq!(value["engines"].as_array().unwrap().len(), 7);
    assert!(machine.to_string().contains("emulated"));
    value
}

#[test]
fn one_stream_by_settings() {
    let context = context();
    let setting = |mode, engines, surfaces| stream::Setting { mode, engines, surfaces };
    let options = stream::Options {
        loops: 2,
        rounds: 2,
        settings: vec![
            setting(Mode::Balanced, EngineChoice::One, None),
            setting(Mode::LowLatency, EngineChoice::All, None),
            setting(Mode::Throughput, EngineChoice::All, Some(9)),
        ],
        clock: Some(1e9),
    };
    let result = stream::run(&context, "x", &Stream::copied(STREAM), &options, Start::now()).unwrap();
    assert_eq!((result.pictures, result.rows.len()), (PICTURES as usize, 3));
    let engines: Vec<usize> = result.rows.iter().map(|row| row.engines).collect();
    assert_eq!(engines, [1, 7, 7]);
    for row in &result.rows {
        assert!(row.pictures_per_second.min > 0.0 && row.cpu_us_per_picture.min > 0.0);
        assert!(row.process_cpu_us_per_picture.median > row.cpu_us_per_picture.median, "engines are threads");
        assert!(row.surfaces.used > 0 && row.surfaces.used <= row.surfaces.allowed, "{:?}", row.surfaces);
        let memory = row.gpu_memory;
        assert_eq!(memory.priced, memory.surfaces + memory.motion + memory.scratch + memory.status);
        assert!(memory.measured.is_some_and(|bytes| bytes > 0 && bytes <= memory.priced), "{memory:?}");
        let bound = row.bound.unwrap();
        assert!(bound.speedup >= 1.0 && bound.speedup <= row.engines as f64);
        assert_eq!((row.busy, bound.reached), (None, None), "emulated engines have no clock");
    }
    assert_eq!(result.rows[1].surfaces.allowed, 24);
    assert_eq!(result.rows[2].surfaces.allowed, 9);
    let value = json(&context, "stream", &result);
    assert_eq!(value["rows"][2]["mode"], "throughput");
    assert!(value["rows"][0]["pictures_per_second"]["median"].is_number());
    assert!(value["rows"][0]["bound"]["by"].is_string());
    let text = result.to_string();
    for part in ["balanced, 1 engine\n", "low-latency, 7 engines\n", "surfaces            ", "priced "] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

fn many_options(streams: usize) -> many::Options {
    many::Options {
        streams,
        loops: 1,
        threads: None,
        mode: Mode::Balanced,
        engines: EngineChoice::All,
        surfaces: None,
        memory_limit: None,
        expected: None,
    }
}

#[test]
fn many_streams_are_right_and_fair() {
    let context = context();
    let in_place = Stream::new(&context, STREAM.into(), Means::default()).unwrap();
    for (threads, engines, stream) in
        [(Some(1), EngineChoice::All, Stream::copied(STREAM)), (Some(3), EngineChoice::Each, in_place)]
    {
        let expected = Some(Expected::parse(SUMS).unwrap());
        let options = many::Options { threads, engines, expected, loops: 2, ..many_options(9) };
        let result = many::run(&context, "x", &stream, &options).unwrap();
        assert_eq!((result.pictures, result.threads), (9 * 2 * PICTURES, threads.unwrap()));
        let check = result.check.clone().unwrap();
        assert_eq!(check, many::Check { bit_exact: 9, differ: 0, first_difference: None });
        assert!(result.is_good());
        assert!(result.fairness > 0.0 && result.fairness <= 1.0);
        assert!(result.slowest > 0.0 && result.slowest <= result.fastest);
        assert_eq!(result.waited_for_memory, 0);
        assert!(result.gpu_memory.priced > 0);
        let value = json(&context, "many", &result);
        assert_eq!(value["check"]["bit_exact"], 9);
    }
    assert_eq!(context.reserved_memory(), 0, "all decoders are gone");
}

#[test]
fn wrong_pictures_are_found() {
    let context = context();
    let mut expected = Expected::parse(SUMS).unwrap();
    expected.pictures[5].md5.replace_range(..4, "0000");
    let options = many::Options { expected: Some(expected), ..many_options(3) };
    let result = many::run(&context, "x", &Stream::copied(STREAM), &options).unwrap();
    let check = result.check.clone().unwrap();
    assert_eq!((check.bit_exact, check.differ), (0, 3));
    assert!(check.first_difference.unwrap().starts_with("from picture 5 "));
    assert!(!result.is_good());
}

/// Streams that find no memory wait until others have ended, and decode then.
#[test]
fn memory_is_as_priced_and_limited() {
    let context = context();
    let usual = context.memory_limit();
    // Of eight streams on seven engines each has one.
    let alone = many::Options { engines: EngineChoice::Each, ..many_options(1) };
    let each = many::run(&context, "x", &Stream::copied(STREAM), &alone).unwrap().gpu_memory.priced;
    let options = many::Options { memory_limit: Some(3 * each), threads: Some(1), ..many_options(8) };
    let result = many::run(&context, "x", &Stream::copied(STREAM), &options).unwrap();
    assert_eq!(result.pictures, 8 * PICTURES);
    assert_eq!(result.waited_for_memory, 5, "one thread takes turns: all have asked before the first ends");
    assert!(result.gpu_memory.priced <= 3 * each);
    assert_eq!(context.memory_limit(), usual, "the limit is what it was");
    let options = many::Options { memory_limit: Some(each - 1), ..many_options(2) };
    let failure = many::run(&context, "x", &Stream::copied(STREAM), &options).unwrap_err();
    assert!(failure.to_string().contains("the limit for all decoders"), "{failure}");
}

#[test]
fn a_start_step_by_step() {
    let steps = start::once(DeviceChoice::Emulated, Units::new(STREAM), Start::now()).unwrap().unwrap();
    let start::Steps { main, device, context, decoder, submit, picture, total, tensor } = steps;
    assert!(tensor > 0.0);
    let parts = [main, device, context, decoder, submit, picture];
    assert!(parts.iter().all(|part| *part >= 0.0) && submit > 0.0 && picture > 0.0);
    assert!((parts.iter().sum::<f64>() - total).abs() < 1e-6);
    let back: start::Steps = serde_json::from_str(&serde_json::to_string(&steps).unwrap()).unwrap();
    assert!((back.total - total).abs() < 1e-6);
}

#[test]
fn a_change_of_resolution() {
    let context = context();
    let result = reconfigure::run(&context, [("a", STREAM), ("b", SMALL)], 3).unwrap();
    assert_eq!(result.streams, ["a (416x240)", "b (208x152)"]);
    assert!(result.reconfigure_ms.min > 0.0);
    assert!(result.reconfigure_to_picture_ms.min >= result.reconfigure_ms.min);
    assert!(json(&context, "reconfigure", &result)["create_ms"]["median"].is_number());
    let failure = reconfigure::run(&context, [("a", STREAM), ("b", STREAM)], 1).unwrap_err();
    assert!(matches!(failure, Failure::Usage(_)), "{failure}");
}

#[test]
fn copies_of_surfaces() {
    let context = context();
    for (bit_depth, chroma, bytes) in
        [(8, Chroma::C420, 208 * 120 * 3 / 2), (10, Chroma::C444, 208 * 120 * 6)]
    {
        let format = SurfaceFormat::new(chroma, bit_depth);
        let options = detile::Options { size: (208, 120), format, pictures: 20, rounds: 2 };
        let result = detile::run(&context, &options).unwrap();
        assert_eq!(result.bytes, bytes);
        assert_eq!(
            result.rows.iter().map(|row| row.to.as_str()).collect::<Vec<_>>(),
            ["host memory", "GPU memory"]
        );
        for row in &result.rows {
            let gb = row.pictures_per_second.median * bytes as f64 / 1e9;
            assert!(gb > 0.0 && (row.gb_per_second.median - gb).abs() < 1e-9 * gb.max(1.0));
        }
    }
}

#[test]
fn the_bound_of_a_stream() {
    let context = context();
    let result = bound::run(&context, "x", &Stream::copied(STREAM), &[1, 7], &[2, 64], 1, Some(1e9)).unwrap();
    assert_eq!((result.pictures, result.rows.len()), (PICTURES as usize, 4));
    assert!(result.critical_path < result.work && result.residence > result.work);
    for row in &result.rows {
        let rate = row.pictures_per_second.unwrap();
        assert!((rate * row.cycles - PICTURES as f64 * 1e9).abs() < 1.0);
        assert!(row.speedup <= row.engines as f64 + 1e-9);
    }
    let [one, few, _, many] = [&result.rows[1], &result.rows[2], &result.rows[3], &result.rows[3]];
    assert_eq!((one.by, one.speedup), ("work", 1.0));
    assert!(few.speedup <= many.speedup);
    assert!(json(&context, "bound", &result)["rows"][0]["critical_path"].is_number());
}

/// What the recorder says of a stream is what its headers say.
#[test]
fn the_graph_of_a_stream_is_that_of_its_reference_sets() {
    let jobs = bound::record(&context(), "x", &Stream::copied(STREAM)).unwrap();
    let parsed = crate::parse::parse(&mut &STREAM[..], "x").unwrap();
    assert_eq!(jobs.len(), parsed.pictures.len());
    let mut pocs: Vec<(i32, usize)> = jobs.iter().map(|job| (job.poc, job.references.len())).collect();
    let mut expected: Vec<(i32, usize)> = parsed
        .pictures
        .iter()
        .map(|picture| (picture.poc, picture.references_before.len() + picture.references_after.len()))
        .collect();
    pocs.sort_unstable();
    expected.sort_unstable();
    assert_eq!(pocs, expected);
    assert!(jobs.iter().all(|job| job.blocks == 26 * 15 && job.bytes > 0));
}

#[test]
fn schedules_on_engines_of_unequal_speed() {
    let settings = vec![(Mode::LowLatency, Some(24)), (Mode::Throughput, None)];
    let options = schedule::Options {
        loops: 2,
        scale: 0.5,
        speeds: vec![1.0, 0.5, 2.0],
        settings,
        means: Means { copied: false, indexed: true },
    };
    let (machine, result) = schedule::run("x", &STREAM.into(), &options).unwrap();
    assert!(machine.emulated);
    let engines: Vec<usize> = result.rows.iter().map(|row| row.engines).collect();
    assert_eq!(engines, [1, 3, 3]);
    for row in &result.rows {
        assert!(row.pictures_per_second > 0.0 && row.busy > 0.0);
        // Nothing is faster than the bound; emulated engines take their time at least.
        assert!(row.busy <= 1.0 && row.of_bound <= 1.0, "{row:?}");
    }
    assert_eq!(result.rows[0].speedup, 1.0);
    assert!(result.to_string().contains("low-latency"));
    let options = schedule::Options { speeds: vec![1.0; 8], ..options };
    let failure = schedule::run("x", &STREAM.into(), &options).unwrap_err();
    assert!(matches!(failure, Failure::Usage(_)), "{failure}");
}

#[test]
fn what_is_no_stream() {
    let context = context();
    let nothing = &[0, 0, 1, 0x40, 1, 0][..];
    for failure in [
        bound::record(&context, "x", &Stream::copied(nothing)).err().unwrap(),
        many::run(&context, "x", &Stream::copied(nothing), &many_options(2)).unwrap_err(),
    ] {
        assert!([Exit::Data].contains(&failure.exit()), "{failure}");
    }
    assert!(start::once(DeviceChoice::Emulated, Units::new(nothing), Start::now()).unwrap().is_none());
    assert_eq!(read(Path::new("/nonexistent.hevc")).unwrap_err().exit(), Exit::NoInput);
}
