//! The same definition written a second time, sample by sample in rational numbers and without any preparation, against
//! pictures and conversions made up at random.

use exact::value::convert;
use exact::{
    BigInt, BigRational, Channels, Chroma, Conversion, Crop, Exact, Filter, Fit, Orientation, Picture, Plane,
    Rotation, Subsampling, Window, ratio,
};
use proptest::prelude::*;

fn whole(number: usize) -> BigRational {
    BigRational::from_integer(number.into())
}

fn abs(number: BigRational) -> BigRational {
    if number < ratio(0, 1) { -number } else { number }
}

/// Weights of all samples of the window for one sample of the result.
fn weights(
    start: &BigRational,
    extent: &BigRational,
    size: usize,
    at: usize,
    window: usize,
    filter: Filter,
) -> Vec<BigRational> {
    let (zero, half) = (ratio(0, 1), ratio(1, 2));
    let scale = extent / whole(size);
    let centre = start + (whole(at) + &half) * &scale;
    let stretch = if scale > ratio(1, 1) { scale } else { ratio(1, 1) };
    let weight = |sample: usize| {
        let (from, to) = (whole(sample), whole(sample + 1));
        if filter == Filter::Nearest {
            return if from <= centre && centre < to { ratio(1, 1) } else { zero.clone() };
        }
        if to <= *start || from >= start + extent {
            return zero.clone();
        }
        let x = abs((whole(sample) + &half - &centre) / &stretch);
        let power = |n| num_traits::pow(x.clone(), n);
        match filter {
            Filter::Bilinear if x < ratio(1, 1) => ratio(1, 1) - x,
            Filter::Bicubic if x < ratio(1, 1) => {
                ratio(3, 2) * power(3) - ratio(5, 2) * power(2) + ratio(1, 1)
            }
            Filter::Bicubic if x < ratio(2, 1) => {
                ratio(-1, 2) * power(3) + ratio(5, 2) * power(2) - ratio(4, 1) * x + ratio(2, 1)
            }
            _ => zero.clone(),
        }
    };
    let all: Vec<BigRational> = (0..window).map(weight).collect();
    let sum: BigRational = all.iter().sum();
    all.into_iter().map(|weight| weight / &sum).collect()
}

#[derive(Debug)]
struct Setting {
    planes: [Plane; 3],
    subsampling: Subsampling,
    depths: [u32; 2],
    window: Window,
}

impl Setting {
    /// Chroma at the luma sample (x, y) of the picture: the code values left, right, above and below, by distance.
    fn chroma(&self, plane: &Plane, x: usize, y: usize, conversion: &Conversion) -> BigRational {
        let Window { left, top, width, height } = self.window;
        let (sub_x, sub_y) = self.subsampling.factors();
        if conversion.chroma == Chroma::Nearest {
            return whole(plane.code(x / sub_x, y / sub_y).into());
        }
        let across = if [0, 2, 4].contains(&conversion.siting) { ratio(0, 1) } else { ratio(1, 2) };
        let down = match conversion.siting {
            0 | 1 => ratio(1, 2),
            2 | 3 => ratio(0, 1),
            _ => ratio(1, 1),
        };
        let mut sum = ratio(0, 1);
        // Of a window that is continued on each side by two more samples of its edge.
        let axis = |luma: usize, start: usize, size: usize, sub: usize, offset: &BigRational| {
            let (first, last) = ((start / sub) as i64, (start + size).div_ceil(sub) as i64 - 1);
            let offset = if sub == 1 { ratio(0, 1) } else { offset.clone() };
            let mut found = Vec::new();
            for sample in first - 2..=last + 2 {
                let away = abs(whole(luma) - ratio(sample * sub as i64, 1) - &offset) / whole(sub);
                if away < ratio(1, 1) {
                    found.push((sample.clamp(first, last) as usize, ratio(1, 1) - away));
                }
            }
            found
        };
        for (row, by) in axis(y, top, height, sub_y, &down) {
            for (column, weight) in axis(x, left, width, sub_x, &across) {
                sum += whole(plane.code(column, row).into()) * weight * &by;
            }
        }
        sum
    }

    fn value(&self, conversion: &Conversion, x: usize, y: usize) -> Vec<BigRational> {
        let Window { left, top, width, height } = self.window;
        let crop = conversion.crop.clone().unwrap_or_else(|| Crop {
            x: ratio(0, 1),
            y: ratio(0, 1),
            width: whole(width),
            height: whole(height),
        });
        let Orientation { mirror, rotation } = conversion.orientation;
        // Turned back step by step: rotation, then mirroring.
        let (mut columns, mut rows) = (conversion.width, conversion.height);
        let (mut u, mut v) = (x, y);
        let quarters = match rotation {
            Rotation::None => 0,
            Rotation::Clockwise90 => 1,
            Rotation::Half => 2,
            Rotation::Clockwise270 => 3,
        };
        for _ in 0..quarters {
            (u, v) = (v, columns - 1 - u);
            (columns, rows) = (rows, columns);
        }
        if mirror {
            u = columns - 1 - u;
        }
        let across = weights(&crop.x, &crop.width, columns, u, width, conversion.filter);
        let down = weights(&crop.y, &crop.height, rows, v, height, conversion.filter);
        let mut codes = [ratio(0, 1), ratio(0, 1), ratio(0, 1)];
        for (row, by) in down.iter().enumerate() {
            for (column, weight) in across.iter().enumerate() {
                let weight = weight * by;
                let (x, y) = (left + column, top + row);
                codes[0] += &weight * whole(self.planes[0].code(x, y).into());
                codes[1] += &weight * self.chroma(&self.planes[1], x, y, conversion);
                codes[2] += &weight * self.chroma(&self.planes[2], x, y, conversion);
            }
        }
        let values = convert(&codes, self.depths, conversion).expect("a matrix that gives R, G, B");
        values.into_iter().map(|value| value.clamp(ratio(0, 1), ratio(1, 1))).collect()
    }
}

fn settings() -> impl Strategy<Value = Setting> {
    let subsampling =
        prop_oneof![Just(Subsampling::Both), Just(Subsampling::Horizontal), Just(Subsampling::None)];
    let sizes = (0_usize..4, 0_usize..4, 1_usize..8, 1_usize..8);
    (subsampling, sizes, 8_u32..=16, 8_u32..=16, any::<u64>()).prop_map(
        |(subsampling, (left, top, width, height), luma, chroma, seed)| {
            let mut state = seed | 1;
            let mut next = |depth: u32| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> (64 - depth)) as u16
            };
            let (sub_x, sub_y) = subsampling.factors();
            let (columns, rows) = (left + width + 1, top + height + 1);
            let (wide, high) = (columns.div_ceil(sub_x), rows.div_ceil(sub_y));
            let planes = [
                Plane::from_fn(columns, rows, |_, _| next(luma)),
                Plane::from_fn(wide, high, |_, _| next(chroma)),
                Plane::from_fn(wide, high, |_, _| next(chroma)),
            ];
            let window = Window { left, top, width, height };
            Setting { planes, subsampling, depths: [luma, chroma], window }
        },
    )
}

fn conversions() -> impl Strategy<Value = Conversion> {
    let kinds = (
        prop_oneof![Just(Filter::Nearest), Just(Filter::Bilinear), Just(Filter::Bicubic)],
        prop_oneof![Just(Channels::Rgb), Just(Channels::Bgr), Just(Channels::Grey), Just(Channels::Yuv)],
        prop_oneof![Just(Chroma::Interpolated), Just(Chroma::Nearest)],
        prop_oneof![
            Just(Rotation::None),
            Just(Rotation::Clockwise90),
            Just(Rotation::Half),
            Just(Rotation::Clockwise270)
        ],
    );
    let numbers = (1_usize..7, 1_usize..7, prop::sample::select(vec![0_u8, 1, 4, 5, 6, 7, 8, 9]), 0_u8..6);
    (kinds, numbers, any::<bool>(), any::<bool>()).prop_map(
        |((filter, channels, chroma, rotation), (width, height, matrix, siting), full_range, mirror)| {
            Conversion {
                filter,
                channels,
                chroma,
                full_range,
                siting,
                orientation: Orientation { mirror, rotation },
                fit: Fit::Stretch,
                ..Conversion::new(width, height, matrix)
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_value_is_what_the_definition_says(
        setting in settings(),
        mut conversion in conversions(),
        edges in prop::option::of([0_usize..12, 1..12, 0..12, 1..12]),
        fine in any::<bool>(),
    ) {
        if let Some([x, width, y, height]) = edges {
            // Parts of the window in twelfths; if `fine`, with denominators that 128 bits do not hold.
            let grain = if fine { BigInt::from(1) << 60 } else { BigInt::from(1) };
            let part = |start: usize, size: usize, whole: usize| {
                let size = size.min(12 - start);
                let less = BigRational::new(1.into(), BigInt::from(24) * &grain);
                (ratio((start * whole) as i64, 12), ratio((size * whole) as i64, 12) - less)
            };
            let ((x, width), (y, height)) = (part(x, width, setting.window.width), part(y, height, setting.window.height));
            conversion.crop = Some(Crop { x, y, width, height });
        }
        let Setting { planes, subsampling, depths, window } = &setting;
        let picture = Picture::new(planes.clone(), *subsampling, *depths, *window).expect("a picture");
        let exact = Exact::new(&picture, &conversion).expect("a conversion");
        for (x, y) in (0..conversion.height).flat_map(|y| (0..conversion.width).map(move |x| (x, y))) {
            prop_assert_eq!(exact.pixel(x, y), setting.value(&conversion, x, y));
        }
    }
}
