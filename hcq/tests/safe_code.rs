//! What safe code may do to devices, and what it is told when it goes wrong.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Duration;

use hcq::kernel::emulated::{EmulatedKernel, GpuModel};
use hcq::{
    BlockLinearPlane, CopyCommands, CopyQueue, Device, DeviceBuffer, EngineKind, Error, PitchPlane,
    Placement, Profiler,
};

const LONG: Duration = Duration::from_secs(20);

fn two_gpus() -> (EmulatedKernel, Device, Device) {
    let builder = EmulatedKernel::builder().gpu(GpuModel::h200()).gpu(GpuModel::h200());
    let kernel = builder.build().unwrap();
    let [a, b] = [0, 1].map(|index| Device::open(Arc::new(kernel.clone()), index).unwrap());
    (kernel, a, b)
}

fn fill(buffer: &DeviceBuffer, word: u32) -> CopyCommands {
    let mut commands = CopyCommands::new();
    commands.fill(buffer, word).unwrap();
    commands
}

fn word(buffer: &DeviceBuffer) -> u32 {
    buffer.view().unwrap().load(0)
}

/// Both parties are named.
fn refused<T: std::fmt::Debug>(outcome: Result<T, Error>, thing: &str) {
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::OtherDevice { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(thing) && text.matches("GPU 0000:").count() == 2, "{text}");
}

/// Addresses are the same on both devices, so that what slipped through would hit memory of the other one.
#[test]
fn what_belongs_to_one_device_is_refused_by_another() {
    let (kernel, a, b) = two_gpus();
    let (on_a, on_b) = (CopyQueue::new(&a, None).unwrap(), CopyQueue::new(&b, None).unwrap());
    let [of_a, of_b] = [&a, &b].map(|device| device.allocate(65536, Placement::Vidmem).unwrap());
    assert_eq!(of_a.gpu_address(), of_b.gpu_address());
    of_b.view().unwrap().store(0, 0x5555);

    refused(on_b.submit(&[], fill(&of_a, 7)), "a buffer");
    let mut mixed = CopyCommands::new();
    mixed.copy(&of_b, &of_a).unwrap();
    refused(on_b.submit(&[], mixed), "a buffer");

    let engine = on_a.queue().engine();
    kernel.faults().stall(0, engine);
    let point = on_a.submit(&[], fill(&of_a, 1)).unwrap();
    refused(on_b.submit(std::slice::from_ref(&point), fill(&of_b, 2)), "a sync point");
    kernel.faults().resume(0, engine);
    point.wait(LONG).unwrap();
    refused(on_b.submit(&[point], fill(&of_b, 2)), "a sync point");

    refused(on_b.queue().profile(Some(Profiler::new(&a))), "a profiler");

    assert_eq!((on_b.queue().last_point().value(), word(&of_b)), (0, 0x5555), "nothing was submitted");
    on_b.submit(&[], fill(&of_b, 3)).unwrap().wait(LONG).unwrap();
    assert_eq!(word(&of_b), 3, "the queue goes on");
}

/// The same GPU twice is two address spaces.
#[test]
fn a_second_opening_is_another_device() {
    let kernel = Arc::new(EmulatedKernel::new(GpuModel::h200()).unwrap());
    let [a, b] = [(); 2].map(|()| Device::open(kernel.clone(), 0).unwrap());
    let buffer = a.allocate(4096, Placement::Vidmem).unwrap();
    refused(CopyQueue::new(&b, None).unwrap().submit(&[], fill(&buffer, 1)), "a buffer");
}

/// The engine works in whole blocks: a plane that ends within one would have it read what lies behind.
#[test]
fn planes_are_made_of_whole_blocks() {
    let (_kernel, device, _) = two_gpus();
    let buffer = device.allocate(1 << 20, Placement::Vidmem).unwrap();
    let target = PitchPlane { buffer: device.allocate(1 << 20, Placement::Sysmem).unwrap(), pitch: 128 };
    for (pitch, lines, log2_gobs) in [(100, 32, 1), (128, 24, 1), (128, 33, 2), (128, 512, 6), (128, 512, 77)]
    {
        let source = BlockLinearPlane { buffer: buffer.clone(), pitch, lines, log2_gobs };
        let error = CopyCommands::new().detile(&source, &target, 64, 8).unwrap_err();
        assert!(matches!(error, Error::Unsupported(_)), "{pitch} {lines} {log2_gobs}: {error}");
    }
}

#[test]
fn nothing_lies_next_to_an_allocation() {
    let (_kernel, device, _) = two_gpus();
    let _queues = [0, 1].map(|_| CopyQueue::new(&device, None).unwrap());
    let sizes = [(65536, Placement::Vidmem), (4096, Placement::Sysmem), (8 << 20, Placement::Vidmem)];
    let mut buffers: Vec<_> =
        sizes.iter().cycle().take(9).map(|&(size, place)| device.allocate(size, place).unwrap()).collect();
    // A gap is there again where something was freed.
    buffers.remove(4);
    buffers.push(device.allocate(4096, Placement::Sysmem).unwrap());
    buffers.sort_by_key(DeviceBuffer::gpu_address);
    for pair in buffers.windows(2) {
        let end = pair[0].gpu_address() + pair[0].size();
        assert!(end + (1 << 20) <= pair[1].gpu_address(), "{pair:?}");
    }
}

/// A queue takes as much as its ring holds and says then that it is full; the wait is the caller's.
#[test]
fn a_full_queue_says_so_at_once() {
    let (kernel, device, _) = two_gpus();
    let engine = *device.engines_of(EngineKind::Copy).unwrap().last().unwrap();
    let copy = CopyQueue::new(&device, Some(engine)).unwrap();
    kernel.faults().stall(0, engine);
    let queue = copy.queue();
    let (engine_of, oldest) = loop {
        match queue.mark() {
            Ok(point) => assert!(point.value() < 1000),
            Err(Error::QueueFull { engine, oldest }) => break (engine, oldest),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!((engine_of, oldest), (engine, 1));
    let last = queue.last_point();
    assert!(last.value() > 500 && queue.depth() == last.value(), "{last:?}");
    assert!(matches!(queue.mark(), Err(Error::QueueFull { .. })));
    assert_eq!(queue.last_point().value(), last.value());
    kernel.faults().let_launch(0, engine, 1);
    queue.wait_for_room().unwrap();
    assert_eq!(queue.mark().unwrap().value(), last.value() + 1);
    // A copy queue waits for room itself.
    kernel.faults().resume(0, engine);
    for _ in 0..3000 {
        copy.submit(&[], CopyCommands::new()).unwrap();
    }
    queue.last_point().wait(LONG).unwrap();
}
