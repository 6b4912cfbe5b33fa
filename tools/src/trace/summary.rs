//! What bounds the speed of a run, from when its engines worked and why they did not.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use hcq::EngineType;
use serde::Serialize;

use super::{Recording, Slice, WaitFor};

/// From this share of the time on, engines count as busy throughout.
const BUSY: f64 = 0.9;

/// What keeps a stream from being decoded faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bottleneck {
    /// The engines are busy: more of them, or a higher clock, would help.
    Engine,
    /// Pictures wait for those that they refer to: the stream's structure is all there is.
    Dependency,
    /// Pictures wait for memory that others still use: more surfaces would help, or returning frames sooner.
    Surface,
    /// The engines wait for the host to submit.
    Cpu,
    /// There is nothing to tell.
    Nothing,
}

/// Time in which engines stood still, in nanoseconds, all engines together, by what they stood still for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Idle {
    /// A picture that the next one refers to.
    pub dependency: u64,
    /// Memory of the next picture that is in use, or a surface that the host waited for.
    pub surface: u64,
    /// The host, which had not submitted the next picture.
    pub cpu: u64,
    /// Nothing that was recorded: acquires, methods, the switch from channel to channel.
    pub overhead: u64,
    /// There was no further picture for the engine.
    pub end: u64,
}

/// A run in figures. Times are in nanoseconds of the GPU's clock.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Pictures.
    pub pictures: usize,
    /// Engines of the GPU, used or not.
    pub engines: usize,
    /// Time in which each engine was busy.
    pub busy: BTreeMap<String, u64>,
    /// Conversions to tensors.
    pub conversions: usize,
    /// Time in which they ran.
    pub converting: u64,
    /// From the beginning of the first picture to the end of the last.
    pub elapsed: u64,
    /// Why engines were not busy.
    pub idle: Idle,
    /// The longest chain of pictures that refer to each other, in engine time.
    pub critical_path: u64,
    /// What all this comes to.
    pub bottleneck: Bottleneck,
}

impl Summary {
    /// Sums up a recording.
    pub fn of(recording: &Recording) -> Summary {
        let pictures = &recording.pictures;
        let begin = pictures.iter().map(|p| p.begin).min().unwrap_or(0);
        let end = pictures.iter().map(|p| p.end).max().unwrap_or(0);
        let mut engines: BTreeMap<EngineType, Vec<&Slice>> = BTreeMap::new();
        for picture in pictures {
            engines.entry(picture.engine).or_default().push(picture);
        }
        let mut idle = Idle::default();
        let mut busy = BTreeMap::new();
        for (engine, mut slices) in engines {
            slices.sort_by_key(|slice| slice.begin);
            let mut free = begin;
            for slice in &slices {
                idle.explain(free, slice, &recording.stalls);
                free = slice.end;
            }
            idle.end += end - free;
            busy.insert(engine.to_string(), slices.iter().map(|slice| slice.end - slice.begin).sum());
        }
        let mut summary = Summary {
            pictures: pictures.len(),
            engines: recording.engines,
            busy,
            conversions: recording.conversions.iter().map(|c| c.pictures.len().max(1)).sum(),
            converting: recording.conversions.iter().map(|c| c.end.saturating_sub(c.begin)).sum(),
            elapsed: end - begin,
            idle,
            critical_path: critical_path(pictures),
            bottleneck: Bottleneck::Nothing,
        };
        summary.bottleneck = summary.judge();
        summary
    }

    /// Share of the engines' time in which they were busy.
    pub fn busy_share(&self) -> f64 {
        self.share(self.busy.values().sum())
    }

    /// Share of the engines' time that `time` is.
    fn share(&self, time: u64) -> f64 {
        let whole = self.elapsed as f64 * self.busy.len() as f64;
        if whole > 0.0 { time as f64 / whole } else { 0.0 }
    }

    fn judge(&self) -> Bottleneck {
        if self.pictures == 0 || self.elapsed == 0 {
            return Bottleneck::Nothing;
        }
        if self.busy_share() >= BUSY {
            return Bottleneck::Engine;
        }
        let Idle { dependency, surface, cpu, .. } = self.idle;
        let reasons =
            [(dependency, Bottleneck::Dependency), (surface, Bottleneck::Surface), (cpu, Bottleneck::Cpu)];
        let (most, reason) = reasons.into_iter().max_by_key(|(time, _)| *time).expect("three of them");
        // Too little of any to speak of: what is left is in the engines' own way.
        if self.share(most) < (1.0 - BUSY) / 2.0 { Bottleneck::Engine } else { reason }
    }
}

impl Idle {
    /// Adds the time from `free`, when an engine had nothing left to do, to the beginning of its next picture.
    fn explain(&mut self, free: u64, next: &Slice, stalls: &[(u64, u64)]) {
        if next.begin <= free {
            return;
        }
        // What came last held it up; everything before that was waited for at the same time.
        let waits = next.waits.iter().map(|wait| (wait.end, Some(wait.on)));
        let (until, last) =
            waits.chain([(next.submitted, None)]).max_by_key(|(end, _)| *end).expect("one at least");
        let until = until.clamp(free, next.begin);
        self.overhead += next.begin - until;
        let waited = until - free;
        match last {
            Some(WaitFor::Reference(_)) => self.dependency += waited,
            Some(WaitFor::Reuse(_) | WaitFor::Copy | WaitFor::Conversion) => self.surface += waited,
            None => {
                let overlap = |&(begin, end): &(u64, u64)| end.min(until).saturating_sub(begin.max(free));
                let stalled = stalls.iter().map(overlap).sum::<u64>().min(waited);
                self.surface += stalled;
                self.cpu += waited - stalled;
            }
        }
    }
}

/// The longest chain of pictures that refer to each other, by the time that each took on its engine.
fn critical_path(pictures: &[Slice]) -> u64 {
    let mut finish: HashMap<u64, u64> = HashMap::new();
    // References are submitted before what refers to them.
    for picture in pictures {
        let ready = picture.references.iter().filter_map(|r| finish.get(r)).max().copied().unwrap_or(0);
        finish.insert(picture.number, ready + (picture.end - picture.begin));
    }
    finish.into_values().max().unwrap_or(0)
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: u64| time as f64 / 1e6;
        let percent = |time: u64| 100.0 * self.share(time);
        let engines: Vec<&str> = self.busy.keys().map(String::as_str).collect();
        let Idle { dependency, surface, cpu, overhead, end } = self.idle;
        let (used, all) = (engines.len(), self.engines);
        writeln!(
            f,
            "traced          {} pictures on {used} of {all} engines: {}",
            self.pictures,
            engines.join(", ")
        )?;
        let busy = self.busy.values().sum();
        writeln!(f, "engine time     {:.0} % busy of {:.3} ms", percent(busy), ms(self.elapsed))?;
        writeln!(
            f,
            "idle            {:.0} % for references, {:.0} % for surfaces, {:.0} % for the host, {:.0} % between pictures, \
             {:.0} % at the end",
            percent(dependency),
            percent(surface),
            percent(cpu),
            percent(overhead),
            percent(end)
        )?;
        if self.conversions > 0 {
            let share = 100.0 * self.converting as f64 / self.elapsed.max(1) as f64;
            let each = self.converting as f64 / 1e3 / self.conversions as f64;
            writeln!(f, "conversions     {}, {each:.1} us each: {share:.0} % of the time", self.conversions)?;
        }
        writeln!(f, "critical path   {:.3} ms", ms(self.critical_path))?;
        let verdict = match self.bottleneck {
            Bottleneck::Engine => "engine bound: the engines had work throughout",
            Bottleneck::Dependency => "dependency bound: pictures waited for their references",
            Bottleneck::Surface => {
                "surface bound: pictures waited for memory that others used; --surfaces may help"
            }
            Bottleneck::Cpu => "CPU bound: the engines waited for the host",
            Bottleneck::Nothing => "unknown: nothing was decoded",
        };
        writeln!(f, "bottleneck      {verdict}")
    }
}
