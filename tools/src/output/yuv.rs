//! Raw samples: planar, and semi-planar as the engine has them.

use nvdec::class::Chroma;

use super::{Output, Sink};
use crate::decode::Picture;
use crate::exit::Failure;

/// Planes Y, Cb, Cr one after the other, as FFmpeg's rawvideo: 8 bits as bytes, more as 16-bit little-endian words.
pub struct Planar {
    output: Output,
    buffer: Vec<u8>,
}

impl Planar {
    /// A writer to `output`.
    pub fn new(output: Output) -> Planar {
        Planar { output, buffer: Vec::new() }
    }
}

impl Sink for Planar {
    fn picture(&mut self, picture: &Picture) -> Result<(), Failure> {
        self.buffer.clear();
        picture.write_planar(&mut self.buffer);
        self.output.write(&self.buffer)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.output.flush()
    }

    fn finish(self: Box<Self>) -> Result<(), Failure> {
        self.output.commit()
    }
}

/// NV12 or P010.
pub struct SemiPlanar {
    output: Output,
    bit_depth: u8,
    buffer: Vec<u8>,
}

impl SemiPlanar {
    /// A writer of pictures of `bit_depth`: 8 for NV12, 10 for P010.
    pub fn new(output: Output, bit_depth: u8) -> SemiPlanar {
        SemiPlanar { output, bit_depth, buffer: Vec::new() }
    }
}

impl Sink for SemiPlanar {
    fn picture(&mut self, picture: &Picture) -> Result<(), Failure> {
        let host = &picture.host;
        if host.format.chroma != Chroma::C420 || host.format.one_depth() != Some(self.bit_depth) {
            let depth = match host.format.one_depth() {
                Some(depth) => format!("{depth}-bit"),
                None => format!("{}/{}-bit", host.format.bit_depth, host.format.chroma_bit_depth),
            };
            return Err(Failure::Format {
                picture: picture.index,
                reason: format!(
                    "{} holds {}-bit 4:2:0, this is {depth} {}; --format yuv holds any",
                    if self.bit_depth == 8 { "nv12" } else { "p010" },
                    self.bit_depth,
                    host.format.chroma.names().join(" "),
                ),
            });
        }
        let bytes = host.format.bytes_per_sample() as usize;
        let (chroma_width, chroma_height) = host.chroma_size();
        let planes = [
            (&host.luma, host.luma_pitch, host.left as usize, host.top, host.width as usize, host.height),
            (
                &host.chroma,
                host.chroma_pitch,
                2 * (host.left / 2) as usize,
                host.top / 2,
                2 * chroma_width as usize,
                chroma_height,
            ),
        ];
        self.buffer.clear();
        for (memory, pitch, left, top, width, height) in planes {
            for line in memory.chunks_exact(pitch).skip(top as usize).take(height as usize) {
                self.buffer.extend_from_slice(&line[left * bytes..(left + width) * bytes]);
            }
        }
        self.output.write(&self.buffer)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.output.flush()
    }

    fn finish(self: Box<Self>) -> Result<(), Failure> {
        self.output.commit()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Shared, picture, picture_of};
    use super::*;

    #[test]
    fn planar_is_the_window() {
        let shared = Shared::default();
        let mut sink = Box::new(Planar::new(shared.output()));
        sink.picture(&picture(0)).unwrap();
        sink.finish().unwrap();
        assert_eq!(shared.bytes(), [10, 11, 14, 15, 103, 203]);
    }

    #[test]
    fn nv12_keeps_the_pairs() {
        let shared = Shared::default();
        SemiPlanar::new(shared.output(), 8).picture(&picture(0)).unwrap();
        assert_eq!(shared.bytes(), [10, 11, 14, 15, 103, 203]);
    }

    #[test]
    fn p010_keeps_the_upper_bits() {
        let shared = Shared::default();
        let deep = picture_of(Chroma::C420, 10, 2, 2, [&[1, 2, 3, 1023], &[512], &[4]]);
        SemiPlanar::new(shared.output(), 10).picture(&deep).unwrap();
        let words: Vec<u16> = shared.bytes().chunks(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
        assert_eq!(words, [64, 128, 192, 65472, 32768, 256]);
        let failure = SemiPlanar::new(shared.output(), 8).picture(&deep).unwrap_err();
        assert!(failure.to_string().contains("nv12 holds 8-bit 4:2:0, this is 10-bit 4:2:0"), "{failure}");
    }

    #[test]
    fn monochrome_has_one_plane() {
        let mut grey = picture_of(Chroma::C444, 8, 2, 1, [&[7, 8], &[1, 1], &[1, 1]]);
        grey.host.format.chroma = Chroma::C400;
        let shared = Shared::default();
        Planar::new(shared.output()).picture(&grey).unwrap();
        assert_eq!(shared.bytes(), [7, 8]);
    }
}
