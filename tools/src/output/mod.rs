//! Writers of decoded pictures.
//!
//! All of them write the conformance window only, in output order.

pub mod file;
pub mod framemd5;
pub mod npy;
pub mod png;
pub mod preview;
pub mod sheet;
pub mod tensors;
#[cfg(test)]
pub(crate) mod testing;
pub mod y4m;
pub mod yuv;

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::decode::Picture;
use crate::exit::Failure;
use file::{OutputFile, Sources, is_dash};

/// What `--format` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Planes Y, Cb, Cr; above 8 bits, 16-bit little-endian words (FFmpeg's rawvideo)
    Yuv,
    /// Y, then Cb and Cr interleaved; 8-bit 4:2:0 only
    Nv12,
    /// As nv12 in 16-bit words with the sample in the upper bits; 10-bit 4:2:0 only
    P010,
    /// YUV4MPEG2, with FFmpeg's tags for depth, chroma siting and range
    Y4m,
    /// MD5 of each picture, as FFmpeg's framemd5
    Framemd5,
    /// One MD5 over the yuv output
    Md5,
    /// One RGB file for each picture, 8 or 16 bits
    Png,
    /// With --tensor: a NumPy array of all pictures, or a file for each batch
    Npy,
    /// Nothing: pictures stay on the GPU (for --stats and --verify)
    Null,
}

impl Format {
    /// The format that a file name's extension stands for.
    pub fn of_path(path: &Path) -> Option<Format> {
        Some(match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "yuv" | "raw" => Format::Yuv,
            "nv12" => Format::Nv12,
            "p010" => Format::P010,
            "y4m" => Format::Y4m,
            "framemd5" => Format::Framemd5,
            "md5" => Format::Md5,
            "png" => Format::Png,
            "npy" => Format::Npy,
            _ => return None,
        })
    }
}

/// Takes pictures in output order.
pub trait Sink {
    /// Writes a picture.
    fn picture(&mut self, picture: &Picture) -> Result<(), Failure>;

    /// Writes a remark about the whole, where the format has room for one.
    fn remark(&mut self, _text: &str) -> Result<(), Failure> {
        Ok(())
    }

    /// Hands on what was written, for those who watch it come.
    fn flush(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// Writes what comes after the last picture, and gives files their names. Without it, what was written of a file is
    /// removed.
    fn finish(self: Box<Self>) -> Result<(), Failure>;
}

/// Where the pictures of one stream go: a file, or standard output.
pub struct Output {
    name: String,
    writer: Writer,
}

enum Writer {
    File(OutputFile),
    #[cfg(test)]
    Any(Box<dyn Write>),
}

impl Output {
    /// Begins a file; `-` or nothing is standard output.
    ///
    /// # Errors
    ///
    /// As [`OutputFile::create`].
    pub fn create(path: Option<&Path>, sources: &Sources) -> Result<Output, Failure> {
        let file = OutputFile::create(path.unwrap_or(Path::new("-")), sources)?;
        Ok(Output { name: file.name().to_owned(), writer: Writer::File(file) })
    }

    /// Any writer.
    #[cfg(test)]
    pub(crate) fn new(name: &str, writer: Box<dyn Write>) -> Output {
        Output { name: name.to_owned(), writer: Writer::Any(writer) }
    }

    /// Writes all of `bytes`, which are what there is of a picture: a reader that waits for them has them at once.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = match &mut self.writer {
            Writer::File(file) if file.is_awaited() => file.write_all(bytes).and_then(|()| file.flush()),
            Writer::File(file) => file.write_all(bytes),
            #[cfg(test)]
            Writer::Any(writer) => writer.write_all(bytes),
        };
        written.map_err(|source| Failure::Output { path: self.name.clone(), source })
    }

    /// Hands on what was written so far.
    pub fn flush(&mut self) -> Result<(), Failure> {
        let flushed = match &mut self.writer {
            Writer::File(file) => file.flush(),
            #[cfg(test)]
            Writer::Any(writer) => writer.flush(),
        };
        flushed.map_err(|source| Failure::Output { path: self.name.clone(), source })
    }

    /// Hands everything on to the system; a file gets its name.
    pub fn commit(self) -> Result<(), Failure> {
        match self.writer {
            Writer::File(file) => file.commit().map(|_| ()),
            #[cfg(test)]
            Writer::Any(_) => Ok(()),
        }
    }
}

/// The writer for `format`, which writes to none of `sources`; `frames` is the number of pictures that there will be at
/// most.
///
/// # Errors
///
/// [`Failure::Usage`] if the path does not fit the format, and as [`OutputFile::create`].
pub fn open(
    format: Format,
    path: Option<&Path>,
    frames: Option<u64>,
    sources: &Sources,
) -> Result<Box<dyn Sink>, Failure> {
    let output = || Output::create(path, sources);
    Ok(match format {
        Format::Yuv => Box::new(yuv::Planar::new(output()?)),
        Format::Nv12 => Box::new(yuv::SemiPlanar::new(output()?, 8)),
        Format::P010 => Box::new(yuv::SemiPlanar::new(output()?, 10)),
        Format::Y4m => Box::new(y4m::Y4m::new(output()?)),
        Format::Framemd5 => Box::new(framemd5::FrameMd5::new(output()?)),
        Format::Md5 => Box::new(framemd5::WholeMd5::new(output()?)),
        Format::Png => Box::new(png::PngFiles::new(png::Names::of(path, frames)?, sources.clone())),
        Format::Npy => {
            let why =
                "npy holds tensors: say which with --tensor SPEC, as in --tensor size=224x224,dtype=f16";
            return Err(Failure::Usage(why.to_owned()));
        }
        Format::Null => Box::new(Null),
    })
}

/// The format and path to write, from what the command line says.
pub fn choose(format: Option<Format>, path: Option<&PathBuf>) -> Result<Format, Failure> {
    match (format, path) {
        (Some(format), _) => Ok(format),
        (None, None) => Ok(Format::Framemd5),
        (None, Some(path)) if is_dash(path) => Ok(Format::Framemd5),
        (None, Some(path)) if path.is_dir() => Ok(Format::Png),
        (None, Some(path)) => Format::of_path(path).ok_or_else(|| {
            Failure::Usage(format!("the extension of {} names no format; say --format", path.display()))
        }),
    }
}

struct Null;

impl Sink for Null {
    fn picture(&mut self, _: &Picture) -> Result<(), Failure> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), Failure> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_follows_the_extension() {
        let choose = |format, path: Option<&str>| super::choose(format, path.map(PathBuf::from).as_ref());
        assert_eq!(choose(None, None).unwrap(), Format::Framemd5);
        assert_eq!(choose(None, Some("-")).unwrap(), Format::Framemd5);
        assert_eq!(choose(None, Some("x.YUV")).unwrap(), Format::Yuv);
        assert_eq!(choose(None, Some("a/%04d.png")).unwrap(), Format::Png);
        assert_eq!(choose(Some(Format::Yuv), Some("x.png")).unwrap(), Format::Yuv);
        assert!(matches!(choose(None, Some("x.mp4")), Err(Failure::Usage(_))));
        assert!(matches!(choose(None, Some("x")), Err(Failure::Usage(_))));
    }

    #[test]
    fn a_file_that_cannot_be_made_is_named() {
        let failure =
            Output::create(Some(Path::new("/nonexistent/x.yuv")), &Sources::default()).err().unwrap();
        assert!(failure.to_string().starts_with("cannot write /nonexistent/x.yuv: "), "{failure}");
    }
}
