//! [`Layout`]: how a copy engine leaves a picture in host memory, line by line.

use hcq::{CopyCommands, DeviceBuffer, PitchPlane, View};

use crate::error::Result;
use crate::surface::format::{Rect, SurfaceFormat, SurfaceGeometry};
use crate::surface::host::HostFrame;
use crate::surface::pool::Surface;

/// Where the planes lie in the host buffer, in bytes and lines, and what part of the picture is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    window: Rect,
    luma: Plane,
    chroma: Plane,
}

/// A plane in host memory.
#[derive(Clone, Copy, Debug)]
struct Plane {
    /// Bytes of a line that are samples.
    width: u32,
    /// Bytes from one line to the next.
    pitch: u32,
    lines: u32,
}

impl Plane {
    fn new(width: u32, lines: u32) -> Plane {
        // Of a window without columns as well, lines have a length.
        Plane { width, pitch: width.next_multiple_of(64).max(64), lines }
    }

    fn bytes(&self) -> u64 {
        u64::from(self.pitch) * u64::from(self.lines)
    }

    /// Whether the planes at these two offsets of a buffer have the same samples.
    fn is_same(&self, view: &View<'_>, [a, b]: [u64; 2]) -> bool {
        let mut lines = [vec![0; self.width as usize], vec![0; self.width as usize]];
        (0..u64::from(self.lines)).all(|line| {
            for (bytes, from) in lines.iter_mut().zip([a, b]) {
                view.copy_out((from + line * u64::from(self.pitch)) as usize, bytes);
            }
            lines[0] == lines[1]
        })
    }

    /// The plane at `offset` of a buffer, with nothing between the lines: other pictures were there before.
    fn copy_out(&self, view: &View<'_>, offset: u64) -> Vec<u8> {
        let mut bytes = vec![0; self.bytes() as usize];
        view.copy_out(offset as usize, &mut bytes);
        for line in bytes.chunks_exact_mut(self.pitch as usize) {
            line[self.width as usize..].fill(0);
        }
        bytes
    }
}

impl Layout {
    /// For the part of a picture of `geometry` within `window`, which lies inside.
    pub(crate) fn new(geometry: &SurfaceGeometry, window: Rect) -> Layout {
        let bytes = geometry.format.bytes_per_sample();
        let (sub_width, sub_height) = geometry.format.subsampling();
        let (right, bottom) = (window.left + window.width, window.top + window.height);
        Layout {
            window,
            luma: Plane::new(right * bytes, bottom),
            chroma: Plane::new(2 * right.div_ceil(sub_width) * bytes, bottom.div_ceil(sub_height)),
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.luma.bytes() + self.chroma.bytes()
    }

    /// Adds what copies the picture on `surface` to `buffer`, `at` bytes behind its beginning.
    pub(crate) fn copy(
        &self,
        surface: &Surface,
        buffer: &DeviceBuffer,
        at: u64,
        commands: &mut CopyCommands,
    ) -> Result<()> {
        let Layout { luma, chroma, .. } = *self;
        let planes = [(surface.luma(), luma, at), (surface.chroma(), chroma, at + luma.bytes())];
        for (source, Plane { width, pitch, lines }, at) in planes {
            let target = PitchPlane { buffer: buffer.slice(at, u64::from(pitch) * u64::from(lines)), pitch };
            commands.detile(&source, &target, width, lines)?;
        }
        Ok(())
    }

    /// The picture of `format` that begins `at` bytes behind the beginning of a buffer.
    pub(crate) fn read(&self, view: &View<'_>, at: u64, format: SurfaceFormat) -> HostFrame {
        let Layout { window, luma, chroma } = self;
        HostFrame {
            format,
            left: window.left,
            top: window.top,
            width: window.width,
            height: window.height,
            luma: luma.copy_out(view, at),
            luma_pitch: luma.pitch as usize,
            chroma: chroma.copy_out(view, at + luma.bytes()),
            chroma_pitch: chroma.pitch as usize,
        }
    }

    /// Whether the pictures that begin at these two places of a buffer have the same samples.
    pub(crate) fn are_same(&self, view: &View<'_>, [a, b]: [u64; 2]) -> bool {
        let Layout { luma, chroma, .. } = self;
        luma.is_same(view, [a, b]) && chroma.is_same(view, [a, b].map(|at| at + luma.bytes()))
    }
}
