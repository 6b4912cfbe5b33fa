//! Channels that die, engines that stall, GPUs that fall off the bus.

use std::sync::Arc;

use bitstream::split_annex_b;
use hcq::EngineType;
use hcq::kernel::emulated::{Faults, LaunchFault};
use nvdec::{
    Codec, Context, Decoder, DecoderOptions, Downloader, Error, Frame, Packet, PictureFault, Priority,
    Result, Sent,
};
use nvdec_tests::Machine;
use nvdec_tests::bodies::LONG;
use nvdec_tests::player::{Player, play};
use nvdec_tests::streams::find;

use super::machine;

const MMU: LaunchFault = LaunchFault::Mmu { address: 0xdead_0000 };

fn decoder(context: &Arc<Context>, engine: EngineType) -> Decoder {
    let options = DecoderOptions::on(engine).with_held_frames(40);
    Decoder::new(context, Codec::Hevc, options).unwrap()
}

/// The NAL units of a stream of 12 pictures and the number of them that hold the first six pictures.
fn halves() -> (Vec<&'static [u8]>, usize) {
    let nals: Vec<&[u8]> = split_annex_b(find("k_10b_tiles").data).collect();
    let firsts: Vec<usize> =
        (0..nals.len()).filter(|&i| nals[i][0] >> 1 < 32 && nals[i][2] & 0x80 != 0).collect();
    assert_eq!(firsts.len(), 12);
    (nals, firsts[6])
}

/// Sends NAL units until one fails.
fn send_all(decoder: &mut Decoder, nals: &[&[u8]]) -> Result<()> {
    for nal in nals {
        assert_eq!(decoder.send(Packet::unit(nal))?, Sent::Accepted);
    }
    Ok(())
}

fn frames(decoder: &mut Decoder) -> Vec<Frame> {
    std::iter::from_fn(|| decoder.receive()).collect()
}

fn names(error: &Error, parts: &[&str]) {
    let text = error.to_string();
    assert!(parts.iter().all(|part| text.contains(part)), "{text:?} lacks one of {parts:?}");
}

/// Decodes six pictures, lets the seventh fault, and returns the decoder and all frames that came out.
fn fault_in_the_middle(
    context: &Arc<Context>,
    faults: &Faults,
    engine: EngineType,
    fault: LaunchFault,
) -> (Decoder, Vec<Frame>) {
    let (nals, half) = halves();
    let mut decoder = decoder(context, engine);
    send_all(&mut decoder, &nals[..half]).unwrap();
    decoder.end_picture().unwrap();
    decoder.finish().unwrap();
    faults.fault_next_launch(0, engine, fault);
    // Submissions fail once the fault is seen; until then they are taken and lost.
    let _ = send_all(&mut decoder, &nals[half..]);
    let _ = decoder.flush();
    let frames = frames(&mut decoder);
    (decoder, frames)
}

#[test]
fn a_channel_that_dies_names_engine_and_xid() {
    for (fault, parts) in [
        (MMU, ["NVDEC3", "Xid 31", "0xdead0000"].as_slice()),
        (LaunchFault::Engine, ["NVDEC3", "Xid 88"].as_slice()),
    ] {
        let machine = machine();
        let context = machine.context();
        let engine = context.engines()[2];
        let (mut decoder, lost) = fault_in_the_middle(&context, &machine.kernel.faults(), engine, fault);
        decoder.finish().unwrap();
        assert!(lost.len() >= 3, "{} frames", lost.len());
        let mut named = 0;
        let whole = play(&context, find("k_10b_tiles").data).unwrap();
        let mut player = Player::new(&context, DecoderOptions::on(engine)).unwrap();
        for frame in &lost {
            match (frame.number(), frame.status()) {
                (0..6, status) => assert!(status.is_ok(), "picture {} was complete", frame.number()),
                // What is sent when the fault was seen has a new channel; what it is predicted from may be sound.
                (number, Ok(_)) => {
                    player.show(frame.clone()).unwrap();
                    let shown = player.shown.pop().unwrap();
                    let sound = whole.iter().find(|shown| shown.number == number).unwrap();
                    assert_eq!(shown.md5, sound.md5, "picture {number} is neither sound nor named");
                }
                (_, Err(Error::Picture { fault, .. })) => assert_eq!(fault, PictureFault::ReferenceLost),
                (number, status) => {
                    names(&status.expect_err(&format!("picture {number} is lost")), parts);
                    named += 1;
                }
            }
        }
        assert!(named > 0 && lost.iter().any(|f| f.number() < 6));
        // Each of them is named once, and the decoder goes on at the next random access point.
        let errors: Vec<Error> = std::iter::from_fn(|| decoder.take_error()).collect();
        assert_eq!(errors.len(), lost.iter().filter(|frame| frame.status().is_err()).count());
        assert!(errors.iter().all(Error::is_picture_error), "{errors:?}");
        send_all(&mut decoder, &halves().0).unwrap();
        assert_eq!(decoder.flush().unwrap(), Sent::Accepted);
        let frames = frames(&mut decoder);
        assert_eq!(frames.len(), 12);
        assert!(frames.iter().all(|frame| frame.status().is_ok()));
        assert!(decoder.take_error().is_none());
        drop((player, decoder, lost, frames, context));
        machine.assert_empty("dead channel");
    }
}

/// A stream whose pictures kill one channel after the other is given up, for the sake of the others.
#[test]
fn a_stream_that_kills_channels_is_given_up() {
    let machine = machine();
    let context = machine.context();
    let engine = context.engines()[2];
    let mut decoder = decoder(&context, engine);
    let mut rounds = 0;
    let error = loop {
        rounds += 1;
        if rounds <= 3 {
            machine.kernel.faults().fault_next_launch(0, engine, MMU);
        }
        let sent = send_all(&mut decoder, &halves().0).and_then(|()| decoder.flush());
        if let Err(error) = sent {
            break error;
        }
        assert!(frames(&mut decoder).iter().any(|frame| frame.status().is_err()));
        decoder.finish().unwrap();
    };
    // Whether the third fault is seen while pictures are still sent depends on who is quicker.
    assert!((3..=4).contains(&rounds), "{rounds}");
    assert!(matches!(error, Error::GivenUp { strikes: 3 }), "{error}");
    drop(decoder);
    assert_eq!(play(&context, find("k_10b_tiles").data).unwrap().len(), 12);
    drop(context);
    machine.assert_empty("given up");
}

/// The other session waits for the copy queue, and that for the dead engine.
#[test]
fn a_copy_that_waits_for_a_dead_engine_ends() {
    let machine = machine();
    let context = machine.context();
    let (engine, other) = (context.engines()[0], context.engines()[1]);
    let faults = machine.kernel.faults();
    let (nals, _) = halves();
    faults.stall(0, engine);
    faults.fault_next_launch(0, engine, MMU);
    let mut decoder = decoder(&context, engine);
    send_all(&mut decoder, &nals).unwrap();
    assert_eq!(decoder.flush().unwrap(), Sent::Accepted);
    let downloader = Downloader::new(&context);
    let lost: Vec<_> =
        frames(&mut decoder).into_iter().map(|frame| downloader.start(frame).unwrap()).collect();
    assert_eq!(lost.len(), 12);
    // A session on another engine, whose copies queue up behind those that wait.
    let mut good = Player::new(&context, DecoderOptions::on(other)).unwrap();
    let mut kept = Vec::new();
    for nal in split_annex_b(find("x_size_202x150").data) {
        assert_eq!(good.decoder.send(Packet::unit(nal)).unwrap(), Sent::Accepted);
    }
    assert_eq!(good.decoder.flush().unwrap(), Sent::Accepted);
    while let Some(frame) = good.decoder.receive() {
        kept.push(downloader.start(frame).unwrap());
    }
    faults.resume(0, engine);
    for download in &kept {
        let host = download.wait().unwrap();
        assert_eq!((host.width, host.height), (202, 150));
    }
    for download in &lost {
        names(&download.wait().expect_err("nothing was decoded"), &["NVDEC1", "Xid 31"]);
    }
    drop((decoder, good, kept, lost, downloader, context));
    machine.assert_empty("waiting copies");
}

#[test]
fn copies_of_lost_pictures_say_so() {
    let machine = machine();
    let context = machine.context();
    let engine = context.engines()[0];
    let faults = machine.kernel.faults();
    faults.stall(0, engine);
    faults.fault_next_launch(0, engine, MMU);
    let mut decoder = decoder(&context, engine);
    send_all(&mut decoder, &halves().0).unwrap();
    assert_eq!(decoder.flush().unwrap(), Sent::Accepted);
    let downloader = Downloader::new(&context);
    let lost: Vec<_> =
        frames(&mut decoder).into_iter().map(|frame| downloader.start(frame).unwrap()).collect();
    assert_eq!(lost.len(), 12);
    faults.resume(0, engine);
    // The copy queue waits for the engine, and goes on when that is dead.
    context.copy_queue_behind(engine).unwrap().queue().last_point().wait(LONG).unwrap();
    for download in &lost {
        names(&download.wait().expect_err("nothing was decoded"), &["NVDEC1", "Xid 31"]);
    }
    drop((decoder, lost, downloader));
    assert_eq!(play(&context, find("k_10b_tiles").data).unwrap().len(), 12);
    drop(context);
    machine.assert_empty("lost pictures");
}

#[test]
fn a_new_session_gets_a_new_queue() {
    let machine = machine();
    let context = machine.context();
    let engine = context.engines()[0];
    let expected = play(&context, find("k_10b_tiles").data).unwrap();
    let old = context.video_queue(engine, Priority::Bulk).unwrap();
    let (mut decoder, frames) =
        fault_in_the_middle(&context, &machine.kernel.faults(), engine, LaunchFault::Engine);
    decoder.finish().unwrap();
    for _ in 0..2 {
        let mut player = Player::new(&context, DecoderOptions::on(engine)).unwrap();
        player.play(find("k_10b_tiles").data).unwrap();
        assert!(player.shown == expected && player.errors().is_empty());
    }
    let new = context.video_queue(engine, Priority::Bulk).unwrap();
    assert!(!Arc::ptr_eq(&old, &new) && old.queue().fault().is_some() && new.queue().fault().is_none());
    // The dead session beside it changes nothing.
    drop((decoder, frames, old));
    assert!(play(&context, find("k_10b_tiles").data).unwrap() == expected);
    drop((new, context));
    machine.assert_empty("new session");
}

#[test]
fn sessions_on_other_engines_go_on() {
    let machine = machine();
    let context = machine.context();
    let (broken, whole) = (context.engines()[0], context.engines()[4]);
    let expected = play(&context, find("x_wpp").data).unwrap();
    let mut player = Player::new(&context, DecoderOptions::on(whole)).unwrap();
    let nals: Vec<&[u8]> = split_annex_b(find("x_wpp").data).collect();
    for (i, nal) in nals.iter().enumerate() {
        if i == nals.len() / 2 {
            let (_, frames) = fault_in_the_middle(&context, &machine.kernel.faults(), broken, MMU);
            assert!(frames.iter().any(|f| f.status().is_err()));
        }
        player.send(Packet::unit(nal).with_pts(i as i64)).unwrap();
    }
    player.end().unwrap();
    assert!(player.shown == expected && player.errors().is_empty());
    drop((player, context));
    machine.assert_empty("other engines");
}

/// Two sessions on one engine share its channel: when it dies, the one that had nothing in flight does not notice.
#[test]
fn sessions_on_the_same_engine_go_on() {
    let machine = machine();
    let context = machine.context();
    let engine = context.engines()[0];
    let mut beside = decoder(&context, engine);
    let (nals, half) = halves();
    send_all(&mut beside, &nals[..half]).unwrap();
    beside.end_picture().unwrap();
    beside.finish().unwrap();
    let (mut broken, _frames) = fault_in_the_middle(&context, &machine.kernel.faults(), engine, MMU);
    broken.finish().unwrap();
    assert!(broken.take_error().is_some());
    send_all(&mut beside, &nals[half..]).unwrap();
    assert_eq!(beside.flush().unwrap(), Sent::Accepted);
    let frames = frames(&mut beside);
    assert_eq!(frames.len(), 12);
    for frame in frames {
        assert!(frame.status().is_ok(), "picture {}", frame.number());
    }
    assert!(beside.take_error().is_none());
}

/// A copy that is lost with the channel of the copy engine is made again; one that is lost time after time is an error.
#[test]
fn lost_copies_are_made_again() {
    let machine = machine();
    let context = machine.context();
    let mut decoder = decoder(&context, context.engines()[0]);
    let (nals, _) = halves();
    send_all(&mut decoder, &nals).unwrap();
    assert_eq!(decoder.flush().unwrap(), Sent::Accepted);
    decoder.finish().unwrap();
    let frames = frames(&mut decoder);
    let copy = context.copy_queue().unwrap().queue().engine();
    let downloader = Downloader::new(&context);
    let whole = downloader.start(frames[0].clone()).unwrap().wait().unwrap();
    let faults = machine.kernel.faults();
    faults.fault_next_launch(0, copy, LaunchFault::Engine);
    let again = downloader.start(frames[0].clone()).unwrap().wait().unwrap();
    assert!(again.luma == whole.luma && again.chroma == whole.chroma);
    (0..3).for_each(|_| faults.fault_next_launch(0, copy, LaunchFault::Engine));
    let error = downloader.start(frames[0].clone()).and_then(|download| download.wait()).map(|_| ());
    names(&error.expect_err("no copy came through"), &[&copy.to_string(), "Xid"]);
    assert!(downloader.start(frames[0].clone()).unwrap().wait().is_ok());
    assert!(frames.iter().all(|frame| frame.status().is_ok()));
    drop((decoder, frames, downloader, context));
    machine.assert_empty("dead copy engine");
}

/// What becomes of everything when the GPU falls off the bus while pictures are in flight.
#[test]
fn a_lost_gpu_is_an_error_everywhere() {
    let machine = machine();
    let context = machine.context();
    let engine = context.engines()[0];
    let mut decoder = decoder(&context, engine);
    let (nals, half) = halves();
    send_all(&mut decoder, &nals[..half]).unwrap();
    decoder.end_picture().unwrap();
    decoder.finish().unwrap();
    machine.kernel.faults().lose_gpu(0);
    // New memory and new clients are refused with the driver's word for it.
    let error = context.device().allocate(4096, hcq::Placement::Vidmem).unwrap_err();
    assert!(error.to_string().contains("NV_ERR_GPU_IS_LOST"), "{error}");
    assert!(hcq::Device::open(machine.backend().kernel, 0).is_err());
    let error = Decoder::new(&context, Codec::Hevc, DecoderOptions::on(context.engines()[1]))
        .expect_err("a decoder on a lost GPU");
    assert!(!error.is_picture_error());
    // What was complete stays known.
    for frame in frames(&mut decoder) {
        assert!(frame.status().is_ok());
    }
    drop((decoder, context));
    machine.assert_empty("lost GPU");
}

/// As above, with pictures and copies still to come: whoever waits is told, and nothing hangs.
#[test]
fn waits_end_when_the_gpu_is_lost() {
    let machine = machine();
    let context = machine.context();
    let engine = context.engines()[0];
    machine.kernel.faults().stall(0, engine);
    let mut decoder = decoder(&context, engine);
    send_all(&mut decoder, &halves().0).unwrap();
    assert_eq!(decoder.flush().unwrap(), Sent::Accepted);
    let downloader = Downloader::new(&context);
    let frames = frames(&mut decoder);
    let download = downloader.start(frames[0].clone()).unwrap();
    machine.kernel.faults().lose_gpu(0);
    for error in [
        frames[1].status().map(|_| ()).unwrap_err(),
        download.wait().map(|_| ()).unwrap_err(),
        decoder.finish().unwrap_err(),
    ] {
        assert!(matches!(error, Error::Gpu(hcq::Error::GpuLost)), "{error}");
    }
    drop((decoder, frames, download, downloader, context));
    machine.assert_empty("lost GPU with work in flight");
}

/// An engine that is slow only takes longer.
#[test]
fn slow_engines_lose_nothing() {
    let machine = machine();
    let context = machine.context();
    let expected = play(&context, find("k_10b_tiles").data).unwrap();
    let engine = context.engines()[0];
    machine.kernel.faults().slow_down(0, engine, std::time::Duration::from_millis(2));
    let mut player = Player::new(&context, DecoderOptions::on(engine)).unwrap();
    for (i, nal) in split_annex_b(find("k_10b_tiles").data).enumerate() {
        player.send(Packet::unit(nal).with_pts(i as i64)).unwrap();
    }
    player.end().unwrap();
    assert!(player.shown == expected);
    drop((player, context));
    machine.assert_content("slow engine");
    machine.assert_empty("slow engine");
}

/// Errors name the engine that failed, by the Xid that belongs to it.
#[test]
fn each_engine_has_its_own_xid() {
    for (i, xid) in [(1u32, 83), (2, 84), (3, 88), (4, 89), (5, 96), (6, 97), (7, 98)] {
        let machine: Machine = machine();
        let context = machine.context();
        let engine = EngineType::of(hcq::EngineKind::Nvdec, i).unwrap();
        let (_decoder, frames) =
            fault_in_the_middle(&context, &machine.kernel.faults(), engine, LaunchFault::Engine);
        let lost = frames.iter().find(|frame| frame.number() == 6).expect("it is shown");
        names(&lost.status().unwrap_err(), &[&format!("NVDEC{i}"), &format!("Xid {xid}")]);
    }
}
