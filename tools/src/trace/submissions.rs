//! What a decoder submitted, picture by picture: what each costs, reads and waits for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use hcq::{EngineType, SyncPoint};
use nvdec::{Observer, PictureRecord, Submitted, SurfaceGeometry};
use nvkernel_sys::video::{self, hevc_pic};

/// Bytes of the descriptor that are looked at.
const DESCRIPTOR_BYTES: u64 = 0x60;

/// A picture as it was submitted.
#[derive(Clone, Debug)]
pub struct SubmittedPicture {
    /// Position in decoding order.
    pub number: u64,
    /// Picture order count.
    pub poc: i32,
    /// Completes the picture.
    pub point: SyncPoint,
    /// What it waits for, points of its own engine among them.
    pub waits: Vec<SyncPoint>,
    /// When it was submitted.
    pub at: Instant,
    /// Bytes of slice data.
    pub bytes: u64,
    /// Blocks of 16x16.
    pub blocks: u64,
    /// Pictures that it reads, by position in decoding order.
    pub references: Vec<u64>,
    /// GPU address of its surface.
    pub surface: u64,
    record: Arc<PictureRecord>,
}

impl SubmittedPicture {
    /// The engine.
    pub fn engine(&self) -> EngineType {
        self.point.timeline().engine()
    }

    /// Clock cycles that it took, by the engine's own count; `None` before it is done, and where that came to nothing.
    pub fn cycles(&self) -> Option<u64> {
        let status = self.record.outcome()?.status;
        (status.cycle_count > 0).then_some(16 * u64::from(status.cycle_count))
    }
}

/// What a decoder submits, in that order. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Submissions(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    pictures: Vec<SubmittedPicture>,
    /// The picture that was decoded last to each surface, by its address.
    written: HashMap<u64, u64>,
    /// Surfaces of another layout are other memory.
    geometry: Option<SurfaceGeometry>,
}

impl Submissions {
    /// An observer for one decoder.
    pub fn observer(&self) -> Box<dyn Observer> {
        Box::new(self.clone())
    }

    /// Takes what was recorded so far.
    pub fn take(&self) -> Vec<SubmittedPicture> {
        std::mem::take(&mut self.lock().pictures)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Submissions {
    fn submitted(&mut self, picture: &Submitted<'_>) {
        let at = Instant::now();
        let mut state = self.lock();
        let state = &mut *state;
        let (bytes, blocks) = size(picture);
        let record = picture.record();
        let geometry = *picture.target().geometry();
        if state.geometry.replace(geometry).is_some_and(|before| before != geometry) {
            state.written.clear();
        }
        let known = picture.references().filter_map(|surface| state.written.get(&surface.luma_address()));
        let mut references: Vec<u64> = known.copied().collect();
        references.sort_unstable();
        references.dedup();
        let surface = picture.target().luma_address();
        state.written.insert(surface, record.number);
        state.pictures.push(SubmittedPicture {
            number: record.number,
            poc: record.poc,
            point: picture.point().clone(),
            waits: picture.waits().to_vec(),
            at,
            bytes,
            blocks,
            references,
            surface,
            record: record.clone(),
        });
    }
}

/// Bytes of slice data and blocks of 16x16, from the descriptor.
fn size(picture: &Submitted<'_>) -> (u64, u64) {
    let setup = picture.operand(video::SET_DRV_PIC_SETUP_OFFSET);
    let Some(descriptor) = setup.and_then(|setup| setup.read(DESCRIPTOR_BYTES).ok()) else { return (0, 0) };
    let field = |field: nvkernel_sys::bits::Field| field.read(&descriptor, 0).unwrap_or(0) as u64;
    let blocks = field(hevc_pic::pic_width_in_luma_samples).div_ceil(16)
        * field(hevc_pic::pic_height_in_luma_samples).div_ceil(16);
    (field(hevc_pic::stream_len), blocks)
}
