//! [`Player`]: submits the pictures of a capture again.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use hcq::{CopyCommands, DeviceBuffer, EngineType, Placement, SyncPoint};
use nvdec::hevc::audit;
use nvdec::job::{Operand, PictureJob};
use nvdec::pool::{Reuse, SurfacePool};
use nvdec::queue::VideoQueue;
use nvdec::status::STATUS_BYTES;
use nvdec::{Context, EngineSet, Lane, Surface};
use nvkernel_sys::bits::Field;
use nvkernel_sys::video::{self, nvdec_status as field};

use super::capture::{Capture, Picture, Status};
use super::fetch::Fetcher;
use super::hash::PlaneHashes;
use super::limits::Limits;
use super::plan::{Plan, Plans, plan};
use crate::exit::Failure;

/// Pictures on their way, and bytes uploaded for them.
const IN_FLIGHT: usize = 32;
const IN_FLIGHT_BYTES: u64 = 256 << 20;
const ALIGNMENT: u64 = 256;

/// Which engine gets which picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Assignment {
    /// The engine that it was recorded on; where there is no such engine, another one in its place.
    #[default]
    Captured,
    /// These engines, one after the other.
    Set(EngineSet),
    /// All engines, one after the other.
    All,
}

/// A picture that was submitted again.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// Position in the capture.
    pub index: usize,
    /// The engine.
    pub engine: EngineType,
    /// What the engine says of it; `None` if it was not finished.
    pub status: Option<Status>,
    /// Hashes of its samples, or why it was not finished.
    pub hashes: Result<PlaneHashes, String>,
}

/// See the [module](self).
pub struct Player<'a> {
    context: &'a Arc<Context>,
    capture: &'a Capture,
    plans: Plans,
    queues: BTreeMap<EngineType, Engine>,
    surfaces: HashMap<u32, Surface>,
    memory: HashMap<u32, (DeviceBuffer, SyncPoint)>,
    /// Status of the pictures on their way, in turn.
    status: Option<DeviceBuffer>,
    /// Points of the pictures submitted.
    points: Vec<SyncPoint>,
    flights: VecDeque<Flight>,
    uploaded: u64,
    free: Vec<DeviceBuffer>,
    results: HashMap<usize, Result<PlaneHashes, String>>,
    fetcher: Fetcher,
}

/// An engine with its scratch: pictures of one engine never overlap, those of two may.
struct Engine {
    queue: Arc<VideoQueue>,
    scratch: Option<(DeviceBuffer, SyncPoint)>,
}

struct Flight {
    index: usize,
    engine: EngineType,
    status: DeviceBuffer,
    upload: DeviceBuffer,
}

impl std::fmt::Debug for Player<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "player of {:?}", self.capture)
    }
}

/// Memory filled with zeros, and when it is.
fn zeroed(context: &Context, size: u64) -> nvdec::Result<(DeviceBuffer, SyncPoint)> {
    let memory = context.device().allocate(size.next_multiple_of(ALIGNMENT), Placement::Vidmem)?;
    let mut commands = CopyCommands::new();
    commands.fill(&memory, 0)?;
    Ok((memory, context.copy_queue()?.submit(&[], commands)?))
}

impl<'a> Player<'a> {
    /// Looks at all of `capture`; nothing is submitted yet. What a capture that is not `trusted` may ask for is bounded
    /// by the size of its file.
    ///
    /// # Errors
    ///
    /// [`Failure::Capture`] for a capture that would make an engine leave the memory made for it or that asks for too
    /// much, [`Failure::Device`] for pictures that this class cannot decode.
    pub fn new(
        context: &'a Arc<Context>,
        capture: &'a Capture,
        trusted: bool,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Player<'a>, Failure> {
        let limits = Limits::of(capture.size(), context.device().is_emulated(), trusted);
        let plans = plan(capture, context.class(), &limits, progress)?;
        Ok(Player {
            context,
            capture,
            plans,
            queues: BTreeMap::new(),
            surfaces: HashMap::new(),
            memory: HashMap::new(),
            status: None,
            points: Vec::new(),
            flights: VecDeque::new(),
            uploaded: 0,
            free: Vec::new(),
            results: HashMap::new(),
            fetcher: Fetcher::new(context),
        })
    }

    /// Pictures whose scratch is laid out anew, since they were recorded on another class.
    pub fn rebased(&self) -> usize {
        self.plans.rebased
    }

    /// Blocks of 16x16 that a picture has.
    pub fn blocks(&self, index: usize) -> u32 {
        self.plans.pictures[index].needs.blocks
    }

    /// Submits all pictures and gives each one to `done` as it is finished, in order. `done` says whether to
    /// go on.
    ///
    /// # Errors
    ///
    /// Those of the GPU. A picture that an engine does not finish is the last one; that is no error here.
    pub fn run(
        mut self,
        assignment: Assignment,
        done: &mut dyn FnMut(Replayed) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let engines = assign(self.context, &self.plans.pictures, assignment);
        let capture = self.capture;
        for (index, picture) in capture.pictures().iter().enumerate() {
            while self.flights.len() >= IN_FLIGHT
                || (self.uploaded > IN_FLIGHT_BYTES && !self.flights.is_empty())
            {
                if !self.land(done)? {
                    return Ok(());
                }
            }
            match self.submit(index, picture, engines[index]) {
                Ok(()) => {}
                // The engine died of an earlier picture, which says so itself when it lands.
                Err(Failure::Decode(nvdec::Error::Gpu(error @ hcq::Error::ChannelFault { .. }))) => {
                    while !self.flights.is_empty() {
                        if !self.land(done)? {
                            return Ok(());
                        }
                    }
                    let hashes = Err(error.to_string());
                    done(Replayed { index, engine: engines[index], status: None, hashes })?;
                    return Ok(());
                }
                Err(failure) => return Err(failure),
            }
        }
        while !self.flights.is_empty() {
            if !self.land(done)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Waits for the oldest picture on its way.
    fn land(&mut self, done: &mut dyn FnMut(Replayed) -> Result<bool, Failure>) -> Result<bool, Failure> {
        let flight = self.flights.pop_front().expect("a picture is on its way");
        let hashes = loop {
            if let Some(result) = self.results.remove(&flight.index) {
                break result;
            }
            let fetched = self.fetcher.take();
            self.results.insert(fetched.index, fetched.result);
        };
        self.uploaded -= flight.upload.size();
        let status = match &hashes {
            Ok(_) => Some(read_status(&flight.status)?),
            Err(_) => None,
        };
        if hashes.is_ok() {
            self.free.push(flight.upload);
        }
        done(Replayed { index: flight.index, engine: flight.engine, status, hashes })
    }

    fn submit(&mut self, index: usize, picture: &Picture, engine: EngineType) -> Result<(), Failure> {
        let plan = self.plans.pictures[index].clone();
        let upload = self.upload(picture, &plan)?;
        let status = self.status(index)?;
        let mut waits: Vec<SyncPoint> = plan.waits.iter().map(|&i| self.points[i as usize].clone()).collect();
        let (id, offset) = plan.collocated;
        let (collocated, cleared) = match self.memory.get(&id) {
            Some(known) => known.clone(),
            None => {
                let made = zeroed(self.context, self.plans.memory[&id])?;
                self.memory.insert(id, made.clone());
                made
            }
        };
        waits.push(cleared.clone());
        waits.extend(self.move_motion(&plan, &collocated, cleared)?);
        let queue = self.engine(engine, plan.scratch.size, &mut waits)?;
        let (scratch, _) = self.queues[&engine].scratch.clone().expect("made above");
        let [lists_at, tiles_at, stream_at] = PARTS;
        let class = self.context.class();
        let mut buffers = Vec::with_capacity(picture.methods.len() + 2);
        for method in &picture.methods {
            let (buffer, at) = match method.method {
                video::SET_DRV_PIC_SETUP_OFFSET => (&upload, 0),
                video::HEVC_SET_SCALING_LIST_OFFSET => (&upload, lists_at),
                video::HEVC_SET_TILE_SIZES_OFFSET => (&upload, tiles_at),
                video::SET_IN_BUF_BASE_OFFSET => (&upload, stream_at),
                video::SET_COLOC_DATA_OFFSET => (&collocated, offset),
                video::SET_NVDEC_STATUS_OFFSET => (&status, 0),
                video::HEVC_SET_FILTER_BUFFER_OFFSET => (&scratch, 0),
                // What only some classes have goes by the class at hand.
                _ => continue,
            };
            buffers.push(Operand::new(method.method, buffer).at(at));
        }
        if class.hevc.intra_top {
            buffers.push(Operand::new(video::SET_INTRA_TOP_BUF_OFFSET, &scratch).at(plan.scratch.intra_top));
        }
        if class.hevc.scratch_4dc > 0 {
            buffers
                .push(Operand::new(video::UNNAMED_SCRATCH_OFFSET_4DC, &scratch).at(plan.scratch.unnamed_4dc));
        }
        let mut surfaces = Vec::with_capacity(picture.places.len());
        for &(place, id) in &picture.places {
            surfaces.push((place, self.surface(id, &plan)?));
        }
        let pictures: Vec<_> = surfaces.iter().map(|(place, surface)| (*place, surface)).collect();
        let target = self.surface(picture.target, &plan)?;
        let job = PictureJob {
            application_id: picture.application_id,
            control_params: picture.control_params,
            buffers: &buffers,
            target: &target,
            pictures: &pictures,
            // The plan knows who reads and writes which slot.
            motion: None,
            collocated: &[],
            waits: &waits,
        };
        let submission = queue.submit(&job)?;
        self.fetcher.fetch(index, &target, &submission.point)?;
        self.points.push(submission.point);
        self.uploaded += upload.size();
        self.flights.push_back(Flight { index, engine, status, upload });
        for id in &plan.last_surfaces {
            self.surfaces.remove(id);
        }
        if plan.last_memory {
            self.memory.remove(&id);
        }
        Ok(())
    }

    /// Moves motion vectors to where the picture looks for them.
    fn move_motion(
        &self,
        plan: &Plan,
        memory: &DeviceBuffer,
        cleared: SyncPoint,
    ) -> Result<Option<SyncPoint>, Failure> {
        let slot = |at: u64| memory.slice(at, plan.needs.collocated_slot);
        let mut waits = vec![cleared];
        waits.extend(plan.motion_waits.iter().map(|&index| self.points[index as usize].clone()));
        let mut done = None;
        // One submission each: copies of one batch run in any order.
        for copy in &plan.motion {
            let mut commands = CopyCommands::new();
            match copy.from {
                Some(from) => commands.copy(&slot(from), &slot(copy.to)).map_err(nvdec::Error::from)?,
                None => commands.fill(&slot(copy.to), 0).map_err(nvdec::Error::from)?,
            };
            let point = self.context.copy_queue()?.submit(&waits, commands).map_err(nvdec::Error::from)?;
            done = Some(point);
        }
        Ok(done)
    }

    /// Clear status memory. The picture that had it before has landed.
    fn status(&mut self, index: usize) -> Result<DeviceBuffer, Failure> {
        let ring = match &self.status {
            Some(ring) => ring,
            None => {
                let bytes = IN_FLIGHT as u64 * STATUS_BYTES;
                let ring = self.context.device().allocate(bytes, Placement::Vidmem);
                self.status.insert(ring.map_err(nvdec::Error::from)?)
            }
        };
        let status = ring.slice((index % IN_FLIGHT) as u64 * STATUS_BYTES, STATUS_BYTES);
        status.view().map_err(nvdec::Error::from)?.fill(0, STATUS_BYTES as usize, 0);
        Ok(status)
    }

    /// The engine's queue, with enough scratch.
    fn engine(
        &mut self,
        engine: EngineType,
        scratch: u64,
        waits: &mut Vec<SyncPoint>,
    ) -> Result<Arc<VideoQueue>, Failure> {
        if !self.queues.contains_key(&engine) {
            let queue = self.context.video_queue(engine, Lane::Bulk)?;
            self.queues.insert(engine, Engine { queue, scratch: None });
        }
        let entry = self.queues.get_mut(&engine).expect("just made");
        if entry.scratch.as_ref().is_none_or(|(memory, _)| memory.size() < scratch) {
            entry.scratch = Some(zeroed(self.context, scratch)?);
        }
        waits.extend(entry.scratch.iter().map(|(_, cleared)| cleared.clone()));
        Ok(entry.queue.clone())
    }

    /// A surface of the capture: mid-grey when it appears, as the decoder's are, and never lent to another.
    fn surface(&mut self, id: u32, plan: &Plan) -> Result<Surface, Failure> {
        if let Some(surface) = self.surfaces.get(&id) {
            return Ok(surface.clone());
        }
        let pool = SurfacePool::new(self.context, plan.needs.geometry, 1, Reuse::First);
        let surface = pool.take()?.expect("a new pool has a surface");
        self.surfaces.insert(id, surface.clone());
        Ok(surface)
    }

    /// Descriptor, tables and slice data in host memory.
    fn upload(&mut self, picture: &Picture, plan: &Plan) -> Result<DeviceBuffer, Failure> {
        let [lists_at, tiles_at, stream_at] = PARTS.map(|at| at as usize);
        let stream = self.capture.data(picture, video::SET_IN_BUF_BASE_OFFSET)?.expect("looked at before");
        let size = (stream_at + stream.len()) as u64;
        // What is much too large is kept from larger pictures to come.
        let fits = |buffer: &DeviceBuffer| buffer.size() >= size && buffer.size() / 4 <= size.max(1 << 20);
        let buffer = match self.free.iter().position(fits) {
            Some(at) => self.free.swap_remove(at),
            None => {
                // Rounded up, so that the next picture fits as well.
                let size = size.next_power_of_two().max(1 << 18);
                self.free.clear();
                self.context.device().allocate(size, Placement::Sysmem).map_err(nvdec::Error::from)?
            }
        };
        let view = buffer.view().map_err(nvdec::Error::from)?;
        view.copy_in(0, &plan.descriptor);
        if let Some(lists) = self.capture.data(picture, video::HEVC_SET_SCALING_LIST_OFFSET)? {
            view.copy_in(lists_at, &lists);
        }
        let tiles = self.capture.data(picture, video::HEVC_SET_TILE_SIZES_OFFSET)?.expect("looked at before");
        view.copy_in(tiles_at, &tiles);
        view.copy_in(stream_at, &stream);
        Ok(buffer)
    }
}

/// Where scaling lists, tile table and slice data lie behind the descriptor.
const PARTS: [u64; 3] = {
    let lists = audit::DESCRIPTOR_BYTES as u64;
    let tiles = (lists + audit::SCALING_LIST_BYTES as u64).next_multiple_of(ALIGNMENT);
    [lists, tiles, tiles + audit::TILE_SIZES_BYTES as u64]
};

/// An engine for each picture.
fn assign(context: &Context, plans: &[Plan], assignment: Assignment) -> Vec<EngineType> {
    let engines = context.engines();
    match assignment {
        Assignment::Set(set) => {
            let set: Vec<_> = set.iter().collect();
            set.into_iter().cycle().take(plans.len()).collect()
        }
        Assignment::All => engines.iter().copied().cycle().take(plans.len()).collect(),
        Assignment::Captured => {
            // As many engines as there were, by their own names where they exist.
            let mut stands_for: BTreeMap<EngineType, EngineType> = BTreeMap::new();
            for plan in plans {
                let next = engines[stands_for.len() % engines.len()];
                let own = engines.iter().copied().find(|engine| *engine == plan.engine);
                stands_for.entry(plan.engine).or_insert(own.unwrap_or(next));
            }
            plans.iter().map(|plan| stands_for[&plan.engine]).collect()
        }
    }
}

fn read_status(memory: &DeviceBuffer) -> Result<Status, Failure> {
    let mut bytes = [0; field::SIZE];
    memory.view().map_err(nvdec::Error::from)?.copy_out(0, &mut bytes);
    let word = |f: Field| f.read(&bytes, 0).expect("the table describes these bytes") as u32;
    Ok(Status {
        mbs_correctly_decoded: word(field::mbs_correctly_decoded),
        mbs_in_error: word(field::mbs_in_error),
        cycle_count: word(field::cycle_count),
        error_status: word(field::error_status),
        error_ctb_pos_x: word(field::error_ctb_pos_x) as u16,
        error_ctb_pos_y: word(field::error_ctb_pos_y) as u16,
        slice_header_error_code: word(field::slice_header_error_code),
    })
}
