//! [`Histograms`]: a kernel of our own behind the decoding of each picture.
//!
//! The host submits and goes on: the kernel waits on the GPU for its picture, and the picture's surface is decoded into again
//! only behind the kernel. Results are copied to the host for many pictures at a time, and while a batch is looked at, others
//! are under way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use nvdec::class::Chroma;
use nvdec::hcq::{Arguments, ComputeCommands, CopyCommands, Kernel, Module, Patience};
use nvdec::{Context, DeviceBuffer, Frame, Placement, SurfaceFormat, SyncPoint};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// `kernels/histogram.cu`, compiled for each architecture.
pub(crate) static CUBINS: [&[u8]; 11] = [
    include_bytes!("../kernels/cubin/histogram.sm_75.cubin"),
    include_bytes!("../kernels/cubin/histogram.sm_80.cubin"),
    include_bytes!("../kernels/cubin/histogram.sm_86.cubin"),
    include_bytes!("../kernels/cubin/histogram.sm_87.cubin"),
    include_bytes!("../kernels/cubin/histogram.sm_89.cubin"),
    include_bytes!("../kernels/cubin/histogram.sm_90.cubin"),
    include_bytes!("../kernels/cubin/histogram.sm_100.cubin"),
    include_bytes!("../kernels/cubin/histogram.sm_103.cubin"),
    include_bytes!("../kernels/cubin/histogram.sm_110.cubin"),
    include_bytes!("../kernels/cubin/histogram.sm_120.cubin"),
    include_bytes!("../kernels/cubin/histogram.sm_121.cubin"),
];
pub(crate) const ENTRY: &str = "luma_histogram";
/// Threads of a block, and bins: the kernel is written for blocks of that size.
pub(crate) const BINS: u32 = 256;
const BYTES: u64 = 4 * BINS as u64;

/// Pictures of a batch, and batches under way: so much memory is taken, and no more.
const PICTURES: usize = 16;
const BATCHES: usize = 3;
/// How long the GPU may stand still.
const PATIENCE: Patience = Patience::WithoutProgress(Duration::from_secs(10));

/// How many luma samples of a picture have which value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Histogram(pub(crate) Vec<u32>);

impl Histogram {
    /// 0 for the same distribution, 1 for two that share no value.
    pub(crate) fn distance(&self, other: &Histogram) -> f64 {
        let total = |counts: &[u32]| counts.iter().map(|&count| f64::from(count)).sum::<f64>().max(1.0);
        let (own, others) = (total(&self.0), total(&other.0));
        let pairs = self.0.iter().zip(&other.0);
        pairs.map(|(&a, &b)| (f64::from(a) / own - f64::from(b) / others).abs()).sum::<f64>() / 2.0
    }
}

/// Memory for the histograms of one batch, where the GPU counts and where the host reads.
struct Batch {
    counts: DeviceBuffer,
    host: DeviceBuffer,
    /// Pictures so far, and what the next step has to wait for: the clearing, the last launch, the copy.
    pictures: usize,
    last: Option<SyncPoint>,
}

/// Makes the histograms of pictures.
pub(crate) struct Histograms {
    context: Arc<Context>,
    kernel: Kernel,
    free: Vec<Batch>,
    open: Option<Batch>,
    copied: VecDeque<Batch>,
}

impl Histograms {
    pub(crate) fn new(context: &Arc<Context>) -> Result<Histograms> {
        let kernel = Module::load_any(context.device(), CUBINS)?.kernel(ENTRY)?;
        let batch = |_| {
            let bytes = PICTURES as u64 * BYTES;
            let [counts, host] =
                [Placement::Vidmem, Placement::Sysmem].map(|placement| context.allocate(bytes, placement));
            Ok(Batch { counts: counts?, host: host?, pictures: 0, last: None })
        };
        let free = (0..BATCHES).map(batch).collect::<nvdec::Result<_>>()?;
        Ok(Histograms { context: context.clone(), kernel, free, open: None, copied: VecDeque::new() })
    }

    /// Has the histogram of `frame` made, which may be dropped then. `take` gets those of a batch long before, if its memory is
    /// needed.
    pub(crate) fn push(&mut self, frame: &Frame, take: impl FnMut(Histogram)) -> Result<()> {
        if frame.format() != SurfaceFormat::new(Chroma::C420, 8) {
            return Err(format!("pictures of {}, where the kernel reads NV12 alone", frame.format()).into());
        }
        let mut batch = match self.open.take() {
            Some(batch) => batch,
            None => self.begin(take)?,
        };
        let surface = frame.surface();
        let geometry = surface.geometry();
        let counts = batch.counts.slice(batch.pictures as u64 * BYTES, BYTES);
        let arguments = Arguments::new()
            .buffer(surface.buffer())
            .buffer(&counts)
            .u32(geometry.luma_pitch)
            .u32(geometry.width);
        let mut commands = ComputeCommands::new();
        // SAFETY: the kernel reads `width` samples of each line of a block-linear plane of 8 bits that begins with the
        // surface and has at least as many lines as there are blocks, and adds to 256 words from its second pointer on.
        unsafe { commands.launch(&self.kernel, [geometry.height, 1, 1], [BINS, 1, 1], 0, arguments) }?;
        let waits: Vec<_> = batch.last.iter().chain([frame.ready()]).cloned().collect();
        let point = self.context.compute_queue()?.submit(&waits, &commands)?;
        surface.use_until(point.clone());
        batch.pictures += 1;
        batch.last = Some(point);
        self.open = Some(batch);
        if self.open.as_ref().is_some_and(|batch| batch.pictures == PICTURES) {
            self.copy()?;
        }
        Ok(())
    }

    /// Waits for what is under way.
    pub(crate) fn finish(&mut self, mut take: impl FnMut(Histogram)) -> Result<()> {
        self.copy()?;
        while !self.copied.is_empty() {
            self.collect(&mut take)?;
        }
        Ok(())
    }

    /// A batch whose counts are being cleared.
    fn begin(&mut self, take: impl FnMut(Histogram)) -> Result<Batch> {
        if self.free.is_empty() {
            self.collect(take)?;
        }
        let mut batch = self.free.pop().ok_or("a batch is free, or can be collected")?;
        let mut commands = CopyCommands::new();
        commands.fill(&batch.counts, 0)?;
        batch.last = Some(self.context.copy_queue()?.submit(&[], commands)?);
        Ok(batch)
    }

    /// Has the counts of the open batch copied to the host.
    fn copy(&mut self) -> Result<()> {
        let Some(mut batch) = self.open.take() else { return Ok(()) };
        let mut commands = CopyCommands::new();
        let bytes = batch.pictures as u64 * BYTES;
        commands.copy(&batch.counts.slice(0, bytes), &batch.host.slice(0, bytes))?;
        batch.last = Some(self.context.copy_queue()?.submit(batch.last.as_slice(), commands)?);
        self.copied.push_back(batch);
        Ok(())
    }

    /// Gives the histograms of the oldest batch. This is the one place where the host waits for the GPU.
    fn collect(&mut self, mut take: impl FnMut(Histogram)) -> Result<()> {
        let Some(mut batch) = self.copied.pop_front() else { return Ok(()) };
        batch.last.take().map_or(Ok(()), |copied| copied.wait(PATIENCE))?;
        let mut bytes = vec![0; batch.pictures * BYTES as usize];
        batch.host.view()?.copy_out(0, &mut bytes);
        for counts in bytes.chunks_exact(BYTES as usize) {
            let words = counts.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            take(Histogram(words.collect()));
        }
        batch.pictures = 0;
        self.free.push(batch);
        Ok(())
    }
}
