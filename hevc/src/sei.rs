//! `sei_rbsp()` (7.3.5, Annex D).

mod colour;
mod kinds;
mod presentation;
#[cfg(test)]
mod tests;
mod time;
mod user_data;

pub use colour::{
    AlternativeTransfer, AmbientViewing, Chromaticity, ContentColourVolume, ContentLightLevel,
    MasteringDisplay,
};
pub use kinds::{Persistence, SeiKind};
pub use presentation::{
    DisplayOrientation, FilmGrain, FramePacking, GrainColour, GrainComponent, IntensityInterval,
    MAX_MODEL_VALUES,
};
pub use time::{ClockTimestamp, CpbDpbDelays, FrameFieldInfo, PicTiming, TimeCode};
pub use user_data::{RegisteredUserData, T35, UnregisteredUserData};

use std::ops::Range;

use bitstream::SyntaxError;

use crate::BitReader;
use crate::error::{Error, Place, Structure};
use crate::picture_hash::PictureHash;

/// Messages of one NAL unit at most. The standard has no limit; encoders write a few.
pub const MAX_MESSAGES: usize = 1024;

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
    /// payloadType 147.
    AlternativeTransfer(AlternativeTransfer),
    /// payloadType 148.
    AmbientViewing(AmbientViewing),
    /// payloadType 149.
    ContentColourVolume(Flagged<ContentColourVolume>),
    /// payloadType 4.
    RegisteredUserData(RegisteredUserData),
    /// payloadType 5.
    UnregisteredUserData(UnregisteredUserData),
    /// payloadType 19.
    FilmGrain(Flagged<Box<FilmGrain>>),
    /// payloadType 45.
    FramePacking(Flagged<FramePacking>),
    /// payloadType 47.
    DisplayOrientation(Flagged<DisplayOrientation>),
    /// payloadType 136.
    TimeCode(TimeCode),
    /// A payload type that is not read, or one of the above that could not be read: the payload as it stands. The picture
    /// timing message is among them, since its syntax depends on the SPS of the picture to come: [`PicTiming::parse`].
    Raw(Vec<u8>),
}

/// What a message says that can be taken back, and that says itself how long it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flagged<T> {
    /// `*_cancel_flag`: what earlier messages of this type said no longer holds.
    Cancelled,
    /// `*_persistence_flag` is 0: holds for this picture alone, and ends what earlier messages said.
    ThisPicture(T),
    /// `*_persistence_flag` is 1: holds in output order, until the coded video sequence ends or a picture comes with a message
    /// of this type.
    FromHere(T),
}

impl<T> Flagged<T> {
    fn new(value: T, persistence_flag: bool) -> Self {
        if persistence_flag { Self::FromHere(value) } else { Self::ThisPicture(value) }
    }

    /// What holds for the picture; `None` if cancelled.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Cancelled => None,
            Self::ThisPicture(value) | Self::FromHere(value) => Some(value),
        }
    }
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

impl SeiMessage {
    /// What the standard says of its type; `None` for a reserved one.
    pub fn kind(&self) -> Option<&'static SeiKind> {
        SeiKind::of(self.payload_type)
    }
}

/// Reads all messages of an SEI RBSP.
///
/// # Errors
/// [`SyntaxError::Truncated`] when a message reaches beyond the RBSP, [`SyntaxError::OutOfRange`] when there are more than
/// [`MAX_MESSAGES`]; a payload that cannot be read becomes [`SeiPayload::Raw`].
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
        if messages.len() == MAX_MESSAGES {
            let (value, max) = (MAX_MESSAGES as i64 + 1, MAX_MESSAGES as i64);
            return Err(SyntaxError::OutOfRange { place, element: "sei_message", value, min: 0, max }.into());
        }
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
    let read = SeiKind::of(payload_type).filter(|kind| kind.may_be_in(suffix)).and_then(|kind| kind.read);
    match read {
        Some(read) => read(&mut BitReader::new(data, Place::new(Structure::Sei)), data),
        None => Ok(SeiPayload::Raw(data.to_vec())),
    }
}

impl RecoveryPoint {
    fn parse(r: &mut BitReader<'_>) -> Result<Self, Error> {
        Ok(Self {
            recovery_poc_cnt: r.se_range(-0x8000, 0x7fff, "recovery_poc_cnt")?,
            exact_match_flag: r.flag("exact_match_flag")?,
            broken_link_flag: r.flag("broken_link_flag")?,
        })
    }
}

impl ActiveParameterSets {
    fn parse(r: &mut BitReader<'_>) -> Result<Self, Error> {
        let active_video_parameter_set_id = r.u8(4, "active_video_parameter_set_id")?;
        let self_contained_cvs_flag = r.flag("self_contained_cvs_flag")?;
        let no_parameter_set_update_flag = r.flag("no_parameter_set_update_flag")?;
        let count = 1 + r.ue_max(15, "num_sps_ids_minus1")?;
        let ids = (0..count).map(|_| r.ue8(15, "active_seq_parameter_set_id"));
        Ok(Self {
            active_video_parameter_set_id,
            self_contained_cvs_flag,
            no_parameter_set_update_flag,
            active_seq_parameter_set_ids: ids.collect::<Result<_, _>>()?,
        })
    }
}
