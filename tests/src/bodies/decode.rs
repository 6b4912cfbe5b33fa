//! Streams through an engine: order, time stamps, back-pressure, sharing, damage.

use std::collections::VecDeque;

use std::any::Any;

use bitstream::split_annex_b;
use hevc::NalHeader;
use nvdec::{Codec, Decoder, DecoderOptions, Downloader, Error, Frame, Next, Packet, Priority, Sent, Units};

use super::pattern;
use crate::Backend;
use crate::player::{Player, Shown, play};
use crate::streams::{CUT, DAMAGED, WHOLE, find};

fn numbers(shown: &[Shown]) -> Vec<u64> {
    shown.iter().map(|s| s.number).collect()
}

/// Whether a NAL unit is the first slice segment of a picture of the base layer.
fn begins_picture(nal: &[u8]) -> bool {
    let header = NalHeader::parse(nal);
    header.is_ok_and(|h| h.nal_unit_type.is_slice_segment() && h.nuh_layer_id == 0) && nal[2] & 0x80 != 0
}

/// On the model, every frame carries the mark of its own slice data: surfaces are neither confused nor handed out too
/// early. `before` is the number of pictures that engines had taken before the stream.
fn check_marks(on: &Backend, name: &str, before: usize, shown: &[Shown]) {
    let Some(recorder) = &on.recorder else { return };
    let taken = recorder.taken();
    for frame in shown {
        let picture = &taken[before + frame.number as usize];
        assert_eq!(frame.mark, picture.mark, "{name}: picture {} shows another's samples", frame.number);
    }
}

fn taken(on: &Backend) -> usize {
    on.recorder.as_ref().map_or(0, |r| r.taken().len())
}

/// Pictures come out in FFmpeg's order, whatever the structure of the stream.
pub fn pictures_come_in_output_order(on: &Backend) {
    let context = on.context();
    for stream in CUT {
        let before = taken(on);
        let shown = play(&context, stream.data).unwrap_or_else(|e| panic!("{}: {e}", stream.name));
        let order: Vec<u64> = stream.order.unwrap().split_whitespace().map(|n| n.parse().unwrap()).collect();
        // FFmpeg counts pictures that are skipped; here only those that reach an engine have numbers.
        let mut decoded = order.clone();
        decoded.sort_unstable();
        let found = numbers(&shown);
        let mut ranks = found.clone();
        ranks.sort_unstable();
        let rank = |sorted: &[u64], n: &u64| sorted.binary_search(n).unwrap();
        assert_eq!(
            found.iter().map(|n| rank(&ranks, n)).collect::<Vec<_>>(),
            order.iter().map(|n| rank(&decoded, n)).collect::<Vec<_>>(),
            "{}",
            stream.name
        );
        check_marks(on, stream.name, before, &shown);
    }
}

/// Whole streams decode without an error; on hardware, to the samples that three other decoders agree on.
pub fn whole_streams_decode(on: &Backend) {
    let context = on.context();
    for stream in WHOLE {
        let before = taken(on);
        let mut player = Player::new(&context, DecoderOptions::default()).unwrap();
        player.play(stream.data).unwrap();
        assert_eq!(player.errors(), [""; 0], "{}", stream.name);
        let sums: Vec<&str> = stream
            .md5
            .unwrap()
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.rsplit(',').next().unwrap().trim())
            .collect();
        assert_eq!(player.shown.len(), sums.len(), "{}", stream.name);
        assert_eq!(player.decoder.statistics().tally.damaged, 0);
        assert_eq!(player.decoder.statistics().pictures, sums.len() as u64);
        if on.recorder.is_none() {
            for (frame, sum) in player.shown.iter().zip(sums) {
                assert_eq!(frame.md5, sum, "{}: picture {}", stream.name, frame.number);
            }
        }
        check_marks(on, stream.name, before, &player.shown);
    }
}

/// Slice data that the engine reads where the caller has them give the same pictures, wherever they begin.
pub fn streams_decode_in_place(on: &Backend) {
    let context = on.context();
    for (stream, ahead) in WHOLE.iter().chain(CUT).zip((0..256).step_by(37).cycle()) {
        let copied = play(&context, stream.data).unwrap_or_else(|e| panic!("{}: {e}", stream.name));
        let mut input = context.input(ahead + stream.data.len()).unwrap();
        input[ahead..].copy_from_slice(stream.data);
        let before = taken(on);
        let mut player = Player::new(&context, DecoderOptions::default()).unwrap();
        player.play_in_place(&input.freeze()).unwrap();
        check_marks(on, stream.name, before, &player.shown);
        let mut shown = [player.shown, copied];
        if on.recorder.is_none() && stream.md5.is_none() {
            // What an engine makes of slice data that are cut off depends on what lies behind them.
            shown.iter_mut().flatten().for_each(|s| (s.mark, s.md5) = (0, String::new()));
        }
        assert!(shown[0] == shown[1], "{}", stream.name);
    }
}

/// Pictures of each size come out whole, before and after the change.
pub fn resolution_changes(on: &Backend) {
    let context = on.context();
    let mut data = find("s_multi_ps").data.to_vec();
    for name in ["x_size_202x150", "k_10b_tiles", "x_444_cqp", "x_size_202x150"] {
        data.extend_from_slice(find(name).data);
    }
    let before = taken(on);
    let shown = play(&context, &data).unwrap();
    let mut sizes: Vec<(u32, u32)> = shown.iter().map(|s| s.size).collect();
    sizes.dedup();
    assert!(
        sizes.len() >= 5 && sizes.ends_with(&[(202, 150), (416, 240), (320, 192), (202, 150)]),
        "{sizes:?}"
    );
    assert!(shown.windows(2).filter(|w| w[0].size != w[1].size).all(|w| w[0].number < w[1].number));
    check_marks(on, "concatenated", before, &shown);
}

/// Each engine that the GPU lists takes pictures, under its own name.
pub fn every_engine_decodes(on: &Backend) {
    let context = on.context();
    let stream = find("x_size_202x150");
    let mut first: Option<Vec<Shown>> = None;
    for &engine in context.engines() {
        let before = taken(on);
        let options = DecoderOptions::on(engine);
        let mut player = Player::new(&context, options).unwrap();
        assert_eq!(player.decoder.engines().iter().collect::<Vec<_>>(), [engine]);
        player.play(stream.data).unwrap();
        assert_eq!(player.errors(), [""; 0], "{engine}");
        if let Some(recorder) = &on.recorder {
            assert!(recorder.taken()[before..].iter().all(|t| t.engine == engine));
        }
        let first = first.get_or_insert_with(|| player.shown.clone());
        assert!(*first == player.shown, "{engine} decodes differently");
    }
}

/// Sends `data` in pieces of pseudo-random size.
fn play_in_chunks(player: &mut Player, data: &[u8], seed: u32, largest: usize) -> nvdec::Result<()> {
    let sizes = pattern(4096, seed);
    let mut rest = data;
    for pair in sizes.chunks(2).cycle() {
        if rest.is_empty() {
            break;
        }
        let size = (usize::from(pair[0]) << 8 | usize::from(pair[1])) % largest + 1;
        let (chunk, left) = rest.split_at(size.min(rest.len()));
        player.send(Packet::byte_stream(chunk))?;
        rest = left;
    }
    player.end()
}

/// Bytes cut anywhere give what NAL units give: the same frames, and the same errors.
pub fn chunks_make_no_difference(on: &Backend) {
    let context = on.context();
    for stream in WHOLE.iter().chain(DAMAGED) {
        let run = |how: &dyn Fn(&mut Player) -> nvdec::Result<()>| {
            let mut player = Player::new(&context, DecoderOptions::default()).unwrap();
            let result = how(&mut player).map_err(|e| e.to_string());
            let mut shown = std::mem::take(&mut player.shown);
            shown.iter_mut().for_each(|s| s.pts = None);
            if on.recorder.is_none() && stream.md5.is_none() {
                // What an engine makes of damage is its own affair.
                shown.iter_mut().for_each(|s| (s.mark, s.md5) = (0, String::new()));
                return (result, shown, Vec::new());
            }
            (result, shown, player.errors())
        };
        let whole = run(&|player| player.play(stream.data));
        for (seed, largest) in [(1, 1), (2, 40), (3, 1500), (4, 60_000)] {
            let chunks = run(&|player| play_in_chunks(player, stream.data, seed, largest));
            assert_eq!(chunks, whole, "{} in chunks of up to {largest}", stream.name);
        }
    }
}

/// The time that came with a picture's first slice segment leaves with the picture.
pub fn time_stamps_stay_with_their_pictures(on: &Backend) {
    let context = on.context();
    for stream in [find("k_10b_tiles"), find("x_size_202x150"), find("h_tiles_slices"), find("x_radl")] {
        // `Player::play` sends each NAL unit with its number.
        let nals = split_annex_b(stream.data).enumerate();
        let first: Vec<i64> = nals.filter(|(_, nal)| begins_picture(nal)).map(|(i, _)| i as i64).collect();
        let shown = play(&context, stream.data).unwrap();
        assert_eq!(shown.len(), first.len());
        for frame in &shown {
            assert_eq!(frame.pts, Some(first[frame.number as usize]), "{}", stream.name);
        }
    }
}

/// A caller who keeps frames is told to give some back, and loses nothing by it.
pub fn held_frames_hold_back(on: &Backend) {
    let context = on.context();
    let stream = find("h_ra_cra");
    let all = numbers(&play(&context, stream.data).unwrap());
    for held in [0, 1, 5] {
        let options = DecoderOptions::on(context.engines()[0]).with_held_frames(held);
        let mut decoder = Decoder::new(&context, Codec::Hevc, options).unwrap();
        let mut kept: VecDeque<Frame> = VecDeque::new();
        let mut found = Vec::new();
        let mut refusals = 0;
        let mut most = 0;
        let mut frames = decoder.frames(Units::new(stream.data));
        loop {
            match frames.try_next().unwrap() {
                Next::Frame(frame) => {
                    found.push(frame.number());
                    kept.push_back(frame);
                }
                Next::Full => {
                    // Asking again changes nothing, giving a frame back does.
                    assert!(matches!(frames.try_next().unwrap(), Next::Full));
                    assert!(!kept.is_empty(), "no surface, and no frame is held");
                    most = most.max(kept.len());
                    kept.pop_front();
                    refusals += 1;
                }
                Next::End => break,
            }
        }
        decoder.finish().unwrap();
        assert!(refusals > 0 && most >= held, "{refusals} refusals with {most} frames held of {held}");
        assert_eq!(found, all);
        assert!(kept.iter().all(|frame| frame.ready().is_reached()));
    }
}

/// Two streams of different format on one engine, a NAL unit of each in turn, come out as if alone.
pub fn two_sessions_share_a_context(on: &Backend) {
    let context = on.context();
    let streams = [find("x_size_202x150"), find("k_10b_tiles")];
    let alone = streams.map(|stream| play(&context, stream.data).unwrap());
    let last = *context.engines().last().unwrap();
    for options in [DecoderOptions::on(last), DecoderOptions::default()] {
        let mut players = streams.map(|_| Player::new(&context, options).unwrap());
        let mut nals = streams.map(|stream| split_annex_b(stream.data).enumerate());
        let mut busy = true;
        while busy {
            busy = false;
            for (player, nals) in players.iter_mut().zip(&mut nals) {
                if let Some((i, nal)) = nals.next() {
                    player.send(Packet::unit(nal).with_pts(i as i64)).unwrap();
                    busy = true;
                }
            }
        }
        for (player, alone) in players.iter_mut().zip(&alone) {
            player.end().unwrap();
            assert_eq!(player.errors(), [""; 0]);
            assert!(player.shown == *alone);
        }
    }
}

/// Decodes the beginning of a stream and keeps all its frames.
fn some_frames(on: &Backend) -> (Decoder, Vec<Frame>) {
    let options = DecoderOptions::default().with_held_frames(20);
    let mut decoder = Decoder::new(&on.context(), Codec::Hevc, options).unwrap();
    for nal in split_annex_b(find("x_size_202x150").data) {
        assert_eq!(decoder.send(Packet::unit(nal)).unwrap(), Sent::Accepted);
    }
    assert_eq!(decoder.flush().unwrap(), Sent::Accepted);
    let frames: Vec<Frame> = std::iter::from_fn(|| decoder.receive()).collect();
    assert_eq!(frames.len(), 10);
    (decoder, frames)
}

/// Frames are good when everything else is gone.
pub fn frames_outlive_the_decoder(on: &Backend) {
    let before = taken(on);
    let (decoder, frames) = some_frames(on);
    drop(decoder);
    for frame in &frames {
        assert!(frame.status().unwrap().cycle_count > 0);
        if let Some(recorder) = &on.recorder {
            let mut mark = [0; 8];
            frame.surface().buffer().view().unwrap().copy_out(0, &mut mark);
            let expected = recorder.taken()[before + frame.number() as usize].mark;
            assert_eq!(u64::from_le_bytes(mark), expected);
        }
    }
    // A copy needs a context; the frame's own is gone with the decoder, another client's cannot reach it.
    assert!(frames.iter().all(|frame| frame.ready().is_reached()));
}

/// Decoder, context, frame, copy and queue let go in any order.
pub fn dropped_in_every_order(on: &Backend) {
    let mut orders = vec![vec![]];
    for n in 0..5usize {
        orders = orders
            .iter()
            .flat_map(|order: &Vec<usize>| {
                (0..=order.len()).map(move |at| {
                    let mut longer = order.clone();
                    longer.insert(at, n);
                    longer
                })
            })
            .collect();
    }
    assert_eq!(orders.len(), 120);
    // On hardware a device takes a while to open.
    let step = if on.kernel.is_emulated() { 1 } else { 23 };
    for order in orders.into_iter().step_by(step) {
        let context = on.context();
        let mut decoder = Decoder::new(&context, Codec::Hevc, DecoderOptions::default()).unwrap();
        for nal in split_annex_b(find("x_size_202x150").data).take(8) {
            assert_eq!(decoder.send(Packet::unit(nal)).unwrap(), Sent::Accepted);
        }
        assert_eq!(decoder.flush().unwrap(), Sent::Accepted);
        let frame = decoder.receive().expect("a frame");
        let downloader = Downloader::new(&context);
        let download = downloader.start(frame.clone()).unwrap();
        let queue = context.video_queue(context.engines()[0], Priority::Bulk).unwrap();
        let parts: [Box<dyn Any>; 5] = [
            Box::new(decoder),
            Box::new(context),
            Box::new(frame),
            Box::new((download, downloader)),
            Box::new(queue),
        ];
        let mut parts = parts.map(Some);
        for i in order {
            parts[i] = None;
        }
    }
}

/// Damaged streams end, with or without errors, and the next stream on the same context is whole.
pub fn damaged_streams_end(on: &Backend) {
    let context = on.context();
    for stream in DAMAGED {
        let mut player = Player::new(&context, DecoderOptions::default()).unwrap();
        for (i, nal) in split_annex_b(stream.data).enumerate() {
            match player.send(Packet::unit(nal).with_pts(i as i64)) {
                Ok(()) | Err(Error::CannotDecode { .. }) => {}
                Err(error) if error.is_picture_error() => {}
                Err(error) => panic!("{}: {error}", stream.name),
            }
        }
        player.end().unwrap_or_else(|e| panic!("{}: {e}", stream.name));
        player.errors();
    }
    let good = find("x_size_202x150");
    let mut player = Player::new(&context, DecoderOptions::default()).unwrap();
    player.play(good.data).unwrap();
    assert_eq!((player.shown.len(), player.errors()), (10, Vec::new()));
}

/// After a flush, the decoder begins anew with a stream of another format.
pub fn a_decoder_takes_another_stream(on: &Backend) {
    let context = on.context();
    let mut player = Player::new(&context, DecoderOptions::default()).unwrap();
    let mut total = 0;
    for stream in [find("k_10b_tiles"), find("x_wpp"), find("k_10b_tiles"), find("x_444_cqp")] {
        let alone = play(&context, stream.data).unwrap();
        player.shown.clear();
        player.play(stream.data).unwrap();
        assert_eq!(player.shown.len(), alone.len());
        for (found, alone) in player.shown.iter().zip(&alone) {
            assert_eq!((&found.md5, found.poc), (&alone.md5, alone.poc), "{}", stream.name);
            assert_eq!(found.number, total + alone.number);
        }
        total += alone.len() as u64;
    }
    assert_eq!(player.errors(), [""; 0]);
    assert_eq!(player.decoder.statistics().pictures, total);
}

/// A stream beyond the hardware is refused by the name of the syntax element, once; what follows is decoded.
pub fn what_the_engine_cannot_do_is_named(on: &Backend) {
    let context = on.context();
    let grey = include_bytes!("../../../hevc/tests/data/x_fmt_gray.hevc");
    let mut player = Player::new(&context, DecoderOptions::default()).unwrap();
    player.play(find("x_wpp").data).unwrap();
    let before = player.shown.len();
    let mut refusals = Vec::new();
    for nal in split_annex_b(grey) {
        if let Err(error) = player.send(Packet::unit(nal)) {
            assert!(error.is_unsupported() && !error.is_picture_error());
            refusals.push(error.to_string());
        }
    }
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    let words = ["chroma_format_idc = 0", "4:0:0", context.class().generation];
    assert!(words.iter().all(|word| refusals[0].contains(word)), "{}", refusals[0]);
    player.end().unwrap();
    assert_eq!(player.shown.len(), before, "no picture of the stream");
    player.play(find("x_wpp").data).unwrap();
    assert_eq!(player.shown.len(), 2 * before);
}
