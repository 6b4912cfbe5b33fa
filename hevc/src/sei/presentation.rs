//! Messages about how pictures are presented: views in one picture, orientation, film grain.

use super::Flagged;
use crate::BitReader;
use crate::error::Error;

/// `frame_packing_arrangement()` (D.2.16).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct FramePacking {
    /// `frame_packing_arrangement_type` (D.3.16): 3 side by side, 4 top and bottom, 5 alternating pictures.
    pub frame_packing_arrangement_type: u8,
    /// `quincunx_sampling_flag`.
    pub quincunx_sampling_flag: bool,
    /// `content_interpretation_type`: 1 frame 0 is the left view, 2 it is the right one.
    pub content_interpretation_type: u8,
    /// `spatial_flipping_flag`: one of the two is flipped.
    pub spatial_flipping_flag: bool,
    /// `frame0_flipped_flag`: it is frame 0.
    pub frame0_flipped_flag: bool,
    /// `field_views_flag`.
    pub field_views_flag: bool,
    /// `current_frame_is_frame0_flag`, for type 5.
    pub current_frame_is_frame0_flag: bool,
    /// `frame0_self_contained_flag`.
    pub frame0_self_contained_flag: bool,
    /// `frame1_self_contained_flag`.
    pub frame1_self_contained_flag: bool,
    /// `frame0_grid_position_x`, `_y`, `frame1_grid_position_x`, `_y`, in sixteenths of a sample.
    pub grid_positions: Option<[u8; 4]>,
    /// `upsampled_aspect_ratio_flag`: the sample aspect ratio is that of a view after upsampling.
    pub upsampled_aspect_ratio_flag: bool,
}

/// `frame_packing_arrangement_type` of pictures that alternate.
const TEMPORAL_INTERLEAVING: u8 = 5;

impl FramePacking {
    pub(super) fn parse(r: &mut BitReader<'_>) -> Result<Flagged<Self>, Error> {
        r.ue("frame_packing_arrangement_id")?;
        if r.flag("frame_packing_arrangement_cancel_flag")? {
            return Ok(Flagged::Cancelled);
        }
        let mut value = Self {
            frame_packing_arrangement_type: r.u8(7, "frame_packing_arrangement_type")?,
            quincunx_sampling_flag: r.flag("quincunx_sampling_flag")?,
            content_interpretation_type: r.u8(6, "content_interpretation_type")?,
            spatial_flipping_flag: r.flag("spatial_flipping_flag")?,
            frame0_flipped_flag: r.flag("frame0_flipped_flag")?,
            field_views_flag: r.flag("field_views_flag")?,
            current_frame_is_frame0_flag: r.flag("current_frame_is_frame0_flag")?,
            frame0_self_contained_flag: r.flag("frame0_self_contained_flag")?,
            frame1_self_contained_flag: r.flag("frame1_self_contained_flag")?,
            grid_positions: None,
            upsampled_aspect_ratio_flag: false,
        };
        if !value.quincunx_sampling_flag && value.frame_packing_arrangement_type != TEMPORAL_INTERLEAVING {
            value.grid_positions = Some([
                r.u8(4, "frame0_grid_position_x")?,
                r.u8(4, "frame0_grid_position_y")?,
                r.u8(4, "frame1_grid_position_x")?,
                r.u8(4, "frame1_grid_position_y")?,
            ]);
        }
        r.u(8, "frame_packing_arrangement_reserved_byte")?;
        let persistence_flag = r.flag("frame_packing_arrangement_persistence_flag")?;
        value.upsampled_aspect_ratio_flag = r.flag("upsampled_aspect_ratio_flag")?;
        Ok(Flagged::new(value, persistence_flag))
    }
}

/// `display_orientation()` (D.2.17).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DisplayOrientation {
    /// `hor_flip`: the picture is to be flipped, left to right.
    pub hor_flip: bool,
    /// `ver_flip`: the picture is to be flipped, top to bottom.
    pub ver_flip: bool,
    /// `anticlockwise_rotation`, after that, in units of 360 / 65536 degrees.
    pub anticlockwise_rotation: u16,
}

impl DisplayOrientation {
    pub(super) fn parse(r: &mut BitReader<'_>) -> Result<Flagged<Self>, Error> {
        if r.flag("display_orientation_cancel_flag")? {
            return Ok(Flagged::Cancelled);
        }
        let value = Self {
            hor_flip: r.flag("hor_flip")?,
            ver_flip: r.flag("ver_flip")?,
            anticlockwise_rotation: r.u(16, "anticlockwise_rotation")? as u16,
        };
        Ok(Flagged::new(value, r.flag("display_orientation_persistence_flag")?))
    }
}

/// Values of an intensity interval at most: `num_model_values_minus1` is 5 or less.
pub const MAX_MODEL_VALUES: usize = 6;

/// `film_grain_characteristics()` (D.2.13).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct FilmGrain {
    /// `film_grain_model_id`: 0 frequency filtering, 1 auto-regression.
    pub film_grain_model_id: u8,
    /// With `separate_colour_description_present_flag`: the grain's own format; else it is that of the stream.
    pub colour: Option<GrainColour>,
    /// `blending_mode_id`: 0 additive, 1 multiplicative.
    pub blending_mode_id: u8,
    /// `log2_scale_factor`.
    pub log2_scale_factor: u8,
    /// The model of each colour component; `None` without `comp_model_present_flag`.
    pub components: [Option<GrainComponent>; 3],
}

/// Format of film grain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct GrainColour {
    /// `film_grain_bit_depth_luma_minus8` + 8.
    pub bit_depth_luma: u8,
    /// `film_grain_bit_depth_chroma_minus8` + 8.
    pub bit_depth_chroma: u8,
    /// `film_grain_full_range_flag`.
    pub full_range_flag: bool,
    /// `film_grain_colour_primaries`.
    pub colour_primaries: u8,
    /// `film_grain_transfer_characteristics`.
    pub transfer_characteristics: u8,
    /// `film_grain_matrix_coeffs`.
    pub matrix_coeffs: u8,
}

/// Film grain of one colour component.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct GrainComponent {
    /// `num_model_values_minus1` + 1: how many of [`IntensityInterval::comp_model_value`] are coded.
    pub num_model_values: u8,
    /// One for each of `num_intensity_intervals_minus1` + 1, 256 at most.
    pub intervals: Vec<IntensityInterval>,
}

/// Film grain on samples within an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct IntensityInterval {
    /// `intensity_interval_lower_bound`.
    pub lower_bound: u8,
    /// `intensity_interval_upper_bound`.
    pub upper_bound: u8,
    /// `comp_model_value`; 0 behind those that are coded.
    pub comp_model_value: [i32; MAX_MODEL_VALUES],
}

impl FilmGrain {
    pub(super) fn parse(r: &mut BitReader<'_>) -> Result<Flagged<Box<Self>>, Error> {
        if r.flag("film_grain_characteristics_cancel_flag")? {
            return Ok(Flagged::Cancelled);
        }
        let film_grain_model_id = r.u8(2, "film_grain_model_id")?;
        let colour = if r.flag("separate_colour_description_present_flag")? {
            Some(GrainColour {
                bit_depth_luma: 8 + r.u8(3, "film_grain_bit_depth_luma_minus8")?,
                bit_depth_chroma: 8 + r.u8(3, "film_grain_bit_depth_chroma_minus8")?,
                full_range_flag: r.flag("film_grain_full_range_flag")?,
                colour_primaries: r.u8(8, "film_grain_colour_primaries")?,
                transfer_characteristics: r.u8(8, "film_grain_transfer_characteristics")?,
                matrix_coeffs: r.u8(8, "film_grain_matrix_coeffs")?,
            })
        } else {
            None
        };
        let blending_mode_id = r.u8(2, "blending_mode_id")?;
        let log2_scale_factor = r.u8(4, "log2_scale_factor")?;
        let mut present = || r.flag("comp_model_present_flag");
        let present = [present()?, present()?, present()?];
        let mut components = [const { None }; 3];
        for (component, _) in components.iter_mut().zip(present).filter(|(_, present)| *present) {
            *component = Some(GrainComponent::parse(r)?);
        }
        let value =
            Box::new(Self { film_grain_model_id, colour, blending_mode_id, log2_scale_factor, components });
        Ok(Flagged::new(value, r.flag("film_grain_characteristics_persistence_flag")?))
    }
}

impl GrainComponent {
    fn parse(r: &mut BitReader<'_>) -> Result<Self, Error> {
        let count = 1 + r.u(8, "num_intensity_intervals_minus1")?;
        let num_model_values_minus1 = r.u8(3, "num_model_values_minus1")?;
        r.check(
            "num_model_values_minus1",
            i64::from(num_model_values_minus1),
            0,
            MAX_MODEL_VALUES as i64 - 1,
        )?;
        let num_model_values = num_model_values_minus1 + 1;
        // Not made as long as the count says: each has to be there first.
        let mut intervals = Vec::new();
        for _ in 0..count {
            let mut interval = IntensityInterval {
                lower_bound: r.u8(8, "intensity_interval_lower_bound")?,
                upper_bound: r.u8(8, "intensity_interval_upper_bound")?,
                comp_model_value: [0; MAX_MODEL_VALUES],
            };
            for value in &mut interval.comp_model_value[..usize::from(num_model_values)] {
                *value = r.se("comp_model_value")?;
            }
            intervals.push(interval);
        }
        Ok(Self { num_model_values, intervals })
    }
}
