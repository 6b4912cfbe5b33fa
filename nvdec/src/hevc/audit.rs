//! Picture descriptors from elsewhere, looked at before an engine is.
//!
//! What the decoder writes itself is right by construction. A descriptor out of a file is not: sizes, strides
//! and offsets in it decide how far the engine reaches beyond the addresses that it is given. [`audit`] works
//! out what a descriptor needs, refusing by name whatever contradicts itself or the class; who submits the
//! picture allocates what was worked out. What is left to a hostile author are wrong samples.

pub(crate) mod finding;

use nvkernel_sys::bits::Field;
use nvkernel_sys::video::hevc_pic as pic;

use crate::class::{Chroma, Codec, Shapes, VideoClass};
use crate::hevc::scratch::{self, Scratch, Shape};
use crate::hevc::tables::{self, TILE_TABLE_BYTES};
use crate::surface::format::{SurfaceFormat, SurfaceGeometry};
pub use finding::Finding;

/// Bytes of a descriptor: the public structure and what newer firmware reads past it.
pub const DESCRIPTOR_BYTES: usize = super::descriptor::DESCRIPTOR_BYTES;
/// Bytes of the table of tile sizes.
pub const TILE_SIZES_BYTES: usize = TILE_TABLE_BYTES;
/// Bytes of the scaling lists.
pub const SCALING_LIST_BYTES: usize = tables::SCALING_LIST_BYTES;
/// Zero bytes that follow the slice data, for an engine that reads ahead.
pub const BITSTREAM_SLACK: usize = crate::memory::BITSTREAM_SLACK;
/// Places of the picture table that lists can name.
pub const PLACES: usize = crate::memory::motion::PLACES;
/// Slots of motion vectors that the engine may look at: one more than lists can name.
const COLLOCATED_SLOTS: u64 = PLACES as u64 + 1;

/// Offset of the word behind the public structure that some classes need.
const WORD_11C: usize = nvkernel_sys::video::HEVC_PIC_BLACKWELL_WORD;

type Result<T> = std::result::Result<T, Finding>;

/// What a picture needs, worked out from its descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureNeeds {
    /// The surfaces: the target and all references are of this geometry.
    pub geometry: SurfaceGeometry,
    /// Blocks of 16x16.
    pub blocks: u32,
    /// Side of a coding tree block in luma samples.
    pub ctb: u32,
    /// Bytes of slice data.
    pub stream_len: u32,
    /// Place of the picture itself.
    pub place: u8,
    /// Bit *i*: the initial lists name place *i*.
    pub listed: u16,
    /// The lists name pictures to refer to, rather than the picture itself for want of any.
    pub inter: bool,
    /// Bytes of one slot of collocated motion vectors.
    pub collocated_slot: u64,
    /// Bytes of all slots.
    pub collocated: u64,
    /// Scaling lists are read.
    pub scaling_lists: bool,
}

/// Where scratch lies, and how much of it there must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScratchPlan {
    /// Bytes of all of it.
    pub size: u64,
    /// Offset for `SET_INTRA_TOP_BUF_OFFSET` on classes that have it.
    pub intra_top: u64,
    /// Offset for method 0x4dc on classes that have it.
    pub unnamed_4dc: u64,
}

/// Fields that a descriptor of this library leaves zero: protection, debugging, layers, slice-level decoding
/// and what no class decodes.
const ZERO: &[Field] = &[
    pic::wrapped_session_key,
    pic::wrapped_content_key,
    pic::initialization_vector,
    pic::enable_encryption,
    pic::key_increment,
    pic::encryption_mode,
    pic::key_slot_index,
    pic::ssm_en,
    pic::enable_histogram,
    pic::enable_substream_decoding,
    pic::gob_height,
    pic::ecdma_cfg,
    pic::separate_colour_plane_flag,
    pic::intraBlockCopyEnableFlag,
    pic::extendedPrecisionProcessingFlag,
    pic::cabacBypassAlignmentEnableFlag,
    pic::sw_skip_start_length,
    pic::external_ref_mem_dis,
    pic::error_external_mv_en,
    pic::mv_hevc_enable,
    pic::nuh_layer_id,
    pic::default_ref_layers_active_flag,
    pic::NumDirectRefLayers,
    pic::max_one_active_ref_layer_flag,
    pic::NumActiveRefLayerPics,
    pic::poc_lsb_not_present_flag,
    pic::slice_decoding_enable,
    pic::slice_ec_enable,
    pic::err_detected_sw,
    pic::slice_strm_recfg_en,
    pic::ssm,
];

/// Fields with a range that depends on nothing else, each from the syntax element of H.265 that it carries.
const RANGES: &[(Field, i64, i64)] = &[
    (pic::tileformat, pic::tileformat_KBL as i64, pic::tileformat_KBL as i64),
    (pic::sw_start_code_e, 1, 1),
    (pic::chroma_format_idc, 0, 3),
    (pic::log2_max_luma_coding_block_size, 4, 6),
    (pic::num_ref_idx_l0_default_active, 1, 15),
    (pic::num_ref_idx_l1_default_active, 1, 15),
    (pic::pps_cb_qp_offset, -12, 12),
    (pic::pps_cr_qp_offset, -12, 12),
    (pic::pps_beta_offset, -12, 12),
    (pic::pps_tc_offset, -12, 12),
    (pic::num_ref_frames, 0, PLACES as i64),
    (pic::RefDiffPicOrderCnts, -128, 127),
    (pic::initreflistidxl0, 0, PLACES as i64 - 1),
    (pic::initreflistidxl1, 0, PLACES as i64 - 1),
    (pic::curr_pic_idx, 0, PLACES as i64 - 1),
    (pic::IDR_picture_flag, 0, 1),
    (pic::RAP_picture_flag, 0, 1),
    (pic::pattern_id, 0, 2),
    (pic::log2_max_pic_order_cnt_lsb_minus4, 0, 12),
    (pic::num_short_term_ref_pic_sets, 0, 64),
    (pic::num_long_term_ref_pics_sps, 0, 32),
    (pic::log2MaxTransformSkipSize, 2, 5),
    (pic::chromaQpAdjustmentTableSize, 0, 6),
    (pic::cb_qp_adjustment, -12, 12),
    (pic::cr_qp_adjustment, -12, 12),
    (pic::log2SaoOffsetScaleLuma, 0, 4),
    (pic::log2SaoOffsetScaleChroma, 0, 4),
    (pic::error_recovery_start_pos, 0, 2),
    (pic::slice_ec_mv_type, 0, pic::slice_ec_mv_type_COLLOCATED as i64),
    (pic::slice_ec_slice_type, 0, 1),
];

/// A descriptor of [`DESCRIPTOR_BYTES`].
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn at(&self, field: Field, index: usize) -> i64 {
        field.read(self.0, index).expect("the length was checked")
    }

    fn get(&self, field: Field) -> i64 {
        self.at(field, 0)
    }

    /// A field of at most 31 bits that is not signed, or one of 32.
    fn word(&self, field: Field) -> u32 {
        self.get(field) as u32
    }

    fn flag(&self, field: Field) -> bool {
        self.get(field) != 0
    }

    fn within(&self, field: Field, min: i64, max: i64, why: &str) -> Result<()> {
        let value = self.get(field);
        if (min..=max).contains(&value) {
            return Ok(());
        }
        let range = if min == max { format!("{min}") } else { format!("{min} to {max}") };
        Err(Finding::of(field.name, value, format!("it has to be {range}, {why}")))
    }

    fn shape(&self) -> Shape {
        Shape {
            size: (self.word(pic::pic_width_in_luma_samples), self.word(pic::pic_height_in_luma_samples)),
            ctb: 1 << self.get(pic::log2_max_luma_coding_block_size),
            tile_columns: self.word(pic::num_tile_columns),
            full_chroma: self.get(pic::chroma_format_idc) > 1,
            deep: self.get(pic::bit_depth_luma).max(self.get(pic::bit_depth_chroma)) > 8,
        }
    }
}

fn words(descriptor: &[u8]) -> Result<Words<'_>> {
    match descriptor.len() {
        DESCRIPTOR_BYTES => Ok(Words(descriptor)),
        length => {
            Err(Finding::of("nvdec_hevc_pic_s", length as i64, format!("it takes {DESCRIPTOR_BYTES} bytes")))
        }
    }
}

/// What the picture of a descriptor needs on an engine of `class`.
///
/// # Errors
///
/// A [`Finding`]: a field or the tile table contradicts itself or the others, or asks for what the class
/// cannot do.
pub fn audit(descriptor: &[u8], tile_table: &[u8], class: &VideoClass) -> Result<PictureNeeds> {
    let w = words(descriptor)?;
    check_unused(&w, class)?;
    for &(field, min, max) in RANGES {
        for index in 0..usize::from(field.count) {
            let value = w.at(field, index);
            if value < min || value > max {
                return Err(Finding::of(field.name, value, format!("outside {min} to {max}")));
            }
        }
    }
    let format = check_format(&w, class)?;
    check_blocks(&w)?;
    let geometry = check_surfaces(&w, format)?;
    check_small(&w, class)?;
    check_tiles(&w, tile_table, class)?;
    let size = w.shape().size;
    let slot = scratch::slot_bytes(size);
    let slots = slot.div_ceil(256) as i64;
    w.within(pic::colMvBuffersize, slots, slots, "a slot of motion vectors in units of 256 bytes")?;
    let stream_len = w.get(pic::stream_len);
    if stream_len == 0 || stream_len as u64 > crate::surface::format::stream_limit(&geometry) {
        return Err(Finding::of(pic::stream_len.name, stream_len, "outside what a picture may take"));
    }
    let mut listed = 0;
    for list in [pic::initreflistidxl0, pic::initreflistidxl1] {
        for index in 0..PLACES {
            listed |= 1 << w.at(list, index);
        }
    }
    Ok(PictureNeeds {
        geometry,
        blocks: size.0.div_ceil(16) * size.1.div_ceil(16),
        ctb: w.shape().ctb,
        stream_len: stream_len as u32,
        place: w.get(pic::curr_pic_idx) as u8,
        listed,
        inter: w.get(pic::num_ref_frames) > 0,
        collocated_slot: slot,
        collocated: slot * COLLOCATED_SLOTS,
        scaling_lists: w.flag(pic::scalingListEnable),
    })
}

/// Where the descriptor's scratch areas lie, each as large as `class` may need it.
///
/// # Errors
///
/// A [`Finding`] that names the offset of the area that is too close to the one before it, or too far off.
pub fn scratch(descriptor: &[u8], class: &VideoClass) -> Result<ScratchPlan> {
    let w = words(descriptor)?;
    let shape = w.shape();
    let sizes = scratch::areas(&shape, class);
    let own = Scratch::of(&shape, class);
    // Whoever reserves more than this class does is let, within reason.
    let limit = 4 * own.size + (64 << 20);
    let mut end = 0;
    for (field, before) in [
        (pic::HevcSaoBufferOffset, sizes[0]),
        (pic::HevcBsdCtrlOffset, sizes[1]),
        (pic::HevcFltAboveOffset, sizes[2]),
        (pic::HevcSaoAboveOffset, sizes[3]),
    ] {
        let least = (end + before).next_multiple_of(256);
        let value = w.get(field);
        let at = value as u64 * 256;
        if at < least || at > limit {
            let range = format!("outside {} to {}", least / 256, limit / 256);
            return Err(Finding::of(field.name, value, format!("{range}, in units of 256 bytes")));
        }
        end = at;
    }
    let sao_above = w.get(pic::HevcSaoAboveOffset);
    w.within(pic::HevcSliceEdgeOffset, sao_above, sao_above, "the area of HevcSaoAboveOffset")?;
    end = (end + sizes[4]).next_multiple_of(256);
    let intra_top = end;
    let unnamed_4dc = intra_top + (own.unnamed_4dc - own.intra_top);
    let size = unnamed_4dc + (own.size - own.unnamed_4dc);
    Ok(ScratchPlan { size: size.max(256), intra_top, unnamed_4dc })
}

/// Lays the scratch areas out as this library does for `class`, and sets what else of a descriptor belongs to
/// a class rather than to a picture. For a picture that was described for another class.
///
/// # Errors
///
/// A [`Finding`] about the descriptor's length or its block size.
pub fn rebase(descriptor: &mut [u8], class: &VideoClass) -> Result<ScratchPlan> {
    let w = words(descriptor)?;
    w.within(pic::log2_max_luma_coding_block_size, 4, 6, "16 to 64 samples")?;
    let s = Scratch::of(&w.shape(), class);
    for (field, offset) in [
        (pic::HevcSaoBufferOffset, s.sao),
        (pic::HevcBsdCtrlOffset, s.bsd_ctrl),
        (pic::HevcFltAboveOffset, s.filter_above),
        (pic::HevcSaoAboveOffset, s.sao_above),
        (pic::HevcSliceEdgeOffset, s.sao_above),
    ] {
        field.write(descriptor, 0, (offset / 256) as i64).expect("offsets of this library fit their fields");
    }
    descriptor[WORD_11C..WORD_11C + 4].copy_from_slice(&class.hevc.word_11c.to_le_bytes());
    Ok(ScratchPlan { size: s.size, intra_top: s.intra_top, unnamed_4dc: s.unnamed_4dc })
}

/// Everything that no descriptor of this library sets, bits without a name included.
fn check_unused(w: &Words<'_>, class: &VideoClass) -> Result<()> {
    for field in ZERO {
        for index in 0..usize::from(field.count) {
            let value = w.at(*field, index);
            if value != 0 {
                return Err(Finding::of(field.name, value, "it has to be 0"));
            }
        }
    }
    let mut rest = w.0.to_vec();
    for field in pic::FIELDS {
        for index in 0..usize::from(field.count) {
            field.write(&mut rest, index, 0).expect("zero fits every field");
        }
    }
    let word = u32::from_le_bytes(rest[WORD_11C..WORD_11C + 4].try_into().expect("four bytes"));
    if word != class.hevc.word_11c {
        return Err(Finding::of("word 0x11c", word, format!("it has to be {:#x}", class.hevc.word_11c)));
    }
    rest[WORD_11C..WORD_11C + 4].fill(0);
    match rest.iter().position(|&b| b != 0) {
        Some(at) => {
            Err(Finding::of("nvdec_hevc_pic_s", rest[at], format!("bits without a name, byte {at:#x}")))
        }
        None => Ok(()),
    }
}

fn check_format(w: &Words<'_>, class: &VideoClass) -> Result<SurfaceFormat> {
    let (luma, idc) = (w.get(pic::bit_depth_luma), w.get(pic::chroma_format_idc));
    let Some(capability) = class.capability(Codec::Hevc) else {
        return Err(Finding::beyond("class", class.class, "it does not decode HEVC"));
    };
    let chroma = Chroma::from_chroma_format_idc(idc as u8).filter(|c| capability.chroma.contains(*c));
    let Some(chroma) = chroma else {
        let reason =
            format!("{} engines decode {}", class.generation, capability.chroma.names().join(" and "));
        return Err(Finding::beyond(pic::chroma_format_idc.name, idc, reason));
    };
    w.within(pic::bit_depth_luma, 8, 15, "bits of a sample")?;
    w.within(pic::bit_depth_chroma, 8, 15, "bits of a sample")?;
    let depth_of_chroma = w.get(pic::bit_depth_chroma);
    for (name, depth) in [(pic::bit_depth_luma.name, luma), (pic::bit_depth_chroma.name, depth_of_chroma)] {
        if depth > i64::from(capability.depth.1) {
            let reason = format!("{} engines decode up to {} bits", class.generation, capability.depth.1);
            return Err(Finding::beyond(name, depth, reason));
        }
    }
    if !class.hevc.decodes_depths(idc as u8, luma as u8, depth_of_chroma as u8) {
        let reason =
            format!("{} engines are not known to decode this beside the depth of luma", class.generation);
        return Err(Finding::beyond(pic::bit_depth_chroma.name, depth_of_chroma, reason));
    }
    let offset = 6 * (luma - 8);
    w.within(pic::init_qp, 0, 51 + offset, "a quantiser counted from -QpBdOffset")?;
    Ok(SurfaceFormat { chroma, bit_depth: luma as u8, chroma_bit_depth: depth_of_chroma as u8 })
}

fn check_blocks(w: &Words<'_>) -> Result<()> {
    let ctb = w.get(pic::log2_max_luma_coding_block_size);
    w.within(pic::log2_min_luma_coding_block_size, 3, ctb, "8 samples to the coding tree block")?;
    let min_cb = w.get(pic::log2_min_luma_coding_block_size);
    w.within(pic::log2_min_transform_block_size, 2, min_cb - 1, "4 samples to half a coding block")?;
    let min_tb = w.get(pic::log2_min_transform_block_size);
    w.within(pic::log2_max_transform_block_size, min_tb, ctb.min(5), "the smallest to 32 samples")?;
    let depth = ctb - min_tb;
    w.within(pic::max_transform_hierarchy_depth_inter, 0, depth, "as deep as the block sizes go")?;
    w.within(pic::max_transform_hierarchy_depth_intra, 0, depth, "as deep as the block sizes go")?;
    w.within(pic::diff_cu_qp_delta_depth, 0, ctb - min_cb, "as deep as the block sizes go")?;
    w.within(pic::diffCuChromaQpAdjustmentDepth, 0, ctb - min_cb, "as deep as the block sizes go")?;
    w.within(pic::log2_parallel_merge_level, 2, ctb, "4 samples to the coding tree block")?;
    let pcm = w.flag(pic::pcm_enabled_flag);
    for (pcm_depth, depth) in [
        (pic::pcm_sample_bit_depth_luma, pic::bit_depth_luma),
        (pic::pcm_sample_bit_depth_chroma, pic::bit_depth_chroma),
    ] {
        let (least, most) = if pcm { (1, w.get(depth)) } else { (0, 0) };
        w.within(pcm_depth, least, most, "at most that of the samples, 0 without PCM")?;
    }
    let (least, most) = if pcm { (3, ctb.min(5)) } else { (0, 0) };
    w.within(pic::log2_min_pcm_luma_coding_block_size, least, most, "8 to 32 samples, 0 without PCM")?;
    let least = w.get(pic::log2_min_pcm_luma_coding_block_size);
    w.within(pic::log2_max_pcm_luma_coding_block_size, least, most, "the smallest to 32 samples")?;
    for field in [pic::pic_width_in_luma_samples, pic::pic_height_in_luma_samples] {
        let value = w.get(field);
        if value == 0 || value % (1 << min_cb) != 0 {
            return Err(Finding::of(field.name, value, "not a multiple of the smallest coding block"));
        }
    }
    Ok(())
}

/// The geometry that the sizes ask for is the one that the strides say.
fn check_surfaces(w: &Words<'_>, format: SurfaceFormat) -> Result<SurfaceGeometry> {
    let (width, height) = w.shape().size;
    let geometry = SurfaceGeometry::new(format, width, height);
    let bytes = format.bytes_per_sample();
    let mode = i64::from(bytes > 1);
    w.within(pic::disp_output_mode, mode, mode, "samples in their own depth")?;
    for (index, pitch) in [geometry.luma_pitch, geometry.chroma_pitch].into_iter().enumerate() {
        let value = w.at(pic::framestride, index);
        if value != i64::from(pitch / bytes) {
            let reason = format!("the stride of plane {index} has to be {} samples", pitch / bytes);
            return Err(Finding::of(pic::framestride.name, value, reason));
        }
    }
    Ok(geometry)
}

fn check_small(w: &Words<'_>, class: &VideoClass) -> Result<()> {
    let capability = class.capability(Codec::Hevc).expect("looked at with the format");
    let min = if class.hevc.shapes == Shapes::Documented { capability.min } else { (0, 0) };
    let (width, height) = w.shape().size;
    let sides = [
        (pic::pic_width_in_luma_samples, width, min.0, capability.max.0),
        (pic::pic_height_in_luma_samples, height, min.1, capability.max.1),
    ];
    for (field, value, min, max) in sides {
        if value < min || value > max {
            let reason = format!("{} engines decode {min} to {max}", class.generation);
            return Err(Finding::beyond(field.name, value, reason));
        }
    }
    if class.hevc.shapes != Shapes::Measured {
        return Ok(());
    }
    let ctb = w.shape().ctb;
    if width <= Shapes::NARROW && (ctb < 64 || height > 64) {
        let reason = "so narrow a picture comes out wrong, unless it is a single coding tree block of 64x64";
        return Err(Finding::beyond(pic::pic_width_in_luma_samples.name, width, reason));
    }
    if ctb < 64 && height.div_ceil(ctb) < 2 {
        let reason = "a single row of small coding tree blocks comes out wrong";
        return Err(Finding::beyond(pic::pic_height_in_luma_samples.name, height, reason));
    }
    Ok(())
}

fn check_tiles(w: &Words<'_>, table: &[u8], class: &VideoClass) -> Result<()> {
    let Shape { size, ctb, .. } = w.shape();
    let blocks = [size.0.div_ceil(ctb), size.1.div_ceil(ctb)];
    let counts = if w.flag(pic::tiles_enabled_flag) {
        if w.flag(pic::entropy_coding_sync_enabled_flag) && class.hevc.shapes != Shapes::All {
            let reason = "engines decode tiles or wavefronts, not both";
            return Err(Finding::beyond(pic::entropy_coding_sync_enabled_flag.name, 1, reason));
        }
        w.within(pic::num_tile_columns, 1, blocks[0].min(20).into(), "within the picture and table A.8")?;
        w.within(pic::num_tile_rows, 1, blocks[1].min(22).into(), "within the picture and table A.8")?;
        [w.word(pic::num_tile_columns) as usize, w.word(pic::num_tile_rows) as usize]
    } else {
        w.within(pic::num_tile_columns, 0, 0, "without tiles")?;
        w.within(pic::num_tile_rows, 0, 0, "without tiles")?;
        [1, 1]
    };
    let Ok(table) = <&[u8; TILE_TABLE_BYTES]>::try_from(table) else {
        return Err(Finding::of(
            "tile table",
            table.len() as i64,
            format!("it takes {TILE_TABLE_BYTES} bytes"),
        ));
    };
    let size_at = |tile: usize, part: usize| {
        let at = 4 * tile + 2 * part;
        u32::from(u16::from_le_bytes([table[at], table[at + 1]]))
    };
    let columns: Vec<u32> = (0..counts[0]).map(|i| size_at(i, 0)).collect();
    let rows: Vec<u32> = (0..counts[1]).map(|j| size_at(j * counts[0], 1)).collect();
    for (lengths, whole) in [(&columns, blocks[0]), (&rows, blocks[1])] {
        if lengths.contains(&0) || lengths.iter().sum::<u32>() != whole {
            return Err(Finding::of("tile table", whole, "the tiles do not make up this many blocks"));
        }
    }
    let mut expected = [0; TILE_TABLE_BYTES];
    tables::fill_tile_table([&columns, &rows], ctb.trailing_zeros(), &mut expected);
    if let Some(at) = (0..TILE_TABLE_BYTES).find(|&at| table[at] != expected[at]) {
        let reason = format!("byte {at:#x} has to be {} by the first row and column", expected[at]);
        return Err(Finding::of("tile table", table[at], reason));
    }
    let narrowest = columns.iter().map(|width| width * ctb).min().unwrap_or(0);
    if class.hevc.shapes == Shapes::Measured && columns.len() > 1 && narrowest <= Shapes::NARROW {
        return Err(Finding::beyond("tile table", narrowest, "so narrow a column of tiles comes out wrong"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
