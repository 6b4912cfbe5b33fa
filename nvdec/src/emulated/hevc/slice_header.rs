//! `slice_segment_header()` (7.3.6.1) as the engine reads it: what the driver has parsed already is skipped by
//! its length, what parameter sets say comes from the descriptor.

use bitstream::SyntaxError;
use hevc::error::{Place, Structure};
use nvkernel_sys::video::hevc_pic as pic;

use super::setup::Setup;

type Result<T> = std::result::Result<T, SyntaxError<Place>>;
type BitReader<'a> = bitstream::BitReader<'a, Place>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SliceType {
    B,
    P,
    I,
}

/// Explicit weights of one entry of a reference list, offsets in units of the samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Weights {
    /// Y, Cb, Cr.
    pub(super) weight: [i32; 3],
    pub(super) offset: [i32; 3],
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WeightTable {
    /// `luma_log2_weight_denom` and `ChromaLog2WeightDenom`.
    pub(super) log2_denom: [u32; 2],
    pub(super) lists: [Vec<Weights>; 2],
}

/// A slice segment header. A dependent segment repeats its slice's values.
#[derive(Clone, Debug)]
pub(super) struct SliceHeader {
    pub(super) dependent: bool,
    /// `slice_segment_address`.
    pub(super) address: u32,
    /// `SliceAddrRs`.
    pub(super) slice_address: u32,
    pub(super) slice_type: SliceType,
    pub(super) temporal_mvp: bool,
    pub(super) sao: [bool; 2],
    /// `num_ref_idx_l0_active_minus1 + 1` and that of list 1; 0 where there is no list.
    pub(super) num_ref_idx: [u8; 2],
    /// `list_entry_l0` and `list_entry_l1`, empty without modification.
    pub(super) list_entries: [Vec<u8>; 2],
    pub(super) mvd_l1_zero: bool,
    pub(super) cabac_init: bool,
    pub(super) collocated_from_l0: bool,
    pub(super) collocated_ref_idx: u8,
    pub(super) weights: Option<WeightTable>,
    pub(super) max_num_merge_cand: u8,
    pub(super) slice_qp_delta: i32,
    pub(super) cb_qp_offset: i32,
    pub(super) cr_qp_offset: i32,
    pub(super) deblocking_disabled: bool,
    pub(super) beta_offset_div2: i32,
    pub(super) tc_offset_div2: i32,
    pub(super) loop_filter_across: bool,
    /// Where the slice segment data begin in the RBSP behind the NAL unit header, in bytes.
    pub(super) data: usize,
}

impl SliceHeader {
    /// Parses the RBSP behind the NAL unit header. `before` is the header of the slice segment before, which a
    /// dependent segment continues.
    pub(super) fn parse(rbsp: &[u8], setup: &Setup, before: Option<&SliceHeader>) -> Result<SliceHeader> {
        let mut r = BitReader::new(rbsp, Place::new(Structure::SliceSegmentHeader));
        let first = r.flag("first_slice_segment_in_pic_flag")?;
        if setup.flag(pic::RAP_picture_flag) {
            r.flag("no_output_of_prior_pics_flag")?;
        }
        r.ue_max(63, "slice_pic_parameter_set_id")?;
        let (mut dependent, mut address) = (false, 0);
        if !first {
            if setup.flag(pic::dependent_slice_segments_enabled_flag) {
                dependent = r.flag("dependent_slice_segment_flag")?;
            }
            let bits = setup.ctbs().next_power_of_two().trailing_zeros();
            address = r.u(bits, "slice_segment_address")?;
            r.check("slice_segment_address", address.into(), 0, i64::from(setup.ctbs()) - 1)?;
        }
        let mut header = if dependent {
            let Some(before) = before else {
                r.check("dependent_slice_segment_flag", 1, 0, 0)?;
                unreachable!("1 is outside 0..=0");
            };
            SliceHeader { dependent, address, ..before.clone() }
        } else {
            independent(&mut r, setup, address)?
        };
        if setup.flag(pic::tiles_enabled_flag) || setup.flag(pic::entropy_coding_sync_enabled_flag) {
            let (columns, rows) = setup.tiles();
            // 7.4.7.1: a substream for each tile and, with wavefronts, for each row of it.
            let most = match setup.flag(pic::entropy_coding_sync_enabled_flag) {
                true => columns * setup.ctb_rows(),
                false => columns * rows,
            };
            let count = r.ue_max(most - 1, "num_entry_point_offsets")?;
            if count > 0 {
                let bits = r.ue_max(31, "offset_len_minus1")? + 1;
                r.skip((count * bits) as usize, "entry_point_offset_minus1")?;
            }
        }
        if setup.flag(pic::slice_segment_header_extension_present_flag) {
            let bytes = r.ue_max(256, "slice_segment_header_extension_length")?;
            r.skip(8 * bytes as usize, "slice_segment_header_extension_data_byte")?;
        }
        r.one_then_zeros("alignment_bit_equal_to_one", "alignment_bit_equal_to_zero")?;
        header.data = r.byte_position();
        Ok(header)
    }
}

/// Everything from `slice_reserved_flag` to the entry points.
fn independent(r: &mut BitReader<'_>, setup: &Setup, address: u32) -> Result<SliceHeader> {
    r.skip(usize::from(setup.byte(pic::num_extra_slice_header_bits)), "slice_reserved_flag")?;
    let slice_type = match r.ue_max(2, "slice_type")? {
        0 => SliceType::B,
        1 => SliceType::P,
        _ => SliceType::I,
    };
    // pic_output_flag to the reference picture sets: the driver's business.
    r.skip(setup.word(pic::sw_hdr_skip_length) as usize, "sw_hdr_skip_length")?;
    let mut h = SliceHeader {
        dependent: false,
        address,
        slice_address: address,
        slice_type,
        temporal_mvp: false,
        sao: [false; 2],
        num_ref_idx: [0; 2],
        list_entries: [Vec::new(), Vec::new()],
        mvd_l1_zero: false,
        cabac_init: false,
        collocated_from_l0: true,
        collocated_ref_idx: 0,
        weights: None,
        max_num_merge_cand: 5,
        slice_qp_delta: 0,
        cb_qp_offset: 0,
        cr_qp_offset: 0,
        deblocking_disabled: setup.flag(pic::pps_deblocking_filter_disabled_flag),
        beta_offset_div2: setup.get(pic::pps_beta_offset) / 2,
        tc_offset_div2: setup.get(pic::pps_tc_offset) / 2,
        loop_filter_across: setup.flag(pic::loop_filter_across_slices_enabled_flag),
        data: 0,
    };
    if setup.flag(pic::sps_temporal_mvp_enabled_flag) && !setup.flag(pic::IDR_picture_flag) {
        h.temporal_mvp = r.flag("slice_temporal_mvp_enabled_flag")?;
    }
    if setup.flag(pic::sample_adaptive_offset_enabled_flag) {
        h.sao = [r.flag("slice_sao_luma_flag")?, r.flag("slice_sao_chroma_flag")?];
    }
    if slice_type != SliceType::I {
        inter(r, setup, &mut h)?;
    }
    h.slice_qp_delta = r.se_range(-127, 127, "slice_qp_delta")?;
    let qp = setup.get(pic::init_qp) - setup.qp_bd_offset() + h.slice_qp_delta;
    r.check("slice_qp_delta", qp.into(), i64::from(-setup.qp_bd_offset()), 51)?;
    if setup.flag(pic::pps_slice_chroma_qp_offsets_present_flag) {
        h.cb_qp_offset = r.se_range(-12, 12, "slice_cb_qp_offset")?;
        h.cr_qp_offset = r.se_range(-12, 12, "slice_cr_qp_offset")?;
        for (pps, slice) in [(pic::pps_cb_qp_offset, h.cb_qp_offset), (pic::pps_cr_qp_offset, h.cr_qp_offset)]
        {
            r.check("slice_cb_qp_offset", i64::from(setup.get(pps) + slice), -12, 12)?;
        }
    }
    if setup.flag(pic::deblocking_filter_override_enabled_flag)
        && r.flag("deblocking_filter_override_flag")?
    {
        h.deblocking_disabled = r.flag("slice_deblocking_filter_disabled_flag")?;
        if !h.deblocking_disabled {
            h.beta_offset_div2 = r.se_range(-6, 6, "slice_beta_offset_div2")?;
            h.tc_offset_div2 = r.se_range(-6, 6, "slice_tc_offset_div2")?;
        }
    }
    if setup.flag(pic::loop_filter_across_slices_enabled_flag)
        && (h.sao[0] || h.sao[1] || !h.deblocking_disabled)
    {
        h.loop_filter_across = r.flag("slice_loop_filter_across_slices_enabled_flag")?;
    }
    Ok(h)
}

/// The part that only P and B slices have.
fn inter(r: &mut BitReader<'_>, setup: &Setup, h: &mut SliceHeader) -> Result<()> {
    let b = h.slice_type == SliceType::B;
    h.num_ref_idx[0] = setup.byte(pic::num_ref_idx_l0_default_active);
    if b {
        h.num_ref_idx[1] = setup.byte(pic::num_ref_idx_l1_default_active);
    }
    if r.flag("num_ref_idx_active_override_flag")? {
        h.num_ref_idx[0] = r.ue8(14, "num_ref_idx_l0_active_minus1")? + 1;
        if b {
            h.num_ref_idx[1] = r.ue8(14, "num_ref_idx_l1_active_minus1")? + 1;
        }
    }
    // The engine knows NumPicTotalCurr from the descriptor alone.
    let total = setup.word(pic::num_ref_frames);
    r.check("slice_type", total.into(), 1, 16)?;
    if setup.flag(pic::lists_modification_present_flag) && total > 1 {
        let bits = total.next_power_of_two().trailing_zeros();
        let names = [
            ("ref_pic_list_modification_flag_l0", "list_entry_l0"),
            ("ref_pic_list_modification_flag_l1", "list_entry_l1"),
        ];
        for (list, (flag, element)) in names.into_iter().enumerate().take(1 + usize::from(b)) {
            if r.flag(flag)? {
                for _ in 0..h.num_ref_idx[list] {
                    let entry = r.u8(bits, element)?;
                    r.check(element, entry.into(), 0, i64::from(total) - 1)?;
                    h.list_entries[list].push(entry);
                }
            }
        }
    }
    if b {
        h.mvd_l1_zero = r.flag("mvd_l1_zero_flag")?;
    }
    if setup.flag(pic::cabac_init_present_flag) {
        h.cabac_init = r.flag("cabac_init_flag")?;
    }
    if h.temporal_mvp {
        if b {
            h.collocated_from_l0 = r.flag("collocated_from_l0_flag")?;
        }
        let entries = h.num_ref_idx[usize::from(!h.collocated_from_l0)];
        if entries > 1 {
            h.collocated_ref_idx = r.ue8(entries - 1, "collocated_ref_idx")?;
        }
    }
    let weighted = if b { pic::weighted_bipred_flag } else { pic::weighted_pred_flag };
    if setup.flag(weighted) {
        h.weights = Some(weights(r, setup, h.num_ref_idx)?);
    }
    h.max_num_merge_cand = 5 - r.ue8(4, "five_minus_max_num_merge_cand")?;
    Ok(())
}

/// `pred_weight_table()` (7.3.6.3).
fn weights(r: &mut BitReader<'_>, setup: &Setup, num_ref_idx: [u8; 2]) -> Result<WeightTable> {
    let luma = r.ue_max(7, "luma_log2_weight_denom")?;
    let delta = r.se_range(-7, 7, "delta_chroma_log2_weight_denom")?;
    let chroma = luma as i32 + delta;
    r.check("delta_chroma_log2_weight_denom", chroma.into(), 0, 7)?;
    let log2_denom = [luma, chroma as u32];
    let shift = setup.bit_depth() - 8;
    let mut lists = [Vec::new(), Vec::new()];
    for (list, count) in lists.iter_mut().zip(num_ref_idx) {
        // With an inter-layer or current-picture reference there could be fewer flags; there are none here.
        let mut flags = |name| (0..count).map(|_| r.flag(name)).collect::<Result<Vec<bool>>>();
        let luma_flags = flags("luma_weight_l0_flag")?;
        let chroma_flags = flags("chroma_weight_l0_flag")?;
        for (luma_flag, chroma_flag) in luma_flags.into_iter().zip(chroma_flags) {
            let [y, c] = log2_denom.map(|d| 1 << d);
            let mut w = Weights { weight: [y, c, c], offset: [0; 3] };
            if luma_flag {
                w.weight[0] += r.se_range(-128, 127, "delta_luma_weight_l0")?;
                w.offset[0] = r.se_range(-128, 127, "luma_offset_l0")? << shift;
            }
            if chroma_flag {
                for i in 1..3 {
                    w.weight[i] += r.se_range(-128, 127, "delta_chroma_weight_l0")?;
                    let delta = r.se_range(-512, 511, "delta_chroma_offset_l0")?;
                    // (7-56), with wpOffsetHalfRangeC = 128
                    let offset = (128 + delta - ((128 * w.weight[i]) >> log2_denom[1])).clamp(-128, 127);
                    w.offset[i] = offset << shift;
                }
            }
            list.push(w);
        }
    }
    Ok(WeightTable { log2_denom, lists })
}
