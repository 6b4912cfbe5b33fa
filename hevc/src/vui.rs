//! `vui_parameters()` (E.2.1).

use crate::BitReader;
use crate::error::Error;
use crate::hrd::HrdParameters;

/// How sample values are to be understood: code points of ITU-T H.273 (Tables E.3 to E.5), 2 meaning unspecified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ColourDescription {
    /// `colour_primaries`.
    pub colour_primaries: u8,
    /// `transfer_characteristics`.
    pub transfer_characteristics: u8,
    /// `matrix_coeffs`.
    pub matrix_coeffs: u8,
    /// `video_full_range_flag`.
    pub video_full_range_flag: bool,
}

impl Default for ColourDescription {
    /// The values inferred where the stream says nothing: unspecified, limited range.
    fn default() -> Self {
        Self {
            colour_primaries: 2,
            transfer_characteristics: 2,
            matrix_coeffs: 2,
            video_full_range_flag: false,
        }
    }
}

/// `def_disp_win_*_offset`, in chroma sample units. Recorded only; output uses the conformance window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct DisplayWindow {
    /// `def_disp_win_left_offset`.
    pub left: u32,
    /// `def_disp_win_right_offset`.
    pub right: u32,
    /// `def_disp_win_top_offset`.
    pub top: u32,
    /// `def_disp_win_bottom_offset`.
    pub bottom: u32,
}

/// Timing of a VPS or a VUI.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TimingInfo {
    /// `num_units_in_tick`.
    pub num_units_in_tick: u32,
    /// `time_scale`: clock ticks per second times `num_units_in_tick`.
    pub time_scale: u32,
    /// `num_ticks_poc_diff_one_minus1`, when picture order count is proportional to time.
    pub num_ticks_poc_diff_one_minus1: Option<u32>,
}

impl TimingInfo {
    pub(crate) fn parse(r: &mut BitReader<'_>) -> Result<Self, Error> {
        let num_units_in_tick = r.u(32, "num_units_in_tick")?;
        let time_scale = r.u(32, "time_scale")?;
        let num_ticks_poc_diff_one_minus1 = if r.flag("poc_proportional_to_timing_flag")? {
            Some(r.ue("num_ticks_poc_diff_one_minus1")?)
        } else {
            None
        };
        Ok(Self { num_units_in_tick, time_scale, num_ticks_poc_diff_one_minus1 })
    }
}

/// `bitstream_restriction_flag` and what depends on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct BitstreamRestriction {
    /// `tiles_fixed_structure_flag`.
    pub tiles_fixed_structure_flag: bool,
    /// `motion_vectors_over_pic_boundaries_flag`.
    pub motion_vectors_over_pic_boundaries_flag: bool,
    /// `restricted_ref_pic_lists_flag`.
    pub restricted_ref_pic_lists_flag: bool,
    /// `min_spatial_segmentation_idc`.
    pub min_spatial_segmentation_idc: u32,
    /// `max_bytes_per_pic_denom`.
    pub max_bytes_per_pic_denom: u32,
    /// `max_bits_per_min_cu_denom`.
    pub max_bits_per_min_cu_denom: u32,
    /// `log2_max_mv_length_horizontal`.
    pub log2_max_mv_length_horizontal: u32,
    /// `log2_max_mv_length_vertical`.
    pub log2_max_mv_length_vertical: u32,
}

/// `vui_parameters()`.
///
/// Nothing here influences decoding, so values reserved by the standard are recorded rather than refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Vui {
    /// Sample aspect ratio as width to height, `None` when unspecified (Table E.1).
    pub sample_aspect_ratio: Option<(u16, u16)>,
    /// `overscan_appropriate_flag`, when `overscan_info_present_flag` is set.
    pub overscan_appropriate_flag: Option<bool>,
    /// `video_format`, 5 meaning unspecified.
    pub video_format: u8,
    /// Colour description, defaults where absent.
    pub colour: ColourDescription,
    /// `chroma_sample_loc_type_top_field` and `chroma_sample_loc_type_bottom_field`.
    pub chroma_sample_loc_type: Option<(u32, u32)>,
    /// `neutral_chroma_indication_flag`.
    pub neutral_chroma_indication_flag: bool,
    /// `field_seq_flag`: each picture is a field.
    pub field_seq_flag: bool,
    /// `frame_field_info_present_flag`.
    pub frame_field_info_present_flag: bool,
    /// `default_display_window_flag` and its offsets.
    pub default_display_window: Option<DisplayWindow>,
    /// `vui_timing_info_present_flag` and what depends on it.
    pub timing_info: Option<TimingInfo>,
    /// `vui_hrd_parameters()`.
    pub hrd_parameters: Option<HrdParameters>,
    /// `bitstream_restriction_flag` and what depends on it.
    pub bitstream_restriction: Option<BitstreamRestriction>,
}

/// Table E.1 from `aspect_ratio_idc` 1.
const SAMPLE_ASPECT_RATIOS: [(u16, u16); 16] = [
    (1, 1),
    (12, 11),
    (10, 11),
    (16, 11),
    (40, 33),
    (24, 11),
    (20, 11),
    (32, 11),
    (80, 33),
    (18, 11),
    (15, 11),
    (64, 33),
    (160, 99),
    (4, 3),
    (3, 2),
    (2, 1),
];

impl Vui {
    pub(crate) fn parse(r: &mut BitReader<'_>, sps_max_sub_layers_minus1: u8) -> Result<Self, Error> {
        let mut vui = Self { video_format: 5, ..Self::default() };
        if r.flag("aspect_ratio_info_present_flag")? {
            vui.sample_aspect_ratio = match r.u(8, "aspect_ratio_idc")? as usize {
                255 => Some((r.u(16, "sar_width")? as u16, r.u(16, "sar_height")? as u16))
                    .filter(|&(width, height)| width != 0 && height != 0),
                idc => idc.checked_sub(1).and_then(|index| SAMPLE_ASPECT_RATIOS.get(index).copied()),
            };
        }
        if r.flag("overscan_info_present_flag")? {
            vui.overscan_appropriate_flag = Some(r.flag("overscan_appropriate_flag")?);
        }
        if r.flag("video_signal_type_present_flag")? {
            vui.video_format = r.u8(3, "video_format")?;
            vui.colour.video_full_range_flag = r.flag("video_full_range_flag")?;
            if r.flag("colour_description_present_flag")? {
                vui.colour.colour_primaries = r.u8(8, "colour_primaries")?;
                vui.colour.transfer_characteristics = r.u8(8, "transfer_characteristics")?;
                vui.colour.matrix_coeffs = r.u8(8, "matrix_coeffs")?;
            }
        }
        if r.flag("chroma_loc_info_present_flag")? {
            vui.chroma_sample_loc_type = Some((
                r.ue("chroma_sample_loc_type_top_field")?,
                r.ue("chroma_sample_loc_type_bottom_field")?,
            ));
        }
        vui.neutral_chroma_indication_flag = r.flag("neutral_chroma_indication_flag")?;
        vui.field_seq_flag = r.flag("field_seq_flag")?;
        vui.frame_field_info_present_flag = r.flag("frame_field_info_present_flag")?;
        if r.flag("default_display_window_flag")? {
            vui.default_display_window = Some(DisplayWindow {
                left: r.ue("def_disp_win_left_offset")?,
                right: r.ue("def_disp_win_right_offset")?,
                top: r.ue("def_disp_win_top_offset")?,
                bottom: r.ue("def_disp_win_bottom_offset")?,
            });
        }
        if r.flag("vui_timing_info_present_flag")? {
            vui.timing_info = Some(TimingInfo::parse(r)?);
            if r.flag("vui_hrd_parameters_present_flag")? {
                vui.hrd_parameters = Some(HrdParameters::parse(r, true, sps_max_sub_layers_minus1, None)?);
            }
        }
        if r.flag("bitstream_restriction_flag")? {
            vui.bitstream_restriction = Some(BitstreamRestriction {
                tiles_fixed_structure_flag: r.flag("tiles_fixed_structure_flag")?,
                motion_vectors_over_pic_boundaries_flag: r.flag("motion_vectors_over_pic_boundaries_flag")?,
                restricted_ref_pic_lists_flag: r.flag("restricted_ref_pic_lists_flag")?,
                min_spatial_segmentation_idc: r.ue("min_spatial_segmentation_idc")?,
                max_bytes_per_pic_denom: r.ue("max_bytes_per_pic_denom")?,
                max_bits_per_min_cu_denom: r.ue("max_bits_per_min_cu_denom")?,
                log2_max_mv_length_horizontal: r.ue("log2_max_mv_length_horizontal")?,
                log2_max_mv_length_vertical: r.ue("log2_max_mv_length_vertical")?,
            });
        }
        Ok(vui)
    }
}
