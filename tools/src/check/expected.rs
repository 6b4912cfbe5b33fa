//! Expected MD5 sums of pictures, and the comparison with them.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use nvdec::Integrity;
use serde::Serialize;

use crate::output::framemd5::md5_hex;

/// What stands in front of the pictures of a damaged stream that are right.
const MUST_MATCH: &str = "must match:";

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
    /// Those that have to be so, and to be called exact, by position; the others must not be called that. `None` for all of a
    /// stream that is whole.
    pub must_match: Option<BTreeSet<u64>>,
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

    /// Reads the lines of stream 0. Of those that start with `#` only those say something of the samples that list, behind
    /// `must match:`, the pictures of a damaged stream that are right all the same.
    pub fn parse(text: &str) -> Result<Expected, ExpectedError> {
        let (mut pictures, mut must_match) = (Vec::new(), None);
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                if let Some((_, numbers)) = line.split_once(MUST_MATCH) {
                    let numbers = numbers.split(',').map(str::trim).filter(|number| !number.is_empty());
                    let numbers = numbers.map(str::parse).collect::<Result<_, _>>();
                    must_match = Some(numbers.map_err(|_| ExpectedError::Line { line: index + 1 })?);
                }
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
        Ok(Expected { pictures, must_match })
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
    /// What the decoder says of a picture.
    Integrity {
        /// Position in output order.
        picture: u64,
        /// Its picture order count.
        poc: i32,
        /// What it is said to be.
        said: String,
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
            Difference::Integrity { picture, poc, said } => {
                write!(f, "picture {picture} (POC {poc}) is not what is said of it: {said}")
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

    /// Compares the next picture in output order, given as planar samples, and what is said of it.
    pub fn picture(&mut self, samples: &[u8], poc: i32, said: Integrity) {
        let picture = self.compared;
        self.compared += 1;
        let must_match = self.expected.must_match.as_ref().is_none_or(|numbers| numbers.contains(&picture));
        if must_match {
            self.samples(picture, samples, poc);
        }
        if self.difference.is_none() && said.is_exact() != must_match {
            let said = said.to_string();
            self.difference = Some(Difference::Integrity { picture, poc, said });
        }
    }

    fn samples(&mut self, picture: u64, samples: &[u8], poc: i32) {
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
