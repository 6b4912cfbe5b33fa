//! Which engines decode a stream, and how soon.

use std::fmt;

use hcq::{EngineKind, EngineType};

/// Which engines decode a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engines {
    /// All that the GPU has; while there are other sessions, an equal part of them.
    #[default]
    All,
    /// The one with the least to do when the session begins.
    LeastBusy,
    /// These.
    Set(EngineSet),
}

impl From<EngineType> for Engines {
    fn from(engine: EngineType) -> Self {
        Engines::Set(EngineSet::default().with(engine))
    }
}

/// Which of an engine's two queues a session submits to. The engine takes turns between them, so that a session
/// that wants a picture soon does not stand behind hundreds that were submitted ahead of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// For sessions that look far ahead.
    #[default]
    Bulk,
    /// For sessions that do not.
    Prompt,
}

/// A set of NVDEC engines by number.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct EngineSet(u32);

impl EngineSet {
    /// The set with `engine` in it as well. Engines of another kind than NVDEC are left out.
    #[must_use]
    pub fn with(self, engine: EngineType) -> Self {
        match engine.kind() {
            EngineKind::Nvdec => EngineSet(self.0 | 1 << engine.instance()),
            _ => self,
        }
    }

    /// The engines that are in one of both.
    pub(crate) fn union(self, other: EngineSet) -> Self {
        EngineSet(self.0 | other.0)
    }

    /// The engines that are not in the other set.
    pub(crate) fn minus(self, other: EngineSet) -> Self {
        EngineSet(self.0 & !other.0)
    }

    /// Whether `engine` is in the set.
    pub fn contains(self, engine: EngineType) -> bool {
        engine.kind() == EngineKind::Nvdec && self.0 >> engine.instance() & 1 == 1
    }

    /// Whether some engine is in both.
    pub(crate) fn meets(self, other: EngineSet) -> bool {
        self.0 & other.0 != 0
    }

    /// The engines in ascending order.
    pub fn iter(self) -> impl Iterator<Item = EngineType> {
        let numbers = (0..u32::BITS).filter(move |n| self.0 >> n & 1 == 1);
        numbers.filter_map(|n| EngineType::of(EngineKind::Nvdec, n))
    }

    /// How many engines there are.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// The first `count` of them.
    pub(crate) fn first(self, count: usize) -> EngineSet {
        if self.len() <= count { self } else { self.iter().take(count).collect() }
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<EngineType> for EngineSet {
    fn from_iter<I: IntoIterator<Item = EngineType>>(engines: I) -> Self {
        engines.into_iter().fold(EngineSet::default(), EngineSet::with)
    }
}

impl fmt::Debug for EngineSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|e| e.to_string())).finish()
    }
}
