//! [`Decoding`]: pictures of a file by their numbers, as [`Tensor`]s. [`Stream`]: one batch after the other.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use hcq::{CopyCommands, Placement, SyncPoint};
use nvdec::tensor::{Conversions, Converter, TensorPicture, TensorShape, TensorSpec};
use nvdec::video::Selection;
use nvdec::{
    Decoder, DecoderOptions, EngineKind, EngineSet, EngineType, Engines, Frame, Frames, Next, Video,
};
use pyo3::prelude::*;

use crate::door::{Owned, away, enter, lock};
use crate::error::{Failure, Kind, Result};
use crate::gpu::{Chosen, Gpu, Reader, User};
use crate::memory::Place;
use crate::source::File;
use crate::tensor::Tensor;
use crate::wanted::{Name, Wanted};

/// So many pictures are on their way behind the batch that is given, and in so many bytes, but one batch always: engines that
/// have nothing to do until somebody asks run dry. On an H200 64 pictures of 224x224 were 6 % slower and 256 no faster; 512 MiB of
/// 1080p in float16 were a third slower, 2 GiB no faster.
const AHEAD: usize = 128;
const AHEAD_BYTES: u64 = 1 << 30;
/// After so many pictures it is asked whether the user wants to stop.
const SIGNALS: usize = 16;

/// What is done with pictures that are not what their encoder made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnError {
    Raise,
    Mark,
    Skip,
}

/// Decodes pictures of a file on a device.
#[pyclass(frozen, module = "nvdec._core")]
#[derive(Debug)]
pub(crate) struct Decoding {
    inner: Arc<Owned<Inner>>,
    /// Held by the thread that decodes.
    busy: Arc<Mutex<()>>,
}

#[derive(Debug)]
struct Inner {
    // Decoders before what they are of.
    home: Arc<Home>,
    converter: Converter,
    /// Until it is closed: who opens the next one takes the device that is free then.
    user: Mutex<Option<User>>,
    /// By which the device was asked for.
    name: Name,
    gpu: Arc<Gpu>,
    video: Video,
    options: DecoderOptions,
    on_error: OnError,
    is_closed: AtomicBool,
    /// What the last picture became.
    shape: Mutex<Option<TensorShape>>,
}

/// Decoders that nobody uses: one, as long as a video is not read in two places at a time. Each with what it was last asked for.
#[derive(Debug, Default)]
struct Home(Mutex<Vec<Frames<Decoder, Selection>>>);

/// Frames of certain pictures, one batch after the other. The decoder goes home afterwards.
#[derive(Debug)]
struct Running {
    frames: Option<Frames<Decoder, Selection>>,
    home: Arc<Home>,
    is_good: bool,
    /// One that belongs into the next batch.
    early: Option<Frame>,
}

impl Running {
    fn frames(&mut self) -> &mut Frames<Decoder, Selection> {
        self.frames.as_mut().expect("it is there until it goes home")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.early = None;
        let Some(mut frames) = self.frames.take().filter(|_| self.is_good) else { return };
        frames.decoder().reset();
        let mut home = lock(&self.home.0);
        if home.is_empty() {
            home.push(frames);
        }
    }
}

/// Pictures that are being converted, and what is known of them.
#[derive(Debug)]
pub(crate) struct Converted {
    place: Place,
    shape: TensorShape,
    /// The numbers of the pictures, in the order of the batch.
    numbers: Vec<usize>,
    ready: Vec<SyncPoint>,
    /// What is wrong with each picture that came out.
    seen: BTreeMap<usize, Option<String>>,
    /// Those of which it is not known yet.
    watched: Vec<(usize, TensorPicture)>,
    /// What the decoder said besides.
    notes: Vec<String>,
}

/// Pictures whose conversion is being submitted.
struct Begun<'a> {
    /// There until it is taken.
    converted: Option<Converted>,
    /// What still uses the memory.
    waits: Vec<SyncPoint>,
    conversions: Conversions<'a>,
}

impl Begun<'_> {
    /// The pictures, and what has to be waited for before others are written to their memory.
    fn take(mut self) -> (Converted, Vec<SyncPoint>) {
        self.note();
        (self.converted.take().expect("it is taken once"), std::mem::take(&mut self.waits))
    }

    /// The memory is in use until what was submitted is done.
    fn note(&mut self) {
        if let Some(converted) = &mut self.converted {
            self.conversions.ready().iter().for_each(|point| converted.add_ready(point.clone()));
        }
    }
}

impl Drop for Begun<'_> {
    /// Whatever went wrong.
    fn drop(&mut self) {
        self.note();
    }
}

impl Converted {
    /// Sees what became of the pictures, which `decoder` decoded.
    fn see(&mut self, decoder: Option<&mut Decoder>) -> Result<()> {
        TensorPicture::wait_all(self.watched.iter().map(|(_, picture)| picture))?;
        // It reads what the engines say of several pictures at once; below it would be one by one.
        decoder.map(Decoder::statistics);
        for (number, picture) in self.watched.drain(..) {
            let integrity = picture.integrity()?;
            self.seen.insert(number, (!integrity.is_exact()).then(|| integrity.to_string()));
        }
        Ok(())
    }

    fn add_ready(&mut self, point: SyncPoint) {
        self.place.use_until(&point);
        self.ready.retain(|known| {
            !Arc::ptr_eq(known.timeline(), point.timeline()) || known.value() > point.value()
        });
        self.ready.push(point);
    }
}

impl Inner {
    fn is_open(&self) -> Result<()> {
        if self.is_closed.load(Ordering::Relaxed) {
            return Err(Failure::new(Kind::Closed, "the video is closed"));
        }
        Ok(())
    }

    fn begin(&self, numbers: impl IntoIterator<Item = usize>) -> Result<Running> {
        self.is_open()?;
        let selection = self.video.select(numbers)?;
        let known = lock(&self.home.0).pop();
        let frames = match known {
            Some(mut frames) => {
                frames.go_on_with(selection);
                frames
            }
            None => {
                let decoder = Decoder::new(self.gpu.context(), self.video.codec(), self.options)?;
                decoder.into_frames(selection)
            }
        };
        Ok(Running { frames: Some(frames), home: self.home.clone(), is_good: true, early: None })
    }

    /// Converts the next pictures of `running` that are among `numbers`, each to all of its places. `to_end` if no others come.
    ///
    /// The memory is taken when the first picture says how large it is.
    fn convert(&self, running: &mut Running, numbers: Vec<usize>, to_end: bool) -> Result<Converted> {
        let mut places: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (place, &number) in numbers.iter().enumerate() {
            places.entry(number).or_default().push(place);
        }
        let mut notes = Vec::new();
        let mut begun: Option<Begun<'_>> = None;
        self.fill(&mut begun, running, &numbers, &mut places, &mut notes, to_end)?;
        let (mut converted, waits) = match begun {
            Some(begun) => begun.take(),
            None => self.place(&numbers, self.expected()?)?,
        };
        converted.notes = notes;
        if self.on_error != OnError::Skip {
            for place in places.into_values().flatten() {
                self.clear(&mut converted, place, &waits)?;
            }
        }
        Ok(converted)
    }

    /// Has those conversions submitted, and takes from `places` what comes out.
    fn fill<'a>(
        &'a self,
        begun: &mut Option<Begun<'a>>,
        running: &mut Running,
        numbers: &[usize],
        places: &mut BTreeMap<usize, Vec<usize>>,
        notes: &mut Vec<String>,
        to_end: bool,
    ) -> Result<()> {
        let last = places.keys().next_back().copied().unwrap_or(0);
        let mut count = 0usize;
        while to_end || !places.is_empty() {
            let next = self.next_frame(begun, running);
            while let Some(error) = running.frames().take_error() {
                notes.push(error.to_string());
            }
            let frame = match next {
                Ok(None) => break,
                Ok(Some(frame)) => frame,
                Err(error) if error.is_picture_error() => {
                    notes.push(error.to_string());
                    continue;
                }
                Err(error) => return Err(self.failed(running, error.into())),
            };
            let Some(number) = frame.opaque().map(|number| number as usize) else { continue };
            if number > last {
                running.early = Some(frame);
                break;
            }
            let Some(to) = places.remove(&number) else { continue };
            let converted = self.convert_one(begun, numbers, number, &frame, &to);
            converted.map_err(|failure| self.failed(running, failure))?;
            count += 1;
            if count.is_multiple_of(SIGNALS) {
                Python::attach(|py| py.check_signals())?;
            }
        }
        if let Some(Begun { conversions, .. }) = begun {
            conversions.submit().map_err(|error| self.failed(running, error.into()))?;
        }
        Ok(())
    }

    /// The next frame that comes out, `None` at the end.
    fn next_frame(
        &self,
        begun: &mut Option<Begun<'_>>,
        running: &mut Running,
    ) -> Result<Option<Frame>, nvdec::Error> {
        if let Some(frame) = running.early.take() {
            return Ok(Some(frame));
        }
        loop {
            match running.frames().try_next()? {
                Next::Frame(frame) => return Ok(Some(frame)),
                Next::End => return Ok(None),
                Next::Full => {
                    // Frames that are not converted yet have surfaces too.
                    let open = begun.as_mut().map(|begun| begun.conversions.submit()).transpose()?;
                    if open != Some(true) {
                        // It takes memory for another one.
                        return running.frames().next().transpose();
                    }
                }
            }
        }
    }

    fn convert_one<'a>(
        &'a self,
        begun: &mut Option<Begun<'a>>,
        numbers: &[usize],
        number: usize,
        frame: &Frame,
        to: &[usize],
    ) -> Result<()> {
        let begun = match begun {
            Some(begun) => begun,
            None => {
                let (converted, waits) = self.place(numbers, self.converter.shape_of(frame)?)?;
                let conversions = self.converter.conversions(converted.place.buffer(), &waits);
                begun.insert(Begun { converted: Some(converted), waits, conversions })
            }
        };
        to.iter().try_for_each(|&place| begun.conversions.push(place, frame)).map_err(|error| match error {
            nvdec::Error::OtherShape { given, wanted } => {
                let text = format!(
                    "picture {number} becomes {given}, others of its batch {wanted}: the video changes its size; open it with size=(height, width)"
                );
                Failure::new(Kind::Unsupported, text)
            }
            error => error.into(),
        })?;
        let converted = begun.converted.as_mut().expect("it was not taken");
        converted.watched.push((number, TensorPicture::new(frame)));
        Ok(())
    }

    /// What pictures become, before one is there.
    fn expected(&self) -> Result<TensorShape> {
        if let Some(shape) = &*lock(&self.shape) {
            return Ok(shape.clone());
        }
        let window = self.video.index().window();
        Ok(TensorShape::for_picture(self.converter.spec(), window.width, window.height)?)
    }

    /// Memory for those pictures, and what has to be waited for before it is written.
    fn place(&self, numbers: &[usize], shape: TensorShape) -> Result<(Converted, Vec<SyncPoint>)> {
        *lock(&self.shape) = Some(shape.clone());
        let bytes = shape.bytes().checked_mul(numbers.len() as u64);
        let bytes = bytes
            .ok_or_else(|| Failure::new(Kind::OutOfMemory, "the batch is larger than an address space"))?;
        let (place, waits) = Place::new(&self.gpu, bytes)?;
        let converted = Converted {
            place,
            shape,
            numbers: numbers.to_vec(),
            ready: Vec::new(),
            seen: BTreeMap::new(),
            watched: Vec::new(),
            notes: Vec::new(),
        };
        Ok((converted, waits))
    }

    /// Black, where nothing came out: what lay there before is nobody's business.
    fn clear(&self, converted: &mut Converted, place: usize, waits: &[SyncPoint]) -> Result<()> {
        let bytes = converted.shape.bytes();
        let zeros = self.gpu.context().allocate(bytes, Placement::Sysmem)?;
        zeros.view()?.fill(0, bytes as usize, 0);
        let mut commands = CopyCommands::new();
        commands.copy(&zeros, &converted.place.buffer().slice(place as u64 * bytes, bytes))?;
        let point = self.gpu.context().copy_queue()?.submit(waits, &commands)?;
        converted.add_ready(point);
        Ok(())
    }

    /// What is done about a failure before it is told.
    fn failed(&self, running: &mut Running, failure: Failure) -> Failure {
        running.is_good = false;
        if matches!(&failure, Failure::Decoder(nvdec::Error::Gpu(hcq::Error::GpuLost))) {
            self.gpu.forget();
        }
        failure
    }

    /// The batch, once it is known what became of its pictures. `None` if none is left of it.
    fn finish(&self, mut converted: Converted, decoder: Option<&mut Decoder>) -> Result<Option<Tensor>> {
        converted.see(decoder)?;
        let wrong = |number: &usize| match converted.seen.get(number) {
            Some(wrong) => wrong.clone(),
            None => Some(match converted.notes.first() {
                Some(note) => format!("it did not come out: {note}"),
                None => "it did not come out".to_owned(),
            }),
        };
        let mut errors: Vec<Option<String>> = converted.numbers.iter().map(wrong).collect();
        let first =
            errors.iter().zip(&converted.numbers).find_map(|(error, &number)| Some((number, error.clone()?)));
        if let Some((number, error)) = first {
            match self.on_error {
                OnError::Mark => {}
                OnError::Raise => {
                    let text = format!(
                        "picture {number}: {error}; on_error=\"mark\" gives it as it is, on_error=\"skip\" leaves it out"
                    );
                    return Err(Failure::new(Kind::Corrupt, text));
                }
                OnError::Skip => {
                    let kept: Vec<usize> = (0..errors.len()).filter(|&at| errors[at].is_none()).collect();
                    if kept.is_empty() {
                        return Ok(None);
                    }
                    converted = self.compact(&converted, &kept)?;
                    errors = vec![None; kept.len()];
                }
            }
        }
        let Converted { place, shape, numbers, ready, .. } = converted;
        Ok(Some(Tensor::new(place, shape, ready, numbers, errors)))
    }

    /// Pictures at some of the places, in memory of their own.
    fn compact(&self, converted: &Converted, kept: &[usize]) -> Result<Converted> {
        let numbers: Vec<usize> = kept.iter().map(|&at| converted.numbers[at]).collect();
        let (mut compact, mut waits) = self.place(&numbers, converted.shape.clone())?;
        waits.extend(converted.ready.iter().cloned());
        let bytes = converted.shape.bytes();
        let mut commands = CopyCommands::new();
        for (to, &from) in kept.iter().enumerate() {
            let from = converted.place.buffer().slice(from as u64 * bytes, bytes);
            commands.copy(&from, &compact.place.buffer().slice(to as u64 * bytes, bytes))?;
        }
        let point = self.gpu.context().copy_queue()?.submit(&waits, &commands)?;
        converted.place.use_until(&point);
        compact.add_ready(point);
        Ok(compact)
    }

    /// Pictures in the order that is asked for; one that is asked for twice is there twice.
    fn take(&self, numbers: Vec<usize>) -> Result<Option<Tensor>> {
        let attempt = || {
            let mut running = self.begin(numbers.iter().copied())?;
            let converted = self.convert(&mut running, numbers.clone(), true)?;
            self.finish(converted, Some(running.frames().decoder()))
        };
        match attempt() {
            // What is kept for batches to come may be what is missing.
            Err(failure) if failure.is_out_of_memory() && self.gpu.idle().clear() => attempt(),
            outcome => outcome,
        }
    }
}

/// How many batches of so many pictures and bytes are on their way behind the one that is given, where so many read at a time.
pub(crate) fn batches_ahead(pictures: usize, bytes: u64, readers: usize) -> usize {
    let fit = usize::try_from(AHEAD_BYTES / bytes.max(1)).unwrap_or(usize::MAX);
    (AHEAD.div_ceil(pictures.max(1)).min(fit) / readers).max(1)
}

pub(crate) fn engines(numbers: Option<Vec<u32>>) -> Result<Engines> {
    let Some(numbers) = numbers else { return Ok(Engines::All) };
    let engine = |&number: &u32| {
        let engine = EngineType::of(EngineKind::Nvdec, number);
        engine.ok_or_else(|| Failure::new(Kind::Option, format!("engines: there is no NVDEC {number}")))
    };
    let engines: Vec<EngineType> = numbers.iter().map(engine).collect::<Result<_>>()?;
    Ok(Engines::Set(engines.into_iter().collect::<EngineSet>()))
}

impl Decoding {
    /// The one who decodes.
    fn enter(&self) -> Result<(&Inner, MutexGuard<'_, ()>)> {
        // Before the lock, which another thread of the parent may have had when this process was forked off.
        let inner = Owned::get(&self.inner)?;
        Ok((inner, enter(&self.busy)?))
    }
}

#[pymethods]
impl Decoding {
    #[new]
    #[pyo3(signature = (file, devices, spec, on_error, engines, memory))]
    fn new(
        py: Python<'_>,
        file: &Bound<'_, File>,
        devices: Vec<String>,
        spec: &str,
        on_error: &str,
        engines: Option<Vec<u32>>,
        memory: Option<u64>,
    ) -> PyResult<Decoding> {
        let video = file.get().video().clone();
        away(py, || {
            let spec: TensorSpec = spec.parse()?;
            let on_error = match on_error {
                "raise" => OnError::Raise,
                "mark" => OnError::Mark,
                "skip" => OnError::Skip,
                other => {
                    let text = format!("on_error: {other:?} is none of raise, mark and skip");
                    return Err(Failure::new(Kind::Option, text));
                }
            };
            let engines = self::engines(engines)?;
            let Chosen { gpu, name, user } = Gpu::open(&Wanted::parse(&devices)?)?;
            if let Some(memory) = memory {
                gpu.context().set_memory_limit(Some(memory));
            }
            let present = gpu.context().engines();
            let count = match engines {
                Engines::Set(set) => {
                    if let Some(missing) = set.iter().find(|engine| !present.contains(engine)) {
                        let names: Vec<_> = present.iter().map(ToString::to_string).collect();
                        let text =
                            format!("engines: there is no {missing}; the GPU has {}", names.join(", "));
                        return Err(Failure::new(Kind::Option, text));
                    }
                    set.len()
                }
                _ => present.len(),
            };
            if count == 0 {
                return Err(Failure::new(Kind::Option, "engines: none is named"));
            }
            let options = DecoderOptions::default().with_engines(engines).with_tensors(true);
            let inner = Inner {
                home: Arc::default(),
                converter: Converter::new(gpu.context(), &spec)?,
                user: Mutex::new(Some(user)),
                name,
                gpu,
                video,
                options,
                on_error,
                is_closed: AtomicBool::new(false),
                shape: Mutex::default(),
            };
            Ok(Decoding { inner: Arc::new(Owned::new(inner)), busy: Arc::default() })
        })
    }

    /// By the name that it was asked for by: `cuda:N`, `nv:N`, `emulated` or `emulated:N`.
    #[getter]
    fn device(&self) -> PyResult<String> {
        Ok(Owned::get(&self.inner)?.name.to_string())
    }

    /// What a picture becomes, as far as the index tells.
    fn shape(&self) -> PyResult<[usize; 3]> {
        Ok(Owned::get(&self.inner)?.expected()?.dims())
    }

    /// Pictures by their numbers.
    fn take(&self, py: Python<'_>, numbers: Vec<usize>) -> PyResult<Option<Tensor>> {
        let (inner, _guard) = self.enter()?;
        away(py, || inner.take(numbers))
    }

    /// Pictures whose numbers grow, so many at a time.
    fn stream(&self, numbers: Vec<usize>, size: usize) -> PyResult<Stream> {
        Owned::get(&self.inner)?.is_open()?;
        let state = State {
            numbers: numbers.into(),
            size: size.max(1),
            running: None,
            pending: VecDeque::new(),
            reader: None,
            most: usize::MAX,
            failed: None,
        };
        let state = Owned::new(Mutex::new(state));
        Ok(Stream { state, inner: self.inner.clone(), busy: self.busy.clone() })
    }

    /// Lets go of decoders. What was decoded stays.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let (inner, _guard) = self.enter()?;
        inner.is_closed.store(true, Ordering::Relaxed);
        away(py, || {
            let decoders = std::mem::take(&mut *lock(&inner.home.0));
            drop(decoders);
            *lock(&inner.user) = None;
            Ok(())
        })
    }
}

/// Batches of pictures, one after the other. Those that follow are on their way when one is given.
#[pyclass(frozen, module = "nvdec._core")]
#[derive(Debug)]
pub(crate) struct Stream {
    // Its decoder goes home before the home goes.
    state: Owned<Mutex<State>>,
    inner: Arc<Owned<Inner>>,
    busy: Arc<Mutex<()>>,
}

#[derive(Debug)]
struct State {
    numbers: VecDeque<usize>,
    size: usize,
    running: Option<Running>,
    pending: VecDeque<Converted>,
    /// As long as pictures are on their way.
    reader: Option<Reader>,
    /// As many batches behind the one that is asked for as there was memory for.
    most: usize,
    /// What went wrong behind the last batch that is pending.
    failed: Option<Failure>,
}

impl State {
    /// Begins the next batch.
    fn submit(&mut self, inner: &Inner) -> Result<Option<Converted>> {
        if self.numbers.is_empty() {
            // The decoder is free for others.
            self.running = None;
            self.reader = None;
            return Ok(None);
        }
        self.reader.get_or_insert_with(|| inner.gpu.read());
        let size = self.size.min(self.numbers.len());
        let numbers: Vec<usize> = self.numbers.drain(..size).collect();
        let mut attempt = || {
            let running = match &mut self.running {
                Some(running) => running,
                running => running.insert(inner.begin(numbers.iter().chain(&self.numbers).copied())?),
            };
            let converted = inner.convert(running, numbers.clone(), false);
            if converted.is_err() {
                self.running = None;
            }
            converted.map(Some)
        };
        let outcome = match attempt() {
            // What is kept for batches to come may be what is missing. It goes on at the last key picture.
            Err(failure) if failure.is_out_of_memory() && inner.gpu.idle().clear() => attempt(),
            outcome => outcome,
        };
        if outcome.is_err() {
            // They are still to come.
            numbers.iter().rev().for_each(|&number| self.numbers.push_front(number));
        }
        outcome
    }

    fn next(&mut self, inner: &Inner) -> Result<Option<Tensor>> {
        inner.is_open()?;
        loop {
            // The one that is asked for, and those behind it.
            while self.failed.is_none() && self.pending.len() <= self.ahead() {
                match self.submit(inner) {
                    Ok(Some(next)) => self.pending.push_back(next),
                    Ok(None) => break,
                    // It goes on when those before it are gone.
                    Err(failure) if failure.is_out_of_memory() && !self.pending.is_empty() => {
                        self.most = self.pending.len() - 1;
                    }
                    Err(failure) if failure.is_interrupt() => return Err(failure),
                    Err(failure) => self.failed = Some(failure),
                }
            }
            let Some(now) = self.pending.pop_front() else {
                self.numbers.clear();
                self.running = None;
                self.reader = None;
                return self.failed.take().map_or(Ok(None), Err);
            };
            let decoder = self.running.as_mut().map(|running| running.frames().decoder());
            match inner.finish(now, decoder) {
                // All of it was left out.
                Ok(None) => {}
                finished => return finished,
            }
        }
    }

    /// Batches that are on their way behind the one that is asked for.
    fn ahead(&self) -> usize {
        let Some(first) = self.pending.front() else { return 1 };
        let gpu = first.place.gpu();
        batches_ahead(self.size, first.place.buffer().size(), gpu.readers()).min(self.most)
    }
}

#[pymethods]
impl Stream {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Tensor>> {
        let state = self.state.get()?;
        let inner = Owned::get(&self.inner)?;
        let _guard = enter(&self.busy)?;
        away(py, || lock(state).next(inner))
    }
}
