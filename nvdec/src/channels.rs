//! [`Channels`]: the queues of a context. They are made when first needed, taken down when they stall, and replaced when they
//! are dead: a channel is lost then, its engine is not.

mod lanes;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hcq::{
    ComputeQueue, CopyCommands, CopyQueue, Device, EngineKind, EngineType, Patience, Profiler, Queue,
    SyncPoint,
};

use self::lanes::Lanes;
use crate::class::VideoClass;
use crate::engines::Priority;
use crate::error::{Error, Result};
use crate::queue::VideoQueue;

/// How long an engine may stand still before a picture: so long, and so much longer for each of its blocks of 16x16. The
/// engine's own timer ends a picture after 10,000 cycles a block, which are 29 µs at the lowest clock that was seen, 345 MHz.
const PATIENCE: Duration = Duration::from_secs(1);
const PATIENCE_PER_BLOCK: Duration = Duration::from_micros(40);
/// How much longer an engine in software may take.
const EMULATED: u32 = 8;
/// How often work that finds its channel dead is tried on a new one.
const TRIES: usize = 3;

/// So many copy engines, the first ones, share their work with graphics.
const WITH_GRAPHICS: usize = 2;

/// Which queue serves a copy, or a launch. One that waits for an engine keeps those behind it waiting, so only those that wait
/// for the same engine stand in one queue, and none stands in front of what waits for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// For what waits for no engine.
    Free,
    /// For copies, and launches, of what this engine decodes.
    Behind(EngineType),
}

impl Lane {
    /// That of copies which wait for `waits`.
    pub(crate) fn of(waits: &[SyncPoint]) -> Lane {
        let waits = waits.iter().filter(|wait| !wait.is_reached());
        Lane::engines(waits).min().map_or(Lane::Free, Lane::Behind)
    }

    /// The engines that `waits` wait for, none of which is reached.
    fn engines<'a>(waits: impl Iterator<Item = &'a SyncPoint>) -> impl Iterator<Item = EngineType> {
        let engines = waits.map(|wait| wait.timeline().engine());
        engines.filter(|engine| engine.kind() == EngineKind::Nvdec)
    }
}

/// The lanes that groups of launches take in turn. A group waits for several engines, so there is none that it belongs behind; and
/// a lane for all groups would have each wait for the group before it, and keep memory that long. In turn, it stands behind a
/// group that is as many groups older as there are lanes.
///
/// They are those of the engines that were waited for so far: a stream on one engine opens no channels for the others.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    engines: Vec<EngineType>,
    taken: usize,
}

impl Turns {
    /// The lane of the next group, which waits for `waits`, none of which was reached when it was last looked at: to look again would
    /// be as much as all the rest here.
    pub(crate) fn next(&mut self, waits: &[SyncPoint]) -> Lane {
        let mut waits_for_engine = false;
        for engine in Lane::engines(waits.iter()) {
            waits_for_engine = true;
            if !self.engines.contains(&engine) {
                self.engines.push(engine);
            }
        }
        if !waits_for_engine {
            return Lane::Free;
        }
        self.taken = (self.taken + 1) % self.engines.len();
        Lane::Behind(self.engines[self.taken])
    }
}

/// The queues of a context.
#[derive(Debug)]
pub(crate) struct Channels {
    device: Device,
    class: VideoClass,
    /// Declared before those it waits for: what they signal with is freed with them then.
    copy: Lanes<Lane, CopyQueue>,
    compute: Lanes<Lane, Arc<ComputeQueue>>,
    video: Lanes<(EngineType, Priority), Arc<VideoQueue>>,
    /// The copy engines that the copy lanes take in turn.
    copy_engines: Vec<EngineType>,
    profiler: OnceLock<Arc<Profiler>>,
    /// Blocks of the largest picture that was decoded so far.
    largest: AtomicU32,
    /// Milliseconds of [`PATIENCE`], or what the caller wants instead.
    stall_ms: AtomicU64,
}

impl Channels {
    /// Those for the NVDEC `engines` of `device`; none is made yet.
    pub(crate) fn new(device: Device, class: VideoClass, engines: &[EngineType]) -> Result<Arc<Channels>> {
        let software = if device.is_emulated() { EMULATED } else { 1 };
        let mut copy_engines = device.engines_of(EngineKind::Copy)?;
        if copy_engines.len() > WITH_GRAPHICS {
            copy_engines.drain(..WITH_GRAPHICS);
        }
        copy_engines.reverse();
        let behind = engines.iter().map(|&engine| Lane::Behind(engine));
        let priorities = |&engine| [Priority::Bulk, Priority::Prompt].map(|priority| (engine, priority));
        Ok(Arc::new(Channels {
            device,
            class,
            video: Lanes::new(engines.iter().flat_map(priorities)),
            copy: Lanes::new([Lane::Free].into_iter().chain(behind.clone())),
            compute: Lanes::new([Lane::Free].into_iter().chain(behind)),
            copy_engines,
            profiler: OnceLock::new(),
            largest: AtomicU32::new(0),
            stall_ms: AtomicU64::new((PATIENCE * software).as_millis() as u64),
        }))
    }

    /// The GPU.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// All queues that there are.
    fn queues(&self) -> Vec<Arc<Queue>> {
        let video = self.video.all().map(|queue| queue.queue().clone());
        let copy = self.copy.all().map(|queue| queue.queue().clone());
        let compute = self.compute.all().map(|queue| queue.queue().clone());
        video.chain(copy).chain(compute).collect()
    }

    /// The queue of `engine`, and whether it is new.
    pub(crate) fn video_queue(
        &self,
        engine: EngineType,
        priority: Priority,
    ) -> Result<(Arc<VideoQueue>, bool)> {
        self.video.get(
            (engine, priority),
            |queue| queue.queue(),
            || {
                let queue = Arc::new(VideoQueue::new(&self.device, engine, self.class)?);
                queue.queue().profile(self.profiler.get().cloned())?;
                Ok(queue)
            },
        )
    }

    /// The copy queue of `lane`, for copies that somebody may wait for.
    pub(crate) fn copy_queue(&self, lane: Lane) -> Result<CopyQueue> {
        let queue = self.unarmed_copy_queue(lane)?;
        queue.arm();
        Ok(queue)
    }

    /// The copy queue of `lane`, whose interrupt may wake nobody.
    fn unarmed_copy_queue(&self, lane: Lane) -> Result<CopyQueue> {
        let made = self.copy.get(
            lane,
            |queue| queue.queue(),
            || {
                let engines = &self.copy_engines;
                let engine =
                    engines.get(self.copy.position(lane).unwrap_or(0) % engines.len().max(1)).copied();
                let queue = CopyQueue::unarmed(&self.device, engine)?;
                queue.queue().profile(self.profiler.get().cloned())?;
                Ok(queue)
            },
        );
        Ok(made?.0)
    }

    /// The queue for kernels.
    pub(crate) fn compute_queue(&self, lane: Lane) -> Result<Arc<ComputeQueue>> {
        let make = || {
            let queue = ComputeQueue::new(&self.device)?;
            queue.queue().profile(self.profiler.get().cloned())?;
            Ok(Arc::new(queue))
        };
        Ok(self.compute.get(lane, |queue| queue.queue(), make)?.0)
    }

    /// Frees the channels that died.
    pub(crate) fn bury(&self) {
        self.video.bury();
        self.copy.bury();
        self.compute.bury();
    }

    /// Submits copies behind `waits`, on the queue that belongs to them; again on a new one should the channel die of others.
    pub(crate) fn submit_copies(&self, waits: &[SyncPoint], commands: &CopyCommands) -> Result<SyncPoint> {
        let lane = Lane::of(waits);
        self.tried(|| Ok(self.copy_queue(lane)?.submit(waits, commands)))
    }

    /// Submits the clearing of memory, likewise: engines wait for it, and hardly ever a host.
    pub(crate) fn submit_clearing(&self, commands: &CopyCommands) -> Result<SyncPoint> {
        self.tried(|| Ok(self.unarmed_copy_queue(Lane::Free)?.submit(&[], commands)))
    }

    /// Has launches submitted on the queue of `lane`, likewise.
    pub(crate) fn submit_launch(
        &self,
        lane: Lane,
        submit: impl Fn(&ComputeQueue) -> hcq::Result<SyncPoint>,
    ) -> Result<SyncPoint> {
        self.tried(|| Ok(submit(&*self.compute_queue(lane)?)))
    }

    /// Submits, and again should the channel have died of what others gave it.
    fn tried(&self, submit: impl Fn() -> Result<hcq::Result<SyncPoint>>) -> Result<SyncPoint> {
        let mut tries = 0;
        loop {
            tries += 1;
            match submit()? {
                Err(error) if tries < TRIES && self.can_be_mended(&error) => {}
                outcome => return Ok(outcome?),
            }
        }
    }

    /// Whether an error of a queue is over with another queue, or once a stalled one is taken down, which this does.
    pub(crate) fn can_be_mended(&self, error: &hcq::Error) -> bool {
        match error {
            hcq::Error::ChannelFault { .. } => true,
            hcq::Error::Stalled { timeline, .. } => self.reset(*timeline, error),
            _ => false,
        }
    }

    /// Takes down the queue that moves a timeline. `false`: it is none of this context, or cannot be taken down.
    fn reset(&self, timeline: u64, why: &hcq::Error) -> bool {
        let Some(queue) = self.queues().into_iter().find(|queue| queue.timeline().id() == timeline) else {
            return false;
        };
        log::warn!("{why}; its channel is taken down");
        match Queue::reset(&queue) {
            Ok(()) => true,
            Err(error) => {
                log::warn!("{error}");
                false
            }
        }
    }

    /// Notes that pictures of so many blocks of 16x16 are decoded from now on.
    pub(crate) fn note_picture(&self, blocks: u32) {
        self.largest.fetch_max(blocks, Ordering::Relaxed);
    }

    /// How long an engine may stand still before it counts as stalled: longer than the largest picture takes.
    fn standing(&self) -> Duration {
        let software = if self.device.is_emulated() { EMULATED } else { 1 };
        let blocks = PATIENCE_PER_BLOCK * self.largest.load(Ordering::Relaxed) * software;
        Duration::from_millis(self.stall_ms.load(Ordering::Relaxed)) + blocks
    }

    /// Patience for as long as no engine stands still for so long.
    pub(crate) fn patience(&self) -> Patience {
        Patience::WithoutProgress(self.standing())
    }

    /// Sets what of that does not depend on the size of pictures.
    pub(crate) fn set_stall_timeout(&self, time: Duration) {
        self.stall_ms.store(time.as_millis().min(1 << 40) as u64, Ordering::Relaxed);
    }

    /// Waits for `point` as long as there is progress. An engine that makes none has its channel taken down, so that
    /// callers that wait for it learn that their work is lost, and the others go on.
    pub(crate) fn wait(&self, point: &SyncPoint) -> hcq::Result<()> {
        self.mended(|patience| point.wait(patience))
    }

    /// Waits, likewise, until some memory that has no owner any more can be freed. `false`, and at once, if there is
    /// none.
    pub(crate) fn wait_to_reclaim(&self) -> Result<bool> {
        match self.device.wait_to_reclaim(self.standing()) {
            // What is lost is over: the next look at the memory finds it out of use.
            Err(hcq::Error::ChannelFault { .. }) => Ok(true),
            Err(error @ hcq::Error::Stalled { .. }) if self.can_be_mended(&error) => Ok(true),
            outcome => Ok(outcome?),
        }
    }

    /// As [`wait`](Self::wait), where work that is lost is over as well.
    pub(crate) fn wait_until_over(&self, point: &SyncPoint) -> Result<()> {
        over(self.wait(point))
    }

    /// As [`wait_until_over`](Self::wait_until_over), with sleeps as of [`SyncPoint::wait_near`].
    pub(crate) fn wait_until_nearly_over(&self, point: &SyncPoint, slack: u64, nap: Duration) -> Result<()> {
        over(self.mended(|patience| point.wait_near(slack, nap, patience)))
    }

    /// Waits, and again whenever what it waited for has stalled and was taken down: once for each queue at most, since what is
    /// waited for was submitted before, and a queue is taken down once.
    fn mended(&self, wait: impl Fn(Patience) -> hcq::Result<()>) -> hcq::Result<()> {
        let mut outcome = wait(self.patience());
        for _ in 0..self.video.len() + self.copy.len() + self.compute.len() {
            match outcome {
                Err(error @ hcq::Error::Stalled { .. }) if self.can_be_mended(&error) => {
                    outcome = wait(self.patience())
                }
                outcome => return outcome,
            }
        }
        outcome
    }

    /// Has the times collected at which engines work. All callers get the same profiler.
    pub(crate) fn profile(&self) -> &Arc<Profiler> {
        let profiler = self.profiler.get_or_init(|| Profiler::new(&self.device));
        for queue in self.queues() {
            queue.profile(Some(profiler.clone())).expect("profiler and queues are of one device");
        }
        profiler
    }
}

fn over(waited: hcq::Result<()>) -> Result<()> {
    match waited {
        Ok(()) | Err(hcq::Error::ChannelFault { .. }) => Ok(()),
        Err(error) => Err(Error::Gpu(error)),
    }
}

/// Whether work is lost: its channel died, or was taken down, before it was done. For points that are reached.
pub(crate) fn is_lost(point: &SyncPoint) -> bool {
    // This does not wait for a point that is reached: it says whether its timeline died before.
    point.wait(Duration::ZERO).is_err()
}
