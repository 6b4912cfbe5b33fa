//! `nvdec-replay run`: a capture on hardware or on the model, and whether the same comes out.

use std::path::PathBuf;

use nvdec::{Context, EngineSet, OpenOptions};

use super::capture::Capture;
use super::compare::{BEYOND_THE_MODEL, Comparison, Outcome};
use super::player::{Assignment, Player};
use crate::console;
use crate::device;
use crate::engines::EngineChoice;
use crate::exit::{Exit, Failure};

/// What to replay.
#[derive(Clone, Debug)]
pub struct Options {
    /// The capture.
    pub input: PathBuf,
    /// Which device.
    pub device: OpenOptions,
    /// Which engine; those of the recording by default.
    pub engine: Option<EngineChoice>,
    /// The capture is one's own: the size of its file does not limit what it asks for.
    pub trusted: bool,
    /// Print JSON.
    pub json: bool,
}

/// A replay that came to its end.
#[derive(Clone, Debug)]
pub struct Replay {
    /// What came of it.
    pub outcome: Outcome,
    /// What is known not to be comparable, or was done otherwise than recorded.
    pub notes: Vec<String>,
}

/// The engines that the command line names.
fn assignment(engine: Option<EngineChoice>, context: &Context) -> Result<Assignment, Failure> {
    let engines = context.engines();
    let set = match engine {
        None => return Ok(Assignment::Captured),
        Some(EngineChoice::All | EngineChoice::Each) => return Ok(Assignment::All),
        Some(EngineChoice::One) => EngineSet::default().with(engines[0]),
        Some(EngineChoice::Set(set)) => set,
    };
    if let Some(engine) = set.iter().find(|engine| !engines.contains(engine)) {
        let present: Vec<_> = engines.iter().map(ToString::to_string).collect();
        let message = format!("the GPU has no {engine}; it has {}", present.join(", "));
        return Err(Failure::Device { message, exit: Exit::Unavailable });
    }
    Ok(Assignment::Set(set))
}

/// Replays a capture, and says how the program ends.
///
/// # Errors
///
/// [`Failure`]: a capture that is none, or that would make the engine leave its memory; a device that cannot.
pub fn run(options: &Options) -> Result<Exit, Failure> {
    let capture = Capture::open(&options.input)?;
    let context = device::open(options.device)?;
    let assignment = assignment(options.engine, &context)?;
    let total = capture.pictures().len();
    let progress = super::progress(Some(total as u64), "{pos}/{len} pictures");
    let replay = replay(&context, &capture, assignment, options.trusted, &mut |index| {
        progress.set_position(index as u64)
    });
    progress.finish_and_clear();
    let Replay { outcome, notes } = replay?;
    let verdict = outcome.verdict(total);
    if options.json {
        let device = context.device();
        let text = serde_json::json!({
            "capture": capture.name(), "verdict": verdict, "identical": outcome.is_identical(),
            "pictures_captured": total, "outcome": outcome, "notes": notes,
            "device": {
                "emulated": device.is_emulated(), "driver": device.driver_version().to_string(),
                "gpu": device.name().ok(), "generation": context.class().generation,
            },
        });
        console::print(&format!("{text:#}\n"))?;
    } else {
        console::print(&format!("{verdict}\n"))?;
        for note in &notes {
            crate::message!("note: {note}");
        }
    }
    Ok(if outcome.is_identical() { Exit::Success } else { Exit::Fault })
}

/// Replays a capture and compares every picture.
///
/// # Errors
///
/// As [`run`].
pub fn replay(
    context: &std::sync::Arc<Context>,
    capture: &Capture,
    assignment: Assignment,
    trusted: bool,
    progress: &mut dyn FnMut(usize),
) -> Result<Replay, Failure> {
    let emulated = context.device().is_emulated();
    let player = Player::new(context, capture, trusted, &mut |_| ())?;
    let blocks: Vec<u32> = (0..capture.pictures().len()).map(|index| player.blocks(index)).collect();
    let mut notes = vec!["cycle_count is not compared".to_owned()];
    if player.rebased() > 0 {
        notes.push(format!(
            "recorded on {}: scratch of {} pictures is laid out for {}",
            capture.head().generation,
            player.rebased(),
            context.class().generation
        ));
    }
    let mut comparison = Comparison::new(capture, emulated);
    let mut beyond = None;
    player.run(assignment, &mut |replayed| {
        progress(replayed.index + 1);
        let expected = capture.pictures()[replayed.index].status;
        if emulated
            && expected.is_some_and(|status| status.error_status != BEYOND_THE_MODEL)
            && replayed.status.is_some_and(|status| status.error_status == BEYOND_THE_MODEL)
        {
            beyond = Some(replayed.index);
            return Ok(false);
        }
        comparison.take(&replayed, blocks[replayed.index])?;
        Ok(true)
    })?;
    if let Some(index) = beyond {
        let picture = &capture.pictures()[index];
        let message = format!(
            "{}: picture {index} (POC {}): the emulated engine has no tools for such pictures, \
             it decodes 4:2:0 without the range extensions",
            capture.name(),
            picture.poc
        );
        return Err(Failure::Device { message, exit: Exit::Unavailable });
    }
    let outcome = comparison.result;
    if outcome.not_compared > 0 {
        notes.push(format!(
            "{} damaged pictures, and pictures that refer to them, are not compared: hardware and the emulated \
             engine conceal damage differently",
            outcome.not_compared
        ));
    }
    if outcome.pictures < capture.pictures().len() {
        notes.push("the engine died; the pictures behind that were not submitted".to_owned());
    }
    Ok(Replay { outcome, notes })
}
