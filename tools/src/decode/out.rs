//! [`Out`]: where the pictures of a program go, by what its command line says.

use std::path::Path;
use std::sync::Arc;

use nvdec::Context;
use nvdec::tensor::{TensorPool, TensorSpec};

use super::TENSORS;
use super::material::Material;
use crate::exit::Failure;
use crate::film::wanted::Wanted;
use crate::output::file::Sources;
use crate::output::sheet::{Sheet, Tile};
use crate::output::tensors::TensorSink;
use crate::output::{self, Format, Sink};

/// Where the pictures go, as such or as tensors.
pub(super) enum Out {
    Pictures(Box<dyn Sink>),
    Tensors(Box<TensorSink>),
    Sheet(Box<Sheet>),
}

impl Out {
    /// What writes, and memory for the tensors that it takes.
    pub(super) fn open(
        format: Format,
        path: Option<&Path>,
        tensor: Option<&(TensorSpec, usize)>,
        wanted: &Wanted,
        material: &Material,
        context: &Arc<Context>,
        sources: &Sources,
    ) -> Result<(Out, Option<TensorPool>), Failure> {
        if let (Some(grid), Material::Film(film, numbers)) = (wanted.spread, material) {
            let tile = Tile::of(film.video(), grid);
            let sheet = Sheet::create(path, grid, tile.size, numbers.len(), sources)?;
            return Ok((Out::Sheet(Box::new(sheet)), Some(pool(context, &tile.spec, 1, format)?)));
        }
        let Some((spec, pictures)) = tensor else {
            let frames = match material {
                Material::Stream(_) => wanted.frames,
                Material::Film(_, numbers) => Some(numbers.len() as u64),
            };
            return Ok((Out::Pictures(output::open(format, path, frames, sources)?), None));
        };
        let pool = pool(context, spec, *pictures, format)?;
        let sink = TensorSink::open(format, path, &spec.to_string(), sources)?;
        Ok((Out::Tensors(Box::new(sink)), Some(pool)))
    }

    pub(super) fn remark(&mut self, text: &str) -> Result<(), Failure> {
        match self {
            Out::Pictures(sink) => sink.remark(text),
            Out::Tensors(sink) => sink.remark(text),
            Out::Sheet(_) => Ok(()),
        }
    }

    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        match self {
            Out::Pictures(sink) => sink.flush(),
            Out::Tensors(sink) => sink.flush(),
            Out::Sheet(_) => Ok(()),
        }
    }

    pub(super) fn finish(self) -> Result<(), Failure> {
        match self {
            Out::Pictures(sink) => sink.finish(),
            Out::Tensors(sink) => sink.finish(),
            Out::Sheet(sheet) => sheet.finish(),
        }
    }
}

/// Memory for tensors of `pictures` each. What is not read on the host stays on the GPU.
fn pool(
    context: &Arc<Context>,
    spec: &TensorSpec,
    pictures: usize,
    format: Format,
) -> Result<TensorPool, Failure> {
    let pool = match format {
        Format::Null => TensorPool::new(context, spec, pictures, TENSORS),
        _ => TensorPool::in_host_memory(context, spec, pictures, TENSORS),
    };
    match pool {
        Err(error @ nvdec::Error::TensorSpec { .. }) => Err(Failure::Usage(error.to_string())),
        pool => Ok(pool?),
    }
}
