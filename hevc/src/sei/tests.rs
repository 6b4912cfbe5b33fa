use proptest::prelude::*;

use super::*;
use crate::sps::Sps;

/// Writes syntax elements.
#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn u(mut self, bits: u32, value: u64) -> Self {
        self.0.extend((0..bits).rev().map(|bit| value >> bit & 1 != 0));
        self
    }

    fn ue(self, value: u32) -> Self {
        let code = u64::from(value) + 1;
        let bits = 64 - code.leading_zeros();
        self.u(2 * bits - 1, code)
    }

    fn se(self, value: i32) -> Self {
        let magnitude = value.unsigned_abs();
        self.ue(if value > 0 { 2 * magnitude - 1 } else { 2 * magnitude })
    }

    /// The payload: a one bit and zeros up to the next byte, unless it ends with a byte (7.3.5).
    fn payload(mut self) -> Vec<u8> {
        if !self.0.len().is_multiple_of(8) {
            self.0.push(true);
        }
        self.0
            .chunks(8)
            .map(|byte| byte.iter().zip(0..).fold(0, |sum, (&bit, at)| sum | u8::from(bit) << (7 - at)))
            .collect()
    }
}

/// An SEI RBSP of these messages.
fn rbsp(messages: &[(u32, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for &(payload_type, payload) in messages {
        for mut value in [payload_type, payload.len() as u32] {
            while value >= 255 {
                out.push(255);
                value -= 255;
            }
            out.push(value as u8);
        }
        out.extend_from_slice(payload);
    }
    out.push(0x80);
    out
}

fn read(payload_type: u32, payload: &[u8]) -> SeiPayload {
    let mut messages = parse(&rbsp(&[(payload_type, payload)]), false).unwrap();
    assert_eq!(messages.len(), 1);
    messages.remove(0).payload
}

fn is_raw(payload_type: u32, payload: &[u8]) -> bool {
    read(payload_type, payload) == SeiPayload::Raw(payload.to_vec())
}

#[test]
fn the_table_is_sorted() {
    let types: Vec<_> = (0..300).filter_map(SeiKind::of).map(|kind| kind.payload_type).collect();
    assert!(types.len() > 60 && types.is_sorted_by(|a, b| a < b));
    assert_eq!(SeiKind::of(137).unwrap().name, "mastering_display_colour_volume");
    assert_eq!(SeiKind::of(137).unwrap().persistence, Persistence::Sequence);
    assert_eq!(SeiKind::of(136).unwrap().persistence, Persistence::Picture);
    assert_eq!(SeiKind::of(47).unwrap().persistence, Persistence::AsCoded);
    assert!(SeiKind::of(7).is_none() && SeiKind::of(u32::MAX).is_none());
}

#[test]
fn what_cannot_be_read_keeps_type_and_size() {
    let bytes = rbsp(&[(1000, &[1, 2, 3]), (144, &[1]), (137, &[])]);
    let messages = parse(&bytes, false).unwrap();
    let found: Vec<_> =
        messages.iter().map(|m| (m.payload_type, m.payload_range.len(), &m.payload)).collect();
    let raw = |bytes: &[u8]| SeiPayload::Raw(bytes.to_vec());
    assert_eq!(found, [(1000, 3, &raw(&[1, 2, 3])), (144, 1, &raw(&[1])), (137, 0, &raw(&[]))]);
    assert!(messages[0].kind().is_none());
    assert_eq!(messages[2].kind().unwrap().name, "mastering_display_colour_volume");
}

#[test]
fn a_message_in_the_wrong_nal_unit_is_not_read() {
    let light = [0x03, 0xe8, 0x01, 0x90];
    assert!(!is_raw(144, &light));
    let messages = parse(&rbsp(&[(144, &light), (5, &[7; 16])]), true).unwrap();
    assert_eq!(messages[0].payload, SeiPayload::Raw(light.to_vec()));
    assert!(matches!(messages[1].payload, SeiPayload::UnregisteredUserData(_)), "these may be in both");
}

#[test]
fn messages_are_limited() {
    let many = vec![(3, &[][..]); MAX_MESSAGES];
    assert_eq!(parse(&rbsp(&many), false).unwrap().len(), MAX_MESSAGES);
    let error = parse(&rbsp(&[many, vec![(3, &[])]].concat()), false).unwrap_err();
    assert!(error.to_string().contains("sei_message"), "{error}");
}

#[test]
fn mastering_display_and_light_level() {
    // BT.2020 primaries, D65, 1000 and 0.005 cd/m2.
    let points = [8500, 39850, 6550, 2300, 35400, 14600, 15635, 16450];
    let payload = points.into_iter().fold(Bits::default(), |bits, value| bits.u(16, value));
    let payload = payload.u(32, 10_000_000).u(32, 50).payload();
    let expected = MasteringDisplay {
        display_primaries: [(8500, 39850), (6550, 2300), (35400, 14600)],
        white_point: (15635, 16450),
        max_luminance: 10_000_000,
        min_luminance: 50,
    };
    assert_eq!(read(137, &payload), SeiPayload::MasteringDisplay(expected));
    assert!(is_raw(137, &payload[..23]));
    let expected = ContentLightLevel { max_content_light_level: 1000, max_pic_average_light_level: 400 };
    assert_eq!(read(144, &[0x03, 0xe8, 0x01, 0x90]), SeiPayload::ContentLightLevel(expected));
}

#[test]
fn ambient_viewing_and_alternative_transfer() {
    let payload = Bits::default().u(32, 100_000).u(16, 15635).u(16, 16450).payload();
    let expected = AmbientViewing { ambient_illuminance: 100_000, ambient_light: (15635, 16450) };
    assert_eq!(read(148, &payload), SeiPayload::AmbientViewing(expected));
    assert!(is_raw(148, &Bits::default().u(32, 0).u(16, 1).u(16, 1).payload()), "0 lux is reserved");
    assert!(is_raw(148, &Bits::default().u(32, 1).u(16, 50_001).u(16, 1).payload()));
    let expected = AlternativeTransfer { preferred_transfer_characteristics: 18 };
    assert_eq!(read(147, &[18]), SeiPayload::AlternativeTransfer(expected));
}

#[test]
fn content_colour_volume() {
    let flags = |persistence, primaries| Bits::default().u(1, 0).u(1, persistence).u(1, primaries);
    let payload = flags(1, 1).u(3, 0b011).u(2, 0);
    let payload = [13_250, 34_500, -5_000_000i32, 3_000, 34_000, 16_000]
        .into_iter()
        .fold(payload, |bits, value| bits.u(32, u64::from(value as u32)));
    let payload = payload.u(32, 40_000_000).u(32, 2_000_000).payload();
    let expected = ContentColourVolume {
        primaries: Some([(13_250, 34_500), (-5_000_000, 3_000), (34_000, 16_000)]),
        min_luminance: None,
        max_luminance: Some(40_000_000),
        avg_luminance: Some(2_000_000),
    };
    assert_eq!(read(149, &payload), SeiPayload::ContentColourVolume(Flagged::FromHere(expected)));
    assert_eq!(read(149, &[0xc0]), SeiPayload::ContentColourVolume(Flagged::Cancelled));
    let out_of_range = (0..6).fold(flags(0, 1).u(5, 0), |bits, _| bits.u(32, 5_000_001));
    assert!(is_raw(149, &out_of_range.payload()));
}

#[test]
fn film_grain() {
    let payload = Bits::default().u(1, 0).u(2, 0).u(1, 1);
    let payload = payload.u(3, 2).u(3, 2).u(1, 0).u(8, 9).u(8, 16).u(8, 9);
    let payload = payload.u(2, 0).u(4, 5).u(3, 0b100);
    // Two intervals of three values.
    let payload = payload.u(8, 1).u(3, 2);
    let payload = payload.u(8, 0).u(8, 100).se(10).se(-8).se(8);
    let payload = payload.u(8, 101).u(8, 255).se(7).se(8).se(9).u(1, 1);
    let interval = |lower_bound, upper_bound, values: [i32; 3]| {
        let [a, b, c] = values;
        IntensityInterval { lower_bound, upper_bound, comp_model_value: [a, b, c, 0, 0, 0] }
    };
    let luma = GrainComponent {
        num_model_values: 3,
        intervals: vec![interval(0, 100, [10, -8, 8]), interval(101, 255, [7, 8, 9])],
    };
    let colour = GrainColour {
        bit_depth_luma: 10,
        bit_depth_chroma: 10,
        full_range_flag: false,
        colour_primaries: 9,
        transfer_characteristics: 16,
        matrix_coeffs: 9,
    };
    let expected = Box::new(FilmGrain {
        film_grain_model_id: 0,
        colour: Some(colour),
        blending_mode_id: 0,
        log2_scale_factor: 5,
        components: [Some(luma), None, None],
    });
    assert_eq!(read(19, &payload.payload()), SeiPayload::FilmGrain(Flagged::FromHere(expected)));
    assert_eq!(read(19, &[0xc0]), SeiPayload::FilmGrain(Flagged::Cancelled));
    // Seven model values.
    let reserved = Bits::default().u(10, 0).u(3, 0b100).u(8, 0).u(3, 6).u(64, u64::MAX);
    assert!(is_raw(19, &reserved.payload()));
}

#[test]
fn frame_packing() {
    let begin = |packing| Bits::default().ue(0).u(1, 0).u(7, packing).u(1, 0).u(6, 1);
    let side_by_side = begin(3).u(6, 0b000010).u(16, 0x0480).u(8, 0).u(1, 1).u(1, 0).payload();
    let expected = FramePacking {
        frame_packing_arrangement_type: 3,
        quincunx_sampling_flag: false,
        content_interpretation_type: 1,
        spatial_flipping_flag: false,
        frame0_flipped_flag: false,
        field_views_flag: false,
        current_frame_is_frame0_flag: false,
        frame0_self_contained_flag: true,
        frame1_self_contained_flag: false,
        grid_positions: Some([0, 4, 8, 0]),
        upsampled_aspect_ratio_flag: false,
    };
    assert_eq!(read(45, &side_by_side), SeiPayload::FramePacking(Flagged::FromHere(expected)));
    // Pictures in turns have no grid.
    let in_turns = begin(5).u(6, 0b000111).u(8, 0).u(1, 0).u(1, 1).payload();
    let expected = FramePacking {
        frame_packing_arrangement_type: 5,
        current_frame_is_frame0_flag: true,
        frame1_self_contained_flag: true,
        grid_positions: None,
        upsampled_aspect_ratio_flag: true,
        ..expected
    };
    // current_frame_is_frame0_flag is the fourth of the six flags.
    let SeiPayload::FramePacking(Flagged::ThisPicture(found)) = read(45, &in_turns) else { panic!() };
    assert_eq!(found, expected);
    assert_eq!(read(45, &[0xc0 | 0x20]), SeiPayload::FramePacking(Flagged::Cancelled));
}

#[test]
fn display_orientation() {
    let payload = Bits::default().u(1, 0).u(1, 1).u(1, 0).u(16, 0x4000).u(1, 1).payload();
    let expected = DisplayOrientation { hor_flip: true, ver_flip: false, anticlockwise_rotation: 0x4000 };
    assert_eq!(read(47, &payload), SeiPayload::DisplayOrientation(Flagged::FromHere(expected)));
    assert_eq!(read(47, &[0x80]), SeiPayload::DisplayOrientation(Flagged::Cancelled));
}

#[test]
fn time_code() {
    let stamp = |bits: Bits, full| bits.u(1, 1).u(1, 1).u(5, 4).u(1, full).u(1, 0).u(1, 1).u(9, 29);
    let two = Bits::default().u(2, 3);
    let two = stamp(two, 1).u(6, 59).u(6, 58).u(5, 23).u(5, 0);
    // Seconds alone, with an offset of -2 in 3 bits.
    let two = stamp(two, 0).u(1, 1).u(6, 7).u(1, 0).u(5, 3).u(3, 0b110);
    let payload = two.u(1, 0).payload();
    let first = ClockTimestamp {
        units_field_based_flag: true,
        counting_type: 4,
        full_timestamp_flag: true,
        discontinuity_flag: false,
        cnt_dropped_flag: true,
        n_frames: 29,
        seconds_value: Some(59),
        minutes_value: Some(58),
        hours_value: Some(23),
        time_offset_value: 0,
    };
    let second = ClockTimestamp {
        full_timestamp_flag: false,
        seconds_value: Some(7),
        minutes_value: None,
        hours_value: None,
        time_offset_value: -2,
        ..first
    };
    let expected = TimeCode { clock_timestamps: vec![Some(first), Some(second), None] };
    assert_eq!(read(136, &payload), SeiPayload::TimeCode(expected));
    let late = stamp(Bits::default().u(2, 1), 1).u(6, 0).u(6, 0).u(5, 24).u(5, 0);
    assert!(is_raw(136, &late.payload()), "an hour of 24");
}

#[test]
fn captions_and_hdr10_plus_are_told_apart() {
    let kind = |payload: &[u8]| {
        let SeiPayload::RegisteredUserData(data) = read(4, payload) else { panic!("{payload:x?}") };
        let kind = match data.kind() {
            T35::Captions(constructs) => ("captions", constructs.to_vec()),
            T35::Hdr10Plus(payload) => ("hdr10+", payload.to_vec()),
            T35::Other => ("other", Vec::new()),
        };
        (data.country(), data.provider().unwrap(), kind.0, kind.1)
    };
    let gathered = [0xfc, 0x94, 0x2c, 0xfd, 0x80, 0x80];
    let captions = [&[0xb5, 0, 0x31][..], b"GA94", &[3, 0xc2, 0xff], &gathered, &[0xff]].concat();
    assert_eq!(kind(&captions), (0xb5, 0x31, "captions", gathered.to_vec()));
    assert_eq!(kind(&captions[..15]), (0xb5, 0x31, "other", vec![]), "cut short");
    let mut unused = captions.clone();
    unused[8] = 0x82;
    assert_eq!(kind(&unused), (0xb5, 0x31, "captions", vec![]), "process_cc_data_flag is 0");
    let hdr = [0xb5, 0, 0x3c, 0, 1, 4, 1, 0x40];
    assert_eq!(kind(&hdr), (0xb5, 0x3c, "hdr10+", hdr.to_vec()));
    assert_eq!(kind(&[0xb5, 0, 0x3c, 0, 2, 4]), (0xb5, 0x3c, "other", vec![]));
    assert_eq!(kind(&[0xff, 1, 2, 3]), (0xff01, 0x0203, "other", vec![]));
    assert!(is_raw(4, &[0xb5, 0]) && is_raw(4, &[0xff, 1, 2]) && is_raw(4, &[]));
}

#[test]
fn unregistered_user_data() {
    let uuid: [u8; 16] = std::array::from_fn(|i| i as u8);
    let expected = UnregisteredUserData { uuid_iso_iec_11578: uuid, payload: b"x265".to_vec() };
    assert_eq!(read(5, &[&uuid[..], b"x265"].concat()), SeiPayload::UnregisteredUserData(expected));
    assert!(is_raw(5, &uuid[..15]));
}

/// The SPS of a stream with HRD parameters and `frame_field_info_present_flag` as it is given.
fn sps_with_hrd() -> Sps {
    let stream = include_bytes!("../../tests/data/h_vui_hrd.hevc");
    let mut parser = crate::Parser::new();
    let sps = bitstream::split_annex_b(stream).find_map(|nal| match parser.parse(nal) {
        Ok(crate::Unit::Sps(sps)) => Some(sps),
        _ => None,
    });
    (*sps.unwrap()).clone()
}

#[test]
fn picture_timing_goes_by_its_sps() {
    let mut sps = sps_with_hrd();
    let vui = sps.vui.as_mut().unwrap();
    vui.frame_field_info_present_flag = true;
    let common = vui.hrd_parameters.as_ref().unwrap().common;
    assert!(common.nal_hrd_parameters_present_flag || common.vcl_hrd_parameters_present_flag);
    let bits = |minus1: u8| u32::from(minus1) + 1;
    let payload = Bits::default().u(4, 7).u(2, 1).u(1, 1);
    let payload = payload
        .u(bits(common.au_cpb_removal_delay_length_minus1), 3)
        .u(bits(common.dpb_output_delay_length_minus1), 2);
    let du = common.sub_pic.map(|sub_pic| bits(sub_pic.dpb_output_delay_du_length_minus1));
    let payload = payload.u(du.unwrap_or(0), 1).payload();
    assert!(is_raw(PicTiming::PAYLOAD_TYPE, &payload));
    let timing = PicTiming::parse(&payload, &sps).unwrap();
    let info = FrameFieldInfo { pic_struct: 7, source_scan_type: 1, duplicate_flag: true };
    assert_eq!(timing.frame_field_info, Some(info));
    let delays = timing.delays.unwrap();
    assert_eq!((delays.au_cpb_removal_delay_minus1, delays.pic_dpb_output_delay), (3, 2));
    assert_eq!(delays.pic_dpb_output_du_delay, du.map(|_| 1));
    assert!(PicTiming::parse(&payload[..1], &sps).is_err());
    sps.vui = None;
    assert_eq!(PicTiming::parse(&payload, &sps).unwrap(), PicTiming::default());
}

/// Bytes that a payload takes besides those of the enum.
fn memory(payload: &SeiPayload) -> usize {
    match payload {
        SeiPayload::Raw(bytes) => bytes.capacity(),
        SeiPayload::RegisteredUserData(data) => data.payload.capacity(),
        SeiPayload::UnregisteredUserData(data) => data.payload.capacity(),
        SeiPayload::FilmGrain(grain) => grain.value().map_or(0, |grain| {
            let intervals = grain.components.iter().flatten().map(|component| component.intervals.capacity());
            size_of::<FilmGrain>() + intervals.sum::<usize>() * size_of::<IntensityInterval>()
        }),
        SeiPayload::TimeCode(code) => code.clock_timestamps.capacity() * size_of::<Option<ClockTimestamp>>(),
        _ => 0,
    }
}

proptest! {
    #[test]
    fn no_payload_panics_or_takes_more_than_it_is_worth(
        payload_type in prop_oneof![Just(4u32), Just(5), Just(19), Just(45), Just(47), Just(136), Just(149), 0..256u32],
        payload in prop::collection::vec(any::<u8>(), 0..3000),
        suffix: bool,
    ) {
        let messages = parse(&rbsp(&[(payload_type, &payload)]), suffix).unwrap();
        prop_assert_eq!(messages[0].payload_range.len(), payload.len());
        // An interval of film grain takes 28 bytes for 18 bits or more; a vector may have room for twice as much.
        prop_assert!(memory(&messages[0].payload) <= 1024 + 32 * payload.len());
        let _ = PicTiming::parse(&payload, &sps_with_hrd());
    }

    #[test]
    fn no_rbsp_panics(bytes in prop::collection::vec(any::<u8>(), 0..2000), suffix: bool) {
        if let Ok(messages) = parse(&bytes, suffix) {
            prop_assert!(messages.len() <= MAX_MESSAGES);
            let payloads: usize = messages.iter().map(|message| message.payload_range.len()).sum();
            prop_assert!(payloads <= bytes.len());
        }
    }
}

#[test]
fn a_message_is_small() {
    // Two bytes of a stream can make one.
    assert!(size_of::<SeiMessage>() <= 96, "{}", size_of::<SeiMessage>());
}
