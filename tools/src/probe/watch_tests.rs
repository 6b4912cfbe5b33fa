use std::sync::atomic::{AtomicBool, Ordering};

use hcq::EngineKind;
use hcq::kernel::emulated::{
    Call, EmulatedKernel, Engine, EngineContext, EngineFault, Failure as CallFailure, LaunchFault,
};
use nvdec::{Codec, Decoder, DecoderOptions, EngineSet, Engines};
use nvkernel_sys::status::RmStatus;
use nvkernel_sys::{class, video};

use super::*;
use crate::bench::engines;
use crate::bench::feed::{Feeder, Stream};

const STREAM: &[u8] = include_bytes!("../../clips/x_size_202x150.hevc");
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(100);

/// A decoder in this process keeps one engine busy: it is the one that is seen to be.
#[test]
fn the_engine_of_a_decoder_is_busy() {
    // Pictures of a few milliseconds.
    let (context, _) = engines::timed(300.0, &[1.0]).unwrap();
    let used = context.engines()[4];
    let mut watch = Watch::new(&[(0, context.clone())], 200.0).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let engines = Engines::Set(EngineSet::default().with(used));
            let options = DecoderOptions::default().with_engines(engines);
            let stream = Stream::copied(STREAM);
            let mut feeder = Feeder::new(Decoder::new(&context, Codec::Hevc, options).unwrap(), &stream);
            while !stop.load(Ordering::Relaxed) {
                feeder.run(1, &mut |_| Ok(())).unwrap();
            }
        });
        let start = Instant::now();
        let seen = loop {
            let report = watch.interval(SHORT * 20);
            assert_eq!(report.gpus[0].engines.len(), 7);
            let of = |row: &EngineRow| (row.busy_low.unwrap_or(0.0), row.busy_high.unwrap_or(1.0));
            let (busy, idle): (Vec<_>, Vec<_>) =
                report.gpus[0].engines.iter().partition(|row| row.engine == used.to_string());
            let (low, highest) = (of(busy[0]).0, idle.iter().map(|row| of(row).1).fold(0.0, f64::max));
            if low > highest && low > 0.5 {
                break true;
            }
            if start.elapsed() > 5 * LONG {
                crate::message!("{}", render(&report));
                break false;
            }
        };
        stop.store(true, Ordering::Relaxed);
        assert!(seen);
    });
    assert!(watch.errors.is_empty() && !watch.failed && !watch.is_over());
}

/// Does nothing, but counts a release as the start of work, where faults strike.
struct Fragile(u32);

impl Engine for Fragile {
    fn class(&self) -> u32 {
        self.0
    }

    fn launches(&self, address: u32, _: u32) -> bool {
        address == video::SEMAPHORE_D
    }

    fn method(&mut self, _: &EngineContext<'_>, _: u32, _: u32) -> Result<(), EngineFault> {
        Ok(())
    }
}

fn fragile() -> (EmulatedKernel, Arc<Context>) {
    let kernel = EmulatedKernel::builder()
        .with_engine_factory(EngineKind::Nvdec, |_, class| Box::new(Fragile(class)))
        .build()
        .unwrap();
    let context = Context::new(Device::open(Arc::new(kernel.clone()), 0).unwrap()).unwrap();
    (kernel, context)
}

#[test]
fn a_fault_ends_the_watch_of_its_engine_only() {
    let (kernel, context) = fragile();
    let mut watch = Watch::new(&[(0, context.clone())], 500.0).unwrap();
    watch.interval(SHORT);
    assert!(watch.errors.is_empty());
    kernel.faults().fault_next_launch(0, context.engines()[2], LaunchFault::Engine);
    let start = Instant::now();
    let report = loop {
        let report = watch.interval(SHORT);
        if report.gpus[0].engines[2].error.is_some() {
            break report;
        }
        assert!(start.elapsed() < LONG);
    };
    assert_eq!(watch.errors.len(), 1);
    assert!(watch.errors[0].starts_with("nv:0 NVDEC3 cannot be watched: "), "{:?}", watch.errors);
    assert!(watch.failed && !watch.is_over());
    let error = report.gpus[0].engines[2].error.clone().unwrap();
    assert!(error.contains("channel on NVDEC3 is dead"), "{error}");
    assert!(render(&report).contains("NVDEC3  cannot be watched\n"));
    watch.errors.clear();
    let report = watch.interval(SHORT * 3);
    for (at, row) in report.gpus[0].engines.iter().enumerate() {
        assert_eq!(row.error.is_some(), at == 2);
        assert_eq!(row.samples + row.unclear > 0, at != 2, "{row:?}");
    }
    assert!(watch.errors.is_empty(), "told once: {:?}", watch.errors);

    // The rest goes with the GPU.
    kernel.faults().lose_gpu(0);
    let start = Instant::now();
    while !watch.is_over() {
        watch.interval(SHORT);
        assert!(start.elapsed() < LONG);
    }
    assert_eq!(watch.errors.len(), 6, "{:?}", watch.errors);
}

#[test]
fn an_engine_that_cannot_be_opened_is_left_out() {
    let (kernel, context) = fragile();
    let channel = Call::Alloc(class::HOPPER_CHANNEL_GPFIFO_A);
    let refused = CallFailure::Status(RmStatus::NV_ERR_INSUFFICIENT_RESOURCES);
    kernel.faults().fail_call(channel, 2, refused);
    let mut watch = Watch::new(&[(3, context.clone())], 100.0).unwrap();
    assert_eq!(watch.errors.len(), 1);
    assert!(watch.errors[0].starts_with("nv:3 NVDEC2 cannot be watched: "), "{:?}", watch.errors);
    let report = watch.interval(SHORT);
    assert_eq!(report.gpus[0].engines.iter().filter(|row| row.error.is_some()).count(), 1);
    assert!(watch.failed && !watch.is_over());
    drop(watch);

    for _ in context.engines() {
        kernel.faults().fail_call(channel, 0, refused);
    }
    let error = Watch::new(&[(0, context)], 100.0).unwrap_err();
    assert!(error.to_string().contains("NV_ERR_INSUFFICIENT_RESOURCES"), "{error}");
}

#[test]
fn intervals_follow_each_other_without_gaps() {
    let (_kernel, context) = fragile();
    let mut watch = Watch::new(&[(0, context)], 20.0).unwrap();
    let (first, second) = (watch.interval(SHORT), watch.interval(SHORT * 2));
    assert!((first.seconds - first.interval).abs() < 1e-9);
    assert!((second.seconds - first.seconds - second.interval).abs() < 1e-9);
    // One that was missed is made up for once, not as often as it was missed.
    std::thread::sleep(SHORT * 4);
    let third = watch.interval(SHORT);
    assert!(third.interval >= 0.5 - 1e-9, "{third:?}");
}

fn report() -> Report {
    let row = |engine: &str, late, samples, unanswered| {
        let load = Load {
            samples,
            late,
            unanswered,
            unclear: 1,
            median: (samples > 0).then_some(Duration::from_micros(312)),
            longest: (samples > 0).then_some(Duration::from_micros(1912)),
        };
        let engine = EngineType::of(EngineKind::Nvdec, engine.parse().unwrap()).unwrap();
        EngineRow::of(engine, &load, None)
    };
    Report {
        schema: SCHEMA,
        time: 1.5,
        seconds: 3.0,
        interval: 1.0,
        gpus: vec![GpuRow {
            index: 0,
            name: Some("NVIDIA H200".into()),
            emulated: false,
            idle_us: Some(21.3),
            limit_us: 62.6,
            engines: vec![row("1", 24, 50, 0), row("2", 0, 50, 0), row("3", 50, 50, 2), row("4", 0, 0, 0)],
        }],
    }
}

#[test]
fn reports_are_read_at_a_glance() {
    let text = render(&report());
    let expected = "\
GPU 0  NVIDIA H200
  engine  busy                        95 % sure     wait   longest      late
  NVDEC1  ##########..........   48 %  35 to 61   312 us    1.9 ms     24/50
  NVDEC2  ....................    0 %    0 to 7   312 us    1.9 ms      0/50
  NVDEC3  ####################  100 % 93 to 100   312 us   1.9 ms+     50/50
  NVDEC4  no sample
  3.0 s; an idle engine answers in 21 us, late is more than 63 us
";
    assert_eq!(text, expected);
    assert!(text.lines().all(|line| line.len() < 80));
    let json = serde_json::to_value(report()).unwrap();
    let engines = &json["gpus"][0]["engines"];
    assert_eq!((&engines[0]["busy"], &engines[3]["busy"]), (&0.48.into(), &serde_json::Value::Null));
    assert_eq!((&engines[2]["unanswered"], &engines[2]["busy_high"]), (&2.into(), &1.0.into()));
    assert_eq!(json["gpus"][0]["limit_us"], 62.6);
    let times = [0.4, 999.4, 999.6, 99_949.0, 99_951.0, 999_501.0].map(time);
    assert_eq!(times, ["0 us", "999 us", "1.0 ms", "99.9 ms", "100 ms", "1.0 s"]);
    assert_eq!([0.0, 0.02, 0.5, 1.0].map(|share| bar(share).matches('#').count()), [0, 0, 10, 20]);
}

#[test]
fn a_terminal_is_written_over_and_a_pipe_is_not() {
    let screen = |json, terminal| Screen { json, terminal, lines: 0, first: true };
    let mut pipe = screen(false, false);
    assert_eq!([pipe.place("a\nb\n"), pipe.place("c\n")], ["a\nb\n", "\nc\n"]);
    let mut json = screen(true, false);
    assert_eq!([json.place("{}\n"), json.place("{}\n")], ["{}\n", "{}\n"]);
    let mut terminal = screen(false, true);
    assert_eq!(terminal.place("a\nb\n"), "\x1b[?7la\x1b[K\nb\x1b[K\n\x1b[J\x1b[?7h");
    assert_eq!(terminal.place("c\n"), "\x1b[?7l\x1b[2Fc\x1b[K\n\x1b[J\x1b[?7h");
    terminal.scroll();
    assert_eq!(terminal.place("d\n"), "\x1b[?7ld\x1b[K\n\x1b[J\x1b[?7h");
}

#[test]
fn too_many_samples_are_refused() {
    let options = Options {
        device: DeviceChoice::Emulated,
        interval: Duration::from_secs(3600),
        count: Some(1),
        rate: 1000.0,
        json: true,
    };
    let failure = run(&options).unwrap_err();
    assert_eq!(failure.exit(), Exit::Usage, "{failure}");
}
