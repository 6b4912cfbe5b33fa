//! [`ClipLoader`]: clips of many files as batches, decoded ahead of the caller on all engines of one GPU, or of several in turn.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use hcq::SyncPoint;
use nvdec::tensor::{Converter, TensorPicture, TensorShape, TensorSpec};
use nvdec::video::{Clip, Files, PastEnd, Sampling};
use nvdec::{Decoder, DecoderOptions, Engines, Video};
use pyo3::prelude::*;

use crate::decode::engines;
use crate::door::{Owned, away, enter, lock};
use crate::error::{Failure, Kind, Result};
use crate::gpu::{Chosen, Gpu, User};
use crate::memory::Place;
use crate::tensor::Tensor;
use crate::wanted::{Name, Wanted};

/// Most pictures of a batch.
const MOST_PICTURES: usize = 1 << 24;

/// Which file, which of its clips, the numbers of its pictures, and when they are shown, in seconds.
type Taken = (usize, usize, Vec<usize>, Option<Vec<f64>>);

/// Clips of many files.
#[pyclass(frozen, module = "nvdec._core")]
#[derive(Debug)]
pub(crate) struct ClipLoader {
    state: Owned<Mutex<State>>,
    busy: Mutex<()>,
    /// Clips of the epoch and rank.
    count: usize,
}

#[derive(Debug)]
struct State {
    // Batches before what they are of.
    ahead: VecDeque<Begun>,
    /// What went wrong behind the last one.
    failed: Option<Failure>,
    files: Files,
    sampling: Sampling,
    options: DecoderOptions,
    clips: Vec<Clip>,
    /// Clips that were begun, and that were handed out.
    begun: usize,
    position: usize,
    batch: usize,
    prefetch: usize,
    drop_last: bool,
    /// The text of a spec, but for the orientation, and that if it is the same for all files.
    spec: (String, Option<String>),
    lanes: Vec<Lane>,
    /// The one that decodes the next batch.
    turn: usize,
}

/// A GPU, and what is made for it.
#[derive(Debug)]
struct Lane {
    /// By orientation.
    converters: BTreeMap<String, Arc<Converter>>,
    _user: User,
    /// By which it was asked for.
    name: Name,
    gpu: Arc<Gpu>,
}

/// A batch that is being converted.
#[derive(Debug)]
struct Begun {
    place: Place,
    shape: TensorShape,
    ready: Vec<SyncPoint>,
    pictures: Vec<TensorPicture>,
    taken: Vec<Taken>,
    failures: Vec<(usize, String)>,
    /// Clips that were handed out once this is.
    position: usize,
    /// Which of the GPUs has it.
    lane: usize,
}

impl State {
    fn converter(&mut self, video: &Video) -> Result<Arc<Converter>> {
        let (spec, fixed) = &self.spec;
        let rotation = || match video.track().rotation() {
            Some(rotation) => Ok(if rotation == 0 { "auto".to_owned() } else { rotation.to_string() }),
            None => Err(Failure::new(
                Kind::Unsupported,
                "the container has pictures mirrored; name an orientation, or \"none\"",
            )),
        };
        let orientation = fixed.clone().map_or_else(rotation, Ok)?;
        let lane = &mut self.lanes[self.turn];
        if let Some(known) = lane.converters.get(&orientation) {
            return Ok(known.clone());
        }
        let spec: TensorSpec = format!("{spec},orientation={orientation}").parse()?;
        let made = Arc::new(Converter::new(lane.gpu.context(), &spec)?);
        lane.converters.insert(orientation, made.clone());
        Ok(made)
    }

    /// The file of the clip that is begun next.
    fn open(&mut self) -> Result<Video> {
        let State { files, clips, begun, .. } = self;
        let mut next = clips[*begun..].iter().map(|clip| clip.video);
        match next.next() {
            Some(file) => files.get(file, next).map_err(|error| match error {
                // The one error that Python has a name for.
                nvdec::Error::Source { source } => {
                    Failure::Io { path: Some(files.paths()[file].display().to_string()), error: source }
                }
                error => error.into(),
            }),
            None => Err(Failure::new(Kind::Open, "no clip is left")),
        }
    }

    /// Begins the next batch. `None` if no clips are left for one.
    fn submit(&mut self) -> Result<Option<Begun>> {
        let mut filled: Option<(Begun, Vec<SyncPoint>)> = None;
        let (first, mut failures) = (self.begun, Vec::new());
        while let Some(&clip) = self.clips.get(self.begun)
            && filled.as_ref().is_none_or(|(begun, _)| begun.taken.len() < self.batch)
        {
            match self.take(clip, &mut filled) {
                Ok(()) => {}
                // What concerns all of them. Those of this batch are still to come.
                Err(failure) if !failure.is_of_a_file() => {
                    self.begun = first;
                    return Err(failure);
                }
                Err(failure) => failures.push((clip.video, failure.to_string())),
            }
            self.begun += 1;
        }
        match filled {
            Some((begun, _)) if !begun.taken.is_empty() => {
                let is_wanted = begun.taken.len() == self.batch || !self.drop_last;
                Ok(is_wanted.then(|| Begun { failures, position: self.begun, ..begun }))
            }
            // Without a batch to say it.
            _ => match &failures[..] {
                [] => Ok(None),
                [(video, text), others @ ..] => {
                    let mut text = format!("{}: {text}", self.files.paths()[*video].display());
                    if !others.is_empty() {
                        text += &format!("; and {} more clips, up to the end of the epoch", others.len());
                    }
                    Err(Failure::new(Kind::Corrupt, text))
                }
            },
        }
    }

    /// Decodes a clip to the next places of a batch.
    fn take(&mut self, clip: Clip, filled: &mut Option<(Begun, Vec<SyncPoint>)>) -> Result<()> {
        let video = self.open()?;
        let numbers = self.sampling.numbers(clip, video.len())?;
        let converter = self.converter(&video)?;
        let window = video.index().window();
        let shape = TensorShape::for_picture(converter.spec(), window.width, window.height)?;
        let other = |made: &TensorShape, wanted: &TensorShape| {
            let text = format!("its pictures become {made}, those before them {wanted}; give a size");
            Failure::new(Kind::Unsupported, text)
        };
        // Of those for which it was made, none came out.
        if filled.as_ref().is_some_and(|(begun, _)| begun.taken.is_empty() && begun.shape != shape) {
            *filled = None;
        }
        let (begun, waits) = match filled {
            Some((begun, _)) if begun.shape != shape => return Err(other(&shape, &begun.shape)),
            Some(filled) => filled,
            None => {
                let pictures = (self.batch * self.sampling.frames) as u64;
                let bytes = shape.bytes().checked_mul(pictures).ok_or_else(|| {
                    Failure::new(Kind::OutOfMemory, "the batch is larger than an address space")
                })?;
                let (place, waits) = Place::new(&self.lanes[self.turn].gpu, bytes)?;
                filled.insert((
                    Begun {
                        place,
                        shape,
                        ready: Vec::new(),
                        pictures: Vec::new(),
                        taken: Vec::new(),
                        failures: Vec::new(),
                        position: 0,
                        lane: self.turn,
                    },
                    waits,
                ))
            }
        };
        let bytes = begun.shape.bytes() * self.sampling.frames as u64;
        let target = begun.place.buffer().slice(begun.taken.len() as u64 * bytes, bytes);
        let mut decoder = Decoder::new(self.lanes[self.turn].gpu.context(), video.codec(), self.options)?;
        let converted = video.convert(&mut decoder, &converter, &numbers, &target, waits);
        let converted = converted.map_err(|error| match error {
            nvdec::Error::Gpu(hcq::Error::TooLarge { .. }) => {
                Failure::new(Kind::Unsupported, "its pictures become larger than its first one; give a size")
            }
            error => error.into(),
        })?;
        if let Some(made) = converted.shape.filter(|made| *made != begun.shape) {
            // What comes to the place next is written behind it, be that of this batch or of another.
            converted.ready.iter().for_each(|point| begun.place.use_until(point));
            waits.extend(converted.ready);
            return Err(other(&made, &begun.shape));
        }
        for point in converted.ready {
            begun.place.use_until(&point);
            begun.ready.push(point);
        }
        begun.pictures.extend(converted.pictures);
        let index = video.index();
        let seconds = numbers.iter().map(|&number| index.seconds(number)).collect();
        begun.taken.push((clip.video, clip.number, numbers, seconds));
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Given>> {
        // As many for each GPU.
        while self.failed.is_none() && self.ahead.len() < (self.prefetch + 1) * self.lanes.len() {
            match self.submit() {
                Ok(Some(begun)) => {
                    self.ahead.push_back(begun);
                    self.turn = (self.turn + 1) % self.lanes.len();
                }
                Ok(None) => break,
                // What is kept for batches to come may be what is missing.
                Err(failure) if failure.is_out_of_memory() && self.lanes[self.turn].gpu.idle().clear() => {}
                // A GPU takes descriptors as well.
                Err(failure) if failure.is_out_of_descriptors() && self.files.release() => {}
                // It goes on when those before it are gone.
                Err(failure) if failure.is_out_of_memory() && !self.ahead.is_empty() => break,
                // What is there comes first.
                Err(failure) => self.failed = Some(failure),
            }
        }
        let Some(begun) = self.ahead.pop_front() else { return self.failed.take().map_or(Ok(None), Err) };
        let Begun { place, shape, ready, pictures, taken, failures, position, lane } = begun;
        TensorPicture::wait_all(&pictures)?;
        let errors = pictures.iter().map(|picture| {
            let integrity = picture.integrity()?;
            Ok((!integrity.is_exact()).then(|| integrity.to_string()))
        });
        let errors = errors.collect::<Result<Vec<_>>>()?;
        self.position = position;
        let numbers = taken.iter().flat_map(|(_, _, numbers, _)| numbers).copied().collect();
        let tensor = Tensor::new(place, shape, ready, numbers, errors).in_clips_of(self.sampling.frames);
        Ok(Some((tensor, taken, failures, lane)))
    }
}

/// A batch, its clips, files that failed, and which of the devices has it.
type Given = (Tensor, Vec<Taken>, Vec<(usize, String)>, usize);

#[pymethods]
impl ClipLoader {
    #[new]
    #[pyo3(signature = (paths, devices, spec, orientation, engine_numbers, memory, sampling, batch, prefetch, position, drop_last))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        paths: Vec<PathBuf>,
        devices: Vec<String>,
        spec: String,
        orientation: Option<String>,
        engine_numbers: Option<Vec<u32>>,
        memory: Option<u64>,
        sampling: (usize, usize, usize, &str, bool, u64, u64, usize, usize),
        batch: usize,
        prefetch: usize,
        position: usize,
        drop_last: bool,
    ) -> PyResult<ClipLoader> {
        away(py, || {
            let (frames, stride, per_video, policy, shuffle, seed, epoch, rank, world) = sampling;
            let past_end = match policy {
                "repeat_last" => PastEnd::RepeatLast,
                "wrap" => PastEnd::Wrap,
                "error" => PastEnd::Error,
                other => {
                    let text = format!("policy: {other:?} is none of repeat_last, wrap and error");
                    return Err(Failure::new(Kind::Option, text));
                }
            };
            if batch.saturating_mul(frames) > MOST_PICTURES {
                let text = format!("batch: {batch} clips of {frames} pictures are more than {MOST_PICTURES}");
                return Err(Failure::new(Kind::Option, text));
            }
            let sampling =
                Sampling { frames, stride, per_video, past_end, shuffle, seed, epoch, rank, world };
            let chosen = Gpu::open_all(&Wanted::parse(&devices)?)?;
            for one in chosen.iter().filter(|_| memory.is_some()) {
                one.gpu.context().set_memory_limit(memory);
            }
            let lane =
                |Chosen { gpu, name, user }| Lane { converters: BTreeMap::new(), _user: user, name, gpu };
            let engines: Engines = engines(engine_numbers)?;
            let options = DecoderOptions::default().with_engines(engines).with_tensors(true);
            let clips = sampling.clips(paths.len());
            let count = clips.len();
            let position = position.min(count);
            let state = State {
                ahead: VecDeque::new(),
                failed: None,
                files: Files::new(paths),
                sampling,
                options,
                clips,
                begun: position,
                position,
                batch: batch.max(1),
                prefetch: prefetch.min(MOST_PICTURES),
                drop_last,
                spec: (spec, orientation),
                lanes: chosen.into_iter().map(lane).collect(),
                turn: 0,
            };
            Ok(ClipLoader { state: Owned::new(Mutex::new(state)), busy: Mutex::default(), count })
        })
    }

    /// Clips of the epoch and rank.
    fn __len__(&self) -> usize {
        self.count
    }

    /// Each once, by the first name that it was asked for by: `cuda:N`, `nv:N`, `emulated` or `emulated:N`.
    #[getter]
    fn devices(&self) -> PyResult<Vec<String>> {
        let _guard = enter(&self.busy)?;
        Ok(lock(self.state.get()?).lanes.iter().map(|lane| lane.name.to_string()).collect())
    }

    /// Clips that were handed out.
    fn position(&self) -> PyResult<usize> {
        let _guard = enter(&self.busy)?;
        Ok(lock(self.state.get()?).position)
    }

    fn next(&self, py: Python<'_>) -> PyResult<Option<Given>> {
        let state = self.state.get()?;
        let _guard = enter(&self.busy)?;
        away(py, || lock(state).next())
    }
}
