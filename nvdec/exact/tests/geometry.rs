//! Chroma positions, weights of the resize, crops, orientation and letterboxes, against numbers worked out by hand.

use exact::chroma::{Pair, at_luma, offsets};
use exact::resize::{Taps, axis};
use exact::{
    Area, BigRational, Channels, Chroma, Conversion, Crop, Error, Exact, Filter, Fit, Orientation, Packing,
    Picture, Plane, Rotation, Subsampling, Window, ratio,
};

/// Weights over their sum: first sample, numerators, denominator.
fn is(taps: &Taps, first: usize, weights: &[i64], denominator: i64) {
    let expected: Vec<BigRational> = weights.iter().map(|weight| ratio(*weight, denominator)).collect();
    assert_eq!((taps.first, taps.rational()), (first, expected));
}

fn whole(samples: i64, size: usize, filter: Filter) -> Vec<Taps> {
    axis(&ratio(0, 1), &ratio(samples, 1), size, filter)
}

#[test]
fn where_chroma_sits() {
    let pair = |luma, offset| {
        let Pair { samples, weights } = at_luma(luma, 2, offset, (0, 4), Chroma::Interpolated);
        (samples, weights)
    };
    // Left or top: on every other luma sample, and halfway between two on the others.
    assert_eq!(pair(2, 0), ([1, 2], [4, 0]));
    assert_eq!(pair(3, 0), ([1, 2], [2, 2]));
    // Centre: a quarter of the way from one chroma sample to the next.
    assert_eq!(pair(2, 1), ([0, 1], [1, 3]));
    assert_eq!(pair(3, 1), ([1, 2], [3, 1]));
    // Bottom: on the others.
    assert_eq!(pair(2, 2), ([0, 1], [2, 2]));
    assert_eq!(pair(3, 2), ([1, 2], [4, 0]));
    // Edges are repeated.
    assert_eq!(pair(0, 1), ([0, 0], [1, 3]));
    assert_eq!(pair(0, 2), ([0, 0], [2, 2]));
    assert_eq!(pair(7, 0), ([3, 3], [2, 2]));
    assert_eq!(pair(7, 1), ([3, 3], [3, 1]));

    let all = [0, 1, 2, 3, 4, 5].map(offsets);
    assert_eq!(all, [(0, 1), (1, 1), (0, 0), (1, 0), (0, 2), (1, 2)]);

    // Without interpolation, and without subsampling.
    for (luma, sample) in [(2, 1), (3, 1), (7, 3)] {
        assert_eq!(at_luma(luma, 2, 1, (0, 4), Chroma::Nearest).samples, [sample; 2]);
        assert_eq!(at_luma(luma, 1, 1, (0, 9), Chroma::Interpolated).samples, [luma; 2]);
    }
}

/// A window hides what is outside of it from the interpolation too.
#[test]
fn chroma_beyond_the_window_is_not_read() {
    // Chroma columns 1 and 2 are inside.
    let window = Window { left: 2, top: 0, width: 4, height: 2 };
    let luma = Plane::filled(8, 2, 0);
    let cb = Plane::new(4, 1, 5, vec![255, 10, 50, 255, 99]).expect("a plane");
    let cr = Plane::filled(4, 1, 0);
    let picture = Picture::new([luma, cb, cr], Subsampling::Both, [8, 8], window).expect("a picture");
    let conversion = Conversion { channels: Channels::Yuv, siting: 1, ..Conversion::new(4, 2, 6) };
    let exact = Exact::new(&picture, &conversion).expect("a conversion");
    let row = [0, 1, 2, 3].map(|x| exact.value(1, x, 1));
    // 10; a quarter and three quarters of the way from 10 to 50; 50.
    assert_eq!(row, [10, 20, 40, 50].map(|code| ratio(code, 255)));
    let nearest = Conversion { chroma: Chroma::Nearest, ..conversion };
    let exact = Exact::new(&picture, &nearest).expect("a conversion");
    assert_eq!([0, 1, 2, 3].map(|x| exact.value(1, x, 0)), [10, 10, 50, 50].map(|code| ratio(code, 255)));
}

#[test]
fn chroma_of_422_has_as_many_rows_as_luma() {
    let cb = Plane::from_fn(2, 3, |x, y| (100 * x + y) as u16);
    let picture =
        Picture::whole(Plane::filled(4, 3, 0), cb, Plane::filled(2, 3, 0), Subsampling::Horizontal, 8)
            .expect("a picture");
    // Bottom left: the vertical part has no meaning.
    let conversion = Conversion { channels: Channels::Yuv, siting: 4, ..Conversion::new(4, 3, 6) };
    let exact = Exact::new(&picture, &conversion).expect("a conversion");
    for y in 0..3 {
        let row = [0, 1, 2, 3].map(|x| exact.value(1, x, y));
        assert_eq!(row, [0, 50, 100, 100].map(|code| ratio(code + y as i64, 255)));
    }
}

/// 4 to 2: s = 2, f = 2, centres at 1 and 3. Samples have their middles at 1/2, 3/2, 5/2 and 7/2; from the centre 1 these
/// are 1/4, 1/4, 3/4 and 5/4 of f away, so that the triangle has 3/4, 3/4, 1/4 and 0: 3 + 3 + 1 = 7.
///
/// 5 to 2: s = 5/2, the centre 5/4 is 3/4, 1/4, 5/4, 9/4 away from the first four middles, in f 3/10, 1/10, 5/10, 9/10:
/// 7, 9, 5 and 1 tenths, together 22.
#[test]
fn triangle_of_a_smaller_result() {
    let taps = whole(4, 2, Filter::Bilinear);
    is(&taps[0], 0, &[3, 3, 1], 7);
    is(&taps[1], 1, &[1, 3, 3], 7);
    let taps = whole(5, 2, Filter::Bilinear);
    is(&taps[0], 0, &[7, 9, 5, 1], 22);
    is(&taps[1], 1, &[1, 5, 9, 7], 22);
}

/// 2 to 4: s = 1/2, f = 1, centres at 1/4, 3/4, 5/4, 7/4. The first is 1/4 and 5/4 away from the middles: all of the
/// first sample. The second is 1/4 and 3/4 away: three quarters and a quarter.
#[test]
fn triangle_of_a_larger_result() {
    let taps = whole(2, 4, Filter::Bilinear);
    is(&taps[0], 0, &[1], 1);
    is(&taps[1], 0, &[3, 1], 4);
    is(&taps[2], 0, &[1, 3], 4);
    is(&taps[3], 1, &[1], 1);
}

/// Keys' cubic with a = -1/2 is 111/128 at 1/4, 29/128 at 3/4, -9/128 at 5/4 and -3/128 at 7/4:
/// 3/2 x^3 - 5/2 x^2 + 1 = 3/128 - 20/128 + 128/128 and 81/128 - 180/128 + 128/128;
/// -1/2 x^3 + 5/2 x^2 - 4 x + 2 = -125/128 + 500/128 - 640/128 + 256/128 and -343/128 + 980/128 - 896/128 + 256/128.
///
/// Twice as large: the centre of sample 4 is 9/4; the middles 1/2, 3/2, 5/2, 7/2 are 7/4, 3/4, 1/4, 5/4 away.
/// Half as large: the centre of sample 2 of 6 is 5; middles are 1/2, 3/2, 5/2, 7/2 away, in f (2) 1/4 to 7/4.
#[test]
fn cubic() {
    let up = whole(4, 8, Filter::Bicubic);
    is(&up[4], 0, &[-3, 29, 111, -9], 128);
    is(&up[3], 0, &[-9, 111, 29, -3], 128);
    let down = whole(12, 6, Filter::Bicubic);
    is(&down[2], 1, &[-3, -9, 29, 111, 111, 29, -9, -3], 256);
    // At the edge what is outside is left out, and the rest sums to 1: 111 + 111 + 29 - 9 - 3 = 239.
    is(&down[0], 0, &[111, 111, 29, -9, -3], 239);
}

#[test]
fn nearest() {
    // Centres 5/4 and 15/4.
    let taps = whole(5, 2, Filter::Nearest);
    is(&taps[0], 1, &[1], 1);
    is(&taps[1], 3, &[1], 1);
    // A centre where two samples meet takes the one behind.
    is(&whole(2, 1, Filter::Nearest)[0], 1, &[1], 1);
    let firsts: Vec<usize> = whole(2, 5, Filter::Nearest).iter().map(|taps| taps.first).collect();
    // 1/5, 3/5, 5/5, 7/5, 9/5.
    assert_eq!(firsts, [0, 0, 1, 1, 1]);
}

#[test]
fn the_same_size_changes_nothing() {
    for filter in [Filter::Nearest, Filter::Bilinear, Filter::Bicubic] {
        for (position, taps) in whole(9, 9, filter).iter().enumerate() {
            is(taps, position, &[1], 1);
        }
    }
}

#[test]
fn weights_sum_to_one_and_are_within_the_region() {
    for filter in [Filter::Nearest, Filter::Bilinear, Filter::Bicubic] {
        for (start, extent) in
            [(ratio(0, 1), ratio(31, 1)), (ratio(7, 3), ratio(50, 7)), (ratio(5, 4), ratio(1, 3))]
        {
            let end = (&start + &extent).ceil();
            for size in [1, 2, 3, 10, 64] {
                for taps in axis(&start, &extent, size, filter) {
                    assert_eq!(taps.rational().into_iter().sum::<BigRational>(), ratio(1, 1));
                    assert!(BigRational::from_integer(taps.first.into()) >= start.floor());
                    assert!(BigRational::from_integer((taps.first + taps.weights.len()).into()) <= end);
                }
            }
        }
    }
}

#[test]
fn crops_may_begin_within_a_sample() {
    let crop = |start, extent, size| axis(&start, &extent, size, Filter::Bilinear);
    // From 1/2 to 5/2, centres 1 and 2, each where two samples meet.
    let taps = crop(ratio(1, 2), ratio(2, 1), 2);
    is(&taps[0], 0, &[1, 1], 2);
    is(&taps[1], 1, &[1, 1], 2);
    // From 3/4 to 7/4, centre 5/4: 3/4 away from the middle of sample 0, 1/4 from that of sample 1.
    is(&crop(ratio(3, 4), ratio(1, 1), 1)[0], 0, &[1, 3], 4);
    // From 1 to 5/2 by 3, centres 5/4, 7/4, 9/4: sample 0 would be near enough to the first, but is not touched.
    let taps = crop(ratio(1, 1), ratio(3, 2), 3);
    is(&taps[0], 1, &[1], 1);
    is(&taps[1], 1, &[3, 1], 4);
    is(&taps[2], 1, &[1, 3], 4);
    // Within one sample.
    is(&crop(ratio(9, 4), ratio(1, 2), 1)[0], 2, &[1], 1);
}

/// a b / c d / e f
fn letters() -> Picture {
    let luma = Plane::from_fn(2, 3, |x, y| (1 + x + 2 * y) as u16);
    let chroma = || Plane::filled(2, 3, 0);
    Picture::whole(luma, chroma(), chroma(), Subsampling::None, 8).expect("a picture")
}

fn shown(picture: &Picture, conversion: &Conversion) -> Vec<String> {
    let exact = Exact::new(picture, conversion).expect("a conversion");
    let (width, height, _) = exact.size();
    let letter = |x, y| {
        let code =
            (exact.value(0, x, y) * ratio(255, 1)).to_integer().to_string().parse::<u8>().expect("a code");
        if code == 0 { '.' } else { char::from(b'a' - 1 + code) }
    };
    (0..height).map(|y| (0..width).map(|x| letter(x, y)).collect()).collect()
}

#[test]
fn orientation() {
    let turned = |mirror, rotation, width, height| {
        let conversion = Conversion {
            channels: Channels::Yuv,
            orientation: Orientation { mirror, rotation },
            ..Conversion::new(width, height, 2)
        };
        shown(&letters(), &conversion)
    };
    assert_eq!(turned(false, Rotation::None, 2, 3), ["ab", "cd", "ef"]);
    assert_eq!(turned(false, Rotation::Clockwise90, 3, 2), ["eca", "fdb"]);
    assert_eq!(turned(false, Rotation::Half, 2, 3), ["fe", "dc", "ba"]);
    assert_eq!(turned(false, Rotation::Clockwise270, 3, 2), ["bdf", "ace"]);
    assert_eq!(turned(true, Rotation::None, 2, 3), ["ba", "dc", "fe"]);
    assert_eq!(turned(true, Rotation::Clockwise90, 3, 2), ["fdb", "eca"]);
    assert_eq!(turned(true, Rotation::Half, 2, 3), ["ef", "cd", "ab"]);
    assert_eq!(turned(true, Rotation::Clockwise270, 3, 2), ["ace", "bdf"]);
}

#[test]
fn crops_are_of_the_coded_picture() {
    let conversion = Conversion {
        channels: Channels::Yuv,
        crop: Some(Crop { x: ratio(0, 1), y: ratio(1, 1), width: ratio(2, 1), height: ratio(2, 1) }),
        orientation: Orientation { mirror: false, rotation: Rotation::Clockwise90 },
        ..Conversion::new(2, 2, 2)
    };
    assert_eq!(shown(&letters(), &conversion), ["ec", "fd"]);
    let beyond = Crop { x: ratio(1, 2), y: ratio(0, 1), width: ratio(2, 1), height: ratio(1, 1) };
    let refused = Conversion { crop: Some(beyond), ..conversion };
    assert_eq!(Exact::new(&letters(), &refused).err(), Some(Error::Crop));
}

#[test]
fn letterboxes() {
    let black = |channels: usize| Fit::Letterbox(vec![ratio(0, 1); channels]);
    let area = |width, height, columns, rows, rotation| {
        let picture = Picture::whole(
            Plane::filled(width, height, 0),
            Plane::filled(width, height, 0),
            Plane::filled(width, height, 0),
            Subsampling::None,
            8,
        )
        .expect("a picture");
        let conversion = Conversion {
            fit: black(3),
            filter: Filter::Nearest,
            orientation: Orientation { mirror: false, rotation },
            ..Conversion::new(columns, rows, 1)
        };
        let Area { left, top, width, height } =
            Exact::new(&picture, &conversion).expect("a conversion").area();
        (left, top, width, height)
    };
    let upright = Rotation::None;
    // 224 * 9 / 16 = 126, (224 - 126) / 2 = 49.
    assert_eq!(area(160, 90, 224, 224, upright), (0, 49, 224, 126));
    assert_eq!(area(160, 90, 224, 224, Rotation::Clockwise90), (49, 0, 126, 224));
    // 5 * 2 / 3 = 3.33: 3, and of the 2 left over one above.
    assert_eq!(area(3, 2, 5, 5, upright), (0, 1, 5, 3));
    // 5 * 1 / 2 = 2.5 is rounded up to 3; 4 * 1 / 2 = 2 of 5 leaves 3: one above, two below.
    assert_eq!(area(2, 1, 5, 5, upright), (0, 1, 5, 3));
    assert_eq!(area(2, 1, 4, 5, upright), (0, 1, 4, 2));
    // 5 / 100 is at least 1.
    assert_eq!(area(100, 1, 5, 5, upright), (0, 2, 5, 1));

    let conversion = Conversion {
        channels: Channels::Yuv,
        fit: black(3),
        filter: Filter::Nearest,
        ..Conversion::new(5, 3, 2)
    };
    assert_eq!(shown(&letters(), &conversion), [".ab..", ".cd..", ".ef.."]);
    let turned = Conversion {
        orientation: Orientation { mirror: false, rotation: Rotation::Clockwise90 },
        ..Conversion { width: 3, height: 5, ..conversion.clone() }
    };
    assert_eq!(shown(&letters(), &turned), ["...", "eca", "fdb", "...", "..."]);

    // The fill takes part in mean and standard deviation.
    let filled = Conversion {
        fit: Fit::Letterbox(vec![ratio(1, 2), ratio(1, 4), ratio(1, 1)]),
        mean: vec![ratio(1, 4); 3],
        std: vec![ratio(1, 4); 3],
        ..conversion.clone()
    };
    let exact = Exact::new(&letters(), &filled).map(|exact| [0, 1, 2].map(|c| exact.normalized(c, 0, 0)));
    assert_eq!(exact.expect("a conversion"), [ratio(1, 1), ratio(0, 1), ratio(3, 1)]);
    let refused = Conversion { fit: Fit::Letterbox(vec![ratio(0, 1); 1]), ..conversion.clone() };
    assert!(matches!(Exact::new(&letters(), &refused).err(), Some(Error::Channels { list: "fill", .. })));
    let refused = Conversion { fit: Fit::Letterbox(vec![ratio(5, 4); 3]), ..conversion };
    assert_eq!(Exact::new(&letters(), &refused).err(), Some(Error::Fill));
}

#[test]
fn planes_in_memory() {
    // Cb and Cr alternate, two bytes of padding behind each row.
    let bytes = [1, 2, 3, 4, 0, 0, 5, 6, 7, 8];
    let packing = Packing { offset: 1, pitch: 6, step: 2 };
    let cr = Plane::from_bytes(&bytes, packing, 2, 2, 8).expect("a plane");
    assert_eq!([cr.code(0, 0), cr.code(1, 0), cr.code(0, 1), cr.code(1, 1)], [2, 4, 6, 8]);
    assert!(Plane::from_bytes(&bytes[..9], packing, 2, 2, 8).is_err());
    // 1023 in the upper 10 bits.
    let words = [0xc0, 0xff, 0x40, 0x00];
    let luma =
        Plane::from_bytes(&words, Packing { offset: 0, pitch: 4, step: 1 }, 2, 1, 10).expect("a plane");
    assert_eq!([luma.code(0, 0), luma.code(1, 0)], [1023, 1]);
    let chroma = || Plane::filled(1, 1, 512);
    let picture = |depth| Picture::whole(luma.clone(), chroma(), chroma(), Subsampling::Both, depth);
    assert!(picture(10).is_ok());
    assert_eq!(picture(8).err(), Some(Error::Code { plane: "luma", code: 1023, depth: 8 }));
    assert_eq!(picture(17).err(), Some(Error::Depth(17)));
}
