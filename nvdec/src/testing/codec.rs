//! A codec that no engine knows, for tests of what all codecs share: units of a few bytes, one a picture, without
//! samples. In place of samples and motion vectors a picture has its number, so that what is found at the places of
//! its references tells whether it came in order.
//!
//! A codec adds what is here, and nothing else changes:
//!
//! - a module with its [`Frontend`] and [`CodedPicture`], like [`hevc`](crate::hevc),
//! - a row of limits in [`class`](mod@crate::class); here a width that is too large stands for it,
//! - a line where front ends are chosen in [`decoder`](mod@crate::decoder); here [`decoder()`],
//! - an engine part for the model, like [`emulated`](crate::emulated); here [`decode`].

use std::collections::VecDeque;
use std::sync::Arc;

use hcq::kernel::emulated::{EngineContext, EngineFault};
use nvkernel_sys::video;

use super::{Execution, Layout, Machine};
use crate::class::Chroma;
use crate::error::{Error, Result, SyntaxError};
use crate::frontend::{Frontend, Unit};
use crate::job::Operand;
use crate::options::Price;
use crate::packet::{Packet, Sent, Source};
use crate::pictures::Pictures;
use crate::pictures::coded::{Application, CodedPicture, Format, Operands, Placed};
use crate::pictures::held::Held;
use crate::pictures::info::{CodecInfo, Colour, Shows, Times};
use crate::pictures::integrity::Refresh;
use crate::pictures::slice_data::Slices;
use crate::status::PictureFault;
use crate::surface::format::{Rect, SurfaceFormat, SurfaceGeometry};
use crate::{Decoder, DecoderOptions};

/// When a picture comes out.
pub(crate) const AT_ONCE: u8 = 1;
/// Before the next one that comes later, or at the end.
pub(crate) const LATER: u8 = 2;
pub(crate) const NEVER: u8 = 3;
/// A width, in blocks of 16, that no engine decodes.
pub(crate) const TOO_WIDE: u8 = 0xfe;
/// A width for which no motion vectors are kept.
pub(crate) const WITHOUT_MOTION: u8 = 5;
/// Ends the references of a picture. What follows means nothing.
const END: u8 = 0xff;

/// Pictures that can be referred to.
pub(crate) const DPB: usize = 4;
const APPLICATION: Application = Application { id: 99, control_params: 0 };
const DESCRIPTOR: usize = 256;
/// Number of a reference that does not exist.
const MISSING: u32 = u32::MAX;
/// What lies in its place.
const GREY: u32 = 0x8080_8080;
/// Where the codec's own address goes.
const SCRATCH_METHOD: u32 = video::SET_HISTOGRAM_OFFSET;

/// A picture of `size` blocks of 16x16 that comes out at `shown` and refers to those so many pictures back.
pub(crate) fn picture(size: (u8, u8), shown: u8, references: &[u8]) -> Vec<u8> {
    [&[size.0, size.1, shown], references, &[END]].concat()
}

/// A decoder of this codec.
pub(crate) fn decoder(machine: &Machine, options: DecoderOptions) -> Decoder {
    Decoder::with(Box::new(TestCodec::default()), APPLICATION, &machine.context, options).unwrap()
}

/// The number that a decoded surface has in place of samples.
pub(crate) fn mark(surface: &crate::Surface) -> u32 {
    let mut mark = [0; 4];
    surface.buffer().view().unwrap().copy_out(0, &mut mark);
    u32::from_le_bytes(mark)
}

/// Units in memory, each with its number for a presentation time.
#[derive(Clone, Debug)]
pub(crate) struct Numbered<'a> {
    pub(crate) units: &'a [Vec<u8>],
    pub(crate) next: usize,
}

impl<'a> Numbered<'a> {
    pub(crate) fn new(units: &'a [Vec<u8>]) -> Self {
        Numbered { units, next: 0 }
    }
}

impl Source for Numbered<'_> {
    fn packet(&mut self) -> std::io::Result<Option<Packet<'_>>> {
        Ok(self.units.get(self.next).map(|unit| Packet::unit(unit).with_pts(self.next as i64)))
    }

    fn advance(&mut self) {
        self.next += 1;
    }
}

/// The front end.
#[derive(Debug, Default)]
struct TestCodec {
    size: Option<(u8, u8)>,
    dpb: VecDeque<(u32, Arc<Held>)>,
    later: Option<Arc<Held>>,
    pictures: u32,
    offset: u64,
}

impl Frontend for TestCodec {
    fn send(&mut self, unit: Unit<'_>, pictures: &mut Pictures) -> Result<Sent> {
        let offset = self.offset;
        let &[width, height, shown @ AT_ONCE..=NEVER, ref references @ ..] = unit.bytes else {
            self.offset += unit.bytes.len() as u64;
            let source = SyntaxError { is_unsupported: false, source: "no picture".into() };
            pictures.note(Error::Bitstream { offset, source });
            return Ok(Sent::Accepted);
        };
        if width == TOO_WIDE {
            self.offset += unit.bytes.len() as u64;
            pictures.show(self.later.take());
            pictures.submit_all()?;
            let (class, value) = (pictures.context().class().generation, width.to_string());
            return Err(Error::CannotDecode { class, element: "width", value, limit: "less".into() });
        }
        let format = format(width, height);
        let sent = pictures.make_room_for(Some(&format))?;
        if sent != Sent::Accepted {
            return Ok(sent);
        }
        self.offset += unit.bytes.len() as u64;
        pictures.activate(&format)?;
        if self.size.replace((width, height)) != Some((width, height)) {
            self.dpb.clear();
        }
        pictures.open(DESCRIPTOR as u64)?;
        if !pictures.add(unit.bytes, unit.place, Slices::Contiguous)? {
            return Ok(Sent::Accepted);
        }
        let at = |&distance: &u8| Some(&self.dpb[self.dpb.len().checked_sub(distance.into())?]);
        let named = references.iter().take_while(|&&distance| distance != END).map(at);
        let (numbers, references): (Vec<_>, Vec<_>) = named
            .map(|entry| (entry.map_or(MISSING, |entry| entry.0), entry.map(|entry| entry.1.clone())))
            .unzip();
        let collocated = (0..references.len().min(1)).filter(|_| format.motion > 0).collect();
        let (number, times) = (self.pictures, unit.times);
        self.pictures += 1;
        let coded = TestPicture { number, format, times, numbers, references, collocated };
        let Some(held) = pictures.hand_over(Box::new(coded))? else { return Ok(Sent::Accepted) };
        self.dpb.push_back((number, held.clone()));
        if self.dpb.len() > DPB
            && let Some((_, oldest)) = self.dpb.pop_front()
        {
            Held::release_motion(&oldest);
        }
        match shown {
            AT_ONCE => pictures.show([held]),
            LATER => pictures.show(self.later.replace(held)),
            _ => {}
        }
        pictures.go_on()?;
        Ok(Sent::Accepted)
    }

    fn ends_picture(&self, _: &[u8]) -> bool {
        false
    }

    fn end_picture(&mut self, _: &mut Pictures) -> Result<()> {
        // A unit is a whole picture.
        Ok(())
    }

    fn finish(&mut self, pictures: &mut Pictures) -> Result<()> {
        pictures.show(self.later.take());
        self.dpb.clear();
        Ok(())
    }

    fn reset(&mut self) {
        self.later = None;
        self.dpb.clear();
    }

    fn reorder(&self) -> Option<usize> {
        self.size.map(|_| 1)
    }

    fn price(&self, pictures: &Pictures) -> Result<Option<Price>> {
        Ok(self.size.map(|(width, height)| pictures.highest_price_of(&format(width, height))))
    }
}

pub(crate) fn format(width: u8, height: u8) -> Format {
    let (columns, lines) = (u32::from(width), u32::from(height));
    let nv12 = SurfaceFormat::new(Chroma::C420, 8);
    Format {
        geometry: SurfaceGeometry::new(nv12, 16 * columns, 16 * lines),
        dpb: DPB + 1,
        blocks: columns * lines,
        motion: if width == WITHOUT_MOTION { 0 } else { 256 * u64::from(lines) },
        scratch: 256 * u64::from(columns),
        descriptor: DESCRIPTOR,
    }
}

#[derive(Debug)]
struct TestPicture {
    number: u32,
    format: Format,
    times: Times,
    /// Numbers of the references.
    numbers: Vec<u32>,
    references: Vec<Option<Arc<Held>>>,
    collocated: Vec<usize>,
}

impl CodedPicture for TestPicture {
    fn poc(&self) -> i32 {
        self.number as i32
    }

    fn references(&self) -> &[Option<Arc<Held>>] {
        &self.references
    }

    fn used(&self) -> u32 {
        u32::MAX
    }

    fn flaw(&self) -> Option<PictureFault> {
        None
    }

    fn missing(&self, at: usize) -> PictureFault {
        PictureFault::MissingReference { poc: self.numbers[at] as i32 }
    }

    fn refresh(&self) -> Refresh {
        Refresh::default()
    }

    fn collocated(&self) -> &[usize] {
        &self.collocated
    }

    fn is_random_access(&self) -> bool {
        self.references.is_empty()
    }

    fn scratch(&self) -> u64 {
        self.format.scratch
    }

    fn describe<'a>(&'a self, placed: &Placed<'a>, operands: &mut Operands<'a>) -> Result<()> {
        let mut words = vec![
            placed.stream_len as u32,
            self.format.blocks,
            self.number,
            placed.target.into(),
            self.format.motion as u32,
            self.collocated.len() as u32,
            self.references.len() as u32,
        ];
        for (&place, &number) in placed.references.iter().zip(&self.numbers) {
            words.extend([place.into(), number]);
        }
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.resize(DESCRIPTOR, 0);
        placed.chunk.view()?.copy_in(0, &bytes);
        operands.push(Operand::new(SCRATCH_METHOD, placed.scratch));
        Ok(())
    }

    fn shows(&self) -> Shows {
        let SurfaceGeometry { width, height, .. } = self.format.geometry;
        Shows {
            crop: Rect { left: 0, top: 0, width, height },
            times: self.times,
            is_key: self.references.is_empty(),
            colour: Colour::default(),
            side_data: None,
            codec: CodecInfo::None,
        }
    }
}

/// What the engine knows of the codec.
pub(super) const LAYOUT: Layout = Layout {
    application: APPLICATION.id,
    descriptor: DESCRIPTOR,
    stream_len: 0,
    blocks: |descriptor| u32::from_le_bytes(descriptor[4..8].try_into().unwrap()),
    decode,
};

/// Number of the picture that was executed.
pub(crate) fn number(execution: &Execution) -> u32 {
    execution.word(8)
}

/// Looks whether the numbers of the references are where they ought to be, and leaves that of the picture for those
/// to come.
fn decode(context: &EngineContext<'_>, execution: &mut Execution) -> Result<(), EngineFault> {
    let memory = context.memory();
    let address = |method: u32| {
        let missing = || EngineFault::Exception(format!("method {method:#x} is missing"));
        execution.address(method).ok_or_else(missing)
    };
    let expect = |what: &str, address: u64, expected: u32| match memory.load_u32(address)? {
        found if found == expected => Ok(()),
        found => Err(EngineFault::Exception(format!(
            "picture {}: {what} is {found:#x} instead of {expected:#x}",
            number(execution)
        ))),
    };
    let word = |index: usize| execution.word(4 * index);
    let luma = |place: u32| address(video::SET_PICTURE_LUMA_OFFSET + 4 * place);
    let (target, slot, collocated, references) = (word(3), word(4), word(5), word(6));
    let motion =
        |place: u32| Ok::<u64, EngineFault>(address(video::SET_COLOC_DATA_OFFSET)? + u64::from(place * slot));
    for reference in 0..references {
        let (place, number) = (word(7 + 2 * reference as usize), word(8 + 2 * reference as usize));
        address(video::SET_PICTURE_CHROMA_OFFSET + 4 * place)?;
        expect("a reference", luma(place)?, if number == MISSING { GREY } else { number })?;
        if reference < collocated {
            expect("motion", motion(place)?, if number == MISSING { 0 } else { number })?;
        }
    }
    memory.load_u32(address(SCRATCH_METHOD)?)?;
    memory.store_u32(luma(target)?, number(execution))?;
    if slot > 0 {
        memory.store_u32(motion(target)?, number(execution))?;
    }
    Ok(())
}
