//! [`HostFrame`]: a picture in host memory.

use crate::surface::format::SurfaceFormat;

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
