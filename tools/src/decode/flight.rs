//! What becomes of frames that are due: copies in host memory, or tensors, with some under way while the engines work.

use std::time::Duration;

use hcq::SyncPoint;
use nvdec::tensor::{Tensor, TensorBuilder, TensorPool};
use nvdec::{Download, Frame};

use super::{PICTURE_TIMEOUT, Pipeline};
use crate::exit::Failure;

/// Tensors of the pool that a [`Consumer`](super::Consumer) gives: one that is being filled, and those on their way.
pub const TENSORS: usize = 4;

/// Pictures of a tensor, in output order.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Position of the first one in output order, from 0.
    pub index: u64,
    /// The elements, which are there.
    pub tensor: Tensor,
}

/// What the GPU was told to make of frames.
pub(super) enum Flying {
    Picture(Box<Download>),
    Tensor(Tensor),
}

impl Flying {
    fn points(&self) -> &[SyncPoint] {
        match self {
            Flying::Picture(download) => std::slice::from_ref(download.point()),
            Flying::Tensor(tensor) => tensor.ready(),
        }
    }

    /// Whether it would not be waited for.
    pub(super) fn is_finished(&self) -> bool {
        self.points().iter().all(SyncPoint::is_reached)
    }

    /// Waits for as long as `time`. What went wrong is said when it is delivered.
    pub(super) fn wait(&self, time: Duration) {
        for point in self.points() {
            let _ = point.wait(time);
        }
    }
}

/// Frames that become tensors.
pub(super) struct Conversions {
    pub(super) pool: TensorPool,
    open: Option<TensorBuilder>,
    /// Numbers of the pictures that are not submitted yet.
    pending: Vec<u64>,
}

impl Conversions {
    pub(super) fn new(pool: TensorPool) -> Conversions {
        Conversions { pool, open: None, pending: Vec::new() }
    }

    /// The tensor that is being filled, if there is a picture in it.
    fn close(&mut self) -> nvdec::Result<Option<Flying>> {
        let open = self.open.take().filter(|open| !open.is_empty());
        open.map(|open| open.finish().map(Flying::Tensor)).transpose()
    }
}

impl Pipeline<'_, '_> {
    /// Has a frame converted. Its surface goes back when that is done.
    pub(super) fn convert(&mut self, frame: &Frame) -> Result<(), Failure> {
        loop {
            let conversions = self.conversions.as_mut().expect("frames become tensors");
            let added = conversions.open.as_mut().map(|open| open.push(frame)).transpose();
            if added.map_err(|error| self.unfit(error))? == Some(true) {
                break;
            }
            // The first picture, or one of another shape.
            self.close_tensor()?;
            while self.flight.len() + 1 >= TENSORS {
                self.deliver_oldest()?;
            }
            let conversions = self.conversions.as_mut().expect("as above");
            let begun = conversions.pool.begin(frame);
            let begun = begun.map_err(|error| self.unfit(error))?;
            self.conversions.as_mut().expect("as above").open = Some(begun);
        }
        self.conversions.as_mut().expect("as above").pending.push(frame.number());
        self.note_submitted();
        let open = self.conversions.as_ref().and_then(|conversions| conversions.open.as_ref());
        if open.is_some_and(TensorBuilder::is_full) {
            self.close_tensor()?;
        }
        Ok(())
    }

    pub(super) fn close_tensor(&mut self) -> Result<(), Failure> {
        self.submit_conversions()?;
        if let Some(conversions) = &mut self.conversions {
            self.flight.extend(conversions.close()?);
        }
        Ok(())
    }

    /// Names the consumer what was submitted since the last time.
    fn note_submitted(&mut self) {
        let Some(Conversions { open, pending, .. }) = &mut self.conversions else { return };
        let left = open.as_ref().map_or(0, TensorBuilder::pending);
        let submitted = pending.len().saturating_sub(left);
        if submitted > 0 {
            self.consumer.converting(&pending[..submitted]);
            pending.drain(..submitted);
        }
    }

    /// Submits the conversions that wait for more of them, and so gives their surfaces back. `false` if there are none.
    pub(super) fn submit_conversions(&mut self) -> Result<bool, Failure> {
        let open = self.conversions.as_mut().and_then(|conversions| conversions.open.as_mut());
        let is_any = open.map_or(Ok(false), TensorBuilder::submit)?;
        self.note_submitted();
        Ok(is_any)
    }

    /// What a conversion failed of: the picture does not go with what was asked for, or the GPU.
    fn unfit(&self, error: nvdec::Error) -> Failure {
        match error {
            nvdec::Error::TensorSpec { .. } | nvdec::Error::TensorPicture { .. } => {
                Failure::Format { picture: self.received.saturating_sub(1), reason: error.to_string() }
            }
            error => error.into(),
        }
    }

    /// Gives the consumer a tensor, waiting for it.
    pub(super) fn deliver_tensor(&mut self, tensor: Tensor) -> Result<(), Failure> {
        tensor.wait()?;
        self.summary.first_picture.get_or_insert(self.start.elapsed());
        let batch = Batch { index: self.summary.pictures, tensor };
        self.summary.pictures += batch.tensor.pictures().len() as u64;
        self.consumer.tensor(&batch)
    }

    /// Waits for the first picture, and counts it and all others.
    pub(super) fn discard(&mut self, frame: &Frame) -> Result<(), Failure> {
        if self.summary.pictures == 0 {
            frame.ready().wait(PICTURE_TIMEOUT).map_err(nvdec::Error::from)?;
            self.summary.first_picture = Some(self.start.elapsed());
        }
        self.summary.pictures += 1;
        Ok(())
    }
}
