//! The clock that an NVDEC engine runs at: cycles by its own count, over the time that it took by the GPU's clock.
//!
//! The driver holds the engines at a low clock while it takes the GPU for idle, and NVDEC work alone does not change
//! that (`docs/nvdec.md`, Clocks). Nothing tells it without NVIDIA's libraries, so a small clip is decoded and timed.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use hcq::Profiler;
use nvdec::Context;
use nvdec::Observer;
use serde::Serialize;

use crate::decode::{Consumer, Picture, Settings, decode};
use crate::exit::Failure;
use crate::trace::submissions::{Submissions, SubmittedPicture};

static CLIP: &[u8] = include_bytes!("../clips/x_wpp.hevc");

/// What an H200 was seen at: while it counts as idle, and in use.
const HOPPER_MHZ: [f64; 2] = [840.0, 1545.0];

/// The clock of an engine. Field names are those of the JSON output.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct EngineClock {
    /// Measured, in MHz.
    pub mhz: f64,
    /// Whether it is the clock of a GPU that the driver takes for idle; `None` for generations of which no such clock
    /// is known.
    pub idle: Option<bool>,
}

impl EngineClock {
    fn of(mhz: f64, generation: &str) -> EngineClock {
        let [idle, used] = HOPPER_MHZ;
        let known = generation == "Hopper";
        // Halfway by ratio: a measurement is some per cent too low, by what stands between the stamps besides.
        EngineClock { mhz, idle: known.then_some(mhz < (idle * used).sqrt()) }
    }
}

impl fmt::Display for EngineClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "about {:.0} MHz", self.mhz)?;
        if self.idle == Some(true) {
            let [idle, used] = HOPPER_MHZ;
            write!(
                f,
                ", the idle clock: the driver holds {idle:.0} of {used:.0} MHz while no process has a CUDA context; one that \
                 has, such as any CUDA program that waits, makes decoding {:.1} times faster",
                used / idle
            )?;
        }
        Ok(())
    }
}

/// Decodes a small clip on the first engine, with time stamps. `None` on the emulated GPU, whose engines have no clock,
/// and where nothing came of it. From here on the context's queues leave time stamps.
pub fn measure(context: &Arc<Context>) -> Option<EngineClock> {
    if context.is_emulated() {
        return None;
    }
    match megahertz(context) {
        Ok(mhz) => mhz.map(|mhz| EngineClock::of(mhz, context.class().generation)),
        Err(failure) => {
            log::info!("the clock of the engines: {failure}");
            None
        }
    }
}

fn megahertz(context: &Arc<Context>) -> Result<Option<f64>, Failure> {
    let profiler = context.profile().clone();
    let mut watch = Watch(Submissions::default());
    let settings = Settings { engines: context.engines()[0].into(), discard: true, ..Settings::default() };
    decode(context, "the built-in clip", &mut &CLIP[..], settings, &mut watch)?;
    Ok(rate(&watch.0.take(), &profiler))
}

/// Cycles for each microsecond: the picture in the middle, as the first ones may come while the clock changes.
fn rate(pictures: &[SubmittedPicture], profiler: &Profiler) -> Option<f64> {
    let spans = profiler.take();
    let key = |point: &hcq::SyncPoint| (Arc::as_ptr(point.timeline()), point.value());
    let times: HashMap<_, _> =
        spans.iter().map(|span| (key(&span.point), span.end.saturating_sub(span.begin))).collect();
    let mut rates: Vec<f64> = pictures
        .iter()
        .filter_map(|picture| {
            let nanoseconds = *times.get(&key(&picture.point)).filter(|time| **time > 0)?;
            Some(picture.cycles()? as f64 * 1e3 / nanoseconds as f64)
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied()
}

struct Watch(Submissions);

impl Consumer for Watch {
    fn picture(&mut self, _: &mut Picture) -> Result<(), Failure> {
        Ok(())
    }

    fn warning(&mut self, error: nvdec::Error) {
        log::info!("the built-in clip: {error}");
    }

    fn observer(&mut self) -> Option<Box<dyn Observer>> {
        Some(self.0.observer())
    }
}

#[cfg(test)]
mod tests {
    use nvdec::DeviceChoice;

    use super::*;

    #[test]
    fn the_idle_clock_is_called_that() {
        for (mhz, idle) in [(800.0, true), (840.0, true), (1480.0, false), (1545.0, false)] {
            assert_eq!(EngineClock::of(mhz, "Hopper").idle, Some(idle), "{mhz}");
        }
        let text = EngineClock::of(832.4, "Hopper").to_string();
        assert!(
            text.starts_with("about 832 MHz, the idle clock: ") && text.contains("CUDA context"),
            "{text}"
        );
        assert!(text.contains("1.8 times faster") && !text.contains('\n'), "{text}");
        assert_eq!(EngineClock::of(1545.0, "Hopper").to_string(), "about 1545 MHz");
        assert_eq!(EngineClock::of(840.0, "Ada").to_string(), "about 840 MHz", "not known to be one");
    }

    /// The engines in software have no clock, but they count cycles and leave stamps.
    #[test]
    fn cycles_and_stamps_make_a_rate() {
        let context = crate::device::open(DeviceChoice::Emulated).unwrap();
        assert!(megahertz(&context).unwrap().is_some_and(|mhz| mhz > 0.0));
        assert_eq!(measure(&context), None);
    }
}
