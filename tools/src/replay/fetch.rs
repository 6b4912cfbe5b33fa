//! [`Fetcher`]: hashes of surfaces, taken while the engines go on.
//!
//! A copy of the picture is queued behind the picture itself, and threads wait for it and hash it, so that
//! what an engine waits for is what it would wait for unobserved.

use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hcq::{CopyCommands, DeviceBuffer, PitchPlane, Placement, SyncPoint};
use nvdec::{Context, HostFrame, Surface, SurfaceGeometry};

use super::hash::PlaneHashes;

/// Pictures that may wait for their hashes before the next one is held up, and bytes of their copies.
const WAITING: usize = 24;
const WAITING_BYTES: u64 = 256 << 20;
const THREADS: usize = 4;
/// How long a picture may take before its engine counts as stuck.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What came of a picture.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// As given to [`Fetcher::fetch`].
    pub(crate) index: usize,
    /// The hashes, or why the picture was not finished.
    pub(crate) result: Result<PlaneHashes, String>,
}

struct Job {
    index: usize,
    geometry: SurfaceGeometry,
    buffer: DeviceBuffer,
    decoded: SyncPoint,
    copied: SyncPoint,
}

/// See the [module](self).
pub(crate) struct Fetcher {
    context: Arc<Context>,
    jobs: Option<SyncSender<Job>>,
    results: Receiver<Fetched>,
    buffers: Arc<Buffers>,
    threads: Vec<JoinHandle<()>>,
}

/// Host memory for copies.
#[derive(Default)]
struct Buffers {
    state: Mutex<BufferState>,
    given_back: Condvar,
}

#[derive(Default)]
struct BufferState {
    free: Vec<DeviceBuffer>,
    bytes_in_use: u64,
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "fetcher with {} threads", self.threads.len())
    }
}

/// Bytes per line of either plane, and lines of luma and chroma, of the copy.
fn layout(g: &SurfaceGeometry) -> ([u32; 2], [u32; 2]) {
    let bytes = g.format.bytes_per_sample();
    let (sub_width, sub_height) = g.format.subsampling();
    ([g.width * bytes, 2 * g.width.div_ceil(sub_width) * bytes], [g.height, g.height.div_ceil(sub_height)])
}

impl Fetcher {
    pub(crate) fn new(context: &Arc<Context>) -> Fetcher {
        let (jobs, taken) = mpsc::sync_channel::<Job>(WAITING);
        let (done, results) = mpsc::channel();
        let taken = Arc::new(Mutex::new(taken));
        let buffers = Arc::new(Buffers::default());
        let count = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS);
        let threads = (0..count)
            .map(|_| {
                let (taken, done, buffers) = (taken.clone(), done.clone(), buffers.clone());
                std::thread::spawn(move || work(&taken, &done, &buffers))
            })
            .collect();
        Fetcher { context: context.clone(), jobs: Some(jobs), results, buffers, threads }
    }

    /// Has the picture in `surface`, final at `decoded`, hashed. Waits only while too many are on their way.
    pub(crate) fn fetch(&self, index: usize, surface: &Surface, decoded: &SyncPoint) -> nvdec::Result<()> {
        let geometry = *surface.geometry();
        let (pitches, lines) = layout(&geometry);
        let sizes = [0, 1].map(|i| (u64::from(pitches[i]) * u64::from(lines[i])).next_multiple_of(256));
        let buffer = self.buffer(sizes[0] + sizes[1])?;
        let parts = [buffer.slice(0, sizes[0]), buffer.slice(sizes[0], sizes[1])];
        let mut commands = CopyCommands::new();
        for (i, (plane, part)) in [surface.luma(), surface.chroma()].into_iter().zip(parts).enumerate() {
            let target = PitchPlane { buffer: part, pitch: pitches[i] };
            commands.detile(&plane, &target, pitches[i], lines[i])?;
        }
        let copied = self.context.copy_queue()?.submit(std::slice::from_ref(decoded), commands)?;
        surface.use_until(copied.clone());
        let job = Job { index, geometry, buffer, decoded: decoded.clone(), copied };
        self.jobs.as_ref().expect("open until dropped").send(job).expect("threads end after the sender");
        Ok(())
    }

    fn buffer(&self, size: u64) -> nvdec::Result<DeviceBuffer> {
        let state = self.buffers.state.lock().unwrap_or_else(PoisonError::into_inner);
        let too_much = |s: &mut BufferState| s.bytes_in_use > 0 && s.bytes_in_use + size > WAITING_BYTES;
        let waited = self.buffers.given_back.wait_while(state, too_much);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        // Buffers of another size belong to a sequence that is over.
        state.free.retain(|buffer| buffer.size() >= size && buffer.size() / 2 <= size.max(1 << 16));
        let buffer = match state.free.pop() {
            Some(buffer) => buffer,
            None => self.context.device().allocate(size, Placement::Sysmem)?,
        };
        state.bytes_in_use += buffer.size();
        Ok(buffer)
    }

    /// A result, if there is one.
    pub(crate) fn try_take(&self) -> Option<Fetched> {
        self.results.try_recv().ok()
    }

    /// The next result. One that was asked for comes, if only with an error.
    pub(crate) fn take(&self) -> Fetched {
        self.results.recv().expect("threads answer every job")
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A panic in it was printed already.
            let _ = thread.join();
        }
    }
}

fn work(jobs: &Mutex<Receiver<Job>>, results: &Sender<Fetched>, buffers: &Buffers) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        let index = job.index;
        let result = hash(&job);
        buffers.give_back(job);
        if results.send(Fetched { index, result: result.map_err(|error| error.to_string()) }).is_err() {
            return;
        }
    }
}

impl Buffers {
    fn give_back(&self, job: Job) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.bytes_in_use -= job.buffer.size();
        // A buffer that the copy engine may still write to is not used again.
        if job.copied.is_reached() {
            state.free.push(job.buffer);
        }
        drop(state);
        self.given_back.notify_all();
    }
}

fn hash(job: &Job) -> nvdec::Result<PlaneHashes> {
    // The picture first: a dead engine must not pass for a copy that went well.
    job.decoded.wait(TIMEOUT)?;
    job.copied.wait(TIMEOUT)?;
    let g = &job.geometry;
    let (pitches, lines) = layout(g);
    let view = job.buffer.view()?;
    let plane = |i: usize| vec![0; pitches[i] as usize * lines[i] as usize];
    let (mut luma, mut chroma) = (plane(0), plane(1));
    view.copy_out(0, &mut luma);
    view.copy_out(luma.len().next_multiple_of(256), &mut chroma);
    Ok(PlaneHashes::of(&HostFrame {
        format: g.format,
        left: 0,
        top: 0,
        width: g.width,
        height: g.height,
        luma,
        luma_pitch: pitches[0] as usize,
        chroma,
        chroma_pitch: pitches[1] as usize,
    }))
}
