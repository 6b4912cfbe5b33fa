//! The reference picture set of a picture (8.3.2).

use std::fmt;

use crate::lists::Lists;
use crate::slice::SliceHeader;
use crate::sps::Sps;
use crate::st_ref_pic_set::{LongTermRefPic, StRefPic};

/// A long-term entry of a reference picture set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct LongTermRef {
    /// `PocLtCurr` or `PocLtFoll`: the whole picture order count, or its least significant bits only.
    pub poc: i32,
    /// `CurrDeltaPocMsbPresentFlag` or `FollDeltaPocMsbPresentFlag`: whether `poc` is whole.
    pub msb_present: bool,
}

impl LongTermRef {
    /// What an entry of a slice header names (8-5).
    fn of(pic: &LongTermRefPic, sps: &Sps, pic_order_cnt_val: i32) -> Self {
        let poc = match pic.delta_poc_msb_cycle_lt {
            // pocLt += PicOrderCntVal - DeltaPocMsbCycleLt * MaxPicOrderCntLsb - (PicOrderCntVal & mask)
            Some(cycle) => {
                let max_lsb = sps.max_pic_order_cnt_lsb();
                let msb = pic_order_cnt_val.wrapping_sub(pic_order_cnt_val & (max_lsb - 1));
                msb.wrapping_sub((cycle as i32).wrapping_mul(max_lsb)).wrapping_add(pic.poc_lsb_lt as i32)
            }
            None => pic.poc_lsb_lt as i32,
        };
        Self { poc, msb_present: pic.delta_poc_msb_cycle_lt.is_some() }
    }

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
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ReferencePictureSet {
    /// `PocStCurrBefore`, `PocStCurrAfter`, `PocStFoll`.
    short_term: Lists<i32, 3>,
    /// `PocLtCurr`, `PocLtFoll`.
    long_term: Lists<LongTermRef, 2>,
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
        let poc = |pic: &StRefPic| pic_order_cnt_val.wrapping_add(pic.delta_poc);
        for (list, pics) in [set.negative(), set.positive()].into_iter().enumerate() {
            for pic in pics.iter().filter(|pic| pic.used_by_curr_pic) {
                rps.short_term.push(list, poc(pic));
            }
        }
        for pic in set.pics().iter().filter(|pic| !pic.used_by_curr_pic) {
            rps.short_term.push(2, poc(pic));
        }
        for (list, used_by_curr_pic) in [true, false].into_iter().enumerate() {
            let pics = header.long_term_ref_pics.iter();
            for pic in pics.filter(|pic| pic.used_by_curr_pic_lt == used_by_curr_pic) {
                rps.long_term.push(list, LongTermRef::of(pic, sps, pic_order_cnt_val));
            }
        }
        rps
    }

    /// Short-term pictures alone, all for the current one.
    #[cfg(test)]
    pub(crate) fn of_short_term(before: &[i32], after: &[i32]) -> Self {
        let mut rps = Self::default();
        before.iter().for_each(|&poc| rps.short_term.push(0, poc));
        after.iter().for_each(|&poc| rps.short_term.push(1, poc));
        rps
    }

    /// `PocStCurrBefore`.
    pub fn st_curr_before(&self) -> &[i32] {
        self.short_term.list(0)
    }

    /// `PocStCurrAfter`.
    pub fn st_curr_after(&self) -> &[i32] {
        self.short_term.list(1)
    }

    /// `PocStFoll`: kept for later pictures, not used by this one.
    pub fn st_foll(&self) -> &[i32] {
        self.short_term.list(2)
    }

    /// `PocLtCurr`.
    pub fn lt_curr(&self) -> &[LongTermRef] {
        self.long_term.list(0)
    }

    /// `PocLtFoll`: kept for later pictures, not used by this one.
    pub fn lt_foll(&self) -> &[LongTermRef] {
        self.long_term.list(1)
    }

    /// `NumPicTotalCurr` (7-55): pictures that this picture may refer to, missing ones included.
    pub fn num_pic_total_curr(&self) -> usize {
        self.st_curr_before().len() + self.st_curr_after().len() + self.lt_curr().len()
    }

    /// Whether no picture is named.
    pub fn is_empty(&self) -> bool {
        self.short_term.all().is_empty() && self.long_term.all().is_empty()
    }
}

impl fmt::Debug for ReferencePictureSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReferencePictureSet")
            .field("st_curr_before", &self.st_curr_before())
            .field("st_curr_after", &self.st_curr_after())
            .field("st_foll", &self.st_foll())
            .field("lt_curr", &self.lt_curr())
            .field("lt_foll", &self.lt_foll())
            .finish()
    }
}
