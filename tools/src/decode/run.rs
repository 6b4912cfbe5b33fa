//! `nvdec-decode INPUT`: one stream to one output.

use std::path::{Path, PathBuf};
use std::time::Instant;

use indicatif::ProgressBar;
use nvdec::tensor::{TensorPool, TensorSpec};
use nvdec::{Download, Mode, Observer, OpenOptions, Policy, Taint};

use super::material::Material;
use super::out::Out;
use super::{Batch, Consumer, Picture, Settings, Summary, costs_pictures, decode, decode_film};
use crate::clock::{self, EngineClock};
use crate::console;
use crate::device;
use crate::engines::EngineChoice;
use crate::exit::{self, Exit, Failure};
use crate::film::wanted::Wanted;
use crate::integrity::{Integrities, Report};
use crate::message;
use crate::output::Format;
use crate::output::file::{Sources, is_dash};
use crate::output::preview::Preview;
use crate::stats::{Start, Stats};
use crate::trace::Tracer;
use crate::verify::Verification;

/// Most warnings printed in full; the rest is counted.
const WARNINGS_SHOWN: u64 = 20;

/// What to decode, and what to make of it.
#[derive(Clone, Debug)]
pub struct Options {
    /// The stream or container; `-` is standard input.
    pub input: PathBuf,
    /// Which track of a container.
    pub track: Option<usize>,
    /// Which pictures.
    pub wanted: Wanted,
    /// Where to write.
    pub output: Option<PathBuf>,
    /// What to write.
    pub format: Format,
    /// What tensors to make of the pictures, if any, and of how many each.
    pub tensor: Option<(TensorSpec, usize)>,
    /// Which device.
    pub device: OpenOptions,
    /// Which engines.
    pub engine: EngineChoice,
    /// What the decoder is to be good at.
    pub mode: Mode,
    /// Most surfaces.
    pub surfaces: Option<usize>,
    /// Largest pictures, in luma samples.
    pub max_luma_samples: Option<u64>,
    /// Have the clocks raised.
    pub boost: bool,
    /// Where decoding begins.
    pub begin_at: nvdec::Start,
    /// What is done with pictures that are not exact.
    pub policy: Policy,
    /// How it is found out which pictures are tainted.
    pub taint: Taint,
    /// Each write to the pipe that is read ends where an access unit ends.
    pub whole_access_units: bool,
    /// Where to write one picture as PNG, beside the output.
    pub preview: Option<PathBuf>,
    /// Where to write when each engine worked on what.
    pub trace: Option<PathBuf>,
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
    let sources = Sources::of([options.input.as_path()]);
    sources.check(&outputs(options))?;
    let (wanted, whole) = (&options.wanted, options.whole_access_units);
    let mut material =
        Material::open(&options.input, options.track, wanted, whole, options.begin_at, options.policy)?;
    let name = material.name().to_owned();
    let context = device::open(options.device)?;
    if options.boost {
        context.boost()?;
    }
    let (path, tensor) = (options.output.as_deref(), options.tensor.as_ref());
    let (sink, pool) = Out::open(options.format, path, tensor, wanted, &material, &context, &sources)?;
    let preview = options.preview.as_deref().map(|path| Preview::create(path, &sources)).transpose()?;
    let settings = Settings {
        engines: options.engine.for_job(&context, 0),
        mode: options.mode,
        surfaces: options.surfaces,
        max_luma_samples: options.max_luma_samples,
        start: options.begin_at,
        policy: options.policy,
        taint: options.taint,
        // What is put out is compared, behind all that is done to it.
        verify: false,
        frames: options.wanted.frames,
        discard: options.format == Format::Null && !options.verify && preview.is_none(),
    };
    let begin = Instant::now();
    let mut job = Job {
        sink,
        pool,
        preview,
        trace: options.trace.as_deref().map(|path| Tracer::begin(path, &sources, &context)).transpose()?,
        progress: material.bar(),
        findings: Findings {
            verification: options.verify.then(Verification::default),
            ..Findings::default()
        },
    };
    let summary = match &mut material {
        Material::Stream(input) => decode(&context, &name, input, settings, &mut job)?,
        Material::Film(film, numbers) => decode_film(&context, film, numbers, settings, &mut job)?,
    };
    job.progress.finish_and_clear();
    let integrities = std::mem::take(&mut job.findings.integrities);
    let report = integrities.report(&summary.statistics.tally);
    // An output without a picture is none: what stood under its name stays.
    if summary.pictures > 0 || options.wanted.frames == Some(0) {
        job.sink.remark(&format!("integrity: {report}"))?;
        job.sink.finish()?;
    }
    let shown = job.preview.map(Preview::finish).transpose()?.flatten();
    if let (Some(trace), Some(path)) = (job.trace, &options.trace) {
        console::write(format_args!("{}", trace.finish()?));
        message!("{name}: the trace is in {}; https://ui.perfetto.dev shows it", path.display());
    }
    // After the run, which time stamps would have slowed down. What a stream broke is not asked.
    let figures = (options.stats || options.json) && summary.stopped.is_none();
    let clock = figures.then(|| clock::measure(&context)).flatten();
    let end = End { summary, report, findings: job.findings, shown, clock, begin };
    conclude(options, &name, end)
}

/// Everything that is to be written.
fn outputs(options: &Options) -> Vec<&Path> {
    let pictures = match options.format {
        Format::Null => None,
        // Files of a series have names of their own, which are looked at one by one.
        Format::Png | Format::Npy => options.output.as_deref().filter(|path| !path.is_dir()),
        _ => Some(options.output.as_deref().unwrap_or(Path::new("-"))),
    };
    pictures.into_iter().chain(options.preview.as_deref()).chain(options.trace.as_deref()).collect()
}

/// What a run came to.
struct End {
    summary: Summary,
    report: Report,
    findings: Findings,
    /// The picture that the preview shows.
    shown: Option<u64>,
    clock: Option<EngineClock>,
    begin: Instant,
}

/// Reports what is to be reported, the worst last.
fn conclude(options: &Options, name: &str, end: End) -> Result<Exit, Failure> {
    let End { summary, report, findings, shown, clock, begin } = end;
    if findings.others > WARNINGS_SHOWN {
        message!("warning: and {} more", findings.others - WARNINGS_SHOWN);
    }
    if options.stats || options.json {
        let stats =
            Stats::of(&summary, options.start, begin, report.clone(), clock, findings.verification.clone());
        if options.json {
            let text = serde_json::to_string_pretty(&stats).expect("figures have string keys only");
            // Where pictures or the trace go to standard output, figures must not.
            match outputs(options).into_iter().any(is_dash) {
                true => console::print_to_stderr(&format!("{text}\n"))?,
                false => console::print(&format!("{text}\n"))?,
            }
        } else {
            console::write(format_args!("{stats}"));
        }
    }
    if let Some(verification) = &findings.verification {
        message!("{name}: {verification}");
    }
    if let (Some(number), Some(path)) = (shown, &options.preview) {
        message!("{name}: picture {number} is in {}", path.display());
    }
    let pictures = summary.pictures;
    if let Some(error) = summary.stopped {
        message!("{name}: {pictures} pictures, not all: {error}");
        return Ok(exit::of_decoder(&error));
    }
    if pictures == 0 && options.wanted.frames != Some(0) {
        if let Some(feature) = &findings.unsupported {
            message!("{name}: not decoded: {feature}");
            return Ok(Exit::Unavailable);
        }
        if let Some(why) = why_nothing(&report, options) {
            return Err(Failure::NothingShown { path: name.to_owned(), why });
        }
        return Err(Failure::NoPicture {
            path: name.to_owned(),
            bytes: summary.bytes,
            nal_units: summary.nal_units,
        });
    }
    if findings.verification.as_ref().is_some_and(|v| !v.is_good()) {
        return Ok(Exit::Fault);
    }
    if findings.damage > 0 || report.damaged + report.tainted > 0 {
        report.told_chains().for_each(|chain| message!("{name}: {chain}"));
        let errors = findings.damage;
        message!(
            "{name}: damaged: {errors} errors in the stream, {pictures} pictures put out; decoded: {report}"
        );
        return Ok(Exit::Data);
    }
    if !report.is_sound() {
        message!("{name}: {pictures} pictures put out; decoded: {report}");
    }
    Ok(Exit::Success)
}

/// Why no picture was put out, as far as that is known, and what would show some.
fn why_nothing(report: &Report, options: &Options) -> Option<String> {
    let dropped: u64 = report.dropped.values().sum();
    let held_back = report.exact + report.damaged + report.tainted + report.recovering;
    if held_back > 0 && options.policy != Policy::Deliver {
        return Some(format!(
            "{held_back} pictures are not exact ({report}); `--on-damage deliver` shows them"
        ));
    }
    (dropped > 0).then(|| match options.begin_at {
        nvdec::Start::Any => format!("{dropped} pictures were passed over: {report}"),
        _ => format!(
            "{dropped} pictures were passed over, none of which decoding can begin with; `--begin any` shows them"
        ),
    })
}

struct Job {
    sink: Out,
    pool: Option<TensorPool>,
    preview: Option<Preview>,
    trace: Option<Tracer>,
    progress: ProgressBar,
    findings: Findings,
}

/// What was found wrong with a stream.
#[derive(Default)]
struct Findings {
    /// Result of `--verify`.
    verification: Option<Verification>,
    integrities: Integrities,
    /// Errors that did not end the stream, and those of them that are not a picture's.
    warnings: u64,
    others: u64,
    /// Those of them that cost pictures.
    damage: u64,
    /// The first of them that names a feature that nothing here decodes.
    unsupported: Option<String>,
}

impl Consumer for Job {
    fn picture(&mut self, picture: &mut Picture) -> Result<(), Failure> {
        let contradicted = self.findings.verification.as_mut().is_some_and(|checked| !checked.check(picture));
        self.findings.integrities.note(picture, contradicted);
        self.progress.set_message(format!("{} pictures", picture.index + 1));
        if let Some(preview) = &mut self.preview {
            preview.take(picture);
        }
        match &mut self.sink {
            Out::Pictures(sink) => sink.picture(picture),
            Out::Tensors(_) | Out::Sheet(_) => Ok(()),
        }
    }

    fn pool(&mut self) -> Option<TensorPool> {
        self.pool.clone()
    }

    fn tensor(&mut self, batch: &Batch) -> Result<(), Failure> {
        for (picture, index) in batch.tensor.pictures().iter().zip(batch.index..) {
            self.findings.integrities.note_one(index, picture.poc(), picture.integrity()?, false);
            self.progress.set_message(format!("{} pictures", index + 1));
        }
        match &mut self.sink {
            Out::Tensors(sink) => sink.tensor(batch),
            Out::Sheet(sheet) => sheet.tensor(batch),
            Out::Pictures(_) => Ok(()),
        }
    }

    fn converting(&mut self, numbers: &[u64]) {
        if let Some(trace) = &mut self.trace {
            trace.converting(numbers);
        }
    }

    fn warning(&mut self, error: nvdec::Error) {
        let findings = &mut self.findings;
        findings.warnings += 1;
        findings.damage += u64::from(costs_pictures(&error));
        if let nvdec::Error::Bitstream { source, .. } = &error
            && source.is_unsupported
        {
            findings.unsupported.get_or_insert_with(|| source.to_string());
        }
        // Of pictures there is a line for each, of other things there may be any number.
        let is_of_picture = matches!(error, nvdec::Error::Picture { .. });
        findings.others += u64::from(!is_of_picture);
        if is_of_picture || findings.others <= WARNINGS_SHOWN {
            self.progress.suspend(|| message!("warning: {error}"));
        }
    }

    fn progress(&mut self, bytes: u64) {
        self.progress.set_position(bytes);
    }

    fn pause(&mut self) -> Result<(), Failure> {
        self.sink.flush()
    }

    fn observer(&mut self) -> Option<Box<dyn Observer>> {
        self.trace.as_ref().map(Tracer::observer)
    }

    fn copying(&mut self, download: &Download) {
        if let Some(trace) = &mut self.trace {
            trace.copying(download);
        }
    }

    fn stalled(&mut self, since: Instant) {
        if let Some(trace) = &mut self.trace {
            trace.stalled(since);
        }
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
            track: None,
            wanted: Wanted::default(),
            output: None,
            format: Format::Null,
            tensor: None,
            device: OpenOptions::default(),
            engine: EngineChoice::One,
            mode: Mode::default(),
            surfaces: None,
            max_luma_samples: None,
            boost: false,
            begin_at: nvdec::Start::default(),
            policy: Policy::default(),
            taint: Taint::default(),
            whole_access_units: false,
            preview: None,
            trace: None,
            verify: false,
            stats: false,
            json: false,
        }
    }

    fn job() -> Job {
        Job {
            sink: Out::Pictures(crate::output::open(Format::Null, None, None, &Sources::default()).unwrap()),
            pool: None,
            preview: None,
            trace: None,
            progress: ProgressBar::hidden(),
            findings: Findings::default(),
        }
    }

    fn exit(options: &Options, summary: Summary, job: Job) -> Exit {
        let report = job.findings.integrities.clone().report(&summary.statistics.tally);
        let end =
            End { summary, report, findings: job.findings, shown: None, clock: None, begin: Instant::now() };
        conclude(options, "x.hevc", end).unwrap_or_else(|failure| failure.exit())
    }

    #[test]
    fn how_a_run_ends() {
        let some = || Summary { pictures: 3, ..Summary::default() };
        assert_eq!(exit(&options(), some(), job()), Exit::Success);
        assert_eq!(exit(&options(), Summary::default(), job()), Exit::Data);
        let mut damaged = job();
        damaged.warning(nvdec::Error::TooManyReferences { poc: 1 });
        assert_eq!(exit(&options(), some(), damaged), Exit::Data);
        let mut refused = job();
        let (place, feature) = (Place::with_id(Structure::Sps, 0), "palette_mode_enabled_flag");
        let source = hevc::Error::Unsupported { place, feature };
        refused.warning(nvdec::Error::Bitstream { offset: 0, source: source.into() });
        assert_eq!(exit(&options(), Summary::default(), refused), Exit::Unavailable);
        let stopped = |error| Summary { stopped: Some(error), ..some() };
        let refused = nvdec::Error::Hardware("no such engine".into());
        assert_eq!(exit(&options(), stopped(refused), job()), Exit::Unavailable);
        assert_eq!(exit(&options(), stopped(hcq::Error::GpuLost.into()), job()), Exit::Fault);
        let mut wrong = job();
        wrong.findings.verification = Some(Verification { mismatched: 1, ..Verification::default() });
        assert_eq!(exit(&options(), some(), wrong), Exit::Fault);
    }
}
