//! Writers of decoded pictures.
//!
//! All of them write the conformance window only, in output order.

pub mod framemd5;
pub mod png;
pub mod preview;
#[cfg(test)]
pub(crate) mod testing;
pub mod y4m;
pub mod yuv;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::decode::Picture;
use crate::exit::Failure;

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
            _ => return None,
        })
    }
}

/// Takes pictures in output order.
pub trait Sink {
    /// Writes a picture.
    fn picture(&mut self, picture: &Picture) -> Result<(), Failure>;

    /// Writes what comes after the last picture.
    fn finish(&mut self) -> Result<(), Failure>;
}

/// A file or standard output, with its name for messages.
pub struct Output {
    path: String,
    writer: Box<dyn Write>,
}

impl Output {
    /// Creates a file; `-` or nothing is standard output.
    pub fn create(path: Option<&Path>) -> Result<Output, Failure> {
        match path.filter(|path| *path != Path::new("-")) {
            None => {
                Ok(Output::new("standard output", Box::new(BufWriter::with_capacity(1 << 16, io::stdout()))))
            }
            Some(path) => {
                let name = path.display().to_string();
                match File::create(path) {
                    Ok(file) => Ok(Output::new(&name, Box::new(BufWriter::with_capacity(1 << 20, file)))),
                    Err(source) => Err(Failure::Output { path: name, source }),
                }
            }
        }
    }

    /// Any writer.
    pub fn new(path: &str, writer: Box<dyn Write>) -> Output {
        Output { path: path.to_owned(), writer }
    }

    /// Writes all of `bytes`.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.writer.write_all(bytes).map_err(|source| Failure::Output { path: self.path.clone(), source })
    }

    /// Hands everything on to the system.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.writer.flush().map_err(|source| Failure::Output { path: self.path.clone(), source })
    }
}

/// Prints `text` to standard output.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|source| Failure::Output { path: "standard output".to_owned(), source })
}

/// The writer for `format`; `frames` is the number of pictures that there will be at most.
pub fn open(format: Format, path: Option<&Path>, frames: Option<u64>) -> Result<Box<dyn Sink>, Failure> {
    Ok(match format {
        Format::Yuv => Box::new(yuv::Planar::new(Output::create(path)?)),
        Format::Nv12 => Box::new(yuv::SemiPlanar::new(Output::create(path)?, 8)),
        Format::P010 => Box::new(yuv::SemiPlanar::new(Output::create(path)?, 10)),
        Format::Y4m => Box::new(y4m::Y4m::new(Output::create(path)?)),
        Format::Framemd5 => Box::new(framemd5::FrameMd5::new(Output::create(path)?)),
        Format::Md5 => Box::new(framemd5::WholeMd5::new(Output::create(path)?)),
        Format::Png => Box::new(png::PngFiles::new(png::Names::of(path, frames)?)),
        Format::Null => Box::new(Null),
    })
}

/// The format and path to write, from what the command line says.
pub fn choose(format: Option<Format>, path: Option<&PathBuf>) -> Result<Format, Failure> {
    match (format, path) {
        (Some(format), _) => Ok(format),
        (None, None) => Ok(Format::Framemd5),
        (None, Some(path)) if path.as_os_str() == "-" => Ok(Format::Framemd5),
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

    fn finish(&mut self) -> Result<(), Failure> {
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
        let failure = Output::create(Some(Path::new("/nonexistent/x.yuv"))).err().unwrap();
        assert!(failure.to_string().starts_with("cannot write /nonexistent/x.yuv: "), "{failure}");
    }
}
