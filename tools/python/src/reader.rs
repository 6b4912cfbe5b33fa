//! [`Reader`]: a file-like object of Python as a source of bytes.

use std::io::{self, Read, Seek, SeekFrom};

use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Reads and seeks by the methods of those names. Takes Python's lock for as long as they run.
#[derive(Debug)]
pub(crate) struct Reader(pub(crate) Py<PyAny>);

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Python::attach(|py| {
            let read = self.0.bind(py).call_method1("read", (buffer.len(),))?;
            let bytes = read.cast_into::<PyBytes>().map_err(PyErr::from)?;
            let bytes = bytes.as_bytes();
            let part = buffer.get_mut(..bytes.len()).ok_or_else(|| {
                PyErr::new::<pyo3::exceptions::PyValueError, _>("read() gave more bytes than were asked for")
            })?;
            part.copy_from_slice(bytes);
            Ok(bytes.len())
        })
        .map_err(io::Error::other::<PyErr>)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (offset, whence) = match to {
            SeekFrom::Start(offset) => (i128::from(offset), 0),
            SeekFrom::Current(offset) => (i128::from(offset), 1),
            SeekFrom::End(offset) => (i128::from(offset), 2),
        };
        Python::attach(|py| {
            let at = self.0.bind(py).call_method1("seek", (offset, whence))?;
            // Some say nothing.
            if at.is_none() { self.0.bind(py).call_method0("tell")?.extract() } else { at.extract() }
        })
        .map_err(io::Error::other::<PyErr>)
    }
}
