//! [`SliceData`]: where the slice segments of a picture lie, for the engine to read.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::job::Operand;
use crate::upload::UploadRing;
use bitstream::find_start_code;
use hcq::Input;
use hevc::nal::{NalHeader, NalUnitType};

/// Zero bytes behind the slice data: how far the engine reads ahead is not documented.
pub(crate) const BITSTREAM_SLACK: usize = 256;
/// What `SET_IN_BUF_BASE_OFFSET` counts in.
const ALIGNMENT: usize = 256;
/// `start_code_prefix_one_3bytes`.
const START_CODE: [u8; 3] = [0, 0, 1];
/// What is put in front of a slice segment that is copied.
const ZERO_AND_START_CODE: [u8; 4] = [0, 0, 0, 1];

/// A NAL unit within an input.
pub(super) type Place<'a> = (&'a Input, Range<usize>);

/// Where the slice segments of a picture lie.
#[derive(Debug)]
pub(super) enum SliceData {
    /// There is none yet.
    None,
    /// In the open chunk of the upload ring, where they are copied to.
    Copied,
    /// Where the caller has them.
    InPlace(Extent),
}

impl SliceData {
    /// Adds the slice segment `nal`, which lies at `place` if an engine can read it there. No more than `limit` bytes are
    /// taken, with what `upload` has in its open chunk.
    pub(super) fn add(
        &mut self,
        upload: &mut UploadRing,
        nal: &[u8],
        place: Option<Place<'_>>,
        limit: u64,
    ) -> Result<()> {
        let check = |bytes: usize| {
            let bytes = upload.length() + bytes as u64;
            if bytes > limit { Err(Error::PictureTooLarge { bytes, limit }) } else { Ok(()) }
        };
        if let Some(place) = place
            && let Some(bytes) = self.add_in_place(&place)
        {
            return check(bytes);
        }
        let before = match self {
            SliceData::InPlace(extent) => extent.bytes(),
            _ => &[],
        };
        check(before.len() + ZERO_AND_START_CODE.len() + nal.len())?;
        upload.append(&[before, &ZERO_AND_START_CODE, nal])?;
        *self = SliceData::Copied;
        Ok(())
    }

    /// Adds a slice segment where it lies, if that can be, and says how many bytes the engine reads by now.
    fn add_in_place(&mut self, place: &Place<'_>) -> Option<usize> {
        match self {
            SliceData::None => {
                let extent = Extent::begin(place)?;
                let bytes = extent.len();
                *self = SliceData::InPlace(extent);
                Some(bytes)
            }
            SliceData::InPlace(extent) => extent.extend(place).then(|| extent.len()),
            SliceData::Copied => None,
        }
    }
}

/// Slice segments that follow each other in an input, with what the engine passes over between them.
#[derive(Debug)]
pub(super) struct Extent {
    input: Input,
    /// Where the start code of the first begins.
    start: usize,
    end: usize,
}

impl Extent {
    /// The first slice segment of a picture, if the engine can be shown where it lies: behind a start code, and with nothing
    /// before it, back to an address that the engine takes, that it might take for a slice segment of the picture.
    pub(super) fn begin((input, nal): &Place<'_>) -> Option<Extent> {
        let start = nal.start.checked_sub(START_CODE.len())?;
        let extent = Extent { input: Input::clone(input), start, end: nal.end };
        let before = &input[extent.base()..nal.start];
        passes_over(before).then_some(extent)
    }

    /// Adds the next slice segment. `false` and unchanged if something else lies between.
    pub(super) fn extend(&mut self, (input, nal): &Place<'_>) -> bool {
        let same = self.input.as_ptr() == input.as_ptr();
        let follows = same && nal.start >= self.end && passes_over(&input[self.end..nal.start]);
        if follows {
            self.end = nal.end;
        }
        follows
    }

    /// Where the engine begins to read.
    fn base(&self) -> usize {
        self.start / ALIGNMENT * ALIGNMENT
    }

    /// Bytes that the engine reads.
    pub(super) fn len(&self) -> usize {
        self.end - self.base()
    }

    /// The slice segments with their start codes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.input[self.start..self.end]
    }

    /// What the engine reads, for `method`.
    pub(super) fn operand(&self, method: u32) -> Operand<'_> {
        Operand::new(method, self.input.buffer()).at(self.base() as u64)
    }
}

/// Whether the engine finds no slice segment in bytes that end with a start code before that. They may begin within a NAL
/// unit: it passes over what is left of that, and over NAL units of the types that stand between pictures.
fn passes_over(bytes: &[u8]) -> bool {
    let Some(mut rest) = bytes.strip_suffix(&START_CODE) else { return false };
    while let Some(at) = find_start_code(rest) {
        rest = &rest[at + START_CODE.len()..];
        let header = NalHeader::parse(rest);
        if !header
            .is_ok_and(|h| (NalUnitType::VPS_NUT..=NalUnitType::SUFFIX_SEI_NUT).contains(&h.nal_unit_type))
        {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests;
