//! Where access units start (7.4.2.4.4).

use crate::nal::{NalHeader, NalUnitType};

/// Finds the first NAL unit of each access unit.
///
/// Only the first three bytes of each NAL unit are looked at. An access unit is complete when the first NAL unit of the
/// next one has been seen; a caller that knows the boundaries from a container needs none of this.
#[derive(Debug, Clone, Default)]
pub struct BoundaryDetector {
    /// A slice segment has been seen in the current access unit.
    has_slice: bool,
    /// The last NAL unit was an end of sequence or end of bitstream.
    ended: bool,
    started: bool,
}

impl BoundaryDetector {
    /// At the start of a bitstream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether `nal` is the first NAL unit of an access unit. NAL units must come in order; those whose header is invalid
    /// or whose layer is not the base layer never are.
    pub fn push(&mut self, nal: &[u8]) -> bool {
        let Ok(header) = NalHeader::parse(nal) else {
            return false;
        };
        if header.nuh_layer_id != 0 {
            return false;
        }
        let kind = header.nal_unit_type;
        // Reserved VCL types are removed before anything else looks at the stream.
        let first_slice = kind.is_slice_segment() && nal.get(2).is_some_and(|byte| byte & 0x80 != 0);
        let opens = match kind {
            NalUnitType::AUD_NUT
            | NalUnitType::VPS_NUT
            | NalUnitType::SPS_NUT
            | NalUnitType::PPS_NUT
            | NalUnitType::PREFIX_SEI_NUT => true,
            // RSV_NVCL41..44 and UNSPEC48..55.
            NalUnitType(41..=44 | 48..=55) => true,
            _ => first_slice,
        };
        let closes = matches!(kind, NalUnitType::EOS_NUT | NalUnitType::EOB_NUT);
        let starts = !self.started || (opens && self.has_slice) || (self.ended && !closes);
        self.started = true;
        self.ended = closes;
        if starts {
            self.has_slice = false;
        }
        self.has_slice |= kind.is_slice_segment();
        starts
    }
}
