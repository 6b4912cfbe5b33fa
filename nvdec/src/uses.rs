//! [`Uses`]: what still writes or reads a piece of GPU memory, so that whoever comes next waits for that and for
//! nothing else.

use std::sync::Arc;

use hcq::SyncPoint;

use crate::scheduler::cost::Time;

/// A point on some timeline, as far as ordering needs to know it.
pub(crate) trait Point: Clone {
    /// Whether both lie on one timeline.
    fn shares_timeline(&self, other: &Self) -> bool;
    /// Position on the timeline.
    fn value(&self) -> u64;
    /// Up to which value the work on its timeline is done.
    fn reached(&self) -> u64;
    /// Whether the work up to the point is done.
    fn is_reached(&self) -> bool {
        self.reached() >= self.value()
    }
}

impl Point for SyncPoint {
    fn shares_timeline(&self, other: &Self) -> bool {
        Arc::ptr_eq(self.timeline(), other.timeline())
    }

    fn value(&self) -> u64 {
        SyncPoint::value(self)
    }

    fn is_reached(&self) -> bool {
        SyncPoint::is_reached(self)
    }

    fn reached(&self) -> u64 {
        self.timeline().reached()
    }
}

/// Points, at most one a timeline: reaching a point means that those before it were reached.
///
/// Points that were taken out are kept, to be written into again: a point counts a reference to its timeline, which takes
/// instructions that wait for all stores before them, and a later point of the same timeline needs none.
#[derive(Debug)]
pub(crate) struct Latest<P> {
    points: Vec<P>,
    /// So many of them are in, those at the beginning.
    count: usize,
}

/// Most points that are kept though they are not in.
const MAX_SPARE: usize = 12;

impl<P> Default for Latest<P> {
    fn default() -> Self {
        Latest { points: Vec::new(), count: 0 }
    }
}

impl<P: Clone> Clone for Latest<P> {
    fn clone(&self) -> Self {
        Latest { points: self.points[..self.count].to_vec(), count: self.count }
    }
}

impl<P: Point> Latest<P> {
    pub(crate) fn add(&mut self, point: &P) {
        let (points, spare) = self.points.split_at_mut(self.count);
        if let Some(known) = points.iter_mut().find(|known| known.shares_timeline(point)) {
            if known.value() < point.value() {
                known.clone_from(point);
            }
            return;
        }
        match spare.iter().position(|spare| spare.shares_timeline(point)) {
            Some(at) => {
                spare.swap(0, at);
                spare[0].clone_from(point);
            }
            None => {
                self.points.push(point.clone());
                let last = self.points.len() - 1;
                self.points.swap(self.count, last);
            }
        }
        self.count += 1;
    }

    pub(crate) fn add_all<'a>(&mut self, points: impl IntoIterator<Item = &'a P>)
    where
        P: 'a,
    {
        points.into_iter().for_each(|point| self.add(point));
    }

    pub(crate) fn clear(&mut self) {
        self.points.truncate(MAX_SPARE);
        self.count = 0;
    }

    /// Drops those that are reached.
    pub(crate) fn forget_reached(&mut self) {
        self.retain(|point| !point.is_reached());
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&P) -> bool) {
        let mut kept = 0;
        for at in 0..self.count {
            if keep(&self.points[at]) {
                self.points.swap(kept, at);
                kept += 1;
            }
        }
        self.points.truncate(kept + MAX_SPARE);
        self.count = kept;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn as_slice(&self) -> &[P] {
        &self.points[..self.count]
    }

    pub(crate) fn into_vec(mut self) -> Vec<P> {
        self.points.truncate(self.count);
        self.points
    }
}

/// The last write of a piece of memory and the reads since.
///
/// Two accesses conflict when one of them is a write. A write is ordered behind everything before it, so it alone
/// has to be remembered from then on; reads are ordered behind the write before them and not among each other. But a write that is lost
/// with its channel counts as done, and what it was ordered behind may still go on: that is remembered until it is over.
#[derive(Clone, Debug)]
pub(crate) struct Uses<P = SyncPoint> {
    written: Option<P>,
    readers: Latest<P>,
    /// What the write waits for, on other timelines.
    behind: Latest<P>,
    /// When the scheduler expects the write to be done.
    written_time: Time,
    /// When it expects the memory to be out of use.
    free_time: Time,
}

impl<P> Default for Uses<P> {
    fn default() -> Self {
        Uses {
            written: None,
            readers: Latest::default(),
            behind: Latest::default(),
            written_time: 0,
            free_time: 0,
        }
    }
}

impl<P: Point> Uses<P> {
    /// Memory whose only use so far is a write that ends at `point`.
    pub(crate) fn written_by(point: P) -> Self {
        Uses { written: Some(point), ..Uses::default() }
    }

    /// Points that a read has to wait for.
    pub(crate) fn before_read(&self) -> impl Iterator<Item = &P> {
        self.written.iter().filter(|point| !point.is_reached())
    }

    /// Points that a write has to wait for.
    pub(crate) fn before_write(&self) -> impl Iterator<Item = &P> {
        self.written
            .iter()
            .chain(self.readers.as_slice())
            .chain(self.behind.as_slice())
            .filter(|point| !point.is_reached())
    }

    /// Whether nothing uses the memory any more.
    pub(crate) fn is_idle(&self) -> bool {
        self.before_write().next().is_none()
    }

    /// When the scheduler expects a read to be possible.
    pub(crate) fn written_time(&self) -> Time {
        self.written_time
    }

    /// When it expects a write to be possible.
    pub(crate) fn free_time(&self) -> Time {
        self.free_time
    }

    /// Notes a read that ends at `point`, expected at `time`. It waited for [`before_read`](Self::before_read).
    pub(crate) fn read_until(&mut self, point: &P, time: Time) {
        self.readers.add(point);
        self.free_time = self.free_time.max(time);
    }

    /// Notes a write that ends at `point`, expected at `time`. It waited for
    /// [`before_write`](Self::before_write).
    pub(crate) fn written_at(&mut self, point: &P, time: Time) {
        self.behind.forget_reached();
        for before in self.written.iter().chain(self.readers.as_slice()) {
            if !before.shares_timeline(point) && !before.is_reached() {
                self.behind.add(before);
            }
        }
        match &mut self.written {
            Some(written) => written.clone_from(point),
            written => *written = Some(point.clone()),
        }
        self.readers.clear();
        (self.written_time, self.free_time) = (time, time);
    }
}

#[cfg(test)]
mod tests;
