//! Sampling of engines that somebody else keeps busy, on the emulated kernel.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use hcq::kernel::emulated::{
    EmulatedKernel, Engine, EngineContext, EngineFault, GpuModel, LaunchFault, Usage,
};
use hcq::load::{Arrivals, EngineSampler, Idle, Load, MOST_SAMPLES, Samples};
use hcq::*;
use nvkernel_sys::{class, video};

const LONG: Duration = Duration::from_secs(60);

/// Holds up whoever executes, while it is closed.
#[derive(Default)]
struct Gate {
    closed: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn set(&self, closed: bool) {
        *self.closed.lock().unwrap() = closed;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let closed = self.closed.lock().unwrap();
        drop(self.opened.wait_while(closed, |closed| *closed).unwrap());
    }
}

/// EXECUTE takes as long as the gate is closed, and `time` besides.
struct Timed {
    class: u32,
    gate: Arc<Gate>,
    time: Duration,
}

impl Engine for Timed {
    fn class(&self) -> u32 {
        self.class
    }

    fn launches(&self, address: u32, _: u32) -> bool {
        address == video::EXECUTE
    }

    fn method(&mut self, _: &EngineContext<'_>, address: u32, _: u32) -> Result<(), EngineFault> {
        if address == video::EXECUTE {
            self.gate.pass();
            std::thread::sleep(self.time);
        }
        Ok(())
    }
}

fn machine(gate: &Arc<Gate>, time: Duration) -> (EmulatedKernel, Device) {
    let gate = gate.clone();
    let kernel = EmulatedKernel::builder()
        .with_engine_factory(EngineKind::Nvdec, move |_, class| {
            Box::new(Timed { class, gate: gate.clone(), time })
        })
        .build()
        .unwrap();
    let device = Device::open(Arc::new(kernel.clone()), 0).unwrap();
    (kernel, device)
}

fn video_class(device: &Device) -> u32 {
    device.pick_class("video", class::VIDEO_DECODER_CLASSES).unwrap()
}

fn nvdec(device: &Device, number: usize) -> EngineType {
    device.engines_of(EngineKind::Nvdec).unwrap()[number]
}

/// Somebody else's work on an engine.
fn execute(queue: &Queue) -> SyncPoint {
    let mut commands = PushBuffer::new();
    commands.method(4, video::EXECUTE, 0);
    // SAFETY: no address is used.
    unsafe { queue.submit(&[], &commands, []) }.unwrap()
}

/// Takes a sample and waits for its answer, which the end of an interval tells: an unanswered one is part of
/// it.
fn answered(sampler: &mut EngineSampler) -> Samples {
    let start = Instant::now();
    loop {
        sampler.sample().unwrap();
        std::thread::sleep(Duration::from_millis(1));
        let samples = sampler.take().unwrap();
        if samples.waits.iter().any(|wait| wait.most.is_some()) {
            return samples;
        }
        assert!(start.elapsed() < LONG, "the engine answers nothing");
    }
}

/// An engine that another's work holds up answers when that is done, and counts as busy all the while.
#[test]
fn held_up_engines_are_busy_and_others_are_not() {
    // Far from what a crowded machine takes to run the thread of an engine.
    const LIMIT: Duration = Duration::from_secs(2);
    let gate = Arc::new(Gate::default());
    let (_kernel, device) = machine(&gate, Duration::ZERO);
    let class = video_class(&device);
    let (held, free) = (nvdec(&device, 2), nvdec(&device, 5));
    let others = Queue::new(&device, held, class).unwrap();
    let mut samplers = [held, free].map(|engine| EngineSampler::new(&device, engine, class).unwrap());
    assert_eq!(samplers[0].engine(), held);
    // Until both channels of each are bound.
    for sampler in &mut samplers {
        answered(sampler);
        answered(sampler);
        let load = Load::of(&answered(sampler).waits, LIMIT);
        assert!(load.samples > 0 && load.late == 0, "{load:?}");
    }

    gate.set(true);
    let work = execute(&others);
    for _ in 0..4 {
        for sampler in &mut samplers {
            sampler.sample().unwrap();
        }
    }
    std::thread::sleep(LIMIT + LIMIT / 10);
    let loads = samplers.each_mut().map(|sampler| Load::of(&sampler.take().unwrap().waits, LIMIT));
    assert_eq!((loads[0].late, loads[0].samples, loads[0].unanswered), (4, 4, 4), "{loads:?}");
    assert_eq!((loads[0].busy(), loads[1].busy()), (Some(1.0), Some(0.0)), "{loads:?}");
    assert!(loads[0].longest.unwrap() > LIMIT);

    // What counted as unanswered does not count again with its answer; what was due meanwhile shares it.
    samplers[0].sample().unwrap();
    std::thread::sleep(LIMIT + LIMIT / 2);
    gate.set(false);
    work.wait(LONG).unwrap();
    let start = Instant::now();
    let mut waits = Vec::new();
    loop {
        let samples = samplers[0].take().unwrap();
        waits.extend(samples.waits);
        if samples.shortest.is_some() {
            break;
        }
        assert!(start.elapsed() < LONG);
        std::thread::sleep(Duration::from_millis(1));
    }
    let load = Load::of(&waits, LIMIT);
    assert_eq!((load.late, load.samples), (1, 1), "{waits:?}");
}

/// Whoever takes samples and never asks for them fills no memory.
#[test]
fn samples_are_limited() {
    let gate = Arc::new(Gate::default());
    let (_kernel, device) = machine(&gate, Duration::ZERO);
    let (class, engine) = (video_class(&device), nvdec(&device, 0));
    let others = Queue::new(&device, engine, class).unwrap();
    let mut sampler = EngineSampler::new(&device, engine, class).unwrap();
    gate.set(true);
    execute(&others);
    for _ in 0..MOST_SAMPLES + 100 {
        sampler.sample().unwrap();
    }
    gate.set(false);
    let taken = sampler.take().unwrap().waits.len();
    assert!((MOST_SAMPLES - 3..=MOST_SAMPLES).contains(&taken), "{taken}");
    answered(&mut sampler);
}

/// An engine that always has work, one that has some half of the time, and one that has none, by random
/// samples. The limit that is learnt tells the first from the last, even where the threads of the model wake
/// up as they please; the share of the second takes one that is above that.
#[test]
fn shares_come_out_of_random_samples() {
    const PICTURE: Duration = Duration::from_millis(40);
    let (_kernel, device) = machine(&Arc::default(), PICTURE);
    let class = video_class(&device);
    let engines = [0, 1, 2].map(|number| nvdec(&device, number));
    let mut samplers = engines.map(|engine| EngineSampler::new(&device, engine, class).unwrap());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Always two pictures ahead; and one picture, then a pause of the same length.
        let queues = [0, 1].map(|number| Queue::new(&device, engines[number], class).unwrap());
        let stop = &stop;
        let [full, half] = queues;
        scope.spawn(move || {
            let mut ahead = execute(&full);
            while !stop.load(Ordering::Relaxed) {
                let next = execute(&full);
                ahead.wait(LONG).unwrap();
                ahead = next;
            }
        });
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let start = Instant::now();
                execute(&half).wait(LONG).unwrap();
                std::thread::sleep(start.elapsed());
            }
        });

        let (mut idle, mut waits) = (Idle::default(), [const { Vec::new() }; 3]);
        let (mut arrivals, start) = (Arrivals::new(200.0), Instant::now());
        let told_apart = loop {
            // What was sampled while the machine was busy with other things does not count for ever.
            if waits[0].len() > 2000 {
                waits.iter_mut().for_each(Vec::clear);
            }
            for _ in 0..100 {
                std::thread::sleep(arrivals.next().unwrap());
                samplers.iter_mut().for_each(|sampler| sampler.sample().unwrap());
            }
            for (sampler, waits) in samplers.iter_mut().zip(&mut waits) {
                let samples = sampler.take().unwrap();
                samples.shortest.into_iter().for_each(|wait| idle.learn(Instant::now(), wait));
                waits.extend(samples.waits);
            }
            let judged = |limit| waits.each_ref().map(|waits| Load::of(waits, limit).confidence());
            let learnt = judged(idle.limit());
            let [full, half, none] = judged(PICTURE / 8);
            let ordered = none.1 < half.0 && half.1 < full.0 && learnt[2].1 < learnt[0].0;
            if ordered && none.1 < 0.2 && full.0 > 0.7 {
                break true;
            }
            if start.elapsed() > 5 * LONG {
                eprintln!("{full:?}, {half:?}, {none:?}; with a limit of {:?} {learnt:?}", idle.limit());
                break false;
            }
        };
        stop.store(true, Ordering::Relaxed);
        assert!(told_apart);
    });
}

#[test]
fn a_copy_engine_can_be_sampled_as_well() {
    let device = Device::open(Arc::new(EmulatedKernel::new(GpuModel::h200()).unwrap()), 0).unwrap();
    let copy = CopyQueue::new(&device, None).unwrap();
    let class = copy.queue().class();
    let mut sampler = EngineSampler::new(&device, copy.queue().engine(), class).unwrap();
    for _ in 0..3 {
        answered(&mut sampler);
    }
}

/// A dead channel or a lost GPU ends sampling with its cause, and leaves nothing behind.
#[test]
fn faults_end_it() {
    let (kernel, device) = machine(&Arc::default(), Duration::ZERO);
    let class = video_class(&device);
    let engine = nvdec(&device, 3);
    let mut sampler = EngineSampler::new(&device, engine, class).unwrap();
    answered(&mut sampler);
    // The engine is at another's picture for good, then gone.
    let others = Queue::new(&device, engine, class).unwrap();
    kernel.faults().stall(0, engine);
    let work = execute(&others);
    sampler.sample().unwrap();
    kernel.faults().lose_gpu(0);
    let start = Instant::now();
    let error = loop {
        match sampler.sample().and_then(|()| sampler.take()) {
            Err(error) => break error,
            Ok(_) => assert!(start.elapsed() < LONG),
        }
    };
    assert!(matches!(error, Error::GpuLost), "{error}");
    assert!(matches!(work.wait(LONG), Err(Error::GpuLost)));
    drop((sampler, others, work, device));
    assert_eq!(kernel.usage(), Usage::default());
}

/// The fault of another's channel is not ours.
#[test]
fn faults_of_others_leave_it_alone() {
    let (kernel, device) = machine(&Arc::default(), Duration::ZERO);
    let class = video_class(&device);
    let engine = nvdec(&device, 3);
    let mut sampler = EngineSampler::new(&device, engine, class).unwrap();
    let others = Queue::new(&device, engine, class).unwrap();
    kernel.faults().fault_next_launch(0, engine, LaunchFault::Engine);
    assert!(matches!(execute(&others).wait(LONG), Err(Error::ChannelFault { .. })));
    for _ in 0..3 {
        answered(&mut sampler);
    }
}
