//! Ping-pong between a copy queue of ours and a stream of CUDA in one process, over memory of ours that CUDA has mapped.
//!
//! Every round, ours fills an area and writes a word; CUDA waits for the word, copies the area away, fills another one and
//! writes a second word; ours waits for that and copies it away. The CPU waits for nothing until all is over. Then every
//! word of every round is compared; and all once more without any wait, to see that this can go wrong.
//!
//! ```sh
//! cargo run --release -p nvdec-cuda --example share -- [--rounds 300] [--bytes 1048576] [--gpu 0]
//! ```
//!
//! Prints JSON. Ends with 1 if a word was wrong behind a wait, with 2 if none was wrong without: then the test tells nothing.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hcq::{
    CopyCommands, CopyQueue, Device, DeviceBuffer, LinuxKernel, Outside, Patience, Placement, SharedWord,
};
use nvdec_cuda::{Cuda, Imported, PrimaryContext, Promised, Stream};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const PATIENCE: Patience = Patience::WithoutProgress(Duration::from_secs(5));
/// Where the areas begin: words lie before.
const AREAS: u64 = 4096;

struct Options {
    rounds: u32,
    bytes: u64,
    gpu: usize,
}

fn options() -> Result<Options> {
    let mut options = Options { rounds: 300, bytes: 1 << 20, gpu: 0 };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or("an option without a value")?;
        match name.as_str() {
            "--rounds" => options.rounds = value.parse()?,
            "--bytes" => options.bytes = value.parse()?,
            "--gpu" => options.gpu = value.parse()?,
            _ => return Err(format!("no option {name}").into()),
        }
    }
    let fits = (4096..=64 << 20).contains(&options.bytes) && options.bytes.is_multiple_of(4096);
    if !fits || !(1..=10_000).contains(&options.rounds) {
        return Err("--bytes is a multiple of 4096 up to 64 MiB, --rounds at most 10000".into());
    }
    Ok(options)
}

/// What ours writes in a round, and what CUDA answers.
fn ping(round: u32) -> u32 {
    0x1000_0000 | round
}

fn pong(round: u32) -> u32 {
    0x2000_0000 | round
}

struct Table {
    device: Device,
    context: PrimaryContext,
    queue: CopyQueue,
    stream: Stream,
    imported: Imported,
    /// Area that ours writes, and the one that CUDA does.
    areas: [DeviceBuffer; 2],
    words: [SharedWord; 2],
}

/// What came of some rounds.
struct Outcome {
    microseconds: f64,
    wrong_at_cuda: u64,
    wrong_at_ours: u64,
}

impl Table {
    fn set(options: &Options) -> Result<(Table, f64)> {
        let device = Device::open(Arc::new(LinuxKernel::new()), options.gpu)?;
        let context = Cuda::load()?.context_of(&device)?;
        let pool = device.allocate(AREAS + 2 * options.bytes, Placement::Vidmem)?;
        let started = Instant::now();
        let imported = Imported::new(&context, &pool)?;
        let milliseconds = started.elapsed().as_secs_f64() * 1e3;
        let area = |number: u64| pool.slice(AREAS + number * options.bytes, options.bytes);
        let table = Table {
            queue: CopyQueue::new(&device, None)?,
            stream: context.new_stream()?,
            areas: [area(0), area(1)],
            words: [SharedWord::new(&pool, 0)?, SharedWord::new(&pool, 64)?],
            imported,
            context,
            device,
        };
        Ok((table, milliseconds))
    }

    fn clear(&self) -> Result<()> {
        for (area, word) in self.areas.iter().zip(&self.words) {
            word.store(0)?;
            let mut commands = CopyCommands::new();
            commands.fill(area, 0xdead_beef)?;
            self.queue.submit(&[], commands)?.wait(PATIENCE)?;
        }
        Ok(())
    }

    fn play(&self, rounds: u32, with_waits: bool) -> Result<Outcome> {
        self.clear()?;
        let bytes = self.areas[0].size();
        let all = u64::from(rounds) * bytes;
        let at_cuda = self.context.allocate(all)?;
        let at_ours = self.device.allocate(all, Placement::Vidmem)?;
        let [to, from] = &self.words;
        let offsets = [self.imported.offset(&self.areas[0])?, self.imported.offset(&self.areas[1])?];
        let started = Instant::now();
        let mut last = None;
        for round in 1..=rounds {
            let place = u64::from(round - 1) * bytes;
            let before = [from.at(round - 1)];
            let mut commands = CopyCommands::new();
            commands.fill(&self.areas[0], ping(round))?;
            let words = if with_waits { &before[..] } else { &[] };
            let promised = Promised::copy(&self.queue, &[], words, commands, to.at(round))?;

            if with_waits {
                self.imported.wait(&self.stream, &promised)?;
            }
            self.stream.copy_from(self.imported.memory(), offsets[0], &at_cuda, place, bytes)?;
            self.stream.fill(self.imported.memory(), offsets[1], bytes / 4, pong(round))?;
            self.imported.write(&self.stream, &from.at(round))?;

            let mut commands = CopyCommands::new();
            commands.copy(&self.areas[1], &at_ours.slice(place, bytes))?;
            let answered = [from.at(round)];
            let waits = if with_waits { &answered[..] } else { &[] };
            last = Some(self.queue.submit_with(&[], Outside { waits, signals: &[] }, commands)?);
        }
        if let Some(last) = last {
            last.wait(PATIENCE)?;
        }
        self.stream.synchronize()?;
        let microseconds = started.elapsed().as_secs_f64() * 1e6 / f64::from(rounds);

        let staging = self.device.allocate(bytes, Placement::Sysmem)?;
        let mut seen = vec![0; bytes as usize];
        let (mut wrong_at_cuda, mut wrong_at_ours) = (0, 0);
        for round in 1..=rounds {
            let place = u64::from(round - 1) * bytes;
            at_cuda.read(place, &mut seen)?;
            wrong_at_cuda += wrong(&seen, ping(round));
            let mut commands = CopyCommands::new();
            commands.copy(&at_ours.slice(place, bytes), &staging)?;
            self.queue.submit(&[], commands)?.wait(PATIENCE)?;
            staging.view()?.copy_out(0, &mut seen);
            wrong_at_ours += wrong(&seen, pong(round));
        }
        Ok(Outcome { microseconds, wrong_at_cuda, wrong_at_ours })
    }

    /// Microseconds of a round without any data: ours, CUDA, ours.
    fn empty(&self, rounds: u32) -> Result<f64> {
        self.clear()?;
        let [to, from] = &self.words;
        let started = Instant::now();
        let mut last = None;
        for round in 1..=rounds {
            let (waits, signals) = ([from.at(round - 1)], [to.at(round)]);
            let promised = Promised::copy(&self.queue, &[], &waits, CopyCommands::new(), signals[0].clone())?;
            self.imported.wait(&self.stream, &promised)?;
            self.imported.write(&self.stream, &from.at(round))?;
            last = Some(promised);
        }
        if let Some(last) = last {
            last.settle(PATIENCE)?;
        }
        self.stream.synchronize()?;
        Ok(started.elapsed().as_secs_f64() * 1e6 / f64::from(rounds))
    }
}

fn wrong(bytes: &[u8], wanted: u32) -> u64 {
    bytes.chunks_exact(4).filter(|word| *word != wanted.to_ne_bytes()).count() as u64
}

fn run() -> Result<ExitCode> {
    let options = options()?;
    let (table, import) = Table::set(&options)?;
    let empty = table.empty(400)?;
    let with = table.play(options.rounds, true)?;
    let without = table.play(options.rounds, false)?;
    let words = u64::from(options.rounds) * options.bytes / 4;
    let outcome = |outcome: &Outcome| {
        format!(
            "{{\"us_per_round\": {:.1}, \"words_each_way\": {words}, \"wrong_at_cuda\": {}, \"wrong_at_ours\": {}}}",
            outcome.microseconds, outcome.wrong_at_cuda, outcome.wrong_at_ours
        )
    };
    println!(
        "{{\"gpu\": \"{}\", \"driver\": \"{}\", \"cuda\": {}, \"rounds\": {}, \"bytes\": {}, \"export_import_map_ms\": {import:.3}, \
         \"empty_round_us\": {empty:.2}, \"with_waits\": {}, \"without\": {}}}",
        table.device.name()?,
        table.device.driver_version(),
        Cuda::load()?.version()?,
        options.rounds,
        options.bytes,
        outcome(&with),
        outcome(&without),
    );
    Ok(match (with.wrong_at_cuda + with.wrong_at_ours, without.wrong_at_cuda + without.wrong_at_ours) {
        (0, 1..) => ExitCode::SUCCESS,
        (0, 0) => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    })
}

fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        eprintln!("share: {error}");
        ExitCode::FAILURE
    })
}
