//! Sample tables (ISO/IEC 14496-12, 8.6 and 8.7), expanded sample by sample: memory is that of the boxes, whatever they claim.

use mp4_atom::{Co64, Ctts, CttsEntry, Stco, Stsc, StscEntry, Stss, Stsz, StszSamples, Stts, SttsEntry};

use super::boxes::Inner;
use crate::error::Result;

/// A sample as the tables have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) offset: u64,
    pub(super) size: u32,
    /// Decoding time on the time line of the media.
    pub(super) dts: i64,
    /// Ticks until the next one is decoded.
    pub(super) delta: u32,
    /// From decoding to composition time.
    pub(super) composition: i64,
    pub(super) sync: bool,
    /// `sample_description_index`, from 1.
    pub(super) entry: u32,
}

/// The tables of a track.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    pub(super) sizes: Sizes,
    pub(super) times: Vec<SttsEntry>,
    pub(super) compositions: Vec<CttsEntry>,
    pub(super) chunks: Vec<StscEntry>,
    pub(super) chunk_offsets: Vec<u64>,
    /// Sync samples in ascending order, from 1; `None` if all are.
    pub(super) sync: Option<Vec<u32>>,
}

/// Sizes of samples.
#[derive(Clone, Debug)]
pub(super) enum Sizes {
    Same { count: u32, size: u32 },
    Each(Vec<u32>),
}

impl Default for Sizes {
    fn default() -> Self {
        Sizes::Each(Vec::new())
    }
}

impl Sizes {
    pub(super) fn count(&self) -> u32 {
        match self {
            Sizes::Same { count, .. } => *count,
            Sizes::Each(sizes) => u32::try_from(sizes.len()).unwrap_or(u32::MAX),
        }
    }

    fn get(&self, index: u32) -> u32 {
        match self {
            Sizes::Same { size, .. } => *size,
            Sizes::Each(sizes) => sizes.get(index as usize).copied().unwrap_or(0),
        }
    }

    /// The sizes of an `stz2` box, which mp4-atom does not have.
    fn compact(stz2: Inner<'_>) -> Result<Sizes> {
        let [bits] = stz2.array(7)?;
        let count = u32::from_be_bytes(stz2.array(8)?) as usize;
        let data = stz2.body.get(12..).unwrap_or_default();
        let sizes: Vec<u32> = match bits {
            4 => data
                .iter()
                .flat_map(|byte| [u32::from(byte >> 4), u32::from(byte & 15)])
                .take(count)
                .collect(),
            8 => data.iter().map(|&byte| byte.into()).take(count).collect(),
            16 => {
                data.as_chunks().0.iter().map(|&pair| u16::from_be_bytes(pair).into()).take(count).collect()
            }
            _ => return Err(stz2.damaged(format!("its field_size is {bits}; 4, 8 and 16 are allowed"))),
        };
        if sizes.len() < count {
            return Err(stz2.damaged(format!("it holds {} of its {count} sizes", sizes.len())));
        }
        Ok(Sizes::Each(sizes))
    }
}

impl Tables {
    /// The tables in an `stbl` box of a source with `available` bytes.
    pub(super) fn new(stbl: Inner<'_>, available: u64) -> Result<Tables> {
        let mut tables = Tables::default();
        for child in stbl.children() {
            let child = child?;
            match &child.kind.0 {
                b"stsz" => {
                    tables.sizes = match child.decode::<Stsz>()?.samples {
                        StszSamples::Identical { count, size } => Sizes::Same { count, size },
                        StszSamples::Different { sizes } => Sizes::Each(sizes),
                    };
                    let count = tables.sizes.count();
                    if u64::from(count) > available {
                        return Err(child.damaged(format!(
                            "it claims {count} samples, more than the file has bytes ({available})"
                        )));
                    }
                }
                b"stz2" => tables.sizes = Sizes::compact(child)?,
                b"stts" => tables.times = child.decode::<Stts>()?.entries,
                b"ctts" => tables.compositions = child.decode::<Ctts>()?.entries,
                b"stsc" => {
                    tables.chunks = child.decode::<Stsc>()?.entries;
                    let first = tables.chunks.first().map_or(1, |entry| entry.first_chunk);
                    let ascends = tables.chunks.is_sorted_by(|a, b| a.first_chunk < b.first_chunk);
                    if first != 1 || !ascends {
                        return Err(child.damaged("its first_chunk does not begin at 1 or does not ascend"));
                    }
                }
                b"stco" => {
                    let stco: Stco = child.decode()?;
                    tables.chunk_offsets = stco.entries.into_iter().map(u64::from).collect();
                }
                b"co64" => tables.chunk_offsets = child.decode::<Co64>()?.entries,
                b"stss" => {
                    let mut sync = child.decode::<Stss>()?.entries;
                    sync.sort_unstable();
                    tables.sync = Some(sync);
                }
                _ => {}
            }
        }
        Ok(tables)
    }

    /// The samples in decoding order: as many as sizes and chunks have in common.
    pub(super) fn samples(&self) -> Samples<'_> {
        Samples {
            tables: self,
            index: 0,
            next_chunk: 0,
            run: 0,
            left: 0,
            entry: 1,
            offset: 0,
            dts: 0,
            times: Runs::new(&self.times, |entry| (entry.sample_count, entry.sample_delta)),
            // Version 0 is unsigned, but QuickTime and writers after it put negative numbers there.
            compositions: Runs::new(&self.compositions, |entry| {
                (entry.sample_count, entry.sample_offset as u32 as i32)
            }),
            sync: self.sync.as_deref().unwrap_or_default(),
        }
    }

    /// Samples that `stts` has no duration for, and those that `ctts` has no offset for although it is there.
    pub(super) fn uncovered(&self) -> (u64, u64) {
        let count = u64::from(self.sizes.count());
        let times: u64 = self.times.iter().map(|entry| u64::from(entry.sample_count)).sum();
        let compositions: u64 = self.compositions.iter().map(|entry| u64::from(entry.sample_count)).sum();
        let compositions = if self.compositions.is_empty() { count } else { compositions };
        (count.saturating_sub(times), count.saturating_sub(compositions))
    }
}

/// A table that says how often each value comes.
#[derive(Clone, Debug)]
struct Runs<'a, E, V> {
    entries: std::slice::Iter<'a, E>,
    of: fn(&E) -> (u32, V),
    left: u32,
    value: V,
}

impl<'a, E, V: Copy + Default> Runs<'a, E, V> {
    fn new(entries: &'a [E], of: fn(&E) -> (u32, V)) -> Self {
        Runs { entries: entries.iter(), of, left: 0, value: V::default() }
    }

    /// The next value; `None` if there is none.
    fn next(&mut self) -> Option<V> {
        while self.left == 0 {
            let (count, value) = (self.of)(self.entries.next()?);
            if count > 0 {
                (self.left, self.value) = (count, value);
            }
        }
        self.left -= 1;
        Some(self.value)
    }
}

/// The samples of a track; made by [`Tables::samples`].
#[derive(Clone, Debug)]
pub(super) struct Samples<'a> {
    tables: &'a Tables,
    /// Of the next sample, from 0.
    index: u32,
    /// The chunk behind the one of the next sample, from 0.
    next_chunk: usize,
    /// The entry of `stsc` that the chunk belongs to.
    run: usize,
    /// Samples of the chunk that are still to come.
    left: u32,
    entry: u32,
    offset: u64,
    dts: i64,
    times: Runs<'a, SttsEntry, u32>,
    compositions: Runs<'a, CttsEntry, i32>,
    /// Sync samples that are still to come.
    sync: &'a [u32],
}

impl Iterator for Samples<'_> {
    type Item = Sample;

    fn next(&mut self) -> Option<Sample> {
        if self.index >= self.tables.sizes.count() {
            return None;
        }
        while self.left == 0 {
            self.offset = *self.tables.chunk_offsets.get(self.next_chunk)?;
            self.next_chunk += 1;
            let behind = self.tables.chunks.get(self.run + 1);
            if behind.is_some_and(|entry| entry.first_chunk as usize <= self.next_chunk) {
                self.run += 1;
            }
            let run = self.tables.chunks.get(self.run)?;
            (self.left, self.entry) = (run.samples_per_chunk, run.sample_description_index);
        }
        let size = self.tables.sizes.get(self.index);
        // What has no duration of its own lasts as long as the one before.
        let delta = self.times.next().unwrap_or(self.times.value);
        let composition = self.compositions.next().unwrap_or(0);
        self.index += 1;
        self.left -= 1;
        while self.sync.first().is_some_and(|&first| first < self.index) {
            self.sync = &self.sync[1..];
        }
        let sample = Sample {
            offset: self.offset,
            size,
            dts: self.dts,
            delta,
            composition: composition.into(),
            sync: self.tables.sync.is_none() || self.sync.first() == Some(&self.index),
            entry: self.entry,
        };
        self.offset = self.offset.saturating_add(size.into());
        self.dts = self.dts.saturating_add(delta.into());
        Some(sample)
    }
}

#[cfg(test)]
mod tests;
