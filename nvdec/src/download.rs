//! [`Downloader`]: frames copied to host memory by the copy engine, pitch-linear.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hcq::{CopyCommands, DeviceBuffer, Placement, Quota, SyncPoint};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::memory::Memory;
use crate::surface::format::{Rect, SurfaceFormat};
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
        let Layout { window, luma, chroma } = &self.layout;
        Ok(HostFrame {
            format: self.frame.format(),
            left: window.left,
            top: window.top,
            width: window.width,
            height: window.height,
            luma: luma.copy_out(&view, 0),
            luma_pitch: luma.pitch as usize,
            chroma: chroma.copy_out(&view, luma.bytes()),
            chroma_pitch: chroma.pitch as usize,
        })
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

/// A picture in host memory, semi-planar as the engine wrote it, with its crop window.
#[derive(Clone, Debug)]
pub struct HostFrame {
    /// Format of the samples.
    pub format: SurfaceFormat,
    /// First column of the window, in luma samples.
    pub left: u32,
    /// First line of the window.
    pub top: u32,
    /// Width of the window in luma samples.
    pub width: u32,
    /// Height of the window.
    pub height: u32,
    /// Luma lines from the top of the picture to the bottom of the window. Zero behind the window's right edge, as are those of
    /// chroma.
    pub luma: Vec<u8>,
    /// Bytes per luma line.
    pub luma_pitch: usize,
    /// Lines of interleaved Cb and Cr.
    pub chroma: Vec<u8>,
    /// Bytes per chroma line.
    pub chroma_pitch: usize,
}

impl HostFrame {
    /// Width and height of a chroma plane's window.
    pub fn chroma_size(&self) -> (u32, u32) {
        let (sw, sh) = self.format.subsampling();
        (self.width.div_ceil(sw), self.height.div_ceil(sh))
    }

    /// Appends the window as planes Y, Cb, Cr. 16-bit little-endian words have the sample in the lower bits, as raw
    /// video usually has them.
    pub fn write_planar(&self, out: &mut Vec<u8>) {
        for plane in 0..3 {
            self.write_plane(plane, out);
        }
    }

    /// Appends one plane's window: 0 is Y, 1 Cb, 2 Cr.
    pub fn write_plane(&self, plane: usize, out: &mut Vec<u8>) {
        let bytes = self.format.bytes_per_sample() as usize;
        let (sw, sh) = self.format.subsampling();
        let (memory, pitch, components, left, top, (width, height)) = match plane {
            0 => (&self.luma, self.luma_pitch, 1, self.left, self.top, (self.width, self.height)),
            _ => (&self.chroma, self.chroma_pitch, 2, self.left / sw, self.top / sh, self.chroma_size()),
        };
        let first = (left as usize * components + plane.saturating_sub(1)) * bytes;
        out.reserve(width as usize * height as usize * bytes);
        for line in memory.chunks_exact(pitch).skip(top as usize).take(height as usize) {
            let samples = &line[first..];
            match (bytes, components) {
                (1, 1) => out.extend_from_slice(&samples[..width as usize]),
                (1, _) => out.extend(samples.iter().step_by(2).take(width as usize)),
                _ => {
                    let shift = 16 - u32::from(self.format.depth_of(plane));
                    let words = samples.chunks(2 * components).take(width as usize);
                    out.extend(words.flat_map(|w| (u16::from_le_bytes([w[0], w[1]]) >> shift).to_le_bytes()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::Chroma;

    #[test]
    fn planes_are_cropped_and_taken_apart() {
        let frame = HostFrame {
            format: SurfaceFormat::new(Chroma::C420, 8),
            left: 2,
            top: 2,
            width: 2,
            height: 2,
            luma: (0..16).collect(),
            luma_pitch: 4,
            chroma: vec![0, 0, 1, 2, 0, 0, 3, 4],
            chroma_pitch: 4,
        };
        let mut out = Vec::new();
        frame.write_planar(&mut out);
        assert_eq!(out, [10, 11, 14, 15, 3, 4]);
    }

    #[test]
    fn deep_samples_move_down() {
        let words = |v: &[u16]| v.iter().flat_map(|s| (s << 6).to_le_bytes()).collect::<Vec<u8>>();
        let frame = HostFrame {
            format: SurfaceFormat::new(Chroma::C444, 10),
            left: 0,
            top: 0,
            width: 2,
            height: 1,
            luma: words(&[1023, 1]),
            luma_pitch: 4,
            chroma: words(&[512, 3, 513, 4]),
            chroma_pitch: 8,
        };
        let mut out = Vec::new();
        frame.write_planar(&mut out);
        let samples: Vec<u16> = out.chunks(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
        assert_eq!(samples, [1023, 1, 512, 513, 3, 4]);
    }
}
