//! [`Lanes`]: a queue for each of the things that queues are for, replaced when it is dead.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hcq::Queue;

use crate::error::{Error, Result};

/// A queue for each `K`. The driver may take long to say what killed a channel, and to make a new one: whoever waits for that
/// holds up only those who want the same queue.
#[derive(Debug)]
pub(super) struct Lanes<K, Q> {
    lanes: Vec<(K, Lane<Q>)>,
}

#[derive(Debug)]
struct Lane<Q> {
    queue: Mutex<Option<Q>>,
    /// Held by the one who replaces the queue. The queue before that one, which is dead: to free its channel took the driver
    /// 16 ms while it was still busy with what had killed it.
    before: Mutex<Option<Q>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Copy + PartialEq + std::fmt::Debug, Q: Clone> Lanes<K, Q> {
    /// A lane for each of `keys`; none has a queue yet.
    pub(super) fn new(keys: impl Iterator<Item = K>) -> Self {
        let lane = || Lane { queue: Mutex::new(None), before: Mutex::new(None) };
        Lanes { lanes: keys.map(|key| (key, lane())).collect() }
    }

    pub(super) fn len(&self) -> usize {
        self.lanes.len()
    }

    /// Where among the keys `key` is.
    pub(super) fn position(&self, key: K) -> Option<usize> {
        self.lanes.iter().position(|(known, _)| *known == key)
    }

    /// All queues that there are.
    pub(super) fn all(&self) -> impl Iterator<Item = Q> {
        self.lanes.iter().filter_map(|(_, lane)| lock(&lane.queue).clone())
    }

    /// The queue of `key`, made by `make` if there is none or it is dead; and whether it was. `below` is what tells.
    ///
    /// # Errors
    ///
    /// Those of `make`, and [`Error::Hardware`] if there is no lane for `key`.
    pub(super) fn get(
        &self,
        key: K,
        below: impl Fn(&Q) -> &Arc<Queue>,
        make: impl FnOnce() -> Result<Q>,
    ) -> Result<(Q, bool)> {
        let Some(at) = self.position(key) else {
            return Err(Error::Hardware(format!("the GPU has no engine for {key:?}")));
        };
        let lane = &self.lanes[at].1;
        let good = || {
            let queue = lock(&lane.queue).clone();
            queue.filter(|queue| below(queue).check().is_ok())
        };
        if let Some(queue) = good() {
            return Ok((queue, false));
        }
        let mut before = lock(&lane.before);
        // Another one may have been first.
        if let Some(queue) = good() {
            return Ok((queue, false));
        }
        let queue = make()?;
        log::debug!("{key:?} has a new channel");
        let dead = lock(&lane.queue).replace(queue.clone());
        let long_dead = std::mem::replace(&mut *before, dead);
        drop(before);
        // Under no lock: the last to have it has its channel freed.
        drop(long_dead);
        Ok((queue, true))
    }

    /// Lets go of dead queues.
    pub(super) fn bury(&self) {
        for (_, lane) in &self.lanes {
            let dead = lock(&lane.before).take();
            drop(dead);
        }
    }
}
