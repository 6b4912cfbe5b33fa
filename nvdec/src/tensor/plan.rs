//! [`Plan`]: all of a conversion that does not depend on the single picture.

use super::axis::{Axis, Chroma, Table, UNIT};
use super::colour;
use super::numbers::Affine;
use super::params::{self, Channel, Params, Taps};
use super::spec::{ChromaFilter, Dtype, Fit, LARGEST, Layout, Orientation, Rotation, TensorSpec, refused};
use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::pictures::info::Colour;
use crate::pictures::side_data::DisplayOrientation;
use crate::surface::format::{Rect, SurfaceGeometry};

/// Threads of a block, as `kernels/convert.cu` has them: pixels of one line lie side by side in memory.
const BLOCK: [u32; 3] = [32, 4, 1];

/// What pictures must have in common to be converted by the same plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PictureShape {
    pub(crate) geometry: SurfaceGeometry,
    pub(crate) window: Rect,
    pub(crate) colour: Colour,
    pub(crate) orientation: Option<DisplayOrientation>,
}

impl PictureShape {
    pub(crate) fn of(frame: &Frame) -> PictureShape {
        PictureShape {
            geometry: *frame.surface().geometry(),
            window: frame.crop(),
            colour: frame.colour(),
            orientation: orientation(frame),
        }
    }

    /// Whether `frame` is such a picture. It is asked for each: nothing is copied for it.
    pub(crate) fn is_of(&self, frame: &Frame) -> bool {
        self.geometry == *frame.surface().geometry()
            && self.window == frame.crop()
            && self.colour == frame.colour()
            && self.orientation == orientation(frame)
    }
}

fn orientation(frame: &Frame) -> Option<DisplayOrientation> {
    frame.side_data().and_then(|side| side.display_orientation)
}

/// How pictures of one shape become tensors.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Tables are given by their offset, all other addresses are 0; strides are those without gaps.
    params: Params,
    tables: Vec<u8>,
    dtype: Dtype,
    layout: Layout,
    bytes_per_sample: u32,
}

impl Plan {
    /// # Errors
    ///
    /// [`Error::TensorSpec`] if the options make no sense, at all or for this picture, [`Error::TensorPicture`] if the picture has
    /// not what they need, [`Error::OutsidePicture`] if its window does not lie in it.
    pub(crate) fn new(spec: &TensorSpec, picture: &PictureShape) -> Result<Plan> {
        spec.check()?;
        let PictureShape { geometry, window, .. } = *picture;
        check_picture(picture)?;
        let turn = Turn::new(spec, picture.orientation)?;
        let region = region(spec, window)?;
        let [_, _, width, height] = region;
        let upright = turn.upright([width, height]);
        let size = match spec.size {
            Some((width, height)) => [width, height],
            // What is shown is no larger than the window.
            None => upright.map(|side| ((side + UNIT / 2) / UNIT).max(1) as u32),
        };
        let fitted = fitted(spec.fit, upright, size);
        let [columns, lines] = turn.upright(fitted);

        let (is_subsampled, siting) = siting(spec, picture)?;
        let axis = |at: usize, window, pixels, is_flipped| Axis {
            window,
            region: (region[at], region[at + 2]),
            pixels,
            resize: spec.resize,
            is_flipped,
        };
        let columns = axis(0, (window.left, window.width), columns, turn.flips_columns);
        let lines = axis(1, (window.top, window.height), lines, turn.flips_lines);
        let mixes = colour::mixes(spec, geometry.format, picture.colour, window)?;
        let has_chroma = mixes.iter().any(|mix| mix.mix[1..] != [0, 0]);

        let mut tables = Tables::default();
        let luma = [tables.add(&columns.luma()?), tables.add(&lines.luma()?)];
        let mut chroma = luma;
        for (at, axis) in [columns, lines].iter().enumerate() {
            // One sample of chroma for one of luma takes the same table.
            if has_chroma && is_subsampled[at] {
                let kind = match spec.chroma {
                    ChromaFilter::Interpolated => Chroma::Between { halves: siting[at] },
                    ChromaFilter::Nearest => Chroma::Repeated,
                };
                chroma[at] = tables.add(&axis.chroma(kind)?);
            }
        }
        tables.check_gain(spec)?;

        let mut channel = [Channel::default(); 3];
        for (at, mix) in mixes.iter().enumerate() {
            let Affine { scale, bias, exponent } =
                Affine::new(spec.mean.map_or(0.0, |mean| mean[at]), spec.std.map_or(1.0, |std| std[at]));
            let fill = match spec.fit {
                Fit::Letterbox { fill } => {
                    (fill[at] * f64::from(1 << params::SAMPLE_BITS) + 0.5).floor() as i32
                }
                Fit::Stretch => 0,
            };
            channel[at] = Channel { mix: mix.mix, offset: mix.offset, scale, bias, exponent, fill };
        }
        let mut params = Params {
            luma_columns: luma[0],
            luma_lines: luma[1],
            chroma_columns: chroma[0],
            chroma_lines: chroma[1],
            luma_pitch: geometry.luma_pitch,
            chroma_pitch: geometry.chroma_pitch,
            width: size[0],
            height: size[1],
            left: (size[0] - fitted[0]) / 2,
            top: (size[1] - fitted[1]) / 2,
            picture_width: fitted[0],
            picture_height: fitted[1],
            is_transposed: turn.is_transposed.into(),
            has_chroma: has_chroma.into(),
            channels: mixes.len() as u32,
            dtype: match spec.dtype {
                Dtype::U8 => 0,
                Dtype::F16 => 1,
                Dtype::Bf16 => 2,
                Dtype::F32 => 3,
            },
            channel,
            ..Params::default()
        };
        params.strides = dense(&params, spec.dtype, spec.layout);
        let bytes_per_sample = geometry.format.bytes_per_sample();
        Ok(Plan { params, tables: tables.bytes, dtype: spec.dtype, layout: spec.layout, bytes_per_sample })
    }

    /// What is to lie in GPU memory, at an address that is a multiple of 4.
    pub(crate) fn tables(&self) -> &[u8] {
        &self.tables
    }

    /// Name of the kernel.
    pub(crate) fn entry(&self) -> &'static str {
        if self.bytes_per_sample == 1 { params::ENTRY_8 } else { params::ENTRY_16 }
    }

    /// Threads of a block.
    pub(crate) fn block(&self) -> [u32; 3] {
        BLOCK
    }

    /// Blocks.
    pub(crate) fn grid(&self) -> [u32; 3] {
        [self.params.width.div_ceil(BLOCK[0]), self.params.height.div_ceil(BLOCK[1]), 1]
    }

    /// Which of channels, lines and columns lie next to each other.
    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    /// What an element is.
    pub(crate) fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// `[C, H, W]`, or `[H, W, C]`, as the layout is.
    pub(crate) fn shape(&self) -> [usize; 3] {
        let [channels, lines, columns] = self.counts().map(|count| count as usize);
        match self.layout {
            Layout::Nchw => [channels, lines, columns],
            Layout::Nhwc => [lines, columns, channels],
        }
    }

    /// Bytes of the tensor without gaps.
    pub(crate) fn bytes(&self) -> u64 {
        self.counts().iter().product::<i64>() as u64 * self.dtype.bytes() as u64
    }

    /// Channels, lines and columns.
    fn counts(&self) -> [i64; 3] {
        counts(&self.params)
    }

    /// Bytes from the first one that is written to behind the last one, with so many bytes from one channel, line and column to the
    /// next; without gaps if `None`.
    ///
    /// # Errors
    ///
    /// [`Error::TensorMemory`] if strides are negative, no multiples of an element, or may let elements overlap.
    pub(crate) fn extent(&self, strides: Option<[i64; 3]>) -> Result<u64> {
        let Some(strides) = strides else { return Ok(self.bytes()) };
        let size = self.dtype.bytes() as i64;
        // Of a single channel, line or column the stride does not matter.
        let mut steps: Vec<(i64, i64)> =
            strides.into_iter().zip(self.counts()).filter(|(_, count)| *count > 1).collect();
        steps.sort_unstable();
        let mut extent = size;
        for (stride, count) in steps {
            if stride < 0 || stride % size != 0 {
                let possible = format!("multiples of {size} from 0 on are possible");
                return Err(self.unwritable(format!("a stride is {stride} bytes, {possible}")));
            }
            if stride < extent {
                let fault = format!("elements {stride} bytes apart overlap, {extent} or more are possible");
                return Err(self.unwritable(fault));
            }
            extent =
                stride.checked_mul(count - 1).and_then(|last| last.checked_add(extent)).ok_or_else(|| {
                    self.unwritable(format!("with a stride of {stride} bytes no address has room for it"))
                })?;
        }
        Ok(extent as u64)
    }

    /// The kernel's argument for a surface, the [`tables`](Self::tables) and an output at these GPU addresses. `strides` as in
    /// [`extent`](Self::extent).
    ///
    /// # Errors
    ///
    /// As for `extent`, and if the output's address is no multiple of an element.
    pub(crate) fn params(
        &self,
        luma: u64,
        chroma: u64,
        tables: u64,
        output: u64,
        strides: Option<[i64; 3]>,
    ) -> Result<Params> {
        let mut params = Params { luma, chroma, output, ..self.params };
        if let Some(strides) = strides {
            self.extent(Some(strides))?;
            params.strides = strides;
        }
        let size = self.dtype.bytes() as u64;
        if !output.is_multiple_of(size) {
            return Err(self.unwritable(format!("its address {output:#x} is no multiple of {size}")));
        }
        let Params { luma_columns, luma_lines, chroma_columns, chroma_lines, .. } = &mut params;
        for taps in [luma_columns, luma_lines, chroma_columns, chroma_lines] {
            taps.starts += tables;
            taps.weights += tables;
        }
        Ok(params)
    }

    pub(super) fn unwritable(&self, fault: String) -> Error {
        let [channels, lines, columns] = self.counts();
        let shape = format!("{channels} channels, {lines} lines, {columns} columns of {:?}", self.dtype);
        Error::TensorMemory { shape, fault }
    }
}

/// Channels, lines and columns.
fn counts(params: &Params) -> [i64; 3] {
    [params.channels, params.height, params.width].map(i64::from)
}

/// Bytes from one channel, line and column to the next, without gaps.
fn dense(params: &Params, dtype: Dtype, layout: Layout) -> [i64; 3] {
    let [channels, lines, columns] = counts(params);
    let size = dtype.bytes() as i64;
    match layout {
        Layout::Nchw => [lines * columns * size, columns * size, size],
        Layout::Nhwc => [size, columns * channels * size, channels * size],
    }
}

/// Whether the kernel can address the picture.
fn check_picture(picture: &PictureShape) -> Result<()> {
    let PictureShape { geometry, window, .. } = *picture;
    let whole = Rect { left: 0, top: 0, width: geometry.width, height: geometry.height };
    if !window.lies_in(whole) || window.width == 0 || window.height == 0 {
        return Err(Error::OutsidePicture { window, size: (geometry.width, geometry.height) });
    }
    if geometry.width > LARGEST || geometry.height > LARGEST {
        return Err(Error::TensorPicture {
            element: "size",
            value: format!("{}x{}", geometry.width, geometry.height),
            possible: format!("at most {LARGEST}x{LARGEST} is possible"),
        });
    }
    Ok(())
}

/// What is shown, in units of 2^-16 samples from the window's corner: x, y, width, height.
fn region(spec: &TensorSpec, window: Rect) -> Result<[i64; 4]> {
    let [width, height] = [window.width, window.height].map(|side| i64::from(side) * UNIT);
    let Some(crop) = spec.crop_units()? else { return Ok([0, 0, width, height]) };
    if crop[0] + crop[2] > width || crop[1] + crop[3] > height {
        let given = crop.map(|v| (v as f64 / UNIT as f64).to_string()).join(":");
        let possible = format!("it has to lie in the picture of {}x{}", window.width, window.height);
        return Err(refused("crop", given, possible));
    }
    Ok(crop)
}

/// The size of the picture within `size`; that of what is shown is `upright`.
fn fitted(fit: Fit, upright: [i64; 2], size: [u32; 2]) -> [u32; 2] {
    if fit == Fit::Stretch {
        return size;
    }
    let [width, height] = upright.map(i128::from);
    let [columns, lines] = size.map(i128::from);
    // One side is filled, the other is rounded, and is no longer than there is room.
    let rounded = |n: i128, d: i128| ((2 * n + d) / (2 * d)).max(1) as u32;
    if width * lines >= height * columns {
        [size[0], rounded(height * columns, width)]
    } else {
        [rounded(width * lines, height), size[1]]
    }
}

/// Whether there are fewer columns and lines of chroma than of luma, and how many halves of a luma sample the first chroma sample
/// lies behind the first of luma.
fn siting(spec: &TensorSpec, picture: &PictureShape) -> Result<([bool; 2], [u8; 2])> {
    let (width, height) = picture.geometry.format.subsampling();
    let location = spec.siting.or(picture.colour.chroma_location).unwrap_or(0);
    let offsets = match location {
        0 => [0, 1],
        1 => [1, 1],
        2 => [0, 0],
        3 => [1, 0],
        4 => [0, 2],
        5 => [1, 2],
        _ => {
            return Err(Error::TensorPicture {
                element: "chroma sample location",
                value: location.to_string(),
                possible: "which is reserved; siting=0 to siting=5 are possible".to_owned(),
            });
        }
    };
    Ok(([width == 2, height == 2], offsets))
}

/// How columns and lines of the surface become those of the upright picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Turn {
    /// Columns of the surface become lines.
    is_transposed: bool,
    /// The surface's last column comes first.
    flips_columns: bool,
    flips_lines: bool,
}

impl Turn {
    fn new(spec: &TensorSpec, said: Option<DisplayOrientation>) -> Result<Turn> {
        let (is_mirrored, turn) = match (spec.orientation, said) {
            (Orientation::Fixed { is_mirrored, turn }, _) => (is_mirrored, turn),
            (Orientation::Auto, Some(said)) => of_stream(said)?,
            _ => (false, Rotation::None),
        };
        let (is_transposed, flips_columns, flips_lines) = match turn {
            Rotation::None => (false, false, false),
            Rotation::By90 => (true, false, true),
            Rotation::By180 => (false, true, true),
            Rotation::By270 => (true, true, false),
        };
        Ok(Turn { is_transposed, flips_columns: flips_columns ^ is_mirrored, flips_lines })
    }

    /// Width and height after, or before, the turn.
    fn upright<T>(self, [width, height]: [T; 2]) -> [T; 2] {
        if self.is_transposed { [height, width] } else { [width, height] }
    }
}

/// What a stream says, as a mirror image and a clockwise turn: exchanging top and bottom is both.
fn of_stream(said: DisplayOrientation) -> Result<(bool, Rotation)> {
    if !said.anticlockwise.is_multiple_of(0x4000) {
        return Err(Error::TensorPicture {
            element: "display orientation",
            value: format!("{} degrees anticlockwise", said.degrees()),
            possible: "turns by 90, 180 and 270 are possible, and orientation=none".to_owned(),
        });
    }
    let half = if said.is_flipped_vertically { 2 } else { 0 };
    let turn = match (4 - said.anticlockwise / 0x4000 + half) % 4 {
        0 => Rotation::None,
        1 => Rotation::By90,
        2 => Rotation::By180,
        _ => Rotation::By270,
    };
    Ok((said.is_flipped_horizontally ^ said.is_flipped_vertically, turn))
}

/// Tables one after the other.
#[derive(Default)]
struct Tables {
    bytes: Vec<u8>,
    /// The largest of each axis.
    gain: i64,
}

impl Tables {
    /// Addresses are offsets.
    fn add(&mut self, table: &Table) -> Taps {
        let starts = self.bytes.len() as u64;
        self.bytes.extend(table.starts.iter().flat_map(|start| start.to_le_bytes()));
        let weights = self.bytes.len() as u64;
        self.bytes.extend(table.weights.iter().flat_map(|weight| weight.to_le_bytes()));
        self.gain = self.gain.max(table.gain);
        Taps { starts, weights, count: table.count, length: table.starts.len() as u32 }
    }

    /// The kernel keeps sums in 32 bits. Weights of a cubic come to 1.25 in either axis, where the square root of 2 is allowed, so
    /// that nothing is known to be refused here.
    fn check_gain(&self, spec: &TensorSpec) -> Result<()> {
        let gain = i128::from(self.gain);
        if gain * gain >= 1 << (2 * params::WEIGHT_BITS + 1) {
            let given = format!("{:?}", spec.resize).to_lowercase();
            return Err(refused(
                "resize",
                given,
                "its weights exceed what is computed; another size or filter is possible",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
