//! The public API of this crate on the emulated kernel.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hcq::kernel::emulated::{
    Call, EmulatedKernel, Engine, EngineContext, EngineFault, Failure, GpuModel, LaunchFault, Usage,
};
use hcq::*;
use nvkernel_sys::engine::{EngineKind, EngineType};
use nvkernel_sys::layout::{CHANGES, DriverVersion, OLDEST_SUPPORTED};
use nvkernel_sys::status::RmStatus;
use nvkernel_sys::{class, copy, ioctl, video};

const LONG: Duration = Duration::from_secs(20);

fn machine() -> (EmulatedKernel, Device) {
    let kernel = EmulatedKernel::new(GpuModel::h200()).unwrap();
    let device = Device::open(Arc::new(kernel.clone()), 0).unwrap();
    (kernel, device)
}

fn copy_engine(instance: u32) -> EngineType {
    EngineType::of(EngineKind::Copy, instance).unwrap()
}

fn copy_queue(device: &Device, instance: u32) -> CopyQueue {
    CopyQueue::new(device, Some(copy_engine(instance))).unwrap()
}

fn bytes(buffer: &DeviceBuffer) -> Vec<u8> {
    let mut out = vec![0; buffer.size() as usize];
    buffer.view().unwrap().copy_out(0, &mut out);
    out
}

fn pattern(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..length).map(step).collect()
}

/// Copies `data` through `queue` and compares.
fn check_copy(device: &Device, queue: &CopyQueue, data: &[u8]) {
    let source = device.allocate(data.len() as u64, Placement::Sysmem).unwrap();
    let target = device.allocate(data.len() as u64, Placement::Vidmem).unwrap();
    source.view().unwrap().copy_in(0, data);
    let mut commands = CopyCommands::new();
    commands.copy(&source.slice(0, data.len() as u64), &target).unwrap();
    queue.submit(&[], commands).unwrap().wait(LONG).unwrap();
    assert_eq!(bytes(&target)[..data.len()], *data);
}

#[test]
fn parts_of_an_allocation_know_it() {
    let (kernel, device) = machine();
    let whole = device.allocate(1 << 20, Placement::Vidmem).unwrap();
    let part = whole.slice(4096, 8192).slice(256, 512);
    assert_eq!(part.offset_in_allocation(), 4352);
    assert!(part.same_allocation(&whole) && device.owns(&part));
    let other = device.allocate(1 << 20, Placement::Vidmem).unwrap();
    assert!(!part.same_allocation(&other));
    assert!(!Device::open(Arc::new(kernel.clone()), 0).unwrap().owns(&part), "the same GPU, opened again");
}

#[test]
fn the_default_gpu_is_an_h200() {
    let (_, device) = machine();
    assert!(device.is_emulated());
    assert_eq!(device.name().unwrap(), "NVIDIA H200");
    assert_eq!(device.chip().unwrap().to_string(), "GH100");
    assert_eq!(device.driver_version().to_string(), "580.159.04");
    let decoders: Vec<u32> = device.engines_of(EngineKind::Nvdec).unwrap().iter().map(|e| e.0).collect();
    assert_eq!(decoders, (0x14..=0x1a).collect::<Vec<_>>());
    assert_eq!(device.engines_of(EngineKind::Copy).unwrap().len(), 5);
    assert_eq!(device.pick_class("video", class::VIDEO_DECODER_CLASSES).unwrap(), 0xb8b0);
    assert_eq!(device.pick_class("channel", class::CHANNEL_CLASSES).unwrap(), 0xc86f);
    assert_eq!(device.engine_classes(EngineType(0x14)).unwrap(), [0xb8b0]);
    assert!(device.engine_classes(EngineType(0x13)).is_err());
    let first = device.timestamp().unwrap();
    std::thread::sleep(Duration::from_millis(20));
    assert!(device.timestamp().unwrap() > first, "the clock runs without calls");
}

#[test]
fn linear_copies_in_every_direction() {
    let (_, device) = machine();
    let queue = copy_queue(&device, 4);
    let data = pattern(300_001, 7);
    for (from, to) in [
        (Placement::Sysmem, Placement::Vidmem),
        (Placement::Vidmem, Placement::Vidmem),
        (Placement::Vidmem, Placement::Sysmem),
    ] {
        let source = device.allocate(300_001, from).unwrap();
        let target = device.allocate(300_001, to).unwrap();
        source.view().unwrap().copy_in(0, &data);
        let mut commands = CopyCommands::new();
        commands.copy(&source.slice(3, 299_990), &target.slice(5, 299_990)).unwrap();
        queue.submit(&[], commands).unwrap().wait(LONG).unwrap();
        let seen = bytes(&target);
        assert_eq!(seen[5..299_995], data[3..299_993]);
        assert!(seen[..5].iter().chain(&seen[299_995..]).all(|&b| b == 0), "{from} to {to} wrote too much");
    }
}

#[test]
fn fills_repeat_a_word() {
    let (_, device) = machine();
    let queue = copy_queue(&device, 2);
    let target = device.allocate(1 << 20, Placement::Vidmem).unwrap();
    let mut commands = CopyCommands::new();
    commands.fill(&target.slice(256, 4 * 70_001), 0x8040_2010).unwrap();
    queue.submit(&[], commands).unwrap().wait(LONG).unwrap();
    let seen = bytes(&target);
    let filled = 256..256 + 4 * 70_001;
    assert!(seen[filled.clone()].chunks(4).all(|w| w == 0x8040_2010u32.to_le_bytes()));
    assert!(seen[..filled.start].iter().chain(&seen[filled.end..]).all(|&b| b == 0));
}

#[test]
fn a_fill_reads_no_source_and_keeps_what_it_does_not_write() {
    use copy::set_remap_components as r;
    let (_, device) = machine();
    let queue = copy_queue(&device, 2);
    let target = device.allocate(4096, Placement::Sysmem).unwrap();
    target.view().unwrap().fill(0, 4096, 0x11);
    let (high, low) = ((target.gpu_address() >> 32) as u32, target.gpu_address() as u32);
    let mut commands = PushBuffer::new();
    // Two-byte components: the first becomes the low half of the constant, the second stays.
    let components = r::DST_X.of(r::DST_X_CONST_B)
        | r::DST_Y.of(r::DST_Y_NO_WRITE)
        | r::COMPONENT_SIZE.of(r::COMPONENT_SIZE_TWO)
        | r::NUM_DST_COMPONENTS.of(r::NUM_DST_COMPONENTS_TWO);
    commands.methods(4, copy::SET_REMAP_CONST_A, &[0, 0xdead_2233, components]);
    commands.methods(4, copy::OFFSET_IN_UPPER, &[0x77, 0, high, low + 8]);
    commands.methods(4, copy::LINE_LENGTH_IN, &[2, 1]);
    commands.method(4, copy::LAUNCH_DMA, 0x582);
    // SAFETY: eight bytes of `target` are written.
    let point = unsafe { queue.queue().submit(&[], &commands, [&target]) }.unwrap();
    point.wait(LONG).unwrap();
    let seen = bytes(&target);
    assert_eq!(seen[6..18], [0x11, 0x11, 0x33, 0x22, 0x11, 0x11, 0x33, 0x22, 0x11, 0x11, 0x11, 0x11]);
}

/// Offset of a byte in a block-linear plane, from the definition: GOBs of 64 x 8 bytes, in each of them the
/// address bits x0 x1 x2 x3 y0 y1 x4 y2 x5 from the lowest, blocks of `1 << log2_gobs` GOBs.
fn block_linear_offset(pitch: usize, log2_gobs: usize, x: usize, y: usize) -> usize {
    let block_lines = 8 << log2_gobs;
    let block = (y / block_lines) * (pitch / 64) + x / 64;
    let gob = (block << log2_gobs) + (y % block_lines) / 8;
    let (x, y) = (x % 64, y % 8);
    gob * 512 + (x & 32) * 8 + (y & 4) * 32 + (x & 16) * 4 + (y & 3) * 16 + (x & 15)
}

#[test]
fn detiling_matches_the_formula() {
    let (_, device) = machine();
    let queue = copy_queue(&device, 3);
    for (pitch, lines, log2_gobs, width, height) in [
        (192, 64, 1, 180, 50),
        (64, 16, 1, 1, 1),
        (1984, 144, 1, 1920, 136),
        (256, 128, 2, 256, 128),
        (128, 8, 0, 77, 8),
    ] {
        let data = pattern(pitch * lines, 3);
        let tiled = device.allocate((pitch * lines) as u64, Placement::Vidmem).unwrap();
        tiled.view().unwrap().copy_in(0, &data);
        let out_pitch = width + 13;
        let linear = device.allocate((out_pitch * height) as u64, Placement::Sysmem).unwrap();
        let mut commands = CopyCommands::new();
        let source = BlockLinearPlane {
            buffer: tiled,
            pitch: pitch as u32,
            lines: lines as u32,
            log2_gobs: log2_gobs as u32,
        };
        let target = PitchPlane { buffer: linear.clone(), pitch: out_pitch as u32 };
        commands.detile(&source, &target, width as u32, height as u32).unwrap();
        queue.submit(&[], commands).unwrap().wait(LONG).unwrap();
        let seen = bytes(&linear);
        for y in 0..height {
            for x in 0..out_pitch {
                let expected = if x < width { data[block_linear_offset(pitch, log2_gobs, x, y)] } else { 0 };
                assert_eq!(seen[y * out_pitch + x], expected, "{pitch}x{lines} at {x},{y}");
            }
        }
    }
}

#[test]
fn queues_wait_for_each_other() {
    let (kernel, device) = machine();
    let (a, b) = (copy_queue(&device, 4), copy_queue(&device, 3));
    let buffers: Vec<_> = (0..2).map(|_| device.allocate(4096, Placement::Vidmem).unwrap()).collect();
    // The first queue is the slower one, so that waits are real.
    kernel.faults().slow_down(0, copy_engine(4), Duration::from_micros(300));
    let mut last = a.queue().last_point();
    for round in 0..50u32 {
        let mut fill = CopyCommands::new();
        fill.fill(&buffers[0], round).unwrap();
        let filled = a.submit(std::slice::from_ref(&last), fill).unwrap();
        let mut copy = CopyCommands::new();
        copy.copy(&buffers[0], &buffers[1]).unwrap();
        last = b.submit(&[filled], copy).unwrap();
        if round % 10 == 9 {
            last.wait(LONG).unwrap();
            assert!(bytes(&buffers[1])[..4096].chunks(4).all(|w| w == round.to_le_bytes()), "round {round}");
        }
    }
    assert!(a.timeline().last_timestamp().unwrap() <= b.timeline().last_timestamp().unwrap());
}

#[test]
fn a_host_wait_sleeps_until_the_interrupt() {
    let (kernel, device) = machine();
    let queue = copy_queue(&device, 2);
    kernel.faults().stall(0, copy_engine(2));
    let target = device.allocate(4096, Placement::Sysmem).unwrap();
    let mut commands = CopyCommands::new();
    commands.fill(&target, 1).unwrap();
    let point = queue.submit(&[], commands).unwrap();
    assert!(!point.is_reached());
    // Several sleepers share one event.
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| point.wait(LONG).unwrap());
        }
        std::thread::sleep(Duration::from_millis(30));
        kernel.faults().resume(0, copy_engine(2));
    });
    assert!(point.is_reached());
}

#[test]
fn thousands_of_submissions_wrap_ring_and_push_memory() {
    let (_, device) = machine();
    let queue = copy_queue(&device, 2);
    let target = device.allocate(65536, Placement::Sysmem).unwrap();
    for i in 0..5000u32 {
        let mut commands = CopyCommands::new();
        commands.fill(&target.slice(u64::from(i % 16384) * 4, 4), i).unwrap();
        queue.submit(&[], commands).unwrap();
    }
    queue.queue().last_point().wait(LONG).unwrap();
    assert_eq!(queue.queue().depth(), 0);
    for i in 0..5000u32 {
        assert_eq!(target.view().unwrap().load(i as usize * 4), i);
    }
}

#[test]
fn a_bad_address_stops_its_channel_and_no_other() {
    let (kernel, device) = machine();
    let (bad, good) = (copy_queue(&device, 1), copy_queue(&device, 1));
    let mut commands = PushBuffer::new();
    commands.methods(4, copy::OFFSET_IN_UPPER, &[0x12, 0x3456_7000, 0x12, 0x3456_8000]);
    commands.methods(4, copy::LINE_LENGTH_IN, &[64, 1]);
    commands.method(4, copy::LAUNCH_DMA, 0x182);
    // SAFETY: the addresses are wrong on purpose; the emulated MMU refuses them.
    let point = unsafe { bad.queue().submit(&[], &commands, []) }.unwrap();
    let Error::ChannelFault { engine, fault } = point.wait(LONG).unwrap_err() else { panic!("not a fault") };
    assert_eq!((engine.as_str(), fault.xid.0, fault.status), ("COPY1", 31, 0xffff));
    assert_eq!(fault.mmu.as_ref().unwrap().address, 0x12_3456_7000);
    assert_eq!(fault.mmu.as_ref().unwrap().kind, "FAULT_PDE");
    assert!(kernel.log().iter().any(|line| line.contains("Xid 31") && line.contains("COPY1")));
    check_copy(&device, &good, &pattern(5000, 1));
    let Error::ChannelFault { .. } = point.spin(LONG).unwrap_err() else { panic!("not a fault") };
    // A new queue on the same engine works, too.
    drop(bad);
    check_copy(&device, &copy_queue(&device, 1), &pattern(5000, 2));
}

#[test]
fn an_engine_that_reaches_too_far_faults() {
    let (kernel, device) = machine();
    let buffers: Vec<_> = (0..3).map(|_| device.allocate(65536, Placement::Vidmem).unwrap()).collect();
    for (source, target) in [(&buffers[0], &buffers[2]), (&buffers[2], &buffers[0])] {
        let queue = copy_queue(&device, 1);
        let (from, to) = (source.gpu_address(), target.gpu_address());
        let mut commands = PushBuffer::new();
        let addresses = [(from >> 32) as u32, from as u32, (to >> 32) as u32, to as u32];
        commands.methods(4, copy::OFFSET_IN_UPPER, &addresses);
        commands.methods(4, copy::LINE_LENGTH_IN, &[65536 + 4, 1]);
        commands.method(4, copy::LAUNCH_DMA, 0x182);
        // SAFETY: it is too long on purpose; the emulated MMU refuses what lies behind the buffers.
        let point = unsafe { queue.queue().submit(&[], &commands, [source, target]) }.unwrap();
        let Err(Error::ChannelFault { fault, .. }) = point.wait(LONG) else { panic!("{:?}", kernel.log()) };
        assert_eq!(fault.xid.0, 31);
    }
}

/// A submission that was refused uses no memory.
#[test]
fn what_is_not_submitted_is_not_in_use() {
    let (kernel, device) = machine();
    let copy = copy_queue(&device, 1);
    let queue = copy.queue();
    kernel.faults().stall(0, copy_engine(1));
    while queue.mark().is_ok() {}
    let mut buffer = device.allocate(4096, Placement::Vidmem).unwrap();
    let nothing = PushBuffer::new();
    // SAFETY: there are no commands.
    let full = unsafe { queue.submit(&[], &nothing, [&buffer]) };
    assert!(matches!(full, Err(Error::QueueFull { .. })), "{full:?}");
    assert!(buffer.is_unused());
    kernel.faults().let_launch(0, copy_engine(1), 1);
    queue.wait_for_room().unwrap();
    let mut long = PushBuffer::new();
    for _ in 0..20_000 {
        long.method(0, nvkernel_sys::host::NOP, 0).method(0, 0, 0);
    }
    // SAFETY: no address is used.
    let large = unsafe { queue.submit(&[], &long, [&buffer]) };
    assert!(matches!(large, Err(Error::TooLarge { .. })), "{large:?}");
    assert!(buffer.is_unused());
    // SAFETY: there are no commands.
    unsafe { queue.submit(&[], &nothing, [&buffer]) }.unwrap();
    assert!(!buffer.is_unused());
    kernel.faults().resume(0, copy_engine(1));
}

#[test]
fn engines_cannot_write_to_inputs() {
    let (kernel, device) = machine();
    let queue = copy_queue(&device, 1);
    let mut input = device.allocate_input(5000, 0).unwrap();
    input.copy_from_slice(&pattern(5000, 3));
    let input = input.freeze();
    let target = input.buffer().slice(0, 4096);
    let mut checked = CopyCommands::new();
    let source = device.allocate(4096, Placement::Vidmem).unwrap();
    assert!(matches!(checked.fill(&target, 0), Err(Error::ReadOnly { .. })));
    assert!(matches!(checked.copy(&source, &target), Err(Error::ReadOnly { .. })));
    assert!(checked.is_empty());
    let (high, low) = ((target.gpu_address() >> 32) as u32, target.gpu_address() as u32);
    let from = source.gpu_address();
    let mut commands = PushBuffer::new();
    commands.methods(4, copy::OFFSET_IN_UPPER, &[(from >> 32) as u32, from as u32, high, low]);
    commands.methods(4, copy::LINE_LENGTH_IN, &[4096, 1]);
    commands.method(4, copy::LAUNCH_DMA, 0x182);
    // SAFETY: both addresses are those of buffers that are passed along, of the same length.
    let point = unsafe { queue.queue().submit(&[], &commands, [&source, &target]) }.unwrap();
    let error = point.wait(LONG).unwrap_err();
    let Error::ChannelFault { fault, .. } = error else { panic!("not a fault") };
    assert_eq!(fault.mmu.unwrap().kind, "FAULT_RO_VIOLATION", "{:?}", kernel.log());
    assert_eq!(*input, *pattern(5000, 3));
}

#[test]
fn illegal_push_buffers_are_pbdma_or_engine_errors() {
    let (kernel, device) = machine();
    let rows: [(&str, u8, u32, u32, u32); 5] = [
        ("unknown copy method", 4, 0x1ffc, 0, 40),
        ("no object on the subchannel", 5, 0x300, 0, 32),
        ("class of no object", 4, 0, 0xb8b0, 32),
        ("privileged host method", 0, 0x84, 0, 32),
        ("physical source", 4, copy::LAUNCH_DMA, 0x1182, 40),
    ];
    for (what, subchannel, method, value, xid) in rows {
        let queue = copy_queue(&device, 1);
        let mut commands = PushBuffer::new();
        commands.method(subchannel, method, value);
        // SAFETY: no address is used.
        let point = unsafe { queue.queue().submit(&[], &commands, []) }.unwrap();
        let Err(Error::ChannelFault { fault, .. }) = point.wait(LONG) else { panic!("{what}: no fault") };
        assert_eq!(fault.xid.0, xid, "{what}: {:?}", kernel.log().last());
    }
}

#[test]
fn hostile_transfers_end() {
    let (kernel, device) = machine();
    let queue = copy_queue(&device, 1);
    let buffer = device.allocate(4096, Placement::Vidmem).unwrap();
    let (high, low) = ((buffer.gpu_address() >> 32) as u32, buffer.gpu_address() as u32);
    let mut commands = PushBuffer::new();
    commands.methods(4, copy::OFFSET_IN_UPPER, &[high, low, high, low]);
    // Pitch 0: every line is the same one, so no address ever faults.
    commands.methods(4, copy::PITCH_IN, &[0, 0, 4096, u32::MAX]);
    commands.method(4, copy::LAUNCH_DMA, 0x382);
    // SAFETY: all addresses lie in `buffer`.
    let point = unsafe { queue.queue().submit(&[], &commands, [&buffer]) }.unwrap();
    let Err(Error::ChannelFault { fault, .. }) = point.wait(LONG) else { panic!("no fault") };
    assert_eq!(fault.xid.0, 109, "{:?}", kernel.log());
}

#[test]
fn allocation_fails_when_memory_is_gone_and_when_told_to() {
    let (kernel, device) = machine();
    let status = |error: Error| error.rm_status().unwrap();
    let most = device.allocate(140 << 30, Placement::Vidmem).unwrap();
    let error = device.allocate(1 << 30, Placement::Vidmem).unwrap_err();
    assert_eq!(status(error), RmStatus::NV_ERR_NO_MEMORY);
    drop(most);
    drop(device.allocate(140 << 30, Placement::Vidmem).unwrap());

    let faults = kernel.faults();
    let no_memory = Failure::Status(RmStatus::NV_ERR_NO_MEMORY);
    faults.fail_call(Call::Alloc(class::NV01_MEMORY_LOCAL_USER), 1, no_memory);
    let first = device.allocate(4096, Placement::Vidmem);
    assert!(first.is_ok());
    assert_eq!(status(device.allocate(4096, Placement::Vidmem).unwrap_err()), RmStatus::NV_ERR_NO_MEMORY);
    assert!(device.allocate(4096, Placement::Vidmem).is_ok());

    let before = kernel.usage();
    faults.fail_call(Call::Ioctl(ioctl::NV_ESC_RM_MAP_MEMORY_DMA), 0, no_memory);
    assert!(device.allocate(4096, Placement::Vidmem).is_err());
    faults.fail_call(Call::Ioctl(ioctl::NV_ESC_RM_MAP_MEMORY), 0, Failure::Errno(libc::EIO));
    assert!(CopyQueue::new(&device, None).is_err());
    assert_eq!(kernel.usage(), before, "a call that fails leaves nothing behind");
}

#[test]
fn a_lost_gpu_ends_waits_and_calls() {
    let (kernel, device) = machine();
    let queue = copy_queue(&device, 0);
    let buffer = device.allocate(4096, Placement::Sysmem).unwrap();
    kernel.faults().stall(0, copy_engine(0));
    let mut commands = CopyCommands::new();
    commands.fill(&buffer, 1).unwrap();
    let point = queue.submit(&[], commands).unwrap();
    let faults = kernel.faults();
    let waiter = std::thread::spawn(move || point.wait(LONG));
    std::thread::sleep(Duration::from_millis(20));
    faults.lose_gpu(0);
    assert!(matches!(waiter.join().unwrap(), Err(Error::GpuLost)));
    let error = device.allocate(4096, Placement::Vidmem).unwrap_err();
    assert_eq!(error.rm_status(), Some(RmStatus::NV_ERR_GPU_IS_LOST));
    drop((queue, buffer, device));
    assert_eq!(kernel.usage(), Usage::default(), "objects of a lost GPU can be freed");
}

#[test]
fn a_stalled_engine_holds_up_nobody_else() {
    let (kernel, device) = machine();
    let (stalled, free) = (copy_queue(&device, 4), copy_queue(&device, 3));
    kernel.faults().stall(0, copy_engine(4));
    let buffer = device.allocate(4096, Placement::Sysmem).unwrap();
    let mut commands = CopyCommands::new();
    commands.fill(&buffer, 1).unwrap();
    let point = stalled.submit(&[], commands).unwrap();
    check_copy(&device, &free, &pattern(100, 5));
    assert!(matches!(point.wait(Duration::from_millis(30)), Err(Error::Timeout { .. })));
    let late = point.spin(Duration::from_millis(30)).unwrap_err();
    assert!(matches!(late, Error::Timeout { waited, .. } if waited >= Duration::from_millis(30)), "{late}");
    kernel.faults().resume(0, copy_engine(4));
    point.wait(LONG).unwrap();
    assert_eq!(buffer.view().unwrap().load(0), 1);
}

#[test]
fn a_lost_doorbell_is_made_good_by_the_next() {
    let (kernel, device) = machine();
    let queue = copy_queue(&device, 4);
    kernel.faults().lose_doorbells(1);
    let first = queue.submit(&[], CopyCommands::new()).unwrap();
    assert!(matches!(first.wait(Duration::from_millis(20)), Err(Error::Timeout { .. })));
    let second = queue.submit(&[], CopyCommands::new()).unwrap();
    second.wait(LONG).unwrap();
    assert!(first.is_reached());
}

#[test]
fn injected_launch_faults_name_the_engine() {
    let (kernel, device) = machine();
    for (fault, xid) in [(LaunchFault::Mmu { address: 0xdead_0000 }, 31), (LaunchFault::Engine, 71)] {
        let queue = copy_queue(&device, 4);
        kernel.faults().fault_next_launch(0, copy_engine(4), fault);
        let point = queue.submit(&[], CopyCommands::new()).unwrap();
        let Err(Error::ChannelFault { fault, .. }) = point.wait(LONG) else { panic!("no fault") };
        assert_eq!(fault.xid.0, xid);
    }
}

#[test]
fn nothing_is_left_behind() {
    let (kernel, device) = machine();
    let empty = Usage::default();
    assert_ne!(kernel.usage(), empty);
    {
        let queue = copy_queue(&device, 4);
        check_copy(&device, &queue, &pattern(1000, 9));
        let point = queue.submit(&[], CopyCommands::new()).unwrap();
        point.wait(LONG).unwrap();
        assert_eq!(kernel.usage().channels, 1);
    }
    drop(device);
    assert_eq!(kernel.usage(), empty);
    assert_eq!(kernel.objects(), 0);
}

#[test]
fn every_driver_release_serves() {
    let mut releases = vec![OLDEST_SUPPORTED, DriverVersion::new(580, 159, 4), DriverVersion::new(620, 6, 0)];
    releases.extend(CHANGES.iter().map(|change| change.since));
    releases.sort_unstable();
    releases.dedup();
    for version in releases {
        let kernel = EmulatedKernel::builder().driver_version(version).build().unwrap();
        let device = Device::open(Arc::new(kernel.clone()), 0).unwrap();
        assert_eq!(device.driver_version(), version);
        check_copy(&device, &CopyQueue::new(&device, None).unwrap(), &pattern(10_000, 1));
        drop(device);
        assert_eq!(kernel.usage(), Usage::default(), "driver {version}");
    }
}

#[test]
fn every_gpu_serves() {
    let models = GpuModel::all();
    let builder = models.iter().fold(EmulatedKernel::builder(), |b, model| b.gpu(model.clone()));
    let kernel: Arc<dyn KernelInterface> = Arc::new(builder.build().unwrap());
    assert_eq!(enumerate(kernel.clone()).unwrap().len(), models.len());
    let devices: Vec<_> = (0..models.len()).map(|i| Device::open(kernel.clone(), i).unwrap()).collect();
    for (device, model) in devices.iter().zip(&models) {
        assert_eq!(device.name().unwrap(), model.name);
        assert_eq!(device.classes().unwrap(), model.classes);
        // Small BAR1 windows only hold small buffers.
        check_copy(device, &CopyQueue::new(device, None).unwrap(), &pattern(10_000, 1));
        let class = device.pick_class("video", class::VIDEO_DECODER_CLASSES).unwrap();
        for engine in device.engines_of(EngineKind::Nvdec).unwrap() {
            let queue = Queue::new(device, engine, class).unwrap();
            // SAFETY: there are no commands.
            let point = unsafe { queue.submit(&[], &PushBuffer::new(), []) }.unwrap();
            point.wait(LONG).unwrap();
        }
    }
}

#[test]
fn free_memory_is_what_allocations_leave() {
    let (_, device) = machine();
    let before = device.free_memory().unwrap();
    assert!(before > 100 << 30, "{before} bytes of an H200");
    let buffer = device.allocate(5 << 20, Placement::Vidmem).unwrap();
    assert_eq!(before - device.free_memory().unwrap(), allocation_size(5 << 20, Placement::Vidmem));
    drop(buffer);
    assert_eq!(device.free_memory().unwrap(), before);
    let queue = copy_queue(&device, 0);
    let left = device.free_memory().unwrap();
    assert!((4 << 10..1 << 20).contains(&(before - left)), "{} bytes of a queue", before - left);
    drop(queue);
    assert_eq!(device.free_memory().unwrap(), before);
}

fn video_queue(device: &Device) -> Arc<Queue> {
    let engine = device.engines_of(EngineKind::Nvdec).unwrap()[3];
    let class = device.pick_class("video", class::VIDEO_DECODER_CLASSES).unwrap();
    Queue::new(device, engine, class).unwrap()
}

/// One profiler for queues of two kinds.
#[test]
fn profiled_queues_leave_their_times() {
    let (_, device) = machine();
    let (video, copy) = (video_queue(&device), CopyQueue::new(&device, None).unwrap());
    let profiler = Profiler::new(&device);
    video.profile(Some(profiler.clone())).unwrap();
    copy.queue().profile(Some(profiler.clone())).unwrap();
    let target = device.allocate(1 << 16, Placement::Vidmem).unwrap();
    let mut commands = PushBuffer::new();
    commands.method(4, video::SET_APPLICATION_ID, video::APPLICATION_ID_HEVC);
    let before = device.timestamp().unwrap();
    let mut spans = Vec::new();
    for round in 0..100 {
        let mut fill = CopyCommands::new();
        fill.fill(&target, round).unwrap();
        let filled = copy.submit(&[], fill).unwrap();
        // SAFETY: no address is used.
        let point = unsafe { video.submit(&[filled], &commands, []) }.unwrap();
        if round % 30 == 29 {
            point.wait(LONG).unwrap();
            spans.extend(profiler.take());
        }
    }
    video.last_point().wait(LONG).unwrap();
    let after = device.timestamp().unwrap();
    spans.extend(profiler.take());
    let of = |queue: &Queue| -> Vec<Span> {
        let of = spans.iter().filter(|span| Arc::ptr_eq(span.point.timeline(), queue.timeline()));
        of.cloned().collect()
    };
    let (decoded, filled) = (of(&video), of(copy.queue()));
    for spans in [&decoded, &filled] {
        assert!(spans.iter().map(|span| span.point.value()).eq(1..=100));
        assert!(spans.windows(2).all(|pair| pair[0].end <= pair[1].begin), "one after another");
        assert!(spans[0].begin >= before && spans[99].end <= after, "by the clock of the device");
    }
    // A submission begins when its acquires are behind it.
    assert!(filled.iter().zip(&decoded).all(|(filled, decoded)| filled.end <= decoded.begin));
}

/// What a dead channel did not execute has no times, although its timeline passes for complete.
#[test]
fn a_dead_channel_leaves_no_times() {
    let (_, device) = machine();
    let queue = video_queue(&device);
    let profiler = Profiler::new(&device);
    queue.profile(Some(profiler.clone())).unwrap();
    let mut commands = PushBuffer::new();
    commands.method(4, video::EXECUTE, 0); // no decoder is attached
    // SAFETY: no address is used.
    let point = unsafe { queue.submit(&[], &commands, []) }.unwrap();
    assert!(matches!(point.wait(LONG), Err(Error::ChannelFault { .. })));
    assert!(point.is_reached());
    assert!(profiler.take().is_empty());
}

#[test]
fn without_a_decoder_execute_says_so() {
    let (kernel, device) = machine();
    let queue = video_queue(&device);
    let mut commands = PushBuffer::new();
    commands.method(4, video::SET_APPLICATION_ID, video::APPLICATION_ID_HEVC);
    // SAFETY: no address is used.
    unsafe { queue.submit(&[], &commands, []) }.unwrap().wait(LONG).unwrap();
    commands.method(4, video::EXECUTE, 0);
    // SAFETY: no address is used.
    let point = unsafe { queue.submit(&[], &commands, []) }.unwrap();
    let Err(Error::ChannelFault { engine, fault }) = point.wait(LONG) else { panic!("no fault") };
    assert_eq!((engine.as_str(), fault.xid.0), ("NVDEC4", 89));
    assert!(kernel.log().iter().any(|line| line.contains("no decoder attached")), "{:?}", kernel.log());
}

/// Stands in for a decoder: EXECUTE writes the application id where the luma plane is.
struct Stamp {
    class: u32,
    id: u32,
    target: u64,
    executed: Arc<AtomicU32>,
}

impl Engine for Stamp {
    fn class(&self) -> u32 {
        self.class
    }

    fn method(&mut self, context: &EngineContext<'_>, address: u32, value: u32) -> Result<(), EngineFault> {
        match address {
            video::SET_APPLICATION_ID => self.id = value,
            video::SET_PICTURE_LUMA_OFFSET => self.target = u64::from(value) << 8,
            video::EXECUTE if self.id == 99 => panic!("a bug in the model"),
            video::EXECUTE => {
                context.memory().write(self.target, &self.id.to_le_bytes())?;
                self.executed.fetch_add(1, Ordering::Relaxed);
            }
            _ => return Err(EngineFault::UnknownMethod { address, value }),
        }
        Ok(())
    }
}

#[test]
fn an_attached_engine_sees_methods_and_memory() {
    let executed = Arc::new(AtomicU32::new(0));
    let count = executed.clone();
    let kernel = EmulatedKernel::builder()
        .with_engine_factory(EngineKind::Nvdec, move |engine, class| {
            assert_eq!(engine.to_string(), "NVDEC4");
            Box::new(Stamp { class, id: 0, target: 0, executed: count.clone() })
        })
        .build()
        .unwrap();
    let device = Device::open(Arc::new(kernel.clone()), 0).unwrap();
    let queue = video_queue(&device);
    let surface = device.allocate(4096, Placement::Vidmem).unwrap();
    let submit = |queue: &Queue, id: u32, address: u64| {
        let mut commands = PushBuffer::new();
        commands.method(4, video::SET_APPLICATION_ID, id);
        commands.method(4, video::SET_PICTURE_LUMA_OFFSET, (address >> 8) as u32);
        commands.method(4, video::EXECUTE, 0x100);
        // SAFETY: the engine writes four bytes at the address, which is in `surface` or nowhere.
        unsafe { queue.submit(&[], &commands, [&surface]) }.unwrap()
    };
    submit(&queue, 7, surface.gpu_address() + 256).wait(LONG).unwrap();
    assert_eq!((surface.view().unwrap().load(256), executed.load(Ordering::Relaxed)), (7, 1));

    let Err(Error::ChannelFault { fault, .. }) = submit(&queue, 7, 0x77_0000_0000).wait(LONG) else {
        panic!("no fault")
    };
    assert_eq!((fault.xid.0, fault.mmu.unwrap().address), (31, 0x77_0000_0000));
    let queue = video_queue(&device);
    let point = submit(&queue, 99, surface.gpu_address());
    assert!(matches!(point.wait(LONG), Err(Error::ChannelFault { .. })), "a panic is the engine's fault");
    let queue = video_queue(&device);
    submit(&queue, 8, surface.gpu_address()).wait(LONG).unwrap();
}
