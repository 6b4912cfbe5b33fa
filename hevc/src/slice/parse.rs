//! Reading `slice_segment_header()`.

use bitstream::{Rbsp, ceil_log2};

use super::{HeaderPositions, PredWeightTable, RefPicListsModification, SliceHeader, SliceType};
use crate::BitReader;
use crate::error::Error;
use crate::lists::MAX_REFERENCES;
use crate::nal::{NalHeader, NalUnitType};
use crate::pps::Pps;
use crate::sps::Sps;
use crate::st_ref_pic_set::{LongTermRefPic, StRefPicSet};

/// The elements of a slice segment header that can be read before its parameter sets are known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeaderStart {
    pub(crate) first_slice_segment_in_pic_flag: bool,
    pub(crate) no_output_of_prior_pics_flag: bool,
    pub(crate) slice_pic_parameter_set_id: u8,
}

impl HeaderStart {
    // Two callers; a call takes as long as what it reads.
    #[inline(always)]
    pub(crate) fn parse(r: &mut BitReader<'_>, nal_unit_type: NalUnitType) -> Result<Self, Error> {
        let start = Self {
            first_slice_segment_in_pic_flag: r.flag("first_slice_segment_in_pic_flag")?,
            no_output_of_prior_pics_flag: nal_unit_type.is_irap()
                && r.flag("no_output_of_prior_pics_flag")?,
            slice_pic_parameter_set_id: r.ue8(63, "slice_pic_parameter_set_id")?,
        };
        r.place_mut().id = Some(start.slice_pic_parameter_set_id);
        Ok(start)
    }

    /// `dependent_slice_segment_flag` and `slice_segment_address`, which follow.
    pub(crate) fn parse_address(
        &self,
        r: &mut BitReader<'_>,
        pps: &Pps,
        sps: &Sps,
    ) -> Result<(bool, u32), Error> {
        if self.first_slice_segment_in_pic_flag {
            return Ok((false, 0));
        }
        let dependent =
            pps.dependent_slice_segments_enabled_flag && r.flag("dependent_slice_segment_flag")?;
        let size = sps.pic_size_in_ctbs();
        let address = r.u(ceil_log2(size), "slice_segment_address")?;
        // Address 0 belongs to the first slice segment alone.
        r.check("slice_segment_address", i64::from(address), 1, i64::from(size) - 1)?;
        Ok((dependent, address))
    }
}

impl SliceHeader {
    /// The header of an independent slice segment before any more is read: with the values that the standard infers.
    pub(crate) fn inferred(start: HeaderStart, slice_segment_address: u32, pps: &Pps) -> Self {
        Self {
            first_slice_segment_in_pic_flag: start.first_slice_segment_in_pic_flag,
            no_output_of_prior_pics_flag: start.no_output_of_prior_pics_flag,
            slice_pic_parameter_set_id: start.slice_pic_parameter_set_id,
            dependent_slice_segment_flag: false,
            slice_segment_address,
            slice_addr_rs: slice_segment_address,
            slice_reserved_flags: 0,
            slice_type: SliceType::I,
            pic_output_flag: true,
            colour_plane_id: 0,
            slice_pic_order_cnt_lsb: 0,
            short_term_ref_pic_set_sps_flag: false,
            short_term_ref_pic_set_idx: 0,
            st_ref_pic_set: None,
            ref_rps_num_delta_pocs: None,
            num_long_term_sps: 0,
            long_term_ref_pics: Vec::new(),
            slice_temporal_mvp_enabled_flag: false,
            slice_sao_luma_flag: false,
            slice_sao_chroma_flag: false,
            num_ref_idx_active_override_flag: false,
            num_ref_idx_l0_active: 0,
            num_ref_idx_l1_active: 0,
            num_pic_total_curr: 0,
            ref_pic_lists_modification: RefPicListsModification::default(),
            mvd_l1_zero_flag: false,
            cabac_init_flag: false,
            collocated_from_l0_flag: true,
            collocated_ref_idx: 0,
            pred_weight_table: None,
            max_num_merge_cand: 0,
            slice_qp_delta: 0,
            slice_cb_qp_offset: 0,
            slice_cr_qp_offset: 0,
            cu_chroma_qp_offset_enabled_flag: false,
            deblocking_filter_override_flag: false,
            slice_deblocking_filter_disabled_flag: pps.pps_deblocking_filter_disabled_flag,
            slice_beta_offset_div2: pps.pps_beta_offset_div2,
            slice_tc_offset_div2: pps.pps_tc_offset_div2,
            slice_loop_filter_across_slices_enabled_flag: pps.pps_loop_filter_across_slices_enabled_flag,
            offset_len: 0,
            num_entry_point_offsets: 0,
            slice_segment_header_extension_length: 0,
            positions: HeaderPositions::default(),
        }
    }

    /// Reads what follows [`HeaderStart::parse_address`] in an independent slice segment, up to the entry points, into a
    /// header as [`inferred`](Self::inferred) gives it.
    pub(crate) fn parse_independent(
        &mut self,
        r: &mut BitReader<'_>,
        rbsp: &Rbsp,
        nal_unit_type: NalUnitType,
        pps: &Pps,
        sps: &Sps,
    ) -> Result<(), Error> {
        for i in 0..u32::from(pps.num_extra_slice_header_bits) {
            self.slice_reserved_flags |= u8::from(r.flag("slice_reserved_flag")?) << i;
        }
        self.slice_type = match r.ue_max(2, "slice_type")? {
            0 => SliceType::B,
            1 => SliceType::P,
            _ => SliceType::I,
        };
        if nal_unit_type.is_irap() {
            // 7.4.7.1: without current picture referencing an IRAP picture has I slices only.
            r.check("slice_type of an IRAP picture", self.slice_type as i64, 2, 2)?;
        }
        self.positions.slice_type_end = r.position() as u32;
        if pps.output_flag_present_flag {
            self.pic_output_flag = r.flag("pic_output_flag")?;
        }
        if sps.separate_colour_plane_flag {
            self.colour_plane_id = r.u8(2, "colour_plane_id")?;
            r.check("colour_plane_id", i64::from(self.colour_plane_id), 0, 2)?;
        }
        self.positions.temporal_mvp_flag_start = r.position() as u32;
        if !nal_unit_type.is_idr() {
            self.parse_reference_picture_set(r, sps)?;
            self.positions.temporal_mvp_flag_start = r.position() as u32;
            if sps.sps_temporal_mvp_enabled_flag {
                self.slice_temporal_mvp_enabled_flag = r.flag("slice_temporal_mvp_enabled_flag")?;
            }
        }
        self.positions.emulation_prevention_in_skipped = rbsp.has_emulation_prevention_within(
            self.positions.slice_type_end as usize,
            self.positions.temporal_mvp_flag_start as usize,
        );
        if sps.sample_adaptive_offset_enabled_flag {
            self.slice_sao_luma_flag = r.flag("slice_sao_luma_flag")?;
            if sps.chroma_array_type() != 0 {
                self.slice_sao_chroma_flag = r.flag("slice_sao_chroma_flag")?;
            }
        }
        if self.slice_type.is_inter() {
            self.parse_inter(r, pps, sps)?;
        }
        self.parse_qp_and_filters(r, pps, sps)
    }

    /// From `slice_pic_order_cnt_lsb` to the last long-term element.
    fn parse_reference_picture_set(&mut self, r: &mut BitReader<'_>, sps: &Sps) -> Result<(), Error> {
        let lsb_bits = u32::from(sps.log2_max_pic_order_cnt_lsb);
        self.slice_pic_order_cnt_lsb = r.u(lsb_bits, "slice_pic_order_cnt_lsb")?;
        self.short_term_ref_pic_set_sps_flag = r.flag("short_term_ref_pic_set_sps_flag")?;
        let num_sets = sps.short_term_ref_pic_sets.len();
        if self.short_term_ref_pic_set_sps_flag {
            r.check("short_term_ref_pic_set_sps_flag", 1, 0, i64::from(num_sets > 0))?;
            let idx = r.u(ceil_log2(num_sets as u32), "short_term_ref_pic_set_idx")?;
            r.check("short_term_ref_pic_set_idx", i64::from(idx), 0, num_sets as i64 - 1)?;
            self.short_term_ref_pic_set_idx = idx as u8;
        } else {
            let start = r.position();
            let set = self.st_ref_pic_set.insert(StRefPicSet::EMPTY);
            let source = set.parse(r, num_sets, &sps.short_term_ref_pic_sets, true)?;
            self.positions.short_term_ref_pic_set_size = (r.position() - start) as u32;
            self.ref_rps_num_delta_pocs =
                source.map(|idx| sps.short_term_ref_pic_sets[idx].num_delta_pocs() as u8);
        }
        let short_term = self.short_term_ref_pic_set(sps);
        let num_delta_pocs = short_term.num_delta_pocs();
        let mut used = short_term.pics().iter().filter(|pic| pic.used_by_curr_pic).count();
        if sps.long_term_ref_pics_present_flag {
            self.parse_long_term(r, sps, (MAX_REFERENCES - num_delta_pocs) as u32)?;
            used += self.long_term_ref_pics.iter().filter(|pic| pic.used_by_curr_pic_lt).count();
        }
        self.num_pic_total_curr = used as u8;
        Ok(())
    }

    fn parse_long_term(&mut self, r: &mut BitReader<'_>, sps: &Sps, max: u32) -> Result<(), Error> {
        let candidates = sps.long_term_ref_pics.len() as u32;
        let num_long_term_sps =
            if candidates > 0 { r.ue_max(candidates.min(max), "num_long_term_sps")? } else { 0 };
        let num_long_term_pics = r.ue_max(max - num_long_term_sps, "num_long_term_pics")?;
        self.num_long_term_sps = num_long_term_sps as u8;
        let lsb_bits = u32::from(sps.log2_max_pic_order_cnt_lsb);
        let mut delta_poc_msb_cycle = 0u64;
        for i in 0..num_long_term_sps + num_long_term_pics {
            let mut pic = LongTermRefPic::default();
            if i < num_long_term_sps {
                let idx = r.u(ceil_log2(candidates), "lt_idx_sps")?;
                r.check("lt_idx_sps", i64::from(idx), 0, i64::from(candidates) - 1)?;
                let candidate = sps.long_term_ref_pics[idx as usize];
                pic.lt_idx_sps = Some(idx as u8);
                pic.poc_lsb_lt = candidate.poc_lsb;
                pic.used_by_curr_pic_lt = candidate.used_by_curr_pic;
            } else {
                pic.poc_lsb_lt = r.u(lsb_bits, "poc_lsb_lt")?;
                pic.used_by_curr_pic_lt = r.flag("used_by_curr_pic_lt_flag")?;
            }
            if i == 0 || i == num_long_term_sps {
                delta_poc_msb_cycle = 0;
            }
            if r.flag("delta_poc_msb_present_flag")? {
                delta_poc_msb_cycle += u64::from(r.ue("delta_poc_msb_cycle_lt")?);
                // PicOrderCntVal has 32 bits.
                let max = 1i64 << (32 - lsb_bits);
                r.check("DeltaPocMsbCycleLt", delta_poc_msb_cycle as i64, 0, max)?;
                pic.delta_poc_msb_cycle_lt = Some(delta_poc_msb_cycle as u32);
            }
            self.long_term_ref_pics.push(pic);
        }
        Ok(())
    }

    /// The elements that only P and B slices have.
    fn parse_inter(&mut self, r: &mut BitReader<'_>, pps: &Pps, sps: &Sps) -> Result<(), Error> {
        let is_b = self.slice_type == SliceType::B;
        // 7.4.7.1: a P or B slice needs a picture to refer to.
        r.check(
            "NumPicTotalCurr of a P or B slice",
            i64::from(self.num_pic_total_curr),
            1,
            MAX_REFERENCES as i64,
        )?;
        self.num_ref_idx_l0_active = pps.num_ref_idx_l0_default_active;
        self.num_ref_idx_l1_active = if is_b { pps.num_ref_idx_l1_default_active } else { 0 };
        self.num_ref_idx_active_override_flag = r.flag("num_ref_idx_active_override_flag")?;
        if self.num_ref_idx_active_override_flag {
            self.num_ref_idx_l0_active = 1 + r.ue8(14, "num_ref_idx_l0_active_minus1")?;
            if is_b {
                self.num_ref_idx_l1_active = 1 + r.ue8(14, "num_ref_idx_l1_active_minus1")?;
            }
        }
        if pps.lists_modification_present_flag && self.num_pic_total_curr > 1 {
            let total = u32::from(self.num_pic_total_curr);
            let mut list = |count: u8, flag, element| -> Result<Option<Vec<u8>>, Error> {
                if !r.flag(flag)? {
                    return Ok(None);
                }
                let entries = (0..count).map(|_| {
                    let entry = r.u(ceil_log2(total), element)?;
                    r.check(element, i64::from(entry), 0, i64::from(total) - 1)?;
                    Ok(entry as u8)
                });
                entries.collect::<Result<Vec<u8>, Error>>().map(Some)
            };
            let list_entry_l0 =
                list(self.num_ref_idx_l0_active, "ref_pic_list_modification_flag_l0", "list_entry_l0")?;
            let list_entry_l1 = if is_b {
                list(self.num_ref_idx_l1_active, "ref_pic_list_modification_flag_l1", "list_entry_l1")?
            } else {
                None
            };
            self.ref_pic_lists_modification = RefPicListsModification { list_entry_l0, list_entry_l1 };
        }
        if is_b {
            self.mvd_l1_zero_flag = r.flag("mvd_l1_zero_flag")?;
        }
        if pps.cabac_init_present_flag {
            self.cabac_init_flag = r.flag("cabac_init_flag")?;
        }
        if self.slice_temporal_mvp_enabled_flag {
            if is_b {
                self.collocated_from_l0_flag = r.flag("collocated_from_l0_flag")?;
            }
            let active = if self.collocated_from_l0_flag {
                self.num_ref_idx_l0_active
            } else {
                self.num_ref_idx_l1_active
            };
            if active > 1 {
                self.collocated_ref_idx = r.ue8(active - 1, "collocated_ref_idx")?;
            }
        }
        if if is_b { pps.weighted_bipred_flag } else { pps.weighted_pred_flag } {
            let (l0, l1) = (self.num_ref_idx_l0_active, self.num_ref_idx_l1_active);
            self.pred_weight_table = Some(Box::new(PredWeightTable::parse(r, sps, l0, l1)?));
        }
        self.max_num_merge_cand = 5 - r.ue8(4, "five_minus_max_num_merge_cand")?;
        Ok(())
    }

    fn parse_qp_and_filters(&mut self, r: &mut BitReader<'_>, pps: &Pps, sps: &Sps) -> Result<(), Error> {
        // SliceQpY (7-54) lies in -QpBdOffsetY to 51.
        let init_qp = 26 + i32::from(pps.init_qp_minus26);
        self.slice_qp_delta =
            r.se_range(-sps.qp_bd_offset_luma() - init_qp, 51 - init_qp, "slice_qp_delta")? as i8;
        if pps.pps_slice_chroma_qp_offsets_present_flag {
            // The sum with the offset of the PPS is limited too.
            let mut offset = |pps_offset: i8, element| {
                let (low, high) = ((-12).max(-12 - pps_offset), 12.min(12 - pps_offset));
                r.se8(low, high, element)
            };
            self.slice_cb_qp_offset = offset(pps.pps_cb_qp_offset, "slice_cb_qp_offset")?;
            self.slice_cr_qp_offset = offset(pps.pps_cr_qp_offset, "slice_cr_qp_offset")?;
        }
        if pps.range_extension.chroma_qp_offset_list_enabled_flag {
            self.cu_chroma_qp_offset_enabled_flag = r.flag("cu_chroma_qp_offset_enabled_flag")?;
        }
        if pps.deblocking_filter_override_enabled_flag {
            self.deblocking_filter_override_flag = r.flag("deblocking_filter_override_flag")?;
        }
        if self.deblocking_filter_override_flag {
            self.slice_deblocking_filter_disabled_flag = r.flag("slice_deblocking_filter_disabled_flag")?;
            if !self.slice_deblocking_filter_disabled_flag {
                self.slice_beta_offset_div2 = r.se8(-6, 6, "slice_beta_offset_div2")?;
                self.slice_tc_offset_div2 = r.se8(-6, 6, "slice_tc_offset_div2")?;
            }
        }
        if pps.pps_loop_filter_across_slices_enabled_flag
            && (self.slice_sao_luma_flag
                || self.slice_sao_chroma_flag
                || !self.slice_deblocking_filter_disabled_flag)
        {
            self.slice_loop_filter_across_slices_enabled_flag =
                r.flag("slice_loop_filter_across_slices_enabled_flag")?;
        }
        Ok(())
    }

    /// The header of a dependent slice segment: this one with what the segment says itself, to be followed by
    /// [`Self::parse_end`].
    pub(crate) fn dependent(&self, start: HeaderStart, slice_segment_address: u32) -> Self {
        Self {
            first_slice_segment_in_pic_flag: start.first_slice_segment_in_pic_flag,
            no_output_of_prior_pics_flag: start.no_output_of_prior_pics_flag,
            dependent_slice_segment_flag: true,
            slice_segment_address,
            offset_len: 0,
            num_entry_point_offsets: 0,
            slice_segment_header_extension_length: 0,
            ..self.clone()
        }
    }

    /// Entry points, header extension and alignment, which every slice segment has.
    pub(crate) fn parse_end(
        &mut self,
        r: &mut BitReader<'_>,
        rbsp: &Rbsp,
        pps: &Pps,
        sps: &Sps,
    ) -> Result<(), Error> {
        if pps.tiles.is_some() || pps.entropy_coding_sync_enabled_flag {
            let (columns, rows) =
                pps.tiles.as_ref().map_or((1, 1), |tiles| (tiles.num_tile_columns, tiles.num_tile_rows));
            let rows = if pps.entropy_coding_sync_enabled_flag { sps.pic_height_in_ctbs() } else { rows };
            let count = r.ue_max(columns * rows - 1, "num_entry_point_offsets")?;
            if count > 0 {
                let offset_len = 1 + r.ue8(31, "offset_len_minus1")?;
                (self.offset_len, self.num_entry_point_offsets) = (offset_len, count);
                self.positions.entry_points_start = r.position() as u32;
                r.skip(count as usize * usize::from(offset_len), "entry_point_offset_minus1")?;
            }
        }
        if pps.slice_segment_header_extension_present_flag {
            let length = r.ue_max(256, "slice_segment_header_extension_length")?;
            self.slice_segment_header_extension_length = length as u16;
            r.skip(length as usize * 8, "slice_segment_header_extension_data_byte")?;
        }
        // byte_alignment(), 7.3.2.5.
        r.one_then_zeros("alignment_bit_equal_to_one", "alignment_bit_equal_to_zero")?;
        let size = r.byte_position();
        self.positions.header_size_rbsp = size as u32;
        self.positions.data_offset_in_nal = (NalHeader::SIZE + rbsp.escaped_offset(size)) as u32;
        Ok(())
    }
}
