//! Writers of tensors: NumPy arrays, and the MD5 of each picture's elements.

use std::path::{Path, PathBuf};

use nvdec::tensor::Dtype;

use super::file::{Sources, is_dash};
use super::framemd5::md5_hex;
use super::npy::Npy;
use super::png::Names;
use super::{Format, Output};
use crate::decode::Batch;
use crate::exit::Failure;

/// Takes tensors in output order.
pub enum TensorSink {
    /// All pictures as one array.
    Array(Npy),
    /// An array for each batch.
    Arrays {
        /// Of the files.
        names: Names,
        /// What must not be written to.
        sources: Sources,
        /// Files so far.
        written: u64,
    },
    /// A line for each picture.
    Sums {
        /// Where they go.
        output: Output,
        /// What the header says of the spec.
        spec: String,
        /// Of the pictures before.
        shape: Option<(Dtype, [usize; 3])>,
    },
    /// Nothing: tensors stay on the GPU.
    Null,
}

/// What is written of tensors, from what the command line says.
///
/// # Errors
///
/// [`Failure::Usage`] for formats of pictures.
pub fn choose(format: Option<Format>, path: Option<&PathBuf>) -> Result<Format, Failure> {
    let by_name = match path {
        Some(path) if path.is_dir() => Some(Format::Npy),
        Some(path) if !is_dash(path) => Format::of_path(path),
        _ => Some(Format::Framemd5),
    };
    match format.or(by_name) {
        Some(format @ (Format::Npy | Format::Null | Format::Framemd5)) => Ok(format),
        _ => Err(Failure::Usage(
            "tensors are written as npy (-o OUT.npy), as framemd5 (the MD5 of each), or not at all (-f null)"
                .to_owned(),
        )),
    }
}

impl TensorSink {
    /// The writer for `format`, which writes to none of `sources`.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] if the path does not fit the format, and as
    /// [`OutputFile::create`](super::file::OutputFile::create).
    pub fn open(
        format: Format,
        path: Option<&Path>,
        spec: &str,
        sources: &Sources,
    ) -> Result<TensorSink, Failure> {
        match (format, path) {
            (Format::Npy, Some(path)) if !is_dash(path) => Ok(match Names::series(path, "npy")? {
                Some(names) => TensorSink::Arrays { names, sources: sources.clone(), written: 0 },
                None => TensorSink::Array(Npy::create(path, sources)?),
            }),
            (Format::Npy, _) => Err(Failure::Usage(
                "npy writes files: give -o NAME.npy, or -o %04d.npy for one file a batch".to_owned(),
            )),
            (Format::Null, _) => Ok(TensorSink::Null),
            (_, path) => {
                let (output, spec) = (Output::create(path, sources)?, spec.to_owned());
                Ok(TensorSink::Sums { output, spec, shape: None })
            }
        }
    }

    /// Writes a tensor.
    ///
    /// # Errors
    ///
    /// [`Failure::Format`] if the pictures have another shape than those before and the file holds one;
    /// [`Failure::Output`].
    pub fn tensor(&mut self, batch: &Batch) -> Result<(), Failure> {
        let [count, a, b, c] = batch.tensor.shape();
        let shape = (batch.tensor.dtype(), [a, b, c]);
        match self {
            TensorSink::Array(file) => {
                if let Some((_, [before_a, before_b, before_c])) =
                    file.shape().filter(|before| *before != shape)
                {
                    return Err(Failure::Format {
                        picture: batch.index,
                        reason: format!(
                            "an array holds pictures of one shape, they change from {before_a}x{before_b}x{before_c} to \
                             {a}x{b}x{c} here; give all of them one size, as in --tensor size=224x224, or write a file \
                             for each batch, as in -o out-%04d.npy"
                        ),
                    });
                }
                file.write(&batch.tensor.to_host()?, count as u64, shape)
            }
            TensorSink::Arrays { names, sources, written } => {
                let mut file = Npy::create(&names.name(*written), sources)?;
                *written += 1;
                file.write(&batch.tensor.to_host()?, count as u64, shape)?;
                file.finish()
            }
            TensorSink::Sums { output, spec, shape: before } => {
                if before.is_none() {
                    output.write(header(spec).as_bytes())?;
                }
                if before.replace(shape) != Some(shape) {
                    let layout = format!("{:?}", batch.tensor.layout()).to_lowercase();
                    let dtype = format!("{:?}", shape.0).to_lowercase();
                    output.write(format!("#shape: {a}x{b}x{c} {layout} {dtype}\n").as_bytes())?;
                }
                let elements = batch.tensor.to_host()?;
                let size = elements.len() / count.max(1);
                let pictures = batch.tensor.pictures().iter().zip(elements.chunks(size.max(1)));
                for ((picture, elements), index) in pictures.zip(batch.index..) {
                    let (poc, sum) = (picture.poc(), md5_hex(elements));
                    // Pictures of a film have numbers.
                    let index = picture.times().opaque.unwrap_or(index);
                    output.write(format!("{index:>8}, {poc:>8}, {size:>10}, {sum}\n").as_bytes())?;
                }
                Ok(())
            }
            TensorSink::Null => Ok(()),
        }
    }

    /// Writes a remark about the whole, where there is room for one.
    ///
    /// # Errors
    ///
    /// [`Failure::Output`].
    pub fn remark(&mut self, text: &str) -> Result<(), Failure> {
        match self {
            TensorSink::Sums { output, .. } => output.write(format!("#{text}\n").as_bytes()),
            _ => Ok(()),
        }
    }

    /// Hands on what was written.
    ///
    /// # Errors
    ///
    /// [`Failure::Output`].
    pub fn flush(&mut self) -> Result<(), Failure> {
        match self {
            TensorSink::Sums { output, .. } => output.flush(),
            _ => Ok(()),
        }
    }

    /// Ends the file, and gives it its name.
    ///
    /// # Errors
    ///
    /// [`Failure::Output`].
    pub fn finish(self) -> Result<(), Failure> {
        match self {
            TensorSink::Array(file) => file.finish(),
            TensorSink::Sums { output, .. } => output.commit(),
            TensorSink::Arrays { .. } | TensorSink::Null => Ok(()),
        }
    }
}

fn header(spec: &str) -> String {
    format!(
        "#format: tensor checksums\n\
         #version: 1\n\
         #hash: MD5\n\
         #software: nvdec-decode {version}\n\
         #spec: {spec}\n\
         #picture,     poc,       size, hash\n",
        version = env!("CARGO_PKG_VERSION"),
    )
}
