//! A batch of tensors, as C has it.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use nvdec::hcq::{self, CopyCommands, Patience, allocation_size};
use nvdec::tensor::{Converter, Dtype, Layout, TensorPicture, TensorShape};
use nvdec::{Decoder, DeviceBuffer, Integrity, PictureFault, Placement, SyncPoint, Video};

use crate::boundary::dlpack::{Element, host_tensor};
use crate::context::{Shared, export};
use crate::decoder::integrity;
use crate::result::{Failure, NVDEC_LOST, NVDEC_NO_PICTURE, NVDEC_UNSUPPORTED, Result};
use crate::semaphore::{Semaphore, Signal};
use crate::types::*;

/// How long an engine may stand still before the batch.
const TIMEOUT: Patience = Patience::WithoutProgress(Duration::from_secs(10));
/// So much is cleared by one command, and copied by one.
const PART: u64 = 1 << 30;

/// Pictures side by side in GPU memory of their own.
#[derive(Debug)]
pub(crate) struct Batch {
    shared: Arc<Shared>,
    memory: DeviceBuffer,
    shape: TensorShape,
    ready: Vec<SyncPoint>,
    pictures: Vec<(usize, TensorPicture)>,
    decoded: usize,
    /// Values of semaphores that are written when it is ready.
    signals: Vec<Signal>,
}

impl Batch {
    /// Decodes and converts pictures `numbers` of `video`, which take `bytes`.
    pub(crate) fn read(
        shared: &Arc<Shared>,
        video: &Video,
        decoder: &mut Decoder,
        converter: &Converter,
        numbers: &[usize],
        bytes: u64,
    ) -> Result<Batch> {
        let context = &shared.context;
        let all = context.allocate(allocation_size(bytes, Placement::Vidmem), Placement::Vidmem)?;
        // What lay there before is nobody's business who is given the memory.
        let mut commands = CopyCommands::new();
        for at in (0..all.size()).step_by(PART as usize) {
            commands.fill(&all.slice(at, PART.min(all.size() - at)), 0)?;
        }
        let cleared = context.copy_queue()?.submit(&[], commands)?;
        let memory = all.slice(0, bytes);
        let converted = video.convert(decoder, converter, numbers, &memory, &[cleared])?;
        let shape = converted.shape.ok_or_else(|| Failure::invalid("a batch has a picture at least"))?;
        let pictures = numbers.iter().copied().zip(converted.pictures).collect();
        let (shared, ready, decoded) = (shared.clone(), converted.ready, converted.sent);
        Ok(Batch { shared, memory, shape, ready, pictures, decoded, signals: Vec::new() })
    }

    fn dims(&self) -> [usize; 4] {
        let [a, b, c] = self.shape.dims();
        [self.pictures.len(), a, b, c]
    }

    /// Bytes of all elements.
    pub(crate) fn bytes(&self) -> usize {
        self.memory.size() as usize
    }

    /// What the header has of it.
    pub(crate) fn info(&self) -> nvdec_batch_info {
        let dtype = match self.shape.dtype() {
            Dtype::F16 => nvdec_dtype::NVDEC_F16,
            Dtype::Bf16 => nvdec_dtype::NVDEC_BF16,
            Dtype::F32 => nvdec_dtype::NVDEC_F32,
            _ => nvdec_dtype::NVDEC_U8,
        };
        let layout = match self.shape.layout() {
            Layout::Nhwc => nvdec_layout::NVDEC_NHWC,
            _ => nvdec_layout::NVDEC_NCHW,
        };
        nvdec_batch_info {
            size: 0,
            shape: self.dims().map(|size| size as u64),
            bytes: self.memory.size(),
            decoded: self.decoded as u64,
            dtype: dtype as u32,
            layout: layout as u32,
        }
    }

    fn at(&self, place: usize) -> Result<&(usize, TensorPicture)> {
        let count = self.pictures.len();
        let none = || Failure::new(NVDEC_NO_PICTURE, format!("no place {place}: the batch has {count}"));
        self.pictures.get(place).ok_or_else(none)
    }

    /// What the header has of the picture at `place`.
    pub(crate) fn picture(&self, place: usize) -> Result<nvdec_batch_picture> {
        let (number, picture) = self.at(place)?;
        let times = picture.times();
        Ok(nvdec_batch_picture {
            size: 0,
            number: *number as u64,
            pts: times.pts.unwrap_or(NVDEC_NO_TIME),
            duration: times.duration.unwrap_or(NVDEC_NO_TIME),
            key: picture.is_key().into(),
            reserved: 0,
        })
    }

    pub(crate) fn integrity(&self, place: usize) -> Result<nvdec_integrity> {
        Ok(integrity(self.at(place)?.1.integrity()?))
    }

    /// Has `semaphore` count one on when the elements are there: the value that it has then.
    pub(crate) fn signal(&mut self, semaphore: &Semaphore) -> Result<u32> {
        let (value, signal) = semaphore.signal(&self.ready)?;
        self.signals.push(signal);
        Ok(value)
    }

    #[cfg(all(test, feature = "emulated"))]
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.iter().all(SyncPoint::is_reached)
    }

    /// Waits for the elements, and for word whether they are those of the pictures.
    pub(crate) fn wait(&self) -> Result<()> {
        let ready = self.ready.iter().try_for_each(|point| point.wait(TIMEOUT));
        // Elements that are lost are signalled as well.
        if let Ok(()) | Err(hcq::Error::ChannelFault { .. }) = ready {
            self.signals.iter().try_for_each(Signal::settle)?;
        }
        ready?;
        for (number, picture) in &self.pictures {
            let found = picture.integrity()?;
            let cause = match found {
                Integrity::Damaged { cause } => Some(cause),
                Integrity::Tainted { by } => Some(by.cause),
                _ => None,
            };
            if matches!(cause, Some(PictureFault::ChannelLost | PictureFault::ReferenceLost)) {
                return Err(Failure::new(NVDEC_LOST, format!("picture {number} was lost: {found}")));
            }
        }
        Ok(())
    }

    /// Copies the elements to `room`, which has as many bytes. The copy is submitted when they are there: it shares its queue with
    /// copies of others, which would stand behind it.
    pub(crate) fn download(&self, room: &mut [u8]) -> Result<()> {
        self.wait()?;
        let context = &self.shared.context;
        let staging = context.allocate(self.memory.size(), Placement::Sysmem)?;
        let mut commands = CopyCommands::new();
        for at in (0..self.memory.size()).step_by(PART as usize) {
            let part = PART.min(self.memory.size() - at);
            commands.copy(&self.memory.slice(at, part), &staging.slice(at, part))?;
        }
        context.copy_queue()?.submit(&[], commands)?.wait(TIMEOUT)?;
        staging.view()?.copy_out(0, room);
        Ok(())
    }

    /// What the header has of a descriptor of the memory, and the descriptor.
    pub(crate) fn export(&self) -> Result<(nvdec_exported, OwnedFd)> {
        export(&self.memory)
    }

    /// As a tensor of DLPack.
    pub(crate) fn to_dlpack(&self, stream: u64, kind: u32) -> Result<*mut DLManagedTensorVersioned> {
        match (kind, stream) {
            (0, 0) => {}
            (0, _) => return Err(Failure::invalid("stream: without a kind there is none, it has to be 0")),
            (1, _) => {
                return Err(Failure::new(
                    NVDEC_UNSUPPORTED,
                    "this library hands out no tensors of CUDA: take NVDEC_STREAM_NONE for host memory, or have CUDA \
                     import the descriptor of nvdec_batch_export_fd, and wait for nvdec_batch_signal",
                ));
            }
            (other, _) => return Err(Failure::invalid(format!("kind: {other} is no nvdec_stream_kind"))),
        }
        let element = match self.shape.dtype() {
            Dtype::F16 => Element::Float(16),
            Dtype::Bf16 => Element::Bf16,
            Dtype::F32 => Element::Float(32),
            _ => Element::U8,
        };
        host_tensor(self.dims(), element, self.bytes(), |bytes| self.download(bytes))
    }
}
