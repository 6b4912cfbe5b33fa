//! Conversions that are submitted several at a time: how many submissions that takes, on which queues, and what is left of a group
//! when something goes wrong.

use std::sync::Arc;
use std::time::Duration;

use hcq::kernel::emulated::{Call, EmulatedKernel, Failure, LaunchFault};
use hcq::{ComputeQueue, EngineKind, EngineType, Placement, SharedWord, SyncPoint};
use nvdec::tensor::{Converter, Tensor, TensorPicture, TensorPool, TensorSpec};
use nvdec::{Codec, Context, Decoder, DecoderOptions, Error, Frame, Mode, Units};
use nvkernel_sys::class::HOPPER_COMPUTE_A;
use nvkernel_sys::status::RmStatus;

use crate::support::stream;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(50);
/// It has ten pictures.
const STREAM: &str = "h_ld_b";

struct Machine {
    kernel: EmulatedKernel,
    context: Arc<Context>,
    graphics: EngineType,
}

impl Machine {
    fn new() -> Machine {
        let kernel = nvdec::emulated::h200().unwrap();
        let context = Context::new(hcq::Device::open(Arc::new(kernel.clone()), 0).unwrap()).unwrap();
        let graphics = context.device().engines_of(EngineKind::Graphics).unwrap()[0];
        Machine { kernel, context, graphics }
    }

    fn pool(&self, pictures: usize, tensors: usize) -> TensorPool {
        TensorPool::new(&self.context, &TensorSpec::new().size(32, 24), pictures, tensors).unwrap()
    }

    fn converter(&self) -> Converter {
        Converter::new(&self.context, &TensorSpec::new().size(32, 24)).unwrap()
    }

    /// Frames that one engine decodes.
    fn frames_of(&self, engine: EngineType) -> Vec<Frame> {
        let stream = stream(STREAM);
        let options = DecoderOptions::on(engine).with_held_frames(64);
        let decoder = Decoder::new(&self.context, Codec::Hevc, options).unwrap();
        decoder.into_frames(Units::new(&stream)).map(Result::unwrap).collect()
    }

    /// Frames that are decoded.
    fn frames(&self) -> Vec<Frame> {
        let frames = self.frames_of(self.context.engines()[0]);
        decoded(&frames);
        frames
    }

    /// Frames that the first `engines` engines decode in turn, and that are not decoded before those go on.
    fn frames_to_come(&self, engines: usize) -> Vec<Frame> {
        let engines = &self.context.engines()[..engines];
        engines.iter().for_each(|engine| self.kernel.faults().stall(0, *engine));
        let all: Vec<_> = engines.iter().map(|engine| self.frames_of(*engine)).collect();
        (0..all[0].len()).map(|at| all[at % all.len()][at].clone()).collect()
    }

    fn go_on(&self) {
        self.context.engines().iter().for_each(|engine| self.kernel.faults().resume(0, *engine));
    }

    /// Submissions so far to the queue for what is decoded.
    fn submissions(&self) -> u64 {
        self.context.compute_queue().unwrap().queue().last_point().value()
    }
}

/// The elements of each of the stream's pictures, made one by one.
fn exact() -> Vec<Vec<u8>> {
    let machine = Machine::new();
    let pool = machine.pool(1, 1);
    machine
        .frames()
        .iter()
        .map(|frame| tensor(&pool, std::slice::from_ref(frame)).to_host().unwrap())
        .collect()
}

fn tensor(pool: &TensorPool, frames: &[Frame]) -> Tensor {
    let mut tensor = pool.begin(&frames[0]).unwrap();
    for frame in frames {
        assert!(tensor.push(frame).unwrap());
    }
    tensor.finish().unwrap()
}

/// Waits until they are.
fn decoded(frames: &[Frame]) {
    assert!(frames.iter().all(|frame| frame.status().is_ok()));
}

fn lies_on(point: &SyncPoint, queue: &ComputeQueue) -> bool {
    Arc::ptr_eq(point.timeline(), queue.timeline())
}

#[test]
fn eight_pictures_are_two_submissions() {
    let (machine, expected) = (Machine::new(), exact());
    let frames = machine.frames();
    let pool = machine.pool(8, 1);
    let before = machine.submissions();
    let mut tensor = pool.begin(&frames[0]).unwrap();
    for (frame, submissions) in frames.iter().zip([0, 0, 0, 1, 1, 1, 1, 2]) {
        assert!(tensor.push(frame).unwrap());
        assert_eq!(machine.submissions() - before, submissions);
    }
    assert!(tensor.is_full() && !tensor.push(&frames[8]).unwrap());
    let tensor = tensor.finish().unwrap();
    assert_eq!(machine.submissions() - before, 2);
    assert_eq!(tensor.to_host().unwrap(), expected[..8].concat());
    assert_eq!(tensor.pictures().len(), 8);
}

#[test]
fn as_many_as_there_are() {
    let (machine, expected) = (Machine::new(), exact());
    let frames = machine.frames();
    for (pictures, added, pushed, finished) in [(8, 3, 0, 1), (8, 5, 1, 2), (5, 5, 2, 2), (3, 3, 1, 1)] {
        let pool = machine.pool(pictures, 1);
        let before = machine.submissions();
        let mut tensor = pool.begin(&frames[0]).unwrap();
        for frame in &frames[..added] {
            assert!(tensor.push(frame).unwrap());
        }
        assert_eq!(machine.submissions() - before, pushed, "{added} of {pictures}");
        let tensor = tensor.finish().unwrap();
        assert_eq!(machine.submissions() - before, finished, "{added} of {pictures}");
        assert_eq!(tensor.to_host().unwrap(), expected[..added].concat());
    }
    // A tensor without a picture waits for nothing.
    let none = machine.pool(8, 1).begin(&frames[0]).unwrap().finish().unwrap();
    assert!(none.ready().is_empty() && none.pictures().is_empty());
}

/// Who wants a picture at once has it submitted by itself, and who adds nothing for a time can say so.
#[test]
fn nothing_is_kept_back_from_those_who_wait() {
    let (machine, expected) = (Machine::new(), exact());
    let frames = machine.frames();
    let pool = machine.pool(1, 10);
    let before = machine.submissions();
    for (frame, at) in frames.iter().zip(1..) {
        let mut tensor = pool.begin(frame).unwrap();
        tensor.push(frame).unwrap();
        assert_eq!(machine.submissions() - before, at);
    }
    let pool = machine.pool(8, 1);
    let before = machine.submissions();
    let mut tensor = pool.begin(&frames[0]).unwrap();
    assert!(!tensor.submit().unwrap());
    for (frame, at) in frames[..6].iter().zip(1..) {
        tensor.push(frame).unwrap();
        if at % 3 == 0 {
            assert!(tensor.submit().unwrap() && !tensor.submit().unwrap());
            assert_eq!(machine.submissions() - before, at / 3);
        }
    }
    assert_eq!(tensor.finish().unwrap().to_host().unwrap(), expected[..6].concat());
}

/// Groups that wait for several engines stand in a queue of their own until all have one, and wait for their pictures there.
#[test]
fn groups_take_queues_in_turn() {
    let (machine, expected) = (Machine::new(), exact());
    let frames = machine.frames_to_come(3);
    let pool = machine.pool(4, 8);
    // Each of its groups waits for three engines.
    let tensors: Vec<_> = (0..7).map(|at| tensor(&pool, &frames[at % 5..at % 5 + 4])).collect();
    let queue = |tensor: &Tensor| tensor.ready()[0].timeline().clone();
    assert!(tensors.iter().all(|tensor| tensor.ready().len() == 1));
    for (at, tensor) in tensors.iter().enumerate() {
        for (other, before) in tensors[..at].iter().enumerate() {
            let is_same = Arc::ptr_eq(&queue(tensor), &queue(before));
            assert_eq!(is_same, at % 3 == other % 3, "{at} and {other}");
        }
    }
    std::thread::sleep(SHORT);
    assert!(tensors.iter().all(|tensor| !tensor.ready()[0].is_reached()), "before its pictures were there");
    machine.go_on();
    for (at, tensor) in tensors.iter().enumerate() {
        assert_eq!(tensor.to_host().unwrap(), expected[at % 5..at % 5 + 4].concat(), "{at}");
    }
}

/// A stream on one engine has one queue behind that, and none behind others.
#[test]
fn one_engine_takes_one_queue() {
    let (machine, expected) = (Machine::new(), exact());
    let frames = machine.frames_to_come(1);
    let pool = machine.pool(4, 2);
    let tensors = [tensor(&pool, &frames[..4]), tensor(&pool, &frames[4..8])];
    let [first, second] = tensors.each_ref().map(|tensor| tensor.ready()[0].timeline().clone());
    assert!(Arc::ptr_eq(&first, &second));
    assert!(!lies_on(&tensors[0].ready()[0], &machine.context.compute_queue().unwrap()));
    machine.go_on();
    assert_eq!(tensors.map(|tensor| tensor.to_host().unwrap()).concat(), expected[..8].concat());
}

/// What could not be submitted is not added, and what was added before is still there.
#[test]
fn a_group_that_cannot_be_submitted() {
    let (machine, expected) = (Machine::new(), exact());
    let frames = machine.frames();
    let to_come = machine.frames_to_come(1);
    let pool = machine.pool(8, 1);
    let fail = || {
        let failure = Failure::Status(RmStatus::NV_ERR_INVALID_STATE);
        machine.kernel.faults().fail_call(Call::Alloc(HOPPER_COMPUTE_A), 0, failure);
    };
    let mut tensor = pool.begin(&frames[0]).unwrap();
    for frame in &frames[..4] {
        assert!(tensor.push(frame).unwrap());
    }
    for frame in &to_come[4..7] {
        assert!(tensor.push(frame).unwrap());
    }
    // The queue behind the engine is still to be made.
    fail();
    assert!(matches!(tensor.push(&to_come[7]), Err(Error::Gpu(_))));
    assert_eq!((tensor.len(), machine.kernel.faults().pending_calls()), (7, 0));
    fail();
    assert!(matches!(tensor.submit(), Err(Error::Gpu(_))));
    assert_eq!(tensor.len(), 7);
    assert!(tensor.push(&to_come[7]).unwrap() && tensor.is_full());
    machine.go_on();
    assert_eq!(tensor.finish().unwrap().to_host().unwrap(), expected[..8].concat());
}

/// There is no tensor with pictures that were not converted.
#[test]
fn a_tensor_that_cannot_be_finished() {
    let (machine, expected) = (Machine::new(), exact());
    let frames = machine.frames();
    let pool = machine.pool(8, 1);
    let mut lost = pool.begin(&frames[0]).unwrap();
    lost.push(&frames[0]).unwrap();
    let failure = Failure::Status(RmStatus::NV_ERR_INVALID_STATE);
    machine.kernel.faults().fail_call(Call::Alloc(HOPPER_COMPUTE_A), 0, failure);
    assert!(matches!(lost.finish(), Err(Error::Gpu(_))));
    // Its memory is there for the next one.
    assert_eq!(tensor(&pool, &frames[..8]).to_host().unwrap(), expected[..8].concat());
}

/// A frame of another GPU is refused by itself, and not with the group that it would stand in.
#[test]
fn a_frame_of_another_device() {
    let (machine, other, expected) = (Machine::new(), Machine::new(), exact());
    let (frames, foreign) = (machine.frames(), other.frames());
    let pool = machine.pool(4, 1);
    let mut tensor = pool.begin(&frames[0]).unwrap();
    for frame in &frames[..4] {
        assert!(matches!(tensor.push(&foreign[0]), Err(Error::OtherContext { .. })));
        assert!(tensor.push(frame).unwrap());
    }
    assert_eq!(tensor.finish().unwrap().to_host().unwrap(), expected[..4].concat());
}

/// A builder that goes early converts nothing more, gives its surfaces back, and its memory waits for what was submitted.
#[test]
fn a_builder_that_is_dropped_between_groups() {
    let (machine, expected) = (Machine::new(), exact());
    let frames = machine.frames();
    let pool = machine.pool(8, 1);
    machine.kernel.faults().stall(0, machine.graphics);
    let before = machine.submissions();
    let mut dropped = pool.begin(&frames[0]).unwrap();
    for frame in &frames[..6] {
        dropped.push(frame).unwrap();
    }
    assert!(matches!(pool.begin(&frames[0]), Err(Error::TensorsHeld { .. })));
    drop(dropped);
    assert_eq!(machine.submissions() - before, 1);
    let pending = |frame: &Frame| frame.surface().pending().len();
    assert_eq!(frames.iter().map(pending).collect::<Vec<_>>(), [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]);
    // On another queue, which would be free.
    let to_come = machine.frames_to_come(2);
    let tensor = tensor(&pool, &to_come[..8]);
    machine.go_on();
    decoded(&to_come);
    machine.kernel.faults().resume(0, machine.graphics);
    assert_eq!(tensor.to_host().unwrap(), expected[..8].concat());
}

/// Every group waits for those who read the memory, whichever queue it is on.
#[test]
fn each_group_waits_for_readers() {
    let (machine, expected) = (Machine::new(), exact());
    let frames = machine.frames();
    let pool = machine.pool(8, 1);
    let first = tensor(&pool, &frames[..8]);
    first.wait().unwrap();
    let page = machine.context.device().allocate(4096, Placement::Sysmem).unwrap();
    page.view().unwrap().fill(0, 4096, 0);
    let word = SharedWord::new(&page, 0).unwrap();
    first.use_until_word(&word.at(1)).unwrap();
    // Their surfaces are cleared by the queue that is to stand still.
    let to_come = machine.frames_to_come(2);
    let copies = machine.context.copy_queue().unwrap();
    copies.queue().mark().unwrap().wait(LONG).unwrap();
    machine.kernel.faults().stall(0, copies.queue().engine());
    let read = copies.queue().mark().unwrap();
    first.use_until(&read).unwrap();
    drop(first);
    let mut second = pool.begin(&frames[0]).unwrap();
    for frame in frames[..4].iter().chain(&to_come[4..8]) {
        assert!(second.push(frame).unwrap());
    }
    let second = second.finish().unwrap();
    machine.go_on();
    decoded(&to_come);
    assert_eq!(second.ready().len(), 2, "two queues");
    let is_written = || second.ready().iter().any(SyncPoint::is_reached);
    std::thread::sleep(SHORT);
    assert!(!is_written(), "before a queue was done");
    machine.kernel.faults().resume(0, copies.queue().engine());
    read.wait(LONG).unwrap();
    std::thread::sleep(SHORT);
    assert!(!is_written(), "before another program was done");
    word.store(1).unwrap();
    assert_eq!(second.to_host().unwrap(), expected[..8].concat());
}

/// A channel that dies of one launch takes its group along, and the tensor with it. The groups behind come out on another one.
#[test]
fn a_compute_channel_dies_in_a_group() {
    let (machine, expected) = (Machine::new(), exact());
    let frames = machine.frames();
    let pool = machine.pool(8, 2);
    assert_eq!(tensor(&pool, &frames[..8]).to_host().unwrap(), expected[..8].concat());
    // In the first group and in the second one, in the first launch and in another.
    for pass in [0, 2, 4, 7] {
        for fault in [LaunchFault::Mmu { address: 0x1234_0000 }, LaunchFault::Engine] {
            machine.kernel.faults().fault_launch(0, machine.graphics, pass, fault);
            let lost = tensor(&pool, &frames[..8]);
            let error = lost.wait().unwrap_err();
            assert!(matches!(error, Error::Gpu(hcq::Error::ChannelFault { .. })), "{error}");
            assert!(lost.to_host().is_err());
            drop(lost);
            assert_eq!(tensor(&pool, &frames[..8]).to_host().unwrap(), expected[..8].concat());
        }
    }
}

/// One that died before a group is submitted is replaced, and the group is none the wiser.
#[test]
fn a_compute_channel_that_is_dead_already() {
    let (machine, expected) = (Machine::new(), exact());
    let frames = machine.frames();
    let to_come = machine.frames_to_come(2);
    let pool = machine.pool(8, 2);
    let behind = tensor(&pool, &to_come[..8]);
    machine.kernel.faults().fault_next_launch(0, machine.graphics, LaunchFault::Engine);
    machine.go_on();
    assert!(behind.wait().is_err());
    drop(behind);
    let again = machine.frames_to_come(2);
    let tensors = [tensor(&pool, &again[..8]), tensor(&pool, &frames[..8])];
    machine.go_on();
    for tensor in tensors {
        assert_eq!(tensor.to_host().unwrap(), expected[..8].concat());
    }
}

/// Surfaces of frames that wait for others of their group are given back when the decoder has no other.
#[test]
fn no_surface_is_taken_for_a_group() {
    let (machine, expected) = (Machine::new(), exact());
    let stream = stream(STREAM);
    let options =
        DecoderOptions::on(machine.context.engines()[0]).with_mode(Mode::LowLatency).with_held_frames(0);
    let decoder = || Decoder::new(&machine.context, Codec::Hevc, options).unwrap();
    let mut alone = decoder().into_frames(Units::new(&stream));
    assert_eq!(alone.by_ref().map(Result::unwrap).count(), expected.len());
    let mut tensors = decoder().into_frames(Units::new(&stream)).into_tensors(&machine.pool(64, 1));
    let all = tensors.next().unwrap().unwrap();
    assert_eq!(tensors.frames().decoder().surfaces(), alone.decoder().surfaces());
    assert!(tensors.next().is_none());
    assert_eq!(all.to_host().unwrap(), expected.concat());
}

/// Frames go to places in memory of the caller's four at a time, in any order, one of them to two places.
#[test]
fn places_of_the_caller() {
    let (machine, expected) = (Machine::new(), exact());
    let (frames, converter) = (machine.frames(), machine.converter());
    let bytes = converter.shape_of(&frames[0]).unwrap().bytes();
    let target = machine.context.allocate(6 * bytes, Placement::Sysmem).unwrap();
    let before = machine.submissions();
    let mut conversions = converter.conversions(&target, &[]);
    let order = [(5, 0), (0, 1), (3, 2), (1, 1), (2, 4), (4, 3)];
    for ((place, number), submissions) in order.into_iter().zip([0, 0, 0, 1, 1, 1]) {
        conversions.push(place, &frames[number]).unwrap();
        assert_eq!(machine.submissions() - before, submissions);
        assert_eq!(conversions.ready().len() as u64, submissions);
    }
    let beyond = conversions.push(6, &frames[5]);
    assert!(matches!(beyond, Err(Error::Gpu(hcq::Error::TooLarge { .. }))));
    let foreign = Machine::new().frames();
    assert!(matches!(conversions.push(0, &foreign[0]), Err(Error::OtherContext { .. })));
    assert!(conversions.submit().unwrap() && !conversions.submit().unwrap());
    assert_eq!((machine.submissions() - before, conversions.ready().len()), (2, 1), "one queue");
    conversions.ready().iter().for_each(|point| point.wait(LONG).unwrap());
    let mut elements = vec![0; target.size() as usize];
    target.view().unwrap().copy_out(0, &mut elements);
    assert_eq!(elements, [1, 1, 4, 2, 3, 0].map(|number| expected[number].clone()).concat());
}

/// What failed is tried again; what was submitted before is known all the same.
#[test]
fn conversions_that_cannot_be_submitted() {
    let (machine, expected) = (Machine::new(), exact());
    let (frames, to_come) = (machine.frames(), machine.frames_to_come(1));
    let converter = machine.converter();
    let bytes = converter.shape_of(&frames[0]).unwrap().bytes();
    let target = machine.context.allocate(8 * bytes, Placement::Sysmem).unwrap();
    let mut conversions = converter.conversions(&target, &[]);
    frames[..4].iter().enumerate().for_each(|(place, frame)| conversions.push(place, frame).unwrap());
    (4..).zip(&to_come[4..7]).for_each(|(place, frame)| conversions.push(place, frame).unwrap());
    let failure = Failure::Status(RmStatus::NV_ERR_INVALID_STATE);
    machine.kernel.faults().fail_call(Call::Alloc(HOPPER_COMPUTE_A), 0, failure);
    assert!(matches!(conversions.push(7, &to_come[7]), Err(Error::Gpu(_))));
    assert_eq!(conversions.ready().len(), 1);
    assert!(conversions.submit().unwrap());
    machine.go_on();
    conversions.ready().iter().for_each(|point| point.wait(LONG).unwrap());
    let mut elements = vec![0; target.size() as usize];
    target.view().unwrap().copy_out(0, &mut elements);
    assert_eq!(elements, expected[..8].concat());
}

/// Conversions wait for those who use the memory, and those that are dropped leave the surfaces alone.
#[test]
fn conversions_that_are_dropped() {
    let machine = Machine::new();
    let (frames, converter) = (machine.frames(), machine.converter());
    let bytes = converter.shape_of(&frames[0]).unwrap().bytes();
    let target = machine.context.allocate(8 * bytes, Placement::Sysmem).unwrap();
    let engine = machine.context.engines()[0];
    machine.kernel.faults().stall(0, engine);
    let user = machine.frames_of(engine)[0].ready().clone();
    let mut conversions = converter.conversions(&target, &[user]);
    frames[..6].iter().enumerate().for_each(|(place, frame)| conversions.push(place, frame).unwrap());
    let [point] = conversions.ready() else { panic!("one submission") };
    assert!(point.wait(SHORT).is_err(), "the memory is in use");
    let point = point.clone();
    drop(conversions);
    let pending = |frame: &Frame| frame.surface().pending().len();
    assert_eq!(frames.iter().map(pending).collect::<Vec<_>>(), [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]);
    machine.kernel.faults().resume(0, engine);
    point.wait(LONG).unwrap();
}

#[test]
fn pictures_are_waited_for_together() {
    let machine = Machine::new();
    let frames = machine.frames_to_come(3);
    let pictures: Vec<TensorPicture> = frames.iter().map(TensorPicture::new).collect();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| TensorPicture::wait_all(&pictures).unwrap());
        std::thread::sleep(SHORT);
        assert!(!waiting.is_finished());
        machine.go_on();
    });
    assert!(frames.iter().all(|frame| frame.ready().is_reached()));
    assert!(pictures.iter().all(|picture| picture.integrity().unwrap().is_exact()));
}
