//! What the emulated host does with rings, push buffers and semaphores.

mod raw;

use std::os::fd::AsFd;
use std::time::Duration;

use hcq::PushBuffer;
use hcq::kernel::emulated::{EmulatedKernel, GpuModel, LaunchFault, Usage};
use hcq::kernel::{EventWait, KernelInterface};
use nvkernel_sys::class::*;
use nvkernel_sys::ctrl::{
    self, NV2080_CTRL_EVENT_SET_NOTIFICATION_PARAMS, NVA06C_CTRL_GPFIFO_SCHEDULE_PARAMS,
};
use nvkernel_sys::engine::{EngineKind, EngineType, notification_action, notifiers};
use nvkernel_sys::host::{self, sem_execute as e};
use nvkernel_sys::layout::DriverVersion;
use nvkernel_sys::rm::*;
use nvkernel_sys::status::RmStatus;
use proptest::prelude::*;
use raw::{Block, ENTRIES, NOTIFIER, Raw, RawChannel, SCRATCH, USERD};
use zerocopy::FromZeros;

const LONG: Duration = Duration::from_secs(20);
const BASE: u64 = 0x10_0000_0000;

fn machine() -> (EmulatedKernel, Raw) {
    let kernel = EmulatedKernel::builder().driver_version(DriverVersion::new(610, 43, 2)).build().unwrap();
    let raw = Raw::open(&kernel);
    (kernel, raw)
}

fn copy_engine(instance: u32) -> EngineType {
    EngineType::of(EngineKind::Copy, instance).unwrap()
}

/// A host semaphore operation with payload `payload` on `address`.
fn semaphore(pb: &mut PushBuffer, address: u64, payload: u64, execute: u32) {
    let words = [address as u32, (address >> 32) as u32, payload as u32, (payload >> 32) as u32, execute];
    pb.methods(0, host::SEM_ADDR_LO, &words);
}

fn words(f: impl FnOnce(&mut PushBuffer)) -> Vec<u32> {
    let mut pb = PushBuffer::new();
    f(&mut pb);
    pb.words().to_vec()
}

#[test]
fn releases_write_what_they_say() {
    let (_, raw) = machine();
    let channel = RawChannel::copy(&raw, copy_engine(0), BASE);
    let at = channel.scratch();
    let release = e::OPERATION.of(e::OPERATION_RELEASE);
    let wide = e::PAYLOAD_SIZE.of(1);
    let stamp = e::RELEASE_TIMESTAMP.of(1);
    let add = e::OPERATION.of(e::OPERATION_REDUCTION) | e::REDUCTION.of(e::REDUCTION_IADD);
    for i in 0..64 {
        channel.block.store(SCRATCH + 4 * i, 0xeeee_eeee);
    }
    let push = words(|pb| {
        semaphore(pb, at, 0x1111_2222_3333, release);
        semaphore(pb, at + 16, 0x1111_2222_3333, release | wide);
        semaphore(pb, at + 32, 0x1111_2222_3333, release | stamp);
        semaphore(pb, at + 48, 0x1111_2222_3333, release | stamp | wide);
        semaphore(pb, at + 64, 3, add);
        pb.method(0, host::SET_REFERENCE, 0x77);
        // The 32-bit semaphore of older classes: with a time stamp, and one word.
        pb.methods(0, host::SEMAPHOREA, &[(at >> 32) as u32, at as u32 + 80, 5, 2]);
        pb.methods(0, host::SEMAPHOREA, &[(at >> 32) as u32, at as u32 + 96, 6, 2 | 1 << 24]);
    });
    channel.push(&raw, &push);
    channel.wait(SCRATCH + 96, 6).unwrap();
    let word = |i: u64| channel.block.load(SCRATCH + 4 * i);
    let untouched = 0xeeee_eeee;
    assert_eq!([word(0), word(1)], [0x2222_3333, untouched]);
    assert_eq!([word(4), word(5), word(6)], [0x2222_3333, 0x1111, untouched]);
    assert_eq!([word(8), word(9)], [0x2222_3333, 0]);
    assert_eq!([word(12), word(13)], [0x2222_3333, 0x1111]);
    assert_eq!(word(16), untouched.wrapping_add(3));
    assert_eq!((word(20), word(24), word(25)), (5, 6, untouched));
    let time = |i| u64::from(word(i + 1)) << 32 | u64::from(word(i));
    assert!(time(10) <= time(14) && time(14) <= time(22));
    assert!(time(22) - time(10) < 60_000_000_000, "no time stamp at {:#x}", time(22));
    assert_eq!(channel.block.load(USERD + 0x48), 0x77, "Reference");
    assert_eq!(channel.block.load(USERD + host::USERD_GP_GET as u64), 1);
}

#[test]
fn acquires_hold_until_the_cpu_writes() {
    let (_, raw) = machine();
    let channel = RawChannel::copy(&raw, copy_engine(0), BASE);
    let at = channel.scratch();
    // Operation, a value that does not satisfy it, one that does; all against payload 0x10.
    let rows = [
        (e::OPERATION_ACQUIRE, 0x11, 0x10),
        (e::OPERATION_ACQ_STRICT_GEQ, 0xf, 0xffff_ffff),
        (e::OPERATION_ACQ_CIRC_GEQ, 0xffff_ffff, 0x8000_000f),
        (e::OPERATION_ACQ_AND, 0xef, 0x30),
        (e::OPERATION_ACQ_NOR, 0xffff_ffef, 0xf),
    ];
    for (i, (operation, blocked, free)) in rows.into_iter().enumerate() {
        for switch in [0, 1] {
            let value = (2 * i as u32 + switch) + 1;
            channel.block.store(SCRATCH, blocked);
            let push = words(|pb| {
                semaphore(pb, at, 0x10, e::OPERATION.of(operation) | e::ACQUIRE_SWITCH_TSG.of(switch));
                semaphore(pb, at + 4, value.into(), e::OPERATION.of(e::OPERATION_RELEASE));
            });
            channel.push(&raw, &push);
            std::thread::sleep(Duration::from_millis(5));
            assert_eq!(channel.block.load(SCRATCH + 4), value - 1, "operation {operation} did not hold");
            channel.block.store(SCRATCH, free);
            channel.wait(SCRATCH + 4, value).unwrap_or_else(|v| panic!("operation {operation} holds at {v}"));
        }
    }
}

#[test]
fn channels_of_one_engine_run_while_one_waits() {
    let (_, raw) = machine();
    let waiting = RawChannel::copy(&raw, copy_engine(0), BASE);
    let other = RawChannel::copy(&raw, copy_engine(0), BASE + 0x100_0000);
    for switch in [1, 0] {
        waiting.block.store(SCRATCH, 0);
        let (from, to) = (waiting.scratch(), other.scratch());
        waiting.push(
            &raw,
            &words(|pb| {
                semaphore(pb, from, 1, e::OPERATION.of(0) | e::ACQUIRE_SWITCH_TSG.of(switch));
                semaphore(pb, from + 4, 10 + u64::from(switch), e::OPERATION.of(1));
            }),
        );
        // The other channel of the same engine sets it free.
        other.push(
            &raw,
            &words(|pb| {
                semaphore(pb, to, 5, e::OPERATION.of(1));
                semaphore(pb, from, 1, e::OPERATION.of(1));
            }),
        );
        waiting.wait(SCRATCH + 4, 10 + switch).unwrap();
        assert_eq!(other.block.load(SCRATCH), 5);
    }
}

#[test]
fn interrupts_wake_their_listeners_only() {
    let (kernel, raw) = machine();
    let channel = RawChannel::copy(&raw, copy_engine(2), BASE);
    let flags = NV01_EVENT_NONSTALL_INTR | NV01_EVENT_WITHOUT_EVENT_DATA;
    let own = raw.event(raw.subdevice, (notifiers::CE0 + 2) | flags);
    let any = raw.event(raw.subdevice, notifiers::FIFO_EVENT_MTHD | flags);
    let foreign = raw.event(raw.subdevice, (notifiers::CE0 + 3) | flags);
    channel.push(
        &raw,
        &words(|pb| {
            pb.method(0, host::NON_STALL_INTERRUPT, 0);
        }),
    );
    assert_eq!(kernel.wait_event(own.as_fd(), LONG).unwrap(), EventWait::Signalled);
    assert_eq!(kernel.wait_event(any.as_fd(), LONG).unwrap(), EventWait::Signalled);
    let soon = Duration::from_millis(5);
    assert_eq!(kernel.wait_event(foreign.as_fd(), soon).unwrap(), EventWait::TimedOut);
    assert_eq!(kernel.wait_event(own.as_fd(), soon).unwrap(), EventWait::TimedOut, "the flag was taken");
}

#[test]
fn a_dead_channel_wakes_those_who_armed_for_it() {
    let (kernel, raw) = machine();
    let block = Block::new(&raw, BASE);
    let mut dma = NV_CONTEXT_DMA_ALLOCATION_PARAMS::new_zeroed();
    (dma.hMemory, dma.offset, dma.limit) = (block.memory, NOTIFIER, 0xfff);
    let dma = raw.alloc(raw.device, 0, NV01_CONTEXT_DMA, &mut dma).unwrap();
    let mut params = block.channel_params(&raw, copy_engine(0));
    params.hObjectError = dma;
    let channel = RawChannel::finish(&raw, copy_engine(0), block, raw.device, params);
    let by_notifier = raw.event(dma, NV01_EVENT_WITHOUT_EVENT_DATA);
    let by_index = raw.event(raw.subdevice, notifiers::RC_ERROR | NV01_EVENT_WITHOUT_EVENT_DATA);
    let unarmed = raw.event(raw.subdevice, notifiers::CE0 | NV01_EVENT_WITHOUT_EVENT_DATA);
    let mut arm = NV2080_CTRL_EVENT_SET_NOTIFICATION_PARAMS::new_zeroed();
    (arm.event, arm.action) = (notifiers::RC_ERROR, notification_action::SINGLE);
    raw.control(raw.subdevice, &ctrl::NV2080_CTRL_CMD_EVENT_SET_NOTIFICATION, &mut arm).unwrap();
    channel.push(&raw, &[0xc000_0000]);
    assert_eq!(kernel.wait_event(by_notifier.as_fd(), LONG).unwrap(), EventWait::Signalled);
    assert_eq!(kernel.wait_event(by_index.as_fd(), LONG).unwrap(), EventWait::Signalled);
    assert_eq!(kernel.wait_event(unarmed.as_fd(), Duration::ZERO).unwrap(), EventWait::TimedOut);
    assert_eq!(channel.wait_fault(), 32);
}

#[test]
fn damaged_rings_and_headers_stop_the_channel() {
    let (kernel, raw) = machine();
    let mut place = BASE;
    let mut fault = |act: &dyn Fn(&RawChannel)| {
        place += 0x100_0000;
        let channel = RawChannel::copy(&raw, copy_engine(1), place);
        act(&channel);
        (channel.wait_fault(), kernel.log().pop().unwrap())
    };
    let (xid, line) = fault(&|c| c.push(&raw, &[0x2004_0002, 1]));
    assert_eq!((xid, line.contains("3 words before")), (32, true), "{line}");
    let (xid, line) = fault(&|c| c.push(&raw, &[0xc000_0000]));
    assert_eq!((xid, line.contains("no known opcode")), (32, true), "{line}");
    let (xid, line) = fault(&|c| {
        c.block.store(USERD + host::USERD_GP_PUT as u64, ENTRIES);
        c.ring(&raw);
    });
    assert_eq!((xid, line.contains("GPPut is 64")), (32, true), "{line}");
    let (xid, line) = fault(&|c| {
        c.entry(1 << 32); // Control entry ILLEGAL.
        c.ring(&raw);
    });
    assert_eq!((xid, line.contains("control opcode 1")), (32, true), "{line}");
    let (xid, line) = fault(&|c| {
        c.entry(0x77_0000_0000 | 4 << 42);
        c.ring(&raw);
    });
    assert_eq!((xid, line.contains("0x7700000000")), (31, true), "{line}");
    let unmapped = words(|pb| semaphore(pb, 0x78_0000_0000, 1, e::OPERATION.of(e::OPERATION_ACQUIRE)));
    assert_eq!(fault(&|c| c.push(&raw, &unmapped)).0, 31);
    let crooked = words(|pb| semaphore(pb, 0x78_0000_0002, 1, e::OPERATION.of(e::OPERATION_ACQUIRE)));
    assert_eq!(fault(&|c| c.push(&raw, &crooked)).0, 32);
}

#[test]
fn the_ring_wraps_and_control_entries_pass() {
    let (_, raw) = machine();
    let channel = RawChannel::copy(&raw, copy_engine(0), BASE);
    let push = words(|pb| {
        let add = e::OPERATION.of(e::OPERATION_REDUCTION) | e::REDUCTION.of(e::REDUCTION_IADD);
        semaphore(pb, channel.scratch(), 1, add);
    });
    // Three times around a ring of 64 entries; a NOP entry before each.
    for i in 0..96 {
        channel.entry(0);
        channel.push(&raw, &push);
        channel.wait(SCRATCH, i + 1).unwrap();
    }
}

#[test]
fn channels_of_a_group_share_their_fate() {
    let (kernel, raw) = machine();
    let engine = copy_engine(3);
    let mut params = NV_CHANNEL_GROUP_ALLOCATION_PARAMETERS::new_zeroed();
    (params.engineType, params.hVASpace) = (engine.0, raw.space);
    let group = raw.alloc(raw.device, 0, KEPLER_CHANNEL_GROUP_A, &mut params).unwrap();
    let mut params = NV_CTXSHARE_ALLOCATION_PARAMETERS::new_zeroed();
    params.hVASpace = raw.space;
    let share = raw.alloc(group, 0, FERMI_CONTEXT_SHARE_A, &mut params).unwrap();

    let first = Block::new(&raw, BASE);
    let mut params = first.channel_params(&raw, engine);
    assert_eq!(raw.alloc(group, 0, HOPPER_CHANNEL_GPFIFO_A, &mut params), Err(0x1f), "hVASpace in a group");
    let mut params = first.channel_params(&raw, copy_engine(4));
    params.hVASpace = 0;
    assert_eq!(raw.alloc(group, 0, HOPPER_CHANNEL_GPFIFO_A, &mut params), Err(0x1f), "another engine");
    let in_group = |block: Block, share: u32| {
        let mut params = block.channel_params(&raw, engine);
        (params.hVASpace, params.hContextShare) = (0, share);
        RawChannel::finish(&raw, engine, block, group, params)
    };
    let a = in_group(first, share);
    let b = in_group(Block::new(&raw, BASE + 0x100_0000), 0);
    let outside = RawChannel::copy(&raw, engine, BASE + 0x200_0000);
    let mut params = NVA06C_CTRL_GPFIFO_SCHEDULE_PARAMS::new_zeroed();
    params.bEnable = 1;
    raw.control(group, &ctrl::NVA06C_CTRL_CMD_GPFIFO_SCHEDULE, &mut params).unwrap();

    for channel in [&a, &b, &outside] {
        channel.push(&raw, &words(|pb| semaphore(pb, channel.scratch(), 9, e::OPERATION.of(1))));
        channel.wait(SCRATCH, 9).unwrap();
    }
    a.push(&raw, &[0xc000_0000]);
    assert_eq!((a.wait_fault(), b.wait_fault()), (32, 32));
    outside.push(&raw, &words(|pb| semaphore(pb, outside.scratch(), 10, e::OPERATION.of(1))));
    outside.wait(SCRATCH, 10).unwrap();
    assert_eq!(outside.block.load(NOTIFIER + 12), 0);
    raw.free(group).unwrap();
    assert_eq!(kernel.usage().channels, 1);
}

#[test]
fn a_channel_can_be_freed_while_its_engine_stands_still() {
    let (kernel, raw) = machine();
    let channel = RawChannel::copy(&raw, copy_engine(0), BASE);
    let next = RawChannel::copy(&raw, copy_engine(0), BASE + 0x100_0000);
    kernel.faults().stall(0, copy_engine(0));
    // Object, then a launch that does nothing, which is where a stalled engine stops.
    channel.push(&raw, &[0x2001_8000, HOPPER_DMA_COPY_A, 0x2001_80c0, 0]);
    // A wait without end on top, for the other kind of standing still.
    next.push(&raw, &words(|pb| semaphore(pb, next.scratch(), 1, e::OPERATION.of(e::OPERATION_ACQUIRE))));
    channel.wait(USERD + host::USERD_GP_GET as u64, 1).unwrap();
    raw.free(channel.channel).unwrap();
    raw.free(next.channel).unwrap();
    assert_eq!(kernel.usage().channels, 0);
    kernel.faults().resume(0, copy_engine(0));
    let again = RawChannel::copy(&raw, copy_engine(0), BASE + 0x200_0000);
    again.push(&raw, &words(|pb| semaphore(pb, again.scratch(), 1, e::OPERATION.of(1))));
    again.wait(SCRATCH, 1).unwrap();
}

/// Object, then a launch that does nothing, then a release of `value`.
fn launch(channel: &RawChannel, value: u32) -> Vec<u32> {
    let mut push = vec![0x2001_8000, HOPPER_DMA_COPY_A, 0x2001_80c0, 0];
    push.extend(words(|pb| {
        semaphore(pb, channel.scratch(), value.into(), e::OPERATION.of(e::OPERATION_RELEASE))
    }));
    push
}

/// A way to be rid of the work of a channel that hangs; the last argument has the other channel release a value.
type Way<'a> = &'a dyn Fn(&Raw, &RawChannel, &dyn Fn(u32));

/// RM_FREE of a channel whose engine hangs returns, and resets the engine: nothing more is executed of the channel, and
/// another one on the engine goes on. The same goes for a driver that frees the engine object first, and for a reset.
#[test]
fn freeing_a_channel_whose_engine_hangs_sets_the_engine_free() {
    let free_channel = |raw: &Raw, hung: &RawChannel, _: &dyn Fn(u32)| raw.free(hung.channel).unwrap();
    let free_object = |raw: &Raw, hung: &RawChannel, run_other: &dyn Fn(u32)| {
        raw.free(hung.object).unwrap();
        // The engine's thread looks at all channels between the two calls.
        hung.ring(raw);
        run_other(6);
        raw.free(hung.channel).unwrap();
    };
    let reset = |raw: &Raw, channel: &RawChannel, _: &dyn Fn(u32)| {
        let mut params = ctrl::NV906F_CTRL_CMD_RESET_CHANNEL_PARAMS::new_zeroed();
        raw.control(channel.channel, &ctrl::NV906F_CTRL_CMD_RESET_CHANNEL, &mut params).unwrap();
    };
    let ways: [(&str, Way<'_>, u32); 3] =
        [("channel", &free_channel, 0), ("object first", &free_object, 0), ("reset", &reset, 43)];
    for (name, way, xid) in ways {
        let (kernel, raw) = machine();
        let (other_client, engine) = (Raw::open(&kernel), copy_engine(0));
        let hung = RawChannel::copy(&raw, engine, BASE);
        let other = RawChannel::copy(&other_client, engine, BASE);
        kernel.faults().fault_launch(0, engine, 1, LaunchFault::Hang);
        hung.push(&raw, &launch(&hung, 1));
        hung.wait(SCRATCH, 1).unwrap();
        // The second launch hangs; there is more of the same push buffer and of the ring behind it.
        hung.push(&raw, &[launch(&hung, 2), launch(&hung, 3)].concat());
        hung.push(&raw, &launch(&hung, 4));
        hung.wait(USERD + host::USERD_GP_GET as u64, 2).unwrap();
        other.push(&other_client, &launch(&other, 5));
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!((hung.block.load(SCRATCH), other.block.load(SCRATCH)), (1, 0), "{name}: the engine hangs");
        let run_other = |value| {
            other.push(&other_client, &launch(&other, value));
            other.wait(SCRATCH, value).unwrap_or_else(|v| panic!("{name}: the engine still hangs at {v}"));
        };
        way(&raw, &hung, &run_other);
        run_other(7);
        assert_eq!(hung.block.load(SCRATCH), 1, "{name}: the channel went on");
        assert_eq!(hung.block.load(NOTIFIER + 8), xid, "{name}");
        assert_eq!(kernel.log().len(), usize::from(xid != 0), "{name}: {:?}", kernel.log());
        assert_eq!(kernel.usage().channels, if xid == 0 { 1 } else { 2 }, "{name}");
    }
}

#[test]
fn a_hang_ends_when_the_engine_is_resumed() {
    let (kernel, raw) = machine();
    let channel = RawChannel::copy(&raw, copy_engine(0), BASE);
    kernel.faults().fault_next_launch(0, copy_engine(0), LaunchFault::Hang);
    channel.push(&raw, &launch(&channel, 1));
    std::thread::sleep(Duration::from_millis(5));
    assert_eq!(channel.block.load(SCRATCH), 0);
    kernel.faults().resume(0, copy_engine(0));
    channel.wait(SCRATCH, 1).unwrap();
}

#[test]
fn a_later_launch_faults_and_a_slow_engine_takes_its_time() {
    let (kernel, raw) = machine();
    let (engine, delay) = (copy_engine(0), Duration::from_millis(20));
    let channel = RawChannel::copy(&raw, engine, BASE);
    kernel.faults().slow_down(0, engine, delay);
    kernel.faults().fault_launch(0, engine, 2, LaunchFault::Mmu { address: 0x77_0000_0000 });
    let start = std::time::Instant::now();
    for value in 1..4 {
        channel.push(&raw, &launch(&channel, value));
    }
    assert_eq!(channel.wait_fault(), 31);
    assert!(start.elapsed() >= 3 * delay, "each launch takes longer, also the one that faults");
    assert_eq!(channel.block.load(SCRATCH), 2, "two launches succeeded");
    assert!(kernel.log()[0].contains("0x7700000000"), "{:?}", kernel.log());
}

/// The driver's account of GPU memory: a channel takes its instance block and the context of its engine object.
#[test]
fn channels_take_gpu_memory_until_they_are_freed() {
    let (kernel, raw) = machine();
    let taken = || kernel.usage().channel_memory;
    let channel = RawChannel::copy(&raw, copy_engine(0), BASE);
    let with_object = taken();
    raw.free(channel.object).unwrap();
    let with_channel = taken();
    assert!(0 < with_channel && with_channel < with_object, "{with_channel} {with_object}");
    raw.free(channel.channel).unwrap();
    assert_eq!((taken(), kernel.usage().vidmem), (0, 0));

    // Without any left there is no channel.
    let all = GpuModel::h200().vidmem_mib << 20;
    let huge_pages = all - all % (2 << 20);
    let _most = raw.memory(NV01_MEMORY_LOCAL_USER, huge_pages).unwrap();
    let rest = raw.memory(NV01_MEMORY_LOCAL_USER, all - huge_pages).unwrap();
    let block = Block::new(&raw, BASE + 0x100_0000);
    let mut params = block.channel_params(&raw, copy_engine(0));
    let no_memory = RmStatus::NV_ERR_NO_MEMORY.0;
    assert_eq!(raw.alloc(raw.device, 0, HOPPER_CHANNEL_GPFIFO_A, &mut params), Err(no_memory));
    raw.free(rest).unwrap();
    raw.alloc(raw.device, 0, HOPPER_CHANNEL_GPFIFO_A, &mut params).unwrap();
    assert_eq!(kernel.usage().channels, 1, "the call that failed took no channel");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]
    #[test]
    fn any_push_buffer_leaves_the_machine_whole(
        words in prop::collection::vec(
            prop_oneof![
                any::<u32>(),
                // Headers of every kind for host and copy methods.
                (0u32..8, 0u32..6, prop::sample::select(vec![0u32, 4]), 0u32..0x800)
                    .prop_map(|(op, count, sub, method)| op << 29 | count << 16 | sub << 13 | (method >> 2)),
                Just(0x2001_8000),
                Just(u32::from(HOPPER_DMA_COPY_A as u16)),
            ],
            1..200,
        ),
    ) {
        let (kernel, raw) = machine();
        let wild = RawChannel::copy(&raw, copy_engine(0), BASE);
        let tame = RawChannel::copy(&raw, copy_engine(0), BASE + 0x100_0000);
        wild.push(&raw, &words);
        tame.push(&raw, &self::words(|pb| semaphore(pb, tame.scratch(), 1, e::OPERATION.of(1))));
        tame.wait(SCRATCH, 1).unwrap();
        raw.free(wild.channel).unwrap();
        drop((raw, wild, tame));
        prop_assert_eq!(kernel.usage(), Usage::default());
    }
}
