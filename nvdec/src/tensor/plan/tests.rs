use super::*;
use crate::class;
use crate::surface::format::SurfaceFormat;
use crate::tensor::{Channels, Resize, SampleRange};

const NV12: SurfaceFormat = SurfaceFormat::new(class::Chroma::C420, 8);

fn shape(format: SurfaceFormat, width: u32, height: u32) -> PictureShape {
    PictureShape {
        geometry: SurfaceGeometry::new(format, width, height),
        window: Rect { left: 0, top: 0, width, height },
        colour: Colour::default(),
        orientation: None,
    }
}

fn plan(text: &str, picture: &PictureShape) -> Plan {
    Plan::new(&text.parse().unwrap(), picture).unwrap()
}

fn refusal(text: &str, picture: &PictureShape) -> String {
    Plan::new(&text.parse().unwrap(), picture).unwrap_err().to_string()
}

#[test]
fn sizes_layouts_and_launches() {
    let picture = shape(NV12, 1920, 1080);
    let own = plan("", &picture);
    assert_eq!(
        (own.shape(), own.bytes(), own.entry()),
        ([3, 1080, 1920], 3 * 1920 * 1080, "nvdec_convert_8")
    );
    assert_eq!((own.grid(), own.block()), ([60, 270, 1], [32, 4, 1]));
    assert_eq!((own.params.luma_columns.count, own.params.chroma_columns.count), (1, 2));
    let small = plan("size=224x100,dtype=f16,layout=nhwc", &picture);
    assert_eq!((small.shape(), small.bytes()), ([100, 224, 3], 134_400));
    let grey = plan("channels=grey,crop=0:0:10.4:0.25", &picture);
    assert_eq!((grey.shape(), grey.params.has_chroma), ([1, 1, 10], 0));
    let deep = shape(SurfaceFormat::new(class::Chroma::C444, 10), 64, 48);
    let deep = plan("orientation=90", &deep);
    assert_eq!((deep.shape(), deep.entry()), ([3, 64, 48], "nvdec_convert_16"));
    assert_eq!(deep.params.chroma_columns, deep.params.luma_columns);
}

#[test]
fn letterboxes() {
    let of = |text: &str| {
        let Params { left, top, picture_width, picture_height, .. } =
            plan(text, &shape(NV12, 1920, 1080)).params;
        [left, top, picture_width, picture_height]
    };
    assert_eq!(of("size=224x224,fit=letterbox"), [0, 49, 224, 126]);
    assert_eq!(of("size=225x100,fit=letterbox"), [23, 0, 178, 100]);
    assert_eq!(of("size=224x224,fit=letterbox,orientation=90"), [49, 0, 126, 224]);
    assert_eq!(of("size=500x1,fit=letterbox"), [249, 0, 2, 1]);
    assert_eq!(of("size=1x500,fit=letterbox"), [0, 249, 1, 1]);
    assert_eq!(of("size=224x224"), [0, 0, 224, 224]);
}

#[test]
fn caller_given_strides() {
    let plan = plan("size=8x4,dtype=f16", &shape(NV12, 16, 16));
    assert_eq!(plan.extent(None).unwrap(), 192);
    assert_eq!(plan.extent(Some([64, 16, 2])).unwrap(), 192);
    assert_eq!(plan.extent(Some([2, 48, 6])).unwrap(), 192);
    // Gaps between lines and channels.
    assert_eq!(plan.extent(Some([1000, 32, 4])).unwrap(), 2000 + 3 * 32 + 7 * 4 + 2);
    let said = |strides| plan.extent(Some(strides)).unwrap_err().to_string();
    assert!(said([-64, 16, 2]).contains("-64 bytes"), "{}", said([-64, 16, 2]));
    assert!(said([64, 15, 2]).contains("multiples of 2"));
    assert!(said([64, 14, 2]).contains("14 bytes apart overlap, 16"));
    assert!(said([0, 16, 2]).contains("overlap"));
    assert!(said([i64::MAX - 1, 16, 2]).contains("no address"));
    assert!(plan.params(0, 0, 0, 1, None).unwrap_err().to_string().contains("address 0x1"));
}

#[test]
fn what_the_picture_has_not_is_refused() {
    let mut picture = shape(NV12, 64, 48);
    assert!(refusal("crop=60:0:5:1", &picture).contains("picture of 64x48"));
    assert!(refusal("crop=63.5:0:0.5001:1", &picture).contains("`crop`"));
    plan("crop=63.5:0:0.5:1", &picture);
    picture.colour.matrix = 14;
    assert!(refusal("", &picture).contains("14 (ICtCp)"));
    plan("channels=grey", &picture);
    picture.colour.chroma_location = Some(9);
    assert!(refusal("channels=yuv", &picture).contains("siting=0"));
    plan("channels=yuv,siting=5", &picture);
    let turned = |anticlockwise| DisplayOrientation {
        is_flipped_horizontally: false,
        is_flipped_vertically: false,
        anticlockwise,
    };
    picture.orientation = Some(turned(0x1000));
    assert!(refusal("channels=yuv,siting=0,orientation=auto", &picture).contains("22.5 degrees"));
    plan("channels=yuv,siting=0", &picture);
    picture.window.width = 65;
    assert!(refusal("channels=yuv,siting=0", &picture).contains("64x48"));
    picture.window.width = 0;
    assert!(refusal("channels=yuv,siting=0", &picture).contains("64x48"));
    assert!(refusal("", &shape(NV12, 16400, 16)).contains("16400x16"));
}

#[test]
fn orientations_of_streams() {
    let of = |is_flipped_horizontally, is_flipped_vertically, anticlockwise| {
        of_stream(DisplayOrientation { is_flipped_horizontally, is_flipped_vertically, anticlockwise })
            .unwrap()
    };
    assert_eq!(of(false, false, 0), (false, Rotation::None));
    assert_eq!(of(false, false, 0x4000), (false, Rotation::By270));
    assert_eq!(of(true, true, 0), (false, Rotation::By180));
    assert_eq!(of(false, true, 0), (true, Rotation::By180));
    assert_eq!(of(true, false, 0xc000), (true, Rotation::By90));
    assert_eq!(of(true, true, 0x8000), (false, Rotation::None));
}

#[test]
fn plans_are_made_quickly() {
    let picture = shape(NV12, 1920, 1080);
    for text in [
        "size=224x224",
        "size=224x224,resize=bicubic",
        "size=224x224,crop=0.3:0.7:1919.1:1077.77,resize=bicubic",
    ] {
        let spec = text.parse().unwrap();
        let start = std::time::Instant::now();
        let plan = Plan::new(&spec, &picture).unwrap();
        println!("{text}: {:?}, {} bytes", start.elapsed(), plan.tables().len());
        assert!(plan.tables().len() < 100_000);
    }
}

#[cfg(feature = "emulated")]
mod model {
    use std::collections::HashMap;

    use zerocopy::IntoBytes;

    use super::*;
    use crate::surface::format::block_linear_offset;
    use crate::tensor::model::{Memory, run};

    const LUMA: u64 = 0x1_0000_0000;
    const CHROMA: u64 = 0x2_0000_0000;
    const TABLES: u64 = 0x3_0000_0000;
    const OUTPUT: u64 = 0x4_0000_0000;

    /// Buffers by the upper half of their address; what is beyond them is an error.
    #[derive(Default)]
    struct Buffers(HashMap<u64, Vec<u8>>);

    impl Buffers {
        fn at(&mut self, address: u64, length: usize) -> Result<&mut [u8], String> {
            let buffer = self.0.get_mut(&(address >> 32)).ok_or("no buffer")?;
            let start = (address & 0xffff_ffff) as usize;
            buffer.get_mut(start..start + length).ok_or(format!("{length} bytes at {address:#x}"))
        }
    }

    impl Memory for Buffers {
        fn read(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), String> {
            bytes.copy_from_slice(self.at(address, bytes.len())?);
            Ok(())
        }

        fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), String> {
            self.at(address, bytes.len())?.copy_from_slice(bytes);
            Ok(())
        }
    }

    /// Converts a picture whose codes are `luma(x, y)` and `chroma(x, y)`. What is not written to is 0xee.
    fn convert_with(
        text: &str,
        picture: &PictureShape,
        strides: Option<[i64; 3]>,
        luma: impl Fn(u32, u32) -> u16,
        chroma: impl Fn(u32, u32) -> [u16; 2],
    ) -> Vec<u8> {
        let plan = plan(text, picture);
        let geometry = picture.geometry;
        let bytes = geometry.format.bytes_per_sample();
        // Samples outside of the window would be seen.
        let mut planes =
            [vec![0x55; geometry.luma_bytes() as usize], vec![0x55; geometry.chroma_bytes() as usize]];
        let mut put = |plane: usize, pitch: u32, x: u32, y: u32, code: u16| {
            let word = if bytes == 1 { code } else { code << (16 - geometry.format.depth_of(plane)) };
            for byte in 0..bytes {
                let at = block_linear_offset(pitch, x * bytes + byte, y) as usize;
                planes[plane][at] = (word >> (8 * byte)) as u8;
            }
        };
        let Rect { left, top, width, height } = picture.window;
        let (sub_x, sub_y) = geometry.format.subsampling();
        for y in top..top + height {
            (left..left + width).for_each(|x| put(0, geometry.luma_pitch, x, y, luma(x, y)));
        }
        for y in top / sub_y..(top + height).div_ceil(sub_y) {
            for x in left / sub_x..(left + width).div_ceil(sub_x) {
                let codes = chroma(x, y);
                (0..2).for_each(|c| put(1, geometry.chroma_pitch, 2 * x + c, y, codes[c as usize]));
            }
        }
        let [luma, chroma] = planes;
        let output = vec![0xee; plan.extent(strides).unwrap() as usize];
        let mut memory = Buffers(
            [(LUMA, luma), (CHROMA, chroma), (TABLES, plan.tables().to_vec()), (OUTPUT, output)]
                .map(|(address, bytes)| (address >> 32, bytes))
                .into(),
        );
        let params = plan.params(LUMA, CHROMA, TABLES, OUTPUT, strides).unwrap();
        run(params.as_bytes(), plan.entry(), &mut memory).unwrap();
        memory.0.remove(&(OUTPUT >> 32)).unwrap()
    }

    fn convert(text: &str, picture: &PictureShape, luma: impl Fn(u32, u32) -> u16) -> Vec<u8> {
        let grey = 1 << (picture.geometry.format.chroma_bit_depth - 1);
        convert_with(text, picture, None, luma, |_, _| [grey; 2])
    }

    fn floats(bytes: &[u8]) -> Vec<f32> {
        bytes.as_chunks().0.iter().map(|word| f32::from_le_bytes(*word)).collect()
    }

    #[test]
    fn white_black_and_grey_stay_what_they_are() {
        for resize in ["nearest", "bilinear", "bicubic"] {
            for size in ["size=50x30,", "size=7x5,", "size=131x111,", "size=50x5,"] {
                for (code, expected) in [(235, 255), (16, 0), (0, 0), (255, 255), (126, 128)] {
                    let text = format!("{size}resize={resize}");
                    let bytes = convert(&text, &shape(NV12, 50, 30), |_, _| code);
                    assert!(bytes.iter().all(|byte| *byte == expected), "{text} {code}: {:?}", &bytes[..9]);
                }
            }
        }
        let ten = shape(SurfaceFormat::new(class::Chroma::C444, 10), 50, 30);
        assert!(convert("size=20x20", &ten, |_, _| 940).iter().all(|byte| *byte == 255));
        assert!(convert("range=full", &ten, |_, _| 1023).iter().all(|byte| *byte == 255));
        let values = floats(&convert("dtype=f32,mean=0.5,std=0.25", &ten, |_, _| 940));
        assert!(values.iter().all(|v| (v - 2.0).abs() < 1e-6));
    }

    #[test]
    fn every_sample_is_read_from_where_it_lies() {
        // More than a block in each direction, and an odd window.
        for (format, factor) in [(NV12, 1), (SurfaceFormat::new(class::Chroma::C420, 10), 4)] {
            let mut picture = shape(format, 150, 70);
            picture.window = Rect { left: 3, top: 5, width: 131, height: 61 };
            let luma = |x: u32, y: u32| ((x * 7 + y * 13) % 251) as u16 * factor;
            let chroma = |x: u32, y: u32| {
                [((x * 3 + y * 5) % 251) as u16 * factor, ((x + y * 9) % 251) as u16 * factor]
            };
            let text = "channels=yuv,chroma=nearest,dtype=f32";
            let values = floats(&convert_with(text, &picture, None, luma, chroma));
            let largest = if factor == 1 { 255.0 } else { 1023.0 };
            for y in 0..61 {
                for x in 0..131 {
                    let of = |c: usize| (values[(c * 61 + y) * 131 + x] * largest).round() as u16;
                    let (x, y) = (x as u32 + 3, y as u32 + 5);
                    let [cb, cr] = chroma(x / 2, y / 2);
                    assert_eq!([of(0), of(1), of(2)], [luma(x, y), cb, cr], "{x} {y}");
                }
            }
        }
    }

    #[test]
    fn chroma_is_interpolated_in_both_axes() {
        let picture = shape(NV12, 8, 8);
        let text = "channels=yuv,dtype=f32,siting=1";
        let values =
            floats(&convert_with(text, &picture, None, |_, _| 0, |x, y| [(x * 40) as u16, (y * 40) as u16]));
        let of = |c: usize, x: usize, y: usize| values[(c * 8 + y) * 8 + x] * 255.0;
        // Three quarters of the nearer one.
        assert_eq!([0, 1, 2, 3, 7].map(|x| of(1, x, 5).round()), [0.0, 10.0, 30.0, 50.0, 120.0]);
        assert_eq!([0, 1, 2, 3, 7].map(|y| of(2, 5, y).round()), [0.0, 10.0, 30.0, 50.0, 120.0]);
    }

    #[test]
    fn pictures_are_turned() {
        // 1 2 3
        // 4 5 6
        let picture = shape(NV12, 3, 2);
        let of = |orientation: &str| {
            let text = format!("channels=yuv,orientation={orientation}");
            convert(&text, &picture, |x, y| (1 + x + 3 * y) as u16)[..6].to_vec()
        };
        assert_eq!(of("none"), [1, 2, 3, 4, 5, 6]);
        assert_eq!(of("90"), [4, 1, 5, 2, 6, 3]);
        assert_eq!(of("180"), [6, 5, 4, 3, 2, 1]);
        assert_eq!(of("270"), [3, 6, 2, 5, 1, 4]);
        assert_eq!(of("mirror"), [3, 2, 1, 6, 5, 4]);
        assert_eq!(of("mirror:90"), [6, 3, 5, 2, 4, 1]);
        assert_eq!(of("mirror:180"), [4, 5, 6, 1, 2, 3]);
        assert_eq!(of("mirror:270"), [1, 4, 2, 5, 3, 6]);
    }

    #[test]
    fn letterboxes_are_filled() {
        let text = "size=4x4,fit=letterbox:1:0.5:0,range=full";
        let bytes = convert(text, &shape(NV12, 8, 4), |_, _| 51);
        let planes: Vec<&[u8]> = bytes.chunks(16).collect();
        for (plane, fill) in planes.into_iter().zip([255, 128, 0]) {
            assert_eq!([plane[0], plane[3], plane[12], plane[15]], [fill; 4]);
            assert_eq!(plane[4..12], [51; 8]);
        }
        // Mean and std apply to it.
        let text = "size=4x4,fit=letterbox:0.5,dtype=f32,mean=0.25,std=0.5,channels=grey";
        assert_eq!(floats(&convert(text, &shape(NV12, 8, 4), |_, _| 16))[..5], [0.5, 0.5, 0.5, 0.5, -0.5]);
    }

    #[test]
    fn any_strides_give_the_same_elements() {
        let picture = shape(NV12, 6, 5);
        let luma = |x: u32, y: u32| (20 + 30 * x + 7 * y) as u16;
        let chroma = |x: u32, y: u32| [(100 + 9 * x) as u16, (140 - 11 * y) as u16];
        let of = |text: &str, strides| convert_with(text, &picture, strides, luma, chroma);
        let planes = of("dtype=f16", None);
        let pixels = of("dtype=f16,layout=nhwc", None);
        let sparse = of("dtype=f16", Some([400, 64, 6]));
        let bgr = of("dtype=f16,channels=bgr", None);
        for c in 0..3 {
            for y in 0..5 {
                for x in 0..6 {
                    let at = |bytes: &[u8], at: usize| [bytes[at], bytes[at + 1]];
                    let element = at(&planes, 2 * ((c * 5 + y) * 6 + x));
                    assert_eq!(element, at(&pixels, 2 * ((y * 6 + x) * 3 + c)));
                    assert_eq!(element, at(&sparse, c * 400 + y * 64 + x * 6));
                    assert_eq!(element, at(&bgr, 2 * (((2 - c) * 5 + y) * 6 + x)));
                }
            }
        }
        assert_eq!(sparse[2..6], [0xee; 4]);
    }

    #[test]
    fn parts_are_shown_alone() {
        let picture = shape(NV12, 16, 16);
        let bytes = convert("crop=4:6:3:2,channels=yuv", &picture, |x, y| (x + 16 * y) as u16);
        assert_eq!(bytes[..6], [100, 101, 102, 116, 117, 118]);
        // Half a sample further, between two.
        let spec = TensorSpec::new()
            .crop(4.5, 6.0, 3.0, 2.0)
            .channels(Channels::Yuv)
            .resize(Resize::Bilinear)
            .range(SampleRange::Full);
        assert_eq!("crop=4.5:6:3:2,channels=yuv,range=full".parse::<TensorSpec>().unwrap(), spec);
        let bytes =
            convert("crop=4.5:6:3:2,channels=yuv,range=full", &picture, |x, y| (2 * x + 8 * y) as u16);
        assert_eq!(bytes[..3], [57, 59, 61]);
    }

    /// Weights of samples for a pixel, in floating point and as they are written in textbooks.
    fn weights(resize: &str, (x, w): (f64, f64), pixels: usize, pixel: usize) -> Vec<(usize, f64)> {
        let (scale, centre) = (w / pixels as f64, x + (pixel as f64 + 0.5) * w / pixels as f64);
        let (lowest, highest) = (x.floor() as usize, (x + w).ceil() as usize);
        let kernel = |d: f64| match (resize, d.abs()) {
            ("bilinear", d) => (1.0 - d).max(0.0),
            (_, d) if d < 1.0 => 1.5 * d.powi(3) - 2.5 * d.powi(2) + 1.0,
            (_, d) if d < 2.0 => -0.5 * d.powi(3) + 2.5 * d.powi(2) - 4.0 * d + 2.0,
            _ => 0.0,
        };
        let factor = scale.max(1.0);
        let support = factor * if resize == "bilinear" { 1.0 } else { 2.0 };
        let is_taken = |i: &usize| {
            *i as f64 >= (centre - support + 0.5).floor() && (*i as f64) < (centre + support + 0.5).floor()
        };
        let taps: Vec<_> = (lowest..highest)
            .filter(is_taken)
            .map(|i| (i, kernel((i as f64 + 0.5 - centre) / factor)))
            .collect();
        let sum: f64 = taps.iter().map(|(_, weight)| weight).sum();
        taps.into_iter().map(|(i, weight)| (i, weight / sum)).collect()
    }

    #[test]
    fn results_are_those_of_floating_point() {
        let (w, h) = (34, 26);
        let luma = |x: u32, y: u32| (16 + (x * 71 + y * 37 + x * y * 5) % 220) as u16;
        let chroma =
            |x: u32, y: u32| [(60 + (x * 31 + y * 17) % 140) as u16, (60 + (x * y * 3) % 140) as u16];
        for (resize, size, crop, location) in [
            ("bilinear", [13, 9], [0.0, 0.0, 34.0, 26.0], 0),
            ("bicubic", [50, 60], [0.0, 0.0, 34.0, 26.0], 3),
            ("bicubic", [11, 30], [3.25, 1.5, 20.5, 22.75], 4),
            ("bilinear", [34, 26], [0.0, 0.0, 34.0, 26.0], 2),
            ("bilinear", [9, 40], [7.125, 0.0, 26.875, 13.0], 5),
        ] {
            let text = format!(
                "resize={resize},size={}x{},crop={},siting={location},matrix=bt709,dtype=f32",
                size[0],
                size[1],
                crop.map(|v: f64| v.to_string()).join(":")
            );
            let values = floats(&convert_with(&text, &shape(NV12, w, h), None, luma, chroma));
            // Chroma at the position of luma, in each axis.
            let offset_x = [0.0, 0.5, 0.0, 0.5, 0.0, 0.5][location];
            let offset_y = [0.5, 0.5, 0.0, 0.0, 1.0, 1.0][location];
            let pair = |at: u32, offset: f64, length: u32| {
                let at = (f64::from(at) - offset) / 2.0;
                let inside = |j: f64| j.clamp(0.0, f64::from(length / 2 - 1)) as u32;
                let part = at - at.floor();
                [(inside(at.floor()), 1.0 - part), (inside(at.floor() + 1.0), part)]
            };
            let at_luma = |x: u32, y: u32, c: usize| -> f64 {
                let columns = pair(x, offset_x, w);
                let of = |(j, part): (u32, f64)| -> f64 {
                    part * columns.iter().map(|(i, part)| part * f64::from(chroma(*i, j)[c])).sum::<f64>()
                };
                pair(y, offset_y, h).map(of).iter().sum()
            };
            let mut most = 0f64;
            for y in 0..size[1] {
                for x in 0..size[0] {
                    let mut sums = [0.0; 3];
                    for (j, of_line) in weights(resize, (crop[1], crop[3]), size[1], y) {
                        for (i, of_column) in weights(resize, (crop[0], crop[2]), size[0], x) {
                            let (i, j, weight) = (i as u32, j as u32, of_line * of_column);
                            let samples = [f64::from(luma(i, j)), at_luma(i, j, 0), at_luma(i, j, 1)];
                            (0..3).for_each(|plane| sums[plane] += weight * samples[plane]);
                        }
                    }
                    let [luma, pb, pr] =
                        [(sums[0] - 16.0) / 219.0, (sums[1] - 128.0) / 224.0, (sums[2] - 128.0) / 224.0];
                    let (red, blue) = (luma + 1.5748 * pr, luma + 1.8556 * pb);
                    let green = (luma - 0.2126 * red - 0.0722 * blue) / 0.7152;
                    for (c, expected) in [red, green, blue].into_iter().enumerate() {
                        let is_so = values[(c * size[1] + y) * size[0] + x];
                        most = most.max((f64::from(is_so) - expected.clamp(0.0, 1.0)).abs());
                    }
                }
            }
            assert!(most < 1e-7, "{text}: {most:e}");
        }
    }
}
