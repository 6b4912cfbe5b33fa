//! `nvdec-damage`: streams damaged on purpose, and whether the decoder says of each picture what it is.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bitstream::split_annex_b;
use nvdec::{Context, Integrity, OpenOptions};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use serde::Serialize;

use crate::console;
use crate::decode::{Consumer, Picture, Settings, decode};
use crate::device;
use crate::exit::{Exit, Failure};
use crate::message;
use crate::output::framemd5::md5_hex;
use crate::verify::Verification;

/// Bytes of slice data in a packet of a network (RFC 7798, within an Ethernet frame).
const PACKET: usize = 1200;
/// Most pictures that are named, and that text names.
const NAMED: usize = 2000;
const TOLD: usize = 40;

/// What is done to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// NAL units are lost, here and there.
    UnitsLost,
    /// NAL units in a row are lost.
    Burst,
    /// NAL units change places with those behind them.
    Reordered,
    /// NAL units come twice.
    Doubled,
    /// Packets of 1,200 bytes are lost, out of the midst of NAL units too.
    PacketsLost,
    /// Bits are turned over.
    BitsFlipped,
    /// NAL units lose their ends.
    CutShort,
}

const KINDS: [Kind; 7] = [
    Kind::UnitsLost,
    Kind::Burst,
    Kind::Reordered,
    Kind::Doubled,
    Kind::PacketsLost,
    Kind::BitsFlipped,
    Kind::CutShort,
];

impl Kind {
    /// Whether all NAL units that are left are as they were sent.
    pub fn keeps_units_whole(self) -> bool {
        matches!(self, Kind::UnitsLost | Kind::Burst | Kind::Reordered | Kind::Doubled)
    }

    fn name(self) -> &'static str {
        match self {
            Kind::UnitsLost => "units lost",
            Kind::Burst => "burst of units lost",
            Kind::Reordered => "units reordered",
            Kind::Doubled => "units doubled",
            Kind::PacketsLost => "packets lost",
            Kind::BitsFlipped => "bits flipped",
            Kind::CutShort => "units cut short",
        }
    }
}

/// The stream of `units`, damaged by `kind` as `random` decides.
pub fn damage(kind: Kind, units: &[&[u8]], random: &mut Xoshiro256PlusPlus) -> Vec<u8> {
    let mut units: Vec<Vec<u8>> = units.iter().map(|unit| unit.to_vec()).collect();
    let some = |random: &mut Xoshiro256PlusPlus, most: usize| random.random_range(1..=most.max(1));
    let count = units.len();
    let times = some(random, (count / 16).clamp(1, 6));
    match kind {
        Kind::UnitsLost => {
            for _ in 0..times {
                units.remove(random.random_range(0..units.len()));
                if units.is_empty() {
                    break;
                }
            }
        }
        Kind::Burst => {
            let from = random.random_range(0..count);
            let length = some(random, 8).min(count - from);
            units.drain(from..from + length);
        }
        Kind::Reordered => {
            for _ in 0..times {
                let from = random.random_range(0..count);
                let to = (from + some(random, 6)).min(count - 1);
                units[from..=to].rotate_left(1);
            }
        }
        Kind::Doubled => {
            for _ in 0..times {
                let at = random.random_range(0..units.len());
                let again = units[at].clone();
                units.insert(at + some(random, 3).min(units.len() - at), again);
            }
        }
        Kind::PacketsLost => {
            for _ in 0..times {
                let at = random.random_range(0..count);
                let unit = &mut units[at];
                let packet = random.random_range(0..=unit.len() / PACKET);
                let (from, to) = (packet * PACKET, ((packet + 1) * PACKET).min(unit.len()));
                unit.drain(from..to);
            }
        }
        Kind::BitsFlipped => {
            for _ in 0..times {
                let at = random.random_range(0..count);
                let unit = &mut units[at];
                if let Some(bits) = (8 * unit.len()).checked_sub(1) {
                    let bit = random.random_range(0..=bits);
                    unit[bit / 8] ^= 1 << (bit % 8);
                }
            }
        }
        Kind::CutShort => {
            for _ in 0..times {
                let at = random.random_range(0..count);
                let length = random.random_range(0..=units[at].len());
                units[at].truncate(length);
            }
        }
    }
    let mut stream = Vec::new();
    for unit in units.iter().filter(|unit| !unit.is_empty()) {
        stream.extend_from_slice(&[0, 0, 0, 1]);
        stream.extend_from_slice(unit);
    }
    stream
}

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Streams to damage: whole ones, with hashes of their pictures.
    pub sources: Vec<PathBuf>,
    /// How many damaged streams to make.
    pub streams: usize,
    /// What the choice goes by: the same seed makes the same streams.
    pub seed: u64,
    /// Which device.
    pub device: OpenOptions,
    /// Have the decoder compare each picture with its hash.
    pub verify: bool,
    /// Where to leave streams with a picture that is silently wrong.
    pub save: Option<PathBuf>,
    /// Print JSON.
    pub json: bool,
}

/// What was said of pictures, against what they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Streams.
    pub streams: u64,
    /// Pictures put out.
    pub pictures: u64,
    /// Said to be exact, and the same as in the whole stream.
    pub exact_and_right: u64,
    /// Said to be exact, contradicted by no hash, but no picture of the whole stream.
    pub exact_and_unknown: u64,
    /// Said to be exact, and contradicted by the hash that came with it.
    pub exact_and_wrong: u64,
    /// Said not to be exact, and not as in the whole stream.
    pub marked_and_wrong: u64,
    /// Said not to be exact, but the same as in the whole stream.
    pub marked_and_right: u64,
}

/// A picture that is not what is said of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Misjudged {
    /// The source.
    pub source: String,
    /// Number of the damaged stream.
    pub stream: usize,
    /// What was done to it.
    pub kind: Kind,
    /// Position in output order.
    pub picture: u64,
    /// Picture order count.
    pub poc: i32,
    /// What is said of it.
    pub said: String,
}

/// The whole experiment.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Table {
    /// By what was done.
    pub rows: BTreeMap<Kind, Row>,
    /// Wrong pictures that are said to be exact, the first of them.
    pub silent: Vec<Misjudged>,
    /// Right pictures that are said not to be exact, the first of them in streams whose NAL units are whole.
    pub needless: Vec<Misjudged>,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<20} {:>8} {:>9}   exact: {:>9} {:>9} {:>9}   not exact: {:>9} {:>9}",
            "", "streams", "pictures", "right", "unknown", "WRONG", "wrong", "right"
        )?;
        for (kind, row) in &self.rows {
            writeln!(
                f,
                "{:<20} {:>8} {:>9}          {:>9} {:>9} {:>9}              {:>9} {:>9}",
                kind.name(),
                row.streams,
                row.pictures,
                row.exact_and_right,
                row.exact_and_unknown,
                row.exact_and_wrong,
                row.marked_and_wrong,
                row.marked_and_right,
            )?;
        }
        let lists = [("wrong", &self.silent), ("right", &self.needless)];
        for (truth, list) in lists {
            for Misjudged { source, stream, kind, picture, poc, said } in list.iter().take(TOLD) {
                let kind = kind.name();
                writeln!(
                    f,
                    "{truth}, and {said}: {source}, stream {stream}, {kind}, picture {picture}, POC {poc}"
                )?;
            }
        }
        Ok(())
    }
}

/// A picture, and what is said of it.
struct Judged {
    poc: i32,
    md5: String,
    integrity: Integrity,
    contradicted: bool,
}

#[derive(Default)]
struct Judge {
    pictures: Vec<Judged>,
    buffer: Vec<u8>,
    hashed: bool,
    /// Pictures that were decoded and not put out.
    kept_back: u64,
}

impl Consumer for Judge {
    fn picture(&mut self, picture: &mut Picture) -> Result<(), Failure> {
        self.hashed |= picture.hash.is_some();
        let contradicted = !Verification::default().check(picture);
        self.buffer.clear();
        picture.write_planar(&mut self.buffer);
        self.pictures.push(Judged {
            poc: picture.poc,
            md5: md5_hex(&self.buffer),
            integrity: picture.integrity,
            contradicted,
        });
        Ok(())
    }

    fn warning(&mut self, _: nvdec::Error) {}
}

fn judge(
    context: &Arc<Context>,
    name: &str,
    data: &[u8],
    index: usize,
    verify: bool,
) -> Result<Judge, Failure> {
    let mut judge = Judge::default();
    let engine = context.engines()[index % context.engines().len()];
    let settings = Settings { engines: engine.into(), verify, ..Settings::default() };
    let summary = decode(context, name, &mut &*data, settings, &mut judge)?;
    judge.kept_back = summary.statistics.pictures.saturating_sub(summary.pictures);
    Ok(judge)
}

struct Source {
    name: String,
    data: Vec<u8>,
    pictures: HashSet<(i32, String)>,
}

impl Source {
    fn read(context: &Arc<Context>, path: &Path) -> Result<Source, Failure> {
        let name = path.display().to_string();
        let data = std::fs::read(path).map_err(|source| Failure::Input { path: name.clone(), source })?;
        let whole = judge(context, &name, &data, 0, false)?;
        let is_whole = |judged: &Judged| judged.integrity.is_exact() && !judged.contradicted;
        if whole.pictures.is_empty() || !whole.pictures.iter().all(is_whole) || !whole.hashed {
            let why = "it has no hashes of its pictures, or is not whole itself".to_owned();
            return Err(Failure::NothingShown { path: name, why });
        }
        if whole.kept_back > 0 {
            // A damaged stream may put them out, and nothing here would know them.
            let why = format!("{} of its pictures are decoded and not put out", whole.kept_back);
            return Err(Failure::NothingShown { path: name, why });
        }
        let pictures = whole.pictures.into_iter().map(|judged| (judged.poc, judged.md5)).collect();
        Ok(Source { name, data, pictures })
    }
}

/// Makes damaged streams, decodes them, and prints what was said of their pictures.
pub fn run(options: &Options) -> Result<Exit, Failure> {
    let context = device::open(options.device)?;
    let sources: Vec<Source> =
        options.sources.iter().map(|path| Source::read(&context, path)).collect::<Result<_, _>>()?;
    let next = AtomicUsize::new(0);
    let table = Mutex::new(Table::default());
    let failure = Mutex::new(None);
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= options.streams || lock(&failure).is_some() {
                return;
            }
            if let Err(error) = try_stream(&context, &sources[index % sources.len()], index, options, &table)
            {
                lock(&failure).get_or_insert(error);
            }
        }
    };
    let threads = (2 * context.engines().len()).min(options.streams).max(1);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    if let Some(failure) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(failure);
    }
    let mut table = table.into_inner().unwrap_or_else(PoisonError::into_inner);
    for list in [&mut table.silent, &mut table.needless] {
        list.sort_by_key(|misjudged| (misjudged.stream, misjudged.picture));
    }
    match options.json {
        true => console::print(&format!(
            "{}\n",
            serde_json::to_string_pretty(&table).expect("names and numbers alone")
        ))?,
        false => console::print(&table.to_string())?,
    }
    let silent: u64 = table
        .rows
        .iter()
        .filter(|(kind, _)| kind.keeps_units_whole())
        .map(|(_, row)| row.exact_and_wrong)
        .sum();
    if silent > 0 {
        message!("{silent} wrong pictures of streams with whole NAL units were said to be exact");
        return Ok(Exit::Fault);
    }
    Ok(Exit::Success)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn try_stream(
    context: &Arc<Context>,
    source: &Source,
    index: usize,
    options: &Options,
    table: &Mutex<Table>,
) -> Result<(), Failure> {
    // All kinds for each source.
    let kind = KINDS[index / options.sources.len() % KINDS.len()];
    let mut random = Xoshiro256PlusPlus::seed_from_u64(options.seed.wrapping_add(index as u64));
    let units: Vec<&[u8]> = split_annex_b(&source.data).collect();
    let data = damage(kind, &units, &mut random);
    let judged = match judge(context, &source.name, &data, index, options.verify) {
        Ok(judged) => judged.pictures,
        // Nothing is left that could be decoded.
        Err(Failure::NotAnnexB { .. }) => Vec::new(),
        Err(failure) => return Err(failure),
    };
    let mut row = Row { streams: 1, ..Row::default() };
    let (mut silent, mut needless) = (Vec::new(), Vec::new());
    for (picture, judged) in judged.iter().enumerate() {
        row.pictures += 1;
        let misjudged = || Misjudged {
            source: source.name.clone(),
            stream: index,
            kind,
            picture: picture as u64,
            poc: judged.poc,
            said: judged.integrity.to_string(),
        };
        let right = source.pictures.contains(&(judged.poc, judged.md5.clone()));
        *match (judged.integrity.is_exact(), right) {
            (true, true) => &mut row.exact_and_right,
            (true, false) if !judged.contradicted => &mut row.exact_and_unknown,
            (true, false) => {
                silent.push(misjudged());
                &mut row.exact_and_wrong
            }
            (false, false) => &mut row.marked_and_wrong,
            (false, true) => {
                needless.extend(kind.keeps_units_whole().then(misjudged));
                &mut row.marked_and_right
            }
        } += 1;
    }
    if let (Some(folder), false) = (&options.save, silent.is_empty()) {
        let path = folder.join(format!("damaged_{index}.hevc"));
        std::fs::write(&path, &data)
            .map_err(|source| Failure::Output { path: path.display().to_string(), source })?;
    }
    let mut table = lock(table);
    let table = &mut *table;
    let sum = table.rows.entry(kind).or_default();
    for (sum, more) in [
        (&mut sum.streams, row.streams),
        (&mut sum.pictures, row.pictures),
        (&mut sum.exact_and_right, row.exact_and_right),
        (&mut sum.exact_and_unknown, row.exact_and_unknown),
        (&mut sum.exact_and_wrong, row.exact_and_wrong),
        (&mut sum.marked_and_wrong, row.marked_and_wrong),
        (&mut sum.marked_and_right, row.marked_and_right),
    ] {
        *sum += more;
    }
    for (list, more) in [(&mut table.silent, silent), (&mut table.needless, needless)] {
        let room = NAMED.saturating_sub(list.len());
        list.extend(more.into_iter().take(room));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = include_bytes!("../clips/x_wpp.hevc");

    #[test]
    fn the_same_seed_makes_the_same_streams() {
        let units: Vec<&[u8]> = split_annex_b(STREAM).collect();
        for kind in KINDS {
            let made = |seed| damage(kind, &units, &mut Xoshiro256PlusPlus::seed_from_u64(seed));
            assert_eq!(made(1), made(1), "{kind:?}");
            assert!((0..20).any(|seed| made(seed) != STREAM), "{kind:?}");
        }
    }

    #[test]
    fn units_stay_whole_where_that_is_said() {
        let units: HashSet<&[u8]> = split_annex_b(STREAM).collect();
        let all: Vec<&[u8]> = split_annex_b(STREAM).collect();
        for kind in KINDS.into_iter().filter(|kind| kind.keeps_units_whole()) {
            for seed in 0..50 {
                let made = damage(kind, &all, &mut Xoshiro256PlusPlus::seed_from_u64(seed));
                assert!(split_annex_b(&made).all(|unit| units.contains(unit)), "{kind:?} {seed}");
            }
        }
    }

    /// One unit is little to do anything with.
    #[test]
    fn streams_of_one_unit() {
        for kind in KINDS {
            for seed in 0..50 {
                damage(kind, &[&[0x40, 1, 2]], &mut Xoshiro256PlusPlus::seed_from_u64(seed));
            }
        }
    }
}
