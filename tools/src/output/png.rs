//! PNG files in RGB.
//!
//! The matrix is that of the VUI; where it is unspecified, BT.709 for 720 lines and more, else BT.601, which is the
//! usual guess. Range is the VUI's too. Chroma is taken from the nearest sample, without interpolation: the files are
//! for looking at pictures, not for measuring colour. Transfer functions are left alone; the file says which one it is, and for
//! which display, where the stream does (chunks cICP, mDCV and cLLI).

use std::path::{Path, PathBuf};

use nvdec::class::Chroma;
use png::chunk::{self, ChunkType};

use super::Sink;
use super::file::{OutputFile, Sources, is_dash};
use crate::decode::Picture;
use crate::exit::Failure;

/// Names of the files of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// One picture, one file.
    One(PathBuf),
    /// Text before the number, its least number of digits, text behind it.
    Pattern(String, usize, String),
}

impl Names {
    /// From the output path: a pattern with `%d` or `%06d`, a directory, or for one picture a plain name.
    pub fn of(path: Option<&Path>, frames: Option<u64>) -> Result<Names, Failure> {
        let Some(path) = path.filter(|path| !is_dash(path)) else {
            return Err(Failure::Usage(
                "png writes files: give -o DIRECTORY, -o %06d.png or -o NAME.png".to_owned(),
            ));
        };
        let text = path.to_string_lossy();
        if let Some((before, digits, behind)) = pattern(&text) {
            return Ok(Names::Pattern(before.to_owned(), digits, behind.to_owned()));
        }
        if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("png")) && !path.is_dir() {
            return match frames {
                Some(1) => Ok(Names::One(path.to_owned())),
                _ => Err(Failure::Usage(format!(
                    "{text} is one file: say --frames 1, or use a directory or a pattern with %d"
                ))),
            };
        }
        Names::in_folder(path, "png")
    }

    /// A series as `path` says: a pattern, or a folder that is there. `None` for one file.
    pub fn series(path: &Path, extension: &str) -> Result<Option<Names>, Failure> {
        if let Some((before, digits, behind)) = pattern(&path.to_string_lossy()) {
            return Ok(Some(Names::Pattern(before.to_owned(), digits, behind.to_owned())));
        }
        path.is_dir().then(|| Names::in_folder(path, extension)).transpose()
    }

    fn in_folder(path: &Path, extension: &str) -> Result<Names, Failure> {
        let text = path.to_string_lossy();
        std::fs::create_dir_all(path)
            .map_err(|source| Failure::Output { path: text.clone().into_owned(), source })?;
        Ok(Names::Pattern(format!("{text}/"), 6, format!(".{extension}")))
    }

    /// Name of the file of that number, from 0.
    pub fn name(&self, index: u64) -> PathBuf {
        match self {
            Names::One(path) => path.clone(),
            Names::Pattern(before, digits, behind) => format!("{before}{index:0digits$}{behind}").into(),
        }
    }
}

/// Splits at the first `%d` or `%0Nd`.
fn pattern(text: &str) -> Option<(&str, usize, &str)> {
    text.match_indices('%').find_map(|(at, _)| {
        let rest = &text[at + 1..];
        let end = rest.find('d')?;
        let digits = &rest[..end];
        let width = match digits.strip_prefix('0') {
            _ if digits.is_empty() => 1,
            Some(width) => width.parse().ok().filter(|width| (1..=20).contains(width))?,
            None => return None,
        };
        Some((&text[..at], width, &rest[end + 1..]))
    })
}

/// Writes each picture to a file.
pub struct PngFiles {
    names: Names,
    sources: Sources,
}

impl PngFiles {
    /// A writer of files called `names`, none of which is one of `sources`.
    pub fn new(names: Names, sources: Sources) -> PngFiles {
        PngFiles { names, sources }
    }
}

impl Sink for PngFiles {
    fn picture(&mut self, picture: &Picture) -> Result<(), Failure> {
        let path = self.names.name(picture.index);
        write(&path, OutputFile::create(&path, &self.sources)?, picture)
    }

    fn finish(self: Box<Self>) -> Result<(), Failure> {
        Ok(())
    }
}

/// Writes a picture to `file`, which `path` names in messages, and ends the file.
pub(super) fn write(path: &Path, mut file: OutputFile, picture: &Picture) -> Result<(), Failure> {
    let deep = picture.host.format.bytes_per_sample() > 1;
    let mut encoder = png::Encoder::new(&mut file, picture.host.width, picture.host.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(if deep { png::BitDepth::Sixteen } else { png::BitDepth::Eight });
    let mut data = Vec::new();
    for value in rgb(picture).into_iter().flatten() {
        match deep {
            true => data.extend_from_slice(&((value * 65535.0).round() as u16).to_be_bytes()),
            false => data.push((value * 255.0).round() as u8),
        }
    }
    encoder
        .write_header()
        .and_then(|mut writer| {
            for (name, data) in colour_chunks(picture) {
                writer.write_chunk(name, &data)?;
            }
            writer.write_image_data(&data)?;
            writer.finish()
        })
        .map_err(|source| Failure::Png { path: path.to_owned(), source })?;
    file.commit().map(|_| ())
}

/// What the stream says of colours, as chunks of PNG's third edition: cICP where it says which primaries and transfer function
/// it has, and with it mDCV and cLLI.
fn colour_chunks(picture: &Picture) -> Vec<(ChunkType, Vec<u8>)> {
    let side_data = picture.side_data.as_deref();
    let transfer = side_data.and_then(|data| data.alternative_transfer).unwrap_or(picture.colour.transfer);
    let primaries = picture.colour.primaries;
    if [primaries, transfer].iter().any(is_unknown) {
        return Vec::new();
    }
    // The file has RGB in full range, whatever the stream has.
    let mut chunks = vec![(chunk::cICP, vec![primaries, transfer, 0, 1])];
    if let Some(display) = side_data.and_then(|data| data.mastering_display) {
        let points = [display.red, display.green, display.blue, display.white];
        let points = points.into_iter().flat_map(|(x, y)| [x, y]).flat_map(u16::to_be_bytes);
        // PNG has numbers of 31 bits.
        let luminances =
            [display.max_luminance, display.min_luminance].map(|value| value.min(i32::MAX as u32));
        let data = points.chain(luminances.into_iter().flat_map(u32::to_be_bytes));
        chunks.push((chunk::mDCV, data.collect()));
    }
    if let Some(level) = side_data.and_then(|data| data.content_light_level) {
        // In units of 0.0001 cd/m2.
        let levels = [level.max_content, level.max_picture_average].map(|level| 10_000 * u32::from(level));
        chunks.push((chunk::cLLI, levels.into_iter().flat_map(u32::to_be_bytes).collect()));
    }
    chunks
}

/// Whether a code point of H.273 is reserved (0 and 3) or says that nothing is known (2).
fn is_unknown(code: &u8) -> bool {
    matches!(code, 0 | 2 | 3)
}

/// How luma and chroma make RGB (H.273, `MatrixCoefficients`).
#[derive(Clone, Copy, Debug, PartialEq)]
enum Matrix {
    /// 0: the planes are G, B, R.
    Identity,
    /// 8: YCgCo.
    YCgCo,
    /// Weights of red and blue in luma.
    Weights(f32, f32),
}

impl Matrix {
    fn of(matrix_coeffs: u8, height: u32) -> Matrix {
        const BT601: Matrix = Matrix::Weights(0.299, 0.114);
        const BT709: Matrix = Matrix::Weights(0.2126, 0.0722);
        match matrix_coeffs {
            0 => Matrix::Identity,
            4 => Matrix::Weights(0.30, 0.11),
            5 | 6 => BT601,
            7 => Matrix::Weights(0.212, 0.087),
            8 => Matrix::YCgCo,
            9 | 10 => Matrix::Weights(0.2627, 0.0593),
            2 if height < 720 => BT601,
            _ => BT709,
        }
    }

    /// RGB of luma in 0 to 1 and chroma in -0.5 to 0.5 (both in 0 to 1 for the identity).
    fn rgb(self, y: f32, cb: f32, cr: f32) -> [f32; 3] {
        match self {
            Matrix::Identity => [cr, y, cb],
            Matrix::YCgCo => [y - cb + cr, y + cb, y - cb - cr],
            Matrix::Weights(kr, kb) => {
                let r = y + 2.0 * (1.0 - kr) * cr;
                let b = y + 2.0 * (1.0 - kb) * cb;
                [r, (y - kr * r - kb * b) / (1.0 - kr - kb), b]
            }
        }
    }
}

/// The window in RGB, values 0 to 1.
fn rgb(picture: &Picture) -> Vec<[f32; 3]> {
    let host = &picture.host;
    let planes: Vec<Vec<f32>> = (0..picture.planes())
        .map(|plane| {
            let mut bytes = Vec::new();
            host.write_plane(plane, &mut bytes);
            // As luma counts.
            let steps = f32::from(host.format.bit_depth) - f32::from(host.format.depth_of(plane));
            let value = |sample: u16| f32::from(sample) * steps.exp2();
            match host.format.bytes_per_sample() {
                1 => bytes.into_iter().map(|byte| value(byte.into())).collect(),
                _ => bytes.chunks_exact(2).map(|b| value(u16::from_le_bytes([b[0], b[1]]))).collect(),
            }
        })
        .collect();
    let steps = f32::from(1u16 << (host.format.bit_depth - 8));
    let full = picture.colour.full_range;
    let peak = 256.0 * steps - 1.0;
    let matrix = Matrix::of(picture.colour.matrix, host.height);
    let luma = |sample: f32| if full { sample / peak } else { (sample / steps - 16.0) / 219.0 };
    let chroma = |sample: f32| match (matrix, full) {
        (Matrix::Identity, _) => luma(sample),
        (_, true) => (sample - 128.0 * steps) / peak,
        (_, false) => (sample / steps - 128.0) / 224.0,
    };
    let (sub_width, sub_height) = match host.format.chroma {
        Chroma::C400 => (1, 1),
        _ => host.format.subsampling(),
    };
    let (chroma_width, _) = host.chroma_size();
    let mut out = Vec::with_capacity(planes[0].len());
    for y in 0..host.height {
        for x in 0..host.width {
            let level = luma(planes[0][(y * host.width + x) as usize]);
            let rgb = match planes.get(1..3) {
                Some([cb, cr]) => {
                    let at = (y / sub_height * chroma_width + x / sub_width) as usize;
                    matrix.rgb(level, chroma(cb[at]), chroma(cr[at]))
                }
                _ => [level; 3],
            };
            out.push(rgb.map(|v| v.clamp(0.0, 1.0)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::testing::picture_of;
    use super::*;

    fn bytes_of(y: u16, cb: u16, cr: u16, matrix_coeffs: u8, full: bool) -> [u8; 3] {
        let mut picture = picture_of(Chroma::C444, 8, 1, 1, [&[y], &[cb], &[cr]]);
        picture.colour.matrix = matrix_coeffs;
        picture.colour.full_range = full;
        rgb(&picture)[0].map(|v| (v * 255.0).round() as u8)
    }

    fn near(a: [u8; 3], b: [u8; 3]) -> bool {
        a.iter().zip(b).all(|(&a, b)| a.abs_diff(b) <= 1)
    }

    #[test]
    fn known_colours() {
        for matrix in [1, 2, 5, 9] {
            assert_eq!(bytes_of(16, 128, 128, matrix, false), [0, 0, 0]);
            assert_eq!(bytes_of(235, 128, 128, matrix, false), [255, 255, 255]);
            assert_eq!(bytes_of(255, 128, 128, matrix, true), [255, 255, 255]);
        }
        // Full red, green and blue of BT.709 and BT.601 in limited range, as colour bar generators have them.
        assert!(near(bytes_of(63, 102, 240, 1, false), [255, 0, 0]));
        assert!(near(bytes_of(173, 42, 26, 1, false), [255 - 255, 255, 0]));
        assert!(near(bytes_of(32, 240, 118, 1, false), [0, 0, 255]));
        assert!(near(bytes_of(81, 90, 240, 6, false), [255, 0, 0]));
        assert!(near(bytes_of(145, 54, 34, 6, false), [0, 255, 0]));
        // G, B, R planes.
        assert_eq!(bytes_of(10, 20, 30, 0, true), [30, 10, 20]);
    }

    #[test]
    fn the_unspecified_matrix_goes_by_size() {
        assert_eq!(Matrix::of(2, 576), Matrix::of(6, 576));
        assert_eq!(Matrix::of(2, 720), Matrix::of(1, 720));
    }

    #[test]
    fn names() {
        let of = |path: &str, frames| Names::of(Some(Path::new(path)), frames);
        assert_eq!(of("a/%04d.png", None).unwrap().name(7), Path::new("a/0007.png"));
        assert_eq!(of("%d-x.png", None).unwrap().name(12), Path::new("12-x.png"));
        assert_eq!(of("x.png", Some(1)).unwrap().name(3), Path::new("x.png"));
        assert!(matches!(of("x.png", None), Err(Failure::Usage(_))));
        assert!(matches!(Names::of(None, Some(1)), Err(Failure::Usage(_))));
        assert_eq!(pattern("100%"), None);
        assert_eq!(pattern("5%xd"), None);
        assert_eq!(pattern("50%-%02d.png"), Some(("50%-", 2, ".png")));
        assert_eq!(pattern("%099d"), None);
    }

    #[test]
    fn a_deep_picture_becomes_a_16_bit_file() {
        let directory = std::env::temp_dir().join(format!("nvdec-png-{}", std::process::id()));
        let names = Names::of(Some(&directory), None).unwrap();
        let deep = picture_of(Chroma::C420, 10, 2, 2, [&[64, 940, 64, 940], &[512], &[512]]);
        PngFiles::new(names, Sources::default()).picture(&deep).unwrap();
        let file = std::io::BufReader::new(std::fs::File::open(directory.join("000000.png")).unwrap());
        let mut reader = png::Decoder::new(file).read_info().unwrap();
        let mut data = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut data).unwrap();
        assert_eq!((info.width, info.height, info.bit_depth), (2, 2, png::BitDepth::Sixteen));
        assert_eq!(data[..12], [0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255]);
        assert_eq!(reader.info().coding_independent_code_points, None, "nothing is known of its colours");
        std::fs::remove_dir_all(directory).unwrap();
    }

    /// The chunks of a file: name and data.
    fn chunks(bytes: &[u8]) -> Vec<([u8; 4], Vec<u8>)> {
        let mut rest = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n").unwrap();
        let mut found = Vec::new();
        while let Some((length, tail)) = rest.split_first_chunk() {
            let length = u32::from_be_bytes(*length) as usize;
            found.push((tail[..4].try_into().unwrap(), tail[4..4 + length].to_vec()));
            rest = &tail[4 + length + 4..];
        }
        found
    }

    #[test]
    fn colours_of_high_dynamic_range_are_named() {
        let mut picture = picture_of(Chroma::C444, 10, 1, 1, [&[64], &[512], &[512]]);
        (picture.colour.primaries, picture.colour.transfer) = (9, 16);
        let display = nvdec::side_data::MasteringDisplay {
            red: (35400, 14600),
            green: (8500, 39850),
            blue: (6550, 2300),
            white: (15635, 16450),
            max_luminance: 10_000_000,
            min_luminance: 50,
        };
        let mut data = nvdec::SideData::default();
        data.mastering_display = Some(display);
        data.content_light_level =
            Some(nvdec::side_data::ContentLightLevel { max_content: 1000, max_picture_average: 400 });
        picture.side_data = Some(data.clone().into());
        let path = std::env::temp_dir().join(format!("nvdec-png-colours-{}.png", std::process::id()));
        let written = |picture: &Picture| {
            write(&path, OutputFile::create(&path, &Sources::default()).unwrap(), picture).unwrap();
            std::fs::read(&path).unwrap()
        };
        let bytes = written(&picture);
        let found = chunks(&bytes);
        let names: Vec<_> = found.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, [*b"IHDR", *b"cICP", *b"mDCV", *b"cLLI", *b"IDAT", *b"IEND"]);
        assert_eq!(found[1].1, [9, 16, 0, 1]);
        // Red x is 35400, 0x8a48; blue comes last of the primaries.
        assert_eq!(
            (&found[2].1[..4], &found[2].1[8..12]),
            (&[0x8a, 0x48, 0x39, 0x08][..], &[0x19, 0x96, 0x08, 0xfc][..])
        );
        assert_eq!(found[2].1[16..], [0, 0x98, 0x96, 0x80, 0, 0, 0, 50]);
        assert_eq!(found[3].1, [0, 0x98, 0x96, 0x80, 0, 0x3d, 0x09, 0]);
        let reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().unwrap();
        let light = reader.info().content_light_level.unwrap();
        assert_eq!(
            (light.max_content_light_level, light.max_frame_average_light_level),
            (10_000_000, 4_000_000)
        );
        let read = reader.info().mastering_display_color_volume.unwrap();
        assert_eq!((read.max_luminance, read.min_luminance), (10_000_000, 50));

        data.alternative_transfer = Some(18);
        picture.side_data = Some(data.into());
        assert_eq!(chunks(&written(&picture))[1].1, [9, 18, 0, 1], "what the stream prefers");
        picture.colour.primaries = 2;
        let names: Vec<_> = chunks(&written(&picture)).iter().map(|(name, _)| *name).collect();
        assert_eq!(names, [*b"IHDR", *b"IDAT", *b"IEND"]);
        std::fs::remove_file(path).unwrap();
    }
}
