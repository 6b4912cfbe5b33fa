//! What the emulated compute engine does with launches, and what it says of those that are wrong.

mod raw;

use std::cell::Cell;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hcq::PushBuffer;
use hcq::kernel::emulated::{
    CubinError, EmulatedKernel, EngineFault, GpuModel, Grid, KernelModel, LaunchFault,
};
use hcq::kernel::{EventWait, KernelInterface};
use nvkernel_sys::bits::Field;
use nvkernel_sys::class::{self, *};
use nvkernel_sys::compute::{self as c, qmd_v03, qmd_v04, qmd_v05, set_report_semaphore_d as report};
use nvkernel_sys::engine::{EngineType, notifiers};
use nvkernel_sys::layout::DriverVersion;
use nvkernel_sys::rm::*;
use proptest::prelude::*;
use raw::cubin::Cubin;
use raw::{Block, NOTIFIER, Raw, RawChannel};

const BASE: u64 = 0x10_0000_0000;
const DATA: u64 = 0x20_0000_0000;
const SHARED_WINDOW: u64 = 0x7294_0000_0000;
const LOCAL_WINDOW: u64 = 0x7293_0000_0000;
const HOST: u8 = 0;
const COMPUTE: u8 = 1;
/// Where things lie in the block of data.
const QMD: u64 = 0;
const CONSTANTS: u64 = 0x400;
const BANK3: u64 = 0x900;
const CODE: u64 = 0x1000;
const OUT: u64 = 0x2000;
const SEMAPHORE: u64 = 0x3000;
const PCAS_FRESH: u32 = 3;
const PCAS_CACHED: u32 = 2;

type Qmd = Vec<u8>;
type Tweak<'a> = &'a dyn Fn(&mut Qmd);

fn set(qmd: &mut [u8], field: Field, value: u64) {
    set_at(qmd, field, 0, value);
}

fn set_at(qmd: &mut [u8], field: Field, index: usize, value: u64) {
    field.write(qmd, index, value as i64).unwrap();
}

/// `value` goes to the address in the first parameter.
fn store(grid: &Grid<'_>, value: u32) -> Result<(), EngineFault> {
    let address = u64::from_le_bytes(*grid.params().first_chunk().unwrap());
    Ok(grid.memory().write(address, &value.to_le_bytes())?)
}

/// Stores the second parameter.
fn fill(grid: &Grid<'_>) -> Result<(), EngineFault> {
    store(grid, u32::from_le_bytes(grid.params()[8..12].try_into().unwrap()))
}

/// A machine, with a block of data that launches refer to.
struct Bench {
    kernel: EmulatedKernel,
    raw: Raw,
    data: Block,
    model: GpuModel,
    cubin: Cubin,
    place: Cell<u64>,
}

impl Bench {
    fn with(model: GpuModel, cubin: Cubin, models: Vec<KernelModel>) -> Bench {
        let builder = EmulatedKernel::builder().driver_version(DriverVersion::new(610, 43, 2));
        let kernel = builder.gpu(model.clone()).with_kernels(models).build().unwrap();
        let raw = Raw::open(&kernel);
        let data = Block::new(&raw, DATA);
        let bench = Bench { kernel, raw, data, model, cubin, place: Cell::new(BASE) };
        bench.write(CODE, &bench.cubin.code);
        bench.write(CONSTANTS, &bench.constants(DATA + OUT, 7));
        bench
    }

    fn new(model: GpuModel, cubin: Cubin) -> Bench {
        let models = vec![KernelModel::new(&cubin.build(), cubin.name, fill).unwrap()];
        Bench::with(model, cubin, models)
    }

    fn h200() -> Bench {
        Bench::new(GpuModel::h200(), Cubin::new("fill", 90))
    }

    fn class(&self) -> u32 {
        class::newest(COMPUTE_CLASSES, &self.model.classes).unwrap()
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        for (i, word) in bytes.chunks(4).enumerate() {
            let mut padded = [0; 4];
            padded[..word.len()].copy_from_slice(word);
            self.data.store(at + 4 * i as u64, u32::from_le_bytes(padded));
        }
    }

    /// Constant bank 0.
    fn constants(&self, out: u64, value: u32) -> Vec<u8> {
        let (offset, size) = self.cubin.params;
        let (offset, size) = (usize::from(offset), usize::from(size));
        let mut bank = vec![0; (offset + size).next_multiple_of(16)];
        let windows = if self.cubin.sm >= 100 { 0x2f0 } else { 0x18 };
        bank[windows..windows + 8].copy_from_slice(&SHARED_WINDOW.to_le_bytes());
        bank[windows + 8..windows + 16].copy_from_slice(&LOCAL_WINDOW.to_le_bytes());
        bank[offset..offset + 8].copy_from_slice(&out.to_le_bytes());
        bank[offset + 8..offset + 12].copy_from_slice(&value.to_le_bytes());
        bank
    }

    /// A descriptor of version 4 that is right.
    fn qmd(&self) -> Qmd {
        use qmd_v04::*;
        let mut qmd = vec![0; SIZE];
        let bank = u64::from(self.cubin.params.0 + self.cubin.params.1).next_multiple_of(16);
        for (field, value) in [
            (QMD_TYPE, QMD_TYPE_GRID_CTA.into()),
            (QMD_MAJOR_VERSION, 4),
            (API_VISIBLE_CALL_LIMIT, 1),
            (GRID_WIDTH, 5),
            (GRID_HEIGHT, 3),
            (GRID_DEPTH, 1),
            (CTA_THREAD_DIMENSION0, 128),
            (CTA_THREAD_DIMENSION1, 2),
            (CTA_THREAD_DIMENSION2, 1),
            (REGISTER_COUNT, 24),
            (BARRIER_COUNT, 1),
            (PROGRAM_ADDRESS_LOWER, (DATA + CODE) & 0xffff_ffff),
            (PROGRAM_ADDRESS_UPPER, (DATA + CODE) >> 32),
            (SHARED_MEMORY_SIZE, 0x800),
            (MIN_SM_CONFIG_SHARED_MEM_SIZE, 3),
            (TARGET_SM_CONFIG_SHARED_MEM_SIZE, 9),
            (MAX_SM_CONFIG_SHARED_MEM_SIZE, 58),
            (CONSTANT_BUFFER_VALID, 1),
            (CONSTANT_BUFFER_ADDR_LOWER_SHIFTED6, (DATA + CONSTANTS) >> 6),
            (CONSTANT_BUFFER_SIZE_SHIFTED4, bank >> 4),
        ] {
            set(&mut qmd, field, value);
        }
        qmd
    }

    /// A channel on the graphics engine with a compute object; nothing is set.
    fn bare_channel(&self) -> RawChannel {
        let engine = EngineType::GR0;
        self.place.set(self.place.get() + 0x100_0000);
        let block = Block::new(&self.raw, self.place.get());
        let params = block.channel_params(&self.raw, engine);
        let class = class::newest(CHANNEL_CLASSES, &self.model.classes).unwrap();
        let object = |channel| self.raw.alloc_plain(channel, 0, self.class()).unwrap();
        let channel =
            RawChannel::with_object(&self.raw, engine, block, (self.raw.device, class), params, object);
        self.push(&channel, |pb| {
            pb.method(COMPUTE, c::SET_OBJECT, self.class());
        });
        channel
    }

    /// The same, with its windows.
    fn channel(&self) -> RawChannel {
        let channel = self.bare_channel();
        self.push(&channel, |pb| {
            for (upper, base) in [
                (c::SET_SHADER_SHARED_MEMORY_WINDOW_A, SHARED_WINDOW),
                (c::SET_SHADER_LOCAL_MEMORY_WINDOW_A, LOCAL_WINDOW),
            ] {
                pb.methods(COMPUTE, upper, &[(base >> 32) as u32, base as u32]);
            }
        });
        channel
    }

    fn push(&self, channel: &RawChannel, write: impl FnOnce(&mut PushBuffer)) {
        let mut pb = PushBuffer::new();
        write(&mut pb);
        channel.push(&self.raw, pb.words());
    }

    fn report(pb: &mut PushBuffer, payload: u32, execute: u32) {
        let at = DATA + SEMAPHORE;
        pb.methods(COMPUTE, c::SET_REPORT_SEMAPHORE_A, &[(at >> 32) as u32, at as u32, payload, execute]);
    }

    fn pcas(pb: &mut PushBuffer, action: u32) {
        pb.method(COMPUTE, c::SEND_PCAS_A, ((DATA + QMD) >> 8) as u32);
        pb.method(COMPUTE, c::SEND_SIGNALING_PCAS2_B, action);
    }

    /// Launches what lies in the data, behind `before`; what the kernel stored.
    fn launch(&self, channel: &RawChannel, action: u32, before: impl FnOnce(&mut PushBuffer)) -> u32 {
        let payload = self.data.load(SEMAPHORE) + 1;
        self.data.store(OUT, 0);
        self.push(channel, |pb| {
            before(pb);
            Bench::pcas(pb, action);
            pb.method(COMPUTE, c::WAIT_FOR_IDLE, 0);
            Bench::report(pb, payload, report::STRUCTURE_SIZE.of(report::STRUCTURE_SIZE_ONE_WORD));
        });
        for _ in 0..20_000 {
            if self.data.load(SEMAPHORE) == payload {
                return self.data.load(OUT);
            }
            assert!(self.kernel.log().is_empty(), "{:?}", self.kernel.log());
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("the launch does not end");
    }

    /// The Xid and the line in the log of work that stops its channel.
    fn fault(&self, channel: &RawChannel, write: impl FnOnce(&mut PushBuffer)) -> (u32, String) {
        self.push(channel, write);
        for _ in 0..20_000 {
            if channel.block.load(NOTIFIER + 12) >> 16 == 0xffff {
                return (channel.block.load(NOTIFIER + 8), self.kernel.log().pop().unwrap());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("the channel goes on");
    }

    /// A launch that is refused, and why.
    fn refused(&self, qmd: &[u8]) -> String {
        self.write(QMD, qmd);
        let (_, line) = self.fault(&self.channel(), |pb| Bench::pcas(pb, PCAS_FRESH));
        line
    }
}

#[test]
fn a_launch_runs_the_kernel_whose_code_lies_there() {
    let cubin = Cubin::new("shape", 90);
    let shape = |grid: &Grid<'_>| {
        assert_eq!((grid.entry(), grid.params().len(), grid.is_cancelled()), ("shape", 12, false));
        assert_eq!((grid.grid_dim(), grid.block_dim()), ([5, 3, 1], [128, 2, 1]));
        store(grid, grid.dynamic_shared_memory())
    };
    let model = KernelModel::new(&cubin.build(), "shape", shape).unwrap();
    assert_eq!((model.entry(), model.sm()), ("shape", 90));
    let other = KernelModel::new(&Cubin::new("other", 90).build(), "other", fill).unwrap();
    let bench = Bench::with(GpuModel::h200(), cubin, vec![other, model]);
    bench.write(QMD, &bench.qmd());
    assert_eq!(bench.launch(&bench.channel(), PCAS_FRESH, |_| {}), 0x400, "0x400 are the kernel's own");
}

#[test]
fn semaphores_of_the_class_and_of_the_descriptor() {
    use qmd_v04::*;
    let bench = Bench::h200();
    let channel = bench.channel();
    let flags = NV01_EVENT_NONSTALL_INTR | NV01_EVENT_WITHOUT_EVENT_DATA;
    let event = bench.raw.event(bench.raw.subdevice, notifiers::GR0 | flags);
    let mut qmd = bench.qmd();
    for (index, structure, wide) in [(0, 0, 0), (1, 1, 0), (2, 2, 1)] {
        let at = DATA + SEMAPHORE + 0x100 + 0x20 * index as u64;
        for (field, value) in [
            (RELEASE_ENABLE, 1),
            (RELEASE_STRUCTURE_SIZE, structure),
            (RELEASE_PAYLOAD64B, wide),
            (RELEASE_SEMAPHORE_ADDR_LOWER, at & 0xffff_ffff),
            (RELEASE_SEMAPHORE_ADDR_UPPER, at >> 32),
            (RELEASE_SEMAPHORE_PAYLOAD_LOWER, 40 + index as u64),
            (RELEASE_SEMAPHORE_PAYLOAD_UPPER, 9),
        ] {
            set_at(&mut qmd, field, index, value);
        }
    }
    bench.write(QMD, &qmd);
    assert_eq!(bench.launch(&channel, PCAS_FRESH, |_| {}), 7);
    let words = |at: u64| [0, 1, 2, 3].map(|i| bench.data.load(SEMAPHORE + at + 4 * i));
    let [four, one, two] = [0x100, 0x120, 0x140].map(words);
    assert_eq!((four[0], four[1], one, two), (40, 0, [41, 0, 0, 0], [42, 9, 0, 0]));
    assert!(four[3] > 0, "the time");
    assert_eq!(bench.kernel.wait_event(event.as_fd(), Duration::ZERO).unwrap(), EventWait::TimedOut);

    bench.push(&channel, |pb| Bench::report(pb, 77, report::AWAKEN_ENABLE.of(1)));
    let long = Duration::from_secs(20);
    assert_eq!(bench.kernel.wait_event(event.as_fd(), long).unwrap(), EventWait::Signalled);
    let four = words(0);
    assert!(four[0] == 77 && four[1] == 0 && four[3] > 0, "{four:?}");
}

/// The graphics runlist is shared with a copy engine: an object of it on the same channel.
#[test]
fn a_copy_object_shares_the_channel() {
    let bench = Bench::h200();
    let channel = bench.channel();
    bench.raw.alloc_plain(channel.channel, 0, HOPPER_DMA_COPY_A).unwrap();
    bench.write(QMD, &bench.qmd());
    let copied = bench.launch(&channel, PCAS_FRESH, |pb| {
        use nvkernel_sys::copy;
        pb.method(4, c::SET_OBJECT, HOPPER_DMA_COPY_A);
        let at = DATA + SEMAPHORE + 0x200;
        pb.methods(4, copy::SET_SEMAPHORE_A, &[(at >> 32) as u32, at as u32, 5]);
        pb.method(4, copy::LAUNCH_DMA, 0x8);
    });
    assert_eq!((copied, bench.data.load(SEMAPHORE + 0x200)), (7, 5));
    assert!(bench.raw.alloc_plain(channel.channel, 0, NVB8B0_VIDEO_DECODER).is_err());
}

/// What is common to the descriptors of versions 3 and 5, by their names.
macro_rules! other_qmd {
    ($version:ident, $bench:expr, $($field:ident = $value:expr),* $(,)?) => {{
        use $version::*;
        let bank = u64::from($bench.cubin.params.0 + $bench.cubin.params.1).next_multiple_of(16);
        let mut qmd = vec![0; SIZE];
        for (field, value) in [
            (API_VISIBLE_CALL_LIMIT, 1),
            (CTA_THREAD_DIMENSION0, 32),
            (CTA_THREAD_DIMENSION1, 1),
            (CTA_THREAD_DIMENSION2, 1),
            (BARRIER_COUNT, 1),
            (MIN_SM_CONFIG_SHARED_MEM_SIZE, 3),
            (TARGET_SM_CONFIG_SHARED_MEM_SIZE, 3),
            (MAX_SM_CONFIG_SHARED_MEM_SIZE, 26),
            (CONSTANT_BUFFER_VALID, 1),
            (CONSTANT_BUFFER_SIZE_SHIFTED4, bank >> 4),
            $(($field, $value)),*
        ] {
            set(&mut qmd, field, value);
        }
        qmd
    }};
}

#[test]
fn every_class_takes_its_own_version() {
    for (model, sm) in [(GpuModel::a100(), 80), (GpuModel::l4(), 89), (GpuModel::rtx_4090(), 86)] {
        let bench = Bench::new(model, Cubin::new("fill", sm));
        bench.write(
            QMD,
            &other_qmd!(
                qmd_v03,
                bench,
                QMD_MAJOR_VERSION = 3,
                SM_GLOBAL_CACHING_ENABLE = 1,
                CTA_RASTER_WIDTH = 1,
                CTA_RASTER_HEIGHT = 1,
                CTA_RASTER_DEPTH = 1,
                REGISTER_COUNT_V = 24,
                SHARED_MEMORY_SIZE = 0x400,
                PROGRAM_ADDRESS_LOWER = (DATA + CODE) & 0xffff_ffff,
                PROGRAM_ADDRESS_UPPER = (DATA + CODE) >> 32,
                CONSTANT_BUFFER_ADDR_LOWER = (DATA + CONSTANTS) & 0xffff_ffff,
                CONSTANT_BUFFER_ADDR_UPPER = (DATA + CONSTANTS) >> 32,
            ),
        );
        assert_eq!(bench.launch(&bench.channel(), PCAS_FRESH, |_| {}), 7, "sm_{sm}");
    }
    for (model, sm) in [(GpuModel::b200(), 100), (GpuModel::rtx_5090(), 120)] {
        let bench = Bench::new(model, Cubin::new("fill", sm));
        let qmd = other_qmd!(
            qmd_v05,
            bench,
            QMD_MAJOR_VERSION = 5,
            QMD_TYPE = QMD_TYPE_GRID_CTA.into(),
            QMD_GROUP_ID = 0x1f,
            GRID_WIDTH = 1,
            GRID_HEIGHT = 1,
            GRID_DEPTH = 1,
            REGISTER_COUNT = 24,
            SHARED_MEMORY_SIZE_SHIFTED7 = 8,
            PROGRAM_ADDRESS_LOWER_SHIFTED4 = (DATA + CODE) >> 4 & 0xffff_ffff,
            PROGRAM_ADDRESS_UPPER_SHIFTED4 = (DATA + CODE) >> 36,
            CONSTANT_BUFFER_ADDR_LOWER_SHIFTED6 = (DATA + CONSTANTS) >> 6,
        );
        bench.write(QMD, &qmd);
        assert_eq!(bench.launch(&bench.channel(), PCAS_FRESH, |_| {}), 7, "sm_{sm}");
        let mut wrong = qmd;
        set(&mut wrong, qmd_v05::QMD_GROUP_ID, 0);
        let line = bench.refused(&wrong);
        assert!(line.contains("QMD_GROUP_ID = 0x0, not 0x1f"), "{line}");
    }
    let bench = Bench::new(GpuModel::t4(), Cubin::new("fill", 75));
    let line = bench.refused(&[0; 256]);
    assert!(line.contains("descriptors of TURING_COMPUTE_A are not modelled"), "{line}");
}

#[test]
fn a_wrong_descriptor_is_refused_by_field() {
    use qmd_v04::*;
    let bench = Bench::h200();
    bench.write(QMD, &bench.qmd());
    assert_eq!(bench.launch(&bench.channel(), PCAS_FRESH, |_| {}), 7, "the one that all others begin with");
    let alone: [(Field, u64, &str); 30] = [
        (QMD_MAJOR_VERSION, 3, "version 3.0 on HOPPER_COMPUTE_A, which takes 4.0"),
        (QMD_MINOR_VERSION, 1, "version 4.1"),
        (QMD_TYPE, 1, "QMD_TYPE = 1"),
        (QMD_TYPE, 4, "QMD_TYPE = 4"),
        (DEPENDENT_QMD_ENABLE, 1, "DEPENDENT_QMD_ENABLE(0)"),
        (GRID_WIDTH, 0, "GRID_WIDTH = 0"),
        (GRID_WIDTH, 1 << 31, "GRID_WIDTH = 2147483648"),
        (GRID_HEIGHT, 0, "GRID_HEIGHT = 0"),
        (GRID_DEPTH, 0, "GRID_DEPTH = 0"),
        (CTA_THREAD_DIMENSION0, 0, "CTA_THREAD_DIMENSION0 = 0"),
        (CTA_THREAD_DIMENSION1, 9, "128x9x1 threads"),
        (CTA_THREAD_DIMENSION2, 65, "CTA_THREAD_DIMENSION2 = 65"),
        (REGISTER_COUNT, 0, "REGISTER_COUNT = 0"),
        (REGISTER_COUNT, 257, "REGISTER_COUNT = 257"),
        (REGISTER_COUNT, 23, "register count of 23 for kernel fill, which needs 24"),
        (BARRIER_COUNT, 17, "BARRIER_COUNT = 17"),
        (BARRIER_COUNT, 0, "barrier count of 0 for kernel fill, which needs 1"),
        (SHARED_MEMORY_SIZE, 0x840, "no multiple of 128"),
        (SHARED_MEMORY_SIZE, 0x380, "shared memory of 896 for kernel fill, which needs 1024"),
        (SHARED_MEMORY_SIZE, 229 << 10, "has 233472"),
        (SHARED_MEMORY_SIZE, 9 << 10, "8 KiB hold no block with 9216 bytes"),
        (MIN_SM_CONFIG_SHARED_MEM_SIZE, 0, "MIN_SM_CONFIG_SHARED_MEM_SIZE = 0 is no carve-out"),
        (MIN_SM_CONFIG_SHARED_MEM_SIZE, 17, "least 64 KiB, wanted 32, greatest 228"),
        (MAX_SM_CONFIG_SHARED_MEM_SIZE, 5, "least 8 KiB, wanted 32, greatest 16"),
        (TARGET_SM_CONFIG_SHARED_MEM_SIZE, 10, "TARGET_SM_CONFIG_SHARED_MEM_SIZE = 10"),
        (SHADER_LOCAL_MEMORY_LOW_SIZE, 8, "SHADER_LOCAL_MEMORY_LOW_SIZE: 8 bytes"),
        (SHADER_LOCAL_MEMORY_HIGH_SIZE, 16, "SET_SHADER_LOCAL_MEMORY has set none"),
        (CONSTANT_BUFFER_VALID, 0, "constant bank 0 is not valid"),
        (CONSTANT_BUFFER_SIZE_SHIFTED4, 0, "constant bank 0: 0 bytes"),
        (
            CONSTANT_BUFFER_SIZE_SHIFTED4,
            0x21,
            "size of constant bank 0 of 528 for kernel fill, which needs 540",
        ),
    ];
    for (field, value, message) in alone {
        let mut qmd = bench.qmd();
        set(&mut qmd, field, value);
        let line = bench.refused(&qmd);
        assert!(line.contains(message) && line.contains("QMD at 0x2000000000"), "{}: {line}", field.name);
    }
    let several: [(Tweak<'_>, &str); 6] = [
        (&|q| (q[0], q[100]) = (6, 0x80), "bits 2:1 are set, which qmd_v04 does not name"),
        (&|q| q[383] = 0x80, "bits 3071:3071"),
        (
            &|q| {
                set(q, CTA_THREAD_DIMENSION1, 8);
                set(q, REGISTER_COUNT, 65);
            },
            "REGISTER_COUNT = 65: 73728 for 1024 threads, of 65536",
        ),
        (
            &|q| {
                set_at(q, RELEASE_ENABLE, 1, 1);
                set_at(q, RELEASE_STRUCTURE_SIZE, 1, 3);
            },
            "RELEASE_STRUCTURE_SIZE(1) = 3",
        ),
        (
            &|q| set(q, PROGRAM_ADDRESS_LOWER, 0x1040),
            "no model of the kernel at 0x2000001040 (code of 384 bytes",
        ),
        (&|q| set(q, PROGRAM_ADDRESS_UPPER, 0x77), "on a read of GPU address 0x7700001000"),
    ];
    for (tweak, message) in several {
        let mut qmd = bench.qmd();
        tweak(&mut qmd);
        let line = bench.refused(&qmd);
        assert!(line.contains(message), "{message}: {line}");
    }
    let unmapped = bench.fault(&bench.channel(), |pb| {
        pb.method(COMPUTE, c::SEND_PCAS_A, 0x7700_0000);
        pb.method(COMPUTE, c::SEND_SIGNALING_PCAS2_B, PCAS_FRESH);
    });
    assert!(unmapped.0 == 31 && unmapped.1.contains("0x7700000000"), "{unmapped:?}");
}

#[test]
fn a_launch_has_to_bring_what_the_cubin_asks_for() {
    use qmd_v04::*;
    let cubin = Cubin { constants: Some(vec![1, 2, 3, 4]), stack: 48, ..Cubin::new("fill", 90) };
    let wrong_sm = Cubin { code: vec![9; 256], ..Cubin::new("old", 80) };
    let models = [&cubin, &wrong_sm].map(|c| KernelModel::new(&c.build(), c.name, fill).unwrap());
    let bench = Bench::with(GpuModel::h200(), cubin, models.into());
    let mut qmd = bench.qmd();
    let line = bench.refused(&qmd);
    assert!(line.contains("local memory of a thread of 0 for kernel fill, which needs 48"), "{line}");
    set(&mut qmd, SHADER_LOCAL_MEMORY_LOW_SIZE, 48);
    let line = bench.refused(&qmd);
    assert!(line.contains("constant bank 3 is not that of kernel fill"), "{line}");
    set_at(&mut qmd, CONSTANT_BUFFER_VALID, 3, 1);
    set_at(&mut qmd, CONSTANT_BUFFER_ADDR_LOWER_SHIFTED6, 3, (DATA + BANK3) >> 6);
    set_at(&mut qmd, CONSTANT_BUFFER_SIZE_SHIFTED4, 3, 1);
    let line = bench.refused(&qmd);
    assert!(line.contains("constant bank 3 is not"), "{line}");
    bench.write(BANK3, &[1, 2, 3, 4]);
    let line = bench.refused(&qmd);
    assert!(line.contains("SET_SHADER_LOCAL_MEMORY has set none"), "{line}");
    let stored = bench.launch_with_local_memory();
    assert_eq!(stored, 7);
    bench.write(CODE, &wrong_sm.code);
    let line = bench.refused(&qmd);
    assert!(line.contains("kernel old is for sm_80, not for HOPPER_COMPUTE_A"), "{line}");
    assert!(line.contains("QMD at"), "{line}");
}

impl Bench {
    /// Launches on a channel with local memory, also after others have stopped.
    fn launch_with_local_memory(&self) -> u32 {
        let channel = self.channel();
        self.data.store(OUT, 0);
        self.push(&channel, |pb| {
            pb.methods(COMPUTE, c::SET_SHADER_LOCAL_MEMORY_A, &[0x30, 0]);
            pb.methods(COMPUTE, c::SET_SHADER_LOCAL_MEMORY_NON_THROTTLED_A, &[0, 0x8000, 0xff]);
            Bench::pcas(pb, PCAS_FRESH);
            Bench::report(pb, 1234, report::STRUCTURE_SIZE.of(1));
        });
        for _ in 0..20_000 {
            if self.data.load(SEMAPHORE) == 1234 {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.data.load(OUT)
    }
}

#[test]
fn windows_have_to_be_those_that_code_knows() {
    let bench = Bench::h200();
    bench.write(QMD, &bench.qmd());
    let (_, line) = bench.fault(&bench.bare_channel(), |pb| Bench::pcas(pb, PCAS_FRESH));
    assert!(line.contains("the shared memory window is not set"), "{line}");
    let shared = c::SET_SHADER_SHARED_MEMORY_WINDOW_A;
    let local = c::SET_SHADER_LOCAL_MEMORY_WINDOW_A;
    for (method, base, message) in [
        (shared, 0, "the shared memory window at 0x0"),
        (shared, SHARED_WINDOW + (1 << 31), "no multiple of 0x100000000"),
        (shared, DATA, "memory is mapped in the shared memory window"),
        (shared, SHARED_WINDOW + (1 << 32), "constant bank 0 has 0x729400000000 at 0x18 for the shared"),
        (local, SHARED_WINDOW + (1 << 24), "lies in the shared one"),
        (local, LOCAL_WINDOW + (1 << 23), "no multiple of 0x1000000"),
        (local, LOCAL_WINDOW + (1 << 24), "has 0x729300000000 at 0x20 for the local"),
    ] {
        let (xid, line) = bench.fault(&bench.channel(), |pb| {
            pb.methods(COMPUTE, method, &[(base >> 32) as u32, base as u32]);
            Bench::pcas(pb, PCAS_FRESH);
        });
        assert!(xid == 13 && line.contains(message), "{xid} {line}");
    }
}

#[test]
fn methods_that_are_not_understood_stop_the_channel() {
    let bench = Bench::h200();
    bench.write(QMD, &bench.qmd());
    let inline = [0x4000_0000, ((DATA + QMD) >> 8) as u32];
    type Work<'a> = &'a dyn Fn(&mut PushBuffer);
    let method = |address, value| {
        move |pb: &mut PushBuffer| {
            pb.method(COMPUTE, address, value);
        }
    };
    let cases: [(Work<'_>, &str); 12] = [
        (&method(0x1234, 5), "HOPPER_COMPUTE_A has no method 0x1234"),
        (&method(c::OFFSET_OUT, 5), "no method OFFSET_OUT"),
        (&method(c::SEND_SIGNALING_PCAS2_B, 3), "before SEND_PCAS_A"),
        (&|pb| Bench::pcas(pb, 0), "action 0, which schedules nothing"),
        (&|pb| Bench::pcas(pb, 5), "action 5"),
        (&|pb| Bench::pcas(pb, 0x103), "unknown bits"),
        (&|pb| Bench::report(pb, 1, report::REDUCTION_ENABLE.of(1)), "with a reduction"),
        (&|pb| Bench::report(pb, 1, 1), "operation 1"),
        (&method(c::SET_REPORT_SEMAPHORE_D, 0), "before A, B and C"),
        (&method(c::INVALIDATE_SHADER_CACHES, 2), "unknown bits"),
        (&method(c::LOAD_INLINE_QMD_DATA, 2), "before SET_INLINE_QMD_ADDRESS"),
        (
            &|pb| {
                pb.methods(COMPUTE, c::SET_INLINE_QMD_ADDRESS_A, &[0, inline[1]]);
                pb.method(COMPUTE, c::LOAD_INLINE_QMD_DATA + 4 * 64, 0);
            },
            "LOAD_INLINE_QMD_DATA(64) of a descriptor of 256 bytes",
        ),
    ];
    for (work, message) in cases {
        let (xid, line) = bench.fault(&bench.channel(), work);
        assert!(xid == 13 && line.contains(message), "{xid} {line}");
    }
    bench.write(QMD, &[0; 384]);
    let bench = Bench::h200();
    let words: Vec<u32> = bench.qmd().chunks(4).map(|w| u32::from_le_bytes(w.try_into().unwrap())).collect();
    let stored = bench.launch(&bench.channel(), PCAS_FRESH, |pb| {
        pb.methods(COMPUTE, c::SET_INLINE_QMD_ADDRESS_A, &inline);
        pb.methods(COMPUTE, c::LOAD_INLINE_QMD_DATA, &words);
        pb.method(COMPUTE, c::NO_OPERATION, 0);
        pb.method(HOST, nvkernel_sys::host::NOP, 0);
    });
    assert_eq!(stored, 7);
}

/// New bytes at an old address are not seen until something invalidates what was cached.
#[test]
fn a_missing_invalidate_shows_as_stale_bytes() {
    use qmd_v04::*;
    let constants = |pb: &mut PushBuffer| {
        pb.method(COMPUTE, c::INVALIDATE_SHADER_CACHES_NO_WFI, c::invalidate_shader_caches::CONSTANT.of(1));
    };
    let code = |pb: &mut PushBuffer| {
        pb.method(COMPUTE, c::INVALIDATE_SHADER_CACHES, c::invalidate_shader_caches::INSTRUCTION.of(1));
    };
    let sked = |pb: &mut PushBuffer| {
        pb.method(COMPUTE, c::INVALIDATE_SKED_CACHES, 0);
    };
    let twice = Cubin { code: vec![0x55; 256], ..Cubin::new("twice", 90) };
    let cubin = Cubin::new("fill", 90);
    let models = vec![
        KernelModel::new(&cubin.build(), "fill", fill).unwrap(),
        KernelModel::new(&twice.build(), "twice", |grid| store(grid, 1000 + grid.grid_dim()[0])).unwrap(),
    ];
    let bench = Bench::with(GpuModel::h200(), cubin, models);
    let channel = bench.channel();
    let mut qmd = bench.qmd();
    bench.write(QMD, &qmd);
    let value = |value| bench.write(CONSTANTS, &bench.constants(DATA + OUT, value));
    assert_eq!(bench.launch(&channel, PCAS_FRESH, |_| {}), 7);

    // Constants: by method, by the bank's bit, by the descriptor's.
    value(8);
    assert_eq!(bench.launch(&channel, PCAS_FRESH, |_| {}), 7, "stale");
    assert_eq!(bench.launch(&channel, PCAS_FRESH, code), 7, "another cache");
    assert_eq!(bench.launch(&channel, PCAS_FRESH, constants), 8);
    for field in [CONSTANT_BUFFER_INVALIDATE, INVALIDATE_SHADER_CONSTANT_CACHE] {
        value(9);
        assert_eq!(bench.launch(&channel, PCAS_FRESH, |_| {}), 8, "stale");
        set(&mut qmd, field, 1);
        bench.write(QMD, &qmd);
        assert_eq!(bench.launch(&channel, PCAS_FRESH, |_| {}), 9);
        value(8);
        assert_eq!(bench.launch(&channel, PCAS_FRESH, |_| {}), 8);
        set(&mut qmd, field, 0);
        bench.write(QMD, &qmd);
    }

    // Instructions: by method, by the descriptor's bit.
    let old = bench.cubin.code.clone();
    bench.write(CODE, &twice.code);
    assert_eq!(bench.launch(&channel, PCAS_FRESH, constants), 8, "stale");
    assert_eq!(bench.launch(&channel, PCAS_FRESH, code), 1005);
    bench.write(CODE, &old);
    assert_eq!(bench.launch(&channel, PCAS_FRESH, |_| {}), 1005, "stale");
    set(&mut qmd, INVALIDATE_INSTRUCTION_CACHE, 1);
    bench.write(QMD, &qmd);
    assert_eq!(bench.launch(&channel, PCAS_FRESH, |_| {}), 8);
    bench.write(CODE, &twice.code);
    assert_eq!(bench.launch(&channel, PCAS_FRESH, |_| {}), 1005);

    // The descriptor: by the action, by method.
    set(&mut qmd, GRID_WIDTH, 6);
    bench.write(QMD, &qmd);
    assert_eq!(bench.launch(&channel, PCAS_CACHED, |_| {}), 1005, "stale");
    assert_eq!(bench.launch(&channel, 9, |_| {}), 1005, "a prefetch does not invalidate");
    assert_eq!(bench.launch(&channel, PCAS_CACHED, sked), 1006);
    set(&mut qmd, GRID_WIDTH, 7);
    bench.write(QMD, &qmd);
    assert_eq!(bench.launch(&channel, PCAS_CACHED, |_| {}), 1006, "stale");
    assert_eq!(bench.launch(&channel, PCAS_CACHED, |pb| Bench::pcas(pb, 1)), 1007);
    set(&mut qmd, GRID_WIDTH, 8);
    bench.write(QMD, &qmd);
    assert_eq!(bench.launch(&channel, 10, |_| {}), 1008);
    assert_eq!(bench.launch(&bench.channel(), PCAS_CACHED, |_| {}), 1008, "each channel has its own caches");
}

/// The parameters are where the cubin says, and nowhere else: a driver that has them elsewhere writes to address 0.
#[test]
fn faults_of_a_kernel_are_those_of_the_hardware() {
    let bench = Bench::h200();
    bench.write(QMD, &bench.qmd());
    let mut elsewhere = bench.constants(0, 0);
    elsewhere[0x160..0x168].copy_from_slice(&(DATA + OUT).to_le_bytes());
    bench.write(CONSTANTS, &elsewhere);
    let (xid, line) = bench.fault(&bench.channel(), |pb| Bench::pcas(pb, PCAS_FRESH));
    assert!(xid == 31 && line.contains("on a write of GPU address 0x0"), "{xid} {line}");
    bench.write(CONSTANTS, &bench.constants(DATA + OUT, 7));
    bench.kernel.faults().fault_next_launch(0, EngineType::GR0, LaunchFault::Engine);
    let (xid, line) = bench.fault(&bench.channel(), |pb| Bench::pcas(pb, PCAS_FRESH));
    assert!(xid == 13 && line.contains("injected engine error"), "{xid} {line}");
}

#[test]
fn a_grid_that_takes_long_is_given_up_with_its_channel() {
    let started = Arc::new(AtomicU32::new(0));
    let cubin = Cubin::new("fill", 90);
    let run = {
        let started = started.clone();
        move |grid: &Grid<'_>| {
            started.fetch_add(1, Ordering::Relaxed);
            while !grid.is_cancelled() {
                std::thread::yield_now();
            }
            Ok(())
        }
    };
    let models = vec![KernelModel::new(&cubin.build(), "fill", run).unwrap()];
    let bench = Bench::with(GpuModel::h200(), cubin, models);
    let mut qmd = bench.qmd();
    set(&mut qmd, qmd_v04::RELEASE_ENABLE, 1);
    set(&mut qmd, qmd_v04::RELEASE_STRUCTURE_SIZE, 1);
    set(&mut qmd, qmd_v04::RELEASE_SEMAPHORE_ADDR_LOWER, SEMAPHORE);
    set(&mut qmd, qmd_v04::RELEASE_SEMAPHORE_ADDR_UPPER, DATA >> 32);
    set(&mut qmd, qmd_v04::RELEASE_SEMAPHORE_PAYLOAD_LOWER, 1);
    bench.write(QMD, &qmd);
    let channel = bench.channel();
    bench.push(&channel, |pb| Bench::pcas(pb, PCAS_FRESH));
    while started.load(Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
    bench.raw.free(channel.channel).unwrap();
    assert_eq!((bench.data.load(SEMAPHORE), bench.kernel.usage().channels), (0, 0));
    assert!(bench.kernel.log().is_empty());
}

#[test]
fn cubins_of_other_kinds_are_refused_by_name() {
    let model = |bytes: &[u8], entry: &str| KernelModel::new(bytes, entry, fill).map(|_| ());
    let good = Cubin::new("fill", 90);
    // The parser takes bytes at any address.
    let shifted = [&[0], good.build().as_slice()].concat();
    assert_eq!(model(&shifted[1..], "fill"), Ok(()));
    assert_eq!(model(&good.build(), "other"), Err(CubinError::NoEntry("other".into())));
    let refused = |cubin: Cubin| model(&cubin.build(), "fill").unwrap_err().to_string();
    let message = refused(Cubin { abi: (0x33, 7), ..good.clone() });
    assert!(message.contains("OS/ABI 0x33 version 7, not 0x41 version 8"), "{message}");
    let message = refused(Cubin { relocations: 24, ..good.clone() });
    assert!(message.contains("relocations of .text.fill"), "{message}");
    let message = refused(Cubin { registers: 0, ..good.clone() });
    assert!(message.contains("no register count"), "{message}");
    let mut host = good.build();
    host[18] = 62;
    assert!(model(&host, "fill").unwrap_err().to_string().contains("another machine"));
    assert!(matches!(model(b"not an ELF file", "fill"), Err(CubinError::Damaged(_))));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn hostile_cubins_are_errors(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = Cubin { constants: Some(vec![5; 20]), ..Cubin::new("fill", 90) }.build();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = KernelModel::new(&bytes, "fill", fill);
    }

    #[test]
    fn headers_that_lie_are_errors(
        at in 0usize..64,
        values in any::<[u8; 8]>(),
        table in any::<prop::sample::Index>(),
        length in 1usize..8,
    ) {
        let mut bytes = Cubin::new("fill", 90).build();
        let sections = u64::from_le_bytes(bytes[40..48].try_into().unwrap()) as usize;
        let target = if at % 2 == 0 { at } else { sections + table.index(bytes.len() - sections) };
        for (byte, value) in bytes[target..].iter_mut().zip(&values[..length]) {
            *byte = *value;
        }
        let _ = KernelModel::new(&bytes, "fill", fill);
    }
}
