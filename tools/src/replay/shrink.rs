//! `nvdec-replay shrink`: the smallest capture for which a command still succeeds.
//!
//! Delta debugging (Zeller's ddmin) over pictures, then over the slice segments of those that are left. A
//! picture is kept only together with those that it refers to, so that every candidate can be replayed.

mod candidate;
mod command;
mod ddmin;

use std::io::BufWriter;
use std::path::PathBuf;
use std::time::Duration;

use super::capture::Capture;
use crate::console;
use crate::exit::{Exit, Failure};
use crate::output::file::{OutputFile, Sources, is_replaced};
pub use candidate::{References, Selection, write};
pub use command::Shell;
use ddmin::minimise;

/// What to shrink.
#[derive(Clone, Debug)]
pub struct Options {
    /// The capture.
    pub input: PathBuf,
    /// Where to write; `X.min.nvcap` beside `X.nvcap` if `None`.
    pub output: Option<PathBuf>,
    /// The command.
    pub command: String,
    /// How long the command may take.
    pub timeout: Duration,
    /// Let the command print.
    pub verbose: bool,
    /// Print JSON.
    pub json: bool,
}

/// What is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrunk {
    /// The pictures and slice segments to keep.
    pub selection: Selection,
    /// How many candidates were tried.
    pub tries: usize,
}

/// Shrinks a capture. What was reached so far is in the output file at every moment.
///
/// # Errors
///
/// [`Failure`]; [`Failure::Usage`] if the command fails on the whole capture.
pub fn run(options: &Options) -> Result<Exit, Failure> {
    let capture = Capture::open(&options.input)?;
    let output_path = options.output.clone().unwrap_or_else(|| options.input.with_extension("min.nvcap"));
    let sources = Sources::of([options.input.as_path()]);
    sources.check(&[&output_path])?;
    if !is_replaced(&output_path)? {
        let name = output_path.display();
        return Err(Failure::Usage(format!(
            "{name}: each smaller capture replaces the one before; name a file"
        )));
    }
    let references = References::of(&capture)?;
    let shell = Shell::new(&options.command, options.timeout, options.verbose)?;
    let progress = super::progress(None, "");
    progress.enable_steady_tick(Duration::from_millis(200));
    let (mut tries, mut best, mut bytes) = (0usize, 0, 0);
    let total = capture.pictures().len();
    let mut test = |selection: &Selection| -> Result<bool, Failure> {
        tries += 1;
        progress.set_message(format!(
            "try {tries}: {} pictures; best so far {best} of {total}",
            selection.pictures.len()
        ));
        let file = std::fs::File::create(shell.path()).map(BufWriter::new);
        let failed = |source| Failure::Output { path: shell.path().display().to_string(), source };
        write(&capture, &references, selection, file.map_err(failed)?)?;
        let succeeds = shell.succeeds()?;
        if succeeds {
            best = selection.pictures.len();
            let file = OutputFile::create(&output_path, &sources)?;
            bytes = write(&capture, &references, selection, file)?.commit()?;
        }
        Ok(succeeds)
    };
    let shrunk = shrink(&capture, &references, &mut test);
    progress.finish_and_clear();
    let Some(shrunk) = shrunk? else {
        let what = format!("the command fails on the whole of {}: there is nothing to keep", capture.name());
        return Err(Failure::Usage(what));
    };
    let left = shrunk.selection.pictures.len();
    let dropped: usize = shrunk.selection.dropped.values().map(|segments| segments.len()).sum();
    if options.json {
        let text = serde_json::json!({
            "capture": output_path.display().to_string(), "bytes": bytes, "pictures_before": total,
            "pictures": shrunk.selection.pictures, "segments_dropped": dropped, "tries": shrunk.tries,
        });
        console::print(&format!("{text:#}\n"))?;
    } else {
        let segments = if dropped > 0 { format!(", {dropped} slice segments less") } else { String::new() };
        console::print(&format!(
            "{left} of {total} pictures{segments} after {} tries, {bytes} bytes: {}\n",
            shrunk.tries,
            output_path.display()
        ))?;
    }
    Ok(Exit::Success)
}

/// The smallest selection that was found for which `test` says yes; `None` if it says no to the whole
/// capture.
///
/// # Errors
///
/// Those of `test`, and of reading the capture.
pub fn shrink(
    capture: &Capture,
    references: &References,
    test: &mut dyn FnMut(&Selection) -> Result<bool, Failure>,
) -> Result<Option<Shrunk>, Failure> {
    let mut tries = 0;
    let mut selection =
        Selection { pictures: (0..capture.pictures().len()).collect(), ..Selection::default() };
    let mut count = |selection: &Selection| {
        tries += 1;
        test(selection)
    };
    if !count(&selection)? {
        return Ok(None);
    }
    let all = selection.pictures.clone();
    selection.pictures = minimise(
        all,
        &|kept, chunk| references.closure(chunk).into_iter().filter(|i| kept.contains(i)).collect(),
        &|kept, chunk| references.without(kept, chunk),
        &mut |pictures| count(&Selection { pictures: pictures.to_vec(), ..Selection::default() }),
    )?;
    // The last pictures first: nothing refers to them.
    for &index in selection.pictures.clone().iter().rev() {
        let segments: Vec<usize> = (0..candidate::segments(capture, index)?.len()).collect();
        let with = |kept: &[usize]| {
            let mut next = selection.clone();
            let dropped = segments.iter().copied().filter(|segment| !kept.contains(segment)).collect();
            next.dropped.insert(index, dropped);
            next.dropped.retain(|_, dropped| !dropped.is_empty());
            next
        };
        let kept = minimise(
            segments.clone(),
            &|_, chunk| chunk.to_vec(),
            &|kept, chunk| kept.iter().copied().filter(|segment| !chunk.contains(segment)).collect(),
            &mut |kept| count(&with(kept)),
        )?;
        selection = with(&kept);
    }
    Ok(Some(Shrunk { selection, tries }))
}
