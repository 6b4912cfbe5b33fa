//! [`Observer`]: watches what a decoder submits, for tools that record it.

use std::fmt;
use std::sync::Arc;

use hcq::{DeviceBuffer, Placement, SyncPoint};

use crate::error::{Error, Result};
use crate::job::PictureJob;
use crate::pictures::record::PictureRecord;
use crate::surface::pool::Surface;

/// Watches what a decoder submits ([`Decoder::observe`](crate::Decoder::observe)).
pub trait Observer: fmt::Debug + Send {
    /// A picture was submitted.
    ///
    /// The host memory that the engine reads keeps what is in it until this returns, and the surfaces stay what they are for as
    /// long as the observer holds them and says until when it reads them ([`Surface::use_until`]).
    fn submitted(&mut self, picture: &Submitted<'_>);
}

/// What an engine was told of a picture.
#[derive(Debug)]
pub struct Submitted<'a> {
    pub(crate) job: &'a PictureJob<'a>,
    pub(crate) waits: &'a [SyncPoint],
    pub(crate) record: &'a Arc<PictureRecord>,
}

/// Memory that an engine reads or works in. It can be told from other memory, and read where it is the host's; nothing more, since
/// what is in it decides what the engine does.
#[derive(Clone, Debug)]
pub struct EngineMemory(DeviceBuffer);

impl<'a> Submitted<'a> {
    /// What is known of the picture.
    pub fn record(&self) -> &'a Arc<PictureRecord> {
        self.record
    }

    /// Completes the picture, on the timeline of the engine that decodes it.
    pub fn point(&self) -> &'a SyncPoint {
        self.record.point()
    }

    /// What the engine waits for before it starts. Points of its own timeline are there as well, which need no semaphore.
    pub fn waits(&self) -> &'a [SyncPoint] {
        self.waits
    }

    /// Value of `SET_APPLICATION_ID`.
    pub fn application_id(&self) -> u32 {
        self.job.application_id
    }

    /// Value of `SET_CONTROL_PARAMS`.
    pub fn control_params(&self) -> u32 {
        self.job.control_params
    }

    /// The surface that is written.
    pub fn target(&self) -> &'a Surface {
        self.job.target
    }

    /// The picture table: places in use and what stands there, the target among them.
    pub fn pictures(&self) -> &'a [(u8, &'a Surface)] {
        self.job.pictures
    }

    /// Surfaces that the picture reads.
    pub fn references(&self) -> impl Iterator<Item = &'a Surface> {
        self.job.references()
    }

    /// Which slot of motion vectors the picture leaves its own in: it lies so many times the size of a slot behind the
    /// beginning of their memory.
    pub fn motion(&self) -> Option<usize> {
        self.job.motion.map(|slot| slot.index())
    }

    /// The slots that it takes motion vectors from.
    pub fn collocated(&self) -> impl Iterator<Item = usize> {
        self.job.collocated.iter().map(|slot| slot.index())
    }

    /// The methods with addresses, besides those of the picture table, each with the memory from there to the end of its buffer.
    pub fn operands(&self) -> impl Iterator<Item = (u32, EngineMemory)> {
        self.job.buffers.iter().map(|operand| (operand.method, EngineMemory(operand.memory())))
    }

    /// The memory behind one of these methods.
    pub fn operand(&self, method: u32) -> Option<EngineMemory> {
        self.job.operand(method).map(|operand| EngineMemory(operand.memory()))
    }
}

impl EngineMemory {
    /// Where it lies.
    pub fn placement(&self) -> Placement {
        self.0.placement()
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.0.size()
    }

    /// Its GPU address.
    pub fn gpu_address(&self) -> u64 {
        self.0.gpu_address()
    }

    /// Where it begins within what was allocated at once.
    pub fn offset_in_allocation(&self) -> u64 {
        self.0.offset_in_allocation()
    }

    /// The first `bytes` of it, fewer if it is shorter.
    ///
    /// # Errors
    ///
    /// [`Error::Hardware`] if it is not host memory, and [`Error::Gpu`] if it cannot be mapped.
    pub fn read(&self, bytes: u64) -> Result<Vec<u8>> {
        if self.placement() != Placement::Sysmem {
            return Err(Error::Hardware("what an engine works in is not read".into()));
        }
        let mut data = vec![0; bytes.min(self.size()) as usize];
        self.0.view()?.copy_out(0, &mut data);
        Ok(data)
    }
}
