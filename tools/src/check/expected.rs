//! Expected MD5 sums of pictures, and the comparison with them.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::output::framemd5::md5_hex;

/// One picture of a `.framemd5` file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedPicture {
    /// Bytes.
    pub size: u64,
    /// Lower-case hexadecimal digits.
    pub md5: String,
}

/// A `.framemd5` file: what the pictures of a stream must be, in output order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// The pictures.
    pub pictures: Vec<ExpectedPicture>,
}

/// A file that is no list of picture sums.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExpectedError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line is not `stream, dts, pts, duration, size, md5`.
    #[error("line {line} of the framemd5 file is not \"stream, dts, pts, duration, size, md5\"")]
    Line {
        /// Its number, from 1.
        line: usize,
    },
}

impl Expected {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Expected, ExpectedError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ExpectedError::Read { path: path.display().to_string(), source })?;
        Expected::parse(&text)
    }

    /// Reads the lines of stream 0; whatever starts with `#` says nothing of the samples.
    pub fn parse(text: &str) -> Result<Expected, ExpectedError> {
        let mut pictures = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let error = ExpectedError::Line { line: index + 1 };
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            let [stream, _, _, _, size, md5] = fields[..] else { return Err(error) };
            let (Ok(size), 32, true) = (size.parse(), md5.len(), md5.bytes().all(|b| b.is_ascii_hexdigit()))
            else {
                return Err(error);
            };
            if stream == "0" {
                pictures.push(ExpectedPicture { size, md5: md5.to_ascii_lowercase() });
            }
        }
        Ok(Expected { pictures })
    }
}

/// How a stream is not what was expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "difference", rename_all = "kebab-case")]
pub enum Difference {
    /// The samples of a picture.
    Samples {
        /// Position in output order.
        picture: u64,
        /// Its picture order count.
        poc: i32,
        /// MD5 expected.
        expected: String,
        /// MD5 of what was decoded.
        decoded: String,
    },
    /// The size of a picture in bytes.
    Size {
        /// Position in output order.
        picture: u64,
        /// Its picture order count.
        poc: i32,
        /// Bytes expected.
        expected: u64,
        /// Bytes decoded.
        decoded: u64,
    },
    /// The number of pictures; those that are there are right.
    Count {
        /// Pictures expected.
        expected: u64,
        /// Pictures decoded.
        decoded: u64,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Samples { picture, poc, expected, decoded } => {
                write!(f, "from picture {picture} (POC {poc}): MD5 {decoded}, expected {expected}")
            }
            Difference::Size { picture, poc, expected, decoded } => {
                write!(f, "from picture {picture} (POC {poc}): {decoded} bytes, expected {expected}")
            }
            Difference::Count { expected, decoded } => write!(f, "{decoded} pictures, expected {expected}"),
        }
    }
}

/// Compares pictures as they come.
#[derive(Clone, Debug)]
pub struct Comparison<'a> {
    expected: &'a Expected,
    compared: u64,
    difference: Option<Difference>,
}

impl<'a> Comparison<'a> {
    /// A comparison with `expected`.
    pub fn new(expected: &'a Expected) -> Self {
        Comparison { expected, compared: 0, difference: None }
    }

    /// Compares the next picture in output order, given as planar samples.
    pub fn picture(&mut self, samples: &[u8], poc: i32) {
        let picture = self.compared;
        self.compared += 1;
        // After the first difference nothing more is learnt; a picture too many shows in the count.
        let (None, Some(wanted)) = (&self.difference, self.expected.pictures.get(picture as usize)) else {
            return;
        };
        let size = samples.len() as u64;
        if size != wanted.size {
            self.difference = Some(Difference::Size { picture, poc, expected: wanted.size, decoded: size });
            return;
        }
        let decoded = md5_hex(samples);
        if decoded != wanted.md5 {
            self.difference =
                Some(Difference::Samples { picture, poc, expected: wanted.md5.clone(), decoded });
        }
    }

    /// Pictures compared so far.
    pub fn compared(&self) -> u64 {
        self.compared
    }

    /// The first difference so far.
    pub fn difference(&self) -> Option<&Difference> {
        self.difference.as_ref()
    }

    /// The first difference, now that the stream has ended.
    pub fn finish(self) -> Option<Difference> {
        let expected = self.expected.pictures.len() as u64;
        self.difference.or_else(|| {
            (self.compared != expected).then_some(Difference::Count { expected, decoded: self.compared })
        })
    }
}
