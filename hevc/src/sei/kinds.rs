//! [`SeiKind`]: the table of payload types.

use super::{
    ActiveParameterSets, AlternativeTransfer, AmbientViewing, ContentColourVolume, ContentLightLevel,
    DisplayOrientation, FilmGrain, FramePacking, MasteringDisplay, RecoveryPoint, RegisteredUserData,
    SeiPayload, TimeCode, UnregisteredUserData,
};
use crate::BitReader;
use crate::error::Error;
use crate::picture_hash::PictureHash;

/// How long what a message says holds (Table D.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Persistence {
    /// For the picture, or the NAL unit, that it is sent with.
    Picture,
    /// For the rest of the coded video sequence.
    Sequence,
    /// As the message itself says; those that are read have a [`Flagged`](super::Flagged) payload.
    AsCoded,
    /// The standard leaves it to whoever reads the payload; here as `Picture`.
    Unspecified,
}

/// In which NAL units a message may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum In {
    Prefix,
    Suffix,
    Both,
}

type Read = fn(&mut BitReader<'_>, &[u8]) -> Result<SeiPayload, Error>;

/// What the standard says of a payload type.
#[derive(Debug)]
#[non_exhaustive]
pub struct SeiKind {
    /// `payloadType`.
    pub payload_type: u32,
    /// Name of the syntax structure.
    pub name: &'static str,
    /// How long what it says holds.
    pub persistence: Persistence,
    nal: In,
    pub(super) read: Option<Read>,
}

impl SeiKind {
    /// The row of a payload type; `None` if that is reserved.
    pub fn of(payload_type: u32) -> Option<&'static SeiKind> {
        let at = KINDS.binary_search_by_key(&payload_type, |kind| kind.payload_type).ok()?;
        KINDS.get(at)
    }

    pub(super) fn may_be_in(&self, suffix: bool) -> bool {
        match self.nal {
            In::Prefix => !suffix,
            In::Suffix => suffix,
            In::Both => true,
        }
    }
}

const fn row(
    payload_type: u32,
    name: &'static str,
    nal: In,
    persistence: Persistence,
    read: Option<Read>,
) -> SeiKind {
    SeiKind { payload_type, name, persistence, nal, read }
}

/// The payload types of 7.3.5 and D.2.1, by number.
static KINDS: &[SeiKind] = {
    use In::{Both, Prefix, Suffix};
    use Persistence::{AsCoded, Picture, Sequence, Unspecified};
    use SeiPayload as P;
    &[
        row(0, "buffering_period", Prefix, AsCoded, None),
        row(1, "pic_timing", Prefix, Picture, None),
        row(2, "pan_scan_rect", Prefix, AsCoded, None),
        row(3, "filler_payload", Both, Picture, None),
        row(
            4,
            "user_data_registered_itu_t_t35",
            Both,
            Unspecified,
            Some(|_, data| RegisteredUserData::parse(data).map(P::RegisteredUserData)),
        ),
        row(
            5,
            "user_data_unregistered",
            Both,
            Unspecified,
            Some(|_, data| UnregisteredUserData::parse(data).map(P::UnregisteredUserData)),
        ),
        row(6, "recovery_point", Prefix, AsCoded, Some(|r, _| RecoveryPoint::parse(r).map(P::RecoveryPoint))),
        row(9, "scene_info", Prefix, AsCoded, None),
        row(15, "picture_snapshot", Prefix, Picture, None),
        row(16, "progressive_refinement_segment_start", Prefix, AsCoded, None),
        row(17, "progressive_refinement_segment_end", Both, AsCoded, None),
        row(
            19,
            "film_grain_characteristics",
            Prefix,
            AsCoded,
            Some(|r, _| FilmGrain::parse(r).map(P::FilmGrain)),
        ),
        row(22, "post_filter_hint", Both, Picture, None),
        row(23, "tone_mapping_info", Prefix, AsCoded, None),
        row(
            45,
            "frame_packing_arrangement",
            Prefix,
            AsCoded,
            Some(|r, _| FramePacking::parse(r).map(P::FramePacking)),
        ),
        row(
            47,
            "display_orientation",
            Prefix,
            AsCoded,
            Some(|r, _| DisplayOrientation::parse(r).map(P::DisplayOrientation)),
        ),
        row(56, "green_metadata", Prefix, AsCoded, None),
        row(128, "structure_of_pictures_info", Prefix, AsCoded, None),
        row(
            129,
            "active_parameter_sets",
            Prefix,
            Sequence,
            Some(|r, _| ActiveParameterSets::parse(r).map(P::ActiveParameterSets)),
        ),
        row(130, "decoding_unit_info", Prefix, Picture, None),
        row(131, "temporal_sub_layer_zero_idx", Prefix, Picture, None),
        row(
            132,
            "decoded_picture_hash",
            Suffix,
            Picture,
            Some(|_, data| {
                let hash = PictureHash::parse(data).map(P::DecodedPictureHash);
                Ok(hash.unwrap_or_else(|| P::Raw(data.to_vec())))
            }),
        ),
        row(133, "scalable_nesting", Prefix, AsCoded, None),
        row(134, "region_refresh_info", Prefix, AsCoded, None),
        row(135, "no_display", Prefix, Picture, None),
        row(136, "time_code", Prefix, Picture, Some(|r, _| TimeCode::parse(r).map(P::TimeCode))),
        row(
            137,
            "mastering_display_colour_volume",
            Prefix,
            Sequence,
            Some(|r, _| MasteringDisplay::parse(r).map(P::MasteringDisplay)),
        ),
        row(138, "segmented_rect_frame_packing_arrangement", Prefix, AsCoded, None),
        row(139, "temporal_motion_constrained_tile_sets", Prefix, Sequence, None),
        row(140, "chroma_resampling_filter_hint", Prefix, Sequence, None),
        row(141, "knee_function_info", Prefix, AsCoded, None),
        row(142, "colour_remapping_info", Prefix, AsCoded, None),
        row(143, "deinterlaced_field_identification", Prefix, Picture, None),
        row(
            144,
            "content_light_level_info",
            Prefix,
            Sequence,
            Some(|r, _| ContentLightLevel::parse(r).map(P::ContentLightLevel)),
        ),
        row(145, "dependent_rap_indication", Prefix, Picture, None),
        row(146, "coded_region_completion", Prefix, Picture, None),
        row(
            147,
            "alternative_transfer_characteristics",
            Prefix,
            Sequence,
            Some(|r, _| AlternativeTransfer::parse(r).map(P::AlternativeTransfer)),
        ),
        row(
            148,
            "ambient_viewing_environment",
            Prefix,
            Sequence,
            Some(|r, _| AmbientViewing::parse(r).map(P::AmbientViewing)),
        ),
        row(
            149,
            "content_colour_volume",
            Prefix,
            AsCoded,
            Some(|r, _| ContentColourVolume::parse(r).map(P::ContentColourVolume)),
        ),
        row(150, "equirectangular_projection", Prefix, AsCoded, None),
        row(151, "cubemap_projection", Prefix, AsCoded, None),
        row(152, "fisheye_video_info", Prefix, AsCoded, None),
        row(154, "sphere_rotation", Prefix, AsCoded, None),
        row(155, "regionwise_packing", Prefix, AsCoded, None),
        row(156, "omni_viewport", Prefix, AsCoded, None),
        row(157, "regional_nesting", Prefix, AsCoded, None),
        row(158, "mcts_extraction_info_sets", Prefix, Sequence, None),
        row(159, "mcts_extraction_info_nesting", Prefix, AsCoded, None),
        row(160, "layers_not_present", Prefix, AsCoded, None),
        row(161, "inter_layer_constrained_tile_sets", Prefix, Sequence, None),
        row(162, "bsp_nesting", Prefix, AsCoded, None),
        row(163, "bsp_initial_arrival_time", Prefix, AsCoded, None),
        row(164, "sub_bitstream_property", Prefix, Sequence, None),
        row(165, "alpha_channel_info", Prefix, AsCoded, None),
        row(166, "overlay_info", Prefix, AsCoded, None),
        row(167, "temporal_mv_prediction_constraints", Prefix, AsCoded, None),
        row(168, "frame_field_info", Prefix, Picture, None),
        row(176, "three_dimensional_reference_displays_info", Prefix, AsCoded, None),
        row(177, "depth_representation_info", Prefix, AsCoded, None),
        row(178, "multiview_scene_info", Prefix, Sequence, None),
        row(179, "multiview_acquisition_info", Prefix, Sequence, None),
        row(180, "multiview_view_position", Prefix, Sequence, None),
        row(181, "alternative_depth_info", Prefix, AsCoded, None),
        row(200, "sei_manifest", Prefix, Sequence, None),
        row(201, "sei_prefix_indication", Prefix, Sequence, None),
        row(202, "annotated_regions", Prefix, AsCoded, None),
        row(205, "shutter_interval_info", Prefix, Sequence, None),
    ]
};
