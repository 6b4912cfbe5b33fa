//! The picture descriptor `nvdec_hevc_pic_s`: what the engine is told of a picture beyond its slice data.
//!
//! The engine parses every slice segment header itself. It is told the parameter sets, which picture is
//! where, the initial reference lists, and how many bits of each slice header were consumed here.

use std::sync::Arc;

use hevc::{Picture, Pps, Sps};
use nvkernel_sys::bits::{Field, FieldError};
use nvkernel_sys::video::hevc_pic as pic;

use crate::class::VideoClass;
use crate::hevc::scratch::{Scratch, collocated_slot_bytes};
use crate::hevc::tables::Tables;
use crate::surface::format::SurfaceGeometry;

/// Bytes uploaded: the public struct is 276 long, newer firmware reads past it.
pub(crate) const DESCRIPTOR_BYTES: usize = 512;
/// Entries of the lists and arrays that name places of the picture table.
pub(crate) const LIST_ENTRIES: usize = 16;

/// Where a reference picture stands in the engine's picture table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PlacedReference {
    /// Place, 0..16.
    pub(crate) place: u8,
    /// Picture order count.
    pub(crate) poc: i32,
    /// Whether it is a long-term reference picture.
    pub(crate) long_term: bool,
}

/// The references of a picture in the order of the initial list 0: `RefPicSetStCurrBefore`, `RefPicSetStCurrAfter`,
/// `RefPicSetLtCurr`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct References {
    entries: [PlacedReference; LIST_ENTRIES],
    /// Entries of the first set, of the first two, of all three.
    ends: [usize; 3],
}

impl References {
    /// `entries`, of which so many each belong to the three sets, 16 in all.
    pub(crate) fn new(counts: [usize; 3], entries: impl Iterator<Item = PlacedReference>) -> Self {
        let mut end = 0;
        let ends = counts.map(|count| {
            end += count;
            end
        });
        let mut references = References { ends, ..References::default() };
        references.entries[..end].iter_mut().zip(entries).for_each(|(to, entry)| *to = entry);
        references
    }

    /// All entries, in the order of the initial list 0.
    pub(crate) fn all(&self) -> &[PlacedReference] {
        &self.entries[..self.ends[2]]
    }

    /// All entries, in the order of the initial list 1: what comes after the picture first.
    fn list1(&self) -> impl Iterator<Item = &PlacedReference> + Clone {
        let [before, after, all] = self.ends;
        let of = |range: std::ops::Range<usize>| self.entries[range].iter();
        of(before..after).chain(of(0..before)).chain(of(after..all))
    }

    /// `NumPicTotalCurr` (7-55).
    pub(crate) fn num_pic_total_curr(&self) -> usize {
        self.ends[2]
    }
}

/// A descriptor under construction. Values come from parsed syntax, whose ranges the parser has checked, so
/// that a value which does not fit its field is a mistake of this program.
#[derive(Clone)]
struct Words([u8; DESCRIPTOR_BYTES]);

impl Words {
    // The fields are constants: what is left of one that is inlined is a few instructions.
    #[inline(always)]
    fn set(&mut self, field: Field, value: impl Into<i64>) {
        self.set_at(field, 0, value);
    }

    #[inline(always)]
    fn set_at(&mut self, field: Field, index: usize, value: impl Into<i64>) {
        if let Err(error) = field.write(&mut self.0, index, value.into()) {
            misfit(&error);
        }
    }

    /// The elements of an array of whole bytes, or of 16-bit words, all at once.
    fn set_all<const N: usize>(&mut self, field: Field, elements: [[u8; N]; LIST_ENTRIES]) {
        debug_assert!(field.lo == 0 && field.width() as usize == 8 * N && usize::from(field.stride) == 8 * N);
        debug_assert!(usize::from(field.count) == LIST_ENTRIES);
        let at = usize::from(field.offset);
        self.0[at..at + N * LIST_ENTRIES].copy_from_slice(elements.as_flattened());
    }
}

#[cold]
fn misfit(error: &FieldError) -> ! {
    panic!("descriptor: {error}")
}

/// What is the same for all pictures with the same parameter sets: a part of the descriptor, and the tables beside it.
#[derive(Clone)]
pub(crate) struct Template {
    sps: Arc<Sps>,
    pps: Arc<Pps>,
    scratch: Scratch,
    words: Words,
    tables: Box<Tables>,
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Template")
    }
}

impl Template {
    /// Whether the template is for these very parameter sets.
    pub(crate) fn is_for(&self, sps: &Arc<Sps>, pps: &Arc<Pps>) -> bool {
        Arc::ptr_eq(&self.sps, sps) && Arc::ptr_eq(&self.pps, pps)
    }

    pub(crate) fn new(
        sps: &Arc<Sps>,
        pps: &Arc<Pps>,
        class: &VideoClass,
        geometry: &SurfaceGeometry,
    ) -> Template {
        let scratch = Scratch::new(sps, pps, class);
        let mut w = Words([0; DESCRIPTOR_BYTES]);
        write_layout(&mut w, sps, class, geometry, &scratch);
        write_sps(&mut w, sps);
        write_pps(&mut w, sps, pps);
        write_range_extension(&mut w, sps, pps);
        Template { sps: sps.clone(), pps: pps.clone(), scratch, words: w, tables: Tables::new(sps, pps) }
    }

    /// Where the areas of the scratch memory lie that the descriptor tells of.
    pub(crate) fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// The tables beside the descriptor.
    pub(crate) fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The descriptor of one picture.
    pub(crate) fn picture(
        &self,
        picture: &Picture,
        place: u8,
        references: &References,
        stream_len: u32,
    ) -> [u8; DESCRIPTOR_BYTES] {
        let mut w = self.words.clone();
        w.set(pic::stream_len, stream_len);
        write_references(&mut w, picture.pic_order_cnt_val, place, references);
        let header = &picture.header;
        let idr = picture.nal_unit_type.is_idr();
        w.set(pic::IDR_picture_flag, u8::from(idr));
        w.set(pic::RAP_picture_flag, u8::from(picture.nal_unit_type.is_irap()));
        w.set(pic::curr_pic_idx, place);
        w.set(pic::sw_hdr_skip_length, header.hw_header_skip_bits());
        w.set(pic::num_bits_short_term_ref_pics_in_slice, header.positions.short_term_ref_pic_set_size);
        // Error concealment: motion from the collocated picture, P unless the picture is intra-coded.
        w.set(pic::slice_ec_mv_type, pic::slice_ec_mv_type_COLLOCATED);
        w.set(pic::slice_ec_slice_type, u8::from(idr));
        w.0
    }
}

fn write_layout(w: &mut Words, sps: &Sps, class: &VideoClass, geometry: &SurfaceGeometry, scratch: &Scratch) {
    let bytes = geometry.format.bytes_per_sample();
    w.set(pic::tileformat, pic::tileformat_KBL);
    w.set(pic::gob_height, 0);
    w.set(pic::sw_start_code_e, 1);
    w.set(pic::disp_output_mode, u8::from(bytes > 1));
    w.set_at(pic::framestride, 0, geometry.luma_pitch / bytes);
    w.set_at(pic::framestride, 1, geometry.chroma_pitch / bytes);
    let (width, height) = (sps.pic_width_in_luma_samples, sps.pic_height_in_luma_samples);
    let ctb = sps.ctb_size();
    let blocks = (width.next_multiple_of(ctb) / 16).max(1) * (height.next_multiple_of(ctb) / 16).max(1);
    w.set(pic::gptimer_timeout_value, TIMEOUT_CYCLES_PER_BLOCK * blocks.max(MIN_TIMEOUT_BLOCKS));
    w.set(pic::colMvBuffersize, (collocated_slot_bytes(sps) / 256) as u32);
    for (field, offset) in [
        (pic::HevcSaoBufferOffset, scratch.sao),
        (pic::HevcBsdCtrlOffset, scratch.bsd_ctrl),
        (pic::HevcFltAboveOffset, scratch.filter_above),
        (pic::HevcSaoAboveOffset, scratch.sao_above),
        (pic::HevcSliceEdgeOffset, scratch.sao_above),
    ] {
        w.set(field, (offset / 256) as u32);
    }
    w.0[0x11c..0x120].copy_from_slice(&class.hevc.word_11c.to_le_bytes());
}

/// What NVIDIA's own driver allows a picture, in engine cycles for each block of 16x16.
const TIMEOUT_CYCLES_PER_BLOCK: u32 = 10_000;
/// A floor, so that the fixed cost of a tiny picture does not trip the timer.
const MIN_TIMEOUT_BLOCKS: u32 = 1_000;

fn write_sps(w: &mut Words, sps: &Sps) {
    w.set(pic::pic_width_in_luma_samples, sps.pic_width_in_luma_samples);
    w.set(pic::pic_height_in_luma_samples, sps.pic_height_in_luma_samples);
    w.set(pic::chroma_format_idc, sps.chroma_format_idc);
    w.set(pic::bit_depth_luma, sps.bit_depth_luma);
    w.set(pic::bit_depth_chroma, sps.bit_depth_chroma);
    w.set(pic::log2_min_luma_coding_block_size, sps.log2_min_luma_coding_block_size);
    w.set(pic::log2_max_luma_coding_block_size, sps.ctb_log2_size());
    w.set(pic::log2_min_transform_block_size, sps.log2_min_luma_transform_block_size);
    w.set(pic::log2_max_transform_block_size, sps.max_tb_log2_size());
    w.set(pic::max_transform_hierarchy_depth_inter, sps.max_transform_hierarchy_depth_inter);
    w.set(pic::max_transform_hierarchy_depth_intra, sps.max_transform_hierarchy_depth_intra);
    w.set(pic::scalingListEnable, sps.scaling_list_enabled_flag);
    w.set(pic::amp_enable_flag, sps.amp_enabled_flag);
    w.set(pic::sample_adaptive_offset_enabled_flag, sps.sample_adaptive_offset_enabled_flag);
    if let Some(pcm) = &sps.pcm {
        w.set(pic::pcm_enabled_flag, 1);
        w.set(pic::pcm_sample_bit_depth_luma, pcm.bit_depth_luma);
        w.set(pic::pcm_sample_bit_depth_chroma, pcm.bit_depth_chroma);
        w.set(pic::log2_min_pcm_luma_coding_block_size, pcm.log2_min_cb_size);
        w.set(pic::log2_max_pcm_luma_coding_block_size, pcm.log2_max_cb_size);
        w.set(pic::pcm_loop_filter_disabled_flag, pcm.loop_filter_disabled_flag);
    }
    w.set(pic::sps_temporal_mvp_enabled_flag, sps.sps_temporal_mvp_enabled_flag);
    w.set(pic::strong_intra_smoothing_enabled_flag, sps.strong_intra_smoothing_enabled_flag);
    w.set(pic::separate_colour_plane_flag, sps.separate_colour_plane_flag);
    w.set(pic::log2_max_pic_order_cnt_lsb_minus4, sps.log2_max_pic_order_cnt_lsb - 4);
    w.set(pic::num_short_term_ref_pic_sets, sps.short_term_ref_pic_sets.len() as u32);
    w.set(pic::num_long_term_ref_pics_sps, sps.long_term_ref_pics.len() as u32);
    w.set(pic::long_term_ref_pics_present_flag, sps.long_term_ref_pics_present_flag);
}

fn write_pps(w: &mut Words, sps: &Sps, pps: &Pps) {
    w.set(pic::dependent_slice_segments_enabled_flag, pps.dependent_slice_segments_enabled_flag);
    w.set(pic::output_flag_present_flag, pps.output_flag_present_flag);
    w.set(pic::num_extra_slice_header_bits, pps.num_extra_slice_header_bits);
    w.set(pic::sign_data_hiding_enabled_flag, pps.sign_data_hiding_enabled_flag);
    w.set(pic::cabac_init_present_flag, pps.cabac_init_present_flag);
    w.set(pic::num_ref_idx_l0_default_active, pps.num_ref_idx_l0_default_active);
    w.set(pic::num_ref_idx_l1_default_active, pps.num_ref_idx_l1_default_active);
    // The engine counts QP from 0 at the lowest, -QpBdOffset.
    w.set(pic::init_qp, 26 + i32::from(pps.init_qp_minus26) + sps.qp_bd_offset_luma());
    w.set(pic::constrained_intra_pred_flag, pps.constrained_intra_pred_flag);
    w.set(pic::transform_skip_enabled_flag, pps.transform_skip_enabled_flag);
    w.set(pic::cu_qp_delta_enabled_flag, pps.cu_qp_delta_enabled_flag);
    w.set(pic::diff_cu_qp_delta_depth, pps.diff_cu_qp_delta_depth);
    w.set(pic::pps_cb_qp_offset, pps.pps_cb_qp_offset);
    w.set(pic::pps_cr_qp_offset, pps.pps_cr_qp_offset);
    w.set(pic::pps_beta_offset, 2 * pps.pps_beta_offset_div2);
    w.set(pic::pps_tc_offset, 2 * pps.pps_tc_offset_div2);
    w.set(pic::pps_slice_chroma_qp_offsets_present_flag, pps.pps_slice_chroma_qp_offsets_present_flag);
    w.set(pic::weighted_pred_flag, pps.weighted_pred_flag);
    w.set(pic::weighted_bipred_flag, pps.weighted_bipred_flag);
    w.set(pic::transquant_bypass_enabled_flag, pps.transquant_bypass_enabled_flag);
    w.set(pic::entropy_coding_sync_enabled_flag, pps.entropy_coding_sync_enabled_flag);
    if let Some(tiles) = &pps.tiles {
        w.set(pic::tiles_enabled_flag, 1);
        w.set(pic::num_tile_columns, tiles.num_tile_columns);
        w.set(pic::num_tile_rows, tiles.num_tile_rows);
    }
    // Inferred to be 1 without tiles (7.4.3.3.1).
    let across_tiles = pps.tiles.as_ref().is_none_or(|t| t.loop_filter_across_tiles_enabled_flag);
    w.set(pic::loop_filter_across_tiles_enabled_flag, across_tiles);
    w.set(pic::loop_filter_across_slices_enabled_flag, pps.pps_loop_filter_across_slices_enabled_flag);
    w.set(pic::deblocking_filter_control_present_flag, pps.deblocking_filter_control_present_flag);
    w.set(pic::deblocking_filter_override_enabled_flag, pps.deblocking_filter_override_enabled_flag);
    w.set(pic::pps_deblocking_filter_disabled_flag, pps.pps_deblocking_filter_disabled_flag);
    w.set(pic::lists_modification_present_flag, pps.lists_modification_present_flag);
    w.set(pic::log2_parallel_merge_level, pps.log2_parallel_merge_level);
    w.set(pic::slice_segment_header_extension_present_flag, pps.slice_segment_header_extension_present_flag);
}

fn write_range_extension(w: &mut Words, sps: &Sps, pps: &Pps) {
    let e = &sps.range_extension;
    w.set(pic::transformSkipRotationEnableFlag, e.transform_skip_rotation_enabled_flag);
    w.set(pic::transformSkipContextEnableFlag, e.transform_skip_context_enabled_flag);
    w.set(pic::implicitRdpcmEnableFlag, e.implicit_rdpcm_enabled_flag);
    w.set(pic::explicitRdpcmEnableFlag, e.explicit_rdpcm_enabled_flag);
    w.set(pic::extendedPrecisionProcessingFlag, e.extended_precision_processing_flag);
    w.set(pic::intraSmoothingDisabledFlag, e.intra_smoothing_disabled_flag);
    w.set(pic::highPrecisionOffsetsEnableFlag, e.high_precision_offsets_enabled_flag);
    w.set(pic::fastRiceAdaptationEnableFlag, e.persistent_rice_adaptation_enabled_flag);
    w.set(pic::cabacBypassAlignmentEnableFlag, e.cabac_bypass_alignment_enabled_flag);
    let e = &pps.range_extension;
    w.set(pic::log2MaxTransformSkipSize, e.log2_max_transform_skip_size);
    w.set(pic::crossComponentPredictionEnableFlag, e.cross_component_prediction_enabled_flag);
    w.set(pic::chromaQpAdjustmentEnableFlag, e.chroma_qp_offset_list_enabled_flag);
    if e.chroma_qp_offset_list_enabled_flag {
        w.set(pic::diffCuChromaQpAdjustmentDepth, e.diff_cu_chroma_qp_offset_depth);
        w.set(pic::chromaQpAdjustmentTableSize, e.chroma_qp_offset_list.len() as u32);
        for (i, &(cb, cr)) in e.chroma_qp_offset_list.iter().enumerate() {
            w.set_at(pic::cb_qp_adjustment, i, cb);
            w.set_at(pic::cr_qp_adjustment, i, cr);
        }
    }
    w.set(pic::log2SaoOffsetScaleLuma, e.log2_sao_offset_scale_luma);
    w.set(pic::log2SaoOffsetScaleChroma, e.log2_sao_offset_scale_chroma);
}

/// Initial lists, POC differences and long-term marks.
///
/// The lists are `RefPicListTemp0` and `RefPicListTemp1` of 8.3.4, repeated to 16 entries. Places that hold
/// no reference get the difference of the first reference, which is also the surface that stands there.
fn write_references(w: &mut Words, poc: i32, place: u8, references: &References) {
    let total = references.num_pic_total_curr();
    w.set(pic::num_ref_frames, total as u32);
    let fallback =
        references.all().first().copied().unwrap_or(PlacedReference { place, poc, long_term: false });
    let difference = |other: i32| (poc.wrapping_sub(other).clamp(-128, 127) as i16).to_le_bytes();
    let mut differences = [difference(fallback.poc); LIST_ENTRIES];
    let mut long_term = 0u32;
    for r in references.all() {
        differences[usize::from(r.place)] = difference(r.poc);
        if r.long_term {
            long_term |= 1 << (15 - r.place);
        }
    }
    w.set(pic::longtermflag, long_term);
    w.set_all(pic::RefDiffPicOrderCnts, differences);
    let [mut list0, mut list1] = [[[place]; LIST_ENTRIES]; 2];
    if total > 0 {
        list0.iter_mut().zip(references.all().iter().cycle()).for_each(|(entry, r)| *entry = [r.place]);
        list1.iter_mut().zip(references.list1().cycle()).for_each(|(entry, r)| *entry = [r.place]);
    }
    w.set_all(pic::initreflistidxl0, list0);
    w.set_all(pic::initreflistidxl1, list1);
}

#[cfg(test)]
mod tests;
