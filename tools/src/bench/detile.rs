//! How fast the copy engine makes block-linear surfaces pitch-linear, to host memory and to GPU memory.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hcq::{CopyCommands, PitchPlane, Placement, SyncPoint};
use nvdec::{Context, SurfaceFormat, SurfaceGeometry};
use serde::Serialize;

use super::measure::{Spread, ratio};
use crate::exit::Failure;

/// Copies under way at a time.
const IN_FLIGHT: usize = 8;
/// How long a copy may take before its engine counts as stuck.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What to copy.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Width and height in luma samples.
    pub size: (u32, u32),
    /// Format of the samples.
    pub format: SurfaceFormat,
    /// Pictures in a round.
    pub pictures: u32,
    /// Rounds; one before them is not timed.
    pub rounds: u32,
}

/// What came of it. Field names are those of the JSON output.
#[derive(Clone, Debug, Serialize)]
pub struct Detiled {
    /// Width and height in luma samples.
    pub size: (u32, u32),
    /// Format of the samples, such as NV12.
    pub format: String,
    /// Bytes of a picture as copied.
    pub bytes: u64,
    /// Pictures in a round.
    pub pictures: u32,
    /// Rounds.
    pub rounds: u32,
    /// To each kind of memory.
    pub rows: Vec<Row>,
}

/// Copies to one kind of memory.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// `host memory` or `GPU memory`.
    pub to: String,
    /// Pictures a second.
    pub pictures_per_second: Spread,
    /// Bytes a second, in units of 10^9.
    pub gb_per_second: Spread,
}

/// Copies surfaces.
///
/// # Errors
///
/// Those of the copy engine.
pub fn run(context: &Arc<Context>, options: &Options) -> Result<Detiled, Failure> {
    let (width, height) = options.size;
    let geometry = SurfaceGeometry::new(options.format, width, height);
    let mut rows = Vec::new();
    let mut bytes = 0;
    for to in [Placement::Sysmem, Placement::Vidmem] {
        let mut rates = Vec::new();
        for round in 0..=options.rounds {
            let (seconds, each) = copy(context, geometry, options.pictures, to)?;
            bytes = each;
            if round > 0 {
                rates.push(ratio(f64::from(options.pictures), seconds));
            }
        }
        rows.push(Row {
            to: to.to_string(),
            pictures_per_second: Spread::of(rates.iter().copied()),
            gb_per_second: Spread::of(rates.iter().map(|rate| rate * bytes as f64 / 1e9)),
        });
    }
    Ok(Detiled {
        size: options.size,
        format: options.format.to_string(),
        bytes,
        pictures: options.pictures,
        rounds: options.rounds,
        rows,
    })
}

/// Copies so many pictures; the seconds that it took, and the bytes of each.
fn copy(
    context: &Arc<Context>,
    geometry: SurfaceGeometry,
    pictures: u32,
    to: Placement,
) -> nvdec::Result<(f64, u64)> {
    let surface = context.surface(geometry)?;
    let (sub_width, sub_height) = geometry.format.subsampling();
    let sample = geometry.format.bytes_per_sample();
    let planes = [
        (surface.luma(), geometry.width * sample, geometry.height),
        (
            surface.chroma(),
            2 * geometry.width.div_ceil(sub_width) * sample,
            geometry.height.div_ceil(sub_height),
        ),
    ];
    let size = |&(_, width, lines): &(_, u32, u32)| u64::from(width.next_multiple_of(64)) * u64::from(lines);
    let total: u64 = planes.iter().map(size).sum();
    let buffers = (0..IN_FLIGHT).map(|_| context.device().allocate(total, to));
    let buffers = buffers.collect::<hcq::Result<Vec<_>>>()?;
    let queue = context.copy_queue()?;
    let mut flight: VecDeque<SyncPoint> = VecDeque::new();
    let begin = Instant::now();
    for at in 0..pictures as usize {
        if flight.len() == IN_FLIGHT
            && let Some(oldest) = flight.pop_front()
        {
            oldest.wait(TIMEOUT)?;
        }
        let mut commands = CopyCommands::new();
        let mut offset = 0;
        for plane in &planes {
            let (source, width, lines) = plane;
            let buffer = buffers[at % IN_FLIGHT].slice(offset, size(plane));
            let target = PitchPlane { buffer, pitch: width.next_multiple_of(64) };
            commands.detile(source, &target, *width, *lines)?;
            offset += size(plane);
        }
        flight.push_back(queue.submit(&[], commands)?);
    }
    for point in flight {
        point.wait(TIMEOUT)?;
    }
    let bytes = planes.iter().map(|&(_, width, lines)| u64::from(width) * u64::from(lines)).sum();
    Ok((begin.elapsed().as_secs_f64(), bytes))
}

impl fmt::Display for Detiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Detiled { size: (width, height), format, bytes, pictures, rounds, rows } = self;
        writeln!(f, "{width}x{height} {format}, {bytes} bytes; {pictures} pictures, {rounds} rounds")?;
        for Row { to, pictures_per_second, gb_per_second } in rows {
            writeln!(f, "to {to:12} {pictures_per_second:.0} pictures/s, {gb_per_second:.2} GB/s")?;
        }
        Ok(())
    }
}
