//! NumPy's `.npy`: an array of tensors in one file, which `numpy.load` reads.

use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use nvdec::tensor::Dtype;

use super::file::{OutputFile, Sources};
use crate::exit::Failure;

/// Bytes of the header, whatever the shape: it is written once more when the number of pictures is known.
const HEADER_BYTES: usize = 128;

/// A file of arrays one after the other, all of one shape.
#[derive(Debug)]
pub struct Npy {
    file: OutputFile,
    /// What the first picture has.
    shape: Option<(Dtype, [usize; 3])>,
    pictures: u64,
}

impl Npy {
    /// Begins a file.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] if `path` is no file: the number of pictures stands in its header, and is known at the end alone.
    pub fn create(path: &Path, sources: &Sources) -> Result<Npy, Failure> {
        if !super::file::is_replaced(path)? {
            return Err(Failure::Usage(format!(
                "{} is no file: the header of an array says how many pictures there are, which is known at the end; \
                 use -o FILE.npy",
                path.display()
            )));
        }
        let mut file = OutputFile::create(path, sources)?;
        // The place of the header.
        let written = file.write_all(&[b' '; HEADER_BYTES]);
        written.map_err(|source| Failure::Output { path: file.name().to_owned(), source })?;
        Ok(Npy { file, shape: None, pictures: 0 })
    }

    /// Type and dimensions of a picture, once there was one.
    pub fn shape(&self) -> Option<(Dtype, [usize; 3])> {
        self.shape
    }

    /// Appends elements of so many pictures, which have the shape of those before.
    ///
    /// # Errors
    ///
    /// [`Failure::Output`].
    pub fn write(
        &mut self,
        elements: &[u8],
        pictures: u64,
        shape: (Dtype, [usize; 3]),
    ) -> Result<(), Failure> {
        debug_assert!(self.shape.is_none_or(|before| before == shape));
        self.shape = Some(shape);
        self.pictures += pictures;
        let name = self.file.name().to_owned();
        self.file.write_all(elements).map_err(|source| Failure::Output { path: name, source })
    }

    /// Writes type and shape, which has no element if there was no picture, and gives the file its name.
    ///
    /// # Errors
    ///
    /// [`Failure::Output`].
    pub fn finish(mut self) -> Result<(), Failure> {
        let (dtype, dims) = self.shape.unwrap_or((Dtype::U8, [0; 3]));
        let header = header(dtype, self.pictures, dims);
        let written = self.file.seek(SeekFrom::Start(0)).and_then(|_| self.file.write_all(&header));
        written.map_err(|source| Failure::Output { path: self.file.name().to_owned(), source })?;
        self.file.commit().map(|_| ())
    }
}

/// Version 1.0 of the format. NumPy has no bfloat16: those are 16-bit words there.
fn header(dtype: Dtype, pictures: u64, [a, b, c]: [usize; 3]) -> [u8; HEADER_BYTES] {
    let descr = match dtype {
        Dtype::U8 => "|u1",
        Dtype::F16 => "<f2",
        Dtype::F32 => "<f4",
        _ => "<u2",
    };
    let mut header = [b' '; HEADER_BYTES];
    let text =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({pictures}, {a}, {b}, {c}), }}");
    header[..8].copy_from_slice(b"\x93NUMPY\x01\x00");
    header[8..10].copy_from_slice(&(HEADER_BYTES as u16 - 10).to_le_bytes());
    header[10..10 + text.len()].copy_from_slice(text.as_bytes());
    header[HEADER_BYTES - 1] = b'\n';
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_type_and_shape() {
        let header = header(Dtype::F16, 720, [3, 224, 224]);
        assert_eq!(&header[..10], b"\x93NUMPY\x01\x00\x76\x00");
        let text = std::str::from_utf8(&header[10..]).unwrap();
        assert!(text.starts_with("{'descr': '<f2', 'fortran_order': False, 'shape': (720, 3, 224, 224), }"));
        assert!(text.ends_with(" \n"));
        // The largest numbers leave room.
        assert_eq!(super::header(Dtype::U8, u64::MAX, [16384, 16384, 16384])[HEADER_BYTES - 2], b' ');
    }
}
