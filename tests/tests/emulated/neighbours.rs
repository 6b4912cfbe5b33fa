//! What a fault of one engine does to the sessions beside it: those on other engines come out whole, those that it struck go on at
//! their next random access point, and no picture passes for good that is not.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use hcq::EngineType;
use hcq::kernel::emulated::{EmulatedKernel, LaunchFault};
use nvdec::{Codec, Context, Decoder, DecoderOptions, Downloader, Error, Frame, Next, PictureFault, Units};
use nvdec_tests::player::play;
use nvdec_tests::streams::find;

const STREAM: &str = "x_size_202x150";
/// Times that each session plays the stream, which begins with a random access point.
const LOOPS: usize = 4;

/// What befalls the GPU in the middle of everything.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The video engine's MMU refuses an address.
    Mmu,
    /// The video engine fails.
    Engine,
    /// The video engine hangs in a launch.
    Hang,
    /// The copy engine fails.
    Copy,
}

impl Fault {
    fn strike(self, kernel: &EmulatedKernel, engine: EngineType, copy: EngineType) {
        let faults = kernel.faults();
        match self {
            Fault::Mmu => faults.fault_next_launch(0, engine, LaunchFault::Mmu { address: 0x1234_5000 }),
            Fault::Engine => faults.fault_next_launch(0, engine, LaunchFault::Engine),
            Fault::Hang => faults.fault_next_launch(0, engine, LaunchFault::Hang),
            Fault::Copy => faults.fault_next_launch(0, copy, LaunchFault::Engine),
        }
    }
}

/// How a session came out.
struct Outcome {
    engine: EngineType,
    /// MD5 of each frame, `None` of one that is an error.
    frames: Vec<Option<String>>,
    /// Pictures that the decoder named.
    named: usize,
    fatal: Option<Error>,
}

fn md5(downloader: &Downloader, frame: Frame) -> nvdec::Result<String> {
    use md5::{Digest, Md5};
    let mut planes = Vec::new();
    downloader.start(frame)?.wait()?.write_planar(&mut planes);
    Ok(Md5::digest(&planes).iter().map(|b| format!("{b:02x}")).collect())
}

fn session(context: &Arc<Context>, engine: EngineType, data: &[u8], in_the_middle: impl FnOnce()) -> Outcome {
    let downloader = Downloader::new(context);
    let decoder = Decoder::new(context, Codec::Hevc, DecoderOptions::on(engine)).unwrap();
    let mut frames = decoder.into_frames(Units::new(data));
    let mut outcome = Outcome { engine, frames: Vec::new(), named: 0, fatal: None };
    let mut in_the_middle = Some(in_the_middle);
    loop {
        match frames.try_next() {
            Ok(Next::Frame(frame)) => {
                let status = frame.status().map(|_| ());
                let copied = md5(&downloader, frame);
                assert!(
                    copied.is_ok() == status.is_ok(),
                    "a picture passes for good that is not: {status:?}, {:?}",
                    copied.err()
                );
                outcome.frames.push(copied.ok());
            }
            Ok(Next::Full) => unreachable!("no frame is held"),
            Ok(Next::End) => break,
            Err(error) => {
                outcome.fatal = Some(error);
                break;
            }
        }
        if outcome.frames.len() == 3
            && let Some(in_the_middle) = in_the_middle.take()
        {
            in_the_middle();
        }
    }
    while let Some(error) = frames.take_error() {
        let Error::Picture { fault: PictureFault::ChannelLost | PictureFault::ReferenceLost, .. } = error
        else {
            panic!("{error}")
        };
        outcome.named += 1;
    }
    outcome
}

fn strike_among(sessions: usize, fault: Fault) {
    let kernel = nvdec::emulated::h200().unwrap();
    let context = Context::new(hcq::Device::open(Arc::new(kernel.clone()), 0).unwrap()).unwrap();
    // So long does the hang stand still; what is not held up goes on sooner, were the machine busy with other things.
    let stall = if let Fault::Hang = fault { 5 } else { 60 };
    context.set_stall_timeout(Duration::from_secs(stall));
    let stream = find(STREAM).data;
    let once: Vec<String> = play(&context, stream).unwrap().into_iter().map(|shown| shown.md5).collect();
    let data = stream.repeat(LOOPS);
    let engines = context.engines().to_vec();
    let copy = context.copy_queue().unwrap().queue().engine();
    let barrier = Barrier::new(sessions);
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..sessions)
            .map(|i| {
                let (context, kernel, barrier, data) = (&context, &kernel, &barrier, &data);
                let (engine, victim) = (engines[i % engines.len()], engines[0]);
                scope.spawn(move || {
                    session(context, engine, data, || {
                        barrier.wait();
                        if i == 0 {
                            fault.strike(kernel, victim, copy);
                        }
                        barrier.wait();
                    })
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut struck = 0;
    for (i, outcome) in outcomes.iter().enumerate() {
        let what = format!("{fault:?} among {sessions}, session {i} on {}", outcome.engine);
        assert!(outcome.fatal.is_none(), "{what}: {:?}", outcome.fatal);
        assert_eq!(outcome.frames.len(), LOOPS * once.len(), "{what}");
        let expected = once.iter().cycle();
        for (number, (found, expected)) in outcome.frames.iter().zip(expected).enumerate() {
            assert!(found.as_ref().is_none_or(|found| found == expected), "{what}: frame {number} is wrong");
        }
        let lost = outcome.frames.iter().filter(|frame| frame.is_none()).count();
        assert_eq!(lost, outcome.named, "{what}");
        let may_be_struck = matches!(fault, Fault::Copy) || outcome.engine == engines[0];
        assert!(may_be_struck || lost == 0, "{what}: {lost} pictures are lost");
        // From the random access point behind it on, everything is there.
        let last = &outcome.frames[(LOOPS - 1) * once.len()..];
        assert!(last.iter().all(Option::is_some), "{what} does not go on");
        struck += usize::from(lost > 0);
    }
    assert!(struck > 0 || matches!(fault, Fault::Copy), "{fault:?} among {sessions} struck nothing");
    drop(context);
    let left = kernel.usage();
    assert_eq!((left.vidmem, left.channels), (0, 0), "{fault:?} among {sessions}");
}

#[test]
fn a_refused_address_leaves_the_neighbours() {
    [1, 7, 50].into_iter().for_each(|sessions| strike_among(sessions, Fault::Mmu));
}

#[test]
fn a_failing_engine_leaves_the_neighbours() {
    [1, 7, 50].into_iter().for_each(|sessions| strike_among(sessions, Fault::Engine));
}

#[test]
fn an_engine_that_hangs_leaves_the_neighbours() {
    [1, 7, 50].into_iter().for_each(|sessions| strike_among(sessions, Fault::Hang));
}

#[test]
fn a_failing_copy_engine_leaves_all() {
    [1, 7, 50].into_iter().for_each(|sessions| strike_among(sessions, Fault::Copy));
}
