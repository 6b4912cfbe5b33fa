use std::time::Duration;

use hcq::kernel::emulated::Usage;
use hcq::{CopyCommands, CopyQueue, EngineKind, EngineType, Placement};
use proptest::prelude::*;

use super::*;
use crate::class::Chroma;
use crate::surface::SurfaceFormat;
use crate::testing::{Machine, pending_uses, pending_write};

const LONG: Duration = Duration::from_secs(60);

fn geometry(bit_depth: u8, chroma: Chroma, width: u32, height: u32) -> SurfaceGeometry {
    SurfaceGeometry::new(SurfaceFormat::new(chroma, bit_depth), width, height)
}

fn small() -> SurfaceGeometry {
    geometry(8, Chroma::C420, 208, 120)
}

/// Waits for all that still uses a surface, and reads it.
fn bytes(surface: &Surface) -> Vec<u8> {
    for point in pending_uses(surface) {
        point.wait(LONG).unwrap();
    }
    let mut bytes = vec![0; surface.geometry().bytes() as usize];
    surface.buffer().view().unwrap().copy_out(0, &mut bytes);
    bytes
}

#[test]
fn surfaces_are_grey_before_their_first_use() {
    let machine = Machine::h200();
    for (depth, chroma, words) in
        [(8, Chroma::C420, [0x80, 0x80]), (10, Chroma::C420, [0, 0x80]), (12, Chroma::C444, [0, 0x80])]
    {
        let geometry = geometry(depth, chroma, 202, 150);
        // What another program left in the memory.
        let old = machine.context.device().allocate(geometry.bytes(), Placement::Vidmem).unwrap();
        old.view().unwrap().fill(0, geometry.bytes() as usize, 0x5a);
        drop(old);
        let pool = SurfacePool::new(machine.context.memory(), geometry, 2, Reuse::First);
        let surface = pool.take().unwrap().unwrap();
        assert!(bytes(&surface).chunks(2).all(|word| word == words), "{}", geometry.format);
    }
}

/// Surfaces that a pool, or a frame that outlived it, gave back are the next pool's, and show nothing of before.
#[test]
fn surfaces_of_a_pool_that_is_gone_are_grey_in_the_next() {
    let machine = Machine::h200();
    let new = || SurfacePool::new(machine.context.memory(), small(), 2, Reuse::First);
    let pool = new();
    let surfaces = [pool.take().unwrap().unwrap(), pool.take().unwrap().unwrap()];
    let mut addresses = [0, 1].map(|i| surfaces[i].luma_address());
    for surface in &surfaces {
        bytes(surface); // the clear is done
        surface.buffer().view().unwrap().fill(0, surface.buffer().size() as usize, 0x5a);
    }
    let objects = machine.kernel.usage().objects;
    let [returned, kept] = surfaces;
    drop(returned);
    drop(pool);
    assert!(bytes(&kept).iter().all(|&byte| byte == 0x5a), "its holder still sees it");
    drop(kept);
    let pool = new();
    let surfaces = [pool.take().unwrap().unwrap(), pool.take().unwrap().unwrap()];
    let mut again = [0, 1].map(|i| surfaces[i].luma_address());
    addresses.sort_unstable();
    again.sort_unstable();
    assert_eq!((again, machine.kernel.usage().objects), (addresses, objects));
    for surface in &surfaces {
        assert!(bytes(surface).iter().all(|&byte| byte == 0x80));
    }
}

/// Whoever reads a surface that outlives its pool is waited for as before.
#[test]
fn uses_survive_the_pool() {
    let machine = Machine::h200();
    let engine = EngineType::of(EngineKind::Copy, 3).unwrap();
    let other = CopyQueue::new(machine.context.device(), Some(engine)).unwrap();
    let new = || SurfacePool::new(machine.context.memory(), small(), 2, Reuse::First);
    for outlives in [false, true] {
        let pool = new();
        let surface = pool.take().unwrap().unwrap();
        bytes(&surface);
        let address = surface.luma_address();
        machine.kernel.faults().stall(0, engine);
        let point = other.submit(&[], CopyCommands::new()).unwrap();
        surface.use_until(point.clone());
        if outlives {
            drop(pool);
            drop(surface);
        } else {
            drop(surface);
            drop(pool);
        }
        assert_ne!(new().take().unwrap().unwrap().luma_address(), address);
        machine.kernel.faults().resume(0, engine);
        point.wait(LONG).unwrap();
        let pool = new();
        let surfaces = [pool.take().unwrap().unwrap(), pool.take().unwrap().unwrap()];
        assert!(surfaces.iter().any(|surface| surface.luma_address() == address), "it was kept");
        drop(surfaces);
        drop(pool);
        machine.context.release_memory();
    }
}

#[test]
fn clearing_is_a_use_that_engines_wait_for() {
    let machine = Machine::h200();
    let pool = SurfacePool::new(machine.context.memory(), small(), 1, Reuse::First);
    let engine = machine.context.copy_queue().unwrap().queue().engine();
    machine.kernel.faults().stall(0, engine);
    let surface = pool.take().unwrap().unwrap();
    let clear = pending_write(&surface).expect("the clear is under way");
    assert_eq!(clear.timeline().engine(), engine);
    assert_eq!(pending_uses(&surface).len(), 1);
    machine.kernel.faults().resume(0, engine);
    clear.wait(LONG).unwrap();
    assert!(pending_uses(&surface).is_empty());
}

#[test]
fn the_budget_holds_and_drops_give_back() {
    let machine = Machine::h200();
    let pool = SurfacePool::new(machine.context.memory(), small(), 3, Reuse::First);
    assert_eq!((pool.capacity(), pool.budget()), (3, 3 * small().bytes()));
    let first = machine.kernel.usage().vidmem;
    let taken: Vec<_> = (0..3).map(|_| pool.take().unwrap().unwrap()).collect();
    assert!(pool.take().unwrap().is_none());
    assert_eq!(pool.in_use(), 3);
    let full = machine.kernel.usage().vidmem;
    assert!(full > first);
    let addresses: Vec<_> = taken.iter().map(Surface::luma_address).collect();
    let clone = taken[1].clone();
    drop(taken);
    assert_eq!(pool.in_use(), 1, "a clone keeps its surface");
    assert!(clone.same(&clone.clone()));
    drop(clone);
    // Longest returned first, and no memory beside what there is.
    let again: Vec<_> = (0..3).map(|_| pool.take().unwrap().unwrap().luma_address()).collect();
    assert_eq!(again, [addresses[0], addresses[2], addresses[1]]);
    let _beyond =
        [pool.take().unwrap().unwrap(), pool.take().unwrap().unwrap(), pool.take().unwrap().unwrap()];
    assert_eq!(machine.kernel.usage().vidmem, full);
    let beyond = pool.take_beyond_capacity().unwrap();
    assert!(!addresses.contains(&beyond.luma_address()));
    assert_eq!(pool.in_use(), 4);
}

/// A smaller capacity: what is free goes at once, the rest when it is; a larger one is used again.
#[test]
fn the_capacity_may_change() {
    let machine = Machine::h200();
    let pool = SurfacePool::new(machine.context.memory(), small(), 4, Reuse::First);
    let mut taken: Vec<_> = (0..4).map(|_| pool.take().unwrap().unwrap()).collect();
    taken.iter().for_each(|surface| drop(bytes(surface)));
    drop(taken.pop());
    pool.set_capacity(2);
    assert_eq!((pool.capacity(), pool.live(), pool.spare()), (2, 3, 0));
    assert!(pool.take().unwrap().is_none());
    drop(taken.pop());
    assert_eq!((pool.live(), pool.spare()), (2, 0), "given back");
    drop(taken.pop());
    assert_eq!((pool.live(), pool.spare()), (2, 1), "kept");
    machine.context.release_memory();
    assert_eq!(machine.kernel.usage().vidmem, 2 * pool.surface_bytes());
    pool.set_capacity(3);
    let more = [pool.take().unwrap().unwrap(), pool.take().unwrap().unwrap()];
    assert!(pool.take().unwrap().is_none());
    drop(more);
    drop(taken);
    assert_eq!((pool.live(), pool.spare()), (3, 3));
}

/// At the memory limit a pool makes do with what it has, and grows when there is room.
#[test]
fn the_memory_limit_holds_a_pool_back() {
    let machine = Machine::h200();
    let pool = SurfacePool::new(machine.context.memory(), small(), 4, Reuse::Last);
    let one = pool.surface_bytes();
    machine.context.set_memory_limit(Some(5 * one / 2));
    let (first, second) = (pool.take().unwrap().unwrap(), pool.take().unwrap().unwrap());
    assert!(pool.take().unwrap().is_none());
    assert_eq!((pool.live(), pool.spare()), (2, 0));
    assert!(matches!(pool.take_beyond_capacity(), Err(Error::MemoryLimit { .. })));
    assert_eq!((pool.live(), machine.context.allocated_memory()), (2, 2 * one));
    machine.context.set_memory_limit(None);
    let third = pool.take().unwrap().unwrap();
    assert_eq!(pool.live(), 3);
    drop((first, second, third));
}

#[test]
fn an_empty_pool_still_has_one_surface() {
    let machine = Machine::h200();
    let pool = SurfacePool::new(machine.context.memory(), small(), 0, Reuse::First);
    assert_eq!(pool.capacity(), 1);
    assert!(pool.take().unwrap().is_some());
}

#[test]
fn uses_survive_the_return() {
    let machine = Machine::h200();
    let engine = EngineType::of(EngineKind::Copy, 3).unwrap();
    let other = CopyQueue::new(machine.context.device(), Some(engine)).unwrap();
    let pool = SurfacePool::new(machine.context.memory(), small(), 1, Reuse::First);
    let surface = pool.take().unwrap().unwrap();
    bytes(&surface); // the clear is done
    machine.kernel.faults().stall(0, engine);
    let points = [0, 1].map(|_| other.submit(&[], CopyCommands::new()).unwrap());
    surface.use_until(points[1].clone());
    surface.use_until(points[0].clone());
    drop(surface);
    let surface = pool.take().unwrap().unwrap();
    let uses: Vec<_> = pending_uses(&surface).iter().map(|p| (p.timeline().engine(), p.value())).collect();
    assert_eq!(uses, [(engine, points[1].value())], "the later of two points on one timeline");
    assert!(pending_write(&surface).is_none());
    // What writes next comes behind them, and replaces them.
    surface.uses().written_at(&points[1], 0);
    assert_eq!(pending_write(&surface).map(|p| p.value()), Some(points[1].value()));
    machine.kernel.faults().resume(0, engine);
    points[1].wait(LONG).unwrap();
    assert!(pending_uses(&surface).is_empty());
}

#[test]
fn surfaces_outlive_their_pool() {
    let machine = Machine::h200();
    let pool = SurfacePool::new(machine.context.memory(), small(), 2, Reuse::First);
    let (kept, returned) = (pool.take().unwrap().unwrap(), pool.take().unwrap().unwrap());
    drop(returned);
    drop(pool);
    assert!(bytes(&kept).iter().all(|&b| b == 0x80));
    let kernel = machine.kernel.clone();
    drop(machine);
    assert_ne!(kernel.usage(), Usage::default());
    drop(kept);
    assert_eq!(kernel.usage(), Usage::default());
}

#[test]
fn an_allocation_that_fails_leaves_the_pool_as_it_was() {
    use hcq::kernel::emulated::{Call, Failure};
    use nvkernel_sys::class::NV01_MEMORY_LOCAL_USER;
    use nvkernel_sys::status::RmStatus;
    let machine = Machine::h200();
    let pool = SurfacePool::new(machine.context.memory(), small(), 1, Reuse::First);
    let no_memory = Failure::Status(RmStatus::NV_ERR_NO_MEMORY);
    machine.kernel.faults().fail_call(Call::Alloc(NV01_MEMORY_LOCAL_USER), 0, no_memory);
    let error = pool.take().unwrap_err().to_string();
    assert!(error.contains("NV_ERR_NO_MEMORY") && error.contains("NV01_MEMORY_LOCAL_USER"), "{error}");
    assert_eq!(pool.in_use(), 0);
    assert!(pool.take().unwrap().is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// A pool against a count: never more than its capacity, never one surface twice.
    #[test]
    fn takes_and_drops(
        capacity in 1usize..6,
        steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 1..60),
    ) {
        let machine = Machine::h200();
        let pool = SurfacePool::new(machine.context.memory(), small(), capacity, Reuse::First);
        let mut held: Vec<Surface> = Vec::new();
        for (take, which) in steps {
            if take {
                match pool.take().unwrap() {
                    Some(surface) => {
                        prop_assert!(held.iter().all(|h| h.luma_address() != surface.luma_address()));
                        held.push(surface);
                    }
                    None => prop_assert_eq!(held.len(), capacity),
                }
            } else if !held.is_empty() {
                held.swap_remove(which.index(held.len()));
            }
            prop_assert_eq!(pool.in_use(), held.len());
        }
    }

    /// Planes hold the picture, do not overlap, and are aligned as the engine wants them.
    #[test]
    fn planes_hold_the_picture(
        width in 9u32..=1024,
        height in 1u32..=1024,
        depth in prop::sample::select(vec![8u8, 10, 12]),
        chroma in prop::sample::select(vec![Chroma::C420, Chroma::C422, Chroma::C444]),
    ) {
        let (width, height) = (8 * width, 8 * height);
        let g = geometry(depth, chroma, width, height);
        let bytes = if depth > 8 { 2 } else { 1 };
        let (sub_width, sub_height) = g.format.subsampling();
        prop_assert!(g.luma_pitch >= width * bytes && g.luma_pitch.is_multiple_of(64));
        prop_assert!(g.luma_lines >= height && g.luma_lines.is_multiple_of(16));
        prop_assert!(g.chroma_pitch >= 2 * width / sub_width * bytes && g.chroma_pitch.is_multiple_of(64));
        prop_assert!(g.chroma_lines >= height / sub_height && g.chroma_lines.is_multiple_of(16));
        prop_assert!(g.chroma_offset() >= g.luma_bytes() && g.chroma_offset().is_multiple_of(256));
        prop_assert_eq!(g.bytes(), g.chroma_offset() + g.chroma_bytes());
    }
}
