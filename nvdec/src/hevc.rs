//! HEVC: the front end, from NAL units to coded pictures; and audits of pictures that were described elsewhere.

use std::sync::Arc;

use arrayvec::ArrayVec;
use bitstream::find_start_code;
use hevc::dpb::{DecodedPictureBuffer, Marking, Output, RefEntry};
use hevc::nal::{NalHeader, NalUnitType};
use hevc::sei::{SeiMessage, SeiPayload};
use hevc::{Parser, Picture, Pps, SliceSegment, Sps, StartAt};
use nvkernel_sys::video;

use crate::class::Chroma;
use crate::error::{Error, Result, SyntaxError};
use crate::frontend::{Frontend, Unit};
use crate::memory::motion::PLACES;
use crate::options::{Price, Start};
use crate::packet::Sent;
use crate::pictures::Pictures;
use crate::pictures::coded::{Application, CodedPicture, Format};
use crate::pictures::held::Held;
use crate::pictures::info::Times;
use crate::pictures::slice_data::Slices;
use crate::status::PictureFault;
use crate::surface::format::{SurfaceFormat, SurfaceGeometry};

pub mod audit;
mod describe;
mod descriptor;
pub(crate) mod info;
mod limits;
mod refresh;
mod scratch;
mod side;
pub(crate) mod survey;
mod tables;

/// The parser, whose types appear in the API of this module.
pub use ::hevc as parser;
use describe::{HevcPicture, Templates};
use descriptor::DESCRIPTOR_BYTES;
pub use limits::{check, check_limits, check_pps};
use refresh::Refreshes;
use scratch::Scratch;
use side::Side;

/// `pps_pic_parameter_set_id` is at most that (H.265 7.4.3.3.1).
const MAX_PPS_ID: u8 = 63;

/// What NVIDIA's own driver sends for HEVC, less EVENT_TRACE_LOGGING_ON: the trace lands behind the status, says
/// nothing that the status does not, and costs 20 µs a picture.
pub(crate) const APPLICATION: Application = Application {
    id: video::APPLICATION_ID_HEVC,
    control_params: {
        use video::set_control_params as c;
        c::CODEC_TYPE.of(c::CODEC_TYPE_HEVC)
            | c::GPTIMER_ON.of(1)
            | c::ERR_CONCEAL_ON.of(1)
            | c::MBTIMER_ON.of(1)
            | c::TESTRUN_ENV.of(c::TESTRUN_ENV_PROD_RUN)
    },
};

impl From<hevc::Error> for SyntaxError {
    fn from(source: hevc::Error) -> Self {
        let is_unsupported = matches!(source, hevc::Error::Unsupported { .. });
        SyntaxError::new(source, is_unsupported)
    }
}

/// The HEVC front end: parser, decoded picture buffer, and the picture that is being collected.
#[derive(Debug, Default)]
pub(crate) struct Hevc {
    parser: Parser,
    dpb: DecodedPictureBuffer<Arc<Held>>,
    /// What it puts out; empty but while that is shown.
    due: Vec<Output<Arc<Held>>>,
    /// The parameter sets of the picture started last, and what its pictures need.
    sequence: Option<(Arc<Sps>, Format)>,
    /// Parameter sets that cannot be decoded: reported once, their pictures are dropped.
    refused: Option<(Arc<Sps>, Arc<Pps>)>,
    /// What pictures share that have the same parameter sets.
    templates: Templates,
    /// The picture whose slices are being collected; `None` also while they are dropped, as those of a skipped RASL picture
    /// and of one that could not be started are.
    current: Option<Box<HevcPicture>>,
    /// Gradual decoding refresh.
    refreshes: Refreshes,
    /// Decoding began with the current picture for want of anything better, and goes on if all of its slices are intra.
    on_trial: bool,
    /// Since its last slice segment there was a NAL unit that begins an access unit, unless a slice segment follows that goes
    /// on with the picture.
    is_between: bool,
    /// Where the stream has its access unit delimiters.
    delimiters: Delimiters,
    /// There was one behind the last slice segment of a picture.
    is_delimited: bool,
    /// Messages for frames, once there was one.
    side: Option<Box<Side>>,
    /// Bytes of NAL units taken so far.
    offset: u64,
}

/// Where a stream has its access unit delimiters: some have one in front of each slice segment. Where they stand between
/// pictures, they end one before the next begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Delimiters {
    #[default]
    Unknown,
    Between,
    Within,
}

impl Frontend for Hevc {
    fn send(&mut self, unit: Unit<'_>, pictures: &mut Pictures) -> Result<Sent> {
        let nal = unit.bytes;
        if begins_picture(nal) {
            self.end_picture(pictures)?;
            let sent = pictures.make_room_for(self.format_of(nal, pictures).as_ref())?;
            if sent != Sent::Accepted {
                return Ok(sent);
            }
        }
        let offset = self.offset;
        self.offset += nal.len() as u64;
        match self.parser.parse(nal) {
            Ok(hevc::Unit::Slice(slice)) => self.slice(slice, unit, pictures)?,
            Ok(hevc::Unit::Sei { messages, suffix }) => {
                for message in messages {
                    self.message(message, suffix);
                }
                self.is_between |= !suffix;
            }
            Ok(hevc::Unit::DolbyVisionRpu(rpu)) => {
                if let Some(current) = &mut self.current {
                    side::add_rpu(&mut current.side_data, rpu);
                }
            }
            // All of these begin an access unit (7.4.2.4.4), and are found within pictures nevertheless.
            Ok(hevc::Unit::Vps(_) | hevc::Unit::Sps(_) | hevc::Unit::Pps(_)) => self.is_between = true,
            Ok(hevc::Unit::AccessUnitDelimiter) => {
                (self.is_between, self.is_delimited) = (true, self.is_delimited || self.current.is_some());
                if self.delimiters == Delimiters::Between {
                    self.end_picture(pictures)?;
                }
            }
            Ok(hevc::Unit::EndOfSequence | hevc::Unit::EndOfBitstream) => self.end_picture(pictures)?,
            Ok(_) => {}
            Err(source) => pictures.note(Error::Bitstream { offset, source: source.into() }),
        }
        Ok(Sent::Accepted)
    }

    fn ends_picture(&self, start: &[u8]) -> bool {
        let ends = |kind| match kind {
            NalUnitType::EOS_NUT | NalUnitType::EOB_NUT => true,
            NalUnitType::AUD_NUT => self.delimiters == Delimiters::Between,
            _ => false,
        };
        begins_picture(start)
            || NalHeader::parse(start).is_ok_and(|h| h.nuh_layer_id == 0 && ends(h.nal_unit_type))
    }

    fn end_picture(&mut self, pictures: &mut Pictures) -> Result<()> {
        let Some(current) = self.current.take() else { return Ok(()) };
        if std::mem::take(&mut self.on_trial) && current.used() != 0 {
            // Not with this one, then.
            self.parser.reset();
            self.dpb.clear();
            pictures.drop_picture(|dropped| &mut dropped.before_start);
            return Ok(());
        }
        let picture = current.picture().clone();
        if let Some(held) = pictures.hand_over(current)? {
            self.dpb.insert(&picture, held, &mut self.due);
            self.show(pictures);
            pictures.go_on()?;
        }
        Ok(())
    }

    fn finish(&mut self, pictures: &mut Pictures) -> Result<()> {
        self.end_picture(pictures)?;
        self.dpb.flush(&mut self.due);
        self.show(pictures);
        self.parser.reset();
        self.refreshes = Refreshes::default();
        self.side = None;
        // Another stream may have them elsewhere.
        self.delimiters = Delimiters::default();
        (self.is_between, self.is_delimited) = (false, false);
        Ok(())
    }

    fn reset(&mut self) {
        (self.current, self.on_trial) = (None, false);
        (self.is_between, self.is_delimited) = (false, false);
        self.dpb.clear();
        self.parser.reset();
        self.refreshes = Refreshes::default();
        self.side = None;
    }

    fn reorder(&self) -> Option<usize> {
        let (sps, _) = self.sequence.as_ref()?;
        Some(usize::from(sps.highest_sub_layer_ordering().max_num_reorder_pics))
    }

    fn price(&self, pictures: &Pictures) -> Result<Option<Price>> {
        let (mut highest, mut refused) = (None::<Price>, None);
        for pps in (0..=MAX_PPS_ID).filter_map(|id| self.parser.pps(id)) {
            let Some(sps) = self.parser.sps(pps.pps_seq_parameter_set_id) else { continue };
            match check_all(sps, pps, pictures) {
                Ok(()) => {
                    let price = pictures.highest_price_of(&format(sps, pps, pictures));
                    highest = highest.into_iter().chain([price]).max_by_key(Price::total);
                }
                Err(error) => refused = Some(error),
            }
        }
        match (highest, refused) {
            (None, Some(error)) => Err(error),
            (highest, _) => Ok(highest),
        }
    }
}

impl Hevc {
    /// A front end that begins with pictures of this kind.
    pub(crate) fn new(start: Start) -> Hevc {
        let mut hevc = Hevc::default();
        hevc.parser.set_start_at(match start {
            Start::RandomAccess => StartAt::Irap,
            Start::RecoveryPoint => StartAt::RecoveryPoint,
            Start::Intra => StartAt::Intra,
            Start::Any => StartAt::Any,
        });
        hevc
    }

    /// What the picture needs that `nal` begins, as far as its parameter sets are known and the engine decodes it.
    fn format_of(&self, nal: &[u8], pictures: &Pictures) -> Option<Format> {
        let (pps, sps) = self.parser.parameter_sets_of(nal)?;
        match &self.sequence {
            Some((known, format)) if Arc::ptr_eq(known, sps) => Some(*format),
            _ => {
                check_all(sps, pps, pictures).ok()?;
                Some(format(sps, pps, pictures))
            }
        }
    }

    /// Takes what a message says of the picture before it, or of the one to come.
    fn message(&mut self, message: SeiMessage, suffix: bool) {
        match message.payload {
            SeiPayload::DecodedPictureHash(hash) => {
                if let (Some(current), true, false) = (&mut self.current, suffix, self.is_between) {
                    current.set_hash(hash);
                }
            }
            SeiPayload::RecoveryPoint(point) => {
                if !suffix {
                    self.refreshes.announce(point.recovery_poc_cnt, point.exact_match_flag);
                }
            }
            // Says nothing that a frame has.
            _ if !side::is_shown(&message) => {}
            _ if !suffix => self.side.get_or_insert_default().add(message),
            _ => {
                if let Some(current) = &mut self.current {
                    side::add_suffix(&mut current.side_data, message);
                }
            }
        }
    }

    fn slice(&mut self, slice: SliceSegment<'_>, unit: Unit<'_>, pictures: &mut Pictures) -> Result<()> {
        self.is_between = false;
        if std::mem::take(&mut self.is_delimited) {
            self.delimiters = match (self.delimiters, slice.picture.is_some()) {
                (Delimiters::Within, _) | (_, false) => Delimiters::Within,
                (_, true) => Delimiters::Between,
            };
        }
        if slice.picture.is_none() {
            // What was said between its slice segments was the picture's own.
            self.refreshes.take_back();
            for message in self.side.iter_mut().flat_map(|side| side.take_next()) {
                if let Some(current) = &mut self.current {
                    side::add_suffix(&mut current.side_data, message);
                }
            }
        }
        if let Some(picture) = slice.picture {
            self.end_picture(pictures)?;
            self.current = self.begin(picture, unit.times, pictures)?;
        }
        let Some(current) = &mut self.current else { return Ok(()) };
        current.add_slice(&slice.header);
        if !pictures.add(slice.nal.data, unit.place, Slices::StartCodes(passes_over))? {
            self.current = None;
            pictures.drop_picture(|dropped| &mut dropped.unfit);
        }
        Ok(())
    }

    /// Starts a picture: marking, output, references. `None` if its slices are to be dropped.
    fn begin(
        &mut self,
        picture: Arc<Picture>,
        times: Times,
        pictures: &mut Pictures,
    ) -> Result<Option<Box<HevcPicture>>> {
        // Also of a picture that is dropped: some of it holds for those behind it.
        let side_data = self.side.as_mut().and_then(|side| side.begin(&picture));
        if picture.skipped {
            self.refreshes.take_back();
            let leading = picture.nal_unit_type.is_rasl() && picture.has_prior_pictures;
            pictures.drop_picture(|dropped| match leading {
                true => &mut dropped.leading,
                false => &mut dropped.before_start,
            });
            return Ok(None);
        }
        if self.is_refused(&picture, pictures)? {
            self.refreshes.take_back();
            pictures.drop_picture(|dropped| &mut dropped.refused);
            return Ok(None);
        }
        let format = match &self.sequence {
            Some((known, format)) if Arc::ptr_eq(known, &picture.sps) => *format,
            _ => {
                let format = format(&picture.sps, &picture.pps, pictures);
                self.sequence = Some((picture.sps.clone(), format));
                format
            }
        };
        pictures.activate(&format)?;
        let flaw = self.dpb.is_out_of_order(&picture).then_some(PictureFault::OutOfOrder);
        let rps = self.dpb.begin(&picture, &mut self.due);
        self.show(pictures);
        // No picture to come takes motion from those that only wait for their output.
        for (_, entry) in self.dpb.iter().filter(|(_, entry)| entry.marking == Marking::Unused) {
            Held::release_motion(&entry.payload);
        }
        let class = pictures.context().class();
        let prepared = self.templates.get(&picture.sps, &picture.pps, class, &format.geometry);
        let tables = prepared.place_of_tables();
        pictures.open(tables.chunk_bytes())?;
        let held = |entry: &RefEntry| {
            let found = entry.index.and_then(|index| self.dpb.get(index));
            found.map(|entry| entry.payload.clone())
        };
        let references: ArrayVec<_, PLACES> = rps.initial_list0().map(held).take(PLACES).collect();
        let is_start = !picture.has_prior_pictures && !picture.is_irap();
        self.on_trial = is_start && !self.refreshes.is_announced() && pictures.start() == Start::Intra;
        let refresh = self.refreshes.of(&picture, pictures.next_number());
        let mut current =
            Box::new(HevcPicture::new(picture, (prepared, tables), times, rps, references, refresh));
        (current.flaw, current.side_data) = (flaw, side_data);
        Ok(Some(current))
    }

    /// Has the pictures come out that are due.
    fn show(&mut self, pictures: &mut Pictures) {
        pictures.show(self.due.drain(..).map(|output| output.payload));
    }

    /// Whether the picture cannot be decoded: an error the first time that its parameter sets are seen.
    fn is_refused(&mut self, picture: &Picture, pictures: &mut Pictures) -> Result<bool> {
        let (sps, pps) = (&picture.sps, &picture.pps);
        // There is one for parameter sets that were accepted alone.
        if self.templates.begin_with(sps, pps) {
            self.refused = None;
            return Ok(false);
        }
        if self.refused.as_ref().is_some_and(|(s, p)| Arc::ptr_eq(s, sps) && Arc::ptr_eq(p, pps)) {
            return Ok(true);
        }
        let verdict = check_all(sps, pps, pictures);
        self.refused = None;
        if let Err(error) = verdict {
            // What came before is not held back by a sequence that does not come.
            self.dpb.flush(&mut self.due);
            self.show(pictures);
            pictures.submit_all()?;
            self.refused = Some((sps.clone(), pps.clone()));
            pictures.drop_picture(|dropped| &mut dropped.refused);
            return Err(error);
        }
        Ok(false)
    }
}

/// Whether pictures with these parameter sets can be decoded, by the hardware and by the caller's leave.
fn check_all(sps: &Sps, pps: &Pps, pictures: &Pictures) -> Result<()> {
    limits::check_picture(sps, pps, pictures.context())?;
    pictures.check_size((sps.pic_width_in_luma_samples, sps.pic_height_in_luma_samples))
}

/// What pictures with these parameter sets need.
fn format(sps: &Sps, pps: &Pps, pictures: &Pictures) -> Format {
    Format {
        geometry: geometry(sps),
        dpb: sps.max_dec_pic_buffering(),
        blocks: scratch::blocks(sps),
        motion: scratch::collocated_slot_bytes(sps),
        scratch: Scratch::new(sps, pps, pictures.context().class()).size,
        descriptor: DESCRIPTOR_BYTES,
    }
}

/// Layout of the surfaces of a sequence.
fn geometry(sps: &Sps) -> SurfaceGeometry {
    let chroma = Chroma::from_chroma_format_idc(sps.chroma_format_idc).expect("checked by the parser");
    let format =
        SurfaceFormat { chroma, bit_depth: sps.bit_depth_luma, chroma_bit_depth: sps.bit_depth_chroma };
    SurfaceGeometry::new(format, sps.pic_width_in_luma_samples, sps.pic_height_in_luma_samples)
}

/// Whether a NAL unit is the first slice segment of a picture of the base layer.
fn begins_picture(nal: &[u8]) -> bool {
    // first_slice_segment_in_pic_flag is the first bit behind the NAL unit header.
    NalHeader::parse(nal).is_ok_and(|h| h.nal_unit_type.is_slice_segment() && h.nuh_layer_id == 0)
        && nal.get(NalHeader::SIZE).is_some_and(|b| b & 0x80 != 0)
}

/// Whether the engine finds no slice segment in bytes that end with a start code before that. They may begin within a NAL
/// unit: it passes over what is left of that, and over NAL units of the types that stand between pictures.
pub(crate) fn passes_over(bytes: &[u8]) -> bool {
    const START_CODE: [u8; 3] = [0, 0, 1];
    let Some(mut rest) = bytes.strip_suffix(&START_CODE) else { return false };
    while let Some(at) = find_start_code(rest) {
        rest = &rest[at + START_CODE.len()..];
        let header = NalHeader::parse(rest);
        if !header
            .is_ok_and(|h| (NalUnitType::VPS_NUT..=NalUnitType::SUFFIX_SEI_NUT).contains(&h.nal_unit_type))
        {
            return false;
        }
    }
    true
}
