//! [`Tensor`]: a batch of pictures, in GPU memory, on the host, or handed out.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hcq::{CopyCommands, Patience, Placement, SyncPoint};
use nvdec::tensor::{Dtype, TensorShape};
use nvdec_cuda::dlpack::{self, DataType};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyCapsule, PyMemoryView};

use crate::capsule;
use crate::door::{Owned, away, lock};
use crate::error::{Failure, Kind, Result};
use crate::memory::Place;

/// How long an engine may stand still before a batch.
const PATIENCE: Patience = Patience::WithoutProgress(Duration::from_secs(60));

/// A batch of pictures.
#[pyclass(frozen, module = "nvdec._core")]
#[derive(Debug)]
pub(crate) struct Tensor {
    gpu: Owned<OnGpu>,
    shape: TensorShape,
    numbers: Vec<usize>,
    errors: Vec<Option<String>>,
    /// Pictures of a clip, if they stand in clips: one dimension more.
    clip: Option<usize>,
    /// The same on the host, once somebody wanted it.
    host: Mutex<Option<Host>>,
}

#[derive(Debug)]
struct OnGpu {
    place: Arc<Place>,
    ready: Vec<SyncPoint>,
}

/// Bytes on the host, and a view of them that keeps them from being resized.
#[derive(Debug)]
struct Host {
    bytes: Py<PyByteArray>,
    view: Py<PyMemoryView>,
}

impl Host {
    fn clone_ref(&self, py: Python<'_>) -> Host {
        Host { bytes: self.bytes.clone_ref(py), view: self.view.clone_ref(py) }
    }
}

impl OnGpu {
    fn wait(&self) -> Result<()> {
        self.ready.iter().try_for_each(|point| Ok(point.wait(PATIENCE)?))
    }

    /// Copies all of it to `bytes`.
    fn download(&self, bytes: &mut [u8]) -> Result<()> {
        let buffer = self.place.buffer();
        let context = self.place.gpu().context();
        let staging = context.allocate(buffer.size(), Placement::Sysmem)?;
        let mut commands = CopyCommands::new();
        commands.copy(buffer, &staging)?;
        let point = context.copy_queue()?.submit(&self.ready, &commands)?;
        self.place.use_until(&point);
        // A conversion that was lost with its queue says so; the copy behind it does not.
        self.wait()?;
        point.wait(PATIENCE)?;
        staging.view()?.copy_out(0, bytes);
        Ok(())
    }
}

impl Tensor {
    pub(crate) fn new(
        place: Place,
        shape: TensorShape,
        ready: Vec<SyncPoint>,
        numbers: Vec<usize>,
        errors: Vec<Option<String>>,
    ) -> Tensor {
        let gpu = Owned::new(OnGpu { place: Arc::new(place), ready });
        Tensor { gpu, shape, numbers, errors, clip: None, host: Mutex::default() }
    }

    /// The same pictures as clips of so many each.
    pub(crate) fn in_clips_of(self, frames: usize) -> Tensor {
        Tensor { clip: Some(frames.max(1)), ..self }
    }

    fn bytes(&self) -> u64 {
        self.shape.bytes() * self.numbers.len() as u64
    }

    fn download(&self, py: Python<'_>) -> PyResult<Host> {
        let gpu = self.gpu.get()?;
        let bytes =
            PyByteArray::new_with(py, self.bytes() as usize, |bytes| away(py, || gpu.download(bytes)))?;
        let view = PyMemoryView::from(&bytes)?.unbind();
        Ok(Host { bytes: bytes.unbind(), view })
    }

    fn on_host(&self, py: Python<'_>) -> PyResult<Host> {
        if let Some(host) = &*lock(&self.host) {
            return Ok(host.clone_ref(py));
        }
        let made = self.download(py)?;
        Ok(lock(&self.host).get_or_insert(made).clone_ref(py))
    }

    /// `is_one`: without the first dimension, which is 1.
    fn layout(&self, is_one: bool) -> Result<dlpack::Layout> {
        let dtype = match self.shape.dtype() {
            Dtype::U8 => DataType::U8,
            Dtype::F16 => DataType::F16,
            Dtype::Bf16 => DataType::BF16,
            Dtype::F32 => DataType::F32,
            other => {
                return Err(Failure::new(Kind::Unsupported, format!("{other:?} has no form in DLPack here")));
            }
        };
        let shape: Vec<i64> = self.dims().into_iter().map(|size| size as i64).collect();
        Ok(dlpack::Layout::compact(dtype, &shape[usize::from(is_one)..])?)
    }

    fn dims(&self) -> Vec<usize> {
        let ([a, b, c], count) = (self.shape.dims(), self.numbers.len());
        match self.clip {
            Some(frames) => vec![count / frames, frames, a, b, c],
            None => vec![count, a, b, c],
        }
    }
}

#[pymethods]
impl Tensor {
    /// Pictures, and the dimensions of one.
    #[getter]
    fn shape(&self) -> Vec<usize> {
        self.dims()
    }

    /// Numbers of the pictures.
    #[getter]
    fn numbers(&self) -> Vec<usize> {
        self.numbers.clone()
    }

    /// What is wrong with each picture.
    #[getter]
    fn errors(&self) -> Vec<Option<String>> {
        self.errors.clone()
    }

    /// Bytes of all elements.
    #[getter]
    fn nbytes(&self) -> u64 {
        self.bytes()
    }

    /// Whether the elements are there.
    fn is_ready(&self) -> PyResult<bool> {
        Ok(self.gpu.get()?.ready.iter().all(SyncPoint::is_reached))
    }

    /// Waits for them.
    fn wait(&self, py: Python<'_>) -> PyResult<()> {
        let gpu = self.gpu.get()?;
        away(py, || gpu.wait())
    }

    /// The elements on the host, as bytes. They are copied there once.
    fn host(&self, py: Python<'_>) -> PyResult<Py<PyMemoryView>> {
        Ok(self.on_host(py)?.view)
    }

    /// A capsule of the elements on the host.
    fn dlpack_host<'py>(
        &self,
        py: Python<'py>,
        is_one: bool,
        is_versioned: bool,
        copy: bool,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let host = if copy { self.download(py)? } else { self.on_host(py)? };
        let tensor = capsule::in_bytearray(host.bytes.bind(py), host.view.bind(py), self.layout(is_one)?)?;
        capsule::capsule(py, tensor, is_versioned)
    }

    /// A capsule of the elements in CUDA. The stream of that handle waits for them on the GPU; without one, the caller sees to it.
    fn dlpack_cuda<'py>(
        &self,
        py: Python<'py>,
        is_one: bool,
        is_versioned: bool,
        stream: Option<u64>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let (gpu, layout) = (self.gpu.get()?, self.layout(is_one)?);
        let tensor = away(py, || {
            let place = &gpu.place;
            let cuda = place.gpu().cuda()?;
            let imported = place.imported()?;
            if let Some(stream) = stream {
                // Before it is told to wait: whatever happens then, the memory is not used again before it is through.
                place.use_on(stream);
                cuda.wait_on(place.gpu().context().device(), stream, &gpu.ready)?;
            }
            Ok(dlpack::Tensor::of(&imported, place.buffer(), layout, Box::new(place.clone()))?)
        })?;
        capsule::capsule(py, tensor, is_versioned)
    }

    /// Says that a stream of CUDA reads the elements: the memory is not used again before that is through with what it was told
    /// until the last tensor is let go of.
    fn record_stream(&self, stream: u64) -> PyResult<()> {
        if stream == 0 {
            return Err(
                Failure::new(Kind::Option, "stream: 0 is no handle; 1 is the legacy default stream").into()
            );
        }
        self.gpu.get()?.place.use_on(stream);
        Ok(())
    }
}
