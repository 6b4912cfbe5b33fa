use super::*;
use crate::class::VIDEO_CLASSES;
use bitstream::split_annex_b;
use hevc::{Parser, Unit};

fn sps() -> Sps {
    let stream = include_bytes!("../../../../hevc/tests/data/h_ra_cra.hevc");
    let mut parser = Parser::new();
    let sps = split_annex_b(stream).find_map(|nal| match parser.parse(nal) {
        Ok(Unit::Sps(sps)) => Some(sps),
        _ => None,
    });
    (*sps.expect("the stream has an SPS")).clone()
}

fn refused(class: &str, change: impl FnOnce(&mut Sps)) -> Option<&'static str> {
    let row = VIDEO_CLASSES.iter().find(|row| row.generation == class).unwrap();
    let mut sps = sps();
    change(&mut sps);
    match check(&sps, row) {
        Ok(()) => None,
        Err(Error::CannotDecode { element, .. }) => Some(element),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn limits_are_named() {
    let size =
        |w, h| move |sps: &mut Sps| (sps.pic_width_in_luma_samples, sps.pic_height_in_luma_samples) = (w, h);
    assert_eq!(refused("Hopper", |_| {}), None);
    assert_eq!(refused("Turing", |_| {}), Some("pic_height_in_luma_samples"), "208x120");
    assert_eq!(refused("Hopper", size(64, 136)), Some("pic_width_in_luma_samples"));
    assert_eq!(refused("Hopper", size(72, 40)), None);
    assert_eq!(refused("Hopper", size(8200, 200)), Some("pic_width_in_luma_samples"));
    assert_eq!(refused("Hopper", |sps| sps.bit_depth_chroma = 10), None);
    assert_eq!(refused("Hopper", |sps| sps.bit_depth_chroma = 13), Some("bit_depth_chroma_minus8"));
    assert_eq!(refused("Hopper", |sps| sps.bit_depth_luma = 10), Some("bit_depth_chroma_minus8"));
    let full = |sps: &mut Sps| (sps.chroma_format_idc, sps.bit_depth_chroma) = (3, 10);
    assert_eq!(refused("Hopper", full), Some("bit_depth_chroma_minus8"));
    assert_eq!(refused("Ada", |sps| sps.bit_depth_chroma = 10), Some("bit_depth_chroma_minus8"));
    assert_eq!(refused("Hopper", |sps| sps.chroma_format_idc = 2), Some("chroma_format_idc"));
    let tiny_blocks = |sps: &mut Sps| {
        sps.log2_min_luma_coding_block_size = 3;
        sps.log2_diff_max_min_luma_coding_block_size = 0;
    };
    assert_eq!(refused("Hopper", tiny_blocks), Some("log2_diff_max_min_luma_coding_block_size"));
    let blackwell = |sps: &mut Sps| {
        size(1920, 1080)(sps);
        sps.chroma_format_idc = 2;
    };
    assert_eq!(refused("Blackwell (GB20x)", blackwell), None);
}

/// What the emulated engine lacks is refused here by the name of the syntax element, and there, should it come so
/// far, by the name of the descriptor's field.
#[cfg(feature = "emulated")]
mod emulated {
    use std::path::Path;
    use std::sync::Arc;

    use hevc::Picture;
    use nvkernel_sys::bits::Field;
    use nvkernel_sys::video::hevc_pic as pic;

    use super::*;
    use crate::class::HevcLimits;
    use crate::emulated::{ABSENT_TOOLS, LIMITS, refuses};
    use crate::hevc::descriptor::{References, Template};
    use crate::hevc::tables;
    use crate::surface::{SurfaceFormat, SurfaceGeometry};

    /// Fields that ask for a tool and that the driver never sets.
    const NEVER_SET: [Field; 6] = [
        pic::intraBlockCopyEnableFlag,
        pic::mv_hevc_enable,
        pic::slice_decoding_enable,
        pic::enable_encryption,
        pic::enable_histogram,
        pic::enable_substream_decoding,
    ];

    /// The first picture of a stream.
    fn first_picture(stream: &[u8]) -> Option<Arc<Picture>> {
        let mut parser = Parser::new();
        split_annex_b(stream).find_map(|nal| match parser.parse(nal) {
            Ok(Unit::Slice(slice)) => slice.picture,
            _ => None,
        })
    }

    /// A picture's descriptor and tile table, with parameter sets that may differ from the picture's own.
    fn submission(picture: &Picture, sps: &Sps, pps: &Pps, class: &VideoClass) -> (Vec<u8>, Vec<u8>) {
        let chroma = Chroma::from_chroma_format_idc(sps.chroma_format_idc).unwrap();
        let format = SurfaceFormat::new(chroma, sps.bit_depth_luma);
        let geometry =
            SurfaceGeometry::new(format, sps.pic_width_in_luma_samples, sps.pic_height_in_luma_samples);
        let template = Template::new(&Arc::new(sps.clone()), &Arc::new(pps.clone()), class, &geometry);
        let descriptor = template.picture(picture, 0, &References::default(), 100);
        let mut tiles = [0; tables::TILE_TABLE_BYTES];
        tables::tile_table(&pps.tile_layout(sps), sps, &mut tiles);
        (descriptor.to_vec(), tiles.to_vec())
    }

    fn element(result: Result<()>) -> Option<&'static str> {
        match result {
            Ok(()) => None,
            Err(Error::CannotDecode { element, .. }) => Some(element),
            Err(error) => panic!("{error}"),
        }
    }

    type Change = fn(&mut Sps, &mut Pps);

    #[test]
    fn each_absent_tool_is_refused_on_both_sides() {
        let changes: [(&str, Field, Change); 16] = [
            ("chroma_format_idc", pic::chroma_format_idc, |s, _| s.chroma_format_idc = 3),
            ("bit_depth_chroma_minus8", pic::bit_depth_chroma, |s, _| s.bit_depth_chroma = 10),
            ("transform_skip_rotation_enabled_flag", pic::transformSkipRotationEnableFlag, |s, _| {
                s.range_extension.transform_skip_rotation_enabled_flag = true;
            }),
            ("transform_skip_context_enabled_flag", pic::transformSkipContextEnableFlag, |s, _| {
                s.range_extension.transform_skip_context_enabled_flag = true;
            }),
            ("implicit_rdpcm_enabled_flag", pic::implicitRdpcmEnableFlag, |s, _| {
                s.range_extension.implicit_rdpcm_enabled_flag = true;
            }),
            ("explicit_rdpcm_enabled_flag", pic::explicitRdpcmEnableFlag, |s, _| {
                s.range_extension.explicit_rdpcm_enabled_flag = true;
            }),
            ("extended_precision_processing_flag", pic::extendedPrecisionProcessingFlag, |s, _| {
                s.range_extension.extended_precision_processing_flag = true;
            }),
            ("intra_smoothing_disabled_flag", pic::intraSmoothingDisabledFlag, |s, _| {
                s.range_extension.intra_smoothing_disabled_flag = true;
            }),
            ("high_precision_offsets_enabled_flag", pic::highPrecisionOffsetsEnableFlag, |s, _| {
                s.range_extension.high_precision_offsets_enabled_flag = true;
            }),
            ("persistent_rice_adaptation_enabled_flag", pic::fastRiceAdaptationEnableFlag, |s, _| {
                s.range_extension.persistent_rice_adaptation_enabled_flag = true;
            }),
            ("cabac_bypass_alignment_enabled_flag", pic::cabacBypassAlignmentEnableFlag, |s, _| {
                s.range_extension.cabac_bypass_alignment_enabled_flag = true;
            }),
            ("log2_max_transform_skip_block_size_minus2", pic::log2MaxTransformSkipSize, |_, p| {
                p.transform_skip_enabled_flag = true;
                p.range_extension.log2_max_transform_skip_size = 3;
            }),
            ("cross_component_prediction_enabled_flag", pic::crossComponentPredictionEnableFlag, |_, p| {
                p.range_extension.cross_component_prediction_enabled_flag = true;
            }),
            ("chroma_qp_offset_list_enabled_flag", pic::chromaQpAdjustmentEnableFlag, |_, p| {
                p.range_extension.chroma_qp_offset_list_enabled_flag = true;
                p.range_extension.chroma_qp_offset_list = vec![(1, 1)];
            }),
            ("log2_sao_offset_scale_luma", pic::log2SaoOffsetScaleLuma, |_, p| {
                p.range_extension.log2_sao_offset_scale_luma = 1;
            }),
            ("log2_sao_offset_scale_chroma", pic::log2SaoOffsetScaleChroma, |_, p| {
                p.range_extension.log2_sao_offset_scale_chroma = 1;
            }),
        ];
        let class = VIDEO_CLASSES.iter().find(|row| row.generation == "Hopper").unwrap();
        let picture = first_picture(include_bytes!("../../../../tools/clips/x_wpp.hevc")).unwrap();
        let both = |sps: &Sps, pps: &Pps| {
            let (descriptor, tiles) = submission(&picture, sps, pps, class);
            (element(check_limits(pps, sps, class, &LIMITS)), refuses(&descriptor, &tiles, class))
        };
        assert_eq!(both(&picture.sps, &picture.pps), (None, None));
        let (mut all_sps, mut all_pps) = ((*picture.sps).clone(), (*picture.pps).clone());
        for (element, field, change) in changes {
            let (mut sps, mut pps) = ((*picture.sps).clone(), (*picture.pps).clone());
            change(&mut sps, &mut pps);
            change(&mut all_sps, &mut all_pps);
            assert_eq!(both(&sps, &pps), (Some(element), Some(field.name)));
        }
        // There is no tool that the model refuses and nobody else knows of.
        let (descriptor, _) = submission(&picture, &all_sps, &all_pps, class);
        for tool in ABSENT_TOOLS {
            let known = changes.iter().any(|(_, field, _)| field.name == tool.name);
            let never = NEVER_SET.iter().any(|field| field.name == tool.name);
            assert!(known != never, "{}: {known} {never}", tool.name);
            assert_eq!(tool.read(&descriptor, 0).unwrap() != 0, known, "{}", tool.name);
        }
    }

    #[test]
    fn the_error_blames_the_engine_in_software() {
        let picture = first_picture(include_bytes!("../../../../tools/clips/x_444_cqp.hevc")).unwrap();
        let class = VIDEO_CLASSES.iter().find(|row| row.generation == "Hopper").unwrap();
        let error = check_limits(&picture.pps, &picture.sps, class, &LIMITS).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the emulated engine cannot decode this stream: chroma_format_idc = 3 (4:4:4), it decodes 4:2:0; \
             Hopper hardware can"
        );
        assert!(error.is_unsupported());
        // An engine that lacks nothing of its class may say so.
        const CODECS: &[(Codec, Chroma)] = &[(Codec::Hevc, Chroma::all())];
        let hevc = HevcLimits { range_extensions: true, shapes: Shapes::Measured, unequal_depths: true };
        let whole = EngineLimits { name: "other", codecs: CODECS, hevc };
        assert!(check_limits(&picture.pps, &picture.sps, class, &whole).is_ok());
    }

    /// NAL units of parameter sets, each with the range of its bytes behind the header.
    fn parameter_sets(stream: &[u8]) -> Vec<std::ops::Range<usize>> {
        let base = stream.as_ptr() as usize;
        split_annex_b(stream)
            .filter(|nal| matches!(nal[0] >> 1, 33 | 34))
            .map(|nal| nal.as_ptr() as usize - base + 2..nal.as_ptr() as usize - base + nal.len())
            .collect()
    }

    /// Every bit of every parameter set of the fixtures, turned over: what the parser and the class let pass and
    /// the engine's limits too, the model takes; and what only the limits refuse, the model refuses as well.
    #[test]
    fn what_the_driver_lets_pass_the_model_takes() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hevc/tests/data");
        let mut streams: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        streams.retain(|path| path.extension().is_some_and(|e| e == "hevc"));
        streams.sort();
        let classes = ["Hopper", "Ada"];
        let classes = classes.map(|name| VIDEO_CLASSES.iter().find(|row| row.generation == name).unwrap());
        let (mut taken, mut refused) = (0, 0);
        for path in streams {
            let mut stream = std::fs::read(&path).unwrap();
            let bits =
                parameter_sets(&stream).into_iter().flatten().flat_map(|at| (0..8).map(move |b| (at, b)));
            for (at, bit) in bits.collect::<Vec<_>>() {
                stream[at] ^= 1 << bit;
                if let Some(picture) = first_picture(&stream) {
                    let (sps, pps) = (&picture.sps, &picture.pps);
                    for class in classes {
                        if check(sps, class).and_then(|()| check_pps(pps, sps, class)).is_err() {
                            continue;
                        }
                        let (descriptor, tiles) = submission(&picture, sps, pps, class);
                        let here = element(check_limits(pps, sps, class, &LIMITS));
                        let there = refuses(&descriptor, &tiles, class);
                        assert_eq!(
                            here.is_some(),
                            there.is_some(),
                            "{} on {}, byte {at}, bit {bit}: {here:?}, {there:?}",
                            path.display(),
                            class.generation
                        );
                        *if here.is_some() { &mut refused } else { &mut taken } += 1;
                    }
                }
                stream[at] ^= 1 << bit;
            }
        }
        assert!(taken > 1000 && refused > 100, "{taken} taken, {refused} refused");
    }
}
