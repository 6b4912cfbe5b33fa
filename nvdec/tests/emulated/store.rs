//! Memory that decoders give back serves those to come: what that spares, and that no picture changes by it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hcq::kernel::TracingKernel;
use hcq::kernel::emulated::{Call, EmulatedKernel, Failure, Usage};
use hcq::{Device, Placement};
use md5::{Digest, Md5};
use nvdec::{Codec, Context, Decoder, DecoderOptions, Downloader, Units, emulated};
use nvkernel_sys::class::NV01_MEMORY_LOCAL_USER;
use nvkernel_sys::status::RmStatus;
use nvkernel_sys::video::{self, hevc_pic};

use crate::support::{Execution, decode_on, h200_with, stream, sums};

const LONG: Duration = Duration::from_secs(60);
/// Of different sizes, the first the largest: the buffer that its pictures are copied to holds those of the others.
const STREAMS: [&str; 3] = ["x_wpp", "h_ra_cra", "h_pcm10"];

/// A context whose calls of the kernel are counted.
struct Traced {
    trace: Arc<TracingKernel>,
    kernel: EmulatedKernel,
    context: Arc<Context>,
}

impl Traced {
    fn new() -> Traced {
        let kernel = emulated::h200().unwrap();
        let trace = TracingKernel::new(Arc::new(kernel.clone()));
        let context = Context::new(Device::open(trace.clone(), 0).unwrap()).unwrap();
        Traced { trace, kernel, context }
    }

    /// Calls so far that make memory, or map it, and those that undo it. Whether a wait makes an event depends on how
    /// fast the engine is.
    fn memory_calls(&self) -> usize {
        let is_memory = |line: &&String| {
            let words: Vec<&str> = line.split(' ').take(5).collect();
            match words[0] {
                "map" => true,
                "ioctl" => {
                    words.iter().any(|word| word.contains("MAP_MEMORY") || word.contains("NV01_MEMORY"))
                }
                _ => false,
            }
        };
        self.trace.lines().iter().filter(is_memory).count()
    }

    /// One engine: how many surfaces there are does not depend on how fast it is.
    fn options(&self) -> DecoderOptions {
        DecoderOptions::on(self.context.engines()[0])
    }

    /// Waits for the last surface to be cleared.
    fn settle(&self) {
        self.context.copy_queue().unwrap().queue().last_point().wait(LONG).unwrap();
    }
}

/// Plays a stream to its end; the MD5 of its pictures.
fn play(decoder: &mut Decoder, downloader: &Downloader, stream: &[u8]) -> Vec<String> {
    let mut sums = Vec::new();
    for frame in decoder.frames(Units::new(stream)) {
        let mut planes = Vec::new();
        downloader.start(frame.unwrap()).unwrap().wait().unwrap().write_planar(&mut planes);
        sums.push(Md5::digest(&planes).iter().map(|b| format!("{b:02x}")).collect());
    }
    decoder.finish().unwrap();
    assert!(decoder.take_error().is_none());
    sums
}

#[test]
fn resolutions_to_and_fro_take_memory_once() {
    let machine = Traced::new();
    let mut decoder = Decoder::new(&machine.context, Codec::Hevc, machine.options()).unwrap();
    let downloader = Downloader::new(&machine.context);
    let mut calls = Vec::new();
    for _ in 0..4 {
        for name in STREAMS {
            assert_eq!(play(&mut decoder, &downloader, &stream(name)), sums(name), "{name}");
            machine.settle();
        }
        calls.push(machine.memory_calls());
    }
    assert!(calls[0] > 50, "{calls:?}");
    assert_eq!(calls[1..], [calls[0]; 3], "calls of the kernel for memory, by round");
    assert!(machine.kernel.log().is_empty());
}

#[test]
fn decoders_come_and_go_on_the_same_memory() {
    let machine = Traced::new();
    let downloader = Downloader::new(&machine.context);
    let mut calls = Vec::new();
    for _ in 0..4 {
        for name in STREAMS {
            let mut decoder = Decoder::new(&machine.context, Codec::Hevc, machine.options()).unwrap();
            assert_eq!(play(&mut decoder, &downloader, &stream(name)), sums(name), "{name}");
            machine.settle();
        }
        calls.push(machine.memory_calls());
    }
    assert_eq!(calls[1..], [calls[0]; 3], "calls of the kernel for memory, by round");
    // A second one beside the first has to have its own.
    let pair = [0, 1].map(|_| Decoder::new(&machine.context, Codec::Hevc, machine.options()).unwrap());
    assert!(machine.memory_calls() > calls[0]);
    drop(pair);
    // What it takes of kept memory is what it would take of the driver, and no more than its price.
    let mut taken = Vec::new();
    for _ in 0..2 {
        let mut decoder = Decoder::new(&machine.context, Codec::Hevc, machine.options()).unwrap();
        play(&mut decoder, &downloader, &stream(STREAMS[0]));
        machine.settle();
        let kept = machine.context.kept_memory(Placement::Vidmem);
        taken.push(machine.kernel.usage().vidmem - kept);
        assert!(taken[0] <= decoder.price().unwrap().total());
        drop(decoder);
        machine.context.release_memory();
        decode_on(&machine.context, &stream(STREAMS[0]), machine.options(), 0);
        machine.settle();
    }
    assert_eq!(taken[0], taken[1]);
}

/// What the engine found in the memory of one decoder, where that had not been written by an earlier picture of its own.
#[derive(Debug, Default)]
struct Found {
    /// Addresses of the surfaces written so far.
    written: BTreeSet<u64>,
    /// What was not as it is in memory that nobody used before.
    stale: Vec<String>,
    /// What pictures left there.
    left: BTreeSet<&'static str>,
}

impl Found {
    const SURFACE: usize = 256 * (128 + 64);

    /// Motion vectors of 208x120, and a part of the scratch memory.
    const OTHERS: [(&str, u32, usize); 2] = [
        ("motion", video::SET_COLOC_DATA_OFFSET, 17 * 2048),
        ("scratch", video::HEVC_SET_FILTER_BUFFER_OFFSET, 4096),
    ];

    fn bytes(execution: &Execution<'_>, address: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        execution.memory.read(address, &mut bytes).unwrap();
        bytes
    }

    fn target(execution: &mut Execution<'_>) -> u64 {
        let place = execution.get(hevc_pic::curr_pic_idx, 0) as u32;
        execution.address(video::SET_PICTURE_LUMA_OFFSET + 4 * place)
    }

    fn before(&mut self, execution: &mut Execution<'_>) {
        let first = self.written.is_empty();
        let target = Self::target(execution);
        if self.written.insert(target)
            && Self::bytes(execution, target, Self::SURFACE).iter().any(|&byte| byte != 0x80)
        {
            self.stale.push(format!("surface {}", self.written.len()));
        }
        for (name, method, length) in Self::OTHERS {
            let address = execution.address(method);
            if first && Self::bytes(execution, address, length).iter().any(|&byte| byte != 0) {
                self.stale.push(name.to_owned());
            }
        }
    }

    fn after(&mut self, execution: &mut Execution<'_>) {
        let target = Self::target(execution);
        if Self::bytes(execution, target, Self::SURFACE).iter().any(|&byte| byte != 0x80) {
            self.left.insert("surface");
        }
        for (name, method, length) in Self::OTHERS {
            let address = execution.address(method);
            if Self::bytes(execution, address, length).iter().any(|&byte| byte != 0) {
                self.left.insert(name);
            }
        }
    }
}

#[test]
fn decoders_see_nothing_of_those_before() {
    let found = Arc::new(Mutex::new(Found::default()));
    let (before, after) = (found.clone(), found.clone());
    let kernel = h200_with(
        move |execution| before.lock().unwrap().before(execution),
        move |execution| after.lock().unwrap().after(execution),
    );
    let context = Context::new(Device::open(Arc::new(kernel.clone()), 0).unwrap()).unwrap();
    let options = DecoderOptions::on(context.engines()[0]);
    let run = |name: &str| {
        assert_eq!(decode_on(&context, &stream(name), options, 0).sums, sums(name));
        context.copy_queue().unwrap().queue().last_point().wait(LONG).unwrap();
        std::mem::take(&mut *found.lock().unwrap())
    };
    let first = run("h_ra_cra");
    assert_eq!(first.left, BTreeSet::from(["surface", "motion", "scratch"]));
    // Neither descriptors nor objects: a queue makes an event for the first wait that sleeps, whenever that is.
    let memory = || {
        let Usage { channels, mappings, vidmem, channel_memory, sysmem, .. } = kernel.usage();
        (channels, mappings, vidmem, channel_memory, sysmem)
    };
    let used = memory();
    let second = run("h_wp_ra");
    assert_eq!(memory(), used, "no other memory");
    assert!(second.written.intersection(&first.written).count() > 2);
    assert!(first.stale.is_empty() && second.stale.is_empty(), "{:?} {:?}", first.stale, second.stale);
}

/// Pictures of a stream that goes on find their tables where they were written once, and leave no room for them.
#[test]
fn a_long_stream_shares_its_tables() {
    let found = Arc::new(Mutex::new(Vec::new()));
    let tables = found.clone();
    let kernel = h200_with(
        move |execution| {
            let methods = [video::HEVC_SET_TILE_SIZES_OFFSET, video::HEVC_SET_SCALING_LIST_OFFSET];
            let [descriptor, slices] = [video::SET_DRV_PIC_SETUP_OFFSET, video::SET_IN_BUF_BASE_OFFSET]
                .map(|m| execution.address(m));
            tables.lock().unwrap().push((methods.map(|m| execution.address(m)), slices - descriptor));
        },
        |_| (),
    );
    let context = Context::new(Device::open(Arc::new(kernel.clone()), 0).unwrap()).unwrap();
    let mut decoder = Decoder::new(&context, Codec::Hevc, DecoderOptions::on(context.engines()[0])).unwrap();
    let downloader = Downloader::new(&context);
    let distinct =
        |found: &[([u64; 2], u64)]| found.iter().map(|(places, _)| places).collect::<BTreeSet<_>>().len();
    while found.lock().unwrap().len() < 200 {
        assert_eq!(play(&mut decoder, &downloader, &stream("x_slist_file")), sums("x_slist_file"));
    }
    let found = found.lock().unwrap();
    assert_eq!((distinct(&found[..50]), distinct(&found[150..])), (50, 1));
    // Behind a descriptor of 512 bytes, scaling lists of 1008 and a tile table of 4096.
    assert!(found[..50].iter().all(|(_, room)| *room == 512 + 1024 + 4096), "{:?}", found[0]);
    assert!(found[150..].iter().all(|(_, room)| *room == 512), "{:?}", found[150]);
    assert!(kernel.log().is_empty());
}

/// Many threads, decoders and sizes on one context at once.
#[test]
fn decoders_beside_each_other_do_not_share_memory() {
    let kernel = emulated::h200().unwrap();
    let context = Context::new(Device::open(Arc::new(kernel.clone()), 0).unwrap()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let context = &context;
            scope.spawn(move || {
                for round in 0..4 {
                    let name = ["h_ra_cra", "h_wp_ra", "h_pcm10", "h_ld_b"][(thread + round) % 4];
                    let options = match round % 2 {
                        0 => DecoderOptions::default(),
                        _ => DecoderOptions::on(context.engines()[thread]),
                    };
                    let decoded = decode_on(context, &stream(name), options, thread);
                    assert!(decoded.fatal.is_none() && decoded.errors.is_empty(), "{decoded:?}");
                    assert_eq!(decoded.sums, sums(name), "{name}");
                }
            });
        }
    });
    context.release_memory();
    assert!(kernel.log().is_empty());
    context.copy_queue().unwrap().queue().last_point().wait(LONG).unwrap();
    context.release_memory();
    assert_eq!(kernel.usage().vidmem, 0);
}

/// A decoder for which there is no memory has that which others left.
#[test]
fn a_decoder_in_need_has_what_is_kept_given_back() {
    let kernel = emulated::h200().unwrap();
    let context = Context::new(Device::open(Arc::new(kernel.clone()), 0).unwrap()).unwrap();
    let options = DecoderOptions::on(context.engines()[0]);
    decode_on(&context, &stream("x_wpp"), options, 0);
    let kept = context.kept_memory(Placement::Vidmem);
    assert!(kept > 0 && context.kept_memory(Placement::Sysmem) > 0);
    let no_memory = Failure::Status(RmStatus::NV_ERR_NO_MEMORY);
    kernel.faults().fail_call(Call::Alloc(NV01_MEMORY_LOCAL_USER), 0, no_memory);
    let decoded = decode_on(&context, &stream("h_ra_cra"), options, 0);
    assert!(decoded.fatal.is_none() && decoded.sums == sums("h_ra_cra"), "{:?}", decoded.fatal);
    assert_eq!(kernel.faults().pending_calls(), 0);
    assert!(context.kept_memory(Placement::Vidmem) < kept, "of the second one alone");
}
