//! `nvdec-decode INPUT`: one stream to one output.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nvdec::{DeviceChoice, Mode};

use super::{Consumer, Picture, Settings, Summary, costs_pictures, decode};
use crate::device::{self, EngineChoice};
use crate::exit::{self, Exit, Failure};
use crate::output::preview::Preview;
use crate::output::{self, Format, Sink};
use crate::stats::{Start, Stats};
use crate::verify::Verification;

/// Most warnings printed in full; the rest is counted.
const WARNINGS_SHOWN: u64 = 20;

/// What to decode, and what to make of it.
#[derive(Clone, Debug)]
pub struct Options {
    /// The stream; `-` is standard input.
    pub input: PathBuf,
    /// Where to write.
    pub output: Option<PathBuf>,
    /// What to write.
    pub format: Format,
    /// Which device.
    pub device: DeviceChoice,
    /// Which engines.
    pub engine: EngineChoice,
    /// What the decoder is to be good at.
    pub mode: Mode,
    /// Most surfaces.
    pub surfaces: Option<usize>,
    /// Stop after so many pictures.
    pub frames: Option<u64>,
    /// Where to write one picture as PNG, beside the output.
    pub preview: Option<PathBuf>,
    /// Check decoded picture hashes.
    pub verify: bool,
    /// When the program began.
    pub start: Start,
    /// Print figures.
    pub stats: bool,
    /// Print figures as JSON.
    pub json: bool,
}

/// Decodes, writes, and says how the program ends.
pub fn run(options: &Options) -> Result<Exit, Failure> {
    let Input { name, mut source, size } = open(&options.input)?;
    let context = device::open(options.device)?;
    let sink = output::open(options.format, options.output.as_deref(), options.frames)?;
    let preview = options.preview.as_deref().map(Preview::create).transpose()?;
    let settings = Settings {
        engines: options.engine.for_job(&context, 0),
        mode: options.mode,
        surfaces: options.surfaces,
        frames: options.frames,
        discard: options.format == Format::Null && !options.verify && preview.is_none(),
    };
    let begin = Instant::now();
    let mut job = Job {
        sink,
        preview,
        verification: options.verify.then(Verification::default),
        progress: bar(size),
        warnings: 0,
        damage: 0,
        unsupported: None,
    };
    let summary = decode(&context, &name, &mut *source, settings, &mut job)?;
    job.progress.finish_and_clear();
    job.sink.finish()?;
    if let Some(preview) = &mut job.preview {
        preview.finish()?;
    }
    conclude(options, &name, summary, &job, begin)
}

/// Reports what is to be reported, the worst last.
fn conclude(
    options: &Options,
    name: &str,
    summary: Summary,
    job: &Job,
    begin: Instant,
) -> Result<Exit, Failure> {
    if job.warnings > WARNINGS_SHOWN {
        eprintln!("warning: and {} more", job.warnings - WARNINGS_SHOWN);
    }
    if options.stats || options.json {
        let errors = summary.statistics.pictures_in_error;
        let stats = Stats::of(&summary, options.start, begin, errors, job.verification.clone());
        if options.json {
            let text = serde_json::to_string_pretty(&stats).expect("figures have string keys only");
            // Where pictures go to standard output, figures must not.
            let on_stdout = options.output.as_deref().is_none_or(|path| path == Path::new("-"));
            match on_stdout && options.format != Format::Null {
                true => eprintln!("{text}"),
                false => output::print(&format!("{text}\n"))?,
            }
        } else {
            eprint!("{stats}");
        }
    }
    if let Some(verification) = &job.verification {
        eprintln!("{name}: {verification}");
    }
    if let Some(preview) = &job.preview
        && let Some(number) = preview.shown()
    {
        eprintln!("{name}: picture {number} is in {}", preview.path().display());
    }
    let pictures = summary.pictures;
    if let Some(error) = summary.stopped {
        eprintln!("{name}: {pictures} pictures, not all: {error}");
        return Ok(exit::of_decoder(&error));
    }
    if pictures == 0 && options.frames != Some(0) {
        if let Some(feature) = &job.unsupported {
            eprintln!("{name}: not decoded: {feature}");
            return Ok(Exit::Unavailable);
        }
        return Err(Failure::NoPicture {
            path: name.to_owned(),
            bytes: summary.bytes,
            nal_units: summary.nal_units,
        });
    }
    if job.verification.as_ref().is_some_and(|v| !v.is_good()) {
        return Ok(Exit::Fault);
    }
    if job.damage > 0 {
        eprintln!("{name}: damaged: {} errors in the stream, {pictures} pictures put out", job.damage);
        return Ok(Exit::Data);
    }
    Ok(Exit::Success)
}

/// An open input.
pub(crate) struct Input {
    /// Name for messages.
    pub(crate) name: String,
    /// Where the bytes come from.
    pub(crate) source: Box<dyn Read>,
    /// Bytes, where they are known.
    pub(crate) size: Option<u64>,
}

/// Opens a file, or standard input for `-`.
pub(crate) fn open(path: &Path) -> Result<Input, Failure> {
    if path == Path::new("-") {
        let source = Box::new(io::stdin().lock());
        return Ok(Input { name: "standard input".to_owned(), source, size: None });
    }
    let name = path.display().to_string();
    let failure = |source| Failure::Input { path: name.clone(), source };
    let file = File::open(path).map_err(failure)?;
    let meta = file.metadata().map_err(failure)?;
    if meta.is_dir() {
        return Err(Failure::Input { path: name, source: io::ErrorKind::IsADirectory.into() });
    }
    Ok(Input { name, source: Box::new(file), size: meta.is_file().then_some(meta.len()) })
}

/// A progress bar on standard error, hidden when that is no terminal.
fn bar(size: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(size, ProgressDrawTarget::stderr_with_hz(10));
    let template = match size {
        Some(_) => "{bar:30} {bytes}/{total_bytes}  {msg}  {eta} left",
        None => "{spinner} {bytes}  {msg}",
    };
    bar.with_style(ProgressStyle::with_template(template).expect("a fixed template"))
}

struct Job {
    sink: Box<dyn Sink>,
    preview: Option<Preview>,
    verification: Option<Verification>,
    progress: ProgressBar,
    /// Errors that did not end the stream.
    warnings: u64,
    /// Those of them that cost pictures.
    damage: u64,
    /// The first of them that names a feature that nothing here decodes.
    unsupported: Option<String>,
}

impl Consumer for Job {
    fn picture(&mut self, picture: &mut Picture) -> Result<(), Failure> {
        if let Some(verification) = &mut self.verification {
            verification.check(picture);
        }
        self.progress.set_message(format!("{} pictures", picture.index + 1));
        if let Some(preview) = &mut self.preview {
            preview.picture(picture)?;
        }
        self.sink.picture(picture)
    }

    fn warning(&mut self, error: nvdec::Error) {
        self.warnings += 1;
        self.damage += u64::from(costs_pictures(&error));
        if let nvdec::Error::Bitstream { source: source @ hevc::Error::Unsupported { .. }, .. } = &error {
            self.unsupported.get_or_insert_with(|| source.to_string());
        }
        if self.warnings <= WARNINGS_SHOWN {
            self.progress.suspend(|| eprintln!("warning: {error}"));
        }
    }

    fn progress(&mut self, bytes: u64) {
        self.progress.set_position(bytes);
    }
}

#[cfg(test)]
mod tests {
    use hevc::error::{Place, Structure};

    use super::*;

    fn options() -> Options {
        Options {
            start: Start::now(),
            input: "x.hevc".into(),
            output: None,
            format: Format::Null,
            device: DeviceChoice::Auto,
            engine: EngineChoice::One,
            mode: Mode::default(),
            surfaces: None,
            frames: None,
            preview: None,
            verify: false,
            stats: false,
            json: false,
        }
    }

    fn job() -> Job {
        Job {
            sink: output::open(Format::Null, None, None).unwrap(),
            preview: None,
            verification: None,
            progress: ProgressBar::hidden(),
            warnings: 0,
            damage: 0,
            unsupported: None,
        }
    }

    fn exit(options: &Options, summary: Summary, job: &Job) -> Exit {
        conclude(options, "x.hevc", summary, job, Instant::now()).unwrap_or_else(|failure| failure.exit())
    }

    #[test]
    fn how_a_run_ends() {
        let some = || Summary { pictures: 3, ..Summary::default() };
        assert_eq!(exit(&options(), some(), &job()), Exit::Success);
        assert_eq!(exit(&options(), Summary::default(), &job()), Exit::Data);
        let mut damaged = job();
        damaged.warning(nvdec::Error::TooManyReferences { poc: 1 });
        assert_eq!(exit(&options(), some(), &damaged), Exit::Data);
        let mut refused = job();
        let (place, feature) = (Place::with_id(Structure::Sps, 0), "palette_mode_enabled_flag");
        let source = hevc::Error::Unsupported { place, feature };
        refused.warning(nvdec::Error::Bitstream { offset: 0, source });
        assert_eq!(exit(&options(), Summary::default(), &refused), Exit::Unavailable);
        let stopped = |error| Summary { stopped: Some(error), ..some() };
        let refused = nvdec::Error::Hardware("no such engine".into());
        assert_eq!(exit(&options(), stopped(refused), &job()), Exit::Unavailable);
        assert_eq!(exit(&options(), stopped(hcq::Error::GpuLost.into()), &job()), Exit::Fault);
        let mut wrong = job();
        wrong.verification = Some(Verification { mismatched: 1, ..Verification::default() });
        assert_eq!(exit(&options(), some(), &wrong), Exit::Fault);
    }

    #[test]
    fn a_missing_input_is_named() {
        let failure = open(Path::new("/nonexistent.hevc")).err().unwrap();
        assert_eq!(failure.exit(), Exit::NoInput);
        assert!(failure.to_string().starts_with("cannot read /nonexistent.hevc"), "{failure}");
        assert_eq!(open(Path::new("/")).err().unwrap().exit(), Exit::NoInput);
    }
}
