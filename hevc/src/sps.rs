//! `seq_parameter_set_rbsp()` (7.3.2.2) and what follows from it.

use bitstream::SyntaxError;

use crate::BitReader;
use crate::error::{Error, Place, Structure};
use crate::layers;
use crate::ptl::ProfileTierLevel;
use crate::scaling::ScalingList;
use crate::st_ref_pic_set::StRefPicSet;
use crate::vps::SubLayerOrdering;
use crate::vui::{ColourDescription, Vui};

/// Pictures besides the current one that the decoded picture buffer holds at most (`MaxDpbSize`, A.4.2).
pub const MAX_DPB_SIZE: usize = 16;

/// Largest width and height accepted: the square root of 8 times the `MaxLumaPs` of level 7.2 (A.4.1).
pub const MAX_PICTURE_DIMENSION: u32 = 33_776;

/// PCM sample parameters, when `pcm_enabled_flag` is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pcm {
    /// `PcmBitDepthY`: 1 to `BitDepthY`.
    pub bit_depth_luma: u8,
    /// `PcmBitDepthC`: 1 to `BitDepthC`.
    pub bit_depth_chroma: u8,
    /// `Log2MinIpcmCbSizeY`.
    pub log2_min_cb_size: u8,
    /// `Log2MaxIpcmCbSizeY`.
    pub log2_max_cb_size: u8,
    /// `pcm_loop_filter_disabled_flag`.
    pub loop_filter_disabled_flag: bool,
}

/// A candidate long-term reference picture of the SPS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct LongTermRefPicSps {
    /// `lt_ref_pic_poc_lsb_sps`.
    pub poc_lsb: u32,
    /// `used_by_curr_pic_lt_sps_flag`.
    pub used_by_curr_pic: bool,
}

/// `sps_range_extension()` (7.3.2.2.2); all flags are clear when absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "fields are the flags of the standard, by name")]
#[non_exhaustive]
pub struct SpsRangeExtension {
    pub transform_skip_rotation_enabled_flag: bool,
    pub transform_skip_context_enabled_flag: bool,
    pub implicit_rdpcm_enabled_flag: bool,
    pub explicit_rdpcm_enabled_flag: bool,
    pub extended_precision_processing_flag: bool,
    pub intra_smoothing_disabled_flag: bool,
    pub high_precision_offsets_enabled_flag: bool,
    pub persistent_rice_adaptation_enabled_flag: bool,
    pub cabac_bypass_alignment_enabled_flag: bool,
}

/// The rectangle of a decoded picture that is to be output, in luma samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Crop {
    /// First column.
    pub left: u32,
    /// First line.
    pub top: u32,
    /// Columns.
    pub width: u32,
    /// Lines.
    pub height: u32,
}

/// A sequence parameter set.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Sps {
    /// `sps_video_parameter_set_id`.
    pub sps_video_parameter_set_id: u8,
    /// `sps_max_sub_layers_minus1`.
    pub sps_max_sub_layers_minus1: u8,
    /// `sps_temporal_id_nesting_flag`.
    pub sps_temporal_id_nesting_flag: bool,
    /// `profile_tier_level()`.
    pub profile_tier_level: ProfileTierLevel,
    /// `sps_seq_parameter_set_id`.
    pub sps_seq_parameter_set_id: u8,
    /// `chroma_format_idc`: 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub chroma_format_idc: u8,
    /// `separate_colour_plane_flag`.
    pub separate_colour_plane_flag: bool,
    /// `pic_width_in_luma_samples`.
    pub pic_width_in_luma_samples: u32,
    /// `pic_height_in_luma_samples`.
    pub pic_height_in_luma_samples: u32,
    /// `conf_win_left_offset`, `_right_`, `_top_`, `_bottom_`, in chroma samples; see [`Sps::crop`].
    pub conformance_window: [u32; 4],
    /// `BitDepthY`.
    pub bit_depth_luma: u8,
    /// `BitDepthC`.
    pub bit_depth_chroma: u8,
    /// `log2_max_pic_order_cnt_lsb_minus4 + 4`.
    pub log2_max_pic_order_cnt_lsb: u8,
    /// Buffering per sub-layer, `sps_max_sub_layers_minus1 + 1` entries.
    pub sub_layer_ordering: Vec<SubLayerOrdering>,
    /// `MinCbLog2SizeY`.
    pub log2_min_luma_coding_block_size: u8,
    /// `log2_diff_max_min_luma_coding_block_size`.
    pub log2_diff_max_min_luma_coding_block_size: u8,
    /// `MinTbLog2SizeY`.
    pub log2_min_luma_transform_block_size: u8,
    /// `log2_diff_max_min_luma_transform_block_size`.
    pub log2_diff_max_min_luma_transform_block_size: u8,
    /// `max_transform_hierarchy_depth_inter`.
    pub max_transform_hierarchy_depth_inter: u8,
    /// `max_transform_hierarchy_depth_intra`.
    pub max_transform_hierarchy_depth_intra: u8,
    /// `scaling_list_enabled_flag`.
    pub scaling_list_enabled_flag: bool,
    /// The lists of the SPS, when `sps_scaling_list_data_present_flag` is set; see [`Sps::scaling_list`].
    pub scaling_list_data: Option<Box<ScalingList>>,
    /// `amp_enabled_flag`.
    pub amp_enabled_flag: bool,
    /// `sample_adaptive_offset_enabled_flag`.
    pub sample_adaptive_offset_enabled_flag: bool,
    /// PCM parameters, when `pcm_enabled_flag` is set.
    pub pcm: Option<Pcm>,
    /// `st_ref_pic_set()` 0 to `num_short_term_ref_pic_sets - 1`.
    pub short_term_ref_pic_sets: Vec<StRefPicSet>,
    /// `long_term_ref_pics_present_flag`.
    pub long_term_ref_pics_present_flag: bool,
    /// `num_long_term_ref_pics_sps` candidates.
    pub long_term_ref_pics: Vec<LongTermRefPicSps>,
    /// `sps_temporal_mvp_enabled_flag`.
    pub sps_temporal_mvp_enabled_flag: bool,
    /// `strong_intra_smoothing_enabled_flag`.
    pub strong_intra_smoothing_enabled_flag: bool,
    /// VUI parameters; `None` when absent or unreadable.
    pub vui: Option<Vui>,
    /// Why `vui_parameters()` could not be read. Everything after it, extensions included, then counts as absent.
    pub vui_error: Option<Error>,
    /// `sps_range_extension()`.
    pub range_extension: SpsRangeExtension,
    /// `sps_multilayer_extension()` is present (its one flag concerns inter-layer prediction only).
    pub sps_multilayer_extension_flag: bool,
    /// `sps_3d_extension()` is present; it concerns layers above the base layer only.
    pub sps_3d_extension_flag: bool,
}

impl Sps {
    /// Parses an SPS of the base layer.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for screen content coding tools, otherwise [`Error::Syntax`] and [`Error::NotMultiple`]. A
    /// VUI that cannot be read is not an error, see [`Sps::vui_error`].
    pub fn parse(rbsp: &[u8]) -> Result<Self, Error> {
        let r = &mut BitReader::new(rbsp, Place::new(Structure::Sps));
        let sps_video_parameter_set_id = r.u8(4, "sps_video_parameter_set_id")?;
        let sps_max_sub_layers_minus1 = r.u8(3, "sps_max_sub_layers_minus1")?;
        r.check("sps_max_sub_layers_minus1", i64::from(sps_max_sub_layers_minus1), 0, 6)?;
        let sps_temporal_id_nesting_flag = r.flag("sps_temporal_id_nesting_flag")?;
        let profile_tier_level = ProfileTierLevel::parse(r, sps_max_sub_layers_minus1)?;
        let sps_seq_parameter_set_id = r.ue8(15, "sps_seq_parameter_set_id")?;
        r.place_mut().id = Some(sps_seq_parameter_set_id);
        let chroma_format_idc = r.ue8(3, "chroma_format_idc")?;
        let separate_colour_plane_flag = chroma_format_idc == 3 && r.flag("separate_colour_plane_flag")?;
        let dimension = |r: &mut BitReader<'_>, element| {
            let value = r.ue(element)?;
            r.check(element, i64::from(value), 1, i64::from(MAX_PICTURE_DIMENSION))?;
            Ok::<u32, Error>(value)
        };
        let pic_width_in_luma_samples = dimension(r, "pic_width_in_luma_samples")?;
        let pic_height_in_luma_samples = dimension(r, "pic_height_in_luma_samples")?;
        let conformance_window = if r.flag("conformance_window_flag")? {
            [
                r.ue("conf_win_left_offset")?,
                r.ue("conf_win_right_offset")?,
                r.ue("conf_win_top_offset")?,
                r.ue("conf_win_bottom_offset")?,
            ]
        } else {
            [0; 4]
        };
        let bit_depth_luma = 8 + r.ue8(8, "bit_depth_luma_minus8")?;
        let bit_depth_chroma = 8 + r.ue8(8, "bit_depth_chroma_minus8")?;
        let log2_max_pic_order_cnt_lsb = 4 + r.ue8(12, "log2_max_pic_order_cnt_lsb_minus4")?;
        let sub_layer_ordering = SubLayerOrdering::parse_all(r, sps_max_sub_layers_minus1)?;

        let log2_min_luma_coding_block_size = 3 + r.ue8(3, "log2_min_luma_coding_block_size_minus3")?;
        let log2_diff_max_min_luma_coding_block_size =
            r.ue8(6 - log2_min_luma_coding_block_size, "log2_diff_max_min_luma_coding_block_size")?;
        let ctb_log2 = log2_min_luma_coding_block_size + log2_diff_max_min_luma_coding_block_size;
        let log2_min_luma_transform_block_size = 2 + r.ue8(3, "log2_min_luma_transform_block_size_minus2")?;
        r.check(
            "MinTbLog2SizeY",
            i64::from(log2_min_luma_transform_block_size),
            2,
            i64::from(log2_min_luma_coding_block_size) - 1,
        )?;
        let log2_diff_max_min_luma_transform_block_size = r.ue8(
            ctb_log2.min(5).saturating_sub(log2_min_luma_transform_block_size),
            "log2_diff_max_min_luma_transform_block_size",
        )?;
        let max_depth = ctb_log2 - log2_min_luma_transform_block_size;
        let max_transform_hierarchy_depth_inter = r.ue8(max_depth, "max_transform_hierarchy_depth_inter")?;
        let max_transform_hierarchy_depth_intra = r.ue8(max_depth, "max_transform_hierarchy_depth_intra")?;

        let scaling_list_enabled_flag = r.flag("scaling_list_enabled_flag")?;
        let scaling_list_data =
            if scaling_list_enabled_flag && r.flag("sps_scaling_list_data_present_flag")? {
                Some(Box::new(ScalingList::parse(r)?))
            } else {
                None
            };
        let amp_enabled_flag = r.flag("amp_enabled_flag")?;
        let sample_adaptive_offset_enabled_flag = r.flag("sample_adaptive_offset_enabled_flag")?;
        let pcm = if r.flag("pcm_enabled_flag")? {
            Some(Pcm::parse(r, bit_depth_luma, bit_depth_chroma, log2_min_luma_coding_block_size, ctb_log2)?)
        } else {
            None
        };
        let num_short_term_ref_pic_sets = r.ue_max(64, "num_short_term_ref_pic_sets")? as usize;
        let mut short_term_ref_pic_sets = Vec::with_capacity(num_short_term_ref_pic_sets);
        for idx in 0..num_short_term_ref_pic_sets {
            let mut set = StRefPicSet::EMPTY;
            set.parse(r, idx, &short_term_ref_pic_sets, false)?;
            short_term_ref_pic_sets.push(set);
        }
        let long_term_ref_pics_present_flag = r.flag("long_term_ref_pics_present_flag")?;
        let mut long_term_ref_pics = Vec::new();
        if long_term_ref_pics_present_flag {
            for _ in 0..r.ue_max(32, "num_long_term_ref_pics_sps")? {
                long_term_ref_pics.push(LongTermRefPicSps {
                    poc_lsb: r.u(u32::from(log2_max_pic_order_cnt_lsb), "lt_ref_pic_poc_lsb_sps")?,
                    used_by_curr_pic: r.flag("used_by_curr_pic_lt_sps_flag")?,
                });
            }
        }
        let sps_temporal_mvp_enabled_flag = r.flag("sps_temporal_mvp_enabled_flag")?;
        let strong_intra_smoothing_enabled_flag = r.flag("strong_intra_smoothing_enabled_flag")?;
        let mut sps = Self {
            sps_video_parameter_set_id,
            sps_max_sub_layers_minus1,
            sps_temporal_id_nesting_flag,
            profile_tier_level,
            sps_seq_parameter_set_id,
            chroma_format_idc,
            separate_colour_plane_flag,
            pic_width_in_luma_samples,
            pic_height_in_luma_samples,
            conformance_window,
            bit_depth_luma,
            bit_depth_chroma,
            log2_max_pic_order_cnt_lsb,
            sub_layer_ordering,
            log2_min_luma_coding_block_size,
            log2_diff_max_min_luma_coding_block_size,
            log2_min_luma_transform_block_size,
            log2_diff_max_min_luma_transform_block_size,
            max_transform_hierarchy_depth_inter,
            max_transform_hierarchy_depth_intra,
            scaling_list_enabled_flag,
            scaling_list_data,
            amp_enabled_flag,
            sample_adaptive_offset_enabled_flag,
            pcm,
            short_term_ref_pic_sets,
            long_term_ref_pics_present_flag,
            long_term_ref_pics,
            sps_temporal_mvp_enabled_flag,
            strong_intra_smoothing_enabled_flag,
            vui: None,
            vui_error: None,
            range_extension: SpsRangeExtension::default(),
            sps_multilayer_extension_flag: false,
            sps_3d_extension_flag: false,
        };
        sps.check_geometry(r.place())?;
        if r.flag("vui_parameters_present_flag")? {
            match Vui::parse(r, sps_max_sub_layers_minus1) {
                Ok(vui) => sps.vui = Some(vui),
                Err(error) => {
                    sps.vui_error = Some(error);
                    return Ok(sps);
                }
            }
        }
        sps.parse_extensions(r)?;
        Ok(sps)
    }

    fn check_geometry(&self, place: Place) -> Result<(), Error> {
        let min_cb_size = 1 << self.log2_min_luma_coding_block_size;
        let [left, right, top, bottom] = self.conformance_window;
        for (element, value, window, unit, unit_samples) in [
            (
                "pic_width_in_luma_samples",
                self.pic_width_in_luma_samples,
                (left, right),
                "conf_win_left_offset + conf_win_right_offset",
                self.sub_width_c(),
            ),
            (
                "pic_height_in_luma_samples",
                self.pic_height_in_luma_samples,
                (top, bottom),
                "conf_win_top_offset + conf_win_bottom_offset",
                self.sub_height_c(),
            ),
        ] {
            if !value.is_multiple_of(min_cb_size) {
                return Err(Error::NotMultiple {
                    place,
                    element,
                    value,
                    unit_name: "MinCbSizeY",
                    unit: min_cb_size,
                });
            }
            let cut = i64::from(window.0) + i64::from(window.1);
            let max = (i64::from(value) - 1) / i64::from(unit_samples);
            if cut > max {
                return Err(SyntaxError::OutOfRange { place, element: unit, value: cut, min: 0, max }.into());
            }
        }
        Ok(())
    }

    fn parse_extensions(&mut self, r: &mut BitReader<'_>) -> Result<(), Error> {
        if !r.flag("sps_extension_present_flag")? {
            return Ok(());
        }
        let range = r.flag("sps_range_extension_flag")?;
        self.sps_multilayer_extension_flag = r.flag("sps_multilayer_extension_flag")?;
        self.sps_3d_extension_flag = r.flag("sps_3d_extension_flag")?;
        let scc = r.flag("sps_scc_extension_flag")?;
        r.skip(4, "sps_extension_4bits")?;
        if range {
            self.range_extension = SpsRangeExtension::parse(r)?;
        }
        if self.sps_multilayer_extension_flag {
            r.skip(1, "inter_view_mv_vert_constraint_flag")?;
        }
        // Damage in what the base layer does without is none of its.
        let is_passed = !self.sps_3d_extension_flag || layers::sps_3d_extension(r).is_ok();
        if scc {
            if !is_passed {
                let feature = "sps_scc_extension_flag behind an extension for other layers that is not read";
                return Err(Error::Unsupported { place: r.place(), feature });
            }
            self.parse_scc_extension(r)?;
        }
        // sps_extension_4bits announces data of later editions, which decoders ignore.
        Ok(())
    }

    /// `sps_scc_extension()` (7.3.2.2.3): accepted as long as it enables nothing.
    fn parse_scc_extension(&self, r: &mut BitReader<'_>) -> Result<(), Error> {
        let unsupported = |r: &BitReader<'_>, feature| Err(Error::Unsupported { place: r.place(), feature });
        if r.flag("sps_curr_pic_ref_enabled_flag")? {
            return unsupported(r, "sps_curr_pic_ref_enabled_flag (screen content coding)");
        }
        if r.flag("palette_mode_enabled_flag")? {
            return unsupported(r, "palette_mode_enabled_flag (screen content coding)");
        }
        let motion_vector_resolution_control_idc = r.u(2, "motion_vector_resolution_control_idc")?;
        if motion_vector_resolution_control_idc != 0 {
            return unsupported(r, "motion_vector_resolution_control_idc (screen content coding)");
        }
        if r.flag("intra_boundary_filtering_disabled_flag")? {
            return unsupported(r, "intra_boundary_filtering_disabled_flag (screen content coding)");
        }
        Ok(())
    }

    /// `ChromaArrayType`.
    pub fn chroma_array_type(&self) -> u8 {
        if self.separate_colour_plane_flag { 0 } else { self.chroma_format_idc }
    }

    /// `SubWidthC` (Table 6-1).
    pub fn sub_width_c(&self) -> u32 {
        if matches!(self.chroma_format_idc, 1 | 2) { 2 } else { 1 }
    }

    /// `SubHeightC` (Table 6-1).
    pub fn sub_height_c(&self) -> u32 {
        if self.chroma_format_idc == 1 { 2 } else { 1 }
    }

    /// `MinCbSizeY`.
    pub fn min_cb_size(&self) -> u32 {
        1 << self.log2_min_luma_coding_block_size
    }

    /// `CtbLog2SizeY`, 3 to 6.
    pub fn ctb_log2_size(&self) -> u8 {
        self.log2_min_luma_coding_block_size + self.log2_diff_max_min_luma_coding_block_size
    }

    /// `CtbSizeY`.
    pub fn ctb_size(&self) -> u32 {
        1 << self.ctb_log2_size()
    }

    /// `MaxTbLog2SizeY`.
    pub fn max_tb_log2_size(&self) -> u8 {
        self.log2_min_luma_transform_block_size + self.log2_diff_max_min_luma_transform_block_size
    }

    /// `PicWidthInCtbsY`.
    pub fn pic_width_in_ctbs(&self) -> u32 {
        self.pic_width_in_luma_samples.div_ceil(self.ctb_size())
    }

    /// `PicHeightInCtbsY`.
    pub fn pic_height_in_ctbs(&self) -> u32 {
        self.pic_height_in_luma_samples.div_ceil(self.ctb_size())
    }

    /// `PicSizeInCtbsY`.
    pub fn pic_size_in_ctbs(&self) -> u32 {
        self.pic_width_in_ctbs() * self.pic_height_in_ctbs()
    }

    /// `MaxPicOrderCntLsb`.
    pub fn max_pic_order_cnt_lsb(&self) -> i32 {
        1 << self.log2_max_pic_order_cnt_lsb
    }

    /// `QpBdOffsetY`.
    pub fn qp_bd_offset_luma(&self) -> i32 {
        6 * (i32::from(self.bit_depth_luma) - 8)
    }

    /// `QpBdOffsetC`.
    pub fn qp_bd_offset_chroma(&self) -> i32 {
        6 * (i32::from(self.bit_depth_chroma) - 8)
    }

    /// Buffering of the highest sub-layer, the one a decoder of the whole stream uses.
    pub fn highest_sub_layer_ordering(&self) -> SubLayerOrdering {
        *self.sub_layer_ordering.last().expect("an SPS has at least one sub-layer")
    }

    /// Pictures that the DPB must hold, the current one included: `sps_max_dec_pic_buffering_minus1 + 1` of the highest
    /// sub-layer. An SPS that has less than `sps_max_num_reorder_pics` there breaks a rule (7.4.3.2.1) and does not say how
    /// many there are: [`MAX_DPB_SIZE`], the most that any level allows.
    pub fn max_dec_pic_buffering(&self) -> usize {
        let ordering = self.highest_sub_layer_ordering();
        if ordering.max_num_reorder_pics > ordering.max_dec_pic_buffering_minus1 {
            return MAX_DPB_SIZE;
        }
        usize::from(ordering.max_dec_pic_buffering_minus1) + 1
    }

    /// The output rectangle: the conformance window. The default display window of the VUI is a hint for displays and
    /// is not applied.
    pub fn crop(&self) -> Crop {
        let [left, right, top, bottom] = self.conformance_window;
        let (sub_width, sub_height) = (self.sub_width_c(), self.sub_height_c());
        Crop {
            left: left * sub_width,
            top: top * sub_height,
            width: self.pic_width_in_luma_samples - (left + right) * sub_width,
            height: self.pic_height_in_luma_samples - (top + bottom) * sub_height,
        }
    }

    /// Colour description of the VUI, or the defaults.
    pub fn colour(&self) -> ColourDescription {
        self.vui.as_ref().map(|vui| vui.colour).unwrap_or_default()
    }

    /// The lists that apply when a PPS carries none: those of the SPS, else the default ones; `None` without
    /// `scaling_list_enabled_flag`.
    pub fn scaling_list(&self) -> Option<ScalingList> {
        self.scaling_list_enabled_flag.then(|| self.scaling_list_data.as_deref().cloned().unwrap_or_default())
    }

    /// Whether pictures of both SPSs have the same size, chroma format and bit depths, so that one can be the reference
    /// of the other.
    pub fn same_picture_format(&self, other: &Sps) -> bool {
        let key = |sps: &Sps| {
            (
                sps.pic_width_in_luma_samples,
                sps.pic_height_in_luma_samples,
                sps.chroma_format_idc,
                sps.separate_colour_plane_flag,
                sps.bit_depth_luma,
                sps.bit_depth_chroma,
            )
        };
        key(self) == key(other)
    }
}

impl Pcm {
    fn parse(
        r: &mut BitReader<'_>,
        bit_depth_luma: u8,
        bit_depth_chroma: u8,
        min_cb_log2: u8,
        ctb_log2: u8,
    ) -> Result<Self, Error> {
        let luma = 1 + r.u8(4, "pcm_sample_bit_depth_luma_minus1")?;
        r.check("PcmBitDepthY", i64::from(luma), 1, i64::from(bit_depth_luma))?;
        let chroma = 1 + r.u8(4, "pcm_sample_bit_depth_chroma_minus1")?;
        r.check("PcmBitDepthC", i64::from(chroma), 1, i64::from(bit_depth_chroma))?;
        let log2_min_cb_size = 3 + r.ue8(2, "log2_min_pcm_luma_coding_block_size_minus3")?;
        let (low, high) = (min_cb_log2.min(5), ctb_log2.min(5));
        r.check("Log2MinIpcmCbSizeY", i64::from(log2_min_cb_size), i64::from(low), i64::from(high))?;
        let log2_max_cb_size = log2_min_cb_size
            + r.ue8(high - log2_min_cb_size, "log2_diff_max_min_pcm_luma_coding_block_size")?;
        Ok(Self {
            bit_depth_luma: luma,
            bit_depth_chroma: chroma,
            log2_min_cb_size,
            log2_max_cb_size,
            loop_filter_disabled_flag: r.flag("pcm_loop_filter_disabled_flag")?,
        })
    }
}

impl SpsRangeExtension {
    fn parse(r: &mut BitReader<'_>) -> Result<Self, Error> {
        Ok(Self {
            transform_skip_rotation_enabled_flag: r.flag("transform_skip_rotation_enabled_flag")?,
            transform_skip_context_enabled_flag: r.flag("transform_skip_context_enabled_flag")?,
            implicit_rdpcm_enabled_flag: r.flag("implicit_rdpcm_enabled_flag")?,
            explicit_rdpcm_enabled_flag: r.flag("explicit_rdpcm_enabled_flag")?,
            extended_precision_processing_flag: r.flag("extended_precision_processing_flag")?,
            intra_smoothing_disabled_flag: r.flag("intra_smoothing_disabled_flag")?,
            high_precision_offsets_enabled_flag: r.flag("high_precision_offsets_enabled_flag")?,
            persistent_rice_adaptation_enabled_flag: r.flag("persistent_rice_adaptation_enabled_flag")?,
            cabac_bypass_alignment_enabled_flag: r.flag("cabac_bypass_alignment_enabled_flag")?,
        })
    }
}
