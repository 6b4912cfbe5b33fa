//! [`Player`]: submits the pictures of a capture again.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use hcq::{EngineType, SyncPoint};
use nvdec::replay::{Buffers, MotionMemory, Replay, Resubmitted};
use nvdec::{Context, EngineSet, Surface};
use nvkernel_sys::video;

use super::capture::{Capture, Picture, Status};
use super::fetch::Fetcher;
use super::hash::PlaneHashes;
use super::limits::Limits;
use super::plan::{Plan, Plans, plan};
use crate::exit::Failure;

/// Pictures on their way, and bytes uploaded for them.
const IN_FLIGHT: usize = 32;
const IN_FLIGHT_BYTES: u64 = 256 << 20;

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
    replay: Replay,
    surfaces: HashMap<u32, Surface>,
    motion: HashMap<u32, MotionMemory>,
    /// Points of the pictures submitted.
    points: Vec<SyncPoint>,
    flights: VecDeque<Flight>,
    uploaded: u64,
    results: HashMap<usize, Result<PlaneHashes, String>>,
    fetcher: Fetcher,
}

struct Flight {
    index: usize,
    engine: EngineType,
    submitted: Resubmitted,
}

impl std::fmt::Debug for Player<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "player of {:?}", self.capture)
    }
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
            replay: Replay::new(context),
            surfaces: HashMap::new(),
            motion: HashMap::new(),
            points: Vec::new(),
            flights: VecDeque::new(),
            uploaded: 0,
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
        self.plans.pictures[index].picture.needs().blocks
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
        self.uploaded -= flight.submitted.bytes();
        let status = match &hashes {
            Ok(_) => flight.submitted.status()?.map(Status::from),
            Err(_) => None,
        };
        self.replay.take_back(flight.submitted);
        done(Replayed { index: flight.index, engine: flight.engine, status, hashes })
    }

    fn submit(&mut self, index: usize, picture: &Picture, engine: EngineType) -> Result<(), Failure> {
        let plan = self.plans.pictures[index].clone();
        let needs = *plan.picture.needs();
        let points = |numbers: &[u32]| numbers.iter().map(|&i| self.points[i as usize].clone()).collect();
        let (mut waits, moved): (Vec<SyncPoint>, Vec<SyncPoint>) =
            (points(&plan.waits), points(&plan.motion_waits));
        let (id, offset) = plan.collocated;
        let motion = match self.motion.get(&id) {
            Some(known) => known.clone(),
            None => {
                let made = self.replay.motion_memory(self.plans.memory[&id])?;
                self.motion.insert(id, made.clone());
                made
            }
        };
        let moves = plan.motion.iter().map(|copy| (copy.from, copy.to));
        waits.extend(self.replay.move_motion(&motion, needs.collocated_slot, moves, &moved)?);
        let mut surfaces = Vec::with_capacity(picture.places.len());
        for &(place, id) in &picture.places {
            surfaces.push((place, self.surface(id, &plan)?));
        }
        let places: Vec<_> = surfaces.iter().map(|(place, surface)| (*place, surface)).collect();
        let target = self.surface(picture.target, &plan)?;
        let lists = self.capture.data(picture, video::HEVC_SET_SCALING_LIST_OFFSET)?;
        let slices = self.capture.data(picture, video::SET_IN_BUF_BASE_OFFSET)?.expect("looked at before");
        let buffers = Buffers {
            scaling_lists: lists.as_deref(),
            slices: &slices,
            target: &target,
            places: &places,
            motion: (&motion, offset),
        };
        let submitted = self.replay.submit(engine, &plan.picture, &buffers, &waits)?;
        self.fetcher.fetch(index, &target, submitted.point())?;
        self.points.push(submitted.point().clone());
        self.uploaded += submitted.bytes();
        self.flights.push_back(Flight { index, engine, submitted });
        for id in &plan.last_surfaces {
            self.surfaces.remove(id);
        }
        if plan.last_memory {
            self.motion.remove(&id);
        }
        Ok(())
    }

    /// A surface of the capture: mid-grey when it appears, as the decoder's are, and never lent to another.
    fn surface(&mut self, id: u32, plan: &Plan) -> Result<Surface, Failure> {
        if let Some(surface) = self.surfaces.get(&id) {
            return Ok(surface.clone());
        }
        let surface = self.context.surface(plan.picture.needs().geometry)?;
        self.surfaces.insert(id, surface.clone());
        Ok(surface)
    }
}

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
