//! What `--check-tensors` makes of every picture: a fixed table.

/// A conversion to be checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// What it is called.
    pub(crate) name: &'static str,
    /// Text of the spec. `{down}` and `{up}` are sizes, `{crop}` and `{part}` parts that depend on the picture's.
    template: &'static str,
}

/// Most columns and lines of `{part}`, which becomes larger: tensors of large pictures would be too large.
const PART: (u32, u32) = (640, 360);

impl Case {
    const fn new(name: &'static str, template: &'static str) -> Case {
        Case { name, template }
    }

    /// The spec's text for a picture of `width` by `height`.
    pub(crate) fn text(&self, width: u32, height: u32) -> String {
        let (part_width, part_height) = (width.min(PART.0), height.min(PART.1));
        let eighths = |side: u32, parts: u32| f64::from(side * parts) / 8.0;
        let values = [
            // Odd factors, so that weights have many bits.
            ("{down}", format!("{}x{}", (width * 2 / 5).max(1), (height / 3).max(1))),
            ("{up}", format!("{}x{}", part_width * 5 / 4 + 1, part_height * 3 / 2 + 1)),
            (
                "{crop}",
                format!(
                    "{}:{}:{}:{}",
                    eighths(width, 1) + 0.25,
                    eighths(height, 1) + 0.5,
                    eighths(width, 5) + 0.125,
                    eighths(height, 6) - 0.25
                ),
            ),
            ("{part}", format!("crop=0:0:{part_width}:{part_height}")),
        ];
        values.iter().fold(self.template.to_owned(), |text, (key, value)| text.replace(key, value))
    }
}

/// All of them. Names and texts stay as they are: the sums of two machines are compared.
pub(crate) const CASES: [Case; 20] = [
    Case::new("own", ""),
    Case::new("own-imagenet", "dtype=f16,mean=0.485:0.456:0.406,std=0.229:0.224:0.225"),
    Case::new("own-yuv", "channels=yuv,dtype=bf16,layout=nhwc"),
    Case::new("own-grey", "channels=grey,dtype=f16,range=full,mean=0.5,std=0.25"),
    Case::new("own-bgr", "channels=bgr,matrix=bt2020,siting=1,range=limited"),
    Case::new("own-repeated", "chroma=nearest,matrix=bt601,layout=nhwc"),
    Case::new("own-planes", "matrix=identity,range=full,orientation=90"),
    Case::new("own-ycgco", "matrix=ycgco,range=limited,siting=4,dtype=bf16,orientation=mirror:180"),
    Case::new("imagenet", "size=224x224,dtype=f16,mean=0.485:0.456:0.406,std=0.229:0.224:0.225"),
    Case::new("letterbox", "size=224x224,fit=letterbox:0.5,dtype=f16,matrix=bt709,siting=2,mean=0.5,std=0.5"),
    Case::new(
        "letterbox-turned",
        "size=320x180,fit=letterbox:0.125:0.25:0.75,resize=bicubic,orientation=270,matrix=smpte240m,siting=3",
    ),
    Case::new("smaller-bilinear", "size={down},matrix=fcc,siting=5,range=full"),
    Case::new(
        "smaller-bicubic",
        "size={down},resize=bicubic,dtype=f32,siting=1,mean=0.45:0.5:0.55,std=0.25:0.5:2",
    ),
    Case::new(
        "smaller-nearest",
        "size={down},resize=nearest,matrix=bt709,layout=nhwc,orientation=mirror:270",
    ),
    Case::new("larger-bilinear", "{part},size={up},dtype=f16,orientation=180"),
    Case::new("larger-bicubic", "{part},size={up},resize=bicubic,siting=4,range=full,matrix=bt709"),
    Case::new("larger-nearest", "{part},size={up},resize=nearest,orientation=mirror,chroma=nearest"),
    Case::new("crop", "crop={crop},dtype=f32,matrix=bt709,range=limited"),
    Case::new(
        "crop-turned",
        "crop={crop},size=48x40,resize=bicubic,orientation=mirror:90,siting=3,layout=nhwc,dtype=bf16,\
         mean=0.25:0.5:0.75,std=0.125:0.25:4",
    ),
    Case::new("yuv", "channels=yuv,size={down},resize=bicubic,siting=5"),
];

/// Those that `nvdec-probe --selftest` takes: each kind of arithmetic once.
pub(crate) fn for_self_test() -> impl Iterator<Item = &'static Case> {
    CASES.iter().filter(|case| ["own", "imagenet", "smaller-bicubic", "crop-turned"].contains(&case.name))
}

#[cfg(test)]
mod tests {
    use nvdec::TensorSpec;

    use super::*;

    #[test]
    fn all_are_specs_whatever_the_size() {
        for (width, height) in [(8, 8), (202, 150), (416, 240), (1920, 1080), (8192, 4320)] {
            for case in &CASES {
                let text = case.text(width, height);
                assert!(text.parse::<TensorSpec>().is_ok(), "{}: {text}", case.name);
                assert!(!text.contains('{'));
            }
        }
        assert_eq!(for_self_test().count(), 4);
    }

    /// Each value of each key that has names is in the table.
    #[test]
    fn everything_is_covered() {
        let all: Vec<String> = CASES.iter().map(|case| case.text(416, 240) + ",").collect();
        let matrices = ["bt601", "bt709", "bt2020", "fcc", "smpte240m", "identity", "ycgco"];
        let sitings = ["1", "2", "3", "4", "5"];
        let orientations = ["90", "180", "270", "mirror", "mirror:90", "mirror:180", "mirror:270"];
        let others = [
            "resize=nearest",
            "resize=bicubic",
            "fit=letterbox:0.5",
            "channels=bgr",
            "channels=grey",
            "channels=yuv",
            "range=full",
            "range=limited",
            "chroma=nearest",
            "dtype=f16",
            "dtype=bf16",
            "dtype=f32",
            "layout=nhwc",
        ];
        let wanted = matrices.iter().map(|name| format!("matrix={name}"));
        let wanted = wanted.chain(sitings.iter().map(|name| format!("siting={name}")));
        let wanted = wanted.chain(orientations.iter().map(|name| format!("orientation={name}")));
        for part in wanted.chain(others.iter().map(|&part| part.to_owned())) {
            assert!(all.iter().any(|text| text.contains(&format!("{part},"))), "{part}");
        }
        let mut names: Vec<_> = CASES.iter().map(|case| case.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CASES.len());
    }
}
