//! One picture: from descriptor, tables and slice data in GPU memory to a surface, motion vectors and a status.

use std::sync::Arc;

use bitstream::split_annex_b;
use hcq::kernel::emulated::{AddressSpace, EngineContext, EngineFault, MmuFault};
use hevc::nal::NalHeader;
use nvkernel_sys::video::{self, hevc_pic as pic, set_control_params};

use super::motion::{self, BlockMotion};
use super::reconstruction::{Payload, Reconstructor, Reference, Samples, order_counts};
use super::references::{Conversions, References};
use super::scratch::Scratch;
use super::setup::{ERROR_INTER, ERROR_INTRA, ScalingMatrices, Setup, TileSizes};
use super::slice_header::{SliceHeader, SliceType};
use crate::class::VideoClass;
use crate::emulated::application::{PictureDecoder, Refusal};
use crate::emulated::methods::Methods;
use crate::emulated::status::{self, Status};
use crate::emulated::surface::Layout;

/// Slice data are fetched in pieces, so that a length from nowhere ends at the first unmapped page.
const FETCH: usize = 256 << 10;
/// `error_status` of a picture that took longer than its timer allows (`CMN_VLD_ERR_VLD_WD_TIME_OUT`).
const ERROR_TIMEOUT: u32 = 0x7104;
/// `slice_header_error_code` of every header that cannot be parsed; the hardware's codes are not known.
const ERROR_SLICE_HEADER: u32 = 1;
/// Timer of a picture whose descriptor names none, in cycles.
const DEFAULT_TIMEOUT: u64 = 1 << 27;
const REFERENCE_PLACES: usize = 16;

/// What an engine keeps between pictures: nothing that a picture could depend on.
pub(super) struct HevcPictures {
    reconstructor: Reconstructor,
    references: References,
    /// Pictures so far.
    number: u64,
}

impl std::fmt::Debug for HevcPictures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HEVC after {} pictures", self.number)
    }
}

/// A slice segment whose header is parsed.
struct Segment {
    header: SliceHeader,
    payload: Payload,
}

/// The first error of a picture, and its sums.
#[derive(Default)]
struct Damage {
    in_error: u32,
    error_status: u32,
    ctb: u32,
    slice: u32,
    slice_header_error: u32,
}

impl Damage {
    fn note(&mut self, error_status: u32, ctb: u32, slice: u32) {
        if self.error_status == 0 {
            (self.error_status, self.ctb, self.slice) = (error_status, ctb, slice);
        }
    }
}

/// Reads the picture descriptor.
fn read_setup(memory: &AddressSpace, methods: &Methods) -> Result<Setup, MmuFault> {
    let mut bytes = [0; Setup::BYTES];
    memory.read(methods.address(video::SET_DRV_PIC_SETUP_OFFSET), &mut bytes)?;
    Ok(Setup::new(bytes))
}

impl PictureDecoder for HevcPictures {
    fn blocks(&self, memory: &AddressSpace, methods: &Methods) -> Result<u32, MmuFault> {
        let setup = read_setup(memory, methods)?;
        // The size may be any, and need not be one that is decoded.
        Ok(setup.width().div_ceil(16).saturating_mul(setup.height().div_ceil(16)).max(1))
    }

    fn decode(
        &mut self,
        context: &EngineContext<'_>,
        class: &VideoClass,
        methods: &Methods,
    ) -> Result<Result<Status, Refusal>, EngineFault> {
        let memory = context.memory();
        let setup = &read_setup(memory, methods)?;
        self.number += 1;
        if let Err(refusal) = setup.check(class) {
            return Ok(Err(refusal));
        }
        let mut table = vec![0; TileSizes::bytes(setup)];
        memory.read(methods.address(video::HEVC_SET_TILE_SIZES_OFFSET), &mut table)?;
        let tiles = match TileSizes::read(&table, setup, class) {
            Ok(tiles) => tiles,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut scaling = None;
        if setup.flag(pic::scalingListEnable) {
            let mut bytes = [0; ScalingMatrices::BYTES];
            memory.read(methods.address(video::HEVC_SET_SCALING_LIST_OFFSET), &mut bytes)?;
            scaling = Some(ScalingMatrices::read(&bytes));
        }
        let stream = fetch(memory, methods, setup)?;

        let seed = self.number << 8 | u64::from(context.engine().0);
        let scratch = Scratch::new(setup, &tiles, methods, class, seed);
        scratch.fill(memory)?;

        let place = setup.byte(pic::curr_pic_idx);
        let target = methods.picture(place);
        let layout = setup.layout();
        let (samples, mut blocks) = self.references.buffers(target, &layout, setup.bit_depth());
        if let Err(refusal) = self.reconstructor.begin(setup, &tiles, scaling.as_ref(), samples) {
            return Ok(Err(refusal));
        }
        let mut damage = Damage::default();
        let mut picture = PictureReferences::new(setup, methods, layout);
        self.segments(context, &mut picture, setup, methods, &stream, &mut damage)?;
        if self.reconstructor.filter().is_err() {
            damage.note(ERROR_INTRA, 0, 0);
        }
        let done = (0..setup.ctbs()).filter(|&rs| self.reconstructor.is_done(rs));
        let correct = done.map(|rs| setup.blocks_of(rs)).sum();
        if correct != setup.blocks() {
            let from = self.concealment(memory, &mut picture, setup)?;
            self.reconstructor.conceal(from.as_ref());
        }
        let (samples, motion, counts) = self.reconstructor.finish();
        layout.tile(samples.planes(), &mut blocks);
        layout.write(memory, target, &blocks)?;
        let slot = motion::encode(setup.width(), setup.height(), &motion);
        memory.write(picture.slot(place), &slot)?;
        self.references.keep(target, layout, samples, blocks);
        scratch.verify(memory)?;
        let position = |rs: u32| (rs % setup.ctb_columns(), rs / setup.ctb_columns());
        Ok(Ok(Status {
            correct,
            in_error: damage.in_error,
            cycles: status::cycles(setup.blocks().into(), stream.len() as u64),
            error_status: damage.error_status,
            error_ctb: position(damage.ctb),
            error_slice: position(damage.slice),
            slice_header_error: damage.slice_header_error,
            intra: counts.intra,
            inter: counts.inter,
            skipped: counts.skipped,
        }))
    }
}

impl HevcPictures {
    /// A decoder that shares what it takes apart with others.
    pub(super) fn new(conversions: Arc<Conversions>) -> Self {
        HevcPictures {
            reconstructor: Reconstructor::default(),
            references: References::new(conversions),
            number: 0,
        }
    }

    /// Decodes the slice segments of the picture.
    fn segments(
        &mut self,
        context: &EngineContext<'_>,
        picture: &mut PictureReferences<'_>,
        setup: &Setup,
        methods: &Methods,
        stream: &[u8],
        damage: &mut Damage,
    ) -> Result<(), EngineFault> {
        let segments = parse_segments(setup, stream, damage);
        let timer = match setup.word(pic::gptimer_timeout_value) {
            _ if set_control_params::GPTIMER_ON.get(methods.control) == 0 => u64::MAX,
            0 => DEFAULT_TIMEOUT,
            cycles => cycles.into(),
        };
        let mut spent = 0;
        // Position in decoding order behind the last segment decoded.
        let mut reached = 0;
        for (i, Segment { header, payload }) in segments.iter().enumerate() {
            if context.is_cancelled() {
                return Ok(());
            }
            let start = self.reconstructor.tile_scan(header.address);
            let limit = match segments.get(i + 1) {
                Some(next) => self.reconstructor.tile_scan(next.header.address),
                None => setup.ctbs(),
            };
            let code = if header.slice_type == SliceType::I { ERROR_INTRA } else { ERROR_INTER };
            if start < reached || limit <= start {
                // Segments come in decoding order (7.4.7.1); one that does not is not decoded.
                log::debug!("{}: slice segment at {} is out of order", context.engine(), header.address);
                damage.note(code, header.address, header.slice_address);
                continue;
            }
            let lists = picture.lists(context.memory(), &mut self.references, header)?;
            let result = self.reconstructor.segment(header, payload, &lists);
            // How far it came, which may be beyond where it should have ended.
            let mut end = start;
            while end < setup.ctbs() && self.reconstructor.is_done(self.reconstructor.raster(end)) {
                spent += u64::from(setup.blocks_of(self.reconstructor.raster(end)));
                end += 1;
            }
            let error = match result {
                Err(error) => Some(error.to_string()),
                Ok(()) if end > limit => Some("it runs into the next segment".to_owned()),
                Ok(()) => None,
            };
            reached = limit.min(end);
            if let Some(error) = error {
                log::debug!("{}: slice segment at {}: {error}", context.engine(), header.address);
                let at = if end < limit { self.reconstructor.raster(end) } else { header.address };
                damage.note(code, at, header.slice_address);
                // Where the data went wrong before they made no sense any more is not known: all of it goes,
                // the block that was begun too.
                for ts in start..(end + 1).min(setup.ctbs()) {
                    self.reconstructor.forget(self.reconstructor.raster(ts));
                }
                let lost = (start..limit).map(|ts| setup.blocks_of(self.reconstructor.raster(ts)));
                damage.in_error += lost.sum::<u32>();
            }
            if status::cycles(spent, payload.bytes().len() as u64) > timer {
                log::debug!("{}: the picture takes longer than {timer} cycles", context.engine());
                damage.note(ERROR_TIMEOUT, header.address, header.slice_address);
                break;
            }
        }
        Ok(())
    }

    /// The picture that hides what is missing: the first reference, if there is one.
    fn concealment(
        &mut self,
        memory: &AddressSpace,
        picture: &mut PictureReferences<'_>,
        setup: &Setup,
    ) -> Result<Option<Samples>, EngineFault> {
        if setup.flag(pic::RAP_picture_flag) || setup.get(pic::num_ref_frames) == 0 {
            return Ok(None);
        }
        let place = setup.at(pic::initreflistidxl0, 0) as u8;
        Ok(Some(picture.samples(memory, &mut self.references, place)?))
    }
}

/// Reads the slice data.
fn fetch(memory: &AddressSpace, methods: &Methods, setup: &Setup) -> Result<Vec<u8>, MmuFault> {
    let start = methods.address(video::SET_IN_BUF_BASE_OFFSET);
    let length = setup.word(pic::stream_len) as usize;
    let mut stream = Vec::new();
    let mut tlb = memory.tlb();
    while stream.len() < length {
        let at = stream.len();
        stream.resize((at + FETCH).min(length), 0);
        tlb.read(start + at as u64, &mut stream[at..])?;
    }
    Ok(stream)
}

/// Finds the slice segments and parses their headers.
fn parse_segments(setup: &Setup, stream: &[u8], damage: &mut Damage) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    for nal in split_annex_b(stream) {
        let Ok(nal_header) = NalHeader::parse(nal) else { continue };
        if !nal_header.nal_unit_type.is_slice_segment() || nal_header.nuh_layer_id != 0 {
            log::debug!("NAL unit of type {:?} among the slice data", nal_header.nal_unit_type);
            continue;
        }
        let payload = Payload::new(&nal[NalHeader::SIZE..]);
        let before = segments.last().map(|s| &s.header);
        match SliceHeader::parse(payload.bytes(), setup, before) {
            Ok(header) => segments.push(Segment { header, payload }),
            Err(error) => {
                log::debug!("{error}");
                damage.slice_header_error = ERROR_SLICE_HEADER;
            }
        }
    }
    segments
}

/// The references of the picture being decoded, by place of the picture table.
struct PictureReferences<'a> {
    setup: &'a Setup,
    methods: &'a Methods,
    layout: Layout,
    /// Order counts of the places that the initial lists name.
    order: Vec<(u8, i32)>,
    /// Motion of the collocated picture used last, with its place.
    collocated: Option<(u8, Vec<BlockMotion>)>,
}

impl<'a> PictureReferences<'a> {
    fn new(setup: &'a Setup, methods: &'a Methods, layout: Layout) -> Self {
        let mut order: Vec<(u8, i32)> = Vec::new();
        for list in [pic::initreflistidxl0, pic::initreflistidxl1] {
            for i in 0..REFERENCE_PLACES {
                let place = setup.at(list, i) as u8 & 15;
                if order.iter().all(|(known, _)| *known != place) {
                    order.push((
                        place,
                        setup.at(pic::RefDiffPicOrderCnts, usize::from(place)).clamp(-128, 127),
                    ));
                }
            }
        }
        PictureReferences { setup, methods, layout, order: order_counts(&order), collocated: None }
    }

    /// Address of the slot of motion vectors of a place.
    fn slot(&self, place: u8) -> u64 {
        let base = self.methods.address(video::SET_COLOC_DATA_OFFSET);
        base + u64::from(place) * self.setup.offset(pic::colMvBuffersize)
    }

    fn samples(
        &self,
        memory: &AddressSpace,
        references: &mut References,
        place: u8,
    ) -> Result<Samples, EngineFault> {
        let surface = self.methods.picture(place);
        Ok(references.read(memory, surface, self.layout, self.setup.bit_depth())?)
    }

    /// The lists of a slice (8.3.4): the initial lists of the descriptor, modified by the header.
    fn lists(
        &mut self,
        memory: &AddressSpace,
        references: &mut References,
        header: &SliceHeader,
    ) -> Result<[Vec<Reference>; 2], EngineFault> {
        let mut places = [Vec::new(), Vec::new()];
        for (l, initial) in [pic::initreflistidxl0, pic::initreflistidxl1].into_iter().enumerate() {
            for i in 0..header.num_ref_idx[l] {
                let entry = header.list_entries[l].get(usize::from(i)).copied().unwrap_or(i);
                places[l].push(self.setup.at(initial, usize::from(entry)) as u8 & 15);
            }
        }
        if header.temporal_mvp && header.slice_type != SliceType::I {
            let list = usize::from(!header.collocated_from_l0);
            let place = places[list][usize::from(header.collocated_ref_idx)];
            if self.collocated.as_ref().is_none_or(|(known, _)| *known != place) {
                let (width, height) = (self.setup.width(), self.setup.height());
                let mut slot = vec![0; motion::slot_bytes(width, height)];
                memory.read(self.slot(place), &mut slot)?;
                self.collocated = Some((place, motion::decode(width, height, &slot)));
            }
            let (_, blocks) = self.collocated.as_ref().expect("just read");
            let poc = self.poc(place);
            self.samples(memory, references, place)?;
            references.set_motion(self.methods.picture(place), poc, blocks);
        }
        let mut lists = [Vec::new(), Vec::new()];
        for (list, places) in lists.iter_mut().zip(places) {
            for place in places {
                list.push(Reference {
                    samples: self.samples(memory, references, place)?,
                    poc: self.poc(place),
                    long_term: self.setup.word(pic::longtermflag) >> (15 - place) & 1 != 0,
                });
            }
        }
        Ok(lists)
    }

    fn poc(&self, place: u8) -> i32 {
        let known = self.order.iter().find(|(known, _)| *known == place);
        known.expect("list entries are entries of the initial lists").1
    }
}
