//! [`run`]: what the kernels of `kernels/convert.cu` do, in Rust, for the emulated GPU.
//!
//! It reads what the kernels read, at the same addresses, and comes to the same bits. It is written for itself: of the rest of this
//! crate it has the structure of the argument alone, so that a wrong plan, or a wrong address, shows.

use std::collections::BTreeMap;

use zerocopy::FromBytes;

use super::params::{Channel, ENTRY_8, ENTRY_16, Params, Taps};

/// The memory that a kernel sees. An error says which address is not there.
pub(crate) trait Memory {
    fn read(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), String>;
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), String>;
}

/// Lines of a block: two GOBs of 8.
const BLOCK_LINES: u32 = 16;
/// More than any argument that a plan makes asks for; what exceeds it is not run.
const LARGEST_SIDE: u32 = 16384;
const LARGEST_TABLE: u64 = 1 << 24;

/// Runs a kernel with this argument, for all pixels.
///
/// # Errors
///
/// What is wrong with the argument, or what `memory` said.
pub(crate) fn run(params: &[u8], entry: &str, memory: &mut dyn Memory) -> Result<(), String> {
    let params = Params::read_from_bytes(params)
        .map_err(|_| format!("the argument of {entry} has {} bytes", params.len()))?;
    let sample_bytes = match entry {
        ENTRY_8 => 1,
        ENTRY_16 => 2,
        _ => return Err(format!("there is no kernel {entry}")),
    };
    let image = Image::fill(&params)?;
    image.with_picture(&params, sample_bytes, memory)?.write(&params, memory)
}

/// Starts and weights of an axis.
struct Table {
    count: usize,
    length: usize,
    starts: Vec<u32>,
    weights: Vec<i32>,
}

impl Table {
    fn read(taps: &Taps, pixels: u32, memory: &mut dyn Memory) -> Result<Table, String> {
        let weights = u64::from(taps.count) * u64::from(taps.length);
        if taps.length < pixels || weights > LARGEST_TABLE {
            return Err(format!("a table of {} taps for {} of {pixels} pixels", taps.count, taps.length));
        }
        let mut words = |address, count| -> Result<Vec<u32>, String> {
            let mut bytes = vec![0; 4 * count];
            memory.read(address, &mut bytes)?;
            let words = bytes.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word));
            Ok(words.collect())
        };
        let starts = words(taps.starts, taps.length as usize)?;
        let weights = words(taps.weights, weights as usize)?.into_iter().map(|word| word as i32).collect();
        Ok(Table { count: taps.count as usize, length: taps.length as usize, starts, weights })
    }

    /// Samples and weights of a pixel.
    fn of(&self, pixel: usize) -> impl Iterator<Item = (u32, i32)> + '_ {
        let start = self.starts[pixel];
        (0..self.count)
            .map(move |tap| (start.wrapping_add(tap as u32), self.weights[tap * self.length + pixel]))
    }

    /// Samples of a pixel that come into its sum.
    fn needs(&self, pixel: usize) -> impl Iterator<Item = u32> + '_ {
        self.of(pixel).filter(|(_, weight)| *weight != 0).map(|(sample, _)| sample)
    }
}

/// A block-linear plane of `components` interleaved samples, resized along its columns.
struct Plane {
    address: u64,
    pitch: u32,
    sample_bytes: u32,
    components: u32,
    columns: Table,
    lines: Table,
    /// Rows of blocks, as they lie in memory. Those of the present lines are kept.
    blocks: BTreeMap<u32, Vec<u8>>,
    /// Lines that are resized: pixels of one component after the other.
    resized: BTreeMap<u32, Vec<i32>>,
}

impl Plane {
    /// The pixels of a line of the picture: one component after the other, 30 bits behind the point.
    fn line(&mut self, line: usize, pixels: usize, memory: &mut dyn Memory) -> Result<Vec<i32>, String> {
        let needed: Vec<u32> = self.lines.needs(line).collect();
        self.resized.retain(|at, _| needed.contains(at));
        self.blocks.retain(|at, _| needed.iter().any(|needed| needed / BLOCK_LINES == *at));
        for at in needed {
            if !self.resized.contains_key(&at) {
                let resized = self.resize(at, pixels, memory)?;
                self.resized.insert(at, resized);
            }
        }
        let mut sums = vec![1i64 << 27; pixels * self.components as usize];
        for (at, weight) in self.lines.of(line).filter(|(_, weight)| *weight != 0) {
            for (sum, pixel) in sums.iter_mut().zip(&self.resized[&at]) {
                *sum = sum.wrapping_add(i64::from(weight) * i64::from(*pixel));
            }
        }
        Ok(sums.into_iter().map(|sum| (sum >> 28) as i32).collect())
    }

    /// A line of the plane, resized along its columns.
    fn resize(&mut self, at: u32, pixels: usize, memory: &mut dyn Memory) -> Result<Vec<i32>, String> {
        let samples = self.samples(at, memory)?;
        let shift = 28 + 8 * self.sample_bytes - 30;
        let mut resized = Vec::with_capacity(pixels * self.components as usize);
        for component in 0..self.components {
            for pixel in 0..pixels {
                let mut sum = 1i64 << (shift - 1);
                for (sample, weight) in self.columns.of(pixel) {
                    let index = u64::from(sample) * u64::from(self.components) + u64::from(component);
                    let sample = *samples
                        .get(index as usize)
                        .ok_or_else(|| format!("sample {sample} is beyond a line of {} bytes", self.pitch))?;
                    sum = sum.wrapping_add(i64::from(weight) * i64::from(sample));
                }
                resized.push((sum >> shift) as i32);
            }
        }
        Ok(resized)
    }

    /// All samples of a line, up to the pitch.
    fn samples(&mut self, line: u32, memory: &mut dyn Memory) -> Result<Vec<u16>, String> {
        if !self.pitch.is_multiple_of(64) || self.pitch == 0 || self.pitch > 1 << 18 {
            return Err(format!("lines of {} bytes", self.pitch));
        }
        let row = line / BLOCK_LINES;
        let row_bytes = self.pitch as usize * BLOCK_LINES as usize;
        if !self.blocks.contains_key(&row) {
            let mut bytes = vec![0; row_bytes];
            memory.read(self.address.wrapping_add(u64::from(row) * row_bytes as u64), &mut bytes)?;
            self.blocks.insert(row, bytes);
        }
        let row = &self.blocks[&row];
        let y = (line % BLOCK_LINES) as usize;
        let mut bytes = Vec::with_capacity(self.pitch as usize);
        for x in (0..self.pitch as usize).step_by(16) {
            // 64 columns are a block of two GOBs, of 8 lines each. A GOB has sectors of 16 bytes: four lines of them one after
            // the other, then the same of the next 16 columns, then the next four lines, then the next 32 columns.
            let gob = x / 64 * 2 + y / 8;
            let sector = y % 4 + 4 * (x / 16 % 2) + 8 * (y / 4 % 2) + 16 * (x / 32 % 2);
            let at = gob * 512 + sector * 16;
            bytes.extend_from_slice(&row[at..at + 16]);
        }
        Ok(match self.sample_bytes {
            1 => bytes.into_iter().map(u16::from).collect(),
            _ => bytes.as_chunks().0.iter().map(|word| u16::from_le_bytes(*word)).collect(),
        })
    }
}

/// The output's elements, channel after channel without gaps.
struct Image {
    bytes: Vec<u8>,
    size: usize,
    width: usize,
    height: usize,
    channels: usize,
}

impl Image {
    /// What is around the picture, everywhere.
    fn fill(params: &Params) -> Result<Image, String> {
        let Params { width, height, channels, dtype, .. } = *params;
        let picture = (params.picture_width, params.picture_height);
        let is_inside =
            |start: u32, length: u32, whole: u32| start.checked_add(length).is_some_and(|end| end <= whole);
        if width > LARGEST_SIDE || height > LARGEST_SIDE || !(channels == 1 || channels == 3) || dtype > 3 {
            return Err(format!("an output of {width}x{height}, {channels} channels, type {dtype}"));
        }
        if !is_inside(params.left, picture.0, width) || !is_inside(params.top, picture.1, height) {
            return Err(format!("a picture of {picture:?} at {:?}", (params.left, params.top)));
        }
        let size = [1, 2, 2, 4][dtype as usize];
        let (width, height, channels) = (width as usize, height as usize, channels as usize);
        let mut bytes = Vec::with_capacity(width * height * channels * size);
        for channel in &params.channel[..channels] {
            let (element, _) = element(channel, dtype, channel.fill.into());
            for _ in 0..width * height {
                bytes.extend_from_slice(&element[..size]);
            }
        }
        Ok(Image { bytes, size, width, height, channels })
    }

    fn with_picture(
        mut self,
        params: &Params,
        sample_bytes: u32,
        memory: &mut dyn Memory,
    ) -> Result<Image, String> {
        let is_transposed = params.is_transposed != 0;
        let (width, height) = (params.picture_width, params.picture_height);
        let (columns, lines) = if is_transposed { (height, width) } else { (width, height) };
        let pixels = columns as usize;
        let mut plane = |address, pitch, components, of_columns: &Taps, of_lines: &Taps| {
            Ok::<_, String>(Plane {
                address,
                pitch,
                sample_bytes,
                components,
                columns: Table::read(of_columns, columns, memory)?,
                lines: Table::read(of_lines, lines, memory)?,
                blocks: BTreeMap::new(),
                resized: BTreeMap::new(),
            })
        };
        let mut luma = plane(params.luma, params.luma_pitch, 1, &params.luma_columns, &params.luma_lines)?;
        let mut chroma = match params.has_chroma {
            0 => None,
            _ => {
                let Params { chroma, chroma_pitch, chroma_columns, chroma_lines, .. } = params;
                Some(plane(*chroma, *chroma_pitch, 2, chroma_columns, chroma_lines)?)
            }
        };
        for line in 0..lines as usize {
            let y = luma.line(line, pixels, memory)?;
            let colours = match &mut chroma {
                Some(plane) => plane.line(line, pixels, memory)?,
                None => vec![0; 2 * pixels],
            };
            let (cb, cr) = colours.split_at(pixels);
            for column in 0..pixels {
                let (x, y_) = if is_transposed { (line, column) } else { (column, line) };
                let (x, y_) = (x + params.left as usize, y_ + params.top as usize);
                for (at, channel) in params.channel[..self.channels].iter().enumerate() {
                    let value = mix(channel, [y[column], cb[column], cr[column]]);
                    let (element, size) = element(channel, params.dtype, value);
                    let offset = ((at * self.height + y_) * self.width + x) * size;
                    self.bytes[offset..offset + size].copy_from_slice(&element[..size]);
                }
            }
        }
        Ok(self)
    }

    /// Writes elements that lie next to each other in memory at once.
    fn write(&self, params: &Params, memory: &mut dyn Memory) -> Result<(), String> {
        let [channel_stride, line_stride, column_stride] = params.strides;
        let size = self.size as i64;
        let at = |channel: usize, y: usize, x: usize| {
            let offset = (channel as i64).wrapping_mul(channel_stride);
            let offset = offset.wrapping_add((y as i64).wrapping_mul(line_stride));
            params.output.wrapping_add_signed(offset.wrapping_add((x as i64).wrapping_mul(column_stride)))
        };
        let element = |channel: usize, y: usize, x: usize| {
            let offset = ((channel * self.height + y) * self.width + x) * self.size;
            &self.bytes[offset..offset + self.size]
        };
        for y in 0..self.height {
            if channel_stride == size && column_stride == self.channels as i64 * size {
                let pixels = (0..self.width).flat_map(|x| (0..self.channels).map(move |c| (c, x)));
                let line: Vec<u8> = pixels.flat_map(|(c, x)| element(c, y, x)).copied().collect();
                memory.write(at(0, y, 0), &line)?;
                continue;
            }
            for channel in 0..self.channels {
                if column_stride == size {
                    let start = (channel * self.height + y) * self.width * self.size;
                    memory.write(at(channel, y, 0), &self.bytes[start..start + self.width * self.size])?;
                } else {
                    for x in 0..self.width {
                        memory.write(at(channel, y, x), element(channel, y, x))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// A channel's value, 0 to 2^30.
fn mix(channel: &Channel, planes: [i32; 3]) -> i64 {
    let sum = (0..3).fold(channel.offset, |sum, plane| {
        sum.wrapping_add(i64::from(channel.mix[plane]) * i64::from(planes[plane]))
    });
    (sum.wrapping_add(1 << 28) >> 29).clamp(0, 1 << 30)
}

/// The bytes of an element, and how many they are.
fn element(channel: &Channel, dtype: u32, value: i64) -> ([u8; 4], usize) {
    if dtype == 0 {
        return ([((value * 255 + (1 << 29)) >> 30) as u8, 0, 0, 0], 1);
    }
    let sum = value.wrapping_mul(channel.scale.into()).wrapping_add(channel.bias);
    let number = sum as f32 * f32::from_bits((127i32.wrapping_sub(channel.exponent) as u32) << 23);
    let bits = number.to_bits();
    match dtype {
        1 => {
            let [low, high] = half(bits).to_le_bytes();
            ([low, high, 0, 0], 2)
        }
        2 => {
            let rounded = bits.wrapping_add(0x7fff).wrapping_add(bits >> 16 & 1) >> 16;
            ([rounded as u8, (rounded >> 8) as u8, 0, 0], 2)
        }
        _ => (bits.to_le_bytes(), 4),
    }
}

/// A float32 as a float16, rounded to the nearest, halves to even.
fn half(bits: u32) -> u16 {
    let sign = (bits >> 16 & 0x8000) as u16;
    let exponent = (bits >> 23 & 0xff) as i32 - 127;
    let fraction = bits & 0x7f_ffff;
    // The number is `whole / 2^shift` in units of the last place of the result.
    let (base, whole, shift) = match exponent {
        128 if fraction != 0 => return 0x7fff,
        16.. => return sign | 0x7c00,
        -14.. => (((exponent + 15) as u32) << 10, fraction, 13),
        // Subnormal: the place is 2^-24. The leading bit is written out.
        -25.. => (0, fraction | 0x80_0000, (-1 - exponent) as u32),
        _ => return sign,
    };
    let (kept, rest, middle) = (whole >> shift, whole & ((1 << shift) - 1), 1 << (shift - 1));
    let up = rest > middle || (rest == middle && kept & 1 == 1);
    // A carry goes into the exponent, as it should; behind the largest number comes infinity.
    sign | (base + kept + u32::from(up)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves() {
        for (number, expected) in [
            (0.0, 0),
            (-0.0, 0x8000),
            (1.0, 0x3c00),
            (-2.0, 0xc000),
            (65504.0, 0x7bff),
            (65519.99, 0x7bff),
            (65520.0, 0x7c00),
            (1e30, 0x7c00),
            (1.0 + 1.0 / 2048.0, 0x3c00),
            (1.0 + 3.0 / 2048.0, 0x3c02),
            (1.0 + 1.01 / 2048.0, 0x3c01),
            (2.0 - 1.0 / 4096.0, 0x4000),
            (1.0 / 16384.0, 0x0400),
            (6.1e-5, 0x03ff),
            (5.9604645e-8, 0x0001),
            (2.9802322e-8, 0x0000),
            (2.9802326e-8, 0x0001),
            (8.940697e-8, 0x0002),
            (1e-9, 0),
            (f32::INFINITY, 0x7c00),
        ] {
            assert_eq!(half(f32::to_bits(number)), expected, "{number:e}");
        }
        // Every half comes back from the number that it is.
        for bits in 0..0x7c00u16 {
            let (exponent, fraction) = (i32::from(bits >> 10), f64::from(bits & 0x3ff));
            let number = match exponent {
                0 => fraction * 2f64.powi(-24),
                _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
            };
            assert_eq!(half((number as f32).to_bits()), bits);
        }
    }

    #[test]
    fn elements() {
        let channel = Channel { scale: 1 << 30, exponent: 60, ..Channel::default() };
        let of = |dtype, value| element(&channel, dtype, value).0;
        assert_eq!([of(0, 0)[0], of(0, 1 << 30)[0], of(0, 1 << 29)[0]], [0, 255, 128]);
        assert_eq!(of(3, 1 << 29), 0.5f32.to_le_bytes());
        assert_eq!(of(1, 1 << 29), [0x00, 0x38, 0, 0]);
        assert_eq!(of(2, 1 << 29), [0x00, 0x3f, 0, 0]);
        // Just below 1, which bfloat16 rounds up.
        assert_eq!(of(2, (1 << 30) - 1), [0x80, 0x3f, 0, 0]);
    }

    #[test]
    fn nonsense_is_refused() {
        struct Nothing;
        impl Memory for Nothing {
            fn read(&mut self, address: u64, _: &mut [u8]) -> Result<(), String> {
                Err(format!("nothing at {address:#x}"))
            }
            fn write(&mut self, address: u64, _: &[u8]) -> Result<(), String> {
                Err(format!("nothing at {address:#x}"))
            }
        }
        let run = |bytes: &[u8], entry| run(bytes, entry, &mut Nothing).unwrap_err();
        assert!(run(&[0; 311], ENTRY_8).contains("311 bytes"));
        assert!(run(&[0; 312], "other").contains("no kernel other"));
        for byte in [0u8, 1, 127, 255] {
            run(&[byte; 312], ENTRY_16);
        }
    }
}
