//! [`Tensors`]: the frames of a stream as tensors.

use std::borrow::BorrowMut;

use super::pool::{Tensor, TensorBuilder, TensorPool};
use crate::decoder::{Decoder, Frames};
use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::packet::Source;

/// The frames of a stream as tensors, in output order ([`Frames::into_tensors`]).
///
/// Errors of the decoder come as they do from [`Frames`]; the pictures before and after an error stand in the same tensor.
#[derive(Debug)]
pub struct Tensors<D, S> {
    frames: Frames<D, S>,
    pool: TensorPool,
    open: Option<TensorBuilder>,
    /// A frame for which there was no tensor.
    pending: Option<Frame>,
}

impl<D: BorrowMut<Decoder>, S: Source> Frames<D, S> {
    /// Makes tensors of the frames, of as many pictures each as those of `pool` have; the last one of those that are left. A
    /// picture is converted as soon as its frame is due, behind its decoding, and its surface is free when that is done. A
    /// decoder made for it ([`DecoderOptions::for_tensors`](crate::DecoderOptions::for_tensors)) is as fast as without.
    pub fn into_tensors(self, pool: &TensorPool) -> Tensors<D, S> {
        Tensors { frames: self, pool: pool.clone(), open: None, pending: None }
    }
}

impl<D: BorrowMut<Decoder>, S: Source> Tensors<D, S> {
    /// The frames.
    pub fn frames(&mut self) -> &mut Frames<D, S> {
        &mut self.frames
    }

    /// The next tensor that has all its pictures, `None` at the end.
    fn step(&mut self) -> Result<Option<Tensor>> {
        loop {
            if let Some(full) = self.open.take_if(|open| open.is_full()) {
                return Ok(Some(full.finish()));
            }
            let Some(frame) = self.pending.take().map(Ok).or_else(|| self.frames.next()).transpose()? else {
                return Ok(self.open.take().filter(|open| !open.is_empty()).map(TensorBuilder::finish));
            };
            if let Some(open) = &mut self.open
                && open.push(&frame)?
            {
                continue;
            }
            // The first picture, or one of another shape.
            if let Some(before) = self.open.take().filter(|before| !before.is_empty()) {
                self.pending = Some(frame);
                return Ok(Some(before.finish()));
            }
            match self.pool.begin(&frame) {
                Ok(mut tensor) => {
                    tensor.push(&frame)?;
                    self.open = Some(tensor);
                }
                Err(error) => {
                    // The caller may let go of a tensor and call again.
                    if matches!(error, Error::TensorsHeld { .. }) {
                        self.pending = Some(frame);
                    }
                    return Err(error);
                }
            }
        }
    }
}

impl<D: BorrowMut<Decoder>, S: Source> Iterator for Tensors<D, S> {
    type Item = Result<Tensor>;

    fn next(&mut self) -> Option<Result<Tensor>> {
        self.step().transpose()
    }
}
