//! [`Bitstream`]: where the slice segments of a picture lie, for the engine to read.

use std::ops::Range;

use hcq::Input;

use crate::error::{Error, Result};
use crate::job::Operand;
use crate::memory::upload::UploadRing;

/// What `SET_IN_BUF_BASE_OFFSET` counts in.
const ALIGNMENT: usize = 256;
/// `start_code_prefix_one_3bytes` of H.264 and HEVC.
const START_CODE: [u8; 3] = [0, 0, 1];
/// What is put in front of a slice segment that is copied and that an engine finds by its start code.
const ZERO_AND_START_CODE: [u8; 4] = [0, 0, 0, 1];

/// Whether an engine that reads these bytes, which end with a start code, finds no slice segment in them before that. They may
/// begin within a unit.
pub(crate) type PassesOver = fn(&[u8]) -> bool;

/// How an engine finds the slice data of a picture.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Slices {
    /// By the start codes in front of slice segments (H.264, HEVC), with other units among them as far as it passes
    /// over those.
    StartCodes(PassesOver),
    /// They begin where it begins to read, and are one piece.
    #[cfg_attr(not(test), expect(dead_code, reason = "no codec without start codes is decoded yet"))]
    Contiguous,
}

/// A unit within an input.
pub(crate) type Place<'a> = (&'a Input, Range<usize>);

/// Where the slice segments of a picture lie.
#[derive(Debug, Default)]
pub(crate) enum Bitstream {
    /// There is none yet.
    #[default]
    None,
    /// In the picture's chunk of the upload ring, where they are copied to, from this byte on.
    Copied { at: u64 },
    /// Where the caller has them.
    InPlace(Extent),
}

impl Bitstream {
    /// Adds the slice segment `unit`, which lies at `place` if an engine can read it there. No more than `limit`
    /// bytes are taken, with what `upload` has in its open chunk.
    pub(crate) fn add(
        &mut self,
        upload: &mut UploadRing,
        unit: &[u8],
        place: Option<Place<'_>>,
        limit: u64,
        slices: Slices,
    ) -> Result<()> {
        let check = |bytes: usize| {
            let bytes = upload.length() + bytes as u64;
            if bytes > limit { Err(Error::PictureTooLarge { bytes, limit }) } else { Ok(()) }
        };
        if let Some(place) = place
            && let Some(bytes) = self.add_in_place(&place, slices)
        {
            return check(bytes);
        }
        let (at, before) = match self {
            Bitstream::None => (upload.length(), &[][..]),
            Bitstream::InPlace(extent) => (upload.length(), extent.bytes()),
            Bitstream::Copied { at } => (*at, &[][..]),
        };
        let prefix: &[u8] = match slices {
            Slices::StartCodes(_) => &ZERO_AND_START_CODE,
            Slices::Contiguous => &[],
        };
        check(before.len() + prefix.len() + unit.len())?;
        upload.append(&[before, prefix, unit])?;
        *self = Bitstream::Copied { at };
        Ok(())
    }

    /// Adds a slice segment where it lies, if that can be, and says how many bytes the engine reads by now.
    fn add_in_place(&mut self, place: &Place<'_>, slices: Slices) -> Option<usize> {
        match self {
            Bitstream::None => {
                let extent = Extent::begin(place, slices)?;
                let bytes = extent.len();
                *self = Bitstream::InPlace(extent);
                Some(bytes)
            }
            Bitstream::InPlace(extent) => extent.extend(place, slices).then(|| extent.len()),
            Bitstream::Copied { .. } => None,
        }
    }
}

/// Slice segments that follow each other in an input, with what the engine passes over between them.
#[derive(Debug)]
pub(crate) struct Extent {
    input: Input,
    /// Where the first begins, or its start code.
    start: usize,
    end: usize,
}

impl Extent {
    /// The first slice segment of a picture, if the engine can be shown where it lies. Either it is behind a start
    /// code, with nothing before it, back to an address that the engine takes, that it might take for a slice segment
    /// of the picture; or it lies at such an address.
    pub(crate) fn begin((input, unit): &Place<'_>, slices: Slices) -> Option<Extent> {
        let begins_at = |start| Extent { input: Input::clone(input), start, end: unit.end };
        match slices {
            Slices::StartCodes(passes_over) => {
                let extent = begins_at(unit.start.checked_sub(START_CODE.len())?);
                passes_over(&input[extent.base()..unit.start]).then_some(extent)
            }
            Slices::Contiguous => unit.start.is_multiple_of(ALIGNMENT).then(|| begins_at(unit.start)),
        }
    }

    /// Adds the next slice segment. `false` and unchanged if something else lies between.
    pub(crate) fn extend(&mut self, (input, unit): &Place<'_>, slices: Slices) -> bool {
        let same = self.input.as_ptr() == input.as_ptr();
        let follows = same
            && match slices {
                Slices::StartCodes(passes_over) => {
                    unit.start >= self.end && passes_over(&input[self.end..unit.start])
                }
                Slices::Contiguous => unit.start == self.end,
            };
        if follows {
            self.end = unit.end;
        }
        follows
    }

    /// Where the engine begins to read.
    fn base(&self) -> usize {
        self.start / ALIGNMENT * ALIGNMENT
    }

    /// Bytes that the engine reads.
    pub(crate) fn len(&self) -> usize {
        self.end - self.base()
    }

    /// The slice segments, with their start codes if they have any.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.input[self.start..self.end]
    }

    /// What the engine reads, for `method`.
    pub(crate) fn operand(&self, method: u32) -> Operand<'_> {
        Operand::new(method, self.input.buffer()).at(self.base() as u64)
    }
}

#[cfg(test)]
mod tests;
