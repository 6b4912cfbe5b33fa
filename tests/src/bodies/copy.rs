//! Copy engines.

use hcq::{BlockLinearPlane, CopyCommands, CopyQueue, EngineKind, Error, PitchPlane, Placement};
use nvdec::surface::block_linear_offset;

use super::{LONG, bytes, copy_queue, holding, pattern};
use crate::Backend;

/// Linear copies between host and GPU, of lengths and at offsets that nothing is aligned to.
pub fn any_length_and_alignment(on: &Backend) {
    let device = on.device();
    let queue = copy_queue(&device);
    for (i, &length) in [1usize, 3, 4, 255, 4096, 65_537, 300_001].iter().enumerate() {
        for (from, to) in [(Placement::Sysmem, Placement::Vidmem), (Placement::Vidmem, Placement::Sysmem)] {
            let data = pattern(length + 64, i as u32);
            let source = holding(&device, &data, from);
            let target = holding(&device, &vec![0xee; length + 64], to);
            let skip = 7 * i as u64 % 13;
            let mut commands = CopyCommands::new();
            commands
                .copy(&source.slice(i as u64, length as u64), &target.slice(skip, length as u64))
                .unwrap();
            queue.submit(&[], commands).unwrap().wait(LONG).unwrap();
            let mut expected = vec![0xee; length + 64];
            expected[skip as usize..skip as usize + length].copy_from_slice(&data[i..i + length]);
            assert!(bytes(&target) == expected, "{length} bytes from {from} to {to}");
        }
    }
}

/// A fill repeats its word over the buffer and not a byte further.
pub fn fills_repeat(on: &Backend) {
    let device = on.device();
    let queue = copy_queue(&device);
    for size in [4u64, 8, 4096, 1 << 20] {
        let target = holding(&device, &vec![0; size as usize + 8], Placement::Vidmem);
        let mut commands = CopyCommands::new();
        commands.fill(&target.slice(4, size), 0x8040_2010).unwrap();
        queue.submit(&[], commands).unwrap().wait(LONG).unwrap();
        let found = bytes(&target);
        assert!(found[4..4 + size as usize].chunks(4).all(|w| w == [0x10, 0x20, 0x40, 0x80]));
        assert_eq!((&found[..4], &found[4 + size as usize..]), ([0; 4].as_slice(), [0; 4].as_slice()));
    }
}

/// The copy engine's idea of block-linear planes is the one that surfaces are described with.
pub fn block_linear_becomes_pitch(on: &Backend) {
    let device = on.device();
    let queue = copy_queue(&device);
    for (pitch, lines, bytes_wide, rows) in [(64, 16, 64, 16), (256, 128, 208, 120), (832, 48, 831, 33)] {
        let data = pattern((pitch * lines) as usize, pitch);
        let source = holding(&device, &data, Placement::Vidmem);
        let plane = BlockLinearPlane { buffer: source, pitch, lines, log2_gobs: 1 };
        let out_pitch = bytes_wide + 5;
        let target = holding(&device, &vec![0; (out_pitch * rows) as usize], Placement::Sysmem);
        let mut commands = CopyCommands::new();
        let pitch_plane = PitchPlane { buffer: target.clone(), pitch: out_pitch };
        commands.detile(&plane, &pitch_plane, bytes_wide, rows).unwrap();
        queue.submit(&[], commands).unwrap().wait(LONG).unwrap();
        let found = bytes(&target);
        for y in 0..rows {
            for x in 0..bytes_wide {
                let expected = data[block_linear_offset(pitch, x, y) as usize];
                let at = (y * out_pitch + x) as usize;
                assert_eq!(found[at], expected, "{pitch}x{lines}: byte {x} of line {y}");
            }
            let gap = &found[(y * out_pitch + bytes_wide) as usize..((y + 1) * out_pitch) as usize];
            assert_eq!(gap, [0; 5], "behind line {y}");
        }
    }
}

/// One buffer handed from engine to engine, each behind the one before.
pub fn batches_go_through_many_engines(on: &Backend) {
    let device = on.device();
    let engines = device.engines_of(EngineKind::Copy).unwrap();
    let data = pattern(100_000, 9);
    let mut buffer = holding(&device, &data, Placement::Sysmem);
    let mut point = None;
    let queues: Vec<_> = engines.iter().map(|&e| CopyQueue::new(&device, Some(e)).unwrap()).collect();
    for queue in queues.iter().chain(queues.iter().rev()) {
        let next = device.allocate(buffer.size(), Placement::Vidmem).unwrap().slice(0, buffer.size());
        let mut commands = CopyCommands::new();
        let half = buffer.size() / 2;
        commands.copy(&buffer.slice(0, half), &next.slice(0, half)).unwrap();
        commands.copy(&buffer.slice(half, half), &next.slice(half, half)).unwrap();
        point = Some(queue.submit(point.as_slice(), commands).unwrap());
        buffer = next;
    }
    point.unwrap().wait(LONG).unwrap();
    assert!(bytes(&buffer) == data);
}

/// Commands are checked against their buffers before any engine sees them.
pub fn what_does_not_fit_is_refused(on: &Backend) {
    let device = on.device();
    let buffer = device.allocate(4096, Placement::Sysmem).unwrap();
    let mut commands = CopyCommands::new();
    let too_large = |result: Result<&mut CopyCommands, Error>| matches!(result, Err(Error::TooLarge { .. }));
    assert!(too_large(commands.copy(&buffer, &buffer.slice(0, 4095))));
    assert!(too_large(commands.fill(&buffer.slice(0, 6), 0)));
    let plane = |lines| BlockLinearPlane { buffer: buffer.clone(), pitch: 64, lines, log2_gobs: 1 };
    let pitch = |pitch| PitchPlane { buffer: buffer.clone(), pitch };
    assert!(too_large(commands.detile(&plane(80), &pitch(64), 64, 16)), "plane larger than its buffer");
    assert!(too_large(commands.detile(&plane(64), &pitch(64), 65, 16)), "wider than the plane");
    assert!(too_large(commands.detile(&plane(64), &pitch(64), 64, 65)), "higher than the plane");
    assert!(too_large(commands.detile(&plane(64), &pitch(65), 64, 64)), "larger than the target");
    assert!(too_large(commands.detile(&plane(64), &pitch(63), 64, 10)), "wider than the target's pitch");
    assert!(commands.is_empty());
    commands.detile(&plane(64), &pitch(64), 64, 64).unwrap();
}
