//! How much was done, and how much of a processor that took.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

/// What a thread has done so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) pictures: AtomicU64,
    /// Surfaces that CUDA has mapped.
    pub(crate) mapped: AtomicU64,
}

/// Looks at a thread from any other one.
#[derive(Debug)]
pub(crate) struct Meter {
    counts: Arc<Counts>,
    /// Of the thread, in /proc; `None` where there is no such thing.
    thread: Option<PathBuf>,
    since: (Instant, u64, Option<u64>),
}

/// Where /proc has the calling thread.
pub(crate) fn this_thread() -> Option<PathBuf> {
    let link = std::fs::read_link("/proc/thread-self").ok()?;
    Some(Path::new("/proc").join(link))
}

impl Meter {
    /// From now on.
    pub(crate) fn new(counts: &Arc<Counts>, thread: Option<PathBuf>) -> Meter {
        let mut meter = Meter { counts: counts.clone(), thread, since: (Instant::now(), 0, None) };
        meter.since = meter.now();
        meter
    }

    fn now(&self) -> (Instant, u64, Option<u64>) {
        let cpu = self.thread.as_deref().and_then(processor_time);
        (Instant::now(), self.counts.pictures.load(Ordering::Relaxed), cpu)
    }

    /// What was done since this was made, or since the last call.
    pub(crate) fn read(&mut self) -> Value {
        let (before, now) = (self.since, self.now());
        self.since = now;
        let (seconds, pictures) = ((now.0 - before.0).as_secs_f64(), now.1 - before.1);
        let cpu = now.2.zip(before.2).map(|(now, before)| now.saturating_sub(before) as f64 / 1e3);
        let round = |value: f64, unit: f64| (value / unit).round() * unit;
        json!({
            "pictures": pictures,
            "seconds": round(seconds, 1e-3),
            "pictures_per_second": (pictures as f64 / seconds).round(),
            "cpu_us_per_picture": cpu.filter(|_| pictures > 0).map(|cpu| round(cpu / pictures as f64, 0.01)),
            "surfaces_mapped": self.counts.mapped.load(Ordering::Relaxed),
        })
    }
}

/// Nanoseconds that a thread has run.
fn processor_time(thread: &Path) -> Option<u64> {
    let first = |text: String| text.split_whitespace().next()?.parse().ok();
    std::fs::read_to_string(thread.join("schedstat")).ok().and_then(first).or_else(|| {
        // In hundredths of a second; the name before may have spaces.
        let text = std::fs::read_to_string(thread.join("stat")).ok()?;
        let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
        let mut ticks = || fields.next()?.parse::<u64>().ok();
        Some((ticks()? + ticks()?) * 10_000_000)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_and_time_are_those_since_the_last_look() {
        let counts = Arc::new(Counts::default());
        let mut meter = Meter::new(&counts, this_thread());
        counts.pictures.store(10, Ordering::Relaxed);
        while meter
            .thread
            .as_deref()
            .and_then(processor_time)
            .is_some_and(|now| now == meter.since.2.unwrap())
        {
            std::hint::spin_loop();
        }
        let first = meter.read();
        assert_eq!(first["pictures"], 10);
        assert!(meter.thread.is_none() || first["cpu_us_per_picture"].as_f64().unwrap() >= 0.0, "{first}");
        assert_eq!(meter.read()["pictures"], 0);
    }
}
