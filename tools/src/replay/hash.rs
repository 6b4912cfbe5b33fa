//! Hashes of a picture: an MD5 for each plane, a CRC-32 for each block of it.

use md5::{Digest, Md5};
use nvdec::HostFrame;
use nvdec::class::Chroma;

use super::capture::{BLOCK, SurfaceShape};
use super::format::hex;

/// Names of the planes.
pub const PLANES: [&str; 3] = ["luma", "Cb", "Cr"];

/// Hashes of the picture area of a surface, pitch-linear and without padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaneHashes {
    /// MD5 of each plane.
    pub md5: Vec<String>,
    /// CRC-32 of each block, plane by plane, each in raster order.
    pub blocks: Vec<u32>,
}

impl PlaneHashes {
    /// Of a whole picture.
    pub fn of(picture: &HostFrame) -> PlaneHashes {
        let planes = if picture.format.chroma == Chroma::C400 { 1 } else { 3 };
        let (sub_width, sub_height) = picture.format.subsampling();
        let bytes = picture.format.bytes_per_sample();
        let columns = picture.width.div_ceil(BLOCK) as usize;
        let (mut md5, mut blocks) = (Vec::new(), Vec::new());
        let mut samples = Vec::new();
        for plane in 0..planes {
            samples.clear();
            picture.write_plane(plane, &mut samples);
            md5.push(hex(&Md5::digest(&samples)));
            let ((width, _), side) = match plane {
                0 => ((picture.width, picture.height), (BLOCK, BLOCK)),
                _ => (picture.chroma_size(), (BLOCK / sub_width, BLOCK / sub_height)),
            };
            let row = (width * bytes) as usize;
            for lines in samples.chunks(row * side.1 as usize) {
                let mut sums = vec![crc32fast::Hasher::new(); columns];
                for line in lines.chunks_exact(row) {
                    for (sum, part) in sums.iter_mut().zip(line.chunks((side.0 * bytes) as usize)) {
                        sum.update(part);
                    }
                }
                blocks.extend(sums.into_iter().map(crc32fast::Hasher::finalize));
            }
        }
        PlaneHashes { md5, blocks }
    }

    /// The checksums as a blob.
    pub fn block_bytes(&self) -> Vec<u8> {
        self.blocks.iter().flat_map(|sum| sum.to_le_bytes()).collect()
    }

    /// The first plane and block, column and row, in which `other` differs; `None` if all checksums are the
    /// same.
    pub fn first_difference(&self, other: &[u32], shape: &SurfaceShape) -> Option<(usize, (u32, u32))> {
        let (columns, rows) = shape.blocks();
        let at = self.blocks.iter().zip(other).position(|(a, b)| a != b)? as u32;
        let (plane, block) = (at / (columns * rows), at % (columns * rows));
        Some((plane as usize, (block % columns, block / columns)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nvdec::SurfaceFormat;

    fn picture(width: u32, height: u32, bit_depth: u8) -> HostFrame {
        let format = SurfaceFormat::new(Chroma::C420, bit_depth);
        let row = (width * format.bytes_per_sample()) as usize;
        let noise = |n: usize| -> Vec<u8> { (0..n).map(|i| (i * i / 8) as u8).collect() };
        HostFrame {
            format,
            left: 0,
            top: 0,
            width,
            height,
            luma: noise(row * height as usize),
            luma_pitch: row,
            chroma: noise(row * height.div_ceil(2) as usize),
            chroma_pitch: row,
        }
    }

    #[test]
    fn a_changed_sample_shows_in_its_block_alone() {
        for depth in [8, 10] {
            let shape = SurfaceShape {
                chroma_format_idc: 1,
                bit_depth: depth,
                chroma_bit_depth: None,
                width: 200,
                height: 136,
            };
            assert_eq!(shape.blocks(), (4, 3));
            let good = picture(200, 136, depth);
            let hashes = PlaneHashes::of(&good);
            assert_eq!(hashes.blocks.len(), 36);
            assert_eq!(hashes.first_difference(&hashes.blocks, &shape), None);
            let bytes = good.format.bytes_per_sample() as usize;
            let mut bad = good.clone();
            // The upper byte of the last sample.
            let last = bad.luma.len() - 1;
            bad.luma[last] ^= 0x80;
            let other = PlaneHashes::of(&bad);
            assert_eq!(other.first_difference(&hashes.blocks, &shape), Some((0, (3, 2))));
            assert_eq!((other.md5[0] == hashes.md5[0], &other.md5[1..]), (false, &hashes.md5[1..]));
            // Cr of column 32 of chroma, line 33: block (1, 1).
            let mut bad = good.clone();
            bad.chroma[33 * good.chroma_pitch + (32 * 2 + 1) * bytes + bytes - 1] ^= 0x40;
            let other = PlaneHashes::of(&bad);
            assert_eq!(other.first_difference(&hashes.blocks, &shape), Some((2, (1, 1))));
        }
    }
}
