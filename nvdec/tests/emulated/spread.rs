//! One stream on several engines, whatever these do; and many streams beside each other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bitstream::split_annex_b;
use hcq::kernel::emulated::{EmulatedKernel, LaunchFault};
use hcq::{Device, EngineKind, EngineType, Placement};
use md5::{Digest, Md5};
use nvdec::tensor::Converter;
use nvdec::{
    Codec, Context, Decoder, DecoderOptions, Downloader, EngineSet, Engines, Error, Frame, Mode, Packet,
    PictureFault, Priority, Sent, TensorSpec, Units, emulated,
};
use proptest::prelude::*;

use crate::support::{decode_on, stream, sum, sums};

/// Streams that differ in what ties their pictures together: hierarchical B pictures with and without leading ones,
/// low delay, temporal layers, long-term references, motion from pictures far back; and in format.
const STREAMS: &[&str] =
    &["h_ra_cra", "h_tmvp2_o", "h_wp_ra", "h_10b_ra", "k_lp_temporal", "s_lt_rplm", "h_ld_b", "x_wpp"];

fn nvdec(number: u32) -> EngineType {
    EngineType::of(EngineKind::Nvdec, number).unwrap()
}

/// A context whose engines are open: for pictures as small as these, opening another one would not pay.
fn open(kernel: &EmulatedKernel) -> Arc<Context> {
    let context = Context::new(Device::open(Arc::new(kernel.clone()), 0).unwrap()).unwrap();
    for &engine in context.engines() {
        for lane in [Priority::Bulk, Priority::Prompt] {
            context.video_queue(engine, lane).unwrap();
        }
    }
    context
}

fn modes() -> impl Strategy<Value = Mode> {
    prop::sample::select(vec![Mode::Throughput, Mode::Balanced, Mode::LowLatency])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 16, ..ProptestConfig::default() })]

    /// Engines of any speed, any of them, any number of surfaces, any caller: the pictures are those of the stream, in
    /// its order.
    #[test]
    fn pictures_do_not_depend_on_who_decodes_them(
        names in prop::collection::vec(prop::sample::select(STREAMS), 1..4),
        mode in modes(),
        surfaces in prop::option::of(1usize..40),
        engines in prop::collection::btree_set(1u32..=7, 1..=7),
        delays in prop::collection::vec(0u64..4000, 7),
        held in 0usize..12,
    ) {
        let kernel = emulated::h200().unwrap();
        for (number, delay) in (1..).zip(delays) {
            kernel.faults().slow_down(0, nvdec(number), Duration::from_micros(delay));
        }
        let set: EngineSet = engines.into_iter().map(nvdec).collect();
        let options = DecoderOptions::default().with_engines(Engines::Set(set)).with_mode(mode).with_surfaces(surfaces);
        let data: Vec<u8> = names.iter().flat_map(|name| stream(name)).collect();
        let expected: Vec<String> = names.iter().flat_map(|name| sums(name)).collect();
        let decoded = decode_on(&open(&kernel), &data, options, held);
        prop_assert!(decoded.fatal.is_none(), "{:?}; {:?}", decoded.fatal, kernel.log());
        prop_assert!(decoded.errors.is_empty(), "{:?}", decoded.errors);
        prop_assert!(kernel.log().is_empty(), "{:?}", kernel.log());
        prop_assert_eq!(decoded.sums, expected);
    }
}

/// Pictures of a stream with groups that do not refer to each other are decoded by several engines.
#[test]
fn groups_of_pictures_spread() {
    let kernel = emulated::h200().unwrap();
    for number in 1..=7 {
        kernel.faults().slow_down(0, nvdec(number), Duration::from_millis(10));
    }
    let context = open(&kernel);
    let mut decoder = Decoder::new(&context, Codec::Hevc, DecoderOptions::default()).unwrap();
    let mut engines = std::collections::BTreeMap::new();
    for frame in decoder.frames(Units::new(&stream("h_ra_cra").repeat(12))) {
        *engines.entry(frame.unwrap().engine()).or_insert(0) += 1;
    }
    decoder.finish().unwrap();
    assert!(engines.len() >= 4, "{engines:?}");
}

/// MD5 of a frame's samples.
fn decoder(context: &Arc<Context>, options: DecoderOptions) -> Decoder {
    Decoder::new(context, Codec::Hevc, options).unwrap()
}

/// Waits until memory is not divided by sessions that are gone any more: 50 ms; longer does no harm.
fn until_forgotten() {
    std::thread::sleep(Duration::from_millis(200));
}

/// Sends units one by one; the frames that are due by then.
fn send_all<'a>(decoder: &mut Decoder, nals: impl Iterator<Item = &'a [u8]>) -> Vec<Frame> {
    let mut frames = Vec::new();
    for nal in nals {
        assert_eq!(decoder.send(Packet::unit(nal)).unwrap(), Sent::Accepted);
        frames.extend(std::iter::from_fn(|| decoder.receive()));
    }
    frames
}

/// Many decoders in one thread, a NAL unit of each in turn: all exact, none waits for the end of others, and memory is
/// what it was said to be.
#[test]
fn two_hundred_sessions() {
    const SESSIONS: usize = 256;
    let kernel = emulated::h200().unwrap();
    let context = open(&kernel);
    let names = ["h_confwin", "h_lossless", "h_pcm10", "h_dqp"];
    let data = names.map(stream);
    let modes = [Mode::Balanced, Mode::LowLatency, Mode::Throughput];
    let options = |i: usize| DecoderOptions::default().with_mode(modes[i % 3]);
    let downloader = Downloader::new(&context);
    let mut decoders: Vec<Decoder> = (0..SESSIONS).map(|i| decoder(&context, options(i))).collect();
    let mut players: Vec<_> = decoders
        .iter_mut()
        .enumerate()
        .map(|(i, decoder)| (decoder.frames(Units::new(&data[i % names.len()])), Vec::new()))
        .collect();
    let mut playing = SESSIONS;
    let mut priced = 0;
    while playing > 0 {
        playing = 0;
        for (frames, sums) in &mut players {
            let Some(frame) = frames.next() else { continue };
            sums.push(sum(&downloader, frame.unwrap()).unwrap());
            playing += 1;
        }
        if priced == 0 {
            priced = players.iter_mut().map(|(frames, _)| frames.decoder().price().unwrap().total()).sum();
            assert_eq!(context.reserved_memory(), priced);
        }
    }
    for (i, (mut frames, shown)) in players.into_iter().enumerate() {
        assert_eq!(shown, sums(names[i % names.len()]), "session {i}");
        assert!(frames.take_error().is_none());
    }
    let taken = kernel.usage().vidmem;
    assert!(taken <= priced + (64 << 20), "{taken} bytes taken, {priced} promised");
    drop(decoders);
    assert_eq!(context.reserved_memory(), 0);
}

/// With as many streams as engines, each has one to itself: nothing of one stream stands behind what another waits for.
/// A stream that is left alone spreads again.
#[test]
fn streams_share_the_engines() {
    let kernel = emulated::h200().unwrap();
    let context = open(&kernel);
    let data = stream("h_ra_cra");
    let nals: Vec<&[u8]> = split_annex_b(&data).collect();
    let once = sums("h_ra_cra");
    let mut decoders: Vec<_> = (0..7).map(|_| decoder(&context, DecoderOptions::default())).collect();
    let mut due: Vec<Vec<Frame>> = vec![Vec::new(); 7];
    // Nothing is done before all are at work.
    for number in 1..=7 {
        kernel.faults().stall(0, nvdec(number));
    }
    for &nal in nals.iter().take(20) {
        for (decoder, due) in decoders.iter_mut().zip(&mut due) {
            due.extend(send_all(decoder, std::iter::once(nal)));
        }
    }
    // The first pictures were submitted when there were fewer streams.
    let later = |due: &Vec<Frame>| -> BTreeSet<EngineType> {
        due.iter().filter(|frame| frame.number() > 2).map(Frame::engine).collect()
    };
    let engines: Vec<_> = due.iter().map(later).collect();
    assert!(engines.iter().all(|engines| engines.len() == 1), "{engines:?}");
    assert_eq!(engines.iter().flatten().collect::<BTreeSet<_>>().len(), 7, "{engines:?}");
    for number in 1..=7 {
        kernel.faults().resume(0, nvdec(number));
    }
    let downloader = Downloader::new(&context);
    // The bytes from the 20th unit on.
    let rest = split_annex_b(&data).offset_of(nals[20]) - 3;
    for (decoder, due) in decoders.iter_mut().zip(due) {
        let mut shown: Vec<_> = due.into_iter().map(|frame| sum(&downloader, frame).unwrap()).collect();
        let frames = decoder.frames(Units::new(&data[rest..]));
        shown.extend(frames.map(|frame| sum(&downloader, frame.unwrap()).unwrap()));
        assert_eq!(shown, once);
    }
    let mut last = decoders.pop().unwrap();
    drop(decoders);
    until_forgotten();
    for number in 1..=7 {
        kernel.faults().stall(0, nvdec(number));
    }
    let due = send_all(&mut last, nals.iter().chain(&nals).take(50).copied());
    let engines: BTreeSet<_> = due.iter().map(Frame::engine).collect();
    assert!(engines.len() > 1, "{engines:?}");
    for number in 1..=7 {
        kernel.faults().resume(0, nvdec(number));
    }
    last.finish().unwrap();
}

#[test]
fn a_limit_holds_sequences_back() {
    let kernel = emulated::h200().unwrap();
    let context = open(&kernel);
    let data = stream("h_ra_cra");
    let options = DecoderOptions::default().with_mode(Mode::LowLatency);
    let feed = |decoder: &mut Decoder| -> Sent {
        for nal in split_annex_b(&data).take(8) {
            match decoder.send(Packet::unit(nal)).unwrap() {
                Sent::NoMemory => return Sent::NoMemory,
                sent => assert_eq!(sent, Sent::Accepted),
            }
        }
        Sent::Accepted
    };
    let mut first = decoder(&context, options);
    assert_eq!(feed(&mut first), Sent::Accepted);
    let price = first.price().unwrap().total();
    // Room for one and a half.
    context.set_memory_limit(Some(price * 3 / 2));
    let mut second = decoder(&context, options);
    assert_eq!(feed(&mut second), Sent::NoMemory);
    assert_eq!(feed(&mut second), Sent::NoMemory);
    let error = second.frames(Units::new(&data)).next().unwrap().unwrap_err();
    assert!(matches!(error, Error::NoMemoryNow { .. }), "{error}");
    // One that was begun goes on, in other sequences of its format as well.
    let again = data.repeat(2);
    let rest = split_annex_b(&again).offset_of(split_annex_b(&again).nth(8).unwrap()) - 3;
    let frames = first.frames(Units::new(&again[rest..]));
    assert_eq!(frames.map(Result::unwrap).count(), 66);
    drop(first);
    assert_eq!(feed(&mut second), Sent::Accepted);
    assert_eq!(second.flush().unwrap(), Sent::Accepted);
    // What is in flight of a session that is gone counts.
    second.finish().unwrap();
    drop(second);
    until_forgotten();
    // What does not get memory for all engines goes to one.
    context.set_memory_limit(Some(price - 1));
    let mut third = decoder(&context, options);
    assert_eq!(third.frames(Units::new(&data)).map(Result::unwrap).count(), 33);
    let price = third.price().unwrap().total();
    assert!(price < context.memory_limit().unwrap());
    drop(third);
    context.set_memory_limit(Some(price - 1));
    let mut third = decoder(&context, options);
    let error = third.frames(Units::new(&data)).find_map(Result::err).unwrap();
    assert!(
        matches!(error, Error::TooExpensive { price: p, limit } if p == price && limit == price - 1),
        "{error}"
    );
}

/// An engine dies in the middle of a stream that others decode as well: no picture that depends on what it lost passes
/// for a good one, and those that do not are the stream's.
#[test]
fn what_an_engine_takes_down_with_it_is_told() {
    let mut struck = 0;
    for victim in 1..=7 {
        let kernel: EmulatedKernel = emulated::h200().unwrap();
        for number in 1..=7 {
            kernel.faults().slow_down(0, nvdec(number), Duration::from_millis(10));
        }
        let fault = LaunchFault::Mmu { address: 0x1234_0000 };
        kernel.faults().fault_launch(0, nvdec(victim), 1, fault);
        let context = open(&kernel);
        let mut decoder = decoder(&context, DecoderOptions::default());
        let downloader = Downloader::new(&context);
        let data = stream("h_ra_cra").repeat(4);
        let once = sums("h_ra_cra");
        let mut frames = Vec::new();
        let mut fatal = None;
        for nal in split_annex_b(&data) {
            match decoder.send(Packet::unit(nal)) {
                Ok(Sent::Accepted) => frames.extend(std::iter::from_fn(|| decoder.receive())),
                Ok(refusal) => panic!("{refusal:?} with {} frames held", frames.len()),
                Err(error) => fatal = Some(error),
            }
            if fatal.is_some() || frames.len() > 40 {
                break;
            }
        }
        let (mut good, mut lost) = (0, 0);
        for (i, frame) in frames.into_iter().enumerate() {
            let status = frame.status();
            let copied = downloader.start(frame).and_then(|download| download.wait());
            match (status, copied) {
                (Ok(_), Ok(host)) => {
                    let mut planes = Vec::new();
                    host.write_planar(&mut planes);
                    let sum: String = Md5::digest(&planes).iter().map(|b| format!("{b:02x}")).collect();
                    assert_eq!(
                        sum,
                        once[i % once.len()],
                        "NVDEC{victim} died: frame {i} is wrong and passes for good"
                    );
                    good += 1;
                }
                (Err(error), Err(_)) => {
                    let named = match &error {
                        Error::Gpu(hcq::Error::ChannelFault { engine, .. }) => {
                            *engine == format!("NVDEC{victim}")
                        }
                        Error::Picture { fault, .. } => *fault == PictureFault::ReferenceLost,
                        _ => false,
                    };
                    assert!(named, "{error}");
                    lost += 1;
                }
                (status, copied) => panic!("frame {i}: status {status:?}, copy {:?}", copied.map(|_| ())),
            }
        }
        assert!(good > 0, "NVDEC{victim}: {lost} lost, {fatal:?}");
        struck += usize::from(lost > 0);
    }
    assert!(struck >= 3, "only {struck} engines took pictures down with them");
}

/// A picture that was lost is read for its caller behind the clearing of its memory, which may hold pictures of others until then.
#[test]
fn what_is_lost_shows_nothing_of_others() {
    let kernel = emulated::h200().unwrap();
    let (context, engine) = (open(&kernel), nvdec(3));
    let clearing = context.copy_queue().unwrap().queue().engine();
    kernel.faults().stall(0, clearing);
    let mut decoder = decoder(&context, DecoderOptions::on(engine).with_mode(Mode::LowLatency));
    let frame = send_all(&mut decoder, split_annex_b(&stream("h_ld_b")).take(6)).swap_remove(0);
    assert!(!frame.ready().is_reached(), "its surface is not cleared yet");
    context.video_queue(engine, Priority::Prompt).unwrap().queue().reset().unwrap();
    assert!(frame.ready().is_reached());
    let target = context.allocate(8 << 20, Placement::Vidmem).unwrap();
    let converter = Converter::new(&context, &TensorSpec::default()).unwrap();
    let one = converter.convert(&frame, &target, None, &[]).unwrap();
    let mut group = converter.conversions(&target, std::slice::from_ref(&one));
    group.push(0, &frame).unwrap();
    assert!(group.submit().unwrap());
    let download = Downloader::new(&context).start(frame).unwrap();
    let points = [&one, &group.ready()[0], download.point()];
    std::thread::sleep(Duration::from_millis(30));
    assert_eq!(points.map(|point| point.is_reached()), [false; 3]);
    kernel.faults().resume(0, clearing);
    for point in points {
        point.wait(Duration::from_secs(60)).unwrap();
    }
}

/// Who wants a picture soon does not stand behind all that others submitted ahead of time.
#[test]
fn a_prompt_session_overtakes() {
    let kernel = emulated::h200().unwrap();
    let engine = nvdec(2);
    kernel.faults().slow_down(0, engine, Duration::from_millis(20));
    let context = open(&kernel);
    let data = stream("h_ld_b").repeat(6);
    let options = |mode| DecoderOptions::on(engine).with_mode(mode).with_held_frames(60);
    let mut ahead = decoder(&context, options(Mode::Throughput));
    let mut frames = send_all(&mut ahead, split_annex_b(&data));
    assert_eq!(ahead.flush().unwrap(), Sent::Accepted);
    frames.extend(std::iter::from_fn(|| ahead.receive()));
    assert_eq!(frames.len(), 60);
    let mut prompt = decoder(&context, options(Mode::LowLatency));
    let first = send_all(&mut prompt, split_annex_b(&data).take(6));
    let first = first.first().expect("low delay means that");
    first.ready().wait(Duration::from_secs(30)).unwrap();
    assert!(!frames.last().unwrap().ready().is_reached(), "it came last");
    prompt.finish().unwrap();
    assert!(!frames.last().unwrap().ready().is_reached(), "all of them came last");
    ahead.finish().unwrap();
}

/// A stream that comes no faster than it is decoded is not held back, in any mode.
#[test]
fn a_stream_that_is_paced_is_not_delayed() {
    for mode in [Mode::Balanced, Mode::LowLatency, Mode::Throughput] {
        let context = open(&emulated::h200().unwrap());
        let mut decoder = decoder(&context, DecoderOptions::default().with_mode(mode));
        let mut due = Vec::new();
        // Low delay: every picture is due as soon as it is decoded.
        for (i, nal) in split_annex_b(&stream("h_ld_b")).enumerate() {
            assert_eq!(decoder.send(Packet::unit(nal)).unwrap(), Sent::Accepted);
            decoder.end_picture().unwrap();
            decoder.finish().unwrap();
            while let Some(frame) = decoder.receive() {
                assert!(frame.ready().is_reached());
                due.push(frame);
            }
            let sent = split_annex_b(&stream("h_ld_b")).take(i + 1).filter(|nal| nal[0] >> 1 < 32).count();
            assert!(due.len() + decoder.reorder().unwrap_or(0) >= sent, "{mode:?}, picture {sent}");
        }
        assert!(due.len() > 5);
        assert_eq!(decoder.flush().unwrap(), Sent::Accepted);
        due.extend(std::iter::from_fn(|| decoder.receive()));
        let downloader = Downloader::new(&context);
        let shown: Vec<_> = due.into_iter().map(|frame| sum(&downloader, frame).unwrap()).collect();
        assert_eq!(shown, sums("h_ld_b"));
    }
}
