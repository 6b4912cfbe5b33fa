//! One stream against the MD5 of each of its pictures, and what became of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use nvdec::Context;
use serde::Serialize;

use super::expected::{Comparison, Difference, Expected};
use crate::decode::{Consumer, Picture, Settings, Whole, costs_pictures};
use crate::exit::{Exit, Failure};

/// What became of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// Every picture is as expected.
    BitExact,
    /// A picture, or their number, is not as expected.
    Differs {
        /// Where and how.
        #[serde(flatten)]
        difference: Difference,
        /// First error that the decoder reported, if any.
        error: Option<String>,
    },
    /// The hardware or this library cannot decode it.
    Refused {
        /// The reason.
        reason: String,
    },
    /// It could not be decoded for another reason.
    Error {
        /// The reason.
        reason: String,
    },
    /// It was not tried.
    Skipped {
        /// The reason.
        reason: String,
    },
}

/// The result of one stream. Field names are those of the JSON output.
#[derive(Clone, Debug, Serialize)]
pub struct StreamResult {
    /// The file.
    pub stream: String,
    /// What became of it.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Pictures put out.
    pub pictures: u64,
    /// Errors that the decoder reported of pictures and NAL units.
    pub errors: u64,
    /// Engine that decoded it.
    pub engines: Vec<String>,
    /// Wall time in seconds.
    pub seconds: f64,
}

impl fmt::Display for StreamResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verdict {
            Verdict::BitExact => write!(f, "bit-exact  {}  {} pictures", self.stream, self.pictures)?,
            Verdict::Differs { difference, error } => {
                write!(f, "DIFFERS    {}  {difference}", self.stream)?;
                if let Some(error) = error {
                    write!(f, "; {error}")?;
                }
            }
            Verdict::Refused { reason } => write!(f, "refused    {}  {reason}", self.stream)?,
            Verdict::Error { reason } => write!(f, "ERROR      {}  {reason}", self.stream)?,
            Verdict::Skipped { reason } => write!(f, "skipped    {}  {reason}", self.stream)?,
        }
        match (&self.verdict, self.errors) {
            (Verdict::BitExact, n) if n > 0 => write!(f, " ({n} errors reported)"),
            _ => Ok(()),
        }
    }
}

/// Decodes one stream, or the film in a container, and compares it.
pub fn check_stream(
    context: &Arc<Context>,
    name: &str,
    source: Whole<'_>,
    settings: Settings,
    expected: &Expected,
) -> StreamResult {
    let start = Instant::now();
    let mut job = Job {
        comparison: Comparison::new(expected),
        buffer: Vec::new(),
        errors: 0,
        first: None,
        unsupported: None,
        comparable: None,
    };
    let outcome = source.decode(context, name, settings, &mut job);
    let (pictures, engines, stopped) = match outcome {
        Ok(summary) => (summary.pictures, summary.engines, summary.stopped.map(Failure::Decode)),
        Err(failure) => (job.comparison.compared(), BTreeMap::new(), Some(failure)),
    };
    let errors = job.errors;
    StreamResult {
        stream: name.to_owned(),
        verdict: job.verdict(stopped),
        pictures,
        errors,
        engines: engines.keys().map(|engine| engine.to_string()).collect(),
        seconds: start.elapsed().as_secs_f64(),
    }
}

struct Job<'a> {
    comparison: Comparison<'a>,
    buffer: Vec<u8>,
    errors: u64,
    first: Option<String>,
    unsupported: Option<String>,
    /// Pictures before a part that the hardware refuses: those behind it cannot be told apart.
    comparable: Option<u64>,
}

impl Job<'_> {
    fn verdict(self, stopped: Option<Failure>) -> Verdict {
        let compared = self.comparison.compared();
        // A wrong picture weighs more than what ended the stream behind it.
        if let Some(difference) = self.comparison.difference() {
            return Verdict::Differs { difference: difference.clone(), error: self.first };
        }
        if let Some(failure) = stopped {
            let reason = match compared {
                0 => failure.to_string(),
                n => format!("after {n} pictures: {failure}"),
            };
            return match failure.exit() {
                Exit::Unavailable => Verdict::Refused { reason },
                _ => Verdict::Error { reason },
            };
        }
        match self.comparison.finish() {
            None => Verdict::BitExact,
            Some(_) if compared == 0 && self.unsupported.is_some() => {
                Verdict::Refused { reason: self.unsupported.unwrap_or_default() }
            }
            Some(difference) => Verdict::Differs { difference, error: self.first },
        }
    }
}

impl Consumer for Job<'_> {
    fn picture(&mut self, picture: &mut Picture) -> Result<(), Failure> {
        if self.comparable.is_some_and(|limit| picture.index >= limit) {
            return Ok(());
        }
        self.buffer.clear();
        picture.write_planar(&mut self.buffer);
        self.comparison.picture(&self.buffer, picture.poc, picture.integrity);
        Ok(())
    }

    fn refused(&mut self, pictures: u64) {
        self.comparable = Some(pictures);
    }

    fn warning(&mut self, error: nvdec::Error) {
        self.errors += u64::from(costs_pictures(&error));
        if let nvdec::Error::Bitstream { source, .. } = &error
            && source.is_unsupported
        {
            self.unsupported.get_or_insert_with(|| source.to_string());
        }
        self.first.get_or_insert_with(|| error.to_string());
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
