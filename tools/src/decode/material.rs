//! [`Material`]: what a program decodes, by what its command line says.

use std::path::Path;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nvdec::{Policy, Start};

use crate::exit::Failure;
use crate::film::{Film, wanted::Wanted};
use crate::input::other::Reader;
use crate::input::{self, Given, Input};

/// What is decoded.
pub(super) enum Material {
    /// A stream from its beginning.
    Stream(Input),
    /// Pictures of a film, by their numbers.
    Film(Film, Vec<usize>),
}

impl Material {
    pub(super) fn open(
        path: &Path,
        track: Option<usize>,
        wanted: &Wanted,
        whole_access_units: bool,
        begin_at: Start,
        policy: Policy,
    ) -> Result<Material, Failure> {
        let given = input::open_any(path, Reader::Decode, whole_access_units)?;
        let (name, file) = match given {
            Given::Container(name, file) => (name, file),
            Given::Stream(input) if !wanted.is_choice() && track.is_none() => {
                return Ok(Material::Stream(input));
            }
            Given::Stream(input) => input.into_file().map_err(|input| {
                Failure::Usage(format!(
                    "{} is no file, so that its pictures can be had one after the other only; leave out --start, --end, --at, \
                     --numbers, --every, --thumbnails and --track, or write it to a file",
                    input.name()
                ))
            })?,
        };
        // Which pictures there are is known before any is decoded, and then they cannot be more.
        if begin_at == Start::Any {
            return Err(Failure::Usage(format!(
                "{name}: --begin any is for byte streams that are decoded from their beginning"
            )));
        }
        let film = Film::open(&name, file, track)?;
        let mut wanted = wanted.clone();
        if matches!(policy, Policy::Skip) {
            // Others may come out in the place of those that are skipped.
            wanted.frames = None;
        }
        let numbers = wanted.of(&film)?;
        Ok(Material::Film(film, numbers))
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Material::Stream(input) => input.name(),
            Material::Film(film, _) => film.name(),
        }
    }

    /// A progress bar on standard error, hidden when that is no terminal.
    pub(super) fn bar(&self) -> ProgressBar {
        let (size, template) = match self {
            Material::Stream(input) if input.size().is_some() => {
                (input.size(), "{bar:30} {bytes}/{total_bytes}  {msg}  {eta} left")
            }
            Material::Stream(_) => (None, "{spinner} {bytes}  {msg}"),
            Material::Film(film, numbers) => {
                let planned = film.video().select(numbers.iter().copied());
                let planned = planned.map_or(0, |selection| selection.coded_pictures_left());
                (Some(planned as u64), "{bar:30} {pos}/{len} sent  {msg}  {eta} left")
            }
        };
        let bar = ProgressBar::with_draw_target(size, ProgressDrawTarget::stderr_with_hz(10));
        bar.with_style(ProgressStyle::with_template(template).expect("a fixed template"))
    }
}
