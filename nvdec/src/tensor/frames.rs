//! [`Tensors`]: the frames of a stream as tensors.

use std::borrow::BorrowMut;
use std::io;

use super::pool::{Tensor, TensorBuilder, TensorPool};
use crate::decoder::{Decoder, Frames, Next};
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
    /// conversion is submitted when its frame is due, or up to three more are, as [`TensorBuilder`] does it; it runs behind the
    /// decoding, and the surface is free when it is done. A decoder made for it
    /// ([`DecoderOptions::for_tensors`](crate::DecoderOptions::for_tensors)) is as fast as without.
    ///
    /// A tensor comes when it has all its pictures. So where pictures come as slowly as they are shown, those of a tensor wait for
    /// its last one; with one picture a tensor none waits.
    pub fn into_tensors(self, pool: &TensorPool) -> Tensors<D, S> {
        Tensors { frames: self, pool: pool.clone(), open: None, pending: None }
    }
}

impl<D: BorrowMut<Decoder>, S: Source> Tensors<D, S> {
    /// The frames.
    pub fn frames(&mut self) -> &mut Frames<D, S> {
        &mut self.frames
    }

    /// The next frame, `None` at the end.
    fn next_frame(&mut self) -> Result<Option<Frame>> {
        loop {
            match self.frames.try_next() {
                Ok(Next::Frame(frame)) => return Ok(Some(frame)),
                Ok(Next::End) => return Ok(None),
                // Frames that are not converted yet have surfaces too.
                Ok(Next::Full) if self.submit_open()? => {}
                Ok(Next::Full) => self.frames.grow()?,
                Err(Error::Source { source }) if source.kind() == io::ErrorKind::WouldBlock => {
                    // What is there is converted meanwhile.
                    self.submit_open()?;
                    return Err(Error::Source { source });
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn submit_open(&mut self) -> Result<bool> {
        self.open.as_mut().map_or(Ok(false), TensorBuilder::submit)
    }

    /// The next tensor that has all its pictures, `None` at the end.
    fn step(&mut self) -> Result<Option<Tensor>> {
        loop {
            if let Some(full) = self.open.take_if(|open| open.is_full()) {
                return full.finish().map(Some);
            }
            let pending = self.pending.take().map(Some).map(Ok);
            let Some(frame) = pending.unwrap_or_else(|| self.next_frame())? else {
                let left = self.open.take().filter(|open| !open.is_empty());
                return left.map(TensorBuilder::finish).transpose();
            };
            if let Some(open) = &mut self.open
                && open.push(&frame)?
            {
                continue;
            }
            // The first picture, or one of another shape.
            if let Some(before) = self.open.take().filter(|before| !before.is_empty()) {
                self.pending = Some(frame);
                return before.finish().map(Some);
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
