//! [`Place`]: GPU memory of one batch, which goes back to its [`Gpu`] and is used again when all who read it are done.

use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex};

use hcq::{CopyCommands, DeviceBuffer, Placement, SyncPoint};
use nvdec_cuda::Imported;

use crate::door::lock;
use crate::error::{Failure, Result};
use crate::gpu::Gpu;
use crate::idle::Slab;

/// Memory is a multiple of this, so that CUDA maps it as it maps its own.
pub(crate) const UNIT: u64 = 2 << 20;
/// So much is cleared by one command.
const CLEARED: u64 = 1 << 30;

/// The memory of a batch.
#[derive(Debug)]
pub(crate) struct Place {
    gpu: Arc<Gpu>,
    process: u32,
    buffer: DeviceBuffer,
    uses: Mutex<Uses>,
}

#[derive(Debug)]
struct Uses {
    /// `None` once it went back.
    slab: Option<Slab>,
    /// Streams of CUDA that were told of it, by their handles.
    streams: Vec<u64>,
}

impl Place {
    /// Memory for `bytes` bytes, and what has to be waited for before it is written.
    pub(crate) fn new(gpu: &Arc<Gpu>, bytes: u64) -> Result<(Place, Vec<SyncPoint>)> {
        let whole = bytes.max(1).checked_next_multiple_of(UNIT).unwrap_or(u64::MAX);
        let slab = match gpu.idle().take(whole) {
            Some(slab) => slab,
            None => {
                let memory = allocate(gpu, whole)?;
                let points = vec![clear(gpu, &memory)?];
                Slab { memory, points, imported: None, readers: Vec::new(), spare: Vec::new() }
            }
        };
        drop(gpu.idle().surplus(whole));
        let waits = slab.points.iter().filter(|point| !point.is_reached()).cloned().collect();
        let buffer = slab.memory.slice(0, bytes);
        let uses = Mutex::new(Uses { slab: Some(slab), streams: Vec::new() });
        Ok((Place { gpu: gpu.clone(), process: std::process::id(), buffer, uses }, waits))
    }

    pub(crate) fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// The bytes that were asked for.
    pub(crate) fn buffer(&self) -> &DeviceBuffer {
        &self.buffer
    }

    /// Says that a queue of ours writes or reads it until `point`.
    pub(crate) fn use_until(&self, point: &SyncPoint) {
        if let Some(slab) = &mut lock(&self.uses).slab {
            slab.points.retain(|known| !is_behind(point, known));
            slab.points.push(point.clone());
        }
    }

    /// Says that a stream of CUDA reads it until it is let go of.
    pub(crate) fn use_on(&self, stream: u64) {
        let streams = &mut lock(&self.uses).streams;
        if !streams.contains(&stream) {
            streams.push(stream);
        }
    }

    /// CUDA's mapping of the allocation.
    pub(crate) fn imported(&self) -> Result<Arc<Imported>> {
        if let Some(known) = lock(&self.uses).slab.as_ref().and_then(|slab| slab.imported.clone()) {
            return Ok(known);
        }
        let imported = Arc::new(Imported::new(self.gpu.cuda()?.context(), &self.buffer)?);
        if let Some(slab) = &mut lock(&self.uses).slab {
            return Ok(slab.imported.get_or_insert(imported).clone());
        }
        Ok(imported)
    }
}

/// Whether reaching `point` means that `other` was reached.
fn is_behind(point: &SyncPoint, other: &SyncPoint) -> bool {
    Arc::ptr_eq(point.timeline(), other.timeline()) && point.value() >= other.value()
}

fn allocate(gpu: &Arc<Gpu>, bytes: u64) -> Result<DeviceBuffer> {
    let allocated = gpu.context().allocate(bytes, Placement::Vidmem).map_err(Failure::from);
    match allocated {
        Err(failure) if failure.is_out_of_memory() && gpu.idle().clear() => {
            Ok(gpu.context().allocate(bytes, Placement::Vidmem)?)
        }
        allocated => allocated,
    }
}

/// What lay there before is nobody's business who has a tensor, or finds what is beside it.
fn clear(gpu: &Arc<Gpu>, memory: &DeviceBuffer) -> Result<SyncPoint> {
    let mut commands = CopyCommands::new();
    for at in (0..memory.size()).step_by(CLEARED as usize) {
        commands.fill(&memory.slice(at, CLEARED.min(memory.size() - at)), 0)?;
    }
    Ok(gpu.context().copy_queue()?.submit(&[], &commands)?)
}

impl Drop for Place {
    fn drop(&mut self) {
        let uses = &mut *lock(&self.uses);
        let Some(mut slab) = uses.slab.take() else { return };
        // The memory is the parent's, or CUDA does not say when it is read: nobody gets it again.
        if self.process != std::process::id() {
            let _ = ManuallyDrop::new((slab, self.gpu.clone()));
            return;
        }
        for &stream in &uses.streams {
            let spare = slab.spare.pop();
            match self.gpu.cuda().and_then(|cuda| cuda.event_on(stream, spare)) {
                Ok(event) => slab.readers.push(event),
                Err(failure) => {
                    log::warn!(
                        "memory that stream {stream:#x} may still read is not used again: {failure:?}"
                    );
                    let _ = ManuallyDrop::new(slab);
                    return;
                }
            }
        }
        self.gpu.idle().keep(slab);
    }
}
