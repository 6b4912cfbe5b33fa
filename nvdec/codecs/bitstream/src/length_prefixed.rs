//! NAL units of a sample in which a length precedes each (ISO/IEC 14496-15).

use std::iter::FusedIterator;

use crate::error::FramingError;

/// Bytes of the length in front of each NAL unit: `lengthSizeMinusOne + 1` of a decoder configuration record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LengthSize {
    /// Lengths up to 255.
    One = 1,
    /// Lengths up to 65535.
    Two = 2,
    /// Lengths up to 2^32 - 1.
    Four = 4,
}

impl LengthSize {
    /// The size of `bytes` bytes.
    ///
    /// # Errors
    /// [`FramingError::LengthSize`] for another number than 1, 2 and 4.
    pub const fn new(bytes: u8) -> Result<Self, FramingError> {
        match bytes {
            1 => Ok(Self::One),
            2 => Ok(Self::Two),
            4 => Ok(Self::Four),
            length_size => Err(FramingError::LengthSize { length_size }),
        }
    }

    /// Its number of bytes.
    pub const fn bytes(self) -> usize {
        self as usize
    }
}

/// The NAL units of a length-prefixed sample, in order; made by [`split_length_prefixed`].
///
/// It ends after the first error. Empty NAL units are skipped.
#[derive(Debug, Clone)]
pub struct LengthPrefixed<'a> {
    data: &'a [u8],
    /// Where the next length field begins; the length of `data` after the last NAL unit and after an error.
    offset: usize,
    length_size: LengthSize,
}

/// Splits a sample in which a big-endian length of `length_size` bytes precedes each NAL unit.
///
/// The NAL units are slices of `data`.
///
/// ```
/// use bitstream::{FramingError, LengthSize, split_length_prefixed};
/// let sample = [0, 2, 0x65, 0x88, 0, 9, 0x41];
/// let mut nals = split_length_prefixed(&sample, LengthSize::new(2)?);
/// assert_eq!(nals.next(), Some(Ok(&[0x65, 0x88][..])));
/// assert_eq!(nals.next(), Some(Err(FramingError::Length { offset: 4, length: 9, available: 1 })));
/// assert_eq!(nals.next(), None);
/// # Ok::<(), FramingError>(())
/// ```
pub fn split_length_prefixed(data: &[u8], length_size: LengthSize) -> LengthPrefixed<'_> {
    LengthPrefixed { data, offset: 0, length_size }
}

impl<'a> Iterator for LengthPrefixed<'a> {
    type Item = Result<&'a [u8], FramingError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let size = self.length_size.bytes();
        loop {
            let rest = &self.data[self.offset..];
            if rest.is_empty() {
                return None;
            }
            // What follows an error cannot be found: lengths are the only way from one NAL unit to the next.
            let offset = std::mem::replace(&mut self.offset, self.data.len());
            let Some((field, rest)) = rest.split_at_checked(size) else {
                let (length_size, available) = (self.length_size as u8, rest.len());
                return Some(Err(FramingError::LengthField { offset, length_size, available }));
            };
            let length = field.iter().fold(0usize, |value, &byte| value << 8 | usize::from(byte));
            let Some(nal) = rest.get(..length) else {
                return Some(Err(FramingError::Length { offset, length, available: rest.len() }));
            };
            self.offset = offset + size + length;
            if !nal.is_empty() {
                return Some(Ok(nal));
            }
        }
    }
}

impl FusedIterator for LengthPrefixed<'_> {}
