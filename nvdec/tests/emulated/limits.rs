//! What a stream may take, however it is made: GPU memory at every moment, and the size of its pictures.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bitstream::split_annex_b;
use hcq::kernel::emulated::{Call, EmulatedKernel, Failure, GpuModel};
use hcq::{Device, Placement};
use nvdec::{
    Codec, Context, ContextOptions, Decoder, DecoderOptions, Downloader, Engines, Error, MemoryLimit, Mode,
    Packet, Sent, Units, emulated,
};
use nvkernel_sys::ctrl::NV2080_CTRL_CMD_FB_GET_INFO;
use nvkernel_sys::status::RmStatus;

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
    let options = DecoderOptions::on(engine).with_held_frames(100);
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
    let each = taken(DecoderOptions::default().with_engines(Engines::LeastBusy));
    let all = taken(DecoderOptions::default());
    assert_eq!(all.1, each.1, "promised");
    assert!(all.0 <= each.0 + each.0 / 10, "{all:?} of all engines, {each:?} of one each");
}

/// The memory of a stream is for as many engines as it has a part of, while others come and go; its pictures are the
/// same.
#[test]
fn memory_follows_the_number_of_streams() {
    let context = open(&emulated::h200().unwrap());
    let names = ["h_tmvp2_o", "s_lt_rplm", "h_tmvp2_o", "h_ra_cra", "h_ra_cra", "h_tmvp2_o"];
    let data: Vec<u8> = names.iter().flat_map(|name| stream(name)).collect();
    let expected: Vec<String> = names.iter().flat_map(|name| sums(name)).collect();
    let downloader = Downloader::new(&context);
    for mode in [Mode::Balanced, Mode::LowLatency] {
        let new = || Decoder::new(&context, Codec::Hevc, DecoderOptions::default().with_mode(mode)).unwrap();
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
        frames.decoder().finish().unwrap();
        assert_eq!(context.reserved_memory(), frames.decoder().price().unwrap().total());
    }
}

/// The stream with other values for the size in its sequence parameter set (7.3.2.2.1).
fn resized(stream: &[u8], size: (u32, u32)) -> Vec<u8> {
    /// Bits before `sps_seq_parameter_set_id` of a set with one sub-layer, with those of profile_tier_level().
    const BEFORE: usize = 8 + 96;
    let exp_golomb = |value: u32| {
        let code = u64::from(value) + 1;
        let length = code.ilog2();
        (0..2 * length + 1).rev().map(move |bit| code >> bit & 1 == 1).collect::<Vec<bool>>()
    };
    let end_of = |bits: &[bool], at: usize| at + 2 * bits[at..].iter().take_while(|bit| !**bit).count() + 1;
    let mut out = Vec::new();
    for nal in split_annex_b(stream) {
        out.extend_from_slice(&[0, 0, 0, 1]);
        if nal[0] >> 1 != 33 {
            out.extend_from_slice(nal);
            continue;
        }
        let rbsp = bitstream::Rbsp::new(&nal[2..]);
        let bit = |byte: &u8| (0..8).rev().map(|bit| byte >> bit & 1 == 1).collect::<Vec<bool>>();
        let mut bits: Vec<bool> = rbsp.bytes().iter().flat_map(bit).collect();
        assert_eq!(nal[2] >> 1 & 7, 0, "one sub-layer");
        let width = end_of(&bits, end_of(&bits, BEFORE));
        let height = end_of(&bits, width);
        let behind = end_of(&bits, height);
        bits.splice(width..behind, [size.0, size.1].into_iter().flat_map(exp_golomb));
        // The trailing bits again.
        bits.truncate(bits.iter().rposition(|bit| *bit).unwrap() + 1);
        bits.resize(bits.len().next_multiple_of(8), false);
        let bytes: Vec<u8> =
            bits.chunks(8).map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | u8::from(*bit))).collect();
        out.extend_from_slice(&nal[..2]);
        out.extend(bitstream::escape(&bytes));
    }
    out
}

/// The first error of a stream, and what was allocated for it.
fn refusal(context: &Arc<Context>, options: DecoderOptions, stream: &[u8]) -> (Error, u64) {
    let mut decoder = Decoder::new(context, Codec::Hevc, options).unwrap();
    let before = context.allocated_memory();
    let error = decoder.frames(Units::new(stream)).find_map(Result::err).expect("it is refused");
    (error, context.allocated_memory() - before)
}

/// A stream of a few kilobytes that says to be as large as the engine decodes.
#[test]
fn a_few_bytes_do_not_take_gigabytes() {
    let context = open(&emulated::h200().unwrap());
    let options = DecoderOptions::default();
    let huge = resized(&stream("h_ld_b"), (8192, 8192));
    let (error, taken) = refusal(&context, options, &huge);
    assert!(
        matches!(error, Error::TooManySamples { width: 8192, height: 8192, limit: 35_651_584 }),
        "{error}"
    );
    assert_eq!(taken, 0);
    assert!(error.to_string().contains("max_luma_samples"), "{error}");
    // Who wants it may have it, as far as the memory goes.
    context.set_memory_limit(Some(1 << 30));
    let (error, taken) = refusal(&context, options.with_max_luma_samples(None), &huge);
    assert!(
        matches!(error, Error::TooExpensive { price, limit } if price > limit && limit == 1 << 30),
        "{error}"
    );
    assert_eq!(taken, 0);
    context.set_memory_limit(None);
    // The largest of level 6.2 are within it.
    let mut decoder = Decoder::new(&context, Codec::Hevc, DecoderOptions::on(context.engines()[0])).unwrap();
    let largest = resized(&stream("h_ld_b"), (8192, 4352));
    for nal in split_annex_b(&largest).take(4) {
        assert_eq!(decoder.send(Packet::unit(nal)).unwrap(), Sent::Accepted);
    }
    assert!(decoder.price().is_some());
}

/// Sequences beyond the limit are left out, and the others decoded.
#[test]
fn pictures_beyond_the_limit_are_refused() {
    let context = open(&emulated::h200().unwrap());
    let larger = resized(&stream("h_ld_b"), (208, 128));
    let data = [stream("h_ra_cra"), larger, stream("h_ra_cra")].concat();
    let options = DecoderOptions::default().with_max_luma_samples(208 * 120);
    let mut decoder = Decoder::new(&context, Codec::Hevc, options).unwrap();
    let (mut frames, mut errors) = (0, Vec::new());
    for frame in decoder.frames(Units::new(&data)) {
        match frame {
            Ok(_) => frames += 1,
            Err(error) => errors.push(error),
        }
    }
    assert_eq!(frames, 2 * sums("h_ra_cra").len());
    assert!(
        matches!(errors[..], [Error::TooManySamples { width: 208, height: 128, limit: 24_960 }]),
        "{errors:?}"
    );
}

/// Without a word of the caller a context leaves a quarter of the memory that is free.
#[test]
fn a_context_has_a_limit_to_begin_with() {
    let mut model = GpuModel::h200();
    model.vidmem_mib = 64;
    let kernel = EmulatedKernel::builder().gpu(model).build().unwrap();
    let device = Device::open(Arc::new(kernel.clone()), 0).unwrap();
    let other = device.allocate(16 << 20, Placement::Vidmem).unwrap();
    let with = |limit| {
        let options = ContextOptions::default().with_memory_limit(limit);
        Context::with_options(device.clone(), options).unwrap().memory_limit()
    };
    let free = device.free_memory().unwrap();
    assert!(free <= 48 << 20);
    assert_eq!(Context::new(device.clone()).unwrap().memory_limit(), Some(free / 4 * 3));
    assert_eq!(with(MemoryLimit::Bytes(5 << 20)), Some(5 << 20));
    assert_eq!(with(MemoryLimit::Unlimited), None);
    // Some sandboxes refuse the question.
    let refused = Failure::Status(RmStatus::NV_ERR_INSUFFICIENT_PERMISSIONS);
    kernel.faults().fail_call(Call::Control(NV2080_CTRL_CMD_FB_GET_INFO.id), 0, refused);
    assert_eq!(with(MemoryLimit::MostOfFree), None);
    assert_eq!(kernel.faults().pending_calls(), 0);
    drop(other);
}

/// Downloads that are held take no more host memory than was said.
#[test]
fn downloads_are_bounded() {
    let kernel = emulated::h200().unwrap();
    let context = open(&kernel);
    let options = DecoderOptions::on(context.engines()[0]).with_held_frames(8);
    let mut decoder = Decoder::new(&context, Codec::Hevc, options).unwrap();
    let data = stream("h_ra_cra");
    let frames: Vec<_> = decoder.frames(Units::new(&data)).take(8).map(Result::unwrap).collect();
    // Copies that wait for no engine go to the queue that has cleared the surfaces.
    decoder.finish().unwrap();
    let start = |downloader: &Downloader, number: usize| downloader.start(frames[number].clone());
    // A frame takes 208x120x3/2 bytes with lines of 256, in pages of 4096.
    let one = hcq::allocation_size(256 * 180, Placement::Sysmem);
    let downloader = Downloader::new(&context).with_limit(3 * one + one / 2);
    let before = kernel.usage().sysmem;
    let mut held: Vec<_> = (0..3).map(|number| start(&downloader, number).unwrap()).collect();
    let taken = kernel.usage().sysmem;
    assert_eq!(taken - before, 3 * one);
    let error = start(&downloader, 3).unwrap_err();
    let Error::DownloadsHeld { downloads, held: taken_by, limit, .. } = error else { panic!("{error}") };
    assert_eq!((downloads, taken_by, limit), (3, 3 * one, 3 * one + one / 2));
    for number in 3..8 {
        held.remove(0).wait().unwrap();
        held.push(start(&downloader, number).unwrap());
    }
    held.iter().for_each(|download| drop(download.wait().unwrap()));
    drop(held);
    assert_eq!(kernel.usage().sysmem, taken, "what is free is kept, and is no more");
    drop(downloader);
    assert_eq!(kernel.usage().sysmem, before);
    // One frame in any case, also behind one that was dropped on its way.
    let downloader = Downloader::new(&context).with_limit(1);
    let download = start(&downloader, 0).unwrap();
    assert!(matches!(start(&downloader, 1), Err(Error::DownloadsHeld { downloads: 1, .. })));
    let engine = download.point().timeline().engine();
    download.wait().unwrap();
    drop(download);
    kernel.faults().slow_down(0, engine, Duration::from_millis(50));
    drop(start(&downloader, 2).unwrap());
    let shown = start(&downloader, 3).unwrap();
    assert!(kernel.usage().sysmem - before <= one);
    shown.wait().unwrap();
    // By default there is room for many.
    let downloader = Downloader::new(&context);
    let held: Vec<_> = (0..8).map(|number| start(&downloader, number).unwrap()).collect();
    held.iter().for_each(|download| drop(download.wait().unwrap()));
}

/// Clocks are raised if a program asks for it, for as long as the context lives.
#[test]
fn clocks_are_left_alone_unless_asked() {
    let kernel = emulated::h200().unwrap();
    let context = open(&kernel);
    decode_on(&context, &stream("h_ra_cra"), DecoderOptions::default(), 2);
    assert_eq!(kernel.usage().boosts, 0);
    context.boost().unwrap();
    context.boost().unwrap();
    assert_eq!(kernel.usage().boosts, 1);
    let decoder = Decoder::new(&context, Codec::Hevc, DecoderOptions::default()).unwrap();
    drop(context);
    assert_eq!(kernel.usage().boosts, 1, "the decoder has the context");
    drop(decoder);
    assert_eq!(kernel.usage().boosts, 0);
}
