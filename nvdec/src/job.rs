//! [`PictureJob`]: the seam between a codec and the engine, a plain struct.

use hcq::{DeviceBuffer, SyncPoint};

use crate::motion::MotionSlot;
use crate::scheduler::Time;
use crate::surface::Surface;
use crate::uses::{Latest, Uses};

/// Buffer methods with the memory that each points at.
pub(crate) type Buffers = Vec<(u32, DeviceBuffer)>;

/// Everything that one `EXECUTE` needs. A codec fills it, a [`VideoQueue`](crate::queue::VideoQueue) turns it
/// into methods.
#[derive(Clone, Debug)]
pub struct PictureJob {
    /// Value of `SET_APPLICATION_ID`.
    pub application_id: u32,
    /// Value of `SET_CONTROL_PARAMS`.
    pub control_params: u32,
    /// Buffer methods with the memory that each points at: picture setup, bitstream, status, scratch, tables.
    pub buffers: Vec<(u32, DeviceBuffer)>,
    /// The surface written to.
    pub target: Surface,
    /// The picture table: places in use and what stands there, the target among them.
    ///
    /// Only these are sent, since every place costs the engine about 8 µs. The codec sees to it that nothing
    /// in a stream can name another place: the engine forgets the table after each picture, and a read through
    /// an empty place would be a fault of the channel.
    pub pictures: Vec<(u8, Surface)>,
    /// Where the picture's motion vectors go, within one of `buffers`.
    pub motion: Option<MotionSlot>,
    /// Motion vectors of other pictures that it reads.
    pub collocated: Vec<MotionSlot>,
    /// What has to be reached before the engine may start, besides what surfaces and motion vectors say themselves.
    pub waits: Vec<SyncPoint>,
}

impl PictureJob {
    /// Surfaces that the picture reads.
    pub fn references(&self) -> impl Iterator<Item = &Surface> {
        self.pictures.iter().map(|(_, surface)| surface).filter(|surface| !surface.same(&self.target))
    }

    /// Everything that the engine has to wait for, the latest point of each timeline.
    pub fn dependencies(&self) -> Vec<SyncPoint> {
        let mut waits = Latest::default();
        self.add_uses(&mut waits);
        waits.add_all(&self.waits);
        waits.into_vec()
    }

    /// Adds what still uses the surfaces and motion vectors, and says when the scheduler expects all of that to be over.
    pub(crate) fn add_uses(&self, waits: &mut Latest<SyncPoint>) -> Time {
        let mut ready = 0;
        let mut write = |uses: &Uses| {
            waits.add_all(uses.before_write());
            ready = ready.max(uses.free_time());
        };
        write(&self.target.uses());
        if let Some(motion) = &self.motion {
            write(&motion.uses());
        }
        let mut read = |uses: &Uses| {
            waits.add_all(uses.before_read());
            ready = ready.max(uses.written_time());
        };
        self.references().for_each(|reference| read(&reference.uses()));
        self.collocated.iter().for_each(|collocated| read(&collocated.uses()));
        ready
    }

    /// Notes that the job runs until `point`, expected at `finish`.
    pub(crate) fn runs_until(&self, point: &SyncPoint, finish: Time) {
        for reference in self.references() {
            reference.uses().read_until(point, finish);
        }
        for collocated in &self.collocated {
            collocated.read_until(point, finish);
        }
        self.target.uses().written_at(point, finish);
        if let Some(motion) = &self.motion {
            motion.written_at(point, finish);
        }
    }
}
