//! A channel fault in the midst of fourteen sessions: what it costs them. On the model by default; on the first GPU of this machine
//! with `NVDEC_PROVOKE=video` or `NVDEC_PROVOKE=copy`, one fault a run, since a fault on hardware is not to be had for nothing.
//!
//! The commands that fault are what no safe call can submit: an engine is told to write where nothing is mapped.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hcq::pushbuf::SUBCHANNEL_ENGINE;
use hcq::{Device, LinuxKernel, PushBuffer};
use md5::{Digest, Md5};
use nvdec::{Codec, Context, Decoder, DecoderOptions, Downloader, Frame, Priority, Units};
use nvdec_tests::player::play;
use nvdec_tests::streams::find;
use nvkernel_sys::{copy, video};

const SESSIONS: usize = 14;
/// Below the lowest address that is ever mapped here, and above what the resource manager maps.
const NOWHERE: u64 = 0xf_dead_0000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Video,
    Copy,
}

/// What the library logs: when, and in which thread.
struct Diary(Mutex<Vec<(Instant, String, String)>>);

static DIARY: Diary = Diary(Mutex::new(Vec::new()));
/// For how long after the fault it is of interest.
const AFTERMATH: Duration = Duration::from_millis(300);

impl log::Log for Diary {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let thread = std::thread::current().name().unwrap_or("?").to_owned();
        self.0.lock().unwrap().push((Instant::now(), thread, record.args().to_string()));
    }

    fn flush(&self) {}
}

impl Diary {
    /// Has everything written down.
    fn begin(&'static self) {
        log::set_logger(self).unwrap();
        log::set_max_level(log::LevelFilter::Debug);
    }

    /// When the driver had said that a channel is dead: then the library asks what killed it.
    fn told(&self) -> Option<Instant> {
        let lines = self.0.lock().unwrap();
        let (when, _, what) = lines.iter().find(|(.., what)| what.contains("GET_MMU_FAULT_INFO"))?;
        let took = what.strip_suffix(" us")?.rsplit(' ').next()?.parse().ok()?;
        when.checked_sub(Duration::from_micros(took))
    }

    /// What was written down soon after `fault`.
    fn print(&self, fault: Instant) {
        for (when, thread, what) in self.0.lock().unwrap().iter() {
            if let Some(after) = when.checked_duration_since(fault).filter(|after| *after < AFTERMATH) {
                println!("{:8.3} ms  {thread:<8} {what}", after.as_secs_f64() * 1e3);
            }
        }
    }
}

/// A frame as it came out: when, and whether it is what it should be; `None` if it is an error.
type Seen = (Instant, Option<bool>);

/// The longest time without a frame between `from` and `to`: when it began and ended.
fn gap(frames: &[Seen], from: Instant, to: Instant) -> (Instant, Instant) {
    let pairs = frames.windows(2).map(|pair| (pair[0].0.max(from), pair[1].0.min(to)));
    pairs.max_by_key(|(began, ended)| ended.saturating_duration_since(*began)).unwrap_or((from, from))
}

fn md5(downloader: &Downloader, frame: Frame) -> nvdec::Result<String> {
    let mut planes = Vec::new();
    downloader.start(frame)?.wait()?.write_planar(&mut planes);
    Ok(Md5::digest(&planes).iter().map(|b| format!("{b:02x}")).collect())
}

/// Has an engine of `context` write to nowhere, on the channel that the sessions use.
fn provoke(context: &Context, victim: Victim) {
    let engine = context.engines()[0];
    let (high, low) = ((NOWHERE >> 32) as u32, NOWHERE as u32);
    let mut commands = PushBuffer::new();
    let queue = match victim {
        Victim::Video => {
            use video::semaphore_d as d;
            commands.methods(SUBCHANNEL_ENGINE, video::SEMAPHORE_A, &[high, low, 1]);
            let release =
                d::STRUCTURE_SIZE.of(d::STRUCTURE_SIZE_FOUR) | d::OPERATION.of(d::OPERATION_RELEASE);
            commands.method(SUBCHANNEL_ENGINE, video::SEMAPHORE_D, release);
            context.video_queue(engine, Priority::Bulk).unwrap().queue().clone()
        }
        Victim::Copy => {
            use copy::launch_dma as l;
            commands.methods(SUBCHANNEL_ENGINE, copy::SET_SEMAPHORE_A, &[high, low, 1]);
            let release =
                l::SEMAPHORE_TYPE.of(l::SEMAPHORE_TYPE_RELEASE_FOUR_WORD_SEMAPHORE) | l::FLUSH_ENABLE.of(1);
            commands.method(SUBCHANNEL_ENGINE, copy::LAUNCH_DMA, release);
            context.copy_queue_behind(engine).unwrap().queue().clone()
        }
    };
    // SAFETY: the address is one that nothing is mapped at, so the MMU ends the channel; no memory is touched.
    let submitted = unsafe { queue.submit(&[], &commands, []) };
    submitted.unwrap();
}

fn fourteen_sessions(device: Device, victim: Victim, stream: &[u8], loops: usize) {
    let context = Context::new(device).unwrap();
    let once: Vec<String> = play(&context, stream).unwrap().into_iter().map(|shown| shown.md5).collect();
    let data = stream.repeat(loops);
    let engines = context.engines().to_vec();
    let struck_engine = engines[0];
    let seen = AtomicUsize::new(0);
    let mut provoked = Instant::now();
    let sessions: Vec<Vec<Seen>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..SESSIONS)
            .map(|i| {
                let (context, data, once, seen, engines) = (&context, &data, &once, &seen, &engines);
                let thread = std::thread::Builder::new().name(format!("s{i}"));
                let work = move || {
                    let options = DecoderOptions::on(engines[i % engines.len()]);
                    let mut decoder = Decoder::new(context, Codec::Hevc, options).unwrap();
                    let downloader = Downloader::new(context);
                    let mut frames = Vec::new();
                    for (number, frame) in decoder.frames(Units::new(data)).enumerate() {
                        let sum = md5(&downloader, frame.unwrap_or_else(|e| panic!("session {i} ends: {e}")));
                        if let Err(error) = &sum {
                            log::info!("frame {number}: {error}");
                        }
                        let good = sum.ok().map(|sum| sum == once[number % once.len()]);
                        frames.push((Instant::now(), good));
                        seen.fetch_add(1, Ordering::Relaxed);
                    }
                    frames
                };
                thread.spawn_scoped(scope, work).unwrap()
            })
            .collect();
        // When all are at work.
        let quarter = SESSIONS * loops * once.len() / 4;
        while seen.load(Ordering::Relaxed) < quarter && !threads.iter().all(|thread| thread.is_finished()) {
            std::thread::sleep(Duration::from_micros(200));
        }
        provoked = Instant::now();
        provoke(&context, victim);
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    DIARY.print(provoked);
    let length = |(began, ended): (Instant, Instant)| ended.saturating_duration_since(began);
    let ended = sessions.iter().flatten().map(|(when, _)| *when).max().unwrap_or(provoked);
    let mut lost_in_all = 0;
    let (mut stalled, mut longest) = (Duration::ZERO, None);
    // The longest soon after the fault, and in as long a time before it: sessions stand still for some time without one.
    let (mut soon_after, mut before) = (Duration::ZERO, Duration::ZERO);
    let mut recovery = Duration::ZERO;
    for (i, frames) in sessions.iter().enumerate() {
        let engine = engines[i % engines.len()];
        assert_eq!(frames.len(), loops * once.len(), "session {i}");
        assert!(
            frames.iter().all(|(_, good)| *good != Some(false)),
            "session {i}: a frame is wrong and passes for good"
        );
        let lost = frames.iter().filter(|(_, good)| good.is_none()).count();
        lost_in_all += lost;
        assert!(lost == 0 || engine == struck_engine, "session {i} on {engine} lost {lost} pictures");
        let last = &frames[(loops - 1) * once.len()..];
        assert!(last.iter().all(|(_, good)| *good == Some(true)), "session {i} does not go on");
        if engine != struck_engine {
            let after = gap(frames, provoked, ended);
            if length(after) > stalled {
                (stalled, longest) = (length(after), Some((i, engine, after)));
            }
            let time = provoked.saturating_duration_since(frames[0].0).min(AFTERMATH);
            before = before.max(length(gap(frames, provoked - time, provoked)));
            soon_after = soon_after.max(length(gap(frames, provoked, provoked + time)));
        } else if let Some(first) = frames.iter().position(|(_, good)| good.is_none()) {
            let again = frames[first..].iter().find(|(_, good)| good.is_some()).expect("it goes on").0;
            let since = frames[first.saturating_sub(1)].0.max(provoked);
            println!("session {i} on {engine}: {lost} pictures lost, good again after {:?}", again - since);
            recovery = recovery.max(again - since);
        } else {
            recovery = recovery.max(length(gap(frames, provoked, ended)));
        }
    }
    println!(
        "{victim:?} fault under {SESSIONS} sessions: {lost_in_all} pictures lost; others stalled for at most {stalled:?} \
         ({before:?} in up to {AFTERMATH:?} before the fault, {soon_after:?} in as long a time after it); \
         struck ones good again within {recovery:?}"
    );
    if let Some((i, engine, (began, ended))) = longest {
        let [began, ended] = [began, ended].map(|when| when - provoked);
        println!("session {i} on {engine} stalled longest, from {began:?} to {ended:?} after the fault");
    }
    if let Some(told) = DIARY.told() {
        let told = told - provoked;
        println!(
            "the driver said so after {told:?}; {:?} later they were good again",
            recovery.saturating_sub(told)
        );
    }
    drop(context);
}

#[test]
fn a_fault_under_fourteen_sessions() {
    let wanted = match std::env::var("NVDEC_PROVOKE").as_deref() {
        Ok("video") => Some(Victim::Video),
        Ok("copy") => Some(Victim::Copy),
        Ok(other) => panic!("NVDEC_PROVOKE={other}: it is `video` or `copy`"),
        Err(_) => None,
    };
    let stream = find("x_size_202x150").data;
    match wanted {
        Some(victim) => {
            DIARY.begin();
            let device = Device::open(Arc::new(LinuxKernel::new()), 0).unwrap();
            fourteen_sessions(device, victim, stream, 200);
        }
        None => {
            for victim in [Victim::Video, Victim::Copy] {
                let kernel = nvdec::emulated::h200().unwrap();
                let device = Device::open(Arc::new(kernel), 0).unwrap();
                fourteen_sessions(device, victim, stream, 4);
            }
        }
    }
}
