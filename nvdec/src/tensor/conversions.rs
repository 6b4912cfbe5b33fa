//! [`Conversions`]: frames to places in memory of the caller's, several to a submission.

use std::sync::Arc;

use arrayvec::ArrayVec;
use hcq::{DeviceBuffer, Outside, SyncPoint};

use super::convert::{Converter, GROUP, Prepared};
use super::shape::TensorShape;
use crate::channels::Lane;
use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::surface::pool::Surface;
use crate::uses::Latest;

/// Converts frames of one shape to places that lie side by side in a buffer of the caller's, as
/// [`TensorBuilder`](super::TensorBuilder) does in memory of a pool. [`Converter::conversions`] makes it.
///
/// Conversions are submitted four at a time, which costs the processor less than one by one: when a fourth was added, and those
/// that are left by [`submit`](Self::submit). Until then the surfaces of up to three frames are kept, as by a caller who holds
/// frames.
///
/// The buffer is in use until all of [`ready`](Self::ready) are reached, also where something failed, and when this is dropped:
/// what was submitted goes on, and nothing more is converted.
#[derive(Debug)]
pub struct Conversions<'a> {
    converter: &'a Converter,
    target: DeviceBuffer,
    /// What still uses the buffer.
    waits: Vec<SyncPoint>,
    /// What the pictures become, and how those that are not submitted do.
    of: Option<(TensorShape, Arc<Prepared>)>,
    /// Their places and surfaces, and when they are decoded.
    open: ArrayVec<(usize, Surface), GROUP>,
    decoded: ArrayVec<SyncPoint, GROUP>,
    ready: Latest<SyncPoint>,
    /// What they are submitted behind; kept to be written into again.
    behind: Latest<SyncPoint>,
}

impl Converter {
    /// For conversions of several frames to places in `target`, behind `waits`, each as large as the
    /// [shape](Self::shape_of) of the first frame says, the first at the start.
    pub fn conversions(&self, target: &DeviceBuffer, waits: &[SyncPoint]) -> Conversions<'_> {
        Conversions {
            converter: self,
            target: target.clone(),
            waits: waits.to_vec(),
            of: None,
            open: ArrayVec::new(),
            decoded: ArrayVec::new(),
            ready: Latest::default(),
            behind: Latest::default(),
        }
    }
}

impl Conversions<'_> {
    /// What each picture becomes, once there is one.
    pub fn shape(&self) -> Option<&TensorShape> {
        self.of.as_ref().map(|(shape, _)| shape)
    }

    /// Points of what was submitted: one for each queue that works on it. When all of them are reached, those pictures are there.
    pub fn ready(&self) -> &[SyncPoint] {
        self.ready.as_slice()
    }

    /// Adds `frame`, for a place counted from 0. A frame may go to several places.
    ///
    /// # Errors
    ///
    /// [`Error::OtherShape`] for a frame that becomes something else than those before, [`Error::OtherContext`] for one of another
    /// device, [`Error::Gpu`] if its place is not in the buffer, and those of [`Converter::shape_of`]: the frame was not added then.
    /// [`Error::Gpu`] if conversions cannot be submitted, in which case the frame may have been added or not: to add it again does no
    /// harm. What was added is tried again with the next frame, or by [`submit`](Self::submit).
    pub fn push(&mut self, place: usize, frame: &Frame) -> Result<()> {
        let device = self.converter.context().device();
        if !device.owns_point(frame.ready()) || !device.owns(frame.surface().buffer()) {
            return Err(Error::OtherContext { what: "a frame" });
        }
        if !self.of.as_ref().is_some_and(|(_, prepared)| prepared.is_for(frame)) {
            let prepared = self.converter.prepared(frame)?;
            let shape = self.shape().unwrap_or(prepared.shape()).clone();
            if shape != *prepared.shape() {
                let (given, wanted) = (prepared.shape().to_string(), shape.to_string());
                return Err(Error::OtherShape { given, wanted });
            }
            // A group is of one kind.
            self.submit()?;
            self.of = Some((shape, prepared));
        }
        let bytes = self.shape().map_or(0, TensorShape::bytes);
        let end = (place as u64).saturating_add(1).saturating_mul(bytes);
        let limit = self.target.size();
        if end > limit {
            return Err(Error::Gpu(hcq::Error::TooLarge { what: "tensor", size: end, limit }));
        }
        if self.open.is_full() {
            self.submit()?;
        }
        self.open.push((place, frame.surface().clone()));
        self.decoded.push(frame.ready().clone());
        if self.open.is_full() {
            self.submit()?;
        }
        Ok(())
    }

    /// Submits the conversions of those frames that were added and are not submitted yet, and lets go of their surfaces. `false` if
    /// there are none.
    ///
    /// # Errors
    ///
    /// [`Error::Gpu`] if they cannot be submitted. They are still there then, and can be tried again.
    pub fn submit(&mut self) -> Result<bool> {
        let Conversions { converter, target, waits, of, open, decoded, ready, behind } = self;
        let Some((_, prepared)) = of.as_ref().filter(|_| !open.is_empty()) else { return Ok(false) };
        behind.clear();
        // Groups may be converted by different queues: all of them wait for those who use the memory.
        behind.add_all(decoded.iter().chain(&*waits));
        behind.add_all(open.iter().filter_map(|(_, samples)| samples.cleared()));
        behind.forget_reached();
        let points = behind.as_slice();
        let lane = if open.len() == 1 { Lane::of(points) } else { converter.lane(points) };
        let point = converter.submit_group(prepared, open, target, lane, (points, Outside::default()))?;
        ready.add(&point);
        open.clear();
        decoded.clear();
        Ok(true)
    }
}
