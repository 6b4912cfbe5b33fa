//! [`HevcPicture`]: how a picture of HEVC describes itself to the engine.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use arrayvec::ArrayVec;
use hcq::DeviceBuffer;
use hevc::dpb::ResolvedRps;
use hevc::picture_hash::PictureHash;
use hevc::slice::SliceHeader;
use hevc::{Picture, Pps, Sps};
use nvkernel_sys::video;

use super::descriptor::{DESCRIPTOR_BYTES, PlacedReference, References, Template};
use super::info::{HevcPictureInfo, first_wrong_plane};
use super::tables::{SCALING_LIST_BYTES, TILE_TABLE_BYTES};
use crate::class::VideoClass;
use crate::error::Result;
use crate::job::Operand;
use crate::memory::motion::{MAX_COLLOCATED, PLACES};
use crate::memory::store::{Lease, Purpose};
use crate::memory::{AtLimit, Memory};
use crate::pictures::coded::{CodedPicture, Fingerprint, Operands, Placed};
use crate::pictures::held::Held;
use crate::pictures::info::{CodecInfo, Colour, Shows, Times};
use crate::pictures::integrity::Refresh;
use crate::pictures::side_data::SideData;
use crate::status::PictureFault;
use crate::surface::format::{Rect, SurfaceGeometry};
use crate::surface::host::HostFrame;

/// Offsets within tables, wherever they lie.
const SCALING_LIST_AT: u64 = 0;
const TILE_TABLE_AT: u64 = (SCALING_LIST_BYTES as u64).next_multiple_of(256);
const TABLES_BYTES: u64 = TILE_TABLE_AT + TILE_TABLE_BYTES as u64;

/// Parameter sets whose tables are kept: some encoders change between a few picture parameter sets all the time.
const MAX_TEMPLATES: usize = 8;
/// Pictures that bring their tables along, 4 KiB to be copied each, before these are given memory of their own. That takes
/// several calls of the driver, which a short stream does not repay, nor one that never comes back to its parameter sets.
const COPIED_TABLES: u32 = 100;

/// What the pictures of a pair of parameter sets share.
#[derive(Debug)]
pub(super) struct Prepared {
    template: Template,
    /// The tables in memory of their own.
    memory: OnceLock<Lease>,
    /// Pictures that brought the tables along.
    pictures: AtomicU32,
}

impl Prepared {
    /// Where the next picture has its tables: the first ones bring them along.
    pub(super) fn place_of_tables(&self) -> TablesAt {
        let pictures = self.pictures.load(Ordering::Relaxed);
        if pictures >= COPIED_TABLES {
            return TablesAt::Shared;
        }
        self.pictures.store(pictures + 1, Ordering::Relaxed);
        TablesAt::Chunk
    }

    /// The tables in memory of their own.
    fn tables(&self, from: &Memory) -> Result<&DeviceBuffer> {
        if let Some(memory) = self.memory.get() {
            return Ok(memory.buffer());
        }
        let mut memory = from.allocate(TABLES_BYTES, Purpose::Upload, AtLimit::Wait)?;
        memory.written_to(TABLES_BYTES);
        self.template.tables().write(&memory.view()?, SCALING_LIST_AT, TILE_TABLE_AT);
        Ok(self.memory.get_or_init(|| memory).buffer())
    }
}

/// Where a picture has the tables of its parameter sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TablesAt {
    /// In its chunk of host memory, behind the descriptor.
    Chunk,
    /// In the memory that it shares with others.
    Shared,
}

impl TablesAt {
    /// Bytes of the picture's chunk of host memory that are not slice data: a multiple of 256.
    pub(super) fn chunk_bytes(self) -> u64 {
        match self {
            TablesAt::Chunk => DESCRIPTOR_BYTES as u64 + TABLES_BYTES,
            TablesAt::Shared => DESCRIPTOR_BYTES as u64,
        }
    }
}

/// The parameter sets that were used last, first.
#[derive(Debug, Default)]
pub(super) struct Templates(ArrayVec<Arc<Prepared>, MAX_TEMPLATES>);

impl Templates {
    /// Whether the last picture had these parameter sets.
    pub(super) fn begin_with(&self, sps: &Arc<Sps>, pps: &Arc<Pps>) -> bool {
        self.0.first().is_some_and(|first| first.template.is_for(sps, pps))
    }

    /// What is the same for all pictures with these parameter sets.
    pub(super) fn get(
        &mut self,
        sps: &Arc<Sps>,
        pps: &Arc<Pps>,
        class: &VideoClass,
        geometry: &SurfaceGeometry,
    ) -> Arc<Prepared> {
        match self.0.iter().position(|known| known.template.is_for(sps, pps)) {
            Some(at) => self.0[..=at].rotate_right(1),
            None => {
                self.0.truncate(MAX_TEMPLATES - 1);
                let template = Template::new(sps, pps, class, geometry);
                let (memory, pictures) = (OnceLock::new(), AtomicU32::new(0));
                self.0.insert(0, Arc::new(Prepared { template, memory, pictures }));
            }
        }
        self.0[0].clone()
    }
}

/// A picture of HEVC, from its first slice segment on.
#[derive(Debug)]
pub(super) struct HevcPicture {
    picture: Arc<Picture>,
    prepared: Arc<Prepared>,
    tables: TablesAt,
    times: Times,
    rps: ResolvedRps,
    /// The pictures that it names, in the order of initial list 0; `None` if missing. As many as there are places, of
    /// which the picture itself needs one, are too many.
    references: ArrayVec<Option<Arc<Held>>, PLACES>,
    /// Which of these slices take motion from: one, in a stream that conforms. One more than can be decoded.
    collocated: ArrayVec<usize, { MAX_COLLOCATED + 1 }>,
    /// Which of these slices may predict from.
    used: u32,
    /// What is known to be wrong with it.
    pub(super) flaw: Option<PictureFault>,
    refresh: Refresh,
    hash: Option<PictureHash>,
    /// What the stream says of it besides.
    pub(super) side_data: Option<Arc<SideData>>,
}

impl HevcPicture {
    pub(super) fn new(
        picture: Arc<Picture>,
        (prepared, tables): (Arc<Prepared>, TablesAt),
        times: Times,
        rps: ResolvedRps,
        references: ArrayVec<Option<Arc<Held>>, PLACES>,
        refresh: Refresh,
    ) -> Self {
        let (collocated, used, flaw, hash, side_data) = (ArrayVec::new(), 0, None, None, None);
        HevcPicture {
            picture,
            prepared,
            tables,
            times,
            rps,
            references,
            collocated,
            used,
            flaw,
            refresh,
            hash,
            side_data,
        }
    }

    /// The parsed picture.
    pub(super) fn picture(&self) -> &Arc<Picture> {
        &self.picture
    }

    /// Notes what a slice predicts from, and where it takes motion from.
    pub(super) fn add_slice(&mut self, header: &SliceHeader) {
        self.used |= self.rps.used(header);
        if let Some(collocated) = self.rps.collocated(header)
            && !self.collocated.contains(&collocated)
            && !self.collocated.is_full()
        {
            self.collocated.push(collocated);
        }
    }

    /// Notes the hash of its samples. Where sub-layers were removed, hashes of theirs may follow the picture's own.
    pub(super) fn set_hash(&mut self, hash: PictureHash) {
        self.hash.get_or_insert(hash);
    }
}

impl Fingerprint for PictureHash {
    fn is_of(&self, picture: &HostFrame) -> bool {
        !self.planes.is_empty() && first_wrong_plane(picture, self).is_none()
    }
}

impl CodedPicture for HevcPicture {
    fn poc(&self) -> i32 {
        self.picture.pic_order_cnt_val
    }

    fn references(&self) -> &[Option<Arc<Held>>] {
        &self.references
    }

    fn used(&self) -> u32 {
        self.used
    }

    fn flaw(&self) -> Option<PictureFault> {
        // Without references it is right, wherever it stands.
        self.flaw.filter(|_| self.used != 0)
    }

    fn missing(&self, at: usize) -> PictureFault {
        PictureFault::MissingReference { poc: self.rps.initial_list0().nth(at).map_or(0, |entry| entry.poc) }
    }

    fn refresh(&self) -> Refresh {
        self.refresh
    }

    fn fingerprint(&self) -> Option<Box<dyn Fingerprint>> {
        let hash = self.hash.clone()?;
        Some(Box::new(hash))
    }

    fn collocated(&self) -> &[usize] {
        &self.collocated
    }

    fn is_random_access(&self) -> bool {
        self.picture.is_irap()
    }

    fn scratch(&self) -> u64 {
        self.prepared.template.scratch().size
    }

    fn describe<'a>(&'a self, placed: &Placed<'a>, operands: &mut Operands<'a>) -> Result<()> {
        let Placed { class, memory, target, references: places, stream_len, chunk, scratch } = *placed;
        let (rps, template) = (&self.rps, &self.prepared.template);
        let entries = rps.initial_list0().zip(places).map(|(entry, &place)| PlacedReference {
            place,
            poc: entry.poc,
            long_term: entry.long_term,
        });
        let counts = [rps.st_curr_before().len(), rps.st_curr_after().len(), rps.lt_curr().len()];
        let references = References::new(counts, entries);
        let view = chunk.view()?;
        view.copy_in(0, &template.picture(&self.picture, target, &references, stream_len as u32));
        let (tables, tables_at) = match self.tables {
            TablesAt::Shared => (self.prepared.tables(memory)?, 0),
            TablesAt::Chunk => {
                let at = DESCRIPTOR_BYTES as u64;
                template.tables().write(&view, at + SCALING_LIST_AT, at + TILE_TABLE_AT);
                (chunk, at)
            }
        };
        let part = |method, offset| Operand::new(method, scratch).at(offset);
        operands.push(Operand::new(video::HEVC_SET_TILE_SIZES_OFFSET, tables).at(tables_at + TILE_TABLE_AT));
        operands.push(part(video::HEVC_SET_FILTER_BUFFER_OFFSET, 0));
        if self.picture.sps.scaling_list_enabled_flag {
            operands.push(
                Operand::new(video::HEVC_SET_SCALING_LIST_OFFSET, tables).at(tables_at + SCALING_LIST_AT),
            );
        }
        let areas = template.scratch();
        if class.hevc.intra_top {
            operands.push(part(video::SET_INTRA_TOP_BUF_OFFSET, areas.intra_top));
        }
        if class.hevc.scratch_4dc > 0 {
            operands.push(part(video::UNNAMED_SCRATCH_OFFSET_4DC, areas.unnamed_4dc));
        }
        Ok(())
    }

    fn shows(&self) -> Shows {
        let sps = &self.picture.sps;
        let (crop, colour) = window_and_colour(sps);
        Shows {
            crop,
            times: self.times,
            is_key: self.picture.is_irap(),
            colour,
            side_data: self.side_data.clone(),
            codec: CodecInfo::Hevc(HevcPictureInfo { sps: sps.clone(), hash: self.hash.clone() }),
        }
    }
}

/// What of the pictures of a sequence is shown, and what their samples mean.
pub(super) fn window_and_colour(sps: &Sps) -> (Rect, Colour) {
    let (crop, colour) = (sps.crop(), sps.colour());
    let location = sps.vui.as_ref().and_then(|vui| vui.chroma_sample_loc_type).and_then(chroma_location);
    let colour = Colour {
        primaries: colour.colour_primaries,
        transfer: colour.transfer_characteristics,
        matrix: colour.matrix_coeffs,
        full_range: colour.video_full_range_flag,
        chroma_location: location,
    };
    (Rect { left: crop.left, top: crop.top, width: crop.width, height: crop.height }, colour)
}

/// Where chroma samples lie by `chroma_sample_loc_type_top_field`, unless that is reserved (E.3.1).
fn chroma_location((top, _): (u32, u32)) -> Option<u8> {
    u8::try_from(top).ok().filter(|&top| top <= 5)
}
