//! What the standard derives for a picture from its first slice segment and from the pictures before.

use std::sync::Arc;

use super::StartAt;
use crate::nal::{NalHeader, NalUnitType};
use crate::pps::Pps;
use crate::rps::ReferencePictureSet;
use crate::slice::{SliceHeader, SliceType};
use crate::sps::Sps;
use crate::vps::Vps;

/// A coded picture: its parameter sets and what clauses 8.1.3, 8.3.1 and 8.3.2 derive for it.
///
/// Pictures that are [`skipped`](Self::skipped) are not to be decoded nor given to the
/// [`DecodedPictureBuffer`](crate::DecodedPictureBuffer).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Picture {
    /// The active SPS.
    pub sps: Arc<Sps>,
    /// The active PPS.
    pub pps: Arc<Pps>,
    /// The VPS that the SPS refers to, if it was received; decoding needs nothing of it.
    pub vps: Option<Arc<Vps>>,
    /// Header of the first slice segment received.
    pub header: Arc<SliceHeader>,
    /// `nal_unit_type` of all its slice segments.
    pub nal_unit_type: NalUnitType,
    /// `TemporalId`.
    pub temporal_id: u8,
    /// `PicOrderCntVal`.
    pub pic_order_cnt_val: i32,
    /// `NoRaslOutputFlag` of an IRAP picture: it starts a coded video sequence. `false` for other pictures.
    pub no_rasl_output_flag: bool,
    /// `PicOutputFlag`: `pic_output_flag`, but 0 for RASL pictures associated with an IRAP picture with
    /// `NoRaslOutputFlag`.
    pub pic_output_flag: bool,
    /// Not to be decoded: a RASL picture associated with an IRAP picture with `NoRaslOutputFlag`, or a picture before
    /// the first one at which decoding may start ([`StartAt`]).
    pub skipped: bool,
    /// The first slice segment was lost: `header` is that of a later one.
    pub first_slice_missing: bool,
    /// `NoOutputOfPriorPicsFlag` (C.5.2.2): for a picture with `no_rasl_output_flag`, earlier pictures not output yet
    /// are dropped. As coded, but 1 for CRA pictures; when the picture size changes, where the standard lets the
    /// decoder choose, it stays as coded.
    pub no_output_of_prior_pics_flag: bool,
    /// `false` when the picture starts the bitstream or follows [`Parser::reset`](super::Parser::reset).
    pub has_prior_pictures: bool,
    /// Counts coded video sequences from 0, over the life of the parser.
    pub sequence: u64,
    /// The reference picture set.
    pub rps: ReferencePictureSet,
}

impl Picture {
    /// Intra random access point picture.
    pub fn is_irap(&self) -> bool {
        self.nal_unit_type.is_irap()
    }

    /// Instantaneous decoding refresh picture.
    pub fn is_idr(&self) -> bool {
        self.nal_unit_type.is_idr()
    }
}

/// State from picture to picture.
#[derive(Debug, Default)]
pub(super) struct Activation {
    active_sps: Option<Arc<Sps>>,
    /// Decoding has started: there was an IRAP picture, or another that [`StartAt`] allows.
    started: bool,
    /// An end of sequence came after the last picture.
    after_end_of_sequence: bool,
    /// `NoRaslOutputFlag` of the last IRAP picture.
    irap_no_rasl_output_flag: bool,
    /// A recovery point SEI message came after the last picture.
    pub(super) recovery_point: bool,
    /// Coded video sequences started.
    sequences: u64,
}

impl Activation {
    pub(super) fn reset(&mut self) {
        *self = Self { sequences: self.sequences, ..Self::default() };
    }

    pub(super) fn end_of_sequence(&mut self) {
        self.after_end_of_sequence = true;
    }

    /// The next IRAP picture is the first of the bitstream or the first after an end of sequence.
    pub(super) fn at_start(&self) -> bool {
        !self.started || self.after_end_of_sequence
    }

    /// The SPS of the coded video sequence.
    pub(super) fn active_sps(&self) -> Option<&Arc<Sps>> {
        self.active_sps.as_ref().filter(|_| self.started)
    }

    /// Derives everything for a new picture.
    pub(super) fn start(
        &mut self,
        nal: NalHeader,
        header: &Arc<SliceHeader>,
        (vps, sps, pps): (Option<Arc<Vps>>, Arc<Sps>, Arc<Pps>),
        pic_order_cnt_val: i32,
        starts_sequence: bool,
        start_at: StartAt,
    ) -> Picture {
        let nal_unit_type = nal.nal_unit_type;
        let has_prior_pictures = self.started;
        let may_start = starts_sequence
            || !nal_unit_type.is_leading()
                && match start_at {
                    StartAt::Irap => false,
                    StartAt::RecoveryPoint => self.recovery_point,
                    StartAt::Intra => self.recovery_point || header.slice_type == SliceType::I,
                    StartAt::Any => true,
                };
        if starts_sequence || (may_start && !self.started) {
            self.sequences += 1;
        }
        self.started |= may_start;
        self.after_end_of_sequence = false;
        self.recovery_point = false;
        if nal_unit_type.is_irap() {
            self.irap_no_rasl_output_flag = starts_sequence;
        }
        if self.started && self.active_sps.as_ref().is_none_or(|active| !Arc::ptr_eq(active, &sps)) {
            self.active_sps = Some(Arc::clone(&sps));
        }
        let rasl_skipped = nal_unit_type.is_rasl() && self.irap_no_rasl_output_flag;
        Picture {
            rps: ReferencePictureSet::derive(header, &sps, pic_order_cnt_val, starts_sequence),
            sps,
            pps,
            vps,
            header: Arc::clone(header),
            nal_unit_type,
            temporal_id: nal.temporal_id,
            pic_order_cnt_val,
            no_rasl_output_flag: starts_sequence,
            pic_output_flag: header.pic_output_flag && !rasl_skipped,
            skipped: rasl_skipped || !self.started,
            first_slice_missing: !header.first_slice_segment_in_pic_flag,
            no_output_of_prior_pics_flag: header.no_output_of_prior_pics_flag || nal_unit_type.is_cra(),
            has_prior_pictures,
            sequence: self.sequences.saturating_sub(1),
        }
    }
}
