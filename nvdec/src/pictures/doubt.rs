//! Whether a picture that refers to a lost one was predicted from it.
//!
//! That a picture is in a reference list says that blocks may be predicted from it, not that one is, and which ones are is known to
//! the engine alone. So a picture that refers to a doubtful one is decoded a second time, with other samples in the place of
//! those that are doubtful: if both come to the same, none of them was used, and the picture is what its encoder made. The second
//! one, its twin, is kept for as long as the picture is a reference, so that the same can be asked of the pictures behind.
//!
//! A picture that takes motion vectors from a doubtful one has no twin: other vectors would have to stand in for those, and how the
//! engine stores them is not known. So the motion vectors of a picture that has a twin are right, and those of the twin the same.
//!
//! Where the stream has a hash of the picture, that decides in the end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrayvec::ArrayVec;
use hcq::{CopyCommands, DeviceBuffer, SyncPoint};
use nvkernel_sys::video;

use super::coded::{CodedPicture, Fingerprint, Format, Operands};
use super::held::{Doubtful, Held, Twin};
use super::integrity::Origin;
use super::record::{Defence, Doubts, Mover, PictureRecord};
use crate::channels::is_lost;
use crate::error::{Error, Result};
use crate::job::{Operand, PictureJob};
use crate::memory::motion::{MAX_COLLOCATED, PLACES};
use crate::memory::status::StatusSlot;
use crate::memory::{Memory, Reservation};
use crate::session::{InFlightLimit, Session};
use crate::status::PictureFault;
use crate::surface::format::{Rect, SurfaceFormat};
use crate::surface::pitch::Layout;
use crate::surface::pool::{Reuse, Surface, SurfacePool};

/// Pictures that wait to be looked at, at most: each takes host memory for it and its twin. Where all are compared with their hashes,
/// so many more.
const COMPARISONS: usize = 2;
const VERIFICATIONS: usize = 4;
/// Twins beside those of a full decoded picture buffer: the one that is being decoded, and what stands in for pictures without any.
const MORE_TWINS: usize = 2;
/// The samples that stand in for doubtful ones: a quarter of the largest value, since those that stand in for missing ones
/// the first time are half of it. Whatever is predicted from either differs, unless both run over the end of the same side.
const OTHER: [u32; 2] = [0x4040_4040, 0x4000_4000];

/// What is doubtful about a picture that is about to be submitted.
#[derive(Debug)]
pub(super) struct Suspicion {
    /// Number of the picture.
    number: u64,
    /// The first picture that something is wrong with.
    origin: Origin,
    /// That of the motion vectors that it takes from others, if they are doubtful.
    moved_by: Option<Origin>,
    /// Doubtful pictures that it takes motion vectors from which are right unless something else turns out to be wrong.
    movers: ArrayVec<Mover, MAX_COLLOCATED>,
    /// Whether decoding it a second time can tell more.
    can_be_tried: bool,
    /// Those of its references that are doubtful, by their positions.
    references: ArrayVec<(usize, Doubtful), PLACES>,
}

impl Suspicion {
    /// Of a picture with this number and `flaw`; `is_missing` says that the flaw is a missing reference and nothing else. `None`
    /// for what is beyond doubt.
    #[cold]
    pub(super) fn of(
        coded: &dyn CodedPicture,
        number: u64,
        flaw: Option<PictureFault>,
        is_missing: bool,
    ) -> Option<Box<Suspicion>> {
        let clean_since = coded.refresh().clean_since;
        let own = flaw.map(|cause| Origin { number, poc: coded.poc(), cause });
        let (mut origin, mut moved_by) = (own, None);
        let mut movers = ArrayVec::new();
        let mut references = ArrayVec::new();
        for (at, held) in coded.references().iter().enumerate() {
            // What is wrong with pictures before a refresh is of no matter behind it.
            if coded.used() >> at & 1 != 0
                && let Some(doubtful) = held.as_ref().and_then(|held| held.doubtful())
                && doubtful.origin.number >= clean_since
                && !references.is_full()
            {
                let moves = coded.collocated().contains(&at);
                if moves && !doubtful.moves_rightly {
                    moved_by = Origin::first(moved_by, doubtful.origin);
                } else if moves && let Some(frame) = held.as_ref().and_then(|held| held.frame()) {
                    movers.push(Mover { record: frame.record().clone(), origin: doubtful.origin });
                }
                if moves || !doubtful.is_exact {
                    origin = Origin::first(origin, doubtful.origin);
                    references.push((at, doubtful));
                }
            }
        }
        let moves_rightly =
            moved_by.is_none() && coded.collocated().iter().all(|&at| !is_missing_at(coded.references(), at));
        let can_be_tried = (flaw.is_none() || is_missing) && moves_rightly;
        Some(Box::new(Suspicion { number, origin: origin?, moved_by, movers, can_be_tried, references }))
    }

    /// What is to be thought of when the picture is judged.
    pub(super) fn doubts(&self) -> Box<Doubts> {
        let (moved_by, movers) = (self.moved_by, self.movers.clone());
        Box::new(Doubts { is_suspected: true, moved_by, movers, defence: None })
    }

    /// What is to be known of the picture when others refer to it.
    pub(super) fn doubtful(&self) -> Box<Doubtful> {
        Box::new(Doubtful {
            origin: self.origin,
            twin: None,
            moves_rightly: self.can_be_tried,
            is_exact: false,
        })
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

/// Says that a picture stays in doubt.
fn left(number: u64) -> impl Fn(Error) + Copy {
    move |error| log::debug!("picture {number} stays in doubt: {error}")
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
    desks: Vec<Arc<Desk>>,
    /// Pictures that nobody may have looked at yet.
    open: Vec<Arc<PictureRecord>>,
    /// Whether the hash of a picture counts against it as well.
    verifies: bool,
}

#[derive(Debug)]
struct Means {
    pool: SurfacePool,
    /// Samples that differ from those of doubtful pictures. Never written after it was filled, at this point.
    other: Surface,
    filled: SyncPoint,
}

/// Host memory for a picture and its twin.
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
    pub(super) fn new(memory: &Arc<Memory>, format: &Format, verifies: bool) -> Twins {
        let (memory, format) = (memory.clone(), *format);
        let (means, desks, open) = Default::default();
        Twins { memory, format, means, is_unavailable: false, desks, open, verifies }
    }

    /// Where the twin of a picture goes, and its status, if it is to have one and there is memory for that. To be asked for before the
    /// picture is submitted: the session looks then what became of those that are done, and this one is not to be judged without
    /// its twin.
    #[cold]
    pub(super) fn place(
        &mut self,
        suspicion: &Suspicion,
        session: &mut Session,
        limit: InFlightLimit,
        reservation: &mut Reservation,
    ) -> Option<(Surface, StatusSlot)> {
        let mut take = || {
            let Some(means) = self.means(reservation)? else { return Ok(None) };
            let Some(surface) = means.pool.take()? else { return Ok(None) };
            Ok(Some((surface, session.status_slot(limit)?)))
        };
        let taken: Result<_> = if suspicion.can_be_tried { take() } else { Ok(None) };
        taken.map_err(left(suspicion.number)).ok().flatten()
    }

    /// Submits a picture once more, if `place` is one for its twin, and has the picture judged by that and by its fingerprint. Its twin,
    /// if it has one now. What goes wrong leaves the picture in doubt, no more.
    #[cold]
    pub(super) fn follow(
        &mut self,
        once: &Once<'_>,
        suspicion: &Suspicion,
        place: Option<(Surface, StatusSlot)>,
        session: &mut Session,
        fingerprint: Option<Box<dyn Fingerprint>>,
    ) -> Option<Twin> {
        let left = left(suspicion.number);
        let twin = place.and_then(|(surface, slot)| {
            self.submit(once, suspicion, surface, session, slot).map_err(left).ok()
        });
        if twin.is_some() || fingerprint.is_some() {
            let replaced = suspicion.replaced(once.references);
            self.compare(once, twin.as_ref(), fingerprint, replaced).unwrap_or_else(left);
        }
        twin
    }

    /// Has a picture that is beyond doubt judged by its fingerprint, if that is wanted.
    pub(super) fn verify(
        &mut self,
        once: &Once<'_>,
        fingerprint: impl FnOnce() -> Option<Box<dyn Fingerprint>>,
    ) {
        if self.verifies
            && let Some(fingerprint) = fingerprint()
            && let Err(error) = self.compare(once, None, Some(fingerprint), ArrayVec::new())
        {
            log::warn!("picture {} is not compared with its hash: {error}", once.record.number);
        }
    }

    /// Submits a picture once more, to `surface` and with others in the place of its references as `suspicion` says.
    fn submit(
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
        let mut buffers: Operands<'_> = job.buffers.iter().copied().collect();
        let its_own = buffers.iter_mut().find(|operand| operand.method == video::SET_NVDEC_STATUS_OFFSET);
        *its_own.expect("every picture has a status") = Operand::new(video::SET_NVDEC_STATUS_OFFSET, &status);
        // Its motion vectors are the same, and go to the same place.
        let twin =
            PictureJob { buffers: &buffers, target: &surface, pictures: &pictures, waits: &[], ..*job };
        let twin = session.submit_twin(&twin, slot, record, once.bytes)?;
        Ok(Twin { surface: surface.clone(), record: twin })
    }

    /// Has a picture judged by its twin, which has others in the place of the references that are `replaced`, and by its fingerprint, as
    /// far as there are any.
    fn compare(
        &mut self,
        once: &Once<'_>,
        twin: Option<&Twin>,
        fingerprint: Option<Box<dyn Fingerprint>>,
        replaced: Replaced,
    ) -> Result<()> {
        let (record, surface) = (once.record, once.job.target);
        let geometry = surface.geometry();
        let window = Rect { left: 0, top: 0, width: geometry.width, height: geometry.height };
        let layout = Layout::new(geometry, window);
        let desk = self.desk(2 * layout.bytes())?;
        let mut commands = CopyCommands::new();
        let mut waits: Vec<SyncPoint> = desk.until().iter().cloned().collect();
        let both = [Some((surface, record)), twin.map(|twin| (&twin.surface, &twin.record))];
        for (at, (surface, record)) in [0, layout.bytes()].into_iter().zip(both.into_iter().flatten()) {
            layout.copy(surface, &desk.buffer, at, &mut commands)?;
            waits.push(record.point().clone());
            waits.extend(surface.cleared().cloned());
        }
        let point = self.memory.submit_copies(&waits, &commands)?;
        both.into_iter().flatten().for_each(|(surface, _)| surface.read_until(&point));
        *desk.until() = Some(point.clone());
        let twin = twin.zip(self.means.as_ref()).map(|(twin, means)| Second {
            record: twin.record.clone(),
            replaced,
            filled: means.filled.clone(),
        });
        let (memory, format, verifies) = (self.memory.clone(), geometry.format, self.verifies);
        record.defend(Box::new(Comparison {
            memory,
            format,
            twin,
            fingerprint,
            verifies,
            desk,
            layout,
            point,
        }));
        self.open.push(record.clone());
        Ok(())
    }

    /// Host memory that no picture uses. If all is in use, the oldest picture is looked at.
    fn desk(&mut self, bytes: u64) -> Result<Arc<Desk>> {
        self.open.retain(|record| record.is_open());
        let most = if self.verifies { COMPARISONS + VERIFICATIONS } else { COMPARISONS };
        while self.open.len() >= most {
            let oldest = self.open.remove(0);
            self.memory.channels().wait_until_over(oldest.point())?;
            oldest.outcome();
        }
        if let Some(free) = self.desks.iter().find(|desk| Arc::strong_count(desk) == 1) {
            return Ok(free.clone());
        }
        let buffer = self.memory.staging(bytes, &Arc::default())?;
        let desk = Arc::new(Desk { buffer, until: Mutex::default() });
        self.desks.push(desk.clone());
        Ok(desk)
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
        Ok(Some(Means { pool, other, filled }))
    }
}

/// A picture beside its twin, and what the stream says of it.
#[derive(Debug)]
struct Comparison {
    memory: Arc<Memory>,
    format: SurfaceFormat,
    twin: Option<Second>,
    fingerprint: Option<Box<dyn Fingerprint>>,
    /// Whether that counts against the picture as well.
    verifies: bool,
    desk: Arc<Desk>,
    layout: Layout,
    /// When all of it is in host memory.
    point: SyncPoint,
}

/// How a twin was decoded.
#[derive(Debug)]
struct Second {
    record: Arc<PictureRecord>,
    replaced: Replaced,
    /// When the samples were there that differ throughout.
    filled: SyncPoint,
}

impl Comparison {
    fn is_done(&self, point: &SyncPoint) -> bool {
        self.memory.channels().wait_until_over(point).is_ok() && !is_lost(point)
    }
}

impl Defence for Comparison {
    fn covers(&self, reference: Option<&PictureRecord>) -> bool {
        let (Some(Second { replaced, .. }), Some(reference)) = (&self.twin, reference) else {
            return self.twin.is_some();
        };
        match replaced.iter().find(|(number, _)| *number == reference.number) {
            Some((_, Some(twin))) => reference.is_covered() && is_whole(twin),
            Some((_, None)) => true,
            None => false,
        }
    }

    fn holds(&self, is_covered: bool) -> bool {
        let Ok(view) = self.desk.buffer.view() else { return false };
        if !self.is_done(&self.point) {
            return false;
        }
        let twin_agrees = |Second { record, filled, .. }: &Second| {
            [filled, record.point()].into_iter().all(|point| self.is_done(point))
                && is_whole(record)
                && self.layout.are_same(&view, [0, self.layout.bytes()])
        };
        (is_covered && self.twin.as_ref().is_some_and(twin_agrees))
            || self.fingerprint.as_ref().is_some_and(|it| it.is_of(&self.layout.read(&view, 0, self.format)))
    }

    fn contradicts(&self) -> bool {
        let Some(fingerprint) = self.fingerprint.as_ref().filter(|_| self.verifies) else { return false };
        match self.desk.buffer.view() {
            Ok(view) if self.is_done(&self.point) => {
                !fingerprint.is_of(&self.layout.read(&view, 0, self.format))
            }
            _ => {
                log::warn!("a picture is not compared with its hash: its copy was lost with the channel");
                false
            }
        }
    }
}

/// Whether the engine finished a twin, which what it refers to has no part in.
fn is_whole(twin: &PictureRecord) -> bool {
    twin.outcome().is_some_and(|outcome| outcome.integrity.is_exact())
}
