//! [`StreamInfo`]: what a stream says of itself.

use hevc::{Sps, Vps};

/// What a stream says of itself that its samples do not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamInfo {
    /// Sample aspect ratio; `None` if unspecified.
    pub sample_aspect_ratio: Option<(u16, u16)>,
    /// Pictures per second as a fraction, by VPS or VUI timing, or by the times of a container.
    pub frame_rate: Option<(u32, u32)>,
    /// The unit of the times of its pictures as a fraction of a second, if they have any.
    pub time_base: Option<(u32, u32)>,
    /// `chroma_sample_loc_type_top_field`.
    pub chroma_sample_loc_type: Option<u32>,
    /// `field_seq_flag`: pictures are fields.
    pub field_seq: bool,
}

impl StreamInfo {
    /// From the parameter sets of the first picture.
    pub fn of(sps: &Sps, vps: Option<&Vps>) -> StreamInfo {
        let vui = sps.vui.as_ref();
        let timing = vps.and_then(|vps| vps.timing_info).or_else(|| vui.and_then(|vui| vui.timing_info));
        StreamInfo {
            sample_aspect_ratio: vui.and_then(|vui| vui.sample_aspect_ratio),
            frame_rate: timing.and_then(|t| reduce(t.time_scale, t.num_units_in_tick)),
            time_base: None,
            chroma_sample_loc_type: vui.and_then(|vui| vui.chroma_sample_loc_type).map(|(top, _)| top),
            field_seq: vui.is_some_and(|vui| vui.field_seq_flag),
        }
    }

    /// The frame rate, or FFmpeg's assumption for byte streams without timing.
    pub fn frame_rate_or_default(&self) -> (u32, u32) {
        self.frame_rate.unwrap_or((25, 1))
    }
}

fn reduce(numerator: u32, denominator: u32) -> Option<(u32, u32)> {
    let (mut a, mut b) = (numerator, denominator);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    (numerator != 0 && denominator != 0).then(|| (numerator / a, denominator / a))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_rates_are_reduced() {
        assert_eq!(reduce(60_000, 1001), Some((60_000, 1001)));
        assert_eq!(reduce(50, 2), Some((25, 1)));
        assert_eq!(reduce(0, 1), None);
        assert_eq!(reduce(1, 0), None);
        assert_eq!(StreamInfo::default().frame_rate_or_default(), (25, 1));
    }
}
