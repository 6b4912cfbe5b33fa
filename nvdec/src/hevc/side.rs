//! [`Side`]: which messages of the stream hold for a picture.

use std::mem::discriminant;
use std::sync::Arc;

use hevc::sei::{self, Flagged, Persistence, PicTiming, SeiMessage, SeiPayload, T35};
use hevc::{Picture, Sps};

use crate::pictures::side_data::{
    AmbientViewing, ContentColourVolume, ContentLightLevel, DisplayOrientation, FilmGrain, FramePacking,
    GrainColour, GrainInterval, MasteringDisplay, Payload, PayloadKind, PictureStructure, SideData, TimeCode,
};

/// Messages that hold in output order and are told apart by their pictures' order counts: more than pictures can be
/// reordered. What is older than these holds for all pictures to come.
const MAX_TURNS: usize = 16;

/// The messages of a stream: those that hold, and those of the picture to come.
#[derive(Debug, Default)]
pub(super) struct Side {
    /// Those of the picture that has not begun.
    next: Vec<SeiMessage>,
    /// Counts their bytes.
    admitted: SideData,
    /// `Picture::sequence` that the rest is of.
    sequence: Option<u64>,
    /// What holds for the coded video sequence.
    lasting: SideData,
    /// What holds from a picture on, by its order count.
    turns: Vec<(i32, SeiPayload)>,
    /// What holds for a picture without messages of its own behind so many of `turns`; `None` if nothing does.
    known: Option<(usize, Option<Arc<SideData>>)>,
}

impl Side {
    /// Takes a message for the picture to come.
    pub(super) fn add(&mut self, message: SeiMessage) {
        if self.admitted.admit(message.payload_range.len()) {
            self.next.push(message);
        }
    }

    /// Those messages, which were a picture's that had begun.
    pub(super) fn take_next(&mut self) -> impl Iterator<Item = SeiMessage> {
        self.admitted = SideData::default();
        self.next.drain(..)
    }

    /// What holds for `picture`, which begins.
    pub(super) fn begin(&mut self, picture: &Picture) -> Option<Arc<SideData>> {
        let is_known = self.sequence.replace(picture.sequence) == Some(picture.sequence);
        // Pictures before the first sequence have its number.
        if !is_known || picture.no_rasl_output_flag {
            (self.lasting, self.known) = (SideData::default(), None);
            self.turns.clear();
        }
        if self.next.is_empty() && self.admitted.dropped == 0 {
            return self.without_news(picture.pic_order_cnt_val);
        }
        let mut own = std::mem::take(&mut self.admitted);
        let mut news = Vec::new();
        let mut next = std::mem::take(&mut self.next);
        for message in next.drain(..) {
            match message.kind().map(|kind| kind.persistence) {
                Some(Persistence::Sequence) => {
                    set(&mut self.lasting, message.payload);
                    self.known = None;
                }
                Some(Persistence::AsCoded) => self.turn(picture.pic_order_cnt_val, message, &mut news),
                Some(_) if message.payload_type == PicTiming::PAYLOAD_TYPE => {
                    own.structure = structure(&message.payload, &picture.sps);
                }
                // Encoders may send it only when it is another one than that of the picture before, in decoding order.
                _ if is_hdr10_plus(&message.payload) => {
                    set(&mut self.lasting, message.payload);
                    self.known = None;
                }
                _ => news.push(message.payload),
            }
        }
        // Its memory serves the next picture.
        self.next = next;
        let lasting = self.without_news(picture.pic_order_cnt_val);
        let is_lasting_only = news.is_empty() && own.structure.is_none() && own.dropped == 0;
        if is_lasting_only {
            return lasting;
        }
        let mut data = lasting.map_or_else(SideData::default, |lasting| (*lasting).clone());
        data.take_own(own);
        for payload in news {
            set(&mut data, payload);
        }
        Some(Arc::new(data))
    }

    /// What holds for a picture that has no messages.
    fn without_news(&mut self, poc: i32) -> Option<Arc<SideData>> {
        let upto = self.turns.partition_point(|&(from, _)| from <= poc);
        if let Some((known, data)) = &self.known
            && *known == upto
        {
            return data.clone();
        }
        let mut data = self.lasting.clone();
        let turns = &self.turns[..upto];
        for (at, (_, payload)) in turns.iter().enumerate() {
            let is_same = |(_, later): &(i32, SeiPayload)| discriminant(later) == discriminant(payload);
            if !turns[at + 1..].iter().any(is_same) {
                set(&mut data, payload.clone());
            }
        }
        let data = (!data.is_empty()).then(|| Arc::new(data));
        self.known = Some((upto, data.clone()));
        data
    }

    /// Takes a message that says itself how long it holds: from the picture with order count `poc` on, or for that alone,
    /// which goes to `news`.
    fn turn(&mut self, poc: i32, message: SeiMessage, news: &mut Vec<SeiPayload>) {
        let (lasts, once) = match message.payload {
            SeiPayload::ContentColourVolume(flagged) => parts(flagged, SeiPayload::ContentColourVolume),
            SeiPayload::FilmGrain(flagged) => parts(flagged, SeiPayload::FilmGrain),
            SeiPayload::FramePacking(flagged) => parts(flagged, SeiPayload::FramePacking),
            SeiPayload::DisplayOrientation(flagged) => parts(flagged, SeiPayload::DisplayOrientation),
            _ => return,
        };
        news.extend(once);
        self.known = None;
        let at = self.turns.partition_point(|&(from, _)| from <= poc);
        self.turns.insert(at, (poc, lasts));
        if self.turns.len() > MAX_TURNS {
            let (_, oldest) = self.turns.remove(0);
            set(&mut self.lasting, oldest);
        }
    }
}

fn is_hdr10_plus(payload: &SeiPayload) -> bool {
    matches!(payload, SeiPayload::RegisteredUserData(data) if matches!(data.kind(), T35::Hdr10Plus(_)))
}

/// What holds from a picture on, and what holds for it alone.
fn parts<T>(flagged: Flagged<T>, of: fn(Flagged<T>) -> SeiPayload) -> (SeiPayload, Option<SeiPayload>) {
    match flagged {
        Flagged::ThisPicture(_) => (of(Flagged::Cancelled), Some(of(flagged))),
        lasts => (of(lasts), None),
    }
}

/// Adds a suffix message to the picture before it.
pub(super) fn add_suffix(data: &mut Option<Arc<SideData>>, message: SeiMessage) {
    let data = Arc::make_mut(data.get_or_insert_default());
    if data.admit(message.payload_range.len()) {
        set(data, message.payload);
    }
}

/// Adds the reference processing unit of Dolby Vision.
pub(super) fn add_rpu(data: &mut Option<Arc<SideData>>, rpu: &[u8]) {
    let data = Arc::make_mut(data.get_or_insert_default());
    if data.admit(rpu.len()) {
        data.payloads.push(Payload::new(PayloadKind::DolbyVisionRpu, rpu.to_vec()));
    }
}

/// Whether frames have what a message says.
pub(super) fn is_shown(message: &SeiMessage) -> bool {
    match message.payload {
        SeiPayload::MasteringDisplay(_)
        | SeiPayload::ContentLightLevel(_)
        | SeiPayload::AlternativeTransfer(_)
        | SeiPayload::AmbientViewing(_)
        | SeiPayload::ContentColourVolume(_)
        | SeiPayload::RegisteredUserData(_)
        | SeiPayload::UnregisteredUserData(_)
        | SeiPayload::FilmGrain(_)
        | SeiPayload::FramePacking(_)
        | SeiPayload::DisplayOrientation(_)
        | SeiPayload::TimeCode(_) => true,
        _ => message.payload_type == PicTiming::PAYLOAD_TYPE,
    }
}

fn structure(payload: &SeiPayload, sps: &Sps) -> Option<PictureStructure> {
    let SeiPayload::Raw(payload) = payload else { return None };
    let info = PicTiming::parse(payload, sps).ok()?.frame_field_info?;
    Some(PictureStructure {
        pic_struct: info.pic_struct,
        is_progressive: match info.source_scan_type {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
        is_duplicate: info.duplicate_flag,
    })
}

/// Puts what a message says into its place.
fn set(data: &mut SideData, payload: SeiPayload) {
    match payload {
        SeiPayload::MasteringDisplay(display) => data.mastering_display = Some(mastering_display(&display)),
        SeiPayload::ContentLightLevel(level) => {
            data.content_light_level = Some(ContentLightLevel {
                max_content: level.max_content_light_level,
                max_picture_average: level.max_pic_average_light_level,
            });
        }
        SeiPayload::AlternativeTransfer(transfer) => {
            data.alternative_transfer = Some(transfer.preferred_transfer_characteristics);
        }
        SeiPayload::AmbientViewing(viewing) => {
            data.ambient_viewing = Some(AmbientViewing {
                illuminance: viewing.ambient_illuminance,
                light: viewing.ambient_light,
            });
        }
        SeiPayload::ContentColourVolume(flagged) => {
            data.content_colour_volume = flagged.value().map(|volume| ContentColourVolume {
                primaries: volume.primaries,
                min_luminance: volume.min_luminance,
                max_luminance: volume.max_luminance,
                average_luminance: volume.avg_luminance,
            });
        }
        SeiPayload::FilmGrain(flagged) => {
            data.film_grain = flagged.value().map(|grain| Arc::new(film_grain(grain)));
        }
        SeiPayload::FramePacking(flagged) => data.frame_packing = flagged.value().map(frame_packing),
        SeiPayload::DisplayOrientation(flagged) => {
            data.display_orientation = flagged.value().map(|orientation| DisplayOrientation {
                is_flipped_horizontally: orientation.hor_flip,
                is_flipped_vertically: orientation.ver_flip,
                anticlockwise: orientation.anticlockwise_rotation,
            });
        }
        SeiPayload::TimeCode(code) => {
            data.time_codes = code.clock_timestamps.iter().flatten().map(time_code).collect();
        }
        SeiPayload::RegisteredUserData(user_data) => {
            let (kind, bytes) = match user_data.kind() {
                T35::Captions(constructs) => (PayloadKind::Captions, constructs.to_vec()),
                T35::Hdr10Plus(_) => {
                    data.payloads.retain(|payload| payload.kind != PayloadKind::Hdr10Plus);
                    (PayloadKind::Hdr10Plus, user_data.payload)
                }
                _ => (PayloadKind::Registered, user_data.payload),
            };
            data.payloads.push(Payload::new(kind, bytes));
        }
        SeiPayload::UnregisteredUserData(user_data) => {
            let kind = PayloadKind::Unregistered(user_data.uuid_iso_iec_11578);
            data.payloads.push(Payload::new(kind, user_data.payload));
        }
        _ => {}
    }
}

fn mastering_display(display: &sei::MasteringDisplay) -> MasteringDisplay {
    let [green, blue, red] = display.display_primaries;
    MasteringDisplay {
        red,
        green,
        blue,
        white: display.white_point,
        max_luminance: display.max_luminance,
        min_luminance: display.min_luminance,
    }
}

fn frame_packing(packing: &sei::FramePacking) -> FramePacking {
    FramePacking {
        arrangement: packing.frame_packing_arrangement_type,
        is_quincunx: packing.quincunx_sampling_flag,
        interpretation: packing.content_interpretation_type,
        is_one_flipped: packing.spatial_flipping_flag,
        is_first_flipped: packing.frame0_flipped_flag,
        are_fields: packing.field_views_flag,
        is_first: packing.current_frame_is_frame0_flag,
        is_aspect_upsampled: packing.upsampled_aspect_ratio_flag,
        grid: packing.grid_positions,
    }
}

fn film_grain(grain: &sei::FilmGrain) -> FilmGrain {
    let intervals = |component: &Option<sei::GrainComponent>| {
        let Some(component) = component else { return Vec::new() };
        let interval = |interval: &sei::IntensityInterval| GrainInterval {
            from: interval.lower_bound,
            to: interval.upper_bound,
            count: component.num_model_values,
            values: interval.comp_model_value,
        };
        component.intervals.iter().map(interval).collect()
    };
    FilmGrain {
        model: grain.film_grain_model_id,
        colour: grain.colour.map(|colour| GrainColour {
            bit_depth_luma: colour.bit_depth_luma,
            bit_depth_chroma: colour.bit_depth_chroma,
            full_range: colour.full_range_flag,
            primaries: colour.colour_primaries,
            transfer: colour.transfer_characteristics,
            matrix: colour.matrix_coeffs,
        }),
        blending_mode: grain.blending_mode_id,
        log2_scale_factor: grain.log2_scale_factor,
        components: grain.components.each_ref().map(intervals),
    }
}

fn time_code(stamp: &sei::ClockTimestamp) -> TimeCode {
    TimeCode {
        hours: stamp.hours_value,
        minutes: stamp.minutes_value,
        seconds: stamp.seconds_value,
        frames: stamp.n_frames,
        counting_type: stamp.counting_type,
        is_dropped: stamp.cnt_dropped_flag,
        is_discontinuous: stamp.discontinuity_flag,
        is_field_based: stamp.units_field_based_flag,
        offset: stamp.time_offset_value,
    }
}

#[cfg(test)]
mod tests;
