//! Whether a picture that refers to a lost one was predicted from it.
//!
//! That a picture is in a reference list says that blocks may be predicted from it, not that one is, and which ones are is known to
//! the engine alone. So a picture that refers to a doubtful one is decoded a second time, with other samples in the place of
//! those that are doubtful: if both come to the same, none of them was used, and the picture is what its encoder made. The second
//! one, its twin, is kept for as long as the picture is a reference, so that the same can be asked of the pictures behind.
//!
//! A picture that takes motion vectors from a doubtful one stays in doubt: other vectors would have to stand in for those, and how the
//! engine stores them is not known. So the motion vectors of a picture that has a twin are right, and those of the twin the same.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrayvec::ArrayVec;
use hcq::{CopyCommands, DeviceBuffer, SyncPoint};
use nvkernel_sys::video;

use super::coded::{ALL_OPERANDS, CodedPicture, Format};
use super::held::{Doubtful, Held, Twin};
use super::record::{Defence, PictureRecord};
use crate::channels::is_lost;
use crate::error::Result;
use crate::job::{Operand, PictureJob};
use crate::memory::motion::PLACES;
use crate::memory::status::StatusSlot;
use crate::memory::{Memory, Reservation};
use crate::session::Session;
use crate::status::PictureFault;
use crate::surface::format::Rect;
use crate::surface::pitch::Layout;
use crate::surface::pool::{Reuse, Surface, SurfacePool};

/// Twins that wait for their comparison, at most: each takes host memory for two pictures.
const COMPARISONS: usize = 2;
/// Twins beside those of a full decoded picture buffer: the one that is being decoded, and what stands in for pictures without any.
const MORE_TWINS: usize = 2;
/// The samples that stand in for doubtful ones: a quarter of the largest value, since those that stand in for missing ones
/// the first time are half of it. Whatever is predicted from either differs, unless both run over the end of the same side.
const OTHER: [u32; 2] = [0x4040_4040, 0x4000_4000];

/// What is doubtful about a picture that is about to be submitted.
#[derive(Debug)]
pub(super) struct Suspicion {
    /// Number of the first picture that something is wrong with.
    pub(super) since: u64,
    /// Whether decoding it a second time can tell more.
    pub(super) can_be_tried: bool,
    /// Those of its references that are doubtful, by their positions.
    references: ArrayVec<(usize, Doubtful), PLACES>,
}

impl Suspicion {
    /// Of a picture with this number and `flaw`; `is_missing` says that the flaw is a missing reference and nothing else. `None`
    /// for what is beyond doubt.
    pub(super) fn of(
        coded: &dyn CodedPicture,
        number: u64,
        flaw: Option<PictureFault>,
        is_missing: bool,
    ) -> Option<Suspicion> {
        let clean_since = coded.refresh().clean_since;
        let mut references = ArrayVec::new();
        let mut since = flaw.map(|_| number);
        for (at, held) in coded.references().iter().enumerate() {
            // What is wrong with pictures before a refresh is of no matter behind it.
            if coded.used() >> at & 1 != 0
                && let Some(doubtful) = held.as_ref().and_then(|held| held.doubtful())
                && doubtful.since >= clean_since
                && !references.is_full()
            {
                since = Some(since.map_or(doubtful.since, |since| since.min(doubtful.since)));
                references.push((at, doubtful));
            }
        }
        let since = since?;
        let moves_rightly = |&at: &usize| {
            let doubtful = references.iter().find(|(doubtful, _)| *doubtful == at);
            !is_missing_at(coded.references(), at)
                && doubtful.is_none_or(|(_, doubtful)| doubtful.twin.is_some())
        };
        let can_be_tried = (flaw.is_none() || is_missing) && coded.collocated().iter().all(moves_rightly);
        Some(Suspicion { since, can_be_tried, references })
    }

    /// What is to be known of the picture when others refer to it.
    pub(super) fn doubtful(&self) -> Doubtful {
        Doubtful { since: self.since, twin: None }
    }

    /// What the twin has in the place of the reference at a position; `None` where there is no doubt.
    fn instead<'a>(&'a self, at: usize, other: &'a Surface) -> Option<&'a Surface> {
        let (_, doubtful) = self.references.iter().find(|(doubtful, _)| *doubtful == at)?;
        Some(doubtful.twin.as_ref().map_or(other, |twin| &twin.surface))
    }

    /// The numbers of the doubtful references, and their twins if they have any.
    fn replaced(&self, references: &[Option<Arc<Held>>]) -> Replaced {
        let replaced = self.references.iter().filter_map(|(at, doubtful)| {
            let twin = doubtful.twin.as_ref().map(|twin| twin.record.clone());
            Some((references[*at].as_ref()?.number, twin))
        });
        replaced.collect()
    }
}

/// References that a twin has others in the place of, by number: their twins, or else what differs throughout.
type Replaced = ArrayVec<(u64, Option<Arc<PictureRecord>>), PLACES>;

/// Whether something else stands in the place of a reference.
fn is_missing_at(references: &[Option<Arc<Held>>], at: usize) -> bool {
    references[at].as_ref().is_none_or(|held| held.frame().is_none())
}

/// What pictures of one format are decoded a second time with: nothing, before the first.
#[derive(Debug)]
pub(super) struct Twins {
    memory: Arc<Memory>,
    format: Format,
    means: Option<Means>,
    /// There was no memory for them.
    is_unavailable: bool,
}

#[derive(Debug)]
struct Means {
    pool: SurfacePool,
    /// Samples that differ from those of doubtful pictures. Never written after it was filled, at this point.
    other: Surface,
    filled: SyncPoint,
    desks: Vec<Arc<Desk>>,
    /// Pictures whose twins nobody may have looked at yet.
    open: Vec<Arc<PictureRecord>>,
}

/// Host memory for two pictures.
#[derive(Debug)]
struct Desk {
    buffer: DeviceBuffer,
    /// When no engine writes there any more.
    until: Mutex<Option<SyncPoint>>,
}

impl Desk {
    fn until(&self) -> MutexGuard<'_, Option<SyncPoint>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A picture that was submitted, and is to be once more.
pub(super) struct Once<'a> {
    /// How it was.
    pub(super) job: &'a PictureJob<'a>,
    pub(super) record: &'a Arc<PictureRecord>,
    /// The pictures that it refers to, and their places in the picture table.
    pub(super) references: &'a [Option<Arc<Held>>],
    pub(super) places: &'a [u8],
    /// Bytes of slice data.
    pub(super) bytes: u64,
}

impl Twins {
    pub(super) fn new(memory: &Arc<Memory>, format: &Format) -> Twins {
        Twins { memory: memory.clone(), format: *format, means: None, is_unavailable: false }
    }

    /// A surface for a twin, or `None` if there is no memory for that.
    pub(super) fn surface(&mut self, reservation: &mut Reservation) -> Result<Option<Surface>> {
        match self.means(reservation)? {
            Some(means) => means.pool.take(),
            None => Ok(None),
        }
    }

    /// Submits a picture once more, to `surface` and with others in the place of its references as `suspicion` says, and has both
    /// compared.
    ///
    /// # Errors
    ///
    /// If it is not submitted. One that is not compared says nothing.
    pub(super) fn submit(
        &mut self,
        once: &Once<'_>,
        suspicion: &Suspicion,
        surface: Surface,
        session: &mut Session,
        slot: StatusSlot,
    ) -> Result<Twin> {
        let means = self.means.as_mut().expect("there is a surface");
        let other = means.other.clone();
        let Once { job, record, .. } = *once;
        let mut pictures = ArrayVec::<(u8, &Surface), PLACES>::new();
        for &(place, usual) in job.pictures {
            let mut references = (0..once.references.len()).filter(|&at| once.places[at] == place).peekable();
            let samples = match references.peek() {
                None => &surface,
                Some(&at) if is_missing_at(once.references, at) => &other,
                Some(_) => references.find_map(|at| suspicion.instead(at, &other)).unwrap_or(usual),
            };
            pictures.push((place, samples));
        }
        let status = slot.memory.clone();
        let mut buffers: ArrayVec<Operand<'_>, ALL_OPERANDS> = job.buffers.iter().copied().collect();
        let its_own = buffers.iter_mut().find(|operand| operand.method == video::SET_NVDEC_STATUS_OFFSET);
        *its_own.expect("every picture has a status") = Operand::new(video::SET_NVDEC_STATUS_OFFSET, &status);
        // Its motion vectors are the same, and go to the same place.
        let twin =
            PictureJob { buffers: &buffers, target: &surface, pictures: &pictures, waits: &[], ..*job };
        let twin = session.submit_twin(&twin, slot, record, once.bytes)?;
        let twin = Twin { surface: surface.clone(), record: twin };
        if let Err(error) = means.compare(&self.memory, once, &twin, suspicion) {
            log::debug!("picture {} is not compared with its twin: {error}", record.number);
        }
        Ok(twin)
    }

    /// What there is to decode twins with, if the budget and the GPU have room for it.
    fn means(&mut self, reservation: &mut Reservation) -> Result<Option<&mut Means>> {
        if self.means.is_none() && !self.is_unavailable {
            let promised = reservation.bytes();
            let capacity = self.format.dpb + MORE_TWINS;
            let surface = hcq::allocation_size(self.format.geometry.bytes(), hcq::Placement::Vidmem);
            if reservation.grow(capacity as u64 * surface) {
                let pool = SurfacePool::new(&self.memory, self.format.geometry, capacity, Reuse::First);
                match Means::new(&self.memory, pool) {
                    Err(error) if error.is_out_of_memory() => {}
                    means => self.means = means?,
                }
            }
            self.is_unavailable = self.means.is_none();
            if self.is_unavailable {
                log::info!("there is no memory to decode pictures a second time that may be right");
                reservation.resize(promised);
            }
        }
        Ok(self.means.as_mut())
    }
}

impl Means {
    fn new(memory: &Memory, pool: SurfacePool) -> Result<Option<Means>> {
        let Some(other) = pool.take()? else { return Ok(None) };
        let mut commands = CopyCommands::new();
        let bytes = pool.geometry().format.bytes_per_sample();
        commands.fill(other.buffer(), OTHER[bytes as usize - 1])?;
        let waits = other.pending();
        let filled = memory.submit_copies(&waits, &commands)?;
        other.uses().written_at(&filled, 0);
        Ok(Some(Means { pool, other, filled, desks: Vec::new(), open: Vec::new() }))
    }

    /// Has a picture compared with its twin, and judged by that.
    fn compare(
        &mut self,
        memory: &Arc<Memory>,
        once: &Once<'_>,
        twin: &Twin,
        suspicion: &Suspicion,
    ) -> Result<()> {
        let (record, surface) = (once.record, once.job.target);
        let geometry = surface.geometry();
        let window = Rect { left: 0, top: 0, width: geometry.width, height: geometry.height };
        let layout = Layout::new(geometry, window);
        let desk = self.desk(memory, 2 * layout.bytes())?;
        let mut commands = CopyCommands::new();
        layout.copy(surface, &desk.buffer, 0, &mut commands)?;
        layout.copy(&twin.surface, &desk.buffer, layout.bytes(), &mut commands)?;
        let surfaces = [surface, &twin.surface];
        let mut waits = vec![record.point().clone(), twin.record.point().clone()];
        waits.extend(desk.until().clone());
        waits.extend(surfaces.iter().filter_map(|surface| surface.cleared().cloned()));
        let point = memory.submit_copies(&waits, &commands)?;
        surfaces.iter().for_each(|surface| surface.read_until(&point));
        *desk.until() = Some(point.clone());
        let (memory, twin) = (memory.clone(), twin.record.clone());
        let (replaced, filled) = (suspicion.replaced(once.references), self.filled.clone());
        record.defend(Box::new(Comparison { memory, replaced, filled, twin, desk, layout, point }));
        self.open.push(record.clone());
        Ok(())
    }

    /// Host memory that no comparison uses. If all is in use, the oldest comparison is made.
    fn desk(&mut self, memory: &Memory, bytes: u64) -> Result<Arc<Desk>> {
        self.open.retain(|record| record.is_open());
        while self.open.len() >= COMPARISONS {
            let oldest = self.open.remove(0);
            memory.channels().wait_until_over(oldest.point())?;
            oldest.outcome();
        }
        if let Some(free) = self.desks.iter().find(|desk| Arc::strong_count(desk) == 1) {
            return Ok(free.clone());
        }
        let buffer = memory.staging(bytes, &Arc::default())?;
        let desk = Arc::new(Desk { buffer, until: Mutex::default() });
        self.desks.push(desk.clone());
        Ok(desk)
    }
}

/// A picture beside its twin.
#[derive(Debug)]
struct Comparison {
    memory: Arc<Memory>,
    replaced: Replaced,
    /// When the samples were there that differ throughout.
    filled: SyncPoint,
    twin: Arc<PictureRecord>,
    desk: Arc<Desk>,
    layout: Layout,
    /// When both are in host memory.
    point: SyncPoint,
}

impl Defence for Comparison {
    fn covers(&self, reference: &PictureRecord) -> bool {
        match self.replaced.iter().find(|(number, _)| *number == reference.number) {
            Some((_, Some(twin))) => reference.is_covered() && is_whole(twin),
            Some((_, None)) => true,
            None => false,
        }
    }

    fn holds(&self) -> bool {
        let channels = self.memory.channels();
        let is_done = |point: &SyncPoint| channels.wait_until_over(point).is_ok() && !is_lost(point);
        let are_same = |view| self.layout.are_same(&view, [0, self.layout.bytes()]);
        [&self.filled, self.twin.point(), &self.point].into_iter().all(is_done)
            && is_whole(&self.twin)
            && self.desk.buffer.view().is_ok_and(are_same)
    }
}

/// Whether the engine finished a twin, which what it refers to has no part in.
fn is_whole(twin: &PictureRecord) -> bool {
    twin.outcome().is_some_and(|outcome| outcome.integrity.is_exact())
}
