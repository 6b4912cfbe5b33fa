//! `--stats`: what a run cost.

use std::fmt;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::decode::Summary;
use crate::verify::Verification;

/// Ticks per second of the times in `/proc/PID/stat`; the same on every architecture that NVIDIA's driver runs on.
const USER_HZ: u64 = 100;

/// Figures of one run. Field names are those of the JSON output.
#[derive(Clone, Debug, Serialize)]
pub struct Stats {
    /// Pictures put out.
    pub pictures: u64,
    /// Bytes of stream read.
    pub bytes: u64,
    /// Pictures that came with an error.
    pub errors: u64,
    /// The engine.
    pub engine: Option<String>,
    /// Wall time from the start of decoding to its end, output included, in seconds.
    pub seconds: f64,
    /// Pictures per second of that time.
    pub pictures_per_second: f64,
    /// Clock cycles of the engine, by its own count.
    pub engine_cycles: u64,
    /// Processor time of the process for each picture, output included, in microseconds.
    pub cpu_us_per_picture: f64,
    /// GPU memory for surfaces and motion vectors, in bytes.
    pub gpu_memory: Option<u64>,
    /// From the start of the process to the first picture, in seconds; exact to 0.01.
    pub first_picture_seconds: Option<f64>,
    /// Result of `--verify`.
    pub verification: Option<Verification>,
}

impl Stats {
    /// From what decoding gave. `before` is the age of the process when decoding began.
    pub fn of(
        summary: &Summary,
        before: Option<Duration>,
        errors: u64,
        verification: Option<Verification>,
    ) -> Stats {
        let seconds = summary.elapsed.as_secs_f64();
        let per_picture =
            |value: f64| if summary.pictures == 0 { 0.0 } else { value / summary.pictures as f64 };
        Stats {
            pictures: summary.pictures,
            bytes: summary.bytes,
            errors,
            engine: summary.engine.map(|engine| engine.to_string()),
            seconds,
            pictures_per_second: if seconds > 0.0 { summary.pictures as f64 / seconds } else { 0.0 },
            engine_cycles: summary.statistics.engine_cycles,
            cpu_us_per_picture: per_picture(cpu_time().as_secs_f64() * 1e6),
            gpu_memory: summary.budget,
            first_picture_seconds: before.zip(summary.first_picture).map(|(a, b)| (a + b).as_secs_f64()),
            verification,
        }
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let engine = self.engine.as_deref().unwrap_or("no engine");
        writeln!(f, "pictures        {} on {engine}, {} with errors", self.pictures, self.errors)?;
        writeln!(f, "speed           {:.1} pictures/s ({:.3} s)", self.pictures_per_second, self.seconds)?;
        let cycles = self.engine_cycles.checked_div(self.pictures).unwrap_or(0);
        writeln!(f, "engine cycles   {} ({cycles} per picture)", self.engine_cycles)?;
        writeln!(f, "CPU             {:.1} us per picture, output included", self.cpu_us_per_picture)?;
        if let Some(bytes) = self.gpu_memory {
            writeln!(
                f,
                "GPU memory      {:.1} MiB for surfaces and motion vectors",
                bytes as f64 / (1 << 20) as f64
            )?;
        }
        if let Some(seconds) = self.first_picture_seconds {
            writeln!(f, "first picture   {seconds:.2} s after the start of the process")?;
        }
        Ok(())
    }
}

/// Processor time of all threads of this process, ended ones included.
pub fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}

/// How long ago this process started, its loading included.
pub fn process_age() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let now = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?);
    now.checked_sub(start_time(&stat)?)
}

/// Time from boot to the start of a process, of a line of `/proc/PID/stat`.
fn start_time(stat: &str) -> Option<Duration> {
    // The second field is the program's name in parentheses and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let ticks: u64 = rest.split_whitespace().nth(19)?.parse().ok()?;
    Some(Duration::from_millis(ticks * 1000 / USER_HZ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_is_the_22nd_field() {
        let stat =
            "20825 (a) b (c) R 20688 20688 12372 0 -1 4194304 100 0 0 0 1 2 0 0 20 0 1 0 204089 2998272 414";
        assert_eq!(start_time(stat), Some(Duration::from_millis(2_040_890)));
        assert_eq!(start_time("nonsense"), None);
    }

    #[test]
    fn this_process_has_an_age_and_used_a_processor() {
        assert!(process_age().is_some());
        assert!(cpu_time() > Duration::ZERO);
    }

    #[test]
    fn rates_of_nothing_are_zero() {
        let stats = Stats::of(&Summary::default(), None, 0, None);
        assert_eq!((stats.pictures_per_second, stats.cpu_us_per_picture), (0.0, 0.0));
        assert!(stats.to_string().contains("0 per picture"));
    }
}
