//! Values that others see, in order, and also when work is lost.

use nvdec::hcq::Device;
use nvdec::hcq::kernel::emulated::{EmulatedKernel, LaunchFault};
use nvdec::{Downloader, TensorSpec};

use super::*;
use crate::batch::Batch;
use crate::types::{nvdec_decoder_options, nvdec_video_options};
use crate::video::{Opened, Place};

const LONG: Duration = Duration::from_secs(60);

fn machine() -> (EmulatedKernel, Arc<Shared>) {
    let kernel = nvdec::emulated::h200().unwrap();
    let context = Context::new(Device::open(Arc::new(kernel.clone()), 0).unwrap()).unwrap();
    let downloader = Downloader::new(&context);
    (kernel, Arc::new(Shared { context, downloader }))
}

fn video(shared: &Arc<Shared>) -> Opened {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../containers/tests/data/plain.mp4");
    let decoder = nvdec_decoder_options {
        size: 0,
        engines: 0,
        least_busy: 0,
        mode: 0,
        policy: 0,
        start: 0,
        held_frames: 0,
        max_luma_samples: 0,
    };
    let options = nvdec_video_options {
        size: 0,
        has_track: 0,
        track: 0,
        index: std::ptr::null(),
        index_size: 0,
        decoder: std::ptr::null(),
    };
    Opened::open(shared.clone(), Place::File(path.as_bytes()), &options, &decoder, &[]).unwrap()
}

fn read(video: &mut Opened, number: usize) -> Batch {
    video.read(&"size=32x32".parse::<TensorSpec>().unwrap(), &[number]).unwrap()
}

/// As another client of the GPU sees it.
fn imported(shared: &Shared, semaphore: &Semaphore) -> SharedWord {
    let (told, fd) = semaphore.export().unwrap();
    assert_eq!((told.bytes, told.offset % 16), (16, 0));
    let memory = shared.context.device().import(&fd, Some(told.allocation)).unwrap();
    SharedWord::new(&memory, told.offset).unwrap()
}

#[test]
fn a_value_comes_when_the_batch_is_there() {
    let (kernel, shared) = machine();
    let semaphore = Semaphore::new(&shared).unwrap();
    let word = imported(&shared, &semaphore);
    let mut video = video(&shared);
    let engines = shared.context.engines();
    engines.iter().for_each(|&engine| kernel.faults().stall(0, engine));

    let mut first = read(&mut video, 0);
    let mut second = read(&mut video, 1);
    let values = [first.signal(&semaphore).unwrap(), second.signal(&semaphore).unwrap()];
    assert_eq!(values, [1, 2]);
    assert_eq!(word.load().unwrap(), 0, "the engines stand still");

    engines.iter().for_each(|&engine| kernel.faults().resume(0, engine));
    // What the other client waits for, and nobody else does.
    let queue = CopyQueue::new(shared.context.device(), None).unwrap();
    let waits = [word.at(2)];
    queue.queue().mark_with(&[], Outside { waits: &waits, signals: &[] }).unwrap().wait(LONG).unwrap();
    assert!(first.is_ready() && second.is_ready());
    first.wait().unwrap();
    second.wait().unwrap();
    assert_eq!((semaphore.value().unwrap(), word.load().unwrap()), (2, 2));
}

#[test]
fn who_waits_for_a_batch_that_was_lost_goes_on() {
    let (kernel, shared) = machine();
    let semaphore = Semaphore::new(&shared).unwrap();
    let word = imported(&shared, &semaphore);
    let mut video = video(&shared);
    let engine = lock(&semaphore.line).queue.queue().engine();

    let mut batch = read(&mut video, 0);
    batch.wait().unwrap();
    // The queue of the semaphore dies of something else, and the value that it was told to write is lost.
    kernel.faults().stall(0, engine);
    let mut commands = hcq::CopyCommands::new();
    let memory = shared.context.allocate(4096, Placement::Vidmem).unwrap();
    commands.fill(&memory, 1).unwrap();
    kernel.faults().fault_next_launch(0, engine, LaunchFault::Engine);
    lock(&semaphore.line).queue.submit(&[], &commands).unwrap();
    assert_eq!(batch.signal(&semaphore).unwrap(), 1);
    kernel.faults().resume(0, engine);
    let point = lock(&semaphore.line).last.clone().unwrap();
    assert!(matches!(point.wait(LONG), Err(hcq::Error::ChannelFault { .. })));
    assert_eq!(word.load().unwrap(), 0);
    batch.wait().unwrap();
    assert_eq!(word.load().unwrap(), 1, "the host wrote it");

    // The next has a queue that lives.
    let mut next = read(&mut video, 1);
    assert_eq!(next.signal(&semaphore).unwrap(), 2);
    next.wait().unwrap();
    assert_eq!(word.load().unwrap(), 2);
    // And is not written over by who asks late.
    batch.wait().unwrap();
    assert_eq!(word.load().unwrap(), 2);
}

#[test]
fn no_value_comes_before_a_batch_that_is_late() {
    let (kernel, shared) = machine();
    let semaphore = Semaphore::new(&shared).unwrap();
    let word = imported(&shared, &semaphore);
    let mut video = video(&shared);
    let engine = lock(&semaphore.line).queue.queue().engine();
    let decoding = shared.context.engines();

    let mut first = read(&mut video, 0);
    first.wait().unwrap();
    decoding.iter().for_each(|&engine| kernel.faults().stall(0, engine));
    let mut late = read(&mut video, 1);
    // The queue of the semaphore dies with two values that it was to write. It is reset, and no launch made to fail: copies of the
    // decoder may be on the same engine.
    kernel.faults().stall(0, engine);
    assert_eq!((first.signal(&semaphore).unwrap(), late.signal(&semaphore).unwrap()), (1, 2));
    lock(&semaphore.line).queue.queue().reset().unwrap();
    kernel.faults().resume(0, engine);
    first.wait().unwrap();
    assert_eq!(word.load().unwrap(), 1, "the second batch is not there");

    // On a queue of its own, a larger value stands for those of the dead one.
    assert_eq!(first.signal(&semaphore).unwrap(), 3);
    let point = lock(&semaphore.line).last.clone().unwrap();
    assert!(matches!(point.wait(Duration::from_millis(100)), Err(hcq::Error::Timeout { .. })));
    assert_eq!(word.load().unwrap(), 1);

    decoding.iter().for_each(|&engine| kernel.faults().resume(0, engine));
    late.wait().unwrap();
    first.wait().unwrap();
    assert_eq!(word.load().unwrap(), 3);
}

#[test]
fn what_is_exported_has_nothing_else_in_it() {
    let (_kernel, shared) = machine();
    // Memory that was used before.
    let used = shared.context.allocate(4096, Placement::Sysmem).unwrap();
    used.view().unwrap().fill(0, 4096, 0xa5);
    drop(used);
    let semaphore = Semaphore::new(&shared).unwrap();
    let (told, fd) = semaphore.export().unwrap();
    let memory = shared.context.device().import(&fd, Some(told.allocation)).unwrap();
    let mut bytes = vec![1; told.allocation as usize];
    memory.view().unwrap().copy_out(0, &mut bytes);
    assert!(bytes.iter().all(|&byte| byte == 0));
}
