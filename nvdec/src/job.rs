//! [`PictureJob`]: the seam between a codec and the engine, a plain struct.

use hcq::{DeviceBuffer, SyncPoint};

use crate::surface::Surface;

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
    /// Only these are sent, since every method costs the engine about 3 µs. The codec sees to it that nothing
    /// in a stream can name another place: the engine forgets the table after each picture, and a read through
    /// an empty place would be a fault of the channel.
    pub pictures: Vec<(u8, Surface)>,
    /// What has to be reached before the engine may start, besides what the surfaces say themselves.
    pub waits: Vec<SyncPoint>,
}
