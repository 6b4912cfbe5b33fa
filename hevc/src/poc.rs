//! Picture order count (8.3.1).

/// Decodes `PicOrderCntVal` from `slice_pic_order_cnt_lsb`.
///
/// ```
/// let mut poc = hevc::poc::PocDecoder::new();
/// assert_eq!(poc.decode(14, 16, true), 14); // IRAP with NoRaslOutputFlag
/// poc.set_reference(14);
/// assert_eq!(poc.decode(1, 16, false), 17); // the 4-bit LSB has wrapped
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PocDecoder {
    /// `PicOrderCntVal` of `prevTid0Pic`.
    prev_tid0_pic: i32,
}

impl PocDecoder {
    /// At the start of a bitstream.
    pub fn new() -> Self {
        Self::default()
    }

    /// `PicOrderCntVal` of a picture. `clear_msb` is set for IRAP pictures with `NoRaslOutputFlag`; `max_poc_lsb` is
    /// `MaxPicOrderCntLsb`, a power of two.
    pub fn decode(&self, slice_pic_order_cnt_lsb: i32, max_poc_lsb: i32, clear_msb: bool) -> i32 {
        if clear_msb {
            return slice_pic_order_cnt_lsb;
        }
        let prev_lsb = self.prev_tid0_pic & (max_poc_lsb - 1);
        let prev_msb = self.prev_tid0_pic.wrapping_sub(prev_lsb);
        let half = max_poc_lsb / 2;
        let msb = if slice_pic_order_cnt_lsb < prev_lsb && prev_lsb - slice_pic_order_cnt_lsb >= half {
            prev_msb.wrapping_add(max_poc_lsb)
        } else if slice_pic_order_cnt_lsb > prev_lsb && slice_pic_order_cnt_lsb - prev_lsb > half {
            prev_msb.wrapping_sub(max_poc_lsb)
        } else {
            prev_msb
        };
        msb.wrapping_add(slice_pic_order_cnt_lsb)
    }

    /// Makes a picture `prevTid0Pic`: one with `TemporalId` 0 that is no RASL, RADL or sub-layer non-reference picture.
    pub fn set_reference(&mut self, pic_order_cnt_val: i32) {
        self.prev_tid0_pic = pic_order_cnt_val;
    }
}

#[cfg(test)]
mod tests {
    use super::PocDecoder;

    #[test]
    fn follows_any_walk_shorter_than_half_the_lsb_range() {
        let mut decoder = PocDecoder::new();
        let max_lsb = 16;
        let mut poc = 3i32;
        assert_eq!(decoder.decode(3, max_lsb, true), 3);
        decoder.set_reference(3);
        for step in [7, 8, -7, -8, 1, -3, 8, 8, 8, -7, -7, -7, -7, -7, -7, 5] {
            poc += step;
            // A distance of exactly half is read as forward for a smaller LSB and as unchanged for a larger one.
            let lsb = poc & (max_lsb - 1);
            let previous_lsb = (poc - step) & (max_lsb - 1);
            let ambiguous = step.abs() == 8 && (step > 0) != (lsb < previous_lsb) && lsb != previous_lsb;
            let decoded = decoder.decode(lsb, max_lsb, false);
            if ambiguous {
                assert_eq!((decoded - poc).abs() % max_lsb, 0);
            } else if step.abs() < 8 {
                assert_eq!(decoded, poc, "step {step}");
            }
            poc = decoded;
            decoder.set_reference(poc);
        }
    }
}
