//! From NAL units to parameter sets and pictures.

pub(crate) mod picture;

pub use picture::Picture;

use std::sync::Arc;

use bitstream::Rbsp;

use crate::BitReader;
use crate::error::{Error, Place, Structure};
use crate::nal::{NalHeader, NalUnit, NalUnitType};
use crate::poc::PocDecoder;
use crate::pps::Pps;
use crate::sei::{self, SeiMessage, SeiPayload};
use crate::slice::{HeaderStart, SliceHeader};
use crate::sps::Sps;
use crate::vps::Vps;
use picture::Activation;

/// Bytes of a slice NAL unit that are un-escaped first: enough for most headers, whose length goes with the entry points.
const HEADER_PREFIX: usize = 128;
/// So many times more are un-escaped if they were not enough.
const PREFIX_GROWTH: usize = 16;

/// `UNSPEC62`, in Dolby Vision streams.
const DOLBY_VISION_RPU: NalUnitType = NalUnitType(62);

/// A NAL unit that is none of the decoder's business, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ignored {
    /// `nuh_layer_id` above 0: an enhancement layer (multiview, scalable, 3D) or auxiliary pictures.
    Layer(NalHeader),
    /// `RSV_*`: reserved by the standard for later editions.
    Reserved(NalHeader),
    /// `UNSPEC48` to `UNSPEC63`: for applications.
    Unspecified(NalHeader),
}

/// What a NAL unit holds.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Unit<'a> {
    /// Video parameter set.
    Vps(Arc<Vps>),
    /// Sequence parameter set.
    Sps(Arc<Sps>),
    /// Picture parameter set.
    Pps(Arc<Pps>),
    /// Supplemental enhancement information. Prefix messages belong to the picture whose slice segment follows, which some
    /// streams have begun before, suffix messages to the one before; where sub-layers were removed but their suffix messages left, the first one is that of the picture.
    Sei {
        /// The messages in order.
        messages: Vec<SeiMessage>,
        /// `SUFFIX_SEI_NUT`.
        suffix: bool,
    },
    /// A slice segment.
    Slice(SliceSegment<'a>),
    /// Access unit delimiter.
    AccessUnitDelimiter,
    /// End of sequence: the next picture starts a coded video sequence.
    EndOfSequence,
    /// End of bitstream: the next picture starts a new bitstream.
    EndOfBitstream,
    /// Filler data.
    Filler,
    /// The reference processing unit of Dolby Vision, for the picture before: NAL unit type 62, which the standard leaves
    /// to applications. The bytes behind the NAL unit header, emulation prevention left in, as other programs take them.
    DolbyVisionRpu(&'a [u8]),
    /// Not decoded.
    Ignored(Ignored),
}

/// A slice segment and, with the first one, the picture it starts.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SliceSegment<'a> {
    /// The NAL unit, as it goes to a decoder.
    pub nal: NalUnit<'a>,
    /// Its header.
    pub header: Arc<SliceHeader>,
    /// The picture that starts with this slice segment; `None` when it belongs to the picture before.
    pub picture: Option<Arc<Picture>>,
}

/// At which pictures decoding may start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartAt {
    /// At IRAP pictures only: pictures before the first one are skipped.
    #[default]
    Irap,
    /// Also at a picture with a recovery point SEI message (gradual decoding refresh).
    RecoveryPoint,
    /// Also at a picture whose first slice segment is intra. Whether the others are shows with them.
    Intra,
    /// At any picture but a leading one; references that do not exist are missing from the reference picture set.
    Any,
}

/// What an identifier stands for.
#[derive(Debug, Clone, Default)]
enum Stored<T> {
    #[default]
    Absent,
    Present(Arc<T>),
    /// The set in force uses something unsupported; every picture that needs it fails with this error.
    Refused(Error),
}

impl<T: PartialEq> Stored<T> {
    fn get(&self, place: Place, missing: Place) -> Result<&Arc<T>, Error> {
        match self {
            Self::Present(set) => Ok(set),
            Self::Refused(error) => Err(error.clone()),
            Self::Absent => Err(Error::MissingParameterSet { place, missing }),
        }
    }

    /// Stores a set. One with the same content as the one before stays the same object.
    fn put(&mut self, set: T) -> Arc<T> {
        if let Self::Present(old) = self
            && **old == set
        {
            return Arc::clone(old);
        }
        let set = Arc::new(set);
        *self = Self::Present(Arc::clone(&set));
        set
    }
}

/// The picture whose slice segments are being received.
#[derive(Debug, Clone)]
struct Current {
    picture: Arc<Picture>,
    independent: Independent,
    /// `slice_segment_address` of the last slice segment.
    last_address: u32,
    /// The same in decoding order, in which addresses grow (`CtbAddrRsToTs`).
    last_address_ts: u32,
}

/// The last independent slice segment, which dependent ones continue.
#[derive(Debug, Clone)]
enum Independent {
    /// It could not be read.
    Lost,
    /// The first one of the picture.
    First,
    /// A later one, with this header.
    Later(Arc<SliceHeader>),
}

impl Current {
    /// Header of the last independent slice segment, if that could be read.
    fn independent(&self) -> Option<&SliceHeader> {
        match &self.independent {
            Independent::Lost => None,
            Independent::First => Some(&self.picture.header),
            Independent::Later(header) => Some(header),
        }
    }
}

/// Turns NAL units, in decoding order, into parameter sets and slice segments with everything the standard derives for
/// their pictures.
///
/// Parameter sets are immutable snapshots: a [`Picture`] holds those that were in force when it started, whatever
/// arrives later. A PPS is checked against its SPS when a picture activates both, so either may come first. An SPS stays
/// active for its whole coded video sequence (7.4.2.4.2): one that arrives with the same identifier and other content
/// takes effect at the next IRAP picture that starts a sequence. A CRA picture whose SPS has changed starts one, even
/// without an end of sequence NAL unit before it.
///
/// An error concerns one NAL unit; go on with the next.
#[derive(Debug)]
pub struct Parser {
    vps: Vec<Stored<Vps>>,
    sps: Vec<Stored<Sps>>,
    pps: Vec<Stored<Pps>>,
    start_at: StartAt,
    handle_cra_as_bla: bool,
    activation: Activation,
    poc: PocDecoder,
    current: Option<Current>,
    rbsp: Rbsp,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl Parser {
    /// A parser at the start of a bitstream.
    pub fn new() -> Self {
        Self {
            vps: vec![Stored::Absent; 16],
            sps: vec![Stored::Absent; 16],
            pps: vec![Stored::Absent; 64],
            start_at: StartAt::default(),
            handle_cra_as_bla: false,
            activation: Activation::default(),
            poc: PocDecoder::new(),
            current: None,
            rbsp: Rbsp::default(),
        }
    }

    /// Chooses where decoding may start; [`StartAt::Irap`] unless called.
    pub fn set_start_at(&mut self, start_at: StartAt) {
        self.start_at = start_at;
    }

    /// Sets `HandleCraAsBlaFlag` (8.1.3) for the CRA pictures that follow: each then starts a coded video sequence and
    /// its RASL pictures are skipped. To be used after a splice or a seek that [`reset`](Self::reset) does not cover.
    pub fn set_handle_cra_as_bla(&mut self, handle_cra_as_bla: bool) {
        self.handle_cra_as_bla = handle_cra_as_bla;
    }

    /// Forgets pictures, as at the start of a bitstream, and keeps the parameter sets: for seeking.
    pub fn reset(&mut self) {
        self.current = None;
        self.poc = PocDecoder::new();
        self.activation.reset();
    }

    /// The SPS stored under an identifier.
    pub fn sps(&self, id: u8) -> Option<&Arc<Sps>> {
        match self.sps.get(usize::from(id))? {
            Stored::Present(sps) => Some(sps),
            _ => None,
        }
    }

    /// The PPS stored under an identifier.
    pub fn pps(&self, id: u8) -> Option<&Arc<Pps>> {
        match self.pps.get(usize::from(id))? {
            Stored::Present(pps) => Some(pps),
            _ => None,
        }
    }

    /// The picture whose slice segments are being received.
    pub fn current_picture(&self) -> Option<&Arc<Picture>> {
        self.current.as_ref().map(|current| &current.picture)
    }

    /// The parameter sets that a slice segment refers to, without taking notice of it. `None` if `nal` is none of the base
    /// layer, or they were not received.
    pub fn parameter_sets_of(&self, nal: &[u8]) -> Option<(&Arc<Pps>, &Arc<Sps>)> {
        let header = NalHeader::parse(nal).ok().filter(|header| header.nuh_layer_id == 0)?;
        if !header.nal_unit_type.is_slice_segment() {
            return None;
        }
        // The first two bytes hold everything up to an identifier that is valid, and no emulation prevention.
        let payload = &nal[NalHeader::SIZE..];
        let r = &mut BitReader::new(payload, Place::new(Structure::SliceSegmentHeader));
        let start = HeaderStart::parse(r, header.nal_unit_type).ok()?;
        self.parameter_sets(header.nal_unit_type, start.slice_pic_parameter_set_id, r.place()).ok()
    }

    /// Parses one NAL unit: two-byte header included, emulation prevention left in, no start code.
    ///
    /// # Errors
    /// Any [`Error`]; it concerns this NAL unit only.
    pub fn parse<'a>(&mut self, nal: &'a [u8]) -> Result<Unit<'a>, Error> {
        let header = NalHeader::parse(nal)?;
        let kind = header.nal_unit_type;
        if header.nuh_layer_id > 0 {
            // EOB applies to the whole bitstream and has layer 0; everything else belongs to its layer.
            return Ok(Unit::Ignored(Ignored::Layer(header)));
        }
        let payload = &nal[NalHeader::SIZE..];
        match kind {
            NalUnitType::VPS_NUT => {
                self.rbsp.assign(payload, usize::MAX);
                let vps = Vps::parse(self.rbsp.bytes())?;
                let id = usize::from(vps.vps_video_parameter_set_id);
                Ok(Unit::Vps(self.vps[id].put(vps)))
            }
            NalUnitType::SPS_NUT => {
                self.rbsp.assign(payload, usize::MAX);
                match Sps::parse(self.rbsp.bytes()) {
                    Ok(sps) => {
                        let id = usize::from(sps.sps_seq_parameter_set_id);
                        Ok(Unit::Sps(self.sps[id].put(sps)))
                    }
                    Err(error) => Err(refuse(&mut self.sps, error)),
                }
            }
            NalUnitType::PPS_NUT => {
                self.rbsp.assign(payload, usize::MAX);
                match Pps::parse(self.rbsp.bytes()) {
                    Ok(pps) => {
                        let id = usize::from(pps.pps_pic_parameter_set_id);
                        Ok(Unit::Pps(self.pps[id].put(pps)))
                    }
                    Err(error) => Err(refuse(&mut self.pps, error)),
                }
            }
            NalUnitType::PREFIX_SEI_NUT | NalUnitType::SUFFIX_SEI_NUT => {
                self.rbsp.assign(payload, usize::MAX);
                let suffix = kind == NalUnitType::SUFFIX_SEI_NUT;
                let messages = sei::parse(self.rbsp.bytes(), suffix)?;
                if messages.iter().any(|message| matches!(message.payload, SeiPayload::RecoveryPoint(_))) {
                    self.activation.recovery_point = true;
                }
                Ok(Unit::Sei { messages, suffix })
            }
            NalUnitType::AUD_NUT => Ok(Unit::AccessUnitDelimiter),
            NalUnitType::EOS_NUT => {
                self.current = None;
                self.activation.end_of_sequence();
                Ok(Unit::EndOfSequence)
            }
            NalUnitType::EOB_NUT => {
                self.current = None;
                self.activation.end_of_sequence();
                Ok(Unit::EndOfBitstream)
            }
            NalUnitType::FD_NUT => Ok(Unit::Filler),
            kind if kind.is_slice_segment() => {
                let slice = self.slice(header, nal, true);
                slice.expect("only the beginning of one may be too little").map(Unit::Slice)
            }
            DOLBY_VISION_RPU => Ok(Unit::DolbyVisionRpu(payload)),
            NalUnitType(48..) => Ok(Unit::Ignored(Ignored::Unspecified(header))),
            _ => Ok(Unit::Ignored(Ignored::Reserved(header))),
        }
    }

    /// Parses a NAL unit of which only the first bytes were read, for those who look for pictures and decode none: the header
    /// of a slice segment is a small part of it. The NAL unit in what comes back then ends where `start` does.
    ///
    /// `None` if the rest is needed: then nothing has changed, and [`parse`](Self::parse) takes all of it.
    ///
    /// # Errors
    /// Those of [`parse`](Self::parse).
    pub fn parse_start<'a>(&mut self, start: &'a [u8]) -> Option<Result<Unit<'a>, Error>> {
        let header = NalHeader::parse(start).ok()?;
        match header.nal_unit_type {
            _ if header.nuh_layer_id > 0 => Some(self.parse(start)),
            kind if kind.is_slice_segment() => Some(self.slice(header, start, false)?.map(Unit::Slice)),
            NalUnitType::VPS_NUT
            | NalUnitType::SPS_NUT
            | NalUnitType::PPS_NUT
            | NalUnitType::PREFIX_SEI_NUT
            | NalUnitType::SUFFIX_SEI_NUT => None,
            // Of these the header says all.
            _ => Some(self.parse(start)),
        }
    }

    /// `None` if there is more of it than `nal` and that is needed.
    fn slice<'a>(
        &mut self,
        header: NalHeader,
        nal: &'a [u8],
        is_whole: bool,
    ) -> Option<Result<SliceSegment<'a>, Error>> {
        let payload = &nal[NalHeader::SIZE..];
        let mut rbsp = std::mem::take(&mut self.rbsp);
        let mut limit = HEADER_PREFIX;
        let result = loop {
            rbsp.assign(payload, limit);
            let result = self.slice_header(header, &rbsp);
            if !matches!(result, Err(Error::Syntax(error)) if error.may_be_cut()) {
                break Some(result);
            }
            if payload.len() <= limit {
                break is_whole.then_some(result);
            }
            limit = limit.saturating_mul(PREFIX_GROWTH);
        };
        self.rbsp = rbsp;
        let result = result?;
        let parsed = result.and_then(|parsed| self.assign(header, parsed));
        if let Err(Error::Unsupported { .. } | Error::MissingParameterSet { .. }) = parsed
            && self.starts_sequence(header.nal_unit_type)
        {
            // A sequence that cannot be decoded has started: what follows does not belong to the one before.
            self.current = None;
            self.activation.reset();
        }
        // One that comes again, or too late, is none of those that dependent slice segments ahead continue.
        let out_of_place = matches!(parsed, Err(Error::SliceSegmentOrder { .. }));
        if parsed.is_err()
            && !out_of_place
            && let Some(current) = &mut self.current
        {
            // Dependent slice segments that follow would continue the one that is lost now.
            current.independent = Independent::Lost;
        }
        Some(parsed.map(|(slice_header, picture)| {
            let nal = NalUnit { header, data: nal };
            SliceSegment { nal, header: slice_header, picture }
        }))
    }

    /// Reads the header; changes nothing.
    fn slice_header(&self, nal: NalHeader, rbsp: &Rbsp) -> Result<ParsedSlice, Error> {
        let r = &mut BitReader::new(rbsp.bytes(), Place::new(Structure::SliceSegmentHeader));
        let start = HeaderStart::parse(r, nal.nal_unit_type)?;
        let current = self.current.as_ref().filter(|current| {
            !start.first_slice_segment_in_pic_flag
                && current.picture.nal_unit_type == nal.nal_unit_type
                && current.picture.temporal_id == nal.temporal_id
                && current.picture.pps.pps_pic_parameter_set_id == start.slice_pic_parameter_set_id
        });
        let (pps, sps) = match current {
            Some(current) => (&current.picture.pps, &current.picture.sps),
            None => self.parameter_sets(nal.nal_unit_type, start.slice_pic_parameter_set_id, r.place())?,
        };
        let (dependent, address) = start.parse_address(r, pps, sps)?;
        let mut header = if dependent {
            match current.and_then(Current::independent) {
                Some(independent) => independent.dependent(start, address),
                None => return Err(Error::MissingIndependentSliceSegment { place: r.place(), address }),
            }
        } else {
            SliceHeader::inferred(start, address, pps)
        };
        if !dependent {
            header.parse_independent(r, rbsp, nal.nal_unit_type, pps, sps)?;
        }
        header.parse_end(r, rbsp, pps, sps)?;
        let address_ts = pps.ctb_addr_rs_to_ts(sps, address);
        let same_picture = current.is_some_and(|current| {
            let first = &current.picture.header;
            first.slice_pic_order_cnt_lsb == header.slice_pic_order_cnt_lsb
                // Two IDR pictures cannot be told apart by their order count, but addresses only grow within a picture.
                && !(nal.nal_unit_type.is_idr() && address_ts < current.last_address_ts)
        });
        if dependent && !same_picture {
            return Err(Error::MissingIndependentSliceSegment { place: r.place(), address });
        }
        let parameter_sets = (!same_picture).then(|| (Arc::clone(pps), Arc::clone(sps)));
        Ok(ParsedSlice { header: Arc::new(header), address_ts, parameter_sets, place: r.place() })
    }

    /// The parameter sets of a new picture.
    fn parameter_sets(
        &self,
        nal_unit_type: NalUnitType,
        pps_id: u8,
        place: Place,
    ) -> Result<(&Arc<Pps>, &Arc<Sps>), Error> {
        let pps = self.pps[usize::from(pps_id)].get(place, Place::with_id(Structure::Pps, pps_id))?;
        let sps_id = pps.pps_seq_parameter_set_id;
        let pps_place = Place::with_id(Structure::Pps, pps_id);
        let sps = match self.activation.active_sps() {
            Some(active)
                if !self.starts_sequence(nal_unit_type)
                    && !self.is_unmarked_splice(nal_unit_type, pps_id) =>
            {
                let active_id = active.sps_seq_parameter_set_id;
                if active_id != sps_id {
                    let (referenced, active) = (sps_id, active_id);
                    return Err(Error::SpsNotActive { place: pps_place, referenced, active });
                }
                active
            }
            _ => self.sps[usize::from(sps_id)].get(pps_place, Place::with_id(Structure::Sps, sps_id))?,
        };
        // Those of the current picture were checked when it started.
        let known = self.current.as_ref().is_some_and(|Current { picture, .. }| {
            Arc::ptr_eq(&picture.pps, pps) && Arc::ptr_eq(&picture.sps, sps)
        });
        if !known {
            pps.validate(sps)?;
        }
        Ok((pps, sps))
    }

    /// `NoRaslOutputFlag` that an IRAP picture would have now; `false` for other pictures.
    fn starts_sequence(&self, nal_unit_type: NalUnitType) -> bool {
        nal_unit_type.is_idr()
            || nal_unit_type.is_bla()
            || nal_unit_type.is_irap() && (self.activation.at_start() || self.handle_cra_as_bla)
    }

    /// Whether a picture is a CRA picture whose SPS differs from the active one. Within a coded video sequence that cannot
    /// be, so one has been joined to another without an end of sequence NAL unit: the picture starts a new one.
    fn is_unmarked_splice(&self, nal_unit_type: NalUnitType, pps_id: u8) -> bool {
        let Some(active) = self.activation.active_sps() else { return false };
        let Some(pps) = self.pps(pps_id).filter(|_| nal_unit_type.is_irap()) else { return false };
        self.sps(pps.pps_seq_parameter_set_id).is_some_and(|sps| !Arc::ptr_eq(sps, active) && sps != active)
    }

    /// Gives the slice segment to the current picture or starts a new one.
    fn assign(
        &mut self,
        nal: NalHeader,
        parsed: ParsedSlice,
    ) -> Result<(Arc<SliceHeader>, Option<Arc<Picture>>), Error> {
        let ParsedSlice { header, address_ts, parameter_sets, place } = parsed;
        let address = header.slice_segment_address;
        let Some((pps, sps)) = parameter_sets else {
            let current = self.current.as_mut().expect("the header was compared with it");
            if address_ts <= current.last_address_ts {
                let (previous, poc) = (current.last_address, current.picture.pic_order_cnt_val);
                return Err(Error::SliceSegmentOrder { place, address, previous, poc });
            }
            current.last_address = address;
            current.last_address_ts = address_ts;
            // SEI between its slice segments was the picture's own, and says nothing of the next one.
            self.activation.recovery_point = false;
            if !header.dependent_slice_segment_flag {
                current.independent = Independent::Later(Arc::clone(&header));
            }
            return Ok((header, None));
        };
        let splice = self.is_unmarked_splice(nal.nal_unit_type, header.slice_pic_parameter_set_id);
        let starts_sequence = splice || self.starts_sequence(nal.nal_unit_type);
        let lsb = header.slice_pic_order_cnt_lsb as i32;
        let poc = self.poc.decode(lsb, sps.max_pic_order_cnt_lsb(), starts_sequence);
        if let Some(current) = &self.current
            && !starts_sequence
            && current.picture.nal_unit_type == nal.nal_unit_type
            && current.picture.pic_order_cnt_val == poc
        {
            // Two pictures of a coded video sequence never share an order count: the first slice segment again.
            return Err(Error::SliceSegmentOrder { place, address, previous: current.last_address, poc });
        }
        let vps = match &self.vps[usize::from(sps.sps_video_parameter_set_id)] {
            Stored::Present(vps) => Some(Arc::clone(vps)),
            _ => None,
        };
        let mut picture =
            self.activation.start(nal, &header, (vps, sps, pps), poc, starts_sequence, self.start_at);
        if splice {
            // The rule for CRA pictures is for decoders that were told of the splice; here output goes on.
            picture.no_output_of_prior_pics_flag = header.no_output_of_prior_pics_flag;
        }
        let picture = Arc::new(picture);
        if nal.temporal_id == 0
            && !nal.nal_unit_type.is_leading()
            && !nal.nal_unit_type.is_sub_layer_non_reference()
        {
            self.poc.set_reference(poc);
        }
        self.current = Some(Current {
            picture: Arc::clone(&picture),
            independent: Independent::First,
            last_address: address,
            last_address_ts: address_ts,
        });
        Ok((header, Some(picture)))
    }
}

/// A slice segment header and what it begins.
struct ParsedSlice {
    header: Arc<SliceHeader>,
    /// `slice_segment_address` in decoding order (`CtbAddrRsToTs`).
    address_ts: u32,
    /// The parameter sets of the picture that it starts; `None` if it belongs to the current one.
    parameter_sets: Option<(Arc<Pps>, Arc<Sps>)>,
    place: Place,
}

/// Remembers that a parameter set was replaced by one that is not supported. A damaged one replaces nothing.
fn refuse<T>(stored: &mut [Stored<T>], error: Error) -> Error {
    if let Error::Unsupported { place: Place { id: Some(id), .. }, .. } = error
        && let Some(entry) = stored.get_mut(usize::from(id))
    {
        *entry = Stored::Refused(error.clone());
    }
    error
}
