//! `sei_rbsp()` (7.3.5, Annex D).

use std::ops::Range;

use bitstream::SyntaxError;

use crate::BitReader;
use crate::error::{Error, Place, Structure};
use crate::picture_hash::PictureHash;

/// `recovery_point()` (D.2.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct RecoveryPoint {
    /// `recovery_poc_cnt`.
    pub recovery_poc_cnt: i32,
    /// `exact_match_flag`.
    pub exact_match_flag: bool,
    /// `broken_link_flag`.
    pub broken_link_flag: bool,
}

/// `active_parameter_sets()` (D.2.21).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ActiveParameterSets {
    /// `active_video_parameter_set_id`.
    pub active_video_parameter_set_id: u8,
    /// `self_contained_cvs_flag`.
    pub self_contained_cvs_flag: bool,
    /// `no_parameter_set_update_flag`.
    pub no_parameter_set_update_flag: bool,
    /// `active_seq_parameter_set_id`, one or more.
    pub active_seq_parameter_set_ids: Vec<u8>,
}

/// `mastering_display_colour_volume()` (D.2.28).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct MasteringDisplay {
    /// `display_primaries_x` and `display_primaries_y` of green, blue and red, in units of 0.00002.
    pub display_primaries: [(u16, u16); 3],
    /// `white_point_x` and `white_point_y`, in units of 0.00002.
    pub white_point: (u16, u16),
    /// `max_display_mastering_luminance`, in units of 0.0001 cd/m2.
    pub max_luminance: u32,
    /// `min_display_mastering_luminance`, in units of 0.0001 cd/m2.
    pub min_luminance: u32,
}

/// `content_light_level_info()` (D.2.35).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ContentLightLevel {
    /// `max_content_light_level`, in cd/m2.
    pub max_content_light_level: u16,
    /// `max_pic_average_light_level`, in cd/m2.
    pub max_pic_average_light_level: u16,
}

/// What an SEI message says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SeiPayload {
    /// payloadType 132, suffix SEI: hash of the picture before it.
    DecodedPictureHash(PictureHash),
    /// payloadType 6.
    RecoveryPoint(RecoveryPoint),
    /// payloadType 129.
    ActiveParameterSets(ActiveParameterSets),
    /// payloadType 137.
    MasteringDisplay(MasteringDisplay),
    /// payloadType 144.
    ContentLightLevel(ContentLightLevel),
    /// A payload type that is not read, or one of the above that could not be read: the payload as it stands.
    Raw(Vec<u8>),
}

/// One SEI message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct SeiMessage {
    /// `payloadType`.
    pub payload_type: u32,
    /// Bytes of the payload in the RBSP of the SEI NAL unit.
    pub payload_range: Range<usize>,
    /// The payload.
    pub payload: SeiPayload,
}

/// Reads all messages of an SEI RBSP.
///
/// # Errors
/// [`SyntaxError::Truncated`] when a message reaches beyond the RBSP; a payload that cannot be read becomes
/// [`SeiPayload::Raw`].
pub fn parse(rbsp: &[u8], suffix: bool) -> Result<Vec<SeiMessage>, Error> {
    let place = Place::new(Structure::Sei);
    let truncated = |element, byte: usize| SyntaxError::Truncated {
        place,
        element,
        position: byte * 8,
        size: rbsp.len() * 8,
    };
    // rbsp_trailing_bits() of an SEI RBSP are one byte: messages are whole bytes.
    let end = rbsp.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let end = if end > 0 && rbsp[end - 1] == 0x80 { end - 1 } else { end };
    let mut messages = Vec::new();
    let mut position = 0;
    while position < end {
        let mut coded = |element| {
            let mut value = 0u32;
            loop {
                let &byte = rbsp.get(position).ok_or_else(|| truncated(element, position))?;
                position += 1;
                value = value.saturating_add(u32::from(byte));
                if byte != 0xff {
                    return Ok::<u32, Error>(value);
                }
            }
        };
        let payload_type = coded("payload_type")?;
        let payload_size = coded("payload_size")? as usize;
        let payload_range = position..position.saturating_add(payload_size);
        let data = rbsp.get(payload_range.clone()).ok_or_else(|| truncated("sei_payload", position))?;
        position = payload_range.end;
        let payload =
            parse_payload(payload_type, data, suffix).unwrap_or_else(|_| SeiPayload::Raw(data.to_vec()));
        messages.push(SeiMessage { payload_type, payload_range, payload });
    }
    Ok(messages)
}

fn parse_payload(payload_type: u32, data: &[u8], suffix: bool) -> Result<SeiPayload, Error> {
    let r = &mut BitReader::new(data, Place::new(Structure::Sei));
    Ok(match (payload_type, suffix) {
        (132, true) => match PictureHash::parse(data) {
            Some(hash) => SeiPayload::DecodedPictureHash(hash),
            None => SeiPayload::Raw(data.to_vec()),
        },
        (6, false) => SeiPayload::RecoveryPoint(RecoveryPoint {
            recovery_poc_cnt: r.se_range(-0x8000, 0x7fff, "recovery_poc_cnt")?,
            exact_match_flag: r.flag("exact_match_flag")?,
            broken_link_flag: r.flag("broken_link_flag")?,
        }),
        (129, false) => {
            let active_video_parameter_set_id = r.u8(4, "active_video_parameter_set_id")?;
            let self_contained_cvs_flag = r.flag("self_contained_cvs_flag")?;
            let no_parameter_set_update_flag = r.flag("no_parameter_set_update_flag")?;
            let count = 1 + r.ue_max(15, "num_sps_ids_minus1")?;
            let ids = (0..count).map(|_| r.ue8(15, "active_seq_parameter_set_id"));
            SeiPayload::ActiveParameterSets(ActiveParameterSets {
                active_video_parameter_set_id,
                self_contained_cvs_flag,
                no_parameter_set_update_flag,
                active_seq_parameter_set_ids: ids.collect::<Result<_, _>>()?,
            })
        }
        (137, false) => {
            let point = |r: &mut BitReader<'_>| -> Result<(u16, u16), Error> {
                Ok((r.u(16, "display_primaries_x")? as u16, r.u(16, "display_primaries_y")? as u16))
            };
            SeiPayload::MasteringDisplay(MasteringDisplay {
                display_primaries: [point(r)?, point(r)?, point(r)?],
                white_point: point(r)?,
                max_luminance: r.u(32, "max_display_mastering_luminance")?,
                min_luminance: r.u(32, "min_display_mastering_luminance")?,
            })
        }
        (144, false) => SeiPayload::ContentLightLevel(ContentLightLevel {
            max_content_light_level: r.u(16, "max_content_light_level")? as u16,
            max_pic_average_light_level: r.u(16, "max_pic_average_light_level")? as u16,
        }),
        _ => SeiPayload::Raw(data.to_vec()),
    })
}
