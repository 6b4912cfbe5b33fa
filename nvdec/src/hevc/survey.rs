//! [`HevcSurvey`]: what the slice headers of a stream say, without a GPU.
//!
//! It goes the way of the front end ([`super::Hevc`]) with the same parser and the same decoded picture buffer, so that it
//! finds the same pictures in the same order.

use std::sync::Arc;

use arrayvec::ArrayVec;
use hevc::dpb::{DecodedPictureBuffer, Output, ResolvedRps};
use hevc::nal::NalUnitType;
use hevc::sei::SeiPayload;
use hevc::{Parser, Picture, SliceHeader, Sps, StartAt};

use crate::error::SyntaxError;
use crate::video::survey::{Described, Flags, ParameterKey, Role, Survey, Surveyed};

/// A survey of HEVC.
#[derive(Debug)]
pub(crate) struct HevcSurvey {
    parser: Parser,
    /// Pictures by their position in decoding order.
    dpb: DecodedPictureBuffer<u32>,
    /// What it puts out; empty but while that is shown.
    due: Vec<Output<u32>>,
    current: Option<Current>,
    /// A recovery point message came, for the picture that comes next.
    is_recovery_point: bool,
    described: Option<Described>,
    error: Option<SyntaxError>,
}

#[derive(Debug)]
struct Current {
    picture: Arc<Picture>,
    rps: ResolvedRps,
    position: u32,
    /// References that its slices name, as a bit for each position in the initial list 0.
    used: u32,
    /// Decoding began with it for want of anything better.
    on_trial: bool,
}

impl Current {
    fn add(&mut self, header: &SliceHeader) {
        self.used |= self.rps.used(header);
        self.used |= self.rps.collocated(header).map_or(0, |at| 1 << at);
    }
}

impl HevcSurvey {
    /// The survey of a stream that a decoder is to begin as it does by default.
    pub(crate) fn new() -> HevcSurvey {
        let mut parser = Parser::new();
        // The default of crate::Start.
        parser.set_start_at(StartAt::Intra);
        let dpb = DecodedPictureBuffer::new();
        let (due, current, is_recovery_point, described, error) = Default::default();
        HevcSurvey { parser, dpb, due, current, is_recovery_point, described, error }
    }

    /// Has the pictures come out that are due.
    fn show(&mut self, shown: &mut Vec<u32>) {
        shown.extend(self.due.drain(..).map(|output| output.payload));
    }

    /// The picture that is being collected is complete.
    fn end_picture(&mut self, pictures: &mut [Surveyed], shown: &mut Vec<u32>) {
        let Some(current) = self.current.take() else { return };
        let surveyed = &mut pictures[current.position as usize];
        if current.on_trial && current.used != 0 {
            self.parser.reset();
            self.dpb.clear();
            surveyed.flags = Flags::DROPPED;
            return;
        }
        let mut needs = ArrayVec::new();
        for (at, entry) in current.rps.initial_list0().enumerate() {
            if current.used >> at & 1 == 0 {
                continue;
            }
            match entry.index.and_then(|index| self.dpb.get(index)) {
                Some(entry) if !needs.contains(&entry.payload) => needs.push(entry.payload),
                Some(_) => {}
                None => surveyed.flags |= Flags::INCOMPLETE,
            }
        }
        needs.sort_unstable();
        surveyed.needs = needs.clone();
        for needed in needs {
            pictures[needed as usize].flags |= Flags::REFERENCE;
        }
        self.dpb.insert(&current.picture, current.position, &mut self.due);
        self.show(shown);
    }

    fn begin(
        &mut self,
        picture: Arc<Picture>,
        header: &SliceHeader,
        pictures: &mut Vec<Surveyed>,
        shown: &mut Vec<u32>,
    ) {
        let is_recovery_point = std::mem::take(&mut self.is_recovery_point);
        let kind = picture.nal_unit_type;
        let mut flags = Flags::empty();
        flags.set(Flags::KEY, picture.is_irap());
        flags.set(Flags::BEGINS_SEQUENCE, picture.is_irap() && picture.no_rasl_output_flag);
        let is_anchor = picture.temporal_id == 0 && !kind.is_leading() && !kind.is_sub_layer_non_reference();
        flags.set(Flags::ANCHOR, is_anchor);
        flags.set(Flags::LEADING, kind.is_rasl());
        flags.set(Flags::DROPPED, picture.skipped);
        let is_start = !picture.has_prior_pictures && !picture.skipped;
        flags.set(Flags::START, is_start || picture.is_irap());
        let position = pictures.len() as u32;
        pictures.push(Surveyed {
            flags,
            temporal_layer: picture.temporal_id,
            order_count: picture.pic_order_cnt_val,
            order_count_bits: picture.sps.max_pic_order_cnt_lsb().trailing_zeros() as u8,
            needs: ArrayVec::new(),
        });
        self.described.get_or_insert_with(|| describe(&picture.sps));
        if picture.skipped {
            return;
        }
        let rps = self.dpb.begin(&picture, &mut self.due);
        self.show(shown);
        let on_trial = is_start && !picture.is_irap() && !is_recovery_point;
        let mut current = Current { picture, rps, position, used: 0, on_trial };
        current.add(header);
        self.current = Some(current);
    }
}

impl Survey for HevcSurvey {
    fn unit(
        &mut self,
        unit: &[u8],
        is_whole: bool,
        pictures: &mut Vec<Surveyed>,
        shown: &mut Vec<u32>,
    ) -> Option<Role> {
        if super::begins_picture(unit) {
            self.end_picture(pictures, shown);
        }
        let parsed = if is_whole { self.parser.parse(unit) } else { self.parser.parse_start(unit)? };
        let parameters = |kind: NalUnitType, id: u8| Role::Parameters(ParameterKey { kind: kind.0, id });
        Some(match parsed {
            Ok(hevc::Unit::Slice(slice)) => {
                let begins = slice.picture.is_some();
                match slice.picture {
                    Some(picture) => {
                        self.end_picture(pictures, shown);
                        self.begin(picture, &slice.header, pictures, shown);
                    }
                    None => {
                        self.is_recovery_point = false;
                        if let Some(current) = &mut self.current {
                            current.add(&slice.header);
                        }
                    }
                }
                if begins { Role::Begins } else { Role::Within }
            }
            Ok(hevc::Unit::Vps(set)) => parameters(NalUnitType::VPS_NUT, set.vps_video_parameter_set_id),
            Ok(hevc::Unit::Sps(set)) => parameters(NalUnitType::SPS_NUT, set.sps_seq_parameter_set_id),
            Ok(hevc::Unit::Pps(set)) => parameters(NalUnitType::PPS_NUT, set.pps_pic_parameter_set_id),
            Ok(hevc::Unit::Sei { messages, suffix: false }) => {
                let is_recovery_point =
                    |message: &hevc::sei::SeiMessage| matches!(message.payload, SeiPayload::RecoveryPoint(_));
                self.is_recovery_point |= messages.iter().any(is_recovery_point);
                Role::Before
            }
            Ok(hevc::Unit::AccessUnitDelimiter) => Role::Before,
            Ok(hevc::Unit::EndOfSequence | hevc::Unit::EndOfBitstream) => {
                self.end_picture(pictures, shown);
                Role::Within
            }
            Ok(hevc::Unit::Sei { suffix: true, .. } | hevc::Unit::DolbyVisionRpu(_)) => Role::Within,
            // What other layers have, and what nobody knows.
            Ok(_) => Role::Anywhere,
            Err(error) => {
                self.error.get_or_insert_with(|| error.into());
                Role::Anywhere
            }
        })
    }

    fn finish(&mut self, pictures: &mut Vec<Surveyed>, shown: &mut Vec<u32>) {
        self.end_picture(pictures, shown);
        self.dpb.flush(&mut self.due);
        self.show(shown);
        self.parser.reset();
        self.is_recovery_point = false;
    }

    fn described(&self) -> Option<Described> {
        self.described
    }

    fn take_error(&mut self) -> Option<SyntaxError> {
        self.error.take()
    }
}

/// What the pictures of a sequence are.
fn describe(sps: &Sps) -> Described {
    let vui = sps.vui.as_ref();
    let timing = vui.and_then(|vui| vui.timing_info.as_ref());
    let rate = timing.map(|timing| (timing.time_scale, timing.num_units_in_tick));
    let (shown, colour) = super::describe::window_and_colour(sps);
    Described {
        format: super::geometry(sps).format,
        coded: (sps.pic_width_in_luma_samples, sps.pic_height_in_luma_samples),
        shown,
        colour,
        rate: rate.filter(|&(scale, units)| scale > 0 && units > 0),
    }
}
