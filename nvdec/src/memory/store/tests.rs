use std::time::Duration;

use hcq::CopyCommands;
use hcq::kernel::emulated::{Call, Failure, GpuModel};
use nvkernel_sys::class::{NV01_EVENT_OS_EVENT, NV01_MEMORY_LOCAL_USER, NV01_MEMORY_SYSTEM};
use nvkernel_sys::ioctl::NV_ESC_RM_MAP_MEMORY_DMA;
use nvkernel_sys::status::RmStatus;
use proptest::prelude::*;

use super::*;
use crate::memory::AtLimit;
use crate::testing::Machine;
use crate::{Context, Error};

const LONG: Duration = Duration::from_secs(60);
const MIB: u64 = 1 << 20;
const NO_MEMORY: Failure = Failure::Status(RmStatus::NV_ERR_NO_MEMORY);

fn vidmem(context: &Context) -> u64 {
    context.kept_memory(Placement::Vidmem)
}

fn sysmem(context: &Context) -> u64 {
    context.kept_memory(Placement::Sysmem)
}

fn allocate(context: &Context, size: u64, purpose: Purpose) -> Lease {
    context.memory().allocate(size, purpose, AtLimit::Wait).unwrap()
}

/// Allocates memory and gives it back; its address.
fn keep(context: &Context, size: u64, purpose: Purpose) -> u64 {
    allocate(context, size, purpose).gpu_address()
}

fn bytes(memory: &DeviceBuffer) -> Vec<u8> {
    let mut bytes = vec![0; memory.size() as usize];
    memory.view().unwrap().copy_out(0, &mut bytes);
    bytes
}

#[test]
fn only_the_same_size_for_the_same_purpose_is_used_again() {
    let machine = Machine::h200();
    let context = &machine.context;
    let address = keep(context, 3 * MIB - 5, Purpose::Filled);
    assert_eq!((vidmem(context), sysmem(context)), (3 * MIB, 0));
    let before = machine.kernel.usage();
    let others = [
        allocate(context, 3 * MIB - (64 << 10), Purpose::Filled),
        allocate(context, 3 * MIB + 1, Purpose::Filled),
        allocate(context, 3 * MIB, Purpose::Status),
        allocate(context, 3 * MIB, Purpose::Upload),
    ];
    assert!(others.iter().all(|other| other.gpu_address() != address));
    assert_eq!(machine.kernel.usage().objects, before.objects + others.len());
    assert_eq!(vidmem(context), 3 * MIB);
    // The same number of pages.
    let again = allocate(context, 3 * MIB - 77, Purpose::Filled);
    assert_eq!((again.gpu_address(), again.size()), (address, 3 * MIB));
    assert_eq!(vidmem(context), 0);
    drop(others);
    drop(again);
    assert_eq!((vidmem(context), sysmem(context)), (machine.kernel.usage().vidmem, 3 * MIB));
}

#[test]
fn what_others_hold_is_not_handed_out() {
    let machine = Machine::h200();
    let context = &machine.context;
    let lease = allocate(context, MIB, Purpose::Filled);
    let (address, slice) = (lease.gpu_address(), lease.slice(4096, 16));
    drop(lease);
    assert_eq!(vidmem(context), MIB, "it counts all the same");
    let other = allocate(context, MIB, Purpose::Filled);
    assert_ne!(other.gpu_address(), address);
    drop(slice);
    assert_eq!(keep(context, MIB, Purpose::Filled), address);
}

/// Nobody gets memory that an engine works in; once it is done the memory is there, whether or not the queue is used again.
#[test]
fn what_a_queue_works_in_is_had_when_it_is_done() {
    let machine = Machine::h200();
    let context = &machine.context;
    let copy = context.copy_queue().unwrap();
    let engine = copy.queue().engine();
    machine.kernel.faults().stall(0, engine);
    let (lease, filled) = context.memory().allocate_filled(MIB, 7, AtLimit::Wait).unwrap();
    let address = lease.gpu_address();
    drop(lease);
    let other = allocate(context, MIB, Purpose::Filled);
    assert_ne!(other.gpu_address(), address, "the copy engine still writes to it");
    machine.kernel.faults().resume(0, engine);
    filled.wait(LONG).unwrap();
    assert_eq!(keep(context, MIB, Purpose::Filled), address);
}

/// A reader may be known by a point alone.
#[test]
fn what_is_in_use_until_a_point_is_had_behind_it() {
    let machine = Machine::h200();
    let context = &machine.context;
    let copy = context.copy_queue().unwrap();
    let engine = copy.queue().engine();
    machine.kernel.faults().stall(0, engine);
    let point = copy.submit(&[], CopyCommands::new()).unwrap();
    let lease = allocate(context, MIB, Purpose::Filled);
    let address = lease.gpu_address();
    lease.give_back([&point].into_iter());
    let other = allocate(context, MIB, Purpose::Filled);
    assert_ne!(other.gpu_address(), address);
    machine.kernel.faults().resume(0, engine);
    point.wait(LONG).unwrap();
    assert_eq!(keep(context, MIB, Purpose::Filled), address);
}

#[test]
fn the_oldest_leave_first() {
    let machine = Machine::h200();
    let context = &machine.context;
    for size in [100, 102, 50] {
        keep(context, size * MIB, Purpose::Filled);
    }
    // The one of 102 MiB is the latest from now on.
    keep(context, 102 * MIB, Purpose::Filled);
    assert_eq!(vidmem(context), 252 * MIB);
    keep(context, 8 * MIB, Purpose::Status);
    assert_eq!(vidmem(context), (102 + 50 + 8) * MIB);
    assert_eq!(machine.kernel.usage().vidmem, 160 * MIB, "what left was freed");
    // Host memory has a cap of its own.
    for size in [10, 12, 14] {
        keep(context, size * MIB, Purpose::Upload);
    }
    assert_eq!((vidmem(context), sysmem(context)), (160 * MIB, 26 * MIB));
}

/// Nor does what is too large to be kept push others out.
#[test]
fn no_size_pushes_all_others_out() {
    let machine = Machine::h200();
    let context = &machine.context;
    let motion = keep(context, 16 * MIB, Purpose::Filled);
    let surfaces: Vec<Lease> = (0..20).map(|_| allocate(context, 12 * MIB, Purpose::Filled)).collect();
    let addresses: Vec<u64> = surfaces.iter().map(|surface| surface.gpu_address()).collect();
    surfaces.into_iter().for_each(drop);
    keep(context, 129 * MIB, Purpose::Filled);
    assert_eq!(vidmem(context), (16 + 10 * 12) * MIB);
    assert_eq!(keep(context, 16 * MIB, Purpose::Filled), motion);
    let kept: Vec<Lease> = (0..10).map(|_| allocate(context, 12 * MIB, Purpose::Filled)).collect();
    let kept: Vec<u64> = kept.iter().map(|surface| surface.gpu_address()).collect();
    assert!(kept.iter().eq(addresses[10..].iter().rev()), "the younger half, the last first");
}

#[test]
fn the_limit_counts_what_is_kept() {
    let machine = Machine::h200();
    let context = &machine.context;
    for size in [4, 6, 8, 10] {
        keep(context, size * MIB, Purpose::Filled);
    }
    keep(context, 4 * MIB, Purpose::Upload);
    context.set_memory_limit(Some(25 * MIB));
    assert_eq!(vidmem(context), 24 * MIB);
    let mut reservation = context.memory().reserve();
    assert!(reservation.resize(10 * MIB));
    assert_eq!((vidmem(context), context.reserved_memory()), (10 * MIB, 10 * MIB));
    assert!(!reservation.resize(26 * MIB), "it would exceed the limit by itself");
    assert_eq!(vidmem(context), 10 * MIB);
    assert!(reservation.resize(25 * MIB));
    assert_eq!((vidmem(context), machine.kernel.usage().vidmem), (0, 0));
    keep(context, MIB, Purpose::Filled);
    assert_eq!(vidmem(context), 0, "nothing is left for it");
    drop(reservation);
    keep(context, MIB, Purpose::Filled);
    assert_eq!(vidmem(context), MIB);
    assert_eq!(sysmem(context), 4 * MIB, "host memory does not count");
}

#[test]
fn all_of_it_can_be_given_back() {
    let machine = Machine::h200();
    let context = &machine.context;
    let (lease, filled) = context.memory().allocate_filled(MIB, 7, AtLimit::Wait).unwrap();
    filled.wait(LONG).unwrap();
    drop(lease);
    keep(context, MIB, Purpose::Upload);
    let before = machine.kernel.usage();
    context.release_memory();
    assert_eq!((vidmem(context), sysmem(context)), (0, 0));
    let after = machine.kernel.usage();
    assert_eq!((after.vidmem, before.sysmem - after.sysmem), (0, MIB), "although the queue still held it");
}

#[test]
fn a_gpu_without_memory_gets_back_what_is_kept() {
    let mut model = GpuModel::h200();
    model.vidmem_mib = 64;
    let machine = Machine::new(model);
    let context = &machine.context;
    context.set_memory_limit(None);
    let held = allocate(context, 20 * MIB, Purpose::Filled);
    keep(context, 24 * MIB, Purpose::Filled);
    keep(context, 2 * MIB, Purpose::Upload);
    let other = allocate(context, 26 * MIB, Purpose::Filled);
    assert_eq!((vidmem(context), sysmem(context)), (0, 0));
    let error = context.memory().allocate(24 * MIB, Purpose::Filled, AtLimit::Wait).unwrap_err();
    assert!(error.is_out_of_memory(), "{error}");
    drop((held, other));
}

/// Tried once more, and once only; and nothing is given back when something else is wrong.
#[test]
fn an_allocation_that_fails_is_tried_once_more() {
    let machine = Machine::h200();
    let context = &machine.context;
    let faults = machine.kernel.faults();
    for (call, purpose) in [
        (Call::Alloc(NV01_MEMORY_LOCAL_USER), Purpose::Filled),
        (Call::Alloc(NV01_MEMORY_SYSTEM), Purpose::Upload),
        (Call::Ioctl(NV_ESC_RM_MAP_MEMORY_DMA), Purpose::Status),
    ] {
        keep(context, MIB, Purpose::Filled);
        faults.fail_call(call, 0, NO_MEMORY);
        drop(allocate(context, 2 * MIB, purpose));
        assert_eq!(vidmem(context) + sysmem(context), 2 * MIB, "of the present one alone");
        faults.fail_call(call, 0, NO_MEMORY);
        faults.fail_call(call, 0, NO_MEMORY);
        assert!(context.memory().allocate(3 * MIB, purpose, AtLimit::Wait).unwrap_err().is_out_of_memory());
        assert_eq!((vidmem(context), sysmem(context), faults.pending_calls()), (0, 0, 0));
        faults.fail_call(call, 0, NO_MEMORY);
        assert!(
            context.memory().allocate(3 * MIB, purpose, AtLimit::Wait).is_err(),
            "there is nothing to give back"
        );
        keep(context, MIB, Purpose::Filled);
        faults.fail_call(call, 0, Failure::Status(RmStatus::NV_ERR_INVALID_STATE));
        assert!(context.memory().allocate(3 * MIB, purpose, AtLimit::Wait).is_err());
        assert_eq!(vidmem(context), MIB);
        context.release_memory();
    }
}

/// Queues need memory as well.
#[test]
fn a_queue_that_fails_is_tried_once_more() {
    let machine = Machine::h200();
    let context = &machine.context;
    let engine = context.engines()[0];
    let open: [&dyn Fn() -> bool; 2] =
        [&|| context.video_queue(engine, crate::Priority::Bulk).is_ok(), &|| context.copy_queue().is_ok()];
    for open in open {
        keep(context, MIB, Purpose::Filled);
        machine.kernel.faults().fail_call(Call::Alloc(NV01_MEMORY_SYSTEM), 0, NO_MEMORY);
        assert!(open());
        assert_eq!((vidmem(context), machine.kernel.faults().pending_calls()), (0, 0));
    }
}

#[test]
fn uploads_begin_with_zeroes() {
    let machine = Machine::h200();
    let context = &machine.context;
    let mut lease = allocate(context, MIB, Purpose::Upload);
    lease.view().unwrap().fill(0, 5000, 0x5a);
    lease.written_to(3000);
    lease.written_to(5000);
    lease.written_to(10);
    let (address, in_flight) = (lease.gpu_address(), lease.slice(0, 5000));
    drop(lease);
    assert_ne!(keep(context, MIB, Purpose::Upload), address);
    assert!(bytes(&in_flight).iter().all(|&byte| byte == 0x5a), "an engine may still read it");
    drop(in_flight);
    let kept = [allocate(context, MIB, Purpose::Upload), allocate(context, MIB, Purpose::Upload)];
    let lease = kept.iter().find(|lease| lease.gpu_address() == address).expect("both were kept");
    assert!(bytes(lease).iter().all(|&byte| byte == 0));
}

#[test]
fn filled_memory_has_nothing_of_what_was_there() {
    let machine = Machine::h200();
    let context = &machine.context;
    let (lease, filled) = context.memory().allocate_filled(3 * MIB - 4, 0, AtLimit::Wait).unwrap();
    filled.wait(LONG).unwrap();
    lease.view().unwrap().fill(0, 3 * MIB as usize, 0x5a);
    let address = lease.gpu_address();
    drop(lease);
    let (lease, filled) =
        context.memory().allocate_filled(3 * MIB - 100, 0x0102_0304, AtLimit::Wait).unwrap();
    filled.wait(LONG).unwrap();
    assert_eq!(lease.gpu_address(), address);
    assert!(bytes(&lease).chunks(4).all(|word| word == [4, 3, 2, 1]), "to its last page");
}

#[test]
fn memory_outlives_its_context() {
    let machine = Machine::h200();
    let kernel = machine.kernel.clone();
    let lease = allocate(&machine.context, MIB, Purpose::Filled);
    keep(&machine.context, 2 * MIB, Purpose::Filled);
    drop(machine);
    assert_eq!(kernel.usage().vidmem, MIB);
    drop(lease);
    assert_eq!(kernel.usage(), hcq::kernel::emulated::Usage::default());
}

#[derive(Clone, Debug)]
enum Step {
    Allocate(u64, Purpose),
    /// A slice of what is held, which lives longer.
    Share(prop::sample::Index),
    GiveBack(prop::sample::Index),
    Forget(prop::sample::Index),
    Limit(Option<u64>),
    Reserve(u64),
    Release,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let purposes = prop::sample::select(vec![Purpose::Filled, Purpose::Status, Purpose::Upload]);
    let step = prop_oneof![
        // Sizes that reach both caps, and the share, within a few dozen steps.
        8 => (prop::sample::select(vec![1, 3, 9, 14, 40, 70, 140]), purposes)
            .prop_map(|(size, purpose)| Step::Allocate(size * MIB, purpose)),
        1 => any::<prop::sample::Index>().prop_map(Step::Share),
        8 => any::<prop::sample::Index>().prop_map(Step::GiveBack),
        1 => any::<prop::sample::Index>().prop_map(Step::Forget),
        1 => prop::option::of(0..400 * MIB).prop_map(Step::Limit),
        2 => (0..300 * MIB).prop_map(Step::Reserve),
        1 => Just(Step::Release),
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Nothing is handed out twice, nothing is lost, and the caps and the limit hold at every moment.
    #[test]
    fn bounds_hold_whatever_comes(steps in steps()) {
        let machine = Machine::h200();
        let context = &machine.context;
        let mut reservation = context.memory().reserve();
        let mut held: Vec<Lease> = Vec::new();
        let mut shared: Vec<DeviceBuffer> = Vec::new();
        for step in steps {
            match step {
                Step::Allocate(size, purpose) => {
                    let limit = context.memory_limit().unwrap_or(u64::MAX);
                    let before = machine.kernel.usage().vidmem;
                    let lease = match context.memory().allocate(size, purpose, AtLimit::Wait) {
                        Ok(lease) => lease,
                        Err(error) => {
                            prop_assert!(matches!(error, Error::MemoryLimit { .. }), "{}", error);
                            prop_assert!(purpose != Purpose::Upload);
                            let after = machine.kernel.usage().vidmem;
                            let size = hcq::allocation_size(size, purpose.placement());
                            prop_assert!(after + size > limit, "{} and {} of {}", after, size, limit);
                            continue;
                        }
                    };
                    let after = machine.kernel.usage().vidmem;
                    prop_assert!(after <= before.max(limit), "{} after {} of {}", after, before, limit);
                    prop_assert_eq!(lease.size(), hcq::allocation_size(size, purpose.placement()));
                    prop_assert_eq!(lease.placement(), purpose.placement());
                    let buffers = held.iter().map(|held| held.buffer()).chain(&shared);
                    for buffer in buffers {
                        prop_assert!(!lease.contains(buffer.gpu_address(), 1), "{:?} {:?}", lease, buffer);
                    }
                    held.push(lease);
                }
                Step::Share(which) if !held.is_empty() => {
                    let lease = &held[which.index(held.len())];
                    shared.push(lease.slice(lease.size() / 2, 64));
                }
                Step::GiveBack(which) if !held.is_empty() => {
                    held.swap_remove(which.index(held.len()));
                }
                Step::Forget(which) if !shared.is_empty() => {
                    shared.swap_remove(which.index(shared.len()));
                }
                Step::Limit(limit) => context.set_memory_limit(limit),
                Step::Reserve(bytes) => {
                    let before = context.reserved_memory();
                    let allowed = bytes <= before || context.memory_limit().is_none_or(|limit| bytes <= limit);
                    prop_assert_eq!(reservation.resize(bytes), allowed);
                    prop_assert_eq!(context.reserved_memory(), if allowed { bytes } else { before });
                }
                Step::Release => context.release_memory(),
                Step::Share(_) | Step::GiveBack(_) | Step::Forget(_) => {}
            }
            prop_assert!(vidmem(context) <= KEPT_VIDMEM && sysmem(context) <= KEPT_SYSMEM);
            if let Some(limit) = context.memory_limit() {
                prop_assert!(vidmem(context) <= limit.saturating_sub(context.reserved_memory()));
            }
            let of = |purpose: Purpose| held.iter().filter(move |h| h.placement() == purpose.placement());
            let taken: u64 = of(Purpose::Filled).map(|held| held.size()).sum();
            let usage = machine.kernel.usage().vidmem;
            prop_assert!(usage >= taken + vidmem(context));
            prop_assert_eq!(usage, context.allocated_memory());
            if shared.is_empty() {
                prop_assert_eq!(usage, taken + vidmem(context));
            }
        }
    }
}

/// An event is made before the first copy that somebody may wait for, and asked for once; the clearing of memory does without.
#[test]
fn only_copies_that_may_be_waited_for_have_an_event() {
    let machine = Machine::h200();
    let (context, faults) = (&machine.context, machine.kernel.faults());
    let refuse = || {
        let status = RmStatus::NV_ERR_INSUFFICIENT_RESOURCES;
        faults.fail_call(Call::Alloc(NV01_EVENT_OS_EVENT), 0, Failure::Status(status));
    };
    refuse();
    let (_lease, filled) = context.memory().allocate_filled(MIB, 7, AtLimit::Wait).unwrap();
    filled.wait(LONG).unwrap();
    assert_eq!(faults.pending_calls(), 1, "there is no event");
    let point = context.copy_queue().unwrap().submit(&[], CopyCommands::new()).unwrap();
    assert_eq!(faults.pending_calls(), 0);
    point.wait(LONG).unwrap();
    refuse();
    context.copy_queue().unwrap().submit(&[], CopyCommands::new()).unwrap().wait(LONG).unwrap();
    assert_eq!(faults.pending_calls(), 1, "it is not asked for again");
}
