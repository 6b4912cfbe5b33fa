//! Code values to R, G and B, against values worked out by hand.

use exact::matrix::Matrix;
use exact::value::convert;
use exact::{
    BigRational, Channels, Conversion, Error, Exact, Picture, Plane, Subsampling, auto_matrix, ratio,
    round_u8_half_up,
};

/// Kr and Kb as the standards have them.
const SHARES: [(u8, i64, i64); 6] =
    [(1, 2126, 722), (4, 3000, 1100), (5, 2990, 1140), (6, 2990, 1140), (7, 2120, 870), (9, 2627, 593)];

fn conversion(matrix: u8, full_range: bool, channels: Channels) -> Conversion {
    Conversion { full_range, channels, ..Conversion::new(1, 1, matrix) }
}

fn codes(codes: [i64; 3]) -> [BigRational; 3] {
    codes.map(|code| ratio(code, 1))
}

/// R, G and B in 0 to 255, rounded, of a picture of one colour.
fn bytes(matrix: u8, full_range: bool, depth: u32, [y, cb, cr]: [u16; 3]) -> [u8; 3] {
    let plane = |code| Plane::filled(2, 2, code);
    let picture =
        Picture::whole(plane(y), plane(cb), plane(cr), Subsampling::None, depth).expect("a picture");
    let exact = Exact::new(&picture, &conversion(matrix, full_range, Channels::Rgb)).expect("a conversion");
    let pixel = exact.pixel(0, 0);
    [0, 1, 2].map(|c| round_u8_half_up(&pixel[c]))
}

#[test]
fn white_black_and_grey_have_no_colour() {
    for (matrix, ..) in SHARES {
        // 16 and 235 times 4, chroma at 128 times 4.
        assert_eq!(bytes(matrix, false, 8, [235, 128, 128]), [255; 3]);
        assert_eq!(bytes(matrix, false, 10, [940, 512, 512]), [255; 3]);
        assert_eq!(bytes(matrix, false, 8, [16, 128, 128]), [0; 3]);
        assert_eq!(bytes(matrix, false, 10, [64, 512, 512]), [0; 3]);
        assert_eq!(bytes(matrix, true, 8, [255, 128, 128]), [255; 3]);
        assert_eq!(bytes(matrix, true, 10, [1023, 512, 512]), [255; 3]);
        assert_eq!(bytes(matrix, true, 8, [0, 128, 128]), [0; 3]);
        // Beyond white and below black.
        assert_eq!(bytes(matrix, false, 8, [255, 128, 128]), [255; 3]);
        assert_eq!(bytes(matrix, false, 8, [0, 128, 128]), [0; 3]);
        // 110/219, 440/876, 126/255, 504/1023.
        let grey = |full_range, depth, code: [i64; 3]| {
            convert(&codes(code), [depth; 2], &conversion(matrix, full_range, Channels::Rgb))
                .expect("R, G, B")
        };
        assert_eq!(grey(false, 8, [126, 128, 128]), vec![ratio(110, 219); 3]);
        assert_eq!(grey(false, 10, [504, 512, 512]), vec![ratio(110, 219); 3]);
        assert_eq!(grey(true, 8, [126, 128, 128]), vec![ratio(126, 255); 3]);
        assert_eq!(grey(true, 10, [504, 512, 512]), vec![ratio(504, 1023); 3]);
    }
}

/// The primaries forwards: Y' of red is Kr, its PB is (0 - Kr) / (2 (1 - Kb)), its PR (1 - Kr) / (2 (1 - Kr)) = 1/2, and
/// so on. Code values of these, which lie between whole numbers, must give 1 and 0 exactly.
#[test]
fn primaries_come_back_exactly() {
    for (matrix, kr, kb) in SHARES {
        let (kr, kb) = (ratio(kr, 10_000), ratio(kb, 10_000));
        for (red, green, blue) in [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1), (1, 0, 1)] {
            let rgb = [red, green, blue].map(|part| ratio(part, 1));
            let kg = ratio(1, 1) - &kr - &kb;
            let y = &kr * &rgb[0] + &kg * &rgb[1] + &kb * &rgb[2];
            let pb = (&rgb[2] - &y) / (ratio(2, 1) * (ratio(1, 1) - &kb));
            let pr = (&rgb[0] - &y) / (ratio(2, 1) * (ratio(1, 1) - &kr));
            // Offset and range of luma, middle and range of chroma.
            for (full_range, depth, offset, luma, middle, chroma) in [
                (false, 8, 16, 219, 128, 224),
                (false, 10, 64, 876, 512, 896),
                (true, 8, 0, 255, 128, 255),
                (true, 10, 0, 1023, 512, 1023),
            ] {
                let whole = |n: i64| ratio(n, 1);
                let codes = [
                    whole(offset) + whole(luma) * &y,
                    whole(middle) + whole(chroma) * &pb,
                    whole(middle) + whole(chroma) * &pr,
                ];
                let conversion = conversion(matrix, full_range, Channels::Rgb);
                assert_eq!(convert(&codes, [depth; 2], &conversion).expect("R, G, B"), rgb);
            }
        }
    }
}

/// Red, green and blue in whole code values, with the usual decimal coefficients.
#[test]
fn primaries_in_whole_code_values() {
    // BT.601, limited: 255/219 = 1.164383, 1.596027, -0.391762, -0.812968, 2.017232.
    // 65 * 1.164383 = 75.685; R 75.685 + 178.755 = 254.44, G 75.685 + 14.887 - 91.052 < 0, B 75.685 - 76.655 < 0.
    assert_eq!(bytes(6, false, 8, [81, 90, 240]), [254, 0, 0]);
    // 129 * 1.164383 = 150.205; R 150.205 - 150.027 = 0.18, G 150.205 + 28.990 + 76.419 > 255, B 150.205 - 149.275 = 0.93.
    assert_eq!(bytes(5, false, 8, [145, 54, 34]), [0, 255, 1]);
    // 25 * 1.164383 = 29.110; R 29.110 - 28.728 = 0.38, G 29.110 - 43.877 + 14.633 < 0, B 29.110 + 225.930 > 255.
    assert_eq!(bytes(6, false, 8, [41, 240, 110]), [0, 0, 255]);
    // BT.709, limited: 1.792741, -0.213249, -0.532909, 2.112402.
    // 47 * 1.164383 = 54.726; R 54.726 + 200.787 > 255, G 54.726 + 5.544 - 59.686 = 0.58, B 54.726 - 54.922 < 0.
    assert_eq!(bytes(1, false, 8, [63, 102, 240]), [255, 1, 0]);
    // 157 * 1.164383 = 182.808; R 182.808 - 182.860 < 0, G 182.808 + 18.339 + 54.357 > 255, B 182.808 - 181.667 = 1.14.
    assert_eq!(bytes(1, false, 8, [173, 42, 26]), [0, 255, 1]);
    // 16 * 1.164383 = 18.630; R 18.630 - 17.927 = 0.70, G 18.630 - 23.884 + 5.329 = 0.08, B 18.630 + 236.589 > 255.
    assert_eq!(bytes(1, false, 8, [32, 240, 118]), [1, 0, 255]);
    // BT.601, full (JPEG): R 76 + 1.402 * 127 = 254.05, G 76 + 0.344136 * 43 - 0.714136 * 127 = 0.10, B 76 - 1.772 * 43 < 0.
    assert_eq!(bytes(6, true, 8, [76, 85, 255]), [254, 0, 0]);
    // SMPTE 240M, full: R 100 + 1.576 * 72 = 213.47, G 100 + 0.226622 * 28 - 0.476622 * 72 = 72.03,
    // B 100 - 1.826 * 28 = 48.87.
    assert_eq!(bytes(7, true, 8, [100, 100, 200]), [213, 72, 49]);
    // FCC, full: R 100 + 1.4 * 72 = 200.8, G 100 + 0.331864 * 28 - 0.711864 * 72 = 58.04, B 100 - 1.78 * 28 = 50.16.
    assert_eq!(bytes(4, true, 8, [100, 100, 200]), [201, 58, 50]);
    // BT.2020, limited, 10 bits, red: Y 64 + 876 * 0.2627 = 294.1, Cb 512 - 896 * 0.2627 / 1.8814 = 386.9, Cr 512 + 448.
    let red =
        convert(&codes([294, 387, 960]), [10; 2], &conversion(9, false, Channels::Rgb)).expect("R, G, B");
    // Y' is 230/876, PR 1/2, PB -125/896; 2 (1 - 0.2627) = 1.4746, 2 (1 - 0.0593) = 1.8814.
    assert_eq!(red[0], ratio(230, 876) + ratio(14_746, 20_000));
    assert_eq!(red[2], ratio(230, 876) - ratio(18_814, 10_000) * ratio(125, 896));
    // 2 * 0.0593 * 0.9407 / 0.678 and 2 * 0.2627 * 0.7373 / 0.678.
    let green = ratio(2 * 593 * 9407, 6780 * 10_000) * ratio(125, 896)
        - ratio(2 * 2627 * 7373, 6780 * 10_000) / ratio(2, 1);
    assert_eq!(red[1], ratio(230, 876) + green);
}

#[test]
fn matrices_without_shares() {
    let rgb = |matrix, full_range, code: [i64; 3]| {
        convert(&codes(code), [8; 2], &conversion(matrix, full_range, Channels::Rgb)).expect("R, G, B")
    };
    let of = |parts: [i64; 3], whole| parts.map(|part| ratio(part, whole)).to_vec();
    // Y 100, Cg 12, Co 22: t = 88, R = 110, G = 112, B = 66.
    assert_eq!(rgb(8, true, [100, 140, 150]), of([110, 112, 66], 255));
    // Y 100, Cg 20, Co 30 of 219 each: t = 80.
    assert_eq!(rgb(8, false, [116, 148, 158]), of([110, 120, 50], 219));
    // G, B, R.
    assert_eq!(rgb(0, false, [126, 16, 235]), of([219, 110, 0], 219));
    assert_eq!(rgb(0, true, [1, 2, 3]), of([3, 1, 2], 255));
}

#[test]
fn grey_and_planes() {
    let of = |channels, full_range, code: [i64; 3], depths| {
        convert(&codes(code), depths, &conversion(2, full_range, channels)).expect("no matrix is needed")
    };
    assert_eq!(of(Channels::Grey, false, [126, 1, 2], [8, 8]), [ratio(110, 219)]);
    assert_eq!(of(Channels::Grey, true, [126, 1, 2], [8, 8]), [ratio(126, 255)]);
    // No range is expanded, and each plane has its own depth.
    let planes = [ratio(1, 5), ratio(341, 1023), ratio(1, 1)];
    assert_eq!(of(Channels::Yuv, false, [51, 341, 1023], [8, 10]), planes);
    let colour = conversion(1, false, Channels::Bgr);
    // White and a colour of 8 bits of luma and 10 of chroma: PB 0, PR 1/4.
    assert_eq!(convert(&codes([235, 512, 512]), [8, 10], &colour).expect("B, G, R"), vec![ratio(1, 1); 3]);
    let bgr = convert(&codes([16, 512, 736]), [8, 10], &colour).expect("B, G, R");
    assert_eq!((&bgr[0], &bgr[2]), (&ratio(0, 1), &(ratio(15_748, 10_000) / ratio(4, 1))));
}

#[test]
fn what_gives_no_rgb_is_refused_by_name() {
    for (code, name) in
        [(2, "unspecified"), (10, "BT.2020 constant luminance"), (14, "ICtCp"), (16, "YCgCo-Re")]
    {
        assert_eq!(Matrix::new(code), Err(Error::Matrix(code, name)));
        assert_eq!(
            Matrix::new(code).expect_err("refused").to_string(),
            format!("matrix coefficients {code} ({name}) give no R, G, B")
        );
    }
    assert_eq!(Matrix::new(3), Err(Error::Matrix(3, "reserved")));
    assert_eq!(Matrix::new(200), Err(Error::Matrix(200, "reserved")));
}

#[test]
fn what_is_taken_if_nothing_is_said() {
    for (width, height, matrix) in [
        (1280, 720, 1),
        (1279, 576, 6),
        (1280, 2, 1),
        (720, 576, 6),
        (720, 577, 1),
        (1920, 1080, 1),
        (1080, 1920, 1),
        (416, 240, 6),
    ] {
        assert_eq!(auto_matrix(width, height), matrix, "{width}x{height}");
    }
}

#[test]
fn mean_and_deviation_are_of_the_channels_of_the_result() {
    let picture = Picture::whole(
        Plane::filled(1, 1, 63),
        Plane::filled(1, 1, 102),
        Plane::filled(1, 1, 240),
        Subsampling::None,
        8,
    )
    .expect("a picture");
    let conversion = Conversion {
        channels: Channels::Bgr,
        mean: vec![ratio(1, 10), ratio(2, 10), ratio(485, 1000)],
        std: vec![ratio(1, 2), ratio(1, 2), ratio(229, 1000)],
        ..Conversion::new(1, 1, 1)
    };
    let exact = Exact::new(&picture, &conversion).expect("a conversion");
    // Blue is clamped to 0, red to 1.
    assert_eq!(exact.normalized(0, 0, 0), ratio(-1, 5));
    assert_eq!(exact.normalized(2, 0, 0), ratio(515, 229));
    assert_eq!(exact.value(2, 0, 0), ratio(1, 1));
    let refused = Conversion { std: vec![ratio(0, 1); 3], ..conversion.clone() };
    assert_eq!(Exact::new(&picture, &refused).err(), Some(Error::Deviation));
    let refused = Conversion { mean: vec![ratio(0, 1); 2], ..conversion };
    assert!(matches!(Exact::new(&picture, &refused).err(), Some(Error::Channels { list: "mean", .. })));
}
