//! A [`TensorSpec`] from the text of an option, `size=224x224,dtype=f16`, and as such a text.

use std::fmt;
use std::str::FromStr;

use super::spec::{
    Channels, ChromaFilter, Dtype, Fit, Layout, Matrix, Orientation, Resize, Rotation, SampleRange,
    TensorSpec, listed, refused,
};
use crate::error::{Error, Result};

const KEYS: [&str; 14] = [
    "size",
    "crop",
    "resize",
    "fit",
    "channels",
    "matrix",
    "range",
    "chroma",
    "siting",
    "dtype",
    "layout",
    "mean",
    "std",
    "orientation",
];

/// What has a name for each value.
trait Named: Copy + 'static {
    const NAMES: &'static [(&'static str, Self)];
}

impl Named for Resize {
    const NAMES: &'static [(&'static str, Self)] =
        &[("nearest", Resize::Nearest), ("bilinear", Resize::Bilinear), ("bicubic", Resize::Bicubic)];
}

impl Named for Channels {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("rgb", Channels::Rgb),
        ("bgr", Channels::Bgr),
        ("grey", Channels::Grey),
        ("gray", Channels::Grey),
        ("yuv", Channels::Yuv),
    ];
}

impl Named for Matrix {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("auto", Matrix::Auto),
        ("bt601", Matrix::Bt601),
        ("bt709", Matrix::Bt709),
        ("bt2020", Matrix::Bt2020),
        ("fcc", Matrix::Fcc),
        ("smpte240m", Matrix::Smpte240m),
        ("identity", Matrix::Identity),
        ("ycgco", Matrix::YCgCo),
    ];
}

impl Named for SampleRange {
    const NAMES: &'static [(&'static str, Self)] =
        &[("auto", SampleRange::Auto), ("limited", SampleRange::Limited), ("full", SampleRange::Full)];
}

impl Named for ChromaFilter {
    const NAMES: &'static [(&'static str, Self)] =
        &[("interpolated", ChromaFilter::Interpolated), ("nearest", ChromaFilter::Nearest)];
}

impl Named for Dtype {
    const NAMES: &'static [(&'static str, Self)] =
        &[("u8", Dtype::U8), ("f16", Dtype::F16), ("bf16", Dtype::Bf16), ("f32", Dtype::F32)];
}

impl Named for Layout {
    const NAMES: &'static [(&'static str, Self)] = &[("nchw", Layout::Nchw), ("nhwc", Layout::Nhwc)];
}

impl Named for Orientation {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("none", Orientation::None),
        ("auto", Orientation::Auto),
        ("0", Orientation::Fixed { is_mirrored: false, turn: Rotation::None }),
        ("90", Orientation::Fixed { is_mirrored: false, turn: Rotation::By90 }),
        ("180", Orientation::Fixed { is_mirrored: false, turn: Rotation::By180 }),
        ("270", Orientation::Fixed { is_mirrored: false, turn: Rotation::By270 }),
        ("mirror", Orientation::Fixed { is_mirrored: true, turn: Rotation::None }),
        ("mirror:90", Orientation::Fixed { is_mirrored: true, turn: Rotation::By90 }),
        ("mirror:180", Orientation::Fixed { is_mirrored: true, turn: Rotation::By180 }),
        ("mirror:270", Orientation::Fixed { is_mirrored: true, turn: Rotation::By270 }),
    ];
}

fn named<T: Named>(key: &str, value: &str) -> Result<T> {
    match T::NAMES.iter().find(|(name, _)| *name == value) {
        Some((_, found)) => Ok(*found),
        None => {
            let names: Vec<_> = T::NAMES.iter().map(|(name, _)| *name).collect();
            Err(refused(key, value.to_owned(), format!("it is one of {}", names.join(", "))))
        }
    }
}

/// `N` numbers with colons between them.
fn numbers<const N: usize>(value: &str) -> Option<[f64; N]> {
    let numbers: Vec<f64> = value.split(':').map(|v| v.parse().ok()).collect::<Option<_>>()?;
    numbers.try_into().ok()
}

/// A number for each channel, or one for all.
fn per_channel(key: &str, value: &str) -> Result<[f64; 3]> {
    numbers::<3>(value).or_else(|| numbers::<1>(value).map(|[all]| [all; 3])).ok_or_else(|| {
        refused(key, value.to_owned(), "it is one number for all channels, or three as in 0.5:0.5:0.5")
    })
}

fn fit(key: &str, value: &str) -> Result<Fit> {
    match value.split_once(':') {
        None if value == "stretch" => Ok(Fit::Stretch),
        None if value == "letterbox" => Ok(Fit::Letterbox { fill: [0.0; 3] }),
        Some(("letterbox", fill)) => Ok(Fit::Letterbox { fill: per_channel(key, fill)? }),
        _ => Err(refused(
            key,
            value.to_owned(),
            "it is stretch, letterbox, or letterbox with a fill colour as in letterbox:0.5",
        )),
    }
}

/// Comma-separated `key=value`, every key at most once:
///
/// | key | value |
/// | --- | --- |
/// | `size` | columns x lines: `224x224` |
/// | `crop` | x, y, width and height: `0:0:1280.5:720` |
/// | `resize` | `nearest`, `bilinear`, `bicubic` |
/// | `fit` | `stretch`, `letterbox`, `letterbox:0.5`, `letterbox:0.5:0.4:0.3` |
/// | `channels` | `rgb`, `bgr`, `grey`, `yuv` |
/// | `matrix` | `auto`, `bt601`, `bt709`, `bt2020`, `fcc`, `smpte240m`, `identity`, `ycgco` |
/// | `range` | `auto`, `limited`, `full` |
/// | `chroma` | `interpolated`, `nearest` |
/// | `siting` | 0 to 5 |
/// | `dtype` | `u8`, `f16`, `bf16`, `f32` |
/// | `layout` | `nchw`, `nhwc` |
/// | `mean`, `std` | one number, or three: `0.485:0.456:0.406` |
/// | `orientation` | `none`, `auto`, `0`, `90`, `180`, `270`, `mirror`, `mirror:90`, … |
impl FromStr for TensorSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<TensorSpec> {
        let mut spec = TensorSpec::new();
        let mut seen = Vec::new();
        for part in text.split(',').filter(|_| !text.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            if !KEYS.contains(&key) {
                return Err(refused(key, part.to_owned(), format!("options are {}", KEYS.join(", "))));
            }
            if seen.contains(&key) {
                return Err(refused(key, value.to_owned(), "it is given twice"));
            }
            seen.push(key);
            let wrong = |possible: &str| refused(key, value.to_owned(), possible);
            match key {
                "size" => {
                    let sides =
                        value.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
                    spec.size = Some(sides.ok_or_else(|| wrong("it is columns x lines, as in 224x224"))?);
                }
                "crop" => {
                    let crop =
                        numbers(value).ok_or_else(|| wrong("it is x:y:width:height, as in 0:0:640:360"))?;
                    spec.crop = Some(crop);
                }
                "siting" => spec.siting = Some(value.parse().map_err(|_| wrong("0 to 5 are possible"))?),
                "fit" => spec.fit = fit(key, value)?,
                "mean" => spec.mean = Some(per_channel(key, value)?),
                "std" => spec.std = Some(per_channel(key, value)?),
                "resize" => spec.resize = named(key, value)?,
                "channels" => spec.channels = named(key, value)?,
                "matrix" => spec.matrix = named(key, value)?,
                "range" => spec.range = named(key, value)?,
                "chroma" => spec.chroma = named(key, value)?,
                "dtype" => spec.dtype = named(key, value)?,
                "layout" => spec.layout = named(key, value)?,
                _ => spec.orientation = named(key, value)?,
            }
        }
        spec.check()?;
        Ok(spec)
    }
}

/// The name of `value`, unless it is what is taken where nothing is said.
fn name<T: Named + Default + PartialEq>(value: T) -> Option<String> {
    let name = T::NAMES.iter().find(|(_, named)| *named == value).map(|(name, _)| (*name).to_owned());
    name.filter(|_| value != T::default())
}

/// As [`FromStr`] reads it, with the keys alone that are not what is taken without them; nothing at all of a new one.
impl fmt::Display for TensorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fit = match self.fit {
            Fit::Stretch => None,
            Fit::Letterbox { fill } => Some(format!("letterbox:{}", listed(&fill))),
        };
        let values = [
            self.size.map(|(width, height)| format!("{width}x{height}")),
            self.crop.map(|crop| listed(&crop)),
            name(self.resize),
            fit,
            name(self.channels),
            name(self.matrix),
            name(self.range),
            name(self.chroma),
            self.siting.map(|location| location.to_string()),
            name(self.dtype),
            name(self.layout),
            self.mean.map(|mean| listed(&mean)),
            self.std.map(|std| listed(&std)),
            name(self.orientation),
        ];
        let said = KEYS.iter().zip(values).filter_map(|(key, value)| Some((key, value?)));
        for (at, (key, value)) in said.enumerate() {
            write!(f, "{}{key}={value}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        text.parse::<TensorSpec>().unwrap_err().to_string()
    }

    #[test]
    fn every_key_is_read() {
        let text = "size=224x112,dtype=f16,layout=nhwc,matrix=bt709,range=limited,chroma=nearest,resize=bicubic,\
                    mean=0.485:0.456:0.406,std=0.5,crop=0.5:1:20:30.25,fit=letterbox:0.25,channels=bgr,orientation=mirror:90,siting=3";
        let expected = TensorSpec::new()
            .size(224, 112)
            .dtype(Dtype::F16)
            .layout(Layout::Nhwc)
            .matrix(Matrix::Bt709)
            .range(SampleRange::Limited)
            .chroma(ChromaFilter::Nearest)
            .resize(Resize::Bicubic)
            .mean([0.485, 0.456, 0.406])
            .std([0.5; 3])
            .crop(0.5, 1.0, 20.0, 30.25)
            .fit(Fit::Letterbox { fill: [0.25; 3] })
            .channels(Channels::Bgr)
            .orientation(Orientation::Fixed { is_mirrored: true, turn: Rotation::By90 })
            .siting(3);
        assert_eq!(text.parse::<TensorSpec>().unwrap(), expected);
        assert_eq!("".parse::<TensorSpec>().unwrap(), TensorSpec::new());
        // And said again, if in another order.
        assert_eq!(expected.to_string().parse::<TensorSpec>().unwrap(), expected);
        assert_eq!(TensorSpec::new().to_string(), "");
        let said = TensorSpec::new().dtype(Dtype::F32).mean([0.1; 3]).size(4, 5).to_string();
        assert_eq!(said, "size=4x5,dtype=f32,mean=0.1:0.1:0.1");
    }

    #[test]
    fn errors_name_the_key_what_was_given_and_what_is_possible() {
        for (text, parts) in [
            ("size=0x5", ["`size`", "0x5", "1x1 to 16384x16384"]),
            ("size=16385x5", ["`size`", "16385x5", "16384"]),
            ("size=12", ["`size`", "12", "224x224"]),
            ("dtype=f64", ["`dtype`", "f64", "u8, f16, bf16, f32"]),
            ("dtype", ["`dtype`", "", "u8, f16, bf16, f32"]),
            ("colour=red", ["`colour`", "colour=red", "size, crop"]),
            ("range=full,range=full", ["`range`", "full", "twice"]),
            ("dtype=f32,std=0", ["`std`", "0:0:0", "2^-20"]),
            ("dtype=f32,std=-1", ["`std`", "-1", "2^-20"]),
            ("dtype=f32,std=nan", ["`std`", "NaN", "1048576"]),
            ("dtype=f32,mean=inf", ["`mean`", "inf", "1048576"]),
            ("dtype=f32,mean=1:2", ["`mean`", "1:2", "three"]),
            ("mean=0.5", ["`mean`", "0.5", "f32"]),
            ("crop=1:2:3", ["`crop`", "1:2:3", "x:y:width:height"]),
            ("crop=-1:2:3:4", ["`crop`", "-1:2:3:4", "0 or more"]),
            ("crop=0:0:nan:4", ["`crop`", "NaN", "more than 0"]),
            ("crop=0:0:1e300:4", ["`crop`", ":4", "16384"]),
            ("fit=cover", ["`fit`", "cover", "letterbox"]),
            ("fit=letterbox:2", ["`fit`", "2", "0 to 1"]),
            ("siting=6", ["`siting`", "6", "0 to 5"]),
            (",", ["``", "", "options are"]),
        ] {
            let said = said(text);
            assert!(parts.iter().all(|part| said.contains(part)), "{text}: {said}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[a-z0-9=,:.x-]{0,40}", key in 0usize..14, value in "[a-z0-9:.x-]{0,12}") {
            let _ = text.parse::<TensorSpec>();
            if let Ok(spec) = format!("dtype=f32,{}={value}", KEYS[key]).parse::<TensorSpec>() {
                assert_eq!(spec.to_string().parse::<TensorSpec>().unwrap(), spec);
            }
        }
    }
}
