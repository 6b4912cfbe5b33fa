//! Recording: a stream is decoded while every submission is written down.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bitstream::AnnexBReader;
use hcq::{DeviceBuffer, Placement, SyncPoint, Timeline};
use hevc::NalUnitType;
use hevc::nal::NalHeader;
use nvdec::hevc::audit;
use nvdec::{
    Codec, Context, Decoder, DecoderOptions, EngineMemory, Frame, Observer, OpenOptions, Packet,
    PictureRecord, Submitted, SurfaceGeometry,
};
use nvkernel_sys::video::{self, hevc_pic};

use super::capture::{
    CaptureWriter, Hashes, Head, MethodRecord, MotionCopy, Picture, Pointee, SurfaceShape, Wait,
};
use super::codecs::{CodecRow, Holds};
use super::fetch::{Fetched, Fetcher};
use super::hash::PlaneHashes;
use super::motion::{Motion, MotionTracker};
use crate::console;
use crate::decode::costs_pictures;
use crate::device;
use crate::engines::EngineChoice;
use crate::exit::{self, Exit, Failure};
use crate::input::{self, other::Reader};
use crate::message;
use crate::output::file::{OutputFile, Sources, is_dash};

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;
/// Bytes of a host buffer that a method without a known length points at.
const UNKNOWN_BYTES: u64 = 4096;
/// Bytes of a first slice segment by which its picture is found again.
const KEY_BYTES: usize = 64;
/// Pictures begun whose submission has not been seen.
const MAX_BEGUN: usize = 4096;
const WARNINGS_SHOWN: u64 = 20;

/// What to record.
#[derive(Clone, Debug)]
pub struct Options {
    /// The stream; `-` is standard input.
    pub input: PathBuf,
    /// The capture to write.
    pub output: PathBuf,
    /// Which device.
    pub device: OpenOptions,
    /// Which engine.
    pub engine: EngineChoice,
    /// Stop after so many pictures.
    pub frames: Option<u64>,
    /// Print JSON.
    pub json: bool,
}

/// Records a stream, and says how the program ends.
///
/// # Errors
///
/// [`Failure`]. What could be recorded until the GPU or the decoder failed is a capture all the same.
pub fn run(options: &Options) -> Result<Exit, Failure> {
    let sources = Sources::of([options.input.as_path()]);
    sources.check(&[&options.output])?;
    let mut input = input::open(&options.input, Reader::Record, false)?;
    let name = input.name().to_owned();
    let context = device::open(options.device)?;
    let out = OutputFile::create(&options.output, &sources)?;
    let progress = super::progress(input.size(), "{bytes}/{total_bytes}  {msg}");
    let engines = options.engine.for_job(&context, 0);
    let decoder_options = DecoderOptions::default().with_engines(engines);
    let recorder = CaptureRecorder::new(&context, out, &name)?;
    let (recorded, out) =
        record(&context, decoder_options, &recorder, &name, &mut input, options.frames, &mut |at, count| {
            progress.set_position(at);
            progress.set_message(format!("{count} pictures"));
        })?;
    progress.finish_and_clear();
    for warning in &recorded.warnings {
        message!("warning: {warning}");
    }
    if recorded.warning_count > WARNINGS_SHOWN {
        message!("warning: and {} more", recorded.warning_count - WARNINGS_SHOWN);
    }
    // A capture without a picture is of no use.
    if recorded.pictures > 0 || options.frames == Some(0) {
        report(options, &recorded, out.commit()?)?;
    } else if recorded.stopped.is_none() {
        let (path, bytes, nal_units) = (name, recorded.bytes, recorded.nal_units);
        return Err(Failure::NoPicture { path, bytes, nal_units });
    }
    if let Some(error) = recorded.stopped {
        message!("{}: not recorded to its end: {error}", name);
        return Ok(exit::of_decoder(&error));
    }
    Ok(if recorded.damage > 0 { Exit::Data } else { Exit::Success })
}

fn report(options: &Options, recorded: &Recorded, bytes: u64) -> Result<(), Failure> {
    // Where the capture goes to standard output, nothing else must.
    let print = if is_dash(&options.output) { console::print_to_stderr } else { console::print };
    let path = options.output.display();
    if options.json {
        let text = serde_json::json!({
            "capture": path.to_string(), "bytes": bytes, "pictures": recorded.pictures,
            "pictures_in_error": recorded.in_error, "warnings": recorded.warning_count,
            "ended_by": recorded.stopped.as_ref().map(ToString::to_string),
        });
        return print(&format!("{text:#}\n"));
    }
    let errors = match recorded.in_error {
        0 => String::new(),
        count => format!(", {count} with errors"),
    };
    print(&format!("recorded {} pictures{errors} in {bytes} bytes: {path}\n", recorded.pictures))
}

/// What came of a recording.
#[derive(Debug, Default)]
pub struct Recorded {
    /// Pictures in the capture.
    pub pictures: u64,
    /// Of these, pictures with an error.
    pub in_error: u64,
    /// Bytes read.
    pub bytes: u64,
    /// NAL units found.
    pub nal_units: u64,
    /// The first errors of single pictures or NAL units.
    pub warnings: Vec<String>,
    /// How many there were.
    pub warning_count: u64,
    /// Those of them that cost pictures.
    pub damage: u64,
    /// What ended the stream before its end, or what the hardware refused of it.
    pub stopped: Option<nvdec::Error>,
}

/// Decodes `source` to its end, or to `frames` pictures, and ends the capture. Frames are dropped as they
/// come.
///
/// # Errors
///
/// Of the input and of the capture's writer. An error of the decoder is [`Recorded::stopped`].
pub fn record<W: Write + Send + 'static>(
    context: &Arc<Context>,
    options: DecoderOptions,
    recorder: &CaptureRecorder<W>,
    name: &str,
    source: &mut dyn Read,
    frames: Option<u64>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(Recorded, W), Failure> {
    let drop_frame = |_: Frame| -> nvdec::Result<()> { Ok(()) };
    let mut decoder = Decoder::new(context, Codec::Hevc, options)?;
    decoder.observe(Box::new(recorder.clone()));
    recorder.lock().limit = frames.unwrap_or(u64::MAX);
    let mut recorded = Recorded::default();
    let mut reader = AnnexBReader::new();
    let mut chunk = vec![0; CHUNK];
    let result = (|| -> Result<(), Failure> {
        while !recorder.is_full() {
            let read = match source.read(&mut chunk) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(Failure::Input { path: name.to_owned(), source }),
            };
            recorded.bytes += read as u64;
            match read {
                0 => reader.finish(),
                _ => {
                    if let Err(source) = reader.feed(&chunk[..read]) {
                        recorded
                            .warn(&nvdec::Error::Bitstream { offset: recorded.bytes, source: source.into() });
                    }
                }
            }
            while !recorder.is_full()
                && let Some(nal) = reader.next_nal()
            {
                recorded.nal_units += 1;
                accept(decoder.push(Packet::unit(nal), drop_frame), &mut recorded)?;
                recorder.note(nal);
                while let Some(error) = decoder.take_error() {
                    recorded.warn(&error);
                }
            }
            progress(recorded.bytes, recorder.lock().begun_pictures);
            if read == 0 {
                break;
            }
        }
        if !recorder.is_full() {
            accept(decoder.end(drop_frame), &mut recorded)?;
        }
        Ok(decoder.finish()?)
    })();
    match result {
        Ok(()) => {}
        Err(Failure::Decode(error)) => recorded.stopped = Some(error),
        Err(failure) => return Err(failure),
    }
    while let Some(error) = decoder.take_error() {
        recorded.warn(&error);
    }
    drop(decoder);
    let ended_by = recorded.stopped.as_ref().map(ToString::to_string);
    let (pictures, in_error, out) = recorder.finish(ended_by)?;
    (recorded.pictures, recorded.in_error) = (pictures, in_error);
    Ok((recorded, out))
}

/// What the hardware cannot decode is left out.
fn accept(result: nvdec::Result<()>, recorded: &mut Recorded) -> Result<(), Failure> {
    match result {
        Err(error @ nvdec::Error::CannotDecode { .. }) => {
            recorded.stopped.get_or_insert(error);
            Ok(())
        }
        result => Ok(result?),
    }
}

impl Recorded {
    fn warn(&mut self, error: &nvdec::Error) {
        self.warning_count += 1;
        self.damage += u64::from(costs_pictures(error));
        if self.warning_count <= WARNINGS_SHOWN {
            self.warnings.push(error.to_string());
        }
    }
}

/// Writes down what a session submits. Clones are handles of one recording.
pub struct CaptureRecorder<W> {
    state: Arc<Mutex<State<W>>>,
}

impl<W> Clone for CaptureRecorder<W> {
    fn clone(&self) -> Self {
        CaptureRecorder { state: self.state.clone() }
    }
}

impl<W> std::fmt::Debug for CaptureRecorder<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("recorder")
    }
}

struct State<W> {
    writer: Option<CaptureWriter<W>>,
    fetcher: Fetcher,
    /// Pictures whose hashes are not there yet, in order, the first one being number `written` of the
    /// capture.
    pending: VecDeque<Pending>,
    written: usize,
    results: HashMap<usize, Result<PlaneHashes, String>>,
    memory: MemoryNames,
    motion: MotionTracker,
    /// Where the pictures so far end.
    points: Vec<(Arc<Timeline>, u64, u32)>,
    /// First slice segments with the number of NAL units before them, of pictures not submitted yet.
    begun: VecDeque<(Vec<u8>, u32)>,
    nal_units: u32,
    begun_pictures: u64,
    limit: u64,
    in_error: u64,
    failed: Option<Failure>,
}

struct Pending {
    picture: Picture,
    record: Arc<PictureRecord>,
    blocks: u32,
}

/// Memory by its addresses, numbered as it appears. What is numbered is held, so that an address means one
/// thing.
#[derive(Default)]
struct MemoryNames {
    geometry: Option<SurfaceGeometry>,
    surfaces: BTreeMap<u64, (u32, DeviceBuffer)>,
    surface_count: u32,
    /// Allocations, parts of which the engine works in.
    others: BTreeMap<u64, (u32, EngineMemory)>,
    other_count: u32,
}

impl MemoryNames {
    /// Pictures of another geometry refer to nothing that came before: what was known need not be held any
    /// longer.
    fn begin(&mut self, geometry: &SurfaceGeometry) {
        if self.geometry.as_ref() != Some(geometry) {
            self.geometry = Some(*geometry);
            self.surfaces.clear();
            self.others.clear();
        }
    }

    fn surface(&mut self, surface: &nvdec::Surface) -> u32 {
        let buffer = surface.buffer();
        let (id, _) = self.surfaces.entry(buffer.gpu_address()).or_insert_with(|| {
            self.surface_count += 1;
            (self.surface_count - 1, buffer.clone())
        });
        *id
    }

    fn other(&mut self, buffer: &EngineMemory) -> Pointee {
        let offset = buffer.offset_in_allocation();
        let (id, _) = self.others.entry(buffer.gpu_address() - offset).or_insert_with(|| {
            self.other_count += 1;
            // Any part of it holds the whole.
            (self.other_count - 1, buffer.clone())
        });
        Pointee::Memory { id: *id, offset, bytes: buffer.size() }
    }
}

/// What describes the machine.
fn head(context: &Context, source: &str) -> Head {
    let device = context.device();
    Head {
        tool: concat!("nvdec-replay ", env!("CARGO_PKG_VERSION")).to_owned(),
        created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
        source: Path::new(source).file_name().map_or(source.to_owned(), |n| n.to_string_lossy().into_owned()),
        driver: device.driver_version().to_string(),
        emulated: device.is_emulated(),
        gpu: device.name().ok(),
        chip: device.chip().ok().map(|chip| chip.to_string()),
        class: context.class().class,
        generation: context.class().generation.to_owned(),
        engines: context.engines().iter().map(ToString::to_string).collect(),
    }
}

impl<W: Write> CaptureRecorder<W> {
    /// Begins a capture of `source`.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn new(context: &Arc<Context>, out: W, source: &str) -> Result<Self, Failure> {
        let writer = CaptureWriter::new(out, &head(context, source)).map_err(writing)?;
        let state = State {
            writer: Some(writer),
            fetcher: Fetcher::new(context),
            pending: VecDeque::new(),
            written: 0,
            results: HashMap::new(),
            memory: MemoryNames::default(),
            motion: MotionTracker::default(),
            points: Vec::new(),
            begun: VecDeque::new(),
            nal_units: 0,
            begun_pictures: 0,
            limit: u64::MAX,
            in_error: 0,
            failed: None,
        };
        Ok(CaptureRecorder { state: Arc::new(Mutex::new(state)) })
    }

    fn lock(&self) -> MutexGuard<'_, State<W>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether as many pictures were recorded as were asked for, or no more can be.
    fn is_full(&self) -> bool {
        let state = self.lock();
        state.begun_pictures >= state.limit || state.failed.is_some()
    }

    /// Takes note of a NAL unit that the decoder has taken.
    pub fn note(&self, nal: &[u8]) {
        let mut state = self.lock();
        let Ok(header) = NalHeader::parse(nal) else { return };
        if header.nuh_layer_id != 0 {
            return;
        }
        match header.nal_unit_type {
            NalUnitType::VPS_NUT
            | NalUnitType::SPS_NUT
            | NalUnitType::PPS_NUT
            | NalUnitType::EOS_NUT
            | NalUnitType::EOB_NUT => {
                state.nal_units += 1;
                state.write(|writer| writer.nal_unit(nal));
            }
            kind if kind.is_slice_segment() && nal.get(NalHeader::SIZE).is_some_and(|b| b & 0x80 != 0) => {
                let count = state.nal_units;
                if state.begun.len() == MAX_BEGUN {
                    state.begun.pop_front();
                }
                state.begun.push_back((nal[..nal.len().min(KEY_BYTES)].to_vec(), count));
            }
            _ => {}
        }
    }

    /// Waits for what is still on its way and ends the capture: pictures, those in error, and the writer.
    fn finish(&self, ended_by: Option<String>) -> Result<(u64, u64, W), Failure> {
        let mut state = self.lock();
        while !state.pending.is_empty() && state.failed.is_none() {
            let fetched = state.fetcher.take();
            state.arrived(fetched);
        }
        if let Some(failure) = state.failed.take() {
            return Err(failure);
        }
        let writer = state.writer.take().expect("a recording is finished once");
        let pictures = writer.pictures().into();
        let out = writer.finish(ended_by).map_err(writing)?;
        Ok((pictures, state.in_error, out))
    }
}

fn writing(source: io::Error) -> Failure {
    Failure::Output { path: "the capture".to_owned(), source }
}

impl<W: Write + Send> Observer for CaptureRecorder<W> {
    fn submitted(&mut self, picture: &Submitted<'_>) {
        let mut state = self.lock();
        if state.failed.is_some() || state.begun_pictures >= state.limit {
            return;
        }
        if let Err(failure) = state.submitted(picture) {
            state.failed = Some(failure);
        }
    }
}

impl<W: Write> State<W> {
    fn write<T>(&mut self, call: impl FnOnce(&mut CaptureWriter<W>) -> io::Result<T>) -> Option<T> {
        let writer = self.writer.as_mut().filter(|_| self.failed.is_none())?;
        match call(writer) {
            Ok(value) => Some(value),
            Err(error) => {
                self.failed = Some(writing(error));
                None
            }
        }
    }

    fn submitted(&mut self, submitted: &Submitted<'_>) -> Result<(), Failure> {
        let Some(codec) = CodecRow::of_application(submitted.application_id()) else {
            let what =
                format!("application id {} is of no codec that can be recorded", submitted.application_id());
            return Err(nvdec::Error::Hardware(what).into());
        };
        let index = self.written + self.pending.len();
        let (record, target) = (submitted.record(), submitted.target());
        let geometry = *target.geometry();
        // First of all, so that nothing of what follows is waited for by an engine.
        self.fetcher.fetch(index, target, submitted.point())?;
        self.begun_pictures += 1;
        self.memory.begin(&geometry);
        let mut methods = Vec::new();
        let mut bitstream = Vec::new();
        for (method, memory) in submitted.operands() {
            let to = if is_input(codec, method, &memory) {
                let data = host_data(codec, method, &memory, submitted)?;
                if method == video::SET_IN_BUF_BASE_OFFSET {
                    bitstream.clone_from(&data);
                }
                let Some(to) = self.write(|writer| writer.data(&data)) else { return Ok(()) };
                to
            } else {
                self.memory.other(&memory)
            };
            methods.push(MethodRecord { method, to });
        }
        let point = submitted.point();
        let target = self.memory.surface(target);
        let places: Vec<_> = submitted.pictures().iter().map(|(p, s)| (*p, self.memory.surface(s))).collect();
        let (collocated, motion) = self.moved(index as u32, submitted, &methods, target, &places);
        let picture = Picture {
            number: record.number,
            poc: record.poc,
            engine: point.timeline().engine().to_string(),
            point: point.value(),
            codec: codec.name.to_owned(),
            application_id: submitted.application_id(),
            control_params: submitted.control_params(),
            nal_units: self.nal_units_before(&bitstream),
            surface: SurfaceShape::of(&geometry),
            methods,
            target,
            places,
            collocated,
            motion,
            waits: submitted.waits().iter().map(|wait| self.wait(wait)).collect(),
            status: None,
            hashes: None,
            error: None,
        };
        self.points.push((point.timeline().clone(), point.value(), index as u32));
        let blocks = geometry.width.div_ceil(16) * geometry.height.div_ceil(16);
        self.pending.push_back(Pending { picture, record: record.clone(), blocks });
        while let Some(fetched) = self.fetcher.try_take() {
            self.arrived(fetched);
        }
        Ok(())
    }

    /// The places whose motion vectors a picture takes, and what was moved for it.
    fn moved(
        &mut self,
        index: u32,
        submitted: &Submitted<'_>,
        methods: &[MethodRecord],
        target: u32,
        places: &[(u8, u32)],
    ) -> (Option<Vec<u8>>, Vec<MotionCopy>) {
        let found = methods.iter().find(|m| m.method == video::SET_COLOC_DATA_OFFSET).map(|m| &m.to);
        let setup = submitted.operand(video::SET_DRV_PIC_SETUP_OFFSET);
        let slot = setup.and_then(|setup| setup.read(hevc_pic::SIZE as u64).ok()).and_then(|bytes| {
            let blocks = hevc_pic::colMvBuffersize.read(&bytes, 0).ok()?;
            u64::try_from(blocks * 256).ok()
        });
        let own = submitted.pictures().iter().find(|(_, surface)| surface.same(submitted.target()));
        let (Some(&Pointee::Memory { id, offset, .. }), Some(slot), Some((place, _)), Some(_)) =
            (found, slot, own, submitted.motion())
        else {
            return (None, Vec::new());
        };
        let sources: Vec<u64> = submitted.collocated().map(|source| source as u64 * slot).collect();
        let motion = Motion { window: (id, offset), slot, place: *place, target, places, sources: &sources };
        let (collocated, copies) = self.motion.picture(index, &motion);
        (Some(collocated), copies)
    }

    /// How many NAL units came before the picture that these slice data begin.
    fn nal_units_before(&mut self, bitstream: &[u8]) -> u32 {
        // Behind a start code of four bytes.
        let slice = bitstream.get(4..).unwrap_or(&[]);
        match self.begun.iter().position(|(key, _)| slice.starts_with(key)) {
            Some(at) => {
                self.begun.drain(..at);
                self.begun.pop_front().expect("found above").1
            }
            None => self.nal_units,
        }
    }

    fn wait(&self, wait: &SyncPoint) -> Wait {
        let found =
            self.points.iter().rev().find(|(timeline, value, _)| {
                *value == wait.value() && Arc::ptr_eq(timeline, wait.timeline())
            });
        match found {
            Some((.., picture)) => Wait::Picture(*picture),
            None => Wait::Other(format!("{wait:?}")),
        }
    }

    /// Takes a result, and writes the pictures that are complete.
    fn arrived(&mut self, fetched: Fetched) {
        self.results.insert(fetched.index, fetched.result);
        while let Some(result) = self.results.remove(&self.written) {
            let Some(Pending { mut picture, record, blocks }) = self.pending.pop_front() else { return };
            self.written += 1;
            picture.status = record.outcome().map(|outcome| outcome.status.into());
            match result {
                Ok(hashes) => {
                    let Some(blob) = self.write(|writer| writer.blob(&hashes.block_bytes())) else { return };
                    picture.hashes = Some(Hashes { md5: hashes.md5, blocks: blob });
                }
                Err(error) => (picture.error, picture.status) = (Some(error), None),
            }
            if !picture.status.is_some_and(|status| status.is_good(blocks)) {
                self.in_error += 1;
            }
            if self.write(|writer| writer.picture(&picture)).is_none() {
                return;
            }
        }
        // No picture waits for points long past.
        if self.points.len() > 4096 {
            self.points.drain(..2048);
        }
    }
}

/// What the engine reads of host memory.
fn host_data(
    codec: &CodecRow,
    method: u32,
    memory: &EngineMemory,
    submitted: &Submitted<'_>,
) -> Result<Vec<u8>, Failure> {
    let bytes = match codec.holds(method) {
        Some(Holds::Data(bytes)) => bytes as u64,
        Some(Holds::Slices) => {
            let table = &codec.descriptor;
            let setup = submitted.operand(video::SET_DRV_PIC_SETUP_OFFSET);
            let descriptor = setup.map(|setup| setup.read(table.size as u64)).transpose()?;
            let length = descriptor.and_then(|bytes| table.stream_len.read(&bytes, 0).ok());
            length.unwrap_or(0) as u64 + audit::BITSTREAM_SLACK as u64
        }
        Some(Holds::Memory) | None => UNKNOWN_BYTES,
    };
    Ok(memory.read(bytes)?)
}

/// Whether a method points at what the engine reads, rather than at what it works in.
fn is_input(codec: &CodecRow, method: u32, buffer: &EngineMemory) -> bool {
    // What is uploaded is host memory.
    codec.holds(method).map_or(buffer.placement() == Placement::Sysmem, |holds| holds != Holds::Memory)
}
