//! The picture descriptor as the engine reads it, and what the model refuses.

use nvkernel_sys::bits::Field;
use nvkernel_sys::video::hevc_pic as pic;

use crate::class::{Chroma, Codec, Shapes, VideoClass};
use crate::emulated::application::Refusal;
use crate::emulated::surface::{Layout, Pictures};

/// `error_status` of a damaged intra picture, and of tiles together with wavefronts.
pub(super) const ERROR_INTRA: u32 = 0x5;
/// `error_status` of damage in a P or B slice.
pub(super) const ERROR_INTER: u32 = 0xd;

/// Fields that ask for tools which the model does not have.
pub(crate) const ABSENT_TOOLS: [Field; 19] = [
    pic::transformSkipRotationEnableFlag,
    pic::transformSkipContextEnableFlag,
    pic::intraBlockCopyEnableFlag,
    pic::implicitRdpcmEnableFlag,
    pic::explicitRdpcmEnableFlag,
    pic::extendedPrecisionProcessingFlag,
    pic::intraSmoothingDisabledFlag,
    pic::highPrecisionOffsetsEnableFlag,
    pic::fastRiceAdaptationEnableFlag,
    pic::cabacBypassAlignmentEnableFlag,
    pic::crossComponentPredictionEnableFlag,
    pic::chromaQpAdjustmentEnableFlag,
    pic::log2SaoOffsetScaleLuma,
    pic::log2SaoOffsetScaleChroma,
    pic::mv_hevc_enable,
    pic::slice_decoding_enable,
    pic::enable_encryption,
    pic::enable_histogram,
    pic::enable_substream_decoding,
];

/// `nvdec_hevc_pic_s` in the engine's own memory.
#[derive(Clone)]
pub(super) struct Setup([u8; pic::SIZE]);

impl Setup {
    pub(super) const BYTES: usize = pic::SIZE;

    pub(super) fn new(bytes: [u8; pic::SIZE]) -> Setup {
        Setup(bytes)
    }

    /// Element `index` of a field.
    pub(super) fn at(&self, field: Field, index: usize) -> i32 {
        let value = field.read(&self.0, index).expect("the table describes these bytes");
        // Fields of 32 bits hold addresses, lengths and cycles, which are read by `word`.
        value as i32
    }

    /// A field of less than 32 bits.
    pub(super) fn get(&self, field: Field) -> i32 {
        self.at(field, 0)
    }

    /// An unsigned field of up to 32 bits.
    pub(super) fn word(&self, field: Field) -> u32 {
        self.at(field, 0) as u32
    }

    /// A field of few bits.
    pub(super) fn byte(&self, field: Field) -> u8 {
        self.at(field, 0) as u8
    }

    /// A field of one bit, or one that counts as a flag.
    pub(super) fn flag(&self, field: Field) -> bool {
        self.at(field, 0) != 0
    }

    /// A descriptor field that counts units of 256 bytes.
    pub(super) fn offset(&self, field: Field) -> u64 {
        u64::from(self.word(field)) << 8
    }

    pub(super) fn width(&self) -> u32 {
        self.word(pic::pic_width_in_luma_samples)
    }

    pub(super) fn height(&self) -> u32 {
        self.word(pic::pic_height_in_luma_samples)
    }

    pub(super) fn bit_depth(&self) -> u8 {
        self.byte(pic::bit_depth_luma)
    }

    pub(super) fn bytes_per_sample(&self) -> u32 {
        if self.bit_depth() > 8 { 2 } else { 1 }
    }

    /// `CtbLog2SizeY`.
    pub(super) fn ctb_log2(&self) -> u32 {
        self.word(pic::log2_max_luma_coding_block_size)
    }

    pub(super) fn ctb(&self) -> u32 {
        1 << self.ctb_log2()
    }

    /// `PicWidthInCtbsY`.
    pub(super) fn ctb_columns(&self) -> u32 {
        self.width().div_ceil(self.ctb())
    }

    /// `PicHeightInCtbsY`.
    pub(super) fn ctb_rows(&self) -> u32 {
        self.height().div_ceil(self.ctb())
    }

    /// `PicSizeInCtbsY`.
    pub(super) fn ctbs(&self) -> u32 {
        self.ctb_columns() * self.ctb_rows()
    }

    /// `QpBdOffsetY`.
    pub(super) fn qp_bd_offset(&self) -> i32 {
        6 * (i32::from(self.bit_depth()) - 8)
    }

    /// Columns and rows of tiles, 1 without tiles.
    pub(super) fn tiles(&self) -> (u32, u32) {
        match self.flag(pic::tiles_enabled_flag) {
            true => (self.word(pic::num_tile_columns), self.word(pic::num_tile_rows)),
            false => (1, 1),
        }
    }

    /// Bytes per line of luma and chroma.
    pub(super) fn pitches(&self) -> [u64; 2] {
        [0, 1].map(|i| u64::from(self.at(pic::framestride, i) as u32) * u64::from(self.bytes_per_sample()))
    }

    /// How the pictures lie in memory.
    pub(super) fn layout(&self) -> Layout {
        Layout::new(&Pictures {
            width: self.width(),
            height: self.height(),
            lines: self.ctb_rows() * self.ctb(),
            bit_depth: self.bit_depth(),
            pitches: self.pitches(),
        })
    }

    /// Blocks of 16x16 in the coding tree block at raster address `rs`.
    pub(super) fn blocks_of(&self, rs: u32) -> u32 {
        let (x, y) = (rs % self.ctb_columns() * self.ctb(), rs / self.ctb_columns() * self.ctb());
        let side = |length: u32, at: u32| (length - at).min(self.ctb()).div_ceil(16);
        side(self.width(), x) * side(self.height(), y)
    }

    /// Blocks of 16x16 in the picture.
    pub(super) fn blocks(&self) -> u32 {
        self.width().div_ceil(16) * self.height().div_ceil(16)
    }

    /// What the parameter sets are told by: equal bytes, equal parameter sets.
    pub(super) fn parameters(&self) -> [&[u8]; 2] {
        [&self.0[0x58..0x70], &self.0[0xdc..0xf0]]
    }

    /// Whether the model decodes such a picture.
    pub(super) fn check(&self, class: &VideoClass) -> Result<(), Refusal> {
        self.check_format(class)?;
        self.check_blocks()?;
        self.check_tools()?;
        self.check_surfaces()?;
        self.check_tiles(class)
    }

    fn one_of(
        &self,
        field: Field,
        allowed: std::ops::RangeInclusive<i32>,
        why: &'static str,
    ) -> Result<(), Refusal> {
        let value = self.get(field);
        if allowed.contains(&value) { Ok(()) } else { Err(Refusal::of(field.name, value, why)) }
    }

    fn check_format(&self, class: &VideoClass) -> Result<(), Refusal> {
        self.one_of(pic::chroma_format_idc, 1..=1, "the model decodes 4:2:0")?;
        let capability = class.capability(Codec::Hevc).filter(|c| c.chroma.contains(Chroma::C420));
        let Some(capability) = capability else {
            return Err(Refusal::of("class", class.class, "it does not decode HEVC 4:2:0"));
        };
        let depth = self.get(pic::bit_depth_luma);
        self.one_of(pic::bit_depth_luma, 8..=i32::from(capability.depth.1), "outside the class's depths")?;
        self.one_of(pic::bit_depth_chroma, depth..=depth, "luma has another depth")?;
        let largest = |limit: u32| 8..=limit as i32;
        self.one_of(pic::pic_width_in_luma_samples, largest(capability.max.0), "outside the class's widths")?;
        self.one_of(pic::pic_height_in_luma_samples, largest(capability.max.1), "outside the class's heights")
    }

    fn check_blocks(&self) -> Result<(), Refusal> {
        self.one_of(pic::log2_max_luma_coding_block_size, 4..=6, "outside 16 to 64")?;
        let ctb = self.get(pic::log2_max_luma_coding_block_size);
        self.one_of(pic::log2_min_luma_coding_block_size, 3..=ctb, "outside 8 to the coding tree block")?;
        let min_cb = self.get(pic::log2_min_luma_coding_block_size);
        self.one_of(pic::log2_min_transform_block_size, 2..=min_cb - 1, "outside 4 to the coding block")?;
        let min_tb = self.get(pic::log2_min_transform_block_size);
        let why = "outside the smallest to 32 and the coding tree block";
        self.one_of(pic::log2_max_transform_block_size, min_tb..=ctb.min(5), why)?;
        for (field, value) in [
            (pic::pic_width_in_luma_samples.name, self.width()),
            (pic::pic_height_in_luma_samples.name, self.height()),
        ] {
            if !value.is_multiple_of(1 << min_cb) {
                return Err(Refusal::of(field, value, "not a multiple of the smallest coding block"));
            }
        }
        let depth = ctb - min_tb;
        self.one_of(pic::max_transform_hierarchy_depth_inter, 0..=depth, "deeper than the block sizes")?;
        self.one_of(pic::max_transform_hierarchy_depth_intra, 0..=depth, "deeper than the block sizes")?;
        self.one_of(pic::diff_cu_qp_delta_depth, 0..=ctb - min_cb, "deeper than the block sizes")?;
        self.one_of(pic::log2_parallel_merge_level, 2..=ctb, "outside 4 to the coding tree block")?;
        if self.flag(pic::pcm_enabled_flag) {
            let depth = i32::from(self.bit_depth());
            self.one_of(pic::pcm_sample_bit_depth_luma, 1..=depth, "more than the samples have")?;
            self.one_of(pic::pcm_sample_bit_depth_chroma, 1..=depth, "more than the samples have")?;
            self.one_of(pic::log2_min_pcm_luma_coding_block_size, 3..=ctb.min(5), "outside 8 to 32")?;
            let min = self.get(pic::log2_min_pcm_luma_coding_block_size);
            self.one_of(pic::log2_max_pcm_luma_coding_block_size, min..=ctb.min(5), "outside 8 to 32")?;
        }
        Ok(())
    }

    fn check_tools(&self) -> Result<(), Refusal> {
        let off = "the model does not have this tool";
        for field in ABSENT_TOOLS {
            self.one_of(field, 0..=0, off)?;
        }
        if self.flag(pic::transform_skip_enabled_flag) {
            self.one_of(pic::log2MaxTransformSkipSize, 0..=2, "the model skips transforms of 4x4 only")?;
        }
        let qp = pic::init_qp;
        self.one_of(qp, 0..=51 + self.qp_bd_offset(), "outside 0 to 51 + QpBdOffset")?;
        for field in [pic::pps_cb_qp_offset, pic::pps_cr_qp_offset, pic::pps_beta_offset, pic::pps_tc_offset]
        {
            self.one_of(field, -12..=12, "outside -12 to 12")?;
        }
        for field in [pic::num_ref_idx_l0_default_active, pic::num_ref_idx_l1_default_active] {
            self.one_of(field, 1..=15, "outside 1 to 15")?;
        }
        self.one_of(pic::num_ref_frames, 0..=16, "more than the picture table holds")
    }

    fn check_surfaces(&self) -> Result<(), Refusal> {
        let layout = "the model writes block-linear surfaces of 2 GOBs a block";
        self.one_of(pic::tileformat, pic::tileformat_KBL as i32..=pic::tileformat_KBL as i32, layout)?;
        self.one_of(pic::gob_height, 0..=0, layout)?;
        self.one_of(pic::sw_start_code_e, 1..=1, "the model finds slices by their start codes")?;
        let mode = i32::from(self.bit_depth() > 8);
        self.one_of(pic::disp_output_mode, mode..=mode, "the model writes samples in their own depth")?;
        self.one_of(pic::curr_pic_idx, 0..=16, "the picture table has 17 places")?;
        for (i, pitch) in self.pitches().into_iter().enumerate() {
            let row = u64::from(self.width() * self.bytes_per_sample());
            if pitch < row || !pitch.is_multiple_of(64) || pitch > 1 << 18 {
                let value = self.at(pic::framestride, i);
                return Err(Refusal::of(
                    pic::framestride.name,
                    value,
                    "not a multiple of 64 bytes as wide as the picture",
                ));
            }
        }
        Ok(())
    }

    fn check_tiles(&self, class: &VideoClass) -> Result<(), Refusal> {
        let over64 = class.hevc.shapes == Shapes::Measured;
        if over64 && self.width() <= Shapes::NARROW && (self.ctb() < 64 || self.height() > 64) {
            let why = "engines decode such narrow pictures wrongly";
            return Err(Refusal::of(pic::pic_width_in_luma_samples.name, self.width(), why));
        }
        if over64 && self.ctb() < 64 && self.ctb_rows() < 2 {
            let why = "engines decode a single row of small coding tree blocks wrongly";
            return Err(Refusal::of(pic::pic_height_in_luma_samples.name, self.height(), why));
        }
        if !self.flag(pic::tiles_enabled_flag) {
            return Ok(());
        }
        let both = "engines decode tiles or wavefronts, not both";
        let most = i32::from(class.hevc.shapes == Shapes::All);
        if let Err(refusal) = self.one_of(pic::entropy_coding_sync_enabled_flag, 0..=most, both) {
            return Err(Refusal { error_status: ERROR_INTRA, ..refusal });
        }
        let columns = (self.ctb_columns() as i32).min(20);
        self.one_of(pic::num_tile_columns, 1..=columns, "outside 1 to 20 and the picture")?;
        let rows = (self.ctb_rows() as i32).min(22);
        self.one_of(pic::num_tile_rows, 1..=rows, "outside 1 to 22 and the picture")
    }
}

/// Column widths and row heights of the tiles, in coding tree blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TileSizes {
    pub(super) columns: Vec<u32>,
    pub(super) rows: Vec<u32>,
}

impl TileSizes {
    /// Bytes of the table that the engine reads.
    pub(super) fn bytes(setup: &Setup) -> usize {
        let (columns, rows) = setup.tiles();
        (columns * rows * 4) as usize
    }

    /// Reads the table: width and height of every tile, row by row.
    pub(super) fn read(table: &[u8], setup: &Setup, class: &VideoClass) -> Result<TileSizes, Refusal> {
        let (columns, rows) = setup.tiles();
        let size = |tile: u32, part: usize| {
            let at = tile as usize * 4 + part * 2;
            u32::from(u16::from_le_bytes([table[at], table[at + 1]]))
        };
        let sizes = TileSizes {
            columns: (0..columns).map(|i| size(i, 0)).collect(),
            rows: (0..rows).map(|j| size(j * columns, 1)).collect(),
        };
        for tile in 0..columns * rows {
            let (i, j) = ((tile % columns) as usize, (tile / columns) as usize);
            if size(tile, 0) != sizes.columns[i] || size(tile, 1) != sizes.rows[j] {
                return Err(Refusal::of(
                    "tile table",
                    tile,
                    "this tile is not as large as its row and column",
                ));
            }
        }
        let sums = [(&sizes.columns, setup.ctb_columns()), (&sizes.rows, setup.ctb_rows())];
        for (lengths, whole) in sums {
            if lengths.contains(&0) || lengths.iter().sum::<u32>() != whole {
                return Err(Refusal::of("tile table", whole, "the tiles do not make up this many blocks"));
            }
        }
        let narrowest = sizes.columns.iter().map(|w| w * setup.ctb()).min().unwrap_or(0);
        if class.hevc.shapes == Shapes::Measured && columns > 1 && narrowest <= Shapes::NARROW {
            return Err(Refusal::of("tile table", narrowest, "engines decode such narrow tiles wrongly"));
        }
        Ok(sizes)
    }
}

/// The scaling lists as matrices, rows first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ScalingMatrices {
    /// Per `sizeId` and `matrixId`: 16 values for `sizeId` 0, 64 otherwise. Of `sizeId` 3 there are two.
    pub(super) matrices: [Vec<Vec<u8>>; 4],
    /// `scaling_list_dc_coef` of 16x16 and 32x32.
    pub(super) dc: [Vec<u8>; 2],
}

impl ScalingMatrices {
    /// Bytes that the engine reads.
    pub(super) const BYTES: usize = 1008;

    /// Undoes the engine's order, columns first.
    pub(super) fn read(bytes: &[u8; Self::BYTES]) -> ScalingMatrices {
        let mut at = 16;
        let matrices = [(4, 6), (8, 6), (8, 6), (8, 2)].map(|(side, count)| {
            (0..count)
                .map(|_| {
                    let columns = &bytes[at..at + side * side];
                    at += side * side;
                    (0..side * side).map(|i| columns[i % side * side + i / side]).collect()
                })
                .collect()
        });
        ScalingMatrices { matrices, dc: [bytes[..6].to_vec(), bytes[6..8].to_vec()] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nvkernel_sys::class;

    fn setup(fields: &[(Field, i64)]) -> Setup {
        let mut bytes = [0; Setup::BYTES];
        for (field, value) in fields {
            field.write(&mut bytes, 0, *value).unwrap();
        }
        Setup::new(bytes)
    }

    #[test]
    fn an_empty_descriptor_is_refused_by_name() {
        let class = VideoClass::find(class::NVB8B0_VIDEO_DECODER).unwrap();
        let refusal = setup(&[]).check(class).unwrap_err();
        assert_eq!(refusal.to_string(), "chroma_format_idc is 0: the model decodes 4:2:0");
    }

    #[test]
    fn tiles_make_up_the_picture() {
        let class = VideoClass::find(class::NVB8B0_VIDEO_DECODER).unwrap();
        let setup = setup(&[
            (pic::pic_width_in_luma_samples, 640),
            (pic::pic_height_in_luma_samples, 192),
            (pic::log2_max_luma_coding_block_size, 6),
            (pic::tiles_enabled_flag, 1),
            (pic::num_tile_columns, 2),
            (pic::num_tile_rows, 2),
        ]);
        let table = |tiles: [[u16; 2]; 4]| -> Vec<u8> {
            tiles.as_flattened().iter().flat_map(|n| n.to_le_bytes()).collect()
        };
        let good = table([[6, 1], [4, 1], [6, 2], [4, 2]]);
        assert_eq!(good.len(), TileSizes::bytes(&setup));
        let sizes = TileSizes::read(&good, &setup, class).unwrap();
        assert_eq!((sizes.columns, sizes.rows), (vec![6, 4], vec![1, 2]));
        for bad in [
            [[6, 1], [6, 2], [4, 1], [4, 2]],
            [[6, 1], [5, 1], [6, 2], [5, 2]],
            [[10, 1], [0, 1], [10, 2], [0, 2]],
            [[9, 1], [1, 1], [9, 2], [1, 2]],
        ] {
            assert!(TileSizes::read(&table(bad), &setup, class).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn scaling_lists_have_their_columns_first() {
        let mut bytes = [0; ScalingMatrices::BYTES];
        bytes[5] = 17;
        bytes[7] = 18;
        // 4x4, matrixId 1, column 2, row 3.
        bytes[16 + 16 + 2 * 4 + 3] = 1;
        // 32x32, the second matrix, column 5, row 7.
        bytes[0x370 + 64 + 5 * 8 + 7] = 2;
        let lists = ScalingMatrices::read(&bytes);
        assert_eq!((lists.dc[0][5], lists.dc[1][1]), (17, 18));
        assert_eq!((lists.matrices[0][1][3 * 4 + 2], lists.matrices[3][1][7 * 8 + 5]), (1, 2));
    }
}
