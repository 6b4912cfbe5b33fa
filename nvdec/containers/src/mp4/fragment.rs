//! Movie fragments (ISO/IEC 14496-12, 8.8).

use mp4_atom::{Tfdt, Tfhd, Trex, Trun, TrunSamples};

use super::boxes::{Inner, Kind};
use super::table::Sample;
use crate::error::Result;

/// `sample_is_non_sync_sample` of sample flags.
const NON_SYNC: u32 = 1 << 16;

/// A `moof` box.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment<'a> {
    /// Its content.
    pub(super) body: &'a [u8],
    /// Where the box begins in the source.
    pub(super) offset: u64,
    /// Where its content does.
    pub(super) content: u64,
}

/// What goes on from one sample to the next, and from one fragment to the next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// Decoding time of the next sample on the time line of the media.
    pub(super) dts: i64,
    /// Samples that had no bytes.
    pub(super) empty: u64,
}

/// Defaults of a `traf` box: its own, or those of `trex`.
struct Defaults {
    duration: u32,
    size: u32,
    flags: u32,
    entry: u32,
}

impl Fragment<'_> {
    /// Gives each sample of track `id` to `take`, until that says to stop; whether it did.
    pub(super) fn samples(
        &self,
        id: u64,
        trex: Option<&Trex>,
        progress: &mut Progress,
        mut take: impl FnMut(Sample) -> Result<bool>,
    ) -> Result<bool> {
        let moof = Inner { kind: Kind(*b"moof"), body: self.body, offset: self.content };
        // Where data of a traf without a base lies: behind those of the one before.
        let mut base = self.offset;
        for traf in moof.children() {
            let traf = traf?;
            if traf.kind.0 != *b"traf" {
                continue;
            }
            let mut tfhd: Option<Tfhd> = None;
            let mut tfdt: Option<Tfdt> = None;
            for child in traf.children() {
                let child = child?;
                match &child.kind.0 {
                    b"tfhd" => tfhd = Some(child.decode()?),
                    b"tfdt" => tfdt = Some(child.decode()?),
                    _ => {}
                }
            }
            let tfhd = tfhd.ok_or_else(|| traf.damaged("it has no tfhd box"))?;
            let is_ours = u64::from(tfhd.track_id) == id;
            if let Some(tfdt) = tfdt.filter(|_| is_ours) {
                progress.dts = i64::try_from(tfdt.base_media_decode_time).unwrap_or(i64::MAX);
            }
            let defaults = Defaults {
                duration: tfhd
                    .default_sample_duration
                    .or(trex.map(|trex| trex.default_sample_duration))
                    .unwrap_or(0),
                size: tfhd.default_sample_size.or(trex.map(|trex| trex.default_sample_size)).unwrap_or(0),
                flags: tfhd.default_sample_flags.or(trex.map(|trex| trex.default_sample_flags)).unwrap_or(0),
                entry: tfhd
                    .sample_description_index
                    .or(trex.map(|trex| trex.default_sample_description_index))
                    .unwrap_or(1),
            };
            let start = match tfhd.base_data_offset {
                Some(offset) => offset,
                None if tfhd.default_base_is_moof => self.offset,
                None => base,
            };
            let mut next = start;
            for child in traf.children() {
                let child = child?;
                if child.kind.0 != *b"trun" {
                    continue;
                }
                let trun: Trun = child.decode()?;
                if let Some(offset) = trun.data_offset {
                    let at = start.checked_add_signed(offset.into());
                    next = at.ok_or_else(|| {
                        child.damaged(format!("its data_offset is {offset}, in front of the file"))
                    })?;
                }
                if !is_ours {
                    next = next.saturating_add(bytes(&trun.samples, &defaults));
                } else if run(&trun.samples, &defaults, &mut next, progress, &mut take)? {
                    return Ok(true);
                }
            }
            base = next;
        }
        Ok(false)
    }
}

/// Bytes of all samples of a run.
fn bytes(samples: &TrunSamples, defaults: &Defaults) -> u64 {
    match samples {
        TrunSamples::Inherited { count, .. } => u64::from(*count) * u64::from(defaults.size),
        TrunSamples::Explicit(entries) => {
            entries.iter().map(|entry| u64::from(entry.size.unwrap_or(defaults.size))).sum()
        }
    }
}

fn run(
    samples: &TrunSamples,
    defaults: &Defaults,
    next: &mut u64,
    progress: &mut Progress,
    take: &mut impl FnMut(Sample) -> Result<bool>,
) -> Result<bool> {
    match samples {
        // A count of samples without bytes may be any.
        &TrunSamples::Inherited { count, .. } if defaults.size == 0 => {
            let ticks = i64::from(count).saturating_mul(defaults.duration.into());
            progress.dts = progress.dts.saturating_add(ticks);
            progress.empty += u64::from(count);
            return Ok(false);
        }
        _ => {}
    }
    for entry in samples {
        let delta = entry.duration.unwrap_or(defaults.duration);
        let sample = Sample {
            offset: *next,
            size: entry.size.unwrap_or(defaults.size),
            dts: progress.dts,
            delta,
            // As in ctts.
            composition: (entry.cts.unwrap_or(0) as i32).into(),
            sync: entry.flags.unwrap_or(defaults.flags) & NON_SYNC == 0,
            entry: defaults.entry,
        };
        *next = next.saturating_add(sample.size.into());
        progress.dts = progress.dts.saturating_add(delta.into());
        if take(sample)? {
            return Ok(true);
        }
    }
    Ok(false)
}
