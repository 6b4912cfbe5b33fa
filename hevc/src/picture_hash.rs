//! Decoded picture hash (D.3.19): the hash of an SEI message and that of decoded samples.

use md5::{Digest, Md5};

/// How a picture is hashed: `hash_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashKind {
    /// 0: MD5 of the samples.
    Md5,
    /// 1: CRC-16 with polynomial 0x1021.
    Crc,
    /// 2: sum of the samples, each xored with a mask made of its position.
    Checksum,
}

/// Hash of one colour component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlaneHash {
    /// `picture_md5`.
    Md5([u8; 16]),
    /// `picture_crc`.
    Crc(u16),
    /// `picture_checksum`.
    Checksum(u32),
}

/// The decoded picture hash SEI message: one hash per colour component, Y, Cb, Cr.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PictureHash {
    /// 1 entry for monochrome, else 3.
    pub planes: Vec<PlaneHash>,
}

impl PictureHash {
    /// Reads the payload; `None` for a reserved `hash_type` or a size that fits no picture.
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        let (&hash_type, rest) = payload.split_first()?;
        let size = match hash_type {
            0 => 16,
            1 => 2,
            2 => 4,
            _ => return None,
        };
        if rest.len() != size && rest.len() != 3 * size {
            return None;
        }
        let planes = rest.chunks_exact(size).map(|bytes| match hash_type {
            0 => PlaneHash::Md5(bytes.try_into().expect("chunk of 16 bytes")),
            1 => PlaneHash::Crc(u16::from_be_bytes(bytes.try_into().expect("chunk of 2 bytes"))),
            _ => PlaneHash::Checksum(u32::from_be_bytes(bytes.try_into().expect("chunk of 4 bytes"))),
        });
        Some(Self { planes: planes.collect() })
    }

    /// The kind of hash, the same for all components.
    pub fn kind(&self) -> HashKind {
        match self.planes[0] {
            PlaneHash::Md5(_) => HashKind::Md5,
            PlaneHash::Crc(_) => HashKind::Crc,
            PlaneHash::Checksum(_) => HashKind::Checksum,
        }
    }
}

/// Computes the hash of one colour component, row by row.
///
/// The rows are those of the whole decoded picture: the conformance window is not applied.
///
/// ```
/// use hevc::picture_hash::{HashKind, PlaneHash, PlaneHasher};
/// let mut hasher = PlaneHasher::new(HashKind::Checksum, 8);
/// hasher.row(&[1, 2]);
/// hasher.row(&[3, 4]);
/// // Masks are x ^ y: 1^0 + 2^1 + 3^1 + 4^0
/// assert_eq!(hasher.finish(), PlaneHash::Checksum(1 + 3 + 2 + 4));
/// ```
#[derive(Debug, Clone)]
pub struct PlaneHasher {
    bit_depth: u8,
    y: u32,
    state: State,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone)]
enum State {
    Md5(Md5),
    Crc(u16),
    Checksum(u32),
}

/// CRC-16 of one byte more, polynomial x^16 + x^12 + x^5 + 1, most significant bit first.
const CRC_TABLE: [u16; 256] = {
    let mut table = [0u16; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = (index as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 != 0 { crc << 1 ^ 0x1021 } else { crc << 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

impl PlaneHasher {
    /// A hasher for samples of `bit_depth` bits (8 to 16).
    pub fn new(kind: HashKind, bit_depth: u8) -> Self {
        let state = match kind {
            HashKind::Md5 => State::Md5(Md5::new()),
            HashKind::Crc => State::Crc(0xffff),
            HashKind::Checksum => State::Checksum(0),
        };
        Self { bit_depth, y: 0, state, bytes: Vec::new() }
    }

    /// Adds a row of samples. For more than 8 bits each sample is two bytes, low byte first, in MD5 and CRC; the
    /// checksum adds low and high byte apart.
    pub fn row(&mut self, samples: &[u16]) {
        let wide = self.bit_depth > 8;
        match &mut self.state {
            State::Md5(md5) => {
                self.bytes.clear();
                for sample in samples {
                    let bytes = sample.to_le_bytes();
                    self.bytes.extend_from_slice(if wide { &bytes } else { &bytes[..1] });
                }
                md5.update(&self.bytes);
            }
            State::Crc(crc) => {
                for sample in samples {
                    let bytes = sample.to_le_bytes();
                    for &byte in if wide { &bytes[..] } else { &bytes[..1] } {
                        *crc = crc_byte(*crc, byte);
                    }
                }
            }
            State::Checksum(sum) => {
                for (x, &sample) in samples.iter().enumerate() {
                    let (x, y) = (x as u32, self.y);
                    let mask = (x & 0xff) ^ (y & 0xff) ^ (x >> 8) ^ (y >> 8);
                    *sum = sum.wrapping_add(u32::from(sample & 0xff) ^ (mask & 0xff));
                    if wide {
                        *sum = sum.wrapping_add(u32::from(sample >> 8) ^ (mask & 0xff));
                    }
                }
            }
        }
        self.y += 1;
    }

    /// The hash of the rows added.
    pub fn finish(self) -> PlaneHash {
        match self.state {
            State::Md5(md5) => PlaneHash::Md5(md5.finalize().into()),
            State::Crc(crc) => PlaneHash::Crc(crc_byte(crc_byte(crc, 0), 0)),
            State::Checksum(sum) => PlaneHash::Checksum(sum),
        }
    }
}

/// Shifts the eight bits of `byte` into the register, as the bit loop of D.3.19 does.
fn crc_byte(crc: u16, byte: u8) -> u16 {
    (crc << 8 | u16::from(byte)) ^ CRC_TABLE[usize::from(crc >> 8)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bit loop of D.3.19, literally.
    fn crc_by_bits(bytes: &[u8]) -> u16 {
        let mut crc = 0xffffu32;
        for byte in bytes.iter().chain(&[0, 0]) {
            for bit in (0..8).rev() {
                let msb = crc >> 15 & 1;
                let value = u32::from(byte >> bit & 1);
                crc = (((crc << 1) + value) & 0xffff) ^ (msb * 0x1021);
            }
        }
        crc as u16
    }

    #[test]
    fn crc_equals_the_bit_loop() {
        let samples: Vec<u16> = (0..300).map(|i| (i * 37 % 1021) as u16).collect();
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let mut hasher = PlaneHasher::new(HashKind::Crc, 10);
        for row in samples.chunks(30) {
            hasher.row(row);
        }
        assert_eq!(hasher.finish(), PlaneHash::Crc(crc_by_bits(&bytes)));
    }

    #[test]
    fn checksum_mask_uses_the_high_bytes_of_the_position() {
        let mut hasher = PlaneHasher::new(HashKind::Checksum, 8);
        let mut row = vec![0; 258];
        row[257] = 5;
        hasher.row(&row);
        // The mask at x = 257 is 1 ^ 1.
        let masks: u32 = (0u32..257).map(|x| (x & 0xff) ^ (x >> 8)).sum();
        assert_eq!(hasher.finish(), PlaneHash::Checksum(masks + 5));
    }

    #[test]
    fn md5_takes_low_bytes_of_eight_bit_samples() {
        let mut hasher = PlaneHasher::new(HashKind::Md5, 8);
        hasher.row(&"abc".bytes().map(u16::from).collect::<Vec<_>>());
        let expected = 0x9001_5098_3cd2_4fb0_d696_3f7d_28e1_7f72u128.to_be_bytes();
        assert_eq!(hasher.finish(), PlaneHash::Md5(expected));
    }

    #[test]
    fn reserved_types_and_sizes_are_no_hash() {
        assert_eq!(PictureHash::parse(&[]), None);
        assert_eq!(PictureHash::parse(&[3, 0, 0]), None);
        assert_eq!(PictureHash::parse(&[1, 0]), None);
        let hash = PictureHash::parse(&[1, 0x12, 0x34, 0, 1, 0, 2]).expect("three CRCs");
        assert_eq!(hash.planes, [PlaneHash::Crc(0x1234), PlaneHash::Crc(1), PlaneHash::Crc(2)]);
    }
}
