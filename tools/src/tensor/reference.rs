//! What a tensor's elements would be in exact arithmetic: pictures and specs as the crate `exact` takes them.
//!
//! Nothing here comes from the conversions: a spec is read from its text, and what a stream leaves open is decided by the rules
//! of `docs/colour.md`.

use std::collections::HashMap;

use exact::{
    BigRational, Channels, Chroma, Conversion, Crop, Filter, Fit, Orientation, Picture, Plane, Rotation,
    Subsampling, Window,
};
use nvdec::class;
use nvdec::side_data::DisplayOrientation;
use nvdec::tensor::{Dtype, Layout, TensorSpec};
use nvdec::{Colour, HostFrame};

/// Why there is no reference.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// The spec says what is not known here.
    #[error("the reference does not know {key}={value}")]
    Unknown {
        /// The key.
        key: String,
        /// Its value.
        value: String,
    },
    /// The definition has no such tensor of the picture.
    #[error("the definition has no such tensor: {0}")]
    Undefined(exact::Error),
}

/// A conversion of one picture in exact arithmetic.
#[derive(Debug)]
pub struct Reference {
    /// The samples.
    pub picture: Picture,
    /// What becomes of them, with everything resolved.
    pub conversion: Conversion,
    /// What an element is.
    pub dtype: Dtype,
    /// How they lie.
    pub layout: Layout,
}

impl Reference {
    /// What `spec` makes of a picture. `host` is the whole picture, with the part to be shown as its window; colour and
    /// orientation are what the stream says.
    ///
    /// # Errors
    ///
    /// [`ReferenceError`].
    pub fn new(
        spec: &TensorSpec,
        host: &HostFrame,
        coded: (u32, u32),
        colour: Colour,
        turned: Option<DisplayOrientation>,
    ) -> Result<Reference, ReferenceError> {
        let text = spec.to_string();
        let said: HashMap<&str, &str> = text.split(',').filter_map(|part| part.split_once('=')).collect();
        let picture = picture(host, coded).map_err(ReferenceError::Undefined)?;
        let said = Said(said);
        let conversion = said.conversion((host.width, host.height), colour, turned)?;
        let dtype = said.one_of(
            "dtype",
            "u8",
            &[("u8", Dtype::U8), ("f16", Dtype::F16), ("bf16", Dtype::Bf16), ("f32", Dtype::F32)],
        )?;
        let layout = said.one_of("layout", "nchw", &[("nchw", Layout::Nchw), ("nhwc", Layout::Nhwc)])?;
        Ok(Reference { picture, conversion, dtype, layout })
    }

    /// Dimensions of the tensor, in the order of its layout.
    pub fn dims(&self) -> [usize; 3] {
        let Conversion { width, height, channels, .. } = self.conversion;
        match self.layout {
            Layout::Nhwc => [height, width, channels.count()],
            _ => [channels.count(), height, width],
        }
    }

    /// Position of an element among all of the picture.
    pub fn position(&self, channel: usize, x: usize, y: usize) -> usize {
        let Conversion { width, height, channels, .. } = self.conversion;
        match self.layout {
            Layout::Nhwc => (y * width + x) * channels.count() + channel,
            _ => (channel * height + y) * width + x,
        }
    }

    /// Most samples that a pixel takes along an axis.
    pub fn taps(&self) -> u32 {
        let radius = match self.conversion.filter {
            Filter::Nearest => return 2,
            Filter::Bilinear => 1.0,
            Filter::Bicubic => 2.0,
        };
        let window = self.picture.window();
        let (mut columns, mut lines) = (self.conversion.width, self.conversion.height);
        if self.conversion.orientation.is_sideways() {
            (columns, lines) = (lines, columns);
        }
        // Those of the whole window are no fewer than those of a part of it.
        let scale = (window.width as f64 / columns as f64).max(window.height as f64 / lines as f64);
        (2.0 * radius * scale.max(1.0)).ceil() as u32 + 1
    }
}

/// The planes of a picture. Samples of more than 8 bits, or beside such, are in the upper bits of words.
fn picture(host: &HostFrame, (width, height): (u32, u32)) -> Result<Picture, exact::Error> {
    let format = host.format;
    let bytes = format.bytes_per_sample() as usize;
    let depths = [format.bit_depth, format.chroma_bit_depth].map(u32::from);
    let code = |memory: &[u8], at: usize, depth: u32| match bytes {
        1 => u16::from(memory[at]),
        _ => u16::from_le_bytes([memory[at], memory[at + 1]]) >> (16 - depth),
    };
    let (width, height) = (width as usize, height as usize);
    let luma =
        Plane::from_fn(width, height, |x, y| code(&host.luma, y * host.luma_pitch + x * bytes, depths[0]));
    let subsampling = match format.chroma {
        class::Chroma::C420 => Subsampling::Both,
        class::Chroma::C422 => Subsampling::Horizontal,
        _ => Subsampling::None,
    };
    let (sub_x, sub_y) = subsampling.factors();
    let of_chroma = |component: usize| {
        let (width, height) = (width.div_ceil(sub_x), height.div_ceil(sub_y));
        if format.chroma == class::Chroma::C400 {
            // No conversion that is possible looks at it.
            return Plane::filled(width, height, 0);
        }
        Plane::from_fn(width, height, |x, y| {
            code(&host.chroma, y * host.chroma_pitch + (2 * x + component) * bytes, depths[1])
        })
    };
    let [left, top, width, height] = [host.left, host.top, host.width, host.height].map(|side| side as usize);
    let planes = [luma, of_chroma(0), of_chroma(1)];
    Picture::new(planes, subsampling, depths, Window { left, top, width, height })
}

/// The keys of a spec's text.
struct Said<'a>(HashMap<&'a str, &'a str>);

impl Said<'_> {
    fn unknown(key: &str, value: &str) -> ReferenceError {
        ReferenceError::Unknown { key: key.to_owned(), value: value.to_owned() }
    }

    fn one_of<T: Clone>(&self, key: &str, default: &str, all: &[(&str, T)]) -> Result<T, ReferenceError> {
        let value = self.0.get(key).copied().unwrap_or(default);
        let found = all.iter().find(|(name, _)| *name == value);
        found.map(|(_, value)| value.clone()).ok_or_else(|| Said::unknown(key, value))
    }

    /// Numbers between colons. The text has each binary number as the shortest decimal one that is nearest to no other.
    fn numbers(&self, key: &str) -> Result<Option<Vec<BigRational>>, ReferenceError> {
        let Some(value) = self.0.get(key) else { return Ok(None) };
        let numbers = value.split(':').filter(|part| *part != "letterbox");
        let read = |part: &str| part.parse().ok().and_then(BigRational::from_float::<f64>);
        let numbers: Option<Vec<_>> = numbers.map(read).collect();
        numbers.map(Some).ok_or_else(|| Said::unknown(key, value))
    }

    fn conversion(
        &self,
        window: (u32, u32),
        colour: Colour,
        turned: Option<DisplayOrientation>,
    ) -> Result<Conversion, ReferenceError> {
        let channels = self.one_of(
            "channels",
            "rgb",
            &[
                ("rgb", Channels::Rgb),
                ("bgr", Channels::Bgr),
                ("grey", Channels::Grey),
                ("yuv", Channels::Yuv),
            ],
        )?;
        let orientation = self.orientation(turned)?;
        let crop = self.crop()?;
        let (width, height) = match self.0.get("size") {
            Some(size) => size
                .split_once('x')
                .and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)))
                .ok_or_else(|| Said::unknown("size", size))?,
            None => own_size(window, crop.as_ref(), orientation),
        };
        let matrices: [(&str, Option<u8>); 8] = [
            ("auto", None),
            ("bt601", Some(6)),
            ("bt709", Some(1)),
            ("bt2020", Some(9)),
            ("fcc", Some(4)),
            ("smpte240m", Some(7)),
            ("identity", Some(0)),
            ("ycgco", Some(8)),
        ];
        let matrix = self.one_of("matrix", "auto", &matrices)?.unwrap_or(match colour.matrix {
            2 => exact::auto_matrix(window.0 as usize, window.1 as usize),
            said => said,
        });
        let ranges = [("auto", None), ("limited", Some(false)), ("full", Some(true))];
        let full_range = self.one_of("range", "auto", &ranges)?.unwrap_or(colour.full_range);
        let siting = match self.0.get("siting") {
            Some(siting) => siting.parse().map_err(|_| Said::unknown("siting", siting))?,
            None => colour.chroma_location.unwrap_or(0),
        };
        let filters =
            [("nearest", Filter::Nearest), ("bilinear", Filter::Bilinear), ("bicubic", Filter::Bicubic)];
        let chroma = [("interpolated", Chroma::Interpolated), ("nearest", Chroma::Nearest)];
        // Grey has the first number of each list.
        let of_channels =
            |list: Vec<BigRational>| list.into_iter().take(channels.count()).collect::<Vec<_>>();
        let fit = self.numbers("fit")?.map_or(Fit::Stretch, |fill| Fit::Letterbox(of_channels(fill)));
        Ok(Conversion {
            crop,
            filter: self.one_of("resize", "bilinear", &filters)?,
            fit,
            channels,
            full_range,
            siting,
            chroma: self.one_of("chroma", "interpolated", &chroma)?,
            orientation,
            mean: self.numbers("mean")?.map(of_channels).unwrap_or_default(),
            std: self.numbers("std")?.map(of_channels).unwrap_or_default(),
            ..Conversion::new(width, height, matrix)
        })
    }

    /// In multiples of 2^-16 samples.
    fn crop(&self) -> Result<Option<Crop>, ReferenceError> {
        let Some(numbers) = self.numbers("crop")? else { return Ok(None) };
        let unit = exact::ratio(1 << 16, 1);
        let rounded = |number: BigRational| (number * &unit + exact::ratio(1, 2)).floor() / &unit;
        let numbers: Result<[_; 4], _> = numbers.try_into();
        let [x, y, width, height] = numbers.map_err(|_| Said::unknown("crop", self.0["crop"]))?.map(rounded);
        Ok(Some(Crop { x, y, width, height }))
    }

    fn orientation(&self, turned: Option<DisplayOrientation>) -> Result<Orientation, ReferenceError> {
        let value = self.0.get("orientation").copied().unwrap_or("none");
        let (mirror, degrees) = match (value, turned) {
            ("none", _) | ("auto", None) => return Ok(Orientation::UPRIGHT),
            // Top and bottom exchanged are left and right exchanged and half a turn; the turn is anticlockwise.
            ("auto", Some(said)) => {
                let half = if said.is_flipped_vertically { 180.0 } else { 0.0 };
                let mirror = said.is_flipped_horizontally != said.is_flipped_vertically;
                (mirror, ((360.0 - said.degrees() + half) % 360.0).to_string())
            }
            (value, _) => match value.strip_prefix("mirror") {
                Some("") => (true, "0".to_owned()),
                Some(turn) => (true, turn.trim_start_matches(':').to_owned()),
                None => (false, value.to_owned()),
            },
        };
        let rotation = match degrees.as_str() {
            "0" => Rotation::None,
            "90" => Rotation::Clockwise90,
            "180" => Rotation::Half,
            "270" => Rotation::Clockwise270,
            _ => return Err(Said::unknown("orientation", value)),
        };
        Ok(Orientation { mirror, rotation })
    }
}

/// The size of what is shown, halves up, at least 1.
fn own_size(window: (u32, u32), crop: Option<&Crop>, orientation: Orientation) -> (usize, usize) {
    let whole = |side: u32| exact::ratio(side.into(), 1);
    let (width, height) =
        crop.map_or((whole(window.0), whole(window.1)), |crop| (crop.width.clone(), crop.height.clone()));
    let rounded = |side: BigRational| {
        let side = (side + exact::ratio(1, 2)).floor().to_integer();
        usize::try_from(side).expect("no longer than the window").max(1)
    };
    let (width, height) = (rounded(width), rounded(height));
    if orientation.is_sideways() { (height, width) } else { (width, height) }
}

#[cfg(test)]
mod tests {
    use nvdec::SurfaceFormat;

    use super::*;

    fn host() -> HostFrame {
        HostFrame {
            format: SurfaceFormat { chroma: class::Chroma::C420, bit_depth: 8, chroma_bit_depth: 10 },
            left: 2,
            top: 0,
            width: 2,
            height: 2,
            // Words with the sample in their upper bits, whatever lies below.
            luma: [1, 2, 3, 4, 5, 6, 7, 8].into_iter().flat_map(|sample| [0xff, sample]).collect(),
            luma_pitch: 8,
            chroma: [1u16, 2, 1023, 4].into_iter().flat_map(|sample| (sample << 6).to_le_bytes()).collect(),
            chroma_pitch: 8,
        }
    }

    fn reference(text: &str, colour: Colour, turned: Option<DisplayOrientation>) -> Reference {
        Reference::new(&text.parse().unwrap(), &host(), (4, 2), colour, turned).unwrap()
    }

    #[test]
    fn samples_and_window() {
        let reference = reference("channels=yuv", Colour::default(), None);
        let exact = exact::Exact::new(&reference.picture, &reference.conversion).unwrap();
        assert_eq!((exact.size(), reference.dims()), ((2, 2, 3), [3, 2, 2]));
        let pixel = exact.pixel(1, 1);
        assert_eq!(pixel, [exact::ratio(8, 255), exact::ratio(1, 1), exact::ratio(4, 1023)]);
        assert_eq!((reference.position(2, 1, 0), reference.taps()), (9, 3));
    }

    #[test]
    fn what_a_stream_leaves_open() {
        let of = |text: &str, colour| reference(text, colour, None).conversion;
        let silent = of("", Colour::default());
        assert_eq!((silent.matrix, silent.full_range, silent.siting), (6, false, 0));
        let mut colour = Colour::default();
        (colour.matrix, colour.full_range, colour.chroma_location) = (9, true, Some(3));
        let said = of("", colour);
        assert_eq!((said.matrix, said.full_range, said.siting), (9, true, 3));
        let asked = of("matrix=bt709,range=limited,siting=2", colour);
        assert_eq!((asked.matrix, asked.full_range, asked.siting), (1, false, 2));
    }

    #[test]
    fn all_keys_are_understood() {
        let text = "size=7x5,crop=0.25:0:1.5:2,resize=bicubic,fit=letterbox:0.5,channels=grey,chroma=nearest,\
                    dtype=bf16,layout=nhwc,mean=0.5:1:2,std=0.25,orientation=mirror:270";
        let reference = reference(text, Colour::default(), None);
        assert_eq!((reference.dims(), reference.dtype), ([5, 7, 1], Dtype::Bf16));
        let Conversion { crop, filter, fit, chroma, orientation, mean, std, .. } = reference.conversion;
        assert_eq!(crop.unwrap().width, exact::ratio(3, 2));
        assert_eq!((filter, chroma), (Filter::Bicubic, Chroma::Nearest));
        assert_eq!(fit, Fit::Letterbox(vec![exact::ratio(1, 2)]));
        assert_eq!(orientation, Orientation { mirror: true, rotation: Rotation::Clockwise270 });
        assert_eq!((mean, std), (vec![exact::ratio(1, 2)], vec![exact::ratio(1, 4)]));
    }

    #[test]
    fn orientation_of_the_stream() {
        let said = |horizontally, vertically, anticlockwise| {
            let turned = DisplayOrientation {
                is_flipped_horizontally: horizontally,
                is_flipped_vertically: vertically,
                anticlockwise,
            };
            reference("orientation=auto", Colour::default(), Some(turned)).conversion.orientation
        };
        assert_eq!(said(false, false, 0), Orientation::UPRIGHT);
        assert_eq!(said(false, false, 0x4000).rotation, Rotation::Clockwise270);
        assert_eq!(said(true, true, 0), Orientation { mirror: false, rotation: Rotation::Half });
        assert_eq!(said(false, true, 0xc000), Orientation { mirror: true, rotation: Rotation::Clockwise270 });
    }
}
