//! Tensors when something goes wrong: builders and handles that go early, channels that die, memory that others have.

use std::sync::Arc;
use std::time::Duration;

use hcq::kernel::emulated::{EmulatedKernel, LaunchFault};
use hcq::{CopyCommands, EngineKind, Placement, SharedWord};
use nvdec::tensor::{TensorPool, TensorSpec};
use nvdec::{Codec, Context, Decoder, DecoderOptions, Error, Frame, SurfaceGeometry, Units};

use crate::support::stream;

const LONG: Duration = Duration::from_secs(60);
const STREAM: &str = "h_ld_b";

fn machine() -> (EmulatedKernel, Arc<Context>) {
    let kernel = nvdec::emulated::h200().unwrap();
    let context = Context::new(hcq::Device::open(Arc::new(kernel.clone()), 0).unwrap()).unwrap();
    (kernel, context)
}

fn spec() -> TensorSpec {
    TensorSpec::new().size(32, 24)
}

fn frames(context: &Arc<Context>) -> Vec<Frame> {
    let stream = stream(STREAM);
    let options = DecoderOptions::default().with_held_frames(64);
    let decoder = Decoder::new(context, Codec::Hevc, options).unwrap();
    decoder.into_frames(Units::new(&stream)).map(Result::unwrap).collect()
}

/// The elements of each frame, made one by one.
fn exact(context: &Arc<Context>, frames: &[Frame]) -> Vec<Vec<u8>> {
    let pool = TensorPool::new(context, &spec(), 1, 1).unwrap();
    let of = |frame: &Frame| {
        let mut tensor = pool.begin(frame).unwrap();
        assert!(tensor.push(frame).unwrap());
        tensor.finish().unwrap().to_host().unwrap()
    };
    frames.iter().map(of).collect()
}

/// A builder that goes without a picture leaves those who still read the memory in front of the next one.
#[test]
fn a_builder_that_is_dropped_forgets_nobody() {
    let (kernel, context) = machine();
    let frames = frames(&context);
    let expected = exact(&context, &frames);
    let pool = TensorPool::new(&context, &spec(), 1, 1).unwrap();
    let mut first = pool.begin(&frames[0]).unwrap();
    first.push(&frames[0]).unwrap();
    let first = first.finish().unwrap();
    first.wait().unwrap();
    // A copy that does not come to an end yet, and a word that another program has not written yet.
    let queue = context.copy_queue().unwrap();
    let to = context.device().allocate(first.buffer().size(), Placement::Sysmem).unwrap();
    let mut commands = CopyCommands::new();
    commands.copy(&first.buffer(), &to.slice(0, first.buffer().size())).unwrap();
    kernel.faults().stall(0, queue.queue().engine());
    let copied = queue.submit(&[], commands).unwrap();
    first.use_until(&copied).unwrap();
    let page = context.device().allocate(4096, Placement::Sysmem).unwrap();
    page.view().unwrap().fill(0, 4096, 0);
    let word = SharedWord::new(&page, 0).unwrap();
    first.use_until_word(&word.at(1)).unwrap();
    drop(first);
    drop(pool.begin(&frames[1]).unwrap());
    let mut second = pool.begin(&frames[1]).unwrap();
    second.push(&frames[1]).unwrap();
    let second = second.finish().unwrap();
    std::thread::sleep(Duration::from_millis(50));
    assert!(!second.ready()[0].is_reached(), "written while a copy reads it");
    kernel.faults().resume(0, queue.queue().engine());
    copied.wait(LONG).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    assert!(!second.ready()[0].is_reached(), "written before the other program was done");
    word.store(1).unwrap();
    assert_eq!(second.to_host().unwrap(), expected[1]);
    let mut read = vec![0; expected[0].len()];
    to.view().unwrap().copy_out(0, &mut read);
    assert_eq!(read, expected[0]);
}

/// The memory of a pool is cleared again where that is lost.
#[test]
fn a_copy_channel_dies_before_the_first_tensor() {
    let (kernel, context) = machine();
    let frames = frames(&context);
    let expected = exact(&context, &frames);
    frames.iter().for_each(|frame| frame.status().map(drop).unwrap());
    let copies = context.device().engines_of(EngineKind::Copy).unwrap();
    copies.iter().for_each(|&engine| kernel.faults().fault_next_launch(0, engine, LaunchFault::Engine));
    let pool = TensorPool::new(&context, &spec(), 1, 1).unwrap();
    let mut tensor = pool.begin(&frames[0]).unwrap();
    let memory = pool.memory().unwrap();
    let mut bytes = vec![1; memory.size() as usize];
    memory.view().unwrap().copy_out(0, &mut bytes);
    assert!(bytes.iter().all(|&byte| byte == 0));
    tensor.push(&frames[0]).unwrap();
    assert!(tensor.finish().unwrap().wait().is_ok());
    // What is on other engines has not struck anybody yet: each dies of its next work.
    let copied = |_| {
        let mut tensor = pool.begin(&frames[0]).unwrap();
        tensor.push(&frames[0]).unwrap();
        tensor.finish().unwrap().to_host().ok()
    };
    assert_eq!(copies.iter().filter_map(copied).next_back().as_ref(), Some(&expected[0]));
}

/// A conversion that was lost is an error, and those behind it come out on another channel.
#[test]
fn a_compute_channel_dies() {
    let (kernel, context) = machine();
    let frames = frames(&context);
    let expected = exact(&context, &frames);
    let graphics = context.device().engines_of(EngineKind::Graphics).unwrap()[0];
    for fault in [LaunchFault::Mmu { address: 0x1234_0000 }, LaunchFault::Engine] {
        let pool = TensorPool::new(&context, &spec(), 1, 2).unwrap();
        // The memory is cleared, by another engine, before.
        let mut before = pool.begin(&frames[0]).unwrap();
        before.push(&frames[0]).unwrap();
        assert_eq!(before.finish().unwrap().to_host().unwrap(), expected[0]);
        kernel.faults().fault_next_launch(0, graphics, fault);
        let mut lost = pool.begin(&frames[0]).unwrap();
        lost.push(&frames[0]).unwrap();
        let lost = lost.finish().unwrap();
        let error = lost.wait().unwrap_err();
        assert!(matches!(error, Error::Gpu(hcq::Error::ChannelFault { .. })), "{error}");
        assert!(lost.to_host().is_err());
        drop(lost);
        for (frame, expected) in frames.iter().zip(&expected) {
            let mut tensor = pool.begin(frame).unwrap();
            tensor.push(frame).unwrap();
            assert_eq!(&tensor.finish().unwrap().to_host().unwrap(), expected);
        }
    }
}

/// Conversions that are lost while they wait for those who read the memory leave these in front of the next one.
#[test]
fn who_reads_is_not_overtaken_behind_a_channel_that_died() {
    let (kernel, context) = machine();
    let frames = frames(&context);
    let expected = exact(&context, &frames);
    let graphics = context.device().engines_of(EngineKind::Graphics).unwrap()[0];
    let (pool, other) = [(); 2].map(|()| TensorPool::in_host_memory(&context, &spec(), 1, 1).unwrap()).into();
    let tensor = |pool: &TensorPool, at: usize| {
        let mut tensor = pool.begin(&frames[at]).unwrap();
        assert!(tensor.push(&frames[at]).unwrap());
        tensor.finish().unwrap()
    };
    let first = tensor(&pool, 0);
    first.wait().unwrap();
    let memory = first.buffer();
    // Its memory is cleared by the queue that is to stand still.
    tensor(&other, 0).wait().unwrap();
    // A queue that does not get on, and a word that another program has not written yet.
    let copies = context.copy_queue().unwrap();
    kernel.faults().stall(0, copies.queue().engine());
    let read = copies.queue().mark().unwrap();
    first.use_until(&read).unwrap();
    let page = context.device().allocate(4096, Placement::Sysmem).unwrap();
    page.view().unwrap().fill(0, 4096, 0);
    let word = SharedWord::new(&page, 0).unwrap();
    first.use_until_word(&word.at(1)).unwrap();
    drop(first);
    // One is lost with a channel that dies of another's launch, one behind it with a channel that is taken down.
    kernel.faults().stall(0, graphics);
    kernel.faults().fault_next_launch(0, graphics, LaunchFault::Engine);
    let deadly = tensor(&other, 0);
    let lost = tensor(&pool, 1);
    kernel.faults().resume(0, graphics);
    assert!(deadly.wait().is_err() && lost.wait().is_err());
    drop(lost);
    let lost = tensor(&pool, 2);
    context.compute_queue().unwrap().queue().reset().unwrap();
    assert!(lost.wait().is_err());
    drop(lost);
    let last = tensor(&pool, 3);
    let is_untouched = || {
        std::thread::sleep(Duration::from_millis(50));
        let mut elements = vec![0; expected[0].len()];
        memory.view().unwrap().copy_out(0, &mut elements);
        elements == expected[0] && !last.ready()[0].is_reached()
    };
    assert!(is_untouched(), "written before anybody was done");
    kernel.faults().resume(0, copies.queue().engine());
    read.wait(LONG).unwrap();
    assert!(is_untouched(), "written before the other program was done");
    word.store(1).unwrap();
    assert_eq!(last.to_host().unwrap(), expected[3]);
}

/// What was lost with the channel of its video engine does not pass for a picture, although its conversion went well.
#[test]
fn a_picture_that_was_lost_is_no_tensor() {
    let (kernel, context) = machine();
    let engine = context.engines()[0];
    let stream = stream(STREAM);
    // Made before, so that the fault strikes the stream.
    let graphics = context.compute_queue().unwrap();
    graphics.queue().mark().unwrap().wait(LONG).unwrap();
    kernel.faults().fault_launch(0, engine, 1, LaunchFault::Engine);
    let options = DecoderOptions::on(engine).with_held_frames(64);
    let decoder = Decoder::new(&context, Codec::Hevc, options).unwrap();
    let pool = TensorPool::new(&context, &spec(), 1, 64).unwrap();
    let (mut lost, mut right) = (0, 0);
    for tensor in decoder.into_frames(Units::new(&stream)).into_tensors(&pool) {
        let Ok(tensor) = tensor else { continue };
        let is_exact = tensor.pictures()[0].integrity().unwrap().is_exact();
        match tensor.wait() {
            Ok(()) => right += u32::from(is_exact),
            Err(Error::Picture { fault, .. }) => {
                assert!(!is_exact, "{fault}");
                assert!(tensor.to_host().is_err());
                lost += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(lost > 0 && right > 0, "{lost} lost, {right} right");
}

/// What belongs to another device is refused when it is said, not when the memory is needed.
#[test]
fn what_is_of_another_device_is_refused() {
    let ((_, context), (_, other)) = (machine(), machine());
    let frame = frames(&context).remove(0);
    let pool = TensorPool::new(&context, &spec(), 1, 1).unwrap();
    let mut tensor = pool.begin(&frame).unwrap();
    tensor.push(&frame).unwrap();
    let tensor = tensor.finish().unwrap();
    let point = other.copy_queue().unwrap().queue().mark().unwrap();
    assert!(matches!(tensor.use_until(&point), Err(Error::OtherContext { .. })));
    let page = other.device().allocate(4096, Placement::Sysmem).unwrap();
    let word = SharedWord::new(&page, 0).unwrap();
    assert!(matches!(tensor.use_until_word(&word.at(1)), Err(Error::OtherContext { .. })));
    assert!(tensor.use_until(&context.copy_queue().unwrap().queue().mark().unwrap()).is_ok());
}

/// Memory that somebody else has does not become another stream's; other memory does.
#[test]
fn shared_surfaces_are_not_used_again() {
    let (_, context) = machine();
    let frames = frames(&context);
    let geometry: SurfaceGeometry = *frames[0].surface().geometry();
    let mut unshared = Vec::new();
    for (number, frame) in frames.iter().enumerate() {
        frame.status().unwrap();
        match number % 2 {
            0 => drop(frame.surface().buffer().export().unwrap()),
            _ => unshared.push(frame.surface().buffer().gpu_address()),
        }
    }
    let count = frames.len();
    drop(frames);
    let again: Vec<_> = (0..count).map(|_| context.surface(geometry).unwrap()).collect();
    assert!(again.iter().all(|surface| !surface.buffer().is_shared()));
    assert!(again.iter().any(|surface| unshared.contains(&surface.buffer().gpu_address())), "none was kept");
}
