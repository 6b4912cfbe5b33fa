//! [`price`]: what decoding and converting a file takes, before any of it is decoded.

use hcq::{Placement, allocation_size};
use nvdec::tensor::{TensorShape, TensorSpec};
use nvdec::{DecoderOptions, Engines};
use pyo3::prelude::*;

use crate::decode::{batches_ahead, engines};
use crate::door::away;
use crate::error::{Failure, Kind, Result};
use crate::gpu::Gpu;
use crate::memory::UNIT;
use crate::source::File;
use crate::wanted::Wanted;

/// Bytes of GPU memory of a decoder, of a batch of so many pictures, and how many batches there are at a time when they are read one
/// after the other.
#[pyfunction]
#[pyo3(signature = (file, devices, spec, engine_numbers, pictures, skips))]
pub(crate) fn price(
    py: Python<'_>,
    file: &Bound<'_, File>,
    devices: Vec<String>,
    spec: &str,
    engine_numbers: Option<Vec<u32>>,
    pictures: usize,
    skips: bool,
) -> PyResult<(u64, u64, usize)> {
    let video = file.get().video().clone();
    away(py, || {
        let spec: TensorSpec = spec.parse()?;
        let engines: Engines = engines(engine_numbers)?;
        let (gpu, _) = Gpu::look(&Wanted::parse(&devices)?)?;
        let present = gpu.context().engines();
        if let Engines::Set(set) = engines
            && let Some(missing) = set.iter().find(|engine| !present.contains(engine))
        {
            return Err(Failure::new(Kind::Option, format!("engines: the GPU has no {missing}")));
        }
        let options = DecoderOptions::default().with_engines(engines).with_tensors(true);
        let decoder = video.price(gpu.context(), options)?.total();
        let window = video.index().window();
        let each = TensorShape::for_picture(&spec, window.width, window.height)?.bytes();
        let (asked, batch) = batch_of(each, pictures)?;
        let all = video.len().div_ceil(pictures.max(1));
        // The one that the caller has, the one that comes next, and those behind that.
        let ahead = batches_ahead(pictures, asked, 1);
        // A batch of which pictures are left out is copied.
        Ok((decoder, batch, (ahead + 2).min(all) + usize::from(skips)))
    })
}

/// Bytes that are asked for, and those that are taken.
fn batch_of(each: u64, pictures: usize) -> Result<(u64, u64)> {
    let asked = each.checked_mul(pictures as u64);
    let whole = asked.and_then(|asked| Some((asked, asked.max(1).checked_next_multiple_of(UNIT)?)));
    let (asked, whole) =
        whole.ok_or_else(|| Failure::new(Kind::OutOfMemory, "the batch is larger than an address space"))?;
    Ok((asked, allocation_size(whole, Placement::Vidmem)))
}
