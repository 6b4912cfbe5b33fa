//! SEI messages, and what else travels with pictures, as names and values.

use hevc::Sps;
use hevc::sei::{ClockTimestamp, FilmGrain, Flagged, PicTiming, SeiMessage, SeiPayload, T35};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

/// Bytes of a payload printed at most.
const BYTES_SHOWN: usize = 4096;

/// What a message says, by names of syntax elements or of what they mean.
pub(crate) type Values = Vec<(&'static str, Value)>;

/// A message of a picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ParsedMessage {
    /// `payloadType`; `None` for a NAL unit of Dolby Vision.
    pub payload_type: Option<u32>,
    /// Name of its syntax structure, or `reserved`.
    pub name: &'static str,
    /// It comes behind the picture.
    pub suffix: bool,
    /// Bytes of its payload.
    pub bytes: usize,
    /// What it says; nothing if it is not read.
    #[serde(serialize_with = "as_map")]
    pub values: Values,
}

fn as_map<S: Serializer>(values: &Values, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(values.iter().map(|(name, value)| (name, value)))
}

impl ParsedMessage {
    /// A message for a picture with `sps`.
    pub(super) fn new(message: &SeiMessage, suffix: bool, sps: &Sps) -> ParsedMessage {
        ParsedMessage {
            payload_type: Some(message.payload_type),
            name: message.kind().map_or("reserved", |kind| kind.name),
            suffix,
            bytes: message.payload_range.len(),
            values: values(message, sps),
        }
    }

    /// A reference processing unit of Dolby Vision.
    pub(super) fn dolby_vision_rpu(rpu: &[u8]) -> ParsedMessage {
        ParsedMessage {
            payload_type: None,
            name: "Dolby Vision RPU",
            suffix: true,
            bytes: rpu.len(),
            values: vec![("data", hex(rpu))],
        }
    }
}

/// A point of the chromaticity diagram.
fn point((x, y): (u16, u16)) -> Value {
    json!([f64::from(x) / 5e4, f64::from(y) / 5e4])
}

fn hex(bytes: &[u8]) -> Value {
    let shown = bytes.iter().take(BYTES_SHOWN);
    let mut text: String = shown.map(|byte| format!("{byte:02x}")).collect();
    if bytes.len() > BYTES_SHOWN {
        text.push('…');
    }
    text.into()
}

/// Bytes as text if they are nothing else.
fn text(bytes: &[u8]) -> Value {
    let trimmed = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    match std::str::from_utf8(trimmed) {
        Ok(text) if !text.is_empty() && text.len() <= BYTES_SHOWN && !text.contains(char::is_control) => {
            text.into()
        }
        _ => hex(bytes),
    }
}

fn uuid(bytes: &[u8; 16]) -> Value {
    let [a, b, c, d, e] = [0..4, 4..6, 6..8, 8..10, 10..16]
        .map(|range| bytes[range].iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    format!("{a}-{b}-{c}-{d}-{e}").into()
}

fn values(message: &SeiMessage, sps: &Sps) -> Values {
    match &message.payload {
        SeiPayload::RecoveryPoint(point) => vec![
            ("recovery_poc_cnt", point.recovery_poc_cnt.into()),
            ("exact_match_flag", point.exact_match_flag.into()),
            ("broken_link_flag", point.broken_link_flag.into()),
        ],
        SeiPayload::ActiveParameterSets(sets) => vec![
            ("active_video_parameter_set_id", sets.active_video_parameter_set_id.into()),
            ("active_seq_parameter_set_ids", json!(sets.active_seq_parameter_set_ids)),
        ],
        SeiPayload::MasteringDisplay(display) => {
            let [green, blue, red] = display.display_primaries;
            vec![
                ("red", point(red)),
                ("green", point(green)),
                ("blue", point(blue)),
                ("white", point(display.white_point)),
                ("max_cd_m2", (f64::from(display.max_luminance) / 1e4).into()),
                ("min_cd_m2", (f64::from(display.min_luminance) / 1e4).into()),
            ]
        }
        SeiPayload::ContentLightLevel(level) => vec![
            ("max_content_cd_m2", level.max_content_light_level.into()),
            ("max_picture_average_cd_m2", level.max_pic_average_light_level.into()),
        ],
        SeiPayload::AlternativeTransfer(transfer) => {
            vec![("preferred_transfer_characteristics", transfer.preferred_transfer_characteristics.into())]
        }
        SeiPayload::AmbientViewing(viewing) => vec![
            ("illuminance_lux", (f64::from(viewing.ambient_illuminance) / 1e4).into()),
            ("light", point(viewing.ambient_light)),
        ],
        SeiPayload::ContentColourVolume(flagged) => of_flagged(flagged, |volume| {
            let luminance = |value: Option<u32>| json!(value.map(|value| f64::from(value) / 1e7));
            let primaries = volume
                .primaries
                .map(|primaries| primaries.map(|(x, y)| [f64::from(x) / 5e4, f64::from(y) / 5e4]));
            vec![
                ("green_blue_red", json!(primaries)),
                ("min_cd_m2", luminance(volume.min_luminance)),
                ("max_cd_m2", luminance(volume.max_luminance)),
                ("average_cd_m2", luminance(volume.avg_luminance)),
            ]
        }),
        SeiPayload::RegisteredUserData(data) => {
            let (kind, bytes) = match data.kind() {
                T35::Captions(constructs) => ("ATSC A/53 captions", constructs),
                T35::Hdr10Plus(payload) => ("HDR10+", payload),
                _ => ("other", &data.payload[..]),
            };
            vec![
                ("kind", kind.into()),
                ("country", format!("{:#04x}", data.country()).into()),
                ("provider", data.provider().map(|provider| format!("{provider:#06x}")).into()),
                ("data", hex(bytes)),
            ]
        }
        SeiPayload::UnregisteredUserData(data) => {
            vec![("uuid", uuid(&data.uuid_iso_iec_11578)), ("data", text(&data.payload))]
        }
        SeiPayload::FilmGrain(flagged) => of_flagged(flagged, |grain| film_grain(grain)),
        SeiPayload::FramePacking(flagged) => of_flagged(flagged, |packing| {
            vec![
                ("frame_packing_arrangement_type", packing.frame_packing_arrangement_type.into()),
                ("quincunx_sampling_flag", packing.quincunx_sampling_flag.into()),
                ("content_interpretation_type", packing.content_interpretation_type.into()),
                ("spatial_flipping_flag", packing.spatial_flipping_flag.into()),
                ("frame0_flipped_flag", packing.frame0_flipped_flag.into()),
                ("field_views_flag", packing.field_views_flag.into()),
                ("current_frame_is_frame0_flag", packing.current_frame_is_frame0_flag.into()),
                ("upsampled_aspect_ratio_flag", packing.upsampled_aspect_ratio_flag.into()),
                ("grid_positions", json!(packing.grid_positions)),
            ]
        }),
        SeiPayload::DisplayOrientation(flagged) => of_flagged(flagged, |orientation| {
            let degrees = f64::from(orientation.anticlockwise_rotation) * 360.0 / 65536.0;
            vec![
                ("hor_flip", orientation.hor_flip.into()),
                ("ver_flip", orientation.ver_flip.into()),
                ("anticlockwise_degrees", degrees.into()),
            ]
        }),
        SeiPayload::TimeCode(code) => {
            let stamps = code.clock_timestamps.iter();
            vec![("times", stamps.map(|stamp| stamp.as_ref().map(time)).collect())]
        }
        SeiPayload::Raw(payload) if message.payload_type == PicTiming::PAYLOAD_TYPE => {
            PicTiming::parse(payload, sps).map_or_else(|_| Vec::new(), |timing| pic_timing(&timing))
        }
        _ => Vec::new(),
    }
}

/// Of a message that may take back what was said before, or hold for one picture alone.
fn of_flagged<T>(flagged: &Flagged<T>, values: impl FnOnce(&T) -> Values) -> Values {
    match flagged {
        Flagged::Cancelled => vec![("cancel_flag", true.into())],
        Flagged::ThisPicture(value) | Flagged::FromHere(value) => {
            let persists = matches!(flagged, Flagged::FromHere(_));
            let mut values = values(value);
            values.push(("persistence_flag", persists.into()));
            values
        }
    }
}

fn film_grain(grain: &FilmGrain) -> Values {
    let mut values = vec![
        ("film_grain_model_id", grain.film_grain_model_id.into()),
        ("blending_mode_id", grain.blending_mode_id.into()),
        ("log2_scale_factor", grain.log2_scale_factor.into()),
    ];
    if let Some(colour) = &grain.colour {
        let numbers = [
            colour.bit_depth_luma,
            colour.bit_depth_chroma,
            u8::from(colour.full_range_flag),
            colour.colour_primaries,
            colour.transfer_characteristics,
            colour.matrix_coeffs,
        ];
        values.push(("depths_range_primaries_transfer_matrix", json!(numbers)));
    }
    for (name, component) in ["y", "cb", "cr"].into_iter().zip(&grain.components) {
        let Some(component) = component else { continue };
        let intervals = component.intervals.iter().map(|interval| {
            let model = &interval.comp_model_value[..usize::from(component.num_model_values)];
            json!({ "from": interval.lower_bound, "to": interval.upper_bound, "values": model })
        });
        values.push((name, intervals.collect()));
    }
    values
}

/// Hours to frames, with `;` before the frames where counts are dropped.
fn time(stamp: &ClockTimestamp) -> String {
    let part = |value: Option<u8>| value.map_or_else(|| "--".to_owned(), |value| format!("{value:02}"));
    format!(
        "{}:{}:{}{}{:02}{}",
        part(stamp.hours_value),
        part(stamp.minutes_value),
        part(stamp.seconds_value),
        if stamp.cnt_dropped_flag { ';' } else { ':' },
        stamp.n_frames,
        match stamp.time_offset_value {
            0 => String::new(),
            offset => format!(" {offset:+} ticks"),
        }
    )
}

fn pic_timing(timing: &PicTiming) -> Values {
    let mut values = Vec::new();
    if let Some(info) = &timing.frame_field_info {
        values.push(("pic_struct", info.pic_struct.into()));
        values.push(("source_scan_type", info.source_scan_type.into()));
        values.push(("duplicate_flag", info.duplicate_flag.into()));
    }
    if let Some(delays) = &timing.delays {
        values.push(("au_cpb_removal_delay_minus1", delays.au_cpb_removal_delay_minus1.into()));
        values.push(("pic_dpb_output_delay", delays.pic_dpb_output_delay.into()));
    }
    values
}
