//! `--stats`: what a run cost.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::bench::measure::process_cpu;
use crate::clock::EngineClock;
use crate::decode::Summary;
use crate::integrity::Report;
use crate::verify::Verification;

/// Figures of one run. Field names are those of the JSON output.
#[derive(Clone, Debug, Serialize)]
pub struct Stats {
    /// Pictures put out.
    pub pictures: u64,
    /// Pictures that were sent to the decoder for them: with those that they are predicted from. `None` for a stream that was
    /// decoded from its beginning.
    pub pictures_sent: Option<u64>,
    /// Bytes of stream read.
    pub bytes: u64,
    /// How the pictures came out.
    pub integrity: Report,
    /// Pictures by the engine that decoded them.
    pub engines: BTreeMap<String, u64>,
    /// Wall time from the start of decoding to its end, output included, in seconds.
    pub seconds: f64,
    /// Pictures per second of that time.
    pub pictures_per_second: f64,
    /// Clock cycles of the engine, by its own count.
    pub engine_cycles: u64,
    /// Processor time of the program for each picture, output included, in microseconds.
    pub cpu_us_per_picture: f64,
    /// GPU memory for surfaces and motion vectors, in bytes.
    pub gpu_memory: Option<u64>,
    /// Memory for tensors, on the GPU or the host, in bytes.
    pub tensor_memory: Option<u64>,
    /// From the start of the program to the first picture, in seconds.
    pub first_picture_seconds: Option<f64>,
    /// Clock of an engine after the run; `None` on the emulated GPU.
    pub engine_clock: Option<EngineClock>,
    /// Result of `--verify`.
    pub verification: Option<Verification>,
}

impl Stats {
    /// From what decoding, which began at `begin`, gave.
    pub fn of(
        summary: &Summary,
        start: Start,
        begin: Instant,
        integrity: Report,
        engine_clock: Option<EngineClock>,
        verification: Option<Verification>,
    ) -> Stats {
        let seconds = summary.elapsed.as_secs_f64();
        let per_picture =
            |value: f64| if summary.pictures == 0 { 0.0 } else { value / summary.pictures as f64 };
        Stats {
            pictures: summary.pictures,
            pictures_sent: summary.sent,
            bytes: summary.bytes,
            integrity,
            engines: summary.engines.iter().map(|(engine, count)| (engine.to_string(), *count)).collect(),
            seconds,
            pictures_per_second: if seconds > 0.0 { summary.pictures as f64 / seconds } else { 0.0 },
            engine_cycles: summary.statistics.engine_cycles,
            cpu_us_per_picture: per_picture(process_cpu().saturating_sub(start.cpu).as_secs_f64() * 1e6),
            gpu_memory: summary.budget,
            tensor_memory: summary.tensor_memory,
            first_picture_seconds: summary
                .first_picture
                .map(|first| (begin - start.at + first).as_secs_f64()),
            engine_clock,
            verification,
        }
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let engines: Vec<&str> = self.engines.keys().map(String::as_str).collect();
        let engines = if engines.is_empty() { "no engine".to_owned() } else { engines.join(", ") };
        writeln!(f, "pictures        {} on {engines}; {}", self.pictures, self.integrity)?;
        if let Some(sent) = self.pictures_sent {
            writeln!(f, "sent            {sent} pictures, of which {} came out", self.pictures)?;
        }
        writeln!(f, "speed           {:.1} pictures/s ({:.3} s)", self.pictures_per_second, self.seconds)?;
        let cycles = self.engine_cycles.checked_div(self.pictures).unwrap_or(0);
        writeln!(f, "engine cycles   {} ({cycles} per picture)", self.engine_cycles)?;
        if let Some(clock) = &self.engine_clock {
            writeln!(f, "engine clock    {clock}")?;
        }
        writeln!(f, "CPU             {:.1} us per picture, output included", self.cpu_us_per_picture)?;
        if let Some(bytes) = self.gpu_memory {
            writeln!(
                f,
                "GPU memory      {:.1} MiB for surfaces and motion vectors",
                bytes as f64 / (1 << 20) as f64
            )?;
        }
        if let Some(bytes) = self.tensor_memory {
            writeln!(f, "tensors         {:.1} MiB of memory", bytes as f64 / (1 << 20) as f64)?;
        }
        if let Some(seconds) = self.first_picture_seconds {
            writeln!(f, "first picture   {seconds:.3} s after the start of the program")?;
        }
        Ok(())
    }
}

/// The moment at which `main` began, and what the process had used of a processor by then: another program, a
/// shell or `cargo run`, may have become this one.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    at: Instant,
    cpu: Duration,
}

impl Start {
    /// Now.
    pub fn now() -> Start {
        Start { at: Instant::now(), cpu: process_cpu() }
    }

    /// Time since then.
    pub fn elapsed(&self) -> Duration {
        self.at.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_count_from_the_start() {
        let start = Start::now();
        let begin = Instant::now();
        let summary =
            Summary { pictures: 1, first_picture: Some(Duration::from_secs(2)), ..Summary::default() };
        let stats = Stats::of(&summary, start, begin, Report::default(), None, None);
        let before = (begin - start.at).as_secs_f64();
        assert_eq!(stats.first_picture_seconds, Some(2.0 + before));
        assert!(stats.cpu_us_per_picture <= (process_cpu() - start.cpu).as_secs_f64() * 1e6);
    }

    #[test]
    fn rates_of_nothing_are_zero() {
        let stats =
            Stats::of(&Summary::default(), Start::now(), Instant::now(), Report::default(), None, None);
        assert_eq!((stats.pictures_per_second, stats.cpu_us_per_picture), (0.0, 0.0));
        assert!(stats.to_string().contains("0 per picture") && !stats.to_string().contains("clock"));
        let slow = Stats { engine_clock: Some(EngineClock { mhz: 840.0, idle: Some(true) }), ..stats };
        assert!(slow.to_string().contains("engine clock    about 840 MHz, the idle clock: "), "{slow}");
    }
}
