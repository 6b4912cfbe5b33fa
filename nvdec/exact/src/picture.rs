//! A decoded picture in host memory.

use crate::Error;

/// Code values of one plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plane {
    width: usize,
    height: usize,
    stride: usize,
    samples: Vec<u16>,
}

/// Where the samples of a plane are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packing {
    /// Byte of the first sample.
    pub offset: usize,
    /// Bytes from a row to the next.
    pub pitch: usize,
    /// Samples from a sample to the next of the same plane: 1, or 2 where Cb and Cr alternate.
    pub step: usize,
}

impl Plane {
    /// A plane of `width` by `height` code values, rows `stride` samples apart.
    ///
    /// # Errors
    ///
    /// [`Error::Samples`].
    pub fn new(width: usize, height: usize, stride: usize, samples: Vec<u16>) -> Result<Self, Error> {
        let needed = if height == 0 { 0 } else { stride * (height - 1) + width };
        if stride < width || samples.len() < needed {
            return Err(Error::Samples { needed: needed.max(width * height), given: samples.len() });
        }
        Ok(Self { width, height, stride, samples })
    }

    /// A plane whose samples all have the same code value.
    pub fn filled(width: usize, height: usize, code: u16) -> Self {
        Self { width, height, stride: width, samples: vec![code; width * height] }
    }

    /// A plane whose samples are what `code` says of their column and row.
    pub fn from_fn(width: usize, height: usize, mut code: impl FnMut(usize, usize) -> u16) -> Self {
        let samples = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| code(x, y));
        Self { width, height, stride: width, samples: samples.collect() }
    }

    /// A plane in memory: bytes if `depth` is 8, else little-endian words with the sample in their upper bits (NV12,
    /// P010, P016).
    ///
    /// # Errors
    ///
    /// [`Error::Depth`], or [`Error::Samples`] if there are too few bytes.
    pub fn from_bytes(
        bytes: &[u8],
        packing: Packing,
        width: usize,
        height: usize,
        depth: u32,
    ) -> Result<Self, Error> {
        check_depth(depth)?;
        let size = if depth == 8 { 1 } else { 2 };
        let Packing { offset, pitch, step } = packing;
        if width == 0 || height == 0 {
            return Ok(Self::filled(width, height, 0));
        }
        let needed = offset + pitch * (height - 1) + size * (step * (width - 1) + 1);
        if bytes.len() < needed {
            return Err(Error::Samples { needed, given: bytes.len() });
        }
        Ok(Self::from_fn(width, height, |x, y| {
            let at = offset + pitch * y + size * step * x;
            if size == 1 {
                u16::from(bytes[at])
            } else {
                u16::from_le_bytes([bytes[at], bytes[at + 1]]) >> (16 - depth)
            }
        }))
    }

    /// Samples in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The code value in column `x` of row `y`.
    ///
    /// # Panics
    ///
    /// If there is no such sample.
    pub fn code(&self, x: usize, y: usize) -> u16 {
        assert!(x < self.width && y < self.height, "sample ({x}, {y}) of {}x{}", self.width, self.height);
        self.samples[y * self.stride + x]
    }
}

/// Luma samples for each chroma sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subsampling {
    /// 4:2:0: two in either direction.
    Both,
    /// 4:2:2: two in a row.
    Horizontal,
    /// 4:4:4: one.
    None,
}

impl Subsampling {
    /// `SubWidthC` and `SubHeightC`.
    pub fn factors(self) -> (usize, usize) {
        match self {
            Self::Both => (2, 2),
            Self::Horizontal => (2, 1),
            Self::None => (1, 1),
        }
    }
}

/// The part of a picture that is meant to be seen (the conformance window), in luma samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First column.
    pub left: usize,
    /// First row.
    pub top: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Window {
    /// First column or row of chroma of the window, and the first behind it.
    pub(crate) fn chroma(start: usize, size: usize, factor: usize) -> (usize, usize) {
        (start / factor, (start + size).div_ceil(factor))
    }
}

/// A decoded picture: three planes of code values, and what they mean geometrically.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    pub(crate) planes: [Plane; 3],
    pub(crate) subsampling: Subsampling,
    pub(crate) depths: [u32; 2],
    pub(crate) window: Window,
}

impl Picture {
    /// A picture of the planes Y, Cb and Cr. `depths` are those of luma and of chroma, 8 to 16 bits each.
    ///
    /// # Errors
    ///
    /// [`Error::Depth`], [`Error::Window`], or [`Error::Code`] for a sample of the window.
    pub fn new(
        planes: [Plane; 3],
        subsampling: Subsampling,
        depths: [u32; 2],
        window: Window,
    ) -> Result<Self, Error> {
        depths.into_iter().try_for_each(check_depth)?;
        let (sub_x, sub_y) = subsampling.factors();
        let names = ["luma", "Cb", "Cr"];
        for (index, (plane, name)) in planes.iter().zip(names).enumerate() {
            let (factors, depth) = if index == 0 { ((1, 1), depths[0]) } else { ((sub_x, sub_y), depths[1]) };
            let (left, right) = Window::chroma(window.left, window.width, factors.0);
            let (top, bottom) = Window::chroma(window.top, window.height, factors.1);
            if window.width == 0 || window.height == 0 || right > plane.width || bottom > plane.height {
                return Err(Error::Window(name));
            }
            let mut codes = (top..bottom).flat_map(|y| (left..right).map(move |x| plane.code(x, y)));
            if let Some(code) = codes.find(|code| u32::from(*code) >> depth != 0) {
                return Err(Error::Code { plane: name, code, depth });
            }
        }
        Ok(Self { planes, subsampling, depths, window })
    }

    /// A picture that is seen as a whole, of one depth.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn whole(
        luma: Plane,
        cb: Plane,
        cr: Plane,
        subsampling: Subsampling,
        depth: u32,
    ) -> Result<Self, Error> {
        let window = Window { left: 0, top: 0, width: luma.width, height: luma.height };
        Self::new([luma, cb, cr], subsampling, [depth; 2], window)
    }

    /// The window.
    pub fn window(&self) -> Window {
        self.window
    }
}

fn check_depth(depth: u32) -> Result<(), Error> {
    if (8..=16).contains(&depth) { Ok(()) } else { Err(Error::Depth(depth)) }
}
