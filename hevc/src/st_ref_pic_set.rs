//! The reference pictures that parameter sets and slice headers name: `st_ref_pic_set()` (7.3.7, 7.4.8) and long-term
//! entries.

use std::fmt;

use crate::BitReader;
use crate::error::Error;
use crate::lists::{Lists, MAX_REFERENCES};

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

/// One long-term entry of a slice header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct LongTermRefPic {
    /// `lt_idx_sps`, when the entry is taken from the SPS.
    pub lt_idx_sps: Option<u8>,
    /// `PocLsbLt`.
    pub poc_lsb_lt: u32,
    /// `UsedByCurrPicLt`.
    pub used_by_curr_pic_lt: bool,
    /// `DeltaPocMsbCycleLt` (7-52), when `delta_poc_msb_present_flag` is set.
    pub delta_poc_msb_cycle_lt: Option<u32>,
}
