//! What a fault leaves alone: other sessions go on, and the one that it struck is made anew on the same context.

use std::sync::Arc;
use std::time::Duration;

use bitstream::split_annex_b;
use hcq::kernel::emulated::{Call, EmulatedKernel, Failure, GpuModel, LaunchFault, Usage};
use hcq::{Device, EngineKind, EngineType};
use nvdec::{Codec, Context, Decoder, DecoderOptions, Error, Frame, Packet, Priority, Sent};
use nvdec_tests::engine::Recorder;
use nvdec_tests::player::{Player, Shown, play};
use nvdec_tests::streams::find;
use nvkernel_sys::ioctl;
use nvkernel_sys::status::RmStatus;

use super::machine;

/// Long enough for an engine that is not held up to be done; nothing depends on it being so.
const SHORT: Duration = Duration::from_millis(30);
const STREAM: &str = "k_10b_tiles";
const PICTURES: usize = 12;

fn options(engine: EngineType) -> DecoderOptions {
    DecoderOptions::on(engine).with_held_frames(40)
}

fn nals() -> Vec<&'static [u8]> {
    split_annex_b(find(STREAM).data).collect()
}

/// Sends NAL units, of which none finds the pool empty, and returns the frames that are due at the end.
fn decode(decoder: &mut Decoder, nals: &[&[u8]]) -> Vec<Frame> {
    for nal in nals {
        assert_eq!(decoder.send(Packet::unit(nal)).unwrap(), Sent::Accepted);
    }
    assert_eq!(decoder.flush().unwrap(), Sent::Accepted);
    std::iter::from_fn(|| decoder.receive()).collect()
}

/// A session that has played half of its stream when something happens to others.
struct Half {
    player: Player,
    rest: Vec<&'static [u8]>,
}

impl Half {
    fn start(context: &Arc<Context>, engine: EngineType) -> Half {
        let mut player = Player::new(context, options(engine)).unwrap();
        let mut nals = nals();
        let rest = nals.split_off(nals.len() / 2);
        for nal in nals {
            player.send(Packet::unit(nal)).unwrap();
        }
        Half { player, rest }
    }

    /// The rest of the stream comes out as if nothing had happened.
    fn finish(mut self, expected: &[Shown]) {
        for nal in self.rest {
            self.player.send(Packet::unit(nal)).unwrap();
        }
        self.player.end().unwrap();
        let marks = |shown: &[Shown]| shown.iter().map(|s| (s.number, s.md5.clone())).collect::<Vec<_>>();
        assert_eq!(marks(&self.player.shown), marks(expected));
        assert!(self.player.errors().is_empty());
    }
}

fn assert_plays(context: &Arc<Context>, engine: EngineType, expected: &[Shown]) {
    let mut player = Player::new(context, options(engine)).unwrap();
    player.play(find(STREAM).data).unwrap();
    assert!(player.shown == expected && player.errors().is_empty());
}

/// Fails each call of a kind that a session makes in turn. The session ends with an error that names the status;
/// the session beside it does not notice, and the next one on the same context is whole.
fn each_failing_call_costs_one_session(call: u32, status: RmStatus) {
    let machine = machine();
    let context = machine.context();
    let (engine, other) = (context.engines()[0], context.engines()[1]);
    let expected = play(&context, find(STREAM).data).unwrap();
    let faults = machine.kernel.faults();
    let mut failed = 0;
    for pass in 0.. {
        // Memory that others gave back would spare the session its calls.
        context.release_memory();
        let beside = Half::start(&context, other);
        faults.fail_call(Call::Ioctl(call), pass, Failure::Status(status));
        let struck = Player::new(&context, options(engine))
            .and_then(|mut player| player.play(find(STREAM).data).map(|()| player.shown));
        // A pass without the failure: all calls had their turn.
        let done = faults.pending_calls() > 0;
        match struck {
            Ok(shown) => assert!(shown == expected, "call {pass} can be done without"),
            Err(error) => {
                failed += 1;
                let text = error.to_string();
                assert!(text.contains(&status.to_string()), "call {pass}: {text}");
                assert!(!error.is_picture_error(), "call {pass}: {text}");
            }
        }
        if done {
            break;
        }
        beside.finish(&expected);
        assert_plays(&context, engine, &expected);
    }
    assert!(failed >= 3, "{failed} calls of {call:#x}");
    drop(context);
    machine.assert_content("failing calls");
    machine.assert_empty("failing calls");
}

#[test]
fn memory_that_runs_out_costs_one_session() {
    each_failing_call_costs_one_session(ioctl::NV_ESC_RM_ALLOC, RmStatus::NV_ERR_NO_MEMORY);
    each_failing_call_costs_one_session(ioctl::NV_ESC_RM_MAP_MEMORY_DMA, RmStatus::NV_ERR_NO_MEMORY);
}

#[test]
fn an_invalid_state_costs_one_session() {
    each_failing_call_costs_one_session(ioctl::NV_ESC_RM_ALLOC, RmStatus::NV_ERR_INVALID_STATE);
    each_failing_call_costs_one_session(ioctl::NV_ESC_RM_MAP_MEMORY_DMA, RmStatus::NV_ERR_INVALID_STATE);
}

fn assert_times_out(frame: &Frame, engine: EngineType) {
    let error = frame.ready().wait(SHORT).expect_err("nothing moves the engine");
    assert!(matches!(error, hcq::Error::Timeout { .. }), "{error}");
    let text = error.to_string();
    assert!(text.starts_with(&format!("{engine} did not reach timeline point ")), "{text}");
}

/// A picture whose doorbell is lost is late, until another one is submitted to its engine.
#[test]
fn a_lost_doorbell_holds_up_one_engine_until_the_next() {
    let machine = machine();
    let context = machine.context();
    let (engine, other) = (context.engines()[0], context.engines()[1]);
    let expected = play(&context, find(STREAM).data).unwrap();
    // Memory is allocated and cleared in the first run, so that the second rings for pictures alone.
    let mut decoder = Decoder::new(&context, Codec::Hevc, options(engine)).unwrap();
    assert_eq!(decode(&mut decoder, &nals()).len(), PICTURES);
    decoder.finish().unwrap();
    let beside = Half::start(&context, other);
    let first = nals().iter().position(|nal| nal[0] >> 1 < 32).unwrap();
    machine.kernel.faults().lose_doorbells(1);
    let late = decode(&mut decoder, &nals()[..=first]);
    assert_eq!(late.len(), 1);
    assert_times_out(&late[0], engine);
    beside.finish(&expected);
    let frames = decode(&mut decoder, &nals());
    decoder.finish().unwrap();
    assert!(late.iter().chain(&frames).all(|frame| frame.status().is_ok()) && frames.len() == PICTURES);
    assert!(decoder.take_error().is_none());
    drop((decoder, late, frames));
    assert_plays(&context, engine, &expected);
    drop(context);
    machine.assert_content("lost doorbell");
    machine.assert_empty("lost doorbell");
}

#[test]
fn a_stalled_engine_holds_up_its_own_sessions_only() {
    let machine = machine();
    let context = machine.context();
    let (engine, other) = (context.engines()[2], context.engines()[3]);
    let expected = play(&context, find(STREAM).data).unwrap();
    let faults = machine.kernel.faults();
    let beside = Half::start(&context, other);
    faults.stall(0, engine);
    let mut decoder = Decoder::new(&context, Codec::Hevc, options(engine)).unwrap();
    let frames = decode(&mut decoder, &nals());
    assert_times_out(&frames[0], engine);
    beside.finish(&expected);
    assert_plays(&context, other, &expected);
    faults.resume(0, engine);
    decoder.finish().unwrap();
    assert!(frames.iter().all(|frame| frame.status().is_ok()) && frames.len() == PICTURES);
    drop((decoder, frames));
    assert_plays(&context, engine, &expected);
    drop(context);
    machine.assert_content("stalled engine");
    machine.assert_empty("stalled engine");
}

/// An error that the engine reports of a picture is that picture's alone: its session goes on, in the same channel.
#[test]
fn an_error_status_costs_one_picture() {
    let machine = machine();
    let context = machine.context();
    let engine = context.engines()[0];
    let expected = play(&context, find(STREAM).data).unwrap();
    let queue = context.video_queue(engine, Priority::Bulk).unwrap();
    let mut decoder = Decoder::new(&context, Codec::Hevc, options(engine)).unwrap();
    machine.kernel.faults().fault_launch(0, engine, 5, LaunchFault::Status(0x7104));
    let frames = decode(&mut decoder, &nals());
    decoder.finish().unwrap();
    assert_eq!(frames.len(), PICTURES, "the picture is shown all the same");
    for frame in &frames {
        match (frame.number(), frame.status()) {
            (5, Err(Error::Picture { number: 5, poc, fault })) => {
                assert_eq!(poc, frame.poc());
                assert!(fault.to_string().starts_with("error 0x7104 in slice data"), "{fault}");
            }
            (number, verdict) => assert!(number != 5 && verdict.is_ok(), "picture {number}: {verdict:?}"),
        }
    }
    let error = decoder.take_error().expect("the session knows of it");
    assert!(error.is_picture_error() && error.to_string().starts_with("picture 5 "), "{error}");
    assert!(decoder.take_error().is_none());
    assert_eq!(decoder.statistics().tally.damaged, 1);
    // The same session, and another one in the same channel.
    assert!(decode(&mut decoder, &nals()).iter().all(|frame| frame.status().is_ok()));
    assert_plays(&context, engine, &expected);
    assert!(queue.queue().fault().is_none());
    assert!(Arc::ptr_eq(&queue, &context.video_queue(engine, Priority::Bulk).unwrap()));
    drop((decoder, frames, queue, context));
    machine.assert_content("error status");
    machine.assert_empty("error status");
}

/// Of two GPUs one falls off the bus. What runs on the other does not notice, and what was lost is made anew there.
#[test]
fn a_lost_gpu_leaves_the_other_one() {
    let recorder = Recorder::default();
    let factory = recorder.clone();
    let kernel = EmulatedKernel::builder()
        .gpu(GpuModel::h200())
        .gpu(GpuModel::h200())
        .with_engine_factory(EngineKind::Nvdec, move |_, class| Box::new(factory.engine(class)))
        .build()
        .unwrap();
    let open = |gpu| Device::open(Arc::new(kernel.clone()), gpu).map(|device| Context::new(device).unwrap());
    let (lost, whole) = (open(0).unwrap(), open(1).unwrap());
    let engine = whole.engines()[0];
    let expected = play(&lost, find(STREAM).data).unwrap();
    let beside = Half::start(&whole, engine);
    let mut struck = Half::start(&lost, engine);
    kernel.faults().lose_gpu(0);
    let error = struck.rest.iter().try_for_each(|nal| struck.player.send(Packet::unit(nal)));
    let error = error.and_then(|()| struck.player.end()).unwrap_err();
    let lost_gpu = match &error {
        Error::Gpu(hcq::Error::GpuLost) => true,
        Error::Gpu(error) => error.rm_status() == Some(RmStatus::NV_ERR_GPU_IS_LOST),
        _ => false,
    };
    assert!(lost_gpu, "{error}");
    beside.finish(&expected);
    assert!(open(0).is_err());
    assert_plays(&whole, engine, &expected);
    assert_plays(&open(1).unwrap(), engine, &expected);
    drop((struck, lost, whole));
    assert!(recorder.violations().is_empty(), "{:?}", recorder.violations());
    assert_eq!(kernel.usage(), Usage::default(), "objects of a lost GPU go with their owners");
}
