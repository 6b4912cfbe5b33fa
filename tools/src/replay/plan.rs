//! What has to be there before a capture is submitted: every picture is looked at before the first one goes
//! out.
//!
//! A capture may come from anyone. What is checked here is that the engine stays within the memory made for
//! it: descriptor and tables by [`nvdec::hevc::audit`], and that methods, places and memory are those that
//! the descriptor counts on.

use std::collections::{BTreeMap, HashMap};

use hcq::{EngineKind, EngineType};
use nvdec::SurfaceGeometry;
use nvdec::class::VideoClass;
use nvdec::hevc::audit::{self, Finding, PictureNeeds};
use nvdec::replay::AuditedPicture;
use nvkernel_sys::video::{self, set_control_params as control};

use super::capture::{Capture, MotionCopy, Picture, Pointee, SurfaceShape, Wait};
use super::codecs::{CODECS, Codec, CodecRow};
use super::limits::{Limits, MOST_MEMORY};
use crate::exit::{Exit, Failure};

/// Surfaces and slots of motion vectors in use at one time: all engines of a GPU at work on one stream need
/// fewer.
const MAX_LIVE: usize = 128;

/// A picture that can be submitted.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) picture: AuditedPicture,
    /// The motion vectors: which memory, and where in it.
    pub(crate) collocated: (u32, u64),
    pub(crate) engine: EngineType,
    /// Pictures to wait for besides what the surfaces say: those of the capture, and those that wrote or read
    /// the motion vectors.
    pub(crate) waits: Vec<u32>,
    /// Motion vectors to move before it, and pictures to wait for before that.
    pub(crate) motion: Vec<MotionCopy>,
    pub(crate) motion_waits: Vec<u32>,
    /// Surfaces and memory that no later picture uses.
    pub(crate) last_surfaces: Vec<u32>,
    pub(crate) last_memory: bool,
}

impl Plan {
    /// Luma samples to decode, slice data to read, and bytes of motion vectors to move for it.
    fn work(&self) -> u64 {
        let samples =
            u64::from(self.picture.needs().geometry.width) * u64::from(self.picture.needs().geometry.height);
        let moved = self.motion.len() as u64 * self.picture.needs().collocated_slot;
        samples + u64::from(self.picture.needs().stream_len) + moved
    }
}

/// Everything that a capture asks for.
#[derive(Debug)]
pub(crate) struct Plans {
    pub(crate) pictures: Vec<Plan>,
    /// Bytes of each memory that holds motion vectors.
    pub(crate) memory: HashMap<u32, u64>,
    /// Pictures whose scratch was laid out anew for another class.
    pub(crate) rebased: usize,
}

/// Looks at every picture of `capture`.
pub(crate) fn plan(
    capture: &Capture,
    class: &VideoClass,
    limits: &Limits,
    progress: &mut dyn FnMut(usize),
) -> Result<Plans, Failure> {
    let mut plans =
        Plans { pictures: Vec::with_capacity(capture.pictures().len()), memory: HashMap::new(), rebased: 0 };
    let mut slots = Slots::default();
    let mut work = 0u64;
    for (index, picture) in capture.pictures().iter().enumerate() {
        progress(index);
        let mut plan = look(capture, index, picture, class, &mut plans.rebased)?;
        work = plan.work().saturating_add(work);
        if work > limits.work {
            let what = format!("up to it, {work} samples and bytes are to be gone through");
            return Err(capture.wrong(index, limits.exceeded(what, limits.work)));
        }
        plan.motion_waits = slots.moved(index as u32, &plan);
        plan.waits = slots.waits(index as u32, &plan, picture.collocated.as_deref());
        plan.waits.extend(picture.waits.iter().filter_map(|wait| match wait {
            Wait::Picture(index) => Some(*index),
            Wait::Other(_) => None,
        }));
        plan.waits.sort_unstable();
        plan.waits.dedup();
        plans.pictures.push(plan);
    }
    lifetimes(capture, &mut plans, limits)?;
    Ok(plans)
}

/// A finding as the end of the program: a damaged capture, or one that this class cannot replay.
fn refuse(capture: &Capture, index: usize, finding: &Finding) -> Failure {
    if finding.beyond_class {
        let poc = capture.pictures()[index].poc;
        let message = format!("{}: picture {index} (POC {poc}): {finding}", capture.name());
        return Failure::Device { message, exit: Exit::Unavailable };
    }
    capture.wrong(index, finding)
}

fn look(
    capture: &Capture,
    index: usize,
    picture: &Picture,
    class: &VideoClass,
    rebased: &mut usize,
) -> Result<Plan, Failure> {
    let wrong = |what: String| capture.wrong(index, what);
    let Some(codec) = CodecRow::of_name(&picture.codec) else {
        let known: Vec<_> = CODECS.iter().map(|row| row.name).collect();
        return Err(wrong(format!("its codec is {:?}; known are {}", picture.codec, known.join(", "))));
    };
    let codec_type = control::CODEC_TYPE.get(picture.control_params);
    if picture.application_id != codec.application_id || codec_type != codec.codec_type {
        let (id, title) = (picture.application_id, codec.title);
        return Err(wrong(format!("SET_APPLICATION_ID is {id}, codec {codec_type}: not {title}")));
    }
    match codec.codec {
        Codec::Hevc => look_hevc(capture, (index, picture), class, codec, rebased),
    }
}

/// What an HEVC picture needs, by its position. `rebased` counts those whose scratch is laid out anew.
fn look_hevc(
    capture: &Capture,
    (index, picture): (usize, &Picture),
    class: &VideoClass,
    codec: &CodecRow,
    rebased: &mut usize,
) -> Result<Plan, Failure> {
    let wrong = |what: String| capture.wrong(index, what);
    let descriptor = data(capture, index, picture, video::SET_DRV_PIC_SETUP_OFFSET, audit::DESCRIPTOR_BYTES)?;
    let tiles = data(capture, index, picture, video::HEVC_SET_TILE_SIZES_OFFSET, audit::TILE_SIZES_BYTES)?;
    let is_foreign = capture.head().class != class.class;
    let audited = AuditedPicture::hevc(picture.control_params, &descriptor, &tiles, class, is_foreign);
    let audited = audited.map_err(|finding| refuse(capture, index, &finding))?;
    *rebased += usize::from(audited.is_rebased());
    let needs = *audited.needs();
    methods(codec, picture, &needs).map_err(wrong)?;
    let length = needs.stream_len as usize + audit::BITSTREAM_SLACK;
    match picture.pointee(video::SET_IN_BUF_BASE_OFFSET) {
        Some(Pointee::Data { bytes, .. }) if *bytes as usize == length => {}
        _ => return Err(wrong(format!("stream_len is {}: not what the slice data take", needs.stream_len))),
    }
    let named = u32::from(needs.listed) | 1 << needs.place;
    let slots = u64::from(32 - named.leading_zeros()) * needs.collocated_slot;
    let collocated = match picture.pointee(video::SET_COLOC_DATA_OFFSET) {
        Some(&Pointee::Memory { id, offset, bytes })
            if bytes >= slots && offset.is_multiple_of(256) && offset < MOST_MEMORY[0] =>
        {
            (id, offset)
        }
        _ => return Err(wrong(format!("SET_COLOC_DATA_OFFSET does not point at {slots} bytes of memory"))),
    };
    let outside = |at: u64| !at.is_multiple_of(256) || at >= MOST_MEMORY[0];
    if picture.motion.iter().any(|copy| outside(copy.to) || copy.from.is_some_and(outside)) {
        return Err(wrong("motion vectors are moved from or to where no slot is".to_owned()));
    }
    places(picture, &needs).map_err(wrong)?;
    if picture.surface != SurfaceShape::of(&needs.geometry) {
        return Err(wrong("the surface is not of the descriptor's format and size".to_owned()));
    }
    let number = picture.engine.strip_prefix("NVDEC").and_then(|n| n.parse().ok());
    let engine = number.and_then(|n| EngineType::of(EngineKind::Nvdec, n));
    let Some(engine) = engine else { return Err(wrong(format!("{:?} is no engine", picture.engine))) };
    Ok(Plan {
        picture: audited,
        collocated,
        engine,
        waits: Vec::new(),
        motion: picture.motion.clone(),
        motion_waits: Vec::new(),
        last_surfaces: Vec::new(),
        last_memory: false,
    })
}

/// Bytes that a method points at, of which there have to be `length`.
fn data(
    capture: &Capture,
    index: usize,
    picture: &Picture,
    method: u32,
    length: usize,
) -> Result<Vec<u8>, Failure> {
    match picture.pointee(method) {
        Some(Pointee::Data { bytes, .. }) if *bytes as usize == length => {
            Ok(capture.data(picture, method)?.expect("the method points at data"))
        }
        _ => {
            let name = video::method_name(method);
            Err(capture.wrong(index, format!("{name} does not point at {length} bytes of data")))
        }
    }
}

/// Whether the methods are those that a picture needs, each with the kind of memory that belongs to it.
fn methods(codec: &CodecRow, picture: &Picture, needs: &PictureNeeds) -> Result<(), String> {
    codec.check_kinds(picture)?;
    for method in [video::SET_NVDEC_STATUS_OFFSET, video::HEVC_SET_FILTER_BUFFER_OFFSET] {
        if picture.pointee(method).is_none() {
            return Err(format!("{} is missing", video::method_name(method)));
        }
    }
    match picture.pointee(video::HEVC_SET_SCALING_LIST_OFFSET) {
        None if !needs.scaling_lists => Ok(()),
        Some(Pointee::Data { bytes, .. }) if *bytes as usize == audit::SCALING_LIST_BYTES => Ok(()),
        _ => Err(format!("scalingListEnable is {}: not what the methods say", needs.scaling_lists)),
    }
}

/// Whether the picture table has what the lists name, and nothing else.
fn places(picture: &Picture, needs: &PictureNeeds) -> Result<(), String> {
    let sent = picture.places.iter().fold(0u32, |bits, (place, _)| bits | 1 << place);
    let named = u32::from(needs.listed) | 1 << needs.place;
    if let Some(place) = (0..32).find(|place| (sent ^ named) >> place & 1 != 0) {
        return Err(match named >> place & 1 {
            1 => format!("initreflistidxl0 or initreflistidxl1 names place {place}, where no surface stands"),
            _ => format!("a surface stands in place {place}, which no list names"),
        });
    }
    let own = picture.places.iter().find(|(place, _)| *place == needs.place);
    if own.is_none_or(|(_, surface)| *surface != picture.target) {
        return Err(format!("curr_pic_idx is {}, where another surface than the target stands", needs.place));
    }
    Ok(())
}

/// Who wrote and read which slot of motion vectors.
#[derive(Default)]
struct Slots {
    /// By memory and offset: the writer, and the readers since.
    slots: HashMap<(u32, u64), (Option<u32>, Vec<u32>)>,
}

impl Slots {
    /// What the copies before picture `index` have to wait for. From here on they count as the picture's own.
    fn moved(&mut self, index: u32, plan: &Plan) -> Vec<u32> {
        let (memory, _) = plan.collocated;
        let mut waits = Vec::new();
        for copy in &plan.motion {
            if let Some(from) = copy.from {
                let (writer, readers) = self.slots.entry((memory, from)).or_default();
                waits.extend(*writer);
                readers.push(index);
            }
            let (writer, readers) = self.slots.entry((memory, copy.to)).or_default();
            waits.extend(*writer);
            waits.append(readers);
            *writer = Some(index);
        }
        waits.sort_unstable();
        waits.dedup();
        // Copies of one picture follow each other by themselves.
        waits.retain(|other| *other != index);
        waits
    }

    /// What picture `index` has to wait for before it reads and writes its slots.
    fn waits(&mut self, index: u32, plan: &Plan, collocated: Option<&[u8]>) -> Vec<u32> {
        let ((memory, offset), needs) = (plan.collocated, plan.picture.needs());
        let slot = |place: u8| (memory, offset + u64::from(place) * needs.collocated_slot);
        let listed = if needs.inter { needs.listed } else { 0 };
        let read =
            |place: &u8| listed >> place & 1 != 0 && collocated.is_none_or(|list| list.contains(place));
        let mut waits = Vec::new();
        for place in (0..16).filter(read) {
            let (writer, readers) = self.slots.entry(slot(place)).or_default();
            waits.extend(*writer);
            readers.push(index);
        }
        let (writer, readers) = self.slots.entry(slot(needs.place)).or_default();
        waits.extend(*writer);
        waits.append(readers);
        // What was moved for the picture itself is behind it already.
        waits.retain(|other| *other != index);
        *writer = Some(index);
        waits
    }
}

/// Notes when surfaces and memory are used last, and refuses captures that want too much of it at once.
fn lifetimes(capture: &Capture, plans: &mut Plans, limits: &Limits) -> Result<(), Failure> {
    let Plans { pictures: plans, memory: sizes, .. } = plans;
    let pictures = capture.pictures();
    let (mut surfaces, mut memory) = (BTreeMap::new(), BTreeMap::new());
    for (index, (picture, plan)) in pictures.iter().zip(plans.iter()).enumerate() {
        for (_, surface) in &picture.places {
            surfaces.insert(*surface, index);
        }
        let (id, offset) = plan.collocated;
        memory.insert(id, index);
        let size = sizes.entry(id).or_insert(0);
        *size = (*size).max(offset + plan.picture.needs().collocated);
        for copy in &plan.motion {
            *size = (*size).max(copy.to.max(copy.from.unwrap_or(0)) + plan.picture.needs().collocated_slot);
        }
    }
    for (surface, index) in &surfaces {
        plans[*index].last_surfaces.push(*surface);
    }
    for index in memory.values() {
        plans[*index].last_memory = true;
    }
    let mut live: HashMap<u32, SurfaceGeometry> = HashMap::new();
    let mut live_memory: HashMap<u32, u64> = HashMap::new();
    // An engine keeps its scratch to the end.
    let mut scratch: HashMap<EngineType, u64> = HashMap::new();
    for (index, (picture, plan)) in pictures.iter().zip(plans.iter()).enumerate() {
        for (_, surface) in &picture.places {
            let known = live.entry(*surface).or_insert(plan.picture.needs().geometry);
            if *known != plan.picture.needs().geometry {
                return Err(
                    capture.wrong(index, format!("surface {surface} had another format or size before"))
                );
            }
        }
        let (id, _) = plan.collocated;
        live_memory.insert(id, sizes[&id]);
        let bytes =
            live.values().map(SurfaceGeometry::bytes).sum::<u64>() + live_memory.values().sum::<u64>();
        scratch
            .entry(plan.engine)
            .and_modify(|most| *most = plan.picture.scratch_bytes().max(*most))
            .or_insert(plan.picture.scratch_bytes());
        let bytes = bytes + scratch.values().sum::<u64>();
        let what = format!("{} surfaces and {bytes} bytes are in use at once", live.len());
        if live.len() + live_memory.len() > MAX_LIVE {
            return Err(capture.wrong(index, format!("{what}, {MAX_LIVE} surfaces and memories may be")));
        }
        if bytes > limits.memory {
            return Err(capture.wrong(index, limits.exceeded(what, limits.memory)));
        }
        for surface in &plan.last_surfaces {
            live.remove(surface);
        }
        if plan.last_memory {
            live_memory.remove(&id);
        }
    }
    Ok(())
}
