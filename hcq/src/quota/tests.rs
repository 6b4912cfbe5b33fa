use std::time::Duration;

use super::*;
use crate::kernel::emulated::{Call, EmulatedKernel, Failure, GpuModel};
use crate::{CopyCommands, CopyQueue, Device, Placement, allocation_size};
use nvkernel_sys::class::NV01_MEMORY_LOCAL_USER;
use nvkernel_sys::ioctl::NV_ESC_RM_MAP_MEMORY_DMA;
use nvkernel_sys::status::RmStatus;

const LONG: Duration = Duration::from_secs(60);
const MIB: u64 = 1 << 20;

fn device() -> (EmulatedKernel, Device) {
    let kernel = EmulatedKernel::new(GpuModel::h200()).unwrap();
    let device = Device::open(Arc::new(kernel.clone()), 0).unwrap();
    (kernel, device)
}

fn limited(bytes: u64) -> Arc<Quota> {
    let quota = Arc::new(Quota::default());
    quota.set_limit(Some(bytes));
    quota
}

#[test]
fn what_exceeds_the_limit_is_not_allocated() {
    let (kernel, device) = device();
    let quota = limited(8 * MIB);
    let allocate = |size| device.allocate_charged(size, Placement::Vidmem, &quota);
    let held = allocate(6 * MIB).unwrap();
    let before = kernel.usage();
    let error = allocate(3 * MIB).unwrap_err();
    assert!(
        matches!(error, Error::QuotaExceeded { size, charged, limit }
            if (size, charged, limit) == (3 * MIB, 6 * MIB, 8 * MIB)),
        "{error}"
    );
    assert_eq!((kernel.usage(), quota.charged()), (before, 6 * MIB));
    assert!(quota.has_room(2 * MIB) && !quota.has_room(2 * MIB + 1));
    // Whole pages count, and memory that is not charged does not.
    let small = allocate(1).unwrap();
    assert_eq!(quota.charged(), 6 * MIB + allocation_size(1, Placement::Vidmem));
    let other = device.allocate(64 * MIB, Placement::Vidmem).unwrap();
    drop(held.slice(0, 16));
    drop((held, small));
    assert_eq!(quota.charged(), 0);
    drop(allocate(8 * MIB).unwrap());
    drop(other);
}

#[test]
fn a_lower_limit_leaves_what_there_is() {
    let (_, device) = device();
    let quota = Arc::new(Quota::default());
    let held = device.allocate_charged(6 * MIB, Placement::Vidmem, &quota).unwrap();
    quota.set_limit(Some(4 * MIB));
    assert!(device.allocate_charged(MIB, Placement::Vidmem, &quota).is_err());
    assert_eq!((quota.limit(), quota.charged()), (Some(4 * MIB), 6 * MIB));
    drop(held);
    quota.set_limit(None);
    assert_eq!(quota.limit(), None);
    assert!(device.allocate_charged(6 * MIB, Placement::Vidmem, &quota).is_ok());
}

/// Memory without an owner that an engine works in is charged until the driver has it back.
#[test]
fn parked_memory_counts() {
    let (kernel, device) = device();
    let copy = CopyQueue::new(&device, None).unwrap();
    let engine = copy.queue().engine();
    let quota = limited(8 * MIB);
    let buffer = device.allocate_charged(6 * MIB, Placement::Vidmem, &quota).unwrap();
    assert!(!device.wait_to_reclaim(LONG).unwrap(), "nothing is parked");
    kernel.faults().stall(0, engine);
    let mut commands = CopyCommands::new();
    commands.fill(&buffer, 1).unwrap();
    copy.submit(&[], commands).unwrap();
    drop(buffer);
    assert_eq!(quota.charged(), 6 * MIB);
    assert!(device.allocate_charged(6 * MIB, Placement::Vidmem, &quota).is_err());
    let error = device.wait_to_reclaim(Duration::from_millis(50)).unwrap_err();
    assert!(matches!(error, Error::Stalled { .. }), "{error}");
    assert_eq!((quota.charged(), kernel.usage().vidmem), (6 * MIB, 6 * MIB));
    let waiting = std::thread::spawn({
        let device = device.clone();
        move || device.wait_to_reclaim(LONG)
    });
    kernel.faults().resume(0, engine);
    assert!(waiting.join().unwrap().unwrap());
    assert_eq!((quota.charged(), kernel.usage().vidmem), (0, 0));
    drop(device.allocate_charged(6 * MIB, Placement::Vidmem, &quota).unwrap());
}

#[test]
fn what_cannot_be_allocated_is_not_charged() {
    let (kernel, device) = device();
    let quota = limited(8 * MIB);
    for call in [Call::Alloc(NV01_MEMORY_LOCAL_USER), Call::Ioctl(NV_ESC_RM_MAP_MEMORY_DMA)] {
        kernel.faults().fail_call(call, 0, Failure::Status(RmStatus::NV_ERR_NO_MEMORY));
        assert!(device.allocate_charged(MIB, Placement::Vidmem, &quota).is_err());
        assert_eq!((quota.charged(), kernel.faults().pending_calls()), (0, 0));
    }
}

/// Threads that allocate and free at once: the driver never has more than the limit.
#[test]
fn the_limit_holds_among_threads() {
    let (kernel, device) = device();
    let quota = limited(5 * MIB);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let held = device.allocate_charged(2 * MIB, Placement::Vidmem, &quota);
                    let usage = kernel.usage().vidmem;
                    assert!(usage <= 5 * MIB, "{usage}");
                    drop(held);
                }
            });
        }
    });
    assert_eq!(quota.charged(), 0);
}
