//! [`PictureJob`]: the seam between a codec and the engine, a plain struct.

use hcq::{DeviceBuffer, SyncPoint};

use crate::motion::MotionSlot;
use crate::scheduler::Time;
use crate::surface::Surface;
use crate::uses::Latest;

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
        self.add_dependencies(&mut waits);
        waits.into_vec()
    }

    pub(crate) fn add_dependencies(&self, waits: &mut Latest<SyncPoint>) {
        waits.add_all(&self.waits);
        waits.add_all(self.target.uses().before_write());
        for reference in self.references() {
            waits.add_all(reference.uses().before_read());
        }
        if let Some(motion) = &self.motion {
            waits.add_all(motion.uses().before_write());
        }
        for collocated in &self.collocated {
            waits.add_all(collocated.uses().before_read());
        }
    }

    /// When the scheduler expects all of that to be over.
    pub(crate) fn ready(&self) -> Time {
        let times = std::iter::once(self.target.uses().free_time())
            .chain(self.references().map(|reference| reference.uses().written_time()))
            .chain(self.motion.iter().map(|motion| motion.uses().free_time()))
            .chain(self.collocated.iter().map(|collocated| collocated.uses().written_time()));
        times.max().unwrap_or(0)
    }

    /// Notes that the job runs until `point`, expected at `finish`.
    pub(crate) fn runs_until(&self, point: &SyncPoint, finish: Time) {
        for reference in self.references() {
            reference.uses().read_until(point.clone(), finish);
        }
        for collocated in &self.collocated {
            collocated.read_until(point.clone(), finish);
        }
        self.target.uses().written_at(point.clone(), finish);
        if let Some(motion) = &self.motion {
            motion.written_at(point.clone(), finish);
        }
    }
}
