//! Channels that die, engines that stall, GPUs that fall off the bus.

use std::sync::Arc;

use bitstream::split_annex_b;
use hcq::EngineType;
use hcq::kernel::emulated::{Faults, LaunchFault};
use nvdec::{Context, DecoderOptions, Downloader, Error, Frame, HevcDecoder, Lane, Result, Sent};
use nvdec_tests::Machine;
use nvdec_tests::bodies::LONG;
use nvdec_tests::player::{Player, play};
use nvdec_tests::streams::find;

use super::machine;

const MMU: LaunchFault = LaunchFault::Mmu { address: 0xdead_0000 };

fn decoder(context: &Arc<Context>, engine: EngineType) -> HevcDecoder {
    let options = DecoderOptions { held_frames: Some(40), ..DecoderOptions::on(engine) };
    HevcDecoder::new(context, options).unwrap()
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
fn send_all(decoder: &mut HevcDecoder, nals: &[&[u8]]) -> Result<()> {
    for nal in nals {
        assert_eq!(decoder.send_nal(nal, None)?, Sent::Accepted);
    }
    Ok(())
}

fn frames(decoder: &mut HevcDecoder) -> Vec<Frame> {
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
) -> (HevcDecoder, Vec<Frame>) {
    let (nals, half) = halves();
    let mut decoder = decoder(context, engine);
    send_all(&mut decoder, &nals[..half]).unwrap();
    decoder.end_access_unit().unwrap();
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
        let (mut decoder, frames) = fault_in_the_middle(&context, &machine.kernel.faults(), engine, fault);
        let error = decoder.finish().expect_err("pictures are lost");
        assert!(!error.is_picture_error());
        names(&error, parts);
        assert!(frames.len() >= 3, "{} frames", frames.len());
        for frame in &frames {
            match frame.number() {
                0..6 => assert!(frame.status().is_ok(), "picture {} was complete", frame.number()),
                number => names(&frame.status().expect_err(&format!("picture {number} is lost")), parts),
            }
        }
        assert!(frames.iter().any(|f| f.number() < 6) && machine.recorder.taken().len() == 6);
        // The decoder stays dead, and says why each time.
        for _ in 0..3 {
            let error = send_all(&mut decoder, &halves().0).expect_err("the queue is dead");
            names(&error, parts);
        }
        drop((decoder, frames, context));
        machine.assert_empty("dead channel");
    }
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
        assert_eq!(good.decoder.send_nal(nal, None).unwrap(), Sent::Accepted);
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
    context.copy_queue().unwrap().queue().last_point().wait(LONG).unwrap();
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
    let old = context.video_queue(engine, Lane::Bulk).unwrap();
    let (mut decoder, frames) =
        fault_in_the_middle(&context, &machine.kernel.faults(), engine, LaunchFault::Engine);
    // Until the engine gets there, nobody knows of the fault.
    assert!(decoder.finish().is_err());
    for _ in 0..2 {
        let mut player = Player::new(&context, DecoderOptions::on(engine)).unwrap();
        player.play(find("k_10b_tiles").data).unwrap();
        assert!(player.shown == expected && player.errors().is_empty());
    }
    let new = context.video_queue(engine, Lane::Bulk).unwrap();
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
        player.send_nal(nal, Some(i as i64)).unwrap();
    }
    player.end().unwrap();
    assert!(player.shown == expected && player.errors().is_empty());
    drop((player, context));
    machine.assert_empty("other engines");
}

/// Two sessions on one engine share its channel: when it dies, both learn it, and what was complete stays good.
#[test]
fn sessions_on_the_same_engine_learn_of_it() {
    let machine = machine();
    let context = machine.context();
    let engine = context.engines()[0];
    let mut beside = decoder(&context, engine);
    let (nals, half) = halves();
    send_all(&mut beside, &nals[..half]).unwrap();
    beside.end_access_unit().unwrap();
    beside.finish().unwrap();
    let (mut broken, _frames) = fault_in_the_middle(&context, &machine.kernel.faults(), engine, MMU);
    // Until the engine gets there, nobody knows of the fault.
    assert!(broken.finish().is_err());
    names(&send_all(&mut beside, &nals[half..]).expect_err("the channel is shared"), &["NVDEC1", "Xid 31"]);
    for frame in frames(&mut beside) {
        assert!(frame.status().is_ok(), "picture {}", frame.number());
    }
}

/// A fault of the copy engine is its own: pictures are fine, copies say what happened.
#[test]
fn a_dead_copy_engine_is_named() {
    let machine = machine();
    let context = machine.context();
    let mut decoder = decoder(&context, context.engines()[0]);
    let (nals, _) = halves();
    send_all(&mut decoder, &nals).unwrap();
    assert_eq!(decoder.flush().unwrap(), Sent::Accepted);
    decoder.finish().unwrap();
    let frames = frames(&mut decoder);
    let copy = context.copy_queue().unwrap().queue().engine();
    machine.kernel.faults().fault_next_launch(0, copy, LaunchFault::Engine);
    let downloader = Downloader::new(&context);
    let error = match downloader.start(frames[0].clone()) {
        Ok(download) => download.wait().map(|_| ()).expect_err("the copy faulted"),
        Err(error) => error,
    };
    names(&error, &[&copy.to_string(), "Xid"]);
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
    decoder.end_access_unit().unwrap();
    decoder.finish().unwrap();
    machine.kernel.faults().lose_gpu(0);
    // New memory and new clients are refused with the driver's word for it.
    let error = context.device().allocate(4096, hcq::Placement::Vidmem).unwrap_err();
    assert!(error.to_string().contains("NV_ERR_GPU_IS_LOST"), "{error}");
    assert!(hcq::Device::open(machine.backend().kernel, 0).is_err());
    let error = HevcDecoder::new(&context, DecoderOptions::on(context.engines()[1]))
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
        player.send_nal(nal, Some(i as i64)).unwrap();
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
        let (mut decoder, _) =
            fault_in_the_middle(&context, &machine.kernel.faults(), engine, LaunchFault::Engine);
        names(&decoder.finish().unwrap_err(), &[&format!("NVDEC{i}"), &format!("Xid {xid}")]);
    }
}
