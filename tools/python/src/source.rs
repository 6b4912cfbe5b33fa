//! [`File`]: a file, or wherever its bytes are, and the index of its pictures. No GPU is needed for it.

use std::io::Cursor;
use std::path::PathBuf;
use std::sync::Arc;

use nvdec::Video;
use nvdec::video::containers::{self, Container};
use nvdec::video::{Identity, Stamp};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict};

use crate::door::away;
use crate::error::{Failure, Result};
use crate::reader::Reader;

/// What a file is, for the index to be known again.
#[derive(Debug)]
enum Known {
    File(Arc<std::fs::File>, Stamp),
    Bytes(PyBackedBytes),
    /// Of a file-like object it is found out at once: later somebody else may be reading it.
    Identity(Identity),
}

impl Known {
    fn identity(&self) -> Result<Identity> {
        Ok(match self {
            Known::File(file, stamp) => Identity::of_unchanged(file, stamp)?,
            Known::Bytes(bytes) => Identity::of(&mut Cursor::new(bytes))?,
            Known::Identity(identity) => identity.clone(),
        })
    }
}

/// A file with pictures, and where they are.
#[pyclass(frozen, module = "nvdec._core")]
#[derive(Debug)]
pub(crate) struct File {
    video: Video,
    known: Known,
    notes: Vec<String>,
}

/// Time stamp and duration in ticks, whether decoding can begin there, whether others need it.
type Picture = (Option<i64>, Option<i64>, bool, bool);

impl File {
    fn new(container: Container, known: Known, track: Option<usize>, index: Option<&[u8]>) -> Result<File> {
        let tracks = container.tracks().len();
        if let Some(track) = track.filter(|&track| track >= tracks) {
            return Err(nvdec::Error::from(containers::Error::NoTrack { track, tracks }).into());
        }
        let video = match index {
            None => Video::from_container(container, track)?,
            Some(index) => Video::with_index(container, track, index, &known.identity()?)?,
        };
        let notes = video.notes();
        Ok(File { video, known, notes })
    }

    pub(crate) fn video(&self) -> &Video {
        &self.video
    }
}

#[pymethods]
impl File {
    #[staticmethod]
    #[pyo3(signature = (path, track, index))]
    fn open_path(
        py: Python<'_>,
        path: PathBuf,
        track: Option<usize>,
        index: Option<PyBackedBytes>,
    ) -> PyResult<File> {
        away(py, || {
            let failed = |error| Failure::Io { path: Some(path.display().to_string()), error };
            let file = Arc::new(std::fs::File::open(&path).map_err(failed)?);
            let stamp = Stamp::of(&file)?;
            let container = Container::open_file(file.clone()).map_err(|error| match error {
                containers::Error::Io { error, .. } => failed(error),
                error => nvdec::Error::from(error).into(),
            })?;
            File::new(container, Known::File(file, stamp), track, index.as_deref())
        })
    }

    #[staticmethod]
    #[pyo3(signature = (data, track, index))]
    fn open_bytes(
        py: Python<'_>,
        data: PyBackedBytes,
        track: Option<usize>,
        index: Option<PyBackedBytes>,
    ) -> PyResult<File> {
        let again = data.clone_ref(py);
        away(py, move || {
            let container = Container::from_bytes(data).map_err(nvdec::Error::from)?;
            File::new(container, Known::Bytes(again), track, index.as_deref())
        })
    }

    #[staticmethod]
    #[pyo3(signature = (reader, track, index))]
    fn open_reader(
        py: Python<'_>,
        reader: Py<PyAny>,
        track: Option<usize>,
        index: Option<PyBackedBytes>,
    ) -> PyResult<File> {
        let mut again = Reader(reader.clone_ref(py));
        away(py, move || {
            let identity = Identity::of(&mut again)?;
            let container = Container::open(Reader(reader)).map_err(nvdec::Error::from)?;
            File::new(container, Known::Identity(identity), track, index.as_deref())
        })
    }

    fn __len__(&self) -> usize {
        self.video.len()
    }

    /// What container and stream say of the pictures.
    fn info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (index, track) = (self.video.index(), self.video.track());
        let (format, colour, window) = (index.format(), index.colour(), index.window());
        let info = PyDict::new(py);
        info.set_item("codec", format!("{:?}", self.video.codec()).to_lowercase())?;
        info.set_item("container", self.video.container_format().name())?;
        info.set_item("coded_size", index.coded_size())?;
        info.set_item("size", (window.width, window.height))?;
        info.set_item("pixel_aspect", track.pixel_aspect.unwrap_or((1, 1)))?;
        info.set_item("bit_depth", format.bit_depth)?;
        info.set_item("chroma_format", format.chroma.chroma_format_idc())?;
        info.set_item("matrix", colour.matrix)?;
        info.set_item("primaries", colour.primaries)?;
        info.set_item("transfer", colour.transfer)?;
        info.set_item("full_range", colour.full_range)?;
        info.set_item("siting", colour.chroma_location)?;
        info.set_item("rotation", track.rotation())?;
        info.set_item("frame_rate", index.frame_rate())?;
        info.set_item("time_base", index.time_base().map(|base| (base.num, base.den)))?;
        info.set_item("time_range", index.time_range())?;
        info.set_item("frames", index.len())?;
        info.set_item("key_frames", index.keys().collect::<Vec<_>>())?;
        info.set_item("notes", self.notes.clone())?;
        Ok(info)
    }

    /// What the index has of pictures, by their numbers.
    fn pictures(&self, numbers: Vec<usize>) -> PyResult<Vec<Picture>> {
        let index = self.video.index();
        let picture = |number: usize| {
            let picture = index
                .picture(number)
                .ok_or(nvdec::Error::NoPicture { number, pictures: index.len() })
                .map_err(Failure::from)?;
            Ok((picture.pts, picture.duration, picture.key, picture.reference))
        };
        numbers.into_iter().map(picture).collect()
    }

    /// The picture that is shown at a time.
    fn at(&self, seconds: f64) -> Option<usize> {
        self.video.index().at(seconds)
    }

    /// Pictures that are shown in a half-open range of time.
    #[pyo3(signature = (start, stop, fps))]
    fn between(&self, py: Python<'_>, start: f64, stop: f64, fps: Option<f64>) -> PyResult<Vec<usize>> {
        away(py, || Ok(self.video.index().between(start, stop, fps)))
    }

    /// The index as bytes, bound to what the file is now.
    fn store<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = away(py, || Ok(self.video.store_index(&self.known.identity()?)))?;
        Ok(PyBytes::new(py, &bytes))
    }
}
