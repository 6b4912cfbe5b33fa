use std::time::Duration;

use hcq::kernel::emulated::GpuModel;
use hcq::pushbuf::Decoder;
use hcq::{DeviceBuffer, Placement};

use super::*;
use crate::class::Chroma;
use crate::engines::Priority;
use crate::memory::motion::MotionStore;
use crate::surface::pool::{Reuse, SurfacePool};
use crate::surface::{Surface, SurfaceFormat, SurfaceGeometry};
use crate::testing::{Execution, Machine, pending_uses, pending_write, stream};

const LONG: Duration = Duration::from_secs(60);

fn surfaces(machine: &Machine, count: usize) -> Vec<Surface> {
    let format = SurfaceFormat::new(Chroma::C420, 8);
    let pool = SurfacePool::new(
        machine.context.memory(),
        SurfaceGeometry::new(format, 208, 120),
        count,
        Reuse::First,
    );
    (0..count).map(|_| pool.take().unwrap().unwrap()).collect()
}

/// Memory for the buffers of a picture, in one block.
fn block(machine: &Machine) -> DeviceBuffer {
    machine.context.device().allocate(0x10000, Placement::Sysmem).unwrap()
}

fn operands(block: &DeviceBuffer) -> Vec<Operand<'_>> {
    let methods = [0x404, 0x408, 0x424, 0x584, 0x588];
    methods.into_iter().zip(0..).map(|(method, i)| Operand::new(method, block).at(0x1000 * i)).collect()
}

/// Surfaces at places 1, 2 and 0, the first of them the target.
fn pictures(surfaces: &[Surface]) -> Vec<(u8, &Surface)> {
    [1, 2, 0].into_iter().zip(surfaces).collect()
}

fn job<'a>(buffers: &'a [Operand<'a>], pictures: &'a [(u8, &'a Surface)]) -> PictureJob<'a> {
    PictureJob {
        application_id: 7,
        control_params: 0x4_2057,
        buffers,
        target: pictures[0].1,
        pictures,
        motion: None,
        collocated: &[],
        waits: &[],
    }
}

#[test]
fn words_of_one_picture() {
    let machine = Machine::h200();
    let surfaces = surfaces(&machine, 3);
    let block = block(&machine);
    let mut pb = PushBuffer::new();
    job(&operands(&block), &pictures(&surfaces)).write_methods(&mut pb);
    let base = (block.gpu_address() >> 8) as u32;
    let page = |address: u64| (address >> 8) as u32;
    let luma: Vec<u32> = surfaces.iter().map(|s| page(s.luma_address())).collect();
    let chroma: Vec<u32> = surfaces.iter().map(|s| page(s.chroma_address())).collect();
    // Luma is 208 bytes wide, so 256, and 128 lines high.
    assert_eq!(chroma[0] - luma[0], 256 * 128 / 256);
    // Headers: bits 31:29 incrementing, 28:16 count, 15:13 subchannel 4, 11:0 method / 4.
    let expected = [
        0x2002_8101,
        base,
        base + 0x10, // SET_DRV_PIC_SETUP_OFFSET, SET_IN_BUF_BASE_OFFSET
        0x2001_8109,
        base + 0x20, // SET_NVDEC_STATUS_OFFSET
        0x2002_8161,
        base + 0x30,
        base + 0x40, // tile sizes, filter buffer
        0x2002_810d,
        luma[0],
        luma[1], // places 1 and 2
        0x2001_810c,
        luma[2], // place 0
        0x2002_811e,
        chroma[0],
        chroma[1],
        0x2001_811d,
        chroma[2],
        0x2001_80c0,
        0, // EXECUTE
    ];
    assert_eq!(pb.words(), expected, "{:#x?}", pb.words());
    let last = Decoder::new(pb.words()).last().unwrap().unwrap();
    assert_eq!((last.subchannel, last.address), (4, 0x300));
}

#[test]
fn control_words_are_sent_again_only_where_the_engine_forgets() {
    let count = |gpu: GpuModel, keeps: bool| {
        let machine = Machine::new(gpu);
        let executions = machine.decode(stream("x_hdr10"));
        assert!(executions.len() > 3);
        for (i, execution) in executions.iter().enumerate() {
            let head: Vec<_> = execution.methods.iter().filter(|(m, _)| matches!(m, 0x200 | 0x400)).collect();
            if i == 0 || !keeps {
                // Codec 7, GPTIMER, ERR_CONCEAL, MBTIMER, production run.
                assert_eq!(head, [&(0x200, 7), &(0x400, 0x4_2057)], "picture {i}");
                assert_eq!(execution.methods[0].0, 0x200, "before all else");
            } else {
                assert!(head.is_empty(), "picture {i}");
            }
        }
    };
    count(GpuModel::h200(), true);
    count(GpuModel::t4(), false);
    count(GpuModel::rtx_5090(), false);
}

/// Another control word than the engine has is sent, and so is the old one after it.
#[test]
fn a_change_of_control_is_sent() {
    let machine = Machine::h200();
    let queue = machine.context.video_queue(machine.context.engines()[0], Priority::Bulk).unwrap();
    let surfaces = surfaces(&machine, 3);
    let (block, pictures) = (block(&machine), pictures(&surfaces));
    let buffers = operands(&block);
    let mut job = job(&buffers, &pictures);
    for params in [0x4_2057, 0x4_2057, 0x5_2057, 0x4_2057, 0x4_2057] {
        job.control_params = params;
        job.submit(&queue).unwrap().wait(LONG).unwrap();
    }
    let executions = machine.recorder.executions();
    let sent: Vec<_> = executions
        .iter()
        .map(|e| e.methods.iter().find(|(m, _)| *m == 0x400).map(|&(_, value)| value))
        .collect();
    assert_eq!(sent, [Some(0x4_2057), None, Some(0x5_2057), Some(0x4_2057), None]);
    assert!(executions.iter().all(|e| e.engine == queue.engine()));
}

fn order(execution: &Execution) -> Vec<u32> {
    execution.methods.iter().map(|m| m.0).collect()
}

#[test]
fn methods_by_class() {
    // The first picture of an intra period has one place in use.
    let first = |gpu, name| order(&Machine::new(gpu).decode(stream(name))[0]);
    let common = [0x200, 0x400, 0x404, 0x408, 0x414, 0x424, 0x584, 0x588];
    let with = |extra: &[u32]| [&common, extra, &[0x430, 0x474, 0x300]].concat();
    assert_eq!(first(GpuModel::h200(), "x_hdr10"), with(&[]));
    assert_eq!(first(GpuModel::t4(), "x_hdr10"), with(&[]));
    assert_eq!(first(GpuModel::a100(), "x_hdr10"), with(&[]));
    assert_eq!(first(GpuModel::rtx_4090(), "x_hdr10"), with(&[0x4c8]));
    assert_eq!(first(GpuModel::b200(), "x_hdr10"), with(&[0x4c8, 0x4dc]));
    assert_eq!(first(GpuModel::rtx_5090(), "s_slist_pps"), with(&[0x580, 0x4c8, 0x4dc]));
    assert_eq!(first(GpuModel::h200(), "s_slist_pps"), with(&[0x580]));
}

#[test]
fn scratch_of_a_class_lies_behind_the_filter_buffer() {
    for (gpu, extra) in [(GpuModel::rtx_4090(), false), (GpuModel::rtx_5090(), true)] {
        for execution in Machine::new(gpu).decode(stream("x_hdr10")) {
            let filter = execution.address(0x588).unwrap();
            let intra_top = execution.address(0x4c8).unwrap();
            // Behind the SAO area above: W * H / 2 for 448x256.
            let above = filter + 256 * u64::from(execution.word(0xf4));
            assert!(intra_top >= above + 448 * 256 / 2);
            match execution.address(0x4dc) {
                Some(address) => assert!(extra && address >= intra_top + 0x10000),
                None => assert!(!extra),
            }
        }
    }
}

#[test]
fn places_in_use_are_named_and_no_others() {
    for execution in Machine::h200().decode(stream("h_ra_cra")) {
        let places = |base: u32| -> Vec<u32> {
            let all = execution.methods.iter().filter(|(m, _)| (base..base + 4 * 17).contains(m));
            all.map(|(m, _)| (m - base) / 4).collect()
        };
        let (luma, chroma) = (places(0x430), places(0x474));
        assert_eq!(luma, chroma);
        let current = execution.descriptor[0xb6];
        assert_eq!(luma[0], u32::from(current), "the target first");
        let mut named: Vec<u32> = execution.descriptor[0x74..0x94].iter().map(|&p| p.into()).collect();
        named.push(current.into());
        named.sort_unstable();
        named.dedup();
        let mut luma = luma;
        luma.sort_unstable();
        assert_eq!(luma, named, "what the lists name is in the table, and nothing else");
    }
}

#[test]
fn submissions_write_and_read_their_surfaces() {
    let machine = Machine::h200();
    let queue = machine.context.video_queue(machine.context.engines()[0], Priority::Bulk).unwrap();
    let engine = queue.engine();
    let surfaces = surfaces(&machine, 3);
    for surface in &surfaces {
        for point in pending_uses(surface) {
            point.wait(LONG).unwrap();
        }
    }
    machine.kernel.faults().stall(0, engine);
    let block = block(&machine);
    let buffers = [operands(&block), vec![Operand::new(0x414, &block)]].concat();
    let point = job(&buffers, &pictures(&surfaces)).submit(&queue).unwrap();
    let value = |p: Option<SyncPoint>| p.map(|p| (p.timeline().engine(), p.value()));
    assert_eq!(value(pending_write(&surfaces[0])), Some((engine, point.value())));
    for reference in &surfaces[1..] {
        assert_eq!(value(pending_write(reference)), None);
        assert_eq!(value(pending_uses(reference).pop()), Some((engine, point.value())));
    }
    machine.kernel.faults().resume(0, engine);
    point.wait(LONG).unwrap();
}

/// What a picture waits for: whoever wrote what it reads, whoever uses what it writes, and nobody else.
#[test]
fn jobs_depend_on_the_memory_that_they_touch() {
    let machine = Machine::h200();
    let engines = machine.context.engines();
    let queues: Vec<_> =
        engines[..4].iter().map(|&e| machine.context.video_queue(e, Priority::Bulk).unwrap()).collect();
    let surfaces = surfaces(&machine, 5);
    surfaces.iter().flat_map(pending_uses).for_each(|point| point.wait(LONG).unwrap());
    let mut store = MotionStore::new(machine.context.memory(), 16, 256).unwrap();
    let mut slot = || store.place(machine.context.memory(), &mut [], false).unwrap().unwrap().target.0;
    let slots = [slot(), slot(), slot()];
    slots.iter().flat_map(|s| s.uses().before_write().cloned().collect::<Vec<_>>()).for_each(|point| {
        point.wait(LONG).unwrap();
    });
    for &engine in engines {
        machine.kernel.faults().stall(0, engine);
    }
    let block = block(&machine);
    let buffers = [operands(&block), vec![Operand::new(0x414, &block)]].concat();
    // Target, references, motion and motion that is read.
    type Access<'a> = (usize, &'a [usize], usize, &'a [usize]);
    let with = |(target, references, motion, collocated): Access<'_>,
                look: &mut dyn FnMut(&PictureJob<'_>)| {
        let named = std::iter::once(&target).chain(references);
        let pictures: Vec<_> = (0..).zip(named.map(|&i| &surfaces[i])).collect();
        let collocated: Vec<_> = collocated.iter().map(|&i| &slots[i]).collect();
        let job = job(&buffers, &pictures);
        look(&PictureJob { motion: Some(&slots[motion]), collocated: &collocated, ..job });
    };
    let dependencies = |access: Access<'_>| {
        let mut named = Vec::new();
        with(access, &mut |job| {
            let mut waits = Latest::default();
            job.add_uses(&mut waits);
            waits.add_all(job.waits);
            named = waits.as_slice().iter().map(|p| (p.timeline().engine(), p.value())).collect();
        });
        named.sort_unstable();
        named
    };
    let submit = |queue: usize, access: Access<'_>| {
        let mut point = None;
        with(access, &mut |job| point = Some(job.submit(&queues[queue]).unwrap()));
        let point = point.expect("submitted");
        (point.timeline().engine(), point.value())
    };
    let first = submit(0, (0, &[], 0, &[]));
    // A reference, and motion that it takes.
    let reader = (1, &[0][..], 1, &[0][..]);
    assert_eq!(dependencies(reader), [first]);
    let reader = submit(1, reader);
    // A surface that is read and a slot that is read, each for itself.
    assert_eq!(dependencies((0, &[], 2, &[])), [first, reader]);
    assert_eq!(dependencies((2, &[], 0, &[])), [first, reader]);
    // A slot that was written and nobody has read.
    assert_eq!(dependencies((2, &[], 1, &[])), [reader]);
    assert_eq!(dependencies((3, &[], 2, &[1])), [reader]);
    // Readers do not wait for readers, nor strangers for anybody.
    assert_eq!(dependencies((3, &[0], 2, &[0])), [first]);
    assert_eq!(dependencies((3, &[], 2, &[])), []);
    // Whoever writes behind them stands for all of them.
    let writer = submit(2, (0, &[], 0, &[]));
    assert_eq!(dependencies((3, &[0], 2, &[0])), [writer]);
    for &engine in engines {
        machine.kernel.faults().resume(0, engine);
    }
}
