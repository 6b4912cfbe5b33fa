//! Kernels on the compute queue.

use hcq::{
    Arguments, ComputeCommands, ComputeQueue, CopyCommands, Device, DeviceBuffer, Error, Kernel, Launch,
    LaunchError, Module, Outside, Placement,
};

use super::{LONG, bytes, copy_queue, holding, pattern};
use crate::Backend;
use crate::kernels::{self, THREADS};

/// Words of the memory that kernels work in.
const WORDS: u32 = 64 * THREADS;

fn words(buffer: &DeviceBuffer) -> Vec<u32> {
    bytes(buffer).chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn module(device: &Device) -> Module {
    Module::load_any(device, kernels::CUBINS).unwrap_or_else(|e| panic!("{e}"))
}

/// A kernel and what it is launched with.
fn launch(
    commands: &mut ComputeCommands,
    kernel: &Kernel,
    blocks: u32,
    shared: u32,
    arguments: Arguments,
) -> Result<(), Error> {
    // SAFETY: the callers give each kernel buffers as long as it reads and writes, by what `kernels.cu` says.
    unsafe { commands.launch(kernel, [blocks, 1, 1], [THREADS, 1, 1], shared, arguments) }.map(|_| ())
}

/// Every kernel does what it is there for: arguments, constants, shared memory of both kinds, barriers.
pub fn kernels_run(backend: &Backend) {
    let device = backend.device();
    let queue = ComputeQueue::new(&device).unwrap();
    let module = module(&device);
    let kernel = |name: &str| module.kernel(name).unwrap();
    for placement in [Placement::Vidmem, Placement::Sysmem] {
        let data = pattern(4 * WORDS as usize, 1);
        let from = holding(&device, &data, placement);
        let input: Vec<u32> = words(&from);
        let to = holding(&device, &vec![0; 4 * WORDS as usize], Placement::Sysmem);
        let run = |name: &str, blocks, shared, arguments| {
            let mut commands = ComputeCommands::new();
            launch(&mut commands, &kernel(name), blocks, shared, arguments).unwrap();
            queue.submit(&[], &commands).unwrap().wait(LONG).unwrap();
            words(&to)
        };
        let out = run("fill", 64, 0, Arguments::new().buffer(&to).u32(WORDS).u32(7));
        assert!(out.iter().enumerate().all(|(i, &word)| word == 7 + i as u32));
        let out = run("sum", 64, 0, Arguments::new().buffer(&from).buffer(&to));
        for (at, part) in input.chunks(THREADS as usize).enumerate() {
            assert_eq!(out[at], part.iter().fold(0, |sum: u32, &word| sum.wrapping_add(word)));
        }
        let count = 10_000;
        let out = run("reverse", 1, 4 * count, Arguments::new().buffer(&from).buffer(&to).u32(count));
        assert!(out[..count as usize].iter().eq(input[..count as usize].iter().rev()));
        let out = run("constants", 1, 0, Arguments::new().buffer(&to).u32(1000));
        assert!(out[..1000].iter().enumerate().all(|(i, &word)| word == [2, 3, 5, 7][i % 4]));
    }
}

/// A point is reached when the kernel is done and not before, and a barrier orders launches of one batch.
pub fn kernels_are_waited_for(backend: &Backend) {
    let device = backend.device();
    let queue = ComputeQueue::new(&device).unwrap();
    let module = module(&device);
    let (slow, fill, sum) =
        (module.kernel("slow").unwrap(), module.kernel("fill").unwrap(), module.kernel("sum").unwrap());
    let to = holding(&device, &vec![0; 4 * WORDS as usize], Placement::Vidmem);
    let rounds = if device.is_emulated() { 1000 } else { 1 << 20 };
    let mut expected = 3u32;
    (0..rounds).for_each(|_| expected = expected.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    let mut commands = ComputeCommands::new();
    launch(&mut commands, &slow, 64, 0, Arguments::new().buffer(&to).u32(rounds).u32(3)).unwrap();
    let point = queue.submit(&[], &commands).unwrap();
    // Behind it on the GPU, by another engine.
    let copy = holding(&device, &vec![0; 4 * WORDS as usize], Placement::Sysmem);
    let mut copies = CopyCommands::new();
    copies.copy(&to, &copy).unwrap();
    let copied = copy_queue(&device).submit(std::slice::from_ref(&point), &copies).unwrap();
    copied.wait(LONG).unwrap();
    assert!(words(&copy).iter().all(|&word| word == expected), "the copy did not wait for the kernel");

    let sums = holding(&device, &[0; 4 * 64], Placement::Sysmem);
    for value in 1..20u32 {
        let mut commands = ComputeCommands::new();
        launch(&mut commands, &fill, 64, 0, Arguments::new().buffer(&to).u32(WORDS).u32(value)).unwrap();
        commands.barrier();
        launch(&mut commands, &sum, 64, 0, Arguments::new().buffer(&to).buffer(&sums)).unwrap();
        queue.submit(&[], &commands).unwrap().wait(LONG).unwrap();
        for (block, &sum) in words(&sums).iter().enumerate() {
            let first = value + block as u32 * THREADS;
            assert_eq!(sum, (first..first + THREADS).sum::<u32>(), "round {value}, block {block}");
        }
    }
}

/// What another engine wrote is what a kernel sees, also where it saw something else before.
pub fn kernels_see_what_others_write(backend: &Backend) {
    let device = backend.device();
    let queue = ComputeQueue::new(&device).unwrap();
    let sum = module(&device).kernel("sum").unwrap();
    let copies = copy_queue(&device);
    let from =
        device.allocate(4 * u64::from(WORDS), Placement::Vidmem).unwrap().slice(0, 4 * u64::from(WORDS));
    let sums = holding(&device, &[0; 4 * 64], Placement::Sysmem);
    for round in 1..50u32 {
        let mut fill = CopyCommands::new();
        fill.fill(&from, round).unwrap();
        let filled = copies.submit(&[], &fill).unwrap();
        let mut commands = ComputeCommands::new();
        launch(&mut commands, &sum, 64, 0, Arguments::new().buffer(&from).buffer(&sums)).unwrap();
        queue.submit(&[filled], &commands).unwrap().wait(LONG).unwrap();
        assert!(words(&sums).iter().all(|&sum| sum == THREADS * round), "round {round}: {:?}", words(&sums));
    }
}

/// More launches than the queue has memory for, each with arguments of its own.
pub fn launches_do_not_mix(backend: &Backend) {
    let device = backend.device();
    let queue = ComputeQueue::new(&device).unwrap();
    let fill = module(&device).kernel("fill").unwrap();
    let launches = if device.is_emulated() { 1500 } else { 20_000 };
    let to = holding(&device, &vec![0; 4 * launches as usize], Placement::Sysmem);
    let mut last = None;
    let mut number = 0u32;
    while number < launches {
        let mut commands = ComputeCommands::new();
        // Of one launch, and of several.
        for _ in 0..(number % 5 + 1).min(launches - number) {
            let word = to.slice(4 * u64::from(number), 4);
            let arguments = Arguments::new().buffer(&word).u32(1).u32(number ^ 0x5555);
            // Often like the launch before, and like the one that lay in its place; sometimes not.
            let blocks = if number % 400 < 300 { 1 } else { 1 + number % 3 };
            launch(&mut commands, &fill, blocks, 0, arguments).unwrap();
            number += 1;
        }
        last = Some(queue.submit(&[], &commands).unwrap());
    }
    last.unwrap().wait(LONG).unwrap();
    let out = words(&to);
    let wrong = out.iter().enumerate().filter(|&(i, &word)| word != i as u32 ^ 0x5555).count();
    assert_eq!(wrong, 0, "launches with the wrong arguments");
}

/// Launches that are lent, several in one submission: each has its own parameters, also where the one before it was another
/// kernel's or had another grid.
pub fn launches_are_lent(backend: &Backend) {
    let device = backend.device();
    let queue = ComputeQueue::new(&device).unwrap();
    let module = module(&device);
    let (fill, constants) = (module.kernel("fill").unwrap(), module.kernel("constants").unwrap());
    let (part, threads) = (2 * THREADS, THREADS as usize);
    let to = holding(&device, &vec![0; 8 * 4 * part as usize], Placement::Sysmem);
    let memory = [&to];
    // The kernel, its blocks, and the first word if it is `fill`.
    let plan: [(&Kernel, u32, Option<u32>); 8] = [
        (&fill, 1, Some(100)),
        (&fill, 1, Some(200)),
        (&fill, 2, Some(300)),
        (&constants, 1, None),
        (&fill, 2, Some(400)),
        (&fill, 2, Some(500)),
        (&constants, 1, None),
        (&constants, 1, None),
    ];
    let parameters: Vec<Vec<u8>> = (0..)
        .zip(plan)
        .map(|(at, (_, _, first))| {
            let mut bytes = (to.gpu_address() + at * 4 * u64::from(part)).to_le_bytes().to_vec();
            bytes.extend(part.to_le_bytes());
            bytes.extend(first.iter().flat_map(|first| first.to_le_bytes()));
            bytes
        })
        .collect();
    for together in [1, 3, 8] {
        to.view().unwrap().fill(0, to.size() as usize, 0);
        let before = queue.queue().last_point().value();
        let (grids, mut submissions) = (plan.chunks(together).zip(parameters.chunks(together)), 0);
        for (plan, parameters) in grids {
            let launches: Vec<Launch<'_>> = plan
                .iter()
                .zip(parameters)
                .enumerate()
                .map(|(at, ((kernel, blocks, _), parameters))| Launch {
                    kernel,
                    grid: [*blocks, 1, 1],
                    block: [THREADS, 1, 1],
                    shared: 0,
                    parameters,
                    // Named once for all of them.
                    buffers: if at == 0 { &memory } else { &[] },
                })
                .collect();
            // SAFETY: each writes its part of the buffer, by what `kernels.cu` says.
            let point = unsafe { queue.launch_all(&[], Outside::default(), &launches) }.unwrap();
            point.wait(LONG).unwrap();
            submissions += 1;
        }
        assert_eq!(queue.queue().last_point().value() - before, submissions);
        for (at, (out, (_, blocks, first))) in words(&to).chunks(2 * threads).zip(plan).enumerate() {
            let written = blocks as usize * threads;
            let expected = |i: usize| first.map_or([2, 3, 5, 7][i % 4], |first| first + i as u32);
            let is_right = |(i, &word): (usize, &u32)| i >= written || word == expected(i);
            assert!(out.iter().enumerate().all(is_right), "launch {at}, {together} at a time");
        }
    }
    // One that is refused keeps all of them back.
    let short = &parameters[0][..12];
    let good = Launch {
        kernel: &fill,
        grid: [1, 1, 1],
        block: [THREADS, 1, 1],
        shared: 0,
        parameters: &parameters[0],
        buffers: &memory,
    };
    let before = queue.queue().last_point().value();
    // SAFETY: nothing is launched.
    let refused =
        unsafe { queue.launch_all(&[], Outside::default(), &[good, Launch { parameters: short, ..good }]) };
    assert!(matches!(refused, Err(Error::Launch { .. })));
    assert_eq!(queue.queue().last_point().value(), before);
}

/// What cannot be launched is refused by name, and nothing was submitted.
pub fn bad_launches_are_refused(backend: &Backend) {
    let device = backend.device();
    let queue = ComputeQueue::new(&device).unwrap();
    let module = module(&device);
    let to = holding(&device, &[0; 4096], Placement::Sysmem);
    let good = || Arguments::new().buffer(&to).u32(1024).u32(7);
    let fill = module.kernel("fill").unwrap();
    let refusal = |grid, block, shared, arguments| {
        let mut commands = ComputeCommands::new();
        // SAFETY: it is refused; and 1024 words are what the buffer has.
        let error = unsafe { commands.launch(&fill, grid, block, shared, arguments) }.unwrap_err();
        assert!(commands.is_empty());
        let text = error.to_string();
        let Error::Launch { kernel, error } = error else { panic!("{text}") };
        assert!(kernel == "fill" && text.starts_with("kernel fill: "), "{text}");
        error
    };
    let (one, block) = ([1, 1, 1], [THREADS, 1, 1]);
    assert!(matches!(refusal([0, 1, 1], block, 0, good()), LaunchError::Size { what: "grid", .. }));
    assert!(matches!(refusal([1, 1 << 16, 1], block, 0, good()), LaunchError::Size { .. }));
    assert!(matches!(refusal(one, [1, 1, 65], 0, good()), LaunchError::Size { what: "block", .. }));
    assert!(matches!(refusal(one, [1024, 2, 1], 0, good()), LaunchError::Threads { threads: 2048, .. }));
    assert!(matches!(refusal(one, block, 1 << 20, good()), LaunchError::Shared { .. }));
    let short = Arguments::new().buffer(&to).u32(1024);
    assert!(matches!(refusal(one, block, 0, short), LaunchError::Parameters { given: 12, wanted: 16 }));
    assert!(module.kernel("absent").unwrap_err().to_string().contains("fill"));
    assert_eq!(queue.queue().last_point().value(), 0);
}
