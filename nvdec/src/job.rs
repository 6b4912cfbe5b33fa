//! [`PictureJob`]: the seam between a codec and the engine, a plain struct.

use hcq::pushbuf::SUBCHANNEL_ENGINE;
use hcq::{DeviceBuffer, PushBuffer, SyncPoint};
use nvkernel_sys::video;

use crate::error::Result;
use crate::memory::motion::MotionSlot;
use crate::queue::VideoQueue;
use crate::scheduler::cost::Time;
use crate::surface::pool::Surface;
use crate::uses::{Latest, Uses};

/// Everything that one `EXECUTE` needs. A codec fills it, and it is submitted to a [`VideoQueue`]. It borrows what it
/// names: the queue sees to it that memory outlives the work in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PictureJob<'a> {
    /// Value of `SET_APPLICATION_ID`.
    pub(crate) application_id: u32,
    /// Value of `SET_CONTROL_PARAMS`.
    pub(crate) control_params: u32,
    /// Picture setup, bitstream, status, scratch, tables.
    pub(crate) buffers: &'a [Operand<'a>],
    /// The surface written to.
    pub(crate) target: &'a Surface,
    /// The picture table: places in use and what stands there, the target among them.
    ///
    /// Only these are sent, since every place costs the engine about 8 µs. The codec sees to it that nothing
    /// in a stream can name another place: the engine forgets the table after each picture, and a read through
    /// an empty place would be a fault of the channel.
    pub(crate) pictures: &'a [(u8, &'a Surface)],
    /// Where the picture's motion vectors go, within one of `buffers`.
    pub(crate) motion: Option<&'a MotionSlot>,
    /// Motion vectors of other pictures that it reads.
    pub(crate) collocated: &'a [&'a MotionSlot],
    /// What has to be reached before the engine may start, besides what surfaces and motion vectors say themselves.
    pub(crate) waits: &'a [SyncPoint],
}

/// A method that takes an address, with the memory that it points at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operand<'a> {
    /// Address of the method.
    pub(crate) method: u32,
    /// Memory with the bytes that the engine finds or leaves.
    pub(crate) buffer: &'a DeviceBuffer,
    /// Where in `buffer` they begin, a multiple of 256.
    pub(crate) offset: u64,
}

impl<'a> Operand<'a> {
    /// `method` with the beginning of `buffer`.
    pub(crate) fn new(method: u32, buffer: &'a DeviceBuffer) -> Self {
        Operand { method, buffer, offset: 0 }
    }

    /// As it is, with what lies `offset` bytes further on in the buffer.
    pub(crate) fn at(self, offset: u64) -> Self {
        Operand { offset: self.offset + offset, ..self }
    }

    /// What the engine is told.
    pub(crate) fn gpu_address(&self) -> u64 {
        self.buffer.gpu_address() + self.offset
    }

    /// The memory from there to the end of the buffer.
    pub(crate) fn memory(&self) -> DeviceBuffer {
        self.buffer.slice(self.offset, self.buffer.size() - self.offset)
    }
}

impl<'a> PictureJob<'a> {
    /// Surfaces that the picture reads.
    pub(crate) fn references(&self) -> impl Iterator<Item = &'a Surface> + Clone {
        let target = self.target;
        self.pictures.iter().map(|&(_, surface)| surface).filter(move |surface| !surface.same(target))
    }

    /// The memory behind the method at address `method`.
    pub(crate) fn operand(&self, method: u32) -> Option<&'a Operand<'a>> {
        self.buffers.iter().find(|operand| operand.method == method)
    }

    /// Adds what still uses the surfaces and motion vectors.
    pub(crate) fn add_uses(&self, waits: &mut Latest<SyncPoint>) {
        self.add_uses_but_references(waits);
        self.references().for_each(|reference| waits.add_all(reference.uses().before_read()));
    }

    /// As [`add_uses`](Self::add_uses), for callers who know when the surfaces that the picture reads are written. Says when
    /// the scheduler expects everything else to be over.
    pub(crate) fn add_uses_but_references(&self, waits: &mut Latest<SyncPoint>) -> Time {
        let mut ready = 0;
        let mut write = |uses: &Uses| {
            waits.add_all(uses.before_write());
            ready = ready.max(uses.free_time());
        };
        write(&self.target.uses());
        if let Some(motion) = self.motion {
            write(&motion.uses());
        }
        for collocated in self.collocated {
            let uses = collocated.uses();
            waits.add_all(uses.before_read());
            ready = ready.max(uses.written_time());
        }
        ready
    }

    /// Submits the picture behind everything that it depends on; the uses of its memory are extended by it.
    pub(crate) fn submit(&self, queue: &VideoQueue) -> Result<SyncPoint> {
        let mut waits = Latest::default();
        self.add_uses(&mut waits);
        waits.add_all(self.waits);
        self.submit_planned(queue, 0, &waits)
    }

    /// As [`submit`](Self::submit), where a scheduler expects the picture to be done at `finish`, and `waits` has what uses
    /// the job's surfaces and motion vectors, and the job's own waits.
    pub(crate) fn submit_planned(
        &self,
        queue: &VideoQueue,
        finish: Time,
        waits: &Latest<SyncPoint>,
    ) -> Result<SyncPoint> {
        let surfaces = std::iter::once(self.target).chain(self.references()).map(Surface::buffer);
        let buffers = self.buffers.iter().map(|operand| operand.buffer).chain(surfaces);
        let control = (self.application_id, self.control_params);
        // SAFETY: every address written by `write_methods` lies in one of the buffers, whose sizes the
        // codec module computed for the picture that the descriptor states; the engine's accesses follow from
        // the descriptor alone, and damaged slice data cannot make it leave the picture or the tables. Should
        // it do so after all, the MMU ends the channel at the edge of what this process has mapped.
        let point =
            unsafe { queue.submit(control, waits.as_slice(), buffers, |words| self.write_methods(words))? };
        self.runs_until(&point, finish);
        Ok(point)
    }

    /// The methods of the picture. The engine forgets every address with `EXECUTE`.
    fn write_methods(&self, words: &mut PushBuffer) {
        let mut method = |address: u32, value: u32| {
            words.method(SUBCHANNEL_ENGINE, address, value);
        };
        let page = |address: u64| {
            debug_assert!(address.is_multiple_of(256) && address >> 40 == 0);
            (address >> 8) as u32
        };
        for operand in self.buffers {
            method(operand.method, page(operand.gpu_address()));
        }
        for &(place, surface) in self.pictures {
            method(video::SET_PICTURE_LUMA_OFFSET + 4 * u32::from(place), page(surface.luma_address()));
        }
        for &(place, surface) in self.pictures {
            method(video::SET_PICTURE_CHROMA_OFFSET + 4 * u32::from(place), page(surface.chroma_address()));
        }
        method(video::EXECUTE, 0);
    }

    /// Notes that the job runs until `point`, expected at `finish`.
    fn runs_until(&self, point: &SyncPoint, finish: Time) {
        for reference in self.references() {
            reference.uses().read_until(point, finish);
        }
        for collocated in self.collocated {
            collocated.read_until(point, finish);
        }
        self.target.uses().written_at(point, finish);
        if let Some(motion) = self.motion {
            motion.written_at(point, finish);
        }
    }
}

#[cfg(test)]
mod tests;
