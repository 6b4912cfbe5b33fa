//! NAL units and slice segment headers of a capture, by the names of H.265.

use bitstream::split_annex_b;
use hevc::nal::NalHeader;
use hevc::slice::{PredWeight, SliceHeader};
use hevc::{Parser, SliceType, StartAt, Unit};
use nvkernel_sys::video;
use serde::Serialize;
use serde_json::{Value, json};

use super::capture::Capture;
use super::codecs::CodecRow;
use crate::exit::Failure;
use crate::parse::text;

/// A NAL unit of a picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NalText {
    /// Name of `nal_unit_type`.
    pub kind: String,
    /// Bytes without start code.
    pub bytes: usize,
    /// Offset in the slice data, start code not counted; `None` for what is not given to the engine.
    pub at: Option<usize>,
    /// A parameter set in words.
    pub summary: Option<String>,
    /// Elements of a slice segment header, in the order of the standard.
    pub header: Vec<(&'static str, Value)>,
    /// Why it cannot be parsed.
    pub error: Option<String>,
}

/// Reads the NAL units of a capture, picture by picture: each one depends on those before.
pub struct SyntaxReader<'a> {
    capture: &'a Capture,
    parser: Parser,
    nal_units: u32,
    next: usize,
}

impl<'a> SyntaxReader<'a> {
    /// At the start of a capture.
    pub fn new(capture: &'a Capture) -> SyntaxReader<'a> {
        let mut parser = Parser::new();
        // A capture may begin anywhere.
        parser.set_start_at(StartAt::Any);
        SyntaxReader { capture, parser, nal_units: 0, next: 0 }
    }

    /// NAL units of picture `index`: parameter sets since the picture before, then slice segments.
    ///
    /// # Errors
    ///
    /// Of reading the capture. What cannot be parsed says so itself.
    pub fn picture(&mut self, index: usize) -> Result<Vec<NalText>, Failure> {
        let mut found = Vec::new();
        while self.next <= index {
            found.clear();
            let picture = &self.capture.pictures()[self.next];
            while self.nal_units < picture.nal_units {
                let nal = self.capture.nal_unit(self.nal_units)?;
                found.push(self.parse(&nal, None));
                self.nal_units += 1;
            }
            let stream = match CodecRow::of_name(&picture.codec) {
                Some(_) => self.capture.data(picture, video::SET_IN_BUF_BASE_OFFSET)?.unwrap_or_default(),
                // Slice data of another codec are no NAL units of this one.
                None => Vec::new(),
            };
            for nal in split_annex_b(&stream) {
                let at = nal.as_ptr() as usize - stream.as_ptr() as usize;
                found.push(self.parse(nal, Some(at)));
            }
            self.next += 1;
        }
        Ok(found)
    }

    fn parse(&mut self, nal: &[u8], at: Option<usize>) -> NalText {
        let kind =
            NalHeader::parse(nal).map_or_else(|_| "?".to_owned(), |h| h.nal_unit_type.name().to_owned());
        let mut text = NalText { kind, bytes: nal.len(), at, summary: None, header: Vec::new(), error: None };
        match self.parser.parse(nal) {
            Ok(Unit::Vps(vps)) => text.summary = Some(text::vps(&vps)),
            Ok(Unit::Sps(sps)) => text.summary = Some(text::sps(&sps)),
            Ok(Unit::Pps(pps)) => text.summary = Some(text::pps(&pps)),
            Ok(Unit::Slice(slice)) => text.header = header(&slice.header),
            Ok(_) => {}
            Err(error) => text.error = Some(error.to_string()),
        }
        text
    }
}

/// A slice segment header, element by element. Flags that are 0 and what is absent are left out.
fn header(h: &SliceHeader) -> Vec<(&'static str, Value)> {
    let mut list: Vec<(&'static str, Value)> = Vec::new();
    let mut put = |name, value: Value| list.push((name, value));
    put("first_slice_segment_in_pic_flag", u8::from(h.first_slice_segment_in_pic_flag).into());
    put("slice_pic_parameter_set_id", h.slice_pic_parameter_set_id.into());
    put("dependent_slice_segment_flag", u8::from(h.dependent_slice_segment_flag).into());
    put("slice_segment_address", h.slice_segment_address.into());
    if !h.dependent_slice_segment_flag {
        let kind = match h.slice_type {
            SliceType::B => "B",
            SliceType::P => "P",
            SliceType::I => "I",
        };
        put("slice_type", kind.into());
        put("slice_pic_order_cnt_lsb", h.slice_pic_order_cnt_lsb.into());
        put("short_term_ref_pic_set_sps_flag", u8::from(h.short_term_ref_pic_set_sps_flag).into());
        put("short_term_ref_pic_set_idx", h.short_term_ref_pic_set_idx.into());
        if let Some(set) = &h.st_ref_pic_set {
            let pictures = |list: &[hevc::st_ref_pic_set::StRefPic]| -> Value {
                list.iter().map(|p| json!([p.delta_poc, u8::from(p.used_by_curr_pic)])).collect()
            };
            put("st_ref_pic_set", json!([pictures(set.negative()), pictures(set.positive())]));
        }
        if !h.long_term_ref_pics.is_empty() {
            let pictures = h.long_term_ref_pics.iter().map(|p| {
                json!({"PocLsbLt": p.poc_lsb_lt, "UsedByCurrPicLt": u8::from(p.used_by_curr_pic_lt),
                       "DeltaPocMsbCycleLt": p.delta_poc_msb_cycle_lt})
            });
            put("long_term_ref_pics", pictures.collect());
        }
        put("slice_temporal_mvp_enabled_flag", u8::from(h.slice_temporal_mvp_enabled_flag).into());
        put("slice_sao_luma_flag", u8::from(h.slice_sao_luma_flag).into());
        put("slice_sao_chroma_flag", u8::from(h.slice_sao_chroma_flag).into());
        put("NumPicTotalCurr", h.num_pic_total_curr.into());
        if h.slice_type.is_inter() {
            inter(h, &mut put);
        }
        put("slice_qp_delta", h.slice_qp_delta.into());
        for (name, value) in [
            ("slice_cb_qp_offset", h.slice_cb_qp_offset),
            ("slice_cr_qp_offset", h.slice_cr_qp_offset),
            ("slice_beta_offset_div2", h.slice_beta_offset_div2),
            ("slice_tc_offset_div2", h.slice_tc_offset_div2),
        ] {
            put(name, value.into());
        }
        for (name, flag) in [
            ("cu_chroma_qp_offset_enabled_flag", h.cu_chroma_qp_offset_enabled_flag),
            ("deblocking_filter_override_flag", h.deblocking_filter_override_flag),
            ("slice_deblocking_filter_disabled_flag", h.slice_deblocking_filter_disabled_flag),
            ("slice_loop_filter_across_slices_enabled_flag", h.slice_loop_filter_across_slices_enabled_flag),
        ] {
            put(name, u8::from(flag).into());
        }
    }
    put("num_entry_point_offsets", h.num_entry_point_offsets.into());
    put("slice_segment_header_extension_length", h.slice_segment_header_extension_length.into());
    if !h.dependent_slice_segment_flag {
        put("sw_hdr_skip_length by the header", h.hw_header_skip_bits().into());
    }
    put("header bytes", h.positions.header_size_rbsp.into());
    let always = ["slice_type", "slice_segment_address", "sw_hdr_skip_length by the header"];
    list.retain(|(name, value)| always.contains(name) || *value != json!(0));
    list
}

/// What only P and B slices have.
fn inter(h: &SliceHeader, put: &mut impl FnMut(&'static str, Value)) {
    put("num_ref_idx_active_override_flag", u8::from(h.num_ref_idx_active_override_flag).into());
    put("num_ref_idx_l0_active", h.num_ref_idx_l0_active.into());
    put("num_ref_idx_l1_active", h.num_ref_idx_l1_active.into());
    let lists = &h.ref_pic_lists_modification;
    for (name, entries) in [("list_entry_l0", &lists.list_entry_l0), ("list_entry_l1", &lists.list_entry_l1)]
    {
        if let Some(entries) = entries {
            put(name, json!(entries));
        }
    }
    put("mvd_l1_zero_flag", u8::from(h.mvd_l1_zero_flag).into());
    put("cabac_init_flag", u8::from(h.cabac_init_flag).into());
    if h.slice_temporal_mvp_enabled_flag {
        put("collocated_from_l0_flag", u8::from(h.collocated_from_l0_flag).into());
        put("collocated_ref_idx", h.collocated_ref_idx.into());
    }
    if let Some(table) = &h.pred_weight_table {
        let entry = |w: &PredWeight| {
            json!({"luma": [w.delta_luma_weight, w.luma_offset],
                   "chroma": [[w.delta_chroma_weight[0], w.delta_chroma_offset[0]],
                              [w.delta_chroma_weight[1], w.delta_chroma_offset[1]]]})
        };
        put(
            "pred_weight_table",
            json!({"luma_log2_weight_denom": table.luma_log2_weight_denom,
                   "ChromaLog2WeightDenom": table.chroma_log2_weight_denom,
                   "l0": table.l0.iter().map(entry).collect::<Vec<_>>(),
                   "l1": table.l1.iter().map(entry).collect::<Vec<_>>()}),
        );
    }
    put("MaxNumMergeCand", h.max_num_merge_cand.into());
}
