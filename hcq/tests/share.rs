//! Memory that several devices work with, as several processes would: the model answers both.
#![forbid(unsafe_code)]

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use hcq::kernel::emulated::{Call, EmulatedKernel, Failure, GpuModel, LaunchFault, Usage};
use hcq::{
    AwaitedWord, CopyCommands, CopyQueue, Device, DeviceBuffer, Error, KernelInterface, Node, Outside,
    Patience, Placement, SharedWord, WordPoint,
};
use nvkernel_sys::status::RmStatus;
use nvkernel_sys::{ctrl, ioctl};

const LONG: Duration = Duration::from_secs(60);
/// For what is known to be held up.
const SHORT: Patience = Patience::WithoutProgress(Duration::from_millis(20));

/// One GPU that two clients have opened.
fn two_clients() -> (EmulatedKernel, Device, Device) {
    let kernel = EmulatedKernel::new(GpuModel::h200()).unwrap();
    let [a, b] = [(); 2].map(|()| Device::open(Arc::new(kernel.clone()), 0).unwrap());
    (kernel, a, b)
}

fn fill(buffer: &DeviceBuffer, word: u32) -> CopyCommands {
    let mut commands = CopyCommands::new();
    commands.fill(buffer, word).unwrap();
    commands
}

fn copy(from: &DeviceBuffer, to: &DeviceBuffer) -> CopyCommands {
    let mut commands = CopyCommands::new();
    commands.copy(from, to).unwrap();
    commands
}

fn word(buffer: &DeviceBuffer, offset: usize) -> u32 {
    buffer.view().unwrap().load(offset)
}

fn waits(points: &[WordPoint]) -> Outside<'_> {
    Outside { waits: points, signals: &[] }
}

fn signals(points: &[WordPoint]) -> Outside<'_> {
    Outside { waits: &[], signals: points }
}

/// A word in memory of the first device, as both see it; 0.
fn shared_word(a: &Device, b: &Device) -> [SharedWord; 2] {
    let ours = a.allocate(4096, Placement::Sysmem).unwrap();
    let theirs = b.import(ours.export().unwrap().fd, None).unwrap();
    let words = [ours, theirs].map(|buffer| SharedWord::new(&buffer, 64).unwrap());
    words[0].store(0).unwrap();
    words
}

#[test]
fn both_see_what_either_writes() {
    let (_kernel, a, b) = two_clients();
    for (placement, size) in
        [(Placement::Vidmem, 4 << 20), (Placement::Vidmem, 65536), (Placement::Sysmem, 12288)]
    {
        let whole = a.allocate(size, placement).unwrap();
        assert!(!whole.is_shared());
        let exported = whole.slice(4096, 4096).export().unwrap();
        assert_eq!((exported.size, exported.offset, exported.length), (size, 4096, 4096), "{exported}");
        assert_eq!(exported.placement, placement);
        let theirs = b.import(&exported.fd, None).unwrap();
        assert_eq!((theirs.size(), theirs.placement()), (size, placement));
        assert!(theirs.gpu_address().is_multiple_of(2 << 20));
        assert!(whole.is_shared() && theirs.is_shared() && a.owns(&whole) && !a.owns(&theirs));

        let of_a = CopyQueue::new(&a, None).unwrap();
        let of_b = CopyQueue::new(&b, None).unwrap();
        of_a.submit(&[], fill(&whole, 0x1234_5678)).unwrap().wait(LONG).unwrap();
        assert_eq!(word(&theirs, size as usize - 4), 0x1234_5678);
        of_b.submit(&[], fill(&theirs.slice(4096, 4096), 7)).unwrap().wait(LONG).unwrap();
        assert_eq!([4092, 4096, 8188].map(|at| word(&whole, at)), [0x1234_5678, 7, 7]);
        theirs.view().unwrap().store(0, 9);
        assert_eq!(word(&whole, 0), 9);

        // What is imported twice is the same memory at two addresses.
        let again = b.import(exported.fd, Some(8192)).unwrap();
        assert!(again.size() == 8192 && !again.same_allocation(&theirs));
        assert_eq!((word(&again, 0), word(&again, 8188)), (9, 7));
    }
}

#[test]
fn it_lives_as_long_as_somebody_has_it() {
    let (kernel, a, b) = two_clients();
    let before = kernel.usage();
    // Who has it last: the exporter, the importer, the descriptor.
    for last in 0..3 {
        let ours = a.allocate(2 << 20, Placement::Vidmem).unwrap();
        ours.view().unwrap().store(0, 0x600d);
        let fd = ours.export().unwrap().fd;
        let theirs = b.import(&fd, None).unwrap();
        let (mut ours, mut theirs, mut fd) = (Some(ours), Some(theirs), Some(fd));
        if last != 0 {
            ours = None;
        }
        if last != 1 {
            theirs = None;
        }
        if last != 2 {
            fd = None;
        }
        assert_eq!(kernel.usage().vidmem - before.vidmem, 2 << 20);
        for buffer in ours.iter().chain(&theirs) {
            assert_eq!(word(buffer, 0), 0x600d);
        }
        if let Some(fd) = &fd {
            assert_eq!(word(&b.import(fd, None).unwrap(), 0), 0x600d);
        }
        drop((ours, theirs, fd));
        assert_eq!(kernel.usage(), before);
    }
    // One of the clients ends altogether.
    let ours = a.allocate(2 << 20, Placement::Vidmem).unwrap();
    let theirs = b.import(ours.export().unwrap().fd, None).unwrap();
    drop((a, ours));
    theirs.view().unwrap().store(0, 1);
    drop((b, theirs));
    assert_eq!(kernel.usage(), Usage::default());
}

/// An import that a queue works with stays mapped until that is over, as any other memory.
#[test]
fn an_import_in_use_is_not_freed() {
    let (kernel, a, b) = two_clients();
    let ours = a.allocate(65536, Placement::Vidmem).unwrap();
    ours.view().unwrap().store(0, 0);
    let theirs = b.import(ours.export().unwrap().fd, None).unwrap();
    let queue = CopyQueue::new(&b, None).unwrap();
    let mappings = kernel.usage().mappings;
    kernel.faults().stall(0, queue.queue().engine());
    let point = queue.submit(&[], fill(&theirs, 5)).unwrap();
    drop(theirs);
    b.reclaim();
    assert_eq!(kernel.usage().mappings, mappings);
    kernel.faults().resume(0, queue.queue().engine());
    point.wait(LONG).unwrap();
    b.reclaim();
    assert_eq!((kernel.usage().mappings, word(&ours, 65532)), (mappings - 1, 5));
}

#[test]
fn what_is_not_to_be_shared_is_refused() {
    let (_kernel, a, b) = two_clients();
    let refused = |buffer: &DeviceBuffer| {
        let errors = [buffer.export().unwrap_err(), buffer.export_dma_buf().unwrap_err()];
        assert!(errors.iter().all(|error| matches!(error, Error::NotShareable { .. })), "{errors:?}");
        assert!(!buffer.is_shared() || !a.owns(buffer));
    };
    let input = a.allocate_input(4096, 0).unwrap().freeze();
    refused(input.buffer());
    let ours = a.allocate(4096, Placement::Sysmem).unwrap();
    refused(&b.import(ours.export().unwrap().fd, None).unwrap());
}

#[test]
fn descriptors_of_other_things_are_refused() {
    let (kernel, a, b) = two_clients();
    let before = kernel.usage();
    let refused = |fd: &dyn AsFd| {
        let error = b.import(fd.as_fd(), None).unwrap_err();
        assert!(matches!(error, Error::NoSharedMemory { .. }), "{error}");
    };
    let (reader, writer) = std::io::pipe().unwrap();
    refused(&reader);
    refused(&writer);
    refused(&File::open("/dev/null").unwrap());
    refused(&File::open("/proc/self/exe").unwrap());
    refused(&std::os::unix::net::UnixStream::pair().unwrap().0);
    refused(&kernel.open(Node::Control).unwrap());
    refused(&kernel.open(Node::Gpu(0)).unwrap());
    let memory = a.allocate(65536, Placement::Vidmem).unwrap();
    // It keeps the memory, and neither side takes it back in.
    let dma_buf = memory.export_dma_buf().unwrap();
    assert!(memory.is_shared());
    refused(&dma_buf);
    drop(memory);
    assert_eq!(kernel.usage().vidmem - before.vidmem, 65536);
    drop(dma_buf);
    assert_eq!(kernel.usage(), before);
}

#[test]
fn another_gpu_is_told_apart() {
    let builder = EmulatedKernel::builder().gpu(GpuModel::h200()).gpu(GpuModel::h200());
    let kernel = builder.build().unwrap();
    let [a, b] = [0, 1].map(|index| Device::open(Arc::new(kernel.clone()), index).unwrap());
    let memory = a.allocate(65536, Placement::Vidmem).unwrap();
    let error = b.import(memory.export().unwrap().fd, None).unwrap_err();
    assert!(matches!(error, Error::OtherGpu { given: 0, wanted: 1 }), "{error}");
}

#[test]
fn failures_leave_nothing_behind() {
    let (kernel, a, b) = two_clients();
    let ours = a.allocate(65536, Placement::Vidmem).unwrap();
    let fd = ours.export().unwrap().fd;
    let before = kernel.usage();
    let error = b.import(&fd, Some(65537)).unwrap_err();
    assert!(matches!(error, Error::TooLarge { size: 65537, limit: 65536, .. }), "{error}");
    assert_eq!(kernel.usage(), before);

    let calls = [
        Call::Control(ctrl::NV0000_CTRL_CMD_OS_UNIX_GET_EXPORT_OBJECT_INFO.id),
        Call::Control(ctrl::NV0000_CTRL_CMD_OS_UNIX_IMPORT_OBJECT_FROM_FD.id),
        Call::Control(ctrl::NV0041_CTRL_CMD_GET_SURFACE_INFO.id),
        Call::Ioctl(ioctl::NV_ESC_RM_MAP_MEMORY_DMA),
    ];
    for call in calls {
        kernel.faults().fail_call(call, 0, Failure::Status(RmStatus::NV_ERR_NO_MEMORY));
        let error = b.import(&fd, None).unwrap_err();
        assert_eq!(error.rm_status(), Some(RmStatus::NV_ERR_NO_MEMORY), "{call:?}: {error}");
        assert_eq!(kernel.usage(), before, "{call:?}");
    }
    // A driver without the query imports all the same.
    kernel.faults().fail_call(calls[0], 0, Failure::Status(RmStatus::NV_ERR_NOT_SUPPORTED));
    let theirs = b.import(&fd, None).unwrap();
    kernel.faults().fail_call(
        Call::Ioctl(ioctl::NV_ESC_RM_MAP_MEMORY),
        0,
        Failure::Status(RmStatus::NV_ERR_NOT_SUPPORTED),
    );
    assert_eq!(theirs.view().unwrap_err().rm_status(), Some(RmStatus::NV_ERR_NOT_SUPPORTED));
    let queue = CopyQueue::new(&b, None).unwrap();
    queue.submit(&[], fill(&theirs, 3)).unwrap().wait(LONG).unwrap();
    assert_eq!(word(&ours, 0), 3, "engines need no view of the host");

    let export = Call::Control(ctrl::NV0000_CTRL_CMD_OS_UNIX_EXPORT_OBJECT_TO_FD.id);
    let before = kernel.usage();
    kernel.faults().fail_call(export, 0, Failure::Status(RmStatus::NV_ERR_NO_MEMORY));
    assert_eq!(ours.export().unwrap_err().rm_status(), Some(RmStatus::NV_ERR_NO_MEMORY));
    assert_eq!(kernel.usage(), before);
}

/// Data goes to and fro between queues of two clients, which know nothing of each other's timelines; the values of the
/// words pass the end of 32 bits.
#[test]
fn words_order_work_of_two_clients() {
    let (_kernel, a, b) = two_clients();
    let ours = a.allocate(65536, Placement::Vidmem).unwrap();
    let theirs = b.import(ours.export().unwrap().fd, None).unwrap();
    let size = 16384;
    let [of_a, of_b] = [(&a, &ours), (&b, &theirs)].map(|(device, shared)| {
        let queue = CopyQueue::new(device, None).unwrap();
        let words = [0, 4080].map(|at| SharedWord::new(shared, at).unwrap());
        let results = device.allocate(size, Placement::Sysmem).unwrap();
        (queue, words, shared.slice(4096, size), results)
    });
    let start = u32::MAX - 20;
    of_a.1.iter().for_each(|word| word.store(start).unwrap());
    let mut last = Vec::new();
    for round in 1..=40u32 {
        let value = start.wrapping_add(round);
        let (queue, [to, from], data, _) = &of_a;
        // Not before the other side is done with the last round.
        let (begin, end) = ([from.at(value.wrapping_sub(1))], [to.at(value)]);
        let outside = Outside { waits: &begin, signals: &end };
        last = vec![queue.submit_with(&[], outside, fill(data, round)).unwrap()];

        let (queue, [to, from], data, results) = &of_b;
        let line = results.slice(u64::from(round) * 256, 256);
        let (begin, end) = ([to.at(value)], [from.at(value)]);
        let mut commands = copy(&data.slice(size - 256, 256), &line);
        commands.copy(&data.slice(0, 128), &line.slice(0, 128)).unwrap();
        last.push(queue.submit_with(&[], Outside { waits: &begin, signals: &end }, commands).unwrap());
    }
    last.iter().for_each(|point| point.wait(LONG).unwrap());
    for round in 1..=40usize {
        assert_eq!([0, 252].map(|at| word(&of_b.3, round * 256 + at)), [round as u32; 2]);
    }
    assert_eq!(of_b.1[1].load().unwrap(), start.wrapping_add(40));
    assert!(
        of_a.1[0].at(start).is_reached().unwrap()
            && !of_a.1[0].at(start.wrapping_add(41)).is_reached().unwrap()
    );
}

/// A signal behind points of several queues, and work of several queues behind a word, without work of its own.
#[test]
fn a_mark_passes_points_on() {
    let (kernel, a, b) = two_clients();
    let [ours, theirs] = shared_word(&a, &b);
    let engines = a.engines_of(hcq::EngineKind::Copy).unwrap();
    let [slow, gate] = [0, 1].map(|i| CopyQueue::new(&a, Some(engines[i])).unwrap());
    let buffer = a.allocate(4096, Placement::Sysmem).unwrap();
    kernel.faults().stall(0, engines[0]);
    let point = slow.submit(&[], fill(&buffer, 1)).unwrap();
    let signal = [ours.at(1)];
    let mark = gate.queue().mark_with(&[point], signals(&signal)).unwrap();
    let behind = CopyQueue::new(&b, Some(engines[2])).unwrap();
    let wait = [theirs.at(1)];
    let after = behind.queue().mark_with(&[], waits(&wait)).unwrap();
    let Err(Error::Stalled { timeline, .. }) = after.wait(SHORT) else { panic!() };
    assert_eq!(timeline, behind.timeline().id(), "what it waits for is nobody's here");
    assert!(!mark.is_reached() && theirs.load().unwrap() == 0);
    kernel.faults().resume(0, engines[0]);
    after.wait(LONG).unwrap();
    mark.wait(LONG).unwrap();
    assert_eq!((theirs.load().unwrap(), word(&buffer, 0)), (1, 1));
}

#[test]
fn a_word_that_never_comes_holds_up_its_queue_alone() {
    let (_kernel, a, b) = two_clients();
    let [ours, theirs] = shared_word(&a, &b);
    let engines = b.engines_of(hcq::EngineKind::Copy).unwrap();
    // On one engine: a queue that waits leaves it to others.
    let [waiting, other] = [(); 2].map(|()| CopyQueue::new(&b, Some(engines[0])).unwrap());
    let buffers = [(); 2].map(|()| b.allocate(65536, Placement::Vidmem).unwrap());
    let first = waiting.submit(&[], fill(&buffers[0], 1)).unwrap();
    let wait = [theirs.at(3)];
    let held = waiting.submit_with(&[], waits(&wait), fill(&buffers[0], 2)).unwrap();
    let behind = waiting.submit(&[], fill(&buffers[0], 3)).unwrap();
    first.wait(LONG).unwrap();
    other.submit(&[], fill(&buffers[1], 4)).unwrap().wait(LONG).unwrap();
    for point in [&held, &behind] {
        let Err(Error::Stalled { timeline, reached, .. }) = point.wait(SHORT) else { panic!() };
        assert_eq!((timeline, reached), (waiting.timeline().id(), 1));
    }
    let at = AwaitedWord { address: theirs.buffer().gpu_address(), value: 3 };
    assert_eq!(waiting.timeline().waits_outside(), [at]);
    assert_eq!(other.timeline().waits_outside(), []);
    // Too little is not enough; whoever has the memory can let it go on.
    ours.store(2).unwrap();
    assert!(held.wait(SHORT).is_err());
    ours.store(3).unwrap();
    behind.wait(LONG).unwrap();
    assert_eq!((word(&buffers[0], 0), waiting.timeline().waits_outside()), (3, vec![]));

    // Or it is reset. What it was to signal does not come of it, and can be stored.
    let (wait, signal) = ([theirs.at(4)], [theirs.at(5)]);
    let outside = Outside { waits: &wait, signals: &signal };
    let held = waiting.submit_with(&[], outside, fill(&buffers[0], 9)).unwrap();
    let follower = CopyQueue::new(&a, Some(engines[1])).unwrap();
    let want = [ours.at(5)];
    let after = follower.queue().mark_with(&[], waits(&want)).unwrap();
    assert!(matches!(held.wait(SHORT), Err(Error::Stalled { .. })));
    waiting.queue().reset().unwrap();
    assert!(matches!(held.wait(LONG), Err(Error::ChannelFault { .. })));
    assert!(after.wait(SHORT).is_err() && ours.load().unwrap() == 3);
    ours.store(5).unwrap();
    after.wait(LONG).unwrap();
    assert_eq!(word(&buffers[0], 0), 3, "the work behind the wait was never done");
}

/// The memory of a word is kept by those who wait for it, and given back when the queue is gone.
#[test]
fn a_queue_that_ends_while_it_waits_frees_everything() {
    let (kernel, a, b) = two_clients();
    // The first submission maps the doorbell for good.
    CopyQueue::new(&b, None).unwrap().queue().mark().unwrap().wait(LONG).unwrap();
    let before = kernel.usage();
    let words = shared_word(&a, &b);
    let queue = CopyQueue::new(&b, None).unwrap();
    let wait = [words[1].at(1)];
    let held = queue.queue().mark_with(&[], waits(&wait)).unwrap();
    drop((words, wait));
    b.reclaim();
    assert!(kernel.usage().sysmem > before.sysmem);
    assert!(held.wait(SHORT).is_err());
    drop((queue, held));
    b.reclaim();
    assert_eq!(kernel.usage(), before);
}

#[test]
fn a_dead_queue_signals_nothing() {
    let (kernel, a, b) = two_clients();
    let [ours, theirs] = shared_word(&a, &b);
    let queue = CopyQueue::new(&a, None).unwrap();
    let buffer = a.allocate(4096, Placement::Sysmem).unwrap();
    kernel.faults().fault_next_launch(0, queue.queue().engine(), LaunchFault::Engine);
    let signal = [ours.at(1)];
    let lost = queue.submit_with(&[], signals(&signal), fill(&buffer, 1)).unwrap();
    assert!(matches!(lost.wait(LONG), Err(Error::ChannelFault { .. })));
    assert_eq!(theirs.load().unwrap(), 0);
}

#[test]
fn words_are_checked() {
    let (_kernel, a, b) = two_clients();
    let buffer = a.allocate(4096, Placement::Sysmem).unwrap();
    for offset in [4, 8, 4088, 4096, u64::MAX - 7] {
        let error = SharedWord::new(&buffer, offset).unwrap_err();
        assert!(matches!(error, Error::NoWord { size: 4096, .. }), "{error}");
    }
    // In the allocation, not in the part of it.
    assert!(SharedWord::new(&buffer.slice(8, 64), 0).is_err());
    let inner = SharedWord::new(&buffer.slice(8, 64), 8).unwrap();
    assert_eq!(inner.buffer().offset_in_allocation(), 16);

    let queue = CopyQueue::new(&b, None).unwrap();
    let foreign = [inner.at(1)];
    for outside in [waits(&foreign), signals(&foreign)] {
        let error = queue.queue().mark_with(&[], outside).unwrap_err();
        assert!(matches!(error, Error::OtherDevice { what: "a shared word", .. }), "{error}");
    }
    let input = b.allocate_input(4096, 0).unwrap().freeze();
    let of_input = SharedWord::new(input.buffer(), 0).unwrap();
    let point = [of_input.at(0)];
    assert!(matches!(queue.queue().mark_with(&[], signals(&point)), Err(Error::ReadOnly { .. })));
    assert!(matches!(of_input.store(1), Err(Error::ReadOnly { .. })));
    queue.queue().mark_with(&[], waits(&point)).unwrap().wait(LONG).unwrap();
    let many: Vec<_> = vec![of_input.at(0); 4000];
    assert!(matches!(queue.queue().mark_with(&[], waits(&many)), Err(Error::TooLarge { .. })));
    assert_eq!(queue.queue().last_point().value(), 1, "nothing else was submitted");
}
