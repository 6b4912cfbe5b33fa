use nvkernel_sys::class;

use super::*;
use crate::kernel::emulated::{EmulatedKernel, GpuModel};
use crate::profile::Span;
use crate::{CopyCommands, CopyQueue};

const LONG: Duration = Duration::from_secs(60);

fn device() -> Device {
    Device::open(Arc::new(EmulatedKernel::new(GpuModel::h200()).unwrap()), 0).unwrap()
}

fn video_queue(device: &Device) -> Arc<Queue> {
    let engine = device.engines_of(EngineKind::Nvdec).unwrap()[0];
    let class = device.pick_class("video", class::VIDEO_DECODER_CLASSES).unwrap();
    Queue::new(device, engine, class).unwrap()
}

/// The words of the last submission, from the memory that the engine reads.
fn words(queue: &Queue, before: u64) -> Vec<u32> {
    let state = queue.lock();
    let view = queue.push.view().unwrap();
    let start = state.inflight.back().map_or(before, |last| last.start);
    (start..state.head).step_by(4).map(|at| view.load((at % PUSH_BYTES) as usize)).collect()
}

fn submit(queue: &Queue, commands: &PushBuffer) -> (SyncPoint, Vec<u32>) {
    let head = queue.lock().head;
    // SAFETY: the commands of these tests name no address.
    let point = unsafe { queue.submit(&[], commands, Vec::new()) }.unwrap();
    let words = words(queue, head);
    point.wait(LONG).unwrap();
    (point, words)
}

#[test]
fn words_of_a_stamp() {
    let words = |kind| {
        let mut pb = PushBuffer::new();
        release(&mut pb, kind, 0x12_3456_7890, 7, Wake::Nobody);
        pb.words().to_vec()
    };
    // Incrementing, count 3, subchannel 4, SEMAPHORE_A to C; SEMAPHORE_D: release, four words, no AWAKEN.
    assert_eq!(words(EngineKind::Nvdec), [0x2003_8090, 0x12, 0x3456_7890, 7, 0x2001_80c1, 1]);
    // SET_SEMAPHORE_A, B and payload; LAUNCH_DMA: no transfer, flush, four words, no interrupt.
    assert_eq!(words(EngineKind::Copy), [0x2003_8090, 0x12, 0x3456_7890, 7, 0x2001_80c0, 0x14]);
    // Host: SEM_ADDR_LO to SEM_PAYLOAD_HI, SEM_EXECUTE: release, wait for idle, time stamp.
    assert_eq!(words(EngineKind::Graphics), [0x2005_0017, 0x3456_7890, 0x12, 7, 0, 0x0210_0001]);
}

/// A pair of stamps around the commands is all that profiling adds; off again, nothing is left of it.
#[test]
fn what_profiling_adds() {
    let device = device();
    let queue = video_queue(&device);
    let mut commands = PushBuffer::new();
    commands.method(SUBCHANNEL_ENGINE, video::SET_APPLICATION_ID, video::APPLICATION_ID_HEVC);
    submit(&queue, &commands); // binds the class
    let (_, plain) = submit(&queue, &commands);
    let profiler = Profiler::new(&device);
    queue.profile(Some(profiler.clone()));
    let (point, profiled) = submit(&queue, &commands);
    queue.profile(None);
    let (_, after) = submit(&queue, &commands);

    let (high, low) = ((queue.timeline.gpu_address() >> 32) as u32, queue.timeline.gpu_address() as u32);
    let release = |high, low, value| [0x2003_8090, high, low, value, 0x2001_80c1, 1];
    assert_eq!(plain, [&[0x2001_8080, 7][..], &release(high, low, 2)].concat());
    assert_eq!(after, [&[0x2001_8080, 7][..], &release(high, low, 4)].concat());
    let (stamps_high, stamps_low) = (profiled[1], profiled[2]);
    let expected = [
        &release(stamps_high, stamps_low, 3)[..],
        &plain[..2],
        &release(stamps_high, stamps_low + SEMAPHORE_BYTES as u32, 3),
        &release(high, low, 3),
    ];
    assert_eq!(profiled, expected.concat());

    let spans = profiler.take();
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].point.value(), point.value());
    assert!(spans[0].begin > 0 && spans[0].begin <= spans[0].end);
    assert!(profiler.take().is_empty(), "it was taken");
}

#[test]
fn one_profiler_serves_many_queues_and_uses_its_memory_again() {
    let device = device();
    let (video, copy) = (video_queue(&device), CopyQueue::new(&device, None).unwrap());
    let profiler = Profiler::new(&device);
    video.profile(Some(profiler.clone()));
    copy.queue().profile(Some(profiler.clone()));
    let target = device.allocate(1 << 16, Placement::Vidmem).unwrap();
    let mut commands = PushBuffer::new();
    commands.method(SUBCHANNEL_ENGINE, video::SET_APPLICATION_ID, video::APPLICATION_ID_HEVC);
    let (before, mut spans) = (device.timestamp().unwrap(), Vec::new());
    let mut free = 0;
    for round in 0..300 {
        submit(&video, &commands);
        let mut fill = CopyCommands::new();
        fill.fill(&target, round).unwrap();
        copy.submit(&[], fill).unwrap().wait(LONG).unwrap();
        if round % 50 == 49 {
            spans.extend(profiler.take());
            free = free.max(profiler.unused());
        }
    }
    assert!(free <= 128, "{free} places for two submissions at a time");
    let after = device.timestamp().unwrap();
    for queue in [&video, copy.queue()] {
        let of = spans.iter().filter(|span| Arc::ptr_eq(span.point.timeline(), queue.timeline()));
        let of: Vec<&Span> = of.collect();
        assert!(of.iter().map(|span| span.point.value()).eq(1..=300));
        assert!(of.windows(2).all(|pair| pair[0].end <= pair[1].begin), "one after another");
        assert!(of[0].begin >= before && of[299].end <= after, "by the clock of the device");
    }
}

/// What a dead channel did not execute has no times, although its timeline passes for complete.
#[test]
fn a_dead_channel_leaves_no_span() {
    let device = device();
    let queue = video_queue(&device);
    let profiler = Profiler::new(&device);
    queue.profile(Some(profiler.clone()));
    let mut commands = PushBuffer::new();
    commands.method(SUBCHANNEL_ENGINE, video::EXECUTE, 0); // no decoder is attached
    // SAFETY: the commands name no address.
    let point = unsafe { queue.submit(&[], &commands, Vec::new()) }.unwrap();
    assert!(matches!(point.wait(LONG), Err(Error::ChannelFault { .. })));
    assert!(point.is_reached());
    assert!(profiler.take().is_empty());
}
