//! `nvdec-probe FILE`: what a file is, before anything of it is decoded: which GPU generations can decode it, how much memory that
//! takes, and how many engines it keeps at work. Needs no GPU.

mod access;
mod structure;
mod text;

use std::path::Path;
use std::sync::Arc;

use hcq::Device;
use hevc::{Pps, Sps};
use nvdec::class::{VIDEO_CLASSES, VideoClass};
use nvdec::{Codec, Context, Decoder, DecoderOptions, Mode};
use serde::Serialize;

use crate::console;
use crate::exit::{Exit, Failure};
use crate::film::report::ContainerReport;
use crate::film::{self, Film};
use crate::input::{self, Given, other::Reader};
use crate::parse::text::{pps_tools, sps_tools};
use crate::parse::{ParsedStream, parse_container};
use crate::probe;
use access::Access;
use structure::Structure;

/// A file as it was found. Field names are those of the JSON output.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// Version of this format.
    pub schema: u32,
    /// The file.
    pub file: String,
    /// Bytes of the stream in it.
    pub bytes: u64,
    /// The container, or byte stream, and its tracks.
    pub container: ContainerReport,
    /// What each of its sequence parameter sets says that pictures use.
    pub sequences: Vec<Sequence>,
    /// Where decoding can begin.
    pub access: Access,
    /// What refers to what.
    pub structure: Structure,
    /// Which generation of GPUs decodes it, newest first.
    pub classes: Vec<ClassVerdict>,
    /// The GPU memory that it takes.
    pub memory: Memory,
    /// What of the stream could not be read, at most 50 of them.
    pub errors: Vec<String>,
    /// How many NAL units could not be read.
    pub error_count: u64,
    /// Whether this machine can decode at all.
    pub this_machine: String,
}

/// What a sequence parameter set says.
#[derive(Clone, Debug, Serialize)]
pub struct Sequence {
    /// Profile, by its name if it has one.
    pub profile: String,
    /// `Main` or `High`.
    pub tier: &'static str,
    /// Level, such as 4.1.
    pub level: String,
    /// Width and height of what is shown.
    pub size: (u32, u32),
    /// Width and height of what is coded.
    pub coded_size: (u32, u32),
    /// `4:2:0` and so on.
    pub chroma: &'static str,
    /// Bits of luma.
    pub bit_depth: u8,
    /// Bits of chroma.
    pub chroma_bit_depth: u8,
    /// Pictures that may be shown before one that is decoded before them.
    pub reorder: u8,
    /// Pictures that a decoder has to keep, the one that it decodes included.
    pub dpb: usize,
    /// Sub-layers.
    pub temporal_layers: usize,
    /// Coding tools that it and its picture parameter sets allow.
    pub tools: Vec<&'static str>,
    /// Columns and rows of tiles, of each picture parameter set that has some.
    pub tiles: Vec<(u32, u32)>,
}

/// Whether a class of engines decodes it.
#[derive(Clone, Debug, Serialize)]
pub struct ClassVerdict {
    /// Number of the class.
    pub class: String,
    /// Generation of GPUs.
    pub generation: &'static str,
    /// Whether this project has decoded pictures with it on hardware.
    pub proven: bool,
    /// Whether it decodes the whole of it.
    pub decodes: bool,
    /// Why not: the syntax element and the limit.
    pub reason: Option<String>,
}

/// GPU memory for surfaces, motion vectors and what engines work in, on the seven engines of an H200.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Memory {
    /// Bytes in the mode balanced.
    pub balanced: Option<u64>,
    /// Bytes in the mode throughput.
    pub throughput: Option<u64>,
    /// Why they are not known.
    pub unknown: Option<String>,
}

/// Explains the file, prints to standard output, and says how the program ends.
///
/// # Errors
///
/// [`Failure::Input`] and [`Failure::Container`] if it cannot be read, [`Failure::NotAnnexB`] if it is something else, and
/// [`Failure::NoPicture`].
pub fn run(path: &Path, track: Option<usize>, json: bool) -> Result<Exit, Failure> {
    let (name, file) = match input::open_any(path, Reader::Parse, false)? {
        Given::Container(name, file) => (name, file),
        Given::Stream(input) if track.is_some() => return Err(film::no_tracks(input.name())),
        Given::Stream(input) => input.into_file().map_err(|input| {
            Failure::Usage(format!("{} is no file, which it has to be; write it to one", input.name()))
        })?,
    };
    let container = film::open(&name, file)?;
    let track = film::choose(&name, &container, track)?;
    let (parsed, film) = parse_container(&name, container, track)?;
    let (bytes, nal_units) = (parsed.bytes, parsed.nal_units);
    let film = match film {
        Ok(film) => film,
        Err(failure) if failure.exit() == Exit::Unavailable => return Err(failure),
        Err(_) => return Err(Failure::NoPicture { path: name, bytes, nal_units }),
    };
    let explanation = explain(&name, parsed, &film);
    let text = match json {
        true => serde_json::to_string_pretty(&explanation).expect("it has string keys only") + "\n",
        false => text::render(&explanation),
    };
    console::print(&text)?;
    let is_decoded = explanation.classes.iter().any(|class| class.decodes);
    Ok(if is_decoded { Exit::Success } else { Exit::Unavailable })
}

/// What a film is, of which all NAL units were parsed.
fn explain(name: &str, parsed: ParsedStream, film: &Film) -> Explanation {
    let classes: Vec<ClassVerdict> = VIDEO_CLASSES.iter().map(|class| verdict(&parsed.used, class)).collect();
    Explanation {
        schema: 1,
        file: name.to_owned(),
        bytes: parsed.bytes,
        sequences: sequences(&parsed.used),
        access: Access::of(&parsed, film),
        structure: Structure::of(&parsed, film),
        classes,
        memory: memory(film),
        container: parsed.container.expect("it was parsed as a container"),
        errors: parsed.errors,
        error_count: parsed.error_count,
        this_machine: probe::verdict(),
    }
}

fn sequences(used: &[(Arc<Sps>, Arc<Pps>)]) -> Vec<Sequence> {
    let mut seen: Vec<&Arc<Sps>> = Vec::new();
    used.iter().for_each(|(sps, _)| {
        if !seen.contains(&sps) {
            seen.push(sps);
        }
    });
    let of = |sps: &Arc<Sps>| {
        let of_it = || used.iter().filter(|(other, _)| other == sps).map(|(_, pps)| pps);
        let mut tools = sps_tools(sps);
        let mut tiles = Vec::new();
        for pps in of_it() {
            let new: Vec<_> = pps_tools(pps).into_iter().filter(|tool| !tools.contains(tool)).collect();
            tools.extend(new);
            if let Some(grid) = &pps.tiles {
                let grid = (grid.num_tile_columns, grid.num_tile_rows);
                if !tiles.contains(&grid) {
                    tiles.push(grid);
                }
            }
        }
        let ptl = &sps.profile_tier_level;
        let profile = ptl.general.name();
        let (major, minor) = ptl.level();
        let crop = sps.crop();
        Sequence {
            profile: profile.map_or_else(|| format!("profile {}", ptl.general.profile_idc), str::to_owned),
            tier: ptl.tier_name(),
            level: format!("{major}.{minor}"),
            size: (crop.width, crop.height),
            coded_size: (sps.pic_width_in_luma_samples, sps.pic_height_in_luma_samples),
            chroma: ["4:0:0", "4:2:0", "4:2:2", "4:4:4"][usize::from(sps.chroma_format_idc & 3)],
            bit_depth: sps.bit_depth_luma,
            chroma_bit_depth: sps.bit_depth_chroma,
            reorder: sps.highest_sub_layer_ordering().max_num_reorder_pics,
            dpb: sps.max_dec_pic_buffering(),
            temporal_layers: sps.sub_layer_ordering.len(),
            tools,
            tiles,
        }
    };
    seen.into_iter().map(of).collect()
}

/// Whether engines of `class` decode pictures with these parameter sets, all of them.
fn verdict(used: &[(Arc<Sps>, Arc<Pps>)], class: &VideoClass) -> ClassVerdict {
    let refusal = used.iter().find_map(|(sps, pps)| {
        nvdec::hevc::check(sps, class).and_then(|()| nvdec::hevc::check_pps(pps, sps, class)).err()
    });
    ClassVerdict {
        class: format!("{:#06x}", class.class),
        generation: class.generation,
        proven: class.proven,
        decodes: refusal.is_none(),
        reason: refusal.map(|error| error.to_string()),
    }
}

/// What a decoder would take. The emulated GPU has the memory of an H200, and is asked with the first picture.
fn memory(film: &Film) -> Memory {
    let price = |mode| -> nvdec::Result<Option<u64>> {
        let kernel = nvdec::emulated::h200().map_err(|source| nvdec::Error::Source { source })?;
        let context = Context::new(Device::open(Arc::new(kernel), 0)?)?;
        let options = DecoderOptions::default().with_mode(mode).with_max_luma_samples(u64::MAX);
        let mut decoder = Decoder::new(&context, Codec::Hevc, options)?;
        let mut frames = decoder.frames(film.video().select([0])?);
        frames.next().transpose()?;
        drop(frames);
        Ok(decoder.price().map(|price| price.total()))
    };
    match (price(Mode::Balanced), price(Mode::Throughput)) {
        (Ok(balanced), Ok(throughput)) => Memory { balanced, throughput, unknown: None },
        (Err(error), _) | (_, Err(error)) => Memory { unknown: Some(error.to_string()), ..Memory::default() },
    }
}

#[cfg(test)]
mod tests;
