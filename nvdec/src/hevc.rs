//! HEVC: the front end, from NAL units to coded pictures; and audits of pictures that were described elsewhere.

use std::sync::Arc;

use arrayvec::ArrayVec;
use bitstream::find_start_code;
use hevc::dpb::{DecodedPictureBuffer, Marking, Output, RefEntry};
use hevc::nal::{NalHeader, NalUnitType};
use hevc::sei::SeiPayload;
use hevc::{Parser, Picture, Pps, SliceSegment, Sps};
use nvkernel_sys::video;

use crate::class::Chroma;
use crate::error::{Error, Result, SyntaxError};
use crate::frontend::{Frontend, Unit};
use crate::memory::motion::PLACES;
use crate::packet::Sent;
use crate::pictures::Pictures;
use crate::pictures::coded::{Application, Format};
use crate::pictures::held::Held;
use crate::pictures::info::Times;
use crate::pictures::slice_data::Slices;
use crate::surface::format::{SurfaceFormat, SurfaceGeometry};

pub mod audit;
mod describe;
mod descriptor;
pub(crate) mod info;
mod limits;
mod scratch;
mod tables;

/// The parser, whose types appear in the API of this module.
pub use ::hevc as parser;
use describe::{BITSTREAM_AT, HevcPicture, Templates};
use descriptor::DESCRIPTOR_BYTES;
pub use limits::{check, check_limits, check_pps};
use scratch::Scratch;

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
    /// The parameter sets of the picture started last, and what its pictures need.
    sequence: Option<(Arc<Sps>, Format)>,
    /// Parameter sets that cannot be decoded: reported once, their pictures are dropped.
    refused: Option<(Arc<Sps>, Arc<Pps>)>,
    /// What pictures share that have the same parameter sets.
    templates: Templates,
    /// The picture whose slices are being collected; `None` also while they are dropped, as those of a skipped RASL picture
    /// and of one that could not be started are.
    current: Option<Box<HevcPicture>>,
    /// Bytes of NAL units taken so far.
    offset: u64,
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
                if !suffix {
                    self.end_picture(pictures)?;
                }
                let hash = messages.into_iter().find_map(|m| match m.payload {
                    SeiPayload::DecodedPictureHash(hash) => Some(hash),
                    _ => None,
                });
                if let (Some(new), Some(current)) = (hash, &mut self.current) {
                    current.set_hash(new);
                }
            }
            // All of these begin an access unit or end a sequence (7.4.2.4.4).
            Ok(
                hevc::Unit::Vps(_)
                | hevc::Unit::Sps(_)
                | hevc::Unit::Pps(_)
                | hevc::Unit::AccessUnitDelimiter
                | hevc::Unit::EndOfSequence
                | hevc::Unit::EndOfBitstream,
            ) => self.end_picture(pictures)?,
            Ok(_) => {}
            Err(source) => pictures.note(Error::Bitstream { offset, source: source.into() }),
        }
        Ok(Sent::Accepted)
    }

    fn ends_picture(&self, start: &[u8]) -> bool {
        ends_picture(start)
    }

    fn end_picture(&mut self, pictures: &mut Pictures) -> Result<()> {
        let Some(current) = self.current.take() else { return Ok(()) };
        let picture = current.picture().clone();
        if let Some(held) = pictures.hand_over(current)? {
            let outputs = self.dpb.insert(&picture, held);
            show(pictures, outputs);
            pictures.go_on()?;
        }
        Ok(())
    }

    fn finish(&mut self, pictures: &mut Pictures) -> Result<()> {
        self.end_picture(pictures)?;
        show(pictures, self.dpb.flush());
        self.parser.reset();
        Ok(())
    }

    fn reset(&mut self) {
        self.current = None;
        self.dpb.clear();
        self.parser.reset();
    }

    fn reorder(&self) -> Option<usize> {
        let (sps, _) = self.sequence.as_ref()?;
        Some(usize::from(sps.highest_sub_layer_ordering().max_num_reorder_pics))
    }
}

impl Hevc {
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

    fn slice(&mut self, slice: SliceSegment<'_>, unit: Unit<'_>, pictures: &mut Pictures) -> Result<()> {
        if let Some(picture) = slice.picture {
            self.end_picture(pictures)?;
            self.current = self.begin(picture, unit.times, pictures)?;
        }
        let Some(current) = &mut self.current else { return Ok(()) };
        current.add_collocated(&slice.header);
        if !pictures.add(slice.nal.data, unit.place, Slices::StartCodes(passes_over))? {
            self.current = None;
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
        if picture.skipped || self.is_refused(&picture, pictures)? {
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
        let begin = self.dpb.begin(&picture);
        show(pictures, begin.output);
        // No picture to come takes motion from those that only wait for their output.
        for (_, entry) in self.dpb.iter().filter(|(_, entry)| entry.marking == Marking::Unused) {
            Held::release_motion(&entry.payload);
        }
        pictures.open()?;
        let held = |entry: &RefEntry| {
            let found = entry.index.and_then(|index| self.dpb.get(index));
            found.map(|entry| entry.payload.clone())
        };
        let references: ArrayVec<_, PLACES> = begin.rps.initial_list0().map(held).take(PLACES).collect();
        let class = pictures.context().class();
        let prepared = self.templates.get(&picture.sps, &picture.pps, class, &format.geometry);
        Ok(Some(Box::new(HevcPicture::new(picture, prepared, times, begin.rps, references))))
    }

    /// Whether the picture cannot be decoded: an error the first time that its parameter sets are seen.
    fn is_refused(&mut self, picture: &Picture, pictures: &mut Pictures) -> Result<bool> {
        let (sps, pps) = (&picture.sps, &picture.pps);
        if self.refused.as_ref().is_some_and(|(s, p)| Arc::ptr_eq(s, sps) && Arc::ptr_eq(p, pps)) {
            return Ok(true);
        }
        let verdict = check_all(sps, pps, pictures);
        self.refused = None;
        if let Err(error) = verdict {
            // What came before is not held back by a sequence that does not come.
            show(pictures, self.dpb.flush());
            pictures.submit_all()?;
            self.refused = Some((sps.clone(), pps.clone()));
            return Err(error);
        }
        Ok(false)
    }
}

fn show(pictures: &mut Pictures, outputs: Vec<Output<Arc<Held>>>) {
    pictures.show(outputs.into_iter().map(|output| output.payload));
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
        bitstream_at: BITSTREAM_AT,
        descriptor: DESCRIPTOR_BYTES,
    }
}

/// Layout of the surfaces of a sequence.
fn geometry(sps: &Sps) -> SurfaceGeometry {
    let chroma = Chroma::from_chroma_format_idc(sps.chroma_format_idc).expect("checked by the parser");
    let format = SurfaceFormat { chroma, bit_depth: sps.bit_depth_luma };
    SurfaceGeometry::new(format, sps.pic_width_in_luma_samples, sps.pic_height_in_luma_samples)
}

/// Whether a NAL unit is the first slice segment of a picture of the base layer.
fn begins_picture(nal: &[u8]) -> bool {
    // first_slice_segment_in_pic_flag is the first bit behind the NAL unit header.
    NalHeader::parse(nal).is_ok_and(|h| h.nal_unit_type.is_slice_segment() && h.nuh_layer_id == 0)
        && nal.get(NalHeader::SIZE).is_some_and(|b| b & 0x80 != 0)
}

/// Whether the picture before a NAL unit that begins with `start`, its header and a byte more, is complete (7.4.2.4.4): for
/// those who have to know it before the whole NAL unit is there. NAL units that are small and never come alone, such as
/// parameter sets, are left to end it when they are whole.
pub fn ends_picture(start: &[u8]) -> bool {
    const ENDS: [NalUnitType; 3] = [NalUnitType::AUD_NUT, NalUnitType::EOS_NUT, NalUnitType::EOB_NUT];
    begins_picture(start)
        || NalHeader::parse(start).is_ok_and(|h| h.nuh_layer_id == 0 && ENDS.contains(&h.nal_unit_type))
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
