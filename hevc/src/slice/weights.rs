//! `pred_weight_table()` (7.3.6.3).

use crate::BitReader;
use crate::error::Error;
use crate::sps::Sps;

/// Weights of one reference picture list entry, as coded; all zero where not coded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PredWeight {
    /// `luma_weight_l0_flag` or `_l1_`.
    pub luma_weight_flag: bool,
    /// `chroma_weight_l0_flag` or `_l1_`.
    pub chroma_weight_flag: bool,
    /// `delta_luma_weight_l0` or `_l1_`.
    pub delta_luma_weight: i8,
    /// `luma_offset_l0` or `_l1_`.
    pub luma_offset: i32,
    /// `delta_chroma_weight_l0` or `_l1_`: Cb, Cr.
    pub delta_chroma_weight: [i8; 2],
    /// `delta_chroma_offset_l0` or `_l1_`: Cb, Cr.
    pub delta_chroma_offset: [i32; 2],
}

/// `pred_weight_table()`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PredWeightTable {
    /// `luma_log2_weight_denom`, 0 to 7.
    pub luma_log2_weight_denom: u8,
    /// `ChromaLog2WeightDenom`, 0 to 7; that of luma without chroma.
    pub chroma_log2_weight_denom: u8,
    /// One per entry of list 0.
    pub l0: Vec<PredWeight>,
    /// One per entry of list 1; empty in P slices.
    pub l1: Vec<PredWeight>,
    /// `WpOffsetHalfRangeC`: 128, or half the sample range with `high_precision_offsets_enabled_flag`.
    pub wp_offset_half_range_c: i32,
}

impl PredWeightTable {
    pub(super) fn parse(r: &mut BitReader<'_>, sps: &Sps, count_l0: u8, count_l1: u8) -> Result<Self, Error> {
        let has_chroma = sps.chroma_array_type() != 0;
        let half_range = |bit_depth: u8| {
            1i32 << if sps.range_extension.high_precision_offsets_enabled_flag { bit_depth - 1 } else { 7 }
        };
        let (half_y, half_c) = (half_range(sps.bit_depth_luma), half_range(sps.bit_depth_chroma));
        let luma_log2_weight_denom = r.ue8(7, "luma_log2_weight_denom")?;
        let mut chroma_log2_weight_denom = luma_log2_weight_denom;
        if has_chroma {
            let luma = i32::from(luma_log2_weight_denom);
            let delta = r.se_range(-luma, 7 - luma, "delta_chroma_log2_weight_denom")?;
            chroma_log2_weight_denom = (luma + delta) as u8;
        }
        let mut list = |count: u8| -> Result<Vec<PredWeight>, Error> {
            let mut weights = vec![PredWeight::default(); usize::from(count)];
            for weight in &mut weights {
                weight.luma_weight_flag = r.flag("luma_weight_flag")?;
            }
            if has_chroma {
                for weight in &mut weights {
                    weight.chroma_weight_flag = r.flag("chroma_weight_flag")?;
                }
            }
            for weight in &mut weights {
                if weight.luma_weight_flag {
                    weight.delta_luma_weight = r.se8(-128, 127, "delta_luma_weight")?;
                    weight.luma_offset = r.se_range(-half_y, half_y - 1, "luma_offset")?;
                }
                if weight.chroma_weight_flag {
                    for component in 0..2 {
                        weight.delta_chroma_weight[component] = r.se8(-128, 127, "delta_chroma_weight")?;
                        weight.delta_chroma_offset[component] =
                            r.se_range(-4 * half_c, 4 * half_c - 1, "delta_chroma_offset")?;
                    }
                }
            }
            Ok(weights)
        };
        let l0 = list(count_l0)?;
        let l1 = list(count_l1)?;
        Ok(Self { luma_log2_weight_denom, chroma_log2_weight_denom, l0, l1, wp_offset_half_range_c: half_c })
    }

    /// `LumaWeightL0` or `LumaWeightL1` (7-56).
    pub fn luma_weight(&self, weight: &PredWeight) -> i32 {
        (1 << self.luma_log2_weight_denom) + i32::from(weight.delta_luma_weight)
    }

    /// `ChromaWeightL0` or `ChromaWeightL1` of Cb (0) or Cr (1).
    pub fn chroma_weight(&self, weight: &PredWeight, component: usize) -> i32 {
        (1 << self.chroma_log2_weight_denom) + i32::from(weight.delta_chroma_weight[component])
    }

    /// `ChromaOffsetL0` or `ChromaOffsetL1` of Cb (0) or Cr (1) (7-57).
    pub fn chroma_offset(&self, weight: &PredWeight, component: usize) -> i32 {
        if !weight.chroma_weight_flag {
            return 0;
        }
        let half = self.wp_offset_half_range_c;
        let scaled = (half * self.chroma_weight(weight, component)) >> self.chroma_log2_weight_denom;
        (half + weight.delta_chroma_offset[component] - scaled).clamp(-half, half - 1)
    }
}
