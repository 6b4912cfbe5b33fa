//! `st_ref_pic_set()` (7.3.7, 7.4.8) and the reference picture set of a picture (8.3.2).

use crate::bits::BitReader;
use crate::error::Error;
use crate::slice::SliceHeader;
use crate::sps::Sps;

/// Most pictures that one reference picture set may name: the DPB holds 16 pictures at most (A.4.2).
pub const MAX_REFERENCES: usize = 16;

/// One picture of a short-term reference picture set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct StRefPic {
    /// `DeltaPocS0` or `DeltaPocS1`: picture order count relative to the current picture.
    pub delta_poc: i32,
    /// `UsedByCurrPicS0` or `UsedByCurrPicS1`.
    pub used_by_curr_pic: bool,
}

/// A short-term reference picture set with inter prediction resolved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct StRefPicSet {
    /// Pictures before the current one in output order, nearest first (S0).
    pub negative: Vec<StRefPic>,
    /// Pictures after the current one in output order, nearest first (S1).
    pub positive: Vec<StRefPic>,
}

impl StRefPicSet {
    /// `NumDeltaPocs`.
    pub fn num_delta_pocs(&self) -> usize {
        self.negative.len() + self.positive.len()
    }

    /// Reads `st_ref_pic_set(idx)`; `previous` are the sets of the SPS before it, all of them in a slice header. Also
    /// returns `RefRpsIdx`, the set it is predicted from, if any.
    pub(crate) fn parse(
        r: &mut BitReader<'_>,
        idx: usize,
        previous: &[StRefPicSet],
        in_slice_header: bool,
    ) -> Result<(Self, Option<usize>), Error> {
        let predicted = idx != 0 && r.flag("inter_ref_pic_set_prediction_flag")?;
        let (set, source) = if predicted {
            let delta_idx =
                if in_slice_header { r.ue_max(idx as u32 - 1, "delta_idx_minus1")? + 1 } else { 1 };
            let delta_rps_sign = r.flag("delta_rps_sign")?;
            let abs_delta_rps = r.ue_max(0x7fff, "abs_delta_rps_minus1")? as i32 + 1;
            let delta_rps = if delta_rps_sign { -abs_delta_rps } else { abs_delta_rps };
            let source = idx - delta_idx as usize;
            (Self::parse_predicted(r, &previous[source], delta_rps)?, Some(source))
        } else {
            (Self::parse_explicit(r)?, None)
        };
        r.check("NumDeltaPocs", set.num_delta_pocs() as i64, 0, MAX_REFERENCES as i64)?;
        for pic in set.negative.iter().chain(&set.positive) {
            // The standard's limit for each step; sums beyond it cannot name a picture either.
            r.check("DeltaPoc", i64::from(pic.delta_poc), -0x8000 * 16, 0x8000 * 16)?;
        }
        Ok((set, source))
    }

    fn parse_explicit(r: &mut BitReader<'_>) -> Result<Self, Error> {
        let num_negative_pics = r.ue_max(MAX_REFERENCES as u32, "num_negative_pics")?;
        let num_positive_pics = r.ue_max(MAX_REFERENCES as u32 - num_negative_pics, "num_positive_pics")?;
        let mut side = |count: u32, sign: i32, delta: &'static str, used: &'static str| {
            let mut delta_poc = 0;
            (0..count)
                .map(|_| {
                    delta_poc += sign * (r.ue_max(0x7fff, delta)? as i32 + 1);
                    Ok(StRefPic { delta_poc, used_by_curr_pic: r.flag(used)? })
                })
                .collect::<Result<Vec<_>, Error>>()
        };
        Ok(Self {
            negative: side(num_negative_pics, -1, "delta_poc_s0_minus1", "used_by_curr_pic_s0_flag")?,
            positive: side(num_positive_pics, 1, "delta_poc_s1_minus1", "used_by_curr_pic_s1_flag")?,
        })
    }

    /// 7.4.8, equations 7-61 and 7-62.
    fn parse_predicted(r: &mut BitReader<'_>, source: &StRefPicSet, delta_rps: i32) -> Result<Self, Error> {
        // used_by_curr_pic_flag[j] and use_delta_flag[j], j over S0, S1 and the source picture itself.
        let count = source.num_delta_pocs();
        let mut flags = [(false, true); MAX_REFERENCES + 1];
        for entry in &mut flags[..=count] {
            entry.0 = r.flag("used_by_curr_pic_flag")?;
            if !entry.0 {
                entry.1 = r.flag("use_delta_flag")?;
            }
        }
        let num_negative = source.negative.len();
        let candidate = |target: &mut Vec<StRefPic>, j: usize, delta_poc: i32, negative: bool| {
            let (used_by_curr_pic, use_delta) = flags[j];
            if use_delta && delta_poc != 0 && (delta_poc < 0) == negative {
                target.push(StRefPic { delta_poc, used_by_curr_pic });
            }
        };
        let mut set = Self::default();
        for (j, pic) in source.positive.iter().enumerate().rev() {
            candidate(&mut set.negative, num_negative + j, pic.delta_poc + delta_rps, true);
        }
        candidate(&mut set.negative, count, delta_rps, true);
        for (j, pic) in source.negative.iter().enumerate() {
            candidate(&mut set.negative, j, pic.delta_poc + delta_rps, true);
        }
        for (j, pic) in source.negative.iter().enumerate().rev() {
            candidate(&mut set.positive, j, pic.delta_poc + delta_rps, false);
        }
        candidate(&mut set.positive, count, delta_rps, false);
        for (j, pic) in source.positive.iter().enumerate() {
            candidate(&mut set.positive, num_negative + j, pic.delta_poc + delta_rps, false);
        }
        Ok(set)
    }
}

/// A long-term entry of a reference picture set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct LongTermRef {
    /// `PocLtCurr` or `PocLtFoll`: the whole picture order count, or its least significant bits only.
    pub poc: i32,
    /// `CurrDeltaPocMsbPresentFlag` or `FollDeltaPocMsbPresentFlag`: whether `poc` is whole.
    pub msb_present: bool,
}

impl LongTermRef {
    /// Whether this entry names the picture with this `PicOrderCntVal`; `max_poc_lsb` is `MaxPicOrderCntLsb`.
    pub fn names(&self, pic_order_cnt_val: i32, max_poc_lsb: i32) -> bool {
        if self.msb_present {
            self.poc == pic_order_cnt_val
        } else {
            self.poc == pic_order_cnt_val & (max_poc_lsb - 1)
        }
    }
}

/// The five lists of picture order counts of a picture (8.3.2, equation 8-5).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ReferencePictureSet {
    /// `PocStCurrBefore`.
    pub st_curr_before: Vec<i32>,
    /// `PocStCurrAfter`.
    pub st_curr_after: Vec<i32>,
    /// `PocStFoll`: kept for later pictures, not used by this one.
    pub st_foll: Vec<i32>,
    /// `PocLtCurr`.
    pub lt_curr: Vec<LongTermRef>,
    /// `PocLtFoll`: kept for later pictures, not used by this one.
    pub lt_foll: Vec<LongTermRef>,
}

impl ReferencePictureSet {
    /// Derives the lists from a slice segment header; all are empty for an IDR picture.
    ///
    /// `clear` is set for an IRAP picture with `NoRaslOutputFlag`, whose reference picture set is empty whatever the
    /// header of a BLA or CRA picture says: all reference pictures in the DPB are removed first.
    pub(crate) fn derive(header: &SliceHeader, sps: &Sps, pic_order_cnt_val: i32, clear: bool) -> Self {
        let mut rps = Self::default();
        if clear {
            return rps;
        }
        let set = header.short_term_ref_pic_set(sps);
        for (pics, curr) in
            [(&set.negative, &mut rps.st_curr_before), (&set.positive, &mut rps.st_curr_after)]
        {
            for pic in pics {
                let list = if pic.used_by_curr_pic { &mut *curr } else { &mut rps.st_foll };
                list.push(pic_order_cnt_val.wrapping_add(pic.delta_poc));
            }
        }
        for pic in &header.long_term_ref_pics {
            let poc = match pic.delta_poc_msb_cycle_lt {
                // 8-5: pocLt += PicOrderCntVal - DeltaPocMsbCycleLt * MaxPicOrderCntLsb - (PicOrderCntVal & mask)
                Some(cycle) => {
                    let max_lsb = sps.max_pic_order_cnt_lsb();
                    let msb = pic_order_cnt_val.wrapping_sub(pic_order_cnt_val & (max_lsb - 1));
                    msb.wrapping_sub((cycle as i32).wrapping_mul(max_lsb)).wrapping_add(pic.poc_lsb_lt as i32)
                }
                None => pic.poc_lsb_lt as i32,
            };
            let entry = LongTermRef { poc, msb_present: pic.delta_poc_msb_cycle_lt.is_some() };
            if pic.used_by_curr_pic_lt {
                rps.lt_curr.push(entry);
            } else {
                rps.lt_foll.push(entry);
            }
        }
        rps
    }

    /// `NumPicTotalCurr` (7-55): pictures that this picture may refer to, missing ones included.
    pub fn num_pic_total_curr(&self) -> usize {
        self.st_curr_before.len() + self.st_curr_after.len() + self.lt_curr.len()
    }

    /// Whether no picture is named.
    pub fn is_empty(&self) -> bool {
        self.num_pic_total_curr() + self.st_foll.len() + self.lt_foll.len() == 0
    }
}
