//! `st_ref_pic_set()` (7.3.7, 7.4.8) and the reference picture set of a picture (8.3.2).

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;

use crate::BitReader;
use crate::error::Error;
use crate::slice::{LongTermRefPic, SliceHeader};
use crate::sps::Sps;

/// Most pictures that one reference picture set may name: the DPB holds 16 pictures at most (A.4.2).
pub const MAX_REFERENCES: usize = 16;

/// Some lists of pictures one behind the other, [`MAX_REFERENCES`] together at most: small enough to be copied, and no
/// memory to be allocated for each picture.
#[derive(Clone, Copy)]
pub(crate) struct Lists<T, const LISTS: usize> {
    elements: [T; MAX_REFERENCES],
    /// Where each list ends in `elements`.
    ends: [u8; LISTS],
}

impl<T: Copy, const LISTS: usize> Lists<T, LISTS> {
    /// Empty lists; `unused` stands where no element is.
    pub(crate) const fn new(unused: T) -> Self {
        Self { elements: [unused; MAX_REFERENCES], ends: [0; LISTS] }
    }

    /// Gives empty lists these lengths; their elements are still to be filled in.
    pub(crate) fn set_lengths(&mut self, lengths: [usize; LISTS]) {
        let mut end = 0;
        for (place, length) in self.ends.iter_mut().zip(lengths) {
            end += length as u8;
            *place = end;
        }
    }

    /// Appends to a list. Those behind it must be empty, and there must be room.
    pub(crate) fn push(&mut self, list: usize, element: T) {
        let end = self.ends[list];
        self.elements[usize::from(end)] = element;
        self.ends[list..].fill(end + 1);
    }

    fn range(&self, list: usize) -> Range<usize> {
        let start = if list == 0 { 0 } else { self.ends[list - 1] };
        usize::from(start)..usize::from(self.ends[list])
    }

    /// One of the lists.
    pub(crate) fn list(&self, list: usize) -> &[T] {
        &self.elements[self.range(list)]
    }

    /// One of the lists.
    pub(crate) fn list_mut(&mut self, list: usize) -> &mut [T] {
        let range = self.range(list);
        &mut self.elements[range]
    }

    /// The lists up to the one given, it included.
    pub(crate) fn up_to(&self, list: usize) -> &[T] {
        &self.elements[..usize::from(self.ends[list])]
    }

    /// As [`up_to`](Self::up_to).
    pub(crate) fn up_to_mut(&mut self, list: usize) -> &mut [T] {
        &mut self.elements[..usize::from(self.ends[list])]
    }

    /// The elements of all lists.
    pub(crate) fn all(&self) -> &[T] {
        self.up_to(LISTS - 1)
    }

    /// The elements of all lists.
    pub(crate) fn all_mut(&mut self) -> &mut [T] {
        self.up_to_mut(LISTS - 1)
    }
}

impl<T: Copy + Default, const LISTS: usize> Default for Lists<T, LISTS> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: Copy + PartialEq, const LISTS: usize> PartialEq for Lists<T, LISTS> {
    fn eq(&self, other: &Self) -> bool {
        self.ends == other.ends && self.all() == other.all()
    }
}

impl<T: Copy + Eq, const LISTS: usize> Eq for Lists<T, LISTS> {}

impl<T: Copy + Hash, const LISTS: usize> Hash for Lists<T, LISTS> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.ends.hash(state);
        self.all().hash(state);
    }
}

/// One picture of a short-term reference picture set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct StRefPic {
    /// `DeltaPocS0` or `DeltaPocS1`: picture order count relative to the current picture.
    pub delta_poc: i32,
    /// `UsedByCurrPicS0` or `UsedByCurrPicS1`.
    pub used_by_curr_pic: bool,
}

/// A short-term reference picture set with inter prediction resolved.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct StRefPicSet {
    /// S0 and S1.
    pics: Lists<StRefPic, 2>,
}

/// The lists of [`StRefPicSet`].
const NEGATIVE: usize = 0;
const POSITIVE: usize = 1;

impl StRefPicSet {
    /// A set without pictures.
    pub(crate) const EMPTY: Self =
        Self { pics: Lists::new(StRefPic { delta_poc: 0, used_by_curr_pic: false }) };

    /// Pictures before the current one in output order, nearest first (S0).
    pub fn negative(&self) -> &[StRefPic] {
        self.pics.list(NEGATIVE)
    }

    /// Pictures after the current one in output order, nearest first (S1).
    pub fn positive(&self) -> &[StRefPic] {
        self.pics.list(POSITIVE)
    }

    /// S0 and S1, one behind the other.
    pub fn pics(&self) -> &[StRefPic] {
        self.pics.all()
    }

    /// `NumDeltaPocs`.
    pub fn num_delta_pocs(&self) -> usize {
        self.pics().len()
    }

    /// Reads `st_ref_pic_set(idx)` into an empty set; `previous` are the sets of the SPS before it, all of them in a slice
    /// header. Returns `RefRpsIdx`, the set it is predicted from, if any.
    pub(crate) fn parse(
        &mut self,
        r: &mut BitReader<'_>,
        idx: usize,
        previous: &[StRefPicSet],
        in_slice_header: bool,
    ) -> Result<Option<usize>, Error> {
        let predicted = idx != 0 && r.flag("inter_ref_pic_set_prediction_flag")?;
        if !predicted {
            self.parse_explicit(r)?;
            return Ok(None);
        }
        let delta_idx = if in_slice_header { r.ue_max(idx as u32 - 1, "delta_idx_minus1")? + 1 } else { 1 };
        let delta_rps_sign = r.flag("delta_rps_sign")?;
        let abs_delta_rps = r.ue_max(0x7fff, "abs_delta_rps_minus1")? as i32 + 1;
        let delta_rps = if delta_rps_sign { -abs_delta_rps } else { abs_delta_rps };
        let source = idx - delta_idx as usize;
        self.parse_predicted(r, &previous[source], delta_rps)?;
        Ok(Some(source))
    }

    fn parse_explicit(&mut self, r: &mut BitReader<'_>) -> Result<(), Error> {
        let num_negative_pics = r.ue_max(MAX_REFERENCES as u32, "num_negative_pics")?;
        let num_positive_pics = r.ue_max(MAX_REFERENCES as u32 - num_negative_pics, "num_positive_pics")?;
        self.pics.set_lengths([num_negative_pics as usize, num_positive_pics as usize]);
        let mut delta_poc = 0;
        for pic in self.pics.list_mut(NEGATIVE) {
            delta_poc -= r.ue_max(0x7fff, "delta_poc_s0_minus1")? as i32 + 1;
            *pic = StRefPic { delta_poc, used_by_curr_pic: r.flag("used_by_curr_pic_s0_flag")? };
        }
        delta_poc = 0;
        for pic in self.pics.list_mut(POSITIVE) {
            delta_poc += r.ue_max(0x7fff, "delta_poc_s1_minus1")? as i32 + 1;
            *pic = StRefPic { delta_poc, used_by_curr_pic: r.flag("used_by_curr_pic_s1_flag")? };
        }
        Ok(())
    }

    /// 7.4.8, equations 7-61 and 7-62.
    fn parse_predicted(
        &mut self,
        r: &mut BitReader<'_>,
        source: &StRefPicSet,
        delta_rps: i32,
    ) -> Result<(), Error> {
        // used_by_curr_pic_flag[j] and use_delta_flag[j], j over S0, S1 and the source picture itself.
        let count = source.num_delta_pocs();
        let mut flags = [(false, true); MAX_REFERENCES + 1];
        for entry in &mut flags[..=count] {
            entry.0 = r.flag("used_by_curr_pic_flag")?;
            if !entry.0 {
                entry.1 = r.flag("use_delta_flag")?;
            }
        }
        let (negative, positive) = (source.negative(), source.positive());
        let mut num_delta_pocs = 0;
        let mut candidate = |list: usize, j: usize, delta_poc: i32| {
            let (used_by_curr_pic, use_delta) = flags[j];
            if use_delta && delta_poc != 0 && (delta_poc < 0) == (list == NEGATIVE) {
                num_delta_pocs += 1;
                if num_delta_pocs <= MAX_REFERENCES {
                    self.pics.push(list, StRefPic { delta_poc, used_by_curr_pic });
                }
            }
        };
        for (j, pic) in positive.iter().enumerate().rev() {
            candidate(NEGATIVE, negative.len() + j, pic.delta_poc + delta_rps);
        }
        candidate(NEGATIVE, count, delta_rps);
        for (j, pic) in negative.iter().enumerate() {
            candidate(NEGATIVE, j, pic.delta_poc + delta_rps);
        }
        for (j, pic) in negative.iter().enumerate().rev() {
            candidate(POSITIVE, j, pic.delta_poc + delta_rps);
        }
        candidate(POSITIVE, count, delta_rps);
        for (j, pic) in positive.iter().enumerate() {
            candidate(POSITIVE, negative.len() + j, pic.delta_poc + delta_rps);
        }
        r.check("NumDeltaPocs", num_delta_pocs as i64, 0, MAX_REFERENCES as i64)?;
        for pic in self.pics() {
            // The standard's limit for each step, which explicit sets keep; sums beyond it cannot name a picture either.
            r.check("DeltaPoc", i64::from(pic.delta_poc), -0x8000 * 16, 0x8000 * 16)?;
        }
        Ok(())
    }
}

impl fmt::Debug for StRefPicSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut set = f.debug_struct("StRefPicSet");
        set.field("negative", &self.negative()).field("positive", &self.positive()).finish()
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
