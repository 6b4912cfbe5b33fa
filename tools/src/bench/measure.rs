//! What is measured, and how measurements are summed up.

use std::fmt;
use std::time::Duration;

use hcq::Device;
use nix::time::{ClockId, clock_gettime};
use nvdec::Context;
use serde::Serialize;

/// Processor time of all threads of this process, ended ones included.
pub fn process_cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}

/// Processor time of the calling thread.
pub fn thread_cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}

/// Has the kernel forget the peak of this process's memory, so that [`peak_rss`] speaks of what follows. Where the
/// kernel does not, the peak is that of the whole run.
pub fn forget_peak_rss() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Most memory that this process had resident, in bytes; `None` where the kernel does not tell.
pub fn peak_rss() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

/// Bytes of GPU memory taken since [`Memory::before`], by the driver's account, which is that of all programs.
#[derive(Clone, Copy, Debug)]
pub struct Memory(Option<u64>);

impl Memory {
    /// Looks how much is free when the context keeps none, which could be taken without being seen.
    pub fn before(context: &Context) -> Memory {
        context.release_memory();
        Memory(context.device().free_memory().ok())
    }

    /// What was taken since; `None` where the driver does not tell.
    pub fn taken(self, device: &Device) -> Option<u64> {
        Some(self.0?.saturating_sub(device.free_memory().ok()?))
    }
}

/// Several measurements of one figure. Field names are those of the JSON output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// The one in the middle; of an even number, the mean of the two.
    pub median: f64,
    /// The lowest.
    pub min: f64,
    /// The highest.
    pub max: f64,
}

impl Spread {
    /// Of any number of measurements; of none, all zero.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Spread {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (values.first(), values.last()) else { return Spread::default() };
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            1 => values[middle],
            _ => (values[middle - 1] + values[middle]) / 2.0,
        };
        Spread { median, min, max }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(1);
        write!(f, "{:.digits$} ({:.digits$} to {:.digits$})", self.median, self.min, self.max)
    }
}

/// `part` of `whole`, 0 of nothing.
pub fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// Bytes as MiB.
pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1 << 20) as f64
}

/// A duration in milliseconds.
pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads() {
        assert_eq!(Spread::of([]), Spread::default());
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0]).median, 2.5);
        assert_eq!(Spread::of([1.25]).to_string(), "1.2 (1.2 to 1.2)");
        assert_eq!(format!("{:.0}", Spread::of([10.0, 20.0])), "15 (10 to 20)");
        assert_eq!((ratio(1.0, 0.0), ratio(1.0, 4.0)), (0.0, 0.25));
    }

    #[test]
    fn the_kernel_tells_of_this_process() {
        assert!(peak_rss().is_some_and(|bytes| bytes > 1 << 20));
        let (process, thread) = (process_cpu(), thread_cpu());
        let mut sum = 0u64;
        while thread_cpu() == thread {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(process_cpu() > process);
    }
}
