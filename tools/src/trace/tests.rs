use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hcq::EngineKind;
use nvdec::{DeviceChoice, Engines, Mode, Priority};
use serde_json::Value;

use super::*;
use crate::decode::{Consumer, Picture, Settings, decode};
use crate::device;

fn engine(number: u32) -> EngineType {
    EngineType::of(EngineKind::Nvdec, number).unwrap()
}

/// A picture of 10 units of time.
fn slice(number: u64, engine_number: u32, begin: u64, references: &[u64]) -> Slice {
    Slice {
        number,
        poc: number as i32,
        engine: engine(engine_number),
        begin,
        end: begin + 10,
        submitted: 0,
        bytes: 100,
        cycles: Some(1000),
        references: references.to_vec(),
        waits: Vec::new(),
    }
}

fn summary(pictures: Vec<Slice>, stalls: &[(u64, u64)]) -> Summary {
    let stalls = stalls.to_vec();
    let (copies, conversions) = (Vec::new(), Vec::new());
    Summary::of(&Recording { title: "GPU".into(), engines: 2, pictures, copies, conversions, stalls })
}

#[test]
fn engines_without_a_pause_are_the_bottleneck() {
    let pictures = (0..20).map(|n| slice(n, 1 + n as u32 % 2, n / 2 * 10, &[])).collect();
    let summary = summary(pictures, &[]);
    assert_eq!(summary.bottleneck, Bottleneck::Engine);
    assert_eq!((summary.elapsed, summary.idle), (100, Idle::default()));
    assert_eq!(summary.busy, BTreeMap::from([("NVDEC1".into(), 100), ("NVDEC2".into(), 100)]));
    assert_eq!(summary.critical_path, 10);
}

#[test]
fn a_chain_across_engines_is_bound_by_dependencies() {
    let chain = |n: u64| {
        let mut picture = slice(n, 1 + n as u32 % 2, 10 * n, &[n.saturating_sub(1)]);
        if n > 0 {
            picture.waits.push(Wait { on: WaitFor::Reference(n - 1), end: 10 * n });
        }
        picture
    };
    let summary = summary((0..10).map(chain).collect(), &[]);
    assert_eq!(summary.bottleneck, Bottleneck::Dependency);
    assert_eq!((summary.critical_path, summary.elapsed), (100, 100), "nothing could be faster");
    // The last picture is on the second engine.
    assert_eq!(summary.idle, Idle { dependency: 90, end: 10, ..Idle::default() });
}

#[test]
fn idle_time_goes_to_what_ended_last() {
    let mut late = slice(1, 1, 100, &[]);
    late.waits = vec![
        Wait { on: WaitFor::Reuse(0), end: 30 },
        Wait { on: WaitFor::Copy, end: 60 },
        Wait { on: WaitFor::Reference(0), end: 50 },
    ];
    late.submitted = 20;
    let first = slice(0, 1, 0, &[]);
    let of = |late: &Slice, stalls: &[(u64, u64)]| summary(vec![first.clone(), late.clone()], stalls);
    // Until 60 for the copy, from then on for nothing known.
    let surface = of(&late, &[]);
    assert_eq!(surface.idle, Idle { surface: 50, overhead: 40, ..Idle::default() });
    assert_eq!(surface.bottleneck, Bottleneck::Surface);
    late.submitted = 90;
    let host = of(&late, &[]);
    assert_eq!(host.idle, Idle { cpu: 80, overhead: 10, ..Idle::default() });
    assert_eq!(host.bottleneck, Bottleneck::Cpu);
    // While the host waited for a surface itself, it is not the host.
    let stalled = of(&late, &[(0, 15), (20, 80), (200, 300)]);
    assert_eq!(stalled.idle, Idle { surface: 65, cpu: 15, overhead: 10, ..Idle::default() });
    assert_eq!(stalled.bottleneck, Bottleneck::Surface);
}

#[test]
fn nothing_is_no_bottleneck() {
    let summary = summary(Vec::new(), &[]);
    assert_eq!((summary.bottleneck, summary.busy_share()), (Bottleneck::Nothing, 0.0));
    assert!(summary.to_string().contains("nothing was decoded"));
}

#[test]
fn clocks_are_converted_both_ways() {
    let clock = Clock { host: Instant::now(), gpu: 1_000_000 };
    assert_eq!(clock.of(clock.host + Duration::from_micros(5)), 1_005_000);
    assert_eq!(clock.of(clock.host.checked_sub(Duration::from_micros(5)).unwrap()), 995_000);
    assert_eq!(clock.of(clock.host.checked_sub(Duration::from_millis(2)).unwrap_or(clock.host)), 0);
}

/// Traces like `nvdec-decode` does, without its output.
struct Watch(Tracer);

impl Consumer for Watch {
    fn picture(&mut self, _: &mut Picture) -> Result<(), Failure> {
        Ok(())
    }

    fn warning(&mut self, error: nvdec::Error) {
        panic!("{error}");
    }

    fn observer(&mut self) -> Option<Box<dyn Observer>> {
        Some(self.0.observer())
    }

    fn copying(&mut self, download: &Download) {
        self.0.copying(download);
    }

    fn stalled(&mut self, since: Instant) {
        self.0.stalled(since);
    }
}

/// A whole stream on several engines: the file is what the format says, and complete.
#[test]
fn a_trace_of_a_stream() {
    let context = device::open(DeviceChoice::Emulated).unwrap();
    // For pictures as small as these, opening another engine would not pay.
    for &engine in context.engines() {
        context.video_queue(engine, Priority::Bulk).unwrap();
    }
    let path = std::env::temp_dir().join(format!("nvdec-trace-{}.json", std::process::id()));
    let mut watch = Watch(Tracer::begin(&path, &Sources::default(), &context).unwrap());
    let stream = include_bytes!("../../clips/x_wpp.hevc");
    let engines = Engines::Set(context.engines()[..3].iter().copied().collect());
    let settings = Settings { engines, mode: Mode::Throughput, surfaces: Some(12), ..Settings::default() };
    let summary = decode(&context, "x_wpp", &mut &stream[..], settings, &mut watch).unwrap();
    assert_eq!(summary.pictures, 16);
    let verdict = watch.0.finish().unwrap();
    assert_eq!((verdict.pictures, verdict.engines), (16, 7));
    assert!(verdict.critical_path > 0 && verdict.critical_path <= verdict.elapsed);
    let idle = verdict.idle;
    let idle = idle.dependency + idle.surface + idle.cpu + idle.overhead + idle.end;
    let whole = verdict.elapsed * verdict.busy.len() as u64;
    assert_eq!(verdict.busy.values().sum::<u64>() + idle, whole, "every moment is accounted for");

    let text = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let document: Value = serde_json::from_slice(&text).unwrap();
    let events = document["traceEvents"].as_array().unwrap();
    let of = |ph: &str| events.iter().filter(|e| e["ph"] == ph).cloned().collect::<Vec<Value>>();
    let time = |event: &Value, field: &str| (event[field].as_f64().unwrap() * 1e3).round() as u64;
    let pictures: Vec<Value> = of("X").into_iter().filter(|e| e["cat"] == "decode").collect();
    let numbers: BTreeSet<u64> = pictures.iter().map(|e| e["args"]["picture"].as_u64().unwrap()).collect();
    assert!(numbers.into_iter().eq(0..16), "every picture has a slice");
    assert!(pictures.iter().all(|e| {
        let args = &e["args"];
        args["bytes"].as_u64().unwrap() > 0
            && args["cycles"].as_u64().unwrap() > 0
            && args["waits"].is_array()
    }));
    let copies: Vec<Value> = of("X").into_iter().filter(|e| e["cat"] == "copy").collect();
    for number in 0..16 {
        let name = format!("copy #{number}");
        assert_eq!(copies.iter().filter(|e| e["name"] == name.as_str()).count(), 1, "{name}");
    }
    // Slices of one engine, and of one queue of the copy engine, are one behind the other.
    let mut threads: HashMap<u64, Vec<(u64, u64)>> = HashMap::new();
    for event in pictures.iter().chain(&copies) {
        let begin = time(event, "ts");
        threads.entry(event["tid"].as_u64().unwrap()).or_default().push((begin, begin + time(event, "dur")));
    }
    assert!(verdict.busy.len() > 1 && threads.len() > verdict.busy.len(), "engines, and one that copies");
    for slices in threads.values_mut() {
        slices.sort_unstable();
        assert!(slices.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{slices:?}");
    }
    // A flow begins and ends within slices of its threads, in this order, and what waits begins behind what it waits
    // for.
    let inside = |event: &Value| {
        let at = time(event, "ts");
        let slices = &threads[&event["tid"].as_u64().unwrap()];
        slices.iter().any(|&(begin, end)| begin <= at && at <= end)
    };
    let (begins, ends) = (of("s"), of("f"));
    assert_eq!(begins.len(), ends.len());
    for (begin, end) in begins.iter().zip(&ends) {
        assert_eq!(begin["id"], end["id"]);
        assert!(inside(begin) && inside(end) && time(begin, "ts") <= time(end, "ts"), "{begin} {end}");
        assert_ne!(begin["tid"], end["tid"]);
    }
    assert_eq!(of("i").len(), 16, "submissions");
    let named: BTreeSet<u64> =
        of("M").iter().filter(|e| e["pid"] == 1).map(|e| e["tid"].as_u64().unwrap()).collect();
    assert!(threads.keys().all(|thread| named.contains(thread)));
}

#[test]
fn a_file_that_cannot_be_written_is_missed_at_once() {
    let context = device::open(DeviceChoice::Emulated).unwrap();
    let failure = Tracer::begin(Path::new("/nonexistent/t.json"), &Sources::default(), &context).unwrap_err();
    assert!(matches!(failure, Failure::Output { .. }), "{failure}");
}

#[test]
fn waits_between_engines_are_flows() {
    let mut later = slice(2, 2, 30, &[0]);
    later.waits = vec![
        Wait { on: WaitFor::Reference(0), end: 10 },
        Wait { on: WaitFor::Reuse(1), end: 30 },
        Wait { on: WaitFor::Copy, end: 5 },
    ];
    let pictures = vec![slice(0, 1, 0, &[]), slice(1, 1, 20, &[]), later];
    let recording = Recording { title: "GPU".into(), engines: 2, pictures, ..Recording::default() };
    let document = serde_json::to_value(chrome::document(&recording)).unwrap();
    let events = document["traceEvents"].as_array().unwrap();
    let flows: Vec<(&str, &str, u64, u64, f64)> = events
        .iter()
        .filter(|e| e["ph"] == "s" || e["ph"] == "f")
        .map(|e| {
            let text = |field: &str| e[field].as_str().unwrap();
            let number = |field: &str| e[field].as_u64().unwrap();
            (text("ph"), text("cat"), number("id"), number("tid"), e["ts"].as_f64().unwrap())
        })
        .collect();
    let expected = [
        ("s", "reference", 0, 1, 0.009),
        ("f", "reference", 0, 2, 0.03),
        ("s", "reuse", 1, 1, 0.029),
        ("f", "reuse", 1, 2, 0.03),
    ];
    assert_eq!(flows, expected);
    let waits = &events.iter().find(|e| e["name"] == "#2 POC 2").unwrap()["args"]["waits"];
    let expected = ["picture 0, a reference", "picture 1, on memory to be used again", "a copy engine"];
    assert_eq!(*waits, serde_json::json!(expected));
}
