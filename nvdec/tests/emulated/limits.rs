//! What a stream may take, however it is made: GPU memory at every moment, and the size of its pictures.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use hcq::Device;
use hcq::kernel::emulated::EmulatedKernel;
use nvdec::{Codec, Context, Decoder, DecoderOptions, Downloader, Engines, Error, Mode, Units, emulated};

use crate::support::{decode_on, stream, sum, sums};

fn open(kernel: &EmulatedKernel) -> Arc<Context> {
    Context::new(Device::open(Arc::new(kernel.clone()), 0).unwrap()).unwrap()
}

/// Streams of different sizes, one behind the other: each change gives memory back that engines are still at work in.
const SIZES: [&str; 4] = ["h_ra_cra", "x_wpp", "h_ra_cra", "h_pcm10"];

fn alternating() -> (Vec<u8>, Vec<String>) {
    let names = SIZES.repeat(3);
    (names.iter().flat_map(|name| stream(name)).collect(), names.iter().flat_map(|name| sums(name)).collect())
}

/// The largest price of the sequences of a stream.
fn price(context: &Arc<Context>, options: DecoderOptions) -> u64 {
    let price = |name: &&str| {
        let mut decoder = Decoder::new(context, Codec::Hevc, options).unwrap();
        decoder.frames(Units::new(&stream(name))).next().unwrap().unwrap();
        decoder.finish().unwrap();
        decoder.price().unwrap().total()
    };
    SIZES.iter().map(price).max().unwrap()
}

/// Streams whose sizes alternate, on slow engines: never is more allocated than the limit says, and nothing is lost for it.
#[test]
fn the_limit_bounds_what_is_allocated() {
    const STREAMS: usize = 3;
    let kernel = emulated::h200().unwrap();
    let context = open(&kernel);
    let options = DecoderOptions::default();
    let price = price(&context, options);
    context.release_memory();
    assert_eq!((context.allocated_memory(), kernel.usage().vidmem), (0, 0));
    for &engine in context.engines() {
        kernel.faults().slow_down(0, engine, Duration::from_millis(5));
    }
    let limit = STREAMS as u64 * price;
    context.set_memory_limit(Some(limit));
    let (data, expected) = alternating();
    let (done, peak) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                peak.fetch_max(kernel.usage().vidmem, Ordering::Relaxed);
                std::thread::sleep(Duration::from_micros(100));
            }
        });
        let decode = || decode_on(&context, &data, options, 2);
        let streams: Vec<_> = (0..STREAMS).map(|_| scope.spawn(decode)).collect();
        for stream in streams {
            let decoded = stream.join().unwrap();
            assert!(decoded.fatal.is_none() && decoded.errors.is_empty(), "{decoded:?}");
            assert_eq!(decoded.sums, expected);
        }
        done.store(true, Ordering::Relaxed);
    });
    let peak = peak.into_inner();
    assert!(peak > price / 4, "{peak} bytes of {limit} were seen at most");
    assert!(peak <= limit, "{peak} bytes were allocated, {limit} is the limit");
}

/// Frames that the caller keeps count. A sequence for which they leave no room begins when they are dropped, and loses nothing.
#[test]
fn frames_that_are_held_count() {
    let kernel = emulated::h200().unwrap();
    let context = open(&kernel);
    let engine = context.engines()[0];
    let price = price(&context, DecoderOptions::on(engine));
    let options = DecoderOptions { held_frames: Some(100), ..DecoderOptions::on(engine) };
    let mut decoder = Decoder::new(&context, Codec::Hevc, options).unwrap();
    let mut held: Vec<_> =
        decoder.frames(Units::new(&stream("x_wpp").repeat(6))).map(Result::unwrap).collect();
    decoder.finish().unwrap();
    drop(decoder);
    context.release_memory();
    let taken = context.allocated_memory();
    assert!(taken > price, "{} frames take {taken} bytes, a stream {price}", held.len());
    context.set_memory_limit(Some(taken));
    let data = stream("h_ra_cra");
    let mut decoder = Decoder::new(&context, Codec::Hevc, DecoderOptions::on(engine)).unwrap();
    let mut frames = decoder.frames(Units::new(&data));
    for _ in 0..2 {
        let error = frames.next().unwrap().unwrap_err();
        let named = |taken: u64, limit| taken <= limit && limit == context.memory_limit().unwrap();
        assert!(matches!(error, Error::NoMemoryNow { taken, limit, .. } if named(taken, limit)), "{error}");
    }
    held.clear();
    assert_eq!(frames.by_ref().map(Result::unwrap).count(), sums("h_ra_cra").len());
    assert!(frames.take_error().is_none());
}

/// With more streams than engines, each takes what it would on an engine of its own.
#[test]
fn many_streams_take_what_they_would_on_an_engine_each() {
    const STREAMS: usize = 14;
    let data = stream("x_wpp");
    let taken = |options: DecoderOptions| {
        let context = open(&emulated::h200().unwrap());
        let decoder = || Decoder::new(&context, Codec::Hevc, options).unwrap();
        let mut decoders: Vec<_> = (0..STREAMS).map(|_| decoder()).collect();
        let mut streams: Vec<_> =
            decoders.iter_mut().map(|decoder| decoder.frames(Units::new(&data))).collect();
        let (mut most, mut frames) = (0, 0);
        loop {
            let before = frames;
            for stream in &mut streams {
                frames += stream.next().map(Result::unwrap).iter().count();
                most = context.allocated_memory().max(most);
            }
            if frames == before {
                break;
            }
        }
        assert_eq!(frames, STREAMS * sums("x_wpp").len());
        let price = |stream: &mut nvdec::Frames<_, _>| stream.decoder().price().unwrap().total();
        (most, streams.iter_mut().map(price).sum::<u64>())
    };
    let each = taken(DecoderOptions { engines: Engines::LeastBusy, ..DecoderOptions::default() });
    let all = taken(DecoderOptions::default());
    assert_eq!(all.1, each.1, "promised");
    assert!(all.0 <= each.0 + each.0 / 10, "{all:?} of all engines, {each:?} of one each");
}

/// The memory of a stream is for as many engines as it has a part of, while others come and go; its pictures are the same.
#[test]
fn memory_follows_the_number_of_streams() {
    let context = open(&emulated::h200().unwrap());
    let names = ["h_tmvp2_o", "s_lt_rplm", "h_tmvp2_o", "h_ra_cra", "h_ra_cra", "h_tmvp2_o"];
    let data: Vec<u8> = names.iter().flat_map(|name| stream(name)).collect();
    let expected: Vec<String> = names.iter().flat_map(|name| sums(name)).collect();
    let downloader = Downloader::new(&context);
    for mode in [Mode::Balanced, Mode::LowLatency] {
        let new = || {
            let options = DecoderOptions { mode, ..DecoderOptions::default() };
            Decoder::new(&context, Codec::Hevc, options).unwrap()
        };
        let mut decoder = new();
        let mut others = Vec::new();
        let mut frames = decoder.frames(Units::new(&data));
        let (mut shown, mut prices) = (Vec::new(), BTreeSet::new());
        while let Some(frame) = frames.next() {
            shown.push(sum(&downloader, frame.unwrap()).unwrap());
            prices.insert(frames.decoder().price().unwrap().motion);
            match shown.len() % 24 {
                8 => others.extend((0..13).map(|_| new())),
                12 => others.truncate(2),
                16 => others.clear(),
                _ => {}
            }
        }
        assert!(frames.take_error().is_none());
        assert_eq!(shown, expected, "{mode:?}");
        assert!(prices.len() > 2, "{prices:?}");
        drop(frames);
        decoder.finish().unwrap();
        assert_eq!(context.reserved_memory(), decoder.price().unwrap().total());
    }
}
