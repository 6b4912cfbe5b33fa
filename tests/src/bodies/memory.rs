//! Memory that GPU and CPU share.

use hcq::{CopyCommands, DeviceBuffer, Placement};

use super::{LONG, bytes, copy_queue, holding, pattern};
use crate::Backend;

const BOTH: [Placement; 2] = [Placement::Vidmem, Placement::Sysmem];

/// What is written through a view is there, to the byte, and nothing beside it changes.
pub fn holds_what_is_written(on: &Backend) {
    let device = on.device();
    for placement in BOTH {
        let data = pattern(70_001, 7);
        let buffer = holding(&device, &data, placement);
        assert_eq!(buffer.placement(), placement);
        assert_eq!(bytes(&buffer), data);
        let view = buffer.view().unwrap();
        view.fill(1001, 3, 0xab);
        view.copy_in(2001, b"hello");
        view.store(4000, 0x1234_5678);
        let mut expected = data;
        expected[1001..1004].fill(0xab);
        expected[2001..2006].copy_from_slice(b"hello");
        expected[4000..4004].copy_from_slice(&0x1234_5678u32.to_le_bytes());
        for (at, length) in
            [(5000, 10), (6001, 63), (7000, 64), (8001, 200), (10_030, 4096), (20_001, 21_111)]
        {
            let piece = pattern(length, at as u32);
            view.stream_in(at, &piece);
            expected[at..at + length].copy_from_slice(&piece);
        }
        assert_eq!(bytes(&buffer), expected);
        assert_eq!(view.load(4000), 0x1234_5678);
        assert_eq!(view.load_u64(4000) as u32, 0x1234_5678);
    }
}

/// Lines read again after the GPU wrote them are the new ones, whatever the processor has kept of the old.
pub fn lines_are_read_anew(on: &Backend) {
    let device = on.device();
    let queue = copy_queue(&device);
    for placement in BOTH {
        let buffer = device.allocate(4096, placement).unwrap();
        let lines: Vec<DeviceBuffer> = (0..64).map(|line| buffer.slice(64 * line, 64)).collect();
        for word in 1..=200u32 {
            let mut commands = CopyCommands::new();
            commands.fill(&buffer, word).unwrap();
            queue.submit(&[], commands).unwrap().spin(LONG).unwrap();
            for count in [1, 7, 64] {
                let mut read = [[0; 64]; 64];
                hcq::load_lines(lines[..count].iter().map(|line| line.view().unwrap()), &mut read[..count]);
                let expected = [word.to_le_bytes(); 16];
                assert!(
                    read[..count].iter().all(|line| line == expected.as_flattened()),
                    "{placement}, {word}"
                );
            }
        }
    }
}

/// GPU addresses are aligned, below 2^40, and no two buffers overlap.
pub fn buffers_lie_apart(on: &Backend) {
    let device = on.device();
    let sizes = [1, 255, 4096, 65_536, 65_537, 1 << 20, (2 << 20) + 1, 5 << 20];
    let mut buffers: Vec<DeviceBuffer> = Vec::new();
    for placement in BOTH {
        buffers.extend(sizes.iter().map(|&size| device.allocate(size, placement).unwrap()));
    }
    buffers.sort_by_key(DeviceBuffer::gpu_address);
    for buffer in &buffers {
        assert!(buffer.gpu_address().is_multiple_of(4096) && buffer.gpu_address() > 0);
        assert!(buffer.gpu_address() + buffer.size() <= 1 << 40);
    }
    for pair in buffers.windows(2) {
        assert!(pair[0].gpu_address() + pair[0].size() <= pair[1].gpu_address());
    }
    for (i, buffer) in buffers.iter().enumerate() {
        buffer.view().unwrap().fill(0, buffer.size() as usize, i as u8);
    }
    for (i, buffer) in buffers.iter().enumerate() {
        assert!(bytes(buffer).iter().all(|&b| b == i as u8), "{buffer:?}");
    }
}

/// Allocating and freeing for long takes neither addresses nor memory.
pub fn freed_memory_is_used_again(on: &Backend) {
    let device = on.device();
    let mut addresses = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let buffer = device.allocate(3 << 20, Placement::Vidmem).unwrap();
        addresses.insert(buffer.gpu_address());
    }
    assert!(addresses.len() <= 2, "{} addresses for one buffer at a time", addresses.len());
}

/// A slice is part of its buffer and keeps it alive.
pub fn slices_share(on: &Backend) {
    let device = on.device();
    let buffer = holding(&device, &pattern(10_000, 3), Placement::Sysmem);
    let slice = buffer.slice(1000, 100);
    assert_eq!(slice.gpu_address(), buffer.gpu_address() + 1000);
    assert!(buffer.contains(slice.gpu_address(), 100) && !slice.contains(slice.gpu_address(), 101));
    slice.view().unwrap().fill(0, 100, 0x77);
    let all = bytes(&buffer);
    assert!(all[1000..1100].iter().all(|&b| b == 0x77) && all[..1000] == pattern(10_000, 3)[..1000]);
    let mut slice = slice;
    assert!(!slice.is_unused());
    drop(buffer);
    assert!(slice.is_unused());
    assert!(bytes(&slice).iter().all(|&b| b == 0x77));
    let deep = slice.slice(10, 20).slice(5, 5);
    assert_eq!(deep.gpu_address(), slice.gpu_address() + 15);
    assert!(!slice.is_unused());
}

/// What is filled into an input is what engines read; nobody writes to it once it is frozen, until it is given back.
pub fn inputs_are_filled_once(on: &Backend) {
    let device = on.device();
    let queue = copy_queue(&device);
    let mut input = device.allocate_input(70_001, 256).unwrap();
    assert!(input.iter().all(|&b| b == 0) && input.len() == 70_001);
    for round in 0..3 {
        let data = pattern(70_001, round);
        input.copy_from_slice(&data);
        let frozen = input.freeze();
        let target = device.allocate(70_257, Placement::Vidmem).unwrap();
        let mut commands = CopyCommands::new();
        commands.copy(&frozen.buffer().slice(0, 70_257), &target.slice(0, 70_257)).unwrap();
        let point = queue.submit(&[], commands).unwrap();
        let other = frozen.clone();
        assert!(*frozen == *data && *other == *data);
        let write = || frozen.buffer().view().unwrap().fill(0, 1, 0);
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(write)).is_err());
        let frozen = frozen.into_mut().expect_err("a clone has it");
        drop(other);
        point.wait(LONG).unwrap();
        let copied = bytes(&target);
        assert!(copied[..70_001] == data && copied[70_001..70_257].iter().all(|&b| b == 0));
        input = frozen.into_mut().expect("nobody else has it");
    }
}

/// Sizes from a byte to tens of mebibytes; what no machine has is refused.
pub fn large_and_small_sizes(on: &Backend) {
    let device = on.device();
    for placement in BOTH {
        for size in [1, 4095, 4097, (1 << 20) + 3, (33 << 20) + 1] {
            let buffer = device.allocate(size, placement).unwrap();
            assert!(buffer.size() >= size);
            let view = buffer.view().unwrap();
            view.fill(size as usize - 1, 1, 0x5a);
            let mut last = [0];
            view.copy_out(size as usize - 1, &mut last);
            assert_eq!(last, [0x5a]);
        }
        for size in [1 << 46, u64::MAX - 10, u64::MAX] {
            assert!(device.allocate(size, placement).is_err(), "{size:#x} bytes in {placement}");
        }
    }
    assert_eq!(bytes(&holding(&device, b"and it goes on", Placement::Vidmem)), b"and it goes on");
}
