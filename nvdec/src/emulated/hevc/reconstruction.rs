//! The seam to `rusty_h265`, whose slice decoder and loop filters make the samples.
//!
//! The library is used below its own decoder: nothing here comes from its parser of parameter sets and slice
//! headers, from its picture buffer or its order counts. What it is told is what the engine knows.
//!
//! Order counts: the current picture is 0, a reference is the negative of its difference in the descriptor.
//! The library tells pictures apart by them, so that differences clipped to the same value are spread beyond
//! the clipping range, where all arithmetic on them clips them again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use nvkernel_sys::video::hevc_pic as pic;
use rusty_h265::ctu::{Ablate, CtxStore, ScalingFactors, SliceDecoder, SliceInputs};
use rusty_h265::decoder::{CurrentPicture, FilterScratch, RefLists, RefPic};
use rusty_h265::filters::apply_in_loop_filters;
use rusty_h265::frame::Picture;
use rusty_h265::nal::{NalType, Rbsp, unescape};
use rusty_h265::pic::{Motion, PRED_INTRA, PRED_NONE, PRED_SKIP, PicState, SeqTables};
use rusty_h265::ps::{Pps, ScalingList, Sps, TileLayout};
use rusty_h265::slice as library;
use rusty_h265::tables::{DIAG_4X4, DIAG_8X8};

use super::motion::BlockMotion;
use super::setup::{ScalingMatrices, Setup, TileSizes};
use super::slice_header::{SliceHeader, SliceType, WeightTable};
use crate::emulated::application::Refusal;

/// The payload of a slice segment, emulation prevention removed.
pub(super) struct Payload(Rbsp);

impl Payload {
    /// From the bytes behind a NAL unit header.
    pub(super) fn new(escaped: &[u8]) -> Payload {
        Payload(unescape(escaped))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0.data
    }
}

/// Samples behind the last one of a plane, which belong to no picture.
///
/// The library's interpolation reads whole vectors. For blocks whose width is no multiple of its vectors that is up
/// to 4 samples more than the filter needs (`fir_h_sse2_tail` of `rusty_h265-accel` 0.6.2, under AVX2), which at the
/// end of a plane lie behind it. The values do not count, but the memory has to be the plane's. One AVX2 vector is
/// more than any kernel can read too far.
const ROOM: usize = 16;

/// Samples of a picture: planes Y, Cb and Cr, 4:2:0, their lines without padding, [`ROOM`] behind the last one.
#[derive(Clone)]
pub(super) struct Samples(Arc<Picture>);

impl Samples {
    pub(super) fn new(width: usize, height: usize, bit_depth: u8) -> Samples {
        let mut picture = Picture::new(width, height, 1, bit_depth, bit_depth);
        for plane in &mut picture.planes {
            plane.data = vec![0; plane.stride * plane.height + ROOM];
        }
        Samples(Arc::new(picture))
    }

    pub(super) fn planes(&self) -> [&[u16]; 3] {
        self.0.planes.each_ref().map(|plane| &plane.data[..plane.stride * plane.height])
    }

    /// The planes, if these samples are not shared.
    pub(super) fn planes_mut(&mut self) -> Option<[&mut [u16]; 3]> {
        let picture = Arc::get_mut(&mut self.0)?;
        Some(picture.planes.each_mut().map(|plane| &mut plane.data[..plane.stride * plane.height]))
    }

    /// Whether the samples are of such a picture.
    pub(super) fn fits(&self, width: usize, height: usize, bit_depth: u8) -> bool {
        (self.0.width(), self.0.height(), self.0.bit_depth_luma) == (width, height, bit_depth)
    }
}

/// An entry of a reference list.
pub(super) struct Reference {
    pub(super) samples: Samples,
    /// Order count, the current picture being 0.
    pub(super) poc: i32,
    pub(super) long_term: bool,
}

/// Order counts for places of the picture table whose differences are `differences`, no two the same unless two
/// differences inside the clipping range are.
pub(super) fn order_counts(differences: &[(u8, i32)]) -> Vec<(u8, i32)> {
    let mut counts: Vec<(u8, i32)> = Vec::with_capacity(differences.len());
    for &(place, difference) in differences {
        let mut poc = -difference;
        let step = match difference {
            127 => -1,
            -128 => 1,
            _ => 0,
        };
        while step != 0 && counts.iter().any(|(_, known)| *known == poc) {
            poc += step;
        }
        counts.push((place, poc));
    }
    counts
}

/// Why a slice segment could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SegmentError {
    #[error("{0}")]
    Syntax(rusty_h265::Error),
    #[error("the slice decoder panicked")]
    Panic,
}

/// What the picture's parameter sets become, kept while they stay the same.
struct Parameters {
    key: Vec<u8>,
    sps: Arc<Sps>,
    pps: Arc<Pps>,
    tiles: Arc<TileLayout>,
    tables: SeqTables,
}

/// Makes pictures, one at a time.
#[derive(Default)]
pub(super) struct Reconstructor {
    parameters: Option<Parameters>,
    current: Option<CurrentPicture>,
    /// The per-block maps of the picture before.
    state: Option<PicState>,
    filters: FilterScratch,
    slices: u16,
}

impl Reconstructor {
    /// Begins a picture. `samples` is where it will be; what is in there does not matter.
    pub(super) fn begin(
        &mut self,
        setup: &Setup,
        sizes: &TileSizes,
        scaling: Option<&ScalingMatrices>,
        samples: Samples,
    ) -> Result<(), Refusal> {
        let [a, b] = setup.parameters();
        let tile_bytes = sizes.columns.iter().chain(&sizes.rows).flat_map(|n| n.to_le_bytes());
        let key: Vec<u8> = a.iter().chain(b).copied().chain(tile_bytes).collect();
        if self.parameters.as_ref().is_none_or(|p| p.key != key) {
            let (sps, pps) = (sps(setup), pps(setup, sizes));
            let tiles = TileLayout::new(&sps, &pps).map_err(|_| {
                Refusal::of("tile table", setup.ctbs(), "the tiles do not make up the picture")
            })?;
            let tables = SeqTables::build(&sps, &tiles);
            let (sps, pps, tiles) = (Arc::new(sps), Arc::new(pps), Arc::new(tiles));
            self.parameters = Some(Parameters { key, sps, pps, tiles, tables });
        }
        let p = self.parameters.as_ref().expect("just made");
        let mut state = self.state.take();
        if !state.as_mut().is_some_and(|state| state.reuse(&p.sps, &p.tables)) {
            state = None;
        }
        let state = state.unwrap_or_else(|| PicState::with_tables(&p.sps, &p.tables));
        let picture = Arc::try_unwrap(samples.0).unwrap_or_else(|shared| (*shared).clone());
        self.slices = 0;
        self.current = Some(CurrentPicture {
            pic: picture,
            poc: 0,
            sps: p.sps.clone(),
            pps: p.pps.clone(),
            tiles: p.tiles.clone(),
            nal_type: NalType::TrailR,
            temporal_id: 0,
            output_flag: true,
            pts: None,
            last_indep_header: None,
            ref_lists: Vec::new(),
            slice_segments: 0,
            num_refs: 0,
            errored: false,
            state,
            store: CtxStore::default(),
            headers: Vec::new(),
            slice_addr_rs: 0,
            expected_hash: None,
            scaling: scaling.map(|m| ScalingFactors::new(&scaling_list(m))),
        });
        Ok(())
    }

    fn current(&self) -> &CurrentPicture {
        self.current.as_ref().expect("a picture was begun")
    }

    fn current_mut(&mut self) -> &mut CurrentPicture {
        self.current.as_mut().expect("a picture was begun")
    }

    /// Position in decoding order (tile scan) of the coding tree block at a raster address.
    pub(super) fn tile_scan(&self, rs: u32) -> u32 {
        self.current().tiles.rs_to_ts[rs as usize]
    }

    /// Raster address of a coding tree block by its position in decoding order.
    pub(super) fn raster(&self, ts: u32) -> u32 {
        self.current().tiles.ts_to_rs[ts as usize]
    }

    /// Whether the coding tree block at a raster address is decoded.
    pub(super) fn is_done(&self, rs: u32) -> bool {
        self.current().state.ctb_done[rs as usize]
    }

    /// Decodes a slice segment.
    pub(super) fn segment(
        &mut self,
        header: &SliceHeader,
        payload: &Payload,
        lists: &[Vec<Reference>; 2],
    ) -> Result<(), SegmentError> {
        let slice_idx = self.slices;
        self.slices = self.slices.saturating_add(1);
        let cur = self.current_mut();
        let [l0, l1] = lists.each_ref().map(|list| {
            list.iter()
                .map(|r| RefPic { pic: r.samples.0.clone(), poc: r.poc, is_long_term: r.long_term })
                .collect()
        });
        let refs = RefLists { l0, l1 };
        let sh = slice_header(header, &cur.pps);
        let (sps, pps, tiles) = (cur.sps.clone(), cur.pps.clone(), cur.tiles.clone());
        let result = catch_unwind(AssertUnwindSafe(|| {
            SliceDecoder::new(SliceInputs {
                sps: &sps,
                pps: &pps,
                sh: &sh,
                tiles: &tiles,
                pic: &mut cur.pic,
                st: &mut cur.state,
                store: &mut cur.store,
                rbsp: &payload.0,
                scaling: cur.scaling.as_ref(),
                refs: &refs,
                poc: 0,
                ablate: Ablate::default(),
                slice_addr_rs: header.slice_address as i32,
                slice_idx,
            })?
            .decode()
        }));
        match result {
            Ok(result) => result.map_err(SegmentError::Syntax),
            Err(_) => Err(SegmentError::Panic),
        }
    }

    /// Takes a coding tree block back: what follows finds it as if it had never been decoded.
    pub(super) fn forget(&mut self, rs: u32) {
        let st = &mut self.current_mut().state;
        let rs = rs as usize;
        st.ctb_done[rs] = false;
        st.slice_addr[rs] = -1;
        let ctb = 1 << st.log2_ctb;
        let (x, y) = (rs % st.ctb_w * ctb, rs / st.ctb_w * ctb);
        let (w, h, w4) = (ctb.min(st.width - x), ctb.min(st.height - y), st.w4);
        PicState::fill4(&mut st.pred_mode, w4, x, y, w, h, PRED_NONE);
        PicState::fill4(&mut st.edges, w4, x, y, w, h, 0);
        PicState::fill4(&mut st.nz, w4, x, y, w, h, 0);
        PicState::fill4(&mut st.motion, w4, x, y, w, h, Motion::default());
    }

    /// Runs the loop filters over what is decoded.
    pub(super) fn filter(&mut self) -> Result<(), SegmentError> {
        let cur = self.current.as_mut().expect("a picture was begun");
        // The library scales the offsets of more than 10 bits as version 1 of the standard did, which had no
        // such profiles; since version 2 the scale is log2_sao_offset_scale, 0 without range extensions.
        let excess = cur.sps.bit_depth_luma.saturating_sub(10);
        for offset in cur.state.sao.iter_mut().flatten().flat_map(|sao| &mut sao.offset) {
            *offset >>= excess;
        }
        let filters = &mut self.filters;
        catch_unwind(AssertUnwindSafe(|| apply_in_loop_filters(cur, filters)))
            .map_err(|_| SegmentError::Panic)
    }

    /// Fills the coding tree blocks that are not decoded with the samples of `from`, or with mid-grey.
    pub(super) fn conceal(&mut self, from: Option<&Samples>) {
        let cur = self.current_mut();
        let st = &cur.state;
        for rs in (0..st.ctb_done.len()).filter(|&rs| !st.ctb_done[rs]) {
            for (c, plane) in cur.pic.planes.iter_mut().enumerate() {
                let ctb = (1 << st.log2_ctb) >> usize::from(c > 0);
                let (x, y) = (rs % st.ctb_w * ctb, rs / st.ctb_w * ctb);
                let w = ctb.min(plane.width - x);
                for y in y..(y + ctb).min(plane.height) {
                    let to = &mut plane.data[y * plane.stride + x..][..w];
                    match from {
                        Some(other) => {
                            to.copy_from_slice(&other.0.planes[c].data[y * plane.stride + x..][..w])
                        }
                        None => to.fill(1 << (cur.sps.bit_depth_luma - 1)),
                    }
                }
            }
        }
    }

    /// Ends the picture: its samples and, in raster order of blocks of 16x16, its motion.
    pub(super) fn finish(&mut self) -> (Samples, Vec<BlockMotion>, Counts) {
        let cur = self.current.take().expect("a picture was begun");
        let st = cur.state;
        let lines = (0..st.h4).step_by(4).flat_map(|y| (0..st.w4).step_by(4).map(move |x| (x, y)));
        let motion = lines.map(|(x, y)| block_motion(&st.motion[y * st.w4 + x])).collect();
        let count = |mode| st.pred_mode.iter().filter(|&&m| m == mode).count() as u32;
        let (intra, skipped, none) = (count(PRED_INTRA), count(PRED_SKIP), count(PRED_NONE));
        let inter = st.pred_mode.len() as u32 - intra - none;
        self.state = Some(st);
        (Samples(Arc::new(cur.pic)), motion, Counts { intra: intra / 4, inter: inter / 4, skipped })
    }
}

/// How the area of a picture is coded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// In blocks of 8x8.
    pub(super) intra: u32,
    /// In blocks of 8x8, skipped ones included.
    pub(super) inter: u32,
    /// In blocks of 4x4.
    pub(super) skipped: u32,
}

fn block_motion(m: &Motion) -> BlockMotion {
    // The current picture's order count is 0.
    let difference = |poc: i32| (-poc).clamp(-128, 127) as i8;
    let used = |list: usize| m.pred_flags >> list & 1 != 0;
    let mut block = BlockMotion { used: m.pred_flags & 3, ..BlockMotion::default() };
    for list in (0..2).filter(|&list| used(list)) {
        block.mv[list] = m.mv[list];
        block.poc_difference[list] = difference(m.ref_poc[list]);
        block.long_term |= m.ref_lt & 1 << list;
    }
    block
}

impl Samples {
    /// Gives the picture the motion that its slot holds, for use as collocated picture with order count `poc`.
    pub(super) fn set_motion(&mut self, poc: i32, blocks: &[BlockMotion]) {
        let picture = Arc::make_mut(&mut self.0);
        picture.motion16_w = picture.width().div_ceil(16);
        picture.motion16.clear();
        picture.motion16.extend(blocks.iter().map(|block| Motion {
            mv: block.mv,
            ref_idx: [0, 1].map(|list| if block.used >> list & 1 != 0 { 0 } else { -1 }),
            pred_flags: block.used,
            ref_poc: block.poc_difference.map(|difference| poc - i32::from(difference)),
            ref_lt: block.long_term,
        }));
    }
}

fn sps(setup: &Setup) -> Sps {
    let (width, height) = (setup.width(), setup.height());
    let min_cb = setup.byte(pic::log2_min_luma_coding_block_size);
    Sps {
        chroma_format_idc: 1,
        width,
        height,
        bit_depth_luma: setup.bit_depth(),
        bit_depth_chroma: setup.bit_depth(),
        log2_min_cb_size: min_cb,
        log2_ctb_size: setup.ctb_log2() as u8,
        log2_min_tb_size: setup.byte(pic::log2_min_transform_block_size),
        log2_max_tb_size: setup.byte(pic::log2_max_transform_block_size),
        max_transform_hierarchy_depth_inter: setup.byte(pic::max_transform_hierarchy_depth_inter),
        max_transform_hierarchy_depth_intra: setup.byte(pic::max_transform_hierarchy_depth_intra),
        scaling_list_enabled: setup.flag(pic::scalingListEnable),
        amp_enabled: setup.flag(pic::amp_enable_flag),
        sao_enabled: setup.flag(pic::sample_adaptive_offset_enabled_flag),
        pcm_enabled: setup.flag(pic::pcm_enabled_flag),
        pcm_bit_depth_luma: setup.byte(pic::pcm_sample_bit_depth_luma),
        pcm_bit_depth_chroma: setup.byte(pic::pcm_sample_bit_depth_chroma),
        log2_min_pcm_cb_size: setup.byte(pic::log2_min_pcm_luma_coding_block_size),
        log2_max_pcm_cb_size: setup.byte(pic::log2_max_pcm_luma_coding_block_size),
        pcm_loop_filter_disabled: setup.flag(pic::pcm_loop_filter_disabled_flag),
        temporal_mvp_enabled: setup.flag(pic::sps_temporal_mvp_enabled_flag),
        strong_intra_smoothing_enabled: setup.flag(pic::strong_intra_smoothing_enabled_flag),
        chroma_array_type: 1,
        sub_width_c: 2,
        sub_height_c: 2,
        ctb_size: setup.ctb(),
        pic_width_in_ctbs: setup.ctb_columns(),
        pic_height_in_ctbs: setup.ctb_rows(),
        pic_size_in_ctbs: setup.ctbs(),
        min_cb_size: 1 << min_cb,
        pic_width_in_min_cbs: width >> min_cb,
        pic_height_in_min_cbs: height >> min_cb,
        qp_bd_offset_y: setup.qp_bd_offset(),
        qp_bd_offset_c: setup.qp_bd_offset(),
        ..Sps::default()
    }
}

fn pps(setup: &Setup, sizes: &TileSizes) -> Pps {
    let all_but_last = |lengths: &[u32]| lengths[..lengths.len() - 1].to_vec();
    Pps {
        dependent_slice_segments_enabled: setup.flag(pic::dependent_slice_segments_enabled_flag),
        sign_data_hiding_enabled: setup.flag(pic::sign_data_hiding_enabled_flag),
        init_qp: setup.get(pic::init_qp) - setup.qp_bd_offset(),
        constrained_intra_pred: setup.flag(pic::constrained_intra_pred_flag),
        transform_skip_enabled: setup.flag(pic::transform_skip_enabled_flag),
        cu_qp_delta_enabled: setup.flag(pic::cu_qp_delta_enabled_flag),
        diff_cu_qp_delta_depth: setup.byte(pic::diff_cu_qp_delta_depth),
        cb_qp_offset: setup.get(pic::pps_cb_qp_offset),
        cr_qp_offset: setup.get(pic::pps_cr_qp_offset),
        transquant_bypass_enabled: setup.flag(pic::transquant_bypass_enabled_flag),
        tiles_enabled: setup.flag(pic::tiles_enabled_flag),
        entropy_coding_sync_enabled: setup.flag(pic::entropy_coding_sync_enabled_flag),
        num_tile_columns: sizes.columns.len() as u32,
        num_tile_rows: sizes.rows.len() as u32,
        uniform_spacing: false,
        column_widths: all_but_last(&sizes.columns),
        row_heights: all_but_last(&sizes.rows),
        loop_filter_across_tiles_enabled: setup.flag(pic::loop_filter_across_tiles_enabled_flag),
        loop_filter_across_slices_enabled: setup.flag(pic::loop_filter_across_slices_enabled_flag),
        log2_parallel_merge_level: setup.byte(pic::log2_parallel_merge_level),
        log2_max_transform_skip_block_size: setup.byte(pic::log2MaxTransformSkipSize),
        ..Pps::default()
    }
}

/// The lists in the order of their scans, as the library has them.
fn scaling_list(matrices: &ScalingMatrices) -> ScalingList {
    let mut out = ScalingList::default();
    for (size_id, lists) in matrices.matrices.iter().enumerate() {
        let (scan, side): (&[(u8, u8)], _) = if size_id == 0 { (&DIAG_4X4, 4) } else { (&DIAG_8X8, 8) };
        // Of 32x32 there are an intra and an inter list.
        let step = if size_id == 3 { 3 } else { 1 };
        for (i, list) in lists.iter().enumerate() {
            for (to, &(x, y)) in out.lists[size_id][i * step].iter_mut().zip(scan) {
                *to = list[usize::from(y) * side + usize::from(x)];
            }
        }
        if size_id >= 2 {
            for (i, dc) in matrices.dc[size_id - 2].iter().enumerate() {
                out.dc[size_id - 2][i * step] = *dc;
            }
        }
    }
    out
}

fn slice_header(h: &SliceHeader, pps: &Pps) -> library::SliceHeader {
    library::SliceHeader {
        first_slice_segment_in_pic: h.address == 0,
        no_output_of_prior_pics: false,
        pps_id: 0,
        dependent_slice_segment: h.dependent,
        segment_address: h.address,
        slice_type: match h.slice_type {
            SliceType::B => library::SliceType::B,
            SliceType::P => library::SliceType::P,
            SliceType::I => library::SliceType::I,
        },
        pic_output_flag: true,
        colour_plane_id: 0,
        poc_lsb: 0,
        short_term_ref_pic_set_sps_flag: false,
        st_rps: Default::default(),
        st_rps_bits: 0,
        long_term: Vec::new(),
        num_long_term_sps: 0,
        temporal_mvp_enabled: h.temporal_mvp,
        sao_luma: h.sao[0],
        sao_chroma: h.sao[1],
        num_ref_idx_l0_active: h.num_ref_idx[0],
        num_ref_idx_l1_active: h.num_ref_idx[1],
        ref_pic_list_modification_l0: None,
        ref_pic_list_modification_l1: None,
        mvd_l1_zero: h.mvd_l1_zero,
        cabac_init_flag: h.cabac_init,
        collocated_from_l0: h.collocated_from_l0,
        collocated_ref_idx: h.collocated_ref_idx,
        pred_weight: h.weights.as_ref().map(weight_table),
        max_num_merge_cand: h.max_num_merge_cand,
        slice_qp_delta: h.slice_qp_delta,
        cb_qp_offset: h.cb_qp_offset,
        cr_qp_offset: h.cr_qp_offset,
        deblocking_filter_disabled: h.deblocking_disabled,
        beta_offset_div2: h.beta_offset_div2,
        tc_offset_div2: h.tc_offset_div2,
        loop_filter_across_slices_enabled: h.loop_filter_across,
        // Substreams follow each other without gaps: the library goes on where the one before ended, as decoders
        // do that cope with streams whose entry points are wrong.
        entry_point_offsets: Vec::new(),
        data_offset: h.data,
        slice_qp: pps.init_qp + h.slice_qp_delta,
        num_pic_total_curr: 0,
    }
}

fn weight_table(table: &WeightTable) -> library::PredWeightTable {
    let [l0, l1] = table.lists.each_ref().map(|list| {
        list.iter()
            .map(|w| library::WeightEntry {
                luma_weight: w.weight[0],
                luma_offset: w.offset[0],
                chroma_weight: [w.weight[1], w.weight[2]],
                chroma_offset: [w.offset[1], w.offset[2]],
            })
            .collect()
    });
    let [luma_log2_weight_denom, chroma_log2_weight_denom] = table.log2_denom;
    library::PredWeightTable { luma_log2_weight_denom, chroma_log2_weight_denom, l0, l1 }
}

#[cfg(test)]
mod tests;
