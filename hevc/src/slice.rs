//! `slice_segment_header()` (7.3.6.1), with the bit positions that hardware decoders ask for.

mod parse;
mod weights;

pub use weights::{PredWeight, PredWeightTable};

use bitstream::{BitReader, Rbsp};

use crate::error::{Error, Place, Structure};
use crate::nal::NalHeader;
use crate::sps::Sps;
use crate::st_ref_pic_set::{LongTermRefPic, StRefPicSet};

pub(crate) use parse::HeaderStart;

/// `slice_type` (Table 7-7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SliceType {
    /// 0: two reference picture lists.
    B,
    /// 1: one reference picture list.
    P,
    /// 2: intra prediction only.
    I,
}

impl SliceType {
    /// B or P.
    pub fn is_inter(self) -> bool {
        self != Self::I
    }
}

/// `ref_pic_lists_modification()` (7.3.6.2).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct RefPicListsModification {
    /// `list_entry_l0`, when `ref_pic_list_modification_flag_l0` is set.
    pub list_entry_l0: Option<Vec<u8>>,
    /// `list_entry_l1`, when `ref_pic_list_modification_flag_l1` is set.
    pub list_entry_l1: Option<Vec<u8>>,
}

/// Where things are in the bits of a slice segment header.
///
/// RBSP positions count from the first bit after the NAL unit header, emulation prevention removed. For a dependent
/// slice segment, all but the entry points and the header sizes are those of the independent slice segment it continues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct HeaderPositions {
    /// RBSP bit just after `slice_type`.
    pub slice_type_end: u32,
    /// RBSP bit at which `slice_temporal_mvp_enabled_flag` starts, or would start if it were present.
    pub temporal_mvp_flag_start: u32,
    /// Size of `st_ref_pic_set()` in the slice header in bits; 0 when the set is taken from the SPS and for IDR pictures.
    pub short_term_ref_pic_set_size: u32,
    /// Whether an `emulation_prevention_three_byte` lies between `slice_type_end` and `temporal_mvp_flag_start`.
    pub emulation_prevention_in_skipped: bool,
    /// RBSP bit at which the first `entry_point_offset_minus1` starts, if there is one.
    pub entry_points_start: u32,
    /// Bytes of the slice segment header in the RBSP, `byte_alignment()` included.
    pub header_size_rbsp: u32,
    /// Offset of the first byte of `slice_segment_data()` in the NAL unit as transmitted: NAL unit header and emulation
    /// prevention bytes included.
    pub data_offset_in_nal: u32,
}

/// A slice segment header; a dependent one has the values of the independent one it continues (7.4.7.1).
///
/// Values that are absent from the stream have the value the standard infers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SliceHeader {
    /// `first_slice_segment_in_pic_flag`.
    pub first_slice_segment_in_pic_flag: bool,
    /// `no_output_of_prior_pics_flag` as coded; see also
    /// [`Picture::no_output_of_prior_pics_flag`](crate::Picture::no_output_of_prior_pics_flag).
    pub no_output_of_prior_pics_flag: bool,
    /// `slice_pic_parameter_set_id`.
    pub slice_pic_parameter_set_id: u8,
    /// `dependent_slice_segment_flag`.
    pub dependent_slice_segment_flag: bool,
    /// `slice_segment_address`, the first CTB of the segment in the CTB raster scan of the picture.
    pub slice_segment_address: u32,
    /// `SliceAddrRs`: address of the independent slice segment.
    pub slice_addr_rs: u32,
    /// `slice_reserved_flag[i]` is bit i.
    pub slice_reserved_flags: u8,
    /// `slice_type`.
    pub slice_type: SliceType,
    /// `pic_output_flag`.
    pub pic_output_flag: bool,
    /// `colour_plane_id`.
    pub colour_plane_id: u8,
    /// `slice_pic_order_cnt_lsb`, 0 for IDR pictures.
    pub slice_pic_order_cnt_lsb: u32,
    /// `short_term_ref_pic_set_sps_flag`.
    pub short_term_ref_pic_set_sps_flag: bool,
    /// `short_term_ref_pic_set_idx`.
    pub short_term_ref_pic_set_idx: u8,
    /// `st_ref_pic_set( num_short_term_ref_pic_sets )`, when it is in the slice header.
    pub st_ref_pic_set: Option<StRefPicSet>,
    /// `NumDeltaPocs[RefRpsIdx]` of the set that `st_ref_pic_set` was predicted from.
    pub ref_rps_num_delta_pocs: Option<u8>,
    /// `num_long_term_sps`.
    pub num_long_term_sps: u8,
    /// `num_long_term_sps + num_long_term_pics` entries.
    pub long_term_ref_pics: Vec<LongTermRefPic>,
    /// `slice_temporal_mvp_enabled_flag`.
    pub slice_temporal_mvp_enabled_flag: bool,
    /// `slice_sao_luma_flag`.
    pub slice_sao_luma_flag: bool,
    /// `slice_sao_chroma_flag`.
    pub slice_sao_chroma_flag: bool,
    /// `num_ref_idx_active_override_flag`.
    pub num_ref_idx_active_override_flag: bool,
    /// `num_ref_idx_l0_active_minus1 + 1`; 0 in I slices.
    pub num_ref_idx_l0_active: u8,
    /// `num_ref_idx_l1_active_minus1 + 1`; 0 in I and P slices.
    pub num_ref_idx_l1_active: u8,
    /// `NumPicTotalCurr` (7-55), of I slices too.
    pub num_pic_total_curr: u8,
    /// `ref_pic_lists_modification()`.
    pub ref_pic_lists_modification: RefPicListsModification,
    /// `mvd_l1_zero_flag`.
    pub mvd_l1_zero_flag: bool,
    /// `cabac_init_flag`.
    pub cabac_init_flag: bool,
    /// `collocated_from_l0_flag`.
    pub collocated_from_l0_flag: bool,
    /// `collocated_ref_idx`.
    pub collocated_ref_idx: u8,
    /// `pred_weight_table()`.
    pub pred_weight_table: Option<Box<PredWeightTable>>,
    /// `MaxNumMergeCand`: `5 - five_minus_max_num_merge_cand`, 1 to 5; 0 in I slices.
    pub max_num_merge_cand: u8,
    /// `slice_qp_delta`.
    pub slice_qp_delta: i8,
    /// `slice_cb_qp_offset`.
    pub slice_cb_qp_offset: i8,
    /// `slice_cr_qp_offset`.
    pub slice_cr_qp_offset: i8,
    /// `cu_chroma_qp_offset_enabled_flag`.
    pub cu_chroma_qp_offset_enabled_flag: bool,
    /// `deblocking_filter_override_flag`.
    pub deblocking_filter_override_flag: bool,
    /// `slice_deblocking_filter_disabled_flag`.
    pub slice_deblocking_filter_disabled_flag: bool,
    /// `slice_beta_offset_div2`.
    pub slice_beta_offset_div2: i8,
    /// `slice_tc_offset_div2`.
    pub slice_tc_offset_div2: i8,
    /// `slice_loop_filter_across_slices_enabled_flag`.
    pub slice_loop_filter_across_slices_enabled_flag: bool,
    /// `offset_len_minus1 + 1`; 0 without entry points.
    pub offset_len: u8,
    /// `num_entry_point_offsets`: one per tile or CTB row after the first. For what they are, see
    /// [`entry_point_offset_minus1`](Self::entry_point_offset_minus1).
    pub num_entry_point_offsets: u32,
    /// `slice_segment_header_extension_length`, 0 to 256.
    pub slice_segment_header_extension_length: u16,
    /// Bit positions.
    pub positions: HeaderPositions,
}

/// The set of a picture without any: IDR.
static EMPTY_SET: StRefPicSet = StRefPicSet::EMPTY;

impl SliceHeader {
    /// The short-term reference picture set of the slice: its own, that of the SPS, or an empty one (IDR).
    pub fn short_term_ref_pic_set<'a>(&'a self, sps: &'a Sps) -> &'a StRefPicSet {
        if let Some(set) = &self.st_ref_pic_set {
            set
        } else if self.short_term_ref_pic_set_sps_flag {
            sps.short_term_ref_pic_sets
                .get(usize::from(self.short_term_ref_pic_set_idx))
                .unwrap_or(&EMPTY_SET)
        } else {
            &EMPTY_SET
        }
    }

    /// RBSP bits from just after `slice_type` up to, not including, `slice_temporal_mvp_enabled_flag`:
    /// `pic_output_flag`, `colour_plane_id`, `slice_pic_order_cnt_lsb`, the short-term reference picture set and the
    /// long-term reference pictures; of an IDR picture only the first two.
    ///
    /// The standard requires these elements to be equal in all slice segments of a picture, so the value is one of the
    /// picture. Hardware that parses slice headers itself but is handed the reference picture set skips so many bits.
    pub fn hw_header_skip_bits(&self) -> u32 {
        self.positions.temporal_mvp_flag_start - self.positions.slice_type_end
    }

    /// `entry_point_offset_minus1[i]`, from `nal`, the NAL unit that the header is of. Many decoders do without, so they are read
    /// for those who ask; they are not checked against the size of the slice segment data.
    ///
    /// # Errors
    /// [`Error::Syntax`] if `nal` ends before they do: it is another one.
    pub fn entry_point_offset_minus1(&self, nal: &[u8]) -> Result<Vec<u32>, Error> {
        const ELEMENT: &str = "entry_point_offset_minus1";
        let rbsp = Rbsp::new(nal.get(NalHeader::SIZE..).unwrap_or_default());
        let r = &mut BitReader::new(rbsp.bytes(), Place::new(Structure::SliceSegmentHeader));
        r.skip(self.positions.entry_points_start as usize, ELEMENT)?;
        let offsets = (0..self.num_entry_point_offsets).map(|_| r.u(u32::from(self.offset_len), ELEMENT));
        Ok(offsets.collect::<Result<_, _>>()?)
    }

    /// Whether an emulation prevention byte stands within the bits of [`hw_header_skip_bits`](Self::hw_header_skip_bits),
    /// which counts RBSP bits.
    pub fn hw_header_skip_has_emulation_prevention(&self) -> bool {
        self.positions.emulation_prevention_in_skipped
    }
}
