//! `pic_parameter_set_rbsp()` (7.3.2.3) and the tile structure (6.5.1).

use bitstream::SyntaxError;

use crate::BitReader;
use crate::error::{Error, Place, Structure};
use crate::layers;
use crate::scaling::ScalingList;
use crate::sps::Sps;

/// Most tile columns of any level (Table A.8 and level 7.2: 80).
const MAX_TILE_COLUMNS: u32 = 80;
/// Most tile rows of any level (Table A.8 and level 7.2: 88).
const MAX_TILE_ROWS: u32 = 88;

/// Tiles of a PPS, when `tiles_enabled_flag` is set.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tiles {
    /// `num_tile_columns_minus1 + 1`.
    pub num_tile_columns: u32,
    /// `num_tile_rows_minus1 + 1`.
    pub num_tile_rows: u32,
    /// `column_width_minus1 + 1` and `row_height_minus1 + 1`, without the last of each; `None` for
    /// `uniform_spacing_flag`.
    pub explicit_sizes: Option<(Vec<u32>, Vec<u32>)>,
    /// `loop_filter_across_tiles_enabled_flag`.
    pub loop_filter_across_tiles_enabled_flag: bool,
}

/// Sizes of all tiles in coding tree blocks (6-3, 6-4); one of each without tiles.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TileLayout {
    /// `colWidth`.
    pub column_widths: Vec<u32>,
    /// `rowHeight`.
    pub row_heights: Vec<u32>,
}

/// `pps_range_extension()` (7.3.2.3.2); the defaults are those inferred when absent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PpsRangeExtension {
    /// `Log2MaxTransformSkipSize`: 2 when absent.
    pub log2_max_transform_skip_size: u8,
    /// `cross_component_prediction_enabled_flag`.
    pub cross_component_prediction_enabled_flag: bool,
    /// `chroma_qp_offset_list_enabled_flag`.
    pub chroma_qp_offset_list_enabled_flag: bool,
    /// `diff_cu_chroma_qp_offset_depth`.
    pub diff_cu_chroma_qp_offset_depth: u8,
    /// `cb_qp_offset_list` and `cr_qp_offset_list`, `chroma_qp_offset_list_len_minus1 + 1` entries (1 to 6); empty when
    /// not enabled.
    pub chroma_qp_offset_list: Vec<(i8, i8)>,
    /// `log2_sao_offset_scale_luma`.
    pub log2_sao_offset_scale_luma: u8,
    /// `log2_sao_offset_scale_chroma`.
    pub log2_sao_offset_scale_chroma: u8,
}

impl Default for PpsRangeExtension {
    fn default() -> Self {
        Self {
            log2_max_transform_skip_size: 2,
            cross_component_prediction_enabled_flag: false,
            chroma_qp_offset_list_enabled_flag: false,
            diff_cu_chroma_qp_offset_depth: 0,
            chroma_qp_offset_list: Vec::new(),
            log2_sao_offset_scale_luma: 0,
            log2_sao_offset_scale_chroma: 0,
        }
    }
}

/// A picture parameter set.
///
/// It is parsed without knowledge of the SPS, which may arrive later; [`Pps::validate`] checks the one against the other
/// when a picture activates them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Pps {
    /// `pps_pic_parameter_set_id`.
    pub pps_pic_parameter_set_id: u8,
    /// `pps_seq_parameter_set_id`.
    pub pps_seq_parameter_set_id: u8,
    /// `dependent_slice_segments_enabled_flag`.
    pub dependent_slice_segments_enabled_flag: bool,
    /// `output_flag_present_flag`.
    pub output_flag_present_flag: bool,
    /// `num_extra_slice_header_bits`.
    pub num_extra_slice_header_bits: u8,
    /// `sign_data_hiding_enabled_flag`.
    pub sign_data_hiding_enabled_flag: bool,
    /// `cabac_init_present_flag`.
    pub cabac_init_present_flag: bool,
    /// `num_ref_idx_l0_default_active_minus1 + 1`, 1 to 15.
    pub num_ref_idx_l0_default_active: u8,
    /// `num_ref_idx_l1_default_active_minus1 + 1`, 1 to 15.
    pub num_ref_idx_l1_default_active: u8,
    /// `init_qp_minus26`, `-(26 + QpBdOffsetY)` to 25.
    pub init_qp_minus26: i8,
    /// `constrained_intra_pred_flag`.
    pub constrained_intra_pred_flag: bool,
    /// `transform_skip_enabled_flag`.
    pub transform_skip_enabled_flag: bool,
    /// `cu_qp_delta_enabled_flag`.
    pub cu_qp_delta_enabled_flag: bool,
    /// `diff_cu_qp_delta_depth`.
    pub diff_cu_qp_delta_depth: u8,
    /// `pps_cb_qp_offset`, -12 to 12.
    pub pps_cb_qp_offset: i8,
    /// `pps_cr_qp_offset`, -12 to 12.
    pub pps_cr_qp_offset: i8,
    /// `pps_slice_chroma_qp_offsets_present_flag`.
    pub pps_slice_chroma_qp_offsets_present_flag: bool,
    /// `weighted_pred_flag`.
    pub weighted_pred_flag: bool,
    /// `weighted_bipred_flag`.
    pub weighted_bipred_flag: bool,
    /// `transquant_bypass_enabled_flag`.
    pub transquant_bypass_enabled_flag: bool,
    /// Tiles, when `tiles_enabled_flag` is set.
    pub tiles: Option<Tiles>,
    /// `entropy_coding_sync_enabled_flag`.
    pub entropy_coding_sync_enabled_flag: bool,
    /// `pps_loop_filter_across_slices_enabled_flag`.
    pub pps_loop_filter_across_slices_enabled_flag: bool,
    /// `deblocking_filter_control_present_flag`.
    pub deblocking_filter_control_present_flag: bool,
    /// `deblocking_filter_override_enabled_flag`.
    pub deblocking_filter_override_enabled_flag: bool,
    /// `pps_deblocking_filter_disabled_flag`.
    pub pps_deblocking_filter_disabled_flag: bool,
    /// `pps_beta_offset_div2`, -6 to 6.
    pub pps_beta_offset_div2: i8,
    /// `pps_tc_offset_div2`, -6 to 6.
    pub pps_tc_offset_div2: i8,
    /// The lists of the PPS, when `pps_scaling_list_data_present_flag` is set; see [`Pps::scaling_list`].
    pub scaling_list_data: Option<Box<ScalingList>>,
    /// `lists_modification_present_flag`.
    pub lists_modification_present_flag: bool,
    /// `log2_parallel_merge_level_minus2 + 2`.
    pub log2_parallel_merge_level: u8,
    /// `slice_segment_header_extension_present_flag`.
    pub slice_segment_header_extension_present_flag: bool,
    /// `pps_range_extension()`.
    pub range_extension: PpsRangeExtension,
    /// `pps_multilayer_extension()` is present; it concerns layers above the base layer only.
    pub pps_multilayer_extension_flag: bool,
    /// `pps_3d_extension()` is present; it concerns layers above the base layer only.
    pub pps_3d_extension_flag: bool,
}

impl Pps {
    /// Parses a PPS of the base layer.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for screen content coding tools, otherwise [`Error::Syntax`].
    pub fn parse(rbsp: &[u8]) -> Result<Self, Error> {
        let r = &mut BitReader::new(rbsp, Place::new(Structure::Pps));
        let pps_pic_parameter_set_id = r.ue8(63, "pps_pic_parameter_set_id")?;
        r.place_mut().id = Some(pps_pic_parameter_set_id);
        let pps_seq_parameter_set_id = r.ue8(15, "pps_seq_parameter_set_id")?;
        let mut pps = Self {
            pps_pic_parameter_set_id,
            pps_seq_parameter_set_id,
            dependent_slice_segments_enabled_flag: r.flag("dependent_slice_segments_enabled_flag")?,
            output_flag_present_flag: r.flag("output_flag_present_flag")?,
            num_extra_slice_header_bits: r.u8(3, "num_extra_slice_header_bits")?,
            sign_data_hiding_enabled_flag: r.flag("sign_data_hiding_enabled_flag")?,
            cabac_init_present_flag: r.flag("cabac_init_present_flag")?,
            num_ref_idx_l0_default_active: 1 + r.ue8(14, "num_ref_idx_l0_default_active_minus1")?,
            num_ref_idx_l1_default_active: 1 + r.ue8(14, "num_ref_idx_l1_default_active_minus1")?,
            // The lower bound depends on the bit depth; this is the one of 16 bits.
            init_qp_minus26: r.se8(-(26 + 48), 25, "init_qp_minus26")?,
            constrained_intra_pred_flag: r.flag("constrained_intra_pred_flag")?,
            transform_skip_enabled_flag: r.flag("transform_skip_enabled_flag")?,
            cu_qp_delta_enabled_flag: r.flag("cu_qp_delta_enabled_flag")?,
            diff_cu_qp_delta_depth: 0,
            pps_cb_qp_offset: 0,
            pps_cr_qp_offset: 0,
            pps_slice_chroma_qp_offsets_present_flag: false,
            weighted_pred_flag: false,
            weighted_bipred_flag: false,
            transquant_bypass_enabled_flag: false,
            tiles: None,
            entropy_coding_sync_enabled_flag: false,
            pps_loop_filter_across_slices_enabled_flag: false,
            deblocking_filter_control_present_flag: false,
            deblocking_filter_override_enabled_flag: false,
            pps_deblocking_filter_disabled_flag: false,
            pps_beta_offset_div2: 0,
            pps_tc_offset_div2: 0,
            scaling_list_data: None,
            lists_modification_present_flag: false,
            log2_parallel_merge_level: 2,
            slice_segment_header_extension_present_flag: false,
            range_extension: PpsRangeExtension::default(),
            pps_multilayer_extension_flag: false,
            pps_3d_extension_flag: false,
        };
        if pps.cu_qp_delta_enabled_flag {
            pps.diff_cu_qp_delta_depth = r.ue8(3, "diff_cu_qp_delta_depth")?;
        }
        pps.pps_cb_qp_offset = r.se8(-12, 12, "pps_cb_qp_offset")?;
        pps.pps_cr_qp_offset = r.se8(-12, 12, "pps_cr_qp_offset")?;
        pps.pps_slice_chroma_qp_offsets_present_flag = r.flag("pps_slice_chroma_qp_offsets_present_flag")?;
        pps.weighted_pred_flag = r.flag("weighted_pred_flag")?;
        pps.weighted_bipred_flag = r.flag("weighted_bipred_flag")?;
        pps.transquant_bypass_enabled_flag = r.flag("transquant_bypass_enabled_flag")?;
        let tiles_enabled_flag = r.flag("tiles_enabled_flag")?;
        pps.entropy_coding_sync_enabled_flag = r.flag("entropy_coding_sync_enabled_flag")?;
        if tiles_enabled_flag {
            pps.tiles = Some(Tiles::parse(r)?);
        }
        pps.pps_loop_filter_across_slices_enabled_flag =
            r.flag("pps_loop_filter_across_slices_enabled_flag")?;
        pps.deblocking_filter_control_present_flag = r.flag("deblocking_filter_control_present_flag")?;
        if pps.deblocking_filter_control_present_flag {
            pps.deblocking_filter_override_enabled_flag =
                r.flag("deblocking_filter_override_enabled_flag")?;
            pps.pps_deblocking_filter_disabled_flag = r.flag("pps_deblocking_filter_disabled_flag")?;
            if !pps.pps_deblocking_filter_disabled_flag {
                pps.pps_beta_offset_div2 = r.se8(-6, 6, "pps_beta_offset_div2")?;
                pps.pps_tc_offset_div2 = r.se8(-6, 6, "pps_tc_offset_div2")?;
            }
        }
        if r.flag("pps_scaling_list_data_present_flag")? {
            pps.scaling_list_data = Some(Box::new(ScalingList::parse(r)?));
        }
        pps.lists_modification_present_flag = r.flag("lists_modification_present_flag")?;
        pps.log2_parallel_merge_level = 2 + r.ue8(4, "log2_parallel_merge_level_minus2")?;
        pps.slice_segment_header_extension_present_flag =
            r.flag("slice_segment_header_extension_present_flag")?;
        pps.parse_extensions(r)?;
        Ok(pps)
    }

    fn parse_extensions(&mut self, r: &mut BitReader<'_>) -> Result<(), Error> {
        if !r.flag("pps_extension_present_flag")? {
            return Ok(());
        }
        let range = r.flag("pps_range_extension_flag")?;
        self.pps_multilayer_extension_flag = r.flag("pps_multilayer_extension_flag")?;
        self.pps_3d_extension_flag = r.flag("pps_3d_extension_flag")?;
        let scc = r.flag("pps_scc_extension_flag")?;
        r.skip(4, "pps_extension_4bits")?;
        if range {
            self.range_extension = PpsRangeExtension::parse(r, self)?;
        }
        // Damage in what the base layer does without is none of its.
        let is_passed = (!self.pps_multilayer_extension_flag
            || layers::pps_multilayer_extension(r).unwrap_or(false))
            && (!self.pps_3d_extension_flag || layers::pps_3d_extension(r).unwrap_or(false));
        if scc {
            if !is_passed {
                let feature = "pps_scc_extension_flag behind an extension for other layers that is not read";
                return Err(Error::Unsupported { place: r.place(), feature });
            }
            // pps_scc_extension() (7.3.2.3.3): accepted as long as it enables nothing.
            for (element, feature) in [
                ("pps_curr_pic_ref_enabled_flag", "pps_curr_pic_ref_enabled_flag (screen content coding)"),
                (
                    "residual_adaptive_colour_transform_enabled_flag",
                    "residual_adaptive_colour_transform_enabled_flag (screen content coding)",
                ),
                (
                    "pps_palette_predictor_initializers_present_flag",
                    "pps_palette_predictor_initializers_present_flag (screen content coding)",
                ),
            ] {
                if r.flag(element)? {
                    return Err(Error::Unsupported { place: r.place(), feature });
                }
            }
        }
        Ok(())
    }

    /// Checks the values whose range depends on the SPS. To be called with the SPS that this PPS refers to.
    ///
    /// # Errors
    /// [`Error::Syntax`] for a value out of range, and [`Error::Unsupported`] for combinations that no profile has.
    pub fn validate(&self, sps: &Sps) -> Result<(), Error> {
        let place = Place::with_id(Structure::Pps, self.pps_pic_parameter_set_id);
        let check = |element, value: i64, min: i64, max: i64| {
            if (min..=max).contains(&value) {
                Ok(())
            } else {
                Err(SyntaxError::OutOfRange { place, element, value, min, max })
            }
        };
        let qp_min = -26 - i64::from(sps.qp_bd_offset_luma());
        check("init_qp_minus26", i64::from(self.init_qp_minus26), qp_min, 25)?;
        let depth = i64::from(sps.log2_diff_max_min_luma_coding_block_size);
        check("diff_cu_qp_delta_depth", i64::from(self.diff_cu_qp_delta_depth), 0, depth)?;
        let ctb_log2 = i64::from(sps.ctb_log2_size());
        check("Log2ParMrgLevel", i64::from(self.log2_parallel_merge_level), 2, ctb_log2.max(2))?;
        let range = &self.range_extension;
        check("diff_cu_chroma_qp_offset_depth", i64::from(range.diff_cu_chroma_qp_offset_depth), 0, depth)?;
        let max_tb = i64::from(sps.max_tb_log2_size());
        check("Log2MaxTransformSkipSize", i64::from(range.log2_max_transform_skip_size), 2, max_tb.max(2))?;
        for (element, value, bit_depth) in [
            ("log2_sao_offset_scale_luma", range.log2_sao_offset_scale_luma, sps.bit_depth_luma),
            ("log2_sao_offset_scale_chroma", range.log2_sao_offset_scale_chroma, sps.bit_depth_chroma),
        ] {
            check(element, i64::from(value), 0, i64::from(bit_depth).max(10) - 10)?;
        }
        let chroma_444 = i64::from(sps.chroma_array_type() == 3);
        let cross_component = i64::from(range.cross_component_prediction_enabled_flag);
        check("cross_component_prediction_enabled_flag", cross_component, 0, chroma_444)?;
        let chroma = i64::from(sps.chroma_array_type() != 0);
        let list_enabled = i64::from(range.chroma_qp_offset_list_enabled_flag);
        check("chroma_qp_offset_list_enabled_flag", list_enabled, 0, chroma)?;
        if let Some(tiles) = &self.tiles {
            let (width, height) = (i64::from(sps.pic_width_in_ctbs()), i64::from(sps.pic_height_in_ctbs()));
            check("num_tile_columns_minus1", i64::from(tiles.num_tile_columns) - 1, 0, width - 1)?;
            check("num_tile_rows_minus1", i64::from(tiles.num_tile_rows) - 1, 0, height - 1)?;
            if let Some((columns, rows)) = &tiles.explicit_sizes {
                let sum = |sizes: &[u32]| sizes.iter().map(|&size| i64::from(size)).sum::<i64>();
                check("sum of column_width_minus1 + 1", sum(columns), 0, width - 1)?;
                check("sum of row_height_minus1 + 1", sum(rows), 0, height - 1)?;
            }
        }
        Ok(())
    }

    /// Sizes of the tile columns and rows in coding tree blocks.
    ///
    /// Meaningful for an SPS that this PPS was [validated](Self::validate) against.
    pub fn tile_layout(&self, sps: &Sps) -> TileLayout {
        let (width, height) = (sps.pic_width_in_ctbs(), sps.pic_height_in_ctbs());
        let Some(tiles) = &self.tiles else {
            return TileLayout { column_widths: vec![width], row_heights: vec![height] };
        };
        let uniform = |total: u32, count: u32| -> Vec<u32> {
            (0..count).map(|i| (i + 1) * total / count - i * total / count).collect()
        };
        let explicit = |total: u32, sizes: &[u32]| -> Vec<u32> {
            let used: u32 = sizes.iter().sum();
            sizes.iter().copied().chain([total.saturating_sub(used)]).collect()
        };
        match &tiles.explicit_sizes {
            None => TileLayout {
                column_widths: uniform(width, tiles.num_tile_columns),
                row_heights: uniform(height, tiles.num_tile_rows),
            },
            Some((columns, rows)) => {
                TileLayout { column_widths: explicit(width, columns), row_heights: explicit(height, rows) }
            }
        }
    }

    /// `CtbAddrRsToTs` (6-10): the place in decoding order, tile by tile, of the coding tree block at `address` in the
    /// raster scan of the picture.
    ///
    /// Meaningful for an SPS that this PPS was [validated](Self::validate) against and an address within the picture.
    pub fn ctb_addr_rs_to_ts(&self, sps: &Sps, address: u32) -> u32 {
        if self.tiles.is_none() || address == 0 {
            return address;
        }
        let layout = self.tile_layout(sps);
        let width = sps.pic_width_in_ctbs();
        // The tile that a coordinate lies in: its start and size.
        let locate = |sizes: &[u32], coordinate: u32| {
            let mut start = 0;
            for &size in sizes {
                if coordinate < start + size {
                    return (start, size);
                }
                start += size;
            }
            (start, 1)
        };
        let (x, y) = (address % width, address / width);
        let (column_start, column_width) = locate(&layout.column_widths, x);
        let (row_start, row_height) = locate(&layout.row_heights, y);
        // Tiles above, tiles to the left, rows in this tile, columns in this row.
        row_start * width + column_start * row_height + (y - row_start) * column_width + (x - column_start)
    }

    /// The scaling lists that apply to pictures with this PPS and SPS: those of the PPS, else those of the SPS, else the
    /// default ones; `None` when `scaling_list_enabled_flag` is 0.
    pub fn scaling_list(&self, sps: &Sps) -> Option<ScalingList> {
        match &self.scaling_list_data {
            Some(lists) if sps.scaling_list_enabled_flag => Some((**lists).clone()),
            _ => sps.scaling_list(),
        }
    }
}

impl Tiles {
    fn parse(r: &mut BitReader<'_>) -> Result<Self, Error> {
        let num_tile_columns = 1 + r.ue_max(MAX_TILE_COLUMNS - 1, "num_tile_columns_minus1")?;
        let num_tile_rows = 1 + r.ue_max(MAX_TILE_ROWS - 1, "num_tile_rows_minus1")?;
        // A single tile is not allowed with tiles_enabled_flag, yet harmless.
        let explicit_sizes = if r.flag("uniform_spacing_flag")? {
            None
        } else {
            let mut sizes = |count: u32, element: &'static str| {
                (1..count).map(|_| Ok(1 + r.ue_max(0xffff, element)?)).collect::<Result<Vec<u32>, Error>>()
            };
            Some((
                sizes(num_tile_columns, "column_width_minus1")?,
                sizes(num_tile_rows, "row_height_minus1")?,
            ))
        };
        let loop_filter_across_tiles_enabled_flag = r.flag("loop_filter_across_tiles_enabled_flag")?;
        Ok(Self { num_tile_columns, num_tile_rows, explicit_sizes, loop_filter_across_tiles_enabled_flag })
    }
}

impl PpsRangeExtension {
    fn parse(r: &mut BitReader<'_>, pps: &Pps) -> Result<Self, Error> {
        let mut extension = Self::default();
        if pps.transform_skip_enabled_flag {
            extension.log2_max_transform_skip_size =
                2 + r.ue8(3, "log2_max_transform_skip_block_size_minus2")?;
        }
        extension.cross_component_prediction_enabled_flag =
            r.flag("cross_component_prediction_enabled_flag")?;
        extension.chroma_qp_offset_list_enabled_flag = r.flag("chroma_qp_offset_list_enabled_flag")?;
        if extension.chroma_qp_offset_list_enabled_flag {
            extension.diff_cu_chroma_qp_offset_depth = r.ue8(3, "diff_cu_chroma_qp_offset_depth")?;
            for _ in 0..=r.ue_max(5, "chroma_qp_offset_list_len_minus1")? {
                let cb = r.se8(-12, 12, "cb_qp_offset_list")?;
                let cr = r.se8(-12, 12, "cr_qp_offset_list")?;
                extension.chroma_qp_offset_list.push((cb, cr));
            }
        }
        extension.log2_sao_offset_scale_luma = r.ue8(6, "log2_sao_offset_scale_luma")?;
        extension.log2_sao_offset_scale_chroma = r.ue8(6, "log2_sao_offset_scale_chroma")?;
        Ok(extension)
    }
}
