//! How busy an engine is, whoever uses it, by sampling.
//!
//! No control of the driver tells it for a single engine (`docs/nvdec.md`), so the engine is asked: by a
//! submission without commands ([`Queue::mark`]), whose release bears the time at which the engine came to
//! it. An idle engine comes to it at once. A busy one does when the work of others lets it, which for a video
//! engine is behind their picture, or when the time slice of their channel is over.
//!
//! Asked at random times, an engine is found busy as often as it is busy ([`Arrivals`]). *Late* is an answer
//! that took much longer than the shortest of late ([`Idle`]).
//!
//! What it reads beside engines of known load is in `docs/measurements.md`.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nvkernel_sys::engine::EngineType;

use crate::device::Device;
use crate::error::{Error, Result};
use crate::queue::Queue;
use crate::timeline::SyncPoint;

/// Most samples that one [`EngineSampler::take`] gives; what comes beyond them is passed over.
pub const MOST_SAMPLES: usize = 100_000;
/// Times the shortest wait that an idle engine may take. A part of the wait is the engine's own work, whose
/// clock was seen between 840 and 1,545 MHz, a factor of 1.84, and it may have been at the other end when the
/// shortest was seen.
const FACTOR: u32 = 2;
/// What it may take longer besides, for the way over the bus to the ring and back, which everybody's copies
/// share. A guess: idle engines of an H200 answered within 28 µs, the shortest wait being 11.
const MARGIN: Duration = Duration::from_micros(20);
/// How long a shortest wait is remembered at least; at most twice as long.
const MEMORY: Duration = Duration::from_secs(30);
/// Quantile of the normal distribution for an interval that holds the truth 95 times in 100.
const NORMAL_95: f64 = 1.959_964;

/// Random times to take samples at: a Poisson process, as the times between its arrivals.
///
/// Every moment is as likely to be hit as any other, whatever was hit before, so samples see an engine busy
/// as often as it is (Wolff, "Poisson Arrivals See Time Averages", Operations Research 30, 1982), and no
/// regularity in an engine's work can fall in step with them. Given their number, arrivals in an interval are
/// independent and uniform: the number of late ones among them is binomial, of the busy share of just that
/// interval.
#[derive(Clone, Debug)]
pub struct Arrivals {
    state: u64,
    mean: f64,
}

impl Arrivals {
    /// On average `rate` arrivals a second.
    pub fn new(rate: f64) -> Arrivals {
        // std has no random numbers but those with which it seeds its hash maps.
        Arrivals::seeded(rate, RandomState::new().hash_one(0))
    }

    fn seeded(rate: f64, seed: u64) -> Arrivals {
        Arrivals { state: seed, mean: 1.0 / rate }
    }

    /// Uniform in (0, 1], by splitmix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number
    /// Generators", 2014).
    fn uniform(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        ((z >> 11) + 1) as f64 / (1u64 << 53) as f64
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    /// The time until the next arrival. It is the same whether counted from the arrival before or from now:
    /// the process has no memory. Endless; a rate that is no positive number has no arrivals.
    fn next(&mut self) -> Option<Duration> {
        let seconds = -self.uniform().ln() * self.mean;
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }
}

/// How long a sample waited for its engine, as far as is known: the host cannot ring a doorbell and read a
/// clock at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// At least so long.
    pub least: Duration,
    /// At most so long; `None` if the answer was still to come.
    pub most: Option<Duration>,
}

impl Wait {
    /// Nothing is known.
    const UNKNOWN: Wait = Wait { least: Duration::ZERO, most: Some(Duration::MAX) };

    /// Whether the answer took longer than `limit`. `None` if that cannot be said: the program was interrupted
    /// between doorbell and clock, or the interval ended before the answer could be late.
    pub fn is_late(&self, limit: Duration) -> Option<bool> {
        match self.most {
            _ if self.least > limit => Some(true),
            Some(most) if most <= limit => Some(false),
            _ => None,
        }
    }
}

/// What the samples of an interval gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples {
    /// The wait of each.
    pub waits: Vec<Wait>,
    /// The shortest wait of a submission that was answered, for [`Idle::learn`].
    pub shortest: Option<Duration>,
}

/// Takes samples of one engine. It needs no privilege and sees the use that any process makes of the engine.
///
/// It costs the others who use the engine a switch of channels for each sample, and the GPU two channels. At
/// most one submission is under way. Two channels take turns: an engine that ran another's channel must
/// switch to ours before it can answer, and one that ran nothing else since must do the same then, so that
/// both kinds of idle answers take as long.
#[derive(Debug)]
pub struct EngineSampler {
    device: Device,
    queues: [Arc<Queue>; 2],
    submissions: u64,
    flight: Option<Flight>,
    samples: Samples,
}

/// A submission that is not answered yet.
#[derive(Debug)]
struct Flight {
    point: SyncPoint,
    asked: Asked,
    /// Whether its own wait is a sample still to be counted.
    counts: bool,
    /// Samples that were due since.
    followers: Vec<Instant>,
}

/// When a submission was made.
#[derive(Clone, Copy, Debug)]
struct Asked {
    /// The GPU's clock behind the doorbell.
    clock: Duration,
    /// The host's clock behind that.
    host: Instant,
    /// From before the submission until then.
    took: Duration,
}

impl Asked {
    /// The wait for an answer at `stamp` of the GPU's clock.
    fn answered(&self, stamp: Duration) -> Wait {
        // An answer from before the question is one by another clock.
        let Some(most) = (stamp + self.took).checked_sub(self.clock) else { return Wait::UNKNOWN };
        Wait { least: stamp.saturating_sub(self.clock), most: Some(most) }
    }

    /// As [`answered`](Self::answered), for a sample that was due at `follower`: it would have been executed
    /// together with the submission in front of it.
    fn answered_from(&self, follower: Instant, stamp: Duration) -> Wait {
        let wait = self.answered(stamp);
        if wait == Wait::UNKNOWN {
            return wait;
        }
        // The host's clock has moved on by at most `took` since the GPU's was read.
        let since = follower.saturating_duration_since(self.host);
        let most = stamp.saturating_sub(self.clock + since);
        Wait { least: most.saturating_sub(self.took), most: Some(most) }
    }
}

impl EngineSampler {
    /// A sampler of `engine`, by objects of `class`: the one that its decoders, say, are of.
    ///
    /// # Errors
    ///
    /// Those of [`Queue::new`].
    pub fn new(device: &Device, engine: EngineType, class: u32) -> Result<EngineSampler> {
        let queue = || Queue::new(device, engine, class);
        Ok(EngineSampler {
            device: device.clone(),
            queues: [queue()?, queue()?],
            submissions: 0,
            flight: None,
            samples: Samples::default(),
        })
    }

    /// The engine.
    pub fn engine(&self) -> EngineType {
        self.queues[0].engine()
    }

    /// Takes a sample. To be called at the times of [`Arrivals`]. It waits for nothing: the answer is looked
    /// at with the next call. While one is to come, the engine is not asked again, and the sample shares the
    /// answer.
    ///
    /// # Errors
    ///
    /// [`Error::ChannelFault`], and those of a submission. Nothing is to be had of the sampler any more.
    pub fn sample(&mut self) -> Result<()> {
        self.look()?;
        let under_way = self.flight.as_ref().map_or(0, |flight| 1 + flight.followers.len());
        if self.samples.waits.len() + under_way >= MOST_SAMPLES {
            return Ok(());
        }
        if let Some(flight) = &mut self.flight {
            flight.followers.push(Instant::now());
            return Ok(());
        }
        let before = Instant::now();
        let point = self.queues[self.submissions as usize % 2].mark()?;
        let clock = Duration::from_nanos(self.device.timestamp()?);
        let host = Instant::now();
        let asked = Asked { clock, host, took: host - before };
        // The first on each channel binds the class as well.
        let counts = self.submissions >= 2;
        self.submissions += 1;
        self.flight = Some(Flight { point, asked, counts, followers: Vec::new() });
        Ok(())
    }

    /// Ends an interval: all samples since the last call. What is not answered yet has waited until now at
    /// least.
    ///
    /// # Errors
    ///
    /// As [`sample`](Self::sample), and [`Error::GpuLost`].
    pub fn take(&mut self) -> Result<Samples> {
        self.look()?;
        if let Some(flight) = &mut self.flight {
            // No fault is told on a GPU that is gone.
            if self.device.inner().is_lost() {
                return Err(Error::GpuLost);
            }
            let now = Instant::now();
            let own = std::mem::take(&mut flight.counts).then_some(flight.asked.host);
            let due = own.into_iter().chain(flight.followers.drain(..));
            let waits = due.map(|due| Wait { least: now.saturating_duration_since(due), most: None });
            self.samples.waits.extend(waits);
        }
        Ok(std::mem::take(&mut self.samples))
    }

    /// Takes notice of an answer.
    fn look(&mut self) -> Result<()> {
        for queue in &self.queues {
            queue.check()?;
        }
        let Some(flight) = self.flight.take_if(|flight| flight.point.is_reached()) else { return Ok(()) };
        let stamp = Duration::from_nanos(flight.point.timeline().last_timestamp()?);
        let wait = flight.asked.answered(stamp);
        let Samples { waits, shortest } = &mut self.samples;
        if wait != Wait::UNKNOWN {
            *shortest = (*shortest).into_iter().chain(wait.most).min();
        }
        waits.extend(flight.counts.then_some(wait));
        waits.extend(flight.followers.iter().map(|&due| flight.asked.answered_from(due, stamp)));
        Ok(())
    }
}

/// What an idle engine's answer takes, learnt from the shortest of late. Engines of the same kind share one.
///
/// The shortest wait is that of an idle engine even where none ever is idle: now and then a sample comes just
/// before the end of a picture. It is forgotten within a minute, so that clocks which have fallen since do
/// not pass for load.
#[derive(Clone, Copy, Debug, Default)]
pub struct Idle {
    /// Of the time since the last turn, and of the time before it.
    shortest: [Option<Duration>; 2],
    turned: Option<Instant>,
}

impl Idle {
    /// Learns from a wait that came to be known about `now`.
    pub fn learn(&mut self, now: Instant, wait: Duration) {
        let turned = *self.turned.get_or_insert(now);
        if now.saturating_duration_since(turned) >= MEMORY {
            self.shortest = [None, self.shortest[0]];
            self.turned = Some(now);
        }
        let latest = &mut self.shortest[0];
        *latest = Some(latest.map_or(wait, |shortest| shortest.min(wait)));
    }

    /// The shortest wait of the last half to whole minute; of the last one that there was, if it is longer
    /// ago.
    pub fn shortest(&self) -> Option<Duration> {
        self.shortest.into_iter().flatten().min()
    }

    /// Answers that take longer are late. While nothing was answered yet, all are that take any time.
    pub fn limit(&self) -> Duration {
        self.shortest().unwrap_or_default().saturating_mul(FACTOR).saturating_add(MARGIN)
    }
}

/// How busy an engine was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Samples of which it is known whether they were late.
    pub samples: u32,
    /// Those that were.
    pub late: u32,
    /// Samples of which it is not known, and which do not count.
    pub unclear: u32,
    /// Those of the late that were not answered by the end.
    pub unanswered: u32,
    /// The wait in the middle of those that count.
    pub median: Option<Duration>,
    /// The longest of them: at least that if there are unanswered ones.
    pub longest: Option<Duration>,
}

impl Load {
    /// By `waits`, of which those above `limit` found the engine busy.
    pub fn of(waits: &[Wait], limit: Duration) -> Load {
        let mut load = Load::default();
        let mut clear = Vec::with_capacity(waits.len());
        for wait in waits {
            let Some(late) = wait.is_late(limit) else {
                load.unclear += 1;
                continue;
            };
            load.late += u32::from(late);
            load.unanswered += u32::from(wait.most.is_none());
            clear.push(wait.most.unwrap_or(wait.least));
        }
        load.samples = clear.len() as u32;
        clear.sort_unstable();
        load.median = clear.get(clear.len() / 2).copied();
        load.longest = clear.last().copied();
        load
    }

    /// The share of the time in which the engine was busy, 0 to 1; `None` without a sample.
    pub fn busy(&self) -> Option<f64> {
        (self.samples > 0).then(|| f64::from(self.late) / f64::from(self.samples))
    }

    /// Lowest and highest share that the samples go with: Wilson's score interval at 95 %, which is good for
    /// few samples and for shares near 0 and 1. All of 0 to 1 without a sample.
    pub fn confidence(&self) -> (f64, f64) {
        let (n, z2) = (f64::from(self.samples), NORMAL_95 * NORMAL_95);
        let Some(share) = self.busy() else { return (0.0, 1.0) };
        let middle = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
        let half = NORMAL_95 / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
        // At the ends of the scale it is exact but for rounding.
        let low = if self.late == 0 { 0.0 } else { middle - half };
        let high = if self.late == self.samples { 1.0 } else { middle + half };
        (low.clamp(0.0, 1.0), high.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests;
