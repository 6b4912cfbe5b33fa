//! [`Downloader`]: frames copied to host memory by the copy engine, pitch-linear.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hcq::{CopyCommands, DeviceBuffer, Placement, Quota, SyncPoint};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::memory::Memory;
use crate::surface::format::Rect;
use crate::surface::host::HostFrame;
use crate::surface::pitch::Layout;

/// How often a copy is made that is lost with the channel of the copy engine.
const TRIES: usize = 3;

/// Copies frames to the host. Copies run on the GPU behind the decode; the host waits only for the frame that
/// it wants to look at.
///
/// The host memory that they are copied to is bounded: 256 MiB to begin with ([`with_limit`](Self::with_limit)), and
/// one frame in any case.
#[derive(Debug)]
pub struct Downloader {
    context: Arc<Context>,
    staging: Arc<Staging>,
}

/// The host memory of a downloader.
#[derive(Debug)]
struct Staging {
    /// Most bytes, if there is a limit.
    limit: Option<u64>,
    /// What all of it is charged to, so that what an engine still writes to counts after its download.
    quota: Arc<Quota>,
    /// Downloads that are not dropped.
    downloads: AtomicUsize,
    /// What can be used again, from a point on.
    free: Mutex<Vec<(DeviceBuffer, SyncPoint)>>,
}

impl Staging {
    fn new(limit: Option<u64>) -> Arc<Staging> {
        let (downloads, free) = (AtomicUsize::new(0), Mutex::default());
        Arc::new(Staging { limit, quota: Arc::default(), downloads, free })
    }

    fn free(&self) -> MutexGuard<'_, Vec<(DeviceBuffer, SyncPoint)>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Memory for a frame of `size` bytes.
    fn take(self: &Arc<Self>, memory: &Memory, size: u64) -> Result<Held> {
        let others = self.downloads.fetch_add(1, Ordering::AcqRel);
        let mut held = Held { buffer: None, staging: self.clone() };
        let found = {
            let mut free = self.free();
            // Frames of another size are gone for good after a change of resolution.
            free.retain(|(buffer, _)| buffer.size() >= size);
            let at = free.iter().rposition(|(_, until)| until.is_reached());
            at.map(|at| free.swap_remove(at).0)
        };
        held.buffer = match found {
            None => Some(self.allocate(memory, size, others)?),
            found => found,
        };
        Ok(held)
    }

    fn allocate(&self, memory: &Memory, size: u64, others: usize) -> Result<DeviceBuffer> {
        // One frame in any case.
        let one = hcq::allocation_size(size, Placement::Sysmem);
        self.quota.set_limit(self.limit.map(|limit| limit.max(one)));
        loop {
            match memory.staging(size, &self.quota) {
                Err(Error::Gpu(hcq::Error::QuotaExceeded { size, charged, limit })) => {
                    // What no engine uses any more is free then, the rest can be waited for.
                    let unused = std::mem::take(&mut *self.free());
                    if !unused.is_empty() {
                        continue;
                    }
                    // Without a download, engines are still at work in the memory of former ones.
                    if others > 0 || !memory.channels().wait_to_reclaim()? {
                        return Err(Error::DownloadsHeld {
                            downloads: others,
                            held: charged,
                            bytes: size,
                            limit,
                        });
                    }
                }
                outcome => return outcome,
            }
        }
    }
}

/// Memory that a download has.
#[derive(Debug)]
struct Held {
    buffer: Option<DeviceBuffer>,
    staging: Arc<Staging>,
}

impl Held {
    fn buffer(&self) -> &DeviceBuffer {
        self.buffer.as_ref().expect("taken only when the download ends")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.staging.downloads.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A frame on its way to host memory.
#[derive(Debug)]
pub struct Download {
    memory: Arc<Memory>,
    frame: Frame,
    commands: CopyCommands,
    held: Held,
    layout: Layout,
    point: SyncPoint,
    /// When no engine writes to the buffer any more.
    until: Mutex<SyncPoint>,
}

impl Downloader {
    /// A downloader on the context's copy queue.
    pub fn new(context: &Arc<Context>) -> Self {
        Downloader { context: context.clone(), staging: Staging::new(Some(Self::DEFAULT_LIMIT)) }
    }

    /// Most bytes of host memory to begin with: 256 MiB, 85 frames of 1920x1080 at 8 bits.
    pub const DEFAULT_LIMIT: u64 = 256 << 20;

    /// With another limit for the host memory that frames are copied to, in bytes; without one if `None`. What was
    /// started before does not count.
    #[must_use]
    pub fn with_limit(self, bytes: impl Into<Option<u64>>) -> Self {
        Downloader { staging: Staging::new(bytes.into()), ..self }
    }

    /// Starts copying the part of `frame` that is to be shown ([`Frame::crop`]).
    ///
    /// # Errors
    ///
    /// [`Error::DownloadsHeld`] if downloads that are not dropped hold all the host memory that may be taken;
    /// [`Error::Gpu`] if the frame is another device's, if there is no memory, or if the copy engine's channel is dead.
    pub fn start(&self, frame: Frame) -> Result<Download> {
        let window = frame.crop();
        self.start_window(frame, window)
    }

    /// Starts copying the part of `frame` within `window`; [`Frame::coded`] is the whole picture.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start); [`Error::OutsidePicture`] if the window does not lie in the picture.
    pub fn start_window(&self, frame: Frame, window: Rect) -> Result<Download> {
        let geometry = frame.surface().geometry();
        if !window.lies_in(frame.coded()) {
            return Err(Error::OutsidePicture { window, size: (geometry.width, geometry.height) });
        }
        let layout = Layout::new(geometry, window);
        let memory = self.context.memory().clone();
        let held = self.staging.take(&memory, layout.bytes())?;
        let mut commands = CopyCommands::new();
        layout.copy(frame.surface(), held.buffer(), 0, &mut commands)?;
        let point = submit(&memory, &frame, &commands)?;
        let until = Mutex::new(point.clone());
        Ok(Download { memory, frame, commands, held, layout, point, until })
    }
}

impl Download {
    /// The frame that is copied.
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    /// Completes the copy, on the timeline of the copy engine.
    pub fn point(&self) -> &SyncPoint {
        &self.point
    }

    /// Whether [`wait`](Self::wait) would return at once.
    pub fn is_finished(&self) -> bool {
        self.point.is_reached()
    }

    /// Waits for the copy. One that was lost with the channel of the copy engine is made again.
    fn until(&self) -> MutexGuard<'_, SyncPoint> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for_copy(&self) -> Result<()> {
        let channels = self.memory.channels();
        let mut waited = channels.wait(&self.point);
        for _ in 1..TRIES {
            match waited {
                Err(hcq::Error::ChannelFault { .. }) => {
                    let again = submit(&self.memory, &self.frame, &self.commands)?;
                    self.until().clone_from(&again);
                    waited = channels.wait(&again);
                }
                _ => break,
            }
        }
        Ok(waited?)
    }

    /// Waits for the copy and gives the samples.
    ///
    /// # Errors
    ///
    /// [`Error::Picture`] if the picture, or what it depends on, was lost with the channel of an engine; [`Error::Gpu`] if the
    /// copy fails time after time.
    pub fn wait(&self) -> Result<HostFrame> {
        // The picture first: a dead engine must not pass for a copy that went well.
        self.frame.wait_for_samples()?;
        self.wait_for_copy()?;
        let view = self.held.buffer().view()?;
        Ok(self.layout.read(&view, 0, self.frame.format()))
    }
}

/// Has a frame copied behind its decoding.
fn submit(memory: &Memory, frame: &Frame, commands: &CopyCommands) -> Result<SyncPoint> {
    let point = match frame.surface().cleared() {
        None => memory.submit_copies(std::slice::from_ref(frame.ready()), commands)?,
        Some(cleared) => memory.submit_copies(&[frame.ready().clone(), cleared.clone()], commands)?,
    };
    frame.surface().use_until(point.clone());
    Ok(point)
}

impl Drop for Download {
    fn drop(&mut self) {
        if let Some(buffer) = self.held.buffer.take() {
            let until = self.until().clone();
            self.held.staging.free().push((buffer, until));
        }
    }
}
