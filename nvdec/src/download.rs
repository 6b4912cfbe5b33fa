//! [`Downloader`]: frames copied to host memory by the copy engine, pitch-linear.

use std::sync::{Arc, Mutex, PoisonError};

use hcq::{CopyCommands, DeviceBuffer, PitchPlane, Placement, SyncPoint};

use crate::context::Context;
use crate::error::Result;
use crate::frame::Frame;
use crate::session::PICTURE_TIMEOUT;
use crate::surface::SurfaceFormat;

/// Copies frames to the host. Copies run on the GPU behind the decode; the host waits only for the frame that
/// it wants to look at.
#[derive(Debug)]
pub struct Downloader {
    context: Arc<Context>,
    free: Arc<Mutex<Vec<DeviceBuffer>>>,
}

/// A frame on its way to host memory.
#[derive(Debug)]
pub struct Download {
    frame: Frame,
    buffer: Option<DeviceBuffer>,
    layout: Layout,
    point: SyncPoint,
    free: Arc<Mutex<Vec<DeviceBuffer>>>,
}

/// Where the planes lie in the host buffer, in bytes and lines.
#[derive(Clone, Copy, Debug)]
struct Layout {
    luma_pitch: u32,
    luma_lines: u32,
    chroma_pitch: u32,
    chroma_lines: u32,
}

impl Layout {
    fn luma_bytes(&self) -> u64 {
        u64::from(self.luma_pitch) * u64::from(self.luma_lines)
    }

    fn bytes(&self) -> u64 {
        self.luma_bytes() + u64::from(self.chroma_pitch) * u64::from(self.chroma_lines)
    }
}

impl Downloader {
    /// A downloader on the context's copy queue.
    pub fn new(context: &Arc<Context>) -> Self {
        Downloader { context: context.clone(), free: Arc::default() }
    }

    /// Starts copying `frame`.
    pub fn start(&self, frame: Frame) -> Result<Download> {
        let g = *frame.surface.geometry();
        let crop = frame.crop;
        let bytes = g.format.bytes_per_sample();
        let (sub_width, sub_height) = g.format.subsampling();
        let (right, bottom) = (crop.left + crop.width, crop.top + crop.height);
        let layout = Layout {
            luma_pitch: (right * bytes).next_multiple_of(64),
            luma_lines: bottom,
            chroma_pitch: (2 * right.div_ceil(sub_width) * bytes).next_multiple_of(64),
            chroma_lines: bottom.div_ceil(sub_height),
        };
        let buffer = self.take(layout.bytes())?;
        let luma = PitchPlane { buffer: buffer.clone(), pitch: layout.luma_pitch };
        let chroma = PitchPlane {
            buffer: buffer.slice(layout.luma_bytes(), layout.bytes() - layout.luma_bytes()),
            pitch: layout.chroma_pitch,
        };
        let mut commands = CopyCommands::new();
        commands.detile(&frame.surface.luma(), &luma, right * bytes, layout.luma_lines)?;
        let chroma_width = 2 * right.div_ceil(sub_width) * bytes;
        commands.detile(&frame.surface.chroma(), &chroma, chroma_width, layout.chroma_lines)?;
        let point = self.context.copy_queue()?.submit(std::slice::from_ref(&frame.ready), commands)?;
        frame.surface.use_until(point.clone());
        Ok(Download { frame, buffer: Some(buffer), layout, point, free: self.free.clone() })
    }

    fn take(&self, size: u64) -> Result<DeviceBuffer> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        // Frames of another size are gone for good after a change of resolution.
        free.retain(|b| b.size() >= size);
        match free.pop() {
            Some(buffer) => Ok(buffer),
            None => self.context.retried(|| Ok(self.context.device().allocate(size, Placement::Sysmem)?)),
        }
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

    /// Waits for the copy and gives the samples.
    pub fn wait(&self) -> Result<HostFrame> {
        // The picture first: a dead engine must not pass for a copy that went well.
        self.frame.ready.wait(PICTURE_TIMEOUT)?;
        self.frame.check_references()?;
        self.point.wait(PICTURE_TIMEOUT)?;
        let buffer = self.buffer.as_ref().expect("taken only by Drop");
        let view = buffer.view()?;
        let mut luma = vec![0; self.layout.luma_bytes() as usize];
        let mut chroma = vec![0; (self.layout.bytes() - self.layout.luma_bytes()) as usize];
        view.copy_out(0, &mut luma);
        view.copy_out(luma.len(), &mut chroma);
        Ok(HostFrame {
            format: self.frame.surface.geometry().format,
            left: self.frame.crop.left,
            top: self.frame.crop.top,
            width: self.frame.crop.width,
            height: self.frame.crop.height,
            luma,
            luma_pitch: self.layout.luma_pitch as usize,
            chroma,
            chroma_pitch: self.layout.chroma_pitch as usize,
        })
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        // A buffer that the engine may still write to is not handed out again.
        if self.point.is_reached()
            && let Some(buffer) = self.buffer.take()
        {
            self.free.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
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
    /// Luma lines from the top of the picture to the bottom of the window.
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

    /// Appends the window as planes Y, Cb, Cr. Samples above 8 bits become 16-bit little-endian words with the
    /// sample in the lower bits, as raw video usually has them.
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
                    let shift = 16 - u32::from(self.format.bit_depth);
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
            format: SurfaceFormat { chroma: Chroma::C420, bit_depth: 8 },
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
            format: SurfaceFormat { chroma: Chroma::C444, bit_depth: 10 },
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
