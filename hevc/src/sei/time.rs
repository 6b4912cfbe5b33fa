//! Messages about time: when a picture was taken, and how it is shown.

use crate::BitReader;
use crate::error::{Error, Place, Structure};
use crate::sps::Sps;

/// `time_code()` (D.2.27).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TimeCode {
    /// One for each of `num_clock_ts`, 3 at most: of the frame, or of its fields in output order; `None` without
    /// `clock_timestamp_flag`.
    pub clock_timestamps: Vec<Option<ClockTimestamp>>,
}

/// One time stamp of a time code message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ClockTimestamp {
    /// `units_field_based_flag`: `n_frames` counts fields or frames at twice the unit.
    pub units_field_based_flag: bool,
    /// `counting_type` (D.3.27): how values of `n_frames` are left out; 4 is drop-frame counting.
    pub counting_type: u8,
    /// `full_timestamp_flag`: hours, minutes and seconds are all there.
    pub full_timestamp_flag: bool,
    /// `discontinuity_flag`: the difference to the time stamp before says nothing.
    pub discontinuity_flag: bool,
    /// `cnt_dropped_flag`: values of `n_frames` are left out right before this one.
    pub cnt_dropped_flag: bool,
    /// `n_frames`.
    pub n_frames: u16,
    /// `seconds_value`, 0 to 59; as before if `None`, and so the next two.
    pub seconds_value: Option<u8>,
    /// `minutes_value`, 0 to 59.
    pub minutes_value: Option<u8>,
    /// `hours_value`, 0 to 23.
    pub hours_value: Option<u8>,
    /// `time_offset_value`, in units of `vui_num_units_in_tick` / `vui_time_scale`.
    pub time_offset_value: i32,
}

impl TimeCode {
    pub(super) fn parse(r: &mut BitReader<'_>) -> Result<Self, Error> {
        let count = r.u(2, "num_clock_ts")?;
        let mut clock_timestamps = Vec::new();
        for _ in 0..count {
            let present = r.flag("clock_timestamp_flag")?;
            clock_timestamps.push(if present { Some(ClockTimestamp::parse(r)?) } else { None });
        }
        Ok(Self { clock_timestamps })
    }
}

impl ClockTimestamp {
    fn parse(r: &mut BitReader<'_>) -> Result<Self, Error> {
        let mut stamp = Self {
            units_field_based_flag: r.flag("units_field_based_flag")?,
            counting_type: r.u8(5, "counting_type")?,
            full_timestamp_flag: r.flag("full_timestamp_flag")?,
            discontinuity_flag: r.flag("discontinuity_flag")?,
            cnt_dropped_flag: r.flag("cnt_dropped_flag")?,
            n_frames: r.u(9, "n_frames")? as u16,
            seconds_value: None,
            minutes_value: None,
            hours_value: None,
            time_offset_value: 0,
        };
        let full = stamp.full_timestamp_flag;
        if full || r.flag("seconds_flag")? {
            stamp.seconds_value = Some(part(r, 6, 59, "seconds_value")?);
            if full || r.flag("minutes_flag")? {
                stamp.minutes_value = Some(part(r, 6, 59, "minutes_value")?);
                if full || r.flag("hours_flag")? {
                    stamp.hours_value = Some(part(r, 5, 23, "hours_value")?);
                }
            }
        }
        let bits = r.u(5, "time_offset_length")?;
        if bits > 0 {
            stamp.time_offset_value = r.i(bits, "time_offset_value")?;
        }
        Ok(stamp)
    }
}

fn part(r: &mut BitReader<'_>, bits: u32, max: i64, element: &'static str) -> Result<u8, Error> {
    let value = r.u8(bits, element)?;
    r.check(element, i64::from(value), 0, max)?;
    Ok(value)
}

/// `pic_timing()` (D.2.3), up to `pic_dpb_output_du_delay`. What follows is about decoding units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PicTiming {
    /// With `frame_field_info_present_flag` of the VUI.
    pub frame_field_info: Option<FrameFieldInfo>,
    /// With HRD parameters in the VUI; those that only the VPS has are not looked for.
    pub delays: Option<CpbDpbDelays>,
}

/// Whether a picture is a frame or a field, and how it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct FrameFieldInfo {
    /// `pic_struct` (Table D.2).
    pub pic_struct: u8,
    /// `source_scan_type`: 0 interlaced, 1 progressive, 2 unknown, 3 reserved.
    pub source_scan_type: u8,
    /// `duplicate_flag`: the picture repeats the one before it in output order.
    pub duplicate_flag: bool,
}

/// When a picture leaves the buffers of the reference decoder, in clock ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct CpbDpbDelays {
    /// `au_cpb_removal_delay_minus1`.
    pub au_cpb_removal_delay_minus1: u32,
    /// `pic_dpb_output_delay`.
    pub pic_dpb_output_delay: u32,
    /// `pic_dpb_output_du_delay`, in clock sub-ticks.
    pub pic_dpb_output_du_delay: Option<u32>,
}

impl PicTiming {
    /// `payloadType`.
    pub const PAYLOAD_TYPE: u32 = 1;

    /// Reads a payload that is meant for a picture with `sps`.
    ///
    /// # Errors
    /// [`SyntaxError::Truncated`](bitstream::SyntaxError::Truncated)
    pub fn parse(payload: &[u8], sps: &Sps) -> Result<Self, Error> {
        let r = &mut BitReader::new(payload, Place::new(Structure::Sei));
        let Some(vui) = &sps.vui else { return Ok(Self::default()) };
        let frame_field_info = if vui.frame_field_info_present_flag {
            Some(FrameFieldInfo {
                pic_struct: r.u8(4, "pic_struct")?,
                source_scan_type: r.u8(2, "source_scan_type")?,
                duplicate_flag: r.flag("duplicate_flag")?,
            })
        } else {
            None
        };
        let common = vui.hrd_parameters.as_ref().map(|hrd| &hrd.common);
        // CpbDpbDelaysPresentFlag
        let present = |c: &&crate::hrd::CommonHrd| {
            c.nal_hrd_parameters_present_flag || c.vcl_hrd_parameters_present_flag
        };
        let delays = match common.filter(present) {
            Some(common) => {
                let bits = u32::from(common.au_cpb_removal_delay_length_minus1) + 1;
                let au_cpb_removal_delay_minus1 = r.u(bits, "au_cpb_removal_delay_minus1")?;
                let bits = u32::from(common.dpb_output_delay_length_minus1) + 1;
                let pic_dpb_output_delay = r.u(bits, "pic_dpb_output_delay")?;
                let du = common.sub_pic.map(|sub_pic| {
                    r.u(u32::from(sub_pic.dpb_output_delay_du_length_minus1) + 1, "pic_dpb_output_du_delay")
                });
                let pic_dpb_output_du_delay = du.transpose()?;
                Some(CpbDpbDelays {
                    au_cpb_removal_delay_minus1,
                    pic_dpb_output_delay,
                    pic_dpb_output_du_delay,
                })
            }
            None => None,
        };
        Ok(Self { frame_field_info, delays })
    }
}
